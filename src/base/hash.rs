//! How names are hashed in tables.

use ahash::RandomState;

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
