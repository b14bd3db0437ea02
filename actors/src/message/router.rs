//! Mail for the router.

use actix::Message;
use tokio::sync::oneshot;
use troupe::route::ShardId;
use troupe::router::{Failure, Order};

/// Who gave an order hears here that it is done, or why it is not.
pub type Done = oneshot::Sender<Result<(), Failure>>;

/// Move slots; answered when every shard has been sent the map that says so.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Move(pub Order<Done>);

/// Slots that were on their way are with their new owner.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct Moved {
    /// The slots that have arrived in one turn.
    pub slots: Vec<u16>,
    /// Their new owner.
    pub to: ShardId,
}
