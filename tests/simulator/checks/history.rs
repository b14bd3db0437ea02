//! Replies in order and of the right number, and linearizable: every call takes effect at once, at
//! one moment between its being sent and its being answered, over all keys.
//!
//! M. Herlihy and J. Wing (1990) define it; to search for an order that explains a history is hard
//! in general (J. Wing and C. Gong, 1993; G. Lowe, 2017). Here nothing is searched for: a sink on
//! every shard tells when each call ran, so there is one order to look at, and one walk along it
//! shows whether a plain model gives the replies that clients got. An order that explains them all
//! is a proof, whoever named it. It must also keep to what each client sent, call by call, and to
//! real time, which the moments of sending and answering show. It is one order for all keys: that
//! is more than linearizability per key, and has multi-key calls whole.
//!
//! A call that panicked, or was refused, has no effect, and its error is the reply.
//!
//! What EXEC runs stands together in the order, with no call of others in between, and its replies
//! are those of EXEC. A call that waits stands where it is served, ahead of whatever comes behind
//! the call that brought something for it; where its time is over, there must be nothing for it. A
//! shard that is rebuilt does not serve, and it takes a while until all wait there again.

mod evicted;
mod scripts;
mod transaction;

use std::collections::{BTreeMap, VecDeque};

use super::Broken;
use super::caches::{OfKeys, Versions};
use super::durability::{ChangeId, Durability, What};
use super::pushes::{Pushes, is_unasked};
use super::watched::Watches;
use crate::checks::history::scripts::Scripts;
use crate::checks::history::transaction::HeldBack;
use crate::model::{self, Entry, Model};
use crate::rare::Rare;
use crate::reply::Reply;
use crate::workload::Call;

/// How long after a rebuild somebody may still wait for what is there, in milliseconds.
const UNREST_MS: i64 = 1_000;

/// How a shard says that a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It ran, perhaps to an error of its own.
    Ran,
    /// It was refused; the error.
    Refused(String),
    /// It panicked; the error. What had expired while it ran is there again.
    Panicked(String),
}

/// What a shard tells of a call that ended.
#[derive(Debug)]
pub struct Told<'a> {
    /// The shard.
    pub shard: u16,
    /// Whose call it is.
    pub connection: u64,
    /// As it stands in the batch.
    pub raw: &'a [u8],
    /// The time of the batch.
    pub now: i64,
    /// How it ended.
    pub ended: Ended,
    /// The error with which it ran.
    pub error: Option<String>,
    /// What it changed, in RESP.
    pub effects: &'a [u8],
    /// It has waited.
    pub has_waited: bool,
}

/// What has to be said to a call.
#[derive(Debug)]
struct Expected {
    call: Call,
    /// What it ran, where it is EXEC.
    nested: Vec<Call>,
    reply: Reply,
    /// It has changed something.
    is_write: bool,
    /// The changes that the reply shows.
    shows: Vec<ChangeId>,
    /// The versions of its keys.
    versions: OfKeys,
    /// What its scripts have called.
    inner: Vec<Call>,
}

impl Expected {
    /// One that shows nothing.
    fn plain(call: Call, reply: Reply) -> Expected {
        let (nested, shows, versions, inner) = Default::default();
        Expected { call, nested, reply, is_write: false, shows, versions, inner }
    }

    /// A reply to it, with what has no order put into one.
    fn ordered(&self, reply: Reply) -> Reply {
        match reply {
            Reply::List(replies) if self.nested.len() == replies.len() => {
                let each = self.nested.iter().zip(replies);
                Reply::List(each.map(|(call, reply)| ordered(call, reply)).collect())
            }
            reply => ordered(&self.call, reply),
        }
    }
}

fn ordered(call: &Call, reply: Reply) -> Reply {
    if model::has_no_order(call) { reply.sorted() } else { reply }
}

/// What is queued behind MULTI.
#[derive(Debug, Default)]
struct Multi {
    queued: Vec<Call>,
    is_aborted: bool,
}

/// A call that waits.
#[derive(Debug)]
struct Wait {
    since: i64,
    until: i64,
    /// When its batch came home.
    parked: Option<i64>,
    /// Since when there is something for it.
    ready: Option<i64>,
}

/// An EXEC that runs.
#[derive(Debug)]
struct Exec {
    connection: u64,
    replies: Vec<Reply>,
    /// What its scripts have called.
    inner: Vec<Call>,
    before: Model,
    tick: u64,
}

/// One connection's calls.
#[derive(Debug, Default)]
struct Connection {
    /// Its thread.
    home: u16,
    /// Sent, and not run yet.
    sent: VecDeque<Call>,
    /// Run, and not answered yet.
    ran: VecDeque<Expected>,
    /// Bytes of a reply that is not whole yet.
    rest: Vec<u8>,
    multi: Option<Multi>,
    watches: Watches,
    /// What EXEC has run so far, where it runs scripts.
    held_back: Vec<HeldBack>,
    /// Whether the script of the next call was known when that began.
    knew: Option<bool>,
    /// The next call waits.
    wait: Option<Wait>,
    /// The last change of its client.
    changed: Option<ChangeId>,
    is_closed: bool,
}

/// All that clients sent and were answered since the process started.
#[derive(Debug)]
pub struct History {
    /// Clients do not call the node any more, which is a replica.
    pub is_over: bool,
    /// What the store holds.
    pub model: Model,
    /// What of it is durable.
    pub durability: Durability,
    /// What clients got that did not ask.
    pub pushes: Pushes,
    /// What they know of keys.
    pub versions: Versions,
    connections: BTreeMap<u64, Connection>,
    /// The journal has failed for good: reads show what is not durable.
    pub is_journal_lost: bool,
    /// Calls that ran.
    pub calls: u64,
    /// Calls that shards have to have counted, those of EXEC and of scripts among them.
    pub counted: u64,
    /// The time, in milliseconds of unix time.
    pub now: i64,
    /// What is to be noted in the trace.
    pub notes: Vec<String>,
    /// What was rare.
    pub met: Vec<Rare>,
    /// The first promise that was broken.
    pub broken: Option<Broken>,
    /// What expired on a shard since its last call ended.
    expired: BTreeMap<u16, Vec<(String, Entry, ChangeId)>>,
    /// The transaction that runs. None goes on in another turn than it begins.
    exec: Option<Exec>,
    /// Things that have happened.
    tick: u64,
    /// When a shard did not serve.
    unrest: i64,
    /// Where the call before has moved something, which had waited.
    moved: Option<String>,
    /// The keys of the last EXEC that ran.
    pub exec_keys: Vec<String>,
    /// Scripts that run.
    pub scripts: Scripts,
}

impl History {
    /// A process of so many shards that found this data set.
    pub fn new(model: Model, shards: u16) -> History {
        History {
            durability: Durability::new(model.clone(), shards),
            is_over: false,
            model,
            pushes: Pushes::default(),
            versions: Versions::default(),
            connections: BTreeMap::new(),
            is_journal_lost: false,
            calls: 0,
            counted: 0,
            now: 0,
            notes: Vec::new(),
            met: Vec::new(),
            broken: None,
            expired: BTreeMap::new(),
            exec: None,
            tick: 0,
            unrest: i64::MIN / 2,
            moved: None,
            exec_keys: Vec::new(),
            scripts: Scripts::default(),
        }
    }

    /// The same, of a process whose clients cache keys if `is_on` says so.
    pub fn with_caches(mut self, is_on: bool) -> History {
        self.versions.is_on = is_on;
        self.versions.look(&self.model);
        self
    }

    /// A thread has taken in a client.
    pub fn accepted(&mut self, connection: u64, home: u16) {
        self.connections.entry(connection).or_default().home = home;
    }

    /// A client has sent calls.
    pub fn sent(&mut self, connection: u64, calls: &[Call]) {
        let sent = &mut self.connections.entry(connection).or_default().sent;
        sent.extend(calls.iter().cloned());
    }

    /// A shard does not serve, since it panicked: who watches its keys may be told that they have
    /// changed.
    pub fn broke(&mut self) {
        self.unrest = self.now;
        self.connections.values_mut().for_each(|log| log.watches.touched(None));
    }

    fn is_restless(&self) -> bool {
        self.now - self.unrest <= UNREST_MS
    }

    /// Whether somebody may not be known where a shard was rebuilt: he waits there again when his
    /// batch is home, which the disk may hold back.
    fn may_be_late(&self, wait: &Wait) -> bool {
        let is_home = wait.parked.is_some_and(|parked| self.now - parked > UNREST_MS);
        self.is_restless() || (wait.since <= self.unrest && !is_home)
    }

    /// The batch of a client that waits is home.
    pub fn parked(&mut self, connection: u64) {
        let wait = self.connections.get_mut(&connection).and_then(|log| log.wait.as_mut());
        wait.into_iter().for_each(|wait| wait.parked = wait.parked.or(Some(self.now)));
    }

    /// A shard is about to run a call, or asks whether it could. What went ahead of it, as the end
    /// of a key that has expired, stays whatever comes of it.
    pub fn begins(&mut self, shard: u16, connection: u64, raw: &[u8], now: i64) {
        if self.exec.is_some() || self.scripts.is_inside(shard, connection) {
            return;
        }
        self.settle(shard);
        self.note_begun(shard, connection);
        if self.is_nested(connection, raw) && !self.queues_scripts(connection) {
            self.begin_exec(connection, now);
        }
    }

    /// Takes the next call of a connection, which must be this one.
    fn take_next(&mut self, connection: u64, raw: &[u8]) -> Option<Call> {
        let log = self.connections.entry(connection).or_default();
        match log.sent.pop_front() {
            Some(call) if call.encoded() == raw => Some(call),
            next => {
                let raw = String::from_utf8_lossy(raw);
                self.fail(format!("{next:?} is next on {connection}, and {raw:?} ran"));
                None
            }
        }
    }

    /// Looks whether anybody still waits for something that was there before.
    fn check_waits(&mut self) {
        let is_left = |(_, log): &(&u64, &Connection)| {
            let is_left = |wait: &Wait| wait.ready.is_some() && !self.may_be_late(wait);
            !log.is_closed && log.wait.as_ref().is_some_and(is_left)
        };
        if let Some((connection, log)) = self.connections.iter().find(is_left) {
            let (call, wait) = (log.sent.front(), &log.wait);
            self.fail(format!("{connection} is not served: {call:?}, {wait:?}"));
        }
    }

    /// A call of a connection was queued.
    pub fn queued(&mut self, connection: u64, raw: &[u8]) {
        self.check_waits();
        let Some(call) = self.take_next(connection, raw) else { return };
        self.notes.push(format!("{connection}: {call} is queued"));
        let log = self.connections.entry(connection).or_default();
        let Some(multi) = &mut log.multi else {
            return self.fail(format!("{call} of {connection} is queued without MULTI"));
        };
        multi.queued.push(call.clone());
        log.knew = None;
        log.ran.push_back(Expected::plain(call, Reply::Status("QUEUED".to_owned())));
    }

    /// The next call of a connection begins to wait.
    pub fn waits(&mut self, connection: u64, raw: &[u8], now: i64) {
        self.check_waits();
        let log = self.connections.entry(connection).or_default();
        let Some(call) = log.sent.front().filter(|call| call.encoded() == raw) else {
            let next = log.sent.front().cloned();
            return self.fail(format!("{next:?} is next on {connection}, and something waits"));
        };
        self.notes.push(format!("{connection} waits: {call}"));
        if self.model.ready(call, now).is_some() || log.multi.is_some() || !call.may_wait() {
            let call = call.clone();
            return self.fail(format!("{call} of {connection} waits"));
        }
        let until = now + call.timeout_ms();
        log.wait = Some(Wait { since: self.now, until, parked: None, ready: None });
    }

    /// A shard ran the next call of a connection. It must be the connection's next call.
    pub fn ran(&mut self, told: Told<'_>) {
        let Told { connection, raw, .. } = told;
        self.counted += u64::from(!matches!(told.ended, Ended::Refused(_)));
        if let Some(exec) = self.exec.as_ref().filter(|exec| exec.connection != connection) {
            let (raw, other) = (String::from_utf8_lossy(raw), exec.connection);
            return self.fail(format!("{raw:?} ran in the middle of a transaction of {other}"));
        }
        if self.is_nested(connection, raw) {
            return match self.queues_scripts(connection) {
                true => self.hold_back(told),
                false => self.ran_nested(&told),
            };
        }
        if self.queues_scripts(connection) {
            self.look_at_held_back(connection, told.now, told.ended == Ended::Ran);
        }
        if !told.has_waited {
            self.check_waits();
            self.moved = None;
        }
        let Some(call) = self.take_next(connection, raw) else { return };
        self.calls += 1;
        let Told { shard, ref ended, has_waited, .. } = told;
        let has_effects = !told.effects.is_empty();
        self.notes.push(format!("{connection} on shard {shard}: {call}, {ended:?}, {has_effects}"));
        self.notes.extend(told.error.as_ref().map(|error| format!("its error: {error}")));
        let expected = match call.name() {
            "MULTI" | "EXEC" | "DISCARD" | "WATCH" | "UNWATCH" => self.ran_around(call, &told),
            "SUBSCRIBE" | "UNSUBSCRIBE" => self.ran_subscription(call, &told),
            _ if has_waited => self.ran_after_wait(call, &told),
            _ => {
                let expected = self.ran_plainly(call, &told);
                let Expected { call, reply, .. } = &expected;
                if call.may_wait() && *reply == Reply::Nil {
                    self.fail(format!("{call} of {connection} has not waited"));
                }
                expected
            }
        };
        self.look();
        let versions = self.versions_of(&expected, &told);
        let log = self.connections.entry(connection).or_default();
        // EXEC may have run nothing of what it was about to.
        log.knew = None;
        log.ran.push_back(Expected { versions, ..expected });
    }

    /// What the reply to a call that was run tells of keys.
    fn versions_of(&self, expected: &Expected, told: &Told<'_>) -> OfKeys {
        let Expected { call, nested, reply, inner, .. } = expected;
        // Whose time is over hears nothing of the shards of its keys.
        let is_over = call.may_wait() && *reply == Reply::Nil;
        if told.ended != Ended::Ran || is_over {
            return OfKeys::new();
        }
        let keys = nested.iter().chain([call]).chain(inner).map(Call::looked_at);
        let keys = keys.collect::<Option<Vec<_>>>().map(|keys| keys.concat());
        self.versions.of(keys.as_deref())
    }

    /// A subscription begins or ends.
    fn ran_subscription(&mut self, call: Call, told: &Told<'_>) -> Expected {
        if let Ended::Refused(error) | Ended::Panicked(error) = &told.ended {
            return Expected::plain(call, Reply::Error(error.clone()));
        }
        let begins = call.name() == "SUBSCRIBE";
        let count = self.pushes.subscribes(told.connection, &call.0[1], begins);
        let words = [call.name().to_lowercase(), call.0[1].clone()].map(Reply::Bulk);
        let reply = words.into_iter().chain([Reply::Int(count as i64)]).collect();
        Expected::plain(call, Reply::Push(reply))
    }

    /// A call on keys.
    fn ran_plainly(&mut self, call: Call, told: &Told<'_>) -> Expected {
        match told.ended {
            Ended::Ran if call.is_script() => return self.ran_script(call, told),
            _ if call.is_script() => self.script_broke(&call, told),
            _ => {}
        }
        let Told { shard, connection, now, .. } = *told;
        let is_write = !told.effects.is_empty();
        match &told.ended {
            Ended::Ran => {
                let reply = self.model.run(&call, now);
                let keys = call.keys();
                if is_write {
                    let what = What::Call(call.clone(), now);
                    let id = self.durability.changed(shard, what, keys.as_deref());
                    self.connections.entry(connection).or_default().changed = Some(id);
                    let logs = self.connections.values_mut();
                    logs.for_each(|log| log.watches.touched(keys.as_deref()));
                }
                if let ("SCRIPT", Some(text)) = (call.name(), call.0.get(2)) {
                    self.is_known(crate::scripts::digest(text));
                }
                if call.name() == "PUBLISH" {
                    let last = self.connections.get(&connection).and_then(|log| log.changed);
                    self.pushes.published(connection, &call.0[2], last);
                }
                if self.exec.is_none() {
                    self.expired.remove(&shard);
                }
                let shows = self.durability.seen(keys.as_deref());
                let plain = Expected::plain(call, reply);
                let reply = plain.ordered(plain.reply.clone());
                Expected { reply, is_write, shows, ..plain }
            }
            Ended::Refused(error) => {
                let log = self.connections.entry(connection).or_default();
                if self.exec.is_none() {
                    log.multi.iter_mut().for_each(|multi| multi.is_aborted = true);
                }
                Expected::plain(call, Reply::Error(error.clone()))
            }
            Ended::Panicked(error) => {
                for (key, entry, change) in self.expired.remove(&shard).unwrap_or_default() {
                    self.model.entries.insert(key, entry);
                    self.durability.take_back(change);
                }
                self.broke();
                Expected::plain(call, Reply::Error(error.clone()))
            }
        }
    }

    /// A call that had to wait.
    fn ran_after_wait(&mut self, call: Call, told: &Told<'_>) -> Expected {
        let Told { shard, connection, now, .. } = *told;
        let log = self.connections.entry(connection).or_default();
        let Some(wait) = log.wait.take() else {
            let broken = format!("{connection} does not wait, and has an answer to {call}");
            self.fail(broken);
            return Expected::plain(call, Reply::Nil);
        };
        let is_elsewhere = log.home != shard;
        if told.ended != Ended::Ran || told.error.is_some() {
            let is_panic = matches!(told.ended, Ended::Panicked(_));
            self.met.extend(is_panic.then_some(Rare::ServePanicked));
            return self.ran_plainly(call, told);
        }
        if told.effects.is_empty() {
            self.met.push(Rare::TimedOut);
            let ready = self.model.ready(&call, self.now);
            if self.now < wait.until || (ready.is_some() && !self.may_be_late(&wait)) {
                let broken = format!("{call} of {connection} ends at {}: {wait:?}", self.now);
                self.fail(broken);
            }
            return Expected::plain(call, Reply::Nil);
        }
        self.met.extend(is_elsewhere.then_some(Rare::ServedElsewhere));
        let first = self.model.ready(&call, now).map(str::to_owned);
        let key = model::popped(told.effects).filter(|key| call.awaited().contains(&key.as_str()));
        let key = if call.awaited().len() == 1 { first.clone() } else { key };
        if key.is_none() || (first != key && !self.may_be_late(&wait)) {
            let broken = format!("{call} of {connection} has {key:?}, and {first:?} is first");
            self.fail(broken);
        }
        self.met.extend((key.is_some() && key == self.moved).then_some(Rare::ServedChain));
        self.moved = (call.name() == "BLMOVE").then(|| call.0[2].clone());
        let narrowed = key.map_or_else(|| call.clone(), |key| call.narrowed(&key));
        let expected = self.ran_plainly(narrowed, told);
        Expected { call, ..expected }
    }

    /// Something has happened: who watches or waits is to know.
    fn look(&mut self) {
        self.tick += 1;
        self.versions.look(&self.model);
        let (model, tick, now, is_whole) = (&self.model, self.tick, self.now, self.exec.is_none());
        for log in self.connections.values_mut() {
            log.watches.look(model, tick);
            if let (Some(wait), Some(call), true) = (&mut log.wait, log.sent.front(), is_whole) {
                let ready = model.ready(call, now);
                wait.ready = ready.map(|_| wait.ready.unwrap_or(now));
            }
        }
    }

    /// A shard took a key out because it had expired, which it must have.
    pub fn expired(&mut self, shard: u16, key: &str) {
        self.notes.push(format!("shard {shard}: {key} expires"));
        let there = self.model.entries.get(key).cloned();
        let is_inside = there.as_ref().is_some_and(|it| self.scripts.expires(shard, key, it));
        if !self.model.expire(key, self.now) {
            return self.fail(format!("{key} was taken out at {}, before it expired", self.now));
        }
        if is_inside {
            return;
        }
        let what = What::Expired(key.to_owned(), self.now);
        let change = self.durability.changed(shard, what, Some(&[key]));
        if let Some(there) = there {
            self.expired.entry(shard).or_default().push((key.to_owned(), there, change));
        }
        self.look();
    }

    /// What has expired on a shard so far was not taken out for a call that may fail.
    pub fn settle(&mut self, shard: u16) {
        self.expired.remove(&shard);
        self.scripts.settle(shard);
    }

    /// A promise is broken.
    pub fn fail(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    /// Bytes leave for a client. Returns the number of replies that are whole with them.
    ///
    /// # Errors
    /// They are not the replies to its calls.
    pub fn left(&mut self, connection: u64, bytes: &[u8]) -> Result<usize, Broken> {
        let log = self.connections.entry(connection).or_default();
        log.rest.extend_from_slice(bytes);
        let (mut at, mut count) = (0, 0);
        while let Some((reply, len)) = Reply::take(&log.rest[at..])? {
            at += len;
            if is_unasked(&reply) {
                let shows = self.pushes.left(connection, &reply)?;
                if !self.is_journal_lost {
                    self.durability.shown(&shows);
                }
                continue;
            }
            count += 1;
            self.pushes.confirmed(connection, &reply);
            let expected = log.ran.pop_front();
            let expected = expected.ok_or_else(|| format!("a reply to no call: {reply:?}"))?;
            let reply = expected.ordered(reply);
            if !expected.reply.allows(&reply) {
                let Expected { call, reply: wanted, .. } = expected;
                return Err(format!("{call} was answered {reply:?}; the model says {wanted:?}"));
            }
            // Who only reads is not held back by a journal that is lost.
            if expected.is_write || !self.is_journal_lost {
                self.durability.shown(&expected.shows);
            }
            // Nor does he say anything of what others have been told.
            let is_known = !self.is_journal_lost;
            self.versions.told(connection, expected.versions, is_known);
        }
        log.rest.drain(..at);
        Ok(count)
    }

    /// The connection is closed: what was not answered never will be. Where its client waits and
    /// that is known to its thread (`is_parked`), it is not served any more.
    pub fn closed(&mut self, connection: u64, is_parked: bool) {
        if let Some(log) = self.connections.get_mut(&connection) {
            log.is_closed = true;
            log.ran.clear();
            log.rest.clear();
            if is_parked && log.wait.take().is_some() {
                self.met.push(Rare::EndedWhileWaiting);
            }
        }
    }

    /// True when every call was answered.
    pub fn is_idle(&self) -> bool {
        self.connections.keys().all(|connection| !self.is_unanswered(*connection))
    }

    /// Whether a connection has calls that were not answered.
    pub fn is_unanswered(&self, connection: u64) -> bool {
        let log = self.connections.get(&connection);
        log.is_some_and(|log| !log.sent.is_empty() || !log.ran.is_empty())
    }
}

#[cfg(test)]
mod tests;
