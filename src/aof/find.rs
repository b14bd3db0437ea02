//! What somebody means by the path of a file or of a directory, where no settings say it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::aof::directory::Role;
use crate::aof::error::AofError;
use crate::aof::load::first_bytes;
use crate::filesystem::FileSystem;
use crate::rdb;

const MANIFEST: &str = ".manifest";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The manifest of a journal.
    Manifest,
    /// A snapshot, or a file of a journal, which may begin as a snapshot does.
    Data(Role),
}

/// What a file is; nothing where it is none of ours. Its name says whether what begins as an RDB
/// file may go on as a journal.
///
/// # Errors
/// It cannot be read.
pub fn found(system: &dyn FileSystem, path: &Path) -> Result<Option<Found>, AofError> {
    let word = match system.read(path).map_err(AofError::io("open", path))? {
        Some(mut file) => first_bytes(&mut file, path)?,
        None => Vec::new(),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let opens_journal = word.starts_with(b"*") || word.starts_with(b"#");
    Ok(match () {
        () if word.starts_with(b"file ") || is_manifest(&name) => Some(Found::Manifest),
        () if name.ends_with(".rdb") => Some(Found::Data(Role::Snapshot)),
        () if name.ends_with(".aof") || opens_journal || rdb::opens_file(&word) => {
            Some(Found::Data(Role::Base))
        }
        () => None,
    })
}

/// The `appendfilename` of the journal whose manifest this is.
pub fn appendfilename(manifest: &Path) -> String {
    let name = manifest.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(MANIFEST).unwrap_or(&name).to_owned()
}

/// The names in a directory that are text, in order; none where it is not there, or no directory.
///
/// # Errors
/// It cannot be read.
pub fn names(system: &dyn FileSystem, path: &Path) -> Result<Vec<String>, AofError> {
    let names = match system.names(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::NotFound) => {
            return Ok(Vec::new());
        }
        names => names.map_err(AofError::io("readdir", path))?,
    };
    let mut names: Vec<_> = names.into_iter().flat_map(|name| name.into_string()).collect();
    names.sort();
    Ok(names)
}

/// The manifests of journals in a directory, in order; none where it is not there.
///
/// # Errors
/// It cannot be read.
pub fn manifests(system: &dyn FileSystem, path: &Path) -> Result<Vec<PathBuf>, AofError> {
    let names = names(system, path)?;
    Ok(names.iter().filter(|name| is_manifest(name)).map(|name| path.join(name)).collect())
}

/// Whether a file of this name in the directory of a server holds data, and is not half written.
pub fn is_data(name: &str) -> bool {
    (name.ends_with(".rdb") || name.ends_with(".aof")) && !name.starts_with("temp")
}

/// Whether a file of this name is the manifest of a journal, and not one that was to be.
fn is_manifest(name: &str) -> bool {
    name.ends_with(MANIFEST) && !name.starts_with("temp")
}
