//! Items that a client waits for: BLMOVE, BLMOVEM, BLMPOP, BLPOP, BRPOP, BRPOPLPUSH.
//!
//! Each does what its relative without a B does, and waits where that finds nothing
//! (`crate::parked`). It is journaled as what it did, as a command that does not wait.

use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Command, Find, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::commands::list::moving::{self, Move};
use crate::commands::list::{ENDS, end, limits, pop};
use crate::commands::picking::OfFirst;
use crate::commands::run::{Blocking, MayWait, Nil, Wait};
use crate::commands::time::timeout;
use crate::data::Collection;
use crate::data::list::{End, List};
use crate::keyspace::interest::Awaited;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

const TIMEOUT: Arg = Arg::double("timeout");

/// What BLPOP and BRPOP share.
const POP: Command = Command {
    group: Group::List,
    since: "2.0.0",
    complexity: "O(N) with N keys.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec {
        find: Find::Range { last: -2, step: 1, limit: 0 },
        ..KeySpec::one(1, Access::RW.and(Access::READS).and(Access::DELETE))
    }],
    flags: Flags::WRITE.and(Flags::BLOCKING),
    args: &[Arg::key("key").multiple(), TIMEOUT],
    history: &[("6.0.0", "Fractions of a second.")],
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("blmove"),
        group: Group::List,
        since: "6.2.0",
        summary: "Moves an item as LMOVE does, and waits where there is none.",
        arity: Arity::Exactly(6),
        keys: moving::KEYS,
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::BLOCKING),
        args: &[
            Arg::key("source"),
            Arg::key_of("destination", 1),
            Arg::one_of("wherefrom", ENDS),
            Arg::one_of("whereto", ENDS),
            TIMEOUT,
        ],
        run: Run::Blocking(Blocking { on_first_key: true, ..items(blmove) }),
        ..Command::BASE
    },
    Command {
        name: Name("blmovem"),
        group: Group::List,
        since: "8.10.0",
        complexity: "O(N) with N items moved.",
        summary: "Moves items as LMOVEM does, and waits where there are none, or not enough.",
        arity: Arity::AtLeast(6),
        keys: moving::KEYS,
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::BLOCKING),
        args: &[
            Arg::key("source"),
            Arg::key_of("destination", 1),
            Arg::one_of("wherefrom", ENDS),
            Arg::one_of("whereto", ENDS),
            TIMEOUT,
            Arg::block("how-many", moving::HOW_MANY).optional(),
        ],
        run: Run::Blocking(Blocking {
            on_first_key: true,
            is_ready: |call, keys, at| {
                let list = keys.look_as::<List>(call.key(at));
                let items = list.ok().flatten().map(|list| list.len());
                let how = moving::asked(call, 6);
                items.is_some_and(|items| how.is_ok_and(|how| how.suits(items)))
            },
            ..items(blmovem)
        }),
        ..Command::BASE
    },
    Command {
        name: Name("blmpop"),
        group: Group::List,
        since: "7.0.0",
        complexity: "O(N+M) with N keys and M items given.",
        summary: "Takes items as LMPOP does, and waits where there are none.",
        arity: Arity::AtLeast(5),
        keys: &[KeySpec::counted(2, 1, Access::RW.and(Access::READS).and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS),
        args: &[
            TIMEOUT,
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::one_of("where", ENDS),
            Arg::integer("count").token("COUNT").optional(),
        ],
        run: Run::Blocking(items(blmpop)),
        ..Command::BASE
    },
    Command {
        name: Name("blpop"),
        summary: "Takes the first item of the first list that has any, and waits where none has.",
        run: Run::Blocking(items(blpop)),
        ..POP
    },
    Command {
        name: Name("brpop"),
        summary: "Takes the last item of the first list that has any, and waits where none has.",
        run: Run::Blocking(items(brpop)),
        ..POP
    },
    Command {
        name: Name("brpoplpush"),
        group: Group::List,
        since: "2.2.0",
        summary: "Moves an item as RPOPLPUSH does, and waits where there is none.",
        arity: Arity::Exactly(4),
        keys: moving::KEYS,
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::BLOCKING),
        args: &[Arg::key("source"), Arg::key_of("destination", 1), TIMEOUT],
        history: &[("6.0.0", "Fractions of a second.")],
        deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
        run: Run::Blocking(Blocking { on_first_key: true, ..items(brpoplpush) }),
        ..Command::BASE
    },
];

/// Waits for items of any of the keys.
const fn items(run: MayWait) -> Blocking {
    Blocking::on_any::<List>(Awaited::List, run)
}

fn blpop(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    pop_first(call, keys, reply, End::Front)
}

fn brpop(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    pop_first(call, keys, reply, End::Back)
}

fn pop_first(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    from: End,
) -> Result<Option<Wait>, CommandError> {
    let last = call.len() - 1;
    let until = timeout(call, last)?;
    for at in 1..last {
        let key = call.key(at);
        if keys.look_as::<List>(key)?.is_none() {
            continue;
        }
        reply.array(2);
        reply.bulk(key.name);
        pop::pop_one(keys, key, from, limits(call), reply)?;
        let db = keys.db;
        keys.tools.effects.rewrite(db, &[pop::command_at(from), key.name]);
        return Ok(None);
    }
    Ok(Some(Wait::new(until, Nil::Array)))
}

fn blmpop(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    let until = timeout(call, 1)?;
    let asked = OfFirst::of(call, 2, end)?;
    let is_answered = pop::pop_of_first(call, keys, reply, &asked)?;
    Ok((!is_answered).then(|| Wait::new(until, Nil::Array)))
}

fn blmove(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    let how = Move::one(end(call, 3)?, end(call, 4)?);
    let until = timeout(call, 5)?;
    let record = [&b"LMOVE"[..], call.arg(1), call.arg(2), call.arg(3), call.arg(4)];
    move_one(call, keys, reply, how, &record, until)
}

fn brpoplpush(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    let until = timeout(call, 3)?;
    let record = [&b"RPOPLPUSH"[..], call.arg(1), call.arg(2)];
    move_one(call, keys, reply, Move::one(End::Back, End::Front), &record, until)
}

fn move_one(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    how: Move,
    record: &[&[u8]],
    until: Option<Millis>,
) -> Result<Option<Wait>, CommandError> {
    let Some(moved) = moving::move_items(call, keys, how)? else {
        return Ok(Some(Wait::new(until, Nil::One)));
    };
    moved.iter().for_each(|item| reply.bulk(item));
    if call.key(1).slot == call.key(2).slot {
        let db = keys.db;
        keys.tools.effects.rewrite(db, record);
    }
    Ok(None)
}

fn blmovem(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    let how = moving::asked(call, 6)?;
    let until = timeout(call, 5)?;
    let Some(moved) = moving::move_items(call, keys, how)? else {
        return Ok(Some(Wait::new(until, Nil::Array)));
    };
    reply.array(moved.len());
    moved.iter().for_each(|item| reply.bulk(item));
    if call.key(1).slot == call.key(2).slot {
        moving::record_by_value(call, keys, how, &moved);
    }
    Ok(None)
}
