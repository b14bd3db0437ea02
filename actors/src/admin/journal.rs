//! CONFIG SET appendonly and BGREWRITEAOF: a journal that begins, one that is rewritten, and one
//! that ends, while the server runs.
//!
//! A shell around `troupe::aof::change`, which says what comes next: each step is mail to shards
//! and writer, and what comes of it is heard in the order in which it came. A base is a snapshot,
//! and one snapshot is written at a time.
//!
//! A journal is also rewritten without a word: when it has grown, as `auto-aof-rewrite-percentage`
//! and `auto-aof-rewrite-min-size` have it, and when none of its files can be trusted any more.

use std::sync::{Arc, MutexGuard};

use actix::Recipient;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};
use troupe::aof::change::{Change, Event, Step};
use troupe::aof::directory::Location;
use troupe::aof::figures::JournalFigures;
use troupe::base::millis::Millis;
use troupe::commands::action::Begins;
use troupe::commands::error::CommandError;
use troupe::hook::Phase;
use troupe::hook::answer::Answer;
use troupe::keyspace::effect::Purpose;
use troupe::keyspace::saving::{Form, Moment};
use troupe::question::{Detail, Question};
use troupe::resp::Reply;
use troupe::settings::Settings;
use troupe::snapshot::file::SnapshotFile;
use troupe::stream::Policy;

use super::Admin;
use super::snapshots::{EVERY, next_number};
use crate::filesystem::Os;
use crate::message::aof::{
    Appends, Asks, Begin, BeginBase, Close, End, ForgetBase, HandOn, ListBase, Listen, Open, Put,
    Rebuild, Reports, SetPolicy, SyncAll,
};
use crate::message::control::Panic;
use crate::message::snapshot::Mail;

/// Rewrites that may fail in a row before the next one that is due by growth is put off.
const FAILURES: u64 = 3;

/// For how long it is put off at first and at most, in milliseconds; each failure doubles it.
const PUT_OFF_MS: i64 = 60_000;
const PUT_OFF_MAX_MS: i64 = 60 * PUT_OFF_MS;

/// The same of one without which no write is taken.
const HEAL_MS: i64 = 1_000;
const HEAL_MAX_MS: i64 = 60 * HEAL_MS;

const REWRITE_IN_PROGRESS: CommandError =
    CommandError::Text("ERR Background append only file rewriting already in progress");

/// How the AOF writer is reached.
#[derive(Clone)]
pub struct Writer {
    /// Effects.
    pub appends: Appends,
    /// Shards to be rebuilt.
    pub rebuild: Recipient<Rebuild>,
    /// Changes of `appendfsync`.
    pub policy: Recipient<SetPolicy>,
    /// A base that is whole.
    pub list: Recipient<ListBase>,
    /// A base that never will be.
    pub forget: Recipient<ForgetBase>,
    /// Who waits until all is durable.
    pub sync: Recipient<SyncAll>,
    /// The end of the journal.
    pub close: Recipient<Close>,
    /// Whether the stream is read for replicas.
    pub listen: Recipient<Listen>,
    /// That what was appended is handed on to them.
    pub hand_on: Recipient<HandOn>,
    /// What is put into it.
    pub put: Recipient<Put>,
    /// The directory of a journal that begins.
    pub open: Recipient<Open>,
    /// Panics, for tests.
    pub panic: Recipient<Panic>,
}

/// Starts the writer of a journal that begins, or says why that is not possible.
pub type Starter = Box<dyn Fn(&Settings) -> Started + Send + Sync>;

/// A writer that starts.
pub type Started = oneshot::Receiver<Result<Writer, String>>;

/// The bases that were written while the server ran: to INFO they are rewrites.
#[derive(Debug, Default)]
pub(super) struct Rewrites {
    /// Since when one is being written.
    pub(super) since: Option<Millis>,
    /// One is to begin as soon as nothing else is written.
    pub(super) is_scheduled: bool,
    /// How long the last one took.
    pub(super) last_seconds: Option<u64>,
    /// How many were begun.
    pub(super) count: u64,
    /// How many of the newest have failed.
    pub(super) failures: u64,
    /// When the last one ended.
    ended: Option<Millis>,
}

impl Rewrites {
    fn begin(&mut self, now: Millis) {
        (self.since, self.is_scheduled) = (Some(now), false);
        self.count += 1;
    }

    fn end(&mut self, is_whole: bool, now: Millis) {
        self.last_seconds = self.seconds(now);
        (self.since, self.ended) = (None, Some(now));
        self.failures = if is_whole { 0 } else { self.failures + 1 };
    }

    /// For how long one is being written.
    pub(super) fn seconds(&self, now: Millis) -> Option<u64> {
        self.since.map(|since| now.since(since).max(0).unsigned_abs() / 1_000)
    }

    /// Whether one is due of a journal with these figures, if there is one.
    fn is_due(&self, journal: Option<&JournalFigures>, settings: &Settings, now: Millis) -> bool {
        let passed = self.ended.map_or(i64::MAX, |ended| now.since(ended));
        let is_over = |failures: u64, first: i64, most: i64| {
            let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
            failures == 0 || passed >= doubled.min(most)
        };
        match journal {
            _ if self.is_scheduled => true,
            None => false,
            Some(journal) if journal.needs_base => is_over(self.failures, HEAL_MS, HEAL_MAX_MS),
            Some(journal) => {
                let failures = (self.failures + 1).saturating_sub(FAILURES);
                has_grown(journal, settings) && is_over(failures, PUT_OFF_MS, PUT_OFF_MAX_MS)
            }
        }
    }
}

/// Whether a journal has grown so much since it was written last that it is to be rewritten.
fn has_grown(journal: &JournalFigures, settings: &Settings) -> bool {
    let (size, base) = (u128::from(journal.current_size), u128::from(journal.base_size.max(1)));
    let percentage = u128::from(settings.auto_aof_rewrite_percentage);
    percentage > 0
        && journal.current_size > settings.auto_aof_rewrite_min_size
        && (size * 100 / base).saturating_sub(100) >= percentage
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
pub(super) async fn ask<M>(
    writer: &Recipient<M>,
    mail: impl FnOnce(Asks) -> M,
) -> Result<(), String>
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

    /// Begins a journal, once nothing else is written.
    ///
    /// # Errors
    /// When it cannot be begun; the log says why.
    pub async fn begin_journal(&self, settings: &Arc<Settings>) -> Result<(), ()> {
        while !self.claim_rewrite() {
            tokio::time::sleep(EVERY).await;
        }
        let change = Change::begin(Policy::from(settings.appendfsync));
        let begun = self.carry_out(change, None, settings).await;
        self.rewrites().end(begun.is_ok(), self.parts.clock.now());
        match begun {
            Ok(writer) => {
                *self.lock_writer() = writer;
                info!("The append only file is on");
                Ok(())
            }
            Err(why) => {
                error!("The append only file cannot be begun: {why}");
                Err(())
            }
        }
    }

    /// The same before any client has written anything: `serve` has the shards serve.
    ///
    /// # Errors
    /// As those of [`Admin::begin_journal`].
    pub async fn begin_journal_before_writes(
        &self,
        settings: &Arc<Settings>,
        serve: impl FnOnce(),
    ) -> Result<(), ()> {
        self.hold_writes().await;
        serve();
        let begun = self.begin_journal(settings).await;
        self.let_writes_in().await;
        begun
    }

    /// BGREWRITEAOF.
    pub(super) fn rewrite_journal(
        self: &Arc<Admin>,
        begins: Begins,
        reply: &mut Reply<'_>,
    ) -> Result<(), CommandError> {
        if self.rewrites().since.is_some() {
            return Err(REWRITE_IN_PROGRESS);
        }
        if begins == Begins::Now && self.claim_rewrite() {
            self.clone().rewrite();
            reply.simple("Background append only file rewriting started");
        } else {
            self.rewrites().is_scheduled = true;
            reply.simple("Background append only file rewriting scheduled");
        }
        Ok(())
    }

    /// Rewrites the journal where that is due.
    pub(super) fn rewrite_if_due(self: &Arc<Admin>) {
        let has_journal = self.writer().is_some();
        let figures = has_journal.then(|| self.figures());
        let now = self.parts.clock.now();
        let is_due = self.rewrites().is_due(figures.as_ref(), &self.settings(), now);
        if is_due && self.claim_rewrite() {
            self.clone().rewrite();
        }
    }

    /// Writes a base, for the journal that is on or the next one.
    fn rewrite(self: Arc<Admin>) {
        info!("Background append only file rewriting started");
        actix_rt::spawn(async move {
            let writer = self.writer();
            let change = if writer.is_some() { Change::rewrite() } else { Change::only_base() };
            let written = self.carry_out(change, writer, &self.settings()).await;
            self.rewrites().end(written.is_ok(), self.parts.clock.now());
            match written {
                Ok(_) => info!("Background AOF rewrite finished successfully"),
                Err(why) => warn!("Background AOF rewrite error: {why}"),
            }
        });
    }

    /// A base begins to be written, unless something else is. Returns false then.
    fn claim_rewrite(&self) -> bool {
        let saves = self.saves();
        let mut rewrites = self.rewrites();
        let is_free = !saves.are_taken() && rewrites.since.is_none();
        if is_free {
            rewrites.begin(self.parts.clock.now());
        }
        is_free
    }

    /// Gives up the base that is being written, and returns when none is.
    async fn stop_rewrite(&self, why: &'static str) {
        while self.rewrites().since.is_some() {
            self.parts.snapshots.send(Mail::GiveUp(why), true);
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Has a base written for the journal.
    async fn save_base(&self, number: u32, settings: &Settings) -> Result<(), String> {
        let place = Location::of(settings).new_base();
        let mut moment = Moment { purpose: Purpose::Base, ..self.moment(number, settings) };
        if !settings.aof_use_rdb_preamble {
            moment.form = Form::Commands;
        }
        let mut about = self.about(settings, self.parts.clock.now(), moment);
        let follows = self.parts.shared.replicas.follows();
        // The base says where in the stream of the primary it is, so that it can be gone on with.
        let still = match follows {
            true => self.parts.shared.upstream.stand_still().await,
            false => None,
        };
        if still.is_some() && self.has_data_of_stream() {
            about.replication = self.stream_place().await;
        }
        let file = SnapshotFile::new(Box::new(Os), place, about);
        self.take_snapshot_of_stream(moment, file, still).await.map(|_| ())
    }

    /// Ends the journal, if there is one.
    ///
    /// # Errors
    /// While a shard is being rebuilt from it.
    pub(super) async fn end_journal(&self) -> Result<(), ()> {
        let Some(writer) = self.writer() else { return Ok(()) };
        self.stop_rewrite("the append only file is switched off").await;
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
        let number = next_number();
        let has_moment = change.is_with_journal();
        let mut performer =
            Performer { admin: self, settings, number, has_moment, writer, reports };
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
    /// That of the snapshot that is the base, if there is one.
    number: u32,
    /// The journal goes on from its moment.
    has_moment: bool,
    writer: Option<Writer>,
    reports: Reports,
}

impl Performer<'_> {
    /// What comes of a step is heard behind what was reported before.
    async fn perform(&mut self, step: Step) {
        match step {
            Step::Start => self.start().await,
            Step::BeginBase | Step::Take(_) | Step::Leave => self.send_to_shards(step).await,
            Step::Save => {
                let saved = self.admin.save_base(self.number, self.settings).await;
                self.report(saved, Event::Saved);
            }
            Step::List => {
                // Without a journal, nobody has recorded the moment.
                let snapshot = Some(self.number).filter(|_| self.has_moment);
                let listed = ask(&self.writer().list, |asks| ListBase(snapshot, asks)).await;
                self.report(listed, Event::Listed);
            }
            Step::Forget => {
                let forgotten = ask(&self.writer().forget, ForgetBase).await;
                if let Err(fault) = &forgotten {
                    error!("What there is of the base is left as it is: {fault}");
                }
                self.report(forgotten, Event::Forgotten);
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

    /// Starts a writer.
    async fn start(&mut self) {
        let started = match self.admin.starter.get() {
            Some(start) => start(self.settings).await,
            None => Ok(Err("the server is starting".to_owned())),
        };
        match started.unwrap_or_else(|_| Err("its thread has ended".to_owned())) {
            Ok(writer) => {
                self.writer = Some(writer);
                self.report(Ok(()), Event::Started);
            }
            Err(why) => self.report(Err(why), Event::Started),
        }
    }

    /// Sends a step to every shard, and to the writer where it concerns that.
    async fn send_to_shards(&self, step: Step) {
        let writer = self.writer();
        if let Step::Take(policy) = step {
            writer.policy.do_send(SetPolicy(policy));
        } else if step == Step::Leave {
            *self.admin.lock_writer() = None;
        }
        for shard in &self.admin.parts.shards {
            let (appends, rebuild) = (writer.appends.clone(), writer.rebuild.clone());
            match step {
                Step::BeginBase => {
                    let reports = self.reports.clone();
                    shard.begin_base.do_send(BeginBase { appends, reports });
                }
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
