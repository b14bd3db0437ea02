//! A member of a large sorted set: its score, its name, perhaps a deadline, in one allocation.
//!
//! ```text
//! score 8 | head 1 | [length 4] | [deadline 8] | name
//! ```
//!
//! The low seven bits of the head are the length of the name, or 127 where the length follows; its
//! high bit says that a deadline follows. A name of 17 bytes takes 32 bytes with its score.
//!
//! Why `unsafe`: the table owns the members and the tree refers to them, so each is there once; a
//! reference that is counted would cost 16 bytes a member. Invariant, kept by `large.rs` alone: a
//! [`Handle`] is in the tree only while its [`Member`] is in the table, so what it points to is
//! there whenever it is read. Members are never moved, only replaced, and the tree first. Whoever
//! reads through a handle says why its member is there.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::NonNull;

use crate::base::millis::Millis;
use crate::base::prefetch::prefetch;
use crate::data::table;

const SCORE: usize = 8;
const HEAD: usize = 1;
const LENGTH: usize = 4;
const DEADLINE: usize = 8;
const LENGTH_FOLLOWS: u8 = 127;
const HAS_DEADLINE: u8 = 0x80;

/// A member, as its owner has it.
pub struct Member {
    start: NonNull<u8>,
}

// SAFETY: a member owns its allocation like a `Box` of plain bytes; handles travel with it, since
// table and tree are in one value.
unsafe impl Send for Member {}

// SAFETY: nothing changes behind a shared reference.
unsafe impl Sync for Member {}

/// A member, as the tree refers to it.
#[derive(Clone, Copy)]
pub(super) struct Handle {
    start: NonNull<u8>,
}

// SAFETY: as for the members that they point to.
unsafe impl Send for Handle {}

// SAFETY: as for the members that they point to.
unsafe impl Sync for Handle {}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(len, align_of::<f64>()).expect("a name has at most 4 GiB")
}

/// Bytes in front of the name.
fn front(name_len: usize, has_deadline: bool) -> usize {
    let long = name_len >= usize::from(LENGTH_FOLLOWS);
    SCORE + HEAD + if long { LENGTH } else { 0 } + if has_deadline { DEADLINE } else { 0 }
}

impl Member {
    /// A new member.
    ///
    /// # Panics
    /// When the name has more than 4 GiB.
    pub(super) fn new(name: &[u8], score: f64, deadline: Option<Millis>) -> Member {
        let mut front_bytes = Vec::with_capacity(SCORE + HEAD + LENGTH + DEADLINE);
        front_bytes.extend_from_slice(&score.to_ne_bytes());
        let flag = if deadline.is_some() { HAS_DEADLINE } else { 0 };
        if name.len() < usize::from(LENGTH_FOLLOWS) {
            front_bytes.push(name.len() as u8 | flag);
        } else {
            let len = u32::try_from(name.len()).expect("a name has at most 4 GiB");
            front_bytes.push(LENGTH_FOLLOWS | flag);
            front_bytes.extend_from_slice(&len.to_ne_bytes());
        }
        if let Some(deadline) = deadline {
            front_bytes.extend_from_slice(&deadline.0.to_ne_bytes());
        }
        let layout = layout(front_bytes.len() + name.len());
        // SAFETY: the size is not zero: there is a score.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        // SAFETY: both parts fit into what was just allocated, one behind the other.
        unsafe {
            start.copy_from_nonoverlapping(
                NonNull::from(&front_bytes[..]).cast(),
                front_bytes.len(),
            );
            let rest = start.add(front_bytes.len());
            rest.copy_from_nonoverlapping(NonNull::from(name).cast(), name.len());
        }
        Member { start }
    }

    /// What the tree refers to it by.
    pub(super) fn handle(&self) -> Handle {
        Handle { start: self.start }
    }

    /// Its score.
    #[inline]
    pub fn score(&self) -> f64 {
        // SAFETY: a score stands at the start, which is aligned for it.
        unsafe { self.start.cast::<f64>().read() }
    }

    /// Gives it another score.
    pub(super) fn set_score(&mut self, score: f64) {
        // SAFETY: as for `score`; no reference to these bytes exists.
        unsafe { self.start.cast::<f64>().write(score) };
    }

    /// Bytes that it was allocated with.
    fn size(&self) -> usize {
        // SAFETY: it is this member.
        unsafe { self.handle().size() }
    }
}

impl table::Member for Member {
    #[inline]
    fn name(&self) -> &[u8] {
        // SAFETY: it is this member, and the name is borrowed from it.
        unsafe { self.handle().name() }
    }

    #[inline]
    fn deadline(&self) -> Option<Millis> {
        // SAFETY: it is this member; where the flag is set, the deadline stands before the name.
        unsafe {
            let (_, has_deadline, at) = self.handle().head();
            has_deadline.then(|| Millis(self.start.add(at - DEADLINE).cast().read_unaligned()))
        }
    }

    #[inline]
    fn prefetch(&self) {
        prefetch(self.start.as_ptr());
    }
}

impl Handle {
    /// The name of the member.
    ///
    /// # Safety
    /// The member is there, and stays for as long as the name is used.
    #[inline]
    pub(super) unsafe fn name<'a>(self) -> &'a [u8] {
        // SAFETY: by the contract; a name of this length stands at this place.
        unsafe {
            let (len, _, at) = self.head();
            std::slice::from_raw_parts(self.start.add(at).as_ptr(), len)
        }
    }

    /// Bytes that the member was allocated with.
    ///
    /// # Safety
    /// The member is there.
    pub(super) unsafe fn size(self) -> usize {
        // SAFETY: by the contract.
        let (len, _, at) = unsafe { self.head() };
        at + len
    }

    /// Length of the name, whether there is a deadline, and where the name begins.
    ///
    /// # Safety
    /// The member is there.
    #[inline]
    unsafe fn head(self) -> (usize, bool, usize) {
        // SAFETY: by the contract; the head says what follows it.
        unsafe {
            let head = self.start.add(SCORE).read();
            let has_deadline = head & HAS_DEADLINE != 0;
            let len = match head & !HAS_DEADLINE {
                LENGTH_FOLLOWS => {
                    self.start.add(SCORE + HEAD).cast::<u32>().read_unaligned() as usize
                }
                short => usize::from(short),
            };
            (len, has_deadline, front(len, has_deadline))
        }
    }
}

impl Clone for Member {
    fn clone(&self) -> Member {
        let deadline = table::Member::deadline(self);
        Member::new(table::Member::name(self), self.score(), deadline)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let layout = layout(self.size());
        // SAFETY: allocated with this layout, and given back once.
        unsafe { dealloc(self.start.as_ptr(), layout) };
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", table::Member::name(self).escape_ascii(), self.score())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::table::Member as _;

    #[test]
    fn names_of_every_length_are_read_back() {
        for len in [0, 1, 17, 126, 127, 128, 70_000] {
            let name = vec![b'x'; len];
            for deadline in [None, Some(Millis(7)), Some(Millis(i64::MIN))] {
                let mut member = Member::new(&name, -0.0, deadline);
                assert!(member.score().is_sign_negative());
                member.set_score(1.5);
                let copy = member.clone();
                drop(member);
                assert_eq!((copy.name(), copy.score()), (&name[..], 1.5));
                assert_eq!(copy.deadline(), deadline);
            }
        }
        assert_eq!(Member::new(&[0; 17], 1.0, None).size(), 26);
    }
}
