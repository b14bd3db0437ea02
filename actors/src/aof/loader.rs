//! Records of the journal to the shards: all of them at the start, one shard's for a rebuild.
//!
//! A thread of its own reads; each shard applies its part, all side by side, with a bounded number
//! of parcels on their way to each. A record whose keys lie on several shards goes to all of them,
//! and each applies the part that is its own.

use std::ops::ControlFlow;

use actix::Recipient;
use tokio::sync::oneshot;
use tracing::info;
use troupe::aof::record::{Block, Record};
use troupe::commands::command::Run;
use troupe::commands::positions;
use troupe::commands::registry::{self, Found};
use troupe::route::{Map, ShardId};
use troupe::shard::replay::Records;

use crate::aof::disk::Listed;
use crate::aof::load::{self, Read};
use crate::fault;
use crate::message::aof::Rebuild;
use crate::message::shard::{Loaded, Replay};

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

type Applied = oneshot::Receiver<Result<(), (usize, String)>>;

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
    map: Option<std::sync::Arc<Map>>,
    lanes: Vec<Lane>,
}

/// Reads all files to all shards, on the calling thread, which is none of an actor's.
///
/// # Errors
/// See [`LoadError`].
pub fn load_all(
    files: &[Listed],
    map: std::sync::Arc<Map>,
    shards: Vec<Recipient<Replay>>,
) -> Result<Read<()>, LoadError> {
    let lanes = shards.into_iter().map(Lane::new).collect();
    Loader { load: 0, map: Some(map), lanes }.read(files, None)
}

/// Reads the files up to a place in the last one to one shard, on a thread of its own.
pub fn spawn_rebuild(files: Vec<Listed>, up_to: u64, rebuild: Rebuild) {
    let name = format!("rebuild-{}", rebuild.shard);
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        let lanes = vec![Lane::new(rebuild.replay.clone())];
        let mut loader = Loader { load: rebuild.load, map: None, lanes };
        match loader.read(&files, Some(up_to)) {
            Ok(read) => {
                info!(shard = rebuild.shard, "{} records read for the rebuild", read.records);
                rebuild.loaded.do_send(Loaded { load: rebuild.load });
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
        self.replay.do_send(Replay { load, records, applied });
        self.sent.push_back((receiver, std::mem::take(&mut self.offsets)));
        self.wait(PARCELS_MAX, path)
    }

    /// Waits until no more than `most` parcels are on their way.
    fn wait(&mut self, most: usize, path: &str) -> Result<(), LoadError> {
        while self.sent.len() > most {
            let Some((applied, offsets)) = self.sent.pop_front() else { break };
            match applied.blocking_recv() {
                Ok(Ok(())) => {}
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
                Target::Unknown(why) => {
                    let offset = record.offset;
                    return Err(LoadError::Record { path: path.to_owned(), offset, why });
                }
            }
        }
        self.lanes.iter_mut().try_for_each(|lane| lane.send(self.load, block, path))
    }

    fn target(&self, block: &Block, record: &Record) -> Target {
        let Some(map) = &self.map else { return Target::One(0) };
        let spans = block.spans(record);
        let Found::Command(command) = registry::find(&block.bytes, spans) else {
            return Target::Unknown(registry::refusal(&block.bytes, spans).to_string());
        };
        if matches!(command.run, Run::All(_)) {
            return Target::All;
        }
        let keys = positions::keys(command, spans, &block.bytes);
        let mut owners =
            keys.iter().map(|at| map.owner(troupe::base::slot::of(spans[*at].of(&block.bytes))));
        let Some(first) = owners.next() else {
            return Target::Unknown(format!("'{}' changes no data", command.name));
        };
        if owners.all(|owner| owner == first) {
            Target::One(first)
        } else if positions::step_of_rest(command).is_some() {
            Target::All
        } else {
            Target::Unknown(format!(
                "'{}' is over several shards, and was written by another server; start with \
                 `shards 1`, or rewrite the file there first",
                command.name
            ))
        }
    }
}

/// Where a record goes.
enum Target {
    One(ShardId),
    All,
    Unknown(String),
}
