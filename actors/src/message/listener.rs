//! Mail for the listener.

use std::sync::Arc;

use actix::Message;
use tokio::sync::oneshot;
use troupe::settings::Settings;

/// Open the sockets of these settings beside those that are there.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Open {
    /// The settings.
    pub settings: Arc<Settings>,
    /// Told whether all of them are open.
    pub opened: oneshot::Sender<bool>,
}

/// The sockets that were opened last take the place of those before, or are closed again.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Settle {
    /// Whether they take it.
    pub takes: bool,
}
