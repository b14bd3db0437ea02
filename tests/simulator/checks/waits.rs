//! Every call is answered, or its connection closed, within a bound: nobody is left hanging.

use super::Broken;

/// How long a client that reads may hear nothing, in microseconds of the run. A disk that hangs
/// does so for four seconds at a time.
const WAIT_MAX_US: u64 = 60_000_000;

/// How long a client has waited.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits(Option<u64>);

impl Waits {
    /// It waits for something from now on.
    pub fn begin(&mut self, now_us: u64) {
        self.0 = Some(now_us);
    }

    /// It waits for nothing.
    pub fn over(&mut self) {
        self.0 = None;
    }

    /// Looks whether it waits for too long.
    ///
    /// # Errors
    /// It does.
    pub fn check(&self, now_us: u64) -> Result<(), Broken> {
        match self.0 {
            Some(since) if now_us.saturating_sub(since) > WAIT_MAX_US => {
                Err(format!("a client has been left hanging since {since} us"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hears_nothing_for_too_long_is_left_hanging() {
        let mut waits = Waits::default();
        assert!(waits.check(u64::MAX).is_ok());
        waits.begin(1_000);
        assert!(waits.check(1_000 + WAIT_MAX_US).is_ok());
        assert!(waits.check(1_001 + WAIT_MAX_US).is_err());
        waits.over();
        assert!(waits.check(u64::MAX).is_ok());
    }
}
