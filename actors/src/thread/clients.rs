//! How a thread looks after its clients: who is silent for too long, what they hold, and who goes
//! when all clients of the process together hold more than they may.
//!
//! While that has a limit, each connection counts itself anew when it has done what it could, and
//! when it has read; else it is enough to do so now and then. Each thread publishes the sum and the
//! size of its largest client ([`troupe::clients::whose_turn`]), so that none asks another.

use troupe::clients::Weight;

use super::{Client, Thread};

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
        if self.clients_max.get().is_some_and(|limit| self.shared.whose_turn(limit).is_some()) {
            self.wake();
        }
    }

    /// All clients together hold too much, and none that may go is much larger than this one.
    pub fn goes_first(&self, weight: Weight) -> bool {
        let Some(limit) = self.clients_max.get() else { return false };
        let turn = self.shared.whose_turn(limit);
        let largest = |turn: usize| self.shared.client_memory[turn].sum().largest;
        let is_largest = |turn| largest(turn) <= weight.class();
        weight.may_go && turn.is_some_and(is_largest)
    }

    /// Closes clients of the thread, largest first, for as long as all together hold more than they
    /// may and the turn is this thread's. Where it is another's, that is woken.
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
        let turn = || self.shared.whose_turn(limit);
        while turn() == Some(usize::from(self.number)) {
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
            while turn() == Some(usize::from(self.number))
                && let Some((_, line)) = victims.pop()
            {
                line.evict();
            }
        }
        if let Some(other) = turn() {
            self.post.wake(other);
        }
    }
}
