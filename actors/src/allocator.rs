//! jemalloc's own counters and report, and how it gives memory back.
//!
//! Pages that hold nothing any more stay with the allocator for a while, five seconds at the most:
//! whoever allocates next may want them. Only somebody who looks at the time can give them back
//! then. Left alone, that is each thread while it allocates, so a thread that is idle keeps them,
//! and a busy one tells the kernel in the middle of a slice. So a thread of jemalloc's own does it.
//!
//! Four calls here have no safe wrapper: two take no value and give none back, one reads a counter,
//! and one takes the number of an arena.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr::null_mut;

use tikv_jemalloc_ctl::{background_thread, epoch, max_background_threads, stats, stats_print};
use tracing::warn;
use troupe::route::ShardId;
use troupe::stats::facts::Memory;

/// Shards whose threads allocate from the same arena. More would wait for each other.
const SHARDS_OF_ARENA: u32 = 4;

/// The allocator's counters, as of now. A counter that cannot be read is 0.
pub fn counters() -> Memory {
    // Counters are as of the last epoch: begin a new one. Without it they are only older.
    let _ = epoch::advance();
    let read = |counter: tikv_jemalloc_ctl::Result<usize>| counter.unwrap_or_default() as u64;
    Memory {
        allocated: read(stats::allocated::read()),
        active: read(stats::active::read()),
        resident: read(stats::resident::read()),
        metadata: read(stats::metadata::read()),
        cached: read(cached()),
        allocator: "jemalloc-5.3.1",
        ..Memory::default()
    }
}

/// What threads have got from the allocator for their next allocations.
fn cached() -> tikv_jemalloc_ctl::Result<usize> {
    // The number stands for all arenas (MALLCTL_ARENAS_ALL).
    let name = b"stats.arenas.4096.tcache_bytes\0";
    // SAFETY: the control of this name gives a `size_t`.
    unsafe { tikv_jemalloc_ctl::raw::read(name) }
}

/// The allocator's report, as text.
pub fn report() -> Vec<u8> {
    let mut text = Vec::new();
    match stats_print::stats_print(&mut text, stats_print::Options::default()) {
        Ok(()) => text,
        Err(error) => format!("the allocator gives no report: {error}").into_bytes(),
    }
}

/// Starts or ends the allocator's own thread. Where it cannot be started that is logged, and memory
/// is given back by the threads that allocate.
pub fn give_back_in_background(is_on: bool) {
    // One is enough for all arenas: nearly all that it does is one call to the kernel a time.
    let set = max_background_threads::write(1).and_then(|()| background_thread::write(is_on));
    if let Err(error) = set {
        warn!("jemalloc-bg-thread: the allocator's thread cannot be started: {error}");
        // It would count on the thread.
        let _ = background_thread::write(false);
    }
}

/// Gives unused pages of all arenas back to the system. Returns false when the allocator refuses.
pub fn purge() -> bool {
    // The number stands for all arenas (MALLCTL_ARENAS_ALL).
    order(c"arena.4096.purge")
}

/// Gives back to the arenas what the calling thread keeps for its next allocations: of each size up
/// to 200 pieces, each of which may hold a page that is empty but for it. Returns false when the
/// allocator refuses.
pub fn flush() -> bool {
    order(c"thread.tcache.flush")
}

/// Has the thread of a shard allocate where few others do, and where the values of its neighbours
/// are. What several arenas hold of one size fills up their pages less well than what one holds.
pub fn share_arena(shard: ShardId) {
    let arena = u32::from(shard) / SHARDS_OF_ARENA;
    // SAFETY: the control of this name takes an `unsigned`.
    let taken = unsafe { tikv_jemalloc_ctl::raw::write(b"thread.arena\0", arena) };
    if let Err(error) = taken {
        warn!(shard, "the thread allocates from an arena of its own: {error}");
    }
}

fn order(name: &CStr) -> bool {
    // SAFETY: the name ends in NUL; both controls neither read nor write through the other
    // pointers, which have to be null.
    let status =
        unsafe { tikv_jemalloc_sys::mallctl(name.as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
    status == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

    #[test]
    fn counters_grow_and_a_purge_is_taken() {
        // Far more than the tests beside this one give back meanwhile; it is never touched.
        const BYTES: usize = 1 << 30;
        let before = counters().allocated;
        let kept: Vec<u8> = std::hint::black_box(Vec::with_capacity(BYTES));
        assert!(counters().allocated >= before + BYTES as u64 / 2);
        let used = counters();
        assert!(used.cached > 0 && used.cached < used.allocated);
        drop(kept);
        assert!(purge() && flush());
        assert!(report().starts_with(b"___ Begin jemalloc"));
    }
}
