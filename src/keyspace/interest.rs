//! Who cares for the keys of a slot: those that watch them.
//!
//! It stands with the slot and goes wherever that goes, by database number: SWAPDB does not move
//! it. A slot that nobody cares for has none. Whoever cared and does not any more is found out when
//! others come, so what is kept has at most twice the size of what is needed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::keyspace::listener::Event;
use crate::keyspace::watched::Version;

/// Keys below which nothing is looked through for what is over.
const SWEPT_MIN: usize = 2;

/// Whether a key is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    No,
    /// It is, and past its deadline.
    Expired,
    Yes,
}

/// Who cares for a key.
#[derive(Debug, Default)]
struct OfKey {
    /// Those that watch it hold it as well.
    version: Option<Arc<Version>>,
}

impl OfKey {
    fn is_over(&self) -> bool {
        self.version.as_ref().is_none_or(|version| Arc::strong_count(version) == 1)
    }

    fn changed(&mut self, event: Event) {
        if let Some(version) = self.version.as_ref().filter(|_| !event.is_aside()) {
            version.changed(event);
        }
    }
}

/// Who cares for the keys of a slot.
#[derive(Debug)]
pub(crate) struct Interest {
    of_db: BTreeMap<u32, BTreeMap<Box<[u8]>, OfKey>>,
    keys: usize,
    /// With so many keys, those of which nothing is needed any more are dropped.
    sweeps_at: usize,
}

impl Default for Interest {
    fn default() -> Interest {
        Interest { of_db: BTreeMap::new(), keys: 0, sweeps_at: SWEPT_MIN }
    }
}

impl Interest {
    /// The version of a key, for somebody who watches it.
    pub(super) fn version(&mut self, db: u32, name: &[u8]) -> Arc<Version> {
        self.of_key(db, name).version.get_or_insert_default().clone()
    }

    fn of_key(&mut self, db: u32, name: &[u8]) -> &mut OfKey {
        if !self.of_db.get(&db).is_some_and(|keys| keys.contains_key(name)) {
            self.keys += 1;
            if self.keys > self.sweeps_at {
                self.sweep();
            }
        }
        self.of_db.entry(db).or_default().entry(name.into()).or_default()
    }

    fn sweep(&mut self) {
        self.of_db.values_mut().for_each(|keys| keys.retain(|_, of_key| !of_key.is_over()));
        self.of_db.retain(|_, keys| !keys.is_empty());
        // The one that comes is counted.
        self.keys = 1 + self.of_db.values().map(BTreeMap::len).sum::<usize>();
        self.sweeps_at = SWEPT_MIN.max(2 * self.keys);
    }

    /// How many keys somebody watches.
    pub(crate) fn watched(&self) -> usize {
        let keys = self.of_db.values().flat_map(BTreeMap::values);
        keys.filter(|of_key| !of_key.is_over()).count()
    }

    /// A key has changed.
    pub(super) fn changed(&mut self, db: u32, name: &[u8], event: Event) {
        if let Some(of_key) = self.of_db.get_mut(&db).and_then(|keys| keys.get_mut(name)) {
            of_key.changed(event);
        }
    }

    /// All keys of a database are about to be gone, or to be those of another one.
    pub(super) fn replaced(
        &mut self,
        db: u32,
        before: impl Fn(&[u8]) -> There,
        after: impl Fn(&[u8]) -> There,
    ) {
        for (name, of_key) in self.of_db.get_mut(&db).into_iter().flatten() {
            match (before(name), after(name)) {
                (There::Yes, _) | (_, There::Yes) => of_key.changed(Event::DEL),
                (There::Expired, _) => of_key.changed(Event::EXPIRED),
                (There::No, _) => {}
            }
        }
    }
}

impl Drop for Interest {
    /// What the keys hold from now on is not known.
    fn drop(&mut self) {
        self.of_db.values_mut().flatten().for_each(|(_, of_key)| of_key.changed(Event::DEL));
    }
}
