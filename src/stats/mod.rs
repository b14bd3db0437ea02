//! What the server counts about itself, and how it tells it.
//!
//! The sinks of [`crate::hooks`] count, each shard for itself, so that counting needs no lock; the
//! figures of all shards are added up only when somebody asks ([`gathered`]). What only the process
//! knows comes in as [`facts`].

pub mod errors;
pub mod facts;
pub mod gathered;
pub mod info;
pub mod latency;
pub mod log;
pub mod spikes;
pub mod tally;
pub mod totals;

pub use tally::{Statistics, Tally};
