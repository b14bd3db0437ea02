//! Mail for the AOF writer.

use actix::{Message, Recipient};
use tokio::sync::oneshot;
use troupe::aof::journal::{self, Policy};
use troupe::batch::Batch;
use troupe::route::ShardId;

use crate::message::shard;

/// What a shard did in one turn.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Append(pub journal::Append<Box<Batch>>);

/// A change of `appendfsync`.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct SetPolicy(pub Policy);

/// Write out all that came before, then have a shard's records read back to it up to there.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Rebuild {
    /// The number of this load.
    pub load: u64,
    /// The shard.
    pub shard: ShardId,
    /// Where its records go.
    pub replay: Recipient<shard::Replay>,
    /// Who is told at the end.
    pub loaded: Recipient<shard::Loaded>,
}

/// To a shard: from now on there is a journal.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Begin {
    /// Where effects go.
    pub append: Recipient<Append>,
    /// Where a rebuild is asked for.
    pub rebuild: Recipient<Rebuild>,
    /// When replies may leave.
    pub policy: Policy,
}

/// Write and sync everything, then say so: the server ends.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close(pub oneshot::Sender<Result<(), String>>);
