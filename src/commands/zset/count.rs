//! How many members lie in a range, and their end: ZCOUNT, ZLEXCOUNT, ZREMRANGEBYLEX,
//! ZREMRANGEBYRANK, ZREMRANGEBYSCORE.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::zset::range::ranks;
use crate::commands::zset::{By, Ends};
use crate::data::Collection;
use crate::data::zset::Zset;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

const BY_SCORE: &[Arg] = &[Arg::key("key"), Arg::double("min"), Arg::double("max")];
const BY_NAME: &[Arg] = &[Arg::key("key"), Arg::string("min"), Arg::string("max")];
const BY_RANK: &[Arg] = &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")];

const COUNT: Command = Command {
    group: Group::SortedSet,
    complexity: "O(log(N)) with N members in the sorted set.",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY.and(Flags::FAST),
    ..Command::BASE
};

const REMOVE: Command = Command {
    group: Group::SortedSet,
    complexity: "O(M*log(N)) with N members in the sorted set and M of them taken out.",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
    flags: Flags::WRITE,
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("zcount"),
        since: "2.0.0",
        summary: "Counts the members of a sorted set whose scores are in a range.",
        args: BY_SCORE,
        run: Run::Keys(zcount),
        ..COUNT
    },
    Command {
        name: Name("zlexcount"),
        since: "2.8.9",
        summary: "Counts the members of a sorted set of equal scores whose names are in a range.",
        args: BY_NAME,
        run: Run::Keys(zlexcount),
        ..COUNT
    },
    Command {
        name: Name("zremrangebylex"),
        since: "2.8.9",
        summary: "Takes out the members of a sorted set whose names are in a range.",
        args: BY_NAME,
        run: Run::Keys(zremrangebylex),
        ..REMOVE
    },
    Command {
        name: Name("zremrangebyrank"),
        since: "2.0.0",
        summary: "Takes the members of a sorted set out whose ranks are in a range.",
        args: BY_RANK,
        run: Run::Keys(zremrangebyrank),
        ..REMOVE
    },
    Command {
        name: Name("zremrangebyscore"),
        since: "1.2.0",
        summary: "Takes the members of a sorted set out whose scores are in a range.",
        args: BY_SCORE,
        run: Run::Keys(zremrangebyscore),
        ..REMOVE
    },
];

fn zcount(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    count(call, keys, reply, By::Score)
}

fn zlexcount(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    count(call, keys, reply, By::Name)
}

fn count(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    by: By,
) -> Result<(), CommandError> {
    let ends = Ends::of(by, call.arg(2), call.arg(3))?;
    let zset = keys.read_as::<Zset>(call.key(1))?;
    reply.int(zset.map_or(0, |zset| ends.find(&zset).1) as i64);
    Ok(())
}

fn zremrangebylex(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let ends = Ends::of(By::Name, call.arg(2), call.arg(3))?;
    remove(call, keys, reply, Event::ZREMRANGEBYLEX, |zset| ends.find(zset))
}

fn zremrangebyrank(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let (start, stop) = (call.integer(2)?, call.integer(3)?);
    remove(call, keys, reply, Event::ZREMRANGEBYRANK, |zset| ranks(zset.len(), start, stop))
}

fn zremrangebyscore(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let ends = Ends::of(By::Score, call.arg(2), call.arg(3))?;
    remove(call, keys, reply, Event::ZREMRANGEBYSCORE, |zset| ends.find(zset))
}

/// Takes out the members that `find` finds: the rank of the first, and how many.
fn remove(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    event: Event,
    find: impl FnOnce(&Zset) -> (usize, usize),
) -> Result<(), CommandError> {
    let key = call.key(1);
    let removed = keys.edit_as(key, |zset: &mut Zset, _| {
        let (start, count) = find(zset);
        (0..count).for_each(|_| zset.remove_at(start, &mut |_, _| {}));
        count
    })?;
    let removed = removed.unwrap_or(0);
    keys.changed(key, event, removed);
    reply.int(removed as i64);
    Ok(())
}
