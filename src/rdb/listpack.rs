//! Listpacks: the packed form of small collections since Redis 7.0, and of streams since 5.0.
//!
//! ```text
//! bytes 4 | count 2 | item | item | ... | 0xff
//! ```
//!
//! Both numbers have their lowest byte first; the count is 0xffff where it is not known. An item is
//! what [`Pack`] has: a tag, data, and the length of both, to be read backwards.

use crate::data::pack::Pack;
use crate::data::value::Value;
use crate::rdb::error::Fault;

const HEAD: usize = 6;
const END: u8 = 0xff;

/// The count of more items than can be said.
const UNCOUNTED: u16 = u16::MAX;

/// A listpack of the items of a pack.
pub(super) fn of_pack(pack: &Pack) -> Vec<u8> {
    let items = pack.items();
    let mut out = Vec::with_capacity(HEAD + items.len() + 1);
    let count = u16::try_from(pack.len()).unwrap_or(UNCOUNTED);
    out.extend(((HEAD + items.len() + 1) as u32).to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend_from_slice(items);
    out.push(END);
    out
}

/// The items of a listpack, each checked when its turn comes.
#[derive(Clone, Debug)]
pub(super) struct Listpack<'a> {
    rest: &'a [u8],
    /// How many items are still due, where that is known.
    due: Option<u16>,
}

impl<'a> Listpack<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Listpack<'a>, Fault> {
        let damaged = Fault::Damaged("its head or its end is damaged");
        let (head, rest) = bytes.split_at_checked(HEAD).ok_or(damaged)?;
        let (len, count) = head.split_first_chunk::<4>().ok_or(damaged)?;
        let (end, rest) = rest.split_last().ok_or(damaged)?;
        let count = u16::from_le_bytes(*count.first_chunk().ok_or(damaged)?);
        let is_whole = u32::from_le_bytes(*len) as usize == bytes.len() && *end == END;
        is_whole
            .then_some(Listpack { rest, due: (count != UNCOUNTED).then_some(count) })
            .ok_or(damaged)
    }

    /// Whether nothing follows.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Listpack<'a> {
    type Item = Result<Value<'a>, Fault>;

    fn next(&mut self) -> Option<Result<Value<'a>, Fault>> {
        if self.rest.is_empty() {
            let is_counted = self.due.take().is_none_or(|due| due == 0);
            return (!is_counted).then_some(Err(Fault::Damaged("it has too few items")));
        }
        let item = item(self.rest).and_then(|(value, rest)| {
            self.due = match self.due {
                Some(due) => Some(due.checked_sub(1)?),
                None => None,
            };
            self.rest = rest;
            Some(value)
        });
        if item.is_none() {
            (self.rest, self.due) = (&[], None);
        }
        Some(item.ok_or(Fault::Damaged("an item is damaged")))
    }
}

/// The first item, and what is behind it.
fn item(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (value, rest) = match *tag {
        small @ ..0x80 => (Value::Integer(small.into()), rest),
        short @ 0x80..0xc0 => string(rest, usize::from(short & 0x3f))?,
        top @ 0xc0..0xe0 => {
            let (low, rest) = rest.split_first()?;
            let bits = i16::from(top & 0x1f) << 8 | i16::from(*low);
            (Value::Integer((bits << 3 >> 3).into()), rest)
        }
        top @ 0xe0..0xf0 => {
            let (low, rest) = rest.split_first()?;
            string(rest, usize::from(top & 0x0f) << 8 | usize::from(*low))?
        }
        0xf0 => {
            let (len, rest) = rest.split_first_chunk()?;
            string(rest, u32::from_le_bytes(*len) as usize)?
        }
        0xf1 => integer::<2>(rest)?,
        0xf2 => integer::<3>(rest)?,
        0xf3 => integer::<4>(rest)?,
        0xf4 => integer::<8>(rest)?,
        _ => return None,
    };
    Some((value, behind_back(rest, bytes.len() - rest.len())?))
}

fn string(rest: &[u8], len: usize) -> Option<(Value<'_>, &[u8])> {
    let (string, rest) = rest.split_at_checked(len)?;
    Some((Value::Bytes(string), rest))
}

/// A signed number of `N` bytes, the lowest first.
pub(super) fn integer<const N: usize>(rest: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (bytes, rest) = rest.split_first_chunk::<N>()?;
    let low = bytes.iter().rev().fold(0, |sum, byte| sum << 8 | i64::from(*byte));
    let unused = 64 - 8 * N as u32;
    Some((Value::Integer(low << unused >> unused), rest))
}

/// What stands behind the length of an item of `len` bytes, if that is what it says.
fn behind_back(rest: &[u8], len: usize) -> Option<&[u8]> {
    let bytes = (1..5).find(|bytes| len >> (7 * bytes) == 0).unwrap_or(5);
    let (back, rest) = rest.split_at_checked(bytes)?;
    let is_right = back.iter().rev().enumerate().all(|(place, byte)| {
        let more = if place + 1 < bytes { 0x80 } else { 0 };
        *byte == (len >> (7 * place)) as u8 & 0x7f | more
    });
    is_right.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
        Listpack::new(bytes)?.map(|item| item.map(Value::to_vec)).collect()
    }

    #[test]
    fn items_of_all_lengths_come_back() {
        let mut items: Vec<Vec<u8>> =
            [0, 62, 63, 64, 4_095, 4_096, 70_000, 2_200_000].map(|len| vec![b'x'; len]).to_vec();
        for shift in 0..63 {
            for number in [1i64 << shift, -(1 << shift), (1 << shift) - 1, -(1 << shift) - 1] {
                items.push(number.to_string().into_bytes());
            }
        }
        items.extend([b"007".to_vec(), i64::MIN.to_string().into_bytes()]);
        let words: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
        assert_eq!(read(&of_pack(&Pack::of(&words))), Ok(items));
    }

    #[test]
    fn more_items_than_can_be_counted_are_read() {
        let mut pack = Pack::default();
        (0..70_000).for_each(|_| pack.push_back(b"1"));
        assert_eq!(read(&of_pack(&pack)).map(|items| items.len()), Ok(70_000));
    }

    #[test]
    fn every_flipped_or_missing_byte_is_an_error_or_another_item() {
        let whole = of_pack(&Pack::of(&[b"abc", b"12", b"-1234", &[b'y'; 200], b"99999999"]));
        for at in 0..whole.len() {
            assert!(read(&whole[..at]).is_err(), "{at}");
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                assert!(read(&bytes).is_err() || at >= HEAD, "{at}");
            }
        }
    }
}
