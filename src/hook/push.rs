//! What clients get that did not ask for it.

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::Home;
use crate::pubsub::{Message, Redirected};
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
    /// A message about keys, for a client that has cached them.
    Outdated {
        /// Where the client is.
        to: Home,
        /// Its number.
        client: u64,
        /// The message.
        message: Arc<Message>,
    },
    /// The same, for the client that another one has named for that.
    Redirected(Redirected),
    /// The client that this one has named, with that number, has gone.
    RedirectBroken {
        /// Where the client is.
        to: Home,
        /// Its number.
        client: u64,
        /// The number of the one that it has named.
        named: u64,
    },
}

impl Push {
    /// It tells clients of keys that they have cached.
    pub fn is_of_keys(&self) -> bool {
        match self {
            Push::Message { message, .. } => message.is_of_keys(),
            Push::Outdated { .. } | Push::Redirected(_) => true,
            Push::Bytes { .. } | Push::RedirectBroken { .. } => false,
        }
    }

    /// The thread that it goes to.
    pub fn thread(&self) -> ShardId {
        match self {
            Push::Bytes { to, .. }
            | Push::Outdated { to, .. }
            | Push::RedirectBroken { to, .. } => to.thread,
            Push::Message { thread, .. } => *thread,
            Push::Redirected(redirected) => redirected.to.home.thread,
        }
    }
}
