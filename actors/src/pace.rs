//! Loading that takes its time (`key-load-delay`), for tests: the thread that reads files waits as
//! long as what it has read takes.
//!
//! Whoever wants what is loaded holds a [`Patience`]. Once that is gone nothing waits any more, so
//! a load that was given up is soon over.

use std::sync::mpsc::{self, Receiver, Sender};

use troupe::aof::load::Reader;
use troupe::settings::KeyDelay;

/// How fast a thread loads.
#[derive(Debug)]
pub struct Pace {
    delay: KeyDelay,
    /// Keys and records that have taken their time.
    passed: u64,
    given_up: Receiver<()>,
}

/// Somebody waits for what is loaded.
#[derive(Debug)]
pub struct Patience(#[expect(dead_code, reason = "what counts is that it is dropped")] Sender<()>);

/// A pace with this delay, for as long as somebody has the patience.
pub fn pace(delay: KeyDelay) -> (Pace, Patience) {
    let (patience, given_up) = mpsc::channel();
    (Pace { delay, passed: 0, given_up }, Patience(patience))
}

impl Pace {
    /// Waits as long as that takes which was read since the last time.
    pub fn keep(&mut self, reader: &Reader) {
        let read = reader.keys_and_records();
        let lasts = self.delay.of_keys(read - self.passed);
        self.passed = read;
        if !lasts.is_zero() {
            // Nobody sends anything: the time is over, or the patience is.
            let _ = self.given_up.recv_timeout(lasts);
        }
    }
}
