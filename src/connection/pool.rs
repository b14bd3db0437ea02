//! Buffers that the connections of one thread lend each other: most of them are idle most of the
//! time, and an idle one keeps none.
//!
//! Large buffers are kept too, since a page that the kernel has to give anew costs more than what
//! is read into it. How much is kept has a bound in bytes.

use bytes::BytesMut;

/// The size of a buffer to read into, in bytes: twice what a read asks for at least.
pub(super) const USUAL_BYTES: usize = 32 * 1024;

/// The same, for a client that sends much at a time.
pub(super) const LARGE_BYTES: usize = 256 * 1024;

/// Bytes kept of each kind: buffers of either size to read into, and buffers for replies.
const BYTES_KEPT: usize = 4 * 1024 * 1024;

/// Empty buffers.
#[derive(Debug, Default)]
pub struct Pool {
    usual: Vec<BytesMut>,
    large: Vec<BytesMut>,
    replies: Vec<Vec<u8>>,
    /// Bytes of the buffers for replies.
    reply_bytes: usize,
}

impl Pool {
    /// A buffer to read into, of so many bytes at least, and its size.
    #[inline]
    pub(super) fn take_input(&mut self, at_least: usize) -> (BytesMut, usize) {
        let (kept, size) = if at_least <= USUAL_BYTES {
            (self.usual.pop(), USUAL_BYTES)
        } else if at_least <= LARGE_BYTES {
            (self.large.pop(), LARGE_BYTES)
        } else {
            (None, at_least)
        };
        (kept.unwrap_or_else(|| BytesMut::with_capacity(size)), size)
    }

    /// Takes one of this size back, and forgets what it holds. It is dropped where somebody still
    /// points into it.
    #[inline]
    pub(super) fn give_input(&mut self, mut buffer: BytesMut, size: usize) {
        let kept = match size {
            USUAL_BYTES => &mut self.usual,
            LARGE_BYTES => &mut self.large,
            _ => return,
        };
        buffer.clear();
        if kept.len() < BYTES_KEPT / size && buffer.try_reclaim(size) {
            kept.push(buffer);
        }
    }

    /// A buffer for replies.
    #[inline]
    pub(super) fn take_replies(&mut self) -> Vec<u8> {
        let buffer = self.replies.pop().unwrap_or_default();
        self.reply_bytes -= buffer.capacity();
        buffer
    }

    /// Takes an empty one back.
    #[inline]
    pub(super) fn give_replies(&mut self, buffer: Vec<u8>) {
        let bytes = self.reply_bytes + buffer.capacity();
        if buffer.capacity() > 0 && bytes <= BYTES_KEPT {
            self.reply_bytes = bytes;
            self.replies.push(buffer);
        }
    }

    /// Gives all of them up: nobody on the thread has anything to say.
    pub fn clear(&mut self) {
        *self = Pool::default();
    }

    /// How many there are: to read into, usual and large, and for replies.
    #[cfg(test)]
    pub(super) fn len(&self) -> [usize; 3] {
        [self.usual.len(), self.large.len(), self.replies.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_so_many_bytes_and_nothing_that_holds_none() {
        let mut pool = Pool::default();
        pool.give_replies(Vec::new());
        pool.give_replies(Vec::with_capacity(BYTES_KEPT + 1));
        assert_eq!(pool.len(), [0, 0, 0]);
        for _ in 0..BYTES_KEPT / USUAL_BYTES + 9 {
            pool.give_replies(Vec::with_capacity(USUAL_BYTES));
            for size in [USUAL_BYTES, LARGE_BYTES, LARGE_BYTES + 1] {
                pool.give_input(BytesMut::with_capacity(size), size);
            }
        }
        let [usual, large] = [USUAL_BYTES, LARGE_BYTES].map(|size| BYTES_KEPT / size);
        assert_eq!(pool.len(), [usual, large, usual]);
        assert_eq!(pool.take_replies().capacity(), USUAL_BYTES);
        assert_eq!(pool.take_input(1).1, USUAL_BYTES);
        assert_eq!(pool.take_input(USUAL_BYTES + 1).1, LARGE_BYTES);
        assert_eq!(pool.take_input(LARGE_BYTES + 1).1, LARGE_BYTES + 1);
        assert_eq!(pool.len(), [usual - 1, large - 1, usual - 1]);
        pool.clear();
        assert_eq!(pool.len(), [0, 0, 0]);
    }

    #[test]
    fn what_comes_back_is_whole_or_does_not_come_back() {
        let mut pool = Pool::default();
        let (mut buffer, size) = pool.take_input(1);
        buffer.extend_from_slice(b"requests and more");
        let requests = buffer.split_to(8).freeze();
        pool.give_input(buffer, size);
        assert_eq!((pool.len(), &requests[..]), ([0, 0, 0], &b"requests"[..]));
        let (mut buffer, size) = pool.take_input(1);
        buffer.extend_from_slice(b"requests and more");
        drop(buffer.split_to(8));
        pool.give_input(buffer, size);
        let (buffer, size) = pool.take_input(1);
        assert_eq!((buffer.capacity(), buffer.len()), (size, 0));
    }
}
