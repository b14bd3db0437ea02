//! Fields by name: HDEL, HEXISTS, HGET, HLEN, HMGET, HMSET, HSET, HSETNX, HSTRLEN.
//!
//! A field that is set has no deadline from then on, whatever it had.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::hash::limits;
use crate::commands::string::reply_value;
use crate::data::Collection;
use crate::data::hash::Hash;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

const LOOKED_AT: &[KeySpec] = &[KeySpec::one(1, Access::RO)];
const SHOWN: &[KeySpec] = &[KeySpec::one(1, Access::RO.and(Access::READS))];
const CHANGED: &[KeySpec] = &[KeySpec::one(1, Access::RW.and(Access::UPDATE))];

const READ: Flags = Flags::READONLY.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST);

const FIELD: &[Arg] = &[Arg::key("key"), Arg::string("field")];
const PAIRS: &[Arg] = &[
    Arg::key("key"),
    Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
];
const SEVERAL: &[(&str, &str)] = &[("2.4.0", "Several fields.")];

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("hdel"),
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) with N fields named.",
        summary: "Deletes fields; the hash goes with its last one.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
        element: Some(2),
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), Arg::string("field").multiple()],
        history: SEVERAL,
        run: Run::Keys(hdel),
        ..Command::BASE
    },
    Command {
        name: Name("hexists"),
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Tells whether a hash has a field.",
        arity: Arity::Exactly(3),
        keys: LOOKED_AT,
        element: Some(2),
        flags: READ,
        args: FIELD,
        run: Run::Keys(hexists),
        ..Command::BASE
    },
    Command {
        name: Name("hget"),
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Gives the value of a field.",
        arity: Arity::Exactly(3),
        keys: SHOWN,
        element: Some(2),
        flags: READ,
        args: FIELD,
        run: Run::Keys(hget),
        ..Command::BASE
    },
    Command {
        name: Name("hlen"),
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Gives the number of fields.",
        arity: Arity::Exactly(2),
        keys: LOOKED_AT,
        flags: READ,
        args: &[Arg::key("key")],
        run: Run::Keys(hlen),
        ..Command::BASE
    },
    Command {
        name: Name("hmget"),
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) with N fields named.",
        summary: "Gives the values of fields.",
        arity: Arity::AtLeast(3),
        keys: SHOWN,
        flags: READ,
        args: &[Arg::key("key"), Arg::string("field").multiple()],
        run: Run::Keys(hmget),
        ..Command::BASE
    },
    Command {
        name: Name("hmset"),
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) with N fields.",
        summary: "Sets fields to values.",
        arity: Arity::AtLeast(4),
        keys: CHANGED,
        flags: WRITE,
        args: PAIRS,
        deprecated: Some(("4.0.0", "`HSET` with several fields")),
        run: Run::Keys(hmset),
        ..Command::BASE
    },
    Command {
        name: Name("hset"),
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) with N fields.",
        summary: "Sets fields to values and gives the number of new ones.",
        arity: Arity::AtLeast(4),
        keys: CHANGED,
        element: Some(2),
        flags: WRITE,
        args: PAIRS,
        history: &[("4.0.0", "Several fields.")],
        run: Run::Keys(hset),
        ..Command::BASE
    },
    Command {
        name: Name("hsetnx"),
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Sets a field that is not there.",
        arity: Arity::Exactly(4),
        keys: &[KeySpec::one(1, Access::RW.and(Access::INSERT))],
        flags: WRITE,
        args: &[Arg::key("key"), Arg::string("field"), Arg::string("value")],
        run: Run::Keys(hsetnx),
        ..Command::BASE
    },
    Command {
        name: Name("hstrlen"),
        group: Group::Hash,
        since: "3.2.0",
        complexity: "O(1)",
        summary: "Gives the length of the value of a field.",
        arity: Arity::Exactly(3),
        keys: LOOKED_AT,
        flags: READ,
        args: FIELD,
        run: Run::Keys(hstrlen),
        ..Command::BASE
    },
];

fn hdel(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (key, names) = (call.key(1), call.args_from(2));
    let (has_names, mut named) = (keys.names_fields(Event::HDEL), Vec::new());
    let gone = keys.edit_as(key, |hash: &mut Hash, _| {
        let gone = names.filter(|name| hash.remove(name));
        gone.inspect(|name| named.extend(has_names.then_some(*name))).count()
    })?;
    let gone = gone.unwrap_or(0);
    keys.changed_fields(key, Event::HDEL, gone, named);
    reply.int(gone as i64);
    Ok(())
}

fn hexists(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let hash = keys.read_as::<Hash>(call.key(1))?;
    let found = hash.is_some_and(|hash| hash.get(call.arg(2)).is_some());
    reply.int(i64::from(found));
    Ok(())
}

fn hget(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let hash = keys.read_as::<Hash>(call.key(1))?;
    let item = hash.as_ref().and_then(|hash| hash.get(call.arg(2)));
    reply_value(reply, item.map(|item| item.value));
    Ok(())
}

fn hlen(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let hash = keys.read_as::<Hash>(call.key(1))?;
    reply.int(hash.map_or(0, |hash| hash.len()) as i64);
    Ok(())
}

fn hmget(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let names = call.args_from(2);
    let hash = keys.read_as::<Hash>(call.key(1))?;
    reply.array(names.len());
    for name in names {
        let item = hash.as_ref().and_then(|hash| hash.get(name));
        reply_value(reply, item.map(|item| item.value));
    }
    Ok(())
}

fn hmset(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    set(call, keys)?;
    reply.ok();
    Ok(())
}

fn hset(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let added = set(call, keys)?;
    reply.int(added as i64);
    Ok(())
}

/// Sets fields to values; gives the number of new ones.
fn set(call: &Call<'_>, keys: &mut Keys<'_>) -> Result<usize, CommandError> {
    let (key, mut words) = (call.key(1), call.args_from(2));
    if words.len() % 2 == 1 {
        return Err(CommandError::WrongArity(call.command.name.as_str()));
    }
    let (limits, pairs) = (limits(call), words.len() / 2);
    let names = words.clone().step_by(2);
    let added = keys.edit_or_new(key, |hash: &mut Hash, _| {
        if pairs > limits.entries {
            hash.enlarge(call.hasher);
        }
        let mut added = 0;
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            added += usize::from(hash.set(name, value, None, limits, call.hasher));
        }
        added
    })?;
    keys.changed_fields(key, Event::HSET, pairs, names);
    Ok(added)
}

fn hsetnx(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (key, name) = (call.key(1), call.arg(2));
    let is_new = keys.edit_or_new(key, |hash: &mut Hash, _| {
        hash.get(name).is_none() && hash.set(name, call.arg(3), None, limits(call), call.hasher)
    })?;
    keys.changed_fields(key, Event::HSET, usize::from(is_new), [name]);
    reply.int(i64::from(is_new));
    Ok(())
}

fn hstrlen(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let hash = keys.read_as::<Hash>(call.key(1))?;
    let len = hash.and_then(|hash| hash.get(call.arg(2)).map(|item| item.value.len()));
    reply.int(len.unwrap_or(0) as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn fields_are_set_read_and_deleted() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > HSET h a 1 b two a 3
            (integer) 2
            > HMGET h a b c
            1) "3"
            2) "two"
            3) (nil)
            > HSTRLEN h b
            (integer) 3
            > HSETNX h a 9
            (integer) 0
            > HSETNX h c 9
            (integer) 1
            > HLEN h
            (integer) 3
            > HDEL h a a x
            (integer) 1
            > HEXISTS h a
            (integer) 0
            > HDEL h b c
            (integer) 2
            > EXISTS h
            (integer) 0
            "#,
        );
        assert_eq!(store.effects(), "HSET h a 1 b two a 3\nHSETNX h c 9\nHDEL h a a x\nHDEL h b c");
    }

    #[test]
    fn a_hash_is_enlarged_where_valkey_does_it() {
        let mut store = Store::new();
        store.configure("hash-max-listpack-entries", "2");
        store.configure("hash-max-listpack-value", "3");
        for (line, encoding) in [
            ("HSET a a 1 a 2 a 3", "hashtable"),
            ("HSET b a 1 b 2", "listpack"),
            ("HSET b a 123", "listpack"),
            ("HSET b c 1", "hashtable"),
            ("HDEL b c", "hashtable"),
            ("HSET c a 1234", "hashtable"),
            ("HSETNX d abcd 1", "hashtable"),
            ("HINCRBY e a 999", "listpack"),
            ("HINCRBY e a 1", "hashtable"),
            ("HINCRBYFLOAT f a 1.25", "hashtable"),
        ] {
            store.run(line);
            let key = line.split(' ').nth(1).expect("the line has a key");
            let said = store.run(&format!("OBJECT ENCODING {key}"));
            assert_eq!(said, format!("\"{encoding}\""), "{line}");
        }
    }
}
