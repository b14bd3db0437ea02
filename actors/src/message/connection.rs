//! Mail for one connection.

use actix::Message;
use bytes::Bytes;
use troupe::batch::Batch;

/// The batch came home: done, cut short, or with an action to perform.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Executed(pub Box<Batch>);

/// Bytes for the client outside its own replies.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Push(pub Bytes);

/// Close, once what is due to the client is written, or at once.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Kill {
    /// The client asked for its own end: its reply is still sent.
    pub after_reply: bool,
}
