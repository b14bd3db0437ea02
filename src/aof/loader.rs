//! What the loader decides: which record of the journal, or key of an RDB file, goes to which
//! shard, and when.
//!
//! Blocks come in as they are read, and so do the shards' answers; steps go out, to be carried out
//! one by one. All shards load side by side, or one of them alone, for its rebuild.
//!
//! A record of another server may read one shard's slot and write another's. When the shards have
//! applied what comes before it, all slots are brought to one of them, which applies the rest of
//! the block as well; then they go back. So a file that is full of such records costs two moves a
//! block, and not two a record.
//!
//! Invariant: each shard gets what is its own in the order of the files. Memory: the parcels of one
//! block, and `PARCELS_MAX` on their way to each shard. The next block is asked for when all of the
//! last one is on its way.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::aof::error::AofError;
use crate::aof::load::{Content, FromFile};
use crate::aof::record::{Block, Record};
use crate::rdb::RawKeys;
use crate::route::{Map, ShardId};
use crate::settings::Renames;
use crate::shard::load::{Applied, KeyFault, Parcel};
use crate::shard::placement::Placement;
use crate::shard::refusal::Refusal;
use crate::shard::replay::Records;

/// Parcels on their way to one shard.
const PARCELS_MAX: usize = 4;

/// Records, and keys, left out that the log names one by one.
const LEFT_OUT_SHOWN: u64 = 20;

/// Where all slots are brought together.
const HOST: ShardId = 0;

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Read on: the next block goes to [`Loader::take`], the end of the files to [`Loader::end`].
    Read,
    /// Send a parcel to a shard. Its answer goes to [`Loader::applied`]; those of one shard come in
    /// the order of its parcels.
    Apply {
        /// The shard.
        shard: ShardId,
        /// The parcel.
        parcel: Parcel,
    },
    /// Wait for this shard's next answer: there is nothing else to do.
    Wait(ShardId),
    /// Bring slots from one shard to another. What the next steps send to either comes after it.
    Bring {
        /// The slots.
        slots: Vec<u16>,
        /// Who has them.
        from: ShardId,
        /// Who needs them.
        to: ShardId,
    },
    /// All is loaded.
    Done,
}

/// Why a load ended early.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The files cannot be read, or are damaged.
    #[error(transparent)]
    Files(#[from] AofError),
    /// A record was refused.
    #[error(
        "{}: the record at offset {offset}: {refusal}; or set aof-load-skip-refused to yes to go \
         on without it", path.display()
    )]
    Record {
        /// The file.
        path: Arc<Path>,
        /// Where the record begins.
        offset: u64,
        /// What was wrong.
        refusal: Refusal,
    },
    /// A key of an RDB file is not to be loaded.
    #[error("{}: {fault}; {}", path.display(), fault.remedy())]
    Key {
        /// The file.
        path: Arc<Path>,
        /// The key, and what is wrong.
        fault: KeyFault,
    },
    /// A shard went away, or panicked, which the log tells.
    #[error("a shard ended while it was loading")]
    Gone,
}

/// What is left out. `Display` is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    path: Arc<Path>,
    what: Refused,
}

/// What a shard does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refused {
    Record { offset: u64, refusal: Refusal },
    Key(KeyFault),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.what {
            Refused::Record { offset, refusal } => {
                write!(f, "{path}: the record at offset {offset} is left out: {refusal}")
            }
            Refused::Key(fault) => write!(f, "{path}: skipping empty key: {}", fault.key()),
        }
    }
}

/// Hands the content of files out to shards.
pub struct Loader {
    /// How records and keys find their shards; none where one shard is to get all of them.
    routes: Option<Routes>,
    /// By shard, in order.
    lanes: Vec<Lane>,
    path: Arc<Path>,
    /// The records of the block, where it has any.
    block: Block,
    /// Blocks that were taken in.
    blocks: u64,
    /// The first record of the block that is in no parcel.
    at: usize,
    /// What is left to do with the block.
    tasks: VecDeque<Task>,
    /// All slots are at the host, or on their way there.
    is_gathered: bool,
    is_foreign: bool,
    has_ended: bool,
    refused: Count,
    empty_keys: u64,
}

struct Routes {
    map: Arc<Map>,
    renames: Renames,
}

/// A part of the work on a block.
enum Task {
    /// Put the records into parcels, up to one that needs all slots at the host.
    Sort,
    /// Send the parcels.
    Send,
    /// Send the parcels, and wait until all that was sent is applied.
    Settle,
    /// Bring the slots of a shard to the host.
    Gather(ShardId),
    /// Bring them back.
    Scatter(ShardId),
}

/// One shard's end of a load.
struct Lane {
    shard: ShardId,
    /// What is sent next; never without anything in it.
    parcel: Option<Parcel>,
    /// Where the records of the parcel stand.
    places: Vec<RecordPlace>,
    sent: VecDeque<Sent>,
}

/// Where a record stands in the file of its block.
struct RecordPlace {
    offset: u64,
    /// Several shards apply it, and several may refuse it.
    is_split: bool,
}

/// A parcel on its way.
struct Sent {
    path: Arc<Path>,
    /// The number of its block.
    block: u64,
    places: Vec<RecordPlace>,
}

/// Records that were refused.
struct Count {
    /// They are left out, rather than the end of the load.
    are_skipped: bool,
    count: u64,
    /// Those of them that other shards may refuse yet: number of the block, and offset.
    split: BTreeSet<(u64, u64)>,
}

impl Loader {
    /// Hands out all records to the shards of this map. Refused ones are left out where `skips`.
    pub fn of_all(map: Arc<Map>, renames: Renames, skips: bool) -> Loader {
        let lanes = (0..map.shards()).map(Lane::new).collect();
        Loader::new(Some(Routes { map, renames }), lanes, skips)
    }

    /// Hands out all records to one shard, which takes what is its own of them.
    pub fn of_one(shard: ShardId, skips: bool) -> Loader {
        Loader::new(None, vec![Lane::new(shard)], skips)
    }

    fn new(routes: Option<Routes>, lanes: Vec<Lane>, are_skipped: bool) -> Loader {
        Loader {
            routes,
            lanes,
            path: Path::new("").into(),
            block: Block::default(),
            blocks: 0,
            at: 0,
            tasks: VecDeque::new(),
            is_gathered: false,
            is_foreign: false,
            has_ended: false,
            refused: Count { are_skipped, count: 0, split: BTreeSet::new() },
            empty_keys: 0,
        }
    }

    /// What is to be done next.
    pub fn next_step(&mut self) -> Step {
        while let Some(task) = self.tasks.pop_front() {
            let step = match task {
                Task::Sort => {
                    self.sort();
                    None
                }
                Task::Send => self.send(),
                Task::Settle => self.send().or_else(|| self.wait()),
                Task::Gather(shard) => return self.bring(shard, shard, HOST),
                Task::Scatter(shard) => return self.bring(shard, HOST, shard),
            };
            if let Some(step) = step {
                self.tasks.push_front(task);
                return step;
            }
        }
        if self.has_ended { Step::Done } else { Step::Read }
    }

    /// Takes in the next block, when [`Step::Read`] asks for it.
    pub fn take(&mut self, from: FromFile) {
        self.path = from.path;
        self.blocks += 1;
        match from.content {
            Content::Records(block) => {
                (self.block, self.at, self.is_gathered) = (block, 0, false);
                self.tasks.push_back(Task::Sort);
            }
            Content::Keys(raw) => self.sort_keys(&raw),
        }
        self.tasks.push_back(Task::Send);
    }

    /// There are no more blocks.
    pub fn end(&mut self) {
        self.has_ended = true;
        self.tasks.push_back(Task::Settle);
    }

    /// A shard has answered for its oldest parcel; none where it ended instead. Returns what the
    /// log is to name.
    ///
    /// # Errors
    /// The load is over: something was refused, and is not to be left out; or the shard ended.
    pub fn applied(
        &mut self,
        shard: ShardId,
        answer: Option<Applied>,
    ) -> Result<Vec<LeftOut>, LoadError> {
        let lane = self.lanes.iter_mut().find(|lane| lane.shard == shard);
        let sent = lane.and_then(|lane| lane.sent.pop_front());
        let (Some(sent), Some(answer)) = (sent, answer) else { return Err(LoadError::Gone) };
        let mut left_out = Vec::new();
        match answer {
            Applied::Records(refusals) => {
                for (index, refusal) in refusals {
                    let place = sent.places.get(index).ok_or(LoadError::Gone)?;
                    left_out.extend(self.refused.note(&sent, place, refusal)?);
                }
            }
            Applied::Keys(faults) => {
                for fault in faults {
                    left_out.extend(self.note_key(&sent, fault)?);
                }
            }
        }
        let on_way = self.lanes.iter().filter_map(|lane| lane.sent.front());
        let oldest = on_way.map(|sent| sent.block).min().unwrap_or(self.blocks);
        self.refused.forget_before(oldest);
        Ok(left_out)
    }

    /// There were records over several slots, which no rebuild of one shard could apply: the
    /// journal has to be written anew.
    pub fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// How many records were refused and left out.
    pub fn left_out(&self) -> u64 {
        self.refused.count
    }

    /// How many keys of RDB files had no elements, and were left out.
    pub fn empty_keys(&self) -> u64 {
        self.empty_keys
    }

    fn note_key(&mut self, sent: &Sent, fault: KeyFault) -> Result<Option<LeftOut>, LoadError> {
        let path = sent.path.clone();
        if fault.ends_load() {
            return Err(LoadError::Key { path, fault });
        }
        self.empty_keys += 1;
        let is_shown = self.empty_keys <= LEFT_OUT_SHOWN;
        Ok(is_shown.then_some(LeftOut { path, what: Refused::Key(fault) }))
    }

    fn sort_keys(&mut self, raw: &RawKeys) {
        for key in &raw.keys {
            let to = self.routes.as_ref().map_or(HOST, |routes| routes.map.owner(key.slot));
            let parcel = &mut self.lanes[usize::from(to)].parcel;
            if let Parcel::Keys(keys) =
                parcel.get_or_insert_with(|| Parcel::Keys(raw.without_keys()))
            {
                keys.keys.push(*key);
            }
        }
    }

    fn sort(&mut self) {
        while let Some(record) = self.block.records.get(self.at) {
            let placement = self.placement(record);
            let to = match placement {
                Placement::At(shard) => usize::from(shard),
                Placement::Split => 0,
                Placement::Across(shard) => {
                    self.is_foreign |= self.lanes.len() > 1;
                    let Some(shard) = shard else { return self.gather() };
                    usize::from(shard)
                }
            };
            let is_split = placement == Placement::Split;
            let count = if is_split { self.lanes.len() } else { 1 };
            for lane in &mut self.lanes[to..to + count] {
                lane.push(&self.block, record, is_split);
            }
            self.at += 1;
        }
    }

    /// The place of a record, by lane.
    fn placement(&self, record: &Record) -> Placement {
        let block = &self.block;
        match &self.routes {
            Some(Routes { map, renames }) if !self.is_gathered => {
                Placement::of(block.spans(record), &block.bytes, map, renames)
            }
            _ => Placement::At(HOST),
        }
    }

    /// From the next record on, the block is the host's.
    fn gather(&mut self) {
        self.is_gathered = true;
        let others = || self.lanes.iter().map(|lane| lane.shard).filter(|shard| *shard != HOST);
        self.tasks.clear();
        self.tasks.push_back(Task::Settle);
        self.tasks.extend(others().map(Task::Gather));
        self.tasks.extend([Task::Sort, Task::Settle]);
        self.tasks.extend(others().map(Task::Scatter));
    }

    /// Sends the next parcel that may be sent, or waits for a shard that has too many.
    fn send(&mut self) -> Option<Step> {
        let mut full = None;
        for lane in self.lanes.iter_mut().filter(|lane| lane.parcel.is_some()) {
            if lane.sent.len() < PARCELS_MAX {
                return lane.send(&self.path, self.blocks);
            }
            full = full.or(Some(lane.shard));
        }
        full.map(Step::Wait)
    }

    /// Waits for a shard that has not applied all that it was sent.
    fn wait(&self) -> Option<Step> {
        let lane = self.lanes.iter().find(|lane| !lane.sent.is_empty());
        lane.map(|lane| Step::Wait(lane.shard))
    }

    /// Brings the slots of `owner` from one shard to another.
    fn bring(&self, owner: ShardId, from: ShardId, to: ShardId) -> Step {
        let slots = self.routes.iter().flat_map(|routes| routes.map.slots_of(owner)).collect();
        Step::Bring { slots, from, to }
    }
}

impl Lane {
    fn new(shard: ShardId) -> Lane {
        Lane { shard, parcel: None, places: Vec::new(), sent: VecDeque::new() }
    }

    fn push(&mut self, block: &Block, record: &Record, is_split: bool) {
        let empty = || {
            let bytes = block.bytes.clone();
            Parcel::Records(Records { bytes, ..Records::default() })
        };
        if let Parcel::Records(records) = self.parcel.get_or_insert_with(empty) {
            records.spans.extend_from_slice(block.spans(record));
            records.ends.push((record.db, records.spans.len() as u32));
            self.places.push(RecordPlace { offset: record.offset, is_split });
        }
    }

    fn send(&mut self, path: &Arc<Path>, block: u64) -> Option<Step> {
        let parcel = self.parcel.take()?;
        let places = std::mem::take(&mut self.places);
        self.sent.push_back(Sent { path: path.clone(), block, places });
        Some(Step::Apply { shard: self.shard, parcel })
    }
}

impl Count {
    /// Returns what the log is to name, if it is to.
    fn note(
        &mut self,
        sent: &Sent,
        place: &RecordPlace,
        refusal: Refusal,
    ) -> Result<Option<LeftOut>, LoadError> {
        let (path, offset) = (sent.path.clone(), place.offset);
        if !self.are_skipped {
            return Err(LoadError::Record { path, offset, refusal });
        }
        if place.is_split && !self.split.insert((sent.block, offset)) {
            return Ok(None);
        }
        self.count += 1;
        let what = Refused::Record { offset, refusal };
        Ok((self.count <= LEFT_OUT_SHOWN).then_some(LeftOut { path, what }))
    }

    /// All shards have answered for the blocks before this one.
    fn forget_before(&mut self, block: u64) {
        if self.split.first().is_some_and(|first| first.0 < block) {
            self.split = self.split.split_off(&(block, 0));
        }
    }
}

#[cfg(test)]
mod tests;
