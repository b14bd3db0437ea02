//! The post: an inbox for each shard's thread, and the way there from any thread.
//!
//! It is there before the shards are. What is posted before a shard has started waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use troupe::lending::{self, GivenBack};
use troupe::pubsub::{Farewell, News};
use troupe::route::ShardId;
use troupe::shard::letter::Letter;

use crate::inbox::Inbox;

/// The way to the shards from any thread.
#[derive(Debug)]
pub struct Post {
    inboxes: Vec<Arc<Inbox<Letter>>>,
    is_closed: AtomicBool,
}

impl Post {
    /// An empty inbox for each of so many shards.
    pub fn new(shards: u16) -> Post {
        let inboxes = (0..shards).map(|_| Arc::default()).collect();
        Post { inboxes, is_closed: AtomicBool::new(false) }
    }

    /// The inbox of a shard.
    pub fn inbox(&self, shard: ShardId) -> &Arc<Inbox<Letter>> {
        &self.inboxes[usize::from(shard)]
    }

    /// Sends letters, each when all before it are sent, and announces them when all are.
    pub fn send(&self, letters: impl IntoIterator<Item = (ShardId, Letter)>) {
        // With more shards than bits, one may hear of nothing.
        let bit = |shard: usize| 1_u64 << (shard % 64);
        let mut receivers = 0;
        for (to, letter) in letters {
            self.inbox(to).put(letter);
            receivers |= bit(usize::from(to));
        }
        for (shard, inbox) in self.inboxes.iter().enumerate() {
            if receivers & bit(shard) != 0 {
                inbox.announce(true);
            }
        }
    }

    /// Sends a letter to every shard.
    pub fn send_all(&self, letter: impl Fn() -> Letter) {
        self.inboxes.iter().for_each(|inbox| inbox.send(letter(), true));
    }

    /// Wakes the runner of a shard, without a letter.
    pub fn wake(&self, shard: usize) {
        self.inboxes[shard].announce(true);
    }

    /// The server ends: what is lent from now on need not come home.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

impl Farewell for Post {
    fn farewell(&self, to: ShardId, news: Arc<News>) {
        if !self.is_closed.load(Ordering::Relaxed) {
            self.inbox(to).send(Letter::Subscribers(news, None), true);
        }
    }
}

impl lending::Post for Post {
    fn post(&self, to: ShardId, given_back: GivenBack) {
        if !self.is_closed.load(Ordering::Relaxed) {
            self.inbox(to).send(given_back.into(), true);
        }
    }
}
