//! Hashes: fields with their values, and deadlines.
//!
//! A small hash is one pack: name, value, name, value. It becomes a table when it outgrows its
//! [`Limits`] or one of its fields gets a deadline, and stays one.
//!
//! Whoever reads says what the time is ([`Lookup`]): a field that is due is not there, though it is
//! only taken out by [`Collection::expire`].

mod field;

pub use field::Field;

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::data::pack::{At, Pack};
use crate::data::table::{Member, Name, Table};
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

/// How fields are found, and as of when.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// How names are hashed.
    pub hasher: &'a Hasher,
    /// The time: what is due by then is not there.
    pub now: Millis,
}

/// A field as it is read.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Its name.
    pub name: Value<'a>,
    /// Its value.
    pub value: Value<'a>,
    /// When it is due.
    pub deadline: Option<Millis>,
}

impl<'a> From<&'a Field> for Item<'a> {
    fn from(field: &'a Field) -> Item<'a> {
        let (name, value) = (Value::Bytes(field.name()), Value::Bytes(field.value()));
        Item { name, value, deadline: field.deadline() }
    }
}

/// A hash.
#[derive(Clone, Debug)]
pub enum Hash {
    /// All in one pack.
    Packed(Pack),
    /// A table of fields.
    Table(Box<Table<Field>>),
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::Packed(Pack::default())
    }
}

impl Hash {
    /// The field with this name.
    pub fn get(&self, name: &[u8], lookup: Lookup<'_>) -> Option<Item<'_>> {
        match self {
            Hash::Packed(pack) => {
                let at = find(pack, name)?;
                let value = pack.get(pack.next(at)?);
                Some(Item { name: pack.get(at), value, deadline: None })
            }
            Hash::Table(table) => {
                let field = table.get(Name::new(name, lookup.hasher))?;
                (field.due() > lookup.now).then(|| field.into())
            }
        }
    }

    /// Number of fields that are there at `now`; counts only where some may be due.
    pub fn len_at(&self, now: Millis) -> usize {
        if self.due() > now {
            return self.len();
        }
        let mut len = 0;
        self.each(now, |_| len += 1);
        len
    }

    /// Hands each field that is there at `now` to `found`.
    pub fn each<'a>(&'a self, now: Millis, mut found: impl FnMut(Item<'a>)) {
        match self {
            Hash::Packed(pack) => {
                let mut items = pack.iter();
                while let (Some(name), Some(value)) = (items.next(), items.next()) {
                    found(Item { name, value, deadline: None });
                }
            }
            Hash::Table(table) if table.due() > now => {
                table.iter().for_each(|field| found(field.into()));
            }
            Hash::Table(table) => {
                let there = table.iter().filter(|field| field.due() > now);
                there.for_each(|field| found(field.into()));
            }
        }
    }

    /// Some field, any as likely as another, which may be due.
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<Item<'_>> {
        match self {
            Hash::Packed(pack) if pack.is_empty() => None,
            Hash::Packed(pack) => {
                let at = pack.seek(2 * random.usize(0..pack.len() / 2))?;
                let value = pack.get(pack.next(at)?);
                Some(Item { name: pack.get(at), value, deadline: None })
            }
            Hash::Table(table) => table.random(random).map(Item::from),
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
            self.unpack(hasher);
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
                    self.unpack(hasher);
                }
                value_at.is_none()
            }
            Hash::Table(table) => table.upsert(Name::new(name, hasher), hasher, |there| {
                let Some(field) = there else { return Some(Field::new(name, value, deadline)) };
                field.set_value(value);
                if field.deadline() != deadline {
                    field.set_deadline(deadline);
                }
                None
            }),
        }
    }

    /// Sets or takes away the deadline of a field that is there.
    pub fn set_deadline(&mut self, name: &[u8], deadline: Option<Millis>, hasher: &Hasher) {
        if deadline.is_some() {
            self.unpack(hasher);
        }
        if let Hash::Table(table) = self {
            table.upsert(Name::new(name, hasher), hasher, |there| {
                if let Some(field) = there {
                    field.set_deadline(deadline);
                }
                None
            });
        }
    }

    /// Takes a field out. Returns false when there is none.
    pub fn remove(&mut self, name: &[u8], hasher: &Hasher) -> bool {
        match self {
            Hash::Packed(pack) => {
                let at = find(pack, name);
                at.map(|at| pack.remove(at, 2)).is_some()
            }
            Hash::Table(table) => table.remove(Name::new(name, hasher)).is_some(),
        }
    }

    /// True when so many bytes more are too many for a pack.
    fn is_stuffed(&self, bytes: usize) -> bool {
        matches!(self, Hash::Packed(pack) if pack.byte_len() + bytes > PACK_BYTES_MAX)
    }

    /// Makes a table of a pack.
    pub fn unpack(&mut self, hasher: &Hasher) {
        let Hash::Packed(pack) = self else { return };
        let mut table = Table::default();
        let mut items = pack.iter();
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            let field = name.with(|name| value.with(|value| Field::new(name, value, None)));
            let name = field.name().to_vec();
            table.upsert(Name::new(&name, hasher), hasher, |_| Some(field));
        }
        *self = Hash::Table(Box::new(table));
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
            Hash::Table(table) => table.counts().len,
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Hash::Packed(_) => "listpack",
            Hash::Table(_) => "hashtable",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Hash::Packed(pack) => pack.memory(),
            Hash::Table(table) => {
                let (mut count, mut bytes) = (0, 0);
                for field in table.iter().take(SAMPLES) {
                    count += 1;
                    bytes += field.memory();
                }
                let fields = bytes * table.counts().len / usize::max(1, count);
                size_of::<Table<Field>>() + table.overhead() + fields
            }
        }
    }

    fn due(&self) -> Millis {
        match self {
            Hash::Packed(_) => NEVER,
            Hash::Table(table) => table.due(),
        }
    }

    fn expire(&mut self, now: Millis, most: usize, hasher: &Hasher, gone: &mut dyn FnMut(&[u8])) {
        let Hash::Table(table) = self else { return };
        let mut names = Vec::new();
        table.find_due(now, most, |field| names.push(field.name().to_vec()));
        for name in names {
            table.remove(Name::new(&name, hasher));
            gone(&name);
        }
    }

    fn expire_one(&mut self, name: &[u8], now: Millis, hasher: &Hasher) -> bool {
        let Hash::Table(table) = self else { return false };
        let name = Name::new(name, hasher);
        let is_due = table.get(name).is_some_and(|field| field.due() <= now);
        is_due && table.remove(name).is_some()
    }

    fn drop_some(&mut self) -> bool {
        match self {
            Hash::Packed(_) => false,
            Hash::Table(table) => table.drop_some(),
        }
    }
}

#[cfg(test)]
mod tests;
