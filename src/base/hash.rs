//! How names are hashed in tables.

use std::hash::BuildHasher;

use ahash::{AHasher, RandomState};

/// A keyed hash of names. The seeds are the shell's to choose, at random, once a process.
#[derive(Clone, Debug)]
pub struct Hasher(RandomState);

impl Hasher {
    /// A hasher with these seeds.
    pub fn with_seeds(seeds: [u64; 4]) -> Hasher {
        let [a, b, c, d] = seeds;
        Hasher(RandomState::with_seeds(a, b, c, d))
    }

    /// The hash of a name.
    #[inline]
    pub fn hash(&self, name: &[u8]) -> u64 {
        self.0.hash_one(name)
    }
}

impl BuildHasher for Hasher {
    type Hasher = AHasher;

    fn build_hasher(&self) -> AHasher {
        self.0.build_hasher()
    }
}
