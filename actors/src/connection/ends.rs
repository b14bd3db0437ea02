//! What is left of a client's connection.
//!
//! The end of what a client sends is not its end: what was received runs, in order, and is answered
//! for as long as the socket takes replies. A socket that fails ends the replies, not the commands
//! that came before. Only the connection decides here; nothing of it knows a socket.

/// What is left of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ends {
    /// The client may send, and takes replies.
    #[default]
    Open,
    /// The client has sent its last, and takes replies.
    InputEnded,
    /// Nothing comes any more, and replies are thrown away.
    Failed,
}

impl Ends {
    /// Everything was read that the client had sent, and it sends no more.
    pub fn input_ended(&mut self) {
        if *self == Ends::Open {
            *self = Ends::InputEnded;
        }
    }

    /// A read or a write has failed.
    pub fn failed(&mut self) {
        *self = Ends::Failed;
    }

    /// More may come from the client.
    pub fn may_send(self) -> bool {
        self == Ends::Open
    }

    /// The client may get its replies.
    pub fn takes_replies(self) -> bool {
        self != Ends::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_input_leaves_the_replies_and_a_failure_leaves_nothing() {
        let mut ends = Ends::default();
        assert!(ends.may_send() && ends.takes_replies());
        ends.input_ended();
        assert!(!ends.may_send() && ends.takes_replies());
        ends.failed();
        assert!(!ends.may_send() && !ends.takes_replies());
        ends.input_ended();
        assert_eq!(ends, Ends::Failed);
    }
}
