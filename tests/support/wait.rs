//! Waiting for a state, never for a length of time. Every wait has a deadline and a name, so a hung
//! test says what it was waiting for.

use std::time::{Duration, Instant};

/// How long a state that should come at once may take on a loaded machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks until the answer is `Some`; panics with `what` when the deadline has passed.
pub fn until_some<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Asks until the answer is yes; panics with `what` when the deadline has passed.
pub fn until(what: &str, within: Duration, mut ask: impl FnMut() -> bool) {
    until_some(what, within, || ask().then_some(()));
}

/// Sets its flag when it goes, by a panic as well: threads that wait for the flag always end.
#[derive(Debug)]
pub struct StopAtEnd<'a>(pub &'a std::sync::atomic::AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
