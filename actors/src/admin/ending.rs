//! The end of the server, as SHUTDOWN and signals ask for it: until it may come, or is called off.
//!
//! One end is under way at a time. Who asks for one meanwhile waits for what comes of that, and it
//! goes on when its client has gone. No write is let in from its beginning on. It may be called off
//! until replicas have all or have had their time. Where the server has to live on, writes are let
//! in again, and all clients that wait hear that it has not ended.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};
use troupe::commands::action::Shutdown;
use troupe::commands::error::CommandError;
use troupe::question::{KillKind, Question};
use troupe::resp::Reply;

use super::Admin;
use crate::message::shard::Disturb;
use crate::message::snapshot::Mail;

/// How often is looked whether replicas have all.
const LOOK: Duration = Duration::from_millis(10);

/// How long the writer of snapshots has to remove what it has not finished.
const TIDY: Duration = Duration::from_secs(1);

/// In the place of a client.
const NOBODY: u64 = 0;

/// The end that is under way, if one is.
#[derive(Debug, Default)]
pub(super) struct Ending {
    is_under_way: bool,
    /// Who hears that it is called off, as long as that may be.
    call_off: Option<oneshot::Sender<()>>,
    is_called_off: bool,
    /// Until when it waits for replicas, by the steady clock, while it does.
    until_ms: Option<u64>,
    /// Clients that have asked for it. What they hold becomes void when the server lives on.
    clients: Vec<oneshot::Sender<()>>,
}

/// The server lives on. The log says why.
#[derive(Debug)]
struct LivesOn;

impl Admin {
    /// SHUTDOWN.
    pub(super) async fn shutdown(
        self: &Arc<Admin>,
        asked: Shutdown,
        reply: &mut Reply<'_>,
    ) -> Result<(), CommandError> {
        if asked.abort {
            let none = CommandError::Text("ERR No shutdown in progress.");
            return self.abort_end().then(|| reply.ok()).ok_or(none);
        }
        let (waits, lives_on) = oneshot::channel();
        self.begin_end(asked, Some(waits));
        // There is no reply where it ends: the connection closes with the server.
        let _ = lives_on.await;
        Err(CommandError::Text("ERR Errors trying to SHUTDOWN. Check logs."))
    }

    /// Ends the server when that may be, unless an end is under way. Who is told of that is one of
    /// the parts. What a client gives is dropped when the server lives on.
    pub fn begin_end(self: &Arc<Admin>, asked: Shutdown, client: Option<oneshot::Sender<()>>) {
        let (call_off, called_off) = oneshot::channel();
        {
            let mut ending = self.ending();
            ending.clients.extend(client);
            if std::mem::replace(&mut ending.is_under_way, true) {
                return;
            }
            ending.call_off = Some(call_off).filter(|_| !asked.now);
        }
        info!("User requested shutdown...");
        let admin = self.clone();
        actix_rt::spawn(async move {
            let ended = admin.come_to_end(asked, called_off).await;
            if ended.is_err() || admin.parts.shutdown.send(()).is_err() {
                *admin.ending() = Ending::default();
            }
        });
    }

    /// Whether an end is under way.
    pub fn is_ending(&self) -> bool {
        self.ending().is_under_way
    }

    /// For how long the end waits for replicas still, in milliseconds, while it does.
    pub(super) fn ends_in_ms(&self) -> Option<u64> {
        let until_ms = self.ending().until_ms?;
        Some(until_ms.saturating_sub(self.parts.clock.steady_ms()))
    }

    /// How many clients wait for the end.
    pub(super) fn count_waiting_for_end(&self) -> u64 {
        self.ending().clients.iter().filter(|client| !client.is_closed()).count() as u64
    }

    /// What a snapshot has left that is not finished is gone when this returns, unless the disk
    /// takes too long for that. No other one should be begun.
    pub async fn drop_snapshot(&self) {
        let (gone, is_gone) = oneshot::channel();
        self.parts.snapshots.send(Mail::End(gone), true);
        // The server ends either way.
        let _ = timeout(TIDY, is_gone).await;
    }

    /// SHUTDOWN ABORT. Returns false where there is nothing to call off.
    fn abort_end(&self) -> bool {
        let mut ending = self.ending();
        let Some(call_off) = ending.call_off.take() else { return false };
        ending.is_called_off = true;
        info!("Shutdown manually aborted.");
        // Where nobody waits yet, it is looked at later.
        let _ = call_off.send(());
        true
    }

    /// The end cannot be called off from here on.
    ///
    /// # Errors
    /// Where it has been.
    fn settle_end(&self) -> Result<(), LivesOn> {
        let mut ending = self.ending();
        (ending.call_off, ending.until_ms) = (None, None);
        if ending.is_called_off { Err(LivesOn) } else { Ok(()) }
    }

    /// Waits for replicas, unless the end is to come now, and writes the last snapshot, where one
    /// is asked for, or nothing is said and `save` wants some.
    async fn come_to_end(
        self: &Arc<Admin>,
        asked: Shutdown,
        called_off: oneshot::Receiver<()>,
    ) -> Result<(), LivesOn> {
        let is_loading = self.parts.shared.loading.progress().is_some();
        let saves = asked.save.unwrap_or_else(|| !self.settings().save.is_empty()) && !is_loading;
        if !saves && !self.parts.shared.replicas.are_any() {
            return self.settle_end();
        }
        // Between two batches it is known which part of its stream makes the data set.
        let is_known = self.parts.shared.upstream.hold().await;
        self.hold_writes().await;
        if saves {
            // A snapshot needs the slots that they hold.
            self.ask_all(Question::KillScripts(KillKind::All)).await;
        }
        // What expires behind the last snapshot would be news to replicas.
        self.expire_actively(false).await;
        if !asked.now {
            self.wait_for_replicas(called_off).await;
        }
        let ended = match self.settle_end() {
            Ok(()) => self.save_if_asked(asked, saves, is_known).await,
            Err(lives_on) => Err(lives_on),
        };
        if ended.is_err() {
            self.parts.shared.upstream.release();
            self.expire_actively(true).await;
            self.let_writes_in().await;
        }
        ended
    }

    /// Writes the last snapshot, where one is asked for.
    async fn save_if_asked(
        self: &Arc<Admin>,
        asked: Shutdown,
        saves: bool,
        is_known: bool,
    ) -> Result<(), LivesOn> {
        self.count_replicas();
        if !saves || self.save_at_end(is_known).await.is_ok() {
            return Ok(());
        }
        if asked.force {
            warn!("Error trying to save the DB. Exit anyway.");
            return Ok(());
        }
        error!("Error trying to save the DB, can't exit.");
        error!("Errors trying to shut down the server. Check the logs for more information.");
        Err(LivesOn)
    }

    /// Whether keys are taken out when they expire, or only when they are looked at.
    async fn expire_actively(&self, on: bool) {
        let shards = &self.parts.shards;
        shards.iter().for_each(|shard| shard.disturb.do_send(Disturb::ActiveExpire(on)));
        self.ask_all(Question::Nothing).await;
    }

    /// Waits until replicas have all that was written until now, as long as `shutdown-timeout`
    /// says, unless somebody calls the end off.
    async fn wait_for_replicas(&self, called_off: oneshot::Receiver<()>) {
        let replicas = &self.parts.shared.replicas;
        self.stream_place().await;
        if replicas.all_have_all() {
            return;
        }
        info!("Waiting for replicas before shutting down.");
        let patience = Duration::from_secs(self.settings().shutdown.timeout.into());
        let until_ms = self.parts.clock.steady_ms() + patience.as_millis() as u64;
        self.ending().until_ms = Some(until_ms);
        let all_have_all = async {
            replicas.ask(NOBODY);
            self.stream_place().await;
            while !replicas.all_have_all() {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            // Those that lag are named later.
            _ = timeout(patience, all_have_all) => {}
            // The sender stays until then, or has sent.
            _ = called_off => {}
        }
    }

    /// The log says which replicas lack something.
    fn count_replicas(&self) {
        let rows = self.parts.shared.replicas.figures(self.parts.clock.steady_ms()).replicas;
        if rows.is_empty() {
            return;
        }
        let lagging = rows.iter().filter(|row| row.lacks > 0 || !row.is_online);
        let mut lag = 0;
        for row in lagging {
            warn!(
                "Lagging replica {}:{} reported offset {} behind primary, lag={}, state={}.",
                row.address, row.port, row.lacks, row.lag_seconds, row.state
            );
            lag += 1;
        }
        let all = rows.len();
        info!("{} of {all} replicas are in sync when shutting down.", all - lag);
    }

    /// Writes the last snapshot, which says where replicas can go on.
    ///
    /// # Errors
    /// When there is none; the log says why.
    async fn save_at_end(self: &Arc<Admin>, is_known: bool) -> Result<(), ()> {
        info!("Saving the final RDB snapshot before exiting.");
        self.saves().is_last = true;
        self.give_up_snapshot();
        let stream = self.stream_place().await.filter(|_| is_known);
        self.saves().stream = stream;
        let saved = self.save_when_free().await;
        let mut saves = self.saves();
        (saves.is_last, saves.stream) = (false, None);
        saved
    }

    fn ending(&self) -> MutexGuard<'_, Ending> {
        self.ending.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
