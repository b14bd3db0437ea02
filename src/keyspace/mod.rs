//! One shard's keys: entries, tables, slots, and what a command sees of them.

pub mod access;
pub mod blessed;
pub mod collections;
pub mod contents;
pub mod discarded;
pub mod effect;
pub mod entry;
pub mod error;
pub mod evict;
pub mod expiry;
mod hidden;
pub mod interest;
pub mod key;
pub mod keys;
pub mod listener;
pub mod notices;
pub mod object;
mod own;
pub(crate) mod saved;
pub mod saving;
pub mod scan;
mod shape;
pub mod slot;
pub mod space;
pub mod tracked;
pub(crate) mod undo;
pub mod watched;
