//! The journal without a disk: what the files of the append-only directory mean, in which order
//! they change, and what the AOF writer and the loader decide.
//!
//! - `filesystem`: the calls that the journal makes of a file system, as traits.
//! - `directory`: which files there are, and how their list changes without a gap.
//! - `increment`: the file that is written.
//! - `load`: reading the files back, block by block.
//! - `loader`: which record goes to which shard, and when.
//! - `error`: what can go wrong with the files.
//! - `manifest`: which files make up the journal, in which order.
//! - `record`, `scan`: bytes of an increment -> whole records, or where and why they end.
//! - `rdb`: as much of an RDB base as tells an empty one from one with keys.
//! - `journal`: mail in, disk work and news out; group commit, policies, failures.
//! - `storage`: the few disk calls that both sides know.
//!
//! Nothing here reads a clock, or opens a file but through `filesystem`: the simulator runs this
//! same code on a disk of its own. Left out until there are snapshots: RDB bases with keys, and the rewrite.

pub mod directory;
pub mod error;
pub mod filesystem;
pub mod increment;
pub mod journal;
pub mod load;
pub mod loader;
pub mod manifest;
pub mod rdb;
pub mod record;
pub mod scan;
pub mod storage;

#[path = "../../tests/simulator/disk.rs"]
#[cfg(test)]
mod disk;
