//! Promises 1 and 2: the commands of one connection take effect in the order in which they were
//! sent, for everybody; and every command is whole or not there, over all shards.
//!
//! Several workloads run at once on one server with two or four shards; each knows what it may
//! never see:
//!
//! - `pipelines`: one connection, keys of its own on all shards, every reply foretold by a model;
//! - `causes`: `SET job v, SET flag v` in one pipeline; who sees the flag must see the job,
//!   on another connection, or as `GET flag, GET job` in one pipeline;
//! - `rows`: numbers that one connection appends to collections of every kind (`order/rows.rs`);
//! - `wholes`: MSET of equal values, MSETNX and DEL of the same keys, RENAME and SMOVE to and fro,
//!   of which nobody may see a part;
//! - `transfers`: sums that transactions move between keys (`order/transfers.rs`);
//! - `counters`: INCR by many; no number twice, none missing.
//!
//! That the workloads would notice is shown, not hoped: they run against our own server with DEBUG
//! BREAK-ORDER and BREAK-ATOMICITY on, and through a proxy that does what a careless sharded server
//! does. `TROUPE_ORDER_SECONDS` says how long each real run takes (default 10).

mod rows;
mod transfers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Client, shown};
use crate::support::oracle::Oracle;
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};
use crate::support::wait::StopAtEnd;
use crate::support::{env_number, scatter, seed};

/// What a worker of a workload gets.
struct Worker<'a> {
    client: Client,
    random: fastrand::Rng,
    index: usize,
    port: u16,
    end: Instant,
    seen: &'a Violations,
}

/// What was seen that may not be, by workload.
#[derive(Default)]
struct Violations {
    texts: Mutex<BTreeMap<&'static str, Vec<String>>>,
    rounds: Mutex<BTreeMap<&'static str, u64>>,
    stop: AtomicBool,
}

impl Violations {
    fn add(&self, workload: &'static str, text: String) {
        self.texts.lock().unwrap().entry(workload).or_default().push(text);
    }
    fn round(&self, workload: &'static str) {
        *self.rounds.lock().unwrap().entry(workload).or_default() += 1;
    }
}

impl Worker<'_> {
    fn goes_on(&self) -> bool {
        Instant::now() < self.end && !self.seen.stop.load(Ordering::Relaxed)
    }
    fn pipeline(&mut self, commands: &[Vec<String>]) -> Vec<Reply> {
        self.client.pipeline(commands).unwrap()
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(String::from).collect()
}

type Workload = fn(&mut Worker);

/// Each with the number of its connections.
const WORKLOADS: [(Workload, usize); 11] = [
    (pipelines, 6),
    (causes_write, 4),
    (causes_read, 6),
    (rows::write, PAIRS),
    (rows::read, 3),
    (wholes_write, 4),
    (wholes_read, 4),
    (counters, 6),
    (strangers, 2),
    (transfers::write, 4),
    (transfers::read, 3),
];

/// Those of them that are well when their commands go to several connections: no transactions.
const SCATTERED: &[(Workload, usize)] = WORKLOADS.split_at(9).0;

/// Runs all workloads at once for that long.
fn run(port: u16, seed: u64, time: Duration) -> Violations {
    run_some(&WORKLOADS, port, seed, time)
}

fn run_some(workloads: &[(Workload, usize)], port: u16, seed: u64, time: Duration) -> Violations {
    let seen = Violations::default();
    let end = Instant::now() + time;
    let mut client = Client::connect(port).unwrap();
    for pair in 0..RENAMED {
        client.line(&format!("SET here:{pair} token"));
        client.line(&format!("SADD in:{pair} token"));
    }
    thread::scope(|scope| {
        for (number, (workload, connections)) in workloads.iter().enumerate() {
            for index in 0..*connections {
                let random = fastrand::Rng::with_seed(seed ^ (number * 100 + index) as u64);
                let client = Client::connect(port).unwrap();
                let mut worker = Worker { client, random, index, port, end, seen: &seen };
                scope.spawn(move || workload(&mut worker));
            }
        }
    });
    counters_add_up(&mut client, &seen);
    seen
}

/// One connection, every reply foretold.
fn pipelines(worker: &mut Worker) {
    let mut model: BTreeMap<String, String> = BTreeMap::new();
    while worker.goes_on() {
        let (mut commands, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..worker.random.usize(1..150) {
            let key = format!("own:{}:{}", worker.index, worker.random.u8(..40));
            let value = worker.random.u32(..1000).to_string();
            let old = model.get(&key).cloned();
            let bulk = |text: Option<String>| text.map_or(Reply::Nil, |t| Reply::Bulk(t.into()));
            let (line, reply) = match worker.random.u8(..7) {
                0 => {
                    model.insert(key.clone(), value.clone());
                    (format!("SET {key} {value}"), Reply::Simple("OK".into()))
                }
                1 => {
                    model.insert(key.clone(), value.clone());
                    (format!("GETSET {key} {value}"), bulk(old))
                }
                2 => {
                    let text = old.unwrap_or_default() + &value;
                    // Long enough to be cut short again by a later SET.
                    let length = text.len() as i64;
                    model.insert(key.clone(), text);
                    (format!("APPEND {key} {value}"), Reply::Integer(length))
                }
                3 => {
                    let gone = model.remove(&key).is_some();
                    (format!("DEL {key}"), Reply::Integer(i64::from(gone)))
                }
                4 => (format!("PING {value}"), Reply::Bulk(value.into())),
                _ => (format!("GET {key}"), bulk(old)),
            };
            commands.push(words(&line));
            expected.push(reply);
        }
        let replies = worker.pipeline(&commands);
        for ((command, want), got) in commands.iter().zip(&expected).zip(&replies) {
            if want != got {
                let text = format!("{}: {got:?}, not {want:?}", shown(command));
                worker.seen.add("pipelines", text);
            }
        }
        worker.seen.round("pipelines");
    }
}

/// How many pairs of cause and effect each writer keeps going.
const PAIRS: usize = 4;

/// First the job, then the flag that says so; the number only grows.
fn causes_write(worker: &mut Worker) {
    let mut number = 0;
    while worker.goes_on() {
        number += 1;
        let mut commands = Vec::new();
        for _ in 0..worker.random.usize(1..12) {
            let pair = worker.random.usize(..PAIRS);
            let id = format!("{}:{pair}", worker.index);
            commands.push(words(&format!("SET job:{id} {number}")));
            commands.push(words(&format!("SET flag:{id} {number}")));
        }
        worker.pipeline(&commands);
    }
}

/// Whoever sees the flag must see the job.
fn causes_read(worker: &mut Worker) {
    let mut other = Client::connect(worker.port).unwrap();
    while worker.goes_on() {
        let id = format!("{}:{}", worker.random.usize(..4), worker.random.usize(..PAIRS));
        let (flag, job) = (words(&format!("GET flag:{id}")), words(&format!("GET job:{id}")));
        let (how, flag, job) = if worker.random.bool() {
            let replies = worker.pipeline(&[flag, job]);
            ("GET flag, GET job in one pipeline", replies[0].number(), replies[1].number())
        } else {
            let flag = worker.client.call(&flag).number();
            ("the flag here, then the job there", flag, other.call(&job).number())
        };
        if job < flag {
            worker.seen.add("causes", format!("{how}: {id} flag {flag:?}, job {job:?}"));
        }
        worker.seen.round("causes");
    }
}

/// Keys that are written together, and pairs that tokens are renamed between.
const TOGETHER: usize = 8;
const RENAMED: usize = 4;

fn together(prefix: &str) -> Vec<String> {
    (0..TOGETHER).map(|index| format!("{prefix}:{index}")).collect()
}

/// Commands over all shards, alone and in pipelines.
fn wholes_write(worker: &mut Worker) {
    while worker.goes_on() {
        let mut commands = Vec::new();
        for _ in 0..worker.random.usize(1..8) {
            let value = worker.random.u32(..).to_string();
            let mut keys = together(if worker.random.bool() { "all" } else { "new" });
            let valued = |name: &str, keys: &[String]| {
                let pairs = keys.iter().flat_map(|key| [key.clone(), value.clone()]);
                [name.to_string()].into_iter().chain(pairs).collect::<Vec<_>>()
            };
            worker.random.shuffle(&mut keys);
            let pair = worker.random.usize(..RENAMED);
            let (from, to) = if worker.random.bool() { ("in", "out") } else { ("out", "in") };
            commands.push(words(&format!("SMOVE {from}:{pair} {to}:{pair} token")));
            commands.push(match (worker.random.u8(..4), keys[0].starts_with("all")) {
                (0, _) => words(&format!("RENAME here:{pair} there:{pair}")),
                (1, _) => words(&format!("RENAME there:{pair} here:{pair}")),
                (_, true) => valued("MSET", &keys),
                (2, false) => valued("MSETNX", &keys),
                (_, false) => [vec!["DEL".to_string()], keys].concat(),
            });
        }
        worker.pipeline(&commands);
    }
}

/// Nobody may see a part.
fn wholes_read(worker: &mut Worker) {
    while worker.goes_on() {
        let all = [vec!["MGET".to_string()], together("all")].concat();
        let new = [vec!["EXISTS".to_string()], together("new")].concat();
        let pair = worker.random.usize(..RENAMED);
        let renamed = words(&format!("EXISTS here:{pair} there:{pair}"));
        let moved = words(&format!("SUNION in:{pair} out:{pair}"));
        let replies = worker.pipeline(&[all, new, renamed, moved]);
        let values = replies[0].members();
        if values.iter().any(|value| value != &values[0]) {
            worker
                .seen
                .add("wholes", format!("MGET saw a part of an MSET: {}", shown_values(values)));
        }
        if ![Some(0), Some(TOGETHER as i64)].contains(&replies[1].number()) {
            let text = format!("EXISTS saw a part of MSETNX or DEL: {:?}", replies[1]);
            worker.seen.add("wholes", text);
        }
        if replies[2] != Reply::Integer(1) {
            worker.seen.add("wholes", format!("RENAME: {:?} of two exist", replies[2]));
        }
        if replies[3].members().len() != 1 {
            worker.seen.add("wholes", format!("SMOVE: {:?} of one token", replies[3]));
        }
        worker.seen.round("wholes");
    }
}

fn shown_values(values: &[Reply]) -> String {
    values.iter().map(Reply::printed).collect::<Vec<_>>().join(" ")
}

const COUNTERS: usize = 16;

/// Every number of a counter is answered once; for one connection they only grow.
fn counters(worker: &mut Worker) {
    let mut last = [0; COUNTERS];
    let mut added = [0; COUNTERS];
    while worker.goes_on() {
        let which: Vec<usize> =
            (0..worker.random.usize(1..60)).map(|_| worker.random.usize(..COUNTERS)).collect();
        let commands: Vec<_> = which.iter().map(|i| words(&format!("INCR count:{i}"))).collect();
        for (index, reply) in which.iter().zip(worker.pipeline(&commands)) {
            let number = reply.number().unwrap_or_default();
            if number <= last[*index] {
                let text = format!("INCR count:{index} gave {number} after {}", last[*index]);
                worker.seen.add("counters", text);
            }
            last[*index] = number;
            added[*index] += 1;
        }
        worker.seen.round("counters");
    }
    for (index, added) in added.iter().enumerate() {
        worker.client.line(&format!("INCRBY expected:{index} {added}"));
    }
}

fn counters_add_up(client: &mut Client, seen: &Violations) {
    for index in 0..COUNTERS {
        let count = client.line(&format!("GET count:{index}")).number();
        let expected = client.line(&format!("GET expected:{index}")).number();
        if count != expected {
            seen.add("counters", format!("count:{index} is {count:?}, answered {expected:?}"));
        }
    }
}

/// Connections that come and go, and commands over everything, so that lending meets them.
fn strangers(worker: &mut Worker) {
    while worker.goes_on() {
        let mut client = Client::connect(worker.port).unwrap();
        client.line("DBSIZE");
        client.line(&format!("SET stranger:{} x PX 5", worker.random.u8(..)));
        worker.seen.round("strangers");
    }
}

fn report(seen: &Violations) -> String {
    let mut text = format!("rounds: {:?}\n", seen.rounds.lock().unwrap());
    for (workload, texts) in seen.texts.lock().unwrap().iter() {
        let first = texts[..texts.len().min(3)].join("\n  ");
        text += &format!("{workload}: {} violations\n  {first}\n", texts.len());
    }
    text
}

/// Nothing was seen that may not be, and every workload did something.
fn assert_clean(seen: &Violations) {
    println!("{}", report(seen));
    assert!(seen.texts.lock().unwrap().is_empty(), "{}", report(seen));
    assert_eq!(seen.rounds.lock().unwrap().len(), 7, "a workload did nothing");
}

fn run_time() -> Duration {
    Duration::from_secs(env_number("TROUPE_ORDER_SECONDS", 10))
}

fn holds_over(shards: usize) {
    let server = Options::shards(shards).start();
    assert_clean(&run(server.port, seed("order"), run_time()));
}

#[test]
fn order_and_atomicity_hold_over_two_shards() {
    holds_over(2);
}

#[test]
fn order_and_atomicity_hold_over_four_shards() {
    holds_over(4);
}

/// Runs the workloads, a second at a time, until each of these texts was seen. Chance decides which
/// mixture a reader meets; twenty runs without one would be a blind test. Returns which workloads
/// saw something.
fn until_noticed(
    name: &str,
    chosen: &[(Workload, usize)],
    (server, port): (&Server, u16),
    texts: &[&str],
) -> BTreeSet<&'static str> {
    let mut missing = texts.to_vec();
    let mut workloads = BTreeSet::new();
    for _ in 0..20 {
        server.client().line("FLUSHALL");
        let seen = run_some(chosen, port, seed(name), Duration::from_secs(1));
        println!("{}", report(&seen));
        let texts = seen.texts.lock().unwrap();
        workloads.extend(texts.keys().copied());
        missing.retain(|text| !texts.values().flatten().any(|seen| seen.contains(text)));
        if missing.is_empty() {
            return workloads;
        }
    }
    panic!("{name}: not noticed: {missing:?}");
}

/// The workloads find what they are made to find.
#[test]
fn a_scattering_proxy_is_noticed() {
    let Some(oracle) = Oracle::Redis.start() else { return };
    let port = scatter::start(oracle.port);
    let texts = ["flag", "MGET saw", "EXISTS saw"];
    until_noticed("scatter", SCATTERED, (&oracle, port), &texts);
}

/// Our own server with a promise broken on purpose: the workload of that promise sees it, no other
/// does, and when the promise is kept again nobody sees anything.
fn is_noticed(switch: &str, text: &str, workload: &str) {
    for shards in [2, 4] {
        let server = Options::shards(shards).debug().start();
        assert!(server.client().line(&format!("DEBUG {switch} yes")).is_ok());
        let workloads = until_noticed(switch, &WORKLOADS, (&server, server.port), &[text]);
        assert_eq!(workloads, BTreeSet::from([workload]), "{shards} shards");
        assert!(server.client().line(&format!("DEBUG {switch} no")).is_ok());
        server.client().line("FLUSHALL");
        assert_clean(&run(server.port, seed("kept again"), Duration::from_secs(2)));
    }
}

#[test]
fn a_server_that_breaks_the_order_is_noticed() {
    is_noticed("BREAK-ORDER", "flag", "causes");
}

#[test]
fn a_server_that_cuts_commands_is_noticed() {
    is_noticed("BREAK-ATOMICITY", "MGET saw", "wholes");
}

/// Slots that change their shard all the time, under the same workloads: nothing is lost, nothing
/// comes out of order, and nobody sees a part.
fn holds_while_slots_move(shards: u8) {
    let server = Options::shards(shards.into()).journal("everysec").debug().start();
    let seed = seed("moves");
    let stop = AtomicBool::new(false);
    let (seen, moves) = std::thread::scope(|scope| {
        let mover = scope.spawn(|| move_slots(server.port, seed, shards, &stop));
        let stopper = StopAtEnd(&stop);
        let seen = run(server.port, seed, run_time());
        drop(stopper);
        (seen, mover.join().unwrap())
    });
    println!("{moves} moves");
    assert_clean(&seen);
    assert!(moves > 100, "only {moves} moves");
}

#[test]
fn order_and_atomicity_hold_while_slots_move_between_two() {
    holds_while_slots_move(2);
}

#[test]
fn order_and_atomicity_hold_while_slots_move_among_four() {
    holds_while_slots_move(4);
}

/// Moves the slots of keys that the workloads use to and fro. Returns how often.
fn move_slots(port: u16, seed: u64, shards: u8, stop: &AtomicBool) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut client = Client::connect(port).unwrap();
    let mut moves = 0;
    while !stop.load(Ordering::Relaxed) {
        let number = random.usize(..8);
        let kinds = ["list", "stream", "zset", "hash"];
        let key = match random.u8(..9) {
            0 => format!("own:{number}:{}", random.u8(..40)),
            1 => format!("job:{}:{}", number % 4, random.usize(..PAIRS)),
            2 => format!("all:{number}"),
            3 => format!("new:{number}"),
            4 => format!("here:{}", number % RENAMED),
            5 => format!("in:{}", number % RENAMED),
            6 => transfers::account(number % transfers::ACCOUNTS),
            7 => format!("row:{}:{}", kinds[random.usize(..4)], number % PAIRS),
            _ => format!("count:{number}"),
        };
        let line = format!("DEBUG MOVE-SLOT {} {}", slot(&key), random.u8(..shards));
        let reply = client.line(&line);
        assert!(reply.is_ok(), "{line}: {reply:?}");
        moves += 1;
    }
    moves
}

/// The slot of a key without a hash tag: CRC16 in its XMODEM form, modulo 16384.
pub fn slot(key: &str) -> u16 {
    let crc = key.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    });
    crc % 16_384
}
