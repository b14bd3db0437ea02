//! Commands on lists.
//!
//! Items and numbers of items are such that lists cross the sizes at which their form changes,
//! both ways; programs run with several settings of those sizes (see [`super::settings`]).

use super::{Author, Command, KEYS};

/// Keys of lists, some on the slots of other keys.
pub(super) const LISTS: [&str; 6] = ["l:1", "l:2", "{x}l", "{x}l:2", "l:3", "{x}2"];

const ITEMS: [&str; 12] =
    ["a", "b", "c", "1", "-1", "40000", "-3000000000", "9223372036854775807", "007", "", "\0", "a"];
const INDEXES: [&str; 14] = [
    "0",
    "1",
    "2",
    "5",
    "-1",
    "-2",
    "-6",
    "100",
    "-100",
    "60",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "x",
];
const COUNTS: [&str; 12] =
    ["0", "1", "2", "3", "7", "50", "200", "-1", "-2", "x", "", "9223372036854775807"];
const ENDS: [&str; 6] = ["LEFT", "RIGHT", "left", "Right", "LEFT", "UP"];

fn words(words: &[&str]) -> Command {
    words.iter().map(|word| Vec::from(*word)).collect()
}

impl Author {
    /// A command on lists.
    pub(super) fn list_command(&mut self) -> Command {
        let key = self.list();
        let mut command = match self.random.u8(..44) {
            0..=5 => {
                let name = self.pick(&["LPUSH", "RPUSH", "RPUSH", "LPUSHX", "RPUSHX"]);
                [words(&[name, &key]), self.items(1..6)].concat()
            }
            6..=8 => {
                let name = self.pick(&["LPUSH", "RPUSH", "RPUSHX"]);
                [words(&[name, &key]), self.many_items()].concat()
            }
            9..=11 => {
                let mut command = words(&[self.pick(&["LPOP", "RPOP"]), &key]);
                if self.one_in(2) {
                    command.push(self.pick(&COUNTS).into());
                }
                command
            }
            12 | 13 => words(&["LRANGE", &key, self.pick(&INDEXES), self.pick(&INDEXES)]),
            14 => words(&["LRANGE", &key, "0", "-1"]),
            15 => words(&["LINDEX", &key, self.pick(&INDEXES)]),
            16 => words(&["LLEN", &key]),
            17..=19 => [words(&["LSET", &key, self.lset_index()]), self.items(1..2)].concat(),
            20..=22 => {
                let place = self.pick(&["BEFORE", "AFTER", "before", "after", "BESIDE"]);
                [words(&["LINSERT", &key, place]), vec![self.near_item()], self.items(1..2)]
                    .concat()
            }
            23 | 24 => {
                [words(&["LREM", &key, self.pick(&COUNTS)]), vec![self.near_item()]].concat()
            }
            25..=27 => words(&["LTRIM", &key, self.pick(&INDEXES), self.pick(&INDEXES)]),
            28..=30 => words(&["LMOVE", &key, &self.list(), self.pick(&ENDS), self.pick(&ENDS)]),
            31 => words(&["RPOPLPUSH", &key, &self.list()]),
            32..=34 => self.lpos(&key),
            35..=37 => self.lmpop(),
            38..=40 => words(&["OBJECT", "ENCODING", &key]),
            _ => match self.random.u8(..4) {
                0 => words(&["DEL", &key]),
                1 => words(&["COPY", &key, &self.list(), "REPLACE"]),
                2 => words(&["RENAME", &key, &self.list()]),
                _ => words(&["TYPE", &key]),
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

    fn list(&mut self) -> String {
        if self.one_in(30) { self.pick(&KEYS).into() } else { self.pick(&LISTS[..5]).into() }
    }

    /// Valkey cuts an index of LSET to 32 bits.
    fn lset_index(&mut self) -> &'static str {
        if self.one_in(20) { "x" } else { self.pick(&INDEXES[..10]) }
    }

    fn item(&mut self) -> Vec<u8> {
        match self.random.u8(..20) {
            0 => vec![b'x'; [62, 63, 64, 65, 300, 1000, 4080, 5000][self.random.usize(..8)]],
            1 => self.random.i32(-200..200).to_string().into_bytes(),
            _ => self.pick(&ITEMS).into(),
        }
    }

    /// An item that is probably in the list.
    fn near_item(&mut self) -> Vec<u8> {
        match self.random.u8(..3) {
            0 => self.random.u8(..60).to_string().into_bytes(),
            _ => self.pick(&ITEMS).into(),
        }
    }

    fn items(&mut self, count: std::ops::Range<usize>) -> Command {
        (0..self.random.usize(count)).map(|_| self.item()).collect()
    }

    /// As many as make a list large, or nearly, by number or by size.
    fn many_items(&mut self) -> Command {
        let first = self.random.i32(0..40);
        match self.random.u8(..6) {
            0 => (0..self.random.i32(120..135)).map(|n| (first + n).to_string().into()).collect(),
            1 => (0..self.random.usize(1..12)).map(|_| vec![b'y'; 1000]).collect(),
            2 => vec![vec![b'z'; [8150, 8180, 8192, 9000][self.random.usize(..4)]]],
            _ => (0..self.random.i32(5..50)).map(|n| (first + n).to_string().into()).collect(),
        }
    }

    fn lpos(&mut self, key: &str) -> Command {
        let mut command = [words(&["LPOS", key]), vec![self.near_item()]].concat();
        for option in ["RANK", "COUNT", "maxlen"] {
            if self.one_in(3) {
                command.extend(words(&[option, self.pick(&COUNTS)]));
            }
        }
        if self.one_in(40) {
            command.extend(words(&["RANK", "-9223372036854775808"]));
        }
        command
    }

    fn lmpop(&mut self) -> Command {
        let count = self.random.usize(1..4);
        let wrong = self.pick(&["0", "-1", "x", "1", "7"]);
        let number = if self.one_in(20) { wrong.to_owned() } else { count.to_string() };
        let mut command = words(&["LMPOP", &number]);
        command.extend((0..count).map(|_| self.list().into_bytes()));
        command.push(self.pick(&ENDS).into());
        if self.one_in(2) {
            command.extend(words(&["COUNT", self.pick(&COUNTS)]));
        }
        command
    }
}
