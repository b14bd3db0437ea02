//! Which elements are asked for, where that is said alike of several types: so many at random
//! (HRANDFIELD, ZRANDMEMBER), or so many of the first key that has any (LMPOP, ZMPOP).

use std::ops::Range;

use crate::commands::call::{Call, positive};
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

/// `numkeys key [key ...] end [COUNT count]`, as LMPOP and ZMPOP have it.
#[derive(Clone, Debug)]
pub(crate) struct OfFirst<E> {
    /// Positions of the keys in the call.
    pub(crate) keys: Range<usize>,
    /// The end at which elements are taken.
    pub(crate) end: E,
    /// How many of them, at least 1.
    pub(crate) count: usize,
}

impl<E> OfFirst<E> {
    /// Reads the call from argument `at` to its end; `end` reads what stands behind the keys.
    ///
    /// # Errors
    /// Of the numbers, of `end`, and of other words.
    pub(crate) fn of(
        call: &Call<'_>,
        at: usize,
        end: impl FnOnce(&Call<'_>, usize) -> Result<E, CommandError>,
    ) -> Result<OfFirst<E>, CommandError> {
        let number = positive(call.arg(at), "ERR numkeys should be greater than 0")?;
        let behind = at.saturating_add(number).saturating_add(1);
        if behind >= call.len() {
            return Err(CommandError::Syntax);
        }
        let end = end(call, behind)?;
        let (mut options, mut count) = (call.options(behind + 1), None);
        while options.left() > 0 {
            if count.is_some() || options.left() < 2 || !options.take_word("COUNT") {
                return Err(CommandError::Syntax);
            }
            count = Some(positive(options.value()?, "ERR count should be greater than 0")?);
        }
        Ok(OfFirst { keys: at + 1..behind, end, count: count.unwrap_or(1) })
    }
}
