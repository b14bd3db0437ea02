//! Every function against one that looks at a bit at a time.

use super::*;

fn random_bytes(random: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    let dull = [0x00, 0xff][random.usize(..2)];
    (0..len).map(|_| if random.u8(..8) == 0 { random.u8(..) } else { dull }).collect()
}

#[test]
fn counting_and_finding_agree_with_a_bit_at_a_time() {
    let seed = 3;
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..2_000 {
        let len = random.usize(1..150);
        let bytes = random_bytes(&mut random, len);
        let bits = bytes.len() as u64 * 8;
        let (from, to) = (random.u64(..bits), random.u64(..bits));
        let ones = (from..=to).filter(|at| get(&bytes, *at)).count() as u64;
        assert_eq!(count_between(&bytes, from, to), ones, "seed {seed}: {from}..={to}");
        for on in [false, true] {
            let first = (from..=to).find(|at| get(&bytes, *at) == on);
            assert_eq!(find(&bytes, on, from, to), first, "seed {seed}: {from}..={to} {on}");
        }
    }
    assert!(!get(&[0xff], 8) && !get(&[0xff], u64::MAX));
}

#[test]
fn combinations_are_what_their_names_say() {
    let seed = 5;
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..500 {
        let strings: Vec<Vec<u8>> = (0..random.usize(2..5))
            .map(|_| {
                let len = random.usize(..20);
                (0..len).map(|_| random.u8(..)).collect()
            })
            .collect();
        let longest = strings.iter().map(Vec::len).max().unwrap_or(0);
        for (operation, rule) in RULES {
            let mut combination = Combination::new(*operation);
            strings.iter().for_each(|string| combination.add(string));
            let result = combination.finish();
            assert_eq!(result.len(), longest, "{operation:?}");
            for at in 0..longest as u64 * 8 {
                let others = strings[1..].iter().filter(|string| get(string, at)).count();
                let expected = rule(get(&strings[0], at), others, strings.len() - 1);
                assert_eq!(get(&result, at), expected, "seed {seed}: {operation:?} at {at}");
            }
        }
    }
    let mut not = Combination::new(Operation::Not);
    not.add(&[0x0f, 0xff]);
    assert_eq!(not.finish(), [0xf0, 0x00]);
}

/// Whether a bit is set, by whether the first string has it, in how many of the others it is set,
/// and how many those are.
type Rule = fn(bool, usize, usize) -> bool;

const RULES: &[(Operation, Rule)] = &[
    (Operation::And, |first, others, all| first && others == all),
    (Operation::Or, |first, others, _| first || others > 0),
    (Operation::Xor, |first, others, _| (usize::from(first) + others) % 2 == 1),
    (Operation::Diff, |first, others, _| first && others == 0),
    (Operation::Diff1, |first, others, _| !first && others > 0),
    (Operation::AndOr, |first, others, _| first && others > 0),
    (Operation::One, |first, others, _| usize::from(first) + others == 1),
];

#[test]
fn fields_hold_what_was_written_and_touch_nothing_else() {
    let seed = 7;
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..5_000 {
        let signed = random.bool();
        let field = Field::new(signed, random.u32(1..=if signed { 64 } else { 63 })).unwrap();
        let mut bytes: Vec<u8> = (0..20).map(|_| random.u8(..)).collect();
        let before = bytes.clone();
        let at = random.u64(..160 - u64::from(field.width()));
        let number = field.hold(random.i64(..), Overflow::Wrap).unwrap();
        field.write(&mut bytes, at, number);
        assert_eq!(field.read(&bytes, at), number, "seed {seed}: {field:?} at {at}");
        for bit in (0..160).filter(|bit| !(at..at + u64::from(field.width())).contains(bit)) {
            assert_eq!(get(&bytes, bit), get(&before, bit), "seed {seed}: {field:?} at {at}");
        }
        let read = (at..at + u64::from(field.width()))
            .fold(0u64, |number, bit| number << 1 | u64::from(get(&bytes, bit)));
        assert_eq!(field.of_bits(read), number);
    }
}

#[test]
fn widths_have_their_ends() {
    for (signed, width, there) in [
        (true, 64, true),
        (true, 65, false),
        (false, 63, true),
        (false, 64, false),
        (true, 0, false),
    ] {
        assert_eq!(Field::new(signed, width).is_some(), there, "{signed} {width}");
    }
    let (i64_, u8_) = (Field::new(true, 64).unwrap(), Field::new(false, 8).unwrap());
    assert_eq!(i64_.add(i64::MAX, 1, Overflow::Wrap), Some(i64::MIN));
    assert_eq!(i64_.add(i64::MIN, -1, Overflow::Saturate), Some(i64::MIN));
    assert_eq!(i64_.add(i64::MAX, i64::MAX, Overflow::Fail), None);
    assert_eq!(u8_.hold(-1, Overflow::Saturate), Some(255));
    assert_eq!(u8_.hold(-1, Overflow::Wrap), Some(255));
    assert_eq!(u8_.hold(256, Overflow::Fail), None);
    let i8_ = Field::new(true, 8).unwrap();
    assert_eq!(i8_.hold(-129, Overflow::Saturate), Some(-128));
    assert_eq!(i8_.hold(i64::MIN + 128, Overflow::Saturate), Some(-128));
    assert_eq!(i8_.hold(i64::MIN + 127, Overflow::Saturate), Some(127));
    assert_eq!(i8_.hold(i64::MIN, Overflow::Wrap), Some(0));
    assert_eq!(i64_.hold(i64::MIN, Overflow::Saturate), Some(i64::MIN));
    assert_eq!(u8_.add(5, -10, Overflow::Saturate), Some(0));
    assert_eq!(u8_.add(5, -10, Overflow::Wrap), Some(251));
}

#[test]
fn a_field_behind_the_end_reads_as_zero() {
    let field = Field::new(false, 16).unwrap();
    assert_eq!(field.read(&[0xff], 4), 0xf000);
    assert_eq!(field.read(&[0xff], 8), 0);
    assert_eq!(field.read(&[], u64::MAX), 0);
}
