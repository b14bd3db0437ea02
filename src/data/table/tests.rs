//! Tables while they grow, are walked and emptied.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

#[derive(Debug)]
struct Plain(Vec<u8>, Option<Millis>);

impl Member for Plain {
    fn name(&self) -> &[u8] {
        &self.0
    }

    fn deadline(&self) -> Option<Millis> {
        self.1
    }
}

fn hasher() -> Hasher {
    Hasher::with_seeds([1, 2, 3, 4])
}

fn put(table: &mut Table<Plain>, name: &[u8], deadline: Option<Millis>) -> bool {
    let hasher = hasher();
    table.upsert(Name::new(name, &hasher), &hasher, |there| match there {
        Some(member) => {
            member.1 = deadline;
            None
        }
        None => Some(Plain(name.to_vec(), deadline)),
    })
}

fn name(number: usize) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

#[test]
fn what_looks_and_insertions_need_fills_a_line() {
    let chunks_beyond_the_first = size_of::<Box<[usize]>>();
    assert_eq!(std::mem::offset_of!(Table<Plain>, groups), 64 + chunks_beyond_the_first);
}

#[test]
fn members_are_found_again_across_growth() {
    let mut table = Table::default();
    let count = if cfg!(miri) { 300 } else { 20_000 };
    for number in 0..count {
        assert!(put(&mut table, &name(number), None));
    }
    assert!(!put(&mut table, &name(0), None));
    assert_eq!(table.counts().len, count);
    let hasher = hasher();
    for number in 0..count {
        assert!(table.remove(Name::new(&name(number), &hasher)).is_some());
    }
    assert_eq!((table.counts(), table.next_deadline()), (Counts::default(), NEVER));
}

/// Whatever leaves, the table takes no more than a few times what its members need, and none of
/// those that stay is lost.
#[test]
fn a_table_shrinks_with_its_members() {
    let (hasher, mut random) = (hasher(), fastrand::Rng::with_seed(7));
    let mut table = Table::default();
    let count = if cfg!(miri) { 500 } else { 50_000 };
    let mut numbers: Vec<usize> = (0..count).collect();
    for number in &numbers {
        put(&mut table, &name(*number), (number % 3 == 0).then_some(Millis(*number as i64)));
    }
    let full = table.overhead();
    random.shuffle(&mut numbers);
    while numbers.len() > 10 {
        for number in numbers.split_off(numbers.len() / 2) {
            assert!(table.remove(Name::new(&name(number), &hasher)).is_some());
        }
        for number in &numbers {
            let found = table.get(Name::new(&name(*number), &hasher));
            let deadline = found.expect("it was not removed").deadline();
            assert_eq!(deadline, (number % 3 == 0).then_some(Millis(*number as i64)));
            assert!(deadline.is_none_or(|deadline| table.next_deadline() <= deadline));
        }
        assert_eq!(table.iter().count(), numbers.len());
    }
    let buckets = table.counts().buckets * Table::<Plain>::BUCKET_BYTES;
    assert!(table.overhead() <= 4 * buckets, "{} bytes for {buckets}", table.overhead());
    assert!(table.overhead() * count / 100 < full, "{} of {full} bytes", table.overhead());
    (0..count).for_each(|number| {
        put(&mut table, &name(number), None);
    });
    assert_eq!(table.iter().count(), count, "it grows again");
}

#[test]
fn a_scan_meets_all_that_stays_while_the_table_grows() {
    for start in [0, 1, 50, 101, 1_000] {
        let mut table = Table::default();
        (0..start).for_each(|number| {
            put(&mut table, &name(number), None);
        });
        let (mut seen, mut position, mut added) = (BTreeSet::new(), Some(0), start);
        while let Some(at) = position {
            position = table.scan(at, |member| {
                seen.insert(member.0.clone());
            });
            for _ in 0..if added < 5_000 { 70 } else { 0 } {
                put(&mut table, &name(added), None);
                added += 1;
            }
        }
        assert!((0..start).all(|number| seen.contains(&name(number))), "from {start}");
    }
}

#[test]
fn a_scan_meets_all_that_stays_while_the_table_shrinks() {
    let hasher = hasher();
    for stays in [0, 1, 50, 300] {
        let mut table = Table::default();
        (0..3_000).for_each(|number| {
            put(&mut table, &name(number), None);
        });
        let (mut seen, mut position, mut leaves) = (BTreeSet::new(), Some(0), stays..3_000);
        while let Some(at) = position {
            position = table.scan(at, |member| {
                seen.insert(member.0.clone());
            });
            leaves.by_ref().take(20).for_each(|number| {
                table.remove(Name::new(&name(number), &hasher));
            });
        }
        assert!((0..stays).all(|number| seen.contains(&name(number))), "{stays} stay");
        assert!(table.counts().buckets < 3_000 / BUCKET_MEAN, "it has shrunk meanwhile");
    }
}

#[test]
fn expired_members_are_found_and_the_bound_follows() {
    let mut table = Table::default();
    for number in 0..1_000 {
        put(&mut table, &name(number), (number % 2 == 0).then_some(Millis(number as i64)));
    }
    assert_eq!((table.next_deadline(), table.counts().expires), (Millis(0), 500));
    let mut names = Vec::new();
    table.find_expired(Millis(99), usize::MAX, |member| names.push(member.0.clone()));
    assert_eq!(names.len(), 50);
    let hasher = hasher();
    for name in names {
        table.remove(Name::new(&name, &hasher));
    }
    assert_eq!((table.next_deadline(), table.counts().expires), (Millis(100), 450));
}

/// Who sees [`NEVER`] does not read on: so nothing may have a deadline then.
#[test]
fn the_bound_is_never_only_where_nothing_has_a_deadline() {
    let (hasher, mut random) = (hasher(), fastrand::Rng::with_seed(5));
    let mut table: Table<Plain> = Table::default();
    let mut model: BTreeMap<Vec<u8>, Option<Millis>> = BTreeMap::new();
    for now in 0..3_000 {
        let number = random.usize(0..50);
        let deadline = match random.u8(0..8) {
            0 => Some(Millis::MAX),
            1 => Some(Millis(now + random.i64(0..40))),
            _ => None,
        };
        match random.u8(0..4) {
            0 => {
                table.remove(Name::new(&name(number), &hasher));
                model.remove(&name(number));
            }
            1 => {
                let mut gone: Vec<Vec<u8>> = Vec::new();
                table.find_expired(Millis(now), 3, |member| gone.push(member.0.clone()));
                let expires = table.counts().expires;
                assert_eq!(expires, model.values().flatten().count(), "while some are found");
                for name in gone {
                    table.remove(Name::new(&name, &hasher));
                    model.remove(&name);
                }
            }
            _ => {
                put(&mut table, &name(number), deadline);
                model.insert(name(number), deadline);
            }
        }
        let deadlines: Vec<Millis> = model.values().copied().flatten().collect();
        let counts = table.counts();
        assert_eq!((counts.len, counts.expires), (model.len(), deadlines.len()));
        let sum: i128 = deadlines.iter().map(|deadline| i128::from(deadline.0)).sum();
        assert_eq!(counts.deadline_sum, sum);
        assert_eq!(table.next_deadline() == NEVER, deadlines.is_empty());
        assert!(deadlines.iter().all(|deadline| table.next_deadline() <= *deadline));
    }
}

/// A member with a deadline or without, blessed or not.
struct Kept(Vec<u8>, Option<Millis>, bool);

impl Member for Kept {
    fn name(&self) -> &[u8] {
        &self.0
    }

    fn deadline(&self) -> Option<Millis> {
        self.1
    }

    fn is_blessed(&self) -> bool {
        self.2
    }
}

#[test]
fn blessed_members_are_counted_whatever_happens_to_them() {
    let (hasher, mut random) = (hasher(), fastrand::Rng::with_seed(5));
    let mut table: Table<Kept> = Table::default();
    let mut model: BTreeMap<Vec<u8>, (Option<Millis>, bool)> = BTreeMap::new();
    for now in 0..3_000 {
        let name = name(random.usize(0..20));
        let deadline = (random.u8(0..3) == 0).then(|| Millis(now + random.i64(0..40)));
        let is_blessed = random.bool();
        let in_table = Name::new(&name, &hasher);
        match random.u8(0..4) {
            0 => {
                table.remove(in_table);
                model.remove(&name);
            }
            1 => table.find_expired(Millis(now), 3, |_| {}),
            _ => {
                table.upsert(in_table, &hasher, |there| match there {
                    Some(member) => {
                        (member.1, member.2) = (deadline, is_blessed);
                        None
                    }
                    None => Some(Kept(name.clone(), deadline, is_blessed)),
                });
                model.insert(name, (deadline, is_blessed));
            }
        }
        let blessed = model.values().filter(|(_, is_blessed)| *is_blessed);
        let timed = blessed.clone().filter(|(deadline, _)| deadline.is_some());
        let counts = table.counts();
        let counted = (counts.len, counts.blessed, counts.blessed_expires);
        assert_eq!(counted, (model.len(), blessed.count(), timed.count()));
        let is_plain =
            |(deadline, is_blessed): &(Option<Millis>, bool)| deadline.is_none() && !is_blessed;
        assert_eq!(table.next_deadline() == NEVER, model.values().all(is_plain));
    }
}

/// A million that expire at once are found with as much work a member as a thousand are.
#[test]
fn a_look_for_expired_members_goes_on_where_the_last_one_stopped() {
    const MOST: usize = 64;
    let mut table = Table::default();
    let count = if cfg!(miri) { 3_000 } else { 100_000 };
    for number in 0..count {
        put(&mut table, &name(number), Some(Millis((number % 2) as i64)));
    }
    let (groups, hasher) = (table.groups.count(), hasher());
    let (mut calls, mut passed, mut gone) = (0, 0, 0);
    while table.next_deadline() <= Millis(0) {
        let (mut names, before) = (Vec::new(), table.groups.next());
        table.find_expired(Millis(0), MOST, |member| names.push(member.0.clone()));
        assert!(names.len() <= MOST);
        gone += names.len();
        names.iter().for_each(|name| drop(table.remove(Name::new(name, &hasher))));
        calls += 1;
        passed += (table.groups.next() + groups - before) % groups;
    }
    assert_eq!((gone, table.next_deadline()), (count / 2, Millis(1)));
    // The last call finds nothing more and goes round once.
    assert!(passed <= groups, "{passed} of {groups} groups in {calls} calls");
    assert!(calls <= gone.div_ceil(MOST) + 1, "{calls} calls");
    put(&mut table, &name(0), Some(Millis(0)));
    let mut names = Vec::new();
    table.find_expired(Millis(0), MOST, |member| names.push(member.0.clone()));
    assert_eq!(names, [name(0)], "what has expired behind the place is found as well");
}

/// Whatever joins and leaves meanwhile, a walk in pieces meets what stays, each once, and tells
/// what it has met from what it has not.
#[test]
fn a_walk_goes_on_inside_a_bucket_while_the_table_changes() {
    let (hasher, mut random) = (hasher(), fastrand::Rng::with_seed(5));
    let (mut table, mut place) = (Table::default(), Place::default());
    let (mut met, mut gone) = (BTreeSet::new(), BTreeSet::new());
    let count = if cfg!(miri) { 200 } else { 1_000 };
    (0..count).for_each(|number| {
        put(&mut table, &name(number), None);
    });
    let mut added = count;
    loop {
        let mut left = random.usize(1..20);
        let next = table.walk(&place, &hasher, |member| {
            assert!(met.insert(member.0.clone()), "met twice");
            left -= 1;
            left > 0
        });
        let Some(next) = next else { break };
        place = next;
        for name in (0..count).map(name).filter(|name| !gone.contains(name)) {
            let order = place.order_of(Name::new(&name, &hasher));
            assert_eq!(met.contains(&name), order == Ordering::Less);
        }
        let leaves = name(random.usize(..count));
        table.remove(Name::new(&leaves, &hasher));
        gone.insert(leaves);
        put(&mut table, &name(added), None);
        added += 1;
    }
    assert!((0..count).map(name).all(|name| met.contains(&name) || gone.contains(&name)));
    assert!(added > count + 50 && gone.len() < count / 2);
}

#[test]
fn a_random_member_is_any_of_them() {
    let (mut table, mut random) = (Table::default(), fastrand::Rng::with_seed(3));
    (0..150).for_each(|number| {
        put(&mut table, &name(number), None);
    });
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..30_000 {
        let member = table.random(&mut random).expect("the table has members");
        *counts.entry(member.0.clone()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 150);
    assert!(counts.values().all(|count| (120..290).contains(count)), "{counts:?}");
}

#[test]
fn a_table_is_dropped_piece_by_piece() {
    let mut table = Table::default();
    (0..1_000).for_each(|number| {
        put(&mut table, &name(number), None);
    });
    let mut pieces = 1;
    while table.drop_some() {
        pieces += 1;
    }
    assert_eq!((pieces, table.counts().len), (9, 0));
}
