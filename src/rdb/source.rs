//! Bytes as they are read: numbers, lengths and strings.
//!
//! A length is 6, 14, 32 or 64 bits behind two bits that say which; the fourth pattern of those two
//! says that a string follows in another form: a whole number of 1, 2 or 4 bytes, or LZF.
//!
//! Nothing is believed: room is made for no more than what is there, and a number of things is
//! compared with the bytes that are left before the first of them is read.

use std::borrow::Cow;

use crate::rdb::error::{Fault, RdbError};
use crate::rdb::lzf;

/// The longest string, in bytes: what a key can hold, and what a packed collection can have.
pub(super) const STRING_MAX: usize = u32::MAX as usize;

/// The longest element of a collection, in bytes.
pub(super) const ELEMENT_MAX: usize = 1 << 30;

/// Bytes that are read from the front.
#[derive(Clone, Debug)]
pub(crate) struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the first of the bytes stands in all of them.
    offset: usize,
    /// Bytes that come behind these, later.
    more: u64,
}

/// A length, or the form of the string that follows.
enum Length {
    Plain(u64),
    Form(u8),
}

const INT_8: u8 = 0;
const INT_32: u8 = 2;
const LZF: u8 = 3;

const UNKNOWN_FORM: &str = "a string has an unknown form";

impl<'a> Source<'a> {
    /// All of these bytes, and no more.
    pub(crate) fn new(bytes: &'a [u8]) -> Source<'a> {
        Source { bytes, at: 0, offset: 0, more: 0 }
    }

    /// The bytes from `offset` on of something of which `more` bytes follow later.
    pub(crate) fn part(bytes: &'a [u8], offset: usize, more: u64) -> Source<'a> {
        Source { bytes, at: 0, offset, more }
    }

    /// How many bytes were read.
    pub(crate) fn used(&self) -> usize {
        self.at
    }

    /// The place of the next byte in all of them.
    pub(crate) fn place(&self) -> usize {
        self.offset + self.at
    }

    /// The error that something is wrong at the next byte.
    pub(crate) fn fail(&self, fault: Fault) -> RdbError {
        fault.at(self.place())
    }

    /// True when all that is here was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.left() == 0
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The error that `count` bytes are not here.
    #[cold]
    fn lacks(&self, count: u64) -> RdbError {
        let comes = count - self.left() as u64 <= self.more;
        let fault = if comes { Fault::More } else { Fault::Truncated };
        fault.at(self.offset + self.bytes.len())
    }

    pub(crate) fn take(&mut self, count: u64) -> Result<&'a [u8], RdbError> {
        if count > self.left() as u64 {
            return Err(self.lacks(count));
        }
        let taken = &self.bytes[self.at..self.at + count as usize];
        self.at += count as usize;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], RdbError> {
        let taken = self.take(N as u64)?;
        Ok(taken.first_chunk().copied().unwrap_or([0; N]))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, RdbError> {
        self.array().map(|[byte]| byte)
    }

    /// The next byte, which stays.
    pub(crate) fn peek(&self) -> Result<u8, RdbError> {
        self.clone().byte()
    }

    /// A number of eight bytes, the lowest first: a time in milliseconds, mostly.
    pub(crate) fn long(&mut self) -> Result<i64, RdbError> {
        self.array().map(i64::from_le_bytes)
    }

    /// A number as a length says it.
    pub(crate) fn length(&mut self) -> Result<u64, RdbError> {
        let start = self.place();
        match self.any_length()? {
            Length::Plain(length) => Ok(length),
            Length::Form(_) => {
                Err(Fault::Damaged("a string stands where a number is due").at(start))
            }
        }
    }

    /// How many things of `least` bytes or more follow.
    pub(crate) fn count(&mut self, least: u64) -> Result<u64, RdbError> {
        let count = self.length()?;
        let bytes = count.saturating_mul(least);
        // What was promised beyond all that can come is never waited for.
        if bytes > (self.left() as u64).saturating_add(self.more) {
            return Err(self.fail(Fault::Truncated));
        }
        Ok(count)
    }

    /// A string.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, [u8]>, RdbError> {
        self.string_within(STRING_MAX)
    }

    /// An element of a collection.
    pub(crate) fn element(&mut self) -> Result<Cow<'a, [u8]>, RdbError> {
        self.string_within(ELEMENT_MAX)
    }

    fn string_within(&mut self, most: usize) -> Result<Cow<'a, [u8]>, RdbError> {
        let start = self.place();
        let too_long = Fault::Damaged("a string is too long").at(start);
        match self.any_length()? {
            Length::Plain(length) if length > most as u64 => Err(too_long),
            Length::Plain(length) => self.take(length).map(Cow::Borrowed),
            Length::Form(width @ INT_8..=INT_32) => {
                let count = 1u32 << width;
                let bytes = self.take(u64::from(count))?;
                let low = bytes.iter().rev().fold(0, |sum, byte| sum << 8 | i64::from(*byte));
                let unused = 64 - 8 * count;
                Ok(Cow::Owned((low << unused >> unused).to_string().into_bytes()))
            }
            Length::Form(LZF) => {
                let (short, length) = (self.length()?, self.length()?);
                let short = self.take(short)?;
                let length = usize::try_from(length).ok().filter(|length| *length <= most);
                let expanded = lzf::expand(short, length.ok_or(too_long)?);
                let damaged = Fault::Damaged("a compressed string is damaged").at(start);
                expanded.map(Cow::Owned).ok_or(damaged)
            }
            Length::Form(_) => Err(Fault::Damaged(UNKNOWN_FORM).at(start)),
        }
    }

    /// Reads over a string, which stays as it is.
    pub(crate) fn skip_string(&mut self) -> Result<(), RdbError> {
        let start = self.place();
        let length = match self.any_length()? {
            Length::Plain(length) => length,
            Length::Form(width @ INT_8..=INT_32) => 1 << width,
            Length::Form(LZF) => {
                let short = self.length()?;
                self.length()?;
                short
            }
            Length::Form(_) => return Err(Fault::Damaged(UNKNOWN_FORM).at(start)),
        };
        self.take(length).map(drop)
    }

    fn any_length(&mut self) -> Result<Length, RdbError> {
        let start = self.place();
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match (first >> 6, low) {
            (0, _) => Length::Plain(u64::from(low)),
            (1, _) => Length::Plain(u64::from(low) << 8 | u64::from(self.byte()?)),
            (2, 0) => Length::Plain(u32::from_be_bytes(self.array()?).into()),
            (2, 1) => Length::Plain(u64::from_be_bytes(self.array()?)),
            (3, _) => Length::Form(low),
            _ => return Err(Fault::Damaged("a length has an unknown form").at(start)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::sink;

    #[test]
    fn lengths_and_strings_come_back() {
        for length in [0, 63, 64, 16_383, 16_384, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            let mut out = Vec::new();
            sink::put_length(&mut out, length);
            assert_eq!(Source::new(&out).length(), Ok(length));
        }
        let long = b"abc".repeat(1_000);
        let strings: [&[u8]; 10] = [
            b"",
            b"a",
            b"-128",
            b"127",
            b"128",
            b"-32769",
            b"2147483647",
            b"2147483648",
            b"007",
            &long,
        ];
        for string in strings {
            for compresses in [false, true] {
                let mut out = Vec::new();
                sink::put_string(&mut out, string, compresses);
                let mut source = Source::new(&out);
                assert_eq!(source.string().as_deref(), Ok(string));
                assert_eq!(source.used(), out.len());
                let mut source = Source::new(&out);
                assert_eq!((source.skip_string(), source.used()), (Ok(()), out.len()));
                for cut in 0..out.len() {
                    let error = Source::new(&out[..cut]).string().expect_err("it is cut");
                    assert_eq!(error, Fault::Truncated.at(cut));
                    let error = Source::part(&out[..cut], 7, out.len() as u64).string();
                    assert_eq!(error, Err(Fault::More.at(7 + cut)));
                }
            }
        }
    }

    #[test]
    fn no_length_is_believed() {
        let huge = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Source::new(&huge).count(1), Err(Fault::Truncated.at(9)));
        assert!(matches!(
            Source::new(&huge).string(),
            Err(RdbError { offset: 0, fault: Fault::Damaged(_) })
        ));
        for bytes in [&[0xc4][..], &[0x82], &[0xc3, 1, 0x80, 0xff, 0xff, 0xff, 0xff, 0]] {
            assert!(Source::new(bytes).string().is_err(), "{bytes:?}");
        }
    }
}
