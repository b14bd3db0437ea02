//! Keys that clients of a replica have given a deadline: they go by themselves there. Of all others
//! the primary says when they go.
//!
//! They are noted by name, with their slot, as Valkey notes them. What is noted may be wrong by
//! then: the key is gone, or has another deadline, of the primary's perhaps, which counts then. Of
//! names whose keys have no deadline any more there are never more than of others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::millis::Millis;
use crate::keyspace::expiry::Expiry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::slot::{Slot, Table};
use crate::keyspace::space::Keyspace;

/// Names below which nothing is looked through for what is over.
const SWEPT_MIN: usize = 16;

/// How long a key is left alone that a snapshot has to write first, in milliseconds.
const AGAIN_MS: i64 = 100;

/// A key, by its database.
type Name = (u32, Arc<[u8]>);

/// Those of a slot.
#[derive(Debug, Default)]
pub(super) struct Own {
    deadlines: BTreeMap<Name, Millis>,
    by_deadline: BTreeSet<(Millis, Name)>,
}

impl Own {
    /// When one of them may go next.
    pub(super) fn next(&self) -> Option<Millis> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    fn note(&mut self, name: Name, deadline: Millis) {
        if let Some(before) = self.deadlines.insert(name.clone(), deadline) {
            self.by_deadline.remove(&(before, name.clone()));
        }
        self.by_deadline.insert((deadline, name));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    fn clear(&mut self) {
        *self = Own::default();
    }

    fn take_first(&mut self) -> Option<Name> {
        let (_, name) = self.by_deadline.pop_first()?;
        self.deadlines.remove(&name);
        Some(name)
    }

    fn retain(&mut self, stays: impl Fn(&Name) -> bool) {
        self.by_deadline.retain(|(_, name)| stays(name));
        self.deadlines.retain(|name, _| stays(name));
    }
}

impl Keyspace {
    /// When a key may go next that is a replica's own.
    pub fn next_own_deadline(&self) -> Option<Millis> {
        self.first_own().map(|(deadline, _)| deadline)
    }

    fn first_own(&self) -> Option<(Millis, u16)> {
        self.books.iter().filter_map(|book| book.own.first()).min().copied()
    }

    /// Takes the first of those names whose time has come.
    pub(crate) fn take_own(&mut self, now: Millis) -> Option<Name> {
        let (_, slot) = self.first_own().filter(|(deadline, _)| *deadline <= now)?;
        self.change_own(slot, |own, _| own.take_first())?
    }

    /// Nothing is a replica's own any more.
    pub(super) fn forget_own(&mut self) {
        let slots: Vec<u16> = self.books.iter().flat_map(|book| &book.own).map(|at| at.1).collect();
        slots.into_iter().for_each(|slot| _ = self.change_own(slot, |own, _| own.clear()));
    }

    fn note_own(&mut self, db: u32, key: Key<'_>, deadline: Millis) {
        let hasher = self.hasher().clone();
        self.change_own(key.slot, |own, slot| {
            own.note((db, key.name.into()), deadline);
            let timed: usize = slot.tables().map(|(_, table)| table.counts().expires).sum();
            if own.deadlines.len() > SWEPT_MIN.max(2 * timed) {
                own.retain(|(db, name)| {
                    deadline_of(slot.table(*db), Key::new(name, &hasher)).is_some()
                });
            }
        });
    }

    /// Changes what is noted of a slot, where that is here.
    fn change_own<R>(
        &mut self,
        number: u16,
        change: impl FnOnce(&mut Own, &Slot) -> R,
    ) -> Option<R> {
        self.interest(number)?;
        let slot = self.slot_mut(number)?;
        let mut interest = slot.interest.take()?;
        let before = interest.own.next();
        let result = change(&mut interest.own, slot);
        let after = interest.own.next();
        slot.interest = Some(interest);
        let filed = &mut self.book_of(number).own;
        before.into_iter().for_each(|deadline| _ = filed.remove(&(deadline, number)));
        filed.extend(after.map(|deadline| (deadline, number)));
        Some(result)
    }
}

fn deadline_of(table: Option<&Table>, key: Key<'_>) -> Option<Millis> {
    table?.get(key.in_table())?.deadline()
}

impl Keys<'_> {
    /// A key may have a deadline now. Where a client of a replica gave it that, it is noted.
    #[inline]
    pub(super) fn note_own(&mut self, key: Key<'_>) {
        if self.is_on_replica && self.expiry == Expiry::HidingWrite {
            self.note_own_deadline(key);
        }
    }

    #[cold]
    fn note_own_deadline(&mut self, key: Key<'_>) {
        if let Some(deadline) = deadline_of(self.table(key.slot), key) {
            self.space.note_own(self.db, key, deadline);
        }
    }

    /// Takes out a key whose name was noted, if it has expired.
    pub(crate) fn expire_own(&mut self, key: Key<'_>) {
        let Some(deadline) = deadline_of(self.table(key.slot), key) else { return };
        if deadline > self.now {
            self.space.note_own(self.db, key, deadline);
        } else if self.has_to_stay(key) {
            self.space.note_own(self.db, key, self.now.saturating_add(AGAIN_MS));
        } else {
            self.expire(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Still, Store};

    const MS: i64 = 1_000;

    /// A replica that clients may write to, with what the primary has written.
    fn replica(lines: &[&str]) -> Store {
        let mut store = Store::new();
        store.configure("replicaof", "127.0.0.1 1");
        store.configure("replica-read-only", "no");
        store.session.primary = Some(Box::default());
        lines.iter().for_each(|line| drop(store.run(line)));
        store.session.primary = None;
        store
    }

    fn pass(store: &mut Store, ms: i64) {
        store.tick(ms);
        while store.shard.expire(store.now, &mut Still) {}
    }

    #[test]
    fn what_clients_gave_a_deadline_goes_and_nothing_else() {
        let mut store = replica(&["SET of-primary 1 PX 10", "SET changed 1 PX 10", "SET kept 1"]);
        for line in [
            "SET set 1 PX 10",
            "SET expire 1",
            "PEXPIRE expire 10",
            "SET {r}a 1 PX 10",
            "RENAME {r}a {r}b",
            "COPY {r}b {r}c",
            "APPEND changed x",
            "SET later 1 PX 20",
            "SET without 1 PX 10",
            "PERSIST without",
        ] {
            assert!(!store.run(line).contains("error"), "{line}");
        }
        store.effects();
        assert_eq!(store.shard.next_deadline(), Some(store.now.saturating_add(10)));
        pass(&mut store, 10);
        assert_eq!(store.run("DBSIZE"), "(integer) 5");
        assert_eq!(store.run("EXISTS later without kept"), "(integer) 3");
        let mut gone: Vec<String> = store.effects().lines().map(str::to_owned).collect();
        gone.sort_unstable();
        assert_eq!(gone, ["DEL expire", "DEL set", "DEL {r}b", "DEL {r}c"]);
        pass(&mut store, 10);
        assert_eq!(store.run("DBSIZE"), "(integer) 4");
        assert_eq!(store.shard.next_deadline(), None);
        store.configure("replicaof", "no one");
        pass(&mut store, 1);
        assert_eq!(store.run("DBSIZE"), "(integer) 2", "a primary takes out all");
    }

    #[test]
    fn what_the_primary_says_later_counts() {
        let mut store = replica(&[]);
        store.run("SET k 1 PX 10");
        store.run("SET gone 1 PX 10");
        store.session.primary = Some(Box::default());
        store.run("SET k 1 PX 30");
        store.run("DEL gone");
        store.session.primary = None;
        pass(&mut store, 20);
        assert_eq!(store.run("DBSIZE"), "(integer) 1");
        pass(&mut store, 10);
        assert_eq!(store.run("DBSIZE"), "(integer) 0");
    }

    #[test]
    fn names_of_keys_that_are_gone_do_not_pile_up() {
        let mut store = replica(&[]);
        for number in 0..1_000 {
            store.run(&format!("SET {{t}}{number} 1 PX {MS}"));
            store.run(&format!("DEL {{t}}{number}"));
        }
        let names = |store: &Store| -> usize {
            let space = store.shard.keyspace();
            let interests = space.here().filter_map(|slot| space.slot(slot)?.interest.as_ref());
            interests.map(|interest| interest.own.deadlines.len()).sum()
        };
        assert!(names(&store) <= super::SWEPT_MIN + 1);
        store.run(&format!("SET k 1 PX {MS}"));
        store.run("FLUSHALL");
        assert_eq!(names(&store), 0);
        assert_eq!(store.shard.keyspace().next_own_deadline(), None);
    }
}
