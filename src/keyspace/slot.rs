//! One slot: everything that a command may touch of its keys, in one box.
//!
//! The box is what is lent to a command on another shard and what moves when the map changes. It
//! holds the slot's tables of all databases, so that nothing of a slot is ever in two places.

use crate::base::millis::Millis;
use crate::data::NEVER;
use crate::data::table::{self, Counts};
use crate::keyspace::entry::Entry;
use crate::keyspace::interest::Interest;
use crate::keyspace::saved::Saved;

/// The keys of one slot and database.
pub type Table = table::Table<Entry>;

/// The tables of a slot. What every look at a key needs of it stands in its first cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Slot {
    zero: Table,
    others: Vec<(u32, Table)>,
    /// A lower bound of all deadlines in the slot: what the keyspace has filed it under.
    pub(super) filed: Millis,
    pub(crate) saved: Saved,
    /// Who cares for its keys. The keyspace knows which slots have some.
    pub(super) interest: Option<Box<Interest>>,
}

// There are so many that eight bytes more of each would be a megabyte.
const _: () = assert!(size_of::<Slot>() <= 192);

impl Default for Slot {
    fn default() -> Slot {
        Slot {
            zero: Table::default(),
            others: Vec::new(),
            filed: NEVER,
            saved: Saved::default(),
            interest: None,
        }
    }
}

impl Slot {
    /// The table of a database, if it may hold a key.
    #[inline]
    pub fn table(&self, db: u32) -> Option<&Table> {
        if db == 0 {
            return Some(&self.zero);
        }
        self.others.iter().find(|(number, _)| *number == db).map(|(_, table)| table)
    }

    /// The table of a database, if it may hold a key.
    #[inline]
    pub fn table_mut(&mut self, db: u32) -> Option<&mut Table> {
        if db == 0 {
            return Some(&mut self.zero);
        }
        self.others.iter_mut().find(|(number, _)| *number == db).map(|(_, table)| table)
    }

    /// The table of a database, made where it is missing.
    #[inline]
    pub fn table_or_new(&mut self, db: u32) -> &mut Table {
        if db == 0 {
            return &mut self.zero;
        }
        let at = match self.others.iter().position(|(number, _)| *number == db) {
            Some(at) => at,
            None => {
                self.others.reserve_exact(1);
                self.others.push((db, Table::default()));
                self.others.len() - 1
            }
        };
        &mut self.others[at].1
    }

    /// Takes the table of a database out.
    pub fn take(&mut self, db: u32) -> Table {
        if db == 0 {
            return std::mem::take(&mut self.zero);
        }
        match self.others.iter().position(|(number, _)| *number == db) {
            Some(at) => self.others.swap_remove(at).1,
            None => Table::default(),
        }
    }

    /// Gives the room of a database's table back, which is empty.
    #[cold]
    pub(super) fn forget(&mut self, db: u32) {
        self.others.retain(|(number, _)| *number != db);
        self.others.shrink_to_fit();
    }

    /// Puts a table in the place of a database's.
    pub fn put(&mut self, db: u32, table: Table) {
        if db == 0 {
            self.zero = table;
        } else if table.counts() != Counts::default() {
            *self.table_or_new(db) = table;
        }
    }

    /// The databases that have a table, with their tables.
    pub fn tables(&self) -> impl Iterator<Item = (u32, &Table)> {
        std::iter::once((0, &self.zero)).chain(self.others.iter().map(|(db, table)| (*db, table)))
    }

    /// Its tables that hold anything, to be dropped bit by bit.
    pub(crate) fn into_tables(self) -> Vec<Table> {
        let others = self.others.into_iter().map(|other| other.1).chain(self.saved.into_tables());
        let tables = std::iter::once(self.zero).chain(others);
        tables.filter(|table| table.counts().buckets > 0).collect()
    }

    /// The lower bound as the tables have it now.
    pub(super) fn next_of_tables(&self) -> Millis {
        self.tables().map(|(_, table)| table.next_deadline()).min().unwrap_or(NEVER)
    }
}
