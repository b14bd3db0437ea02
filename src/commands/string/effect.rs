//! What a stored string leaves in the journal: `SET key value`, with an absolute deadline.
//!
//! Every server since Redis 6.2 understands these records. A deadline that has passed leaves a DEL,
//! and nothing where there was no key.

use crate::keyspace::key::Key;
use crate::keyspace::keys::{Deadline, Keys};
use crate::keyspace::listener::Event;

/// Stores a string; with a deadline that has passed, the key goes instead.
pub(super) fn store(keys: &mut Keys<'_>, key: Key<'_>, value: &[u8], deadline: Deadline) {
    match deadline {
        Deadline::At(time) if keys.is_past(time) => keys.delete_past(key),
        _ => {
            keys.set_string(key, value, deadline, Event::SET);
            if let Deadline::At(_) = deadline {
                keys.touch(key, Event::EXPIRE);
            }
        }
    }
}

/// Stores a string and records that in the place of the call that runs.
pub(super) fn store_and_record(
    keys: &mut Keys<'_>,
    key: Key<'_>,
    value: &[u8],
    deadline: Deadline,
) {
    let before = keys.changes;
    store(keys, key, value, deadline);
    if keys.changes > before {
        let mut digits = itoa::Buffer::new();
        let record = Record::of(keys, key.name, value, deadline, digits_of(deadline, &mut digits));
        keys.tools.effects.rewrite(keys.db, record.words());
    }
}

/// The time of a deadline in decimal, empty where there is none.
pub(super) fn digits_of(deadline: Deadline, buffer: &mut itoa::Buffer) -> &[u8] {
    match deadline {
        Deadline::At(time) => buffer.format(time.0).as_bytes(),
        Deadline::Clear | Deadline::Keep => b"",
    }
}

/// One record, in words.
pub(super) struct Record<'a> {
    words: [&'a [u8]; 5],
    len: usize,
}

impl<'a> Record<'a> {
    /// The record of what [`store`] did; `digits` are [`digits_of`] the deadline.
    pub(super) fn of(
        keys: &Keys<'_>,
        name: &'a [u8],
        value: &'a [u8],
        deadline: Deadline,
        digits: &'a [u8],
    ) -> Record<'a> {
        let (words, len): ([&[u8]; 5], usize) = match deadline {
            Deadline::Clear => ([b"SET", name, value, b"", b""], 3),
            Deadline::Keep => ([b"SET", name, value, b"KEEPTTL", b""], 4),
            Deadline::At(time) if keys.is_past(time) => ([b"DEL", name, b"", b"", b""], 2),
            Deadline::At(_) => ([b"SET", name, value, b"PXAT", digits], 5),
        };
        Record { words, len }
    }

    /// Its words.
    pub(super) fn words(&self) -> &[&'a [u8]] {
        &self.words[..self.len]
    }
}
