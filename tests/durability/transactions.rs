//! Transactions over all shards, and clients that wait for what they push, when the process dies: a
//! transaction is there whole or not at all, an item is at one place, and nothing that was
//! acknowledged is lost.
//!
//! Each transaction adds one to eight keys and pushes its number to three queues. From `left` and
//! `right` clients move what comes to other lists (BLMOVE), from `out` they take it (BLPOP). So the
//! first two tell the same story, in the order of each pusher, and the third one may lack only what
//! was on its way to a client.
//!
//! `TROUPE_KILL_ROUNDS` is explained one level up; here are a third of them with two and with four
//! shards.

use std::collections::BTreeSet;
use std::thread;

use super::{a_moment, rounds};
use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::seed;
use crate::support::server::{Options, Server};

/// Clients that make transactions.
const PUSHERS: usize = 4;

/// Clients that wait, for each queue.
const TAKERS: usize = 2;

/// Keys that each transaction adds one to.
const COUNTERS: usize = 8;

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// The transaction of a pusher with that number, in that round.
fn transaction(round: u64, pusher: usize, number: usize) -> Vec<Vec<String>> {
    let mut lines = vec!["MULTI".to_owned()];
    lines.extend((0..COUNTERS).map(|counter| format!("INCR whole:{counter}")));
    let queues = ["left", "right", "out"];
    lines.extend(queues.map(|queue| format!("RPUSH {queue}:{round} {pusher}:{number}")));
    // In every second one the server performs something in between.
    if number.is_multiple_of(2) {
        lines.insert(5, "CONFIG GET hz".to_owned());
    }
    lines.push("EXEC".to_owned());
    lines.iter().map(|line| words(line)).collect()
}

/// Makes transactions until the server dies. Returns how many were answered.
fn push(port: u16, round: u64, pusher: usize) -> usize {
    let Ok(mut client) = Client::connect(port) else { return 0 };
    let mut answered = 0;
    while client.pipeline(&transaction(round, pusher, answered + 1)).is_ok() {
        answered += 1;
    }
    answered
}

/// Waits again and again until the server dies. Returns the items that it got.
fn take(port: u16, line: &str) -> Vec<String> {
    let Ok(mut client) = Client::connect(port) else { return Vec::new() };
    let mut got = Vec::new();
    while let Ok(reply) = client.try_call(&words(line)) {
        let item = if line.starts_with("BLPOP") { &reply.members()[1] } else { &reply };
        got.push(item.text());
    }
    got
}

/// What clients were told in one round.
struct Told {
    /// How many transactions of each pusher were answered.
    answered: Vec<usize>,
    /// Items that were moved, from either queue.
    moved: [Vec<String>; 2],
    /// Items that were taken out.
    out: Vec<String>,
}

/// Lets all of them work until the server is killed, after a moment.
fn work_until_killed(server: &mut Server, round: u64, random: &mut fastrand::Rng) -> Told {
    let port = server.port;
    thread::scope(|scope| {
        let takers = |line: String| {
            let start = |_| {
                let line = line.clone();
                scope.spawn(move || take(port, &line))
            };
            (0..TAKERS).map(start).collect::<Vec<_>>()
        };
        let moves = ["left", "right"].map(|queue| {
            takers(format!("BLMOVE {queue}:{round} {queue}:{round}:moved LEFT RIGHT 0"))
        });
        let outs = takers(format!("BLPOP out:{round} 0"));
        let pushers = (0..PUSHERS).map(|pusher| scope.spawn(move || push(port, round, pusher)));
        let pushers: Vec<_> = pushers.collect();
        a_moment(random);
        server.kill();
        let got = |takers: Vec<thread::ScopedJoinHandle<'_, Vec<String>>>| -> Vec<String> {
            takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
        };
        Told {
            answered: pushers.into_iter().map(|pusher| pusher.join().unwrap()).collect(),
            moved: moves.map(got),
            out: got(outs),
        }
    })
}

fn list(client: &mut Client, key: &str) -> Vec<String> {
    client.line(&format!("LRANGE {key} 0 -1")).members().iter().map(Reply::text).collect()
}

/// All that was pushed in a round, as one of the queues that are moved tells it. Items that were
/// `moved` are at their new place.
fn story(client: &mut Client, queue: &str, moved: &[String]) -> Vec<String> {
    let [old, new] = [queue, &format!("{queue}:moved")].map(|key| list(client, key));
    for item in moved {
        assert!(new.contains(item), "{queue}: {item} was moved");
    }
    [new, old].concat()
}

/// No item is there twice, none is missing, and those of a pusher are in order. Returns how many
/// transactions of each pusher are there.
fn numbers(pushed: &[String]) -> Vec<usize> {
    let of_pusher = |pusher| {
        let prefix = format!("{pusher}:");
        let numbers = pushed.iter().filter_map(|item| item.strip_prefix(&prefix));
        let numbers: Vec<usize> = numbers.map(|number| number.parse().unwrap()).collect();
        assert!(numbers.iter().copied().eq(1..=numbers.len()), "pusher {pusher}: {numbers:?}");
        numbers.len()
    };
    (0..PUSHERS).map(of_pusher).collect()
}

/// Compares what is there after a round with what clients were told. With `everysec` the end of it
/// may be missing. Returns how many transactions are there.
fn verify(client: &mut Client, round: u64, told: &Told, is_durable: bool) -> usize {
    let moved = |queue: usize| if is_durable { &told.moved[queue][..] } else { &[] };
    let left = story(client, &format!("left:{round}"), moved(0));
    let right = story(client, &format!("right:{round}"), moved(1));
    let (there, answered) = (numbers(&left), &told.answered);
    assert_eq!(numbers(&right), there, "half a transaction is there");
    for (there, answered) in there.iter().zip(answered) {
        assert!(*there <= answered + 1, "{there} are there, {answered} were answered");
        assert!(!is_durable || there >= answered, "{there} are there, {answered} were answered");
    }
    let rest = list(client, &format!("out:{round}"));
    let (pushed, kept) = (set(&left), set(&rest));
    assert!(kept.len() == rest.len() && kept.is_subset(&pushed), "more than was pushed: {rest:?}");
    if is_durable {
        let out = set(&told.out);
        assert_eq!(out.len(), told.out.len(), "two clients got the same: {:?}", told.out);
        assert!(out.is_disjoint(&kept), "what a client got is there again");
        let on_its_way = pushed.len() - out.len() - kept.len();
        assert!(on_its_way <= TAKERS, "{on_its_way} are with no client, and not there");
    }
    left.len()
}

fn set(items: &[String]) -> BTreeSet<&String> {
    items.iter().collect()
}

fn kill_rounds(shards: usize, fsync: &str, rounds: u64) {
    let mut random = fastrand::Rng::with_seed(seed("kill transactions"));
    let mut server = Options::shards(shards).journal(fsync).start();
    let (mut total, mut taken) = (0, 0);
    for round in 0..rounds {
        println!("{shards} shards, {fsync}, round {round}");
        let told = work_until_killed(&mut server, round, &mut random);
        server.restart();
        let mut client = server.client();
        total += verify(&mut client, round, &told, fsync == "always");
        taken += told.moved.iter().chain([&told.out]).map(Vec::len).sum::<usize>();
        for counter in 0..COUNTERS {
            let count = client.line(&format!("GET whole:{counter}")).number().unwrap_or_default();
            assert_eq!(count, total as i64, "whole:{counter}: half a transaction is there");
        }
    }
    println!(
        "{rounds} kills, {shards} shards, {fsync}: {total} transactions, {taken} waits served"
    );
    assert!(total > 50 && taken > 50, "the load was too light to prove anything: {total}, {taken}");
}

#[test]
fn a_transaction_outlasts_a_kill_whole_or_not_at_all_on_one_shard() {
    kill_rounds(1, "always", rounds().div_ceil(12));
}

#[test]
fn a_transaction_outlasts_a_kill_whole_or_not_at_all_on_two_shards() {
    kill_rounds(2, "always", rounds().div_ceil(3));
}

#[test]
fn a_transaction_outlasts_a_kill_whole_or_not_at_all_on_four_shards() {
    kill_rounds(4, "always", rounds().div_ceil(3));
}

#[test]
fn a_transaction_outlasts_a_kill_whole_or_not_at_all_with_everysec() {
    kill_rounds(4, "everysec", rounds().div_ceil(12));
}
