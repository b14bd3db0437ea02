//! Keyspace events: what clients may hear of changes of keys, and of keys that are not there.
//!
//! Every change has a name (`Event`), and each name a class. Those of the classes that somebody has
//! asked for (`notify-keyspace-events`) are noted here while a call runs, and published when it is
//! over.

use crate::keyspace::key::Key;
use crate::keyspace::listener::Event;

/// Classes of events, and by which channels they are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u16);

/// Each class and its letter.
const LETTERS: [(Classes, u8); 14] = [
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

    /// The classes that these letters stand for.
    pub fn of(letters: &str) -> Classes {
        let mut classes = Classes::NONE;
        for letter in letters.bytes() {
            if letter == b'A' {
                classes.0 |= Classes::of(OF_A).0;
            }
            let known = LETTERS.iter().find(|(_, known)| *known == letter);
            classes.0 |= known.map_or(0, |(class, _)| class.0);
        }
        classes
    }

    /// Whether one of the other classes is among them.
    #[inline]
    pub const fn has(self, other: Classes) -> bool {
        self.0 & other.0 != 0
    }
}

/// An event of a key.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) db: u32,
    pub(crate) key: Box<[u8]>,
    pub(crate) event: &'static str,
}

/// What has happened and is not published yet.
#[derive(Debug, Default)]
pub struct Notices {
    classes: Classes,
    noted: Vec<Notice>,
}

impl Notices {
    /// From now on events of these classes are noted.
    pub(crate) fn listen(&mut self, classes: Classes) {
        let is_told = classes.has(Classes(Classes::BY_KEY.0 | Classes::BY_EVENT.0));
        self.classes = if is_told { classes } else { Classes::NONE };
    }

    /// The classes that are noted.
    pub(crate) fn classes(&self) -> Classes {
        self.classes
    }

    /// Something has happened to a key.
    #[inline]
    pub(crate) fn note(&mut self, db: u32, key: Key<'_>, event: Event) {
        if self.classes.has(event.class()) {
            self.add(db, key, event);
        }
    }

    #[cold]
    fn add(&mut self, db: u32, key: Key<'_>, event: Event) {
        self.noted.push(Notice { db, key: key.name.into(), event: event.name() });
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
        assert!(!Classes::of("AKEnm").has(Event::SILENT.class()));
    }

    #[test]
    fn nothing_is_noted_where_nobody_says_by_which_channels() {
        let mut notices = Notices::default();
        notices.listen(Classes::of("Anm"));
        assert_eq!(notices.classes(), Classes::NONE);
        notices.listen(Classes::of("K$"));
        assert!(notices.classes().has(Event::SET.class()));
    }
}
