//! How much memory is in use that counts for `maxmemory`, as each shard's thread knows it.
//!
//! jemalloc counts for each thread what it has allocated and freed, exactly, and a thread reads its
//! own counters as any of its memory: no lock, no atomic, no call. The difference may be below
//! zero, since memory goes from thread to thread, but the sum over all threads is what is in use.
//! So each thread that allocates much publishes its own, shards once a turn and when they sleep,
//! and adds up those of others. What other threads use follows from the allocator's own sum, which
//! takes long to ask for: somebody does so now and then ([`Ledger::settle`]). Where a thread is
//! awake meanwhile, the difference holds what it has allocated or freed and not published yet: such
//! sightings are believed by their middle alone.
//!
//! What is on its way to the journal, to a snapshot or to replicas does not count.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
use troupe::shard::evict::Gauge;
use troupe::stats::facts::Memory;

/// So many sightings in a row, each made while threads were awake, are believed by their middle.
const SIGHTINGS: usize = 9;

thread_local! {
    static OWN: OnceCell<Meter> = const { OnceCell::new() };
}

/// What threads use, each in its own cell.
#[derive(Debug, Default)]
pub struct Ledger {
    cells: Vec<Cell>,
    /// What is in use beside the cells.
    rest: AtomicI64,
    sightings: Mutex<Sightings>,
    /// Bytes that were sent to the journal, and those of them that are not in memory any more.
    sent: AtomicU64,
    settled: AtomicU64,
    /// Bytes that are kept only for replicas that lag.
    lagging: AtomicU64,
}

/// What was seen beside the cells while threads were awake, since one was believed.
#[derive(Debug, Default)]
struct Sightings(Vec<i64>);

impl Sightings {
    /// So much was seen: for certain, or while threads were awake. Returns what to believe, if any.
    fn add(&mut self, seen: i64, is_certain: bool) -> Option<i64> {
        self.0.push(seen);
        if !is_certain && self.0.len() < SIGHTINGS {
            return None;
        }
        self.0.sort_unstable();
        let middle = self.0[self.0.len() / 2];
        self.0.clear();
        Some(if is_certain { seen } else { middle })
    }
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
        Ledger { cells, ..Ledger::default() }
    }

    /// The meter of the thread that writes the journal, which calls this.
    pub fn of_journal(self: &Arc<Ledger>) -> Meter {
        Meter::new(self.clone(), self.cells.len() - 2)
    }

    /// The meter of the thread that writes snapshots, which calls this.
    pub fn of_snapshots(self: &Arc<Ledger>) -> Meter {
        Meter::new(self.clone(), self.cells.len() - 1)
    }

    /// Asks the allocator what is in use, and takes what is beside the cells from that.
    pub fn settle(&self, ask: impl FnOnce() -> Memory) -> Memory {
        OWN.with(|own| own.get().into_iter().for_each(Meter::publish_balance));
        let (was_busy, before) = (self.is_busy(), self.published());
        let counters = ask();
        let published = self.published();
        let seen = counters.allocated.saturating_sub(counters.cached) as i64 - published;
        let is_first = self.rest.load(Ordering::Relaxed) == 0;
        let is_certain = !was_busy && !self.is_busy() && before == published;
        let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rest) = sightings.add(seen, is_first || is_certain) {
            self.rest.store(rest, Ordering::Relaxed);
        }
        counters
    }

    /// Another thread than this one may have changed what it has not published.
    fn is_busy(&self) -> bool {
        let own = OWN.with(|own| own.get().map(|meter| meter.cell));
        let mut others = self.cells.iter().enumerate().filter(|(at, _)| Some(*at) != own);
        others.any(|(_, cell)| cell.is_awake.load(Ordering::Relaxed))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_beside_a_thread_at_work_is_believed_by_its_middle() {
        let mut sightings = Sightings::default();
        assert_eq!(sightings.add(100, true), Some(100));
        // In one of them a thread had allocated much, in another freed much.
        let seen = [101, 1 << 20, 102, 100, -(1 << 20), 103, 102, 101];
        assert!(seen.into_iter().all(|seen| sightings.add(seen, false).is_none()));
        assert_eq!(sightings.add(104, false), Some(102));
        // One that is certain ends the doubts.
        assert_eq!(sightings.add(1 << 20, false), None);
        assert_eq!(sightings.add(7, true), Some(7));
        assert!(seen.into_iter().all(|seen| sightings.add(seen, false).is_none()));
    }
}
