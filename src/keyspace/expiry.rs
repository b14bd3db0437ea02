//! What a call finds of keys and elements that have expired.
//!
//! As a rule they are not there, and the first look takes them out. While a journal is loaded they
//! stay, since what follows in it finds them. For a replica, and in import mode (the setting
//! `import-mode`), another server says when keys go: the client through which it does so finds them
//! as they were, and nobody else finds them. Where others read them they stay; where others write
//! them they go. The same holds for elements, but that lengths count those that stay.

use crate::base::millis::Millis;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;

/// What a call finds of what has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It is not there, and goes.
    #[default]
    Usual,
    /// It is there: the journal is being loaded.
    Replay,
    /// It is there: another server says when it goes, and this client is how it does so.
    Source,
    /// The same for a command of any other client that only reads: keys are not there, and stay.
    HidingRead,
    /// Any other command of such a client: keys are not there, and go, unless they are only read.
    HidingWrite,
}

impl Expiry {
    /// Of a call where another server says when keys go.
    pub(crate) fn of_elsewhere(is_source: bool, writes: bool) -> Expiry {
        match (is_source, writes) {
            (true, _) => Expiry::Source,
            (false, true) => Expiry::HidingWrite,
            (false, false) => Expiry::HidingRead,
        }
    }

    /// Keys that have expired are there.
    pub(super) fn keeps(self) -> bool {
        matches!(self, Expiry::Replay | Expiry::Source)
    }

    /// Keys that have expired and are looked at are not there, and stay.
    #[inline]
    pub(super) fn hides(self) -> bool {
        self == Expiry::HidingRead
    }

    /// The same of those that are read.
    #[inline]
    pub(super) fn hides_from_reads(self) -> bool {
        matches!(self, Expiry::HidingRead | Expiry::HidingWrite)
    }

    /// Elements that have expired go, unless their key is only read.
    #[inline]
    pub(super) fn ends_elements(self) -> bool {
        matches!(self, Expiry::Usual | Expiry::HidingWrite)
    }
}

impl Keys<'_> {
    /// True while the journal is loaded: what it says was allowed once, whatever the settings now.
    pub fn is_replay(&self) -> bool {
        self.expiry == Expiry::Replay
    }

    /// True when a key with this deadline would be gone at once. Never so while the journal is
    /// loaded, since what follows in it finds the key, nor where another server says when keys go.
    pub fn is_past(&self, deadline: Millis) -> bool {
        deadline <= self.now && self.expiry == Expiry::Usual
    }

    /// True when an entry is one that nobody finds, since it has expired.
    pub(crate) fn is_gone(&self, entry: &Entry) -> bool {
        entry.is_expired(self.now) && !self.expiry.keeps()
    }

    /// When elements have to have expired to be hidden, where they are not taken out ahead.
    #[inline]
    pub(super) fn hides_at(&self) -> Option<Millis> {
        self.expiry.hides_from_reads().then_some(self.now)
    }

    /// Takes a key out if it has expired, or its expired elements, and records their deletion.
    #[inline]
    pub fn expire_if_needed(&mut self, key: Key<'_>) {
        self.expire_unless(key, self.expiry.hides());
    }

    /// The same ahead of a read.
    #[inline]
    pub(super) fn expire_ahead_of_read(&mut self, key: Key<'_>) {
        self.expire_unless(key, self.expiry.hides_from_reads());
    }

    #[inline]
    fn expire_unless(&mut self, key: Key<'_>, stays: bool) {
        let Some(table) = self.space.table(self.db, key.slot) else {
            return self.note_absent(key.slot);
        };
        if table.next_deadline() > self.now || self.expiry.keeps() {
            return;
        }
        let Some(entry) = table.get(key.in_table()) else { return };
        if entry.is_expired(self.now) {
            if !stays {
                self.expire(key);
            }
        } else if !stays && entry.next_element_deadline() <= self.now {
            self.expire_all_elements(key);
        }
    }

    /// Takes out a key that is known to have expired, and records its deletion.
    pub fn expire(&mut self, key: Key<'_>) {
        self.ahead(key);
        if let Some(entry) = self.take(key) {
            self.touch(key, Event::EXPIRED);
            self.tools.discarded.take_entry(entry);
            self.tools.figures.expired += 1;
            self.tools.effects.aside(self.db, &[b"DEL", key.name]);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Still, Store};

    /// A store in import mode with a key that has expired.
    fn importing() -> Store {
        let mut store = Store::new();
        store.configure("import-mode", "yes");
        assert_eq!(store.run("CLIENT IMPORT-SOURCE on"), "OK");
        store.run("SET k 1 PX 10");
        store.run("HSETEX h PX 10 FIELDS 1 f v");
        store.tick(20);
        store.effects();
        store
    }

    #[test]
    fn the_source_finds_what_has_expired() {
        let mut store = importing();
        store.shard.expire(store.now, &mut Still);
        for (line, wanted) in [
            ("DBSIZE", "(integer) 2"),
            ("GET k", "\"1\""),
            ("TTL k", "(integer) 0"),
            ("INCR k", "(integer) 2"),
            ("HGET h f", "\"v\""),
            ("HLEN h", "(integer) 1"),
            ("SCAN 0 TYPE string", "1) \"0\"\n2) 1) \"k\""),
            ("KEYS k", "1) \"k\""),
            ("EXPIRE k -1", "(integer) 1"),
            ("RENAME k {k}r", "OK"),
            ("SET past 1 PXAT 1", "OK"),
            ("EXISTS past {k}r", "(integer) 2"),
        ] {
            assert_eq!(store.run(line), wanted, "{line}");
        }
        store.run("DEL h");
        assert!(store.run("RANDOMKEY").starts_with('"'));
        assert!(!store.effects().contains("DEL k"));
        store.configure("import-mode", "no");
        store.shard.expire(store.now, &mut Still);
        assert_eq!(store.run("DBSIZE"), "(integer) 0");
    }

    #[test]
    fn reads_of_others_find_nothing_and_leave_it() {
        let mut store = importing();
        assert_eq!(store.run("CLIENT IMPORT-SOURCE off"), "OK");
        store.run("DEL h");
        store.effects();
        for (line, wanted) in [
            ("GET k", "(nil)"),
            ("TTL k", "(integer) -2"),
            ("EXISTS k", "(integer) 0"),
            ("TYPE k", "none"),
            ("DUMP k", "(nil)"),
            ("KEYS *", "(empty array)"),
            ("SCAN 0", "1) \"0\"\n2) (empty array)"),
            ("COPY k copy", "(integer) 0"),
            ("DBSIZE", "(integer) 1"),
            ("RANDOMKEY", "\"k\""),
        ] {
            assert_eq!(store.run(line), wanted, "{line}");
        }
        assert_eq!(store.effects(), "");
        assert_eq!(store.run("APPEND k v"), "(integer) 1");
        assert_eq!(store.effects(), "DEL k\nAPPEND k v");
        assert_eq!(store.run("TTL k"), "(integer) -1");
    }

    #[test]
    fn there_are_sources_only_in_import_mode_and_until_a_reset() {
        let mut store = Store::new();
        let refused = "(error) ERR Server is not in import mode";
        assert_eq!(store.run("CLIENT IMPORT-SOURCE on"), refused);
        store.configure("import-mode", "yes");
        assert_eq!(store.run("CLIENT IMPORT-SOURCE on"), "OK");
        assert!(store.session.imports);
        assert_eq!(store.run("RESET"), "RESET");
        assert!(!store.session.imports);
    }
}
