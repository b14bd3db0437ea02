//! DEBUG: for tests only, and only where `enable-debug-command` permits it.
//!
//! To clients DEBUG is one command, whose words each parse for themselves. Here the words that
//! reach keys or write a reply of their own are subcommands, since each runs elsewhere; the command
//! itself runs all that is the process's. Words that only turn something off that this server does
//! not have are answered with `OK`, so that test suites for Redis go on.

use std::time::Duration;

use super::debug_keys;
use crate::base::integer;
use crate::base::slot::SLOTS;
use crate::commands::action::{Action, Debug, Gathered, Reload};
use crate::commands::call::Call;
use crate::commands::command::{Arity, Command, Flags, Group, Name, Run};
use crate::commands::error::{CommandError, unknown_subcommand_or_arity};
use crate::commands::help;
use crate::keyspace::contents::Present;
use crate::question::Question;
use crate::resp::Reply;
use crate::session::Session;

/// Flags of the command and of all its words.
pub(super) const FLAGS: Flags =
    Flags::ADMIN.and(Flags::NO_SCRIPT).and(Flags::LOADING).and(Flags::STALE);

/// What the command and its words share; words in other files start from it too.
pub(super) const DEBUG: Command = Command {
    group: Group::Server,
    complexity: "Depends on subcommand.",
    summary: "Groups what is for tests only.",
    arity: Arity::AtLeast(2),
    flags: FLAGS,
    permission: Some(|settings| settings.enable_debug_command),
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("debug"),
    hides_subcommands: true,
    subcommands: &[
        debug_keys::DIGEST,
        debug_keys::DIGEST_VALUE,
        Command {
            name: Name("debug|help"),
            summary: help::BASE.summary,
            arity: Arity::Exactly(2),
            run: Run::Session(|call, _, reply| help::of_lines(call, HELP, reply)),
            ..DEBUG
        },
        debug_keys::OBJECT,
        debug_keys::PANIC_LENT,
        debug_keys::POPULATE,
        Command {
            name: Name("debug|protocol"),
            summary: "Replies with a value of the named type.",
            arity: Arity::Exactly(3),
            run: Run::Session(protocol),
            ..DEBUG
        },
        debug_keys::STRINGMATCH_LEN,
    ],
    run: Run::Server(debug),
    ..DEBUG
}];

/// Words that change nothing here: with how many words in all.
const HARMLESS: &[(&str, usize)] = &[
    ("aof-flush-sleep", 3),
    ("change-repl-id", 2),
    ("client-enforce-reply-list", 3),
    ("delay-rdb-client-free-second", 3),
    ("dict-resizing", 3),
    ("hashtable-can-abort-shrink", 3),
    ("log", 3),
    ("pause-after-fork", 3),
    ("pause-cron", 3),
    ("quicklist-packed-threshold", 3),
    ("replybuffer", 4),
];

fn debug(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    let is = |word: &str, len: usize| call.is(1, word) && call.len() == len;
    let asked = match () {
        () if is("sleep", 3) => Debug::Sleep(sleep_ms(call.arg(2))),
        () if is("set-active-expire", 3) => Debug::SetActiveExpire(leading(call.arg(2)) != 0),
        () if is("set-disable-deny-scripts", 3) => {
            Debug::AllowAllInScripts(leading(call.arg(2)) != 0)
        }
        () if is("set-skip-checksum-validation", 3) => {
            Debug::TakeAnyChecksum(leading(call.arg(2)) != 0)
        }
        () if is("panic-shard", 3) => Debug::PanicShard(shard(call, 2)?),
        () if is("panic-visit", 3) => Debug::PanicVisit(shard(call, 2)?),
        () if is("panic-actor", 3) => {
            Debug::PanicActor(String::from_utf8_lossy(call.arg(2)).into_owned())
        }
        () if is("stall-shard", 4) => Debug::StallShard {
            shard: shard(call, 2)?,
            millis: u64::try_from(call.integer(3)?).map_err(|_| CommandError::NotPositive)?,
        },
        () if is("break-order", 3) => Debug::BreakOrder(yes(call, 2)?),
        () if is("break-atomicity", 3) => Debug::BreakAtomicity(yes(call, 2)?),
        () if call.is(1, "move-slot") && call.len() >= 4 && call.len().is_multiple_of(2) => {
            let pairs = (2..call.len()).step_by(2);
            let moves = pairs.map(|index| Ok((slot(call, index)?, shard(call, index + 1)?)));
            Debug::MoveSlots(moves.collect::<Result<_, CommandError>>()?)
        }
        () if is("config-rewrite-force-all", 2) => Debug::RewriteConfig,
        () if call.is(1, "loadaof") => Debug::LoadJournal,
        () if call.is(1, "reload") => reload(call)?,
        () if is("error", 3) => {
            return Err(CommandError::QuotedBytes(call.arg(2).to_vec()));
        }
        () if HARMLESS.iter().any(|(word, len)| is(word, *len)) => {
            return Ok(Action::Gather(Question::Nothing, Gathered::Ok));
        }
        () => {
            return Err(unknown_subcommand_or_arity(call.arg(0), call.arg(1)));
        }
    };
    Ok(Action::Debug(asked))
}

fn reload(call: &Call<'_>) -> Result<Debug, CommandError> {
    let (mut saves, mut empties, mut merges) = (true, true, false);
    for index in 2..call.len() {
        match () {
            () if call.is(index, "MERGE") => merges = true,
            () if call.is(index, "NOFLUSH") => empties = false,
            () if call.is(index, "NOSAVE") => saves = false,
            () => {
                return Err(CommandError::Text(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    let present = match (empties, merges) {
        (true, _) => Present::Goes,
        (false, false) => Present::Stays,
        (false, true) => Present::GivesWay,
    };
    Ok(Debug::Reload(Reload { saves, present }))
}

/// Seconds with decimals as milliseconds; what is no length of time does not sleep, as in Redis.
fn sleep_ms(text: &[u8]) -> u64 {
    let seconds = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.and_then(|span| u64::try_from(span.as_millis()).ok()).unwrap_or(0)
}

/// A number; what is none counts as 0, as in Redis.
fn leading(text: &[u8]) -> i64 {
    integer::parse(text).unwrap_or(0)
}

fn shard(call: &Call<'_>, index: usize) -> Result<u16, CommandError> {
    let number = u16::try_from(call.integer(index)?).ok();
    number
        .filter(|number| *number < call.map.shards())
        .ok_or(CommandError::Text("ERR there is no shard with this number"))
}

fn slot(call: &Call<'_>, index: usize) -> Result<u16, CommandError> {
    let number = u16::try_from(call.integer(index)?).ok();
    number
        .filter(|number| *number < SLOTS)
        .ok_or(CommandError::Text("ERR Invalid or out of range slot"))
}

fn yes(call: &Call<'_>, index: usize) -> Result<bool, CommandError> {
    match (call.is(index, "yes"), call.is(index, "no")) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(CommandError::Text("ERR argument must be 'yes' or 'no'")),
    }
}

const HELP: &[(&str, &str)] = &[
    ("BREAK-ATOMICITY <yes|no>", "Run MSET key by key, so that others see parts of it."),
    ("BREAK-ORDER <yes|no>", "Run pipelines shard by shard, out of their order."),
    ("CONFIG-REWRITE-FORCE-ALL", "Write every setting to the configuration file."),
    ("ERROR <string>", "Reply with this error."),
    ("LOADAOF", "Empty the server and load the journal again."),
    ("MOVE-SLOT <slot> <shard> [<slot> <shard> ...]", "Move slots to other shards."),
    ("PANIC-ACTOR <name>", "Make an actor panic."),
    ("PANIC-LENT <key> [<key> ...]", "Spoil keys and panic while holding them."),
    ("PANIC-SHARD <shard>", "Make a shard panic in the middle of its next command."),
    ("PANIC-VISIT <shard>", "Make a shard panic when a command brings slots of others."),
    ("PROTOCOL <type>", "Reply with a value of this type."),
    (
        "RELOAD [option ...]",
        "Write a snapshot, empty the server and load the snapshot again.\n\
         NOSAVE: load the one that is there, which is not possible with a journal.\n\
         NOFLUSH: keep the keys that are there.\n\
         MERGE: what NOFLUSH keeps gives way to keys of its name.",
    ),
    ("SET-ACTIVE-EXPIRE <0|1>", "Take keys out when they expire, or only when touched."),
    ("SLEEP <seconds>", "Hold up the thread of this client. Decimals are allowed."),
    ("STALL-SHARD <shard> <milliseconds>", "Hold up the thread of a shard."),
];

fn protocol(
    call: &Call<'_>,
    _session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    match () {
        () if call.is(2, "string") => reply.bulk(b"Hello World"),
        () if call.is(2, "integer") => reply.int(12_345),
        () if call.is(2, "double") => reply.double(3_141.0 / 1_000.0),
        () if call.is(2, "bignum") => reply.big_number(b"1234567999999999999999999999999999999"),
        () if call.is(2, "null") => reply.null(),
        () if call.is(2, "array") => {
            reply.array(3);
            (0..3).for_each(|number| reply.int(number));
        }
        () if call.is(2, "set") => {
            reply.set(3);
            (0..3).for_each(|number| reply.int(number));
        }
        () if call.is(2, "map") => {
            reply.map(3);
            for number in 0..3 {
                reply.int(number);
                reply.bool(number == 1);
            }
        }
        () if call.is(2, "attrib") => {
            if reply.attribute(1) {
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.int(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        () if call.is(2, "push") => {
            if !reply.is_resp3() {
                return Err(CommandError::Text("ERR RESP2 is not supported by this command"));
            }
            reply.bulk(b"Some real reply following the push reply");
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
        }
        () if call.is(2, "verbatim") => reply.verbatim(b"txt", b"This is a verbatim\nstring"),
        () if call.is(2, "true") => reply.bool(true),
        () if call.is(2, "false") => reply.bool(false),
        () => {
            return Err(CommandError::Text(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn words_are_checked_before_anything_happens() {
        dialogue(
            &mut Store::new(),
            "
            > debug foo
            (error) ERR unknown subcommand or wrong number of arguments for 'foo'. Try DEBUG HELP.
            > debug sleep
            (error) ERR unknown subcommand or wrong number of arguments for 'sleep'. Try DEBUG HELP.
            > debug protocol
            (error) ERR unknown subcommand or wrong number of arguments for 'protocol'. Try DEBUG HELP.
            > debug sleep 0.5
            (action) Debug(Sleep(500))
            > debug sleep x
            (action) Debug(Sleep(0))
            > debug sleep -1
            (action) Debug(Sleep(0))
            > debug sleep inf
            (action) Debug(Sleep(0))
            > debug sleep 1e300
            (action) Debug(Sleep(0))
            > debug error 'FOO bar'
            (error) FOO bar
            > debug panic-shard 9
            (error) ERR there is no shard with this number
            > debug move-slot 16384 0
            (error) ERR Invalid or out of range slot
            > debug MOVE-slot 16383 0
            (action) Debug(MoveSlots([(16383, 0)]))
            > debug move-slot 1 0 2 0
            (action) Debug(MoveSlots([(1, 0), (2, 0)]))
            > debug move-slot 1 0 2 9
            (error) ERR there is no shard with this number
            > debug panic-visit 0
            (action) Debug(PanicVisit(0))
            > debug config-rewrite-force-all
            (action) Debug(RewriteConfig)
            > debug break-order Yes
            (action) Debug(BreakOrder(true))
            > debug break-atomicity no
            (action) Debug(BreakAtomicity(false))
            > debug break-order maybe
            (error) ERR argument must be 'yes' or 'no'
            > debug reload nosave
            (action) Debug(Reload(Reload { saves: false, present: Goes }))
            > debug reload noflush
            (action) Debug(Reload(Reload { saves: true, present: Stays }))
            > debug reload noflush Merge
            (action) Debug(Reload(Reload { saves: true, present: GivesWay }))
            > debug reload foo
            (error) ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.
            > debug pause-cron 1
            (action) Gather(Nothing, Ok)
            > debug set-active-expire 0
            (action) Debug(SetActiveExpire(false))
            > debug set-skip-checksum-validation 1
            (action) Debug(TakeAnyChecksum(true))
            > debug protocol map
            1) (integer) 0
            2) (integer) 0
            3) (integer) 1
            4) (integer) 1
            5) (integer) 2
            6) (integer) 0
            > debug protocol foo
            (error) ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false
            ",
        );
    }
}
