//! A primary: its stream, its replicas, and who gets what next.
//!
//! Invariants:
//! - the bytes that a replica gets of the stream follow each other without a gap, from the moment
//!   of its snapshot on, or from where it says that it stopped;
//! - whoever asks for an offset under an id gets it only where the backlog has all from there on;
//! - the id is a new one whenever somebody could know bytes under the old one that are no part of
//!   the stream any more;
//! - a replica that gets no further is cut off, by `repl-timeout` or by the limit of its output.
//!
//! Bounded: the backlog by its size and by those limits, a snapshot on its way by the slowest
//! replica (`bulk`), what goes ahead by a line or two.

mod relay;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::mem::take;

use bytes::Bytes;

use super::backlog::Backlog;
use super::bulk::Bulk;
use super::figures::{Figures, ReplicaRow};
use super::limits::Limits;
use super::replica::{Arrival, Replica, State};
use super::tap::Fed;
use crate::commands::action::SyncRequest;
use crate::rdb::Dialect;
use crate::resp::encode;
use crate::settings::Settings;

/// Time between two signs of life to a replica that waits for a snapshot, in milliseconds.
const KEEPALIVE_MS: u64 = 1_000;

/// What a full sync needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullSync {
    /// The number of its snapshot.
    pub number: u32,
    /// It is sent while it is made; else it becomes a file first.
    pub is_streamed: bool,
    /// The format of deadlines of fields.
    pub timed: Dialect,
}

/// What a replica gets next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// Something.
    Some,
    /// Nothing for now.
    Nothing,
    /// Nothing any more: its connection closes.
    End,
}

/// What became of a part of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is on its way.
    Taken,
    /// There is no room for it now.
    Full,
    /// Nobody wants it any more.
    Unwanted,
}

/// Why a replica is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// Too much is unsent, or too much for too long.
    #[error("it lags more than client-output-buffer-limit allows")]
    Lags,
    /// It says nothing any more.
    #[error("it has been silent for longer than repl-timeout")]
    Silent,
}

/// What time has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Clients to be cut off, and why.
    pub cut: Vec<(u64, Cut)>,
    /// A sign of life is due.
    pub is_ping_due: bool,
    /// The stream is not recorded any more.
    pub ends: bool,
    /// Bytes that are kept only for replicas that lag.
    pub lagging: u64,
}

/// A full sync under way.
#[derive(Debug)]
struct Sync {
    about: FullSync,
    /// The offset of its moment, when that has come.
    offset: Option<u64>,
    /// What ends a snapshot whose length nobody knows.
    mark: String,
    bulk: Bulk,
}

/// A primary.
#[derive(Debug)]
pub struct Primary {
    id: String,
    second: Option<(String, u64)>,
    is_on: bool,
    /// The stream is another server's, byte for byte.
    follows: bool,
    backlog: Backlog,
    replicas: Vec<Replica>,
    syncs: Vec<Sync>,
    /// Clients that wait for replicas, and up to where.
    targets: BTreeMap<u64, u64>,
    /// The last question how far replicas have come: where it begins and ends.
    asked: Option<(u64, u64)>,
    /// Since when there is no replica.
    alone_since_ms: u64,
    pinged_ms: u64,
    full_syncs: u64,
    partial_syncs: u64,
    refused_syncs: u64,
}

impl Primary {
    /// One without replicas, whose stream has this id: 40 digits.
    pub fn new(id: String) -> Primary {
        Primary {
            id,
            second: None,
            is_on: false,
            follows: false,
            backlog: Backlog::at(0),
            replicas: Vec::new(),
            syncs: Vec::new(),
            targets: BTreeMap::new(),
            asked: None,
            alone_since_ms: 0,
            pinged_ms: 0,
            full_syncs: 0,
            partial_syncs: 0,
            refused_syncs: 0,
        }
    }

    /// The data set is that of another run, whose stream had this id and has ended here: who knows
    /// that may go on.
    pub fn go_on_from(&mut self, id: String, offset: u64, now_ms: u64) {
        self.second = Some((id, offset + 1));
        self.backlog = Backlog::at(offset);
        (self.is_on, self.alone_since_ms) = (true, now_ms);
    }

    /// The clients that are replicas.
    pub fn clients(&self) -> Vec<u64> {
        self.replicas.iter().map(|replica| replica.client).collect()
    }

    /// The stream is recorded from here on.
    pub fn begin(&mut self, now_ms: u64) {
        self.is_on = true;
        (self.alone_since_ms, self.pinged_ms) = (now_ms, now_ms);
        let mut replicas = take(&mut self.replicas);
        replicas.iter_mut().for_each(|replica| self.send_stub(replica));
        self.replicas = replicas;
    }

    /// The stream has a gap, or is not recorded any more: nobody can go on from what it was before.
    /// Returns the clients that are replicas. One that is another server's goes on.
    pub fn end(&mut self, id: String) -> Vec<u64> {
        if self.follows {
            return Vec::new();
        }
        let offset = self.backlog.end();
        (self.id, self.second) = (id, None);
        (self.is_on, self.backlog) = (false, Backlog::at(offset));
        self.asked = None;
        self.syncs.clear();
        self.clients()
    }

    /// Whether the stream is recorded.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether there is any replica.
    pub fn has_replicas(&self) -> bool {
        !self.replicas.is_empty()
    }

    /// Whether a client is a replica.
    pub fn is_replica(&self, client: u64) -> bool {
        self.replicas.iter().any(|replica| replica.client == client)
    }

    /// A replica comes.
    pub fn attach(&mut self, arrival: Arrival, now_ms: u64) {
        if self.is_replica(arrival.client) {
            return;
        }
        let request = arrival.request.clone();
        let mut replica = Replica::new(arrival, now_ms);
        let goes_on = match &request {
            SyncRequest::All => None,
            SyncRequest::From { id, number } => {
                let from = self.goes_on(id, *number);
                self.partial_syncs += u64::from(from.is_some());
                self.refused_syncs += u64::from(from.is_none() && id != b"?");
                from
            }
        };
        if let Some(offset) = goes_on {
            let line = match replica.presented.takes_new_ids {
                true => format!("+CONTINUE {}\r\n", self.id),
                false => "+CONTINUE\r\n".to_owned(),
            };
            replica.head = line.into_bytes();
            (replica.position, replica.state) = (Some(offset), State::Online);
            (replica.acked, replica.journaled) = (offset, 0);
        } else {
            self.full_syncs += 1;
            if self.is_on {
                self.send_stub(&mut replica);
            }
        }
        self.replicas.push(replica);
    }

    /// The offset from which on somebody goes on who knows the stream under this id, and lacks the
    /// byte with this number. None where that cannot be.
    fn goes_on(&self, id: &[u8], number: i64) -> Option<u64> {
        let offset = u64::try_from(number).ok()?.checked_sub(1)?;
        let is_id = |known: &str| known.as_bytes().eq_ignore_ascii_case(id);
        let was_id = |(known, first): &(String, u64)| is_id(known) && offset < *first;
        let is_known = is_id(&self.id) || self.second.as_ref().is_some_and(was_id);
        (self.is_on && is_known && self.backlog.reaches(offset)).then_some(offset)
    }

    /// A replica that wants no keys gets a snapshot without any, of this moment.
    fn send_stub(&self, replica: &mut Replica) {
        let Some(stub) = replica.stub.take() else { return };
        let offset = self.backlog.end();
        replica.head = self.full_sync_line(replica, offset);
        replica.head.extend(format!("${}\r\n", stub.len()).into_bytes());
        replica.head.extend(stub);
        replica.position = Some(offset);
        replica.state = if replica.presented.is_rdb_only { State::Done } else { State::Online };
    }

    fn full_sync_line(&self, replica: &Replica, offset: u64) -> Vec<u8> {
        match replica.is_old {
            true => Vec::new(),
            false => format!("+FULLRESYNC {} {offset}\r\n", self.id).into_bytes(),
        }
    }

    /// Replicas wait for a snapshot, and it is time to make one.
    pub fn is_sync_due(&self, settings: &Settings, now_ms: u64) -> bool {
        let mut waiting = self.waiting().peekable();
        let Some(first) = waiting.peek() else { return false };
        let waited_ms = now_ms.saturating_sub(first.came_ms);
        let most = settings.replication.repl_diskless_sync_max_replicas as usize;
        let is_streamed = settings.replication.repl_diskless_sync;
        self.is_on
            && (!is_streamed
                || waited_ms >= u64::from(settings.replication.repl_diskless_sync_delay) * 1_000
                || most > 0 && waiting.count() >= most)
    }

    /// Those that wait for a snapshot.
    fn waiting(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| replica.state == State::Waits)
    }

    /// A snapshot with this number is made for those that wait: all that can load what the first of
    /// them can. `mark` ends it, 40 characters that nobody can foresee. Returns what it is to be.
    pub fn begin_sync(
        &mut self,
        number: u32,
        mark: String,
        settings: &Settings,
    ) -> Option<FullSync> {
        let timed = self.waiting().next()?.dialect();
        let is_meant =
            |replica: &Replica| replica.state == State::Waits && replica.dialect() == timed;
        let take_mark = |replica: &Replica| replica.presented.takes_mark;
        let mut meant = self.replicas.iter().filter(|replica| is_meant(replica));
        let is_streamed = settings.replication.repl_diskless_sync && meant.all(take_mark);
        let about = FullSync { number, is_streamed, timed };
        for replica in self.replicas.iter_mut().filter(|replica| is_meant(replica)) {
            replica.state = State::Prepares(number);
        }
        self.syncs.push(Sync { about, offset: None, mark, bulk: Bulk::default() });
        Some(about)
    }

    /// The next thing in the stream.
    pub fn feed(&mut self, fed: &Fed) {
        match fed {
            Fed::Bytes(bytes) => self.backlog.append(bytes),
            Fed::Moment(number) => self.take_moment(*number),
            Fed::Ping => self.append(&[b"PING"]),
            Fed::Ask(client) => self.ask(*client),
        }
    }

    fn append(&mut self, words: &[&[u8]]) {
        let mut record = Vec::new();
        encode::command(&mut record, words);
        self.backlog.append(&record);
    }

    /// Asks replicas how far they have come, unless that was the last thing that they have heard.
    fn ask(&mut self, client: u64) {
        let end = self.backlog.end();
        let begin = match self.asked {
            Some((begin, asked)) if asked == end => begin,
            // It is not for this server to put a question in: they say it every second anyway.
            _ if self.follows => end,
            _ => {
                self.append(&[b"REPLCONF", b"GETACK", b"*"]);
                self.asked = Some((end, self.backlog.end()));
                end
            }
        };
        self.targets.insert(client, begin);
    }

    /// The moment of a snapshot: what follows it in the stream follows it at the replicas.
    pub fn take_moment(&mut self, number: u32) {
        let offset = self.backlog.end();
        let Some(sync) = self.syncs.iter_mut().find(|sync| sync.about.number == number) else {
            return;
        };
        sync.offset = Some(offset);
        let (is_streamed, mark) = (sync.about.is_streamed, sync.mark.clone());
        let mut replicas = take(&mut self.replicas);
        let meant = |replica: &&mut Replica| replica.state == State::Prepares(number);
        for replica in replicas.iter_mut().filter(meant) {
            replica.head = self.full_sync_line(replica, offset);
            replica.position = Some(offset);
            if is_streamed {
                replica.head.extend(format!("$EOF:{mark}\r\n").into_bytes());
                replica.state = State::Receives(number, 0);
            }
        }
        self.replicas = replicas;
    }

    /// The snapshot with this number is a file of this length, whose bytes follow.
    pub fn file_is_there(&mut self, number: u32, length: u64) {
        for replica in &mut self.replicas {
            if replica.state == State::Prepares(number) {
                replica.head.extend(format!("${length}\r\n").into_bytes());
                replica.state = State::Receives(number, 0);
            }
        }
    }

    /// Some bytes of the snapshot with this number.
    pub fn push(&mut self, number: u32, bytes: &Bytes) -> Pushed {
        let is_wanted = self.is_sync_wanted(number);
        let sync = self.syncs.iter_mut().find(|sync| sync.about.number == number);
        let Some(sync) = sync.filter(|_| is_wanted) else { return Pushed::Unwanted };
        if !sync.bulk.has_room() {
            return Pushed::Full;
        }
        sync.bulk.push(bytes.clone());
        Pushed::Taken
    }

    /// Whether any replica waits for the snapshot with this number, or for the rest of it.
    pub fn is_sync_wanted(&self, number: u32) -> bool {
        self.replicas.iter().any(|replica| match replica.state {
            State::Receives(it, _) | State::Prepares(it) => it == number,
            _ => false,
        })
    }

    /// All of the snapshot with this number has been pushed.
    pub fn sync_is_whole(&mut self, number: u32) {
        if let Some(sync) = self.syncs.iter_mut().find(|sync| sync.about.number == number) {
            sync.bulk.is_over();
        }
    }

    /// The snapshot with this number never will be. Who was to get it waits for another one, unless
    /// it has been told of this one: returns those, which are to be cut off.
    pub fn sync_failed(&mut self, number: u32) -> Vec<u64> {
        self.syncs.retain(|sync| sync.about.number != number);
        let mut cut = Vec::new();
        for replica in &mut self.replicas {
            match replica.state {
                State::Prepares(it) if it == number && replica.position.is_none() => {
                    replica.state = State::Waits;
                }
                State::Prepares(it) | State::Receives(it, _) if it == number => {
                    cut.push(replica.client);
                }
                _ => {}
            }
        }
        cut
    }

    /// Whether a snapshot is on its way to anybody.
    pub fn syncs(&self) -> bool {
        !self.syncs.is_empty()
    }

    /// Copies what a replica gets next to the end of `out`, `most` bytes at the most.
    pub fn pull(&mut self, client: u64, most: usize, out: &mut Vec<u8>, now_ms: u64) -> Pulled {
        let Primary { replicas, syncs, backlog, .. } = self;
        let Some(replica) = replicas.iter_mut().find(|replica| replica.client == client) else {
            return Pulled::End;
        };
        let before = out.len();
        out.append(&mut replica.head);
        if let State::Receives(number, taken) = replica.state {
            let Some(sync) = syncs.iter_mut().find(|sync| sync.about.number == number) else {
                return Pulled::End;
            };
            let count = sync.bulk.read(taken, most, out) as u64;
            replica.state = State::Receives(number, taken + count);
            if sync.bulk.ends_at(taken + count) {
                if sync.about.is_streamed {
                    out.extend_from_slice(sync.mark.as_bytes());
                }
                replica.state = match (replica.presented.is_rdb_only, sync.about.is_streamed) {
                    (true, _) => State::Done,
                    (false, true) => State::Acks,
                    (false, false) => State::Online,
                };
                (replica.acked_ms, replica.advanced_ms) = (now_ms, now_ms);
            }
            self.trim_syncs();
        } else if let (State::Online, Some(position)) = (replica.state, replica.position) {
            let room = most.saturating_sub(out.len() - before);
            let count = backlog.read(position, room, out);
            replica.position = Some(position + count as u64);
        }
        let is_done = |it: &Replica| matches!(it.state, State::Done | State::Cut);
        let is_done = self.replicas.iter().any(|it| it.client == client && is_done(it));
        if out.len() == before {
            return if is_done { Pulled::End } else { Pulled::Nothing };
        }
        if let Some(replica) = self.replicas.iter_mut().find(|it| it.client == client) {
            replica.took_ms = now_ms;
        }
        Pulled::Some
    }

    /// Lets go what all have got, and snapshots that nobody reads any more.
    fn trim_syncs(&mut self) {
        let Primary { replicas, syncs, .. } = self;
        syncs.retain_mut(|sync| {
            let number = sync.about.number;
            let taken = |replica: &Replica| match replica.state {
                State::Receives(it, taken) if it == number => Some(taken),
                State::Prepares(it) if it == number => Some(0),
                _ => None,
            };
            let slowest = replicas.iter().filter_map(taken).min();
            slowest.into_iter().for_each(|slowest| sync.bulk.trim(slowest));
            slowest.is_some()
        });
    }

    /// A replica has said something, if only that it lives.
    pub fn hear(&mut self, client: u64, now_ms: u64) {
        let replica = self.replicas.iter_mut().find(|replica| replica.client == client);
        replica.into_iter().for_each(|replica| replica.acked_ms = now_ms);
    }

    /// A replica says how far it has come, and how far its journal has.
    pub fn acknowledge(&mut self, client: u64, offset: u64, journaled: Option<u64>, now_ms: u64) {
        let end = self.backlog.end();
        let replica = self.replicas.iter_mut().find(|replica| replica.client == client);
        let Some(replica) = replica else { return };
        let acked = replica.acked.max(offset.min(end));
        if acked > replica.acked || replica.state == State::Acks {
            replica.advanced_ms = now_ms;
        }
        replica.acked = acked;
        replica.journaled = replica.journaled.max(journaled.unwrap_or(0).min(end));
        replica.acked_ms = now_ms;
        if replica.state == State::Acks {
            replica.state = State::Online;
        }
    }

    /// A replica is to be closed, whatever it has still to get: nothing is kept for it any more.
    pub fn cut(&mut self, client: u64) {
        let replica = self.replicas.iter_mut().find(|replica| replica.client == client);
        if let Some(replica) = replica {
            (replica.state, replica.position) = (State::Cut, None);
            replica.head = Vec::new();
        }
        self.trim_syncs();
    }

    /// Whether a replica is to be closed.
    pub fn is_cut(&self, client: u64) -> bool {
        let is = |replica: &Replica| replica.client == client && replica.state == State::Cut;
        self.replicas.iter().any(is)
    }

    /// A client waits for replicas no more.
    pub fn waits_no_more(&mut self, client: u64) {
        self.targets.remove(&client);
    }

    /// A client has gone.
    pub fn forget(&mut self, client: u64, now_ms: u64) {
        self.targets.remove(&client);
        let had_some = self.has_replicas();
        self.replicas.retain(|replica| replica.client != client);
        if had_some && !self.has_replicas() {
            self.alone_since_ms = now_ms;
        }
        self.trim_syncs();
    }

    /// How many replicas have what a client waits for, in memory or in their journals.
    pub fn count_copies(&self, client: u64, in_journal: bool) -> u64 {
        let Some(target) = self.targets.get(&client) else { return 0 };
        self.count_acked(*target, in_journal)
    }

    fn count_acked(&self, target: u64, in_journal: bool) -> u64 {
        let has = |replica: &&Replica| match in_journal {
            true => replica.follows() && replica.journaled >= target,
            false => replica.follows() && replica.acked >= target,
        };
        self.replicas.iter().filter(has).count() as u64
    }

    /// Whether all replicas that follow the stream have all of it.
    pub fn all_have_all(&self) -> bool {
        let end = self.end_of_data();
        let follows = |replica: &&Replica| replica.follows() && !replica.is_old;
        self.replicas.iter().filter(follows).all(|replica| replica.acked >= end)
    }

    /// Where the stream ends, but for a question to the replicas.
    fn end_of_data(&self) -> u64 {
        let end = self.backlog.end();
        self.asked.filter(|(_, asked)| *asked == end).map_or(end, |(begin, _)| begin)
    }

    /// How many replicas keep up.
    pub fn good(&self, limits: &Limits, now_ms: u64) -> u32 {
        let is_good = |replica: &&Replica| {
            replica.follows() && now_ms.saturating_sub(replica.acked_ms) <= limits.lag_ms + 999
        };
        self.replicas.iter().filter(is_good).count() as u32
    }

    /// Those that lag more than they may, for too long. None for which writes wait: what it lags is
    /// bounded by what shards had already sent to the journal.
    pub fn overdue(&mut self, limits: &Limits, now_ms: u64) -> Vec<u64> {
        let end = self.backlog.end();
        let mut overdue = Vec::new();
        for replica in &mut self.replicas {
            let unsent = replica.position.map_or(0, |position| end - position);
            let is_over = limits.output.soft_bytes > 0 && unsent > limits.output.soft_bytes;
            replica.over_since_ms = is_over.then(|| replica.over_since_ms.unwrap_or(now_ms));
            let patience_ms = u64::from(limits.output.soft_seconds) * 1_000;
            let is_long = |since| now_ms.saturating_sub(since) > patience_ms;
            let is_over_hard = limits.output.hard_bytes > 0 && unsent > limits.output.hard_bytes;
            let is_overdue = is_over_hard || replica.over_since_ms.is_some_and(is_long);
            if is_overdue && !replica.holds_up_writes(limits, end, now_ms) {
                overdue.push(replica.client);
            }
        }
        overdue
    }

    /// Whether writes have to wait: a replica gets on that would be cut off if they did not.
    pub fn holds_up_writes(&self, limits: &Limits, now_ms: u64) -> bool {
        let end = self.backlog.end();
        self.replicas.iter().any(|replica| replica.holds_up_writes(limits, end, now_ms))
    }

    /// Lets go what nobody needs of the backlog.
    pub fn trim(&mut self, limits: &Limits) {
        let positions = self.replicas.iter().filter_map(|replica| replica.position);
        let needed = positions.min().unwrap_or(self.backlog.end());
        self.backlog.trim(needed, limits.backlog_bytes);
    }

    /// Time has passed. Signs of life are no part of the stream while clients are paused.
    pub fn tick(&mut self, limits: &Limits, is_paused: bool, now_ms: u64) -> Tick {
        let overdue = self.overdue(limits, now_ms).into_iter();
        let mut cut: Vec<_> = overdue.map(|client| (client, Cut::Lags)).collect();
        for replica in &mut self.replicas {
            let since = match replica.state {
                State::Online if replica.is_old => now_ms,
                State::Online | State::Acks => replica.acked_ms,
                State::Receives(..) => replica.took_ms,
                State::Waits | State::Prepares(_) | State::Done | State::Cut => now_ms,
            };
            if now_ms.saturating_sub(since) > limits.silence_ms {
                cut.push((replica.client, Cut::Silent));
            }
            let waits = matches!(replica.state, State::Waits | State::Prepares(_));
            let was_told = now_ms.saturating_sub(replica.acked_ms) < KEEPALIVE_MS;
            if waits && replica.position.is_none() && replica.head.is_empty() && !was_told {
                replica.head.push(b'\n');
                replica.acked_ms = now_ms;
            }
        }
        self.trim(limits);
        let alone_ms = now_ms.saturating_sub(self.alone_since_ms);
        let is_left = !self.has_replicas() && limits.backlog_ms.is_some_and(|kept| alone_ms > kept);
        let is_late = now_ms.saturating_sub(self.pinged_ms) >= limits.ping_ms;
        let is_own = self.is_on && !self.follows;
        let is_ping_due = is_own && self.has_replicas() && is_late && !is_paused;
        if is_ping_due {
            self.pinged_ms = now_ms;
        }
        let lagging = self.backlog.len().saturating_sub(limits.backlog_bytes);
        Tick { cut, is_ping_due, ends: is_own && is_left, lagging }
    }

    /// The id of the stream, and the offset behind its last byte.
    pub fn place(&self) -> (&str, u64) {
        (&self.id, self.backlog.end())
    }

    /// What INFO and ROLE say.
    pub fn figures(&self, limits: &Limits, now_ms: u64) -> Figures {
        let row = |replica: &Replica| ReplicaRow {
            address: replica.shown_address().to_owned(),
            port: replica.presented.port,
            state: replica.state.name(),
            is_online: replica.follows(),
            offset: replica.acked,
            lacks: self.end_of_data().saturating_sub(replica.acked),
            lag_seconds: match replica.follows() {
                true => now_ms.saturating_sub(replica.acked_ms) / 1_000,
                false => 0,
            },
        };
        Figures {
            id: self.id.clone(),
            second: self.second.clone(),
            offset: self.backlog.end(),
            is_on: self.is_on,
            first: self.backlog.first(),
            length: self.backlog.len(),
            memory: self.backlog.memory(),
            full_syncs: self.full_syncs,
            partial_syncs: self.partial_syncs,
            refused_syncs: self.refused_syncs,
            good: self.good(limits, now_ms),
            replicas: self.replicas.iter().map(row).collect(),
        }
    }

    /// Counts syncs anew.
    pub fn reset(&mut self) {
        (self.full_syncs, self.partial_syncs, self.refused_syncs) = (0, 0, 0);
    }
}
