//! The items of a list one after another, from any index towards either end.

use super::{End, List};
use crate::data::Collection;
use crate::data::pack::{At, Pack};
use crate::data::value::Value;

/// Items of a list, one after another.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    list: &'a List,
    towards: End,
    number: usize,
    here: Option<(&'a Pack, At)>,
    left: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(list: &'a List, index: usize, towards: End) -> Walk<'a> {
        let (number, item) = match list {
            List::Packed(_) => (0, index),
            List::Linked(linked) => linked.pack_of(index).unwrap_or((0, usize::MAX)),
        };
        let pack = list.pack(number);
        let here = pack.and_then(|pack| Some((pack, pack.seek(item)?)));
        let left = match (here, towards) {
            (None, _) => 0,
            (Some(_), End::Back) => list.len() - index,
            (Some(_), End::Front) => index + 1,
        };
        Walk { list, towards, number, here, left }
    }

    /// Where the next pack begins.
    fn next_pack(&mut self) -> Option<(&'a Pack, At)> {
        self.number = match self.towards {
            End::Front => self.number.checked_sub(1)?,
            End::Back => self.number + 1,
        };
        let pack = self.list.pack(self.number)?;
        let at = match self.towards {
            End::Front => pack.last()?,
            End::Back => pack.first()?,
        };
        Some((pack, at))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        let (pack, at) = self.here?;
        let next = match self.towards {
            End::Front => pack.previous(at),
            End::Back => pack.next(at),
        };
        self.here = match next {
            Some(at) => Some((pack, at)),
            None => self.next_pack(),
        };
        self.left -= 1;
        Some(pack.get(at))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Walk<'_> {}
