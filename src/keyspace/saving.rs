//! What a shard writes of a snapshot: keys in the format of its file, which is not known here, and
//! where a large value stands that is written piece by piece.

use std::fmt;

use crate::data::Collection;
use crate::data::stream::Id;
use crate::data::table::Place;
use crate::keyspace::effect::Purpose;
use crate::keyspace::entry::Entry;
use crate::keyspace::object::Object;

/// Bytes that a value takes at most which is written at once.
const LARGE: usize = 64 * 1024;

/// The moment of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The number of the snapshot: above that of every one before, and not 0.
    pub number: u32,
    /// As what its keys are written.
    pub form: Form,
    /// What the snapshot is for.
    pub purpose: Purpose,
    /// Bytes on their way to the file with which a shard's commands stop that would have more
    /// saved.
    pub copies_max: usize,
}

/// As what keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As RDB.
    Rdb {
        /// Values are compressed where that makes them shorter.
        compresses: bool,
        /// The version of the format in which deadlines of fields are written; they are left out
        /// where it has no place for them.
        version: u32,
    },
    /// As the commands that make them.
    Commands,
}

/// How keys are written.
pub trait Format: fmt::Debug + Send {
    /// The keys that follow are of this database.
    fn database(&self, out: &mut Vec<u8>, db: u32);

    /// Appends a key with all that it holds.
    fn key(&self, out: &mut Vec<u8>, entry: &Entry);

    /// Appends a key with what it holds from a point on, as much as a piece takes. Returns where to
    /// go on; nothing at the end.
    fn piece(&self, out: &mut Vec<u8>, entry: &Entry, from: Point) -> Option<Point>;
}

/// How far a value is written that does not change meanwhile.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Point {
    /// Nothing is.
    #[default]
    Start,
    /// The bytes of a string before this one.
    Byte(usize),
    /// The nodes of a list before this one.
    Node(usize),
    /// The fields of a hash, or the members of a set, before this place.
    Element(Place),
    /// The members of a sorted set before this rank.
    Rank(usize),
    /// All elements, and the deadlines of those before this point.
    Deadline(Box<Point>),
    /// Of a stream this comes next.
    Stream(StreamPoint),
}

/// What of a stream is written next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamPoint {
    /// The entries from this id on.
    Entries(Id),
    /// A group with this name, or the next one.
    Group(Box<[u8]>),
    /// What is pending in a group, from this id on.
    Pending(Box<[u8]>, Id),
    /// The consumers of a group, from this name on.
    Consumers(Box<[u8]>, Box<[u8]>),
    /// What a consumer of a group has, from this id on.
    Owned(Box<[u8]>, Box<[u8]>, Id),
    /// As RDB only: what nobody has any more in a group with this name, or the next one, from this
    /// id on.
    Released(Box<[u8]>, Id),
    /// As commands only: the end of what is only pending in a group with this name, or the next
    /// one, from this id on.
    Gone(Box<[u8]>, Id),
}

/// A part of a large value. The parts of a value have the number of their spool in common.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The number: of no other value of the snapshot.
    pub spool: u64,
    /// What comes behind the parts before.
    pub bytes: Vec<u8>,
    /// The value is whole with it.
    pub is_last: bool,
}

/// What a shard has written of a snapshot since it was asked last.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The number of the snapshot.
    pub number: u32,
    /// Keys that are whole, each run of them behind its database.
    pub records: Vec<u8>,
    /// Parts of large values, each value behind its database.
    pub chunks: Vec<Chunk>,
    /// How many keys are whole with it.
    pub keys: u64,
    /// Slots that are saved now.
    pub slots: u32,
    /// There is a hash whose fields have deadlines.
    pub has_timed_fields: bool,
    /// All keys were taken out meanwhile, by FLUSHALL.
    pub is_outdated: bool,
    /// The shard has given the snapshot up: nothing more comes.
    pub has_failed: bool,
}

impl Pieces {
    /// Bytes of records and parts.
    pub fn len(&self) -> usize {
        self.records.len() + self.chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>()
    }

    /// True when there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        let is_empty = self.records.is_empty() && self.chunks.is_empty() && self.slots == 0;
        is_empty && !self.is_outdated && !self.has_failed
    }
}

/// A snapshot that is being written, as one shard has it.
#[derive(Debug)]
pub struct Saving {
    /// Its number, which is above that of every snapshot before, and not 0.
    pub(crate) number: u32,
    pub(crate) format: Box<dyn Format>,
    /// Values that take more bytes than this are written piece by piece.
    pub(crate) large: usize,
    /// Bytes on their way to the file with which commands stop that would have more saved.
    pub(crate) copies_max: usize,
    pieces: Pieces,
    /// Bytes in `pieces`.
    len: usize,
    /// Bytes that were taken, and those of them that are in the file.
    taken: u64,
    in_file: u64,
    /// The database of the last record.
    db: Option<u32>,
    /// The number of the last spool.
    spool: u64,
}

impl Saving {
    /// Nothing is written yet. No other shard gives spools numbers from `spool` on.
    pub(crate) fn new(
        number: u32,
        format: Box<dyn Format>,
        spool: u64,
        copies_max: usize,
    ) -> Saving {
        let pieces = Pieces { number, ..Pieces::default() };
        Saving {
            number,
            format,
            large: LARGE,
            copies_max,
            pieces,
            len: 0,
            taken: 0,
            in_file: 0,
            db: None,
            spool,
        }
    }

    /// Bytes that were written and not taken.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that were written and are not in the file.
    pub(crate) fn load(&self) -> usize {
        self.len + self.taken.saturating_sub(self.in_file) as usize
    }

    /// So many bytes, in all, are in the file.
    pub(crate) fn note_written(&mut self, bytes: u64) {
        self.in_file = self.in_file.max(bytes);
    }

    /// True when there is nothing to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Takes what was written.
    pub(crate) fn take(&mut self) -> Pieces {
        self.taken += self.len as u64;
        (self.len, self.db) = (0, None);
        let next = Pieces { number: self.number, ..Pieces::default() };
        let mut taken = std::mem::replace(&mut self.pieces, next);
        // Room to grow is not counted, and they may wait for the disk.
        taken.records.shrink_to_fit();
        taken.chunks.iter_mut().for_each(|chunk| chunk.bytes.shrink_to_fit());
        taken
    }

    /// All keys were taken out.
    pub(super) fn outdate(&mut self) {
        self.pieces.is_outdated = true;
    }

    /// The snapshot cannot become whole.
    pub(crate) fn fail(&mut self) {
        self.pieces.has_failed = true;
    }

    /// Whether that is so.
    pub(crate) fn has_failed(&self) -> bool {
        self.pieces.has_failed
    }

    /// Writes a key of a database whole.
    pub(super) fn key(&mut self, db: u32, entry: &Entry) {
        self.note(entry);
        let records = &mut self.pieces.records;
        let before = records.len();
        if self.db != Some(db) {
            self.format.database(records, db);
            self.db = Some(db);
        }
        self.format.key(records, entry);
        self.len += records.len() - before;
        self.pieces.keys += 1;
    }

    /// Writes the next piece of a large value. Returns true when it is whole.
    pub(super) fn piece(&mut self, large: &mut Queued, entry: &Entry) -> bool {
        self.note(entry);
        if large.point == Point::Start {
            self.spool += 1;
            large.spool = self.spool;
        }
        let chunks = &mut self.pieces.chunks;
        if chunks.last().is_none_or(|last| last.spool != large.spool) {
            chunks.push(Chunk { spool: large.spool, bytes: Vec::new(), is_last: false });
        }
        let Some(chunk) = chunks.last_mut() else { return true };
        let before = chunk.bytes.len();
        if large.point == Point::Start {
            self.format.database(&mut chunk.bytes, large.db);
        }
        let next = self.format.piece(&mut chunk.bytes, entry, std::mem::take(&mut large.point));
        self.len += chunk.bytes.len() - before;
        chunk.is_last = next.is_none();
        large.point = next.unwrap_or_default();
        let is_last = chunk.is_last;
        self.pieces.keys += u64::from(is_last);
        is_last
    }

    /// One slot more is saved.
    pub(super) fn count_slot(&mut self) {
        self.pieces.slots += 1;
    }

    fn note(&mut self, entry: &Entry) {
        if let Some(Object::Hash(hash)) = entry.object().as_deref() {
            self.pieces.has_timed_fields |= hash.is_timed();
        }
    }
}

/// A large value on its way.
#[derive(Debug)]
pub(super) struct Queued {
    /// The number that its database had at the moment.
    pub(super) db: u32,
    pub(super) name: Box<[u8]>,
    point: Point,
    /// Where its parts are collected, once there are any.
    spool: u64,
}

impl Queued {
    pub(super) fn new(db: u32, name: &[u8]) -> Queued {
        Queued { db, name: name.into(), point: Point::Start, spool: 0 }
    }
}
