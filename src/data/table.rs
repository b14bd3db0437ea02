//! A hash table that grows, shrinks and is scanned piece by piece: the keys of a slot, the fields
//! of a large hash, the members of a large set.
//!
//! Linear hashing (W. Litwin, 1980) over buckets of one cache line. With `n` buckets and `level` =
//! floor(log2 n), a member belongs to bucket `bits mod 2^level`, or `mod 2^(level+1)` where that
//! bucket was split already. One insertion splits at most one bucket, and one removal undoes at
//! most one split, so never more than a few members move at a time, however large the table. A
//! bucket that is full goes on in another one behind it, until it is split.
//!
//! A bucket holds eight bits of each member's hash beside the members, so a look that fails reads
//! one line of memory, and one that finds its member two: the bucket's and the member's.
//!
//! A scan goes over buckets in the order of their bits read backwards: in that order a bucket
//! covers an interval, and splitting it only divides the interval. So a member that is there from
//! start to end of a scan is met, whatever happens meanwhile; where two buckets became one, perhaps
//! twice.
//!
//! Each group of buckets knows a lower bound of its deadlines, so that looking for what has expired
//! costs one comparison a group and no memory a member.

mod counts;
mod groups;
mod positions;
mod sample;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::hint::black_box;

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::base::prefetch::prefetch;
use crate::data::NEVER;
use crate::data::bucket::{self, Bucket, Buckets};
use crate::data::marked::MARK_BITS;

pub use counts::Counts;
use counts::Special;
use groups::Groups;
pub use positions::ALL as ALL_POSITIONS;

/// Members a bucket holds on average before the table grows by one bucket.
const BUCKET_MEAN: usize = 7;

/// The table loses a bucket when even so many times its members would not make it grow: far enough
/// from there not to go back and forth.
const SPARSE: usize = 4;

/// More members than this a bucket does not hold, with those behind it: with twice the mean on
/// average, where it is next to be split, it has more once in 40,000 times.
const BUCKET_MAX: usize = 31;

/// Choices of a place at random before the members are counted instead.
const TRIES: usize = 1_000;

/// Buckets of a group.
const GROUP: usize = 16;

/// The latest bound of a deadline.
const LATEST: Millis = Millis(NEVER.0 - 1);

/// Bits of the hash above these choose the bucket.
const BUCKET_SHIFT: u32 = 20;

/// Positions of a scan have this many bits: more than any table has buckets.
pub const SCAN_BITS: u32 = 34;

/// Buckets that one call of [`Table::walk`] goes over, so that a table of which nearly nothing is
/// left does not hold its caller up.
const BUCKETS_A_WALK: usize = 256;

/// What is kept in a table.
pub trait Member {
    /// What it is found by.
    fn name(&self) -> &[u8];

    /// When it expires, in unix time.
    fn deadline(&self) -> Option<Millis> {
        None
    }

    /// The earliest deadline of it or of anything in it, [`NEVER`] where there is none.
    #[inline]
    fn next_deadline(&self) -> Millis {
        self.deadline().unwrap_or(NEVER)
    }

    /// True when it holds anything that has a deadline of its own.
    #[inline]
    fn is_timed(&self) -> bool {
        false
    }

    /// True when it never goes to make room for others.
    #[inline]
    fn is_blessed(&self) -> bool {
        false
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

    /// Asks for its first bytes; nothing of it is read.
    #[inline]
    fn prefetch(&self) {}

    /// Drops a piece of a large one. Returns true when dropping the rest at once takes too long.
    fn drop_some(&mut self) -> bool {
        false
    }
}

/// A link of the chain of loads that leads to a member, to be asked for.
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

/// A place in the one order that all names have: that in which scans go over them, and among names
/// at the same position that of their bytes. It stays the same however a table grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    position: u64,
    name: Box<[u8]>,
}

impl Place {
    /// The place before all names from this position of a scan on.
    pub fn at(position: u64) -> Place {
        Place { position, name: Box::default() }
    }

    /// The place of a name that a scan meets at this position.
    pub fn of(position: u64, name: &[u8]) -> Place {
        Place { position, name: name.into() }
    }

    /// The name that stands at this place, if one does; an empty one before all of a position.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether a name stands before this place, at it or behind it.
    pub fn order_of(&self, name: Name<'_>) -> Ordering {
        (position_of(name.hash), name.bytes).cmp(&(self.position, &self.name))
    }
}

/// The position at which a scan meets what has this hash.
fn position_of(hash: u64) -> u64 {
    (hash >> BUCKET_SHIFT).reverse_bits() >> (u64::BITS - SCAN_BITS)
}

/// A table of members, each found by its name. What looks and insertions need fills the first cache
/// line; chunks of buckets beyond the first, which few tables have, and all that is about deadlines
/// and blessed members are behind it.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Table<T> {
    /// A lower bound of all deadlines. [`NEVER`] only where there is none and no member is blessed:
    /// then nobody reads on.
    next_deadline: Millis,
    /// Members.
    len: usize,
    buckets: Buckets<T>,
    groups: Groups,
    special: Special,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            next_deadline: NEVER,
            len: 0,
            buckets: Buckets::default(),
            groups: Groups::default(),
            special: Special::default(),
        }
    }
}

impl<T: Member> Table<T> {
    /// Bytes of a bucket, the members' own not counted.
    pub const BUCKET_BYTES: usize = size_of::<Bucket<T>>();

    /// What it holds, in figures.
    #[inline]
    pub fn counts(&self) -> Counts {
        let special = if self.next_deadline == NEVER { Special::default() } else { self.special };
        let Special { expires, timed, deadline_sum, blessed, blessed_expires } = special;
        let (len, buckets) = (self.len, self.buckets.len());
        Counts { len, expires, timed, deadline_sum, blessed, blessed_expires, buckets }
    }

    /// The member with this name.
    #[inline]
    pub fn get(&self, name: Name<'_>) -> Option<&T> {
        let index = self.index(name.hash);
        self.buckets.find(index, name.hash, |member| member.name() == name.bytes)
    }

    /// Asks for what looks and insertions need of the table; nothing of it is read.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(self);
    }

    /// The bucket in which a look for this hash begins; nothing of it is read.
    #[inline]
    pub(crate) fn bucket(&self, hash: u64) -> Option<&Bucket<T>> {
        self.buckets.get(self.index(hash))
    }

    /// Asks for a link of the chain that leads to the member with this hash. The one before it is
    /// read.
    #[inline]
    pub(crate) fn warm(&self, hash: u64, link: Link) {
        let bucket = self.bucket(hash);
        match link {
            Link::Bucket => bucket.into_iter().for_each(Bucket::prefetch),
            Link::Member => {
                let member = bucket.and_then(|bucket| bucket.candidate(hash));
                member.into_iter().for_each(Member::prefetch);
            }
        }
    }

    /// The bucket in which a look for this hash goes on behind another; nothing of it is read.
    #[inline]
    pub(crate) fn behind(&self, hash: u64, bucket: &Bucket<T>) -> Option<&Bucket<T>> {
        self.buckets.behind(self.index(hash), bucket)
    }

    /// Asks for the buckets that the next insertion splits, if it splits any.
    #[inline]
    pub(crate) fn warm_split(&self) {
        let new = self.buckets.len();
        if self.len >= new * BUCKET_MEAN && new > 0 {
            let from = new - (1 << new.ilog2());
            [from, new]
                .into_iter()
                .filter_map(|at| self.buckets.get(at))
                .for_each(Bucket::prefetch);
        }
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
            let (old, old_bound) = (member.deadline(), bound(member));
            let (was_timed, was_blessed) = (member.is_timed(), member.is_blessed());
            let replaced = change(Some(member));
            debug_assert!(replaced.is_none(), "a member that is there is changed in place");
            if member.mark().is_none() {
                member.set_mark(name.hash >> BUCKET_SHIFT);
            }
            let (new, new_bound) = (member.deadline(), bound(member));
            let (is_timed, is_blessed) = (member.is_timed(), member.is_blessed());
            if old_bound != new_bound {
                self.lower(index, new_bound);
            }
            if was_timed != is_timed {
                self.count_timed(is_timed);
            }
            if old != new {
                self.special.change(old, new);
            }
            if was_blessed {
                self.special.unbless(old.is_some());
            }
            if is_blessed {
                self.special.bless(new.is_some());
            }
            if old != new || was_blessed != is_blessed {
                self.settle();
            }
            return false;
        }
        let Some(member) = change(None) else { return false };
        self.insert(name, hasher, member);
        true
    }

    /// Stores a member whose name was looked for and is not there.
    pub fn insert(&mut self, name: Name<'_>, hasher: &Hasher, mut member: T) {
        debug_assert!(self.get(name).is_none(), "a name is there once");
        let index = self.index(name.hash);
        if self.buckets.len() == 0 {
            self.buckets.push();
        }
        let deadline = bound(&member);
        if deadline != NEVER {
            self.lower(index, deadline);
            self.special.change(None, member.deadline());
            self.special.timed += usize::from(member.is_timed());
        }
        if member.is_blessed() {
            self.special.bless(member.deadline().is_some());
            self.settle();
        }
        member.set_mark(name.hash >> BUCKET_SHIFT);
        self.buckets.insert(index, bucket::tag(name.hash), member);
        self.len += 1;
        if self.len > self.buckets.len() * BUCKET_MEAN {
            self.split(hasher);
        }
    }

    /// Takes a member out. With the last one go the buckets, which are few by then.
    pub fn remove(&mut self, name: Name<'_>) -> Option<T> {
        let index = self.index(name.hash);
        let is_it = |member: &T| member.name() == name.bytes;
        let member = self.buckets.remove(index, name.hash, is_it)?;
        self.len -= 1;
        if self.next_deadline != NEVER {
            self.special.timed -= usize::from(member.is_timed());
            self.special.change(member.deadline(), None);
            if member.is_blessed() {
                self.special.unbless(member.deadline().is_some());
            }
            self.settle();
        }
        if self.len == 0 {
            *self = Table::default();
        } else if self.len * SPARSE < self.buckets.len() * BUCKET_MEAN {
            self.merge();
        }
        Some(member)
    }

    /// Files a member under its next deadline: it was changed behind the table's back.
    pub fn file_anew(&mut self, name: Name<'_>) {
        if let Some(deadline) = self.get(name).map(bound) {
            self.lower(self.index(name.hash), deadline);
        }
    }

    /// A member was changed behind the table's back: now it holds something with a deadline, or
    /// does no more.
    pub fn count_timed(&mut self, is_timed: bool) {
        if is_timed {
            self.special.timed += 1;
            self.next_deadline = self.next_deadline.min(LATEST);
        } else {
            self.special.timed -= 1;
            self.settle();
        }
    }

    /// A lower bound of all deadlines, [`NEVER`] where there is none and no member is blessed.
    pub fn next_deadline(&self) -> Millis {
        self.next_deadline
    }

    /// Calls `found` with each member that has expired at `now`, or has something that has, `most`
    /// of them at the most, and makes the bounds of the groups that were looked through exact.
    /// The caller takes out what has expired.
    ///
    /// It goes round once at the most, from where the last call stopped, so that calls one after
    /// the other pass each group once, however many members have expired.
    pub fn find_expired(&mut self, now: Millis, most: usize, mut found: impl FnMut(&T)) {
        let mut left = most;
        let next = self.groups.next();
        for group in (next..self.groups.count()).chain(0..next) {
            if self.groups.bound(group) > now {
                continue;
            }
            let mut next = NEVER;
            let end = usize::min((group + 1) * GROUP, self.buckets.len());
            for member in (group * GROUP..end).flat_map(|index| self.buckets.members(index)) {
                let deadline = bound(member);
                if deadline <= now && left > 0 {
                    left -= 1;
                    found(member);
                } else {
                    next = next.min(deadline);
                }
            }
            self.groups.set(group, next);
            if left == 0 {
                self.groups.go_on_at(group);
                return;
            }
        }
        self.next_deadline = self.groups.least();
        if self.special.any_deadline() || self.special.blessed > 0 {
            // What was found goes only now.
            self.next_deadline = self.next_deadline.min(LATEST);
        }
    }

    /// Calls `found` with the members of the bucket at `position`; returns the position after it,
    /// or none at the end. Positions have [`SCAN_BITS`] bits.
    pub fn scan(&self, position: u64, found: impl FnMut(&T)) -> Option<u64> {
        let (index, next) = self.at(position)?;
        self.buckets.members(index).for_each(found);
        next
    }

    /// The bucket that a scan looks at from `position` on, and the position after it.
    fn at(&self, position: u64) -> Option<(usize, Option<u64>)> {
        let bits = position.reverse_bits() >> (u64::BITS - SCAN_BITS);
        let index = self.index_of_bits(bits);
        if index >= self.buckets.len() {
            return None;
        }
        let width = SCAN_BITS - self.level_of(index);
        let next = ((position >> width) + 1) << width;
        Some((index, (next < 1 << SCAN_BITS).then_some(next)))
    }

    /// The members from `place` on that are in its bucket, in the order of [`Place`]s, each with
    /// its position; and the position after the bucket.
    pub fn from(&self, place: &Place, hasher: &Hasher) -> (Vec<(u64, &T)>, Option<u64>) {
        let Some((index, next)) = self.at(place.position) else { return (Vec::new(), None) };
        let members = self.buckets.members(index);
        let placed = members.map(|member| (position_of(hasher.hash(member.name())), member));
        let mut found: Vec<_> = placed
            .filter(|(at, member)| (*at, member.name()) >= (place.position, &*place.name))
            .collect();
        found.sort_unstable_by(|(a, one), (b, other)| (a, one.name()).cmp(&(b, other.name())));
        (found, next)
    }

    /// Hands the members from `place` on to `take`, in order, until it says that it takes no more.
    /// Returns where to go on; nothing at the end.
    pub fn walk(
        &self,
        place: &Place,
        hasher: &Hasher,
        mut take: impl FnMut(&T) -> bool,
    ) -> Option<Place> {
        let mut at = place.clone();
        for _ in 0..BUCKETS_A_WALK {
            let (members, next) = self.from(&at, hasher);
            let mut members = members.into_iter().peekable();
            while let Some((_, member)) = members.next() {
                if !take(member) {
                    let behind = members.peek();
                    let behind = behind.map(|(position, there)| Place::of(*position, there.name()));
                    return behind.or(next.map(Place::at));
                }
            }
            at = Place::at(next?);
        }
        Some(at)
    }

    /// All members, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.buckets.iter()
    }

    /// A member chosen at random, each as likely as another.
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<&T> {
        if self.len == 0 {
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
        self.iter().nth(random.usize(0..self.len))
    }

    /// Bytes that the table takes from the allocator, the members' own not counted.
    pub fn overhead(&self) -> usize {
        self.buckets.memory() + self.groups.memory()
    }

    /// Drops some members, or a piece of a large one, of a table that nobody uses any more. Returns
    /// true when there is more.
    pub fn drop_some(&mut self) -> bool {
        for _ in 0..GROUP {
            let Some(last) = self.buckets.len().checked_sub(1) else { break };
            self.buckets.members(last).for_each(touch);
            while let Some(member) = self.buckets.last_mut(last) {
                if member.drop_some() {
                    return true;
                }
                self.buckets.take_last(last);
                self.len -= 1;
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
        self.buckets.members(from).filter(|member| bits_of_mark(member).is_none()).for_each(touch);
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
        self.lower(new, self.groups.bound(from / GROUP));
    }

    /// Undoes the last split. The new bucket's bound holds for what is in the old one again.
    fn merge(&mut self) {
        let last = self.buckets.len() - 1;
        if last == 0 {
            return;
        }
        let into = last - (1 << last.ilog2());
        let mut next = Some(0);
        while let Some(number) = next {
            let (part, further) = self.buckets.take_part(last, number);
            next = further;
            part.into_members().for_each(|(tag, member)| self.buckets.insert(into, tag, member));
        }
        self.buckets.pop();
        self.buckets.shrink();
        self.lower(into, self.groups.bound(last / GROUP));
        self.groups.truncate(last.div_ceil(GROUP));
    }

    /// Some deadline may have gone: with the last one go all bounds. Or a member is blessed, or is
    /// so no more.
    fn settle(&mut self) {
        let is_any_blessed = self.special.blessed > 0;
        if !self.special.any_deadline() {
            self.groups.clear();
            self.next_deadline = if is_any_blessed { LATEST } else { NEVER };
        } else if is_any_blessed {
            self.next_deadline = self.next_deadline.min(LATEST);
        }
    }

    /// Lowers the bounds for a member of the bucket at `index`.
    #[inline]
    fn lower(&mut self, index: usize, deadline: Millis) {
        if deadline == NEVER {
            return;
        }
        self.groups.lower(index / GROUP, deadline);
        self.next_deadline = self.next_deadline.min(deadline);
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

/// Reads of a member, so that the waits for the memory of several overlap.
#[inline]
fn touch<T: Member>(member: &T) {
    black_box(member.name().first().copied());
}

/// A lower bound of what a member has of deadlines, be it the last millisecond that there is;
/// [`NEVER`] where it has none.
#[inline]
fn bound<T: Member>(member: &T) -> Millis {
    let has_any = member.deadline().is_some() || member.is_timed();
    if has_any { member.next_deadline().min(LATEST) } else { member.next_deadline() }
}
