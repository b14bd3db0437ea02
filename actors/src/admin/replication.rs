//! Who tends the replicas: the stream is recorded while there are any, snapshots are made for those
//! that need one, and those that get no further are closed.
//!
//! A shell: what is due, and what each replica gets, the core decides (`troupe::replication`).

use std::convert::Infallible;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::{info, warn};
use troupe::commands::action::SyncRequest;
use troupe::filesystem::{FileSystem as _, OpenFile, Place};
use troupe::keyspace::effect::Purpose;
use troupe::keyspace::saving::{Form, Moment};
use troupe::place::StreamPlace;
use troupe::question::Question;
use troupe::rdb::Dialect;
use troupe::replication::{Arrival, Cut, FullSync};
use troupe::session::Session;
use troupe::settings::Settings;
use troupe::shard::letter::Letter;
use troupe::snapshot::Outcome;
use troupe::snapshot::file::{About, SnapshotFile};

use super::Admin;
use super::journal::{Writer, ask};
use super::snapshots::{For, next_number};
use crate::filesystem::Os;
use crate::message::aof::{HandOn, Listen, Replicate};
use crate::message::snapshot::Mail;
use crate::shared::Shared;
use crate::thread::Thread;
use crate::upstream::Still;

/// How often replicas are looked after.
const EVERY: Duration = Duration::from_millis(100);

const NO_REST: &str = "the stream of the primary does not come to rest";

/// Bytes of a file that are read at a time.
const BLOCK: usize = 64 * 1024;

impl Admin {
    /// PSYNC and SYNC: the client is a replica from now on.
    pub(super) fn attach(&self, request: SyncRequest, session: &Session, thread: &Thread) {
        let presented = session.presented.as_deref().cloned().unwrap_or_default();
        let settings = self.settings();
        let stub = presented.is_without_data.then(|| {
            let functions = match presented.is_without_functions {
                true => Vec::new(),
                false => thread.with_shard(|shard| shard.libraries().sources()),
            };
            self.about_sync(&settings, Dialect::COMMON).without_keys(&functions)
        });
        let address = session.peer.address.rsplit_once(':').map_or("", |(address, _)| address);
        let address = address.trim_start_matches('[').trim_end_matches(']').to_owned();
        info!("Replica {address}:{} asks for synchronization", presented.port);
        let arrival = Arrival { client: session.id, address, presented, request, stub };
        self.parts.shared.replicas.attach(arrival, self.parts.clock.steady_ms());
    }

    /// Looks after the replicas, for as long as the server lives.
    pub async fn tend_replicas(self: Arc<Admin>) {
        loop {
            let replicas = &self.parts.shared.replicas;
            if replicas.are_any() || replicas.is_on() {
                let _ = tokio::time::timeout(EVERY, replicas.need_care()).await;
            } else {
                replicas.need_care().await;
            }
            self.tend().await;
        }
    }

    /// Tells shards how many replicas keep up, where that has changed.
    pub(super) fn tell_of_good_replicas(&self, settings: &Settings) {
        let now_ms = self.parts.clock.steady_ms();
        if let Some(good) = self.parts.shared.replicas.good_news(settings, now_ms) {
            self.parts.post.send_all(|| Letter::GoodReplicas(good));
        }
    }

    /// Does what is due.
    async fn tend(self: &Arc<Admin>) {
        let replicas = &self.parts.shared.replicas;
        let (settings, now_ms) = (self.settings(), self.parts.clock.steady_ms());
        if replicas.are_any() && !replicas.is_on() {
            self.record_stream(true).await;
        }
        let tick = replicas.tick(&settings, self.paused().is_some(), now_ms);
        self.parts.shared.memory.lags(tick.lagging);
        for (client, why) in &tick.cut {
            warn!("Replica {client} is disconnected: {why}");
            let is_over = u64::from(*why == Cut::Lags);
            self.parts.shared.cut_for_output.fetch_add(is_over, Ordering::Relaxed);
        }
        if tick.is_ping_due {
            replicas.ping();
        }
        if tick.ends {
            info!("Replication backlog freed after {} s", settings.replication.repl_backlog_ttl);
            self.record_stream(false).await;
        }
        self.tell_of_good_replicas(&settings);
        if let Some(is_held) = replicas.hold_news(now_ms) {
            self.parts.post.send_all(|| Letter::HeldUp(is_held));
        }
        if replicas.is_sync_due(&settings, now_ms) && self.claim_snapshot() {
            let admin = self.clone();
            actix_rt::spawn(async move { admin.full_sync(&settings).await });
        }
    }

    /// Where the stream of effects has its order, with a journal or without. The data set may be
    /// that of another run, whose stream of replication had this id and has ended at this offset.
    /// To be called before anything is changed.
    pub async fn met_stream(&self, writer: Writer, ended: Option<StreamPlace>) {
        self.parts.shared.replicas.meet(writer.put.clone());
        // There is one.
        let _ = self.stream.set(writer);
        if self.settings().replication.replicaof.is_some() {
            return self.follow_from_start(ended);
        }
        if let Some(StreamPlace { id, offset, .. }) = ended {
            self.record_stream(true).await;
            self.parts.shared.replicas.go_on_from(id, offset, self.parts.clock.steady_ms());
        }
    }

    /// The id of the stream, and its offset behind all that was appended until now, while it is
    /// recorded.
    pub(super) async fn stream_place(&self) -> Option<StreamPlace> {
        let replicas = &self.parts.shared.replicas;
        if replicas.is_on()
            && !replicas.follows()
            && let Some(stream) = self.stream.get()
        {
            let one = self.handing_on.clone().lock_owned().await;
            let _ = ask(&stream.hand_on, |asks| HandOn(one, asks)).await;
        }
        let db = if replicas.follows() { self.parts.shared.upstream.db() } else { 0 };
        replicas.place().map(|(id, offset)| StreamPlace { id, offset, db })
    }

    /// Has effects recorded for replicas, or no more. Returns when it is so.
    pub(super) async fn record_stream(&self, on: bool) {
        let Some(stream) = self.stream.get() else { return };
        let tell_shards = || {
            for shard in &self.parts.shards {
                let appends = stream.appends.clone();
                shard.replicate.do_send(Replicate { appends, on });
            }
        };
        if on {
            tell_shards();
            self.ask_all(Question::Nothing).await;
        }
        // It is on or off: nothing can go wrong but that the server ends.
        let _ = ask(&stream.listen, |asks| Listen(on, asks)).await;
        if !on {
            tell_shards();
        }
    }

    /// Makes a snapshot for the replicas that wait for one, and sends it.
    async fn full_sync(&self, settings: &Settings) {
        let number = next_number();
        let Some(sync) = self.parts.shared.replicas.begin_sync(number, settings) else {
            return self.release_snapshots();
        };
        let target = if sync.is_streamed { "replicas sockets" } else { "disk" };
        info!("Starting BGSAVE for SYNC with target: {target}");
        let place = place_of(number, settings);
        let outcome = tokio::select! {
            outcome = self.snapshot_for(sync, &place, settings) => outcome,
            never = self.give_up_unwanted(number) => match never {},
        };
        self.release_snapshots();
        let replicas = &self.parts.shared.replicas;
        match outcome {
            Ok(_) if sync.is_streamed => replicas.sync_is_whole(number),
            Ok(length) => {
                replicas.file_is_there(number, length);
                let shared = self.parts.shared.clone();
                let sent = tokio::task::spawn_blocking(move || send_file(number, &place, &shared));
                if let Err(why) = sent.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    warn!("SYNC failed: {why}");
                    replicas.sync_failed(number);
                }
            }
            Err(why) => {
                warn!("SYNC failed: {why}");
                replicas.sync_failed(number);
            }
        }
    }

    /// Gives up the snapshot with this number when no replica waits for it any more. It is the one
    /// that is being written.
    async fn give_up_unwanted(&self, number: u32) -> Infallible {
        while self.parts.shared.replicas.is_sync_wanted(number) {
            tokio::time::sleep(EVERY).await;
        }
        self.parts.snapshots.send(Mail::GiveUp("no replica waits for it any more"), true);
        std::future::pending().await
    }

    /// The snapshot of a full sync, on its way to the replicas or as a file.
    async fn snapshot_for(
        &self,
        sync: FullSync,
        place: &Place,
        settings: &Settings,
    ) -> Result<u64, String> {
        let follows = self.parts.shared.replicas.follows();
        // The stream of another server has no place for a moment: it stands still meanwhile.
        let still = match follows {
            true => Some(self.parts.shared.upstream.stand_still().await.ok_or(NO_REST)?),
            false => None,
        };
        let mut about = self.about_sync(settings, sync.timed);
        if follows {
            about.replication = self.stream_place().await;
        }
        let file = match sync.is_streamed {
            false => SnapshotFile::new(Box::new(Os), place.clone(), about),
            true => {
                let stream = ToReplicas { number: sync.number, shared: self.parts.shared.clone() };
                SnapshotFile::to_stream(Box::new(stream), Box::new(Os), place.clone(), about)
            }
        };
        let form = Form::Rdb { compresses: settings.rdbcompression, version: sync.timed.version };
        let usual = self.moment(sync.number, settings);
        let purpose = if follows { usual.purpose } else { Purpose::FullSync };
        if follows {
            self.parts.shared.replicas.take_moment(sync.number);
        }
        self.take_snapshot_of_stream(Moment { form, purpose, ..usual }, file, still).await
    }

    /// Has a snapshot written into this file. The stream stands still until its moment is over.
    pub(super) async fn take_snapshot_of_stream(
        &self,
        moment: Moment,
        file: SnapshotFile,
        still: Option<Still<'_>>,
    ) -> Outcome {
        let (over, is_over) = oneshot::channel();
        let outcome = self.take_snapshot_to(moment, file, For::Waiter, Some(over));
        // Told, or dropped untold.
        let _ = is_over.await;
        drop(still);
        outcome.await.unwrap_or_else(|_| Err("its writer has ended".to_owned()))
    }

    fn about_sync(&self, settings: &Settings, timed: Dialect) -> About {
        let about = About::snapshot(settings, self.parts.clock.now());
        About { timed, ..about }
    }

    /// A snapshot begins to be made, unless something else is. Returns false then.
    fn claim_snapshot(&self) -> bool {
        let mut saves = self.saves();
        let is_free = !saves.are_taken() && self.rewrites().since.is_none();
        if is_free {
            saves.claim(self.parts.clock.now());
        }
        is_free
    }
}

/// Where the file of a full sync stands while it is sent.
fn place_of(number: u32, settings: &Settings) -> Place {
    let temporary = format!("temp-{}-sync-{number}", std::process::id());
    Place { directory: settings.dir.clone(), name: format!("{temporary}.rdb"), temporary }
}

/// Sends a file to the replicas that wait for it, and removes it.
fn send_file(number: u32, place: &Place, shared: &Shared) -> io::Result<()> {
    let path = place.directory.join(&place.name);
    let mut file = Os.read(&path)?.ok_or(io::ErrorKind::NotFound)?;
    // It can be read to its end all the same.
    Os.remove(&path)?;
    loop {
        let mut block = vec![0; BLOCK];
        let count = file.read(&mut block)?;
        block.truncate(count);
        if count == 0 {
            shared.replicas.sync_is_whole(number);
            return Ok(());
        }
        if !shared.replicas.push(number, &Bytes::from(block)) {
            return Ok(());
        }
    }
}

/// A snapshot that goes to replicas as it is made. Whoever makes it waits for them.
#[derive(Debug)]
struct ToReplicas {
    number: u32,
    shared: Arc<Shared>,
}

impl OpenFile for ToReplicas {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.shared.replicas.push(self.number, &Bytes::copy_from_slice(bytes)) {
            true => Ok(()),
            false => Err(io::Error::other("no replica waits for it any more")),
        }
    }

    /// What has been sent is not on any disk here.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        Err(io::Error::other("what has been sent cannot be taken back"))
    }

    fn length(&self) -> io::Result<u64> {
        Err(io::Error::other("what has been sent is not kept"))
    }
}
