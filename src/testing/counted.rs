//! Memory that is counted: what all keys of a test take, for its limit.

use std::cell::Cell;
use std::rc::Rc;

use crate::keyspace::key::Key;
use crate::keyspace::listener::{Event, Listener};
use crate::shard::evict::Gauge;

/// What the keys of all shards take, in bytes. It hears of changes, and tells of the sum.
#[derive(Clone, Default)]
pub(crate) struct Counted(Rc<Cell<i64>>);

impl Counted {
    /// The sum.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.get().max(0) as u64
    }
}

impl Listener for Counted {
    fn touched(&mut self, _db: u32, _key: Key<'_>, _event: Event, bytes: i64) {
        self.0.set(self.0.get() + bytes);
    }
}

impl Gauge for Counted {
    fn renew(&mut self, _uncounted: u64) {}

    fn used(&mut self, _uncounted: u64) -> u64 {
        self.bytes()
    }
}
