//! A value as the commands that make it: what the journal says of a key whose value came from
//! another slot, or from anywhere but its own records.

use crate::base::{float, slot};
use crate::commands::call::Call;
use crate::commands::positions;
use crate::commands::stream;
use crate::data::hash::Hash;
use crate::data::value::Value;
use crate::data::zset::Zset;
use crate::keyspace::effect::Effects;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::object::Object;

/// Elements that one command adds, as Redis has it in its rewrite of the journal.
const ELEMENTS_A_COMMAND: usize = 64;

/// Records, in the place of the call that runs, what a key holds now: nothing, or a value with its
/// deadline.
pub(crate) fn rewrite(keys: &mut Keys<'_>, key: Key<'_>) {
    let db = keys.db;
    let entry = keys.space.table(db, key.slot).and_then(|table| table.get(key.in_table()));
    let effects = &mut keys.tools.effects;
    match entry {
        None => effects.rewrite(db, &[b"DEL", key.name]),
        Some(entry) if entry.object().is_none() => {
            effects.suppress();
            record(effects, db, key.name, entry);
        }
        Some(entry) => effects.together(db, |effects| record(effects, db, key.name, entry)),
    }
}

/// As [`rewrite`], where the keys of the call do not share one slot; else the call is recorded as
/// it came.
pub(crate) fn rewrite_over_slots(call: &Call<'_>, keys: &mut Keys<'_>, destination: Key<'_>) {
    let positions = positions::keys(call.command, call.spans, call.input);
    if positions.iter().any(|at| slot::of(call.arg(*at)) != destination.slot) {
        rewrite(keys, destination);
    }
}

/// Records the commands that give the key `name` what `entry` holds, whatever it held before.
pub(crate) fn record(effects: &mut Effects, db: u32, name: &[u8], entry: &Entry) {
    if !effects.is_listened_to() {
        return;
    }
    let deadline = entry.deadline().map(|deadline| deadline.to_string());
    match (entry.string(), entry.object()) {
        (Some(string), _) => string.with(|bytes| match &deadline {
            None => effects.aside(db, &[b"SET", name, bytes]),
            Some(time) => effects.aside(db, &[b"SET", name, bytes, b"PXAT", time.as_bytes()]),
        }),
        (None, Some(object)) => {
            effects.aside(db, &[b"DEL", name]);
            record_object(effects, db, name, &object);
            if let Some(time) = &deadline {
                effects.aside(db, &[b"PEXPIREAT", name, time.as_bytes()]);
            }
        }
        (None, None) => {}
    }
}

fn record_object(effects: &mut Effects, db: u32, name: &[u8], object: &Object) {
    let mut add = Adding { effects, db, name, words: Vec::new() };
    match object {
        Object::List(list) => add.all(b"RPUSH", 1, list.iter()),
        Object::Hash(hash) => add.hash(hash),
        Object::Set(set) => {
            add.all(b"SADD", 1, set.iter());
            for (member, deadline) in set.deadlines() {
                let time = deadline.to_string();
                let words: [&[u8]; 6] =
                    [b"SPEXPIREAT", name, time.as_bytes(), b"MEMBERS", b"1", member];
                add.effects.aside(db, &words);
            }
        }
        Object::Zset(zset) => record_zset(&mut add, zset),
        Object::Stream(value) => stream::recreate::record(effects, db, name, value),
    }
}

fn record_zset(add: &mut Adding<'_>, zset: &Zset) {
    let mut deadlines = Vec::new();
    zset.each(|name, score| {
        add.words.push(float::Text::of(score).as_bytes().to_vec());
        add.words.push(name.to_vec());
        if add.words.len() == 2 * ELEMENTS_A_COMMAND {
            add.flush(b"ZADD");
        }
        deadlines.extend(zset.deadline(name).flatten().map(|due| (name.to_vec(), due)));
    });
    add.flush(b"ZADD");
    for (name, deadline) in deadlines {
        let time = deadline.to_string();
        let words: [&[u8]; 6] = [b"ZPEXPIREAT", add.name, time.as_bytes(), b"MEMBERS", b"1", &name];
        add.effects.aside(add.db, &words);
    }
}

/// Adds elements to a key, several with one command.
struct Adding<'a> {
    effects: &'a mut Effects,
    db: u32,
    name: &'a [u8],
    words: Vec<Vec<u8>>,
}

impl Adding<'_> {
    /// Adds all of `values`, of which each element has `each`.
    fn all<'v>(&mut self, command: &[u8], each: usize, values: impl Iterator<Item = Value<'v>>) {
        for value in values {
            self.words.push(value.to_vec());
            if self.words.len() == ELEMENTS_A_COMMAND * each {
                self.flush(command);
            }
        }
        self.flush(command);
    }

    /// Adds all fields, then the deadlines of those that have one.
    fn hash(&mut self, hash: &Hash) {
        hash.each(|item| {
            self.words.extend([item.name.to_vec(), item.value.to_vec()]);
            if self.words.len() == 2 * ELEMENTS_A_COMMAND {
                self.flush(b"HSET");
            }
        });
        self.flush(b"HSET");
        hash.each(|item| {
            if let Some(deadline) = item.deadline {
                let (time, name) = (deadline.to_string(), item.name.to_vec());
                let words: [&[u8]; 6] =
                    [b"HPEXPIREAT", self.name, time.as_bytes(), b"FIELDS", b"1", &name];
                self.effects.aside(self.db, &words);
            }
        });
    }

    fn flush(&mut self, command: &[u8]) {
        if self.words.is_empty() {
            return;
        }
        let mut words = vec![command, self.name];
        words.extend(self.words.iter().map(Vec::as_slice));
        self.effects.aside(self.db, &words);
        self.words.clear();
    }
}
