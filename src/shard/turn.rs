//! The end of a turn as a value: what a shard has to send, and the order in which it leaves.
//!
//! Whoever runs the shard applies a [`Ready`] part by part and decides nothing. Effects leave ahead
//! of everything, so that no other shard and no client can act on what they say before they have
//! their place in the journal. Pushes leave ahead of letters, since a letter may take a batch on to
//! its next push, and ahead of replies. Under `appendfsync always` replies and pushes that show
//! what is not durable go with the append, and leave when that is; what tells of keys and letters
//! never wait. What was saved of a slot leaves ahead of the letter that takes the slot elsewhere.
//!
//! What has come from another thread for a client of this one was held back there if it had to be.

use crate::batch::Batch;
use crate::hook::Part;
use crate::hook::push::Push;
use crate::parked::{Outcome, Served};
use crate::route::ShardId;
use crate::shard::Shard;
use crate::shard::execute::Engine;
use crate::shard::letter::Letter;
use crate::shard::snapshot::News;
use crate::stream::credit::Credit;
use crate::stream::{Append, Finished, Policy, Progress};

/// What a turn of a shard comes to, to be applied in this order.
#[derive(Debug, Default)]
pub struct Ready {
    /// To the journal's writer, with what waits until it is durable.
    pub append: Option<Append<Held>>,
    /// To the writer of the snapshot's file.
    pub snapshots: Vec<News>,
    /// To clients of this thread that did not ask.
    pub pushes: Vec<Push>,
    /// To other shards' threads: pushes to their clients first, batches of their clients last. No
    /// push may leave after a letter, not even to another thread.
    pub letters: Vec<(ShardId, Letter)>,
    /// To the router: slots that have come here.
    pub moved: Vec<u16>,
    /// To the clients of this thread: their batches.
    pub homes: Vec<Box<Batch>>,
    /// To clients of this thread: what came of their waits.
    pub served: Vec<Served>,
    /// Shards that were rebuilt: the clients of this thread that waited there wait again.
    pub rebuilt: Vec<ShardId>,
    /// To be performed on this thread: the actions of batches that keep what they hold meanwhile.
    /// Then [`Shard::performed`], and the batch is filed again.
    pub performs: Vec<Box<Batch>>,
}

/// What waits until an append is durable.
#[derive(Debug)]
pub enum Held {
    /// A batch with its replies.
    Batch(Box<Batch>),
    /// What a client gets that did not ask, but nothing about keys.
    Push(Push),
    /// What came of a client's wait.
    Served(Served),
}

impl Held {
    /// The letter that takes it to its client, and the thread that it goes to.
    pub fn into_letter(self) -> (u16, Letter) {
        match self {
            Held::Batch(batch) => (batch.home.thread, Letter::Home(batch)),
            Held::Push(push) => (push.thread(), Letter::Push(push)),
            Held::Served(served) => (served.to.thread, Letter::Served(served)),
        }
    }

    /// It must never be shown. A batch still goes home, to close its connection; a push is dropped.
    pub fn abandon(self) -> Option<Held> {
        match self {
            Held::Batch(mut batch) => {
                batch.abandon();
                Some(Held::Batch(batch))
            }
            Held::Served(served) => Some(Held::Served(Served { outcome: Outcome::Lost, ..served })),
            Held::Push(_) => None,
        }
    }
}

impl Finished for Held {
    fn shows_writes(&self, has_records: bool) -> bool {
        match self {
            Held::Batch(batch) => batch.has_written,
            Held::Push(_) => has_records,
            Held::Served(served) => served.has_written,
        }
    }

    /// What is published later must not be there first, nor the reply of who has published.
    fn keeps_order(&self) -> bool {
        match self {
            Held::Batch(batch) => batch.has_published,
            Held::Push(_) => true,
            Held::Served(_) => false,
        }
    }
}

/// What a shard has collected to send in this turn, beside effects and pushes.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// To other shards.
    pub(crate) letters: Vec<(ShardId, Letter)>,
    /// Slots that have moved here.
    pub(crate) moved: Vec<u16>,
    /// Batches that go home from here.
    #[expect(clippy::vec_box, reason = "a batch goes from thread to thread without being moved")]
    pub(crate) homes: Vec<Box<Batch>>,
    /// Batches whose actions are performed here.
    #[expect(clippy::vec_box, reason = "a batch goes from thread to thread without being moved")]
    pub(crate) performs: Vec<Box<Batch>>,
    /// Shards that were rebuilt.
    pub(crate) rebuilt: Vec<ShardId>,
    /// Snapshots that have begun, or could not.
    pub(crate) snapshots: Vec<News>,
    /// What has come for clients of this thread: nothing holds it back any more.
    pub(crate) arrived: Vec<Held>,
}

impl Shard {
    /// From now on effects are recorded for a journal.
    pub fn begin_journal(&mut self, policy: Policy) {
        self.is_journaled = true;
        self.effects().listen(true);
        self.credit.get_or_insert_with(|| Credit::new(policy)).set_policy(policy);
    }

    /// There is no journal any more, and nobody waits for one. To be called between two turns. The
    /// account stays: whoever reads the stream later goes on with its sums.
    pub fn end_journal(&mut self) {
        self.is_journaled = false;
        self.set_policy(Policy::Never);
        let is_replicated = self.is_replicated;
        self.effects().listen(is_replicated);
        self.rebuilds(false);
        self.give_credit(true);
        self.receive(Letter::Journal(None));
    }

    /// Whether effects are recorded for replicas. To be called between two turns.
    pub fn replicate(&mut self, on: bool) {
        self.is_replicated = on;
        let is_journaled = self.is_journaled;
        self.effects().listen(on || is_journaled);
        self.effects().listen_for_replicas(on);
        if on {
            self.credit.get_or_insert_with(|| Credit::new(Policy::Never));
        }
    }

    /// So many replicas keep up.
    pub fn count_replicas(&mut self, good: u32) {
        self.good_replicas = good;
        self.look_for_replicas();
    }

    /// Replicas hold writes up, or do so no longer.
    pub fn hold_up(&mut self, is_held: bool) {
        if let Some(credit) = &mut self.credit {
            let is_open = credit.hold(is_held);
            self.give_credit(is_open);
        }
    }

    /// What part the server has, and whether fewer replicas keep up than writes need.
    pub(super) fn look_for_replicas(&mut self) {
        let settings = &self.env.settings.replication;
        let is_wanted = settings.min_replicas_max_lag > 0;
        let lacks = self.good_replicas < settings.min_replicas_to_write;
        self.engine.lacks_replicas = is_wanted && lacks;
        self.engine.part = match settings.replicaof {
            None => Part::Primary,
            Some(_) => Part::Replica { is_linked: self.is_linked },
        };
    }

    /// Takes up a change of `appendfsync`.
    pub fn set_policy(&mut self, policy: Policy) {
        if let Some(credit) = &mut self.credit {
            credit.set_policy(policy);
        }
    }

    /// Whether the journal has room for what nobody waits for.
    pub fn has_room(&self) -> bool {
        self.credit.as_ref().is_some_and(Credit::has_room)
    }

    /// Bytes that were sent to the journal, and those of them that are durable.
    pub fn journaled(&self) -> (u64, u64) {
        self.credit.as_ref().map_or((0, 0), Credit::totals)
    }

    /// The journal has come further, or time has. `now_ms` never goes back.
    pub fn progressed(&mut self, progress: Option<Progress>, now_ms: u64) {
        let Some(credit) = &mut self.credit else { return };
        if let Some(progress) = progress {
            credit.progressed(progress);
        }
        let is_open = credit.is_open(now_ms);
        self.give_credit(is_open);
    }

    /// Whether the turn so far has anything to send.
    #[inline]
    pub fn has_to_send(&self) -> bool {
        let Outbox { letters, moved, homes, performs, rebuilt, arrived, .. } = &self.outbox;
        let is_empty = letters.is_empty()
            && moved.is_empty()
            && homes.is_empty()
            && performs.is_empty()
            && rebuilt.is_empty()
            && self.engine.served.is_empty()
            && arrived.is_empty()
            && !self.has_news();
        !is_empty || !self.engine.tools.effects.is_empty() || self.has_pushes()
    }

    /// Whether the turn so far has anything for clients that did not ask. Where it ends with
    /// `is_durable`, all letters that had come when that was asked are to be taken in first: what
    /// was held of an earlier push is among them.
    #[inline]
    pub fn has_pushes(&self) -> bool {
        let Engine { register, changed, pushes, .. } = &self.engine;
        register.has_published() || !changed.is_empty() || !pushes.is_empty()
    }

    /// Takes the pushes that have come for clients of this thread. They are given to them before
    /// anything else runs: a client that ends a subscription after it gets them all the same, and
    /// one that begins to subscribe gets none.
    pub fn take_arrived(&mut self) -> Vec<Push> {
        let is_push = |held: &mut Held| matches!(held, Held::Push(_));
        let pushes = self.outbox.arrived.extract_if(.., is_push);
        let push = |held| match held {
            Held::Push(push) => Some(push),
            Held::Batch(_) | Held::Served(_) => None,
        };
        pushes.filter_map(push).collect()
    }

    /// Ends a turn: adds what it comes to to an empty `ready`. `is_durable` tells whether all that
    /// any shard has appended is durable.
    pub fn end_turn(&mut self, now_ms: u64, is_durable: bool, ready: &mut Ready) {
        self.tell_news(&mut ready.snapshots);
        let waits = self.waits(is_durable);
        let mut held = Vec::new();
        // First, since a batch that came behind a push may have pushed another one here.
        for arrived in self.outbox.arrived.drain(..) {
            match arrived {
                Held::Batch(batch) => ready.homes.push(batch),
                Held::Push(push) => ready.pushes.push(push),
                Held::Served(served) => ready.served.push(served),
            }
        }
        if !self.engine.changed.is_empty() {
            self.engine.publish_changed();
        }
        if self.engine.register.has_published() {
            self.push_published();
        }
        for push in self.engine.pushes.drain(..) {
            match push.thread() {
                // What tells of keys shows no value, and what is cached of them is old already.
                _ if waits && !push.is_of_keys() => held.push(Held::Push(push)),
                thread if thread == self.id => ready.pushes.push(push),
                thread => ready.letters.push((thread, Letter::Push(push))),
            }
        }
        for served in self.engine.served.drain(..) {
            match served.to.thread {
                _ if waits && served.outcome.is_shown() => held.push(Held::Served(served)),
                thread if thread == self.id => ready.served.push(served),
                thread => ready.letters.push((thread, Letter::Served(served))),
            }
        }
        ready.rebuilt.append(&mut self.outbox.rebuilt);
        ready.letters.append(&mut self.outbox.letters);
        ready.moved.append(&mut self.outbox.moved);
        ready.performs.append(&mut self.outbox.performs);
        for batch in self.outbox.homes.drain(..) {
            match batch.home.thread {
                _ if waits => held.push(Held::Batch(batch)),
                thread if thread == self.id => ready.homes.push(batch),
                thread => ready.letters.push((thread, Letter::Home(batch))),
            }
        }
        self.let_wait_again(ready);
        ready.append = self.append(held, now_ms);
    }

    /// True when clients must not see anything before it is durable, and something is not.
    fn waits(&self, is_durable: bool) -> bool {
        let policy = self.credit.as_ref().map(Credit::policy);
        policy == Some(Policy::Always) && (!is_durable || !self.engine.tools.effects.is_empty())
    }

    fn append(&mut self, finished: Vec<Held>, now_ms: u64) -> Option<Append<Held>> {
        let moment = self.effects().take_moment();
        if self.effects().is_empty() && finished.is_empty() && moment.is_none() {
            return None;
        }
        let (bytes, runs) = self.effects().take();
        let credit = self.credit.as_mut()?;
        let hurries = credit.sent(bytes.len() as u64, now_ms);
        let is_open = credit.is_open(now_ms);
        self.give_credit(is_open);
        let is_urgent = hurries || !finished.is_empty() || moment.is_some();
        Some(Append { shard: self.id, runs, bytes, moment, finished, is_urgent })
    }

    /// Whether writes have credit with the journal.
    fn give_credit(&mut self, has_credit: bool) {
        let had_credit = std::mem::replace(&mut self.engine.has_credit, has_credit);
        if has_credit && !had_credit {
            self.ready.append(&mut self.set_aside);
        }
    }
}

#[cfg(test)]
mod tests;
