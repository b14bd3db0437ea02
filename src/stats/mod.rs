//! How the server tells what it counted about itself.
//!
//! The figures of all shards are added up only when somebody asks ([`gathered`]). What only the
//! process knows comes in as [`facts`].

pub mod facts;
mod functions;
pub mod gathered;
pub mod hotkeys;
pub mod info;
pub mod latency;
pub mod rates;
pub mod totals;
