//! Keyspace events: what clients may hear of changes of keys, and of keys that are not there.
//!
//! Every change has a name (`Event`), and each name a class. Those of the classes that somebody has
//! asked for (`notify-keyspace-events`) are noted here while a call runs, and published when it is
//! over. Two kinds of events stand beside the changes:
//!
//! - Events of fields say which fields of a hash a change was about. They have channels of their
//!   own, and follow the event of the key. Nobody collects a field that nobody has asked for.
//! - `overwritten` and `type_changed` say that a value replaced another one as a whole. What is
//!   counted on, appended to or edited in place is not overwritten.

use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;

/// Classes of events, and by which channels they are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u32);

/// Each class and its letter.
const LETTERS: [(Classes, u8); 20] = [
    (Classes::BY_KEY, b'K'),
    (Classes::BY_EVENT, b'E'),
    (Classes::GENERIC, b'g'),
    (Classes::STRING, b'$'),
    (Classes::LIST, b'l'),
    (Classes::SET, b's'),
    (Classes::HASH, b'h'),
    (Classes::ZSET, b'z'),
    (Classes::EXPIRED, b'x'),
    (Classes::EVICTED, b'e'),
    (Classes::STREAM, b't'),
    (Classes::MODULE, b'd'),
    (Classes::MISSED, b'm'),
    (Classes::NEW, b'n'),
    (Classes::OVERWRITTEN, b'o'),
    (Classes::TYPE_CHANGED, b'c'),
    (Classes::FIELDS_BY_KEY, b'S'),
    (Classes::FIELDS_BY_EVENT, b'T'),
    (Classes::FIELDS_BY_FIELD, b'I'),
    (Classes::FIELDS_BY_BOTH, b'V'),
];

/// The letters that `A` stands for.
const OF_A: &str = "g$lshzxetd";

#[expect(missing_docs, reason = "the letters say it")]
impl Classes {
    pub const NONE: Classes = Classes(0);
    pub const BY_KEY: Classes = Classes(1);
    pub const BY_EVENT: Classes = Classes(1 << 1);
    pub const GENERIC: Classes = Classes(1 << 2);
    pub const STRING: Classes = Classes(1 << 3);
    pub const LIST: Classes = Classes(1 << 4);
    pub const SET: Classes = Classes(1 << 5);
    pub const HASH: Classes = Classes(1 << 6);
    pub const ZSET: Classes = Classes(1 << 7);
    pub const EXPIRED: Classes = Classes(1 << 8);
    pub const EVICTED: Classes = Classes(1 << 9);
    pub const STREAM: Classes = Classes(1 << 10);
    pub const MODULE: Classes = Classes(1 << 11);
    pub const MISSED: Classes = Classes(1 << 12);
    pub const NEW: Classes = Classes(1 << 13);
    pub const OVERWRITTEN: Classes = Classes(1 << 14);
    pub const TYPE_CHANGED: Classes = Classes(1 << 15);
    pub const FIELDS_BY_KEY: Classes = Classes(1 << 16);
    pub const FIELDS_BY_EVENT: Classes = Classes(1 << 17);
    pub const FIELDS_BY_FIELD: Classes = Classes(1 << 18);
    /// By key and event.
    pub const FIELDS_BY_BOTH: Classes = Classes(1 << 19);

    /// The channels of events of keys.
    const OF_KEYS: Classes = Classes::BY_KEY.and(Classes::BY_EVENT);
    /// The channels of events of fields.
    const OF_FIELDS: Classes = Classes::FIELDS_BY_KEY
        .and(Classes::FIELDS_BY_EVENT)
        .and(Classes::FIELDS_BY_FIELD)
        .and(Classes::FIELDS_BY_BOTH);
    /// What is heard of a key that was overwritten.
    const OF_OVERWRITTEN: Classes = Classes::OVERWRITTEN.and(Classes::TYPE_CHANGED);

    /// The classes that these letters stand for.
    pub fn of(letters: &str) -> Classes {
        let mut classes = Classes::NONE;
        for letter in letters.bytes() {
            if letter == b'A' {
                classes = classes.and(Classes::of(OF_A));
            }
            let known = LETTERS.iter().find(|(_, known)| *known == letter);
            classes = classes.and(known.map_or(Classes::NONE, |(class, _)| *class));
        }
        classes
    }

    /// Those of both.
    const fn and(self, other: Classes) -> Classes {
        Classes(self.0 | other.0)
    }

    /// Whether one of the other classes is among them.
    #[inline]
    pub const fn has(self, other: Classes) -> bool {
        self.0 & other.0 != 0
    }
}

/// An event of a key, or of fields of it.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) db: u32,
    pub(crate) key: Box<[u8]>,
    pub(crate) event: &'static str,
    /// The fields, as often as they were named; none where the event is that of the key.
    pub(crate) fields: Vec<Box<[u8]>>,
}

/// What has happened and is not published yet.
#[derive(Debug, Default)]
pub struct Notices {
    /// What was asked for.
    asked: Classes,
    /// The classes of which events of keys are noted.
    noted_of_keys: Classes,
    /// Whether events of fields are noted.
    notes_fields: bool,
    noted: Vec<Notice>,
}

impl Notices {
    /// From now on events of these classes are noted, where the channels are among them.
    pub(crate) fn listen(&mut self, classes: Classes) {
        let is_told = classes.has(Classes::OF_KEYS);
        self.asked = classes;
        self.noted_of_keys = if is_told { classes } else { Classes::NONE };
        self.notes_fields = classes.has(Classes::OF_FIELDS) && classes.has(Classes::HASH);
    }

    /// What was asked for: the channels that are published to are among it.
    pub(crate) fn asked(&self) -> Classes {
        self.asked
    }

    /// Something has happened to a key.
    #[inline]
    pub(crate) fn note(&mut self, db: u32, key: Key<'_>, event: Event) {
        if self.noted_of_keys.has(event.class()) {
            self.add(db, key, event, Vec::new());
        }
    }

    #[cold]
    fn add(&mut self, db: u32, key: Key<'_>, event: Event, fields: Vec<Box<[u8]>>) {
        self.noted.push(Notice { db, key: key.name.into(), event: event.name(), fields });
    }

    /// How many are noted.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.noted.len()
    }

    /// Forgets all but the first so many.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.noted.truncate(len);
    }

    /// Takes what is noted.
    pub(crate) fn take(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.noted)
    }
}

impl Keys<'_> {
    /// Whether it matters to somebody which fields an event is about.
    #[inline]
    pub fn names_fields(&self, event: Event) -> bool {
        self.tools.notices.notes_fields && event.has_fields() && !self.is_replay()
    }

    /// As [`Keys::touch`], with what names the fields that the event is about.
    #[inline]
    pub fn touch_fields<'f>(
        &mut self,
        key: Key<'_>,
        event: Event,
        fields: impl IntoIterator<Item = &'f [u8]>,
    ) {
        self.touch(key, event);
        if self.names_fields(event) {
            let fields: Vec<_> = fields.into_iter().map(Box::from).collect();
            if !fields.is_empty() {
                self.tools.notices.add(self.db, key, event, fields);
            }
        }
    }

    /// As [`Keys::changed`], with what names the fields that have changed.
    pub fn changed_fields<'f>(
        &mut self,
        key: Key<'_>,
        event: Event,
        times: usize,
        fields: impl IntoIterator<Item = &'f [u8]>,
    ) {
        if times > 0 {
            self.touch_fields(key, event, fields);
            self.touch_vanished(key);
            self.changes += times as u64;
        }
    }

    /// The key holds another value than one of the type `was`. That is the change of which others
    /// hear by the event of the call, so nobody is told of it beside clients that ask for it.
    #[inline]
    pub fn note_overwritten(&mut self, key: Key<'_>, was: Option<&'static str>) {
        if self.tools.notices.noted_of_keys.has(Classes::OF_OVERWRITTEN) && !self.is_replay() {
            self.add_overwritten(key, was);
        }
    }

    #[cold]
    fn add_overwritten(&mut self, key: Key<'_>, was: Option<&'static str>) {
        let there = self.space.table(self.db, key.slot).and_then(|t| t.get(key.in_table()));
        let (Some(was), Some(is)) = (was, there.map(Entry::type_name)) else { return };
        self.tools.notices.note(self.db, key, Event::OVERWRITTEN);
        if was != is {
            self.tools.notices.note(self.db, key, Event::TYPE_CHANGED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stand_for_classes() {
        let classes = Classes::of("AE");
        assert!(classes.has(Event::SET.class()) && classes.has(Event::XADD.class()));
        assert!(!classes.has(Event::NEW.class()) && !classes.has(Event::KEYMISS.class()));
        assert!(!classes.has(Classes::BY_KEY) && classes.has(Classes::BY_EVENT));
        let classes = Classes::of("Kx");
        assert!(classes.has(Event::EXPIRED.class()) && !classes.has(Event::HEXPIRED.class()));
        assert!(classes.has(Event::HEXPIRED.by_time().class()));
        assert!(!Classes::of("AKEnmocSTIV").has(Event::SILENT.class()));
        let of_a = Classes::of("A");
        assert!(!of_a.has(Classes::OF_FIELDS) && !of_a.has(Classes::OF_OVERWRITTEN));
        assert!(Classes::of("o").has(Event::OVERWRITTEN.class()));
        assert!(Classes::of("c").has(Event::TYPE_CHANGED.class()));
    }

    #[test]
    fn nothing_is_noted_where_nobody_says_by_which_channels() {
        let mut notices = Notices::default();
        notices.listen(Classes::of("Anm"));
        assert_eq!((notices.noted_of_keys, notices.notes_fields), (Classes::NONE, false));
        notices.listen(Classes::of("K$T"));
        assert!(notices.noted_of_keys.has(Event::SET.class()) && !notices.notes_fields);
        notices.listen(Classes::of("Th"));
        assert_eq!((notices.noted_of_keys, notices.notes_fields), (Classes::NONE, true));
    }
}
