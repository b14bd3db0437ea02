//! Keys under other names: RENAME, RENAMENX, COPY, MOVE.

use crate::commands::command::Command;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[];
