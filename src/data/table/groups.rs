//! Lower bounds of the deadlines of a table's members, one for each [`GROUP`](super::GROUP) of
//! buckets, so that a look for expired members passes over most of them.
//!
//! A table without deadlines takes one word for it.

use crate::base::millis::Millis;
use crate::data::NEVER;

/// The bounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups(Option<Box<Bounds>>);

#[derive(Clone, Debug, Default)]
struct Bounds {
    /// By group; none behind the last one that has a deadline.
    of: Vec<Millis>,
    next: usize,
}

impl Groups {
    /// The bound of a group.
    pub(super) fn bound(&self, group: usize) -> Millis {
        let bounds = self.0.as_deref();
        bounds.and_then(|bounds| bounds.of.get(group)).copied().unwrap_or(NEVER)
    }

    /// The bound of all groups.
    pub(super) fn least(&self) -> Millis {
        let bounds = self.0.as_deref();
        bounds.and_then(|bounds| bounds.of.iter().min()).copied().unwrap_or(NEVER)
    }

    /// How many groups have one.
    pub(super) fn count(&self) -> usize {
        self.0.as_deref().map_or(0, |bounds| bounds.of.len())
    }

    /// The group at which the next look for expired members begins.
    pub(super) fn next(&self) -> usize {
        self.0.as_deref().map_or(0, |bounds| bounds.next)
    }

    /// The next look begins at this group.
    pub(super) fn go_on_at(&mut self, group: usize) {
        if let Some(bounds) = &mut self.0 {
            bounds.next = group;
        }
    }

    /// Sets the bound of a group that has one.
    pub(super) fn set(&mut self, group: usize, bound: Millis) {
        if let Some(old) = self.0.as_deref_mut().and_then(|bounds| bounds.of.get_mut(group)) {
            *old = bound;
        }
    }

    /// A member of a group has this deadline.
    #[inline]
    pub(super) fn lower(&mut self, group: usize, deadline: Millis) {
        let Bounds { of, .. } = &mut **self.0.get_or_insert_default();
        if of.len() <= group {
            of.resize(group + 1, NEVER);
        }
        of[group] = of[group].min(deadline);
    }

    /// There are so many groups at the most now.
    pub(super) fn truncate(&mut self, len: usize) {
        let Some(Bounds { of, next }) = self.0.as_deref_mut() else { return };
        of.truncate(len);
        if of.capacity() > 4 * of.len() {
            of.shrink_to(2 * of.len());
        }
        if *next >= of.len() {
            *next = 0;
        }
    }

    /// There is no deadline any more.
    pub(super) fn clear(&mut self) {
        if let Some(Bounds { of, next }) = self.0.as_deref_mut() {
            of.clear();
            *next = 0;
        }
    }

    /// Bytes that they take from the allocator.
    pub(super) fn memory(&self) -> usize {
        let of = |bounds: &Bounds| size_of::<Bounds>() + bounds.of.capacity() * size_of::<Millis>();
        self.0.as_deref().map_or(0, of)
    }
}
