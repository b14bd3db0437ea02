//! Loading and rebuilding: records of the journal applied to the slots that are here.
//!
//! A record is a write command; it runs through its ordinary handler with nobody listening to its
//! effects. A record whose keys lie on several shards reaches each of them, and each applies the
//! part that is its own; records over all keys apply to what is here.
//!
//! A rebuild empties the slots that are here and reads the journal again. Slots that were lent at
//! that moment hold newer state than the journal up to the marker, and so do slots that move here
//! meanwhile: they are spared, and nothing is applied to them, records over all keys included.

use std::collections::HashSet;

use bytes::Bytes;

use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{Command, Run};
use crate::commands::positions;
use crate::commands::recreate;
use crate::commands::registry::{self, Found};
use crate::keyspace::effect::Effects;
use crate::keyspace::entry::Entry;
use crate::keyspace::keys::Keys;
use crate::keyspace::slot::Slot;
use crate::keyspace::space::Keyspace;
use crate::resp::{Decoder, Frames, Limits, Reply, Span};
use crate::shard::call::Engine;
use crate::shard::letter::Slots;
use crate::shard::{Phase, Shard};

/// Records of the journal, in order.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// What the spans point into.
    pub bytes: Bytes,
    /// The arguments of all records.
    pub spans: Vec<Span>,
    /// Database of each record, and where its arguments end in `spans`.
    pub ends: Vec<(u32, u32)>,
}

impl Records {
    /// Effects as they stand in the journal.
    fn of(effects: &mut Effects) -> Records {
        let (bytes, runs) = effects.take();
        let limits =
            Limits { batch_bytes: usize::MAX, batch_commands: usize::MAX, ..Limits::default() };
        let mut frames = Frames::default();
        let decoded = Decoder::default().decode(&bytes, &limits, &mut frames);
        decoded.expect("effects are requests");
        let mut runs = runs.iter().peekable();
        let mut records = Records::default();
        for frame in &frames.frames {
            let end = (frame.raw.start + frame.raw.len) as usize;
            while runs.next_if(|run| run.end < end).is_some() {}
            let db = runs.peek().map_or(0, |run| run.db);
            records.spans.extend_from_slice(frames.args_of(frame));
            records.ends.push((db, records.spans.len() as u32));
        }
        records.bytes = Bytes::from(bytes);
        records
    }
}

/// Which slots a rebuild leaves alone.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    runs: bool,
    spared: HashSet<u16>,
}

impl Rebuilt {
    /// A slot came back that was lent when the rebuild began.
    pub(super) fn spare(&mut self, slot: u16) {
        if self.runs {
            self.spared.insert(slot);
        }
    }

    /// Takes the spared slots out of the reach of a command over all keys.
    fn take_spared(&self, space: &mut Keyspace) -> Vec<(u16, Box<Slot>)> {
        self.spared.iter().filter_map(|slot| Some((*slot, space.take(*slot)?))).collect()
    }
}

impl Shard {
    /// Empties the slots that are here, turns every waiting batch back, and waits for records.
    pub fn begin_rebuild(&mut self) {
        self.engine.phase = Phase::Rebuilding;
        self.rebuilt = Rebuilt { runs: true, spared: HashSet::new() };
        let Engine { space, tools, .. } = &mut self.engine;
        let here: Vec<u16> = space.here().collect();
        for number in here {
            let old = space.take(number).map(|slot| slot.into_tables());
            tools.discarded.take_tables(old.unwrap_or_default());
            space.put(number, Box::default());
        }
        for mut batch in self.waiting.drain() {
            self.turn_back(&mut batch);
            self.ready.push_back(batch);
        }
    }

    /// The rebuild, or the first load, is over: serve, unless there was another panic meanwhile.
    pub fn end_replay(&mut self) {
        if self.engine.phase == Phase::Suspect {
            return;
        }
        self.engine.tools.effects.begin_call();
        self.rebuilt = Rebuilt::default();
        self.engine.phase = Phase::Serving;
        self.move_out();
        self.serve_waiting();
    }

    /// Applies records. `now` is the time of the load: keys that are due are loaded like the rest
    /// and taken out afterwards, so that what follows them finds what it found.
    ///
    /// # Errors
    /// What was wrong with a record, and its position among these: the journal holds something that
    /// the server does not understand.
    pub fn replay(&mut self, records: &Records, now: Millis) -> Result<(), (usize, String)> {
        // What a record does is in the journal already, whatever the handler says of it.
        let is_listened_to = self.engine.tools.effects.is_listened_to();
        self.engine.tools.effects.listen(false);
        let applied = self.apply(records, now);
        self.engine.tools.effects.listen(is_listened_to);
        applied
    }

    fn apply(&mut self, records: &Records, now: Millis) -> Result<(), (usize, String)> {
        let mut first = 0;
        let mut kept = Vec::new();
        let mut discarded = Vec::new();
        for (index, (db, end)) in records.ends.iter().enumerate() {
            let spans = &records.spans[first as usize..*end as usize];
            first = *end;
            let renames = &self.given.settings.rename_command;
            let found = registry::find_journaled(&records.bytes, spans, renames);
            let Found::Command(command) = found else {
                let refusal = registry::refusal(&records.bytes, spans, renames);
                return Err((index, refusal.to_string()));
            };
            if !self.keep_own(command, &records.bytes, spans, &mut kept) {
                continue;
            }
            discarded.clear();
            let call = Call {
                command,
                input: &records.bytes,
                spans: &kept,
                raw: &[],
                now,
                hasher: &self.given.hasher,
                settings: &self.given.settings,
                map: &self.given.map,
                keys: &[],
            };
            let spared = match command.run {
                Run::All(_) => self.rebuilt.take_spared(&mut self.engine.space),
                _ => Vec::new(),
            };
            let mut keys = Keys::new(&mut self.engine.space, &mut self.engine.tools, *db, now);
            keys.keeps_expired = true;
            let mut reply = Reply::new(&mut discarded, false);
            let result = match command.run {
                Run::Keys(run) | Run::All(run) => run(&call, &mut keys, &mut reply),
                _ => return Err((index, format!("'{}' changes no data", command.name))),
            };
            for (slot, tables) in spared {
                self.engine.space.put(slot, tables);
            }
            if let Err(error) = result {
                return Err((index, error.to_string()));
            }
        }
        Ok(())
    }

    /// As [`Shard::replay`], with slots of other shards, which come back.
    ///
    /// # Errors
    /// See there.
    pub fn replay_with(
        &mut self,
        visitors: Slots,
        records: &Records,
        now: Millis,
    ) -> Result<Slots, (usize, String)> {
        let numbers: Vec<u16> = visitors.iter().map(|(number, _)| *number).collect();
        visitors.into_iter().for_each(|(number, slot)| self.engine.space.put(number, slot));
        let result = self.replay(records, now);
        let back = numbers.iter().filter_map(|n| Some((*n, self.engine.space.take(*n)?))).collect();
        result.map(|()| back)
    }

    /// Gives a slot to the load of a record that needs it elsewhere.
    pub fn give(&mut self, slot: u16) -> Option<Box<Slot>> {
        self.engine.space.take(slot)
    }

    /// Makes the value of every key that is here anew, from the commands that make it, as if they
    /// came from a journal. For tests: where that loses something, it shows.
    ///
    /// # Panics
    /// When those commands are refused.
    pub fn remake(&mut self, now: Millis) {
        let here: Vec<u16> = self.engine.space.here().collect();
        for number in here {
            let Some(mut slot) = self.engine.space.take(number) else { continue };
            let mut effects = Effects::default();
            effects.listen(true);
            for (db, table) in slot.tables() {
                let each = |entry: &Entry| recreate::record(&mut effects, db, entry.key(), entry);
                table.iter().for_each(each);
            }
            let mut empty = Box::<Slot>::default();
            empty.told = std::mem::take(&mut slot.told);
            empty.told.restart_key();
            drop(slot);
            self.engine.space.put(number, empty);
            let remade = self.replay(&Records::of(&mut effects), now);
            remade.expect("what a value is recorded as can be loaded");
        }
    }

    /// Keeps the arguments of a record that concern slots which are here and not spared. Returns
    /// false when none do.
    fn keep_own(
        &self,
        command: &Command,
        bytes: &[u8],
        spans: &[Span],
        kept: &mut Vec<Span>,
    ) -> bool {
        kept.clear();
        let is_own = |key: &[u8]| {
            let slot = crate::base::slot::of(key);
            self.engine.space.has(slot) && !self.rebuilt.spared.contains(&slot)
        };
        match positions::step_of_rest(command) {
            Some((first, step)) => {
                kept.extend_from_slice(&spans[..first.min(spans.len())]);
                for part in spans.get(first..).unwrap_or(&[]).chunks(step) {
                    if is_own(part[0].of(bytes)) {
                        kept.extend_from_slice(part);
                    }
                }
                kept.len() > first
            }
            None => {
                kept.extend_from_slice(spans);
                let keys = positions::keys(command, spans, bytes);
                keys.iter().all(|at| is_own(spans[*at].of(bytes)))
            }
        }
    }
}

impl Engine {
    /// What a bug may do at its worst: half of the keys here are gone or wrong, and then it panics.
    pub(super) fn spoil_and_panic(&mut self) -> ! {
        let slots: Vec<u16> = self.space.here().step_by(2).collect();
        for slot in slots {
            drop(self.space.take(slot));
            self.space.put(slot, Box::default());
        }
        panic!("DEBUG PANIC-SHARD");
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Store;

    #[test]
    fn values_that_are_made_anew_are_the_same() {
        let mut store = Store::new();
        for number in 0..300 {
            store.session.db = number % 3;
            store.run(&format!("SET key:{number} {number}"));
            store.run(&format!("SET {{t}}{number} \"a\\r\\n{number}\" PX {}", 1 + number));
        }
        for count in [1, 64, 65, 100, 500, 3_000] {
            for number in 0..count {
                store.run(&format!("RPUSH list:{count} {number}"));
                store.run(&format!("HSET hash:{count} field:{number} {number}"));
                store.run(&format!("SADD ints:{count} {number}"));
                store.run(&format!("SADD set:{count} member:{number}"));
                store.run(&format!("ZADD zset:{count} {} member:{number}", number % 7));
                store.run(&format!("XADD stream:{count} {}-1 field {number}", 1 + number));
            }
        }
        store.tick(100);
        store.effects();
        let (digest, size) = (store.run("DEBUG DIGEST"), store.run("DBSIZE"));
        store.shard.effects().listen(false);
        store.shard.remake(store.now);
        assert_eq!((store.run("DEBUG DIGEST"), store.run("DBSIZE")), (digest, size));
        assert_eq!(store.effects(), "");
    }
}
