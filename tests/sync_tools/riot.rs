//! RIOT's replication: keys by SCAN and by events, values by a script that it loads.

use std::collections::BTreeSet;

use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::samples::Words;
use crate::support::server::Server;

use super::{Writer, command, scan};

/// How it reads and writes values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Values {
    /// DUMP and RESTORE.
    Payloads,
    /// By the commands of each type.
    ByType,
}

/// What reads a key: its deadline, its type, its size in memory, its value.
const SCRIPT: &str = "local key = KEYS[1]
local left = redis.call('PTTL', key)
if left == -2 then
  return {key, left}
end
if left >= 0 then
  local now = redis.call('TIME')
  left = left + now[1] * 1000 + math.floor(now[2] / 1000)
end
local kind = redis.call('TYPE', key).ok
local size = redis.call('MEMORY', 'USAGE', key, 'SAMPLES', tonumber(ARGV[2]))
local reads = {
  hash = {'HGETALL', key}, list = {'LRANGE', key, 0, -1}, set = {'SMEMBERS', key},
  stream = {'XRANGE', key, '-', '+'}, string = {'GET', key},
  zset = {'ZRANGE', key, 0, -1, 'WITHSCORES'},
}
local read = ARGV[1] == 'dump' and {'DUMP', key} or reads[kind]
return {key, left, kind, size, redis.call(unpack(read))}";

/// The types that it asks for, one after the other.
const TYPES: [&str; 6] = ["string", "list", "set", "zset", "hash", "stream"];

/// Keys that it reads in one pipeline.
const AT_ONCE: usize = 50;

/// The reader of one database.
pub(super) struct Riot {
    client: Client,
    db: usize,
    values: Values,
    script: String,
}

impl Riot {
    pub(super) fn new(source: &Server, db: usize, values: Values) -> Riot {
        let mut client = source.client();
        assert!(client.line(&format!("SELECT {db}")).is_ok());
        let script = client.call(&["SCRIPT", "LOAD", SCRIPT]).text();
        Riot { client, db, values, script }
    }

    pub(super) fn copy_all(&mut self, writer: &mut Writer) {
        for kind in TYPES {
            let keys = scan(&mut self.client, &format!("MATCH * COUNT 1000 TYPE {kind}"));
            self.copy(&keys, writer);
        }
    }

    /// Copies these keys, those too that are gone.
    pub(super) fn copy(&mut self, keys: &[Vec<u8>], writer: &mut Writer) {
        for keys in keys.chunks(AT_ONCE) {
            let mode: &[u8] = if self.values == Values::Payloads { b"dump" } else { b"struct" };
            let read = |key: &Vec<u8>| {
                command([b"EVALSHA", self.script.as_bytes(), b"1", key, mode, b"5"])
            };
            let asked: Vec<Words> = keys.iter().map(read).collect();
            for (key, reply) in keys.iter().zip(self.client.pipeline(&asked).unwrap()) {
                match reply.members() {
                    [_, left] => {
                        assert_eq!(*left, Reply::Integer(-2));
                        writer.write(self.db, command([b"DEL", key]));
                    }
                    [_, deadline, kind, size, value] => {
                        assert!(size.number() > Some(0), "{reply:?}");
                        self.write(key, deadline.number().unwrap(), &kind.text(), value, writer);
                    }
                    _ => panic!("{reply:?}"),
                }
            }
        }
    }

    fn write(&self, key: &[u8], deadline: i64, kind: &str, value: &Reply, writer: &mut Writer) {
        let time = deadline.max(0).to_string();
        if self.values == Values::Payloads {
            let payload = value.bytes().unwrap();
            let words = [b"RESTORE", key, time.as_bytes(), payload, b"REPLACE", b"ABSTTL"];
            return writer.write(self.db, command(words));
        }
        writer.write(self.db, command([b"DEL", key]));
        writes(key, kind, value).into_iter().for_each(|words| writer.write(self.db, words));
        if deadline > 0 {
            writer.write(self.db, command([b"PEXPIREAT", key, time.as_bytes()]));
        }
    }
}

/// What makes a value anew.
fn writes(key: &[u8], kind: &str, value: &Reply) -> Vec<Words> {
    let name: &[u8] = match kind {
        "string" => return vec![command([b"SET", key, value.bytes().unwrap()])],
        "stream" => return value.members().iter().flat_map(|it| entry(key, it)).collect(),
        "hash" => b"HSET",
        "list" => b"RPUSH",
        "set" => b"SADD",
        "zset" => b"ZADD",
        other => panic!("{other}"),
    };
    let bytes = |word: &Reply| word.bytes().map(<[u8]>::to_vec);
    let mut elements: Words = value.members().iter().map(bytes).collect::<Option<_>>().unwrap();
    if kind == "zset" {
        // The score comes first.
        elements.chunks_mut(2).for_each(|pair| pair.reverse());
    }
    vec![[command([name, key]), elements].concat()]
}

/// What adds an entry of a stream.
fn entry(key: &[u8], entry: &Reply) -> Option<Words> {
    let [id, fields] = entry.members() else { return None };
    let fields = fields.members().iter().filter_map(Reply::bytes).map(<[u8]>::to_vec);
    let words = command([b"XADD", key, id.bytes()?]).into_iter();
    Some(words.chain(fields).collect())
}

/// What hears of changes.
pub(super) struct Listener {
    client: Client,
    prefix: String,
}

impl Listener {
    pub(super) fn new(source: &Server, db: usize) -> Listener {
        let mut client = source.client();
        assert!(client.line("CONFIG SET notify-keyspace-events KEA").is_ok());
        let said = client.line("CONFIG GET notify-keyspace-events");
        assert_eq!(said.members()[1].text(), "AKE");
        let prefix = format!("__keyspace@{db}__:");
        client.line(&format!("PSUBSCRIBE {prefix}*"));
        Listener { client, prefix }
    }

    /// The keys that have changed up to now.
    pub(super) fn changed(&mut self, source: &Server) -> Vec<Vec<u8>> {
        const LAST: &[u8] = b"last";
        source.client().line(&format!("PUBLISH {}last x", self.prefix));
        let mut keys = BTreeSet::new();
        loop {
            let message = self.client.read().unwrap();
            let [_, _, channel, _] = message.members() else { panic!("no event: {message:?}") };
            let key = channel.bytes().unwrap().strip_prefix(self.prefix.as_bytes()).unwrap();
            if key == LAST {
                assert!(keys.len() > 10, "{} keys are too few to prove anything", keys.len());
                return keys.into_iter().collect();
            }
            keys.insert(key.to_vec());
        }
    }
}
