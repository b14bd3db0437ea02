//! Commands on bits, and on HyperLogLogs.
//!
//! HyperLogLogs have keys of their own: several elements are added at once only where nothing else
//! writes, since a value that is found corrupted half way is left as it was by ours alone.

use super::{Author, Command, KEYS};

/// Keys of HyperLogLogs, two of them on the slot of other keys.
const HLLS: [&str; 4] = ["hll:1", "hll:2", "{x}hll", "{x}hll:2"];

const OFFSETS: [&str; 14] = [
    "0",
    "1",
    "5",
    "7",
    "8",
    "63",
    "64",
    "100",
    "2047",
    "4294967296",
    "-1",
    "x",
    "",
    "9223372036854775807",
];

const FIELDS: [&str; 14] =
    ["u8", "i8", "u1", "i1", "u5", "i16", "i33", "u63", "i64", "u64", "i65", "u0", "U8", ""];

impl Author {
    /// A command of these groups.
    pub(super) fn bits_command(&mut self) -> Command {
        match self.random.u8(..20) {
            0..=3 => {
                let bit = self.pick(&["0", "1", "0", "1", "2"]);
                words(&["SETBIT", self.pick(&KEYS), self.pick(&OFFSETS), bit])
            }
            4 => words(&["GETBIT", self.pick(&KEYS), self.pick(&OFFSETS)]),
            5 | 6 => {
                let head = words(&["BITCOUNT", self.pick(&KEYS)]);
                [head, self.bit_range()].concat()
            }
            7 | 8 => {
                let head = words(&["BITPOS", self.pick(&KEYS), self.pick(&["0", "1", "0", "2"])]);
                [head, self.bit_range()].concat()
            }
            9 | 10 => {
                let operation = self.pick(&["AND", "OR", "XOR", "NOT", "NOT", "xor", "NAND"]);
                let count = if operation == "NOT" { 1 } else { self.random.usize(1..4) };
                let mut command = words(&["BITOP", operation, self.pick(&KEYS)]);
                command.extend((0..count).map(|_| self.key()));
                command
            }
            11..=13 => self.bit_field(),
            14..=16 => {
                let mut command = words(&["PFADD", self.pick(&HLLS)]);
                let (count, spread) =
                    (self.random.usize(..40), [5, 1_000, 100_000][self.random.usize(..3)]);
                let number = |author: &mut Author| author.random.u32(..spread).to_string();
                command.extend((0..count).map(|_| number(self).into_bytes()));
                command
            }
            17 => {
                let (name, count) = (self.pick(&["PFCOUNT", "PFMERGE"]), self.random.usize(1..4));
                let mut command = words(&[name]);
                command.extend((0..count).map(|_| self.pick(&HLLS).into()));
                command
            }
            18 => {
                let sub = self.pick(&["ENCODING", "DECODE", "GETREG", "NOSUCH"]);
                words(&["PFDEBUG", sub, self.pick(&HLLS)])
            }
            _ => match self.random.u8(..5) {
                0 => words(&["DEL", self.pick(&HLLS)]),
                1 => words(&["PFADD", self.pick(&KEYS), "element"]),
                2 => words(&["PFCOUNT", self.pick(&KEYS), self.pick(&HLLS)]),
                _ => words(&["GET", self.pick(&HLLS)]),
            },
        }
    }

    /// Start, end and unit, or less of it.
    fn bit_range(&mut self) -> Command {
        let unit = self.pick(&["BIT", "BYTE", "bit", "WORD"]);
        let mut range = vec![self.number(), self.number(), unit.into()];
        range.truncate(self.random.usize(..4));
        range
    }

    fn bit_field(&mut self) -> Command {
        let name = self.pick(&["BITFIELD", "BITFIELD", "BITFIELD_RO"]);
        let mut command = words(&[name, self.pick(&KEYS)]);
        for _ in 0..self.random.usize(..4) {
            if self.one_in(3) {
                let kind = self.pick(&["WRAP", "SAT", "FAIL", "fail", "NONE"]);
                command.extend(words(&["OVERFLOW", kind]));
            }
            let sub = self.pick(&["GET", "SET", "INCRBY", "incrby"]);
            let mark = self.pick(&["", "#"]);
            let offset = format!("{mark}{}", self.random.u32(..90));
            let offset = if self.one_in(12) { self.pick(&OFFSETS).into() } else { offset };
            command.extend(words(&[sub, self.pick(&FIELDS[..9]), &offset]));
            if self.one_in(15) {
                let at = command.len() - 2;
                command[at] = self.pick(&FIELDS).into();
            }
            if sub != "GET" {
                command.push(self.number());
            }
        }
        command
    }
}

fn words(words: &[&str]) -> Command {
    words.iter().map(|word| (*word).into()).collect()
}
