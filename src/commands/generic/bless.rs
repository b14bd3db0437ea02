//! Keys that never go to make room for others: BLESS SET, CLEAR, GET and SCAN (Redis 8.12).
//!
//! What is said of a key here is the key's and not its value's: it stays whatever the key is set
//! to, and ends when the key is deleted or expires. A rename carries it to the new name, a copy
//! and a move take it along; a payload of DUMP does not have it.
//!
//! SCAN goes from slot to slot as that of all keys does, and passes over slots that have no such
//! key.

use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Categories, Command, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::commands::generic::elements::Filter;
use crate::commands::generic::scan;
use crate::commands::walk::{Step, Walk};
use crate::keyspace::entry::Entry;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

/// What the subcommands share.
const PART: Command = Command { group: Group::Generic, since: "8.12.0", ..Command::BASE };

/// What those share that change a key.
const CHANGE: Command = Command {
    arity: Arity::Exactly(4),
    keys: &[KeySpec::one(2, Access::RW.and(Access::UPDATE))],
    flags: Flags::WRITE.and(Flags::FAST),
    categories: Categories::DANGEROUS,
    args: &[Arg::key("key"), NO_EVICT],
    ..PART
};

/// The only flag that a key can have.
const NO_EVICT: Arg = Arg::word("no-evict", "NO-EVICT");

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("bless"),
    complexity: "That of the subcommand.",
    summary: "Keeps keys from being evicted.",
    arity: Arity::AtLeast(2),
    subcommands: &[
        Command {
            name: Name("bless|clear"),
            summary: "Lets a key be evicted again.",
            run: Run::Keys(|call, keys, reply| bless(call, keys, reply, false)),
            ..CHANGE
        },
        Command {
            name: Name("bless|get"),
            summary: "Lists what keeps a key from being evicted.",
            arity: Arity::Exactly(3),
            keys: &[KeySpec::one(2, Access::RO)],
            flags: Flags::READONLY.and(Flags::FAST),
            categories: Categories::KEYSPACE,
            args: &[Arg::key("key")],
            run: Run::Keys(get),
            ..PART
        },
        Command {
            name: Name("bless|scan"),
            complexity: "O(1) for each call, O(N) for all calls together, with N keys in the \
                         slots that have such a key.",
            summary: "Lists the keys that are kept from being evicted piece by piece.",
            arity: Arity::AtLeast(4),
            flags: Flags::READONLY,
            categories: Categories::KEYSPACE,
            args: &[
                Arg::integer("cursor"),
                NO_EVICT,
                Arg::integer("count").token("COUNT").optional(),
            ],
            run: Run::Walk(scan_blessed),
            ..PART
        },
        Command {
            name: Name("bless|set"),
            summary: "Keeps a key from being evicted.",
            flags: CHANGE.flags.and(Flags::DENY_OOM),
            run: Run::Keys(|call, keys, reply| bless(call, keys, reply, true)),
            ..CHANGE
        },
    ],
    ..PART
}];

/// Keys that a call of SCAN looks at where it does not say.
const COUNT: usize = 1_024;

fn bless(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    is_blessed: bool,
) -> Result<(), CommandError> {
    check_flag(call, 3)?;
    let is_new = keys.bless(call.key(2), is_blessed).ok_or(CommandError::NoSuchKey)?;
    reply.int(i64::from(is_new));
    Ok(())
}

fn get(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    keys.untouched = true;
    let is_blessed =
        keys.read(call.key(2)).map(Entry::is_blessed).ok_or(CommandError::NoSuchKey)?;
    reply.array(usize::from(is_blessed));
    if is_blessed {
        reply.bulk(b"NO-EVICT");
    }
    Ok(())
}

fn scan_blessed(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Step, CommandError> {
    let cursor = integer::parse_cursor(call.arg(2)).ok_or(CommandError::InvalidCursor)?;
    check_flag(call, 3)?;
    let mut filter = Filter { count: COUNT, ..Filter::default() };
    let mut options = call.options(4);
    while options.left() > 0 {
        if !filter.take_count(&mut options)? {
            return Err(CommandError::Syntax);
        }
    }
    scan::scan_blessed(call, keys, walk, reply, cursor, filter.count)
}

fn check_flag(call: &Call<'_>, at: usize) -> Result<(), CommandError> {
    if call.is(at, "no-evict") { Ok(()) } else { Err(CommandError::Syntax) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::testing::{Shards, Store, dialogue};

    #[test]
    fn a_key_is_blessed_and_only_a_change_is_journaled() {
        let mut store = Store::new();
        store.run("SET k v");
        store.effects();
        dialogue(
            &mut store,
            r#"
            > BLESS SET k NO-EVICT
            (integer) 1
            > BLESS SET k no-evict
            (integer) 0
            > BLESS GET k
            1) "NO-EVICT"
            > BLESS CLEAR k NO-EVICT
            (integer) 1
            > BLESS CLEAR k NO-EVICT
            (integer) 0
            > BLESS GET k
            (empty array)
            > BLESS SET k NO-SWAP
            (error) ERR syntax error
            > BLESS SET nothing NO-EVICT
            (error) ERR no such key
            > BLESS CLEAR nothing NO-EVICT
            (error) ERR no such key
            > BLESS GET nothing
            (error) ERR no such key
            > BLESS SCAN x NO-EVICT
            (error) ERR invalid cursor
            > BLESS SCAN 0 NO-SWAP
            (error) ERR syntax error
            > BLESS SCAN 0 NO-EVICT COUNT 0
            (error) ERR syntax error
            > BLESS SCAN 0 NO-EVICT MATCH x
            (error) ERR syntax error
            > BLESS SCAN 0 NO-EVICT
            1) "0"
            2) (empty array)
            "#,
        );
        assert_eq!(store.effects(), "BLESS SET k NO-EVICT\nBLESS CLEAR k NO-EVICT");
    }

    /// All names that a whole scan gives, and the number of calls.
    fn scan_all(shards: &mut Shards, count: usize) -> (BTreeSet<String>, usize) {
        let (mut names, mut cursor, mut calls) = (BTreeSet::new(), "0".to_owned(), 0);
        loop {
            let reply = shards.run(&format!("BLESS SCAN {cursor} NO-EVICT COUNT {count}"));
            let mut quoted = reply.lines().filter_map(|line| line.split('"').nth(1));
            cursor = quoted.next().expect("there is a cursor").to_owned();
            names.extend(quoted.map(str::to_owned));
            calls += 1;
            if cursor == "0" {
                return (names, calls);
            }
        }
    }

    #[test]
    fn a_scan_meets_the_blessed_keys_and_passes_over_the_others() {
        for count in [1, 2, 4] {
            let mut shards = Shards::new(count);
            (0..5_000).for_each(|number| drop(shards.run(&format!("SET key:{number} v"))));
            assert_eq!(scan_all(&mut shards, 10), (BTreeSet::new(), 1));
            let names: BTreeSet<String> = (0..500).map(|number| format!("key:{number}")).collect();
            for name in &names {
                assert_eq!(shards.run(&format!("BLESS SET {name} NO-EVICT")), "(integer) 1");
            }
            let (found, calls) = scan_all(&mut shards, 10);
            assert!(found == names && calls > 20, "{} in {calls} calls", found.len());
            assert_eq!(scan_all(&mut shards, 10_000), (names, 1));
            shards.run("FLUSHALL");
            assert_eq!(scan_all(&mut shards, 10), (BTreeSet::new(), 1));
        }
    }

    /// Whatever happens to keys, and however: what is journaled makes the same keys blessed.
    #[test]
    fn what_is_journaled_blesses_the_same_keys_on_any_number_of_shards() {
        let mut random = fastrand::Rng::with_seed(14);
        let (mut first, mut second) = (Shards::new(3), Shards::new(2));
        let mut most = 0;
        for step in 0..4_000 {
            let mut key = || {
                let tag = if random.bool() { "{t}" } else { "" };
                format!("{tag}{}", random.u8(..12))
            };
            let (a, b, c) = (key(), key(), key());
            let number = random.i64(1..40);
            let line = match random.u8(..24) {
                0..4 => format!("BLESS SET {a} NO-EVICT"),
                4 => format!("BLESS CLEAR {a} NO-EVICT"),
                5..7 => format!("SET {a} {number}"),
                7 => format!("SADD {a} {number} x"),
                8 => format!("SUNIONSTORE {a} {b} {c}"),
                9 => format!("ZADD {a} {number} m"),
                10 => format!("PEXPIRE {a} {number}"),
                11..13 => format!("RENAME {a} {b}"),
                13 => format!("RENAMENX {a} {b}"),
                14 => format!("COPY {a} {b} DB {} REPLACE", random.u8(..3)),
                15 => format!("COPY {a} {b} REPLACE"),
                16 => format!("MOVE {a} {}", random.u8(..3)),
                17 => format!("DEL {a}"),
                18 => format!("APPEND {a} text"),
                19 => format!("SORT {a} BY nosort STORE {b}"),
                20 if number < 4 => format!("SWAPDB {} {}", random.u8(..3), random.u8(..3)),
                21 => format!("BITOP OR {a} {b} {c}"),
                22 => format!("SMOVE {a} {b} x"),
                _ => format!("GETDEL {a}"),
            };
            first.session.db = random.u32(..3);
            first.run(&line);
            second.load(&first.records());
            first.now = first.now.saturating_add(random.i64(0..2));
            second.now = first.now;
            if step % 20 == 0 {
                assert_eq!(first.run("DEBUG DIGEST"), second.run("DEBUG DIGEST"), "after {line}");
                most = most.max(scan_all(&mut first, 1_000).0.len());
            }
        }
        assert!(most > 5, "at most {most} keys were blessed");
    }
}
