//! Reading of files: whole, cut at each byte, with each byte changed.

use super::*;
use crate::aof::directory::{Directory, Location};
use crate::aof::disk::Disk;
use crate::base::millis::Millis;
use crate::rdb::Expired;

const DIR: &str = "/data";

/// A disk with one file.
fn disk_with(bytes: &[u8]) -> Disk {
    let disk = Disk::with(Path::new(DIR));
    disk.put(&path(), bytes);
    disk
}

fn path() -> PathBuf {
    Path::new(DIR).join("x.incr.aof")
}

fn command(args: &[&str]) -> String {
    let mut text = format!("*{}\r\n", args.len());
    for arg in args {
        text += &format!("${}\r\n{arg}\r\n", arg.len());
    }
    text
}

/// About 20 KiB: databases, transactions, annotations, empty and longer values.
fn journal() -> String {
    let mut text = String::new();
    for index in 0..160 {
        let key = format!("key:{index}");
        if index % 10 == 0 {
            text += &format!("#TS:{}\r\n", 1_795_412_541 + index);
            text += &command(&["SELECT", &(index / 10 % 3).to_string()]);
        }
        text += &command(&["SET", &key, &"v".repeat(index)]);
        if index % 7 == 0 {
            text += &command(&["MULTI"]);
            text += &command(&["INCR", &key]);
            text += &command(&["SELECT", "5"]);
            text += &command(&["DEL", &key, ""]);
            text += &command(&["EXEC"]);
        }
    }
    text
}

const RULES: Rules = Rules { databases: 16, checks: true, expired_by: None };

fn listed(disk: &Disk, role: Role, is_last: bool) -> Vec<Listed> {
    let length = disk.bytes(&path()).map_or(0, |bytes| bytes.len() as u64);
    vec![Listed { path: path(), length, role, is_last }]
}

/// The records of a block, if it has any.
fn records(from: FromFile) -> Option<Block> {
    match from.content {
        Content::Records(block) => Some(block),
        Content::Keys(_) => None,
    }
}

/// All blocks of records of the files, and the outcome.
fn read(
    disk: &Disk,
    files: Vec<Listed>,
    up_to: Option<u64>,
) -> (Vec<Block>, Result<Read, AofError>) {
    let mut reader = Reader::new(Box::new(disk.clone()), files, up_to, RULES);
    let mut blocks = Vec::new();
    loop {
        match reader.next_block() {
            Ok(Some(from)) => blocks.extend(records(from)),
            Ok(None) => return (blocks, Ok(reader.end())),
            Err(error) => return (blocks, Err(error)),
        }
    }
}

/// The units as text, and the outcome.
fn read_texts(disk: &Disk, files: Vec<Listed>) -> (Vec<String>, Result<Read, AofError>) {
    let (blocks, outcome) = read(disk, files, None);
    let mut texts = Vec::new();
    for block in &blocks {
        for unit in &block.units {
            let mut text = String::new();
            for record in block.records(unit) {
                let args: Vec<_> = block.args(record).map(String::from_utf8_lossy).collect();
                text += &format!("{}:{} ", record.db, args.join(","));
            }
            texts.push(text);
        }
    }
    (texts, outcome)
}

/// Where the units of the last file start, and the outcome.
fn read_offsets(disk: &Disk) -> (Vec<u64>, Result<Read, AofError>) {
    let (blocks, outcome) = read(disk, listed(disk, Role::Increment, true), None);
    let units = blocks.iter().flat_map(|block| &block.units);
    (units.map(|unit| unit.offset).collect(), outcome)
}

#[test]
fn a_file_cut_at_each_byte_loads_its_whole_units_and_is_mended() {
    let whole = journal();
    let disk = disk_with(whole.as_bytes());
    let (all, outcome) = read_offsets(&disk);
    assert_eq!(outcome.unwrap().bytes, whole.len() as u64);
    assert!(all.len() > 160 && whole.len() > 15 * 1024);
    let ends = |length: usize| all.iter().skip(1).filter(|start| **start <= length as u64).count();
    for length in (0..whole.len()).rev() {
        disk.put(&path(), &whole.as_bytes()[..length]);
        let (found, outcome) = read_offsets(&disk);
        assert!(all.starts_with(&found), "{length}");
        assert!(found.len() >= ends(length.saturating_sub(50)), "{length}");
        let Some(torn) = outcome.unwrap().torn else { continue };
        assert_eq!(torn.valid_up_to + torn.dropped, length as u64);
        torn.mend(&disk, true).unwrap();
        let durable = &disk.images()[0];
        let (again, outcome) = read_offsets(durable);
        assert_eq!((again, outcome.unwrap().torn), (found, None), "{length}");
    }
}

#[test]
fn a_file_with_a_changed_byte_loads_or_is_refused_with_its_place() {
    let mut bytes = journal().into_bytes();
    let disk = disk_with(&bytes);
    let (mut refused, mut torn) = (0, 0);
    for index in 0..bytes.len() {
        bytes[index] ^= 1;
        disk.put(&path(), &bytes);
        bytes[index] ^= 1;
        match read_offsets(&disk).1 {
            Ok(read) => torn += usize::from(read.torn.is_some()),
            Err(error @ AofError::Damaged { .. }) => {
                refused += 1;
                let text = error.to_string();
                assert!(text.contains("offset") && text.contains("troupe check --fix"), "{text}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > bytes.len() / 4);
    // Lengths in the last records, and EXEC of the last transaction.
    assert!(torn < 100, "{torn}");
}

#[test]
fn reads_base_and_increments_in_order_and_each_from_database_0() {
    let disk = Disk::with(Path::new(DIR));
    let place =
        Location { dir: DIR.into(), appenddirname: "d".into(), appendfilename: "a b".into() };
    let base = command(&["SELECT", "4"]) + &command(&["SET", "x", "1"]);
    disk.put(&Path::new(DIR).join("a b"), base.as_bytes());
    let mut directory = Directory::open(Box::new(disk.clone()), &place).unwrap();
    directory.add_increment().unwrap();
    directory.add_increment().unwrap();
    let files = directory.files().unwrap();
    for (index, file) in files.iter().enumerate().skip(1) {
        disk.put(&file.path, command(&["INCR", &index.to_string()]).as_bytes());
    }
    let (texts, outcome) = read_texts(&disk, files.clone());
    assert_eq!(texts, ["4:SET,x,1 ", "0:INCR,1 ", "0:INCR,2 "]);
    assert_eq!(outcome.unwrap().records, 3);
    let (_, nothing_of_last) = read(&disk, files.clone(), Some(0));
    assert_eq!(nothing_of_last.unwrap().records, 2);

    let mut reader = Reader::new(Box::new(disk), files.clone(), None, RULES);
    assert_eq!(*reader.next_block().unwrap().unwrap().path, *files[0].path);
    assert_eq!(*reader.next_block().unwrap().unwrap().path, *files[1].path);
}

#[test]
fn a_torn_file_that_is_not_the_last_or_must_not_be_cut_is_refused() {
    let disk = disk_with((command(&["INCR", "x"]) + "*2\r\n$4\r\nIN").as_bytes());
    let (_, outcome) = read(&disk, listed(&disk, Role::Increment, false), None);
    assert!(matches!(outcome, Err(AofError::TornInside { valid_up_to: 21, .. })), "{outcome:?}");
    let torn = read_offsets(&disk).1.unwrap().torn.unwrap();
    let error = torn.mend(&disk, false).unwrap_err().to_string();
    assert!(error.contains("10 bytes from offset 21"), "{error}");
    disk.put(&path(), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n");
    let torn = read_offsets(&disk).1.unwrap().torn.unwrap();
    assert_eq!(torn.record, "SET k");
    disk.put(&path(), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nvvv");
    let error = read_offsets(&disk).1.unwrap_err().to_string();
    assert!(error.contains("line end behind an argument, in the record SET k; "), "{error}");
    disk.put(&path(), (command(&["INCR", "x"]) + "*2\r\n$4\r\nIN").as_bytes());
    assert_eq!(disk.bytes(&path()).unwrap().len(), 31, "nothing was cut");
}

#[test]
fn an_rdb_base_is_known_by_its_bytes_and_may_have_records_behind_it() {
    let mut bytes = b"REDIS0010\xff".to_vec();
    bytes.extend(crate::rdb::crc64(&bytes).to_le_bytes());
    bytes.extend(command(&["INCR", "x"]).as_bytes());
    let disk = disk_with(&bytes);
    let (texts, outcome) = read_texts(&disk, listed(&disk, Role::Base, true));
    assert_eq!((texts.len(), outcome.unwrap().bytes), (1, bytes.len() as u64));

    disk.put(&path(), b"REDIS0099\xff");
    let error = read(&disk, listed(&disk, Role::Base, true), None).1.unwrap_err().to_string();
    assert!(error.contains("version 99") && error.contains("aof-use-rdb-preamble"), "{error}");
}

/// A file with two functions, data of a module, and a key that expired at 5 among others.
fn rdb_file() -> Vec<u8> {
    let parts: [&[u8]; 7] = [
        b"REDIS0010\xf5\x03one\xf5\x03two",
        b"\xf7\x81\x44\x97\x89\x70\xbf\x88\x00\x00\x02\x02\x05\x01x\x00",
        b"\x00\x01k\x01v",
        b"\xfc\x05\0\0\0\0\0\0\0\x00\x01l\x01v",
        b"\xfe\x03\x00\x01m",
        &[&[0x80, 0, 0x20, 0, 0][..], &[b'x'; 0x0020_0000]].concat(),
        b"\xff",
    ];
    let mut bytes = parts.concat();
    bytes.extend(crate::rdb::crc64(&bytes).to_le_bytes());
    bytes
}

/// The keys of a file, a line each, and the outcome.
fn read_keys(disk: &Disk, role: Role, rules: Rules) -> (Vec<String>, Result<Read, AofError>) {
    let mut reader = Reader::new(Box::new(disk.clone()), listed(disk, role, true), None, rules);
    let mut said = Vec::new();
    loop {
        let from = match reader.next_block() {
            Ok(Some(from)) => from,
            Ok(None) => {
                assert_eq!(reader.position(), disk.bytes(&path()).unwrap().len() as u64);
                return (said, Ok(reader.end()));
            }
            Err(error) => return (said, Err(error)),
        };
        match from.content {
            Content::Records(block) => said.push(format!("{} records", block.records.len())),
            Content::Keys(raw) => {
                let name = |key| String::from_utf8_lossy(&raw.name_of(key)).into_owned();
                said.extend(raw.keys.iter().map(|key| format!("{} in {}", name(key), key.db)));
            }
        }
    }
}

#[test]
fn a_snapshot_is_read_to_its_end_and_a_base_to_that_of_what_follows() {
    let mut file = rdb_file();
    let disk = disk_with(&file);
    for role in [Role::Snapshot, Role::Base] {
        let (said, outcome) = read_keys(&disk, role, RULES);
        assert_eq!(said, ["k in 0", "l in 0", "m in 3"]);
        let read = outcome.unwrap();
        assert_eq!((read.keys, read.expired, read.bytes), (3, 0, file.len() as u64));
        assert_eq!(read.functions, [b"one", b"two"]);
        assert_eq!(read.modules.len(), 1);
    }
    let rules = Rules { expired_by: Some(Expired::LeftOut(Millis(5))), ..RULES };
    let (said, outcome) = read_keys(&disk, Role::Snapshot, rules);
    assert_eq!((said.len(), outcome.unwrap().expired), (2, 1));
    file.extend(command(&["INCR", "x"]).as_bytes());
    disk.put(&path(), &file);
    let (said, outcome) = read_keys(&disk, Role::Base, RULES);
    assert_eq!((said.len(), &*said[3]), (4, "1 records"));
    assert_eq!(outcome.unwrap().records, 1);
    let (said, outcome) = read_keys(&disk, Role::Snapshot, RULES);
    assert_eq!((said.len(), outcome.unwrap().records), (3, 0));
}

#[test]
fn a_damaged_snapshot_is_refused_with_place_and_remedy() {
    let mut file = rdb_file();
    let disk = disk_with(&file);
    let error = |disk: &Disk| {
        let (_, outcome) = read_keys(disk, Role::Snapshot, RULES);
        outcome.unwrap_err().to_string()
    };
    let last = file.len() - 1;
    file[last] ^= 1;
    disk.put(&path(), &file);
    let said = error(&disk);
    let place = format!("/data/x.incr.aof: offset {}: RDB CRC error: ", last - 7);
    assert!(said.starts_with(&place) && said.ends_with("load it as it is"), "{said}");
    let rules = Rules { checks: false, ..RULES };
    assert!(read_keys(&disk, Role::Snapshot, rules).1.is_ok());
    for length in [0, 5, 9, 10, 60, 1_000, last] {
        disk.put(&path(), &file[..length]);
        let said = error(&disk);
        assert!(said.contains("it ends too early"), "{length}: {said}");
        assert_eq!(
            said.contains("in the key 'm' of database 3"),
            matches!(length, 60 | 1_000),
            "{said}"
        );
    }
    disk.put(&path(), b"*1\r\n$4\r\nPING\r\n");
    assert!(error(&disk).contains("this is no RDB file"));
}

#[test]
fn a_snapshot_is_found_where_there_is_one() {
    let disk = disk_with(b"REDIS0010");
    let found = find_snapshot(&disk, &path()).unwrap().unwrap();
    assert_eq!((found.length, found.role), (9, Role::Snapshot));
    assert_eq!(find_snapshot(&disk, Path::new("/data/none.rdb")).unwrap(), None);
}

#[test]
fn a_file_that_goes_away_while_it_is_read_is_read_to_its_end() {
    let whole = journal();
    let disk = disk_with(whole.repeat(200).as_bytes());
    let files = listed(&disk, Role::Increment, true);
    let mut reader = Reader::new(Box::new(disk.clone()), files.clone(), None, RULES);
    let count = |from| records(from).unwrap().records.len();
    let mut found = count(reader.next_block().unwrap().unwrap());
    disk.remove(&path()).unwrap();
    while let Some(from) = reader.next_block().unwrap() {
        found += count(from);
    }
    assert_eq!(reader.end().records, found as u64);
    let mut gone = Reader::new(Box::new(disk), files, None, RULES);
    assert!(matches!(gone.next_block(), Err(AofError::Io { operation: "open", .. })));
}
