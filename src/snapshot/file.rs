//! The file of a snapshot: written beside its place, read back, and put there.
//!
//! ```text
//! head | fields | functions | sizes of the databases | keys, in runs | end | checksum
//! ```
//!
//! A base of a journal may be made of commands instead: then the keys are all that there is.
//!
//! Each run of keys begins with its database, so runs of all shards may stand in any order. A large
//! value comes in parts, with others between them, and has to stand in one place. So its parts are
//! collected in a file of their own, a spool, until the last of them is there.
//!
//! The head says which servers can read the file, and that depends on its keys: deadlines of fields
//! need a later format than all else. At the start it is guessed, by whether any elements have
//! deadlines at the moment. Where that was wrong, the file is copied behind another head.
//!
//! A snapshot for replicas may go to them as it is made. Then the guess has to do, and only spools
//! are on the disk.
//!
//! Nothing of a file that does not become whole is left on the disk.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

use crate::base::millis::Millis;
use crate::commands::connection::login::REDIS_VERSION;
use crate::filesystem::{FileSystem, OpenFile, Place};
use crate::keyspace::saving::{Chunk, Pieces};
use crate::place::{PlaceFields, StreamPlace};
use crate::rdb::{
    Checksum, Decoder, Dialect, Record, head, put_aux, put_end, put_function, put_sizes,
};
use crate::resp::encode;
use crate::settings::Settings;
use crate::shard::snapshot::Begun;

/// Bytes after which a file is made durable that is made so as it grows.
const SYNC_EVERY: u64 = 4 << 20;

/// Bytes in which a file says what it goes on from.
const HEAD: u64 = 4 * 1024;

/// In the place of a path, for what goes to replicas.
const REPLICAS: &str = "replicas";

/// Bytes that are read at a time.
const BLOCK: usize = 64 * 1024;

/// What a file says of itself.
#[derive(Clone, Debug)]
pub struct About {
    /// The version of Redis that wrote it, so to speak.
    pub version: &'static str,
    /// When, in seconds of unix time.
    pub seconds: i64,
    /// Bytes of memory that the data set took.
    pub used_memory: u64,
    /// It is the base of a journal.
    pub is_base: bool,
    /// It is RDB; else there is nothing in it but the commands that make the keys.
    pub is_rdb: bool,
    /// One that is made of commands says when ahead of them.
    pub notes_time: bool,
    /// It is made durable as it grows, so that the disk is never given all of it at once.
    pub syncs_as_it_grows: bool,
    /// It ends in a checksum; else zero stands there.
    pub has_checksum: bool,
    /// The format of a file with deadlines of fields.
    pub timed: Dialect,
    /// The format of one without.
    pub plain: Dialect,
    /// Where the stream of replication is that makes the data set, where somebody is to go on from
    /// there.
    pub replication: Option<StreamPlace>,
}

impl About {
    /// A snapshot of a server with these settings.
    pub fn snapshot(settings: &Settings, now: Millis) -> About {
        About {
            version: REDIS_VERSION,
            seconds: now.as_secs(),
            used_memory: 0,
            is_base: false,
            is_rdb: true,
            notes_time: false,
            syncs_as_it_grows: settings.rdb_save_incremental_fsync,
            has_checksum: settings.rdbchecksum,
            timed: Dialect::timed(settings.rdb_version),
            plain: Dialect::COMMON,
            replication: None,
        }
    }

    /// The base of a journal of such a server.
    pub fn base(settings: &Settings, now: Millis) -> About {
        About {
            is_base: true,
            is_rdb: settings.aof_use_rdb_preamble,
            notes_time: settings.aof_timestamp_enabled,
            syncs_as_it_grows: settings.aof_rewrite_incremental_fsync,
            ..About::snapshot(settings, now)
        }
    }
}

impl About {
    /// What stands ahead of the sizes of the databases.
    fn head(&self, dialect: Dialect) -> Vec<u8> {
        let mut bytes = head(dialect).to_vec();
        for (name, value) in [
            ("redis-ver", self.version.to_owned()),
            ("redis-bits", "64".to_owned()),
            ("ctime", self.seconds.to_string()),
            ("used-mem", self.used_memory.to_string()),
            ("aof-base", u8::from(self.is_base).to_string()),
        ] {
            put_aux(&mut bytes, name.as_bytes(), value.as_bytes());
        }
        if let Some(StreamPlace { id, offset, db }) = &self.replication {
            put_aux(&mut bytes, b"repl-stream-db", db.to_string().as_bytes());
            put_aux(&mut bytes, b"repl-id", id.as_bytes());
            put_aux(&mut bytes, b"repl-offset", offset.to_string().as_bytes());
        }
        bytes
    }

    /// A whole snapshot without keys: of nothing but libraries of functions, by their sources.
    pub fn without_keys(&self, functions: &[Bytes]) -> Vec<u8> {
        let mut bytes = self.head(Dialect::COMMON);
        functions.iter().for_each(|source| put_function(&mut bytes, source));
        put_end(&mut bytes);
        let mut checksum = Checksum::default();
        checksum.add(&bytes);
        bytes.extend(if self.has_checksum { checksum.bytes() } else { [0; 8] });
        bytes
    }
}

/// The first bytes of a file, in which it says what it goes on from; none where there is no file.
///
/// # Errors
/// It cannot be read.
pub fn head_of(files: &dyn FileSystem, path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    if let Some(file) = files.read(path)? {
        file.take(HEAD).read_to_end(&mut head)?;
    }
    Ok(head)
}

/// What the first bytes of a file say of the place in the stream of replication that it goes on
/// from.
pub fn place_of(bytes: &[u8]) -> PlaceFields {
    let (mut decoder, mut rest) = (Decoder::unchecked(), bytes);
    let mut fields = PlaceFields::default();
    while let Ok(Some((record, length))) = decoder.next(rest, u64::MAX / 2) {
        match record {
            Record::Head(_) => {}
            Record::Aux(name, value) => fields.take(&name, &value),
            _ => break,
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    fields
}

/// The disk has failed.
#[derive(Debug, Error)]
#[error("{operation} {}: {source}", path.display())]
pub struct FileFault {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A file that is being written.
#[derive(Debug)]
struct Written {
    path: PathBuf,
    out: Box<dyn OpenFile>,
    length: u64,
    /// How much of it is durable; none where that is left to the end.
    synced: Option<u64>,
    checksum: Checksum,
}

/// The file of a snapshot.
#[derive(Debug)]
pub struct SnapshotFile {
    files: Box<dyn FileSystem>,
    place: Place,
    about: About,
    /// Where it goes instead of a file, until it has begun.
    stream: Option<Box<dyn OpenFile>>,
    is_streamed: bool,
    /// What is written, once it has begun, in this format.
    written: Option<Written>,
    dialect: Dialect,
    has_timed_fields: bool,
    spools: BTreeMap<u64, Written>,
    /// What is on the disk and has to go.
    temporary: Vec<PathBuf>,
}

impl SnapshotFile {
    /// A file that is to be.
    pub fn new(files: Box<dyn FileSystem>, place: Place, about: About) -> SnapshotFile {
        SnapshotFile {
            files,
            place,
            about,
            stream: None,
            is_streamed: false,
            written: None,
            dialect: Dialect::COMMON,
            has_timed_fields: false,
            spools: BTreeMap::new(),
            temporary: Vec::new(),
        }
    }

    /// One that goes to `stream` as it is made. Its spools stand in the directory of `place`.
    pub fn to_stream(
        stream: Box<dyn OpenFile>,
        files: Box<dyn FileSystem>,
        place: Place,
        about: About,
    ) -> SnapshotFile {
        let mut file = SnapshotFile::new(files, place, about);
        (file.stream, file.is_streamed) = (Some(stream), true);
        file
    }

    /// Writes what stands ahead of the keys.
    ///
    /// # Errors
    /// [`FileFault`].
    pub fn begin(&mut self, begun: &Begun) -> Result<(), FileFault> {
        if !self.about.is_rdb {
            let mut written = self.create(".aof")?;
            let mut bytes = Vec::new();
            if self.about.notes_time {
                bytes.extend(format!("#TS:{}\r\n", self.about.seconds).into_bytes());
            }
            for source in &begun.functions {
                encode::command(&mut bytes, &[b"FUNCTION", b"LOAD", source]);
            }
            let result = written.append(&bytes);
            self.written = Some(written);
            return result;
        }
        self.dialect = self.format(begun.has_deadlines_inside);
        let mut bytes = self.about.head(self.dialect);
        begun.functions.iter().for_each(|source| put_function(&mut bytes, source));
        for (db, keys, timed) in &begun.databases {
            put_sizes(&mut bytes, *db, *keys, *timed);
        }
        let mut written = match self.stream.take() {
            Some(out) => Written::new(PathBuf::from(REPLICAS), out, None),
            None => self.create(".rdb")?,
        };
        let result = written.append(&bytes);
        self.written = Some(written);
        result
    }

    /// Writes what a shard has saved.
    ///
    /// # Errors
    /// [`FileFault`].
    pub fn add(&mut self, pieces: &Pieces) -> Result<(), FileFault> {
        self.has_timed_fields |= pieces.has_timed_fields;
        if !pieces.records.is_empty() {
            self.append(&pieces.records)?;
        }
        pieces.chunks.iter().try_for_each(|chunk| self.add_chunk(chunk))
    }

    fn add_chunk(&mut self, chunk: &Chunk) -> Result<(), FileFault> {
        if chunk.is_last && !self.spools.contains_key(&chunk.spool) {
            return self.append(&chunk.bytes);
        }
        if !self.spools.contains_key(&chunk.spool) {
            let spool = self.create(&format!("-{}.spool", chunk.spool))?;
            self.spools.insert(chunk.spool, spool);
        }
        let Some(spool) = self.spools.get_mut(&chunk.spool) else { return Ok(()) };
        spool.append(&chunk.bytes)?;
        if !chunk.is_last {
            return Ok(());
        }
        let (path, length) = (spool.path.clone(), spool.length);
        let copied = each_block(&*self.files, &path, 0, length, |block| match &mut self.written {
            Some(written) => written.append(block),
            None => Ok(()),
        });
        copied?;
        self.spools.remove(&chunk.spool);
        self.remove(&path)
    }

    /// Ends the file, reads it back, and puts it in its place. Returns its length.
    ///
    /// # Errors
    /// [`FileFault`].
    pub fn finish(mut self) -> Result<u64, FileFault> {
        let dialect = self.format(self.has_timed_fields);
        if self.about.is_rdb && dialect != self.dialect && !self.is_streamed {
            self.copy_as(dialect)?;
        }
        let Some(written) = &mut self.written else { return Ok(0) };
        let mut last = Vec::new();
        if self.about.is_rdb {
            let mut end = Vec::new();
            put_end(&mut end);
            written.append(&end)?;
            last.extend(if self.about.has_checksum { written.checksum.bytes() } else { [0; 8] });
        } else if let Some(place) = &self.about.replication {
            // All commands are ahead of it.
            written.append(place.annotation().as_bytes())?;
        }
        let checksum = written.checksum;
        written.append(&last)?;
        if self.is_streamed {
            return Ok(written.length);
        }
        written.out.sync().map_err(failed("fsync", &written.path))?;
        let (path, length) = (written.path.clone(), written.length);
        let mut found = Checksum::default();
        let body = length - last.len() as u64;
        each_block(&*self.files, &path, 0, body, |block| {
            found.add(block);
            Ok(())
        })?;
        if found != checksum {
            let other = io::Error::other("what is read is not what was written");
            return Err(failed("read", &path)(other));
        }
        let place = self.place.directory.join(&self.place.name);
        self.files.rename(&path, &place).map_err(failed("rename", &path))?;
        self.temporary.retain(|there| *there != path);
        let directory = &self.place.directory;
        self.files.sync_directory(directory).map_err(failed("fsync", directory))?;
        Ok(length)
    }

    fn format(&self, has_timed_fields: bool) -> Dialect {
        if has_timed_fields { self.about.timed } else { self.about.plain }
    }

    /// Copies what is written behind the head of another format.
    fn copy_as(&mut self, dialect: Dialect) -> Result<(), FileFault> {
        let mut copy = self.create("-copy.rdb")?;
        let Some(written) = &self.written else { return Ok(()) };
        let start = head(dialect);
        let copied = copy.append(&start).and_then(|()| {
            let (path, skipped) = (&written.path, start.len() as u64);
            each_block(&*self.files, path, skipped, written.length, |block| copy.append(block))
        });
        let old = written.path.clone();
        self.written = Some(copy);
        copied.and_then(|()| self.remove(&old))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FileFault> {
        self.written.as_mut().map_or(Ok(()), |written| written.append(bytes))
    }

    fn create(&mut self, end: &str) -> Result<Written, FileFault> {
        let path = self.place.directory.join(format!("{}{end}", self.place.temporary));
        self.temporary.push(path.clone());
        let out = self.files.create(&path).map_err(failed("open", &path))?;
        let synced = self.about.syncs_as_it_grows.then_some(0);
        Ok(Written::new(path, out, synced))
    }

    fn remove(&mut self, path: &Path) -> Result<(), FileFault> {
        self.files.remove(path).map_err(failed("unlink", path))?;
        self.temporary.retain(|there| there != path);
        Ok(())
    }
}

impl Written {
    fn new(path: PathBuf, out: Box<dyn OpenFile>, synced: Option<u64>) -> Written {
        Written { path, out, length: 0, synced, checksum: Checksum::default() }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FileFault> {
        self.out.append(bytes).map_err(failed("write", &self.path))?;
        self.length += bytes.len() as u64;
        self.checksum.add(bytes);
        if self.synced.is_some_and(|synced| self.length - synced >= SYNC_EVERY) {
            self.out.sync().map_err(failed("fsync", &self.path))?;
            self.synced = Some(self.length);
        }
        Ok(())
    }
}

impl Drop for SnapshotFile {
    /// What is not in its place by now never will be. There is nobody to tell of a fault.
    fn drop(&mut self) {
        self.temporary.iter().for_each(|path| drop(self.files.remove(path)));
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileFault {
    let path = path.to_owned();
    move |source| FileFault { operation, path, source }
}

/// Hands on the bytes of a file from `start` to `end`, block by block.
fn each_block(
    files: &dyn FileSystem,
    path: &Path,
    start: u64,
    end: u64,
    mut each: impl FnMut(&[u8]) -> Result<(), FileFault>,
) -> Result<(), FileFault> {
    let read = files.read(path).and_then(|file| file.ok_or(io::ErrorKind::NotFound.into()));
    let mut file = read.map_err(failed("open", path))?;
    let (mut block, mut at) = (vec![0; BLOCK], 0);
    while at < end {
        let wanted = if at < start { start - at } else { end - at };
        let block = &mut block[..usize::try_from(wanted).unwrap_or(BLOCK).min(BLOCK)];
        file.read_exact(block).map_err(failed("read", path))?;
        if at >= start {
            each(block)?;
        }
        at += block.len() as u64;
    }
    Ok(())
}
