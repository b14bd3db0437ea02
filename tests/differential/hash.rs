//! Commands on hashes.
//!
//! Most hashes stay packed, where the order of fields is Valkey's; what a large one gives in no
//! order is compared as a set of pairs. Deadlines are as far away as those of keys.

use super::{Author, Command, DEADLINES, FLOATS, KEYS, SPANS};
use crate::support::reply::Reply;

/// Keys of hashes, two of them on the slots of other keys.
pub(super) const HASHES: [&str; 4] = ["h", "{x}h", "{x}h2", "h:3"];

const FIELDS: [&str; 10] = ["a", "b", "c", "d", "17", "007", "", "\u{0}", "field:1", "field:2"];

const COUNTS: [&str; 8] =
    ["0", "1", "1000", "-0", "x", "9223372036854775807", "-9223372036854775808", "1e3"];

impl Author {
    /// A command on a hash, now and then on another key.
    pub(super) fn hash_command(&mut self) -> Command {
        let named = |name: &str, rest: Command| [vec![name.into()], rest].concat();
        let key = self.hash_key();
        let (field, value) = (self.field(), self.hash_value());
        match self.random.u8(..40) {
            0..=6 => {
                let name = self.pick(&["HSET", "HSET", "HMSET"]);
                let pairs = self.field_pairs();
                named(name, [vec![key], pairs].concat())
            }
            7 => named("HSETNX", vec![key, field, value]),
            8 | 9 => named("HGET", vec![key, field]),
            10 => named("HMGET", [vec![key], self.some_fields()].concat()),
            11 => named(self.pick(&["HEXISTS", "HSTRLEN"]), vec![key, field]),
            12 => named("HLEN", vec![key]),
            13 | 14 => named(self.pick(&["HGETALL", "HKEYS", "HVALS"]), vec![key]),
            15 | 16 => named("HDEL", [vec![key], self.some_fields()].concat()),
            17 | 18 => named("HINCRBY", vec![key, field, self.number()]),
            19 => named("HINCRBYFLOAT", vec![key, field, self.pick(&FLOATS).into()]),
            20 => {
                let mut command =
                    named("HSCAN", vec![key, self.pick(&["0", "0", "0", "x"]).into()]);
                for option in ["MATCH a*", "COUNT 100000", "NOVALUES", "COUNT 0", "TYPE hash"] {
                    if self.one_in(4) {
                        command.extend(option.split(' ').map(Into::into));
                    }
                }
                // Of a large hash both give all of it only if they are asked for that much.
                command.extend(["COUNT".into(), "100000".into()]);
                command
            }
            21 => {
                // What is asked for is all or nothing, or one of one.
                let mut command = named("HRANDFIELD", vec![key, self.pick(&COUNTS).into()]);
                if self.one_in(3) {
                    command.push(self.pick(&["WITHVALUES", "withvalues", "VALUES"]).into());
                }
                if command[2] == b"1" { named("HLEN", vec![command[1].clone()]) } else { command }
            }
            22..=25 => self.field_expire(key),
            26 | 27 => {
                let name = self.pick(&["HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME", "HPERSIST"]);
                named(name, [vec![key], self.counted_fields()].concat())
            }
            28 => named("HGETDEL", [vec![key], self.counted_fields()].concat()),
            29 | 30 => {
                let option = if self.one_in(3) { vec![] } else { self.deadline() };
                named("HGETEX", [vec![key], option, self.counted_fields()].concat())
            }
            31..=33 => self.hash_set_with_deadline(key),
            34 | 35 => named("OBJECT", vec![b"ENCODING".to_vec(), key]),
            36 => named(self.pick(&["DEL", "TYPE"]), vec![key]),
            37 => named("COPY", vec![key, self.hash_key(), b"REPLACE".to_vec()]),
            38 => named("RENAME", vec![key, self.hash_key()]),
            _ => {
                // Large enough to be no pack any more.
                let mut command = named("HSET", vec![key]);
                let count = self.random.usize(500..530);
                command.extend((0..count).flat_map(|i| [format!("f{i}").into(), b"v".to_vec()]));
                if self.one_in(4) { command } else { named("HLEN", vec![command[1].clone()]) }
            }
        }
    }

    fn hash_key(&mut self) -> Vec<u8> {
        if self.one_in(30) { self.pick(&KEYS).into() } else { self.pick(&HASHES).into() }
    }

    fn field(&mut self) -> Vec<u8> {
        match self.random.u8(..40) {
            0 => vec![b'f'; [62, 63, 64, 65, 300][self.random.usize(..5)]],
            _ => self.pick(&FIELDS).into(),
        }
    }

    fn hash_value(&mut self) -> Vec<u8> {
        match self.random.u8(..30) {
            0 => vec![b'v'; [64, 65, 1000][self.random.usize(..3)]],
            1..=9 => self.number(),
            10..=14 => self.pick(&FLOATS).into(),
            _ => self.random.i64(-1000..1000).to_string().into_bytes(),
        }
    }

    fn some_fields(&mut self) -> Command {
        (0..self.random.usize(1..5)).map(|_| self.field()).collect()
    }

    fn field_pairs(&mut self) -> Command {
        (0..self.random.usize(1..5)).flat_map(|_| [self.field(), self.hash_value()]).collect()
    }

    /// `FIELDS`, their number and the fields; now and then wrong.
    fn counted_fields(&mut self) -> Command {
        let fields = self.some_fields();
        self.counted(fields, 1)
    }

    fn counted(&mut self, words: Command, width: usize) -> Command {
        let count = match self.random.u8(..40) {
            0 => self.pick(&COUNTS).to_owned(),
            _ => (words.len() / width).to_string(),
        };
        let word = if self.one_in(60) { "FIELD" } else { self.pick(&["FIELDS", "fields"]) };
        [vec![word.into(), count.into()], words].concat()
    }

    /// As for keys, only absolute deadlines are compared by condition.
    fn field_expire(&mut self, key: Vec<u8>) -> Command {
        let conditions = ["NX", "XX", "GT", "LT", "gt", "BOGUS"];
        let (name, time, conditions) = match self.random.u8(..4) {
            0 => ("HEXPIRE", self.pick(&SPANS).to_string(), &conditions[..2]),
            1 => ("HPEXPIRE", format!("{}000", self.pick(&SPANS[..3])), &conditions[..2]),
            2 => ("HEXPIREAT", self.pick(&DEADLINES).to_string(), &conditions[..]),
            _ => ("HPEXPIREAT", format!("{}000", self.pick(&DEADLINES[..5])), &conditions[..]),
        };
        let mut command = vec![name.into(), key, time.into()];
        for _ in 0..self.random.usize(..3) {
            command.push(self.pick(conditions).into());
        }
        command.extend(self.counted_fields());
        command
    }

    fn hash_set_with_deadline(&mut self, key: Vec<u8>) -> Command {
        let mut command = vec![b"HSETEX".to_vec(), key];
        for option in ["NX", "XX", "FNX", "FXX", "fxx", "BOGUS"] {
            if self.one_in(8) {
                command.push(option.into());
            }
        }
        if !self.one_in(3) {
            command.extend(self.deadline());
        }
        let pairs = self.field_pairs();
        command.extend(self.counted(pairs, 2));
        command
    }
}

/// How much the numbers in a reply of `name` may differ, since they are counted from two clocks.
pub(super) fn tolerance(name: &[u8]) -> u64 {
    match name {
        b"HTTL" | b"HEXPIRETIME" => 30,
        b"HPTTL" | b"HPEXPIRETIME" => 30_000,
        _ => 0,
    }
}

/// The parts of a reply in an order of their own, where the order of fields means nothing.
pub(super) fn sorted(name: &[u8], reply: &Reply) -> Option<Vec<String>> {
    let Reply::Array(items) = reply else { return None };
    let (items, width) = match name {
        b"HKEYS" | b"HVALS" => (items, 1),
        b"HGETALL" => (items, 2),
        // Where one side is asked for all, names and values cannot be told from names alone.
        b"HRANDFIELD" => (items, 1),
        b"HSCAN" => match &items[..] {
            [_, Reply::Array(found)] => (found, 1),
            _ => return None,
        },
        _ => return None,
    };
    let mut parts: Vec<String> = items
        .chunks(width)
        .map(|part| part.iter().map(Reply::printed).collect::<Vec<_>>().join(" "))
        .collect();
    parts.sort();
    Some(parts)
}
