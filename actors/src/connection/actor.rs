//! The connection's actor: one client, one batch at a time.
//!
//! It reads only while its batch is at home and its replies are written, so what a client can have
//! on its way is bounded by one batch and its replies. While the batch is away it only watches for
//! the end of the input, which no batch ends early for. A connection closes when all that was
//! received has run and what is due is written, or at once when it is killed or past a limit. A
//! panic here costs one client: the actor is dropped, and its socket with it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use bytes::BytesMut;
use tokio::time::{Sleep, sleep};
use tokio_util::codec::Decoder as _;
use tracing::{debug, warn};
use troupe::batch::{Batch, Home};
use troupe::clients::Row;
use troupe::commands::error::CommandError;
use troupe::resp::Limits;
use troupe::session::{Peer, Session};
use troupe::settings::BufferLimit;

use crate::actions::{Actions, Performing};
use crate::connection::codec::{Codec, CodecError};
use crate::connection::ends::Ends;
use crate::connection::stream::Stream;
use crate::message::connection::{Executed, Kill, Push};
use crate::message::control::Panic;
use crate::shared::Seat;
use crate::thread::{Client, Thread};

/// Bytes that a read asks for at least.
const READ_BYTES: usize = 16 * 1024;

/// A client that has not logged in and does not take its replies is not waited for.
const LIMIT_BEFORE_LOGIN: BufferLimit =
    BufferLimit { hard_bytes: 1, soft_bytes: 0, soft_seconds: 0 };

/// Replies up to this size are written before their client's limit is looked at.
const LIMITED_BYTES: usize = 16 * 1024;

/// What keeps the connection's batch.
enum Standing {
    /// It is here.
    Home(Box<Batch>),
    /// It is on its way over the shards.
    Away,
    /// It is here and waits for an action: when it began, and where its reply begins.
    Performing(Box<Batch>, Performing, u64),
}

/// The connection ends: there is nothing more to run and to tell, or its client is cut off.
struct Closed;

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

/// One client's actor.
pub struct Connection {
    thread: Rc<Thread>,
    actions: Arc<dyn Actions>,
    stream: Stream,
    codec: Codec,
    input: BytesMut,
    standing: Standing,
    place: u32,
    id: u64,
    row: Rc<RefCell<Row>>,
    /// Bytes for the client, and how many of them are written.
    output: Vec<u8>,
    written: usize,
    ends: Ends,
    closing: bool,
    /// It gets every command that the server runs.
    watches: bool,
    /// Runs while more is due to the client than the soft limit allows.
    patience: Option<Pin<Box<Sleep>>>,
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
            let now = thread.clock.now();
            let session = Session::new(id, peer, now, authenticated);
            let row = Rc::new(RefCell::new(Row::new(&session)));
            let address = ctx.address();
            let place = thread.add_client(Client {
                id,
                home: address.clone().recipient(),
                kill: address.clone().recipient(),
                push: address.clone().recipient(),
                panic: address.recipient(),
                row: row.clone(),
            });
            let home = Home { thread: thread.number, connection: place };
            let mut batch = Box::new(Batch::new(home, session));
            let kill = ctx.address().recipient();
            batch.companion = Some(Box::new(Ticket { _seat: seat, kill }));
            Connection {
                standing: Standing::Home(batch),
                thread,
                actions,
                stream,
                codec: Codec::default(),
                input: BytesMut::new(),
                place,
                id,
                row,
                output: Vec::new(),
                written: 0,
                ends: Ends::default(),
                closing: false,
                watches: false,
                patience: None,
            }
        })
    }

    /// Does everything that can be done now.
    fn pump(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Closed>> {
        loop {
            ready!(self.poll_flush(task))?;
            if self.closing {
                return Poll::Ready(Err(Closed));
            }
            match std::mem::replace(&mut self.standing, Standing::Away) {
                Standing::Away => {
                    self.watch_input(task);
                    return Poll::Pending;
                }
                Standing::Performing(batch, mut action, began) => {
                    match action.as_mut().poll(task) {
                        Poll::Ready(result) => self.performed(batch, began, result),
                        Poll::Pending => {
                            self.standing = Standing::Performing(batch, action, began);
                            return Poll::Pending;
                        }
                    }
                }
                Standing::Home(batch) => {
                    if batch.is_done() {
                        ready!(self.poll_requests(batch, task))?;
                    } else {
                        self.send_out(batch);
                    }
                    if !self.ends.takes_replies() {
                        // No socket makes it wait: others get their turn between two batches.
                        task.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Notes the end of the input while the batch is away: what is seen of it then need not be read
    /// to be found.
    fn watch_input(&mut self, task: &mut TaskContext<'_>) {
        if self.ends.may_send()
            && let Poll::Ready(end) = self.stream.poll_end(task)
        {
            match end {
                Ok(()) => self.ends.input_ended(),
                Err(_) => self.ends.failed(),
            }
        }
    }

    /// Takes the next requests: those in the buffer, or those that are read now.
    fn poll_requests(
        &mut self,
        mut batch: Box<Batch>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Result<(), Closed>> {
        loop {
            if !self.input.is_empty() || self.codec.has_more() {
                self.codec.limits = self.limits(&batch);
                match self.codec.decode(&mut self.input) {
                    Ok(Some(input)) => {
                        std::mem::swap(&mut batch.frames, &mut self.codec.frames);
                        let commands = batch.frames.len() as u64;
                        self.thread.traffic().commands.add(commands);
                        let now = self.thread.clock.now();
                        self.thread.with_shard(|s| {
                            let renames = &s.settings().rename_command;
                            batch.route(input, now, s.hasher(), renames);
                        });
                        self.send_out(batch);
                        return Poll::Ready(Ok(()));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        self.refuse(batch, &error);
                        return Poll::Ready(Ok(()));
                    }
                }
            }
            if self.poll_read(task)?.is_pending() {
                self.rest(&mut batch);
                self.standing = Standing::Home(batch);
                return Poll::Pending;
            }
        }
    }

    fn limits(&self, batch: &Batch) -> Limits {
        let limits = self.thread.with_shard(|shard| {
            let query_bytes = shard.settings().client_query_buffer_limit as usize;
            Limits { query_bytes, ..Limits::default() }
                .with_bulk_bytes(shard.settings().proto_max_bulk_len)
        });
        if batch.session.authenticated { limits } else { limits.before_login() }
    }

    /// Reads more. Closed when nothing more comes: all that came before has run.
    fn poll_read(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Closed>> {
        if !self.ends.may_send() {
            return Poll::Ready(Err(Closed));
        }
        if self.input.capacity() == 0 {
            self.input = self.thread.take_buffer();
        }
        let wanted = self.codec.wanted();
        if self.input.len() + wanted > self.codec.limits.query_bytes {
            self.thread.shared.cut_for_input.fetch_add(1, Ordering::Relaxed);
            warn!(client = self.id, "Closing client that reached max query buffer length");
            return Poll::Ready(Err(Closed));
        }
        self.input.reserve(READ_BYTES.max(wanted));
        match ready!(self.stream.poll_read(task, &mut self.input)) {
            Ok(0) | Err(_) => Poll::Ready(Err(Closed)),
            Ok(count) => {
                self.thread.traffic().reads.add(1);
                self.thread.traffic().bytes_in.add(count as u64);
                self.row.borrow_mut().traffic.received += count as u64;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Nothing to do for now: gives back what an idle client does not need.
    fn rest(&mut self, batch: &mut Batch) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            self.thread.give_buffer(std::mem::take(&mut self.input));
        }
        batch.clear();
        self.thread.give_replies(std::mem::take(&mut batch.replies));
    }

    /// Sends the batch to the shards, beginning with this thread's.
    fn send_out(&mut self, mut batch: Box<Batch>) {
        self.standing = Standing::Away;
        self.row.borrow_mut().waits = true;
        if batch.replies.capacity() == 0 {
            batch.replies = self.thread.take_replies();
        }
        if let Some(batch) = self.thread.visit(batch) {
            self.come_home(batch);
        }
    }

    /// The batch is back: its replies go out, and its action is begun.
    fn come_home(&mut self, mut batch: Box<Batch>) {
        if batch.session.attacks {
            warn!(
                client = self.id,
                "Possible SECURITY ATTACK detected: somebody makes a browser talk to this port. \
                 The connection is closed"
            );
            self.closing = true;
        }
        // Before the action, which may have to describe this very client.
        self.row.borrow_mut().update(&batch.session, batch.now);
        if let Some(action) = batch.action.take() {
            let began = self.thread.clock.nanos();
            let actions = self.actions.clone();
            let thread = self.thread.clone();
            let action = actions.perform(action, batch.home, &mut batch.session, thread);
            self.standing = Standing::Performing(batch, action, began);
            return;
        }
        self.take_replies(&mut batch);
        if self.watches && !batch.session.monitors {
            self.actions.unwatch(self.id);
        }
        self.watches = batch.session.monitors;
        self.row.borrow_mut().waits = false;
        self.standing = Standing::Home(batch);
    }

    fn take_replies(&mut self, batch: &mut Batch) {
        if self.output.is_empty() {
            std::mem::swap(&mut self.output, &mut batch.replies);
        } else {
            self.output.append(&mut batch.replies);
        }
        if batch.is_done() && batch.session.closing {
            self.closing = true;
        }
    }

    fn performed(
        &mut self,
        mut batch: Box<Batch>,
        began: u64,
        result: Result<Vec<u8>, CommandError>,
    ) {
        let mark = batch.replies.len();
        let nanos = self.thread.clock.nanos() - began;
        let result = result.map(|reply| batch.replies.extend_from_slice(&reply));
        self.standing = Standing::Away;
        if let Some(batch) = self.thread.performed(batch, mark, nanos, result) {
            self.come_home(batch);
        }
    }

    /// The client speaks no protocol that can be gone on with: one error, then the end.
    fn refuse(&mut self, mut batch: Box<Batch>, error: &CodecError) {
        debug!(client = self.id, "closing the connection: {error}");
        match error {
            CodecError::Protocol(error) => {
                self.thread.with_shard(|shard| shard.refuse(&mut batch, *error));
            }
            CodecError::Io(_) => {}
        }
        batch.session.closing = true;
        self.take_replies(&mut batch);
        self.standing = Standing::Home(batch);
    }

    /// Writes what is due to the client. Ready when all of it is written, or thrown away because
    /// nobody takes it.
    fn poll_flush(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Closed>> {
        if self.written == 0 && self.output.len() > LIMITED_BYTES && self.ends.takes_replies() {
            self.check_due()?;
        }
        while self.written < self.output.len() && self.ends.takes_replies() {
            let Poll::Ready(wrote) = self.stream.poll_write(task, &self.output[self.written..])
            else {
                return self.poll_patience(task);
            };
            match wrote {
                Ok(0) | Err(_) => self.fail(),
                Ok(count) => {
                    self.written += count;
                    self.thread.traffic().writes.add(1);
                    self.thread.traffic().bytes_out.add(count as u64);
                    let mut row = self.row.borrow_mut();
                    row.traffic.sent += count as u64;
                    row.buffers.output = 0;
                }
            }
        }
        self.patience = None;
        if !self.output.is_empty() {
            self.written = 0;
            self.output.clear();
            if let Standing::Home(batch) = &mut self.standing {
                std::mem::swap(&mut self.output, &mut batch.replies);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Connection {
    /// A write has failed. What the socket holds was received before, and is taken up.
    fn fail(&mut self) {
        self.ends.failed();
        if let Err(error) = self.stream.read_rest(&mut self.input) {
            debug!(client = self.id, "the rest of the input cannot be read: {error}");
        }
    }

    fn output_limit(&self) -> BufferLimit {
        if matches!(&self.standing, Standing::Home(batch) if !batch.session.authenticated) {
            return LIMIT_BEFORE_LOGIN;
        }
        let limits = self.thread.with_shard(|s| s.settings().client_output_buffer_limit);
        if self.watches { limits.pubsub } else { limits.normal }
    }

    /// The socket takes no more for now. Pending, unless the client has been given enough time or
    /// more is due to it than it may ever have.
    fn poll_patience(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Closed>> {
        let limit = self.output_limit();
        let due = (self.output.len() - self.written) as u64;
        self.row.borrow_mut().buffers.output = due as usize;
        let is_over = |bytes: u64| bytes > 0 && due > bytes;
        let soft = Duration::from_secs(u64::from(limit.soft_seconds));
        let is_impatient = match &mut self.patience {
            _ if !is_over(limit.soft_bytes) => {
                self.patience = None;
                false
            }
            Some(patience) => patience.as_mut().poll(task).is_ready(),
            none => none.insert(Box::pin(sleep(soft))).as_mut().poll(task).is_ready(),
        };
        if is_impatient {
            return Poll::Ready(Err(self.cut_off(due)));
        }
        self.check_due()?;
        Poll::Pending
    }

    /// An end to a client to which more is due than it may ever have.
    fn check_due(&self) -> Result<(), Closed> {
        let limit = self.output_limit().hard_bytes;
        let due = (self.output.len() - self.written) as u64;
        if limit > 0 && due > limit { Err(self.cut_off(due)) } else { Ok(()) }
    }

    fn cut_off(&self, due: u64) -> Closed {
        self.thread.shared.cut_for_output.fetch_add(1, Ordering::Relaxed);
        warn!(client = self.id, "closing a client to which {due} bytes are due");
        Closed
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.watches {
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
        if let Err(Closed) = ready!(actor.pump(task)) {
            ctx.stop();
        }
        Poll::Ready(())
    }
}

impl Handler<Executed> for Connection {
    type Result = ();

    fn handle(&mut self, executed: Executed, _: &mut Context<Connection>) {
        // It may have been away for longer than a client may be silent.
        self.row.borrow_mut().active = self.thread.clock.now();
        self.come_home(executed.0);
    }
}

impl Handler<Push> for Connection {
    type Result = ();

    fn handle(&mut self, push: Push, _: &mut Context<Connection>) {
        // What it may hold is checked where it is written, in the same turn.
        self.output.extend_from_slice(&push.0);
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

    fn handle(&mut self, kill: Kill, ctx: &mut Context<Connection>) {
        match (&mut self.standing, kill.after_reply) {
            (Standing::Performing(batch, ..), true) => batch.session.closing = true,
            _ => ctx.stop(),
        }
    }
}
