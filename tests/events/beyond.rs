//! Keyspace events that Redis has and Valkey has not: those of fields (Redis 8.8), `overwritten`
//! and `type_changed` (Redis 8.2).
//!
//! No server of them is at hand to record from, so the tables are written by hand, from what Redis
//! documents and does. Fields that have expired are those of Troupe: all of a hash go at once, and
//! a deadline that has passed gives `hexpired`, where Redis says `hdel`.

use super::{Recorder, call, set_up};
use crate::support::client::Client;
use crate::support::server::Options;

/// A sample, and of each event of fields its name, what `T` has it say and the database.
const FIELDS: &[(&str, &str)] = &[
    ("HSET k f v", "hset 1:k|1:f 0"),
    ("HSET k f v longer w f x", "hset 1:k|1:f,6:longer,1:f 0"),
    ("HMSET k f v g w", "hset 1:k|1:f,1:g 0"),
    ("HSET k f v | HSET k f v", "hset 1:k|1:f 0"),
    ("HSETNX k f v", "hset 1:k|1:f 0"),
    ("HSET k f v | HSETNX k f w", ""),
    ("HSET k f v g w | HDEL k f x f", "hdel 1:k|1:f 0"),
    ("HSET k f v g w | HDEL k g f", "hdel 1:k|1:g,1:f 0"),
    ("HSET k f v | HDEL k x", ""),
    ("HINCRBY k f 1", "hincrby 1:k|1:f 0"),
    ("HINCRBYFLOAT k f 1.5", "hincrbyfloat 1:k|1:f 0"),
    ("HSET k f v g w | HEXPIRE k 100 FIELDS 3 f x g", "hexpire 1:k|1:f,1:g 0"),
    ("HSET k f v | HEXPIRE k 100 FIELDS 2 f f", "hexpire 1:k|1:f,1:f 0"),
    ("HSET k f v | HEXPIRE k 100 XX FIELDS 1 f", ""),
    ("HSET k f v g w | HPEXPIREAT k 1 FIELDS 2 f x", "hexpired 1:k|1:f 0"),
    ("HSETEX k EX 100 FIELDS 1 f v; HSET k g w | HPERSIST k FIELDS 3 g f x", "hpersist 1:k|1:f 0"),
    ("HSET k f v | HPERSIST k FIELDS 1 f", ""),
    ("HSET k f v g w | HGETDEL k FIELDS 3 f x f", "hdel 1:k|1:f 0"),
    ("HSET k f v | HGETEX k FIELDS 1 f", ""),
    ("HSET k f v | HGETEX k EX 100 FIELDS 2 f x", "hexpire 1:k|1:f 0"),
    ("HSET k f v g w | HGETEX k PXAT 1 FIELDS 1 f", "hexpired 1:k|1:f 0"),
    ("HSETEX k EX 100 FIELDS 1 f v | HGETEX k PERSIST FIELDS 2 f x", "hpersist 1:k|1:f 0"),
    ("HSETEX k FIELDS 2 f v f w", "hset 1:k|1:f,1:f 0"),
    ("HSETEX k EX 100 FIELDS 2 f v g w", "hset 1:k|1:f,1:g 0, hexpire 1:k|1:f,1:g 0"),
    (
        "HSET k f v g w | HSETEX k PXAT 1 FIELDS 2 f x h y",
        "hset 1:k|1:f 0, hexpire 1:k|1:f 0, hexpired 1:k|1:f 0",
    ),
    ("HSET k f v | HSETEX k FNX FIELDS 1 f w", ""),
    // Expired by itself, and as the next call finds it.
    (
        "HSET k h x; HSETEX k PX 1 FIELDS 1 f v; TICK | DEBUG SET-ACTIVE-EXPIRE 1; UNTIL 1 HLEN k",
        "hexpired 1:k|1:f 0",
    ),
    ("HSET k h x; HPEXPIRE k 1 FIELDS 1 h; TICK | HGET k h", "hexpired 1:k|1:h 0"),
    (
        "HSET k h x g y; HPEXPIRE k 1 FIELDS 1 h; TICK | HSETEX k EX 100 FIELDS 1 h z",
        "hexpired 1:k|1:h 0, hset 1:k|1:h 0, hexpire 1:k|1:h 0",
    ),
    (
        "HSET k h x g y; HPEXPIRE k 1 FIELDS 1 h; TICK | HGETEX k PERSIST FIELDS 2 h g",
        "hexpired 1:k|1:h 0",
    ),
    (
        "HSET k h x g y; HPEXPIRE k 1 FIELDS 1 h; TICK | HGETDEL k FIELDS 2 h g",
        "hexpired 1:k|1:h 0, hdel 1:k|1:g 0",
    ),
    // Other databases, transactions, and what is not about fields.
    ("SELECT 1; HSET k f v; SELECT 0", "hset 1:k|1:f 1"),
    ("MULTI; HSET k f v; HSET other g w; EXEC", "hset 1:k|1:f 0, hset 5:other|1:g 0"),
    ("HSET k f v | DEL k", ""),
    ("HSET k f v | RENAME k d", ""),
    ("HSET k f v | COPY k d", ""),
    ("HSET k f v | HLEN k", ""),
    ("SADD k m; ZADD z 1 m; RPUSH l a", ""),
    ("SADD k m n; SEXPIRE k 100 MEMBERS 1 m; SEXPIRE k 0 MEMBERS 1 n", ""),
];

/// A sample, and the name, key and database of each event.
const OVERWRITTEN: &[(&str, &str)] = &[
    ("SET k v", "new k 0, set k 0"),
    ("SET k v | SET k v", "overwritten k 0, set k 0"),
    ("RPUSH k a | SET k v", "overwritten k 0, type_changed k 0, set k 0"),
    ("SET k v EX 100 | SET k w KEEPTTL", "overwritten k 0, set k 0"),
    ("SET k v | SET k w EX 100", "overwritten k 0, set k 0, expire k 0"),
    ("SET k v | SET k w NX", ""),
    ("SET k v | SET k w XX GET", "overwritten k 0, set k 0"),
    ("HSET k f v | SETEX k 100 w", "overwritten k 0, type_changed k 0, set k 0, expire k 0"),
    ("SET k v | PSETEX k 100000 w", "overwritten k 0, set k 0, expire k 0"),
    ("SET k v | GETSET k w", "overwritten k 0, set k 0"),
    ("SET k v | SETNX k w", ""),
    (
        "RPUSH a v | MSET a 1 b 2 b 3",
        "overwritten a 0, type_changed a 0, set a 0, new b 0, set b 0, overwritten b 0, set b 0",
    ),
    ("MSETNX a 1 b 2", "new a 0, set a 0, new b 0, set b 0"),
    ("SET a v | MSETEX 1 a w", "overwritten a 0, set a 0"),
    ("SET k v PX 1; TICK | SET k w", "expired k 0, new k 0, set k 0"),
    // What changes a value in place.
    ("SET k v | APPEND k w", "append k 0"),
    ("SET k v | SETRANGE k 1 w", "setrange k 0"),
    ("SET k 1 | INCR k", "incrby k 0"),
    ("SET k 1 | INCRBYFLOAT k 1.5", "incrbyfloat k 0"),
    ("SET k v | SETBIT k 0 1", "setbit k 0"),
    ("PFADD d 1; PFADD b 2 | PFMERGE d b", "pfadd d 0"),
    ("HSET k f v | HSET k f w", "hset k 0"),
    // Keys over keys.
    ("SET k v | RENAME k d", "new d 0, rename_from k 0, rename_to d 0"),
    ("SET k v; SET d w | RENAME k d", "new d 0, rename_from k 0, rename_to d 0, overwritten d 0"),
    (
        "SET k v; RPUSH d w | RENAME k d",
        "new d 0, rename_from k 0, rename_to d 0, overwritten d 0, type_changed d 0",
    ),
    ("SET k v | RENAME k k", ""),
    ("SET k v; SET d w | RENAMENX k d", ""),
    ("SET k v | COPY k d", "new d 0, copy_to d 0"),
    ("SET k v; SET d w | COPY k d REPLACE", "new d 0, copy_to d 0, overwritten d 0"),
    (
        "SET k v; SELECT 1; HSET d f v; SELECT 0 | COPY k d DB 1 REPLACE",
        "new d 1, copy_to d 1, overwritten d 1, type_changed d 1",
    ),
    ("SET k v; SELECT 1; SELECT 0 | MOVE k 1", "new k 1, move_from k 0, move_to k 1"),
    // Results over keys.
    ("SET a 1; SET d 2 | BITOP NOT d a", "overwritten d 0, set d 0"),
    ("SET a 1; RPUSH d 2 | BITOP NOT d a", "overwritten d 0, type_changed d 0, set d 0"),
    ("RPUSH k 2 1; RPUSH d x | SORT k STORE d", "overwritten d 0, sortstore d 0"),
    ("RPUSH k 2 1; SET d x | SORT k STORE d", "overwritten d 0, type_changed d 0, sortstore d 0"),
    ("SET d x | SORT k STORE d", "del d 0"),
    ("SADD a 1; SADD d 2 | SINTERSTORE d a a", "overwritten d 0, sinterstore d 0"),
    ("SADD a 1; SET d 2 | SUNIONSTORE d a", "overwritten d 0, type_changed d 0, sunionstore d 0"),
    ("SADD a 1; SET d 2 | SDIFFSTORE d a", "overwritten d 0, type_changed d 0, sdiffstore d 0"),
    ("SET d 2 | SUNIONSTORE d a", "del d 0"),
    (
        "ZADD a 1 m; SET d 2 | ZUNIONSTORE d 1 a",
        "overwritten d 0, type_changed d 0, zunionstore d 0",
    ),
    ("ZADD a 1 m; ZADD d 2 m | ZINTERSTORE d 1 a", "overwritten d 0, zinterstore d 0"),
    ("ZADD a 1 m; ZADD d 2 m | ZDIFFSTORE d 1 a", "overwritten d 0, zdiffstore d 0"),
    (
        "ZADD a 1 m; SET d 2 | ZRANGESTORE d a 0 -1",
        "overwritten d 0, type_changed d 0, zrangestore d 0",
    ),
    (
        "GEOADD a 1 1 m; SET d 2 | GEOSEARCHSTORE d a FROMMEMBER m BYRADIUS 1 km",
        "overwritten d 0, type_changed d 0, geosearchstore d 0",
    ),
    (
        "GEOADD a 1 1 m; ZADD d 2 m | GEORADIUS a 1 1 100 km STORE d",
        "overwritten d 0, georadiusstore d 0",
    ),
];

/// Holds a table to what servers of one shard and of two send.
fn check(table: &[(&str, &str)], letters: &str, channels: &'static str) {
    for shards in [1, 2] {
        let server = Options::shards(shards).debug().start();
        let mut recorder = Recorder::start(server.client(), server.client(), letters, channels);
        for (sample, wanted) in table {
            assert_eq!(recorder.events(sample), *wanted, "{sample}, with {shards} shards");
        }
    }
}

#[test]
fn events_of_fields_name_what_was_affected() {
    check(FIELDS, "Th", "__subkeyevent");
}

#[test]
fn what_is_overwritten_is_told_where_redis_tells_it() {
    check(OVERWRITTEN, "EAnoc", "__keyevent");
}

/// A client that hears all channels of events; channel and message of each, by a bar between them.
struct Listener(Client);

impl Listener {
    fn start(mut client: Client) -> Listener {
        client.line("PSUBSCRIBE __*");
        Listener(client)
    }

    /// What was sent because of some calls.
    fn hears(&mut self, caller: &mut Client, letters: &str, calls: &[&[&[u8]]]) -> Vec<String> {
        caller.call(&["CONFIG", "SET", "notify-keyspace-events", letters]);
        calls.iter().for_each(|words| drop(caller.call(words)));
        caller.line("PUBLISH __end x");
        let mut heard = Vec::new();
        loop {
            let message = self.0.read().unwrap();
            let [_, _, channel, said] = message.members() else { panic!("{message:?}") };
            if channel.text() == "__end" {
                return heard;
            }
            let bytes = [channel.bytes().unwrap(), b" ", said.bytes().unwrap()].concat();
            heard.push(bytes.escape_ascii().to_string());
        }
    }
}

#[test]
fn fields_are_told_by_four_channels() {
    for shards in [1, 2] {
        let server = Options::shards(shards).debug().start();
        let (mut caller, mut listener) = (server.client(), Listener::start(server.client()));
        let hset: &[&[u8]] = &[b"HSET", b"k", b"f", b"1", b"two", b"2"];
        assert_eq!(
            listener.hears(&mut caller, "KEASTIV", &[hset]),
            [
                "__keyspace@0__:k hset",
                "__keyevent@0__:hset k",
                "__subkeyspace@0__:k hset|1:f,3:two",
                "__subkeyevent@0__:hset 1:k|1:f,3:two",
                r"__subkeyspaceitem@0__:k\nf hset",
                r"__subkeyspaceitem@0__:k\ntwo hset",
                "__subkeyspaceevent@0__:hset|k 1:f,3:two",
            ]
        );
        let odd: &[&[u8]] = &[b"HSET", b"a|b", b"x,1:y", b"1", b"", b"2", b"\n\xff", b"3"];
        assert_eq!(
            listener.hears(&mut caller, "STIVh", &[odd]),
            [
                r"__subkeyspace@0__:a|b hset|5:x,1:y,0:,2:\n\xff",
                r"__subkeyevent@0__:hset 3:a|b|5:x,1:y,0:,2:\n\xff",
                r"__subkeyspaceitem@0__:a|b\nx,1:y hset",
                r"__subkeyspaceitem@0__:a|b\n hset",
                r"__subkeyspaceitem@0__:a|b\n\n\xff hset",
                r"__subkeyspaceevent@0__:hset|a|b 5:x,1:y,0:,2:\n\xff",
            ]
        );
        let broken: &[&[u8]] = &[b"HSET", b"k\n", b"f", b"1"];
        let heard = listener.hears(&mut caller, "IVh", &[broken]);
        assert_eq!(heard, [r"__subkeyspaceevent@0__:hset|k\n 1:f"], "no key with a line break");
    }
}

#[test]
fn nothing_is_sent_that_is_not_asked_for() {
    let server = Options::shards(2).debug().start();
    let (mut caller, mut listener) = (server.client(), Listener::start(server.client()));
    set_up(&mut caller, "HSET k f v");
    call(&mut caller, "SET s v");
    let calls: &[&[&[u8]]] = &[&[b"HSET", b"k", b"f", b"w"], &[b"SET", b"s", b"w"]];
    for (letters, wanted) in [
        ("", &[][..]),
        ("Ah", &[]),
        ("STIV", &[]),
        ("STIV$oc", &[]),
        ("KA", &["__keyspace@0__:k hset", "__keyspace@0__:s set"]),
        ("Ko", &["__keyspace@0__:s overwritten"]),
        ("Ec", &[]),
        ("Sh", &["__subkeyspace@0__:k hset|1:f"]),
        ("Th", &["__subkeyevent@0__:hset 1:k|1:f"]),
        ("Ih", &[r"__subkeyspaceitem@0__:k\nf hset"]),
        ("Vh", &["__subkeyspaceevent@0__:hset|k 1:f"]),
        ("K$S", &["__keyspace@0__:s set"]),
    ] {
        assert_eq!(listener.hears(&mut caller, letters, calls), wanted, "{letters}");
    }
}

#[test]
fn a_restored_key_tells_what_it_replaces() {
    for shards in [1, 2] {
        let server = Options::shards(shards).debug().start();
        let (mut caller, mut listener) = (server.client(), Listener::start(server.client()));
        set_up(&mut caller, "SET k v; RPUSH l a");
        let payload = caller.call(&["DUMP", "k"]);
        let payload = payload.bytes().unwrap();
        let mut restore = |name: &[u8]| {
            let call: &[&[u8]] = &[b"RESTORE", name, b"0", payload, b"REPLACE"];
            let heard = listener.hears(&mut caller, "EAoc", &[call]);
            let names = heard.iter().map(|line| line.trim_start_matches("__keyevent@0__:"));
            names.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(restore(b"new"), "restore new");
        assert_eq!(restore(b"k"), "restore k, overwritten k");
        assert_eq!(restore(b"l"), "restore l, overwritten l, type_changed l");
    }
}

#[test]
fn the_letters_come_back_in_the_order_of_redis() {
    let server = Options::shards(1).start();
    let mut client = server.client();
    for (letters, canonical) in [
        ("VITSmEKcon", "nocKEmSTIV"),
        ("STIVA", "ASTIV"),
        ("ocKA", "AocK"),
        ("hS", "hS"),
        ("VSx$g", "g$xSV"),
    ] {
        client.call(&["CONFIG", "SET", "notify-keyspace-events", letters]);
        let got = client.line("CONFIG GET notify-keyspace-events");
        assert_eq!(got.members()[1].text(), canonical, "{letters}");
    }
    assert!(client.line("CONFIG SET notify-keyspace-events Kq").error().is_some());
}
