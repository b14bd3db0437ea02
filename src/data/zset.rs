//! Sorted sets: strings with a score each, in the order of the scores.

use crate::data::Collection;
use crate::data::pack::Pack;

/// A sorted set.
#[derive(Clone, Debug)]
pub enum Zset {
    /// All in one pack.
    Packed(Pack),
}

impl Default for Zset {
    fn default() -> Zset {
        Zset::Packed(Pack::default())
    }
}

impl Collection for Zset {
    fn len(&self) -> usize {
        match self {
            Zset::Packed(pack) => pack.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Zset::Packed(_) => "listpack",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Zset::Packed(pack) => pack.memory(),
        }
    }

    fn drop_some(&mut self) -> bool {
        false
    }
}
