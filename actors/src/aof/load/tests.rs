//! Reading of real files: whole, cut at each byte, with each byte changed.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::super::disk::{Directory, Place};
use super::super::filesystem::Os;
use super::*;

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

fn listed(path: &Path, is_base: bool, is_last: bool) -> Listed {
    let length = fs::metadata(path).unwrap().len();
    Listed { path: path.to_owned(), length, is_base, is_last }
}

/// The units as text, and the outcome.
fn read_all(files: &[Listed]) -> (Vec<String>, Result<Read<()>, AofError>) {
    let mut records = Vec::new();
    let outcome = read(files, None, &mut |from| {
        for unit in &from.block.units {
            let mut text = String::new();
            for record in from.block.records(unit) {
                let args: Vec<_> = from.block.args(record).map(String::from_utf8_lossy).collect();
                text += &format!("{}:{} ", record.db, args.join(","));
            }
            records.push(text);
        }
        ControlFlow::Continue(())
    });
    (records, outcome)
}

/// Where the units of one file start, and the outcome.
fn read_offsets(file: &Listed) -> (Vec<u64>, Result<Read<()>, AofError>) {
    let mut offsets = Vec::new();
    let outcome = read(std::slice::from_ref(file), None, &mut |from| {
        offsets.extend(from.block.units.iter().map(|unit| unit.offset));
        ControlFlow::Continue(())
    });
    (offsets, outcome)
}

#[test]
fn a_file_cut_at_each_byte_loads_its_whole_units_and_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.incr.aof");
    let whole = journal();
    fs::write(&path, &whole).unwrap();
    let (all, outcome) = read_offsets(&listed(&path, false, true));
    assert_eq!(outcome.unwrap().bytes, whole.len() as u64);
    assert!(all.len() > 160 && whole.len() > 15 * 1024);
    let ends = |length: usize| all.iter().skip(1).filter(|start| **start <= length as u64).count();
    let file = fs::File::options().write(true).open(&path).unwrap();
    for length in (0..whole.len()).rev() {
        file.set_len(length as u64).unwrap();
        let (found, outcome) = read_offsets(&listed(&path, false, true));
        assert!(all.starts_with(&found), "{length}");
        assert!(found.len() >= ends(length.saturating_sub(50)), "{length}");
        let Some(torn) = outcome.unwrap().torn else { continue };
        assert_eq!(torn.valid_up_to + torn.dropped, length as u64);
        // Each of them syncs, so not at every byte.
        if length % 64 == 0 {
            torn.mend(true).unwrap();
            let (again, outcome) = read_offsets(&listed(&path, false, true));
            assert_eq!((again, outcome.unwrap().torn), (found, None), "{length}");
            fs::write(&path, &whole[..length]).unwrap();
        }
    }
}

#[test]
fn a_file_with_a_changed_byte_loads_or_is_refused_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.incr.aof");
    let bytes = journal().into_bytes();
    fs::write(&path, &bytes).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let (mut refused, mut torn) = (0, 0);
    for (index, original) in bytes.iter().enumerate() {
        file.write_all_at(&[original ^ 1], index as u64).unwrap();
        match read_offsets(&listed(&path, false, true)).1 {
            Ok(read) => torn += usize::from(read.torn.is_some()),
            Err(error @ AofError::Damaged { .. }) => {
                refused += 1;
                let text = error.to_string();
                assert!(text.contains("offset") && text.contains("redis-check-aof"), "{text}");
            }
            Err(error) => panic!("{error}"),
        }
        file.write_all_at(&[*original], index as u64).unwrap();
    }
    assert!(refused > bytes.len() / 4);
    // Lengths in the last records, and EXEC of the last transaction.
    assert!(torn < 100, "{torn}");
}

#[test]
fn reads_base_and_increments_in_order_and_each_from_database_0() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place {
        dir: dir.path().to_owned(),
        appenddirname: "d".into(),
        appendfilename: "a b".into(),
    };
    fs::write(dir.path().join("a b"), command(&["SELECT", "4"]) + &command(&["SET", "x", "1"]))
        .unwrap();
    let mut directory = Directory::open(Box::new(Os), &place).unwrap();
    directory.add_increment().unwrap();
    directory.add_increment().unwrap();
    for (index, file) in directory.files().unwrap().iter().enumerate().skip(1) {
        fs::write(&file.path, command(&["INCR", &index.to_string()])).unwrap();
    }
    let (records, outcome) = read_all(&directory.files().unwrap());
    assert_eq!(records, ["4:SET,x,1 ", "0:INCR,1 ", "0:INCR,2 "]);
    assert_eq!(outcome.unwrap().records, 3);

    let files = directory.files().unwrap();
    let mut seen = 0;
    let stopped = read(&files, None, &mut |from: FromFile<'_>| {
        seen += from.block.records.len();
        ControlFlow::Break("enough")
    });
    assert_eq!((seen, stopped.unwrap().stopped), (1, Some("enough")));
    let nothing_of_last = read(&files, Some(0), &mut |_| ControlFlow::<()>::Continue(()));
    assert_eq!(nothing_of_last.unwrap().records, 2);
}

#[test]
fn a_torn_file_that_is_not_the_last_or_must_not_be_cut_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.incr.aof");
    fs::write(&path, command(&["INCR", "x"]) + "*2\r\n$4\r\nIN").unwrap();
    let (_, outcome) = read_all(&[listed(&path, false, false)]);
    assert!(matches!(outcome, Err(AofError::TornInside { valid_up_to: 21, .. })), "{outcome:?}");
    let torn = read_all(&[listed(&path, false, true)]).1.unwrap().torn.unwrap();
    let error = torn.mend(false).unwrap_err().to_string();
    assert!(error.contains("10 bytes from offset 21"), "{error}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 31, "nothing was cut");
}

#[test]
fn an_rdb_base_is_known_by_its_bytes_and_may_have_records_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("appendonly.aof");
    let mut bytes = b"REDIS0010\xff".to_vec();
    bytes.extend(rdb::crc64(&bytes).to_le_bytes());
    bytes.extend(command(&["INCR", "x"]).as_bytes());
    fs::write(&path, &bytes).unwrap();
    let (records, outcome) = read_all(&[listed(&path, true, true)]);
    assert_eq!((records.len(), outcome.unwrap().bytes), (1, bytes.len() as u64));

    bytes[9] = 0;
    fs::write(&path, &bytes).unwrap();
    let error = read_all(&[listed(&path, true, true)]).1.unwrap_err().to_string();
    assert!(error.contains("aof-use-rdb-preamble"), "{error}");
}
