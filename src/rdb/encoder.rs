//! A file as it is written, record by record.

use crate::keyspace::entry::Entry;
use crate::rdb::crc64;
use crate::rdb::decoder::{AUX, DATABASE, DEADLINE_MS, END, HEAD_LEN, REDIS, SIZES, VALKEY};
use crate::rdb::dialect::{Dialect, Family};
use crate::rdb::sink::{put_length, put_string};
use crate::rdb::write::{self, NoPlace};

/// Writes a file into a buffer, which whoever writes it to its place may empty at any time with
/// [`Encoder::take`].
#[derive(Debug)]
pub struct Encoder {
    out: Vec<u8>,
    /// Of what was taken.
    checksum: u64,
    compresses: bool,
}

impl Encoder {
    /// A file in this format: no value may need a later one.
    pub fn new(dialect: Dialect, compresses: bool) -> Encoder {
        let (word, digits) = match dialect.family {
            Family::Redis => (REDIS, HEAD_LEN - REDIS.len()),
            Family::Valkey => (VALKEY, HEAD_LEN - VALKEY.len()),
        };
        let mut out = word.to_vec();
        out.extend(format!("{:0digits$}", dialect.version).into_bytes());
        Encoder { out, checksum: 0, compresses }
    }

    /// What was written since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        self.checksum = crc64::update(self.checksum, &self.out);
        std::mem::take(&mut self.out)
    }

    /// Bytes that [`Encoder::take`] would give.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Adds a field about the file as a whole.
    pub fn aux(&mut self, name: &[u8], value: &[u8]) {
        self.out.push(AUX);
        put_string(&mut self.out, name, false);
        put_string(&mut self.out, value, false);
    }

    /// Begins a database with so many keys, so many of them with deadlines.
    pub fn database(&mut self, number: u32, keys: u64, timed: u64) {
        self.out.push(DATABASE);
        put_length(&mut self.out, number.into());
        self.out.push(SIZES);
        put_length(&mut self.out, keys);
        put_length(&mut self.out, timed);
    }

    /// Adds a key with its value and deadline. Returns the first format that has the value.
    ///
    /// # Errors
    /// [`NoPlace`] where there is none; the key is left out then.
    pub fn key(&mut self, entry: &Entry) -> Result<Dialect, NoPlace> {
        let start = self.out.len();
        if let Some(deadline) = entry.deadline() {
            self.out.push(DEADLINE_MS);
            self.out.extend(deadline.0.to_le_bytes());
        }
        let written = write::typed(&mut self.out, Some(entry.key()), entry, self.compresses);
        if written.is_err() {
            self.out.truncate(start);
        }
        written
    }

    /// Ends the file.
    pub fn end(mut self) -> Vec<u8> {
        self.out.push(END);
        let checksum = crc64::update(self.checksum, &self.out);
        self.out.extend(checksum.to_le_bytes());
        self.out
    }
}
