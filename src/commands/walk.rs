//! What a walking command carries from shard to shard: SCAN, RANDOMKEY.
//!
//! A walk starts with no place; its handler says where to go, and is called again there. It never
//! holds anything, so it needs no lending.

/// The state of a walk.
#[derive(Debug, Default)]
pub struct Walk {
    /// The slot at which the handler runs now; none on the first call.
    pub at: Option<u16>,
    /// A cursor of the handler's own.
    pub cursor: u64,
    /// Work done so far, in units of the handler's own; what bounds the walk.
    pub spent: usize,
    /// What was found so far.
    pub found: Vec<Vec<u8>>,
}

/// What comes after a step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The reply is written.
    Done,
    /// Go on at this slot.
    At(u16),
}
