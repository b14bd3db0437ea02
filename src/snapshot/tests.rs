//! Snapshots of shards that go to a disk which fails at every call once.

use std::path::Path;

use super::*;
use crate::aof::disk::{Disk, Plan};
use crate::base::millis::Millis;
use crate::filesystem::Place;
use crate::keyspace::saving::Pieces;
use crate::place::StreamPlace;
use crate::rdb::{Checksum, Decoder, Dialect, Record};
use crate::settings::Settings;
use crate::shard::SLICE_NS;
use crate::shard::snapshot::{Begun, moment, moment_of};
use crate::snapshot::file::{About, place_of};
use crate::testing::{Shards, Stepping};

const DIRECTORY: &str = "/data";
const PLACE: &str = "/data/dump.rdb";

fn file(disk: &Disk, has_checksum: bool) -> SnapshotFile {
    let place = Place {
        directory: DIRECTORY.into(),
        name: "dump.rdb".to_owned(),
        temporary: "temp-7".to_owned(),
    };
    let about = About {
        version: "7.2.4",
        seconds: 1_700_000_000,
        used_memory: 5,
        is_base: false,
        is_rdb: true,
        notes_time: false,
        syncs_as_it_grows: true,
        has_checksum,
        timed: Dialect::TIMED,
        plain: Dialect::COMMON,
        replication: None,
    };
    SnapshotFile::new(Box::new(disk.clone()), place, about)
}

/// Some keys; sets and hashes with deadlines as asked for, and a value that comes in parts.
fn filled(timed: &[&str]) -> Shards {
    let mut shards = Shards::new(2);
    for number in 0..200 {
        shards.session.db = number % 3;
        shards.run(&format!("SET key:{number} {number}"));
    }
    shards.session.db = 1;
    shards.run("EXPIRE key:4 100");
    shards.session.db = 0;
    let long = "0123456789".repeat(20_000);
    shards.run(&format!("SET long {long}"));
    shards.run(&format!("RPUSH list {long} a b c"));
    for line in timed {
        shards.run(line);
    }
    shards
}

const TIMED_HASH: &str = "HSETEX hash PX 100000 FIELDS 1 f v";

/// Lets the shards write a snapshot, a few keys a turn, until it has ended.
fn save(shards: &mut Shards, number: u32, file: SnapshotFile) -> Outcome {
    let mut snapshot = Snapshot::new(number, 2, file);
    shards.shards[0].file(moment(moment_of(number, &Settings::default(), 0, 2), shards.now));
    shards.settle();
    let mut keys = 0;
    while snapshot.outcome().is_none() {
        // The moment was on the last one.
        for (number, shard) in [1, 0].into_iter().zip(shards.shards.iter_mut().rev()) {
            shard.write_snapshot(&mut Stepping::by(SLICE_NS / 500));
            let mut news = Vec::new();
            shard.tell_news(&mut news);
            for news in news {
                keys += news.keys_of(snapshot.number());
                assert_eq!(news.keys_of(snapshot.number() + 1), 0);
                if let Some(bytes) = snapshot.hear(number, news) {
                    shard.snapshot_written(snapshot.number(), bytes);
                }
            }
        }
    }
    shards.shards.iter_mut().for_each(|shard| shard.end_snapshot(number));
    if snapshot.outcome().is_some_and(Result::is_ok) {
        let mut there = 0;
        for db in 0..3 {
            shards.session.db = db;
            let size = shards.run("DBSIZE");
            there += size.trim_start_matches("(integer) ").trim().parse::<u64>().expect("a number");
        }
        shards.session.db = 0;
        assert_eq!(keys, there);
    }
    snapshot.outcome().cloned().expect("it has ended")
}

/// The records of a file but its keys, and how many of those there are.
fn read(bytes: &[u8]) -> (Vec<String>, usize) {
    let (mut decoder, mut said, mut keys) = (Decoder::default(), Vec::new(), 0);
    loop {
        let next = decoder.next(&bytes[decoder.offset()..], 0).expect("it is sound");
        match next.expect("nothing more comes").0 {
            Record::Key(_) => keys += 1,
            Record::Database(_) => {}
            Record::Aux(name, value) => {
                said.push(format!("{} {}", name.escape_ascii(), value.escape_ascii()));
            }
            Record::End => break,
            record => said.push(format!("{record:?}")),
        }
    }
    assert_eq!(decoder.offset(), bytes.len(), "nothing stands behind the checksum");
    (said, keys)
}

/// They stand ahead of the databases, as Redis writes them.
#[test]
fn functions_stand_in_the_file() {
    let disk = Disk::with(Path::new(DIRECTORY));
    let sources = ["#!lua name=one\nPING", "#!lua name=two\nPING"];
    let mut shards = filled(&[]);
    for source in sources {
        shards.run(&format!("FUNCTION LOAD \"{}\"", source.replace('\n', "\\n")));
    }
    save(&mut shards, 1, file(&disk, true)).expect("no call fails");
    let (said, keys) = read(&disk.bytes(Path::new(PLACE)).expect("it is there"));
    let wanted = sources.map(|source| format!("{:?}", Record::Function(source.as_bytes().into())));
    assert_eq!((&said[6..8], keys), (&wanted[..], 202));
    assert!(said[8].starts_with("Sizes("), "{said:?}");
}

#[test]
fn a_snapshot_is_a_file_that_can_be_read() {
    let timed_set = ["SADD set a b", "SPEXPIRE set 100000 MEMBERS 1 a"];
    let both = [timed_set[0], timed_set[1], TIMED_HASH];
    for (lines, dialect) in [
        (&[][..], Dialect::COMMON),
        (&timed_set, Dialect::COMMON),
        (&[TIMED_HASH], Dialect::TIMED),
        (&both, Dialect::TIMED),
    ] {
        let mut shards = filled(lines);
        let disk = Disk::with(Path::new(DIRECTORY));
        disk.put(Path::new(PLACE), b"old");
        let outcome = save(&mut shards, 1, file(&disk, true));
        assert_eq!(disk.listing(Path::new(DIRECTORY)), ["dump.rdb"]);
        let bytes = disk.bytes(Path::new(PLACE)).expect("it is there");
        assert_eq!(outcome, Ok(bytes.len() as u64));
        let (said, keys) = read(&bytes);
        assert_eq!(
            keys,
            202 + usize::from(lines.len() > 1) + usize::from(dialect == Dialect::TIMED)
        );
        let mut wanted = vec![format!("{:?}", Record::Head(dialect))];
        let fields =
            ["redis-ver 7.2.4", "redis-bits 64", "ctime 1700000000", "used-mem 5", "aof-base 0"];
        wanted.extend(fields.map(str::to_owned));
        assert_eq!(said[..6], wanted);
        assert!(
            said[6].starts_with("Sizes(") && said[7..9] == ["Sizes(67, 1)", "Sizes(66, 0)"],
            "{said:?}"
        );
        let beside = said[9..].iter().all(|it| it.starts_with("troupe-deadlines"));
        assert!(beside && said.len() == 9 + usize::from(lines.len() > 1), "{said:?}");
    }
}

#[test]
fn a_file_without_a_checksum_ends_in_zeros() {
    let mut shards = filled(&[]);
    let disk = Disk::with(Path::new(DIRECTORY));
    save(&mut shards, 1, file(&disk, false)).expect("nothing fails");
    let bytes = disk.bytes(Path::new(PLACE)).expect("it is there");
    assert_eq!(bytes[bytes.len() - 9..], [255, 0, 0, 0, 0, 0, 0, 0, 0]);
    read(&bytes);
    let mut checksum = Checksum::default();
    checksum.add(&bytes);
    assert_ne!(checksum.bytes(), [0; 8]);
}

/// The old file stays until the new one is whole and in its place, and nothing else is left.
#[test]
fn whatever_call_fails_the_old_file_stays() {
    let lines = ["SADD set a b", "SPEXPIRE set 100000 MEMBERS 1 a"];
    let mut shards = filled(&lines);
    let (mut number, mut failures) = (0, 0);
    let mut whole = None;
    for plan in [Plan::Fail as fn(usize) -> Plan, Plan::FailDone, Plan::StopAfter] {
        for call in 1.. {
            number += 1;
            let disk = Disk::with(Path::new(DIRECTORY));
            disk.put(Path::new(PLACE), b"old");
            disk.set(plan(call));
            let outcome = save(&mut shards, number, file(&disk, true));
            let is_stopped = plan(call) == Plan::StopAfter(call);
            let bytes = disk.bytes(Path::new(PLACE)).expect("one of them is there");
            if bytes == b"old" {
                assert!(outcome.is_err(), "call {call}");
            } else {
                read(&bytes);
                assert_eq!(whole.get_or_insert(bytes.len()), &bytes.len());
            }
            if is_stopped {
                for image in disk.images() {
                    let bytes = image.bytes(Path::new(PLACE)).expect("one of them is there");
                    assert!(bytes == b"old" || Some(bytes.len()) == whole, "call {call}");
                }
            } else if outcome.is_err() {
                failures += 1;
                assert_eq!(disk.listing(Path::new(DIRECTORY)), ["dump.rdb"], "call {call}");
            }
            if disk.calls() < call {
                assert!(outcome.is_ok());
                break;
            }
        }
    }
    assert!(failures > 20, "{failures} calls failed");
}

/// What stands on the disk is not what was written.
#[test]
fn a_disk_that_forgets_is_found_out() {
    let disk = Disk::with(Path::new(DIRECTORY));
    disk.put(Path::new(PLACE), b"old");
    let mut file = file(&disk, true);
    let begun = Begun { number: 1, databases: vec![(0, 1, 0)], ..Begun::default() };
    file.begin(&begun).expect("nothing fails");
    let name = disk.listing(Path::new(DIRECTORY)).into_iter().find(|name| name != "dump.rdb");
    let path = Path::new(DIRECTORY).join(name.expect("there is one beside it"));
    let mut bytes = disk.bytes(&path).expect("it is there");
    bytes[12] ^= 1;
    disk.put(&path, &bytes);
    let fault = file.finish().expect_err("a bit is another one");
    assert!(fault.to_string().starts_with("read /data/temp-7"), "{fault}");
    assert_eq!(disk.bytes(Path::new(PLACE)).as_deref(), Some(&b"old"[..]));
}

#[test]
fn it_fails_with_a_shard_or_where_it_cannot_begin() {
    let disk = Disk::with(Path::new(DIRECTORY));
    let failed = || News::Pieces(Pieces { number: 4, has_failed: true, ..Pieces::default() });
    let begun = || {
        let databases = Vec::new();
        News::Begun(Begun { number: 4, databases, ..Begun::default() }, None)
    };
    let of_other =
        || News::Pieces(Pieces { number: 3, slots: u32::from(SLOTS), ..Pieces::default() });
    let mut snapshot = Snapshot::new(4, 2, file(&disk, true));
    for news in [of_other(), failed(), News::NotBegun(3)] {
        assert_eq!((snapshot.hear(0, news), snapshot.outcome()), (None, None));
    }
    snapshot.hear(0, begun());
    snapshot.batch_gone();
    snapshot.hear(1, of_other());
    assert_eq!(snapshot.outcome(), None);
    snapshot.hear(1, failed());
    let why = "shard 1 has panicked meanwhile".to_owned();
    assert_eq!(snapshot.outcome(), Some(&Err(why)));
    let mut snapshot = Snapshot::new(4, 2, file(&disk, true));
    snapshot.batch_gone();
    assert!(snapshot.outcome().is_some_and(Result::is_err));
    let mut snapshot = Snapshot::new(4, 2, file(&disk, true));
    snapshot.hear(0, News::NotBegun(4));
    assert!(snapshot.outcome().is_some_and(Result::is_err));
    let mut snapshot = Snapshot::new(4, 2, file(&disk, true));
    snapshot.hear(0, begun());
    snapshot.give_up("it was cancelled");
    assert_eq!(snapshot.outcome(), Some(&Err("it was cancelled".to_owned())));
    assert!(disk.listing(Path::new(DIRECTORY)).is_empty());
}

#[test]
fn one_in_the_background_ends_where_all_keys_are_taken_out() {
    let disk = Disk::with(Path::new(DIRECTORY));
    let outdated = |number| News::Pieces(Pieces { number, is_outdated: true, ..Pieces::default() });
    let mut snapshot = Snapshot::new(4, 2, file(&disk, true));
    snapshot.overhear(&outdated(4));
    assert_eq!(snapshot.outcome(), None, "somebody waits for it");
    let mut snapshot = snapshot.in_background();
    snapshot.overhear(&outdated(3));
    assert_eq!(snapshot.outcome(), None);
    snapshot.overhear(&outdated(4));
    assert_eq!(snapshot.outcome(), Some(&Err(OUTDATED.to_owned())));
}

#[test]
fn a_file_says_which_stream_it_goes_on_from() {
    let mut about = About::snapshot(&Settings::default(), Millis(0));
    assert_eq!(place_of(&about.without_keys(&[])).place(), None);
    let stream = StreamPlace { id: "0123456789".repeat(4), offset: 77, db: 3 };
    about.replication = Some(stream.clone());
    let bytes = about.without_keys(&[]);
    assert_eq!(place_of(&bytes).place(), Some(stream));
    assert_eq!(place_of(&bytes).db, Some(3));
    for length in 0..bytes.len() - 20 {
        // A part of it says nothing, or the same.
        assert!(place_of(&bytes[..length]).place().is_none_or(|stream| stream.offset == 77));
    }
}
