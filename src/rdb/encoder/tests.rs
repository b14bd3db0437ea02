//! Keys that are written at once and piece by piece, with what stands beside them, and read back.

use super::*;
use crate::base::millis::Millis;
use crate::data::stream::{Id, NOBODY, Pending, Stream};
use crate::data::{set::Set, zset::Zset};
use crate::keyspace::object::{Object, Typed};
use crate::rdb::cut::{Cutter, Piece, Rules};
use crate::rdb::samples::{KINDS, contents, entry, forms, hasher, string, value};
use crate::rdb::{Fault, Loaded, RdbError};

/// Both formats that have deadlines of fields.
const BOTH: [Dialect; 2] = [Dialect::TIMED, Dialect::REDIS_TIMED];

fn records(timed: Dialect) -> Records {
    Records { compresses: true, timed, piece: 4_096 }
}

/// Reads the one key of these bytes, with what stands beside it.
fn read(bytes: &[u8], timed: Dialect) -> Result<Entry, RdbError> {
    let hasher = hasher();
    let file = [&head(timed), bytes, &[END], &[0; 8]].concat();
    let mut cutter = Cutter::new(Rules { databases: 16, checks: false, expired_by: None });
    cutter.feed(&file);
    let Some(Piece::Keys(raw)) = cutter.next_piece(0)? else { panic!("there is a key") };
    let [key] = raw.keys[..] else { panic!("there are several keys") };
    let (key, value) = raw.read(&key, forms(&hasher))?;
    Ok(key.with(value))
}

/// A key as pieces make it, and how many there were.
fn in_pieces(entry: &Entry, timed: Dialect) -> (Vec<u8>, usize) {
    let (mut bytes, mut count) = (Vec::new(), 0);
    let mut from = Some(Point::Start);
    while let Some(point) = from {
        let before = bytes.len();
        from = records(timed).piece(&mut bytes, entry, point);
        let len = bytes.len() - before;
        assert!(len < 32 * 1024, "a piece of {len} bytes");
        count += 1;
    }
    (bytes, count)
}

fn check(entry: &Entry, least_pieces: usize) {
    for timed in BOTH {
        let mut whole = Vec::new();
        records(timed).key(&mut whole, entry);
        let back = read(&whole, timed).expect("it is whole");
        assert_eq!(contents(&back), contents(entry));
        assert_eq!(back.is_blessed(), entry.is_blessed());
        let (bytes, pieces) = in_pieces(entry, timed);
        assert!(pieces >= least_pieces, "{pieces} pieces");
        let back = read(&bytes, timed).expect("it is whole");
        assert_eq!(contents(&back), contents(entry));
        assert_eq!(back.is_blessed(), entry.is_blessed());
    }
}

#[test]
fn keys_of_every_type_come_back_whole_and_from_pieces() {
    let mut random = fastrand::Rng::with_seed(3);
    for kind in 0..KINDS {
        for count in [1, 5, 20, 40_000] {
            let mut entry = entry(value(kind, count, &mut random));
            entry.set_deadline(random.bool().then_some(Millis(1_700_000_000_000)));
            entry.bless(random.bool());
            check(&entry, if count > 1_000 { 3 } else { 1 });
        }
    }
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1_000_000).collect();
    check(&Loaded::String(noise).into_entry(b"k", None), 10);
    check(&Loaded::String(b"12".to_vec()).into_entry(b"k", None), 1);
}

/// A set, a sorted set and a stream with what has no place in a value.
fn odd_ones(count: usize, random: &mut fastrand::Rng) -> [Object; 3] {
    let hasher = hasher();
    let forms = forms(&hasher);
    let (mut set, mut zset) = (Set::default(), Zset::default());
    let mut names = vec![b"last".to_vec()];
    names.extend(std::iter::repeat_with(|| string(random)).take(count));
    for name in &names {
        set.add(name, forms.set);
        zset.put(name, f64::from(random.i8(..)), forms.zset, &hasher);
    }
    names.retain(|name| name == b"last" || random.bool());
    for name in &names {
        set.set_deadline(name, Some(Millis(random.i64(0..1 << 50))), &hasher);
        zset.set_deadline(name, Some(Millis(random.i64(0..1 << 50))), &hasher);
    }
    let mut stream = value(6, count, random);
    if let Object::Stream(stream) = &mut stream {
        release(stream, random);
    }
    [set.into_object(), zset.into_object(), stream]
}

/// Releases every other entry of two groups.
fn release(stream: &mut Stream, random: &mut fastrand::Rng) {
    let ids: Vec<Id> = stream.range(Id::MIN, Id::MAX).map(|entry| entry.id).collect();
    for name in [&b"12"[..], b"released"] {
        let mut group = crate::data::stream::Group::new(Id::MAX, None);
        let (owner, _) = group.hear(b"consumer", Millis(5));
        for (number, id) in ids.iter().enumerate() {
            let owner = if number % 2 == 0 { NOBODY } else { owner };
            let (delivered, count) = (Millis(random.i64(0..1 << 40)), random.i64(0..1 << 20));
            group.deliver(*id, Pending { owner, delivered, count });
        }
        stream.add_group(name, group);
    }
}

#[test]
fn what_has_no_place_in_a_value_stands_beside_it() {
    let mut random = fastrand::Rng::with_seed(4);
    for count in [1, 30, 20_000] {
        for object in odd_ones(count, &mut random) {
            let mut entry = entry(object);
            entry.bless(random.bool());
            check(&entry, if count > 1_000 { 5 } else { 1 });
        }
    }
}

#[test]
fn a_flag_of_a_key_that_is_not_known_is_an_error() {
    let mut entry = Entry::new(b"k", crate::keyspace::entry::NewValue::Integer(1), None, 0);
    entry.bless(true);
    let mut bytes = Vec::new();
    records(Dialect::COMMON).key(&mut bytes, &entry);
    assert!(read(&bytes, Dialect::COMMON).expect("it is sound").is_blessed());
    let flag = bytes.windows(8).position(|part| part == b"NO-EVICT").expect("it is there");
    bytes[flag + 3] = b'F';
    let error = read(&bytes, Dialect::COMMON).expect_err("nobody knows it");
    assert_eq!(error.fault, Fault::Damaged("a key has a flag that is not known"));
}

#[test]
fn what_stands_beside_another_value_is_an_error() {
    let mut random = fastrand::Rng::with_seed(5);
    for object in odd_ones(3, &mut random) {
        let mut bytes = Vec::new();
        records(Dialect::TIMED).key(&mut bytes, &entry(object));
        let field = bytes.windows(7).position(|part| part == b"troupe-").expect("it is there");
        let mut other = Vec::new();
        records(Dialect::TIMED).key(&mut other, &entry(value(0, 3, &mut random)));
        other.extend(&bytes[field - 2..]);
        let error = read(&other, Dialect::TIMED).expect_err("it is a list");
        assert!(matches!(error.fault, Fault::Damaged(_)), "{error}");
    }
}
