//! What is in the files of a data set, and what is wrong with them, without a server.
//!
//! Every file is read by the code that loads it at a start, each value is made, and nothing is kept
//! but counts: memory is that of one read, of the longest key, and of the libraries of functions.
//!
//! As a load does, a check ends with the first damage of a file: nobody knows where the next record
//! begins. Values of an RDB file that are damaged have an end, so all of those are named.
//!
//! A finding may offer a cut ([`Torn::mend`]): of a torn tail, or of all that stands behind damage
//! in the file that a journal ends with. Nothing is changed here.
//!
//! Left out: whether a command of a journal would succeed, and whether a name of an RDB file stands
//! there twice. Both take the memory of the data set.

pub mod report;

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::aof::directory::{Listed, listed, read_manifest};
use crate::aof::error::AofError;
use crate::aof::find::{self, Found};
use crate::aof::load::{Content, Reader, Torn};
use crate::aof::manifest::{Manifest, is_journal_name};
use crate::base::hash::Hasher;
use crate::check::report::{FileReport, Finding, Report, Severity};
use crate::filesystem::FileSystem;
use crate::rdb::{Forms, Rules};
use crate::settings::Settings;

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

    /// Looks at a directory: that of a journal, or one that holds it.
    fn look_into(&mut self, path: &Path) -> Result<(), CheckError> {
        let manifests = find::manifests(self.system, path)?;
        manifests.iter().try_for_each(|manifest| self.look_at_journal(manifest))?;
        let names = if manifests.is_empty() { find::names(self.system, path)? } else { Vec::new() };
        for name in names {
            let inside = path.join(&name);
            match self.length(&inside)? {
                Some(length) if find::is_data(&name) => self.look_at(&inside, length)?,
                Some(_) => {}
                None => {
                    let manifests = find::manifests(self.system, &inside)?;
                    manifests.iter().try_for_each(|manifest| self.look_at_journal(manifest))?;
                }
            }
        }
        match self.report.files.is_empty() {
            true => Err(CheckError::Unknown { path: path.to_owned() }),
            false => Ok(()),
        }
    }

    fn look_at(&mut self, path: &Path, length: u64) -> Result<(), CheckError> {
        match find::found(self.system, path)? {
            None => return Err(CheckError::Unknown { path: path.to_owned() }),
            Some(Found::Manifest) => self.look_at_journal(path)?,
            Some(Found::Data(role)) => {
                self.read(&Listed { path: path.to_owned(), length, role, is_last: true });
            }
        }
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
        let (listed, missing) = listed(self.system, path, &manifest)?;
        for path in missing {
            let manifest = file.path.clone();
            file.note(Finding::of(&AofError::Missing { path, manifest }));
        }
        let appendfilename = find::appendfilename(path);
        for name in find::names(self.system, path.parent().unwrap_or(Path::new("")))? {
            if is_journal_name(&appendfilename, &name) && !manifest.names(&name) {
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
            if let (AofError::Damaged { path, valid_up_to, record, .. }, true) =
                (error, listed.is_last)
            {
                let dropped = listed.length.saturating_sub(valid_up_to);
                finding.cut = Some(Torn { path, valid_up_to, dropped, record });
            }
            file.note(finding);
        }
        if let Some(torn) = torn {
            file.note(Finding::of_torn(torn));
        }
        self.report.files.push(file);
    }
}

#[cfg(test)]
mod tests;
