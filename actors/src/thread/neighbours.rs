//! The way from a thread to the others, for what is no letter to a shard.

use std::rc::Rc;

use troupe::route::ShardId;

use super::Thread;

/// Work for another thread.
pub type Work = Box<dyn FnOnce(Rc<Thread>) + Send>;

/// Has work done by the thread of a shard. It is dropped where that has ended.
pub type RunAt = Box<dyn Fn(ShardId, Work)>;

impl Thread {
    /// Tells the thread how others are reached, once.
    pub fn meet_neighbours(&self, run_at: RunAt) {
        // Nobody tells it twice.
        let _ = self.run_at.set(run_at);
    }

    /// Has work done by the thread of a shard, soon.
    pub fn run_at(&self, shard: ShardId, work: Work) {
        if let Some(run_at) = self.run_at.get() {
            run_at(shard, work);
        }
    }
}
