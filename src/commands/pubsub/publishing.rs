//! PUBLISH and SPUBLISH, and PUBSUB, which says who subscribes.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::{CommandError, unknown_subcommand_or_arity};
use crate::commands::help;
use crate::pubsub::{Kind, Message, Register};
use crate::resp::Reply;
use crate::session::Session;

const OF_PUBSUB: Flags = Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE);

const PATTERN: &[Arg] = &[Arg::pattern("pattern").optional()];

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("publish"),
        since: "2.0.0",
        complexity: "O(N+M) where N is the number of receivers and M the number of patterns",
        summary: "Sends a message to all who listen to a channel.",
        arity: Arity::Exactly(3),
        flags: OF_PUBSUB.and(Flags::FAST).and(Flags::MAY_REPLICATE),
        args: &[Arg::string("channel"), Arg::string("message")],
        run: Run::PubSub(|call, session, register, reply| {
            send(call, session, register, reply, Kind::Channel)
        }),
        ..BASE
    },
    Command {
        name: Name("pubsub"),
        group: Group::PubSub,
        since: "2.8.0",
        complexity: "That of the subcommand",
        summary: "Tells who listens to what.",
        arity: Arity::AtLeast(2),
        subcommands: &[
            Command {
                name: Name("pubsub|channels"),
                since: "2.8.0",
                complexity: "O(N) where N is the number of channels",
                summary: "Names the channels that somebody listens to.",
                arity: Arity::AtLeast(2),
                args: PATTERN,
                run: Run::PubSub(|call, _, register, reply| {
                    names(call, register, reply, Kind::Channel)
                }),
                ..BASE
            },
            Command {
                name: Name("pubsub|help"),
                group: Group::PubSub,
                since: "6.2.0",
                run: Run::Session(|call, _, reply| help::of_lines(call, HELP, reply)),
                ..help::BASE
            },
            Command {
                name: Name("pubsub|numpat"),
                since: "2.8.0",
                summary: "Counts the patterns by which somebody listens.",
                arity: Arity::Exactly(2),
                run: Run::PubSub(numpat),
                ..BASE
            },
            Command {
                name: Name("pubsub|numsub"),
                since: "2.8.0",
                complexity: "O(N) where N is the number of channels that are named",
                summary: "Counts the clients that listen to channels.",
                arity: Arity::AtLeast(2),
                args: &[Arg::string("channel").optional().multiple()],
                run: Run::PubSub(|call, _, register, reply| {
                    counts(call, register, reply, Kind::Channel)
                }),
                ..BASE
            },
            Command {
                name: Name("pubsub|shardchannels"),
                since: "7.0.0",
                complexity: "O(N) where N is the number of channels of shards",
                summary: "Names the channels of shards that somebody listens to.",
                arity: Arity::AtLeast(2),
                args: PATTERN,
                run: Run::PubSub(|call, _, register, reply| {
                    names(call, register, reply, Kind::Shard)
                }),
                ..BASE
            },
            Command {
                name: Name("pubsub|shardnumsub"),
                since: "7.0.0",
                complexity: "O(N) where N is the number of channels that are named",
                summary: "Counts the clients that listen to channels of shards.",
                arity: Arity::AtLeast(2),
                args: &[Arg::string("shardchannel").optional().multiple()],
                run: Run::PubSub(|call, _, register, reply| {
                    counts(call, register, reply, Kind::Shard)
                }),
                ..BASE
            },
        ],
        ..Command::BASE
    },
    Command {
        name: Name("spublish"),
        since: "7.0.0",
        complexity: "O(N) where N is the number of receivers",
        summary: "Sends a message to all who listen to a channel of a shard.",
        arity: Arity::Exactly(3),
        flags: OF_PUBSUB.and(Flags::FAST).and(Flags::MAY_REPLICATE),
        keys: &[KeySpec::one(1, Access::NOT_KEY)],
        args: &[Arg::string("shardchannel"), Arg::string("message")],
        run: Run::PubSub(|call, session, register, reply| {
            send(call, session, register, reply, Kind::Shard)
        }),
        ..BASE
    },
];

const BASE: Command = Command { group: Group::PubSub, flags: OF_PUBSUB, ..Command::BASE };

const HELP: &[(&str, &str)] = &[
    (
        "CHANNELS [<pattern>]",
        "Return the currently active channels matching a <pattern> (default: '*').",
    ),
    ("NUMPAT", "Return number of subscriptions to patterns."),
    (
        "NUMSUB [<channel> ...]",
        "Return the number of subscribers for the specified channels, excluding\n\
         pattern subscriptions(default: no channels).",
    ),
    (
        "SHARDCHANNELS [<pattern>]",
        "Return the currently active shard level channels matching a <pattern> (default: '*').",
    ),
    (
        "SHARDNUMSUB [<shardchannel> ...]",
        "Return the number of subscribers for the specified shard level channel(s)",
    ),
];

fn send(
    call: &Call<'_>,
    session: &mut Session,
    register: &mut Register,
    reply: &mut Reply<'_>,
    kind: Kind,
) -> Result<(), CommandError> {
    let message = Message::new(kind, call.arg(1), call.arg(2), session.id);
    let resp3 = session.client_has_resp3();
    let receivers = register.publish(message, resp3, Some(&mut session.subscribed));
    reply.int(receivers.cast_signed());
    Ok(())
}

fn names(
    call: &Call<'_>,
    register: &Register,
    reply: &mut Reply<'_>,
    kind: Kind,
) -> Result<(), CommandError> {
    if call.len() > 3 {
        return Err(unknown_subcommand_or_arity(call.arg(0), call.arg(1)));
    }
    let names = register.names(kind, (call.len() == 3).then(|| call.arg(2)));
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

fn numpat(
    _: &Call<'_>,
    _: &mut Session,
    register: &mut Register,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.int(register.len(Kind::Pattern) as i64);
    Ok(())
}

fn counts(
    call: &Call<'_>,
    register: &Register,
    reply: &mut Reply<'_>,
    kind: Kind,
) -> Result<(), CommandError> {
    let names = call.args_from(2);
    reply.array(names.len() * 2);
    for name in names {
        reply.bulk(name);
        reply.int(register.count(kind, name).cast_signed());
    }
    Ok(())
}
