//! Keys of all types and forms, each made of its number alone: the same at every server.

use std::ops::Range;

use super::client::Client;

/// A command.
pub type Words = Vec<Vec<u8>>;

/// The databases that have keys.
pub const DATABASES: [usize; 3] = [0, 3, 15];

/// Keys that are made in one write.
const AT_ONCE: usize = 100;

/// Milliseconds of unix time, far away.
const LATER: u64 = 20_000_000_000_000;

/// What is written to keys by their kind, in the order of [`commands`].
const CHANGES: [&[&str]; 8] = [
    &["APPEND KEY x", "SETRANGE KEY 3 abc", "SET KEY 5 KEEPTTL"],
    &["GETSET KEY 7", "GETDEL KEY", "SETBIT KEY 7 1"],
    &["RPUSH KEY a 1", "LPOP KEY", "LMOVE KEY KEY LEFT RIGHT", "LINSERT KEY BEFORE a b"],
    &["SADD KEY 1 70000", "SPOP KEY", "SREM KEY 1"],
    &["SADD KEY a bc", "SPOP KEY 2", "SMOVE KEY OTHER a"],
    &["ZADD KEY 1.5 m", "ZPOPMIN KEY", "ZINCRBY KEY 2 m"],
    &["HSET KEY f v", "HINCRBY KEY count 1", "HDEL KEY f"],
    &[
        "XADD KEY MAXLEN ~ 2000 * f v",
        "XREADGROUP GROUP group one COUNT 1 STREAMS KEY >",
        "XGROUP CREATE KEY more 0",
        "XTRIM KEY MAXLEN 1000",
    ],
];

/// What is written to keys of every kind.
const TO_ALL: [&str; 5] = [
    "RENAME KEY OTHER",
    "COPY KEY OTHER REPLACE",
    "PEXPIREAT KEY 20000000000000",
    "PERSIST KEY",
    "DEL KEY",
];

/// How far one key is from the next of its kind in its database, by their numbers.
const NEXT: u64 = 3 * 16 * 8;

/// A change of one of the first so many keys of a database, or what makes it anew. It may be gone.
pub fn change(random: &mut fastrand::Rng, count: u64, db: usize) -> Words {
    let place = DATABASES.iter().position(|other| *other == db).unwrap_or_default() as u64;
    let number = random.u64(..count) / 3 * 3 + place;
    let line = match random.u8(..12) {
        0 => return commands(number, false).swap_remove(0),
        1 => random.choice(&TO_ALL),
        _ => random.choice(CHANGES[kind(number)]),
    };
    let named = |word: Vec<u8>| match &word[..] {
        b"KEY" => name(number),
        b"OTHER" => name(number + NEXT),
        _ => word,
    };
    words(line.unwrap()).into_iter().map(named).collect()
}

/// Makes these keys.
pub fn fill(client: &mut Client, numbers: Range<u64>, has_timed_fields: bool) {
    for db in DATABASES {
        client.line(&format!("SELECT {db}"));
        let here: Vec<u64> = numbers.clone().filter(|number| database(*number) == db).collect();
        for some in here.chunks(AT_ONCE) {
            let commands: Vec<Words> =
                some.iter().flat_map(|number| commands(*number, has_timed_fields)).collect();
            for (command, reply) in commands.iter().zip(client.pipeline(&commands).unwrap()) {
                assert!(reply.error().is_none(), "{}: {reply:?}", command.concat().escape_ascii());
            }
        }
    }
    client.line("SELECT 0");
}

/// The names of those of these keys that stand in a database.
pub fn names(numbers: impl Iterator<Item = u64>, db: usize) -> Vec<Vec<u8>> {
    numbers.filter(|number| database(*number) == db).map(name).collect()
}

/// Where a key stands.
fn database(number: u64) -> usize {
    DATABASES[(number % 3) as usize]
}

/// A name with odd bytes in many of them; one is empty, and many share a slot.
fn name(number: u64) -> Vec<u8> {
    let odd: &[u8] = match number % 16 {
        _ if number == 1 => return Vec::new(),
        0 => b"\0",
        1 => b"\r\n",
        2 => b"\xff\xfe\x80",
        3 => b" \"'\\",
        4 => "\u{1f511}".as_bytes(),
        5 => b"{tag}",
        6 => &[b'n'; 300],
        _ => b"",
    };
    [odd, number.to_string().as_bytes()].concat()
}

/// Which of eight kinds of keys it is, in the order of [`commands`].
fn kind(number: u64) -> usize {
    (number / 16 % 8) as usize
}

/// What makes a key: most have few elements, and some so many that they are in no packed form.
fn commands(number: u64, has_timed_fields: bool) -> Vec<Words> {
    let random = &mut fastrand::Rng::with_seed(number);
    let count = match random.u16(..1_000) {
        0..4 => 1_500,
        4..30 => 140,
        _ => random.usize(1..9),
    };
    let mut all = match kind(number) {
        0 => vec![row("SET KEY", 1, random, |random| [text(random)])],
        1 => vec![row("APPEND KEY", 1, random, |random| [text(random)])],
        2 => vec![row("RPUSH KEY", count, random, |random| [text(random)])],
        3 => vec![row("SADD KEY", count, random, |random| [integer(random)])],
        4 => vec![row("SADD KEY", count, random, |random| [text(random)])],
        5 => vec![row("ZADD KEY", count, random, |random| [score(random), text(random)])],
        6 => hash(count, random, has_timed_fields),
        _ => stream(count, random),
    };
    let later = LATER + random.u64(..1_000_000);
    all.extend(later.is_multiple_of(5).then(|| words(&format!("PEXPIREAT KEY {later}"))));
    for word in all.iter_mut().flatten().filter(|word| *word == b"KEY") {
        *word = name(number);
    }
    all
}

/// A line, cut at blanks.
fn words(line: &str) -> Words {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// A line, and behind it so many elements.
fn row<const N: usize>(
    line: &str,
    count: usize,
    random: &mut fastrand::Rng,
    element: impl Fn(&mut fastrand::Rng) -> [Vec<u8>; N],
) -> Words {
    let mut row = words(line);
    (0..count).for_each(|_| row.extend(element(random)));
    row
}

/// A text of some kind. Few are long: one is enough to keep a collection out of packed forms.
fn text(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..40) {
        0 => b"abcabd".repeat(random.usize(..100)),
        1 => (0..random.usize(60..300)).map(|_| random.u8(..)).collect(),
        2..=5 => (0..random.usize(..40)).map(|_| random.u8(..)).collect(),
        6..=15 => integer(random),
        16 => Vec::new(),
        _ => (0..random.usize(1..14)).map(|_| random.lowercase() as u8).collect(),
    }
}

/// An integer of any width.
fn integer(random: &mut fastrand::Rng) -> Vec<u8> {
    (random.i64(..) >> random.u8(..64)).to_string().into()
}

/// A score that all servers write with the same digits.
fn score(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..50) {
        0 => b"inf".to_vec(),
        1 => b"-inf".to_vec(),
        _ => (f64::from(random.i32(..) >> random.u8(..32)) / 4.0).to_string().into(),
    }
}

/// A hash, and in every second one a deadline of a field where there may be any.
fn hash(count: usize, random: &mut fastrand::Rng, has_timed_fields: bool) -> Vec<Words> {
    let mut all = vec![row("HSET KEY", count, random, |random| [text(random), text(random)])];
    let later = LATER + random.u64(..1_000_000);
    if has_timed_fields && later.is_multiple_of(2) {
        let field = all[0][2].clone();
        all.push([words(&format!("HPEXPIREAT KEY {later} FIELDS 1")), vec![field]].concat());
    }
    all
}

/// Entries, some of them deleted, and in every second stream a group that has read some of them.
fn stream(count: usize, random: &mut fastrand::Rng) -> Vec<Words> {
    let (mut all, mut ms) = (Vec::new(), 0);
    for sequence in 1..=count {
        ms += random.u64(..3) * random.u64(1..1 << 20);
        let entry = words(&format!("XADD KEY {ms}-{sequence} field"));
        all.push([entry, vec![text(random)]].concat());
        all.extend((random.u8(..8) == 0).then(|| words(&format!("XDEL KEY {ms}-{sequence}"))));
    }
    if random.bool() {
        let read = random.usize(1..=count);
        all.push(words("XGROUP CREATE KEY group 0"));
        // A reader that finds nothing is in no journal of Valkey's.
        all.push(words("XGROUP CREATECONSUMER KEY group two"));
        all.push(words(&format!("XREADGROUP GROUP group one COUNT {read} STREAMS KEY >")));
        all.push(words("XREADGROUP GROUP group two COUNT 1 STREAMS KEY >"));
        all.push(words(&format!("XACK KEY group {ms}-{count}")));
    }
    all
}
