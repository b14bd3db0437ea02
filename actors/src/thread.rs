//! What the actors of one thread share: its shard, its clients, and its way to the other threads.
//!
//! Everything here belongs to one thread and is never locked. A connection files its batch with the
//! shard of its own thread, and gets it back at the end of a turn, without mail. What has to leave
//! when is decided in the core ([`troupe::shard::turn`]); here it is sent.

mod clients;
mod neighbours;

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::VecDeque;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use actix::Recipient;
use bytes::Bytes;
use slab::Slab;
use tracing::error;
use troupe::base::millis::Millis;
use troupe::batch::Batch;
use troupe::clients::{Peaks, Weight, Weights};
use troupe::commands::error::CommandError;
use troupe::connection::{Arrival, Pool};
use troupe::hook::push::Push;
use troupe::parked::{Outcome, Parked, Served, Why};
use troupe::pubsub::{Message, Name, Redirected};
use troupe::shard::Shard;
use troupe::shard::letter::Letter;
use troupe::shard::turn::Ready;
use troupe::stream::{Policy, Progress};

use crate::actions::Actions;
use crate::clock::Clock;
use crate::fault::panic_text;
use crate::inbox::Inbox;
use crate::message::snapshot::{Mail, Mails};
use crate::message::{aof, router};
use crate::post::Post;
use crate::shared::{Shared, Traffic};

use clients::Tell;
pub use neighbours::{RunAt, Work};

/// For how long a time that was read is as good as a new one, in nanoseconds.
const FRESH_NS: u64 = 100_000;

/// A batch of so many calls runs without waiting for those of other clients.
const ENOUGH_CALLS: usize = 8;

/// Clients that are written to at a time what was pushed to them: a fraction of a millisecond.
const FLUSHED_AT_ONCE: usize = 64;

/// A thread's shard, clients and mail.
pub struct Thread {
    /// The number of the thread and of its shard.
    pub number: u16,
    /// Time.
    pub clock: Clock,
    /// What all threads share.
    pub shared: Arc<Shared>,
    post: Arc<Post>,
    /// The writer of snapshots.
    snapshots: Mails,
    own: Weak<Thread>,
    shard: RefCell<Shard>,
    actions: RefCell<Option<Arc<dyn Actions>>>,
    router: RefCell<Option<Recipient<router::Moved>>>,
    writer: RefCell<Option<aof::Appends>>,
    run_at: OnceCell<RunAt>,
    /// What the last turn came to: empty, but for its room.
    ready: RefCell<Ready>,
    /// Clients to which something was pushed that is not written, each once.
    to_flush: RefCell<VecDeque<Rc<dyn Line>>>,
    clients: RefCell<Slab<Client>>,
    pool: RefCell<Pool>,
    runner: RefCell<Option<Waker>>,
    /// The runner is woken, and has not come yet.
    is_woken: Cell<bool>,
    /// The runner sleeps until then at most.
    alarm: Cell<Option<Millis>>,
    /// The number of the client whose batch was filed last.
    last: Cell<u64>,
    /// It had filed the one before as well.
    is_alone: Cell<bool>,
    /// What is filed runs at once.
    runs_now: Cell<bool>,
    /// The time, and when it was read, in nanoseconds.
    read: Cell<(Millis, u64)>,
    /// When the thread last looked after some of its clients, in milliseconds of the steady clock,
    /// and the place of the next.
    looked: Cell<(u64, usize)>,
    /// The memory of its clients.
    weights: RefCell<Weights>,
    /// What all clients may hold together, in bytes; none where that has no limit.
    clients_max: Cell<Option<u64>>,
    /// Who is told when clients are closed, while all threads look at their sockets ahead of that.
    looks: RefCell<Option<Vec<Tell>>>,
    /// The largest input and output of its clients lately.
    peaks: Cell<[Peaks; 2]>,
    /// The longest time for which the shard held the thread.
    pub slices: Slices,
}

/// A client of the thread.
pub struct Client {
    /// Its number, unique over the process.
    pub id: u64,
    /// Its connection.
    pub line: Rc<dyn Line>,
    /// What the connection says of itself.
    pub row: Rc<RefCell<troupe::clients::Row>>,
}

/// A client's connection, as its own thread reaches it.
pub trait Line {
    /// Its batch is home at `now`, in milliseconds of unix time.
    fn came_home(&self, batch: Box<Batch>, now: Millis);

    /// Bytes for the client outside its own replies. They are written when it is flushed.
    fn push(&self, bytes: &Bytes, at: Arrival<'_>);

    /// A message for the client, which subscribes to this pattern, or else to its channel. The
    /// same.
    fn deliver(&self, message: &Arc<Message>, pattern: Option<&Name>, at: Arrival<'_>);

    /// A message about keys that the client has cached. The same.
    fn outdated(&self, message: &Arc<Message>, at: Arrival<'_>);

    /// A message about keys that another client has cached, which has named this one. The same.
    fn redirected(&self, message: &Arc<Message>, at: Arrival<'_>);

    /// The client with this number has gone, which is told of keys in the place of this one. The
    /// same.
    fn redirect_broken(&self, named: u64, at: Arrival<'_>);

    /// Whether nobody has said so since it was flushed last: the caller flushes it, then.
    fn has_to_flush(&self) -> bool;

    /// Writes what was pushed.
    fn flush(&self);

    /// The client's wait for keys has ended.
    fn wait_ended(&self, outcome: Outcome);

    /// Ends the client's wait for keys. False where it does not wait.
    fn unblock(&self, why: Why) -> bool;

    /// The client's wait for keys, while it waits.
    fn parked(&self) -> Option<Arc<Parked>>;

    /// Close: at once, or, for a client that asked for its own end, after its reply.
    fn kill(&self, after_reply: bool);

    /// It is reached where it is from now on: it goes to no other thread.
    fn stay(&self);

    /// Counts the memory of the client anew, and returns it.
    fn weigh(&self) -> Weight;

    /// Forgets how much its buffer of replies has held.
    fn forget_peak(&self);

    /// Close: all clients together hold too much memory.
    fn evict(&self);

    /// Whether the client is as good as gone: only its actor has not closed it yet.
    fn is_ended(&self) -> bool;

    /// Panic, for tests.
    fn panic(&self);
}

impl Thread {
    /// A thread around its shard.
    pub fn new(
        number: u16,
        shard: Shard,
        clock: Clock,
        shared: Arc<Shared>,
        post: Arc<Post>,
        snapshots: Mails,
    ) -> Rc<Thread> {
        Rc::new_cyclic(|own| Thread {
            number,
            clock,
            shared,
            post,
            snapshots,
            own: own.clone(),
            shard: RefCell::new(shard),
            actions: RefCell::default(),
            router: RefCell::default(),
            writer: RefCell::default(),
            run_at: OnceCell::new(),
            ready: RefCell::default(),
            to_flush: RefCell::default(),
            clients: RefCell::default(),
            pool: RefCell::default(),
            runner: RefCell::default(),
            is_woken: Cell::default(),
            alarm: Cell::default(),
            last: Cell::default(),
            is_alone: Cell::default(),
            runs_now: Cell::default(),
            read: Cell::default(),
            looked: Cell::default(),
            weights: RefCell::default(),
            clients_max: Cell::default(),
            looks: RefCell::default(),
            peaks: Cell::default(),
            slices: Slices::default(),
        })
    }

    /// Tells the thread who performs actions.
    pub fn meet_actions(&self, actions: Arc<dyn Actions>) {
        *self.actions.borrow_mut() = Some(actions);
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
        self.publish_journaled();
        self.wake();
    }

    /// From now on effects are recorded for replicas, or no more.
    pub fn replicate(&self, writer: aof::Appends, on: bool) {
        self.end_turn();
        *self.writer.borrow_mut() = Some(writer);
        self.shard.borrow_mut().replicate(on);
        self.publish_journaled();
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

    /// Runs `work` of the shard; a panic makes the shard distrust what it holds.
    pub fn guarded<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(result) => Some(result),
            Err(panic) => {
                error!(shard = self.number, "panic in the shard: {}", panic_text(&*panic));
                self.with_shard(|shard| shard.distrust());
                None
            }
        }
    }

    /// The time, in milliseconds of unix time, as it was [`FRESH_NS`] ago at the earliest.
    #[inline]
    pub fn now(&self) -> Millis {
        let nanos = self.clock.nanos();
        let (now, at) = self.read.get();
        if at != 0 && nanos - at < FRESH_NS {
            return now;
        }
        let now = self.clock.now();
        self.read.set((now, nanos));
        now
    }

    /// Lets a batch of one of the thread's clients run in the next turn. That begins when all
    /// clients that are ready have filed theirs, since over many keys the waits for memory overlap;
    /// or at once, for a client that is alone, and for a batch that has many keys itself.
    #[inline]
    pub fn file(&self, batch: Box<Batch>) {
        let client = batch.session.id;
        let is_alone = self.last.replace(client) == client;
        self.is_alone.set(is_alone);
        let is_enough = is_alone || batch.left() >= ENOUGH_CALLS;
        self.shard.borrow_mut().file(batch);
        if is_enough {
            self.runs_now.set(true);
        } else {
            self.wake();
        }
    }

    /// Takes in the letters that have come. One that panics is lost, and no other.
    pub fn take_letters(&self) {
        let mut has_come = false;
        while let Some(letter) = self.inbox().take() {
            has_come = true;
            self.guarded(|| self.with_shard(|shard| shard.receive(letter)));
        }
        if has_come {
            let pushes = self.with_shard(Shard::take_arrived);
            self.push(pushes.into_iter());
            self.flush_soon();
        }
    }

    /// The turn of a batch that was filed just now and is to run at once. What else there is to do
    /// is left to the runner.
    pub fn run_filed(&self) {
        if !self.runs_now.take() {
            return;
        }
        self.slices.begin(&self.clock);
        // What was published before the batch was sent is here.
        if !self.inbox().is_empty() {
            self.take_letters();
        }
        let (now, mut clock) = (self.now(), self.clock.clone());
        self.guarded(|| self.with_shard(|shard| shard.work(now, &mut clock)));
        self.end_turn();
        self.end_slice();
        self.wake_for_leftovers();
    }

    /// A shard was rebuilt: those of the thread's clients that waited there wait again.
    fn wait_again(&self, shard: u16) {
        let mut letters = Vec::new();
        self.each_client(|client| {
            if let Some(parked) = client.line.parked() {
                letters.push((shard, Letter::WaitAgain(Arc::downgrade(&parked))));
            }
        });
        self.post.send(letters);
    }

    /// Performs the action of a batch that keeps what it holds meanwhile: what needs slots itself
    /// is begun, and not waited for.
    fn perform(&self, mut batch: Box<Batch>) {
        let (thread, actions) = (self.own.upgrade(), self.actions.borrow().clone());
        let (Some(thread), Some(actions)) = (thread, actions) else { return };
        let Some(action) = batch.action.take() else { return };
        let (began, needs_slots) = (self.clock.nanos(), action.needs_slots());
        let performing = actions.perform(action, batch.home, &batch.session, thread.clone());
        if needs_slots {
            actix::spawn(async move { drop(performing.await) });
            return thread.performed(batch, began, Ok(b"+OK\r\n".to_vec()));
        }
        actix::spawn(async move {
            let result = performing.await;
            thread.performed(batch, began, result);
        });
    }

    /// The action of the batch's next call, which began then, was performed, with this reply. The
    /// rest of the batch runs in the next turn.
    pub fn performed(
        &self,
        mut batch: Box<Batch>,
        began: u64,
        result: Result<Vec<u8>, CommandError>,
    ) {
        let mark = batch.replies.len();
        let nanos = self.clock.nanos() - began;
        let result = result.map(|reply| batch.replies.extend_from_slice(&reply));
        self.shard.borrow_mut().performed(&mut batch, mark, nanos, result);
        self.file(batch);
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
        self.publish_journaled();
    }

    fn publish_journaled(&self) {
        let journaled = self.shard.borrow().journaled();
        self.shared.journaled[usize::from(self.number)].publish(journaled);
    }

    /// Ends a turn of the shard.
    pub fn end_turn(&self) {
        if !self.shard.borrow().has_to_send() {
            return;
        }
        let (now_ms, is_durable) = (self.clock.steady_ms(), self.shared.journal.is_durable());
        // What was held and is not any more goes first.
        if is_durable && self.shard.borrow().has_pushes() && !self.inbox().is_empty() {
            self.take_letters();
        }
        let mut ready = self.ready.borrow_mut();
        self.shard.borrow_mut().end_turn(now_ms, is_durable, &mut ready);
        self.apply(&mut ready);
    }

    /// Sends what is ready, in its order.
    fn apply(&self, ready: &mut Ready) {
        let Ready { append, snapshots, pushes, letters, moved, homes, performs, served, rebuilt } =
            ready;
        if let (Some(append), Some(writer)) = (append.take(), &*self.writer.borrow()) {
            self.shared.journal.appended(&append);
            self.shared.memory.sent(append.bytes.capacity());
            self.publish_journaled();
            let is_urgent = append.is_urgent;
            writer.send(append, is_urgent);
        }
        for news in snapshots.drain(..) {
            self.snapshots.send(Mail::News(self.number, news), true);
        }
        self.push(pushes.drain(..));
        self.post_heard(letters);
        self.post.send(letters.drain(..));
        if !moved.is_empty()
            && let Some(router) = &*self.router.borrow()
        {
            router.do_send(router::Moved { slots: take(moved), to: self.number });
        }
        rebuilt.drain(..).for_each(|shard| self.wait_again(shard));
        for Served { to, client, outcome, .. } in served.drain(..) {
            if let Some(line) = self.line(to.connection, client) {
                line.wait_ended(outcome);
            }
        }
        performs.drain(..).for_each(|batch| self.perform(batch));
        let now = self.now();
        homes.drain(..).for_each(|batch| self.send_home(batch, now));
        // Behind the replies: ahead of what its own clients get later is where it has to be.
        self.flush_soon();
        self.look_after_filed();
    }

    /// Says what was heard once the thread has looked at its sockets: of the clients that have
    /// closed before a subscription is confirmed, none is counted after that.
    fn post_heard(&self, letters: &mut Vec<(u16, Letter)>) {
        let is_heard = |(_, letter): &mut (u16, Letter)| matches!(letter, Letter::Heard(_));
        let heard: Vec<(u16, Letter)> = letters.extract_if(.., is_heard).collect();
        if !heard.is_empty() {
            let post = self.post.clone();
            actix::spawn(async move {
                tokio::task::yield_now().await;
                post.send(heard);
            });
        }
    }

    /// Who has filed another batch in somebody else's turn does not look after it.
    fn look_after_filed(&self) {
        if self.runs_now.take() {
            self.wake();
        }
    }

    /// Gives clients what they did not ask for; it is written later.
    fn push(&self, pushes: impl ExactSizeIterator<Item = Push>) {
        if pushes.len() == 0 {
            return;
        }
        let shard = self.shard.borrow();
        let (settings, register) = (shard.settings().clone(), shard.register());
        let at = Arrival { settings: &settings, turns: shard.turns() };
        let mut letters = Vec::new();
        let give = |place, client, to: &dyn Fn(&dyn Line)| {
            let Some(line) = self.line(place, client) else { return false };
            to(&*line);
            if line.has_to_flush() {
                self.to_flush.borrow_mut().push_back(line);
            }
            true
        };
        for push in pushes {
            match push {
                Push::Bytes { to, client, bytes } => {
                    give(to.connection, client, &|line| line.push(&bytes, at));
                }
                Push::Message { message, .. } => {
                    register.receivers(&message, |receiver, pattern| {
                        give(receiver.connection, receiver.client, &|line| match message
                            .is_of_keys()
                        {
                            true => line.outdated(&message, at),
                            false => line.deliver(&message, pattern, at),
                        });
                    });
                }
                Push::Outdated { to, client, message } => {
                    give(to.connection, client, &|line| line.outdated(&message, at));
                }
                Push::Redirected(Redirected { to, of: (home, client), message }) => {
                    let is_there = give(to.home.connection, to.client, &|line| {
                        line.redirected(&message, at);
                    });
                    if !is_there {
                        let broken = Push::RedirectBroken { to: home, client, named: to.client };
                        letters.push((home.thread, Letter::Push(broken)));
                    }
                }
                Push::RedirectBroken { to, client, named } => {
                    give(to.connection, client, &|line| line.redirect_broken(named, at));
                }
            }
        }
        drop(shard);
        self.post.send(letters);
    }

    /// Sees to it that what was pushed is written. Where others run as well, that waits for them,
    /// and each client is written to for all that it gets of them; but not where keys may be
    /// evicted: what clients are told of some would make others go.
    fn flush_soon(&self) {
        let has_some = !self.to_flush.borrow().is_empty();
        let at_once = self.is_alone.get() || self.shard.borrow().has_limit();
        if has_some && (!at_once || self.flush_some()) {
            self.wake();
        }
    }

    /// Writes to some of the clients to which something was pushed. Returns true where there are
    /// more: other clients have their turn first.
    pub fn flush_some(&self) -> bool {
        for _ in 0..FLUSHED_AT_ONCE {
            let Some(line) = self.to_flush.borrow_mut().pop_front() else { break };
            line.flush();
        }
        self.look_after_filed();
        !self.to_flush.borrow().is_empty()
    }

    fn send_home(&self, batch: Box<Batch>, now: Millis) {
        if let Some(line) = self.line(batch.home.connection, batch.session.id) {
            line.came_home(batch, now);
        }
    }

    /// Sends what a client that has cached keys has somebody else told.
    pub fn redirect(&self, redirected: Vec<Redirected>) {
        if !redirected.is_empty() {
            let pushes = redirected.into_iter().map(Push::Redirected);
            self.post.send(pushes.map(|push| (push.thread(), Letter::Push(push))));
        }
    }

    /// The connection of a client at its place, unless another client has come there.
    #[inline]
    fn line(&self, place: u32, client: u64) -> Option<Rc<dyn Line>> {
        let clients = self.clients.borrow();
        let there = clients.get(place as usize).filter(|there| there.id == client);
        there.map(|there| there.line.clone())
    }

    /// Registers the client that `make` makes for its place, which is where its batches go home to.
    /// Returns what is made beside it, and the place.
    pub fn add_client<R>(&self, make: impl FnOnce(u32) -> (R, Client)) -> (R, u32) {
        let mut clients = self.clients.borrow_mut();
        let place = clients.vacant_entry();
        let at = place.key() as u32;
        let (made, client) = make(at);
        place.insert(client);
        (made, at)
    }

    /// Forgets a client. It keeps its seat until its batch is gone as well.
    pub fn remove_client(&self, place: u32) {
        self.clients.borrow_mut().try_remove(place as usize);
    }

    /// Calls `each` with every client of the thread.
    pub fn each_client(&self, mut each: impl FnMut(&Client)) {
        self.clients.borrow().iter().for_each(|(_, client)| each(client));
    }

    /// Panics in the actor of one of the thread's clients.
    pub fn panic_a_client(&self) {
        if let Some((_, client)) = self.clients.borrow().iter().next() {
            client.line.panic();
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

    /// The runner of the shard has come, and will sleep until this waker is woken.
    pub fn set_runner(&self, waker: &Waker) {
        self.inbox().set_waker(waker);
        self.is_woken.set(false);
        let mut runner = self.runner.borrow_mut();
        if !runner.as_ref().is_some_and(|there| there.will_wake(waker)) {
            *runner = Some(waker.clone());
        }
    }

    /// The runner has set its alarm.
    pub fn set_alarm(&self, at: Option<Millis>) {
        self.alarm.set(at);
    }

    /// Wakes the runner when a turn left something to do, now or earlier than its alarm.
    fn wake_for_leftovers(&self) {
        let shard = self.shard.borrow();
        let is_earlier = match (shard.next_deadline(), self.alarm.get()) {
            (Some(deadline), Some(alarm)) => deadline < alarm,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_earlier || shard.has_leftovers() || !self.inbox().is_empty() {
            drop(shard);
            self.wake();
        }
    }

    /// Wakes the runner of the shard.
    #[inline]
    pub fn wake(&self) {
        if !self.is_woken.replace(true)
            && let Some(runner) = &*self.runner.borrow()
        {
            runner.wake_by_ref();
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
