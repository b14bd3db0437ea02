//! Payloads: of our own, of every type, there and back, and damaged; and as other servers wrote
//! them, each with what its author read out of it.

use super::*;
use crate::keyspace::entry::NewValue;
use crate::rdb::samples::{KINDS, contents, entry, forms, hasher, string, value};

fn seal_as(body: &[u8], version: u32) -> Vec<u8> {
    let mut out = body.to_vec();
    let dialect = Dialect { version, ..Dialect::COMMON };
    seal(&mut out, dialect);
    out
}

fn load(payload: &[u8]) -> Result<Entry, PayloadError> {
    let hasher = hasher();
    restore(payload, false, forms(&hasher)).map(|loaded| loaded.into_entry(b"k", None))
}

pub(in crate::rdb) fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair));
    let bytes = pairs.map(|pair| pair.ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    bytes.collect::<Option<_>>().expect("two digits a byte")
}

#[test]
fn values_of_every_type_come_back() {
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..700 {
        let count = random.usize(1..[4, 12, 60][round % 3]);
        let there = match round as u8 % (KINDS + 1) {
            KINDS => {
                let text = string(&mut random);
                Loaded::String(text).into_entry(b"k", None)
            }
            kind => entry(value(kind, count, &mut random)),
        };
        for timed in [Dialect::TIMED, Dialect::REDIS_TIMED] {
            let payload = dump(&there, random.bool(), timed).expect("it has a place");
            let back = load(&payload).unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_eq!(contents(&back), contents(&there), "round {round}");
            let version = &payload[payload.len() - 10..payload.len() - 8];
            let wanted = if round as u8 % (KINDS + 1) == 5 { timed.version } else { 10 };
            assert_eq!(version, [wanted as u8, 0]);
        }
    }
}

#[test]
fn strings_are_kept_as_if_they_had_been_set() {
    for (text, is_raw) in [(&b"12"[..], false), (b"text", false), (&[b'x'; 300], true)] {
        let there = Entry::new(b"k", NewValue::Bytes(text), None, 0);
        let payload = dump(&there, true, Dialect::TIMED).expect("a string has a place");
        let back = load(&payload).expect("it is whole");
        assert_eq!(
            (back.string(), back.is_raw()),
            (load(&payload).expect("it is whole").string(), is_raw)
        );
    }
}

/// Bytes of a value may be anything, with a checksum that is right.
#[test]
fn damage_is_an_error_or_another_value() {
    let mut random = fastrand::Rng::with_seed(2);
    let (mut refused, mut taken) = (0, 0);
    for kind in 0..KINDS {
        for count in [1, 3, 9] {
            let payload = dump(&entry(value(kind, count, &mut random)), true, Dialect::TIMED)
                .expect("a place");
            let (body, version) = (&payload[..payload.len() - 10], if kind == 5 { 80 } else { 11 });
            let mut check = |body: &[u8]| match load(&seal_as(body, version)) {
                Err(_) => refused += 1,
                Ok(entry) => {
                    taken += 1;
                    assert!(!contents(&entry).is_empty());
                    let again = load(&dump(&entry, true, Dialect::TIMED).expect("a place"))
                        .expect("it is whole");
                    assert_eq!(contents(&again), contents(&entry));
                }
            };
            for at in 0..body.len() {
                check(&body[..at]);
                let mut flipped = body.to_vec();
                for change in [1, 0x80, 0xff, random.u8(1..)] {
                    flipped[at] = body[at] ^ change;
                    check(&flipped);
                }
                // Every byte is a type to begin with.
                flipped[at] = body[at];
                flipped[0] = random.u8(..30);
                check(&flipped);
            }
        }
    }
    assert!(refused > 5_000 && taken > 1_000, "{refused} refused, {taken} taken");
}

#[test]
fn the_foot_is_looked_at_first() {
    let whole = seal_as(b"\x00\x01v", 10);
    assert!(load(&whole).is_ok());
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(matches!(load(&bytes), Err(PayloadError::Foot(_))), "{at}");
        assert!(matches!(load(&whole[..at]), Err(PayloadError::Foot(_))), "{at}");
    }
    assert!(matches!(
        load(&seal_as(b"\x00\x01v", 79)),
        Err(PayloadError::Foot(Fault::Version(79)))
    ));
}

/// The version says how to read what follows: that is never wrong.
#[test]
fn any_checksum_is_taken_where_that_is_wanted() {
    let hasher = hasher();
    let mut flipped = seal_as(b"\x00\x01v", 10);
    flipped[2] = b'w';
    let text = restore(&flipped, true, forms(&hasher));
    assert!(matches!(text, Ok(Loaded::String(text)) if text == b"w"));
    let wrong = |bytes: &[u8]| restore(bytes, true, forms(&hasher)).expect_err("it is wrong");
    assert_eq!(wrong(&flipped[..9]), PayloadError::Foot(Fault::Truncated));
    let unknown = seal_as(b"\x00\x01v", 79);
    assert_eq!(wrong(&unknown), PayloadError::Foot(Fault::Version(79)));
    flipped[1] = 2;
    assert_eq!(wrong(&flipped), PayloadError::Value(Fault::Truncated.at(3)));
}

/// A stream without entries whose group has a consumer twice.
const TWO_OF_A_NAME: &str =
    "0f00000000010167000000020163000000000000000000016300000000000000000000";

/// A stream without entries whose group has a pending entry that two consumers have.
const TWO_OWNERS: &str = concat!(
    "0f0000000001016700000100000000000000010000000000000000000000000000000001",
    "020161000000000000000001000000000000000100000000000000000162000000000000000001",
    "00000000000000010000000000000000",
);

/// What stands in the log for those who look for what Redis says.
#[test]
fn what_is_damaged_is_named() {
    for (hex, wanted) in [
        ("0a03616263", "List ziplist integrity check failed: its head or its end is damaged"),
        (
            "0e010b0b0000000a0000000100ff",
            "Quicklist ziplist integrity check failed: it has too few items",
        ),
        (
            "1201020b0b000000010081ff02ffff",
            "Quicklist listpack integrity check failed: an item is damaged",
        ),
        ("12010100", "a node of a list that is one item has an empty one"),
        (
            "0b080200000001000000",
            "Intset integrity check failed: its head or its numbers are damaged",
        ),
        (TWO_OF_A_NAME, "Duplicate stream consumer detected"),
        (TWO_OWNERS, "Stream consumer PEL entry already has a consumer assigned"),
    ] {
        let error = load(&seal_as(&unhex(hex), 10)).expect_err(hex).to_string();
        assert!(error.ends_with(wanted), "{hex}: {error}");
    }
}

#[test]
fn what_has_no_place_is_refused() {
    let hasher = hasher();
    let mut random = fastrand::Rng::with_seed(3);
    for (kind, wanted) in [(2, NoPlace::TimedMembers), (3, NoPlace::TimedMembers)] {
        let mut there = entry(value(kind, 5, &mut random));
        there.edit_object(|object| match object {
            crate::keyspace::object::Object::Set(set) => {
                set.add(b"timed", forms(&hasher).set);
                set.set_deadline(b"timed", Some(crate::base::millis::Millis(5)), &hasher);
            }
            crate::keyspace::object::Object::Zset(zset) => {
                zset.put(b"timed", 1.0, forms(&hasher).zset, &hasher);
                zset.set_deadline(b"timed", Some(crate::base::millis::Millis(5)), &hasher);
            }
            _ => unreachable!("these are sets"),
        });
        assert_eq!(dump(&there, true, Dialect::TIMED), Err(wanted));
    }
}

/// A stream of Redis 5, with an entry that is deleted, and a pending one.
const REDIS_5: &str = concat!(
    "0f011000000000000000050000000000000001404040000000180002010101010181660200010201",
    "00010001817602040103010001010184646561640504010001010100010201816702817702816802",
    "07010801ff020601010167050101000000000000000500000000000000014d000000000000000301",
    "016363000000000000000100000000000000050000000000000001",
);

/// Recorded from Valkey 9.1.2 and Redis 8.0.6, and of what they do not write made by the rules: the
/// payload, its version, and something that is in it.
pub(in crate::rdb) const FOREIGN: &[(&str, u32, &str)] = &[
    // HSET h a 1 b 2, HPEXPIRE h .. a, by Valkey.
    (
        "16020161c001f9306232a20100000162c002ffffffffffffffff",
        80,
        "([97], [49], Some(Millis(1796141625593)))",
    ),
    // The same by Redis 8, in a listpack and in a table.
    (
        "19f9306232a20100001d1d00000006008161020101f4f9306232a20100000981620202010001ff",
        12,
        "([97], [49], Some(Millis(1796141625593)))",
    ),
    ("18fa306232a201000002000162c002010161c001", 12, "([97], [49], Some(Millis(1796141625594)))"),
    // The same in the release candidates of Redis 7.4.
    ("1602010161c001000162c002", 12, "([97], [49], Some(Millis(1)))"),
    ("1717170000000600816202020100018161020101f12c0103ff", 12, "([97], [49], Some(Millis(300)))"),
    // Scores as texts, as Redis 4 wrote them.
    ("0303016103312e350162fe0163ff", 9, "inf [98]"),
    // What servers before Redis 7 wrote: a zipmap, ziplists, a node of a list for each.
    (
        "091a0203666f6f03006261720568656c6c6f0502776f726c642e2eff",
        6,
        "([104, 101, 108, 108, 111], [119, 111, 114, 108, 100], None)",
    ),
    ("0a14140000000f000000030000016103f602c02c01ff", 9, "Integer(300)"),
    ("0e020e0e0000000a0000000100000161ff0e0e0000000a0000000100000162ff", 9, "Bytes([98])"),
    ("0c18180000001500000004000001610303312e3505016203f8ff", 9, "7 [98]"),
    ("0d161600000013000000040000016603017603016703fdff", 9, "([103], [49, 50], None)"),
    // Sets of each form.
    ("140c0c00000002008161020701ff", 11, "[55]"),
    ("0b0c0200000002000000fdff0900", 9, "[45, 51]"),
    // A list of one long item and of a packed node.
    ("1202010161020c0c00000002008162020101ff", 10, "Integer(1)"),
    (REDIS_5, 9, "6-1 0-0"),
    (REDIS_5, 9, "2 2"),
    (REDIS_5, 9, "5-1 [(Bytes([102]), Bytes([118]))]"),
    (REDIS_5, 9, "6-1 [(Bytes([103]), Bytes([119])), (Bytes([104]), Integer(7))]"),
    (REDIS_5, 9, "[103] 5-1 Some(1)"),
    (REDIS_5, 9, "5-1 [99] 77 3"),
];

#[test]
fn what_others_have_written_is_read() {
    for (hex, version, wanted) in FOREIGN {
        let payload = seal_as(&unhex(hex), *version);
        let back = load(&payload).unwrap_or_else(|error| panic!("{hex}: {error}"));
        assert!(contents(&back).iter().any(|it| it.contains(wanted)), "{:?}", contents(&back));
    }
}
