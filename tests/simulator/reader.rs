//! A client of a replica: it reads all keys in one transaction, again and again. What it reads must
//! have stood there at one moment of the stream: behind whole commands and whole transactions of
//! the primary, not ahead of what the replica had carried out when it asked, nor ahead of what it
//! has read before.

use troupe::base::millis::Millis;

use crate::checks::Broken;
use crate::context::Context;
use crate::mirror::Mirror;
use crate::model::{Entry, Model, Value, has_no_order};
use crate::reply::Reply;
use crate::socket::Socket;
use crate::thread::{Sockets, Thread};
use crate::workload::{Call, KEYS};

/// Time between two looks, in microseconds, at most.
const EVERY_US: u64 = 100_000;

/// What it has asked and has no answer to.
#[derive(Debug)]
struct Asked {
    at: Millis,
    /// How many snapshots the replica had had.
    generation: u64,
    offset: u64,
}

/// The client.
#[derive(Debug)]
pub struct Reader {
    /// The number of its connection, while it has one.
    connection: Option<u64>,
    given: u64,
    next_us: u64,
    asked: Option<Asked>,
    rest: Vec<u8>,
    /// It asks no more.
    is_quiet: bool,
}

impl Reader {
    /// One whose connections have numbers behind this one.
    pub fn new(given: u64) -> Reader {
        Reader {
            connection: None,
            given,
            next_us: 0,
            asked: None,
            rest: Vec::new(),
            is_quiet: false,
        }
    }

    /// When it does something, in microseconds.
    pub fn wake_us(&self, sockets: &Sockets) -> u64 {
        let socket = self.connection.and_then(|id| sockets.get(&id));
        match socket {
            Some(socket) if !socket.down.is_empty() || socket.is_down_ended => 0,
            Some(_) if self.asked.is_some() => u64::MAX,
            _ if self.is_quiet => u64::MAX,
            _ => self.next_us,
        }
    }

    /// Nothing is read any more: all is to come to rest.
    pub fn quiet(&mut self) {
        self.is_quiet = true;
    }

    /// Whether it asks no more.
    pub fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// The number of its last connection.
    pub fn last_number(&self) -> u64 {
        self.given
    }

    /// The replica is gone.
    pub fn disconnected(&mut self) {
        (self.connection, self.asked) = (None, None);
        self.rest.clear();
    }

    /// Does one thing. `generation` counts the snapshots that the replica has had.
    ///
    /// # Errors
    /// What it has read never stood there.
    pub fn act(
        &mut self,
        (generation, mirror): (u64, Option<&mut Mirror>),
        threads: &mut [Thread],
        sockets: &mut Sockets,
        context: &mut Context,
    ) -> Result<(), Broken> {
        let Some(id) = self.connection else {
            self.given += 1;
            self.connection = Some(self.given);
            sockets.insert(self.given, Socket { room: 4_096, ..Socket::default() });
            let thread = context.rng.usize(..threads.len());
            threads[thread].accept(self.given, context);
            return Ok(());
        };
        let Some(socket) = sockets.get_mut(&id).filter(|socket| !socket.is_down_ended) else {
            sockets.remove(&id);
            self.disconnected();
            return Ok(());
        };
        let Some(asked) = &self.asked else {
            self.asked =
                Some(Asked { at: context.now(), generation, offset: context.replicas.place().1 });
            socket.up.extend(requests());
            threads.iter_mut().for_each(|thread| thread.wake(id));
            return Ok(());
        };
        self.rest.extend(socket.down.drain(..));
        threads.iter_mut().for_each(|thread| thread.wake(id));
        let Some(replies) = last_of(&self.rest)? else { return Ok(()) };
        self.rest.clear();
        let is_sound = context.upstream.as_ref().is_some_and(|upstream| upstream.lost.is_none());
        let is_one = asked.generation == generation && is_sound && !replies.is_empty();
        let looked = match mirror.filter(|_| is_one) {
            Some(mirror) => look(&replies, asked, mirror, context),
            None => Ok(()),
        };
        self.asked = None;
        self.next_us = context.now_us + context.rng.u64(..EVERY_US);
        looked
    }
}

/// What it sends.
fn requests() -> Vec<u8> {
    let reads = KEYS.iter().map(|key| call_of(key));
    let all = [Call::of("MULTI")].into_iter().chain(reads).chain([Call::of("EXEC")]);
    all.flat_map(|call| call.encoded()).collect()
}

/// How a key is read, by what its name says that it mostly holds.
fn call_of(key: &str) -> Call {
    match key.trim_start_matches("{t}").as_bytes().first() {
        Some(b'l' | b'q' | b'a') => Call::of(&format!("LRANGE {key} 0 -1")),
        Some(b'e') => Call::of(&format!("SMEMBERS {key}")),
        _ => Call::of(&format!("GET {key}")),
    }
}

/// The replies of the transaction, where all has come.
fn last_of(bytes: &[u8]) -> Result<Option<Vec<Reply>>, Broken> {
    let (mut at, mut last) = (0, None);
    for _ in 0..KEYS.len() + 2 {
        let Some((reply, length)) = Reply::take(&bytes[at..])? else { return Ok(None) };
        at += length;
        last = Some(reply);
    }
    match last {
        Some(Reply::List(replies)) => Ok(Some(replies)),
        // A shard has panicked.
        Some(Reply::Error(_)) => Ok(Some(Vec::new())),
        other => Err(format!("a replica answered EXEC with {other:?}")),
    }
}

/// Goes on in the stream to where all this stood there.
fn look(
    replies: &[Reply],
    asked: &Asked,
    mirror: &mut Mirror,
    context: &Context,
) -> Result<(), Broken> {
    let (id, end) = context.replicas.place();
    let streams = context.replicas.streams().borrow();
    while mirror.offset < asked.offset {
        if !mirror.carry_out_next(streams.from(&id, mirror.offset))? {
            return Err(format!("a replica is at {end}, where a part of the stream is missing"));
        }
    }
    let from = mirror.offset;
    let mut first = None;
    loop {
        let there = mirror.entries();
        let wrong = wrong_of(replies, &there, asked.at.0, context.now().0);
        let Some(wrong) = wrong else { return Ok(()) };
        first.get_or_insert(wrong);
        if !mirror.carry_out_next(streams.from(&id, mirror.offset))? {
            let first = first.unwrap_or_default();
            return Err(format!("a replica shows what never was, from {from} on: {first}"));
        }
    }
}

/// The first key that was not read as it stood there.
fn wrong_of(replies: &[Reply], there: &Model, since: i64, until: i64) -> Option<String> {
    KEYS.iter().zip(replies).find_map(|(key, reply)| {
        let entry = there.entries.get(*key);
        let deadline = entry.and_then(|entry| entry.deadline);
        let may_be_gone = deadline.is_some_and(|deadline| deadline <= until);
        let may_be_there = deadline.is_none_or(|deadline| deadline > since);
        let reply = ordered(key, reply.clone());
        let fits = may_be_there && expected(key, entry).allows(&reply)
            || may_be_gone && expected(key, None).allows(&reply);
        (!fits).then(|| format!("{key} is {reply:?}, and was {entry:?}"))
    })
}

/// The reply to who reads a key.
fn expected(key: &str, entry: Option<&Entry>) -> Reply {
    let name = call_of(key).0.swap_remove(0);
    let reply = match (name.as_str(), entry.map(|entry| &entry.value)) {
        ("GET", None) => Reply::Nil,
        (_, None) => Reply::List(Vec::new()),
        ("GET", Some(Value::Text(text))) => Reply::Bulk(text.clone()),
        ("LRANGE", Some(Value::List(list))) => Reply::texts(list.iter()),
        ("SMEMBERS", Some(Value::Set(set))) => Reply::texts(set.iter()),
        _ => Reply::Begins("WRONGTYPE".to_owned()),
    };
    ordered(key, reply)
}

/// A reply with what has no order put into one.
fn ordered(key: &str, reply: Reply) -> Reply {
    if has_no_order(&call_of(key)) { reply.sorted() } else { reply }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a reader that sees this under the key x0, between 10 and 20.
    fn wrong(there: Option<(&str, Option<i64>)>, seen: Option<&str>) -> Option<String> {
        let entry = there.map(|(text, deadline)| {
            ("x0".to_owned(), Entry { value: Value::Text(text.to_owned()), deadline })
        });
        let model = Model { entries: entry.into_iter().collect() };
        let replies: Vec<Reply> = KEYS
            .iter()
            .map(|key| if *key == "x0" { Reply::bulk(seen) } else { expected(key, None) })
            .collect();
        wrong_of(&replies, &model, 10, 20)
    }

    #[test]
    fn a_key_is_seen_as_it_stood_there_or_gone_when_its_time_is_over() {
        assert_eq!(wrong(Some(("a", None)), Some("a")), None);
        assert!(wrong(Some(("a", None)), Some("b")).is_some());
        assert!(wrong(Some(("a", None)), None).is_some());
        assert_eq!(wrong(Some(("a", Some(21))), Some("a")), None);
        assert!(wrong(Some(("a", Some(21))), None).is_some(), "its time is not over");
        assert_eq!(wrong(Some(("a", Some(15))), Some("a")), None);
        assert_eq!(wrong(Some(("a", Some(15))), None), None);
        assert!(wrong(Some(("a", Some(10))), Some("a")).is_some(), "its time is over");
        assert_eq!(wrong(None, None), None);
    }
}
