//! The calls of the journal and of snapshots on the file system, carried out by the operating
//! system.
//!
//! They block: they are made on threads of their own, never on a shard's. What they are for is
//! decided in `troupe::aof` and in `troupe::snapshot`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use troupe::filesystem::{FileSystem, Lock, OpenFile};

/// The operating system's.
#[derive(Debug, Clone, Copy)]
pub struct Os;

/// The files whose locks this process has, by device and number, and how often each is held: the
/// system would refuse a second one to the same process as well.
static LOCKED: Mutex<BTreeMap<Number, (File, usize)>> = Mutex::new(BTreeMap::new());

/// The device of a file, and its number there.
type Number = (u64, u64);

/// A lock that is held. The last one closes its file while nobody else looks whether it is held, so
/// that it is free for whoever does not find it here.
#[derive(Debug)]
struct Held(Number);

impl Drop for Held {
    fn drop(&mut self) {
        let mut locked = LOCKED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, times)) = locked.get_mut(&self.0) {
            *times -= 1;
            if *times == 0 {
                locked.remove(&self.0);
            }
        }
    }
}

/// A file of the operating system that is open for appending, so that a write after a cut goes to
/// the new end.
#[derive(Debug)]
struct OsFile(File);

impl FileSystem for Os {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let file = File::options().append(true).create(true).open(path)?;
        let metadata = file.metadata()?;
        let number = (metadata.dev(), metadata.ino());
        let mut locked = LOCKED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, times)) = locked.get_mut(&number) {
            *times += 1;
            return Ok(Some(Arc::new(Held(number))));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Some file systems of networks have no locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        locked.insert(number, (file, 1));
        Ok(Some(Arc::new(Held(number))))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        let metadata = if_there(fs::metadata(path))?;
        Ok(metadata.filter(|metadata| !metadata.is_dir()).map(|metadata| metadata.len()))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Box<dyn Read + Send>>> {
        Ok(if_there(File::open(path))?.map(|file| Box::new(file) as Box<dyn Read + Send>))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let file = File::options().append(true).create(true).open(path)?;
        file.set_len(0)?;
        Ok(Box::new(OsFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(OsFile(File::options().append(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if_there(fs::remove_file(path)).map(drop)
    }
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl OpenFile for OsFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use troupe::aof::directory::{Directory, Increments, Location, Origin};
    use troupe::aof::increment::Increment;
    use troupe::aof::load::Reader;
    use troupe::aof::storage::Storage as _;
    use troupe::rdb::Rules;
    use troupe::settings::Settings;

    use super::*;

    #[test]
    fn appends_behind_a_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, b"0123456789").unwrap();
        let mut increment = Increment::open(&Os, &path).unwrap();
        increment.append(b"torn").unwrap();
        increment.cut(10).unwrap();
        increment.append(b"abc").unwrap();
        increment.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"0123456789abc");
        assert_eq!(increment.length().unwrap(), 13);
    }

    /// One that is let go is free at once for whoever sees that, on whichever thread.
    #[test]
    fn a_lock_is_there_or_free_while_another_thread_lets_it_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let take = || {
            for _ in 0..20_000 {
                assert!(Os.lock(&path).unwrap().is_some(), "this process has it, or nobody");
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(take);
            take();
        });
        let twice = [Os.lock(&path).unwrap(), Os.lock(&path).unwrap()];
        let another = || File::open(&path).unwrap().try_lock().is_ok();
        assert!(!another());
        let [first, second] = twice;
        drop(first);
        assert!(!another(), "it is held still");
        drop(second);
        assert!(another());
    }

    #[test]
    fn a_full_disk_is_named_in_the_words_of_the_system() {
        let mut full = Increment::open(&Os, Path::new("/dev/full")).unwrap();
        let fault = full.append(b"x").unwrap_err();
        assert_eq!(fault.to_string(), "write /dev/full: No space left on device");
    }

    #[test]
    fn what_is_not_there_is_no_error_where_that_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(Os.read(&path).unwrap().is_none());
        assert_eq!(Os.length(&path).unwrap(), None);
        assert_eq!(Os.length(dir.path()).unwrap(), None, "a directory is no file");
        Os.remove(&path).unwrap();
        assert_eq!(Os.open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(Os.rename(&path, dir.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_journal_begins_is_adopted_and_is_read_on_a_real_disk() {
        let dir = tempfile::tempdir().unwrap();
        let place = Location {
            dir: dir.path().to_owned(),
            appenddirname: "d".into(),
            appendfilename: "a".into(),
        };
        fs::write(dir.path().join("a"), "*2\r\n$4\r\nINCR\r\n$1\r\nx\r\n").unwrap();
        for (origin, appended) in [(Origin::Adopted, 1), (Origin::Found, 2)] {
            let mut directory = Directory::open(Box::new(Os), &place).unwrap();
            assert_eq!(directory.origin(), origin);
            directory.open_increment().unwrap().0.append(b"*1\r\n$8\r\nFLUSHALL\r\n*1").unwrap();
            let rules = Rules::of(&Settings::default(), None);
            let mut reader = Reader::new(Box::new(Os), directory.files().unwrap(), None, rules);
            while reader.next_block().unwrap().is_some() {}
            let read = reader.end();
            assert_eq!(read.records, 1 + appended);
            read.torn.unwrap().mend(&Os, true).unwrap();
            assert_eq!(directory.files().unwrap()[1].length, 18 * appended);
        }
        let mut directory = Directory::open_anew(Box::new(Os), &place).unwrap();
        let mut increment = directory.create_unlisted().unwrap();
        let base = place.folder().join(place.new_base().name);
        Increment::create(&Os, &base).unwrap().append(b"base").unwrap();
        directory.list_base(Increments::Unlisted, Some(&mut increment)).unwrap();
        let mut names: Vec<_> = fs::read_dir(dir.path().join("d"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["a.2.base.aof", "a.2.incr.aof", "a.lock", "a.manifest"]);
    }
}
