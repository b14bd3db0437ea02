//! Who hears of every change of a key: before its first byte changes, and after it.
//!
//! A change has a key, and passes two points: [`Listener::ahead`] and [`Listener::touched`]. No
//! command knows who listens. What is journaled is not the same thing: that is
//! [`Effects`](crate::keyspace::effect::Effects). While a journal is replayed nobody hears of it.

use std::collections::BTreeMap;
#[cfg(debug_assertions)]
use std::collections::BTreeSet;

use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;

/// What happened to a key, by the name of its keyspace event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    name: &'static str,
    /// For those that watch the key it is as it was.
    is_aside: bool,
}

#[expect(missing_docs, reason = "the names say it")]
impl Event {
    /// A change that has no event: what a value keeps for itself.
    pub const SILENT: Event = Event::named("");
    /// A change without an event of what groups of a stream keep.
    pub const OF_GROUP: Event = Event::aside("");

    pub const APPEND: Event = Event::named("append");
    pub const COPY_TO: Event = Event::named("copy_to");
    pub const DEL: Event = Event::named("del");
    pub const EXPIRE: Event = Event::named("expire");
    pub const EXPIRED: Event = Event::named("expired");
    pub const GEORADIUSSTORE: Event = Event::named("georadiusstore");
    pub const GEOSEARCHSTORE: Event = Event::named("geosearchstore");
    pub const HDEL: Event = Event::named("hdel");
    pub const HEXPIRE: Event = Event::named("hexpire");
    pub const HEXPIRED: Event = Event::named("hexpired");
    pub const HINCRBY: Event = Event::named("hincrby");
    pub const HINCRBYFLOAT: Event = Event::named("hincrbyfloat");
    pub const HPERSIST: Event = Event::named("hpersist");
    pub const HSET: Event = Event::named("hset");
    pub const INCRBY: Event = Event::named("incrby");
    pub const INCRBYFLOAT: Event = Event::named("incrbyfloat");
    pub const LINSERT: Event = Event::named("linsert");
    pub const LPOP: Event = Event::named("lpop");
    pub const LPUSH: Event = Event::named("lpush");
    pub const LREM: Event = Event::named("lrem");
    pub const LSET: Event = Event::named("lset");
    pub const LTRIM: Event = Event::named("ltrim");
    pub const LTRIM_NOTHING: Event = Event::aside("ltrim");
    pub const MOVE_FROM: Event = Event::named("move_from");
    pub const MOVE_TO: Event = Event::named("move_to");
    pub const NEW: Event = Event::named("new");
    pub const PERSIST: Event = Event::named("persist");
    pub const PFADD: Event = Event::named("pfadd");
    pub const RENAME_FROM: Event = Event::named("rename_from");
    pub const RENAME_TO: Event = Event::named("rename_to");
    pub const RESTORE: Event = Event::named("restore");
    pub const RPOP: Event = Event::named("rpop");
    pub const RPUSH: Event = Event::named("rpush");
    pub const SADD: Event = Event::named("sadd");
    pub const SDIFFSTORE: Event = Event::named("sdiffstore");
    pub const SET: Event = Event::named("set");
    pub const SETBIT: Event = Event::named("setbit");
    pub const SETRANGE: Event = Event::named("setrange");
    pub const SEXPIRE: Event = Event::named("sexpire");
    pub const SEXPIRED: Event = Event::named("sexpired");
    pub const SINTERSTORE: Event = Event::named("sinterstore");
    pub const SORTSTORE: Event = Event::named("sortstore");
    pub const SPERSIST: Event = Event::named("spersist");
    pub const SPOP: Event = Event::named("spop");
    pub const SREM: Event = Event::named("srem");
    pub const SUNIONSTORE: Event = Event::named("sunionstore");
    pub const XADD: Event = Event::named("xadd");
    pub const XDEL: Event = Event::named("xdel");
    pub const XGROUP_CREATE: Event = Event::aside("xgroup-create");
    pub const XGROUP_CREATECONSUMER: Event = Event::aside("xgroup-createconsumer");
    pub const XGROUP_DELCONSUMER: Event = Event::aside("xgroup-delconsumer");
    pub const XGROUP_DESTROY: Event = Event::aside("xgroup-destroy");
    pub const XGROUP_SETID: Event = Event::aside("xgroup-setid");
    pub const XSETID: Event = Event::aside("xsetid");
    pub const XTRIM: Event = Event::named("xtrim");
    pub const ZADD: Event = Event::named("zadd");
    pub const ZDIFFSTORE: Event = Event::named("zdiffstore");
    pub const ZEXPIRE: Event = Event::named("zexpire");
    pub const ZEXPIRED: Event = Event::named("zexpired");
    pub const ZINCR: Event = Event::named("zincr");
    pub const ZINTERSTORE: Event = Event::named("zinterstore");
    pub const ZPERSIST: Event = Event::named("zpersist");
    pub const ZPOPMAX: Event = Event::named("zpopmax");
    pub const ZPOPMIN: Event = Event::named("zpopmin");
    pub const ZRANGESTORE: Event = Event::named("zrangestore");
    pub const ZREM: Event = Event::named("zrem");
    pub const ZREMRANGEBYLEX: Event = Event::named("zremrangebylex");
    pub const ZREMRANGEBYRANK: Event = Event::named("zremrangebyrank");
    pub const ZREMRANGEBYSCORE: Event = Event::named("zremrangebyscore");
    pub const ZUNIONSTORE: Event = Event::named("zunionstore");

    const fn named(name: &'static str) -> Event {
        Event { name, is_aside: false }
    }

    const fn aside(name: &'static str) -> Event {
        Event { name, is_aside: true }
    }

    /// Its name, empty where it has none.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// It leaves the key as it was for those that watch it.
    pub const fn is_aside(self) -> bool {
        self.is_aside
    }
}

/// Hears of changes of the keys that are here.
pub trait Listener {
    /// A key may be about to change; this is what is there.
    fn ahead(&mut self, _db: u32, _key: Key<'_>, _there: Option<&Entry>) {}

    /// A key has changed. One change may have several events, and what it gained or lost in bytes
    /// ([`Entry::memory`], which of a large value is an estimate) stands with the first of them.
    fn touched(&mut self, db: u32, key: Key<'_>, event: Event, bytes: i64);

    /// A database is about to be emptied, over the slots that are here.
    fn flushed(&mut self, _db: u32) {}

    /// Two databases have changed places, over the slots that are here.
    fn swapped(&mut self, _a: u32, _b: u32) {}
}

/// The listeners of a shard.
#[derive(Default)]
pub struct Listeners(Vec<Box<dyn Listener>>);

impl std::fmt::Debug for Listeners {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} listeners", self.0.len())
    }
}

impl Listeners {
    /// These, in this order.
    pub fn new(listeners: Vec<Box<dyn Listener>>) -> Listeners {
        Listeners(listeners)
    }

    /// True when nobody listens.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells each of them something.
    pub fn each(&mut self, tell: impl FnMut(&mut Box<dyn Listener>)) {
        self.0.iter_mut().for_each(tell);
    }
}

/// What a call owes the listeners. In debug builds it is asserted that no change goes untold.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Keys whose collection was left without elements: DEL follows the event of the change.
    vanished: Vec<(u32, u64)>,
    /// Bytes of the keys that were told of ahead, as the listeners know them; none while nobody
    /// listens.
    known: Option<BTreeMap<(u32, u64), usize>>,
    /// Keys that were told of ahead.
    #[cfg(debug_assertions)]
    ahead: BTreeSet<(u32, u64)>,
    /// Keys that have changed since they were told of last.
    #[cfg(debug_assertions)]
    changed: BTreeSet<(u32, u64)>,
}

impl Owed {
    /// The key may change from now on.
    #[inline]
    pub(super) fn ahead(&mut self, _db: u32, _key: Key<'_>) {
        #[cfg(debug_assertions)]
        self.ahead.insert((_db, _key.hash));
    }

    /// The key has changed.
    #[inline]
    pub(super) fn changed(&mut self, _db: u32, _key: Key<'_>) {
        #[cfg(debug_assertions)]
        self.changed.insert((_db, _key.hash));
    }

    /// The key went with its last element.
    pub(super) fn vanished(&mut self, db: u32, key: Key<'_>) {
        self.vanished.push((db, key.hash));
    }

    /// The key is told of now.
    #[inline]
    pub(super) fn touched(&mut self, _db: u32, _key: Key<'_>) {
        #[cfg(debug_assertions)]
        {
            let key = (_db, _key.hash);
            assert!(self.ahead.contains(&key), "a key changed that nobody was told of");
            self.changed.remove(&key);
        }
    }

    /// Whether the key went with its last element, and nobody has been told of that.
    #[inline]
    pub(super) fn take_vanished(&mut self, db: u32, key: Key<'_>) -> bool {
        let before = self.vanished.len();
        if before > 0 {
            self.vanished.retain(|vanished| *vanished != (db, key.hash));
        }
        self.vanished.len() < before
    }

    /// What is ahead of a change has so many bytes.
    pub(super) fn know(&mut self, db: u32, key: Key<'_>, bytes: usize) {
        self.known.get_or_insert_default().entry((db, key.hash)).or_insert(bytes);
    }

    /// The key has so many bytes now. Returns how many more that is than the listeners know of.
    pub(super) fn grow(&mut self, db: u32, key: Key<'_>, bytes: usize) -> i64 {
        let known = self.known.get_or_insert_default().insert((db, key.hash), bytes);
        bytes as i64 - known.unwrap_or(0) as i64
    }

    /// The call ends.
    pub(super) fn end(&self) {
        debug_assert!(self.vanished.is_empty(), "a key went untold");
        #[cfg(debug_assertions)]
        assert!(self.changed.is_empty(), "a key changed, and nobody heard of it");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::testing::{Still, Store};

    /// Notes what it hears, one word each: `+` and a key ahead of a change, then its events.
    struct Notes(Rc<RefCell<Vec<String>>>);

    impl Listener for Notes {
        fn ahead(&mut self, _db: u32, key: Key<'_>, there: Option<&Entry>) {
            let mark = if there.is_some() { '!' } else { '+' };
            self.0.borrow_mut().push(format!("{mark}{}", key.name.escape_ascii()));
        }

        fn touched(&mut self, db: u32, key: Key<'_>, event: Event, _bytes: i64) {
            let name = key.name.escape_ascii();
            self.0.borrow_mut().push(format!("{}:{name}:{db}", event.name()));
        }

        fn flushed(&mut self, db: u32) {
            self.0.borrow_mut().push(format!("flushed:{db}"));
        }

        fn swapped(&mut self, a: u32, b: u32) {
            self.0.borrow_mut().push(format!("swapped:{a}:{b}"));
        }
    }

    #[test]
    fn every_change_is_announced_and_told() {
        let notes = Rc::new(RefCell::new(Vec::new()));
        let mut store = Store::with_listener(Box::new(Notes(Rc::clone(&notes))));
        let mut heard = |line: &str| {
            store.run(line);
            notes.take().join(" ")
        };
        assert_eq!(heard("SET k 1 EX 10"), "+k new:k:0 set:k:0 expire:k:0");
        assert_eq!(heard("INCR k"), "!k incrby:k:0");
        assert_eq!(heard("GET k"), "");
        assert_eq!(heard("RENAME k r"), "!k :k:0 +r new:r:0 rename_from:k:0 rename_to:r:0");
        assert_eq!(heard("MOVE r 1"), "!r :r:0 +r new:r:1 move_from:r:0 move_to:r:1");
        assert_eq!(heard("RPUSH l a"), "+l new:l:0 rpush:l:0");
        assert_eq!(heard("LPOP l"), "!l lpop:l:0 del:l:0");
        assert_eq!(heard("HDEL h f"), "+h");
        assert_eq!(heard("SADD s m"), "+s new:s:0 sadd:s:0");
        assert_eq!(heard("SMOVE s t m"), "!s srem:s:0 del:s:0 +t new:t:0 sadd:t:0");
        assert_eq!(heard("SPOP t 5"), "!t spop:t:0 del:t:0");
        assert_eq!(heard("SWAPDB 0 1"), "swapped:0:1");
        assert_eq!(heard("FLUSHALL"), "flushed:0 flushed:1");
    }

    #[test]
    fn what_has_expired_is_told() {
        let notes = Rc::new(RefCell::new(Vec::new()));
        let mut store = Store::with_listener(Box::new(Notes(Rc::clone(&notes))));
        store.run("SET k 1 PX 10");
        store.run("HSETEX h PX 10 FIELDS 1 f v");
        notes.take();
        store.tick(10);
        store.shard.expire(store.now, &mut Still);
        let mut heard = notes.take();
        heard.sort();
        assert_eq!(heard.join(" "), "!h !k del:h:0 expired:k:0 hexpired:h:0");
    }

    #[test]
    fn nobody_hears_a_replay() {
        let notes = Rc::new(RefCell::new(Vec::new()));
        let mut store = Store::with_listener(Box::new(Notes(Rc::clone(&notes))));
        store.run("SET k 1");
        notes.take();
        store.shard.effects().listen(true);
        store.shard.remake(store.now);
        assert_eq!((notes.take().len(), store.run("GET k").as_str()), (0, "\"1\""));
    }
}
