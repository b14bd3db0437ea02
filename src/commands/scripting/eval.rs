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
use crate::commands::scripting::{Asked, Begin, Program, ScriptChange, Scripting, keys_of};
use crate::script::Sha;

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
        run: Run::Script(eval),
        ..EVAL
    },
    Command {
        name: Name("eval_ro"),
        since: "7.0.0",
        summary: "Runs a script that only reads.",
        keys: READS,
        flags: FLAGS.except(Flags::MAY_REPLICATE).and(Flags::READONLY),
        args: &[Arg::string("script"), NUMKEYS, KEYS, ARGUMENTS],
        run: Run::Script(eval_ro),
        ..EVAL
    },
    Command {
        name: Name("evalsha"),
        summary: "Runs a script that is known, by its digest.",
        args: &[Arg::string("sha1"), NUMKEYS, KEYS, ARGUMENTS],
        run: Run::Script(evalsha),
        ..EVAL
    },
    Command {
        name: Name("evalsha_ro"),
        since: "7.0.0",
        summary: "Runs a script that is known and only reads, by its digest.",
        keys: READS,
        flags: FLAGS.except(Flags::MAY_REPLICATE).and(Flags::READONLY),
        args: &[Arg::string("sha1"), NUMKEYS, KEYS, ARGUMENTS],
        run: Run::Script(evalsha_ro),
        ..EVAL
    },
    Command {
        name: Name("fcall"),
        since: "7.0.0",
        complexity: "That of the function",
        summary: "Calls a function.",
        args: &[Arg::string("function"), NUMKEYS, KEYS, ARGUMENTS],
        run: Run::Script(fcall),
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
        run: Run::Script(fcall_ro),
        ..EVAL
    },
];

/// Whether what a call has asked for was done, whatever came of it.
type WasDone = bool;

fn eval(
    call: &Call<'_>,
    scripting: &mut Scripting,
    was_done: WasDone,
) -> Result<Begin, CommandError> {
    by_text(call, scripting, was_done, false)
}

fn eval_ro(
    call: &Call<'_>,
    scripting: &mut Scripting,
    was_done: WasDone,
) -> Result<Begin, CommandError> {
    by_text(call, scripting, was_done, true)
}

fn by_text(
    call: &Call<'_>,
    scripting: &mut Scripting,
    was_done: WasDone,
    reads_only: bool,
) -> Result<Begin, CommandError> {
    let keys = keys_of(call, 2, CommandError::NotAnInteger)?;
    let body = call.arg(1);
    let runs = |program| Begin::Runs(Asked { program, keys, reads_only });
    if let Some(script) = scripting.scripts.use_one(Sha::of(body)) {
        return Ok(runs(Program::Script(Arc::clone(script))));
    }
    let script = Arc::new(scripting.engine.compile(body)?);
    scripting.scripts.evaluate(Arc::clone(&script));
    if was_done || call.map.shards() == 1 {
        return Ok(runs(Program::Script(script)));
    }
    Ok(Begin::Asks(Action::ChangeScripts(ScriptChange::Evaluate(script))))
}

fn evalsha(
    call: &Call<'_>,
    scripting: &mut Scripting,
    was_done: WasDone,
) -> Result<Begin, CommandError> {
    by_digest(call, scripting, was_done, false)
}

fn evalsha_ro(
    call: &Call<'_>,
    scripting: &mut Scripting,
    was_done: WasDone,
) -> Result<Begin, CommandError> {
    by_digest(call, scripting, was_done, true)
}

fn by_digest(
    call: &Call<'_>,
    scripting: &mut Scripting,
    was_done: WasDone,
    reads_only: bool,
) -> Result<Begin, CommandError> {
    let keys = keys_of(call, 2, CommandError::NotAnInteger)?;
    let sha = Sha::parse(call.arg(1)).ok_or(NOSCRIPT)?;
    match scripting.scripts.use_one(sha) {
        Some(script) => {
            let program = Program::Script(Arc::clone(script));
            Ok(Begin::Runs(Asked { program, keys, reads_only }))
        }
        None if was_done || call.map.shards() == 1 => Err(NOSCRIPT),
        None => Ok(Begin::Asks(Action::FindScript(sha))),
    }
}

fn fcall(call: &Call<'_>, scripting: &mut Scripting, _: WasDone) -> Result<Begin, CommandError> {
    by_name(call, scripting, false)
}

fn fcall_ro(call: &Call<'_>, scripting: &mut Scripting, _: WasDone) -> Result<Begin, CommandError> {
    by_name(call, scripting, true)
}

fn by_name(
    call: &Call<'_>,
    scripting: &Scripting,
    reads_only: bool,
) -> Result<Begin, CommandError> {
    let (library, function) = scripting.libraries.function(call.arg(1)).ok_or(NO_FUNCTION)?;
    let program = Program::Function(Arc::clone(library), function.clone());
    let keys = keys_of(call, 2, BAD_KEYS)?;
    Ok(Begin::Runs(Asked { program, keys, reads_only }))
}
