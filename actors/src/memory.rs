//! How much memory is in use that counts for `maxmemory`, as each shard's thread knows it.
//!
//! jemalloc counts for each thread what it has allocated and freed, exactly, and a thread reads its
//! own counters as any of its memory: no lock, no atomic, no call. The difference may be below
//! zero, since memory goes from thread to thread, but the sum over all threads is what is in use.
//! So each thread that allocates much publishes its own, shards once a turn, and adds up those of
//! others. What other threads use follows from the allocator's own sum, which takes long to ask
//! for: somebody does so now and then. It never counts twice what a thread has allocated in a long
//! turn and not published yet.
//!
//! What is on its way to the journal or to a snapshot does not count.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
use troupe::shard::evict::Gauge;

/// What other threads use may grow by so many bytes at once. More than that has to be seen several
/// times: it may be what threads have allocated in the turns of that moment.
const PLAUSIBLE: i64 = 1 << 20;

/// So many times.
const DOUBTED: usize = 4;

/// What threads use, each in its own cell.
#[derive(Debug, Default)]
pub struct Ledger {
    cells: Vec<Cell>,
    /// What is in use beside the cells.
    rest: AtomicI64,
    /// Times that much more was seen.
    doubts: AtomicUsize,
    /// Bytes that were sent to the journal, and those of them that are not in memory any more.
    sent: AtomicU64,
    settled: AtomicU64,
}

/// What one thread uses. Each is apart in memory, so that no thread waits for another's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell {
    balance: AtomicI64,
    /// So much of it does not count.
    uncounted: AtomicU64,
    /// Turns that have begun or ended: an odd number while the thread is in one.
    turns: AtomicUsize,
    /// The turns when the allocator was asked last.
    seen: AtomicUsize,
}

impl Ledger {
    /// For so many shards, and the writers of the journal and of snapshots.
    pub fn new(shards: usize) -> Ledger {
        let cells = (0..shards + 2).map(|_| Cell::default()).collect();
        // What is seen first is taken as it is.
        Ledger { cells, doubts: AtomicUsize::new(DOUBTED), ..Ledger::default() }
    }

    /// The meter of a shard's thread, which calls this.
    fn of_shard(self: &Arc<Ledger>, shard: u16) -> Meter {
        Meter::new(self.clone(), usize::from(shard))
    }

    /// The meter of the thread that writes the journal, which calls this.
    pub fn of_journal(self: &Arc<Ledger>) -> Meter {
        Meter::new(self.clone(), self.cells.len() - 2)
    }

    /// The meter of the thread that writes snapshots, which calls this.
    pub fn of_snapshots(self: &Arc<Ledger>) -> Meter {
        Meter::new(self.clone(), self.cells.len() - 1)
    }

    /// So much is in use, as the allocator says, without what it keeps ready. Nothing follows from that while a thread is in the
    /// same turn as the last time.
    pub fn settle(&self, allocated: u64) {
        let is_in_one_turn = |cell: &Cell| {
            let turns = cell.turns.load(Ordering::Relaxed);
            cell.seen.swap(turns, Ordering::Relaxed) == turns && turns % 2 == 1
        };
        // Each cell is looked at.
        if self.cells.iter().filter(|cell| is_in_one_turn(cell)).count() > 0 {
            return;
        }
        let rest = allocated as i64 - self.published();
        let grown = rest - self.rest.load(Ordering::Relaxed);
        if grown > PLAUSIBLE && self.doubts.fetch_add(1, Ordering::Relaxed) + 1 < DOUBTED {
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
        cells.sum::<u64>() + self.unwritten()
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
        cells + self.rest.load(Ordering::Relaxed) - self.unwritten() as i64
    }
}

/// Measures what its own thread uses.
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
        let there = meter.ledger.cells[cell].balance.load(Ordering::Relaxed);
        meter.before = there - meter.balance();
        meter
    }

    /// What the thread has allocated and not freed.
    fn balance(&self) -> i64 {
        let count = |counter: Option<ThreadLocal<u64>>| counter.map_or(0, ThreadLocal::get);
        self.before + count(self.allocated).wrapping_sub(count(self.freed)) as i64
    }

    /// Tells the others; so many bytes of it do not count.
    pub fn publish(&self, uncounted: u64) {
        let cell = &self.ledger.cells[self.cell];
        cell.balance.store(self.balance(), Ordering::Relaxed);
        cell.uncounted.store(uncounted, Ordering::Relaxed);
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
        OfShard { meter: ledger.of_shard(shard), beside: 0 }
    }
}

impl Gauge for OfShard {
    fn renew(&mut self, uncounted: u64, is_busy: bool) {
        self.meter.publish(uncounted);
        let turns = &self.meter.ledger.cells[self.meter.cell].turns;
        let now = turns.load(Ordering::Relaxed) + 1;
        turns.store(now + usize::from((now % 2 == 1) != is_busy), Ordering::Relaxed);
        self.beside = self.meter.ledger.beside(self.meter.cell);
    }

    #[inline]
    fn used(&mut self, uncounted: u64) -> u64 {
        (self.meter.balance() + self.beside - uncounted as i64).max(0) as u64
    }
}
