//! HELP of a container: the form that all of them share.

use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::resp::Reply;

/// Replies with what a container's HELP says: each line a name with its arguments, below it what it
/// does. `HELP` itself is added.
pub(super) fn help(
    call: &Call<'_>,
    lines: &[(&str, &str)],
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let name = call.command.name.as_str();
    let container = name.split('|').next().unwrap_or(name).to_ascii_uppercase();
    reply.array(1 + 2 * (lines.len() + 1));
    reply.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for (usage, what) in lines.iter().chain(&[("HELP", "Print this help.")]) {
        reply.simple(usage);
        reply.simple(&format!("    {what}"));
    }
    Ok(())
}
