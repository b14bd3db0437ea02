//! CONFIG SET appendonly: a journal that begins, and one that ends, while the server runs.
//!
//! A shell around `troupe::aof::change`, which says what comes next: each step is mail to shards
//! and writer, and what comes of it is heard in the order in which it came.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard};

use actix::Recipient;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};
use troupe::aof::change::{Change, Event, Step};
use troupe::base::millis::Millis;
use troupe::hook::Phase;
use troupe::settings::Settings;
use troupe::shard::question::{Answer, Question};
use troupe::stream::Policy;

use super::Admin;
use crate::message::aof::{
    Append, Asks, Begin, BeginBase, Close, End, Rebuild, Reports, SetPolicy, Switch, SyncAll, Tell,
};
use crate::message::control::Panic;

/// Numbers of bases, so that no slot is ever taken for told by another one.
static BASES: AtomicU32 = AtomicU32::new(1);

/// How the AOF writer is reached.
#[derive(Clone)]
pub struct Writer {
    /// Effects.
    pub append: Recipient<Append>,
    /// Shards to be rebuilt.
    pub rebuild: Recipient<Rebuild>,
    /// Changes of `appendfsync`.
    pub policy: Recipient<SetPolicy>,
    /// The end of a base.
    pub switch: Recipient<Switch>,
    /// Who waits until all is durable.
    pub sync: Recipient<SyncAll>,
    /// The end of the journal.
    pub close: Recipient<Close>,
    /// Panics, for tests.
    pub panic: Recipient<Panic>,
}

/// Starts a writer over the file of a new base, or says why that is not possible. Who asks is told
/// when the base fails.
pub type Starter = Box<dyn Fn(&Settings, Asks) -> Started + Send + Sync>;

/// A writer that starts.
pub type Started = oneshot::Receiver<Result<Writer, String>>;

/// The bases that were written while the server ran: to INFO they are rewrites.
#[derive(Debug, Default)]
pub(super) struct Rewrites {
    /// Since when one is being written.
    pub(super) since: Option<Millis>,
    /// How long the last one took.
    pub(super) last_seconds: Option<u64>,
    /// How many were begun.
    pub(super) count: u64,
    /// How many of the newest have failed.
    pub(super) failures: u64,
}

impl Rewrites {
    fn begin(&mut self, now: Millis) {
        self.since = Some(now);
        self.count += 1;
    }

    fn end(&mut self, is_whole: bool, now: Millis) {
        self.last_seconds = self.seconds(now);
        self.since = None;
        self.failures = if is_whole { 0 } else { self.failures + 1 };
    }

    /// For how long one is being written.
    pub(super) fn seconds(&self, now: Millis) -> Option<u64> {
        self.since.map(|since| now.since(since).max(0).unsigned_abs() / 1_000)
    }
}

impl Writer {
    /// Ends the writer when all is durable.
    ///
    /// # Errors
    /// Why something is not.
    pub async fn close(&self) -> Result<(), String> {
        ask(&self.close, Close).await
    }
}

/// Asks the writer for something, and waits until it says how that went.
async fn ask<M>(writer: &Recipient<M>, mail: impl FnOnce(Asks) -> M) -> Result<(), String>
where
    M: actix::Message<Result = ()> + Send + 'static,
{
    let (asks, answer) = oneshot::channel();
    writer.do_send(mail(asks));
    answer.await.unwrap_or_else(|_| Err("the AOF writer ended before that".to_owned()))
}

impl Admin {
    /// There is a journal.
    pub fn met_writer(&self, writer: Writer) {
        *self.lock_writer() = Some(writer);
    }

    /// How a journal is begun.
    pub fn met_starter(&self, starter: Starter) {
        // There is one.
        let _ = self.starter.set(starter);
    }

    /// The writer of the journal, if there is a journal.
    pub fn writer(&self) -> Option<Writer> {
        self.lock_writer().clone()
    }

    /// Begins a journal.
    ///
    /// # Errors
    /// When it cannot be begun; the log says why.
    pub async fn begin_journal(&self, settings: &Arc<Settings>) -> Result<(), ()> {
        let policy = Policy::from(settings.appendfsync);
        let mut writer = None;
        self.rewrites().begin(self.parts.clock.now());
        let begun = self.carry_out(Change::begin(policy), &mut writer, settings).await;
        self.rewrites().end(begun.is_ok(), self.parts.clock.now());
        begun.map_err(|why| error!("The append only file cannot be begun: {why}"))?;
        *self.lock_writer() = writer;
        info!("The append only file is on");
        Ok(())
    }

    /// Ends the journal, if there is one.
    ///
    /// # Errors
    /// While a shard is being rebuilt from it.
    pub(super) async fn end_journal(&self) -> Result<(), ()> {
        let mut writer = self.writer();
        if writer.is_some() {
            let settings = self.settings();
            let ended = self.carry_out(Change::end(), &mut writer, &settings).await;
            ended.map_err(|why| error!("The append only file stays on: {why}"))?;
            info!("The append only file is off");
        }
        Ok(())
    }

    /// Carries a change out to its end.
    async fn carry_out(
        &self,
        mut change: Change,
        writer: &mut Option<Writer>,
        settings: &Settings,
    ) -> Result<(), String> {
        let (reports, mut events) = mpsc::unbounded_channel();
        loop {
            if let Some(outcome) = change.outcome() {
                return outcome.clone();
            }
            match (change.next(), &*writer) {
                (Some(Step::Start), _) => match self.start(settings, &reports).await {
                    Ok(started) => {
                        *writer = Some(started);
                        change.hear(Event::Started);
                    }
                    Err(why) => change.hear(Event::Failed(why)),
                },
                (Some(step), Some(writer)) => {
                    // Behind what was reported meanwhile.
                    let event = self.perform(step, writer, &reports).await;
                    drop(event.map(|event| reports.send(event)));
                }
                _ => change.hear(events.recv().await.expect("a sender of it is held here")),
            }
        }
    }

    /// Starts a writer over a new base, whose fault is reported.
    async fn start(&self, settings: &Settings, reports: &Reports) -> Result<Writer, String> {
        let start = self.starter.get().ok_or_else(|| "the server is starting".to_owned())?;
        let (watches, fault) = oneshot::channel();
        let started = start(settings, watches).await;
        let writer = started.unwrap_or_else(|_| Err("its thread has ended".to_owned()))?;
        let reports = reports.clone();
        actix_rt::spawn(async move {
            if let Ok(Err(why)) = fault.await {
                // The change may have ended meanwhile.
                let _ = reports.send(Event::Failed(why));
            }
        });
        Ok(writer)
    }

    /// Carries out a step. Returns what came of it, unless the shards report that.
    async fn perform(&self, step: Step, writer: &Writer, reports: &Reports) -> Option<Event> {
        let shards = &self.parts.shards;
        let failed_or = |event: Event| {
            move |result: Result<(), String>| match result {
                Ok(()) => event,
                Err(why) => Event::Failed(why),
            }
        };
        match step {
            // That gives a writer, which is here.
            Step::Start => return Some(Event::Started),
            Step::BeginBase => {
                let number = BASES.fetch_add(1, Ordering::Relaxed);
                for shard in shards {
                    shard.begin_base.do_send(BeginBase { append: writer.append.clone(), number });
                }
            }
            Step::Tell => {
                shards.iter().for_each(|shard| shard.tell.do_send(Tell(reports.clone())));
                return None;
            }
            Step::Switch => {
                return Some(failed_or(Event::Switched)(ask(&writer.switch, Switch).await));
            }
            Step::Take(policy) => {
                writer.policy.do_send(SetPolicy(policy));
                for shard in shards {
                    let (append, rebuild) = (writer.append.clone(), writer.rebuild.clone());
                    shard.begin.do_send(Begin { append, rebuild, policy });
                }
            }
            Step::Sync => return Some(failed_or(Event::Synced)(ask(&writer.sync, SyncAll).await)),
            Step::AskPhases => return Some(Event::Serving(self.all_serve().await)),
            Step::Leave => {
                *self.lock_writer() = None;
                shards.iter().for_each(|shard| shard.end.do_send(End));
            }
            Step::Close => {
                let closed = writer.close().await;
                if let Err(fault) = &closed {
                    error!("The append only file is left as it is: {fault}");
                }
                return Some(failed_or(Event::Closed)(closed));
            }
        }
        self.ask_all(Question::Nothing).await;
        Some(Event::Heard(step))
    }

    async fn all_serve(&self) -> bool {
        let answers = self.ask_all(Question::Report).await;
        answers.iter().all(|answer| match answer {
            Answer::Report(report) => report.phase == Phase::Serving,
            _ => true,
        })
    }

    fn lock_writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What INFO says of bases.
    pub(super) fn rewrites(&self) -> MutexGuard<'_, Rewrites> {
        self.rewrites.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
