//! What happens when each kind of actor ends, and why.
//!
//! | actor | a panic means | then |
//! | --- | --- | --- |
//! | `Shard` | its tables cannot be trusted | restarted, rebuilt from the journal |
//! | `AofWriter` | nobody knows what reached the file | restarted, counts as a failed sync |
//! | `Listener` | nothing is lost | restarted, listens on |
//! | `Router` | a move may be half done | restarted, the move is reported as failed |
//! | `Connection` | one client | not restarted: its socket closes |
//!
//! Each actor catches its own panics, keeps its mail and asks its `Supervisor` for a restart by
//! stopping its context. The guardian hears of it, and ends the process when restarts come too
//! often: the service manager starts it again, with a journal that is whole.

use std::collections::VecDeque;

use actix::{Actor, Context, Handler};

use crate::clock::Clock;
use crate::fault::{Records, give_up};
use crate::message::control::Restarted;

/// Restarts within [`WINDOW_MS`] after which the process gives up.
pub const RESTARTS_MAX: usize = 30;

/// See [`RESTARTS_MAX`], in milliseconds.
pub const WINDOW_MS: u64 = 10_000;

/// Counts restarts, and ends the process when there are too many.
pub struct Guardian {
    clock: Clock,
    recent: VecDeque<u64>,
    records: Records,
}

impl Guardian {
    /// A guardian that writes to these records.
    pub fn new(clock: Clock, records: Records) -> Guardian {
        Guardian { clock, recent: VecDeque::new(), records }
    }
}

impl Actor for Guardian {
    type Context = Context<Guardian>;
}

impl Handler<Restarted> for Guardian {
    type Result = ();

    fn handle(&mut self, restarted: Restarted, _: &mut Context<Guardian>) {
        let now = self.clock.steady_ms();
        self.recent.push_back(now);
        self.recent.retain(|at| now - at < WINDOW_MS);
        if let Ok(mut records) = self.records.lock() {
            let record = records.entry(restarted.name.clone()).or_default();
            record.restarts += 1;
            record.last_panic = restarted.why.clone();
        }
        if self.recent.len() > RESTARTS_MAX {
            give_up(&format!(
                "{} restarts within {} s, the last of {}: {}",
                self.recent.len(),
                WINDOW_MS / 1000,
                restarted.name,
                restarted.why
            ));
        }
    }
}
