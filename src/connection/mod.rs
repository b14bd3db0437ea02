//! What a client's connection decides, without a socket and without a clock.
//!
//! Who drives a [`Connection`] asks it for the [`Step`] to take, takes it, tells what came of it,
//! and asks again. The server does so with a socket, on the connection's own thread; tests do so
//! with bytes.
//!
//! Invariants. At most one batch is away, and nothing is read while it is, or while output is
//! pending: so what a client can have on its way is bounded by one batch and its replies. A
//! connection closes when all that was received has run and pending output is written, or at once
//! when it is killed or past a limit.

mod codec;
mod ends;
mod following;
mod input;
mod output;
mod pool;
mod pushes;
#[cfg(test)]
mod tests;
mod waiting;

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::base::millis::Millis;
use crate::batch::{Batch, Home};
use crate::clients::Row;
use crate::commands::action::Action;
use crate::commands::run::Copies;
use crate::parked::Outcome;
use crate::pubsub::Tracking;
use crate::resp::limits::{self, BULK_BYTES_MAX, QUERY_BEFORE_LOGIN};
use crate::resp::{Limits, ProtocolError};
use crate::route::ShardId;
use crate::session::Session;
use crate::settings::{BufferLimit, Settings};

pub use codec::{Codec, Resp};
use ends::Ends;
use following::Following;
pub use following::{Leaving, Pace};
use input::Input;
use output::Output;
pub use pool::Pool;
pub use pushes::Arrival;
use pushes::Pushes;

/// A client that has not logged in and does not take its replies is not waited for.
const LIMIT_BEFORE_LOGIN: BufferLimit =
    BufferLimit { hard_bytes: 1, soft_bytes: 0, soft_seconds: 0 };

/// Nothing is cut off by the connection itself.
const NO_LIMIT: BufferLimit = BufferLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 };

/// Replies up to this size are written before their client's limit is looked at.
const LIMITED_BYTES: usize = 16 * 1024;

/// What a connection has to have done next.
#[derive(Debug)]
pub enum Step {
    /// Write some of [`Connection::unsent`]. Then [`Connection::wrote`],
    /// [`Connection::write_failed`] or [`Connection::write_stalls`].
    Write,
    /// Read to the end of [`Connection::input`]. Then [`Connection::received`],
    /// [`Connection::input_ended`], [`Connection::read_failed`] or [`Connection::rest`].
    Read,
    /// The same, of a socket that failed a write: at most so many bytes, which it holds already.
    ReadRest(usize),
    /// Route new requests, which point into these bytes, then let the batch run. Then, later,
    /// [`Connection::came_home`].
    Route(Box<Batch>, Bytes),
    /// Let the rest of a batch run.
    Run(Box<Batch>),
    /// Perform what the batch asks for in `action`, and end that call. Then the same.
    Perform(Box<Batch>),
    /// Answer with this error. Then [`Connection::came_home`].
    Refuse(Box<Batch>, ProtocolError),
    /// The client waits for keys, until then in milliseconds of unix time if that ends: read what
    /// it sends meanwhile where [`Connection::may_read`]. Then, when it is time,
    /// [`Connection::time_is_over`].
    Park(Option<Millis>),
    /// The wait of the batch's client ended so. Then let the rest of it run.
    Unpark(Box<Batch>, Outcome),
    /// Wait for what was begun, for a push or a kill. Where [`Connection::may_send`], the end of
    /// the input may be told meanwhile; where it [`Connection::holds_pushes`],
    /// [`Connection::write_stalls`].
    Wait,
    /// Go to the thread of this shard with all that the connection has, by [`Connection::leave`];
    /// or ask for the next step, where that is not the moment.
    GoTo(ShardId),
    /// Let others have a turn, since no socket makes this client wait.
    Yield,
    /// Close, and drop the connection.
    Close(Reason),
}

/// Why a connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// There is nothing more to run and to tell.
    #[error("closing a client that is done")]
    Done,
    /// Somebody wanted it closed, or its batch was lost.
    #[error("closing a client that is not wanted any more")]
    Killed,
    /// It goes on on another thread.
    #[error("the client goes to another thread")]
    Gone,
    /// What the client sends is not the protocol.
    #[error("closing the connection: {0}")]
    Protocol(ProtocolError),
    /// The client sent what only somebody else's protocol sends.
    #[error(
        "Possible SECURITY ATTACK detected: somebody makes a browser talk to this port. The \
         connection is closed"
    )]
    Attack,
    /// More is wanted in the query buffer than `client-query-buffer-limit` allows.
    #[error("Closing client that reached max query buffer length")]
    QueryLimit,
    /// So many bytes are unsent, more than `client-output-buffer-limit` allows.
    #[error("closing a client that does not take its replies: {0} bytes are unsent")]
    OutputLimit(usize),
    /// All clients together hold more memory than `maxmemory-clients` allows.
    #[error("Evicting client")]
    Evicted,
    /// A replica gets the stream, where a reply would be taken for a part of that.
    #[error("Replica generated a reply to command '{0}', disconnecting it")]
    ReplyToReplica(&'static str),
}

/// One client's connection.
#[derive(Debug)]
pub struct Connection {
    /// None while it is away.
    batch: Option<Box<Batch>>,
    /// The batch is away to have an action performed.
    performs: bool,
    input: Input,
    /// Bytes of the requests of the batch.
    requests: usize,
    /// Bytes received since its client was last logged in.
    before_login: usize,
    output: Output,
    ends: Ends,
    /// A batch ran, and nobody takes its replies: others come first.
    yields: bool,
    /// It closes when pending output is written.
    closing: Option<Reason>,
    /// How the wait of its client has ended; perhaps ahead of the batch.
    outcome: Option<Outcome>,
    /// The copies of what its client has written, as was said last.
    copies: Copies,
    is_killed: bool,
    /// Its client is the primary.
    is_of_primary: bool,
    closes_after_reply: bool,
    is_monitor: bool,
    /// Its client is a replica: it gets the stream of replication.
    is_replica: bool,
    /// Its client subscribes to something, as far as it knows while the batch is away.
    subscribes: bool,
    pushes: Pushes,
    /// How keys are tracked for its client, as far as it knows while the batch is away.
    tracking: Option<Box<Tracking>>,
    /// Where its client's commands run.
    following: Following,
    row: Rc<RefCell<Row>>,
}

impl Connection {
    /// A connection of a client that was just accepted, which keeps the client's row up to date.
    /// Its batch takes `companion` along, and drops it when it is dropped itself.
    pub fn new(
        home: Home,
        session: Session,
        row: Rc<RefCell<Row>>,
        companion: Option<Box<dyn Any + Send>>,
    ) -> Connection {
        let mut batch = Box::new(Batch::new(home, session));
        batch.companion = companion;
        Connection::with_batch(batch, row)
    }

    /// A connection whose batch is here, and nothing else.
    fn with_batch(batch: Box<Batch>, row: Rc<RefCell<Row>>) -> Connection {
        row.borrow_mut().home = batch.home;
        let is_of_primary = batch.session.is_primary();
        Connection {
            batch: Some(batch),
            performs: false,
            input: Input::default(),
            requests: 0,
            before_login: 0,
            output: Output::default(),
            ends: Ends::default(),
            yields: false,
            closing: None,
            outcome: None,
            copies: Copies::default(),
            is_killed: false,
            is_of_primary,
            closes_after_reply: false,
            is_monitor: false,
            is_replica: false,
            subscribes: false,
            pushes: Pushes::default(),
            tracking: None,
            following: Following::default(),
            row,
        }
    }

    /// What is to be done now. Requests are cut off the input by `codec`, which is its own.
    pub fn next(&mut self, settings: &Settings, pool: &mut Pool, codec: &mut impl Codec) -> Step {
        if self.is_killed {
            return Step::Close(Reason::Killed);
        }
        if let Some(reason) = self.pushes.cut {
            return Step::Close(reason);
        }
        if let Some(batch) = self.batch.take_if(|batch| batch.action.is_some()) {
            return Step::Perform(self.begin_action(batch));
        }
        if !self.output.unsent().is_empty() {
            if self.ends.takes_replies() {
                return self.write(settings);
            }
            self.clear();
        }
        if let Some(reason) = self.closing {
            return Step::Close(reason);
        }
        let Some(batch) = self.batch.take() else { return Step::Wait };
        if batch.parked.is_some() {
            self.next_of_wait(batch, pool)
        } else if std::mem::take(&mut self.yields) {
            self.batch = Some(batch);
            Step::Yield
        } else if batch.is_done() {
            self.take_up(batch, settings, pool, codec)
        } else {
            Step::Run(self.send_out(batch, pool))
        }
    }

    /// An action is about to be performed. Who wants to see all commands is one who watches from
    /// here on, whatever becomes of it meanwhile.
    fn begin_action(&mut self, mut batch: Box<Batch>) -> Box<Batch> {
        self.performs = true;
        batch.session.monitors |= batch.action == Some(Action::Monitor);
        batch.session.is_replica |= matches!(batch.action, Some(Action::Replicate(_)));
        self.is_monitor = batch.session.monitors;
        batch
    }

    /// Output is pending, perhaps more than the client may have.
    fn write(&self, settings: &Settings) -> Step {
        let unsent = self.output.unsent_len();
        let may_be_over = unsent > LIMITED_BYTES && self.output.is_untouched();
        if may_be_over && self.output.is_over(&self.output_limit(settings)) {
            return Step::Close(Reason::OutputLimit(unsent));
        }
        Step::Write
    }

    /// Takes up the requests that were read, or has more read.
    fn take_up(
        &mut self,
        mut batch: Box<Batch>,
        settings: &Settings,
        pool: &mut Pool,
        codec: &mut impl Codec,
    ) -> Step {
        if let Some(step) = self.leaves(&batch.session, settings) {
            self.batch = Some(batch);
            return step;
        }
        if self.input.len() > 0 || codec.has_more() {
            let limits = limits_of(settings, &batch.session);
            match codec.decode(self.input.bytes(), &limits, &mut batch.frames) {
                Ok(Some(bytes)) => {
                    (self.requests, self.input.begun) = (bytes.len(), 0);
                    return Step::Route(self.send_out(batch, pool), bytes);
                }
                Ok(None) => {}
                Err(error) => {
                    batch.session.closing = true;
                    self.closing = Some(Reason::Protocol(error));
                    return Step::Refuse(self.send_out(batch, pool), error);
                }
            }
        }
        if batch.session.authenticated {
            self.before_login = 0;
        } else if self.before_login > QUERY_BEFORE_LOGIN {
            return Step::Close(Reason::QueryLimit);
        }
        let most = settings.client_query_buffer_limit as usize;
        let query_bytes = limits::query_bytes(most, batch.session.authenticated);
        let queued = batch.session.transaction.as_ref().map_or(0, |queued| queued.memory());
        let queued = queued + batch.session.watches.memory();
        // Its requests have run: their room can be read into.
        batch.input = Bytes::new();
        (self.requests, self.input.begun) = (0, codec.begun());
        self.batch = Some(batch);
        self.read(query_bytes, queued, codec.wanted())
    }

    /// Has more read. All that came before has run, or is queued or watched with so many bytes.
    fn read(&mut self, query_bytes: usize, queued: usize, wanted: usize) -> Step {
        let held = match self.ends {
            Ends::Open => None,
            Ends::Failed(held) if held > 0 => Some(held),
            Ends::InputEnded | Ends::Failed(_) => return Step::Close(Reason::Done),
        };
        if queued + self.input.len() + wanted > query_bytes {
            return Step::Close(Reason::QueryLimit);
        }
        let room = self.input.wants(wanted);
        match held {
            None => Step::Read,
            Some(held) => Step::ReadRest(held.min(room)),
        }
    }

    /// The batch is on its way.
    fn send_out(&mut self, mut batch: Box<Batch>, pool: &mut Pool) -> Box<Batch> {
        self.row.borrow_mut().waits = true;
        batch.began = 0;
        if batch.replies.capacity() == 0 {
            batch.replies = pool.take_replies();
        }
        batch
    }

    /// Pending output is written, or thrown away.
    #[inline]
    fn clear(&mut self) {
        self.output.clear(self.batch.as_mut().map(|batch| &mut batch.replies));
    }

    fn output_limit(&self, settings: &Settings) -> BufferLimit {
        if self.batch.as_ref().is_some_and(|batch| !batch.session.authenticated) {
            return LIMIT_BEFORE_LOGIN;
        }
        let limits = &settings.client_output_buffer_limit;
        match () {
            // It takes a part of the stream or of a snapshot at a time. Who owns these knows what
            // is unsent.
            () if self.is_replica => NO_LIMIT,
            () if self.is_monitor || self.subscribes => limits.pubsub,
            () => limits.normal,
        }
    }
}

/// What came of a step, and what else can happen.
impl Connection {
    /// So many bytes of pending output are written.
    #[inline]
    pub fn wrote(&mut self, count: usize) {
        self.output.wrote(count);
        if self.output.unsent().is_empty() {
            self.clear();
        }
        self.row.borrow_mut().traffic.sent += count as u64;
    }

    /// Nothing can be written at `now`, in milliseconds on a clock that never goes back. Returns
    /// when to ask for the next step although the socket still takes nothing.
    ///
    /// # Errors
    /// The end of a client that has been given enough time, or for which more is unsent than it
    /// may ever have.
    pub fn write_stalls(&mut self, settings: &Settings, now: u64) -> Result<Option<u64>, Reason> {
        let unsent = self.output.len();
        let limit = self.output_limit(settings);
        self.output.stall(&limit, now).map_err(|output::Over| Reason::OutputLimit(unsent))
    }

    /// A write has failed, and the socket holds `held` bytes. They were received before, so they
    /// are taken up; what comes after them is not.
    pub fn write_failed(&mut self, held: usize) {
        self.ends.failed(held);
    }

    /// So many bytes were read into the input.
    #[inline]
    pub fn received(&mut self, count: usize) {
        self.ends.received(count);
        self.input.received(count);
        self.before_login += count;
        self.row.borrow_mut().traffic.received += count as u64;
    }

    /// Everything was read that the client had sent, and it sends no more.
    pub fn input_ended(&mut self) {
        self.ends.input_ended();
    }

    /// A read has failed: the socket holds nothing.
    pub fn read_failed(&mut self) {
        self.ends.failed(0);
    }

    /// There is nothing to read for now: gives back what an idle client does not need.
    pub fn rest(&mut self, pool: &mut Pool) {
        self.input.rest(pool);
        if let Some(batch) = self.batch.as_mut() {
            if batch.parked.is_none() {
                batch.clear();
            }
            pool.give_replies(std::mem::take(&mut batch.replies));
        }
    }

    /// The batch is back at `now`, in milliseconds of unix time: done, cut short, or with an action
    /// to be performed. It may have been away for longer than a client may be silent.
    pub fn came_home(&mut self, mut batch: Box<Batch>, now: Millis) {
        self.performs = false;
        if batch.parked.is_some() {
            batch.detach();
            self.requests = batch.input.len();
        }
        if self.closes_after_reply {
            batch.end();
        }
        if batch.session.attacks {
            self.closing = Some(Reason::Attack);
        }
        self.is_monitor = batch.session.monitors;
        let was_replica = std::mem::replace(&mut self.is_replica, batch.session.is_replica);
        self.subscribes = !batch.session.subscribed.is_empty();
        self.tracking.clone_from(&batch.session.tracking);
        self.following.came_home(batch.home.thread, &mut batch.ran, now);
        // Before an action, which may have to describe this very client.
        let mut row = self.row.borrow_mut();
        let spoke_resp3 = row.resp3;
        row.is_blocked = batch.parked.is_some();
        row.update(&batch.session, now);
        if batch.action.is_none() {
            row.waits = row.is_blocked;
        }
        if was_replica && !batch.replies.is_empty() {
            batch.replies.clear();
            self.closing = Some(Reason::ReplyToReplica(row.command_name()));
        }
        drop(row);
        if batch.action.is_none() {
            match self.holds_pushes() {
                true => self.release(&mut batch, spoke_resp3),
                false => self.output.append(&mut batch.replies),
            }
            batch.session.subscribed.is_known();
            self.yields = !self.ends.takes_replies();
            if batch.is_done() && batch.session.closing {
                self.closing = self.closing.or(Some(Reason::Done));
            }
        }
        self.batch = Some(batch);
    }

    /// Closes at once, whatever is pending; or, where the client asked for its own end and waits
    /// for the reply to that, after it. That of the primary closes when all that has come is
    /// carried out, since it has to be known how much that is.
    pub fn kill(&mut self, after_reply: bool) {
        match () {
            () if self.is_of_primary => self.input_ended(),
            () if after_reply && self.performs => self.closes_after_reply = true,
            () => self.is_killed = true,
        }
    }

    /// Closes at once, whoever the client is: its batch is lost, or was not carried out.
    pub fn give_up(&mut self) {
        self.is_killed = true;
    }
}

/// What it has and what it is.
impl Connection {
    /// Notes in the client's row what memory the connection holds.
    pub fn weigh(&mut self) {
        let mut row = self.row.borrow_mut();
        let buffers = &mut row.buffers;
        self.output.describe(buffers);
        // Those of a client that waits are a copy; else they stand in the buffer of the input.
        let shared = if self.parked().is_some() { 0 } else { self.requests };
        let length = self.input.len();
        buffers.query = length.saturating_sub(self.input.begun);
        buffers.query_free = self.input.size().saturating_sub(length + shared);
        buffers.arguments = self.input.begun + self.requests;
        if let Some(batch) = &self.batch {
            buffers.replies += batch.replies.capacity();
        }
    }

    /// Forgets how much its buffer of replies has held.
    pub fn forget_peak(&mut self) {
        self.output.forget_peak();
    }

    /// The row of its client.
    pub fn row(&self) -> &RefCell<Row> {
        &self.row
    }

    /// Pending output from its first byte on, some of it; none where none is pending.
    #[inline]
    pub fn unsent(&self) -> &[u8] {
        self.output.unsent()
    }

    /// Where what is read is appended; there is room.
    #[inline]
    pub fn input(&mut self, pool: &mut Pool) -> &mut BytesMut {
        self.input.make_room(pool);
        self.input.bytes()
    }

    /// More may come from the client.
    #[inline]
    pub fn may_send(&self) -> bool {
        self.ends == Ends::Open
    }

    /// Its client is a replica.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.is_replica
    }

    /// Whether no batch is under way.
    #[inline]
    pub fn rests(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| batch.is_done() && batch.action.is_none())
    }

    /// Where more of the stream goes that its client gets: all that came before is written.
    pub fn stream(&mut self) -> &mut Vec<u8> {
        self.output.bytes()
    }

    /// Its client subscribes to something.
    pub fn subscribes(&self) -> bool {
        self.subscribes
    }

    /// It is told of keys that it has cached.
    pub fn is_tracking(&self) -> bool {
        self.tracking.is_some()
    }

    /// It gets every command that the server runs.
    #[inline]
    pub fn is_monitor(&self) -> bool {
        self.is_monitor
    }
}

/// What a request of a client may cost.
#[inline]
fn limits_of(settings: &Settings, session: &Session) -> Limits {
    let query_bytes = settings.client_query_buffer_limit as usize;
    let limits =
        Limits { query_bytes, ..Limits::default() }.with_bulk_bytes(settings.proto_max_bulk_len);
    match () {
        // What it has taken itself is not for a replica to refuse.
        () if session.is_primary() => limits.with_bulk_bytes(BULK_BYTES_MAX),
        () if session.authenticated => limits,
        () => limits.before_login(),
    }
}
