//! What is written: an RDB file, a file of commands, or the directory of a journal.
//!
//! Each is written beside its place and put there when it is whole and durable. What does not get
//! so far is removed.

use std::path::{Path, PathBuf};

use crate::aof::directory::{Directory, Increments, Location};
use crate::aof::error::AofError;
use crate::aof::find;
use crate::aof::increment::Increment;
use crate::aof::storage::Storage as _;
use crate::commands::connection::login::REDIS_VERSION;
use crate::commands::recreate;
use crate::convert::{ConvertError, Form, Wish};
use crate::data::Collection as _;
use crate::filesystem::FileSystem;
use crate::keyspace::effect::Effects;
use crate::keyspace::entry::Entry;
use crate::keyspace::object::Object;
use crate::keyspace::saving::{Format as _, Pieces, Point};
use crate::rdb::{Dialect, Records, put_function};
use crate::resp::encode;
use crate::shard::snapshot::Begun;
use crate::snapshot::file::{About, Place, SnapshotFile};

/// Bytes that are written at a time, or those of one key where they are more.
const BUFFER: usize = 256 * 1024;

/// `appendfilename` of a journal that gets a directory of its own, as servers have it.
const APPENDFILENAME: &str = "appendonly.aof";

/// Takes keys and libraries, and writes them.
pub(super) trait Output {
    /// Writes a library of functions.
    fn function(&mut self, source: &[u8]) -> Result<(), ConvertError>;
    /// Writes a key.
    fn key(&mut self, db: u32, entry: &Entry) -> Result<(), ConvertError>;
    /// All is written: puts it in its place.
    fn finish(self: Box<Self>) -> Result<(), ConvertError>;
}

/// Begins what is asked for.
pub(super) fn create<F: FileSystem + Clone + 'static>(
    system: &F,
    to: &Path,
    wish: Wish,
) -> Result<Box<dyn Output>, ConvertError> {
    let is_there = match wish.form {
        Form::Directory => !find::manifests(system, to)?.is_empty(),
        _ => system.length(to).map_err(AofError::io("stat", to))?.is_some(),
    };
    if is_there && !wish.replaces {
        return Err(ConvertError::Exists { path: to.to_owned() });
    }
    Ok(match wish.form {
        Form::Rdb(dialect) => Box::new(RdbFile::create(system, to, dialect, wish)?),
        Form::Journal => Box::new(Journal::<F>::in_file(system, to, wish)?),
        Form::Directory => Box::new(Journal::<F>::in_directory(system, to)?),
    })
}

/// The directory that a path is in, and its last name.
fn split(path: &Path) -> Result<(PathBuf, String), ConvertError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| ConvertError::Name { path: path.to_owned() })?;
    Ok((parent.unwrap_or(Path::new(".")).to_owned(), name.to_owned()))
}

/// What the name of a file begins with until it is whole: none that anybody else takes.
fn temporary(name: &str, wish: Wish) -> String {
    format!("temp-convert-{}-{name}", wish.now)
}

/// An RDB file.
struct RdbFile {
    file: SnapshotFile,
    records: Records,
    /// The format that was asked for.
    dialect: Option<Dialect>,
    pieces: Pieces,
    db: Option<u32>,
}

impl RdbFile {
    fn create<F: FileSystem + Clone + 'static>(
        system: &F,
        to: &Path,
        dialect: Option<Dialect>,
        wish: Wish,
    ) -> Result<RdbFile, ConvertError> {
        let (directory, name) = split(to)?;
        let temporary = temporary(&name, wish);
        let (timed, plain) = match dialect {
            Some(dialect) => (dialect, dialect),
            None => (Dialect::TIMED, Dialect::COMMON),
        };
        let about = About {
            version: REDIS_VERSION,
            seconds: wish.now.as_secs(),
            used_memory: 0,
            is_base: false,
            is_rdb: true,
            syncs_as_it_grows: true,
            has_checksum: true,
            timed,
            plain,
            functions: Vec::new(),
        };
        let place = Place { directory, name, temporary };
        let mut file = SnapshotFile::new(Box::new(system.clone()), place, about);
        file.begin(&Begun { number: 0, databases: Vec::new(), has_deadlines_inside: false })?;
        let (records, pieces) = (Records::new(true, timed), Pieces::default());
        Ok(RdbFile { file, records, dialect, pieces, db: None })
    }

    fn flush(&mut self, len: usize) -> Result<(), ConvertError> {
        if self.pieces.records.len() > len {
            self.file.add(&self.pieces)?;
            self.pieces.records.clear();
        }
        Ok(())
    }
}

impl Output for RdbFile {
    fn function(&mut self, source: &[u8]) -> Result<(), ConvertError> {
        if let Some(dialect) = self.dialect.filter(|dialect| !dialect.is_of_redis_7()) {
            return Err(ConvertError::NoFunctions(dialect));
        }
        put_function(&mut self.pieces.records, source);
        self.flush(BUFFER)
    }

    fn key(&mut self, db: u32, entry: &Entry) -> Result<(), ConvertError> {
        let is_timed = matches!(entry.object().as_deref(), Some(Object::Hash(it)) if it.is_timed());
        if let Some(dialect) = self.dialect.filter(|dialect| is_timed && !dialect.is_timed()) {
            let key = entry.key().escape_ascii().to_string();
            return Err(ConvertError::NoPlace { db, key, dialect });
        }
        self.pieces.has_timed_fields |= is_timed;
        let out = &mut self.pieces.records;
        if self.db != Some(db) {
            self.records.database(out, db);
            self.db = Some(db);
        }
        self.records.key(out, entry);
        self.flush(BUFFER)
    }

    fn finish(mut self: Box<Self>) -> Result<(), ConvertError> {
        self.flush(0)?;
        self.file.finish()?;
        Ok(())
    }
}

/// A journal: the commands that make the keys.
struct Journal<F: FileSystem> {
    system: F,
    file: Increment,
    effects: Effects,
    db: u32,
    place: JournalPlace,
}

/// Where a journal goes.
enum JournalPlace {
    /// There, as one file.
    File(PathBuf),
    /// It becomes the base of this directory.
    Directory(Directory),
    /// It is there.
    Done,
}

impl<F: FileSystem + Clone + 'static> Journal<F> {
    fn in_file(system: &F, to: &Path, wish: Wish) -> Result<Journal<F>, ConvertError> {
        let (directory, name) = split(to)?;
        let temporary = directory.join(temporary(&name, wish));
        let file = Increment::create(system, &temporary).inspect_err(|_| {
            // There is nobody to tell of a second fault.
            let _ = system.remove(&temporary);
        })?;
        Ok(Journal::new(system, file, JournalPlace::File(to.to_owned())))
    }

    fn in_directory(system: &F, to: &Path) -> Result<Journal<F>, ConvertError> {
        let (dir, appenddirname) = split(to)?;
        let found = find::manifests(system, to)?;
        let appendfilename = match found.first() {
            Some(manifest) => find::appendfilename(manifest),
            None => APPENDFILENAME.to_owned(),
        };
        let location = Location { dir, appenddirname, appendfilename };
        let directory = Directory::open_anew(Box::new(system.clone()), &location)?;
        let file = Increment::create(system, &location.folder().join(location.new_base()))?;
        Ok(Journal::new(system, file, JournalPlace::Directory(directory)))
    }

    fn new(system: &F, file: Increment, place: JournalPlace) -> Journal<F> {
        let mut effects = Effects::default();
        effects.listen(true);
        Journal { system: system.clone(), file, effects, db: 0, place }
    }

    fn flush(&mut self, len: usize) -> Result<(), ConvertError> {
        if self.effects.len() <= len {
            return Ok(());
        }
        let (bytes, runs) = self.effects.take();
        let mut start = 0;
        for run in runs {
            if run.db != self.db {
                let mut select = Vec::new();
                encode::command(&mut select, &[b"SELECT", run.db.to_string().as_bytes()]);
                self.file.append(&select)?;
                self.db = run.db;
            }
            self.file.append(bytes.get(start..run.end).unwrap_or_default())?;
            start = run.end;
        }
        Ok(())
    }
}

impl<F: FileSystem + Clone + 'static> Output for Journal<F> {
    fn function(&mut self, source: &[u8]) -> Result<(), ConvertError> {
        self.effects.aside(self.db, &[b"FUNCTION", b"LOAD", source]);
        self.flush(BUFFER)
    }

    fn key(&mut self, db: u32, entry: &Entry) -> Result<(), ConvertError> {
        let mut next = Some(Point::Start);
        while let Some(from) = next {
            next = recreate::record_piece(&mut self.effects, db, entry.key(), entry, from);
            self.flush(BUFFER)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ConvertError> {
        self.flush(0)?;
        self.file.make_durable()?;
        match std::mem::replace(&mut self.place, JournalPlace::Done) {
            JournalPlace::File(to) => {
                let written = self.file.path();
                let renamed = self.system.rename(written, &to);
                if renamed.is_err() {
                    // There is nobody to tell of a second fault.
                    let _ = self.system.remove(written);
                }
                renamed.map_err(AofError::io("rename", written))?;
                let (directory, _) = split(&to)?;
                let synced = self.system.sync_directory(&directory);
                synced.map_err(AofError::io("fsync", &directory))?;
            }
            JournalPlace::Directory(mut directory) => {
                if let Err(error) = directory.list_base(Increments::None, None) {
                    // As above.
                    let _ = directory.undo_unfinished();
                    return Err(error.into());
                }
            }
            JournalPlace::Done => {}
        }
        Ok(())
    }
}

impl<F: FileSystem> Drop for Journal<F> {
    /// What is not in its place by now never will be. There is nobody to tell of a fault.
    fn drop(&mut self) {
        match &self.place {
            JournalPlace::File(_) => drop(self.system.remove(self.file.path())),
            JournalPlace::Directory(directory) => drop(directory.undo_unfinished()),
            JournalPlace::Done => {}
        }
    }
}
