//! A string as it is kept: a whole number in its shortest form is kept as a number.

use crate::base::integer;

/// A string as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string that is a whole number in its shortest form.
    Integer(i64),
    /// Any other string.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// A string in the form in which it is kept.
    pub fn of(text: &'a [u8]) -> Value<'a> {
        integer::parse(text).map_or(Value::Bytes(text), Value::Integer)
    }

    /// True when the string is `text`.
    pub fn is(self, text: &[u8]) -> bool {
        match self {
            Value::Integer(number) => integer::parse(text) == Some(number),
            Value::Bytes(bytes) => bytes == text,
        }
    }

    /// Length of the string, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(self) -> usize {
        match self {
            Value::Integer(number) => itoa::Buffer::new().format(number).len(),
            Value::Bytes(bytes) => bytes.len(),
        }
    }

    /// The string, copied.
    pub fn to_vec(self) -> Vec<u8> {
        self.with(<[u8]>::to_vec)
    }

    /// Hands the string to `read`.
    pub fn with<R>(self, read: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Value::Integer(number) => read(itoa::Buffer::new().format(number).as_bytes()),
            Value::Bytes(bytes) => read(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_its_text_and_no_other() {
        assert!(Value::Integer(10).is(b"10") && !Value::Integer(10).is(b"010"));
        assert!(Value::Bytes(b"010").is(b"010") && !Value::Bytes(b"x").is(b""));
        assert_eq!((Value::Integer(-12).len(), Value::Bytes(b"abc").len()), (3, 3));
        assert_eq!(Value::Integer(-12).to_vec(), b"-12");
    }
}
