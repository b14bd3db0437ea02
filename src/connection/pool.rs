//! Buffers that the connections of one thread lend each other: most of them are idle most of the
//! time, and an idle one keeps none.

use bytes::BytesMut;

/// Buffers of each kind kept for the next client that has something to say.
const BUFFERS_KEPT: usize = 16;

/// The largest buffer that is kept, in bytes.
pub(super) const BYTES_KEPT: usize = 64 * 1024;

/// Empty buffers.
#[derive(Debug, Default)]
pub struct Pool {
    input: Vec<BytesMut>,
    replies: Vec<Vec<u8>>,
}

impl Pool {
    /// A buffer to read into.
    #[inline]
    pub(super) fn take_input(&mut self) -> BytesMut {
        self.input.pop().unwrap_or_default()
    }

    /// Takes an empty one back. How large its allocation is only its user knows: what was cut off
    /// its front still belongs to that.
    #[inline]
    pub(super) fn give_input(&mut self, buffer: BytesMut) {
        if self.input.len() < BUFFERS_KEPT {
            self.input.push(buffer);
        }
    }

    /// A buffer for replies.
    #[inline]
    pub(super) fn take_replies(&mut self) -> Vec<u8> {
        self.replies.pop().unwrap_or_default()
    }

    /// Takes an empty one back; one that grew large is dropped.
    #[inline]
    pub(super) fn give_replies(&mut self, buffer: Vec<u8>) {
        if self.replies.len() < BUFFERS_KEPT && (1..=BYTES_KEPT).contains(&buffer.capacity()) {
            self.replies.push(buffer);
        }
    }

    /// How many there are: to read into, and for replies.
    #[cfg(test)]
    pub(super) fn len(&self) -> [usize; 2] {
        [self.input.len(), self.replies.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_few_buffers_and_none_that_is_large_or_holds_nothing() {
        let mut pool = Pool::default();
        pool.give_replies(Vec::new());
        pool.give_replies(Vec::with_capacity(BYTES_KEPT + 1));
        assert_eq!(pool.len(), [0, 0]);
        for _ in 0..2 * BUFFERS_KEPT {
            pool.give_replies(Vec::with_capacity(BYTES_KEPT));
            pool.give_input(BytesMut::with_capacity(1));
        }
        assert_eq!(pool.len(), [BUFFERS_KEPT; 2]);
        assert_eq!(pool.take_replies().capacity(), BYTES_KEPT);
        pool.take_input();
        assert_eq!(pool.len(), [BUFFERS_KEPT - 1; 2]);
    }
}
