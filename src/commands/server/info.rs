//! What the server says of itself: INFO, TIME, ROLE, LASTSAVE, LOLWUT, MODULE.

use crate::commands::command::Command;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[];
