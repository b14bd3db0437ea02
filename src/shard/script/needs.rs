//! Which slots scripts have turned out to need, so that they begin with them the next time.
//!
//! A script is known by what its call names it by, and by its first key, or else its first
//! argument: scripts of a queue, say, build the names of all their keys from one prefix. It is a
//! guess and no more. A run with a slot too many holds it for nothing, one that lacks some runs
//! again. The shard where a run first lacked a slot learns of it, since the next one begins there.

use std::collections::HashMap;

use crate::base::slot::SLOTS;
use crate::batch::Batch;
use crate::commands::call::Call;
use crate::route::ShardId;
use crate::shard::Shard;
use crate::shard::execute::{Around, Engine};
use crate::shard::letter::Letter;
use crate::shard::script::Running;

/// Scripts that are known by their needs. Beyond that all are forgotten.
const SCRIPTS_MAX: usize = 1_024;

/// Slots that are kept of a script. One that needs more is not known.
const SLOTS_MAX: usize = 64;

/// How often a script is taken to need everything, until it has to show that again.
const ALL_TIMES: u8 = 100;

/// The word of a call that runs a script behind the number of keys.
const FIRST: usize = 3;

/// A script with its first word, by hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScriptOfWord {
    script: u64,
    word: u64,
}

impl ScriptOfWord {
    fn of(call: &Call<'_>) -> ScriptOfWord {
        let first = if call.len() > FIRST { call.arg(FIRST) } else { &[] };
        ScriptOfWord { script: call.hasher.hash(call.arg(1)), word: call.hasher.hash(first) }
    }
}

/// What a run has needed.
#[derive(Clone, Debug)]
pub struct Needs {
    of: ScriptOfWord,
    slots: Needed,
}

/// Slots that a script needs.
#[derive(Clone, Debug)]
enum Needed {
    These(Vec<u16>),
    /// Every one, for so many times more.
    All(u8),
}

/// The needs of scripts, as far as a shard knows.
#[derive(Debug, Default)]
pub(in crate::shard) struct KnownNeeds {
    slots: HashMap<ScriptOfWord, Needed>,
    /// What another shard, or this one, is to know.
    learnt: Vec<(ShardId, Needs)>,
}

impl KnownNeeds {
    fn learn(&mut self, needs: Needs) {
        if self.slots.len() >= SCRIPTS_MAX {
            self.slots.clear();
        }
        self.slots.insert(needs.of, needs.slots);
    }

    /// How many scripts are known to need everything.
    #[cfg(test)]
    pub(super) fn needing_all(&self) -> usize {
        self.slots.values().filter(|needed| matches!(needed, Needed::All(_))).count()
    }

    /// Adds to `slots` what a script is known to need.
    fn add_to(&mut self, slots: &mut Vec<u16>, of: ScriptOfWord) {
        match self.slots.get_mut(&of) {
            None => {}
            Some(Needed::These(known)) => slots.extend(known.iter()),
            Some(Needed::All(0)) => drop(self.slots.remove(&of)),
            Some(Needed::All(times)) => {
                *times -= 1;
                slots.extend(0..SLOTS);
            }
        }
    }
}

impl Engine {
    /// A run has ended that had to run again, for the first time at the shard of the walk.
    pub(super) fn note_needs(&mut self, running: &Running, call: &Call<'_>, around: &Around<'_>) {
        let Some(first) = around.walk.as_ref().and_then(|walk| walk.first) else { return };
        let slots = match running.met.len() {
            _ if running.changes_large => Needed::All(ALL_TIMES),
            0..=SLOTS_MAX => Needed::These(running.met.iter().copied().collect()),
            _ => return,
        };
        self.known_needs.learnt.push((first, Needs { of: ScriptOfWord::of(call), slots }));
    }
}

impl Shard {
    /// Adds to what the next call of a batch needs, which runs a script, what its script is known
    /// to need.
    pub(in crate::shard) fn add_known_needs(&mut self, batch: &mut Batch) {
        let is_first = batch.walk.is_none() && batch.errand.is_none() && batch.wider.is_empty();
        if !is_first || self.engine.known_needs.slots.is_empty() {
            return;
        }
        let Some(command) = batch.routed[batch.next].command else { return };
        let (call, around) = batch.split(command, &self.env);
        self.engine.known_needs.add_to(around.wider, ScriptOfWord::of(&call));
    }

    /// Tells shards what they are to know of the needs of scripts.
    #[inline]
    pub(in crate::shard) fn tell_needs(&mut self) {
        if self.engine.known_needs.learnt.is_empty() {
            return;
        }
        for (to, needs) in std::mem::take(&mut self.engine.known_needs.learnt) {
            match to == self.id {
                true => self.learn_needs(needs),
                false => self.outbox.letters.push((to, Letter::Needs(needs))),
            }
        }
    }

    /// A script that began here has turned out to need this.
    pub(in crate::shard) fn learn_needs(&mut self, needs: Needs) {
        self.engine.known_needs.learn(needs);
    }
}
