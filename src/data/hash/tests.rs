//! Hashes against a naive model, by seeded random operations.

use std::collections::BTreeMap;

use super::*;

const LIMITS: Limits = Limits { entries: 8, value_bytes: 16 };

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>)>;

fn content(hash: &Hash) -> Model {
    let mut content = Model::new();
    hash.each(|item| {
        content.insert(item.name.to_vec(), (item.value.to_vec(), item.deadline));
    });
    content
}

/// One random operation on both, at the time `now`.
fn step(
    hash: &mut Hash,
    model: &mut Model,
    now: Millis,
    random: &mut fastrand::Rng,
    hasher: &Hasher,
) {
    let names = if random.bool() { 6 } else { 60 };
    let name = format!("{}", random.u32(0..names)).into_bytes();
    let deadline = random.bool().then(|| Millis(now.0 + random.i64(0..40)));
    match random.u32(0..10) {
        0..5 => {
            let longest = if random.u32(0..20) == 0 { 40 } else { 9 };
            let value = vec![b'v'; random.usize(0..longest)];
            let deadline = deadline.filter(|_| random.u32(0..4) == 0);
            let is_new = hash.set(&name, &value, deadline, LIMITS, hasher);
            assert_eq!(is_new, model.insert(name, (value, deadline)).is_none());
        }
        5 => {
            hash.set_deadline(&name, deadline, hasher);
            if let Some(field) = model.get_mut(&name) {
                field.1 = deadline;
            }
        }
        6..9 => assert_eq!(hash.remove(&name), model.remove(&name).is_some()),
        _ => {
            let mut gone = Vec::new();
            hash.expire(now, 3, &mut |name| gone.push(name.to_vec()));
            for name in &gone {
                let field = model.remove(name).expect("what is gone was there");
                assert!(field.1.is_some_and(|deadline| deadline <= now));
            }
            let is_expired =
                |(_, deadline): &(_, Option<Millis>)| deadline.is_some_and(|at| at <= now);
            assert!(gone.len() == 3 || !model.values().any(is_expired));
        }
    }
}

#[test]
fn random_operations_agree_with_a_map() {
    let hasher = Hasher::with_seeds([1, 2, 3, 4]);
    for seed in 0..if cfg!(miri) { 2 } else { 200 } {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut hash, mut model) = (Hash::default(), Model::new());
        for time in 0..if cfg!(miri) { 60 } else { 300 } {
            let now = Millis(time);
            step(&mut hash, &mut model, now, &mut random, &hasher);
            assert_eq!((hash.len(), content(&hash)), (model.len(), model.clone()), "seed {seed}");
            let earliest = model.values().filter_map(|(_, deadline)| *deadline).min();
            assert!(hash.next_deadline() <= earliest.unwrap_or(NEVER), "seed {seed}");
            for (name, (value, _)) in &model {
                assert!(hash.get(name).is_some_and(|item| item.value.is(value)), "seed {seed}");
            }
            let is_there =
                hash.random(&mut random).map(|item| model.contains_key(&item.name.to_vec()));
            assert_eq!(is_there, (!model.is_empty()).then_some(true), "seed {seed}");
        }
        assert_eq!(content(&hash.clone()), content(&hash));
    }
}

#[test]
fn forms_follow_the_limits() {
    let hasher = Hasher::with_seeds([1, 2, 3, 4]);
    let filled = |fields: usize, len: usize| {
        let mut hash = Hash::default();
        for number in 0..fields {
            hash.set(&[number as u8], &vec![b'v'; len], None, LIMITS, &hasher);
        }
        hash.encoding()
    };
    assert_eq!(
        (filled(8, 16), filled(9, 1), filled(1, 17)),
        ("listpack", "hashtable", "hashtable")
    );
    let mut hash = Hash::default();
    hash.set(b"a", b"1", None, LIMITS, &hasher);
    hash.set_deadline(b"a", None, &hasher);
    assert_eq!(hash.encoding(), "listpack");
    hash.set_deadline(b"a", Some(Millis(5)), &hasher);
    hash.set_deadline(b"a", None, &hasher);
    assert_eq!((hash.encoding(), hash.next_deadline()), ("hashtable", NEVER));
    hash.expire(Millis(5), 1, &mut |_| unreachable!("nothing has expired"));
}

#[test]
fn a_large_hash_is_dropped_in_pieces() {
    let (hasher, mut hash) = (Hasher::with_seeds([1, 2, 3, 4]), Hash::default());
    for number in 0..5_000u32 {
        hash.set(&number.to_le_bytes(), b"", None, LIMITS, &hasher);
    }
    let (memory, mut pieces) = (hash.memory(), 1);
    assert!((100_000..400_000).contains(&memory), "{memory}");
    while hash.drop_some() {
        pieces += 1;
    }
    assert!(pieces > 5 && hash.is_empty(), "{pieces}");
}
