//! SAVE, BGSAVE, and the snapshots that `save` asks for: when one begins, and what came of it.
//!
//! A shell: what is written, and whether it is whole, the core decides (`troupe::snapshot`). One
//! snapshot is written at a time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{info, warn};
use troupe::base::millis::Millis;
use troupe::commands::action::Save;
use troupe::commands::error::CommandError;
use troupe::filesystem::Place;
use troupe::hook::answer::Answer;
use troupe::keyspace::effect::Purpose;
use troupe::keyspace::saving::Moment;
use troupe::place::StreamPlace;
use troupe::question::{Detail, Question};
use troupe::resp::Reply;
use troupe::settings::Settings;
use troupe::shard::letter::Letter;
use troupe::shard::snapshot;
use troupe::snapshot::file::{About, SnapshotFile};
use troupe::snapshot::{OUTDATED, Outcome, Snapshot};
use troupe::stats::facts::SnapshotFacts;

use super::Admin;
use crate::allocator;
use crate::filesystem::Os;
use crate::message::snapshot::{Mail, Mails};

/// Numbers of snapshots: each is above those before.
static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// How often is looked whether a snapshot is due.
pub(super) const EVERY: Duration = Duration::from_millis(100);

/// After a failure this long nothing is due, in milliseconds.
const RETRY_MS: i64 = 5_000;

const IN_PROGRESS: CommandError = CommandError::Text("ERR Background save already in progress");
const NOT_IN_PROGRESS: CommandError =
    CommandError::Text("ERR Background saving is currently not in progress or scheduled");
const OTHER_CHILD: CommandError = CommandError::Text(
    "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in \
     order to schedule a BGSAVE whenever possible.",
);
const CANCELLED: &str = "it was cancelled";

/// Who wants a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Somebody who waits until it is whole.
    Waiter,
    /// Nobody who waits: FLUSHALL ends it.
    Background,
}

/// The snapshots so far.
#[derive(Debug)]
pub(super) struct Saves {
    /// Since when one is being written.
    since: Option<Millis>,
    is_scheduled: bool,
    has_failed: bool,
    last_seconds: Option<u64>,
    last_save: Millis,
    last_try: Option<Millis>,
    changes_at_last_save: u64,
    count: u64,
    /// The next one is the last: nothing is written for the journal or for replicas any more.
    pub(super) is_last: bool,
    /// That one says that the stream of replication goes on from here.
    pub(super) stream: Option<StreamPlace>,
}

impl Saves {
    /// None yet.
    pub(super) fn new(now: Millis) -> Saves {
        Saves {
            since: None,
            is_scheduled: false,
            has_failed: false,
            last_seconds: None,
            last_save: now,
            last_try: None,
            changes_at_last_save: 0,
            count: 0,
            is_last: false,
            stream: None,
        }
    }

    /// What INFO says.
    pub(super) fn facts(&self, now: Millis) -> SnapshotFacts {
        SnapshotFacts {
            last_save: self.last_save,
            changes_at_last_save: self.changes_at_last_save,
            has_failed: self.has_failed,
            last_seconds: self.last_seconds,
            current_seconds: self.since.map(|since| seconds(since, now)),
            count: self.count,
        }
    }

    /// Whether one is being written.
    pub(super) fn is_writing(&self) -> bool {
        self.since.is_some()
    }

    /// Nothing else can be written for the journal or for replicas.
    pub(super) fn are_taken(&self) -> bool {
        self.is_writing() || self.is_last
    }

    /// One is being made for replicas.
    pub(super) fn claim(&mut self, now: Millis) {
        self.since = Some(now);
    }

    /// How many changes make a snapshot due now, if any number does.
    fn due(&self, settings: &Settings, now: Millis) -> Option<u64> {
        let tried = self.last_try.is_some_and(|at| now.since(at) <= RETRY_MS);
        if self.since.is_some() || self.has_failed && tried {
            return None;
        }
        let elapsed = seconds(self.last_save, now);
        let due = settings.save.iter().filter(|(after, _)| elapsed > u64::from(*after));
        due.map(|(_, changes)| u64::from(*changes)).min()
    }

    /// One has ended, that had so many changes.
    fn ended(&mut self, outcome: &Outcome, changes: u64, now: Millis) {
        let since = self.since.take().unwrap_or(now);
        self.last_seconds = Some(seconds(since, now));
        match outcome {
            Ok(_) => {
                (self.last_save, self.changes_at_last_save) = (now, changes);
                self.has_failed = false;
                self.count += 1;
            }
            // What somebody did not want did not fail.
            Err(why) => self.has_failed |= why != CANCELLED && why != OUTDATED,
        }
    }
}

fn seconds(since: Millis, now: Millis) -> u64 {
    now.since(since).max(0).unsigned_abs() / 1_000
}

/// The number of the next snapshot, a file of its own or a base.
pub(super) fn next_number() -> u32 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// Goes with the batch that begins a snapshot, and tells when that is gone: its moment is over
/// then.
struct Witness(Mails, u32, Option<oneshot::Sender<()>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.send(Mail::BatchGone(self.1), true);
        // Not everybody wants to know.
        let _ = self.2.take().map(|over| over.send(()));
    }
}

impl Admin {
    /// SAVE, BGSAVE.
    pub(super) async fn save(
        self: &Arc<Admin>,
        asked: Save,
        reply: &mut Reply<'_>,
    ) -> Result<(), CommandError> {
        match asked {
            Save::Now => {
                let ended = self.begin_snapshot_soon().await?;
                match ended.await {
                    Ok(Ok(_)) => reply.ok(),
                    _ => return Err(CommandError::Text("ERR")),
                }
            }
            Save::Background => {
                self.begin_snapshot(For::Background).await?;
                reply.simple("Background saving started");
            }
            Save::Later => {
                let mut saves = self.saves();
                if saves.is_writing() {
                    return Err(IN_PROGRESS);
                }
                saves.is_scheduled = true;
                reply.simple("Background saving scheduled");
            }
            Save::Scheduled => match self.begin_snapshot(For::Background).await {
                Err(OTHER_CHILD) => {
                    self.saves().is_scheduled = true;
                    reply.simple("Background saving scheduled");
                }
                begun => {
                    begun?;
                    reply.simple("Background saving started");
                }
            },
            Save::Cancel => {
                let mut saves = self.saves();
                let was_scheduled = std::mem::take(&mut saves.is_scheduled);
                if saves.since.is_some() {
                    self.give_up_snapshot();
                    reply.simple("Background saving cancelled");
                } else if was_scheduled {
                    reply.simple("Scheduled background saving cancelled");
                } else {
                    return Err(NOT_IN_PROGRESS);
                }
            }
        }
        Ok(())
    }

    /// Begins a snapshot, which goes to its end whoever waits for it.
    ///
    /// # Errors
    /// While one is being written, or a base of the journal.
    pub(super) async fn begin_snapshot(
        self: &Arc<Admin>,
        wanted: For,
    ) -> Result<oneshot::Receiver<Outcome>, CommandError> {
        {
            let mut saves = self.saves();
            if saves.is_writing() {
                return Err(IN_PROGRESS);
            }
            if self.rewrites().since.is_some() {
                return Err(OTHER_CHILD);
            }
            let now = self.parts.clock.now();
            (saves.since, saves.last_try, saves.is_scheduled) = (Some(now), Some(now), false);
        }
        info!("Background saving started");
        let changes = self.changes().await;
        let settings = self.settings();
        let moment = self.moment(next_number(), &settings);
        let outcome = self.take_snapshot(moment, place(&settings), &settings, wanted);
        let (told, receiver) = oneshot::channel();
        let admin = self.clone();
        actix_rt::spawn(async move {
            let outcome = outcome.await.unwrap_or_else(|_| Err("its writer has ended".to_owned()));
            admin.snapshot_ended(&outcome, changes);
            // Who asked may have gone meanwhile.
            let _ = told.send(outcome);
        });
        Ok(receiver)
    }

    /// The same, once a base of the journal is written that is being written now.
    async fn begin_snapshot_soon(
        self: &Arc<Admin>,
    ) -> Result<oneshot::Receiver<Outcome>, CommandError> {
        loop {
            match self.begin_snapshot(For::Waiter).await {
                Err(OTHER_CHILD) => tokio::time::sleep(EVERY).await,
                begun => return begun,
            }
        }
    }

    /// Writes a snapshot, once nothing else is written.
    ///
    /// # Errors
    /// When there is none; the log says why.
    pub(super) async fn save_when_free(self: &Arc<Admin>) -> Result<(), ()> {
        let ended = loop {
            match self.begin_snapshot(For::Waiter).await {
                Ok(ended) => break ended,
                Err(_) => tokio::time::sleep(EVERY).await,
            }
        };
        if matches!(ended.await, Ok(Ok(_))) { Ok(()) } else { Err(()) }
    }

    /// The moment of a snapshot that is a file of its own.
    pub(super) fn moment(&self, number: u32, settings: &Settings) -> Moment {
        let (used, shards) = (allocator::counters().allocated, self.parts.shards.len() as u16);
        snapshot::moment_of(number, settings, used, shards)
    }

    /// Has a snapshot written. Whoever asks has made sure that no other one is. Tells how it ends.
    pub(super) fn take_snapshot(
        &self,
        moment: Moment,
        place: Place,
        settings: &Settings,
        wanted: For,
    ) -> oneshot::Receiver<Outcome> {
        let about = self.about(settings, self.parts.clock.now(), moment);
        let file = SnapshotFile::new(Box::new(Os), place, about);
        self.take_snapshot_to(moment, file, wanted, None)
    }

    /// The same, into this file. `over` is told when its moment is over, or will never be.
    pub(super) fn take_snapshot_to(
        &self,
        moment: Moment,
        file: SnapshotFile,
        wanted: For,
        over: Option<oneshot::Sender<()>>,
    ) -> oneshot::Receiver<Outcome> {
        let now = self.parts.clock.now();
        let snapshot = Snapshot::new(moment.number, self.parts.shards.len() as u16, file);
        let snapshot = match wanted {
            For::Waiter => snapshot,
            For::Background => snapshot.in_background(),
        };
        let (ended, outcome) = oneshot::channel();
        self.parts.snapshots.send(Mail::Begin(Box::new(snapshot), ended), true);
        let mut batch = snapshot::moment(moment, now);
        batch.companion =
            Some(Box::new(Witness(self.parts.snapshots.clone(), moment.number, over)));
        self.parts.post.send([(0, Letter::Visit(batch))]);
        outcome
    }

    /// No snapshot begins from now on, once none is being written, nor a base of the journal.
    pub(super) async fn hold_snapshots(&self) {
        loop {
            {
                let mut saves = self.saves();
                if !saves.is_writing() && self.rewrites().since.is_none() {
                    saves.since = Some(self.parts.clock.now());
                    return;
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Snapshots may begin again.
    pub(super) fn release_snapshots(&self) {
        self.saves().since = None;
    }

    fn snapshot_ended(&self, outcome: &Outcome, changes: u64) {
        let mut saves = self.saves();
        saves.ended(outcome, changes, self.parts.clock.now());
        // The file is not to keep what is gone, where somebody wants one kept up to date.
        let is_outdated = outcome.as_ref().is_err_and(|why| why == OUTDATED);
        saves.is_scheduled |= is_outdated && !self.settings().save.is_empty();
        let has_failed = saves.has_failed;
        drop(saves);
        match outcome {
            Ok(_) => info!("Background saving terminated with success"),
            Err(why) => warn!("Background saving error: {why}"),
        }
        self.parts.post.send_all(|| Letter::SnapshotFailed(has_failed));
    }

    /// Changes of the data set so far.
    async fn changes(&self) -> u64 {
        let answers = self.ask_all(Question::Report(Detail::Sums)).await;
        let changes = answers.iter().map(|answer| match answer {
            Answer::Report(report) => report.figures.changes,
            _ => 0,
        });
        changes.sum()
    }

    /// Begins the snapshots that `save` asks for, those that were put off, and rewrites of the
    /// journal, for as long as the server lives.
    pub async fn save_now_and_then(self: Arc<Admin>) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.rewrite_if_due();
            let due = self.saves().due(&self.settings(), self.parts.clock.now());
            let is_free = self.rewrites().since.is_none() && !self.saves().is_writing();
            let is_scheduled = self.saves().is_scheduled && is_free;
            let is_due = match due.filter(|_| is_free) {
                Some(least) => {
                    let before = self.saves().changes_at_last_save;
                    self.changes().await.saturating_sub(before) >= least
                }
                None => false,
            };
            if is_scheduled || is_due {
                // Somebody may have begun one meanwhile.
                let _ = self.begin_snapshot(For::Background).await;
            }
        }
    }

    /// Gives up the snapshot that is being written.
    pub(super) fn give_up_snapshot(&self) {
        self.parts.snapshots.send(Mail::GiveUp(CANCELLED), true);
    }

    pub(super) fn about(&self, settings: &Settings, now: Millis, moment: Moment) -> About {
        let is_base = moment.purpose == Purpose::Base;
        let about = if is_base { About::base } else { About::snapshot };
        About {
            used_memory: allocator::counters().allocated,
            replication: self.saves().stream.clone(),
            ..about(settings, now)
        }
    }

    pub(super) fn saves(&self) -> MutexGuard<'_, Saves> {
        self.saves.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn place(settings: &Settings) -> Place {
    Place {
        directory: settings.dir.clone(),
        name: settings.dbfilename.clone(),
        temporary: format!("temp-{}", std::process::id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_by_time_and_changes() {
        let start = Millis(1_700_000_000_000);
        let at = |seconds: i64| start.saturating_add(seconds * 1_000);
        let mut settings = Settings::default();
        settings.set("save", &["100", "5", "10", "50"]).expect("right pairs");
        let mut saves = Saves::new(start);
        assert_eq!(saves.due(&settings, at(10)), None);
        assert_eq!(saves.due(&settings, at(11)), Some(50));
        assert_eq!(saves.due(&settings, at(101)), Some(5));
        (saves.since, saves.last_try) = (Some(at(101)), Some(at(101)));
        assert_eq!(saves.due(&settings, at(150)), None, "one is being written");
        saves.ended(&Err("the disk is full".to_owned()), 7, at(102));
        assert_eq!((saves.due(&settings, at(106)), saves.due(&settings, at(107))), (None, Some(5)));
        saves.since = Some(at(107));
        saves.ended(&Err(CANCELLED.to_owned()), 7, at(108));
        assert!(saves.has_failed, "as before");
        saves.since = Some(at(108));
        saves.ended(&Ok(5), 7, at(110));
        let facts = saves.facts(at(111));
        assert_eq!((facts.has_failed, facts.count, facts.last_seconds), (false, 1, Some(2)));
        assert_eq!((facts.last_save, facts.changes_at_last_save), (at(110), 7));
        assert_eq!(saves.due(&settings, at(120)), None);
    }
}
