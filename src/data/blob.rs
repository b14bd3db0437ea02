//! Bytes that grow, behind one thin pointer: what small collections are made of.
//!
//! Why `unsafe`: a `Vec<u8>` is three words where it stands and cannot stand in one; this takes one
//! word, and eight bytes in the allocation. A set of ten small integers needs 32 bytes with it and
//! 64 without.
//!
//! Invariant: `start` points to a header and `capacity` bytes behind it, of which the first `len`
//! were written. Longest blob: 4 GiB.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

/// Sizes are rounded up to this, in bytes: the allocator's finest step.
const GRAIN: usize = 16;

/// Allocations that are larger than this, in bytes, have the sizes of the allocator's classes: four
/// to a doubling, so that what grows has room for an eighth more or so and nothing is wasted.
const EXACT_MAX: usize = 1024;

#[repr(C)]
struct Header {
    len: u32,
    capacity: u32,
}

const HEADER: usize = size_of::<Header>();

/// Bytes behind one thin pointer.
pub struct Blob {
    start: NonNull<Header>,
    owns: PhantomData<Box<[u8]>>,
}

// SAFETY: a blob owns its allocation alone, like a `Box`, and holds nothing bound to a thread.
unsafe impl Send for Blob {}

// SAFETY: nothing changes behind a shared reference.
unsafe impl Sync for Blob {}

fn layout(capacity: usize) -> Layout {
    Layout::from_size_align(HEADER + capacity, align_of::<Header>()).expect("4 GiB fit")
}

/// Room for `len` bytes, in whole grains with the header, or a class of the allocator.
fn rounded(len: usize) -> usize {
    let size = HEADER + len;
    let step = if size > EXACT_MAX { 1 << ((size - 1).ilog2() - 2) } else { GRAIN };
    let capacity = size.next_multiple_of(step) - HEADER;
    assert!(u32::try_from(capacity).is_ok(), "a blob has at most 4 GiB");
    capacity
}

impl Default for Blob {
    fn default() -> Blob {
        Blob::with_capacity(0)
    }
}

impl Blob {
    /// No bytes, and room for `len`.
    pub fn with_capacity(len: usize) -> Blob {
        let capacity = rounded(len);
        // SAFETY: the size is the header's at least, so not zero.
        let start = unsafe { alloc(layout(capacity)) };
        let Some(start) = NonNull::new(start.cast::<Header>()) else {
            handle_alloc_error(layout(capacity))
        };
        // SAFETY: the allocation has room for a header and is aligned for it.
        unsafe { start.write(Header { len: 0, capacity: capacity as u32 }) };
        Blob { start, owns: PhantomData }
    }

    /// Puts the bytes of `parts`, one after another, in the place of those at `range`.
    ///
    /// # Panics
    /// When the range is not inside the blob, or the blob grows beyond 4 GiB.
    pub fn splice(&mut self, range: Range<usize>, parts: &[&[u8]]) {
        let old_len = self.len();
        assert!(range.start <= range.end && range.end <= old_len, "the range is inside");
        let added: usize = parts.iter().map(|part| part.len()).sum();
        let new_len = old_len - range.len() + added;
        self.make_room(new_len);
        let tail = old_len - range.end;
        // SAFETY: there is room for `new_len` bytes; the tail is inside both before and after it
        // moved, and the parts, borrowed from elsewhere, fill the gap that it left.
        unsafe {
            let bytes = self.bytes();
            let gap = bytes.add(range.start);
            gap.add(range.len()).copy_to(gap.add(added), tail);
            let mut at = gap;
            for part in parts {
                at.copy_from_nonoverlapping(NonNull::from(*part).cast(), part.len());
                at = at.add(part.len());
            }
            self.start.as_mut().len = new_len as u32;
        }
        self.give_room_back();
    }

    /// Bytes that the blob takes from the allocator.
    pub fn memory(&self) -> usize {
        HEADER + self.capacity()
    }

    /// The blob as a bare pointer, to be given to [`Blob::from_raw`] once.
    pub fn into_raw(self) -> NonNull<u8> {
        let start = self.start.cast();
        std::mem::forget(self);
        start
    }

    /// The blob again.
    ///
    /// # Safety
    /// `start` comes from [`Blob::into_raw`] and is given back once.
    pub unsafe fn from_raw(start: NonNull<u8>) -> Blob {
        Blob { start: start.cast(), owns: PhantomData }
    }

    fn capacity(&self) -> usize {
        // SAFETY: a header stands at the start.
        unsafe { self.start.as_ref().capacity as usize }
    }

    fn bytes(&self) -> NonNull<u8> {
        // SAFETY: behind the header, which is inside the allocation.
        unsafe { self.start.cast::<u8>().add(HEADER) }
    }

    fn make_room(&mut self, len: usize) {
        if len > self.capacity() {
            self.reallocate(rounded(len));
        }
    }

    /// Gives back room where less than half of it is in use.
    fn give_room_back(&mut self) {
        let wanted = rounded(self.len());
        if self.capacity() > 2 * wanted + 2 * GRAIN {
            self.reallocate(wanted);
        }
    }

    fn reallocate(&mut self, capacity: usize) {
        // SAFETY: allocated with the layout of the old capacity; the new size is not zero.
        let start = unsafe {
            realloc(self.start.as_ptr().cast(), layout(self.capacity()), HEADER + capacity)
        };
        let Some(start) = NonNull::new(start.cast::<Header>()) else {
            handle_alloc_error(layout(capacity))
        };
        self.start = start;
        // SAFETY: the header was moved along.
        unsafe { self.start.as_mut().capacity = capacity as u32 };
    }
}

impl Deref for Blob {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the first `len` bytes were written, and are borrowed from `self`.
        unsafe {
            std::slice::from_raw_parts(self.bytes().as_ptr(), self.start.as_ref().len as usize)
        }
    }
}

impl DerefMut for Blob {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: as for `deref`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.bytes().as_ptr(), len) }
    }
}

impl Clone for Blob {
    fn clone(&self) -> Blob {
        let mut copy = Blob::with_capacity(self.len());
        copy.splice(0..0, &[self]);
        copy
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        // SAFETY: allocated with the layout of this capacity.
        unsafe { dealloc(self.start.as_ptr().cast(), layout(self.capacity())) };
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({})", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_splices_agree_with_a_vector() {
        let seed = 11;
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..if cfg!(miri) { 3 } else { 300 } {
            let (mut blob, mut model) = (Blob::default(), Vec::new());
            for _ in 0..40 {
                let from = random.usize(0..=model.len());
                let to = random.usize(from..=model.len());
                let new: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
                let (left, right) = new.split_at(new.len() / 3);
                blob.splice(from..to, &[left, right]);
                model.splice(from..to, new);
                assert_eq!(*blob, model, "seed {seed}");
            }
            // SAFETY: given back once.
            let copy = unsafe { Blob::from_raw(blob.clone().into_raw()) };
            assert_eq!(*copy, *blob);
        }
    }

    #[test]
    fn room_follows_the_length() {
        let mut blob = Blob::default();
        assert_eq!(blob.memory(), 16);
        blob.splice(0..0, &[&[7; 24]]);
        assert_eq!(blob.memory(), 32);
        blob.splice(0..0, &[&[7; 5000]]);
        assert_eq!(blob.memory(), 5120);
        blob.splice(10..5024, &[]);
        assert_eq!((blob.len(), blob.memory()), (10, 32));
        blob[0] = 1;
        assert_eq!(blob[0], 1);
    }
}
