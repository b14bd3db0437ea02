//! What the journal and snapshots ask of the file system, as traits: the server passes its calls to
//! the operating system, and the simulator to a disk of its own that fails or loses power at any
//! call.
//!
//! Invariant: whatever of theirs is on disk was put there by these calls, and is read by them.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The calls on names. Every error is the system's.
pub trait FileSystem: Debug + Send {
    /// Makes a directory.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Takes the lock that a file of this name stands for, which this process may have already. It
    /// ends with what is returned, or with the process. None when another process has it.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;
    /// Makes durable which names a directory holds.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// The names that a directory holds, in any order.
    fn names(&self, path: &Path) -> io::Result<Vec<OsString>>;
    /// The length of a file in bytes, if there is one of that name.
    fn length(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Opens a file for reading from its start, if there is one of that name. It can be read to its
    /// end even when it is removed meanwhile.
    fn read(&self, path: &Path) -> io::Result<Option<Box<dyn io::Read + Send>>>;
    /// Makes a file, or empties the one that there is.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    /// Opens a file that there is.
    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    /// Gives a file another name. What had that name is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file, if there is one of that name.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A lock of this process.
pub type Lock = Arc<dyn Debug + Send + Sync>;

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

/// Where a file goes that is written beside its place, and put there when it is whole.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory.
    pub directory: PathBuf,
    /// The name of the file in it.
    pub name: String,
    /// What names of files begin with that are there for a while; of no other process.
    pub temporary: String,
}
