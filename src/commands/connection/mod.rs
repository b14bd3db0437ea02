//! The connection of a client.

pub(super) mod basic;
pub(super) mod client;
pub(super) mod login;
