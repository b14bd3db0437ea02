//! Records of the journal to the shards: all of them at the start, one shard's for a rebuild.
//!
//! A thread of its own reads and carries out what `troupe::aof::loader` decides; each shard applies
//! its part, all side by side.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use actix::Recipient;
use tokio::sync::oneshot;
use tracing::{info, warn};
use troupe::aof::directory::Listed;
use troupe::aof::load::{Read, Reader};
use troupe::aof::loader::{LoadError, Loader, Step};
use troupe::lending::{Lent, Returned};
use troupe::route::{Map, ShardId};
use troupe::settings::Renames;
use troupe::shard::letter::Letter;
use troupe::shard::refusal::Refusal;
use troupe::shard::replay::Records;

use crate::fault;
use crate::filesystem::Os;
use crate::message::aof::Rebuild;
use crate::message::shard::{self, Lend, Replay};
use crate::post::Post;

/// How a shard is reached that loads.
pub struct LoadingShard {
    /// Records.
    pub replay: Recipient<Replay>,
    /// Slots that it has to give.
    pub lend: Recipient<Lend>,
}

/// What was read at the start.
pub struct Loaded {
    /// In figures.
    pub read: Read,
    /// There are records over several slots, which no rebuild of one shard could apply: the journal
    /// has to be written anew.
    pub is_foreign: bool,
}

/// Where the records of a shard go, and where its answers come from, oldest first.
struct Lane {
    replay: Recipient<Replay>,
    answers: VecDeque<oneshot::Receiver<Vec<(usize, Refusal)>>>,
}

/// Carries out a load, blocking its thread.
struct Driver {
    /// The number of the load.
    load: u64,
    lanes: BTreeMap<ShardId, Lane>,
    /// The others, where all load and slots are brought from one to another.
    others: Option<Others>,
}

/// How slots are brought from one shard to another.
struct Others {
    /// By shard.
    shards: Vec<LoadingShard>,
    post: Arc<Post>,
}

/// Reads all files to all shards, on the calling thread, which is none of an actor's.
///
/// # Errors
/// See [`LoadError`].
pub fn load_all(
    files: Vec<Listed>,
    map: Arc<Map>,
    renames: Renames,
    shards: Vec<LoadingShard>,
    post: Arc<Post>,
    skips_refused: bool,
) -> Result<Loaded, LoadError> {
    let lanes = (0..).zip(&shards).map(|(shard, loading)| (shard, Lane::new(&loading.replay)));
    let lanes = lanes.collect();
    let mut driver = Driver { load: 0, lanes, others: Some(Others { shards, post }) };
    let mut loader = Loader::of_all(map, renames, skips_refused);
    let read = driver.run(&mut loader, Reader::new(Box::new(Os), files, None))?;
    Ok(Loaded { read, is_foreign: loader.is_foreign() })
}

/// Reads the files up to a place in the last one to one shard, on a thread of its own.
pub fn spawn_rebuild(files: Vec<Listed>, up_to: u64, rebuild: Rebuild) {
    let name = format!("rebuild-{}", rebuild.shard);
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        let Rebuild { load, shard, skips_refused, replay, loaded } = rebuild;
        let lanes = BTreeMap::from([(shard, Lane::new(&replay))]);
        let mut driver = Driver { load, lanes, others: None };
        let mut loader = Loader::of_one(shard, skips_refused);
        match driver.run(&mut loader, Reader::new(Box::new(Os), files, Some(up_to))) {
            Ok(read) => {
                info!(shard, "{} records read for the rebuild", read.records);
                loaded.do_send(shard::Loaded { load });
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
    fn new(replay: &Recipient<Replay>) -> Lane {
        Lane { replay: replay.clone(), answers: VecDeque::new() }
    }
}

impl Driver {
    fn run(&mut self, loader: &mut Loader, mut reader: Reader) -> Result<Read, LoadError> {
        loop {
            match loader.next_step() {
                Step::Read => match reader.next_block()? {
                    Some(block) => loader.take(block),
                    None => loader.end(),
                },
                Step::Apply { shard, records } => self.apply(shard, records)?,
                Step::Wait(shard) => {
                    let left_out = loader.applied(shard, self.answer(shard))?;
                    left_out.iter().for_each(|record| warn!("{record}"));
                }
                Step::Bring { slots, from, to } => self.bring(slots, from, to)?,
                Step::Done => break,
            }
        }
        if loader.left_out() > 0 {
            warn!("{} records are left out (aof-load-skip-refused is yes)", loader.left_out());
        }
        Ok(reader.end())
    }

    fn apply(&mut self, shard: ShardId, records: Records) -> Result<(), LoadError> {
        let lane = self.lanes.get_mut(&shard).ok_or(LoadError::Gone)?;
        let (applied, answer) = oneshot::channel();
        lane.replay.do_send(Replay { load: self.load, records, applied });
        lane.answers.push_back(answer);
        Ok(())
    }

    /// Waits for a shard's oldest answer; none when the shard has ended.
    fn answer(&mut self, shard: ShardId) -> Option<Vec<(usize, Refusal)>> {
        self.lanes.get_mut(&shard)?.answers.pop_front()?.blocking_recv().ok()
    }

    /// The slots are mail to `to` from now on, ahead of whatever else is sent to it.
    fn bring(&self, slots: Vec<u16>, from: ShardId, to: ShardId) -> Result<(), LoadError> {
        let Others { shards, post } = self.others.as_ref().ok_or(LoadError::Gone)?;
        let (lent, receiver) = oneshot::channel();
        let lender = shards.get(usize::from(from)).ok_or(LoadError::Gone)?;
        lender.lend.do_send(Lend { slots, lent });
        let slots = receiver.blocking_recv().ok().flatten().ok_or(LoadError::Gone)?;
        let returned = Returned { slots: Lent::Slots(slots), torn: false };
        post.send([(to, Letter::Return(returned))]);
        Ok(())
    }
}
