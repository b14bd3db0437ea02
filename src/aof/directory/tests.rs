//! The directory as each kind of start finds it, on a disk that works.

use super::*;
use crate::aof::disk::Disk;
use crate::aof::storage::Storage as _;

const DIR: &str = "/data";

fn place() -> Location {
    Location {
        dir: DIR.into(),
        appenddirname: "appendonlydir".into(),
        appendfilename: "appendonly.aof".into(),
    }
}

/// The path of a file in the directory.
fn inside(name: &str) -> PathBuf {
    Path::new(DIR).join("appendonlydir").join(name)
}

const MANIFEST: &str = "appendonly.aof.manifest";

/// Puts a file into the directory.
fn put(disk: &Disk, name: &str, text: &str) {
    disk.put(&inside(name), text.as_bytes());
}

fn manifest_text(disk: &Disk) -> String {
    String::from_utf8(disk.bytes(&inside(MANIFEST)).unwrap()).unwrap()
}

/// A single AOF file of Redis before 7.
fn old_file() -> PathBuf {
    Path::new(DIR).join("appendonly.aof")
}

fn open(disk: &Disk) -> Result<Directory, AofError> {
    Directory::open(Box::new(disk.clone()), &place())
}

fn open_anew(disk: &Disk) -> Directory {
    Directory::open_anew(Box::new(disk.clone()), &place()).unwrap()
}

/// A start on an empty directory.
fn started(disk: &Disk) -> Directory {
    let mut directory = open(disk).unwrap();
    directory.open_increment().unwrap();
    directory
}

#[test]
fn a_new_directory_has_an_empty_increment_and_opens_again() {
    let disk = Disk::with(Path::new(DIR));
    for origin in [Origin::New, Origin::Found, Origin::Found] {
        let mut directory = open(&disk).unwrap();
        assert_eq!(directory.origin(), origin);
        assert_eq!(directory.open_increment().unwrap().1, Sizes::default());
        assert_eq!(directory.files().unwrap().len(), 1);
        assert!(directory.strays().unwrap().is_empty());
    }
    assert_eq!(manifest_text(&disk), "file appendonly.aof.1.incr.aof seq 1 type i\n");
}

#[test]
fn what_a_killed_process_had_written_is_durable_before_anybody_sees_it() {
    let disk = Disk::with(Path::new(DIR));
    let (mut increment, _) = open(&disk).unwrap().open_increment().unwrap();
    increment.append(b"written").unwrap();
    let disk = disk.killed();
    let (increment, _) = open(&disk).unwrap().open_increment().unwrap();
    for image in disk.images() {
        assert_eq!(image.bytes(increment.path()).as_deref(), Some(&b"written"[..]));
    }
}

#[test]
fn adopts_a_single_file_of_old_even_when_stopped_in_between() {
    for stopped in [false, true] {
        let disk = Disk::with(Path::new(DIR));
        disk.put(&old_file(), b"old");
        if stopped {
            disk.put_directory(&inside(""));
            put(&disk, MANIFEST, "file appendonly.aof seq 1 type b\n");
        }
        let mut directory = open(&disk).unwrap();
        assert_eq!(directory.origin(), Origin::Adopted);
        let files = directory.files().unwrap();
        assert_eq!((files[0].length, files[0].role, files[0].is_last), (3, Role::Base, true));
        directory.open_increment().unwrap();
        let files = directory.files().unwrap();
        assert_eq!((files[0].length, files[0].role, files[0].is_last), (3, Role::Base, false));
        assert_eq!((files[1].length, files[1].role, files[1].is_last), (0, Role::Increment, true));
        assert_eq!(
            manifest_text(&disk),
            "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
        );
        assert_eq!(disk.bytes(&old_file()), None);
    }
}

#[test]
fn refuses_records_without_a_manifest_and_listed_files_that_are_gone() {
    let disk = Disk::with(Path::new(DIR));
    started(&disk);
    let increment = inside("appendonly.aof.1.incr.aof");

    disk.put(&increment, b"x");
    let text = manifest_text(&disk);
    disk.remove(&inside(MANIFEST)).unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, AofError::NoManifest { .. }), "{error}");

    put(&disk, MANIFEST, &text);
    disk.remove(&increment).unwrap();
    let error = open(&disk).unwrap().files().unwrap_err();
    assert!(matches!(error, AofError::Missing { .. }), "{error}");
}

#[test]
fn deletes_history_and_names_strays() {
    let disk = Disk::with(Path::new(DIR));
    started(&disk);
    let text = manifest_text(&disk);
    put(&disk, MANIFEST, &format!("file h seq 1 type h\nfile gone seq 2 type h\n{text}"));
    for name in ["h", "appendonly.aof.9.incr.aof", "other"] {
        put(&disk, name, "x");
    }
    let mut directory = open(&disk).unwrap();
    assert_eq!(directory.strays().unwrap(), [inside("appendonly.aof.9.incr.aof")]);
    assert!(directory.delete_history().is_empty());
    assert_eq!(disk.bytes(&inside("h")), None);
    assert_eq!(manifest_text(&disk), text);
    assert!(disk.bytes(&inside("other")).is_some());
}

#[test]
fn keeps_history_when_told() {
    let disk = Disk::with(Path::new(DIR));
    started(&disk);
    let text = manifest_text(&disk);
    put(&disk, MANIFEST, &format!("file h seq 1 type h\n{text}"));
    put(&disk, "h", "x");
    let mut directory = open(&disk).unwrap();
    directory.keep_history(true);
    assert!(directory.delete_history().is_empty());
    assert!(disk.bytes(&inside("h")).is_some());
    assert_eq!(manifest_text(&disk), format!("file h seq 1 type h\n{text}"));
    directory.keep_history(false);
    assert!(directory.delete_history().is_empty());
    assert_eq!(disk.bytes(&inside("h")), None);
}

#[test]
fn history_that_cannot_be_deleted_stays_on_the_list() {
    let disk = Disk::with(Path::new(DIR));
    started(&disk);
    let text = manifest_text(&disk);
    put(&disk, MANIFEST, &format!("file h seq 1 type h\nfile i seq 2 type h\n{text}"));
    // A directory is no file that could be removed.
    disk.put_directory(&inside("h"));
    put(&disk, "i", "x");
    let leftovers = open(&disk).unwrap().delete_history();
    assert!(leftovers[0].to_string().starts_with("A file out of use is kept: unlink /data/"));
    assert_eq!(leftovers.len(), 1);
    assert_eq!(manifest_text(&disk), format!("file h seq 1 type h\n{text}"));
    put(&disk, "h", "x");
    assert!(open(&disk).unwrap().delete_history().is_empty());
    assert_eq!(manifest_text(&disk), text);
}

#[test]
fn names_that_are_paths_are_refused() {
    let disk = Disk::with(Path::new(DIR));
    let wrong = Location { appendfilename: "../x".into(), ..place() };
    let error = Directory::open(Box::new(disk), &wrong).unwrap_err();
    assert!(error.to_string().starts_with("appendfilename must be"), "{error}");
}

#[test]
fn a_broken_manifest_stops_with_its_path_and_line() {
    let disk = Disk::with(Path::new(DIR));
    started(&disk);
    put(&disk, MANIFEST, "file a seq 1 type b\nfile a seq x type i\n");
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.contains("appendonly.aof.manifest: line 2: seq must be"), "{error}");
}

/// A base as who writes snapshots leaves it, with what that has failed to remove.
fn put_base(disk: &Disk, text: &str) {
    put(disk, "temp_appendonly.aof.base", text);
    put(disk, "temp_appendonly.aof.base.part-1.spool", "left");
}

#[test]
fn a_new_base_takes_the_place_of_all_that_was_there() {
    let disk = Disk::with(Path::new(DIR));
    started(&disk);
    let mut directory = open_anew(&disk);
    let before = manifest_text(&disk);
    let mut increment = directory.create_unlisted().unwrap();
    put_base(&disk, "REDIS0010");
    increment.append(b"behind").unwrap();
    assert_eq!(manifest_text(&disk), before);
    let (sizes, _) = directory.list_base(Increments::Unlisted, Some(&mut increment)).unwrap();
    assert_eq!(sizes, Sizes { total: 15, increment: 6 });
    increment.append(b" it").unwrap();
    assert_eq!(
        manifest_text(&disk),
        "file appendonly.aof.1.base.rdb seq 1 type b\n\
         file appendonly.aof.2.incr.aof seq 2 type i\n"
    );
    let directory = open(&disk).unwrap();
    let lengths: Vec<u64> = directory.files().unwrap().iter().map(|listed| listed.length).collect();
    assert_eq!(lengths, [9, 9]);
    put_base(&disk, "given up");
    open(&disk).unwrap();
    assert_eq!(disk.listing(&inside("")).len(), 3);
}

#[test]
fn a_rewrite_keeps_the_increment_that_began_at_its_moment() {
    let disk = Disk::with(Path::new(DIR));
    let mut directory = started(&disk);
    let mut increment = directory.add_increment().unwrap();
    put_base(&disk, "*1\r\n");
    directory.list_base(Increments::Last, Some(&mut increment)).unwrap();
    assert_eq!(
        manifest_text(&disk),
        "file appendonly.aof.1.base.aof seq 1 type b\n\
         file appendonly.aof.2.incr.aof seq 2 type i\n"
    );
    assert!(directory.ends_with(&increment));
    put_base(&disk, "REDIS0010");
    directory.list_base(Increments::None, None).unwrap();
    assert_eq!(manifest_text(&disk), "file appendonly.aof.2.base.rdb seq 2 type b\n");
    assert!(!directory.ends_with(&increment));
}

/// What no list names may still be what somebody wants back.
#[test]
fn files_of_others_are_never_written_over() {
    let disk = Disk::with(Path::new(DIR));
    started(&disk);
    for name in ["appendonly.aof.1.base.aof", "appendonly.aof.2.incr.aof"] {
        put(&disk, name, "x");
    }
    // A change that was cut short before it was written to its end.
    put(&disk, "temp_appendonly.aof.manifest", "file appendonly.aof.1.ba");
    let mut directory = open_anew(&disk);
    let mut increment = directory.create_unlisted().unwrap();
    put_base(&disk, "*1\r\n");
    directory.list_base(Increments::Unlisted, Some(&mut increment)).unwrap();
    assert_eq!(
        manifest_text(&disk),
        "file appendonly.aof.2.base.aof seq 2 type b\n\
         file appendonly.aof.3.incr.aof seq 3 type i\n"
    );
    assert_eq!(directory.strays().unwrap().len(), 2);
    disk.remove(&inside(MANIFEST)).unwrap();
    disk.put(&old_file(), b"old");
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, AofError::NoManifest { .. }), "{error}");
}
