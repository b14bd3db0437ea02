//! What a store is supposed to do, as plainly as it can be said: one map, one call after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::reply::Reply;
use crate::scripts::digest;
use crate::workload::Call;

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A list.
    List(VecDeque<String>),
    /// A set.
    Set(BTreeSet<String>),
}

/// A key's value, and when it expires, in milliseconds of unix time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// Its deadline.
    pub deadline: Option<i64>,
}

/// The store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// What there is. Keys that have expired are there until they are taken out.
    pub entries: BTreeMap<String, Entry>,
}

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

type Answer = Result<Reply, &'static str>;

impl Model {
    /// Runs a call at a time; its reply.
    pub fn run(&mut self, call: &Call, now: i64) -> Reply {
        let words: Vec<&str> = call.0.iter().map(String::as_str).collect();
        let answer = match call.name() {
            "GET" | "SET" | "APPEND" | "INCR" | "MSET" | "MGET" => self.on_strings(&words, now),
            "LPUSH" | "RPUSH" | "RPOP" | "LRANGE" | "LMOVE" | "SORT" => self.on_lists(&words, now),
            "BLPOP" | "BRPOP" | "BLMPOP" | "BLMOVE" => self.on_awaited(call, &words, now),
            "PUBLISH" | "HELLO" | "CLIENT" => Ok(Reply::Any),
            "SCRIPT" => Ok(match words[..] {
                [_, "LOAD", text] => Reply::Bulk(digest(text)),
                _ => Reply::Any,
            }),
            "SADD" | "SMEMBERS" | "SINTERSTORE" => self.on_sets(&words, now),
            _ => self.on_keys(&words, now),
        };
        answer.unwrap_or_else(|error| Reply::Error(error.to_owned()))
    }

    /// The key was taken out because it had expired. False where it had not, at this time.
    pub fn expire(&mut self, key: &str, now: i64) -> bool {
        let Some(entry) = self.entries.get(key) else { return true };
        let is_expired = entry.deadline.is_some_and(|deadline| deadline <= now);
        if is_expired {
            self.entries.remove(key);
        }
        is_expired
    }

    fn get(&self, key: &str, now: i64) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| entry.deadline.is_none_or(|at| at > now))
    }

    /// The entry of a key that is about to change: one that has expired is taken out.
    fn get_mut(&mut self, key: &str, now: i64) -> Option<&mut Entry> {
        self.expire(key, now);
        self.entries.get_mut(key)
    }

    fn text(&self, key: &str, now: i64) -> Result<Option<&str>, &'static str> {
        match self.get(key, now).map(|entry| &entry.value) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(WRONG_TYPE),
        }
    }

    /// Gives a key another value; its deadline stays where `keeps` says so.
    fn put(&mut self, key: &str, value: Value, keeps: bool, now: i64) {
        let deadline = self.get(key, now).filter(|_| keeps).and_then(|entry| entry.deadline);
        self.entries.insert(key.to_owned(), Entry { value, deadline });
    }

    fn on_strings(&mut self, words: &[&str], now: i64) -> Answer {
        Ok(match *words {
            ["GET", key] => Reply::bulk(self.text(key, now)?),
            ["SET", key, value, ref rest @ ..] => {
                self.put(key, Value::Text(value.to_owned()), false, now);
                if let (["PX", ms], Some(entry)) = (rest, self.entries.get_mut(key)) {
                    entry.deadline = Some(now + number(ms)?);
                }
                Reply::ok()
            }
            ["APPEND", key, more] => {
                let text = format!("{}{more}", self.text(key, now)?.unwrap_or_default());
                let len = text.len() as i64;
                self.put(key, Value::Text(text), true, now);
                Reply::Int(len)
            }
            ["INCR", key] => {
                let next = number(self.text(key, now)?.unwrap_or("0"))? + 1;
                self.put(key, Value::Text(next.to_string()), true, now);
                Reply::Int(next)
            }
            ["MSET", ref pairs @ ..] => {
                for pair in pairs.chunks_exact(2) {
                    self.put(pair[0], Value::Text(pair[1].to_owned()), false, now);
                }
                Reply::ok()
            }
            ["MGET", ref keys @ ..] => Reply::List(
                keys.iter().map(|key| Reply::bulk(self.text(key, now).unwrap_or(None))).collect(),
            ),
            _ => return Err("the model has no such call"),
        })
    }

    fn list(&mut self, key: &str, now: i64) -> Result<Option<&mut VecDeque<String>>, &'static str> {
        match self.get_mut(key, now).map(|entry| &mut entry.value) {
            None => Ok(None),
            Some(Value::List(list)) => Ok(Some(list)),
            Some(_) => Err(WRONG_TYPE),
        }
    }

    fn push(&mut self, key: &str, element: String, is_left: bool, now: i64) -> Answer {
        if self.get(key, now).is_none() {
            self.put(key, Value::List(VecDeque::new()), false, now);
        }
        let list = self.list(key, now)?.ok_or("a list was just made")?;
        if is_left {
            list.push_front(element)
        } else {
            list.push_back(element)
        }
        Ok(Reply::Int(list.len() as i64))
    }

    fn pop(&mut self, key: &str, is_left: bool, now: i64) -> Result<Option<String>, &'static str> {
        let Some(list) = self.list(key, now)? else { return Ok(None) };
        let element = if is_left { list.pop_front() } else { list.pop_back() };
        if list.is_empty() {
            self.entries.remove(key);
        }
        Ok(element)
    }

    fn on_lists(&mut self, words: &[&str], now: i64) -> Answer {
        Ok(match *words {
            ["LPUSH", key, element] => self.push(key, element.to_owned(), true, now)?,
            ["RPUSH", key, element] => self.push(key, element.to_owned(), false, now)?,
            ["RPOP", key] => Reply::bulk(self.pop(key, false, now)?.as_deref()),
            ["LRANGE", key, "0", "-1"] => match self.get(key, now).map(|entry| &entry.value) {
                None => Reply::List(Vec::new()),
                Some(Value::List(list)) => Reply::texts(list.iter()),
                Some(_) => return Err(WRONG_TYPE),
            },
            ["LMOVE", from, to, "LEFT", "RIGHT"] => {
                let is_there = self.list(from, now)?.is_some();
                if is_there {
                    self.list(to, now)?;
                }
                if let Some(list) = self.list(from, now)?.filter(|_| from == to) {
                    list.rotate_left(1);
                    return Ok(Reply::bulk(list.back().map(String::as_str)));
                }
                let Some(element) = self.pop(from, true, now)? else { return Ok(Reply::Nil) };
                self.push(to, element.clone(), false, now)?;
                Reply::Bulk(element)
            }
            ["SORT", key, "BY", "nosort", "GET", "w*", "GET", "#"] => {
                let list = self.list(key, now)?.cloned().unwrap_or_default();
                let weight = |element: &String| {
                    Reply::bulk(self.text(&format!("w{element}"), now).unwrap_or(None))
                };
                let pair = |element| [weight(element), Reply::Bulk(element.clone())];
                Reply::List(list.iter().flat_map(pair).collect())
            }
            _ => return Err("the model has no such call"),
        })
    }

    /// A call that waits where there is nothing for it; then the reply is none.
    fn on_awaited(&mut self, call: &Call, words: &[&str], now: i64) -> Answer {
        if let ["BLMOVE", from, to, "LEFT", "RIGHT", _] = *words {
            return self.on_lists(&["LMOVE", from, to, "LEFT", "RIGHT"], now);
        }
        let is_left = words[0] == "BLPOP" || words.contains(&"LEFT");
        for key in call.keys().unwrap_or_default() {
            if self.list(key, now)?.is_none() {
                continue;
            }
            let mut elements = Vec::new();
            let most = match *words {
                ["BLMPOP", .., "COUNT", count] => number(count)?,
                _ => 1,
            };
            for _ in 0..most {
                elements.extend(self.pop(key, is_left, now)?.map(Reply::Bulk));
            }
            let elements = match words[0] {
                "BLMPOP" => vec![Reply::List(elements)],
                _ => elements,
            };
            let key = Reply::Bulk(key.to_owned());
            return Ok(Reply::List([vec![key], elements].concat()));
        }
        Ok(Reply::Nil)
    }

    /// The first key that has something for a call that waits.
    pub fn ready<'a>(&self, call: &'a Call, now: i64) -> Option<&'a str> {
        let is_list = |key: &&str| {
            self.get(key, now).is_some_and(|entry| matches!(entry.value, Value::List(_)))
        };
        call.awaited().into_iter().find(is_list)
    }

    fn set(&self, key: &str, now: i64) -> Result<Option<&BTreeSet<String>>, &'static str> {
        match self.get(key, now).map(|entry| &entry.value) {
            None => Ok(None),
            Some(Value::Set(set)) => Ok(Some(set)),
            Some(_) => Err(WRONG_TYPE),
        }
    }

    fn on_sets(&mut self, words: &[&str], now: i64) -> Answer {
        Ok(match *words {
            ["SADD", key, member] => {
                let mut set = self.set(key, now)?.cloned().unwrap_or_default();
                let is_new = set.insert(member.to_owned());
                self.put(key, Value::Set(set), true, now);
                Reply::Int(i64::from(is_new))
            }
            ["SMEMBERS", key] => {
                Reply::texts(self.set(key, now)?.cloned().unwrap_or_default().iter())
            }
            ["SINTERSTORE", to, ref sources @ ..] => {
                let sets: Result<Vec<_>, _> =
                    sources.iter().map(|key| self.set(key, now)).collect();
                let sets: Vec<_> =
                    sets?.into_iter().map(|set| set.cloned().unwrap_or_default()).collect();
                let common = sets.into_iter().reduce(|a, b| &a & &b).unwrap_or_default();
                let len = common.len() as i64;
                self.entries.remove(to);
                if len > 0 {
                    self.put(to, Value::Set(common), false, now);
                }
                Reply::Int(len)
            }
            _ => return Err("the model has no such call"),
        })
    }

    fn on_keys(&mut self, words: &[&str], now: i64) -> Answer {
        Ok(match *words {
            ["DEL", ref keys @ ..] => {
                let is_gone = |key: &&&str| {
                    self.get_mut(key, now).is_some() && self.entries.remove(**key).is_some()
                };
                Reply::Int(keys.iter().filter(is_gone).count() as i64)
            }
            ["RENAME", from, to] => {
                let entry = self.get(from, now).cloned().ok_or("ERR no such key")?;
                self.entries.remove(from);
                self.entries.insert(to.to_owned(), entry);
                Reply::ok()
            }
            ["COPY", from, to, "REPLACE"] => {
                if from == to {
                    return Err("ERR source and destination objects are the same");
                }
                let entry = self.get(from, now).cloned();
                let is_there = entry.is_some();
                self.entries.extend(entry.map(|entry| (to.to_owned(), entry)));
                Reply::Int(i64::from(is_there))
            }
            ["PEXPIRE", key, ms] => {
                let deadline = now + number(ms)?;
                let entry = self.get_mut(key, now);
                let is_there = entry.is_some();
                entry.into_iter().for_each(|entry| entry.deadline = Some(deadline));
                Reply::Int(i64::from(is_there))
            }
            ["PERSIST", key] => {
                let deadline = self.get_mut(key, now).and_then(|entry| entry.deadline.take());
                Reply::Int(i64::from(deadline.is_some()))
            }
            ["PEXPIRETIME", key] => {
                let entry = self.get(key, now);
                Reply::Int(entry.map_or(-2, |entry| entry.deadline.unwrap_or(-1)))
            }
            // Keys that have expired count until they are taken out.
            ["DBSIZE"] => Reply::Int(self.entries.len() as i64),
            ["KEYS", "*"] => {
                let is_there = |key: &&String| self.get(key, now).is_some();
                Reply::texts(self.entries.keys().filter(is_there))
            }
            ["FLUSHALL"] => {
                self.entries.clear();
                Reply::ok()
            }
            _ => return Err("the model has no such call"),
        })
    }
}

/// Whether the elements of a call's reply have no order.
pub fn has_no_order(call: &Call) -> bool {
    matches!(call.name(), "KEYS" | "SMEMBERS")
}

fn number(word: &str) -> Result<i64, &'static str> {
    word.parse().map_err(|_| "ERR value is not an integer or out of range")
}

/// The key that the last of these effects takes something from.
pub fn popped(effects: &[u8]) -> Option<String> {
    let (mut at, mut key) = (0, None);
    while let Ok(Some((Reply::List(words), len))) = Reply::take(&effects[at..]) {
        at += len;
        if let [Reply::Bulk(name), Reply::Bulk(first), ..] = &words[..]
            && matches!(name.as_str(), "LPOP" | "RPOP")
        {
            key = Some(first.clone());
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The replies to lines, at the time 1,000.
    fn replies(lines: &[&str]) -> Vec<Reply> {
        let mut model = Model::default();
        lines.iter().map(|line| model.run(&Call::of(line), 1_000)).collect()
    }

    fn last(lines: &[&str]) -> Reply {
        replies(lines).pop().expect("there are lines")
    }

    fn list(words: &[&str]) -> Reply {
        Reply::List(words.iter().map(|word| Reply::Bulk((*word).to_owned())).collect())
    }

    #[test]
    fn strings_are_kept() {
        assert_eq!(last(&["SET a x", "APPEND a y", "GET a"]), Reply::bulk(Some("xy")));
        assert_eq!(last(&["INCR a", "INCR a"]), Reply::Int(2));
        assert_eq!(
            last(&["MSET a 1 b 2", "DEL a", "MGET a b"]),
            Reply::List(vec![Reply::Nil, Reply::bulk(Some("2"))])
        );
        assert_eq!(
            last(&["SET a x", "RENAME a b", "COPY b c REPLACE", "MGET b c"]),
            list(&["x", "x"])
        );
    }

    #[test]
    fn lists_and_sets_are_kept() {
        assert_eq!(last(&["LPUSH l a", "LPUSH l b", "RPOP l", "LRANGE l 0 -1"]), list(&["b"]));
        assert_eq!(last(&["LPUSH l a", "LMOVE l k LEFT RIGHT", "DBSIZE"]), Reply::Int(1));
        assert_eq!(
            last(&["SADD a 1", "SADD a 2", "SADD b 2", "SINTERSTORE c a b", "SMEMBERS c"]),
            list(&["2"])
        );
        assert_eq!(
            last(&["LPUSH q 1", "SET w1 x", "SORT q BY nosort GET w* GET #"]),
            list(&["x", "1"])
        );
        assert_eq!(last(&["LPUSH l a", "GET l"]), Reply::Error(WRONG_TYPE.to_owned()));
    }

    #[test]
    fn who_waits_is_served_with_what_there_is() {
        let pushed = ["LPUSH l a", "LPUSH l b", "LPUSH l c"];
        let after = |line: &str| last(&[&pushed[..], &[line]].concat());
        assert_eq!(after("BLPOP k l 1"), list(&["l", "c"]));
        assert_eq!(after("BRPOP l k 1"), list(&["l", "a"]));
        assert_eq!(after("BLMOVE l k LEFT RIGHT 1"), Reply::Bulk("c".to_owned()));
        let several = Reply::List(vec![Reply::Bulk("l".to_owned()), list(&["c", "b"])]);
        assert_eq!(after("BLMPOP 1 2 k l LEFT COUNT 2"), several);
        assert_eq!(after("BLPOP k 1"), Reply::Nil);
        let mut model = Model::default();
        pushed.iter().for_each(|line| drop(model.run(&Call::of(line), 1_000)));
        assert_eq!(model.ready(&Call::of("BLPOP k l 1"), 1_000), Some("l"));
        assert_eq!(model.ready(&Call::of("BLMOVE k l LEFT RIGHT 1"), 1_000), None);
    }

    #[test]
    fn what_has_expired_is_not_there() {
        let mut model = Model::default();
        model.run(&Call::of("SET x 1 PX 10"), 1_000);
        assert!(!model.expire("x", 1_009), "its time has not come");
        assert_eq!(model.run(&Call::of("GET x"), 1_009), Reply::bulk(Some("1")));
        assert_eq!(model.run(&Call::of("GET x"), 1_010), Reply::Nil);
        assert!(model.expire("x", 1_010) && model.entries.is_empty());
    }
}
