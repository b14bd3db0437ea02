//! Mail for one connection.

use actix::Message;

/// The batch is lost: close.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Kill;
