//! Reading files back, block by block: base and increments of a journal in order, or a snapshot.
//!
//! Used at the start for all shards, and for the rebuild of one shard up to a place in the last
//! file. Who reads decides what a block is for, and may stop at any. A group is given whole or not
//! at all. Keys of an RDB file are given as they stand there: their values are made by the shards.
//!
//! A torn end of the last file is reported, not cut: `Torn::mend` does that as the setting
//! `aof-load-truncated` says, before anything is appended. Every other fault ends the reading with
//! path, offset and what to do; so does an RDB file that is cut short.
//!
//! Memory: one read, and what the scanner or the cutter holds.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::aof::directory::{Listed, Role};
use crate::aof::error::AofError;
use crate::aof::record::Block;
use crate::aof::scan::{End, Scanner};
use crate::filesystem::FileSystem;
use crate::place::{PlaceFields, StreamPlace};
use crate::rdb::{self, Cutter, Dialect, Piece, RawKeys, Rules};

/// Bytes of one read.
const READ_BYTES: usize = 1024 * 1024;

/// Fields about an RDB file as a whole that are kept, and bytes that are kept of each. Servers
/// write about ten short ones.
const FIELDS_MAX: usize = 64;
const FIELD_BYTES_MAX: usize = 256;

/// Bytes by which it is known what a file is.
const WORD_BYTES: u64 = 9;

/// What was read, and the file that it is from.
#[derive(Debug)]
pub struct FromFile {
    /// The file.
    pub path: Arc<Path>,
    /// What stands there.
    pub content: Content,
}

/// A block of a file. Offsets in it are places in the file.
#[derive(Debug)]
pub enum Content {
    /// Whole units of a journal.
    Records(Block),
    /// Keys of an RDB file.
    Keys(RawKeys),
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// Records, those of groups counted singly.
    pub records: u64,
    /// Keys of RDB files.
    pub keys: u64,
    /// Keys of RDB files that had expired, and are not among those.
    pub expired: u64,
    /// Bytes of whole units, base and annotations included.
    pub bytes: u64,
    /// The end of the last file, if it is torn.
    pub torn: Option<Torn>,
    /// The format of the last RDB file.
    pub dialect: Option<Dialect>,
    /// What RDB files say of themselves, the first of it: names, and what is said.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The place in a stream of replication that a journal makes, where it says so behind all else.
    pub place: Option<StreamPlace>,
    /// Sources of libraries of functions.
    pub functions: Vec<Vec<u8>>,
    /// Types of modules that have left data about no key. Nothing of those is kept.
    pub modules: BTreeSet<String>,
}

/// An unfinished record or transaction at the end of the last file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub path: PathBuf,
    /// Where the last whole unit ends.
    pub valid_up_to: u64,
    /// Bytes behind it.
    pub dropped: u64,
    /// The first words of the record that is not finished, as far as they are there.
    pub record: String,
}

/// Reads files. Its calls block.
pub struct Reader {
    system: Box<dyn FileSystem>,
    files: std::vec::IntoIter<Listed>,
    rules: Rules,
    up_to: Option<u64>,
    open: Option<Open>,
    chunk: Vec<u8>,
    read: Read,
    /// Bytes of the files that were read to their ends.
    behind: u64,
    /// What stands behind libraries that were given as records.
    held: Option<FromFile>,
}

/// The file that is being read.
struct Open {
    listed: Listed,
    path: Arc<Path>,
    source: io::Take<Box<dyn io::Read + Send>>,
    stage: Stage,
    /// Bytes that were read of it.
    length: u64,
    is_read: bool,
    /// What its head says of a place in a stream of replication.
    head: PlaceFields,
}

/// What is being read of a file.
enum Stage {
    Rdb(Cutter),
    Records(Scanner),
    /// Nothing any more: what stands behind a snapshot is nobody's.
    Over,
}

/// The bytes by which it is known what a file is; fewer where it has no more.
pub(super) fn first_bytes(file: &mut dyn io::Read, path: &Path) -> Result<Vec<u8>, AofError> {
    let mut word = Vec::new();
    let read = file.take(WORD_BYTES).read_to_end(&mut word);
    read.map_err(AofError::io("read", path))?;
    Ok(word)
}

/// The snapshot of this name, if there is one.
///
/// # Errors
/// It cannot be looked at.
pub fn find_snapshot(system: &dyn FileSystem, path: &Path) -> Result<Option<Listed>, AofError> {
    let length = system.length(path).map_err(AofError::io("stat", path))?;
    let listed =
        |length| Listed { path: path.to_owned(), length, role: Role::Snapshot, is_last: true };
    Ok(length.map(listed))
}

impl Reader {
    /// A reader of all these files. With `up_to`, the last one is read only to that offset, which
    /// must be the end of a unit.
    pub fn new(
        system: Box<dyn FileSystem>,
        files: Vec<Listed>,
        up_to: Option<u64>,
        rules: Rules,
    ) -> Reader {
        Reader {
            system,
            files: files.into_iter(),
            rules,
            up_to,
            open: None,
            chunk: vec![0; READ_BYTES],
            read: Read::default(),
            held: None,
            behind: 0,
        }
    }

    /// The next block; none at the end of the last file.
    ///
    /// # Errors
    /// A file cannot be read, or is damaged. Nothing more can be read then.
    pub fn next_block(&mut self) -> Result<Option<FromFile>, AofError> {
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => match self.files.next() {
                    Some(listed) => Open::new(&*self.system, listed, self.up_to, self.rules)?,
                    None => return Ok(None),
                },
            };
            let Some(content) = open.next_block(&mut self.chunk, &mut self.read)? else {
                self.behind += open.length;
                open.end(&mut self.read)?;
                continue;
            };
            let path = open.path.clone();
            self.open = Some(open);
            return Ok(Some(FromFile { path, content }));
        }
    }

    /// Bytes that were read so far.
    pub fn position(&self) -> u64 {
        self.behind + self.open.as_ref().map_or(0, |open| open.length)
    }

    /// Keys and records that were read so far.
    pub fn keys_and_records(&self) -> u64 {
        self.read.keys + self.read.records
    }

    /// As [`Reader::next_block`], for shards: what a snapshot holds of libraries of functions comes
    /// as records that load them, ahead of what follows.
    ///
    /// # Errors
    /// [`AofError`].
    pub fn next_for_shards(&mut self) -> Result<Option<FromFile>, AofError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let next = self.next_block()?;
        let sources = self.take_functions();
        if sources.is_empty() {
            return Ok(next);
        }
        let path = next.as_ref().map_or_else(|| Path::new("").into(), |next| next.path.clone());
        self.held = next;
        Ok(Some(FromFile { path, content: Content::Records(Block::of_libraries(&sources)) }))
    }

    /// Sources of libraries of functions that were read since the last question.
    pub fn take_functions(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.read.functions)
    }

    /// What was read; the end of a torn file is known when all was.
    pub fn end(self) -> Read {
        self.read
    }
}

impl Open {
    fn new(
        system: &dyn FileSystem,
        listed: Listed,
        up_to: Option<u64>,
        rules: Rules,
    ) -> Result<Open, AofError> {
        let opened = system.read(&listed.path).and_then(|file| {
            // It was there when it was listed.
            file.ok_or_else(|| ErrorKind::NotFound.into())
        });
        let file = opened.map_err(AofError::io("open", &listed.path))?;
        let limit = if listed.is_last { up_to } else { None };
        let mut source = file.take(limit.unwrap_or(u64::MAX));
        let word = first_bytes(&mut source, &listed.path)?;
        let is_rdb = match listed.role {
            Role::Snapshot => true,
            Role::Base => {
                let is_named_rdb = listed.path.extension().is_some_and(|ending| ending == "rdb");
                is_named_rdb || rdb::opens_file(&word)
            }
            Role::Increment => false,
        };
        let stage = if is_rdb {
            let mut cutter = Cutter::new(rules);
            cutter.feed(&word);
            Stage::Rdb(cutter)
        } else {
            let mut scanner = Scanner::new(0);
            scanner.feed(&word);
            Stage::Records(scanner)
        };
        let (path, length) = (listed.path.as_path().into(), word.len() as u64);
        let head = PlaceFields::default();
        Ok(Open { path, listed, source, stage, length, is_read: false, head })
    }

    /// The next block. What is in no block is noted in `total`.
    fn next_block(
        &mut self,
        chunk: &mut [u8],
        total: &mut Read,
    ) -> Result<Option<Content>, AofError> {
        loop {
            let left = self.listed.length.saturating_sub(self.length);
            let more = if self.is_read { 0 } else { left };
            let path = &self.listed.path;
            match &mut self.stage {
                Stage::Rdb(cutter) => {
                    let piece = cutter.next_piece(more).map_err(|error| {
                        let key = cutter.key_at_fault();
                        AofError::Rdb { path: path.clone(), key, error }
                    });
                    total.dialect = cutter.dialect().or(total.dialect);
                    match piece? {
                        Some(Piece::Keys(raw)) => {
                            total.keys += raw.keys.len() as u64;
                            return Ok(Some(Content::Keys(raw)));
                        }
                        Some(Piece::Field(mut name, mut said)) => {
                            self.head.take(&name, &said);
                            if total.fields.len() < FIELDS_MAX {
                                name.truncate(FIELD_BYTES_MAX);
                                said.truncate(FIELD_BYTES_MAX);
                                total.fields.push((name, said));
                            }
                        }
                        Some(Piece::Function(source)) => total.functions.push(source),
                        Some(Piece::Module(name)) => drop(total.modules.insert(name)),
                        Some(Piece::End) => self.end_rdb(total),
                        None => self.fill(chunk)?,
                    }
                }
                Stage::Records(scanner) => {
                    let block = scanner.next_block().map_err(|damage| {
                        let (valid_up_to, record) = (scanner.position(), scanner.open_record());
                        AofError::Damaged { path: path.clone(), valid_up_to, record, damage }
                    });
                    if let Some(block) = block? {
                        total.place = None;
                        total.records += block.records.len() as u64;
                        return Ok(Some(Content::Records(block)));
                    }
                    if self.is_read {
                        return Ok(None);
                    }
                    self.fill(chunk)?;
                }
                Stage::Over => return Ok(None),
            }
        }
    }

    /// Reads some more of the file.
    fn fill(&mut self, chunk: &mut [u8]) -> Result<(), AofError> {
        let count = loop {
            match self.source.read(chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(AofError::io("read", &self.listed.path))?,
            }
        };
        self.length += count as u64;
        self.is_read = count == 0;
        match &mut self.stage {
            Stage::Rdb(cutter) => cutter.feed(&chunk[..count]),
            Stage::Records(scanner) => scanner.feed(&chunk[..count]),
            Stage::Over => {}
        }
        Ok(())
    }

    /// The RDB part is read. In a journal, records may follow it.
    fn end_rdb(&mut self, total: &mut Read) {
        let Stage::Rdb(cutter) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        total.expired += cutter.expired();
        if self.listed.role != Role::Snapshot {
            total.place = self.head.place();
            let (offset, rest) = cutter.into_rest();
            let mut scanner = Scanner::new(offset as u64);
            scanner.feed(&rest);
            self.stage = Stage::Records(scanner);
        }
    }

    fn end(self, total: &mut Read) -> Result<(), AofError> {
        let Open { listed: Listed { path, is_last, .. }, stage, length, .. } = self;
        let Stage::Records(scanner) = stage else {
            total.bytes += length;
            return Ok(());
        };
        if let Some(place) = scanner.place() {
            total.place = Some(place.clone());
        }
        let (valid_up_to, record) = (scanner.position(), scanner.open_record());
        match scanner.finish() {
            Err(damage) => return Err(AofError::Damaged { path, valid_up_to, record, damage }),
            Ok(End::Clean) => total.bytes += length,
            Ok(End::TornTail { valid_up_to }) if is_last => {
                total.bytes += valid_up_to;
                let dropped = length - valid_up_to;
                total.torn = Some(Torn { path, valid_up_to, dropped, record });
            }
            Ok(End::TornTail { valid_up_to }) => {
                return Err(AofError::TornInside { path, valid_up_to });
            }
        }
        Ok(())
    }
}

impl Torn {
    /// Cuts the tail off, or refuses, as `aof-load-truncated` says. That it is cut is for the log.
    pub fn mend(&self, system: &dyn FileSystem, aof_load_truncated: bool) -> Result<(), AofError> {
        let Self { path, valid_up_to, .. } = self;
        if !aof_load_truncated {
            return Err(AofError::TornRefused(self.clone()));
        }
        let mut file = system.open(path).map_err(AofError::io("open", path))?;
        file.cut(*valid_up_to).map_err(AofError::io("truncate", path))?;
        file.sync().map_err(AofError::io("fdatasync", path))
    }
}

#[cfg(test)]
mod tests;
