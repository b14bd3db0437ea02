//! SLOWLOG and COMMANDLOG: the logs of remarkable commands.
//!
//! SLOWLOG is the first of the three logs of COMMANDLOG under its old name.

use crate::commands::action::{Action, Gathered};
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::error::{CommandError, unknown_subcommand_or_arity};
use crate::commands::help;
use crate::question::{LogKind, Question};
use crate::session::Session;

/// Entries that SLOWLOG GET shows when no number is given.
const SHOWN: usize = 10;

const ADMIN: Flags = Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE);

const GET_TIPS: &[&str] = &["request_policy:all_nodes", "nondeterministic_output"];
const LEN_TIPS: &[&str] =
    &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"];
const RESET_TIPS: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const TYPE: Arg = Arg::one_of(
    "type",
    &[
        Arg::word("slow", "SLOW"),
        Arg::word("large-request", "LARGE-REQUEST"),
        Arg::word("large-reply", "LARGE-REPLY"),
    ],
);

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("commandlog"),
        group: Group::Server,
        since: "8.1.0",
        complexity: "Depends on subcommand.",
        summary: "Groups the commands about the logs of remarkable commands.",
        arity: Arity::AtLeast(2),
        subcommands: &[
            Command {
                name: Name("commandlog|get"),
                group: Group::Server,
                since: "8.1.0",
                complexity: "O(N) where N is the number of entries given",
                summary: "Gives the newest entries of a log.",
                arity: Arity::Exactly(4),
                flags: ADMIN,
                tips: GET_TIPS,
                args: &[Arg::integer("count"), TYPE],
                run: Run::Server(commandlog_get),
                ..Command::BASE
            },
            Command {
                name: Name("commandlog|help"),
                group: Group::Server,
                since: "8.1.0",
                run: Run::Session(|call, _, reply| help::of_lines(call, COMMANDLOG_HELP, reply)),
                ..help::BASE
            },
            Command {
                name: Name("commandlog|len"),
                group: Group::Server,
                since: "8.1.0",
                summary: "Gives the number of entries of a log.",
                arity: Arity::Exactly(3),
                flags: ADMIN,
                tips: LEN_TIPS,
                args: &[TYPE],
                run: Run::Server(commandlog_len),
                ..Command::BASE
            },
            Command {
                name: Name("commandlog|reset"),
                group: Group::Server,
                since: "8.1.0",
                complexity: "O(N) where N is the number of entries of the log",
                summary: "Empties a log.",
                arity: Arity::Exactly(3),
                flags: ADMIN,
                tips: RESET_TIPS,
                args: &[TYPE],
                run: Run::Server(commandlog_reset),
                ..Command::BASE
            },
        ],
        ..Command::BASE
    },
    Command {
        name: Name("slowlog"),
        group: Group::Server,
        since: "2.2.12",
        complexity: "Depends on subcommand.",
        summary: "Groups the commands about the log of slow commands.",
        arity: Arity::AtLeast(2),
        subcommands: &[
            Command {
                name: Name("slowlog|get"),
                group: Group::Server,
                since: "2.2.12",
                complexity: "O(N) where N is the number of entries given",
                summary: "Gives the newest slow commands.",
                history: &[("4.0.0", "Address and name of the client in the reply.")],
                arity: Arity::AtLeast(2),
                flags: ADMIN,
                tips: GET_TIPS,
                args: &[Arg::integer("count").optional()],
                run: Run::Server(slowlog_get),
                ..Command::BASE
            },
            Command {
                name: Name("slowlog|help"),
                group: Group::Server,
                since: "6.2.0",
                run: Run::Session(|call, _, reply| help::of_lines(call, SLOWLOG_HELP, reply)),
                ..help::BASE
            },
            Command {
                name: Name("slowlog|len"),
                group: Group::Server,
                since: "2.2.12",
                summary: "Gives the number of slow commands in the log.",
                arity: Arity::Exactly(2),
                flags: ADMIN,
                tips: LEN_TIPS,
                run: Run::Server(slowlog_len),
                ..Command::BASE
            },
            Command {
                name: Name("slowlog|reset"),
                group: Group::Server,
                since: "2.2.12",
                complexity: "O(N) where N is the number of entries of the log",
                summary: "Empties the log of slow commands.",
                arity: Arity::Exactly(2),
                flags: ADMIN,
                tips: RESET_TIPS,
                run: Run::Server(slowlog_reset),
                ..Command::BASE
            },
        ],
        ..Command::BASE
    },
];

fn commandlog_get(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    let count = count(call)?;
    Ok(get(kind(call, 3)?, count))
}

const COMMANDLOG_HELP: &[(&str, &str)] = &[
    ("GET <count> <type>", "Show the newest entries of a log; all of them for -1."),
    ("LEN <type>", "Show how many entries a log has."),
    ("RESET <type>", "Empty a log. A type is slow, large-request or large-reply."),
];

fn commandlog_len(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(len(kind(call, 2)?))
}

fn commandlog_reset(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(reset(kind(call, 2)?))
}

fn slowlog_get(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    match call.len() {
        2 => Ok(get(LogKind::Slow, SHOWN)),
        3 => Ok(get(LogKind::Slow, count(call)?)),
        _ => Err(unknown_subcommand_or_arity(call.arg(0), call.arg(1))),
    }
}

const SLOWLOG_HELP: &[(&str, &str)] = &[
    ("GET [<count>]", "Show the newest slow commands: 10 by default, all of them for -1."),
    ("LEN", "Show how many entries the log has."),
    ("RESET", "Empty the log."),
];

fn slowlog_len(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(len(LogKind::Slow))
}

fn slowlog_reset(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(reset(LogKind::Slow))
}

fn get(kind: LogKind, most: usize) -> Action {
    Action::Gather(Question::Log(kind, most), Gathered::LogGet(kind, most))
}

fn len(kind: LogKind) -> Action {
    Action::Gather(Question::Log(kind, usize::MAX), Gathered::LogLen(kind))
}

fn reset(kind: LogKind) -> Action {
    Action::Gather(Question::LogReset(kind), Gathered::Ok)
}

/// The number of entries that are asked for; -1 is all.
fn count(call: &Call<'_>) -> Result<usize, CommandError> {
    let count = call.integer(2).ok().filter(|count| *count >= -1);
    let count =
        count.ok_or(CommandError::Text("ERR count should be greater than or equal to -1"))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

fn kind(call: &Call<'_>, index: usize) -> Result<LogKind, CommandError> {
    let words = ["slow", "large-request", "large-reply"];
    let known = words.iter().position(|word| call.is(index, word));
    known.map(|place| LogKind::ALL[place]).ok_or(CommandError::Text(
        "ERR type should be one of the following: slow, large-request, large-reply",
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn logs_are_asked_of_all_shards() {
        dialogue(
            &mut Store::new(),
            "
            > slowlog get
            (action) Gather(Log(Slow, 10), LogGet(Slow, 10))
            > slowlog get 3
            (action) Gather(Log(Slow, 3), LogGet(Slow, 3))
            > slowlog get -2
            (error) ERR count should be greater than or equal to -1
            > slowlog get a
            (error) ERR count should be greater than or equal to -1
            > slowlog get 1 2
            (error) ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.
            > slowlog reset
            (action) Gather(LogReset(Slow), Ok)
            > commandlog get 1 foo
            (error) ERR type should be one of the following: slow, large-request, large-reply
            > commandlog get a slow
            (error) ERR count should be greater than or equal to -1
            > commandlog reset LARGE-reply
            (action) Gather(LogReset(LargeReply), Ok)
            > commandlog foo
            (error) ERR unknown subcommand 'foo'. Try COMMANDLOG HELP.
            ",
        );
    }
}
