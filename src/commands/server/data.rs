//! Whole databases: DBSIZE, FLUSHALL, FLUSHDB, SWAPDB.

use crate::commands::command::Command;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[];
