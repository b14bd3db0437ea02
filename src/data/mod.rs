//! The structures behind keys: one file each, ignorant of keys and of commands.

pub mod bits;
pub mod blob;
mod bucket;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod marked;
pub mod own;
pub mod pack;
pub mod set;
pub mod stream;
pub mod table;
pub mod value;
pub mod zset;

use crate::base::millis::Millis;
use crate::data::table::Link;

/// No deadline.
pub const NEVER: Millis = Millis::MAX;

/// What the value of a key can do, whatever its type, if it has elements.
pub trait Collection {
    /// Number of elements.
    fn len(&self) -> usize;

    /// True when there is no element.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when the key goes, since its last element has gone: so with all but streams.
    fn vanishes(&self) -> bool {
        self.is_empty()
    }

    /// As OBJECT ENCODING names it.
    fn encoding(&self) -> &'static str;

    /// Bytes that it takes from the allocator, its own place not counted; bounded work, so of large
    /// ones an estimate.
    fn memory(&self) -> usize;

    /// Asks for a link of the chain of loads that leads to the element with this hash.
    fn warm(&self, _hash: u64, _link: Link) {}

    /// A lower bound of the deadlines of its elements, [`NEVER`] where none has one.
    fn next_deadline(&self) -> Millis {
        NEVER
    }

    /// True when some of its elements have deadlines.
    fn is_timed(&self) -> bool {
        false
    }

    /// Takes out elements that have expired at `now`, `most` of them at the most, and tells each.
    /// The bound that [`Collection::next_deadline`] gives is exact then, unless there are more.
    fn expire(&mut self, _now: Millis, _most: usize, _gone: &mut dyn FnMut(&[u8])) {}

    /// Drops a piece that takes well under a millisecond. Returns true when dropping the rest at
    /// once takes too long.
    fn drop_some(&mut self) -> bool;
}
