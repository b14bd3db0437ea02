//! Writes of all kinds, for tests that run them while something is written about the keys.

use crate::shard::SLICE_NS;
use crate::testing::{Shards, Stepping, Store, printed};

/// Elements of the large collections.
pub(crate) const LARGE: u64 = 700;

/// Keys that hold large collections at first.
pub(crate) const LARGE_KEYS: &[&str] = &["list", "hash", "set", "zset", "stream"];

/// Collections of all types that are written in several pieces; some elements have deadlines.
pub(crate) fn fill_large(shards: &mut Shards, tag: &str) {
    for number in 0..LARGE {
        let (deadline, at) = (shards.now.0 + 40 + number as i64, number + 1);
        for line in [
            format!("RPUSH {tag}list i{number}"),
            format!("HSET {tag}hash f{number} v{number}"),
            format!("SADD {tag}set m{number}"),
            format!("ZADD {tag}zset {} m{number}", number % 40),
            format!("XADD {tag}stream 1-{at} field v{number}"),
        ] {
            shards.run(&line);
        }
        if number % 3 == 0 {
            shards.run(&format!("HPEXPIREAT {tag}hash {deadline} FIELDS 1 f{number}"));
            shards.run(&format!("SPEXPIREAT {tag}set {deadline} MEMBERS 1 m{number}"));
            shards.run(&format!("ZPEXPIREAT {tag}zset {deadline} MEMBERS 1 m{number}"));
        }
        match number {
            100 => drop(shards.run(&format!("XGROUP CREATE {tag}stream g 0"))),
            400 => {
                shards.run(&format!("XREADGROUP GROUP g one COUNT 300 STREAMS {tag}stream >"));
                shards.run(&format!("XREADGROUP GROUP g two COUNT 50 STREAMS {tag}stream >"));
                shards.run(&format!("XTRIM {tag}stream MAXLEN 90"));
                shards.run(&format!("XGROUP CREATE {tag}stream h 1-200"));
                shards.run(&format!("XGROUP CREATECONSUMER {tag}stream h idle"));
            }
            _ => {}
        }
    }
}

/// A command of any kind on small values; most are writes.
pub(crate) fn any_write(random: &mut fastrand::Rng, tag: &str, round: u64) -> String {
    let mut key = || {
        let tag = if random.u8(..3) > 0 { tag } else { "" };
        format!("{tag}{}", random.u16(..210))
    };
    let (a, b) = (key(), key());
    match random.u8(..24) {
        0..4 => format!("SET {a} {round} PX {}", random.u8(1..50)),
        4 => format!("APPEND {a} +"),
        5..8 => format!("DEL {a} {b}"),
        8..10 => format!("MSET {a} 1 {b} 2"),
        10..12 => format!("RENAME {a} {b}"),
        12 => format!("COPY {a} {b} DB {} REPLACE", random.u8(..3)),
        13 => format!("MOVE {a} {}", random.u8(..3)),
        14 => format!("PERSIST {a}"),
        15 if random.u8(..16) == 0 => "FLUSHDB".to_owned(),
        16 if random.u8(..8) == 0 => format!("DEBUG POPULATE 40 {tag}"),
        17 => format!("SWAPDB 0 {}", random.u8(1..3)),
        _ => format!("GET {a}"),
    }
}

/// A write to large collections, which may be at the marker.
pub(crate) fn any_large_write(random: &mut fastrand::Rng, tag: &str, round: u64) -> String {
    let mut key = |kind: &str| match random.u8(..4) {
        0 => format!("{kind}{}", random.u8(..4)),
        1 => format!("{tag}{kind}{}", random.u8(..2)),
        _ => format!("{tag}{kind}"),
    };
    let kinds = [key("list"), key("hash"), key("set"), key("zset"), key("stream")];
    let [list, hash, set, zset, stream] = &kinds;
    let (other_list, other_set, other_zset) = (key("list"), key("set"), key("zset"));
    let any = kinds[random.usize(..kinds.len())].clone();
    let number = random.u64(..LARGE);
    match random.u8(..40) {
        0 => format!("RPUSH {list} r{round} s{round}"),
        1 => format!("LPOP {list} 2"),
        2 => format!("LSET {list} {number} set{round}"),
        3 => format!("LINSERT {list} BEFORE i{number} in{round}"),
        4 => format!("LREM {list} 0 i{number}"),
        5 => format!("LMOVE {list} {other_list} LEFT RIGHT"),
        6 => format!("HSET {hash} f{number} {round} new{round} 1"),
        7 => format!("HDEL {hash} f{number}"),
        8 => format!("HPEXPIRE {hash} {} FIELDS 1 f{number}", random.u8(..)),
        9 => format!("HINCRBY {hash} count 3"),
        10 => format!("SADD {set} m{number} new{round}"),
        11 => format!("SPOP {set} 3"),
        12 => format!("SMOVE {set} {other_set} m{number}"),
        13 => format!("SUNIONSTORE {other_set} {set} {other_set}"),
        14 => format!("SPEXPIRE {set} {} MEMBERS 1 m{number}", random.u8(..)),
        15 => format!("ZADD {zset} {} m{number} 7 new{round}", random.u8(..)),
        16 => format!("ZPOPMIN {zset} 2"),
        17 => format!("ZRANGESTORE {other_zset} {zset} 0 -3"),
        18 => format!("ZINCRBY {zset} 2 m{number}"),
        19 => format!("ZREMRANGEBYRANK {zset} 5 6"),
        20..23 => format!("XADD {stream} {}-{round} field {round}", 1 + round / 300),
        23 => format!("XDEL {stream} 1-{number}"),
        24 => format!("XREADGROUP GROUP g one COUNT 3 STREAMS {stream} >"),
        25 => format!("XACK {stream} g 1-{number}"),
        26 => format!("XCLAIM {stream} g three 0 1-{number}"),
        27 => format!("XGROUP CREATE {stream} h 0"),
        28 => format!("SORT {list} ALPHA STORE {other_list}"),
        29 => format!("SORT {set} ALPHA BY no* LIMIT 0 99 STORE {list}"),
        30 => format!("COPY {any} {tag}copy DB {} REPLACE", random.u8(..3)),
        31 => format!("MOVE {any} {}", random.u8(..3)),
        32 => format!("RENAME {any} {any}1"),
        33 => format!("RENAME {any}1 {any}"),
        34 => format!("PEXPIRE {any} {}", 100 + random.u16(..500)),
        35 => format!("PERSIST {any}"),
        36 => format!("LMPOP 2 {list} {other_list} LEFT COUNT 2"),
        37 => format!("SWAPDB {} {}", random.u8(..3), random.u8(..3)),
        38 if random.u8(..8) == 0 => format!("DEL {any}"),
        39 if random.u8(..8) == 0 => format!("SET {any} string{round}"),
        _ => format!("EXPIRE {any} 100"),
    }
}

/// A client adds a member to the set `{t}large` while that is written: it waits until that is done,
/// and nobody else does. Returns how many turns it waited.
pub(crate) fn add_to_what_is_written(store: &mut Store) -> usize {
    let clock = &mut Stepping::by(SLICE_NS / 20);
    let writing = store.batch(&[b"SADD", b"{t}large", b"m1", b"new"]);
    assert!(store.shard.visit(writing, clock).is_none(), "the rest takes more than a slice");
    for line in [&[&b"SCARD"[..], b"{t}large"][..], &[b"SET", b"{t}small", b"2"]] {
        let other = store.batch(line);
        assert!(store.shard.visit(other, clock).is_some(), "it does not change that key");
    }
    let mut turns = 0;
    while store.shard.work(store.now, clock) {
        turns += 1;
    }
    assert_eq!(printed(&store.shard.outbox.homes[0].replies), "(integer) 1");
    turns
}
