//! How long keys live: EXPIRE and its relatives, TTL, PERSIST.

use crate::commands::command::Command;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[];
