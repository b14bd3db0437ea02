//! A key with what routing knows of it: its slot and its hash.
//!
//! Slot and hash are computed once, where a call is routed, and travel with it. All shards of a
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

/// Where a key stands among the words of its call, with its slot and hash.
#[derive(Clone, Copy, Debug)]
pub struct KeyAt {
    /// Index of the word; no call has more words than fit.
    pub position: u32,
    /// As in [`Key`].
    pub slot: u16,
    /// As in [`Key`].
    pub hash: u64,
}

impl KeyAt {
    /// Computes slot and hash of `name`, which stands at `position`.
    #[inline]
    pub fn new(position: usize, name: &[u8], hasher: &Hasher) -> KeyAt {
        let Key { slot, hash, .. } = Key::new(name, hasher);
        KeyAt { position: position as u32, slot, hash }
    }
}
