//! Payloads of DUMP between servers: what Valkey 9.1, Redis 8.0 and Redis 7.0 give is restored here
//! as they have it, and what Troupe gives is restored there; and payloads that are damaged.
//!
//! Every server makes keys of all types and forms, at random and by list, with the limits of packed
//! forms as they are and at nothing, so that each key is there in both. All that can be read out of
//! a key is compared.

pub(crate) mod samples;

use std::collections::BTreeMap;

use crate::foreign::contents::{Contents, differences};
use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};

/// Differences that are shown.
const SHOWN: usize = 40;

/// Payloads by their keys, with the deadlines.
pub(crate) type Payloads = BTreeMap<Vec<u8>, (Vec<u8>, i64)>;

/// The payloads of all keys of a server.
fn dump_all(client: &mut Client) -> Payloads {
    let reply = client.line("KEYS *");
    dump(client, reply.members().iter().filter_map(Reply::bytes))
}

/// The payloads of these keys.
pub(crate) fn dump<'a>(client: &mut Client, names: impl Iterator<Item = &'a [u8]>) -> Payloads {
    let mut payloads = Payloads::new();
    for name in names {
        let payload = client.call(&[b"DUMP", name]);
        let deadline = client.call(&[b"PEXPIRETIME", name]).number().unwrap_or(-1);
        let payload = payload.bytes().unwrap_or_else(|| panic!("{payload:?}")).to_vec();
        payloads.insert(name.to_vec(), (payload, deadline));
    }
    payloads
}

/// Restores them. Returns the keys that were refused, each with the error.
pub(crate) fn restore_all(client: &mut Client, payloads: &Payloads) -> Vec<(Vec<u8>, String)> {
    let mut refused = Vec::new();
    for (name, (payload, deadline)) in payloads {
        let time = deadline.max(&0).to_string();
        let words = [b"RESTORE", &**name, time.as_bytes(), payload, b"ABSTTL"];
        if let Some(error) = client.call(&words).error() {
            refused.push((name.clone(), error.to_owned()));
        }
    }
    refused
}

fn assert_same(what: &str, wanted: &mut Client, found: &mut Client) {
    let mut found = differences(&Contents::of(wanted), &Contents::of(found));
    let total = found.len();
    found.truncate(SHOWN);
    assert!(total == 0, "{what}:\n{}\n{total} differences", found.join("\n"));
}

fn ours() -> Options {
    Options::shards(2).debug()
}

fn restore_what_it_dumps(oracle: Oracle) {
    let Some(theirs) = oracle.start() else { return };
    let mut client = theirs.client();
    samples::make(&mut client);
    let payloads = dump_all(&mut client);
    assert!(payloads.len() > 200, "{oracle:?} has only {} keys", payloads.len());
    let server = ours().start();
    let refused = restore_all(&mut server.client(), &payloads);
    assert!(refused.is_empty(), "{oracle:?}: {:?}", &refused[..refused.len().min(SHOWN)]);
    assert_same(&format!("{oracle:?} to ours"), &mut client, &mut server.client());
    println!("{oracle:?}: {} keys", payloads.len());
}

#[test]
fn what_valkey_dumps_is_restored() {
    restore_what_it_dumps(Oracle::Valkey);
}

#[test]
fn what_redis_8_dumps_is_restored() {
    restore_what_it_dumps(Oracle::Redis8);
}

#[test]
fn what_redis_7_dumps_is_restored() {
    restore_what_it_dumps(Oracle::Redis);
}

#[test]
fn what_is_dumped_here_is_restored_everywhere() {
    let server = ours().start();
    let mut client = server.client();
    samples::make(&mut client);
    let payloads = dump_all(&mut client);
    let untimed = ours().start();
    for oracle in [Oracle::Valkey, Oracle::Redis8, Oracle::Redis] {
        let Some(theirs) = oracle.start() else { continue };
        let refused = restore_all(&mut theirs.client(), &payloads);
        if oracle == Oracle::Valkey {
            assert!(refused.is_empty(), "{refused:?}");
            assert_same("ours to Valkey", &mut client, &mut theirs.client());
            continue;
        }
        // Deadlines of fields have no form that both families read.
        let is_timed = |name: &[u8]| name.windows(5).any(|part| part == b"timed");
        let others: Vec<_> = refused.iter().filter(|(name, _)| !is_timed(name)).collect();
        assert!(others.is_empty(), "{oracle:?}: {others:?}");
        untimed.client().line("FLUSHALL");
        let rest = payloads.iter().filter(|(name, _)| !is_timed(name));
        let rest = rest.map(|(name, payload)| (name.clone(), payload.clone())).collect();
        restore_all(&mut untimed.client(), &rest);
        let what = format!("ours to {oracle:?}");
        assert_same(&what, &mut untimed.client(), &mut theirs.client());
    }
}

#[test]
fn restored_keys_are_journaled() {
    let maker = ours().start();
    let mut client = maker.client();
    samples::make(&mut client);
    let payloads = dump_all(&mut client);
    let mut server = ours().journal("always").start();
    assert_eq!(restore_all(&mut server.client(), &payloads), []);
    for line in ["SET k v", "RESTORE k 1 x", "PEXPIRE k 5000000"] {
        server.client().line(line);
    }
    let payload = server.client().line("DUMP k").bytes().unwrap().to_vec();
    for (key, time, word) in [("k", "1", "ABSTTL"), ("relative", "90000000", "REPLACE")] {
        let words = [b"RESTORE", key.as_bytes(), time.as_bytes(), &payload, word.as_bytes()];
        let reply = server.client().call(&[&words[..], &[b"REPLACE"]].concat());
        assert!(reply.is_ok(), "{reply:?}");
    }
    let time = server.client().line("PEXPIRETIME relative").number();
    let digest = server.client().line("DEBUG DIGEST").text();
    server.stop();
    server.restart();
    assert_eq!(server.client().line("DEBUG DIGEST").text(), digest);
    assert_eq!(server.client().line("PEXPIRETIME relative").number(), time);
    server.client().line("DEL relative");
    assert_same("the journal", &mut client, &mut server.client());
}

/// CRC-64 after Jones, a bit at a time.
pub(crate) fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc: u64, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x95ac_9329_ac4b_c9b5 } else { 0 }
        })
    })
}

/// The payload with a right checksum.
fn sealed(mut payload: Vec<u8>) -> Vec<u8> {
    payload.truncate(payload.len() - 8);
    let checksum = crc64(&payload);
    payload.extend(checksum.to_le_bytes());
    payload
}

/// Payloads that are damaged in every place, those of all servers that are there.
fn damaged() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(11);
    let servers = [Oracle::Valkey, Oracle::Redis8, Oracle::Redis].map(Oracle::start);
    let servers: Vec<Server> = servers.into_iter().flatten().chain([ours().start()]).collect();
    let mut all = Vec::new();
    for server in servers {
        let mut client = server.client();
        samples::make_few(&mut client);
        for (payload, _) in dump_all(&mut client).into_values() {
            let body = payload.len() - 10;
            for at in 0..body {
                for change in [0xff, 1 << random.u8(..8), random.u8(1..)] {
                    let mut flipped = payload.clone();
                    flipped[at] ^= change;
                    all.push(sealed(flipped));
                }
                all.push(sealed([&payload[..at], &payload[body..]].concat()));
            }
        }
    }
    all
}

/// What may be done with a key, whatever it holds.
const ATTEMPTS: [&str; 25] = [
    "DEBUG DIGEST-VALUE k",
    "OBJECT ENCODING k",
    "GET k",
    "APPEND k x",
    "LRANGE k 0 -1",
    "LPUSH k x",
    "LINSERT k BEFORE a x",
    "RPOP k 3",
    "SMEMBERS k",
    "SADD k x y 3",
    "SPOP k 2",
    "ZRANGE k 0 -1 WITHSCORES",
    "ZADD k 5 x",
    "ZPOPMAX k",
    "HGETALL k",
    "HSET k x y",
    "HDEL k f",
    "XRANGE k - +",
    "XINFO STREAM k FULL",
    "XPENDING k g",
    "XADD k * f v",
    "XDEL k 1-1",
    "XREADGROUP GROUP g c STREAMS k >",
    "XAUTOCLAIM k g d 0 0",
    "XTRIM k MAXLEN 1",
];

#[test]
fn damaged_payloads_do_no_harm() {
    let payloads = damaged();
    let server = ours().start();
    let mut client = server.client();
    let before = server.rss_bytes();
    let (mut taken, mut commands) = (0, Vec::new());
    let most: usize = payloads.iter().map(Vec::len).max().unwrap_or(0);
    for some in payloads.chunks(64) {
        commands.clear();
        for payload in some {
            let words = [b"RESTORE".to_vec(), b"k".to_vec(), b"0".to_vec(), payload.clone()];
            commands.push([&words[..], &[b"REPLACE".to_vec()]].concat());
            for line in ATTEMPTS {
                commands.push(line.split(' ').map(|word| word.as_bytes().to_vec()).collect());
            }
            commands.push(vec![b"DUMP".to_vec(), b"k".to_vec()]);
            commands.push(vec![b"DEL".to_vec(), b"k".to_vec()]);
        }
        let replies = client.pipeline(&commands).unwrap();
        let of_each = commands.len() / some.len();
        for (payload, replies) in some.iter().zip(replies.chunks(of_each)) {
            taken += usize::from(replies[0].is_ok());
            let said = replies.iter().filter_map(Reply::error).find(|it| it.contains("internal"));
            assert!(said.is_none(), "{said:?}: {}", payload.escape_ascii());
            let known = ["ERR Bad data format", "ERR DUMP payload version or checksum are wrong"];
            let is_known = replies[0].error().is_none_or(|error| known.contains(&error));
            assert!(is_known, "{:?}", replies[0]);
        }
    }
    let grown = server.rss_bytes().saturating_sub(before);
    println!("{} payloads, {taken} taken, grown by {grown} bytes", payloads.len());
    assert!(payloads.len() > 5_000 && taken > 100, "{} payloads, {taken} taken", payloads.len());
    assert!(grown < 64 << 20, "{grown} bytes for payloads of {most} at the most");
    assert!(server.client().line("PING").error().is_none());
    assert!(!server.log().contains("panic"), "{}", server.log());
}
