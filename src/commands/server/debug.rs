//! DEBUG: for tests only.
//!
//! For clients it is one command with free arguments; that each of them runs somewhere else is a
//! matter of routing, so they are subcommands that nobody is shown.

use crate::commands::command::{Arity, Command, Flags, Group, Name};
use crate::commands::server::debug_keys;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("debug"),
    group: Group::Server,
    since: "1.0.0",
    complexity: "That of the subcommand.",
    summary: "Shows and does what only tests need.",
    arity: Arity::AtLeast(2),
    flags: FLAGS,
    hides_subcommands: true,
    subcommands: &[
        debug_keys::DIGEST,
        debug_keys::DIGEST_VALUE,
        debug_keys::OBJECT,
        debug_keys::POPULATE,
        debug_keys::STRINGMATCH_LEN,
    ],
    ..Command::BASE
}];

/// Flags of the command and of all its parts.
pub(super) const FLAGS: Flags =
    Flags::ADMIN.and(Flags::NO_SCRIPT).and(Flags::LOADING).and(Flags::STALE);
