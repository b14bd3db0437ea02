//! Whether keys are there, and what they are: DEL, UNLINK, EXISTS, TOUCH, TYPE.

use crate::commands::command::Command;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[];
