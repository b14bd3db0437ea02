//! How far a snapshot has come with the keys of a slot.
//!
//! A snapshot is what all keys held at one moment. It is written while commands run, in the order
//! of the positions that names have ([`Name::position`](crate::data::table::Name::position)), the
//! same in all databases. Each slot notes which positions are saved, and takes that along wherever
//! it goes.
//!
//! 1. A key at a position that is not saved is as it was at the moment. Before it changes, the
//!    bucket around it is saved, in all databases: small values are written at once, large ones are
//!    put in the slot's queue. So a new key is never in the snapshot.
//! 2. A large value is written piece by piece, and its count comes first. A command that changes it
//!    waits until it is written. What changes it all the same has it written whole, there and then.
//! 3. A database that is emptied leaves its tables with the slot until they are saved. Databases
//!    that are swapped are noted: keys are written under the numbers of the moment.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::data::table::ALL_POSITIONS;
use crate::keyspace::discarded::Discarded;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::saving::{Queued, Saving};
use crate::keyspace::slot::{Slot, Table};
use crate::keyspace::space::Keyspace;

/// What of a slot is saved.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// By which snapshot: its number, or 0 for none. For every other one nothing is saved.
    number: u32,
    /// What is not; all of the slot is saved where there is none.
    rest: Option<Box<Rest>>,
}

/// What is left to be saved of a slot.
#[derive(Debug, Default)]
struct Rest {
    /// The positions that are saved: where each range of them begins and ends.
    saved: BTreeMap<u64, u64>,
    /// Large values at these positions that are not whole yet. Only of the first a part is written.
    large: VecDeque<Queued>,
    /// Databases that have other numbers now, each with its number of the moment.
    swapped: BTreeMap<u32, u32>,
    /// Tables of databases that were emptied, with the numbers of the moment.
    flushed: Vec<(u32, Table)>,
}

impl Saved {
    /// What is left for a snapshot; none where all is saved.
    fn rest(&mut self, number: u32) -> Option<&mut Rest> {
        if self.number != number {
            *self = Saved { number, rest: Some(Box::default()) };
        }
        self.rest.as_deref_mut()
    }

    /// Whether all is saved for a snapshot.
    pub(crate) fn is_whole(&self, number: u32) -> bool {
        self.number == number && self.rest.is_none()
    }

    /// Whether tables are kept that were flushed, and whether databases were swapped.
    #[cfg(test)]
    pub(crate) fn odds(&self) -> (bool, bool) {
        let rest = self.rest.as_deref();
        rest.map_or((false, false), |rest| (!rest.flushed.is_empty(), !rest.swapped.is_empty()))
    }

    /// True when a snapshot is under way here, or has left something behind.
    pub(crate) fn is_begun(&self) -> bool {
        self.rest.is_some()
    }

    /// Two databases are about to be exchanged.
    pub(super) fn swapped(&mut self, number: u32, a: u32, b: u32) {
        let Some(rest) = self.rest(number) else { return };
        let (of_a, of_b) = (rest.at_the_moment(a), rest.at_the_moment(b));
        rest.swapped.extend([(a, of_b), (b, of_a)]);
    }

    /// A database was emptied. Gives its table back where nothing of it is left to be saved.
    pub(super) fn flushed(&mut self, number: u32, db: u32, table: Table) -> Option<Table> {
        let Some(rest) = self.rest(number) else { return Some(table) };
        let db = rest.at_the_moment(db);
        // What it got since it was emptied before is new.
        if rest.is_flushed(db) {
            return Some(table);
        }
        rest.flushed.push((db, table));
        None
    }

    /// The tables that no command finds any more.
    pub(super) fn into_tables(self) -> impl Iterator<Item = Table> {
        let flushed = self.rest.map(|rest| rest.flushed).unwrap_or_default();
        flushed.into_iter().map(|(_, table)| table)
    }
}

impl Rest {
    /// The number of the moment of a database that has this one now.
    fn at_the_moment(&self, db: u32) -> u32 {
        self.swapped.get(&db).copied().unwrap_or(db)
    }

    /// The number now of a database that had this one at the moment.
    fn now(&self, db: u32) -> u32 {
        self.swapped.iter().find(|(_, moment)| **moment == db).map_or(db, |(now, _)| *now)
    }

    fn is_flushed(&self, db: u32) -> bool {
        self.flushed.iter().any(|(flushed, _)| *flushed == db)
    }

    /// The positions around this one that are not saved; none where it is.
    fn gap(&self, position: u64) -> Option<Range<u64>> {
        let before = self.saved.range(..=position).next_back();
        let start = before.map_or(0, |(_, end)| *end);
        let after = self.saved.range(position..).next();
        let end = after.map_or(ALL_POSITIONS.end, |(start, _)| *start);
        (start <= position).then_some(start..end)
    }

    /// The first position that is not saved.
    fn first_gap(&self) -> Option<u64> {
        let end = self.saved.get(&0).copied().unwrap_or(0);
        ALL_POSITIONS.contains(&end).then_some(end)
    }

    /// Notes positions as saved that are not yet.
    fn note(&mut self, positions: Range<u64>) {
        let Range { mut start, mut end } = positions;
        if let Some((before, _)) = self.saved.range(..start).next_back().filter(|it| *it.1 == start)
        {
            start = *before;
        }
        if let Some(behind) = self.saved.remove(&end) {
            end = behind;
        }
        self.saved.insert(start, end);
    }

    /// The tables of the moment, with the numbers that their databases had.
    fn tables<'a>(&'a self, slot: &'a Slot) -> impl Iterator<Item = (u32, &'a Table)> {
        let now = slot.tables().map(|(db, table)| (self.at_the_moment(db), table));
        now.chain(self.flushed.iter().map(|(db, table)| (*db, table)))
    }

    /// Asks for what is in the bucket at this position: waiting for each key in turn takes longer
    /// than writing them.
    fn warm_around(&self, slot: &Slot, position: u64) {
        self.tables(slot).for_each(|(_, table)| table.warm_around(position));
    }

    /// Saves what is in the bucket at this position, in all databases.
    fn save_around(&mut self, slot: &Slot, position: u64, hasher: &Hasher, saving: &mut Saving) {
        let Some(mut positions) = self.gap(position) else { return };
        self.warm_around(slot, position);
        for (_, table) in self.tables(slot) {
            let around = table.positions_around(position);
            positions = positions.start.max(around.start)..positions.end.min(around.end);
        }
        let mut large = Vec::new();
        for (db, table) in self.tables(slot) {
            for entry in table.within(&positions, hasher) {
                if entry.memory() > saving.large {
                    large.push(Queued::new(db, entry.key()));
                } else {
                    saving.key(db, entry);
                }
            }
        }
        self.large.extend(large);
        self.note(positions);
    }

    /// Where in the queue a key is that a command finds by this name, in this database or, none
    /// given, in any.
    fn find_large(&self, db: Option<u32>, name: &[u8]) -> Option<usize> {
        let db = db.map(|db| self.at_the_moment(db));
        let is_it = |large: &Queued| {
            *large.name == *name && db.is_none_or(|db| large.db == db) && !self.is_flushed(large.db)
        };
        self.large.iter().position(is_it)
    }

    /// Writes the next piece of a large value. Returns true when it is whole.
    fn write_piece(
        &self,
        slot: &Slot,
        large: &mut Queued,
        hasher: &Hasher,
        saving: &mut Saving,
    ) -> bool {
        let flushed = self.flushed.iter().find(|(db, _)| *db == large.db).map(|(_, table)| table);
        let table = flushed.or_else(|| slot.table(self.now(large.db)));
        let name = Key::new(&large.name, hasher).in_table();
        match table.and_then(|table| table.get(name)) {
            Some(entry) => saving.piece(large, entry),
            None => {
                saving.fail();
                true
            }
        }
    }
}

impl Keyspace {
    /// Lends a slot that is not saved, with what is left of it, to `work`. None where it is not
    /// here or all of it is saved.
    fn with_rest<R>(
        &mut self,
        number: u16,
        saving: &mut Saving,
        work: impl FnOnce(&Slot, &mut Rest, &Hasher, &mut Saving) -> R,
    ) -> Option<R> {
        let hasher = self.hasher().clone();
        let slot = self.slot_mut(number)?;
        slot.saved.rest(saving.number)?;
        // If this panics, what is lost of it ends the snapshot, since the shard is not trusted.
        let mut rest = slot.saved.rest.take()?;
        let result = work(slot, &mut rest, &hasher, saving);
        slot.saved.rest = Some(rest);
        Some(result)
    }

    /// A key is about to change: saves what is around it, and it itself, whatever that takes.
    fn save_ahead(&mut self, db: u32, key: Key<'_>, saving: &mut Saving) {
        let position = key.in_table().position();
        let large = self.with_rest(key.slot, saving, |slot, rest, hasher, saving| {
            rest.save_around(slot, position, hasher, saving);
            let at = rest.find_large(Some(db), key.name)?;
            let mut large = rest.large.remove(at)?;
            while !rest.write_piece(slot, &mut large, hasher, saving) {}
            Some((rest.now(large.db), large.name))
        });
        self.written_large(large.flatten());
    }

    /// Saves what is around a key. Returns true where the key, in this database or, none given, in
    /// any, is a large value that is not whole yet.
    fn is_queued(&mut self, db: Option<u32>, key: Key<'_>, saving: &mut Saving) -> bool {
        let position = key.in_table().position();
        let is_queued = self.with_rest(key.slot, saving, |slot, rest, hasher, saving| {
            rest.save_around(slot, position, hasher, saving);
            rest.find_large(db, key.name).is_some()
        });
        is_queued.unwrap_or(false)
    }

    /// Saves what is around a key that a command may change. Where it is a large value, in any
    /// database, writes a piece of it, or of one ahead of it, and returns true: it has to wait.
    pub(crate) fn save_for(&mut self, key: Key<'_>, saving: &mut Saving) -> bool {
        let waits = self.is_queued(None, key, saving);
        if waits {
            self.write_some(key.slot, saving);
        }
        waits
    }

    /// Whether a change of the key would have more saved than what is already.
    pub(crate) fn is_unsaved(&self, key: Key<'_>, saving: &Saving) -> bool {
        let Some(slot) = self.slot(key.slot) else { return false };
        let Saved { number, rest } = &slot.saved;
        match rest {
            _ if *number != saving.number => true,
            None => false,
            Some(rest) => {
                rest.gap(key.in_table().position()).is_some()
                    || rest.find_large(None, key.name).is_some()
            }
        }
    }

    /// Writes a piece of the first large value of a slot. Returns false where there is none.
    fn write_some(&mut self, number: u16, saving: &mut Saving) -> bool {
        let written = self.with_rest(number, saving, |slot, rest, hasher, saving| {
            let mut large = rest.large.pop_front()?;
            if rest.write_piece(slot, &mut large, hasher, saving) {
                return Some(Some((rest.now(large.db), large.name)));
            }
            rest.large.push_front(large);
            Some(None)
        });
        let is_there = written.as_ref().is_some_and(Option::is_some);
        self.written_large(written.flatten().flatten());
        is_there
    }

    /// A large value is written. If it has expired meanwhile, it is found from now on.
    fn written_large(&mut self, key: Option<(u32, Box<[u8]>)>) {
        let Some((db, name)) = key else { return };
        let key = Key::new(&name, &self.hasher().clone());
        self.change(db, key, |table, _| table.file_anew(key.in_table()));
    }

    /// Saves the next bucket of a slot. Returns false where there is none.
    fn save_next(&mut self, number: u16, saving: &mut Saving) -> bool {
        let saved = self.with_rest(number, saving, |slot, rest, hasher, saving| {
            let position = rest.first_gap()?;
            rest.save_around(slot, position, hasher, saving);
            rest.first_gap().into_iter().for_each(|next| rest.warm_around(slot, next));
            Some(())
        });
        saved.flatten().is_some()
    }

    /// Saves a slot from where that stands, until `goes_on` says no. Returns true when all of it is
    /// saved.
    pub(crate) fn save_slot(
        &mut self,
        number: u16,
        saving: &mut Saving,
        discarded: &mut Discarded,
        goes_on: &mut dyn FnMut(&Saving) -> bool,
    ) -> bool {
        loop {
            if !self.write_some(number, saving) && !self.save_next(number, saving) {
                break;
            }
            if !goes_on(saving) {
                return false;
            }
        }
        let slot = self.slot_mut(number).filter(|slot| !slot.saved.is_whole(saving.number));
        if let Some(slot) = slot {
            let saved = std::mem::take(&mut slot.saved);
            slot.saved.number = saving.number;
            discarded.take_tables(saved.into_tables().collect());
            saving.count_slot();
        }
        true
    }

    /// Forgets what a snapshot that has ended has left of a slot.
    pub(crate) fn forget_saved(&mut self, number: u16, discarded: &mut Discarded) {
        let Some(slot) = self.slot_mut(number).filter(|slot| slot.saved.is_begun()) else { return };
        let Some(mut rest) = std::mem::take(&mut slot.saved).rest else { return };
        let large = std::mem::take(&mut rest.large);
        let found = large.into_iter().filter(|large| !rest.is_flushed(large.db));
        let found: Vec<_> = found.map(|large| (rest.now(large.db), large.name)).collect();
        discarded.take_tables(rest.flushed.into_iter().map(|(_, table)| table).collect());
        found.into_iter().for_each(|key| self.written_large(Some(key)));
    }

    /// Whether a look at the key at `now` would take it out, or elements of it, in any database.
    pub(crate) fn would_expire(&self, key: Key<'_>, now: Millis) -> bool {
        let Some(slot) = self.slot(key.slot) else { return false };
        let tables = slot.tables().filter(|(_, table)| table.next_deadline() <= now);
        let mut entries = tables.filter_map(|(_, table)| table.get(key.in_table()));
        entries.any(|entry| entry.is_expired(now) || entry.next_element_deadline() <= now)
    }
}

impl Keys<'_> {
    /// The key is about to change.
    #[cold]
    pub(super) fn save_ahead(&mut self, key: Key<'_>) {
        if let Some(saving) = &mut self.tools.saving {
            self.space.save_ahead(self.db, key, saving);
        }
    }

    /// Whether a key that has expired has to stay, since a snapshot has not written it whole. What
    /// is around it is saved then.
    pub(crate) fn has_to_stay(&mut self, key: Key<'_>) -> bool {
        match &mut self.tools.saving {
            Some(saving) => self.space.is_queued(Some(self.db), key, saving),
            None => false,
        }
    }
}
