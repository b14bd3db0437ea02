//! Strings that count: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.

use crate::commands::command::Command;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[];
