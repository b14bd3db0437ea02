//! Random commands of every kind while a snapshot is written, slots are lent and move, databases
//! are emptied and swapped, and clients wait.

use super::*;
use crate::parked::Parked;
use crate::testing::writes::{any_large_write, any_write, fill_large};

/// Lets a slot move, perhaps while others are written.
fn move_slot(
    shards: &mut Shards,
    file: &mut File,
    random: &mut fastrand::Rng,
    busy: u16,
    number: u16,
) {
    let map = shards.shards[0].map().clone();
    let (from, to) = (map.owner(number), random.u16(..map.shards()));
    if from == to {
        return;
    }
    let from = usize::from(from);
    shards.shards[from].receive(Letter::MoveOut { slot: number, to });
    let moving = shards.letters_of(from);
    for _ in 0..random.u8(..3) {
        walk(shards, random, busy);
        file.collect(&mut shards.shards);
    }
    shards.deliver(moving);
    let map = Arc::new(map.with_moves(&[number], to));
    shards.shards.iter_mut().for_each(|shard| shard.receive(Letter::Routes(map.clone())));
    shards.settle_all();
}

/// Lends slots for a while in which others are written.
fn lend(shards: &mut Shards, file: &mut File, random: &mut fastrand::Rng, busy: u16, line: &str) {
    shards.send(&[line]);
    for shard in 0..shards.shards.len() {
        let letters = shards.letters_of(shard);
        for _ in 0..random.u8(..3) {
            walk(shards, random, busy);
            file.collect(&mut shards.shards);
        }
        shards.deliver(letters);
    }
    shards.settle_all();
}

/// A slice of some of the shards; now and then for the slot that is busy.
fn walk(shards: &mut Shards, random: &mut fastrand::Rng, busy: u16) {
    for shard in &mut shards.shards {
        if random.u8(..6) == 0 {
            // The slot to which most happens, out of turn.
            shard.snapshots.next = busy;
            shard.write_snapshot(&mut Stepping::by(SLICE_NS / 3));
            shard.look_for_unsaved(0);
        } else if random.bool() {
            let pieces = [1, 2, 10, if random.u8(..4) == 0 { 1_000 } else { 5 }][random.usize(..4)];
            shard.write_snapshot(&mut Stepping::by(SLICE_NS / pieces));
        }
        if random.u8(..4) == 0 {
            shard.expire(shards.now, &mut Stepping::by(SLICE_NS / 3));
        }
        if random.bool() {
            shard.discard(&mut in_a_hurry());
        }
    }
}

/// A command that is done a slice at a time, while others of its slots are written.
fn run_in_slices(
    shards: &mut Shards,
    file: &mut File,
    random: &mut fastrand::Rng,
    busy: u16,
    line: &str,
) {
    shards.send(&[line]);
    for _ in 0..random.u8(1..6) {
        for number in 0..shards.shards.len() {
            let shard = &mut shards.shards[number];
            shard.work(shards.now, &mut Stepping::by(SLICE_NS / 3));
            let letters = std::mem::take(&mut shard.outbox.letters);
            shards.deliver(letters);
        }
        walk(shards, random, busy);
        file.collect(&mut shards.shards);
    }
    shards.settle_all();
}

/// A write of what the other generators leave out.
fn any_other_write(random: &mut fastrand::Rng, tag: &str, round: u64) -> String {
    let mut key = || match random.u8(..3) {
        0 => format!("text{}", random.u8(..8)),
        _ => format!("{tag}text{}", random.u8(..3)),
    };
    let (a, b) = (key(), key());
    match random.u8(..16) {
        0..2 => format!("SETRANGE {a} {} {round}", random.u16(..6_000)),
        2 => format!("APPEND {a} {}", "y".repeat(random.usize(..900))),
        3 => format!("SET {a} {}", "z".repeat(random.usize(..4_000))),
        4 => format!("BITOP XOR {a} {a} {b}"),
        5 => format!("RENAMENX {a} {b}"),
        6 => format!("GETDEL {a}"),
        7 => format!("PFADD {tag}hll {round}"),
        8 => format!("PFCOUNT {tag}hll"),
        9 => format!("XNACK {tag}stream g SILENT IDS 1 1-{}", random.u16(..700)),
        10 => format!("PEXPIRE {a} {}", random.u8(1..20)),
        11 => format!("XGROUP DESTROY {tag}stream h"),
        12 if random.bool() => "FLUSHALL".to_owned(),
        13 if random.bool() => "FLUSHDB".to_owned(),
        _ => format!("GETRANGE {a} 0 -1"),
    }
}

/// Clients that wait, and what serves them.
fn let_wait(shards: &mut Shards, waiting: &mut Vec<Arc<Parked>>, tag: &str, round: u64) {
    let lines = [
        format!("BLMOVE {tag}queue {tag}list LEFT RIGHT 0"),
        format!("BLMOVE queue {tag}list LEFT LEFT 0"),
        format!("BZPOPMIN {tag}zqueue zqueue 0"),
    ];
    shards.send(&[&lines[round as usize % lines.len()]]);
    let (homes, _) = shards.settle_all();
    waiting.extend(homes.into_iter().filter_map(|batch| batch.parked));
}

fn a_round(
    shards: &mut Shards,
    waiting: &mut Vec<Arc<Parked>>,
    random: &mut fastrand::Rng,
    tag: &str,
    round: u64,
) {
    shards.session.db = random.u32(..3);
    let mut line = || match random.u8(..4) {
        0 => any_write(random, tag, round),
        1 => any_other_write(random, tag, round),
        _ => any_large_write(random, tag, round),
    };
    let lines = [line(), line(), line()];
    match round % 8 {
        0 => {
            let [a, b, c] = &lines;
            shards.pipeline(&["MULTI", a, b, c, "EXEC"]);
        }
        1 => {
            shards.session.db = 0;
            let_wait(shards, waiting, tag, round);
        }
        2 => {
            shards.session.db = 0;
            shards.run(&format!("RPUSH {tag}queue {round}"));
            shards.run(&format!("RPUSH queue {round}"));
            shards.run(&format!("ZADD {tag}zqueue {round} m"));
        }
        3 => drop(shards.pipeline(&lines.each_ref().map(String::as_str))),
        _ => drop(shards.run(&lines[0])),
    }
}

/// How often each of the rarer things happened.
#[derive(Debug, Default)]
struct Met {
    parts: usize,
    flushed: usize,
    swapped: usize,
}

fn run(seed: u64, met: &mut Met) {
    let mut random = fastrand::Rng::with_seed(seed);
    // A slot that is not the last one to be written.
    let tags = (0..).map(|number| format!("{{{number}}}"));
    let last = [60, 8_000, 16_000][seed as usize % 3];
    let tag = tags.into_iter().find(|tag| slot::of(tag.as_bytes()) < last).expect("there is one");
    let number = slot::of(tag.as_bytes());
    let mut shards = Shards::new(1 + random.u16(..4));
    for key in 0..300 {
        shards.session.db = random.u32(..3);
        shards.run(&format!("SET {tag}{} x{key}", key % 100));
        shards.run(&format!("SET {} {}", key % 210, "x".repeat(random.usize(..40))));
    }
    for db in 0..1 + random.u32(..2) {
        shards.session.db = db;
        fill_large(&mut shards, &tag);
        for text in 0..3 {
            shards.run(&format!("SET {tag}text{text} {}", "t".repeat(random.usize(..5_000))));
        }
    }
    for round in 0..random.u64(..40) {
        a_round(&mut shards, &mut Vec::new(), &mut random, &tag, round);
    }
    for snapshot in 1..3 {
        let wanted = begin(&mut shards, snapshot);
        let (mut file, mut waiting) = (File::default(), Vec::new());
        let rounds = random.u64(..300);
        let (starts_at, writes_each) = (rounds * random.u64(..3) / 4, random.u64(1..5));
        for round in 0.. {
            if file.is_whole() && round > rounds {
                break;
            }
            if round < rounds && round % writes_each == 0 {
                a_round(&mut shards, &mut waiting, &mut random, &tag, round);
            }
            match random.u8(..12) {
                0 => move_slot(&mut shards, &mut file, &mut random, number, number),
                1 => {
                    let any = random.u16(..SLOTS);
                    move_slot(&mut shards, &mut file, &mut random, number, any);
                }
                2 if round < rounds => {
                    let line = format!("MSET {tag}1 lent 7 lent 8 lent 9 lent");
                    lend(&mut shards, &mut file, &mut random, number, &line);
                }
                4..7 if round < rounds => {
                    let line = any_large_write(&mut random, &tag, round);
                    run_in_slices(&mut shards, &mut file, &mut random, number, &line);
                }
                3 if round < rounds => {
                    lend(&mut shards, &mut file, &mut random, number, "SWAPDB 1 2")
                }
                _ => {}
            }
            if round >= starts_at {
                walk(&mut shards, &mut random, number);
            }
            file.collect(&mut shards.shards);
            let space = |shard: &Shard| shard.keyspace().slot(number).map(|s| s.saved.odds());
            let odds = shards.shards.iter().find_map(space).unwrap_or_default();
            met.flushed += usize::from(odds.0);
            met.swapped += usize::from(odds.1);
            shards.now = shards.now.saturating_add(random.i64(0..3));
        }
        assert!(!file.has_failed && file.slots == u32::from(SLOTS), "seed {seed}: {}", file.slots);
        met.parts += file.in_parts;
        let begun = file.begun.take().expect("it has begun");
        let in_all: u64 = begun.databases.iter().map(|(_, keys, _)| keys).sum();
        assert_eq!((begun.number, in_all), (snapshot, wanted.len() as u64), "seed {seed}");
        compare(&file.state(shards.shards[0].hasher()), &wanted, seed);
        let is_timed = |entry: &Vec<String>| entry.iter().skip(1).any(|it| it.contains("Some(M"));
        let hashes = wanted.values().filter(|entry| entry[0].starts_with("hash "));
        assert_eq!(file.has_timed_fields, hashes.filter(|it| is_timed(it)).count() > 0);
        shards.shards.iter_mut().for_each(|shard| shard.end_snapshot(snapshot));
    }
}

/// Random commands of every kind while slots are lent and moved. `TROUPE_SNAPSHOT_SEEDS` is how
/// many seeds, `TROUPE_SNAPSHOT_FIRST` the first of them.
#[test]
fn a_snapshot_under_load_is_what_there_was_at_its_moment() {
    let number = |name: &str, default| {
        let text = std::env::var(format!("TROUPE_SNAPSHOT_{name}"));
        text.map_or(default, |text| text.parse().expect("it is a number"))
    };
    let (first, seeds) = (number("FIRST", 0), number("SEEDS", 8));
    let mut met = Met::default();
    for seed in first..first + seeds {
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, &mut met)));
        if let Err(panic) = ran {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
    assert!(seeds < 8 || met.parts > 50 && met.flushed > 5 && met.swapped > 5, "{met:?}");
}
