//! Strings.

pub(super) mod basic;
pub(super) mod compare;
pub(super) mod counter;
pub(super) mod many;
pub(super) mod range;
