//! A value as the commands that make it: what the journal says of a key whose value came from
//! another slot, or from anywhere but its own records, and what a base of commands says of every
//! key.
//!
//! A large one can be recorded in pieces of bounded size. It does not change between two of them.

use crate::base::millis::Millis;
use crate::base::{float, slot};
use crate::commands::call::Call;
use crate::commands::positions;
use crate::commands::stream;
use crate::data::hash::Hash;
use crate::data::list::List;
use crate::data::set::Set;
use crate::data::stream::Id;
use crate::data::table::Place;
use crate::data::zset::Zset;
use crate::data::{Collection, NEVER};
use crate::keyspace::effect::Effects;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::object::Object;
use crate::keyspace::saving::{Format, Point, StreamPoint};
use crate::resp::encode;

/// Elements that one command adds, as Redis has it in its rewrite of the journal.
const ELEMENTS_A_COMMAND: usize = 64;

/// Bytes of elements after which a piece ends, however few they are.
const BYTES_A_PIECE: usize = 16 * 1024;

/// Bytes of a string in a piece of it.
const STRING_A_PIECE: usize = 64 * 1024;

/// Records, in the place of the call that runs, what a key holds now: nothing, or a value with its
/// deadline.
pub(crate) fn rewrite(keys: &mut Keys<'_>, key: Key<'_>) {
    let db = keys.db;
    let entry = keys.space.table(db, key.slot).and_then(|table| table.get(key.in_table()));
    let effects = &mut keys.tools.effects;
    match entry {
        None => effects.rewrite(db, &[b"DEL", key.name]),
        Some(entry) if entry.object().is_none() && !entry.is_blessed() => {
            effects.suppress();
            record(effects, db, key.name, entry);
        }
        Some(entry) => effects.together(|effects| record(effects, db, key.name, entry)),
    }
}

/// As [`rewrite`], where a key took the place of another that was blessed.
pub(crate) fn rewrite_replaced(keys: &mut Keys<'_>, key: Key<'_>) {
    let db = keys.db;
    let entry = keys.space.table(db, key.slot).and_then(|table| table.get(key.in_table()));
    keys.tools.effects.together(|effects| {
        effects.aside(db, &[b"DEL", key.name]);
        entry.into_iter().for_each(|entry| record(effects, db, key.name, entry));
    });
}

/// As [`rewrite`], where the keys of the call do not share one slot; else the call is recorded as
/// it came.
pub(crate) fn rewrite_over_slots(call: &Call<'_>, keys: &mut Keys<'_>, destination: Key<'_>) {
    let positions = positions::keys(call.command, call.spans, call.input);
    if positions.iter().any(|at| slot::of(call.arg(*at)) != destination.slot) {
        rewrite(keys, destination);
    }
}

/// Records the commands that give the key `name` what `entry` holds, whatever it held before. A key
/// that was blessed and is so no more has to be deleted first.
pub(crate) fn record(effects: &mut Effects, db: u32, name: &[u8], entry: &Entry) {
    let mut next = Some(Point::Start);
    while let Some(from) = next {
        next = record_piece(effects, db, name, entry, from);
    }
}

/// Records the next of those commands: a string, some elements, or a node. Returns where to go on;
/// nothing at the end.
pub(crate) fn record_piece(
    effects: &mut Effects,
    db: u32,
    name: &[u8],
    entry: &Entry,
    from: Point,
) -> Option<Point> {
    if !effects.is_listened_to() {
        return None;
    }
    let deadline = entry.deadline().map(|deadline| deadline.to_string());
    if let Some(string) = entry.string() {
        string.with(|bytes| match &deadline {
            None => effects.aside(db, &[b"SET", name, bytes]),
            Some(time) => effects.aside(db, &[b"SET", name, bytes, b"PXAT", time.as_bytes()]),
        });
        record_blessed(effects, db, name, entry);
        return None;
    }
    let object = entry.object()?;
    let mut piece = Piece { effects, db, name, words: Vec::new(), len: 0, bytes: 0 };
    let next = match (&*object, from) {
        (Object::List(list), Point::Node(node)) => piece.list(list, node),
        (Object::Hash(hash), Point::Element(place)) => piece.hash(hash, &place),
        (Object::Set(set), Point::Element(place)) => piece.set(set, &place),
        (Object::Zset(zset), Point::Rank(rank)) => piece.zset(zset, rank),
        (Object::Stream(value), Point::Stream(from)) => {
            let next = stream::recreate::record_piece(effects, db, name, value, from);
            next.map(Point::Stream)
        }
        (object, _) => {
            effects.aside(db, &[b"DEL", name]);
            return Some(first(object));
        }
    };
    if next.is_none() {
        if let Some(time) = &deadline {
            effects.aside(db, &[b"PEXPIREAT", name, time.as_bytes()]);
        }
        record_blessed(effects, db, name, entry);
    }
    next
}

/// Records that a key is blessed, where it is.
fn record_blessed(effects: &mut Effects, db: u32, name: &[u8], entry: &Entry) {
    if entry.is_blessed() {
        effects.aside(db, &[b"BLESS", b"SET", name, b"NO-EVICT"]);
    }
}

/// Where the elements of a collection begin.
fn first(object: &Object) -> Point {
    match object {
        Object::List(_) => Point::Node(0),
        Object::Hash(_) | Object::Set(_) => Point::Element(Place::default()),
        Object::Zset(_) => Point::Rank(0),
        Object::Stream(_) => Point::Stream(StreamPoint::Entries(Id::MIN)),
    }
}

/// Keys as the commands that make them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commands;

impl Format for Commands {
    fn database(&self, out: &mut Vec<u8>, db: u32) {
        encode::command(out, &[b"SELECT", itoa::Buffer::new().format(db).as_bytes()]);
    }

    fn key(&self, out: &mut Vec<u8>, entry: &Entry) {
        let mut effects = Effects::default();
        effects.listen(true);
        record(&mut effects, 0, entry.key(), entry);
        out.extend_from_slice(effects.since(0));
    }

    fn piece(&self, out: &mut Vec<u8>, entry: &Entry, from: Point) -> Option<Point> {
        let mut effects = Effects::default();
        effects.listen(true);
        let next = match entry.string() {
            Some(string) => string.with(|bytes| string_piece(&mut effects, entry, bytes, from)),
            None => record_piece(&mut effects, 0, entry.key(), entry, from),
        };
        out.extend_from_slice(effects.since(0));
        next
    }
}

/// A large string: what it begins with, and what is appended.
fn string_piece(effects: &mut Effects, entry: &Entry, bytes: &[u8], from: Point) -> Option<Point> {
    let (command, start): (&[u8], usize) = match from {
        Point::Byte(start) => (b"APPEND", start.min(bytes.len())),
        _ => (b"SET", 0),
    };
    let end = bytes.len().min(start + STRING_A_PIECE);
    effects.aside(0, &[command, entry.key(), &bytes[start..end]]);
    if end < bytes.len() {
        return Some(Point::Byte(end));
    }
    if let Some(deadline) = entry.deadline() {
        effects.aside(0, &[b"PEXPIREAT", entry.key(), deadline.to_string().as_bytes()]);
    }
    record_blessed(effects, 0, entry.key(), entry);
    None
}

/// Elements that are added to a key, several with one command.
struct Piece<'a> {
    effects: &'a mut Effects,
    db: u32,
    name: &'a [u8],
    words: Vec<Vec<u8>>,
    /// Elements, and bytes of them, so far.
    len: usize,
    bytes: usize,
}

impl Piece<'_> {
    fn list(&mut self, list: &List, node: usize) -> Option<Point> {
        for item in list.node(node)? {
            self.add(b"RPUSH", [item.to_vec()]);
        }
        self.flush(b"RPUSH");
        list.node(node + 1).is_some().then_some(Point::Node(node + 1))
    }

    fn hash(&mut self, hash: &Hash, place: &Place) -> Option<Point> {
        let mut timed = Vec::new();
        let next = hash.walk(place, |item| {
            timed.extend(item.deadline.map(|deadline| (item.name.to_vec(), deadline)));
            self.add(b"HSET", [item.name.to_vec(), item.value.to_vec()])
        });
        self.flush(b"HSET");
        self.deadlines(b"HPEXPIREAT", b"FIELDS", &timed);
        next.map(Point::Element)
    }

    fn set(&mut self, set: &Set, place: &Place) -> Option<Point> {
        let mut timed = Vec::new();
        let next = set.walk(place, |member, deadline| {
            timed.extend(deadline.map(|deadline| (member.to_vec(), deadline)));
            self.add(b"SADD", [member.to_vec()])
        });
        self.flush(b"SADD");
        self.deadlines(b"SPEXPIREAT", b"MEMBERS", &timed);
        next.map(Point::Element)
    }

    /// In order, so that whoever reads it adds each member at the end.
    fn zset(&mut self, zset: &Zset, start: usize) -> Option<Point> {
        let (mut timed, mut next, mut rank) = (Vec::new(), None, start);
        let has_deadlines = zset.next_deadline() != NEVER;
        zset.visit(start, usize::MAX, false, &mut |name, score| {
            if !self.takes() {
                next = Some(Point::Rank(rank));
                return false;
            }
            rank += 1;
            let deadline = if has_deadlines { zset.deadline(name).flatten() } else { None };
            timed.extend(deadline.map(|deadline| (name.to_vec(), deadline)));
            self.add(b"ZADD", [float::Text::of(score).as_bytes().to_vec(), name.to_vec()]);
            true
        });
        self.flush(b"ZADD");
        self.deadlines(b"ZPEXPIREAT", b"MEMBERS", &timed);
        next
    }

    /// Whether there is room for one element more.
    fn takes(&self) -> bool {
        self.len < ELEMENTS_A_COMMAND && self.bytes < BYTES_A_PIECE
    }

    /// Adds an element, in `command` with others. Returns whether there is room for one more.
    fn add<const N: usize>(&mut self, command: &[u8], element: [Vec<u8>; N]) -> bool {
        if self.words.len() == N * ELEMENTS_A_COMMAND {
            self.flush(command);
        }
        self.len += 1;
        self.bytes += element.iter().map(Vec::len).sum::<usize>();
        self.words.extend(element);
        self.takes()
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

    fn deadlines(&mut self, command: &[u8], word: &[u8], timed: &[(Vec<u8>, Millis)]) {
        for (element, deadline) in timed {
            let time = deadline.to_string();
            let words: [&[u8]; 6] = [command, self.name, time.as_bytes(), word, b"1", element];
            self.effects.aside(self.db, &words);
        }
    }
}
