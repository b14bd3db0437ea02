//! Sets against a naive model, by seeded random operations.

use std::collections::BTreeMap;

use super::*;

fn rules(hasher: &Hasher) -> Rules<'_> {
    Rules { ints: 16, entries: 8, value_bytes: 12, hasher }
}

fn hasher() -> Hasher {
    Hasher::with_seeds([1, 2, 3, 4])
}

fn sorted(set: &Set) -> Vec<Vec<u8>> {
    let mut members: Vec<_> = set.iter().map(Value::to_vec).collect();
    members.sort();
    members
}

#[test]
fn random_changes_agree_with_a_map() {
    let hasher = hasher();
    for seed in 0..if cfg!(miri) { 3 } else { 300 } {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut set, mut model) = (Set::default(), BTreeMap::new());
        let range = [6, 30, 200][seed as usize % 3];
        for step in 0..300 {
            let number = random.i64(-range..range);
            let member = match random.u8(..8) {
                0 if seed % 2 == 0 => format!("a member so long {number}"),
                1 if seed % 4 > 1 => format!("m{number}"),
                _ => number.to_string(),
            };
            let member = member.as_bytes();
            match random.u8(..10) {
                0..5 => {
                    let is_new = !model.contains_key(member);
                    model.entry(member.to_vec()).or_insert(None);
                    assert_eq!(set.add(member, rules(&hasher)), is_new, "seed {seed}");
                }
                5..9 => assert_eq!(set.remove(member), model.remove(member).is_some()),
                _ if seed % 5 == 0 && model.contains_key(member) => {
                    let deadline = random.bool().then_some(Millis(step + 20));
                    set.set_deadline(member, deadline, &hasher);
                    model.insert(member.to_vec(), deadline);
                }
                _ => {}
            }
            let mut gone = Vec::new();
            set.expire(Millis(step), usize::MAX, &mut |name| gone.push(name.to_vec()));
            gone.sort();
            let is_expired = |(_, deadline): &(_, &Option<Millis>)| {
                deadline.is_some_and(|time| time <= Millis(step))
            };
            let expected: Vec<_> =
                model.iter().filter(is_expired).map(|(name, _)| name.clone()).collect();
            expected.iter().for_each(|name| _ = model.remove(name));
            assert_eq!(gone, expected, "seed {seed}");
            assert_eq!(set.deadline_of(member), model.get(member).copied(), "seed {seed}");
            assert_eq!(set.len(), model.len(), "seed {seed}");
            assert!(
                set.next_deadline() <= model.values().flatten().min().copied().unwrap_or(NEVER)
            );
        }
        assert_eq!(sorted(&set), model.keys().cloned().collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(sorted(&set.clone()), sorted(&set));
        let timed = model.values().flatten().count();
        assert_eq!(set.deadlines().count(), timed);
    }
}

#[test]
fn a_set_changes_its_form_where_the_rules_say() {
    let hasher = hasher();
    let rules = rules(&hasher);
    let filled = |numbers: i64, rest: &[&str]| {
        let mut set = Set::default();
        (0..numbers).for_each(|number| _ = set.add(number.to_string().as_bytes(), rules));
        rest.iter().for_each(|member| _ = set.add(member.as_bytes(), rules));
        set.encoding()
    };
    assert_eq!((filled(16, &[]), filled(17, &[])), ("intset", "hashtable"));
    assert_eq!((filled(7, &["a"]), filled(8, &["a"])), ("listpack", "hashtable"));
    assert_eq!(filled(6, &["a", "b"]), "listpack");
    assert_eq!(filled(6, &["a", "b", "c"]), "hashtable");
    assert_eq!(filled(1, &["twelve bytes", "a"]), "listpack");
    assert_eq!(filled(1, &["thirteen byte"]), "hashtable");
    assert_eq!(filled(0, &["1234567890123", "a"]), "hashtable");
    let expecting = |first: &[u8], count| Set::expecting(first, count, rules).encoding();
    assert_eq!((expecting(b"1", 16), expecting(b"1", 17)), ("intset", "hashtable"));
    assert_eq!((expecting(b"a", 8), expecting(b"a", 9)), ("listpack", "hashtable"));
    let mut set = Set::default();
    set.add(b"1", rules);
    set.expect(17, rules);
    assert_eq!(set.encoding(), "hashtable");
    set.shrink(rules);
    assert_eq!(set.encoding(), "listpack");
    set.set_deadline(b"1", Some(Millis(1)), rules.hasher);
    set.shrink(rules);
    assert_eq!(set.encoding(), "hashtable");
}

#[test]
fn random_members_are_fair_in_every_form() {
    let hasher = hasher();
    let mut random = fastrand::Rng::with_seed(9);
    for (entries, prefix) in [(100, ""), (100, "m"), (0, "m")] {
        let rules = Rules { ints: 100, entries, value_bytes: 64, hasher: &hasher };
        let mut set = Set::default();
        (0..40).for_each(|n| _ = set.add(format!("{prefix}{n}").as_bytes(), rules));
        for wanted in [1, 10, 30] {
            let (mut single, mut sampled) = (BTreeMap::new(), BTreeMap::new());
            for _ in 0..8_000 / wanted {
                let member = set.random(&mut random).expect("there are members").to_vec();
                *single.entry(member).or_insert(0) += 1;
                let mut count = 0;
                set.sample(wanted, &mut random, |member| {
                    *sampled.entry(member.to_vec()).or_insert(0) += 1;
                    count += 1;
                });
                assert_eq!(count, wanted);
            }
            assert_eq!((sampled.len(), single.len()), (40, 40));
            // Each is chosen 200 times on average, with a deviation of 14.
            let fair = sampled.values().all(|count| (130..280).contains(count));
            assert!(fair, "{} of {wanted}: {sampled:?}", set.encoding());
        }
        let mut all = 0;
        set.sample(1_000, &mut random, |_| all += 1);
        assert_eq!(all, 40);
    }
}

#[test]
fn a_large_set_is_measured_and_dropped_piece_by_piece() {
    let hasher = hasher();
    let mut set = Set::default();
    (0..3_000).for_each(|n| _ = set.add(format!("member:{n}").as_bytes(), rules(&hasher)));
    let per_member = set.memory() / 3_000;
    assert!((32..64).contains(&per_member), "{per_member}");
    let mut pieces = 0;
    while set.drop_some() {
        pieces += 1;
    }
    assert!(pieces > 10);
}
