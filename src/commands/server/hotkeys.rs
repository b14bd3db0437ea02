//! HOTKEYS: the keys that take most of the server.
//!
//! There are two commands of this name. In Redis 8.6 a client begins a session, ends it, and asks
//! what keys took in it. In Valkey 9.2 `hotkeys-top-k` has them counted all the time, and GET tells
//! those of the last window. START, STOP and all that is said of a session are as in Redis; GET and
//! RESET without one are as in Valkey. SLOTS is refused as Redis refuses it outside a cluster.

use crate::base::integer;
use crate::commands::action::{Action, CollectHotKeys, Gathered, HotKeys};
use crate::commands::call::{Call, Options};
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::help;
use crate::question::Question;
use crate::session::Session;

/// Keys that are named where nothing else is said, and the most.
const COUNT: i64 = 10;
const COUNT_MAX: i64 = 64;

/// The longest session that ends by itself, in seconds.
const SECONDS_MAX: i64 = 1_000_000;

const NO_METRICS: CommandError = CommandError::Text("ERR METRICS parameter is required");
const METRICS_COUNT: CommandError = CommandError::Text("ERR METRICS count must be > 0 and <= 2");
const CPU_TWICE: CommandError = CommandError::Text("ERR METRICS CPU defined more than once!");
const NET_TWICE: CommandError = CommandError::Text("ERR METRICS NET defined more than once!");
const TOO_FEW_METRICS: CommandError =
    CommandError::Text("ERR METRICS count does not match number of metric types provided");
const UNKNOWN_METRICS: CommandError =
    CommandError::Text("ERR METRICS no valid metrics passed. Supported: CPU|NET");
const NO_CLUSTER: CommandError =
    CommandError::Text("ERR SLOTS parameter cannot be used in non-cluster mode");

/// What the subcommands share.
const HOTKEYS: Command = Command {
    group: Group::Server,
    since: "8.6.0",
    arity: Arity::Exactly(2),
    flags: Flags::ADMIN.and(Flags::NO_SCRIPT),
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("hotkeys"),
    group: Group::Server,
    since: "8.6.0",
    complexity: "Depends on subcommand.",
    summary: "Groups the commands about the keys that take most.",
    arity: Arity::AtLeast(2),
    subcommands: &[
        Command {
            name: Name("hotkeys|get"),
            complexity: "O(K) where K is the number of keys that are named",
            summary: "Names the keys that took most in the session, or were asked for most lately.",
            run: Run::Server(get),
            ..HOTKEYS
        },
        Command {
            name: Name("hotkeys|help"),
            group: Group::Server,
            since: "8.6.1",
            run: Run::Session(|call, _, reply| help::of_lines(call, HELP, reply)),
            ..help::BASE
        },
        Command {
            name: Name("hotkeys|reset"),
            summary: "Forgets what keys took.",
            run: Run::Server(|_, _| Ok(Action::HotKeys(HotKeys::Reset))),
            ..HOTKEYS
        },
        Command {
            name: Name("hotkeys|start"),
            summary: "Begins a session that collects what keys take.",
            arity: Arity::AtLeast(2),
            args: &[
                Arg::block(
                    "metrics",
                    &[
                        Arg::integer("count"),
                        Arg::word("cpu", "CPU").optional(),
                        Arg::word("net", "NET").optional(),
                    ],
                )
                .token("METRICS"),
                Arg::integer("k").token("COUNT").optional(),
                Arg::integer("seconds").token("DURATION").optional(),
                Arg::integer("ratio").token("SAMPLE").optional(),
                Arg::block("slots", &[Arg::integer("count"), Arg::integer("slot").multiple()])
                    .token("SLOTS")
                    .optional(),
            ],
            run: Run::Server(start),
            ..HOTKEYS
        },
        Command {
            name: Name("hotkeys|stop"),
            summary: "Ends the session, which can be asked still.",
            run: Run::Server(|_, _| Ok(Action::HotKeys(HotKeys::Stop))),
            ..HOTKEYS
        },
    ],
    ..Command::BASE
}];

fn get(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::Gather(Question::HotKeys(call.now), Gathered::HotKeys))
}

const HELP: &[(&str, &str)] = &[
    (
        "START METRICS <count> [CPU] [NET] [COUNT <k>] [DURATION <seconds>] [SAMPLE <ratio>]",
        "Begin a session that collects what keys take: time, bytes or both. It names 10 keys\n\
         or as many as COUNT says, lasts until it is stopped or for as long as DURATION says,\n\
         and counts one command in so many as SAMPLE says.",
    ),
    ("STOP", "End the session. What it collected can be asked for still."),
    (
        "GET",
        "Show what the session collected. Without one, show the keys that were asked for most\n\
         in the last window, where 'hotkeys-top-k' is not 0.",
    ),
    ("RESET", "Forget the session, which must be over, and the last window."),
];

fn start(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    if call.len() < 4 || !call.is(2, "METRICS") {
        return Err(NO_METRICS);
    }
    let metrics = within(call.arg(3), 1, 2, METRICS_COUNT)?;
    let mut options = call.options(4);
    let (mut cpu, mut net) = (false, false);
    for _ in 0..metrics {
        if options.take_word("CPU") {
            once(&mut cpu, CPU_TWICE)?;
        } else if options.take_word("NET") {
            once(&mut net, NET_TWICE)?;
        } else {
            // Others may come to be, so that one that is unknown alone is an error.
            options.take().ok_or(TOO_FEW_METRICS)?;
        }
    }
    if !cpu && !net {
        return Err(UNKNOWN_METRICS);
    }
    let asked = CollectHotKeys { cpu, net, count: COUNT as usize, duration_ms: None, sample: 1 };
    Ok(Action::HotKeys(HotKeys::Start(with_options(asked, options)?)))
}

fn with_options(
    mut asked: CollectHotKeys,
    mut options: Options<'_>,
) -> Result<CollectHotKeys, CommandError> {
    while options.left() > 0 {
        if options.take_word("COUNT") {
            let wrong = CommandError::Text("ERR COUNT must be between 1 and 64");
            asked.count = within(options.value()?, 1, COUNT_MAX, wrong)? as usize;
        } else if options.take_word("DURATION") {
            let wrong = CommandError::Text("ERR DURATION must be between 1 and 1000000");
            asked.duration_ms = Some(within(options.value()?, 1, SECONDS_MAX, wrong)? * 1_000);
        } else if options.take_word("SAMPLE") {
            let wrong = CommandError::Text("ERR SAMPLE ratio must be positive");
            asked.sample = within(options.value()?, 1, i64::from(i32::MAX), wrong)? as u32;
        } else if options.take_word("SLOTS") {
            options.value()?;
            return Err(NO_CLUSTER);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok(asked)
}

fn once(flag: &mut bool, twice: CommandError) -> Result<(), CommandError> {
    if std::mem::replace(flag, true) { Err(twice) } else { Ok(()) }
}

fn within(word: &[u8], least: i64, most: i64, wrong: CommandError) -> Result<i64, CommandError> {
    integer::parse(word).filter(|number| (least..=most).contains(number)).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn a_session_is_asked_for_in_full() {
        dialogue(
            &mut Store::new(),
            "
            > hotkeys start metrics 1 cpu
            (action) HotKeys(Start(CollectHotKeys { cpu: true, net: false, count: 10, \
             duration_ms: None, sample: 1 }))
            > hotkeys start METRICS 2 net GPU count 64 duration 7 sample 9
            (action) HotKeys(Start(CollectHotKeys { cpu: false, net: true, count: 64, \
             duration_ms: Some(7000), sample: 9 }))
            > hotkeys stop
            (action) HotKeys(Stop)
            > hotkeys reset
            (action) HotKeys(Reset)
            > hotkeys get
            (action) Gather(HotKeys(Millis(1700000000000)), HotKeys)
            ",
        );
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_redis() {
        dialogue(
            &mut Store::new(),
            "
            > hotkeys start
            (error) ERR METRICS parameter is required
            > hotkeys start metrics
            (error) ERR METRICS parameter is required
            > hotkeys start count 3
            (error) ERR METRICS parameter is required
            > hotkeys start metrics 0
            (error) ERR METRICS count must be > 0 and <= 2
            > hotkeys start metrics x cpu
            (error) ERR METRICS count must be > 0 and <= 2
            > hotkeys start metrics 3 cpu net
            (error) ERR METRICS count must be > 0 and <= 2
            > hotkeys start metrics 2 cpu
            (error) ERR METRICS count does not match number of metric types provided
            > hotkeys start metrics 1 cpu net
            (error) ERR syntax error
            > hotkeys start metrics 1 gpu
            (error) ERR METRICS no valid metrics passed. Supported: CPU|NET
            > hotkeys start metrics 2 cpu cpu
            (error) ERR METRICS CPU defined more than once!
            > hotkeys start metrics 2 net net
            (error) ERR METRICS NET defined more than once!
            > hotkeys start metrics 1 cpu count 0
            (error) ERR COUNT must be between 1 and 64
            > hotkeys start metrics 1 cpu count 65
            (error) ERR COUNT must be between 1 and 64
            > hotkeys start metrics 1 cpu count
            (error) ERR syntax error
            > hotkeys start metrics 1 cpu duration 0
            (error) ERR DURATION must be between 1 and 1000000
            > hotkeys start metrics 1 cpu sample 0
            (error) ERR SAMPLE ratio must be positive
            > hotkeys start metrics 1 cpu slots 2 0 5
            (error) ERR SLOTS parameter cannot be used in non-cluster mode
            > hotkeys start metrics 1 cpu slots
            (error) ERR syntax error
            > hotkeys
            (error) ERR wrong number of arguments for 'hotkeys' command
            > hotkeys get x
            (error) ERR wrong number of arguments for 'hotkeys|get' command
            > hotkeys foo
            (error) ERR unknown subcommand 'foo'. Try HOTKEYS HELP.
            ",
        );
    }
}
