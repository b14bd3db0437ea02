//! How the data set comes to the shards at the start: what is read, and what the log and INFO are
//! told of it.

use std::sync::Arc;

use actix::Addr;
use anyhow::Context as _;
use tokio::sync::oneshot;
use tracing::{error, info, warn};
use troupe::aof::directory::Listed;
use troupe::aof::load::{self, Reader};
use troupe::place::StreamPlace;
use troupe::rdb::{Expired, Rules};
use troupe::settings::Settings;
use troupe::snapshot::file::{head_of, place_of};

use super::journal::Starter;
use crate::aof::loader::{Loaded, LoadingShard, Start};
use crate::filesystem::Os;
use crate::pace::pace;
use crate::shard::Shard;

impl Starter {
    /// Reads the snapshot to the shards, if there is one. Returns the stream of replication that it
    /// goes on from: replicas have to hear of keys that have expired meanwhile.
    pub(super) async fn load_snapshot(
        &self,
        settings: &Settings,
    ) -> anyhow::Result<Option<StreamPlace>> {
        let path = settings.dir.join(&settings.dbfilename);
        let Some(snapshot) = load::find_snapshot(&Os, &path)? else { return Ok(None) };
        let began = self.clock.nanos();
        let stream = place_of(&head_of(&Os, &path)?).place();
        let is_primary = settings.replication.replicaof.is_none();
        let now = self.clock.now();
        let expired = if stream.is_some() { Expired::Kept } else { Expired::LeftOut };
        let expired_by = is_primary.then(|| expired(now));
        let rules = Rules::of(settings, expired_by);
        let loaded = self.read(vec![snapshot], rules, settings).await;
        loaded.context("Terminating server after rdb file reading failure")?;
        let seconds = (self.clock.nanos() - began) as f64 / 1e9;
        info!("DB loaded from disk: {seconds:.3} seconds");
        Ok(stream)
    }

    /// A journal begins: what a snapshot holds is in none.
    pub(super) fn warn_of_snapshot(&self, settings: &Settings) {
        let path = settings.dir.join(&settings.dbfilename);
        if matches!(load::find_snapshot(&Os, &path), Ok(Some(_))) {
            warn!(
                "{} is not loaded, since appendonly is yes and there is no journal: to keep what \
                 it holds, start with appendonly no, then CONFIG SET appendonly yes",
                path.display()
            );
        }
    }

    /// Reads files to the shards, on a thread of its own.
    pub(super) async fn read(
        &self,
        files: Vec<Listed>,
        rules: Rules,
        settings: &Settings,
    ) -> anyhow::Result<Loaded> {
        let total_bytes = files.iter().map(|file| file.length).sum();
        self.shared.loading.begin(self.clock.now(), total_bytes);
        let loading = |shard: &Addr<Shard>| LoadingShard {
            load: shard.clone().recipient(),
            lend: shard.clone().recipient(),
        };
        let (pace, _patience) = pace(settings.key_delays.load);
        let start = Start {
            map: self.map.clone(),
            renames: settings.rename_command.clone(),
            shards: self.shards.iter().map(loading).collect(),
            post: self.post.clone(),
            shared: Arc::clone(&self.shared),
            skips_refused: settings.aof_load_skip_refused,
            pace,
        };
        let (sender, receiver) = oneshot::channel();
        std::thread::Builder::new().name("loader".to_owned()).spawn(move || {
            // The starter waits for it.
            let _ = sender.send(start.load_all(Reader::new(Box::new(Os), files, None, rules)));
        })?;
        let loaded = receiver.await.context("the loader ended without a word")?;
        // What follows from that is said later, by who ends the start.
        let mut loaded = loaded.inspect_err(|why| error!("{why}"))?;
        self.tell(&mut loaded);
        Ok(loaded)
    }

    /// Tells of RDB files what they held.
    fn tell(&self, loaded: &mut Loaded) {
        let Loaded { read, empty_keys, .. } = loaded;
        let keys = read.keys - *empty_keys;
        self.shared.loading.loaded(keys, read.expired);
        for name in &read.modules {
            warn!("Data of the module type {name} are not kept: there are no modules");
        }
        if read.keys + read.expired > 0 {
            let expired = read.expired;
            info!(
                "Done loading RDB, keys loaded: {keys}, keys expired: {expired}, empty keys \
                 skipped: {empty_keys}."
            );
        }
    }
}
