//! What a session and what a window tell.

use super::*;
use crate::base::hash::Hasher;
use crate::commands::action::CollectHotKeys;
use crate::testing::zipf::Zipf;

fn names(keys: &[&str]) -> Vec<Key<'static>> {
    let hasher = Hasher::with_seeds([1, 2, 3, 4]);
    let name = |name: &&str| name.as_bytes().to_vec().leak() as &'static [u8];
    keys.iter().map(|key| Key::new(name(key), &hasher)).collect()
}

fn collected(sample: u32) -> Collected {
    let asked = CollectHotKeys { cpu: true, net: true, count: 10, duration_ms: None, sample };
    let (since, cpu) = (Millis(0), CpuTime::default());
    let session = HotKeySession { number: 1, asked, since, until: None, is_over: false, cpu };
    Collected::new(session)
}

fn told(keys: &[Weighed]) -> Vec<(&str, u64)> {
    keys.iter().map(|key| (std::str::from_utf8(&key.name).unwrap(), key.weight)).collect()
}

#[test]
fn the_keys_of_a_command_share_what_it_took() {
    let mut all = collected(1);
    all.count(names(&["a", "b", "c"]).into_iter(), 302, 40);
    all.count(names(&["b"]).into_iter(), 50, 60);
    all.count(std::iter::empty(), 1_000, 1_000);
    let CollectedKeys { nanos, bytes, sampled_bytes, by_nanos, by_bytes, .. } = all.told();
    assert_eq!((nanos, bytes, sampled_bytes), (352, 100, 100), "that without keys is left out");
    assert_eq!(told(&by_nanos), [("b", 151), ("a", 101), ("c", 100)]);
    assert_eq!(told(&by_bytes), [("b", 73), ("a", 14), ("c", 13)]);
}

#[test]
fn samples_are_as_many_as_they_should_be() {
    let mut all = collected(10);
    let keys = names(&["a"]);
    (0..10_000).for_each(|_| all.count(keys.iter().copied(), 1, 1));
    let CollectedKeys { bytes, sampled_bytes, by_bytes, .. } = all.told();
    assert_eq!((bytes, by_bytes[0].weight), (10_000, sampled_bytes));
    assert!((900..1_100).contains(&sampled_bytes), "{sampled_bytes}");
}

#[test]
fn nine_of_the_ten_hottest_keys_are_named_in_both_forms() {
    const KEYS: usize = 100_000;
    let hasher = Hasher::with_seeds([1, 2, 3, 4]);
    let keys: Vec<String> = (0..KEYS).map(|rank| format!("key:{rank}")).collect();
    for seed in 0..3 {
        let (mut all, mut zipf) = (collected(1), Zipf::new(KEYS, 0.99, seed));
        let mut windows = windows(10, 100);
        for _ in 0..100_000 {
            let key = Key::new(keys[zipf.next()].as_bytes(), &hasher);
            all.count(std::iter::once(key), 200, 50);
            windows.count(Millis(500), 0, std::iter::once(key));
        }
        let CollectedKeys { by_nanos, by_bytes, .. } = all.told();
        for found in [by_nanos, by_bytes, windows.told(Millis(1_000))] {
            let hottest: Vec<&String> = keys[..10].iter().collect();
            let named = told(&found[..10]);
            let right = named.iter().filter(|(name, _)| hottest.iter().any(|key| key == name));
            assert!(right.count() >= 9, "{seed}: {named:?}");
        }
    }
}

fn windows(keys: usize, percentage: u32) -> Windows {
    Windows::new(WindowsKept { keys, percentage, millis: 1_000 })
}

#[test]
fn the_last_window_that_is_over_is_told() {
    let mut windows = windows(2, 100);
    let keys = names(&["a", "b"]);
    let count = |windows: &mut Windows, now, key: usize, times| {
        (0..times).for_each(|_| windows.count(Millis(now), 3, [keys[key]].into_iter()));
    };
    count(&mut windows, 10_000, 0, 5);
    count(&mut windows, 10_999, 1, 9);
    assert!(windows.told(Millis(10_999)).is_empty(), "it is not over");
    count(&mut windows, 11_000, 0, 1);
    let first = windows.told(Millis(11_999));
    assert_eq!((told(&first), first[0].id.db), (vec![("b", 9), ("a", 5)], 3));
    assert_eq!(told(&windows.told(Millis(12_500))), [("a", 1)]);
    assert!(windows.told(Millis(13_500)).is_empty(), "nobody asked for anything");
    count(&mut windows, 13_600, 0, 4);
    assert!(windows.told(Millis(15_000)).is_empty(), "it is not the last one");
    count(&mut windows, 15_000, 0, 4);
    windows.reset();
    assert!(windows.told(Millis(16_000)).is_empty());
}

#[test]
fn the_first_window_is_not_much_shorter_than_others() {
    let mut windows = windows(2, 100);
    let keys = names(&["a"]);
    (0..30).for_each(|_| windows.count(Millis(900), 0, keys.iter().copied()));
    assert!(windows.told(Millis(1_999)).is_empty());
    assert_eq!(told(&windows.told(Millis(2_000))), [("a", 27)], "30 in 1100 milliseconds");
}

#[test]
fn what_is_sampled_is_scaled_up() {
    let mut windows = windows(2, 10);
    let keys = names(&["a"]);
    (0..10_000).for_each(|_| windows.count(Millis(5_000), 0, keys.iter().copied()));
    let rate = windows.told(Millis(6_000))[0].weight;
    assert!((9_000..11_000).contains(&rate), "{rate}");
}

#[test]
fn what_was_told_stays_when_windows_are_kept_in_another_way() {
    let mut windows = windows(2, 100);
    let keys = names(&["a"]);
    windows.count(Millis(5_000), 0, keys.iter().copied());
    windows.count(Millis(6_000), 0, keys.iter().copied());
    windows.keep(WindowsKept { keys: 3, ..windows.kept() });
    assert_eq!(told(&windows.told(Millis(6_500))), [("a", 1)]);
    assert!(windows.told(Millis(7_000)).is_empty(), "what was open is forgotten");
}
