//! How commands reach lists, hashes, sets, sorted sets and streams.
//!
//! Whatever an edit leaves is put right here: a collection without elements takes its key along,
//! and one whose elements have other deadlines is filed anew. Whether something changed is the
//! caller's to say ([`Keys::changed`]), since only it knows.

use crate::base::millis::Millis;
use crate::keyspace::entry::{Entry, NewValue};
use crate::keyspace::error::KeyError;
use crate::keyspace::key::Key;
use crate::keyspace::keys::{Deadline, Keys, Tools};
use crate::keyspace::listener::Event;
use crate::keyspace::object::{Object, Ref, Typed};

/// Expired elements of one key that are taken out at a time.
const ELEMENTS_A_STEP: usize = 64;

impl Keys<'_> {
    /// Reads a collection: counts a hit or a miss and moves the access clock.
    ///
    /// # Errors
    /// [`KeyError::WrongType`] when the key holds something else.
    pub fn read_as<T: Typed>(&mut self, key: Key<'_>) -> Result<Option<Ref<'_, T>>, KeyError> {
        let hidden_at = self.hides_at();
        typed(self.read(key), hidden_at)
    }

    /// Looks at a collection without a trace, but for taking the key out when it has expired.
    ///
    /// # Errors
    /// [`KeyError::WrongType`] when the key holds something else.
    pub fn look_as<T: Typed>(&mut self, key: Key<'_>) -> Result<Option<Ref<'_, T>>, KeyError> {
        let hidden_at = self.hides_at();
        typed(self.look(key), hidden_at)
    }

    /// Looks at a collection and leaves everything as it is, so that several can be looked at side
    /// by side. An expired key is not there.
    ///
    /// # Errors
    /// [`KeyError::WrongType`] when the key holds something else.
    pub fn peek_as<T: Typed>(&self, key: Key<'_>) -> Result<Option<Ref<'_, T>>, KeyError> {
        typed(self.peek(key), self.hides_at())
    }

    /// Looks at a key and leaves everything as it is. An expired key is not there.
    pub fn peek(&self, key: Key<'_>) -> Option<&Entry> {
        let Some(table) = self.space.table(self.db, key.slot) else {
            self.note_absent(key.slot);
            return None;
        };
        table.get(key.in_table()).filter(|entry| !self.is_gone(entry))
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
        self.expire_if_needed(key);
        self.ahead(key);
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
            let before = (value.next_deadline(), value.is_timed(), value.len());
            let result = change(value, tools);
            let after = (value.next_deadline(), value.is_timed(), value.len());
            Some((result, before, after, value.vanishes()))
        });
        let (result, before, after, vanishes) = edited.flatten().ok_or(KeyError::WrongType)?;
        self.count_timed(key, before.1, after.1);
        if before != after {
            self.owed.changed(self.db, key);
        }
        if vanishes {
            self.owed.vanished(self.db, key);
            let entry = self.take(key);
            entry.into_iter().for_each(|entry| self.tools.discarded.take_entry(entry));
        } else if before.0 != after.0 {
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
            self.insert(key, NewValue::Object(value.into_object()));
        }
        Ok(result)
    }

    /// Stores a collection, whatever the key held before; an empty one deletes the key. Returns
    /// true when there is or was something.
    pub fn set_object(&mut self, key: Key<'_>, object: Object, event: Event) -> bool {
        if object.collection().vanishes() {
            self.tools.discarded.take_object(object);
            return self.delete(key, Event::DEL);
        }
        self.set(key, NewValue::Object(object), Deadline::Clear, event);
        true
    }

    /// Takes out all expired elements of a key, and records their deletion.
    pub(super) fn expire_all_elements(&mut self, key: Key<'_>) {
        while self.expire_some_elements(key) {}
    }

    /// Takes out some of the expired elements of a key, unless the key has expired itself. Returns
    /// true when there are more.
    pub(super) fn expire_some_elements(&mut self, key: Key<'_>) -> bool {
        if !self.has_expired_elements(key) {
            return false;
        }
        self.expire_elements(key);
        self.has_expired_elements(key)
    }

    /// As [`Keys::expire_some_elements`], in every database.
    pub(crate) fn expire_some_in_all(&mut self, key: Key<'_>) -> bool {
        let Some(slot) = self.space.slot(key.slot) else { return false };
        let tables = slot.tables().filter(|(_, table)| table.next_deadline() <= self.now);
        let databases: Vec<u32> = tables.map(|(db, _)| db).collect();
        let expire = |db| self.in_db(db, |keys| keys.expire_some_elements(key));
        databases.into_iter().map(expire).fold(false, |more, has_more| more | has_more)
    }

    fn has_expired_elements(&self, key: Key<'_>) -> bool {
        let now = self.now;
        self.expiry.ends_elements()
            && self.peek(key).is_some_and(|entry| entry.next_element_deadline() <= now)
    }

    /// Takes out expired elements of a key, some at a time, records their deletion, and files
    /// the key under the deadlines that are left.
    pub fn expire_elements(&mut self, key: Key<'_>) {
        let (db, now) = (self.db, self.now);
        let Some(object) = self.peek(key).and_then(Entry::object) else { return };
        let (removal, event) = (object.removal(), object.expired_event());
        self.ahead(key);
        let table = self.space.table_mut(db, key.slot);
        let entry = table.and_then(|table| table.get_mut(key.in_table()));
        let gone = entry.and_then(|entry| {
            entry.edit_object(|object| {
                let (collection, mut gone) = (object.collection_mut(), Vec::new());
                let mut take = |name: &[u8]| gone.push(name.to_vec());
                let was_timed = collection.is_timed();
                collection.expire(now, ELEMENTS_A_STEP, &mut take);
                (gone, was_timed, collection.is_timed(), collection.vanishes())
            })
        });
        let Some((gone, was_timed, is_timed, vanishes)) = gone else { return };
        self.count_timed(key, was_timed, is_timed);
        if vanishes {
            self.owed.vanished(self.db, key);
            let entry = self.take(key);
            entry.into_iter().for_each(|entry| self.tools.discarded.take_entry(entry));
        } else {
            self.file_anew(key);
        }
        if !gone.is_empty() {
            self.touch_fields(key, event, gone.iter().map(Vec::as_slice));
            self.touch_vanished(key);
            let mut record = vec![removal, key.name];
            record.extend(gone.iter().map(Vec::as_slice));
            self.tools.effects.aside(db, &record);
            self.tools.figures.expired_elements += gone.len() as u64;
        }
    }

    /// A collection was changed in place: whether it counts among those whose elements have
    /// deadlines.
    fn count_timed(&mut self, key: Key<'_>, was_timed: bool, is_timed: bool) {
        if was_timed != is_timed {
            self.space.change(self.db, key, |table, _| table.count_timed(is_timed));
        }
    }

    /// Files a key under the deadlines that it and its elements have now.
    pub(crate) fn file_anew(&mut self, key: Key<'_>) {
        self.space.change(self.db, key, |table, _| table.file_anew(key.in_table()));
    }
}

fn typed<T: Typed>(
    entry: Option<&Entry>,
    hidden_at: Option<Millis>,
) -> Result<Option<Ref<'_, T>>, KeyError> {
    let Some(entry) = entry else { return Ok(None) };
    let typed = entry.object().and_then(|view| Ref::of(view, hidden_at));
    typed.map(Some).ok_or(KeyError::WrongType)
}

#[cfg(test)]
mod tests {
    use crate::hook::answer::Answer;
    use crate::question::{Detail, Question};
    use crate::testing::{Still, Store};

    /// Keys of a database that hold elements with deadlines, as INFO tells it.
    fn timed(store: &mut Store, db: u32) -> usize {
        let Answer::Report(report) = store.shard.answer(&Question::Report(Detail::Sums)) else {
            panic!("a report is answered with one");
        };
        let counts = report.databases.iter().find(|(number, _)| *number == db);
        counts.map_or(0, |(_, counts)| counts.timed)
    }

    #[test]
    fn keys_with_elements_that_have_deadlines_are_counted() {
        let (mut store, mut random) = (Store::new(), fastrand::Rng::with_seed(9));
        let mut most = 0;
        for _ in 0..3_000 {
            store.session.db = random.u32(..2);
            let (kind, key) = (random.usize(..3), random.u8(..4));
            let (a, b) = (format!("{kind}:{key}"), format!("{kind}:{}", random.u8(..4)));
            let (letter, word) = [("H", "FIELDS"), ("S", "MEMBERS"), ("Z", "MEMBERS")][kind];
            let name = format!("e{}", random.u8(..4));
            store.run(&match random.u8(..14) {
                0..3 => match kind {
                    0 => format!("HSET {a} {name} v"),
                    1 => format!("SADD {a} {name}"),
                    _ => format!("ZADD {a} 1 {name}"),
                },
                3..7 => format!("{letter}PEXPIRE {a} {} {word} 1 {name}", random.u8(..60)),
                7..9 => format!("{letter}PERSIST {a} {word} 1 {name}"),
                9 => format!("{} {a} {name}", ["HDEL", "SREM", "ZREM"][kind]),
                10 => format!("RENAME {a} {b}"),
                11 => format!("COPY {a} {b} DB {} REPLACE", random.u8(..2)),
                12 => format!("MOVE {a} {}", random.u8(..2)),
                _ => ["DEL", "UNLINK", "GETDEL"][random.usize(..3)].to_owned() + " " + &a,
            });
            store.tick(random.i64(0..4));
            if random.bool() {
                store.shard.expire(store.now, &mut Still);
            }
            store.session.db = random.u32(..2);
            let mut expected = 0;
            for (letter, word, kind) in
                [("H", "FIELDS", 0), ("S", "MEMBERS", 1), ("Z", "MEMBERS", 2)]
            {
                for key in 0..4 {
                    let line = format!("{letter}PEXPIRETIME {kind}:{key} {word} 4 e0 e1 e2 e3");
                    expected += usize::from(store.run(&line).contains(") (integer) 1"));
                }
            }
            let db = store.session.db;
            assert_eq!(timed(&mut store, db), expected);
            most = most.max(expected);
        }
        assert!(most > 3, "at most {most} keys had some");
        store.run("FLUSHALL");
        assert_eq!((timed(&mut store, 0), timed(&mut store, 1)), (0, 0));
    }
}
