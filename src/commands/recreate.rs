//! A value as the commands that make it: what the journal says of a key whose value came from
//! another slot, or from anywhere but its own records.
//!
//! A large one can be recorded in pieces of bounded size. Between two of them expired elements
//! may leave; whatever else changes, it is recorded anew from the start.

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
use crate::data::zset::{Edge, Zset};
use crate::data::{Collection, NEVER};
use crate::keyspace::effect::Effects;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::object::Object;
use crate::keyspace::written::{InStream, Position};

/// Elements that one command adds, as Redis has it in its rewrite of the journal.
const ELEMENTS_A_COMMAND: usize = 64;

/// Bytes of elements after which a piece ends, however few they are.
const BYTES_A_PIECE: usize = 16 * 1024;

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
        Some(entry) => effects.together(|effects| record(effects, db, key.name, entry)),
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
    let mut next = Some(Position::Start);
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
    from: Position,
) -> Option<Position> {
    if !effects.is_listened_to() {
        return None;
    }
    let deadline = entry.deadline().map(|deadline| deadline.to_string());
    if let Some(string) = entry.string() {
        string.with(|bytes| match &deadline {
            None => effects.aside(db, &[b"SET", name, bytes]),
            Some(time) => effects.aside(db, &[b"SET", name, bytes, b"PXAT", time.as_bytes()]),
        });
        return None;
    }
    let object = entry.object()?;
    let mut piece = Piece { effects, db, name, words: Vec::new(), len: 0, bytes: 0 };
    let next = match (&*object, from) {
        (Object::List(list), Position::Node(node)) => piece.list(list, node),
        (Object::Hash(hash), Position::Element(place)) => piece.hash(hash, &place),
        (Object::Set(set), Position::Element(place)) => piece.set(set, &place),
        (Object::Zset(zset), Position::Member(score, member)) => piece.zset(zset, score, &member),
        (Object::Stream(value), Position::Stream(from)) => {
            let next = stream::recreate::record_piece(effects, db, name, value, from);
            next.map(Position::Stream)
        }
        (object, _) => {
            effects.aside(db, &[b"DEL", name]);
            return Some(first(object));
        }
    };
    if let (None, Some(time)) = (&next, &deadline) {
        effects.aside(db, &[b"PEXPIREAT", name, time.as_bytes()]);
    }
    next
}

/// Where the elements of a collection begin.
fn first(object: &Object) -> Position {
    match object {
        Object::List(_) => Position::Node(0),
        Object::Hash(_) | Object::Set(_) => Position::Element(Place::default()),
        Object::Zset(_) => Position::Member(f64::NEG_INFINITY, Box::default()),
        Object::Stream(_) => Position::Stream(InStream::Entries(Id::MIN)),
    }
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
    fn list(&mut self, list: &List, node: usize) -> Option<Position> {
        for item in list.node(node)? {
            self.add(b"RPUSH", [item.to_vec()]);
        }
        self.flush(b"RPUSH");
        list.node(node + 1).is_some().then_some(Position::Node(node + 1))
    }

    fn hash(&mut self, hash: &Hash, place: &Place) -> Option<Position> {
        let mut timed = Vec::new();
        let next = hash.walk(place, |item| {
            timed.extend(item.deadline.map(|deadline| (item.name.to_vec(), deadline)));
            self.add(b"HSET", [item.name.to_vec(), item.value.to_vec()])
        });
        self.flush(b"HSET");
        self.deadlines(b"HPEXPIREAT", b"FIELDS", &timed);
        next.map(Position::Element)
    }

    fn set(&mut self, set: &Set, place: &Place) -> Option<Position> {
        let mut timed = Vec::new();
        let next = set.walk(place, |member, deadline| {
            timed.extend(deadline.map(|deadline| (member.to_vec(), deadline)));
            self.add(b"SADD", [member.to_vec()])
        });
        self.flush(b"SADD");
        self.deadlines(b"SPEXPIREAT", b"MEMBERS", &timed);
        next.map(Position::Element)
    }

    /// In order, so that whoever reads it adds each member at the end.
    fn zset(&mut self, zset: &Zset, score: f64, member: &[u8]) -> Option<Position> {
        let (mut timed, mut next) = (Vec::new(), None);
        let has_deadlines = zset.next_deadline() != NEVER;
        let start = zset.rank(Edge::Before(score, member));
        zset.visit(start, usize::MAX, false, &mut |name, score| {
            if !self.takes() {
                next = Some(Position::Member(score, name.into()));
                return false;
            }
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
