//! The options that set a deadline: EX, PX, EXAT, PXAT, and KEEPTTL or PERSIST.
//!
//! Reading and resolving are two steps, because Redis looks at the form of all options before it
//! looks at any number. An option may be repeated, and the last counts; two different ones are a
//! syntax error. A time must be positive even where it is absolute.

use crate::base::integer;
use crate::base::millis::Millis;
use crate::commands::call::{Call, Options};
use crate::commands::command::Arg;
use crate::commands::error::CommandError;
use crate::keyspace::keys::Deadline;

/// The options with a number, for COMMAND DOCS.
pub(in crate::commands) const ARGS: [Arg; 4] = [
    Arg::integer("seconds").token("EX"),
    Arg::integer("milliseconds").token("PX"),
    Arg::unix_time("unix-time-seconds").token("EXAT"),
    Arg::unix_time("unix-time-milliseconds").token("PXAT"),
];

/// Their argument for commands that store: they know KEEPTTL.
pub(in crate::commands) const OR_KEEPTTL: Arg =
    Arg::one_of("expiration", &Arg::joined::<5>(&[&ARGS, &[Arg::word("keepttl", "KEEPTTL")]]))
        .optional();

/// Their argument for commands that know PERSIST.
pub(in crate::commands) const OR_PERSIST: Arg =
    Arg::one_of("expiration", &Arg::joined::<5>(&[&ARGS, &[Arg::word("persist", "PERSIST")]]))
        .optional();

/// What the number of an option counts, and from when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

const UNITS: [(&str, Unit); 4] = [
    ("EX", Unit::Seconds),
    ("PX", Unit::Milliseconds),
    ("EXAT", Unit::UnixSeconds),
    ("PXAT", Unit::UnixMilliseconds),
];

#[derive(Clone, Copy, Debug)]
enum Given<'a> {
    Nothing,
    Word,
    Number(Unit, &'a [u8]),
}

/// What was said of the deadline so far.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct Expiry<'a> {
    word: &'static str,
    meaning: Deadline,
    given: Given<'a>,
}

impl<'a> Expiry<'a> {
    /// For commands that store: they know KEEPTTL.
    pub(in crate::commands) fn or_keepttl() -> Expiry<'a> {
        Expiry { word: "KEEPTTL", meaning: Deadline::Keep, given: Given::Nothing }
    }

    /// For GETEX, which knows PERSIST.
    pub(in crate::commands) fn or_persist() -> Expiry<'a> {
        Expiry { word: "PERSIST", meaning: Deadline::Clear, given: Given::Nothing }
    }

    /// Takes the next option when it is about the deadline.
    ///
    /// # Errors
    /// [`CommandError::Syntax`] when it contradicts an earlier one or lacks its number.
    pub(in crate::commands) fn take(
        &mut self,
        options: &mut Options<'a>,
    ) -> Result<bool, CommandError> {
        if options.take_word(self.word) {
            return match self.given {
                Given::Number(..) => Err(CommandError::Syntax),
                Given::Nothing | Given::Word => {
                    self.given = Given::Word;
                    Ok(true)
                }
            };
        }
        let Some((_, unit)) = UNITS.iter().find(|(word, _)| options.take_word(word)) else {
            return Ok(false);
        };
        match self.given {
            Given::Word => return Err(CommandError::Syntax),
            Given::Number(earlier, _) if earlier != *unit => return Err(CommandError::Syntax),
            Given::Nothing | Given::Number(..) => {}
        }
        self.given = Given::Number(*unit, options.value()?);
        Ok(true)
    }

    /// The deadline that was asked for; none where nothing was said.
    ///
    /// # Errors
    /// [`CommandError::NotAnInteger`] or [`CommandError::InvalidExpireTime`].
    pub(in crate::commands) fn resolve(
        self,
        call: &Call<'_>,
    ) -> Result<Option<Deadline>, CommandError> {
        match self.given {
            Given::Nothing => Ok(None),
            Given::Word => Ok(Some(self.meaning)),
            Given::Number(unit, text) => Ok(Some(Deadline::At(point(unit, text, call, 1)?))),
        }
    }

    /// As [`Expiry::resolve`] for elements of a collection: here the number may be 0.
    ///
    /// # Errors
    /// As for [`Expiry::resolve`].
    pub(in crate::commands) fn resolve_of_elements(
        self,
        call: &Call<'_>,
    ) -> Result<Option<Deadline>, CommandError> {
        match self.given {
            Given::Number(unit, text) => Ok(Some(Deadline::At(point(unit, text, call, 0)?))),
            Given::Nothing | Given::Word => self.resolve(call),
        }
    }
}

/// The deadline in so many seconds, as SETEX has it.
///
/// # Errors
/// As for [`Expiry::resolve`].
pub(super) fn in_seconds(text: &[u8], call: &Call<'_>) -> Result<Deadline, CommandError> {
    point(Unit::Seconds, text, call, 1).map(Deadline::At)
}

/// The deadline in so many milliseconds, as PSETEX has it.
///
/// # Errors
/// As for [`Expiry::resolve`].
pub(super) fn in_milliseconds(text: &[u8], call: &Call<'_>) -> Result<Deadline, CommandError> {
    point(Unit::Milliseconds, text, call, 1).map(Deadline::At)
}

/// The time that an option says; its number is `least` at the least.
fn point(unit: Unit, text: &[u8], call: &Call<'_>, least: i64) -> Result<Millis, CommandError> {
    let number = integer::parse(text).ok_or(CommandError::NotAnInteger)?;
    let scaled = match unit {
        Unit::Seconds | Unit::UnixSeconds => number.checked_mul(1000),
        Unit::Milliseconds | Unit::UnixMilliseconds => Some(number),
    };
    let from = match unit {
        Unit::Seconds | Unit::Milliseconds => call.now,
        Unit::UnixSeconds | Unit::UnixMilliseconds => Millis(0),
    };
    scaled
        .filter(|scaled| *scaled >= least)
        .and_then(|scaled| from.checked_add(scaled))
        .ok_or(CommandError::InvalidExpireTime(call.command.name.as_str()))
}
