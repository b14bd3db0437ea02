//! The AOF writer's actor: a thin shell around `troupe::aof::writer`, on a thread of its own.
//!
//! Handlers only file mail; one runner carries out the tasks that follow from it. A panic counts as
//! a failed sync, since nobody can say what had reached the file.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, Arbiter, AsyncContext, Context, Handler, Recipient, Supervised};
use tokio::time::{Sleep, sleep};
use tracing::{error, info, warn};
use troupe::aof::directory::Directory;
use troupe::aof::increment::Increment;
use troupe::aof::journal::{Journal, JournalFigures, News};
use troupe::aof::storage::Work;
use troupe::aof::writer::{self, Task};
use troupe::shard::letter::Letter;
use troupe::shard::turn::Held;

use crate::aof::loader;
use crate::clock::Clock;
use crate::fault::{Vital, give_up};
use crate::guard::{Guard, Guarded};
use crate::message::aof::{Append, Asks, Close, Rebuild, SetPolicy, Switch, SyncAll};
use crate::message::control::{Panic, Restarted};
use crate::message::shard::{Letters, Progressed};
use crate::shared::Shared;

/// Where the writer sends its news: by shard, in order.
pub struct Receivers {
    /// Letters to the threads.
    pub letters: Vec<Recipient<Letters>>,
    /// How far a shard's effects have come.
    pub progress: Vec<Recipient<Progressed>>,
}

/// What a writer is given beside its files.
pub struct Parts {
    /// Where its news go.
    pub receivers: Receivers,
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Where its figures are seen.
    pub figures: Arc<Mutex<JournalFigures>>,
    /// Time.
    pub clock: Clock,
    /// Restarts.
    pub guardian: Recipient<Restarted>,
}

/// The actor that owns the journal.
pub struct AofWriter {
    core: writer::Writer<Held, Asks, Rebuild>,
    directory: Directory,
    increment: Increment,
    parts: Parts,
    guard: Guard,
    panics_next: bool,
    _vital: Vital,
}

impl AofWriter {
    /// A writer over an open increment.
    pub fn new(
        journal: Journal<Held>,
        directory: Directory,
        increment: Increment,
        parts: Parts,
    ) -> AofWriter {
        AofWriter::around(writer::Writer::new(journal), directory, increment, parts)
    }

    /// A writer over the file of a base that begins. `on_fault` is answered when it fails.
    pub fn of_base(
        journal: Journal<Held>,
        on_fault: Asks,
        directory: Directory,
        base: Increment,
        parts: Parts,
    ) -> AofWriter {
        AofWriter::around(writer::Writer::of_base(journal, on_fault), directory, base, parts)
    }

    fn around(
        core: writer::Writer<Held, Asks, Rebuild>,
        directory: Directory,
        increment: Increment,
        parts: Parts,
    ) -> AofWriter {
        let _vital = Vital("the AOF writer");
        let guard = Guard::new("aof-writer", parts.guardian.clone());
        AofWriter { core, directory, increment, parts, guard, panics_next: false, _vital }
    }

    /// Carries out everything that is due.
    fn work(&mut self) {
        if std::mem::take(&mut self.panics_next) {
            panic!("DEBUG PANIC-ACTOR");
        }
        while let Some(task) = self.core.next(self.parts.clock.steady_ms()) {
            self.carry_out(task);
        }
    }

    fn carry_out(&mut self, task: Task<Held, Asks, Rebuild>) {
        match task {
            Task::Disk(work) => self.do_on_disk(&work),
            Task::BeginIncrement => {
                let begun = self.directory.begin().map(|(increment, leftovers)| {
                    leftovers.iter().for_each(|leftover| warn!("{leftover}"));
                    self.increment = increment;
                });
                self.core.begun(begun.map_err(|error| error.to_string()));
            }
            Task::UndoBase => {
                let undone = self.directory.undo_unfinished();
                self.core.undone(undone.map_err(|error| error.to_string()));
            }
            Task::Rebuild(rebuild, up_to) => match self.directory.files() {
                Ok(files) => loader::spawn_rebuild(files, up_to, rebuild),
                Err(fault) => self.core.cannot_rebuild(&fault.to_string()),
            },
            Task::MadeDurable(count) => self.parts.shared.journal.made_durable(count),
            Task::Tell(news) => self.tell(news),
            Task::Show(figures) => {
                let mut shown =
                    self.parts.figures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                *shown = figures;
            }
            // Who asked may have gone meanwhile.
            Task::Answer(asks, result) => drop(asks.send(result)),
            Task::GiveUp(why) => give_up(&why),
            Task::End => drop(Arbiter::current().stop()),
        }
    }

    fn do_on_disk(&mut self, work: &Work) {
        let result = work.perform(&mut self.increment);
        if let Err(fault) = &result {
            error!("Error in the AOF file: {fault}");
        }
        self.core.done(result, self.parts.clock.steady_ms());
    }

    fn tell(&self, news: News<Held>) {
        match news {
            News::Release(released) => self.send_home(released),
            News::Abandon(waiting) => {
                self.send_home(waiting.into_iter().filter_map(Held::abandon).collect());
            }
            News::Progress(progress) => {
                let shards = &self.parts.receivers.progress;
                if let Some(shard) = shards.get(usize::from(progress.shard)) {
                    shard.do_send(Progressed(progress));
                }
            }
            News::Refuse(fault) => {
                error!("Writes are refused: {fault}");
                self.tell_all(Some(&fault.reason));
            }
            News::Resume => {
                info!("The AOF file can be written again");
                self.tell_all(None);
            }
        }
    }

    fn send_home(&self, released: Vec<Held>) {
        let letters = released.into_iter().map(Held::into_letter);
        Letters::send_each(&self.parts.receivers.letters, letters);
    }

    fn tell_all(&self, refused: Option<&String>) {
        for receiver in &self.parts.receivers.letters {
            receiver.do_send(Letters(vec![Letter::Journal(refused.cloned())]));
        }
    }
}

impl Actor for AofWriter {
    type Context = Context<AofWriter>;

    fn started(&mut self, ctx: &mut Context<AofWriter>) {
        // Credits bound what is on its way here, not the mailbox.
        ctx.set_mailbox_capacity(usize::from(u16::MAX));
        ctx.spawn(Runner { alarm: None });
    }
}

impl Guarded for AofWriter {
    fn guard(&mut self) -> &mut Guard {
        &mut self.guard
    }
}

impl Supervised for AofWriter {
    fn restarting(&mut self, _: &mut Context<AofWriter>) {
        self.guard.restarted();
        self.core.restarted(self.increment.path().display().to_string());
    }
}

/// The one place where the writer works.
struct Runner {
    alarm: Option<(u64, Pin<Box<Sleep>>)>,
}

impl ActorFuture<AofWriter> for Runner {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut AofWriter,
        ctx: &mut Context<AofWriter>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        loop {
            if actor.guarded(ctx, AofWriter::work).is_none() {
                return Poll::Ready(());
            }
            let Some(due) = actor.core.due_ms() else {
                self.alarm = None;
                return Poll::Pending;
            };
            let left = due.saturating_sub(actor.parts.clock.steady_ms());
            let until = Duration::from_millis(left.max(1));
            if self.alarm.as_ref().is_none_or(|(at, _)| *at != due) {
                self.alarm = Some((due, Box::pin(sleep(until))));
            }
            let Some((_, alarm)) = &mut self.alarm else { return Poll::Pending };
            if alarm.as_mut().poll(task).is_pending() {
                return Poll::Pending;
            }
            self.alarm = None;
        }
    }
}

impl Handler<Append> for AofWriter {
    type Result = ();

    fn handle(&mut self, append: Append, ctx: &mut Context<AofWriter>) {
        let take = |writer: &mut AofWriter| {
            writer.core.append(append.0, writer.parts.clock.steady_ms());
        };
        self.guarded(ctx, take);
    }
}

impl Handler<SetPolicy> for AofWriter {
    type Result = ();

    fn handle(&mut self, policy: SetPolicy, _: &mut Context<AofWriter>) {
        self.core.set_policy(policy.0);
    }
}

impl Handler<Rebuild> for AofWriter {
    type Result = ();

    fn handle(&mut self, rebuild: Rebuild, _: &mut Context<AofWriter>) {
        self.core.rebuild(rebuild);
    }
}

impl Handler<Switch> for AofWriter {
    type Result = ();

    fn handle(&mut self, switch: Switch, _: &mut Context<AofWriter>) {
        self.core.switch(switch.0);
    }
}

impl Handler<SyncAll> for AofWriter {
    type Result = ();

    fn handle(&mut self, sync: SyncAll, _: &mut Context<AofWriter>) {
        self.core.sync(sync.0);
    }
}

impl Handler<Close> for AofWriter {
    type Result = ();

    fn handle(&mut self, close: Close, _: &mut Context<AofWriter>) {
        self.core.close(close.0);
    }
}

impl Handler<Panic> for AofWriter {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<AofWriter>) {
        self.panics_next = true;
    }
}
