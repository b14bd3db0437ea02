//! The post: the shards' mailboxes, for letters that no turn of a shard sends.
//!
//! It is there before the shards are, since each is given it; they are told apart from it once all
//! have started. What is posted before that, or when the server ends, is dropped.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::Recipient;
use troupe::route::ShardId;
use troupe::shard::letter::Letter;
use troupe::shard::loan;

use crate::message::shard::Letters;

/// The way to the shards from any thread.
#[derive(Default)]
pub struct Post {
    shards: OnceLock<Vec<Recipient<Letters>>>,
    is_closed: AtomicBool,
}

impl Post {
    /// Tells it where the shards are, in order.
    pub fn meet(&self, shards: Vec<Recipient<Letters>>) {
        let is_first = self.shards.set(shards).is_ok();
        assert!(is_first, "shards start once");
    }

    /// The server ends: what is lent from now on need not come home.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

impl loan::Post for Post {
    fn post(&self, to: ShardId, letter: Letter) {
        if self.is_closed.load(Ordering::Relaxed) {
            return;
        }
        if let Some(shard) = self.shards.get().and_then(|shards| shards.get(usize::from(to))) {
            shard.do_send(Letters(vec![letter]));
        }
    }
}
