//! Slots that a script asks for while it stands still.
//!
//! The script runs at one shard, and its slots come there: a request goes to each shard that owns
//! some of them. It is answered at once, with what is there to be had, and nobody ever waits for
//! it: so nothing that a script holds meanwhile can make a deadlock. Whatever is lost on the way is
//! answered all the same: a request by its `Drop`, and slots go home by that of their loan.

use std::fmt;
use std::sync::Arc;

use crate::keyspace::saving::Moment;
use crate::lending::loan::Loan;
use crate::lending::{GivenBack, Post};
use crate::route::ShardId;

/// A request for slots of one shard.
pub struct Fetch {
    /// The shard where the script stands still, and the number of its run there.
    asker: ShardId,
    run: u64,
    slots: Vec<u16>,
    post: Arc<dyn Post>,
    is_answered: bool,
}

impl Fetch {
    /// A request of a run for these slots.
    pub(crate) fn new(asker: ShardId, run: u64, slots: Vec<u16>, post: Arc<dyn Post>) -> Fetch {
        Fetch { asker, run, slots, post, is_answered: false }
    }

    /// The slots.
    pub(crate) fn slots(&self) -> &[u16] {
        &self.slots
    }

    /// Who is answered, with what is lent. `moment` is that of the snapshot that the lender makes.
    pub(crate) fn answered(mut self, loan: Loan, moment: Option<Moment>) -> (ShardId, Fetched) {
        self.is_answered = true;
        (self.asker, Fetched { run: self.run, loan: Some(loan), moment })
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if !self.is_answered {
            self.post.post(self.asker, GivenBack::Unfetched(self.run));
        }
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fetch { asker, run, slots, .. } = self;
        f.debug_struct("Fetch")
            .field("asker", asker)
            .field("run", run)
            .field("slots", slots)
            .finish_non_exhaustive()
    }
}

/// The answer.
#[derive(Debug)]
pub struct Fetched {
    /// The number of the run that has asked.
    pub(crate) run: u64,
    /// What the shard lends; none where the request was lost.
    pub(crate) loan: Option<Loan>,
    /// The snapshot that the lender makes: who takes the slots has to know of it.
    pub(crate) moment: Option<Moment>,
}

impl Fetched {
    /// Nothing comes for this run.
    pub(crate) fn nothing(run: u64) -> Fetched {
        Fetched { run, loan: None, moment: None }
    }
}
