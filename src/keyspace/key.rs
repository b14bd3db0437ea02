//! A key with what routing knows of it: its slot and its hash.
//!
//! Slot and hash are computed once, where a batch is routed, and travel with it. All shards of a
//! process hash with the same seeds, so that a hash holds wherever its table goes.

use ahash::RandomState;

use crate::base::slot;

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
}

/// A keyed hash of key names. The seeds are the shell's to choose, at random, once a process.
#[derive(Clone, Debug)]
pub struct Hasher(RandomState);

impl Hasher {
    /// A hasher with these seeds.
    pub fn with_seeds(seeds: [u64; 4]) -> Hasher {
        let [a, b, c, d] = seeds;
        Hasher(RandomState::with_seeds(a, b, c, d))
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, name: &[u8]) -> u64 {
        self.0.hash_one(name)
    }
}
