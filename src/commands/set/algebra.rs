//! What several sets have in common or not: SINTER, SUNION, SDIFF, each to be shown, stored or
//! counted.
//!
//! A set that is missing is empty; every key is looked at first, so that one of another type is
//! refused whatever the others hold. The union is counted without being made: of each set, the
//! members that no set before it has. So SUNIONCARD is exact and needs no memory, with APPROX too.

use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::recreate;
use crate::commands::set::{reply_member, rules};
use crate::data::Collection;
use crate::data::set::{Rules, Set};
use crate::data::value::Value;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::keyspace::object::{Object, Ref};
use crate::resp::Reply;

/// What the commands share that show the members.
const SHOW: Command = Command {
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(N) with N members of all sets.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::rest(1, 1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY,
    tips: &["nondeterministic_output_order"],
    args: &[Arg::key("key").multiple()],
    ..Command::BASE
};

/// What those share that store them.
const STORE: Command = Command {
    arity: Arity::AtLeast(3),
    keys: &[
        KeySpec::one(1, Access::OW.and(Access::UPDATE)),
        KeySpec::rest(2, 1, Access::RO.and(Access::READS)),
    ],
    flags: Flags::WRITE.and(Flags::DENY_OOM),
    tips: &[],
    args: &[Arg::key("destination"), Arg::key_of("key", 1).multiple()],
    ..SHOW
};

/// What those share that count them.
const COUNT: Command = Command {
    since: "8.10.0",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::counted(1, 1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
    tips: &[],
    args: &[NUMKEYS, KEYS, LIMIT],
    ..SHOW
};

const NUMKEYS: Arg = Arg::integer("numkeys");
const KEYS: Arg = Arg::key("key").multiple();

/// How far to count, as an argument.
pub(in crate::commands) const LIMIT: Arg = Arg::integer("limit").token("LIMIT").optional();

const PRODUCT: &str = "O(N*M) with N members of the smallest of M sets.";

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("sdiff"),
        summary: "Lists the members of a set that no other set has.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Operation::Difference)),
        ..SHOW
    },
    Command {
        name: Name("sdiffcard"),
        summary: "Counts the members of a set that no other set has.",
        run: Run::Keys(|call, keys, reply| count(call, keys, reply, Operation::Difference)),
        ..COUNT
    },
    Command {
        name: Name("sdiffstore"),
        summary: "Stores the members of a set that no other set has.",
        run: Run::Keys(|call, keys, reply| store(call, keys, reply, Operation::Difference)),
        ..STORE
    },
    Command {
        name: Name("sinter"),
        complexity: PRODUCT,
        summary: "Lists the members that all sets have.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Operation::Intersection)),
        ..SHOW
    },
    Command {
        name: Name("sintercard"),
        since: "7.0.0",
        complexity: PRODUCT,
        summary: "Counts the members that all sets have.",
        run: Run::Keys(|call, keys, reply| count(call, keys, reply, Operation::Intersection)),
        ..COUNT
    },
    Command {
        name: Name("sinterstore"),
        complexity: PRODUCT,
        summary: "Stores the members that all sets have.",
        run: Run::Keys(|call, keys, reply| store(call, keys, reply, Operation::Intersection)),
        ..STORE
    },
    Command {
        name: Name("sunion"),
        summary: "Lists the members that any of the sets has.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Operation::Union)),
        ..SHOW
    },
    Command {
        name: Name("sunioncard"),
        complexity: "O(N*M) with N members of all M sets.",
        summary: "Counts the members that any of the sets has.",
        args: &[NUMKEYS, KEYS, Arg::word("approx", "APPROX").optional(), LIMIT],
        run: Run::Keys(|call, keys, reply| count(call, keys, reply, Operation::Union)),
        ..COUNT
    },
    Command {
        name: Name("sunionstore"),
        summary: "Stores the members that any of the sets has.",
        run: Run::Keys(|call, keys, reply| store(call, keys, reply, Operation::Union)),
        ..STORE
    },
];

/// What is made of several sets, or of several sorted sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Operation {
    /// The members of the first that no other has.
    Difference,
    /// The members that all have.
    Intersection,
    /// The members that any has.
    Union,
}

fn show(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    operation: Operation,
) -> Result<(), CommandError> {
    let sets = read(keys, &keys_from(call, 1))?;
    if operation == Operation::Intersection {
        let (later, mut count) = (reply.array_later(0), 0);
        for member in common(&sets) {
            reply_member(reply, member);
            count += 1;
        }
        reply.set_len_of_set(later, count);
        return Ok(());
    }
    let result = combine(&sets, operation, rules(call));
    drop(sets);
    reply.set(result.len());
    result.iter().for_each(|member| reply_member(reply, member));
    keys.tools.discarded.take_object(Object::Set(result));
    Ok(())
}

/// Stores the result; an empty one takes the destination away.
fn store(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    operation: Operation,
) -> Result<(), CommandError> {
    let result = combine(&look(keys, &keys_from(call, 2))?, operation, rules(call));
    let (destination, len) = (call.key(1), result.len());
    let event = match operation {
        Operation::Union => Event::SUNIONSTORE,
        Operation::Intersection => Event::SINTERSTORE,
        Operation::Difference => Event::SDIFFSTORE,
    };
    if keys.set_object(destination, Object::Set(result), event) {
        recreate::rewrite_over_slots(call, keys, destination);
    }
    reply.int(len as i64);
    Ok(())
}

/// Counts without making the result.
fn count(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    operation: Operation,
) -> Result<(), CommandError> {
    let (names, limit) = counted_keys(call, operation == Operation::Union)?;
    let sets: &[_] = &read(keys, &names)?;
    let count = match operation {
        Operation::Difference => {
            let (first, others) = sets.split_first().expect("there is a key at least");
            members(first).filter(|member| !any_has(others, *member)).take(limit).count()
        }
        Operation::Intersection => common(sets).take(limit).count(),
        Operation::Union => {
            let new = sets.iter().enumerate().flat_map(|(index, set)| {
                members(set).filter(move |member| !any_has(&sets[..index], *member))
            });
            new.take(limit).count()
        }
    };
    reply.int(count as i64);
    Ok(())
}

/// The keys behind their number, and how far to count.
fn counted_keys<'a>(
    call: &Call<'a>,
    may_approximate: bool,
) -> Result<(Vec<Key<'a>>, usize), CommandError> {
    let count = integer::parse(call.arg(1)).filter(|count| *count > 0);
    let count = count.ok_or(CommandError::Text("ERR numkeys should be greater than 0"))?;
    let end = usize::try_from(count).ok().and_then(|count| count.checked_add(2));
    let end = end
        .filter(|end| *end <= call.len())
        .ok_or(CommandError::Text("ERR Number of keys can't be greater than number of args"))?;
    let (mut options, mut limit) = (call.options(end), usize::MAX);
    while options.left() > 0 {
        if options.left() > 1 && options.take_word("LIMIT") {
            limit = limit_of(options.value()?)?;
        } else if !may_approximate || !options.take_word("APPROX") {
            return Err(CommandError::Syntax);
        }
    }
    Ok(((2..end).map(|index| call.key(index)).collect(), limit))
}

/// How far to count; 0 is as far as there is something.
pub(in crate::commands) fn limit_of(text: &[u8]) -> Result<usize, CommandError> {
    let limit = integer::parse(text).and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.ok_or(CommandError::Text("ERR LIMIT can't be negative"))?;
    Ok(if limit == 0 { usize::MAX } else { limit })
}

fn keys_from<'a>(call: &Call<'a>, index: usize) -> Vec<Key<'a>> {
    (index..call.len()).map(|index| call.key(index)).collect()
}

/// Sets side by side, none where a key is missing.
type Sets<'a> = Vec<Option<Ref<'a, Set>>>;

/// Reads sets: counts and touches.
fn read<'k>(keys: &'k mut Keys<'_>, names: &[Key<'_>]) -> Result<Sets<'k>, CommandError> {
    for name in names {
        keys.read_as::<Set>(*name)?;
    }
    peek(keys, names)
}

/// Looks at sets on behalf of a write.
fn look<'k>(keys: &'k mut Keys<'_>, names: &[Key<'_>]) -> Result<Sets<'k>, CommandError> {
    for name in names {
        keys.look_as::<Set>(*name)?;
    }
    peek(keys, names)
}

fn peek<'k>(keys: &'k Keys<'_>, names: &[Key<'_>]) -> Result<Sets<'k>, CommandError> {
    Ok(names.iter().map(|name| keys.peek_as(*name)).collect::<Result<_, _>>()?)
}

fn members<'s>(set: &'s Option<Ref<'_, Set>>) -> impl Iterator<Item = Value<'s>> {
    set.iter().flat_map(|set| set.iter())
}

fn any_has(sets: &[Option<Ref<'_, Set>>], member: Value<'_>) -> bool {
    sets.iter().flatten().any(|set| set.has(member))
}

/// The members that all sets have, in the order of the smallest.
fn common<'s>(sets: &'s [Option<Ref<'_, Set>>]) -> impl Iterator<Item = Value<'s>> {
    let mut there: Vec<&Ref<'_, Set>> = sets.iter().flatten().collect();
    there.sort_by_key(|set| set.len());
    let is_empty = there.len() < sets.len();
    let others =
        if is_empty { Vec::new() } else { there.split_off(usize::from(!there.is_empty())) };
    let smallest = there.first().filter(|_| !is_empty).copied();
    let members = smallest.into_iter().flat_map(Ref::iter);
    members.filter(move |member| others.iter().all(|set| set.has(*member)))
}

fn combine(sets: &[Option<Ref<'_, Set>>], operation: Operation, rules: Rules<'_>) -> Set {
    match operation {
        Operation::Difference => difference(sets, rules),
        Operation::Intersection => intersection(sets, rules),
        Operation::Union => union(sets, rules),
    }
}

/// The members of the first set that no other has. Where that is less work, all of them are taken
/// and those of the others taken out again.
fn difference(sets: &[Option<Ref<'_, Set>>], rules: Rules<'_>) -> Set {
    let mut result = Set::default();
    let Some((Some(first), others)) = sets.split_first() else { return result };
    let asked = first.len() * sets.iter().flatten().count() / 2;
    let removes = asked > sets.iter().flatten().map(|set| set.len()).sum();
    for member in first.iter() {
        if removes || !any_has(others, member) {
            member.with(|member| result.add(member, rules));
        }
    }
    for member in others.iter().flatten().filter(|_| removes).flat_map(|set| set.iter()) {
        if result.is_empty() {
            break;
        }
        member.with(|member| result.remove(member));
    }
    result
}

fn intersection(sets: &[Option<Ref<'_, Set>>], rules: Rules<'_>) -> Set {
    let smallest = sets.iter().flatten().min_by_key(|set| set.len());
    let mut result = match smallest.map(|set| &**set) {
        Some(Set::Ints(_)) | None => Set::default(),
        Some(_) => Set::packed(),
    };
    for member in common(sets) {
        member.with(|member| result.add(member, rules));
    }
    result.prefer_ints(rules);
    result
}

fn union(sets: &[Option<Ref<'_, Set>>], rules: Rules<'_>) -> Set {
    let mut result = Set::default();
    for member in sets.iter().flatten().flat_map(|set| set.iter()) {
        member.with(|member| result.add(member, rules));
    }
    result
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::testing::{Shards, Store, dialogue};

    #[test]
    fn results_are_shown_stored_and_counted() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > SADD a 1 2 3 x
            (integer) 4
            > SADD b 3 x y
            (integer) 3
            > SINTER a b
            1) "3"
            2) "x"
            > SUNION b a
            1) "3"
            2) "x"
            3) "y"
            4) "1"
            5) "2"
            > SDIFF a b nothing
            1) "1"
            2) "2"
            > SINTER a nothing
            (empty array)
            > SDIFF nothing a
            (empty array)
            > SINTERCARD 2 a b LIMIT 1
            (integer) 1
            > SINTERCARD 2 a b LIMIT 0
            (integer) 2
            > SUNIONCARD 3 a b a
            (integer) 5
            > SUNIONCARD 2 a b LIMIT 3 APPROX
            (integer) 3
            > SDIFFCARD 2 a b
            (integer) 2
            > SDIFFCARD 2 a b LIMIT 1
            (integer) 1
            > SDIFFCARD 2 a b APPROX
            (error) ERR syntax error
            > SDIFFCARD 0 a
            (error) ERR numkeys should be greater than 0
            > SUNIONCARD 3 a b
            (error) ERR Number of keys can't be greater than number of args
            > SUNIONCARD 1 a LIMIT -1
            (error) ERR LIMIT can't be negative
            > SDIFFSTORE d a b
            (integer) 2
            > OBJECT ENCODING d
            "intset"
            > SINTERSTORE d a nothing
            (integer) 0
            > EXISTS d
            (integer) 0
            > SET s v
            OK
            > SINTER nothing s
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > SUNIONSTORE s s
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > SUNIONSTORE s a
            (integer) 4
            "#,
        );
    }

    #[test]
    fn over_slots_a_result_is_journaled_by_value() {
        let mut store = Store::new();
        store.run("SADD {t}a 1 2");
        store.run("SADD {t}b 2 3");
        store.effects();
        store.run("SINTERSTORE {t}c {t}a {t}b");
        assert_eq!(store.effects(), "SINTERSTORE {t}c {t}a {t}b");
        store.run("SINTERSTORE d {t}a {t}b");
        assert_eq!(store.effects(), "MULTI\nDEL d\nSADD d 2\nEXEC");
        store.run("SINTERSTORE d {t}a nothing");
        assert_eq!(store.effects(), "DEL d");
        store.run("SINTERSTORE d {t}a nothing");
        assert_eq!(store.effects(), "");
    }

    #[test]
    fn random_sets_agree_with_models_on_every_shard() {
        let mut random = fastrand::Rng::with_seed(21);
        let mut shards = Shards::new(3);
        for round in 0..60 {
            let size = [4, 60, 400][round % 3];
            let models: Vec<BTreeSet<String>> = (0..4)
                .map(|_| {
                    let count = random.usize(..size);
                    (0..count).map(|_| random.usize(..size).to_string()).collect()
                })
                .collect();
            for (index, model) in models.iter().enumerate() {
                shards.run(&format!("DEL s{index}"));
                model
                    .iter()
                    .for_each(|member| drop(shards.run(&format!("SADD s{index} {member}"))));
            }
            let [a, b, c, d] = &*models else { panic!("there are four") };
            let inter: BTreeSet<_> = [b, c, d].iter().fold(a.clone(), |sum, set| &sum & set);
            let union: BTreeSet<_> = [b, c, d].iter().fold(a.clone(), |sum, set| &sum | set);
            let diff: BTreeSet<_> = [b, c, d].iter().fold(a.clone(), |sum, set| &sum - set);
            for (name, expected) in [("INTER", inter), ("UNION", union), ("DIFF", diff)] {
                let reply = shards.run(&format!("S{name} s0 s1 s2 s3"));
                let lines = reply.lines().filter(|line| *line != "(empty array)");
                let members =
                    lines.map(|line| line.split('"').nth(1).expect("it is quoted").to_owned());
                assert_eq!(members.collect::<BTreeSet<_>>(), expected, "{name}");
                let count = format!("(integer) {}", expected.len());
                assert_eq!(shards.run(&format!("S{name}CARD 4 s0 s1 s2 s3")), count);
                assert_eq!(shards.run(&format!("S{name}STORE t s0 s1 s2 s3")), count);
                assert_eq!(shards.run("SCARD t"), count);
            }
        }
    }
}
