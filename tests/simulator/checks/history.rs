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

use std::collections::{BTreeMap, VecDeque};

use super::Broken;
use super::durability::{ChangeId, Durability, What};
use crate::model::{self, Entry, Model};
use crate::reply::Reply;
use crate::workload::Call;

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

/// What has to be said to a call.
#[derive(Debug)]
struct Expected {
    call: Call,
    reply: Reply,
    /// It has changed something.
    is_write: bool,
    /// The changes that the reply shows.
    shows: Vec<ChangeId>,
}

/// One connection's calls.
#[derive(Debug, Default)]
struct Connection {
    /// Sent, and not run yet.
    sent: VecDeque<Call>,
    /// Run, and not answered yet.
    ran: VecDeque<Expected>,
    /// Bytes of a reply that is not whole yet.
    rest: Vec<u8>,
}

/// All that clients sent and were answered since the process started.
#[derive(Debug)]
pub struct History {
    /// What the store holds.
    pub model: Model,
    /// What of it is durable.
    pub durability: Durability,
    connections: BTreeMap<u64, Connection>,
    /// The journal has failed for good: reads show what is not durable.
    pub is_journal_lost: bool,
    /// Calls that ran.
    pub calls: u64,
    /// The time, in milliseconds of unix time.
    pub now: i64,
    /// What is to be noted in the trace.
    pub notes: Vec<String>,
    /// The first promise that was broken.
    pub broken: Option<Broken>,
    /// What expired on a shard since its last call ended.
    expired: BTreeMap<u16, Vec<(String, Entry, ChangeId)>>,
}

impl History {
    /// A process of so many shards that found this data set.
    pub fn new(model: Model, shards: u16) -> History {
        History {
            durability: Durability::new(model.clone(), shards),
            model,
            connections: BTreeMap::new(),
            is_journal_lost: false,
            calls: 0,
            now: 0,
            notes: Vec::new(),
            broken: None,
            expired: BTreeMap::new(),
        }
    }

    /// A client has sent calls.
    pub fn sent(&mut self, connection: u64, calls: &[Call]) {
        let sent = &mut self.connections.entry(connection).or_default().sent;
        sent.extend(calls.iter().cloned());
    }

    /// A shard ran the next call of a connection, `raw` as it stands in the batch, at the time
    /// `now` of the batch. It must be the connection's next call.
    pub fn ran(
        &mut self,
        shard: u16,
        connection: u64,
        raw: &[u8],
        now: i64,
        ended: Ended,
        has_effects: bool,
    ) {
        let log = self.connections.entry(connection).or_default();
        let call = match log.sent.pop_front() {
            Some(call) if call.encoded() == raw => call,
            next => {
                let raw = String::from_utf8_lossy(raw);
                return self.fail(format!("{next:?} is next on {connection}, and {raw:?} ran"));
            }
        };
        self.calls += 1;
        self.notes.push(format!("{connection} on shard {shard}: {call}, {ended:?}, {has_effects}"));
        let expired = self.expired.remove(&shard).unwrap_or_default();
        let keys = call.keys();
        let (reply, shows) = match ended {
            Ended::Ran => {
                let reply = self.model.run(&call, now);
                if has_effects {
                    let what = What::Call(call.clone(), now);
                    self.durability.changed(shard, what, keys.as_deref());
                }
                (reply, self.durability.seen(keys.as_deref()))
            }
            Ended::Refused(error) => (Reply::Error(error), Vec::new()),
            Ended::Panicked(error) => {
                for (key, entry, change) in expired {
                    self.model.entries.insert(key, entry);
                    self.durability.take_back(change);
                }
                (Reply::Error(error), Vec::new())
            }
        };
        let reply = if model::has_no_order(&call) { reply.sorted() } else { reply };
        let expected = Expected { call, reply, is_write: has_effects, shows };
        self.connections.entry(connection).or_default().ran.push_back(expected);
    }

    /// A shard took a key out because it had expired, which it must have.
    pub fn expired(&mut self, shard: u16, key: &str) {
        self.notes.push(format!("shard {shard}: {key} expires"));
        let there = self.model.entries.get(key).cloned();
        if !self.model.expire(key, self.now) {
            return self.fail(format!("{key} was taken out at {}, before it expired", self.now));
        }
        let what = What::Expired(key.to_owned(), self.now);
        let change = self.durability.changed(shard, what, Some(&[key]));
        if let Some(there) = there {
            self.expired.entry(shard).or_default().push((key.to_owned(), there, change));
        }
    }

    /// What has expired on a shard so far was not taken out for a call that may fail.
    pub fn settle(&mut self, shard: u16) {
        self.expired.remove(&shard);
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
            count += 1;
            let expected = log.ran.pop_front();
            let expected = expected.ok_or_else(|| format!("a reply to no call: {reply:?}"))?;
            let reply = if model::has_no_order(&expected.call) { reply.sorted() } else { reply };
            if reply != expected.reply {
                let Expected { call, reply: wanted, .. } = expected;
                return Err(format!("{call} was answered {reply:?}; the model says {wanted:?}"));
            }
            // Who only reads is not held back by a journal that is lost.
            if expected.is_write || !self.is_journal_lost {
                self.durability.shown(&expected.shows);
            }
        }
        log.rest.drain(..at);
        Ok(count)
    }

    /// The connection is closed: what was not answered never will be.
    pub fn closed(&mut self, connection: u64) {
        if let Some(log) = self.connections.get_mut(&connection) {
            log.ran.clear();
            log.rest.clear();
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
mod tests {
    use super::*;

    /// A history in which these calls of connections ran, in this order, on one shard.
    fn after(calls: &[(u64, &str)]) -> History {
        let mut history = History::new(Model::default(), 1);
        for (connection, line) in calls {
            history.sent(*connection, &[Call::of(line)]);
            ran(&mut history, *connection, line, Ended::Ran);
        }
        assert_eq!(history.broken, None);
        history
    }

    fn ran(history: &mut History, connection: u64, line: &str, ended: Ended) {
        history.ran(0, connection, &Call::of(line).encoded(), 0, ended, true);
    }

    #[test]
    fn a_reply_must_be_what_the_order_gives() {
        let calls = [(1, "SET a 1"), (2, "GET a")];
        assert_eq!(after(&calls).left(2, b"$1\r\n1\r\n"), Ok(1));
        assert!(after(&calls).left(2, b"$-1\r\n").is_err(), "it was written before");
        assert!(after(&calls).left(2, b"$1\r\n1\r\n$1\r\n1\r\n").is_err(), "one too many");
    }

    #[test]
    fn a_call_of_several_keys_is_seen_whole() {
        let calls = [(1, "MSET a 1 b 1"), (2, "MGET a b")];
        assert!(after(&calls).left(2, b"*2\r\n$1\r\n1\r\n$-1\r\n").is_err());
        assert!(after(&calls).left(2, b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n").is_ok());
    }

    #[test]
    fn calls_of_a_connection_run_in_their_order_and_once() {
        let mut history = History::new(Model::default(), 1);
        history.sent(1, &[Call::of("SET a 1"), Call::of("SET b 1")]);
        ran(&mut history, 1, "SET b 1", Ended::Ran);
        assert!(history.broken.is_some(), "the other is first");
        let mut history = after(&[(1, "INCR a")]);
        ran(&mut history, 1, "INCR a", Ended::Ran);
        assert!(history.broken.is_some(), "it ran before");
    }

    #[test]
    fn no_reply_comes_before_its_call_ran() {
        let mut history = History::new(Model::default(), 1);
        history.sent(1, &[Call::of("INCR a")]);
        assert!(history.left(1, b":1\r\n").is_err());
    }

    #[test]
    fn what_is_refused_or_panics_has_no_effect() {
        for ended in [Ended::Refused("BAD".to_owned()), Ended::Panicked("BAD".to_owned())] {
            let mut history = after(&[(1, "SET a 1")]);
            history.sent(1, &[Call::of("SET a 2"), Call::of("GET a")]);
            ran(&mut history, 1, "SET a 2", ended);
            ran(&mut history, 1, "GET a", Ended::Ran);
            assert!(history.left(1, b"+OK\r\n-BAD\r\n$1\r\n2\r\n").is_err());
        }
    }

    #[test]
    fn a_key_expires_when_its_time_has_come() {
        let mut history = after(&[(1, "SET x 1 PX 10")]);
        history.now = 9;
        history.expired(0, "x");
        assert!(history.broken.is_some());
        let mut history = after(&[(1, "SET x 1 PX 10")]);
        history.now = 10;
        history.expired(0, "x");
        assert_eq!(history.broken, None);
    }

    #[test]
    fn a_key_that_expired_while_a_call_panicked_is_there_again() {
        let mut history = after(&[(1, "SET x 1 PX 10")]);
        history.now = 10;
        history.expired(0, "x");
        history.sent(1, &[Call::of("SET x 2")]);
        ran(&mut history, 1, "SET x 2", Ended::Panicked("BAD".to_owned()));
        assert_eq!(history.model.entries.len(), 1);
    }
}
