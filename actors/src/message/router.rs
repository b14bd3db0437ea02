//! Mail for the router.

use actix::Message;
use tokio::sync::oneshot;
use troupe::route::ShardId;

/// Move a slot to another shard; answered when every shard has the new map.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Move {
    /// The slot.
    pub slot: u16,
    /// Its new owner.
    pub to: ShardId,
    /// Told when it is done, or why it is not.
    pub done: oneshot::Sender<Result<(), String>>,
}

/// The new owner holds the slot that was on its way.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Moved {
    /// The slot.
    pub slot: u16,
    /// Its new owner.
    pub to: ShardId,
}
