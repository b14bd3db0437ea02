//! What the server runs by, as types.
//!
//! A field for each setting that code asks for; the names are the directives' with `_` for `-`.
//! Settings without a field are kept and answered by [`super::Settings`] as text.

use std::path::PathBuf;
use std::time::Duration;

use super::choice::{
    EvictionPolicy, Fsync, LogFormat, LogLevel, OnSignal, OomScore, Permission, Rebalance,
    Supervision,
};
use super::renames::Renames;
use super::special;
use super::users::Passwords;
use super::values::Values;

/// The limits on replies that wait for a client of one class; 0 stands for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferLimit {
    /// Bytes at which the client is cut off at once.
    pub hard_bytes: u64,
    /// Bytes at which it is cut off after a while.
    pub soft_bytes: u64,
    /// That while.
    pub soft_seconds: u32,
}

impl BufferLimit {
    /// Whether so many bytes cut the client off at once.
    #[inline]
    pub fn is_passed_by(&self, bytes: usize) -> bool {
        self.hard_bytes > 0 && bytes as u64 > self.hard_bytes
    }
}

/// `client-output-buffer-limit` by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferLimits {
    /// Clients that send commands.
    pub normal: BufferLimit,
    /// Replicas.
    pub replica: BufferLimit,
    /// Clients with subscriptions.
    pub pubsub: BufferLimit,
}

/// `maxmemory-clients`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryShare {
    /// So many bytes; 0 for no limit.
    Bytes(u64),
    /// So many hundredths of `maxmemory`.
    Percent(u32),
}

impl MemoryShare {
    /// Bytes below which no limit is: a server that can take no requests could not be asked to
    /// raise it.
    const LEAST_BYTES: u64 = 128 << 10;

    /// The limit in bytes, where `maxmemory` is so much; none where there is no limit.
    pub fn limit(self, maxmemory: u64) -> Option<u64> {
        let bytes = match self {
            MemoryShare::Bytes(bytes) => bytes,
            MemoryShare::Percent(percent) => {
                (u128::from(maxmemory) * u128::from(percent) / 100) as u64
            }
        };
        (bytes > 0).then(|| bytes.max(MemoryShare::LEAST_BYTES))
    }
}

/// `key-load-delay` and `rdb-key-save-delay`, for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDelays {
    /// Of a load.
    pub load: KeyDelay,
    /// Of a snapshot, a full sync or a base.
    pub save: KeyDelay,
}

impl KeyDelays {
    fn of(values: &Values<'_>) -> KeyDelays {
        let delay = |name| KeyDelay { micros: values.number(name) };
        KeyDelays { load: delay("key-load-delay"), save: delay("rdb-key-save-delay") }
    }
}

/// How long each key takes at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyDelay {
    /// Microseconds for each key; where it is negative, keys for each microsecond.
    pub micros: i32,
}

impl KeyDelay {
    /// How long so many keys take.
    pub fn of_keys(self, keys: u64) -> Duration {
        let each = u64::from(self.micros.unsigned_abs());
        match self.micros {
            0 => Duration::ZERO,
            1.. => Duration::from_micros(keys.saturating_mul(each)),
            _ => Duration::from_nanos(keys.saturating_mul(1_000) / each),
        }
    }
}

/// Those of a primary and of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is documented in the table under its own name")]
pub struct Replication {
    pub masterauth: Vec<u8>,
    pub masteruser: Vec<u8>,
    pub min_replicas_max_lag: u32,
    pub min_replicas_to_write: u32,
    pub repl_backlog_size: u64,
    pub repl_backlog_ttl: i64,
    pub repl_diskless_sync: bool,
    pub repl_diskless_sync_delay: u32,
    pub repl_diskless_sync_max_replicas: u32,
    pub repl_ping_replica_period: u32,
    pub repl_slow_writers: bool,
    pub repl_timeout: u32,
    pub replica_announce_ip: Vec<u8>,
    pub replica_announce_port: u16,
    pub replica_announced: bool,
    pub replica_ignore_disk_write_errors: bool,
    pub replica_ignore_maxmemory: bool,
    pub replica_priority: u32,
    pub replica_read_only: bool,
    pub replica_serve_stale_data: bool,
    /// The host and the port of the primary, where there is one.
    pub replicaof: Option<(String, u16)>,
}

impl Replication {
    fn of(values: &Values<'_>) -> Replication {
        Replication {
            masterauth: values.bytes("masterauth").to_vec(),
            masteruser: values.bytes("masteruser").to_vec(),
            min_replicas_max_lag: values.number("min-replicas-max-lag"),
            min_replicas_to_write: values.number("min-replicas-to-write"),
            repl_backlog_size: values.number("repl-backlog-size"),
            repl_backlog_ttl: values.number("repl-backlog-ttl"),
            repl_diskless_sync: values.flag("repl-diskless-sync"),
            repl_diskless_sync_delay: values.number("repl-diskless-sync-delay"),
            repl_diskless_sync_max_replicas: values.number("repl-diskless-sync-max-replicas"),
            repl_ping_replica_period: values.number("repl-ping-replica-period"),
            repl_slow_writers: values.flag("repl-slow-writers"),
            repl_timeout: values.number("repl-timeout"),
            replica_announce_ip: values.bytes("replica-announce-ip").to_vec(),
            replica_announce_port: values.number("replica-announce-port"),
            replica_announced: values.flag("replica-announced"),
            replica_ignore_disk_write_errors: values.flag("replica-ignore-disk-write-errors"),
            replica_ignore_maxmemory: values.flag("replica-ignore-maxmemory"),
            replica_priority: values.number("replica-priority"),
            replica_read_only: values.flag("replica-read-only"),
            replica_serve_stale_data: values.flag("replica-serve-stale-data"),
            replicaof: special::primary(values.text("replicaof")),
        }
    }
}

/// How the keys are counted that are asked for most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is documented in the table under its own name")]
pub struct HotKeyWindows {
    pub sampling_percentage: u32,
    pub top_k: u32,
    pub window_seconds: u32,
}

impl HotKeyWindows {
    fn of(values: &Values<'_>) -> HotKeyWindows {
        HotKeyWindows {
            sampling_percentage: values.number("hotkeys-sampling-percentage"),
            top_k: values.number("hotkeys-top-k"),
            window_seconds: values.number("hotkeys-window-seconds"),
        }
    }
}

/// How many restarts of an actor are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is documented in the table under its own name")]
pub struct Restarts {
    pub limit: u32,
    pub window_seconds: u32,
}

impl Restarts {
    fn of(values: &Values<'_>) -> Restarts {
        Restarts {
            limit: values.number("restart-limit"),
            window_seconds: values.number("restart-window"),
        }
    }
}

/// Those of scripts and functions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is documented in the table under its own name")]
pub struct Scripts {
    pub busy_reply_threshold: u64,
    pub script_max_run_ms: u64,
    pub script_undo: bool,
    pub script_undo_max: u64,
}

impl Scripts {
    fn of(values: &Values<'_>) -> Scripts {
        Scripts {
            busy_reply_threshold: values.number("busy-reply-threshold"),
            script_max_run_ms: values.number("script-max-run-ms"),
            script_undo: values.flag("script-undo"),
            script_undo_max: values.number("script-undo-max"),
        }
    }
}

/// When slots move to shards with less to do: [`crate::balance`]. Shares are of 1.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each field is documented in the table under its own name")]
pub struct Rebalancing {
    pub mode: Rebalance,
    pub busy: f64,
    pub clients: bool,
    pub start: f64,
    pub stop: f64,
    pub window_s: u32,
    pub windows: u32,
    pub rest_s: u32,
}

impl Rebalancing {
    fn of(values: &Values<'_>) -> Rebalancing {
        let share = |name| f64::from(values.number::<u32>(name)) / 100.0;
        Rebalancing {
            mode: values.choice("rebalance"),
            busy: share("rebalance-busy"),
            clients: values.flag("rebalance-clients"),
            start: share("rebalance-start"),
            stop: share("rebalance-stop"),
            window_s: values.number("rebalance-window"),
            windows: values.number("rebalance-windows"),
            rest_s: values.number("rebalance-rest"),
        }
    }
}

/// How the server ends.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each field is documented in the table under its own name")]
pub struct Shutdown {
    pub on_sigint: OnSignal,
    pub on_sigterm: OnSignal,
    pub timeout: u32,
}

impl Shutdown {
    fn of(values: &Values<'_>) -> Shutdown {
        Shutdown {
            on_sigint: OnSignal::of(values.text("shutdown-on-sigint")),
            on_sigterm: OnSignal::of(values.text("shutdown-on-sigterm")),
            timeout: values.number("shutdown-timeout"),
        }
    }
}

/// The typed settings.
#[derive(Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is documented in the table under its own name")]
pub struct Fields {
    pub aof_disable_auto_gc: bool,
    pub aof_load_skip_refused: bool,
    pub aof_load_truncated: bool,
    pub aof_rewrite_incremental_fsync: bool,
    pub aof_timestamp_enabled: bool,
    pub aof_use_rdb_preamble: bool,
    pub auto_aof_rewrite_min_size: u64,
    pub auto_aof_rewrite_percentage: u64,
    pub appenddirname: String,
    pub appendfilename: String,
    pub appendfsync: Fsync,
    pub appendonly: bool,
    pub bind: Vec<String>,
    pub client_output_buffer_limit: BufferLimits,
    pub client_query_buffer_limit: u64,
    pub command_log_sample: u32,
    pub commandlog_large_reply_max_len: u64,
    pub commandlog_large_request_max_len: u64,
    pub commandlog_reply_larger_than: i64,
    pub commandlog_request_larger_than: i64,
    pub daemonize: bool,
    pub databases: u32,
    pub dbfilename: String,
    pub dir: PathBuf,
    pub enable_debug_command: Permission,
    pub enable_module_command: Permission,
    pub enable_protected_configs: Permission,
    pub hash_max_listpack_entries: u64,
    pub hash_max_listpack_value: u64,
    pub hide_user_data_from_log: bool,
    pub hll_sparse_max_bytes: u64,
    pub hotkeys: HotKeyWindows,
    pub huge_pages: bool,
    pub import_mode: bool,
    pub jemalloc_bg_thread: bool,
    pub latency_monitor_threshold: u64,
    pub latency_tracking: bool,
    pub latency_tracking_info_percentiles: Vec<f64>,
    pub lazyfree_lazy_eviction: bool,
    pub lazyfree_lazy_expire: bool,
    pub lazyfree_lazy_server_del: bool,
    pub lazyfree_lazy_user_del: bool,
    pub lazyfree_lazy_user_flush: bool,
    pub lfu_decay_time: u32,
    pub lfu_log_factor: u32,
    pub key_delays: KeyDelays,
    pub list_max_listpack_size: i32,
    pub log_format: LogFormat,
    pub logfile: PathBuf,
    pub loglevel: LogLevel,
    pub maxclients: u32,
    pub maxmemory: u64,
    pub maxmemory_clients: MemoryShare,
    pub maxmemory_eviction_tenacity: u32,
    pub maxmemory_policy: EvictionPolicy,
    pub maxmemory_samples: u32,
    pub no_appendfsync_on_rewrite: bool,
    pub notify_keyspace_events: String,
    pub tracking_table_max_keys: u64,
    pub oom_score_adj: OomScore,
    pub oom_score_adj_values: Vec<i32>,
    pub passwords: Passwords,
    pub pidfile: PathBuf,
    pub port: u16,
    pub protected_mode: bool,
    pub proto_max_bulk_len: u64,
    pub rdb_save_incremental_fsync: bool,
    pub rdb_version: u32,
    pub rdbchecksum: bool,
    pub rdbcompression: bool,
    pub rebalancing: Rebalancing,
    pub rename_command: Renames,
    pub replication: Replication,
    pub restarts: Restarts,
    pub save: Vec<(u32, u32)>,
    pub scripts: Scripts,
    pub set_max_intset_entries: u64,
    pub set_max_listpack_entries: u64,
    pub set_max_listpack_value: u64,
    pub shards: u32,
    pub shutdown: Shutdown,
    pub slowlog_log_slower_than: i64,
    pub slowlog_max_len: u64,
    pub snapshot_copies_max: u32,
    pub stop_writes_on_bgsave_error: bool,
    pub stream_node_max_bytes: u64,
    pub stream_node_max_entries: u64,
    pub supervised: Supervision,
    pub tcp_backlog: u32,
    pub tcp_keepalive: u32,
    pub timeout: u32,
    pub unixsocket: PathBuf,
    pub unixsocketperm: u32,
    pub zset_max_listpack_entries: u64,
    pub zset_max_listpack_value: u64,
}

impl Fields {
    pub(super) fn of(values: &Values<'_>) -> Fields {
        Fields {
            aof_load_skip_refused: values.flag("aof-load-skip-refused"),
            aof_load_truncated: values.flag("aof-load-truncated"),
            aof_rewrite_incremental_fsync: values.flag("aof-rewrite-incremental-fsync"),
            aof_timestamp_enabled: values.flag("aof-timestamp-enabled"),
            aof_disable_auto_gc: values.flag("aof-disable-auto-gc"),
            aof_use_rdb_preamble: values.flag("aof-use-rdb-preamble"),
            auto_aof_rewrite_min_size: values.number("auto-aof-rewrite-min-size"),
            auto_aof_rewrite_percentage: values.number("auto-aof-rewrite-percentage"),
            appenddirname: values.owned("appenddirname"),
            appendfilename: values.owned("appendfilename"),
            appendfsync: values.choice("appendfsync"),
            appendonly: values.flag("appendonly"),
            bind: values.text("bind").split_ascii_whitespace().map(str::to_owned).collect(),
            client_output_buffer_limit: buffer_limits(values.text("client-output-buffer-limit")),
            client_query_buffer_limit: values.number("client-query-buffer-limit"),
            command_log_sample: values.number("command-log-sample"),
            commandlog_large_reply_max_len: values.number("commandlog-large-reply-max-len"),
            commandlog_large_request_max_len: values.number("commandlog-large-request-max-len"),
            commandlog_reply_larger_than: values.number("commandlog-reply-larger-than"),
            commandlog_request_larger_than: values.number("commandlog-request-larger-than"),
            daemonize: values.flag("daemonize"),
            databases: values.number("databases"),
            dbfilename: values.owned("dbfilename"),
            dir: values.path("dir"),
            enable_debug_command: values.choice("enable-debug-command"),
            enable_module_command: values.choice("enable-module-command"),
            enable_protected_configs: values.choice("enable-protected-configs"),
            hash_max_listpack_entries: values.number("hash-max-listpack-entries"),
            hash_max_listpack_value: values.number("hash-max-listpack-value"),
            hide_user_data_from_log: values.flag("hide-user-data-from-log"),
            hll_sparse_max_bytes: values.number("hll-sparse-max-bytes"),
            hotkeys: HotKeyWindows::of(values),
            huge_pages: values.flag("huge-pages"),
            import_mode: values.flag("import-mode"),
            jemalloc_bg_thread: values.flag("jemalloc-bg-thread"),
            latency_monitor_threshold: values.number("latency-monitor-threshold"),
            latency_tracking: values.flag("latency-tracking"),
            latency_tracking_info_percentiles: percentiles(values),
            lazyfree_lazy_eviction: values.flag("lazyfree-lazy-eviction"),
            lazyfree_lazy_expire: values.flag("lazyfree-lazy-expire"),
            lazyfree_lazy_server_del: values.flag("lazyfree-lazy-server-del"),
            lazyfree_lazy_user_del: values.flag("lazyfree-lazy-user-del"),
            lazyfree_lazy_user_flush: values.flag("lazyfree-lazy-user-flush"),
            lfu_decay_time: values.number("lfu-decay-time"),
            lfu_log_factor: values.number("lfu-log-factor"),
            key_delays: KeyDelays::of(values),
            list_max_listpack_size: values.number("list-max-listpack-size"),
            log_format: values.choice("log-format"),
            logfile: values.path("logfile"),
            loglevel: values.choice("loglevel"),
            maxclients: values.number("maxclients"),
            maxmemory: values.number("maxmemory"),
            maxmemory_clients: memory_share(values.text("maxmemory-clients")),
            maxmemory_eviction_tenacity: values.number("maxmemory-eviction-tenacity"),
            maxmemory_policy: values.choice("maxmemory-policy"),
            maxmemory_samples: values.number("maxmemory-samples"),
            no_appendfsync_on_rewrite: values.flag("no-appendfsync-on-rewrite"),
            notify_keyspace_events: values.owned("notify-keyspace-events"),
            tracking_table_max_keys: values.number("tracking-table-max-keys"),
            oom_score_adj: values.choice("oom-score-adj"),
            oom_score_adj_values: numbers(values.text("oom-score-adj-values")),
            passwords: Passwords::of(values.text("user"), values.bytes("requirepass")),
            pidfile: values.path("pidfile"),
            port: values.number("port"),
            protected_mode: values.flag("protected-mode"),
            proto_max_bulk_len: values.number("proto-max-bulk-len"),
            rdb_save_incremental_fsync: values.flag("rdb-save-incremental-fsync"),
            rdb_version: values.number("rdb-version"),
            rdbchecksum: values.flag("rdbchecksum"),
            rdbcompression: values.flag("rdbcompression"),
            rebalancing: Rebalancing::of(values),
            rename_command: Renames::of(values.text("rename-command")),
            replication: Replication::of(values),
            restarts: Restarts::of(values),
            save: save_points(values.text("save")),
            scripts: Scripts::of(values),
            set_max_intset_entries: values.number("set-max-intset-entries"),
            set_max_listpack_entries: values.number("set-max-listpack-entries"),
            set_max_listpack_value: values.number("set-max-listpack-value"),
            shards: values.number("shards"),
            shutdown: Shutdown::of(values),
            slowlog_log_slower_than: values.number("slowlog-log-slower-than"),
            slowlog_max_len: values.number("slowlog-max-len"),
            snapshot_copies_max: values.number("snapshot-copies-max"),
            stop_writes_on_bgsave_error: values.flag("stop-writes-on-bgsave-error"),
            stream_node_max_bytes: values.number("stream-node-max-bytes"),
            stream_node_max_entries: values.number("stream-node-max-entries"),
            supervised: values.choice("supervised"),
            tcp_backlog: values.number("tcp-backlog"),
            tcp_keepalive: values.number("tcp-keepalive"),
            timeout: values.number("timeout"),
            unixsocket: values.path("unixsocket"),
            unixsocketperm: octal(values.text("unixsocketperm")),
            zset_max_listpack_entries: values.number("zset-max-listpack-entries"),
            zset_max_listpack_value: values.number("zset-max-listpack-value"),
        }
    }
}

fn octal(text: &str) -> u32 {
    u32::from_str_radix(text, 8).expect("checked octal digits")
}

fn buffer_limits(text: &str) -> BufferLimits {
    let limit = |(hard_bytes, soft_bytes, soft_seconds)| BufferLimit {
        hard_bytes,
        soft_bytes,
        soft_seconds,
    };
    let [normal, replica, pubsub] = special::buffer_limits(text).map(limit);
    BufferLimits { normal, replica, pubsub }
}

fn percentiles(values: &Values) -> Vec<f64> {
    numbers(values.text("latency-tracking-info-percentiles"))
}

fn numbers<N: std::str::FromStr>(text: &str) -> Vec<N> {
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn save_points(text: &str) -> Vec<(u32, u32)> {
    numbers(text).chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn memory_share(text: &str) -> MemoryShare {
    match text.strip_suffix('%') {
        Some(percent) => MemoryShare::Percent(percent.parse().expect("a checked percentage")),
        None => MemoryShare::Bytes(text.parse().expect("a checked amount")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn compound_settings_are_taken_apart() {
        let mut settings = Settings::default();
        assert_eq!(settings.save, [(3600, 1), (300, 100), (60, 10000)]);
        assert_eq!(settings.bind, ["*", "-::*"]);
        assert_eq!(settings.latency_tracking_info_percentiles, [50.0, 99.0, 99.9]);
        assert_eq!(settings.client_output_buffer_limit.pubsub.hard_bytes, 32 << 20);
        settings.set("maxmemory-clients", &["5%"]).expect("a share");
        assert_eq!(settings.maxmemory_clients, MemoryShare::Percent(5));
        assert_eq!(settings.maxmemory_clients.limit(1 << 30), Some((1 << 30) / 20));
        assert_eq!(settings.maxmemory_clients.limit(0), None);
        assert_eq!(MemoryShare::Percent(100).limit(u64::MAX), Some(u64::MAX));
        let limits = [0, 1, 1 << 20].map(|bytes| MemoryShare::Bytes(bytes).limit(7));
        assert_eq!(limits, [None, Some(128 << 10), Some(1 << 20)]);
        assert_eq!(settings.key_delays.load.of_keys(u64::MAX), Duration::ZERO);
        settings.set("rdb-key-save-delay", &["1500"]).expect("microseconds");
        assert_eq!(settings.key_delays.save.of_keys(3), Duration::from_micros(4_500));
        assert_eq!(settings.key_delays.save.of_keys(0), Duration::ZERO);
        settings.set("rdb-key-save-delay", &["-50"]).expect("keys a microsecond");
        assert_eq!(settings.key_delays.save.of_keys(1_000), Duration::from_micros(20));
        settings.set("rdb-key-save-delay", &["-2147483648"]).expect("the least");
        assert_eq!(settings.key_delays.save.of_keys(1_000), Duration::ZERO);
        settings.set("unixsocketperm", &["770"]).expect("bits");
        assert_eq!(settings.unixsocketperm, 0o770);
        settings.set("shutdown-on-sigterm", &["now", "save"]).expect("options");
        assert!(settings.shutdown.on_sigterm.now && settings.shutdown.on_sigterm.save);
    }
}
