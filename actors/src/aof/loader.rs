//! Records of a journal and keys of RDB files to the shards: to all of them at the start, to one
//! for its rebuild.
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
use troupe::shard::load::{Applied, Parcel};

use crate::fault;
use crate::filesystem::Os;
use crate::message::aof::Rebuild;
use crate::message::shard::{self, Lend, Load};
use crate::pace::Pace;
use crate::post::Post;
use crate::shared::Shared;

/// How a shard is reached that loads.
pub struct LoadingShard {
    /// What is its own.
    pub load: Recipient<Load>,
    /// Slots that it has to give.
    pub lend: Recipient<Lend>,
}

/// A load at the start.
pub struct Start {
    /// Which shard has which slots.
    pub map: Arc<Map>,
    /// The names of commands in the journal.
    pub renames: Renames,
    /// All of them, in order.
    pub shards: Vec<LoadingShard>,
    /// Letters to them.
    pub post: Arc<Post>,
    /// Where it is told how far the load is.
    pub shared: Arc<Shared>,
    /// Records that are refused are left out.
    pub skips_refused: bool,
    /// How fast it is read.
    pub pace: Pace,
}

/// What was read at the start.
pub struct Loaded {
    /// In figures, and what is for no shard.
    pub read: Read,
    /// Keys of RDB files that had no elements, and were left out.
    pub empty_keys: u64,
    /// There are records over several slots, which no rebuild of one shard could apply: the journal
    /// has to be written anew.
    pub is_foreign: bool,
}

/// Where the parcels of a shard go, and where its answers come from, oldest first.
struct Lane {
    load: Recipient<Load>,
    answers: VecDeque<oneshot::Receiver<Applied>>,
}

/// Carries out a load, blocking its thread.
struct Driver {
    /// The number of the load.
    load: u64,
    lanes: BTreeMap<ShardId, Lane>,
    /// What there is where all load.
    all: Option<All>,
}

/// All shards: how slots are brought from one to another, who hears how far the load is, and how
/// fast it goes on.
struct All {
    /// By shard.
    shards: Vec<LoadingShard>,
    post: Arc<Post>,
    shared: Arc<Shared>,
    pace: Pace,
}

impl Start {
    /// Reads all files to all shards, on the calling thread, which is none of an actor's.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_all(self, reader: Reader) -> Result<Loaded, LoadError> {
        let Start { map, renames, shards, post, shared, skips_refused, pace } = self;
        let lanes = (0..).zip(&shards).map(|(shard, loading)| (shard, Lane::new(&loading.load)));
        let lanes = lanes.collect();
        let mut driver = Driver { load: 0, lanes, all: Some(All { shards, post, shared, pace }) };
        let mut loader = Loader::of_all(map, renames, skips_refused);
        let mut read = driver.run(&mut loader, reader)?;
        // Without what was left out it is another data set.
        read.place = read.place.filter(|_| loader.left_out() == 0);
        Ok(Loaded { read, empty_keys: loader.empty_keys(), is_foreign: loader.is_foreign() })
    }
}

/// Reads the files up to a place in the last one to one shard, on a thread of its own.
pub fn spawn_rebuild(files: Vec<Listed>, up_to: u64, rebuild: Rebuild) {
    let name = format!("rebuild-{}", rebuild.shard);
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        let Rebuild { load, shard, skips_refused, rules, parcels, loaded } = rebuild;
        let lanes = BTreeMap::from([(shard, Lane::new(&parcels))]);
        let mut driver = Driver { load, lanes, all: None };
        let mut loader = Loader::of_one(shard, skips_refused);
        let reader = Reader::new(Box::new(Os), files, Some(up_to), rules);
        match driver.run(&mut loader, reader) {
            Ok(Read { keys, records, .. }) => {
                info!(shard, "{keys} keys and {records} records read for the rebuild");
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
    fn new(load: &Recipient<Load>) -> Lane {
        Lane { load: load.clone(), answers: VecDeque::new() }
    }
}

impl Driver {
    fn run(&mut self, loader: &mut Loader, mut reader: Reader) -> Result<Read, LoadError> {
        loop {
            match loader.next_step() {
                Step::Read => {
                    match reader.next_for_shards()? {
                        Some(block) => loader.take(block),
                        None => loader.end(),
                    }
                    if let Some(all) = &mut self.all {
                        all.shared.loading.reached(reader.position());
                        all.pace.keep(&reader);
                    }
                }
                Step::Apply { shard, parcel } => self.apply(shard, parcel)?,
                Step::Wait(shard) => {
                    let left_out = loader.applied(shard, self.answer(shard))?;
                    left_out.iter().for_each(|what| warn!("{what}"));
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

    fn apply(&mut self, shard: ShardId, parcel: Parcel) -> Result<(), LoadError> {
        let lane = self.lanes.get_mut(&shard).ok_or(LoadError::Gone)?;
        let (applied, answer) = oneshot::channel();
        lane.load.do_send(Load { load: self.load, parcel, applied });
        lane.answers.push_back(answer);
        Ok(())
    }

    /// Waits for a shard's oldest answer; none when the shard has ended.
    fn answer(&mut self, shard: ShardId) -> Option<Applied> {
        self.lanes.get_mut(&shard)?.answers.pop_front()?.blocking_recv().ok()
    }

    /// The slots are mail to `to` from now on, ahead of whatever else is sent to it.
    fn bring(&self, slots: Vec<u16>, from: ShardId, to: ShardId) -> Result<(), LoadError> {
        let All { shards, post, .. } = self.all.as_ref().ok_or(LoadError::Gone)?;
        let (lent, receiver) = oneshot::channel();
        let lender = shards.get(usize::from(from)).ok_or(LoadError::Gone)?;
        lender.lend.do_send(Lend { slots, lent });
        let slots = receiver.blocking_recv().ok().flatten().ok_or(LoadError::Gone)?;
        let returned = Returned { slots: Lent::Slots(slots), torn: false };
        post.send([(to, Letter::Return(returned))]);
        Ok(())
    }
}
