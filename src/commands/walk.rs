//! What a command carries from step to step: SCAN and RANDOMKEY, which walk from shard to shard,
//! KEYS, which stays where it has everything, MIGRATE, which stays where it has its keys, and
//! scripts.
//!
//! A walk starts with no place; its handler says where to go, and is called again there.

use crate::commands::error::CommandError;
use crate::route::ShardId;

/// The state of a walk.
#[derive(Debug, Default)]
pub struct Walk {
    /// The slot at which the handler runs now; none on the first call.
    pub at: Option<u16>,
    /// A cursor of the handler's own.
    pub cursor: u64,
    /// Work done so far, in units of the handler's own; what bounds the walk.
    pub spent: usize,
    /// Bytes of what was found so far, where only that is counted.
    pub bytes: usize,
    /// Where the reply of the command begins in the batch's.
    pub reply: usize,
    /// How long the steps before took, in nanoseconds.
    pub nanos: u64,
    /// What was found so far.
    pub found: Vec<Vec<u8>>,
    /// Where the random numbers of a script begin, which runs again with the same.
    pub seed: Option<u64>,
    /// The shard where a script first lacked a slot.
    pub first: Option<ShardId>,
    /// The number of the script that stands still, where the call runs one.
    pub run: Option<u64>,
    /// The key that a script has met and asks for, where its name could not be guessed.
    pub lacked: Option<Box<[u8]>>,
    /// Shards that were asked for slots which the script has met, and have not answered.
    pub asked: usize,
    /// What came of the action that the command asked for.
    pub answer: Option<Result<Vec<u8>, CommandError>>,
}

/// What comes after a step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The reply is written.
    Done,
    /// Go on at this slot.
    At(u16),
}
