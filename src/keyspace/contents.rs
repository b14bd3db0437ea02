//! The keys of a whole data set that no shard has, and how they come to those that shards have.
//!
//! They take the place of all keys, table by table; or they join them, key by key. Either is done
//! where all slots are.

use std::fmt;

use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::keyspace::slot::Table;
use crate::keyspace::space::Slots;

/// The keys of a data set that no shard has.
#[derive(Debug)]
pub struct Contents(Slots);

/// What is done about the keys that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// They go.
    Goes,
    /// They stay, and none has the name of one that comes.
    Stays,
    /// They stay, but for those that have the name of one that comes.
    GivesWay,
}

/// Why keys do not come. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaysAway {
    /// There was no moment at which all slots could be had.
    #[error("a shard is being loaded or rebuilt")]
    NotServing,
    /// One has the name of a key that stays.
    #[error("a key or a library of the file is there already, which MERGE replaces")]
    AlreadyThere,
}

/// Who is told what came of it.
pub type Told = Box<dyn FnOnce(Result<(), StaysAway>) + Send>;

/// Keys on their way to all slots.
pub struct Coming {
    /// The keys.
    pub contents: Contents,
    /// What is done about those that are there.
    pub present: Present,
    /// Called once; dropped, where the keys are lost on their way.
    pub told: Told,
}

impl fmt::Debug for Coming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coming").field("present", &self.present).finish_non_exhaustive()
    }
}

impl Contents {
    /// The keys of these slots.
    pub(crate) fn new(slots: Slots) -> Contents {
        Contents(slots)
    }

    /// The tables, each with its database, one database behind the other.
    pub fn tables(&self) -> impl Iterator<Item = (u32, &Table)> {
        let mut tables: Vec<_> = self.0.iter().flat_map(|(_, slot)| slot.tables()).collect();
        tables.sort_by_key(|(db, _)| *db);
        tables.into_iter()
    }
}

impl Keys<'_> {
    /// Takes the keys of another data set in. That is no change of the data set that a journal
    /// would hear of; who watches keys or waits for them hears of those that go.
    ///
    /// # Errors
    /// [`StaysAway::AlreadyThere`].
    pub fn take_in(&mut self, contents: Contents, present: Present) -> Result<(), StaysAway> {
        let Contents(slots) = contents;
        if present == Present::Goes {
            self.clear_all();
            self.space.fill(slots);
            return Ok(());
        }
        if present == Present::Stays && self.has_any_of(&slots) {
            return Err(StaysAway::AlreadyThere);
        }
        for (_, mut slot) in slots {
            let databases: Vec<u32> = slot.tables().map(|(db, _)| db).collect();
            for db in databases {
                let mut table = slot.take(db);
                let names: Vec<Box<[u8]>> = table.iter().map(|entry| entry.key().into()).collect();
                for name in names {
                    let key = Key::new(&name, self.space.hasher());
                    let Some(entry) = table.remove(key.in_table()) else { continue };
                    self.in_db(db, |keys| {
                        keys.put(key, entry);
                        keys.touch(key, Event::RESTORE);
                    });
                }
            }
        }
        Ok(())
    }

    fn has_any_of(&self, slots: &Slots) -> bool {
        let mut tables = slots.iter().flat_map(|(number, slot)| {
            slot.tables().map(move |(db, table)| (self.space.table(db, *number), table))
        });
        tables.any(|(there, coming)| {
            let is_there = |name| {
                let key = Key::new(name, self.space.hasher());
                there.is_some_and(|there| there.get(key.in_table()).is_some())
            };
            coming.iter().any(|entry| is_there(entry.key()))
        })
    }
}
