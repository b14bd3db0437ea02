//! Keys that nobody named: KEYS, RANDOMKEY, SCAN, and the walk of BLESS SCAN.
//!
//! SCAN walks from slot to slot in the map's scan order, which stays as it is while the process
//! lives. Its cursor is the rank of a slot in that order and a position in the slot's table, so
//! that it means the same on every shard, and a key that is there from start to end of a scan is
//! met: a table's positions hold across its growth, and a slot that moves keeps its rank.
//!
//! KEYS is of one moment: it holds all slots until it is done, and works in steps.
//!
//! A call of SCAN ends when it has looked at COUNT keys, or at ten times as many empty parts of
//! tables. Empty slots cost next to nothing and are passed over within the call, so that a small
//! database is scanned in one call.

use crate::base::slot::SLOTS;
use crate::base::{integer, slot};
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Categories, Command, Flags, Group, Name, Run};
use crate::commands::error::{CommandError, quoting};
use crate::commands::generic::elements::{self, Filter, unknown_option};
use crate::commands::generic::existence::TYPES;
use crate::commands::walk::{Step, Walk};
use crate::data::table::{Counts, SCAN_BITS};
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::scan::Choice;
use crate::resp::{Reply, encode};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("keys"),
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(N) with N keys in the database.",
        summary: "Lists the keys whose names match a pattern.",
        arity: Arity::Exactly(2),
        flags: Flags::READONLY,
        categories: Categories::KEYSPACE.and(Categories::DANGEROUS),
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        args: &[Arg::pattern("pattern")],
        run: Run::Steps(list_keys),
        ..Command::BASE
    },
    Command {
        name: Name("randomkey"),
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(N) with N slots.",
        summary: "Gives the name of a key chosen at random.",
        arity: Arity::Exactly(1),
        flags: Flags::READONLY,
        categories: Categories::KEYSPACE,
        tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        run: Run::Walk(randomkey),
        ..Command::BASE
    },
    Command {
        name: Name("scan"),
        group: Group::Generic,
        since: "2.8.0",
        complexity: "O(1) for each call, O(N) for all calls together, with N keys.",
        summary: "Lists the keys of the database piece by piece.",
        arity: Arity::AtLeast(2),
        flags: Flags::READONLY,
        categories: Categories::KEYSPACE,
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        args: &Arg::joined::<4>(&[
            &elements::ARGS,
            &[Arg::string("type").token("TYPE").optional().since("6.0.0")],
        ]),
        history: &[("6.0.0", "The filter `TYPE`.")],
        run: Run::Walk(scan),
        ..Command::BASE
    },
];

/// Bytes of the head of an array, at the most.
const HEAD_BYTES: usize = 32;

/// Set in the cursor of KEYS while it writes what it has counted.
const WRITES: u64 = 1 << 63;

/// Counts what matches, and then writes it: so there is room for all of the reply from the start,
/// and nothing is moved while it grows.
fn list_keys(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Step, CommandError> {
    let pattern = Some(call.arg(1)).filter(|pattern| *pattern != b"*");
    let filter = Filter { pattern, ..Filter::default() };
    let mut left = KEYS_A_STEP * KEY_COST;
    loop {
        let (phase, place) = (walk.cursor & WRITES, walk.cursor & !WRITES);
        let slot = (place >> SCAN_BITS) as u16;
        if slot == SLOTS && phase == WRITES {
            return Ok(Step::Done);
        } else if slot == SLOTS {
            reply.reserve(walk.bytes + HEAD_BYTES);
            reply.array(walk.spent);
            walk.cursor = WRITES;
            continue;
        } else if left == 0 {
            return Ok(Step::At(slot));
        }
        let position = place & POSITION;
        let is_named = |entry: &Entry| filter.matches(entry.key());
        let expired = keys.expire_elements_at(slot, position, is_named);
        if expired > 0 {
            left = left.saturating_sub(expired * KEY_COST);
            continue;
        }
        let next = keys.table(slot).and_then(|table| {
            table.scan(position, |entry| {
                left = left.saturating_sub(KEY_COST);
                let is_wanted = !keys.is_gone(entry) && is_named(entry);
                if is_wanted && phase == WRITES {
                    reply.bulk(entry.key());
                } else if is_wanted {
                    walk.spent += 1;
                    walk.bytes += encode::bulk_len(entry.key());
                }
            })
        });
        left = left.saturating_sub(1);
        let next_slot = u64::from(slot + 1) << SCAN_BITS;
        let position = next.map(|position| u64::from(slot) << SCAN_BITS | position);
        walk.cursor = phase | position.unwrap_or(next_slot);
    }
}

/// Choices of RANDOMKEY that came upon what had expired, before the shard may look to others' work.
const CHOICES_A_STEP: usize = 16;

/// Goes over all shards once; each puts a choice of its own in the place of the one before with the
/// probability that its share of all keys so far gives it, so that all keys are about as likely. A
/// choice that comes upon what has expired takes of it out, so that there is an end of them.
fn randomkey(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Step, CommandError> {
    let mut left = CHOICES_A_STEP;
    while let Ok(shard) = u16::try_from(walk.cursor)
        && shard < call.map.shards()
    {
        let mut slots = call.map.slots_of(shard);
        let Some(first) = slots.next() else {
            walk.cursor += 1;
            continue;
        };
        if !keys.has(first) {
            return Ok(Step::At(first));
        }
        let count = keys.count();
        let waited = walk.at.is_some_and(|at| at != first && call.map.owner(at) == shard);
        // All that is left of the database may be lent at this moment: look again, once.
        if count == 0
            && !waited
            && let Some(lent) = slots.find(|slot| !keys.has(*slot))
        {
            return Ok(Step::At(lent));
        }
        match keys.choose() {
            Choice::Expired if left == 0 => return Ok(Step::At(first)),
            Choice::Expired => {
                left -= 1;
                continue;
            }
            Choice::Name(name) => {
                walk.spent += count;
                if keys.tools.random.usize(0..walk.spent) < count {
                    walk.found = vec![name];
                }
            }
            Choice::Nothing => {}
        }
        walk.cursor += 1;
    }
    match walk.found.pop() {
        Some(name) => reply.bulk(&name),
        None => reply.null(),
    }
    Ok(Step::Done)
}

/// What a key costs of a call's effort; an empty part of a table costs one.
const KEY_COST: usize = 10;

/// Keys looked at before the shard may look to others' work.
const KEYS_A_STEP: usize = 1_000;

fn scan(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Step, CommandError> {
    let cursor = integer::parse_cursor(call.arg(1)).ok_or(CommandError::InvalidCursor)?;
    let wanted = Wanted::of(call)?;
    walk_on(call, keys, walk, reply, cursor, &wanted)
}

/// Scans the blessed keys: slots that have none are passed over.
pub(super) fn scan_blessed(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
    cursor: u64,
    count: usize,
) -> Result<Step, CommandError> {
    let filter = Filter { count, ..Filter::default() };
    let wanted = Wanted { filter, only: None, kind: None, only_blessed: true };
    walk_on(call, keys, walk, reply, cursor, &wanted)
}

/// Goes on with a scan that began at `cursor`.
fn walk_on(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
    cursor: u64,
    wanted: &Wanted<'_>,
) -> Result<Step, CommandError> {
    if walk.at.is_none() {
        walk.cursor = cursor;
    }
    let effort = wanted.filter.count.saturating_mul(KEY_COST);
    let (step_begin, mut expired) = (walk.spent, 0);
    while let Some(slot) = wanted.slot_at(&mut walk.cursor, call) {
        if walk.spent >= effort {
            break;
        }
        let step = walk.spent - step_begin + expired * KEY_COST;
        if !keys.has(slot) || step >= KEYS_A_STEP * KEY_COST {
            return Ok(Step::At(slot));
        }
        let position = walk.cursor & POSITION;
        // It is no effort of the call's, which must not end where it began.
        match keys.expire_elements_at(slot, position, |entry| wanted.matches(entry)) {
            0 => look_at(slot, keys, walk, wanted, call),
            some => expired += some,
        }
    }
    if wanted.slot_at(&mut walk.cursor, call).is_none() {
        walk.cursor = 0;
    }
    reply.array(2);
    reply.bulk(walk.cursor.to_string().as_bytes());
    reply.array(walk.found.len());
    walk.found.iter().for_each(|name| reply.bulk(name));
    Ok(Step::Done)
}

/// Looks at the keys at the cursor, which stands in `slot`, and moves it on.
fn look_at(slot: u16, keys: &mut Keys<'_>, walk: &mut Walk, wanted: &Wanted<'_>, call: &Call<'_>) {
    let (rank, position) = (walk.cursor >> SCAN_BITS, walk.cursor & POSITION);
    let next_slot = (rank + 1) << SCAN_BITS;
    let is_empty = wanted.of_these(&keys.counts()) == 0;
    let table = if is_empty { None } else { keys.table(slot) };
    let Some(table) = table.filter(|table| wanted.of_these(&table.counts()) > 0) else {
        walk.cursor = next_slot;
        return;
    };
    let (mut looked_at, mut expired) = (0, Vec::new());
    let next = table.scan(position, |entry| {
        looked_at += 1;
        if wanted.matches(entry) {
            let names = if keys.is_gone(entry) { &mut expired } else { &mut walk.found };
            names.push(entry.key().to_vec());
        }
    });
    walk.cursor = next.map_or(next_slot, |position| rank << SCAN_BITS | position);
    walk.spent += usize::max(1, looked_at * KEY_COST);
    for name in expired {
        keys.expire_if_needed(Key::new(&name, call.hasher));
    }
}

/// The bits of a cursor that hold the position in a table.
const POSITION: u64 = (1 << SCAN_BITS) - 1;

/// What a SCAN asks for.
struct Wanted<'a> {
    filter: Filter<'a>,
    /// The only slot in which names can match.
    only: Option<u16>,
    kind: Option<&'static str>,
    only_blessed: bool,
}

impl<'a> Wanted<'a> {
    fn of(call: &Call<'a>) -> Result<Wanted<'a>, CommandError> {
        let filter = Filter::default();
        let mut wanted = Wanted { filter, only: None, kind: None, only_blessed: false };
        let mut options = call.options(2);
        while options.left() > 0 {
            if wanted.filter.take(&mut options)? {
                continue;
            }
            if options.left() < 2 || !options.take_word("TYPE") {
                return Err(unknown_option(&mut options));
            }
            let name = options.value()?;
            let known = TYPES.iter().find(|kind| name.eq_ignore_ascii_case(kind.as_bytes()));
            let known = known.ok_or_else(|| quoting("ERR unknown type name '{}'", &[name]))?;
            wanted.kind = Some(known);
        }
        wanted.only = wanted.filter.pattern.and_then(only_slot);
        Ok(wanted)
    }

    fn matches(&self, entry: &Entry) -> bool {
        self.kind.is_none_or(|kind| entry.type_name() == kind)
            && (!self.only_blessed || entry.is_blessed())
            && self.filter.matches(entry.key())
    }

    /// How many keys may be wanted, of those that are counted here.
    fn of_these(&self, counts: &Counts) -> usize {
        if self.only_blessed { counts.blessed } else { counts.len }
    }

    /// The slot in which the cursor stands, after moving it to where there is something to find;
    /// none at the end.
    fn slot_at(&self, cursor: &mut u64, call: &Call<'_>) -> Option<u16> {
        if let Some(only) = self.only {
            let start = u64::from(call.map.scan_rank(only)) << SCAN_BITS;
            *cursor = (*cursor).max(start);
            return (*cursor >> SCAN_BITS == start >> SCAN_BITS).then_some(only);
        }
        let rank = u16::try_from(*cursor >> SCAN_BITS).ok().filter(|rank| *rank < SLOTS)?;
        call.map.scan_slot(rank)
    }
}

/// The slot of every name that matches the pattern, where a hash tag or the lack of wildcards
/// decides it.
fn only_slot(pattern: &[u8]) -> Option<u16> {
    let is_wild = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    let tag = slot::tag(pattern);
    let has_tag = tag.len() < pattern.len();
    let decided = if has_tag {
        let end = tag.as_ptr() as usize - pattern.as_ptr() as usize + tag.len();
        &pattern[..end]
    } else {
        pattern
    };
    (!decided.iter().any(is_wild)).then(|| slot::of(pattern))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::{Shards, Store, dialogue};

    /// All names that a whole scan gives, and the number of calls.
    fn scan_all(shards: &mut Shards, options: &str) -> (BTreeSet<String>, usize) {
        let (mut names, mut cursor, mut calls) = (BTreeSet::new(), "0".to_owned(), 0);
        loop {
            let reply = shards.reply(&format!("SCAN {cursor} {options}"));
            let text = String::from_utf8(reply).expect("names are text");
            let mut bulks = text.split("\r\n").skip(2).step_by(2);
            cursor = bulks.next().expect("there is a cursor").to_owned();
            let lines: Vec<&str> = text.split("\r\n").collect();
            names.extend(lines[4..].iter().skip(1).step_by(2).map(|name| (*name).to_owned()));
            calls += 1;
            if cursor == "0" {
                return (names, calls);
            }
        }
    }

    #[test]
    fn a_scan_meets_every_key_on_every_shard() {
        let mut shards = Shards::new(3);
        let expected: BTreeSet<String> = (0..2_000).map(|number| format!("key:{number}")).collect();
        expected.iter().for_each(|name| drop(shards.run(&format!("SET {name} x"))));
        for number in 0..500 {
            shards.run(&format!("SET {{tag}}{number} x"));
        }
        for options in ["MATCH key:*", "MATCH key:* COUNT 1", "MATCH key:* COUNT 100000"] {
            assert_eq!(scan_all(&mut shards, options).0, expected, "{options}");
        }
        let (all, calls) = scan_all(&mut shards, "COUNT 100000");
        assert_eq!((all.len(), calls), (2_500, 1));
        let (tagged, calls) = scan_all(&mut shards, "MATCH {tag}* COUNT 1000");
        assert_eq!((tagged.len(), calls), (500, 1));
        assert_eq!(scan_all(&mut shards, "TYPE list COUNT 5000").0.len(), 0);
        assert_eq!(shards.run("KEYS *").lines().count(), 2_500);
        assert_eq!(shards.run("KEYS {tag}1").lines().count(), 1);
    }

    #[test]
    fn a_nearly_empty_database_takes_one_call() {
        let mut shards = Shards::new(4);
        assert_eq!(scan_all(&mut shards, ""), (BTreeSet::new(), 1));
        shards.run("SET a 1");
        shards.run("SET b 1");
        assert_eq!(scan_all(&mut shards, "").1, 1);
        assert_eq!(scan_all(&mut shards, "MATCH a").0.len(), 1);
    }

    #[test]
    fn a_scan_with_wrong_words_is_refused() {
        dialogue(
            &mut Store::new(),
            r#"
            > SCAN abc
            (error) ERR invalid cursor
            > SCAN -1
            (error) ERR invalid cursor
            > SCAN 0 TYPE
            (error) ERR syntax error
            > SCAN 0 TYPE foo COUNT 0
            (error) ERR unknown type name 'foo'
            > SCAN 0 COUNT 0
            (error) ERR syntax error
            > SCAN 0 COUNT x
            (error) ERR value is not an integer or out of range
            > SCAN 0 NOVALUES
            (error) ERR NOVALUES option can only be used in HSCAN
            > SCAN 0 COUNT 1 FOO
            (error) ERR syntax error
            > SCAN 18446744073709551615
            1) "0"
            2) (empty array)
            "#,
        );
    }

    #[test]
    fn keys_that_are_due_are_not_shown_and_are_taken_out() {
        let mut store = Store::new();
        store.run("SET a 1");
        store.run("SET b 1");
        store.run("PEXPIRE a 10");
        store.effects();
        store.tick(10);
        assert_eq!(store.run("KEYS *"), "1) \"b\"");
        assert_eq!(store.run("DBSIZE"), "(integer) 2");
        assert_eq!(store.run("SCAN 0"), "1) \"0\"\n2) 1) \"b\"");
        assert_eq!(store.effects(), "DEL a");
        assert_eq!(store.run("DBSIZE"), "(integer) 1");
        store.run("PEXPIRE b 10");
        store.tick(10);
        assert_eq!(store.run("RANDOMKEY"), "(nil)");
        assert_eq!(store.run("DBSIZE"), "(integer) 0");
    }

    #[test]
    fn random_keys_are_fair_over_shards_and_slots() {
        let mut shards = Shards::new(3);
        assert_eq!(shards.run("RANDOMKEY"), "(nil)");
        (0..20).for_each(|number| drop(shards.run(&format!("SET {{t}}{number} x"))));
        (0..20).for_each(|number| drop(shards.run(&format!("SET k{number} x"))));
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..4_000 {
            *counts.entry(shards.run("RANDOMKEY")).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 40);
        assert!(counts.values().all(|count| (40..180).contains(count)), "{counts:?}");
    }

    #[test]
    fn patterns_that_name_their_slot() {
        assert_eq!(only_slot(b"foo"), Some(12182));
        assert_eq!(only_slot(b"a{foo}*"), Some(12182));
        for open in ["foo*", "*{foo}", "{f*}", "{}*", "a?{foo}", "\\{foo}"] {
            assert_eq!(only_slot(open.as_bytes()), None, "{open}");
        }
    }
}
