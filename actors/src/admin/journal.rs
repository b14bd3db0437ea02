//! CONFIG SET appendonly: a journal that begins, and one that ends, while the server runs.
//!
//! A shell around `troupe::aof::change`, which says what comes next: each step is mail to shards
//! and writer, and what comes of it is heard in the order in which it came.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard};

use actix::Recipient;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};
use troupe::aof::change::{Change, Event, Step};
use troupe::base::millis::Millis;
use troupe::hook::Phase;
use troupe::hook::answer::Answer;
use troupe::question::{Detail, Question};
use troupe::settings::Settings;
use troupe::stream::Policy;

use super::Admin;
use crate::message::aof::{
    Appends, Asks, Begin, BeginBase, Close, End, Rebuild, Reports, SetPolicy, Switch, SyncAll,
    WriteBase,
};
use crate::message::control::Panic;

/// Numbers of bases: what is written of a slot to one base counts for no other.
static BASES: AtomicU32 = AtomicU32::new(1);

/// How the AOF writer is reached.
#[derive(Clone)]
pub struct Writer {
    /// Effects.
    pub appends: Appends,
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
        let change = Change::begin(Policy::from(settings.appendfsync));
        self.rewrites().begin(self.parts.clock.now());
        let begun = self.carry_out(change, None, settings).await;
        let is_whole = begun.is_ok();
        match begun {
            Ok(writer) => {
                *self.lock_writer() = writer;
                info!("The append only file is on");
            }
            Err(why) => error!("The append only file cannot be begun: {why}"),
        }
        self.rewrites().end(is_whole, self.parts.clock.now());
        if is_whole { Ok(()) } else { Err(()) }
    }

    /// Ends the journal, if there is one.
    ///
    /// # Errors
    /// While a shard is being rebuilt from it.
    pub(super) async fn end_journal(&self) -> Result<(), ()> {
        let Some(writer) = self.writer() else { return Ok(()) };
        match self.carry_out(Change::end(), Some(writer), &self.settings()).await {
            Ok(_) => info!("The append only file is off"),
            Err(why) => {
                warn!("The append only file stays on: {why}");
                return Err(());
            }
        }
        Ok(())
    }

    /// Carries a change out to its end. Returns the writer that it was about.
    async fn carry_out(
        &self,
        mut change: Change,
        writer: Option<Writer>,
        settings: &Settings,
    ) -> Result<Option<Writer>, String> {
        let (reports, mut events) = mpsc::unbounded_channel();
        let number = BASES.fetch_add(1, Ordering::Relaxed);
        let mut performer = Performer { admin: self, settings, number, writer, reports };
        loop {
            if let Some(outcome) = change.outcome() {
                return outcome.clone().map(|()| performer.writer);
            }
            match change.next_step() {
                Some(step) => performer.perform(step).await,
                None => change.hear(events.recv().await.expect("the performer holds a sender")),
            }
        }
    }

    /// Whether every shard serves.
    pub(super) async fn all_serve(&self) -> bool {
        let answers = self.ask_all(Question::Report(Detail::Sums)).await;
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

/// Performs the steps of one change.
struct Performer<'a> {
    admin: &'a Admin,
    settings: &'a Settings,
    /// That of the base, if one begins.
    number: u32,
    writer: Option<Writer>,
    reports: Reports,
}

impl Performer<'_> {
    /// What comes of a step is heard behind what was reported before.
    async fn perform(&mut self, step: Step) {
        match step {
            Step::Start => self.start().await,
            Step::BeginBase | Step::WriteBase | Step::Take(_) | Step::Leave => {
                self.send_to_shards(step).await
            }
            Step::Switch => {
                let switched = ask(&self.writer().switch, Switch).await;
                self.report(switched, Event::Switched);
            }
            Step::Sync => {
                let synced = ask(&self.writer().sync, SyncAll).await;
                self.report(synced, Event::Synced);
            }
            Step::AskPhases => {
                let serving = Event::Serving(self.admin.all_serve().await);
                self.report(Ok(()), serving);
            }
            Step::Close => {
                let closed = self.writer().close().await;
                if let Err(fault) = &closed {
                    error!("The append only file is left as it is: {fault}");
                }
                self.report(closed, Event::Closed);
            }
        }
    }

    /// Starts a writer over a new base, which reports its fault.
    async fn start(&mut self) {
        let (on_fault, fault) = oneshot::channel();
        let started = match self.admin.starter.get() {
            Some(start) => start(self.settings, on_fault).await,
            None => Ok(Err("the server is starting".to_owned())),
        };
        match started.unwrap_or_else(|_| Err("its thread has ended".to_owned())) {
            Ok(writer) => {
                self.writer = Some(writer);
                self.report(Ok(()), Event::Started);
                let reports = self.reports.clone();
                actix_rt::spawn(async move {
                    if let Ok(Err(why)) = fault.await {
                        // The change may have ended meanwhile.
                        let _ = reports.send(Event::Failed(why));
                    }
                });
            }
            Err(why) => self.report(Err(why), Event::Started),
        }
    }

    /// Sends a step to every shard, and to the writer where it concerns that.
    async fn send_to_shards(&self, step: Step) {
        let (writer, number) = (self.writer(), self.number);
        if let Step::Take(policy) = step {
            writer.policy.do_send(SetPolicy(policy));
        } else if step == Step::Leave {
            *self.admin.lock_writer() = None;
        }
        for shard in &self.admin.parts.shards {
            let (appends, rebuild) = (writer.appends.clone(), writer.rebuild.clone());
            match step {
                Step::BeginBase => shard.begin_base.do_send(BeginBase { appends, number }),
                Step::WriteBase => shard.write_base.do_send(WriteBase(self.reports.clone())),
                Step::Take(policy) => shard.begin.do_send(Begin { appends, rebuild, policy }),
                _ => shard.end.do_send(End),
            }
        }
        self.admin.ask_all(Question::Nothing).await;
        self.report(Ok(()), Event::Heard(step));
    }

    fn report(&self, result: Result<(), String>, success: Event) {
        let event = match result {
            Ok(()) => success,
            Err(why) => Event::Failed(why),
        };
        // Who hears it is there as long as this.
        let _ = self.reports.send(event);
    }

    fn writer(&self) -> &Writer {
        self.writer.as_ref().expect("the first step of a change has given a writer")
    }
}
