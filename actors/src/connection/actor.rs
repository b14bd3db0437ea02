//! The connection's actor: how one client begins and ends, and the mail that reaches it.
//!
//! What the connection decides is [`troupe::connection`]'s; its steps are taken in `steps`. A panic
//! here costs one client: the actor is dropped, and its socket with it.

use std::any::Any;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, ready};

use actix::fut::{ActorFuture, ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use tokio::task::yield_now;
use troupe::batch::Home;
use troupe::clients::Row;
use troupe::connection::{Connection as Core, Leaving};
use troupe::session::{Peer, Replies, Session};

use crate::actions::Actions;
use crate::connection::codec::Codec;
use crate::connection::followed::Followed;
use crate::connection::line::Line;
use crate::connection::steps::Conversation;
use crate::connection::stream::Stream;
use crate::message::connection::Kill;
use crate::shared::Seat;
use crate::thread::{Client, Thread};

/// Travels with the batch. When the batch is dropped, lost on its way or because its client has
/// gone, the connection closes, and the client's seat is free: so the limit of clients also bounds
/// the batches that nobody waits for.
pub(super) struct Ticket {
    /// None where the client has gone on with it.
    inside: Option<(Seat, Recipient<Kill>)>,
}

impl Ticket {
    fn new(seat: Seat, kill: Recipient<Kill>) -> Ticket {
        Ticket { inside: Some((seat, kill)) }
    }

    /// The seat of a client that goes on elsewhere: its connection here is told nothing any more.
    pub(super) fn give_up(ticket: Box<dyn Any + Send>) -> Option<Seat> {
        let (seat, _) = ticket.downcast::<Ticket>().ok()?.inside.take()?;
        Some(seat)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some((_, kill)) = &self.inside {
            kill.do_send(Kill);
        }
    }
}

/// One client's actor.
pub struct Connection {
    line: Rc<Line>,
    thread: Rc<Thread>,
    place: u32,
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
        let settings = thread.with_shard(|shard| shard.settings().clone());
        let authenticated = settings.passwords.is_none_needed();
        let session = Session::new(new_id(&thread), peer, thread.clock.now(), authenticated);
        Connection::start_as(thread, seat, actions, stream, session)
    }

    /// The connection to the primary, whose stream comes next and goes on in this database.
    pub fn start_upstream(
        thread: Rc<Thread>,
        seat: Seat,
        actions: Arc<dyn Actions>,
        stream: Stream,
        peer: Peer,
        db: u32,
    ) -> actix::Addr<Connection> {
        let mut session = Session::new(new_id(&thread), peer, thread.clock.now(), true);
        (session.db, session.primary) = (db, Some(Box::default()));
        (session.replies, session.no_evict) = (Replies::Off, true);
        Connection::start_as(thread, seat, actions, stream, session)
    }

    fn start_as(
        thread: Rc<Thread>,
        seat: Seat,
        actions: Arc<dyn Actions>,
        stream: Stream,
        session: Session,
    ) -> actix::Addr<Connection> {
        let id = session.id;
        let followed = session.is_primary().then(|| Box::new(Followed::new(thread.clone())));
        Connection::create(|ctx| {
            let row = Rc::new(RefCell::new(Row::new(&session)));
            let ticket = Ticket::new(seat, ctx.address().recipient());
            let (line, place) = thread.add_client(|place| {
                let home = Home { thread: thread.number, connection: place };
                let core = Core::new(home, session, row.clone(), Some(Box::new(ticket)));
                let codec = Codec::default();
                let conversation =
                    Conversation::new(id, core, codec, thread.clone(), actions, stream, followed);
                let line = Rc::new(Line::new(conversation));
                (line.clone(), Client { id, line, row })
            });
            Connection { line, thread, place }
        })
    }
}

impl Connection {
    /// The connection of a client that has come from another thread to its seat here.
    pub(super) fn go_on(
        thread: Rc<Thread>,
        seat: Seat,
        actions: Arc<dyn Actions>,
        stream: Stream,
        codec: Codec,
        leaving: Leaving,
    ) {
        let id = leaving.client();
        thread.traffic().moved_in.add(1);
        Connection::create(|ctx| {
            let ticket = Ticket::new(seat, ctx.address().recipient());
            let (line, place) = thread.add_client(|place| {
                let home = Home { thread: thread.number, connection: place };
                let (core, row) = leaving.arrive(home, Some(Box::new(ticket)));
                let conversation =
                    Conversation::new(id, core, codec, thread.clone(), actions, stream, None);
                let line = Rc::new(Line::new(conversation));
                (line.clone(), Client { id, line, row })
            });
            line.conversation.borrow_mut().arrived();
            Connection { line, thread, place }
        });
    }
}

/// The number of the next client.
fn new_id(thread: &Thread) -> u64 {
    thread.shared.next_client.fetch_add(1, Ordering::Relaxed)
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.thread.remove_client(self.place);
    }
}

impl Actor for Connection {
    type Context = Context<Connection>;

    fn started(&mut self, ctx: &mut Context<Connection>) {
        // The thread looks at its sockets first: who had closed before this client came has gone
        // ahead of its first command.
        ctx.spawn(wrap_future(yield_now()).then(|(), _, _| Pump));
    }
}

/// The one place where the actor works.
struct Pump;

impl ActorFuture<Connection> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut Connection,
        ctx: &mut Context<Connection>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let polled = actor.line.poll(task);
        actor.thread.run_filed();
        let reason = ready!(polled);
        actor.line.conversation.borrow().say(&reason);
        ctx.stop();
        Poll::Ready(())
    }
}

impl Handler<Kill> for Connection {
    type Result = ();

    fn handle(&mut self, _: Kill, _: &mut Context<Connection>) {
        self.line.give_up();
    }
}
