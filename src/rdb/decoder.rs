//! A file as it is read: its first word, then records, each begun by a byte, then a checksum.
//!
//! The decoder is given what there is of the file and takes one record from it. A record that is
//! not whole yet leaves everything as it was: the caller comes again with more bytes, so a file
//! need not be in memory, only each of its values. It is begun from its start again then, so the
//! caller brings twice as many bytes each time.
//!
//! Values are read over. [`read_key`] makes the value of a key out of the bytes of its record, when
//! and where somebody needs it.

use std::borrow::Cow;

use crate::base::millis::Millis;
use crate::keyspace::entry::Entry;
use crate::rdb::crc64;
use crate::rdb::dialect::{Dialect, Family, Kind};
use crate::rdb::error::{Fault, RdbError};
use crate::rdb::module;
use crate::rdb::read::{self, Forms, Loaded};
use crate::rdb::skip;
use crate::rdb::source::Source;

pub(super) const REDIS: &[u8] = b"REDIS";
pub(super) const VALKEY: &[u8] = b"VALKEY";

/// Bytes of the first word with its version.
pub(super) const HEAD_LEN: usize = 9;

const UPDATE: u8 = 242;
/// Of Valkey: that slots are being imported. Of Redis: what modules know of the key that follows.
const SLOT_IMPORT_OR_KEY_META: u8 = 243;
const SLOT_INFO: u8 = 244;
pub(super) const FUNCTION: u8 = 245;
pub(super) const FUNCTION_BEFORE_7: u8 = 246;
const MODULE_AUX: u8 = 247;
const IDLE: u8 = 248;
const FREQUENCY: u8 = 249;
pub(super) const AUX: u8 = 250;
pub(super) const SIZES: u8 = 251;
pub(super) const DEADLINE_MS: u8 = 252;
const DEADLINE: u8 = 253;
pub(super) const DATABASE: u8 = 254;
pub(super) const END: u8 = 255;

/// The first version that ends in a checksum.
const CHECKSUM_SINCE: u32 = 5;

/// A key, but for its value.
#[derive(Debug)]
pub struct Key<'a> {
    /// Its name.
    pub name: Cow<'a, [u8]>,
    /// When it expires.
    pub deadline: Option<Millis>,
    /// Seconds since it was last accessed, where that is told.
    pub idle: Option<u64>,
    /// Its logarithmic counter of accesses, where that is told.
    pub frequency: Option<u8>,
    /// It never goes to make room for others.
    pub is_blessed: bool,
    kind: Kind,
}

impl Key<'_> {
    /// The key with its value.
    pub fn with(&self, value: Loaded) -> Entry {
        let mut entry = value.into_entry(&self.name, self.deadline);
        entry.bless(self.is_blessed);
        entry
    }
}

/// What a file says at one place.
#[derive(Debug)]
pub enum Record<'a> {
    /// It begins, in this format.
    Head(Dialect),
    /// A field about the file as a whole, with its name.
    Aux(Cow<'a, [u8]>, Cow<'a, [u8]>),
    /// The keys that follow are of this database.
    Database(u64),
    /// How many keys the database has, and how many of them with deadlines.
    Sizes(u64, u64),
    /// The source of a library of functions.
    Function(Cow<'a, [u8]>),
    /// Data of a module, with what they are about. They were read over.
    Module(String),
    /// About slots of a cluster. It was read over.
    Slots,
    /// A key.
    Key(Key<'a>),
    /// The end; the checksum was right, or there was none.
    End,
}

/// Whether a file opens as an RDB file does, whatever its name.
pub fn opens_file(bytes: &[u8]) -> bool {
    bytes.starts_with(REDIS) || bytes.starts_with(VALKEY)
}

/// True for the first byte of what belongs to a key: a type, or what may stand before it.
fn opens_key(byte: u8) -> bool {
    byte < UPDATE || matches!(byte, IDLE | FREQUENCY | DEADLINE_MS | DEADLINE)
}

/// Reads a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    dialect: Option<Dialect>,
    /// Bytes that were read, and their checksum.
    offset: usize,
    checksum: u64,
    takes_any_checksum: bool,
}

impl Decoder {
    /// One that does not look at the checksum of the file.
    pub fn unchecked() -> Decoder {
        Decoder { takes_any_checksum: true, ..Decoder::default() }
    }

    /// The format of the file, once that is read.
    pub fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// How many bytes of the file were read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Takes the next record out of `bytes`, which are those of the file behind what was read;
    /// `more` others are still to come, or fewer. Returns it with its length, and nothing where it
    /// is not whole yet.
    ///
    /// # Errors
    /// [`RdbError`]; a record that would be longer than the file is one.
    pub fn next<'a>(
        &mut self,
        bytes: &'a [u8],
        more: u64,
    ) -> Result<Option<(Record<'a>, usize)>, RdbError> {
        let mut source = Source::part(bytes, self.offset, more);
        let record = match self.dialect {
            None => head(&mut source).map(Record::Head),
            Some(dialect) => record(&mut source, dialect),
        };
        let record = match record {
            Err(RdbError { fault: Fault::More, .. }) => return Ok(None),
            record => record?,
        };
        let read = bytes.get(..source.used()).unwrap_or(bytes);
        let checksum = match self.takes_any_checksum {
            true => 0,
            false => crc64::update(self.checksum, read),
        };
        match (&record, self.dialect) {
            (Record::Head(dialect), _) => self.dialect = Some(*dialect),
            (Record::End, Some(dialect)) if dialect.version >= CHECKSUM_SINCE => {
                let start = source.place();
                let stored = match source.long() {
                    Err(RdbError { fault: Fault::More, .. }) => return Ok(None),
                    stored => stored? as u64,
                };
                // A server that is told to write no checksum writes zero.
                if stored != 0 && stored != checksum && !self.takes_any_checksum {
                    return Err(Fault::Checksum.at(start));
                }
            }
            _ => {}
        }
        self.checksum = checksum;
        self.offset += source.used();
        Ok(Some((record, source.used())))
    }
}

fn head(source: &mut Source<'_>) -> Result<Dialect, RdbError> {
    let start = source.place();
    let word = source.array::<HEAD_LEN>()?;
    let (family, digits) = match (word.strip_prefix(REDIS), word.strip_prefix(VALKEY)) {
        (Some(digits), _) => (Family::Redis, digits),
        (_, Some(digits)) => (Family::Valkey, digits),
        _ => return Err(Fault::NotRdb.at(start)),
    };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    let version = digits.iter().try_fold(0, |sum, byte| Some(10 * sum + digit(byte)?));
    let version = version.ok_or(Fault::NotRdb.at(start))?;
    Dialect::of(family, version).map_err(|fault| fault.at(start))
}

fn record<'a>(source: &mut Source<'a>, dialect: Dialect) -> Result<Record<'a>, RdbError> {
    let start = source.place();
    if opens_key(source.peek()?) {
        let key = key(source, dialect)?;
        skip::value(source, key.kind)?;
        return Ok(Record::Key(key));
    }
    Ok(match source.byte()? {
        AUX => Record::Aux(source.string()?, source.string()?),
        DATABASE => Record::Database(source.length()?),
        SIZES => Record::Sizes(source.length()?, source.length()?),
        FUNCTION => Record::Function(source.string()?),
        FUNCTION_BEFORE_7 => {
            return Err(Fault::Unsupported("a function of a Redis 7.0 to be").at(start));
        }
        MODULE_AUX => {
            let name = {
                let number = source.length()?;
                // When it was saved: before the keys or behind them.
                source.length()?;
                source.length()?;
                module::skip_value(source)?;
                String::from_utf8_lossy(&module::name(number)).into_owned()
            };
            Record::Module(name)
        }
        SLOT_INFO => {
            for _ in 0..3 {
                source.length()?;
            }
            Record::Slots
        }
        SLOT_IMPORT_OR_KEY_META if dialect.version < 13 => {
            return Err(Fault::UnknownType(SLOT_IMPORT_OR_KEY_META).at(start));
        }
        SLOT_IMPORT_OR_KEY_META if dialect.family == Family::Valkey => {
            source.string()?;
            for _ in 0..source.count(2)? {
                source.length()?;
                source.length()?;
            }
            Record::Slots
        }
        SLOT_IMPORT_OR_KEY_META => {
            for _ in 0..source.count(5)? {
                source.array::<4>()?;
                module::skip_value(source)?;
            }
            Record::Module("data of a key".to_owned())
        }
        END => Record::End,
        byte => return Err(Fault::UnknownType(byte).at(start)),
    })
}

/// Makes the value of a key out of the bytes of its record, which stand at `offset` in the file,
/// and of what is said beside it there.
///
/// # Errors
/// [`RdbError`].
pub fn read_key<'a>(
    bytes: &'a [u8],
    offset: usize,
    dialect: Dialect,
    forms: Forms<'_>,
) -> Result<(Key<'a>, Loaded), RdbError> {
    let mut source = Source::part(bytes, offset, 0);
    let mut key = key(&mut source, dialect)?;
    let mut value = read::value(&mut source, key.kind, forms)?;
    while !source.is_at_end() {
        let start = source.place();
        if source.byte()? != AUX {
            return Err(Fault::Damaged("a value does not end where it should").at(start));
        }
        let (field, said) = (source.string()?, source.string()?);
        let added = key.add(&field, &said, &mut value, forms.hasher);
        added.map_err(|error| error.fault.at(start))?;
    }
    Ok((key, value))
}

/// The name of the key of a record.
pub(super) fn read_name(bytes: &[u8], dialect: Dialect) -> Result<Cow<'_, [u8]>, RdbError> {
    key(&mut Source::new(bytes), dialect).map(|key| key.name)
}

fn key<'a>(source: &mut Source<'a>, dialect: Dialect) -> Result<Key<'a>, RdbError> {
    let (mut deadline, mut idle, mut frequency) = (None, None, None);
    loop {
        let start = source.place();
        match source.byte()? {
            DEADLINE_MS => deadline = Some(Millis(source.long()?)),
            DEADLINE => {
                let seconds = i32::from_le_bytes(source.array()?);
                deadline = Some(Millis::from_secs(seconds.into()));
            }
            IDLE => idle = Some(source.length()?),
            FREQUENCY => frequency = Some(source.byte()?),
            byte => {
                let kind = dialect.kind(byte).map_err(|fault| fault.at(start))?;
                let name = source.element()?;
                return Ok(Key { name, deadline, idle, frequency, is_blessed: false, kind });
            }
        }
    }
}

#[cfg(test)]
mod tests;
