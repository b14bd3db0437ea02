//! The reports of all shards as one.

use std::collections::BTreeMap;

use crate::base::millis::Millis;
use crate::commands::scripting::ScriptFigures;
use crate::counted::Statistics;
use crate::data::table::Counts;
use crate::hook::Phase;
use crate::hook::answer::{Answer, Report};
use crate::keyspace::interest::Cares;
use crate::keyspace::keys::Figures;
use crate::keyspace::slot::Table;

/// What all shards together counted.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// By database.
    pub databases: BTreeMap<u32, Counts>,
    /// What commands did with keys.
    pub figures: Figures,
    /// For how many keys somebody cares.
    pub cares: Cares,
    /// How many channels, patterns and channels of shards any client subscribes to.
    pub subscribed: [usize; 4],
    /// What the shards counted of their commands.
    pub statistics: Statistics,
    /// Entries of tables that still have to be dropped.
    pub discarded: usize,
    /// Large values and keys of tables that were dropped, out of everybody's way.
    pub freed: u64,
    /// Since when there is too little room under `maxmemory`, and for how many milliseconds there
    /// was before: the limit is one for all, so the longest that a shard knows of.
    pub exceeded: (Option<Millis>, u64),
    /// What is known of scripts and functions, of which every shard knows all.
    pub scripts: ScriptFigures,
    /// Batches that wait for the end of a pause or for the journal.
    pub held_back: usize,
    /// Bytes of the tables, without what they hold.
    pub table_bytes: usize,
    /// By shard.
    pub shards: Vec<ShardRow>,
}

/// One shard.
#[derive(Clone, Copy, Debug)]
pub struct ShardRow {
    /// What it can do now.
    pub phase: Phase,
    /// Its keys.
    pub keys: usize,
    /// Slots that are here now.
    pub slots: usize,
    /// Commands that it ran.
    pub calls: u64,
    /// Batches that wait there.
    pub waiting: usize,
    /// Panics of commands.
    pub panics: u64,
    /// The longest time for which it held its thread, in nanoseconds of the thread's CPU time.
    pub longest_slice_ns: u64,
}

impl Totals {
    /// Adds up the reports among the answers, in the order of the shards.
    pub fn of(answers: &[Answer]) -> Totals {
        let mut totals = Totals::default();
        for answer in answers {
            if let Answer::Report(report) = answer {
                totals.add(report);
            }
        }
        totals
    }

    /// Keys of all databases.
    pub fn keys(&self) -> usize {
        self.databases.values().map(|counts| counts.len).sum()
    }

    /// Those of them that are blessed.
    pub fn blessed(&self) -> usize {
        self.databases.values().map(|counts| counts.blessed).sum()
    }

    /// Each thread has its own copies and machines.
    fn add_scripts(&mut self, of_shard: &ScriptFigures) {
        let all = &mut self.scripts;
        all.scripts = all.scripts.max(of_shard.scripts);
        all.evicted = all.evicted.max(of_shard.evicted);
        (all.libraries, all.functions) = (of_shard.libraries, of_shard.functions);
        all.script_bytes += of_shard.script_bytes;
        all.library_bytes += of_shard.library_bytes;
        all.machine_bytes += of_shard.machine_bytes;
    }

    fn add(&mut self, report: &Report) {
        for (db, counts) in &report.databases {
            self.databases.entry(*db).or_default().add(*counts);
            self.table_bytes += counts.buckets * Table::BUCKET_BYTES;
        }
        self.figures.add(&report.figures);
        self.cares.add(report.cares);
        // Every shard knows of all.
        self.subscribed = report.subscribed;
        self.statistics.merge(&report.statistics);
        self.discarded += report.discarded;
        self.freed += report.freed;
        self.add_scripts(&report.scripts);
        let (since, total_ms) = report.exceeded;
        self.exceeded.0 = self.exceeded.0.into_iter().chain(since).min();
        self.exceeded.1 = self.exceeded.1.max(total_ms);
        self.held_back += report.held_back;
        self.shards.push(ShardRow {
            phase: report.phase,
            keys: report.databases.iter().map(|(_, counts)| counts.len).sum(),
            slots: report.slots,
            calls: report.statistics.calls,
            waiting: report.waiting,
            panics: report.panics,
            longest_slice_ns: report.longest_slice_ns,
        });
    }
}
