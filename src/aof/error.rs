//! What can go wrong with the files that are loaded or written, each with the path, the operation
//! and a way out.
//!
//! They say what Redis says of the same fault, for those who look for its words, and more. Every
//! one of them stops the start, or the journal that was to begin. Failures of a journal that is on
//! are `storage`'s `Fault`, since the writer lives on with them.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::aof::load::Torn;
use crate::aof::manifest::ManifestError;
use crate::aof::scan::Damage;
use crate::aof::storage::Fault;
use crate::rdb::RdbError;

/// A fault in the files of the journal.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AofError {
    /// The system refused a call.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// The call.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The manifest cannot be read.
    #[error("{}: {error}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Line and reason.
        error: ManifestError,
    },
    /// The manifest is far too large to be one.
    #[error(
        "{}: {length} bytes are too many for a manifest; restore it from a backup",
        path.display()
    )]
    ManifestSize {
        /// The manifest.
        path: PathBuf,
        /// Its length.
        length: u64,
    },
    /// A setting is a path where a plain name must be.
    #[error("{setting} must be a plain file name and not a path: {value:?}")]
    Name {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// A name is too long for a line of the manifest.
    #[error("{setting} is too long for the lines of a manifest: {value:?}")]
    LongName {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// Another process writes the journal.
    #[error(
        "{} is locked: another server writes this journal; stop that one, or give this one another \
         dir, appenddirname or appendfilename", lock.display()
    )]
    Locked {
        /// The file of the lock.
        lock: PathBuf,
    },
    /// A listed file is not there.
    #[error(
        "{} is listed in {}: No such file or directory; restore it from a backup, or take its line \
         out of the manifest to start without its records", path.display(), manifest.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// Who lists it.
        manifest: PathBuf,
    },
    /// There are files of a journal, but no manifest that lists them.
    #[error(
        "{} is missing, but {} holds records; restore the manifest from a backup or write one, or \
         move the files away to start empty", manifest.display(), stray.display()
    )]
    NoManifest {
        /// Where the manifest should be.
        manifest: PathBuf,
        /// One of the files.
        stray: PathBuf,
    },
    /// An RDB file, or the RDB part of a file, that cannot be loaded.
    #[error("{}: {error}{}; {}", path.display(), inside(key), error.fault.remedy())]
    Rdb {
        /// The file.
        path: PathBuf,
        /// The key that was being read, with its database, if it was one.
        key: Option<(u32, Vec<u8>)>,
        /// Place and reason.
        error: RdbError,
    },
    /// Damage before the end.
    #[error(
        "Bad file format reading the append only file {}: damaged at {damage}{}; make a backup, \
         then run: troupe check --fix {} (it drops everything from offset {valid_up_to} on)",
        path.display(), of(record), path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the last whole unit before it ends.
        valid_up_to: u64,
        /// The first words of the record that is damaged, as far as they could be read.
        record: String,
        /// Place and reason.
        damage: Damage,
    },
    /// A file that is not the last ends inside a record.
    #[error(
        "Unexpected end of file reading the append only file {}: inside a record at offset \
         {valid_up_to}, and it is not the last file of the journal; restore it from a backup",
        path.display()
    )]
    TornInside {
        /// The file.
        path: PathBuf,
        /// Where the last whole unit ends.
        valid_up_to: u64,
    },
    /// The last file is torn, and `aof-load-truncated` forbids to cut it.
    #[error(
        "Unexpected end of file reading the append only file {}: {} bytes from offset {} on are an \
         unfinished record{}; set aof-load-truncated to yes to cut them off, or make a backup and \
         run: troupe check --fix {}", .0.path.display(), .0.dropped, .0.valid_up_to,
        of(&.0.record), .0.path.display()
    )]
    TornRefused(Torn),
}

/// How much of the name of a key is shown, in bytes.
const SHOWN_MAX: usize = 128;

/// Says which record it is.
fn of(record: &str) -> String {
    if record.is_empty() { String::new() } else { format!(", in the record {record}") }
}

/// Says in which key it is.
fn inside(key: &Option<(u32, Vec<u8>)>) -> String {
    let Some((db, name)) = key else { return String::new() };
    let shown = name.get(..SHOWN_MAX).unwrap_or(name).escape_ascii();
    format!(", in the key '{shown}' of database {db}")
}

/// What could not be tidied up, and waits for the next time. Nothing depends on it.
#[derive(Debug, Error)]
pub enum Leftover {
    /// A file that is listed as out of use.
    #[error("A file out of use is kept: {0}")]
    File(AofError),
    /// Lines of files that are gone.
    #[error("Files that are deleted are still listed as out of use: {0}")]
    Lines(AofError),
}

impl AofError {
    /// For `map_err`: names the call and the path.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    /// The same as a fault of a journal that is on.
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Io { operation, path, source } => fault(operation, &path)(source),
            other => Fault {
                operation: "open",
                path: "the journal".to_owned(),
                reason: other.to_string(),
            },
        }
    }
}

/// The same for calls while the server runs, in the words that clients are shown.
pub(super) fn fault(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Fault {
    let path = path.display().to_string();
    move |error| {
        let text = error.to_string();
        // std appends the number to the system's words.
        let reason = text.split(" (os error").next().unwrap_or_default().to_owned();
        Fault { operation, path, reason }
    }
}
