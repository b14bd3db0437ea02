//! Mail for the AOF writer.

use std::sync::Arc;

use actix::{Message, Recipient};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedMutexGuard, oneshot};
use troupe::aof::change::Event;
use troupe::aof::directory::Directory;
use troupe::rdb::Rules;
use troupe::replication::Fed;
use troupe::route::ShardId;
use troupe::shard::turn::Held;
use troupe::stream::{self, Policy};

use crate::inbox::Inbox;
use crate::message::shard;

/// Where the writer says how something went that was asked of it: why not, if it failed.
pub type Asks = oneshot::Sender<Result<(), String>>;

/// Where a change of the journal hears what comes of its steps. Each step and each panic is
/// reported once, and that is the bound.
pub type Reports = UnboundedSender<Event>;

/// Where a writer finds what shards did, a turn each: the one order of all effects. Its other mail
/// comes behind what was appended before that was sent.
pub type Appends = Arc<Inbox<stream::Append<Held>>>;

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
    /// Records that are refused are left out, as at the start.
    pub skips_refused: bool,
    /// By what a base that is an RDB file is read.
    pub rules: Rules,
    /// Where what is its own goes.
    pub parcels: Recipient<shard::Load>,
    /// Who is told at the end.
    pub loaded: Recipient<shard::Loaded>,
}

/// To a shard: from now on there is a journal, whose base is to be.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct BeginBase {
    /// Where effects go.
    pub appends: Appends,
    /// Where a panic is reported until the journal is on.
    pub reports: Reports,
}

/// To a shard: there is no journal any more.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct End;

/// The base is whole that is this snapshot; none where there is no journal. List it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ListBase(pub Option<u32>, pub Asks);

/// No base comes: take away what there is of it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ForgetBase(pub Asks);

/// Say when all that came before is durable, which under `always` is soon.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SyncAll(pub Asks);

/// To a shard: from now on there is a journal that holds the data set.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Begin {
    /// Where effects go.
    pub appends: Appends,
    /// Where a rebuild is asked for.
    pub rebuild: Recipient<Rebuild>,
    /// When replies may leave.
    pub policy: Policy,
}

/// To a shard: effects are recorded for replicas from now on, or no more.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Replicate {
    /// Where effects go.
    pub appends: Appends,
    /// Whether they are recorded.
    pub on: bool,
}

/// All shards record effects for replicas: read the stream for them from here on; or no shard will.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Listen(pub bool, pub Asks);

/// Hand on to replicas what was appended before, as far as they may see it, and say so. Only one is
/// under way: the next waits for the guard.
#[derive(Message)]
#[rtype(result = "()")]
pub struct HandOn(pub OwnedMutexGuard<()>, pub Asks);

/// Put this into the stream of replication, behind what was appended before.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Put(pub Fed);

/// A journal begins in this directory, with the next base. Who asks waits for the answer: what
/// shards append after it may come in ahead of mail.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Open(pub Directory, pub Asks);

/// Write and sync everything, then say so: the journal ends.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close(pub Asks);
