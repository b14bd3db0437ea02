//! Transactions: several commands at one moment.

pub(crate) mod queue;
