//! What a batch carries beside its requests: the errand of its next call, with the slots that
//! shards have lent to it.
//!
//! How a shard lends and takes back is its own (`crate::shard`). Here is what travels, and the way
//! home for it.

pub mod errand;
pub mod fetch;
pub mod loan;

use std::sync::Arc;

use crate::keyspace::space::{Slots, Whole};
use crate::pubsub::{Farewell, News};
use crate::route::ShardId;

/// The way to the shards for what has lost its own: a handle of the shell.
///
/// It is used while a panic unwinds, so it never panics. At shutdown it does nothing.
pub trait Post: Farewell {
    /// Sends to a shard what is given back to it.
    fn post(&self, to: ShardId, given_back: GivenBack);
}

/// The post of a shard that is alone. Nothing is lent there.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Farewell for Nowhere {
    fn farewell(&self, _: ShardId, _: Arc<News>) {}
}

impl Post for Nowhere {
    fn post(&self, _: ShardId, _: GivenBack) {}
}

/// What a loan has for a shard at its end.
#[derive(Debug)]
pub enum GivenBack {
    /// Slots that the shard has lent.
    Slots(Returned),
    /// The shard has one reason less to keep its slots.
    Moves,
    /// A loan of the shard that lasted is home.
    Lasted,
    /// What a run of the shard asked for does not come: the request is lost.
    Unfetched(u64),
}

/// Slots on their way back to their owner.
#[derive(Debug)]
pub struct Returned {
    /// The slots, whole.
    pub slots: Lent,
    /// The command panicked while it held them: what they hold cannot be trusted.
    pub torn: bool,
}

/// What a shard lends.
#[derive(Debug)]
pub enum Lent {
    /// Some slots.
    Slots(Slots),
    /// All that it owns.
    Whole(Whole),
}
