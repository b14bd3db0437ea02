//! HyperLogLog: how many different elements were seen.
//!
//! Values are strings in Redis's format (`data::hyperloglog`), so a client may make one up; what is
//! no such value at all, and what is one but does not add up, are two different errors.

pub(super) mod basic;
pub(super) mod debug;

use crate::commands::error::CommandError;
use crate::data::hyperloglog::{self, Encoding};

const CORRUPTED: CommandError = CommandError::Text("INVALIDOBJ Corrupted HLL object detected");

/// The encoding of a value.
fn encoding(value: &[u8]) -> Result<Encoding, CommandError> {
    hyperloglog::encoding(value)
        .ok_or(CommandError::Text("WRONGTYPE Key is not a valid HyperLogLog string value."))
}
