//! The journal without a disk: what the files of the append-only directory mean and what the AOF
//! writer decides.
//!
//! - `manifest`: which files make up the journal, in which order.
//! - `record`, `scan`: bytes of an increment -> whole records, or where and why they end.
//! - `rdb`: as much of an RDB base as tells an empty one from one with keys.
//! - `journal`: the file as a consumer of the stream; group commit, policies, failures.
//! - `writer`: the journal, and whoever asks something of it.
//! - `change`: how a journal begins, and ends, while the server runs.
//! - `storage`: the few disk calls that both sides know.
//!
//! Nothing here opens a file or reads a clock: the simulator runs this same code on a disk of its
//! own. Left out until there are snapshots: RDB bases with keys, and the rewrite.

pub mod change;
pub mod journal;
pub mod manifest;
pub mod rdb;
pub mod record;
pub mod scan;
pub mod storage;
pub mod writer;
