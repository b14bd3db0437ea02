//! The sink that counts: calls, times, refusals and failures of each command, errors by word.
//!
//! It runs after every command, so its counters stand in an array by the number of the command, and
//! a call costs no hashing, no lock and no allocation but for the first of its kind. Wrong arity
//! counts as a refusal of the command that was meant; unknown commands count as errors only.

use crate::commands::error::CommandError;
use crate::commands::number::{Numbers, numbers};
use crate::commands::registry;
use crate::counted::{Statistics, Tally};
use crate::hook::{Called, Outcome, Sink};
use crate::shard::question::{Answer, Question};
use crate::shard::turn::Push;

/// Counts the commands of a shard.
#[derive(Debug)]
pub struct Counters {
    counted: Statistics,
    numbers: &'static Numbers,
}

impl Default for Counters {
    fn default() -> Counters {
        let numbers = numbers();
        Counters { counted: empty(numbers), numbers }
    }
}

fn empty(numbers: &Numbers) -> Statistics {
    let mut counted = Statistics::default();
    counted.commands.resize_with(numbers.count(), Tally::default);
    counted
}

impl Counters {
    /// What was counted so far.
    pub fn counted(&self) -> &Statistics {
        &self.counted
    }

    #[cold]
    fn count_error(&mut self, error: &CommandError) {
        self.counted.errors.add(&error.prefix(), 1);
        self.counted.logins_refused += u64::from(matches!(error, CommandError::WrongPass));
    }
}

impl Sink for Counters {
    #[inline]
    fn called(&mut self, called: &Called<'_>, _pushes: &mut Vec<Push>) {
        let tracks_latency = called.call.settings.latency_tracking;
        let tally = &mut self.counted.commands[self.numbers.of(called.call.command)];
        match called.outcome {
            Outcome::Ran(_) => tally.ran(called.nanos, tracks_latency),
            Outcome::Failed(error) => {
                tally.ran(called.nanos, tracks_latency);
                tally.failed += 1;
                self.count_error(error);
            }
            Outcome::Refused(error) => {
                tally.rejected += 1;
                self.count_error(error);
            }
        }
    }

    fn unknown(&mut self, error: &CommandError) {
        if let CommandError::WrongArity(name) = error
            && let Some(command) = registry::named(name.as_bytes())
        {
            self.counted.commands[self.numbers.of(command)].rejected += 1;
        }
        self.count_error(error);
    }

    fn answer(&mut self, question: &Question) -> Option<Answer> {
        match question {
            Question::Report { latencies } => {
                let counted = &self.counted;
                let told = if *latencies { counted.clone() } else { counted.without_latencies() };
                Some(Answer::Statistics(Box::new(told)))
            }
            Question::ResetStatistics => {
                let logins_refused = self.counted.logins_refused;
                self.counted = Statistics { logins_refused, ..empty(self.numbers) };
                None
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::sample;

    #[test]
    fn every_outcome_has_its_counter() {
        let (mut counters, session) = (Counters::default(), sample::session());
        let call = sample::words(&["get", "k"]);
        let ran = sample::ran(&call, &session, 7);
        counters.called(&ran, &mut Vec::new());
        counters.called(
            &Called { outcome: Outcome::Failed(&CommandError::WrongType), ..ran },
            &mut Vec::new(),
        );
        counters.called(
            &Called { outcome: Outcome::Refused(&CommandError::NoAuth), ..ran },
            &mut Vec::new(),
        );
        counters.unknown(&CommandError::WrongArity("get"));
        counters.unknown(&CommandError::Syntax);
        let tally = &counters.counted().commands[numbers().of(call.command)];
        assert_eq!((tally.calls, tally.micros(), tally.rejected, tally.failed), (2, 14, 2, 1));
        assert!(tally.latency.is_some());
        let errors: Vec<_> = counters.counted().errors.iter().collect();
        assert_eq!(errors, [("ERR", 2), ("NOAUTH", 1), ("WRONGTYPE", 1)]);
    }

    #[test]
    fn a_reset_forgets_all_but_refused_logins() {
        let (mut counters, session) = (Counters::default(), sample::session());
        let call = sample::words(&["get", "k"]);
        let ran = sample::ran(&call, &session, 7);
        counters.called(
            &Called { outcome: Outcome::Failed(&CommandError::WrongPass), ..ran },
            &mut Vec::new(),
        );
        assert!(counters.answer(&Question::ResetStatistics).is_none());
        assert_eq!((counters.counted().calls(), counters.counted().errors.total()), (0, 0));
        assert_eq!(counters.counted().logins_refused, 1);
    }
}
