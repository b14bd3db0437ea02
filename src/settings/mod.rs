//! The settings: one table of every directive, and the checked values that the server runs by.
//!
//! [`table`] declares each directive once: name, kind, default, when it may change, whether Troupe
//! serves it. Everything else is derived from it: reading both file syntaxes, CONFIG GET, SET and
//! REWRITE, the remedy in an error, and `config/troupe.toml` (a test holds that file to the table).
//!
//! Invariant: a [`Settings`] value is always whole and checked. A change is made on a copy, which
//! replaces the old value only when all of it was accepted, so nobody sees half of a CONFIG SET.
//!
//! Left out: files, the environment and the command line (the daemon reads them and hands in
//! words); applying a change to sockets and actors (the daemon compares old and new). A password,
//! a path or another free text may have any bytes; the names of the journal's files, addresses and
//! lists of words are UTF-8 text, and other bytes there are refused, never altered.

mod change;
mod choice;
pub mod conf;
mod fields;
mod kind;
mod memory;
mod renames;
mod rewrite;
mod setting;
mod special;
pub mod table;
pub mod toml;
mod users;
mod values;

pub use change::{Applied, ConfigSetError};
pub use choice::{
    EvictionPolicy, Fsync, LogFormat, LogLevel, OnSignal, OomScore, Permission, Rebalance,
    Supervision,
};
pub use fields::{
    BufferLimit, BufferLimits, Fields, HotKeyWindows, KeyDelay, KeyDelays, MemoryShare,
    Rebalancing, Replication, Restarts, Scripts, Shutdown,
};
pub use kind::{Kind, SettingError, Unit};
pub use memory::{memory_bytes, memory_text};
pub use renames::Renames;
pub use rewrite::{Extent, RewriteError, Syntax, rewrite};
pub use setting::{Setting, Support, When};
pub use special::Special;
pub use table::{all, find, nearest};
pub use users::Passwords;
pub use values::Settings;

#[cfg(test)]
mod sample;
