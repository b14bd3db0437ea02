//! How commands reach lists, hashes, sets, sorted sets and streams.
//!
//! Whatever an edit leaves is put right here: a collection without elements takes its key along,
//! and one whose elements have other deadlines is filed anew. Whether something changed is the
//! caller's to say ([`Keys::changed`]), since only it knows.

use crate::keyspace::entry::{Entry, NewValue};
use crate::keyspace::error::KeyError;
use crate::keyspace::key::Key;
use crate::keyspace::keys::{Deadline, Keys, Tools};
use crate::keyspace::object::{Object, Ref, Typed};

/// Elements of one key that are taken out at a time because they are due.
const ELEMENTS_A_STEP: usize = 64;

impl Keys<'_> {
    /// Reads a collection: counts a hit or a miss and moves the access clock.
    ///
    /// # Errors
    /// [`KeyError::WrongType`] when the key holds something else.
    pub fn read_as<T: Typed>(&mut self, key: Key<'_>) -> Result<Option<Ref<'_, T>>, KeyError> {
        typed(self.read(key))
    }

    /// Looks at a collection without a trace, but for taking the key out when it is due.
    ///
    /// # Errors
    /// [`KeyError::WrongType`] when the key holds something else.
    pub fn look_as<T: Typed>(&mut self, key: Key<'_>) -> Result<Option<Ref<'_, T>>, KeyError> {
        typed(self.look(key))
    }

    /// Looks at a collection and leaves everything as it is, so that several can be looked at side
    /// by side. A key that is due is not there.
    ///
    /// # Errors
    /// [`KeyError::WrongType`] when the key holds something else.
    pub fn peek_as<T: Typed>(&self, key: Key<'_>) -> Result<Option<Ref<'_, T>>, KeyError> {
        typed(self.peek(key))
    }

    /// Looks at a key and leaves everything as it is. A key that is due is not there.
    pub fn peek(&self, key: Key<'_>) -> Option<&Entry> {
        let entry = self.space.table(self.db, key.slot)?.get(key.in_table())?;
        Some(entry).filter(|entry| self.is_replay() || !entry.is_due(self.now))
    }

    /// Changes a collection that is there. Returns nothing when there is none.
    ///
    /// # Errors
    /// [`KeyError::WrongType`] when the key holds something else.
    pub fn edit_as<T: Typed, R>(
        &mut self,
        key: Key<'_>,
        change: impl FnOnce(&mut T, &mut Tools) -> R,
    ) -> Result<Option<R>, KeyError> {
        self.expire_if_due(key);
        let table = self.space.table_mut(self.db, key.slot);
        let Some(entry) = table.and_then(|table| table.get_mut(key.in_table())) else {
            return Ok(None);
        };
        if !self.untouched {
            self.tools.clock.touch(entry, self.now, &mut self.tools.random);
        }
        let tools = &mut *self.tools;
        let edited = entry.edit_object(|object| {
            let value = T::of_mut(object)?;
            let old_due = value.due();
            let result = change(value, tools);
            Some((result, value.due() != old_due, value.vanishes()))
        });
        let (result, is_filed_wrong, vanishes) = edited.flatten().ok_or(KeyError::WrongType)?;
        if vanishes {
            let entry = self.take(key);
            entry.into_iter().for_each(|entry| self.tools.discarded.take_entry(entry));
        } else if is_filed_wrong {
            self.file_anew(key);
        }
        Ok(Some(result))
    }

    /// Changes a collection, an empty one where the key is missing; it is kept only if it has
    /// elements then (a stream always).
    ///
    /// # Errors
    /// [`KeyError::WrongType`] when the key holds something else.
    pub fn edit_or_new<T: Typed, R>(
        &mut self,
        key: Key<'_>,
        change: impl FnOnce(&mut T, &mut Tools) -> R,
    ) -> Result<R, KeyError> {
        let mut change = Some(change);
        let edited =
            self.edit_as(key, |value, tools| change.take().map(|change| change(value, tools)))?;
        if let Some(result) = edited.flatten() {
            return Ok(result);
        }
        let change = change.expect("what is missing was not changed");
        let mut value = T::default();
        let result = change(&mut value, self.tools);
        if !value.vanishes() {
            let changes = self.changes;
            self.set(key, NewValue::Object(value.into_object()), Deadline::Clear);
            self.changes = changes;
        }
        Ok(result)
    }

    /// Stores a collection, whatever the key held before; an empty one deletes the key. Returns
    /// true when there is or was something.
    pub fn set_object(&mut self, key: Key<'_>, object: Object) -> bool {
        if object.collection().vanishes() {
            self.tools.discarded.take_object(object);
            return self.delete(key);
        }
        self.set(key, NewValue::Object(object), Deadline::Clear);
        true
    }

    /// Takes out all elements of a key that are due, and records their deletion.
    pub(super) fn expire_all_elements(&mut self, key: Key<'_>) {
        while self.expire_some_elements(key) {}
    }

    /// Says that the call changed the data set so many times.
    pub fn changed(&mut self, times: usize) {
        self.changes += times as u64;
    }

    /// Takes out some of the elements of a key that are due, unless the key is itself. Returns true
    /// when there are more.
    pub(crate) fn expire_some_elements(&mut self, key: Key<'_>) -> bool {
        if !self.has_due_elements(key) {
            return false;
        }
        self.expire_elements(key);
        self.has_due_elements(key)
    }

    fn has_due_elements(&self, key: Key<'_>) -> bool {
        self.peek(key).is_some_and(|entry| entry.elements_due() <= self.now)
    }

    /// Takes out elements of a key that are due, some at a time, records their deletion, and files
    /// the key under the deadlines that are left.
    pub fn expire_elements(&mut self, key: Key<'_>) {
        let (db, now) = (self.db, self.now);
        let Some(object) = self.peek(key).and_then(Entry::object) else { return };
        let removal = object.removal();
        let table = self.space.table_mut(db, key.slot);
        let entry = table.and_then(|table| table.get_mut(key.in_table()));
        let gone = entry.and_then(|entry| {
            entry.edit_object(|object| {
                let (collection, mut gone) = (object.collection_mut(), Vec::new());
                let mut take = |name: &[u8]| gone.push(name.to_vec());
                collection.expire(now, ELEMENTS_A_STEP, &mut take);
                (gone, collection.vanishes())
            })
        });
        let Some((gone, vanishes)) = gone else { return };
        if vanishes {
            let entry = self.take(key);
            entry.into_iter().for_each(|entry| self.tools.discarded.take_entry(entry));
        } else {
            self.file_anew(key);
        }
        if !gone.is_empty() {
            let mut record = vec![removal, key.name];
            record.extend(gone.iter().map(Vec::as_slice));
            self.tools.effects.aside(db, &record);
            self.tools.figures.expired_elements += gone.len() as u64;
        }
    }

    /// Files a key under the deadlines that it and its elements have now.
    pub(crate) fn file_anew(&mut self, key: Key<'_>) {
        self.space.change(self.db, key, |table, _| table.note_due(key.in_table()));
    }
}

fn typed<T: Typed>(entry: Option<&Entry>) -> Result<Option<Ref<'_, T>>, KeyError> {
    let Some(entry) = entry else { return Ok(None) };
    let typed = entry.object().and_then(Ref::of);
    typed.map(Some).ok_or(KeyError::WrongType)
}
