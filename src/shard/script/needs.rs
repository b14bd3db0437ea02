//! Which slots scripts have turned out to need, so that they begin with them the next time.
//!
//! A script is known by what its call names it by, and by its first key: scripts of a queue, say,
//! build the names of all their keys from one prefix. It is a guess and no more. A run with a slot
//! too many holds it for nothing, one that lacks some runs again. The shard where a run first
//! lacked a slot learns of it, since the next one begins there.

use std::collections::HashMap;

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

/// A script with its first key, by hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScriptOfKey {
    script: u64,
    key: u64,
}

impl ScriptOfKey {
    fn of(call: &Call<'_>) -> Option<ScriptOfKey> {
        let key = call.keys.first()?.hash;
        Some(ScriptOfKey { script: call.hasher.hash(call.arg(1)), key })
    }
}

/// What a run has needed.
#[derive(Clone, Debug)]
pub struct Needs {
    of: ScriptOfKey,
    slots: Vec<u16>,
}

/// The needs of scripts, as far as a shard knows.
#[derive(Debug, Default)]
pub(in crate::shard) struct KnownNeeds {
    slots: HashMap<ScriptOfKey, Vec<u16>>,
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
}

impl Engine {
    /// A run has ended that had to run again, for the first time at the shard of the walk.
    pub(super) fn note_needs(&mut self, running: &Running, call: &Call<'_>, around: &Around<'_>) {
        let Some(first) = around.walk.as_ref().and_then(|walk| walk.first) else { return };
        let few = running.met.len() <= SLOTS_MAX;
        if let Some(of) = ScriptOfKey::of(call).filter(|_| few) {
            let slots = running.met.iter().copied().collect();
            self.known_needs.learnt.push((first, Needs { of, slots }));
        }
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
        batch.find_keys(command, &self.env.hasher);
        let (call, around) = batch.split(command, &self.env);
        let known = ScriptOfKey::of(&call).and_then(|of| self.engine.known_needs.slots.get(&of));
        around.wider.extend(known.into_iter().flatten());
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
