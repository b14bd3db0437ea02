//! The increment that is written: a file that only grows at its end, or is cut back.
//!
//! Every append goes to the end that the file has then, after a cut too. Errors go to the journal,
//! which decides.

use std::path::{Path, PathBuf};

use crate::aof::error::{AofError, fault};
use crate::aof::storage::{Fault, Storage};
use crate::filesystem::{FileSystem, OpenFile};

/// A file open for appending.
#[derive(Debug)]
pub struct Increment {
    file: Box<dyn OpenFile>,
    path: PathBuf,
}

impl Increment {
    /// Makes an increment, empty and durable but for its name.
    pub fn create(system: &dyn FileSystem, path: &Path) -> Result<Self, AofError> {
        let file = system.create(path).map_err(AofError::io("create", path))?;
        let mut increment = Self { file, path: path.to_owned() };
        increment.make_durable()?;
        Ok(increment)
    }

    /// Opens an increment that is there.
    pub fn open(system: &dyn FileSystem, path: &Path) -> Result<Self, AofError> {
        let file = system.open(path).map_err(AofError::io("open", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Makes durable what it holds.
    pub fn make_durable(&mut self) -> Result<(), AofError> {
        self.file.sync().map_err(AofError::io("fdatasync", &self.path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It has another name now.
    pub(super) fn moved_to(&mut self, path: PathBuf) {
        self.path = path;
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
