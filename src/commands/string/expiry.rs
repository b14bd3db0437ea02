//! The options that set a deadline: EX, PX, EXAT, PXAT, and KEEPTTL or PERSIST.
//!
//! Reading and resolving are two steps, because Redis looks at the form of all options before it
//! looks at any number. An option may be repeated, and the last counts; two different ones are a
//! syntax error. A time must be positive even where it is absolute.

use crate::commands::call::{Call, Options};
use crate::commands::command::Arg;
use crate::commands::error::CommandError;
use crate::commands::time::Clock;
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

const CLOCKS: [(&str, Clock); 4] = [
    ("EX", Clock::SECONDS),
    ("PX", Clock::MILLISECONDS),
    ("EXAT", Clock::UNIX_SECONDS),
    ("PXAT", Clock::UNIX_MILLISECONDS),
];

#[derive(Clone, Copy, Debug)]
enum Given<'a> {
    Nothing,
    Word,
    Number(Clock, &'a [u8]),
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
        let Some((_, clock)) = CLOCKS.iter().find(|(word, _)| options.take_word(word)) else {
            return Ok(false);
        };
        match self.given {
            Given::Word => return Err(CommandError::Syntax),
            Given::Number(earlier, _) if earlier != *clock => return Err(CommandError::Syntax),
            Given::Nothing | Given::Number(..) => {}
        }
        self.given = Given::Number(*clock, options.value()?);
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
        self.resolve_from(1, call)
    }

    /// As [`Expiry::resolve`] for elements of a collection: here the number may be 0.
    ///
    /// # Errors
    /// As for [`Expiry::resolve`].
    pub(in crate::commands) fn resolve_of_elements(
        self,
        call: &Call<'_>,
    ) -> Result<Option<Deadline>, CommandError> {
        self.resolve_from(0, call)
    }

    fn resolve_from(self, least: i64, call: &Call<'_>) -> Result<Option<Deadline>, CommandError> {
        Ok(match self.given {
            Given::Nothing => None,
            Given::Word => Some(self.meaning),
            Given::Number(clock, text) => Some(Deadline::At(clock.deadline(text, least, call)?)),
        })
    }
}
