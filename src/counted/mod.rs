//! What is counted and kept of commands: tallies, errors by their words, entries of logs, slow
//! events, hot keys.
//!
//! Each shard counts for itself, so that counting needs no lock.
//! Everything here can be merged with that of other shards; `crate::stats` does so when somebody
//! asks, and tells it.

pub mod counters;
pub mod errors;
pub mod hotkeys;
pub mod latency;
pub mod log;
pub mod spikes;
pub mod tally;

pub use tally::{Statistics, Tally};
