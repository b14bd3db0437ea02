//! Memory that runs out: by how much more is in use than `maxmemory` allows, one number for all
//! shards, which changes of keys move as they would.
//!
//! What keys take in all is nobody's business here: a squeeze leaves too little for a while,
//! whatever there is.

use std::cell::Cell;
use std::rc::Rc;

use troupe::keyspace::key::Key;
use troupe::keyspace::listener::{Event, Listener};
use troupe::shard::evict::Gauge;

/// The setting `maxmemory`, in bytes.
pub const LIMIT: u64 = 1 << 30;

/// So far below the limit is what is in use while nothing squeezes.
const EASE: i64 = -(1 << 20);

/// How much more is in use than may be, in bytes; below zero there is room.
#[derive(Clone, Debug)]
pub struct Memory(Rc<Cell<i64>>);

impl Default for Memory {
    fn default() -> Memory {
        Memory(Rc::new(Cell::new(EASE)))
    }
}

impl Memory {
    /// So many bytes too many are in use from now on.
    pub fn squeeze(&self, bytes: u32) {
        self.0.set(bytes.into());
    }

    /// There is room again.
    pub fn ease(&self) {
        self.0.set(EASE);
    }
}

impl Gauge for Memory {
    fn renew(&mut self, _uncounted: u64) {}

    fn used(&mut self, _uncounted: u64) -> u64 {
        LIMIT.saturating_add_signed(self.0.get())
    }
}

impl Listener for Memory {
    fn touched(&mut self, _db: u32, _key: Key<'_>, _event: Event, bytes: i64) {
        self.0.set(self.0.get() + bytes);
    }
}
