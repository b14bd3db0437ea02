//! The simulator: clients, connections, shards, router, writer and a disk in one process, on one
//! thread, driven by one seed.
//!
//! It runs the code of the core that the server runs; what actors, sockets, clocks and files do is
//! done here, in an order that chance picks, and goes wrong as chance has it. The same seed gives
//! the same run, to the last byte of its trace. What must hold is in `checks`. A run that breaks a
//! promise is made smaller, and the command is printed that replays it with a trace.
//!
//! In half of the runs clients publish and subscribe, and most of them cache keys and are told when
//! those change. Patterns, channels of shards, CLIENT CACHING and REDIRECT are not called for.
//!
//! In half of them clients run scripts, by text and by digest, and end those of others. Functions
//! are not called.
//!
//! In a quarter of them the server has one or two replicas, of which the second may follow the
//! first. Their links are cut at any byte, they are killed, their shards panic, and the server
//! itself comes back as one that knows nothing of its stream. Half of the replicas have a journal,
//! and lose power as well. In some runs one of them is made a primary, in the midst of writes that
//! it may not have or when it has all: clients write to it, and the others and the old primary
//! follow it.
//!
//! Left out, since the core leaves it to the shell: TLS, and what the server performs but for what
//! is about scripts and replicas.
//!
//! Environment:
//! - `TROUPE_SIMULATOR_SEEDS`: how many seeds (20);
//! - `TROUPE_SIMULATOR_FIRST`: the first of them (0);
//! - `TROUPE_SIMULATOR_PLAN`: one plan, as a failure prints it, to be replayed with a trace;
//! - `TROUPE_SIMULATOR_SHRINK`: `no` leaves a failure as large as it is.

// A test dies to say something, and stands outside of the time that it simulates.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]
#![allow(unreachable_pub)]

mod author;
mod checks;
mod client;
mod connection;
mod context;
#[allow(dead_code, reason = "unit tests of the core use it as well")]
mod disk;
mod engine;
mod follower;
mod journaled;
mod link;
mod memory;
mod mirror;
mod model;
mod performance;
mod plan;
mod post;
mod rare;
mod reader;
mod replicas;
mod reply;
mod router;
mod saver;
mod scripts;
mod shrink;
mod socket;
mod start;
mod tender;
mod thread;
mod trace;
mod upstream;
mod witness;
mod workload;
mod world;
mod writer;

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use plan::Plan;
use rare::Counts;
use world::Outcome;

/// A batch of so many seeds has to meet every rare state.
const SEEDS_FOR_ALL: u64 = 2_000;

/// How a run is replayed.
const COMMAND: &str = "cargo test -p troupe --profile simulator --test simulator seeds -- \
                       --nocapture";

/// Panics that are wanted say nothing.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_wanted =
                |text: &str| text.starts_with(witness::WANTED) || text.starts_with("DEBUG");
            let text = panic.payload_as_str();
            if !text.is_some_and(is_wanted) {
                loud(panic);
            }
        }));
    });
}

fn number(name: &str, otherwise: u64) -> u64 {
    let word = std::env::var(format!("TROUPE_SIMULATOR_{name}"));
    word.map_or(otherwise, |word| word.parse().expect("that is a number"))
}

/// Runs seeds on all cores; the first that breaks a promise, and what all came to.
fn run_all(first: u64, seeds: u64) -> (Option<(Plan, Outcome)>, Counts, u64) {
    let (next, bad) = (AtomicU64::new(first), AtomicU64::new(u64::MAX));
    let work = || {
        let (mut worst, mut rare, mut calls) = (None, Counts::default(), 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds || seed > bad.load(Ordering::Relaxed) {
                return (worst, rare, calls);
            }
            let plan = Plan::of(seed);
            let outcome = world::run(&plan, false);
            rare.add(&outcome.rare);
            calls += outcome.calls;
            if outcome.broken.is_some() {
                bad.fetch_min(seed, Ordering::Relaxed);
                worst = Some((plan, outcome));
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let done: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker ends")).collect()
    });
    let (mut worst, mut rare, mut calls) = (None, Counts::default(), 0);
    for (one, its, more) in done {
        rare.add(&its);
        calls += more;
        worst = [worst, one].into_iter().flatten().min_by_key(|(plan, _): &(Plan, _)| plan.seed);
    }
    (worst, rare, calls)
}

/// Tells how a failure is replayed, as small as it can be made.
fn explain(plan: &Plan, outcome: &Outcome) -> String {
    let fails = |plan: &Plan| world::run(plan, false).broken.is_some();
    let is_shrunk = std::env::var("TROUPE_SIMULATOR_SHRINK").as_deref() != Ok("no");
    let small = if is_shrunk { shrink::shrink(plan, fails) } else { plan.clone() };
    let why = world::run(&small, false).broken.unwrap_or_default();
    let broken = outcome.broken.as_deref().unwrap_or_default();
    format!(
        "seed {}: {broken}\nsmaller: {why}\nreplay it:\n  TROUPE_SIMULATOR_PLAN={small} {COMMAND}",
        plan.seed
    )
}

#[test]
fn seeds_break_no_promise() {
    hush();
    if let Ok(text) = std::env::var("TROUPE_SIMULATOR_PLAN") {
        let outcome = world::run(&Plan::parse(&text).expect("that is a plan"), true);
        assert_eq!(outcome.broken, None, "{text}");
        return;
    }
    let (first, seeds) = (number("FIRST", 0), number("SEEDS", 20));
    let began = Instant::now();
    let (worst, rare, calls) = run_all(first, seeds);
    let seconds = began.elapsed().as_secs_f64();
    if let Some((plan, outcome)) = worst {
        panic!("{}", explain(&plan, &outcome));
    }
    let rate = calls as f64 / seconds;
    eprintln!("{seeds} seeds, {calls} calls in {seconds:.1} s, {rate:.0} a second\n{rare}");
    let never = rare.never();
    assert!(seeds < SEEDS_FOR_ALL || never.is_empty(), "never met: {never:?}");
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    hush();
    let with_replicas = (0..).map(Plan::of).filter(|plan| plan.replicas > 0).take(2);
    for plan in (0..3).map(Plan::of).chain(with_replicas) {
        assert_eq!(world::run(&plan, false).trace, world::run(&plan, false).trace, "{plan}");
    }
}
