//! What the actors of one thread share: its shard, its clients, and its way to the other threads.
//!
//! Everything here belongs to one thread and is never locked. A connection works on the shard of
//! its own thread directly. What has to leave when is decided in the core
//! ([`troupe::shard::turn`]); here it is sent.

use std::cell::{Cell, RefCell, RefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use actix::Recipient;
use slab::Slab;
use tracing::error;
use troupe::base::millis::Millis;
use troupe::batch::Batch;
use troupe::commands::error::CommandError;
use troupe::connection::Pool;
use troupe::shard::Shard;
use troupe::shard::letter::Letter;
use troupe::shard::turn::{Push, Ready};
use troupe::stream::{Policy, Progress};

use crate::clock::Clock;
use crate::fault::panic_text;
use crate::inbox::Inbox;
use crate::message::{aof, connection, control, router};
use crate::post::Post;
use crate::shared::{Shared, Traffic};

/// A thread's shard, clients and mail.
pub struct Thread {
    /// The number of the thread and of its shard.
    pub number: u16,
    /// Time.
    pub clock: Clock,
    /// What all threads share.
    pub shared: Arc<Shared>,
    post: Arc<Post>,
    shard: RefCell<Shard>,
    router: RefCell<Option<Recipient<router::Moved>>>,
    writer: RefCell<Option<aof::Appends>>,
    clients: RefCell<Slab<Client>>,
    pool: RefCell<Pool>,
    runner: RefCell<Option<Waker>>,
    alarm: Cell<Option<Millis>>,
    looked: Cell<Millis>,
    /// The longest time for which the shard held the thread.
    pub slices: Slices,
}

/// A client of the thread.
pub struct Client {
    /// Its number, unique over the process.
    pub id: u64,
    /// Where its batch goes.
    pub home: Recipient<connection::Executed>,
    /// How it is told to close.
    pub kill: Recipient<connection::Kill>,
    /// How it gets what it did not ask for.
    pub push: Recipient<connection::Push>,
    /// How it is made to panic, for tests.
    pub panic: Recipient<control::Panic>,
    /// What the connection says of itself.
    pub row: Rc<RefCell<troupe::clients::Row>>,
}

impl Thread {
    /// A thread around its shard.
    pub fn new(
        number: u16,
        shard: Shard,
        clock: Clock,
        shared: Arc<Shared>,
        post: Arc<Post>,
    ) -> Thread {
        Thread {
            number,
            clock,
            shared,
            post,
            shard: RefCell::new(shard),
            router: RefCell::default(),
            writer: RefCell::default(),
            clients: RefCell::default(),
            pool: RefCell::default(),
            runner: RefCell::default(),
            alarm: Cell::default(),
            looked: Cell::default(),
            slices: Slices::default(),
        }
    }

    /// Tells the thread where the router is.
    pub fn meet(&self, router: Recipient<router::Moved>) {
        *self.router.borrow_mut() = Some(router);
    }

    /// From now on effects go to the journal.
    pub fn begin_journal(&self, writer: aof::Appends, policy: Policy) {
        *self.writer.borrow_mut() = Some(writer);
        self.shard.borrow_mut().begin_journal(policy);
    }

    /// There is no journal any more, and nobody waits for one.
    pub fn end_journal(&self) {
        self.end_turn();
        self.shard.borrow_mut().end_journal();
        *self.writer.borrow_mut() = None;
        self.wake();
    }

    /// What this thread counts of its clients' sockets.
    #[inline]
    pub fn traffic(&self) -> &Traffic {
        &self.shared.traffic[usize::from(self.number)]
    }

    /// The shard, for the moment of `work`.
    pub fn with_shard<R>(&self, work: impl FnOnce(&mut Shard) -> R) -> R {
        work(&mut self.shard.borrow_mut())
    }

    /// Lets the batch run here as far as it belongs here. Returns it when it is home. A panic that
    /// is not a command's own costs the batch, and makes the shard distrust what it holds.
    pub fn visit(&self, batch: Box<Batch>) -> Option<Box<Batch>> {
        self.slices.begin(&self.clock);
        let mut clock = self.clock.clone();
        let mut shard = self.shard.borrow_mut();
        let visit = || shard.visit(batch, &mut clock);
        let home = catch_unwind(AssertUnwindSafe(visit)).unwrap_or_else(|panic| {
            error!(shard = self.number, "panic in the shard: {}", panic_text(&*panic));
            shard.distrust();
            None
        });
        drop(shard);
        self.end_slice();
        match home {
            Some(batch) => self.end_visit(batch),
            None => {
                self.wake();
                None
            }
        }
    }

    /// The connection performed the action of the batch's next call; its reply begins at `mark`.
    /// Returns the batch unless its replies have to wait.
    pub fn performed(
        &self,
        mut batch: Box<Batch>,
        mark: usize,
        nanos: u64,
        result: Result<(), CommandError>,
    ) -> Option<Box<Batch>> {
        self.shard.borrow_mut().performed(&mut batch, mark, nanos, result);
        self.end_visit(batch)
    }

    /// Sends what has to leave ahead of the batch's replies, if anything has. Returns the batch
    /// unless its replies have to wait.
    fn end_visit(&self, batch: Box<Batch>) -> Option<Box<Batch>> {
        let is_durable = || self.shared.journal.is_durable();
        let mut shard = self.shard.borrow_mut();
        let home = if shard.is_settled(is_durable) {
            drop(shard);
            Some(batch)
        } else {
            let (ready, home) = shard.end_visit(batch, self.clock.steady_ms(), is_durable());
            drop(shard);
            self.apply(ready);
            home
        };
        self.wake_for_leftovers();
        home
    }

    /// A slice that began with `slices.begin` ends.
    pub fn end_slice(&self) {
        if let Some(nanos) = self.slices.end(&self.clock) {
            self.shard.borrow_mut().note_slice(nanos);
        }
    }

    /// The journal has come further, or time has.
    pub fn progressed(&self, progress: Option<Progress>) {
        self.shard.borrow_mut().progressed(progress, self.clock.steady_ms());
    }

    /// Ends a turn of the shard.
    pub fn end_turn(&self) {
        if !self.shard.borrow().has_to_send() {
            return;
        }
        let (now_ms, is_durable) = (self.clock.steady_ms(), self.shared.journal.is_durable());
        let ready = self.shard.borrow_mut().end_turn(now_ms, is_durable);
        self.apply(ready);
    }

    /// Sends what is ready, in its order.
    fn apply(&self, ready: Ready) {
        let Ready { append, pushes, letters, moved, homes } = ready;
        if let (Some(append), Some(writer)) = (append, &*self.writer.borrow()) {
            self.shared.journal.appended(&append);
            let is_urgent = append.is_urgent;
            writer.send(append, is_urgent);
        }
        pushes.into_iter().for_each(|push| self.push(push));
        self.post.send(letters);
        if let Some(router) = &*self.router.borrow()
            && !moved.is_empty()
        {
            router.do_send(router::Moved { slots: moved, to: self.number });
        }
        homes.into_iter().for_each(|batch| self.send_home(batch));
    }

    fn push(&self, push: Push) {
        let clients = self.clients.borrow();
        let client = clients.get(push.to.connection as usize);
        if let Some(client) = client.filter(|client| client.id == push.client) {
            client.push.do_send(connection::Push(push.bytes));
        }
    }

    fn send_home(&self, batch: Box<Batch>) {
        let clients = self.clients.borrow();
        let client = clients.get(batch.home.connection as usize);
        if let Some(client) = client.filter(|client| client.id == batch.session.id) {
            client.home.do_send(connection::Executed(batch));
        }
    }

    /// Registers a client; its place is where its batches go home to.
    pub fn add_client(&self, client: Client) -> u32 {
        self.clients.borrow_mut().insert(client) as u32
    }

    /// Forgets a client. It keeps its seat until its batch is gone as well.
    pub fn remove_client(&self, place: u32) {
        self.clients.borrow_mut().try_remove(place as usize);
    }

    /// Calls `each` with every client of the thread.
    pub fn each_client(&self, mut each: impl FnMut(&Client)) {
        self.clients.borrow().iter().for_each(|(_, client)| each(client));
    }

    /// Closes the clients that have been silent for longer than `timeout` and wait for nothing.
    /// Asked for each tick; looks once a second.
    pub fn close_idle(&self) {
        let timeout = i64::from(self.shard.borrow().settings().timeout);
        let now = self.clock.now();
        if timeout == 0 || now.since(self.looked.get()) < 1_000 {
            return;
        }
        self.looked.set(now);
        self.each_client(|client| {
            if client.row.borrow().is_overdue(now, timeout) {
                client.kill.do_send(connection::Kill { after_reply: false });
            }
        });
    }

    /// Panics in the actor of one of the thread's clients.
    pub fn panic_a_client(&self) {
        if let Some((_, client)) = self.clients.borrow().iter().next() {
            client.panic.do_send(control::Panic);
        }
    }

    /// The buffers that the thread's connections lend each other.
    pub fn pool(&self) -> RefMut<'_, Pool> {
        self.pool.borrow_mut()
    }

    /// Letters to this thread. Its runner takes them out; whoever gives the thread other work wakes
    /// the runner when there are some.
    pub fn inbox(&self) -> &Inbox<Letter> {
        self.post.inbox(self.number)
    }

    /// The runner of the shard sleeps until this waker is woken.
    pub fn set_runner(&self, waker: &Waker) {
        self.inbox().set_waker(waker);
        let mut runner = self.runner.borrow_mut();
        if !runner.as_ref().is_some_and(|there| there.will_wake(waker)) {
            *runner = Some(waker.clone());
        }
    }

    /// Wakes the runner of the shard.
    pub fn wake(&self) {
        if let Some(runner) = &*self.runner.borrow() {
            runner.wake_by_ref();
        }
    }

    /// The runner has set its alarm.
    pub fn set_alarm(&self, at: Option<Millis>) {
        self.alarm.set(at);
    }

    /// Wakes the runner when a visit left something to do, now or earlier than its alarm.
    fn wake_for_leftovers(&self) {
        let shard = self.shard.borrow();
        let is_earlier = match (shard.next_due(), self.alarm.get()) {
            (Some(due), Some(alarm)) => due < alarm,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_earlier || shard.has_leftovers() || !self.inbox().is_empty() {
            drop(shard);
            self.wake();
        }
    }
}

/// Holds up the thread, as a command that runs far too long would.
#[expect(clippy::disallowed_methods, reason = "holding up the thread is what is asked for")]
pub fn stall(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// How long the shard held its thread at a time, in the thread's own CPU time.
///
/// Asking the kernel for it costs as much as a command, so it is asked at most once each
/// [`Slices::STEP_NS`] of time, and at the end only of slices that took long: what is reported is
/// at most that step too long, never too short.
#[derive(Debug, Default)]
pub struct Slices {
    began: Cell<u64>,
    asked: Cell<u64>,
    cpu: Cell<u64>,
}

impl Slices {
    const STEP_NS: u64 = 100_000;
    const LONG_NS: u64 = 300_000;

    /// A slice begins.
    #[inline]
    pub fn begin(&self, clock: &Clock) {
        let now = clock.nanos();
        self.began.set(now);
        if now - self.asked.get() > Self::STEP_NS {
            self.asked.set(now);
            self.cpu.set(crate::clock::thread_cpu_ns());
        }
    }

    /// It ended. Returns how long it was, in nanoseconds, where it was long.
    #[inline]
    pub fn end(&self, clock: &Clock) -> Option<u64> {
        let now = clock.nanos();
        if now - self.began.get() <= Self::LONG_NS {
            return None;
        }
        let cpu = crate::clock::thread_cpu_ns();
        self.asked.set(now);
        Some(cpu - self.cpu.replace(cpu))
    }
}
