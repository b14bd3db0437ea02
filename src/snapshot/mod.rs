//! A snapshot on its way to its file: what the shards tell of it, until it is whole or has failed.
//!
//! The moment comes first, with the number of keys in each database. Then come pieces from all
//! shards, in any order, each behind the moment. The snapshot is whole when as many slots are
//! reported as there are. Then its file takes the place of the one before, and not earlier.
//!
//! Whatever fails ends it: the disk, a shard that does not trust its slots, whoever gives it up.
//! One that is written in the background, for nobody who waits, is given up by FLUSHALL too, as in
//! Redis.
//! The file before stays, and what was written is removed.

pub mod file;

use crate::base::slot::SLOTS;
use crate::route::ShardId;
use crate::shard::snapshot::News;
use crate::snapshot::file::SnapshotFile;

/// How a snapshot ended: the length of its file, or why there is none.
pub type Outcome = Result<u64, String>;

/// Why there is none where FLUSHALL came meanwhile.
pub const OUTDATED: &str = "all keys were taken out";

enum State {
    /// The moment has not come.
    Begins(Box<SnapshotFile>),
    /// So many slots are whole.
    Writes(Box<SnapshotFile>, u32),
    Over(Outcome),
}

/// A snapshot on its way.
pub struct Snapshot {
    number: u32,
    state: State,
    /// Nobody wants it any more once all keys were taken out.
    ends_outdated: bool,
    /// Bytes of each shard that are written.
    written: Vec<u64>,
}

impl Snapshot {
    /// The snapshot with this number, of so many shards, which goes to this file.
    pub fn new(number: u32, shards: ShardId, file: SnapshotFile) -> Snapshot {
        let written = vec![0; usize::from(shards)];
        let state = State::Begins(Box::new(file));
        Snapshot { number, state, ends_outdated: false, written }
    }

    /// The same, which is given up when all keys are taken out meanwhile, by FLUSHALL.
    pub fn in_background(self) -> Snapshot {
        Snapshot { ends_outdated: true, ..self }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How it ended, once it has ended.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            State::Over(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Takes what a shard tells. Returns how many bytes of that shard are written in all, where
    /// that is more than before. What comes late is passed over.
    pub fn hear(&mut self, shard: ShardId, news: News) -> Option<u64> {
        let state = std::mem::replace(&mut self.state, State::Over(Err(String::new())));
        let mut written = None;
        self.state = match (state, news) {
            (State::Begins(mut file), News::Begun(begun, _)) if begun.number == self.number => {
                match file.begin(&begun) {
                    Ok(()) => State::Writes(file, 0),
                    Err(fault) => State::Over(Err(fault.to_string())),
                }
            }
            (State::Begins(_), News::NotBegun(number)) if number == self.number => {
                State::Over(Err("a shard is being loaded or rebuilt".to_owned()))
            }
            (State::Writes(mut file, slots), News::Pieces(pieces))
                if pieces.number == self.number =>
            {
                let slots = slots + pieces.slots;
                match file.add(&pieces) {
                    Err(fault) => State::Over(Err(fault.to_string())),
                    Ok(()) if pieces.has_failed => {
                        State::Over(Err(format!("shard {shard} has panicked meanwhile")))
                    }
                    Ok(()) if slots >= u32::from(SLOTS) => {
                        State::Over(file.finish().map_err(|fault| fault.to_string()))
                    }
                    Ok(()) => {
                        if let Some(sum) = self.written.get_mut(usize::from(shard)) {
                            *sum += pieces.len() as u64;
                            written = Some(*sum);
                        }
                        State::Writes(file, slots)
                    }
                }
            }
            (state, _) => state,
        };
        written
    }

    /// Takes what of the news of a shard cannot wait for what was told before.
    pub fn overhear(&mut self, news: &News) {
        if self.ends_outdated && news.outdates(self.number) {
            self.give_up(OUTDATED);
        }
    }

    /// The batch that was to begin it is gone: if it has not begun by now, it never will.
    pub fn batch_gone(&mut self) {
        if matches!(self.state, State::Begins(_)) {
            self.give_up("it could not begin");
        }
    }

    /// Gives it up, unless it has ended.
    pub fn give_up(&mut self, why: &str) {
        if self.outcome().is_none() {
            self.state = State::Over(Err(why.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests;
