//! A group of consumers: what was delivered last, and to whom what is not acknowledged yet.
//!
//! Invariant: an entry that is pending stands in the list of the group, with its owner, and in that
//! owner's own list; one that was released has no owner. Consumers are known by numbers, which are
//! given once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};

use crate::base::millis::Millis;
use crate::data::stream::id::Id;

/// The number of a consumer.
pub type Number = u64;

/// The number of no consumer: the owner of what was released.
pub const NOBODY: Number = 0;

/// A delivery that is not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// To whom.
    pub owner: Number,
    /// When last, in milliseconds of unix time.
    pub delivered: Millis,
    /// How often.
    pub count: i64,
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its name.
    pub name: Box<[u8]>,
    /// When it was last heard of.
    pub seen: Millis,
    /// When it last got something.
    pub active: Option<Millis>,
    pending: BTreeSet<Id>,
}

impl Consumer {
    /// Number of entries that it has not acknowledged.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }
}

/// A group of consumers.
#[derive(Clone, Debug)]
pub struct Group {
    /// The last entry that was delivered.
    pub last_id: Id,
    /// How many entries were read up to there, where that is known.
    pub entries_read: Option<i64>,
    pending: BTreeMap<Id, Pending>,
    names: BTreeMap<Box<[u8]>, Number>,
    consumers: BTreeMap<Number, Consumer>,
    given: Number,
}

impl Group {
    /// A group that has everything after `last_id` before it.
    pub fn new(last_id: Id, entries_read: Option<i64>) -> Group {
        Group {
            last_id,
            entries_read,
            pending: BTreeMap::new(),
            names: BTreeMap::new(),
            consumers: BTreeMap::new(),
            given: NOBODY,
        }
    }

    /// The consumer of that name.
    pub fn number(&self, name: &[u8]) -> Option<Number> {
        self.names.get(name).copied()
    }

    /// The consumer of that name, which is heard of now. Returns true too when it is a new one.
    pub fn hear(&mut self, name: &[u8], now: Millis) -> (Number, bool) {
        if let Some(number) = self.number(name) {
            if let Some(consumer) = self.consumers.get_mut(&number) {
                consumer.seen = now;
            }
            return (number, false);
        }
        self.given += 1;
        let pending = BTreeSet::new();
        let consumer = Consumer { name: name.into(), seen: now, active: None, pending };
        self.names.insert(name.into(), self.given);
        self.consumers.insert(self.given, consumer);
        (self.given, true)
    }

    /// A consumer by its number.
    pub fn consumer(&self, number: Number) -> Option<&Consumer> {
        self.consumers.get(&number)
    }

    /// The name of an owner, empty for nobody.
    pub fn name_of(&self, owner: Number) -> &[u8] {
        self.consumer(owner).map_or(&[], |consumer| &consumer.name)
    }

    /// A consumer got something now.
    pub fn note_active(&mut self, number: Number, now: Millis) {
        if let Some(consumer) = self.consumers.get_mut(&number) {
            consumer.active = Some(now);
        }
    }

    /// The consumers in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (Number, &Consumer)> {
        self.names.values().map(|number| (*number, &self.consumers[number]))
    }

    /// The consumers with this name and those behind it, in the order of their names.
    pub fn consumers_from(&self, name: &[u8]) -> impl Iterator<Item = &Consumer> {
        let from = (Bound::Included(name), Bound::Unbounded);
        self.names.range::<[u8], _>(from).map(|(_, number)| &self.consumers[number])
    }

    /// Takes a consumer out with all that it has not acknowledged; returns how much that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.names.remove(name)?;
        let consumer = self.consumers.remove(&number)?;
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// Number of entries that are not acknowledged.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The delivery of an entry that is not acknowledged.
    pub fn pending_at(&self, id: Id) -> Option<Pending> {
        self.pending.get(&id).copied()
    }

    /// Deliveries that are not acknowledged, in the order of ids.
    pub fn pending(
        &self,
        range: impl RangeBounds<Id>,
    ) -> impl DoubleEndedIterator<Item = (Id, Pending)> {
        self.pending.range(range).map(|(id, pending)| (*id, *pending))
    }

    /// The same of one consumer.
    pub fn pending_of(
        &self,
        owner: Number,
        range: impl RangeBounds<Id>,
    ) -> impl Iterator<Item = (Id, Pending)> {
        let ids = self.consumers.get(&owner).map(|consumer| consumer.pending.range(range));
        ids.into_iter().flatten().map(|id| (*id, self.pending[id]))
    }

    /// Notes a delivery, whoever had the entry before.
    pub fn deliver(&mut self, id: Id, pending: Pending) {
        let before = self.pending.insert(id, pending);
        if before.is_some_and(|before| before.owner == pending.owner) {
            return;
        }
        if let Some(consumer) = before.and_then(|before| self.consumers.get_mut(&before.owner)) {
            consumer.pending.remove(&id);
        }
        if let Some(consumer) = self.consumers.get_mut(&pending.owner) {
            consumer.pending.insert(id);
        }
    }

    /// Takes an entry out of the pending ones. Returns false when it is none of them.
    pub fn acknowledge(&mut self, id: Id) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        if let Some(consumer) = self.consumers.get_mut(&pending.owner) {
            consumer.pending.remove(&id);
        }
        true
    }

    /// Drops up to `most` pending entries. Returns how many there were.
    pub(super) fn drop_some(&mut self, most: usize) -> usize {
        let ids: Vec<Id> = self.pending.keys().take(most).copied().collect();
        for id in &ids {
            self.acknowledge(*id);
        }
        ids.len()
    }

    /// Bytes that the group takes from the allocator, its own place not counted: an estimate.
    pub(super) fn memory(&self) -> usize {
        // A tree is filled to about two thirds, and each entry stands in two of them.
        let of_pending = (2 * size_of::<Id>() + size_of::<Pending>()) * 3 / 2;
        let of_consumer = (size_of::<Consumer>() + size_of::<(Box<[u8]>, Number)>()) * 3 / 2;
        self.pending.len() * of_pending + self.consumers.len() * of_consumer
    }
}
