//! Members chosen at random: ZRANDMEMBER.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::picking::{REPEATED_MAX, wanted};
use crate::commands::zset::{Row, begin_members, reply_member, reply_row};
use crate::data::Collection;
use crate::data::zset::Zset;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("zrandmember"),
    group: Group::SortedSet,
    since: "6.2.0",
    complexity: "O(M*log(N)) with N members in the sorted set and M of them given.",
    summary: "Gives members of a sorted set chosen at random.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    args: &[
        Arg::key("key"),
        Arg::block(
            "options",
            &[Arg::integer("count"), Arg::word("withscores", "WITHSCORES").optional()],
        )
        .optional(),
    ],
    run: Run::Keys(zrandmember),
    ..Command::BASE
}];

/// With more members wanted than one in so many, those that are left out are chosen instead.
const MOST: usize = 2;

fn zrandmember(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let mut random = keys.tools.random.fork();
    if call.len() == 2 {
        match keys.read_as::<Zset>(call.key(1))? {
            Some(zset) => {
                let ranks = zset.shown_ranks();
                let rank = match &ranks {
                    None => Some(random.usize(0..zset.len())),
                    Some(ranks) => random.choice(ranks).copied(),
                };
                let Some(rank) = rank else {
                    reply.null();
                    return Ok(());
                };
                zset.visit(rank, 1, false, &mut |name, _| {
                    reply.bulk(name);
                    true
                });
            }
            None => reply.null(),
        }
        return Ok(());
    }
    let (count, with_scores) = wanted(call, "WITHSCORES")?;
    let Some(zset) = keys.read_as::<Zset>(call.key(1))? else {
        reply.array(0);
        return Ok(());
    };
    let shown = zset.shown_ranks();
    let len = shown.as_ref().map_or(zset.len(), Vec::len);
    let many = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count >= 0 && many >= len {
        reply_row(reply, &zset, Row { start: 0, count: zset.len(), backwards: false }, with_scores);
        return Ok(());
    }
    let ranks: Vec<usize> = if count < 0 {
        if count.unsigned_abs() > REPEATED_MAX {
            return Err(CommandError::OutOfRange);
        }
        (0..if len == 0 { 0 } else { many }).map(|_| random.usize(0..len)).collect()
    } else {
        distinct(len, many, &mut random)
    };
    let nested = with_scores && reply.is_resp3();
    begin_members(reply, ranks.len(), with_scores, nested);
    for rank in ranks {
        let rank = shown.as_ref().map_or(rank, |shown| shown[rank]);
        zset.visit(rank, 1, false, &mut |name, score| {
            reply_member(reply, name, with_scores.then_some(score), nested);
            true
        });
    }
    Ok(())
}

/// `count` of the numbers below `len`, in no order, each choice as likely as another.
fn distinct(len: usize, count: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    if count > len / MOST {
        let mut all: Vec<usize> = (0..len).collect();
        for place in 0..count {
            all.swap(place, random.usize(place..len));
        }
        all.truncate(count);
        return all;
    }
    let mut chosen = std::collections::HashSet::with_capacity(count);
    while chosen.len() < count {
        chosen.insert(random.usize(0..len));
    }
    chosen.into_iter().collect()
}
