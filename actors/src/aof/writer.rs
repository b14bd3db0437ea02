//! The AOF writer's actor: a thin shell around `troupe::aof::journal`, on a thread of its own.
//!
//! Handlers only file mail; one runner does the disk work that the journal asks for and sends out
//! its news. A panic counts as a failed sync, since nobody can say what had reached the file.
//!
//! A journal that begins while the server runs is written to a base that nothing lists, and its
//! failures concern only whoever asked for it, until `Switch` says that the base is whole.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{
    Actor, ActorContext, ActorState, Arbiter, AsyncContext, Context, Handler, Recipient, Supervised,
};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tracing::{error, info};
use troupe::aof::journal::{Figures, Journal, News, Sizes};
use troupe::aof::storage::Fault;
use troupe::shard::letter::Letter;
use troupe::shard::turn::Held;
use troupe::stream::{self, Policy};

use crate::aof::disk::Directory;
use crate::aof::increment::Increment;
use crate::aof::loader;
use crate::clock::Clock;
use crate::fault::{Vital, give_up, panic_text};
use crate::message::aof::{Append, Close, Rebuild, SetPolicy, Switch};
use crate::message::control::{Panic, Restarted};
use crate::message::shard::{Letters, Progressed};
use crate::shared::Shared;

/// Where the writer sends its news: by shard, in order.
pub struct Receivers {
    /// Letters to the threads.
    pub letters: Vec<Recipient<Letters>>,
    /// How far a shard's effects have come.
    pub progress: Vec<Recipient<Progressed>>,
    /// Restarts.
    pub guardian: Recipient<Restarted>,
}

/// The actor that owns the journal.
pub struct AofWriter {
    journal: Journal<Held>,
    directory: Directory,
    increment: Increment,
    receivers: Receivers,
    shared: Arc<Shared>,
    figures: Arc<Mutex<Figures>>,
    clock: Clock,
    taken: u64,
    rebuilds: Vec<Rebuild>,
    closing: Option<oneshot::Sender<Result<(), String>>>,
    is_over: bool,
    writes_base: bool,
    switching: Option<oneshot::Sender<Result<(), String>>>,
    panics_next: bool,
    last_panic: String,
    _vital: Vital,
}

impl AofWriter {
    /// A writer over an open increment.
    pub fn new(
        journal: Journal<Held>,
        directory: Directory,
        increment: Increment,
        receivers: Receivers,
        shared: Arc<Shared>,
        figures: Arc<Mutex<Figures>>,
        clock: Clock,
    ) -> AofWriter {
        AofWriter {
            journal,
            directory,
            increment,
            receivers,
            shared,
            figures,
            clock,
            taken: 0,
            rebuilds: Vec::new(),
            closing: None,
            is_over: false,
            writes_base: false,
            switching: None,
            panics_next: false,
            last_panic: String::new(),
            _vital: Vital("the AOF writer"),
        }
    }

    /// The same, over the file of a base that begins.
    pub fn of_base(mut self) -> AofWriter {
        self.writes_base = true;
        self
    }

    /// Runs `work`; after a panic the supervisor restarts the writer.
    fn guarded(&mut self, ctx: &mut Context<AofWriter>, work: impl FnOnce(&mut AofWriter)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            self.last_panic = panic_text(&*panic);
            error!("panic in the AOF writer: {}", self.last_panic);
            ctx.stop();
        }
    }

    /// Takes in what a shard did. A lost journal holds nobody back who only reads.
    fn take(&mut self, mut append: stream::Append<Held>) {
        let has_effects = !append.bytes.is_empty();
        self.taken += u64::from(has_effects);
        if self.journal.is_lost() {
            let reads = append.finished.extract_if(.., |held| !held.shows_writes(has_effects));
            self.send_home(reads.collect());
        }
        self.journal.append(append, self.clock.steady_ms());
    }

    fn send_home(&self, released: Vec<Held>) {
        let mut homes: HashMap<u16, Vec<Letter>> = HashMap::new();
        for (thread, letter) in released.into_iter().map(Held::into_letter) {
            homes.entry(thread).or_default().push(letter);
        }
        for (thread, letters) in homes {
            if let Some(receiver) = self.receivers.letters.get(usize::from(thread)) {
                receiver.do_send(Letters(letters));
            }
        }
    }

    /// Does all disk work that is due, and sends out what follows from it.
    fn work(&mut self) {
        if std::mem::take(&mut self.panics_next) {
            panic!("DEBUG PANIC-ACTOR");
        }
        if self.is_over {
            return;
        }
        while let Some(work) = self.journal.next(self.clock.steady_ms()) {
            let result = work.perform(&mut self.increment);
            if let Err(fault) = &result {
                error!("Error in the AOF file: {fault}");
            }
            self.journal.done(result, self.clock.steady_ms());
            self.send_news();
        }
        self.send_news();
        self.end_base();
        self.start_rebuilds();
        self.end_closing();
    }

    fn send_news(&mut self) {
        for news in self.journal.take_news() {
            match news {
                News::Release(released) => self.send_home(released),
                News::Abandon(waiting) => {
                    self.send_home(waiting.into_iter().filter_map(Held::abandon).collect());
                }
                News::Progress(progress) => {
                    if let Some(shard) = self.receivers.progress.get(usize::from(progress.shard)) {
                        shard.do_send(Progressed(progress));
                    }
                }
                News::Refuse(fault) => self.tell_all(Some(&fault)),
                News::Resume => self.tell_all(None),
            }
        }
        // Last, so that what nobody holds back any more does not overtake what was released.
        if self.journal.is_durable() {
            self.shared.journal.made_durable(self.taken);
        }
        self.show(self.journal.figures());
    }

    fn show(&self, figures: Figures) {
        *self.figures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = figures;
    }

    fn tell_all(&self, fault: Option<&Fault>) {
        if self.writes_base {
            return;
        }
        match fault {
            Some(fault) => error!("Writes are refused: {fault}"),
            None => info!("The AOF file can be written again"),
        }
        for receiver in &self.receivers.letters {
            let reason = fault.map(|fault| fault.reason.clone());
            receiver.do_send(Letters(vec![Letter::Journal(reason)]));
        }
    }

    fn start_rebuilds(&mut self) {
        if self.journal.is_lost() {
            if !self.rebuilds.is_empty() {
                give_up("a shard has to be rebuilt while the journal cannot be trusted");
            }
            return;
        }
        let Some(up_to) = self.journal.written_length() else { return };
        for rebuild in self.rebuilds.drain(..) {
            match self.directory.files() {
                Ok(files) => loader::spawn_rebuild(files, up_to, rebuild),
                Err(fault) => give_up(&format!("a shard cannot be rebuilt: {fault}")),
            }
        }
    }

    /// The base is left for an increment once all of it is durable.
    fn end_base(&mut self) {
        let fault = self.journal.fault().map(ToString::to_string);
        if fault.is_none() && !self.journal.is_durable() {
            return;
        }
        let Some(switching) = self.switching.take() else { return };
        if !self.writes_base {
            let _ = switching.send(fault.map_or(Ok(()), Err));
            return;
        }
        let begun = match fault {
            Some(fault) => Err(fault),
            None => self.directory.begin().map_err(|error| error.to_string()),
        };
        let result = begun.map(|increment| {
            self.increment = increment;
            self.writes_base = false;
            self.journal.begin_increment();
        });
        let _ = switching.send(result);
    }

    /// Ends with its thread once everything is durable, or cannot be. What waited for that waits no
    /// longer: there is no journal any more that could promise it.
    fn end_closing(&mut self) {
        if !self.journal.is_durable() && self.journal.fault().is_none() {
            return;
        }
        let Some(closing) = self.closing.take() else { return };
        let result = match self.journal.fault() {
            // Why the base is given up has been said.
            _ if self.writes_base => {
                self.directory.undo_unfinished().map_err(|error| error.to_string())
            }
            Some(fault) => Err(fault.to_string()),
            None => Ok(()),
        };
        let waiting = self.journal.take_waiting();
        self.send_home(waiting);
        // The next journal may begin before this thread has ended.
        self.is_over = true;
        self.show(Journal::<()>::new(Policy::Never, Sizes::default()).figures());
        let _ = closing.send(result);
        Arbiter::current().stop();
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

impl Supervised for AofWriter {
    fn restarting(&mut self, _: &mut Context<AofWriter>) {
        self.receivers
            .guardian
            .do_send(Restarted { name: "aof-writer".to_owned(), why: self.last_panic.clone() });
        self.journal.distrust(Fault {
            operation: "panic",
            path: self.increment.path().display().to_string(),
            reason: "the AOF writer was started anew and does not trust its file".to_owned(),
        });
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
            actor.guarded(ctx, AofWriter::work);
            if ctx.state() == ActorState::Stopping {
                return Poll::Ready(());
            }
            let Some(due) = actor.journal.due_ms() else {
                self.alarm = None;
                return Poll::Pending;
            };
            let until = Duration::from_millis(due.saturating_sub(actor.clock.steady_ms()).max(1));
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
        self.guarded(ctx, |writer| writer.take(append.0));
    }
}

impl Handler<SetPolicy> for AofWriter {
    type Result = ();

    fn handle(&mut self, policy: SetPolicy, _: &mut Context<AofWriter>) {
        self.journal.set_policy(policy.0);
    }
}

impl Handler<Rebuild> for AofWriter {
    type Result = ();

    fn handle(&mut self, rebuild: Rebuild, _: &mut Context<AofWriter>) {
        self.rebuilds.push(rebuild);
    }
}

impl Handler<Switch> for AofWriter {
    type Result = ();

    fn handle(&mut self, switch: Switch, _: &mut Context<AofWriter>) {
        if self.writes_base {
            // So that all is synced at once, whatever the policy.
            self.journal.close();
        }
        self.switching = Some(switch.0);
    }
}

impl Handler<Close> for AofWriter {
    type Result = ();

    fn handle(&mut self, close: Close, _: &mut Context<AofWriter>) {
        self.journal.close();
        self.closing = Some(close.0);
    }
}

impl Handler<Panic> for AofWriter {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<AofWriter>) {
        self.panics_next = true;
    }
}
