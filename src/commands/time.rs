//! Times as clients give and get them: in seconds or milliseconds, from now on or of unix time.
//!
//! Every time of a call that becomes a point in time is read here. One that does not fit is refused
//! with the words of Valkey, and nothing wraps around or ends in a wait without end.

use crate::base::millis::Millis;
use crate::base::{float, integer};
use crate::commands::call::Call;
use crate::commands::error::CommandError;

/// How a time is given or shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Milliseconds in its unit.
    unit: i64,
    /// Counted from now; else from 1970.
    from_now: bool,
}

impl Clock {
    /// Seconds from now.
    pub(crate) const SECONDS: Clock = Clock { unit: 1000, from_now: true };
    /// Milliseconds from now.
    pub(crate) const MILLISECONDS: Clock = Clock { unit: 1, from_now: true };
    /// Seconds of unix time.
    pub(crate) const UNIX_SECONDS: Clock = Clock { unit: 1000, from_now: false };
    /// Milliseconds of unix time.
    pub(crate) const UNIX_MILLISECONDS: Clock = Clock { unit: 1, from_now: false };

    fn start(self, now: Millis) -> Millis {
        if self.from_now { now } else { Millis(0) }
    }

    /// The deadline that a word of the call stands for, a whole number that is `least` at the
    /// least.
    ///
    /// # Errors
    /// [`CommandError::NotAnInteger`], or [`CommandError::InvalidExpireTime`] where it is less or
    /// the deadline is beyond the last millisecond.
    pub(crate) fn deadline(
        self,
        text: &[u8],
        least: i64,
        call: &Call<'_>,
    ) -> Result<Millis, CommandError> {
        let time = integer::parse(text).ok_or(CommandError::NotAnInteger)?;
        let milliseconds = time.checked_mul(self.unit).filter(|_| time >= least);
        milliseconds
            .and_then(|milliseconds| self.start(call.now).checked_add(milliseconds))
            .ok_or(CommandError::InvalidExpireTime(call.command.name.as_str()))
    }

    /// A deadline as it is shown, seconds to the nearest, half a second up; 0 for one that has
    /// passed.
    pub(crate) fn shown(self, deadline: Millis, now: Millis) -> i64 {
        let milliseconds = deadline.since(self.start(now)).max(0);
        if self.unit == 1 {
            return milliseconds;
        }
        milliseconds / 1000 + i64::from(milliseconds % 1000 >= 500)
    }
}

/// When a wait ends that begins now and takes so many milliseconds.
///
/// # Errors
/// A text for each: no whole number, a negative one, an end beyond the last millisecond.
pub(crate) fn end_of_wait(text: &[u8], now: Millis) -> Result<Millis, CommandError> {
    let milliseconds = integer::parse(text)
        .ok_or(CommandError::Text("ERR timeout is not an integer or out of range"))?;
    if milliseconds < 0 {
        return Err(CommandError::Text("ERR timeout is negative"));
    }
    now.checked_add(milliseconds).ok_or(CommandError::Text("ERR timeout is out of range"))
}

/// When the wait of a call ends that begins now: the argument at `index` is its length in seconds,
/// fractions too. None for 0, which is for ever.
///
/// # Errors
/// A text for each: no number, a negative one, an end beyond the last millisecond.
pub(crate) fn timeout(call: &Call<'_>, index: usize) -> Result<Option<Millis>, CommandError> {
    let seconds = float::parse(call.arg(index))
        .ok_or(CommandError::Text("ERR timeout is not a float or out of range"))?;
    let out_of_range = CommandError::Text("ERR timeout is out of range");
    let milliseconds = (seconds * 1000.0).ceil();
    if milliseconds >= i64::MAX as f64 {
        return Err(out_of_range);
    }
    match milliseconds as i64 {
        ..0 => Err(CommandError::Text("ERR timeout is negative")),
        0 => Ok(None),
        milliseconds => call.now.checked_add(milliseconds).map(Some).ok_or(out_of_range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_last_millisecond() {
        let now = Millis(1_700_000_000_000);
        // As Valkey 9.1.2 answers EXPIRETIME after PEXPIREAT.
        assert_eq!(Clock::UNIX_SECONDS.shown(Millis::MAX, now), 9_223_372_036_854_776);
        assert_eq!(Clock::UNIX_MILLISECONDS.shown(Millis::MAX, now), i64::MAX);
        assert_eq!(Clock::SECONDS.shown(now.saturating_add(1_499), now), 1);
        assert_eq!(Clock::MILLISECONDS.shown(now.saturating_add(-1), now), 0);
    }
}
