//! What nobody can reach any more and is too large to be dropped at once.

use crate::data::table::Table;
use crate::keyspace::entry::Entry;
use crate::keyspace::object::Object;

/// Tables and values on their way out.
#[derive(Debug, Default)]
pub struct Discarded {
    tables: Vec<Table<Entry>>,
    objects: Vec<Object>,
}

impl Discarded {
    /// True when there is nothing left to drop.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.objects.is_empty()
    }

    /// Keys and elements left to drop.
    pub fn len(&self) -> usize {
        let keys: usize = self.tables.iter().map(|table| table.counts().len).sum();
        keys + self.objects.iter().map(|object| object.collection().len()).sum::<usize>()
    }

    /// Takes tables.
    pub fn take_tables(&mut self, mut tables: Vec<Table<Entry>>) {
        self.tables.append(&mut tables);
    }

    /// Takes an entry that left its table.
    pub fn take_entry(&mut self, mut entry: Entry) {
        if let Some(object) = entry.take_object() {
            self.take_object(object);
        }
    }

    /// Takes a collection; a small one is gone at once.
    pub fn take_object(&mut self, mut object: Object) {
        if object.collection_mut().drop_some() {
            self.objects.push(object);
        }
    }

    /// Drops a piece. Returns how many values and keys of tables are gone with it for good. What
    /// panics on its way out, since a bug left it torn, does not come back.
    pub fn drop_some(&mut self) -> usize {
        if let Some(object) = self.objects.pop() {
            let before = self.objects.len();
            self.take_object(object);
            return usize::from(self.objects.len() == before);
        }
        let Some(mut table) = self.tables.pop() else { return 0 };
        let before = table.counts().len;
        let more = table.drop_some();
        let gone = before.saturating_sub(table.counts().len);
        if more {
            self.tables.push(table);
        }
        gone
    }
}
