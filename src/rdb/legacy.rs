//! Packed forms that servers no longer write, or write only for sets of integers: ziplists (until
//! Redis 6.2), zipmaps (until 2.4) and intsets.

use crate::data::value::Value;
use crate::rdb::error::Fault;
use crate::rdb::listpack::integer;

/// The items of a ziplist, each checked when its turn comes.
///
/// ```text
/// bytes 4 | place of the last item 4 | count 2 | item | item | ... | 0xff
/// item: length of the item before, 1 or 5 | encoding | data
/// ```
#[derive(Clone, Debug)]
pub(super) struct Ziplist<'a> {
    rest: &'a [u8],
    /// Bytes of the item before.
    before: usize,
    /// How many items are still due, where that is known.
    due: Option<u16>,
    /// How many bytes are left where the last item begins.
    last: usize,
}

const HEAD: usize = 10;
const END: u8 = 0xff;
const LONG: u8 = 0xfe;
const UNCOUNTED: u16 = u16::MAX;

impl<'a> Ziplist<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Ziplist<'a>, Fault> {
        let damaged = Fault::Damaged("its head or its end is damaged");
        let (len, rest) = bytes.split_first_chunk().ok_or(damaged)?;
        let (tail, rest) = rest.split_first_chunk().ok_or(damaged)?;
        let (count, rest) = rest.split_first_chunk().ok_or(damaged)?;
        let (end, rest) = rest.split_last().ok_or(damaged)?;
        let (tail, count) = (u32::from_le_bytes(*tail) as usize, u16::from_le_bytes(*count));
        let is_whole = u32::from_le_bytes(*len) as usize == bytes.len() && *end == END;
        let last = (bytes.len() - 1).checked_sub(tail).filter(|_| is_whole && tail >= HEAD);
        let due = (count != UNCOUNTED).then_some(count);
        Ok(Ziplist { rest, before: 0, due, last: last.ok_or(damaged)? })
    }

    fn item(&mut self) -> Option<Value<'a>> {
        let (before, rest) = match self.rest.split_first()? {
            (&LONG, rest) => {
                let (before, rest) = rest.split_first_chunk()?;
                (u32::from_le_bytes(*before) as usize, rest)
            }
            (short, rest) => (usize::from(*short), rest),
        };
        let (encoding, rest) = rest.split_first()?;
        let (value, rest) = match *encoding {
            short @ ..0x40 => string(rest, short.into())?,
            top @ 0x40..0x80 => {
                let (low, rest) = rest.split_first()?;
                string(rest, usize::from(top & 0x3f) << 8 | usize::from(*low))?
            }
            0x80 => {
                let (len, rest) = rest.split_first_chunk()?;
                string(rest, u32::from_be_bytes(*len) as usize)?
            }
            0xc0 => integer::<2>(rest)?,
            0xd0 => integer::<4>(rest)?,
            0xe0 => integer::<8>(rest)?,
            0xf0 => integer::<3>(rest)?,
            0xfe => integer::<1>(rest)?,
            small @ 0xf1..=0xfd => (Value::Integer(i64::from(small & 0x0f) - 1), rest),
            _ => return None,
        };
        let is_last = self.rest.len() == self.last;
        self.due = match self.due {
            Some(due) => Some(due.checked_sub(1)?),
            None => None,
        };
        let is_right = before == self.before && is_last == rest.is_empty();
        self.before = self.rest.len() - rest.len();
        self.rest = rest;
        is_right.then_some(value)
    }
}

fn string(rest: &[u8], len: usize) -> Option<(Value<'_>, &[u8])> {
    let (string, rest) = rest.split_at_checked(len)?;
    Some((Value::Bytes(string), rest))
}

impl<'a> Iterator for Ziplist<'a> {
    type Item = Result<Value<'a>, Fault>;

    fn next(&mut self) -> Option<Result<Value<'a>, Fault>> {
        if self.rest.is_empty() {
            let is_counted = self.due.take().is_none_or(|due| due == 0);
            return (!is_counted).then_some(Err(Fault::Damaged("it has too few items")));
        }
        let item = self.item();
        if item.is_none() {
            (self.rest, self.due) = (&[], None);
        }
        Some(item.ok_or(Fault::Damaged("an item is damaged")))
    }
}

/// The names and values of a zipmap, in turn.
///
/// ```text
/// count 1 | name | value | name | value | ... | 0xff
/// name: length 1 or 5 | bytes        value: length 1 or 5 | free 1 | bytes | free bytes
/// ```
#[derive(Clone, Debug)]
pub(super) struct Zipmap<'a> {
    rest: &'a [u8],
    /// How many pairs are still due, where that is known.
    due: Option<u8>,
    is_value: bool,
}

impl<'a> Zipmap<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Zipmap<'a>, Fault> {
        let damaged = Fault::Damaged("its head or its end is damaged");
        let (count, rest) = bytes.split_first().ok_or(damaged)?;
        let (end, rest) = rest.split_last().ok_or(damaged)?;
        let due = (*count < LONG).then_some(*count);
        let is_whole = *end == END && *count > 0;
        is_whole.then_some(Zipmap { rest, due, is_value: false }).ok_or(damaged)
    }

    fn item(&mut self) -> Option<Value<'a>> {
        let (len, mut rest) = match self.rest.split_first()? {
            (&END, _) => return None,
            (&LONG, rest) => {
                let (len, rest) = rest.split_first_chunk()?;
                let len = u32::from_le_bytes(*len) as usize;
                // A length that one byte can hold stands in one.
                (Some(len).filter(|len| *len >= LONG.into())?, rest)
            }
            (short, rest) => (usize::from(*short), rest),
        };
        let mut free = 0;
        if self.is_value {
            let (count, after) = rest.split_first()?;
            (free, rest) = (usize::from(*count), after);
            self.due = match self.due {
                Some(due) => Some(due.checked_sub(1)?),
                None => None,
            };
        }
        let (item, rest) = rest.split_at_checked(len)?;
        self.rest = rest.get(free..)?;
        self.is_value = !self.is_value;
        Some(Value::Bytes(item))
    }
}

impl<'a> Iterator for Zipmap<'a> {
    type Item = Result<Value<'a>, Fault>;

    fn next(&mut self) -> Option<Result<Value<'a>, Fault>> {
        if self.rest.is_empty() {
            let is_counted = self.due.take().is_none_or(|due| due == 0);
            return (!is_counted).then_some(Err(Fault::Damaged("it has too few fields")));
        }
        let item = self.item();
        if item.is_none() {
            (self.rest, self.due) = (&[], None);
        }
        Some(item.ok_or(Fault::Damaged("an item is damaged")))
    }
}

/// The numbers of an intset: the bytes of each, how many there are, and they, ascending.
pub(super) fn intset(bytes: &[u8]) -> Result<Vec<i64>, Fault> {
    let damaged = Fault::Damaged("its head or its numbers are damaged");
    let (width, rest) = bytes.split_first_chunk().ok_or(damaged)?;
    let (count, rest) = rest.split_first_chunk().ok_or(damaged)?;
    let (width, count) = (u32::from_le_bytes(*width) as usize, u32::from_le_bytes(*count) as usize);
    let is_whole = matches!(width, 2 | 4 | 8) && count.checked_mul(width) == Some(rest.len());
    if !is_whole {
        return Err(damaged);
    }
    let unused = 64 - 8 * width as u32;
    let number = |bytes: &[u8]| {
        let low = bytes.iter().rev().fold(0, |sum, byte| sum << 8 | i64::from(*byte));
        low << unused >> unused
    };
    let numbers: Vec<i64> = rest.chunks_exact(width).map(number).collect();
    numbers.is_sorted_by(|one, other| one < other).then_some(numbers).ok_or(damaged)
}

/// An intset of numbers that ascend.
pub(super) fn intset_of(numbers: &[i64]) -> Vec<u8> {
    let fits = |width: usize| {
        let unused = 64 - 8 * width as u32;
        numbers.iter().all(|number| number << unused >> unused == *number)
    };
    let width = [2, 4].into_iter().find(|width| fits(*width)).unwrap_or(8);
    let mut out = Vec::with_capacity(8 + width * numbers.len());
    out.extend((width as u32).to_le_bytes());
    out.extend((numbers.len() as u32).to_le_bytes());
    for number in numbers {
        out.extend(number.to_le_bytes().iter().take(width));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'a>(
        items: impl Iterator<Item = Result<Value<'a>, Fault>>,
    ) -> Result<Vec<String>, Fault> {
        items.map(|item| Ok(String::from_utf8_lossy(&item?.to_vec()).into_owned())).collect()
    }

    /// As Redis 6.2 wrote RPUSH l a 0 12 13 -1 300 70000 10000000000 and a string of 70 bytes.
    fn ziplist() -> Vec<u8> {
        let long = [b'x'; 70];
        let items: [&[u8]; 9] = [
            b"\x01a",
            b"\xf1",
            b"\xfd",
            b"\xfe\x0d",
            b"\xfe\xff",
            b"\xc0\x2c\x01",
            b"\xf0\x70\x11\x01",
            b"\xe0\x00\xe4\x0b\x54\x02\x00\x00\x00",
            &[&b"\x40\x46"[..], &long].concat(),
        ];
        let (mut body, mut before, mut last) = (Vec::new(), 0, 0);
        for item in items {
            last = HEAD + body.len();
            body.push(before);
            body.extend_from_slice(item);
            before = item.len() as u8 + 1;
        }
        let mut out = ((HEAD + body.len() + 1) as u32).to_le_bytes().to_vec();
        out.extend((last as u32).to_le_bytes());
        out.extend((items.len() as u16).to_le_bytes());
        out.extend(body);
        out.push(END);
        out
    }

    #[test]
    fn a_ziplist_is_read_and_a_damaged_one_is_not() {
        let whole = ziplist();
        let mut wanted: Vec<String> =
            ["a", "0", "12", "13", "-1", "300", "70000", "10000000000"].map(String::from).into();
        wanted.push("x".repeat(70));
        assert_eq!(Ziplist::new(&whole).and_then(texts), Ok(wanted));
        for at in 0..whole.len() {
            assert!(Ziplist::new(&whole[..at]).and_then(texts).is_err());
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                assert!(Ziplist::new(&bytes).and_then(texts).is_err() || at >= HEAD, "{at}");
            }
        }
        assert_eq!(Ziplist::new(b"\x0b\0\0\0\x0a\0\0\0\0\0\xff").and_then(texts), Ok(vec![]));
    }

    #[test]
    fn a_zipmap_is_read_and_a_damaged_one_is_not() {
        let whole = b"\x02\x03foo\x03\x00bar\x05hello\x05\x02world..\xff";
        let wanted: Vec<String> = ["foo", "bar", "hello", "world"].map(String::from).into();
        assert_eq!(Zipmap::new(whole).and_then(texts), Ok(wanted));
        for at in 0..whole.len() {
            assert!(Zipmap::new(&whole[..at]).and_then(texts).is_err(), "{at}");
        }
        assert!(Zipmap::new(b"\x03\x01a\x01\x00b\xff").and_then(texts).is_err());
        assert!(Zipmap::new(b"\x00\xff").is_err());
        assert_eq!(
            Zipmap::new(b"\xfe\x01a\x01\x00b\xff").and_then(texts).map(|it| it.len()),
            Ok(2)
        );
    }

    /// A length has one form: five bytes from 254 on.
    #[test]
    fn lengths_of_a_zipmap_have_one_form() {
        for len in [0, 1, 253, 254, 255, 70_000] {
            let long = [&[LONG][..], &(len as u32).to_le_bytes()].concat();
            let text = vec![b'x'; len];
            let of_name = [b"\x01", &long[..], &text, b"\x01\x00v\xff"].concat();
            let of_value = [b"\x01\x01f", &long[..], b"\x00", &text, b"\xff"].concat();
            for bytes in [of_name, of_value] {
                let read = Zipmap::new(&bytes).and_then(texts);
                assert_eq!(read.is_ok(), len >= 254, "{len}: {read:?}");
            }
        }
    }

    #[test]
    fn numbers_of_each_width_come_back() {
        for numbers in [vec![], vec![-3, 0, 7], vec![-70_000, 5], vec![i64::MIN, -1, i64::MAX]] {
            let bytes = intset_of(&numbers);
            assert_eq!(intset(&bytes), Ok(numbers));
            assert!(intset(&bytes[..bytes.len() - 1]).is_err());
        }
        assert!(intset(b"\x02\0\0\0\x02\0\0\0\x05\0\x05\0").is_err());
    }
}
