//! When restarts are too many, and how long an actor waits before it works again.
//!
//! A restart is worth something while it mends what is wrong. An actor that panics again and again
//! is not mended by it: then the process ends with a report, and the service manager starts it
//! again. Between the two, each restart that comes soon after the one before makes the actor wait
//! twice as long, so that it does not eat up the machine.

use std::collections::{BTreeMap, VecDeque};

/// The first wait, in milliseconds: after the second restart within [`CALM_MS`].
const WAIT_MIN_MS: u64 = 10;

/// The longest wait, in milliseconds.
const WAIT_MAX_MS: u64 = 200;

/// An actor that ran for this long is as good as new, in milliseconds.
const CALM_MS: u64 = 10_000;

/// How many restarts of one actor are borne.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// So many, and no more...
    pub restarts: usize,
    /// ...within so many milliseconds.
    pub window_ms: u64,
}

/// The restarts of all actors, by name.
#[derive(Debug, Default)]
pub struct Restarts {
    /// When they were; those that no window reaches any more are forgotten.
    recent: BTreeMap<String, VecDeque<u64>>,
}

impl Restarts {
    /// An actor was restarted at `now_ms`. Returns how many restarts of it the window holds, where
    /// those are more than the limit.
    pub fn count(&mut self, name: &str, now_ms: u64, limit: Limit) -> Option<usize> {
        let recent = self.recent.entry(name.to_owned()).or_default();
        recent.push_back(now_ms);
        recent.retain(|at| now_ms - at < limit.window_ms);
        Some(recent.len()).filter(|count| *count > limit.restarts)
    }
}

/// How long one actor waits after a restart.
#[derive(Debug, Default)]
pub struct BackOff {
    last_ms: Option<u64>,
    wait_ms: u64,
}

impl BackOff {
    /// The actor was restarted at `now_ms`. Returns for how many milliseconds it waits: not at all
    /// after the first restart, then longer each time, until it has run without one for a while.
    pub fn restarted(&mut self, now_ms: u64) -> u64 {
        let last_ms = self.last_ms.replace(now_ms);
        self.wait_ms = match last_ms {
            Some(last) if now_ms - last < CALM_MS + self.wait_ms => {
                (self.wait_ms * 2).clamp(WAIT_MIN_MS, WAIT_MAX_MS)
            }
            _ => 0,
        };
        self.wait_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { restarts: 3, window_ms: 1_000 };

    #[test]
    fn so_many_restarts_within_the_window_are_borne_and_no_more() {
        let mut restarts = Restarts::default();
        let counts = [0, 10, 20, 30].map(|now| restarts.count("router", now, LIMIT));
        assert_eq!(counts, [None, None, None, Some(4)]);
    }

    #[test]
    fn what_the_window_has_left_behind_does_not_count() {
        let mut restarts = Restarts::default();
        let counts = [0, 400, 800, 1_000, 1_400].map(|now| restarts.count("router", now, LIMIT));
        assert_eq!(counts, [None; 5]);
        assert_eq!(restarts.count("router", 1_500, LIMIT), Some(4));
    }

    #[test]
    fn each_actor_has_restarts_of_its_own() {
        let mut restarts = Restarts::default();
        for now in 0..3 {
            assert_eq!(restarts.count("shard-0", now, LIMIT), None);
            assert_eq!(restarts.count("shard-1", now, LIMIT), None);
        }
    }

    #[test]
    fn a_limit_that_is_lowered_holds_at_once() {
        let mut restarts = Restarts::default();
        assert_eq!(restarts.count("listener", 0, LIMIT), None);
        let none = Limit { restarts: 0, ..LIMIT };
        assert_eq!(restarts.count("listener", 1, none), Some(2));
    }

    #[test]
    fn waits_grow_while_restarts_follow_each_other_and_end_with_calm() {
        let mut back_off = BackOff::default();
        let mut now_ms = 5_000;
        let waits: Vec<u64> = std::iter::repeat_with(|| {
            now_ms += 100;
            back_off.restarted(now_ms)
        })
        .take(9)
        .collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 200, 200, 200]);
        assert_eq!(back_off.restarted(now_ms + CALM_MS), 200, "it waited for a part of that");
        assert_eq!(back_off.restarted(now_ms + 3 * CALM_MS), 0);
    }
}
