//! What all threads see: counters, and how far the journal has come. Atomics, read rarely.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use troupe::balance::figures::Figures;
use troupe::base::millis::Millis;
use troupe::clients::{Counted, Sum, whose_turn};
use troupe::route::ShardId;
use troupe::settings::Settings;
use troupe::stats::facts::LoadProgress;
use troupe::stream::mark::Mark;

use crate::memory::Ledger;
use crate::moves::Moves;
use crate::replicas::Replicas;
use crate::upstream::Upstream;

/// What all threads share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Clients by thread.
    pub threads: Vec<AtomicUsize>,
    /// Clients of all threads, and those on their way between two.
    clients: AtomicUsize,
    /// Clients on their way between threads.
    pub moves: Arc<Moves>,
    /// How far the journal has come.
    pub journal: Mark,
    /// How far each shard's part of it has come.
    pub journaled: Vec<Journaled>,
    /// The journal notes the time (`aof-timestamp-enabled`).
    pub notes_time: AtomicBool,
    /// The journal keeps files that are out of use (`aof-disable-auto-gc`).
    pub keeps_history: AtomicBool,
    /// The stream of replication, and who takes from it.
    pub replicas: Replicas,
    /// The link to the primary.
    pub upstream: Upstream,
    /// How far the data set is loaded.
    pub loading: Loading,
    /// The number of the next client.
    pub next_client: AtomicU64,
    /// Connections accepted since the start.
    pub accepted: AtomicU64,
    /// Connections refused since the start.
    pub rejected: AtomicU64,
    /// What each thread has to do with its clients' sockets.
    pub traffic: Vec<Traffic>,
    /// Connections cut off because of what they sent.
    pub cut_for_input: AtomicU64,
    /// Connections cut off because they did not read.
    pub cut_for_output: AtomicU64,
    /// Connections closed because all clients together held too much memory.
    pub evicted: AtomicU64,
    /// The memory of each thread's clients.
    pub client_memory: Vec<ClientMemory>,
    /// The most that was ever seen allocated, in bytes.
    pub peak: AtomicU64,
    /// What each thread uses of it.
    pub memory: Arc<Ledger>,
    /// How the load is spread.
    balance: Mutex<Figures>,
}

impl Shared {
    /// For so many threads.
    pub fn new(threads: usize) -> Shared {
        Shared {
            threads: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            traffic: (0..threads).map(|_| Traffic::default()).collect(),
            journaled: (0..threads).map(|_| Journaled::default()).collect(),
            client_memory: (0..threads).map(|_| ClientMemory::default()).collect(),
            memory: Arc::new(Ledger::new(threads)),
            next_client: AtomicU64::new(1),
            ..Shared::default()
        }
    }

    /// Forgets what CONFIG RESETSTAT forgets; its traffic each thread forgets itself.
    pub fn reset(&self) {
        let cut = [&self.cut_for_input, &self.cut_for_output, &self.evicted];
        let counters = [&self.accepted, &self.rejected].into_iter().chain(cut);
        counters.for_each(|counter| counter.store(0, Ordering::Relaxed));
        self.replicas.reset();
    }

    /// How the load is spread.
    pub fn balance(&self) -> MutexGuard<'_, Figures> {
        self.balance.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What the journal's writer goes by.
    pub fn take_up(&self, settings: &Settings) {
        self.notes_time.store(settings.aof_timestamp_enabled, Ordering::Relaxed);
        self.keeps_history.store(settings.aof_disable_auto_gc, Ordering::Relaxed);
    }

    /// A figure of the traffic of all threads.
    pub fn sum(&self, figure: impl Fn(&Traffic) -> &Counter) -> u64 {
        self.traffic.iter().map(|traffic| figure(traffic).get()).sum()
    }

    /// The number of the thread that has to close clients, where those that count hold more than
    /// `limit`.
    pub fn whose_turn(&self, counted: Counted, limit: u64) -> Option<usize> {
        whose_turn(self.client_memory.iter().map(ClientMemory::sum), counted, limit)
    }

    /// How far the journal has to be durable for all that was sent to it until now.
    pub fn sent_to_journal(&self) -> Vec<u64> {
        self.journaled.iter().map(|shard| shard.sent.load(Ordering::Acquire)).collect()
    }

    /// It is durable as far as that.
    pub fn is_durable_to(&self, marks: &[u64]) -> bool {
        let durable = self.journaled.iter().map(|shard| shard.durable.load(Ordering::Acquire));
        durable.zip(marks).all(|(durable, mark)| durable >= *mark)
    }

    /// Clients of all threads.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Whether a client may follow its keys to a thread: it is busy for no more than this share of
    /// the time. The client counts as one that does, then.
    pub fn takes_client(&self, thread: ShardId, busy_max: f64) -> bool {
        let there = self.threads[usize::from(thread)].load(Ordering::Relaxed);
        self.balance().takes_client(thread, there, busy_max)
    }

    /// A seat on the thread with the fewest clients.
    pub fn seat(self: &Arc<Shared>) -> Seat {
        let by_load = self.threads.iter().enumerate();
        let idlest = by_load.min_by_key(|(_, count)| count.load(Ordering::Relaxed));
        let thread = idlest.map_or(0, |(at, _)| at);
        self.threads[thread].fetch_add(1, Ordering::Relaxed);
        self.clients.fetch_add(1, Ordering::Relaxed);
        Seat { thread, shared: self.clone() }
    }
}

/// How far the data set is loaded, at the start.
#[derive(Debug, Default)]
pub struct Loading {
    is_on: AtomicBool,
    since: AtomicI64,
    total_bytes: AtomicU64,
    loaded_bytes: AtomicU64,
    keys: AtomicU64,
    expired: AtomicU64,
}

impl Loading {
    /// So many bytes are to be read.
    pub fn begin(&self, now: Millis, total_bytes: u64) {
        self.since.store(now.0, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// So many were read.
    pub fn reached(&self, bytes: u64) {
        self.loaded_bytes.store(bytes, Ordering::Relaxed);
    }

    /// So many keys of RDB files were loaded, and so many left out because they had expired.
    pub fn loaded(&self, keys: u64, expired: u64) {
        self.keys.store(keys, Ordering::Relaxed);
        self.expired.store(expired, Ordering::Relaxed);
    }

    /// The data set is there.
    pub fn end(&self) {
        self.is_on.store(false, Ordering::Relaxed);
    }

    /// How far it is, while it is loaded.
    pub fn progress(&self) -> Option<LoadProgress> {
        self.is_on.load(Ordering::Relaxed).then(|| LoadProgress {
            since: Millis(self.since.load(Ordering::Relaxed)),
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            loaded_bytes: self.loaded_bytes.load(Ordering::Relaxed),
        })
    }

    /// How many keys of RDB files were loaded, and how many were left out.
    pub fn keys(&self) -> (u64, u64) {
        (self.keys.load(Ordering::Relaxed), self.expired.load(Ordering::Relaxed))
    }
}

/// What goes over the sockets of one thread's clients. Each thread's is apart in memory, so that no
/// thread waits for another's.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Traffic {
    /// Commands taken from clients.
    pub commands: Counter,
    /// Reads that brought something.
    pub reads: Counter,
    /// Writes that took something.
    pub writes: Counter,
    /// Bytes read.
    pub bytes_in: Counter,
    /// Bytes written.
    pub bytes_out: Counter,
    /// Clients that wait now.
    pub blocked: Counter,
    /// Those of them whose wait ends by itself.
    pub timed: Counter,
    /// Clients that watch keys now.
    pub watching: Counter,
    /// Clients that subscribe to something now.
    pub subscribing: Counter,
    /// Clients for which keys are tracked now.
    pub tracking: Counter,
    /// Clients that have come from another thread.
    pub moved_in: Counter,
}

impl Traffic {
    /// Begins anew, but for what is so now; to be called by its thread.
    pub fn reset(&self) {
        let Traffic { commands, reads, writes, bytes_in, bytes_out, .. } = self;
        let counters = [commands, reads, writes, bytes_in, bytes_out];
        counters.iter().for_each(|counter| counter.set(0));
    }
}

/// The memory of one thread's clients, published by it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ClientMemory {
    bytes: AtomicU64,
    may_go: AtomicU64,
    largest: AtomicU32,
    /// The largest input that waited for a client lately, in bytes.
    pub input_peak: Counter,
    /// The largest output.
    pub output_peak: Counter,
}

impl ClientMemory {
    /// They hold so much. Who sees that none is as large as before sees that they hold less, too.
    pub fn publish(&self, sum: Sum) {
        self.bytes.store(sum.bytes, Ordering::Relaxed);
        self.may_go.store(sum.may_go, Ordering::Relaxed);
        self.largest.store(sum.largest, Ordering::Release);
    }

    /// What was published.
    pub fn sum(&self) -> Sum {
        let largest = self.largest.load(Ordering::Acquire);
        let may_go = self.may_go.load(Ordering::Relaxed);
        Sum { bytes: self.bytes.load(Ordering::Relaxed), may_go, largest }
    }
}

/// How far a shard's part of the journal has come, in bytes that the shard has sent.
#[derive(Debug, Default)]
pub struct Journaled {
    sent: AtomicU64,
    durable: AtomicU64,
}

impl Journaled {
    /// So many were sent, and so many of them are durable.
    pub fn publish(&self, (sent, durable): (u64, u64)) {
        self.sent.store(sent, Ordering::Release);
        self.durable.store(durable, Ordering::Release);
    }
}

/// A number that one thread writes and any may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `more`; to be called by the one thread that writes.
    #[inline]
    pub fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// Takes `less` off; to be called by the one thread that writes.
    #[inline]
    pub fn sub(&self, less: u64) {
        self.set(self.get().wrapping_sub(less));
    }

    /// It is this now; to be called by the one thread that writes.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number as it is.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A client's place on a thread. It is taken when the client is accepted, so that a burst of
/// clients cannot pass the limit while their threads are busy, and given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    /// The number of the thread.
    pub thread: usize,
    shared: Arc<Shared>,
}

impl Seat {
    /// The client goes to another thread.
    pub fn move_to(&mut self, thread: usize) {
        self.shared.threads[self.thread].fetch_sub(1, Ordering::Relaxed);
        self.shared.threads[thread].fetch_add(1, Ordering::Relaxed);
        self.thread = thread;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.clients.fetch_sub(1, Ordering::Relaxed);
        self.shared.threads[self.thread].fetch_sub(1, Ordering::Relaxed);
    }
}
