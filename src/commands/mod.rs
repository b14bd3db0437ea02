//! Every command, each declared and run in one place.
//!
//! A folder a group, a file a family. A file reads from its `COMMANDS` table down: the table is its
//! contents page, the handlers follow in the same order. `registry` lists the families.

pub mod action;
pub mod bitmap;
pub mod call;
mod category;
pub mod command;
pub mod connection;
pub(crate) mod element_expiry;
pub mod error;
pub mod filter;
pub mod generic;
mod geo;
pub mod hash;
mod help;
pub mod hyperloglog;
pub mod list;
pub mod number;
pub(crate) mod picking;
pub mod positions;
mod pubsub;
pub mod reach;
pub(crate) mod recreate;
pub mod registry;
pub mod renaming;
pub(crate) mod run;
pub mod scripting;
pub mod server;
pub mod set;
pub mod stream;
pub mod string;
pub(crate) mod time;
pub(crate) mod transactions;
pub mod walk;
mod zset;
