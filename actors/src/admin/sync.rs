//! The snapshot of a full sync: received into a file, loaded by a shard apart while the old data is
//! served, and brought to all shards at one moment.
//!
//! A journal does not have what comes: it ends ahead of that, and begins anew behind it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use troupe::aof::load;
use troupe::filesystem::FileSystem as _;
use troupe::keyspace::contents::Present;
use troupe::rdb::Rules;
use troupe::replication::Transfer;
use troupe::snapshot::file::{head_of, place_of};

use super::Admin;
use super::following::read_line;
use crate::filesystem::Os;
use crate::shared::Shared;

/// Bytes that are read at a time, and how many such blocks may wait for the disk.
const BLOCK: usize = 64 * 1024;
const BLOCKS_WAITING: usize = 16;

/// How long it waits before it tries again to begin a journal.
const AGAIN: Duration = Duration::from_secs(1);

/// A file that is gone when it is not needed any more.
pub(super) struct Received(PathBuf);

impl Drop for Received {
    fn drop(&mut self) {
        // It may not even have been made.
        let _ = Os.remove(&self.0);
    }
}

/// Receives the snapshot that a primary sends next, into a file at this place.
pub(super) async fn receive(
    stream: &mut TcpStream,
    path: PathBuf,
    patience: Duration,
    shared: &Arc<Shared>,
) -> anyhow::Result<Received> {
    let mut transfer = loop {
        if let Some(transfer) = Transfer::announced(&read_line(stream, patience).await?)? {
            break transfer;
        }
    };
    let total = match &transfer {
        Transfer::Length(length) => Some(*length),
        Transfer::Mark { .. } => None,
    };
    match total {
        Some(total) => info!("MASTER <-> REPLICA sync: receiving {total} bytes to disk"),
        None => info!("MASTER <-> REPLICA sync: receiving streamed RDB with EOF to disk"),
    }
    let received = Received(path.clone());
    let (blocks, to_write) = mpsc::channel(BLOCKS_WAITING);
    let written = tokio::task::spawn_blocking(move || write(&path, to_write));
    let mut read = 0;
    shared.upstream.set_sync(total, read);
    while !transfer.is_whole() {
        let mut block = vec![0; transfer.wanted(BLOCK)];
        let count = timeout(patience, stream.read(&mut block)).await??;
        if count == 0 {
            bail!("the primary has closed the connection before its snapshot was whole");
        }
        block.truncate(count);
        read += count as u64;
        shared.upstream.set_sync(total, read);
        let known = transfer.take(block);
        if blocks.send(known).await.is_err() {
            break;
        }
    }
    drop(blocks);
    written.await??;
    Ok(received)
}

/// Writes a file of what comes.
fn write(path: &Path, mut blocks: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let mut file = Os.create(path)?;
    while let Some(block) = blocks.blocking_recv() {
        file.append(&block)?;
    }
    Ok(())
}

impl Admin {
    /// The data set is that of a snapshot from here on, which the stream with this id goes on from
    /// at this offset.
    ///
    /// # Errors
    /// Why not. Nothing has changed, but that a journal may have ended.
    pub(super) async fn install(
        self: &Arc<Admin>,
        snapshot: Received,
        id: String,
        offset: u64,
    ) -> anyhow::Result<()> {
        self.hold_snapshots().await;
        let installed = self.load_and_bring(snapshot, id, offset).await;
        self.release_snapshots();
        self.begin_journal_again().await;
        installed
    }

    async fn load_and_bring(
        self: &Arc<Admin>,
        snapshot: Received,
        id: String,
        offset: u64,
    ) -> anyhow::Result<()> {
        let path = &snapshot.0;
        let Some(hasher) = self.hasher.get().cloned() else { bail!("there is no shard yet") };
        let files: Vec<_> = load::find_snapshot(&Os, path)?.into_iter().collect();
        // What has expired goes when the primary says so.
        let rules = Rules::of(&self.settings(), None);
        let db = place_of(&head_of(&Os, path)?).db.unwrap_or(0);
        if db >= rules.databases {
            bail!("its stream goes on in database {db}: set databases to more than that");
        }
        let (apart, read) = self.load_files(files, rules, hasher).await?;
        self.end_journal().await.map_err(|()| anyhow!("the append only file stays on"))?;
        // What was lost of the data set before is no loss any more.
        drop(self.parts.shared.upstream.take_lost());
        self.bring(apart, read, Present::Goes).await?;
        self.parts.shared.replicas.follow_from(id, offset);
        self.parts.shared.upstream.set_db(db);
        self.knows_stream();
        Ok(())
    }

    /// Begins the journal that ended for the sake of a snapshot, however often that takes.
    async fn begin_journal_again(self: &Arc<Admin>) {
        let settings = self.settings();
        if !settings.appendonly || self.writer().is_some() {
            return;
        }
        while self.begin_journal(&settings).await.is_err() {
            warn!("The append only file is begun again in a moment");
            sleep(AGAIN).await;
        }
    }
}
