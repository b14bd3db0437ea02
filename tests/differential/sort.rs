//! SORT and SORT_RO over lists, sets and sorted sets of their own, with weights beside them.
//!
//! The order of a set that is not sorted is anybody's, and so is that of elements whose weights are
//! equal as texts, but for whole lists. SORT makes Valkey unpack a sorted set.

use super::{Author, Command};

/// What is sorted, then what is stored.
const SORTED: [&str; 7] = ["o:l", "{x}o:l", "o:s", "o:z", "{x}o:z", "o:to", "{x}o:to"];
const BOUNDS: [&str; 10] = ["0", "1", "2", "5", "-1", "-10", "100", "x", "", "9223372036854775807"];
const GETS: [&str; 8] = ["#", "w_*", "v_*->f", "v_*->", "{x}w*", "none_*", "plain", "*"];

fn words(words: &[&str]) -> Command {
    words.iter().map(|word| Vec::from(*word)).collect()
}

impl Author {
    /// A command that sorts, or that makes what is sorted.
    pub(super) fn sort_command(&mut self) -> Command {
        let digit = self.random.u8(..10).to_string();
        let number = self.random.i32(-30..30).to_string();
        match self.random.u8(..20) {
            0 | 1 => words(&["RPUSH", self.pick(&SORTED[..2]), &digit, &self.sortable()]),
            2 => words(&["SADD", "o:s", &digit, &self.sortable()]),
            3 | 4 => words(&["ZADD", self.pick(&SORTED[3..5]), &number, &self.sortable()]),
            // The digit at the end keeps weights apart.
            5 => words(&["SET", &format!("w_{digit}"), &format!("{number}{digit}")]),
            6 => words(&["HSET", &format!("v_{digit}"), "f", &format!("{number}.{digit}1")]),
            7 => words(&["SET", &format!("{{x}}w{digit}"), &format!("text{number}{digit}")]),
            8 => words(&["DEL", self.pick(&SORTED)]),
            9 => words(&["OBJECT", "ENCODING", self.pick(&["o:l", "o:s", "o:to"])]),
            10 => words(&["LRANGE", self.pick(&SORTED[5..]), "0", "-1"]),
            _ => self.sort(),
        }
    }

    fn sortable(&mut self) -> String {
        match self.random.u8(..12) {
            0 => self.pick(&["1.5", "-2", "1e2", "0x10", "inf", "abc", "", "nan", "7 "]).into(),
            _ => self.random.u8(..10).to_string(),
        }
    }

    fn sort(&mut self) -> Command {
        let key = self.pick(&["o:l", "{x}o:l", "o:s", "o:z", "{x}o:z", "a", "none"]);
        let reads_only = self.one_in(4);
        let mut command = words(&[if reads_only { "SORT_RO" } else { "SORT" }, key]);
        let has_weights = self.one_in(2);
        if has_weights {
            let by = ["w_*", "w_*", "v_*->f", "nosort", "{x}w*", "none_*", "#", "w_*->f"];
            let by = self.pick(&by);
            let is_set = key == "o:s";
            let by = if is_set && !by.contains('*') { "w_*" } else { by };
            command.extend(words(&[self.pick(&["BY", "by"]), by]));
        }
        let is_limited = self.one_in(3);
        if is_limited {
            command.extend(words(&["LIMIT", self.pick(&BOUNDS), self.pick(&BOUNDS)]));
        }
        while self.one_in(3) {
            command.extend(words(&["GET", self.pick(&GETS)]));
        }
        let is_whole_list = key.ends_with('l') && !is_limited;
        for option in ["ASC", "desc", "ALPHA", "ALPHA", "BOGUS"] {
            if option == "ALPHA" && has_weights && !is_whole_list {
                continue;
            }
            if self.one_in(if option == "BOGUS" { 60 } else { 4 }) {
                command.push(option.into());
            }
        }
        if !reads_only && self.one_in(3) || self.one_in(50) {
            command.extend(words(&["STORE", self.pick(&["o:to", "{x}o:to", "o:l", key])]));
        }
        if self.one_in(80) {
            command.pop();
        }
        command
    }
}
