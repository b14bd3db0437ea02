//! Walking over keys: SCAN, KEYS, RANDOMKEY.

use crate::commands::command::Command;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[];
