//! Mail for the writer of snapshots.

use std::sync::Arc;

use tokio::sync::oneshot;
use troupe::route::ShardId;
use troupe::settings::KeyDelay;
use troupe::shard::snapshot::News;
use troupe::snapshot::{Outcome, Snapshot};

use crate::inbox::Inbox;

/// Where the writer finds all of its mail, in the order in which it was sent. Shards have a bound
/// for what is on its way; all else is once a snapshot.
pub type Mails = Arc<Inbox<Mail>>;

/// Something for the writer.
pub enum Mail {
    /// Write this one; say how it ended.
    Begin(Box<Snapshot>, oneshot::Sender<Outcome>),
    /// What a shard tells.
    News(ShardId, News),
    /// The batch is gone that was to begin the snapshot with this number.
    BatchGone(u32),
    /// Write no more of it, for this reason.
    GiveUp(&'static str),
    /// The server ends: write no more, and say when what is not finished is gone.
    End(oneshot::Sender<()>),
    /// Each key takes so long from now on.
    Delay(KeyDelay),
    /// Panic, for tests.
    Panic,
}
