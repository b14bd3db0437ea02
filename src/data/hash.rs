//! Hashes: fields with their values.

use crate::data::Collection;
use crate::data::pack::Pack;

/// A hash.
#[derive(Clone, Debug)]
pub enum Hash {
    /// All in one pack.
    Packed(Pack),
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::Packed(Pack::default())
    }
}

impl Collection for Hash {
    fn len(&self) -> usize {
        match self {
            Hash::Packed(pack) => pack.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Hash::Packed(_) => "listpack",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Hash::Packed(pack) => pack.memory(),
        }
    }

    fn drop_some(&mut self) -> bool {
        false
    }
}
