//! An owning pointer without what a `Box` promises beside: that nobody else reads what it points
//! to.
//!
//! Why: an entry's collection is read through copies of the pointer that the entry keeps
//! ([`crate::keyspace::object::View`]), several of them at a time where a command names a key
//! twice. A copy of a `Box` would claim what is behind it for itself alone.

#![allow(unsafe_code)]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A value in an allocation of its own.
pub struct Own<T>(NonNull<T>);

// SAFETY: it owns its value, like a `Box`, and is bound to no thread.
unsafe impl<T: Send> Send for Own<T> {}
// SAFETY: shared, it gives shared references alone.
unsafe impl<T: Sync> Sync for Own<T> {}

impl<T> Own<T> {
    /// Moves a value to an allocation of its own.
    pub fn new(value: T) -> Own<T> {
        Own(NonNull::from(Box::leak(Box::new(value))))
    }

    /// The pointer, to be given to [`Own::from_raw`] once. It leads to one byte at least.
    pub fn into_raw(self) -> NonNull<u8> {
        const { assert!(size_of::<T>() > 0, "there is an allocation") };
        let start = self.0;
        std::mem::forget(self);
        start.cast()
    }

    /// The value again.
    ///
    /// # Safety
    /// `start` comes from [`Own::into_raw`] with the same type. Of all that is made of one pointer
    /// one is changed or dropped, and that while no other is read.
    pub unsafe fn from_raw(start: NonNull<u8>) -> Own<T> {
        Own(start.cast())
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        // SAFETY: the allocation was a box's in `new`, and is given back once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<T> Deref for Own<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the value is there as long as its owner, of which it is borrowed.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Own<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; the owner is borrowed alone.
        unsafe { self.0.as_mut() }
    }
}

impl<T: Clone> Clone for Own<T> {
    fn clone(&self) -> Own<T> {
        Own::new((**self).clone())
    }
}

impl<T: Default> Default for Own<T> {
    fn default() -> Own<T> {
        Own::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Own<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
