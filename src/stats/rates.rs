//! What happens a second, lately: commands, and bytes in and out.
//!
//! Who has a clock takes a sample of the counters ten times a second. A rate is what was counted
//! between the oldest sample that is kept and the newest, over the time between them: the mean of
//! the last 1.6 seconds, as in Redis.

use std::collections::VecDeque;

/// Milliseconds from one sample to the next.
pub const EVERY_MS: u64 = 100;

/// Spans of time that a rate is the mean of.
const SPANS: usize = 16;

/// How far the counters are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands taken from clients.
    pub commands: u64,
    /// Bytes read from clients.
    pub input_bytes: u64,
    /// Bytes written to clients.
    pub output_bytes: u64,
}

/// What happens a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerSecond {
    /// Commands.
    pub commands: u64,
    /// Bytes read from clients.
    pub input_bytes: f64,
    /// Bytes written to clients.
    pub output_bytes: f64,
}

/// The latest samples.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    samples: VecDeque<(u64, Counters)>,
}

impl Rates {
    /// The counters at `now_ms` of a clock that never goes back.
    pub fn sample(&mut self, now_ms: u64, counters: Counters) {
        self.samples.truncate(SPANS);
        self.samples.push_front((now_ms, counters));
    }

    /// Forgets all samples: the counters begin anew.
    pub fn reset(&mut self) {
        self.samples.clear();
    }

    /// The rates between the oldest sample and the newest; zero where there are no two.
    pub fn per_second(&self) -> PerSecond {
        let (Some((now, new)), Some((then, old))) = (self.samples.front(), self.samples.back())
        else {
            return PerSecond::default();
        };
        let elapsed_ms = now.saturating_sub(*then);
        if elapsed_ms == 0 {
            return PerSecond::default();
        }
        let rate =
            |new: u64, old: u64| new.saturating_sub(old) as f64 * 1_000.0 / elapsed_ms as f64;
        PerSecond {
            commands: rate(new.commands, old.commands) as u64,
            input_bytes: rate(new.input_bytes, old.input_bytes),
            output_bytes: rate(new.output_bytes, old.output_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(commands: u64) -> Counters {
        Counters { commands, input_bytes: commands * 10, output_bytes: commands * 4 }
    }

    #[test]
    fn a_rate_is_the_mean_of_the_last_spans() {
        let mut rates = Rates::default();
        assert_eq!(rates.per_second(), PerSecond::default());
        rates.sample(1_000, counters(0));
        assert_eq!(rates.per_second(), PerSecond::default());
        rates.sample(1_100, counters(50));
        let busy = PerSecond { commands: 500, input_bytes: 5_000.0, output_bytes: 2_000.0 };
        assert_eq!(rates.per_second(), busy);
        // Silence: the rate falls as the samples grow old, and is nothing in the end.
        (2..=10).for_each(|span| rates.sample(1_000 + span * EVERY_MS, counters(50)));
        assert_eq!(rates.per_second().commands, 50);
        (11..=17).for_each(|span| rates.sample(1_000 + span * EVERY_MS, counters(50)));
        assert_eq!(rates.per_second(), PerSecond::default());
        assert_eq!(rates.samples.len(), SPANS + 1);
    }

    #[test]
    fn neither_a_reset_nor_a_clock_that_stands_makes_a_rate() {
        let mut rates = Rates::default();
        rates.sample(1_000, counters(70));
        rates.sample(1_000, counters(90));
        assert_eq!(rates.per_second(), PerSecond::default());
        rates.sample(1_100, counters(5));
        assert_eq!(rates.per_second(), PerSecond::default());
        rates.reset();
        assert_eq!(rates.per_second(), PerSecond::default());
    }
}
