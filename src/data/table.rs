//! A hash table that grows and is scanned piece by piece: the keys of a slot, the fields of a
//! large hash, the members of a large set.
//!
//! Linear hashing (W. Litwin, 1980) over buckets of one cache line. With `n` buckets and `level` =
//! floor(log2 n), a member belongs to bucket `bits mod 2^level`, or `mod 2^(level+1)` where that
//! bucket was split already. One insertion splits at most one bucket, so growth never moves more
//! than a few members at a time, however large the table. A bucket that is full goes on in another
//! one behind it, until it is split.
//!
//! A bucket holds eight bits of each member's hash beside the members, so a look that fails reads
//! one line of memory, and one that finds its member two: the bucket's and the member's.
//!
//! A scan goes over buckets in the order of their bits read backwards: in that order a bucket
//! covers an interval, and splitting it only divides the interval. So a member that is there from
//! start to end of a scan is met, whatever happens meanwhile. The table never shrinks in between;
//! it is emptied as a whole.
//!
//! Each group of buckets knows a lower bound of its deadlines, so that looking for what is due
//! costs one comparison a group and no memory a member.

use std::hint::black_box;

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::data::NEVER;
use crate::data::bucket::{self, Bucket, Buckets};
use crate::data::marked::MARK_BITS;

/// Members a bucket holds on average before the table grows by one bucket.
const BUCKET_MEAN: usize = 7;

/// More members than this a bucket does not hold, with those behind it: with twice the mean on
/// average, where it is next to be split, it has more once in 40,000 times.
const BUCKET_MAX: usize = 31;

/// Choices of a place at random before the members are counted instead.
const TRIES: usize = 1_000;

/// Buckets of a group.
const GROUP: usize = 16;

/// A table of more buckets is not given back at once when its last member goes.
const BUCKETS_AT_ONCE_MAX: usize = 1_024;

/// Bits of the hash above these choose the bucket.
const BUCKET_SHIFT: u32 = 20;

/// Positions of a scan have this many bits: more than any table has buckets.
pub const SCAN_BITS: u32 = 34;

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

    /// The mark that was set last, its low [`MARK_BITS`] bits, where members keep one: as long as
    /// the member has this name.
    #[inline]
    fn mark(&self) -> Option<u64> {
        None
    }

    /// Sets the mark by which the table files the member anew without a look at its name.
    #[inline]
    fn set_mark(&mut self, _mark: u64) {}

    /// Drops a piece of a large one. Returns true when dropping the rest at once takes too long.
    fn drop_some(&mut self) -> bool {
        false
    }
}

/// A link of the chain of loads that leads to a member, to be brought into the cache.
#[derive(Clone, Copy, Debug)]
pub enum Link {
    /// The bucket in which a look begins.
    Bucket,
    /// What is probably the member.
    Member,
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
    /// Buckets of the table.
    pub buckets: usize,
}

impl Counts {
    /// Adds `other`.
    pub fn add(&mut self, other: Counts) {
        self.len += other.len;
        self.expires += other.expires;
        self.deadline_sum += other.deadline_sum;
        self.buckets += other.buckets;
    }

    /// Takes `other` off.
    pub fn sub(&mut self, other: Counts) {
        self.len -= other.len;
        self.expires -= other.expires;
        self.deadline_sum -= other.deadline_sum;
        self.buckets -= other.buckets;
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

/// A table of members, each found by its name. What every look needs fills the first cache line.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Table<T> {
    buckets: Buckets<T>,
    due: Millis,
    /// Lower bounds of the deadlines by group; no bound where none was needed yet.
    groups: Vec<Millis>,
    counts: Counts,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        let counts = Counts::default();
        Table { buckets: Buckets::default(), groups: Vec::new(), counts, due: NEVER }
    }
}

impl<T: Member> Table<T> {
    /// Bytes of a bucket, the members' own not counted.
    pub const BUCKET_BYTES: usize = size_of::<Bucket<T>>();

    /// Members, members with deadline, sum of deadlines, buckets.
    pub fn counts(&self) -> Counts {
        Counts { buckets: self.buckets.len(), ..self.counts }
    }

    /// The member with this name.
    #[inline]
    pub fn get(&self, name: Name<'_>) -> Option<&T> {
        let index = self.index(name.hash);
        self.buckets.find(index, name.hash, |member| member.name() == name.bytes)
    }

    /// Reads of the table where its buckets are: one line of memory.
    #[inline]
    pub(crate) fn len_of_row(&self) -> usize {
        self.buckets.len()
    }

    /// The bucket in which a look for this hash begins; nothing of it is read.
    #[inline]
    pub(crate) fn bucket(&self, hash: u64) -> Option<&Bucket<T>> {
        self.buckets.get(self.index(hash))
    }

    /// Reads a link of the chain that leads to the member with this hash; what it gives means
    /// nothing.
    #[inline]
    pub(crate) fn warm(&self, hash: u64, link: Link) -> u64 {
        match link {
            Link::Bucket => self.bucket(hash).map_or(0, Bucket::line),
            Link::Member => {
                let member = self.bucket(hash).and_then(|bucket| bucket.candidate(hash));
                let name = member.map_or(&[][..], Member::name);
                name.last().copied().unwrap_or_default().into()
            }
        }
    }

    /// The bucket in which a look for this hash goes on behind another; nothing of it is read.
    #[inline]
    pub(crate) fn behind(&self, hash: u64, bucket: &Bucket<T>) -> Option<&Bucket<T>> {
        self.buckets.behind(self.index(hash), bucket)
    }

    /// The member with this name, to change what leaves name and deadlines as they are.
    #[inline]
    pub fn get_mut(&mut self, name: Name<'_>) -> Option<&mut T> {
        let index = self.index(name.hash);
        self.buckets.find_mut(index, name.hash, |member| member.name() == name.bytes)
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
        if let Some(member) = self.get_mut(name) {
            let (old, old_due) = (member.deadline(), member.due());
            let replaced = change(Some(member));
            debug_assert!(replaced.is_none(), "a member that is there is changed in place");
            if member.mark().is_none() {
                member.set_mark(name.hash >> BUCKET_SHIFT);
            }
            let (new, new_due) = (member.deadline(), member.due());
            if old != new {
                self.counts.change_deadline(old, new);
            }
            if old_due != new_due {
                self.lower(index, new_due);
            }
            return false;
        }
        let Some(mut member) = change(None) else { return false };
        if self.buckets.len() == 0 {
            self.buckets.push();
        }
        let (deadline, due) = (member.deadline(), member.due());
        member.set_mark(name.hash >> BUCKET_SHIFT);
        self.buckets.insert(index, bucket::tag(name.hash), member);
        self.lower(index, due);
        self.counts.len += 1;
        self.counts.change_deadline(None, deadline);
        if self.counts.len > self.buckets.len() * BUCKET_MEAN {
            self.split(hasher);
        }
        true
    }

    /// Takes a member out. With the last one go the buckets, unless they are many: then the caller
    /// drops the table piece by piece.
    pub fn remove(&mut self, name: Name<'_>) -> Option<T> {
        let index = self.index(name.hash);
        let is_it = |member: &T| member.name() == name.bytes;
        let member = self.buckets.remove(index, name.hash, is_it)?;
        self.counts.len -= 1;
        self.counts.change_deadline(member.deadline(), None);
        if self.counts.len == 0 && self.buckets.len() <= BUCKETS_AT_ONCE_MAX {
            *self = Table::default();
        }
        Some(member)
    }

    /// Files a member under what it is due at now: it was changed behind the table's back.
    pub fn note_due(&mut self, name: Name<'_>) {
        if let Some(due) = self.get(name).map(Member::due) {
            self.lower(self.index(name.hash), due);
        }
    }

    /// A lower bound of all deadlines, [`NEVER`] where there is none.
    pub fn due(&self) -> Millis {
        self.due
    }

    /// Calls `found` with each member that is due at `now`, or has something that is, `most` of
    /// them at the most, and makes the bounds of the groups that were looked through exact. The
    /// caller takes out what is due.
    pub fn find_due(&mut self, now: Millis, most: usize, mut found: impl FnMut(&T)) {
        let mut left = most;
        for group in 0..self.groups.len() {
            if self.groups[group] > now {
                continue;
            }
            let mut due = NEVER;
            let end = usize::min((group + 1) * GROUP, self.buckets.len());
            for member in (group * GROUP..end).flat_map(|index| self.buckets.members(index)) {
                let member_due = member.due();
                if member_due <= now && left > 0 {
                    left -= 1;
                    found(member);
                } else {
                    due = due.min(member_due);
                }
            }
            self.groups[group] = due;
            if left == 0 {
                return;
            }
        }
        self.due = self.groups.iter().copied().min().unwrap_or(NEVER);
    }

    /// Calls `found` with the members of the bucket at `position`; returns the position after it,
    /// or none at the end. Positions have [`SCAN_BITS`] bits.
    pub fn scan(&self, position: u64, found: impl FnMut(&T)) -> Option<u64> {
        let bits = position.reverse_bits() >> (64 - SCAN_BITS);
        let index = self.index_of_bits(bits);
        if index >= self.buckets.len() {
            return None;
        }
        self.buckets.members(index).for_each(found);
        let width = SCAN_BITS - self.level_of(index);
        let next = ((position >> width) + 1) << width;
        (next < 1 << SCAN_BITS).then_some(next)
    }

    /// All members, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.buckets.iter()
    }

    /// A member chosen at random, each as likely as another.
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<&T> {
        if self.counts.len == 0 {
            return None;
        }
        for _ in 0..TRIES {
            // A bucket twice as full is accepted twice as often.
            let mut members = self.buckets.members(random.usize(0..self.buckets.len()));
            if let Some(member) = members.nth(random.usize(0..BUCKET_MAX)) {
                return Some(member);
            }
        }
        // Of a large table nearly nothing is left.
        self.iter().nth(random.usize(0..self.counts.len))
    }

    /// Bytes that the table takes from the allocator, the members' own not counted.
    pub fn overhead(&self) -> usize {
        self.buckets.memory() + self.groups.capacity() * size_of::<Millis>()
    }

    /// Drops some members, or a piece of a large one, of a table that nobody uses any more. Returns
    /// true when there is more.
    pub fn drop_some(&mut self) -> bool {
        for _ in 0..GROUP {
            let Some(last) = self.buckets.len().checked_sub(1) else { break };
            while let Some(member) = self.buckets.last_mut(last) {
                if member.drop_some() {
                    return true;
                }
                self.buckets.take_last(last);
                self.counts.len -= 1;
            }
            self.buckets.pop();
        }
        self.buckets.len() > 0
    }

    /// Splits the bucket whose turn it is in two. What its members' marks tell is not looked up,
    /// and for their deadlines the bound of the old bucket's group holds.
    fn split(&mut self, hasher: &Hasher) {
        let new = self.buckets.len();
        let from = new - (1 << new.ilog2());
        self.buckets.push();
        let are_marked = self.level_of(new) <= MARK_BITS;
        let bits_of_mark = |member: &T| member.mark().filter(|_| are_marked);
        // All are read once before any is hashed, so that the waits for memory overlap.
        for member in self.buckets.members(from).filter(|member| bits_of_mark(member).is_none()) {
            black_box(member.name().first().copied());
        }
        let mut next = Some(0);
        while let Some(number) = next {
            let (part, further) = self.buckets.take_part(from, number);
            next = further;
            for (tag, member) in part.into_members() {
                let bits = bits_of_mark(&member);
                let bits = bits.unwrap_or_else(|| hasher.hash(member.name()) >> BUCKET_SHIFT);
                self.buckets.insert(self.index_of_bits(bits), tag, member);
            }
        }
        self.buckets.compact(from);
        let due = self.groups.get(from / GROUP).copied();
        self.lower(new, due.unwrap_or(NEVER));
    }

    /// Lowers the bounds for a member of the bucket at `index`.
    #[inline]
    fn lower(&mut self, index: usize, due: Millis) {
        if due == NEVER {
            return;
        }
        let group = index / GROUP;
        if self.groups.len() <= group {
            self.groups.resize(group + 1, NEVER);
        }
        self.groups[group] = self.groups[group].min(due);
        self.due = self.due.min(due);
    }

    #[inline]
    fn index(&self, hash: u64) -> usize {
        self.index_of_bits(hash >> BUCKET_SHIFT)
    }

    #[inline]
    fn index_of_bits(&self, bits: u64) -> usize {
        let count = self.buckets.len().max(1);
        let level = count.ilog2();
        let wide = (bits & ((2 << level) - 1)) as usize;
        // No branch: half of the guesses would be wrong, and each would wait for the memory.
        wide - (usize::from(wide >= count) << level)
    }

    /// Number of low bits that the members of bucket `index` share.
    fn level_of(&self, index: usize) -> u32 {
        let count = self.buckets.len();
        let level = count.ilog2();
        let split = index >= 1 << level || index + (1 << level) < count;
        if split { level + 1 } else { level }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[derive(Debug)]
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
        let left = Counts { buckets: 0, ..table.counts() };
        assert_eq!((left, table.due()), (Counts::default(), NEVER));
        while table.drop_some() {}
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
    fn a_table_is_dropped_piece_by_piece() {
        let mut table = Table::default();
        (0..1_000).for_each(|number| {
            put(&mut table, &name(number), None);
        });
        let mut pieces = 1;
        while table.drop_some() {
            pieces += 1;
        }
        assert_eq!((pieces, table.counts().len), (9, 0));
    }
}
