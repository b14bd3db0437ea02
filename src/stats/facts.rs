//! What the core cannot know: the process, its sockets, its memory, its journal, its actors.
//!
//! A plain value that the shell fills when a reply needs it. Every part has a default of zeros, so
//! that a test or a simulator fills in only what it looks at.

use std::sync::Arc;

use crate::balance;
use crate::base::millis::Millis;
use crate::counted::hotkeys::HotKeySession;
use crate::replication::Figures;
use crate::settings::Settings;
use crate::stats::rates::PerSecond;

/// Everything about the process.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The time now.
    pub now: Millis,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// The process itself.
    pub process: Process,
    /// Its clients.
    pub clients: Clients,
    /// Its memory.
    pub memory: Memory,
    /// Its traffic.
    pub network: Network,
    /// Its journal.
    pub journal: JournalFacts,
    /// Its snapshots.
    pub snapshots: SnapshotFacts,
    /// Its stream, and its replicas.
    pub replication: Figures,
    /// Its link to its primary, where it has one.
    pub link: Option<LinkFacts>,
    /// Processor time that it took.
    pub cpu: Cpu,
    /// The session of HOTKEYS, if there is one.
    pub hotkeys: Option<Arc<HotKeySession>>,
    /// Its actors.
    pub actors: Vec<ActorRow>,
    /// How the load is spread over the shards.
    pub balance: balance::figures::Figures,
    /// For how long its end waits for replicas still, in milliseconds, while it does.
    pub ends_in_ms: Option<u64>,
}

/// The process: what it is and where it runs.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Version of this server.
    pub version: &'static str,
    /// Commit that it was built from.
    pub git_sha: &'static str,
    /// Whether there were changes beside that commit.
    pub git_dirty: bool,
    /// Tells builds apart.
    pub build_id: &'static str,
    /// Operating system, release and machine, as `uname` gives them.
    pub os: String,
    /// What waits for sockets.
    pub multiplexing: &'static str,
    /// Number of the process.
    pub id: u32,
    /// The service manager that is told how the start goes: `no`, `systemd`, `upstart`.
    pub supervised: &'static str,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// When it started.
    pub started: Millis,
    /// Path of the program.
    pub executable: String,
    /// Path of the file of settings, empty if there is none.
    pub config_file: String,
    /// What it listens at: kind (`tcp`, `unix`), addresses, port.
    pub listeners: Vec<(&'static str, Vec<String>, u16)>,
    /// Memory of the machine, in bytes.
    pub system_memory: u64,
}

/// The clients.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// Connected now.
    pub connected: u64,
    /// Those of them that watch keys.
    pub watching: u64,
    /// Those that subscribe to something.
    pub subscribing: u64,
    /// Clients for which keys are tracked.
    pub tracking: u64,
    /// Those that wait for keys.
    pub blocked: u64,
    /// Those of them whose wait ends by itself.
    pub timed: u64,
    /// The largest input that waited for a client lately, in bytes.
    pub input_max_bytes: u64,
    /// The largest output that waited for a client lately, in bytes.
    pub output_max_bytes: u64,
    /// Memory of all, in bytes.
    pub bytes: u64,
    /// Those that were closed since all together held too much.
    pub evicted: u64,
    /// Those of each thread.
    pub threads: Vec<ThreadClients>,
    /// Until when CLIENT PAUSE holds, and whether it holds all commands; none if nothing is paused.
    pub paused: Option<(Millis, bool)>,
}

/// The clients of a thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadClients {
    /// Connected now.
    pub connected: u64,
    /// Those that have come from another thread, since the start.
    pub moved_in: u64,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// What is in use.
    pub used: u64,
    /// What the program asked the allocator for, as that says, with what it keeps for each thread.
    pub allocated: u64,
    /// What it keeps for threads.
    pub cached: u64,
    /// In pages that hold some of it.
    pub active: u64,
    /// In pages that the allocator holds in memory.
    pub resident: u64,
    /// What the allocator needs for itself.
    pub metadata: u64,
    /// The most that was ever in use.
    pub peak: u64,
    /// What was in use when the server had started and was empty.
    pub startup: u64,
    /// What of `used` does not count for `maxmemory`.
    pub uncounted: u64,
    /// What of the process is in memory.
    pub rss: u64,
    /// Name and version of the allocator.
    pub allocator: &'static str,
}

/// Traffic since the start, or since CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    /// Connections taken.
    pub accepted: u64,
    /// Connections refused since there were too many.
    pub rejected: u64,
    /// Bytes read from clients.
    pub input_bytes: u64,
    /// Bytes written to clients.
    pub output_bytes: u64,
    /// Reads from sockets.
    pub reads: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Clients cut off for too much input.
    pub query_limit_disconnections: u64,
    /// Clients cut off for too much output.
    pub output_limit_disconnections: u64,
    /// What happens a second, lately.
    pub per_second: PerSecond,
}

/// The journal.
#[derive(Clone, Debug, Default)]
pub struct JournalFacts {
    /// There is one.
    pub enabled: bool,
    /// The data set is being loaded from it.
    pub loading: Option<LoadProgress>,
    /// A rewrite runs.
    pub rewriting: bool,
    /// A rewrite is to start.
    pub rewrite_scheduled: bool,
    /// Seconds that the last rewrite took.
    pub last_rewrite_seconds: Option<u64>,
    /// Seconds that the rewrite has run.
    pub current_rewrite_seconds: Option<u64>,
    /// The last rewrite failed.
    pub rewrite_failed: bool,
    /// Rewrites so far.
    pub rewrites: u64,
    /// Rewrites that failed since one went well.
    pub rewrite_failures: u64,
    /// Why it takes no writes.
    pub failed: Option<String>,
    /// Bytes of all its files.
    pub size_bytes: u64,
    /// Bytes of all its files after the last rewrite.
    pub base_bytes: u64,
    /// Bytes that wait to be written.
    pub buffer_bytes: u64,
    /// Whether a sync runs.
    pub syncing: bool,
    /// Times that writes waited for a sync.
    pub delayed_syncs: u64,
    /// Keys that had expired already when they were loaded.
    pub loaded_expired: u64,
    /// Keys that were loaded at the start.
    pub loaded_keys: u64,
}

/// Snapshots.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnapshotFacts {
    /// When the data set was last on disk as a whole; at first, when the server started.
    pub last_save: Millis,
    /// Changes at that time.
    pub changes_at_last_save: u64,
    /// The last one failed.
    pub has_failed: bool,
    /// Seconds that the last one took.
    pub last_seconds: Option<u64>,
    /// Seconds for which one has been written.
    pub current_seconds: Option<u64>,
    /// How many were begun.
    pub count: u64,
}

/// How a replica is linked to its primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// It is about to connect.
    #[default]
    Unlinked,
    /// It connects, and presents itself.
    Handshake,
    /// A snapshot comes, or is loaded.
    Sync,
    /// The stream comes.
    Linked,
}

/// The link to the primary.
#[derive(Clone, Debug, Default)]
pub struct LinkFacts {
    /// How far it is.
    pub state: LinkState,
    /// Seconds since the primary was heard.
    pub silent_seconds: Option<u64>,
    /// Seconds since the link was lost.
    pub down_seconds: Option<u64>,
    /// Bytes of the stream that have come.
    pub read: u64,
    /// Bytes of the snapshot: in all where that is known, those that have come, and seconds since
    /// the last of them.
    pub sync: (Option<u64>, u64, u64),
}

/// Loading, so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadProgress {
    /// Since when.
    pub since: Millis,
    /// Bytes to load.
    pub total_bytes: u64,
    /// Bytes loaded.
    pub loaded_bytes: u64,
}

/// Processor time, in seconds, and what else tells how busy the process was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// In the kernel.
    pub system: f64,
    /// In the program.
    pub user: f64,
    /// In the kernel, of children that ended.
    pub system_children: f64,
    /// In the program, of children that ended.
    pub user_children: f64,
    /// In the kernel, of the main thread.
    pub system_main: f64,
    /// In the program, of the main thread.
    pub user_main: f64,
    /// On the clock, while the main thread did not wait for anything to do.
    pub active_main: f64,
}

/// One actor.
#[derive(Clone, Debug, Default)]
pub struct ActorRow {
    /// Its name.
    pub name: String,
    /// The thread it runs on.
    pub thread: String,
    /// Times that it was started again.
    pub restarts: u64,
    /// Messages that wait for it.
    pub queue: usize,
    /// What its last panic said.
    pub last_panic: Option<String>,
}
