//! What a command asks of the connection: things that no shard can do alone.
//!
//! The command has been checked in full before it becomes an action, so that performing one can
//! fail only for reasons outside the call. The batch waits at home meanwhile; that of a transaction
//! or of a command that keeps its slots waits where it runs, with all that it holds.

use bytes::Bytes;

use crate::base::millis::Millis;
use crate::commands::filter::Filter;
use crate::commands::scripting::ScriptChange;
use crate::keyspace::contents::Present;
use crate::question::{Event, KillKind, LogKind, Question};
use crate::script::Sha;

/// Something for the connection to do before the batch goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask every shard, put the answers together and reply.
    Gather(Question, Gathered),
    /// Publish changed settings, all or none; answered when every shard has them.
    ConfigSet(Vec<(Vec<u8>, Vec<u8>)>),
    /// Write the settings in force back to their file.
    ConfigRewrite,
    /// List the clients that match.
    ClientList(Filter),
    /// Describe the client itself.
    ClientInfo,
    /// Close the clients that match.
    ClientKill {
        /// Which.
        filter: Filter,
        /// The old form, which names one address and answers `OK` or an error.
        old_form: bool,
    },
    /// Hold commands back.
    ClientPause {
        /// Until when.
        until: Millis,
        /// Which.
        mode: PauseMode,
    },
    /// Let commands go on.
    ClientUnpause,
    /// Release a blocked client.
    ClientUnblock {
        /// Which.
        id: u64,
        /// With an error instead of a timeout.
        with_error: bool,
    },
    /// Where the client with this number is: [`Home::to_bytes`](crate::route::Home::to_bytes) of
    /// that, or nothing where there is none.
    FindClient(u64),
    /// Show every command to this client from now on.
    Monitor,
    /// Collect what keys take, or no more.
    HotKeys(HotKeys),
    /// Change the scripts that are known; answered when every thread has.
    ChangeScripts(ScriptChange),
    /// Look for a script that the thread does not know, and make it known to all threads.
    FindScript(Sha),
    /// End the scripts or functions that have run too long.
    KillScripts(KillKind),
    /// Write a snapshot, or no more of it.
    Save(Save),
    /// Write the journal anew.
    RewriteJournal(Begins),
    /// Send the client the stream of replication from now on: it is a replica.
    Replicate(SyncRequest),
    /// Follow the server with this host and port, or none any more.
    Follow(Option<(String, u16)>),
    /// The same, inside EXEC: begun, and carried out beside it.
    BeginToFollow(Option<(String, u16)>),
    /// The client, a replica, has so much of it.
    Acknowledge {
        /// Bytes of the stream that it has applied.
        applied: u64,
        /// Those of them that are in its journal, where it says so.
        journaled: Option<u64>,
    },
    /// Exchange bytes with another server.
    Exchange(Exchange),
    /// End the server.
    Shutdown(Shutdown),
    /// Give memory back to the system.
    MemoryPurge,
    /// The allocator's own report.
    MallocStats,
    /// Something only for tests.
    Debug(Debug),
}

impl Action {
    /// The same, asked inside EXEC: what is written in the background begins behind that, and
    /// another primary is followed beside it.
    pub fn inside_exec(self) -> Action {
        match self {
            Action::RewriteJournal(_) => Action::RewriteJournal(Begins::Later),
            Action::Save(Save::Background | Save::Scheduled) => Action::Save(Save::Later),
            Action::Follow(primary) => Action::BeginToFollow(primary),
            action => action,
        }
    }

    /// True where it is over only when slots have moved or have all been seen: a transaction that
    /// holds some cannot wait for that.
    pub fn needs_slots(&self) -> bool {
        match self {
            Action::ConfigSet(pairs) => {
                pairs.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"appendonly"))
            }
            Action::Debug(debug) => {
                matches!(debug, Debug::LoadJournal | Debug::Reload(_) | Debug::MoveSlots(_))
            }
            _ => false,
        }
    }
}

/// What is asked of the session of HOTKEYS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotKeys {
    /// Begin one.
    Start(CollectHotKeys),
    /// End it.
    Stop,
    /// Forget what it collected.
    Reset,
}

/// What a session of HOTKEYS collects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectHotKeys {
    /// Time of each key.
    pub cpu: bool,
    /// Bytes of each key.
    pub net: bool,
    /// Keys that are named.
    pub count: usize,
    /// How long it lasts, in milliseconds; without end where there is none.
    pub duration_ms: Option<i64>,
    /// One command in so many counts for its keys.
    pub sample: u32,
}

/// When something begins to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// Now, unless something else is being written.
    Now,
    /// A moment later.
    Later,
}

/// Which commands a pause holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseMode {
    /// Those that may write.
    Write,
    /// All.
    All,
}

/// What is made of the answers of all shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gathered {
    /// `OK`.
    Ok,
    /// INFO with these sections.
    Info(Vec<Vec<u8>>),
    /// LASTSAVE.
    LastSave,
    /// ROLE.
    Role,
    /// The newest entries of a log.
    LogGet(LogKind, usize),
    /// The length of a log.
    LogLen(LogKind),
    /// LATENCY HISTOGRAM of these commands; all where there is none.
    LatencyHistogram(Vec<Vec<u8>>),
    /// LATENCY LATEST.
    LatencyLatest,
    /// LATENCY HISTORY of an event; none for one that nobody knows.
    LatencyHistory(Option<Event>),
    /// LATENCY GRAPH of an event.
    LatencyGraph(Event),
    /// FUNCTION STATS.
    FunctionStats,
    /// How many events were forgotten.
    LatencyReset,
    /// HOTKEYS GET.
    HotKeys,
    /// LATENCY DOCTOR.
    LatencyDoctor,
    /// MEMORY STATS.
    MemoryStats,
    /// MEMORY DOCTOR.
    MemoryDoctor,
}

/// True when INFO with these arguments names this section, alone or with all others.
pub fn names_section(asked: &[Vec<u8>], section: &str) -> bool {
    let is_named = |word: &str| asked.iter().any(|name| name.eq_ignore_ascii_case(word.as_bytes()));
    [section, "all", "everything"].into_iter().any(is_named)
}

/// What is asked of snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Save {
    /// One, answered when it is in its place.
    Now,
    /// One, answered when it begins.
    Background,
    /// The same; later, where something else is written now.
    Scheduled,
    /// One, a moment later, unless one is being written.
    Later,
    /// None any more.
    Cancel,
}

/// What of the stream of replication a replica asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncRequest {
    /// SYNC: all. It never says how far it has come.
    All,
    /// PSYNC: what follows in the stream with this id, or all.
    From {
        /// The id of the stream that it knows, or `?`.
        id: Vec<u8>,
        /// The number of the first byte that it lacks, from 1 on.
        number: i64,
    },
}

/// Bytes for another server, and how many lines it answers. What there is of them is the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The name or the address of the server.
    pub host: Vec<u8>,
    /// Its port.
    pub port: u16,
    /// What it is sent.
    pub request: Bytes,
    /// Lines that it answers.
    pub lines: usize,
    /// How long nothing may happen, in milliseconds.
    pub patience_ms: u64,
}

/// SHUTDOWN and its options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the options of the command")]
pub struct Shutdown {
    pub save: Option<bool>,
    pub now: bool,
    pub force: bool,
    pub safe: bool,
    pub failover: bool,
    pub abort: bool,
}

/// DEBUG RELOAD and its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// The snapshot is written first; otherwise that is loaded which is there.
    pub saves: bool,
    /// What is done about the keys that are there.
    pub present: Present,
}

/// What DEBUG does outside the keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Debug {
    /// Write all settings to the configuration file, those at their default as well.
    RewriteConfig,
    /// Hold up the client's thread, in milliseconds.
    Sleep(u64),
    /// Panic in the middle of a command of this shard, after spoiling some of its keys.
    PanicShard(u16),
    /// Panic in this shard when a command comes that holds slots of others.
    PanicVisit(u16),
    /// Panic in an actor, by name.
    PanicActor(String),
    /// Hold up a shard's thread.
    StallShard {
        /// Which.
        shard: u16,
        /// How long, in milliseconds.
        millis: u64,
    },
    /// Whether keys are taken out when they expire, or only when they are looked at.
    SetActiveExpire(bool),
    /// Whether scripts may call what is not for them.
    AllowAllInScripts(bool),
    /// Whether RESTORE takes payloads with a wrong checksum. It does not when a journal is read
    /// that has one, unless it is told so again.
    TakeAnyChecksum(bool),
    /// Whether calls of a batch run shard by shard, out of their order.
    BreakOrder(bool),
    /// Whether MSET runs key by key.
    BreakAtomicity(bool),
    /// Empty every shard and load the journal again.
    LoadJournal,
    /// Load a snapshot.
    Reload(Reload),
    /// Move these slots, each to a shard.
    MoveSlots(Vec<(u16, u16)>),
}
