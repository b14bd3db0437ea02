//! The append-only directory: which files there are, and how the list changes without a gap.
//!
//! Invariant: at each moment, a crash leaves a manifest on disk that lists only files that exist
//! and hold what they should. So a file is made before it is listed, taken off the list before it
//! is deleted, and the list is replaced by temporary file, fsync, rename, fsync of the directory.
//!
//! A new directory has one empty increment and no base: redis-check-aof and redis-server 7.0 take
//! that for an empty keyspace. A single AOF file of Redis before 7 is adopted as the base, in the
//! order in which Redis does it. Left out: a lock against a second server on the same directory.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use troupe::aof::journal::Sizes;
use troupe::aof::manifest::{self, MANIFEST_BYTES_MAX, Manifest};

use super::error::AofError;
use super::increment::Increment;

/// Where the journal lives: the three settings of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `dir`
    pub dir: PathBuf,
    /// `appenddirname`
    pub appenddirname: String,
    /// `appendfilename`
    pub appendfilename: String,
}

/// A file of the journal, in the order of reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it is.
    pub path: PathBuf,
    /// Its length when it was listed.
    pub length: u64,
    /// The base, rather than an increment.
    pub is_base: bool,
    /// The last file may end inside a record, no other.
    pub is_last: bool,
}

/// The append-only directory with its manifest.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    appendfilename: String,
    manifest: Manifest,
    /// Whether the manifest was there or was made from a single file of old.
    origin: Origin,
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
    /// Opens the directory, or makes it. Afterwards there is a manifest and an increment to write.
    pub fn open(place: &Place) -> Result<Self, AofError> {
        let mut directory = Self::at(place)?;
        directory.find_manifest(&place.dir)?;
        directory.ensure_increment()?;
        Ok(directory)
    }

    fn at(place: &Place) -> Result<Self, AofError> {
        for (setting, value) in
            [("appenddirname", &place.appenddirname), ("appendfilename", &place.appendfilename)]
        {
            if value.is_empty() || value.contains(['/', '\0']) || value == "." || value == ".." {
                return Err(AofError::Name { setting, value: value.clone() });
            }
        }
        let path = place.dir.join(&place.appenddirname);
        match fs::create_dir(&path) {
            Ok(()) => sync_directory(&place.dir)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(AofError::Io { operation: "mkdir", path, source }),
        }
        Ok(Self {
            path,
            appendfilename: place.appendfilename.clone(),
            manifest: Manifest::default(),
            origin: Origin::Found,
        })
    }

    /// Opens the directory, or makes it, for a journal that begins anew. What is there is left as
    /// it is until [`Directory::begin`].
    pub fn open_anew(place: &Place) -> Result<Self, AofError> {
        let mut directory = Self::at(place)?;
        match directory.read_manifest()? {
            Some(manifest) => directory.manifest = manifest,
            None => directory.refuse_unlisted()?,
        }
        Ok(directory)
    }

    /// Makes the file of a new base, empty, under a name that no start takes notice of.
    pub fn create_base(&self) -> Result<Increment, AofError> {
        let path = self.new_base_path();
        File::create(&path).map_err(AofError::io("create", &path))?;
        Increment::open(&path)
    }

    /// The new base is whole and durable: it and an empty increment take the place of what there
    /// was. Returns the increment.
    pub fn begin(&mut self) -> Result<Increment, AofError> {
        let base = self.manifest.next_base(&self.appendfilename, false);
        let (from, to) = (self.new_base_path(), self.path.join(&base.name));
        fs::rename(&from, &to).map_err(AofError::io("rename", &from))?;
        let next = self.manifest.next_increment(&self.appendfilename);
        let path = self.path.join(&next.name);
        let file = File::create(&path).map_err(AofError::io("create", &path))?;
        file.sync_all().map_err(AofError::io("fsync", &path))?;
        let Manifest { base: old_base, increments, mut history } = self.manifest.clone();
        history.extend(old_base.into_iter().chain(increments));
        self.replace(Manifest { base: Some(base), increments: vec![next], history })?;
        self.delete_history()?;
        Increment::open(&path)
    }

    /// Removes the file of a base that will never be whole.
    pub fn discard_base(&self) {
        // What cannot be removed is overwritten by the next try.
        let _ = fs::remove_file(self.new_base_path());
    }

    fn new_base_path(&self) -> PathBuf {
        self.path.join(format!("temp_{}.base.aof", self.appendfilename))
    }

    fn find_manifest(&mut self, dir: &Path) -> Result<(), AofError> {
        let old = dir.join(&self.appendfilename);
        match self.read_manifest()? {
            Some(manifest) => {
                self.manifest = manifest;
                // Redis, or we, may have been stopped between the two steps of an adoption.
                let adopted = self.manifest.increments.is_empty()
                    && self.manifest.base.as_ref().is_some_and(|b| b.name == self.appendfilename);
                if adopted && is_file(&old)? && !is_file(&self.path.join(&self.appendfilename))? {
                    self.move_in(dir, &old)?;
                }
            }
            None if is_file(&old)? => {
                let base = manifest::File { name: self.appendfilename.clone(), seq: 1 };
                self.replace(Manifest { base: Some(base), ..Manifest::default() })?;
                self.move_in(dir, &old)?;
            }
            None => {
                self.refuse_unlisted()?;
                self.origin = Origin::New;
            }
        }
        Ok(())
    }

    fn move_in(&mut self, dir: &Path, old: &Path) -> Result<(), AofError> {
        let new = self.path.join(&self.appendfilename);
        fs::rename(old, &new).map_err(AofError::io("rename", old))?;
        self.origin = Origin::Adopted;
        sync_directory(&self.path)?;
        sync_directory(dir)
    }

    fn read_manifest(&self) -> Result<Option<Manifest>, AofError> {
        let path = self.manifest_path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(AofError::Io { operation: "open", path, source }),
        };
        let mut bytes = Vec::new();
        let mut start = file.take(MANIFEST_BYTES_MAX + 1);
        start.read_to_end(&mut bytes).map_err(AofError::io("read", &path))?;
        let length = bytes.len() as u64;
        if length > MANIFEST_BYTES_MAX {
            return Err(AofError::ManifestSize { path, length });
        }
        match Manifest::parse(&bytes) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) => Err(AofError::Manifest { path, error }),
        }
    }

    /// Without a manifest, files with records must not be passed over in silence. An empty one is
    /// left by a crash of the very first start.
    fn refuse_unlisted(&self) -> Result<(), AofError> {
        for stray in self.strays()? {
            let metadata = fs::metadata(&stray).map_err(AofError::io("stat", &stray))?;
            if metadata.len() > 0 {
                return Err(AofError::NoManifest { manifest: self.manifest_path(), stray });
            }
        }
        Ok(())
    }

    fn ensure_increment(&mut self) -> Result<(), AofError> {
        if self.manifest.increments.is_empty() {
            self.add_increment()?;
        }
        Ok(())
    }

    /// Makes the next increment, empty, and lists it. The caller has synced the one before.
    pub fn add_increment(&mut self) -> Result<(), AofError> {
        let next = self.manifest.next_increment(&self.appendfilename);
        let path = self.path.join(&next.name);
        // What is there under this name is listed nowhere: a start that was cut short left it.
        let file = File::create(&path).map_err(AofError::io("create", &path))?;
        file.sync_all().map_err(AofError::io("fsync", &path))?;
        let mut manifest = self.manifest.clone();
        manifest.increments.push(next);
        self.replace(manifest)
    }

    fn replace(&mut self, manifest: Manifest) -> Result<(), AofError> {
        let path = self.manifest_path();
        // The name that Redis gives to its temporary manifest.
        let temporary = self.path.join(format!("temp_{}", self.manifest_name()));
        let mut file = File::create(&temporary).map_err(AofError::io("create", &temporary))?;
        file.write_all(manifest.format().as_bytes()).map_err(AofError::io("write", &temporary))?;
        file.sync_all().map_err(AofError::io("fsync", &temporary))?;
        fs::rename(&temporary, &path).map_err(AofError::io("rename", &temporary))?;
        sync_directory(&self.path)?;
        self.manifest = manifest;
        Ok(())
    }

    /// Takes the files out of use off the list and deletes them. Returns how many there were.
    pub fn delete_history(&mut self) -> Result<usize, AofError> {
        if self.manifest.history.is_empty() {
            return Ok(0);
        }
        let mut manifest = self.manifest.clone();
        let history = std::mem::take(&mut manifest.history);
        self.replace(manifest)?;
        for file in &history {
            let path = self.path.join(&file.name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(AofError::Io { operation: "unlink", path, source: error });
                }
                _ => {}
            }
        }
        Ok(history.len())
    }

    /// The files of the journal in the order of reading, each checked to be there.
    pub fn files(&self) -> Result<Vec<Listed>, AofError> {
        let names = self.manifest.base.iter().chain(&self.manifest.increments);
        let mut files = Vec::new();
        for file in names {
            let path = self.path.join(&file.name);
            let length = match fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(AofError::Missing { path, manifest: self.manifest_path() });
                }
                Err(source) => return Err(AofError::Io { operation: "stat", path, source }),
            };
            let is_base = self.manifest.base.as_ref() == Some(file);
            files.push(Listed {
                path,
                length,
                is_base: is_base && files.is_empty(),
                is_last: false,
            });
        }
        if let Some(last) = files.last_mut() {
            last.is_last = true;
        }
        Ok(files)
    }

    /// Opens the last increment, and says what the files hold. To be called when they were read and
    /// a torn tail was cut.
    pub fn open_increment(&self) -> Result<(Increment, Sizes), AofError> {
        let files = self.files()?;
        let last = self.manifest.increments.last().map_or("", |file| &file.name);
        let increment = Increment::open(&self.path.join(last))?;
        let base = files.iter().filter(|file| file.is_base).map(|file| file.length).sum();
        let total = files.iter().map(|file| file.length).sum();
        let sizes = Sizes { base, total, increment: increment.length()? };
        Ok((increment, sizes))
    }

    /// Files that look like ours and that the manifest does not list. They are left alone.
    pub fn strays(&self) -> Result<Vec<PathBuf>, AofError> {
        let mut strays = Vec::new();
        let entries = fs::read_dir(&self.path).map_err(AofError::io("readdir", &self.path))?;
        for entry in entries {
            let entry = entry.map_err(AofError::io("readdir", &self.path))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let is_ours = manifest::is_journal_name(&self.appendfilename, name);
            if is_ours && !self.manifest.names(name) {
                strays.push(entry.path());
            }
        }
        strays.sort();
        Ok(strays)
    }

    /// The list of files.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How the directory came about.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    fn manifest_name(&self) -> String {
        Manifest::file_name(&self.appendfilename)
    }

    fn manifest_path(&self) -> PathBuf {
        self.path.join(self.manifest_name())
    }
}

fn is_file(path: &Path) -> Result<bool, AofError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(AofError::Io { operation: "stat", path: path.to_owned(), source }),
    }
}

/// Makes durable which names a directory holds.
fn sync_directory(path: &Path) -> Result<(), AofError> {
    let directory = File::open(path).map_err(AofError::io("open", path))?;
    directory.sync_all().map_err(AofError::io("fsync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path) -> Place {
        Place {
            dir: dir.to_owned(),
            appenddirname: "appendonlydir".into(),
            appendfilename: "appendonly.aof".into(),
        }
    }

    fn manifest_text(dir: &Path) -> String {
        fs::read_to_string(dir.join("appendonlydir/appendonly.aof.manifest")).unwrap()
    }

    #[test]
    fn a_new_directory_has_an_empty_increment_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        for origin in [Origin::New, Origin::Found, Origin::Found] {
            let directory = Directory::open(&place(dir.path())).unwrap();
            assert_eq!(directory.origin(), origin);
            assert_eq!(directory.files().unwrap().len(), 1);
            assert_eq!(directory.open_increment().unwrap().1, Sizes::default());
            assert!(directory.strays().unwrap().is_empty());
        }
        assert_eq!(manifest_text(dir.path()), "file appendonly.aof.1.incr.aof seq 1 type i\n");
    }

    #[test]
    fn adopts_a_single_file_of_old_even_when_stopped_in_between() {
        for stopped in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("appendonly.aof"), b"old").unwrap();
            if stopped {
                fs::create_dir(dir.path().join("appendonlydir")).unwrap();
                let manifest = dir.path().join("appendonlydir/appendonly.aof.manifest");
                fs::write(manifest, "file appendonly.aof seq 1 type b\n").unwrap();
            }
            let directory = Directory::open(&place(dir.path())).unwrap();
            assert_eq!(directory.origin(), Origin::Adopted);
            let files = directory.files().unwrap();
            assert_eq!((files[0].length, files[0].is_base, files[0].is_last), (3, true, false));
            assert_eq!((files[1].length, files[1].is_base, files[1].is_last), (0, false, true));
            assert_eq!(
                manifest_text(dir.path()),
                "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
            );
            assert!(!dir.path().join("appendonly.aof").exists());
        }
    }

    #[test]
    fn refuses_records_without_a_manifest_and_listed_files_that_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        Directory::open(&place(dir.path())).unwrap();
        let inside = dir.path().join("appendonlydir");
        let increment = inside.join("appendonly.aof.1.incr.aof");
        let manifest = inside.join("appendonly.aof.manifest");

        fs::write(&increment, b"x").unwrap();
        let text = fs::read(&manifest).unwrap();
        fs::remove_file(&manifest).unwrap();
        let error = Directory::open(&place(dir.path())).unwrap_err();
        assert!(matches!(error, AofError::NoManifest { .. }), "{error}");

        fs::write(&manifest, text).unwrap();
        fs::remove_file(&increment).unwrap();
        let error = Directory::open(&place(dir.path())).unwrap().files().unwrap_err();
        assert!(matches!(error, AofError::Missing { .. }), "{error}");
    }

    #[test]
    fn deletes_history_after_it_is_off_the_list_and_names_strays() {
        let dir = tempfile::tempdir().unwrap();
        Directory::open(&place(dir.path())).unwrap();
        let inside = dir.path().join("appendonlydir");
        let manifest = inside.join("appendonly.aof.manifest");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, format!("file h seq 1 type h\nfile gone seq 2 type h\n{text}"))
            .unwrap();
        for name in ["h", "appendonly.aof.9.incr.aof", "other"] {
            fs::write(inside.join(name), b"x").unwrap();
        }
        let mut directory = Directory::open(&place(dir.path())).unwrap();
        assert_eq!(directory.strays().unwrap(), [inside.join("appendonly.aof.9.incr.aof")]);
        assert_eq!(directory.delete_history().unwrap(), 2);
        assert!(!inside.join("h").exists());
        assert_eq!(manifest_text(dir.path()), text);
        assert!(inside.join("other").exists());
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = Place { appendfilename: "../x".into(), ..place(dir.path()) };
        let error = Directory::open(&wrong).unwrap_err();
        assert!(error.to_string().starts_with("appendfilename must be"), "{error}");
    }

    #[test]
    fn a_broken_manifest_stops_with_its_path_and_line() {
        let dir = tempfile::tempdir().unwrap();
        Directory::open(&place(dir.path())).unwrap();
        let manifest = dir.path().join("appendonlydir/appendonly.aof.manifest");
        fs::write(&manifest, "file a seq 1 type b\nfile a seq x type i\n").unwrap();
        let error = Directory::open(&place(dir.path())).unwrap_err().to_string();
        assert!(error.contains("appendonly.aof.manifest: line 2: seq must be"), "{error}");
    }

    #[test]
    fn a_new_base_takes_the_place_of_all_that_was_there() {
        let dir = tempfile::tempdir().unwrap();
        Directory::open(&place(dir.path())).unwrap();
        let mut directory = Directory::open_anew(&place(dir.path())).unwrap();
        let before = manifest_text(dir.path());
        std::fs::write(directory.create_base().unwrap().path(), b"base").unwrap();
        assert_eq!(manifest_text(dir.path()), before);
        assert!(Directory::open(&place(dir.path())).unwrap().strays().unwrap().is_empty());
        directory.begin().unwrap();
        assert_eq!(
            manifest_text(dir.path()),
            "file appendonly.aof.1.base.aof seq 1 type b\n\
             file appendonly.aof.2.incr.aof seq 2 type i\n"
        );
        let directory = Directory::open(&place(dir.path())).unwrap();
        let lengths: Vec<u64> =
            directory.files().unwrap().iter().map(|listed| listed.length).collect();
        assert_eq!(lengths, [4, 0]);
        assert!(directory.strays().unwrap().is_empty(), "what was there is deleted");
        directory.create_base().unwrap();
        directory.discard_base();
        assert_eq!(fs::read_dir(dir.path().join("appendonlydir")).unwrap().count(), 3);
    }
}
