//! Which type of value a byte stands for: that depends on who wrote it, and with which version.
//!
//! Up to version 11 Redis and Valkey have one format. Later ones of Redis count on from 12, those
//! of Valkey from 80, and both give new types the same bytes. A file says in its first word whose
//! it is, a payload of DUMP by its version alone.
//!
//! ```text
//! version  written by                       new in it
//! 9        Redis 5.0 and 6                  streams; modules from 4.0 on
//! 10       Redis 7.0                        listpacks for hashes, sorted sets, lists; functions
//! 11       Redis 7.2, Valkey 7.2 to 8.1     listpacks for sets; when a consumer was last active
//! 12       Redis 7.4 to 8.4                 deadlines of fields
//! 13 to 15 Redis 8.6 to 8.10                types that cannot be read here, by which they go
//! 80       Valkey 9.0 and 9.1               deadlines of fields
//! 81       Valkey 9.2                       hashes of paths, which cannot be read here
//! ```

use std::fmt;

use crate::rdb::error::Fault;

/// The newest version of all that both families have.
const COMMON_MAX: u32 = 11;

const REDIS_MAX: u32 = 15;
const VALKEY_MIN: u32 = 80;
const VALKEY_MAX: u32 = 81;

/// Whose format it is, from version 12 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Redis, and both up to version 11.
    Redis,
    /// Valkey from 9.0 on.
    Valkey,
}

/// A format by its family and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Whose it is.
    pub family: Family,
    /// Its version.
    pub version: u32,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    List,
    ListOfZiplist,
    ListOfZiplists,
    ListOfNodes,
    Set,
    SetOfInts,
    SetListpack,
    /// Scores as texts.
    ZsetOfTexts,
    /// Scores as doubles.
    Zset,
    ZsetZiplist,
    ZsetListpack,
    Hash,
    HashZipmap,
    HashZiplist,
    HashListpack,
    /// With deadlines, in front of the fields.
    HashOfRedis {
        /// Deadlines are said as their distance from the least of them, which comes first.
        has_least: bool,
    },
    /// With deadlines, behind the values.
    HashListpackOfRedis {
        /// The least deadline comes first.
        has_least: bool,
    },
    /// With deadlines, behind the values.
    HashOfValkey,
    Stream(StreamForm),
    Module,
}

/// What is told of a stream; each form has what those before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StreamForm {
    /// Entries and groups, since Redis 5.0.
    First,
    /// What was added and deleted before, and how far groups have read: since Redis 7.0.
    Counted,
    /// When consumers were active: since Redis 7.2.
    Active,
}

/// The bytes that are written.
pub(super) const STRING: u8 = 0;
pub(super) const LIST: u8 = 1;
pub(super) const SET: u8 = 2;
pub(super) const HASH: u8 = 4;
pub(super) const ZSET: u8 = 5;
pub(super) const SET_OF_INTS: u8 = 11;
pub(super) const STREAM: u8 = 15;
pub(super) const HASH_LISTPACK: u8 = 16;
pub(super) const ZSET_LISTPACK: u8 = 17;
pub(super) const LIST_OF_NODES: u8 = 18;
pub(super) const STREAM_COUNTED: u8 = 19;
pub(super) const HASH_OF_VALKEY: u8 = 22;
pub(super) const HASH_OF_REDIS: u8 = 24;

impl Family {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Family::Redis => "Redis",
            Family::Valkey => "Valkey",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}", self.family.name(), self.version)
    }
}

impl Dialect {
    /// What this server writes, and all that it compares with can read.
    pub const COMMON: Dialect = Dialect { family: Family::Redis, version: 10 };

    /// The first of Valkey that has a place for deadlines of fields.
    pub const TIMED: Dialect = Dialect { family: Family::Valkey, version: VALKEY_MIN };

    /// The first of Redis that has one.
    pub const REDIS_TIMED: Dialect = Dialect { family: Family::Redis, version: COMMON_MAX + 1 };

    /// What Redis 5.0 and 6 write and read.
    pub const BEFORE_LISTPACKS: Dialect = Dialect { family: Family::Redis, version: 9 };

    /// Whether it has a place for deadlines of fields.
    pub fn is_timed(self) -> bool {
        self.version > COMMON_MAX
    }

    /// Whether it has what came with Redis 7.0: functions, listpacks, counts of a stream.
    pub fn is_of_redis_7(self) -> bool {
        self.version >= Dialect::COMMON.version
    }

    /// In which deadlines of fields are written, where `rdb-version` is this one.
    pub fn timed(rdb_version: u32) -> Dialect {
        let is_late = rdb_version > COMMON_MAX;
        if is_late { Dialect::REDIS_TIMED } else { Dialect::TIMED }
    }

    /// The format of a file whose first word is that of `family`.
    ///
    /// # Errors
    /// [`Fault::Version`] when there is no such version.
    pub fn of(family: Family, version: u32) -> Result<Dialect, Fault> {
        let is_known = match family {
            Family::Redis => (1..=REDIS_MAX).contains(&version),
            Family::Valkey => (VALKEY_MIN..=VALKEY_MAX).contains(&version),
        };
        is_known.then_some(Dialect { family, version }).ok_or(Fault::Version(version))
    }

    /// The format of a payload.
    ///
    /// # Errors
    /// [`Fault::Version`] when there is no such version.
    pub fn of_version(version: u32) -> Result<Dialect, Fault> {
        let family = if version < VALKEY_MIN { Family::Redis } else { Family::Valkey };
        Dialect::of(family, version)
    }

    /// How the value behind this byte is written.
    pub(super) fn kind(self, byte: u8) -> Result<Kind, Fault> {
        let is_common = self.version <= COMMON_MAX;
        Ok(match (byte, self.family) {
            (STRING, _) => Kind::String,
            (LIST, _) => Kind::List,
            (SET, _) => Kind::Set,
            (3, _) => Kind::ZsetOfTexts,
            (HASH, _) => Kind::Hash,
            (ZSET, _) => Kind::Zset,
            (6, _) => return Err(Fault::Unsupported("a value of a module before Redis 4.0")),
            (7, _) => Kind::Module,
            (9, _) => Kind::HashZipmap,
            (10, _) => Kind::ListOfZiplist,
            (SET_OF_INTS, _) => Kind::SetOfInts,
            (12, _) => Kind::ZsetZiplist,
            (13, _) => Kind::HashZiplist,
            (14, _) => Kind::ListOfZiplists,
            (STREAM, _) => Kind::Stream(StreamForm::First),
            (HASH_LISTPACK, _) => Kind::HashListpack,
            (ZSET_LISTPACK, _) => Kind::ZsetListpack,
            (LIST_OF_NODES, _) => Kind::ListOfNodes,
            (STREAM_COUNTED, _) => Kind::Stream(StreamForm::Counted),
            (20, _) => Kind::SetListpack,
            (21, _) => Kind::Stream(StreamForm::Active),
            _ if is_common => return Err(Fault::UnknownType(byte)),
            (HASH_OF_VALKEY, Family::Valkey) => Kind::HashOfValkey,
            (23, Family::Valkey) => return Err(Fault::Unsupported("a hash of paths (Valkey 9.2)")),
            (22, Family::Redis) => Kind::HashOfRedis { has_least: false },
            (23, Family::Redis) => Kind::HashListpackOfRedis { has_least: false },
            (HASH_OF_REDIS, Family::Redis) => Kind::HashOfRedis { has_least: true },
            (25, Family::Redis) => Kind::HashListpackOfRedis { has_least: true },
            (26, Family::Redis) => {
                return Err(Fault::Unsupported("a stream with idempotent producers (Redis 8.6)"));
            }
            (27, Family::Redis) => {
                return Err(Fault::Unsupported("a stream with released entries (Redis 8.8)"));
            }
            (28, Family::Redis) => return Err(Fault::Unsupported("an array (Redis 8.8)")),
            (29..=32, Family::Redis) => {
                return Err(Fault::Unsupported("a hash made by a template (Redis 8.10)"));
            }
            _ => return Err(Fault::UnknownType(byte)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_mean_what_their_writer_meant() {
        let kind = |version, byte| Dialect::of_version(version).and_then(|it| it.kind(byte));
        assert_eq!(kind(80, 22), Ok(Kind::HashOfValkey));
        assert_eq!(kind(12, 22), Ok(Kind::HashOfRedis { has_least: false }));
        assert_eq!(kind(11, 22), Err(Fault::UnknownType(22)));
        assert_eq!(kind(81, 24), Err(Fault::UnknownType(24)));
        assert!(matches!(kind(15, 27), Err(Fault::Unsupported(_))));
        for version in [0, 16, 79, 82, 65_535] {
            assert_eq!(Dialect::of_version(version), Err(Fault::Version(version)));
        }
        assert_eq!(Dialect::of(Family::Valkey, 11), Err(Fault::Version(11)));
    }
}
