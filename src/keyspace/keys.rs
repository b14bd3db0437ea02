//! What a command sees: the keys of one database, at one time, and nothing of shards.
//!
//! A key that is past its deadline is not there: the first look at it takes it out and records its
//! deletion, but for calls that keep it ([`Expiry`]). Reads count hits and misses and move the
//! access clock; looks on behalf of a write do not count. Every change goes through here, so that
//! what changed is known ([`Keys::changes`]).
//!
//! A key whose slot is not here is never taken for missing: the slot is noted ([`Keys::absent`]),
//! and the call runs again when it is here. So a call looks at all that it needs before it changes
//! anything.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use crate::base::integer;
use crate::base::millis::Millis;
use crate::data::table::Counts;
use crate::data::value::Value;
use crate::keyspace::access::AccessClock;
use crate::keyspace::discarded::Discarded;
use crate::keyspace::effect::Effects;
use crate::keyspace::entry::{Entry, NewValue};
use crate::keyspace::error::KeyError;
use crate::keyspace::expiry::Expiry;
use crate::keyspace::key::Key;
use crate::keyspace::listener::{Event, Listeners, Owed};
use crate::keyspace::notices::Notices;
use crate::keyspace::saving::Saving;
use crate::keyspace::slot::Table;
use crate::keyspace::space::Keyspace;
use crate::keyspace::tracked::Invalidations;
use crate::keyspace::undo::Undo;
use crate::keyspace::watched::Watches;

/// What a shard keeps from call to call beside its keys, and lends to each command that it runs.
#[derive(Debug)]
pub struct Tools {
    /// What the commands of this turn changed.
    pub effects: Effects,
    /// Random numbers, seeded by the shell.
    pub random: fastrand::Rng,
    /// How accesses are counted.
    pub clock: AccessClock,
    /// What the commands did, in numbers.
    pub figures: Figures,
    /// What was emptied or deleted, to be dropped bit by bit.
    pub discarded: Discarded,
    /// Who hears of changes.
    pub listeners: Listeners,
    /// Which of them clients may hear of.
    pub notices: Notices,
    /// Which of them make what clients have cached invalid.
    pub invalidations: Invalidations,
    /// Keys for which somebody waits and that have changed.
    pub(crate) awaited: VecDeque<AwaitedKey>,
    /// The snapshot that is being written, if one is.
    pub(crate) saving: Option<Box<Saving>>,
    /// What the script that runs has changed, if one runs.
    pub(crate) undo: Option<Box<Undo>>,
    /// RESTORE does not look at the checksum of a payload.
    pub(crate) takes_any_checksum: bool,
}

/// A key for which somebody waits.
#[derive(Clone, Debug)]
pub(crate) struct AwaitedKey {
    pub(crate) db: u32,
    slot: u16,
    hash: u64,
    name: Box<[u8]>,
}

impl AwaitedKey {
    pub(crate) fn of(db: u32, key: Key<'_>) -> AwaitedKey {
        AwaitedKey { db, slot: key.slot, hash: key.hash, name: key.name.into() }
    }

    pub(crate) fn key(&self) -> Key<'_> {
        Key { name: &self.name, slot: self.slot, hash: self.hash }
    }
}

/// What commands did with keys, in numbers since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Expired keys that were taken out.
    pub expired: u64,
    /// Expired elements of collections that were taken out.
    pub expired_elements: u64,
    /// Keys that had to go since memory ran out.
    pub evicted: u64,
    /// Changes of the data set.
    pub changes: u64,
}

impl Figures {
    /// Adds those of another shard.
    pub fn add(&mut self, other: &Figures) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.expired += other.expired;
        self.expired_elements += other.expired_elements;
        self.evicted += other.evicted;
        self.changes += other.changes;
    }
}

/// The deadline of a key that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// None from now on.
    Clear,
    /// As it was; none for a new key.
    Keep,
    /// This one, in milliseconds of unix time.
    At(Millis),
}

/// The keys of one database at one time.
#[derive(Debug)]
pub struct Keys<'a> {
    pub(crate) space: &'a mut Keyspace,
    /// Effects, random numbers, figures.
    pub tools: &'a mut Tools,
    /// The database.
    pub db: u32,
    /// The time of the batch, in milliseconds of unix time.
    pub now: Millis,
    /// Reads leave the access clock alone (CLIENT NO-TOUCH).
    pub untouched: bool,
    /// How often the call changed the data set.
    pub changes: u64,
    /// What the call finds of what has expired.
    pub(crate) expiry: Expiry,
    /// The server is a replica.
    pub(crate) is_on_replica: bool,
    /// The call is that of a client that waited: keys that are not here have nothing for it.
    pub is_served: bool,
    /// Slots that the call met and that are not here.
    absent: RefCell<Option<BTreeSet<u16>>>,
    pub(super) owed: Owed,
}

impl<'a> Keys<'a> {
    /// The keys of `db` as they are at `now`.
    pub fn new(space: &'a mut Keyspace, tools: &'a mut Tools, db: u32, now: Millis) -> Keys<'a> {
        Keys {
            space,
            tools,
            db,
            now,
            untouched: false,
            changes: 0,
            expiry: Expiry::Usual,
            is_on_replica: false,
            is_served: false,
            absent: RefCell::default(),
            owed: Owed::default(),
        }
    }

    /// The key may be about to change: every mutation says so before its first byte.
    #[inline]
    pub(super) fn ahead(&mut self, key: Key<'_>) {
        self.owed.ahead(self.db, key);
        if self.tools.saving.is_some() {
            self.save_ahead(key);
        }
        if self.tools.undo.is_some() {
            self.keep_for_undo(key);
        }
        if !self.tools.listeners.is_empty() && !self.is_replay() {
            self.tell_ahead(key);
        }
    }

    /// The key has changed: every mutation says so after it, with what happened.
    #[inline]
    pub fn touch(&mut self, key: Key<'_>, event: Event) {
        self.owed.touched(self.db, key);
        if self.tools.clock == AccessClock::Modification {
            self.note_change(key);
        }
        if !self.is_replay() {
            self.tools.notices.note(self.db, key, event);
            self.tools.invalidations.note(key, event);
        }
        if !self.tools.listeners.is_empty() && !self.is_replay() {
            self.tell(key, event);
        }
        if self.space.has_interest() {
            self.tell_interested(key, event);
        }
    }

    /// A key that went with its last element has been told of: its end follows.
    #[inline]
    pub(super) fn touch_vanished(&mut self, key: Key<'_>) {
        if self.owed.take_vanished(self.db, key) {
            self.touch(key, Event::DEL);
        }
    }

    #[cold]
    fn tell_interested(&mut self, key: Key<'_>, event: Event) {
        let Keys { space, tools, db, .. } = self;
        if space.tell_interested(*db, key, event, &mut tools.invalidations) {
            tools.awaited.push_back(AwaitedKey::of(*db, key));
        }
    }

    #[cold]
    fn tell_ahead(&mut self, key: Key<'_>) {
        let there = self.space.table(self.db, key.slot).and_then(|t| t.get(key.in_table()));
        self.owed.know(self.db, key, there.map_or(0, Entry::memory));
        self.tools.listeners.each(|listener| listener.ahead(self.db, key, there));
    }

    #[cold]
    fn tell(&mut self, key: Key<'_>, event: Event) {
        let there = self.space.table(self.db, key.slot).and_then(|t| t.get(key.in_table()));
        let bytes = self.owed.grow(self.db, key, there.map_or(0, Entry::memory));
        self.tools.listeners.each(|listener| listener.touched(self.db, key, event, bytes));
    }

    /// The call changed the data set so many times by what it did to the key.
    pub fn changed(&mut self, key: Key<'_>, event: Event, times: usize) {
        if times > 0 {
            self.touch(key, event);
            self.touch_vanished(key);
            self.changes += times as u64;
        }
    }

    /// The call ends: nothing that changed has gone untold.
    pub(crate) fn end(&self) {
        self.owed.end();
    }

    /// Whether the call met a slot that is not here: whatever it does, it runs again.
    pub fn lacks_any(&self) -> bool {
        self.absent.borrow().is_some()
    }

    /// The slots that the call met and that are not here, ascending.
    pub fn absent(&self) -> Vec<u16> {
        self.absent.borrow().iter().flat_map(|slots| slots.iter().copied()).collect()
    }

    #[cold]
    pub(super) fn note_absent(&self, slot: u16) {
        if !self.space.has(slot) {
            self.absent.borrow_mut().get_or_insert_default().insert(slot);
        }
    }

    /// The same keys of another database, for as long as `run` runs.
    pub fn in_db<R>(&mut self, db: u32, run: impl FnOnce(&mut Keys<'_>) -> R) -> R {
        let home = std::mem::replace(&mut self.db, db);
        let result = run(self);
        self.db = home;
        result
    }

    /// Reads a key: counts a hit or a miss and moves its access clock.
    pub fn read(&mut self, key: Key<'_>) -> Option<&Entry> {
        self.expire_ahead_of_read(key);
        self.read_there(key)
    }

    /// As [`Keys::read`] of a key that was not known ahead and is asked for one element: expired
    /// elements, perhaps very many, stay where they are, and the caller sees through them.
    pub fn read_through(&mut self, key: Key<'_>) -> Option<&Entry> {
        if self.peek(key).is_none() {
            self.expire_ahead_of_read(key);
        }
        self.read_there(key)
    }

    fn read_there(&mut self, key: Key<'_>) -> Option<&Entry> {
        let untouched = self.untouched;
        let (clock, now, expiry) = (self.tools.clock, self.now, self.expiry);
        let entry =
            self.space.table_mut(self.db, key.slot).and_then(|table| table.get_mut(key.in_table()));
        match entry.filter(|entry| !expiry.hides_from_reads() || !entry.is_expired(now)) {
            Some(entry) => {
                self.tools.figures.hits += 1;
                if !untouched {
                    clock.touch(entry, now, &mut self.tools.random);
                }
                Some(entry)
            }
            None => {
                self.tools.figures.misses += 1;
                self.tools.notices.note(self.db, key, Event::KEYMISS);
                None
            }
        }
    }

    /// Looks at a key without a trace, but for taking it out when it has expired.
    pub fn look(&mut self, key: Key<'_>) -> Option<&Entry> {
        self.expire_if_needed(key);
        let entry = self.space.table(self.db, key.slot)?.get(key.in_table());
        entry.filter(|entry| !self.expiry.hides() || !entry.is_expired(self.now))
    }

    /// Begins to watch a key, which is left as it is.
    pub fn watch(&mut self, key: Key<'_>, watches: &mut Watches) {
        watches.add(self.space, self.db, key, self.now);
    }

    /// True when the key is there; counted as a read.
    pub fn exists(&mut self, key: Key<'_>) -> bool {
        self.read(key).is_some()
    }

    /// Reads a string: counts and touches.
    ///
    /// # Errors
    /// [`KeyError::WrongType`] when the key holds something else.
    pub fn read_string(&mut self, key: Key<'_>) -> Result<Option<Value<'_>>, KeyError> {
        string_of(self.read(key))
    }

    /// Looks at a string on behalf of a write.
    ///
    /// # Errors
    /// [`KeyError::WrongType`] when the key holds something else.
    pub fn look_string(&mut self, key: Key<'_>) -> Result<Option<Value<'_>>, KeyError> {
        string_of(self.look(key))
    }

    /// Stores a string, whatever the key held before. Numbers in their shortest form are kept as
    /// numbers.
    pub fn set_string(&mut self, key: Key<'_>, bytes: &[u8], deadline: Deadline, event: Event) {
        let value = match integer::parse(bytes) {
            Some(number) => NewValue::Integer(number),
            None => NewValue::Bytes(bytes),
        };
        self.set(key, value, deadline, event);
    }

    /// Stores a value, whatever the key held before.
    pub fn set(&mut self, key: Key<'_>, value: NewValue<'_>, deadline: Deadline, event: Event) {
        let Some(was) = self.store(key, value, deadline) else { return };
        self.note_overwritten(key, was);
        self.changed(key, event, 1);
    }

    /// Stores the number to which a key has counted: its value was not overwritten.
    pub fn set_sum(&mut self, key: Key<'_>, sum: NewValue<'_>, deadline: Deadline, event: Event) {
        if self.store(key, sum, deadline).is_some() {
            self.changed(key, event, 1);
        }
    }

    /// Stores a value; the event is the caller's. Returns nothing where the slot is not here, or
    /// the type of what the key held before.
    #[inline]
    fn store(
        &mut self,
        key: Key<'_>,
        value: NewValue<'_>,
        given: Deadline,
    ) -> Option<Option<&'static str>> {
        self.expire_if_needed(key);
        self.ahead(key);
        let (clock, now, untouched) = (self.tools.clock, self.now, self.untouched);
        let Tools { random, discarded, .. } = &mut *self.tools;
        let mut was = None;
        let stored = self.space.change(self.db, key, |table, hasher| {
            table.upsert(key.in_table(), hasher, |there| match there {
                Some(entry) => {
                    let deadline = match given {
                        Deadline::Clear => None,
                        Deadline::Keep => entry.deadline(),
                        Deadline::At(time) => Some(time),
                    };
                    was = Some("string");
                    if let Some(object) = entry.take_object() {
                        was = Some(object.type_name());
                        discarded.take_object(object);
                    }
                    entry.replace(value, deadline);
                    if !untouched {
                        clock.touch(entry, now, random);
                    }
                    None
                }
                None => {
                    let deadline = match given {
                        Deadline::At(time) => Some(time),
                        Deadline::Clear | Deadline::Keep => None,
                    };
                    let mut entry = Entry::new(key.name, value, deadline, 0);
                    clock.start(&mut entry, now);
                    Some(entry)
                }
            })
        });
        if stored? {
            self.touch(key, Event::NEW);
        }
        if matches!(given, Deadline::At(_)) {
            self.note_own(key);
        }
        Some(was)
    }

    /// Stores a value under a key that was looked for in order to change it, and is not there.
    /// Event and count are the caller's. Returns false where the slot is not here.
    pub(super) fn insert(&mut self, key: Key<'_>, value: NewValue<'_>) -> bool {
        let mut entry = Entry::new(key.name, value, None, 0);
        self.tools.clock.start(&mut entry, self.now);
        let inserted = self.space.change(self.db, key, |table, hasher| {
            table.insert(key.in_table(), hasher, entry);
        });
        if inserted.is_none() {
            return false;
        }
        self.touch(key, Event::NEW);
        self.owed.changed(self.db, key);
        true
    }

    /// Changes a string in place, an empty one where the key is missing; its deadline stays.
    /// `change` says whether it changed any byte: if not, the data set is as it was.
    ///
    /// # Panics
    /// When the key holds something else: the caller has looked.
    pub fn edit_string<R>(
        &mut self,
        key: Key<'_>,
        event: Event,
        change: impl FnOnce(&mut Vec<u8>) -> (R, bool),
    ) -> R {
        self.expire_if_needed(key);
        self.ahead(key);
        let there =
            self.space.table_mut(self.db, key.slot).and_then(|table| table.get_mut(key.in_table()));
        match there {
            Some(entry) => {
                if !self.untouched {
                    self.tools.clock.touch(entry, self.now, &mut self.tools.random);
                }
                let (result, has_changed) = entry.edit(change);
                self.changed(key, event, usize::from(has_changed));
                result
            }
            None => {
                let mut bytes = Vec::new();
                let (result, has_changed) = change(&mut bytes);
                if has_changed && self.insert(key, NewValue::Built(bytes)) {
                    self.changed(key, event, 1);
                }
                result
            }
        }
    }

    /// Adds to the whole number that a key holds, in place, a missing one being 0; its deadline
    /// stays. Returns the sum.
    ///
    /// # Errors
    /// [`KeyError::WrongType`], [`KeyError::NotAnInteger`] or
    /// [`KeyError::Overflow`].
    pub fn add_integer(&mut self, key: Key<'_>, by: i64, event: Event) -> Result<i64, KeyError> {
        self.expire_if_needed(key);
        self.ahead(key);
        let there =
            self.space.table_mut(self.db, key.slot).and_then(|table| table.get_mut(key.in_table()));
        let Some(entry) = there else {
            if self.insert(key, NewValue::Integer(by)) {
                self.changed(key, event, 1);
            }
            return Ok(by);
        };
        let old = match entry.string().ok_or(KeyError::WrongType)? {
            Value::Integer(number) => number,
            Value::Bytes(text) => integer::parse(text).ok_or(KeyError::NotAnInteger)?,
        };
        let sum = old.checked_add(by).ok_or(KeyError::Overflow)?;
        entry.replace(NewValue::Integer(sum), entry.deadline());
        if !self.untouched {
            self.tools.clock.touch(entry, self.now, &mut self.tools.random);
        }
        self.changed(key, event, 1);
        Ok(sum)
    }

    /// Sets or takes away the deadline of a key that is there. Returns false when there is none.
    pub fn set_deadline(&mut self, key: Key<'_>, deadline: Option<Millis>, event: Event) -> bool {
        self.expire_if_needed(key);
        self.ahead(key);
        if self.space.table(self.db, key.slot).is_none() {
            return false;
        }
        let mut is_there = false;
        self.space.change(self.db, key, |table, hasher| {
            table.upsert(key.in_table(), hasher, |there| {
                let entry = there?;
                entry.set_deadline(deadline);
                is_there = true;
                None
            })
        });
        self.note_own(key);
        self.changed(key, event, usize::from(is_there));
        is_there
    }

    /// Deletes a key; what is large is dropped bit by bit. Returns false when there is none.
    pub fn delete(&mut self, key: Key<'_>, event: Event) -> bool {
        let entry = self.remove(key, event);
        let is_gone = entry.is_some();
        entry.into_iter().for_each(|entry| self.tools.discarded.take_entry(entry));
        is_gone
    }

    /// Deletes a key in place of giving it a deadline that has passed: it counts as expired.
    pub fn delete_past(&mut self, key: Key<'_>) {
        let gone = self.delete(key, Event::EXPIRED);
        self.tools.figures.expired += u64::from(gone);
    }

    /// Takes a key out. Returns its entry if it was there.
    pub fn remove(&mut self, key: Key<'_>, event: Event) -> Option<Entry> {
        self.expire_if_needed(key);
        self.ahead(key);
        let entry = self.take(key)?;
        self.changed(key, event, 1);
        Some(entry)
    }

    /// Puts an entry in, over what may be there under its name: the end of RENAME, COPY and MOVE,
    /// which say so themselves. Returns the type of what was there.
    ///
    /// # Panics
    /// In tests, when the entry has another name than `key`.
    pub fn put(&mut self, key: Key<'_>, entry: Entry) -> Option<&'static str> {
        debug_assert_eq!(key.name, entry.key());
        self.ahead(key);
        let discarded = &mut self.tools.discarded;
        let mut was = None;
        let put = self.space.change(self.db, key, |table, hasher| {
            table.upsert(key.in_table(), hasher, |there| match there {
                Some(there) => {
                    was = Some(there.type_name());
                    discarded.take_entry(std::mem::replace(there, entry));
                    None
                }
                None => Some(entry),
            })
        });
        match put {
            Some(_) => {
                self.note_own(key);
                self.changed(key, Event::NEW, 1);
            }
            None => self.note_absent(key.slot),
        }
        was
    }

    /// Figures of the database, over the slots that are here.
    pub fn counts(&self) -> Counts {
        self.space.counts(self.db)
    }

    /// Number of keys in the database, over the slots that are here.
    pub fn count(&self) -> usize {
        self.counts().len
    }

    /// The databases that may hold keys, ascending.
    pub fn databases(&self) -> BTreeSet<u32> {
        self.space.databases()
    }

    /// Empties the database; what it held is dropped bit by bit.
    pub fn clear(&mut self) {
        self.empty();
        self.flush_cached();
    }

    /// Empties all databases.
    pub fn clear_all(&mut self) {
        for db in self.databases() {
            self.in_db(db, |keys| keys.empty());
        }
        self.tools.saving.iter_mut().for_each(|saving| saving.outdate());
        self.space.forget_own();
        self.flush_cached();
    }

    fn empty(&mut self) {
        self.changes += self.count() as u64;
        if !self.is_replay() {
            self.tools.listeners.each(|listener| listener.flushed(self.db));
        }
        if self.space.has_interest() {
            self.tell_replaced(self.db, None);
        }
        self.empty_for_undo();
        let Tools { discarded, saving, .. } = &mut *self.tools;
        discarded.take_tables(self.space.clear(self.db, saving.as_deref()));
    }

    /// The keys of a database are about to be gone, or to be those of another.
    fn tell_replaced(&mut self, db: u32, other: Option<u32>) {
        let Keys { space, tools, now, .. } = self;
        space.tell_replaced(db, other, *now, |key| {
            tools.awaited.push_back(AwaitedKey::of(db, key));
        });
    }

    /// Nothing is any more what clients have cached of any database, as in Redis.
    fn flush_cached(&mut self) {
        if !self.is_replay() {
            if self.space.tracked() > 0 {
                self.tools.discarded.take_cached(self.space.flush_trackers());
            }
            self.tools.invalidations.flush();
        }
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, a: u32, b: u32) {
        if self.space.has_interest() {
            self.tell_replaced(a, Some(b));
            self.tell_replaced(b, Some(a));
        }
        self.flush_cached();
        self.swap_for_undo(a, b);
        self.space.swap(a, b, self.tools.saving.as_deref());
        if !self.is_replay() {
            self.tools.listeners.each(|listener| listener.swapped(a, b));
        }
        self.changes += 1;
    }

    /// The tables of the database, over the slots that are here.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.space.tables(self.db)
    }

    /// The table of a slot, if it is here and ever held a key.
    pub fn table(&self, slot: u16) -> Option<&Table> {
        self.space.table(self.db, slot)
    }

    /// True when the slot is here.
    pub fn has(&self, slot: u16) -> bool {
        self.space.has(slot)
    }

    pub(super) fn take(&mut self, key: Key<'_>) -> Option<Entry> {
        self.space.table(self.db, key.slot)?;
        self.space.change(self.db, key, |table, _| table.remove(key.in_table())).flatten()
    }
}

fn string_of(entry: Option<&Entry>) -> Result<Option<Value<'_>>, KeyError> {
    entry.map(|entry| entry.string().ok_or(KeyError::WrongType)).transpose()
}

#[cfg(test)]
mod tests;
