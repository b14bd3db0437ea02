//! The directory on a real disk.

use std::fs;

use super::super::filesystem::Os;
use super::*;

fn place(dir: &Path) -> Place {
    Place {
        dir: dir.to_owned(),
        appenddirname: "appendonlydir".into(),
        appendfilename: "appendonly.aof".into(),
    }
}

fn manifest_text(dir: &Path) -> String {
    fs::read_to_string(dir.join("appendonlydir/appendonly.aof.manifest")).unwrap()
}

fn open(dir: &Path) -> Result<Directory, AofError> {
    Directory::open(Box::new(Os), &place(dir))
}

/// A start on an empty directory.
fn started(dir: &Path) -> Directory {
    let mut directory = open(dir).unwrap();
    directory.open_increment().unwrap();
    directory
}

#[test]
fn a_new_directory_has_an_empty_increment_and_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    for origin in [Origin::New, Origin::Found, Origin::Found] {
        let mut directory = open(dir.path()).unwrap();
        assert_eq!(directory.origin(), origin);
        assert_eq!(directory.open_increment().unwrap().1, Sizes::default());
        assert_eq!(directory.files().unwrap().len(), 1);
        assert!(directory.strays().unwrap().is_empty());
    }
    assert_eq!(manifest_text(dir.path()), "file appendonly.aof.1.incr.aof seq 1 type i\n");
}

#[test]
fn adopts_a_single_file_of_old_even_when_stopped_in_between() {
    for stopped in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("appendonly.aof"), b"old").unwrap();
        if stopped {
            fs::create_dir(dir.path().join("appendonlydir")).unwrap();
            let manifest = dir.path().join("appendonlydir/appendonly.aof.manifest");
            fs::write(manifest, "file appendonly.aof seq 1 type b\n").unwrap();
        }
        let mut directory = open(dir.path()).unwrap();
        assert_eq!(directory.origin(), Origin::Adopted);
        let files = directory.files().unwrap();
        assert_eq!((files[0].length, files[0].is_base, files[0].is_last), (3, true, true));
        directory.open_increment().unwrap();
        let files = directory.files().unwrap();
        assert_eq!((files[0].length, files[0].is_base, files[0].is_last), (3, true, false));
        assert_eq!((files[1].length, files[1].is_base, files[1].is_last), (0, false, true));
        assert_eq!(
            manifest_text(dir.path()),
            "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
        );
        assert!(!dir.path().join("appendonly.aof").exists());
    }
}

#[test]
fn refuses_records_without_a_manifest_and_listed_files_that_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    started(dir.path());
    let inside = dir.path().join("appendonlydir");
    let increment = inside.join("appendonly.aof.1.incr.aof");
    let manifest = inside.join("appendonly.aof.manifest");

    fs::write(&increment, b"x").unwrap();
    let text = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, AofError::NoManifest { .. }), "{error}");

    fs::write(&manifest, text).unwrap();
    fs::remove_file(&increment).unwrap();
    let error = open(dir.path()).unwrap().files().unwrap_err();
    assert!(matches!(error, AofError::Missing { .. }), "{error}");
}

#[test]
fn deletes_history_and_names_strays() {
    let dir = tempfile::tempdir().unwrap();
    started(dir.path());
    let inside = dir.path().join("appendonlydir");
    let manifest = inside.join("appendonly.aof.manifest");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, format!("file h seq 1 type h\nfile gone seq 2 type h\n{text}")).unwrap();
    for name in ["h", "appendonly.aof.9.incr.aof", "other"] {
        fs::write(inside.join(name), b"x").unwrap();
    }
    let mut directory = open(dir.path()).unwrap();
    assert_eq!(directory.strays().unwrap(), [inside.join("appendonly.aof.9.incr.aof")]);
    directory.delete_history();
    assert!(!inside.join("h").exists());
    assert_eq!(manifest_text(dir.path()), text);
    assert!(inside.join("other").exists());
}

#[test]
fn history_that_cannot_be_deleted_stays_on_the_list() {
    let dir = tempfile::tempdir().unwrap();
    started(dir.path());
    let inside = dir.path().join("appendonlydir");
    let manifest = inside.join("appendonly.aof.manifest");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, format!("file h seq 1 type h\nfile i seq 2 type h\n{text}")).unwrap();
    // A directory is no file that could be removed.
    fs::create_dir(inside.join("h")).unwrap();
    fs::write(inside.join("i"), b"x").unwrap();
    open(dir.path()).unwrap().delete_history();
    assert_eq!(manifest_text(dir.path()), format!("file h seq 1 type h\n{text}"));
    fs::remove_dir(inside.join("h")).unwrap();
    open(dir.path()).unwrap().delete_history();
    assert_eq!(manifest_text(dir.path()), text);
}

#[test]
fn names_that_are_paths_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = Place { appendfilename: "../x".into(), ..place(dir.path()) };
    let error = Directory::open(Box::new(Os), &wrong).unwrap_err();
    assert!(error.to_string().starts_with("appendfilename must be"), "{error}");
}

#[test]
fn a_broken_manifest_stops_with_its_path_and_line() {
    let dir = tempfile::tempdir().unwrap();
    started(dir.path());
    let manifest = dir.path().join("appendonlydir/appendonly.aof.manifest");
    fs::write(&manifest, "file a seq 1 type b\nfile a seq x type i\n").unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("appendonly.aof.manifest: line 2: seq must be"), "{error}");
}

#[test]
fn a_new_base_takes_the_place_of_all_that_was_there() {
    let dir = tempfile::tempdir().unwrap();
    started(dir.path());
    let mut directory = Directory::open_anew(Box::new(Os), &place(dir.path())).unwrap();
    let before = manifest_text(dir.path());
    fs::write(directory.create_base().unwrap().path(), b"base").unwrap();
    assert_eq!(manifest_text(dir.path()), before);
    directory.begin().unwrap();
    assert_eq!(
        manifest_text(dir.path()),
        "file appendonly.aof.1.base.aof seq 1 type b\n\
         file appendonly.aof.2.incr.aof seq 2 type i\n"
    );
    let directory = open(dir.path()).unwrap();
    let lengths: Vec<u64> = directory.files().unwrap().iter().map(|listed| listed.length).collect();
    assert_eq!(lengths, [4, 0]);
    directory.create_base().unwrap();
    open(dir.path()).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("appendonlydir")).unwrap().count(), 3);
}

/// What no list names may still be what somebody wants back.
#[test]
fn files_of_others_are_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    started(dir.path());
    let inside = dir.path().join("appendonlydir");
    for name in ["appendonly.aof.1.base.aof", "appendonly.aof.2.incr.aof"] {
        fs::write(inside.join(name), b"x").unwrap();
    }
    // A change that was cut short before it was written to its end.
    fs::write(inside.join("temp_appendonly.aof.manifest"), "file appendonly.aof.1.ba").unwrap();
    let mut directory = Directory::open_anew(Box::new(Os), &place(dir.path())).unwrap();
    directory.create_base().unwrap();
    directory.begin().unwrap();
    assert_eq!(
        manifest_text(dir.path()),
        "file appendonly.aof.2.base.aof seq 2 type b\n\
         file appendonly.aof.3.incr.aof seq 3 type i\n"
    );
    assert_eq!(directory.strays().unwrap().len(), 2);
    fs::remove_file(inside.join("appendonly.aof.manifest")).unwrap();
    fs::write(dir.path().join("appendonly.aof"), b"old").unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, AofError::NoManifest { .. }), "{error}");
}
