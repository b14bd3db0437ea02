//! The layers around every command, in order: the one place where they are listed.

use tracing::{info, warn};
use troupe::hook::{Gate, Listener, Sink};
use troupe::hooks::auth::Auth;
use troupe::hooks::following::Following;
use troupe::hooks::hotkeys::HotKeyCounts;
use troupe::hooks::journal::JournalWrites;
use troupe::hooks::loading::Loading;
use troupe::hooks::logging::{CommandLine, CommandLog, SampledLog};
use troupe::hooks::memory_limit::MemoryLimit;
use troupe::hooks::monitor::Monitor;
use troupe::hooks::pause::Paused;
use troupe::hooks::payloads::RefusedPayloads;
use troupe::hooks::permission::Permitted;
use troupe::hooks::replicas::GoodReplicas;
use troupe::hooks::silence::Silence;
use troupe::hooks::slowlog::{CommandLogs, LogIds};
use troupe::hooks::snapshot::SnapshotWrites;
use troupe::hooks::spikes::SlowCommands;
use troupe::hooks::subscriber::Subscriber;

/// What may refuse a command, in order.
pub fn gates() -> Vec<Box<dyn Gate>> {
    vec![
        Box::new(Auth),
        Box::new(Permitted),
        Box::new(Loading),
        Box::new(MemoryLimit),
        Box::new(JournalWrites),
        Box::new(SnapshotWrites),
        Box::new(GoodReplicas),
        Box::new(Following),
        Box::new(Subscriber),
        Box::new(Paused),
    ]
}

/// What hears of every change of a key, in order.
pub fn listeners() -> Vec<Box<dyn Listener>> {
    Vec::new()
}

/// What sees every command, in order. `ids` are shared by all shards.
pub fn sinks(ids: LogIds) -> Vec<Box<dyn Sink>> {
    vec![
        Box::new(CommandLogs::new(ids)),
        Box::new(SlowCommands::default()),
        Box::new(SampledLog::new(Box::new(ToTracing))),
        Box::new(Monitor::default()),
        Box::new(RefusedPayloads::new(|client, error| {
            warn!(client, "A payload is refused: {error}");
        })),
        Box::new(HotKeyCounts::default()),
        Box::new(Silence),
    ]
}

/// Structured command logging goes to the server's own log.
struct ToTracing;

impl CommandLog for ToTracing {
    fn write(&mut self, line: &CommandLine) {
        info!(
            command = line.command,
            client = line.client,
            db = line.db,
            words = line.words,
            slots = line.slots,
            micros = line.micros,
            reply_bytes = line.reply_bytes,
            error = line.error.as_deref().unwrap_or_default(),
            refused = line.refused,
            "command"
        );
    }
}
