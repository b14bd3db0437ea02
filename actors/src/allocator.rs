//! jemalloc's own counters, report and purge.
//!
//! The purge is the one call here that has no safe wrapper: it takes no value and gives none back.

#![allow(unsafe_code)]

use std::ptr::null_mut;

use tikv_jemalloc_ctl::{epoch, stats, stats_print};
use troupe::stats::facts::Memory;

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
        allocator: "jemalloc-5.3.1",
        ..Memory::default()
    }
}

/// The allocator's report, as text.
pub fn report() -> Vec<u8> {
    let mut text = Vec::new();
    match stats_print::stats_print(&mut text, stats_print::Options::default()) {
        Ok(()) => text,
        Err(error) => format!("the allocator gives no report: {error}").into_bytes(),
    }
}

/// Gives unused pages of all arenas back to the system. Returns false when the allocator refuses.
pub fn purge() -> bool {
    // The number stands for all arenas (MALLCTL_ARENAS_ALL).
    let name = c"arena.4096.purge";
    // SAFETY: the name ends in NUL; this control neither reads nor writes through the other
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
        drop(kept);
        assert!(purge());
        assert!(report().starts_with(b"___ Begin jemalloc"));
    }
}
