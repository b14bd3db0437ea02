//! Runs that stand still, and the end of those that somebody else wants ended.
//!
//! A run that has lasted longer than `busy-reply-threshold` may be ended. What it has changed is
//! taken back, unless `script-undo` says that it is left alone then, or not all of it is known.

use std::collections::BTreeMap;

use crate::batch::Batch;
use crate::hook::answer::{Killed, RunningScript};
use crate::keyspace::undo::Undo;
use crate::question::KillKind;
use crate::settings::Settings;
use crate::shard::execute::Engine;
use crate::shard::script::Running;

/// A run that has changed more than can be kept of what was there before.
pub(super) const TOO_MUCH: &str =
    "ERR the script has changed more than script-undo-max allows: all of it is undone";

const SCRIPT_KILLED: &str = "ERR Error running script (call to user_script): Script killed by user \
                             with SCRIPT KILL...";
const FUNCTION_KILLED: &str =
    "ERR Error running script (call to function): Script killed by user with FUNCTION KILL.";
const SERVER_ENDS: &str = "ERR the server ends, and the script with it";
const TOO_LONG: &str = "ERR the script has run longer than script-max-run-ms allows";

/// The runs of a shard that stand still, by number.
#[derive(Default)]
pub(in crate::shard) struct Runs {
    last: u64,
    still: BTreeMap<u64, Box<Running>>,
}

impl Runs {
    /// Keeps a run. Returns its number.
    pub(super) fn put(&mut self, running: Box<Running>) -> u64 {
        self.last += 1;
        self.still.insert(self.last, running);
        self.last
    }

    /// Takes a run that goes on, or that nobody goes on with.
    pub(in crate::shard) fn take(&mut self, number: u64) -> Option<Box<Running>> {
        self.still.remove(&number)
    }
}

impl Runs {
    /// A run that stands still, for those who ask what runs: the oldest.
    pub(in crate::shard) fn running(&self) -> Option<Box<RunningScript>> {
        let oldest = self.still.values().min_by_key(|running| running.since)?;
        Some(Box::new(RunningScript {
            kind: oldest.kind(),
            name: oldest.name.clone(),
            words: oldest.words.clone(),
            since: oldest.since,
        }))
    }
}

impl Running {
    fn kind(&self) -> KillKind {
        if self.is_function { KillKind::Functions } else { KillKind::Scripts }
    }

    /// Ends it with an error as soon as it goes on. What it has changed is taken back.
    pub(super) fn kill(&mut self, error: &str) {
        self.is_killed = true;
        self.run.kill(error);
    }

    /// Ends it where it has run too long by the settings.
    pub(super) fn kill_if_over(&mut self, undo: Option<&Undo>, settings: &Settings) {
        let most = settings.scripts.script_max_run_ms;
        if most > 0 && self.nanos / 1_000_000 >= most && can_be_undone(undo) {
            self.kill(TOO_LONG);
        }
    }
}

/// Whether all that a run has changed can be taken back.
fn can_be_undone(undo: Option<&Undo>) -> bool {
    undo.is_none_or(|undo| undo.is_whole() || !undo.has_changes())
}

impl Engine {
    /// What the batch's next call runs, where that has just become slow.
    pub(in crate::shard) fn newly_slow(&mut self, batch: &Batch) -> Option<KillKind> {
        let number = batch.walk.as_ref()?.run?;
        let running = self.runs.still.get_mut(&number)?;
        let is_new = running.is_slow && !std::mem::replace(&mut running.is_told, true);
        is_new.then(|| running.kind())
    }

    /// Ends the scripts, or the functions, that are slow.
    pub(in crate::shard) fn kill_slow(&mut self, kind: KillKind, settings: &Settings) -> Killed {
        let mut killed = Killed::default();
        let error = match kind {
            KillKind::Scripts => SCRIPT_KILLED,
            KillKind::Functions => FUNCTION_KILLED,
            KillKind::All => SERVER_ENDS,
        };
        let slow = |running: &&mut Box<Running>| match kind {
            KillKind::All => true,
            kind => running.is_slow && running.kind() == kind,
        };
        for running in self.runs.still.values_mut().filter(slow) {
            let undo = running.emitted.undo();
            let has_changes = undo.is_some_and(Undo::has_changes);
            if has_changes && (!settings.scripts.script_undo || !can_be_undone(undo)) {
                killed.kept += 1;
            } else {
                running.kill(error);
                killed.ended += 1;
            }
        }
        killed
    }
}
