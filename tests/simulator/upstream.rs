//! The stream of a primary at a replica, as its shell has it: over which connection it comes, and
//! what of it is carried out.

use std::mem::take;

use troupe::batch::Batch;
use troupe::replication::{Following, Settled};

use crate::context::Context;

/// What who follows the primary knows of the connection over which the stream comes.
#[derive(Debug, Default)]
pub struct Upstream {
    /// It is there.
    pub is_there: bool,
    /// The primary wants to know how far the replica is.
    pub is_asked: bool,
    /// The database that is selected behind what is carried out.
    pub db: u32,
    /// What was not carried out.
    pub lost: Option<String>,
    /// The connection has carried out all that it has begun.
    pub rests: bool,
    /// Reasons for which it begins with no batch.
    pub holds: u32,
    /// There is one more or less: it has to look.
    pub is_released: bool,
}

impl Upstream {
    /// The connection has carried out all that it has begun, or not. Returns whether it may begin
    /// with more.
    pub fn may_begin(&mut self, rests: bool) -> bool {
        let may_begin = !rests || self.holds == 0;
        self.rests = rests && !may_begin;
        may_begin
    }

    /// Whether nothing of the stream is carried out, nor will be while somebody holds it.
    pub fn stands_still(&self) -> bool {
        !self.is_there || self.rests
    }

    /// Something was not carried out, or is not there any more.
    pub fn lose(&mut self, what: &str) {
        self.lost.get_or_insert_with(|| what.to_owned());
    }

    /// The connection begins with no batch from here on. It has to look.
    pub fn hold(&mut self) {
        (self.holds, self.is_released) = (self.holds + 1, true);
    }

    /// Somebody who held it does not any more.
    pub fn release(&mut self) {
        (self.holds, self.is_released) = (self.holds - 1, true);
    }
}

/// The connection to the primary, beside what it is as a client's.
#[derive(Debug)]
pub struct Followed {
    following: Following,
    /// A batch runs: nobody knows how much of it has.
    is_under_way: bool,
}

impl Followed {
    /// Nothing of the stream has come, to a node with so many shards.
    pub fn new(shards: u16) -> Followed {
        Followed { following: Following::new(shards), is_under_way: false }
    }

    /// A batch is about to run.
    pub fn begins(&mut self, batch: &mut Batch, settled: (String, u64)) {
        self.following.begins(batch, Some(settled));
        self.is_under_way = true;
    }

    /// A batch is home. Returns false where it was not carried out.
    pub fn came_home(&mut self, batch: &mut Batch, context: &mut Context) -> bool {
        let primary = batch.session.primary.as_deref_mut();
        let faults = primary.map(|primary| take(&mut primary.faults)).unwrap_or_default();
        if let Some(what) = faults.failed {
            context.fail(format!("a command of the primary has failed: {what}"));
        }
        let now_ms = context.steady_ms();
        let Some(upstream) = &mut context.upstream else { return false };
        if let Some(what) = faults.refused {
            upstream.lose(&what);
            return false;
        }
        if batch.is_done() && batch.action.is_none() {
            let Settled { bytes, is_asked } = self.following.ended();
            self.is_under_way = false;
            upstream.db = batch.session.db;
            upstream.is_asked |= is_asked;
            context.replicas.pass_on(&bytes, now_ms);
        }
        true
    }

    /// The connection is gone.
    pub fn ended(&self, context: &mut Context) {
        let Some(upstream) = &mut context.upstream else { return };
        (upstream.is_there, upstream.rests) = (false, true);
        if self.is_under_way {
            upstream.lose("commands ran when it was closed");
        }
    }
}
