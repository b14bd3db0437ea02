//! Keys under other names and in other databases: COPY, MOVE, RENAME, RENAMENX.
//!
//! A journal record has to be replayable where the slots of its keys are. While source and
//! destination share a slot, the command is recorded as it came; over two slots it is recorded by
//! value, as the commands that give both slots what they hold now. MOVE stays in one slot always.
//!
//! The blessing of a key goes with it, and that of a key whose place it takes ends.

use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Categories, Command, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::commands::recreate;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("copy"),
        group: Group::Generic,
        since: "6.2.0",
        complexity: "O(1) for a string, else O(N) with N elements.",
        summary: "Copies the value of a key to another key.",
        arity: Arity::AtLeast(3),
        keys: &[
            KeySpec::one(1, Access::RO.and(Access::READS)),
            KeySpec::one(2, Access::OW.and(Access::UPDATE)),
        ],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        categories: Categories::KEYSPACE,
        args: &[
            Arg::key("source"),
            Arg::key_of("destination", 1),
            Arg::integer("destination-db").token("DB").optional(),
            Arg::word("replace", "REPLACE").optional(),
        ],
        run: Run::Keys(copy),
        ..Command::BASE
    },
    Command {
        name: Name("move"),
        group: Group::Generic,
        since: "1.0.0",
        summary: "Moves a key to another database.",
        arity: Arity::Exactly(3),
        keys: &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::FAST),
        categories: Categories::KEYSPACE,
        args: &[Arg::key("key"), Arg::integer("db")],
        run: Run::Keys(move_key),
        ..Command::BASE
    },
    Command {
        name: Name("rename"),
        group: Group::Generic,
        since: "1.0.0",
        summary: "Gives a key another name, over what has that name.",
        arity: Arity::Exactly(3),
        keys: &[
            KeySpec::one(1, Access::RW.and(Access::READS).and(Access::DELETE)),
            KeySpec::one(2, Access::OW.and(Access::UPDATE)),
        ],
        flags: Flags::WRITE,
        categories: Categories::KEYSPACE,
        args: &[Arg::key("key"), Arg::key_of("newkey", 1)],
        run: Run::Keys(rename),
        ..Command::BASE
    },
    Command {
        name: Name("renamenx"),
        group: Group::Generic,
        since: "1.0.0",
        summary: "Gives a key another name, if that name is free.",
        arity: Arity::Exactly(3),
        keys: &[
            KeySpec::one(1, Access::RW.and(Access::READS).and(Access::DELETE)),
            KeySpec::one(2, Access::OW.and(Access::INSERT)),
        ],
        flags: Flags::WRITE.and(Flags::FAST),
        categories: Categories::KEYSPACE,
        args: &[Arg::key("key"), Arg::key_of("newkey", 1)],
        history: &[("3.2.0", "The same name twice is no error any more.")],
        run: Run::Keys(renamenx),
        ..Command::BASE
    },
];

fn rename(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    rename_over(call, keys, true)?;
    reply.ok();
    Ok(())
}

fn renamenx(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let renamed = rename_over(call, keys, false)?;
    reply.int(i64::from(renamed));
    Ok(())
}

/// Renames unless the name is taken and must not be; tells whether the name changed.
fn rename_over(call: &Call<'_>, keys: &mut Keys<'_>, replaces: bool) -> Result<bool, CommandError> {
    let (from, to) = (call.key(1), call.key(2));
    if keys.look(from).is_none() {
        return Err(CommandError::NoSuchKey);
    }
    if from.name == to.name || (!replaces && keys.look(to).is_some()) {
        return Ok(false);
    }
    let ends_blessing = keys.look(to).is_some_and(Entry::is_blessed);
    let entry = keys.remove(from, Event::SILENT).ok_or(CommandError::NoSuchKey)?.renamed(to.name);
    if from.slot != to.slot {
        let db = keys.db;
        keys.tools.effects.together(|effects| {
            effects.aside(db, &[b"DEL", from.name]);
            if ends_blessing {
                effects.aside(db, &[b"DEL", to.name]);
            }
            recreate::record(effects, db, to.name, &entry);
        });
    }
    let was = keys.put(to, entry);
    keys.touch(from, Event::RENAME_FROM);
    keys.touch(to, Event::RENAME_TO);
    keys.note_overwritten(to, was);
    Ok(true)
}

fn copy(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (from, to) = (call.key(1), call.key(2));
    let (db, replaces) = copy_options(call, keys.db)?;
    if db == keys.db && from.name == to.name {
        return Err(CommandError::SameObject);
    }
    let copied = match keys.read(from).map(|entry| entry.copied(to.name)) {
        Some(entry) => keys.in_db(db, |keys| put_copy(keys, from, to, entry, replaces)),
        None => false,
    };
    reply.int(i64::from(copied));
    Ok(())
}

fn copy_options(call: &Call<'_>, home: u32) -> Result<(u32, bool), CommandError> {
    let (mut db, mut replaces) = (home, false);
    let mut options = call.options(3);
    while options.left() > 0 {
        if options.take_word("REPLACE") {
            replaces = true;
        } else if options.left() > 1 && options.take_word("DB") {
            db = database(call, options.value()?)?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok((db, replaces))
}

/// Puts the copy into its database; tells whether its name was free or is replaced.
fn put_copy(
    keys: &mut Keys<'_>,
    from: Key<'_>,
    to: Key<'_>,
    mut entry: Entry,
    replaces: bool,
) -> bool {
    let there = keys.look(to);
    let ends_blessing = there.is_some_and(Entry::is_blessed);
    if there.is_some() && !replaces {
        keys.tools.discarded.take_entry(entry);
        return false;
    }
    keys.tools.clock.start(&mut entry, keys.now);
    let was = keys.put(to, entry);
    keys.touch(to, Event::COPY_TO);
    keys.note_overwritten(to, was);
    if from.slot != to.slot {
        match ends_blessing {
            true => recreate::rewrite_replaced(keys, to),
            false => recreate::rewrite(keys, to),
        }
    }
    true
}

fn move_key(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let key = call.key(1);
    let db = database(call, call.arg(2))?;
    if db == keys.db {
        return Err(CommandError::SameObject);
    }
    let is_there = keys.look(key).is_some();
    let moves = is_there && keys.in_db(db, |keys| keys.look(key).is_none());
    if let Some(entry) = moves.then(|| keys.remove(key, Event::SILENT)).flatten() {
        keys.in_db(db, |keys| keys.put(key, entry));
        keys.touch(key, Event::MOVE_FROM);
        keys.in_db(db, |keys| keys.touch(key, Event::MOVE_TO));
    }
    reply.int(i64::from(moves));
    Ok(())
}

/// A database by its number.
fn database(call: &Call<'_>, text: &[u8]) -> Result<u32, CommandError> {
    let number = integer::parse(text).ok_or(CommandError::NotAnInteger)?;
    if i32::try_from(number).is_err() {
        return Err(CommandError::Text(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    let number = u32::try_from(number).ok().filter(|db| *db < call.settings.databases);
    number.ok_or(CommandError::DbIndexOutOfRange)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Shards, Store, dialogue};

    #[test]
    fn a_name_changes_with_deadline_and_all() {
        let mut store = Store::new();
        store.run("SET {t}a 1");
        store.run("EXPIRE {t}a 100");
        store.run("SET {t}b x");
        store.effects();
        dialogue(
            &mut store,
            r#"
            > RENAMENX {t}a {t}b
            (integer) 0
            > RENAME {t}a {t}b
            OK
            > GET {t}b
            "1"
            > TTL {t}b
            (integer) 100
            > EXISTS {t}a
            (integer) 0
            > RENAME {t}a {t}c
            (error) ERR no such key
            > RENAME nothing nothing
            (error) ERR no such key
            > RENAME {t}b {t}b
            OK
            > RENAMENX {t}b {t}b
            (integer) 0
            > RENAMENX {t}b {t}d
            (integer) 1
            "#,
        );
        assert_eq!(store.effects(), "RENAME {t}a {t}b\nRENAMENX {t}b {t}d");
    }

    #[test]
    fn over_two_slots_the_effect_is_the_value() {
        let mut store = Store::new();
        store.run("SET a 1");
        store.run("EXPIRE a 100");
        store.effects();
        store.run("RENAME a b");
        assert_eq!(store.effects(), "MULTI\nDEL a\nSET b 1 PXAT 1700000100000\nEXEC");
        store.run("COPY b c");
        assert_eq!(store.effects(), "SET c 1 PXAT 1700000100000");
        store.run("COPY {b}1 {b}2");
        assert_eq!(store.effects(), "");
    }

    #[test]
    fn copies_go_to_other_names_and_databases() {
        let mut store = Store::new();
        store.run("SET k v");
        dialogue(
            &mut store,
            r#"
            > COPY k k
            (error) ERR source and destination objects are the same
            > COPY k k DB 0
            (error) ERR source and destination objects are the same
            > COPY k k DB 1
            (integer) 1
            > COPY k k DB 1
            (integer) 0
            > COPY k k DB 1 REPLACE
            (integer) 1
            > COPY k other
            (integer) 1
            > COPY nothing other REPLACE
            (integer) 0
            > COPY k other DB
            (error) ERR syntax error
            > COPY k other DB x
            (error) ERR value is not an integer or out of range
            > COPY k other DB 99
            (error) ERR DB index is out of range
            > COPY k other DB 99999999999
            (error) ERR value is out of range, value must between -2147483648 and 2147483647
            > GET other
            "v"
            "#,
        );
    }

    #[test]
    fn a_key_moves_where_its_name_is_free() {
        let mut store = Store::new();
        store.run("SET k v");
        store.effects();
        dialogue(
            &mut store,
            r#"
            > MOVE k 0
            (error) ERR source and destination objects are the same
            > MOVE k -1
            (error) ERR DB index is out of range
            > MOVE k 1
            (integer) 1
            > MOVE k 1
            (integer) 0
            "#,
        );
        store.session.db = 1;
        assert_eq!(store.run("GET k"), "\"v\"");
        assert_eq!(store.effects(), "MOVE k 1");
    }

    #[test]
    fn names_change_between_shards() {
        let mut shards = Shards::new(3);
        for number in 0..50 {
            shards.run(&format!("SET a:{number} {number}"));
            assert_eq!(shards.run(&format!("RENAME a:{number} b:{number}")), "OK");
            assert_eq!(shards.run(&format!("COPY b:{number} c:{number}")), "(integer) 1");
            assert_eq!(shards.run(&format!("RENAMENX b:{number} c:{number}")), "(integer) 0");
            assert_eq!(shards.run(&format!("GET c:{number}")), format!("\"{number}\""));
            assert_eq!(
                shards.run(&format!("EXISTS a:{number} b:{number} c:{number}")),
                "(integer) 2"
            );
        }
        assert_eq!(shards.run("DBSIZE"), "(integer) 100");
    }

    #[test]
    fn what_is_journaled_makes_the_same_data_on_any_number_of_shards() {
        let mut random = fastrand::Rng::with_seed(11);
        let (mut first, mut second) = (Shards::new(3), Shards::new(2));
        for step in 0..3_000 {
            let mut key = || {
                let tag = if random.bool() { "{t}" } else { "" };
                format!("{tag}{}", random.u8(..20))
            };
            let (a, b) = (key(), key());
            let number = random.i64(-2..40);
            let line = match random.u8(..20) {
                0..6 => format!("SET {a} {number} PX {}", number.max(1)),
                6 => format!("PEXPIRE {a} {number}"),
                7 => format!("PEXPIREAT {a} {} GT", first.now.0 + number),
                8 => format!("PERSIST {a}"),
                9 | 10 => format!("RENAME {a} {b}"),
                11 => format!("RENAMENX {a} {b}"),
                12 => format!("COPY {a} {b} DB {} REPLACE", random.u8(..3)),
                13 => format!("COPY {a} {b}"),
                14 => format!("MOVE {a} {}", random.u8(..3)),
                15 => format!("DEL {a} {b}"),
                16 if number == 0 => "FLUSHDB".to_owned(),
                17 if number < 4 => format!("SWAPDB {} {}", random.u8(..3), random.u8(..3)),
                18 if number == 1 => "DEBUG POPULATE 15".to_owned(),
                19 => "KEYS x".to_owned(),
                _ => format!("SET {a} {b}"),
            };
            first.session.db = random.u32(..3);
            first.run(&line);
            second.load(&first.records());
            first.now = first.now.saturating_add(random.i64(0..4));
            second.now = first.now;
            if step % 20 == 0 {
                assert_eq!(first.run("DEBUG DIGEST"), second.run("DEBUG DIGEST"), "after {line}");
            }
        }
    }
}
