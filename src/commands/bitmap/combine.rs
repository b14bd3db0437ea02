//! Strings combined bit by bit: BITOP.
//!
//! AND, OR, XOR and NOT are everybody's; DIFF, DIFF1, ANDOR and ONE are Redis 8.2's, and no other
//! server could load them from a journal. So what they store is journaled by its value, as it is
//! where the keys lie in several slots.

use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Command, Find, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::commands::string::{is_in_one_slot, with_bytes};
use crate::data::bits::{Combination, Operation};
use crate::keyspace::entry::NewValue;
use crate::keyspace::keys::{Deadline, Keys};
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("bitop"),
    group: Group::Bitmap,
    since: "2.6.0",
    complexity: "O(N) with N the length of all strings together.",
    summary: "Combines strings bit by bit and stores the result.",
    arity: Arity::AtLeast(4),
    keys: &[
        KeySpec::one(2, Access::OW.and(Access::UPDATE)),
        KeySpec {
            find: Find::Range { last: -1, step: 1, limit: 0 },
            ..KeySpec::one(3, Access::RO.and(Access::READS))
        },
    ],
    flags: Flags::WRITE.and(Flags::DENY_OOM),
    args: &[
        Arg::one_of(
            "operation",
            &[
                Arg::word("and", "AND"),
                Arg::word("or", "OR"),
                Arg::word("xor", "XOR"),
                Arg::word("not", "NOT"),
                Arg::word("diff", "DIFF").since("8.2.0"),
                Arg::word("diff1", "DIFF1").since("8.2.0"),
                Arg::word("andor", "ANDOR").since("8.2.0"),
                Arg::word("one", "ONE").since("8.2.0"),
            ],
        ),
        Arg::key("destkey"),
        Arg::key_of("key", 1).multiple(),
    ],
    history: &[("8.2.0", "The operations `DIFF`, `DIFF1`, `ANDOR` and `ONE`.")],
    run: Run::Keys(bitop),
    ..Command::BASE
}];

/// Where the names of the strings that are combined begin.
const SOURCES: usize = 3;

fn bitop(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (operation, is_new) = operation(call)?;
    let mut combination = Combination::new(operation);
    for index in SOURCES..call.len() {
        let value = keys.read_string(call.key(index))?;
        with_bytes(value, |bytes| combination.add(bytes));
    }
    let result = combination.finish();
    let target = call.key(2);
    keys.expire_if_needed(target);
    reply.int(result.len() as i64);
    let by_value = is_new || !is_in_one_slot(call, 2..call.len());
    if !result.is_empty() {
        if by_value {
            keys.tools.effects.rewrite(keys.db, &[b"SET", target.name, &result]);
        }
        keys.set(target, NewValue::Built(result), Deadline::Clear, Event::SET);
    } else if keys.delete(target, Event::DEL) && by_value {
        keys.tools.effects.rewrite(keys.db, &[b"DEL", target.name]);
    }
    Ok(())
}

/// The operation, and whether it is one of Redis 8.2's.
fn operation(call: &Call<'_>) -> Result<(Operation, bool), CommandError> {
    let sources = call.len() - SOURCES;
    let operations: [(&str, Operation, bool); 8] = [
        ("AND", Operation::And, false),
        ("OR", Operation::Or, false),
        ("XOR", Operation::Xor, false),
        ("NOT", Operation::Not, false),
        ("DIFF", Operation::Diff, true),
        ("DIFF1", Operation::Diff1, true),
        ("ANDOR", Operation::AndOr, true),
        ("ONE", Operation::One, true),
    ];
    let asked = operations.into_iter().find(|(word, ..)| call.is(1, word));
    let (_, operation, is_new) = asked.ok_or(CommandError::Syntax)?;
    let too_few = |text| if sources < 2 { Err(CommandError::Text(text)) } else { Ok(()) };
    match operation {
        Operation::Not if sources > 1 => {
            return Err(CommandError::Text(
                "ERR BITOP NOT must be called with a single source key.",
            ));
        }
        Operation::Diff => {
            too_few("ERR BITOP DIFF must be called with at least two source keys.")?;
        }
        Operation::Diff1 => {
            too_few("ERR BITOP DIFF1 must be called with at least two source keys.")?;
        }
        Operation::AndOr => {
            too_few("ERR BITOP ANDOR must be called with at least two source keys.")?;
        }
        _ => {}
    }
    Ok((operation, is_new))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Shards, Store, dialogue};

    #[test]
    fn shorter_strings_count_as_followed_by_zeros() {
        dialogue(
            &mut Store::new(),
            r#"
            > MSET {t}a "\xf0\xff" {t}b "\x3c" {t}c "\x0f\x0f\x0f"
            OK
            > BITOP AND {t}d {t}a {t}b {t}c
            (integer) 3
            > GET {t}d
            "\x00\x00\x00"
            > BITOP or {t}d {t}a {t}b
            (integer) 2
            > GET {t}d
            "\xfc\xff"
            > BITOP XOR {t}d {t}a {t}b {t}c
            (integer) 3
            > GET {t}d
            "\xc3\xf0\x0f"
            > BITOP NOT {t}d {t}d
            (integer) 3
            > GET {t}d
            "<\x0f\xf0"
            > BITOP DIFF {t}d {t}a {t}b
            (integer) 2
            > GET {t}d
            "\xc0\xff"
            > BITOP DIFF1 {t}d {t}a {t}b {t}c
            (integer) 3
            > GET {t}d
            "\x0f\x00\x0f"
            > BITOP ANDOR {t}d {t}a {t}b {t}c
            (integer) 3
            > GET {t}d
            "0\x0f\x00"
            > BITOP ONE {t}d {t}a {t}b {t}c
            (integer) 3
            > GET {t}d
            "\xc3\xf0\x0f"
            > BITOP AND {t}d {t}nothing
            (integer) 0
            > EXISTS {t}d
            (integer) 0
            "#,
        );
    }

    #[test]
    fn the_number_of_strings_fits_the_operation() {
        dialogue(
            &mut Store::new(),
            r#"
            > BITOP NOT d a b
            (error) ERR BITOP NOT must be called with a single source key.
            > BITOP DIFF d a
            (error) ERR BITOP DIFF must be called with at least two source keys.
            > BITOP diff1 d a
            (error) ERR BITOP DIFF1 must be called with at least two source keys.
            > BITOP ANDOR d a
            (error) ERR BITOP ANDOR must be called with at least two source keys.
            > BITOP ONE d a
            (integer) 0
            > BITOP NAND d a
            (error) ERR syntax error
            "#,
        );
    }

    #[test]
    fn over_several_slots_the_effect_is_the_value() {
        let mut store = Store::new();
        for (line, record) in [
            ("SET a x EX 100", "SET a x PXAT 1700000100000"),
            ("BITOP NOT {a}d a", "BITOP NOT {a}d a"),
            ("BITOP OR a a b", "SET a x"),
            ("BITOP DIFF {a}d a {a}b", "SET {a}d x"),
            ("BITOP OR {a}d b", "DEL {a}d"),
            ("BITOP OR {a}d b", ""),
            ("BITOP OR {a}d {a}b", ""),
        ] {
            store.run(line);
            assert_eq!(store.effects(), record, "{line}");
        }
        assert_eq!(store.run("TTL a"), "(integer) -1");
        assert_eq!(store.run("OBJECT ENCODING a"), "\"raw\"");
    }

    #[test]
    fn the_strings_may_lie_on_several_shards() {
        let (mut shards, mut late) = (Shards::new(4), Shards::new(2));
        for line in
            ["SET a abc", "SET b \"ab\\xff\"", "SET e 12", "BITOP XOR f a b e", "BITOP NOT g f"]
        {
            assert!(!shards.run(line).contains("error"));
            late.load(&shards.records());
        }
        let expected = ["\"12\\x9c\"", "\"\\xce\\xcdc\""];
        assert_eq!(["GET f", "GET g"].map(|line| shards.run(line)), expected);
        for shard in &mut late.shards {
            shard.end_replay();
        }
        assert_eq!(["GET f", "GET g"].map(|line| late.run(line)), expected);
    }
}
