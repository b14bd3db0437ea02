//! What a connection asks of the server, without knowing who performs it.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use troupe::batch::Home;
use troupe::commands::action::Action;
use troupe::commands::error::CommandError;
use troupe::session::Session;

use crate::thread::Thread;

/// An action under way: the reply, or the error that the client gets.
pub type Performing = Pin<Box<dyn Future<Output = Result<Vec<u8>, CommandError>>>>;

/// Performs actions for the connections of all threads.
pub trait Actions: Send + Sync {
    /// Begins an action of a client on `thread`, whose place is `home`.
    fn perform(
        self: Arc<Self>,
        action: Action,
        home: Home,
        session: &Session,
        thread: Rc<Thread>,
    ) -> Performing;

    /// The client with this number sees no more commands of others.
    fn remove_monitor(&self, id: u64);
}
