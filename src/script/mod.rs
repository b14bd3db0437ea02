//! Scripts and functions: what runs them, and which are known.
//!
//! ```text
//! engine      the seam: a run is a value that its host steps; it never borrows the shard
//! lua         the one engine there is: Luau, with the libraries and the words of Redis's Lua 5.1
//! stack       a stack of its own for whatever must stand still in the middle
//! scripts     scripts by digest: SCRIPT LOAD's for ever, EVAL's own while they are used
//! libraries   libraries of functions by name
//! flags       the first line of both
//! ```
//!
//! What runs where, what a command of a script may touch and how it is undone is the shard's.
//! Nothing here reads a clock, a file or a socket. One thing is not pure: `os.clock` is the
//! engine's own.

pub mod engine;
mod error;
mod flags;
mod libraries;
#[cfg(test)]
pub(crate) mod listed;
mod lua;
mod scripts;
mod stack;

pub use engine::{Engine, Facts, Level, Propagation, Protocol, Run, Step};
pub use error::ScriptError;
pub use flags::{Flag, Flags};
pub use libraries::{Function, Libraries, Library, Restore};
pub use lua::{Limits, LuaEngine};
pub use scripts::{Script, Scripts, Sha};
