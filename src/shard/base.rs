//! A journal that begins while the server runs: the data set is told to it piece by piece.
//!
//! From the beginning of a base on, all names of a slot are in one order ([`Place`]), and the slot
//! has a marker in it. A key before the marker is told: its effects are recorded as always. A key
//! behind it has no effects: what it holds is told later. So the journal, read up to the moment
//! when all slots are told, makes the data set of that moment, without a snapshot, and no piece
//! takes longer than a slice, since the marker may also stand inside a key, after any of its
//! elements.
//!
//! What commands do to keys is recorded right because of four rules.
//!
//! 1. Of the key at the marker only elements go that are due, and that is recorded as always:
//!    before the place inside the key they are taken out of the journal too, behind it they are not
//!    there.
//! 2. A call that changed keys not all of which are told leaves, in the place of its own effect,
//!    what those of them hold that are told. Was one of them the key at the marker, that is deleted
//!    from the journal and told anew from its beginning.
//! 3. So that no such record is long and no key is told again and again, a call waits that would
//!    write to the key at the marker, or to a large one where some of its keys are told and others
//!    not: it tells what is missing first, in slices, and others go on meanwhile.
//! 4. A command over everything (FLUSHALL, SWAPDB, DEBUG POPULATE) is recorded as it came: it does
//!    the same to what is told, since the marker is the same in all databases. The key at the
//!    marker is told anew then. Behind it the journal has nothing, but for what POPULATE makes
//!    there: so it is always recorded when a key is not there.
//!
//! The marker is in the slot's box and travels with it. All shards begin before the first of them
//! tells anything, since a slot that one of them told may be lent to any other.

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
use crate::keyspace::told::{Marker, Much, Position, Told};
use crate::shard::execute::Engine;
use crate::shard::{SLICE_NS, Shard, Ticks};

/// Bytes told in one turn, so that effects of clients find the journal's queue short.
const BYTES_A_TURN: usize = 256 * 1024;

/// Elements up to which a collection is recorded in one go.
const ELEMENTS_AT_ONCE: usize = 512;

/// A base that is being told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    number: u32,
    /// No slot that is here and comes before this one is left to tell.
    next: u16,
    /// Slots that this shard has told and not reported.
    told: u32,
}

/// Asked after each piece: whether there is time and room for another one.
type GoesOn<'a> = &'a mut dyn FnMut(&Effects) -> bool;

/// A key as it is told: the position of its name, the database, and what is there.
type Placed<'a> = (u64, u32, &'a Entry);

impl Base {
    fn begin(number: u32) -> Base {
        Base { number, next: 0, told: 0 }
    }

    fn has(self, slot: &Slot) -> bool {
        slot.told.base == self.number && slot.told.marker.is_none()
    }

    /// How much is told of a key; of one whose slot is not here it does not matter.
    fn much_of(self, slot: Option<&Slot>, key: Key<'_>) -> Much {
        slot.map_or(Much::All, |slot| slot.told.of(self.number, key.in_table()))
    }

    /// Tells a slot from its marker on, until it is told or `goes_on` says no. Returns false then.
    fn tell_slot(
        &mut self,
        slot: &mut Slot,
        effects: &mut Effects,
        hasher: &Hasher,
        goes_on: GoesOn<'_>,
    ) -> bool {
        let mut marker = Marker::default();
        if slot.told.base == self.number
            && let Some(left) = &mut slot.told.marker
        {
            // Should a piece panic, its key is told anew.
            marker = Marker { place: left.place.clone(), part: left.part.take() };
        }
        loop {
            let (next, is_over) = tell_bucket(slot, effects, hasher, marker, goes_on);
            match next {
                None => {
                    slot.told = Told::all(self.number);
                    self.told += 1;
                }
                Some(next) if is_over => {
                    slot.told = Told { base: self.number, marker: Some(Box::new(next)) };
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

/// Tells the keys of one bucket from the marker on. Returns where the marker is then, if not at the
/// end, and whether `goes_on` said no.
fn tell_bucket(
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
    /// Tells some more of a slot where a call needs that first. Returns true when it did: the call
    /// has to wait.
    pub(super) fn tell_ahead_of(&mut self, call: &Call<'_>, _db: u32) -> bool {
        let Some(base) = &mut self.base else { return false };
        if !call.command.writes() || !call.command.run.is_on_keys() {
            return false;
        }
        let (mut is_begun, mut is_large, mut left) = (false, false, None);
        for key in call.declared_keys() {
            let Some(slot) = self.space.slot(key.slot) else { continue };
            match slot.told.of(base.number, key.in_table()) {
                Much::All => is_begun = true,
                Much::Part => (is_begun, is_large, left) = (true, true, Some(key.slot)),
                Much::Nothing => left = left.or(Some(key.slot)),
            }
            let entries = slot.tables().filter_map(|(_, table)| table.get(key.in_table()));
            is_large |= entries.filter_map(Entry::object).any(|object| is_large_one(&object));
        }
        let Some(number) = left.filter(|_| is_begun && is_large) else { return false };
        let hasher = self.space.hasher().clone();
        let Some(slot) = self.space.slot_mut(number) else { return false };
        base.tell_slot(slot, &mut self.tools.effects, &hasher, &mut |_| false);
        true
    }

    /// Records what a call changed: as it came where all of its keys are told.
    pub(super) fn record(&mut self, call: &Call<'_>, db: u32, mark: usize) {
        let effects = &mut self.tools.effects;
        let Some(base) = self.base else { return effects.end_call(db, call.raw) };
        let mut keys: Vec<(Key<'_>, Much)> = call
            .declared_keys()
            .map(|key| (key, base.much_of(self.space.slot(key.slot), key)))
            .collect();
        if keys.iter().all(|(_, much)| *much == Much::All) {
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
            for (key, much) in keys {
                let Some(slot) = self.space.slot_mut(key.slot) else { continue };
                match much {
                    Much::Part => restart_key(slot, effects),
                    Much::All | Much::Nothing => record_key(slot, effects, key, much),
                }
            }
        });
    }
}

fn is_large_one(object: &Object) -> bool {
    object.collection().len() > ELEMENTS_AT_ONCE
}

/// What a key holds, in each database that its slot has; where it is not told, only that it is not
/// there.
fn record_key(slot: &Slot, effects: &mut Effects, key: Key<'_>, much: Much) {
    for (db, table) in slot.tables() {
        match table.get(key.in_table()) {
            None => effects.aside(db, &[b"DEL", key.name]),
            Some(entry) if much == Much::All => recreate::record(effects, db, key.name, entry),
            Some(_) => {}
        }
    }
}

/// Takes the key of which a part is told out of the journal, if there is one: it is told anew.
fn restart_key(slot: &mut Slot, effects: &mut Effects) {
    if let Some(name) = slot.told.restart_key().map(<[u8]>::to_vec) {
        slot.tables().for_each(|(db, _)| effects.aside(db, &[b"DEL", &name]));
    }
}

impl Shard {
    /// A base begins: what is recorded from now on goes to a new journal, which knows nothing yet.
    /// The number is another one each time, and not 0.
    pub fn begin_base(&mut self, number: u32) {
        self.engine.base = Some(Base::begin(number));
    }

    /// The base is whole, or given up.
    pub fn end_base(&mut self) {
        self.engine.base = None;
        self.move_out();
    }

    /// Tells some more of the slots that are here. Returns true when there is more.
    pub fn tell(&mut self, clock: &mut dyn Ticks) -> bool {
        let start = clock.nanos();
        let begin = self.engine.tools.effects.len();
        let mut goes_on = |effects: &Effects| {
            effects.len() - begin <= BYTES_A_TURN && clock.nanos() - start <= SLICE_NS
        };
        while let Some(number) = self.next_to_tell() {
            let Engine { base: Some(base), space, tools, .. } = &mut self.engine else { break };
            let Some(slot) = space.slot_mut(number) else { continue };
            let is_told =
                base.tell_slot(slot, &mut tools.effects, &self.given.hasher, &mut goes_on);
            if !is_told || !goes_on(&tools.effects) {
                return true;
            }
        }
        false
    }

    /// How many slots were told here since this was asked last, once no slot that is here is left
    /// to tell. Slots that come later are reported when they are told too, and each slot is told
    /// once, wherever it is: all shards together report every slot.
    pub fn take_told(&mut self) -> Option<u32> {
        if self.next_to_tell().is_some() {
            return None;
        }
        let told = &mut self.engine.base.as_mut()?.told;
        Some(std::mem::take(told)).filter(|told| *told > 0)
    }

    /// A slot came back, or moved here, perhaps one that is not told.
    pub(super) fn tell_again(&mut self) {
        if let Some(base) = &mut self.engine.base {
            base.next = 0;
        }
    }

    fn next_to_tell(&mut self) -> Option<u16> {
        let Engine { base: Some(base), space, .. } = &mut self.engine else { return None };
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
