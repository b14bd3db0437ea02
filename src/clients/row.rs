//! One client as one line of CLIENT LIST.
//!
//! The line has every field of Valkey 9.1, in its order.

use std::sync::Arc;

use crate::base::millis::Millis;
use crate::batch::Home;
use crate::clients::Weight;
use crate::commands::command::Command;
use crate::pubsub::{Kind, Mode, Tracking};
use crate::session::{Names, Peer, Session};

/// What a client's connection says of itself.
#[derive(Clone, Debug)]
pub struct Row {
    /// The client's number.
    pub id: u64,
    /// Where its connection is.
    pub home: Home,
    /// Both ends of its connection.
    pub peer: Arc<Peer>,
    /// What it calls itself.
    pub names: Names,
    /// Its user.
    pub user: Arc<str>,
    /// When it connected.
    pub since: Millis,
    /// When it last sent something.
    pub active: Millis,
    /// Its requests are on their way, paused perhaps: it is the server that is silent.
    pub waits: bool,
    /// It waits for keys.
    pub is_blocked: bool,
    /// Its database.
    pub db: u32,
    /// It speaks version 3 of the protocol.
    pub resp3: bool,
    /// Its last command.
    pub command: Option<&'static Command>,
    /// What it has run.
    pub commands: u64,
    /// What is special about it.
    pub flags: Vec<u8>,
    /// The commands that it has queued since MULTI, and their memory in bytes.
    pub queued: Option<(usize, usize)>,
    /// Keys that it watches, and their memory in bytes.
    pub watches: (usize, usize),
    /// What it subscribes to: channels, patterns, channels of shards; and the memory of these and
    /// of the prefixes that are tracked for it, in bytes.
    pub subscribed: ([usize; 3], usize),
    /// Who is told of the keys that are tracked for it, by number, 0 being itself; none where no
    /// keys are tracked.
    pub told: Option<u64>,
    /// What it can do.
    pub capabilities: &'static str,
    /// Memory that the connection holds.
    pub buffers: Buffers,
    /// Bytes that went over the wire.
    pub traffic: Traffic,
}

/// Memory that a connection holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffers {
    /// Requests that were read and are not taken apart: of one that has not come whole, the
    /// argument that is coming.
    pub query: usize,
    /// Room left in the buffer of requests.
    pub query_free: usize,
    /// Requests that are taken apart and have not all run, and what has come of the next one.
    pub arguments: usize,
    /// The size of the buffer of replies.
    pub replies: usize,
    /// The most that it held lately.
    pub replies_peak: usize,
    /// What it holds for the socket.
    pub replied: usize,
    /// Pieces for the socket beside it: large ones, and what waits for the batch to come home.
    pub pieces: usize,
    /// Their bytes.
    pub output: usize,
}

impl Buffers {
    /// What came from the client.
    pub fn input_bytes(&self) -> usize {
        self.query + self.query_free + self.arguments
    }

    /// What is for the client.
    pub fn output_bytes(&self) -> usize {
        self.replies + self.output
    }
}

/// Bytes that went over the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the client.
    pub received: u64,
    /// To the client.
    pub sent: u64,
}

impl Row {
    /// The row of a client that has just connected.
    pub fn new(session: &Session) -> Row {
        let mut row = Row {
            id: session.id,
            home: session.home,
            peer: session.peer.clone(),
            names: Names::default(),
            user: session.user.clone(),
            since: session.since,
            active: session.since,
            db: 0,
            resp3: false,
            waits: false,
            is_blocked: false,
            command: None,
            commands: 0,
            flags: Vec::new(),
            queued: None,
            watches: (0, 0),
            subscribed: ([0; 3], 0),
            told: None,
            capabilities: "",
            buffers: Buffers::default(),
            traffic: Traffic::default(),
        };
        row.update(session, session.since);
        row
    }

    /// Brings the row up to date with a session that was used at `now`. Buffers and traffic are the
    /// connection's to say.
    pub fn update(&mut self, session: &Session, now: Millis) {
        if self.names != session.names {
            self.names.clone_from(&session.names);
        }
        if !Arc::ptr_eq(&self.user, &session.user) {
            self.user = session.user.clone();
        }
        self.active = self.active.max(now);
        self.db = session.db;
        self.resp3 = session.resp3;
        self.command = session.last;
        self.commands = session.commands;
        self.queued = session.transaction.as_ref().map(|queue| (queue.len(), queue.memory()));
        self.watches = (session.watches.len(), session.watches.memory());
        let subscribed = &session.subscribed;
        let counts = match subscribed.is_empty() {
            true => [0; 3],
            false => Kind::LISTENED.map(|kind| subscribed.count(kind)),
        };
        self.subscribed = (counts, subscribed.memory());
        let tracking = session.tracking.as_deref();
        self.told = tracking.map(Tracking::told_client);
        self.capabilities = if session.redirects { "r" } else { "" };
        self.flags.clear();
        let flags = [
            (session.is_replica, b'S'),
            (session.is_primary(), b'M'),
            (session.monitors, b'O'),
            (self.subscribes(), b'P'),
            (session.transaction.is_some(), b'x'),
            (self.is_blocked, b'b'),
            (tracking.is_some(), b't'),
            (tracking.is_some_and(|tracking| tracking.is_broken), b'R'),
            (tracking.is_some_and(|tracking| tracking.mode == Mode::Broadcast), b'B'),
            (session.watches.have_failed(), b'd'),
            (session.closing, b'c'),
            (session.peer.unix, b'U'),
            (session.reads_replicas, b'r'),
            (session.no_evict, b'e'),
            (session.no_touch, b'T'),
            (session.imports, b'I'),
        ];
        self.flags.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, letter)| letter));
        if self.flags.is_empty() {
            self.flags.push(b'N');
        }
    }

    /// How long the client has been there, in seconds.
    pub fn age_seconds(&self, now: Millis) -> i64 {
        now.0.saturating_sub(self.since.0).max(0) / 1000
    }

    /// How long it has been silent, in seconds.
    pub fn idle_seconds(&self, now: Millis) -> i64 {
        now.0.saturating_sub(self.active.0).max(0) / 1000
    }

    /// It is a replica.
    pub fn is_replica(&self) -> bool {
        self.flags.contains(&b'S')
    }

    /// It is the primary.
    pub fn is_primary(&self) -> bool {
        self.flags.contains(&b'M')
    }

    /// It subscribes to something.
    pub fn subscribes(&self) -> bool {
        self.subscribed.0 != [0; 3]
    }

    /// It has been silent for more than `timeout` seconds, and nothing excuses that: that its
    /// requests are on their way, that it has called MONITOR or PSYNC, or that it subscribes to
    /// something.
    pub fn is_overdue(&self, now: Millis, timeout: i64) -> bool {
        let listens = ['O', 'M', 'S'].iter().any(|flag| self.flags.contains(&(*flag as u8)));
        let listens = listens || self.subscribes();
        self.idle_seconds(now) > timeout && !self.waits && !listens
    }

    /// The client's address without its port.
    pub fn ip(&self) -> &str {
        let address = &self.peer.address;
        let ip = address.rsplit_once(':').map_or(&address[..], |(ip, _)| ip);
        ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip)
    }

    /// The name of its last command.
    pub fn command_name(&self) -> &'static str {
        self.command.map_or("NULL", |command| command.name.as_str())
    }

    /// Appends the line, without its end.
    pub fn write(&self, now: Millis, out: &mut Vec<u8>) {
        let mut line = Line(out);
        self.write_identity(now, &mut line);
        line.number(" db=", self.db);
        for (name, count) in [" sub=", " psub=", " ssub="].into_iter().zip(self.subscribed.0) {
            line.number(name, count);
        }
        // In Valkey a client that watches keys has a queue, of no commands.
        let none_queued = if self.watches.0 > 0 { 0 } else { -1 };
        line.number(" multi=", self.queued.map_or(none_queued, |(commands, _)| commands as i64));
        line.number(" watch=", self.watches.0);
        self.write_memory(&mut line);
        line.text(" events=r cmd=");
        line.text(self.command_name());
        line.bytes(" user=", self.user.as_bytes());
        line.number(" redir=", self.told.map_or(-1, u64::cast_signed));
        line.text(if self.resp3 { " resp=3" } else { " resp=2" });
        line.bytes(" lib-name=", &self.names.library);
        line.bytes(" lib-ver=", &self.names.version);
        line.number(" tot-net-in=", self.traffic.received);
        line.number(" tot-net-out=", self.traffic.sent);
        line.number(" tot-cmds=", self.commands);
    }

    fn write_identity(&self, now: Millis, line: &mut Line<'_>) {
        line.number("id=", self.id);
        line.bytes(" addr=", self.peer.address.as_bytes());
        line.bytes(" laddr=", self.peer.local.as_bytes());
        line.number(" fd=", self.peer.descriptor);
        line.bytes(" name=", &self.names.client);
        line.number(" age=", self.age_seconds(now));
        line.number(" idle=", self.idle_seconds(now));
        line.bytes(" flags=", &self.flags);
        line.bytes(" capa=", self.capabilities.as_bytes());
    }

    fn write_memory(&self, line: &mut Line<'_>) {
        let buffers = &self.buffers;
        line.number(" qbuf=", buffers.query);
        line.number(" qbuf-free=", buffers.query_free);
        line.number(" argv-mem=", buffers.arguments);
        line.number(" multi-mem=", self.queued_bytes());
        line.number(" rbs=", buffers.replies);
        line.number(" rbp=", buffers.replies_peak);
        line.number(" obl=", buffers.replied);
        line.number(" oll=", buffers.pieces);
        line.number(" omem=", buffers.output);
        line.number(" tot-mem=", self.memory());
    }

    fn queued_bytes(&self) -> usize {
        self.queued.map_or(0, |(_, bytes)| bytes)
    }

    /// Memory of the client, in bytes.
    pub fn memory(&self) -> usize {
        let names = self.names.client.len() + self.names.library.len() + self.names.version.len();
        let buffers = self.buffers.input_bytes() + self.buffers.output_bytes();
        let kept = self.queued_bytes() + self.watches.1 + self.subscribed.1;
        size_of::<Session>() + size_of::<Row>() + names + buffers + kept
    }

    /// What counts of it against the memory of all clients: replicas and CLIENT NO-EVICT are
    /// spared.
    pub fn weight(&self) -> Weight {
        let may_go = !self.flags.contains(&b'e') && !self.is_replica();
        Weight { bytes: self.memory(), may_go }
    }
}

/// A line of `field=value`. Thousands of clients may be listed at once: so nothing here goes
/// through the machinery of formats, and what is the same for all is written in one piece.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, name: &str, value: impl itoa::Integer) {
        self.bytes(name, itoa::Buffer::new().format(value).as_bytes());
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.text(name);
        self.0.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Store;

    #[test]
    fn a_line_has_the_fields_of_valkey_in_its_order() {
        let peer = Peer {
            address: "127.0.0.1:48502".into(),
            local: "127.0.0.1:6379".into(),
            descriptor: 9,
            unix: false,
        };
        let mut session = Session::new(6, peer, Millis(1_000), true);
        session.names.client = b"me".to_vec();
        session.resp3 = true;
        session.redirects = true;
        session.reads_replicas = true;
        session.no_touch = true;
        session.no_evict = true;
        session.commands = 132;
        let mut row = Row::new(&session);
        row.traffic = Traffic { received: 5, sent: 7 };
        row.buffers = Buffers {
            query: 1,
            query_free: 2,
            arguments: 3,
            replies: 4,
            replies_peak: 5,
            replied: 6,
            pieces: 7,
            output: 8,
        };
        assert_eq!(row.memory() - Row::new(&session).memory(), 1 + 2 + 3 + 4 + 8);
        assert_eq!(row.weight(), Weight { bytes: row.memory(), may_go: false });
        let mut line = Vec::new();
        row.write(Millis(63_999), &mut line);
        let line = String::from_utf8(line).unwrap();
        let line = line.replace(&format!("tot-mem={}", row.memory()), "tot-mem=1");
        assert_eq!(
            line,
            "id=6 addr=127.0.0.1:48502 laddr=127.0.0.1:6379 fd=9 name=me age=62 idle=62 flags=reT \
             capa=r db=0 sub=0 psub=0 ssub=0 multi=-1 watch=0 qbuf=1 qbuf-free=2 argv-mem=3 \
             multi-mem=0 rbs=4 rbp=5 obl=6 oll=7 omem=8 tot-mem=1 events=r cmd=NULL user=default \
             redir=-1 resp=3 lib-name= lib-ver= tot-net-in=5 tot-net-out=7 tot-cmds=132"
        );
        assert_eq!(row.ip(), "127.0.0.1");
    }

    #[test]
    fn a_silent_client_is_overdue_unless_it_waits_or_monitors() {
        let mut session = Session::new(6, Peer::default(), Millis(1_000), true);
        let mut row = Row::new(&session);
        assert!(!row.is_overdue(Millis(3_999), 2) && row.is_overdue(Millis(4_000), 2));
        row.waits = true;
        assert!(!row.is_overdue(Millis(4_000), 2));
        row.waits = false;
        session.monitors = true;
        row.update(&session, Millis(1_000));
        assert!(!row.is_overdue(Millis(4_000), 2));
    }

    #[test]
    fn what_is_queued_and_watched_is_shown() {
        let mut store = Store::new();
        let mut shown = |line: &str| {
            store.run(line);
            let (row, mut line) = (Row::new(&store.session), Vec::new());
            row.write(Millis(0), &mut line);
            let line = String::from_utf8(line).unwrap();
            let fields = ["flags=", "multi=", "watch="].map(|name| {
                line.split(' ').find(|field| field.starts_with(name)).unwrap().to_owned()
            });
            (fields.join(" "), row.queued_bytes() > 0, row.memory())
        };
        let (fields, _, idle) = shown("PING");
        assert_eq!(fields, "flags=N multi=-1 watch=0");
        let (fields, _, watching) = shown("WATCH a b");
        assert_eq!((&fields[..], watching > idle), ("flags=N multi=0 watch=2", true));
        assert_eq!(shown("MULTI").0, "flags=x multi=0 watch=2");
        let (fields, has_bytes, memory) = shown("GET a");
        assert_eq!((&fields[..], has_bytes), ("flags=x multi=1 watch=2", true));
        assert!(memory > watching + "GET a".len());
        assert_eq!(shown("DISCARD").0, "flags=N multi=-1 watch=0");
        shown("WATCH a");
        assert_eq!(shown("SET a v").0, "flags=d multi=0 watch=1");
    }

    #[test]
    fn what_is_subscribed_to_is_shown_and_excuses_silence() {
        let mut store = Store::new();
        store.run("SUBSCRIBE a b");
        store.run("PSUBSCRIBE a*");
        store.run("SSUBSCRIBE a");
        let (row, mut line) = (Row::new(&store.session), Vec::new());
        row.write(Millis(0), &mut line);
        let line = String::from_utf8(line).unwrap();
        assert!(line.contains(" flags=P ") && line.contains(" sub=2 psub=1 ssub=1 "), "{line}");
        assert!(!row.is_overdue(Millis(i64::MAX), 2) && row.subscribed.1 > 0);
        store.run("RESET");
        let row = Row::new(&store.session);
        assert!(!row.subscribes() && row.subscribed == ([0; 3], 0));
    }

    #[test]
    fn an_update_forgets_what_is_over() {
        let mut session = Session::new(6, Peer::default(), Millis(1_000), true);
        session.monitors = true;
        let mut row = Row::new(&session);
        assert_eq!(row.flags, b"O");
        session.monitors = false;
        row.update(&session, Millis(9_000));
        assert_eq!((&row.flags[..], row.idle_seconds(Millis(10_500))), (&b"N"[..], 1));
    }
}
