//! The AOF writer's actor: a thin shell around `troupe::aof::writer`, on a thread of its own.
//!
//! It is where the stream of effects has its one order, so it is there without a journal as well:
//! then it reads the stream for replicas alone, or has nothing to do.
//!
//! What shards did comes through an inbox, and the core says when it is taken in; all else is mail,
//! ahead of which the inbox is emptied. Handlers only file; one runner carries out the tasks that
//! follow. A panic counts as a failed sync, since nobody can say what had reached the file; what is
//! in the inbox then is taken in after it, as mail is.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context, Handler, Recipient, Supervised};
use tokio::time::{Sleep, sleep};
use tracing::{error, info, warn};
use troupe::aof::directory::Directory;
use troupe::aof::figures::JournalFigures;
use troupe::aof::increment::Increment;
use troupe::aof::journal::{Journal, News};
use troupe::aof::storage::Work;
use troupe::aof::writer::{self, Task};
use troupe::replication::Tap;
use troupe::shard::letter::Letter;
use troupe::shard::turn::Held;
use troupe::stream::{Consumer, Policy};

use crate::aof::loader;
use crate::clock::Clock;
use crate::fault::{Vital, give_up};
use crate::guard::{Guard, Guarded};
use crate::memory::Meter;
use crate::message::aof::{
    Appends, Asks, Close, ForgetBase, HandOn, ListBase, Listen, Open, Put, Rebuild, SetPolicy,
    SyncAll,
};
use crate::message::control::{Panic, Restarted};
use crate::message::shard::Progressed;
use crate::post::Post;
use crate::shared::Shared;

const HAS_DIRECTORY: &str = "what is done to files is of a journal that has begun";

/// What a writer is given beside its files.
pub struct Parts {
    /// Where it finds what shards did.
    pub appends: Appends,
    /// Letters to the threads.
    pub post: Arc<Post>,
    /// Where shards hear how far their effects have come, in order.
    pub progress: Vec<Recipient<Progressed>>,
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
    /// None while there is no journal.
    directory: Option<Directory>,
    /// None until the moment of the base with which the journal begins.
    increment: Option<Increment>,
    /// What replicas get, while somebody wants it.
    tap: Option<Tap>,
    parts: Parts,
    guard: Guard,
    panics_next: bool,
    /// What the thread uses: it frees what shards have allocated. None until it has started.
    meter: Option<Meter>,
    /// Bytes that were sent to the journal and taken in.
    taken: u64,
    _vital: Vital,
}

impl AofWriter {
    /// A writer without a journal.
    pub fn without_journal(parts: Parts) -> AofWriter {
        AofWriter::of(Journal::that_begins(Policy::Never), None, None, parts)
    }

    /// A writer over an open increment.
    pub fn new(
        journal: Journal<Held>,
        directory: Directory,
        increment: Increment,
        parts: Parts,
    ) -> AofWriter {
        AofWriter::of(journal, Some(directory), Some(increment), parts)
    }

    fn of(
        journal: Journal<Held>,
        directory: Option<Directory>,
        increment: Option<Increment>,
        parts: Parts,
    ) -> AofWriter {
        let _vital = Vital("the AOF writer");
        let guard = Guard::new("aof-writer", parts.guardian.clone());
        let core = writer::Writer::new(journal);
        AofWriter {
            core,
            directory,
            increment,
            tap: None,
            guard,
            panics_next: false,
            meter: None,
            // Whatever was sent before went to another one.
            taken: parts.shared.memory.all_sent(),
            parts,
            _vital,
        }
    }

    /// Carries out everything that there is to do.
    fn work(&mut self) {
        self.meter.iter().for_each(Meter::wakes);
        let is_hurried = self.parts.appends.wake();
        if std::mem::take(&mut self.panics_next) {
            panic!("DEBUG PANIC-ACTOR");
        }
        if self.core.takes_in(is_hurried, self.parts.clock.steady_ms()) {
            let found = self.take_in();
            self.core.took_in(found, self.parts.clock.steady_ms());
            // A write may take long.
            self.publish();
        }
        while let Some(task) = self.core.next(self.parts.clock.steady_ms()) {
            self.carry_out(task);
            self.publish();
        }
        self.meter.iter().for_each(Meter::sleeps);
    }

    /// Tells what is in memory because of the journal.
    fn publish(&self) {
        self.meter.iter().for_each(Meter::publish_balance);
        self.parts.shared.memory.settled(self.taken.saturating_sub(self.core.memory()));
    }

    /// Takes in what has been appended. Returns true when anything had.
    fn take_in(&mut self) -> bool {
        let now_ms = self.parts.clock.steady_ms();
        let notes_time = self.parts.shared.notes_time.load(Ordering::Relaxed);
        self.core.tell_time(notes_time.then(|| self.parts.clock.now().0 / 1_000));
        let mut found = false;
        while let Some(append) = self.parts.appends.take() {
            found = true;
            self.taken += append.bytes.capacity() as u64;
            let tap = self.tap.as_mut().map(|tap| tap as &mut dyn Consumer);
            self.core.append(append, tap, now_ms);
        }
        self.feed_replicas();
        found
    }

    /// Hands on what replicas may see.
    fn feed_replicas(&mut self) {
        if let Some(tap) = self.tap.as_mut().filter(|_| self.core.may_show()) {
            let fed = tap.take();
            self.parts.shared.replicas.feed(&fed, self.parts.clock.steady_ms());
        }
    }

    /// The files of the journal.
    fn directory(&mut self) -> &mut Directory {
        self.directory.as_mut().expect(HAS_DIRECTORY)
    }

    /// Files mail, behind what was appended before it was sent.
    fn file(&mut self, ctx: &mut Context<AofWriter>, file: impl FnOnce(&mut AofWriter)) {
        self.guarded(ctx, AofWriter::take_in);
        file(self);
    }

    /// Says that the writer dozes or sleeps from now on. False when it has to look once more.
    fn rests(&self) -> bool {
        match self.core.next_round_ms() {
            Some(_) => {
                self.parts.appends.doze();
                true
            }
            None => self.parts.appends.sleep(),
        }
    }

    /// When there is something to do though nothing comes.
    fn wake_ms(&self) -> Option<u64> {
        self.core.wake_ms().into_iter().chain(self.core.next_round_ms()).min()
    }

    fn carry_out(&mut self, task: Task<Held, Asks, Rebuild>) {
        match task {
            Task::Disk(work) => self.do_on_disk(&work),
            Task::BeginIncrement { is_listed } => self.begin_increment(is_listed),
            Task::ListBase(increments) => {
                let keeps_history = self.parts.shared.keeps_history.load(Ordering::Relaxed);
                let directory = self.directory.as_mut().expect(HAS_DIRECTORY);
                directory.keep_history(keeps_history);
                let listed = directory.list_base(increments, self.increment.as_mut());
                let listed = listed.map(|(sizes, leftovers)| {
                    leftovers.iter().for_each(|leftover| warn!("{leftover}"));
                    sizes
                });
                let now_ms = self.parts.clock.steady_ms();
                self.core.listed(listed.map_err(|error| error.to_string()), now_ms);
            }
            Task::UndoBase => {
                let undone = self.directory().undo_unfinished();
                self.core.undone(undone.map_err(|error| error.to_string()));
            }
            Task::Rebuild(rebuild, up_to) => match self.directory().files() {
                Ok(files) => loader::spawn_rebuild(files, up_to, rebuild),
                Err(fault) => self.core.cannot_rebuild(&fault.to_string()),
            },
            Task::MadeDurable(count) => {
                self.parts.shared.journal.made_durable(count);
                self.feed_replicas();
            }
            Task::Tell(news) => self.tell(news),
            Task::Abandon(waiting) => {
                self.send_home(waiting.into_iter().filter_map(Held::abandon).collect());
            }
            Task::Show(figures) => {
                let mut shown =
                    self.parts.figures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                *shown = figures;
            }
            // Who asked may have gone meanwhile.
            Task::Answer(asks, result) => drop(asks.send(result)),
            Task::GiveUp(why) => give_up(&why),
            Task::End => {
                (self.directory, self.increment) = (None, None);
                self.core.left();
                self.feed_replicas();
            }
        }
    }

    fn begin_increment(&mut self, is_listed: bool) {
        let begun = match is_listed {
            true => self.directory().add_increment(),
            false => self.directory().create_unlisted(),
        };
        let begun = begun.map(|increment| self.increment = Some(increment)).map_err(|fault| {
            error!("The AOF cannot go on with another file: {fault}");
            let current = self.increment.as_ref().filter(|_| is_listed);
            let directory = self.directory.as_mut();
            let both = current.zip(directory);
            let is_last = both.is_some_and(|(current, directory)| directory.ends_with(current));
            (fault.into_fault(), is_last)
        });
        self.core.begun(begun);
    }

    fn do_on_disk(&mut self, work: &Work) {
        let increment = self.increment.as_mut().expect("work is on an increment that is open");
        let result = work.perform(increment);
        if let Err(fault) = &result {
            error!("Error in the AOF file: {fault}");
        }
        self.core.done(result, self.parts.clock.steady_ms());
    }

    fn tell(&self, news: News<Held>) {
        match news {
            News::Release(released) => self.send_home(released),
            News::Progress(progress) => {
                if let Some(shard) = self.parts.progress.get(usize::from(progress.shard)) {
                    shard.do_send(Progressed(progress));
                }
            }
            News::Refuse(fault) => {
                error!("Writes are refused: {fault}");
                self.tell_all(Some(&fault.reason));
            }
            News::Resume => {
                info!("The AOF can be written again");
                self.tell_all(None);
            }
        }
    }

    fn send_home(&self, released: Vec<Held>) {
        self.parts.post.send(released.into_iter().map(Held::into_letter));
    }

    fn tell_all(&self, refused: Option<&String>) {
        self.parts.post.send_all(|| Letter::Journal(refused.cloned()));
    }
}

impl Actor for AofWriter {
    type Context = Context<AofWriter>;

    fn started(&mut self, ctx: &mut Context<AofWriter>) {
        self.meter.get_or_insert_with(|| self.parts.shared.memory.of_journal());
        ctx.spawn(Runner { alarm: None });
    }
}

impl Drop for AofWriter {
    /// Nobody takes in what is appended any more.
    fn drop(&mut self) {
        self.parts.appends.close();
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
        let path = self.increment.as_ref().map(|increment| increment.path().display().to_string());
        self.core.restarted(path.unwrap_or_default());
        if self.tap.is_some() {
            // What was being taken in may be missing in the stream of replicas.
            self.tap = Some(Tap::default());
            self.parts.shared.replicas.end();
            self.parts.shared.replicas.begin(self.parts.clock.steady_ms());
        }
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
        actor.parts.appends.set_waker(task.waker());
        loop {
            if actor.guarded(ctx, AofWriter::work).is_none() {
                return Poll::Ready(());
            }
            if !actor.rests() {
                continue;
            }
            let Some(wake) = actor.wake_ms() else {
                self.alarm = None;
                return Poll::Pending;
            };
            let left = wake.saturating_sub(actor.parts.clock.steady_ms());
            let until = Duration::from_millis(left.max(1));
            if self.alarm.as_ref().is_none_or(|(at, _)| *at != wake) {
                self.alarm = Some((wake, Box::pin(sleep(until))));
            }
            let Some((_, alarm)) = &mut self.alarm else { return Poll::Pending };
            if alarm.as_mut().poll(task).is_pending() {
                return Poll::Pending;
            }
            self.alarm = None;
        }
    }
}

impl Handler<SetPolicy> for AofWriter {
    type Result = ();

    fn handle(&mut self, policy: SetPolicy, ctx: &mut Context<AofWriter>) {
        self.file(ctx, |writer| {
            let now_ms = writer.parts.clock.steady_ms();
            writer.core.set_policy(policy.0, now_ms);
        });
    }
}

impl Handler<Rebuild> for AofWriter {
    type Result = ();

    fn handle(&mut self, rebuild: Rebuild, ctx: &mut Context<AofWriter>) {
        self.file(ctx, |writer| writer.core.rebuild(rebuild));
    }
}

impl Handler<ListBase> for AofWriter {
    type Result = ();

    fn handle(&mut self, list: ListBase, ctx: &mut Context<AofWriter>) {
        self.file(ctx, |writer| writer.core.list_base(list.0, list.1));
    }
}

impl Handler<ForgetBase> for AofWriter {
    type Result = ();

    fn handle(&mut self, forget: ForgetBase, ctx: &mut Context<AofWriter>) {
        self.file(ctx, |writer| writer.core.forget_base(forget.0));
    }
}

impl Handler<SyncAll> for AofWriter {
    type Result = ();

    fn handle(&mut self, sync: SyncAll, ctx: &mut Context<AofWriter>) {
        self.file(ctx, |writer| writer.core.sync(sync.0));
    }
}

impl Handler<Close> for AofWriter {
    type Result = ();

    fn handle(&mut self, close: Close, ctx: &mut Context<AofWriter>) {
        self.file(ctx, |writer| writer.core.close(close.0));
    }
}

impl Handler<Open> for AofWriter {
    type Result = ();

    fn handle(&mut self, open: Open, ctx: &mut Context<AofWriter>) {
        self.file(ctx, |writer| {
            writer.directory = Some(open.0);
            // Who asked may have gone meanwhile.
            let _ = open.1.send(Ok(()));
        });
    }
}

impl Handler<Put> for AofWriter {
    type Result = ();

    fn handle(&mut self, put: Put, ctx: &mut Context<AofWriter>) {
        self.file(ctx, |writer| {
            if let Some(tap) = &mut writer.tap {
                tap.put(put.0);
            }
            writer.feed_replicas();
        });
    }
}

impl Handler<Listen> for AofWriter {
    type Result = ();

    fn handle(&mut self, listen: Listen, ctx: &mut Context<AofWriter>) {
        self.file(ctx, |writer| {
            let replicas = &writer.parts.shared.replicas;
            if listen.0 && writer.tap.is_none() {
                writer.tap = Some(Tap::default());
                replicas.begin(writer.parts.clock.steady_ms());
            } else if !listen.0 {
                writer.tap = None;
                replicas.end();
            }
            // Who asked may have gone meanwhile.
            let _ = listen.1.send(Ok(()));
        });
    }
}

impl Handler<HandOn> for AofWriter {
    type Result = ();

    fn handle(&mut self, HandOn(_one, asks): HandOn, ctx: &mut Context<AofWriter>) {
        self.file(ctx, |writer| {
            writer.feed_replicas();
            // Who asked may have gone meanwhile.
            let _ = asks.send(Ok(()));
        });
    }
}

impl Handler<Panic> for AofWriter {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<AofWriter>) {
        self.panics_next = true;
    }
}
