//! What clients have cached (CLIENT TRACKING) is never older than what anybody knows.
//!
//! Each change of a key makes another version of it. A reply tells its client the versions of the
//! keys that its call has looked at. A client that sends a request when somebody, whoever, has been
//! told of a version must hold no older one when the first reply to that request is there: it has
//! been told by then. When all is quiet what is cached is what the store holds.

use std::collections::{BTreeMap, VecDeque};

use super::Broken;
use crate::model::{self, Entry, Model};
use crate::reply::Reply;
use crate::workload::{Call, KEYS};

/// Versions of keys.
pub type OfKeys = Vec<(String, u64)>;

/// The versions of all keys, and which of them anybody has been told of.
#[derive(Debug, Default)]
pub struct Versions {
    /// Somebody caches keys: only then is anything noted.
    pub is_on: bool,
    last: u64,
    seen: BTreeMap<String, Entry>,
    of: BTreeMap<String, u64>,
    known: BTreeMap<String, u64>,
    /// Of the replies that have left and were not read, by connection.
    unread: BTreeMap<u64, VecDeque<OfKeys>>,
}

impl Versions {
    /// Something has happened.
    pub fn look(&mut self, model: &Model) {
        if !self.is_on {
            return;
        }
        for key in KEYS {
            let there = model.entries.get(key);
            if there == self.seen.get(key) {
                continue;
            }
            self.last += 1;
            self.of.insert(key.to_owned(), self.last);
            match there {
                Some(entry) => drop(self.seen.insert(key.to_owned(), entry.clone())),
                None => drop(self.seen.remove(key)),
            }
        }
    }

    /// The versions of these keys; none given: of all.
    pub fn of(&self, keys: Option<&[&str]>) -> OfKeys {
        if !self.is_on {
            return Vec::new();
        }
        let version = |key: &&str| ((*key).to_owned(), self.of.get(*key).copied().unwrap_or(0));
        keys.unwrap_or(&KEYS).iter().map(version).collect()
    }

    /// A reply leaves that shows these. From then on they are known, if `is_known` says so: while
    /// the journal is lost others see what clients that cache it cannot be told of.
    pub fn told(&mut self, connection: u64, versions: OfKeys, is_known: bool) {
        if !self.is_on {
            return;
        }
        for (key, version) in versions.iter().filter(|_| is_known) {
            let known = self.known.entry(key.clone()).or_default();
            *known = (*known).max(*version);
        }
        self.unread.entry(connection).or_default().push_back(versions);
    }

    /// A client reads its next reply: what that shows.
    pub fn read(&mut self, connection: u64) -> OfKeys {
        let unread = self.unread.get_mut(&connection);
        unread.and_then(VecDeque::pop_front).unwrap_or_default()
    }

    /// What anybody has been told of.
    pub fn known(&self) -> &BTreeMap<String, u64> {
        &self.known
    }
}

/// A value that was read.
#[derive(Debug)]
struct Cached {
    call: Call,
    reply: Reply,
    version: u64,
}

/// What one client has cached.
#[derive(Debug, Default)]
pub struct Cache {
    /// The words with which it has asked to be told.
    words: Option<&'static str>,
    is_on: bool,
    asked: VecDeque<Call>,
    entries: BTreeMap<String, Cached>,
    /// What was known when its last requests were sent.
    known: BTreeMap<String, u64>,
}

impl Cache {
    /// An empty one of a client that asks with these words, if it does.
    pub fn new(words: Option<&'static str>) -> Cache {
        Cache { words, ..Cache::default() }
    }

    /// Its connection is gone.
    pub fn clear(&mut self) {
        *self = Cache::new(self.words);
    }

    /// Requests are sent while this is known.
    pub fn asked(&mut self, calls: &[Call], known: &BTreeMap<String, u64>) {
        if self.words.is_some() {
            self.asked.extend(calls.iter().cloned());
            self.known.clone_from(known);
        }
    }

    /// The client is told of keys, or of all there are.
    pub fn pushed(&mut self, push: &Reply) {
        let Reply::Push(words) = push else { return };
        match &words[..] {
            [Reply::Bulk(word), Reply::List(keys)] if word == "invalidate" => {
                self.entries.retain(|key, _| !keys.contains(&Reply::Bulk(key.clone())));
            }
            [Reply::Bulk(word), Reply::Nil] if word == "invalidate" => self.entries.clear(),
            _ => {}
        }
    }

    /// The next request was answered, with what had these versions.
    ///
    /// # Errors
    /// Something older is cached than was known.
    pub fn answered(&mut self, reply: &Reply, versions: &OfKeys) -> Result<(), Broken> {
        let (Some(words), Some(call)) = (self.words, self.asked.pop_front()) else { return Ok(()) };
        let is_old = |(key, cached): &(&String, &Cached)| {
            self.known.get(*key).is_some_and(|known| *known > cached.version)
        };
        if let Some((key, cached)) = self.entries.iter().find(is_old) {
            let known = self.known[key];
            return Err(format!("{key} is cached as {cached:?}, and {known} was known before"));
        }
        self.is_on |= call.name() == "CLIENT" && *reply == Reply::ok();
        if !self.is_on {
            return Ok(());
        }
        let read = read(&call, reply);
        // It is not told of what it has changed itself.
        if read.is_empty() && words.contains("NOLOOP") {
            match call.keys().filter(|_| call.name() != "EXEC") {
                Some(keys) => keys.iter().for_each(|key| drop(self.entries.remove(*key))),
                None => self.entries.clear(),
            }
        }
        for (key, call, reply) in read.into_iter().filter(|(key, ..)| is_told_of(words, key)) {
            let version = versions.iter().find(|(of, _)| *of == key);
            let version = version.map_or(0, |(_, version)| *version);
            self.entries.insert(key, Cached { call, reply, version });
        }
        Ok(())
    }

    /// All is quiet.
    ///
    /// # Errors
    /// Something is cached that the store does not hold.
    pub fn check(&self, model: &Model, now: i64) -> Result<(), Broken> {
        for (key, Cached { call, reply, .. }) in &self.entries {
            let there = ordered(call, model.clone().run(call, now));
            if there != *reply {
                return Err(format!("{key} is cached for good as {reply:?}, and is {there:?}"));
            }
        }
        Ok(())
    }
}

/// Whether a client that has asked so hears of a key.
fn is_told_of(words: &str, key: &str) -> bool {
    let mut prefixes = words.split(" PREFIX ").skip(1).peekable();
    prefixes.peek().is_none() || prefixes.any(|prefix| key.starts_with(prefix))
}

fn ordered(call: &Call, reply: Reply) -> Reply {
    if model::has_no_order(call) { reply.sorted() } else { reply }
}

/// What a call has read: each key, with the call that asks for it alone.
fn read(call: &Call, reply: &Reply) -> Vec<(String, Call, Reply)> {
    match (call.name(), reply) {
        (_, Reply::Error(_) | Reply::Status(_)) => Vec::new(),
        ("GET" | "LRANGE" | "SMEMBERS", _) => {
            vec![(call.0[1].clone(), call.clone(), ordered(call, reply.clone()))]
        }
        ("MGET", Reply::List(all)) => {
            let one = |(key, reply): (&String, &Reply)| {
                let call = Call::of(&format!("MGET {key}"));
                (key.clone(), call, Reply::List(vec![reply.clone()]))
            };
            call.0[1..].iter().zip(all).map(one).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that has asked so and has read the first version of `s0`, before another one was
    /// known.
    fn cached(words: &'static str) -> Cache {
        let mut cache = Cache::new(Some(words));
        cache.asked(&[Call::of("CLIENT TRACKING"), Call::of("GET s0")], &BTreeMap::new());
        cache.answered(&Reply::ok(), &Vec::new()).expect("nothing is cached");
        let versions = vec![("s0".to_owned(), 1)];
        cache.answered(&Reply::bulk(Some("a")), &versions).expect("it is the first");
        cache.asked(&[Call::of("GET s1")], &BTreeMap::from([("s0".to_owned(), 2)]));
        cache
    }

    fn push(keys: Reply) -> Reply {
        Reply::Push(vec![Reply::Bulk("invalidate".to_owned()), keys])
    }

    #[test]
    fn nothing_older_is_cached_than_was_known_when_the_request_was_sent() {
        let goes_on = |mut cache: Cache| cache.answered(&Reply::Nil, &Vec::new());
        assert!(goes_on(cached("ON")).is_err());
        assert!(goes_on(cached("ON BCAST PREFIX x PREFIX s")).is_err());
        assert!(goes_on(cached("ON BCAST PREFIX x")).is_ok(), "it is not told of it");
        for (keys, is_fine) in [
            (Reply::List(vec![Reply::Bulk("s0".to_owned())]), true),
            (Reply::List(vec![Reply::Bulk("s1".to_owned())]), false),
            (Reply::Nil, true),
        ] {
            let mut cache = cached("ON");
            cache.pushed(&push(keys));
            assert_eq!(goes_on(cache).is_ok(), is_fine);
        }
    }

    #[test]
    fn what_is_cached_for_good_is_what_the_store_holds() {
        let mut model = Model::default();
        assert!(cached("ON").check(&model, 0).is_err());
        model.run(&Call::of("SET s0 a"), 0);
        assert!(cached("ON").check(&model, 0).is_ok());
    }

    #[test]
    fn each_change_makes_another_version() {
        let mut versions = Versions { is_on: true, ..Versions::default() };
        let mut model = Model::default();
        let mut next = |line: &str| {
            model.run(&Call::of(line), 0);
            versions.look(&model);
            versions.of(Some(&["s0"])).remove(0).1
        };
        assert_eq!(["GET s0", "SET s0 a", "SET s1 a", "DEL s0"].map(&mut next), [0, 1, 1, 3]);
        versions.told(1, vec![("s0".to_owned(), 3)], true);
        versions.told(1, vec![("s0".to_owned(), 1)], true);
        versions.told(1, vec![("s0".to_owned(), 4)], false);
        assert_eq!(versions.known()["s0"], 3);
        assert_eq!((versions.read(1)[0].1, versions.read(1)[0].1), (3, 1));
    }
}
