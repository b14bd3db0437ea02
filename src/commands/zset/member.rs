//! Single members: ZCARD, ZMSCORE, ZRANK, ZREM, ZREVRANK, ZSCORE.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::data::Collection;
use crate::data::zset::{Edge, Zset};
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

const READ: Command = Command {
    group: Group::SortedSet,
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY.and(Flags::FAST),
    ..Command::BASE
};

const RANK: Command = Command {
    complexity: "O(log(N)) with N members in the sorted set.",
    arity: Arity::AtLeast(3),
    args: &[
        Arg::key("key"),
        Arg::string("member"),
        Arg::word("withscore", "WITHSCORE").optional().since("7.2.0"),
    ],
    history: &[("7.2.0", "The option `WITHSCORE`.")],
    ..READ
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("zcard"),
        since: "1.2.0",
        summary: "Gives the number of members of a sorted set.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RO)],
        args: &[Arg::key("key")],
        run: Run::Keys(zcard),
        ..READ
    },
    Command {
        name: Name("zmscore"),
        since: "6.2.0",
        complexity: "O(N) with N members asked for.",
        summary: "Gives the scores of members of a sorted set.",
        arity: Arity::AtLeast(3),
        args: &[Arg::key("key"), Arg::string("member").multiple()],
        run: Run::Keys(zmscore),
        ..READ
    },
    Command {
        name: Name("zrank"),
        since: "2.0.0",
        summary: "Gives the rank of a member of a sorted set, counted from the lowest score.",
        element: Some(2),
        run: Run::Keys(zrank),
        ..RANK
    },
    Command {
        name: Name("zrem"),
        group: Group::SortedSet,
        since: "1.2.0",
        complexity: "O(M*log(N)) with N members in the sorted set and M of them taken out.",
        summary: "Takes members out of a sorted set.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), Arg::string("member").multiple()],
        history: &[("2.4.0", "Several members at once.")],
        element: Some(2),
        run: Run::Keys(zrem),
        ..Command::BASE
    },
    Command {
        name: Name("zrevrank"),
        since: "2.0.0",
        summary: "Gives the rank of a member of a sorted set, counted from the highest score.",
        run: Run::Keys(zrevrank),
        ..RANK
    },
    Command {
        name: Name("zscore"),
        since: "1.2.0",
        summary: "Gives the score of a member of a sorted set.",
        arity: Arity::Exactly(3),
        args: &[Arg::key("key"), Arg::string("member")],
        element: Some(2),
        run: Run::Keys(zscore),
        ..READ
    },
];

fn zcard(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let zset = keys.read_as::<Zset>(call.key(1))?;
    reply.int(zset.map_or(0, |zset| zset.len()) as i64);
    Ok(())
}

fn zmscore(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let zset = keys.read_as::<Zset>(call.key(1))?;
    reply.array(call.len() - 2);
    for name in call.args_from(2) {
        reply_score(reply, zset.as_ref().and_then(|zset| zset.score(name)));
    }
    Ok(())
}

fn zscore(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let zset = keys.read_as::<Zset>(call.key(1))?;
    reply_score(reply, zset.and_then(|zset| zset.score(call.arg(2))));
    Ok(())
}

fn reply_score(reply: &mut Reply<'_>, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

fn zrank(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    rank(call, keys, reply, false)
}

fn zrevrank(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    rank(call, keys, reply, true)
}

fn rank(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    from_highest: bool,
) -> Result<(), CommandError> {
    if call.len() > 4 {
        return Err(CommandError::WrongArity(call.command.name.as_str()));
    }
    let with_score = call.len() == 4;
    if with_score && !call.is(3, "WITHSCORE") {
        return Err(CommandError::Syntax);
    }
    let name = call.arg(2);
    let zset = keys.read_as::<Zset>(call.key(1))?;
    let found = zset.and_then(|zset| {
        let score = zset.score(name)?;
        let rank = zset.rank(Edge::Before(score, name));
        Some((if from_highest { zset.len() - 1 - rank } else { rank }, score))
    });
    match found {
        Some((rank, score)) if with_score => {
            reply.array(2);
            reply.int(rank as i64);
            reply.double(score);
        }
        Some((rank, _)) => reply.int(rank as i64),
        None if with_score => reply.null_array(),
        None => reply.null(),
    }
    Ok(())
}

fn zrem(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let key = call.key(1);
    let removed = keys.edit_as(key, |zset: &mut Zset, _| {
        call.args_from(2).filter(|name| zset.remove(name).is_some()).count()
    })?;
    let removed = removed.unwrap_or(0);
    keys.changed(key, Event::ZREM, removed);
    reply.int(removed as i64);
    Ok(())
}
