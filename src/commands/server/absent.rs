//! What is not there and says so: CLUSTER, FUNCTION.

use crate::commands::command::Command;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[];
