//! Records of the journal to the shards: all of them at the start, one shard's for a rebuild.
//!
//! A thread of its own reads; each shard applies its part, all side by side, with a bounded number
//! of parcels on their way to each. A record whose keys lie on several shards goes to all of them,
//! and each applies the part that is its own.
//!
//! A record of another server may read one shard's slot and write another's (RENAME). It takes its
//! place in the order of all shards: when they have applied what comes before, the slots are
//! brought to one of them, the record is applied there, and the slots go back.

use std::ops::ControlFlow;
use std::sync::Arc;

use actix::Recipient;
use tokio::sync::oneshot;
use tracing::info;
use troupe::aof::record::{Block, Record};
use troupe::commands::command::Run;
use troupe::commands::error::CommandError;
use troupe::commands::positions;
use troupe::commands::registry::{self, Found};
use troupe::route::{Map, ShardId};
use troupe::settings::Renames;
use troupe::shard::letter::{Lent, Letter, Returned, Slots};
use troupe::shard::replay::Records;

use crate::aof::disk::Listed;
use crate::aof::load::{self, Read};
use crate::fault;
use crate::message::aof::Rebuild;
use crate::message::shard::{self, Lend, Letters, Replay};

/// Parcels on their way to one shard.
const PARCELS_MAX: usize = 4;

/// Why a load ended early.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The files cannot be read, or are damaged.
    #[error(transparent)]
    Files(#[from] crate::aof::error::AofError),
    /// A record was refused by the command that it calls.
    #[error(
        "{path}: the record at offset {offset} cannot be applied: {why}. If it is from a newer \
         server, load it there and rewrite the file"
    )]
    Record {
        /// The file.
        path: String,
        /// Where the record begins.
        offset: u64,
        /// What was wrong.
        why: String,
    },
    /// A shard went away.
    #[error("a shard ended while it was loading")]
    Gone,
}

type Applied = oneshot::Receiver<Result<Slots, (usize, String)>>;

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
    pub read: Read<()>,
    /// There are records over several slots, which no rebuild of one shard could apply: the journal
    /// has to be written anew.
    pub is_foreign: bool,
}

/// One shard's end of a load.
struct Lane {
    replay: Recipient<Replay>,
    parcel: Records,
    offsets: Vec<u64>,
    sent: std::collections::VecDeque<(Applied, Vec<u64>)>,
}

/// Reads files to shards.
struct Loader {
    load: u64,
    map: Option<Arc<Map>>,
    renames: Renames,
    lanes: Vec<Lane>,
    shards: Vec<Loading>,
    is_foreign: bool,
}

/// Reads all files to all shards, on the calling thread, which is none of an actor's.
///
/// # Errors
/// See [`LoadError`].
pub fn load_all(
    files: &[Listed],
    map: Arc<Map>,
    renames: Renames,
    shards: Vec<Loading>,
) -> Result<Loaded, LoadError> {
    let lanes = shards.iter().map(|shard| Lane::new(shard.replay.clone())).collect();
    let mut loader = Loader { load: 0, map: Some(map), renames, lanes, shards, is_foreign: false };
    let read = loader.read(files, None)?;
    Ok(Loaded { read, is_foreign: loader.is_foreign })
}

/// Reads the files up to a place in the last one to one shard, on a thread of its own.
pub fn spawn_rebuild(files: Vec<Listed>, up_to: u64, rebuild: Rebuild) {
    let name = format!("rebuild-{}", rebuild.shard);
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        let lanes = vec![Lane::new(rebuild.replay.clone())];
        let (load, shards) = (rebuild.load, Vec::new());
        let mut loader = Loader {
            load,
            map: None,
            renames: Renames::default(),
            lanes,
            shards,
            is_foreign: false,
        };
        match loader.read(&files, Some(up_to)) {
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
        Lane { replay, parcel: Records::default(), offsets: Vec::new(), sent: Default::default() }
    }

    fn push(&mut self, block: &Block, record: &Record) {
        self.parcel.spans.extend_from_slice(block.spans(record));
        self.parcel.ends.push((record.db, self.parcel.spans.len() as u32));
        self.offsets.push(record.offset);
    }

    fn send(&mut self, load: u64, block: &Block, path: &str) -> Result<(), LoadError> {
        if self.parcel.ends.is_empty() {
            return Ok(());
        }
        let mut records = std::mem::take(&mut self.parcel);
        records.bytes = block.bytes.clone();
        let (applied, receiver) = oneshot::channel();
        self.replay.do_send(Replay { load, records, visitors: Vec::new(), applied });
        self.sent.push_back((receiver, std::mem::take(&mut self.offsets)));
        self.wait(PARCELS_MAX, path)
    }

    /// Waits until no more than `most` parcels are on their way.
    fn wait(&mut self, most: usize, path: &str) -> Result<(), LoadError> {
        while self.sent.len() > most {
            let Some((applied, offsets)) = self.sent.pop_front() else { break };
            match applied.blocking_recv() {
                Ok(Ok(_)) => {}
                Ok(Err((index, why))) => {
                    let offset = offsets.get(index).copied().unwrap_or_default();
                    return Err(LoadError::Record { path: path.to_owned(), offset, why });
                }
                Err(_) => return Err(LoadError::Gone),
            }
        }
        Ok(())
    }
}

impl Loader {
    fn read(&mut self, files: &[Listed], up_to: Option<u64>) -> Result<Read<()>, LoadError> {
        let mut failed = None;
        let read = load::read(files, up_to, &mut |from| {
            let path = from.file.path.display().to_string();
            match self.hand_out(&from.block, &path) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let path = files.last().map(|file| file.path.display().to_string()).unwrap_or_default();
        self.lanes.iter_mut().try_for_each(|lane| lane.wait(0, &path))?;
        Ok(read)
    }

    fn hand_out(&mut self, block: &Block, path: &str) -> Result<(), LoadError> {
        for record in &block.records {
            match self.target(block, record) {
                Target::One(shard) => self.lanes[usize::from(shard)].push(block, record),
                Target::All => self.lanes.iter_mut().for_each(|lane| lane.push(block, record)),
                Target::Together(slots) => self.apply_together(block, record, &slots, path)?,
                Target::Unknown(why) => {
                    let offset = record.offset;
                    return Err(LoadError::Record { path: path.to_owned(), offset, why });
                }
            }
        }
        self.lanes.iter_mut().try_for_each(|lane| lane.send(self.load, block, path))
    }

    /// Applies a record at the shard of its first slot, with the slots of the others.
    fn apply_together(
        &mut self,
        block: &Block,
        record: &Record,
        slots: &[(ShardId, u16)],
        path: &str,
    ) -> Result<(), LoadError> {
        for lane in &mut self.lanes {
            lane.send(self.load, block, path)?;
            lane.wait(0, path)?;
        }
        let Some((host, _)) = slots.first().copied() else { return Ok(()) };
        let mut visitors = Slots::new();
        for (shard, slot) in slots.iter().filter(|(shard, _)| *shard != host) {
            let (lent, receiver) = oneshot::channel();
            self.shards[usize::from(*shard)].lend.do_send(Lend { slot: *slot, lent });
            let Ok(Some(tables)) = receiver.blocking_recv() else { return Err(LoadError::Gone) };
            visitors.push((*slot, tables));
        }
        let mut records = Records { bytes: block.bytes.clone(), ..Records::default() };
        records.spans.extend_from_slice(block.spans(record));
        records.ends.push((record.db, records.spans.len() as u32));
        let (applied, receiver) = oneshot::channel();
        let replay = Replay { load: self.load, records, visitors, applied };
        self.shards[usize::from(host)].replay.do_send(replay);
        let visitors = receiver.blocking_recv().map_err(|_| LoadError::Gone)?;
        let visitors = visitors.map_err(|(_, why)| {
            let (path, offset) = (path.to_owned(), record.offset);
            LoadError::Record { path, offset, why }
        })?;
        for (slot, tables) in visitors {
            let owner = slots.iter().find(|(_, number)| *number == slot);
            let (owner, _) = owner.ok_or(LoadError::Gone)?;
            let returned = Returned { slots: Lent::Slots(vec![(slot, tables)]), torn: false };
            let letters = Letters(vec![Letter::Return(returned)]);
            self.shards[usize::from(*owner)].letters.do_send(letters);
        }
        Ok(())
    }

    fn target(&mut self, block: &Block, record: &Record) -> Target {
        let Some(map) = self.map.clone() else { return Target::One(0) };
        let spans = block.spans(record);
        let Found::Command(command) = registry::find_journaled(&block.bytes, spans, &self.renames)
        else {
            return Target::Unknown(match registry::refusal(&block.bytes, spans, &self.renames) {
                CommandError::UnknownCommand { name, .. } => {
                    format!("Unknown command '{name}' reading the append only file")
                }
                error => error.to_string(),
            });
        };
        if matches!(command.run, Run::All(_)) {
            return Target::All;
        }
        let mut slots = Vec::new();
        positions::slots(command, spans, &block.bytes, &mut slots);
        let splits = positions::step_of_rest(command).is_some();
        let owned: Vec<_> = slots.iter().map(|slot| (map.owner(*slot), *slot)).collect();
        match owned[..] {
            [] => Target::Unknown(format!("'{}' changes no data", command.name)),
            [(shard, _)] => Target::One(shard),
            [(first, _), ..] => {
                self.is_foreign |= !splits && map.shards() > 1;
                match owned.iter().all(|(shard, _)| *shard == first) {
                    true => Target::One(first),
                    false if splits => Target::All,
                    false => Target::Together(owned),
                }
            }
        }
    }
}

/// Where a record goes.
enum Target {
    One(ShardId),
    All,
    /// At one shard, with these slots of these shards.
    Together(Vec<(ShardId, u16)>),
    Unknown(String),
}
