//! Keys, whatever they hold.

pub(super) mod bless;
pub(super) mod dump;
pub(super) mod elements;
pub(super) mod existence;
pub(super) mod expire;
pub(super) mod migrate;
pub(super) mod object;
pub(super) mod rename;
pub(super) mod scan;
pub(super) mod sort;
