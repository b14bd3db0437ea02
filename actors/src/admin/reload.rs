//! DEBUG RELOAD: a snapshot is written, and its file takes the place of what it is of.
//!
//! No write is let in from the snapshot on until its keys are there. The file is loaded on a thread
//! of its own, by a shard that nobody knows (`troupe::aof::apart`), while others read. Then its
//! keys come to all shards at one moment (`troupe::shard::arrival`). Whatever fails before that
//! leaves all as it was.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::oneshot;
use tracing::{info, warn};
use troupe::aof::apart::{self, Apart};
use troupe::aof::load::{self, Read, Reader};
use troupe::aof::loader::LoadError;
use troupe::base::hash::Hasher;
use troupe::commands::action::Reload;
use troupe::commands::error::CommandError;
use troupe::keyspace::contents::Coming;
use troupe::rdb::Rules;
use troupe::shard::arrival::arrival;
use troupe::shard::letter::Letter;

use super::Admin;
use crate::filesystem::Os;
use crate::thread::Thread;

const NOT_SAVED: CommandError = CommandError::Text("ERR");
const NOT_LOADED: CommandError =
    CommandError::Text("ERR Error trying to load the RDB dump, check server logs.");
const NOT_WITH_JOURNAL: CommandError = CommandError::Text(
    "ERR the append only file would not have what the snapshot has: set appendonly to no first",
);

impl Admin {
    /// Carries DEBUG RELOAD out to its end, even when the client goes meanwhile.
    pub(super) async fn reload(
        self: &Arc<Admin>,
        asked: Reload,
        thread: &Thread,
    ) -> Result<(), CommandError> {
        let hasher = thread.with_shard(|shard| shard.hasher().clone());
        let (done, receiver) = oneshot::channel();
        let admin = self.clone();
        actix_rt::spawn(async move {
            let before = admin.pause_writes().await;
            let reloaded = admin.save_and_load(asked, hasher).await;
            admin.end_write_pause(before).await;
            // Who asked may have gone meanwhile.
            let _ = done.send(reloaded);
        });
        receiver.await.unwrap_or(Err(CommandError::Internal))
    }

    async fn save_and_load(
        self: &Arc<Admin>,
        asked: Reload,
        hasher: Hasher,
    ) -> Result<(), CommandError> {
        self.check_journal(asked)?;
        if asked.saves {
            self.save_when_free().await.map_err(|()| NOT_SAVED)?;
        }
        self.hold_snapshots().await;
        let loaded = self.load(asked, hasher).await;
        self.release_snapshots();
        loaded
    }

    /// Whether a journal has what the snapshot has.
    fn check_journal(&self, asked: Reload) -> Result<(), CommandError> {
        if !asked.saves && self.writer().is_some() {
            return Err(NOT_WITH_JOURNAL);
        }
        Ok(())
    }

    async fn load(&self, asked: Reload, hasher: Hasher) -> Result<(), CommandError> {
        let began = self.parts.clock.nanos();
        let (apart, read) = self.load_apart(hasher).await.map_err(|why| not_loaded(&why))?;
        // One may have begun meanwhile.
        self.check_journal(asked)?;
        self.bring(apart, read, asked).await.map_err(|why| not_loaded(&why))?;
        let seconds = (self.parts.clock.nanos() - began) as f64 / 1e9;
        info!("DB reloaded by DEBUG RELOAD: {seconds:.3} seconds");
        Ok(())
    }

    /// Brings what was loaded to all shards.
    async fn bring(&self, apart: Apart, read: Read, asked: Reload) -> anyhow::Result<()> {
        let Apart { contents, empty_keys, left_out } = apart;
        left_out.iter().for_each(|what| warn!("{what}"));
        for name in &read.modules {
            warn!("Data of the module type {name} are not kept: there are no modules");
        }
        let (told, came) = oneshot::channel();
        let told = Box::new(move |outcome| {
            // Who asked waits for it.
            let _ = told.send(outcome);
        });
        let coming = Coming { contents, present: asked.present, told };
        let batch = arrival(coming, self.parts.clock.now());
        self.parts.post.send([(0, Letter::Visit(batch))]);
        came.await??;
        self.parts.shared.loading.loaded(read.keys - empty_keys, read.expired);
        if !read.functions.is_empty() {
            // Those that were loaded before stay.
            let _ = self.parts.shared.functions.set(read.functions);
        }
        Ok(())
    }

    /// Loads the snapshot, on a thread of its own, for shards with this hasher.
    async fn load_apart(&self, hasher: Hasher) -> anyhow::Result<(Apart, Read)> {
        let (settings, now) = (self.settings(), self.parts.clock.now());
        let path = settings.dir.join(&settings.dbfilename);
        let snapshot = load::find_snapshot(&Os, &path)?.context("there is none")?;
        let rules = Rules::of(&settings, Some(now));
        let mut reader = Reader::new(Box::new(Os), vec![snapshot], None, rules);
        let load = move || -> Result<(Apart, Read), LoadError> {
            let apart = apart::load(settings, hasher, &mut reader, now, &mut |_| ())?;
            Ok((apart, reader.end()))
        };
        Ok(tokio::task::spawn_blocking(load).await??)
    }
}

fn not_loaded(why: &anyhow::Error) -> CommandError {
    warn!("The snapshot is not loaded: {why}");
    NOT_LOADED
}
