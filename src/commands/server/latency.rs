//! LATENCY: histograms of commands, and events that took too long.

use crate::commands::action::{Action, Gathered};
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::error::{CommandError, no_samples};
use crate::commands::{help, registry};
use crate::question::{Detail, Event, Events, Question};
use crate::session::Session;

const ADMIN: Flags = Flags::ADMIN.and(Flags::NO_SCRIPT).and(Flags::LOADING).and(Flags::STALE);

const TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

/// What the subcommands share that look at something.
const LOOK: Command = Command {
    group: Group::Server,
    since: "2.8.13",
    arity: Arity::Exactly(2),
    flags: ADMIN,
    tips: TIPS,
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("latency"),
    group: Group::Server,
    since: "2.8.13",
    complexity: "Depends on subcommand.",
    summary: "Groups the commands that tell how long things took.",
    arity: Arity::AtLeast(2),
    subcommands: &[
        Command {
            name: Name("latency|doctor"),
            summary: "Says what took too long, and what to do about it.",
            run: Run::Server(doctor),
            ..LOOK
        },
        Command {
            name: Name("latency|graph"),
            summary: "Draws how long an event took over time.",
            arity: Arity::Exactly(3),
            args: &[Arg::string("event")],
            run: Run::Server(graph),
            ..LOOK
        },
        Command {
            name: Name("latency|help"),
            group: Group::Server,
            since: "2.8.13",
            run: Run::Session(|call, _, reply| help::of_lines(call, HELP, reply)),
            ..help::BASE
        },
        Command {
            name: Name("latency|histogram"),
            since: "7.0.0",
            complexity: "O(N) where N is the number of commands shown",
            summary: "Gives how many calls of a command took up to which time.",
            arity: Arity::AtLeast(2),
            args: &[Arg::string("command").optional().multiple()],
            run: Run::Server(histogram),
            ..LOOK
        },
        Command {
            name: Name("latency|history"),
            summary: "Gives when an event took how long.",
            arity: Arity::Exactly(3),
            args: &[Arg::string("event")],
            run: Run::Server(history),
            ..LOOK
        },
        Command {
            name: Name("latency|latest"),
            summary: "Gives the last time that each event took too long.",
            run: Run::Server(latest),
            ..LOOK
        },
        Command {
            name: Name("latency|reset"),
            summary: "Forgets events that took too long.",
            arity: Arity::AtLeast(2),
            tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
            args: &[Arg::string("event").optional().multiple()],
            run: Run::Server(reset),
            ..LOOK
        },
    ],
    ..Command::BASE
}];

fn doctor(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::Gather(Question::Spikes, Gathered::LatencyDoctor))
}

fn graph(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    let event = Event::named(call.arg(2)).ok_or_else(|| no_samples(call.arg(2)))?;
    Ok(Action::Gather(Question::Spikes, Gathered::LatencyGraph(event)))
}

const HELP: &[(&str, &str)] = &[
    ("DOCTOR", "Show what took too long, and what to do about it."),
    ("GRAPH <event>", "Draw how long an event took over time."),
    ("HISTORY <event>", "Show when an event took how long."),
    ("LATEST", "Show the last time that each event took too long."),
    ("RESET [<event> ...]", "Forget these events; all of them where none is named."),
    ("HISTOGRAM [COMMAND ...]", "Show how many calls of a command took up to which time."),
];

fn histogram(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    // A name that no command is called by stands for none.
    let declared = |name| match registry::called(name, &call.settings.rename_command) {
        Some(command) => command.name.as_str().as_bytes().to_vec(),
        None => Vec::new(),
    };
    let names = call.args_from(2).map(declared).collect();
    Ok(Action::Gather(Question::Report(Detail::Latencies), Gathered::LatencyHistogram(names)))
}

fn history(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    let event = Event::named(call.arg(2));
    Ok(Action::Gather(Question::Spikes, Gathered::LatencyHistory(event)))
}

fn latest(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::Gather(Question::Spikes, Gathered::LatencyLatest))
}

fn reset(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    let mut events = if call.len() == 2 { Events::ALL } else { Events::default() };
    call.args_from(2).filter_map(Event::named).for_each(|event| events.insert(event));
    Ok(Action::Gather(Question::ForgetSpikes(events), Gathered::LatencyReset))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn events_are_known_by_name() {
        dialogue(
            &mut Store::new(),
            "
            > latency history COMMAND
            (action) Gather(Spikes, LatencyHistory(Some(Command)))
            > latency history foo
            (action) Gather(Spikes, LatencyHistory(None))
            > latency graph foo
            (error) ERR No samples available for event 'foo'
            > latency reset foo
            (action) Gather(ForgetSpikes(Events(0)), LatencyReset)
            > latency reset
            (action) Gather(ForgetSpikes(Events(255)), LatencyReset)
            > latency foo
            (error) ERR unknown subcommand 'foo'. Try LATENCY HELP.
            ",
        );
    }
}
