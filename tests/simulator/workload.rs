//! What clients call: pipelines over few keys, so that they meet.
//!
//! Every value is written once only, so that a reply tells which call it has seen. Some keys share
//! a hash tag and so a slot. Names say what a key mostly holds: s strings, c counters, l lists, q
//! lists of digits, w weights for SORT, e sets, x strings that expire, a lists that only grow, in
//! runs that have them.
//!
//! Some calls come in sequences: what is watched, MULTI, what is queued, EXEC. Pipelines cut them
//! anywhere. Calls that wait do so on lists, for a short time, and others push.
//!
//! In runs with scripts some calls run one, with some of its keys declared, or all, or none, by its
//! text or by its digest.
//!
//! In runs with pushes each client has a [`Role`]: what it says of itself first, whether it
//! subscribes, and whether it reads more than others, to cache it.

use std::collections::VecDeque;

use fastrand::Rng;
use troupe::resp::encode;

use crate::scripts::{SCRIPTS, Script, VERSIONS, digest};

/// Keys that are called for.
pub const KEYS: [&str; 34] = [
    "s0", "s1", "s2", "s3", "{t}s0", "{t}s1", "c0", "c1", "{t}c0", "l0", "l1", "l2", "{t}l0", "q0",
    "q1", "w0", "w1", "w2", "w3", "e0", "e1", "e2", "{t}e0", "{t}e1", "x0", "x1", "{t}x0", "m0",
    "m1", "m2", "{t}m0", "a0", "a1", "{t}a0",
];

/// So many of them, the last ones, are lists that only grow.
const APPENDED: usize = 3;

/// Channels that are published to.
const CHANNELS: [&str; 5] = ["h0", "h1", "h2", "__keyspace@0__:s0", "__keyspace@0__:m0"];

/// Calls of one pipeline, at most.
const PIPELINE_MAX: u32 = 20;

/// One call in so many begins a transaction.
const TRANSACTION_EVERY: u32 = 16;

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
            "MGET" | "DEL" | "SINTERSTORE" | "WATCH" => {
                words[1..].iter().map(String::as_str).collect()
            }
            "MULTI" | "EXEC" | "DISCARD" | "UNWATCH" | "HELLO" | "CLIENT" | "PUBLISH"
            | "SUBSCRIBE" | "UNSUBSCRIBE" | "SCRIPT" => Vec::new(),
            _ if self.is_script() => {
                let script = Script::find(at(1)).filter(|script| !script.is_over_all)?;
                words[3..].iter().take(script.keys.len()).map(String::as_str).collect()
            }
            "BLPOP" | "BRPOP" => words[1..words.len() - 1].iter().map(String::as_str).collect(),
            "BLMPOP" => {
                let count: usize = words[2].parse().unwrap_or(0);
                words[3..3 + count].iter().map(String::as_str).collect()
            }
            "DEBUG" => words[2..].iter().map(String::as_str).collect(),
            "RENAME" | "COPY" | "LMOVE" | "BLMOVE" => vec![at(1), at(2)],
            "DBSIZE" | "KEYS" | "FLUSHALL" | "SORT" | "SWAPDB" => return None,
            _ => vec![at(1)],
        })
    }

    /// Those that it is known to have looked at: what scripts look at they call for themselves.
    pub fn looked_at(&self) -> Option<Vec<&str>> {
        if self.is_script() { Some(Vec::new()) } else { self.keys() }
    }

    /// Whether it runs a script.
    pub fn is_script(&self) -> bool {
        self.name().starts_with("EVAL")
    }

    /// Whether its key is a list that only grows.
    pub fn is_of_appended(&self) -> bool {
        KEYS[KEYS.len() - APPENDED..].contains(&self.0[1].as_str())
    }

    /// Whether it waits where there is nothing for it.
    pub fn may_wait(&self) -> bool {
        matches!(self.name(), "BLPOP" | "BRPOP" | "BLMPOP" | "BLMOVE")
    }

    /// The keys that it waits for.
    pub fn awaited(&self) -> Vec<&str> {
        let mut keys = self.keys().unwrap_or_default();
        if self.name() == "BLMOVE" {
            keys.truncate(1);
        }
        keys
    }

    /// For how long it waits, in milliseconds.
    pub fn timeout_ms(&self) -> i64 {
        let word = if self.name() == "BLMPOP" { self.0.get(1) } else { self.0.last() };
        let seconds: f64 = word.and_then(|word| word.parse().ok()).unwrap_or(0.0);
        (seconds * 1_000.0).ceil() as i64
    }

    /// The same for this key alone, where it waits for several.
    pub fn narrowed(&self, key: &str) -> Call {
        let words: Vec<&str> = self.0.iter().map(String::as_str).collect();
        match *words {
            ["BLPOP" | "BRPOP", .., timeout] => Call::of(&format!("{} {key} {timeout}", words[0])),
            ["BLMPOP", timeout, _, ..] => {
                let rest = words[3 + self.keys().unwrap_or_default().len()..].join(" ");
                Call::of(&format!("BLMPOP {timeout} 1 {key} {rest}"))
            }
            _ => self.clone(),
        }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_text = |word: &str| word.contains('\n') || word.len() == 40;
        let words = self.0.iter().map(|word| match is_text(word) {
            true => Script::find(word).map_or("a script", |script| script.name),
            false => word,
        });
        f.write_str(&words.collect::<Vec<_>>().join(" "))
    }
}

/// What a client of a run with pushes is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// It speaks version 3 of the protocol, and so may subscribe as it goes.
    pub resp3: bool,
    /// The words with which it asks to be told of keys that it has cached, where it does.
    pub tracking: Option<&'static str>,
}

impl Role {
    /// One by chance.
    pub fn of(rng: &mut Rng) -> Role {
        let tracking = match rng.u8(..8) {
            0 => return Role::default(),
            1 => None,
            2 => Some("ON NOLOOP"),
            3 => Some("ON BCAST PREFIX s PREFIX {t}"),
            4 => Some("ON BCAST NOLOOP"),
            _ => Some("ON"),
        };
        Role { resp3: true, tracking }
    }

    /// What it calls first on every connection.
    pub fn first_calls(&self) -> Vec<Call> {
        let hello = self.resp3.then(|| Call::of("HELLO 3"));
        let tracking = self.tracking.map(|words| Call::of(&format!("CLIENT TRACKING {words}")));
        hello.into_iter().chain(tracking).collect()
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
    /// Those that come first.
    pending: VecDeque<Call>,
    /// Of a hundred calls, how many panic.
    panics: u32,
    /// There are lists that only grow, so nothing is emptied.
    appends: bool,
    role: Option<Role>,
    scripts: Scripts,
}

/// The scripts that clients run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scripts {
    /// None.
    #[default]
    None,
    /// Those that end.
    Ending,
    /// All, since there is time for those that somebody has to end.
    All,
}

impl Workload {
    /// What a client calls in a run.
    pub fn new(client: u32, calls: u32, has_panics: bool, rng: Rng) -> Workload {
        let (pending, panics) = (VecDeque::new(), u32::from(has_panics));
        let (appends, role, scripts) = (false, None, Scripts::None);
        Workload { rng, client, values: 0, left: calls, pending, panics, appends, role, scripts }
    }

    /// The same, with these scripts.
    pub fn with_scripts(self, scripts: Scripts) -> Workload {
        Workload { scripts, ..self }
    }

    /// The same, of a client that is like that in a run with pushes.
    pub fn with_role(self, role: Option<Role>) -> Workload {
        Workload { role, ..self }
    }

    /// The same, with lists that only grow.
    pub fn with_appends(self, appends: bool) -> Workload {
        Workload { appends, ..self }
    }

    /// True when all was called.
    pub fn is_over(&self) -> bool {
        self.left == 0 && self.pending.is_empty()
    }

    /// The next pipeline.
    pub fn pipeline(&mut self) -> Vec<Call> {
        let most = match self.rng.u32(..3) {
            0 => 1,
            1 => 4,
            _ => PIPELINE_MAX,
        };
        let count = self.rng.u32(1..=most);
        let mut calls = Vec::new();
        while calls.len() < count as usize && !self.is_over() {
            if self.pending.is_empty() && self.rng.u32(..TRANSACTION_EVERY) == 0 {
                self.transaction();
            }
            if self.pending.is_empty()
                && let Some(call) = self.on_subscriptions()
            {
                calls.push(call);
            }
            let next = self.pending.pop_front();
            calls.push(next.unwrap_or_else(|| self.call()));
            self.left = self.left.saturating_sub(1);
        }
        calls
    }

    /// A transaction is to come.
    fn transaction(&mut self) {
        let mut calls = Vec::new();
        if self.rng.u8(..3) > 0 {
            let count = self.rng.usize(1..=3);
            let watched: Vec<&str> = (0..count).map(|_| self.watched_key()).collect();
            calls.push(Call::of(&format!("WATCH {}", watched.join(" "))));
            calls.extend((0..self.rng.u32(..3)).map(|_| self.call()));
            if self.rng.u8(..10) == 0 {
                calls.push(Call::of("UNWATCH"));
            }
        }
        calls.push(Call::of("MULTI"));
        for _ in 0..self.rng.u32(1..=4) {
            let line = match self.rng.u32(..10) {
                0 => self.on_waiting(),
                1 => self.on_everything(),
                2..6 => self.on_several(),
                _ => {
                    calls.push(self.call());
                    continue;
                }
            };
            calls.push(Call::of(&line));
        }
        let end = if self.rng.u8(..10) == 0 { "DISCARD" } else { "EXEC" };
        calls.push(Call::of(end));
        self.pending.extend(calls);
    }

    /// One that others change too.
    fn watched_key(&mut self) -> &'static str {
        let initial = ['s', 'c', 'x', 'm', 'l'][self.rng.usize(..5)];
        self.key(initial)
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
        KEYS[self.rng.usize(..KEYS.len() - APPENDED)]
    }

    fn call(&mut self) -> Call {
        if self.rng.u32(..100) < self.panics {
            let (a, b) = (self.any_key(), self.any_key());
            return Call::of(&format!("DEBUG PANIC-LENT {a} {b}"));
        }
        if let Some(role) = self.role {
            match self.rng.u8(..16) {
                0 => return Call::of(&format!("PUBLISH {} {}", self.channel(), self.value())),
                1..4 if role.tracking.is_some() => {
                    return Call::of(&format!("GET {}", self.any_key()));
                }
                _ => {}
            }
        }
        if self.appends && self.rng.u8(..3) == 0 {
            return Call::of(&self.on_appended());
        }
        if self.scripts != Scripts::None && self.rng.u8(..6) == 0 {
            return self.on_scripts();
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

    /// Some subscription begins or ends.
    fn on_subscriptions(&mut self) -> Option<Call> {
        if !self.role?.resp3 || self.rng.u8(..12) > 0 {
            return None;
        }
        let name = if self.rng.u8(..3) == 0 { "UNSUBSCRIBE" } else { "SUBSCRIBE" };
        Some(Call::of(&format!("{name} {}", self.channel())))
    }

    /// A channel, of events of a key perhaps.
    fn channel(&mut self) -> &'static str {
        CHANNELS[self.rng.usize(..CHANNELS.len())]
    }

    /// A script, or something about scripts.
    fn on_scripts(&mut self) -> Call {
        let of = |words: &[&str]| Call(words.iter().map(|word| (*word).to_owned()).collect());
        let script = &SCRIPTS[self.rng.usize(..SCRIPTS.len())];
        let text = script.text(self.rng.u32(..VERSIONS));
        let has_loops = self.scripts == Scripts::All;
        match self.rng.u8(..16) {
            0 => return of(&["SCRIPT", "LOAD", &text]),
            1 if has_loops => return of(&["SCRIPT", "KILL"]),
            _ if script.loops && (!has_loops || self.rng.bool()) => return self.on_scripts(),
            _ => {}
        }
        let mut rest: Vec<String> =
            script.keys.chars().map(|initial| self.key(initial).to_owned()).collect();
        rest.extend((0..script.values).map(|_| self.value()));
        let declared = match self.rng.u8(..3) {
            0 => script.keys.len(),
            _ => self.rng.usize(..=script.keys.len()),
        };
        let word = if self.rng.u8(..3) == 0 { digest(&text) } else { text };
        let name = if word.contains('\n') { "EVAL" } else { "EVALSHA" };
        let reads_only = script.reads_only && self.rng.bool();
        let name = format!("{name}{}", if reads_only { "_RO" } else { "" });
        Call([name, word, declared.to_string()].into_iter().chain(rest).collect())
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
                let [from, to] = [['s', 's'], ['m', 's'], ['l', 'l']][self.rng.usize(..3)];
                format!("RENAME {} {}", self.key(from), self.key(to))
            }
            _ => format!("COPY {} {} REPLACE", self.key('s'), self.key('s')),
        }
    }

    fn several(&mut self, initial: char, count: usize) -> String {
        let keys: Vec<&str> = (0..count).map(|_| self.key(initial)).collect();
        keys.join(" ")
    }

    fn on_lists(&mut self) -> String {
        match self.rng.u32(..14) {
            0..3 => format!("LPUSH {} {}", self.key('l'), self.value()),
            10..14 => self.on_waiting(),
            3..5 => format!("RPOP {}", self.key('l')),
            5..7 => format!("LMOVE {} {} LEFT RIGHT", self.key('l'), self.key('l')),
            7 => format!("LRANGE {} 0 -1", self.key('l')),
            _ => format!("LPUSH {} {}", self.key('q'), self.rng.u32(..4)),
        }
    }

    fn on_appended(&mut self) -> String {
        match self.rng.u8(..2) {
            0 => format!("RPUSH {} {}", self.key('a'), self.value()),
            _ => format!("LRANGE {} 0 -1", self.key('a')),
        }
    }

    fn on_waiting(&mut self) -> String {
        let ms = if self.rng.u8(..8) == 0 { 3_000 } else { 400 };
        let timeout = f64::from(self.rng.u32(10..ms)) / 1_000.0;
        let count = self.rng.usize(1..=3);
        match self.rng.u32(..10) {
            0..3 => format!("BLPOP {} {timeout}", self.several('l', count)),
            3..5 => format!("BRPOP {} {timeout}", self.several('l', count)),
            5..9 => format!("BLMOVE {} {} LEFT RIGHT {timeout}", self.key('l'), self.key('l')),
            _ => format!("BLMPOP {timeout} {count} {} LEFT COUNT 2", self.several('l', count)),
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
            7 if !self.appends => "FLUSHALL".to_owned(),
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
            "BLMOVE",
            "BLMPOP",
            "BLPOP",
            "BRPOP",
            "COPY",
            "DBSIZE",
            "DEBUG",
            "DEL",
            "DISCARD",
            "EXEC",
            "FLUSHALL",
            "GET",
            "INCR",
            "KEYS",
            "LMOVE",
            "LPUSH",
            "LRANGE",
            "MGET",
            "MSET",
            "MULTI",
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
            "UNWATCH",
            "WATCH",
        ];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(names, expected);
        assert!((5_000..5_020).contains(&calls), "{calls}: a transaction may be under way");
    }

    #[test]
    fn a_client_with_a_role_publishes_and_subscribes_where_it_may() {
        let names = |role: Role| {
            let mut workload = Workload::new(3, 2_000, false, Rng::with_seed(1));
            workload = workload.with_role(Some(role));
            let mut calls = role.first_calls();
            while !workload.is_over() {
                calls.extend(workload.pipeline());
            }
            let names = ["HELLO", "CLIENT", "PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE"];
            names.map(|name| calls.iter().any(|call| call.name() == name))
        };
        assert_eq!(names(Role::default()), [false, false, true, false, false]);
        assert_eq!(names(Role { resp3: true, tracking: Some("ON") }), [true; 5]);
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
        assert_eq!(keys("WATCH a b").as_deref(), Some("a b"));
        assert_eq!(keys("BLPOP a b 0.1").as_deref(), Some("a b"));
        assert_eq!(keys("BLMPOP 0.1 2 a b LEFT COUNT 2").as_deref(), Some("a b"));
    }

    #[test]
    fn a_call_that_waits_says_for_what_and_how_long() {
        let call = Call::of("BLMOVE a b LEFT RIGHT 0.25");
        assert_eq!((call.awaited(), call.timeout_ms()), (vec!["a"], 250));
        let call = Call::of("BLMPOP 0.1 2 a b LEFT COUNT 2");
        assert_eq!((call.awaited(), call.timeout_ms()), (vec!["a", "b"], 100));
        assert_eq!(call.narrowed("b"), Call::of("BLMPOP 0.1 1 b LEFT COUNT 2"));
        assert_eq!(Call::of("BRPOP a b 1").narrowed("b"), Call::of("BRPOP b 1"));
    }
}
