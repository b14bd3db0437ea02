//! The RDB format of Redis and Valkey, read and written, without a disk: values, the payloads of
//! DUMP and RESTORE, and the records of a file.
//!
//! ```text
//! payload, decoder, encoder   a value with its checksum; a file, record by record
//! cut                         a file as blocks of keys whose values are still to be read
//! read, skip, write           a value behind its type
//! beside                      what has no place in a value
//! listpack, legacy, module    what stands inside a string, or instead of one
//! source, sink, lzf           lengths and strings
//! dialect                     which byte stands for what, by who wrote it
//! ```
//!
//! What is read may come from an enemy. Every length is compared with what is left before anything
//! is done about it, elements are added one by one, and nothing calls itself. So reading takes the
//! memory of the value that comes out and little more; a string of LZF can be 88 times as long as
//! what it was read from, and no more.

mod beside;
mod crc64;
mod cut;
mod decoder;
mod dialect;
mod encoder;
mod error;
mod legacy;
mod listpack;
mod lzf;
mod module;
mod payload;
mod read;
#[cfg(test)]
pub(crate) mod samples;
mod sink;
mod skip;
mod source;
mod write;

pub use crc64::crc64;
pub use cut::{Cutter, Expired, Piece, RawKey, RawKeys, Rules};
pub use decoder::{Decoder, Key, Record, opens_file, read_key};
pub use dialect::{Dialect, Family};
pub use encoder::{Checksum, Records, head, put_aux, put_end, put_function, put_sizes};
pub use error::{Fault, RdbError};
pub use payload::{PayloadError, dump, dump_functions, restore, restore_functions};
pub use read::{Forms, Loaded};
pub use write::{NoPlace, without_place};

/// A node of a list that is one item, and one that is a listpack.
const PLAIN_NODE: u64 = 1;
const PACKED_NODE: u64 = 2;
