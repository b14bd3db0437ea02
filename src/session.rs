//! What a client's connection knows between its commands: database, protocol, user, name.
//!
//! The session travels inside the batch, so that SELECT, AUTH, HELLO and the like take effect at
//! their place in a pipeline, on whatever shard the batch stands at that moment. While the batch is
//! away, the connection has none.

use std::sync::Arc;

use crate::base::millis::Millis;
use crate::commands::command::Command;
use crate::keyspace::watched::Watches;
use crate::pubsub::{Kind, Message, Subscribed, Told, Tracking};
use crate::route::Home;
use crate::transaction::Transaction;

/// The state of one client.
#[derive(Clone, Debug)]
pub struct Session {
    /// Unique and ascending over the life of the process.
    pub id: u64,
    /// Where its connection is.
    pub home: Home,
    /// Selected database.
    pub db: u32,
    /// Protocol of the replies: RESP3, else RESP2. A script has one of its own for the replies to
    /// its commands.
    pub resp3: bool,
    /// Protocol of the client while it runs a script.
    pub(crate) resp3_of_client: Option<bool>,
    /// Whether the client may run commands that ask for authentication.
    pub authenticated: bool,
    /// Name of the user.
    pub user: Arc<str>,
    /// Names that the client gave.
    pub names: Names,
    /// Which replies are sent.
    pub replies: Replies,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// CLIENT IMPORT-SOURCE: in import mode, data comes from it.
    pub imports: bool,
    /// CLIENT CAPA REDIRECT: it can be sent elsewhere.
    pub redirects: bool,
    /// READONLY: it would read from a replica of a cluster.
    pub reads_replicas: bool,
    /// What it has said of itself as a replica.
    pub presented: Option<Box<Presented>>,
    /// It is a replica: it gets the stream, and no replies.
    pub is_replica: bool,
    /// It is the primary: what it sends is its stream.
    pub primary: Option<Box<FromPrimary>>,
    /// The client asked for MONITOR.
    pub monitors: bool,
    /// The connection closes after the replies so far.
    pub closing: bool,
    /// Address of the client and of the socket that it reached.
    pub peer: Arc<Peer>,
    /// It sent what only somebody else's protocol sends; it is cut off without a word.
    pub attacks: bool,
    /// When the client connected.
    pub since: Millis,
    /// Its last command.
    pub last: Option<&'static Command>,
    /// Commands so far.
    pub commands: u64,
    /// What is queued since MULTI.
    pub transaction: Option<Box<Transaction>>,
    /// The keys that are watched.
    pub watches: Watches,
    /// What it subscribes to.
    pub subscribed: Subscribed,
    /// How keys are tracked for it.
    pub tracking: Option<Box<Tracking>>,
}

/// Both ends of a connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The client's address, `ip:port` or `path:0`.
    pub address: String,
    /// The address that the client reached.
    pub local: String,
    /// Descriptor of the socket.
    pub descriptor: i32,
    /// Over a unix socket.
    pub unix: bool,
}

impl Peer {
    /// True when the client runs on this machine.
    pub fn is_local(&self) -> bool {
        self.unix || self.address.starts_with("127.") || self.address.starts_with("[::1]:")
    }
}

/// Names that a client gives of itself; empty until then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// CLIENT SETNAME.
    pub client: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub library: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub version: Vec<u8>,
}

/// What a replica has said of itself (REPLCONF).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    /// The port that it serves.
    pub port: u16,
    /// The address that it wants to be known by; none where it is empty.
    pub address: Vec<u8>,
    /// It can find the end of a snapshot by its mark (`capa eof`).
    pub takes_mark: bool,
    /// It can go on with a stream under another id (`capa psync2`).
    pub takes_new_ids: bool,
    /// It is one of Redis 8 (`capa rdb-channel-repl`).
    pub is_redis_8: bool,
    /// The version of Valkey that it is, a byte each for its three numbers; 0 where it says none.
    pub version: u32,
    /// It wants a snapshot and no stream.
    pub is_rdb_only: bool,
    /// It wants no keys in its snapshot.
    pub is_without_data: bool,
    /// It wants no functions in its snapshot.
    pub is_without_functions: bool,
}

/// What the connection to the primary and the shards tell each other of its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FromPrimary {
    /// What could not be carried out.
    pub faults: StreamFaults,
    /// The id of the stream.
    pub id: String,
    /// For each call of the batch, how many bytes of the stream there are up to its end; 0 inside a
    /// transaction.
    pub ends: Vec<u64>,
}

/// What of a primary's stream could not be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamFaults {
    /// A command was not run: the data set is not the primary's any more.
    pub refused: Option<String>,
    /// A command ran and failed, as it may have at the primary.
    pub failed: Option<String>,
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replies {
    /// Every reply is sent.
    #[default]
    On,
    /// None is sent.
    Off,
    /// The reply of the next command is not sent.
    SkipNext,
    /// The reply of this command is not sent.
    Skip,
}

impl Session {
    /// A client that has just connected.
    pub fn new(id: u64, peer: Peer, since: Millis, authenticated: bool) -> Session {
        Session {
            id,
            home: Home::default(),
            db: 0,
            resp3: false,
            resp3_of_client: None,
            authenticated,
            user: Arc::from("default"),
            names: Names::default(),
            replies: Replies::On,
            no_evict: false,
            no_touch: false,
            imports: false,
            redirects: false,
            presented: None,
            is_replica: false,
            primary: None,
            monitors: false,
            reads_replicas: false,
            closing: false,
            attacks: false,
            peer: Arc::new(peer),
            since,
            last: None,
            commands: 0,
            transaction: None,
            watches: Watches::default(),
            subscribed: Subscribed::default(),
            tracking: None,
        }
    }

    /// True for the connection to the primary.
    #[inline]
    pub fn is_primary(&self) -> bool {
        self.primary.is_some()
    }

    /// True where the client may do little but subscribe: messages and replies look alike to it.
    #[inline]
    pub fn only_subscribes(&self) -> bool {
        !self.subscribed.is_empty() && !self.client_has_resp3()
    }

    /// Protocol of what the client is sent: RESP3, else RESP2.
    #[inline]
    pub fn client_has_resp3(&self) -> bool {
        self.resp3_of_client.unwrap_or(self.resp3)
    }

    /// Who gets a message about keys that is for this client.
    pub fn told(&self, message: &Arc<Message>) -> Told {
        let Some(tracking) = &self.tracking else { return Told::Nobody };
        let prefix = message.channel();
        match message.kind() == Kind::Prefix && !self.subscribed.has(Kind::Prefix, prefix) {
            true => Told::Nobody,
            false => tracking.told(message, self.id, self.client_has_resp3()),
        }
    }

    /// Its last command is over: what CLIENT CACHING has said was for it, unless that is a
    /// transaction, or about clients.
    #[inline]
    pub fn end_caching(&mut self) {
        if let Some(tracking) = &mut self.tracking
            && self.transaction.is_none()
            && !self.last.is_some_and(|command| command.name.as_str().starts_with("client|"))
        {
            tracking.is_said = false;
        }
    }

    /// True where the command is queued: the client has said MULTI.
    #[inline]
    pub fn queues(&self, command: &Command) -> bool {
        self.transaction.is_some() && !command.is_never_queued
    }
}
