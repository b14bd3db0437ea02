//! A client on its way to another thread: its socket, and all that its connection holds.
//!
//! A socket belongs to the thread that waits for it. So it is taken off one thread and put on the
//! other, where an actor is started with what the one here had. What the client sends meanwhile
//! waits in the socket. Where anything fails the client is closed, and its seat is free.

use std::rc::Rc;
use std::sync::Arc;

use tracing::warn;
use troupe::connection::Leaving;

use crate::actions::Actions;
use crate::connection::actor::Connection;
use crate::connection::codec::Codec;
use crate::connection::stream::Loose;
use crate::moves::Pass;
use crate::shared::Seat;
use crate::thread::Thread;

/// A client under way.
pub(super) struct Moving {
    pub(super) leaving: Box<Leaving>,
    pub(super) codec: Codec,
    pub(super) socket: Loose,
    /// On the thread that it goes to.
    pub(super) seat: Seat,
    pub(super) actions: Arc<dyn Actions>,
    pub(super) pass: Pass,
}

impl Moving {
    /// Sends it to the thread of its seat.
    pub(super) fn leave(self, from: &Thread) {
        from.run_at(self.seat.thread as u16, Box::new(move |thread| self.arrive(thread)));
    }

    fn arrive(self, thread: Rc<Thread>) {
        let Moving { leaving, codec, socket, seat, actions, pass } = self;
        match socket.join() {
            Ok(stream) => Connection::go_on(thread, seat, actions, stream, codec, *leaving),
            Err(error) => warn!("A client's socket cannot be used on another thread: {error}"),
        }
        // From here on it is found.
        drop(pass);
    }
}
