//! Which keys go when memory runs out.
//!
//! A few keys are chosen at random and compared, and the best candidates of earlier choices are
//! kept in a pool: so the key that goes is about as old as one that a full order would name (the
//! way of Redis 3.0). What a key is worth is one number, whatever the policy, so that shards can
//! compare theirs.
//!
//! A slot is chosen by how many keys it has that may go, by weights that follow the keys a little
//! behind: each choice looks at a few slots anew. All databases take part.

use crate::base::millis::Millis;
use crate::base::slot::SLOTS;
use crate::data::table::Counts;
use crate::keyspace::access::AccessClock;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::keyspace::slot::Table;
use crate::keyspace::space::Keyspace;

/// Candidates that are kept.
const POOL: usize = 16;

/// Slots that are asked for candidates until one is chosen.
const SLOTS_TRIED: usize = 16;

/// Slots whose weight is looked at anew with each choice.
const WEIGHED: u16 = 2;

/// The same, where many keys have come or gone since the weights were looked at.
const WEIGHED_MANY: u16 = 1_024;

/// Slots whose weights are added up together.
const GROUP: usize = 128;

/// What is worth so much never goes: there is nothing that may go.
pub const PRICELESS: u64 = u64::MAX;

/// The same: all that might go is blessed.
pub const BLESSED: u64 = PRICELESS - 1;

/// What an age of nothing is worth: the older, the less.
const YOUNG: u64 = 1 << 52;

/// Seconds for which no key has been idle: the clock has gone round.
const AHEAD: u32 = (1 << 24) - 60;

/// Which keys may go, and which of them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Only keys with a deadline.
    pub only_timed: bool,
    /// What the order is.
    pub by: By,
}

/// What the order is in which keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Their accesses, as the access clock counts them.
    Access,
    /// Their deadlines.
    Deadline,
    /// None.
    Chance,
}

impl Rule {
    /// What a key is worth.
    fn worth(self, entry: &Entry, clock: AccessClock, now: Millis) -> u64 {
        match self.by {
            By::Access => match clock.idle_seconds(entry, now) {
                // By the clock of another thread it may have been used in the next second.
                Some(AHEAD..) => YOUNG,
                Some(idle) => YOUNG / (u64::from(idle) + 1),
                None => u64::from(clock.frequency(entry, now).unwrap_or_default()) + 1,
            },
            By::Deadline => {
                entry.deadline().map_or(PRICELESS, |deadline| deadline.since(now).max(0) as u64 + 1)
            }
            By::Chance => 1,
        }
    }

    /// How many keys may go, of those that are counted here.
    fn of(self, counts: &Counts) -> usize {
        match self.only_timed {
            true => counts.expires - counts.blessed_expires,
            false => counts.len - counts.blessed,
        }
    }

    /// How many keys would have to go if they were not blessed.
    fn spared(self, counts: &Counts) -> usize {
        if self.only_timed { counts.blessed_expires } else { counts.blessed }
    }

    /// How many keys of a table may go.
    fn count(self, table: &Table) -> usize {
        self.of(&table.counts())
    }
}

/// A key that may go.
#[derive(Debug)]
pub struct Candidate {
    /// Its database.
    pub db: u32,
    /// Its name.
    pub name: Vec<u8>,
    /// What it was worth when it was chosen.
    pub worth: u64,
}

/// What came of a choice.
#[derive(Debug)]
pub enum Pick {
    /// This key is to go.
    Key(Candidate),
    /// There are some that may go, and none was found among many: choose again.
    Missed,
    /// There is none that may go.
    Nothing,
    /// There is none, and some would have to go if they were not blessed.
    Spared,
}

/// Chooses the keys that go. What it needs for that it has from the start, since later there may be
/// no room.
#[derive(Debug)]
pub struct Picker {
    rule: Rule,
    samples: usize,
    weights: Weights,
    /// The most expendable one last.
    pool: Vec<Candidate>,
    /// Room for the next name.
    spare: Vec<u8>,
}

impl Picker {
    /// Chooses by this rule, among so many keys at a time.
    pub fn new(rule: Rule, samples: usize) -> Picker {
        let (weights, pool) = (Weights::new(), Vec::with_capacity(POOL));
        let mut picker = Picker { rule, samples: 0, weights, pool, spare: Vec::new() };
        picker.go_by(rule, samples);
        picker
    }

    /// Goes by this rule from now on. What it has chosen by another is forgotten.
    pub fn go_by(&mut self, rule: Rule, samples: usize) {
        self.rule = rule;
        self.samples = if rule.by == By::Chance { 1 } else { samples };
        self.weights.clear();
        self.pool.clear();
    }

    /// Chooses the next key that goes.
    pub fn pick(
        &mut self,
        space: &Keyspace,
        clock: AccessClock,
        random: &mut fastrand::Rng,
        now: Millis,
    ) -> Pick {
        let rule = self.rule;
        let keys: usize = space.each_counts().map(|counts| rule.of(counts)).sum();
        if keys == 0 {
            let is_spared = space.each_counts().any(|counts| rule.spared(counts) > 0);
            return if is_spared { Pick::Spared } else { Pick::Nothing };
        }
        self.weights.follow(space, rule, keys as u64);
        self.fill(space, clock, random, now);
        while let Some(candidate) = self.pool.pop() {
            if self.is_as_cheap(&candidate, space, clock, now) {
                return Pick::Key(candidate);
            }
            self.spare = candidate.name;
        }
        Pick::Missed
    }

    /// What the next key is worth that goes; [`BLESSED`] or [`PRICELESS`] where none may go.
    pub fn estimate(
        &mut self,
        space: &Keyspace,
        clock: AccessClock,
        random: &mut fastrand::Rng,
        now: Millis,
    ) -> u64 {
        match self.pick(space, clock, random, now) {
            Pick::Key(candidate) => {
                let worth = candidate.worth;
                self.pool.push(candidate);
                worth
            }
            Pick::Missed => 0,
            Pick::Nothing => PRICELESS,
            Pick::Spared => BLESSED,
        }
    }

    /// The key has gone from its slot; what is left of it is used again.
    pub fn gone(&mut self, candidate: Candidate, slot: u16) {
        self.spare = candidate.name;
        self.weights.count_off(slot);
    }

    /// A key may have been used, changed, blessed or taken out since it was chosen.
    fn is_as_cheap(
        &self,
        candidate: &Candidate,
        space: &Keyspace,
        clock: AccessClock,
        now: Millis,
    ) -> bool {
        let key = Key::new(&candidate.name, space.hasher());
        let entry = space.table(candidate.db, key.slot).and_then(|table| table.get(key.in_table()));
        entry.is_some_and(|entry| {
            let is_meant = !self.rule.only_timed || entry.deadline().is_some();
            is_meant && !entry.is_blessed() && self.rule.worth(entry, clock, now) <= candidate.worth
        })
    }

    /// Puts candidates into the pool.
    fn fill(
        &mut self,
        space: &Keyspace,
        clock: AccessClock,
        random: &mut fastrand::Rng,
        now: Millis,
    ) {
        let (rule, mut left) = (self.rule, self.samples);
        for _ in 0..SLOTS_TRIED {
            let Some(number) = self.weights.choose(random) else { break };
            let Some((db, table)) = chosen_table(space, number, rule, random) else {
                self.weights.set(number, 0);
                continue;
            };
            let before = left;
            let offer = |entry: &Entry| {
                left -= 1;
                self.offer(db, entry.key(), rule.worth(entry, clock, now));
            };
            match rule.only_timed {
                true => table.sample_timed(random, before, offer),
                false => table.sample(random, before, offer),
            }
            if left == 0 {
                break;
            }
        }
    }

    fn offer(&mut self, db: u32, name: &[u8], worth: u64) {
        let at = self.pool.partition_point(|there| there.worth > worth);
        let is_there = self.pool[at..].iter().take_while(|there| there.worth == worth);
        if is_there.into_iter().any(|there| there.db == db && there.name == name) {
            return;
        }
        let mut at = at;
        if self.pool.len() == POOL {
            if at == 0 {
                return;
            }
            self.spare = self.pool.remove(0).name;
            at -= 1;
        }
        let mut kept = std::mem::take(&mut self.spare);
        kept.clear();
        kept.extend_from_slice(name);
        self.pool.insert(at, Candidate { db, name: kept, worth });
    }
}

/// A table of a slot, chosen by how many of its keys may go.
fn chosen_table<'a>(
    space: &'a Keyspace,
    number: u16,
    rule: Rule,
    random: &mut fastrand::Rng,
) -> Option<(u32, &'a Table)> {
    let slot = space.slot(number)?;
    let count: usize = slot.tables().map(|(_, table)| rule.count(table)).sum();
    let mut place = random.usize(0..count.max(1));
    slot.tables().find(|(_, table)| {
        let keys = rule.count(table);
        let is_in = place < keys;
        place = place.saturating_sub(keys);
        is_in
    })
}

/// How many keys of each slot may go, as it was a while ago.
#[derive(Debug)]
struct Weights {
    /// Very many count as fewer.
    slots: Box<[u16]>,
    /// The sums of [`GROUP`] of them each.
    groups: [u64; SLOTS as usize / GROUP],
    /// The slot that is looked at next.
    next: u16,
}

impl Weights {
    fn new() -> Weights {
        let groups = [0; SLOTS as usize / GROUP];
        Weights { slots: vec![0; usize::from(SLOTS)].into(), groups, next: 0 }
    }

    fn clear(&mut self) {
        self.slots.fill(0);
        self.groups = [0; SLOTS as usize / GROUP];
    }

    /// Looks at the next slots anew: at more of them the less is known of the keys.
    fn follow(&mut self, space: &Keyspace, rule: Rule, keys: u64) {
        let count = match self.sum() {
            // At first, and where all that there is has come since, all of them.
            0 => SLOTS,
            sum if sum.abs_diff(keys) > keys / 16 => WEIGHED_MANY,
            _ => WEIGHED,
        };
        (0..count).for_each(|_| self.look_at_next(space, rule));
    }

    /// Looks at the next slot that is here, unless that is far.
    fn look_at_next(&mut self, space: &Keyspace, rule: Rule) {
        for _ in 0..GROUP {
            let number = self.next;
            self.next = (number + 1) % SLOTS;
            let Some(slot) = space.slot(number) else {
                self.set(number, 0);
                continue;
            };
            let keys: usize = slot.tables().map(|(_, table)| rule.count(table)).sum();
            return self.set(number, keys.try_into().unwrap_or(u16::MAX));
        }
    }

    /// The keys of all slots.
    fn sum(&self) -> u64 {
        self.groups.iter().sum()
    }

    /// A key of a slot has gone.
    fn count_off(&mut self, slot: u16) {
        self.set(slot, self.slots[usize::from(slot)].saturating_sub(1));
    }

    fn set(&mut self, slot: u16, weight: u16) {
        let before = std::mem::replace(&mut self.slots[usize::from(slot)], weight);
        let group = &mut self.groups[usize::from(slot) / GROUP];
        *group = *group + u64::from(weight) - u64::from(before);
    }

    /// A slot, one with more keys more likely than another.
    fn choose(&self, random: &mut fastrand::Rng) -> Option<u16> {
        let sum = self.sum();
        if sum == 0 {
            return None;
        }
        let mut place = random.u64(0..sum);
        let mut is_in = |weight: u64| {
            let is_in = place < weight;
            place -= if is_in { 0 } else { weight };
            is_in
        };
        let group = self.groups.iter().position(|weight| is_in(*weight))?;
        let slots = &self.slots[group * GROUP..(group + 1) * GROUP];
        let at = slots.iter().position(|weight| is_in(u64::from(*weight)))?;
        u16::try_from(group * GROUP + at).ok()
    }
}

impl Keys<'_> {
    /// Takes a key out to make room, and records its deletion. Returns how many bytes it took.
    pub(crate) fn evict(&mut self, key: Key<'_>) -> usize {
        self.ahead(key);
        let Some(entry) = self.take(key) else { return 0 };
        let bytes = entry.memory();
        self.touch(key, Event::EVICTED);
        self.tools.discarded.take_entry(entry);
        self.tools.figures.evicted += 1;
        self.tools.effects.aside(self.db, &[b"DEL", key.name]);
        bytes
    }

    /// A key has changed, and the access clock goes by changes.
    #[cold]
    pub(super) fn note_change(&mut self, key: Key<'_>) {
        let (clock, now) = (self.tools.clock, self.now);
        let table = self.space.table_mut(self.db, key.slot);
        if let Some(entry) = table.and_then(|table| table.get_mut(key.in_table())) {
            clock.start(entry, now);
        }
    }
}

#[cfg(test)]
mod tests;
