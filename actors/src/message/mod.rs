//! Every typed message, filed by its receiver.
//!
//! The core's own messages are wrapped here where they cross a mailbox, since actix asks for a
//! trait on them. Requests are imperatives, events past participles.

pub mod aof;
pub mod connection;
pub mod control;
pub mod listener;
pub mod router;
pub mod shard;
pub mod snapshot;
