//! CONFIG SET appendonly: a journal that begins, and one that ends, while the server runs.
//!
//! A journal begins as a base in the commands of the protocol, told by the shards piece by piece
//! (`troupe::shard::base`); only when it is whole, durable and listed does the client get its OK,
//! and do replies wait for the journal as `appendfsync` says. Whatever fails on the way leaves the
//! server without a journal, as it was. A journal that ends is written out and synced first.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use actix::Recipient;
use tokio::sync::oneshot;
use tracing::{error, info};
use troupe::base::millis::Millis;
use troupe::hook::Phase;
use troupe::settings::Settings;
use troupe::shard::question::{Answer, Question};
use troupe::stream::Policy;

use super::Admin;
use crate::message::aof::{Append, Begin, BeginBase, Close, End, Rebuild, SetPolicy, Switch, Tell};
use crate::message::control::Panic;

/// How often the progress of a base is asked for.
const POLL: Duration = Duration::from_millis(5);

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
    /// The end of the journal.
    pub close: Recipient<Close>,
    /// Panics, for tests.
    pub panic: Recipient<Panic>,
}

/// Starts a writer over the file of a new base; gives nothing where that is not possible.
pub type Starter = Box<dyn Fn(&Settings) -> oneshot::Receiver<Writer> + Send + Sync>;

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
        let (sender, receiver) = oneshot::channel();
        self.close.do_send(Close(sender));
        receiver.await.unwrap_or_else(|_| Err("the AOF writer ended before that".to_owned()))
    }
}

impl Admin {
    /// There is a journal.
    pub fn met_writer(&self, writer: Writer) {
        *self.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(writer);
    }

    /// How a journal is begun.
    pub fn met_starter(&self, starter: Starter) {
        // There is one.
        let _ = self.starter.set(starter);
    }

    /// The writer of the journal, if there is a journal.
    pub fn writer(&self) -> Option<Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Begins a journal.
    ///
    /// # Errors
    /// When it cannot be begun; the log says why.
    pub async fn begin_journal(&self, settings: &Arc<Settings>) -> Result<(), ()> {
        self.rewrites().begin(self.parts.clock.now());
        let begun = self.try_begin(settings).await;
        self.rewrites().end(begun.is_ok(), self.parts.clock.now());
        begun
    }

    /// What INFO says of bases.
    pub(super) fn rewrites(&self) -> MutexGuard<'_, Rewrites> {
        self.rewrites.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn try_begin(&self, settings: &Arc<Settings>) -> Result<(), ()> {
        let Some(start) = self.starter.get() else { return Err(()) };
        let writer = start(settings).await.map_err(|_| ())?;
        if let Err(why) = self.write_base(&writer).await {
            return self.give_up(&writer, &why).await;
        }
        let policy = Policy::from(settings.appendfsync);
        writer.policy.do_send(SetPolicy(policy));
        for shard in &self.parts.shards {
            let (append, rebuild) = (writer.append.clone(), writer.rebuild.clone());
            shard.begin.do_send(Begin { append, rebuild, policy });
        }
        self.ask_all(Question::Nothing).await;
        // What was answered since the base was whole did not wait for the journal.
        if policy == Policy::Always
            && let Err(why) = switch(&writer).await
        {
            return self.give_up(&writer, &why).await;
        }
        self.met_writer(writer);
        info!("The append only file is on");
        Ok(())
    }

    /// Leaves a journal that has failed before it was on.
    async fn give_up(&self, writer: &Writer, why: &str) -> Result<(), ()> {
        error!("The append only file cannot be begun: {why}");
        self.leave(writer).await;
        Err(())
    }

    async fn write_base(&self, writer: &Writer) -> Result<(), String> {
        let number = BASES.fetch_add(1, Ordering::Relaxed);
        for shard in &self.parts.shards {
            shard.begin_base.do_send(BeginBase { append: writer.append.clone(), number });
        }
        self.ask_all(Question::Nothing).await;
        self.parts.shards.iter().for_each(|shard| shard.tell.do_send(Tell));
        while !self.is_told().await {
            let fault = self.figures().fault;
            if let Some(fault) = fault {
                return Err(fault.to_string());
            }
            tokio::time::sleep(POLL).await;
        }
        switch(writer).await
    }

    async fn is_told(&self) -> bool {
        let answers = self.ask_all(Question::Told).await;
        answers.len() == self.parts.shards.len()
            && answers.iter().all(|answer| matches!(answer, Answer::Told(true)))
    }

    /// Ends the journal, if there is one.
    ///
    /// # Errors
    /// While a shard is being rebuilt from it.
    pub(super) async fn end_journal(&self) -> Result<(), ()> {
        let answers = self.ask_all(Question::Report).await;
        let serves = |answer: &Answer| match answer {
            Answer::Report(report) => report.phase == Phase::Serving,
            _ => true,
        };
        if !answers.iter().all(serves) {
            return Err(());
        }
        let writer = self.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(writer) = writer {
            self.leave(&writer).await;
            info!("The append only file is off");
        }
        Ok(())
    }

    /// The shards know of no journal any more, then the writer ends.
    async fn leave(&self, writer: &Writer) {
        self.parts.shards.iter().for_each(|shard| shard.end.do_send(End));
        self.ask_all(Question::Nothing).await;
        if let Err(fault) = writer.close().await {
            error!("The append only file is left as it is: {fault}");
        }
    }
}

async fn switch(writer: &Writer) -> Result<(), String> {
    let (sender, receiver) = oneshot::channel();
    writer.switch.do_send(Switch(sender));
    receiver.await.unwrap_or_else(|_| Err("the AOF writer ended".to_owned()))
}
