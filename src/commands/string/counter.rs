//! Strings that count: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.
//!
//! A deadline stays through all of them. INCRBYFLOAT counts in 80-bit floats as Redis does on most
//! machines, and journals its result, so that a replay does not depend on rounding.

use crate::base::long_double::LongDouble;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::data::value::Value;
use crate::keyspace::entry::NewValue;
use crate::keyspace::keys::{Deadline, Keys};
use crate::keyspace::listener::Event;
use crate::resp::Reply;

const KEY: &[KeySpec] = &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::UPDATE))];

const FLAGS: Flags = Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST);

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("decr"),
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Takes one off the integer at a key; a missing key counts as 0.",
        arity: Arity::Exactly(2),
        keys: KEY,
        flags: FLAGS,
        args: &[Arg::key("key")],
        run: Run::Keys(decr),
        ..Command::BASE
    },
    Command {
        name: Name("decrby"),
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Takes a number off the integer at a key; a missing key counts as 0.",
        arity: Arity::Exactly(3),
        keys: KEY,
        flags: FLAGS,
        args: &[Arg::key("key"), Arg::integer("decrement")],
        run: Run::Keys(decrby),
        ..Command::BASE
    },
    Command {
        name: Name("incr"),
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Adds one to the integer at a key; a missing key counts as 0.",
        arity: Arity::Exactly(2),
        keys: KEY,
        flags: FLAGS,
        args: &[Arg::key("key")],
        run: Run::Keys(incr),
        ..Command::BASE
    },
    Command {
        name: Name("incrby"),
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Adds a number to the integer at a key; a missing key counts as 0.",
        arity: Arity::Exactly(3),
        keys: KEY,
        flags: FLAGS,
        args: &[Arg::key("key"), Arg::integer("increment")],
        run: Run::Keys(incrby),
        ..Command::BASE
    },
    Command {
        name: Name("incrbyfloat"),
        group: Group::String,
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Adds a number to the float at a key; a missing key counts as 0.",
        arity: Arity::Exactly(3),
        keys: KEY,
        flags: FLAGS,
        args: &[Arg::key("key"), Arg::double("increment")],
        run: Run::Keys(incrbyfloat),
        ..Command::BASE
    },
];

fn decr(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    add(call, keys, reply, -1)
}

fn decrby(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let by = call.integer(2)?.checked_neg().ok_or(CommandError::DecrementOverflow)?;
    add(call, keys, reply, by)
}

fn incr(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    add(call, keys, reply, 1)
}

fn incrby(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    add(call, keys, reply, call.integer(2)?)
}

fn add(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    by: i64,
) -> Result<(), CommandError> {
    reply.int(keys.add_integer(call.key(1), by, Event::INCRBY)?);
    Ok(())
}

fn incrbyfloat(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let key = call.key(1);
    let old = match keys.look_string(key)? {
        Some(Value::Integer(number)) => {
            LongDouble::parse(itoa::Buffer::new().format(number).as_bytes())
        }
        Some(Value::Bytes(text)) => LongDouble::parse(text),
        None => Some(LongDouble::ZERO),
    };
    let by = LongDouble::parse(call.arg(2));
    let (Some(old), Some(by)) = (old, by) else { return Err(CommandError::NotAFloat) };
    let sum = old.add(by);
    if !sum.is_finite() {
        return Err(CommandError::IncrementNotFinite);
    }
    let mut text = Vec::new();
    sum.write(&mut text);
    keys.set_sum(key, NewValue::Bytes(&text), Deadline::Keep, Event::INCRBYFLOAT);
    keys.tools.effects.rewrite(keys.db, &[b"SET", key.name, &text, b"KEEPTTL"]);
    reply.bulk(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn integers_count_to_the_ends_of_their_range() {
        dialogue(
            &mut Store::new(),
            r#"
            > INCR n
            (integer) 1
            > DECRBY n 11
            (integer) -10
            > GET n
            "-10"
            > SET n 9223372036854775807
            OK
            > INCR n
            (error) ERR increment or decrement would overflow
            > DECR n
            (integer) 9223372036854775806
            > SET n -9223372036854775808
            OK
            > DECR n
            (error) ERR increment or decrement would overflow
            > DECRBY n -9223372036854775808
            (error) ERR decrement would overflow
            > INCRBY n 1.0
            (error) ERR value is not an integer or out of range
            > SET text 012
            OK
            > INCR text
            (error) ERR value is not an integer or out of range
            > SET text 12
            OK
            > APPEND text 3
            (integer) 3
            > INCR text
            (integer) 124
            "#,
        );
    }

    #[test]
    fn floats_count_in_long_doubles() {
        dialogue(
            &mut Store::new(),
            r#"
            > INCRBYFLOAT f 10.5
            "10.5"
            > INCRBYFLOAT f 0.1
            "10.6"
            > INCRBYFLOAT f -10.6e0
            "0"
            > INCRBYFLOAT f 5
            "5"
            > INCR f
            (integer) 6
            > INCRBYFLOAT f inf
            (error) ERR increment would produce NaN or Infinity
            > INCRBYFLOAT f nan
            (error) ERR value is not a valid float
            > SET f abc
            OK
            > INCRBYFLOAT f 1
            (error) ERR value is not a valid float
            "#,
        );
    }

    #[test]
    fn the_deadline_stays() {
        let mut store = Store::new();
        store.run("SET n 1 PX 100");
        store.run("INCRBY n 2");
        store.run("INCRBYFLOAT n 0.5");
        assert_eq!(store.effects(), "SET n 1 PXAT 1700000000100\nINCRBY n 2\nSET n 3.5 KEEPTTL");
        store.tick(100);
        assert_eq!(store.run("INCR n"), "(integer) 1");
        assert_eq!(store.effects(), "DEL n\nINCR n");
    }
}
