//! The connection to the primary, beside what it is as a client's: how much of the stream has come
//! and is carried out, which this server's own replicas get then as it came.

use std::mem::take;
use std::rc::Rc;
use std::task::Context as TaskContext;

use tracing::warn;
use troupe::batch::Batch;
use troupe::replication::{Following, Settled};

use crate::thread::Thread;

const ENDLESS: &str = "a transaction that does not end";

/// The stream of the primary.
pub(super) struct Followed {
    thread: Rc<Thread>,
    following: Following,
    /// A batch runs: nobody knows how much of it has.
    is_under_way: bool,
}

impl Followed {
    pub(super) fn new(thread: Rc<Thread>) -> Followed {
        let shards = thread.with_shard(|shard| shard.map().shards());
        Followed { thread, following: Following::new(shards), is_under_way: false }
    }

    /// So many bytes have come.
    pub(super) fn received(&self, count: usize) {
        let now_ms = self.thread.clock.steady_ms();
        self.thread.shared.upstream.received(count, now_ms);
    }

    /// A batch is about to run.
    pub(super) fn begins(&mut self, batch: &mut Batch) {
        self.following.begins(batch, self.thread.shared.replicas.place());
        self.is_under_way = true;
    }

    /// A batch is home. Returns false where it was not carried out: the connection is to close.
    pub(super) fn came_home(&mut self, batch: &mut Batch) -> bool {
        let primary = batch.session.primary.as_deref_mut();
        let faults = primary.map(|primary| take(&mut primary.faults)).unwrap_or_default();
        if let Some(what) = faults.failed {
            warn!("A command of the primary has failed here: {what}");
        }
        let endless = || self.following.is_too_much().then(|| ENDLESS.to_owned());
        if let Some(what) = faults.refused.or_else(endless) {
            self.thread.shared.upstream.lost(what);
            return false;
        }
        if batch.is_done() && batch.action.is_none() {
            let Settled { bytes, is_asked } = self.following.ended();
            self.is_under_way = false;
            let now_ms = self.thread.clock.steady_ms();
            self.thread.shared.replicas.pass_on(&bytes, now_ms);
            self.thread.shared.upstream.carried_out(batch.session.db, is_asked);
        }
        true
    }

    /// Whether the next batch may begin, where none is under way.
    pub(super) fn may_begin(&self, rests: bool, task: &TaskContext<'_>) -> bool {
        self.thread.shared.upstream.may_begin(rests, task.waker())
    }

    /// It waits for more of the stream.
    pub(super) fn waits(&self, task: &TaskContext<'_>) {
        self.thread.shared.upstream.waits(task.waker());
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let upstream = &self.thread.shared.upstream;
        if self.is_under_way {
            upstream.lost("the connection was closed while commands ran".to_owned());
        }
        upstream.ended();
    }
}
