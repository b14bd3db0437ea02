//! How many elements are asked for at random: what HRANDFIELD and ZRANDMEMBER share, and a bound.

use crate::commands::call::Call;
use crate::commands::error::CommandError;

/// More elements than this are not given where one may be given several times: Valkey knows no
/// bound and would run out of memory.
pub(crate) const REPEATED_MAX: u64 = 1 << 24;

/// The number behind the key, negative where an element may be given several times, and whether
/// `word` follows it: then each element is given with what belongs to it.
///
/// # Errors
/// Of the number and of other words.
pub(crate) fn wanted(call: &Call<'_>, word: &str) -> Result<(i64, bool), CommandError> {
    let count = call.integer(2)?;
    if count == i64::MIN {
        return Err(CommandError::Text(
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        ));
    }
    let with_both = call.len() > 3;
    if call.len() > 4 || (with_both && !call.is(3, word)) {
        return Err(CommandError::Syntax);
    }
    if with_both && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(CommandError::OutOfRange);
    }
    Ok((count, with_both))
}
