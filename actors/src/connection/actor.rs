//! The connection's actor: how one client begins and ends, and the mail that reaches it.
//!
//! What the connection decides is [`troupe::connection`]'s; its steps are taken in `steps`. A panic
//! here costs one client: the actor is dropped, and its socket with it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{Actor, AsyncContext, Context, Handler, Recipient};
use troupe::batch::Home;
use troupe::clients::Row;
use troupe::connection::Connection as Core;
use troupe::session::{Peer, Session};

use crate::actions::Actions;
use crate::connection::codec::Codec;
use crate::connection::steps::{Alarm, Performance, Pump};
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

/// One client's actor.
pub struct Connection {
    pub(super) core: Core,
    pub(super) codec: Codec,
    pub(super) thread: Rc<Thread>,
    pub(super) actions: Arc<dyn Actions>,
    pub(super) stream: Stream,
    pub(super) performance: Option<Performance>,
    pub(super) alarm: Option<Alarm>,
    pub(super) id: u64,
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
                codec: Codec::default(),
                thread,
                actions,
                stream,
                performance: None,
                alarm: None,
                id,
                place,
            }
        })
    }

    /// Lets the batch come home. A client that was a monitor and is none any more is shown no more
    /// commands.
    pub(super) fn home(&mut self, come: impl FnOnce(&mut Core)) {
        let was_monitor = self.core.is_monitor();
        come(&mut self.core);
        if was_monitor && !self.core.is_monitor() {
            self.actions.remove_monitor(self.id);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.core.is_monitor() {
            self.actions.remove_monitor(self.id);
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
