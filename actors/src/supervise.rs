//! What happens when each kind of actor ends, and why.
//!
//! | actor | a panic means | then |
//! | --- | --- | --- |
//! | `Shard` | its tables cannot be trusted | restarted, rebuilt from the journal |
//! | `AofWriter` | nobody knows what was written | restarted, a failed sync; replicas begin anew |
//! | `SnapshotWriter` | the snapshot that is being written | restarted, counts as a failed disk |
//! | `Listener` | nothing is lost | restarted, listens on |
//! | `Router` | a move may be half done | restarted, the order is reported as failed |
//! | `Connection` | one client | not restarted: its socket closes |
//!
//! Each actor catches its own panics, keeps its mail and asks its `Supervisor` for a restart by
//! stopping its context. The guardian hears of it, and ends the process when restarts of one actor
//! come more often than `restart-limit` within `restart-window`: the service manager starts it
//! again, with a journal that is whole. So does the death of an actor that nobody could restart.
//!
//! Only the listener waits after restarts that follow each other, since it alone works on without
//! mail. A shard reads the journal meanwhile, and a router or a writer panics no more often than
//! mail comes.

use actix::{Actor, Context, Handler};
use troupe::restarts::{Limit, Restarts};

use crate::clock::Clock;
use crate::fault::{Records, give_up};
use crate::message::control::Restarted;
use crate::settings::InForce;

/// Records restarts, and ends the process when there are too many.
pub struct Guardian {
    clock: Clock,
    settings: InForce,
    restarts: Restarts,
    records: Records,
}

impl Guardian {
    /// A guardian that writes to these records and goes by the settings in force.
    pub fn new(clock: Clock, settings: InForce, records: Records) -> Guardian {
        Guardian { clock, settings, restarts: Restarts::default(), records }
    }
}

impl Actor for Guardian {
    type Context = Context<Guardian>;
}

impl Handler<Restarted> for Guardian {
    type Result = ();

    fn handle(&mut self, restarted: Restarted, _: &mut Context<Guardian>) {
        let settings = (self.settings)();
        let window = u64::from(settings.restarts.window_seconds);
        let limit = Limit { restarts: settings.restarts.limit as usize, window_ms: window * 1000 };
        let too_many = self.restarts.count(&restarted.name, self.clock.steady_ms(), limit);
        if let Ok(mut records) = self.records.lock() {
            let record = records.entry(restarted.name.clone()).or_default();
            record.restarts += 1;
            record.last_panic = restarted.why.clone();
        }
        if let Some(restarts) = too_many {
            let Restarted { name, why } = restarted;
            give_up(&format!("{restarts} restarts of {name} within {window} s, the last: {why}"));
        }
    }
}
