//! Files: our own, whole, in pieces and damaged, and records that we do not write.

use super::*;
use crate::base::millis::Millis;
use crate::keyspace::saving::Format;
use crate::rdb::encoder::{Checksum, Records, head, put_aux, put_end, put_sizes};
use crate::rdb::samples::{KINDS, contents, entry, forms, hasher, value};

/// A file with a key of every type, and what is in them.
fn file() -> (Vec<u8>, Vec<Vec<String>>) {
    let mut random = fastrand::Rng::with_seed(1);
    let (mut bytes, mut said) = (head(Dialect::TIMED).to_vec(), Vec::new());
    put_aux(&mut bytes, b"redis-bits", b"64");
    put_sizes(&mut bytes, 3, u64::from(KINDS), 2);
    let records = Records::new(true, Dialect::TIMED);
    for kind in 0..KINDS {
        let mut entry = entry(value(kind, 5, &mut random));
        if kind < 2 {
            entry.set_deadline(Some(Millis(1_700_000_000_000)));
        }
        records.key(&mut bytes, &entry);
        said.push(contents(&entry));
    }
    put_end(&mut bytes);
    let mut checksum = Checksum::default();
    checksum.add(&bytes);
    bytes.extend(checksum.bytes());
    (bytes, said)
}

/// Reads a file that comes `step` bytes at a time. Returns what is in its keys.
fn read(file: &[u8], step: usize) -> Result<Vec<Vec<String>>, RdbError> {
    let hasher = hasher();
    let (mut decoder, mut end, mut keys) = (Decoder::default(), 0, Vec::new());
    loop {
        let offset = decoder.offset();
        let bytes = &file[offset..end];
        let more = (file.len() - end) as u64;
        match decoder.next(bytes, more)? {
            None => end = file.len().min(end + step),
            Some((Record::End, _)) => return Ok(keys),
            Some((Record::Key(_), used)) => {
                let dialect = Dialect::TIMED;
                let (key, value) = read_key(&bytes[..used], offset, dialect, forms(&hasher))?;
                keys.push(contents(&key.with(value)));
            }
            Some((Record::Head(dialect), used)) => {
                assert_eq!((dialect, used), (Dialect::TIMED, 9));
            }
            Some((Record::Aux(name, value), _)) => {
                assert_eq!((&*name, &*value), (&b"redis-bits"[..], &b"64"[..]));
            }
            Some((Record::Database(number), _)) => assert_eq!(number, 3),
            Some((Record::Sizes(keys, timed), _)) => assert_eq!((keys, timed), (7, 2)),
            Some((record, _)) => panic!("{record:?}"),
        }
    }
}

#[test]
fn a_file_comes_back_whole_and_in_pieces() {
    let (file, wanted) = file();
    for step in [1, 2, 7, 100, file.len()] {
        assert_eq!(read(&file, step).as_ref(), Ok(&wanted), "{step}");
    }
}

#[test]
fn a_cut_file_is_an_error_at_once() {
    let (file, _) = file();
    for end in 0..file.len() {
        let error = read(&file[..end], 5).expect_err("it is cut");
        assert_eq!(error.fault, Fault::Truncated, "{end}: {error}");
    }
}

#[test]
fn a_flipped_byte_is_an_error() {
    let (file, _) = file();
    for at in 0..file.len() {
        let mut bytes = file.clone();
        bytes[at] ^= 0x41;
        let mut decoder = Decoder::default();
        let error = loop {
            match decoder.next(&bytes[decoder.offset()..], 0) {
                Ok(Some((Record::End, _))) => panic!("{at} was not seen"),
                Ok(Some(_)) => {}
                Ok(None) => panic!("nothing more comes"),
                Err(error) => break error,
            }
        };
        assert!(error.offset <= file.len(), "{error}");
    }
}

#[test]
fn a_checksum_is_looked_at_unless_nobody_wants_it() {
    let (mut file, _) = file();
    let last = file.len() - 1;
    file[last] ^= 1;
    let read = |mut decoder: Decoder| loop {
        match decoder.next(&file[decoder.offset()..], 0)? {
            Some((Record::End, _)) => return Ok(decoder.offset()),
            _ => assert_eq!(decoder.dialect(), Some(Dialect::TIMED)),
        }
    };
    assert_eq!(read(Decoder::default()), Err(Fault::Checksum.at(file.len() - 8)));
    assert_eq!(read(Decoder::unchecked()), Ok(file.len()));
}

fn records(file: &[u8]) -> Result<Vec<String>, RdbError> {
    let hasher = hasher();
    let (mut decoder, mut said) = (Decoder::default(), Vec::new());
    loop {
        let offset = decoder.offset();
        let next = decoder.next(&file[offset..], 0)?;
        let (record, used) = next.expect("nothing more comes");
        if let Record::Key(key) = &record {
            let name = key.name.escape_ascii();
            said.push(format!("{name} {:?} {:?} {:?}", key.deadline, key.idle, key.frequency));
            let dialect = decoder.dialect().expect("the head was read");
            read_key(&file[offset..offset + used], offset, dialect, forms(&hasher))?;
            continue;
        }
        said.push(format!("{record:?}"));
        if matches!(record, Record::End) {
            return Ok(said);
        }
    }
}

#[test]
fn records_of_other_servers_are_read() {
    let parts: [&[u8]; 11] = [
        b"REDIS0013",
        b"\xf5\x03lib",
        b"\xf7\x81\x44\x97\x89\x70\xbf\x88\x00\x00\x02\x02\x05\x01x\x00",
        b"\xfe\x00\xfb\x05\x01",
        b"\xf4\x05\x01\x00",
        b"\xfd\x10\x00\x00\x00\x00\x01a\x01v",
        b"\xf9\x07\x00\x01b\x01v",
        b"\xf8\x40\xff\x00\x01c\x01v",
        b"\xf3\x01abcd\x02\x07\x00",
        b"\xff",
        &[0; 8],
    ];
    let said = records(&parts.concat()).expect("it is whole");
    let wanted = [
        "Head(",
        "Function([108, 105, 98])",
        "Module(",
        "Database(0)",
        "Sizes(5, 1)",
        "Slots",
        "a Some(Millis(16000)) None None",
        "b None None Some(7)",
        "c None Some(255) None",
        "Module(\"data of a key\")",
        "End",
    ];
    assert_eq!(said.len(), wanted.len(), "{said:?}");
    for (said, wanted) in said.iter().zip(wanted) {
        assert!(said.starts_with(wanted), "{said} for {wanted}");
    }
    let said = records(b"VALKEY080\xf3\x04name\x01\x00\x40\x64\xff\0\0\0\0\0\0\0\0");
    assert_eq!(said.map(|said| said[1..].join(" ")), Ok("Slots End".to_owned()));
    // Before version 5 there is no checksum.
    assert_eq!(records(b"REDIS0004\x00\x01k\x01v\xff").map(|said| said.len()), Ok(3));
}

#[test]
fn what_is_no_file_is_named() {
    for (file, wanted) in [
        (&b"RADIS0010\xff"[..], "offset 0: this is no RDB file"),
        (b"REDIS00x0\xff", "offset 0: this is no RDB file"),
        (b"REDIS0099\xff", "offset 0: version 99 is not known"),
        (b"VALKEY011\xff", "offset 0: version 11 is not known"),
        (b"REDIS0011\x16\x01k\x00", "offset 9: there is no type 22 in this version"),
        (b"REDIS0011\xf3\x00", "offset 9: there is no type 243 in this version"),
        (b"REDIS0011\x02\x01k\x00", "offset 13: a collection without elements"),
        (b"REDIS0011\x02\x01k\x02\x01a\x01a", "offset 15: a member of a set stands there twice"),
        (b"REDIS0015\x1c\x01k\x00", "offset 9: an array (Redis 8.8) cannot be kept by this server"),
        (b"REDIS0010\xfe", "offset 10: it ends too early"),
        (
            b"REDIS0010\x07\x01m\x81\x44\x97\x89\x70\xbf\x88\x00\x00\x05\x01x\x00",
            "offset 12: a value of the type RJeJcL-IA of a module",
        ),
    ] {
        let error = records(file).expect_err("it is wrong");
        assert_eq!(error.to_string(), wanted);
    }
}
