//! All fields, or any of them: HGETALL, HKEYS, HRANDFIELD, HSCAN, HVALS.

use std::collections::HashSet;

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::generic::elements::{self, Beside};
use crate::commands::picking;
use crate::commands::string::reply_value;
use crate::data::Collection;
use crate::data::hash::{Hash, Item};
use crate::data::table::Member;
use crate::keyspace::keys::Keys;
use crate::keyspace::object::Ref;
use crate::resp::Reply;

const KEY: &[KeySpec] = &[KeySpec::one(1, Access::RO.and(Access::READS))];

const ALL: Command = Command {
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(N) with N fields.",
    arity: Arity::Exactly(2),
    keys: KEY,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output_order"],
    args: &[Arg::key("key")],
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("hgetall"),
        summary: "Gives all fields with their values.",
        run: Run::Keys(hgetall),
        ..ALL
    },
    Command {
        name: Name("hkeys"),
        summary: "Gives the names of all fields.",
        run: Run::Keys(hkeys),
        ..ALL
    },
    Command {
        name: Name("hrandfield"),
        since: "6.2.0",
        complexity: "O(N) with N fields asked for, or all of a small hash.",
        summary: "Gives fields chosen at random.",
        arity: Arity::AtLeast(2),
        tips: &["nondeterministic_output"],
        args: &[
            Arg::key("key"),
            Arg::block(
                "options",
                &[Arg::integer("count"), Arg::word("withvalues", "WITHVALUES").optional()],
            )
            .optional(),
        ],
        run: Run::Keys(hrandfield),
        ..ALL
    },
    Command {
        name: Name("hscan"),
        group: Group::Hash,
        complexity: "O(1) for each call, O(N) for all calls together, with N fields.",
        summary: "Lists the fields of a hash piece by piece.",
        args: &Arg::joined::<5>(&[
            elements::SCAN.args,
            &[Arg::word("novalues", "NOVALUES").optional()],
        ]),
        run: Run::Keys(hscan),
        ..elements::SCAN
    },
    Command {
        name: Name("hvals"),
        summary: "Gives the values of all fields.",
        run: Run::Keys(hvals),
        ..ALL
    },
];

fn hgetall(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    show_all(
        call,
        keys,
        reply,
        |reply, len| reply.map(len),
        |reply, item| {
            reply_value(reply, Some(item.name));
            reply_value(reply, Some(item.value));
        },
    )
}

fn hkeys(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    show_all(
        call,
        keys,
        reply,
        |reply, len| reply.array(len),
        |reply, item| reply_value(reply, Some(item.name)),
    )
}

fn hvals(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    show_all(
        call,
        keys,
        reply,
        |reply, len| reply.array(len),
        |reply, item| reply_value(reply, Some(item.value)),
    )
}

/// Replies with each field as `show` shows it, behind a head that knows their number.
fn show_all(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    head: impl FnOnce(&mut Reply<'_>, usize),
    show: impl Fn(&mut Reply<'_>, Item<'_>),
) -> Result<(), CommandError> {
    match keys.read_as::<Hash>(call.key(1))? {
        None => head(reply, 0),
        Some(hash) => {
            head(reply, hash.shown());
            hash.each(|item| show(reply, item));
        }
    }
    Ok(())
}

fn hscan(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    elements::scan(call, keys, reply, Beside::Value, |hash: &Ref<'_, Hash>, scan| match &**hash {
        Hash::Packed(_) => hash.each(|item| {
            item.name.with(|name| scan.add(name, |reply| reply_value(reply, Some(item.value))));
        }),
        Hash::Large(fields) => scan.table(fields.table(), |scan, field| {
            if hash.shows(field.deadline()) {
                scan.add(field.name(), |reply| reply.bulk(field.value()));
            }
        }),
    })
}

/// Up to so much of a large hash is chosen by drawing until there are enough different ones, which
/// then takes less than twice as many draws.
const DRAWN_SHARE: usize = 3;

fn hrandfield(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let mut random = keys.tools.random.fork();
    if call.len() == 2 {
        let hash = keys.read_as::<Hash>(call.key(1))?;
        let item = hash.as_ref().and_then(|hash| hash.random(&mut random));
        reply_value(reply, item.map(|item| item.name));
        return Ok(());
    }
    let wanted = Wanted::of(call)?;
    let Some(hash) = keys.read_as::<Hash>(call.key(1))? else {
        reply.array(0);
        return Ok(());
    };
    match usize::try_from(wanted.count) {
        Ok(count) => {
            let items = choose_different(&hash, count, &mut random);
            wanted.begin(items.len(), reply);
            items.into_iter().for_each(|item| wanted.show(item, reply));
            Ok(())
        }
        Err(_) => show_repeated(call, &wanted, &hash, &mut random, reply),
    }
}

/// Replies with fields chosen one by one, the same one perhaps several times.
fn show_repeated(
    call: &Call<'_>,
    wanted: &Wanted,
    hash: &Ref<'_, Hash>,
    random: &mut fastrand::Rng,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let count = wanted.count.unsigned_abs();
    // The reply has at most as many bytes as the longest string.
    if count > picking::REPEATED_MAX {
        return Err(CommandError::OutOfRange);
    }
    // None where they are drawn from the table.
    let is_listed = matches!(**hash, Hash::Packed(_)) || hash.hides();
    let items = is_listed.then(|| hash.items());
    let is_empty = items.as_ref().is_some_and(Vec::is_empty);
    let count = if is_empty { 0 } else { count };
    wanted.begin(count as usize, reply);
    let start = reply.mark();
    for _ in 0..count {
        let item = match &items {
            None => hash.random(random),
            Some(items) => random.choice(items).copied(),
        };
        wanted.show(item.expect("a hash has fields"), reply);
        if (reply.mark() - start) as u64 > call.settings.proto_max_bulk_len {
            return Err(CommandError::OutOfRange);
        }
    }
    Ok(())
}

/// How many fields HRANDFIELD is asked for: with repetition where the number is negative.
struct Wanted {
    count: i64,
    with_values: bool,
}

impl Wanted {
    fn of(call: &Call<'_>) -> Result<Wanted, CommandError> {
        let (count, with_values) = picking::wanted(call, "WITHVALUES")?;
        Ok(Wanted { count, with_values })
    }

    /// Replies with the head of `len` fields: in version 3, each with its value is a pair.
    fn begin(&self, len: usize, reply: &mut Reply<'_>) {
        let is_flat = self.with_values && !reply.is_resp3();
        reply.array(if is_flat { 2 * len } else { len });
    }

    fn show(&self, item: Item<'_>, reply: &mut Reply<'_>) {
        if self.with_values && reply.is_resp3() {
            reply.array(2);
        }
        reply_value(reply, Some(item.name));
        if self.with_values {
            reply_value(reply, Some(item.value));
        }
    }
}

/// Different fields, `count` of them or all.
fn choose_different<'a>(
    hash: &'a Ref<'_, Hash>,
    count: usize,
    random: &mut fastrand::Rng,
) -> Vec<Item<'a>> {
    let is_drawn = matches!(**hash, Hash::Large(_)) && !hash.hides();
    if is_drawn && count < hash.len() / DRAWN_SHARE {
        let (mut names, mut items) = (HashSet::with_capacity(count), Vec::with_capacity(count));
        while items.len() < count {
            let Some(item) = hash.random(random) else { break };
            if names.insert(item.name.to_vec()) {
                items.push(item);
            }
        }
        return items;
    }
    // Each is taken with the probability that is left for it (D. Knuth, 3.4.2, algorithm S).
    let mut items = hash.items();
    let (mut left, mut wanted) = (items.len(), count.min(items.len()));
    items.retain(|_| {
        let is_taken = random.usize(0..left) < wanted;
        left -= 1;
        wanted -= usize::from(is_taken);
        is_taken
    });
    items
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use crate::testing::{Store, dialogue};

    fn store(fields: usize) -> Store {
        let mut store = Store::new();
        for number in 0..fields {
            store.run(&format!("HSET h f{number} {number}"));
        }
        store
    }

    fn strings(reply: &str) -> Vec<String> {
        reply.lines().filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
    }

    #[test]
    fn all_fields_are_given() {
        dialogue(
            &mut store(2),
            r#"
            > HGETALL h
            1) "f0"
            2) "0"
            3) "f1"
            4) "1"
            > HKEYS h
            1) "f0"
            2) "f1"
            > HVALS h
            1) "0"
            2) "1"
            > HGETALL none
            (empty array)
            "#,
        );
    }

    #[test]
    fn a_scan_meets_every_field() {
        for (fields, options) in [(3, ""), (3_000, ""), (3_000, "COUNT 100"), (3_000, "NOVALUES")] {
            let mut store = store(fields);
            let (mut seen, mut cursor) = (BTreeSet::new(), "0".to_owned());
            loop {
                let mut found = strings(&store.run(&format!("HSCAN h {cursor} {options}")));
                cursor = found.remove(0);
                let step = if options == "NOVALUES" { 1 } else { 2 };
                seen.extend(found.into_iter().step_by(step));
                if cursor == "0" {
                    break;
                }
            }
            assert_eq!(seen.len(), fields, "{options}");
        }
        dialogue(
            &mut store(12),
            r#"
            > HSCAN h 7 MATCH f1*
            1) "0"
            2) 1) "f1"
               2) "1"
               3) "f10"
               4) "10"
               5) "f11"
               6) "11"
            > HSCAN h x
            (error) ERR invalid cursor
            > HSCAN h 0 COUNT 0
            (error) ERR syntax error
            > HSCAN h 0 NOSCORES
            (error) ERR NOSCORES option can only be used in ZSCAN
            > HSCAN none 0 WHATEVER
            1) "0"
            2) (empty array)
            "#,
        );
    }

    #[test]
    fn random_fields_are_any_of_them() {
        for fields in [10, 600] {
            let mut store = store(fields);
            let mut counts = BTreeMap::new();
            for _ in 0..10 {
                for name in strings(&store.run("HRANDFIELD h -3000")) {
                    *counts.entry(name).or_insert(0) += 1;
                }
            }
            let mean = 30_000 / fields;
            assert_eq!(counts.len(), fields);
            let is_fair = |count: &usize| (mean / 3..mean * 3).contains(count);
            assert!(counts.values().all(is_fair), "{counts:?}");
            for (count, expected) in [(0, 0), (5, 5), (9, 9), (400, fields.min(400)), (999, fields)]
            {
                let found = strings(&store.run(&format!("HRANDFIELD h {count}")));
                let different: BTreeSet<_> = found.iter().collect();
                assert_eq!((found.len(), different.len()), (expected, expected));
            }
            assert_eq!(strings(&store.run("HRANDFIELD h 5 WITHVALUES")).len(), 10);
        }
    }

    #[test]
    fn numbers_that_are_too_large_are_refused() {
        dialogue(
            &mut store(1),
            r#"
            > HRANDFIELD h 9223372036854775807
            1) "f0"
            > HRANDFIELD h -9223372036854775808
            (error) ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
            > HRANDFIELD h -9223372036854775807
            (error) ERR value is out of range
            > HRANDFIELD none -9223372036854775807
            (empty array)
            > HRANDFIELD none -9223372036854775807 WITHVALUES
            (error) ERR value is out of range
            > HRANDFIELD h 4611686018427387904 WITHVALUES
            (error) ERR value is out of range
            > HRANDFIELD h 1 VALUES
            (error) ERR syntax error
            "#,
        );
    }
}
