//! Random programs of commands, answered by ours and by Valkey, reply by reply.
//!
//! A program runs over few keys in a few databases, so that its commands meet: strings of every
//! shape, counters at their limits, deadlines far away (both clocks may differ by less than a test
//! takes, never by more). Every second program goes to ours as one pipeline, so that batches over
//! several shards are compared as well, and every third is in RESP3; in every third parts are
//! transactions. A program is about one type or about all of them, and runs with sizes of encodings
//! as they are by default or much smaller. At its end the whole content is compared. When replies
//! differ the program is shrunk by leaving out what is not needed, and printed with its seed.
//!
//! `TROUPE_SEED` repeats a run; `TROUPE_DIFF_COMMANDS` says how many commands (default 20,000).
//! Left out: what is random by nature (RANDOMKEY, the cursors of SCAN) or tells of the server
//! itself (OBJECT REFCOUNT counts a reply on its way to the socket).

mod bits;
mod hash;
mod list;
mod scripts;
mod set;
mod sort;
mod stream;
mod zset;

use crate::support::client::{Client, shown};
use crate::support::oracle::Oracle;
use crate::support::reply::Reply;
use crate::support::server::Options;
use crate::support::{env_number, seed};

type Command = Vec<Vec<u8>>;

/// Commands in a program: few enough to shrink quickly, enough to get into strange states.
const PROGRAM: usize = 120;

/// Makes commands.
struct Author {
    random: fastrand::Rng,
    /// What the identifiers of entries that come in order are made from.
    last_id: u64,
}

const KEYS: [&str; 9] = ["a", "b", "c", "{x}1", "{x}2", "key:1", "key:2", "", "\u{1}\u{0}"];
const NUMBERS: [&str; 24] = [
    "0",
    "1",
    "-1",
    "2",
    "7",
    "10",
    "100",
    "-100",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "9223372036854775806",
    "18446744073709551615",
    "-0",
    "007",
    "+5",
    " 1",
    "1 ",
    "1.5",
    "1e3",
    "nan",
    "",
    "abc",
];
const FLOATS: [&str; 16] = [
    "0",
    "0.1",
    "0.2",
    "-0.3",
    "1.5",
    "3.14159",
    "1e5",
    "-2.5e-3",
    "100",
    "123456789.5",
    "inf",
    "nan",
    "abc",
    "",
    "1e-10",
    "-0.0",
];
/// Far deadlines in seconds from 1970: nothing expires while the test runs, and none is near
/// another.
const DEADLINES: [&str; 6] =
    ["20000000000", "21000000000", "22000000000", "33177117420", "1", "9223372036854775807"];
const SPANS: [&str; 8] =
    ["100000", "500000", "900000", "0", "-1", "abc", "9223372036854775807", ""];

impl Author {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.random.usize(..from.len())]
    }
    fn one_in(&mut self, number: u32) -> bool {
        self.random.u32(..number) == 0
    }
    fn key(&mut self) -> Vec<u8> {
        self.pick(&KEYS).into()
    }
    fn keys(&mut self) -> Command {
        (0..self.random.usize(1..5)).map(|_| self.key()).collect()
    }
    fn number(&mut self) -> Vec<u8> {
        self.pick(&NUMBERS).into()
    }

    fn value(&mut self) -> Vec<u8> {
        match self.random.u8(..8) {
            0 | 1 => self.number(),
            2 => self.pick(&FLOATS).into(),
            3 => (0..self.random.usize(..60)).map(|_| self.random.u8(..)).collect(),
            4 => vec![b'x'; [43, 44, 45, 64, 1000, 20_000][self.random.usize(..6)]],
            5 => b"ohmytext".to_vec(),
            6 => b"mynewtext".to_vec(),
            _ => self.random.i64(-1000..1000).to_string().into_bytes(),
        }
    }

    /// A deadline option: `EX 100000`, `PXAT 20000000000000`, `KEEPTTL`, or a bad one.
    fn deadline(&mut self) -> Command {
        let option = self.pick(&["EX", "PX", "EXAT", "PXAT", "KEEPTTL", "PERSIST"]);
        let value = match option {
            "EX" => self.pick(&SPANS).to_string(),
            "PX" => format!("{}000", self.pick(&SPANS[..3])),
            "EXAT" => self.pick(&DEADLINES).to_string(),
            "PXAT" => format!("{}000", self.pick(&DEADLINES[..5])),
            _ => return vec![option.into()],
        };
        vec![option.into(), value.into()]
    }

    fn set_options(&mut self) -> Command {
        let mut options = Vec::new();
        if self.one_in(3) {
            options.extend(self.deadline());
        }
        if self.one_in(4) {
            options.push(self.pick(&["NX", "XX", "nx", "xX"]).into());
        }
        if self.one_in(5) {
            options.push(b"GET".to_vec());
        }
        if self.one_in(12) {
            options.extend([b"IFEQ".to_vec(), self.value()]);
        }
        if self.one_in(40) {
            options.extend(self.deadline());
        }
        if self.one_in(60) {
            options.push(b"BOGUS".to_vec());
        }
        options
    }

    /// Absolute deadlines may be compared (GT, LT); spans of time may not, since the clocks differ.
    fn expire(&mut self) -> Command {
        let conditions = ["NX", "XX", "GT", "LT", "gt", "BOGUS"];
        let (name, time, conditions) = match self.random.u8(..4) {
            0 => ("EXPIRE", self.pick(&SPANS).to_string(), &conditions[..2]),
            1 => ("PEXPIRE", format!("{}000", self.pick(&SPANS[..3])), &conditions[..2]),
            2 => ("EXPIREAT", self.pick(&DEADLINES).to_string(), &conditions[..]),
            _ => ("PEXPIREAT", format!("{}000", self.pick(&DEADLINES[..5])), &conditions[..]),
        };
        let mut command = vec![name.into(), self.key(), time.into()];
        for _ in 0..self.random.usize(..3) {
            command.push(self.pick(conditions).into());
        }
        command
    }

    fn pairs(&mut self) -> Command {
        (0..self.random.usize(1..5)).flat_map(|_| [self.key(), self.value()]).collect()
    }

    fn command(&mut self) -> Command {
        let named = |name: &str, rest: Command| [vec![name.into()], rest].concat();
        let mut command = match self.random.u8(..44) {
            0..=5 => named("SET", [vec![self.key(), self.value()], self.set_options()].concat()),
            6..=8 => named("GET", vec![self.key()]),
            9 => named(self.pick(&["SETNX", "GETSET"]), vec![self.key(), self.value()]),
            10 => {
                let name = self.pick(&["SETEX", "PSETEX"]);
                let span = self.pick(&SPANS).into();
                // Milliseconds too few to outlast the program are of no use here.
                let span = if name == "PSETEX" { [span, b"000".to_vec()].concat() } else { span };
                named(name, vec![self.key(), span, self.value()])
            }
            11 => {
                let option = if self.one_in(2) { self.deadline() } else { vec![] };
                named("GETEX", [vec![self.key()], option].concat())
            }
            12 => named(self.pick(&["GETDEL", "STRLEN"]), vec![self.key()]),
            13..=15 => named(self.pick(&["INCR", "DECR"]), vec![self.key()]),
            16..=18 => named(self.pick(&["INCRBY", "DECRBY"]), vec![self.key(), self.number()]),
            19 | 20 => named("INCRBYFLOAT", vec![self.key(), self.pick(&FLOATS).into()]),
            21 => named("APPEND", vec![self.key(), self.value()]),
            22 => {
                let offset = self.pick(&["0", "1", "5", "70", "-1", "abc", "536870912", "3000"]);
                named("SETRANGE", vec![self.key(), offset.into(), self.value()])
            }
            23 => {
                let name = self.pick(&["GETRANGE", "SUBSTR"]);
                named(name, vec![self.key(), self.number(), self.number()])
            }
            24 | 25 => named("MGET", self.keys()),
            26 | 27 => named(self.pick(&["MSET", "MSETNX"]), self.pairs()),
            28 => {
                let pairs = self.pairs();
                let count = if self.one_in(9) { 3 } else { pairs.len() / 2 };
                let option = if self.one_in(2) { self.set_options() } else { vec![] };
                named("MSETEX", [vec![count.to_string().into()], pairs, option].concat())
            }
            29 => named("DELIFEQ", vec![self.key(), self.value()]),
            30 => {
                let mut options: Command = Vec::new();
                for option in ["LEN", "IDX", "WITHMATCHLEN", "MINMATCHLEN"] {
                    if self.one_in(3) {
                        options.push(option.into());
                        if option == "MINMATCHLEN" {
                            options.push(self.pick(&["0", "3", "-1", "abc"]).into());
                        }
                    }
                }
                named("LCS", [vec![self.key(), self.key()], options].concat())
            }
            31 => named(self.pick(&["DEL", "UNLINK"]), self.keys()),
            32 => named(self.pick(&["EXISTS", "TOUCH"]), self.keys()),
            33 | 34 => self.expire(),
            35 => named(self.pick(&["TTL", "PTTL", "PERSIST"]), vec![self.key()]),
            36 => named(self.pick(&["EXPIRETIME", "PEXPIRETIME"]), vec![self.key()]),
            37 => named(self.pick(&["RENAME", "RENAMENX"]), vec![self.key(), self.key()]),
            38 => {
                let mut options: Command = Vec::new();
                if self.one_in(2) {
                    options.extend([b"DB".to_vec(), self.pick(&["0", "1", "2", "16"]).into()]);
                }
                if self.one_in(2) {
                    options.push(b"REPLACE".to_vec());
                }
                named("COPY", [vec![self.key(), self.key()], options].concat())
            }
            39 => named("MOVE", vec![self.key(), self.pick(&["0", "1", "2", "99", "x"]).into()]),
            40 => named("SELECT", vec![self.pick(&["0", "0", "1", "2", "99"]).into()]),
            41 => match self.random.u8(..6) {
                0 => named("SWAPDB", vec![self.pick(&["0", "1"]).into(), b"2".to_vec()]),
                1 if self.one_in(3) => named("FLUSHDB", vec![]),
                2 => named("KEYS", vec![self.pick(&["*", "key*", "[a-b]", "?", "\\{*"]).into()]),
                3 => named("EXISTS", KEYS.map(Into::into).to_vec()),
                4 => named("ECHO", vec![self.value()]),
                _ => named("TYPE", vec![self.key()]),
            },
            42 => named("OBJECT", vec![b"ENCODING".to_vec(), self.key()]),
            _ => named("BITCOUNTX", vec![self.key()]),
        };
        if command.len() > 1 && self.one_in(150) {
            command.pop();
        }
        if self.one_in(200) {
            command.push(b"extra".to_vec());
        }
        command
    }

    fn any_command(&mut self, kind: u8) -> Command {
        match kind {
            0 => self.bits_command(),
            1 => self.hash_command(),
            2 => self.set_command(),
            3 => self.zset_command(),
            4 => self.list_command(),
            5 => self.stream_command(),
            6 => self.sort_command(),
            _ => self.command(),
        }
    }

    /// Two of three programs are about one kind of commands, with a few others in between.
    fn program(&mut self) -> Vec<Command> {
        let theme = self.random.u8(..12);
        let kind = |author: &mut Author| {
            let is_any = theme > 7 || author.one_in(8);
            if is_any { author.random.u8(..10) } else { theme }
        };
        let mut has_begun = self.one_in(3).then_some(false);
        let mut program = Vec::new();
        for _ in 0..PROGRAM {
            if let Some(has_begun) = has_begun.as_mut().filter(|_| self.one_in(6)) {
                *has_begun = !*has_begun;
                let end = if self.one_in(8) { "DISCARD" } else { "EXEC" };
                program.push(vec![if *has_begun { "MULTI" } else { end }.into()]);
            }
            let kind = kind(self);
            program.push(self.any_command(kind));
            if has_begun == Some(false) && self.one_in(20) {
                program.push([vec![b"WATCH".to_vec()], self.keys()].concat());
            }
        }
        program
    }

    /// Sizes at which values change their form: those of the default, or small ones that differ.
    fn settings(&mut self) -> Vec<(&'static str, &'static str)> {
        let is_default = self.one_in(2);
        let pick = |choice: &(&'static str, &[&'static str])| {
            let (name, values) = *choice;
            let at = if is_default { 0 } else { self.random.usize(..values.len()) };
            (name, values[at])
        };
        SIZES.iter().map(pick).collect()
    }
}

/// Settings and their values, the default first.
const SIZES: [(&str, &[&str]); 10] = [
    ("list-max-listpack-size", &["-2", "1", "3", "-1", "16"]),
    ("hash-max-listpack-entries", &["512", "2", "8"]),
    ("hash-max-listpack-value", &["64", "8"]),
    // With fewer than a pack holds, the form of a union hangs on the order of a table.
    ("set-max-intset-entries", &["512", "140"]),
    ("set-max-listpack-entries", &["128", "4", "0"]),
    ("set-max-listpack-value", &["64", "5"]),
    ("zset-max-listpack-entries", &["128", "4", "0"]),
    ("zset-max-listpack-value", &["64", "5"]),
    ("stream-node-max-entries", &["100", "3", "1", "0"]),
    ("stream-node-max-bytes", &["4096", "100", "0"]),
];

/// What is compared at the end, `@` standing for each of the keys.
const CONTENTS: [(&str, &[&str]); 17] = [
    ("GET @", &KEYS),
    ("PEXPIRETIME @", &KEYS),
    ("TYPE @", &KEYS),
    ("SMEMBERS @", &set::SETS),
    ("OBJECT ENCODING @", &set::SETS),
    ("LRANGE @ 0 -1", &list::LISTS),
    ("OBJECT ENCODING @", &list::LISTS),
    ("HGETALL @", &hash::HASHES),
    ("OBJECT ENCODING @", &hash::HASHES),
    ("HEXPIRETIME @ FIELDS 6 a b c d 17 007", &hash::HASHES),
    ("ZRANGE @ 0 -1 WITHSCORES", &zset::ZSETS),
    ("OBJECT ENCODING @", &zset::ZSETS),
    ("ZRANGE @ 0 -1 WITHSCORES", &zset::GEOS),
    ("XRANGE @ - +", &stream::STREAMS),
    ("XINFO STREAM @ FULL COUNT 0", &stream::STREAMS),
    ("DEBUG DIGEST-VALUE @", &ALL_KEYS),
    ("LRANGE @ 0 -1", &["o:l", "{x}o:l", "o:to", "{x}o:to"]),
];

/// Keys whose content has a digest.
const ALL_KEYS: [&str; 12] =
    ["a", "{x}1", "s:1", "{x}s", "l:1", "h", "{x}h", "z:1", "lex", "geo", "st:1", "{x}st"];

/// The parts of a reply that has no order, in one order.
fn sorted(name: &[u8], reply: &Reply) -> Option<Vec<String>> {
    hash::sorted(name, reply).or_else(|| set::members(name, reply))
}

/// A map or a set of RESP3 as the array that it is in RESP2.
fn as_array(reply: &Reply) -> Reply {
    match reply {
        Reply::Map(pairs) => {
            let parts = pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]);
            Reply::Array(parts.collect())
        }
        Reply::Set(members) => Reply::Array(members.clone()),
        other => other.clone(),
    }
}

/// Whether two replies to one command say the same.
pub fn same(command: &Command, ours: &Reply, theirs: &Reply) -> bool {
    if ours == theirs {
        return true;
    }
    if std::mem::discriminant(ours) != std::mem::discriminant(theirs) {
        return false;
    }
    let (ours, theirs) = (&as_array(ours), &as_array(theirs));
    let name = command.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
    // What was written as a span of time is counted from two clocks.
    let tolerance = match name.as_slice() {
        b"TTL" | b"EXPIRETIME" => 30,
        b"PTTL" | b"PEXPIRETIME" => 30_000,
        _ => 0,
    };
    match (ours, theirs) {
        (Reply::Integer(ours), Reply::Integer(theirs)) if tolerance > 0 && *theirs > 0 => {
            ours.abs_diff(*theirs) <= tolerance
        }
        (Reply::Array(ours), Reply::Array(theirs)) if name == b"KEYS" => {
            let sorted = |keys: &[Reply]| {
                let mut keys: Vec<_> = keys.iter().map(Reply::printed).collect();
                keys.sort();
                keys
            };
            sorted(ours) == sorted(theirs)
        }
        (Reply::Array(ours), Reply::Array(theirs)) if hash::tolerance(&name) > 0 => {
            let near = |(ours, theirs): (&Reply, &Reply)| match (ours, theirs) {
                (Reply::Integer(ours), Reply::Integer(theirs)) if *theirs > 0 => {
                    ours.abs_diff(*theirs) <= hash::tolerance(&name)
                }
                _ => ours == theirs,
            };
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(near)
        }
        _ => match sorted(&name, theirs) {
            Some(theirs) => sorted(&name, ours) == Some(theirs),
            None => stream::timeless(&name, theirs)
                .is_some_and(|theirs| stream::timeless(&name, ours) == Some(theirs)),
        },
    }
}

/// The same of EXEC, when these commands are queued.
fn same_of_all(queued: &[&Command], ours: &Reply, theirs: &Reply) -> bool {
    match (ours, theirs) {
        (Reply::Array(ours), Reply::Array(theirs)) => {
            ours.len() == queued.len()
                && theirs.len() == queued.len()
                && queued
                    .iter()
                    .zip(ours.iter().zip(theirs))
                    .all(|(command, (ours, theirs))| same(command, ours, theirs))
        }
        _ => ours == theirs,
    }
}

/// The pair of servers, and how a program is run on them.
struct Lockstep {
    ours: u16,
    theirs: u16,
    pipelined: bool,
    protocol: &'static str,
    settings: Vec<(&'static str, &'static str)>,
}

impl Lockstep {
    /// The servers on these ports, with what the author draws of how they run.
    fn new(ours: u16, theirs: u16, author: &mut Author) -> Lockstep {
        let settings = author.settings();
        let pipelined = author.one_in(2);
        let protocol = if author.one_in(3) { "3" } else { "2" };
        Lockstep { ours, theirs, pipelined, protocol, settings }
    }

    /// How they run, as a failure tells it.
    fn shown(&self) -> String {
        let Lockstep { protocol, pipelined, settings, .. } = self;
        format!("RESP{protocol} pipelined: {pipelined} {settings:?}")
    }

    fn fresh(&self) -> (Client, Client) {
        let connect = |port: u16| {
            let mut client = Client::connect(port).unwrap();
            let mut lines = vec![vec!["HELLO", self.protocol], vec!["FLUSHALL"]];
            let set = self.settings.iter().map(|(name, value)| vec!["CONFIG", "SET", name, value]);
            lines.extend(set);
            let replies = client.pipeline(&lines).unwrap();
            let refused = replies.iter().find(|reply| reply.error().is_some());
            assert!(refused.is_none(), "{refused:?}");
            client
        };
        (connect(self.ours), connect(self.theirs))
    }

    /// Runs a program on both; the first difference as text.
    fn difference(&self, program: &[Command]) -> Option<String> {
        let (mut ours, mut theirs) = self.fresh();
        let mut early = Vec::new().into_iter();
        if self.pipelined {
            early = ours.pipeline(program).unwrap().into_iter();
        }
        let right = theirs.pipeline(program).unwrap();
        let mut queued: Vec<&Command> = Vec::new();
        for (number, (command, theirs)) in program.iter().zip(right).enumerate() {
            let ours = early.next().unwrap_or_else(|| ours.call(command));
            let is_same = match command[0].as_slice() {
                b"MULTI" => {
                    queued.clear();
                    ours == theirs
                }
                b"EXEC" => same_of_all(&queued, &ours, &theirs),
                _ => same(command, &ours, &theirs),
            };
            if ours == Reply::Simple("QUEUED".to_owned()) {
                queued.push(command);
            }
            if !is_same {
                let (ours, theirs) = (ours.printed(), theirs.printed());
                return Some(format!("command {number}: ours {ours}\ntheirs {theirs}"));
            }
        }
        self.content_difference(&mut ours, &mut theirs, same)
    }

    /// Every key of every database, then how many there are: what was stored with a deadline that
    /// is past counts with Valkey until it is looked at.
    fn content_difference(
        &self,
        ours: &mut Client,
        theirs: &mut Client,
        same: fn(&Command, &Reply, &Reply) -> bool,
    ) -> Option<String> {
        let mut checks = Vec::new();
        for database in ["0", "1", "2"] {
            checks.push(vec![b"SELECT".to_vec(), database.into()]);
            let content = CONTENTS.iter().flat_map(|(command, keys)| {
                keys.iter().map(|key| {
                    let words = command.split(' ').map(|word| if word == "@" { key } else { word });
                    words.map(Into::into).collect::<Command>()
                })
            });
            checks.extend(content);
            checks.push(vec![b"DBSIZE".to_vec()]);
        }
        let (mine, other) = (ours.pipeline(&checks).unwrap(), theirs.pipeline(&checks).unwrap());
        let pairs = mine.iter().zip(&other).zip(&checks);
        let mut pairs = pairs.filter(|((ours, theirs), check)| !same(check, ours, theirs));
        pairs.next().map(|((ours, theirs), check)| {
            let (ours, theirs) = (ours.printed(), theirs.printed());
            format!("at the end, {}: ours {ours}\ntheirs {theirs}", shown(check))
        })
    }

    /// Leaves out runs of commands, shorter and shorter, as long as the difference stays.
    fn shrink(&self, mut program: Vec<Command>) -> Vec<Command> {
        let mut length = program.len() / 2;
        while length > 0 {
            let mut at = 0;
            while at < program.len() {
                let end = (at + length).min(program.len());
                let shorter = [&program[..at], &program[end..]].concat();
                if self.difference(&shorter).is_some() {
                    program = shorter;
                } else {
                    at = end;
                }
            }
            length /= 2;
        }
        program
    }
}

/// Runs programs until enough commands are compared, or panics with the shortest program.
fn compare(shards: usize) {
    let Some(oracle) = Oracle::Valkey.start() else { return };
    let ours = Options::shards(shards).debug().start();
    let commands = env_number("TROUPE_DIFF_COMMANDS", 20_000);
    let seed = seed("differential");
    for number in 0..commands.div_ceil(PROGRAM as u64) {
        let random = fastrand::Rng::with_seed(seed.wrapping_add(number));
        let mut author = Author { random, last_id: 0 };
        let pair = Lockstep::new(ours.port, oracle.port, &mut author);
        let program = author.program();
        if pair.difference(&program).is_some() {
            let program = pair.shrink(program);
            let text: Vec<String> = program.iter().map(|command| shown(command)).collect();
            let difference = pair.difference(&program).unwrap_or("gone when run again".into());
            let seed = seed.wrapping_add(number);
            let how = pair.shown();
            let how = format!("TROUPE_SEED={seed}, {shards} shards, {how}");
            panic!("{how}\n{}\n{difference}", text.join("\n"));
        }
    }
    println!("{commands} commands gave the same replies with {shards} shards");
}

#[test]
fn one_shard_answers_as_valkey_does() {
    compare(1);
}

#[test]
fn four_shards_answer_as_valkey_does() {
    compare(4);
}
