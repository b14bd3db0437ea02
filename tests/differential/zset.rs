//! Commands on sorted sets, and on positions on the globe, which are sorted sets.
//!
//! Ranges by name are asked of keys in which all scores are 0: of others the answer is undefined.
//! What is random is asked for only where chance decides nothing.

use super::{Author, Command, KEYS};

pub(super) const ZSETS: [&str; 7] = ["z:1", "z:2", "{x}z", "{x}z:2", "z:3", "lex", "{x}lex"];
const LEXES: [&str; 2] = ["lex", "{x}lex"];

const SCORES: [&str; 19] = [
    "0",
    "1",
    "2",
    "3",
    "-1",
    "2.5",
    "-0",
    "0.1",
    "1e10",
    "inf",
    "-inf",
    "+5",
    "1e17",
    "-3.25",
    "nan",
    "",
    "x",
    "9007199254740993",
    "1e400",
];
const EDGES: [&str; 14] =
    ["0", "1", "2", "(1", "(2.5", "-inf", "+inf", "(-inf", "-1", "(3", "", "x", "(", "1e400"];
const NAMES: [&str; 9] = ["-", "+", "[a", "(a", "[m5", "(m7", "[", "(m", "x"];
const RANKS: [&str; 9] = ["0", "-1", "1", "3", "-3", "100", "-100", "9223372036854775807", "x"];
const COUNTS: [&str; 8] = ["0", "1", "2", "10", "1000", "-1", "x", "9223372036854775808"];
const TIMES: [&str; 5] = ["20000000000", "21000000000", "1", "22000000000", "x"];

pub(super) const GEOS: [&str; 3] = ["geo", "{x}geo", "geo:2"];
const UNITS: [&str; 6] = ["m", "km", "ft", "mi", "KM", "parsec"];
const SIZES: [&str; 9] = ["0", "1", "100", "5000", "0.5", "100000", "-1", "x", "1e10"];

fn words(words: &[&str]) -> Command {
    words.iter().map(|word| Vec::from(*word)).collect()
}

impl Author {
    /// A command of these groups.
    pub(super) fn zset_command(&mut self) -> Command {
        let mut command = match self.random.u8(..52) {
            0..=6 => self.zadd(),
            7 => {
                let (key, score) = (self.zset(), self.pick(&SCORES));
                [words(&["ZINCRBY", &key, score]), vec![self.member()]].concat()
            }
            8 | 9 => {
                let name = self.pick(&["ZREM", "ZMSCORE"]);
                let count = self.random.usize(1..4);
                [words(&[name, &self.zset()]), (0..count).map(|_| self.member()).collect()].concat()
            }
            10 => [words(&["ZSCORE", &self.zset()]), vec![self.member()]].concat(),
            11 | 12 => {
                let name = self.pick(&["ZRANK", "ZREVRANK"]);
                let mut command = [words(&[name, &self.zset()]), vec![self.member()]].concat();
                if self.one_in(2) {
                    command.push(self.pick(&["WITHSCORE", "withscore", "x"]).into());
                }
                command
            }
            13 => words(&["ZCARD", &self.zset()]),
            14 => words(&["ZCOUNT", &self.zset(), self.pick(&EDGES), self.pick(&EDGES)]),
            15 => words(&["ZLEXCOUNT", self.pick(&LEXES), self.pick(&NAMES), self.pick(&NAMES)]),
            16..=20 => self.zrange(),
            21 => match self.random.u8(..3) {
                0 => {
                    words(&["ZREMRANGEBYRANK", &self.zset(), self.pick(&RANKS), self.pick(&RANKS)])
                }
                1 => {
                    words(&["ZREMRANGEBYSCORE", &self.zset(), self.pick(&EDGES), self.pick(&EDGES)])
                }
                _ => words(&[
                    "ZREMRANGEBYLEX",
                    self.pick(&LEXES),
                    self.pick(&NAMES),
                    self.pick(&NAMES),
                ]),
            },
            22 | 23 => {
                let mut command = words(&[self.pick(&["ZPOPMIN", "ZPOPMAX"]), &self.zset()]);
                if self.one_in(2) {
                    command.push(self.pick(&COUNTS).into());
                }
                command
            }
            24 => {
                let (keys, number) = self.zsets();
                let mut command = [words(&["ZMPOP", &number]), keys].concat();
                command.push(self.pick(&["MIN", "MAX", "min", "x"]).into());
                if self.one_in(2) {
                    command.extend(words(&["COUNT", self.pick(&COUNTS)]));
                }
                command
            }
            25..=30 => self.combination(),
            31 | 32 => words(&["OBJECT", "ENCODING", self.pick(&ZSETS)]),
            33 | 34 => words(&["ZRANGE", self.pick(&ZSETS), "0", "-1", "WITHSCORES"]),
            35 => match self.random.u8(..5) {
                0 => words(&["DEL", &self.zset()]),
                1 => words(&["COPY", &self.zset(), &self.zset(), "REPLACE"]),
                2 => words(&["RENAME", &self.zset(), &self.zset()]),
                3 => words(&["TYPE", &self.zset()]),
                _ => words(&["EXPIREAT", &self.zset(), self.pick(&TIMES)]),
            },
            36 => {
                let count = self.pick(&["0", "1000", "-9223372036854775808", "x", "5000"]);
                let mut command = words(&["ZRANDMEMBER", self.pick(&["none", "lex"]), count]);
                if self.one_in(2) {
                    command.push(b"WITHSCORES".to_vec());
                }
                if command[1] == b"lex" { words(&["ZCARD", "lex"]) } else { command }
            }
            37 => words(&["ZSCAN", "none", self.pick(&COUNTS), "COUNT", "10"]),
            38 | 39 => self.large_zset(),
            _ => self.geo_command(),
        };
        if command.len() > 1 && self.one_in(100) {
            command.pop();
        }
        if self.one_in(150) {
            command.push(b"extra".to_vec());
        }
        command
    }

    fn zset(&mut self) -> String {
        if self.one_in(25) { self.pick(&KEYS).into() } else { self.pick(&ZSETS[..5]).into() }
    }

    fn zsets(&mut self) -> (Command, String) {
        let count = self.random.usize(1..4);
        let keys = (0..count).map(|_| self.zset().into_bytes()).collect();
        let wrong = self.pick(&["0", "-1", "x", "1", "7"]);
        (keys, if self.one_in(20) { wrong.to_owned() } else { count.to_string() })
    }

    fn member(&mut self) -> Vec<u8> {
        match self.random.u8(..12) {
            0 => b"a".to_vec(),
            1 => Vec::new(),
            2 => self.random.i64(-3..3).to_string().into_bytes(),
            3 if self.one_in(10) => vec![b'x'; [63, 64, 65, 300][self.random.usize(..4)]],
            _ => format!("m{}", self.random.u8(..15)).into_bytes(),
        }
    }

    fn zadd(&mut self) -> Command {
        if self.one_in(4) {
            let mut command = words(&["ZADD", self.pick(&LEXES)]);
            for _ in 0..self.random.usize(1..4) {
                command.extend([b"0".to_vec(), self.member()]);
            }
            return command;
        }
        let mut command = words(&["ZADD", &self.zset()]);
        for option in ["NX", "xx", "GT", "LT", "CH", "INCR"] {
            if self.one_in(7) {
                command.push(option.into());
            }
        }
        for _ in 0..self.random.usize(1..3) {
            command.extend([self.pick(&SCORES).into(), self.member()]);
        }
        command
    }

    /// As many members as make a sorted set large, or nearly.
    fn large_zset(&mut self) -> Command {
        let mut command = words(&["ZADD", &self.zset()]);
        let (first, step) = (self.random.i32(-50..50), self.random.i32(1..4));
        for number in 0..self.random.i32(100..140) {
            let score = (first + number * step) % 60;
            command.extend([score.to_string().into_bytes(), format!("n{number}").into_bytes()]);
        }
        command
    }

    fn zrange(&mut self) -> Command {
        let name = self.pick(&[
            "ZRANGE",
            "ZRANGE",
            "ZRANGE",
            "ZRANGESTORE",
            "ZREVRANGE",
            "ZRANGEBYSCORE",
            "ZREVRANGEBYSCORE",
            "ZRANGEBYLEX",
            "ZREVRANGEBYLEX",
        ]);
        let has_options = name == "ZRANGE" || name == "ZRANGESTORE";
        let by = match name {
            "ZREVRANGE" => "",
            "ZRANGEBYLEX" | "ZREVRANGEBYLEX" => "BYLEX",
            "ZRANGEBYSCORE" | "ZREVRANGEBYSCORE" => "BYSCORE",
            _ => self.pick(&["", "BYSCORE", "BYLEX"]),
        };
        let mut command = words(&[name]);
        if name == "ZRANGESTORE" {
            command.push(self.zset().into_bytes());
        }
        let edges: &[&str] = match by {
            "BYLEX" => &NAMES,
            "BYSCORE" => &EDGES,
            _ => &RANKS,
        };
        let key = if by == "BYLEX" { self.pick(&LEXES).to_owned() } else { self.zset() };
        command.extend(words(&[&key, self.pick(edges), self.pick(edges)]));
        if has_options && !by.is_empty() {
            command.push(by.into());
        }
        if has_options && self.one_in(3) {
            command.push(b"REV".to_vec());
        }
        if self.one_in(3) {
            command.push(b"WITHSCORES".to_vec());
        }
        if self.one_in(3) {
            command.extend(words(&["LIMIT", self.pick(&RANKS), self.pick(&COUNTS)]));
        }
        command
    }

    fn combination(&mut self) -> Command {
        let name = self.pick(&[
            "ZUNION",
            "ZINTER",
            "ZDIFF",
            "ZUNIONSTORE",
            "ZINTERSTORE",
            "ZDIFFSTORE",
            "ZINTERCARD",
        ]);
        let (keys, number) = self.zsets();
        let mut command = words(&[name]);
        if name.ends_with("STORE") {
            command.push(self.zset().into_bytes());
        }
        let count = keys.len();
        command.extend([vec![number.into_bytes()], keys].concat());
        if self.one_in(3) {
            command.push(b"WEIGHTS".to_vec());
            let weights = ["1", "2", "-1", "0", "0.5", "inf", "x"];
            command.extend((0..count).map(|_| Vec::from(self.pick(&weights))));
        }
        if self.one_in(3) {
            command.extend(words(&["AGGREGATE", self.pick(&["SUM", "min", "MAX", "x"])]));
        }
        if self.one_in(3) {
            command.push(b"WITHSCORES".to_vec());
        }
        if self.one_in(5) {
            command.extend(words(&["LIMIT", self.pick(&COUNTS)]));
        }
        command
    }

    fn position(&mut self) -> Command {
        match self.random.u8(..30) {
            0 => words(&["180", "85.05112878"]),
            1 => words(&["-180", "-85.05112878"]),
            2 => words(&["181", "1"]),
            3 => words(&["x", "1"]),
            4 => words(&["0", "0"]),
            5..=12 => {
                let degrees =
                    |random: &mut fastrand::Rng| format!("{:.3}", random.f64() * 2.0 + 13.0);
                vec![degrees(&mut self.random).into_bytes(), degrees(&mut self.random).into_bytes()]
            }
            _ => {
                let longitude = format!("{:.4}", self.random.f64() * 360.0 - 180.0);
                let latitude = format!("{:.4}", self.random.f64() * 170.0 - 85.0);
                vec![longitude.into_bytes(), latitude.into_bytes()]
            }
        }
    }

    fn geo_command(&mut self) -> Command {
        let key = self.pick(&GEOS);
        match self.random.u8(..12) {
            0..=3 => {
                let mut command = words(&["GEOADD", key]);
                for option in ["NX", "xx", "CH"] {
                    if self.one_in(8) {
                        command.push(option.into());
                    }
                }
                for _ in 0..self.random.usize(1..5) {
                    command.extend(self.position());
                    command.push(self.member());
                }
                command
            }
            4 => {
                let mut command =
                    [words(&["GEODIST", key]), vec![self.member(), self.member()]].concat();
                if self.one_in(2) {
                    command.push(self.pick(&UNITS).into());
                }
                command
            }
            5 => {
                let name = self.pick(&["GEOHASH", "GEOPOS"]);
                [words(&[name, key]), vec![self.member(), self.member()]].concat()
            }
            6 => words(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
            7 => {
                let name = self.pick(&["GEORADIUS", "GEORADIUS_RO"]);
                let mut command = [words(&[name, key]), self.position()].concat();
                command.extend(words(&[self.pick(&SIZES), self.pick(&UNITS)]));
                command.extend(self.geo_options(true));
                command
            }
            8 => {
                let name = self.pick(&["GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO"]);
                let mut command = [words(&[name, key]), vec![self.member()]].concat();
                command.extend(words(&[self.pick(&SIZES), self.pick(&UNITS)]));
                command.extend(self.geo_options(true));
                command
            }
            _ => {
                let mut command = if self.one_in(3) {
                    words(&["GEOSEARCHSTORE", self.pick(&GEOS), key])
                } else {
                    words(&["GEOSEARCH", key])
                };
                let area = self.geo_area();
                let mut options = self.geo_options(false);
                if area[0] == b"BYPOLYGON" {
                    // From the middle of a polygon the last bit of a distance may differ.
                    options.retain(|option| option != b"STOREDIST");
                }
                command.extend([area, options].concat());
                command
            }
        }
    }

    fn geo_area(&mut self) -> Command {
        if self.one_in(4) {
            let corners = self.random.usize(2..6);
            let mut command = words(&["BYPOLYGON", &corners.to_string()]);
            // Where the middle of the corners is off the map, Valkey looks anywhere: hence no more
            // than half of the globe.
            for _ in 0..corners {
                let position = self.position();
                let is_near = |text: &Vec<u8>| {
                    let degrees = String::from_utf8_lossy(text).parse::<f64>();
                    degrees.is_ok_and(|degrees| degrees.abs() < 80.0 || degrees == 181.0)
                };
                let are_near = position.iter().all(is_near);
                command.extend(if are_near { position } else { words(&["13.5", "14.5"]) });
            }
            return command;
        }
        let mut command = Command::new();
        if self.one_in(2) {
            command.extend([b"FROMMEMBER".to_vec(), self.member()]);
        } else {
            command.push(b"FROMLONLAT".to_vec());
            command.extend(self.position());
        }
        if self.one_in(2) {
            command.extend(words(&["BYRADIUS", self.pick(&SIZES), self.pick(&UNITS)]));
        } else {
            let (width, height) = (self.pick(&SIZES), self.pick(&SIZES));
            command.extend(words(&["BYBOX", width, height, self.pick(&UNITS)]));
        }
        command
    }

    fn geo_options(&mut self, is_radius: bool) -> Command {
        let mut options = Command::new();
        for option in ["WITHDIST", "withcoord", "WITHHASH", "ASC", "DESC", "ANY"] {
            if self.one_in(5) {
                options.push(option.into());
            }
        }
        if self.one_in(3) {
            options.extend(words(&["COUNT", self.pick(&COUNTS)]));
        }
        if is_radius && self.one_in(4) {
            options.extend(words(&[self.pick(&["STORE", "STOREDIST"]), self.pick(&GEOS)]));
        } else if self.one_in(6) {
            options.push(b"STOREDIST".to_vec());
        }
        options
    }
}
