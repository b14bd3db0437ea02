//! Snapshots that are written while commands run, put together and read back: they are what there
//! was at the moment.

mod commands;
mod random;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::*;
use crate::base::hash::Hasher;
use crate::base::slot;
use crate::keyspace::entry::Entry;
use crate::lending::{Lent, Returned};
use crate::rdb::samples::contents;
use crate::rdb::{Cutter, Dialect, Forms, Piece, Rules, head, put_end};
use crate::settings::Settings;
use crate::testing::writes::add_to_what_is_written;
use crate::testing::{Shards, Stepping, Still, Store, printed};

fn a_moment(number: u32) -> Moment {
    let mut settings = Settings::default();
    let compresses = if number.is_multiple_of(2) { "yes" } else { "no" };
    settings.set("rdbcompression", &[compresses]).expect("it is a flag");
    moment_of(number, &settings, 0, 1)
}

/// No time at all: one piece.
fn in_a_hurry() -> Stepping {
    Stepping::by(SLICE_NS + 1)
}

/// What there is, by database and key.
type State = BTreeMap<(u32, Vec<u8>), Vec<String>>;

/// All that an entry holds, and what it is; how it lies in memory is left out.
fn said(entry: &Entry) -> Vec<String> {
    let mut said = contents(entry);
    if let Some(object) = entry.object() {
        let form = format!("{:?} {}", entry.deadline(), object.collection().encoding());
        said.retain(|line| *line != form);
        said.insert(0, format!("{} {:?}", object.type_name(), entry.deadline()));
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
            News::Begun(begun, _) => self.begun = Some(begun),
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
        let mut cutter = Cutter::new(Rules { databases: 16, checks: false, expired_by: None });
        cutter.feed(&file);
        let mut state = State::new();
        while let Some(Piece::Keys(raw)) = cutter.next_piece(0).expect("it is sound") {
            for at in &raw.keys {
                let forms = Forms::of(&settings, hasher);
                let (key, value) = raw.read(at, forms).expect("it is sound");
                let there = said(&key.with(value));
                let before = state.insert((at.db, key.name.to_vec()), there);
                assert!(before.is_none(), "{} is there twice", key.name.escape_ascii());
            }
        }
        state
    }
}

/// Begins a snapshot in which everything beyond a few bytes is large. Returns what there is.
fn begin(shards: &mut Shards, number: u32) -> State {
    let batch = moment(a_moment(number), shards.now);
    let any = number as usize % shards.shards.len();
    shards.shards[any].file(batch);
    assert!(shards.settle().is_some(), "it comes home");
    shards.shards.iter_mut().for_each(make_small);
    state(&shards.shards)
}

/// From now on more than a few bytes are large, and come in pieces of a few bytes.
fn make_small(shard: &mut Shard) {
    let saving = shard.engine.tools.saving.as_mut().expect("it has begun everywhere");
    saving.large = 1_500;
    let compresses = saving.number.is_multiple_of(2);
    saving.format = Box::new(Records { compresses, timed: Dialect::TIMED, piece: 300 });
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

/// A value that is written in many pieces, as a command makes it.
fn large_value(kind: &str, now: Millis) -> Vec<String> {
    let each = |element: &dyn Fn(u64) -> String| (0..400).map(element).collect::<String>();
    let at = now.0 + 50;
    match kind {
        "string" => vec![format!("SET k {}", "x".repeat(20_000))],
        "list" => vec![format!("RPUSH k{}", each(&|n| format!(" item:{n}:{}", "x".repeat(90))))],
        "hash" => vec![
            format!("HSET k{}", each(&|n| format!(" f{n} value:{n}"))),
            format!("HPEXPIREAT k {at} FIELDS 2 f1 f2"),
        ],
        "set" => vec![
            format!("SADD k{}", each(&|n| format!(" member:{n}"))),
            format!("SPEXPIREAT k {at} MEMBERS 2 member:1 member:2"),
        ],
        "zset" => vec![
            format!("ZADD k{}", each(&|n| format!(" {} member:{n}", n % 7))),
            format!("ZPEXPIREAT k {at} MEMBERS 2 member:1 member:2"),
        ],
        _ => {
            let mut lines: Vec<_> = (1..400).map(|n| format!("XADD k {n}-0 field {n}")).collect();
            lines.push("XGROUP CREATE k g 0".to_owned());
            lines.push("XREADGROUP GROUP g c COUNT 300 STREAMS k >".to_owned());
            lines
        }
    }
}

#[test]
fn a_value_that_is_half_written_is_what_it_was_whatever_happens_to_it() {
    let kinds = ["string", "list", "hash", "set", "zset", "stream"];
    let changes = [
        "DEL k",
        "SET k 1",
        "RENAME k other",
        "RENAME other k",
        "MOVE k 1",
        "COPY other k REPLACE",
        "PEXPIRE k 1",
        "FLUSHALL",
        "SWAPDB 0 1",
        "change",
        "read when it has expired",
        "expire",
    ];
    for (kind, change) in kinds.iter().flat_map(|kind| changes.map(|change| (*kind, change))) {
        let mut shards = Shards::new(1);
        // In a slot that is written early.
        let key = (0..).map(|n| format!("k{n}")).find(|key| slot::of(key.as_bytes()) < 20);
        let key = &key.expect("there is one");
        let line_of = |line: &str| format!("{line} ").replace(" k ", &format!(" {key} "));
        large_value(kind, shards.now).iter().for_each(|line| drop(shards.run(&line_of(line))));
        shards.run("SET other 1");
        let is_timed = change.contains("expire");
        if is_timed {
            shards.run(&line_of("PEXPIRE k 60"));
        }
        let wanted = begin(&mut shards, 1);
        let mut file = File::default();
        while file.spools.is_empty() {
            shards.shards[0].write_snapshot(&mut in_a_hurry());
            file.collect(&mut shards.shards);
        }
        let reply = match change {
            "change" => shards.run(&line_of(match kind {
                "string" => "SETRANGE k 19000 y",
                "list" => "LPOP k",
                "hash" => "HSET k f399 new",
                "set" => "SREM k member:9",
                "zset" => "ZINCRBY k 100 member:9",
                _ => "XDEL k 399-0",
            })),
            "read when it has expired" => {
                shards.now = shards.now.saturating_add(60);
                shards.run(&line_of("EXISTS k"))
            }
            "expire" => {
                shards.now = shards.now.saturating_add(60);
                shards.shards[0].expire(shards.now, &mut Still);
                shards.run("DBSIZE")
            }
            _ => shards.run(&line_of(change)),
        };
        assert!(!reply.contains("error"), "{change}: {reply}");
        while !file.is_whole() {
            shards.shards[0].write_snapshot(&mut Stepping::by(SLICE_NS / 9));
            file.collect(&mut shards.shards);
        }
        compare(&file.state(shards.shards[0].hasher()), &wanted, 0);
        if is_timed {
            assert_eq!(reply, if change == "expire" { "(integer) 2" } else { "(integer) 0" });
            shards.shards[0].expire(shards.now, &mut Still);
            assert_eq!(shards.run("DBSIZE"), "(integer) 1", "{kind} {change}");
        }
    }
}

/// A command on a large value goes on when that is written; nobody else waits.
#[test]
fn a_write_waits_for_a_large_value() {
    let mut store = Store::new();
    for number in 0..20_000 {
        store.run(&format!("SADD {{t}}large m{number}"));
    }
    store.run("SET {t}small 1");
    store.shard.begin_snapshot(a_moment(1));
    make_small(&mut store.shard);
    let turns = add_to_what_is_written(&mut store);
    assert!(turns > 1, "{turns} turns");
}

/// What is changed by no key of its own call: the destination of a client that is served.
#[test]
fn what_a_served_wait_changes_is_saved_first() {
    let mut shards = Shards::new(2);
    for number in 0..3_000 {
        shards.run(&format!("SET {{t}}{number} x"));
    }
    shards.run("RPUSH {t}to old");
    shards.send(&["BLMOVE {t}from {t}to LEFT RIGHT 0"]);
    let (homes, _) = shards.settle_all();
    let _parked: Vec<_> = homes.into_iter().filter_map(|batch| batch.parked).collect();
    let wanted = begin(&mut shards, 1);
    shards.run("RPUSH {t}from new");
    assert_eq!(shards.run("LRANGE {t}to 0 -1"), "1) \"old\"\n2) \"new\"");
    let mut file = File::default();
    while !file.is_whole() {
        for shard in &mut shards.shards {
            shard.write_snapshot(&mut Still);
        }
        file.collect(&mut shards.shards);
    }
    compare(&file.state(shards.shards[0].hasher()), &wanted, 0);
}

/// Writes that would have more saved than there is room for wait, and no others.
#[test]
fn what_is_saved_ahead_has_a_bound() {
    let mut store = Store::new();
    let value = "x".repeat(60_000);
    for number in 0..700 {
        store.run(&format!("SET key:{number} {value}"));
    }
    store.shard.begin_snapshot(a_moment(1));
    let (mut file, mut ran) = (File::default(), 0);
    let mut waits = None;
    for number in 0..700 {
        let batch = store.batch(&[b"APPEND", format!("key:{number}").as_bytes(), b"y"]);
        match store.shard.visit(batch, &mut Still) {
            Some(_) => ran += 1,
            None => {
                waits = Some(number);
                break;
            }
        }
    }
    let waits = waits.expect("there is a bound");
    let saved = store.shard.engine.tools.saving.as_ref().map_or(0, |saving| saving.load());
    assert!(saved > COPIES_FLOOR && saved < COPIES_FLOOR + 200_000, "{saved} bytes for {ran} keys");
    assert!(!store.shard.write_snapshot(&mut Still), "the walk waits as well");
    assert_eq!(store.run("APPEND key:0 z"), "(integer) 60002", "it is saved");
    assert_eq!(store.run(&format!("STRLEN key:{waits}")), "(integer) 60000");
    file.collect(std::slice::from_mut(&mut store.shard));
    store.shard.work(store.now, &mut Still);
    let homes = std::mem::take(&mut store.shard.outbox.homes);
    assert_eq!(printed(&homes[0].replies), "(integer) 60001");
    while store.shard.write_snapshot(&mut Still) {
        file.collect(std::slice::from_mut(&mut store.shard));
    }
}

#[test]
fn a_shard_may_save_its_part_of_the_copies() {
    let mut settings = Settings::default();
    let copies_max =
        |settings: &Settings, used, shards| moment_of(1, settings, used, shards).copies_max;
    assert_eq!(copies_max(&settings, 1 << 20, 1), COPIES_FLOOR);
    assert_eq!(copies_max(&settings, 10_000_000_000, 4), 125_000_000);
    settings.set("snapshot-copies-max", &["50"]).expect("a percentage");
    assert_eq!(copies_max(&settings, 10_000_000_000, 4), 1_250_000_000);
}

/// A snapshot of which a shard knows first from a slot that moves to it.
#[test]
fn a_slot_that_moves_says_that_there_is_a_snapshot() {
    let mut shards = Shards::new(3);
    let map = shards.shards[0].map().clone();
    let key = (0..).map(|n| format!("k{n}")).find(|key| map.owner(slot::of(key.as_bytes())) == 0);
    let key = key.expect("there is one");
    shards.run(&format!("SET {key} before"));
    let wanted = state(&shards.shards);
    shards.shards[0].file(moment(a_moment(4), shards.now));
    for shard in 0..2 {
        let letters = shards.letters_of(shard);
        shards.deliver(letters);
    }
    let letters = shards.letters_of(2);
    let (first, later): (Vec<_>, Vec<_>) = letters.into_iter().partition(|(to, _)| *to == 0);
    shards.deliver(first);
    let number = slot::of(key.as_bytes());
    shards.shards[0].receive(Letter::MoveOut { slot: number, to: 1 });
    let letters = shards.letters_of(0);
    shards.deliver(letters);
    assert_eq!(shards.shards[1].snapshot(), Some(4));
    shards.send(&[&format!("SET {key} behind")]);
    let visit = std::mem::take(&mut shards.shards[0].ready);
    shards.shards[1].ready.extend(visit);
    while shards.shards[1].work(shards.now, &mut Still) {}
    assert_eq!(shards.shards[1].outbox.homes.len() + shards.shards[1].outbox.letters.len(), 1);
    shards.deliver(later);
    let map = Arc::new(map.with_moves(&[number], 1));
    shards.shards.iter_mut().for_each(|shard| shard.receive(Letter::Routes(map.clone())));
    shards.settle_all();
    let mut file = File::default();
    while !file.is_whole() {
        for shard in &mut shards.shards {
            shard.write_snapshot(&mut Still);
        }
        file.collect(&mut shards.shards);
    }
    compare(&file.state(shards.shards[0].hasher()), &wanted, 0);
    assert_eq!(shards.run(&format!("GET {key}")), "\"behind\"");
}

/// What a snapshot that has failed left behind is gone, and the next one is right.
#[test]
fn a_snapshot_fails_with_a_shard_and_another_one_begins() {
    let mut shards = Shards::new(2);
    for number in 0..400 {
        shards.run(&format!("HSETEX large PX 50 FIELDS 1 f{number} value:{number}"));
        shards.run(&format!("SET key:{number} {number}"));
    }
    shards.run("PEXPIRE large 40");
    begin(&mut shards, 1);
    shards.now = shards.now.saturating_add(100);
    for shard in &mut shards.shards {
        shard.expire(shards.now, &mut Still);
    }
    assert_eq!(shards.run("DBSIZE"), "(integer) 401", "it is not written yet");
    shards.run("SWAPDB 0 1");
    shards.run("FLUSHALL");
    shards.run("SET new 1");
    let mut file = File::default();
    shards.shards[1].distrust();
    file.collect(&mut shards.shards);
    assert!(file.has_failed && shards.shards[1].snapshot().is_none());
    shards.shards[0].end_snapshot(1);
    assert_eq!(shards.shards[0].snapshot(), None);
    shards.shards[1].serve();
    for shard in &mut shards.shards {
        let slots = (0..SLOTS).filter_map(|number| shard.keyspace().slot(number));
        assert_eq!(slots.filter(|slot| slot.saved.is_begun()).count(), 0);
        while shard.discard(&mut Still) {}
    }
    let wanted = begin(&mut shards, 2);
    let mut file = File::default();
    while !file.is_whole() {
        for shard in &mut shards.shards {
            while shard.write_snapshot(&mut Still) {}
        }
        file.collect(&mut shards.shards);
    }
    compare(&file.state(shards.shards[0].hasher()), &wanted, 0);
    assert_eq!(wanted.len(), 1);
}

/// Where a shard is not trusted there is no moment.
#[test]
fn a_snapshot_does_not_begin_while_a_shard_is_rebuilt() {
    for broken in 0..2 {
        let mut shards = Shards::new(2);
        shards.shards[broken].distrust();
        shards.shards[0].file(moment(a_moment(9), shards.now));
        assert!(shards.settle().is_some(), "it comes home");
        let mut news = Vec::new();
        shards.shards.iter_mut().for_each(|shard| shard.tell_news(&mut news));
        assert!(matches!(news[..], [News::NotBegun(9)]), "{news:?}");
        assert!(shards.shards.iter().all(|shard| shard.snapshot().is_none()));
    }
}

#[test]
fn a_slot_that_is_away_is_saved_and_reported_when_it_is_back() {
    let mut shards = Shards::new(2);
    begin(&mut shards, 1);
    let mut file = File::default();
    let away = shards.shards[0].map().slots_of(0).next().expect("it has slots");
    let slots = shards.shards[0].give(&[away]).expect("it is here");
    for shard in &mut shards.shards {
        while shard.write_snapshot(&mut Still) {}
    }
    file.collect(&mut shards.shards);
    assert_eq!(file.slots, u32::from(SLOTS) - 1);
    let returned = Returned { slots: Lent::Slots(slots), torn: false };
    shards.shards[0].receive(Letter::Return(returned));
    assert!(!shards.shards[0].write_snapshot(&mut Still));
    file.collect(&mut shards.shards);
    assert!(file.is_whole());
}
