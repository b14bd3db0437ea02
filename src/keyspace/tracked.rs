//! Keys that clients have cached (CLIENT TRACKING): who has cached which, and which have changed.
//!
//! Who has cached a key stands with its slot and goes wherever that goes. The first change of the
//! key ends that: its clients are told, and read it again if they still want it. A client that has
//! gone, or caches nothing any more, is not taken out ahead of that. So how many keys are kept is
//! bounded (`tracking-table-max-keys`): of more than that some are told of as if they had changed.

use crate::keyspace::interest::Interest;
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

/// The clients that have cached one key, by number.
#[derive(Debug, Default)]
pub(super) struct Trackers(Vec<Tracker>);

impl Trackers {
    /// A client has cached the key.
    pub(super) fn add(&mut self, tracker: Tracker) {
        if let Err(at) = self.place_of(tracker.client) {
            // Most keys are cached by one client.
            self.0.reserve_exact(usize::from(self.0.is_empty()));
            self.0.insert(at, tracker);
        }
    }

    pub(super) fn has(&self, client: u64) -> bool {
        self.place_of(client).is_ok()
    }

    fn place_of(&self, client: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&client, |there| there.client)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes all.
    pub(super) fn take(&mut self) -> Vec<Tracker> {
        std::mem::take(&mut self.0)
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
    pub(super) fn forget(&mut self, name: &[u8], trackers: Vec<Tracker>) {
        self.noted.push(Invalidation { key: name.into(), is_nobodys: true, trackers });
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
            self.with_interest(key.slot, |interest| interest.track(db, key.name, tracker));
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
            if count == 0 {
                return;
            }
            let before = self.tracked();
            self.with_interest(number, |interest| interest.forget_trackers(count, invalidations));
            count -= before - self.tracked();
        }
    }

    /// Forgets who has cached any key.
    pub(super) fn flush_trackers(&mut self) {
        let numbers: Vec<u16> = self.interested().collect();
        for number in numbers {
            self.with_interest(number, Interest::flush_trackers);
        }
    }
}
