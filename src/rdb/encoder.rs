//! A file as it is written: its head, what it says of itself, its keys, its end. What stands where
//! is for whoever writes the file.

use crate::keyspace::entry::Entry;
use crate::keyspace::saving::{Format, Point};
use crate::rdb::beside;
use crate::rdb::crc64;
use crate::rdb::decoder::{
    AUX, DATABASE, DEADLINE_MS, END, FUNCTION, HEAD_LEN, REDIS, SIZES, VALKEY,
};
use crate::rdb::dialect::{Dialect, Family};
use crate::rdb::sink::{put_length, put_string};
use crate::rdb::write;

/// Bytes after which a piece of a large value ends.
const PIECE: usize = 64 * 1024;

/// The head of a file in this format: as long as that of every other one.
pub fn head(dialect: Dialect) -> [u8; HEAD_LEN] {
    let (word, digits) = match dialect.family {
        Family::Redis => (REDIS, HEAD_LEN - REDIS.len()),
        Family::Valkey => (VALKEY, HEAD_LEN - VALKEY.len()),
    };
    let version = format!("{:0digits$}", dialect.version);
    let mut head = [0; HEAD_LEN];
    let bytes = word.iter().copied().chain(version.into_bytes());
    head.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    head
}

/// Appends an auxiliary field.
pub fn put_aux(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(AUX);
    put_string(out, name, false);
    put_string(out, value, false);
}

/// Appends the source of a library of functions.
pub fn put_function(out: &mut Vec<u8>, source: &[u8]) {
    out.push(FUNCTION);
    put_string(out, source, false);
}

/// Appends how many keys a database has, and how many of them have deadlines.
pub fn put_sizes(out: &mut Vec<u8>, db: u32, keys: u64, timed: u64) {
    put_database(out, db);
    out.push(SIZES);
    put_length(out, keys);
    put_length(out, timed);
}

fn put_database(out: &mut Vec<u8>, db: u32) {
    out.push(DATABASE);
    put_length(out, db.into());
}

/// Appends the mark of the end. Behind it stands the checksum of all before, or zero.
pub fn put_end(out: &mut Vec<u8>) {
    out.push(END);
}

/// The checksum of a file so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum(u64);

impl Checksum {
    /// These bytes come next.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0 = crc64::update(self.0, bytes);
    }

    /// As it stands in the file.
    pub fn bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

/// Keys as they stand in a file.
#[derive(Clone, Copy, Debug)]
pub struct Records {
    /// Strings are compressed where that makes them shorter, but for those of large values.
    pub compresses: bool,
    /// The format of deadlines of fields, or that of all, where it is older than Redis 7.
    pub timed: Dialect,
    /// Bytes after which a piece of a large value ends.
    pub piece: usize,
}

impl Records {
    /// With pieces that are written in well under a millisecond.
    pub fn new(compresses: bool, timed: Dialect) -> Records {
        Records { compresses, timed, piece: PIECE }
    }
}

impl Format for Records {
    fn database(&self, out: &mut Vec<u8>, db: u32) {
        put_database(out, db);
    }

    fn key(&self, out: &mut Vec<u8>, entry: &Entry) {
        put_deadline(out, entry);
        write::typed(out, Some(entry.key()), entry, self.compresses, self.timed);
        put_blessed(out, entry);
    }

    fn piece(&self, out: &mut Vec<u8>, entry: &Entry, from: Point) -> Option<Point> {
        if from == Point::Start {
            put_deadline(out, entry);
        }
        let next = write::piece(out, entry, from, self.piece, self.timed);
        if next.is_none() {
            put_blessed(out, entry);
        }
        next
    }
}

fn put_blessed(out: &mut Vec<u8>, entry: &Entry) {
    if entry.is_blessed() {
        beside::put_blessed(out);
    }
}

fn put_deadline(out: &mut Vec<u8>, entry: &Entry) {
    if let Some(deadline) = entry.deadline() {
        out.push(DEADLINE_MS);
        out.extend(deadline.0.to_le_bytes());
    }
}

#[cfg(test)]
mod tests;
