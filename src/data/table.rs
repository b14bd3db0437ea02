//! A hash table that grows and is scanned piece by piece: the keys of a slot, the fields of a
//! large hash, the members of a large set.
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

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::data::NEVER;

/// Entries a segment holds on average before the table grows by one segment.
const SEGMENT_MEAN: usize = 100;

/// Bits of the hash below these choose the place inside a segment.
const SEGMENT_SHIFT: u32 = 20;

/// Positions of a scan have this many bits: more than any table has segments.
pub const SCAN_BITS: u32 = 34;

/// More entries than this a segment does not hold, but for hashes that are not random at all.
const SEGMENT_MAX: usize = 4 * SEGMENT_MEAN;

/// What is kept in a table.
pub trait Member {
    /// What it is found by.
    fn name(&self) -> &[u8];

    /// When it is due, in unix time.
    fn deadline(&self) -> Option<Millis> {
        None
    }

    /// The earliest deadline of it or of anything in it, [`NEVER`] where there is none.
    #[inline]
    fn due(&self) -> Millis {
        self.deadline().unwrap_or(NEVER)
    }

    /// Drops a piece of a large one. Returns true when dropping the rest at once takes too long.
    fn drop_some(&mut self) -> bool {
        false
    }
}

/// A name and its hash.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// The bytes of the name.
    pub bytes: &'a [u8],
    /// Their hash.
    pub hash: u64,
}

impl<'a> Name<'a> {
    /// Hashes a name.
    #[inline]
    pub fn new(bytes: &'a [u8], hasher: &Hasher) -> Name<'a> {
        Name { bytes, hash: hasher.hash(bytes) }
    }
}

/// What a table holds, in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Members.
    pub len: usize,
    /// Members with a deadline.
    pub expires: usize,
    /// Sum of the deadlines, in milliseconds of unix time: their mean is what INFO shows.
    pub deadline_sum: i128,
}

impl Counts {
    /// Adds `other`.
    pub fn add(&mut self, other: Counts) {
        self.len += other.len;
        self.expires += other.expires;
        self.deadline_sum += other.deadline_sum;
    }

    /// Takes `other` off.
    pub fn sub(&mut self, other: Counts) {
        self.len -= other.len;
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

#[derive(Clone, Debug)]
struct Segment<T> {
    entries: HashTable<T>,
    due: Millis,
}

impl<T> Default for Segment<T> {
    fn default() -> Segment<T> {
        Segment { entries: HashTable::new(), due: NEVER }
    }
}

/// A table of members, each found by its name.
#[derive(Clone, Debug)]
pub struct Table<T> {
    first: Segment<T>,
    rest: Vec<Segment<T>>,
    counts: Counts,
    due: Millis,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { first: Segment::default(), rest: Vec::new(), counts: Counts::default(), due: NEVER }
    }
}

impl<T: Member> Table<T> {
    /// Members, members with deadline, sum of deadlines.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The member with this name.
    #[inline]
    pub fn get(&self, name: Name<'_>) -> Option<&T> {
        let entries = &self.segment(self.index(name.hash)).entries;
        entries.find(name.hash, |member| member.name() == name.bytes)
    }

    /// What is probably a member, by its hash alone; nothing of the member is read.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<&T> {
        self.segment(self.index(hash)).entries.find(hash, |_| true)
    }

    /// The member with this name, to change what leaves name and deadlines as they are.
    #[inline]
    pub fn get_mut(&mut self, name: Name<'_>) -> Option<&mut T> {
        let index = self.index(name.hash);
        let entries = &mut self.segment_mut(index).entries;
        entries.find_mut(name.hash, |member| member.name() == name.bytes)
    }

    /// Finds the member with this name and changes it, or stores a new one. Returns true for a new
    /// one.
    pub fn upsert(
        &mut self,
        name: Name<'_>,
        hasher: &Hasher,
        change: impl FnOnce(Option<&mut T>) -> Option<T>,
    ) -> bool {
        let index = self.index(name.hash);
        let segment = if index == 0 { &mut self.first } else { &mut self.rest[index - 1] };
        let place = segment.entries.entry(
            name.hash,
            |member| member.name() == name.bytes,
            |member| hasher.hash(member.name()),
        );
        match place {
            Place::Occupied(mut place) => {
                let member = place.get_mut();
                let (old, old_due) = (member.deadline(), member.due());
                let replaced = change(Some(member));
                debug_assert!(replaced.is_none(), "a member that is there is changed in place");
                let (new, new_due) = (member.deadline(), member.due());
                if old != new {
                    self.counts.change_deadline(old, new);
                }
                if old_due != new_due {
                    segment.due = segment.due.min(new_due);
                    self.due = self.due.min(segment.due);
                }
                false
            }
            Place::Vacant(place) => {
                let Some(member) = change(None) else { return false };
                let (deadline, due) = (member.deadline(), member.due());
                place.insert(member);
                segment.due = segment.due.min(due);
                self.due = self.due.min(segment.due);
                self.counts.len += 1;
                self.counts.change_deadline(None, deadline);
                if self.counts.len > (self.rest.len() + 1) * SEGMENT_MEAN {
                    self.split(hasher);
                }
                true
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: Name<'_>) -> Option<T> {
        let index = self.index(name.hash);
        let entries = &mut self.segment_mut(index).entries;
        let place = entries.find_entry(name.hash, |member| member.name() == name.bytes);
        let (member, _) = place.ok()?.remove();
        self.counts.len -= 1;
        self.counts.change_deadline(member.deadline(), None);
        if self.counts.len == 0 {
            *self = Table::default();
        }
        Some(member)
    }

    /// Files a member under what it is due at now: it was changed behind the table's back.
    pub fn note_due(&mut self, name: Name<'_>) {
        let Some(due) = self.get(name).map(Member::due) else { return };
        let index = self.index(name.hash);
        let segment = self.segment_mut(index);
        segment.due = segment.due.min(due);
        self.due = self.due.min(due);
    }

    /// A lower bound of all deadlines, [`NEVER`] where there is none.
    pub fn due(&self) -> Millis {
        self.due
    }

    /// Calls `found` with each member that is due at `now`, or has something that is, `most` of
    /// them at the most, and makes the bounds of the segments that were looked through exact. The
    /// caller takes out what is due.
    pub fn find_due(&mut self, now: Millis, most: usize, mut found: impl FnMut(&T)) {
        let mut left = most;
        for index in 0..=self.rest.len() {
            let segment = self.segment_mut(index);
            if segment.due > now {
                continue;
            }
            let mut due = NEVER;
            for member in segment.entries.iter() {
                let member_due = member.due();
                if member_due <= now && left > 0 {
                    left -= 1;
                    found(member);
                } else {
                    due = due.min(member_due);
                }
            }
            segment.due = due;
            if left == 0 {
                return;
            }
        }
        self.due = self.segments().map(|segment| segment.due).min().unwrap_or(NEVER);
    }

    /// Calls `found` with the members of the segment at `position`; returns the position after it,
    /// or none at the end. Positions have [`SCAN_BITS`] bits.
    pub fn scan(&self, position: u64, mut found: impl FnMut(&T)) -> Option<u64> {
        let bits = position.reverse_bits() >> (64 - SCAN_BITS);
        let index = self.index_of_bits(bits);
        self.segment(index).entries.iter().for_each(&mut found);
        let width = SCAN_BITS - self.level_of(index);
        let next = ((position >> width) + 1) << width;
        (next < 1 << SCAN_BITS).then_some(next)
    }

    /// All members, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments().flat_map(|segment| segment.entries.iter())
    }

    /// A member chosen at random, each as likely as another.
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<&T> {
        if self.counts.len == 0 {
            return None;
        }
        let bound = if self.rest.is_empty() { self.counts.len } else { SEGMENT_MAX };
        loop {
            // A segment twice as full is accepted twice as often.
            let segment = self.segment(random.usize(0..=self.rest.len()));
            let place = random.usize(0..bound);
            if place < segment.entries.len() {
                return segment.entries.iter().nth(place);
            }
        }
    }

    /// Bytes that the table takes from the allocator, the members' own not counted.
    pub fn overhead(&self) -> usize {
        let tables: usize = self.segments().map(|segment| segment.entries.allocation_size()).sum();
        tables + self.rest.capacity() * size_of::<Segment<T>>()
    }

    /// Drops a segment, or a piece of a large member, of a table that nobody uses any more. Returns
    /// true when there is more.
    pub fn drop_some(&mut self) -> bool {
        let segment = self.rest.last_mut().unwrap_or(&mut self.first);
        if segment.entries.iter_mut().any(Member::drop_some) {
            return true;
        }
        let segment = self.rest.pop().unwrap_or_else(|| std::mem::take(&mut self.first));
        self.counts.len = self.counts.len.saturating_sub(segment.entries.len());
        !self.rest.is_empty() || !self.first.entries.is_empty()
    }

    fn split(&mut self, hasher: &Hasher) {
        let new = self.rest.len() + 1;
        let from = new - (1 << new.ilog2());
        self.rest.push(Segment::default());
        let old = std::mem::take(self.segment_mut(from));
        for member in old.entries {
            let hash = hasher.hash(member.name());
            let due = member.due();
            let index = self.index(hash);
            let segment = self.segment_mut(index);
            segment.due = segment.due.min(due);
            segment.entries.insert_unique(hash, member, |member| hasher.hash(member.name()));
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

    fn segments(&self) -> impl Iterator<Item = &Segment<T>> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    #[inline]
    fn segment(&self, index: usize) -> &Segment<T> {
        if index == 0 { &self.first } else { &self.rest[index - 1] }
    }

    #[inline]
    fn segment_mut(&mut self, index: usize) -> &mut Segment<T> {
        if index == 0 { &mut self.first } else { &mut self.rest[index - 1] }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    struct Plain(Vec<u8>, Option<Millis>);

    impl Member for Plain {
        fn name(&self) -> &[u8] {
            &self.0
        }

        fn deadline(&self) -> Option<Millis> {
            self.1
        }
    }

    fn hasher() -> Hasher {
        Hasher::with_seeds([1, 2, 3, 4])
    }

    fn put(table: &mut Table<Plain>, name: &[u8], deadline: Option<Millis>) -> bool {
        let hasher = hasher();
        table.upsert(Name::new(name, &hasher), &hasher, |there| match there {
            Some(member) => {
                member.1 = deadline;
                None
            }
            None => Some(Plain(name.to_vec(), deadline)),
        })
    }

    fn name(number: usize) -> Vec<u8> {
        format!("key:{number}").into_bytes()
    }

    #[test]
    fn members_are_found_again_across_growth() {
        let mut table = Table::default();
        let count = if cfg!(miri) { 300 } else { 20_000 };
        for number in 0..count {
            assert!(put(&mut table, &name(number), None));
        }
        assert!(!put(&mut table, &name(0), None));
        assert_eq!(table.counts().len, count);
        let hasher = hasher();
        for number in 0..count {
            assert!(table.remove(Name::new(&name(number), &hasher)).is_some());
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
                position = table.scan(at, |member| {
                    seen.insert(member.0.clone());
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
    fn due_members_are_found_and_the_bound_follows() {
        let mut table = Table::default();
        for number in 0..1_000 {
            put(&mut table, &name(number), (number % 2 == 0).then_some(Millis(number as i64)));
        }
        assert_eq!((table.due(), table.counts().expires), (Millis(0), 500));
        let mut names = Vec::new();
        table.find_due(Millis(99), usize::MAX, |member| names.push(member.0.clone()));
        assert_eq!(names.len(), 50);
        let hasher = hasher();
        for name in names {
            table.remove(Name::new(&name, &hasher));
        }
        assert_eq!((table.due(), table.counts().expires), (Millis(100), 450));
    }

    #[test]
    fn a_random_member_is_any_of_them() {
        let (mut table, mut random) = (Table::default(), fastrand::Rng::with_seed(3));
        (0..150).for_each(|number| {
            put(&mut table, &name(number), None);
        });
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..30_000 {
            let member = table.random(&mut random).expect("the table has members");
            *counts.entry(member.0.clone()).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 150);
        assert!(counts.values().all(|count| (120..290).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_table_is_dropped_segment_by_segment() {
        let mut table = Table::default();
        (0..1_000).for_each(|number| {
            put(&mut table, &name(number), None);
        });
        let mut pieces = 1;
        while table.drop_some() {
            pieces += 1;
        }
        assert_eq!((pieces, table.counts().len), (10, 0));
    }
}
