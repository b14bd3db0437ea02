//! Keys of all types and forms, each made of its number alone: the same at every server.

use std::ops::Range;

use crate::support::client::Client;

type Words = Vec<Vec<u8>>;

/// The databases that have keys.
pub(super) const DATABASES: [usize; 3] = [0, 3, 15];

/// Keys that are made in one write.
const AT_ONCE: usize = 100;

/// Milliseconds of unix time, far away.
const LATER: u64 = 20_000_000_000_000;

/// Makes these keys.
pub(super) fn fill(client: &mut Client, numbers: Range<u64>, has_timed_fields: bool) {
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
pub(super) fn names(numbers: impl Iterator<Item = u64>, db: usize) -> Vec<Vec<u8>> {
    numbers.filter(|number| database(*number) == db).map(name).collect()
}

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

/// What makes a key: most have few elements, and some so many that they are in no packed form.
fn commands(number: u64, has_timed_fields: bool) -> Vec<Words> {
    let random = &mut fastrand::Rng::with_seed(number);
    let count = match random.u16(..1_000) {
        0..4 => 1_500,
        4..30 => 140,
        _ => random.usize(1..9),
    };
    let mut all = match number / 16 % 8 {
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
