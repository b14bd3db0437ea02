//! Who is chosen among many.

use super::*;
use crate::base::hash::Hasher;
use crate::keyspace::entry::NewValue;

const NOW: Millis = Millis(1_000_000_000);

fn space() -> Keyspace {
    let mut space = Keyspace::new(Hasher::with_seeds([1, 2, 3, 4]));
    (0..SLOTS).for_each(|slot| space.put(slot, Box::default()));
    space
}

/// Puts a key in that was used so many seconds ago.
fn put(space: &mut Keyspace, db: u32, name: &str, idle: i64, deadline: Option<Millis>) {
    let hasher = space.hasher().clone();
    let key = Key::new(name.as_bytes(), &hasher);
    let mut entry = Entry::new(key.name, NewValue::Integer(1), deadline, 0);
    AccessClock::Recency.start(&mut entry, NOW.saturating_add(-1_000 * idle));
    space.change(db, key, |table, hasher| table.insert(key.in_table(), hasher, entry));
}

fn take(space: &mut Keyspace, candidate: &Candidate) -> bool {
    let hasher = space.hasher().clone();
    let key = Key::new(&candidate.name, &hasher);
    let taken = space.change(candidate.db, key, |table, _| table.remove(key.in_table()));
    taken.flatten().is_some()
}

/// Takes keys out, one after the other; their names.
fn picked(space: &mut Keyspace, rule: Rule, samples: usize, count: usize) -> Vec<String> {
    let mut picker = Picker::new(rule, samples);
    let mut random = fastrand::Rng::with_seed(3);
    let mut names = Vec::new();
    let mut missed = 0;
    while names.len() < count {
        match picker.pick(space, AccessClock::Recency, &mut random, NOW) {
            Pick::Key(candidate) => {
                assert!(take(space, &candidate), "it was there");
                names.push(String::from_utf8_lossy(&candidate.name).into_owned());
                let slot = Key::new(&candidate.name, space.hasher()).slot;
                picker.gone(candidate, slot);
            }
            Pick::Missed => {
                missed += 1;
                assert!(missed < 10_000, "it finds them in the end");
            }
            Pick::Nothing | Pick::Spared => break,
        }
    }
    names
}

const LRU: Rule = Rule { only_timed: false, by: By::Access };

#[test]
fn the_oldest_go_first_of_all_databases() {
    let mut space = space();
    for number in 0..20_000 {
        put(&mut space, number % 3, &format!("key:{number}"), i64::from(number), None);
    }
    let names = picked(&mut space, LRU, 10, 2_000);
    let ages = names.iter().map(|name| name[4..].parse::<u32>().unwrap());
    let young = ages.filter(|age| *age < 15_000).count();
    assert!(young < 20, "{young} of 2,000 are not among the oldest quarter");
}

#[test]
fn a_slot_with_most_of_the_keys_loses_most() {
    let mut space = space();
    for number in 0..9_000 {
        put(&mut space, 0, &format!("{{t}}{number}"), 5, None);
    }
    for number in 0..1_000 {
        put(&mut space, 0, &format!("key:{number}"), 5, None);
    }
    let names = picked(&mut space, Rule { by: By::Chance, ..LRU }, 5, 1_000);
    let tagged = names.iter().filter(|name| name.starts_with("{t}")).count();
    assert!((850..950).contains(&tagged), "{tagged} of 1,000");
}

#[test]
fn the_few_keys_with_a_deadline_are_found_among_many() {
    for tag in ["", "{t}"] {
        let mut space = space();
        for number in 0..30_000 {
            let deadline = (number % 3_000 == 7).then_some(NOW.saturating_add(number));
            put(&mut space, 0, &format!("{tag}{number}"), 1, deadline);
        }
        let rule = Rule { only_timed: true, by: By::Deadline };
        let mut names = picked(&mut space, rule, 5, usize::MAX);
        assert_eq!(names.len(), 10, "and no other");
        names.sort();
        assert!(names.iter().all(|name| name[tag.len()..].parse::<usize>().unwrap() % 3_000 == 7));
        assert_eq!(space.counts(0).len, 29_990);
    }
}

#[test]
fn who_was_used_since_is_spared() {
    let mut space = space();
    put(&mut space, 0, "a", 100, None);
    put(&mut space, 0, "b", 50, None);
    let (clock, mut random) = (AccessClock::Recency, fastrand::Rng::with_seed(3));
    let mut picker = Picker::new(LRU, 64);
    assert_eq!(picker.estimate(&space, clock, &mut random, NOW), YOUNG / 101);
    let hasher = space.hasher().clone();
    let key = Key::new(b"a", &hasher);
    let entry = space.table_mut(0, key.slot).and_then(|table| table.get_mut(key.in_table()));
    clock.start(entry.expect("it is there"), NOW);
    let Pick::Key(victim) = picker.pick(&space, clock, &mut random, NOW) else {
        panic!("there are keys");
    };
    assert_eq!(victim.name, b"b");
}

fn bless(space: &mut Keyspace, name: &str, is_blessed: bool) {
    let hasher = space.hasher().clone();
    let key = Key::new(name.as_bytes(), &hasher);
    space.change(0, key, |table, hasher| {
        table.upsert(key.in_table(), hasher, |there| {
            there?.bless(is_blessed);
            None
        })
    });
}

#[test]
fn what_is_blessed_stays_and_the_few_others_are_found() {
    for tag in ["", "{t}"] {
        for only_timed in [false, true] {
            let mut space = space();
            for number in 0..10_000 {
                let name = format!("{tag}{number}");
                put(&mut space, 0, &name, number, Some(NOW.saturating_add(number)));
                bless(&mut space, &name, number % 1_000 != 7);
            }
            let mut names = picked(&mut space, Rule { only_timed, ..LRU }, 5, usize::MAX);
            assert_eq!(names.len(), 10, "and no other");
            names.sort();
            assert!(names.iter().all(|name| name.ends_with('7')), "{names:?}");
            let counts = space.counts(0);
            assert_eq!((counts.blessed, counts.blessed_expires), (9_990, 9_990));
        }
    }
}

#[test]
fn who_was_blessed_since_is_spared() {
    let mut space = space();
    put(&mut space, 0, "a", 100, None);
    let (clock, mut random) = (AccessClock::Recency, fastrand::Rng::with_seed(3));
    let mut picker = Picker::new(LRU, 64);
    assert_eq!(picker.estimate(&space, clock, &mut random, NOW), YOUNG / 101);
    put(&mut space, 0, "b", 50, None);
    bless(&mut space, "a", true);
    let mut picks = (0..10).map(|_| picker.pick(&space, clock, &mut random, NOW));
    let found = picks.find(|pick| !matches!(pick, Pick::Missed));
    assert!(matches!(found, Some(Pick::Key(victim)) if victim.name == b"b"));
    bless(&mut space, "b", true);
    assert!(matches!(picker.pick(&space, clock, &mut random, NOW), Pick::Spared));
    assert_eq!(picker.estimate(&space, clock, &mut random, NOW), BLESSED);
    let mut picker = Picker::new(Rule { only_timed: true, ..LRU }, 64);
    assert!(matches!(picker.pick(&space, clock, &mut random, NOW), Pick::Nothing));
}

#[test]
fn nothing_is_priceless() {
    let mut space = space();
    put(&mut space, 0, "a", 100, None);
    let mut picker = Picker::new(Rule { only_timed: true, ..LRU }, 5);
    let mut random = fastrand::Rng::with_seed(3);
    let picked = picker.pick(&space, AccessClock::Recency, &mut random, NOW);
    assert!(matches!(picked, Pick::Nothing));
    assert_eq!(picker.estimate(&space, AccessClock::Recency, &mut random, NOW), PRICELESS);
}
