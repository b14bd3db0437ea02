//! The increment that is written: a file that only grows at its end, or is cut back.
//!
//! The file is opened for appending, so that a write after a cut goes to the new end. Interrupted
//! and short writes are carried on here; every other error goes to the journal, which decides.

use std::path::{Path, PathBuf};

use troupe::aof::storage::{Fault, Storage};

use super::error::{AofError, fault};
use super::filesystem::{FileSystem, OpenFile};

/// A file open for appending.
#[derive(Debug)]
pub struct Increment {
    file: Box<dyn OpenFile>,
    path: PathBuf,
}

impl Increment {
    /// Makes an increment, empty and durable but for its name.
    pub fn create(system: &dyn FileSystem, path: &Path) -> Result<Self, AofError> {
        let mut file = system.create(path).map_err(AofError::io("create", path))?;
        file.sync().map_err(AofError::io("fdatasync", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Opens an increment that is there.
    pub fn open(system: &dyn FileSystem, path: &Path) -> Result<Self, AofError> {
        let file = system.open(path).map_err(AofError::io("open", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length on disk.
    pub fn length(&self) -> Result<u64, AofError> {
        self.file.length().map_err(AofError::io("stat", &self.path))
    }
}

impl Storage for Increment {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.file.append(bytes).map_err(fault("write", &self.path))
    }

    fn sync(&mut self) -> Result<(), Fault> {
        self.file.sync().map_err(fault("fdatasync", &self.path))
    }

    fn cut(&mut self, length: u64) -> Result<(), Fault> {
        self.file.cut(length).map_err(fault("truncate", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::super::filesystem::Os;
    use super::*;

    #[test]
    fn appends_behind_a_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"0123456789").unwrap();
        let mut increment = Increment::open(&Os, &path).unwrap();
        increment.append(b"torn").unwrap();
        increment.cut(10).unwrap();
        increment.append(b"abc").unwrap();
        increment.sync().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789abc");
        assert_eq!(increment.length().unwrap(), 13);
    }

    #[test]
    fn a_full_disk_is_named_in_the_words_of_the_system() {
        let mut full = Increment::open(&Os, Path::new("/dev/full")).unwrap();
        let fault = full.append(b"x").unwrap_err();
        assert_eq!(fault.to_string(), "write /dev/full: No space left on device");
    }
}
