//! What every shard answers to a [`Question`](crate::question::Question): figures, logs, slow
//! events.

use std::sync::Arc;

use crate::base::millis::Millis;
use crate::commands::scripting::ScriptFigures;
use crate::counted::Statistics;
use crate::counted::hotkeys::HotKeys;
use crate::counted::log::LogEntry;
use crate::counted::spikes::Spikes;
use crate::data::table::Counts;
use crate::hook::Phase;
use crate::keyspace::interest::Cares;
use crate::keyspace::keys::Figures;

use crate::question::{Events, KillKind};
use crate::script::Script;

/// One shard's answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Its figures.
    Report(Box<Report>),
    /// Entries of a log, newest first.
    Log(Vec<LogEntry>),
    /// Its slow events.
    Spikes(Box<Spikes>),
    /// The slow events that it forgot.
    Forgotten(Events),
    /// The keys that take most.
    HotKeys(Box<HotKeys>),
    /// The script that was asked for.
    Script(Arc<Script>),
    /// A script that runs, or none; and how many are known.
    Running(Option<Box<RunningScript>>, ScriptFigures),
    /// The scripts that were to be ended.
    Killed(Killed),
    /// It is done.
    Done,
}

/// A script or a function that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningScript {
    /// What it is.
    pub kind: KillKind,
    /// The name of the function.
    pub name: String,
    /// The words of the call.
    pub words: Vec<Vec<u8>>,
    /// When it was called.
    pub since: Millis,
}

/// Scripts that have run too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Killed {
    /// They are being ended.
    pub ended: usize,
    /// They go on, since what they have changed cannot be taken back.
    pub kept: usize,
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
    /// For how many of its keys somebody cares.
    pub cares: Cares,
    /// How many channels, patterns, channels of shards and prefixes of keys any client subscribes
    /// to.
    pub subscribed: [usize; 4],
    /// What it counted of its commands.
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
    /// Since when there is too little room under `maxmemory`, and for how many milliseconds there
    /// was before.
    pub exceeded: (Option<Millis>, u64),
    /// What is known of scripts and functions.
    pub scripts: ScriptFigures,
    /// Panics of commands.
    pub panics: u64,
    /// The longest time for which the shard held its thread, in nanoseconds of its CPU time.
    pub longest_slice_ns: u64,
}
