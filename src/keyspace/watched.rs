//! Keys that somebody watches: what WATCH notes and EXEC asks.
//!
//! A watched key has a version, which each change of it makes a new one. Who watches remembers the
//! version. The versions stand with the slot, so they go wherever it goes; a slot that is lost, as
//! in a rebuild, makes all its versions new. Nobody has to say that a watch is over: what nobody
//! holds any more is dropped when others come.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::millis::Millis;
use crate::keyspace::entry;
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
struct Watch {
    key: KeyAt,
    version: Arc<Version>,
    /// What it was when the watch began.
    seen: u64,
    /// The key was not there when the watch began, or was past its deadline: that one past its
    /// deadline is taken out is no change then.
    was_absent: bool,
}

impl Watch {
    /// The key has changed for certain, wherever its slot is.
    fn has_failed(&self) -> bool {
        let now = self.version.get();
        let was_taken_out = self.was_absent
            && now == self.seen + 1
            && self.version.before_expired.load(Ordering::Relaxed) == self.seen;
        now != self.seen && !was_taken_out
    }

    /// The key is as it was, at `now`: its slot is here, and it has not changed nor expired.
    fn holds(&self, space: &Keyspace, db: u32, name: &[u8], now: Millis) -> bool {
        let KeyAt { slot, hash, .. } = self.key;
        let has_expired = || has_expired(space, db, Key { name, slot, hash }, now);
        space.has(slot) && !self.has_failed() && (self.was_absent || !has_expired())
    }
}

/// What a client watches, by database and key.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    of_key: BTreeMap<(u32, Box<[u8]>), Watch>,
    memory: usize,
}

impl Watches {
    /// Begins to watch a key at `now`, unless it is watched already or its slot is not here.
    pub(super) fn add(&mut self, space: &mut Keyspace, db: u32, key: Key<'_>, now: Millis) {
        let Entry::Vacant(place) = self.of_key.entry((db, key.name.into())) else { return };
        let was_absent = !is_there(space, db, key, now);
        let Some(interest) = space.interest(key.slot) else { return };
        let version = interest.version(db, key.name);
        self.memory += size_of::<Watch>() + size_of::<Version>() + 2 * key.name.len();
        place.insert(Watch {
            key: KeyAt { position: 0, slot: key.slot, hash: key.hash },
            seen: version.get(),
            version,
            was_absent,
        });
    }

    /// Watches nothing any more.
    pub fn clear(&mut self) {
        *self = Watches::default();
    }

    /// How many keys are watched.
    pub fn len(&self) -> usize {
        self.of_key.len()
    }

    /// True when none is watched.
    pub fn is_empty(&self) -> bool {
        self.of_key.is_empty()
    }

    /// What it costs to watch them, in bytes.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Where the keys are.
    pub fn keys(&self) -> impl Iterator<Item = KeyAt> {
        self.of_key.values().map(|watch| watch.key)
    }

    /// One of the keys has changed for certain, wherever its slot is.
    pub fn have_failed(&self) -> bool {
        self.of_key.values().any(Watch::has_failed)
    }

    /// All keys are as they were, at `now`: their slots are here, and none has changed or expired.
    pub fn hold(&self, space: &Keyspace, now: Millis) -> bool {
        self.of_key.iter().all(|((db, name), watch)| watch.holds(space, *db, name, now))
    }
}

fn entry<'a>(space: &'a Keyspace, db: u32, key: Key<'_>) -> Option<&'a entry::Entry> {
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
        let mut stay = Watches::default();
        for number in 0..1_000 {
            let name = format!("{{t}}{number}");
            let mut goes = Watches::default();
            let watches = if number % 10 == 0 { &mut stay } else { &mut goes };
            watches.add(&mut space, 0, Key::new(name.as_bytes(), &hasher), START);
            watches.add(&mut space, 0, Key::new(name.as_bytes(), &hasher), START);
        }
        assert_eq!((stay.len(), stay.memory() > 100 * 4), (100, true));
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
        assert!(!watch(true, &version).holds(&space, 0, b"k", START), "its slot is not here");
    }
}
