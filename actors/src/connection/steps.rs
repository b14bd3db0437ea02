//! The steps that a connection decides on, taken: bytes go over the socket, batches to the thread's
//! shard, actions to who performs them. Traffic is counted, and the log says why a client is
//! closed.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Sleep, sleep};
use tracing::{debug, info, warn};
use troupe::base::millis::Millis;
use troupe::batch::Batch;
use troupe::clients::Weight;
use troupe::connection::{Connection as Core, Reason, Step};
use troupe::parked::{Copies, Outcome};
use troupe::replication::Pulled;
use troupe::resp::ProtocolError;
use troupe::route::ShardId;
use troupe::settings::{Fsync, Rebalance};

use crate::actions::{Actions, Performing};
use crate::connection::actor::Ticket;
use crate::connection::codec::Codec;
use crate::connection::followed::Followed;
use crate::connection::moving::Moving;
use crate::connection::stream::Stream;
use crate::thread::Thread;

/// An action under way, the batch that asked for it, and when it began, in nanoseconds of the
/// thread's clock.
pub(super) type Performance = (Performing, Box<Batch>, u64);

/// Wakes a connection when the patience with its client is over.
pub(super) struct Alarm {
    /// In milliseconds of the thread's steady clock.
    at: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    fn new(at: u64, now: u64) -> Alarm {
        Alarm { at, sleep: Box::pin(sleep(Duration::from_millis(at.saturating_sub(now)))) }
    }
}

/// A client's socket, what the connection decides about it, and what is under way for it.
pub(super) struct Conversation {
    pub(super) core: Core,
    codec: Codec,
    thread: Rc<Thread>,
    actions: Arc<dyn Actions>,
    stream: Stream,
    performance: Option<Performance>,
    alarm: Option<Alarm>,
    id: u64,
    /// The actor is woken when the client sends more.
    is_heard: bool,
    /// The connection is to close, which only its actor can do.
    ended: Option<Reason>,
    /// Among whom the client is counted.
    counted: Counted,
    /// With how much memory it is counted.
    weight: Weight,
    /// How far the journal has to be durable for all that a client has written that waits for it.
    marks: Vec<u64>,
    /// The client is a replica, and gets the stream.
    is_replica: bool,
    /// The client is the primary.
    followed: Option<Box<Followed>>,
}

/// What clients are counted by in INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    is_blocked: bool,
    /// Its wait ends by itself.
    is_timed: bool,
    is_watching: bool,
    is_subscribing: bool,
    is_tracking: bool,
}

/// Bytes of the stream that a replica takes at a time, and how often before others go first.
const PULLED_BYTES: usize = 64 * 1024;
const PULLS_AT_ONCE: usize = 16;

/// How often a client that waits for the journal looks how far that has come, in milliseconds.
const LOOK_MS: i64 = 10;

impl Conversation {
    pub(super) fn new(
        id: u64,
        core: Core,
        codec: Codec,
        thread: Rc<Thread>,
        actions: Arc<dyn Actions>,
        stream: Stream,
        followed: Option<Box<Followed>>,
    ) -> Conversation {
        Conversation {
            core,
            codec,
            thread,
            actions,
            stream,
            performance: None,
            alarm: None,
            id,
            is_heard: false,
            ended: None,
            counted: Counted::default(),
            weight: Weight::default(),
            marks: Vec::new(),
            is_replica: false,
            followed,
        }
    }

    /// Takes all steps that can be taken now, in a turn of the actor, which something has woken.
    /// Ready when the connection closes.
    pub(super) fn woken(&mut self, task: &mut TaskContext<'_>) -> Poll<Reason> {
        self.is_heard = false;
        if let Some(reason) = self.ended {
            return Poll::Ready(reason);
        }
        self.pump(task).map(|reason| {
            self.count_end(&reason);
            reason
        })
    }

    /// Takes all steps that can be taken after `change`, in somebody else's turn. Ready when the
    /// connection is to close.
    pub(super) fn go_on(
        &mut self,
        change: impl FnOnce(&mut Conversation),
        task: &mut TaskContext<'_>,
    ) -> Poll<Reason> {
        if self.ended.is_some() {
            return Poll::Pending;
        }
        change(self);
        self.pump(task)
    }

    /// The connection closes in the actor's next turn.
    pub(super) fn end(&mut self, reason: Reason) {
        self.count_end(&reason);
        self.ended = Some(reason);
        self.weigh_as(Weight::default());
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Counts the client's memory anew. One that is to close holds none: who looks for somebody to
    /// close finds others.
    pub(super) fn weigh(&mut self) -> Weight {
        self.core.weigh();
        let weight = match self.ended {
            Some(_) => Weight::default(),
            None => self.core.row().borrow().weight(),
        };
        self.weigh_as(weight);
        weight
    }

    fn weigh_as(&mut self, now: Weight) {
        let before = std::mem::replace(&mut self.weight, now);
        if before != now {
            self.thread.change_weight(before, now);
        }
    }

    /// The batch is home. A client that was a monitor and is none any more is shown no more
    /// commands.
    pub(super) fn came_home(&mut self, mut batch: Box<Batch>, now: Millis) {
        let was_monitor = self.core.is_monitor();
        if let Some(followed) = &mut self.followed
            && !followed.came_home(&mut batch)
        {
            self.core.give_up();
        }
        self.core.came_home(batch, now);
        self.redirect();
        self.count();
        self.is_replica = self.core.is_replica();
        if let Some(wanted) = self.wanted_copies() {
            self.marks = self.thread.shared.sent_to_journal();
            if wanted.replicas > 0 && self.thread.shared.replicas.is_on() {
                self.thread.shared.replicas.ask(self.id);
            }
            self.look_for_copies(None);
        }
        if was_monitor && !self.core.is_monitor() {
            self.actions.remove_monitor(self.id);
        }
    }

    /// Sends what others are told in the place of the client.
    pub(super) fn redirect(&mut self) {
        self.thread.redirect(self.core.take_redirected());
    }

    fn wanted_copies(&self) -> Option<Copies> {
        self.core.parked().and_then(|parked| parked.wanted())
    }

    /// Says which copies there are of what the client has written. `waker` is woken when there may
    /// be more.
    fn look_for_copies(&mut self, waker: Option<&Waker>) {
        let on_journals = self.core.parked().is_some_and(|parked| parked.is_on_journals());
        let (has_journal, is_always) = self.thread.with_shard(|shard| {
            let settings = shard.settings();
            (settings.appendonly, settings.appendfsync == Fsync::Always)
        });
        // Where replies wait for the disk, a batch that is home has nothing to wait for.
        let is_durable = is_always || self.thread.shared.is_durable_to(&self.marks);
        let replicas = self.thread.shared.replicas.count_copies(self.id, on_journals, waker);
        self.core.told_copies(Copies { here: has_journal && is_durable, replicas });
    }

    /// Counts the client anew.
    fn count(&mut self) {
        let parked = self.core.parked();
        self.count_as(Counted {
            is_blocked: parked.is_some(),
            is_timed: parked.is_some_and(|parked| parked.until.is_some()),
            is_watching: self.core.is_watching(),
            is_subscribing: self.core.subscribes(),
            is_tracking: self.core.is_tracking(),
        });
    }

    fn count_as(&mut self, now: Counted) {
        let before = std::mem::replace(&mut self.counted, now);
        if before == now {
            return;
        }
        let traffic = self.thread.traffic();
        for (counter, before, now) in [
            (&traffic.blocked, before.is_blocked, now.is_blocked),
            (&traffic.timed, before.is_timed, now.is_timed),
            (&traffic.watching, before.is_watching, now.is_watching),
            (&traffic.subscribing, before.is_subscribing, now.is_subscribing),
            (&traffic.tracking, before.is_tracking, now.is_tracking),
        ] {
            counter.sub(u64::from(before));
            counter.add(u64::from(now));
        }
    }

    /// Takes all steps that can be taken now. Ready when the connection closes.
    fn pump(&mut self, task: &mut TaskContext<'_>) -> Poll<Reason> {
        let reason = self.take_steps(task);
        if reason.is_ready() {
            self.weigh_as(Weight::default());
        } else if self.thread.limits_clients() {
            self.weigh();
        }
        reason
    }

    fn take_steps(&mut self, task: &mut TaskContext<'_>) -> Poll<Reason> {
        if self.is_replica && self.thread.shared.replicas.is_cut(self.id) {
            return Poll::Ready(Reason::Killed);
        }
        let mut pulled = 0;
        loop {
            self.poll_action(task);
            if let Some(followed) = &self.followed
                && !followed.may_begin(self.core.rests(), task)
            {
                return Poll::Pending;
            }
            match self.next() {
                Step::Write => {
                    if let Err(reason) = ready!(self.poll_write(task)) {
                        return Poll::Ready(reason);
                    }
                }
                Step::Read => {
                    if self.poll_read(task).is_pending() {
                        if let Some(followed) = &self.followed {
                            followed.waits(task);
                        }
                        if let Err(reason) = ready!(self.poll_stream(task, &mut pulled)) {
                            return Poll::Ready(reason);
                        }
                        continue;
                    }
                    if self.is_too_much() {
                        return Poll::Ready(Reason::Evicted);
                    }
                }
                Step::ReadRest(at_most) => self.read_rest(at_most),
                Step::Route(batch, bytes) => self.route(batch, bytes),
                Step::Run(batch) => self.thread.file(batch),
                Step::Perform(batch) => self.perform(batch),
                Step::Refuse(batch, error) => self.refuse(batch, error),
                Step::Park(until) => {
                    ready!(self.poll_wait(task, until));
                }
                Step::Unpark(batch, outcome) => self.unpark(batch, outcome),
                Step::Wait => {
                    self.poll_end(task);
                    if !self.core.holds_pushes() {
                        if let Err(reason) = ready!(self.poll_stream(task, &mut pulled)) {
                            return Poll::Ready(reason);
                        }
                        continue;
                    }
                    if let Err(reason) = ready!(self.poll_patience(task)) {
                        return Poll::Ready(reason);
                    }
                }
                Step::GoTo(shard) => {
                    if self.go_to(shard) {
                        return Poll::Ready(Reason::Gone);
                    }
                }
                Step::Yield => {
                    task.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Step::Close(reason) => return Poll::Ready(reason),
            }
        }
    }

    /// Goes to the thread of a shard with all that the client has. False where it may not: it is
    /// looked for, or that thread has too much to do.
    fn go_to(&mut self, shard: ShardId) -> bool {
        let shared = &self.thread.shared;
        let rules = self.thread.with_shard(|shard| shard.settings().rebalancing.clone());
        let Some(pass) = shared.moves.begin() else { return false };
        if rules.mode != Rebalance::No && !shared.takes_client(shard, rules.busy) {
            return false;
        }
        let Some(mut leaving) = self.core.leave() else { return false };
        self.ended = Some(Reason::Gone);
        self.count_as(Counted::default());
        let seat = leaving.take_companion().and_then(Ticket::give_up);
        match (self.stream.leave(), seat) {
            (Ok(socket), Some(mut seat)) => {
                seat.move_to(usize::from(shard));
                let (codec, actions) = (std::mem::take(&mut self.codec), self.actions.clone());
                Moving { leaving, codec, socket, seat, actions, pass }.leave(&self.thread);
            }
            (Ok(_), None) => warn!(client = self.id, "a client without a seat is closed"),
            (Err(error), _) => {
                warn!(client = self.id, "the socket cannot go to another thread: {error}");
            }
        }
        true
    }

    /// The client has come from another thread.
    pub(super) fn arrived(&mut self) {
        self.count();
        self.weigh();
    }

    fn next(&mut self) -> Step {
        let Conversation { core, codec, thread, .. } = self;
        thread.with_shard(|shard| core.next(shard.settings(), &mut thread.pool(), codec))
    }

    /// Takes more of the stream where the client is a replica. Pending when there is none, or when
    /// it has had so much that others go first.
    fn poll_stream(
        &mut self,
        task: &mut TaskContext<'_>,
        pulled: &mut usize,
    ) -> Poll<Result<(), Reason>> {
        if !self.is_replica {
            return Poll::Pending;
        }
        if *pulled == PULLS_AT_ONCE {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        *pulled += 1;
        let now_ms = self.thread.clock.steady_ms();
        let (replicas, out) = (&self.thread.shared.replicas, self.core.stream());
        match replicas.pull(self.id, task.waker(), PULLED_BYTES, out, now_ms) {
            Pulled::Some => Poll::Ready(Ok(())),
            Pulled::Nothing => Poll::Pending,
            Pulled::End => Poll::Ready(Err(Reason::Done)),
        }
    }

    /// Writes some of the pending output.
    fn poll_write(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Reason>> {
        match self.stream.poll_write(task, self.core.unsent()) {
            Poll::Ready(Ok(0) | Err(_)) => {
                let held = self.stream.held().unwrap_or_else(|error| {
                    debug!(client = self.id, "the rest of the input cannot be read: {error}");
                    0
                });
                self.core.write_failed(held);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(count)) => {
                let traffic = self.thread.traffic();
                traffic.writes.add(1);
                traffic.bytes_out.add(count as u64);
                self.core.wrote(count);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => self.poll_patience(task),
        }
    }

    /// The socket takes no more for now. Ready when the patience with that may be over.
    fn poll_patience(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Reason>> {
        let now = self.thread.clock.steady_ms();
        let until = self.thread.with_shard(|s| self.core.write_stalls(s.settings(), now))?;
        let Some(until) = until else { return Poll::Pending };
        ready!(self.poll_alarm(task, until, now));
        Poll::Ready(Ok(()))
    }

    /// Ready when it is `until`, in milliseconds of the steady clock, on which it is `now`.
    fn poll_alarm(&mut self, task: &mut TaskContext<'_>, until: u64, now: u64) -> Poll<()> {
        let alarm = match self.alarm.take() {
            Some(alarm) if alarm.at == until => alarm,
            _ => Alarm::new(until, now),
        };
        ready!(self.alarm.insert(alarm).sleep.as_mut().poll(task));
        self.alarm = None;
        Poll::Ready(())
    }

    /// Reads more. Pending when there is nothing, and the connection rests.
    fn poll_read(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        if !self.is_heard {
            let input = self.core.input(&mut self.thread.pool());
            match self.stream.poll_read(task, input) {
                Poll::Ready(Ok(0)) => self.core.input_ended(),
                Poll::Ready(Ok(count)) => self.received(count),
                Poll::Ready(Err(_)) => self.core.read_failed(),
                Poll::Pending => self.is_heard = true,
            }
        }
        if self.is_heard {
            self.core.rest(&mut self.thread.pool());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// The client waits for keys, until then at most. Pending for as long as that lasts; what it
    /// sends meanwhile is read.
    fn poll_wait(&mut self, task: &mut TaskContext<'_>, until: Option<Millis>) -> Poll<()> {
        let now = self.thread.clock.now();
        let looks = self.wanted_copies().is_some();
        if looks {
            self.look_for_copies(Some(task.waker()));
            if !self.core.is_waiting() {
                return Poll::Ready(());
            }
        }
        if until.is_some_and(|until| until <= now) {
            self.core.time_is_over(now);
            // Whoever else has ended the wait says so himself.
            return if self.core.is_waiting() { Poll::Pending } else { Poll::Ready(()) };
        }
        let next_look = looks.then(|| now.saturating_add(LOOK_MS));
        if let Some(until) = [until, next_look].into_iter().flatten().min() {
            let steady = self.thread.clock.steady_ms();
            let at = steady.saturating_add(until.since(now) as u64);
            if self.poll_alarm(task, at, steady).is_ready() {
                return Poll::Ready(());
            }
        }
        if self.core.may_read() {
            return self.poll_read(task);
        }
        Poll::Pending
    }

    /// The client's wait has ended.
    fn unpark(&mut self, mut batch: Box<Batch>, outcome: Outcome) {
        self.count();
        if matches!(outcome, Outcome::Copied(_)) {
            self.thread.shared.replicas.waits_no_more(self.id);
        }
        self.thread.with_shard(|shard| shard.unpark(&mut batch, outcome));
        // What sinks have to say of it leaves at the end of a turn.
        self.thread.wake();
        if batch.is_done() {
            self.came_home(batch, self.thread.now());
        } else {
            self.thread.file(batch);
        }
    }

    fn read_rest(&mut self, at_most: usize) {
        let input = self.core.input(&mut self.thread.pool());
        match self.stream.read_held(at_most, input) {
            Ok(0) => self.core.input_ended(),
            Ok(count) => self.received(count),
            Err(error) => {
                debug!(client = self.id, "the rest of the input cannot be read: {error}");
                self.core.read_failed();
            }
        }
    }

    /// All clients together hold too much, and none that may go holds more than this one: what was
    /// read does not run any more.
    fn is_too_much(&mut self) -> bool {
        self.thread.limits_clients() && {
            let weight = self.weigh();
            self.thread.goes_first(weight)
        }
    }

    fn received(&mut self, count: usize) {
        let traffic = self.thread.traffic();
        traffic.reads.add(1);
        traffic.bytes_in.add(count as u64);
        if self.is_replica {
            self.thread.shared.replicas.hear(self.id, self.thread.clock.steady_ms());
        }
        if let Some(followed) = &self.followed {
            followed.received(count);
        }
        self.core.received(count);
    }

    /// Notes the end of the input while the batch is away: what is seen of it then need not be read
    /// to be found.
    fn poll_end(&mut self, task: &mut TaskContext<'_>) {
        if self.is_heard || !self.core.may_send() {
            return;
        }
        match self.stream.poll_end(task) {
            Poll::Ready(Ok(true)) => self.core.input_ended(),
            Poll::Ready(Ok(false)) => {}
            Poll::Ready(Err(_)) => self.core.read_failed(),
            Poll::Pending => self.is_heard = true,
        }
    }

    fn route(&mut self, mut batch: Box<Batch>, bytes: Bytes) {
        self.thread.traffic().commands.add(batch.frames.len() as u64);
        let now = self.thread.now();
        self.thread.with_shard(|shard| {
            batch.route(bytes, now, shard.hasher(), &shard.settings().rename_command);
        });
        if let Some(followed) = &mut self.followed {
            followed.begins(&mut batch);
        }
        self.thread.file(batch);
    }

    fn perform(&mut self, mut batch: Box<Batch>) {
        let action = batch.action.take().expect("the step says that there is one");
        let began = self.thread.clock.nanos();
        let (thread, home) = (self.thread.clone(), batch.home);
        let action = self.actions.clone().perform(action, home, &batch.session, thread);
        self.performance = Some((action, batch, began));
    }

    /// Goes on with the action under way, whether or not its client takes its pending output.
    fn poll_action(&mut self, task: &mut TaskContext<'_>) {
        if let Some((action, ..)) = &mut self.performance
            && let Poll::Ready(result) = action.as_mut().poll(task)
            && let Some((_, batch, began)) = self.performance.take()
        {
            self.thread.performed(batch, began, result);
        }
    }

    /// The client speaks no protocol that can be gone on with: one error, then the end.
    fn refuse(&mut self, mut batch: Box<Batch>, error: ProtocolError) {
        self.thread.with_shard(|shard| shard.refuse(&mut batch, error));
        self.came_home(batch, self.thread.now());
    }

    /// Counts why the connection is to close, from when on the client is not listed any more.
    fn count_end(&self, reason: &Reason) {
        let shared = &self.thread.shared;
        let counter = match reason {
            Reason::QueryLimit => &shared.cut_for_input,
            Reason::OutputLimit(_) => &shared.cut_for_output,
            Reason::Evicted => &shared.evicted,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Says why the connection closes.
    pub(super) fn say(&self, reason: &Reason) {
        match reason {
            Reason::Done | Reason::Killed | Reason::Gone | Reason::Protocol(_) => {
                debug!(client = self.id, "{reason}");
            }
            Reason::Evicted | Reason::ReplyToReplica(_) => {
                let mut row = Vec::new();
                self.core.row().borrow().write(self.thread.clock.now(), &mut row);
                info!("{reason}: {}", String::from_utf8_lossy(&row));
            }
            Reason::Attack | Reason::QueryLimit | Reason::OutputLimit(_) => {
                warn!(client = self.id, "{reason}");
            }
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.count_as(Counted::default());
        self.weigh_as(Weight::default());
        if self.is_replica || self.core.is_replica() || self.wanted_copies().is_some() {
            self.thread.shared.replicas.forget(self.id, self.thread.clock.steady_ms());
        }
        if self.core.is_monitor() {
            self.actions.remove_monitor(self.id);
        }
    }
}
