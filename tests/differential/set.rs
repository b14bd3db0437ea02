//! Commands on sets.
//!
//! The members of a large set come in no order, so lists of members are compared as sets. What is
//! random is asked for only where chance decides nothing: all of a set, or nothing of it.

use super::{Author, Command};
use crate::support::reply::Reply;

/// Keys of sets, some on the slots of other keys.
pub(super) const SETS: [&str; 6] = ["s:1", "s:2", "{x}s", "{x}s:2", "s:3", "{x}1"];

const MEMBERS: [&str; 12] =
    ["1", "2", "3", "40000", "-3000000000", "a", "b", "007", "", "\u{0}", "-0", "12345678901234"];
const COUNTS: [&str; 6] = ["0", "100000", "9223372036854775807", "-1", "x", "9223372036854775808"];
const LIMITS: [&str; 6] = ["0", "1", "3", "100", "-1", "x"];

fn words(words: &[&str]) -> Command {
    words.iter().map(|word| Vec::from(*word)).collect()
}

impl Author {
    /// A command on sets.
    pub(super) fn set_command(&mut self) -> Command {
        let key = self.pick(&SETS);
        match self.random.u8(..40) {
            0..=6 => [words(&["SADD", key]), self.set_members()].concat(),
            7..=9 => [words(&["SREM", key]), self.set_members()].concat(),
            10 | 11 => [words(&["SADD", key]), self.many_of_set()].concat(),
            12 => [words(&["SREM", key]), self.many_of_set()].concat(),
            13 => words(&["SISMEMBER", key, self.pick(&MEMBERS)]),
            14 => [words(&["SMISMEMBER", key]), self.set_members()].concat(),
            15 => words(&["SCARD", key]),
            16 | 17 => words(&["SMEMBERS", key]),
            18..=20 => words(&["SMOVE", key, self.pick(&SETS), self.pick(&MEMBERS)]),
            21..=23 => {
                let name = self.pick(&["SINTER", "SUNION", "SDIFF"]);
                [words(&[name]), self.some_sets()].concat()
            }
            24..=29 => {
                let name = self.pick(&["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]);
                [words(&[name, key]), self.some_sets()].concat()
            }
            30 => {
                let sets = self.some_sets();
                let count = if self.one_in(5) { 2 } else { sets.len() };
                let mut command = [words(&["SINTERCARD", &count.to_string()]), sets].concat();
                if self.one_in(2) {
                    command.extend(words(&["LIMIT", self.pick(&LIMITS)]));
                }
                command
            }
            31 => words(&["SPOP", key, self.pick(&COUNTS)]),
            32 => {
                let count = self.pick(&COUNTS);
                words(&["SRANDMEMBER", key, if count == "-1" { "0" } else { count }])
            }
            33 => {
                let mut command = words(&["SSCAN", key, self.pick(&["0", "0", "0", "x"])]);
                for option in ["MATCH a*", "MATCH [1-3]", "COUNT 0", "TYPE set", "NOSCORES"] {
                    if self.one_in(6) {
                        command.extend(option.split(' ').map(Into::into));
                    }
                }
                // A large set is given whole only to who asks for that much.
                command.extend(words(&["COUNT", "100000"]));
                command
            }
            34..=36 => words(&["OBJECT", "ENCODING", key]),
            37 => words(&[self.pick(&["DEL", "TYPE"]), key]),
            38 => words(&["COPY", key, self.pick(&SETS), "REPLACE"]),
            _ => words(&["RENAME", key, self.pick(&SETS)]),
        }
    }

    fn set_members(&mut self) -> Command {
        (0..self.random.usize(1..6)).map(|_| self.pick(&MEMBERS).into()).collect()
    }

    /// About as many as the forms of a set hold, or a member that is too long for them.
    fn many_of_set(&mut self) -> Command {
        let prefix = self.pick(&["", "", "m"]);
        match self.random.u8(..4) {
            0 => vec![vec![b'x'; self.random.usize(63..67)]],
            1 => (0..self.random.usize(500..530)).map(|n| format!("{prefix}{n}").into()).collect(),
            _ => (0..self.random.usize(60..140)).map(|n| format!("{prefix}{n}").into()).collect(),
        }
    }

    fn some_sets(&mut self) -> Command {
        (0..self.random.usize(1..5)).map(|_| self.pick(&SETS).into()).collect()
    }
}

/// The members in a reply to the command of this name, sorted.
pub(super) fn members(name: &[u8], reply: &Reply) -> Option<Vec<String>> {
    let Reply::Array(items) = reply else { return None };
    let items = match (name, &**items) {
        (b"SMEMBERS" | b"SINTER" | b"SUNION" | b"SDIFF" | b"SPOP" | b"SRANDMEMBER", items) => items,
        (b"SSCAN", [_, Reply::Array(items)]) => items,
        _ => return None,
    };
    let mut members: Vec<String> = items.iter().map(Reply::printed).collect();
    members.sort();
    Some(members)
}
