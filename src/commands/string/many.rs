//! Several strings at once: MGET, MSET, MSETNX, MSETEX.

use crate::commands::command::Command;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[];
