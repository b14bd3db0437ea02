//! Points in time: milliseconds since 1970.
//!
//! A type of its own so that seconds, spans and points are not mixed up. Arithmetic stops at the
//! ends of the range; where a client must be told instead (EXPIRE), `checked_add`.

use std::fmt;
use std::time::Duration;

/// Unix time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Millis {
    /// Later than every other point.
    pub const MAX: Millis = Millis(i64::MAX);

    /// From whole seconds since 1970; the last point if there are too many.
    pub const fn from_secs(seconds: i64) -> Millis {
        Millis(seconds.saturating_mul(1000))
    }

    /// From the time since 1970; the last point if it is too long.
    pub fn since_epoch(span: Duration) -> Millis {
        Millis(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This many milliseconds later (or earlier, if negative).
    pub const fn saturating_add(self, milliseconds: i64) -> Millis {
        Millis(self.0.saturating_add(milliseconds))
    }

    /// This many milliseconds later, none if there is no such point.
    pub const fn checked_add(self, milliseconds: i64) -> Option<Millis> {
        match self.0.checked_add(milliseconds) {
            Some(sum) => Some(Millis(sum)),
            None => None,
        }
    }

    /// Milliseconds from an earlier point to this one; negative if it is later.
    pub const fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(Millis::from_secs(i64::MAX), Millis::MAX);
        assert_eq!(Millis::MAX.saturating_add(1), Millis::MAX);
        assert_eq!(Millis(1).checked_add(i64::MAX), None);
        assert_eq!(Millis(-5).since(Millis::MAX), i64::MIN);
        assert_eq!(Millis(-1).as_secs(), -1);
        assert_eq!(Millis::since_epoch(Duration::MAX), Millis::MAX);
    }
}
