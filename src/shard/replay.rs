//! Loading and rebuilding: records of the journal applied to the slots that are here.
//!
//! A record is a write command; it runs through its ordinary handler with nobody listening to its
//! effects. One that splits ([`Placement::Split`]) reaches every shard, and each applies the part
//! that is its own; any other finds all that it may touch here.
//!
//! A rebuild empties the slots that are here and reads the journal again. Slots that were lent at
//! that moment hold newer state than the journal up to the marker, and so do slots that move here
//! meanwhile: they are spared, and nothing is applied to them, records over all keys included.

use std::collections::HashSet;

use bytes::Bytes;

use crate::base::millis::Millis;
use crate::base::slot;
use crate::commands::call::Call;
use crate::commands::command::{Command, Run};
use crate::commands::error::CommandError;
use crate::commands::positions;
use crate::commands::reach;
use crate::commands::registry::{self, Found};
use crate::hook::Phase;
use crate::keyspace::key::KeyAt;
use crate::keyspace::slot::Slot;
use crate::keyspace::space::{Keyspace, Slots};
use crate::resp::Span;
use crate::session::{Peer, Session};
use crate::shard::execute::{Around, Ended, Engine, Origin};
#[cfg(doc)]
use crate::shard::placement::Placement;
use crate::shard::refusal::Refusal;
use crate::shard::{Shard, Ticks};

/// Servers before Redis 7 could write scripts to a journal. What one does depends on what is there,
/// over all shards, when it runs.
const NOT_BY_EFFECTS: CommandError =
    CommandError::Text("a script is journaled by what it changes, and not as it was called");

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

/// Nobody asks how long a record takes.
struct NoTicks;

impl Ticks for NoTicks {
    fn nanos(&mut self) -> u64 {
        0
    }
}

/// What is used again from record to record.
struct Scratch {
    /// The words that concern this shard.
    own: Vec<Span>,
    /// The keys among them.
    keys: Vec<KeyAt>,
    /// On whose behalf a record runs: nobody's.
    session: Session,
    /// What nobody reads.
    replies: Vec<u8>,
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
        self.fail_snapshot();
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
        self.serve();
    }

    /// Applies records. `now` is the time of the load: expired keys are loaded like the rest
    /// and taken out afterwards, so that what follows them finds what it found.
    ///
    /// Returns what is not applied, with its position among the records. The first refusal is the
    /// end, unless `aof-load-skip-refused` is set.
    pub fn replay(&mut self, records: &Records, now: Millis) -> Vec<(usize, Refusal)> {
        // What a record does is in the journal already, whatever the handler says of it.
        let is_listened_to = self.engine.tools.effects.is_listened_to();
        self.engine.tools.effects.listen(false);
        let mut refused = Vec::new();
        let mut scratch = Scratch {
            own: Vec::new(),
            keys: Vec::new(),
            session: Session::new(0, Peer::default(), now, true),
            replies: Vec::new(),
        };
        let mut first = 0;
        for (index, (db, end)) in records.ends.iter().enumerate() {
            let spans = &records.spans[first as usize..*end as usize];
            first = *end;
            let applied = self.apply(*db, spans, &records.bytes, now, &mut scratch);
            let Err(refusal) = applied else { continue };
            refused.push((index, refusal));
            if !self.env.settings.aof_load_skip_refused {
                break;
            }
        }
        self.engine.tools.effects.listen(is_listened_to);
        refused
    }

    /// Applies what is this shard's own of one record.
    fn apply(
        &mut self,
        db: u32,
        spans: &[Span],
        bytes: &[u8],
        now: Millis,
        scratch: &mut Scratch,
    ) -> Result<(), Refusal> {
        let renames = &self.env.settings.rename_command;
        let Found::Command(command) = registry::find_journaled(bytes, spans, renames) else {
            return Err(Refusal::of_unknown(spans, bytes, renames));
        };
        if matches!(command.run, Run::Script(_)) {
            return Err(Refusal::failed(command, spans, bytes, &NOT_BY_EFFECTS));
        }
        // Libraries are whole while a shard is rebuilt: they are in no slot.
        let is_on_libraries = matches!(command.run, Run::Libraries(_)) && !self.rebuilt.runs;
        let is_on_all = matches!(command.run, Run::All(_)) || is_on_libraries;
        if !is_on_all && !command.run.is_on_keys() {
            return Ok(());
        }
        let Scratch { own, keys, session, replies } = scratch;
        if !reach::changes_values(command) || !self.keep_own(command, bytes, spans, own, keys) {
            return Ok(());
        }
        let refuse = |error| Refusal::failed(command, spans, bytes, &error);
        let Shard { engine, env, rebuilt, .. } = self;
        if db >= env.settings.databases {
            return Err(refuse(CommandError::DbIndexOutOfRange));
        }
        let call = Call {
            command,
            input: bytes,
            spans: own,
            raw: &[],
            now,
            hasher: &env.hasher,
            settings: &env.settings,
            map: &env.map,
            keys,
        };
        let spared = match command.run {
            Run::All(_) => rebuilt.take_spared(&mut engine.space),
            _ => Vec::new(),
        };
        session.db = db;
        replies.clear();
        let mut around = Around { session, replies, walk: &mut None, wider: &mut Vec::new() };
        let (ended, _) = engine.execute(&call, &mut around, Origin::Journal, 0, &mut NoTicks);
        spared.into_iter().for_each(|(slot, tables)| engine.space.put(slot, tables));
        match ended {
            Ended::Ran => Ok(()),
            Ended::Failed(error) | Ended::Refused(error) => Err(refuse(*error)),
            // It has all that it needs beside it, and nothing goes ahead of it.
            _ => Err(refuse(CommandError::Internal)),
        }
    }

    /// Gives slots to another shard, for the records that it applies. None where one is not here.
    pub fn give(&mut self, slots: &[u16]) -> Option<Slots> {
        slots.iter().map(|slot| Some((*slot, self.engine.space.take(*slot)?))).collect()
    }

    /// Whether what is loaded for a slot concerns this shard.
    pub(super) fn is_own(&self, slot: u16) -> bool {
        self.engine.space.has(slot) && !self.rebuilt.spared.contains(&slot)
    }

    /// Keeps the arguments of a record that concern slots which are here and not spared, and finds
    /// the keys among them. Returns false when none do.
    fn keep_own(
        &self,
        command: &Command,
        bytes: &[u8],
        all: &[Span],
        spans: &mut Vec<Span>,
        keys: &mut Vec<KeyAt>,
    ) -> bool {
        spans.clear();
        match positions::step_of_rest(command) {
            Some((first, step)) => {
                spans.extend_from_slice(&all[..first.min(all.len())]);
                for part in all.get(first..).unwrap_or(&[]).chunks(step) {
                    if self.is_own(slot::of(part[0].of(bytes))) {
                        spans.extend_from_slice(part);
                    }
                }
                if spans.len() == first {
                    return false;
                }
            }
            None => spans.extend_from_slice(all),
        }
        positions::keys_at(command, spans, bytes, &self.env.hasher, keys);
        keys.iter().all(|key| self.is_own(key.slot))
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
