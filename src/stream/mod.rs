//! The ordered stream of effects: what shards append to it, who reads it, and how far it has come.
//!
//! Each shard sends one [`Append`] a turn; the order in which they are fed to the stream's
//! [`Consumer`]s is the one order of all effects. Every consumer reads the same records in the same
//! order; none of them needs another, and each may begin and end at any place. The journal's file
//! is one. While there is none, shards record nothing. Whoever sends goes by [`credit`], the
//! journal's writer takes in by [`rounds`]; [`mark`] tells every thread whether all of it is
//! durable.

pub mod credit;
pub mod mark;
mod records;
pub mod rounds;

use crate::keyspace::effect::{Mark, Run};
use crate::settings::Fsync;

pub use records::{Consumer, Records, Selected};

/// The setting `appendfsync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// A reply waits for the sync that covers it.
    Always,
    /// Effects are durable after a second or two.
    #[default]
    EverySecond,
    /// The system decides.
    Never,
}

impl From<Fsync> for Policy {
    fn from(fsync: Fsync) -> Policy {
        match fsync {
            Fsync::Always => Policy::Always,
            Fsync::EverySecond => Policy::EverySecond,
            Fsync::Never => Policy::Never,
        }
    }
}

/// What a shard did in one turn.
#[derive(Debug)]
pub struct Append<F> {
    /// The sender, counted from 0.
    pub shard: u16,
    /// Which bytes belong to which database: ascending ends, the last is the length of `bytes`.
    pub runs: Vec<Run>,
    /// Whole records without SELECT.
    pub bytes: Vec<u8>,
    /// Where among them a snapshot has its moment.
    pub moment: Option<Mark>,
    /// What may leave when all up to here is as durable as the policy asks.
    pub finished: Vec<F>,
    /// The writer is to take it in now, not with the next round.
    pub is_urgent: bool,
}

/// How far a shard's effects have come; totals of bytes that it sent since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The shard.
    pub shard: u16,
    /// In the file, so their memory is free.
    pub written: u64,
    /// Durable.
    pub synced: u64,
}

/// What may leave once the records that it came with are durable.
pub trait Finished {
    /// True when it may show what was written in its turn, which `has_records` or not; false when
    /// it only shows what was there before.
    fn shows_writes(&self, has_records: bool) -> bool;

    /// Nothing that is not held may leave ahead of it, from whichever shard.
    fn keeps_order(&self) -> bool {
        false
    }
}

impl<F: Finished> Append<F> {
    /// There is something to lose, or to overtake: nothing leaves by itself until it is dealt with.
    pub fn is_counted(&self) -> bool {
        !self.bytes.is_empty() || self.finished.iter().any(F::keeps_order)
    }
}
