//! One shard's slots: which are here, what they count, and which is due next.
//!
//! A slot's box is here, or it is not (another shard owns it, or it is lent): commands never ask
//! why. What a command runs on is always this one array, whether its slots belong to the shard or
//! were carried here for the moment.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::base::slot::SLOTS;
use crate::data::NEVER;
use crate::data::table::{Counts, Link};
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::slot::{Slot, Table};

/// Keys that [`Keyspace::warm`] takes at a time.
pub const WARMED: usize = 16;

/// What [`Keyspace::warm`] goes by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Warm<'a> {
    /// The slot of a key.
    pub slot: u16,
    /// Its hash.
    pub hash: u64,
    /// The element that its collection is asked for first.
    pub element: Option<&'a [u8]>,
}

/// The slots that are here.
#[derive(Debug)]
pub struct Keyspace {
    slots: Vec<Option<Box<Slot>>>,
    counts: BTreeMap<u32, Counts>,
    deadlines: BTreeSet<(Millis, u16)>,
    hasher: Hasher,
}

impl Keyspace {
    /// A keyspace without slots.
    pub fn new(hasher: Hasher) -> Keyspace {
        Keyspace {
            slots: (0..SLOTS).map(|_| None).collect(),
            counts: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            hasher,
        }
    }

    /// The hasher of all tables.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// True when the slot's box is here.
    #[inline]
    pub fn has(&self, slot: u16) -> bool {
        self.slots[usize::from(slot)].is_some()
    }

    /// The slots that are here, in ascending order.
    pub fn here(&self) -> impl Iterator<Item = u16> {
        self.slots.iter().zip(0..).filter_map(|(slot, number)| slot.is_some().then_some(number))
    }

    /// Takes a slot's box out.
    pub fn take(&mut self, number: u16) -> Option<Box<Slot>> {
        let slot = self.slots[usize::from(number)].take()?;
        self.deadlines.remove(&(slot.due, number));
        for (db, table) in slot.tables() {
            count(&mut self.counts, db).sub(table.counts());
        }
        Some(slot)
    }

    /// Puts a slot's box in, over what may stand there.
    pub fn put(&mut self, number: u16, slot: Box<Slot>) {
        drop(self.take(number));
        for (db, table) in slot.tables() {
            count(&mut self.counts, db).add(table.counts());
        }
        if slot.due != NEVER {
            self.deadlines.insert((slot.due, number));
        }
        self.slots[usize::from(number)] = Some(slot);
    }

    /// A slot that is here.
    #[inline]
    pub fn slot(&self, number: u16) -> Option<&Slot> {
        self.slots[usize::from(number)].as_deref()
    }

    /// A slot that is here, to note how much of it is told.
    pub(crate) fn slot_mut(&mut self, number: u16) -> Option<&mut Slot> {
        self.slots[usize::from(number)].as_deref_mut()
    }

    /// All slots that are here, for the same.
    pub(crate) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().flatten().map(|slot| &mut **slot)
    }

    /// The table of a key's slot, where the slot is here and the database ever held a key there.
    #[inline]
    pub fn table(&self, db: u32, slot: u16) -> Option<&Table> {
        self.slots[usize::from(slot)].as_deref()?.table(db)
    }

    /// As [`Keyspace::table`], to change entries in ways that keep keys and deadlines.
    #[inline]
    pub fn table_mut(&mut self, db: u32, slot: u16) -> Option<&mut Table> {
        self.slots[usize::from(slot)].as_deref_mut()?.table_mut(db)
    }

    /// Changes the table of a key's slot in any way; counts and deadlines follow.
    ///
    /// # Panics
    /// When the slot is not here: a command was run where it must not run.
    pub fn change<R>(
        &mut self,
        db: u32,
        key: Key<'_>,
        change: impl FnOnce(&mut Table, &Hasher) -> R,
    ) -> R {
        let number = key.slot;
        let slot = self.slots[usize::from(number)].as_deref_mut();
        let slot = slot.expect("a command runs only where its slots are");
        let table = slot.table_or_new(db);
        let before = table.counts();
        let result = change(table, &self.hasher);
        let (after, due) = (table.counts(), table.due());
        if after != before {
            let counts = count(&mut self.counts, db);
            counts.sub(before);
            counts.add(after);
        }
        if due != NEVER && due < slot.due {
            self.deadlines.remove(&(slot.due, number));
            slot.due = due;
            self.deadlines.insert((due, number));
        }
        result
    }

    /// The tables of a database, over the slots that are here, in ascending order of the slots.
    pub fn tables(&self, db: u32) -> impl Iterator<Item = &Table> {
        self.slots.iter().flatten().filter_map(move |slot| slot.table(db))
    }

    /// Figures of a database over the slots that are here.
    pub fn counts(&self, db: u32) -> Counts {
        self.counts.get(&db).copied().unwrap_or_default()
    }

    /// The databases that have figures, ascending.
    pub fn databases(&self) -> impl Iterator<Item = u32> {
        self.counts.keys().copied()
    }

    /// Takes the tables of a database out of all slots that are here; the caller drops them, bit by
    /// bit if they are big.
    pub fn clear(&mut self, db: u32) -> Vec<Table> {
        // Each holds a key at least. They are many, so they are not moved again and again.
        let mut tables = Vec::with_capacity(self.counts(db).len.min(usize::from(SLOTS)));
        for slot in self.slots.iter_mut().flatten() {
            if slot.table(db).is_some_and(|table| table.counts().len > 0) {
                tables.push(slot.take(db));
            }
        }
        self.counts.remove(&db);
        tables
    }

    /// Exchanges two databases in all slots that are here.
    pub fn swap(&mut self, a: u32, b: u32) {
        for slot in self.slots.iter_mut().flatten() {
            let (of_a, of_b) = (slot.take(a), slot.take(b));
            slot.put(a, of_b);
            slot.put(b, of_a);
        }
        let (of_a, of_b) = (self.counts.remove(&a), self.counts.remove(&b));
        self.counts.extend(of_b.map(|counts| (a, counts)));
        self.counts.extend(of_a.map(|counts| (b, counts)));
    }

    /// The earliest time at which a key may be due.
    pub fn next_due(&self) -> Option<Millis> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// The slot that is due first, if one is due at `now`.
    pub fn due_slot(&self, now: Millis) -> Option<u16> {
        self.deadlines.first().filter(|(due, _)| *due <= now).map(|(_, slot)| *slot)
    }

    /// Brings what these keys will need into the cache, all at once.
    ///
    /// A look at a key is a chain of dependent loads, each a miss in a large keyspace. Here each
    /// link is loaded for all keys before the next one, so that the misses overlap; and what is
    /// loaded is worked out before the loads, since a processor looks ahead over so many
    /// instructions only. Nothing is decided and nothing changes.
    pub fn warm(&self, db: u32, keys: &[Warm<'_>]) {
        let mut tables = [None; WARMED];
        for (table, key) in tables.iter_mut().zip(keys) {
            *table = self.slots[usize::from(key.slot)].as_deref().and_then(|slot| slot.table(db));
        }
        for table in tables.iter().flatten() {
            black_box(table.len_of_row());
        }
        let mut buckets = [None; WARMED];
        for ((bucket, table), key) in buckets.iter_mut().zip(tables).zip(keys) {
            *bucket = table.and_then(|table| table.bucket(key.hash));
        }
        for bucket in buckets.iter().flatten() {
            black_box(bucket.line());
        }
        let mut entries = [None; WARMED];
        for (((entry, bucket), table), key) in
            entries.iter_mut().zip(&mut buckets).zip(tables).zip(keys)
        {
            let Some((table, first)) = table.zip(bucket.take()) else { continue };
            *entry = first.candidate(key.hash);
            if entry.is_none() {
                *bucket = table.behind(key.hash, first);
            }
        }
        for bucket in buckets.iter().flatten() {
            black_box(bucket.line());
        }
        for ((entry, bucket), key) in entries.iter_mut().zip(buckets).zip(keys) {
            if let Some(bucket) = bucket {
                *entry = bucket.candidate(key.hash);
            }
        }
        for entry in entries.iter().flatten() {
            black_box(entry.access());
        }
        for entry in entries.iter().flatten() {
            black_box(entry.far_byte());
        }
        if keys.iter().any(|key| key.element.is_some()) {
            self.warm_elements(&entries, keys);
        }
    }

    /// As [`Keyspace::warm`], of the elements that the keys' collections are asked for.
    fn warm_elements(&self, entries: &[Option<&Entry>; WARMED], keys: &[Warm<'_>]) {
        let mut looks = [const { None }; WARMED];
        for ((look, entry), key) in looks.iter_mut().zip(entries).zip(keys) {
            let object = entry.and_then(Entry::object);
            *look = object.zip(key.element).map(|(object, name)| (object, self.hasher.hash(name)));
        }
        for (object, hash) in looks.iter().flatten() {
            black_box(object.collection().warm(*hash, Link::Bucket));
        }
        for (object, hash) in looks.iter().flatten() {
            black_box(object.collection().warm(*hash, Link::Member));
        }
    }

    /// Calls `found` with database and entry of keys of a slot that are due at `now`, or of which
    /// elements are, `most` of them at the most. The caller removes what is due, then calls
    /// [`Keyspace::refile`].
    pub fn find_due(
        &mut self,
        number: u16,
        now: Millis,
        most: usize,
        mut found: impl FnMut(u32, &Entry),
    ) {
        let Some(slot) = self.slots[usize::from(number)].as_deref_mut() else { return };
        let databases: Vec<u32> = slot.tables().map(|(db, _)| db).collect();
        for db in databases {
            if let Some(table) = slot.table_mut(db).filter(|table| table.due() <= now) {
                table.find_due(now, most, |entry| found(db, entry));
            }
        }
    }

    /// Files a slot under the deadline that its tables have now.
    pub fn refile(&mut self, number: u16) {
        let Some(slot) = self.slots[usize::from(number)].as_deref_mut() else { return };
        self.deadlines.remove(&(slot.due, number));
        slot.due = slot.tables_due();
        if slot.due != NEVER {
            self.deadlines.insert((slot.due, number));
        }
    }
}

fn count(counts: &mut BTreeMap<u32, Counts>, db: u32) -> &mut Counts {
    counts.entry(db).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::entry::NewValue;

    fn put(space: &mut Keyspace, db: u32, name: &[u8], deadline: Option<Millis>) {
        let key = Key::new(name, &space.hasher().clone());
        space.change(db, key, |table, hasher| {
            table.upsert(key.in_table(), hasher, |_| {
                Some(Entry::new(name, NewValue::Integer(1), deadline, 0))
            })
        });
    }

    fn whole() -> Keyspace {
        let mut space = Keyspace::new(Hasher::with_seeds([1, 2, 3, 4]));
        (0..SLOTS).for_each(|slot| space.put(slot, Box::default()));
        space
    }

    #[test]
    fn a_slot_takes_its_counts_and_deadlines_along() {
        let (mut here, mut there) = (whole(), Keyspace::new(Hasher::with_seeds([1, 2, 3, 4])));
        put(&mut here, 3, b"a", Some(Millis(50)));
        put(&mut here, 3, b"b", None);
        let slot = Key::new(b"a", &here.hasher().clone()).slot;
        there.put(slot, here.take(slot).expect("the slot is here"));
        assert_eq!((here.counts(3).len, there.counts(3).len), (1, 1));
        assert_eq!((here.next_due(), there.next_due()), (None, Some(Millis(50))));
    }

    #[test]
    fn databases_are_swapped_and_cleared() {
        let mut space = whole();
        put(&mut space, 0, b"a", None);
        put(&mut space, 1, b"b", None);
        put(&mut space, 1, b"c", None);
        space.swap(0, 1);
        assert_eq!((space.counts(0).len, space.counts(1).len), (2, 1));
        assert_eq!(space.clear(0).iter().map(|table| table.counts().len).sum::<usize>(), 2);
        assert_eq!(space.counts(0), Counts::default());
    }
}
