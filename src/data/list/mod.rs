//! Lists: strings in the order in which they were put in.
//!
//! A short list is one pack, a longer one many of them in a row. When one becomes the other is
//! Redis's rule, in Redis's sizes, since OBJECT ENCODING tells it: a list is linked before it
//! passes the limits ([`List::make_room`]), and packed again when it is back in one pack and has at
//! most half of what the limits allow ([`List::settle`]). Both are the caller's to call, before and
//! after a command's changes.
//!
//! Absent on purpose: compression of the packs in the middle. The limits are those in force, not
//! those at the time when the list was made.

mod limits;
mod linked;
mod walk;

pub use limits::Limits;
pub use linked::Linked;
pub use walk::Walk;

use crate::data::Collection;
use crate::data::own::Own;
use crate::data::pack::Pack;
use crate::data::value::Value;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where the first item is.
    Front,
    /// Where the last item is.
    Back,
}

/// A list.
#[derive(Clone, Debug)]
pub enum List {
    /// All in one pack.
    Packed(Pack),
    /// A row of packs.
    Linked(Own<Linked>),
}

impl Default for List {
    fn default() -> List {
        List::Packed(Pack::default())
    }
}

impl List {
    /// Links a packed list that would pass the limits with `items` more, of `bytes` in all.
    pub fn make_room(&mut self, bytes: usize, items: usize, limits: Limits) {
        if let List::Packed(pack) = self
            && limits.are_passed(pack.listpack_len() + bytes, pack.len() + items)
        {
            *self = List::Linked(Own::new(Linked::of(std::mem::take(pack))));
        }
    }

    /// Packs a linked list that is back in one pack, where it has at most half of what the limits
    /// allow, so that a list at its limit does not change with every command.
    pub fn settle(&mut self, limits: Limits) {
        self.pack_where(|pack| limits.hold_half(pack));
    }

    /// Packs a linked list that is in one pack within the limits.
    pub fn pack_if_within(&mut self, limits: Limits) {
        self.pack_where(|pack| limits.hold(pack));
    }

    fn pack_where(&mut self, fits: impl FnOnce(&Pack) -> bool) {
        if let List::Linked(linked) = self
            && let Some(pack) = linked.take_only_pack(fits)
        {
            *self = List::Packed(pack);
        }
    }

    /// Adds an item at an end. Its caller has made room.
    pub fn push(&mut self, end: End, item: &[u8], limits: Limits) {
        match (self, end) {
            (List::Packed(pack), End::Front) => pack.push_front(item),
            (List::Packed(pack), End::Back) => pack.push_back(item),
            (List::Linked(linked), _) => linked.push(end, item, limits),
        }
    }

    /// The item with this index.
    pub fn get(&self, index: usize) -> Option<Value<'_>> {
        self.walk(index, End::Back).next()
    }

    /// The items from `index` on towards an end.
    pub fn walk(&self, index: usize, towards: End) -> Walk<'_> {
        Walk::new(self, index, towards)
    }

    /// All items in order.
    pub fn iter(&self) -> Walk<'_> {
        self.walk(0, End::Back)
    }

    /// The items of the node with this number, in order; a packed list is one node.
    pub fn node(&self, number: usize) -> Option<impl Iterator<Item = Value<'_>>> {
        self.pack(number).map(Pack::iter)
    }

    /// Index of the first item that is `wanted`.
    pub fn position(&self, wanted: &[u8]) -> Option<usize> {
        let wanted = Value::of(wanted);
        self.iter().position(|item| item == wanted)
    }

    /// Puts an item in the place of the one at `index`, which is there. Its caller has made room.
    pub fn set(&mut self, index: usize, item: &[u8], limits: Limits) {
        match self {
            List::Packed(pack) => {
                if let Some(at) = pack.seek(index) {
                    pack.replace(at, item);
                }
            }
            List::Linked(linked) => linked.set(index, item, limits),
        }
    }

    /// Puts an item beside the one at `index`, which is there: before it, or behind it where
    /// `behind` says so. Its caller has made room.
    pub fn insert(&mut self, index: usize, behind: bool, item: &[u8], limits: Limits) {
        match self {
            List::Packed(pack) => match pack.seek(index + usize::from(behind)) {
                Some(at) => drop(pack.insert(at, item)),
                None => pack.push_back(item),
            },
            List::Linked(linked) => linked.insert(index, behind, item, limits),
        }
    }

    /// Takes out `count` items from `index` on, or as many as there are. What comes back is for the
    /// caller to drop, bit by bit where it is long.
    pub fn cut(&mut self, index: usize, count: usize) -> Option<List> {
        match self {
            List::Packed(pack) => {
                if let Some(at) = pack.seek(index) {
                    pack.remove(at, count);
                }
                None
            }
            List::Linked(linked) => linked.cut(index, count).map(|cut| List::Linked(Own::new(cut))),
        }
    }

    /// Takes out up to `most` items that are `item`, those nearest to `from` first. Returns how
    /// many.
    pub fn remove_equal(&mut self, item: &[u8], from: End, most: usize) -> usize {
        match self {
            List::Packed(pack) => linked::remove_equal(pack, item, from, most),
            List::Linked(linked) => linked.remove_equal(item, from, most),
        }
    }

    /// The node with this number; a packed list is one node.
    pub fn pack(&self, number: usize) -> Option<&Pack> {
        match self {
            List::Packed(pack) => (number == 0).then_some(pack),
            List::Linked(linked) => linked.packs().get(number),
        }
    }
}

impl Collection for List {
    fn len(&self) -> usize {
        match self {
            List::Packed(pack) => pack.len(),
            List::Linked(linked) => linked.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            List::Packed(_) => "listpack",
            List::Linked(_) => "quicklist",
        }
    }

    fn memory(&self) -> usize {
        match self {
            List::Packed(pack) => pack.memory(),
            List::Linked(linked) => linked.memory(),
        }
    }

    fn drop_some(&mut self) -> bool {
        match self {
            List::Packed(_) => false,
            List::Linked(linked) => linked.drop_some(),
        }
    }
}

#[cfg(test)]
mod tests;
