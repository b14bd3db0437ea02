//! What is written: an RDB file, a file of commands, or the directory of a journal with such a file
//! for its base.
//!
//! It is written beside its place and put there when it is whole and durable. What does not get so
//! far is removed.

use std::path::{Path, PathBuf};

use crate::aof::directory::{Directory, Increments, Location};
use crate::aof::error::AofError;
use crate::aof::find;
use crate::commands::connection::login::REDIS_VERSION;
use crate::commands::recreate::Commands;
use crate::convert::{ConvertError, Target, Wish};
use crate::data::Collection as _;
use crate::filesystem::{FileSystem, Place};
use crate::keyspace::entry::Entry;
use crate::keyspace::object::Object;
use crate::keyspace::saving::{Format, Pieces};
use crate::rdb::{Dialect, Records, put_function};
use crate::resp::encode;
use crate::shard::snapshot::Begun;
use crate::snapshot::file::{About, SnapshotFile};

/// Bytes that are written at a time, or those of one key where they are more.
const BUFFER: usize = 256 * 1024;

/// `appendfilename` of a journal that gets a directory of its own, as servers have it.
const APPENDFILENAME: &str = "appendonly.aof";

/// Takes keys and libraries, and writes them.
pub(super) struct Output {
    file: SnapshotFile,
    format: Box<dyn Format>,
    is_rdb: bool,
    /// The format of an RDB file that was asked for.
    dialect: Option<Dialect>,
    pieces: Pieces,
    db: Option<u32>,
    /// Where the file becomes the base.
    directory: Option<Directory>,
}

impl Output {
    /// Begins what is asked for.
    pub(super) fn create<F: FileSystem + Clone + 'static>(
        system: &F,
        to: &Path,
        wish: Wish,
    ) -> Result<Output, ConvertError> {
        let is_directory = wish.target == Target::Directory;
        let is_there = match is_directory {
            true => !find::manifests(system, to)?.is_empty(),
            false => system.length(to).map_err(AofError::io("stat", to))?.is_some(),
        };
        if is_there && !wish.replaces {
            return Err(ConvertError::Exists { path: to.to_owned() });
        }
        let (place, directory) = match is_directory {
            true => {
                let location = location(system, to)?;
                let directory = Directory::open_anew(Box::new(system.clone()), &location)?;
                (location.new_base(), Some(directory))
            }
            false => {
                let (directory, name) = split(to)?;
                let temporary = format!("temp-convert-{}-{name}", wish.now);
                (Place { directory, name, temporary }, None)
            }
        };
        let (is_rdb, dialect) = match wish.target {
            Target::Rdb(dialect) => (true, dialect),
            Target::Journal | Target::Directory => (false, None),
        };
        let (timed, plain) = match dialect {
            Some(dialect) => (dialect, dialect),
            None => (Dialect::TIMED, Dialect::COMMON),
        };
        let about = About {
            version: REDIS_VERSION,
            seconds: wish.now.as_secs(),
            used_memory: 0,
            is_base: is_directory,
            is_rdb,
            notes_time: false,
            syncs_as_it_grows: true,
            has_checksum: true,
            timed,
            plain,
            replication: None,
        };
        let format: Box<dyn Format> = match is_rdb {
            true => Box::new(Records::new(true, timed)),
            false => Box::new(Commands),
        };
        let file = SnapshotFile::new(Box::new(system.clone()), place, about);
        let pieces = Pieces::default();
        let mut output = Output { file, format, is_rdb, dialect, pieces, db: None, directory };
        output.file.begin(&Begun::default())?;
        Ok(output)
    }

    /// Writes a library of functions.
    pub(super) fn function(&mut self, source: &[u8]) -> Result<(), ConvertError> {
        if let Some(dialect) = self.dialect.filter(|dialect| !dialect.is_of_redis_7()) {
            return Err(ConvertError::NoFunctions(dialect));
        }
        match self.is_rdb {
            true => put_function(&mut self.pieces.records, source),
            false => {
                encode::command(&mut self.pieces.records, &[b"FUNCTION", b"LOAD", source]);
            }
        }
        self.flush(BUFFER)
    }

    /// Writes a key.
    pub(super) fn key(&mut self, db: u32, entry: &Entry) -> Result<(), ConvertError> {
        let is_timed = matches!(entry.object().as_deref(), Some(Object::Hash(it)) if it.is_timed());
        if let Some(dialect) = self.dialect.filter(|dialect| is_timed && !dialect.is_timed()) {
            let key = entry.key().escape_ascii().to_string();
            return Err(ConvertError::NoPlace { db, key, dialect });
        }
        self.pieces.has_timed_fields |= is_timed;
        let out = &mut self.pieces.records;
        if self.db != Some(db) {
            self.format.database(out, db);
            self.db = Some(db);
        }
        self.format.key(out, entry);
        self.flush(BUFFER)
    }

    /// All is written: puts it in its place.
    pub(super) fn finish(mut self) -> Result<(), ConvertError> {
        self.flush(0)?;
        self.file.finish()?;
        if let Some(mut directory) = self.directory {
            // Who opens it makes an increment, and removes what is out of use if that is left.
            let listed = directory.list_base(Increments::None, None);
            if listed.is_err() {
                // There is nobody to tell of a second fault.
                let _ = directory.undo_unfinished();
            }
            listed?;
        }
        Ok(())
    }

    fn flush(&mut self, len: usize) -> Result<(), ConvertError> {
        if self.pieces.records.len() > len {
            self.file.add(&self.pieces)?;
            self.pieces.records.clear();
        }
        Ok(())
    }
}

/// The directory that a path is in, and its last name.
fn split(path: &Path) -> Result<(PathBuf, String), ConvertError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| ConvertError::Name { path: path.to_owned() })?;
    Ok((parent.unwrap_or(Path::new(".")).to_owned(), name.to_owned()))
}

/// A journal with this directory, as it is called there if there is one.
fn location(system: &dyn FileSystem, to: &Path) -> Result<Location, ConvertError> {
    let (dir, appenddirname) = split(to)?;
    let found = find::manifests(system, to)?;
    let appendfilename = match found.first() {
        Some(manifest) => find::appendfilename(manifest),
        None => APPENDFILENAME.to_owned(),
    };
    Ok(Location { dir, appenddirname, appendfilename })
}
