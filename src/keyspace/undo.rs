//! What keys held before a script changed them, so that all that it did can be taken back.
//!
//! The first change of a key, in a database, keeps a copy of what was there. The copies are put
//! back in reverse order, so a key that was kept twice ends as it was first. Putting back tells
//! nobody: what the script had emitted is dropped by whoever undoes it. Only what is true of the
//! keys follows: counts, deadlines, bytes.
//!
//! A copy of a large value costs as much as the value. Where a run holds every slot it never has
//! to run again, so it is undone only if somebody kills it: large values are not kept then, nor
//! are databases that it empties, and the log says that it is not whole ([`Undo::is_whole`]). A
//! run that would change a very large one takes every slot first.

use std::collections::HashMap;

use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::{Keys, Tools};
use crate::keyspace::listener::Event;
use crate::keyspace::slot::Table;
use crate::keyspace::space::Keyspace;

/// Bytes of a value from which on it is large.
pub(crate) const LARGE: usize = 64 * 1024;

/// One change, as it is taken back.
#[derive(Debug)]
enum Change {
    /// A key held this, or nothing.
    Key { db: u32, slot: u16, hash: u64, name: Box<[u8]>, before: Option<Entry> },
    /// Two databases changed places.
    Swap(u32, u32),
}

/// What a script has changed so far.
#[derive(Debug)]
pub(crate) struct Undo {
    changes: Vec<Change>,
    /// The place among the changes of each key that was kept, by database and hash.
    kept: HashMap<(u32, u64), usize>,
    /// Bytes of the copies.
    bytes: usize,
    bytes_max: usize,
    /// Large values are kept as well.
    keeps_large: bool,
    is_whole: bool,
    has_changes: bool,
}

impl Undo {
    /// Nothing has changed. Copies take `bytes_max` bytes at the most.
    pub(crate) fn new(bytes_max: usize, keeps_large: bool) -> Undo {
        Undo {
            changes: Vec::new(),
            kept: HashMap::new(),
            bytes: 0,
            bytes_max,
            keeps_large,
            is_whole: true,
            has_changes: false,
        }
    }

    /// Whether all that was changed can be taken back.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether anything may have changed.
    pub(crate) fn has_changes(&self) -> bool {
        self.has_changes
    }

    /// The copies take more than they may: the run has to end.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// The keys that were kept, each with its database.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (u32, Key<'_>)> {
        self.changes.iter().filter_map(|change| match change {
            Change::Key { db, slot, hash, name, .. } => {
                Some((*db, Key { name, slot: *slot, hash: *hash }))
            }
            Change::Swap(..) => None,
        })
    }

    /// Something has changed that cannot be taken back.
    fn give_up(&mut self) {
        (self.is_whole, self.has_changes) = (false, true);
        self.changes.clear();
        self.kept.clear();
    }

    fn keep(&mut self, db: u32, key: Key<'_>, there: Option<&Entry>) {
        self.has_changes = true;
        if !self.is_whole {
            return;
        }
        let known = self.kept.get(&(db, key.hash)).and_then(|at| self.changes.get(*at));
        if let Some(Change::Key { name, .. }) = known
            && **name == *key.name
        {
            return;
        }
        let bytes = there.map_or(0, Entry::memory);
        if bytes > LARGE && !self.keeps_large {
            return self.give_up();
        }
        self.bytes += bytes + key.name.len() + size_of::<Change>();
        self.kept.insert((db, key.hash), self.changes.len());
        self.changes.push(Change::Key {
            db,
            slot: key.slot,
            hash: key.hash,
            name: key.name.into(),
            before: there.map(|entry| entry.copied(key.name)),
        });
    }
}

impl Keys<'_> {
    /// A script has made the call.
    pub fn is_in_script(&self) -> bool {
        self.tools.undo.is_some()
    }

    /// The key is about to change: what is there is kept, where a script runs.
    #[cold]
    pub(super) fn keep_for_undo(&mut self, key: Key<'_>) {
        let there = self.space.table(self.db, key.slot).and_then(|table| table.get(key.in_table()));
        if let Some(undo) = &mut self.tools.undo {
            undo.keep(self.db, key, there);
        }
    }

    /// Two databases are about to change places.
    pub(super) fn swap_for_undo(&mut self, a: u32, b: u32) {
        if let Some(undo) = self.tools.undo.as_mut().filter(|undo| undo.is_whole) {
            undo.has_changes = true;
            undo.changes.push(Change::Swap(a, b));
            // What is kept from here on has other numbers.
            undo.kept.clear();
        }
    }

    /// A database is about to be emptied, which is not taken back.
    pub(super) fn empty_for_undo(&mut self) {
        if let Some(undo) = &mut self.tools.undo {
            undo.give_up();
        }
    }
}

impl Keyspace {
    /// Takes back what a script has changed; all the slots that it changed are here. Returns false
    /// where some of it cannot be taken back.
    pub(crate) fn undo(&mut self, undo: Undo, tools: &mut Tools) -> bool {
        let Undo { changes, is_whole, .. } = undo;
        let mut is_done = is_whole;
        for change in changes.into_iter().rev() {
            match change {
                Change::Key { db, slot, hash, name, before } => {
                    let key = Key { name: &name, slot, hash };
                    is_done &= self.put_back_entry(db, key, before, tools);
                }
                Change::Swap(a, b) => {
                    self.swap(a, b, tools.saving.as_deref());
                    tools.listeners.each(|listener| listener.swapped(a, b));
                }
            }
        }
        is_done
    }

    /// A key holds this again, or nothing. Returns false where its slot is not here.
    fn put_back_entry(
        &mut self,
        db: u32,
        key: Key<'_>,
        before: Option<Entry>,
        tools: &mut Tools,
    ) -> bool {
        let bytes = |table: &Table| table.get(key.in_table()).map_or(0, Entry::memory) as i64;
        let changed = self.change(db, key, |table, hasher| {
            let was = bytes(table);
            let gone = table.remove(key.in_table());
            if let Some(entry) = before {
                table.insert(key.in_table(), hasher, entry);
            }
            (gone, bytes(table) - was)
        });
        let Some((gone, grown)) = changed else { return false };
        gone.into_iter().for_each(|entry| tools.discarded.take_entry(entry));
        tools.listeners.each(|listener| listener.touched(db, key, Event::SILENT, grown));
        true
    }
}
