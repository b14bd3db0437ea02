//! Values as they are read: one out of the bytes behind its type.
//!
//! What is wrong in any way is an error, also where a server would take it: a member twice, a count
//! that does not hold, what stands in no order. So nothing that was read can surprise a command.

mod collections;
mod hash;
mod stream;

pub(super) use hash::NO_DEADLINE;
pub(super) use stream::{SAME_NAMES, UNKNOWN_READ};

use crate::base::hash::Hasher;
use crate::base::integer;
use crate::base::millis::Millis;
use crate::data::{hash as hashes, list, set, zset};
use crate::keyspace::entry::{Entry, INLINE_MAX, NewValue};
use crate::keyspace::object::Object;
use crate::rdb::dialect::{Dialect, Kind};
use crate::rdb::error::{Fault, RdbError};
use crate::rdb::module;
use crate::rdb::source::Source;
use crate::settings::Settings;

/// The forms that collections are given, by the settings in force.
#[derive(Clone, Copy, Debug)]
pub struct Forms<'a> {
    /// Of lists.
    pub list: list::Limits,
    /// Of sets.
    pub set: set::Rules<'a>,
    /// Of sorted sets.
    pub zset: zset::Limits,
    /// Of hashes.
    pub hash: hashes::Limits,
    /// How names are hashed.
    pub hasher: &'a Hasher,
}

impl<'a> Forms<'a> {
    /// Those that the settings say.
    pub fn of(settings: &Settings, hasher: &'a Hasher) -> Forms<'a> {
        let number = |setting| usize::try_from(setting).unwrap_or(usize::MAX);
        Forms {
            list: list::Limits::of(settings.list_max_listpack_size),
            set: set::Rules {
                ints: number(settings.set_max_intset_entries),
                entries: number(settings.set_max_listpack_entries),
                value_bytes: number(settings.set_max_listpack_value),
                hasher,
            },
            zset: zset::Limits {
                entries: number(settings.zset_max_listpack_entries),
                value_bytes: number(settings.zset_max_listpack_value),
            },
            hash: hashes::Limits {
                entries: number(settings.hash_max_listpack_entries),
                value_bytes: number(settings.hash_max_listpack_value),
            },
            hasher,
        }
    }
}

/// A value that was read.
#[derive(Debug)]
pub enum Loaded {
    /// A string.
    String(Vec<u8>),
    /// Any other type.
    Object(Object),
}

impl Loaded {
    /// The name of its type, as TYPE says it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Loaded::String(_) => "string",
            Loaded::Object(object) => object.type_name(),
        }
    }

    /// The value under a key.
    pub fn into_entry(self, key: &[u8], deadline: Option<Millis>) -> Entry {
        let value = match self {
            Loaded::Object(object) => NewValue::Object(object),
            Loaded::String(bytes) => match integer::parse(&bytes) {
                Some(number) => NewValue::Integer(number),
                None if bytes.len() <= INLINE_MAX => {
                    return Entry::new(key, NewValue::Bytes(&bytes), deadline, 0);
                }
                None => NewValue::Built(bytes),
            },
        };
        Entry::new(key, value, deadline, 0)
    }
}

/// Reads the value that begins with its type.
pub(super) fn typed(
    source: &mut Source<'_>,
    dialect: Dialect,
    forms: Forms<'_>,
) -> Result<Loaded, RdbError> {
    let start = source.place();
    let kind = dialect.kind(source.byte()?).map_err(|fault| fault.at(start))?;
    value(source, kind, forms)
}

/// Reads the value of a kind.
pub(super) fn value(
    source: &mut Source<'_>,
    kind: Kind,
    forms: Forms<'_>,
) -> Result<Loaded, RdbError> {
    let object = match kind {
        Kind::String => return Ok(Loaded::String(source.string()?.into_owned())),
        Kind::List => Object::List(collections::list(source, forms)?),
        Kind::ListOfZiplist => Object::List(collections::list_of_ziplist(source, forms)?),
        Kind::ListOfZiplists => Object::List(collections::list_of_ziplists(source, forms)?),
        Kind::ListOfNodes => Object::List(collections::list_of_nodes(source, forms)?),
        Kind::Set => Object::Set(collections::set(source, forms)?),
        Kind::SetOfInts => Object::Set(collections::set_of_ints(source, forms)?),
        Kind::SetListpack => Object::Set(collections::set_listpack(source, forms)?),
        Kind::ZsetOfTexts => Object::Zset(collections::zset(source, forms, true)?),
        Kind::Zset => Object::Zset(collections::zset(source, forms, false)?),
        Kind::ZsetZiplist => Object::Zset(collections::zset_ziplist(source, forms)?),
        Kind::ZsetListpack => Object::Zset(collections::zset_listpack(source, forms)?),
        Kind::Hash => Object::Hash(hash::hash(source, forms)?),
        Kind::HashZipmap => Object::Hash(hash::zipmap(source, forms)?),
        Kind::HashZiplist => Object::Hash(hash::ziplist(source, forms)?),
        Kind::HashListpack => Object::Hash(hash::listpack(source, forms)?),
        Kind::HashOfRedis { has_least } => Object::Hash(hash::of_redis(source, forms, has_least)?),
        Kind::HashListpackOfRedis { has_least } => {
            Object::Hash(hash::listpack_of_redis(source, forms, has_least)?)
        }
        Kind::HashOfValkey => Object::Hash(hash::of_valkey(source, forms)?),
        Kind::Stream(form) => stream::stream(source, form)?,
        Kind::Module => {
            let start = source.place();
            return Err(Fault::Module(module::skip(source)?).at(start));
        }
    };
    Ok(Loaded::Object(object))
}
