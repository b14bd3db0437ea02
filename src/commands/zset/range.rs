//! Members in a range: ZRANGE, ZRANGESTORE, and the older ZRANGEBYLEX, ZRANGEBYSCORE, ZREVRANGE,
//! ZREVRANGEBYLEX, ZREVRANGEBYSCORE.
//!
//! All find ranks first and then walk from one to the other. Where the range goes backwards, its
//! ends are given in that order too. By name, sorted sets are meant whose scores are all the same;
//! of others the answer is some range.

use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::recreate;
use crate::commands::zset::{By, Ends, Row, limits, reply_row};
use crate::data::Collection;
use crate::data::zset::Zset;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::keyspace::object::Typed;
use crate::resp::Reply;

const COMPLEXITY: &str = "O(log(N)+M) with N members in the sorted set and M of them given.";

const BASE: Command = Command {
    group: Group::SortedSet,
    complexity: COMPLEXITY,
    arity: Arity::AtLeast(4),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY,
    ..Command::BASE
};

const SORTING: Arg =
    Arg::one_of("sortby", &[Arg::word("byscore", "BYSCORE"), Arg::word("bylex", "BYLEX")])
        .optional();
const REV: Arg = Arg::word("rev", "REV").optional();
const LIMIT: Arg =
    Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional();
const WITHSCORES: Arg = Arg::word("withscores", "WITHSCORES").optional();

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("zrange"),
        since: "1.2.0",
        summary: "Gives the members of a sorted set in a range of ranks, scores or names.",
        args: &[
            Arg::key("key"),
            Arg::string("start"),
            Arg::string("stop"),
            SORTING.since("6.2.0"),
            REV.since("6.2.0"),
            LIMIT.since("6.2.0"),
            WITHSCORES,
        ],
        history: &[("6.2.0", "The options `REV`, `BYSCORE`, `BYLEX` and `LIMIT`.")],
        run: Run::Keys(zrange),
        ..BASE
    },
    Command {
        name: Name("zrangebylex"),
        since: "2.8.9",
        summary: "Gives the members of a sorted set of equal scores whose names are in a range.",
        args: &[Arg::key("key"), Arg::string("min"), Arg::string("max"), LIMIT],
        deprecated: Some(("6.2.0", "`ZRANGE` with the argument `BYLEX`")),
        run: Run::Keys(zrangebylex),
        ..BASE
    },
    Command {
        name: Name("zrangebyscore"),
        since: "1.0.5",
        summary: "Gives the members of a sorted set whose scores are in a range.",
        args: &[Arg::key("key"), Arg::double("min"), Arg::double("max"), WITHSCORES, LIMIT],
        history: &[("2.0.0", "The option `WITHSCORES`.")],
        deprecated: Some(("6.2.0", "`ZRANGE` with the argument `BYSCORE`")),
        run: Run::Keys(zrangebyscore),
        ..BASE
    },
    Command {
        name: Name("zrangestore"),
        since: "6.2.0",
        complexity: "O(log(N)+M) with N members in the sorted set and M of them stored.",
        summary: "Stores the members of a sorted set in a range in another sorted set.",
        arity: Arity::AtLeast(5),
        keys: &[
            KeySpec::one(1, Access::OW.and(Access::UPDATE)),
            KeySpec::one(2, Access::RO.and(Access::READS)),
        ],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[
            Arg::key("dst"),
            Arg::key_of("src", 1),
            Arg::string("min"),
            Arg::string("max"),
            SORTING,
            REV,
            LIMIT,
        ],
        run: Run::Keys(zrangestore),
        ..BASE
    },
    Command {
        name: Name("zrevrange"),
        since: "1.2.0",
        summary: "Gives the members of a sorted set in a range of ranks, the highest score first.",
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop"), WITHSCORES],
        deprecated: Some(("6.2.0", "`ZRANGE` with the argument `REV`")),
        run: Run::Keys(zrevrange),
        ..BASE
    },
    Command {
        name: Name("zrevrangebylex"),
        since: "2.8.9",
        summary: "Gives the members of a sorted set of equal scores in a range of names, the last \
                  first.",
        args: &[Arg::key("key"), Arg::string("max"), Arg::string("min"), LIMIT],
        deprecated: Some(("6.2.0", "`ZRANGE` with the arguments `REV` and `BYLEX`")),
        run: Run::Keys(zrevrangebylex),
        ..BASE
    },
    Command {
        name: Name("zrevrangebyscore"),
        since: "2.2.0",
        summary: "Gives the members of a sorted set in a range of scores, the highest first.",
        args: &[Arg::key("key"), Arg::double("max"), Arg::double("min"), WITHSCORES, LIMIT],
        history: &[("2.1.6", "The ends can be left out of the range.")],
        deprecated: Some(("6.2.0", "`ZRANGE` with the arguments `REV` and `BYSCORE`")),
        run: Run::Keys(zrevrangebyscore),
        ..BASE
    },
];

/// What is fixed by the name of a command, and what its options may say.
#[derive(Clone, Copy, Debug)]
struct Form {
    by: Option<By>,
    backwards: Option<bool>,
    is_store: bool,
}

fn zrange(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    show(call, keys, reply, Form { by: None, backwards: None, is_store: false })
}

fn zrangebylex(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    show(call, keys, reply, Form { by: Some(By::Name), backwards: Some(false), is_store: false })
}

fn zrangebyscore(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    show(call, keys, reply, Form { by: Some(By::Score), backwards: Some(false), is_store: false })
}

fn zrevrange(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    show(call, keys, reply, Form { by: Some(By::Rank), backwards: Some(true), is_store: false })
}

fn zrevrangebylex(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    show(call, keys, reply, Form { by: Some(By::Name), backwards: Some(true), is_store: false })
}

fn zrevrangebyscore(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    show(call, keys, reply, Form { by: Some(By::Score), backwards: Some(true), is_store: false })
}

fn show(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    form: Form,
) -> Result<(), CommandError> {
    let range = Range::of(call, 2, form)?;
    match keys.read_as::<Zset>(call.key(1))? {
        Some(zset) => reply_row(reply, &zset, range.row(&zset), range.with_scores),
        None => reply.array(0),
    }
    Ok(())
}

fn zrangestore(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let range = Range::of(call, 3, Form { by: None, backwards: None, is_store: true })?;
    let (limits, mut stored) = (limits(call), Zset::default());
    if let Some(zset) = keys.read_as::<Zset>(call.key(2))? {
        let row = range.row(&zset);
        zset.visit(row.start, row.count, row.backwards, &mut |name, score| {
            stored.put(name, score, limits, call.hasher);
            true
        });
    }
    store(call, keys, reply, stored, Event::ZRANGESTORE);
    Ok(())
}

/// Stores a sorted set under the first key of the call, and replies with the number of members.
pub(in crate::commands) fn store(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    zset: Zset,
    event: Event,
) {
    reply.int(zset.len() as i64);
    let destination = call.key(1);
    if keys.set_object(destination, zset.into_object(), event) {
        recreate::rewrite_over_slots(call, keys, destination);
    }
}

/// The rank of the first member and how many there are, from ranks of which negative ones count
/// from the end.
pub(super) fn ranks(len: usize, start: i64, stop: i64) -> (usize, usize) {
    let len = len as i64;
    let from_end = |rank: i64| if rank < 0 { rank.saturating_add(len) } else { rank };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(len - 1));
    if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}

#[derive(Clone, Copy, Debug)]
enum Span<'a> {
    Ranks(i64, i64),
    Between(Ends<'a>),
}

/// A range as a call gives it.
#[derive(Clone, Copy, Debug)]
struct Range<'a> {
    span: Span<'a>,
    backwards: bool,
    with_scores: bool,
    offset: i64,
    limit: i64,
}

impl<'a> Range<'a> {
    /// The range whose ends stand at `at`, with its options.
    fn of(call: &Call<'a>, at: usize, form: Form) -> Result<Range<'a>, CommandError> {
        let (mut by, mut backwards) = (form.by, form.backwards);
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let mut options = call.options(at + 2);
        while options.left() > 0 {
            if !form.is_store && options.take_word("WITHSCORES") {
                with_scores = true;
            } else if options.left() > 2 && options.take_word("LIMIT") {
                (offset, limit) = (options.integer()?, options.integer()?);
            } else if backwards.is_none() && options.take_word("REV") {
                backwards = Some(true);
            } else if by.is_none() && options.take_word("BYLEX") {
                by = Some(By::Name);
            } else if by.is_none() && options.take_word("BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let (by, backwards) = (by.unwrap_or(By::Rank), backwards.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(CommandError::Text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or \
                 BYLEX",
            ));
        }
        if with_scores && by == By::Name {
            return Err(CommandError::Text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (first, second) = (call.arg(at), call.arg(at + 1));
        let integer = |text| integer::parse(text).ok_or(CommandError::NotAnInteger);
        let span = match by {
            By::Rank => Span::Ranks(integer(first)?, integer(second)?),
            _ if backwards => Span::Between(Ends::of(by, second, first)?),
            _ => Span::Between(Ends::of(by, first, second)?),
        };
        Ok(Range { span, backwards, with_scores, offset, limit })
    }

    /// Members of those found that LIMIT passes over. As in Valkey, a negative offset counts from
    /// the end of what a large sorted set has there, and finds nothing in a packed one.
    fn skipped(self, zset: &Zset, found: usize) -> Option<usize> {
        let is_packed = matches!(zset, Zset::Packed(_));
        let from = if self.offset < 0 && !is_packed { found as i64 } else { 0 };
        usize::try_from(from + self.offset).ok()
    }

    /// Where the members stand in `zset`.
    fn row(self, zset: &Zset) -> Row {
        let (len, backwards) = (zset.len(), self.backwards);
        match self.span {
            Span::Ranks(start, stop) => {
                let (start, count) = ranks(len, start, stop);
                let start = if backwards { len.saturating_sub(1 + start) } else { start };
                Row { start, count, backwards }
            }
            Span::Between(ends) => {
                let (first, found) = ends.find(zset);
                let Some(skipped) = self.skipped(zset, found) else { return Row::EMPTY };
                let left = found.saturating_sub(skipped);
                let count = usize::try_from(self.limit).map_or(left, |limit| limit.min(left));
                if count == 0 {
                    return Row::EMPTY;
                }
                let start = if backwards { first + found - 1 - skipped } else { first + skipped };
                Row { start, count, backwards }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Store;

    #[test]
    fn what_is_stored_over_slots_is_journaled_by_value() {
        let mut store = Store::new();
        store.run("ZADD src 1 a 2.5 b");
        store.run("ZADD {src}near 0 x");
        store.effects();
        store.run("ZRANGESTORE dst src 0 -1");
        assert_eq!(store.effects(), "MULTI\nDEL dst\nZADD dst 1 a 2.5 b\nEXEC");
        store.run("ZRANGESTORE {src}near src 0 0");
        assert_eq!(store.effects(), "ZRANGESTORE {src}near src 0 0");
        store.run("ZRANGESTORE dst src 5 6");
        assert_eq!(store.effects(), "DEL dst");
        store.run("ZRANGESTORE dst src 5 6");
        assert_eq!(store.effects(), "");
    }
}
