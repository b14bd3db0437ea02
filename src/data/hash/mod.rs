//! Hashes: fields with their values, and deadlines.
//!
//! A small hash is one pack: name, value, name, value. It becomes a table when it outgrows its
//! [`Limits`] or one of its fields gets a deadline, and stays one.
//!
//! Nothing here knows the time: who looks at a hash first lets [`Collection::expire`] take out what
//! has expired.

mod field;

pub use field::Field;

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::data::own::Own;
use crate::data::pack::{At, Pack};
use crate::data::table::{Link, Member, Name, Place, Table};
use crate::data::value::Value;
use crate::data::{Collection, NEVER};

/// Members looked at to estimate the memory of all.
const SAMPLES: usize = 32;

/// Bytes that a pack takes, whatever the limits.
const PACK_BYTES_MAX: usize = 1 << 30;

/// Up to where a hash is packed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Fields.
    pub entries: usize,
    /// Bytes of a name or value.
    pub value_bytes: usize,
}

/// A field as it is read.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Its name.
    pub name: Value<'a>,
    /// Its value.
    pub value: Value<'a>,
    /// When it expires.
    pub deadline: Option<Millis>,
}

impl<'a> From<&'a Field> for Item<'a> {
    fn from(field: &'a Field) -> Item<'a> {
        let (name, value) = (Value::Bytes(field.name()), Value::Bytes(field.value()));
        Item { name, value, deadline: field.deadline() }
    }
}

/// The fields of a large hash.
#[derive(Clone, Debug)]
pub struct Fields {
    table: Table<Field>,
    hasher: Hasher,
}

impl Fields {
    /// The table, to be scanned.
    pub fn table(&self) -> &Table<Field> {
        &self.table
    }

    fn set(&mut self, name: &[u8], value: &[u8], deadline: Option<Millis>) -> bool {
        let name = Name::new(name, &self.hasher);
        self.table.upsert(name, &self.hasher, |there| {
            let Some(field) = there else { return Some(Field::new(name.bytes, value, deadline)) };
            field.set_value(value);
            if field.deadline() != deadline {
                field.set_deadline(deadline);
            }
            None
        })
    }

    fn remove(&mut self, name: &[u8]) -> bool {
        self.table.remove(Name::new(name, &self.hasher)).is_some()
    }
}

/// A hash.
#[derive(Clone, Debug)]
pub enum Hash {
    /// All in one pack.
    Packed(Pack),
    /// A table of fields.
    Large(Own<Fields>),
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::Packed(Pack::default())
    }
}

impl Hash {
    /// The field with this name.
    pub fn get(&self, name: &[u8]) -> Option<Item<'_>> {
        match self {
            Hash::Packed(pack) => {
                let at = find(pack, name)?;
                let value = pack.get(pack.next(at)?);
                Some(Item { name: pack.get(at), value, deadline: None })
            }
            Hash::Large(fields) => {
                fields.table.get(Name::new(name, &fields.hasher)).map(Item::from)
            }
        }
    }

    /// Hands each field to `found`.
    pub fn each<'a>(&'a self, mut found: impl FnMut(Item<'a>)) {
        match self {
            Hash::Packed(pack) => {
                let mut items = pack.iter();
                while let (Some(name), Some(value)) = (items.next(), items.next()) {
                    found(Item { name, value, deadline: None });
                }
            }
            Hash::Large(fields) => fields.table.iter().for_each(|field| found(field.into())),
        }
    }

    /// Hands the fields from `place` on to `take`, until it says that it takes no more. Returns
    /// where to go on; nothing at the end. A packed hash is handed out whole, whatever it says.
    pub fn walk(&self, place: &Place, mut take: impl FnMut(Item<'_>) -> bool) -> Option<Place> {
        match self {
            Hash::Packed(_) => {
                self.each(|item| {
                    take(item);
                });
                None
            }
            Hash::Large(fields) => {
                fields.table.walk(place, &fields.hasher, |field| take(field.into()))
            }
        }
    }

    /// Some field, any as likely as another.
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<Item<'_>> {
        match self {
            Hash::Packed(pack) if pack.is_empty() => None,
            Hash::Packed(pack) => {
                let at = pack.seek(2 * random.usize(0..pack.len() / 2))?;
                let value = pack.get(pack.next(at)?);
                Some(Item { name: pack.get(at), value, deadline: None })
            }
            Hash::Large(fields) => fields.table.random(random).map(Item::from),
        }
    }

    /// Sets a field with its deadline, whatever was there. Returns true for a new one.
    pub fn set(
        &mut self,
        name: &[u8],
        value: &[u8],
        deadline: Option<Millis>,
        limits: Limits,
        hasher: &Hasher,
    ) -> bool {
        let is_long = name.len().max(value.len()) > limits.value_bytes;
        if is_long || deadline.is_some() || self.is_stuffed(name.len() + value.len()) {
            self.enlarge(hasher);
        }
        match self {
            Hash::Packed(pack) => {
                let value_at = find(pack, name).and_then(|at| pack.next(at));
                match value_at {
                    Some(at) => pack.replace(at, value),
                    None => {
                        pack.push_back(name);
                        pack.push_back(value);
                    }
                }
                if pack.len() / 2 > limits.entries {
                    self.enlarge(hasher);
                }
                value_at.is_none()
            }
            Hash::Large(fields) => fields.set(name, value, deadline),
        }
    }

    /// Sets or takes away the deadline of a field that is there.
    pub fn set_deadline(&mut self, name: &[u8], deadline: Option<Millis>, hasher: &Hasher) {
        if deadline.is_some() {
            self.enlarge(hasher);
        }
        if let Hash::Large(fields) = self {
            let Fields { table, hasher } = &mut **fields;
            table.upsert(Name::new(name, hasher), hasher, |there| {
                if let Some(field) = there {
                    field.set_deadline(deadline);
                }
                None
            });
        }
    }

    /// Takes a field out. Returns false when there is none.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        match self {
            Hash::Packed(pack) => {
                let at = find(pack, name);
                at.map(|at| pack.remove(at, 2)).is_some()
            }
            Hash::Large(fields) => fields.remove(name),
        }
    }

    /// True when so many bytes more are too many for a pack.
    fn is_stuffed(&self, bytes: usize) -> bool {
        matches!(self, Hash::Packed(pack) if pack.byte_len() + bytes > PACK_BYTES_MAX)
    }

    /// Makes a table of a pack.
    pub fn enlarge(&mut self, hasher: &Hasher) {
        let Hash::Packed(pack) = self else { return };
        let mut fields = Own::new(Fields { table: Table::default(), hasher: hasher.clone() });
        let mut items = pack.iter();
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            name.with(|name| value.with(|value| fields.set(name, value, None)));
        }
        *self = Hash::Large(fields);
    }
}

/// Where the name of a field stands.
fn find(pack: &Pack, name: &[u8]) -> Option<At> {
    pack.find(pack.first(), name, 2)
}

impl Collection for Hash {
    fn len(&self) -> usize {
        match self {
            Hash::Packed(pack) => pack.len() / 2,
            Hash::Large(fields) => fields.table.counts().len,
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Hash::Packed(_) => "listpack",
            Hash::Large(_) => "hashtable",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Hash::Packed(pack) => pack.memory(),
            Hash::Large(fields) => {
                let sampled = fields.table.iter().take(SAMPLES).map(Field::memory);
                let (count, bytes) =
                    sampled.fold((0, 0), |(count, bytes), memory| (count + 1, bytes + memory));
                let all = bytes * fields.table.counts().len / usize::max(1, count);
                size_of::<Fields>() + fields.table.overhead() + all
            }
        }
    }

    fn warm(&self, hash: u64, link: Link) {
        if let Hash::Large(fields) = self {
            fields.table.warm(hash, link);
        }
    }

    fn next_deadline(&self) -> Millis {
        match self {
            Hash::Packed(_) => NEVER,
            Hash::Large(fields) => fields.table.next_deadline(),
        }
    }

    fn is_timed(&self) -> bool {
        matches!(self, Hash::Large(fields) if fields.table.counts().expires > 0)
    }

    fn expire(&mut self, now: Millis, most: usize, gone: &mut dyn FnMut(&[u8])) {
        let Hash::Large(fields) = self else { return };
        let mut names = Vec::new();
        fields.table.find_expired(now, most, |field| names.push(field.name().to_vec()));
        for name in names {
            fields.remove(&name);
            gone(&name);
        }
    }

    fn drop_some(&mut self) -> bool {
        match self {
            Hash::Packed(_) => false,
            Hash::Large(fields) => fields.table.drop_some(),
        }
    }
}

#[cfg(test)]
mod tests;
