//! What is brought into the cache ahead of the calls that need it.
//!
//! Each look at a key waits for memory several times; over several keys the waits overlap. Nothing
//! is decided here and nothing changes, but for the batches' note of what is warm.

use crate::batch::Batch;
use crate::commands::command::Command;
use crate::keyspace::key::KeyAt;
use crate::keyspace::space::{WARMED, Warm};
use crate::shard::Shard;
use crate::shard::execute::Engine;

/// Keys of one call that are warmed: of more, the first would be cold again before they are used.
const WARMED_AT_ONCE: usize = 256;

/// Keys on their way into the cache.
#[derive(Default)]
struct Warming<'a> {
    keys: [Warm<'a>; WARMED],
    len: usize,
}

impl<'a> Warming<'a> {
    /// Adds keys; what is too many is left out.
    #[inline]
    fn extend(&mut self, keys: impl Iterator<Item = Warm<'a>>) {
        for (place, key) in self.keys[self.len..].iter_mut().zip(keys) {
            *place = key;
            self.len += 1;
        }
    }

    #[inline]
    fn all(&self) -> &[Warm<'a>] {
        &self.keys[..self.len]
    }
}

impl Shard {
    /// Warms the cache for the next calls of a batch.
    #[inline]
    pub(super) fn warm(&self, batch: &mut Batch) {
        let space = &self.engine.space;
        let cold = batch.cold(WARMED, |slot| space.has(slot));
        if cold.is_empty() {
            return;
        }
        let end = cold.end;
        // Nothing overlaps with one.
        if cold.len() > 1 {
            let mut keys = Warming::default();
            keys.extend(batch.warm_of(cold));
            space.warm(batch.session.db, keys.all());
        }
        batch.note_warmed(end);
    }

    /// Warms the cache for what the next batches do here before they go on: of a batch that goes to
    /// and fro that is little, and only over several batches do the waits for memory overlap.
    pub(super) fn warm_ready(&mut self) {
        let Shard { engine, ready, .. } = self;
        let space = &engine.space;
        let Some(first) = ready.front().filter(|first| first.is_cold()) else { return };
        // A batch alone warms its own keys.
        if ready.len() == 1 {
            return;
        }
        let db = first.session.db;
        let mut keys = Warming::default();
        let mut ends = [0; WARMED];
        let mut batches = 0;
        for (batch, end) in ready.iter().zip(&mut ends) {
            let cold = batch.cold(WARMED - keys.len, |slot| space.has(slot));
            if cold.is_empty() || batch.session.db != db {
                break;
            }
            *end = cold.end;
            batches += 1;
            keys.extend(batch.warm_of(cold));
        }
        space.warm(db, keys.all());
        for (batch, end) in ready.iter_mut().zip(&ends[..batches]) {
            batch.note_warmed(*end);
        }
    }
}

impl Engine {
    /// Warms the cache for a call over several keys.
    pub(super) fn warm_keys(&self, batch: &Batch) {
        let command = batch.routed.get(batch.next).and_then(|routed| routed.command);
        let inside = command.is_some_and(Command::is_on_collections);
        for some in batch.keys[..batch.keys.len().min(WARMED_AT_ONCE)].chunks(WARMED) {
            let mut keys = Warming::default();
            let warm = |KeyAt { slot, hash, .. }| Warm { slot, hash, inside, element: None };
            keys.extend(some.iter().copied().map(warm));
            self.space.warm(batch.session.db, keys.all());
        }
    }
}
