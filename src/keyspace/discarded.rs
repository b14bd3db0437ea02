//! What nobody can reach any more and is too large to be dropped at once.

use crate::data::table::Table;
use crate::keyspace::entry::Entry;
use crate::keyspace::object::Object;
use crate::keyspace::tracked::Cached;

/// Collections of more elements count among what is freed out of everybody's way, as in Redis.
const LARGE: usize = 64;

/// Tables, values and what was known of caches on their way out.
#[derive(Debug, Default)]
pub struct Discarded {
    /// As they were given: what moves is never more than one.
    tables: Vec<Vec<Table<Entry>>>,
    objects: Vec<Object>,
    cached: Vec<Cached>,
    /// Large collections and keys of tables that have come here since the last reset.
    taken: u64,
}

impl Discarded {
    /// True when there is nothing left to drop.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.objects.is_empty() && self.cached.is_empty()
    }

    /// Keys and elements left to drop.
    pub fn len(&self) -> usize {
        self.keys() + self.objects.iter().map(|object| object.collection().len()).sum::<usize>()
    }

    /// Large collections and keys of tables that are gone for good since the last reset.
    pub fn freed(&self) -> u64 {
        self.taken.saturating_sub((self.keys() + self.objects.len()) as u64)
    }

    /// Starts [`Discarded::freed`] anew.
    pub fn reset(&mut self) {
        self.taken = 0;
    }

    fn keys(&self) -> usize {
        self.tables.iter().flatten().map(|table| table.counts().len).sum()
    }

    /// Takes tables.
    pub fn take_tables(&mut self, tables: Vec<Table<Entry>>) {
        self.taken += tables.iter().map(|table| table.counts().len as u64).sum::<u64>();
        if !tables.is_empty() {
            self.tables.push(tables);
        }
    }

    /// Takes what clients had cached of slots.
    pub(super) fn take_cached(&mut self, mut cached: Vec<Cached>) {
        self.cached.append(&mut cached);
    }

    /// Takes an entry that left its table.
    pub fn take_entry(&mut self, mut entry: Entry) {
        if let Some(object) = entry.take_object() {
            self.take_object(object);
        }
    }

    /// Takes a collection; a small one is gone at once.
    pub fn take_object(&mut self, object: Object) {
        self.taken += u64::from(object.collection().len() > LARGE);
        self.drop_piece(object);
    }

    fn drop_piece(&mut self, mut object: Object) {
        if object.collection_mut().drop_some() {
            self.objects.push(object);
        }
    }

    /// Drops a piece. Returns true when there is more. What panics on its way out, since a bug left
    /// it torn, does not come back.
    pub fn drop_some(&mut self) -> bool {
        if let Some(object) = self.objects.pop() {
            self.drop_piece(object);
        } else if let Some(tables) = self.tables.last_mut() {
            if let Some(mut table) = tables.pop()
                && table.drop_some()
            {
                tables.push(table);
            }
            self.tables.pop_if(|tables| tables.is_empty());
        } else if let Some(mut cached) = self.cached.pop()
            && cached.drop_some()
        {
            self.cached.push(cached);
        }
        !self.is_empty()
    }
}
