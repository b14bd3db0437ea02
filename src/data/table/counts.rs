//! What a table counts: its members, and those of them that are something special.

use crate::base::millis::Millis;

/// What a table holds, in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Members.
    pub len: usize,
    /// Members with a deadline.
    pub expires: usize,
    /// Members that hold anything with a deadline.
    pub timed: usize,
    /// Sum of the deadlines, in milliseconds of unix time: their mean is what INFO shows.
    pub deadline_sum: i128,
    /// Members that are blessed.
    pub blessed: usize,
    /// Members that are blessed and have a deadline.
    pub blessed_expires: usize,
    /// Buckets of the table.
    pub buckets: usize,
}

impl Counts {
    /// Adds `other`.
    pub fn add(&mut self, other: Counts) {
        self.len += other.len;
        self.expires += other.expires;
        self.timed += other.timed;
        self.deadline_sum += other.deadline_sum;
        self.blessed += other.blessed;
        self.blessed_expires += other.blessed_expires;
        self.buckets += other.buckets;
    }

    /// Takes `other` off.
    pub fn sub(&mut self, other: Counts) {
        self.len -= other.len;
        self.expires -= other.expires;
        self.timed -= other.timed;
        self.deadline_sum -= other.deadline_sum;
        self.blessed -= other.blessed;
        self.blessed_expires -= other.blessed_expires;
        self.buckets -= other.buckets;
    }
}

/// What a table counts of members that are something special: the fields of [`Counts`] with these
/// names. With the alignment of the sum, each table would be eight bytes longer.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(8))]
pub(super) struct Special {
    pub(super) expires: usize,
    pub(super) timed: usize,
    pub(super) deadline_sum: i128,
    pub(super) blessed: usize,
    pub(super) blessed_expires: usize,
}

impl Special {
    /// A member had one deadline and has another.
    pub(super) fn change(&mut self, old: Option<Millis>, new: Option<Millis>) {
        if let Some(old) = old {
            self.expires -= 1;
            self.deadline_sum -= i128::from(old.0);
        }
        if let Some(new) = new {
            self.expires += 1;
            self.deadline_sum += i128::from(new.0);
        }
    }

    /// A member is blessed, with a deadline or without.
    pub(super) fn bless(&mut self, has_deadline: bool) {
        self.blessed += 1;
        self.blessed_expires += usize::from(has_deadline);
    }

    /// It is so no more, or it has gone.
    pub(super) fn unbless(&mut self, has_deadline: bool) {
        self.blessed -= 1;
        self.blessed_expires -= usize::from(has_deadline);
    }

    pub(super) fn any_deadline(&self) -> bool {
        self.expires > 0 || self.timed > 0
    }
}
