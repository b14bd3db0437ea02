//! The keys of a file come to those that are there, at one moment: DEBUG RELOAD.
//!
//! The file was loaded by a shard apart (`src/aof/apart.rs`), while all others went on. Its keys
//! come with a batch that goes over all shards, as FLUSHALL does. So nobody sees a part of them,
//! and where the file could not be loaded nothing has changed.
//!
//! The journal hears nothing of it. Whoever files the batch sees to it that the data set is what
//! the journal says.

use crate::base::millis::Millis;
use crate::batch::{Batch, Everywhere};
use crate::keyspace::contents::{Coming, Present, StaysAway};
use crate::keyspace::keys::Keys;
use crate::script::{Libraries, Restore};
use crate::shard::execute::Engine;
use crate::shard::{Shard, Ticks};

/// A batch that brings keys, and libraries of functions; to be filed with any shard.
pub fn arrival(coming: Coming, libraries: Libraries, now: Millis) -> Box<Batch> {
    Batch::of_nobody(Everywhere::Arrival(Box::new(coming), libraries), now)
}

impl Shard {
    /// All slots stand in one keyspace: the keys and libraries come.
    pub(super) fn take_arrival(
        &mut self,
        batch: &mut Batch,
        coming: Coming,
        libraries: Libraries,
        clock: &mut dyn Ticks,
    ) {
        let Coming { contents, present, told } = coming;
        let how = match present {
            Present::Goes => Restore::Flush,
            Present::Stays => Restore::Append,
            Present::GivesWay => Restore::Replace,
        };
        // A snapshot would take new keys for those of its moment.
        self.fail_snapshot();
        let now = batch.now;
        let came = self.with_all_slots(batch, |engine, env| {
            let Engine { space, tools, scripting, libraries_changed, .. } = engine;
            let mut all = scripting.libraries.clone();
            let new = libraries.sorted().into_iter().cloned().collect();
            all.restore(new, how).map_err(|_| StaysAway::AlreadyThere)?;
            let mut keys = Keys::new(space, tools, 0, now);
            let came = keys.take_in(contents, present);
            keys.end();
            if came.is_ok() {
                (scripting.libraries, *libraries_changed) = (all, true);
            }
            engine.serve(env, now, clock);
            came
        });
        told(came.unwrap_or(Err(StaysAway::NotServing)));
    }
}

#[cfg(test)]
mod tests;
