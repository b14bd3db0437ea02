//! A journal that begins while the server runs: the data set is told to it piece by piece.
//!
//! From the beginning of a base on, every slot is in one of three states. One that was not told yet
//! has no effects: what its keys hold is told later. One of which a part was told records, in the
//! place of an effect, what the keys of the call hold now, so that it does not matter to which part
//! they belong. One that was told records its effects as always. So the journal, read up to the
//! moment when all slots are told, makes the data set of that moment, without a snapshot, and no
//! piece takes longer than a slice (but for a single value of millions of elements).
//!
//! The state is in the slot's box and travels with it. All shards begin before the first of them
//! tells anything, since a slot that one of them told may be lent to any other. That a key is not
//! there is always recorded: it undoes what a command over everything (FLUSHALL, SWAPDB, DEBUG
//! POPULATE), which is recorded as it came, did before the slot was told.

use crate::base::slot::SLOTS;
use crate::commands::call::Call;
use crate::commands::{positions, recreate};
use crate::keyspace::effect::Effects;
use crate::keyspace::key::Key;
use crate::keyspace::slot::{Slot, Told};
use crate::keyspace::space::Keyspace;
use crate::shard::{SLICE_NS, Shard, Ticks};

/// Bytes told in one turn, so that effects of clients find the journal's queue short.
const BYTES_A_TURN: usize = 256 * 1024;

/// A base that is being told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    number: u32,
    /// No slot that is here and comes before this one is left to tell.
    next: u16,
}

impl Base {
    fn has(self, slot: &Slot) -> bool {
        slot.told == Told::all(self.number)
    }

    fn has_part(self, slot: &Slot) -> bool {
        slot.told.base == self.number
    }

    /// Records what a call changed: as it came where all of its slots are told.
    pub(super) fn record(
        self,
        space: &Keyspace,
        effects: &mut Effects,
        call: &Call<'_>,
        db: u32,
        mark: usize,
    ) {
        let mut keys: Vec<Key<'_>> = positions::keys(call.command, call.spans, call.input)
            .into_iter()
            .map(|at| call.key(at))
            .collect();
        let slots = keys.iter().map(|key| space.slot(key.slot));
        if slots.flatten().all(|slot| self.has(slot)) {
            return effects.end_call(db, call.raw);
        }
        keys.sort_unstable_by_key(|key| key.name);
        keys.dedup_by_key(|key| key.name);
        effects.rewind(mark);
        let mut is_empty = true;
        effects.together(db, |effects| {
            let begin = effects.len();
            keys.iter().for_each(|key| self.record_key(space, effects, *key));
            is_empty = effects.len() == begin;
        });
        if is_empty {
            effects.rewind(mark);
        }
    }

    /// What a key holds, in each database that its slot has.
    fn record_key(self, space: &Keyspace, effects: &mut Effects, key: Key<'_>) {
        let Some(slot) = space.slot(key.slot) else { return };
        for (db, table) in slot.tables() {
            match table.get(key.in_table()) {
                None => effects.aside(db, &[b"DEL", key.name]),
                Some(entry) if self.has_part(slot) => {
                    recreate::record(effects, db, key.name, entry);
                }
                Some(_) => {}
            }
        }
    }
}

impl Shard {
    /// A base begins: what is recorded from now on goes to a new journal, which knows nothing yet.
    /// The number is another one each time, and not 0.
    pub fn begin_base(&mut self, number: u32) {
        self.engine.base = Some(Base { number, next: 0 });
    }

    /// The base is whole, or given up.
    pub fn end_base(&mut self) {
        self.engine.base = None;
        self.move_out();
    }

    /// Tells some more of the slots that are here. Returns true when there is more.
    pub fn tell(&mut self, clock: &mut dyn Ticks) -> bool {
        let Some(base) = self.engine.base else { return false };
        let start = clock.nanos();
        let effects = self.engine.tools.effects.len();
        while let Some(number) = self.next_to_tell(base) {
            self.tell_piece(base, number);
            let told = self.engine.tools.effects.len() - effects;
            if told > BYTES_A_TURN || clock.nanos() - start > SLICE_NS {
                return true;
            }
        }
        false
    }

    /// Whether every slot of this shard is here and told.
    pub fn is_told(&self) -> bool {
        let Some(base) = self.engine.base else { return true };
        let mut slots = self.given.map.slots_of(self.id);
        slots.all(|number| self.engine.space.slot(number).is_some_and(|slot| base.has(slot)))
    }

    /// A slot came back, or moved here, perhaps one that is not told.
    pub(super) fn tell_again(&mut self) {
        if let Some(base) = &mut self.engine.base {
            base.next = 0;
        }
    }

    fn next_to_tell(&mut self, base: Base) -> Option<u16> {
        let next = self.engine.base.as_mut().map(|base| &mut base.next)?;
        let space = &self.engine.space;
        while *next < SLOTS {
            if space.slot(*next).is_some_and(|slot| !base.has(slot)) {
                return Some(*next);
            }
            *next += 1;
        }
        None
    }

    /// Tells one segment of one table of a slot, and notes how far that is.
    fn tell_piece(&mut self, base: Base, number: u16) {
        let effects = &mut self.engine.tools.effects;
        let Some(slot) = self.engine.space.slot_mut(number) else { return };
        let (db, position) = if base.has_part(slot) { slot.told.next } else { (0, 0) };
        let next_position = slot.table(db).and_then(|table| {
            table.scan(position, |entry| recreate::record(effects, db, entry.key(), entry))
        });
        let next_db = slot.tables().map(|(other, _)| other).filter(|other| *other > db).min();
        slot.told = match (next_position, next_db) {
            (Some(position), _) => Told { base: base.number, next: (db, position) },
            (None, Some(db)) => Told { base: base.number, next: (db, 0) },
            (None, None) => Told::all(base.number),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{SLICE_NS, Ticks};
    use crate::base::slot;
    use crate::keyspace::effect::Effects;
    use crate::testing::{Shards, Still, Store};

    /// A clock that goes on at each look at it.
    struct Hasty {
        now: u64,
        step: u64,
    }

    impl Ticks for Hasty {
        fn nanos(&mut self) -> u64 {
            self.now += self.step;
            self.now
        }
    }

    fn begin(shards: &mut Shards, number: u32) {
        for shard in &mut shards.shards {
            *shard.effects() = Effects::default();
            shard.effects().listen(true);
            shard.begin_base(number);
        }
    }

    /// Commands of all kinds, before, while and after the base is told in pieces; what was recorded
    /// makes the same data set on another number of shards.
    #[test]
    fn a_base_told_under_load_makes_the_same_data_set() {
        // A slot that is told early, before the commands have emptied it.
        let tags = (0..).map(|number| format!("{{{number}}}"));
        let tag = tags.into_iter().find(|tag| slot::of(tag.as_bytes()) < 60).expect("there is one");
        for seed in 0..6 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut shards = Shards::new(3);
            for number in 0..6_000 {
                shards.session.db = random.u32(..3);
                shards.run(&format!("SET {tag}{} x{number}", number % 2_000));
            }
            let mut copy = Shards::new(2);
            begin(&mut shards, 1 + seed as u32);
            let mut rounds = 0;
            while !shards.shards.iter().all(|shard| shard.is_told()) || rounds < 1_000 {
                rounds += 1;
                shards.session.db = random.u32(..3);
                let line = any_write(&mut random, &tag, rounds);
                shards.run(&line);
                copy.load(&shards.records());
                for shard in &mut shards.shards {
                    if random.u8(..3) == 0 {
                        shard.tell(&mut Hasty { now: 0, step: SLICE_NS / rounds.min(100) });
                    }
                }
                copy.load(&shards.records());
                shards.now = shards.now.saturating_add(random.i64(0..3));
                copy.now = shards.now;
            }
            assert_eq!(shards.run("DEBUG DIGEST"), copy.run("DEBUG DIGEST"), "seed {seed}");
            shards.shards.iter_mut().for_each(|shard| shard.end_base());
            shards.run("SET after 1");
            copy.load(&shards.records());
            assert_eq!(shards.run("DEBUG DIGEST"), copy.run("DEBUG DIGEST"));
        }
    }

    fn any_write(random: &mut fastrand::Rng, tag: &str, round: u64) -> String {
        let mut key = || {
            let tag = if random.u8(..3) > 0 { tag } else { "" };
            format!("{tag}{}", random.u16(..2_100))
        };
        let (a, b) = (key(), key());
        match random.u8(..24) {
            0..4 => format!("SET {a} {round} PX {}", random.u8(1..50)),
            4 => format!("APPEND {a} +"),
            5..8 => format!("DEL {a} {b}"),
            8..10 => format!("MSET {a} 1 {b} 2"),
            10..12 => format!("RENAME {a} {b}"),
            12 => format!("COPY {a} {b} DB {} REPLACE", random.u8(..3)),
            13 => format!("MOVE {a} {}", random.u8(..3)),
            14 => format!("PERSIST {a}"),
            15 if random.u8(..16) == 0 => "FLUSHDB".to_owned(),
            16 if random.u8(..8) == 0 => format!("DEBUG POPULATE 40 {tag}"),
            17 => format!("SWAPDB 0 {}", random.u8(1..3)),
            _ => format!("GET {a}"),
        }
    }

    #[test]
    fn slots_have_no_effects_until_they_are_told() {
        let mut store = Store::new();
        store.run("SET a 1");
        store.effects();
        store.shard.begin_base(7);
        store.run("SET b 1");
        store.run("DEL b");
        store.run("INCR a");
        assert_eq!(store.effects(), "MULTI\nDEL b\nEXEC");
        assert!(!store.shard.is_told());
        while store.shard.tell(&mut Still) {}
        assert!(store.shard.is_told());
        store.run("INCR a");
        assert_eq!(store.effects(), "SET a 2\nINCR a");
        store.shard.begin_base(8);
        assert!(!store.shard.is_told(), "another base begins from nothing");
        store.shard.end_base();
        store.run("INCR a");
        assert_eq!(store.effects(), "INCR a");
    }
}
