//! Strings as arrays of bits.
//!
//! A family a file; here is what several share: how far bits may reach, and ranges of them. A write
//! makes the string `raw` even where it changes no bit, as in Redis, but only what changed is
//! journaled.

pub(super) mod bit;
pub(super) mod combine;
pub(super) mod count;
pub(super) mod field;

use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::commands::string::range::STRING_BYTES_MAX;
use crate::keyspace::keys::Keys;

const OFFSET: CommandError = CommandError::Text("ERR bit offset is not an integer or out of range");

/// Bytes by which the widest field may reach over the last bit that an offset may name.
const REACH_BYTES: u64 = 8;

/// Reads the position of a bit. It must lie in a string that is not too long, except while the
/// journal is loaded, which may have been written under a higher limit.
fn offset(text: &[u8], call: &Call<'_>, keys: &Keys<'_>) -> Result<u64, CommandError> {
    let offset = integer::parse(text).and_then(|offset| u64::try_from(offset).ok());
    within(offset.ok_or(OFFSET)?, call, keys)
}

/// Refuses the position of a bit that lies in no string.
fn within(offset: u64, call: &Call<'_>, keys: &Keys<'_>) -> Result<u64, CommandError> {
    let limit = if keys.is_replay() { u64::MAX } else { call.settings.proto_max_bulk_len };
    if offset / 8 >= limit.min(STRING_BYTES_MAX - REACH_BYTES) {
        return Err(OFFSET);
    }
    Ok(offset)
}

/// What the numbers of a range count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Bytes,
    Bits,
}

/// A part of a string, both ends included and both counted from its end where negative.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: i64,
    end: i64,
    unit: Unit,
}

impl Range {
    /// Reads `[start [end [BYTE | BIT]]]` from argument `at` on; nothing is all of a string.
    fn parse(call: &Call<'_>, at: usize) -> Result<Range, CommandError> {
        let given = call.len() - at;
        if given > 3 {
            return Err(CommandError::Syntax);
        }
        let start = if given > 0 { call.integer(at)? } else { 0 };
        let unit = match given {
            3 if call.is(at + 2, "BIT") => Unit::Bits,
            3 if !call.is(at + 2, "BYTE") => return Err(CommandError::Syntax),
            _ => Unit::Bytes,
        };
        let end = if given > 1 { call.integer(at + 1)? } else { -1 };
        Ok(Range { start, end, unit })
    }

    /// True where the end, counted from the end of the string like the start, comes before it: in
    /// BITCOUNT there is nothing between them, even where the string is too short for both.
    fn is_crossed(self) -> bool {
        self.start < 0 && self.end < 0 && self.start > self.end
    }

    /// First and last bit in a string of `len` bytes; none when there is nothing between them.
    fn bits(self, len: usize) -> Option<(u64, u64)> {
        let units = match self.unit {
            Unit::Bytes => len as i64,
            Unit::Bits => len as i64 * 8,
        };
        let from_front = |at: i64| if at < 0 { at.saturating_add(units).max(0) } else { at };
        let (start, end) = (from_front(self.start), from_front(self.end).min(units - 1));
        if start > end {
            return None;
        }
        let (start, end) = (start as u64, end as u64);
        Some(match self.unit {
            Unit::Bytes => (start * 8, end * 8 + 7),
            Unit::Bits => (start, end),
        })
    }
}
