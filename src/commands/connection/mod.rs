//! The connection of a client.

pub(super) mod basic;
pub(super) mod client;
mod directory;
pub mod login;
mod naming;
mod pausing;
mod tracking;
pub(super) mod waiting;
