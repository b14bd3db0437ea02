//! Fields that count: HINCRBY, HINCRBYFLOAT.
//!
//! A deadline stays through both. HINCRBYFLOAT counts in 80-bit floats as INCRBYFLOAT does, and
//! journals its result.

use crate::base::integer;
use crate::base::long_double::LongDouble;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::hash::limits;
use crate::data::hash::Hash;
use crate::data::value::Value;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

const KEY: &[KeySpec] = &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::UPDATE))];
const FLAGS: Flags = Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST);

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("hincrby"),
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Adds a number to the integer in a field; a missing one counts as 0.",
        arity: Arity::Exactly(4),
        keys: KEY,
        element: Some(2),
        flags: FLAGS,
        args: &[Arg::key("key"), Arg::string("field"), Arg::integer("increment")],
        run: Run::Keys(hincrby),
        ..Command::BASE
    },
    Command {
        name: Name("hincrbyfloat"),
        group: Group::Hash,
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Adds a number to the float in a field; a missing one counts as 0.",
        arity: Arity::Exactly(4),
        keys: KEY,
        flags: FLAGS,
        args: &[Arg::key("key"), Arg::string("field"), Arg::double("increment")],
        run: Run::Keys(hincrbyfloat),
        ..Command::BASE
    },
];

fn hincrby(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let by = call.integer(3)?;
    let (key, name) = (call.key(1), call.arg(2));
    let sum = keys.edit_or_new(key, |hash: &mut Hash, _| {
        let old = hash.get(name);
        let number = match old.map(|item| item.value) {
            None => Some(0),
            Some(Value::Integer(number)) => Some(number),
            Some(Value::Bytes(text)) => integer::parse(text),
        };
        let number = number.ok_or(CommandError::Text("ERR hash value is not an integer"))?;
        let sum = number.checked_add(by).ok_or(CommandError::IncrementOverflow)?;
        let deadline = old.and_then(|item| item.deadline);
        let text = itoa::Buffer::new().format(sum).to_owned();
        hash.set(name, text.as_bytes(), deadline, limits(call), call.hasher);
        Ok::<_, CommandError>(sum)
    })??;
    keys.changed_fields(key, Event::HINCRBY, 1, [name]);
    reply.int(sum);
    Ok(())
}

fn hincrbyfloat(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let by = LongDouble::parse(call.arg(3)).ok_or(CommandError::NotAFloat)?;
    if !by.is_finite() {
        return Err(CommandError::Text("ERR value is NaN or Infinity"));
    }
    let (key, name) = (call.key(1), call.arg(2));
    let mut text = Vec::new();
    let deadline = keys.edit_or_new(key, |hash: &mut Hash, _| {
        let old = hash.get(name);
        let number = match old {
            None => Some(LongDouble::ZERO),
            Some(item) => item.value.with(LongDouble::parse),
        };
        let number = number.ok_or(CommandError::Text("ERR hash value is not a float"))?;
        let sum = number.add(by);
        if !sum.is_finite() {
            return Err(CommandError::IncrementNotFinite);
        }
        sum.write(&mut text);
        let deadline = old.and_then(|item| item.deadline);
        hash.set(name, &text, deadline, limits(call), call.hasher);
        Ok(deadline)
    })??;
    keys.changed_fields(key, Event::HINCRBYFLOAT, 1, [name]);
    let effects = &mut keys.tools.effects;
    match deadline {
        None => effects.rewrite(keys.db, &[b"HSET", key.name, name, &text]),
        Some(_) => {
            let words: [&[u8]; 7] = [b"HSETEX", key.name, b"KEEPTTL", b"FIELDS", b"1", name, &text];
            effects.rewrite(keys.db, &words);
        }
    }
    reply.bulk(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn fields_count_and_keep_their_deadline() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > HINCRBY h n 9223372036854775807
            (integer) 9223372036854775807
            > HINCRBY h n 1
            (error) ERR increment or decrement would overflow
            > HINCRBYFLOAT h f 10.5
            "10.5"
            > HPEXPIRE h 100 FIELDS 2 n f
            1) (integer) 1
            2) (integer) 1
            > HINCRBY h n -7
            (integer) 9223372036854775800
            > HINCRBYFLOAT h f 0.1
            "10.6"
            > HPTTL h FIELDS 2 n f
            1) (integer) 100
            2) (integer) 100
            > HINCRBYFLOAT h f nan
            (error) ERR value is not a valid float
            > HINCRBYFLOAT h f inf
            (error) ERR value is NaN or Infinity
            "#,
        );
        store.effects();
        store.tick(100);
        assert_eq!(store.run("HINCRBY h n 2"), "(integer) 2");
        assert_eq!(store.run("HINCRBYFLOAT h f 2"), "\"2\"");
        assert_eq!(store.effects(), "HDEL h n f\nHINCRBY h n 2\nHSET h f 2");
    }

    #[test]
    fn what_cannot_count_leaves_no_key() {
        dialogue(
            &mut Store::new(),
            r#"
            > HINCRBY h n x
            (error) ERR value is not an integer or out of range
            > HINCRBYFLOAT h n 1e5000
            (error) ERR value is not a valid float
            > EXISTS h
            (integer) 0
            > HSET h t text
            (integer) 1
            > HINCRBY h t 1
            (error) ERR hash value is not an integer
            > HINCRBYFLOAT h t 1
            (error) ERR hash value is not a float
            "#,
        );
    }
}
