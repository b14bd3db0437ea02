//! What INFO says of the process: read from the system when it is asked for.
//!
//! A figure of the kernel's costs as much as many commands, so it may be as old as [`USAGE_MS`].

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::runtime::Handle;
use troupe::aof::figures::JournalFigures;
use troupe::base::millis::Millis;
use troupe::commands::action::PauseMode;
use troupe::settings::{Settings, Supervision};
use troupe::stats::facts::{
    ActorRow, Clients, Cpu, Facts, JournalFacts, Memory, Network, Process, ThreadClients,
};
use troupe::stats::gathered::Needs;
use troupe::stats::rates::{Counters, EVERY_MS, Rates};

use super::Admin;
use crate::allocator;
use crate::replicas::digits;
use crate::shared::{ClientMemory, Counter, Shared, Traffic};

/// For how long what the kernel says of the process is good enough, in milliseconds.
const USAGE_MS: u64 = 100;

/// What the process uses, as the kernel says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// On the steady clock; none where it was never asked.
    until: Option<u64>,
    /// Of memory, in bytes.
    rss: u64,
    pub(super) cpu: Cpu,
}

/// What does not change while the process lives.
#[derive(Clone, Debug)]
pub struct Origin {
    process: Process,
    startup_bytes: u64,
    /// The runtime of the main thread.
    main: Handle,
}

impl Origin {
    /// What is known at the start.
    ///
    /// # Panics
    /// Elsewhere than on the main thread's runtime.
    pub fn new(settings: &Settings, file: Option<&Path>, now: Millis) -> Origin {
        let uname = rustix::system::uname();
        let process = Process {
            version: env!("CARGO_PKG_VERSION"),
            git_sha: option_env!("TROUPE_GIT_SHA").unwrap_or("00000000"),
            git_dirty: false,
            build_id: env!("CARGO_PKG_VERSION"),
            os: format!(
                "{} {} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy(),
                uname.machine().to_string_lossy()
            ),
            multiplexing: "epoll",
            id: std::process::id(),
            supervised: match settings.supervised {
                Supervision::Systemd => "systemd",
                Supervision::Upstart => "upstart",
                _ => "no",
            },
            run_id: digits(),
            started: now,
            executable: std::env::current_exe()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            config_file: file.map(|path| path.display().to_string()).unwrap_or_default(),
            listeners: Vec::new(),
            system_memory: system_memory(),
        };
        let counters = allocator::counters();
        let startup_bytes = counters.allocated.saturating_sub(counters.cached);
        Origin { process, startup_bytes, main: Handle::current() }
    }
}

impl Admin {
    /// What INFO and its relatives may say of the process now; of what takes long to find out, only
    /// what is needed.
    pub(super) fn facts(&self, needs: Needs) -> Facts {
        let now = self.parts.clock.now();
        let settings = self.settings();
        let process =
            Process { listeners: listeners(&settings), ..self.parts.origin.process.clone() };
        let memory = &self.parts.shared.client_memory;
        let peak = |figure: fn(&ClientMemory) -> &Counter| {
            memory.iter().map(|thread| figure(thread).get()).max().unwrap_or(0)
        };
        let replication = self.parts.shared.replicas.figures(self.parts.clock.steady_ms());
        let replicas = replication.replicas.len();
        Facts {
            now,
            settings,
            process,
            clients: Clients {
                connected: self.parts.shared.clients().saturating_sub(replicas) as u64,
                blocked: self.parts.shared.sum(|traffic| &traffic.blocked)
                    + self.count_waiting_for_end(),
                timed: self.parts.shared.sum(|traffic| &traffic.timed),
                watching: self.parts.shared.sum(|traffic| &traffic.watching),
                subscribing: self.parts.shared.sum(|traffic| &traffic.subscribing),
                tracking: self.parts.shared.sum(|traffic| &traffic.tracking),
                input_max_bytes: peak(|memory| &memory.input_peak),
                output_max_bytes: peak(|memory| &memory.output_peak),
                bytes: memory.iter().map(|thread| thread.sum().bytes).sum(),
                evicted: self.parts.shared.evicted.load(Ordering::Relaxed),
                threads: self.thread_clients(),
                paused: self.paused().map(|p| (p.until, p.mode == PauseMode::All)),
            },
            memory: if needs.memory { self.memory() } else { Memory::default() },
            network: self.network(),
            journal: self.journal(now),
            snapshots: self.saves().facts(now),
            replication,
            link: self.link_facts(),
            cpu: if needs.cpu { self.usage().cpu } else { Cpu::default() },
            hotkeys: self.hotkey_session(),
            actors: self.actors(),
            balance: self.parts.shared.balance().clone(),
            ends_in_ms: self.ends_in_ms(),
        }
    }

    fn thread_clients(&self) -> Vec<ThreadClients> {
        let Shared { threads, traffic, .. } = &*self.parts.shared;
        let of = |(seats, traffic): (&AtomicUsize, &Traffic)| ThreadClients {
            connected: seats.load(Ordering::Relaxed) as u64,
            moved_in: traffic.moved_in.get(),
        };
        threads.iter().zip(traffic).map(of).collect()
    }

    /// Takes samples for as long as the server lives.
    pub async fn take_samples(self: Arc<Admin>) {
        loop {
            self.sample();
            tokio::time::sleep(Duration::from_millis(EVERY_MS)).await;
        }
    }

    /// Notes how far the counters are and how much memory is in use.
    fn sample(&self) {
        self.rates().sample(self.parts.clock.steady_ms(), self.counters());
        self.settle();
        self.expire_hotkeys();
        let Shared { memory, peak, .. } = &*self.parts.shared;
        peak.fetch_max(memory.in_use(), Ordering::Relaxed);
    }

    /// Asks the allocator, and settles with it what threads have published.
    fn settle(&self) -> Memory {
        self.parts.shared.memory.settle(allocator::counters)
    }

    fn counters(&self) -> Counters {
        let shared = &self.parts.shared;
        Counters {
            commands: shared.sum(|traffic| &traffic.commands),
            input_bytes: shared.sum(|traffic| &traffic.bytes_in),
            output_bytes: shared.sum(|traffic| &traffic.bytes_out),
        }
    }

    /// What happens a second.
    pub(super) fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn memory(&self) -> Memory {
        let startup = self.parts.origin.startup_bytes;
        let counters = self.settle();
        let Shared { memory, peak, .. } = &*self.parts.shared;
        let (used, uncounted) = (memory.in_use(), memory.uncounted());
        let peak = peak.fetch_max(used, Ordering::Relaxed).max(used);
        let rss = self.usage().rss;
        Memory { used, uncounted, peak, startup, rss, ..counters }
    }

    /// What the process uses.
    pub(super) fn usage(&self) -> Usage {
        let mut usage = self.usage.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now = self.parts.clock.steady_ms();
        if usage.until.is_none_or(|until| until <= now) {
            let until = Some(now + USAGE_MS);
            *usage = Usage { until, rss: resident(), cpu: cpu(&self.parts.origin.main) };
        }
        *usage
    }

    fn network(&self) -> Network {
        let shared = &self.parts.shared;
        let Counters { input_bytes, output_bytes, .. } = self.counters();
        Network {
            accepted: shared.accepted.load(Ordering::Relaxed),
            rejected: shared.rejected.load(Ordering::Relaxed),
            input_bytes,
            output_bytes,
            reads: shared.sum(|traffic| &traffic.reads),
            writes: shared.sum(|traffic| &traffic.writes),
            query_limit_disconnections: shared.cut_for_input.load(Ordering::Relaxed),
            output_limit_disconnections: shared.cut_for_output.load(Ordering::Relaxed),
            per_second: self.rates().per_second(),
        }
    }

    fn journal(&self, now: Millis) -> JournalFacts {
        let figures = self.figures();
        let loading = &self.parts.shared.loading;
        let (loaded_keys, loaded_expired) = loading.keys();
        let rewrites = self.rewrites();
        JournalFacts {
            enabled: self.writer().is_some(),
            loading: loading.progress(),
            loaded_keys,
            loaded_expired,
            failed: figures.fault.as_ref().map(|fault| fault.reason.clone()),
            size_bytes: figures.current_size,
            base_bytes: figures.base_size,
            buffer_bytes: figures.buffer_length,
            syncing: figures.pending_syncs > 0,
            delayed_syncs: figures.delayed_syncs,
            rewriting: rewrites.since.is_some(),
            rewrite_scheduled: rewrites.is_scheduled,
            current_rewrite_seconds: rewrites.seconds(now),
            last_rewrite_seconds: rewrites.last_seconds,
            rewrite_failed: rewrites.failures > 0,
            rewrites: rewrites.count,
            rewrite_failures: rewrites.failures,
        }
    }

    /// The journal's figures.
    pub(super) fn figures(&self) -> JournalFigures {
        self.parts.journal.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn actors(&self) -> Vec<ActorRow> {
        let restarts = self.parts.restarts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let row = |name: String, thread: String| {
            let record = restarts.get(&name).cloned().unwrap_or_default();
            ActorRow {
                thread,
                restarts: record.restarts,
                queue: 0,
                last_panic: Some(record.last_panic).filter(|text| !text.is_empty()),
                name,
            }
        };
        let mut rows = vec![
            row("listener".to_owned(), "main".to_owned()),
            row("router".to_owned(), "main".to_owned()),
            row("guardian".to_owned(), "main".to_owned()),
        ];
        rows.push(row("snapshot-writer".to_owned(), "snapshot-writer".to_owned()));
        if self.writer().is_some() {
            rows.push(row("aof-writer".to_owned(), "aof-writer".to_owned()));
        }
        for number in 0..self.parts.shards.len() {
            rows.push(row(format!("shard-{number}"), format!("shard-{number}")));
        }
        rows
    }
}

/// Kind, addresses and port of what is listened on.
fn listeners(settings: &Settings) -> Vec<(&'static str, Vec<String>, u16)> {
    let mut listeners = Vec::new();
    if settings.port > 0 {
        listeners.push(("tcp", settings.bind.clone(), settings.port));
    }
    if !settings.unixsocket.as_os_str().is_empty() {
        listeners.push(("unix", vec![settings.unixsocket.display().to_string()], 0));
    }
    listeners
}

/// What of the process is in memory, in bytes.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * rustix::param::page_size() as u64
}

fn system_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

fn cpu(main: &Handle) -> Cpu {
    let (user, system, user_children, system_children) = times("/proc/self/stat");
    let (user_main, system_main, ..) =
        times(&format!("/proc/self/task/{}/stat", std::process::id()));
    let active_main = main.metrics().worker_total_busy_duration(0).as_secs_f64();
    Cpu { system, user, system_children, user_children, system_main, user_main, active_main }
}

/// User and system time of a process or thread and of its children, in seconds.
fn times(path: &str) -> (f64, f64, f64, f64) {
    let text = fs::read_to_string(path).unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let fields: Vec<f64> = after_name
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .map(|field| field.parse::<f64>().unwrap_or_default() / ticks)
        .collect();
    match fields[..] {
        [user, system, user_children, system_children] => {
            (user, system, user_children, system_children)
        }
        _ => (0.0, 0.0, 0.0, 0.0),
    }
}
