//! A snapshot of one moment, which is written while commands run. What is saved of a slot, and what
//! happens before a key changes, is told in `src/keyspace/saved.rs`.
//!
//! ```text
//!   a batch goes over all shards, as FLUSHALL does, and takes all slots along
//!     the moment: all slots stand in one keyspace, and keys are counted
//!     to every shard: Letter::Snapshot, and behind it its slots
//!   each shard: the walk over its slots, a slice at a time
//!     commands: what they change is saved ahead of the walk
//!     each turn: pieces to the file's writer, which says when they are written
//!   each slot is reported once, by the shard that has it when it is whole
//! ```
//!
//! **The moment is the same for all shards.** A shard gets its slots back behind the letter, so no
//! command runs on them before it knows of the snapshot. A slot that moves comes behind the same
//! letter from the shard that had it.
//!
//! **Who waits.** A command that changes a large value waits until that is written, in slices. So
//! does one that would take out a large value, or elements of it, since they have expired. Keys
//! that expire by themselves stay until they are written.
//!
//! **The moment in the stream.** A snapshot may be the base of a journal, which goes on with
//! another increment at the moment, or what replicas begin with. What any shard had recorded before
//! is on its way to the journal's writer by then, since effects leave ahead of slots. So the shard
//! that takes the moment marks it among its own effects.
//!
//! **Bounds.** The walk goes on only while few bytes are on their way to the file. Commands may
//! pass that mark, up to the shard's part of `snapshot-copies-max`. Beyond it those wait outside
//! that would have more saved, and no others.
//!
//! **The end.** The snapshot is whole, or it has failed: so it has for all when one shard cannot
//! trust its slots any more. What slots have noted of it is void then by its number.

use std::any::Any;

use bytes::Bytes;

use crate::base::millis::Millis;
use crate::base::slot::SLOTS;
use crate::batch::{Batch, Everywhere};
use crate::commands::call::Call;
use crate::commands::command::Run;
use crate::commands::recreate::Commands;
use crate::data::table::Counts;
use crate::hook::Phase;
use crate::keyspace::effect::Purpose;
use crate::keyspace::keys::Tools;
use crate::keyspace::saving::{Form, Format, Moment, Pieces, Saving};
use crate::keyspace::space::Keyspace;
use crate::rdb::{Dialect, Records};
use crate::route::ShardId;
use crate::script::Libraries;
use crate::session::Session;
use crate::settings::Settings;
use crate::shard::execute::Engine;
use crate::shard::letter::Letter;
use crate::shard::{SLICE_NS, Shard, Ticks};

/// Bytes of a snapshot in one turn.
const BYTES_A_TURN: usize = 256 * 1024;

/// How long the walk goes on in one turn of a shard that has commands to run, in nanoseconds.
const BESIDE_NS: u64 = SLICE_NS / 4;

/// Bytes on their way to the file with which the walk stops.
const WALK_MAX: usize = 4 << 20;

/// Bytes on their way to the file, of all shards, that commands may always have saved.
const COPIES_FLOOR: usize = 32 << 20;

/// What a shard has to tell of snapshots, in order.
#[derive(Debug)]
pub enum News {
    /// All shards know the moment now, or will before they have their slots back. It comes with
    /// the companion of the batch that has begun it: that the batch is gone is told behind this.
    Begun(Begun, Option<Box<dyn Any + Send>>),
    /// There was no moment at which all slots could be had. The number can be used no more.
    NotBegun(u32),
    /// What the shard has written.
    Pieces(Pieces),
}

impl News {
    /// How many keys of the snapshot with this number are whole with it.
    pub fn keys_of(&self, number: u32) -> u64 {
        match self {
            News::Pieces(pieces) if pieces.number == number => pieces.keys,
            _ => 0,
        }
    }

    /// Whether all keys were taken out while the snapshot with this number was written.
    pub fn outdates(&self, number: u32) -> bool {
        matches!(self, News::Pieces(pieces) if pieces.number == number && pieces.is_outdated)
    }
}

/// What there was at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// The number of the snapshot.
    pub number: u32,
    /// The databases that have keys, with the number of keys and of those with deadlines.
    pub databases: Vec<(u32, u64, u64)>,
    /// Elements of some collections have deadlines.
    pub has_deadlines_inside: bool,
    /// The sources of libraries of functions.
    pub functions: Vec<Bytes>,
}

/// What a shard knows of snapshots beside what it has written.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// The last one that has begun here.
    pub(super) last: Option<Moment>,
    /// All slots that are here and come before this one are whole.
    next: u16,
    /// Slots may have something left of a snapshot that has failed.
    has_leftovers: bool,
    /// Commands ran when the shard looked for some the last time.
    pub(super) is_beside_commands: bool,
}

impl Engine {
    /// Saves what a call may change, and what it may take out since that has expired. Returns true
    /// when it wrote a piece of a large value: the call has to wait.
    pub(super) fn save_ahead_of(&mut self, call: &Call<'_>, _: &Session) -> bool {
        let Engine { space, tools, phase, .. } = self;
        let Some(saving) = tools.saving.as_deref_mut() else { return false };
        if *phase != Phase::Serving || !call.command.run.is_on_keys() {
            return false;
        }
        let writes = call.command.writes();
        let any_expired = space.next_deadline().is_some_and(|first| first <= call.now);
        for key in call.declared_keys() {
            let may_change = writes || any_expired && space.would_expire(key, call.now);
            if may_change && space.save_for(key, saving) {
                return true;
            }
        }
        false
    }

    /// Whether a call would have more saved than there is room for now.
    pub(super) fn lacks_room(&mut self, call: &Call<'_>, _session: &Session) -> bool {
        let Some(saving) = self.tools.saving.as_deref() else { return false };
        let may_write = call.command.writes() || matches!(call.command.run, Run::Exec);
        may_write && call.declared_keys().any(|key| self.space.is_unsaved(key, saving))
    }

    /// Whether there is no room for what commands would have saved.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.tools.saving.as_ref().is_some_and(|saving| saving.load() > saving.copies_max)
    }
}

impl Begun {
    fn of(moment: Moment, space: &Keyspace, libraries: &Libraries) -> Begun {
        let counts = space.databases().into_iter().map(|db| (db, space.counts(db)));
        let counts: Vec<_> = counts.filter(|(_, counts)| counts.len > 0).collect();
        let has_deadlines_inside = counts.iter().any(|(_, counts)| counts.timed > 0);
        let sizes = |(db, of): (u32, Counts)| (db, of.len as u64, of.expires as u64);
        let databases = counts.into_iter().map(sizes).collect();
        let functions = libraries.sources();
        Begun { number: moment.number, databases, has_deadlines_inside, functions }
    }
}

/// The moment of a snapshot with this number that is a file of its own, by the settings. Each of
/// the shards may save its part of the copies, which are a share of `used_memory`, in bytes.
pub fn moment_of(number: u32, settings: &Settings, used_memory: u64, shards: ShardId) -> Moment {
    let share = used_memory / 100 * u64::from(settings.snapshot_copies_max);
    let copies = usize::try_from(share).unwrap_or(usize::MAX).max(COPIES_FLOOR);
    let version = Dialect::timed(settings.rdb_version).version;
    let form = Form::Rdb { compresses: settings.rdbcompression, version };
    let purpose = Purpose::File;
    Moment { number, form, purpose, copies_max: copies / usize::from(shards.max(1)) }
}

/// A batch that begins a snapshot; to be filed with any shard.
pub fn moment(moment: Moment, now: Millis) -> Box<Batch> {
    Batch::of_nobody(Everywhere::Moment(moment), now)
}

impl Shard {
    /// All slots stand in one keyspace: the snapshot begins. The slots go home behind the letter
    /// that says so.
    pub(super) fn take_moment(&mut self, batch: &mut Batch, moment: Moment) {
        let begun = self.with_all_slots(batch, |engine, _| {
            Begun::of(moment, &engine.space, &engine.scripting.libraries)
        });
        let is_begun = begun.is_some();
        let news = match begun {
            Some(begun) => News::Begun(begun, batch.companion.take()),
            None => News::NotBegun(moment.number),
        };
        self.outbox.snapshots.push(news);
        if is_begun {
            for shard in (0..self.env.map.shards()).filter(|shard| *shard != self.id) {
                self.outbox.letters.push((shard, Letter::Snapshot(moment)));
            }
            self.begin_snapshot(moment);
            if moment.purpose != Purpose::File {
                self.effects().mark_moment(moment.number, moment.purpose);
            }
        }
    }

    /// A snapshot has begun, unless this shard knew that.
    pub(super) fn begin_snapshot(&mut self, moment: Moment) {
        let last = self.snapshots.last.map_or(0, |last| last.number);
        if moment.number <= last {
            return;
        }
        self.drop_snapshot();
        self.snapshots.last = Some(moment);
        self.snapshots.next = 0;
        let format: Box<dyn Format> = match moment.form {
            Form::Rdb { compresses, version } => {
                let timed = Dialect::of_version(version).unwrap_or(Dialect::COMMON);
                Box::new(Records::new(compresses, timed))
            }
            Form::Commands => Box::new(Commands),
        };
        let spool = u64::from(self.id) << 48;
        let saving = Saving::new(moment.number, format, spool, moment.copies_max);
        self.engine.tools.saving = Some(Box::new(saving));
    }

    /// The snapshot with this number is over: it is whole, or was given up.
    pub fn end_snapshot(&mut self, number: u32) {
        if self.engine.tools.saving.as_ref().is_some_and(|saving| saving.number == number) {
            self.drop_snapshot();
        }
    }

    /// So many bytes of the snapshot, in all, are written.
    pub fn snapshot_written(&mut self, number: u32, bytes: u64) {
        let saving = self.engine.tools.saving.as_mut();
        if let Some(saving) = saving.filter(|saving| saving.number == number) {
            saving.note_written(bytes);
        }
        if !self.engine.is_full() {
            self.ready.append(&mut self.set_aside);
        }
    }

    /// The snapshot that is being written, if one is.
    pub fn snapshot(&self) -> Option<u32> {
        self.engine.tools.saving.as_ref().map(|saving| saving.number)
    }

    /// Saves some more of the slots that are here, for one slice, beside commands for a part of
    /// one. Returns true when there is more, and room for it.
    pub fn write_snapshot(&mut self, clock: &mut dyn Ticks) -> bool {
        if self.engine.phase != Phase::Serving {
            return false;
        }
        let slice = if self.snapshots.is_beside_commands { BESIDE_NS } else { SLICE_NS };
        let start = clock.nanos();
        while let Some(number) = self.next_unsaved() {
            let Engine { space, tools, .. } = &mut self.engine;
            let Tools { saving: Some(saving), discarded, .. } = tools else { return false };
            if saving.load() > WALK_MAX.min(saving.copies_max / 8) {
                return false;
            }
            let mut goes_on =
                |saving: &Saving| saving.len() <= BYTES_A_TURN && clock.nanos() - start <= slice;
            let is_whole = space.save_slot(number, saving, discarded, &mut goes_on);
            if !is_whole || !goes_on(saving) {
                return true;
            }
        }
        false
    }

    /// A slot that is here and not saved.
    fn next_unsaved(&mut self) -> Option<u16> {
        let saving = self.engine.tools.saving.as_ref()?;
        let next = &mut self.snapshots.next;
        while *next < SLOTS {
            let slot = self.engine.space.slot(*next);
            if slot.is_some_and(|slot| !slot.saved.is_whole(saving.number)) {
                return Some(*next);
            }
            *next += 1;
        }
        None
    }

    /// Slots have come, of which this is the first: some may not be saved.
    pub(super) fn look_for_unsaved(&mut self, first: u16) {
        self.snapshots.next = self.snapshots.next.min(first);
        self.forget_leftovers();
    }

    /// Whether there is anything to tell of snapshots.
    pub(super) fn has_news(&self) -> bool {
        let saving = self.engine.tools.saving.as_ref();
        !self.outbox.snapshots.is_empty()
            || saving
                .is_some_and(|saving| !saving.is_empty() || self.engine.phase != Phase::Serving)
    }

    /// What there is to tell of snapshots, at the end of a turn.
    pub(crate) fn tell_news(&mut self, news: &mut Vec<News>) {
        news.append(&mut self.outbox.snapshots);
        let is_trusted = self.engine.phase == Phase::Serving;
        let Some(saving) = &mut self.engine.tools.saving else { return };
        if !is_trusted {
            saving.fail();
        }
        if saving.is_empty() {
            return;
        }
        let has_failed = saving.has_failed();
        news.push(News::Pieces(saving.take()));
        if has_failed {
            self.drop_snapshot();
        }
    }

    /// The shard's slots are other ones than they were: no snapshot of them can become whole.
    pub(super) fn fail_snapshot(&mut self) {
        if let Some(saving) = &mut self.engine.tools.saving {
            saving.fail();
        }
    }

    /// The shard has no more to do with the snapshot that was being written.
    fn drop_snapshot(&mut self) {
        if self.engine.tools.saving.is_none() {
            return;
        }
        self.snapshots.has_leftovers = self.next_unsaved().is_some() || !self.has_all_slots();
        self.engine.tools.saving = None;
        self.forget_leftovers();
        self.ready.append(&mut self.set_aside);
    }

    fn has_all_slots(&self) -> bool {
        self.env.map.slots_of(self.id).all(|slot| self.engine.space.has(slot))
    }

    /// Forgets what a snapshot that has failed has left of slots.
    pub(super) fn forget_leftovers(&mut self) {
        let is_over = self.engine.tools.saving.is_none() && self.engine.phase == Phase::Serving;
        if !self.snapshots.has_leftovers || !is_over {
            return;
        }
        self.snapshots.has_leftovers = !self.has_all_slots();
        let Engine { space, tools, .. } = &mut self.engine;
        (0..SLOTS).for_each(|slot| space.forget_saved(slot, &mut tools.discarded));
    }
}

#[cfg(test)]
mod tests;
