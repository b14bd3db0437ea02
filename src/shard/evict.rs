//! The limit of memory: a shard makes room for what commands add, and says when it cannot.
//!
//! ```text
//!   a turn begins, or a call may add something        used <= maxmemory: there is room
//!     |  over the limit
//!     v
//!   evict own keys, for a part of a slice        <--> another shard has keys that are clearly
//!     |  nothing here may go                          worth less: it is asked to evict, and
//!     v                                               writes go on meanwhile, a little over
//!   ask all others: Letter::Evict ----------------->  each evicts in its turns
//!     |  writes wait, and those who cache keys;
//!     |  other reads never do
//!     |<---------------- Letter::Evicted -----------  there is room, or nothing may go there
//!     v
//!   nobody could: -OOM until there is room again
//! ```
//!
//! **Blessed keys** never go. Where nothing but those would have to go, a quarter more than the
//! limit is tolerated before writes are refused.
//!
//! **One limit for all shards.** Each sees what all use ([`Gauge`]), and works off what is over in
//! its turns, whoever has caused it. In the long run what goes is worth the same everywhere: each
//! shard publishes what its next victim is worth ([`Worths`]).
//!
//! **What does not count** is what eviction itself causes: effects on their way to the journal, and
//! what a snapshot has to have written first. Values that are let go count until they are dropped,
//! so they are dropped before another key goes.
//!
//! Nothing is evicted inside EXEC, nor while the data set is loaded, nor in import mode, nor by a
//! replica that leaves that to its primary.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::millis::Millis;
use crate::batch::Batch;
use crate::commands::call::Call;
use crate::hook::{self, Phase, Room};
use crate::keyspace::evict::{BLESSED, By, PRICELESS, Pick, Picker, Rule};
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::pubsub::Author;
use crate::route::ShardId;
use crate::session::Session;
use crate::settings::{EvictionPolicy, Settings};
use crate::shard::execute::Engine;
use crate::shard::letter::Letter;
use crate::shard::{Shard, Ticks};

/// Time for eviction in one turn, for each step of `maxmemory-eviction-tenacity`.
const TENACITY_NS: u64 = 50_000;

/// How often a shard finds out what its keys are worth without evicting any, and asks others that
/// had nothing.
const AGAIN_MS: i64 = 100;

/// Who asks another shard may be over the limit by this part of it meanwhile: one in 256.
const SLACK_SHIFT: u32 = 8;

/// Who is asked makes room for what comes next: one part in 512 of the limit.
const HEADROOM_SHIFT: u32 = 9;

/// What is tolerated over the limit for the sake of blessed keys: a quarter of it.
const SPARED_SHIFT: u32 = 2;

/// How much memory is in use, by the whole process, as far as it counts for `maxmemory`.
pub trait Gauge {
    /// Tells the other shards what the thread of this one uses, of which so many bytes do not
    /// count, and finds out what they use.
    fn renew(&mut self, uncounted: u64);

    /// Bytes in use now, those of others as of the last time.
    fn used(&mut self, uncounted: u64) -> u64;
}

/// Nothing is ever in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmeasured;

impl Gauge for Unmeasured {
    fn renew(&mut self, _uncounted: u64) {}

    fn used(&mut self, _uncounted: u64) -> u64 {
        0
    }
}

/// What the next key of each shard is worth that would have to go. Each writes its own; 0 where
/// that is not known.
#[derive(Clone, Debug, Default)]
pub struct Worths(Arc<[AtomicU64]>);

impl Worths {
    /// For so many shards.
    pub fn new(shards: ShardId) -> Worths {
        Worths((0..shards).map(|_| AtomicU64::new(0)).collect())
    }

    fn publish(&self, shard: ShardId, worth: u64) {
        if let Some(own) = self.0.get(usize::from(shard)) {
            own.store(worth, Ordering::Relaxed);
        }
    }

    /// Whether a shard has keys that would have to go if they were not blessed, and no others.
    fn has_spared(&self) -> bool {
        self.0.iter().any(|worth| worth.load(Ordering::Relaxed) == BLESSED)
    }

    /// The shard, other than this one, whose keys are worth the least, where that is clearly less.
    fn cheaper_than(&self, shard: ShardId) -> Option<ShardId> {
        let own = self.0.get(usize::from(shard))?.load(Ordering::Relaxed);
        let worths = (0..).zip(&*self.0).map(|(id, worth)| (worth.load(Ordering::Relaxed), id));
        let (least, other) = worths.filter(|(_, id)| *id != shard).min()?;
        (least.saturating_add(least / 4) < own).then_some(other)
    }
}

/// What a shard does about the limit.
pub(super) struct Eviction {
    /// In bytes; 0 for none.
    limit: u64,
    /// Whether anything goes, and who chooses what.
    evicts: bool,
    picker: Picker,
    gauge: Box<dyn Gauge>,
    worths: Worths,
    /// What the last victims were worth, on average.
    worth: u64,
    estimated: Millis,
    /// When eviction has to end in this turn, in nanoseconds.
    ends_at: u64,
    turn_ns: u64,
    /// There is more to evict, and nothing in the way.
    goes_on: bool,
    /// Nothing more goes in this turn: who is told of the keys that have gone takes more than they
    /// did, and that comes first; or all is blessed.
    pauses: bool,
    /// Answers of other shards that are still to come.
    asked: u16,
    /// All others were asked, then, and none of them has made room so far.
    in_vain: Option<Millis>,
    /// Shards that have asked this one, and whether it has evicted anything since.
    askers: Vec<ShardId>,
    has_evicted: bool,
    /// Since when there is no room, and for how long there was none before.
    since: Option<Millis>,
    total_ms: u64,
}

impl Eviction {
    pub(super) fn new(settings: &Settings, gauge: Box<dyn Gauge>, worths: Worths) -> Eviction {
        let mut eviction = Eviction {
            limit: 0,
            evicts: false,
            picker: Picker::new(Rule { only_timed: false, by: By::Chance }, 1),
            gauge,
            worths,
            worth: 0,
            estimated: Millis(0),
            ends_at: 0,
            turn_ns: 0,
            goes_on: false,
            pauses: false,
            asked: 0,
            in_vain: None,
            askers: Vec::new(),
            has_evicted: false,
            since: None,
            total_ms: 0,
        };
        eviction.adapt(settings);
        eviction
    }

    /// Goes by these settings from now on.
    pub(super) fn adapt(&mut self, settings: &Settings) {
        let replication = &settings.replication;
        let is_left_to_primary =
            replication.replicaof.is_some() && replication.replica_ignore_maxmemory;
        self.limit = if is_left_to_primary { 0 } else { settings.maxmemory };
        self.turn_ns = TENACITY_NS * u64::from(settings.maxmemory_eviction_tenacity);
        let rule = rule_of(settings.maxmemory_policy);
        self.evicts = rule.is_some() && !settings.import_mode;
        let samples = settings.maxmemory_samples as usize;
        rule.into_iter().for_each(|rule| self.picker.go_by(rule, samples));
        (self.worth, self.estimated, self.in_vain) = (0, Millis(0), None);
        self.goes_on = false;
    }

    #[inline]
    pub(super) fn has_limit(&self) -> bool {
        self.limit > 0
    }

    /// Since when there is no room, and for how many milliseconds there was none before.
    pub(super) fn exceeded(&self) -> (Option<Millis>, u64) {
        (self.since, self.total_ms)
    }

    /// Forgets how long there was none.
    pub(super) fn reset(&mut self) {
        self.total_ms = 0;
    }

    /// There is more to evict, and nothing in the way.
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// The next victim is worth so much.
    fn note_worth(&mut self, id: ShardId, worth: u64) {
        let is_known = self.worth > 0 && self.worth < BLESSED && worth < BLESSED;
        self.worth = if is_known { self.worth - self.worth / 8 + worth / 8 } else { worth };
        self.worths.publish(id, self.worth);
    }
}

/// What goes by a policy; none where nothing does.
fn rule_of(policy: EvictionPolicy) -> Option<Rule> {
    use EvictionPolicy::*;
    let only_timed =
        matches!(policy, VolatileLru | VolatileLfu | VolatileLrm | VolatileRandom | VolatileTtl);
    let by = match policy {
        VolatileLru | VolatileLfu | VolatileLrm | AllkeysLru | AllkeysLfu | AllkeysLrm => {
            By::Access
        }
        VolatileTtl => By::Deadline,
        VolatileRandom | AllkeysRandom => By::Chance,
        NoEviction => return None,
    };
    Some(Rule { only_timed, by })
}

impl Engine {
    /// Whether a call has to wait while others make room: it may add something to what is in use,
    /// or its client has cached keys, and is told of those that go ahead of its next reply.
    fn waits_for_room(&mut self, call: &Call<'_>, session: &Session) -> bool {
        hook::may_add(call, session) || hook::may_write(call, session) || session.tracking.is_some()
    }

    /// Bytes that are in use only until journal and snapshot have them.
    fn uncounted(&self) -> u64 {
        let saving = self.tools.saving.as_ref().map_or(0, |saving| saving.load());
        (self.tools.effects.memory() + saving) as u64
    }
}

impl Shard {
    /// Whether there is a limit, so that keys may have to go.
    pub fn has_limit(&self) -> bool {
        self.eviction.has_limit()
    }

    /// A turn begins: makes room where there is too little.
    pub(super) fn keep_limit(&mut self, now: Millis, clock: &mut dyn Ticks) {
        self.eviction.pauses = false;
        if !self.eviction.has_limit() {
            self.answer_askers(true);
            return self.set_room(Room::Enough, now);
        }
        self.eviction.gauge.renew(self.engine.uncounted());
        self.eviction.ends_at = clock.nanos() + self.eviction.turn_ns;
        self.estimate(now);
        // All shards see what is over, and each works off its part of it.
        let parts = u64::from(self.env.map.shards());
        let room = self.make_room(parts, now, clock);
        self.set_room(room, now);
    }

    /// A turn ends: what it has added may be too much.
    pub(super) fn look_at_limit(&mut self) {
        let uncounted = self.engine.uncounted();
        let Eviction { limit, evicts, gauge, asked, goes_on, pauses, .. } = &mut self.eviction;
        gauge.renew(uncounted);
        let may_evict = *limit > 0 && *evicts && *asked == 0 && !*pauses;
        if may_evict && self.engine.room == Room::Enough && self.engine.phase == Phase::Serving {
            *goes_on |= gauge.used(uncounted) > *limit;
        }
    }

    /// Whether the next call of a batch has to wait for memory. Where there is none it is refused.
    #[cold]
    pub(super) fn lacks_memory(&mut self, batch: &mut Batch, clock: &mut dyn Ticks) -> bool {
        // What has begun goes on: others wait for what it holds.
        if batch.holds() || batch.exec.is_some() || batch.is_nobodys() || batch.is_done() {
            return false;
        }
        let is_elsewhere = |slot| !self.engine.space.has(slot);
        if batch.routed[batch.next].key.is_some_and(|key| is_elsewhere(key.slot)) {
            return false;
        }
        if !self.engine.ask_of_next(&self.env, batch, Engine::waits_for_room) {
            return false;
        }
        let room = self.make_room(1, batch.now, clock);
        self.set_room(room, batch.now);
        room == Room::Soon
    }

    /// Others ask for room.
    pub(super) fn is_asked_to_evict(&mut self, from: ShardId) {
        self.eviction.askers.push(from);
    }

    /// One that was asked has made room, or can make none.
    pub(super) fn others_have_evicted(&mut self, has_evicted: bool) {
        self.eviction.asked = self.eviction.asked.saturating_sub(1);
        if has_evicted {
            self.eviction.in_vain = None;
        }
    }

    fn set_room(&mut self, room: Room, now: Millis) {
        let before = std::mem::replace(&mut self.engine.room, room);
        if before == Room::Soon && room != Room::Soon {
            self.ready.append(&mut self.set_aside);
        }
        let Eviction { since, total_ms, .. } = &mut self.eviction;
        match room {
            Room::Enough => {
                let was = since.take().map_or(0, |since| now.since(since).max(0));
                *total_ms += was as u64;
            }
            Room::Soon | Room::Never => *since = since.or(Some(now)),
        }
    }

    /// Finds out what the keys here are worth, now and then: others ask only who may have cheaper
    /// ones.
    fn estimate(&mut self, now: Millis) {
        let Eviction { picker, evicts, estimated, .. } = &mut self.eviction;
        if !*evicts || now.since(*estimated) < AGAIN_MS {
            return;
        }
        *estimated = now;
        let Engine { space, tools, .. } = &mut self.engine;
        let worth = picker.estimate(space, tools.clock, &mut tools.random, now);
        // What it was a while ago counts only among victims.
        self.eviction.worth = 0;
        self.eviction.note_worth(self.id, worth);
    }

    /// Evicts keys while more memory is in use than may be, for what is left of the turn's time:
    /// one of so many parts of what is over.
    fn make_room(&mut self, parts: u64, now: Millis, clock: &mut dyn Ticks) -> Room {
        self.eviction.goes_on = false;
        if self.engine.phase != Phase::Serving {
            self.answer_askers(false);
            return Room::Enough;
        }
        let limit = self.eviction.limit;
        let is_asked = !self.eviction.askers.is_empty();
        let goal = if is_asked { limit - (limit >> HEADROOM_SHIFT) } else { limit };
        if !self.is_over(goal) {
            self.answer_askers(true);
            return Room::Enough;
        }
        if !self.eviction.evicts {
            self.answer_askers(false);
            return if self.is_over(limit) { Room::Never } else { Room::Enough };
        }
        if !is_asked && let Some(other) = self.eviction.worths.cheaper_than(self.id) {
            self.ask(&[other]);
            if !self.is_over(limit + (limit >> SLACK_SHIFT)) {
                return Room::Enough;
            }
        }
        let evicted = self.engine.tools.figures.evicted;
        let before = self.used();
        let mut freed = 0;
        let found = self.evict(goal, (before - goal).div_ceil(parts), &mut freed, now, clock);
        if self.engine.tools.figures.evicted > evicted {
            self.eviction.has_evicted = true;
            self.tell_of_evicted(now, clock);
        }
        let used = self.used();
        match found {
            Found::Part if used > limit && before.saturating_sub(used) < freed / 2 => {
                self.eviction.pauses = true;
                return Room::Enough;
            }
            Found::Part => self.eviction.goes_on = used > goal,
            Found::Some => {}
            Found::Nothing => self.answer_askers(self.eviction.has_evicted),
        }
        if used <= goal {
            self.answer_askers(true);
        }
        match found {
            _ if used <= limit => Room::Enough,
            Found::Nothing => self.ask_all(now),
            Found::Part | Found::Some => Room::Soon,
        }
    }

    fn used(&mut self) -> u64 {
        self.eviction.gauge.used(self.engine.uncounted())
    }

    fn is_over(&mut self, goal: u64) -> bool {
        self.used() > goal
    }

    /// Evicts keys until no more is in use than `goal`, or so many bytes of keys have gone. That is
    /// not the same: who has to be told of a key takes memory until it has been, be it more than
    /// the key took. No other key goes for that.
    fn evict(
        &mut self,
        goal: u64,
        most: u64,
        freed: &mut u64,
        now: Millis,
        clock: &mut dyn Ticks,
    ) -> Found {
        let mut has_begun = false;
        while self.is_over(goal) {
            // What keeps it up ends in a letter, or is looked at again with the next turn.
            if !self.engine.has_credit || self.engine.is_full() {
                return Found::Some;
            }
            if has_begun && clock.nanos() > self.eviction.ends_at {
                self.eviction.goes_on = true;
                return Found::Some;
            }
            has_begun = true;
            let Engine { space, tools, .. } = &mut self.engine;
            if !tools.discarded.is_empty() {
                tools.discarded.drop_some();
                continue;
            }
            if *freed >= most {
                break;
            }
            let picker = &mut self.eviction.picker;
            let victim = match picker.pick(space, tools.clock, &mut tools.random, now) {
                Pick::Key(victim) => victim,
                Pick::Missed => {
                    self.eviction.goes_on = true;
                    return Found::Some;
                }
                Pick::Spared => {
                    self.eviction.note_worth(self.id, BLESSED);
                    return Found::Nothing;
                }
                Pick::Nothing => {
                    self.eviction.note_worth(self.id, PRICELESS);
                    return Found::Nothing;
                }
            };
            let key = Key::new(&victim.name, &self.env.hasher);
            let mut keys = Keys::new(space, tools, victim.db, now);
            // What a snapshot has to write first goes later.
            if keys.has_to_stay(key) {
                self.eviction.goes_on = true;
                return Found::Some;
            }
            *freed += keys.evict(key) as u64;
            let (worth, slot) = (victim.worth, key.slot);
            picker.gone(victim, slot);
            self.eviction.note_worth(self.id, worth);
        }
        Found::Part
    }

    /// Who listens, has cached or waits hears of the keys that are gone.
    fn tell_of_evicted(&mut self, now: Millis, clock: &mut dyn Ticks) {
        if self.engine.tools.notices.len() > 0 {
            self.engine.publish_notices(None);
        }
        if !self.engine.tools.invalidations.is_empty() {
            self.engine.tell_outdated(Author::NOBODY);
        }
        self.engine.serve(&self.env, now, clock);
    }

    /// Nothing here may go: others have to make room. Returns whether they may.
    fn ask_all(&mut self, now: Millis) -> Room {
        let others: Vec<ShardId> =
            (0..self.env.map.shards()).filter(|shard| *shard != self.id).collect();
        if others.is_empty() {
            return self.without_victims();
        }
        if self.eviction.asked > 0 {
            return Room::Soon;
        }
        if self.eviction.in_vain.is_some_and(|then| now.since(then) < AGAIN_MS) {
            return self.without_victims();
        }
        self.eviction.in_vain = Some(now);
        self.ask(&others);
        Room::Soon
    }

    /// No shard has keys that may go. Returns whether a little more is tolerated.
    fn without_victims(&mut self) -> Room {
        let limit = self.eviction.limit;
        let tolerated = limit.saturating_add(limit >> SPARED_SHIFT);
        if !self.eviction.worths.has_spared() || self.is_over(tolerated) {
            return Room::Never;
        }
        self.eviction.pauses = true;
        Room::Enough
    }

    /// Asks others to evict, unless some were asked and have not answered.
    fn ask(&mut self, others: &[ShardId]) {
        if self.eviction.asked > 0 {
            return;
        }
        self.eviction.asked = others.len() as u16;
        let letters = others.iter().map(|other| (*other, Letter::Evict(self.id)));
        self.outbox.letters.extend(letters);
    }

    fn answer_askers(&mut self, has_room: bool) {
        for asker in self.eviction.askers.drain(..) {
            self.outbox.letters.push((asker, Letter::Evicted(has_room)));
        }
        self.eviction.has_evicted = false;
    }
}

/// What became of an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// The part that was wanted.
    Part,
    /// Something, and there may be more.
    Some,
    /// Nothing that may go is left.
    Nothing,
}

#[cfg(test)]
mod tests;
