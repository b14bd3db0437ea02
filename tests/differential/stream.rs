//! Commands on streams that do not wait.
//!
//! Identifiers are few and small, so that they meet; none is taken from the clock. What an entry
//! has been idle for is asked for only by lengths that the clock decides nothing about, and what
//! replies say of it is not compared, nor are the nodes of the tree (exact trimming may leave an
//! empty one in Valkey); approximate trimming tells whether entries share them as they should.

use super::{Author, Command, KEYS};
use crate::support::reply::Reply;

/// Keys of streams, some on the slots of other keys.
pub(super) const STREAMS: [&str; 4] = ["st:1", "{x}st", "{x}st:2", "st:2"];

const GROUPS: [&str; 3] = ["g", "h", ""];
const CONSUMERS: [&str; 4] = ["c", "d", "", "e"];
const ODD_IDS: [&str; 16] = [
    "0",
    "0-0",
    "-",
    "+",
    "$",
    ">",
    "(",
    "x",
    "",
    "1-2-3",
    "18446744073709551615-18446744073709551615",
    "18446744073709551616",
    "18446744073709551615",
    "0-18446744073709551615",
    "-1-1",
    "3-",
];
const COUNTS: [&str; 11] =
    ["0", "1", "2", "3", "10", "100", "-1", "x", "", "9223372036854775807", "-9223372036854775808"];
/// No entry becomes as old as the largest while a program runs, nor as young as the middle one
/// when it was made older by IDLE.
const IDLES: [&str; 6] = ["0", "0", "0", "-1", "500000", "x"];

fn words(words: &[&str]) -> Command {
    words.iter().map(|word| Vec::from(*word)).collect()
}

impl Author {
    /// A command on streams.
    pub(super) fn stream_command(&mut self) -> Command {
        let key = self.stream();
        let mut command = match self.random.u8(..60) {
            0..=13 => self.xadd(&key),
            14 | 15 => {
                let ids = self.ids(1..4);
                [words(&["XDEL", &key]), ids].concat()
            }
            16 | 17 => [words(&["XTRIM", &key]), self.trim()].concat(),
            18..=20 => {
                let name = self.pick(&["XRANGE", "XRANGE", "XREVRANGE"]);
                let mut command = words(&[name, &key, &self.bound(), &self.bound()]);
                if self.one_in(3) {
                    command.extend(words(&["COUNT", self.pick(&COUNTS)]));
                }
                command
            }
            21 => words(&["XLEN", &key]),
            22..=24 => self.xread(),
            25..=31 => self.xreadgroup(),
            32..=36 => self.xgroup(&key),
            37..=39 => {
                let head = words(&["XACK", &key, self.pick(&GROUPS)]);
                [head, self.ids(1..4)].concat()
            }
            40..=42 => self.xpending(&key),
            43..=46 => self.xclaim(&key),
            47..=49 => self.xautoclaim(&key),
            50..=53 => self.xinfo(&key),
            54 => self.xsetid(&key),
            55 => words(&["XRANGE", &key, "-", "+"]),
            _ => match self.random.u8(..5) {
                0 if self.one_in(3) => words(&["DEL", &key]),
                1 => words(&["COPY", &key, &self.stream(), "REPLACE"]),
                2 => words(&["RENAME", &key, &self.stream()]),
                3 => words(&["TYPE", &key]),
                _ => words(&["OBJECT", "ENCODING", &key]),
            },
        };
        if command.len() > 1 && self.one_in(100) {
            command.pop();
        }
        if self.one_in(150) {
            command.push(b"extra".to_vec());
        }
        command
    }

    fn stream(&mut self) -> String {
        if self.one_in(40) { self.pick(&KEYS).into() } else { self.pick(&STREAMS).into() }
    }

    fn id(&mut self) -> String {
        match self.random.u8(..30) {
            0 => self.pick(&ODD_IDS).into(),
            1..=4 => self.random.u8(..9).to_string(),
            _ => format!("{}-{}", self.random.u8(..9), self.random.u8(..5)),
        }
    }

    fn ids(&mut self, count: std::ops::Range<usize>) -> Command {
        (0..self.random.usize(count)).map(|_| self.id().into_bytes()).collect()
    }

    fn bound(&mut self) -> String {
        match self.random.u8(..6) {
            0 => "-".into(),
            1 => "+".into(),
            2 => format!("({}", self.id()),
            _ => self.id(),
        }
    }

    fn xadd(&mut self, key: &str) -> Command {
        let mut command = words(&["XADD", key]);
        if self.one_in(12) {
            command.push(b"NOMKSTREAM".to_vec());
        }
        if self.one_in(8) {
            command.extend(self.trim());
        }
        let id = match self.random.u8(..8) {
            0 => format!("{}-*", self.random.u8(..9)),
            1 => self.id(),
            // Later and later, as entries mostly come.
            _ => {
                self.last_id += self.random.u64(0..3);
                format!("{}-{}", self.last_id / 5, self.last_id % 5)
            }
        };
        command.push(id.into_bytes());
        let pairs = self.random.usize(1..4);
        // The same names again are stored shorter.
        let same_names = self.one_in(2);
        for number in 0..pairs {
            let name = if same_names { format!("f{number}").into() } else { self.value() };
            command.extend([name, self.value()]);
        }
        command
    }

    fn trim(&mut self) -> Command {
        let by_length = self.one_in(2);
        let mut options = words(&[if by_length { "MAXLEN" } else { "minid" }]);
        let mark = self.pick(&["", "=", "~", "~"]);
        if !mark.is_empty() {
            options.push(mark.into());
        }
        options.push(if by_length { self.pick(&COUNTS).into() } else { self.id().into() });
        if self.one_in(if mark == "~" { 2 } else { 20 }) {
            options.extend(words(&["LIMIT", self.pick(&COUNTS)]));
        }
        options
    }

    /// STREAMS with keys and identifiers.
    fn streams(&mut self, own: &str) -> Command {
        let count = self.random.usize(1..4);
        let mut command = words(&["STREAMS"]);
        command.extend((0..count).map(|_| self.stream().into_bytes()));
        for _ in 0..count {
            let id = if self.one_in(2) { own.to_owned() } else { self.id() };
            command.push(id.into_bytes());
        }
        if self.one_in(40) {
            command.pop();
        }
        command
    }

    fn xread(&mut self) -> Command {
        let mut command = words(&["XREAD"]);
        if self.one_in(2) {
            command.extend(words(&["COUNT", self.pick(&COUNTS)]));
        }
        let own = self.pick(&["0", "$", "+"]);
        command.extend(self.streams(own));
        command
    }

    fn xreadgroup(&mut self) -> Command {
        let (group, consumer) = (self.group(), self.pick(&CONSUMERS));
        let mut command = words(&["XREADGROUP", "GROUP", &group, consumer]);
        if self.one_in(2) {
            command.extend(words(&["COUNT", self.pick(&COUNTS)]));
        }
        if self.one_in(6) {
            command.push(b"NOACK".to_vec());
        }
        let own = self.pick(&[">", ">", ">", "0"]);
        command.extend(self.streams(own));
        command
    }

    fn group(&mut self) -> String {
        if self.one_in(20) { "nosuch".into() } else { self.pick(&GROUPS[..2]).into() }
    }

    fn xgroup(&mut self, key: &str) -> Command {
        let group = self.pick(&GROUPS);
        match self.random.u8(..12) {
            0..=5 => {
                let mut command = words(&["XGROUP", "CREATE", key, group]);
                let start = if self.one_in(2) { "0".into() } else { self.id() };
                command.push(if self.one_in(4) { b"$".to_vec() } else { start.into_bytes() });
                if self.one_in(2) {
                    command.push(b"MKSTREAM".to_vec());
                }
                if self.one_in(4) {
                    command.extend(words(&["ENTRIESREAD", self.pick(&COUNTS)]));
                }
                command
            }
            6 | 7 => {
                let mut command = words(&["XGROUP", "SETID", key, group, &self.id()]);
                if self.one_in(3) {
                    command.extend(words(&["ENTRIESREAD", self.pick(&COUNTS)]));
                }
                command
            }
            8 => words(&["XGROUP", "DESTROY", key, group]),
            9 => words(&["XGROUP", "CREATECONSUMER", key, group, self.pick(&CONSUMERS)]),
            10 => words(&["XGROUP", "DELCONSUMER", key, group, self.pick(&CONSUMERS)]),
            _ => words(&["XGROUP", "NOSUCH", key, group]),
        }
    }

    fn xpending(&mut self, key: &str) -> Command {
        let mut command = words(&["XPENDING", key, &self.group()]);
        if self.one_in(3) {
            return command;
        }
        if self.one_in(3) {
            command.extend(words(&["IDLE", self.pick(&IDLES)]));
        }
        let count = self.pick(&COUNTS);
        if self.one_in(2) {
            command.extend(words(&["-", "+", count]));
        } else {
            command.extend(words(&[&self.bound(), &self.bound(), count]));
        }
        if self.one_in(3) {
            command.push(self.pick(&CONSUMERS).into());
        }
        command
    }

    fn xclaim(&mut self, key: &str) -> Command {
        let consumer = self.pick(&CONSUMERS);
        let mut command = words(&["XCLAIM", key, &self.group(), consumer, self.pick(&IDLES)]);
        command.extend(self.ids(1..5));
        for option in ["IDLE 1000000", "IDLE 0", "TIME 1000", "FORCE", "JUSTID", "LASTID 3-1"] {
            if self.one_in(6) {
                command.extend(option.split(' ').map(Into::into));
            }
        }
        if self.one_in(6) {
            let count = ["0", "1", "7", "-1", "x", "9223372036854775807"];
            command.extend(words(&["RETRYCOUNT", self.pick(&count)]));
        }
        command
    }

    fn xautoclaim(&mut self, key: &str) -> Command {
        let consumer = self.pick(&CONSUMERS);
        let mut command = words(&["XAUTOCLAIM", key, &self.group(), consumer]);
        command.extend(words(&[self.pick(&IDLES), &self.bound()]));
        if self.one_in(2) {
            // With a huge count Valkey answers that it has no memory for it.
            command.extend(words(&["COUNT", self.pick(&COUNTS[..9])]));
        }
        if self.one_in(3) {
            command.push(b"JUSTID".to_vec());
        }
        command
    }

    fn xinfo(&mut self, key: &str) -> Command {
        match self.random.u8(..5) {
            0 => words(&["XINFO", "STREAM", key]),
            1 => words(&["XINFO", "STREAM", key, "FULL"]),
            2 => words(&["XINFO", "STREAM", key, "FULL", "COUNT", self.pick(&COUNTS)]),
            3 => words(&["XINFO", "GROUPS", key]),
            _ => words(&["XINFO", "CONSUMERS", key, &self.group()]),
        }
    }

    fn xsetid(&mut self, key: &str) -> Command {
        let mut command = words(&["XSETID", key, &self.id()]);
        if self.one_in(2) {
            // From its end on Valkey counts below zero.
            command.extend(words(&["ENTRIESADDED", self.pick(&COUNTS[..9])]));
            command.extend(words(&["MAXDELETEDID", &self.id()]));
        }
        command
    }
}

/// A reply without what the clock has to do with; `None` where that is nothing.
pub(super) fn timeless(name: &[u8], reply: &Reply) -> Option<Reply> {
    let mut reply = reply.clone();
    match (name, &mut reply) {
        (b"XINFO", _) => blank(&mut reply),
        (b"XPENDING", Reply::Array(entries)) => {
            for entry in entries {
                if let Reply::Array(parts) = entry
                    && let [_, _, idle @ Reply::Integer(_), _] = &mut parts[..]
                {
                    *idle = Reply::Integer(0);
                }
            }
        }
        _ => return None,
    }
    Some(reply)
}

/// Blanks moments, by what they are called or by their size, and how many nodes a tree has.
fn blank(reply: &mut Reply) {
    const BLANKED: [&[u8]; 4] = [b"idle", b"inactive", b"radix-tree-nodes", b"radix-tree-keys"];
    let blank_pair = |name: &Reply, value: &mut Reply| match value {
        Reply::Integer(number) if name.bytes().is_some_and(|name| BLANKED.contains(&name)) => {
            *number = (*number).min(0);
        }
        value => blank(value),
    };
    match reply {
        Reply::Integer(number) if (1_600_000_000_000..4_000_000_000_000).contains(number) => {
            *number = 1;
        }
        Reply::Array(parts) => {
            for at in 0..parts.len() {
                let (before, rest) = parts.split_at_mut(at);
                match before.last() {
                    Some(name) => blank_pair(name, &mut rest[0]),
                    None => blank(&mut rest[0]),
                }
            }
        }
        Reply::Map(pairs) => pairs.iter_mut().for_each(|(name, value)| blank_pair(name, value)),
        _ => {}
    }
}
