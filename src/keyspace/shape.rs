//! Where the parts of an entry stand in its allocation, in bytes:
//!
//! ```text
//! head 1 | access 3 | key length 1 or 4 | value length 1 | deadline 0 or 8 | key | value
//! ```
//!
//! `head` holds the [`Kind`] in its low two bits and the flags. The value is an integer (8 bytes),
//! a short string in place, the parts of a `Vec<u8>`, or the pointer of an object, whose tag stands
//! where the value's length does.
//!
//! Invariant: head and lengths decide every place; a part begins where the one before it ends.

use std::alloc::Layout;

/// Sizes are rounded up to this, so that a value of about the same length is replaced in place.
const GRAIN: usize = 16;

pub(super) const LONG_KEY: u8 = 1 << 2;
pub(super) const DEADLINE: u8 = 1 << 3;
pub(super) const RAW: u8 = 1 << 4;
/// Elements of the object have deadlines of their own.
pub(super) const TIMED: u8 = 1 << 5;
/// The key never goes to make room for others. It stays so whatever its value is replaced by.
pub(super) const BLESSED: u8 = 1 << 6;
pub(super) const KIND: u8 = 0b11;

pub(super) const LONG_BYTES: usize = size_of::<Vec<u8>>();
pub(super) const POINTER_BYTES: usize = size_of::<usize>();

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Integer = 0,
    Inline = 1,
    Long = 2,
    Object = 3,
}

/// The longest key whose length takes one byte.
pub(super) const SHORT_KEY_MAX: usize = u8::MAX as usize;

/// Where the parts of an allocation stand.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) head: u8,
    pub(super) key_len: usize,
    pub(super) value_len: usize,
}

impl Shape {
    pub(super) fn has(self, flag: u8) -> bool {
        self.head & flag != 0
    }

    pub(super) fn value_len_at(self) -> usize {
        if self.has(LONG_KEY) { 8 } else { 5 }
    }

    pub(super) fn deadline_at(self) -> usize {
        self.value_len_at() + 1
    }

    pub(super) fn key_at(self) -> usize {
        self.deadline_at() + if self.has(DEADLINE) { 8 } else { 0 }
    }

    pub(super) fn value_at(self) -> usize {
        self.key_at() + self.key_len
    }

    pub(super) fn is_long(self) -> bool {
        self.head & KIND == Kind::Long as u8
    }

    pub(super) fn is_object(self) -> bool {
        self.head & KIND == Kind::Object as u8
    }

    pub(super) fn size(self) -> usize {
        (self.value_at() + self.value_len).next_multiple_of(GRAIN)
    }

    pub(super) fn layout(self) -> Layout {
        Layout::from_size_align(self.size(), 1).expect("a key is shorter than half the memory")
    }
}
