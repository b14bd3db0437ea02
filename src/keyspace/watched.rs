//! Keys that somebody watches: what WATCH notes and EXEC asks.
//!
//! A watched key has a version, which each change of it makes a new one. Who watches remembers the
//! version. The versions stand with the slot, so they go wherever it goes; a slot that is lost, as
//! in a rebuild, makes all its versions new. Nobody has to say that a watch is over: what nobody
//! holds any more is dropped when others come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::millis::Millis;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::{Key, KeyAt};
use crate::keyspace::listener::Event;
use crate::keyspace::space::Keyspace;

/// No version.
const NONE: u64 = u64::MAX;

/// The version of a key. It is written where its slot is, and only there; elsewhere it is at most
/// looked at ahead, since a key that has changed stays changed.
#[derive(Debug)]
pub(super) struct Version {
    now: AtomicU64,
    /// The version that the last change has ended, where that took an expired key out.
    before_expired: AtomicU64,
}

impl Default for Version {
    fn default() -> Version {
        Version { now: AtomicU64::new(0), before_expired: AtomicU64::new(NONE) }
    }
}

impl Version {
    fn get(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The key has changed.
    pub(super) fn changed(&self, event: Event) {
        let version = self.get();
        let expired = if event == Event::EXPIRED { version } else { NONE };
        self.before_expired.store(expired, Ordering::Relaxed);
        self.now.store(version + 1, Ordering::Relaxed);
    }
}

/// A client's watch of a key.
#[derive(Clone, Debug)]
pub struct Watch {
    db: u32,
    name: Box<[u8]>,
    key: KeyAt,
    version: Arc<Version>,
    /// What it was when the watch began.
    seen: u64,
    /// The key was not there when the watch began, or was past its deadline: that one past its
    /// deadline is taken out is no change then.
    was_absent: bool,
}

impl Watch {
    /// Begins to watch a key at `now`; none where its slot is not here.
    pub fn new(space: &mut Keyspace, db: u32, key: Key<'_>, now: Millis) -> Option<Watch> {
        let was_absent = !is_there(space, db, key, now);
        let version = space.interest(key.slot)?.version(db, key.name);
        Some(Watch {
            db,
            name: key.name.into(),
            key: KeyAt { position: 0, slot: key.slot, hash: key.hash },
            seen: version.get(),
            version,
            was_absent,
        })
    }

    /// True for a watch of this key.
    pub fn is_of(&self, db: u32, name: &[u8]) -> bool {
        self.db == db && *self.name == *name
    }

    /// Where the key is.
    pub fn key(&self) -> KeyAt {
        self.key
    }

    /// The key has changed for certain, wherever its slot is.
    pub fn has_failed(&self) -> bool {
        let now = self.version.get();
        let was_taken_out = self.was_absent
            && now == self.seen + 1
            && self.version.before_expired.load(Ordering::Relaxed) == self.seen;
        now != self.seen && !was_taken_out
    }

    /// The key is as it was, at `now`: its slot is here, and it has not changed nor expired.
    pub fn holds(&self, space: &Keyspace, now: Millis) -> bool {
        let KeyAt { slot, hash, .. } = self.key;
        let key = Key { name: &self.name, slot, hash };
        let has_expired = || has_expired(space, self.db, key, now);
        space.has(slot) && !self.has_failed() && (self.was_absent || !has_expired())
    }
}

fn entry<'a>(space: &'a Keyspace, db: u32, key: Key<'_>) -> Option<&'a Entry> {
    space.table(db, key.slot)?.get(key.in_table())
}

fn is_there(space: &Keyspace, db: u32, key: Key<'_>, now: Millis) -> bool {
    entry(space, db, key).is_some_and(|entry| !entry.is_expired(now))
}

fn has_expired(space: &Keyspace, db: u32, key: Key<'_>, now: Millis) -> bool {
    entry(space, db, key).is_some_and(|entry| entry.is_expired(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Hasher;
    use crate::base::slot;
    use crate::testing::START;

    #[test]
    fn nothing_is_left_of_those_who_watched() {
        let hasher = Hasher::with_seeds([1, 2, 3, 4]);
        let mut space = Keyspace::new(hasher.clone());
        let slot = slot::of(b"{t}");
        space.put(slot, Box::default());
        let mut stay = Vec::new();
        for number in 0..1_000 {
            let name = format!("{{t}}{number}");
            let watch = Watch::new(&mut space, 0, Key::new(name.as_bytes(), &hasher), START);
            stay.extend(watch.filter(|_| number % 10 == 0));
        }
        assert_eq!(stay.len(), 100);
        let has_interest =
            |space: &Keyspace| space.slot(slot).is_some_and(|slot| slot.interest.is_some());
        assert_eq!((space.cared_for().watched, has_interest(&space)), (stay.len(), true));
        stay.clear();
        assert_eq!((space.cared_for().watched, has_interest(&space)), (0, false));
    }

    #[test]
    fn an_absent_key_may_be_taken_out_once() {
        let hasher = Hasher::with_seeds([1, 2, 3, 4]);
        let version = Version::default();
        let watch = |was_absent, version: &Arc<Version>| Watch {
            db: 0,
            name: b"k"[..].into(),
            key: KeyAt::new(1, b"k", &hasher),
            seen: version.get(),
            version: version.clone(),
            was_absent,
        };
        let version = Arc::new(version);
        let (absent, there) = (watch(true, &version), watch(false, &version));
        assert!(!absent.has_failed() && !there.has_failed());
        version.changed(Event::EXPIRED);
        assert!(!absent.has_failed() && there.has_failed());
        let later = watch(true, &version);
        version.changed(Event::SET);
        assert!(absent.has_failed() && later.has_failed());
        version.changed(Event::EXPIRED);
        assert!(absent.has_failed() && later.has_failed(), "it was there in between");
        let space = Keyspace::new(hasher.clone());
        assert!(!watch(true, &version).holds(&space, START), "its slot is not here");
    }
}
