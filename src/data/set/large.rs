//! A large set: a table of members, each one allocation, some with a deadline.
//!
//! ```text
//! 0 | name            1 | deadline 8 | name
//! ```

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::data::blob::Blob;
use crate::data::table::{Member, Name, Place, Table};

/// Members looked at to estimate what all take.
const MEASURED: usize = 64;

const PLAIN: u8 = 0;
const TIMED: u8 = 1;
const PLAIN_HEAD: usize = 1;
const TIMED_HEAD: usize = 9;

/// A member.
#[derive(Clone, Debug)]
pub struct Element(Blob);

impl Element {
    fn new(name: &[u8]) -> Element {
        let mut blob = Blob::with_capacity(PLAIN_HEAD + name.len());
        blob.splice(0..0, &[&[PLAIN], name]);
        Element(blob)
    }

    fn set_deadline(&mut self, deadline: Option<Millis>) {
        let head = self.head();
        match deadline {
            None => self.0.splice(0..head, &[&[PLAIN]]),
            Some(time) => self.0.splice(0..head, &[&[TIMED], &time.0.to_le_bytes()]),
        }
    }

    #[inline]
    fn head(&self) -> usize {
        if self.0[0] == PLAIN { PLAIN_HEAD } else { TIMED_HEAD }
    }
}

impl Member for Element {
    #[inline]
    fn name(&self) -> &[u8] {
        &self.0[self.head()..]
    }

    fn deadline(&self) -> Option<Millis> {
        let time = self.0.get(PLAIN_HEAD..TIMED_HEAD).filter(|_| self.0[0] == TIMED)?;
        time.try_into().ok().map(|time| Millis(i64::from_le_bytes(time)))
    }

    #[inline]
    fn prefetch(&self) {
        self.0.prefetch();
    }
}

/// A table of members, and how they are hashed in it.
#[derive(Clone, Debug)]
pub struct Large {
    table: Table<Element>,
    hasher: Hasher,
}

impl Large {
    pub(super) fn new(hasher: &Hasher) -> Large {
        Large { table: Table::default(), hasher: hasher.clone() }
    }

    /// The members.
    pub fn table(&self) -> &Table<Element> {
        &self.table
    }

    pub(super) fn walk(&self, place: &Place, take: impl FnMut(&Element) -> bool) -> Option<Place> {
        self.table.walk(place, &self.hasher, take)
    }

    /// Drops some members of a set that nobody uses any more. Returns true when there is more.
    pub(super) fn drop_some(&mut self) -> bool {
        self.table.drop_some()
    }

    #[inline]
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.table.get(self.named(name)).is_some()
    }

    #[inline]
    pub(super) fn insert(&mut self, name: &[u8]) -> bool {
        let hashed = self.named(name);
        self.table.upsert(hashed, &self.hasher, |there| match there {
            Some(_) => None,
            None => Some(Element::new(name)),
        })
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        let name = self.named(name);
        self.table.remove(name).is_some()
    }

    /// The deadline of a member; none where there is no such member.
    pub(super) fn deadline_of(&self, name: &[u8]) -> Option<Option<Millis>> {
        self.table.get(self.named(name)).map(Member::deadline)
    }

    /// Sets or takes away the deadline of a member that is there.
    pub(super) fn set_deadline(&mut self, name: &[u8], deadline: Option<Millis>) {
        let name = self.named(name);
        self.table.upsert(name, &self.hasher, |there| {
            if let Some(element) = there {
                element.set_deadline(deadline);
            }
            None
        });
    }

    /// Takes out expired members, and tells each.
    pub(super) fn expire(&mut self, now: Millis, most: usize, gone: &mut dyn FnMut(&[u8])) {
        let mut names = Vec::new();
        self.table.find_expired(now, most, |element| names.push(element.name().to_vec()));
        for name in names {
            self.remove(&name);
            gone(&name);
        }
    }

    /// Bytes from the allocator; what members take is estimated from some of them.
    pub(super) fn memory(&self) -> usize {
        let (mut bytes, mut measured) = (0, 0);
        for element in self.table.iter().take(MEASURED) {
            bytes += element.0.memory();
            measured += 1;
        }
        let members = bytes * self.table.counts().len / usize::max(measured, 1);
        size_of::<Large>() + self.table.overhead() + members
    }

    #[inline]
    fn named<'a>(&self, name: &'a [u8]) -> Name<'a> {
        Name::new(name, &self.hasher)
    }
}
