//! Several sorted sets at once: ZDIFF, ZDIFFSTORE, ZINTER, ZINTERCARD, ZINTERSTORE, ZUNION,
//! ZUNIONSTORE.
//!
//! A set takes part as a sorted set in which every score is 1. The inputs are gone through from the
//! smallest to the largest, as in Redis, so that sums of scores are rounded alike; the result is a
//! sorted set, which is given or stored.

use crate::base::float;
use crate::commands::call::{Call, Options};
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::set::algebra::{LIMIT, Operation, limit_of};
use crate::commands::zset::range::store;
use crate::commands::zset::{limits, reply_members};
use crate::data::Collection;
use crate::data::set::Set;
use crate::data::zset::{Limits, Zset};
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::keyspace::object::{Object, Ref};
use crate::resp::Reply;

const WEIGHTS: Arg = Arg::integer("weight").token("WEIGHTS").optional().multiple();
const AGGREGATE: Arg = Arg::one_of(
    "aggregate",
    &[
        Arg::word("sum", "SUM"),
        Arg::word("min", "MIN"),
        Arg::word("max", "MAX"),
        Arg::word("count", "COUNT").since("8.8.0"),
    ],
)
.token("AGGREGATE")
.optional();
const WITHSCORES: Arg = Arg::word("withscores", "WITHSCORES").optional();
const KEYS: Arg = Arg::key("key").multiple();
const NUMKEYS: Arg = Arg::integer("numkeys");

/// What the commands share that give the members, and that which counts them.
const SHOW: Command = Command {
    group: Group::SortedSet,
    since: "6.2.0",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::counted(1, 1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
    args: &[NUMKEYS, KEYS, WEIGHTS, AGGREGATE, WITHSCORES],
    ..Command::BASE
};

/// What those share that store them.
const STORE: Command = Command {
    since: "2.0.0",
    arity: Arity::AtLeast(4),
    keys: &[
        KeySpec::one(1, Access::OW.and(Access::UPDATE)),
        KeySpec::counted(2, 1, Access::RO.and(Access::READS)),
    ],
    flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::MOVABLE_KEYS),
    args: &[Arg::key("destination"), NUMKEYS, Arg::key_of("key", 1).multiple(), WEIGHTS, AGGREGATE],
    ..SHOW
};

const DIFF_COST: &str = "O(L+(N-K)*log(N)) with N members in all, L in the first and K left.";
const INTER_COST: &str = "O(N*K)+O(M*log(M)) with K keys, N members in the smallest and M left.";
const UNION_COST: &str = "O(N)+O(M*log(M)) with N members in all and M left.";

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("zdiff"),
        complexity: DIFF_COST,
        summary: "Gives the members of the first sorted set that no other has.",
        args: &[NUMKEYS, KEYS, WITHSCORES],
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Operation::Difference)),
        ..SHOW
    },
    Command {
        name: Name("zdiffstore"),
        since: "6.2.0",
        complexity: DIFF_COST,
        summary: "Stores the members of the first sorted set that no other has.",
        args: &[Arg::key("destination"), NUMKEYS, Arg::key_of("key", 1).multiple()],
        run: Run::Keys(|call, keys, reply| store_result(call, keys, reply, Operation::Difference)),
        ..STORE
    },
    Command {
        name: Name("zinter"),
        complexity: INTER_COST,
        summary: "Gives the members that all the sorted sets have.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Operation::Intersection)),
        ..SHOW
    },
    Command {
        name: Name("zintercard"),
        since: "7.0.0",
        complexity: "O(N*K) with K keys and N members in the smallest.",
        summary: "Counts the members that all the sorted sets have.",
        args: &[NUMKEYS, KEYS, LIMIT],
        run: Run::Keys(zintercard),
        ..SHOW
    },
    Command {
        name: Name("zinterstore"),
        complexity: INTER_COST,
        summary: "Stores the members that all the sorted sets have.",
        run: Run::Keys(|call, keys, reply| {
            store_result(call, keys, reply, Operation::Intersection)
        }),
        ..STORE
    },
    Command {
        name: Name("zunion"),
        complexity: UNION_COST,
        summary: "Gives the members that any of the sorted sets has.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Operation::Union)),
        ..SHOW
    },
    Command {
        name: Name("zunionstore"),
        complexity: UNION_COST,
        summary: "Stores the members that any of the sorted sets has.",
        run: Run::Keys(|call, keys, reply| store_result(call, keys, reply, Operation::Union)),
        ..STORE
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Show,
    Count,
    Store,
}

fn show(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    operation: Operation,
) -> Result<(), CommandError> {
    let plan = Plan::of(call, keys, operation, Purpose::Show)?;
    let result = combine(call, keys, &plan, operation);
    reply_members(reply, result.len(), plan.with_scores, |found| {
        result.visit(0, usize::MAX, false, found);
    });
    keys.tools.discarded.take_object(Object::Zset(result));
    Ok(())
}

fn store_result(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    operation: Operation,
) -> Result<(), CommandError> {
    let plan = Plan::of(call, keys, operation, Purpose::Store)?;
    let mut result = combine(call, keys, &plan, operation);
    result.pack(limits(call));
    let event = match operation {
        Operation::Union => Event::ZUNIONSTORE,
        Operation::Intersection => Event::ZINTERSTORE,
        Operation::Difference => Event::ZDIFFSTORE,
    };
    store(call, keys, reply, result, event);
    Ok(())
}

fn zintercard(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let plan = Plan::of(call, keys, Operation::Intersection, Purpose::Count)?;
    let inputs = plan.inputs(call, keys);
    let mut count = 0;
    if let Some((smallest, others)) = inputs.split_first() {
        smallest.visit(|name, _| {
            count += usize::from(others.iter().all(|other| other.score(name).is_some()));
            count < plan.limit
        });
    }
    reply.int(count as i64);
    Ok(())
}

fn combine(call: &Call<'_>, keys: &Keys<'_>, plan: &Plan, operation: Operation) -> Zset {
    let inputs = plan.inputs(call, keys);
    let mut result = Combined { zset: Zset::default(), call };
    let Some((first, others)) = inputs.split_first() else { return result.zset };
    match operation {
        Operation::Difference => first.visit(|name, score| {
            if others.iter().all(|other| other.score(name).is_none()) {
                result.add(name, |_| score);
            }
            true
        }),
        Operation::Intersection => first.visit(|name, score| {
            let sum = others
                .iter()
                .try_fold(score, |sum, other| Some(plan.aggregate.apply(sum, other.score(name)?)));
            if let Some(score) = sum {
                result.add(name, |_| score);
            }
            true
        }),
        Operation::Union => inputs.iter().for_each(|input| {
            input.visit(|name, score| {
                let sum = |old: Option<f64>| match old {
                    Some(old) => plan.aggregate.apply(old, score),
                    None => score,
                };
                result.add(name, sum);
                true
            });
        }),
    }
    result.zset
}

/// Packs nothing: results are built large, as in Redis, which shows in the sign of a zero.
const LARGE: Limits = Limits { entries: 0, value_bytes: 0 };

/// What comes of it.
struct Combined<'c, 'a> {
    zset: Zset,
    call: &'c Call<'a>,
}

impl Combined<'_, '_> {
    fn add(&mut self, name: &[u8], score: impl FnOnce(Option<f64>) -> f64) {
        let (hasher, mut turned) = (self.call.hasher, None);
        self.zset.update(name, LARGE, hasher, |old| {
            let new = score(old);
            turned = old.filter(|old| new == 0.0 && new.to_bits() != old.to_bits()).map(|_| new);
            Some(new)
        });
        // A score that is equal to the old one is not written, so a zero would keep its sign.
        if let Some(zero) = turned {
            self.zset.remove(name);
            self.zset.put(name, zero, LARGE, hasher);
        }
    }
}

/// How scores of one member become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
    /// The weights of the inputs that have the member add up, whatever its scores (Redis 8.8).
    Count,
}

impl Aggregate {
    fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum | Aggregate::Count => not_nan(a + b),
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

/// Infinities of both signs add up to 0, and so does none of one.
fn not_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// What a call asks for.
struct Plan {
    /// Positions of the keys in the call.
    keys: std::ops::Range<usize>,
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// How far to count.
    limit: usize,
    is_sorted: bool,
}

impl Plan {
    /// Reads the call, and makes sure of the types of its keys, in the order in which Redis does.
    fn of(
        call: &Call<'_>,
        keys: &mut Keys<'_>,
        operation: Operation,
        purpose: Purpose,
    ) -> Result<Plan, CommandError> {
        let at = if purpose == Purpose::Store { 2 } else { 1 };
        let number = call.integer(at)?;
        let number = usize::try_from(number).ok().filter(|number| *number > 0);
        let Some(number) = number else {
            return Err(CommandError::Quoted(format!(
                "ERR at least 1 input key is needed for '{}' command",
                call.command.name
            )));
        };
        if number > call.len() - at - 1 {
            return Err(CommandError::Syntax);
        }
        let mut plan = Plan {
            keys: at + 1..at + 1 + number,
            weights: vec![1.0; number],
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: usize::MAX,
            is_sorted: operation != Operation::Difference,
        };
        for at in plan.keys.clone() {
            if keys.read(call.key(at)).is_some_and(|entry| !may_take_part(entry)) {
                return Err(CommandError::WrongType);
            }
        }
        let mut options = call.options(at + 1 + number);
        let is_weighted = operation != Operation::Difference && purpose != Purpose::Count;
        while options.left() > 0 {
            let more = options.left() > 1;
            if is_weighted && options.left() > number && options.take_word("WEIGHTS") {
                plan.take_weights(&mut options)?;
            } else if is_weighted && more && options.take_word("AGGREGATE") {
                plan.aggregate = match &options.value()?.to_ascii_lowercase()[..] {
                    b"sum" => Aggregate::Sum,
                    b"min" => Aggregate::Min,
                    b"max" => Aggregate::Max,
                    b"count" => Aggregate::Count,
                    _ => return Err(CommandError::Syntax),
                };
            } else if purpose == Purpose::Show && options.take_word("WITHSCORES") {
                plan.with_scores = true;
            } else if purpose == Purpose::Count && more && options.take_word("LIMIT") {
                plan.limit = limit_of(options.value()?)?;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(plan)
    }

    fn take_weights(&mut self, options: &mut Options<'_>) -> Result<(), CommandError> {
        for weight in &mut self.weights {
            let number = float::parse(options.value()?);
            *weight = number.ok_or(CommandError::Text("ERR weight value is not a float"))?;
        }
        Ok(())
    }

    /// The values of the keys, the smallest first where the order does not matter to the result.
    fn inputs<'k>(&self, call: &Call<'_>, keys: &'k Keys<'_>) -> Vec<Input<'k>> {
        let values = self.keys.clone().zip(&self.weights).map(|(at, weight)| {
            let value = Operand::of(keys, call.key(at));
            Input { value, weight: *weight, counts: self.aggregate == Aggregate::Count }
        });
        let mut inputs: Vec<Input<'k>> = values.collect();
        if self.is_sorted {
            inputs.sort_by_key(Input::len);
        }
        inputs
    }
}

/// True for a sorted set and for a set.
fn may_take_part(entry: &Entry) -> bool {
    entry.object().is_some_and(|view| matches!(&*view, Object::Zset(_) | Object::Set(_)))
}

/// A sorted set or a set, or nothing, with its weight.
struct Input<'k> {
    value: Operand<'k>,
    weight: f64,
    /// Every score counts as 1.
    counts: bool,
}

enum Operand<'k> {
    Zset(Ref<'k, Zset>),
    Set(Ref<'k, Set>),
    Nothing,
}

impl<'k> Operand<'k> {
    fn of(keys: &'k Keys<'_>, key: Key<'_>) -> Operand<'k> {
        match keys.peek_as(key) {
            Ok(zset) => zset.map_or(Operand::Nothing, Operand::Zset),
            Err(_) => keys.peek_as(key).ok().flatten().map_or(Operand::Nothing, Operand::Set),
        }
    }
}

impl Input<'_> {
    fn len(&self) -> usize {
        match &self.value {
            Operand::Zset(zset) => zset.len(),
            Operand::Set(set) => set.len(),
            Operand::Nothing => 0,
        }
    }

    fn weighted(&self, score: f64) -> f64 {
        if self.counts { self.weight } else { score * self.weight }
    }

    /// The weighted score of a member; not a number where none of infinity is taken.
    fn score(&self, name: &[u8]) -> Option<f64> {
        let score = match &self.value {
            Operand::Zset(zset) => zset.score(name),
            Operand::Set(set) => set.contains(name).then_some(1.0),
            Operand::Nothing => None,
        };
        score.map(|score| self.weighted(score))
    }

    /// Calls `found` with all members and their weighted scores until it says no. Here none of
    /// infinity is 0.
    fn visit(&self, mut found: impl FnMut(&[u8], f64) -> bool) {
        let mut found = |name: &[u8], score| found(name, not_nan(self.weighted(score)));
        match &self.value {
            Operand::Zset(zset) => zset.visit(0, usize::MAX, false, &mut found),
            Operand::Set(set) => {
                let _ = set.iter().all(|member| member.with(|name| found(name, 1.0)));
            }
            Operand::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Shards, Store, dialogue};

    #[test]
    fn inputs_of_several_shards_are_combined() {
        let mut shards = Shards::new(3);
        shards.run("ZADD a 1 x 2 y");
        shards.run("ZADD b 3 y 4 z");
        assert_eq!(shards.run("ZUNIONSTORE d 2 a b"), "(integer) 3");
        let all = "1) \"x\"\n2) \"1\"\n3) \"z\"\n4) \"4\"\n5) \"y\"\n6) \"5\"";
        assert_eq!(shards.run("ZRANGE d 0 -1 WITHSCORES"), all);
        assert_eq!(shards.run("ZUNION 2 a b WITHSCORES"), all);
        assert_eq!(shards.run("ZINTERCARD 2 a b"), "(integer) 1");
    }

    #[test]
    fn weights_are_counted() {
        let mut store = Store::new();
        store.run("ZADD a 5 x 7 y");
        store.run("SADD b y");
        dialogue(
            &mut store,
            r#"
            > ZUNION 2 a b AGGREGATE COUNT WITHSCORES
            1) "x"
            2) "1"
            3) "y"
            4) "2"
            > ZINTER 2 a b WEIGHTS 2 3 AGGREGATE COUNT WITHSCORES
            1) "y"
            2) "5"
            "#,
        );
    }
}
