//! Pending output of a client, and for how long it may stay pending.
//!
//! It comes in parts, so that what is pending never moves when more comes, and its memory is given
//! back as it is written. A large message is a part of its own, which all that get it share.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clients::Buffers;
use crate::pubsub::Message;
use crate::settings::BufferLimit;

/// Bytes from which on a part gets no more, and a message is shared.
const PART_BYTES: usize = 64 * 1024;

/// Unsent bytes from which on CLIENT LIST has them as output, and not in the buffer of replies.
const REPLY_BYTES: usize = 16 * 1024;

/// Some of the bytes for a client.
#[derive(Debug)]
enum Part {
    Own(Vec<u8>),
    /// The tail of a message.
    Shared(Arc<Message>),
}

impl Part {
    fn bytes(&self) -> &[u8] {
        match self {
            Part::Own(bytes) => bytes,
            Part::Shared(message) => message.tail(),
        }
    }
}

/// Bytes for a client in the order in which it gets them.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Parts that get no more.
    whole: VecDeque<Part>,
    /// Bytes of those, what is written of the first among them.
    whole_bytes: usize,
    /// The last part.
    bytes: Vec<u8>,
    /// What is written of the first part.
    written: usize,
    /// Something was written since there was nothing.
    is_begun: bool,
    /// Something of it tells of keys that clients have cached.
    tells_of_keys: bool,
    /// Bytes that wait elsewhere to follow.
    pub(super) held: usize,
    /// The most that the last part held when it was written, since that was asked last.
    peak: usize,
    /// Until when more may be unsent than the soft limit allows; none while it is not.
    patience: Option<u64>,
}

impl Output {
    /// Bytes that are unsent, from the first one on; none where all is sent.
    #[inline]
    pub(super) fn unsent(&self) -> &[u8] {
        let first = self.whole.front().map_or(&self.bytes[..], Part::bytes);
        &first[self.written..]
    }

    /// Nothing of what there is has been written.
    #[inline]
    pub(super) fn is_untouched(&self) -> bool {
        !self.is_begun
    }

    /// Adds replies behind what there is; what comes back is empty.
    #[inline]
    pub(super) fn append(&mut self, replies: &mut Vec<u8>) {
        if self.bytes.len() >= PART_BYTES || replies.len() >= PART_BYTES {
            self.end_part(0);
        }
        if self.bytes.is_empty() {
            std::mem::swap(&mut self.bytes, replies);
        } else {
            self.bytes.append(replies);
        }
    }

    /// All that the client has not got: what is unsent, and what waits to follow.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.unsent_len() + self.held
    }

    /// How many bytes are unsent.
    #[inline]
    pub(super) fn unsent_len(&self) -> usize {
        self.whole_bytes + self.bytes.len() - self.written
    }

    /// Where more is appended.
    #[inline]
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.bytes.len() >= PART_BYTES {
            self.end_part(PART_BYTES);
        }
        &mut self.bytes
    }

    /// Adds bytes behind what there is.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes().extend_from_slice(bytes);
    }

    /// Adds a message behind what there is, for a client that subscribes to a pattern, or to its
    /// channel.
    #[inline]
    pub(super) fn push_message(
        &mut self,
        message: &Arc<Message>,
        pattern: Option<&[u8]>,
        resp3: bool,
    ) {
        self.tells_of_keys |= message.is_of_keys();
        message.write_head(pattern, resp3, self.bytes());
        let tail = message.tail();
        if tail.len() < PART_BYTES {
            self.bytes.extend_from_slice(tail);
        } else {
            self.end_part(0);
            self.whole_bytes += tail.len();
            self.whole.push_back(Part::Shared(Arc::clone(message)));
        }
    }

    /// The last part gets no more; the next one has room for so many bytes.
    #[cold]
    fn end_part(&mut self, room: usize) {
        if !self.bytes.is_empty() {
            let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(room));
            self.whole_bytes += bytes.len();
            self.whole.push_back(Part::Own(bytes));
        }
    }

    /// So many more are written of [`Output::unsent`].
    #[inline]
    pub(super) fn wrote(&mut self, count: usize) {
        self.is_begun = true;
        self.written += count;
        if let Some(first) = self.whole.front().map(|part| part.bytes().len())
            && self.written >= first
        {
            self.whole.pop_front();
            self.whole_bytes -= first;
            self.written -= first;
        }
    }

    /// All is written, or thrown away. The empty buffer goes where there is room for it, unless it
    /// is a large one that told of keys: kept by all who were told of evicted keys, such buffers
    /// would make others go.
    #[inline]
    pub(super) fn clear(&mut self, room: Option<&mut Vec<u8>>) {
        self.patience = None;
        self.peak = self.peak.max(self.bytes.len());
        self.whole.clear();
        (self.whole_bytes, self.written, self.is_begun) = (0, 0, false);
        self.bytes.clear();
        if std::mem::take(&mut self.tells_of_keys) && self.bytes.capacity() > REPLY_BYTES {
            self.bytes = Vec::new();
        }
        if let Some(room) = room {
            std::mem::swap(&mut self.bytes, room);
        }
    }

    /// Notes what memory it is: little is the buffer of replies, more counts as output, all of it.
    pub(super) fn describe(&self, buffers: &mut Buffers) {
        (buffers.pieces, buffers.output) = (self.whole.len(), self.whole_bytes + self.held);
        (buffers.replies, buffers.replied) = (0, 0);
        if self.whole.is_empty() && self.bytes.len() < REPLY_BYTES {
            (buffers.replies, buffers.replied) =
                (self.bytes.capacity(), self.bytes.len() - self.written);
        } else {
            buffers.pieces += usize::from(!self.bytes.is_empty());
            buffers.output += self.bytes.capacity();
        }
        buffers.replies_peak = self.peak.max(buffers.replied);
    }

    /// Forgets how much the buffer of replies has held.
    pub(super) fn forget_peak(&mut self) {
        self.peak = 0;
    }

    /// More is unsent than a client may ever have.
    pub(super) fn is_over(&self, limit: &BufferLimit) -> bool {
        limit.is_passed_by(self.len())
    }

    /// None of it can be written at `now`, in milliseconds. Returns when that ends the client, if
    /// time alone does; an error when it is over already.
    pub(super) fn stall(&mut self, limit: &BufferLimit, now: u64) -> Result<Option<u64>, Over> {
        let is_over_soft = limit.soft_bytes > 0 && self.len() as u64 > limit.soft_bytes;
        let wait = u64::from(limit.soft_seconds) * 1_000;
        self.patience = is_over_soft.then(|| self.patience.unwrap_or(now + wait));
        let is_impatient = self.patience.is_some_and(|until| until <= now);
        if is_impatient || self.is_over(limit) { Err(Over) } else { Ok(self.patience) }
    }
}

/// More is unsent than the client may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Over;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::Kind;

    const LIMIT: BufferLimit = BufferLimit { hard_bytes: 100, soft_bytes: 10, soft_seconds: 2 };

    fn output(bytes: usize) -> Output {
        Output { bytes: vec![b'x'; bytes], ..Output::default() }
    }

    #[test]
    fn the_hard_limit_is_for_ever_and_zero_is_none() {
        assert_eq!(output(101).stall(&LIMIT, 0), Err(Over));
        assert_eq!(output(101).stall(&BufferLimit { hard_bytes: 0, ..LIMIT }, 0), Ok(Some(2_000)));
        let none = BufferLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 };
        assert_eq!(output(101).stall(&none, 0), Ok(None));
    }

    #[test]
    fn the_soft_limit_is_for_its_time_and_is_forgiven() {
        let mut output = output(20);
        assert_eq!(output.stall(&LIMIT, 5_000), Ok(Some(7_000)));
        output.wrote(3);
        assert_eq!(output.stall(&LIMIT, 6_999), Ok(Some(7_000)));
        output.wrote(7);
        assert_eq!(output.stall(&LIMIT, 7_000), Ok(None));
        output.push(b"more");
        assert_eq!(output.stall(&LIMIT, 8_000), Ok(Some(10_000)));
        assert_eq!(output.stall(&LIMIT, 10_000), Err(Over));
        output.clear(None);
        output.push(&[b'x'; 20]);
        assert_eq!(output.stall(&LIMIT, 20_000), Ok(Some(22_000)));
    }

    #[test]
    fn what_is_pending_stays_where_it_is_and_is_given_back_as_it_is_written() {
        let mut output = Output::default();
        let large = Arc::new(Message::new(Kind::Channel, b"c", &[b'l'; 2 * PART_BYTES], 0));
        let small = Arc::new(Message::new(Kind::Channel, b"c", b"small", 0));
        let mut expected = Vec::new();
        for number in 0_u8..100 {
            let mut replies = vec![number; if number % 10 == 0 { PART_BYTES } else { 3_000 }];
            expected.extend_from_slice(&replies);
            output.append(&mut replies);
            assert!(replies.is_empty());
            let message = if number % 3 == 0 { &large } else { &small };
            output.push_message(message, None, true);
            message.write(None, true, &mut expected);
        }
        assert_eq!((output.unsent_len(), Arc::strong_count(&large)), (expected.len(), 35));
        let mut got = Vec::new();
        while !output.unsent().is_empty() {
            let most = output.unsent().len().min(50_000);
            got.extend_from_slice(&output.unsent()[..most]);
            output.wrote(most);
            assert_eq!(output.unsent_len(), expected.len() - got.len());
        }
        assert!(got == expected);
        assert_eq!((Arc::strong_count(&large), output.is_untouched()), (1, false));
    }

    #[test]
    fn what_is_pushed_stays_behind_what_was_answered() {
        let mut output = Output::default();
        let mut replies = b"one".to_vec();
        output.append(&mut replies);
        output.push(b"two");
        replies.extend(b"three");
        output.append(&mut replies);
        output.wrote(3);
        assert_eq!((output.unsent(), &replies[..]), (&b"twothree"[..], &b""[..]));
        output.clear(Some(&mut replies));
        assert!(replies.capacity() > 0 && replies.is_empty() && output.unsent().is_empty());
    }
}
