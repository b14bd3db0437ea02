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
use crate::keyspace::notices::Classes;

/// What happened to a key, by the name of its keyspace event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    name: &'static str,
    class: Classes,
    /// Whether its notice may name fields.
    has_fields: bool,
    /// For those that watch the key it is as it was.
    is_aside: bool,
}

#[expect(missing_docs, reason = "the names say it")]
impl Event {
    /// A change that has no event: what a value keeps for itself.
    pub const SILENT: Event = Event::named("", Classes::NONE);
    /// A change without an event of what groups of a stream keep.
    pub const OF_GROUP: Event = Event::aside("", Classes::NONE);
    /// A string is longer than before, by zeros, and that is all.
    pub const GROWN: Event = Event::aside("", Classes::NONE);

    pub const APPEND: Event = Event::named("append", Classes::STRING);
    pub const BLESS: Event = Event::named("bless", Classes::GENERIC);
    pub const COPY_TO: Event = Event::named("copy_to", Classes::GENERIC);
    pub const DEL: Event = Event::named("del", Classes::GENERIC);
    pub const EVICTED: Event = Event::named("evicted", Classes::EVICTED);
    pub const EXPIRE: Event = Event::named("expire", Classes::GENERIC);
    pub const EXPIRED: Event = Event::named("expired", Classes::EXPIRED);
    pub const GEORADIUSSTORE: Event = Event::named("georadiusstore", Classes::ZSET);
    pub const GEOSEARCHSTORE: Event = Event::named("geosearchstore", Classes::ZSET);
    pub const HDEL: Event = Event::named("hdel", Classes::HASH);
    pub const HEXPIRE: Event = Event::named("hexpire", Classes::HASH);
    pub const HEXPIRED: Event = Event::named("hexpired", Classes::HASH);
    pub const HINCRBY: Event = Event::named("hincrby", Classes::HASH);
    pub const HINCRBYFLOAT: Event = Event::named("hincrbyfloat", Classes::HASH);
    pub const HPERSIST: Event = Event::named("hpersist", Classes::HASH);
    pub const HSET: Event = Event::named("hset", Classes::HASH);
    pub const INCRBY: Event = Event::named("incrby", Classes::STRING);
    pub const INCRBYFLOAT: Event = Event::named("incrbyfloat", Classes::STRING);
    pub const KEYMISS: Event = Event::named("keymiss", Classes::MISSED);
    pub const LINSERT: Event = Event::named("linsert", Classes::LIST);
    pub const LPOP: Event = Event::named("lpop", Classes::LIST);
    pub const LPUSH: Event = Event::named("lpush", Classes::LIST);
    pub const LREM: Event = Event::named("lrem", Classes::LIST);
    pub const LSET: Event = Event::named("lset", Classes::LIST);
    pub const LTRIM: Event = Event::named("ltrim", Classes::LIST);
    pub const LTRIM_NOTHING: Event = Event::aside("ltrim", Classes::LIST);
    pub const MOVE_FROM: Event = Event::named("move_from", Classes::GENERIC);
    pub const MOVE_TO: Event = Event::named("move_to", Classes::GENERIC);
    pub const NEW: Event = Event::named("new", Classes::NEW);
    pub const OVERWRITTEN: Event = Event::named("overwritten", Classes::OVERWRITTEN);
    pub const PERSIST: Event = Event::named("persist", Classes::GENERIC);
    pub const PFADD: Event = Event::named("pfadd", Classes::STRING);
    pub const RENAME_FROM: Event = Event::named("rename_from", Classes::GENERIC);
    pub const RENAME_TO: Event = Event::named("rename_to", Classes::GENERIC);
    pub const RESTORE: Event = Event::named("restore", Classes::GENERIC);
    pub const RPOP: Event = Event::named("rpop", Classes::LIST);
    pub const RPUSH: Event = Event::named("rpush", Classes::LIST);
    pub const SADD: Event = Event::named("sadd", Classes::SET);
    pub const SDIFFSTORE: Event = Event::named("sdiffstore", Classes::SET);
    pub const SET: Event = Event::named("set", Classes::STRING);
    pub const SETBIT: Event = Event::named("setbit", Classes::STRING);
    pub const SETRANGE: Event = Event::named("setrange", Classes::STRING);
    pub const SEXPIRE: Event = Event::named("sexpire", Classes::SET);
    pub const SEXPIRED: Event = Event::named("sexpired", Classes::SET);
    pub const SINTERSTORE: Event = Event::named("sinterstore", Classes::SET);
    pub const SORTSTORE: Event = Event::named("sortstore", Classes::LIST);
    pub const SPERSIST: Event = Event::named("spersist", Classes::SET);
    pub const SPOP: Event = Event::named("spop", Classes::SET);
    pub const SREM: Event = Event::named("srem", Classes::SET);
    pub const SUNIONSTORE: Event = Event::named("sunionstore", Classes::SET);
    pub const TYPE_CHANGED: Event = Event::named("type_changed", Classes::TYPE_CHANGED);
    pub const UNBLESS: Event = Event::named("unbless", Classes::GENERIC);
    pub const XADD: Event = Event::named("xadd", Classes::STREAM);
    pub const XDEL: Event = Event::named("xdel", Classes::STREAM);
    pub const XGROUP_CREATE: Event = Event::aside("xgroup-create", Classes::STREAM);
    pub const XGROUP_CREATECONSUMER: Event = Event::aside("xgroup-createconsumer", Classes::STREAM);
    pub const XGROUP_DELCONSUMER: Event = Event::aside("xgroup-delconsumer", Classes::STREAM);
    pub const XGROUP_DESTROY: Event = Event::aside("xgroup-destroy", Classes::STREAM);
    pub const XGROUP_SETID: Event = Event::aside("xgroup-setid", Classes::STREAM);
    pub const XSETID: Event = Event::aside("xsetid", Classes::STREAM);
    pub const XTRIM: Event = Event::named("xtrim", Classes::STREAM);
    pub const ZADD: Event = Event::named("zadd", Classes::ZSET);
    pub const ZDIFFSTORE: Event = Event::named("zdiffstore", Classes::ZSET);
    pub const ZEXPIRE: Event = Event::named("zexpire", Classes::ZSET);
    pub const ZEXPIRED: Event = Event::named("zexpired", Classes::ZSET);
    pub const ZINCR: Event = Event::named("zincr", Classes::ZSET);
    pub const ZINTERSTORE: Event = Event::named("zinterstore", Classes::ZSET);
    pub const ZPERSIST: Event = Event::named("zpersist", Classes::ZSET);
    pub const ZPOPMAX: Event = Event::named("zpopmax", Classes::ZSET);
    pub const ZPOPMIN: Event = Event::named("zpopmin", Classes::ZSET);
    pub const ZRANGESTORE: Event = Event::named("zrangestore", Classes::ZSET);
    pub const ZREM: Event = Event::named("zrem", Classes::ZSET);
    pub const ZREMRANGEBYLEX: Event = Event::named("zremrangebylex", Classes::ZSET);
    pub const ZREMRANGEBYRANK: Event = Event::named("zremrangebyrank", Classes::ZSET);
    pub const ZREMRANGEBYSCORE: Event = Event::named("zremrangebyscore", Classes::ZSET);
    pub const ZUNIONSTORE: Event = Event::named("zunionstore", Classes::ZSET);

    const fn named(name: &'static str, class: Classes) -> Event {
        Event { name, class, has_fields: class.has(Classes::HASH), is_aside: false }
    }

    const fn aside(name: &'static str, class: Classes) -> Event {
        Event { name, class, has_fields: false, is_aside: true }
    }

    /// The same, where time alone has caused it.
    pub const fn by_time(self) -> Event {
        Event { class: Classes::EXPIRED, ..self }
    }

    /// Its class, for those who listen to some events.
    pub const fn class(self) -> Classes {
        self.class
    }

    /// Its name, empty where it has none.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Whether clients may hear which fields it was about: only with hashes, as in Redis.
    pub(super) const fn has_fields(self) -> bool {
        self.has_fields
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
