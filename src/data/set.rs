//! Sets: strings in no order, each once.

use crate::data::Collection;
use crate::data::pack::Pack;
use crate::data::value::Value;

/// A set.
#[derive(Clone, Debug)]
pub enum Set {
    /// All in one pack.
    Packed(Pack),
}

impl Default for Set {
    fn default() -> Set {
        Set::Packed(Pack::default())
    }
}

impl Set {
    /// True when `member` is in the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        let Set::Packed(pack) = self;
        pack.find(pack.first(), member, 1).is_some()
    }

    /// The members.
    pub fn iter(&self) -> impl Iterator<Item = Value<'_>> {
        let Set::Packed(pack) = self;
        pack.iter()
    }
}

impl Collection for Set {
    fn len(&self) -> usize {
        match self {
            Set::Packed(pack) => pack.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Set::Packed(_) => "listpack",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Set::Packed(pack) => pack.memory(),
        }
    }

    fn drop_some(&mut self) -> bool {
        false
    }
}
