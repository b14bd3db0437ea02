//! Buckets of one cache line, and a row of them that grows without moving much.
//!
//! A bucket has room for seven members of one word each. Where they do not fit, it goes on in a
//! bucket behind the row, whose number stands beside the tags. Such a chain has no holes: whoever
//! takes a member out of it puts its last one in the place. Buckets behind the row that are empty
//! belong to no chain, but to the list of those that are free.

use std::fmt;

use crate::base::prefetch::prefetch;

/// Members a bucket has room for.
const ROOM: usize = 7;

/// Buckets of a chunk, of which a row is made: one page of memory.
const CHUNK: usize = 64;

/// Buckets behind a chunk that may all be free.
const FREE_MAX: usize = 4;

/// Members and a part of the hash of each.
#[repr(C, align(64))]
#[derive(Clone)]
pub(crate) struct Bucket<T> {
    /// A byte of the hash for each member, in order. In the highest byte: the number of the bucket
    /// in which this one goes on, 0 for none.
    tags: u64,
    members: [Option<T>; ROOM],
}

impl<T> Default for Bucket<T> {
    fn default() -> Bucket<T> {
        Bucket { tags: 0, members: [const { None }; ROOM] }
    }
}

/// The byte of a hash that stands for a member.
pub(super) fn tag(hash: u64) -> u8 {
    (hash >> 56) as u8
}

/// The tag of a hash in each byte.
fn tag_in_each(hash: u64) -> u64 {
    u64::from(tag(hash)) * 0x0101_0101_0101_0101
}

/// The places whose tags are those of `tags`: the high bit of their bytes. One that is too many
/// may stand above one that is right (the classic test for a zero byte, A. Mycroft, 1987).
fn places(tags: u64, wanted: u64) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let differences = tags ^ wanted;
    differences.wrapping_sub(LOW) & !differences & (LOW << 7)
}

impl<T> Bucket<T> {
    /// Asks for the bucket; nothing of it is read.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(self);
    }

    /// What is probably a member, by its hash alone; nothing of the member is read.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<&T> {
        self.members[self.place(tag_in_each(hash), &mut |_| true)?].as_ref()
    }

    /// The place of a member in this bucket, behind it left out.
    #[inline]
    fn place(&self, wanted: u64, is_it: &mut impl FnMut(&T) -> bool) -> Option<usize> {
        let mut left = places(self.tags, wanted);
        while left != 0 {
            let place = left.trailing_zeros() as usize / 8;
            left &= left - 1;
            // The byte that is no tag is beyond the members.
            if let Some(Some(member)) = self.members.get(place)
                && is_it(member)
            {
                return Some(place);
            }
        }
        None
    }

    /// The number of the bucket in which this one goes on.
    #[inline]
    fn next(&self) -> Option<usize> {
        let number = (self.tags >> (8 * ROOM)) as usize;
        (number > 0).then_some(number)
    }

    fn set_next(&mut self, number: usize) {
        self.set_tag(ROOM, number as u8);
    }

    fn put(&mut self, place: usize, tag: u8, member: T) {
        self.members[place] = Some(member);
        self.set_tag(place, tag);
    }

    fn set_tag(&mut self, place: usize, tag: u8) {
        self.tags = self.tags & !(0xff << (8 * place)) | u64::from(tag) << (8 * place);
    }

    /// Takes the last member, with its tag.
    fn take_last(&mut self) -> Option<(u8, T)> {
        let place = self.members.iter().rposition(Option::is_some)?;
        let member = self.members[place].take()?;
        Some(((self.tags >> (8 * place)) as u8, member))
    }

    /// The members of this bucket alone, each with its tag.
    pub(super) fn into_members(self) -> impl Iterator<Item = (u8, T)> {
        self.tags.to_le_bytes().into_iter().zip(self.members.into_iter().flatten())
    }

    fn is_empty(&self) -> bool {
        self.members[0].is_none()
    }

    fn len(&self) -> usize {
        self.members.iter().position(Option::is_none).unwrap_or(ROOM)
    }
}

impl<T: fmt::Debug> fmt::Debug for Bucket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().flatten()).finish()
    }
}

/// Buckets of a row, with those in which they go on. A bucket is named by its index in the row and
/// its number: 0 for the one in the row, `n` for the `n`th of those behind.
#[derive(Clone, Debug)]
struct Chunk<T> {
    /// Buckets of the row, and empty ones that the row grows into.
    front: Box<[Bucket<T>]>,
    behind: Box<[Bucket<T>]>,
    /// The number of the first free bucket behind; each names the next one. 0 for none.
    free: u8,
    /// How many are free.
    free_len: u8,
}

impl<T> Default for Chunk<T> {
    fn default() -> Chunk<T> {
        Chunk { front: Box::default(), behind: Box::default(), free: 0, free_len: 0 }
    }
}

impl<T> Chunk<T> {
    #[inline]
    fn bucket(&self, index: usize, number: usize) -> Option<&Bucket<T>> {
        match number.checked_sub(1) {
            None => self.front.get(index),
            Some(behind) => self.behind.get(behind),
        }
    }

    #[inline]
    fn bucket_mut(&mut self, index: usize, number: usize) -> Option<&mut Bucket<T>> {
        match number.checked_sub(1) {
            None => self.front.get_mut(index),
            Some(behind) => self.behind.get_mut(behind),
        }
    }

    /// The buckets of a chain.
    fn chain(&self, index: usize) -> impl Iterator<Item = &Bucket<T>> {
        let next = move |bucket: &&Bucket<T>| self.bucket(index, bucket.next()?);
        std::iter::successors(self.front.get(index), next)
    }

    /// Number and place of a member.
    #[inline]
    fn locate(
        &self,
        index: usize,
        hash: u64,
        mut is_it: impl FnMut(&T) -> bool,
    ) -> Option<(usize, usize)> {
        let (wanted, mut number) = (tag_in_each(hash), 0);
        loop {
            let bucket = self.bucket(index, number)?;
            if let Some(place) = bucket.place(wanted, &mut is_it) {
                return Some((number, place));
            }
            number = bucket.next()?;
        }
    }

    /// The number of the last bucket of a chain, and of the one before it.
    fn end(&self, index: usize) -> (usize, Option<usize>) {
        let (mut last, mut before) = (0, None);
        while let Some(next) = self.bucket(index, last).and_then(Bucket::next) {
            (last, before) = (next, Some(last));
        }
        (last, before)
    }

    fn insert(&mut self, index: usize, tag: u8, member: T) {
        let (mut last, _) = self.end(index);
        let mut place = self.bucket(index, last).map_or(0, Bucket::len);
        if place == ROOM {
            let spare = self.spare();
            self.bucket_mut(index, last).expect("it is full, so there").set_next(spare);
            (last, place) = (spare, 0);
        }
        let bucket = self.bucket_mut(index, last);
        bucket.expect("an index is below the number of buckets").put(place, tag, member);
    }

    /// Takes the last member of a chain, with its tag. A bucket behind that is empty then leaves
    /// the chain.
    fn take_last(&mut self, index: usize) -> Option<(u8, T)> {
        let (last, before) = self.end(index);
        let bucket = self.bucket_mut(index, last)?;
        let taken = bucket.take_last();
        if bucket.is_empty()
            && let Some(before) = before.and_then(|number| self.bucket_mut(index, number))
        {
            before.set_next(0);
            self.release(last);
            self.compact();
        }
        taken
    }

    /// Takes a bucket's members out, and with them the rest of its chain. Returns the number of
    /// the next bucket of that.
    fn take_part(&mut self, index: usize, number: usize) -> (Bucket<T>, Option<usize>) {
        let part = self.bucket_mut(index, number).map(std::mem::take).unwrap_or_default();
        if number > 0 {
            self.release(number);
        }
        let next = part.next();
        (part, next)
    }

    /// Takes an empty bucket behind from the free ones.
    fn spare(&mut self) -> usize {
        if self.free == 0 {
            let len = self.behind.len();
            resize(&mut self.behind, row_for(len + 1).min(usize::from(u8::MAX)));
            (len + 1..=self.behind.len()).rev().for_each(|number| self.release(number));
        }
        let number = usize::from(self.free);
        let bucket = self.behind.get_mut(number.wrapping_sub(1));
        let bucket = bucket.expect("a chunk needs fewer buckets behind than a byte can name");
        self.free = std::mem::take(bucket).tags.to_le_bytes()[ROOM];
        self.free_len -= 1;
        number
    }

    /// A bucket behind has become empty and left its chain: it is free.
    fn release(&mut self, number: usize) {
        let Some(bucket) = self.behind.get_mut(number - 1) else { return };
        *bucket = Bucket::default();
        bucket.set_next(usize::from(self.free));
        self.free = number as u8;
        self.free_len += 1;
    }

    /// Gives the room behind back that is free, where that is half of it or more.
    fn compact(&mut self) {
        let len = row_for(self.behind.len() - usize::from(self.free_len) + 1);
        if self.behind.len() <= FREE_MAX || self.behind.len() < 2 * len {
            return;
        }
        let mut old = std::mem::take(&mut self.behind);
        (self.free, self.free_len) = (0, 0);
        resize(&mut self.behind, len);
        (1..=len).rev().for_each(|number| self.release(number));
        for index in 0..self.front.len() {
            let mut last = 0;
            while let Some(next) = self.bucket(index, last).and_then(Bucket::next) {
                let number = self.spare();
                self.behind[number - 1] = std::mem::take(&mut old[next - 1]);
                self.bucket_mut(index, last).expect("it was just read").set_next(number);
                last = number;
            }
        }
    }

    fn memory(&self) -> usize {
        (self.front.len() + self.behind.len()) * size_of::<Bucket<T>>()
    }
}

/// The length of a row for so many buckets: a power of two up to eight, then an even number, and
/// from sixteen on four lengths to a doubling. All rows of a keyspace grow at about the same time,
/// and each length that they pass leaves pages behind that the few late ones hold: so few lengths.
fn row_for(buckets: usize) -> usize {
    match buckets {
        0 => 0,
        1..=8 => buckets.next_power_of_two(),
        9..=16 => buckets.next_multiple_of(2),
        _ => buckets.next_multiple_of((1 << (buckets - 1).ilog2()) / 4),
    }
}

/// Gives a row another length; new places are empty.
fn resize<T: Default>(row: &mut Box<[T]>, len: usize) {
    let mut resized = std::mem::take(row).into_vec();
    resized.reserve_exact(len.saturating_sub(resized.len()));
    resized.resize_with(len, T::default);
    *row = resized.into_boxed_slice();
}

/// Shortens a row to `len`, where that leaves half of it or less. What goes is empty.
fn give_back<T: Default>(row: &mut Box<[T]>, len: usize) {
    if row.len() > len && row.len() >= 2 * len {
        resize(row, len);
    }
}

/// A row of buckets, in chunks: adding one moves one chunk at the most. What every look needs
/// stands in front.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Buckets<T> {
    len: usize,
    first: Chunk<T>,
    /// Chunks of the row, and empty ones that it grows into.
    rest: Box<[Chunk<T>]>,
}

impl<T> Default for Buckets<T> {
    fn default() -> Buckets<T> {
        Buckets { len: 0, first: Chunk::default(), rest: Box::default() }
    }
}

impl<T> Buckets<T> {
    /// Number of buckets.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The chunk of a bucket, and the index there.
    #[inline]
    fn chunk(&self, index: usize) -> Option<(&Chunk<T>, usize)> {
        let chunk = if index < CHUNK { &self.first } else { self.rest.get(index / CHUNK - 1)? };
        Some((chunk, index % CHUNK))
    }

    #[inline]
    fn chunk_mut(&mut self, index: usize) -> Option<(&mut Chunk<T>, usize)> {
        let chunk =
            if index < CHUNK { &mut self.first } else { self.rest.get_mut(index / CHUNK - 1)? };
        Some((chunk, index % CHUNK))
    }

    /// The bucket at an index; nothing of it is read.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Bucket<T>> {
        let (chunk, at) = self.chunk(index)?;
        chunk.front.get(at)
    }

    /// The bucket in which one with this index goes on; nothing of it is read.
    #[inline]
    pub(super) fn behind(&self, index: usize, bucket: &Bucket<T>) -> Option<&Bucket<T>> {
        let (chunk, at) = self.chunk(index)?;
        chunk.bucket(at, bucket.next()?)
    }

    /// The member of a bucket with this hash for which `is_it` says so.
    #[inline]
    pub(super) fn find(
        &self,
        index: usize,
        hash: u64,
        is_it: impl FnMut(&T) -> bool,
    ) -> Option<&T> {
        let (chunk, at) = self.chunk(index)?;
        let (number, place) = chunk.locate(at, hash, is_it)?;
        chunk.bucket(at, number)?.members[place].as_ref()
    }

    /// As [`Buckets::find`], to change it.
    #[inline]
    pub(super) fn find_mut(
        &mut self,
        index: usize,
        hash: u64,
        is_it: impl FnMut(&T) -> bool,
    ) -> Option<&mut T> {
        let (chunk, at) = self.chunk_mut(index)?;
        let (number, place) = chunk.locate(at, hash, is_it)?;
        chunk.bucket_mut(at, number)?.members[place].as_mut()
    }

    /// Adds a member to a bucket that is there, with the [`tag`] of its hash.
    pub(super) fn insert(&mut self, index: usize, tag: u8, member: T) {
        let (chunk, at) = self.chunk_mut(index).expect("an index is below the number of buckets");
        chunk.insert(at, tag, member);
    }

    /// Takes the member of a bucket with this hash out for which `is_it` says so.
    pub(super) fn remove(
        &mut self,
        index: usize,
        hash: u64,
        mut is_it: impl FnMut(&T) -> bool,
    ) -> Option<T> {
        let (chunk, at) = self.chunk_mut(index)?;
        chunk.locate(at, hash, &mut is_it)?;
        let (tag, last) = chunk.take_last(at)?;
        if is_it(&last) {
            return Some(last);
        }
        // Buckets may have moved meanwhile.
        let (number, place) = chunk.locate(at, hash, &mut is_it)?;
        let bucket = chunk.bucket_mut(at, number)?;
        let member = bucket.members[place].take();
        bucket.put(place, tag, last);
        member
    }

    /// The members of a bucket, those behind it too.
    pub(super) fn members(&self, index: usize) -> impl Iterator<Item = &T> {
        let chains = self.chunk(index).into_iter().flat_map(|(chunk, at)| chunk.chain(at));
        chains.flat_map(|bucket| bucket.members.iter().flatten())
    }

    /// Takes a part of a bucket's members out: from the bucket with number 0, and from those in
    /// which it goes on. Also returns the number of the next part.
    pub(super) fn take_part(&mut self, index: usize, number: usize) -> (Bucket<T>, Option<usize>) {
        let (chunk, at) = self.chunk_mut(index).expect("an index is below the number of buckets");
        chunk.take_part(at, number)
    }

    /// Gives room back that is free since parts were taken out of a bucket.
    pub(super) fn compact(&mut self, index: usize) {
        self.chunk_mut(index).into_iter().for_each(|(chunk, _)| chunk.compact());
    }

    /// The last member of a bucket.
    pub(super) fn last_mut(&mut self, index: usize) -> Option<&mut T> {
        let (chunk, at) = self.chunk_mut(index)?;
        let (last, _) = chunk.end(at);
        chunk.bucket_mut(at, last)?.members.iter_mut().rev().flatten().next()
    }

    /// Takes the last member of a bucket out.
    pub(super) fn take_last(&mut self, index: usize) -> Option<T> {
        let (chunk, at) = self.chunk_mut(index)?;
        chunk.take_last(at).map(|(_, member)| member)
    }

    /// All members.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let chunks = std::iter::once(&self.first).chain(&self.rest);
        let buckets = chunks.flat_map(|chunk| chunk.front.iter().chain(&chunk.behind));
        buckets.flat_map(|bucket| bucket.members.iter().flatten())
    }

    /// Adds a bucket.
    pub(super) fn push(&mut self) {
        if self.len == CHUNK * (1 + self.rest.len()) {
            let chunks = self.rest.len();
            resize(&mut self.rest, row_for(chunks + 1));
        }
        let (chunk, at) = self.chunk_mut(self.len).expect("there is one chunk more than are full");
        if at == chunk.front.len() {
            resize(&mut chunk.front, row_for(at + 1));
        }
        self.len += 1;
    }

    /// Takes the last bucket off, which is empty.
    pub(super) fn pop(&mut self) {
        let Some(last) = self.len.checked_sub(1) else { return };
        debug_assert!(self.members(last).next().is_none());
        self.len = last;
        if let Some((chunk, 0)) = self.chunk_mut(last) {
            *chunk = Chunk::default();
        }
    }

    /// Gives room back that the row grew into and left again, where that is half of it or more.
    pub(super) fn shrink(&mut self) {
        let last = self.len.saturating_sub(1);
        give_back(&mut self.rest, row_for(last / CHUNK));
        if let Some((chunk, at)) = self.chunk_mut(last) {
            give_back(&mut chunk.front, row_for(at + 1));
        }
    }

    /// Bytes that the row takes from the allocator, the members' own not counted.
    pub(super) fn memory(&self) -> usize {
        let chunks = std::iter::once(&self.first).chain(&self.rest);
        chunks.map(Chunk::memory).sum::<usize>() + size_of_val(&*self.rest)
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
        const ROW: usize = 3;
        let mut row: Buckets<Box<u64>> = Buckets::default();
        (0..ROW).for_each(|_| row.push());
        let mut random = fastrand::Rng::with_seed(9);
        let mut models: [Vec<u64>; ROW] = Default::default();
        for _ in 0..if cfg!(miri) { 300 } else { 5_000 } {
            let index = random.usize(0..ROW);
            let model = &mut models[index];
            if model.is_empty() || random.usize(0..40) > model.len() {
                let hash = random.u64(..);
                row.insert(index, tag(hash), Box::new(hash));
                model.push(hash);
            } else {
                let hash = model.swap_remove(random.usize(0..model.len()));
                assert_eq!(row.remove(index, hash, |there| **there == hash), Some(Box::new(hash)));
                assert_eq!(row.remove(index, hash, |there| **there == hash), None);
            }
            let mut there: Vec<u64> = row.members(index).map(|there| **there).collect();
            there.sort_unstable();
            model.sort_unstable();
            assert_eq!(there, *model);
            let found = |hash: &u64| row.find(index, *hash, |there| **there == *hash).is_some();
            assert!(model.iter().all(found));
            let chains = models.iter().map(|model| model.len().div_ceil(ROOM).max(1));
            let in_use = row.first.behind.iter().filter(|bucket| !bucket.is_empty()).count();
            assert_eq!(ROW + in_use, chains.sum::<usize>());
            let behind = row.first.behind.len();
            assert_eq!(behind - usize::from(row.first.free_len), in_use);
            assert!(behind <= FREE_MAX || behind < 2 * row_for(in_use + 1));
        }
        assert_eq!(row.iter().count(), models.iter().map(Vec::len).sum::<usize>());
        let (mut taken, mut next) = (Vec::new(), Some(0));
        while let Some(number) = next {
            let (part, further) = row.take_part(0, number);
            taken.extend(part.into_members().map(|(_, there)| *there));
            next = further;
        }
        taken.sort_unstable();
        assert_eq!((taken, row.members(0).count()), (models[0].clone(), 0));
    }

    #[test]
    fn a_row_is_found_by_index_across_chunks() {
        let mut row: Buckets<Box<u64>> = Buckets::default();
        for number in 0..200 {
            row.push();
            row.insert(number as usize, 0, Box::new(number));
        }
        let number = |index: usize| row.members(index).next().map(|number| **number);
        assert!((0..200).all(|index| number(index) == Some(index as u64)));
        assert_eq!((row.len(), row.iter().count()), (200, 200));
        for index in (0..200).rev() {
            assert_eq!(row.last_mut(index).map(|number| **number), Some(index as u64));
            assert!(row.take_last(index).is_some() && row.last_mut(index).is_none());
            row.pop();
        }
        assert_eq!((row.len(), row.first.memory()), (0, 0));
    }
}
