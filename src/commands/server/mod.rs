//! The server itself.

pub(super) mod absent;
pub(super) mod config;
pub(super) mod control;
pub(super) mod data;
pub(super) mod debug;
mod debug_keys;
mod describing;
mod digest;
mod documenting;
pub(super) mod hotkeys;
pub(super) mod info;
pub(super) mod introspection;
pub(super) mod latency;
pub(super) mod logs;
pub(super) mod memory;
pub(super) mod replication;
pub(super) mod saving;
