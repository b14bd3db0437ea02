//! Snapshots that are written while commands run, slots move and databases are emptied, put
//! together and read back: they are what there was at the moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::*;
use crate::base::hash::Hasher;
use crate::base::slot;
use crate::keyspace::entry::Entry;
use crate::keyspace::object::Object;
use crate::lending::Lent;
use crate::lending::Returned;
use crate::rdb::samples::contents;
use crate::rdb::{Decoder as FileDecoder, Dialect, Forms, Record, head, put_end};
use crate::settings::Settings;
use crate::testing::writes::{any_large_write, any_write, fill_large};
use crate::testing::{Shards, Still, Store, printed};

/// A clock that goes on at each look at it.
struct Hasty {
    now: u64,
    step: u64,
}

impl Ticks for Hasty {
    fn nanos(&mut self) -> u64 {
        self.now += self.step;
        self.now
    }
}

/// No time at all: one piece.
fn in_a_hurry() -> Hasty {
    Hasty { now: 0, step: SLICE_NS + 1 }
}

/// What there is, by database and key.
type State = BTreeMap<(u32, Vec<u8>), Vec<String>>;

/// All that an entry holds, and what it is; how it lies in memory is left out.
fn said(entry: &Entry) -> Vec<String> {
    let mut said = contents(entry);
    let kind = entry.object().map(|object| object.type_name());
    if kind.is_some() {
        said[0] = format!("{kind:?} {:?}", entry.deadline());
    }
    said
}

fn state(shards: &[Shard]) -> State {
    let mut state = State::new();
    for shard in shards {
        let space = shard.keyspace();
        for slot in space.here().filter_map(|number| space.slot(number)) {
            for (db, table) in slot.tables() {
                let entries = table.iter().map(|entry| ((db, entry.key().to_vec()), said(entry)));
                state.extend(entries);
            }
        }
    }
    state
}

/// What shards have told of a snapshot, put together as the writer of the file does it.
#[derive(Default)]
struct File {
    begun: Option<Begun>,
    bytes: Vec<u8>,
    spools: HashMap<u64, Vec<u8>>,
    /// Bytes from each shard.
    from: HashMap<usize, u64>,
    slots: u32,
    /// Values that came in several parts.
    in_parts: usize,
    has_timed_fields: bool,
    has_failed: bool,
}

impl File {
    /// Takes what the shards have to tell; they hear that it is written.
    fn collect(&mut self, shards: &mut [Shard]) {
        for (number, shard) in shards.iter_mut().enumerate() {
            let mut news = Vec::new();
            shard.tell_news(&mut news);
            news.into_iter().for_each(|news| self.take(number, news));
            let written = self.from.get(&number).copied().unwrap_or_default();
            let snapshot = shard.snapshot().unwrap_or_default();
            shard.snapshot_written(snapshot, written);
        }
    }

    fn take(&mut self, shard: usize, news: News) {
        match news {
            News::Begun(begun) => self.begun = Some(begun),
            News::NotBegun(number) => panic!("{number} could not begin"),
            News::Pieces(pieces) => {
                *self.from.entry(shard).or_default() += pieces.len() as u64;
                self.slots += pieces.slots;
                self.has_timed_fields |= pieces.has_timed_fields;
                self.has_failed |= pieces.has_failed;
                self.bytes.extend(pieces.records);
                for chunk in pieces.chunks {
                    let spool = self.spools.entry(chunk.spool).or_default();
                    self.in_parts += usize::from(!spool.is_empty());
                    spool.extend(chunk.bytes);
                    if chunk.is_last {
                        let spool = self.spools.remove(&chunk.spool).expect("it is there");
                        self.bytes.extend(spool);
                    }
                }
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.slots == u32::from(SLOTS)
    }

    /// What is in it.
    fn state(&self, hasher: &Hasher) -> State {
        assert!(self.spools.is_empty(), "a value is not whole");
        let settings = Settings::default();
        let mut file = head(Dialect::TIMED).to_vec();
        file.extend(&self.bytes);
        put_end(&mut file);
        file.extend([0; 8]);
        let (mut decoder, mut db, mut state) = (FileDecoder::default(), 0, State::new());
        let mut last = None;
        loop {
            let forms = Forms::of(&settings, hasher);
            let next = decoder.next(&file[decoder.offset()..], 0, forms).expect("it is sound");
            let record = next.expect("nothing more comes").0;
            if let Record::Aux(name, value) = &record {
                let (_, _, loaded): &mut (_, _, crate::rdb::Loaded) =
                    last.as_mut().expect("it is about a key");
                assert!(loaded.add(name, value, hasher).expect("it fits"), "it is ours");
                continue;
            }
            if let Some((name, deadline, loaded)) = last.take() {
                let name: Vec<u8> = name;
                let there = said(&loaded.into_entry(&name, deadline));
                let before = state.insert((db, name.clone()), there);
                assert!(before.is_none(), "{} is there twice", name.escape_ascii());
            }
            match record {
                Record::Database(number) => db = number as u32,
                Record::Key(key) => {
                    let value = key.value.expect("it is no module");
                    last = Some((key.name.into_owned(), key.deadline, value));
                }
                Record::End => return state,
                Record::Head(_) => {}
                record => panic!("{record:?}"),
            }
        }
    }
}

/// Begins a snapshot in which everything beyond a few bytes is large. Returns what there is.
fn begin(shards: &mut Shards, number: u32) -> State {
    let batch = moment(Moment { number, compresses: number % 2 == 0 }, shards.now);
    let any = number as usize % shards.shards.len();
    shards.shards[any].file(batch);
    assert!(shards.settle().is_some(), "it comes home");
    for shard in &mut shards.shards {
        let saving = shard.engine.tools.saving.as_mut().expect("it has begun everywhere");
        saving.large = 1_500;
        saving.format = Box::new(Records { compresses: number % 2 == 0, piece: 300 });
    }
    state(&shards.shards)
}

/// Says what differs, and not more.
fn compare(found: &State, wanted: &State, seed: u64) {
    for (key, wanted) in wanted {
        let found = found.get(key);
        let name = key.1.escape_ascii();
        assert!(found.is_some(), "seed {seed}: {}:{name} is not there", key.0);
        assert_eq!(found, Some(wanted), "seed {seed}: {}:{name}", key.0);
    }
    let new = found.keys().find(|key| !wanted.contains_key(key));
    assert!(new.is_none(), "seed {seed}: {new:?} was not there");
}

/// Lets a slot move, perhaps while others are written.
fn move_slot(shards: &mut Shards, file: &mut File, random: &mut fastrand::Rng, number: u16) {
    let map = shards.shards[0].map().clone();
    let (from, to) = (map.owner(number), random.u16(..map.shards()));
    if from == to {
        return;
    }
    let from = usize::from(from);
    shards.shards[from].receive(Letter::MoveOut { slot: number, to });
    let moving = shards.letters_of(from);
    for _ in 0..random.u8(..3) {
        walk(shards, random);
        file.collect(&mut shards.shards);
    }
    shards.deliver(moving);
    let map = Arc::new(map.with_moves(&[number], to));
    shards.shards.iter_mut().for_each(|shard| shard.receive(Letter::Routes(map.clone())));
    shards.settle_all();
}

/// Lends slots for a while in which others are written.
fn lend(shards: &mut Shards, file: &mut File, random: &mut fastrand::Rng, line: &str) {
    shards.send(&[line]);
    for shard in 0..shards.shards.len() {
        let letters = shards.letters_of(shard);
        for _ in 0..random.u8(..3) {
            walk(shards, random);
            file.collect(&mut shards.shards);
        }
        shards.deliver(letters);
    }
    shards.settle_all();
}

/// A slice of some of the shards.
fn walk(shards: &mut Shards, random: &mut fastrand::Rng) {
    for shard in &mut shards.shards {
        if random.bool() {
            let pieces = [1, 2, 10, 200][random.usize(..4)];
            shard.write_snapshot(&mut Hasty { now: 0, step: SLICE_NS / pieces });
        }
        if random.u8(..4) == 0 {
            shard.expire(shards.now, &mut Hasty { now: 0, step: SLICE_NS / 3 });
        }
        if random.bool() {
            shard.discard(&mut in_a_hurry());
        }
    }
}

/// A write of what the other generators leave out.
fn any_other_write(random: &mut fastrand::Rng, tag: &str, round: u64) -> String {
    let mut key = || match random.u8(..3) {
        0 => format!("text{}", random.u8(..8)),
        _ => format!("{tag}text{}", random.u8(..3)),
    };
    let (a, b) = (key(), key());
    match random.u8(..14) {
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
        12 if random.u8(..6) == 0 => "FLUSHALL".to_owned(),
        _ => format!("GETRANGE {a} 0 -1"),
    }
}

/// Clients that wait, and what serves them.
fn let_wait(shards: &mut Shards, waiting: &mut Vec<Box<Batch>>, tag: &str, round: u64) {
    let lines = [
        format!("BLMOVE {tag}queue {tag}list LEFT RIGHT 0"),
        format!("BLMOVE queue {tag}list LEFT LEFT 0"),
        format!("BZPOPMIN {tag}zqueue zqueue 0"),
    ];
    shards.send(&[&lines[round as usize % lines.len()]]);
    let (homes, _) = shards.settle_all();
    waiting.extend(homes.into_iter().filter(|batch| batch.parked.is_some()));
}

fn a_round(
    shards: &mut Shards,
    waiting: &mut Vec<Box<Batch>>,
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
        for round in 0.. {
            if file.is_whole() && round > rounds {
                break;
            }
            if round < rounds {
                a_round(&mut shards, &mut waiting, &mut random, &tag, round);
            }
            match random.u8(..12) {
                0 => move_slot(&mut shards, &mut file, &mut random, number),
                1 => {
                    let any = random.u16(..SLOTS);
                    move_slot(&mut shards, &mut file, &mut random, any);
                }
                2 if round < rounds => {
                    let line = format!("MSET {tag}1 lent 7 lent 8 lent 9 lent");
                    lend(&mut shards, &mut file, &mut random, &line);
                }
                3 if round < rounds => lend(&mut shards, &mut file, &mut random, "SWAPDB 1 2"),
                _ => {}
            }
            if round >= rounds / 4 {
                walk(&mut shards, &mut random);
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
        let hashes = wanted.values().filter(|entry| entry[0].starts_with("Some(\"hash"));
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
    assert!(seeds < 8 || met.parts > 100 && met.flushed > 5 && met.swapped > 5, "{met:?}");
}
