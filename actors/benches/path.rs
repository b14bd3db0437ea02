//! What a request costs on its way through the core, station by station: decode, route, execute,
//! encode, a script, and the scan of a journal at the start.
//!
//! `cargo bench -p troupe-actors` runs them; a word behind `--` chooses (`-- execute/get`). Each
//! works on a pipeline of [`PIPELINE`] requests, so a figure divided by that is the cost of one. No
//! socket, no thread and no actor takes part: what those add is measured from outside, by
//! `tests/measure/compare.py`. The keys are few enough to stay in the cache, so these figures are
//! about the code, not the memory.

// A benchmark dies to say that something is wrong.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use troupe::aof::scan::Scanner;
use troupe::base::hash::Hasher;
use troupe::base::millis::Millis;
use troupe::batch::{Batch, Home};
use troupe::resp::{Decoder, Frames, Limits, Reply, encode};
use troupe::script::{Engine, Facts, LuaEngine, Step};
use troupe::session::{Peer, Session};
use troupe::settings::{Renames, Settings};
use troupe::shard::{Parts, Shard, Ticks};

/// Requests in one batch.
const PIPELINE: usize = 16;

/// Records in the journal that is scanned.
const RECORDS: usize = 10_000;

/// When all of this happens.
const NOW: Millis = Millis(1_700_000_000_000);

/// A clock that stands still, so that no slice ends and no clock is measured.
struct Still;

impl Ticks for Still {
    fn nanos(&mut self) -> u64 {
        0
    }
}

/// A pipeline of requests, with a key of its own in each.
fn pipeline(words: &[&str]) -> Bytes {
    let mut request = Vec::new();
    for number in 0..PIPELINE {
        let key = format!("key:{number:012}");
        let words: Vec<&[u8]> = words
            .iter()
            .map(|word| if *word == "KEY" { key.as_bytes() } else { word.as_bytes() })
            .collect();
        encode::command(&mut request, &words);
    }
    Bytes::from(request)
}

fn value() -> String {
    "x".repeat(64)
}

fn decoded(request: &Bytes) -> Frames {
    let mut frames = Frames::default();
    let done = Decoder::default().decode(request, &Limits::default(), &mut frames).unwrap();
    assert_eq!((done.consumed, frames.len()), (request.len(), PIPELINE));
    frames
}

fn new_batch() -> Box<Batch> {
    let session = Session::new(1, Peer::default(), NOW, true);
    Box::new(Batch::new(Home { thread: 0, connection: 0 }, session))
}

/// A shard that owns every slot, with no layers around its commands.
fn bare_shard() -> Shard {
    let hasher = Hasher::with_seeds([1, 2, 3, 4]);
    let mut shard = Shard::new(Parts::alone(Arc::new(Settings::default()), hasher, 7));
    shard.serve();
    shard
}

fn decode(criterion: &mut Criterion) {
    let request = pipeline(&["SET", "KEY", &value()]);
    let (mut decoder, limits, mut frames) =
        (Decoder::default(), Limits::default(), Frames::default());
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    group.bench_function("set", |bencher| {
        bencher.iter(|| {
            frames.clear();
            decoder.decode(black_box(&request), &limits, &mut frames).unwrap()
        });
    });
    group.finish();
}

fn route(criterion: &mut Criterion) {
    let request = pipeline(&["GET", "KEY"]);
    let hasher = Hasher::with_seeds([1, 2, 3, 4]);
    let renames = Renames::default();
    let mut batch = new_batch();
    batch.frames = decoded(&request);
    let mut group = criterion.benchmark_group("route");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    group.bench_function("get", |bencher| {
        bencher.iter(|| batch.route(black_box(request.clone()), NOW, &hasher, &renames));
    });
    group.finish();
}

/// The visit of one batch that was decoded and routed before the clock runs.
fn execute(criterion: &mut Criterion) {
    let value = value();
    let works: [(&str, &[&str], &[&str]); 3] = [
        ("get", &["SET", "KEY", &value], &["GET", "KEY"]),
        ("set", &["SET", "KEY", &value], &["SET", "KEY", &value]),
        ("incr", &["SET", "KEY", "1"], &["INCR", "KEY"]),
    ];
    let mut group = criterion.benchmark_group("execute");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    for (name, before, command) in works {
        let mut shard = bare_shard();
        let routed = |shard: &Shard, request: &Bytes| {
            let mut batch = new_batch();
            batch.frames = decoded(request);
            batch.route(request.clone(), NOW, shard.hasher(), &Renames::default());
            batch
        };
        let fill = routed(&shard, &pipeline(before));
        shard.visit(fill, &mut Still).unwrap();
        let request = pipeline(command);
        group.bench_function(name, |bencher| {
            let hasher = shard.hasher().clone();
            let make = || {
                let mut batch = new_batch();
                batch.frames = decoded(&request);
                batch.replies.reserve(4096);
                batch.route(request.clone(), NOW, &hasher, &Renames::default());
                batch
            };
            let run = |batch| {
                let batch = shard.visit(batch, &mut Still);
                shard.effects().take();
                batch
            };
            bencher.iter_batched(make, run, BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn encode_replies(criterion: &mut Criterion) {
    let value = value();
    let mut out = Vec::new();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    group.bench_function("bulk", |bencher| {
        bencher.iter(|| {
            out.clear();
            let mut reply = Reply::new(&mut out, false);
            (0..PIPELINE).for_each(|_| reply.bulk(black_box(value.as_bytes())));
        });
    });
    group.bench_function("integer", |bencher| {
        bencher.iter(|| {
            out.clear();
            let mut reply = Reply::new(&mut out, false);
            (0..PIPELINE).for_each(|number| reply.int(black_box(number as i64 * 1000)));
        });
    });
    group.finish();
}

fn scan(criterion: &mut Criterion) {
    let mut file = Vec::new();
    encode::command(&mut file, &[b"SELECT", b"0"]);
    let value = value();
    for number in 0..RECORDS {
        let key = format!("key:{number:012}");
        encode::command(&mut file, &[b"SET", key.as_bytes(), value.as_bytes()]);
    }
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("scan", |bencher| {
        bencher.iter(|| {
            let mut scanner = Scanner::new(0);
            let mut records = 0;
            for block in file.chunks(256 * 1024) {
                scanner.feed(block);
                while let Some(block) = scanner.next_block().unwrap() {
                    records += block.records.len();
                }
            }
            assert_eq!(records, RECORDS);
        });
    });
    group.finish();
}

/// A script from its compiled text to its reply, with a host that answers at once.
fn script(criterion: &mut Criterion) {
    const LIMITER: &str = "local current = redis.call('get', KEYS[1]) \
        if current and tonumber(current) >= tonumber(ARGV[1]) then return {0, current} end \
        local count = redis.call('incr', KEYS[1]) \
        if count == 1 then redis.call('pexpire', KEYS[1], ARGV[2]) end \
        return {1, tonumber(ARGV[1]) - count}";
    let mut group = criterion.benchmark_group("script");
    let mut engine = LuaEngine::new(troupe::script::Limits::default());
    let get = "return redis.call('get', KEYS[1])";
    for (name, body) in [("constant", "return 1"), ("get", get), ("limiter", LIMITER)] {
        let script = Arc::new(engine.compile(body.as_bytes()).unwrap());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let keys = vec![Bytes::from_static(b"key:1")];
                let arguments = vec![Bytes::from_static(b"100"), Bytes::from_static(b"1000")];
                let mut run = engine.eval(&script, keys, arguments, Facts::default());
                let mut step = run.resume(&|| false);
                while !matches!(step, Step::Done { .. }) {
                    step = run.answer(b":1\r\n", &|| false);
                }
                step
            });
        });
    }
}

criterion_group!(path, decode, route, execute, encode_replies, scan, script);
criterion_main!(path);
