//! How a shard tells the others who subscribes to what, and what its batches wait for meanwhile.
//!
//! A batch whose call has changed something about subscriptions waits until every other thread
//! knows. A batch that has published waits while a thread has not taken in what it was sent. Both
//! waits end whatever becomes of slots, since letters are taken in at once: so a batch may hold
//! slots meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::Batch;
use crate::hook::push::Push;
use crate::keyspace::notices::{Classes, Notice};
use crate::pubsub::{Message, News, Register};
use crate::session::Session;
use crate::shard::Shard;
use crate::shard::execute::Engine;
use crate::shard::letter::{Letter, Wait};

/// Batches that wait for other threads.
#[derive(Debug, Default)]
pub(super) struct Telling {
    last: u64,
    waits: BTreeMap<u64, Told>,
}

/// What has to be heard before a batch goes on.
#[derive(Debug)]
struct Told {
    /// Threads that have not heard.
    left: usize,
    batch: Box<Batch>,
    /// A thread that has to take in what it was sent, and how much that is.
    way: Option<(u16, u64)>,
}

impl Engine {
    /// Publishes the events of keys that were noted. The copies of the client that has caused them,
    /// if that is one, follow the reply to its command.
    #[cold]
    pub(super) fn publish_notices(&mut self, mut client: Option<&mut Session>) {
        let Engine { tools, register, .. } = self;
        let classes = tools.notices.classes();
        let notices = tools.notices.take();
        if !register.has_receivers() {
            return;
        }
        let (from, resp3) = client.as_ref().map_or((0, false), |client| (client.id, client.resp3));
        let mut publish = |channel: &[u8], message: &[u8]| {
            let message = Message::new(false, channel, message, from);
            register.publish(message, resp3, client.as_mut().map(|client| &mut client.subscribed));
        };
        for Notice { db, key, event } in notices {
            if classes.has(Classes::BY_KEY) {
                let channel = [format!("__keyspace@{db}__:").as_bytes(), &key].concat();
                publish(&channel, event.as_bytes());
            }
            if classes.has(Classes::BY_EVENT) {
                publish(format!("__keyevent@{db}__:{event}").as_bytes(), &key);
            }
        }
    }
}

impl Shard {
    /// The next call of the batch was run. Keeps the batch where it has to wait for others; returns
    /// it where it goes on.
    pub(super) fn tell_others(&mut self, batch: Box<Batch>) -> Option<Box<Batch>> {
        let changes = self.engine.register.take_changes();
        if !changes.is_empty() {
            let (home, client) = (batch.home, batch.session.id);
            let news = Arc::new(News { home, client, changes });
            let others = (0..self.env.map.shards()).filter(|shard| *shard != self.id);
            let others: Vec<u16> = others.collect();
            let wait = self.begin_to_wait(batch, others.len(), None);
            let letter = |shard| (shard, Letter::Subscribers(Arc::clone(&news), Some(wait)));
            self.outbox.letters.extend(others.into_iter().map(letter));
            return None;
        }
        match self.engine.register.behind() {
            None => return Some(batch),
            // Its own clients get theirs at the end of the turn.
            Some((thread, _)) if thread == self.id => self.ready.push_back(batch),
            Some((thread, sent)) => {
                let wait = self.begin_to_wait(batch, 1, Some((thread, sent)));
                self.outbox.letters.push((thread, Letter::Pushed(wait)));
            }
        }
        None
    }

    fn begin_to_wait(&mut self, batch: Box<Batch>, left: usize, way: Option<(u16, u64)>) -> Wait {
        self.telling.last += 1;
        let number = self.telling.last;
        self.telling.waits.insert(number, Told { left, batch, way });
        Wait { at: self.id, number }
    }

    /// Another thread has changed something about the subscriptions of a client.
    pub(super) fn hear_of_subscribers(&mut self, news: &News, wait: Option<Wait>) {
        self.engine.register.hear(news);
        self.has_heard(wait);
    }

    /// Says so, at the end of the turn: behind the pushes that have come until now.
    pub(super) fn has_heard(&mut self, wait: Option<Wait>) {
        let heard = wait.map(|Wait { at, number }| (at, Letter::Heard(number)));
        self.outbox.letters.extend(heard);
    }

    /// Another thread has heard what a batch waits for.
    pub(super) fn was_heard(&mut self, number: u64) {
        let Some(told) = self.telling.waits.get_mut(&number) else { return };
        told.left -= 1;
        if told.left > 0 {
            return;
        }
        if let Some(Told { batch, way, .. }) = self.telling.waits.remove(&number) {
            if let Some((thread, sent)) = way {
                self.engine.register.arrived(thread, sent);
            }
            self.ready.push_back(batch);
        }
    }

    /// Who subscribes to what.
    pub fn register(&self) -> &Register {
        &self.engine.register
    }

    /// What was published in this turn.
    pub(super) fn take_published(&mut self) -> impl Iterator<Item = Push> {
        self.engine.register.arrived_here();
        let published = self.engine.register.take_published();
        published.map(|(thread, message)| Push::Message { thread, message })
    }
}
