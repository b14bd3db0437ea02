//! How much memory is in use that counts for `maxmemory`, as each shard's thread knows it.
//!
//! jemalloc counts for each thread what it has allocated and freed, exactly, and a thread reads its
//! own counters as any of its memory: no lock, no atomic, no call. The difference may be below
//! zero, since memory goes from thread to thread, but the sum over all threads is what is in use.
//! So each thread that allocates much publishes its own, shards once a turn, and adds up those of
//! others. What is left, other threads and what the allocator has handed out ahead, follows from
//! the allocator's own sum, which takes long to ask for: somebody does so now and then.
//!
//! What is on its way to the journal or to a snapshot does not count.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
use troupe::shard::evict::Gauge;

/// Times that the allocator was asked, the least of which counts: what a thread has allocated and
/// not published yet must not be counted twice.
const LATEST: usize = 4;

/// What threads use, each in its own cell.
#[derive(Debug, Default)]
pub struct Ledger {
    cells: Vec<Cell>,
    /// What is in use beside the cells, as it was the latest times, in turn.
    rest: [AtomicI64; LATEST],
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
}

impl Ledger {
    /// For so many shards, and the writers of the journal and of snapshots.
    pub fn new(shards: usize) -> Ledger {
        let cells = (0..shards + 2).map(|_| Cell::default()).collect();
        Ledger { cells, ..Ledger::default() }
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

    /// So much is in use, as the allocator says; asked for the `count`th time.
    pub fn settle(&self, allocated: u64, count: usize) {
        let cells = self.cells.iter().map(|cell| cell.balance.load(Ordering::Relaxed));
        let rest = allocated as i64 - cells.sum::<i64>();
        self.rest[count % LATEST].store(rest, Ordering::Relaxed);
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
        let rest = self.rest.iter().map(|rest| rest.load(Ordering::Relaxed)).min();
        let counted = |cell: &Cell| {
            let uncounted = cell.uncounted.load(Ordering::Relaxed) as i64;
            cell.balance.load(Ordering::Relaxed) - uncounted
        };
        let cells = self.cells.iter().enumerate().filter(|(at, _)| *at != own);
        let cells = cells.map(|(_, cell)| counted(cell)).sum::<i64>();
        cells + rest.unwrap_or_default() - self.unwritten() as i64
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
    fn renew(&mut self, uncounted: u64) {
        self.meter.publish(uncounted);
        self.beside = self.meter.ledger.beside(self.meter.cell);
    }

    #[inline]
    fn used(&mut self, uncounted: u64) -> u64 {
        (self.meter.balance() + self.beside - uncounted as i64).max(0) as u64
    }
}
