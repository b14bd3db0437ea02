//! Values as they are written: in the forms of version 10, which every server since Redis 7.0
//! reads. A value is written at once, or piece by piece: its count comes first, so it must not
//! change meanwhile.
//!
//! Who asks for a file of Redis 5 or 6 gets lists and streams as those read them. Hashes and sorted
//! sets have such a form as well: that of large ones, so the caller makes none of them small.
//!
//! Two things have no place in these forms. Deadlines of fields make a hash one of Valkey 9.0, or
//! of Redis 7.4 where that is asked for. Deadlines of members of sets and of sorted sets, and
//! entries of a stream that were released by the consumer that had them, have none in any version
//! of today: a file says them [beside](crate::rdb::beside) the value, and a payload is refused.
//! When a consumer was last active is left out: it has a place from version 11 on.

mod stream;

pub(super) use stream::raw_id;

use thiserror::Error;

use crate::data::Collection;
use crate::data::hash::{Hash, Item};
use crate::data::list::List;
use crate::data::set::Set;
use crate::data::stream::{Id, Stream};
use crate::data::table::Place;
use crate::data::value::Value;
use crate::data::zset::Zset;
use crate::keyspace::entry::Entry;
use crate::keyspace::object::Object;
use crate::keyspace::saving::{Point, StreamPoint};
use crate::rdb::dialect::{self, Dialect, Family};
use crate::rdb::listpack;
use crate::rdb::read::NO_DEADLINE;
use crate::rdb::sink::{put_length, put_string};
use crate::rdb::{PACKED_NODE, PLAIN_NODE, beside, legacy};

/// An item of a list that is longer than this has a node that is no listpack, in bytes.
const PACKED_MAX: usize = 1 << 29;

/// The deadline from which Redis counts those of a hash. Its own files say the least one that there
/// is, but that may change between two pieces.
const LEAST_DEADLINE: i64 = 1;

/// What no version has a place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoPlace {
    /// Deadlines of members of a set or of a sorted set.
    #[error("members of a set or a sorted set that have deadlines")]
    TimedMembers,
    /// Pending entries of a stream without a consumer.
    #[error("pending entries of a stream that no consumer has")]
    Released,
}

/// What of a value has no place in any version.
pub fn without_place(entry: &Entry) -> Option<NoPlace> {
    match entry.object().as_deref()? {
        Object::Set(set) if set.is_timed() => Some(NoPlace::TimedMembers),
        Object::Zset(zset) if zset.is_timed() => Some(NoPlace::TimedMembers),
        Object::Stream(stream) => stream::has_released(stream).then_some(NoPlace::Released),
        _ => None,
    }
}

/// Appends the type of a value, its key where one is given, and the value. Returns the first format
/// that has it, but for what has no place.
pub(super) fn typed(
    out: &mut Vec<u8>,
    key: Option<&[u8]>,
    entry: &Entry,
    compresses: bool,
    timed: Dialect,
) -> Dialect {
    let (kind, dialect) = kind_of(entry, timed);
    out.push(kind);
    if let Some(key) = key {
        put_string(out, key, compresses);
    }
    Writer { out, compresses, timed, end: usize::MAX }.go_on(entry, Point::Start);
    dialect
}

/// As [`typed`] with its key, from a point on, until it has about `most` bytes. Returns where to go
/// on; nothing at the end. Strings are not compressed.
pub(super) fn piece(
    out: &mut Vec<u8>,
    entry: &Entry,
    from: Point,
    most: usize,
    timed: Dialect,
) -> Option<Point> {
    if from == Point::Start {
        out.push(kind_of(entry, timed).0);
        put_string(out, entry.key(), false);
    }
    let end = out.len() + most;
    Writer { out, compresses: false, timed, end }.go_on(entry, from)
}

/// The type of a value, and the first format that has it; deadlines of fields stand in `timed`.
fn kind_of(entry: &Entry, timed: Dialect) -> (u8, Dialect) {
    let kind = match entry.object().as_deref() {
        None => dialect::STRING,
        Some(Object::List(_)) if !timed.is_of_redis_7() => dialect::LIST,
        Some(Object::List(_)) => dialect::LIST_OF_NODES,
        Some(Object::Set(Set::Ints(_))) => dialect::SET_OF_INTS,
        Some(Object::Set(_)) => dialect::SET,
        Some(Object::Zset(Zset::Packed(_))) => dialect::ZSET_LISTPACK,
        Some(Object::Zset(_)) => dialect::ZSET,
        Some(Object::Hash(hash)) if hash.is_timed() && timed.is_timed() => {
            let kind = match timed.family {
                Family::Redis => dialect::HASH_OF_REDIS,
                Family::Valkey => dialect::HASH_OF_VALKEY,
            };
            return (kind, timed);
        }
        Some(Object::Hash(Hash::Packed(_))) => dialect::HASH_LISTPACK,
        Some(Object::Hash(_)) => dialect::HASH,
        Some(Object::Stream(_)) if !timed.is_of_redis_7() => dialect::STREAM,
        Some(Object::Stream(_)) => dialect::STREAM_COUNTED,
    };
    (kind, Dialect::COMMON)
}

/// Where the deadlines of a hash's fields stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FieldDeadlines {
    None,
    /// Before each field, by how much it is above the least; 0 where there is none.
    Ahead,
    /// Behind each value, as it is.
    Behind,
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    compresses: bool,
    /// The format of deadlines of fields.
    timed: Dialect,
    /// The piece ends when this much stands in `out`.
    end: usize,
}

impl Writer<'_> {
    /// Whether there is but one piece: then elements need no order.
    fn is_whole(&self) -> bool {
        self.end == usize::MAX
    }

    /// Whether the piece ends here.
    fn is_full(&self) -> bool {
        self.out.len() >= self.end
    }

    fn length(&mut self, length: usize) {
        put_length(self.out, length as u64);
    }

    fn string(&mut self, string: &[u8]) {
        put_string(self.out, string, self.compresses);
    }

    fn value(&mut self, value: Value<'_>) {
        value.with(|value| self.string(value));
    }

    /// Writes a value from a point on. Returns where to go on, if the piece ends before it does.
    fn go_on(&mut self, entry: &Entry, mut from: Point) -> Option<Point> {
        loop {
            from = match entry.string() {
                Some(string) => self.long_string(string, &from)?,
                None => self.object(&*entry.object()?, from)?,
            };
            if self.is_full() {
                return Some(from);
            }
        }
    }

    fn object(&mut self, object: &Object, from: Point) -> Option<Point> {
        match (object, from) {
            (Object::List(list), Point::Start) => self.begin_list(list),
            (Object::List(list), Point::Node(node)) => self.list(list, node),
            (Object::Set(set), Point::Start) => self.begin_set(set),
            (Object::Set(set), Point::Element(place)) => self.set(set, &place),
            (Object::Set(set), Point::Deadline(from)) => self.set_deadlines(set, *from),
            (Object::Zset(zset), Point::Start) => self.begin_zset(zset),
            (Object::Zset(zset), Point::Rank(rank)) => self.zset(zset, rank),
            (Object::Zset(zset), Point::Deadline(from)) => self.zset_deadlines(zset, *from),
            (Object::Hash(hash), Point::Start) => self.begin_hash(hash),
            (Object::Hash(hash), Point::Element(place)) => self.hash(hash, &place),
            (Object::Stream(stream), Point::Start) => self.begin_stream(stream),
            (Object::Stream(value), Point::Stream(from)) => {
                stream::go_on(self, value, from).map(Point::Stream)
            }
            // The value is another one than it was.
            _ => None,
        }
    }

    /// A string of which a piece cannot have all is not compressed.
    fn long_string(&mut self, string: Value<'_>, from: &Point) -> Option<Point> {
        let (Value::Bytes(bytes), false) = (string, self.is_whole()) else {
            self.value(string);
            return None;
        };
        let start = match from {
            Point::Byte(start) => *start,
            _ => {
                self.length(bytes.len());
                0
            }
        };
        let room = self.end.saturating_sub(self.out.len()).max(1);
        let end = bytes.len().min(start + room);
        self.out.extend_from_slice(bytes.get(start..end)?);
        (end < bytes.len()).then_some(Point::Byte(end))
    }

    fn begin_list(&mut self, list: &List) -> Option<Point> {
        match self.timed.is_of_redis_7() {
            true => self.length((0..).map_while(|number| list.pack(number)).count()),
            false => self.length(list.len()),
        }
        Some(Point::Node(0))
    }

    fn list(&mut self, list: &List, from: usize) -> Option<Point> {
        for node in from.. {
            let pack = list.pack(node)?;
            if self.is_full() {
                return Some(Point::Node(node));
            }
            if !self.timed.is_of_redis_7() {
                pack.iter().for_each(|item| self.value(item));
                continue;
            }
            match pack.first().map(|at| pack.get(at)) {
                Some(Value::Bytes(item)) if item.len() > PACKED_MAX && pack.len() == 1 => {
                    put_length(self.out, PLAIN_NODE);
                    self.string(item);
                }
                _ => {
                    put_length(self.out, PACKED_NODE);
                    self.string(&listpack::of_pack(pack));
                }
            }
        }
        None
    }

    fn begin_set(&mut self, set: &Set) -> Option<Point> {
        if let Set::Ints(ints) = set {
            let numbers: Vec<i64> = ints.iter().collect();
            self.string(&legacy::intset_of(&numbers));
            return None;
        }
        self.length(set.len());
        Some(Point::Element(Place::default()))
    }

    fn set(&mut self, set: &Set, from: &Place) -> Option<Point> {
        let mut next = None;
        if self.is_whole() {
            set.iter().for_each(|member| self.value(member));
        } else {
            next = set.walk(from, |member, _| {
                self.value(member);
                !self.is_full()
            });
        }
        let deadlines = || set.is_timed().then(|| Point::Element(Place::default()).into_deadline());
        next.map(Point::Element).or_else(deadlines)
    }

    fn set_deadlines(&mut self, set: &Set, from: Point) -> Option<Point> {
        let Point::Element(from) = from else { return None };
        let mut deadlines = beside::Deadlines::default();
        let next = set.walk(&from, |member, deadline| {
            if let Some(deadline) = deadline {
                member.with(|member| deadlines.add(member, deadline));
            }
            !deadlines.is_full()
        });
        deadlines.write(self.out);
        next.map(|place| Point::Element(place).into_deadline())
    }

    fn begin_zset(&mut self, zset: &Zset) -> Option<Point> {
        if let Zset::Packed(pack) = zset {
            self.string(&listpack::of_pack(pack));
            return None;
        }
        self.length(zset.len());
        Some(Point::Rank(0))
    }

    fn zset(&mut self, zset: &Zset, from: usize) -> Option<Point> {
        let mut rank = from;
        zset.visit(from, usize::MAX, false, &mut |name, score| {
            rank += 1;
            self.string(name);
            self.out.extend(score.to_le_bytes());
            !self.is_full()
        });
        let deadlines = || zset.is_timed().then(|| Point::Rank(0).into_deadline());
        (rank < zset.len()).then_some(Point::Rank(rank)).or_else(deadlines)
    }

    fn zset_deadlines(&mut self, zset: &Zset, from: Point) -> Option<Point> {
        let Point::Rank(from) = from else { return None };
        let (mut deadlines, mut rank) = (beside::Deadlines::default(), from);
        zset.visit(from, usize::MAX, false, &mut |name, _| {
            rank += 1;
            if let Some(deadline) = zset.deadline(name).flatten() {
                deadlines.add(name, deadline);
            }
            !deadlines.is_full()
        });
        deadlines.write(self.out);
        (rank < zset.len()).then(|| Point::Rank(rank).into_deadline())
    }

    fn begin_hash(&mut self, hash: &Hash) -> Option<Point> {
        if let Hash::Packed(pack) = hash {
            self.string(&listpack::of_pack(pack));
            return None;
        }
        if self.deadlines(hash) == FieldDeadlines::Ahead {
            self.out.extend(LEAST_DEADLINE.to_le_bytes());
        }
        self.length(hash.len());
        Some(Point::Element(Place::default()))
    }

    fn hash(&mut self, hash: &Hash, from: &Place) -> Option<Point> {
        let deadlines = self.deadlines(hash);
        if self.is_whole() {
            hash.each(|item| self.field(item, deadlines));
            return None;
        }
        let next = hash.walk(from, |item| {
            self.field(item, deadlines);
            !self.is_full()
        });
        next.map(Point::Element)
    }

    /// Where the deadlines of fields stand. One before 1970 is written as one of then: it has
    /// passed as well.
    fn deadlines(&self, hash: &Hash) -> FieldDeadlines {
        match self.timed.family {
            _ if !hash.is_timed() || !self.timed.is_timed() => FieldDeadlines::None,
            Family::Redis => FieldDeadlines::Ahead,
            Family::Valkey => FieldDeadlines::Behind,
        }
    }

    fn field(&mut self, item: Item<'_>, deadlines: FieldDeadlines) {
        let deadline = item.deadline.map(|deadline| deadline.0);
        if deadlines == FieldDeadlines::Ahead {
            let time = deadline.map_or(0, |time| time.max(LEAST_DEADLINE));
            put_length(self.out, time.unsigned_abs());
        }
        self.value(item.name);
        self.value(item.value);
        if deadlines == FieldDeadlines::Behind {
            self.out.extend(deadline.unwrap_or(NO_DEADLINE).to_le_bytes());
        }
    }

    fn begin_stream(&mut self, stream: &Stream) -> Option<Point> {
        self.length(stream.nodes());
        Some(Point::Stream(StreamPoint::Entries(Id::MIN)))
    }
}

impl Point {
    /// The deadlines of the elements from this point on.
    fn into_deadline(self) -> Point {
        Point::Deadline(Box::new(self))
    }
}
