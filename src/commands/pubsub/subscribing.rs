//! SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their ends.
//!
//! Each name is answered by a message of its own, which CLIENT REPLY does not take away. It says
//! how many channels and patterns, or channels of shards, the client subscribes to then.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::pubsub::{Kind, Register};
use crate::resp::Reply;
use crate::session::Session;

const FLAGS: Flags = Flags::PUBSUB.and(Flags::NO_SCRIPT).and(Flags::LOADING).and(Flags::STALE);

const OF_SHARDS: &[KeySpec] = &[KeySpec::rest(1, 1, Access::NOT_KEY)];

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("psubscribe"),
        since: "2.0.0",
        summary: "Listens to all channels whose names match a pattern.",
        arity: Arity::AtLeast(2),
        args: &[Arg::pattern("pattern").multiple()],
        run: Run::PubSub(|call, session, register, reply| {
            begin(call, session, register, reply, Kind::Pattern)
        }),
        ..BASE
    },
    Command {
        name: Name("punsubscribe"),
        since: "2.0.0",
        summary: "Stops listening to channels by these patterns, or by any.",
        args: &[Arg::pattern("pattern").optional().multiple()],
        run: Run::PubSub(|call, session, register, reply| {
            end(call, session, register, reply, Kind::Pattern)
        }),
        ..BASE
    },
    Command {
        name: Name("ssubscribe"),
        since: "7.0.0",
        summary: "Listens to channels of a shard.",
        arity: Arity::AtLeast(2),
        keys: OF_SHARDS,
        args: &[Arg::string("shardchannel").multiple()],
        run: Run::PubSub(|call, session, register, reply| {
            begin(call, session, register, reply, Kind::Shard)
        }),
        ..BASE
    },
    Command {
        name: Name("subscribe"),
        since: "2.0.0",
        summary: "Listens to channels.",
        arity: Arity::AtLeast(2),
        args: &[Arg::string("channel").multiple()],
        run: Run::PubSub(|call, session, register, reply| {
            begin(call, session, register, reply, Kind::Channel)
        }),
        ..BASE
    },
    Command {
        name: Name("sunsubscribe"),
        since: "7.0.0",
        summary: "Stops listening to these channels of shards, or to all.",
        keys: OF_SHARDS,
        args: &[Arg::string("shardchannel").optional().multiple()],
        run: Run::PubSub(|call, session, register, reply| {
            end(call, session, register, reply, Kind::Shard)
        }),
        ..BASE
    },
    Command {
        name: Name("unsubscribe"),
        since: "2.0.0",
        summary: "Stops listening to these channels, or to all.",
        args: &[Arg::string("channel").optional().multiple()],
        run: Run::PubSub(|call, session, register, reply| {
            end(call, session, register, reply, Kind::Channel)
        }),
        ..BASE
    },
];

const BASE: Command = Command {
    group: Group::PubSub,
    complexity: "O(N) where N is the number of names",
    flags: FLAGS,
    is_for_subscribers: true,
    answers_by_push: true,
    ..Command::BASE
};

fn begin(
    call: &Call<'_>,
    session: &mut Session,
    register: &mut Register,
    reply: &mut Reply<'_>,
    kind: Kind,
) -> Result<(), CommandError> {
    for name in call.args_from(1) {
        register.subscribe(session.id, session.home, &mut session.subscribed, kind, name);
        confirm(call, session, reply, kind, Some(name));
    }
    Ok(())
}

fn end(
    call: &Call<'_>,
    session: &mut Session,
    register: &mut Register,
    reply: &mut Reply<'_>,
    kind: Kind,
) -> Result<(), CommandError> {
    if call.len() > 1 {
        for name in call.args_from(1) {
            register.unsubscribe(&mut session.subscribed, kind, name);
            confirm(call, session, reply, kind, Some(name));
        }
        return Ok(());
    }
    let names = session.subscribed.names(kind);
    for name in &names {
        register.unsubscribe(&mut session.subscribed, kind, name);
        confirm(call, session, reply, kind, Some(name));
    }
    if names.is_empty() {
        confirm(call, session, reply, kind, None);
    }
    Ok(())
}

/// Answers for one name; for none where the client subscribes to nothing and has named nothing.
fn confirm(
    call: &Call<'_>,
    session: &Session,
    reply: &mut Reply<'_>,
    kind: Kind,
    name: Option<&[u8]>,
) {
    let count = |kind| session.subscribed.count(kind);
    reply.push(3);
    reply.bulk(call.command.name.as_str().as_bytes());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.int(match kind {
        Kind::Channel | Kind::Pattern => count(Kind::Channel) + count(Kind::Pattern),
        kind => count(kind),
    } as i64);
}
