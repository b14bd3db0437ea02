//! Mail for a shard, and for the thread that it stands for. Letters come through its inbox, and are
//! taken in ahead of mail that was sent later.

use actix::Message;
use tokio::sync::oneshot;
use troupe::hook::answer::Answer;
use troupe::keyspace::space::Slots;
use troupe::parked::Why;
use troupe::question::Question;
use troupe::shard::load::{Applied, Parcel};
use troupe::stream::Progress;

/// A question about the shard; the answer goes back by itself, since a handler never waits.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ask {
    /// What is asked.
    pub question: Question,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// How busy is the thread, and with which slots?
#[derive(Message)]
#[rtype(result = "()")]
pub struct Measure(pub oneshot::Sender<Measured>);

/// The answer.
#[derive(Clone, Debug)]
pub struct Measured {
    /// For how long the thread has had something to do in all, in nanoseconds.
    pub busy_ns: u64,
    /// What calls took since this was asked last, by slot, in nanoseconds.
    pub slots: Vec<(u16, u64)>,
}

/// What concerns the thread's clients.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskClients {
    /// What is asked.
    pub question: ClientsQuestion,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Vec<troupe::clients::Row>>,
}

/// A question about the clients of a thread.
#[derive(Clone, Debug)]
pub enum ClientsQuestion {
    /// Describe those that match.
    List(troupe::commands::filter::Filter),
    /// Close those that match; the answer describes them.
    Kill(troupe::commands::filter::Filter, u64),
    /// Close those that have to go since all hold too much, as with every question; describe none.
    Evict,
    /// Keep this client where it is, for those that will send it something; the answer describes
    /// it.
    Find(u64),
    /// End the wait of this client; the answer describes it where it did wait.
    Unblock {
        /// Its number.
        id: u64,
        /// Why.
        why: Why,
    },
    /// End the waits of all, since the server is a replica from now on.
    UnblockAll,
}

/// Effects of this shard have come further in the journal.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Progressed(pub Progress);

/// Records or keys to load.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Load {
    /// The load that they belong to; those of an earlier one are dropped.
    pub load: u64,
    /// What it is.
    pub parcel: Parcel,
    /// Told when it is loaded: what of it is not.
    pub applied: oneshot::Sender<Applied>,
}

/// Give slots for records that need them at another shard.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Lend {
    /// The slots.
    pub slots: Vec<u16>,
    /// Where they go.
    pub lent: oneshot::Sender<Option<Slots>>,
}

/// All of a load was sent: serve from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Loaded {
    /// The load that is over.
    pub load: u64,
}

/// Something that only tests ask for.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub enum Disturb {
    /// Spoil some keys and panic.
    Panic,
    /// Panic when a batch comes that holds slots of other shards.
    PanicVisit,
    /// Empty the shard and read the journal again.
    Reload,
    /// Hold up the thread, in milliseconds.
    Stall(u64),
    /// Whether keys are taken out when they expire.
    ActiveExpire(bool),
    /// Whether scripts may call what is not for them.
    AllInScripts(bool),
    /// Whether RESTORE takes payloads with a wrong checksum.
    AnyChecksum(bool),
    /// Whether calls run out of their order.
    BreakOrder(bool),
    /// Whether MSET runs key by key.
    BreakAtomicity(bool),
}
