//! The server's end of a client: the connection's core, and what its shell does for it.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use troupe::batch::{Batch, Home};
use troupe::clients::Row;
use troupe::connection::{Arrival, Connection as Core, Leaving, Pace, Pool, Reason, Resp, Step};
use troupe::hook::push::Push;
use troupe::parked::{Outcome, Parked};
use troupe::pubsub::{Name, Redirected};
use troupe::replication::Pulled;
use troupe::route::ShardId;
use troupe::session::{Peer, Replies, Session};

use crate::checks::pushes;
use crate::context::{Context, Ticket};
use crate::rare::Rare;
use crate::replicas::FIRST_LINK;
use crate::socket::{Read, Socket};
use crate::upstream::Followed;

/// Bytes that one read takes, at most.
const READ_MAX: usize = 512;

/// Bytes of the stream that a replica takes at a time, at most.
const PULLED_MAX: usize = 2_048;

/// A client follows its keys as soon as all that it called in one batch ran elsewhere, and never
/// rests.
const PACE: Pace = Pace { window_ms: 0, calls: 1, rest_ms: 0 };

/// What a connection hears of.
#[derive(Debug)]
pub enum Heard {
    /// Its batch is back.
    Home(Box<Batch>),
    /// Its client's wait has ended.
    WaitEnded(Outcome),
    /// Its batch is lost.
    Lost,
}

/// One client, as the server sees it.
#[derive(Debug)]
pub struct Connection {
    core: Core,
    codec: Resp,
    /// The number of the client.
    pub id: u64,
    /// It has something to do.
    pub is_woken: bool,
    /// When it has something to do though nobody wakes it, in milliseconds.
    pub alarm_ms: Option<u64>,
    /// Its client waits.
    is_parked: bool,
    /// The stream of the primary, which comes over it.
    followed: Option<Followed>,
}

/// What a connection has its thread do.
#[derive(Debug)]
pub enum Asked {
    /// Let this batch run; where there are bytes, its requests point into them and are new.
    Run(Box<Batch>, Option<Bytes>),
    /// The wait of this batch's client has ended so; then let it run.
    Unpark(Box<Batch>, Outcome),
    /// Have the action of this batch performed; then let it run.
    Perform(Box<Batch>),
    /// Send it to the thread of this shard.
    GoTo(ShardId),
    /// Nothing, for now.
    Rest,
    /// Drop it.
    Close,
}

/// A client on its way to another thread.
#[derive(Debug)]
pub struct Moving {
    leaving: Box<Leaving>,
    codec: Resp,
    id: u64,
}

impl Moving {
    /// The number of its client.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its connection at its new place.
    pub fn arrive(self, home: Home) -> Connection {
        let Moving { mut leaving, codec, id } = self;
        let ticket = leaving.take_companion().map(|ticket| -> Box<dyn Any + Send> {
            let mut ticket = ticket.downcast::<Ticket>().expect("that is what it was given");
            ticket.home = home;
            ticket
        });
        let (core, _) = leaving.arrive(home, ticket);
        Connection { codec, ..Connection::around(core, id) }
    }
}

impl Connection {
    /// A client that was just accepted.
    pub fn new(id: u64, home: Home, context: &mut Context) -> Connection {
        let session = Session::new(id, Peer::default(), context.now(), true);
        Connection::of(session, home, context)
    }

    /// The one to the primary, whose stream goes on in a database.
    pub fn to_primary(id: u64, home: Home, db: u32, context: &mut Context) -> Connection {
        let mut session = Session::new(id, Peer::default(), context.now(), true);
        (session.db, session.primary) = (db, Some(Box::default()));
        session.replies = Replies::Off;
        let followed = Some(Followed::new(context.plan.shards));
        Connection { followed, ..Connection::of(session, home, context) }
    }

    fn of(session: Session, home: Home, context: &mut Context) -> Connection {
        context.batches += 1;
        let id = session.id;
        let row = Rc::new(RefCell::new(Row::new(&session)));
        let ticket = Ticket { home, client: id, dropped: context.dropped.clone() };
        let mut core = Core::new(home, session, row, Some(Box::new(ticket)));
        core.follow_at(PACE);
        Connection::around(core, id)
    }

    fn around(core: Core, id: u64) -> Connection {
        Connection {
            core,
            codec: Resp::default(),
            id,
            is_woken: true,
            alarm_ms: None,
            is_parked: false,
            followed: None,
        }
    }

    /// Hears of something. Its core knows at once, as in the server: the next that the thread asks
    /// may be whether its client waits.
    pub fn hear(&mut self, heard: Heard, context: &mut Context) {
        self.is_woken = true;
        match heard {
            Heard::Home(mut batch) => {
                if let Some(followed) = &mut self.followed
                    && !followed.came_home(&mut batch, context)
                {
                    self.core.give_up();
                }
                self.core.came_home(batch, context.now());
            }
            Heard::WaitEnded(outcome) => self.core.wait_ended(outcome),
            Heard::Lost => self.core.give_up(),
        }
    }

    /// A batch with new requests is about to run.
    pub fn begins(&mut self, batch: &mut Batch, context: &Context) {
        if let Some(followed) = &mut self.followed {
            followed.begins(batch, context.replicas.place());
        }
    }

    /// Gives up all that it has, to go to another thread. None where something is under way for it.
    pub fn leave(&mut self) -> Option<Moving> {
        let leaving = self.core.leave()?;
        Some(Moving { leaving, codec: std::mem::take(&mut self.codec), id: self.id })
    }

    /// It is dropped.
    pub fn ended(&self, context: &mut Context) {
        self.followed.iter().for_each(|followed| followed.ended(context));
        context.replicas.forget(self.id, context.steady_ms());
    }

    /// Does what can be done up to the next thing that its thread has to do.
    pub fn pump(&mut self, socket: &mut Socket, pool: &mut Pool, context: &mut Context) -> Asked {
        self.is_woken = false;
        self.alarm_ms = None;
        let settings = context.settings.clone();
        if self.core.is_replica() && context.replicas.is_cut(self.id) {
            return self.close(Reason::Killed, socket, context);
        }
        loop {
            if let (Some(_), Some(upstream)) = (&self.followed, &mut context.upstream)
                && !upstream.may_begin(self.core.rests())
            {
                return Asked::Rest;
            }
            self.is_parked = self.core.is_waiting();
            match self.core.next(&settings, pool, &mut self.codec) {
                Step::Write => match self.write(socket, context) {
                    Ok(true) => {}
                    Ok(false) => return Asked::Rest,
                    Err(reason) => return self.close(reason, socket, context),
                },
                Step::Read => {
                    if !self.read(socket, READ_MAX, pool, context) {
                        if let (Some(_), Some(upstream)) = (&self.followed, &mut context.upstream) {
                            upstream.rests = true;
                        }
                        match self.take_stream(context) {
                            Pulled::Some => {}
                            Pulled::Nothing => return Asked::Rest,
                            Pulled::End => return self.close(Reason::Done, socket, context),
                        }
                    }
                }
                Step::ReadRest(most) => {
                    if !self.read(socket, most, pool, context) {
                        return Asked::Rest;
                    }
                }
                Step::Route(batch, bytes) => return Asked::Run(batch, Some(bytes)),
                Step::Run(batch) => return Asked::Run(batch, None),
                Step::Perform(batch) => return Asked::Perform(batch),
                Step::Refuse(..) => {
                    context.fail("a client is said to have called what it did not".to_owned());
                    return Asked::Close;
                }
                Step::Unpark(batch, outcome) => return Asked::Unpark(batch, outcome),
                Step::Park(until) => {
                    context.history.borrow_mut().parked(self.id);
                    let now = context.now();
                    if until.is_some_and(|until| until <= now) {
                        self.core.time_is_over(now);
                        if self.core.is_waiting() {
                            return Asked::Rest;
                        }
                        continue;
                    }
                    self.alarm_ms = until
                        .map(|until| context.steady_ms().saturating_add(until.since(now) as u64));
                    if !self.core.may_read() || !self.read(socket, READ_MAX, pool, context) {
                        return Asked::Rest;
                    }
                }
                Step::Wait => {
                    self.watch(socket);
                    if self.core.holds_pushes() {
                        let stalls = self.core.write_stalls(&settings, context.steady_ms());
                        match stalls {
                            Ok(alarm_ms) => self.alarm_ms = alarm_ms,
                            Err(reason) => return self.close(reason, socket, context),
                        }
                        return Asked::Rest;
                    }
                    match self.take_stream(context) {
                        Pulled::Some => {}
                        Pulled::Nothing => return Asked::Rest,
                        Pulled::End => return self.close(Reason::Done, socket, context),
                    }
                }
                // Its shell may have its reasons not to.
                Step::GoTo(_) if context.one_in(2) => {}
                Step::GoTo(shard) => return Asked::GoTo(shard),
                Step::Yield => {
                    self.is_woken = true;
                    return Asked::Rest;
                }
                Step::Close(reason) => return self.close(reason, socket, context),
            }
        }
    }

    /// The wait of its client, while it waits.
    pub fn parked(&self) -> Option<&Arc<Parked>> {
        self.core.parked()
    }

    /// Whether its client is the primary.
    pub fn is_to_primary(&self) -> bool {
        self.followed.is_some()
    }

    /// Whether its client is a replica.
    pub fn is_replica(&self) -> bool {
        self.core.is_replica()
    }

    /// Takes what its client did not ask for.
    pub fn push(
        &mut self,
        push: &Push,
        pattern: Option<&Name>,
        at: Arrival<'_>,
        context: &mut Context,
    ) {
        self.is_woken = true;
        let held = self.core.holds_pushes();
        if let Push::Message { message, .. } | Push::Outdated { message, .. } = push {
            context.note(format_args!("{} is pushed {:?}", self.id, pushes::said(message)));
        }
        if let Push::Message { message, .. } | Push::Outdated { message, .. } = push {
            context.history.borrow_mut().pushes.given(self.id, message);
        }
        match push {
            Push::Bytes { bytes, .. } => self.core.push(bytes, at),
            Push::Message { message, .. } if message.is_of_keys() => {
                self.core.outdated(message, at);
            }
            Push::Message { message, .. } => self.core.deliver(message, pattern, at),
            Push::Outdated { message, .. } => {
                self.core.outdated(message, at);
                if !held && self.core.holds_pushes() {
                    context.met(Rare::PushHeld);
                }
            }
            Push::Redirected(redirected) => self.core.redirected(&redirected.message, at),
            Push::RedirectBroken { named, .. } => self.core.redirect_broken(*named, at),
        }
    }

    /// What goes to clients that its own has named.
    pub fn take_redirected(&mut self) -> Vec<Redirected> {
        self.core.take_redirected()
    }

    /// Writes some of the pending output. False where the socket takes nothing for now.
    fn write(&mut self, socket: &mut Socket, context: &mut Context) -> Result<bool, Reason> {
        let unsent = self.core.unsent();
        let most =
            if context.one_in(4) { 1 + context.rng.usize(..unsent.len()) } else { unsent.len() };
        match socket.write(&unsent[..most]) {
            None => {
                self.core.write_failed(socket.up.len());
                Ok(true)
            }
            Some(0) => {
                let now_ms = context.steady_ms();
                self.alarm_ms = self.core.write_stalls(&context.settings, now_ms)?;
                Ok(false)
            }
            Some(count) => {
                let left = unsent[..count].to_vec();
                self.core.wrote(count);
                if self.id >= FIRST_LINK || !context.is_observed {
                    return Ok(true);
                }
                let left = context.history.borrow_mut().left(self.id, &left);
                left.err().into_iter().for_each(|broken| context.fail(broken));
                Ok(true)
            }
        }
    }

    /// Takes more of the stream where the client is a replica.
    fn take_stream(&mut self, context: &mut Context) -> Pulled {
        if !self.core.is_replica() {
            return Pulled::Nothing;
        }
        let most = 1 + context.rng.usize(..PULLED_MAX);
        let now_ms = context.steady_ms();
        context.replicas.pull(self.id, most, self.core.stream(), now_ms)
    }

    /// Reads. False where there is nothing for now.
    fn read(
        &mut self,
        socket: &mut Socket,
        most: usize,
        pool: &mut Pool,
        context: &mut Context,
    ) -> bool {
        match socket.read(most) {
            Read::Bytes(bytes) => {
                if self.core.is_replica() {
                    context.replicas.hear(self.id, context.steady_ms());
                }
                self.core.input(pool).extend_from_slice(&bytes);
                self.core.received(bytes.len());
                true
            }
            Read::Nothing => {
                self.core.rest(pool);
                false
            }
            Read::End => {
                self.core.input_ended();
                true
            }
            Read::Failed => {
                self.core.read_failed();
                true
            }
        }
    }

    /// Looks for the end of the input while the batch is away.
    fn watch(&mut self, socket: &Socket) {
        if self.core.may_send() && socket.up.is_empty() {
            match (socket.is_reset, socket.is_up_ended) {
                (true, _) => self.core.read_failed(),
                (false, true) => self.core.input_ended(),
                (false, false) => {}
            }
        }
    }

    /// A connection closes unanswered only for a reason.
    fn close(&mut self, reason: Reason, socket: &mut Socket, context: &mut Context) -> Asked {
        context.note(format_args!("connection {} closes: {reason:?}", self.id));
        if self.id >= FIRST_LINK || !context.is_observed {
            socket.is_down_ended = true;
            return Asked::Close;
        }
        let history = context.history.borrow();
        let is_unanswered = history.is_unanswered(self.id);
        // Who sends no more is not waited with.
        let has_ended = self.is_parked && socket.is_up_ended;
        let is_excused = socket.is_reset || history.is_journal_lost || has_ended;
        drop(history);
        match reason {
            Reason::Done if is_unanswered && !is_excused => {
                context.fail(format!("connection {} closed without an answer", self.id));
            }
            Reason::OutputLimit(_) => context.met(Rare::SlowReaderCut),
            Reason::Killed => context.met(Rare::BatchDropped),
            Reason::Done if is_unanswered => context.met(Rare::ClosedUnanswered),
            _ => {}
        }
        socket.is_down_ended = true;
        context.history.borrow_mut().closed(self.id, self.is_parked);
        Asked::Close
    }
}
