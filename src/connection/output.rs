//! Pending output of a client, and for how long it may stay pending.

use crate::settings::BufferLimit;

/// Bytes for a client in the order in which it gets them.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes that wait elsewhere to follow.
    pub(super) held: usize,
    /// Until when more may be unsent than the soft limit allows; none while it is not.
    patience: Option<u64>,
}

impl Output {
    /// Pending output: the bytes that are unsent.
    #[inline]
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Nothing of what there is has been written.
    #[inline]
    pub(super) fn is_untouched(&self) -> bool {
        self.written == 0
    }

    /// Adds replies behind what there is; what comes back is empty.
    #[inline]
    pub(super) fn append(&mut self, replies: &mut Vec<u8>) {
        if self.bytes.is_empty() {
            std::mem::swap(&mut self.bytes, replies);
        } else {
            self.bytes.append(replies);
        }
    }

    /// All that the client has not got: what is unsent, and what waits to follow.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.unsent().len() + self.held
    }

    /// Where more is appended.
    #[inline]
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Adds bytes behind what there is.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// So many more are written.
    #[inline]
    pub(super) fn wrote(&mut self, count: usize) {
        self.written += count;
    }

    /// All is written, or thrown away. The empty buffer goes where there is room for it.
    #[inline]
    pub(super) fn clear(&mut self, room: Option<&mut Vec<u8>>) {
        self.patience = None;
        self.written = 0;
        self.bytes.clear();
        if let Some(room) = room {
            std::mem::swap(&mut self.bytes, room);
        }
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
