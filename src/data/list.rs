//! Lists: strings in the order in which they were put in.

use crate::data::Collection;
use crate::data::pack::Pack;

/// A list.
#[derive(Clone, Debug)]
pub enum List {
    /// All in one pack.
    Packed(Pack),
}

impl Default for List {
    fn default() -> List {
        List::Packed(Pack::default())
    }
}

impl Collection for List {
    fn len(&self) -> usize {
        match self {
            List::Packed(pack) => pack.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            List::Packed(_) => "listpack",
        }
    }

    fn memory(&self) -> usize {
        match self {
            List::Packed(pack) => pack.memory(),
        }
    }

    fn drop_some(&mut self) -> bool {
        false
    }
}
