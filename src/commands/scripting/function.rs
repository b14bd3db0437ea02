//! FUNCTION: libraries of functions, which are data: they are journaled and stand in snapshots.
//!
//! What changes the libraries runs where all slots are, so that it has its place in the order of
//! everything, and changes all threads' at once.

use std::sync::Arc;

use crate::base::glob;
use crate::commands::action::{Action, Gathered};
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::error::{CommandError, unknown_subcommand_or_arity};
use crate::commands::help;
use crate::commands::scripting::Scripting;
use crate::commands::scripting::script::FLUSH_TYPE;
use crate::commands::walk::Walk;
use crate::question::{KillKind, Question};
use crate::resp::Reply;
use crate::script::{Library, Restore, ScriptError};

const FLUSH_OPTION: CommandError =
    CommandError::Text("ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
const NO_PATTERN: CommandError = CommandError::Text("ERR library name argument was not given");
const RESTORE_POLICY: CommandError = CommandError::Text(
    "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
);
const BAD_PAYLOAD: CommandError =
    CommandError::Text("ERR DUMP payload version or checksum are wrong");

/// The name of the engine, as clients are told.
pub(crate) const ENGINE: &[u8] = b"LUA";

const FUNCTION: Command =
    Command { group: Group::Scripting, since: "7.0.0", flags: Flags::NO_SCRIPT, ..Command::BASE };

const WRITES: Flags = Flags::NO_SCRIPT.and(Flags::WRITE);
const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("function"),
    group: Group::Scripting,
    since: "7.0.0",
    complexity: "That of the subcommand",
    summary: "Looks at and changes the functions that clients can call.",
    arity: Arity::AtLeast(2),
    subcommands: &[
        Command {
            name: Name("function|delete"),
            summary: "Deletes a library with its functions.",
            arity: Arity::Exactly(3),
            flags: WRITES,
            tips: ALL_SHARDS,
            args: &[Arg::string("library-name")],
            run: Run::Libraries(delete),
            ..FUNCTION
        },
        Command {
            name: Name("function|dump"),
            complexity: "O(N), N being the number of functions",
            summary: "Gives all libraries as a payload.",
            arity: Arity::Exactly(2),
            run: Run::Scripts(dump),
            ..FUNCTION
        },
        Command {
            name: Name("function|flush"),
            complexity: "O(N), N being the number of functions",
            summary: "Deletes all libraries.",
            arity: Arity::AtLeast(2),
            flags: WRITES,
            tips: ALL_SHARDS,
            args: &[FLUSH_TYPE],
            run: Run::Libraries(flush),
            ..FUNCTION
        },
        Command {
            name: Name("function|help"),
            group: Group::Scripting,
            since: "7.0.0",
            ..help::BASE
        },
        Command {
            name: Name("function|kill"),
            summary: "Ends the functions that have run too long.",
            arity: Arity::Exactly(2),
            flags: Flags::NO_SCRIPT.and(Flags::ALLOW_BUSY),
            tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
            run: Run::Server(|_, _| Ok(Action::KillScripts(KillKind::Functions))),
            ..FUNCTION
        },
        Command {
            name: Name("function|list"),
            complexity: "O(N), N being the number of functions",
            summary: "Lists the libraries.",
            arity: Arity::AtLeast(2),
            tips: &["nondeterministic_output_order"],
            args: &[
                Arg::string("library-name-pattern").token("LIBRARYNAME").optional(),
                Arg::word("withcode", "WITHCODE").optional(),
            ],
            run: Run::Scripts(list),
            ..FUNCTION
        },
        Command {
            name: Name("function|load"),
            complexity: "O(1), where the library does little while it loads",
            summary: "Loads a library.",
            arity: Arity::AtLeast(3),
            flags: WRITES.and(Flags::DENY_OOM),
            tips: ALL_SHARDS,
            args: &[Arg::word("replace", "REPLACE").optional(), Arg::string("function-code")],
            run: Run::Libraries(load),
            ..FUNCTION
        },
        Command {
            name: Name("function|restore"),
            complexity: "O(N), N being the number of functions in the payload",
            summary: "Loads the libraries of a payload.",
            arity: Arity::AtLeast(3),
            flags: WRITES.and(Flags::DENY_OOM),
            tips: ALL_SHARDS,
            args: &[
                Arg::string("serialized-value"),
                Arg::one_of(
                    "policy",
                    &[
                        Arg::word("flush", "FLUSH"),
                        Arg::word("append", "APPEND"),
                        Arg::word("replace", "REPLACE"),
                    ],
                )
                .optional(),
            ],
            run: Run::Libraries(restore),
            ..FUNCTION
        },
        Command {
            name: Name("function|stats"),
            summary: "Tells which function runs, and how many there are.",
            arity: Arity::Exactly(2),
            flags: Flags::NO_SCRIPT.and(Flags::ALLOW_BUSY),
            tips: &[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ],
            run: Run::Server(|_, _| {
                Ok(Action::Gather(Question::RunningScript, Gathered::FunctionStats))
            }),
            ..FUNCTION
        },
    ],
    ..Command::BASE
}];

/// Until when a library may take to load: true when that is over.
type IsOver<'a> = &'a dyn Fn() -> bool;

fn delete(
    call: &Call<'_>,
    scripting: &mut Scripting,
    _: IsOver<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    scripting.libraries.delete(call.arg(2))?;
    reply.ok();
    Ok(())
}

fn flush(
    call: &Call<'_>,
    scripting: &mut Scripting,
    _: IsOver<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let is_known = call.is(2, "ASYNC") || call.is(2, "SYNC");
    match call.len() {
        2 => {}
        3 if is_known => {}
        3 => return Err(FLUSH_OPTION),
        _ => return Err(unknown_subcommand_or_arity(call.arg(0), call.arg(1))),
    }
    scripting.libraries.flush();
    reply.ok();
    Ok(())
}

fn load(
    call: &Call<'_>,
    scripting: &mut Scripting,
    is_over: IsOver<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let mut options = call.options(2);
    let mut replaces = false;
    while options.left() > 1 {
        let word = options.take().unwrap_or_default();
        if !word.eq_ignore_ascii_case(b"REPLACE") {
            return Err(quoting_option("ERR Unknown option given: ", word));
        }
        replaces = true;
    }
    let Some(code) = options.take() else {
        return Err(CommandError::Text("ERR Function code is missing"));
    };
    let library = Arc::new(scripting.engine.load(code, is_over)?);
    scripting.libraries.load(Arc::clone(&library), replaces)?;
    reply.bulk(library.name.as_bytes());
    Ok(())
}

fn restore(
    call: &Call<'_>,
    scripting: &mut Scripting,
    is_over: IsOver<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let how = match call.len() {
        3 => Restore::Append,
        4 if call.is(3, "FLUSH") => Restore::Flush,
        4 if call.is(3, "APPEND") => Restore::Append,
        4 if call.is(3, "REPLACE") => Restore::Replace,
        4 => return Err(RESTORE_POLICY),
        _ => return Err(unknown_subcommand_or_arity(call.arg(0), call.arg(1))),
    };
    let sources = crate::rdb::restore_functions(call.arg(2)).map_err(|_| BAD_PAYLOAD)?;
    let load = |code: &Vec<u8>| scripting.engine.load(code, is_over).map(Arc::new);
    let libraries: Result<Vec<Arc<Library>>, ScriptError> = sources.iter().map(load).collect();
    scripting.libraries.restore(libraries?, how)?;
    reply.ok();
    Ok(())
}

fn dump(
    _: &Call<'_>,
    scripting: &mut Scripting,
    _: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Option<Action>, CommandError> {
    let sources = scripting.libraries.sorted().into_iter().map(|library| &library.code[..]);
    reply.bulk(&crate::rdb::dump_functions(sources));
    Ok(None)
}

fn list(
    call: &Call<'_>,
    scripting: &mut Scripting,
    _: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Option<Action>, CommandError> {
    let (mut pattern, mut with_code) = (None, false);
    let mut options = call.options(2);
    while options.left() > 0 {
        if !with_code && options.take_word("WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && options.take_word("LIBRARYNAME") {
            pattern = Some(options.take().ok_or(NO_PATTERN)?);
        } else {
            let word = options.take().unwrap_or_default();
            return Err(quoting_option("ERR Unknown argument ", word));
        }
    }
    let matches = |library: &&Arc<Library>| {
        pattern.is_none_or(|pattern| glob::matches(pattern, library.name.as_bytes(), true))
    };
    let listed: Vec<&Arc<Library>> =
        scripting.libraries.sorted().into_iter().filter(matches).collect();
    reply.array(listed.len());
    listed.into_iter().for_each(|library| describe(library, with_code, reply));
    Ok(None)
}

fn describe(library: &Library, with_code: bool, reply: &mut Reply<'_>) {
    reply.map(3 + usize::from(with_code));
    reply.bulk(b"library_name");
    reply.bulk(library.name.as_bytes());
    reply.bulk(b"engine");
    reply.bulk(ENGINE);
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for function in &library.functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(function.name.as_bytes());
        reply.bulk(b"description");
        match &function.description {
            Some(text) => reply.bulk(text),
            None => reply.null(),
        }
        reply.bulk(b"flags");
        let flags: Vec<&str> = function.flags.names().collect();
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.simple(flag));
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.code);
    }
}

fn quoting_option(text: &str, word: &[u8]) -> CommandError {
    CommandError::QuotedBytes([text.as_bytes(), word].concat())
}
