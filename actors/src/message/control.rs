//! Mail that any actor understands, and what the guardian hears.

use actix::Message;

/// Panic, for tests of supervision.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Panic;

/// An actor panicked and was started anew.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct Restarted {
    /// Its name.
    pub name: String,
    /// What the panic said.
    pub why: String,
}
