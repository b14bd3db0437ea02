//! What the actors of one thread share: its shard, its clients, and its way to the other threads.
//!
//! Everything here belongs to one thread and is never locked. A connection works on the shard of
//! its own thread directly; what has to leave the thread is collected and leaves at the end of the
//! turn, in this order: effects to the journal, letters to other threads, batches to their
//! connections.

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
use troupe::connection::Pool;
use troupe::shard::Shard;
use troupe::shard::letter::Letter;
use troupe::stream::credit::Credit;
use troupe::stream::{Append, Policy, Progress};

use crate::clock::Clock;
use crate::fault::panic_text;
use crate::message::{aof, connection, control, router, shard};
use crate::shared::{Shared, Traffic};

/// A thread's shard, clients and mail.
pub struct Thread {
    /// The number of the thread and of its shard.
    pub number: u16,
    /// Time.
    pub clock: Clock,
    /// What all threads share.
    pub shared: Arc<Shared>,
    shard: RefCell<Shard>,
    peers: RefCell<Vec<Recipient<shard::Letters>>>,
    router: RefCell<Option<Recipient<router::Moved>>>,
    journal: RefCell<Option<Journal>>,
    clients: RefCell<Slab<Client>>,
    pool: RefCell<Pool>,
    runner: RefCell<Option<Waker>>,
    alarm: Cell<Option<Millis>>,
    looked: Cell<Millis>,
    /// The longest time for which the shard held the thread.
    pub slices: Slices,
}

/// The thread's account with the AOF writer.
struct Journal {
    writer: Recipient<aof::Append>,
    credit: Credit,
    policy: Policy,
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
    pub fn new(number: u16, shard: Shard, clock: Clock, shared: Arc<Shared>) -> Thread {
        Thread {
            number,
            clock,
            shared,
            shard: RefCell::new(shard),
            peers: RefCell::default(),
            router: RefCell::default(),
            journal: RefCell::default(),
            clients: RefCell::default(),
            pool: RefCell::default(),
            runner: RefCell::default(),
            alarm: Cell::default(),
            looked: Cell::default(),
            slices: Slices::default(),
        }
    }

    /// Tells the thread where the shards of all threads are, in order, and where the router is.
    pub fn meet(&self, peers: Vec<Recipient<shard::Letters>>, router: Recipient<router::Moved>) {
        *self.peers.borrow_mut() = peers;
        *self.router.borrow_mut() = Some(router);
    }

    /// From now on effects go to the journal.
    pub fn begin_journal(&self, writer: Recipient<aof::Append>, policy: Policy) {
        self.shard.borrow_mut().effects().listen(true);
        let mut journal = self.journal.borrow_mut();
        match &mut *journal {
            Some(begun) => {
                begun.policy = policy;
                begun.credit.set_policy(policy);
            }
            None => *journal = Some(Journal { writer, credit: Credit::new(policy), policy }),
        }
    }

    /// There is no journal any more, and nobody waits for one.
    pub fn end_journal(&self) {
        self.end_turn();
        *self.journal.borrow_mut() = None;
        let mut shard = self.shard.borrow_mut();
        shard.effects().listen(false);
        shard.rebuilds(false);
        shard.end_base();
        shard.receive(Letter::Credit(true));
        shard.receive(Letter::Journal(None));
        drop(shard);
        self.wake();
    }

    /// What this thread counts of its clients' sockets.
    #[inline]
    pub fn traffic(&self) -> &Traffic {
        &self.shared.traffic[usize::from(self.number)]
    }

    /// Whether the journal has room for what nobody waits for.
    pub fn has_room(&self) -> bool {
        self.journal.borrow().as_ref().is_some_and(|journal| journal.credit.has_room())
    }

    /// Takes up a change of `appendfsync`.
    pub fn set_policy(&self, policy: Policy) {
        if let Some(journal) = &mut *self.journal.borrow_mut() {
            journal.policy = policy;
            journal.credit.set_policy(policy);
        }
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
        let has_effects = !shard.effects().is_empty();
        drop(shard);
        self.end_slice();
        match home {
            Some(batch) if has_effects || self.waits_for_journal() => self.send_effects(batch),
            Some(batch) => {
                self.wake_for_leftovers();
                Some(batch)
            }
            None => {
                self.wake();
                None
            }
        }
    }

    /// A slice that began with `slices.begin` ends.
    pub fn end_slice(&self) {
        if let Some(nanos) = self.slices.end(&self.clock) {
            self.shard.borrow_mut().note_slice(nanos);
        }
    }

    /// Sends what the batch did ahead of its replies. Returns the batch unless it has to wait until
    /// that is durable.
    fn send_effects(&self, batch: Box<Batch>) -> Option<Box<Batch>> {
        let mut home = Some(batch);
        let mut finished = Vec::new();
        if self.waits_for_journal() {
            finished.extend(home.take());
        }
        self.append(finished);
        self.wake_for_leftovers();
        home
    }

    /// True when replies must not leave before what they show is durable.
    fn waits_for_journal(&self) -> bool {
        let journal = self.journal.borrow();
        let always = journal.as_ref().is_some_and(|journal| journal.policy == Policy::Always);
        always
            && (!self.shared.journal.is_durable() || !self.shard.borrow_mut().effects().is_empty())
    }

    fn append(&self, finished: Vec<Box<Batch>>) {
        let mut journal = self.journal.borrow_mut();
        let mut shard = self.shard.borrow_mut();
        let (bytes, runs) = shard.effects().take();
        let Some(journal) = &mut *journal else { return };
        if bytes.is_empty() && finished.is_empty() {
            return;
        }
        if !bytes.is_empty() {
            self.shared.journal.appended();
        }
        journal.credit.sent(bytes.len() as u64, self.clock.steady_ms());
        let append = Append { shard: self.number, runs, bytes, finished };
        journal.writer.do_send(aof::Append(append));
        let is_open = journal.credit.is_open(self.clock.steady_ms());
        shard.receive(Letter::Credit(is_open));
    }

    /// The journal has come further, or time has.
    pub fn update_credit(&self, progress: Option<Progress>) {
        let mut journal = self.journal.borrow_mut();
        let Some(journal) = &mut *journal else { return };
        if let Some(progress) = progress {
            journal.credit.progressed(progress);
        }
        let is_open = journal.credit.is_open(self.clock.steady_ms());
        self.shard.borrow_mut().receive(Letter::Credit(is_open));
    }

    /// Ends a turn of the shard: effects, then letters, then replies.
    pub fn end_turn(&self) {
        let waits = self.waits_for_journal();
        let outbox = std::mem::take(&mut self.shard.borrow_mut().outbox);
        let (held, homes) =
            if waits { (outbox.homes, Vec::new()) } else { (Vec::new(), outbox.homes) };
        self.append(held);
        let peers = self.peers.borrow();
        let mut mail: Vec<Vec<Letter>> = Vec::new();
        mail.resize_with(peers.len(), Vec::new);
        let mut here = outbox.arrived;
        for (to, letter) in outbox.letters {
            mail[usize::from(to)].push(letter);
        }
        for batch in homes {
            match batch.home.thread {
                thread if thread == self.number => here.push(batch),
                thread => mail[usize::from(thread)].push(Letter::Home(batch)),
            }
        }
        for (peer, letters) in peers.iter().zip(mail) {
            if !letters.is_empty() {
                peer.do_send(shard::Letters(letters));
            }
        }
        drop(peers);
        if let Some(router) = &*self.router.borrow()
            && !outbox.moved.is_empty()
        {
            router.do_send(router::Moved { slots: outbox.moved, to: self.number });
        }
        here.into_iter().for_each(|batch| self.send_home(batch));
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

    /// The runner of the shard sleeps until this waker is woken.
    pub fn set_runner(&self, waker: &Waker) {
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
        if is_earlier || shard.has_leftovers() {
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
