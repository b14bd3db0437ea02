//! Snapshots as the commands that make their keys: bases of a journal. What follows them makes the
//! data set of the end.

use super::*;
use crate::commands::recreate::Commands;
use crate::keyspace::effect::Purpose;
use crate::keyspace::saving::{Form, Format, Point};
use crate::resp::encode;
use crate::testing::decoded;
use crate::testing::writes::{LARGE, LARGE_KEYS, any_large_write, any_write, fill_large};

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

/// Runs the commands of a base.
fn make(copy: &mut Shards, base: &[u8]) {
    let frames = decoded(base);
    for frame in &frames.frames {
        let words: Vec<&[u8]> = frames.args_of(frame).iter().map(|span| span.of(base)).collect();
        if words[0] == b"SELECT" {
            let db = std::str::from_utf8(words[1]).expect("it is a number");
            copy.session.db = db.parse().expect("it is a number");
            continue;
        }
        let mut request = Vec::new();
        encode::command(&mut request, &words);
        copy.file(request);
        let batch = copy.settle().expect("it is answered");
        let reply = batch.replies.escape_ascii();
        assert!(!batch.replies.starts_with(b"-"), "{}: {reply}", words[0].escape_ascii());
    }
}

#[test]
fn a_base_of_commands_and_what_follows_make_the_same_data_set() {
    let mut parts = 0;
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        // A slot that is written before much has happened to it.
        let tags = (0..).map(|number| format!("{{{number}}}"));
        let tag = tags.into_iter().find(|tag| slot::of(tag.as_bytes()) < 60);
        let tag = &tag.expect("there is one");
        let mut shards = Shards::new(3);
        for number in 0..600 {
            shards.session.db = random.u32(..3);
            shards.run(&format!("SET {tag}{} x{number}", number % 200));
        }
        for db in 0..2 {
            shards.session.db = db;
            fill_large(&mut shards, tag);
            let text = "y".repeat(random.usize(..12_000));
            shards.run(&format!("SET {tag}text {text} PXAT {}", shards.now.0 + 100_000));
        }
        let base = Moment { form: Form::Commands, purpose: Purpose::Base, ..a_moment(1) };
        shards.shards[0].file(moment(base, shards.now));
        shards.settle();
        let marks: Vec<_> =
            shards.shards.iter_mut().filter_map(|shard| shard.effects().take_moment()).collect();
        assert!(marks.len() == 1 && marks[0].snapshot == 1, "{marks:?}");
        drop(shards.records());
        let wanted: Vec<_> = state(&shards.shards).into_keys().collect();
        for shard in &mut shards.shards {
            shard.engine.tools.saving.as_mut().expect("it has begun").large = 1_500;
        }
        let (mut file, mut follows, mut rounds) = (File::default(), Vec::new(), 0);
        while !file.is_whole() || rounds < 600 {
            rounds += 1;
            shards.session.db = random.u32(..3);
            let line = match random.u8(..3) {
                0 => any_write(&mut random, tag, rounds),
                _ => any_large_write(&mut random, tag, rounds),
            };
            if rounds > 100 {
                shards.run(&line);
                // What happens next may happen on another shard.
                follows.push((shards.now, shards.records()));
            }
            for shard in &mut shards.shards {
                let pieces = random.u64(1..30);
                shard.write_snapshot(&mut Stepping::by(SLICE_NS / pieces + 1));
                if random.u8(..4) == 0 {
                    shard.expire(shards.now, &mut Still);
                }
            }
            follows.push((shards.now, shards.records()));
            file.collect(&mut shards.shards);
            shards.now = shards.now.saturating_add(random.i64(0..3));
        }
        parts += file.in_parts;
        let mut copy = Shards::new(2);
        make(&mut copy, &file.bytes);
        let found: Vec<_> = state(&copy.shards).into_keys().collect();
        assert!(found == wanted, "seed {seed}: other keys are there");
        for (now, records) in &follows {
            copy.now = *now;
            copy.load(records);
        }
        copy.now = shards.now;
        assert_eq!(shards.run("DEBUG DIGEST"), copy.run("DEBUG DIGEST"), "seed {seed}");
        for (one, other) in details(&mut shards, tag).iter().zip(details(&mut copy, tag)) {
            assert_eq!(*one, other, "seed {seed}");
        }
    }
    assert!(parts > 30, "large values came in {parts} parts");
}

#[test]
fn a_long_string_is_made_piece_by_piece() {
    let mut store = Store::new();
    store.run(&format!("SET k {} PXAT 9999999999999", "x".repeat(200_000)));
    let tables = store.shard.keyspace().slot(slot::of(b"k")).expect("it is here").tables();
    let entry = tables.flat_map(|(_, table)| table.iter()).next().expect("there is one");
    let (mut made, mut from, mut pieces) = (Vec::new(), Some(Point::Start), 0);
    while let Some(point) = from {
        let before = made.len();
        from = Commands.piece(&mut made, entry, point);
        assert!(made.len() - before < 70_000, "{} bytes in a piece", made.len() - before);
        pieces += 1;
    }
    let text = String::from_utf8(made).expect("it is text");
    let count = |word: &str| text.matches(word).count();
    assert_eq!((pieces, count("SET"), count("APPEND"), count("PEXPIREAT")), (4, 1, 3, 1));
    assert_eq!(count("x"), 200_000);
}
