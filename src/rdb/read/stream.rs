//! Streams as they are read: nodes of entries, what was there before, and groups.
//!
//! A node is a key of 16 bytes, the id from which those of its entries are counted, and a listpack:
//!
//! ```text
//! entries | deleted ones | fields | name | ... | 0       the names that most entries have
//! flags | ms | seq | fields | name | value | ... | items of this entry
//! flags | ms | seq | value | ... | items of this entry   where the names are those above
//! ```
//!
//! Deleted entries are left out. An entry that is pending stands once in its group, with the time
//! and number of its deliveries, and its id once more with the consumer that has it: with one and
//! no more, or two would own it.

use crate::base::millis::Millis;
use crate::data::stream::{Group, Id, Limits, NOBODY, Pending, Stream};
use crate::data::value::Value;
use crate::keyspace::object::{Object, Typed};
use crate::rdb::dialect::StreamForm;
use crate::rdb::error::{Fault, RdbError};
use crate::rdb::listpack::Listpack;
use crate::rdb::source::{ELEMENT_MAX, Source};

/// The entry is deleted.
pub(in crate::rdb) const DELETED: i64 = 1;

/// The entry has the names of its node.
pub(in crate::rdb) const SAME_NAMES: i64 = 2;

/// What says that it is not known how far a group has read.
pub(in crate::rdb) const UNKNOWN_READ: i64 = -1;

/// When a consumer was active that never was.
pub(in crate::rdb) const NEVER_ACTIVE: i64 = -1;

/// A node takes every entry of its listpack, and nothing from behind it.
const SAME_NODE: Limits = Limits { node_bytes: 0, node_entries: 0 };
const NEW_NODE: Limits = Limits { node_bytes: 1, node_entries: 1 };

pub(super) fn stream(source: &mut Source<'_>, form: StreamForm) -> Result<Object, RdbError> {
    let mut stream = Stream::default();
    for _ in 0..source.count(3)? {
        node(source, &mut stream)?;
    }
    let start = source.place();
    let damaged = |what| Fault::Damaged(what).at(start);
    let entries = source.length()?;
    if entries != stream.entries() {
        return Err(damaged("a stream has another number of entries than it says"));
    }
    let last_id = id(source)?;
    if last_id < stream.last_id {
        return Err(damaged("a stream has entries behind its last id"));
    }
    stream.last_id = last_id;
    stream.entries_added = number(entries).ok_or(damaged("a stream has too many entries"))?;
    if form >= StreamForm::Counted {
        // The first id is known from the entries.
        id(source)?;
        stream.max_deleted_id = id(source)?;
        let added = number(source.length()?);
        stream.entries_added = added.ok_or(damaged("a stream counts beyond its range"))?;
    }
    for _ in 0..source.count(5)? {
        let start = source.place();
        let name = source.element()?;
        let group = group(source, &stream, form)?;
        if !stream.add_group(&name, group) {
            return Err(Fault::Damaged("a group of a stream stands there twice").at(start));
        }
    }
    Ok(stream.into_object())
}

fn number(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

/// An id as two lengths.
fn id(source: &mut Source<'_>) -> Result<Id, RdbError> {
    Ok(Id::new(source.length()?, source.length()?))
}

/// An id as 16 bytes, so that ids in order are bytes in order.
fn raw_id(bytes: [u8; 16]) -> Id {
    let both = u128::from_be_bytes(bytes);
    Id::new((both >> 64) as u64, both as u64)
}

fn node(source: &mut Source<'_>, stream: &mut Stream) -> Result<(), RdbError> {
    let start = source.place();
    let key = source.element()?;
    let key = key.first_chunk().copied().filter(|_| key.len() == 16);
    let key = key.ok_or(Fault::Damaged("a node of a stream has no id").at(start))?;
    let start = source.place();
    let blob = source.string()?;
    entries(&blob, raw_id(key), stream).map_err(|fault| fault.within("Stream listpack").at(start))
}

/// Reads numbers and strings out of a listpack, and counts them.
struct Items<'a> {
    listpack: Listpack<'a>,
    read: i64,
}

impl<'a> Items<'a> {
    fn value(&mut self) -> Result<Value<'a>, Fault> {
        self.read += 1;
        self.listpack.next().unwrap_or(Err(Fault::Damaged("it ends too early")))
    }

    fn number(&mut self) -> Result<i64, Fault> {
        match self.value()? {
            Value::Integer(number) => Ok(number),
            Value::Bytes(_) => Err(Fault::Damaged("a string stands for a number")),
        }
    }

    fn count(&mut self) -> Result<u64, Fault> {
        let count = u64::try_from(self.number()?);
        count.map_err(|_| Fault::Damaged("a number is below zero"))
    }
}

/// Names and values, one behind the other.
#[derive(Default)]
struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Words {
    fn add(&mut self, value: Value<'_>) -> Result<(), Fault> {
        value.with(|text| self.bytes.extend_from_slice(text));
        self.ends.push(self.bytes.len());
        let fits = self.bytes.len() <= ELEMENT_MAX;
        fits.then_some(()).ok_or(Fault::Damaged("an entry is too long"))
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before));
        let end = self.ends.get(index).copied().unwrap_or(0);
        self.bytes.get(start.copied().unwrap_or(0)..end).unwrap_or(&[])
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| self.get(index))
    }
}

fn entries(blob: &[u8], key: Id, stream: &mut Stream) -> Result<(), Fault> {
    let mut items = Items { listpack: Listpack::new(blob)?, read: 0 };
    let (mut live, mut deleted) = (items.count()?, items.count()?);
    let (mut names, mut own) = (Words::default(), Words::default());
    for _ in 0..items.count()? {
        names.add(items.value()?)?;
    }
    if items.number()? != 0 {
        return Err(Fault::Damaged("the names have no end"));
    }
    let mut limits = NEW_NODE;
    while !items.listpack.is_empty() {
        items.read = 0;
        let flags = items.number()?;
        // Distances: those of numbers within a millisecond may be below zero, in a later one.
        let ms = key.ms.wrapping_add(items.number()? as u64);
        let id = Id::new(ms, key.seq.wrapping_add(items.number()? as u64));
        own.clear();
        let is_same = flags & SAME_NAMES != 0;
        let words =
            if is_same { names.ends.len() as u64 } else { items.count()?.saturating_mul(2) };
        for _ in 0..words {
            own.add(items.value()?)?;
        }
        let read = items.read;
        if items.number()? != read {
            return Err(Fault::Damaged("an entry has another length than it says"));
        }
        if flags & DELETED != 0 {
            deleted = deleted.checked_sub(1).ok_or(COUNTS)?;
            continue;
        }
        live = live.checked_sub(1).ok_or(COUNTS)?;
        let words: Vec<&[u8]> = if is_same {
            names.iter().zip(own.iter()).flat_map(|(name, value)| [name, value]).collect()
        } else {
            own.iter().collect()
        };
        if words.is_empty() {
            return Err(Fault::Damaged("an entry has no fields"));
        }
        if id <= stream.last_id {
            return Err(Fault::Damaged("the ids do not ascend"));
        }
        if Stream::is_too_large(&words) {
            return Err(Fault::Damaged("an entry is too long"));
        }
        stream.push(id, &words, limits);
        limits = SAME_NODE;
    }
    (live == 0 && deleted == 0).then_some(()).ok_or(COUNTS)
}

const COUNTS: Fault = Fault::Damaged("it has another number of entries");

fn group(source: &mut Source<'_>, stream: &Stream, form: StreamForm) -> Result<Group, RdbError> {
    let last_id = id(source)?;
    let mut group = Group::new(last_id, None);
    if form >= StreamForm::Counted {
        let read = source.length()? as i64;
        group.entries_read = (read != UNKNOWN_READ).then_some(read);
    } else if stream.entries_added == 0 {
        group.entries_read = Some(0);
    } else {
        group.entries_read = stream.entries_read_with(&group, last_id);
    }
    for _ in 0..source.count(25)? {
        let start = source.place();
        let id = raw_id(source.array()?);
        let delivered = Millis(source.long()?);
        let count = source.length()? as i64;
        if group.pending_at(id).is_some() {
            return Err(Fault::Damaged("a pending entry stands there twice").at(start));
        }
        group.deliver(id, Pending { owner: NOBODY, delivered, count });
    }
    let mut owned = 0;
    for _ in 0..source.count(10)? {
        owned += consumer(source, &mut group, form)?;
    }
    if owned != group.pending_len() {
        return Err(source.fail(Fault::Damaged("a pending entry has no consumer")));
    }
    Ok(group)
}

const TWO_OWNERS: &str = "Stream consumer PEL entry already has a consumer assigned";

/// Reads a consumer. Returns how many entries it has.
fn consumer(
    source: &mut Source<'_>,
    group: &mut Group,
    form: StreamForm,
) -> Result<usize, RdbError> {
    let start = source.place();
    let name = source.element()?;
    let seen = Millis(source.long()?);
    let active = if form >= StreamForm::Active { source.long()? } else { seen.0 };
    let (number, is_new) = group.hear(&name, seen);
    if !is_new {
        return Err(Fault::Damaged("Duplicate stream consumer detected").at(start));
    }
    if active != NEVER_ACTIVE {
        group.note_active(number, Millis(active));
    }
    let count = source.count(16)?;
    for _ in 0..count {
        let start = source.place();
        let id = raw_id(source.array()?);
        let unknown = Fault::Damaged("a consumer has an entry that is not pending");
        let pending = group.pending_at(id).ok_or(unknown.at(start))?;
        if pending.owner != NOBODY {
            return Err(Fault::Damaged(TWO_OWNERS).at(start));
        }
        group.deliver(id, Pending { owner: number, ..pending });
    }
    Ok(count as usize)
}
