//! Files of a data set made from those of another form, without a server: `troupe convert`.
//!
//! A snapshot is read key by key and each is written at once, so it may be larger than memory. A
//! journal is loaded first, as at a start, by a shard that has all slots; then its keys are
//! written. Keys that have expired are written too, as a file keeps them.
//!
//! Invariant: what was there is there until what takes its place is whole and durable, and then it
//! is gone only where that was asked for.
//!
//! Left out: when keys were last accessed, which none of our files says.

mod output;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::aof::apart;
use crate::aof::directory::{Listed, Role, all_listed, read_manifest};
use crate::aof::error::AofError;
use crate::aof::find::{self, Found};
use crate::aof::load::{Content, Reader};
use crate::aof::loader::LoadError;
use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::convert::output::Output;
use crate::filesystem::FileSystem;
use crate::keyspace::entry::Entry;
use crate::rdb::{Dialect, Fault, Forms, Rules, without_place};
use crate::settings::Settings;
use crate::shard::load::KeyFault;
use crate::snapshot::file::FileFault;

/// What files are made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An RDB file, in this format. None is the oldest of Redis 7 and later that has all that is in
    /// it, which may be that of Valkey 9.
    Rdb(Option<Dialect>),
    /// A journal in one file of commands.
    Journal,
    /// A journal with its directory.
    Directory,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// What is to be written.
    pub target: Target,
    /// What is there may be replaced.
    pub replaces: bool,
    /// The time of the load.
    pub now: Millis,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Keys that were written.
    pub keys: u64,
    /// Libraries of functions that were written.
    pub libraries: u64,
    /// Keys without elements, which no server keeps.
    pub empty: u64,
    /// Keys of which other servers do not read all: deadlines of members of sets and sorted sets,
    /// entries of streams that were released.
    pub private: u64,
    /// Types of modules that have left data about no key, which are not kept.
    pub modules: Vec<String>,
}

/// Why nothing was written.
#[derive(Debug, Error)]
pub enum ConvertError {
    /// Files cannot be read or written, or are damaged.
    #[error(transparent)]
    Files(#[from] AofError),
    /// A journal cannot be loaded.
    #[error(transparent)]
    Load(LoadError),
    /// The file cannot be written.
    #[error(transparent)]
    Written(#[from] FileFault),
    /// What is to be read is none of ours.
    #[error(
        "{}: this is no RDB file, no journal, no manifest, and no directory with one journal",
        path.display()
    )]
    Unknown {
        /// It.
        path: PathBuf,
    },
    /// What is to be written has no name, or none that is text.
    #[error("{}: this is no name for a file", path.display())]
    Name {
        /// It.
        path: PathBuf,
    },
    /// What is to be written is there.
    #[error("{} is there already; --force replaces it", path.display())]
    Exists {
        /// It.
        path: PathBuf,
    },
    /// A key has what the format has no place for.
    #[error(
        "key '{key}' of database {db} has fields with deadlines, for which {dialect} has no place: \
         versions 12 and 80 have"
    )]
    NoPlace {
        /// Its database.
        db: u32,
        /// Its name, escaped.
        key: String,
        /// The format.
        dialect: Dialect,
    },
    /// There are functions, which the format has no place for.
    #[error(
        "there are libraries of functions, for which {0} has no place: versions from 10 on have"
    )]
    NoFunctions(Dialect),
}

impl From<LoadError> for ConvertError {
    fn from(error: LoadError) -> ConvertError {
        match error {
            LoadError::Files(error) => ConvertError::Files(error),
            error => ConvertError::Load(error),
        }
    }
}

/// Hears how many bytes of all that is read were read, and how many there are.
pub type Reached<'a> = &'a mut dyn FnMut(u64, u64);

/// Makes `to` out of `from`.
///
/// # Errors
/// [`ConvertError`]. Nothing is left of what was begun then, but for a new directory, empty.
pub fn convert<F: FileSystem + Clone + 'static>(
    system: &F,
    from: &Path,
    to: &Path,
    wish: Wish,
    hasher: &Hasher,
    reached: Reached<'_>,
) -> Result<Done, ConvertError> {
    let files = sources(system, from)?;
    let settings = settings(wish.target);
    let length = files.iter().map(|file| file.length).sum();
    let is_snapshot = files.iter().all(|file| file.role == Role::Snapshot);
    let rules = Rules { databases: settings.databases, checks: true, expired_by: None };
    let reader = Reader::new(Box::new(system.clone()), files, None, rules);
    let mut converter = Converter {
        reader,
        output: Output::create(system, to, wish)?,
        settings: Arc::new(settings),
        hasher: hasher.clone(),
        done: Done::default(),
    };
    let mut reached = |at| reached(at, length);
    match is_snapshot {
        true => converter.hand_on(&mut reached)?,
        false => converter.load_and_write(wish.now, &mut reached)?,
    }
    converter.write_functions()?;
    let Converter { reader, output, mut done, .. } = converter;
    let read = reader.end();
    if let Some(torn) = read.torn {
        torn.mend(system, false)?;
    }
    done.modules = read.modules.into_iter().collect();
    output.finish()?;
    Ok(done)
}

/// How the keys are kept until they are written.
fn settings(target: Target) -> Settings {
    let mut settings = Settings::default();
    let mut set = |name, value| {
        let is_set = settings.set(name, &[value]).is_ok();
        debug_assert!(is_set, "{name} takes {value}");
    };
    set("databases", "2147483647");
    if target == Target::Rdb(Some(Dialect::BEFORE_LISTPACKS)) {
        // Small ones are listpacks, which that format does not have.
        set("hash-max-listpack-entries", "0");
        set("zset-max-listpack-entries", "0");
    }
    settings
}

/// The files that a path means, in the order of reading.
fn sources(system: &dyn FileSystem, path: &Path) -> Result<Vec<Listed>, ConvertError> {
    let unknown = || ConvertError::Unknown { path: path.to_owned() };
    let length = system.length(path).map_err(AofError::io("stat", path))?;
    let manifest = match length {
        Some(length) => match find::found(system, path)?.ok_or_else(unknown)? {
            Found::Data(role) => {
                return Ok(vec![Listed { path: path.to_owned(), length, role, is_last: true }]);
            }
            Found::Manifest => path.to_owned(),
        },
        None => {
            let mut manifests = find::manifests(system, path)?;
            if manifests.is_empty() {
                for name in find::names(system, path)? {
                    manifests.extend(find::manifests(system, &path.join(name))?);
                }
            }
            match manifests.as_slice() {
                [only] => only.clone(),
                _ => return Err(unknown()),
            }
        }
    };
    let lists = read_manifest(system, &manifest)?.unwrap_or_default();
    Ok(all_listed(system, manifest, &lists)?)
}

/// From what is read to what is written.
struct Converter {
    reader: Reader,
    output: Output,
    settings: Arc<Settings>,
    hasher: Hasher,
    done: Done,
}

impl Converter {
    /// Writes each key as soon as it was read.
    fn hand_on(&mut self, reached: &mut dyn FnMut(u64)) -> Result<(), ConvertError> {
        let (settings, hasher) = (self.settings.clone(), self.hasher.clone());
        let forms = Forms::of(&settings, &hasher);
        while let Some(from) = self.reader.next_block()? {
            self.write_functions()?;
            let Content::Keys(raw) = from.content else { continue };
            for at in &raw.keys {
                let (key, value) = match raw.read(at, forms) {
                    Ok(read) => read,
                    Err(error) if error.fault == Fault::Empty => {
                        self.done.empty += 1;
                        continue;
                    }
                    Err(error) => {
                        let fault = KeyFault::new(&raw, at, error.offset, error.fault);
                        return Err(LoadError::Key { path: from.path, fault }.into());
                    }
                };
                self.write(at.db, &key.with(value))?;
            }
            reached(self.reader.position());
        }
        Ok(())
    }

    /// Loads all as a start does, then writes it.
    fn load_and_write(
        &mut self,
        now: Millis,
        reached: &mut dyn FnMut(u64),
    ) -> Result<(), ConvertError> {
        let (settings, hasher) = (self.settings.clone(), self.hasher.clone());
        let loaded = apart::load(settings, hasher, &mut self.reader, now, &mut |reader| {
            reached(reader.position());
        })?;
        self.done.empty = loaded.empty_keys;
        for library in loaded.libraries.sorted() {
            self.write_function(&library.code)?;
        }
        for (db, table) in loaded.contents.tables() {
            table.iter().try_for_each(|entry| self.write(db, entry))?;
        }
        Ok(())
    }

    fn write_functions(&mut self) -> Result<(), ConvertError> {
        self.reader.take_functions().iter().try_for_each(|source| self.write_function(source))
    }

    fn write_function(&mut self, source: &[u8]) -> Result<(), ConvertError> {
        self.output.function(source)?;
        self.done.libraries += 1;
        Ok(())
    }

    fn write(&mut self, db: u32, entry: &Entry) -> Result<(), ConvertError> {
        self.output.key(db, entry)?;
        self.done.keys += 1;
        self.done.private += u64::from(without_place(entry).is_some());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
