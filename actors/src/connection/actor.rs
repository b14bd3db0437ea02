//! The connection's actor: one client's socket, and the steps that its connection decides on.
//!
//! What is read and written when, what runs, and why a client is closed is decided in
//! [`troupe::connection`]. Here the steps are taken: bytes go over the socket, batches to the
//! thread's shard, actions to who performs them; the log is written and traffic is counted. A panic
//! here costs one client: the actor is dropped, and its socket with it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use bytes::Bytes;
use tokio::time::{Sleep, sleep};
use tracing::{debug, warn};
use troupe::batch::{Batch, Home};
use troupe::clients::Row;
use troupe::connection::{Connection as Core, Reason, Step};
use troupe::session::{Peer, Session};

use crate::actions::{Actions, Performing};
use crate::connection::stream::Stream;
use crate::message::connection::{Executed, Kill, Push};
use crate::message::control::Panic;
use crate::shared::Seat;
use crate::thread::{Client, Thread};

/// Travels with the batch. When the batch is dropped, lost on its way or because its client has
/// gone, the connection closes, and the client's seat is free: so the limit of clients also bounds
/// the batches that nobody waits for.
struct Ticket {
    _seat: Seat,
    kill: Recipient<Kill>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.kill.do_send(Kill { after_reply: false });
    }
}

/// An action under way, the batch that asked for it, and when it began, in nanoseconds of the
/// thread's clock.
type Performance = (Performing, Box<Batch>, u64);

/// One client's actor.
pub struct Connection {
    core: Core,
    thread: Rc<Thread>,
    actions: Arc<dyn Actions>,
    stream: Stream,
    performance: Option<Performance>,
    /// Wakes the connection when the patience with its client may be over.
    alarm: Option<Pin<Box<Sleep>>>,
    place: u32,
    id: u64,
    push: Recipient<Push>,
}

impl Connection {
    /// A connection on `thread`, where it has its seat, for a client that was just accepted.
    pub fn start(
        thread: Rc<Thread>,
        seat: Seat,
        actions: Arc<dyn Actions>,
        stream: Stream,
        peer: Peer,
    ) -> actix::Addr<Connection> {
        let id = thread.shared.next_client.fetch_add(1, Ordering::Relaxed);
        Connection::create(|ctx| {
            let settings = thread.with_shard(|shard| shard.settings().clone());
            let authenticated = settings.passwords.is_none_needed();
            let session = Session::new(id, peer, thread.clock.now(), authenticated);
            let row = Rc::new(RefCell::new(Row::new(&session)));
            let address = ctx.address();
            let place = thread.add_client(Client {
                id,
                home: address.clone().recipient(),
                kill: address.clone().recipient(),
                push: address.clone().recipient(),
                panic: address.clone().recipient(),
                row: row.clone(),
            });
            let home = Home { thread: thread.number, connection: place };
            let ticket = Ticket { _seat: seat, kill: address.clone().recipient() };
            Connection {
                core: Core::new(home, session, row, Some(Box::new(ticket))),
                thread,
                actions,
                stream,
                performance: None,
                alarm: None,
                place,
                id,
                push: address.recipient(),
            }
        })
    }

    /// Takes all steps that can be taken now. Ready when the connection closes.
    fn pump(&mut self, task: &mut TaskContext<'_>) -> Poll<Reason> {
        loop {
            self.poll_action(task);
            match self.next() {
                Step::Write => match ready!(self.poll_write(task)) {
                    Ok(()) => {}
                    Err(reason) => return Poll::Ready(reason),
                },
                Step::Read => ready!(self.poll_read(task)),
                Step::ReadRest(at_most) => self.read_rest(at_most),
                Step::Route(batch, bytes) => self.route(batch, bytes),
                Step::Run(batch) => self.run(batch),
                Step::Perform(batch) => self.perform(batch),
                Step::Wait => {
                    self.poll_end(task);
                    return Poll::Pending;
                }
                Step::Yield => {
                    task.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Step::Close(reason) => return Poll::Ready(reason),
            }
        }
    }

    fn next(&mut self) -> Step {
        let core = &mut self.core;
        let mut pool = self.thread.pool();
        self.thread.with_shard(|shard| core.next(shard.settings(), &mut pool))
    }

    /// Writes some of what is due to the client.
    fn poll_write(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Reason>> {
        match self.stream.poll_write(task, self.core.due()) {
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
        let rest = Duration::from_millis(until.saturating_sub(now));
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(rest)));
        ready!(alarm.as_mut().poll(task));
        self.alarm = None;
        Poll::Ready(Ok(()))
    }

    /// Reads more. Pending when there is nothing, and the connection rests.
    fn poll_read(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        match self.stream.poll_read(task, self.core.input()) {
            Poll::Ready(Ok(0)) => self.core.input_ended(),
            Poll::Ready(Ok(count)) => self.received(count),
            Poll::Ready(Err(_)) => self.core.read_failed(),
            Poll::Pending => {
                self.core.rest(&mut self.thread.pool());
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn read_rest(&mut self, at_most: usize) {
        match self.stream.read_held(at_most, self.core.input()) {
            Ok(0) => self.core.input_ended(),
            Ok(count) => self.received(count),
            Err(error) => {
                debug!(client = self.id, "the rest of the input cannot be read: {error}");
                self.core.read_failed();
            }
        }
    }

    fn received(&mut self, count: usize) {
        let traffic = self.thread.traffic();
        traffic.reads.add(1);
        traffic.bytes_in.add(count as u64);
        self.core.received(count);
    }

    /// Notes the end of the input while the batch is away: what is seen of it then need not be read
    /// to be found.
    fn poll_end(&mut self, task: &mut TaskContext<'_>) {
        if self.core.may_send()
            && let Poll::Ready(end) = self.stream.poll_end(task)
        {
            match end {
                Ok(()) => self.core.input_ended(),
                Err(_) => self.core.read_failed(),
            }
        }
    }

    fn route(&mut self, mut batch: Box<Batch>, bytes: Bytes) {
        self.thread.traffic().commands.add(batch.frames.len() as u64);
        let now = self.thread.clock.now();
        self.thread.with_shard(|shard| {
            batch.route(bytes, now, shard.hasher(), &shard.settings().rename_command);
        });
        self.run(batch);
    }

    /// Sends the batch to the shards, beginning with this thread's.
    fn run(&mut self, batch: Box<Batch>) {
        if let Some(batch) = self.thread.visit(batch) {
            self.home(|core| core.came_home(batch));
        }
    }

    /// Lets the batch come home. A client that watched and does so no more is told of no more
    /// commands.
    fn home(&mut self, come: impl FnOnce(&mut Core)) {
        let watched = self.core.watches();
        come(&mut self.core);
        if watched && !self.core.watches() {
            self.actions.unwatch(self.id);
        }
    }

    fn perform(&mut self, mut batch: Box<Batch>) {
        let action = batch.action.take().expect("the step says that there is one");
        let began = self.thread.clock.nanos();
        let (thread, push) = (self.thread.clone(), self.push.clone());
        let action = self.actions.clone().perform(action, &mut batch.session, thread, push);
        self.performance = Some((action, batch, began));
    }

    /// Goes on with the action under way, whether or not its client takes what is due to it.
    fn poll_action(&mut self, task: &mut TaskContext<'_>) {
        if let Some((action, ..)) = &mut self.performance
            && let Poll::Ready(result) = action.as_mut().poll(task)
            && let Some((_, batch, began)) = self.performance.take()
        {
            let nanos = self.thread.clock.nanos() - began;
            let thread = self.thread.clone();
            self.home(|core| {
                thread.with_shard(|shard| core.performed(batch, result, nanos, shard));
            });
        }
    }

    /// Says why the connection closes.
    fn say(&self, reason: &Reason) {
        let shared = &self.thread.shared;
        match reason {
            Reason::QueryLimit => shared.cut_for_input.fetch_add(1, Ordering::Relaxed),
            Reason::OutputLimit(_) => shared.cut_for_output.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        match reason {
            Reason::Done | Reason::Killed => {}
            Reason::Protocol(_) => debug!(client = self.id, "{reason}"),
            _ => warn!(client = self.id, "{reason}"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.core.watches() {
            self.actions.unwatch(self.id);
        }
        self.thread.remove_client(self.place);
    }
}

impl Actor for Connection {
    type Context = Context<Connection>;

    fn started(&mut self, ctx: &mut Context<Connection>) {
        ctx.spawn(Pump);
    }
}

/// The one place where the connection works.
struct Pump;

impl ActorFuture<Connection> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut Connection,
        ctx: &mut Context<Connection>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let reason = ready!(actor.pump(task));
        actor.say(&reason);
        ctx.stop();
        Poll::Ready(())
    }
}

impl Handler<Executed> for Connection {
    type Result = ();

    fn handle(&mut self, executed: Executed, _: &mut Context<Connection>) {
        let now = self.thread.clock.now();
        self.home(|core| core.arrived(executed.0, now));
    }
}

impl Handler<Push> for Connection {
    type Result = ();

    fn handle(&mut self, push: Push, _: &mut Context<Connection>) {
        self.core.push(&push.0);
    }
}

impl Handler<Panic> for Connection {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<Connection>) {
        panic!("DEBUG PANIC-ACTOR");
    }
}

impl Handler<Kill> for Connection {
    type Result = ();

    fn handle(&mut self, kill: Kill, _: &mut Context<Connection>) {
        self.core.kill(kill.after_reply);
    }
}
