//! A connection whose client waits for keys (`crate::parked`).
//!
//! What the client sends meanwhile is read up to a bound, so that its end is seen, and runs when
//! the wait is over. A client that sends no more is not waited with: it could not be served.

use std::sync::Arc;

use super::ends::Ends;
use super::{Connection, Pool, Reason, Step};
use crate::base::millis::Millis;
use crate::batch::Batch;
use crate::commands::run::Copies;
use crate::parked::{Outcome, Parked, Why};

/// Bytes that are read of a client that waits.
const INPUT_MAX: usize = 64 * 1024;

impl Connection {
    /// What is to be done about the batch of a client that waits.
    pub(super) fn next_of_wait(&mut self, batch: Box<Batch>, pool: &mut Pool) -> Step {
        if let Some(outcome) = self.outcome.take() {
            return match outcome {
                Outcome::Lost => Step::Close(Reason::Killed),
                outcome => Step::Unpark(self.send_out(batch, pool), outcome),
            };
        }
        if self.ends != Ends::Open {
            return Step::Close(Reason::Done);
        }
        let until = batch.parked.as_ref().and_then(|parked| parked.until);
        self.batch = Some(batch);
        self.input.wants(0);
        Step::Park(until)
    }

    /// Whether more is read of a client that waits.
    pub fn may_read(&self) -> bool {
        self.may_send() && self.input.len() < INPUT_MAX
    }

    /// The client's wait has ended, where it began or where a key has changed.
    pub fn wait_ended(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// It is `now`: ends a wait whose time is over, unless it has ended already.
    pub fn time_is_over(&mut self, now: Millis) {
        let is_over =
            |parked: &&Arc<Parked>| parked.until.is_some_and(|until| until <= now) && parked.take();
        if self.parked().filter(is_over).is_some() {
            self.outcome = Some(self.nothing_came());
        }
    }

    /// Ends the wait of the client, as if its time were over or with an error. Returns false where
    /// it does not wait.
    pub fn unblock(&mut self, why: Why) -> bool {
        let is_ended = self.parked().is_some_and(|parked| parked.take());
        if is_ended {
            self.outcome = Some(match why {
                Why::TimedOut => self.nothing_came(),
                why => Outcome::Unblocked(why),
            });
        }
        is_ended
    }

    /// The end of a wait that nobody has ended.
    fn nothing_came(&self) -> Outcome {
        match self.parked().and_then(|parked| parked.wanted()) {
            Some(_) => Outcome::Copied(self.copies),
            None => Outcome::TimedOut,
        }
    }

    /// There are these copies of what the client has written. Ends a wait for as many.
    pub fn told_copies(&mut self, copies: Copies) {
        self.copies = copies;
        let ends = |parked: &&Arc<Parked>| parked.wanted().is_some_and(|all| copies.have(all));
        if self.parked().filter(ends).is_some_and(|parked| parked.take()) {
            self.outcome = Some(Outcome::Copied(copies));
        }
    }

    /// Its client waits, and nobody has said that this is over.
    pub fn is_waiting(&self) -> bool {
        self.outcome.is_none() && self.parked().is_some()
    }

    /// Its client watches keys.
    pub fn is_watching(&self) -> bool {
        self.row.borrow().watches.0 > 0
    }

    /// The wait of its client, while the batch is here.
    pub fn parked(&self) -> Option<&Arc<Parked>> {
        self.batch.as_ref()?.parked.as_ref()
    }
}

impl Drop for Connection {
    /// Nobody is served any more.
    fn drop(&mut self) {
        let _ = self.parked().map(|parked| parked.take());
    }
}
