//! The sink behind CLIENT REPLY: takes back the replies that a client does not want.
//!
//! It sees no calls, so it costs nothing beside a look at the session. What the other sinks hear of
//! a reply, its size say, is what it was before that.

use crate::hook::{Published, Sees, Sink};
use crate::session::{Replies, Session};

/// Silences replies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence;

impl Sink for Silence {
    fn adapt(&mut self, _published: &Published<'_>) -> Sees {
        Sees::NONE
    }

    fn replied(&mut self, session: &mut Session, replies: &mut Vec<u8>, mark: usize) {
        let is_push = session.last.is_some_and(|command| command.answers_by_push)
            && matches!(replies.get(mark), Some(b'*' | b'>'));
        let kept = if is_push { replies.len() } else { mark };
        match session.replies {
            Replies::On => {}
            Replies::Off => replies.truncate(kept),
            Replies::SkipNext => session.replies = Replies::Skip,
            Replies::Skip => {
                replies.truncate(kept);
                session.replies = Replies::On;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::ProtocolError;
    use crate::testing::Store;

    #[test]
    fn replies_can_be_silenced() {
        let mut store = Store::with_layers(Vec::new(), vec![Box::new(Silence)]);
        assert_eq!(store.run("CLIENT REPLY x"), "(error) ERR syntax error");
        assert_eq!(store.run("CLIENT REPLY skip"), "");
        assert_eq!(store.run("PING"), "");
        assert_eq!(store.run("PING"), "PONG");
        assert_eq!(store.run("CLIENT REPLY off"), "");
        assert_eq!(store.run("PING"), "");
        assert_eq!(store.run("CLIENT REPLY skip"), "");
        assert_eq!(store.run("PING"), "");
        assert_eq!(store.run("CLIENT REPLY on"), "OK");
        assert_eq!(store.run("PING"), "PONG");
    }

    #[test]
    fn errors_are_silenced_as_replies_are() {
        let mut store = Store::with_layers(Vec::new(), vec![Box::new(Silence)]);
        assert_eq!(store.run("CLIENT REPLY skip"), "");
        assert_eq!(store.run("NOSUCH"), "", "there is no such command");
        let mut batch = store.batch(&[b"PING"]);
        batch.session.replies = Replies::Off;
        store.shard.refuse(&mut batch, ProtocolError::InvalidBulkLength);
        assert_eq!(batch.replies, b"", "what came in is no request");
        batch.session.replies = Replies::On;
        store.shard.refuse(&mut batch, ProtocolError::InvalidBulkLength);
        assert!(batch.replies.starts_with(b"-ERR Protocol error"));
    }
}
