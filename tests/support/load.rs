//! Writers that know what they were promised: each keeps, for every key of its own, the newest
//! value that was acknowledged and the newest that was sent. After a crash the value must lie
//! between. Where a crash may cost what was acknowledged, what is there must be what the first so
//! many commands of the connection have made, and how old the oldest lost reply is, is known.
//!
//! One round is one pipeline: single keys, a pair that is written as one command over two slots, a
//! counter, a token renamed to and fro and one moved between two sets, and a collection of every
//! type to which the number of the round is added. A half-done command shows as an unequal pair or
//! as a token that exists twice or not at all.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::client::Client;
use super::reply::Reply;

/// What is known of one number in the store: the round that wrote it, or of a counter how often it
/// was counted up.
#[derive(Clone, Copy, Debug)]
struct Known {
    acked: i64,
    sent: i64,
    /// What it was when the store was last looked at.
    base: i64,
    /// A round that writes it, and by how many it is apart from the next one.
    round: i64,
    every: i64,
    /// The place of its command in the round.
    place: usize,
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
    /// The round after which the store was last looked at.
    start: i64,
    keys: BTreeMap<String, Known>,
    /// When the run began, and when each round since the start was answered.
    answered: Vec<Instant>,
    /// Error replies since the writer was made.
    pub refused: Vec<Refused>,
    /// Acknowledged commands since the writer was made.
    pub acknowledged: u64,
}

/// Single keys of a writer: enough for all shards to have some.
const KEYS: i64 = 24;
/// Single keys written in one round.
const BURST: i64 = 6;
/// Elements that a collection keeps.
const KEPT: i64 = 40;
/// The commands that add to collections; their keys are named for them.
const ROWS: [&str; 5] = ["RPUSH", "HSET", "SADD", "ZADD", "XADD"];

impl Writer {
    /// The writer of that number; its keys are `w<id>:...`.
    pub fn new(id: usize) -> Writer {
        let (keys, answered, refused) = (BTreeMap::new(), Vec::new(), Vec::new());
        Writer { id, round: 0, start: 0, keys, answered, refused, acknowledged: 0 }
    }

    fn commands(&mut self) -> Vec<Vec<String>> {
        let (id, round) = (self.id, self.round);
        let mut lines = Vec::new();
        for step in 0..BURST {
            lines.push(format!("SET w{id}:{} {round}", (round * BURST + step) % KEYS));
        }
        lines.push(format!("MSET w{id}:left {round} w{id}:right {round}"));
        lines.push(format!("INCR w{id}:count"));
        let (from, to) = if round % 2 == 0 { ("even", "odd") } else { ("odd", "even") };
        lines.push(format!("RENAME w{id}:{from} w{id}:{to}"));
        lines.push(format!("SMOVE w{id}:in-{from} w{id}:in-{to} token"));
        lines.push(format!("RPUSH w{id}:RPUSH {round}"));
        lines.push(format!("LTRIM w{id}:RPUSH -{KEPT} -1"));
        lines.push(format!("HSET w{id}:HSET last {round} {} {round}", round % KEPT));
        lines.push(format!("SADD w{id}:SADD {round}"));
        lines.push(format!("SREM w{id}:SADD {}", round - KEPT));
        lines.push(format!("ZADD w{id}:ZADD {round} {}", round % KEPT));
        lines.push(format!("XADD w{id}:XADD MAXLEN = {KEPT} {round}-1 round {round}"));
        let split = |line: &String| line.split(' ').map(String::from).collect();
        let commands: Vec<Vec<String>> = lines.iter().map(split).collect();
        for (place, command) in commands.iter().enumerate().filter(|it| is_known(it.1)) {
            let every = if command[0] == "SET" { KEYS / BURST } else { 1 };
            let unknown = Known { acked: 0, sent: 0, base: 0, round, every, place };
            let known = self.keys.entry(command[1].clone()).or_insert(unknown);
            known.sent = if command[0] == "INCR" { known.sent + 1 } else { round };
        }
        commands
    }

    /// Puts the tokens down, once, before the first run.
    pub fn prepare(&self, client: &mut Client) {
        client.line(&format!("SET w{}:even token", self.id));
        client.line(&format!("SADD w{}:in-even token", self.id));
    }

    /// Writes until told to stop (then `Ok`), or until the connection fails.
    pub fn run(&mut self, client: &mut Client, stop: &AtomicBool) -> io::Result<()> {
        self.answered = vec![Instant::now()];
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
            self.answered.push(Instant::now());
        }
        Ok(())
    }

    fn note(&mut self, command: &[String], reply: Reply, blamed: bool) {
        if let Reply::Error(text) = reply {
            // A token whose last move is not known may stand at the other place.
            let moved = command[0] == "RENAME" && text.contains("no such key");
            if !moved {
                let single = !["MSET", "RENAME", "SMOVE"].contains(&command[0].as_str());
                let key = (single && !blamed).then(|| command[1].clone());
                self.refused.push(Refused { key, text, round: self.round });
            }
            return;
        }
        self.acknowledged += 1;
        if let Some(known) = self.keys.get_mut(&command[1]).filter(|_| is_known(command)) {
            known.acked = if command[0] == "INCR" { known.acked + 1 } else { self.round };
        }
    }

    /// Compares the store with what was promised, and takes what is there as the new start.
    pub fn verify(&mut self, client: &mut Client) -> Result<(), String> {
        let found = self.found(client)?;
        for (key, value) in &found {
            let acked = self.keys[key].acked;
            if *value < acked {
                return Err(format!("{key}: {acked} was acknowledged, {value} is there"));
            }
        }
        self.start_from(&found);
        Ok(())
    }

    /// The same where what came last may be lost: what is there has to be what the first so many
    /// commands have made. Returns by when the first reply had come whose command is lost.
    pub fn verify_first(&mut self, client: &mut Client) -> Result<Option<Instant>, String> {
        let found = self.found(client)?;
        let (mut there, mut missing) = ((0, 0, ""), (i64::MAX, 0, ""));
        let mut lost = None;
        for (key, value) in &found {
            let known = &self.keys[key];
            let round = if is_counter(key) { self.start + value - known.base } else { *value };
            let next = known.next_round(round.max(self.start));
            if round > self.start {
                there = there.max((round, known.place, key));
            }
            missing = missing.min((next, known.place, key));
            if *value < known.acked {
                lost = Some(lost.map_or(next, |first: i64| first.min(next)));
            }
        }
        if there >= missing {
            return Err(format!(
                "{there:?} is there, though {missing:?} is not: round, place, key"
            ));
        }
        // It had come behind all replies of the round before.
        let lost = lost.map(|round| self.answered[(round - self.start - 1) as usize]);
        self.start_from(&found);
        Ok(lost)
    }

    fn start_from(&mut self, found: &BTreeMap<String, i64>) {
        for (key, value) in found {
            let known = self.keys.get_mut(key).unwrap();
            (known.acked, known.sent, known.base) = (*value, *value, *value);
        }
        self.start = self.round;
        self.answered.clear();
    }

    /// What is there of each key: nothing half, and nothing that was not sent.
    fn found(&self, client: &mut Client) -> Result<BTreeMap<String, i64>, String> {
        let id = self.id;
        let mut found = BTreeMap::new();
        for (key, known) in &self.keys {
            let row = ROWS.iter().find(|row| key.ends_with(*row));
            let value = match row {
                Some(row) => newest(client, key, row)?,
                None => client.line(&format!("GET {key}")).number().unwrap_or(0),
            };
            if value > known.sent {
                return Err(format!("{key}: {value} is there, only {} was sent", known.sent));
            }
            found.insert(key.clone(), value);
        }
        let pair = client.line(&format!("MGET w{id}:left w{id}:right"));
        let (left, right) = (pair.members()[0].number(), pair.members()[1].number());
        if left != right {
            return Err(format!("w{id}: half an MSET is there: {left:?} and {right:?}"));
        }
        let tokens = client.line(&format!("EXISTS w{id}:even w{id}:odd"));
        if tokens != Reply::Integer(1) {
            return Err(format!("w{id}: half a RENAME is there: {tokens:?} tokens"));
        }
        let tokens = client.line(&format!("SUNION w{id}:in-even w{id}:in-odd"));
        if tokens.members().len() != 1 {
            return Err(format!("w{id}: half an SMOVE is there: {tokens:?}"));
        }
        Ok(found)
    }
}

/// Whether it is known what the key of a command must hold behind it.
fn is_known(command: &[String]) -> bool {
    let name = command[0].as_str();
    ["SET", "MSET", "INCR"].contains(&name) || ROWS.contains(&name)
}

fn is_counter(key: &str) -> bool {
    key.ends_with(":count")
}

/// The newest round that a collection knows of; its rounds must be in order, none twice.
fn newest(client: &mut Client, key: &str, command: &str) -> Result<i64, String> {
    let number = |reply: &Reply| reply.text().split('-').next().and_then(|n| n.parse().ok());
    let rounds: Vec<i64> = match command {
        "RPUSH" => {
            client.line(&format!("LRANGE {key} 0 -1")).members().iter().filter_map(number).collect()
        }
        "SADD" => client.line(&format!("SORT {key}")).members().iter().filter_map(number).collect(),
        "XADD" => {
            let entries = client.line(&format!("XRANGE {key} - +"));
            entries.members().iter().filter_map(|entry| number(&entry.members()[0])).collect()
        }
        "ZADD" => {
            let pairs = client.line(&format!("ZRANGE {key} 0 -1 WITHSCORES"));
            pairs.members().iter().skip(1).step_by(2).filter_map(number).collect()
        }
        _ => {
            let last = client.line(&format!("HGET {key} last")).number().unwrap_or_default();
            let field = client.line(&format!("HGET {key} {}", last % KEPT)).number();
            if field.unwrap_or_default() != last {
                return Err(format!("{key}: half an HSET is there: {last} and {field:?}"));
            }
            vec![last]
        }
    };
    if rounds.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(format!("{key}: rounds are not in order: {rounds:?}"));
    }
    Ok(rounds.last().copied().unwrap_or_default())
}

impl Known {
    /// The first round behind another that writes it.
    fn next_round(&self, behind: i64) -> i64 {
        behind + 1 + (self.round - behind - 1).rem_euclid(self.every)
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
