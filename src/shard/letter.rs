//! What shards, and the threads that they stand for, send each other.

use std::sync::{Arc, Weak};

use crate::batch::Batch;
use crate::clients::{MonitorClient, Pause};
use crate::commands::scripting::ScriptChange;
use crate::counted::hotkeys::HotKeySession;
use crate::hook::push::Push;
use crate::keyspace::saving::Moment;
use crate::keyspace::slot::Slot;
use crate::lending::fetch::{Fetch, Fetched};
use crate::lending::{GivenBack, Returned};
use crate::parked::{Parked, Served};
use crate::pubsub::News;
use crate::question::KillKind;
use crate::route::{Map, ShardId};
use crate::script::Libraries;
use crate::settings::Settings;
use crate::shard::script::needs::Needs;

/// A letter to a shard.
#[derive(Debug)]
pub enum Letter {
    /// A batch whose next call runs here, or passes here to take slots along.
    Visit(Box<Batch>),
    /// A script asks for slots of the shard.
    Fetch(Fetch),
    /// What a script of the shard has asked for.
    Fetched(Fetched),
    /// Slots that were lent come back.
    Return(Returned),
    /// A batch that is done, or needs its connection: for the thread, not for the shard.
    Home(Box<Batch>),
    /// What a client gets that did not ask: for the thread as well.
    Push(Push),
    /// What came of a client's wait: for the thread as well.
    Served(Served),
    /// What has changed about the subscriptions of a client. Somebody may wait until that is known.
    Subscribers(Arc<News>, Option<Wait>),
    /// All pushes that were sent before have arrived: say so.
    Pushed(Wait),
    /// One of those for whom a batch waits has said so.
    Heard(u64),
    /// This shard was rebuilt: who waited there does not any more.
    Rebuilt(ShardId),
    /// Somebody waits again for keys of the shard.
    WaitAgain(Weak<Parked>),
    /// A new map.
    Routes(Arc<Map>),
    /// A slot that has to move to another shard. The last word on it counts.
    MoveOut {
        /// The slot.
        slot: u16,
        /// Its new owner; the shard itself where the slot need not move any more.
        to: ShardId,
    },
    /// No slot leaves from now on (1), or one reason for that is gone (-1).
    HoldMoves(i32),
    /// A loan of the shard lasts (1), or one that did is home (-1).
    Lasts(i32),
    /// A script keeps these slots of the shard for long.
    HeldLong(Vec<u16>, KillKind),
    /// A slot that moves here; the map that says so comes later.
    MoveIn(u16, Box<Slot>),
    /// A snapshot has begun. The slots of the shard come behind it.
    Snapshot(Moment),
    /// So many bytes of the snapshot, in all, are in its file.
    SnapshotWritten {
        /// The number of the snapshot.
        number: u32,
        /// Bytes that this shard has told.
        bytes: u64,
    },
    /// The snapshot with this number is over.
    SnapshotOver(u32),
    /// Whether the last snapshot failed.
    SnapshotFailed(bool),
    /// Too much memory is in use: evict, and tell this shard.
    Evict(ShardId),
    /// One that was asked to has made room (or there is some), or can make none.
    Evicted(bool),
    /// New settings.
    Settings(Arc<Settings>),
    /// A pause begins, changes or ends.
    Pause(Option<Pause>),
    /// So many replicas keep up.
    GoodReplicas(u32),
    /// Whether replicas hold writes up.
    HeldUp(bool),
    /// Whether the stream of the primary comes.
    Linked(bool),
    /// A change of the scripts that are known.
    Scripts(ScriptChange),
    /// What a script has turned out to need that began here.
    Needs(Needs),
    /// The libraries of functions.
    Libraries(Arc<Libraries>),
    /// The clients that have called MONITOR.
    Monitors(Arc<[MonitorClient]>),
    /// The session of HOTKEYS, if there is one.
    HotKeys(Option<Arc<HotKeySession>>),
    /// The journal failed, with its reason, or works again.
    Journal(Option<String>),
}

/// A batch that waits at a shard.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// The shard.
    pub at: ShardId,
    /// The number of the wait there.
    pub number: u64,
}

impl From<GivenBack> for Letter {
    fn from(given_back: GivenBack) -> Letter {
        match given_back {
            GivenBack::Slots(returned) => Letter::Return(returned),
            GivenBack::Moves => Letter::HoldMoves(-1),
            GivenBack::Lasted => Letter::Lasts(-1),
            GivenBack::Unfetched(run) => Letter::Fetched(Fetched::nothing(run)),
        }
    }
}
