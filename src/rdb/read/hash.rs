//! Hashes as they are read, in all the ways in which servers have written deadlines of fields.

use crate::base::millis::Millis;
use crate::data::hash::Hash;
use crate::data::value::Value;
use crate::rdb::error::{Fault, RdbError};
use crate::rdb::read::Forms;
use crate::rdb::read::collections::{Packed, filled, packed, text};
use crate::rdb::source::{ELEMENT_MAX, Source};

/// What Valkey writes where a field has no deadline.
pub(in crate::rdb) const NO_DEADLINE: i64 = -1;

const HASH_LISTPACK: &str = "Hash listpack";

fn set(
    hash: &mut Hash,
    name: &[u8],
    value: &[u8],
    deadline: Option<Millis>,
    forms: Forms<'_>,
) -> Result<(), Fault> {
    if name.len().max(value.len()) > ELEMENT_MAX {
        return Err(Fault::Damaged("a field of a hash is too long"));
    }
    let is_new = hash.set(name, value, deadline, forms.hash, forms.hasher);
    is_new.then_some(()).ok_or(Fault::Damaged("a field of a hash stands there twice"))
}

/// An empty hash for so many fields.
fn expecting(count: u64, forms: Forms<'_>) -> Hash {
    let mut hash = Hash::default();
    if usize::try_from(count).is_ok_and(|count| count > forms.hash.entries) {
        hash.enlarge(forms.hasher);
    }
    hash
}

/// A deadline as Redis writes it, where zero means none.
fn deadline_of(time: i64) -> Result<Option<Millis>, Fault> {
    match time {
        ..0 => Err(Fault::Damaged("the deadline of a field is out of range")),
        0 => Ok(None),
        time => Ok(Some(Millis(time))),
    }
}

pub(super) fn hash(source: &mut Source<'_>, forms: Forms<'_>) -> Result<Hash, RdbError> {
    let count = source.count(2)?;
    let mut hash = expecting(count, forms);
    for _ in 0..count {
        let start = source.place();
        let (name, value) = (source.element()?, source.element()?);
        set(&mut hash, &name, &value, None, forms).map_err(|fault| fault.at(start))?;
    }
    filled(source, hash)
}

pub(super) fn of_valkey(source: &mut Source<'_>, forms: Forms<'_>) -> Result<Hash, RdbError> {
    let count = source.count(10)?;
    let mut hash = expecting(count, forms);
    for _ in 0..count {
        let start = source.place();
        let (name, value) = (source.element()?, source.element()?);
        let deadline = match source.long()? {
            NO_DEADLINE => None,
            ..NO_DEADLINE => {
                return Err(Fault::Damaged("the deadline of a field is out of range").at(start));
            }
            time => Some(Millis(time)),
        };
        set(&mut hash, &name, &value, deadline, forms).map_err(|fault| fault.at(start))?;
    }
    filled(source, hash)
}

pub(super) fn of_redis(
    source: &mut Source<'_>,
    forms: Forms<'_>,
    has_least: bool,
) -> Result<Hash, RdbError> {
    let least = if has_least { source.long()? } else { 1 };
    let count = source.count(3)?;
    let mut hash = expecting(count, forms);
    for _ in 0..count {
        let start = source.place();
        // One more than the distance from the least, so that zero is free to mean none.
        let time = match source.length()? {
            0 => Ok(0),
            time => {
                let time = i64::try_from(time).ok().and_then(|time| least.checked_add(time - 1));
                let time = time.filter(|time| *time > 0);
                time.ok_or(Fault::Damaged("the deadline of a field is out of range").at(start))
            }
        };
        let deadline = deadline_of(time?).map_err(|fault| fault.at(start))?;
        let (name, value) = (source.element()?, source.element()?);
        set(&mut hash, &name, &value, deadline, forms).map_err(|fault| fault.at(start))?;
    }
    filled(source, hash)
}

pub(super) fn zipmap(source: &mut Source<'_>, forms: Forms<'_>) -> Result<Hash, RdbError> {
    packed_pairs(source, "Zipmap", Packed::Zipmap, forms)
}

pub(super) fn ziplist(source: &mut Source<'_>, forms: Forms<'_>) -> Result<Hash, RdbError> {
    packed_pairs(source, "Hash ziplist", Packed::Ziplist, forms)
}

pub(super) fn listpack(source: &mut Source<'_>, forms: Forms<'_>) -> Result<Hash, RdbError> {
    packed_pairs(source, HASH_LISTPACK, Packed::Listpack, forms)
}

fn packed_pairs(
    source: &mut Source<'_>,
    name: &'static str,
    form: Packed,
    forms: Forms<'_>,
) -> Result<Hash, RdbError> {
    let mut hash = Hash::default();
    packed(source, name, form, |items| {
        while let Some(name) = items.next() {
            let value = items.next().ok_or(Fault::Damaged("a field has no value"))?;
            let (name, value) = (text(name?), text(value?));
            set(&mut hash, &name, &value, None, forms)?;
        }
        Ok(())
    })?;
    filled(source, hash)
}

pub(super) fn listpack_of_redis(
    source: &mut Source<'_>,
    forms: Forms<'_>,
    has_least: bool,
) -> Result<Hash, RdbError> {
    // Known from the fields themselves.
    let _least = if has_least { source.long()? } else { 0 };
    let mut hash = Hash::default();
    packed(source, HASH_LISTPACK, Packed::Listpack, |items| {
        while let Some(name) = items.next() {
            let value = items.next().ok_or(Fault::Damaged("a field has no value"))?;
            let time = items.next().ok_or(Fault::Damaged("a field has no deadline"))??;
            let Value::Integer(time) = time else {
                return Err(Fault::Damaged("the deadline of a field is no number"));
            };
            let (name, value) = (text(name?), text(value?));
            set(&mut hash, &name, &value, deadline_of(time)?, forms)?;
        }
        Ok(())
    })?;
    filled(source, hash)
}
