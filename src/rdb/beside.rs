//! What a file says beside a value, since no version of the format has a place for it: that its key
//! is blessed, deadlines of members of sets and sorted sets, and entries of a stream that are
//! pending with nobody.
//!
//! It stands in auxiliary fields right behind the key, one or more. Other servers read over them.
//!
//! ```text
//! troupe-blessed     flags of the key, as BLESS names them: NO-EVICT
//! troupe-deadlines   member, deadline, member, deadline ...
//! troupe-released    group, id, delivered, count, id, delivered, count ...
//! ```
//!
//! Members and groups are strings as anywhere in a file. A deadline, and when an entry was
//! delivered, are milliseconds in eight bytes, the lowest first. An id is 16 bytes, the highest
//! first, and a count is said like a length.

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::data::stream::{Id, NOBODY, Pending};
use crate::keyspace::object::Object;
use crate::rdb::decoder::Key;
use crate::rdb::encoder::put_aux;
use crate::rdb::error::{Fault, RdbError};
use crate::rdb::read::Loaded;
use crate::rdb::sink::{put_length, put_string};
use crate::rdb::source::Source;
use crate::rdb::write::raw_id;

const BLESSED: &[u8] = b"troupe-blessed";
const DEADLINES: &[u8] = b"troupe-deadlines";
const RELEASED: &[u8] = b"troupe-released";

/// Whether a field is about the key that it stands behind.
pub(super) fn is_beside(field: &[u8]) -> bool {
    [BLESSED, DEADLINES, RELEASED].contains(&field)
}

/// The only flag of a blessed key that there is.
const NO_EVICT: &[u8] = b"NO-EVICT";

/// Appends the field of a key that is blessed.
pub(super) fn put_blessed(out: &mut Vec<u8>) {
    put_aux(out, BLESSED, NO_EVICT);
}

impl Key<'_> {
    /// Takes up an auxiliary field that stands behind the key: it is about the key, or about its
    /// value.
    ///
    /// # Errors
    /// [`RdbError`], with offsets in the field, where what it says does not fit.
    pub(super) fn add(
        &mut self,
        field: &[u8],
        said: &[u8],
        value: &mut Loaded,
        hasher: &Hasher,
    ) -> Result<(), RdbError> {
        match field {
            BLESSED if said == NO_EVICT => self.is_blessed = true,
            BLESSED => return Err(Fault::Damaged("a key has a flag that is not known").at(0)),
            _ => value.add(field, said, hasher)?,
        }
        Ok(())
    }
}

/// Bytes of a field that has no room for more.
const FIELD: usize = 16 * 1024;

/// Deadlines of members.
#[derive(Debug, Default)]
pub(super) struct Deadlines(Vec<u8>);

impl Deadlines {
    pub(super) fn add(&mut self, member: &[u8], deadline: Millis) {
        put_string(&mut self.0, member, false);
        self.0.extend(deadline.0.to_le_bytes());
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= FIELD
    }

    /// Appends the field, if it says anything.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        if !self.0.is_empty() {
            put_aux(out, DEADLINES, &self.0);
        }
    }
}

/// Entries of a group that nobody has any more.
#[derive(Debug, Default)]
pub(super) struct Released(Vec<u8>);

impl Released {
    pub(super) fn add(&mut self, group: &[u8], id: Id, pending: Pending) {
        if self.0.is_empty() {
            put_string(&mut self.0, group, false);
        }
        self.0.extend(raw_id(id));
        self.0.extend(pending.delivered.0.to_le_bytes());
        put_length(&mut self.0, pending.count as u64);
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= FIELD
    }

    /// Appends the field, if it says anything.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        if !self.0.is_empty() {
            put_aux(out, RELEASED, &self.0);
        }
    }
}

impl Loaded {
    /// Takes up what an auxiliary field says that stands behind the value.
    ///
    /// # Errors
    /// [`RdbError`], with offsets in the field, where what it says does not fit the value.
    fn add(&mut self, field: &[u8], value: &[u8], hasher: &Hasher) -> Result<(), RdbError> {
        let mut source = Source::new(value);
        match (field, self) {
            (DEADLINES, Loaded::Object(object)) => add_deadlines(&mut source, object, hasher),
            (RELEASED, Loaded::Object(object)) => add_released(&mut source, object),
            _ => Err(source.fail(UNFIT)),
        }
    }
}

/// What is said beside a value fits another one.
const UNFIT: Fault = Fault::Damaged("what is said beside a value does not fit it");

fn add_deadlines(
    source: &mut Source<'_>,
    object: &mut Object,
    hasher: &Hasher,
) -> Result<(), RdbError> {
    while !source.is_at_end() {
        let start = source.place();
        let member = &*source.element()?;
        let deadline = Some(Millis(source.long()?));
        match object {
            Object::Set(set) if set.contains(member) => {
                set.set_deadline(member, deadline, hasher);
            }
            Object::Zset(zset) if zset.score(member).is_some() => {
                zset.set_deadline(member, deadline, hasher);
            }
            _ => return Err(UNFIT.at(start)),
        }
    }
    Ok(())
}

fn add_released(source: &mut Source<'_>, object: &mut Object) -> Result<(), RdbError> {
    let start = source.place();
    let name = source.element()?;
    let Object::Stream(stream) = object else { return Err(UNFIT.at(start)) };
    let group = stream.group_mut(&name).ok_or(UNFIT.at(start))?;
    while !source.is_at_end() {
        let start = source.place();
        let both = u128::from_be_bytes(source.array()?);
        let id = Id::new((both >> 64) as u64, both as u64);
        let delivered = Millis(source.long()?);
        let count = i64::try_from(source.length()?).map_err(|_| UNFIT.at(start))?;
        if group.pending_at(id).is_some() {
            return Err(UNFIT.at(start));
        }
        group.deliver(id, Pending { owner: NOBODY, delivered, count });
    }
    Ok(())
}
