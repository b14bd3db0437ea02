//! An increment of a journal, fed in pieces of any length: blocks come out whole, and the end is
//! one of the three that there are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use troupe::aof::scan::{End, Scanner};

fuzz_target!(|input: &[u8]| {
    let Some((step, file)) = input.split_first() else { return };
    let mut scanner = Scanner::new(0);
    for piece in file.chunks(usize::from(*step).max(1)) {
        scanner.feed(piece);
        loop {
            match scanner.next_block() {
                Ok(None) => break,
                Err(damage) => return assert!(damage.offset <= file.len() as u64),
                Ok(Some(block)) => {
                    for unit in &block.units {
                        let records = block.records(unit);
                        assert!(records.iter().all(|record| block.args(record).len() > 0));
                    }
                }
            }
        }
    }
    if let Ok(End::TornTail { valid_up_to }) = scanner.finish() {
        assert!(valid_up_to <= file.len() as u64);
    }
});
