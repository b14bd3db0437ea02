//! A node of a stream: neighbouring entries, packed into one blob.
//!
//! ```text
//! count | name | name | ...     the names of the fields of the node's first entry
//! entry | entry | ...           entry: head 1 | ms 0 to 8 | seq | count | items
//! ```
//!
//! The id of an entry is kept as its distance from the id under which the node is filed. Bit 0 of
//! the head says that the names are those of the node, so only values follow; bit 1 that a `seq`
//! follows, which is a distance within the same millisecond and the number itself in another; bits
//! 2 to 5 hold the bytes of `ms`. `count` is there where names are. Counts and `seq` are written
//! seven bits a byte, the lowest first. An item is a tag and data: 0x00..=0x7f is the integer
//! itself, 0x80..=0xbf a string of so many bytes (0 to 63), 0xc0..=0xc3 an integer of 1, 2, 4 or 8
//! bytes, 0xc4 and 0xc5 a string behind a length of 2 or 4 bytes.
//!
//! Invariant: ids ascend; `live` entries are there. An entry that is taken out leaves nothing but
//! its place in `total` and in `listpack`, by which a node is filled, and its id where it was the
//! last. Redis counts so, whose nodes are listpacks that keep the dead: approximate trimming takes
//! what it takes there.

use crate::base::integer;
use crate::data::blob::Blob;
use crate::data::stream::id::Id;
use crate::data::value::Value;

const SAME_NAMES: u8 = 1;
const HAS_SEQ: u8 = 2;
const SHORT: u8 = 0x80;
const SHORT_MAX: usize = 63;
const INT_8: u8 = 0xc0;
const INT_64: u8 = 0xc3;
const LEN_16: u8 = 0xc4;
const LEN_32: u8 = 0xc5;

/// Bytes that an item takes beside its own, at the most.
pub(super) const ITEM_OVERHEAD_MAX: usize = 5;

/// Bytes of a listpack around its items, and of three small numbers: the number of fields and the
/// end mark of a node's head, or the flags of an entry.
const LISTPACK_AROUND: usize = 7;
const SMALL: usize = 2;

/// Neighbouring entries.
#[derive(Clone, Debug)]
pub(super) struct Node {
    blob: Blob,
    /// Bytes that the entries ever put in take in a listpack, without the two counts.
    listpack: u32,
    /// Entries that are there.
    live: u32,
    /// Entries that were ever put in.
    total: u32,
    /// The highest id that was taken out from the end.
    dead_last: Option<Box<Id>>,
}

impl Node {
    /// A node for entries with the names of the fields in `words` (names and values).
    pub(super) fn new(words: &[&[u8]]) -> Node {
        let (mut head, count) = (Vec::new(), words.len() as u64 / 2);
        put_number(&mut head, count);
        let names: usize = words.iter().step_by(2).map(|name| put_item(&mut head, name)).sum();
        let mut blob = Blob::with_capacity(head.len());
        blob.splice(0..0, &[&head]);
        let listpack = (LISTPACK_AROUND + integer_in_listpack(count as i64) + names + SMALL) as u32;
        Node { blob, listpack, live: 0, total: 0, dead_last: None }
    }

    /// Entries that are there.
    pub(super) fn live(&self) -> u64 {
        u64::from(self.live)
    }

    /// Entries that were ever put in.
    pub(super) fn total(&self) -> u64 {
        u64::from(self.total)
    }

    /// Bytes of the listpack that Redis would have here.
    pub(super) fn listpack_len(&self) -> usize {
        let (live, dead) = (i64::from(self.live), i64::from(self.total - self.live));
        self.listpack as usize + integer_in_listpack(live) + integer_in_listpack(dead)
    }

    /// Bytes that the node takes from the allocator.
    pub(super) fn memory(&self) -> usize {
        self.blob.memory()
    }

    /// Puts an entry of names and values at the end; `base` is the id that the node is filed under.
    pub(super) fn push(&mut self, base: Id, id: Id, words: &[&[u8]], scratch: &mut Vec<u8>) {
        let names = self.names();
        scratch.clear();
        let ms = id.ms - base.ms;
        let seq = if ms == 0 { id.seq - base.seq } else { id.seq };
        let ms_bytes = 8 - ms.leading_zeros() as usize / 8;
        let is_same = names.are(words);
        let head = (ms_bytes as u8) << 2
            | if seq != 0 { HAS_SEQ } else { 0 }
            | if is_same { SAME_NAMES } else { 0 };
        scratch.push(head);
        scratch.extend_from_slice(&ms.to_le_bytes()[..ms_bytes]);
        if seq != 0 {
            put_number(scratch, seq);
        }
        let count = words.len() / 2;
        let (items, numbers) = if is_same {
            let values = words.iter().skip(1).step_by(2);
            (values.map(|value| put_item(scratch, value)).sum(), count as i64 + 3)
        } else {
            put_number(scratch, count as u64);
            let items: usize = words.iter().map(|word| put_item(scratch, word)).sum();
            (items + integer_in_listpack(count as i64), 2 * count as i64 + 4)
        };
        let end = self.blob.len();
        self.blob.splice(end..end, &[scratch]);
        // Flags, the distances from the node's id, and how many items there are.
        let around = SMALL
            + integer_in_listpack(ms as i64)
            + integer_in_listpack(id.seq.wrapping_sub(base.seq) as i64)
            + integer_in_listpack(numbers);
        self.listpack += (items + around) as u32;
        self.live += 1;
        self.total += 1;
    }

    /// The entries in order.
    pub(super) fn entries(&self, base: Id) -> Entries<'_> {
        let names = self.names();
        Entries { bytes: &self.blob, at: names.end, names, base }
    }

    /// The highest id that was ever put in.
    pub(super) fn last(&self, base: Id) -> Id {
        let live = self.entries(base).last().map_or(base, |entry| entry.id);
        self.dead_last.as_ref().map_or(live, |dead| live.max(**dead))
    }

    /// Takes an entry out. Returns false when it is not there.
    pub(super) fn remove(&mut self, base: Id, id: Id) -> bool {
        let found = self.entries(base).find(|entry| entry.id >= id).filter(|entry| entry.id == id);
        let Some(place) = found.map(|entry| entry.start..entry.end) else { return false };
        if place.end == self.blob.len() && self.dead_last.as_ref().is_none_or(|last| **last < id) {
            self.dead_last = Some(Box::new(id));
        }
        self.blob.splice(place, &[]);
        self.live -= 1;
        true
    }

    /// Takes the first `count` entries out, of more.
    pub(super) fn cut_front(&mut self, base: Id, count: u64) {
        let entries = self.entries(base);
        let start = entries.at;
        if let Some(end) = entries.take(count as usize).last().map(|entry| entry.end) {
            self.blob.splice(start..end, &[]);
            self.live -= count as u32;
        }
    }

    fn names(&self) -> Names<'_> {
        let mut rest = &self.blob[..];
        let count = number(&mut rest) as usize;
        let items = rest;
        (0..count).for_each(|_| skip_item(&mut rest));
        Names { count, items, end: self.blob.len() - rest.len() }
    }
}

/// The names that a node begins with.
#[derive(Clone, Copy, Debug)]
struct Names<'a> {
    count: usize,
    items: &'a [u8],
    /// Where they end in the blob.
    end: usize,
}

impl Names<'_> {
    /// True when every second of `words` is one of these, in order.
    fn are(&self, words: &[&[u8]]) -> bool {
        let mut items = self.items;
        words.len() == 2 * self.count
            && words.iter().step_by(2).all(|name| item(&mut items).is(name))
    }
}

/// The entries of a node.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
    names: Names<'a>,
    base: Id,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let start = self.at;
        let mut rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let head = byte(&mut rest);
        let ms_bytes = usize::from(head >> 2);
        let (ms, after) = rest.split_at(ms_bytes);
        rest = after;
        let ms = ms.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let seq = if head & HAS_SEQ != 0 { number(&mut rest) } else { 0 };
        let base_seq = if ms == 0 { self.base.seq } else { 0 };
        let id = Id::new(self.base.ms + ms, base_seq + seq);
        let is_same = head & SAME_NAMES != 0;
        let fields = if is_same { self.names.count } else { number(&mut rest) as usize };
        let names = is_same.then_some(self.names.items);
        let pairs = Pairs { names, items: rest, left: fields };
        let items = if is_same { fields } else { 2 * fields };
        (0..items).for_each(|_| skip_item(&mut rest));
        self.at = self.bytes.len() - rest.len();
        Some(Entry { id, pairs, start, end: self.at })
    }
}

/// An entry as it is read.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its id.
    pub id: Id,
    /// Its names and values.
    pub pairs: Pairs<'a>,
    start: usize,
    end: usize,
}

/// Names and values of an entry, in order.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    names: Option<&'a [u8]>,
    items: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Value<'a>, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<(Value<'a>, Value<'a>)> {
        self.left = self.left.checked_sub(1)?;
        let name = match &mut self.names {
            Some(names) => item(names),
            None => item(&mut self.items),
        };
        Some((name, item(&mut self.items)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Pairs<'_> {}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[inline]
fn number(rest: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = byte(rest);
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

#[inline]
fn byte(rest: &mut &[u8]) -> u8 {
    let (first, after) = rest.split_first().expect("a node ends with a whole entry");
    *rest = after;
    *first
}

/// Appends an item. Returns how many bytes it takes in a listpack.
fn put_item(out: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let len = bytes.len();
    match integer::parse(bytes) {
        Some(small @ 0..=0x7f) => {
            out.push(small as u8);
            SMALL
        }
        Some(number) => {
            let size = match number {
                -0x80..0x80 => 0,
                -0x8000..0x8000 => 1,
                -0x8000_0000..0x8000_0000 => 2,
                _ => 3,
            };
            out.push(INT_8 + size);
            out.extend_from_slice(&number.to_le_bytes()[..1 << size]);
            integer_in_listpack(number)
        }
        None => {
            match len {
                0..=SHORT_MAX => out.push(SHORT + len as u8),
                64..=0xffff => {
                    out.push(LEN_16);
                    out.extend_from_slice(&(len as u16).to_le_bytes());
                }
                _ => {
                    out.push(LEN_32);
                    out.extend_from_slice(&(len as u32).to_le_bytes());
                }
            }
            out.extend_from_slice(bytes);
            let form = match len {
                0..64 => len + 1,
                64..4096 => len + 2,
                _ => len + 5,
            };
            form + back_in_listpack(form)
        }
    }
}

/// Bytes of an integer in a listpack.
#[inline]
fn integer_in_listpack(number: i64) -> usize {
    let form = match number {
        0..0x80 => 1,
        -0x1000..0x1000 => 2,
        -0x8000..0x8000 => 3,
        -0x80_0000..0x80_0000 => 4,
        -0x8000_0000..0x8000_0000 => 5,
        _ => 9,
    };
    form + 1
}

/// Bytes of the length that a listpack has behind an item of `form` bytes.
fn back_in_listpack(form: usize) -> usize {
    match form {
        0..0x80 => 1,
        0x80..0x3fff => 2,
        0x3fff..0x1f_ffff => 3,
        0x1f_ffff..0xfff_ffff => 4,
        _ => 5,
    }
}

#[inline]
fn item<'a>(rest: &mut &'a [u8]) -> Value<'a> {
    let tag = byte(rest);
    match tag {
        ..SHORT => Value::Integer(i64::from(tag)),
        INT_8..=INT_64 => {
            let bytes = take(rest, 1 << (tag - INT_8));
            let sign = if bytes[bytes.len() - 1] >= 0x80 { 0xff } else { 0 };
            let mut whole = [sign; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            Value::Integer(i64::from_le_bytes(whole))
        }
        _ => {
            let len = string_len(tag, rest);
            Value::Bytes(take(rest, len))
        }
    }
}

#[inline]
fn skip_item(rest: &mut &[u8]) {
    let tag = byte(rest);
    let len = match tag {
        ..SHORT => 0,
        INT_8..=INT_64 => 1 << (tag - INT_8),
        _ => string_len(tag, rest),
    };
    take(rest, len);
}

#[inline]
fn string_len(tag: u8, rest: &mut &[u8]) -> usize {
    let mut size = [0; 4];
    let bytes = match tag {
        LEN_16 => 2,
        LEN_32 => 4,
        _ => return usize::from(tag - SHORT),
    };
    size[..bytes].copy_from_slice(take(rest, bytes));
    u32::from_le_bytes(size) as usize
}

#[inline]
fn take<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, after) = rest.split_at(len);
    *rest = after;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_back_whatever_their_ids_and_words() {
        let (long, longer) = (vec![b'x'; 300], vec![b'y'; 70_000]);
        let base = Id::new(1_000, 5);
        let words: &[&[u8]] = &[b"name", b"0", b"7", b"-1"];
        let other: &[&[u8]] = &[b"", &long, b"-9223372036854775808", &longer, b"00", b"127"];
        let ids = [(1_000, 5), (1_000, 6), (1_001, 0), (1_200, 3), (u64::MAX, u64::MAX)];
        let mut node = Node::new(words);
        let mut scratch = Vec::new();
        for (at, (ms, seq)) in ids.iter().enumerate() {
            let words = if at % 2 == 0 { words } else { other };
            node.push(base, Id::new(*ms, *seq), words, &mut scratch);
        }
        for (at, entry) in node.entries(base).enumerate() {
            let words = if at % 2 == 0 { words } else { other };
            assert_eq!((entry.id.ms, entry.id.seq), ids[at]);
            let read: Vec<Vec<u8>> =
                entry.pairs.flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect();
            assert_eq!(read, words);
        }
        assert!(node.remove(base, Id::new(1_001, 0)) && !node.remove(base, Id::new(1_001, 0)));
        node.cut_front(base, 2);
        let left: Vec<Id> = node.entries(base).map(|entry| entry.id).collect();
        assert_eq!(left, [Id::new(1_200, 3), Id::MAX]);
        assert_eq!((node.live(), node.total()), (2, 5));
    }

    /// Measured at Valkey 9.1.2, by the `stream-node-max-bytes` from which on two entries share.
    #[test]
    fn a_node_knows_how_long_its_listpack_would_be() {
        let (long, longer) = ([b'x'; 70], [b'x'; 200]);
        let cases: [(&[u8], usize); 6] =
            [(b"x", 29), (b"-5", 29), (b"5000", 30), (b"70000", 31), (&long, 99), (&longer, 230)];
        for (value, len) in cases {
            let (words, id): ([&[u8]; 2], Id) = ([b"f", value], Id::new(1, 1));
            let mut node = Node::new(&words);
            node.push(id, id, &words, &mut Vec::new());
            assert_eq!(node.listpack_len(), len);
        }
    }

    #[test]
    fn integers_of_every_length_are_items() {
        for shift in 0..64 {
            for number in [1i64 << shift, -(1i64 << (shift % 63)), (1i64 << (shift % 63)) - 1] {
                let text = number.to_string();
                let mut out = Vec::new();
                put_item(&mut out, text.as_bytes());
                let mut rest = &out[..];
                assert_eq!(item(&mut rest), Value::Integer(number));
                assert!(rest.is_empty());
                let mut rest = &out[..];
                skip_item(&mut rest);
                assert!(rest.is_empty());
            }
        }
    }
}
