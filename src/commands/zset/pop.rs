//! Members at the ends leave: ZMPOP, ZPOPMAX, ZPOPMIN.
//!
//! ZMPOP is journaled as the ZPOPMIN or ZPOPMAX of the key that it found.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::picking::OfFirst;
use crate::commands::zset::reply_member;
use crate::data::Collection;
use crate::data::zset::Zset;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

const POP: Command = Command {
    group: Group::SortedSet,
    since: "5.0.0",
    complexity: "O(M*log(N)) with N members in the sorted set and M of them taken out.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::DELETE))],
    flags: Flags::WRITE.and(Flags::FAST),
    args: &[Arg::key("key"), Arg::integer("count").optional()],
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("zmpop"),
        since: "7.0.0",
        complexity: "O(K)+O(M*log(N)) with K keys, N members in the sorted set and M taken out.",
        summary: "Takes members with the lowest or highest scores out of the first sorted set that \
                  has any.",
        arity: Arity::AtLeast(4),
        keys: &[KeySpec::counted(1, 1, Access::RW.and(Access::READS).and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::MOVABLE_KEYS),
        args: &[
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::one_of("where", &[Arg::word("min", "MIN"), Arg::word("max", "MAX")]),
            Arg::integer("count").token("COUNT").optional(),
        ],
        run: Run::Keys(zmpop),
        ..POP
    },
    Command {
        name: Name("zpopmax"),
        summary: "Takes members with the highest scores out of a sorted set.",
        run: Run::Keys(zpopmax),
        ..POP
    },
    Command {
        name: Name("zpopmin"),
        summary: "Takes members with the lowest scores out of a sorted set.",
        run: Run::Keys(zpopmin),
        ..POP
    },
];

/// An end of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum End {
    Min,
    Max,
}

/// A member that left, with its score.
pub(in crate::commands) type Popped = (Vec<u8>, f64);

/// Takes up to `count` members out at one end of the sorted set under `key`. None where there is no
/// sorted set.
pub(in crate::commands) fn pop(
    keys: &mut Keys<'_>,
    key: Key<'_>,
    end: End,
    count: usize,
) -> Result<Option<Vec<Popped>>, CommandError> {
    let popped = keys.edit_as(key, |zset: &mut Zset, _| {
        let count = count.min(zset.len());
        let mut popped = Vec::with_capacity(count);
        for _ in 0..count {
            let rank = if end == End::Min { 0 } else { zset.len() - 1 };
            zset.remove_at(rank, &mut |name, score| popped.push((name.to_vec(), score)));
        }
        popped
    })?;
    let event = if end == End::Min { Event::ZPOPMIN } else { Event::ZPOPMAX };
    keys.changed(key, event, popped.as_ref().map_or(0, Vec::len));
    Ok(popped)
}

/// The end that the argument at `index` names.
pub(super) fn end(call: &Call<'_>, index: usize) -> Result<End, CommandError> {
    if call.is(index, "MIN") {
        Ok(End::Min)
    } else if call.is(index, "MAX") {
        Ok(End::Max)
    } else {
        Err(CommandError::Syntax)
    }
}

fn zpopmin(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    pop_one_key(call, keys, reply, End::Min)
}

fn zpopmax(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    pop_one_key(call, keys, reply, End::Max)
}

fn pop_one_key(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    end: End,
) -> Result<(), CommandError> {
    if call.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let has_count = call.len() == 3;
    let count = if has_count { call.count(2)? } else { 1 };
    let popped = pop(keys, call.key(1), end, count)?.unwrap_or_default();
    let nested = has_count && reply.is_resp3();
    reply.array(if nested { popped.len() } else { 2 * popped.len() });
    popped.iter().for_each(|(name, score)| reply_member(reply, name, Some(*score), nested));
    Ok(())
}

fn zmpop(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let asked = OfFirst::of(call, 1, end)?;
    if !pop_of_first(call, keys, reply, &asked)? {
        reply.null_array();
    }
    Ok(())
}

/// Gives members of the first sorted set that has any and takes them out. Returns false, having
/// replied nothing, when none has.
pub(super) fn pop_of_first(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    asked: &OfFirst<End>,
) -> Result<bool, CommandError> {
    for at in asked.keys.clone() {
        let key = call.key(at);
        let popped = pop(keys, key, asked.end, asked.count)?.unwrap_or_default();
        if !popped.is_empty() {
            record(keys, key, asked.end, popped.len());
            reply_popped(reply, key.name, &popped);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Records that so many members left, in the place of the call.
pub(in crate::commands) fn record(keys: &mut Keys<'_>, key: Key<'_>, end: End, count: usize) {
    let db = keys.db;
    let count = count.to_string();
    keys.tools.effects.rewrite(db, &[command_at(end), key.name, count.as_bytes()]);
}

/// The command that takes members out at an end.
pub(super) fn command_at(end: End) -> &'static [u8] {
    if end == End::Min { b"ZPOPMIN" } else { b"ZPOPMAX" }
}

/// Replies with a key and the members that left it.
pub(in crate::commands) fn reply_popped(reply: &mut Reply<'_>, key: &[u8], popped: &[Popped]) {
    reply.array(2);
    reply.bulk(key);
    reply.array(popped.len());
    popped.iter().for_each(|(name, score)| reply_member(reply, name, Some(*score), true));
}

#[cfg(test)]
mod tests {
    use crate::testing::{Shards, Store};

    #[test]
    fn zmpop_is_journaled_as_what_it_did() {
        let mut store = Store::new();
        store.run("ZADD b 1 x 2 y 3 z");
        store.effects();
        store.run("ZMPOP 2 a b MAX COUNT 2");
        assert_eq!(store.effects(), "ZPOPMAX b 2");
        store.run("ZMPOP 1 a MIN");
        store.run("ZPOPMIN b 0");
        assert_eq!(store.effects(), "");
        store.run("ZPOPMIN b 9");
        assert_eq!(store.effects(), "ZPOPMIN b 9");
        assert_eq!(store.run("EXISTS b"), "(integer) 0");
    }

    #[test]
    fn keys_of_several_shards_are_looked_at_in_order() {
        let mut shards = Shards::new(3);
        shards.run("ZADD c 1 x");
        shards.run("ZADD d 1 y");
        assert!(shards.run("ZMPOP 4 a b c d MIN").contains("\"x\""));
        assert!(shards.run("ZMPOP 4 a b c d MIN").contains("\"y\""));
        assert_eq!(shards.run("ZMPOP 4 a b c d MIN"), "(nil)");
    }
}
