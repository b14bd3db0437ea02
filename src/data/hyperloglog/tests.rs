//! Sparse and dense values against a plain array of registers.

use super::*;

/// Adds an element to a value and to its model; both must say the same.
fn add(value: &mut Vec<u8>, model: &mut Registers, element: &[u8], sparse_bytes_max: u64) {
    let (index, rank) = place(element);
    let raised = raise(value, index, rank, sparse_bytes_max).expect("the value is sound");
    assert_eq!(raised, model[index] < rank);
    model[index] = model[index].max(rank);
}

fn registers_of(value: &[u8]) -> Registers {
    let mut registers = [0; REGISTERS];
    take_highest(value, &mut registers).expect("the value is sound");
    registers
}

#[test]
fn both_encodings_hold_what_a_plain_array_holds() {
    for (sparse_bytes_max, dense_at) in [(0, 1), (3_000, 2_000), (16_000, usize::MAX)] {
        let (mut value, mut model) = (empty(), [0; REGISTERS]);
        assert_eq!(encoding(&value), Some(Encoding::Sparse));
        for number in 0..4_000_usize {
            add(&mut value, &mut model, format!("e{number}").as_bytes(), sparse_bytes_max);
            let is_dense = encoding(&value) == Some(Encoding::Dense);
            assert!(is_dense || value.len() as u64 <= sparse_bytes_max.max(18));
            assert!(!is_dense || number >= dense_at / 2, "dense at {number}");
        }
        assert_eq!(registers_of(&value), model);
        assert_eq!(encoding(&value) == Some(Encoding::Dense), dense_at < usize::MAX);
        assert_eq!(count(&value), Ok(count_registers(&model)));
        if encoding(&value) == Some(Encoding::Sparse) {
            let before = count(&value);
            make_dense(&mut value).expect("the value is sound");
            assert_eq!((registers_of(&value), count(&value)), (model, before));
        }
        assert!((0..REGISTERS).all(|index| dense::get(&value, index) == model[index]));
    }
}

#[test]
fn estimates_are_near_the_truth() {
    assert_eq!(count(&empty()), Ok(0));
    let (mut value, mut seen) = (empty(), 0);
    for target in [1, 2, 3, 10, 100, 1_000, 10_000, 100_000] {
        while seen < target {
            let (index, rank) = place(format!("element:{seen}").as_bytes());
            raise(&mut value, index, rank, 3_000).expect("the value is sound");
            seen += 1;
        }
        let estimate = count(&value).expect("the value is sound");
        let error = estimate.abs_diff(target) as f64 / target as f64;
        assert!(error < 0.03, "{estimate} for {target}");
    }
}

#[test]
fn random_raises_keep_the_runs_sound() {
    let seed = 9;
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..30 {
        let (mut value, mut model) = (empty(), [0u8; REGISTERS]);
        let spread = random.usize(1..REGISTERS);
        for _ in 0..300 {
            let index = random.usize(..spread);
            let highest = if random.u8(..50) == 0 { 51 } else { 4 };
            let rank = random.u8(1..=highest);
            raise(&mut value, index, rank, 3_000).expect("the value is sound");
            model[index] = model[index].max(rank);
            assert_eq!(registers_of(&value), model, "seed {seed}");
        }
    }
}

#[test]
fn equal_neighbours_are_joined() {
    let mut value = empty();
    for index in [10, 11, 12, 13, 14] {
        assert_eq!(raise(&mut value, index, 3, 3_000), Ok(true));
    }
    let runs: Vec<_> = sparse::runs(&value).map(|run| (run.rank, run.count)).collect();
    assert_eq!(runs, [(0, 10), (3, 4), (3, 1), (0, REGISTERS - 15)]);
    assert_eq!(raise(&mut value, 11, 2, 3_000), Ok(false));
}

#[test]
fn estimates_are_kept_until_registers_change() {
    let mut value = empty();
    assert_eq!(cached(&value), Some(0));
    forget_cached(&mut value);
    assert_eq!(cached(&value), None);
    set_cached(&mut value, 1 << 40);
    assert_eq!(cached(&value), Some(1 << 40));
    make_dense(&mut value).expect("the value is sound");
    assert_eq!(cached(&value), Some(1 << 40));
}

#[test]
fn what_a_client_made_up_is_noticed() {
    let mut long = empty();
    long.extend_from_slice(b"hello");
    let mut short = empty();
    short.pop();
    let mut behind_the_end = empty();
    behind_the_end.push(0xff);
    for mut value in [long, short, behind_the_end] {
        assert_eq!(encoding(&value), Some(Encoding::Sparse));
        assert_eq!(count(&value), Err(Corrupted));
        assert_eq!(take_highest(&value, &mut [0; REGISTERS]), Err(Corrupted));
        let before = value.clone();
        assert_eq!(make_dense(&mut value), Err(Corrupted));
        assert_eq!(value, before);
    }
    let mut bare = empty();
    bare.truncate(HEADER);
    assert_eq!(raise(&mut bare, 0, 1, 3_000), Err(Corrupted));
    let mut dense = empty();
    dense[ENCODING_AT] = 0;
    let mut unknown = empty();
    unknown[ENCODING_AT] = 2;
    for value in [&dense[..], &unknown, b"", b"HYLL", b"HYLL\x01\0\0\0\0\0\0\0\0\0\0"] {
        assert_eq!(encoding(value), None);
        assert_eq!(count(value), Err(Corrupted));
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(13);
    for _ in 0..2_000 {
        let mut value = header(Encoding::Sparse);
        value.extend((0..random.usize(..12)).map(|_| random.u8(..)));
        let _ = count(&value);
        let _ = take_highest(&value, &mut [0; REGISTERS]);
        let _ = make_dense(&mut value.clone());
        for _ in 0..5 {
            let _ = raise(&mut value, random.usize(..REGISTERS), random.u8(1..=51), 40);
        }
    }
}
