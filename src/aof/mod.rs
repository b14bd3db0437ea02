//! The journal without a disk: what the files of the append-only directory mean, in which order
//! they change, and what the AOF writer and the loader decide.
//!
//! - `manifest`: which files make up the journal, in which order.
//! - `directory`: how that list changes without a gap: a journal begins, goes on or is adopted.
//! - `find`: what somebody means by a path, without the settings of a server.
//! - `increment`: the file that is written.
//! - `error`: what can go wrong with the files.
//! - `record`, `scan`: bytes of an increment -> whole records, or where and why they end.
//! - `load`: the files read back, or a snapshot, block by block.
//! - `loader`: blocks in, parcels for shards out; what goes where, and when.
//! - `apart`: a file loaded while the shards go on.
//! - `journal`: the file as a consumer of the stream; group commit, policies, failures.
//! - `figures`: what INFO says of it.
//! - `writer`: the journal, and whoever asks something of it.
//! - `change`: how a journal begins, and ends, while the server runs.
//! - `storage`: the few disk calls that both sides know.
//!
//! Nothing here reads a clock, or reaches a disk but through `crate::filesystem`: the simulator
//! runs this same code on a disk of its own.

pub mod apart;
pub mod change;
pub mod directory;
pub mod error;
pub mod figures;
pub mod find;
pub mod increment;
pub mod journal;
pub mod load;
pub mod loader;
pub mod manifest;
pub mod record;
pub mod scan;
pub mod storage;
pub mod writer;

#[path = "../../tests/simulator/disk.rs"]
#[cfg(test)]
#[allow(dead_code, reason = "the simulator uses more of it")]
pub(crate) mod disk;
