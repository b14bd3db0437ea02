//! Bases written while commands run, and read back.

use super::{BYTES_A_TURN, SLICE_NS, Shard};
use crate::base::slot::{self, SLOTS};
use crate::keyspace::effect::Effects;
use crate::lending::{Lent, Returned};
use crate::shard::letter::Letter;
use crate::testing::writes::{
    LARGE, LARGE_KEYS, add_to_what_is_written, any_large_write, any_write, fill_large,
};
use crate::testing::{Shards, Stepping, Still, Store};

fn begin(shards: &mut Shards, number: u32) {
    for shard in &mut shards.shards {
        *shard.effects() = Effects::default();
        shard.effects().listen(true);
        shard.begin_base(number);
    }
}

/// Whether every slot of the shard is here and written.
fn is_written(shard: &Shard) -> bool {
    let Some(base) = shard.engine.new_base else { return true };
    let mut slots = shard.env.map.slots_of(shard.id);
    slots.all(|number| shard.engine.space.slot(number).is_some_and(|slot| base.has(slot)))
}

/// What the shards have to report.
fn reported(shards: &mut Shards) -> u32 {
    shards.shards.iter_mut().filter_map(Shard::take_written).sum()
}

/// What DEBUG DIGEST leaves out, with the questions: deadlines of elements, and the groups of
/// streams. How the entries of a stream lie in memory need not be the same.
fn details(shards: &mut Shards, tag: &str) -> Vec<(String, String)> {
    let mut details = Vec::new();
    for db in 0..3 {
        shards.session.db = db;
        for key in LARGE_KEYS {
            let of_elements = (0..LARGE).step_by(3).flat_map(|number| {
                [
                    format!("HPEXPIRETIME {tag}{key} FIELDS 1 f{number}"),
                    format!("SPEXPIRETIME {tag}{key} MEMBERS 1 m{number}"),
                    format!("ZPEXPIRETIME {tag}{key} MEMBERS 1 m{number}"),
                ]
            });
            let of_streams = ["XINFO STREAM", "XINFO GROUPS"].map(|it| format!("{it} {tag}{key}"));
            let pending = ["g", "h"].map(|group| format!("XPENDING {tag}{key} {group}"));
            let lines = of_elements.chain(of_streams).chain(pending).collect::<Vec<_>>();
            for line in lines {
                let mut reply: Vec<String> = shards.run(&line).lines().map(String::from).collect();
                if line.starts_with("XINFO STREAM") && reply.len() > 6 {
                    reply.drain(2..6);
                }
                details.push((line, reply.join("\n")));
            }
        }
    }
    details
}

/// Commands of all kinds, before, while and after the base is written in pieces; what was recorded
/// makes the same data set on another number of shards.
#[test]
fn a_base_written_under_load_makes_the_same_data_set() {
    // A slot that is written early, before the commands have emptied it.
    let tags = (0..).map(|number| format!("{{{number}}}"));
    let tag = tags.into_iter().find(|tag| slot::of(tag.as_bytes()) < 60).expect("there is one");
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut shards = Shards::new(3);
        for number in 0..600 {
            shards.session.db = random.u32(..3);
            shards.run(&format!("SET {tag}{} x{number}", number % 200));
        }
        for db in 0..2 {
            shards.session.db = db;
            fill_large(&mut shards, &tag);
        }
        let mut copy = Shards::new(2);
        begin(&mut shards, 1 + seed as u32);
        let (mut rounds, mut in_part, mut written) = (0, 0, 0);
        while !shards.shards.iter().all(is_written) || rounds < 1_500 {
            rounds += 1;
            shards.session.db = random.u32(..3);
            let line = match random.u8(..3) {
                0 => any_write(&mut random, &tag, rounds),
                _ => any_large_write(&mut random, &tag, rounds),
            };
            shards.run(&line);
            copy.load(&shards.records());
            for shard in &mut shards.shards {
                let marker = shard.engine.space.slot(slot::of(tag.as_bytes()));
                let marker = marker.and_then(|slot| slot.written.marker.as_ref());
                in_part += u32::from(marker.is_some_and(|marker| marker.part.is_some()));
                let pieces = if marker.is_some() { random.u64(0..5) } else { rounds.min(100) };
                if random.bool() {
                    shard.write_base(&mut Stepping::by(SLICE_NS / pieces.max(1) + 1));
                }
                if random.u8(..4) == 0 {
                    shard.expire(shards.now, &mut Still);
                }
            }
            written += reported(&mut shards);
            copy.load(&shards.records());
            shards.now = shards.now.saturating_add(random.i64(0..3));
            copy.now = shards.now;
        }
        assert_eq!(shards.run("DEBUG DIGEST"), copy.run("DEBUG DIGEST"), "seed {seed}");
        for (one, other) in details(&mut shards, &tag).iter().zip(details(&mut copy, &tag)) {
            assert_eq!(*one, other, "seed {seed}");
        }
        assert_eq!(written + reported(&mut shards), u32::from(SLOTS), "each slot is reported once");
        assert!(in_part > 20, "a key was written in part in {in_part} rounds only");
        shards.shards.iter_mut().for_each(|shard| shard.end_base());
        shards.run("SET after 1");
        copy.load(&shards.records());
        assert_eq!(shards.run("DEBUG DIGEST"), copy.run("DEBUG DIGEST"));
    }
}

/// However large the values are, a turn ends about where it should and the same is written.
#[test]
fn no_turn_writes_much_more_than_its_bytes() {
    /// What a piece may have beyond the bytes of a turn: some elements with their commands, or a
    /// node of a list.
    const PIECE: usize = 64 * 1024;
    let mut shards = Shards::new(1);
    let count = 6_000;
    for start in (0..count).step_by(100) {
        let each = |element: &dyn Fn(usize) -> String| {
            (start..start + 100).map(|number| element(number) + " ").collect::<String>()
        };
        let (padding, deadline) = ("x".repeat(60), shards.now.0 + 1_000_000);
        shards.run(&format!("RPUSH list {}", each(&|number| format!("{padding}{number}"))));
        shards.run(&format!("HSET hash {}", each(&|number| format!("f{number} {padding}"))));
        shards.run(&format!("SADD set {}", each(&|number| format!("{padding}{number}"))));
        shards.run(&format!("ZADD zset {}", each(&|number| format!("{number} {padding}{number}"))));
        let names = each(&|number| format!("f{number}"));
        shards.run(&format!("HPEXPIREAT hash {deadline} FIELDS 100 {names}"));
        for number in start..start + 100 {
            shards.run(&format!("XADD stream 1-{} field {padding}", number + 1));
        }
    }
    shards.run("XGROUP CREATE stream g 0");
    shards.run("XREADGROUP GROUP g c STREAMS stream >");
    shards.run("XTRIM stream MAXLEN 3000");
    let mut copy = Shards::new(2);
    begin(&mut shards, 1);
    let (mut turns, mut all) = (0, 0);
    while shards.shards[0].write_base(&mut Still) {
        let written = shards.shards[0].effects().len();
        assert!(written < BYTES_A_TURN + PIECE, "{written} bytes in turn {turns}");
        copy.load(&shards.records());
        (turns, all) = (turns + 1, all + written);
    }
    copy.load(&shards.records());
    assert!(turns > 8 && turns <= 1 + all / BYTES_A_TURN, "{all} bytes in {turns} turns");
    assert_eq!(shards.run("DEBUG DIGEST"), copy.run("DEBUG DIGEST"));
    // With no time at all a turn writes one piece.
    begin(&mut shards, 2);
    while shards.shards[0].write_base(&mut Stepping::by(SLICE_NS + 1)) {
        let written = shards.shards[0].effects().take().0.len();
        assert!(written < PIECE, "{written} bytes in one piece");
    }
}

/// A command on the key at the marker goes on when the key is written; nobody else waits.
#[test]
fn a_write_waits_for_the_rest_of_its_key() {
    let mut store = Store::new();
    for number in 0..20_000 {
        store.run(&format!("SADD {{t}}large m{number}"));
    }
    store.run("SET {t}small 1");
    store.effects();
    store.shard.begin_base(1);
    let mut steps = 0;
    while !store.effects().contains("SADD") {
        store.shard.write_base(&mut Stepping::by(SLICE_NS + 1));
        steps += 1;
    }
    assert!(steps < 16_384 + 10);
    let turns = add_to_what_is_written(&mut store);
    assert!(turns > 5, "{turns} turns");
    let effects = store.effects();
    assert!(
        effects.ends_with("SADD {t}large m1 new"),
        "it is recorded as it came, behind the rest"
    );
    assert!(!effects.contains("DEL {t}large"), "nothing is written twice");
}

#[test]
fn slots_have_no_effects_until_they_are_written() {
    let mut store = Store::new();
    store.run("SET a 1");
    store.effects();
    store.shard.begin_base(7);
    store.run("SET b 1");
    store.run("DEL b");
    store.run("INCR a");
    assert_eq!(store.effects(), "MULTI\nDEL b\nEXEC");
    assert!(!is_written(&store.shard));
    while store.shard.write_base(&mut Still) {}
    assert!(is_written(&store.shard));
    store.run("INCR a");
    assert_eq!(store.effects(), "SET a 2\nINCR a");
    store.shard.begin_base(8);
    assert!(!is_written(&store.shard), "another base begins from nothing");
    store.shard.end_base();
    store.run("INCR a");
    assert_eq!(store.effects(), "INCR a");
}

#[test]
fn a_slot_that_is_away_is_written_and_reported_when_it_is_back() {
    let mut shards = Shards::new(2);
    begin(&mut shards, 1);
    let away = shards.shards[0].map().slots_of(0).next().expect("it has slots");
    let slots = shards.shards[0].give(&[away]).expect("it is here");
    for shard in &mut shards.shards {
        shard.write_base(&mut Stepping::by(SLICE_NS + 1));
        assert_eq!(shard.take_written(), None, "it has more to write");
        while shard.write_base(&mut Still) {}
    }
    assert_eq!(reported(&mut shards), u32::from(SLOTS) - 1);
    assert_eq!(reported(&mut shards), 0);
    let returned = Returned { slots: Lent::Slots(slots), torn: false };
    shards.shards[0].receive(Letter::Return(returned));
    assert!(!shards.shards[0].write_base(&mut Still));
    assert_eq!(shards.shards[0].take_written(), Some(1));
}
