//! A row of packs.
//!
//! Where an item goes when its pack is full, and which packs are joined after one was split, is
//! Redis's rule for its quicklist, so that lists come back to one pack when Redis's do.
//!
//! Invariant: no pack is empty; `len` is the sum of their lengths. A pack has at most three
//! times what the limits say (one that has twice as much is split), or one item.

use std::collections::VecDeque;

use super::{End, Limits};
use crate::data::pack::{At, Pack};
use crate::data::value::Value;

/// Packs that are dropped at a time: each may give back 64 KiB.
const DROPPED_AT_ONCE: usize = 32;

/// Packs whose memory is asked; that of the others is estimated.
const SAMPLED: usize = 16;

/// Where an item is.
#[derive(Clone, Copy)]
struct Place {
    pack: usize,
    item: usize,
}

/// A list of several packs.
#[derive(Clone, Debug, Default)]
pub struct Linked {
    packs: VecDeque<Pack>,
    len: usize,
}

impl Linked {
    pub(super) fn of(pack: Pack) -> Linked {
        let len = pack.len();
        let packs = if len == 0 { VecDeque::new() } else { VecDeque::from([pack]) };
        Linked { packs, len }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn packs(&self) -> &VecDeque<Pack> {
        &self.packs
    }

    pub(super) fn memory(&self) -> usize {
        let around = size_of::<Linked>() + self.packs.capacity() * size_of::<Pack>();
        let sampled = self.packs.len().min(SAMPLED);
        let bytes: usize = self.packs.iter().take(sampled).map(Pack::memory).sum();
        around + bytes * self.packs.len() / sampled.max(1)
    }

    pub(super) fn drop_some(&mut self) -> bool {
        for _ in 0..DROPPED_AT_ONCE {
            let Some(pack) = self.packs.pop_back() else { return false };
            self.len -= pack.len();
        }
        !self.packs.is_empty()
    }

    /// Takes the only pack out, where there is only one and it fits; an empty one where there is
    /// none.
    pub(super) fn take_only_pack(&mut self, fits: impl FnOnce(&Pack) -> bool) -> Option<Pack> {
        match self.packs.len() {
            0 => Some(Pack::default()),
            1 if fits(&self.packs[0]) => self.packs.pop_front(),
            _ => None,
        }
    }

    pub(super) fn push(&mut self, end: End, item: &[u8], limits: Limits) {
        self.len += 1;
        let pack = match end {
            End::Front => self.packs.front_mut(),
            End::Back => self.packs.back_mut(),
        };
        match (pack.filter(|pack| limits.admit(pack, item.len())), end) {
            (Some(pack), End::Front) => pack.push_front(item),
            (Some(pack), End::Back) => pack.push_back(item),
            (None, End::Front) => self.packs.push_front(Pack::of(&[item])),
            (None, End::Back) => self.packs.push_back(Pack::of(&[item])),
        }
    }

    pub(super) fn set(&mut self, index: usize, item: &[u8], limits: Limits) {
        let Some((place, at)) = self.seek(index) else { return };
        let pack = &mut self.packs[place.pack];
        let old_len = pack.get(at).len();
        let grown = (pack.listpack_len() + item.len()).saturating_sub(old_len);
        let was_alone = pack.len() == 1 && limits.is_alone(old_len);
        let is_in_place = match (was_alone, limits.is_alone(item.len())) {
            (false, false) => !limits.want_split(grown),
            (was_alone, is_alone) => was_alone && is_alone,
        };
        if is_in_place {
            pack.replace(at, item);
            return;
        }
        self.insert(index, true, item, limits);
        drop(self.cut(index, 1));
    }

    /// Puts an item before or behind the one at `index`.
    pub(super) fn insert(&mut self, index: usize, behind: bool, item: &[u8], limits: Limits) {
        let Some((place, at)) = self.seek(index) else { return };
        self.len += 1;
        let number = place.pack;
        let next = number + usize::from(behind);
        let pack = &mut self.packs[number];
        let is_at_end = if behind { place.item + 1 == pack.len() } else { place.item == 0 };
        if limits.admit(pack, item.len()) {
            match if behind { pack.next(at) } else { Some(at) } {
                Some(at) => drop(pack.insert(at, item)),
                None => pack.push_back(item),
            }
        } else if !is_at_end {
            self.insert_between(place, behind, item, limits);
        } else if let Some(beside) = self.beside(number, behind, item, limits) {
            if behind { beside.push_front(item) } else { beside.push_back(item) }
        } else {
            self.packs.insert(next, Pack::of(&[item]));
        }
    }

    /// The pack on the other side of the end of a full one, where it takes the item.
    fn beside(
        &mut self,
        number: usize,
        behind: bool,
        item: &[u8],
        limits: Limits,
    ) -> Option<&mut Pack> {
        let beside = if behind { number + 1 } else { number.checked_sub(1)? };
        self.packs.get_mut(beside).filter(|pack| limits.admit(pack, item.len()))
    }

    /// Splits a full pack and puts the item between both parts: into the part that does not have
    /// the item at `place`, or into a pack of its own.
    fn insert_between(&mut self, place: Place, behind: bool, item: &[u8], limits: Limits) {
        let pack = &mut self.packs[place.pack];
        let at = pack.seek(place.item + usize::from(behind));
        let tail = pack.split_off(at.expect("the place is not at the end of its pack"));
        self.packs.insert(place.pack + 1, tail);
        if limits.is_alone(item.len()) {
            self.packs.insert(place.pack + 1, Pack::of(&[item]));
            return;
        }
        if behind {
            self.packs[place.pack + 1].push_front(item);
        } else {
            self.packs[place.pack].push_back(item);
        }
        self.join_around(place.pack + usize::from(!behind), limits);
    }

    /// Joins packs that fit into one: the two before `center`, the two behind it, then it with its
    /// neighbours.
    fn join_around(&mut self, mut center: usize, limits: Limits) {
        if center >= 2 && self.join(center - 2, limits) {
            center -= 1;
        }
        self.join(center + 1, limits);
        if center >= 1 && self.join(center - 1, limits) {
            center -= 1;
        }
        self.join(center, limits);
    }

    /// Joins a pack with the next one where both fit into one; tells whether they did.
    fn join(&mut self, left: usize, limits: Limits) -> bool {
        let (Some(first), Some(second)) = (self.packs.get(left), self.packs.get(left + 1)) else {
            return false;
        };
        if !limits.admit_both(first, second) {
            return false;
        }
        if let Some(second) = self.packs.remove(left + 1) {
            self.packs[left].append(&second);
        }
        true
    }

    /// Takes out a range. Whole packs are not dropped but come back.
    pub(super) fn cut(&mut self, index: usize, count: usize) -> Option<Linked> {
        let mut left = count.min(self.len.saturating_sub(index));
        let (mut place, _) = self.seek(index)?;
        self.len -= left;
        if place.item > 0 {
            left -= self.cut_in_pack(place.pack, place.item, left);
            place.pack += 1;
        }
        let (first, len_before) = (place.pack, left);
        while let Some(pack) = self.packs.get(place.pack).filter(|pack| pack.len() <= left) {
            left -= pack.len();
            place.pack += 1;
        }
        let cut: VecDeque<Pack> = self.packs.drain(first..place.pack).collect();
        let len = len_before - left;
        if left > 0 {
            self.cut_in_pack(first, 0, left);
        }
        (len > 0).then_some(Linked { packs: cut, len })
    }

    /// Takes items out of one pack, of which some stay; returns how many.
    fn cut_in_pack(&mut self, number: usize, item: usize, count: usize) -> usize {
        let pack = &mut self.packs[number];
        let before = pack.len();
        if let Some(at) = pack.seek(item).filter(|_| count > 0) {
            pack.remove(at, count);
        }
        before - self.packs[number].len()
    }

    pub(super) fn remove_equal(&mut self, item: &[u8], from: End, most: usize) -> usize {
        let mut left = most;
        let packs = self.packs.len();
        for number in 0..packs {
            let number = if from == End::Front { number } else { packs - 1 - number };
            left -= remove_equal(&mut self.packs[number], item, from, left);
            if left == 0 {
                break;
            }
        }
        if left < most {
            self.packs.retain(|pack| !pack.is_empty());
        }
        self.len -= most - left;
        most - left
    }

    /// Where the item with this index is; packs are counted from the nearer end.
    pub(super) fn pack_of(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index <= self.len / 2 {
            let mut item = index;
            for (number, pack) in self.packs.iter().enumerate() {
                let len = pack.len();
                if item < len {
                    return Some((number, item));
                }
                item -= len;
            }
        } else {
            let mut behind = self.len - 1 - index;
            for (number, pack) in self.packs.iter().enumerate().rev() {
                let len = pack.len();
                if behind < len {
                    return Some((number, len - 1 - behind));
                }
                behind -= len;
            }
        }
        None
    }

    fn seek(&self, index: usize) -> Option<(Place, At)> {
        let (pack, item) = self.pack_of(index)?;
        Some((Place { pack, item }, self.packs[pack].seek(item)?))
    }
}

/// Takes up to `most` items that are `item` out of one pack, from an end on; returns how many.
pub(super) fn remove_equal(pack: &mut Pack, item: &[u8], from: End, most: usize) -> usize {
    let mut removed = 0;
    if from == End::Front {
        let mut at = pack.find(pack.first(), item, 1);
        while let Some(found) = at.filter(|_| removed < most) {
            let next = pack.remove(found, 1);
            at = pack.find(next, item, 1);
            removed += 1;
        }
        return removed;
    }
    let wanted = Value::of(item);
    let mut at = pack.last();
    while let Some(place) = at.filter(|_| removed < most) {
        at = pack.previous(place);
        if pack.get(place) == wanted {
            pack.remove(place, 1);
            removed += 1;
        }
    }
    removed
}
