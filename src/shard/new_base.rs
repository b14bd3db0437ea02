//! A base that is written while the server runs: each key as the commands that make it, piece by
//! piece, without a snapshot.
//!
//! The names of a slot stand in one order ([`Place`]), the same in all databases, and each slot has
//! a marker in that order. A key before the marker is written. A command that changes it is
//! recorded as always. A key behind the marker is not written yet. A command that changes it is not
//! recorded, since the key will be written as it is then. When all slots are written, the journal
//! up to there makes the data set of that moment. The marker may stand inside a key, after any of
//! its elements, so no piece takes longer than a slice.
//!
//! Four rules keep the journal right while commands run.
//!
//! 1. The key at the marker changes in one way only: its elements expire. That is recorded as
//!    always. It deletes elements of the part that is written, and nothing of the rest.
//! 2. A call may change several keys of which only some are written. Its own effect is replaced
//!    then: of each key that is written, the journal gets what the key holds now. The key at the
//!    marker, if it is one of them, is deleted from the journal and written again from its start.
//! 3. No such record may be long, and no key may be written again and again. So a call waits that
//!    would change the key at the marker, or a large key while others of its keys are not written.
//!    What is missing is written first, in slices. Other batches go on meanwhile.
//! 4. A command over everything (FLUSHALL, SWAPDB, DEBUG POPULATE) is recorded as it came. It does
//!    the same to what is written, since the marker is the same in all databases. The key at the
//!    marker is written again from its start. POPULATE also makes keys in the journal that are
//!    behind the marker. So rule 2 records for every key that is absent that it is absent.
//!
//! The marker is part of the slot and travels with it. All shards begin a base before the first of
//! them writes, since a slot that one of them has written may be lent to any other.

use crate::base::hash::Hasher;
use crate::base::slot::SLOTS;
use crate::commands::call::Call;
use crate::commands::recreate;
use crate::data::table::Place;
use crate::keyspace::effect::Effects;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::object::Object;
use crate::keyspace::slot::Slot;
use crate::keyspace::written::{Amount, Marker, Position, Written};
use crate::shard::execute::Engine;
use crate::shard::{SLICE_NS, Shard, Ticks};

/// Bytes of a base in one turn, so that the effects of clients find the journal's queue short.
const BYTES_A_TURN: usize = 256 * 1024;

/// Elements up to which a collection is recorded in one go.
const ELEMENTS_AT_ONCE: usize = 512;

/// A base that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewBase {
    number: u32,
    /// All slots that are here and come before this one are written.
    next: u16,
    /// Slots that this shard has written and not reported.
    written: u32,
}

/// Asked after each piece: whether there is time and room for another one.
type GoesOn<'a> = &'a mut dyn FnMut(&Effects) -> bool;

/// A key as it is written: the position of its name, the database, and what is there.
type Placed<'a> = (u64, u32, &'a Entry);

impl NewBase {
    fn begin(number: u32) -> NewBase {
        NewBase { number, next: 0, written: 0 }
    }

    fn has(self, slot: &Slot) -> bool {
        slot.written.base == self.number && slot.written.marker.is_none()
    }

    /// How amount of a key is written; of one whose slot is not here it does not matter.
    fn amount_of(self, slot: Option<&Slot>, key: Key<'_>) -> Amount {
        slot.map_or(Amount::All, |slot| slot.written.of(self.number, key.in_table()))
    }

    /// Writes a slot from its marker on. Returns false when `goes_on` said no before the end.
    fn write_slot(
        &mut self,
        slot: &mut Slot,
        effects: &mut Effects,
        hasher: &Hasher,
        goes_on: GoesOn<'_>,
    ) -> bool {
        let mut marker = Marker::default();
        if slot.written.base == self.number
            && let Some(left) = &mut slot.written.marker
        {
            // Should a piece panic, its key is written again.
            marker = Marker { place: left.place.clone(), part: left.part.take() };
        }
        loop {
            let (next, is_over) = write_bucket(slot, effects, hasher, marker, goes_on);
            match next {
                None => {
                    slot.written = Written::all(self.number);
                    self.written += 1;
                }
                Some(next) if is_over => {
                    slot.written = Written { base: self.number, marker: Some(Box::new(next)) };
                }
                Some(next) => {
                    marker = next;
                    continue;
                }
            }
            return !is_over;
        }
    }
}

/// Writes the keys of one bucket from the marker on. Returns where the marker is then, if not at
/// the end, and whether `goes_on` said no.
fn write_bucket(
    slot: &Slot,
    effects: &mut Effects,
    hasher: &Hasher,
    marker: Marker,
    goes_on: GoesOn<'_>,
) -> (Option<Marker>, bool) {
    let (mut entries, next_bucket) = bucket(slot, &marker.place, hasher);
    let mut from = Position::Start;
    if let Some((db, position)) = marker.part {
        let is_at_marker = |placed: &Placed<'_>| marker.place == place_of(placed);
        entries.retain(|placed| !is_at_marker(placed) || placed.1 >= db);
        if entries.first().is_some_and(|first| is_at_marker(first) && first.1 == db) {
            from = position;
        }
    }
    let mut entries = entries.into_iter().peekable();
    while let Some(placed) = entries.next() {
        let (_, db, entry) = placed;
        let mut rest = Some(std::mem::take(&mut from));
        while let Some(from) = rest {
            rest = recreate::record_piece(effects, db, entry.key(), entry, from);
            if goes_on(effects) {
                continue;
            }
            let next = match (rest, entries.peek()) {
                (Some(rest), _) => {
                    Some(Marker { place: place_of(&placed), part: Some((db, rest)) })
                }
                (None, Some(next)) => {
                    let is_same_key = next.2.key() == entry.key();
                    let part = is_same_key.then_some((next.1, Position::Start));
                    Some(Marker { place: place_of(next), part })
                }
                (None, None) => next_bucket.map(before_bucket),
            };
            return (next, true);
        }
    }
    let is_over = next_bucket.is_some() && !goes_on(effects);
    (next_bucket.map(before_bucket), is_over)
}

/// The keys of the slot from `place` on that are in the bucket there, in order, and the position
/// after the bucket. Tables of other databases may have larger ones: they are met again there.
fn bucket<'a>(slot: &'a Slot, place: &Place, hasher: &Hasher) -> (Vec<Placed<'a>>, Option<u64>) {
    let (mut entries, mut next) = (Vec::new(), None);
    for (db, table) in slot.tables().filter(|(_, table)| table.counts().len > 0) {
        let (found, end) = table.from(place, hasher);
        entries.extend(found.into_iter().map(|(position, entry)| (position, db, entry)));
        next = match (next, end) {
            (Some(one), Some(other)) => Some(u64::min(one, other)),
            (one, other) => one.or(other),
        };
    }
    entries.retain(|(position, ..)| next.is_none_or(|next| *position < next));
    entries.sort_unstable_by(|a, b| (a.0, a.2.key(), a.1).cmp(&(b.0, b.2.key(), b.1)));
    (entries, next)
}

fn place_of((position, _, entry): &Placed<'_>) -> Place {
    Place::of(*position, entry.key())
}

fn before_bucket(position: u64) -> Marker {
    Marker { place: Place::at(position), part: None }
}

impl Engine {
    /// Writes what is missing of a slot where a call needs that first (rule 3). Returns true when
    /// it did: the call has to wait.
    pub(super) fn write_base_ahead_of(&mut self, call: &Call<'_>, _db: u32) -> bool {
        let Some(base) = &mut self.new_base else { return false };
        if !call.command.writes() || !call.command.run.is_on_keys() {
            return false;
        }
        let (mut is_begun, mut is_large, mut left) = (false, false, None);
        for key in call.declared_keys() {
            let Some(slot) = self.space.slot(key.slot) else { continue };
            match slot.written.of(base.number, key.in_table()) {
                Amount::All => is_begun = true,
                Amount::Part => (is_begun, is_large, left) = (true, true, Some(key.slot)),
                Amount::Nothing => left = left.or(Some(key.slot)),
            }
            let entries = slot.tables().filter_map(|(_, table)| table.get(key.in_table()));
            is_large |= entries.filter_map(Entry::object).any(|object| is_large_one(&object));
        }
        let Some(number) = left.filter(|_| is_begun && is_large) else { return false };
        let hasher = self.space.hasher().clone();
        let Some(slot) = self.space.slot_mut(number) else { return false };
        base.write_slot(slot, &mut self.tools.effects, &hasher, &mut |_| false);
        true
    }

    /// Records what a call changed: as it came where all of its keys are written, else by rule 2.
    pub(super) fn record(&mut self, call: &Call<'_>, db: u32, mark: usize) {
        let effects = &mut self.tools.effects;
        let Some(base) = self.new_base else { return effects.end_call(db, call.raw) };
        let mut keys: Vec<(Key<'_>, Amount)> = call
            .declared_keys()
            .map(|key| (key, base.amount_of(self.space.slot(key.slot), key)))
            .collect();
        if keys.iter().all(|(_, amount)| *amount == Amount::All) {
            effects.end_call(db, call.raw);
            if keys.is_empty() {
                self.space.slots_mut().for_each(|slot| restart_key(slot, effects));
            }
            return;
        }
        keys.sort_unstable_by_key(|(key, _)| key.name);
        keys.dedup_by_key(|(key, _)| key.name);
        effects.rewind(mark);
        effects.together(|effects| {
            for (key, amount) in keys {
                let Some(slot) = self.space.slot_mut(key.slot) else { continue };
                match amount {
                    Amount::Part => restart_key(slot, effects),
                    Amount::All | Amount::Nothing => record_key(slot, effects, key, amount),
                }
            }
        });
    }
}

fn is_large_one(object: &Object) -> bool {
    object.collection().len() > ELEMENTS_AT_ONCE
}

/// What a key holds, in each database that its slot has; where it is not written, only that it is
/// absent.
fn record_key(slot: &Slot, effects: &mut Effects, key: Key<'_>, amount: Amount) {
    for (db, table) in slot.tables() {
        match table.get(key.in_table()) {
            None => effects.aside(db, &[b"DEL", key.name]),
            Some(entry) if amount == Amount::All => recreate::record(effects, db, key.name, entry),
            Some(_) => {}
        }
    }
}

/// Deletes the key at the marker from the journal, if a part of it is there: it is written again.
fn restart_key(slot: &mut Slot, effects: &mut Effects) {
    if let Some(name) = slot.written.restart_key().map(<[u8]>::to_vec) {
        slot.tables().for_each(|(db, _)| effects.aside(db, &[b"DEL", &name]));
    }
}

impl Shard {
    /// A base begins: what is recorded from now on goes to a new journal, which is empty. `number`
    /// differs from that of every other base, and from 0.
    pub fn begin_base(&mut self, number: u32) {
        self.engine.new_base = Some(NewBase::begin(number));
    }

    /// The base is whole, or given up.
    pub fn end_base(&mut self) {
        self.engine.new_base = None;
        self.move_out();
    }

    /// Writes some more of the slots that are here, for one slice. Returns true when there is more.
    pub fn write_base(&mut self, clock: &mut dyn Ticks) -> bool {
        let start = clock.nanos();
        let begin = self.engine.tools.effects.len();
        let mut goes_on = |effects: &Effects| {
            effects.len() - begin <= BYTES_A_TURN && clock.nanos() - start <= SLICE_NS
        };
        while let Some(number) = self.next_unwritten() {
            let Engine { new_base: Some(base), space, tools, .. } = &mut self.engine else { break };
            let Some(slot) = space.slot_mut(number) else { continue };
            let is_written =
                base.write_slot(slot, &mut tools.effects, &self.env.hasher, &mut goes_on);
            if !is_written || !goes_on(&tools.effects) {
                return true;
            }
        }
        false
    }

    /// How many slots were written here since this was asked last; none while a slot that is here
    /// is not written. Slots that come later are reported when they are written. Each slot is
    /// written once, wherever it is, so all shards together report every slot.
    pub fn take_written(&mut self) -> Option<u32> {
        if self.next_unwritten().is_some() {
            return None;
        }
        let written = &mut self.engine.new_base.as_mut()?.written;
        Some(std::mem::take(written)).filter(|written| *written > 0)
    }

    /// A slot came back, or moved here: it may be one that is not written.
    pub(super) fn look_for_unwritten(&mut self) {
        if let Some(base) = &mut self.engine.new_base {
            base.next = 0;
        }
    }

    fn next_unwritten(&mut self) -> Option<u16> {
        let Engine { new_base: Some(base), space, .. } = &mut self.engine else { return None };
        while base.next < SLOTS {
            if space.slot(base.next).is_some_and(|slot| !base.has(slot)) {
                return Some(base.next);
            }
            base.next += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests;
