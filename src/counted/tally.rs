//! What the commands of a shard were, in numbers; the sum over shards has the same form.
//!
//! One [`Tally`] a command, at the command's number, so that counting hashes nothing. Times are
//! summed in nanoseconds and shown in microseconds. A command's histogram of times, 24 KB, is made
//! when the command first runs.

use crate::counted::errors::Errors;
use crate::counted::latency::{self, Latency};

/// The first bound of the distribution that LATENCY HISTOGRAM shows; each further one is twice as
/// long.
const FIRST_BOUND_NS: u64 = 1024;

/// What one command did.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Times that it ran.
    pub calls: u64,
    /// How long it ran in all, in nanoseconds.
    pub nanos: u64,
    /// Times that it was refused.
    pub rejected: u64,
    /// Times that it ran and failed.
    pub failed: u64,
    /// How long it ran each time, in nanoseconds.
    pub latency: Option<Latency>,
}

impl Tally {
    /// Counts a run of `nanos`.
    #[inline]
    pub fn ran(&mut self, nanos: u64, tracks_latency: bool) {
        self.calls += 1;
        self.nanos += nanos;
        if tracks_latency {
            self.latency.get_or_insert_default().record(nanos);
        }
    }

    /// True when the command was neither run nor refused.
    pub fn is_empty(&self) -> bool {
        self.calls == 0 && self.rejected == 0 && self.failed == 0
    }

    /// Whole microseconds of all runs.
    pub fn micros(&self) -> u64 {
        self.nanos / 1_000
    }

    /// Microseconds of a run, on average.
    pub fn micros_per_call(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.nanos as f64 / 1_000.0 / self.calls as f64 }
    }

    /// How many runs took up to a bound, in microseconds; only the bounds where runs were added.
    pub fn distribution(&self) -> Vec<(u64, u64)> {
        let Some(latency) = &self.latency else { return Vec::new() };
        let mut found: Vec<(u64, u64)> = Vec::new();
        let (mut bound, mut counted) = (FIRST_BOUND_NS, 0);
        for (nanos, count) in latency.iter() {
            while nanos > latency::rounded_up(bound) {
                bound *= 2;
            }
            counted += count;
            let micros = latency::rounded_up(bound) / 1_000;
            match found.last_mut() {
                Some(last) if last.0 == micros => last.1 = counted,
                _ => found.push((micros, counted)),
            }
        }
        found
    }

    /// The same, but for how long each run took.
    pub fn without_latency(&self) -> Tally {
        let Tally { calls, nanos, rejected, failed, .. } = *self;
        Tally { calls, nanos, rejected, failed, latency: None }
    }

    fn merge(&mut self, other: &Tally) {
        self.calls += other.calls;
        self.nanos += other.nanos;
        self.rejected += other.rejected;
        self.failed += other.failed;
        if let Some(theirs) = &other.latency {
            self.latency.get_or_insert_default().add(theirs);
        }
    }
}

/// What the commands of one shard, or of all, were.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// How many ran.
    pub calls: u64,
    /// By the number of the command; empty where that was not asked for.
    pub commands: Vec<Tally>,
    /// Error replies.
    pub errors: Errors,
    /// Users and passwords that were refused, since the start: a reset leaves them.
    pub logins_refused: u64,
}

impl Statistics {
    /// Adds those of another shard.
    pub fn merge(&mut self, other: &Statistics) {
        if self.commands.len() < other.commands.len() {
            self.commands.resize_with(other.commands.len(), Tally::default);
        }
        for (mine, theirs) in self.commands.iter_mut().zip(&other.commands) {
            mine.merge(theirs);
        }
        self.calls += other.calls;
        self.errors.merge(&other.errors);
        self.logins_refused += other.logins_refused;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(nanos: &[u64]) -> Tally {
        let mut tally = Tally::default();
        nanos.iter().for_each(|nanos| tally.ran(*nanos, true));
        tally
    }

    #[test]
    fn the_distribution_grows_at_powers_of_two() {
        assert_eq!(tally(&[18_000]).distribution(), [(33, 1)]);
        assert_eq!(tally(&[900, 1_000]).distribution(), [(1, 2)]);
        assert_eq!(tally(&[500, 18_000, 17_000, 5_000]).distribution(), [(1, 1), (8, 2), (33, 4)]);
        assert_eq!(Tally::default().distribution(), []);
    }

    #[test]
    fn hours_count_as_the_longest_time() {
        let tally = tally(&[3_600_000_000_000]);
        assert_eq!(tally.distribution().len(), 1);
        assert_eq!((tally.calls, tally.micros()), (1, 3_600_000_000));
    }

    #[test]
    fn shards_add_up() {
        let mut sum = Statistics::default();
        for _ in 0..3 {
            let commands = vec![tally(&[]), tally(&[5_000])];
            let mut shard = Statistics { calls: 1, commands, ..Statistics::default() };
            shard.errors.add("ERR", 2);
            sum = {
                let mut both = Statistics::default();
                both.merge(&sum);
                both.merge(&shard);
                both
            };
        }
        assert_eq!((sum.calls, sum.errors.total()), (3, 6));
        assert_eq!(sum.commands[1].distribution(), [(8, 3)]);
        assert_eq!(sum.commands[1].micros_per_call(), 5.0);
    }
}
