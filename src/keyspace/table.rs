//! The keys of one slot and database: a hash table that grows and is scanned piece by piece.
//!
//! Linear hashing (W. Litwin, 1980) over small hash tables, the segments. With `n` segments and
//! `level` = floor(log2 n), a key belongs to segment `bits mod 2^level`, or `mod 2^(level+1)` where
//! that segment was split already. One insertion splits at most one segment, so growth never moves
//! more than a segment's entries at a time, however large the table.
//!
//! A scan goes over segments in the order of their bits read backwards: in that order a segment
//! covers an interval, and splitting it only divides the interval. So a key that is there from
//! start to end of a scan is met, whatever happens meanwhile. The table never shrinks in between;
//! it is emptied as a whole.
//!
//! Each segment knows a lower bound of its deadlines, so that looking for what is due costs one
//! comparison a segment and no memory a key.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use crate::base::millis::Millis;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::{Hasher, Key};

/// Entries a segment holds on average before the table grows by one segment.
const SEGMENT_MEAN: usize = 100;

/// Bits of the hash below these choose the place inside a segment.
const SEGMENT_SHIFT: u32 = 20;

/// Positions of a scan have this many bits: more than any table has segments.
pub const SCAN_BITS: u32 = 34;

/// No deadline.
pub const NEVER: Millis = Millis::MAX;

/// What a table holds, in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys.
    pub keys: usize,
    /// Keys with a deadline.
    pub expires: usize,
    /// Sum of the deadlines, in milliseconds of unix time: their mean is what INFO shows.
    pub deadline_sum: i128,
}

impl Counts {
    /// Adds `other`.
    pub fn add(&mut self, other: Counts) {
        self.keys += other.keys;
        self.expires += other.expires;
        self.deadline_sum += other.deadline_sum;
    }

    /// Takes `other` off.
    pub fn sub(&mut self, other: Counts) {
        self.keys -= other.keys;
        self.expires -= other.expires;
        self.deadline_sum -= other.deadline_sum;
    }

    fn change_deadline(&mut self, old: Option<Millis>, new: Option<Millis>) {
        if let Some(old) = old {
            self.expires -= 1;
            self.deadline_sum -= i128::from(old.0);
        }
        if let Some(new) = new {
            self.expires += 1;
            self.deadline_sum += i128::from(new.0);
        }
    }
}

#[derive(Debug)]
struct Segment {
    entries: HashTable<Entry>,
    due: Millis,
}

impl Segment {
    const EMPTY: Segment = Segment { entries: HashTable::new(), due: NEVER };
}

/// The keys of one slot and database.
#[derive(Debug)]
pub struct Table {
    first: Segment,
    rest: Vec<Segment>,
    counts: Counts,
    due: Millis,
}

impl Default for Table {
    fn default() -> Table {
        Table { first: Segment::EMPTY, rest: Vec::new(), counts: Counts::default(), due: NEVER }
    }
}

impl Table {
    /// Keys, keys with deadline, sum of deadlines.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The entry of a key.
    #[inline]
    pub fn get(&self, key: Key<'_>) -> Option<&Entry> {
        self.segment(self.index(key.hash)).entries.find(key.hash, |entry| entry.key() == key.name)
    }

    /// What is probably the entry of a key, by its hash alone; nothing of the entry is read.
    #[inline]
    pub(super) fn candidate(&self, hash: u64) -> Option<&Entry> {
        self.segment(self.index(hash)).entries.find(hash, |_| true)
    }

    /// The entry of a key, to change what leaves deadline and key as they are.
    #[inline]
    pub fn get_mut(&mut self, key: Key<'_>) -> Option<&mut Entry> {
        let index = self.index(key.hash);
        self.segment_mut(index).entries.find_mut(key.hash, |entry| entry.key() == key.name)
    }

    /// Finds the entry of `key` and changes it, or stores a new one. Returns true for a new one.
    pub fn upsert(
        &mut self,
        key: Key<'_>,
        hasher: &Hasher,
        change: impl FnOnce(Option<&mut Entry>) -> Option<Entry>,
    ) -> bool {
        let index = self.index(key.hash);
        let segment = if index == 0 { &mut self.first } else { &mut self.rest[index - 1] };
        let place = segment.entries.entry(
            key.hash,
            |entry| entry.key() == key.name,
            |entry| hasher.hash(entry.key()),
        );
        match place {
            Place::Occupied(mut place) => {
                let entry = place.get_mut();
                let old = entry.deadline();
                let replaced = change(Some(entry));
                debug_assert!(replaced.is_none(), "an entry that is there is changed in place");
                let new = entry.deadline();
                if old != new {
                    segment.due = segment.due.min(new.unwrap_or(NEVER));
                    self.due = self.due.min(segment.due);
                    self.counts.change_deadline(old, new);
                }
                false
            }
            Place::Vacant(place) => {
                let Some(entry) = change(None) else { return false };
                let deadline = entry.deadline();
                place.insert(entry);
                segment.due = segment.due.min(deadline.unwrap_or(NEVER));
                self.due = self.due.min(segment.due);
                self.counts.keys += 1;
                self.counts.change_deadline(None, deadline);
                if self.counts.keys > (self.rest.len() + 1) * SEGMENT_MEAN {
                    self.split(hasher);
                }
                true
            }
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: Key<'_>) -> Option<Entry> {
        let index = self.index(key.hash);
        let place = self.segment_mut(index).entries.find_entry(key.hash, |e| e.key() == key.name);
        let (entry, _) = place.ok()?.remove();
        self.counts.keys -= 1;
        self.counts.change_deadline(entry.deadline(), None);
        if self.counts.keys == 0 {
            *self = Table::default();
        }
        Some(entry)
    }

    /// A lower bound of all deadlines, [`NEVER`] where there is none.
    pub fn due(&self) -> Millis {
        self.due
    }

    /// Calls `found` with the name of each key that is due at `now`, `most` of them at the most,
    /// and makes the bounds of the segments that were looked through exact. The caller removes.
    pub fn find_due(&mut self, now: Millis, most: usize, mut found: impl FnMut(&Entry)) {
        let mut left = most;
        for index in 0..=self.rest.len() {
            let segment = self.segment_mut(index);
            if segment.due > now {
                continue;
            }
            let mut due = NEVER;
            for entry in segment.entries.iter() {
                let Some(deadline) = entry.deadline() else { continue };
                if deadline <= now && left > 0 {
                    left -= 1;
                    found(entry);
                } else {
                    due = due.min(deadline);
                }
            }
            segment.due = due;
            if left == 0 {
                return;
            }
        }
        self.due = self.segments().map(|segment| segment.due).min().unwrap_or(NEVER);
    }

    /// Calls `found` with the entries of the segment at `position`; returns the position after it,
    /// or none at the end. Positions have [`SCAN_BITS`] bits.
    pub fn scan(&self, position: u64, mut found: impl FnMut(&Entry)) -> Option<u64> {
        let bits = position.reverse_bits() >> (64 - SCAN_BITS);
        let index = self.index_of_bits(bits);
        self.segment(index).entries.iter().for_each(&mut found);
        let width = SCAN_BITS - self.level_of(index);
        let next = ((position >> width) + 1) << width;
        (next < 1 << SCAN_BITS).then_some(next)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.segments().flat_map(|segment| segment.entries.iter())
    }

    /// An entry chosen by `random` among those of one segment.
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<&Entry> {
        if self.counts.keys == 0 {
            return None;
        }
        loop {
            let segment = self.segment(random.usize(0..=self.rest.len()));
            let len = segment.entries.len();
            if len > 0 {
                return segment.entries.iter().nth(random.usize(0..len));
            }
        }
    }

    /// Bytes that the table takes from the allocator, the entries not counted.
    pub fn overhead(&self) -> usize {
        let tables: usize = self.segments().map(|segment| segment.entries.allocation_size()).sum();
        tables + self.rest.capacity() * size_of::<Segment>()
    }

    /// Drops one segment of a table that nobody uses any more. Returns true when there is more.
    pub fn drop_some(&mut self) -> bool {
        match self.rest.pop() {
            Some(segment) => {
                self.counts.keys = self.counts.keys.saturating_sub(segment.entries.len());
                true
            }
            None => false,
        }
    }

    fn split(&mut self, hasher: &Hasher) {
        let new = self.rest.len() + 1;
        let from = new - (1 << new.ilog2());
        self.rest.push(Segment::EMPTY);
        let old = std::mem::replace(self.segment_mut(from), Segment::EMPTY);
        for entry in old.entries {
            let hash = hasher.hash(entry.key());
            let due = entry.deadline().unwrap_or(NEVER);
            let index = self.index(hash);
            let segment = self.segment_mut(index);
            segment.due = segment.due.min(due);
            segment.entries.insert_unique(hash, entry, |entry| hasher.hash(entry.key()));
        }
    }

    #[inline]
    fn index(&self, hash: u64) -> usize {
        if self.rest.is_empty() { 0 } else { self.index_of_bits(hash >> SEGMENT_SHIFT) }
    }

    fn index_of_bits(&self, bits: u64) -> usize {
        let count = self.rest.len() + 1;
        let level = count.ilog2();
        let wide = (bits & ((2 << level) - 1)) as usize;
        if wide < count { wide } else { wide & ((1 << level) - 1) }
    }

    /// Number of low bits that the keys of segment `index` share.
    fn level_of(&self, index: usize) -> u32 {
        let count = self.rest.len() + 1;
        let level = count.ilog2();
        let split = index >= 1 << level || index + (1 << level) < count;
        if split { level + 1 } else { level }
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    #[inline]
    fn segment(&self, index: usize) -> &Segment {
        if index == 0 { &self.first } else { &self.rest[index - 1] }
    }

    #[inline]
    fn segment_mut(&mut self, index: usize) -> &mut Segment {
        if index == 0 { &mut self.first } else { &mut self.rest[index - 1] }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::keyspace::entry::NewValue;

    fn hasher() -> Hasher {
        Hasher::with_seeds([1, 2, 3, 4])
    }

    fn put(table: &mut Table, name: &[u8], deadline: Option<Millis>) -> bool {
        let hasher = hasher();
        table.upsert(Key::new(name, &hasher), &hasher, |there| match there {
            Some(entry) => {
                entry.set_deadline(deadline);
                None
            }
            None => Some(Entry::new(name, NewValue::Integer(1), deadline, 0)),
        })
    }

    fn name(number: usize) -> Vec<u8> {
        format!("key:{number}").into_bytes()
    }

    #[test]
    fn keys_are_found_again_across_growth() {
        let mut table = Table::default();
        let count = if cfg!(miri) { 300 } else { 20_000 };
        for number in 0..count {
            assert!(put(&mut table, &name(number), None));
        }
        assert!(!put(&mut table, &name(0), None));
        assert_eq!(table.counts().keys, count);
        let hasher = hasher();
        for number in 0..count {
            assert!(table.remove(Key::new(&name(number), &hasher)).is_some());
        }
        assert_eq!(table.counts(), Counts::default());
    }

    #[test]
    fn a_scan_meets_all_that_stays_while_the_table_grows() {
        for start in [0, 1, 50, 101, 1_000] {
            let mut table = Table::default();
            (0..start).for_each(|number| {
                put(&mut table, &name(number), None);
            });
            let (mut seen, mut position, mut added) = (BTreeSet::new(), Some(0), start);
            while let Some(at) = position {
                position = table.scan(at, |entry| {
                    seen.insert(entry.key().to_vec());
                });
                for _ in 0..if added < 5_000 { 70 } else { 0 } {
                    put(&mut table, &name(added), None);
                    added += 1;
                }
            }
            assert!((0..start).all(|number| seen.contains(&name(number))), "from {start}");
        }
    }

    #[test]
    fn due_keys_are_found_and_the_bound_follows() {
        let mut table = Table::default();
        for number in 0..1_000 {
            put(&mut table, &name(number), (number % 2 == 0).then_some(Millis(number as i64)));
        }
        assert_eq!((table.due(), table.counts().expires), (Millis(0), 500));
        let mut names = Vec::new();
        table.find_due(Millis(99), usize::MAX, |entry| names.push(entry.key().to_vec()));
        assert_eq!(names.len(), 50);
        let hasher = hasher();
        for name in names {
            table.remove(Key::new(&name, &hasher));
        }
        assert_eq!((table.due(), table.counts().expires), (Millis(100), 450));
    }
}
