//! How much memory is in use that counts for `maxmemory`, as each shard's thread knows it.
//!
//! jemalloc counts for each thread what it has allocated and freed, exactly, and a thread reads its
//! own counters as any of its memory: no lock, no atomic, no call. The difference may be below
//! zero, since memory goes from thread to thread, but the sum over all threads is what is in use.
//! So each thread that allocates much publishes its own, shards once a turn and when they sleep,
//! and adds up those of others. What other threads use follows from the allocator's own sum, which
//! takes long to ask for: somebody does so now and then ([`Ledger::settle`]).
//!
//! What is on its way to the journal, to a snapshot or to replicas does not count.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
use troupe::shard::evict::Gauge;

/// Where threads are awake, and have not published all that they use, the allocator is believed
/// once so many times.
const BUSY: usize = 10;

/// What other threads use may grow by so many bytes at once. More than that has to be seen several
/// times: it may be what threads have allocated in a long turn, and will publish.
const PLAUSIBLE: i64 = 1 << 20;

/// So many times.
const DOUBTED: usize = 4;

thread_local! {
    static OWN: OnceCell<Meter> = const { OnceCell::new() };
}

/// What threads use, each in its own cell.
#[derive(Debug, Default)]
pub struct Ledger {
    cells: Vec<Cell>,
    /// What is in use beside the cells.
    rest: AtomicI64,
    /// How often the allocator was not believed, since threads were awake.
    busy: AtomicUsize,
    /// How often much more was seen.
    doubts: AtomicUsize,
    /// Bytes that were sent to the journal, and those of them that are not in memory any more.
    sent: AtomicU64,
    settled: AtomicU64,
    /// Bytes that are kept only for replicas that lag.
    lagging: AtomicU64,
}

/// What one thread uses. Each is apart in memory, so that no thread waits for another's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell {
    balance: AtomicI64,
    /// So much of it does not count.
    uncounted: AtomicU64,
    /// The thread may have changed it, and not published that.
    is_awake: AtomicBool,
}

impl Ledger {
    /// For so many shards, and the writers of the journal and of snapshots.
    pub fn new(shards: usize) -> Ledger {
        let cells = (0..shards + 2).map(|_| Cell::default()).collect();
        // What is seen first is taken as it is.
        let (busy, doubts) = (AtomicUsize::new(BUSY), AtomicUsize::new(DOUBTED));
        Ledger { cells, busy, doubts, ..Ledger::default() }
    }

    /// The meter of the thread that writes the journal, which calls this.
    pub fn of_journal(self: &Arc<Ledger>) -> Meter {
        Meter::new(self.clone(), self.cells.len() - 2)
    }

    /// The meter of the thread that writes snapshots, which calls this.
    pub fn of_snapshots(self: &Arc<Ledger>) -> Meter {
        Meter::new(self.clone(), self.cells.len() - 1)
    }

    /// So much is in use, as the allocator says, without what it keeps ready.
    pub fn settle(&self, allocated: u64) {
        OWN.with(|own| own.get().into_iter().for_each(Meter::publish_balance));
        let own = OWN.with(|own| own.get().map(|meter| meter.cell));
        let mut others = self.cells.iter().enumerate().filter(|(at, _)| Some(*at) != own);
        let is_busy = others.any(|(_, cell)| cell.is_awake.load(Ordering::Relaxed));
        if is_busy && self.busy.fetch_add(1, Ordering::Relaxed) < BUSY {
            return;
        }
        let rest = allocated as i64 - self.published();
        let grown = rest - self.rest.load(Ordering::Relaxed);
        let is_doubtful = is_busy && grown > PLAUSIBLE;
        self.busy.store(0, Ordering::Relaxed);
        if is_doubtful && self.doubts.fetch_add(1, Ordering::Relaxed) < DOUBTED {
            return;
        }
        self.rest.store(rest, Ordering::Relaxed);
        self.doubts.store(0, Ordering::Relaxed);
    }

    /// Bytes in use.
    pub fn in_use(&self) -> u64 {
        (self.published() + self.rest.load(Ordering::Relaxed)).max(0) as u64
    }

    fn published(&self) -> i64 {
        self.cells.iter().map(|cell| cell.balance.load(Ordering::Relaxed)).sum()
    }

    /// Bytes that do not count for `maxmemory`.
    pub fn uncounted(&self) -> u64 {
        let cells = self.cells.iter().map(|cell| cell.uncounted.load(Ordering::Relaxed));
        cells.sum::<u64>() + self.unwritten() + self.lagging.load(Ordering::Relaxed)
    }

    /// So many bytes are kept only for replicas that lag.
    pub fn lags(&self, bytes: u64) {
        self.lagging.store(bytes, Ordering::Relaxed);
    }

    /// An append of so many bytes is sent to the journal.
    pub fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that were sent to the journal so far.
    pub fn all_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// So many of them are not in memory any more.
    pub fn settled(&self, bytes: u64) {
        self.settled.store(bytes, Ordering::Relaxed);
    }

    fn unwritten(&self) -> u64 {
        // In this order: what is settled was sent.
        let settled = self.settled.load(Ordering::Relaxed);
        self.all_sent().saturating_sub(settled)
    }

    /// What is in use, and counts, beside the cell at this place.
    fn beside(&self, own: usize) -> i64 {
        let counted = |cell: &Cell| {
            let uncounted = cell.uncounted.load(Ordering::Relaxed) as i64;
            cell.balance.load(Ordering::Relaxed) - uncounted
        };
        let cells = self.cells.iter().enumerate().filter(|(at, _)| *at != own);
        let cells = cells.map(|(_, cell)| counted(cell)).sum::<i64>();
        let kept = self.unwritten() + self.lagging.load(Ordering::Relaxed);
        cells + self.rest.load(Ordering::Relaxed) - kept as i64
    }
}

/// The thread of a shard is about to sleep, having nothing to do.
pub fn sleeps() {
    OWN.with(|own| own.get().into_iter().for_each(Meter::sleeps));
}

/// It is awake again.
pub fn wakes() {
    OWN.with(|own| own.get().into_iter().for_each(Meter::wakes));
}

/// Measures what its own thread uses.
#[derive(Clone)]
pub struct Meter {
    ledger: Arc<Ledger>,
    cell: usize,
    allocated: Option<ThreadLocal<u64>>,
    freed: Option<ThreadLocal<u64>>,
    /// What the threads before this one have left in the cell.
    before: i64,
}

impl Meter {
    /// Where the allocator does not tell its counters, this thread is part of the rest.
    fn new(ledger: Arc<Ledger>, cell: usize) -> Meter {
        let (allocated, freed) = (allocatedp::read().ok(), deallocatedp::read().ok());
        let mut meter = Meter { ledger, cell, allocated, freed, before: 0 };
        meter.before = meter.own().balance.load(Ordering::Relaxed) - meter.balance();
        meter
    }

    fn own(&self) -> &Cell {
        &self.ledger.cells[self.cell]
    }

    /// What the thread has allocated and not freed.
    fn balance(&self) -> i64 {
        let count = |counter: Option<ThreadLocal<u64>>| counter.map_or(0, ThreadLocal::get);
        self.before + count(self.allocated).wrapping_sub(count(self.freed)) as i64
    }

    /// Tells the others.
    pub fn publish_balance(&self) {
        self.own().balance.store(self.balance(), Ordering::Relaxed);
    }

    /// The thread has nothing to do.
    pub fn sleeps(&self) {
        self.publish_balance();
        self.own().is_awake.store(false, Ordering::Relaxed);
    }

    /// It has something to do: what it uses may change before it tells the others.
    pub fn wakes(&self) {
        self.own().is_awake.store(true, Ordering::Relaxed);
    }
}

/// What a shard goes by.
pub struct OfShard {
    meter: Meter,
    /// What is in use beside this thread, and counts, as of the last turn.
    beside: i64,
}

impl OfShard {
    /// On the thread of this shard.
    pub fn new(ledger: &Arc<Ledger>, shard: u16) -> OfShard {
        let meter = Meter::new(ledger.clone(), usize::from(shard));
        OWN.with(|own| drop(own.set(meter.clone())));
        OfShard { meter, beside: 0 }
    }
}

impl Gauge for OfShard {
    fn renew(&mut self, uncounted: u64) {
        self.meter.publish_balance();
        self.meter.own().uncounted.store(uncounted, Ordering::Relaxed);
        self.beside = self.meter.ledger.beside(self.meter.cell);
    }

    #[inline]
    fn used(&mut self, uncounted: u64) -> u64 {
        (self.meter.balance() + self.beside - uncounted as i64).max(0) as u64
    }
}
