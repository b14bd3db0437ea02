//! What is left of a client's connection.
//!
//! The end of what a client sends is not its end: what was received runs, in order, and is answered
//! for as long as the socket takes replies. A socket that fails ends the replies, not the commands
//! that came before.

/// What is left of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ends {
    /// The client may send, and takes replies.
    #[default]
    Open,
    /// The client has sent its last, and takes replies.
    InputEnded,
    /// Nothing comes any more but these bytes, which the socket holds already. Replies are thrown
    /// away.
    Failed(usize),
}

impl Ends {
    /// Everything was read that the client had sent, and it sends no more.
    pub(super) fn input_ended(&mut self) {
        *self = match self {
            Ends::Open | Ends::InputEnded => Ends::InputEnded,
            Ends::Failed(_) => Ends::Failed(0),
        }
    }

    /// A read or a write has failed, and the socket holds so many bytes.
    pub(super) fn failed(&mut self, held: usize) {
        *self = Ends::Failed(held);
    }

    /// So many bytes were read.
    #[inline]
    pub(super) fn received(&mut self, count: usize) {
        if let Ends::Failed(held) = self {
            *held = held.saturating_sub(count);
        }
    }

    /// The client may get its replies.
    #[inline]
    pub(super) fn takes_replies(self) -> bool {
        !matches!(self, Ends::Failed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_input_leaves_the_replies_and_a_failure_what_was_received() {
        let mut ends = Ends::default();
        ends.received(3);
        assert_eq!((ends, ends.takes_replies()), (Ends::Open, true));
        ends.input_ended();
        assert_eq!((ends, ends.takes_replies()), (Ends::InputEnded, true));
        ends.failed(10);
        ends.received(3);
        assert_eq!((ends, ends.takes_replies()), (Ends::Failed(7), false));
        ends.input_ended();
        assert_eq!(ends, Ends::Failed(0));
    }
}
