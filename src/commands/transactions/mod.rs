//! Transactions: several commands at one moment.

pub(super) mod queue;
