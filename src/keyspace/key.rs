//! A key with what routing knows of it: its slot and its hash.
//!
//! Slot and hash are computed once, where a batch is routed, and travel with it. All shards of a
//! process hash with the same seeds, so that a hash holds wherever its table goes.

use crate::base::hash::Hasher;
use crate::base::slot;
use crate::data::table::Name;

/// A key, its slot and its hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The bytes of the key.
    pub name: &'a [u8],
    /// Slot by CRC16, of the hash tag where there is one.
    pub slot: u16,
    /// Hash in the table of the slot.
    pub hash: u64,
}

impl<'a> Key<'a> {
    /// Computes slot and hash of `name`.
    pub fn new(name: &'a [u8], hasher: &Hasher) -> Key<'a> {
        Key { name, slot: slot::of(name), hash: hasher.hash(name) }
    }

    /// What the table of the slot knows it by.
    #[inline]
    pub fn in_table(self) -> Name<'a> {
        Name { bytes: self.name, hash: self.hash }
    }
}
