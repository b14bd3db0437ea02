//! A row of strings in one blob, read from either end: how small collections are kept.
//!
//! ```text
//! count 1 or 5 | item | item | ...        item: tag 1 | data | back 1 to 5
//! ```
//!
//! Up to 254 items are counted in one byte; it is 255 where four bytes of the number follow.
//!
//! An item has the form and so the size that it has in Redis's listpack: at what sizes Redis
//! changes the encoding of a value can be told from [`Pack::listpack_len`]. The tag says what
//! follows:
//!
//! ```text
//! 0x00..=0x7f  the integer itself           0x80..=0xbf  a string of so many bytes (0 to 63)
//! 0xc0..=0xdf  the top of 13 bits of an     0xe0..=0xef  the top of 12 bits of a length
//!              integer, then the rest       0xf0         a length of 4 bytes, then the string
//! 0xf1..=0xf4  an integer of 2, 3, 4, 8 bytes
//! ```
//!
//! `back` is the length of tag and data, written so that it can be read backwards: seven bits a
//! byte, the lowest in the last byte, the high bit set where more follow to the left.
//!
//! Invariant: every string has one form only, so two strings are equal when their forms are.
//! Positions ([`At`]) hold until the pack is changed in front of them.

use crate::base::integer;
use crate::data::blob::Blob;
use crate::data::value::Value;

/// The first byte, where the count follows it.
const LONG_COUNT: u8 = u8::MAX;
const LONG_COUNT_BYTES: usize = 4;

const SHORT: u8 = 0x80;
const INT_13: u8 = 0xc0;
const LEN_12: u8 = 0xe0;
const LEN_32: u8 = 0xf0;
const INT_16: u8 = 0xf1;
const INT_24: u8 = 0xf2;
const INT_32: u8 = 0xf3;
const INT_64: u8 = 0xf4;
const SHORT_MAX: usize = 63;
const LEN_12_MAX: usize = 4095;

/// Bytes of a listpack beside its items: a head of six and an end of one.
const LISTPACK_AROUND: usize = 7;

/// Bytes that an item takes beside its own, at the most.
pub const ITEM_OVERHEAD_MAX: usize = 10;

/// Where an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At(usize);

/// A row of strings.
#[derive(Clone, Debug)]
pub struct Pack {
    blob: Blob,
}

impl Default for Pack {
    fn default() -> Pack {
        Pack::of(&[])
    }
}

impl Pack {
    /// A pack of these strings.
    pub fn of(items: &[&[u8]]) -> Pack {
        let mut blob = Blob::default();
        blob.splice(0..0, &[&[0]]);
        let mut pack = Pack { blob };
        items.iter().for_each(|item| pack.push_back(item));
        pack
    }

    /// Number of items.
    #[inline]
    pub fn len(&self) -> usize {
        match self.blob[0] {
            LONG_COUNT => {
                let count = self.blob[1..].first_chunk().copied().unwrap_or_default();
                u32::from_le_bytes(count) as usize
            }
            count => usize::from(count),
        }
    }

    /// True when there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all items with what is around them.
    pub fn byte_len(&self) -> usize {
        self.blob.len() - self.head()
    }

    /// Bytes of Redis's listpack of these items.
    pub fn listpack_len(&self) -> usize {
        self.byte_len() + LISTPACK_AROUND
    }

    /// The items with what is around them, in the form of a listpack.
    pub fn items(&self) -> &[u8] {
        &self.blob[self.head()..]
    }

    /// Bytes that the pack takes from the allocator.
    pub fn memory(&self) -> usize {
        self.blob.memory()
    }

    /// The blob, to be given to [`Pack::from_blob`].
    pub fn into_blob(self) -> Blob {
        self.blob
    }

    /// The pack again, from what [`Pack::into_blob`] gave.
    pub fn from_blob(blob: Blob) -> Pack {
        Pack { blob }
    }

    /// The first item.
    #[inline]
    pub fn first(&self) -> Option<At> {
        self.at(self.head())
    }

    /// The last item.
    #[inline]
    pub fn last(&self) -> Option<At> {
        self.before(self.blob.len())
    }

    /// The item behind.
    #[inline]
    pub fn next(&self, at: At) -> Option<At> {
        self.at(self.end_of(at))
    }

    /// The item before.
    #[inline]
    pub fn previous(&self, at: At) -> Option<At> {
        self.before(at.0)
    }

    /// The item with this index; walks from the nearer end.
    pub fn seek(&self, index: usize) -> Option<At> {
        let len = self.len();
        if index >= len {
            None
        } else if index <= len / 2 {
            (0..index).try_fold(self.first()?, |at, _| self.next(at))
        } else {
            (index + 1..len).try_fold(self.last()?, |at, _| self.previous(at))
        }
    }

    /// The string at a place.
    #[inline]
    pub fn get(&self, at: At) -> Value<'_> {
        let (head, data) = self.parts(at);
        let bytes = &self.blob[at.0 + head..at.0 + head + data];
        match self.blob[at.0] {
            tag @ ..SHORT => Value::Integer(i64::from(tag)),
            tag @ INT_13..LEN_12 => {
                let bits = u16::from(tag & 0x1f) << 8 | u16::from(bytes[0]);
                Value::Integer(i64::from((bits << 3) as i16 >> 3))
            }
            INT_16.. => Value::Integer(signed(bytes)),
            _ => Value::Bytes(bytes),
        }
    }

    /// The items in order, from either end.
    pub fn iter(&self) -> Iter<'_> {
        Iter { pack: self, front: self.first(), back: self.last() }
    }

    /// The first item that is `wanted` among those at `from` and every `step`th behind it.
    pub fn find(&self, from: Option<At>, wanted: &[u8], step: usize) -> Option<At> {
        let form = Form::of(wanted);
        let mut place = from;
        while let Some(at) = place {
            if form.stands_at(&self.blob[at.0..]) {
                return Some(at);
            }
            place = (1..step).try_fold(self.next(at)?, |at, _| self.next(at));
        }
        None
    }

    /// Adds a string at the end.
    pub fn push_back(&mut self, item: &[u8]) {
        let end = self.blob.len();
        self.put(end..end, item);
        self.add_to_count(1);
    }

    /// Adds a string at the front.
    pub fn push_front(&mut self, item: &[u8]) {
        let head = self.head();
        self.put(head..head, item);
        self.add_to_count(1);
    }

    /// Puts a string before the one at `at`, and returns where it stands.
    pub fn insert(&mut self, at: At, item: &[u8]) -> At {
        self.put(at.0..at.0, item);
        At(at.0 + self.add_to_count(1))
    }

    /// Puts a string in the place of the one at `at`.
    pub fn replace(&mut self, at: At, item: &[u8]) {
        let end = self.end_of(at);
        self.put(at.0..end, item);
    }

    /// Takes out `count` items from `at` on, or as many as there are; returns what stands there
    /// then.
    pub fn remove(&mut self, at: At, count: usize) -> Option<At> {
        let (mut end, mut removed) = (at.0, 0);
        while removed < count && end < self.blob.len() {
            end = self.end_of(At(end));
            removed += 1;
        }
        self.blob.splice(at.0..end, &[]);
        self.add_to_count(-(removed as i64));
        self.at(at.0)
    }

    /// Splits the pack: the items from `at` on go into the new one.
    pub fn split_off(&mut self, at: At) -> Pack {
        let mut tail = Pack::default();
        let head = tail.head();
        tail.blob.splice(head..head, &[&self.blob[at.0..]]);
        let end = self.blob.len();
        self.blob.splice(at.0..end, &[]);
        let kept = self.iter().count();
        let moved = self.len() - kept;
        self.add_to_count(-(moved as i64));
        tail.add_to_count(moved as i64);
        tail
    }

    /// Adds the items of another pack at the end.
    pub fn append(&mut self, other: &Pack) {
        let end = self.blob.len();
        self.blob.splice(end..end, &[&other.blob[other.head()..]]);
        self.add_to_count(other.len() as i64);
    }

    fn put(&mut self, range: std::ops::Range<usize>, item: &[u8]) {
        let form = Form::of(item);
        self.blob.splice(range, &[form.head(), form.data, form.back()]);
    }

    /// Bytes of the count.
    #[inline]
    fn head(&self) -> usize {
        if self.blob[0] == LONG_COUNT { 1 + LONG_COUNT_BYTES } else { 1 }
    }

    /// Changes the count; it stays long once it was. Returns by how many bytes the items moved.
    fn add_to_count(&mut self, change: i64) -> usize {
        let count = (self.len() as i64 + change) as u32;
        let long = count.to_le_bytes();
        match (self.blob[0], u8::try_from(count)) {
            (LONG_COUNT, _) => {
                self.blob[1..=LONG_COUNT_BYTES].copy_from_slice(&long);
                0
            }
            (_, Ok(short)) if short != LONG_COUNT => {
                self.blob[0] = short;
                0
            }
            _ => {
                self.blob.splice(0..1, &[&[LONG_COUNT], &long]);
                LONG_COUNT_BYTES
            }
        }
    }

    #[inline]
    fn at(&self, place: usize) -> Option<At> {
        (place < self.blob.len()).then_some(At(place))
    }

    #[inline]
    fn before(&self, end: usize) -> Option<At> {
        if end <= self.head() {
            return None;
        }
        let (mut len, mut shift, mut at) = (0, 0, end);
        loop {
            at -= 1;
            let byte = self.blob[at];
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(At(at - len));
            }
        }
    }

    /// Bytes of the tag with its length, and of the data.
    #[inline]
    fn parts(&self, at: At) -> (usize, usize) {
        let blob = &self.blob[at.0..];
        match blob[0] {
            ..SHORT => (1, 0),
            tag @ SHORT..INT_13 => (1, usize::from(tag - SHORT)),
            INT_13..LEN_12 => (1, 1),
            tag @ LEN_12..LEN_32 => (2, usize::from(tag - LEN_12) << 8 | usize::from(blob[1])),
            LEN_32 => {
                let len = blob[1..].first_chunk().copied().unwrap_or_default();
                (5, u32::from_le_bytes(len) as usize)
            }
            INT_16 => (1, 2),
            INT_24 => (1, 3),
            INT_32 => (1, 4),
            _ => (1, 8),
        }
    }

    #[inline]
    fn end_of(&self, at: At) -> usize {
        let (head, data) = self.parts(at);
        at.0 + head + data + back_len(head + data)
    }
}

/// Bytes that a length takes when it is written to be read backwards.
#[inline]
fn back_len(len: usize) -> usize {
    if len < 1 << 7 { 1 } else { (len.ilog2() as usize) / 7 + 1 }
}

fn signed(bytes: &[u8]) -> i64 {
    let mut wide = [if bytes.last().is_some_and(|top| *top >= 0x80) { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(wide)
}

/// A string in the form in which it is kept.
struct Form<'a> {
    head: [u8; 9],
    head_len: usize,
    data: &'a [u8],
    back: [u8; 5],
    back_len: usize,
}

impl<'a> Form<'a> {
    fn of(text: &'a [u8]) -> Form<'a> {
        let mut head = [0; 9];
        let (head_len, data) = match integer::parse(text) {
            Some(number) => (put_integer(&mut head, number), &[][..]),
            None if text.len() <= SHORT_MAX => {
                head[0] = SHORT + text.len() as u8;
                (1, text)
            }
            None => (put_len(&mut head, text.len()), text),
        };
        let len = head_len + data.len();
        let mut back = [0; 5];
        let back_len = back_len(len);
        for (place, byte) in back[..back_len].iter_mut().rev().enumerate() {
            let more = if place + 1 < back_len { 0x80 } else { 0 };
            *byte = (len >> (7 * place)) as u8 & 0x7f | more;
        }
        Form { head, head_len, data, back, back_len }
    }

    fn head(&self) -> &[u8] {
        &self.head[..self.head_len]
    }

    fn back(&self) -> &[u8] {
        &self.back[..self.back_len]
    }

    #[inline]
    fn stands_at(&self, bytes: &[u8]) -> bool {
        bytes[0] == self.head[0]
            && bytes.starts_with(self.head())
            && bytes[self.head_len..].starts_with(self.data)
    }
}

/// Writes the tag and bytes of the length of a string that is not short; returns how many bytes
/// that took.
fn put_len(head: &mut [u8; 9], len: usize) -> usize {
    if len <= LEN_12_MAX {
        head[..2].copy_from_slice(&[LEN_12 | (len >> 8) as u8, len as u8]);
        return 2;
    }
    head[0] = LEN_32;
    head[1..5].copy_from_slice(&(len as u32).to_le_bytes());
    5
}

/// Writes tag and bytes of a number; returns how many bytes that took.
fn put_integer(head: &mut [u8; 9], number: i64) -> usize {
    let (tag, len) = match number {
        0..0x80 => {
            head[0] = number as u8;
            return 1;
        }
        -0x1000..0x1000 => {
            head[..2].copy_from_slice(&[INT_13 | (number >> 8) as u8 & 0x1f, number as u8]);
            return 2;
        }
        -0x8000..0x8000 => (INT_16, 2),
        -0x80_0000..0x80_0000 => (INT_24, 3),
        -0x8000_0000..0x8000_0000 => (INT_32, 4),
        _ => (INT_64, 8),
    };
    head[0] = tag;
    head[1..1 + len].copy_from_slice(&number.to_le_bytes()[..len]);
    1 + len
}

/// The items of a pack, from either end.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    pack: &'a Pack,
    front: Option<At>,
    back: Option<At>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        let at = self.front?;
        if Some(at) == self.back {
            (self.front, self.back) = (None, None);
        } else {
            self.front = self.pack.next(at);
        }
        Some(self.pack.get(at))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let at = self.back?;
        if Some(at) == self.front {
            (self.front, self.back) = (None, None);
        } else {
            self.back = self.pack.previous(at);
        }
        Some(self.pack.get(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pack: &Pack) -> Vec<Vec<u8>> {
        pack.iter().map(Value::to_vec).collect()
    }

    #[test]
    fn every_form_is_read_from_both_ends() {
        let long = |len: usize| vec![b'x'; len];
        let mut items: Vec<Vec<u8>> = [0i64, 127, 128, -1, -4096, -4097, 4095, 4096, 32_767]
            .into_iter()
            .chain([-32_768, -32_769, 8_388_607, 8_388_608, -8_388_608, -8_388_609])
            .chain([i64::from(i32::MAX), i64::from(i32::MIN) - 1, i64::MAX, i64::MIN])
            .map(|number| number.to_string().into_bytes())
            .collect();
        items.extend([long(0), long(63), long(64), long(124), long(125), long(4095), long(4096)]);
        items.extend([b"007".to_vec(), b"-0".to_vec(), long(20_000), long(70_000)]);
        let pack = Pack::of(&items.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(texts(&pack), items);
        let mut backwards: Vec<_> = pack.iter().rev().map(Value::to_vec).collect();
        backwards.reverse();
        assert_eq!(backwards, items);
        for (index, item) in items.iter().enumerate() {
            let at = pack.seek(index).expect("the index is inside");
            assert!(pack.get(at).is(item) && pack.find(pack.first(), item, 1) == Some(at));
        }
        assert_eq!(pack.seek(items.len()), None);
        assert_eq!(pack.find(pack.first(), b"7", 1), None);
    }

    #[test]
    fn places_hold_while_the_count_grows() {
        let mut pack = Pack::default();
        let text = |number: usize| number.to_string().into_bytes();
        for number in (0..600).rev() {
            match pack.first() {
                Some(at) if number % 3 == 0 => {
                    let at = pack.insert(at, &text(number));
                    assert!(pack.get(at).is(&text(number)));
                }
                _ => pack.push_front(&text(number)),
            }
        }
        assert_eq!(pack.len(), 600);
        let second = pack.seek(1);
        pack.remove(second.expect("there are 600"), 590);
        pack.push_back(b"end");
        assert_eq!(pack.len(), 11);
        assert_eq!(texts(&pack)[..2], [text(0), text(591)]);
        assert_eq!((pack.last(), texts(&pack).pop()), (pack.seek(10), Some(b"end".to_vec())));
    }

    #[test]
    fn random_changes_agree_with_a_vector() {
        let seed = 5;
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..if cfg!(miri) { 2 } else { 200 } {
            let (mut pack, mut model) = (Pack::default(), Vec::<Vec<u8>>::new());
            for _ in 0..60 {
                let item = match random.u8(0..3) {
                    0 => random.i64(..).to_string().into_bytes(),
                    1 => random.u8(..).to_string().into_bytes(),
                    _ => vec![b'a' + random.u8(0..3); random.usize(0..200)],
                };
                let index = random.usize(0..=model.len());
                let at = pack.seek(index);
                match (random.u8(0..6), at) {
                    (0, _) => {
                        pack.push_back(&item);
                        model.push(item);
                    }
                    (1, _) | (_, None) => {
                        pack.push_front(&item);
                        model.insert(0, item);
                    }
                    (2, Some(at)) => {
                        pack.insert(at, &item);
                        model.insert(index, item);
                    }
                    (3, Some(at)) => {
                        pack.replace(at, &item);
                        model[index] = item;
                    }
                    (4, Some(at)) => {
                        let count = random.usize(0..4);
                        pack.remove(at, count);
                        model.drain(index..usize::min(index + count, model.len()));
                    }
                    (_, Some(at)) => {
                        let tail = pack.split_off(at);
                        assert_eq!((pack.len(), tail.len()), (index, model.len() - index));
                        pack.append(&tail);
                    }
                }
                assert_eq!(texts(&pack), model, "seed {seed}");
                assert_eq!(pack.len(), model.len(), "seed {seed}");
            }
        }
    }
}
