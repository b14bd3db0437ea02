//! What runs scripts and functions: EVAL, EVALSHA, FCALL, and those of them that may only read.
//!
//! A script that no thread has seen is made known to all of them before it runs. One that this
//! thread does not know may be known to another, since each forgets by its own use: it is asked for
//! before NOSCRIPT is the answer.

use std::sync::Arc;

use crate::commands::action::Action;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::scripting::{Asked, Begin, Named, Program, ScriptChange, Scripting, keys_of};
use crate::script::{Flags as Declared, Sha};

const NOSCRIPT: CommandError = CommandError::Text("NOSCRIPT No matching script.");
const NO_FUNCTION: CommandError = CommandError::Text("ERR Function not found");
const BAD_KEYS: CommandError = CommandError::Text("ERR Bad number of keys provided");

const FLAGS: Flags = Flags::NO_SCRIPT
    .and(Flags::STALE)
    .and(Flags::SKIP_MONITOR)
    .and(Flags::MAY_REPLICATE)
    .and(Flags::MOVABLE_KEYS)
    .and(Flags::NO_MANDATORY_KEYS);

const WRITES: &[KeySpec] = &[KeySpec {
    notes: "What is done with a key is not known: all is assumed.",
    ..KeySpec::counted(2, 1, Access::RW.and(Access::READS).and(Access::UPDATE))
}];

const READS: &[KeySpec] = &[KeySpec {
    notes: "What is done with a key is not known: all that reads is assumed.",
    ..KeySpec::counted(2, 1, Access::RO.and(Access::READS))
}];

const EVAL: Command = Command {
    group: Group::Scripting,
    since: "2.6.0",
    complexity: "That of the script",
    arity: Arity::AtLeast(3),
    keys: WRITES,
    flags: FLAGS,
    ..Command::BASE
};

const NUMKEYS: Arg = Arg::integer("numkeys");
const KEYS: Arg = Arg::key("key").optional().multiple();
const ARGUMENTS: Arg = Arg::string("arg").optional().multiple();

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("eval"),
        summary: "Runs a script.",
        args: &[Arg::string("script"), NUMKEYS, KEYS, ARGUMENTS],
        run: Run::Script(Named::ByText),
        ..EVAL
    },
    Command {
        name: Name("eval_ro"),
        since: "7.0.0",
        summary: "Runs a script that only reads.",
        keys: READS,
        flags: FLAGS.except(Flags::MAY_REPLICATE).and(Flags::READONLY),
        args: &[Arg::string("script"), NUMKEYS, KEYS, ARGUMENTS],
        run: Run::Script(Named::ByText),
        ..EVAL
    },
    Command {
        name: Name("evalsha"),
        summary: "Runs a script that is known, by its digest.",
        args: &[Arg::string("sha1"), NUMKEYS, KEYS, ARGUMENTS],
        run: Run::Script(Named::ByDigest),
        ..EVAL
    },
    Command {
        name: Name("evalsha_ro"),
        since: "7.0.0",
        summary: "Runs a script that is known and only reads, by its digest.",
        keys: READS,
        flags: FLAGS.except(Flags::MAY_REPLICATE).and(Flags::READONLY),
        args: &[Arg::string("sha1"), NUMKEYS, KEYS, ARGUMENTS],
        run: Run::Script(Named::ByDigest),
        ..EVAL
    },
    Command {
        name: Name("fcall"),
        since: "7.0.0",
        complexity: "That of the function",
        summary: "Calls a function.",
        args: &[Arg::string("function"), NUMKEYS, KEYS, ARGUMENTS],
        run: Run::Script(Named::ByFunction),
        ..EVAL
    },
    Command {
        name: Name("fcall_ro"),
        since: "7.0.0",
        complexity: "That of the function",
        summary: "Calls a function that only reads.",
        keys: READS,
        flags: FLAGS.except(Flags::MAY_REPLICATE).and(Flags::READONLY),
        args: &[Arg::string("function"), NUMKEYS, KEYS, ARGUMENTS],
        run: Run::Script(Named::ByFunction),
        ..EVAL
    },
];

/// Begins what a call runs. It may ask for something first; `was_done` tells that this was done,
/// whatever came of it.
///
/// # Errors
/// Where there is no such program, it cannot be compiled, or the number of keys is none.
pub(crate) fn begin(
    named: Named,
    call: &Call<'_>,
    scripting: &mut Scripting,
    was_done: bool,
) -> Result<Begin, CommandError> {
    let reads_only = call.command.flags.has(Flags::READONLY);
    let is_alone = was_done || call.map.shards() == 1;
    let runs = |program, keys| Ok(Begin::Runs(Asked { program, keys, reads_only }));
    match named {
        Named::ByText => {
            let keys = keys_of(call, 2, CommandError::NotAnInteger)?;
            let body = call.arg(1);
            if let Some(script) = scripting.scripts.use_one(Sha::of(body)) {
                return runs(Program::Script(Arc::clone(script)), keys);
            }
            let script = Arc::new(scripting.engine.compile(body)?);
            scripting.scripts.evaluate(Arc::clone(&script));
            match is_alone {
                true => runs(Program::Script(script), keys),
                false => Ok(Begin::Asks(Action::ChangeScripts(ScriptChange::Evaluate(script)))),
            }
        }
        Named::ByDigest => {
            let keys = keys_of(call, 2, CommandError::NotAnInteger)?;
            let sha = Sha::parse(call.arg(1)).ok_or(NOSCRIPT)?;
            match scripting.scripts.use_one(sha) {
                Some(script) => runs(Program::Script(Arc::clone(script)), keys),
                None if is_alone => Err(NOSCRIPT),
                None => Ok(Begin::Asks(Action::FindScript(sha))),
            }
        }
        Named::ByFunction => {
            let (library, function) =
                scripting.libraries.function(call.arg(1)).ok_or(NO_FUNCTION)?;
            let program = Program::Function(Arc::clone(library), function.clone());
            runs(program, keys_of(call, 2, BAD_KEYS)?)
        }
    }
}

/// What the program declares that a call runs, as far as it is known here.
pub(crate) fn declared(named: Named, call: &Call<'_>, scripting: &Scripting) -> Option<Declared> {
    match named {
        Named::ByText => Declared::of_script(call.arg(1)),
        Named::ByDigest => {
            let script = Sha::parse(call.arg(1)).and_then(|sha| scripting.scripts.get(sha));
            script.map(|script| script.flags)
        }
        Named::ByFunction => {
            scripting.libraries.function(call.arg(1)).map(|(_, function)| function.flags)
        }
    }
}
