//! What modules have written: values and fields of their own, known by a number in which their name
//! is hidden. None is kept here; all can be read over.

use crate::rdb::error::{Fault, RdbError};
use crate::rdb::source::Source;

const END: u64 = 0;
const SIGNED: u64 = 1;
const UNSIGNED: u64 = 2;
const FLOAT: u64 = 3;
const DOUBLE: u64 = 4;
const STRING: u64 = 5;

/// Letters of a name, six bits each; ten bits of a version follow them.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
pub(super) const NAME_LEN: usize = 9;
const VERSION_BITS: u32 = 10;

/// Reads over the number of a module and its value. Returns the name of the type.
pub(super) fn skip(source: &mut Source<'_>) -> Result<[u8; NAME_LEN], RdbError> {
    let name = name(source.length()?);
    skip_value(source)?;
    Ok(name)
}

/// Reads over a value up to its end mark.
pub(super) fn skip_value(source: &mut Source<'_>) -> Result<(), RdbError> {
    loop {
        let start = source.place();
        match source.length()? {
            END => return Ok(()),
            SIGNED | UNSIGNED => drop(source.length()?),
            FLOAT => drop(source.array::<4>()?),
            DOUBLE => drop(source.array::<8>()?),
            STRING => drop(source.string()?),
            _ => return Err(Fault::Damaged("a part of a value of a module is unknown").at(start)),
        }
    }
}

/// The name of the type with this number.
pub(super) fn name(number: u64) -> [u8; NAME_LEN] {
    std::array::from_fn(|place| {
        let bits = number >> (VERSION_BITS + 6 * (NAME_LEN - 1 - place) as u32) & 0x3f;
        LETTERS[bits as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::sink;

    #[test]
    fn a_value_is_read_over_and_its_type_is_named() {
        let place = |byte| LETTERS.iter().position(|letter| *letter == byte).unwrap_or(0) as u64;
        let number = b"ReJSON-RL".iter().fold(0, |sum, byte| sum << 6 | place(*byte));
        let mut out = Vec::new();
        sink::put_length(&mut out, number << VERSION_BITS | 3);
        out.extend(b"\x01\x05\x02\x40\xff\x03abcd\x04abcdefgh\x05\x03abc\x00");
        let mut source = Source::new(&out);
        assert_eq!(skip(&mut source), Ok(*b"ReJSON-RL"));
        assert_eq!(source.used(), out.len());
        for cut in 0..out.len() {
            assert!(skip(&mut Source::new(&out[..cut])).is_err());
        }
        assert!(skip_value(&mut Source::new(b"\x06\x00")).is_err());
    }
}
