//! A pointer that carries a mark: fifteen bits of what else is known of what it points to, in the
//! bits of the word that no address uses, so that they are read without a look at it.
//!
//! An allocator gives addresses below 2^48 on all platforms of 64 bits that the store runs on; one
//! that does not ends the process before the pointer is used.

use std::num::NonZero;
use std::process::abort;
use std::ptr::NonNull;

/// Bits of a mark.
pub const MARK_BITS: u32 = 15;

const ADDRESS_BITS: u32 = 48;
const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;

/// Set where there is a mark.
const IS_MARKED: usize = 1 << (ADDRESS_BITS + MARK_BITS);

/// A pointer to bytes, and a mark.
#[derive(Clone, Copy)]
pub struct Marked(NonNull<u8>);

impl Marked {
    /// A pointer without a mark.
    #[inline]
    pub fn new(start: NonNull<u8>) -> Marked {
        if start.addr().get() > ADDRESS {
            abort();
        }
        Marked(start)
    }

    /// The pointer, which is not null.
    #[inline]
    pub fn pointer(self) -> *mut u8 {
        self.0.as_ptr().map_addr(|word| word & ADDRESS)
    }

    /// The low [`MARK_BITS`] of what was marked last.
    #[inline]
    pub fn mark(self) -> Option<u64> {
        let word = self.0.addr().get();
        (word & IS_MARKED != 0).then_some(((word & !IS_MARKED) >> ADDRESS_BITS) as u64)
    }

    /// Keeps the low [`MARK_BITS`] of `mark`.
    #[inline]
    pub fn set_mark(&mut self, mark: u64) {
        let mark = (mark as usize) << ADDRESS_BITS | IS_MARKED;
        self.0 = self.0.map_addr(|word| {
            NonZero::new(word.get() & ADDRESS | mark).expect("one bit of a mark is always set")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_leaves_the_pointer_and_is_replaced() {
        let mut byte = 7u8;
        let start = NonNull::from(&mut byte);
        let mut marked = Marked::new(start);
        assert_eq!((marked.mark(), marked.pointer()), (None, start.as_ptr()));
        for (mark, kept) in [(0, 0), (1, 1), (0x7fff, 0x7fff), (0x8000, 0), (u64::MAX, 0x7fff)] {
            marked.set_mark(mark);
            assert_eq!((marked.mark(), marked.pointer()), (Some(kept), start.as_ptr()));
        }
    }
}
