//! Reading the journal back: base and increments in order, record by record, to a sink.
//!
//! Used at the start for all shards, and for the rebuild of one shard up to a place in the last
//! file. The reader blocks and reads ahead by one block; the sink decides what a record is for, and
//! may end the reading. A group is handed out whole or not at all.
//!
//! A torn end of the last file is reported, not cut: `Torn::mend` does that as the setting
//! `aof-load-truncated` says, before anything is appended. Every other fault ends the reading with
//! path, offset and what to do.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::path::PathBuf;

use troupe::aof::rdb;
use troupe::aof::record::Block;
use troupe::aof::scan::{End, Scanner};

use super::disk::Listed;
use super::error::AofError;

/// Bytes of one read.
const READ_BYTES: usize = 1024 * 1024;

/// Records that were read, and the file that they are from.
#[derive(Debug)]
pub struct FromFile<'a> {
    /// The file; the offsets of the records are places in it.
    pub file: &'a Listed,
    /// Whole units.
    pub block: Block,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<B> {
    /// Records, those of groups counted singly.
    pub records: u64,
    /// Bytes of whole units, base and annotations included.
    pub bytes: u64,
    /// The end of the last file, if it is torn.
    pub torn: Option<Torn>,
    /// What the sink broke off with.
    pub stopped: Option<B>,
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

/// Reads all files. With `up_to`, the last file is read only to that offset, which must be the end
/// of a unit.
pub fn read<B>(
    files: &[Listed],
    up_to: Option<u64>,
    sink: &mut dyn FnMut(FromFile<'_>) -> ControlFlow<B>,
) -> Result<Read<B>, AofError> {
    let mut total = Read { records: 0, bytes: 0, torn: None, stopped: None };
    for file in files {
        let limit = if file.is_last { up_to } else { None };
        read_file(file, limit, sink, &mut total)?;
        if total.stopped.is_some() {
            break;
        }
    }
    Ok(total)
}

fn read_file<B>(
    listed: &Listed,
    limit: Option<u64>,
    sink: &mut dyn FnMut(FromFile<'_>) -> ControlFlow<B>,
    total: &mut Read<B>,
) -> Result<(), AofError> {
    let path = &listed.path;
    let mut file = File::open(path).map_err(AofError::io("open", path))?;
    let start = skip_base(listed, &mut file)?;
    let mut file = file.take(limit.map_or(u64::MAX, |limit| limit.saturating_sub(start)));
    let mut scanner = Scanner::new(start);
    let mut chunk = vec![0; READ_BYTES];
    let mut length = start;
    loop {
        let count = match file.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(AofError::Io { operation: "read", path: path.clone(), source });
            }
        };
        length += count as u64;
        scanner.feed(&chunk[..count]);
        let damaged = |damage| AofError::Damaged { path: path.clone(), damage };
        while let Some(block) = scanner.next_block().map_err(damaged)? {
            total.records += block.records.len() as u64;
            if let ControlFlow::Break(why) = sink(FromFile { file: listed, block }) {
                total.stopped = Some(why);
                return Ok(());
            }
        }
        if count == 0 {
            break;
        }
    }
    end_file(listed, scanner, length, total)
}

fn end_file<B>(
    listed: &Listed,
    scanner: Scanner,
    length: u64,
    total: &mut Read<B>,
) -> Result<(), AofError> {
    let path = listed.path.clone();
    match scanner.finish() {
        Err(damage) => return Err(AofError::Damaged { path, damage }),
        Ok(End::Clean) => total.bytes += length,
        Ok(End::TornTail { valid_up_to }) if listed.is_last => {
            total.bytes += valid_up_to;
            total.torn = Some(Torn { path, valid_up_to, dropped: length - valid_up_to });
        }
        Ok(End::TornTail { valid_up_to }) => {
            return Err(AofError::TornInside { path, valid_up_to });
        }
    }
    Ok(())
}

/// Reads over the RDB part at the start of a base, if there is one, and places the file behind it.
fn skip_base(listed: &Listed, file: &mut File) -> Result<u64, AofError> {
    if !listed.is_base {
        return Ok(0);
    }
    let path = &listed.path;
    let mut head = Vec::new();
    let mut start = file.by_ref().take(rdb::EMPTY_BYTES_MAX as u64);
    start.read_to_end(&mut head).map_err(AofError::io("read", path))?;
    let is_named_rdb = path.extension().is_some_and(|ending| ending == "rdb");
    let offset = if is_named_rdb || rdb::is_rdb(&head) {
        let base =
            rdb::read_empty(&head).map_err(|error| AofError::Base { path: path.clone(), error })?;
        base.length as u64
    } else {
        0
    };
    file.seek(SeekFrom::Start(offset)).map_err(AofError::io("seek", path))?;
    Ok(offset)
}

impl Torn {
    /// Cuts the tail off and says so in the log, or refuses, as `aof-load-truncated` says.
    pub fn mend(&self, aof_load_truncated: bool) -> Result<(), AofError> {
        let Self { path, valid_up_to, dropped } = self;
        if !aof_load_truncated {
            let (path, valid_up_to, dropped) = (path.clone(), *valid_up_to, *dropped);
            return Err(AofError::TornRefused { path, valid_up_to, dropped });
        }
        let file = File::options().write(true).open(path).map_err(AofError::io("open", path))?;
        file.set_len(*valid_up_to).map_err(AofError::io("truncate", path))?;
        file.sync_all().map_err(AofError::io("fsync", path))?;
        tracing::warn!(
            path = %path.display(), offset = valid_up_to, dropped_bytes = dropped,
            "cut an unfinished record off the end of the AOF (aof-load-truncated is yes)"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests;
