//! Files that are loaded while the shards go on: by a shard apart, which nobody else knows.

use std::collections::VecDeque;

use crate::aof::load::{Read, Reader};
use crate::aof::loader::{LeftOut, LoadError, Loader, Step};
use crate::base::millis::Millis;
use crate::keyspace::contents::Contents;
use crate::settings::Renames;
use crate::shard::{Parts, Shard};

/// What was loaded.
#[derive(Debug)]
pub struct Apart {
    /// The keys.
    pub contents: Contents,
    /// What was read, in figures, and what is for no shard.
    pub read: Read,
    /// Keys that had no elements, and were left out.
    pub empty_keys: u64,
    /// Those of them that the log names.
    pub left_out: Vec<LeftOut>,
}

/// Loads files at `now` into a shard of these parts, which has all slots. Its calls block.
///
/// # Errors
/// See [`LoadError`].
pub fn load(parts: Parts, mut reader: Reader, now: Millis) -> Result<Apart, LoadError> {
    let mut loader = Loader::of_all(parts.map.clone(), Renames::default(), false);
    let mut shard = Shard::new(parts);
    let (mut answers, mut left_out) = (VecDeque::new(), Vec::new());
    loop {
        match loader.next_step() {
            Step::Read => match reader.next_block()? {
                Some(block) => loader.take(block),
                None => loader.end(),
            },
            Step::Apply { parcel, .. } => answers.push_back(shard.load(&parcel, now)),
            Step::Wait(number) => left_out.extend(loader.applied(number, answers.pop_front())?),
            // There is no other shard.
            Step::Bring { .. } => return Err(LoadError::Gone),
            Step::Done => break,
        }
    }
    let contents = shard.into_contents();
    Ok(Apart { contents, read: reader.end(), empty_keys: loader.empty_keys(), left_out })
}
