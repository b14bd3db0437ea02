//! DEBUG RELOAD: a snapshot is written, and its file takes the place of what it is of. DEBUG
//! LOADAOF where no journal is on: the files of the last one do so.
//!
//! No write is let in from the snapshot on until its keys are there. Files are loaded on a thread
//! of their own, by a shard that nobody knows (`troupe::aof::apart`), while others read. Then its
//! keys come to all shards at one moment (`troupe::shard::arrival`). Whatever fails before that
//! leaves all as it was.

use std::sync::Arc;

use anyhow::bail;
use tokio::sync::oneshot;
use tracing::{info, warn};
use troupe::aof::apart::{self, Apart};
use troupe::aof::directory::{self, Listed, Location};
use troupe::aof::load::{self, Read, Reader};
use troupe::aof::loader::LoadError;
use troupe::base::hash::Hasher;
use troupe::base::millis::Millis;
use troupe::commands::action::Reload;
use troupe::commands::error::CommandError;
use troupe::keyspace::contents::{Coming, Present};
use troupe::rdb::{Expired, Rules};
use troupe::settings::Settings;
use troupe::shard::arrival::arrival;
use troupe::shard::letter::Letter;

use super::Admin;
use crate::filesystem::Os;
use crate::pace::pace;
use crate::thread::Thread;

const NOT_SAVED: CommandError = CommandError::Text("ERR");
const NOT_LOADED: CommandError =
    CommandError::Text("ERR Error trying to load the RDB dump, check server logs.");
const NOT_WITH_JOURNAL: CommandError = CommandError::Text(
    "ERR the append only file would not have what the snapshot has: set appendonly to no first",
);
const NO_JOURNAL_LOADED: CommandError =
    CommandError::Text("ERR Error trying to load the AOF files, check server logs.");

/// What takes the place of the keys.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// A snapshot.
    Snapshot(Reload),
    /// The files of a journal that is not on.
    Journal,
}

impl Source {
    fn saves(self) -> bool {
        matches!(self, Source::Snapshot(Reload { saves: true, .. }))
    }

    fn present(self) -> Present {
        match self {
            Source::Snapshot(asked) => asked.present,
            Source::Journal => Present::Goes,
        }
    }

    /// What the client hears where it is not loaded.
    fn not_loaded(self, why: &anyhow::Error) -> CommandError {
        match self {
            Source::Snapshot(_) => {
                warn!("The snapshot is not loaded: {why}");
                NOT_LOADED
            }
            Source::Journal => {
                warn!("The append only file is not loaded: {why}");
                NO_JOURNAL_LOADED
            }
        }
    }

    /// The files, in the order of reading.
    fn files(self, settings: &Settings) -> anyhow::Result<Vec<Listed>> {
        let files = match self {
            Source::Snapshot(_) => {
                let path = settings.dir.join(&settings.dbfilename);
                load::find_snapshot(&Os, &path)?.into_iter().collect()
            }
            Source::Journal => {
                let path = Location::of(settings).manifest();
                match directory::read_manifest(&Os, &path)? {
                    Some(manifest) => directory::all_listed(&Os, path, &manifest)?,
                    None => Vec::new(),
                }
            }
        };
        if files.is_empty() {
            bail!("there is none");
        }
        Ok(files)
    }

    /// Those of a journal that has deadlines take them as it had them.
    fn rules(self, settings: &Settings, now: Millis) -> Rules {
        Rules::of(settings, matches!(self, Source::Snapshot(_)).then_some(Expired::LeftOut(now)))
    }
}

impl Admin {
    /// Carries it out to its end, even when the client goes meanwhile.
    pub(super) async fn reload(
        self: &Arc<Admin>,
        source: Source,
        thread: &Thread,
    ) -> Result<(), CommandError> {
        let hasher = thread.with_shard(|shard| shard.hasher().clone());
        let (done, receiver) = oneshot::channel();
        let admin = self.clone();
        actix_rt::spawn(async move {
            admin.hold_writes().await;
            let reloaded = admin.save_and_load(source, hasher).await;
            admin.let_writes_in().await;
            // Who asked may have gone meanwhile.
            let _ = done.send(reloaded);
        });
        receiver.await.unwrap_or(Err(CommandError::Internal))
    }

    async fn save_and_load(
        self: &Arc<Admin>,
        source: Source,
        hasher: Hasher,
    ) -> Result<(), CommandError> {
        self.check_journal(source)?;
        if source.saves() {
            self.save_when_free().await.map_err(|()| NOT_SAVED)?;
        }
        self.hold_snapshots().await;
        let loaded = self.load(source, hasher).await;
        self.release_snapshots();
        loaded
    }

    /// Whether a journal that is on has what is loaded.
    fn check_journal(&self, source: Source) -> Result<(), CommandError> {
        if !source.saves() && self.writer().is_some() {
            return Err(NOT_WITH_JOURNAL);
        }
        Ok(())
    }

    async fn load(&self, source: Source, hasher: Hasher) -> Result<(), CommandError> {
        let began = self.parts.clock.nanos();
        let loaded = self.load_apart(source, hasher).await;
        let (apart, read) = loaded.map_err(|why| source.not_loaded(&why))?;
        // One may have begun meanwhile.
        self.check_journal(source)?;
        self.bring(apart, read, source.present()).await.map_err(|why| source.not_loaded(&why))?;
        let seconds = (self.parts.clock.nanos() - began) as f64 / 1e9;
        let command = match source {
            Source::Snapshot(_) => "DEBUG RELOAD",
            Source::Journal => "DEBUG LOADAOF",
        };
        info!("DB reloaded by {command}: {seconds:.3} seconds");
        Ok(())
    }

    /// Brings what was loaded to all shards.
    pub(super) async fn bring(
        &self,
        apart: Apart,
        read: Read,
        present: Present,
    ) -> anyhow::Result<()> {
        let Apart { contents, libraries, empty_keys, left_out } = apart;
        left_out.iter().for_each(|what| warn!("{what}"));
        for name in &read.modules {
            warn!("Data of the module type {name} are not kept: there are no modules");
        }
        let (told, came) = oneshot::channel();
        let told = Box::new(move |outcome| {
            // Who asked waits for it.
            let _ = told.send(outcome);
        });
        let coming = Coming { contents, present, told };
        let batch = arrival(coming, libraries, self.parts.clock.now());
        self.parts.post.send([(0, Letter::Visit(batch))]);
        came.await??;
        self.parts.shared.loading.loaded(read.keys - empty_keys, read.expired);
        Ok(())
    }

    /// Loads the files, on a thread of its own, for shards with this hasher.
    async fn load_apart(&self, source: Source, hasher: Hasher) -> anyhow::Result<(Apart, Read)> {
        let (settings, now) = (self.settings(), self.parts.clock.now());
        let (files, rules) = (source.files(&settings)?, source.rules(&settings, now));
        self.load_files(files, rules, hasher).await
    }

    /// The same of these files.
    pub(super) async fn load_files(
        &self,
        files: Vec<Listed>,
        rules: Rules,
        hasher: Hasher,
    ) -> anyhow::Result<(Apart, Read)> {
        let (settings, now) = (self.settings(), self.parts.clock.now());
        let mut reader = Reader::new(Box::new(Os), files, None, rules);
        let (mut pace, _patience) = pace(settings.key_delays.load);
        let load = move || -> Result<(Apart, Read), LoadError> {
            let reached = &mut |reader: &Reader| pace.keep(reader);
            let apart = apart::load(settings, hasher, &mut reader, now, reached)?;
            Ok((apart, reader.end()))
        };
        let (apart, read) = tokio::task::spawn_blocking(load).await??;
        if let Some(torn) = &read.torn {
            warn!("{} ends in an unfinished record, which is passed over", torn.path.display());
        }
        Ok((apart, read))
    }
}
