//! What clients call: pipelines over few keys, so that they meet.
//!
//! Every value is written once only, so that a reply tells which call it has seen. Some keys share
//! a hash tag and so a slot. Names say what a key mostly holds: s strings, c counters, l lists, q
//! lists of digits, w weights for SORT, e sets, x strings that expire.

use fastrand::Rng;
use troupe::resp::encode;

/// Keys that are called for.
pub const KEYS: [&str; 30] = [
    "s0", "s1", "s2", "s3", "{t}s0", "{t}s1", "c0", "c1", "{t}c0", "l0", "l1", "{t}l0", "q0", "q1",
    "w0", "w1", "w2", "w3", "e0", "e1", "e2", "{t}e0", "{t}e1", "x0", "x1", "{t}x0", "m0", "m1",
    "m2", "{t}m0",
];

/// Calls of one pipeline, at most.
const PIPELINE_MAX: u32 = 20;

/// One call, word by word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call(pub Vec<String>);

impl Call {
    /// A call from its words, with blanks between them.
    pub fn of(line: &str) -> Call {
        Call(line.split(' ').map(str::to_owned).collect())
    }

    /// The name of the command.
    pub fn name(&self) -> &str {
        &self.0[0]
    }

    /// As it is sent.
    pub fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let words: Vec<&[u8]> = self.0.iter().map(String::as_bytes).collect();
        encode::command(&mut bytes, &words);
        bytes
    }

    /// The keys whose values its reply or its effect follow from; none given: all there are.
    pub fn keys(&self) -> Option<Vec<&str>> {
        let words = &self.0;
        let at = |at: usize| words[at].as_str();
        Some(match self.name() {
            "MSET" => words[1..].iter().step_by(2).map(String::as_str).collect(),
            "MGET" | "DEL" | "SINTERSTORE" => words[1..].iter().map(String::as_str).collect(),
            "DEBUG" => words[2..].iter().map(String::as_str).collect(),
            "RENAME" | "COPY" | "LMOVE" => vec![at(1), at(2)],
            "DBSIZE" | "KEYS" | "FLUSHALL" | "SORT" => return None,
            _ => vec![at(1)],
        })
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// What one client calls.
#[derive(Debug)]
pub struct Workload {
    rng: Rng,
    /// Part of each value.
    client: u32,
    values: u32,
    /// Calls that are still to come.
    left: u32,
    /// Of a hundred calls, how many panic.
    panics: u32,
}

impl Workload {
    /// What a client calls in a run.
    pub fn new(client: u32, calls: u32, has_panics: bool, rng: Rng) -> Workload {
        Workload { rng, client, values: 0, left: calls, panics: u32::from(has_panics) }
    }

    /// True when all was called.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The next pipeline.
    pub fn pipeline(&mut self) -> Vec<Call> {
        let most = match self.rng.u32(..3) {
            0 => 1,
            1 => 4,
            _ => PIPELINE_MAX,
        };
        let count = self.rng.u32(1..=most).min(self.left);
        self.left -= count;
        (0..count).map(|_| self.call()).collect()
    }

    fn value(&mut self) -> String {
        self.values += 1;
        format!("v{}.{}", self.client, self.values)
    }

    /// A key with this initial, a hot one mostly.
    fn key(&mut self, initial: char) -> &'static str {
        let is_one = |key: &&str| key.trim_start_matches("{t}").starts_with(initial);
        let count = KEYS.into_iter().filter(is_one).count();
        let at = if self.rng.u8(..3) == 0 { 0 } else { self.rng.usize(..count) };
        KEYS.into_iter().filter(is_one).nth(at).unwrap_or(KEYS[0])
    }

    fn any_key(&mut self) -> &'static str {
        KEYS[self.rng.usize(..KEYS.len())]
    }

    fn call(&mut self) -> Call {
        if self.rng.u32(..100) < self.panics {
            let (a, b) = (self.any_key(), self.any_key());
            return Call::of(&format!("DEBUG PANIC-LENT {a} {b}"));
        }
        let line = match self.rng.u32(..100) {
            0..34 => self.on_strings(),
            34..58 => self.on_several(),
            58..74 => self.on_lists(),
            74..84 => self.on_sets(),
            84..94 => self.on_expiring(),
            _ => self.on_everything(),
        };
        Call::of(&line)
    }

    fn on_strings(&mut self) -> String {
        match self.rng.u32(..12) {
            0..4 => format!("GET {}", self.key('s')),
            4..7 => format!("SET {} {}", self.key('s'), self.value()),
            7..9 => format!("INCR {}", self.key('c')),
            9 => format!("APPEND {} {}", self.key('s'), self.value()),
            // Whatever it holds: so some calls are of the wrong type.
            10 => format!("APPEND {} {}", self.any_key(), self.value()),
            _ => format!("SET {} {}", self.key('w'), self.value()),
        }
    }

    fn on_several(&mut self) -> String {
        let count = self.rng.usize(2..=4);
        match self.rng.u32(..12) {
            0..4 => {
                let value = self.value();
                let pairs: Vec<_> =
                    (0..count).map(|_| format!("{} {value}", self.key('m'))).collect();
                format!("MSET {}", pairs.join(" "))
            }
            4..7 => format!("MGET {}", self.several('m', count)),
            7 => format!("DEL {}", self.several('m', count)),
            8 => format!("DEL {} {}", self.any_key(), self.any_key()),
            9..11 => {
                let initial = if self.rng.bool() { 's' } else { 'm' };
                format!("RENAME {} {}", self.key(initial), self.key('s'))
            }
            _ => format!("COPY {} {} REPLACE", self.key('s'), self.key('s')),
        }
    }

    fn several(&mut self, initial: char, count: usize) -> String {
        let keys: Vec<&str> = (0..count).map(|_| self.key(initial)).collect();
        keys.join(" ")
    }

    fn on_lists(&mut self) -> String {
        match self.rng.u32(..10) {
            0..3 => format!("LPUSH {} {}", self.key('l'), self.value()),
            3..5 => format!("RPOP {}", self.key('l')),
            5..7 => format!("LMOVE {} {} LEFT RIGHT", self.key('l'), self.key('l')),
            7 => format!("LRANGE {} 0 -1", self.key('l')),
            _ => format!("LPUSH {} {}", self.key('q'), self.rng.u32(..4)),
        }
    }

    fn on_sets(&mut self) -> String {
        match self.rng.u32(..10) {
            0..4 => format!("SADD {} {}", self.key('e'), self.rng.u32(..6)),
            4..6 => format!("SMEMBERS {}", self.key('e')),
            _ => format!("SINTERSTORE {} {}", self.key('e'), self.several('e', 2)),
        }
    }

    fn on_expiring(&mut self) -> String {
        let ms = self.rng.u32(1..400);
        match self.rng.u32(..10) {
            0..3 => format!("SET {} {} PX {ms}", self.key('x'), self.value()),
            3..6 => format!("GET {}", self.key('x')),
            6..8 => format!("PEXPIRE {} {ms}", self.any_key()),
            8 => format!("PERSIST {}", self.key('x')),
            _ => format!("PEXPIRETIME {}", self.key('x')),
        }
    }

    fn on_everything(&mut self) -> String {
        match self.rng.u32(..12) {
            0..5 => "DBSIZE".to_owned(),
            5..7 => "KEYS *".to_owned(),
            7 => "FLUSHALL".to_owned(),
            _ => format!("SORT {} BY nosort GET w* GET #", self.key('q')),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_is_called_and_no_pipeline_is_too_long() {
        let mut workload = Workload::new(3, 5_000, true, Rng::with_seed(1));
        let (mut names, mut calls) = (BTreeSet::new(), 0);
        while !workload.is_over() {
            let pipeline = workload.pipeline();
            assert!((1..=20).contains(&pipeline.len()));
            calls += pipeline.len();
            names.extend(pipeline.into_iter().map(|call| call.name().to_owned()));
        }
        let expected = [
            "APPEND",
            "COPY",
            "DBSIZE",
            "DEBUG",
            "DEL",
            "FLUSHALL",
            "GET",
            "INCR",
            "KEYS",
            "LMOVE",
            "LPUSH",
            "LRANGE",
            "MGET",
            "MSET",
            "PERSIST",
            "PEXPIRE",
            "PEXPIRETIME",
            "RENAME",
            "RPOP",
            "SADD",
            "SET",
            "SINTERSTORE",
            "SMEMBERS",
            "SORT",
        ];
        assert_eq!(
            (calls, names.iter().map(String::as_str).collect::<Vec<_>>()),
            (5_000, expected.into())
        );
    }

    #[test]
    fn a_call_names_its_keys() {
        let keys = |line: &str| Call::of(line).keys().map(|keys| keys.join(" "));
        assert_eq!(keys("MSET a 1 b 2").as_deref(), Some("a b"));
        assert_eq!(keys("SINTERSTORE a b c").as_deref(), Some("a b c"));
        assert_eq!(keys("LMOVE a b LEFT RIGHT").as_deref(), Some("a b"));
        assert_eq!(keys("DEBUG PANIC-LENT a b").as_deref(), Some("a b"));
        assert_eq!(keys("SET a b PX 5").as_deref(), Some("a"));
        assert_eq!(keys("DBSIZE"), None);
    }
}
