//! Asks the processor for a line of memory ahead of its use.
//!
//! Unlike a load, a prefetch holds nothing up: the processor goes on with what comes behind it, and
//! several of them wait for the memory at the same time. It reads nothing, as far as the program
//! can tell, and never faults, whatever the address.

#![allow(unsafe_code)]

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// Brings the line with this address into the cache, on the processors that have an instruction
/// for it which the compiler offers; on others it does nothing.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction is in every processor of this kind, and is a hint: it neither reads
    // nor writes what the program can see, and takes any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_is_taken() {
        prefetch(std::ptr::null::<u8>());
        prefetch(std::ptr::without_provenance::<u8>(usize::MAX));
        prefetch(&7);
    }
}
