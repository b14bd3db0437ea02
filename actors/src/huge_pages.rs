//! Huge pages for memory that is in use, put together on a thread of its own.
//!
//! A look at a key is a chain of loads from pages that nobody has used lately, so most of what it
//! costs in a large keyspace is to find the pages. With pages of 2 MiB there are few to find. The
//! kernel would make them when memory is first touched, if it was asked to: in the middle of a
//! slice, for many milliseconds, and also where little of the page will ever be used. Here a block
//! becomes one page later, once nearly all of it is in use.
//!
//! Other servers switch huge pages off since a process that has forked copies a page that it writes
//! to. This one never forks.
//!
//! Off unless `huge-pages` says so: a shard that wants memory while a block is put together can be
//! held up for milliseconds where the machine is busy.
//!
//! Keeps true: the thread works for a twentieth of the time at the most; memory grows by a
//! sixteenth at the most. A shard that touches a block while that is copied waits for it.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::thread;
use std::time::Duration;

use tracing::{debug, warn};

use crate::clock::Clock;

/// Bytes of a huge page; blocks begin at multiples of it.
const BLOCK: usize = 2 << 20;

/// Bytes of a page, and of what the kernel tells of one.
const PAGE: usize = 4 << 10;
const PAGE_WORD: usize = 8;

/// In use: the highest bit of the word.
const PRESENT: u64 = 1 << 63;

/// Pages of a block that are in use at the least, of 512.
const PRESENT_MIN: usize = 480;

/// Between two looks at all memory.
const ROUND: Duration = Duration::from_secs(2);

/// Rests for so many times as long as it works.
const REST: u32 = 19;

/// Rounds after which a block is looked at again: parts of it may have been given back.
const AGAIN_ROUNDS: u32 = 30;

/// Why a thread that makes huge pages ended.
enum Ended {
    /// The kernel has no such call, or this process may have no huge pages.
    Unsupported(io::Error),
    /// What the kernel tells of memory cannot be read.
    Unreadable(io::Error),
}

/// Starts the thread, which works for as long as `is_wanted` says so. It ends with the process.
pub fn spawn(clock: Clock, is_wanted: impl Fn() -> bool + Send + 'static) {
    let run = move || match Maker::new(clock).run(is_wanted) {
        Ended::Unsupported(error) => debug!("huge-pages: the kernel makes none: {error}"),
        Ended::Unreadable(error) => warn!("huge-pages: memory cannot be looked at: {error}"),
    };
    if let Err(error) = thread::Builder::new().name("huge-pages".to_owned()).spawn(run) {
        warn!("huge-pages: there is no thread for them: {error}");
    }
}

struct Maker {
    clock: Clock,
    /// Blocks that are huge pages, with the rounds until they are looked at again.
    made: BTreeMap<usize, u32>,
}

impl Maker {
    fn new(clock: Clock) -> Maker {
        Maker { clock, made: BTreeMap::new() }
    }

    fn run(mut self, is_wanted: impl Fn() -> bool) -> Ended {
        loop {
            rest(ROUND);
            if !is_wanted() {
                self.made.clear();
                continue;
            }
            if let Err(ended) = self.round() {
                return ended;
            }
        }
    }

    /// Looks at all memory once.
    fn round(&mut self) -> Result<(), Ended> {
        let maps = fs::read_to_string("/proc/self/maps").map_err(Ended::Unreadable)?;
        let pages = File::open("/proc/self/pagemap").map_err(Ended::Unreadable)?;
        self.made.values_mut().for_each(|rounds| *rounds -= 1);
        self.made.retain(|_, rounds| *rounds > 0);
        for block in maps.lines().filter_map(data_of).flat_map(blocks_of) {
            if self.made.contains_key(&block) {
                continue;
            }
            let began = self.clock.nanos();
            // What is not there any more has no pages.
            if present(&pages, block).unwrap_or(0) >= PRESENT_MIN && collapse(block)? {
                self.made.insert(block, AGAIN_ROUNDS);
            }
            rest(Duration::from_nanos(self.clock.nanos() - began) * REST);
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "no actor is on this thread")]
fn rest(time: Duration) {
    thread::sleep(time);
}

/// The memory that a line of the maps is about, if it is the allocator's.
fn data_of(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let is_data = words.next() == Some("rw-p");
    let name = words.nth(3).unwrap_or_default();
    let is_nameless = name.is_empty() || name.starts_with("[anon:");
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?)).filter(|_| is_data && is_nameless)
}

/// The blocks that lie in this memory.
fn blocks_of((start, end): (usize, usize)) -> impl Iterator<Item = usize> {
    (start.next_multiple_of(BLOCK)..end).step_by(BLOCK).filter(move |block| end - block >= BLOCK)
}

/// How many pages of a block are in use.
fn present(pages: &File, block: usize) -> io::Result<usize> {
    let mut words = [0; BLOCK / PAGE * PAGE_WORD];
    pages.read_exact_at(&mut words, (block / PAGE * PAGE_WORD) as u64)?;
    let words = words.as_chunks::<PAGE_WORD>().0.iter().map(|word| u64::from_ne_bytes(*word));
    Ok(words.filter(|word| word & PRESENT != 0).count())
}

/// Makes a block one page. Returns false where that is not possible now.
fn collapse(block: usize) -> Result<bool, Ended> {
    // SAFETY: the call changes by which pages memory is held, and no byte of it. It is right for
    // any address: where nothing is, or something else by now, it fails or does the same there.
    let status = unsafe {
        libc::madvise(std::ptr::without_provenance_mut(block), BLOCK, libc::MADV_COLLAPSE)
    };
    if status == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Also of memory that can have none; but of ours any can.
        Some(libc::EINVAL | libc::ENOSYS | libc::EPERM) => Err(Ended::Unsupported(error)),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocators_memory_is_known_by_its_line() {
        let data = "7f0000201000-7f0000a00000 rw-p 00000000 00:00 0 ";
        assert_eq!(data_of(data), Some((0x7f00_0020_1000, 0x7f00_00a0_0000)));
        let blocks: Vec<usize> = data_of(data).into_iter().flat_map(blocks_of).collect();
        assert_eq!(blocks, [0x7f00_0040_0000, 0x7f00_0060_0000, 0x7f00_0080_0000]);
        for other in [
            "55e0-55f0 r-xp 00000000 fe:00 123  /usr/bin/troupe",
            "55e000000000-55e000400000 rw-p 00000000 00:00 0  [heap]",
            "7ff000000000-7ff000400000 rw-s 00000000 00:01 7  /dev/zero",
            "",
        ] {
            assert_eq!(data_of(other), None, "{other}");
        }
        assert!(data_of("1000-2000 rw-p 00000000 00:00 0  [anon:jemalloc_pg]").is_some());
        assert_eq!(blocks_of((BLOCK, 2 * BLOCK - 1)).count(), 0);
    }

    #[test]
    fn a_block_that_is_in_use_is_seen_and_made_one_page() {
        let mut memory = vec![0u8; 3 * BLOCK];
        let block = (memory.as_ptr() as usize).next_multiple_of(BLOCK);
        let from = block - memory.as_ptr() as usize;
        let pages = File::open("/proc/self/pagemap").unwrap();
        memory[from..from + BLOCK].iter_mut().step_by(PAGE).for_each(|byte| *byte = 7);
        assert_eq!(present(&pages, block).unwrap(), BLOCK / PAGE);
        assert!(matches!(collapse(block), Ok(_) | Err(Ended::Unsupported(_))));
        let kept = memory[from..from + BLOCK].iter().step_by(PAGE).all(|byte| *byte == 7);
        assert!(kept, "no byte of it has changed");
    }
}
