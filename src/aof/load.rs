//! Reading the journal back: base and increments in order, block by block.
//!
//! Used at the start for all shards, and for the rebuild of one shard up to a place in the last
//! file. Who reads decides what a record is for, and may stop at any block. A group is given whole
//! or not at all.
//!
//! A torn end of the last file is reported, not cut: `Torn::mend` does that as the setting
//! `aof-load-truncated` says, before anything is appended. Every other fault ends the reading with
//! path, offset and what to do.
//!
//! Memory: one read, and what the scanner holds.

use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::aof::directory::Listed;
use crate::aof::error::AofError;
use crate::aof::rdb;
use crate::aof::record::Block;
use crate::aof::scan::{End, Scanner};
use crate::filesystem::FileSystem;

/// Bytes of one read.
const READ_BYTES: usize = 1024 * 1024;

/// Records that were read, and the file that they are from.
#[derive(Debug)]
pub struct FromFile {
    /// The file; the offsets of the records are places in it.
    pub path: Arc<Path>,
    /// Whole units.
    pub block: Block,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// Records, those of groups counted singly.
    pub records: u64,
    /// Bytes of whole units, base and annotations included.
    pub bytes: u64,
    /// The end of the last file, if it is torn.
    pub torn: Option<Torn>,
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
}

/// Reads the files of a journal. Its calls block.
pub struct Reader {
    system: Box<dyn FileSystem>,
    files: std::vec::IntoIter<Listed>,
    up_to: Option<u64>,
    open: Option<Open>,
    chunk: Vec<u8>,
    read: Read,
}

/// The file that is being read.
struct Open {
    listed: Listed,
    path: Arc<Path>,
    source: io::Take<Box<dyn io::Read + Send>>,
    scanner: Scanner,
    /// Bytes that were read of it.
    length: u64,
    is_read: bool,
}

impl Reader {
    /// A reader of all these files. With `up_to`, the last one is read only to that offset, which
    /// must be the end of a unit.
    pub fn new(system: Box<dyn FileSystem>, files: Vec<Listed>, up_to: Option<u64>) -> Reader {
        let files = files.into_iter();
        Reader {
            system,
            files,
            up_to,
            open: None,
            chunk: vec![0; READ_BYTES],
            read: Read::default(),
        }
    }

    /// The next records; none at the end of the last file.
    ///
    /// # Errors
    /// A file cannot be read, or is damaged. Nothing more can be read then.
    pub fn next_block(&mut self) -> Result<Option<FromFile>, AofError> {
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => match self.files.next() {
                    Some(listed) => Open::new(&*self.system, listed, self.up_to)?,
                    None => return Ok(None),
                },
            };
            let Some(block) = open.next_block(&mut self.chunk)? else {
                open.end(&mut self.read)?;
                continue;
            };
            self.read.records += block.records.len() as u64;
            let path = open.path.clone();
            self.open = Some(open);
            return Ok(Some(FromFile { path, block }));
        }
    }

    /// What was read; the end of a torn file is known when all was.
    pub fn end(self) -> Read {
        self.read
    }
}

impl Open {
    fn new(system: &dyn FileSystem, listed: Listed, up_to: Option<u64>) -> Result<Open, AofError> {
        let opened = system.read(&listed.path).and_then(|file| {
            // It was there when it was listed.
            file.ok_or_else(|| ErrorKind::NotFound.into())
        });
        let file = opened.map_err(AofError::io("open", &listed.path))?;
        let limit = if listed.is_last { up_to } else { None };
        let mut open = Open {
            path: listed.path.as_path().into(),
            listed,
            source: file.take(limit.unwrap_or(u64::MAX)),
            scanner: Scanner::new(0),
            length: 0,
            is_read: false,
        };
        if open.listed.is_base {
            open.read_over_rdb()?;
        }
        Ok(open)
    }

    /// Reads over the RDB part at the start of a base, if there is one.
    fn read_over_rdb(&mut self) -> Result<(), AofError> {
        let path = &self.listed.path;
        let mut head = Vec::new();
        let mut start = self.source.by_ref().take(rdb::EMPTY_BYTES_MAX as u64);
        start.read_to_end(&mut head).map_err(AofError::io("read", path))?;
        let is_named_rdb = path.extension().is_some_and(|ending| ending == "rdb");
        let mut offset = 0;
        if is_named_rdb || rdb::is_rdb(&head) {
            let base = rdb::read_empty(&head);
            offset = base.map_err(|error| AofError::Base { path: path.clone(), error })?.length;
        }
        self.length = head.len() as u64;
        self.scanner = Scanner::new(offset as u64);
        self.scanner.feed(&head[offset..]);
        Ok(())
    }

    fn next_block(&mut self, chunk: &mut [u8]) -> Result<Option<Block>, AofError> {
        let Open { listed, source, scanner, length, is_read, .. } = self;
        let path = &listed.path;
        loop {
            let damaged = |damage| AofError::Damaged { path: path.clone(), damage };
            let block = scanner.next_block().map_err(damaged)?;
            if block.is_some() || *is_read {
                return Ok(block);
            }
            let count = match source.read(chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.map_err(AofError::io("read", path))?,
            };
            *length += count as u64;
            *is_read = count == 0;
            scanner.feed(&chunk[..count]);
        }
    }

    fn end(self, total: &mut Read) -> Result<(), AofError> {
        let Open { listed: Listed { path, is_last, .. }, scanner, length, .. } = self;
        match scanner.finish() {
            Err(damage) => return Err(AofError::Damaged { path, damage }),
            Ok(End::Clean) => total.bytes += length,
            Ok(End::TornTail { valid_up_to }) if is_last => {
                total.bytes += valid_up_to;
                total.torn = Some(Torn { path, valid_up_to, dropped: length - valid_up_to });
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
        let Self { path, valid_up_to, dropped } = self;
        if !aof_load_truncated {
            let (path, valid_up_to, dropped) = (path.clone(), *valid_up_to, *dropped);
            return Err(AofError::TornRefused { path, valid_up_to, dropped });
        }
        let mut file = system.open(path).map_err(AofError::io("open", path))?;
        file.cut(*valid_up_to).map_err(AofError::io("truncate", path))?;
        file.sync().map_err(AofError::io("fdatasync", path))
    }
}

#[cfg(test)]
mod tests;
