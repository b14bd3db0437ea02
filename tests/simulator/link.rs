//! The link of a replica to the node that it follows, step by step, as the shell has it: connect,
//! present oneself, take the snapshot, bring its keys to all shards, and have the stream carried
//! out by a connection of one's own. What each step says and means the core decides. A journal ends
//! ahead of such keys, and begins anew behind them.

use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use troupe::aof::apart::{self, Apart};
use troupe::aof::load::{self, Reader};
use troupe::base::hash::Hasher;
use troupe::keyspace::contents::{Coming, Present};
use troupe::rdb::Rules;
use troupe::replication::{Granted, Handshake, Introduction, Transfer, Turn};
use troupe::shard::arrival::arrival;
use troupe::shard::letter::Letter;
use troupe::snapshot::file::place_of;
use troupe::stream::Policy;

use crate::context::Context;
use crate::disk::Disk;
use crate::journaled::Journaled;
use crate::mirror::Mirror;
use crate::post::{Address, Mail};
use crate::rare::Rare;
use crate::replicas::{FIRST_LINK, request};
use crate::saver::Saver;
use crate::socket::Socket;
use crate::start::DIR;
use crate::thread::{Sockets, Thread};

/// How long a replica waits before it tries again, in microseconds, at most.
const AGAIN_US: u64 = 40_000;

/// How often it says how far it is, in microseconds.
const SAYS_US: u64 = 1_000_000;

/// How often it looks whether the journal has ended, or begun, in microseconds.
const LOOK_US: u64 = 5_000;

/// Bytes on their way that arrive at a time, at most.
const ARRIVING_MAX: usize = 600;

/// Where the snapshot of a full sync stands while it is loaded.
const RECEIVED: &str = "temp-from-primary.rdb";

/// The node that has the link.
pub struct Own<'a> {
    /// Its threads.
    pub threads: &'a mut [Thread],
    /// Its sockets.
    pub sockets: &'a mut Sockets,
    /// Who saves.
    pub saver: &'a mut Saver,
}

/// The node that serves a link.
pub struct Server<'a> {
    /// Its threads.
    pub threads: &'a mut [Thread],
    /// Its sockets.
    pub sockets: &'a mut Sockets,
    /// What else it is made of.
    pub context: &'a mut Context,
}

impl Server<'_> {
    fn wake(&mut self, id: u64) {
        self.threads.iter_mut().for_each(|thread| thread.wake(id));
    }

    fn send(&mut self, id: u64, bytes: &[u8]) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.up.extend(bytes);
        }
        self.wake(id);
    }

    /// Lets go of a link, whatever is under way on it.
    fn let_go(&mut self, id: u64) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.is_reset = true;
        }
        self.wake(id);
    }
}

/// What came of bringing keys to all shards, when that is known.
type Brought = Arc<Mutex<Option<bool>>>;

/// Says that nothing came of it, where nobody else says what.
struct Teller(Brought);

impl Teller {
    fn tell(&self, is_there: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(is_there);
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell(false);
    }
}

/// How far a link is.
enum Stage {
    /// There is none.
    Down,
    /// The replica presents itself, and has read so much of the next line.
    Presents(Handshake, Vec<u8>),
    /// A snapshot is to come, behind which the stream with this id goes on at this offset.
    Expects(String, u64, Vec<u8>),
    /// It comes.
    Receives { id: String, offset: u64, transfer: Transfer, bytes: Vec<u8> },
    /// It is there, and the journal ends.
    Ends { came: Came, is_asked: bool },
    /// Its keys are brought to all shards.
    Brings { came: Came, db: u32, brought: Brought, mirror: Box<Mirror> },
    /// The journal begins anew. The keys are those of the snapshot, or came to nothing.
    Begins { is_new: bool },
    /// The stream comes over the connection with this number.
    Linked { own: u64 },
}

/// A snapshot that has come, behind which the stream with this id goes on at this offset.
struct Came {
    id: String,
    offset: u64,
    bytes: Rc<Vec<u8>>,
}

/// The link.
pub struct Link {
    stage: Stage,
    /// The number of its connection at the server.
    at: u64,
    /// Numbers of connections that were given away.
    given: u64,
    /// When it does something next by itself, in microseconds.
    next_us: u64,
    /// Bytes of the stream that come before it is cut, where that is to be.
    breaks_in: Option<usize>,
    /// The data set is that of the stream where the stream is.
    is_known: bool,
    /// Another node is to be followed, or none, as soon as the stream does not come any more.
    leaves: bool,
    /// What a journal may hold.
    pub journaled: Journaled,
    /// What the replica has to hold, since it has had a snapshot.
    pub mirror: Option<Box<Mirror>>,
    /// Changes with it: what was asked for before has no place in its stream.
    pub generation: u64,
}

impl Link {
    /// No link yet, of the replica with this number.
    pub fn new(number: u32) -> Link {
        Link {
            stage: Stage::Down,
            at: 0,
            given: FIRST_LINK * u64::from(number + 1),
            next_us: 0,
            breaks_in: None,
            is_known: false,
            leaves: false,
            journaled: Journaled::default(),
            mirror: None,
            generation: 0,
        }
    }

    /// No link yet, of a node that was a primary: its data set is that of its stream where its
    /// stream is, if it had one.
    pub fn of_primary(number: u32, is_known: bool) -> Link {
        Link { is_known, ..Link::new(number) }
    }

    /// Another node is to be followed, or none.
    pub fn leave(&mut self, server: &mut Server<'_>, context: &mut Context) {
        (self.leaves, self.next_us) = (true, context.now_us);
        if self.is_linked() {
            self.break_off(server, context);
        }
    }

    /// The stream does not come any more, as was wanted.
    pub fn has_left(&self) -> bool {
        self.leaves && matches!(self.stage, Stage::Down)
    }

    /// A node is followed from here on, which may be another one.
    pub fn follow(&mut self, context: &Context) {
        (self.leaves, self.next_us) = (false, context.now_us);
    }

    /// Whether the data set is that of the stream where the stream is.
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// Whether the stream comes.
    pub fn is_linked(&self) -> bool {
        matches!(self.stage, Stage::Linked { .. })
    }

    /// When it does something, in microseconds.
    pub fn wake_us(&self, sockets: &Sockets) -> u64 {
        let has_news = match (&self.stage, sockets.get(&self.at)) {
            (Stage::Down, _) if self.leaves => return u64::MAX,
            (Stage::Down | Stage::Ends { .. } | Stage::Begins { .. }, _) => false,
            (Stage::Brings { brought, .. }, _) => {
                brought.lock().unwrap_or_else(PoisonError::into_inner).is_some()
            }
            (_, None) => true,
            (_, Some(socket)) => !socket.down.is_empty() || socket.is_down_ended,
        };
        if has_news { 0 } else { self.next_us }
    }

    /// It is cut: what is on its way is lost. Or it is cut later, behind any byte of the stream,
    /// and so in the midst of a transaction as well.
    pub fn cut(&mut self, server: &mut Server<'_>, context: &mut Context) {
        match &self.stage {
            Stage::Down | Stage::Ends { .. } | Stage::Brings { .. } | Stage::Begins { .. } => {
                return;
            }
            Stage::Linked { .. } if context.rng.bool() => {
                self.breaks_in.get_or_insert(context.rng.usize(..ARRIVING_MAX));
                return;
            }
            Stage::Linked { .. } => context.met(Rare::LinkCut),
            _ => context.met(Rare::SyncCut),
        }
        self.break_off(server, context);
    }

    fn break_off(&mut self, server: &mut Server<'_>, context: &mut Context) {
        context.note(format_args!("the link is cut"));
        server.let_go(self.at);
        server.sockets.entry(self.at).and_modify(|socket| {
            socket.down.clear();
            socket.is_down_ended = true;
        });
    }

    /// How far the journal is: under `always` what is carried out has waited for it.
    fn note_reached(&mut self, context: &Context) {
        let is_lost = context.upstream.as_ref().is_none_or(|upstream| upstream.lost.is_some());
        if self.is_known && is_lost {
            self.journaled.is_unsound();
        } else if self.is_known && context.plan.policy == Policy::Always {
            self.journaled.reached(context.replicas.place().1);
        }
    }

    /// The replica is gone.
    pub fn die(&mut self, server: &mut Server<'_>, context: &Context) {
        self.note_reached(context);
        server.let_go(self.at);
        (self.stage, self.is_known, self.mirror) = (Stage::Down, false, None);
        self.generation += 1;
    }

    /// The journal has the data set of the mirror, and said where in the stream that is.
    pub fn go_on_from(&mut self, mirror: Box<Mirror>) {
        (self.is_known, self.mirror) = (true, Some(mirror));
    }

    /// Whether the data set is that of the stream where the stream is, and was not lost.
    pub fn has_data_of_stream(&self, context: &Context) -> bool {
        let is_lost = context.upstream.as_ref().is_none_or(|upstream| upstream.lost.is_some());
        self.mirror.is_some() && !is_lost
    }

    /// Does one thing.
    pub fn act(&mut self, server: &mut Server<'_>, own: Own<'_>, context: &mut Context) {
        self.next_us = context.now_us + SAYS_US;
        let Own { threads, sockets, saver } = own;
        match std::mem::replace(&mut self.stage, Stage::Down) {
            Stage::Down if self.leaves => {}
            Stage::Presents(..) | Stage::Expects(..) | Stage::Receives { .. } if self.leaves => {
                self.give_up("another one is to be followed", server, context);
            }
            Stage::Down => self.connect(server, context),
            Stage::Presents(handshake, line) => self.present(handshake, line, server, context),
            Stage::Expects(id, offset, line) => self.expect(id, offset, line, server, context),
            Stage::Receives { id, offset, transfer, bytes } => {
                self.receive((id, offset), transfer, bytes, server, context);
            }
            Stage::Ends { came, is_asked } => {
                self.end_journal(came, is_asked, (server, saver), context)
            }
            Stage::Brings { came, db, brought, mirror } => {
                let is_there = *brought.lock().unwrap_or_else(PoisonError::into_inner);
                match is_there {
                    None => {
                        // The primary hears that somebody is there.
                        server.send(self.at, b"\n");
                        self.stage = Stage::Brings { came, db, brought, mirror };
                    }
                    Some(false) => {
                        self.journaled.is_as_before();
                        self.stage = Stage::Begins { is_new: false };
                        self.next_us = context.now_us;
                    }
                    Some(true) => {
                        context.replicas.follow_from(came.id, came.offset);
                        context.upstream.iter_mut().for_each(|upstream| upstream.db = db);
                        self.mirror = Some(mirror);
                        self.generation += 1;
                        self.stage = Stage::Begins { is_new: true };
                        self.next_us = context.now_us;
                    }
                }
            }
            Stage::Begins { is_new } => {
                if saver.has_journal() == saver.wants_journal() {
                    self.journaled.is_new();
                    if !is_new {
                        return self.give_up("no keys come", server, context);
                    }
                    self.is_known = true;
                    context.met(Rare::FullSync);
                    return self.link(server, (threads, sockets), context);
                }
                if saver.is_free() {
                    saver.begin_journal(context);
                }
                server.send(self.at, b"\n");
                self.stage = Stage::Begins { is_new };
                self.next_us = context.now_us + LOOK_US;
            }
            Stage::Linked { own } => self.carry(own, server, (threads, sockets), context),
        }
    }

    /// The journal has none of the keys that come: it ends ahead of them.
    fn end_journal(
        &mut self,
        came: Came,
        is_asked: bool,
        (server, saver): (&mut Server<'_>, &mut Saver),
        context: &mut Context,
    ) {
        if !saver.has_journal() {
            return self.bring(came, context);
        }
        if saver.is_free() {
            if is_asked {
                return self.give_up("the journal stays on", server, context);
            }
            saver.end_journal(context);
        }
        server.send(self.at, b"\n");
        let is_asked = is_asked || saver.ends_journal();
        self.stage = Stage::Ends { came, is_asked };
        self.next_us = context.now_us + LOOK_US;
    }

    /// The data set is that of the snapshot from here on.
    fn bring(&mut self, came: Came, context: &mut Context) {
        match load_apart(&came.bytes, context).and_then(|first| {
            let second = load_apart(&came.bytes, context)?;
            Ok((first, second))
        }) {
            Err(error) => context.fail(format!("the snapshot is not loaded: {error}")),
            Ok((apart, again)) => {
                let db = place_of(&came.bytes).db.unwrap_or(0);
                context.upstream.iter_mut().for_each(|upstream| upstream.lost = None);
                let brought = bring(apart, context);
                let settings = context.settings.clone();
                let mirror = Box::new(Mirror::new(settings, again, came.offset, hasher()));
                self.journaled.comes(&came.id, came.offset, came.bytes.clone());
                self.stage = Stage::Brings { came, db, brought, mirror };
            }
        }
    }

    fn give_up(&mut self, why: &str, server: &mut Server<'_>, context: &mut Context) {
        context.note(format_args!("the link is given up: {why}"));
        server.let_go(self.at);
        self.stage = Stage::Down;
        self.next_us = context.now_us + context.rng.u64(..AGAIN_US);
    }

    fn connect(&mut self, server: &mut Server<'_>, context: &mut Context) {
        self.given += 1;
        self.at = self.given;
        let socket = Socket { room: context.rng.usize(64..4_096), ..Socket::default() };
        server.sockets.insert(self.at, socket);
        let thread = context.rng.usize(..server.threads.len());
        server.threads[thread].accept(self.at, server.context);
        let about = Introduction {
            has: Some(context.replicas.place()).filter(|_| self.is_known),
            ..Introduction::default()
        };
        context.note(format_args!("it presents itself: {:?}", about.has));
        let (handshake, first) = Handshake::begin(about);
        server.send(self.at, &first);
        self.stage = Stage::Presents(handshake, Vec::new());
    }

    /// The next byte, where it has arrived. None is left where the server has ended the link.
    fn next_byte(&self, server: &mut Server<'_>) -> Result<Option<u8>, &'static str> {
        let socket = server.sockets.get_mut(&self.at).ok_or("the server is gone")?;
        match socket.down.pop_front() {
            None if socket.is_down_ended => Err("the server has closed it"),
            byte => Ok(byte),
        }
    }

    /// Reads on in a line. True when it is whole.
    fn read_line(&self, line: &mut Vec<u8>, server: &mut Server<'_>) -> Result<bool, &'static str> {
        while let Some(byte) = self.next_byte(server)? {
            match byte {
                b'\n' => {
                    line.pop_if(|last| *last == b'\r');
                    server.wake(self.at);
                    return Ok(true);
                }
                byte => line.push(byte),
            }
        }
        server.wake(self.at);
        Ok(false)
    }

    fn present(
        &mut self,
        mut handshake: Handshake,
        mut line: Vec<u8>,
        server: &mut Server<'_>,
        context: &mut Context,
    ) {
        match self.read_line(&mut line, server) {
            Err(why) => return self.give_up(why, server, context),
            Ok(false) => return self.stage = Stage::Presents(handshake, line),
            Ok(true) => {}
        }
        match handshake.hear(&line) {
            Err(refused) => return self.give_up(&refused.to_string(), server, context),
            Ok(Turn::Wait) => {}
            Ok(Turn::Send(request)) => server.send(self.at, &request),
            Ok(Turn::Take(granted)) => return self.take(granted, context),
        }
        self.stage = Stage::Presents(handshake, Vec::new());
    }

    fn take(&mut self, granted: Granted, context: &mut Context) {
        context.note(format_args!("it is granted {granted:?}"));
        match granted {
            Granted::All { id, offset } => self.stage = Stage::Expects(id, offset, Vec::new()),
            Granted::Rest { id } => {
                if let Some(id) = id {
                    if id != context.replicas.place().0 {
                        context.met(Rare::WentOnRenamed);
                    }
                    self.journaled.is_renamed(&id);
                    context.replicas.rename(id);
                }
                context.met(Rare::PartialSync);
                // The connection is made in the next step.
                self.stage = Stage::Linked { own: 0 };
            }
        }
        self.next_us = 0;
    }

    fn expect(
        &mut self,
        id: String,
        offset: u64,
        mut line: Vec<u8>,
        server: &mut Server<'_>,
        context: &mut Context,
    ) {
        match self.read_line(&mut line, server) {
            Err(why) => return self.give_up(why, server, context),
            Ok(false) => return self.stage = Stage::Expects(id, offset, line),
            Ok(true) => {}
        }
        match Transfer::announced(&line) {
            Err(wrong) => context.fail(wrong.to_string()),
            Ok(None) => self.stage = Stage::Expects(id, offset, Vec::new()),
            Ok(Some(transfer)) => {
                self.stage = Stage::Receives { id, offset, transfer, bytes: Vec::new() };
            }
        }
    }

    fn receive(
        &mut self,
        (id, offset): (String, u64),
        mut transfer: Transfer,
        mut bytes: Vec<u8>,
        server: &mut Server<'_>,
        context: &mut Context,
    ) {
        let most = transfer.wanted(1 + context.rng.usize(..ARRIVING_MAX));
        let mut block = Vec::new();
        while block.len() < most {
            match self.next_byte(server) {
                Ok(Some(byte)) => block.push(byte),
                Ok(None) => break,
                Err(why) if block.is_empty() => return self.give_up(why, server, context),
                Err(_) => break,
            }
        }
        server.wake(self.at);
        bytes.extend(transfer.take(block));
        if !transfer.is_whole() {
            self.stage = Stage::Receives { id, offset, transfer, bytes };
            return;
        }
        self.is_known = false;
        self.mirror = None;
        self.generation += 1;
        self.note_reached(context);
        (self.is_known, self.mirror) = (false, None);
        self.generation += 1;
        let came = Came { id, offset, bytes: Rc::new(bytes) };
        self.stage = Stage::Ends { came, is_asked: false };
        self.next_us = context.now_us;
    }

    /// The stream comes over a connection from here on.
    fn link(
        &mut self,
        server: &mut Server<'_>,
        (threads, sockets): (&mut [Thread], &mut Sockets),
        context: &mut Context,
    ) {
        if self.leaves {
            return self.give_up("another one is to be followed", server, context);
        }
        self.given += 1;
        let own = self.given;
        sockets.insert(own, Socket { room: 4_096, ..Socket::default() });
        let Some(upstream) = &mut context.upstream else { return };
        upstream.is_there = true;
        let db = upstream.db;
        let thread = context.rng.usize(..threads.len());
        threads[thread].accept_primary(own, db, context);
        tell_linked(true, context);
        context.note(format_args!("linked, from {:?} on", context.replicas.place()));
        self.breaks_in = None;
        self.stage = Stage::Linked { own };
        self.next_us = context.now_us;
    }

    /// Bytes arrive, and the server hears how far the replica is.
    fn carry(
        &mut self,
        own: u64,
        server: &mut Server<'_>,
        (threads, sockets): (&mut [Thread], &mut Sockets),
        context: &mut Context,
    ) {
        if own == 0 {
            return self.link(server, (threads, sockets), context);
        }
        let Some(upstream) = &mut context.upstream else { return };
        if !upstream.is_there {
            let lost = upstream.lost.take();
            sockets.remove(&own);
            if let Some(what) = lost {
                context.note(format_args!("all is synchronized anew: {what}"));
                (self.is_known, self.mirror) = (false, None);
                self.journaled.is_unsound();
            }
            tell_linked(false, context);
            return self.give_up("its connection is gone", server, context);
        }
        let is_asked = std::mem::take(&mut upstream.is_asked);
        let is_lost = upstream.lost.is_some();
        let Some(socket) = sockets.get_mut(&own) else { return };
        let most = 1 + context.rng.usize(..ARRIVING_MAX);
        match server.sockets.get_mut(&self.at).filter(|_| !is_lost) {
            None => socket.is_up_ended = true,
            Some(from) => {
                let left = self.breaks_in.unwrap_or(usize::MAX);
                let count = most.min(from.down.len()).min(left);
                socket.up.extend(from.down.drain(..count));
                self.breaks_in = self.breaks_in.map(|left| left - count);
                if self.breaks_in == Some(0) {
                    context.met(Rare::LinkBroken);
                    self.breaks_in = None;
                    self.break_off(server, context);
                    socket.is_up_ended = true;
                } else {
                    socket.is_up_ended |= from.is_down_ended && from.down.is_empty();
                }
            }
        }
        if socket.is_up_ended {
            server.let_go(self.at);
        }
        threads.iter_mut().for_each(|thread| thread.wake(own));
        if is_asked || context.one_in(8) {
            let offset = context.replicas.place().1.to_string();
            server.send(self.at, &request(&[b"REPLCONF", b"ACK", offset.as_bytes()]));
        } else {
            server.wake(self.at);
        }
        self.stage = Stage::Linked { own };
    }
}

fn tell_linked(is_linked: bool, context: &mut Context) {
    for shard in 0..context.plan.shards {
        let letter = Mail::Letter(Letter::Linked(is_linked));
        context.send(Address::Saver, Address::Thread(shard), letter);
    }
}

/// How all shards of all nodes hash keys.
pub fn hasher() -> Hasher {
    Hasher::with_seeds([1, 2, 3, 4])
}

/// Loads a snapshot by a shard that nobody knows, from a disk that does not fail.
pub fn load_apart(bytes: &[u8], context: &Context) -> Result<Apart, String> {
    let (disk, path) = (Disk::with(Path::new(DIR)), Path::new(DIR).join(RECEIVED));
    disk.put(&path, bytes);
    let files = load::find_snapshot(&disk, &path).map_err(|error| error.to_string())?;
    let rules = Rules::of(&context.settings, None);
    let files = files.into_iter().collect();
    let mut reader = Reader::new(Box::new(disk), files, None, rules);
    let (settings, now) = (context.settings.clone(), context.now());
    let apart = apart::load(settings, hasher(), &mut reader, now, &mut |_| ());
    apart.map_err(|error| error.to_string())
}

/// Brings keys to all shards.
fn bring(apart: Apart, context: &mut Context) -> Brought {
    let Apart { contents, libraries, .. } = apart;
    let brought = Brought::default();
    let teller = Teller(brought.clone());
    let told = Box::new(move |outcome: Result<(), _>| teller.tell(outcome.is_ok()));
    let coming = Coming { contents, present: Present::Goes, told };
    let batch = arrival(coming, libraries, context.now());
    let to = Address::Thread(context.rng.u16(..context.plan.shards));
    context.send(Address::Saver, to, Mail::Letter(Letter::Visit(batch)));
    brought
}
