//! Transactions: several commands at one moment.

pub mod queue;
