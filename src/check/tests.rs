//! Files as they should be, cut at each byte and with each byte changed: what a check says of them
//! is what a load finds.
//!
//! `TROUPE_DAMAGE=all` cuts and changes each byte; otherwise it is one of so many.

use std::path::PathBuf;

use super::*;
use crate::aof::directory::{Directory, Location};
use crate::aof::disk::Disk;
use crate::check::report::Amount;
use crate::rdb::samples;
use crate::rdb::{self, Dialect, Fault};
use crate::resp::encode;

const DIR: &str = "/data";

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn disk() -> Disk {
    Disk::with(Path::new(DIR))
}

fn look(disk: &Disk, path: &Path) -> Report {
    let hasher = Hasher::with_seeds([1, 2, 3, 4]);
    check(disk, path, &hasher, &mut |at, length| assert!(at <= length)).expect("it is known")
}

/// The report of the only file.
fn look_at(disk: &Disk, name: &str) -> FileReport {
    let mut report = look(disk, &path(name));
    assert_eq!(report.files.len(), 1);
    report.files.remove(0)
}

/// Every how manieth byte is damaged.
fn step(usual: usize) -> usize {
    if std::env::var("TROUPE_DAMAGE").is_ok_and(|it| it == "all") { 1 } else { usual }
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::command(&mut bytes, &words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
    bytes
}

/// About so many bytes: databases, transactions, annotations, values of many lengths; other ones
/// from each number on.
fn journal(first: usize, length: usize) -> Vec<u8> {
    let mut bytes = b"#TS:1795412541\r\n".to_vec();
    for index in first.. {
        let key = format!("key:{index}");
        bytes.extend(command(&["SET", &key, &"v".repeat(index * 37 % 1_500)]));
        if index % 5 == 0 {
            bytes.extend(command(&["SELECT", &(index % 3).to_string()]));
        }
        if index % 7 == 0 {
            bytes.extend(command(&["MULTI"]));
            bytes.extend(command(&["APPEND", &key, "x"]));
            bytes.extend(command(&["RPUSH", "list", &key]));
            bytes.extend(command(&["EXEC"]));
        }
        if bytes.len() > length {
            return bytes;
        }
    }
    bytes
}

#[test]
fn says_what_an_rdb_file_holds() {
    let disk = disk();
    let mut file = b"REDIS0011\xfa\x09redis-ver\x057.2.5\xf5\x15#!lua name=lib\nreturn".to_vec();
    file.extend(b"\xfe\x00\xfb\x02\x01\xfc\x01\0\0\0\0\0\0\0\x00\x01k\x01v\x00\x01l\x01v");
    file.extend(b"\xfe\x09\x02\x01s\x01\x01a");
    disk.put(&path("dump.rdb"), &samples::ended(file));
    let file = look_at(&disk, "dump.rdb");
    assert_eq!(file.worst, None);
    assert_eq!(file.dialect, Dialect::of_version(11).ok());
    assert_eq!(file.fields, [(b"redis-ver".to_vec(), b"7.2.5".to_vec())]);
    assert_eq!(file.libraries, ["#!lua name=lib"]);
    assert!(!file.is_journal());
    let (first, other) = (&file.databases[&0], &file.databases[&9]);
    assert_eq!((first.timed, first.types["string"]), (1, Amount { count: 2, bytes: 19 }));
    assert_eq!((other.timed, other.types["set"]), (0, Amount { count: 1, bytes: 6 }));
}

#[test]
fn values_that_are_damaged_are_all_named_and_what_is_foreign_is_no_damage() {
    let disk = disk();
    let mut file = b"REDIS0015\xfe\x02".to_vec();
    // Members twice, a stream that no version here reads, a set without members.
    file.extend(b"\x02\x03one\x02\x01a\x01a\x00\x01k\x01v\x02\x03two\x02\x01a\x01a");
    disk.put(&path("dump.rdb"), &samples::ended(file.clone()));
    let report = look_at(&disk, "dump.rdb");
    assert_eq!(report.worst, Some(Severity::Damaged));
    let said: Vec<&str> = report.findings.iter().map(|it| it.what.as_str()).collect();
    assert!(said.len() == 2 && said[0].contains("'one' of database 2"), "{said:?}");
    assert!(said[1].contains("'two'") && said[1].ends_with("restore it from a backup"), "{said:?}");
    assert!(report.databases[&2].types["string"].count == 1 && report.findings[0].cut.is_none());
    file.truncate(11);
    file.extend(b"\x02\x05empty\x00\x1b\x04next");
    disk.put(&path("dump.rdb"), &samples::ended(file));
    let report = look_at(&disk, "dump.rdb");
    assert_eq!(report.worst, Some(Severity::Foreign));
    let kinds: Vec<Severity> = report.findings.iter().map(|it| it.severity).collect();
    assert_eq!(kinds, [Severity::Note, Severity::Foreign]);
}

#[test]
fn more_findings_than_people_read_are_counted() {
    let disk = disk();
    let records: Vec<u8> = (0..50).flat_map(|_| command(&["NOPE", "x"])).collect();
    disk.put(&path("x.aof"), &[records, b"*2\r\n$3".to_vec()].concat());
    let report = look_at(&disk, "x.aof");
    assert_eq!((report.worst, report.unnamed), (Some(Severity::Torn), 30));
    assert_eq!(report.findings.len(), 21, "what can be cut is among them");
    assert!(report.findings[0].what.contains("Unknown command 'NOPE'"));
    assert_eq!(report.commands["others, refused"].count, 50);
}

/// The directory of a server with a snapshot and a journal of three files.
fn data_directory() -> Disk {
    let disk = disk();
    disk.put(&path("dump.rdb"), &samples::ended(b"REDIS0010".to_vec()));
    disk.put(&path("temp-1.rdb"), b"half of one");
    disk.put(&path("notes.txt"), b"of no matter");
    disk.put_directory(&path("appendonlydir"));
    let inside = |name: &str| path("appendonlydir").join(name);
    let manifest = "file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\n\
                    file a.2.incr.aof seq 2 type i\n";
    disk.put(&inside("a.manifest"), manifest.as_bytes());
    let base = samples::ended(b"REDIS0010\x00\x01k\x01v".to_vec());
    disk.put(&inside("a.1.base.rdb"), &[base, command(&["INCR", "x"])].concat());
    disk.put(&inside("a.1.incr.aof"), &journal(0, 100));
    disk.put(&inside("a.2.incr.aof"), &journal(0, 1_000));
    disk
}

#[test]
fn a_directory_is_looked_at_file_by_file_and_only_the_last_one_can_be_mended() {
    let disk = data_directory();
    let inside = |name: &str| path("appendonlydir").join(name);
    let report = look(&disk, Path::new(DIR));
    let names: Vec<_> = report.files.iter().filter_map(|file| file.path.file_name()).collect();
    assert_eq!(names, ["a.manifest", "a.1.base.rdb", "a.1.incr.aof", "a.2.incr.aof", "dump.rdb"]);
    assert_eq!(report.worst(), None);
    assert!(report.files[1].is_journal() && report.files[1].commands["incr"].count == 1);
    assert_eq!(report.files[2].commands["append"].count, 1);
    assert_eq!(report.files[2].transactions, 1);
    for directory in [inside(""), inside("a.manifest")] {
        assert_eq!(look(&disk, &directory).files.len(), 4);
    }
    // A stray is noted; a torn end inside of the journal cannot be mended; a file is missing.
    disk.put(&inside("a.9.incr.aof"), b"*1\r\n");
    assert_eq!(look(&disk, &inside("")).worst(), Some(Severity::Note));
    for (name, is_mendable) in [("a.1.incr.aof", false), ("a.2.incr.aof", true)] {
        let whole = disk.bytes(&inside(name)).expect("it is there");
        for damaged in [&whole[..whole.len() - 3], &[&whole, &b"junk"[..]].concat()] {
            disk.put(&inside(name), damaged);
            let report = look(&disk, &inside(""));
            assert!(report.worst() >= Some(Severity::Torn), "{name}");
            assert_eq!(report.is_mendable(), is_mendable, "{name}");
            assert_eq!(report.cuts().count(), usize::from(is_mendable), "{name}");
        }
        disk.put(&inside(name), &whole);
    }
    disk.remove(&inside("a.1.base.rdb")).expect("it is there");
    let report = look(&disk, &inside(""));
    assert!(report.worst() == Some(Severity::Damaged) && !report.is_mendable());
    assert!(report.files[0].findings[0].what.contains("a.1.base.rdb is listed in"));
}

#[test]
fn what_is_none_of_ours_is_not_guessed_at() {
    let disk = disk();
    let hasher = Hasher::with_seeds([1, 2, 3, 4]);
    disk.put(&path("x"), b"hello");
    for name in ["x", "."] {
        let error = check(&disk, &path(name), &hasher, &mut |_, _| {}).expect_err(name);
        assert!(matches!(error, CheckError::Unknown { .. }), "{error}");
    }
    disk.put(&path("x"), b"*1\r\n$8\r\nFLUSHALL\r\n");
    assert_eq!(look_at(&disk, "x").commands["flushall"].count, 1);
    disk.put(&path("x"), b"file a seq 1 type b\n");
    let report = look(&disk, &path("x"));
    assert_eq!(report.files.len(), 1, "the file that it lists is not there");
}

/// A megabyte of journals cut at each byte, and one that takes more than one read at some: the
/// check names where the last whole unit ends, and what is left when it is cut there is sound and
/// holds all that was counted before.
#[test]
fn a_journal_cut_at_any_byte_is_mended_to_its_last_whole_unit() {
    let mut torn = 0;
    let small = (1..=16).map(|number| (number * 1_000, 64 << 10, step(1_021)));
    for (first, length, step) in small.chain([(0, 1_100 << 10, 4_099)]) {
        let (whole, disk, mut sound) = (journal(first, length), disk(), 0);
        for length in (0..whole.len()).step_by(step) {
            disk.put(&path("x.aof"), &whole[..length]);
            let report = look_at(&disk, "x.aof");
            let Some(severity) = report.worst else {
                sound = length;
                continue;
            };
            torn += 1;
            assert_eq!((severity, report.findings.len()), (Severity::Torn, 1), "{length}");
            let cut = report.findings[0].cut.clone().expect("it can be cut");
            assert_eq!(cut.valid_up_to + cut.dropped, length as u64);
            assert!(cut.valid_up_to >= sound as u64 && cut.dropped < 2_000, "{length}: {cut:?}");
            cut.mend(&disk, true).expect("the disk works");
            let mended = look_at(&disk, "x.aof");
            assert_eq!((mended.worst, mended.length), (None, cut.valid_up_to), "{length}");
            assert_eq!(mended.commands, report.commands, "{length}");
        }
    }
    assert!(torn > 1_000, "{torn}");
}

/// Damage in the middle is named, and cut only where that is asked for: what is before it is whole.
#[test]
fn a_journal_with_any_byte_changed_is_read_or_named_and_cut_before_it() {
    let mut bytes = journal(0, 32 << 10);
    let disk = disk();
    let (mut refused, mut taken) = (0, 0);
    for at in (0..bytes.len()).step_by(step(31)) {
        bytes[at] ^= 1;
        disk.put(&path("x.aof"), &bytes);
        bytes[at] ^= 1;
        let report = look_at(&disk, "x.aof");
        let Some(cut) = report.findings.iter().find_map(|finding| finding.cut.clone()) else {
            taken += 1;
            continue;
        };
        refused += 1;
        let offset = report.findings.last().and_then(|finding| finding.offset);
        assert!(Some(cut.valid_up_to) <= offset, "{at}: {cut:?}");
        cut.mend(&disk, true).expect("the disk works");
        assert!(look_at(&disk, "x.aof").worst < Some(Severity::Torn), "{at}");
    }
    assert!(refused > 50 && taken > 200, "{refused} refused, {taken} taken");
}

/// Whether a load would take every key of the file.
fn loads(file: &[u8]) -> bool {
    let mut cutter = rdb::Cutter::new(RULES);
    let (settings, hasher) = (Settings::default(), Hasher::with_seeds([1, 2, 3, 4]));
    cutter.feed(file);
    loop {
        match cutter.next_piece(0) {
            Err(_) | Ok(None) => return false,
            Ok(Some(rdb::Piece::End)) => return true,
            Ok(Some(rdb::Piece::Keys(raw))) => {
                let forms = Forms::of(&settings, &hasher);
                let faults = raw.keys.iter().filter_map(|key| raw.read(key, forms).err());
                if faults.map(|error| error.fault).any(|fault| fault != Fault::Empty) {
                    return false;
                }
            }
            Ok(Some(_)) => {}
        }
    }
}

/// Files of every type, with any byte changed: the checksum finds it. Where that is right again,
/// the check calls sound what loads, and nothing else.
#[test]
fn an_rdb_file_with_any_byte_changed_is_sound_only_where_it_loads() {
    let disk = disk();
    let mut random = fastrand::Rng::with_seed(9);
    let (mut refused, mut taken) = (0, 0);
    for (number, file) in samples::files().into_iter().enumerate() {
        let body = file.len() - 9;
        let step = if number == 0 { step(193) } else { 3 };
        for at in (0..body).step_by(step) {
            let mut changed = file[..body].to_vec();
            changed[at] ^= 1 << random.u8(..8);
            let sealed = samples::ended(changed);
            disk.put(&path("dump.rdb"), &sealed);
            let report = look_at(&disk, "dump.rdb");
            let is_sound = report.worst <= Some(Severity::Note);
            assert_eq!(is_sound, loads(&sealed), "file {number}, {at}: {:?}", report.findings);
            let places = report.findings.iter().filter_map(|finding| finding.offset);
            assert!(places.max() <= Some(sealed.len() as u64), "file {number}, {at}");
            *(if is_sound { &mut taken } else { &mut refused }) += 1;
            if number == 0 {
                let unsealed = [&sealed[..sealed.len() - 8], &file[file.len() - 8..]].concat();
                disk.put(&path("dump.rdb"), &unsealed);
                let worst = look_at(&disk, "dump.rdb").worst;
                assert!(worst > Some(Severity::Note), "{at}");
            }
        }
    }
    assert!(refused > 200 && taken > 50, "{refused} refused, {taken} taken");
}

/// A manifest with any byte changed: what the check calls sound is what a server starts on.
#[test]
fn a_manifest_with_any_byte_changed_is_sound_only_where_a_server_starts() {
    let place = Location {
        dir: DIR.into(),
        appenddirname: "appendonlydir".into(),
        appendfilename: "a".into(),
    };
    let manifest = path("appendonlydir").join("a.manifest");
    let whole = data_directory().bytes(&manifest).expect("it is there");
    let (mut refused, mut taken) = (0, 0);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let disk = data_directory();
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            disk.put(&manifest, &changed);
            let report = look(&disk, &manifest);
            let opened = Directory::open(Box::new(disk), &place).and_then(|it| it.files());
            let is_sound = report.worst() < Some(Severity::Foreign);
            assert_eq!(is_sound, opened.is_ok(), "{at} {bit}: {report:?} {opened:?}");
            if let Some(finding) = report.files[0].findings.first() {
                assert!(finding.what.contains("a.manifest") || is_sound, "{}", finding.what);
            }
            *(if is_sound { &mut taken } else { &mut refused }) += 1;
        }
    }
    assert!(refused > 200 && taken > 20, "{refused} refused, {taken} taken");
}
