//! Files of every form made into those of every other: what is in them stays the same, and nothing
//! is left of what fails.

use std::collections::BTreeMap;

use super::*;
use crate::aof::disk::{Disk, Plan};
use crate::base::slot;
use crate::keyspace::entry::NewValue;
use crate::keyspace::saving::Format as _;
use crate::rdb::samples::{self, contents};
use crate::rdb::{Cutter, Family, Piece, Records, head, put_function};

const DIR: &str = "/data";
const NOW: Millis = Millis(1_700_000_000_000);

/// The number of hashes whose fields have deadlines among the samples, and that of streams.
const TIMED: u8 = 5;
const STREAM: u8 = 6;

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn hasher() -> Hasher {
    Hasher::with_seeds([1, 2, 3, 4])
}

fn run(disk: &Disk, from: &str, to: &str, target: Target) -> Result<Done, ConvertError> {
    run_as(disk, from, to, Wish { target, replaces: false, now: NOW })
}

fn run_as(disk: &Disk, from: &str, to: &str, wish: Wish) -> Result<Done, ConvertError> {
    convert(disk, &path(from), &path(to), wish, &hasher(), &mut |at, length| assert!(at <= length))
}

fn dialect(version: u32) -> Dialect {
    Dialect::of_version(version).expect("it is known")
}

/// A file with values of these types in two databases, and a library of functions.
fn file(kinds: impl Iterator<Item = u8> + Clone) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(3);
    let (records, mut file) = (Records::new(true, Dialect::TIMED), head(Dialect::TIMED).to_vec());
    for db in [0, 7] {
        records.database(&mut file, db);
        for kind in kinds.clone() {
            for count in [1, 5, 40] {
                let name = format!("{kind}:{count}");
                let value = NewValue::Object(samples::value(kind, count, &mut random));
                let deadline = (count == 5).then_some(Millis(1 << 42));
                records.key(&mut file, &Entry::new(name.as_bytes(), value, deadline, 0));
            }
        }
        for (name, value) in [(&b"text"[..], &b"value"[..]), (b"number", b"12")] {
            records.key(&mut file, &Entry::new(name, NewValue::Bytes(value), None, 0));
        }
    }
    samples::ended(file)
}

/// A disk with such a file.
fn disk_with(kinds: impl Iterator<Item = u8> + Clone) -> Disk {
    let disk = Disk::with(Path::new(DIR));
    disk.put(&path("dump.rdb"), &file(kinds));
    disk
}

/// What is in keys, by database and name.
type Keys = BTreeMap<(u32, Vec<u8>), Vec<String>>;

/// All that is in an RDB file, and its format.
fn keys(disk: &Disk, name: &str) -> (Keys, Option<Dialect>) {
    let (settings, hasher) = (settings(Target::Journal), hasher());
    let rules = Rules { databases: 16, checks: true, expired_by: None };
    let (mut cutter, mut found) = (Cutter::new(rules), BTreeMap::new());
    cutter.feed(&disk.bytes(&path(name)).expect("it is there"));
    loop {
        match cutter.next_piece(0).expect("it is sound") {
            Some(Piece::Keys(raw)) => {
                for at in &raw.keys {
                    assert_eq!(at.slot, slot::of(&raw.name_of(at)));
                    let read = raw.read(at, Forms::of(&settings, &hasher)).expect("it is sound");
                    let entry = read.0.with(read.1);
                    found.insert((at.db, raw.name_of(at)), contents(&entry));
                }
            }
            Some(Piece::End) => return (found, cutter.dialect()),
            _ => {}
        }
    }
}

#[test]
fn an_rdb_file_becomes_one_of_every_version_that_has_what_is_in_it() {
    let all = 0..samples::KINDS;
    let disk = disk_with(all.clone());
    let (wanted, _) = keys(&disk, "dump.rdb");
    for version in [12, 80] {
        let (name, dialect) = (format!("{version}.rdb"), dialect(version));
        let done = run(&disk, "dump.rdb", &name, Target::Rdb(Some(dialect))).expect("it can be");
        assert_eq!(done.keys, wanted.len() as u64);
        assert_eq!(keys(&disk, &name), (wanted.clone(), Some(dialect)), "{version}");
    }
    for version in [9, 10, 11] {
        let to = Target::Rdb(Some(dialect(version)));
        let error = run(&disk, "dump.rdb", "x.rdb", to).expect_err("fields have deadlines");
        assert!(error.to_string().starts_with("key '5:1' of database 0 has fields"), "{error}");
        assert_eq!(disk.listing(Path::new(DIR)), ["12.rdb", "80.rdb", "dump.rdb"]);
    }
    assert!(run(&disk, "dump.rdb", "x.rdb", Target::Rdb(None)).is_ok());
    assert_eq!(keys(&disk, "x.rdb"), (wanted, Some(Dialect::TIMED)));

    let disk = disk_with(all.clone().filter(|kind| *kind != TIMED));
    let (wanted, _) = keys(&disk, "dump.rdb");
    for version in [10, 11, 12, 80] {
        let (name, dialect) = (format!("{version}.rdb"), dialect(version));
        run(&disk, "dump.rdb", &name, Target::Rdb(Some(dialect))).expect("it can be");
        assert_eq!(keys(&disk, &name), (wanted.clone(), Some(dialect)), "{version}");
    }
    run(&disk, "80.rdb", "x.rdb", Target::Rdb(None)).expect("it can be");
    assert_eq!(keys(&disk, "x.rdb"), (wanted, Some(Dialect::COMMON)));
}

/// Version 9 has no counts of a stream: these are what a server makes of the rest.
#[test]
fn an_rdb_file_of_redis_5_has_no_listpacks() {
    let disk = disk_with((0..samples::KINDS).filter(|kind| ![TIMED, STREAM].contains(kind)));
    let (wanted, _) = keys(&disk, "dump.rdb");
    let to = Target::Rdb(Some(dialect(9)));
    run(&disk, "dump.rdb", "9.rdb", to).expect("it can be");
    assert_eq!(keys(&disk, "9.rdb"), (wanted, Some(dialect(9))));
    let disk = disk_with(STREAM..=STREAM);
    run(&disk, "dump.rdb", "9.rdb", to).expect("it can be");
    let (found, _) = keys(&disk, "9.rdb");
    let (wanted, _) = keys(&disk, "dump.rdb");
    let entries = |said: &[String]| said.iter().filter(|line| line.contains('[')).count();
    for (key, said) in &wanted {
        assert_eq!(entries(&found[key]), entries(said), "{key:?}");
    }
    let mut file = b"REDIS0010".to_vec();
    put_function(&mut file, b"#!lua name=lib\n");
    disk.put(&path("functions.rdb"), &samples::ended(file));
    let refused = run(&disk, "functions.rdb", "x.rdb", to);
    assert!(matches!(refused, Err(ConvertError::NoFunctions(it)) if it.family == Family::Redis));
}

#[test]
fn a_snapshot_becomes_a_journal_and_a_journal_a_snapshot() {
    let disk = disk_with((0..samples::KINDS).filter(|kind| *kind != STREAM));
    let (wanted, _) = keys(&disk, "dump.rdb");
    for (there, back, target) in
        [("x.aof", "file.rdb", Target::Journal), ("dir", "dir.rdb", Target::Directory)]
    {
        let done = run(&disk, "dump.rdb", there, target).expect("it can be");
        assert_eq!(done, Done { keys: wanted.len() as u64, ..Done::default() });
        let done = run(&disk, there, back, Target::Rdb(None)).expect("it can be");
        assert_eq!(done.keys, wanted.len() as u64);
        assert_eq!(keys(&disk, back).0, wanted, "{there}");
    }
    let names = ["appendonly.aof.1.base.aof", "appendonly.aof.manifest"];
    assert_eq!(disk.listing(&path("dir")), names);
    // A directory that holds one journal is as good as that.
    run(&disk, ".", "all.rdb", Target::Rdb(None)).expect("it can be");
    assert_eq!(keys(&disk, "all.rdb").0, wanted);
}

#[test]
fn what_is_there_is_replaced_only_where_that_is_asked_for() {
    let disk = disk_with(0..1);
    let whole = disk.bytes(&path("dump.rdb"));
    for (to, target) in
        [("x.rdb", Target::Rdb(None)), ("x.aof", Target::Journal), ("dir", Target::Directory)]
    {
        run(&disk, "dump.rdb", to, target).expect("it is not there");
        let there = disk.shown();
        let refused = run(&disk, "dump.rdb", to, target);
        assert!(matches!(refused, Err(ConvertError::Exists { .. })), "{to}");
        assert_eq!(disk.shown(), there);
        run_as(&disk, "dump.rdb", to, Wish { target, replaces: true, now: NOW }).expect("as asked");
    }
    let names = ["appendonly.aof.2.base.aof", "appendonly.aof.manifest"];
    assert_eq!(disk.listing(&path("dir")), names);
    let wish = Wish { target: Target::Rdb(None), replaces: true, now: NOW };
    run_as(&disk, "dump.rdb", "dump.rdb", wish).expect("it may replace itself");
    assert_ne!(disk.bytes(&path("dump.rdb")), whole, "it is of another version");
}

#[test]
fn what_cannot_be_read_to_its_end_becomes_nothing() {
    let disk = Disk::with(Path::new(DIR));
    let record = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    for (name, bytes) in [
        ("torn.aof", [&record[..], b"*1\r\n$3\r\nSE"].concat()),
        ("damaged.aof", [&record[..], b"junk"].concat()),
        ("refused.aof", [&record[..], b"*1\r\n$4\r\nNOPE\r\n"].concat()),
        ("cut.rdb", b"REDIS0010\x00\x01k".to_vec()),
        ("twice.rdb", samples::ended(b"REDIS0010\x02\x01k\x02\x01a\x01a".to_vec())),
        ("unknown", b"hello".to_vec()),
    ] {
        disk.put(&path(name), &bytes);
        for (to, target) in [("x.rdb", Target::Rdb(None)), ("x.aof", Target::Journal)] {
            let error = run(&disk, name, to, target).expect_err(name);
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(disk.listing(Path::new(DIR)), [name]);
        }
        disk.remove(&path(name)).expect("it is there");
    }
}

/// Whichever call fails, what is asked for is there whole or not at all, and nothing else is.
#[test]
fn a_disk_that_fails_leaves_nothing_half_written() {
    for (to, target) in
        [("x.rdb", Target::Rdb(None)), ("x.aof", Target::Journal), ("dir", Target::Directory)]
    {
        let mut failed = 0;
        for call in 1.. {
            let disk = disk_with(0..2);
            disk.set(Plan::Fail(disk.calls() + call));
            if run(&disk, "dump.rdb", to, target).is_ok() {
                break;
            }
            failed += 1;
            disk.set(Plan::Work);
            let there = disk.listing(Path::new(DIR));
            assert!(!there.iter().any(|name| name.starts_with("temp")), "{to} {call}: {there:?}");
            // A name that is there, but not for sure after a power cut.
            if there.iter().any(|name| name == to) && to != "dir" {
                run(&disk, to, "back.rdb", Target::Rdb(None)).expect("it is whole");
            }
            assert!(run(&disk, "dump.rdb", "again.rdb", Target::Rdb(None)).is_ok());
        }
        assert!(failed > 5, "{to}: {failed} calls");
    }
}
