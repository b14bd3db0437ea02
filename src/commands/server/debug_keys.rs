//! The parts of DEBUG that look at keys, make or spoil them: DIGEST, DIGEST-VALUE, OBJECT,
//! PANIC-LENT, POPULATE and STRINGMATCH-LEN.
//!
//! POPULATE is journaled as it came: it makes only keys that are missing, the same ones each time,
//! and each shard makes its own, so that a replay finds what it found.

use crate::base::glob;
use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arity, Command, Flags, KeySpec, Name, Run};
use crate::commands::error::{CommandError, unknown_subcommand_or_arity};
use crate::commands::generic::object::encoding;
use crate::commands::server::debug::{DEBUG, FLAGS};
use crate::commands::server::digest::Digest;
use crate::data::value::Value;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::{Deadline, Keys};
use crate::keyspace::listener::Event;
use crate::resp::Reply;
use crate::session::Session;

const PART: Command = Command { arity: Arity::AtLeast(1), complexity: "O(1)", ..DEBUG };

/// A digest of all keys of all databases.
pub(super) const DIGEST: Command = Command {
    name: Name("debug|digest"),
    complexity: "O(N) with N keys.",
    summary: "Gives a digest of the whole data set.",
    arity: Arity::Exactly(2),
    run: Run::All(digest),
    ..PART
};

/// Digests of some values.
pub(super) const DIGEST_VALUE: Command = Command {
    name: Name("debug|digest-value"),
    complexity: "O(N) with N keys.",
    summary: "Gives digests of the values of keys.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::rest(2, 1, Access::RO)],
    run: Run::Keys(digest_value),
    ..PART
};

/// How a value is kept.
pub(super) const OBJECT: Command = Command {
    name: Name("debug|object"),
    summary: "Describes how the value of a key is kept.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::one(2, Access::RO)],
    run: Run::Keys(object),
    ..PART
};

/// A command that panics half way, wherever its keys lie.
pub(super) const PANIC_LENT: Command = Command {
    name: Name("debug|panic-lent"),
    complexity: "O(N) with N keys.",
    summary: "Spoils keys and panics while it holds them.",
    arity: Arity::AtLeast(3),
    flags: FLAGS.and(Flags::WRITE),
    keys: &[KeySpec::rest(2, 1, Access::OW)],
    run: Run::Keys(panic_lent),
    ..PART
};

/// Keys by number.
pub(super) const POPULATE: Command = Command {
    name: Name("debug|populate"),
    complexity: "O(N) with N keys.",
    summary: "Makes that many keys with numbers for names, where they are missing.",
    arity: Arity::AtLeast(3),
    flags: FLAGS.and(Flags::WRITE),
    run: Run::All(populate),
    ..PART
};

/// A pattern against a long text.
pub(super) const STRINGMATCH_LEN: Command = Command {
    name: Name("debug|stringmatch-len"),
    complexity: "O(N) with the length N.",
    summary: "Tells whether a pattern matches a text of so many letters a.",
    arity: Arity::Exactly(4),
    run: Run::Session(stringmatch_len),
    ..PART
};

fn digest(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let mut sum = Digest::default();
    for db in keys.databases() {
        keys.in_db(db, |keys| {
            expire_elements(call, keys);
            let entries = keys.tables().flat_map(|table| table.iter());
            let mut there = entries.filter(|entry| !entry.is_expired(keys.now)).peekable();
            if there.peek().is_some() {
                sum.begin_database(db);
            }
            there.for_each(|entry| sum.join(Digest::of_key(entry)));
        });
    }
    reply.simple(&sum.to_string());
    Ok(())
}

/// Takes out every element of the database that has expired.
fn expire_elements(call: &Call<'_>, keys: &mut Keys<'_>) {
    let now = keys.now;
    let entries =
        keys.tables().filter(|table| table.next_deadline() <= now).flat_map(|table| table.iter());
    let timed =
        entries.filter(|entry| !entry.is_expired(now) && entry.next_element_deadline() <= now);
    let names: Vec<Vec<u8>> = timed.map(|entry| entry.key().to_vec()).collect();
    for name in names {
        let key = Key::new(&name, call.hasher);
        keys.expire_if_needed(key);
    }
}

fn digest_value(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.array(call.len() - 2);
    for at in 2..call.len() {
        let digest = keys.look(call.key(at)).map(Digest::of_value).unwrap_or_default();
        reply.simple(&digest.to_string());
    }
    Ok(())
}

/// What a bug may do: the keys are gone, no effect says so, and then it panics.
fn panic_lent(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    _reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    (2..call.len()).for_each(|at| drop(keys.remove(call.key(at), Event::SILENT)));
    panic!("DEBUG PANIC-LENT")
}

fn object(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if call.len() > 4 || (call.len() == 4 && !call.is(3, "fast")) {
        return Err(wrong_words(call));
    }
    let (clock, now) = (keys.tools.clock, keys.now);
    let entry = keys.look(call.key(2)).ok_or(CommandError::NoSuchKey)?;
    let fast = call.len() == 4;
    let size = if fast { String::new() } else { format!(" serializedlength:{}", saved_len(entry)) };
    reply.simple(&format!(
        "Value at:{:p} refcount:1 encoding:{}{size} lru:{} lru_seconds_idle:{}",
        entry,
        encoding(entry),
        entry.access(),
        clock.idle_seconds(entry, now).unwrap_or(0),
    ));
    Ok(())
}

/// Bytes that the value would take in Redis's file format, without compression; of a collection,
/// the bytes that it takes in memory.
fn saved_len(entry: &Entry) -> usize {
    match entry.string() {
        Some(Value::Integer(-128..=127)) => 2,
        Some(Value::Integer(-32_768..=32_767)) => 3,
        Some(Value::Integer(-2_147_483_648..=2_147_483_647)) => 5,
        value => match value.map_or_else(|| entry.memory(), Value::len) {
            len @ 0..64 => 1 + len,
            len @ 64..16_384 => 2 + len,
            len => 5 + len,
        },
    }
}

fn populate(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    if call.len() > 5 {
        return Err(wrong_words(call));
    }
    let count = positive(call.arg(2))?;
    let prefix = if call.len() > 3 { call.arg(3) } else { b"key" };
    let size = if call.len() > 4 { positive(call.arg(4))? } else { 0 };
    if size > call.settings.proto_max_bulk_len {
        return Err(CommandError::NotPositive);
    }
    let mut name = prefix.to_vec();
    name.push(b':');
    let mut value = Vec::new();
    for number in 0..count as i64 {
        name.truncate(prefix.len() + 1);
        integer::write(&mut name, number);
        value.clear();
        value.extend_from_slice(b"value:");
        integer::write(&mut value, number);
        if size > 0 {
            value.resize(size as usize, 0);
        }
        let key = Key::new(&name, call.hasher);
        if keys.look(key).is_none() {
            keys.set_string(key, &value, Deadline::Clear, Event::SILENT);
        }
    }
    reply.ok();
    Ok(())
}

fn stringmatch_len(
    call: &Call<'_>,
    _session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let len = positive(call.arg(2))?;
    if len > call.settings.proto_max_bulk_len {
        return Err(CommandError::NotPositive);
    }
    let text = vec![b'a'; len as usize];
    reply.int(i64::from(glob::matches(call.arg(3), &text, false)));
    Ok(())
}

/// A number that is at most the largest of an `i64`.
fn positive(text: &[u8]) -> Result<u64, CommandError> {
    let number = integer::parse(text).and_then(|number| u64::try_from(number).ok());
    number.ok_or(CommandError::NotPositive)
}

/// What is wrong with too many words, as DEBUG says it.
fn wrong_words(call: &Call<'_>) -> CommandError {
    unknown_subcommand_or_arity(call.arg(0), call.arg(1))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Shards, Store, dialogue};

    #[test]
    fn digests_do_not_depend_on_shards_or_order() {
        let (mut one, mut three) = (Shards::new(1), Shards::new(3));
        assert_eq!(one.run("DEBUG DIGEST"), "0".repeat(40));
        for number in 0..100 {
            one.run(&format!("SET key:{number} {number}"));
            three.run(&format!("SET key:{} {}", 99 - number, 99 - number));
        }
        let digest = one.run("DEBUG DIGEST");
        assert_eq!(digest, three.run("DEBUG DIGEST"));
        three.run("EXPIRE key:5 100");
        assert_ne!(digest, three.run("DEBUG DIGEST"));
        three.run("PERSIST key:5");
        assert_eq!(digest, three.run("DEBUG DIGEST"));
        three.run("COPY key:5 copy");
        let values = three.run("DEBUG DIGEST-VALUE key:5 copy key:6 nothing");
        let values: Vec<&str> = values.lines().map(|line| &line[3..]).collect();
        assert!(values[0] == values[1] && values[1] != values[2], "{values:?}");
        assert_eq!(values[3], "0".repeat(40));
    }

    #[test]
    fn digests_are_those_of_valkey() {
        let mut shards = Shards::new(3);
        // Answered by Valkey 9.1.2.
        shards.run("SET k 1");
        shards.run("SET lk xxxx");
        assert_eq!(shards.run("DEBUG DIGEST"), "01e6cf45739c09e501b6f1a888307e2b372571ce");
        assert_eq!(
            shards.run("DEBUG DIGEST-VALUE lk"),
            "1) caf0bf976af0dbeadc1e851144c3eb52d561e7ea"
        );
    }

    #[test]
    fn keys_are_made_on_their_shards_where_they_are_missing() {
        let mut shards = Shards::new(3);
        shards.run("SET key:7 mine");
        assert_eq!(shards.run("DEBUG POPULATE 1000"), "OK");
        assert_eq!(shards.run("DBSIZE"), "(integer) 1000");
        assert_eq!(shards.run("GET key:7"), "\"mine\"");
        assert_eq!(shards.run("GET key:999"), "\"value:999\"");
        assert_eq!(shards.run("DEBUG POPULATE 2 p 4"), "OK");
        assert_eq!(shards.run("GET p:1"), "\"valu\"");
        assert_eq!(shards.run("DEBUG POPULATE 1 q 9"), "OK");
        assert_eq!(shards.run("GET q:0"), r#""value:0\x00\x00""#);
    }

    #[test]
    fn wrong_words_have_one_error() {
        let mut store = Store::new();
        store.run("SET k 1");
        store.effects();
        dialogue(
            &mut store,
            r#"
            > DEBUG
            (error) ERR wrong number of arguments for 'debug' command
            > DEBUG foo
            (error) ERR unknown subcommand or wrong number of arguments for 'foo'. Try DEBUG HELP.
            > DEBUG object
            (error) ERR unknown subcommand or wrong number of arguments for 'object'. Try DEBUG HELP.
            > DEBUG OBJECT nothing
            (error) ERR no such key
            > DEBUG POPULATE 1 a 1 d
            (error) ERR unknown subcommand or wrong number of arguments for 'POPULATE'. Try DEBUG HELP.
            > DEBUG POPULATE -1
            (error) ERR value is out of range, must be positive
            > DEBUG POPULATE 1 a x
            (error) ERR value is out of range, must be positive
            > DEBUG DIGEST-VALUE
            (empty array)
            > DEBUG STRINGMATCH-LEN 10 a*a
            (integer) 1
            > DEBUG STRINGMATCH-LEN 10 a*b
            (integer) 0
            "#,
        );
        assert_eq!(store.effects(), "");
        let object = store.run("DEBUG OBJECT k");
        assert!(object.contains("refcount:1 encoding:int serializedlength:2 lru:"), "{object}");
    }
}
