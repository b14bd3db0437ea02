//! Values as they are written: in the forms of version 10, which every server since Redis 7.0
//! reads.
//!
//! Two things have no place in them. Deadlines of fields make a hash one of Valkey 9.0. Deadlines
//! of members of sets and of sorted sets, and entries of a stream that were released by the
//! consumer that had them, have none in any version of today, and are refused. When a consumer was
//! last active is left out: it has a place from version 11 on.

mod stream;

use thiserror::Error;

use crate::data::Collection;
use crate::data::hash::Hash;
use crate::data::list::List;
use crate::data::set::Set;
use crate::data::stream::NOBODY;
use crate::data::value::Value;
use crate::data::zset::Zset;
use crate::keyspace::entry::Entry;
use crate::keyspace::object::Object;
use crate::rdb::dialect::{self, Dialect};
use crate::rdb::listpack;
use crate::rdb::read::NO_DEADLINE;
use crate::rdb::sink::{put_length, put_string};
use crate::rdb::{PACKED_NODE, PLAIN_NODE, legacy};

/// An item of a list that is longer than this has a node that is no listpack, in bytes.
const PACKED_MAX: usize = 1 << 29;

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

/// Appends the type of a value, its key where one is given, and the value. Returns the first format
/// that has it.
pub(super) fn typed(
    out: &mut Vec<u8>,
    key: Option<&[u8]>,
    entry: &Entry,
    compresses: bool,
) -> Result<Dialect, NoPlace> {
    let (kind, dialect) = kind_of(entry)?;
    out.push(kind);
    if let Some(key) = key {
        put_string(out, key, compresses);
    }
    Writer { out, compresses }.entry(entry);
    Ok(dialect)
}

/// The type of a value, and the first format that has it.
fn kind_of(entry: &Entry) -> Result<(u8, Dialect), NoPlace> {
    let object = entry.object();
    let kind = match object.as_deref() {
        None => dialect::STRING,
        Some(Object::List(_)) => dialect::LIST_OF_NODES,
        Some(Object::Set(set)) if set.is_timed() => return Err(NoPlace::TimedMembers),
        Some(Object::Set(Set::Ints(_))) => dialect::SET_OF_INTS,
        Some(Object::Set(_)) => dialect::SET,
        Some(Object::Zset(zset)) if zset.is_timed() => return Err(NoPlace::TimedMembers),
        Some(Object::Zset(Zset::Packed(_))) => dialect::ZSET_LISTPACK,
        Some(Object::Zset(_)) => dialect::ZSET,
        Some(Object::Hash(hash)) if hash.is_timed() => {
            return Ok((dialect::HASH_OF_VALKEY, Dialect::TIMED));
        }
        Some(Object::Hash(Hash::Packed(_))) => dialect::HASH_LISTPACK,
        Some(Object::Hash(_)) => dialect::HASH,
        Some(Object::Stream(stream)) => {
            let mut pending = stream.groups().flat_map(|(_, group)| group.pending(..));
            if pending.any(|(_, pending)| pending.owner == NOBODY) {
                return Err(NoPlace::Released);
            }
            dialect::STREAM_COUNTED
        }
    };
    Ok((kind, Dialect::COMMON))
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    compresses: bool,
}

impl Writer<'_> {
    fn length(&mut self, length: usize) {
        put_length(self.out, length as u64);
    }

    fn string(&mut self, string: &[u8]) {
        put_string(self.out, string, self.compresses);
    }

    fn value(&mut self, value: Value<'_>) {
        value.with(|value| self.string(value));
    }

    fn entry(&mut self, entry: &Entry) {
        if let Some(string) = entry.string() {
            return self.value(string);
        }
        match entry.object().as_deref() {
            Some(Object::List(list)) => self.list(list),
            Some(Object::Set(set)) => self.set(set),
            Some(Object::Zset(zset)) => self.zset(zset),
            Some(Object::Hash(hash)) => self.hash(hash),
            Some(Object::Stream(stream)) => stream::write(self, stream),
            None => {}
        }
    }

    fn list(&mut self, list: &List) {
        let packs = || (0..).map_while(|number| list.pack(number));
        self.length(packs().count());
        for pack in packs() {
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
    }

    fn set(&mut self, set: &Set) {
        if let Set::Ints(ints) = set {
            let numbers: Vec<i64> = ints.iter().collect();
            return self.string(&legacy::intset_of(&numbers));
        }
        self.length(set.len());
        set.iter().for_each(|member| self.value(member));
    }

    fn zset(&mut self, zset: &Zset) {
        if let Zset::Packed(pack) = zset {
            return self.string(&listpack::of_pack(pack));
        }
        self.length(zset.len());
        zset.each(|name, score| {
            self.string(name);
            self.out.extend(score.to_le_bytes());
        });
    }

    fn hash(&mut self, hash: &Hash) {
        if let Hash::Packed(pack) = hash {
            return self.string(&listpack::of_pack(pack));
        }
        let is_timed = hash.is_timed();
        self.length(hash.len());
        hash.each(|item| {
            self.value(item.name);
            self.value(item.value);
            if is_timed {
                let deadline = item.deadline.map_or(NO_DEADLINE, |deadline| deadline.0);
                self.out.extend(deadline.to_le_bytes());
            }
        });
    }
}
