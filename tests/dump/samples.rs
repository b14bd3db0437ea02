//! Keys of all types and forms.

use crate::support::client::Client;
use crate::support::reply::words;

/// Keys by list.
const LINES: &[&str] = &[
    "SET s:int 12345",
    "SET s:negative -129",
    "SET s:long 9223372036854775807",
    "SET s:zeros 007",
    "SET s:empty ''",
    "SET s:deadline abc PXAT 20000000000000",
    "SETBIT s:bits 4000 1",
    "PFADD s:hll a b c d",
    "APPEND s:raw x",
    "RPUSH l:one a",
    "RPUSH l:mixed a 1 -1 300 -70000 5000000000 9223372036854775807 '' 007",
    "SADD set:16 1 2 -3",
    "SADD set:32 1 70000",
    "SADD set:64 1 9223372036854775807 -9223372036854775808",
    "SADD set:text a b ''",
    "SADD set:both 1 2 a",
    "ZADD z:few 1 a 2.5 b -3 c",
    "ZADD z:ends inf a -inf b 0 c 0 d 1e300 e 5e-300 f 0.1 g 9007199254740993 h",
    "ZADD z:lex 0 a 0 b 0 c",
    "GEOADD z:geo 13.361389 38.115556 P 15.087269 37.502669 C",
    "HSET h:few f v g 12 '' x",
    "HSET h:timed f v g w h x",
    "HPEXPIREAT h:timed 20000000000000 FIELDS 1 f",
    "HPEXPIREAT h:timed 20000000000077 FIELDS 1 g",
    "XGROUP CREATE x:empty g $ MKSTREAM",
    "XGROUP CREATECONSUMER x:empty g idle",
    "XADD x:few 1-1 f v",
    "XADD x:few 1-2 f w",
    "XADD x:few 5-0 g 1 h ''",
    "XADD x:few 700000-9 f 5000000000",
    "XADD x:gone 1-1 f v",
    "XADD x:gone 2-1 f v",
    "XDEL x:gone 1-1 2-1",
    "XADD x:set 3-3 f v",
    "XSETID x:set 9-9 ENTRIESADDED 100 MAXDELETEDID 2-0",
    "XGROUP CREATE x:few g 0",
    "XREADGROUP GROUP g c COUNT 2 STREAMS x:few >",
    "XREADGROUP GROUP g d COUNT 1 STREAMS x:few >",
    "XREADGROUP GROUP g d COUNT 1 STREAMS x:few 0",
    "XCLAIM x:few g e 0 1-2 RETRYCOUNT 7",
    "XACK x:few g 5-0",
    "XDEL x:few 1-1",
    "XGROUP CREATE x:few second 1-2 ENTRIESREAD 2",
    "XGROUP CREATE x:few third $",
];

/// The limits of packed forms.
const LIMITS: [&str; 6] = [
    "hash-max-listpack-entries",
    "set-max-intset-entries",
    "set-max-listpack-entries",
    "zset-max-listpack-entries",
    "list-max-listpack-size",
    "stream-node-max-entries",
];

/// What a server does not have makes no key.
fn run(client: &mut Client, prefix: &str, line: &[Vec<u8>]) {
    let mut line = line.to_vec();
    let name = if line[0] == b"XGROUP" {
        2
    } else {
        line.iter().position(|w| w == b"STREAMS").map_or(1, |at| at + 1)
    };
    line[name] = [prefix.as_bytes(), &line[name]].concat();
    let reply = client.call(&line);
    let is_absent = reply.error().is_none_or(|error| error.contains("unknown command"));
    assert!(is_absent, "{}: {reply:?}", String::from_utf8_lossy(&line.join(&b' ')));
}

/// Makes the keys of the list.
pub(crate) fn make_few(client: &mut Client) {
    LINES.iter().for_each(|line| run(client, "", &words(line).unwrap()));
}

/// Makes keys in all forms.
pub(crate) fn make(client: &mut Client) {
    for (prefix, limit) in [("", None), ("one:", Some("1")), ("few:", Some("7"))] {
        for name in LIMITS.iter().filter(|_| limit.is_some()) {
            let reply = client.call(&["CONFIG", "SET", name, limit.unwrap_or_default()]);
            // Redis 7.0 has no packed sets.
            assert!(reply.is_ok() || name.starts_with("set-max-listpack"), "{name}: {reply:?}");
        }
        LINES.iter().for_each(|line| run(client, prefix, &words(line).unwrap()));
        random(client, prefix);
    }
}

/// A string of some kind.
fn text(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..9) {
        0 => random.i8(..).to_string().into(),
        1 => random.i32(..).to_string().into(),
        2 => (random.i64(..) >> random.u8(..64)).to_string().into(),
        3 => Vec::new(),
        4 => b"abcabd".repeat(random.usize(..60)),
        5 => (0..random.usize(..90)).map(|_| random.u8(..)).collect(),
        6 => vec![b'x'; random.usize(..5_000)],
        _ => (0..random.usize(1..12)).map(|_| random.lowercase() as u8).collect(),
    }
}

fn random(client: &mut Client, prefix: &str) {
    let mut random = fastrand::Rng::with_seed(17);
    for number in 0..60 {
        let count = random.usize(1..[5, 40, 400][number % 3]);
        let (kind, key) = (number % 6, format!("random:{number}").into_bytes());
        let word = |word: &str| word.as_bytes().to_vec();
        let mut line = match kind {
            0 => vec![word("SET"), key.clone(), text(&mut random)],
            1 => vec![word("RPUSH"), key.clone()],
            2 => vec![word("SADD"), key.clone()],
            3 => vec![word("ZADD"), key.clone()],
            _ => vec![word("HSET"), key.clone()],
        };
        for _ in 0..count {
            match kind {
                0 => {}
                1 | 2 => line.push(text(&mut random)),
                3 => {
                    let score = match random.u8(..3) {
                        0 => random.i32(..).to_string(),
                        1 => format!("{:e}", random.f64() * 1e20),
                        _ => format!("{:e}", random.f64() - 0.5),
                    };
                    line.extend([score.into_bytes(), text(&mut random)]);
                }
                _ => line.extend([text(&mut random), text(&mut random)]),
            }
        }
        if kind < 5 {
            run(client, prefix, &line);
        } else {
            stream(client, prefix, &key, count, &mut random);
        }
    }
}

fn stream(client: &mut Client, prefix: &str, key: &[u8], count: usize, random: &mut fastrand::Rng) {
    let mut line = |line: &str| {
        let mut line = words(line).unwrap();
        line.iter_mut().filter(|word| *word == b"KEY").for_each(|word| *word = key.to_vec());
        run(client, prefix, &line);
    };
    let (mut ms, mut seq) = (random.u64(1..1_000), 0);
    let mut ids = Vec::new();
    for _ in 0..count {
        if random.bool() {
            seq += 1;
        } else {
            (ms, seq) = (ms + random.u64(1..1 << 20), random.u64(..3));
        }
        ids.push(format!("{ms}-{seq}"));
        let fields = match random.u8(..4) {
            0 => "g 1 h 2".to_owned(),
            1 => format!("f {}", random.i64(..)),
            _ => format!("f value:{}", random.u8(..)),
        };
        line(&format!("XADD KEY {ms}-{seq} {fields}"));
    }
    for group in 0..random.usize(..3) {
        line(&format!("XGROUP CREATE KEY g{group} 0"));
        for consumer in 0..random.usize(..4) {
            let count = random.usize(1..20);
            line(&format!("XREADGROUP GROUP g{group} c{consumer} COUNT {count} STREAMS KEY >"));
        }
        for id in ids.iter().filter(|_| random.u8(..5) == 0) {
            line(&format!("XACK KEY g{group} {id}"));
        }
    }
    for id in ids.iter().filter(|_| random.u8(..6) == 0) {
        line(&format!("XDEL KEY {id}"));
    }
}
