//! Keys that never go to make room for others: a flag of the key, whatever its value is replaced
//! by. It ends with the key.

use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;

impl Keys<'_> {
    /// Sets whether a key is blessed. Returns whether that is new; nothing where there is no key.
    pub fn bless(&mut self, key: Key<'_>, is_blessed: bool) -> Option<bool> {
        if self.look(key)?.is_blessed() == is_blessed {
            return Some(false);
        }
        self.ahead(key);
        self.space.change(self.db, key, |table, hasher| {
            table.upsert(key.in_table(), hasher, |there| {
                there?.bless(is_blessed);
                None
            })
        });
        self.changed(key, if is_blessed { Event::BLESS } else { Event::UNBLESS }, 1);
        Some(true)
    }
}
