//! Accesses, numbers and deadlines, on a bare keyspace.

use super::*;
use crate::base::hash::Hasher;

const NOW: Millis = Millis(1_700_000_000_000);

/// Runs `test` on the keys of a keyspace whose counter of accesses grows with each.
fn with_keys(test: impl FnOnce(&mut Keys<'_>, Key<'_>)) {
    let hasher = Hasher::with_seeds([1, 2, 3, 4]);
    let key = Key::new(b"k", &hasher);
    let mut space = Keyspace::new(hasher.clone());
    space.put(key.slot, Box::default());
    let mut tools = Tools {
        effects: Effects::default(),
        random: fastrand::Rng::with_seed(7),
        clock: AccessClock::Frequency { factor: 0, decay_minutes: 0 },
        figures: Figures::default(),
        discarded: Discarded::default(),
        listeners: Listeners::default(),
        notices: Notices::default(),
        invalidations: Invalidations::default(),
        awaited: VecDeque::new(),
        saving: None,
        undo: None,
        takes_any_checksum: false,
    };
    test(&mut Keys::new(&mut space, &mut tools, 0, NOW), key);
}

#[test]
fn writes_are_accesses_unless_the_client_leaves_no_trace() {
    with_keys(|keys, key| {
        let frequency = |keys: &mut Keys<'_>| {
            let clock = keys.tools.clock;
            keys.look(key).and_then(|entry| clock.frequency(entry, NOW))
        };
        keys.set_string(key, b"1", Deadline::Clear, Event::SET);
        assert_eq!(frequency(keys), Some(5));
        keys.set_string(key, b"2", Deadline::Clear, Event::SET);
        assert_eq!(keys.add_integer(key, 1, Event::INCRBY), Ok(3));
        keys.edit_string(key, Event::APPEND, |bytes| (bytes.push(b'4'), true));
        assert_eq!(frequency(keys), Some(8));
        keys.untouched = true;
        keys.set_string(key, b"5", Deadline::Clear, Event::SET);
        assert_eq!(keys.add_integer(key, 1, Event::INCRBY), Ok(6));
        assert_eq!(frequency(keys), Some(8));
    });
}

#[test]
fn integers_are_added_in_place_and_keep_their_deadline() {
    with_keys(|keys, key| {
        let deadline = NOW.saturating_add(10);
        assert_eq!(keys.add_integer(key, 5, Event::INCRBY), Ok(5));
        keys.set_deadline(key, Some(deadline), Event::EXPIRE);
        assert_eq!(keys.add_integer(key, -7, Event::INCRBY), Ok(-2));
        assert_eq!(keys.look(key).and_then(Entry::deadline), Some(deadline));
        assert_eq!(keys.add_integer(key, i64::MIN, Event::INCRBY), Err(KeyError::Overflow));
        let changes = keys.changes;
        keys.set_string(key, b"1 ", Deadline::Keep, Event::SET);
        assert_eq!(keys.add_integer(key, 1, Event::INCRBY), Err(KeyError::NotAnInteger));
        assert_eq!(keys.changes, changes + 1);
        keys.now = deadline;
        assert_eq!(keys.add_integer(key, 1, Event::INCRBY), Ok(1));
    });
}

/// The table of a slot splits by what entries are marked with, whatever became of them since.
#[test]
fn keys_of_one_slot_are_found_while_their_table_grows() {
    with_keys(|keys, _| {
        let hasher = keys.space.hasher().clone();
        let name = |number: usize| format!("{{k}}{number}");
        for number in 0..3_000 {
            let (new, earlier) = (name(number), name(number / 2));
            let new = Key::new(new.as_bytes(), &hasher);
            keys.set_string(new, b"1", Deadline::Clear, Event::SET);
            let deadline = Deadline::At(NOW.saturating_add(1_000));
            let longer = vec![b'x'; number % 300];
            let earlier = Key::new(earlier.as_bytes(), &hasher);
            keys.set_string(earlier, &longer, deadline, Event::SET);
        }
        for number in 0..3_000 {
            let name = name(number);
            assert!(keys.look(Key::new(name.as_bytes(), &hasher)).is_some(), "{name}");
        }
    });
}

#[test]
fn nothing_is_past_while_the_journal_is_loaded() {
    with_keys(|keys, _| {
        assert!(keys.is_past(NOW) && !keys.is_past(NOW.saturating_add(1)));
        keys.expiry = Expiry::Replay;
        assert!(!keys.is_past(NOW));
    });
}
