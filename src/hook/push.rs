//! What clients get that did not ask for it.

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::Home;
use crate::pubsub::Message;
use crate::route::ShardId;

/// Something for clients outside their own replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// For one client.
    Bytes {
        /// Where the client is.
        to: Home,
        /// Its number; another client may have come to its place meanwhile.
        client: u64,
        /// The bytes, as the client gets them.
        bytes: Bytes,
    },
    /// A message for all clients of a thread that receive it.
    Message {
        /// The thread.
        thread: ShardId,
        /// The message.
        message: Arc<Message>,
    },
}

impl Push {
    /// The thread that it goes to.
    pub fn thread(&self) -> ShardId {
        match self {
            Push::Bytes { to, .. } => to.thread,
            Push::Message { thread, .. } => *thread,
        }
    }
}
