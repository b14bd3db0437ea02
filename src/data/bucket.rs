//! Buckets of one cache line, and a row of them that grows without moving much.
//!
//! A bucket has room for six members of one word each. Where they do not fit, it goes on in a
//! bucket behind it; a chain has no holes: whoever takes a member out of it puts its last one in
//! the place.

use std::fmt;

/// Members a bucket has room for.
const ROOM: usize = 6;

/// Buckets of a chunk, of which a row is made: one page of memory.
const CHUNK: usize = 64;

/// Members and a part of the hash of each.
#[repr(align(64))]
#[derive(Clone)]
pub(super) struct Bucket<T> {
    /// A byte of the hash for each member, in order.
    tags: u64,
    members: [Option<T>; ROOM],
    more: Option<Box<Bucket<T>>>,
}

impl<T> Default for Bucket<T> {
    fn default() -> Bucket<T> {
        Bucket { tags: 0, members: [const { None }; ROOM], more: None }
    }
}

/// The byte of the hash that stands for a member in each byte.
fn tag_in_each(hash: u64) -> u64 {
    (hash >> 56) * 0x0101_0101_0101_0101
}

/// The places whose tags are those of `tags`: the high bit of their bytes. One that is too many
/// may stand above one that is right (the classic test for a zero byte, A. Mycroft, 1987).
fn places(tags: u64, wanted: u64) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let differences = tags ^ wanted;
    differences.wrapping_sub(LOW) & !differences & (LOW << 7)
}

impl<T> Bucket<T> {
    /// The first word of the bucket's line.
    #[inline]
    pub(super) fn line(&self) -> u64 {
        self.tags
    }

    /// The place of a member in this bucket, behind it left out.
    #[inline]
    fn place(&self, wanted: u64, is_it: &mut impl FnMut(&T) -> bool) -> Option<usize> {
        let mut left = places(self.tags, wanted);
        while left != 0 {
            let place = left.trailing_zeros() as usize / 8;
            left &= left - 1;
            if let Some(Some(member)) = self.members.get(place)
                && is_it(member)
            {
                return Some(place);
            }
        }
        None
    }

    /// The member with this hash for which `is_it` says so.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(&T) -> bool) -> Option<&T> {
        let wanted = tag_in_each(hash);
        let mut bucket = self;
        loop {
            if let Some(place) = bucket.place(wanted, &mut is_it) {
                return bucket.members[place].as_ref();
            }
            bucket = bucket.more.as_deref()?;
        }
    }

    /// As [`Bucket::find`], to change it.
    #[inline]
    pub(super) fn find_mut(
        &mut self,
        hash: u64,
        mut is_it: impl FnMut(&T) -> bool,
    ) -> Option<&mut T> {
        let wanted = tag_in_each(hash);
        let mut bucket = self;
        loop {
            if let Some(place) = bucket.place(wanted, &mut is_it) {
                return bucket.members[place].as_mut();
            }
            bucket = bucket.more.as_deref_mut()?;
        }
    }

    /// Adds a member.
    pub(super) fn insert(&mut self, hash: u64, member: T) {
        let mut bucket = self;
        while bucket.is_full() {
            bucket = &mut **bucket.more.get_or_insert_default();
        }
        let place = bucket.len();
        bucket.set(place, (hash >> 56) as u8, member);
    }

    /// Takes the member with this hash out for which `is_it` says so.
    pub(super) fn remove(&mut self, hash: u64, mut is_it: impl FnMut(&T) -> bool) -> Option<T> {
        self.find(hash, &mut is_it)?;
        let (tag, last) = self.take_last()?;
        if is_it(&last) {
            return Some(last);
        }
        let wanted = tag_in_each(hash);
        let mut bucket = self;
        loop {
            if let Some(place) = bucket.place(wanted, &mut is_it) {
                let member = bucket.members[place].take();
                bucket.set(place, tag, last);
                return member;
            }
            bucket = bucket.more.as_deref_mut()?;
        }
    }

    /// The members, those behind this bucket too.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let chain = std::iter::successors(Some(self), |bucket| bucket.more.as_deref());
        chain.flat_map(|bucket| bucket.members.iter().flatten())
    }

    /// As [`Bucket::iter`], to change them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let mut next = Some(self);
        std::iter::from_fn(move || {
            let Bucket { members, more, .. } = next.take()?;
            next = more.as_deref_mut();
            Some(members.iter_mut().flatten())
        })
        .flatten()
    }

    /// Takes the last member of the chain, with its tag. A bucket behind that is empty then goes.
    fn take_last(&mut self) -> Option<(u8, T)> {
        if let Some(more) = &mut self.more {
            let last = more.take_last();
            if more.members[0].is_none() {
                self.more = None;
            }
            return last;
        }
        let place = self.members.iter().rposition(Option::is_some)?;
        let member = self.members[place].take()?;
        Some(((self.tags >> (8 * place)) as u8, member))
    }

    fn set(&mut self, place: usize, tag: u8, member: T) {
        self.members[place] = Some(member);
        self.tags = self.tags & !(0xff << (8 * place)) | u64::from(tag) << (8 * place);
    }

    fn is_full(&self) -> bool {
        self.members[ROOM - 1].is_some()
    }

    fn len(&self) -> usize {
        self.members.iter().position(Option::is_none).unwrap_or(ROOM)
    }

    fn memory(&self) -> usize {
        self.more.as_ref().map_or(0, |more| size_of::<Bucket<T>>() + more.memory())
    }
}

impl<T> IntoIterator for Bucket<T> {
    type Item = T;
    type IntoIter = Drain<T>;

    fn into_iter(self) -> Drain<T> {
        Drain { members: self.members.into_iter(), more: self.more }
    }
}

/// The members of a bucket and of those behind it.
pub(super) struct Drain<T> {
    members: std::array::IntoIter<Option<T>, ROOM>,
    more: Option<Box<Bucket<T>>>,
}

impl<T> Iterator for Drain<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(member) = self.members.by_ref().flatten().next() {
                return Some(member);
            }
            let more = *self.more.take()?;
            self.members = more.members.into_iter();
            self.more = more.more;
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Bucket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A row of buckets, in chunks: adding one moves one chunk at the most.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Buckets<T> {
    len: usize,
    first: Vec<Bucket<T>>,
    rest: Vec<Vec<Bucket<T>>>,
}

impl<T> Default for Buckets<T> {
    fn default() -> Buckets<T> {
        Buckets { len: 0, first: Vec::new(), rest: Vec::new() }
    }
}

impl<T> Buckets<T> {
    /// Number of buckets.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bucket at `index`.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Bucket<T>> {
        if index < CHUNK {
            self.first.get(index)
        } else {
            self.rest.get(index / CHUNK - 1)?.get(index % CHUNK)
        }
    }

    /// As [`Buckets::get`], to change it.
    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Bucket<T>> {
        if index < CHUNK {
            self.first.get_mut(index)
        } else {
            self.rest.get_mut(index / CHUNK - 1)?.get_mut(index % CHUNK)
        }
    }

    /// The last bucket.
    pub(super) fn last_mut(&mut self) -> Option<&mut Bucket<T>> {
        self.get_mut(self.len.checked_sub(1)?)
    }

    /// All buckets in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Bucket<T>> {
        self.first.iter().chain(self.rest.iter().flatten())
    }

    /// Adds a bucket.
    pub(super) fn push(&mut self) {
        if self.len > 0 && self.len.is_multiple_of(CHUNK) {
            self.rest.push(Vec::new());
        }
        let chunk = self.rest.last_mut().unwrap_or(&mut self.first);
        if chunk.len() == chunk.capacity() {
            // A quarter more at the most: the steps of the allocator's classes.
            let more = (chunk.len() / 4).next_power_of_two().clamp(1, CHUNK - chunk.len());
            chunk.reserve_exact(more);
        }
        chunk.push(Bucket::default());
        self.len += 1;
    }

    /// Takes the last bucket off.
    pub(super) fn pop(&mut self) -> Option<Bucket<T>> {
        let bucket = self.rest.last_mut().unwrap_or(&mut self.first).pop()?;
        self.len -= 1;
        if self.rest.last().is_some_and(Vec::is_empty) {
            self.rest.pop();
        }
        Some(bucket)
    }

    /// Bytes that the row takes from the allocator, the members' own not counted: an estimate from
    /// the first chunk for what is behind the buckets.
    pub(super) fn memory(&self) -> usize {
        let chunks = std::iter::once(&self.first).chain(&self.rest);
        let buckets: usize = chunks.map(|chunk| chunk.capacity() * size_of::<Bucket<T>>()).sum();
        let behind: usize = self.first.iter().map(Bucket::memory).sum();
        let behind = behind * self.len / self.first.len().max(1);
        buckets + behind + self.rest.capacity() * size_of::<Vec<Bucket<T>>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_of_words_is_one_line() {
        assert_eq!(size_of::<Bucket<Box<u64>>>(), 64);
    }

    #[test]
    fn chains_grow_and_shrink_without_holes() {
        let mut bucket = Bucket::default();
        let mut random = fastrand::Rng::with_seed(9);
        let mut model: Vec<u64> = Vec::new();
        for _ in 0..2_000 {
            if model.is_empty() || random.usize(0..40) > model.len() {
                let hash = random.u64(..);
                bucket.insert(hash, Box::new(hash));
                model.push(hash);
            } else {
                let hash = model.swap_remove(random.usize(0..model.len()));
                assert_eq!(bucket.remove(hash, |there| **there == hash), Some(Box::new(hash)));
                assert_eq!(bucket.remove(hash, |there| **there == hash), None);
            }
            let mut there: Vec<u64> = bucket.iter().map(|there| **there).collect();
            there.sort_unstable();
            model.sort_unstable();
            assert_eq!(there, model);
            let found = |hash: &u64| bucket.find(*hash, |there| **there == *hash).is_some();
            assert!(model.iter().all(found));
            let chain = std::iter::successors(Some(&bucket), |bucket| bucket.more.as_deref());
            let buckets = chain.count();
            assert_eq!(buckets, model.len().div_ceil(ROOM).max(1));
        }
        assert_eq!(bucket.iter_mut().count(), model.len());
        let mut drained: Vec<u64> = bucket.into_iter().map(|there| *there).collect();
        drained.sort_unstable();
        assert_eq!(drained, model);
    }

    #[test]
    fn a_row_is_found_by_index_across_chunks() {
        let mut row: Buckets<Box<u64>> = Buckets::default();
        for number in 0..200 {
            row.push();
            row.last_mut().expect("one was added").insert(0, Box::new(number));
        }
        let number = |index: usize| row.get(index).and_then(|b| b.iter().next()).map(|n| **n);
        assert!((0..200).all(|index| number(index) == Some(index as u64)));
        assert_eq!((row.len(), row.iter().count(), number(200)), (200, 200, None));
        while row.pop().is_some() {}
        assert_eq!((row.len(), row.rest.len()), (0, 0));
    }
}
