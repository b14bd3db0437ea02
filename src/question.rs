//! What is asked of every shard at once: the words of it, which commands say and every layer above
//! them understands. What is answered is `crate::hook::answer`'s.
//!
//! A question changes nothing but figures, so that it needs no order among shards.

use crate::base::millis::Millis;
use crate::script::Sha;
use crate::settings::Settings;

/// Which of the logs of remarkable commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// Those that ran long.
    Slow,
    /// Those with a large request.
    LargeRequest,
    /// Those with a large reply.
    LargeReply,
}

impl LogKind {
    /// All logs.
    pub const ALL: [LogKind; 3] = [LogKind::Slow, LogKind::LargeRequest, LogKind::LargeReply];

    /// From how much on a command is remarkable, in microseconds or bytes; none if never.
    #[inline]
    pub fn threshold(self, settings: &Settings) -> Option<u64> {
        let threshold = match self {
            LogKind::Slow => settings.slowlog_log_slower_than,
            LogKind::LargeRequest => settings.commandlog_request_larger_than,
            LogKind::LargeReply => settings.commandlog_reply_larger_than,
        };
        u64::try_from(threshold).ok()
    }

    /// How many entries it may have.
    pub fn len_max(self, settings: &Settings) -> usize {
        let len = match self {
            LogKind::Slow => settings.slowlog_max_len,
            LogKind::LargeRequest => settings.commandlog_large_request_max_len,
            LogKind::LargeReply => settings.commandlog_large_reply_max_len,
        };
        usize::try_from(len).unwrap_or(usize::MAX)
    }
}

/// What may take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A command.
    Command,
    /// A command that is declared fast.
    FastCommand,
    /// Taking out expired keys.
    ExpireCycle,
    /// A write to the journal.
    AofWrite,
    /// A sync of the journal before replies.
    AofFsyncAlways,
    /// A rebuild of a shard from the journal.
    ShardRebuild,
}

impl Event {
    /// All events.
    pub const ALL: [Event; 6] = [
        Event::Command,
        Event::FastCommand,
        Event::ExpireCycle,
        Event::AofWrite,
        Event::AofFsyncAlways,
        Event::ShardRebuild,
    ];

    /// As clients name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Event::Command => "command",
            Event::FastCommand => "fast-command",
            Event::ExpireCycle => "expire-cycle",
            Event::AofWrite => "aof-write",
            Event::AofFsyncAlways => "aof-fsync-always",
            Event::ShardRebuild => "shard-rebuild",
        }
    }

    /// The event of this name, in any case.
    pub fn named(name: &[u8]) -> Option<Event> {
        Event::ALL.into_iter().find(|event| event.as_str().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// A set of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u8);

impl Events {
    /// Every event.
    pub const ALL: Events = Events(u8::MAX);

    /// Puts an event in.
    pub fn insert(&mut self, event: Event) {
        self.0 |= 1 << event as u8;
    }

    /// Whether an event is in it.
    pub fn has(self, event: Event) -> bool {
        self.0 & (1 << event as u8) != 0
    }

    /// Both together.
    pub fn and(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// True if there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What runs that is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillKind {
    /// Scripts.
    Scripts,
    /// Functions.
    Functions,
    /// Both, whether they have run long or not: the server ends.
    All,
}

impl KillKind {
    /// The command that ends it, without its last word.
    pub const fn container(self) -> &'static str {
        match self {
            KillKind::Scripts | KillKind::All => "SCRIPT",
            KillKind::Functions => "FUNCTION",
        }
    }
}

/// How much a report tells of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Sums over all commands.
    Sums,
    /// What each command did.
    Commands,
    /// Also how long the runs of each took: many kilobytes for each.
    Latencies,
}

/// A question to every shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Nothing: the reply needs only what the process knows.
    Nothing,
    /// All figures, with so much of its commands.
    Report(Detail),
    /// The newest entries of a log, this many at the most.
    Log(LogKind, usize),
    /// Forget a log.
    LogReset(LogKind),
    /// Forget the statistics.
    ResetStatistics,
    /// The script of this digest.
    Script(Sha),
    /// End the scripts or functions that have run too long.
    KillScripts(KillKind),
    /// What runs that has given its thread back.
    RunningScript,
    /// The slow events.
    Spikes,
    /// Forget these slow events.
    ForgetSpikes(Events),
    /// The keys that take most, as of this time.
    HotKeys(Millis),
    /// Forget which keys were asked for.
    ForgetHotKeys,
}
