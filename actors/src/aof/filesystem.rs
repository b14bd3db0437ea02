//! What the journal asks of the file system, as traits: so that a test can stand in for a disk that
//! fails or loses power at any call (`disk/rehearsal.rs`).
//!
//! Left out: reading records back (`load`), which changes nothing but the torn tail that it cuts.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// The calls on names. Every error is the system's.
pub trait FileSystem: Debug + Send {
    /// Makes a directory.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes durable which names a directory holds.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// The names that a directory holds, in any order.
    fn names(&self, path: &Path) -> io::Result<Vec<OsString>>;
    /// The length of a file in bytes, if there is one of that name.
    fn length(&self, path: &Path) -> io::Result<Option<u64>>;
    /// The first `most` bytes of a file, if there is one of that name.
    fn read(&self, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>>;
    /// Makes a file, or empties the one that there is.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    /// Opens a file that there is.
    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    /// Gives a file another name. What had that name is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file, if there is one of that name.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file that is open for appending.
pub trait OpenFile: Debug + Send {
    /// Writes all bytes at the end. After an error any part of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes durable what the file holds.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `length` bytes.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;
}

/// The operating system's.
#[derive(Debug, Clone, Copy)]
pub struct Os;

impl FileSystem for Os {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
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

    fn read(&self, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = if_there(File::open(path))? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let file = File::options().append(true).create(true).open(path)?;
        file.set_len(0)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(File::options().append(true).open(path)?))
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

impl OpenFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
