//! Publishing and subscribing: who subscribes to what, and what becomes of a message.
//!
//! # Who knows what
//!
//! A client's [`Subscriptions`] are part of its session. So they change at their place among its
//! commands, wherever its batch is, and no shard that is rebuilt forgets them. Each shard has a
//! [`Register`] of all names that anybody subscribes to: with the clients of its own thread, and of
//! every other thread how many clients it has.
//!
//! SUBSCRIBE changes session and register where the batch is. Every other thread is told by
//! [`News`], and the batch waits until all have heard: its client is answered then. PUBLISH after
//! that counts it wherever that runs. The news of a client that has gone is sent when its
//! subscriptions are dropped, with its session.
//!
//! # A message
//!
//! PUBLISH asks the register where it runs, answers with the count, and leaves one message to each
//! thread with receivers, to be shared by them. It is a push of the turn: it leaves behind the
//! effects of the calls before it, and ahead of everything that could tell of it. Who receives it
//! is decided on the receivers' thread, when it arrives there.
//!
//! A message for a connection whose batch is away waits there until the batch is home, and follows
//! its replies; where the batch has ended the subscription, it goes ahead of them. So it comes
//! neither ahead of the confirmation of its subscription nor behind that of its end. The
//! publisher's own copy stands behind the reply to its command.
//!
//! A thread that does not keep up holds up who publishes to it: [`Register::behind`].
//!
//! # Client-side caching
//!
//! A client with CLIENT TRACKING has [`Tracking`] in its session. Which keys it has cached stands
//! with their slots ([`tracked`](crate::keyspace::tracked)); where one changes, a message goes to
//! the client. Prefixes of BCAST are subscribed to as channels are, and so is that everything is
//! gone (FLUSHALL, a rebuild). So CLIENT TRACKING is answered when all threads know of it.
//!
//! What becomes of such a message is decided at the connection of the client that has cached: it
//! may have named another one for that, which may be on another thread. Whoever has changed the key
//! waits until it has been passed on: so that one learns of two changes in their order.

mod message;
mod register;
mod subscriptions;
mod tracking;

use std::sync::Arc;

use crate::route::{Home, ShardId};

pub use message::{Author, Message};
pub use register::{Receiver, Register};
pub use subscriptions::{ReplyEnd, Room, Subscribed, Subscriptions};
pub use tracking::{Mode, Redirect, Redirected, Told, Tracking};

/// The name of a channel, or a pattern: shared by all that know it.
pub type Name = Arc<[u8]>;

/// Clients that have named another one subscribe to this name of [`Kind::Cached`].
pub const NAMED: &[u8] = b"named";

/// What is subscribed to. Each kind has names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel.
    Channel,
    /// All channels whose names match a pattern.
    Pattern,
    /// A channel of a shard of a cluster.
    Shard,
    /// Keys whose names begin so: a client is told of all that change ([`Tracking`]).
    Prefix,
    /// What a client may have cached, by the empty name: it is told when all of that is gone. By
    /// the name [`NAMED`], that it has named another one who is told in its place.
    Cached,
}

impl Kind {
    /// All.
    pub const ALL: [Kind; 5] =
        [Kind::Channel, Kind::Pattern, Kind::Shard, Kind::Prefix, Kind::Cached];

    /// What clients listen to; the others are how they are told of keys.
    pub const LISTENED: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];
}

/// A client begins to subscribe to a name, or subscribes to it no longer.
#[derive(Clone, Debug)]
pub struct Change {
    /// The kind of the name.
    pub kind: Kind,
    /// The name.
    pub name: Name,
    /// It begins.
    pub begins: bool,
}

/// What has changed about one client's subscriptions, to every thread.
#[derive(Debug)]
pub struct News {
    /// Where the client is.
    pub home: Home,
    /// Its number.
    pub client: u64,
    /// What has changed, each once.
    pub changes: Vec<Change>,
}

/// The way to the shards for the news of clients that have gone: a handle of the shell.
///
/// It is used while a panic unwinds, so it never panics. At shutdown it does nothing.
pub trait Farewell: Send + Sync {
    /// Tells a shard that the client subscribes to these names no longer.
    fn farewell(&self, to: ShardId, news: Arc<News>);
}
