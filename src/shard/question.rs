//! What is asked of every shard at once, and what each answers: figures, logs, resets.
//!
//! A question changes nothing but figures, so that it needs no order among shards.

use crate::data::table::Counts;
use crate::keyspace::keys::Figures;
use crate::settings::Settings;
use crate::shard::Phase;
use crate::stats::Statistics;
use crate::stats::log::LogEntry;
use crate::stats::spikes::{Events, Spikes};

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
            LogKind::Slow => settings.commandlog_execution_slower_than,
            LogKind::LargeRequest => settings.commandlog_request_larger_than,
            LogKind::LargeReply => settings.commandlog_reply_larger_than,
        };
        u64::try_from(threshold).ok()
    }

    /// How many entries it may have.
    pub fn len_max(self, settings: &Settings) -> usize {
        let len = match self {
            LogKind::Slow => settings.commandlog_slow_execution_max_len,
            LogKind::LargeRequest => settings.commandlog_large_request_max_len,
            LogKind::LargeReply => settings.commandlog_large_reply_max_len,
        };
        usize::try_from(len).unwrap_or(usize::MAX)
    }
}

/// A question to every shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Nothing: the reply needs only what the process knows.
    Nothing,
    /// All figures.
    Report,
    /// The newest entries of a log, this many at the most.
    Log(LogKind, usize),
    /// Forget a log.
    LogReset(LogKind),
    /// Forget the statistics.
    ResetStatistics,
    /// The slow events.
    Spikes,
    /// Forget these slow events.
    ForgetSpikes(Events),
    /// Whether the shard's part of a base is told.
    Told,
}

/// One shard's answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Its figures.
    Report(Box<Report>),
    /// What its sinks counted.
    Statistics(Box<Statistics>),
    /// Entries of a log, newest first.
    Log(Vec<LogEntry>),
    /// Its slow events.
    Spikes(Box<Spikes>),
    /// The slow events that it forgot.
    Forgotten(Events),
    /// Whether its part of a base is told.
    Told(bool),
    /// It is done.
    Done,
}

/// The figures of one shard.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it can do now.
    pub phase: Phase,
    /// By database, ascending.
    pub databases: Vec<(u32, Counts)>,
    /// What its commands did with keys.
    pub figures: Figures,
    /// What its statistics sink counted.
    pub statistics: Statistics,
    /// Slots that are here.
    pub slots: usize,
    /// Batches that wait here.
    pub waiting: usize,
    /// Those of them that wait for the end of a pause or for the journal.
    pub held_back: usize,
    /// Entries of tables that still have to be dropped.
    pub discarded: usize,
    /// Large values and keys of tables that were dropped, out of everybody's way.
    pub freed: u64,
    /// Panics of commands.
    pub panics: u64,
    /// The longest time for which the shard held its thread, in nanoseconds of its CPU time.
    pub longest_slice_ns: u64,
}
