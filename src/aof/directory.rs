//! The append-only directory: which files there are, and how the list changes without a gap.
//!
//! Invariant: at each moment, a crash leaves a manifest on disk that lists only files that exist
//! and hold what they should, or none where no journal has begun. So the list changes in this
//! order:
//!
//! 1. the temporary manifest is written: the list as it is to be;
//! 2. a new increment is made, empty; or it and a new base get the names by which they are listed;
//! 3. the temporary manifest is renamed to the manifest, which is the change;
//! 4. files out of use are deleted, and then taken off the list.
//!
//! Each step is durable, names included, before the next begins. What fails before step 3, or was
//! cut short there, leaves files that the temporary manifest alone lists, or that have temporary
//! names: the next who opens the directory removes them. That tells them from files that somebody
//! put there without their manifest, which are never touched, and without any manifest refused.
//! Where step 3 is done and cannot be made durable, a power cut leaves either list. The files of
//! both are whole, and kept: step 4 is not for such a change.
//!
//! A new directory has one empty increment and no base: redis-check-aof and redis-server 7.0 take
//! that for an empty keyspace. A single AOF file of Redis before 7 is adopted as the base, in the
//! order in which Redis does it: listed first, then moved in.
//!
//! Nothing is changed by two processes at a time: one of them has the lock, which stands in a file
//! beside the others that no server of the family knows.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::aof::error::{AofError, Leftover};
use crate::aof::increment::Increment;
use crate::aof::journal::Sizes;
use crate::aof::load::first_bytes;
use crate::aof::manifest::{self, MANIFEST_BYTES_MAX, Manifest};
use crate::filesystem::{FileSystem, Lock, Place};
use crate::rdb;
use crate::settings::Settings;

/// Where the journal lives: the three settings of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// `dir`
    pub dir: PathBuf,
    /// `appenddirname`
    pub appenddirname: String,
    /// `appendfilename`
    pub appendfilename: String,
}

impl Location {
    /// What the settings say.
    pub fn of(settings: &Settings) -> Location {
        Location {
            dir: settings.dir.clone(),
            appenddirname: settings.appenddirname.clone(),
            appendfilename: settings.appendfilename.clone(),
        }
    }

    /// The directory of the journal.
    pub fn folder(&self) -> PathBuf {
        self.dir.join(&self.appenddirname)
    }

    /// The manifest of the journal.
    pub fn manifest(&self) -> PathBuf {
        self.folder().join(Manifest::file_name(&self.appendfilename))
    }

    /// Where in it a new base is written that is not listed yet. No start takes notice of it, nor
    /// of what is there for a while: all of its names begin as that of the base.
    pub fn new_base(&self) -> Place {
        let name = new_base(&self.appendfilename);
        Place { directory: self.folder(), temporary: format!("{name}.part"), name }
    }
}

fn new_base(appendfilename: &str) -> String {
    format!("temp_{appendfilename}.base")
}

/// A file to be read, in the order of reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes when it was listed.
    pub length: u64,
    /// What it is.
    pub role: Role,
    /// The last file may end inside a record, no other.
    pub is_last: bool,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An RDB file that belongs to no journal.
    Snapshot,
    /// The beginning of a journal: an RDB file, commands, or one behind the other.
    Base,
    /// What follows in a journal: commands.
    Increment,
}

/// What is listed with a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Increments {
    /// None: there is no journal.
    None,
    /// One that no list names yet.
    Unlisted,
    /// The one that is listed last.
    Last,
}

/// The append-only directory with its manifest.
#[derive(Debug)]
pub struct Directory {
    system: Box<dyn FileSystem>,
    path: PathBuf,
    appendfilename: String,
    manifest: Manifest,
    origin: Origin,
    keeps_history: bool,
    /// Nobody else changes anything as long as this is there.
    _lock: Lock,
}

/// How the directory came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Its manifest was there.
    Found,
    /// A single AOF file was moved into it.
    Adopted,
    /// There was nothing.
    New,
}

impl Directory {
    /// Opens the directory, or makes it, for a journal that goes on from what is there.
    pub fn open(system: Box<dyn FileSystem>, place: &Location) -> Result<Self, AofError> {
        let mut directory = Self::open_anew(system, place)?;
        directory.adopt(&place.dir)?;
        Ok(directory)
    }

    /// Opens the directory, or makes it, for a journal that begins anew. What is there is left as
    /// it is until [`Directory::list_base`].
    pub fn open_anew(system: Box<dyn FileSystem>, place: &Location) -> Result<Self, AofError> {
        for (setting, value) in
            [("appenddirname", &place.appenddirname), ("appendfilename", &place.appendfilename)]
        {
            if value.is_empty() || value.contains(['/', '\0']) || value == "." || value == ".." {
                return Err(AofError::Name { setting, value: value.clone() });
            }
        }
        if !manifest::takes_names_of(&place.appendfilename) {
            let (setting, value) = ("appendfilename", place.appendfilename.clone());
            return Err(AofError::LongName { setting, value });
        }
        let path = place.folder();
        match system.create_directory(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made.map_err(AofError::io("mkdir", &path))?,
        }
        let lock = path.join(format!("{}.lock", place.appendfilename));
        let Some(lock) = system.lock(&lock).map_err(AofError::io("lock", &lock))? else {
            return Err(AofError::Locked { lock });
        };
        let mut directory = Self {
            system,
            path,
            appendfilename: place.appendfilename.clone(),
            manifest: Manifest::default(),
            origin: Origin::New,
            keeps_history: false,
            _lock: lock,
        };
        // Who made what is there may have ended before it was durable.
        directory.sync(&directory.path)?;
        if let Some(manifest) = read_manifest(&*directory.system, &directory.manifest_path())? {
            directory.manifest = manifest;
            directory.origin = Origin::Found;
        }
        directory.undo_unfinished()?;
        directory.remove_parts()?;
        if directory.origin == Origin::New {
            directory.refuse_strays()?;
            directory.sync(&place.dir)?;
        }
        Ok(directory)
    }

    /// Takes in a single AOF file of old, or goes on with that where it was cut short.
    fn adopt(&mut self, dir: &Path) -> Result<(), AofError> {
        let (old, new) = (dir.join(&self.appendfilename), self.path.join(&self.appendfilename));
        let is_listed = self.manifest.increments.is_empty()
            && self.manifest.base.as_ref().is_some_and(|base| base.name == self.appendfilename);
        let is_begun = is_listed && self.length(&new)?.is_none();
        if (self.origin == Origin::Found && !is_begun) || self.length(&old)?.is_none() {
            return Ok(());
        }
        if self.origin == Origin::New {
            // Its author may not have.
            let mut file = self.system.open(&old).map_err(AofError::io("open", &old))?;
            file.sync().map_err(AofError::io("fdatasync", &old))?;
            let base = manifest::File { name: self.appendfilename.clone(), seq: 1 };
            self.replace(Manifest { base: Some(base), ..Manifest::default() })?;
        }
        self.rename(&old, &new)?;
        self.origin = Origin::Adopted;
        self.sync(&self.path)?;
        self.sync(dir)
    }

    /// Makes an increment, empty, that is listed with the next base. The list is read once more:
    /// nobody may know how the last change of it went.
    pub fn create_unlisted(&mut self) -> Result<Increment, AofError> {
        self.read_again()?;
        Increment::create(&*self.system, &self.unlisted_path())
    }

    /// The new base is whole and durable: it and an increment take the place of what there was.
    /// Returns what the files hold, and what could not be deleted. After an error what there was is
    /// there still, and this directory is good for nothing but [`Directory::undo_unfinished`] and
    /// [`Directory::create_unlisted`].
    pub fn list_base(
        &mut self,
        increments: Increments,
        current: Option<&mut Increment>,
    ) -> Result<(Sizes, Vec<Leftover>), AofError> {
        let new_base = self.new_base_path();
        let taken = self.taken()?;
        let is_rdb = self.is_rdb(&new_base)?;
        let base = self.manifest.next_base(&self.appendfilename, is_rdb, &taken);
        let base_path = self.path.join(&base.name);
        let Manifest { base: old_base, increments: mut old, mut history } = self.manifest.clone();
        let last = match increments {
            Increments::None => None,
            Increments::Last => old.pop(),
            Increments::Unlisted => {
                Some(self.manifest.next_increment(&self.appendfilename, &taken))
            }
        };
        history.extend(old_base.into_iter().chain(old));
        let manifest =
            Manifest { base: Some(base), increments: last.iter().cloned().collect(), history };
        self.announce(&manifest)?;
        self.rename(&new_base, &base_path)?;
        if let (Increments::Unlisted, Some(last), Some(current)) = (increments, last, current) {
            let path = self.path.join(&last.name);
            self.rename(&self.unlisted_path(), &path)?;
            current.moved_to(path);
        }
        self.put_in_force(manifest)?;
        let leftovers = self.delete_history();
        Ok((self.sizes()?, leftovers))
    }

    /// Whether `increment` is the last one that is listed, whatever came of the last change of the
    /// list. What that has left is removed.
    pub fn ends_with(&mut self, increment: &Increment) -> bool {
        let is_read = self.read_again().is_ok();
        let last = self.manifest.increments.last();
        is_read && last.is_some_and(|last| self.path.join(&last.name) == increment.path())
    }

    /// Removes what has been left of a base that was never whole, or never listed, of the increment
    /// that was to be listed with it, and of a change of the list that failed or was cut short.
    pub fn undo_unfinished(&self) -> Result<(), AofError> {
        self.remove(&self.new_base_path())?;
        self.remove(&self.unlisted_path())?;
        self.undo_change()
    }

    /// Removes what a process that died has left of a base that it was writing.
    fn remove_parts(&self) -> Result<(), AofError> {
        let base = new_base(&self.appendfilename);
        for name in self.system.names(&self.path).map_err(AofError::io("readdir", &self.path))? {
            if name.to_str().is_some_and(|name| name.starts_with(&base)) {
                self.remove(&self.path.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes what a change of the list has left that failed or was cut short.
    fn undo_change(&self) -> Result<(), AofError> {
        let temporary = self.temporary_path();
        if self.length(&temporary)?.is_none() {
            return Ok(());
        }
        let planned = match read_manifest(&*self.system, &temporary) {
            // It was not written to its end, so nothing was done by it.
            Err(AofError::Manifest { .. } | AofError::ManifestSize { .. }) => None,
            read => read?,
        };
        let planned = planned.unwrap_or_default();
        // The manifest on disk is what counts: a call that failed may have been carried out.
        let listed = read_manifest(&*self.system, &self.manifest_path())?.unwrap_or_default();
        let has_new_base = planned.base.as_ref().is_some_and(|base| !listed.names(&base.name));
        for file in planned.base.iter().chain(&planned.increments) {
            let path = self.path.join(&file.name);
            let is_ours = manifest::is_journal_name(&self.appendfilename, &file.name);
            // Nothing is written to an increment before it is listed, unless a base comes with it.
            let is_new = has_new_base || self.length(&path)? == Some(0);
            if is_ours && !listed.names(&file.name) && is_new {
                self.remove(&path)?;
            }
        }
        self.sync(&self.path)?;
        self.remove(&temporary)
    }

    fn read_again(&mut self) -> Result<(), AofError> {
        self.undo_change()?;
        self.manifest = read_manifest(&*self.system, &self.manifest_path())?.unwrap_or_default();
        Ok(())
    }

    /// What a file is, its first bytes say.
    fn is_rdb(&self, path: &Path) -> Result<bool, AofError> {
        let opened = self.system.read(path).map_err(AofError::io("open", path))?;
        let Some(mut file) = opened else {
            return Err(AofError::Missing {
                path: path.to_owned(),
                manifest: self.manifest_path(),
            });
        };
        Ok(rdb::opens_file(&first_bytes(&mut file, path)?))
    }

    /// Without a manifest, files with records must not be passed over in silence.
    fn refuse_strays(&self) -> Result<(), AofError> {
        match self.strays()?.into_iter().next() {
            Some(stray) => Err(AofError::NoManifest { manifest: self.manifest_path(), stray }),
            None => Ok(()),
        }
    }

    /// Makes the next increment, empty, and lists it. The caller has synced the one before.
    pub fn add_increment(&mut self) -> Result<Increment, AofError> {
        let next = self.manifest.next_increment(&self.appendfilename, self.taken()?);
        let path = self.path.join(&next.name);
        let mut manifest = self.manifest.clone();
        manifest.increments.push(next);
        self.announce(&manifest)?;
        let increment = Increment::create(&*self.system, &path)?;
        self.put_in_force(manifest)?;
        Ok(increment)
    }

    fn replace(&mut self, manifest: Manifest) -> Result<(), AofError> {
        self.announce(&manifest)?;
        self.put_in_force(manifest)
    }

    /// Writes the list as it is to be.
    fn announce(&self, manifest: &Manifest) -> Result<(), AofError> {
        let path = self.temporary_path();
        let mut file = self.system.create(&path).map_err(AofError::io("create", &path))?;
        file.append(manifest.format().as_bytes()).map_err(AofError::io("write", &path))?;
        file.sync().map_err(AofError::io("fdatasync", &path))?;
        self.sync(&self.path)
    }

    /// The list that was announced, and whose files are there, is the list from now on.
    fn put_in_force(&mut self, manifest: Manifest) -> Result<(), AofError> {
        self.sync(&self.path)?;
        self.rename(&self.temporary_path(), &self.manifest_path())?;
        self.manifest = manifest;
        self.sync(&self.path)
    }

    /// Whether files out of use stay, and on the list, from now on: `aof-disable-auto-gc`.
    pub fn keep_history(&mut self, is_kept: bool) {
        self.keeps_history = is_kept;
    }

    /// Deletes the files out of use, and takes them off the list, unless they are kept. One that
    /// cannot be deleted stays on the list for the next time, which the log is to say: nothing
    /// waits for it.
    #[must_use = "the log is to say what is left"]
    pub fn delete_history(&mut self) -> Vec<Leftover> {
        let mut leftovers = Vec::new();
        if self.keeps_history {
            return leftovers;
        }
        let mut manifest = self.manifest.clone();
        manifest.history.retain(|file| {
            let removed = self.remove(&self.path.join(&file.name));
            removed.map_err(|error| leftovers.push(Leftover::File(error))).is_err()
        });
        if manifest != self.manifest
            && let Err(error) = self.replace(manifest)
        {
            leftovers.push(Leftover::Lines(error));
        }
        leftovers
    }

    /// The files of the journal in the order of reading, each checked to be there.
    pub fn files(&self) -> Result<Vec<Listed>, AofError> {
        all_listed(&*self.system, self.manifest_path(), &self.manifest)
    }

    /// Opens the last increment, or makes the first, and says what the files hold. To be called
    /// when they were read and a torn tail was cut.
    pub fn open_increment(&mut self) -> Result<(Increment, Sizes), AofError> {
        let increment = match self.manifest.increments.last() {
            Some(last) => {
                let mut last = Increment::open(&*self.system, &self.path.join(&last.name))?;
                // Who wrote it may have been killed before that. Clients will see it.
                last.make_durable()?;
                last
            }
            None => self.add_increment()?,
        };
        Ok((increment, self.sizes()?))
    }

    /// What the files hold, of which an increment is the last one if there is any.
    fn sizes(&self) -> Result<Sizes, AofError> {
        let files = self.files()?;
        let last = files.last().filter(|last| last.role == Role::Increment);
        let increment = last.map_or(0, |last| last.length);
        Ok(Sizes { total: files.iter().map(|file| file.length).sum(), increment })
    }

    /// Files that hold something, look like ours and are listed nowhere. They are left alone.
    pub fn strays(&self) -> Result<Vec<PathBuf>, AofError> {
        let mut strays = Vec::new();
        for name in self.system.names(&self.path).map_err(AofError::io("readdir", &self.path))? {
            let path = self.path.join(&name);
            let Some(name) = name.to_str() else { continue };
            let is_ours = name == self.appendfilename
                || manifest::is_journal_name(&self.appendfilename, name);
            if is_ours && !self.manifest.names(name) && self.length(&path)? > Some(0) {
                strays.push(path);
            }
        }
        strays.sort();
        Ok(strays)
    }

    /// Tells which names no new file may take.
    fn taken(&self) -> Result<impl Fn(&str) -> bool + use<>, AofError> {
        let (strays, path) = (self.strays()?, self.path.clone());
        Ok(move |name: &str| strays.contains(&path.join(name)))
    }

    /// How the directory came about.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    fn manifest_path(&self) -> PathBuf {
        self.path.join(Manifest::file_name(&self.appendfilename))
    }

    /// The name that Redis gives it too.
    fn temporary_path(&self) -> PathBuf {
        self.path.join(format!("temp_{}", Manifest::file_name(&self.appendfilename)))
    }

    fn new_base_path(&self) -> PathBuf {
        self.path.join(new_base(&self.appendfilename))
    }

    fn unlisted_path(&self) -> PathBuf {
        self.path.join(format!("temp_{}.incr.aof", self.appendfilename))
    }

    fn length(&self, path: &Path) -> Result<Option<u64>, AofError> {
        self.system.length(path).map_err(AofError::io("stat", path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), AofError> {
        self.system.rename(from, to).map_err(AofError::io("rename", from))
    }

    fn remove(&self, path: &Path) -> Result<(), AofError> {
        self.system.remove(path).map_err(AofError::io("unlink", path))
    }

    /// Makes durable which names a directory holds.
    fn sync(&self, path: &Path) -> Result<(), AofError> {
        self.system.sync_directory(path).map_err(AofError::io("fsync", path))
    }
}

/// Reads a manifest, if there is one of that name.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read_manifest(system: &dyn FileSystem, path: &Path) -> Result<Option<Manifest>, AofError> {
    let opened = system.read(path).map_err(AofError::io("open", path))?;
    let Some(file) = opened else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(AofError::io("read", path))?;
    let (path, length) = (path.to_owned(), bytes.len() as u64);
    if length > MANIFEST_BYTES_MAX {
        return Err(AofError::ManifestSize { path, length });
    }
    Manifest::parse(&bytes).map(Some).map_err(|error| AofError::Manifest { path, error })
}

/// The files that the manifest with this path lists, in the order of reading, and those of them
/// that are not there.
///
/// # Errors
/// They cannot be looked at.
pub fn listed(
    system: &dyn FileSystem,
    path: &Path,
    manifest: &Manifest,
) -> Result<(Vec<Listed>, Vec<PathBuf>), AofError> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let (mut listed, mut missing) = (Vec::new(), Vec::new());
    for (file, role) in (manifest.base.iter().map(|base| (base, Role::Base)))
        .chain(manifest.increments.iter().map(|file| (file, Role::Increment)))
    {
        let path = directory.join(&file.name);
        match system.length(&path).map_err(AofError::io("stat", &path))? {
            Some(length) => listed.push(Listed { path, length, role, is_last: false }),
            None => missing.push(path),
        }
    }
    if let Some(last) = listed.last_mut() {
        last.is_last = true;
    }
    Ok((listed, missing))
}

/// The same, where each has to be there.
///
/// # Errors
/// As those of [`listed`]; and one is not there.
pub fn all_listed(
    system: &dyn FileSystem,
    path: PathBuf,
    manifest: &Manifest,
) -> Result<Vec<Listed>, AofError> {
    let (listed, missing) = listed(system, &path, manifest)?;
    match missing.into_iter().next() {
        Some(missing) => Err(AofError::Missing { path: missing, manifest: path }),
        None => Ok(listed),
    }
}

#[cfg(test)]
mod rehearsal;
#[cfg(test)]
mod tests;
