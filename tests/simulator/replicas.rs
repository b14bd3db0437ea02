//! What a node is to its replicas: the core's decisions about its stream and who gets what of it,
//! and what its shell does for it. Every byte of the stream is noted in `checks/streams.rs`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use fastrand::Rng;
use troupe::commands::action::{Action, SyncRequest};
use troupe::replication::{Arrival, Fed, FullSync, Limits, Primary, Pulled, Pushed, Tick};
use troupe::resp::encode;
use troupe::session::Session;
use troupe::settings::Settings;

use crate::checks::streams::Streams;

/// The number of the first client that is the link of a replica, or the link to a primary.
pub const FIRST_LINK: u64 = 1 << 32;

/// The stream of a node, and who takes from it.
#[derive(Debug)]
pub struct Replicas {
    primary: Primary,
    streams: Rc<RefCell<Streams>>,
    limits: Limits,
    rng: Rng,
    /// The stream had another id up to this offset: what the core is held against.
    second: Option<(String, u64)>,
    /// There may be something for replicas.
    has_news: bool,
    /// Somebody has to look after them.
    needs_care: bool,
    /// What was put into the stream is not what was fed.
    pub broken: Option<String>,
}

impl Replicas {
    /// Those of a process that starts.
    pub fn new(streams: Rc<RefCell<Streams>>, settings: &Settings, mut rng: Rng) -> Replicas {
        let id = digits(&mut rng);
        streams.borrow_mut().begin(&id, 0);
        Replicas {
            primary: Primary::new(id),
            streams,
            limits: Limits::of(settings),
            rng,
            second: None,
            has_news: false,
            needs_care: false,
            broken: None,
        }
    }

    /// Those of the next process of the node, which knows nothing of this one.
    pub fn restarted(&mut self, settings: &Settings) -> Replicas {
        Replicas::new(self.streams.clone(), settings, self.rng.fork())
    }

    /// All streams of the run.
    pub fn streams(&self) -> &Rc<RefCell<Streams>> {
        &self.streams
    }

    /// What a client asks for that is a replica.
    pub fn perform(&mut self, action: &Action, session: &Session, now_ms: u64) {
        match action {
            Action::Replicate(request) => {
                let arrival = Arrival {
                    client: session.id,
                    address: String::new(),
                    presented: session.presented.as_deref().cloned().unwrap_or_default(),
                    request: request.clone(),
                    stub: None,
                };
                self.attach(arrival, now_ms);
                (self.has_news, self.needs_care) = (true, true);
            }
            Action::Acknowledge { applied, journaled } => {
                self.primary.acknowledge(session.id, *applied, *journaled, now_ms);
                self.has_news = true;
            }
            _ => {}
        }
    }

    /// A replica comes: it goes on where its stream is that of the node, and gets a snapshot where
    /// that is not so.
    fn attach(&mut self, arrival: Arrival, now_ms: u64) {
        let before = self.primary.figures(&self.limits, now_ms);
        let may_go_on = match &arrival.request {
            SyncRequest::All => false,
            SyncRequest::From { id, number } => {
                let (id, offset) = (String::from_utf8_lossy(id), number.saturating_sub(1));
                let is_here = |end: u64| (before.first as i64..=end as i64).contains(&offset);
                let was = |(was, end): &(String, u64)| *was == id && is_here(*end);
                let is = before.id == id && is_here(before.offset);
                before.is_on && (is || self.second.as_ref().is_some_and(was))
            }
        };
        let asked = format!("{:?}", arrival.request);
        self.primary.attach(arrival, now_ms);
        let after = self.primary.figures(&self.limits, now_ms);
        if (after.partial_syncs > before.partial_syncs) != may_go_on {
            let (place, second) = (self.place(), &self.second);
            self.broken = Some(format!(
                "{asked} may go on: {may_go_on}, at {place:?}, {second:?} before; it is not so"
            ));
        }
    }

    /// A client has gone.
    pub fn forget(&mut self, client: u64, now_ms: u64) {
        if self.primary.is_replica(client) {
            self.primary.forget(client, now_ms);
            self.needs_care = true;
        }
    }

    /// Copies what a replica gets next.
    pub fn pull(&mut self, client: u64, most: usize, out: &mut Vec<u8>, now_ms: u64) -> Pulled {
        self.primary.pull(client, most, out, now_ms)
    }

    /// A replica has said something.
    pub fn hear(&mut self, client: u64, now_ms: u64) {
        self.primary.hear(client, now_ms);
    }

    /// Whether a replica is to be closed.
    pub fn is_cut(&self, client: u64) -> bool {
        self.primary.is_cut(client)
    }

    /// What comes next in the stream.
    pub fn feed(&mut self, fed: &VecDeque<Fed>, now_ms: u64) {
        for fed in fed {
            let (id, before) = self.place();
            self.primary.feed(fed);
            let bytes = match fed {
                Fed::Bytes(bytes) => bytes.to_vec(),
                Fed::Ping => request(&[b"PING"]),
                Fed::Moment(_) | Fed::Ask(_) => Vec::new(),
            };
            let grown = self.place().1 - before;
            if grown != bytes.len() as u64 {
                self.broken = Some(format!("{grown} bytes came of {fed:?}"));
            }
            self.streams.borrow_mut().append(&id, &bytes);
        }
        self.grown(now_ms);
    }

    /// More of the primary's stream.
    pub fn pass_on(&mut self, bytes: &[u8], now_ms: u64) {
        let (id, offset) = self.place();
        if let Err(broken) = self.streams.borrow().check(&id, offset, bytes) {
            self.broken = Some(broken);
        }
        self.primary.append_as_it_came(bytes);
        self.grown(now_ms);
    }

    fn grown(&mut self, now_ms: u64) {
        self.primary.trim(&self.limits);
        for client in self.primary.overdue(&self.limits, now_ms) {
            self.primary.cut(client);
        }
        self.has_news = true;
    }

    fn cut(&mut self, clients: Vec<u64>) {
        clients.into_iter().for_each(|client| self.primary.cut(client));
        (self.has_news, self.needs_care) = (true, true);
    }

    /// All replicas have to come anew.
    pub fn cut_all(&mut self) {
        self.cut(self.primary.clients());
    }

    /// The stream is recorded from here on.
    pub fn begin(&mut self, now_ms: u64) {
        self.primary.begin(now_ms);
        self.needs_care = true;
    }

    /// The stream has a gap, or is not recorded any more.
    pub fn end(&mut self) {
        let id = digits(&mut self.rng);
        let (before, _) = self.place();
        let cut = self.primary.end(id);
        let (id, offset) = self.place();
        if id != before {
            self.streams.borrow_mut().begin(&id, offset);
            self.second = None;
        }
        self.cut(cut);
    }

    /// The stream is the primary's from here on.
    pub fn follow(&mut self) {
        let cut = self.primary.follow();
        self.cut(cut);
    }

    /// The stream is the one with this id, from this offset on.
    pub fn follow_from(&mut self, id: String, offset: u64) {
        let cut = self.primary.follow_from(id, offset);
        self.second = None;
        self.cut(cut);
    }

    /// The stream has this id from here on.
    pub fn rename(&mut self, id: String) {
        let (before, offset) = self.place();
        if let Err(broken) = self.streams.borrow().check_both(&id, &before, offset) {
            self.broken = Some(broken);
        }
        if id != before {
            self.second = Some((before, offset));
        }
        let cut = self.primary.rename(id);
        self.cut(cut);
    }

    /// The stream is the node's own from here on.
    pub fn lead(&mut self, now_ms: u64) {
        let ((before, offset), id) = (self.place(), digits(&mut self.rng));
        self.streams.borrow_mut().go_on(&id, &before, offset);
        self.second = Some((before, offset));
        let cut = self.primary.lead(id, now_ms);
        self.cut(cut);
    }

    /// The moment of a snapshot is here.
    pub fn take_moment(&mut self, number: u32) {
        self.primary.take_moment(number);
        self.has_news = true;
    }

    /// A snapshot is made for those that wait.
    pub fn begin_sync(&mut self, number: u32, settings: &Settings) -> Option<FullSync> {
        let mark = digits(&mut self.rng);
        self.primary.begin_sync(number, mark, settings)
    }

    /// Some bytes of it.
    pub fn push(&mut self, number: u32, bytes: Vec<u8>) -> Pushed {
        self.has_news = true;
        self.primary.push(number, &Bytes::from(bytes))
    }

    /// It is a file of this length.
    pub fn file_is_there(&mut self, number: u32, length: u64) {
        self.primary.file_is_there(number, length);
    }

    /// All of it has been pushed.
    pub fn sync_is_whole(&mut self, number: u32) {
        self.primary.sync_is_whole(number);
        self.has_news = true;
    }

    /// It never will be whole.
    pub fn sync_failed(&mut self, number: u32) {
        let cut = self.primary.sync_failed(number);
        self.cut(cut);
    }

    /// Whether it is time for one.
    pub fn is_sync_due(&self, settings: &Settings, now_ms: u64) -> bool {
        self.primary.is_sync_due(settings, now_ms)
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) -> Tick {
        let tick = self.primary.tick(&self.limits, false, now_ms);
        self.cut(tick.cut.iter().map(|(client, _)| *client).collect());
        self.needs_care = false;
        tick
    }

    /// Whether there are any.
    pub fn are_any(&self) -> bool {
        self.primary.has_replicas()
    }

    /// Whether the stream is recorded.
    pub fn is_on(&self) -> bool {
        self.primary.is_on()
    }

    /// Whether the stream is another node's.
    pub fn follows(&self) -> bool {
        self.primary.follows()
    }

    /// Whether somebody has to look after them at once.
    pub fn need_care(&self) -> bool {
        self.needs_care
    }

    /// Whether there may be something for them. It is told once.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// The id of the stream, and the offset behind its last byte.
    pub fn place(&self) -> (String, u64) {
        let (id, offset) = self.primary.place();
        (id.to_owned(), offset)
    }
}

/// 40 hexadecimal digits.
fn digits(rng: &mut Rng) -> String {
    (0..40).filter_map(|_| char::from_digit(rng.u32(0..16), 16)).collect()
}

/// A request of these words.
pub fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut request = Vec::new();
    encode::command(&mut request, words);
    request
}
