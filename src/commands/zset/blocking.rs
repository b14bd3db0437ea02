//! Members that a client waits for: BZMPOP, BZPOPMAX, BZPOPMIN.
//!
//! Each does what its relative without a B does, and waits where that finds nothing
//! (`crate::parked`). It is journaled as the ZPOPMIN or ZPOPMAX of the key that it found.

use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Command, Find, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::commands::picking::OfFirst;
use crate::commands::run::{Blocking, MayWait, Nil, Wait};
use crate::commands::time::timeout;
use crate::commands::zset::pop::{self, End, end, pop_of_first};
use crate::commands::zset::reply_member;
use crate::data::zset::Zset;
use crate::keyspace::interest::Awaited;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

const TIMEOUT: Arg = Arg::double("timeout");

const TAKEN: Access = Access::RW.and(Access::READS).and(Access::DELETE);

/// What BZPOPMAX and BZPOPMIN share.
const POP: Command = Command {
    group: Group::SortedSet,
    since: "5.0.0",
    complexity: "O(log(N)) with N members in the sorted set.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec {
        find: Find::Range { last: -2, step: 1, limit: 0 },
        ..KeySpec::one(1, TAKEN)
    }],
    flags: Flags::WRITE.and(Flags::FAST).and(Flags::BLOCKING),
    args: &[Arg::key("key").multiple(), TIMEOUT],
    history: &[("6.0.0", "Fractions of a second.")],
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("bzmpop"),
        since: "7.0.0",
        complexity: "O(K)+O(M*log(N)) with K keys, N members in the sorted set and M taken out.",
        summary: "Takes members as ZMPOP does, and waits where there are none.",
        arity: Arity::AtLeast(5),
        keys: &[KeySpec::counted(2, 1, TAKEN)],
        flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS),
        args: &[
            TIMEOUT,
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::one_of("where", &[Arg::word("min", "MIN"), Arg::word("max", "MAX")]),
            Arg::integer("count").token("COUNT").optional(),
        ],
        history: &[],
        run: Run::Blocking(members(bzmpop)),
        ..POP
    },
    Command {
        name: Name("bzpopmax"),
        summary: "Takes the member with the highest score of the first sorted set that has any, \
                  and waits where none has.",
        run: Run::Blocking(members(bzpopmax)),
        ..POP
    },
    Command {
        name: Name("bzpopmin"),
        summary: "Takes the member with the lowest score of the first sorted set that has any, \
                  and waits where none has.",
        run: Run::Blocking(members(bzpopmin)),
        ..POP
    },
];

/// Waits for members of any of the keys.
const fn members(run: MayWait) -> Blocking {
    Blocking::on_any::<Zset>(Awaited::Zset, run)
}

fn bzpopmax(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    pop_one(call, keys, reply, End::Max)
}

fn bzpopmin(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    pop_one(call, keys, reply, End::Min)
}

fn pop_one(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    end: End,
) -> Result<Option<Wait>, CommandError> {
    let last = call.len() - 1;
    let until = timeout(call, last)?;
    for at in 1..last {
        let key = call.key(at);
        let popped = pop::pop(keys, key, end, 1)?.unwrap_or_default();
        let Some((name, score)) = popped.first() else { continue };
        let db = keys.db;
        keys.tools.effects.rewrite(db, &[pop::command_at(end), key.name]);
        reply.array(3);
        reply.bulk(key.name);
        reply_member(reply, name, Some(*score), false);
        return Ok(None);
    }
    Ok(Some(Wait::new(until, Nil::Array)))
}

fn bzmpop(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    let until = timeout(call, 1)?;
    let asked = OfFirst::of(call, 2, end)?;
    let is_answered = pop_of_first(call, keys, reply, &asked)?;
    Ok((!is_answered).then(|| Wait::new(until, Nil::Array)))
}
