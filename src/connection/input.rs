//! What a client has sent and nobody has run, and how much the next read asks for.
//!
//! A read asks for more where the client has lately sent much at a time, and for as much as is
//! known to come of a large argument. The buffer is one of the thread's pool: it never grows. Where
//! it has no room left, what it holds moves to the front of it, once nobody points into it any
//! more, or else to the front of a larger one. That has room for all that is known to come, and is
//! filled before another one is taken: so each byte moves a few times at most.

use bytes::BytesMut;

use super::pool::{LARGE_BYTES, Pool, USUAL_BYTES};

/// Bytes that a read asks for at least.
pub(super) const READ_BYTES: usize = USUAL_BYTES / 2;

/// The same, for a client that sends much at a time.
const LARGE_READ_BYTES: usize = LARGE_BYTES / 2;

/// Reads that ask for much after one that has brought [`READ_BYTES`] or more.
const LARGE_READS: u8 = 8;

/// What was read and has not run.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: BytesMut,
    /// Bytes of the buffer; 0 where there is none.
    size: usize,
    /// Bytes that are known to come; 0 where that is not known.
    wanted: usize,
    /// Reads that still ask for much.
    large_reads: u8,
    /// Bytes at the front that are taken apart: of the request under way, what stands ahead of the
    /// argument that is coming.
    pub(super) begun: usize,
}

impl Input {
    /// The bytes; more are appended to them.
    #[inline]
    pub(super) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// How many bytes there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes the buffer has; 0 where there is none.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The next read asks for `wanted` bytes at least. Returns for how many.
    #[inline]
    pub(super) fn wants(&mut self, wanted: usize) -> usize {
        self.wanted = wanted;
        self.usual().max(wanted)
    }

    /// Bytes that a read asks for where nothing is known.
    #[inline]
    fn usual(&self) -> usize {
        if self.large_reads > 0 { LARGE_READ_BYTES } else { READ_BYTES }
    }

    /// Makes room for the next read.
    #[inline]
    pub(super) fn make_room(&mut self, pool: &mut Pool) {
        let usual = self.usual();
        let least = if self.wanted > 0 { usual.min(self.wanted) } else { usual };
        if !self.bytes.try_reclaim(least) {
            let room = usual.max(self.wanted);
            let (mut other, size) = pool.take_input(self.bytes.len() + room);
            other.extend_from_slice(&self.bytes);
            self.give_back(pool);
            (self.bytes, self.size) = (other, size);
        }
    }

    /// A read has appended so many bytes.
    #[inline]
    pub(super) fn received(&mut self, count: usize) {
        let is_much = count >= READ_BYTES;
        self.large_reads = if is_much { LARGE_READS } else { self.large_reads.saturating_sub(1) };
    }

    /// There is nothing to read for now: the buffer goes back where it holds nothing.
    #[inline]
    pub(super) fn rest(&mut self, pool: &mut Pool) {
        if self.bytes.is_empty() && self.size > 0 {
            self.give_back(pool);
        }
    }

    fn give_back(&mut self, pool: &mut Pool) {
        pool.give_input(std::mem::take(&mut self.bytes), std::mem::take(&mut self.size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(input: &mut Input, pool: &mut Pool) -> usize {
        let room = input.wants(0);
        input.make_room(pool);
        room
    }

    #[test]
    fn reads_ask_for_more_while_the_client_sends_much() {
        let (mut input, mut pool) = (Input::default(), Pool::default());
        assert_eq!(room(&mut input, &mut pool), READ_BYTES);
        input.received(READ_BYTES - 1);
        assert_eq!(room(&mut input, &mut pool), READ_BYTES);
        input.received(READ_BYTES);
        for _ in 0..LARGE_READS {
            assert_eq!(room(&mut input, &mut pool), LARGE_READ_BYTES);
            input.received(1);
        }
        assert_eq!(room(&mut input, &mut pool), READ_BYTES);
        assert_eq!(input.wants(1_000_000), 1_000_000);
    }

    #[test]
    fn a_buffer_is_used_again_once_nobody_points_into_it() {
        let (mut input, mut pool) = (Input::default(), Pool::default());
        room(&mut input, &mut pool);
        let first = input.bytes().as_ptr();
        for turn in 0..100 {
            input.bytes().extend_from_slice(&[b'x'; 1_000]);
            let requests = input.bytes().split_to(990).freeze();
            drop(requests);
            room(&mut input, &mut pool);
            assert_eq!(input.len(), 10 * (turn + 1));
        }
        let mut expected = vec![b'x'; 1_000];
        assert_eq!(input.bytes(), &expected);
        expected.truncate(500);
        let requests = input.bytes().split_to(500).freeze();
        input.bytes().clear();
        input.rest(&mut pool);
        assert_eq!((pool.len(), input.size), ([0, 0, 0], 0), "somebody points into it");
        assert_eq!((&requests[..], requests.as_ptr() >= first), (&expected[..], true));
    }

    #[test]
    fn a_large_argument_moves_as_often_as_its_buffer_doubles() {
        let (mut input, mut pool) = (Input::default(), Pool::default());
        let length = 10_000_000;
        let (mut moves, mut place) = (0, std::ptr::null());
        while input.len() < length {
            input.wants((length - input.len()).min(input.len().max(LARGE_BYTES)));
            input.make_room(&mut pool);
            let spare = input.bytes().capacity() - input.len();
            let count = spare.min(64 * 1024).min(length - input.len());
            assert!(count > 0);
            moves += usize::from(place != input.bytes().as_ptr());
            place = input.bytes().as_ptr();
            let received = vec![b'x'; count];
            input.bytes().extend_from_slice(&received);
            input.received(count);
        }
        assert!(moves <= 8, "{moves}");
        assert!(input.size < length + LARGE_BYTES, "{}", input.size);
    }

    #[test]
    fn what_is_left_over_moves_to_a_larger_buffer() {
        let (mut input, mut pool) = (Input::default(), Pool::default());
        room(&mut input, &mut pool);
        input.bytes().extend_from_slice(&[b'x'; READ_BYTES + 1]);
        room(&mut input, &mut pool);
        assert_eq!((input.len(), input.size), (READ_BYTES + 1, LARGE_BYTES));
        assert_eq!(pool.len(), [1, 0, 0]);
        input.rest(&mut pool);
        assert_eq!(pool.len(), [1, 0, 0], "it waits for the rest of a request");
        input.bytes().clear();
        input.rest(&mut pool);
        assert_eq!((pool.len(), input.size), ([1, 1, 0], 0));
    }
}
