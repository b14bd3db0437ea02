//! Parts of strings: APPEND, STRLEN, GETRANGE, SUBSTR, SETRANGE.

use crate::commands::command::Command;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[];
