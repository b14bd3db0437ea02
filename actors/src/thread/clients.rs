//! How a thread looks after its clients: who is silent for too long, what they hold, and who goes
//! when all clients of the process together hold more than they may.
//!
//! While that has a limit, each connection counts itself anew when it has done what it could, and
//! when it has read; else it is enough to do so now and then. Each thread publishes the sum and the
//! size of its largest client ([`troupe::clients::whose_turn`]), so that none asks another.

use tokio::sync::oneshot;
use tokio::task::yield_now;
use troupe::clients::{Counted, Weight};
use troupe::route::ShardId;

use super::{Client, Thread};

/// Tells somebody that it is done.
pub(super) type Tell = Box<dyn FnOnce()>;

/// Each client is looked after at least once in so many looks, which are a second.
const LOOKS: u64 = 10;

/// How much a buffer of replies has held is forgotten after so many seconds.
const PEAK_SECONDS: u64 = 5;

impl Thread {
    /// Looks after some of the clients, so that each has its turn at least once a second: closes
    /// those that have been silent for longer than `timeout` and wait for nothing, and counts what
    /// the others hold. Asked for each tick.
    pub fn look_after_clients(&self) {
        let (steady, (looked, mut place)) = (self.clock.steady_ms(), self.looked.get());
        if steady - looked < 1_000 / LOOKS {
            return;
        }
        let timeout = i64::from(self.shard.borrow().settings().timeout);
        let (now, second) = (self.clock.now(), steady / 1_000);
        let clients = self.clients.borrow();
        let mut peaks = self.peaks.get();
        for _ in 0..clients.capacity().div_ceil(LOOKS as usize) {
            place = if place < clients.capacity() { place + 1 } else { 1 };
            let Some(Client { line, row, .. }) = clients.get(place - 1) else { continue };
            line.weigh();
            let row = row.borrow();
            peaks[0].note(second, row.buffers.input_bytes());
            peaks[1].note(second, row.buffers.output_bytes());
            if second.is_multiple_of(PEAK_SECONDS) {
                line.forget_peak();
            }
            if timeout > 0 && row.is_overdue(now, timeout) {
                line.kill(false);
            }
        }
        self.looked.set((steady, place));
        self.peaks.set(peaks);
        let published = &self.shared.client_memory[usize::from(self.number)];
        published.input_peak.set(peaks[0].most(second) as u64);
        published.output_peak.set(peaks[1].most(second) as u64);
    }

    /// What clients hold together has a limit.
    #[inline]
    pub fn limits_clients(&self) -> bool {
        self.clients_max.get().is_some()
    }

    /// A client of the thread holds something else than before. Where all hold too much, clients
    /// are closed in the next turn of the runner.
    pub fn change_weight(&self, before: Weight, now: Weight) {
        let mut weights = self.weights.borrow_mut();
        weights.change(before, now);
        self.shared.client_memory[usize::from(self.number)].publish(weights.sum());
        let turn = |limit| self.shared.whose_turn(Counted::All, limit);
        if self.clients_max.get().and_then(turn).is_some() {
            self.wake();
        }
    }

    /// Clients that may go hold too much, and none of them is much larger than this one.
    pub fn goes_first(&self, weight: Weight) -> bool {
        let Some(limit) = self.clients_max.get() else { return false };
        let turn = self.shared.whose_turn(Counted::MayGo, limit);
        let largest = |turn: usize| self.shared.client_memory[turn].sum().largest;
        let is_largest = |turn| largest(turn) <= weight.class();
        weight.may_go && turn.is_some_and(is_largest)
    }

    /// Closes clients of the thread, largest first, for as long as all together hold more than they
    /// may and the turn is this thread's. Where it is another's, that is woken. Where it is too
    /// much only with clients that may not go, one of those may have closed: all threads look at
    /// their sockets first.
    pub fn evict_clients(&self) {
        let limit = self.with_shard(|shard| {
            let settings = shard.settings();
            settings.maxmemory_clients.limit(settings.maxmemory)
        });
        if self.clients_max.replace(limit) != limit && limit.is_some() {
            self.each_client(|client| {
                client.line.weigh();
            });
        }
        let Some(limit) = limit else { return };
        self.close_largest(Counted::MayGo, limit);
        if self.has_turn(Counted::All, limit) {
            self.close_when_looked();
        } else {
            self.wake_whose_turn(limit);
        }
    }

    fn has_turn(&self, counted: Counted, limit: u64) -> bool {
        self.shared.whose_turn(counted, limit) == Some(usize::from(self.number))
    }

    /// Wakes the thread whose turn it is, where that is another.
    fn wake_whose_turn(&self, limit: u64) {
        if let Some(turn) = self.shared.whose_turn(Counted::All, limit)
            && turn != usize::from(self.number)
        {
            self.post.wake(turn);
        }
    }

    /// Closes clients of the thread, largest first, while those that count hold more than `limit`
    /// and the turn is this thread's.
    fn close_largest(&self, counted: Counted, limit: u64) {
        while self.has_turn(counted, limit) {
            let largest = self.weights.borrow().sum().largest;
            let mut victims = Vec::new();
            self.each_client(|client| {
                let weight = client.line.weigh();
                if weight.class() == largest {
                    victims.push((weight.bytes, client.line.clone()));
                }
            });
            if victims.is_empty() {
                // It has gone, but for somebody who still holds its line.
                return;
            }
            victims.sort_unstable_by_key(|(bytes, _)| *bytes);
            while self.has_turn(counted, limit)
                && let Some((_, line)) = victims.pop()
            {
                line.evict();
            }
        }
    }

    /// Closes clients of the thread while all hold too much, once every thread has looked at its
    /// sockets.
    fn close_when_looked(&self) {
        if self.looks.borrow().is_some() {
            return;
        }
        *self.looks.borrow_mut() = Some(Vec::new());
        let looks: Vec<_> =
            (0..self.shared.client_memory.len()).map(|thread| self.look(thread)).collect();
        let own = self.own.clone();
        actix::spawn(async move {
            for look in looks {
                // A thread that has ended has no clients.
                let _ = look.await;
            }
            let Some(thread) = own.upgrade() else { return };
            let told = thread.looks.take().unwrap_or_default();
            if let Some(limit) = thread.clients_max.get() {
                thread.close_largest(Counted::All, limit);
                thread.wake_whose_turn(limit);
            }
            told.into_iter().for_each(|tell| tell());
        });
    }

    /// Tells when those are closed that have to be: now, unless all threads look at their sockets.
    pub fn tell_evicted(&self, tell: Tell) {
        match &mut *self.looks.borrow_mut() {
            Some(told) => told.push(tell),
            None => tell(),
        }
    }

    /// Has a thread look at its sockets. The answer comes when it has.
    fn look(&self, thread: usize) -> oneshot::Receiver<()> {
        let (looked, answer) = oneshot::channel();
        let look = async move {
            yield_now().await;
            // Who has asked may have ended.
            let _ = looked.send(());
        };
        self.run_at(thread as ShardId, Box::new(move |_| drop(actix::spawn(look))));
        answer
    }
}
