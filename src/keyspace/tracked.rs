//! Keys that clients have cached (CLIENT TRACKING): who has cached which, and which have changed.
//!
//! Who has cached a key stands with its slot and goes wherever that goes. The first change of the
//! key ends that: its clients are told, and read it again if they still want it. A client that has
//! gone, or caches nothing any more, is not taken out ahead of that. So how many keys are kept is
//! bounded (`tracking-table-max-keys`): of more than that some are told of as if they had changed.

use std::collections::BTreeMap;

use crate::keyspace::key::Key;
use crate::keyspace::listener::Event;
use crate::keyspace::space::Keyspace;

/// A client that caches keys, and where its connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracker {
    /// Its number.
    pub client: u64,
    /// The thread of its connection.
    pub thread: u16,
    /// The place of its connection there.
    pub connection: u32,
}

/// Clients dropped at once.
const PIECE: usize = 64;

/// The keys of a slot that clients have cached.
#[derive(Debug, Default)]
pub(crate) struct Cached {
    /// For each key its clients, by number.
    of_db: BTreeMap<u32, BTreeMap<Box<[u8]>, Vec<Tracker>>>,
    keys: usize,
    trackers: usize,
}

impl Cached {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys
    }

    /// How many clients have cached them, each key by itself.
    pub(super) fn trackers(&self) -> usize {
        self.trackers
    }

    /// A client has cached a key.
    pub(super) fn add(&mut self, db: u32, name: &[u8], tracker: Tracker) {
        let keys = self.of_db.entry(db).or_default();
        let Some(trackers) = keys.get_mut(name) else {
            // Most keys are cached by one client: `vec!` asks for no room beyond it.
            keys.insert(name.into(), vec![tracker]);
            self.keys += 1;
            self.trackers += 1;
            return;
        };
        if let Err(at) = trackers.binary_search_by_key(&tracker.client, |there| there.client) {
            trackers.insert(at, tracker);
            self.trackers += 1;
        }
    }

    /// Takes the clients that have cached a key.
    pub(super) fn take(&mut self, db: u32, name: &[u8]) -> Option<Vec<Tracker>> {
        let trackers = self.of_db.get_mut(&db)?.remove(name)?;
        self.taken(&trackers);
        Some(trackers)
    }

    /// Takes any key.
    fn take_any(&mut self) -> Option<(Box<[u8]>, Vec<Tracker>)> {
        loop {
            let mut keys = self.of_db.first_entry()?;
            match keys.get_mut().pop_first() {
                Some((name, trackers)) => {
                    self.taken(&trackers);
                    return Some((name, trackers));
                }
                None => drop(keys.remove()),
            }
        }
    }

    fn taken(&mut self, trackers: &[Tracker]) {
        self.keys -= 1;
        self.trackers -= trackers.len();
    }

    /// Drops a piece. Returns true when there is more.
    pub(super) fn drop_some(&mut self) -> bool {
        let left = self.trackers.saturating_sub(PIECE);
        while self.trackers > left && self.take_any().is_some() {}
        self.keys > 0
    }
}

/// A key that is not any more what clients have cached.
#[derive(Debug)]
pub(crate) struct Invalidation {
    pub(crate) key: Box<[u8]>,
    /// No client has changed it: its time had come, or there is no room to remember it.
    pub(crate) is_nobodys: bool,
    /// Those that had cached it.
    pub(crate) trackers: Vec<Tracker>,
}

/// What has changed and clients have not been told of.
#[derive(Debug, Default)]
pub struct Invalidations {
    /// Whether keys are noted that nobody has cached, for those that want to hear of all.
    notes_all: bool,
    noted: Vec<Invalidation>,
    has_flushed: bool,
}

impl Invalidations {
    /// Whether keys are noted that nobody has cached.
    pub(crate) fn note_all(&mut self, all: bool) {
        self.notes_all = all;
    }

    /// Something has happened to a key.
    #[inline]
    pub(crate) fn note(&mut self, key: Key<'_>, event: Event) {
        if self.notes_all && !event.is_aside() {
            self.add(key.name, event, Vec::new());
        }
    }

    /// A key has changed that these had cached.
    #[cold]
    pub(super) fn add(&mut self, name: &[u8], event: Event, trackers: Vec<Tracker>) {
        let is_nobodys = event == Event::EXPIRED;
        self.noted.push(Invalidation { key: name.into(), is_nobodys, trackers });
    }

    /// There is no room to remember who has cached a key.
    fn forget(&mut self, key: Box<[u8]>, trackers: Vec<Tracker>) {
        self.noted.push(Invalidation { key, is_nobodys: true, trackers });
    }

    /// Nothing is any more what clients have cached.
    pub(crate) fn flush(&mut self) {
        self.has_flushed = true;
    }

    /// Nothing is noted.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.noted.is_empty() && !self.has_flushed
    }

    /// Takes what is noted.
    pub(crate) fn take(&mut self) -> Invalidations {
        let notes_all = self.notes_all;
        std::mem::replace(self, Invalidations { notes_all, ..Invalidations::default() })
    }

    /// Notes what was taken again, ahead of what has been noted since.
    pub(crate) fn resume(&mut self, taken: Invalidations) {
        self.has_flushed |= taken.has_flushed;
        self.noted.splice(..0, taken.noted).for_each(drop);
    }

    /// Whether nothing is any more what clients have cached.
    pub(crate) fn has_flushed(&self) -> bool {
        self.has_flushed
    }

    /// The keys that are noted, each as often as it has changed.
    pub(crate) fn noted(&mut self) -> &mut Vec<Invalidation> {
        &mut self.noted
    }
}

impl Keyspace {
    /// A client has cached a key, where its slot is here.
    pub(crate) fn track(&mut self, db: u32, key: Key<'_>, tracker: Tracker) {
        if self.interest(key.slot).is_some() {
            self.with_interest(key.slot, |interest| interest.cached.add(db, key.name, tracker));
        }
    }

    /// Forgets who has cached some keys, so many of slots from `first` on, and notes those keys.
    pub(crate) fn forget_trackers(
        &mut self,
        mut count: usize,
        first: u16,
        invalidations: &mut Invalidations,
    ) {
        let numbers: Vec<u16> = self.interested().collect();
        let (below, above): (Vec<u16>, Vec<u16>) = numbers.iter().partition(|slot| **slot < first);
        for number in above.into_iter().chain(below) {
            self.with_interest(number, |interest| {
                while count > 0
                    && let Some((name, trackers)) = interest.cached.take_any()
                {
                    invalidations.forget(name, trackers);
                    count -= 1;
                }
            });
        }
    }

    /// Forgets who has cached any key. Returns what was known.
    pub(super) fn flush_trackers(&mut self) -> Vec<Cached> {
        let numbers: Vec<u16> = self.interested().collect();
        let flushed = numbers.into_iter().filter_map(|number| {
            self.with_interest(number, |interest| std::mem::take(&mut interest.cached))
        });
        flushed.filter(|cached| cached.len() > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(client: u64) -> Tracker {
        Tracker { client, thread: 0, connection: 0 }
    }

    fn counts(cached: &Cached) -> (usize, usize) {
        let keys = cached.of_db.values().map(BTreeMap::len).sum();
        let trackers = cached.of_db.values().flat_map(BTreeMap::values).map(Vec::len).sum();
        assert_eq!((cached.len(), cached.trackers()), (keys, trackers));
        (keys, trackers)
    }

    #[test]
    fn a_key_is_taken_with_all_its_clients() {
        let mut cached = Cached::default();
        for client in [3, 1, 2, 1, 3] {
            cached.add(0, b"a", tracker(client));
        }
        cached.add(1, b"a", tracker(1));
        cached.add(0, b"b", tracker(1));
        assert_eq!(counts(&cached), (3, 5));
        let clients = |taken: Vec<Tracker>| taken.iter().map(|of| of.client).collect::<Vec<u64>>();
        assert_eq!(cached.take(0, b"a").map(clients), Some(vec![1, 2, 3]));
        assert_eq!(cached.take(0, b"a"), None);
        assert_eq!(cached.take(2, b"a"), None);
        assert_eq!(counts(&cached), (2, 2));
        assert_eq!(cached.take_any().map(|(name, _)| name), Some((*b"b").into()));
        assert_eq!(cached.take_any().map(|(name, _)| name), Some((*b"a").into()));
        assert_eq!(cached.take_any().map(|(name, _)| name), None);
        assert_eq!(counts(&cached), (0, 0));
    }

    #[test]
    fn they_are_dropped_in_pieces() {
        let mut cached = Cached::default();
        for number in 0_u64..1000 {
            let name = (number / 3).to_be_bytes();
            cached.add((number % 2) as u32, &name, tracker(number));
        }
        let mut pieces = 1;
        let mut before = cached.trackers();
        while cached.drop_some() {
            let (_, left) = counts(&cached);
            assert!((PIECE..PIECE + 2).contains(&(before - left)), "{before} {left}");
            before = left;
            pieces += 1;
        }
        assert_eq!((counts(&cached), pieces), ((0, 0), 1000 / PIECE + 1));
    }
}
