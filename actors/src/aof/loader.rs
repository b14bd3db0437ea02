//! Records of the journal to the shards: all of them at the start, one shard's for a rebuild.
//!
//! A thread of its own reads; each shard applies its part, all side by side, with a bounded number
//! of parcels on their way to each. Where a record goes is `troupe::shard::placing`'s decision.
//!
//! A record of another server may read one shard's slot and write another's. When the shards have
//! applied what comes before it, all slots are brought to one of them, which applies the rest of
//! the block as well; then they go back. So a file that is full of such records costs two moves a
//! block, and not two a record.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use actix::Recipient;
use tokio::sync::oneshot;
use tracing::{info, warn};
use troupe::aof::directory::Listed;
use troupe::aof::error::AofError;
use troupe::aof::load::{Read, Reader};
use troupe::aof::record::{Block, Record};
use troupe::route::{Map, ShardId};
use troupe::settings::Renames;
use troupe::shard::letter::{Lent, Letter, Returned};
use troupe::shard::placing::Placing;
use troupe::shard::refusal::Refusal;
use troupe::shard::replay::Records;

use crate::aof::filesystem::Os;
use crate::fault;
use crate::message::aof::Rebuild;
use crate::message::shard::{self, Lend, Letters, Replay};

/// Parcels on their way to one shard.
const PARCELS_MAX: usize = 4;

/// Refused records that the log names one by one.
const REFUSED_SHOWN: u64 = 20;

/// Where all slots are brought together.
const HOST: ShardId = 0;

/// Why a load ended early.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The files cannot be read, or are damaged.
    #[error(transparent)]
    Files(#[from] AofError),
    /// A record was refused.
    #[error(
        "{}: the record at offset {offset}: {refusal}; or set aof-load-skip-refused to yes to \
         go on without it", path.display()
    )]
    Record {
        /// The file.
        path: Arc<Path>,
        /// Where the record begins.
        offset: u64,
        /// What was wrong.
        refusal: Refusal,
    },
    /// A shard went away, or panicked, which the log tells.
    #[error("a shard ended while it was loading")]
    Gone,
}

/// How a shard is reached that loads.
pub struct Loading {
    /// Records.
    pub replay: Recipient<Replay>,
    /// Slots that it has to give.
    pub lend: Recipient<Lend>,
    /// The slots on their way back.
    pub letters: Recipient<Letters>,
}

/// What was read at the start.
pub struct Loaded {
    /// In figures.
    pub read: Read,
    /// There are records over several slots, which no rebuild of one shard could apply: the journal
    /// has to be written anew.
    pub is_foreign: bool,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    path: Arc<Path>,
    offset: u64,
    /// Several shards apply it, and several may refuse it.
    is_split: bool,
}

/// A parcel on its way.
struct Sent {
    refused: oneshot::Receiver<Vec<(usize, Refusal)>>,
    places: Vec<Place>,
}

/// One shard's end of a load.
struct Lane {
    replay: Recipient<Replay>,
    parcel: Records,
    places: Vec<Place>,
    sent: VecDeque<Sent>,
}

/// Records that were refused.
struct Refused {
    /// They are left out, rather than the end of the load.
    are_skipped: bool,
    count: u64,
    /// Those of them that several shards may refuse.
    split: BTreeSet<Place>,
}

/// Reads files to shards.
struct Loader {
    load: u64,
    /// None where one shard is to get all records.
    map: Option<Arc<Map>>,
    renames: Renames,
    lanes: Vec<Lane>,
    shards: Vec<Loading>,
    /// All slots are at the host.
    is_gathered: bool,
    is_foreign: bool,
    refused: Refused,
}

/// Reads all files to all shards, on the calling thread, which is none of an actor's.
///
/// # Errors
/// See [`LoadError`].
pub fn load_all(
    files: Vec<Listed>,
    map: Arc<Map>,
    renames: Renames,
    shards: Vec<Loading>,
    skips_refused: bool,
) -> Result<Loaded, LoadError> {
    let lanes = shards.iter().map(|shard| Lane::new(shard.replay.clone())).collect();
    let mut loader = Loader::new(0, lanes, skips_refused);
    (loader.map, loader.renames, loader.shards) = (Some(map), renames, shards);
    let read = loader.read(files, None)?;
    Ok(Loaded { read, is_foreign: loader.is_foreign })
}

/// Reads the files up to a place in the last one to one shard, on a thread of its own.
pub fn spawn_rebuild(files: Vec<Listed>, up_to: u64, rebuild: Rebuild) {
    let name = format!("rebuild-{}", rebuild.shard);
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        let lanes = vec![Lane::new(rebuild.replay.clone())];
        let mut loader = Loader::new(rebuild.load, lanes, rebuild.skips_refused);
        match loader.read(files, Some(up_to)) {
            Ok(read) => {
                info!(shard = rebuild.shard, "{} records read for the rebuild", read.records);
                rebuild.loaded.do_send(shard::Loaded { load: rebuild.load });
            }
            // A second panic during the rebuild starts another one.
            Err(LoadError::Gone) => {}
            Err(error) => fault::give_up(&format!("a shard cannot be rebuilt: {error}")),
        }
    });
    if let Err(error) = spawned {
        fault::give_up(&format!("no thread for the rebuild of a shard: {error}"));
    }
}

impl Lane {
    fn new(replay: Recipient<Replay>) -> Lane {
        Lane { replay, parcel: Records::default(), places: Vec::new(), sent: VecDeque::new() }
    }

    fn push(&mut self, block: &Block, record: &Record, place: Place) {
        self.parcel.spans.extend_from_slice(block.spans(record));
        self.parcel.ends.push((record.db, self.parcel.spans.len() as u32));
        self.places.push(place);
    }

    fn send(&mut self, load: u64, block: &Block, refused: &mut Refused) -> Result<(), LoadError> {
        if self.parcel.ends.is_empty() {
            return Ok(());
        }
        let mut records = std::mem::take(&mut self.parcel);
        records.bytes = block.bytes.clone();
        let (applied, receiver) = oneshot::channel();
        self.replay.do_send(Replay { load, records, applied });
        self.sent.push_back(Sent { refused: receiver, places: std::mem::take(&mut self.places) });
        self.wait(PARCELS_MAX, refused)
    }

    /// Waits until no more than `most` parcels are on their way.
    fn wait(&mut self, most: usize, refused: &mut Refused) -> Result<(), LoadError> {
        while self.sent.len() > most {
            let Some(sent) = self.sent.pop_front() else { break };
            let refusals = sent.refused.blocking_recv().map_err(|_| LoadError::Gone)?;
            for (index, refusal) in refusals {
                let place = sent.places.get(index).ok_or(LoadError::Gone)?;
                refused.note(place, refusal)?;
            }
        }
        Ok(())
    }
}

impl Refused {
    fn note(&mut self, place: &Place, refusal: Refusal) -> Result<(), LoadError> {
        let Place { path, offset, is_split } = place.clone();
        if !self.are_skipped {
            return Err(LoadError::Record { path, offset, refusal });
        }
        if is_split && !self.split.insert(place.clone()) {
            return Ok(());
        }
        self.count += 1;
        if self.count <= REFUSED_SHOWN {
            let path = path.display();
            warn!("{path}: the record at offset {offset} is left out: {refusal}");
        }
        Ok(())
    }

    fn tell(&self) {
        if self.count > 0 {
            warn!("{} records are left out (aof-load-skip-refused is yes)", self.count);
        }
    }
}

impl Loader {
    fn new(load: u64, lanes: Vec<Lane>, are_skipped: bool) -> Loader {
        Loader {
            load,
            map: None,
            renames: Renames::default(),
            lanes,
            shards: Vec::new(),
            is_gathered: false,
            is_foreign: false,
            refused: Refused { are_skipped, count: 0, split: BTreeSet::new() },
        }
    }

    fn read(&mut self, files: Vec<Listed>, up_to: Option<u64>) -> Result<Read, LoadError> {
        let mut reader = Reader::new(Box::new(Os), files, up_to);
        while let Some(from) = reader.next_block()? {
            self.hand_out(&from.block, &from.path)?;
        }
        self.settle()?;
        self.refused.tell();
        Ok(reader.end())
    }

    fn hand_out(&mut self, block: &Block, path: &Arc<Path>) -> Result<(), LoadError> {
        for record in &block.records {
            let placing = match &self.map {
                Some(map) if !self.is_gathered => {
                    Placing::of(block.spans(record), &block.bytes, map, &self.renames)
                }
                _ => Placing::At(HOST),
            };
            let is_split = placing == Placing::Split;
            let place = Place { path: path.clone(), offset: record.offset, is_split };
            let to = match placing {
                Placing::At(shard) => shard,
                Placing::Split => {
                    self.lanes.iter_mut().for_each(|lane| lane.push(block, record, place.clone()));
                    continue;
                }
                Placing::Across(shard) => {
                    self.is_foreign |= self.lanes.len() > 1;
                    if shard.is_none() {
                        self.gather(block)?;
                    }
                    shard.unwrap_or(HOST)
                }
            };
            self.lanes[usize::from(to)].push(block, record, place);
        }
        self.send(block)?;
        self.scatter()
    }

    fn send(&mut self, block: &Block) -> Result<(), LoadError> {
        let Loader { lanes, load, refused, .. } = self;
        lanes.iter_mut().try_for_each(|lane| lane.send(*load, block, refused))
    }

    /// Waits until the shards have applied all that they were sent.
    fn settle(&mut self) -> Result<(), LoadError> {
        let Loader { lanes, refused, .. } = self;
        lanes.iter_mut().try_for_each(|lane| lane.wait(0, refused))
    }

    /// Brings all slots to the host, when all records before are applied.
    fn gather(&mut self, block: &Block) -> Result<(), LoadError> {
        self.send(block)?;
        self.settle()?;
        self.is_gathered = true;
        self.each_other(|loader, shard| loader.bring(shard, shard, HOST))
    }

    /// Brings the slots back that are at the host for a block.
    fn scatter(&mut self) -> Result<(), LoadError> {
        if !std::mem::take(&mut self.is_gathered) {
            return Ok(());
        }
        self.settle()?;
        self.each_other(|loader, shard| loader.bring(shard, HOST, shard))
    }

    fn each_other(
        &self,
        each: impl Fn(&Loader, ShardId) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let shards = self.map.as_ref().map_or(0, |map| map.shards());
        (0..shards).filter(|shard| *shard != HOST).try_for_each(|shard| each(self, shard))
    }

    /// Brings the slots of `owner` from one shard to another.
    fn bring(&self, owner: ShardId, from: ShardId, to: ShardId) -> Result<(), LoadError> {
        let slots = self.map.iter().flat_map(|map| map.slots_of(owner)).collect();
        let (lent, receiver) = oneshot::channel();
        self.shards[usize::from(from)].lend.do_send(Lend { slots, lent });
        let slots = receiver.blocking_recv().ok().flatten().ok_or(LoadError::Gone)?;
        let returned = Returned { slots: Lent::Slots(slots), torn: false };
        let letters = Letters(vec![Letter::Return(returned)]);
        self.shards[usize::from(to)].letters.do_send(letters);
        Ok(())
    }
}
