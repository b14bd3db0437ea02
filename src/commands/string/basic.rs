//! Strings, read whole: GET, and what reads and changes at once: GETDEL, GETEX, GETSET.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::string::effect::store_and_record;
use crate::commands::string::expiry::{self, Expiry};
use crate::commands::string::reply_value;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::{Deadline, Keys};
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("get"),
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Gives the string value of a key.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::key("key")],
        run: Run::Keys(get),
        ..Command::BASE
    },
    Command {
        name: Name("getdel"),
        group: Group::String,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Gives the string value of a key and deletes the key.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key")],
        run: Run::Keys(getdel),
        ..Command::BASE
    },
    Command {
        name: Name("getex"),
        group: Group::String,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Gives the string value of a key and sets or clears its deadline.",
        arity: Arity::AtLeast(2),
        keys: &[KeySpec {
            notes: "A write, since it may change the deadline.",
            ..KeySpec::one(1, Access::RW.and(Access::READS).and(Access::UPDATE))
        }],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), expiry::OR_PERSIST],
        run: Run::Keys(getex),
        ..Command::BASE
    },
    Command {
        name: Name("getset"),
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Stores a string and gives the value that was there before.",
        arity: Arity::Exactly(3),
        keys: &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST),
        args: &[Arg::key("key"), Arg::string("value")],
        run: Run::Keys(getset),
        ..Command::BASE
    },
];

fn get(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply_value(reply, keys.read_string(call.key(1))?);
    Ok(())
}

fn getdel(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let key = call.key(1);
    reply_value(reply, keys.read_string(key)?);
    if keys.remove(key, Event::DEL).is_some() {
        keys.tools.effects.rewrite(keys.db, &[b"DEL", key.name]);
    }
    Ok(())
}

fn getex(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let mut options = call.options(2);
    let mut expiry = Expiry::or_persist();
    while options.left() > 0 {
        if !expiry.take(&mut options)? {
            return Err(CommandError::Syntax);
        }
    }
    let deadline = expiry.resolve(call)?;
    let key = call.key(1);
    let value = keys.read_string(key)?;
    let is_there = value.is_some();
    reply_value(reply, value);
    match deadline {
        Some(deadline) if is_there => change_deadline(keys, key, deadline),
        _ => {}
    }
    Ok(())
}

/// Gives a key that is there another deadline, and records that.
fn change_deadline(keys: &mut Keys<'_>, key: Key<'_>, deadline: Deadline) {
    match deadline {
        Deadline::Keep => {}
        Deadline::Clear => {
            if keys.look(key).and_then(Entry::deadline).is_some() {
                keys.set_deadline(key, None, Event::PERSIST);
                keys.tools.effects.rewrite(keys.db, &[b"PERSIST", key.name]);
            }
        }
        Deadline::At(time) if keys.is_past(time) => {
            keys.delete_past(key);
            keys.tools.effects.rewrite(keys.db, &[b"DEL", key.name]);
        }
        Deadline::At(time) => {
            keys.set_deadline(key, Some(time), Event::EXPIRE);
            let mut digits = itoa::Buffer::new();
            let time = digits.format(time.0).as_bytes();
            keys.tools.effects.rewrite(keys.db, &[b"PEXPIREAT", key.name, time]);
        }
    }
}

fn getset(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let key = call.key(1);
    reply_value(reply, keys.read_string(key)?);
    store_and_record(keys, key, call.arg(2), Deadline::Clear);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn a_read_can_change_as_well() {
        dialogue(
            &mut Store::new(),
            r#"
            > GETSET k 1
            (nil)
            > GETSET k two
            "1"
            > GETEX k EX 0
            (error) ERR invalid expire time in 'getex' command
            > GETEX nothing PX soon
            (error) ERR value is not an integer or out of range
            > GETEX k KEEPTTL
            (error) ERR syntax error
            > GETEX k PERSIST EX 1
            (error) ERR syntax error
            > GETEX k EX
            (error) ERR syntax error
            > GETEX k
            "two"
            > GETEX k PXAT 1
            "two"
            > GETEX k
            (nil)
            > SET k three
            OK
            > GETDEL k
            "three"
            > GETDEL k
            (nil)
            "#,
        );
    }

    #[test]
    fn getex_moves_the_deadline() {
        let mut store = Store::new();
        store.run("SET k v");
        store.run("GETEX k PX 100");
        store.run("GETEX k PX 200");
        store.tick(100);
        assert_eq!(store.run("GETEX k PERSIST"), "\"v\"");
        store.tick(100);
        assert_eq!(store.run("GETEX k PXAT 1700000000201"), "\"v\"");
        store.tick(1);
        assert_eq!(store.run("GET k"), "(nil)");
    }

    #[test]
    fn records_say_what_changed_and_nothing_else() {
        let mut store = Store::new();
        for (line, record) in [
            ("GETSET k 1", "SET k 1"),
            ("GETEX k EX 5", "PEXPIREAT k 1700000005000"),
            ("GETEX k", ""),
            ("GETEX k PERSIST", "PERSIST k"),
            ("GETEX k PERSIST", ""),
            ("GETEX nothing EX 5", ""),
            ("GETEX k EXAT 1", "DEL k"),
            ("GETDEL k", ""),
            ("SET k v", "SET k v"),
            ("GETDEL k", "DEL k"),
        ] {
            store.run(line);
            assert_eq!(store.effects(), record, "{line}");
        }
    }
}
