//! What is in the files of a data set, and what is wrong with them, without a server.
//!
//! Every file is read by the code that loads it at a start, each value is made, and nothing is kept
//! but counts: memory is that of one read and of the longest key. A journal is read over its
//! damage no more than a load is, so of each file the first damage is named; values of an RDB file
//! are apart from each other, and of those all that are damaged.
//!
//! What is named as a torn tail may be cut off (`Torn::mend`), and so may all that stands behind
//! damage in the file that a journal ends with. Nothing else is ever changed, and nothing at all
//! here.
//!
//! Left out: whether a command of a journal would succeed, and whether a name of an RDB file stands
//! there twice. Both take the memory of the data set.

pub mod report;

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::aof::directory::{Listed, Role, read_manifest};
use crate::aof::error::AofError;
use crate::aof::load::{Content, Reader, Torn};
use crate::aof::manifest::{Manifest, is_journal_name};
use crate::base::hash::Hasher;
use crate::check::report::{FileReport, Finding, Report, Severity};
use crate::filesystem::FileSystem;
use crate::rdb::{self, Forms, Rules};
use crate::settings::Settings;

/// Bytes by which it is known what a file is.
const WORD_BYTES: u64 = 9;

/// Every database that there may be, every key, and the checksum.
const RULES: Rules = Rules { databases: u32::MAX, checks: true, expired_by: None };

/// Why nothing was looked at.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The system refused a call.
    #[error(transparent)]
    Io(#[from] AofError),
    /// It is none of ours.
    #[error(
        "{}: this is no RDB file, no journal, no manifest, and no directory with any of them",
        path.display()
    )]
    Unknown {
        /// What was to be looked at.
        path: PathBuf,
    },
}

/// Hears how many bytes of a file were read, and how many there are.
pub type Reached<'a> = &'a mut dyn FnMut(u64, u64);

/// Looks at files.
struct Checker<'a, F> {
    system: &'a F,
    settings: Settings,
    hasher: &'a Hasher,
    report: Report,
    reached: Reached<'a>,
}

/// Looks at a file, at an append-only directory, or at a directory that holds such things.
///
/// # Errors
/// [`CheckError`], where nothing can be said of it. A file that cannot be read is a finding.
pub fn check<F: FileSystem + Clone + 'static>(
    system: &F,
    path: &Path,
    hasher: &Hasher,
    reached: Reached<'_>,
) -> Result<Report, CheckError> {
    let (settings, report) = (Settings::default(), Report::default());
    let mut checker = Checker { system, settings, hasher, report, reached };
    match checker.length(path)? {
        Some(length) => checker.look_at(path, length)?,
        None => checker.look_into(path)?,
    }
    Ok(checker.report)
}

impl<F: FileSystem + Clone + 'static> Checker<'_, F> {
    fn length(&self, path: &Path) -> Result<Option<u64>, AofError> {
        self.system.length(path).map_err(AofError::io("stat", path))
    }

    /// The names in a directory that are text, in order.
    fn names(&self, path: &Path) -> Result<Vec<String>, AofError> {
        let names = self.system.names(path).map_err(AofError::io("readdir", path))?;
        let mut names: Vec<_> = names.into_iter().flat_map(|name| name.into_string()).collect();
        names.sort();
        Ok(names)
    }

    /// Looks at a directory: that of a journal, or one that holds it.
    fn look_into(&mut self, path: &Path) -> Result<(), CheckError> {
        let names = self.names(path)?;
        let is_journal = names.iter().any(|name| is_manifest(name));
        for name in &names {
            let inside = path.join(name);
            match self.length(&inside)? {
                Some(_) if is_journal && is_manifest(name) => self.look_at_journal(&inside)?,
                Some(length) if !is_journal && is_data(name) => self.look_at(&inside, length)?,
                None if !is_journal => self.look_for_journal(&inside)?,
                _ => {}
            }
        }
        match self.report.files.is_empty() {
            true => Err(CheckError::Unknown { path: path.to_owned() }),
            false => Ok(()),
        }
    }

    /// Looks at a directory inside of another if it is that of a journal.
    fn look_for_journal(&mut self, path: &Path) -> Result<(), AofError> {
        let names = match self.names(path) {
            // Something else, or gone meanwhile.
            Err(AofError::Io { source, .. })
                if matches!(source.kind(), ErrorKind::NotADirectory | ErrorKind::NotFound) =>
            {
                return Ok(());
            }
            names => names?,
        };
        for name in names.iter().filter(|name| is_manifest(name)) {
            self.look_at_journal(&path.join(name))?;
        }
        Ok(())
    }

    fn look_at(&mut self, path: &Path, length: u64) -> Result<(), CheckError> {
        let mut word = Vec::new();
        let opened = self.system.read(path).map_err(AofError::io("open", path))?;
        if let Some(file) = opened {
            let read = file.take(WORD_BYTES).read_to_end(&mut word);
            read.map_err(AofError::io("read", path))?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let opens_journal = word.starts_with(b"*") || word.starts_with(b"#");
        let role = match () {
            () if word.starts_with(b"file ") || is_manifest(&name) => {
                return Ok(self.look_at_journal(path)?);
            }
            () if name.ends_with(".rdb") => Role::Snapshot,
            () if name.ends_with(".aof") => Role::Base,
            () if opens_journal || rdb::opens_file(&word) => Role::Base,
            () => return Err(CheckError::Unknown { path: path.to_owned() }),
        };
        self.read(&Listed { path: path.to_owned(), length, role, is_last: true });
        Ok(())
    }

    /// Looks at a manifest and at all files that it lists.
    fn look_at_journal(&mut self, path: &Path) -> Result<(), AofError> {
        let mut file = FileReport::new(path, self.length(path)?.unwrap_or_default());
        let manifest = match read_manifest(self.system, path) {
            Ok(manifest) => manifest.unwrap_or_default(),
            Err(error) => {
                file.note(Finding::of(&error));
                Manifest::default()
            }
        };
        let directory = path.parent().unwrap_or(Path::new(""));
        let mut listed = Vec::new();
        for (entry, role) in (manifest.base.iter().map(|base| (base, Role::Base)))
            .chain(manifest.increments.iter().map(|entry| (entry, Role::Increment)))
        {
            let path = directory.join(&entry.name);
            match self.length(&path)? {
                Some(length) => listed.push(Listed { path, length, role, is_last: false }),
                None => {
                    let manifest = file.path.clone();
                    file.note(Finding::of(&AofError::Missing { path, manifest }));
                }
            }
        }
        if let Some(last) = listed.last_mut() {
            last.is_last = true;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let appendfilename = name.strip_suffix(MANIFEST).unwrap_or_default();
        for name in self.names(directory)? {
            if is_journal_name(appendfilename, &name) && !manifest.names(&name) {
                let what = format!("{name} is in no manifest: it is not read, and not removed");
                file.note(Finding::new(Severity::Note, None, what));
            }
        }
        file.manifest = Some(manifest);
        self.report.files.push(file);
        listed.iter().for_each(|file| self.read(file));
        Ok(())
    }

    /// Reads a file from its start to its end, or to its damage.
    fn read(&mut self, listed: &Listed) {
        let mut file = FileReport::new(&listed.path, listed.length);
        let system = Box::new(self.system.clone());
        let mut reader = Reader::new(system, vec![listed.clone()], None, RULES);
        let forms = Forms::of(&self.settings, self.hasher);
        let outcome = loop {
            match reader.next_block() {
                Ok(Some(from)) => match from.content {
                    Content::Keys(raw) => file.add_keys(&raw, forms),
                    Content::Records(block) => file.add_records(&block),
                },
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            (self.reached)(reader.position(), listed.length);
        };
        let mut read = reader.end();
        let torn = read.torn.take();
        file.add_read(read);
        if let Err(error) = outcome {
            let mut finding = Finding::of(&error);
            if let (AofError::Damaged { path, valid_up_to, .. }, true) = (error, listed.is_last) {
                let dropped = listed.length.saturating_sub(valid_up_to);
                finding.cut = Some(Torn { path, valid_up_to, dropped });
            }
            file.note(finding);
        }
        if let Some(torn) = torn {
            file.note(Finding::of_torn(torn));
        }
        self.report.files.push(file);
    }
}

const MANIFEST: &str = ".manifest";

/// Whether a file of this name is the manifest of a journal, and not one that was to be.
fn is_manifest(name: &str) -> bool {
    name.ends_with(MANIFEST) && !name.starts_with("temp")
}

/// Whether a file of this name in the directory of a server holds data, and is not half written.
fn is_data(name: &str) -> bool {
    (name.ends_with(".rdb") || name.ends_with(".aof")) && !name.starts_with("temp")
}

#[cfg(test)]
mod tests;
