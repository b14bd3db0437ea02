//! The keys of a file come to those that are there, at one moment: DEBUG RELOAD.
//!
//! The file was loaded by a shard apart (`src/aof/apart.rs`), while all others went on. Its keys
//! come with a batch that goes over all shards, as FLUSHALL does. So nobody sees a part of them,
//! and where the file could not be loaded nothing has changed.
//!
//! The journal hears nothing of it. Whoever files the batch sees to it that the data set is what
//! the journal says.

use crate::base::millis::Millis;
use crate::base::slot::SLOTS;
use crate::batch::Batch;
use crate::commands::command::{Command, Name, Run};
use crate::hook::Phase;
use crate::keyspace::contents::{Coming, StaysAway};
use crate::keyspace::keys::Keys;
use crate::shard::execute::Engine;
use crate::shard::{Shard, Ticks};

/// What goes over all shards. No client can name it.
static ARRIVAL: Command =
    Command { name: Name("arrival"), run: Run::All(|_, _, _| Ok(())), ..Command::BASE };

/// A batch that brings keys; to be filed with any shard.
pub fn arrival(coming: Coming, now: Millis) -> Box<Batch> {
    let mut batch = Batch::of_nobody(&ARRIVAL, now);
    batch.coming = Some(Box::new(coming));
    batch
}

impl Shard {
    /// All slots stand in one keyspace: the keys come, and the slots go home.
    pub(super) fn take_arrival(
        &mut self,
        batch: &mut Batch,
        coming: Coming,
        clock: &mut dyn Ticks,
    ) {
        let Coming { contents, present, told } = coming;
        // A snapshot would take new keys for those of its moment.
        self.fail_snapshot();
        let Shard { engine, env, .. } = self;
        let is_trusted = engine.phase == Phase::Serving;
        let errand = batch.errand.as_mut().filter(|_| is_trusted);
        let came = errand.map_or(Err(StaysAway::NotServing), |errand| {
            let mut engine = errand.loan.install(engine);
            if engine.space.slots_here() != usize::from(SLOTS) {
                return Err(StaysAway::NotServing);
            }
            let Engine { space, tools, .. } = &mut *engine;
            let mut keys = Keys::new(space, tools, 0, batch.now);
            let came = keys.take_in(contents, present);
            keys.end();
            engine.serve(env, batch.now, clock);
            came
        });
        told(came);
        self.turn_back(batch);
        batch.next = batch.routed.len();
    }
}

#[cfg(test)]
mod tests;
