//! Who cares for the keys of a slot: those that watch them, those that wait for them, and those
//! that have cached them.
//!
//! It stands with the slot and goes wherever that goes, by database number: SWAPDB does not move
//! it. A slot for which nobody cares has none. Nobody says that a watch or a wait is over: that is
//! found out when others come, so what is kept of them has at most twice the size of what is
//! needed.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Bound;
use std::sync::{Arc, Weak};

use crate::keyspace::key::Key;
use crate::keyspace::listener::Event;
use crate::keyspace::own::Own;
use crate::keyspace::tracked::{Cached, Invalidations};
use crate::keyspace::watched::Version;

/// Entries below which nothing is looked through for what is over.
const SWEPT_MIN: usize = 2;

/// Somebody who waits for a key.
pub trait Waiter: Any + Debug + Send + Sync {
    /// The wait is over.
    fn is_over(&self) -> bool;

    /// The keys that have to be here too where it is served.
    fn needs(&self) -> Vec<Key<'_>>;
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Items of a list.
    List,
    /// Members of a sorted set.
    Zset,
    /// Entries of a stream.
    Stream,
    /// Entries of a stream for a group, or that the stream or the group is gone.
    Group,
}

impl Awaited {
    /// All that there is to wait for.
    pub const ALL: [Awaited; 4] = [Awaited::List, Awaited::Zset, Awaited::Stream, Awaited::Group];

    /// What there is of it depends on who asks.
    pub fn is_of_stream(self) -> bool {
        matches!(self, Awaited::Stream | Awaited::Group)
    }
}

/// The place of a wait among those for the same keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Higher than that of all that waited for any of its keys when it began.
    pub number: u64,
    /// The client, so that no two are alike.
    pub client: u64,
}

type Waiters = BTreeMap<Rank, Weak<dyn Waiter>>;

/// Whether a key is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    No,
    /// It is, and past its deadline.
    Expired,
    Yes,
}

/// Who watches a key or waits for it.
#[derive(Debug, Default)]
struct OfKey {
    /// Those that watch it hold it as well.
    version: Option<Arc<Version>>,
    /// Those that wait for it, by what they wait for.
    waiters: Option<Box<[Waiters; 4]>>,
}

fn is_waiting(waiter: &Weak<dyn Waiter>) -> bool {
    waiter.upgrade().is_some_and(|waiter| !waiter.is_over())
}

impl OfKey {
    fn is_watched(&self) -> bool {
        self.version.as_ref().is_some_and(|version| Arc::strong_count(version) > 1)
    }

    /// Those that still wait.
    fn waiting(&self, what: Awaited) -> impl Iterator<Item = Arc<dyn Waiter>> {
        let waiters = self.waiters.iter().flat_map(move |waiters| waiters[what as usize].values());
        waiters.filter_map(Weak::upgrade).filter(|waiter| !waiter.is_over())
    }

    fn is_awaited(&self) -> bool {
        Awaited::ALL.into_iter().any(|what| self.waiting(what).next().is_some())
    }

    /// Somebody waits for its end as well.
    fn is_awaited_gone(&self) -> bool {
        self.waiting(Awaited::Group).next().is_some()
    }

    /// Forgets what is over. Returns how much is left.
    fn sweep(&mut self) -> usize {
        for waiters in self.waiters.iter_mut().flat_map(|waiters| waiters.iter_mut()) {
            waiters.retain(|_, waiter| is_waiting(waiter));
        }
        self.waiters.take_if(|waiters| waiters.iter().all(BTreeMap::is_empty));
        let waiters = self.waiters.iter().flat_map(|waiters| waiters.iter());
        let waiters = waiters.map(BTreeMap::len).sum::<usize>();
        usize::from(self.is_watched()) + waiters
    }

    /// The key has changed. Returns true where somebody waits for it.
    fn changed(&mut self, event: Event) -> bool {
        if let Some(version) = self.version.as_ref().filter(|_| !event.is_aside()) {
            version.changed(event);
        }
        // As in Valkey, where a group that is set back wakes nobody.
        self.waiters.is_some() && event != Event::XGROUP_SETID
    }
}

/// For how many keys somebody cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cares {
    /// Those that somebody watches.
    pub watched: usize,
    /// Those that somebody waits for.
    pub awaited: usize,
    /// Those for whose end somebody waits as well.
    pub awaited_gone: usize,
    /// Those that somebody has cached.
    pub tracked: usize,
    /// How many clients have cached them, each key by itself.
    pub trackers: usize,
}

impl Cares {
    /// Adds those of other slots.
    pub fn add(&mut self, other: Cares) {
        self.watched += other.watched;
        self.awaited += other.awaited;
        self.awaited_gone += other.awaited_gone;
        self.tracked += other.tracked;
        self.trackers += other.trackers;
    }
}

/// Who cares for the keys of a slot.
#[derive(Debug)]
pub(crate) struct Interest {
    of_db: BTreeMap<u32, BTreeMap<Box<[u8]>, OfKey>>,
    /// Keys that are watched and waits, those that are over among them.
    entries: usize,
    /// With so many, those that are over are dropped.
    sweeps_at: usize,
    /// Those that clients have cached. They are no entries: there may be very many of them, and
    /// they are found by name alone.
    pub(super) cached: Cached,
    /// Those that go by themselves though another server says when keys go.
    pub(super) own: Own,
}

impl Default for Interest {
    fn default() -> Interest {
        Interest {
            of_db: BTreeMap::new(),
            entries: 0,
            sweeps_at: SWEPT_MIN,
            cached: Cached::default(),
            own: Own::default(),
        }
    }
}

impl Interest {
    /// The version of a key, for somebody who watches it.
    pub(super) fn version(&mut self, db: u32, name: &[u8]) -> Arc<Version> {
        if let Some(version) = self.of_key(db, name).version.clone() {
            return version;
        }
        self.make_room();
        self.of_key(db, name).version.get_or_insert_default().clone()
    }

    /// Somebody waits for a key from now on.
    pub(super) fn wait(
        &mut self,
        db: u32,
        name: &[u8],
        what: Awaited,
        rank: Rank,
        waiter: Weak<dyn Waiter>,
    ) {
        self.make_room();
        let waiters = self.of_key(db, name).waiters.get_or_insert_default();
        waiters[what as usize].insert(rank, waiter);
    }

    /// The highest number among those that wait for a key.
    pub(super) fn last_number(&self, db: u32, name: &[u8], what: Awaited) -> Option<u64> {
        let waiters = self.of_db.get(&db)?.get(name)?.waiters.as_ref()?;
        waiters[what as usize].last_key_value().map(|(rank, _)| rank.number)
    }

    /// The first of those that wait for a key and come after `after`.
    pub(super) fn next_waiter(
        &mut self,
        db: u32,
        name: &[u8],
        what: Awaited,
        after: Option<Rank>,
    ) -> Option<(Rank, Arc<dyn Waiter>)> {
        let of_key = self.of_db.get_mut(&db)?.get_mut(name)?;
        let waiters = &mut of_key.waiters.as_mut()?[what as usize];
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        loop {
            let (rank, waiter) = waiters.range((from, Bound::Unbounded)).next()?;
            let rank = *rank;
            match waiter.upgrade().filter(|waiter| !waiter.is_over()) {
                Some(waiter) => return Some((rank, waiter)),
                None => drop(waiters.remove(&rank)),
            }
        }
    }

    /// Those that wait for a key, in any database.
    pub(super) fn waiting(&self, name: &[u8]) -> impl Iterator<Item = Arc<dyn Waiter>> {
        let of_keys = self.of_db.values().filter_map(|keys| keys.get(name));
        of_keys.flat_map(|of_key| Awaited::ALL.into_iter().flat_map(|what| of_key.waiting(what)))
    }

    fn of_key(&mut self, db: u32, name: &[u8]) -> &mut OfKey {
        self.of_db.entry(db).or_default().entry(name.into()).or_default()
    }

    /// One more entry comes.
    fn make_room(&mut self) {
        self.entries += 1;
        if self.entries > self.sweeps_at {
            self.entries = 1 + self.sweep();
            self.sweeps_at = SWEPT_MIN.max(2 * self.entries);
        }
    }

    /// Forgets what is over. Returns how much is left.
    fn sweep(&mut self) -> usize {
        let mut left = 0;
        for keys in self.of_db.values_mut() {
            keys.retain(|_, of_key| {
                let of_it = of_key.sweep();
                left += of_it;
                of_it > 0
            });
        }
        self.of_db.retain(|_, keys| !keys.is_empty());
        left
    }

    /// For how many keys somebody cares.
    pub(crate) fn counts(&self) -> Cares {
        let of_keys = || self.of_db.values().flat_map(BTreeMap::values);
        let count = |is: fn(&OfKey) -> bool| of_keys().filter(|of_key| is(of_key)).count();
        Cares {
            watched: count(OfKey::is_watched),
            awaited: count(OfKey::is_awaited),
            awaited_gone: count(OfKey::is_awaited_gone),
            tracked: self.cached.len(),
            trackers: self.cached.trackers(),
        }
    }

    /// A key has changed: notes who had cached it. Returns true where somebody waits for it.
    pub(super) fn changed(
        &mut self,
        db: u32,
        name: &[u8],
        event: Event,
        invalidations: &mut Invalidations,
    ) -> bool {
        if !event.is_aside()
            && let Some(trackers) = self.cached.take(db, name)
        {
            invalidations.add(name, event, trackers);
        }
        let of_key = self.of_db.get_mut(&db).and_then(|keys| keys.get_mut(name));
        of_key.is_some_and(|of_key| of_key.changed(event))
    }

    /// All keys of a database are about to be gone, or to be those of another one. Returns those
    /// for which somebody waits.
    pub(super) fn replaced(
        &mut self,
        db: u32,
        before: impl Fn(&[u8]) -> There,
        after: impl Fn(&[u8]) -> There,
    ) -> Vec<Box<[u8]>> {
        let mut awaited = Vec::new();
        for (name, of_key) in self.of_db.get_mut(&db).into_iter().flatten() {
            let event = match (before(name), after(name)) {
                (There::Yes, _) | (_, There::Yes) => Event::DEL,
                (There::Expired, _) => Event::EXPIRED,
                (There::No, _) => continue,
            };
            if of_key.changed(event) {
                awaited.push(name.clone());
            }
        }
        awaited
    }
}

impl Drop for Interest {
    /// What the keys hold from now on is not known.
    fn drop(&mut self) {
        for of_key in self.of_db.values_mut().flat_map(BTreeMap::values_mut) {
            of_key.changed(Event::DEL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Waits(AtomicBool);

    impl Waiter for Waits {
        fn is_over(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        fn needs(&self) -> Vec<Key<'_>> {
            Vec::new()
        }
    }

    fn rank(number: u64) -> Rank {
        Rank { number, client: number }
    }

    fn wait(interest: &mut Interest, name: &str, number: u64) -> Arc<Waits> {
        let waits = Arc::new(Waits::default());
        let waiter: Arc<dyn Waiter> = waits.clone();
        interest.wait(0, name.as_bytes(), Awaited::List, rank(number), Arc::downgrade(&waiter));
        waits
    }

    fn kept(interest: &Interest) -> usize {
        let of_keys = interest.of_db.values().flat_map(BTreeMap::values);
        let waiters = of_keys.flat_map(|of_key| of_key.waiters.iter().flat_map(|all| all.iter()));
        waiters.map(BTreeMap::len).sum()
    }

    #[test]
    fn waits_that_are_over_are_not_kept() {
        let mut interest = Interest::default();
        let stays = wait(&mut interest, "stays", 0);
        for number in 1..=1_000_000 {
            wait(&mut interest, "one", number).0.store(true, Ordering::Relaxed);
            drop(wait(&mut interest, &format!("k{number}"), number));
            drop(interest.version(0, format!("w{number}").as_bytes()));
        }
        let keys = interest.of_db.values().map(BTreeMap::len).sum::<usize>();
        assert!(kept(&interest) <= 8 && keys <= 8, "{} of {keys} keys", kept(&interest));
        assert_eq!(interest.counts(), Cares { awaited: 1, ..Cares::default() });
        drop(stays);
        assert_eq!(interest.counts(), Cares::default());
    }

    #[test]
    fn who_came_first_is_first_and_a_wait_that_is_over_is_passed() {
        let mut interest = Interest::default();
        let late = wait(&mut interest, "k", 3);
        let over = wait(&mut interest, "k", 1);
        let early = wait(&mut interest, "k", 2);
        over.0.store(true, Ordering::Relaxed);
        let mut next = |after| {
            interest.next_waiter(0, b"k", Awaited::List, after).map(|(rank, _)| rank.number)
        };
        assert_eq!(
            (next(None), next(Some(rank(2))), next(Some(rank(3)))),
            (Some(2), Some(3), None)
        );
        drop((early, late));
        assert_eq!(interest.next_waiter(0, b"k", Awaited::List, None).map(|(rank, _)| rank), None);
    }
}
