//! The ids of entries: milliseconds and a number within them.

use std::fmt;
use std::ops::Deref;

use crate::base::integer;

/// Longest text that is read as an id, in bytes.
const TEXT_MAX: usize = 127;

/// Longest text of an id, in bytes: twice twenty digits and a dash.
const WRITTEN_MAX: usize = 41;

/// The id of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Unix time in milliseconds, as a rule.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl Id {
    /// Below every entry.
    pub const MIN: Id = Id { ms: 0, seq: 0 };

    /// The last id that there is.
    pub const MAX: Id = Id { ms: u64::MAX, seq: u64::MAX };

    /// An id from its parts.
    pub const fn new(ms: u64, seq: u64) -> Id {
        Id { ms, seq }
    }

    /// The next id, if there is one.
    pub fn next(self) -> Option<Id> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => self.ms.checked_add(1).map(|ms| Id { ms, seq: 0 }),
        }
    }

    /// The id before, if there is one.
    pub fn previous(self) -> Option<Id> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => self.ms.checked_sub(1).map(|ms| Id { ms, seq: u64::MAX }),
        }
    }

    /// Reads `ms-seq`, or `ms` alone, which takes the number `missing`. Numbers are read as
    /// leniently as Redis reads them: zeros, a plus and blanks may come first, and a zero byte ends
    /// the text.
    pub fn parse(text: &[u8], missing: u64) -> Option<Id> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        match text.iter().position(|byte| *byte == b'-') {
            None => Some(Id { ms: integer::parse_cursor(text)?, seq: missing }),
            Some(dash) => Some(Id {
                ms: integer::parse_cursor(&text[..dash])?,
                seq: integer::parse_cursor(&text[dash + 1..])?,
            }),
        }
    }

    /// The id as text.
    pub fn text(self) -> IdText {
        let mut text = IdText { bytes: [0; WRITTEN_MAX], len: 0 };
        let mut digits = itoa::Buffer::new();
        text.push(digits.format(self.ms).as_bytes());
        text.push(b"-");
        text.push(digits.format(self.seq).as_bytes());
        text
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// An id as text.
#[derive(Clone, Copy, Debug)]
pub struct IdText {
    bytes: [u8; WRITTEN_MAX],
    len: usize,
}

impl IdText {
    fn push(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }
}

impl Deref for IdText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written() {
        for (text, ms, seq) in [
            ("0", 0, 9),
            ("5", 5, 9),
            ("5-0", 5, 0),
            ("007-+1", 7, 1),
            ("18446744073709551615-18446744073709551615", u64::MAX, u64::MAX),
        ] {
            assert_eq!(Id::parse(text.as_bytes(), 9), Some(Id::new(ms, seq)), "{text}");
        }
        for text in ["", "-", "+", "a", "1-", "-1", "1-2-3", "1-a", "18446744073709551616", "1 "] {
            assert_eq!(Id::parse(text.as_bytes(), 0), None, "{text}");
        }
        assert_eq!(Id::parse(&[b'0'; 128], 0), None);
        assert_eq!(*Id::MAX.text(), *Id::MAX.to_string().as_bytes());
    }

    #[test]
    fn neighbours_carry_over_and_end() {
        assert_eq!(Id::new(1, u64::MAX).next(), Some(Id::new(2, 0)));
        assert_eq!(Id::new(2, 0).previous(), Some(Id::new(1, u64::MAX)));
        assert_eq!((Id::MAX.next(), Id::MIN.previous()), (None, None));
    }
}
