//! Files that are loaded by a shard apart, which nobody else knows.

use std::sync::Arc;

use crate::aof::load::Reader;
use crate::aof::loader::{LeftOut, LoadError, Loader, Step};
use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::keyspace::contents::Contents;
use crate::script::Libraries;
use crate::settings::Settings;
use crate::shard::{Parts, Shard};

/// What was loaded.
#[derive(Debug)]
pub struct Apart {
    /// The keys.
    pub contents: Contents,
    /// The libraries of functions.
    pub libraries: Libraries,
    /// Keys that had no elements, and were left out.
    pub empty_keys: u64,
    /// Those of them that the log names.
    pub left_out: Vec<LeftOut>,
}

/// Loads all that is to be read, at `now`, into a shard with these settings. `reached` is
/// called after each read. Its calls block.
///
/// # Errors
/// See [`LoadError`].
pub fn load(
    settings: Arc<Settings>,
    hasher: Hasher,
    reader: &mut Reader,
    now: Millis,
    reached: &mut dyn FnMut(&Reader),
) -> Result<Apart, LoadError> {
    let parts = Parts::alone(settings.clone(), hasher, 0);
    let mut loader = Loader::of_all(parts.map.clone(), settings.rename_command.clone(), false);
    let (mut shard, mut left_out) = (Shard::new(parts), Vec::new());
    loop {
        match loader.next_step() {
            Step::Read => {
                match reader.next_for_shards()? {
                    Some(block) => loader.take(block),
                    None => loader.end(),
                }
                reached(reader);
            }
            Step::Apply { shard: to, parcel } => {
                left_out.extend(loader.applied(to, Some(shard.load(&parcel, now)))?);
            }
            // It answers at once, and there is no other.
            Step::Wait(_) | Step::Bring { .. } => return Err(LoadError::Gone),
            Step::Done => break,
        }
    }
    let libraries = shard.libraries().clone();
    let contents = shard.into_contents();
    Ok(Apart { contents, libraries, empty_keys: loader.empty_keys(), left_out })
}
