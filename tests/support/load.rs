//! Writers that know what they were promised: each keeps, for every key of its own, the newest
//! value that was acknowledged and the newest that was sent. After a crash the value must lie
//! between.
//!
//! One round is one pipeline: single keys, a pair that is written as one command over two slots, a
//! counter, and a token renamed to and fro. A half-done command shows as an unequal pair or as a
//! token that exists twice or not at all.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::client::Client;
use super::reply::Reply;

/// What is known of one number in the store.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acked: i64,
    sent: i64,
}

/// An error reply, and the key of the command that it answers.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The only key of the command, where the refusal is about that key; nothing otherwise.
    pub key: Option<String>,
    round: i64,
    /// The error's text.
    pub text: String,
}

/// One writer with keys of its own.
#[derive(Debug)]
pub struct Writer {
    id: usize,
    round: i64,
    keys: BTreeMap<String, Known>,
    pair: Known,
    counter: Known,
    /// Error replies since the writer was made.
    pub refused: Vec<Refused>,
    /// Acknowledged commands since the writer was made.
    pub acknowledged: u64,
}

/// Single keys of a writer: enough for all shards to have some.
const KEYS: i64 = 24;
/// Single keys written in one round.
const BURST: i64 = 6;

impl Writer {
    /// The writer of that number; its keys are `w<id>:...`.
    pub fn new(id: usize) -> Writer {
        let (pair, counter) = (Known::default(), Known::default());
        let (keys, refused) = (BTreeMap::new(), Vec::new());
        Writer { id, round: 0, keys, pair, counter, refused, acknowledged: 0 }
    }

    fn commands(&mut self) -> Vec<Vec<String>> {
        let (id, round) = (self.id, self.round);
        let mut lines = Vec::new();
        for step in 0..BURST {
            let key = format!("w{id}:{}", (round * BURST + step) % KEYS);
            self.keys.entry(key.clone()).or_default().sent = round;
            lines.push(format!("SET {key} {round}"));
        }
        self.pair.sent = round;
        self.counter.sent += 1;
        lines.push(format!("MSET w{id}:left {round} w{id}:right {round}"));
        lines.push(format!("INCR w{id}:count"));
        let (from, to) = if round % 2 == 0 { ("even", "odd") } else { ("odd", "even") };
        lines.push(format!("RENAME w{id}:{from} w{id}:{to}"));
        lines.iter().map(|line| line.split(' ').map(String::from).collect()).collect()
    }

    /// Puts the token down, once, before the first run.
    pub fn prepare(&self, client: &mut Client) {
        client.line(&format!("SET w{}:even token", self.id));
    }

    /// Writes until told to stop (then `Ok`), or until the connection fails.
    pub fn run(&mut self, client: &mut Client, stop: &AtomicBool) -> io::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.round += 1;
            let commands = self.commands();
            for command in &commands {
                client.send(command)?;
            }
            // From the first -LOADING or -MISCONF on, the rest of a batch is refused too, whatever
            // its shard: only the first refusal says something about its own key.
            let mut blamed = false;
            for command in &commands {
                let reply = client.read()?;
                self.note(command, reply, blamed);
                blamed |= self.refused.last().is_some_and(|refused| refused.round == self.round);
            }
        }
        Ok(())
    }

    fn note(&mut self, command: &[String], reply: Reply, blamed: bool) {
        if let Reply::Error(text) = reply {
            // A token whose last move is not known may stand at the other place.
            let moved = command[0] == "RENAME" && text.contains("no such key");
            if !moved {
                let single = command[0] == "SET" || command[0] == "INCR";
                let key = (single && !blamed).then(|| command[1].clone());
                self.refused.push(Refused { key, text, round: self.round });
            }
            return;
        }
        self.acknowledged += 1;
        match command[0].as_str() {
            "SET" => self.keys.entry(command[1].clone()).or_default().acked = self.round,
            "MSET" => self.pair.acked = self.round,
            "INCR" => self.counter.acked += 1,
            _ => {}
        }
    }

    /// Compares the store with what was promised, and takes what is there as the new start.
    pub fn verify(&mut self, client: &mut Client) -> Result<(), String> {
        let id = self.id;
        for (key, known) in &mut self.keys {
            let value = client.line(&format!("GET {key}")).number().unwrap_or(0);
            known.check(key, value)?;
        }
        let pair = client.line(&format!("MGET w{id}:left w{id}:right"));
        let (left, right) = (pair.members()[0].number(), pair.members()[1].number());
        if left != right {
            return Err(format!("w{id}: half an MSET is there: {left:?} and {right:?}"));
        }
        self.pair.check(&format!("w{id}:left"), left.unwrap_or(0))?;
        let count = client.line(&format!("GET w{id}:count")).number().unwrap_or(0);
        self.counter.check(&format!("w{id}:count"), count)?;
        let tokens = client.line(&format!("EXISTS w{id}:even w{id}:odd"));
        if tokens != Reply::Integer(1) {
            return Err(format!("w{id}: half a RENAME is there: {tokens:?} tokens"));
        }
        Ok(())
    }
}

impl Known {
    fn check(&mut self, key: &str, value: i64) -> Result<(), String> {
        if value < self.acked {
            return Err(format!("{key}: {} was acknowledged, {value} is there", self.acked));
        }
        if value > self.sent {
            return Err(format!("{key}: {value} is there, only {} was sent", self.sent));
        }
        *self = Known { acked: value, sent: value };
        Ok(())
    }
}

/// Runs all writers on connections of their own while `meanwhile` does its worst, then stops them.
/// Connections that fail end their writer's run; how many did is the answer.
pub fn under_load<T>(
    port: u16,
    writers: &mut [Writer],
    meanwhile: impl FnOnce() -> T,
) -> (T, usize) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for writer in writers {
            let mut client = Client::connect(port).unwrap();
            let stop = &stop;
            running.push(scope.spawn(move || writer.run(&mut client, stop).is_err()));
        }
        let stopper = super::wait::StopAtEnd(&stop);
        let outcome = meanwhile();
        drop(stopper);
        let failed = running.into_iter().map(|thread| thread.join().unwrap());
        (outcome, failed.filter(|failed| *failed).count())
    })
}
