//! The disk as the journal sees it: one file that grows at its end.
//!
//! The AOF writer's thread implements it with a real file, tests and the simulator with memory.
//! Left out: reading, directories and the manifest, which the journal's decisions never touch.

use bytes::Bytes;
use thiserror::Error;

/// A disk call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operation} {path}: {reason}")]
pub struct Fault {
    /// The call, as one would name it in a log: `write`, `fdatasync`, `truncate`.
    pub operation: &'static str,
    /// The file.
    pub path: String,
    /// The system's words for the error, as Redis shows them to clients.
    pub reason: String,
}

/// The increment that is being written.
pub trait Storage {
    /// Writes all bytes at the end. After an error any part of them may be in the file.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault>;
    /// Returns when all that was appended is durable.
    fn sync(&mut self) -> Result<(), Fault>;
    /// Cuts the file to `length` bytes; the next append goes there.
    fn cut(&mut self, length: u64) -> Result<(), Fault>;
}

/// One call that the journal wants done, and whose result it must be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Append these bytes: whole records.
    Write(Bytes),
    /// Make durable what was appended.
    Sync,
    /// Remove what a failed write left behind.
    Cut(u64),
}

impl Work {
    /// Does the work.
    pub fn perform(&self, storage: &mut impl Storage) -> Result<(), Fault> {
        match self {
            Self::Write(bytes) => storage.append(bytes),
            Self::Sync => storage.sync(),
            Self::Cut(length) => storage.cut(*length),
        }
    }
}
