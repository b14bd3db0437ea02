//! Bytes that grow, behind one thin pointer: what small collections are made of.
//!
//! Why `unsafe`: a `Vec<u8>` is three words where it stands and cannot stand in one; this takes one
//! word, and five bytes in the allocation. A set of ten small integers needs 32 bytes with it and
//! 64 without.
//!
//! ```text
//! length 4 | class 1 | bytes
//! ```
//!
//! Invariant: `start` points to a header and, with it, to as many bytes as the class says, of which
//! the first `length` behind the header were written. Longest blob: 4 GiB.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

use crate::base::prefetch::prefetch;

const LEN: usize = 4;
const HEADER: usize = LEN + 1;

/// Sizes are in steps of this, in bytes: the allocator's finest.
const GRAIN: usize = 16;

/// Sizes beyond this, in bytes, are those of the allocator's classes: four to a doubling, so that
/// what grows has room for an eighth more or so and nothing is wasted.
const EXACT_MAX: usize = 1024;

/// The class of [`EXACT_MAX`].
const EXACT_CLASSES: usize = EXACT_MAX / GRAIN;

/// The least class that has room for `size` bytes.
fn class_of(size: usize) -> usize {
    if size <= EXACT_MAX {
        return size.div_ceil(GRAIN);
    }
    let doublings = (size - 1).ilog2() as usize - EXACT_MAX.ilog2() as usize;
    let step = (EXACT_MAX / 4) << doublings;
    EXACT_CLASSES + 4 * doublings + (size - (EXACT_MAX << doublings)).div_ceil(step)
}

/// Bytes of an allocation of a class, the header included.
fn bytes_of(class: usize) -> usize {
    let Some(beyond) = class.checked_sub(EXACT_CLASSES + 1) else { return class * GRAIN };
    let doublings = beyond / 4;
    (EXACT_MAX << doublings) + (beyond % 4 + 1) * ((EXACT_MAX / 4) << doublings)
}

fn layout(class: usize) -> Layout {
    Layout::from_size_align(bytes_of(class), 1).expect("4 GiB fit")
}

/// The class of a blob of `len` bytes.
///
/// # Panics
/// When that is more than a blob has.
fn class_for(len: usize) -> usize {
    assert!(u32::try_from(len).is_ok(), "a blob has at most 4 GiB");
    class_of(HEADER + len)
}

/// Bytes behind one thin pointer.
pub struct Blob {
    start: NonNull<u8>,
    owns: PhantomData<Box<[u8]>>,
}

// SAFETY: a blob owns its allocation alone, like a `Box`, and holds nothing bound to a thread.
unsafe impl Send for Blob {}

// SAFETY: nothing changes behind a shared reference.
unsafe impl Sync for Blob {}

impl Default for Blob {
    fn default() -> Blob {
        Blob::with_capacity(0)
    }
}

impl Blob {
    /// No bytes, and room for `len`.
    pub fn with_capacity(len: usize) -> Blob {
        let class = class_for(len);
        // SAFETY: a size is one grain at least, so not zero.
        let start = unsafe { alloc(layout(class)) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout(class)) };
        let mut blob = Blob { start, owns: PhantomData };
        // SAFETY: the allocation has room for a header, and more.
        unsafe { blob.set_header(0, class) };
        blob
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
            self.set_len(new_len);
        }
        self.give_room_back();
    }

    /// Asks for its first bytes; nothing of it is read.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(self.start.as_ptr());
    }

    /// Bytes that the blob takes from the allocator.
    pub fn memory(&self) -> usize {
        bytes_of(self.class())
    }

    /// The blob as a bare pointer, to be given to [`Blob::from_raw`] once.
    pub fn into_raw(self) -> NonNull<u8> {
        let start = self.start;
        std::mem::forget(self);
        start
    }

    /// The blob again.
    ///
    /// # Safety
    /// `start` comes from [`Blob::into_raw`] and is given back once.
    pub unsafe fn from_raw(start: NonNull<u8>) -> Blob {
        Blob { start, owns: PhantomData }
    }

    #[inline]
    fn written(&self) -> usize {
        // SAFETY: a header stands at the start; `[u8; LEN]` has no alignment.
        u32::from_ne_bytes(unsafe { self.start.cast::<[u8; LEN]>().read() }) as usize
    }

    #[inline]
    fn class(&self) -> usize {
        // SAFETY: a header stands at the start.
        usize::from(unsafe { self.start.add(LEN).read() })
    }

    /// # Safety
    /// The allocation has a header, and the first `len` bytes behind it were written.
    unsafe fn set_len(&mut self, len: usize) {
        // SAFETY: by the contract.
        unsafe { self.start.cast::<[u8; LEN]>().write((len as u32).to_ne_bytes()) };
    }

    /// # Safety
    /// As for [`Blob::set_len`]; the allocation is of this class.
    unsafe fn set_header(&mut self, len: usize, class: usize) {
        // SAFETY: by the contract.
        unsafe {
            self.set_len(len);
            self.start.add(LEN).write(class as u8);
        }
    }

    fn bytes(&self) -> NonNull<u8> {
        // SAFETY: behind the header, which is inside the allocation.
        unsafe { self.start.add(HEADER) }
    }

    fn make_room(&mut self, len: usize) {
        if HEADER + len > self.memory() {
            self.reallocate(class_for(len));
        }
    }

    /// Gives back room where less than half of it is in use.
    fn give_room_back(&mut self) {
        let wanted = class_for(self.written());
        if self.memory() > 2 * bytes_of(wanted) + 2 * GRAIN {
            self.reallocate(wanted);
        }
    }

    fn reallocate(&mut self, class: usize) {
        let len = self.written();
        // SAFETY: allocated with the layout of the old class; the new size is not zero.
        let start = unsafe { realloc(self.start.as_ptr(), layout(self.class()), bytes_of(class)) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout(class)) };
        self.start = start;
        // SAFETY: the header and what was written were moved along.
        unsafe { self.set_header(len, class) };
    }
}

impl Deref for Blob {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the first `len` bytes were written, and are borrowed from `self`.
        unsafe { std::slice::from_raw_parts(self.bytes().as_ptr(), self.written()) }
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
        // SAFETY: allocated with the layout of this class.
        unsafe { dealloc(self.start.as_ptr(), layout(self.class())) };
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
    fn a_class_is_the_least_with_room() {
        let max = u32::MAX as usize + HEADER;
        for size in (1..if cfg!(miri) { 500 } else { 20_000 }).chain([max - 1, max]) {
            let class = class_of(size);
            assert!(bytes_of(class) >= size && bytes_of(class - 1) < size, "{size}");
        }
        assert!(class_of(max) <= usize::from(u8::MAX));
    }

    #[test]
    fn room_follows_the_length() {
        let mut blob = Blob::default();
        assert_eq!(blob.memory(), 16);
        blob.splice(0..0, &[&[7; 27]]);
        assert_eq!(blob.memory(), 32);
        blob.splice(0..0, &[&[7; 5000]]);
        assert_eq!(blob.memory(), 5120);
        blob.splice(10..5027, &[]);
        assert_eq!((blob.len(), blob.memory()), (10, 16));
        blob[0] = 1;
        assert_eq!(blob[0], 1);
    }
}
