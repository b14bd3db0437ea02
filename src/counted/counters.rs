//! What a shard counts of its commands: calls, times, refusals and failures of each, errors by
//! their first words.
//!
//! Every command is counted, so the counters stand in an array by the number of the command, and
//! are no sink: a call costs no hashing, no lock and no allocation but for the first of its kind.
//! Wrong arity counts as a refusal of the command that was meant; unknown commands count as errors
//! only.

use crate::commands::command::Command;
use crate::commands::error::CommandError;
use crate::commands::number::{Numbers, numbers};
use crate::commands::registry;
use crate::counted::errors::Errors;
use crate::counted::{Statistics, Tally};
use crate::question::Detail;

/// Counts the commands of a shard.
#[derive(Debug)]
pub struct Counters {
    /// By the number of the command.
    commands: Vec<Tally>,
    errors: Errors,
    logins_refused: u64,
    numbers: &'static Numbers,
}

impl Default for Counters {
    fn default() -> Counters {
        let numbers = numbers();
        let mut commands = Vec::new();
        commands.resize_with(numbers.count(), Tally::default);
        Counters { commands, errors: Errors::default(), logins_refused: 0, numbers }
    }
}

impl Counters {
    /// What was counted so far.
    pub fn counted(&self, detail: Detail) -> Statistics {
        Statistics {
            calls: self.commands.iter().map(|tally| tally.calls).sum(),
            commands: match detail {
                Detail::Sums => Vec::new(),
                Detail::Commands => self.commands.iter().map(Tally::without_latency).collect(),
                Detail::Latencies => self.commands.clone(),
            },
            errors: self.errors.clone(),
            logins_refused: self.logins_refused,
        }
    }

    /// Forgets all but refused logins.
    pub fn reset(&mut self) {
        let logins_refused = self.logins_refused;
        *self = Counters { logins_refused, ..Counters::default() };
    }

    /// A command ran for so long, in nanoseconds.
    #[inline]
    pub fn ran(&mut self, command: &'static Command, nanos: u64, tracks_latency: bool) {
        self.tally(command).ran(nanos, tracks_latency);
    }

    /// A command that ran had this error.
    #[cold]
    pub fn failed(&mut self, command: &'static Command, error: &CommandError) {
        self.tally(command).failed += 1;
        if !matches!(error, CommandError::Script { is_counted: true, .. }) {
            self.count_error(error);
        }
    }

    /// A command was refused.
    #[cold]
    pub fn refused(&mut self, command: &'static Command, error: &CommandError) {
        self.tally(command).rejected += 1;
        self.count_error(error);
    }

    /// A request asked for a command that is not there, or with a wrong number of words.
    #[cold]
    pub fn unknown(&mut self, error: &CommandError) {
        match error {
            CommandError::WrongArity(name) => match registry::named(name.as_bytes()) {
                Some(command) => self.refused(command, error),
                None => self.count_error(error),
            },
            CommandError::Aborted(_) => {
                registry::named(b"exec").iter().for_each(|exec| self.refused(exec, error));
            }
            _ => self.count_error(error),
        }
    }

    #[inline]
    fn tally(&mut self, command: &'static Command) -> &mut Tally {
        &mut self.commands[self.numbers.of(command)]
    }

    fn count_error(&mut self, error: &CommandError) {
        self.errors.add(&error.prefix(), 1);
        self.logins_refused += u64::from(matches!(error, CommandError::WrongPass));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get() -> &'static Command {
        registry::named(b"get").expect("it is declared")
    }

    #[test]
    fn every_outcome_has_its_counter() {
        let mut counters = Counters::default();
        counters.ran(get(), 7_000, true);
        counters.ran(get(), 7_000, true);
        counters.failed(get(), &CommandError::WrongType);
        counters.refused(get(), &CommandError::NoAuth);
        counters.unknown(&CommandError::WrongArity("get"));
        counters.unknown(&CommandError::Syntax);
        let tally = &counters.commands[numbers().of(get())];
        assert_eq!((tally.calls, tally.micros(), tally.rejected, tally.failed), (2, 14, 2, 1));
        assert!(tally.latency.is_some());
        let errors: Vec<_> = counters.errors.iter().collect();
        assert_eq!(errors, [("ERR", 2), ("NOAUTH", 1), ("WRONGTYPE", 1)]);
    }

    #[test]
    fn a_reset_forgets_all_but_refused_logins() {
        let mut counters = Counters::default();
        counters.ran(get(), 7_000, true);
        counters.failed(get(), &CommandError::WrongPass);
        counters.reset();
        assert_eq!((counters.counted(Detail::Sums).calls, counters.errors.total()), (0, 0));
        assert_eq!(counters.logins_refused, 1);
    }
}
