//! What is asked of every shard at once, and what each answers: figures, logs, resets.
//!
//! A question changes nothing but figures, so that it needs no order among shards.

use crate::keyspace::keys::Figures;
use crate::keyspace::table::Counts;
use crate::stats::Statistics;
use crate::stats::log::LogEntry;

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

/// A question to every shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// All figures.
    Report,
    /// The newest entries of a log, this many at the most.
    Log(LogKind, usize),
    /// Forget a log.
    LogReset(LogKind),
    /// Forget the statistics.
    ResetStatistics,
    /// Forget the latency histograms.
    ResetLatency,
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
    /// It is done.
    Done,
}

/// The figures of one shard.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By database.
    pub databases: Vec<Counts>,
    /// What its commands did with keys.
    pub figures: Figures,
    /// What its statistics sink counted.
    pub statistics: Statistics,
    /// Batches that wait here.
    pub waiting: usize,
    /// Entries of tables that still have to be dropped.
    pub discarded: usize,
    /// Panics of commands.
    pub panics: u64,
}
