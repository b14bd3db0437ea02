//! SCRIPT: which scripts are known, and the end of those that run too long.

use std::sync::Arc;

use crate::commands::action::Action;
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::help;
use crate::commands::scripting::{ScriptChange, Scripting};
use crate::commands::walk::Walk;
use crate::question::KillKind;
use crate::resp::Reply;
use crate::script::Sha;

const NO_DEBUGGER: CommandError =
    CommandError::Text("ERR SCRIPT DEBUG is not supported: there is no debugger of scripts");
const FLUSH_OPTION: CommandError =
    CommandError::Text("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
const NOSCRIPT: CommandError = CommandError::Text("NOSCRIPT No matching script.");

const SCRIPT: Command = Command {
    group: Group::Scripting,
    since: "2.6.0",
    flags: Flags::NO_SCRIPT.and(Flags::STALE),
    ..Command::BASE
};

/// Whether what is forgotten is dropped at once. It always is.
pub(super) const FLUSH_TYPE: Arg =
    Arg::one_of("flush-type", &[Arg::word("async", "ASYNC"), Arg::word("sync", "SYNC")]).optional();

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("script"),
    group: Group::Scripting,
    since: "2.6.0",
    complexity: "That of the subcommand",
    summary: "Looks at and changes the scripts that are known.",
    arity: Arity::AtLeast(2),
    subcommands: &[
        Command {
            name: Name("script|debug"),
            since: "3.2.0",
            summary: "Would switch the debugger of scripts, of which there is none.",
            arity: Arity::AtLeast(3),
            flags: Flags::NO_SCRIPT,
            args: &[Arg::one_of(
                "mode",
                &[Arg::word("yes", "YES"), Arg::word("sync", "SYNC"), Arg::word("no", "NO")],
            )],
            run: Run::Session(|_, _, _| Err(NO_DEBUGGER)),
            ..SCRIPT
        },
        Command {
            name: Name("script|exists"),
            complexity: "O(N), N being the number of digests",
            summary: "Tells which scripts are known, by their digests.",
            arity: Arity::AtLeast(3),
            tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
            args: &[Arg::string("sha1").multiple()],
            run: Run::Scripts(exists),
            ..SCRIPT
        },
        Command {
            name: Name("script|flush"),
            complexity: "O(N), N being the number of scripts",
            summary: "Forgets all scripts.",
            arity: Arity::AtLeast(2),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            args: &[FLUSH_TYPE],
            history: &[("6.2.0", "SYNC and ASYNC.")],
            run: Run::Scripts(flush),
            ..SCRIPT
        },
        Command { name: Name("script|help"), group: Group::Scripting, ..help::BASE },
        Command {
            name: Name("script|kill"),
            summary: "Ends the scripts that have run too long.",
            arity: Arity::Exactly(2),
            flags: Flags::NO_SCRIPT.and(Flags::ALLOW_BUSY),
            tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
            run: Run::Server(|_, _| Ok(Action::KillScripts(KillKind::Scripts))),
            ..SCRIPT
        },
        Command {
            name: Name("script|load"),
            complexity: "O(N), N being the length of the script",
            summary: "Makes a script known, and gives its digest.",
            arity: Arity::Exactly(3),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            args: &[Arg::string("script")],
            run: Run::Scripts(load),
            ..SCRIPT
        },
        Command {
            name: Name("script|show"),
            since: "8.0.0",
            summary: "Gives the text of a script, by its digest.",
            arity: Arity::Exactly(3),
            args: &[Arg::string("sha1")],
            run: Run::Scripts(show),
            ..SCRIPT
        },
    ],
    ..Command::BASE
}];

fn exists(
    call: &Call<'_>,
    scripting: &mut Scripting,
    _: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Option<Action>, CommandError> {
    let digests = call.args_from(2);
    reply.array(digests.len());
    for digest in digests {
        let known = Sha::parse(digest).and_then(|sha| scripting.scripts.get(sha));
        reply.int(i64::from(known.is_some()));
    }
    Ok(None)
}

fn flush(
    call: &Call<'_>,
    scripting: &mut Scripting,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Option<Action>, CommandError> {
    let is_known = call.is(2, "ASYNC") || call.is(2, "SYNC");
    if call.len() > 3 || call.len() == 3 && !is_known {
        return Err(FLUSH_OPTION);
    }
    let asks = change_everywhere(call, scripting, walk, |_| Ok(ScriptChange::Flush))?;
    if asks.is_none() {
        reply.ok();
    }
    Ok(asks)
}

fn load(
    call: &Call<'_>,
    scripting: &mut Scripting,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Option<Action>, CommandError> {
    let sha = Sha::of(call.arg(2));
    let asks = change_everywhere(call, scripting, walk, |scripting| {
        Ok(ScriptChange::Load(match scripting.scripts.get(sha) {
            Some(known) => Arc::clone(known),
            None => Arc::new(scripting.engine.compile(call.arg(2))?),
        }))
    })?;
    if asks.is_none() {
        reply.bulk(&sha.hex());
    }
    Ok(asks)
}

fn show(
    call: &Call<'_>,
    scripting: &mut Scripting,
    _: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Option<Action>, CommandError> {
    let sha = Sha::parse(call.arg(2)).ok_or(NOSCRIPT)?;
    reply.bulk(&scripting.scripts.get(sha).ok_or(NOSCRIPT)?.body);
    Ok(None)
}

/// Has a change made on every thread. Returns what has to be done for that first; nothing where it
/// is done.
fn change_everywhere(
    call: &Call<'_>,
    scripting: &mut Scripting,
    walk: &mut Walk,
    change: impl FnOnce(&mut Scripting) -> Result<ScriptChange, CommandError>,
) -> Result<Option<Action>, CommandError> {
    if let Some(answer) = walk.answer.take() {
        return answer.map(|_| None);
    }
    let change = change(scripting)?;
    if call.map.shards() > 1 {
        return Ok(Some(Action::ChangeScripts(change)));
    }
    scripting.change(change);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use crate::testing::Store;

    #[test]
    fn scripts_are_known_until_they_are_flushed() {
        let mut store = Store::new();
        let sha = store.run("SCRIPT LOAD PING").replace('"', "");
        assert_eq!(sha.len(), 40);
        let asked = format!("SCRIPT EXISTS {sha} {} nothing", sha.to_uppercase());
        assert_eq!(store.run(&asked), "1) (integer) 1\n2) (integer) 1\n3) (integer) 0");
        assert_eq!(store.run(&format!("SCRIPT SHOW {sha}")), "\"PING\"");
        assert_eq!(store.run("SCRIPT SHOW nothing"), "(error) NOSCRIPT No matching script.");
        assert_eq!(store.run("SCRIPT FLUSH async"), "OK");
        assert!(store.run("SCRIPT FLUSH x").contains("only support SYNC|ASYNC option"));
        assert_eq!(store.run(&format!("SCRIPT EXISTS {sha}")), "1) (integer) 0");
        let error = store.run("SCRIPT DEBUG YES");
        assert!(error.contains("not supported"), "{error}");
    }
}
