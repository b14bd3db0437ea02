//! Clients that push by transactions over all shards, and clients that wait for what is pushed; and
//! what must be there behind a fault: a transaction whole or not at all, an item at one place.
//!
//! Each transaction adds one to eight keys and pushes its number to three queues. From `left` and
//! `right` clients move what comes to other lists (BLMOVE), from `out` they take it (BLPOP). So the
//! first two tell the same story, in the order of each pusher, and the third one lacks at most what
//! was on its way to a client.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};

use super::client::Client;
use super::reply::Reply;
use super::wait::StopAtEnd;

/// Clients that make transactions.
const PUSHERS: usize = 4;

/// Clients that wait, for each queue.
const TAKERS: usize = 2;

/// Keys that each transaction adds one to.
const COUNTERS: usize = 8;

/// How long they wait at most before they look whether all is over, in seconds.
const WAIT: &str = "0.1";

/// How a round has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All clients were answered.
    Answered,
    /// The process was killed. All that was acknowledged is there.
    Killed,
    /// The process was killed. The end of the journal may be missing.
    KilledWithLosses,
}

/// What clients were told in one round.
#[derive(Debug)]
pub struct Told {
    round: u64,
    /// How many transactions of each pusher were answered.
    answered: Vec<usize>,
    /// Items that were moved, from either queue.
    moved: [Vec<String>; 2],
    /// Items that were taken out.
    out: Vec<String>,
    /// Connections that have failed.
    pub failed: usize,
}

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

/// Makes transactions until told to stop, or until the connection fails. One that was refused is
/// made again. Counts in `answered` those that were made.
fn push(
    port: u16,
    (round, pusher): (u64, usize),
    answered: &mut usize,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut client = Client::connect(port)?;
    while !stop.load(Ordering::Relaxed) {
        let replies = client.pipeline(&transaction(round, pusher, *answered + 1))?;
        let is_made = replies.last().is_some_and(|exec| exec.error().is_none());
        *answered += usize::from(is_made);
    }
    Ok(())
}

/// Waits again and again until told to stop, or until the connection fails. Adds the items that it
/// gets to `got`.
fn take(port: u16, line: &str, got: &mut Vec<String>, stop: &AtomicBool) -> io::Result<()> {
    let mut client = Client::connect(port)?;
    while !stop.load(Ordering::Relaxed) {
        match client.try_call(&words(line))? {
            Reply::Array(pair) => got.push(pair[1].text()),
            Reply::Bulk(item) => got.push(String::from_utf8(item).unwrap()),
            _ => {}
        }
    }
    Ok(())
}

/// Lets all of them work until `meanwhile` is over.
pub fn work(port: u16, round: u64, meanwhile: impl FnOnce()) -> Told {
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        let takers = |line: String| -> Vec<_> {
            let start = |line: String| {
                scope.spawn(move || {
                    let mut got = Vec::new();
                    let has_failed = take(port, &line, &mut got, stop).is_err();
                    (got, has_failed)
                })
            };
            (0..TAKERS).map(|_| start(line.clone())).collect()
        };
        let moves = ["left", "right"].map(|queue| {
            takers(format!("BLMOVE {queue}:{round} {queue}:{round}:moved LEFT RIGHT {WAIT}"))
        });
        let outs = takers(format!("BLPOP out:{round} {WAIT}"));
        let start = |pusher| {
            scope.spawn(move || {
                let mut answered = 0;
                let has_failed = push(port, (round, pusher), &mut answered, stop).is_err();
                (answered, has_failed)
            })
        };
        let pushers: Vec<_> = (0..PUSHERS).map(start).collect();
        let stopper = StopAtEnd(stop);
        meanwhile();
        drop(stopper);
        let mut failed = 0;
        let answered = joined(pushers, &mut failed);
        let moved = moves.map(|takers| joined(takers, &mut failed).concat());
        let out = joined(outs, &mut failed).concat();
        Told { round, answered, moved, out, failed }
    })
}

/// What the threads come to; adds how many of them have failed.
fn joined<T>(threads: Vec<ScopedJoinHandle<'_, (T, bool)>>, failed: &mut usize) -> Vec<T> {
    let ended = threads.into_iter().map(|thread| thread.join().unwrap());
    ended
        .map(|(outcome, has_failed)| {
            *failed += usize::from(has_failed);
            outcome
        })
        .collect()
}

impl Told {
    /// How many waits were served.
    pub fn served(&self) -> usize {
        self.moved.iter().chain([&self.out]).map(Vec::len).sum()
    }

    /// Compares what is there behind the round with what clients were told. Returns how many
    /// transactions are there.
    pub fn verify(&self, client: &mut Client, end: End) -> usize {
        let (round, keeps_all) = (self.round, end != End::KilledWithLosses);
        let moved = |queue: usize| if keeps_all { &self.moved[queue][..] } else { &[] };
        let left = story(client, &format!("left:{round}"), moved(0));
        let right = story(client, &format!("right:{round}"), moved(1));
        let there = numbers(&left);
        assert_eq!(numbers(&right), there, "half a transaction is there");
        for (there, answered) in there.iter().zip(&self.answered) {
            let most = answered + usize::from(end != End::Answered);
            assert!(*there <= most, "{there} are there, {answered} were answered");
            assert!(!keeps_all || there >= answered, "{there} are there of {answered}");
        }
        let rest = list(client, &format!("out:{round}"));
        let (pushed, kept) = (set(&left), set(&rest));
        assert!(kept.len() == rest.len() && kept.is_subset(&pushed), "never pushed: {rest:?}");
        if keeps_all {
            let out = set(&self.out);
            assert_eq!(out.len(), self.out.len(), "two clients got the same: {:?}", self.out);
            assert!(out.is_disjoint(&kept), "what a client got is there again");
            let on_its_way = pushed.len() - out.len() - kept.len();
            let most = if end == End::Answered { self.failed } else { TAKERS };
            assert!(on_its_way <= most, "{on_its_way} are with no client, and not there");
        }
        left.len()
    }
}

/// What each of the counters shows.
pub fn counters(client: &mut Client) -> [i64; COUNTERS] {
    std::array::from_fn(|counter| {
        client.line(&format!("GET whole:{counter}")).number().unwrap_or_default()
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

fn set(items: &[String]) -> BTreeSet<&String> {
    items.iter().collect()
}
