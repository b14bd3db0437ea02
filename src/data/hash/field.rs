//! One field of a large hash in one allocation: name, value, deadline.
//!
//! ```text
//! head 1 | long length 0 or 4 | deadline 0 or 8 | name | value
//! ```
//!
//! The low six bits of `head` are the length of the name, or [`LONG`] where four bytes of it
//! follow; [`TIMED`] says that there is a deadline.

use crate::base::millis::Millis;
use crate::data::blob::Blob;
use crate::data::table::Member;

/// Names of this length or longer have their length in four bytes.
const LONG: u8 = 0x3f;
const TIMED: u8 = 0x40;
const LONG_BYTES: usize = 4;
const DEADLINE_BYTES: usize = 8;

/// A field with its value.
#[derive(Clone, Debug)]
pub struct Field {
    blob: Blob,
}

impl Field {
    /// A field with this name, value and deadline.
    pub fn new(name: &[u8], value: &[u8], deadline: Option<Millis>) -> Field {
        let is_long = name.len() >= usize::from(LONG);
        let head = if is_long { LONG } else { name.len() as u8 };
        let head = head | if deadline.is_some() { TIMED } else { 0 };
        let long = (name.len() as u32).to_le_bytes();
        let long = if is_long { &long[..] } else { &[] };
        let time = deadline.map(|deadline| deadline.0.to_le_bytes());
        let time = time.as_ref().map_or(&[][..], |time| &time[..]);
        let mut blob = Blob::with_capacity(1 + long.len() + time.len() + name.len() + value.len());
        blob.splice(0..0, &[&[head], long, time, name, value]);
        Field { blob }
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &[u8] {
        &self.blob[self.value_at()..]
    }

    /// Puts another value in the place of the old one.
    pub fn set_value(&mut self, value: &[u8]) {
        let (start, end) = (self.value_at(), self.blob.len());
        self.blob.splice(start..end, &[value]);
    }

    /// Sets or takes away the deadline.
    pub fn set_deadline(&mut self, deadline: Option<Millis>) {
        let (start, end) = (self.deadline_at(), self.name_at());
        match deadline {
            Some(deadline) => {
                self.blob.splice(start..end, &[&deadline.0.to_le_bytes()]);
                self.blob[0] |= TIMED;
            }
            None => {
                self.blob.splice(start..end, &[]);
                self.blob[0] &= !TIMED;
            }
        }
    }

    /// Bytes that the field takes from the allocator.
    pub fn memory(&self) -> usize {
        self.blob.memory()
    }

    fn is_timed(&self) -> bool {
        self.blob[0] & TIMED != 0
    }

    fn deadline_at(&self) -> usize {
        1 + if self.blob[0] & LONG == LONG { LONG_BYTES } else { 0 }
    }

    fn name_at(&self) -> usize {
        self.deadline_at() + if self.is_timed() { DEADLINE_BYTES } else { 0 }
    }

    fn name_len(&self) -> usize {
        match self.blob[0] & LONG {
            LONG => {
                let bytes = self.blob[1..].first_chunk::<LONG_BYTES>();
                u32::from_le_bytes(*bytes.expect("the length follows")) as usize
            }
            short => usize::from(short),
        }
    }

    fn value_at(&self) -> usize {
        self.name_at() + self.name_len()
    }
}

impl Member for Field {
    #[inline]
    fn name(&self) -> &[u8] {
        let start = self.name_at();
        &self.blob[start..start + self.name_len()]
    }

    #[inline]
    fn deadline(&self) -> Option<Millis> {
        let read = || {
            let bytes = self.blob[self.deadline_at()..].first_chunk::<DEADLINE_BYTES>();
            Millis(i64::from_le_bytes(*bytes.expect("the deadline follows")))
        };
        self.is_timed().then(read)
    }

    #[inline]
    fn prefetch(&self) {
        self.blob.prefetch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_again_at_every_length() {
        for len in [0, 1, 62, 63, 64, 300, 70_000] {
            let (name, value) = (vec![b'n'; len], vec![b'v'; len / 2]);
            let mut field = Field::new(&name, &value, None);
            let parts = |field: &Field| (field.name().len(), field.value().to_vec());
            assert_eq!((parts(&field), field.deadline()), ((len, value.clone()), None));
            for deadline in [Some(Millis(7)), Some(Millis(i64::MAX)), None, None] {
                field.set_deadline(deadline);
                assert_eq!((parts(&field), field.deadline()), ((len, value.clone()), deadline));
                let made = Field::new(&name, &value, deadline);
                assert_eq!((parts(&made), made.deadline()), ((len, value.clone()), deadline));
            }
            field.set_deadline(Some(Millis(-1)));
            field.set_value(b"other");
            assert_eq!(parts(&field), (len, b"other".to_vec()));
            assert_eq!(field.deadline(), Some(Millis(-1)));
        }
    }
}
