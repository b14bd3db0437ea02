//! What a connection asks of the server, without knowing who performs it.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix::Recipient;
use troupe::commands::action::Action;
use troupe::commands::error::CommandError;
use troupe::session::Session;

use crate::message::connection::Push;
use crate::thread::Thread;

/// An action under way: the reply, or the error that the client gets.
pub type Performing = Pin<Box<dyn Future<Output = Result<Vec<u8>, CommandError>>>>;

/// Performs actions for the connections of all threads.
pub trait Actions: Send + Sync {
    /// Begins an action of a client on `thread`, who gets `push` for what it did not ask for.
    fn perform(
        self: Arc<Self>,
        action: Action,
        session: &Session,
        thread: Rc<Thread>,
        push: Recipient<Push>,
    ) -> Performing;

    /// The client with this number sees no more commands of others.
    fn unwatch(&self, id: u64);
}
