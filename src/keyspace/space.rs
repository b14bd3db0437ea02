//! The slots that are here, what they count, and which has the next deadline.
//!
//! A slot's box is here, or it is not (another shard owns it, or it is lent): commands never ask
//! why. What a command runs on is always this one array, whether its slots belong to the shard or
//! were carried here for the moment. Counts and deadlines stand in books, one for each shard whose
//! slots are here: so all slots of a shard come and go without a look into their boxes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::base::slot::SLOTS;
use crate::data::NEVER;
use crate::data::table::{Counts, Link, Member};
use crate::keyspace::entry::Entry;
use crate::keyspace::interest::{Awaited, Cares, Interest, Rank, There, Waiter};
use crate::keyspace::key::Key;
use crate::keyspace::listener::Event;
use crate::keyspace::saving::Saving;
use crate::keyspace::slot::{Slot, Table};
use crate::keyspace::tracked::Invalidations;

/// Keys that [`Keyspace::warm`] takes at a time.
pub const WARMED: usize = 16;

/// What [`Keyspace::warm`] goes by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Warm<'a> {
    /// The slot of a key.
    pub slot: u16,
    /// Its hash.
    pub hash: u64,
    /// Its value is a collection, and will be looked into.
    pub inside: bool,
    /// The element that its collection is asked for first.
    pub element: Option<&'a [u8]>,
}

/// Slots with their numbers.
pub type Slots = Vec<(u16, Box<Slot>)>;

/// What some slots count together, by database, and their deadlines.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// How many slots they are.
    slots: usize,
    counts: BTreeMap<u32, Counts>,
    deadlines: BTreeSet<(Millis, u16)>,
    /// Slots with keys that are a replica's own, by their deadlines.
    pub(super) own: BTreeSet<(Millis, u16)>,
    /// Slots for whose keys somebody may care.
    interested: BTreeSet<u16>,
    /// Keys that somebody has cached.
    tracked: usize,
}

/// All slots of one shard, on loan.
#[derive(Debug, Default)]
pub struct Whole {
    slots: Slots,
    book: Book,
}

/// The slots that are here.
#[derive(Debug)]
pub struct Keyspace {
    slots: Vec<Option<Box<Slot>>>,
    /// One for each shard whose slots are here.
    pub(super) books: Vec<Book>,
    /// In which book each slot stands, where there are several.
    book_of: Vec<u16>,
    hasher: Hasher,
}

impl Whole {
    /// The numbers of its slots.
    pub fn numbers(&self) -> impl Iterator<Item = u16> {
        self.slots.iter().map(|(number, _)| *number)
    }
}

impl Keyspace {
    /// A keyspace without slots.
    pub fn new(hasher: Hasher) -> Keyspace {
        Keyspace {
            slots: (0..SLOTS).map(|_| None).collect(),
            books: vec![Book::default()],
            book_of: Vec::new(),
            hasher,
        }
    }

    /// Takes all slots of another shard's keyspace in, with their book, which comes after those
    /// that are here. It is empty then.
    pub fn take_in(&mut self, other: &mut Keyspace) {
        self.book_of.resize(usize::from(SLOTS), 0);
        let book = self.books.len() as u16;
        let places = self.slots.iter_mut().zip(&mut other.slots).zip(&mut self.book_of);
        for ((here, there), book_of) in places.filter(|((_, there), _)| there.is_some()) {
            *here = there.take();
            *book_of = book;
        }
        self.books.push(std::mem::take(&mut other.books[0]));
    }

    /// Parts with everything: what each shard gave, in the order in which it came.
    pub fn into_wholes(self) -> Vec<Whole> {
        let Keyspace { slots, books, book_of, .. } = self;
        let new = |book| Whole { slots: Slots::new(), book };
        let mut wholes: Vec<Whole> = books.into_iter().map(new).collect();
        for (number, slot) in (0..).zip(slots) {
            let Some(slot) = slot else { continue };
            let book = book_of.get(usize::from(number)).copied().unwrap_or_default();
            wholes[usize::from(book)].slots.push((number, slot));
        }
        wholes
    }

    /// Puts all slots of the shard back; those that moved here meanwhile join them.
    pub fn put_back(&mut self, whole: Whole) {
        let moved_in: Vec<u16> = self.here().collect();
        let moved_in: Slots = moved_in.iter().filter_map(|n| Some((*n, self.take(*n)?))).collect();
        self.books[0] = whole.book;
        for (number, slot) in whole.slots {
            self.slots[usize::from(number)] = Some(slot);
        }
        moved_in.into_iter().for_each(|(number, slot)| self.put(number, slot));
    }

    /// The book in which a slot stands.
    pub(super) fn book_of(&mut self, slot: u16) -> &mut Book {
        let at = self.book_of.get(usize::from(slot)).copied().unwrap_or_default();
        &mut self.books[usize::from(at)]
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

    /// How many slots are here.
    pub fn slots_here(&self) -> usize {
        self.books.iter().map(|book| book.slots).sum()
    }

    /// Takes a slot's box out.
    pub fn take(&mut self, number: u16) -> Option<Box<Slot>> {
        let slot = self.slots[usize::from(number)].take()?;
        let book = self.book_of(number);
        book.slots -= 1;
        book.deadlines.remove(&(slot.filed, number));
        if let Some(interest) = &slot.interest {
            book.interested.remove(&number);
            book.tracked -= interest.cached.len();
            interest.own.next().map(|deadline| book.own.remove(&(deadline, number)));
        }
        for (db, table) in slot.tables() {
            book.of_db(db).sub(table.counts());
        }
        Some(slot)
    }

    /// Puts a slot's box in, over what may stand there.
    pub fn put(&mut self, number: u16, slot: Box<Slot>) {
        drop(self.take(number));
        let book = self.book_of(number);
        book.slots += 1;
        for (db, table) in slot.tables() {
            book.of_db(db).add(table.counts());
        }
        if slot.filed != NEVER {
            book.deadlines.insert((slot.filed, number));
        }
        if let Some(interest) = &slot.interest {
            book.interested.insert(number);
            book.tracked += interest.cached.len();
            book.own.extend(interest.own.next().map(|deadline| (deadline, number)));
        }
        self.slots[usize::from(number)] = Some(slot);
    }

    /// A slot that is here.
    #[inline]
    pub fn slot(&self, number: u16) -> Option<&Slot> {
        self.slots[usize::from(number)].as_deref()
    }

    /// A slot that is here, to note how much of it is saved.
    pub(crate) fn slot_mut(&mut self, number: u16) -> Option<&mut Slot> {
        self.slots[usize::from(number)].as_deref_mut()
    }

    /// Who cares for the keys of a slot, made where it is missing; none where the slot is not here.
    pub(super) fn interest(&mut self, number: u16) -> Option<&mut Interest> {
        if self.slot(number)?.interest.is_none() {
            self.book_of(number).interested.insert(number);
        }
        let slot = self.slots[usize::from(number)].as_deref_mut()?;
        Some(slot.interest.get_or_insert_default())
    }

    /// Whether anybody may care for keys that are here.
    #[inline]
    pub(crate) fn has_interest(&self) -> bool {
        self.books.iter().any(|book| !book.interested.is_empty())
    }

    /// A key has changed, for which somebody may care: notes who had cached it. Returns true where
    /// somebody waits for it.
    pub(super) fn tell_interested(
        &mut self,
        db: u32,
        key: Key<'_>,
        event: Event,
        invalidations: &mut Invalidations,
    ) -> bool {
        self.with_interest(key.slot, |interest| {
            interest.changed(db, key.name, event, invalidations)
        })
        .unwrap_or_default()
    }

    /// Changes who cares for the keys of a slot, where that is here and somebody does.
    pub(super) fn with_interest<R>(
        &mut self,
        number: u16,
        change: impl FnOnce(&mut Interest) -> R,
    ) -> Option<R> {
        let slot = self.slots[usize::from(number)].as_deref_mut()?;
        let interest = slot.interest.as_deref_mut()?;
        let before = interest.cached.len();
        let result = change(interest);
        let after = interest.cached.len();
        let tracked = &mut self.book_of(number).tracked;
        *tracked = *tracked - before + after;
        Some(result)
    }

    /// How many keys that are here somebody has cached.
    #[inline]
    pub(crate) fn tracked(&self) -> usize {
        self.books.iter().map(|book| book.tracked).sum()
    }

    /// The keys of a database are about to be gone at `now`, or to be those of `other`. Calls
    /// `each` with those for which somebody waits.
    pub(super) fn tell_replaced(
        &mut self,
        db: u32,
        other: Option<u32>,
        now: Millis,
        mut each: impl FnMut(Key<'_>),
    ) {
        let numbers: Vec<u16> = self.interested().collect();
        for number in numbers {
            let Some(slot) = self.slots[usize::from(number)].as_deref_mut() else { continue };
            let Some(mut interest) = slot.interest.take() else { continue };
            let (slot, hasher) = (&*slot, &self.hasher);
            let state = |db: u32, name: &[u8]| {
                let table = slot.table(db);
                match table.and_then(|table| table.get(Key::new(name, hasher).in_table())) {
                    None => There::No,
                    Some(entry) if entry.is_expired(now) => There::Expired,
                    Some(_) => There::Yes,
                }
            };
            let after = |name: &[u8]| other.map_or(There::No, |other| state(other, name));
            let awaited = interest.replaced(db, |name| state(db, name), after);
            awaited.iter().for_each(|name| each(Key::new(name, hasher)));
            if let Some(slot) = self.slots[usize::from(number)].as_deref_mut() {
                slot.interest = Some(interest);
            }
        }
    }

    pub(super) fn interested(&self) -> impl Iterator<Item = u16> {
        self.books.iter().flat_map(|book| book.interested.iter().copied())
    }

    /// Somebody waits for a key from now on, where its slot is here.
    pub(crate) fn wait(
        &mut self,
        db: u32,
        key: Key<'_>,
        what: Awaited,
        rank: Rank,
        waiter: Weak<dyn Waiter>,
    ) {
        if let Some(interest) = self.interest(key.slot) {
            interest.wait(db, key.name, what, rank, waiter);
        }
    }

    /// The highest number among those that wait for a key.
    pub(crate) fn last_number(&self, db: u32, key: Key<'_>, what: Awaited) -> Option<u64> {
        self.slot(key.slot)?.interest.as_ref()?.last_number(db, key.name, what)
    }

    /// The first of those that wait for a key and come after `after`.
    pub(crate) fn next_waiter(
        &mut self,
        db: u32,
        key: Key<'_>,
        what: Awaited,
        after: Option<Rank>,
    ) -> Option<(Rank, Arc<dyn Waiter>)> {
        let slot = self.slots[usize::from(key.slot)].as_deref_mut()?;
        slot.interest.as_mut()?.next_waiter(db, key.name, what, after)
    }

    /// Whether anybody may care for keys of a slot that is here.
    #[inline]
    pub(crate) fn is_of_interest(&self, slot: u16) -> bool {
        self.slot(slot).is_some_and(|slot| slot.interest.is_some())
    }

    /// Slots that are not here, and that those need that wait for these keys, or for keys that
    /// change when they are served.
    #[cold]
    pub(crate) fn needs_of_waiters<'k>(&self, keys: impl Iterator<Item = Key<'k>>) -> Vec<u16> {
        let mut next = Vec::new();
        keys.for_each(|key| self.add_needs(key.slot, key.name, &mut next));
        let mut looked_at: BTreeSet<(u16, Vec<u8>)> = BTreeSet::new();
        while let Some((slot, name)) = next.pop() {
            if looked_at.insert((slot, name.clone())) {
                self.add_needs(slot, &name, &mut next);
            }
        }
        let absent = looked_at.into_iter().map(|(slot, _)| slot).filter(|slot| !self.has(*slot));
        let absent: BTreeSet<u16> = absent.collect();
        absent.into_iter().collect()
    }

    /// Adds the keys that change when those are served that wait for this one.
    fn add_needs(&self, slot: u16, name: &[u8], needs: &mut Vec<(u16, Vec<u8>)>) {
        let Some(interest) = self.slot(slot).and_then(|slot| slot.interest.as_ref()) else {
            return;
        };
        for waiter in interest.waiting(name) {
            let keys = waiter.needs().into_iter();
            needs.extend(keys.map(|key| (key.slot, key.name.to_vec())));
        }
    }

    /// How many keys that are here somebody watches, and for how many somebody waits. Forgets the
    /// slots for which nobody cares.
    pub fn cared_for(&mut self) -> Cares {
        let Keyspace { slots, books, .. } = self;
        let mut sums = Cares::default();
        for book in books {
            book.interested.retain(|number| {
                let Some(slot) = slots[usize::from(*number)].as_deref_mut() else { return false };
                let counts = slot.interest.as_ref().map(|interest| interest.counts());
                let cares = counts.unwrap_or_default();
                sums.add(cares);
                if cares == Cares::default() {
                    slot.interest.take_if(|interest| interest.own.is_empty());
                }
                slot.interest.is_some()
            });
        }
        sums
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

    /// Changes the table of a key's slot in any way; counts and deadlines follow. Nothing where the
    /// slot is not here.
    pub fn change<R>(
        &mut self,
        db: u32,
        key: Key<'_>,
        change: impl FnOnce(&mut Table, &Hasher) -> R,
    ) -> Option<R> {
        let number = key.slot;
        let slot = self.slots[usize::from(number)].as_deref_mut()?;
        let table = slot.table_or_new(db);
        let (before, bound_before) = (table.counts(), table.next_deadline());
        let result = change(table, &self.hasher);
        let (after, bound) = (table.counts(), table.next_deadline());
        if db > 0 && after.len == 0 {
            slot.forget(db);
        }
        if after != before {
            let counts = self.book_of(number).of_db(db);
            counts.sub(before);
            counts.add(after);
        }
        // What the slot is filed under is in no line that a look needs.
        if bound < bound_before {
            self.file_by(number, bound);
        }
        Some(result)
    }

    /// The tables of a database, over the slots that are here, in ascending order of the slots.
    pub fn tables(&self, db: u32) -> impl Iterator<Item = &Table> {
        self.slots.iter().flatten().filter_map(move |slot| slot.table(db))
    }

    /// Figures of a database over the slots that are here.
    pub fn counts(&self, db: u32) -> Counts {
        let mut counts = Counts::default();
        self.books.iter().filter_map(|book| book.counts.get(&db)).for_each(|of| counts.add(*of));
        counts
    }

    /// Figures of databases over some of the slots each.
    pub(super) fn each_counts(&self) -> impl Iterator<Item = &Counts> {
        self.books.iter().flat_map(|book| book.counts.values())
    }

    /// The databases that have figures, ascending.
    pub fn databases(&self) -> BTreeSet<u32> {
        self.books.iter().flat_map(|book| book.counts.keys().copied()).collect()
    }

    /// Takes the tables of a database out of all slots that are here; the caller drops them, bit by
    /// bit if they are big. What a snapshot has not saved stays with its slot, where no command
    /// finds it.
    pub(crate) fn clear(&mut self, db: u32, saving: Option<&Saving>) -> Vec<Table> {
        // Each holds a key at least. They are many, so they are not moved again and again.
        let mut tables = Vec::with_capacity(self.counts(db).len.min(usize::from(SLOTS)));
        for slot in self.slots.iter_mut().flatten() {
            if slot.table(db).is_some_and(|table| table.counts().len > 0) {
                let table = slot.take(db);
                tables.extend(match saving {
                    Some(saving) => slot.saved.flushed(saving.number, db, table),
                    None => Some(table),
                });
            }
        }
        for book in &mut self.books {
            book.counts.remove(&db);
        }
        tables
    }

    /// Puts the tables of other slots into those that are here, whose databases are empty.
    pub(super) fn fill(&mut self, slots: Slots) {
        for (number, mut from) in slots {
            let Some(mut to) = self.take(number) else { continue };
            let databases: Vec<u32> = from.tables().map(|(db, _)| db).collect();
            databases.iter().for_each(|db| to.put(*db, from.take(*db)));
            to.filed = to.next_of_tables();
            self.put(number, to);
        }
    }

    /// Exchanges two databases in all slots that are here.
    pub(crate) fn swap(&mut self, a: u32, b: u32, saving: Option<&Saving>) {
        for slot in self.slots.iter_mut().flatten() {
            if let Some(saving) = saving {
                slot.saved.swapped(saving.number, a, b);
            }
            let (of_a, of_b) = (slot.take(a), slot.take(b));
            slot.put(a, of_b);
            slot.put(b, of_a);
        }
        for Book { counts, .. } in &mut self.books {
            let (of_a, of_b) = (counts.remove(&a), counts.remove(&b));
            counts.extend(of_b.map(|of| (a, of)));
            counts.extend(of_a.map(|of| (b, of)));
        }
    }

    /// The earliest time at which a key may expire.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.earliest().map(|(deadline, _)| deadline)
    }

    /// The slot with the earliest deadline, if that has passed at `now`.
    pub fn expired_slot(&self, now: Millis) -> Option<u16> {
        self.earliest().filter(|(deadline, _)| *deadline <= now).map(|(_, slot)| slot)
    }

    fn earliest(&self) -> Option<(Millis, u16)> {
        self.books.iter().filter_map(|book| book.deadlines.first()).min().copied()
    }

    /// Asks for what these keys will need, so that it is in the cache by then.
    ///
    /// A look at a key is a chain of three loads, each a miss in a large keyspace: slot, bucket,
    /// entry. Each link is asked for of all keys before the next one is worked out, which has to
    /// read it: so the waits overlap. Nothing waits for the entries here, since the first calls run
    /// while they come. Nothing is decided and nothing changes.
    pub fn warm(&self, db: u32, keys: &[Warm<'_>]) {
        let mut tables = [None; WARMED];
        for (place, key) in tables.iter_mut().zip(keys) {
            let Some(table) = self.table(db, key.slot) else { continue };
            table.prefetch();
            *place = Some(table);
        }
        let mut buckets = [None; WARMED];
        for ((place, table), key) in buckets.iter_mut().zip(tables).zip(keys) {
            let Some(bucket) = table.and_then(|table| table.bucket(key.hash)) else { continue };
            bucket.prefetch();
            *place = Some(bucket);
        }
        let mut entries = [None; WARMED];
        let mut behind = [None; WARMED];
        let looks = buckets.into_iter().zip(tables).zip(keys);
        for ((place, behind), ((bucket, table), key)) in
            entries.iter_mut().zip(&mut behind).zip(looks)
        {
            let Some((table, bucket)) = table.zip(bucket) else { continue };
            if let Some(entry) = bucket.candidate(key.hash) {
                entry.prefetch();
                *place = Some(entry);
                continue;
            }
            table.warm_split();
            if let Some(bucket) = table.behind(key.hash, bucket) {
                bucket.prefetch();
                *behind = Some(bucket);
            }
        }
        for ((place, bucket), key) in entries.iter_mut().zip(behind).zip(keys) {
            let Some(entry) = bucket.and_then(|bucket| bucket.candidate(key.hash)) else {
                continue;
            };
            entry.prefetch();
            *place = Some(entry);
        }
        if keys.iter().any(|key| key.inside) {
            self.warm_inside(&entries, keys);
        }
    }

    /// As [`Keyspace::warm`], of what the keys' collections are asked for.
    fn warm_inside(&self, entries: &[Option<&Entry>; WARMED], keys: &[Warm<'_>]) {
        let asked = || entries.iter().zip(keys).filter(|(_, key)| key.inside);
        asked().flat_map(|(entry, _)| *entry).for_each(Entry::prefetch_object);
        let mut looks = [const { None }; WARMED];
        for (look, (entry, key)) in looks.iter_mut().zip(asked()) {
            let Some(name) = key.element else { continue };
            let object = entry.and_then(Entry::object);
            *look = object.map(|object| (object, self.hasher.hash(name)));
        }
        for (object, hash) in looks.iter().flatten() {
            object.collection().warm(*hash, Link::Bucket);
        }
        for (object, hash) in looks.iter().flatten() {
            object.collection().warm(*hash, Link::Member);
        }
    }

    /// Calls `found` with database and entry of keys of a slot that have expired at `now`, or of
    /// which elements have, `most` of them at the most. The caller removes those, then calls
    /// [`Keyspace::refile`].
    pub fn find_expired(
        &mut self,
        number: u16,
        now: Millis,
        most: usize,
        mut found: impl FnMut(u32, &Entry),
    ) {
        let Some(slot) = self.slots[usize::from(number)].as_deref_mut() else { return };
        let databases: Vec<u32> = slot.tables().map(|(db, _)| db).collect();
        for db in databases {
            if let Some(table) = slot.table_mut(db).filter(|table| table.next_deadline() <= now) {
                table.find_expired(now, most, |entry| found(db, entry));
            }
        }
    }

    /// Files a slot under a deadline, where that is earlier than the one before.
    #[cold]
    fn file_by(&mut self, number: u16, deadline: Millis) {
        let Some(slot) = self.slots[usize::from(number)].as_deref_mut() else { return };
        if deadline < slot.filed {
            let filed = std::mem::replace(&mut slot.filed, deadline);
            let deadlines = &mut self.book_of(number).deadlines;
            deadlines.remove(&(filed, number));
            deadlines.insert((deadline, number));
        }
    }

    /// Files a slot under the deadline that its tables have now.
    pub fn refile(&mut self, number: u16) {
        let Some(slot) = self.slots[usize::from(number)].as_deref_mut() else { return };
        let deadline = slot.next_of_tables();
        let filed = std::mem::replace(&mut slot.filed, deadline);
        let deadlines = &mut self.book_of(number).deadlines;
        deadlines.remove(&(filed, number));
        if deadline != NEVER {
            deadlines.insert((deadline, number));
        }
    }
}

impl Book {
    /// The counts of a database.
    fn of_db(&mut self, db: u32) -> &mut Counts {
        self.counts.entry(db).or_default()
    }
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
        assert_eq!((here.next_deadline(), there.next_deadline()), (None, Some(Millis(50))));
    }

    #[test]
    fn shards_in_one_array_part_with_what_they_count() {
        let hasher = Hasher::with_seeds([1, 2, 3, 4]);
        let mut shards: Vec<Keyspace> = (0..3).map(|_| Keyspace::new(hasher.clone())).collect();
        (0..SLOTS).for_each(|slot| shards[usize::from(slot % 3)].put(slot, Box::default()));
        let names: Vec<Vec<u8>> = (0..300).map(|number| format!("key:{number}").into()).collect();
        let owner = |name: &[u8]| usize::from(Key::new(name, &hasher).slot % 3);
        for (number, name) in (0..).zip(&names) {
            put(&mut shards[owner(name)], 0, name, Some(Millis(1_000 + number)));
        }
        let mut all = Keyspace::new(hasher.clone());
        std::mem::swap(&mut all, &mut shards[0]);
        let (_, rest) = shards.split_at_mut(1);
        rest.iter_mut().for_each(|other| all.take_in(other));
        assert_eq!((all.counts(0).len, all.here().count()), (300, usize::from(SLOTS)));
        assert_eq!(all.next_deadline(), Some(Millis(1_000)));
        put(&mut all, 0, b"new", Some(Millis(1)));
        put(&mut all, 7, b"new", None);
        for (shard, whole) in shards.iter_mut().zip(all.into_wholes()) {
            shard.put_back(whole);
        }
        assert_eq!(shards[owner(b"new")].next_deadline(), Some(Millis(1)));
        for (number, shard) in shards.iter_mut().enumerate() {
            let own = names.iter().filter(|name| owner(name) == number).count();
            let new = usize::from(owner(b"new") == number);
            assert_eq!((shard.counts(0).len, shard.counts(7).len), (own + new, new));
            let here: Vec<u16> = shard.here().collect();
            here.iter().for_each(|slot| drop(shard.take(*slot)));
            assert_eq!((shard.counts(0), shard.next_deadline()), (Counts::default(), None));
        }
    }

    #[test]
    fn databases_are_swapped_and_cleared() {
        let mut space = whole();
        put(&mut space, 0, b"a", None);
        put(&mut space, 1, b"b", None);
        put(&mut space, 1, b"c", None);
        space.swap(0, 1, None);
        assert_eq!((space.counts(0).len, space.counts(1).len), (2, 1));
        assert_eq!(space.clear(0, None).iter().map(|table| table.counts().len).sum::<usize>(), 2);
        assert_eq!(space.counts(0), Counts::default());
    }
}
