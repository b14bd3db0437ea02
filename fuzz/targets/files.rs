//! A file as `troupe check` reads it, under one of the names that say what it is. Places of damage
//! are inside of it, and behind a cut that is offered no other one is needed.

#![no_main]

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use troupe::base::hash::Hasher;
use troupe::check::check;
use troupe::check::report::Report;
use troupe::filesystem::{FileSystem, Lock, OpenFile};

/// A directory with one file, which nobody can change.
#[derive(Clone, Debug)]
struct One {
    name: &'static str,
    bytes: Arc<[u8]>,
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl FileSystem for One {
    fn create_directory(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Lock>> {
        refused()
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn names(&self, _: &Path) -> io::Result<Vec<OsString>> {
        Ok(vec![self.name.into()])
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        Ok((path == Path::new(self.name)).then_some(self.bytes.len() as u64))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Box<dyn io::Read + Send>>> {
        let cursor = || Box::new(io::Cursor::new(self.bytes.clone())) as Box<dyn io::Read + Send>;
        Ok((path == Path::new(self.name)).then(cursor))
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn OpenFile>> {
        refused()
    }

    fn open(&self, _: &Path) -> io::Result<Box<dyn OpenFile>> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }
}

fn look(name: &'static str, bytes: &[u8]) -> Option<Report> {
    let (one, hasher) = (One { name, bytes: bytes.into() }, Hasher::with_seeds([1, 2, 3, 4]));
    check(&one, Path::new(name), &hasher, &mut |_, _| {}).ok()
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, file)) = input.split_first() else { return };
    let name = ["x", "x.aof", "x.rdb", "x.manifest"][usize::from(*kind % 4)];
    let Some(report) = look(name, file) else { return };
    for finding in report.files.iter().flat_map(|file| &file.findings) {
        assert!(finding.offset.unwrap_or_default() <= file.len() as u64, "{finding:?}");
    }
    let Some(cut) = report.cuts().next().and_then(|finding| finding.cut.clone()) else { return };
    assert_eq!(cut.valid_up_to + cut.dropped, file.len() as u64);
    let mended = look(name, &file[..cut.valid_up_to as usize]);
    // Nothing at all is no file of ours under a name that does not say what it is.
    assert!(mended.is_none_or(|report| report.cuts().next().is_none()));
});
