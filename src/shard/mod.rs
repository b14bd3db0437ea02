//! What a shard decides: a letter in, state changed, letters and replies out.
//!
//! Plain code without actors, sockets or clocks: the server and the simulator run the same.
//!
//! # Terms
//!
//! A **batch** is what one client has sent in one read: its requests, its session, and the replies
//! so far. A client has one batch, and the batch travels whole. A **call** is one command of it
//! while it runs. A **slot** holds the keys of one of 16,384 hash values, with their deadlines, in
//! all databases. A **shard** owns some of the slots. Each thread has one shard and some of the
//! clients. Shards send each other **letters**. A command over several shards is an **errand**: it
//! visits them in ascending order and takes slots along as a **loan**. A shard works in **turns**.
//! An **effect** is what a call changed, as a command for the journal.
//!
//! # A turn
//!
//! The connections of a thread that have read requests file their batches in the thread's list. The
//! turn takes the list, with what has come by letter, and ends once for all of it. A batch of many
//! calls, and that of a client that is alone, need no company: their turn begins at once.
//!
//! ```text
//!  client 1   client 2   client 3                                  other shards
//!     | read     | read     | read                                      | letters
//!     v          v          v                                           v
//!  [ batch 1,   batch 2,   batch 3 ]                               [ batch 4 ]
//!     '----------+----------+---------------- the turn ----------------'
//!                |
//!                |  warm: the keys of all batches are fetched into the cache together
//!                |  run:  call after call, batch after batch; replies go into their batch
//!                |  end:
//!                |    1. append   effects ----------------------> the journal's writer
//!                |                pieces of a snapshot --------> its writer
//!                |    2. pushes   what clients did not ask for --> clients of this thread
//!                |    3. letters  batches, loans, moved slots ---> other shards
//!                |    4. moved    slots that have come here -----> the router
//!                v    5. homes    batches that are done ---------> clients of this thread
//!     .----------+----------.
//!     | write    | write    | write
//!     v          v          v
//! ```
//!
//! **The rule of the turn: nothing leaves earlier than what it tells of.** A reply, a push or a
//! slot can show a change to somebody. So the change has its place in the journal before: whatever
//! the other one does next stands behind it there. That makes the order of the journal the order of
//! causes. With `appendfsync always` replies and pushes go to the writer with the append, and leave
//! when it is durable. Letters never wait for the disk. The turn's end is a value, [`turn::Ready`];
//! who runs the shard applies it part by part and decides nothing.
//!
//! # A GET on another thread's shard
//!
//! ```text
//!  client    thread 0, shard 0              thread 1, shard 1
//!    | GET b      |                              |
//!    |----------->| slot of b: shard 1's         |
//!    |            |---- Letter::Visit(batch) --->| warm, run: the reply goes into the batch
//!    |            |<--- Letter::Home(batch) -----| end of its turn
//!    |<-----------|                              |
//!    |   reply    |                              |
//! ```
//!
//! The calls behind it run at shard 1 too, for as long as their slots are there. Then the batch
//! goes on. So the calls of one client run in their order, wherever their keys are.
//!
//! # A DEL over two shards
//!
//! ```text
//!  client    thread 0, shard 0                thread 1, shard 1          journal
//!    | DEL a b    |                                |                        |
//!    |----------->| errand: slot of a here,        |                        |
//!    |            | slot of b at shard 1           |                        |
//!    |            | lends the slot of a            |                        |
//!    |            |- Visit(batch with the loan) -->| puts a's slot beside   |
//!    |            |                                | b's, runs DEL as if    |
//!    |  others that want a's slot wait here        | both were its own      |
//!    |            |                                |---- append: DEL a b -->|
//!    |            |<- Return(slot of a) -----------|                        |
//!    |            |   the waiting go on            |                        |
//!    |            |<- Home(batch) -----------------|                        |
//!    |<-----------|                                |                        |
//! ```
//!
//! All errands go upwards, so none waits for one that waits for it. Batches for other slots go on
//! at both shards meanwhile. A shard never waits: what cannot run yet is put aside (`waiting`).
//! A loan comes home once, whatever panics; after a panic it comes home as torn, and its owner is
//! rebuilt from the journal ([`loan`](crate::lending::loan)).
//!
//! # An EXEC over two shards
//!
//! Between MULTI and EXEC commands are copied into the session, wherever the batch is. EXEC is one
//! errand for the slots of all of them, and of what is watched.
//!
//! ```text
//!  client    thread 0, shard 0                thread 1, shard 1          journal
//!    | WATCH a    | notes the version of a         |                        |
//!    | MULTI      | queued in the session:         |                        |
//!    | SET a 1    |   SET a 1                      |                        |
//!    | INCR b     |   SET a 1, INCR b              |                        |
//!    | EXEC       |                                |                        |
//!    |----------->| lends the slot of a            |                        |
//!    |            |- Visit(batch with the loan) -->| what is due expires;   |
//!    |            |                                | a has its version yet? |
//!    |            |                                | runs SET, then INCR    |
//!    |            |                                |- append: MULTI SET a 1 |
//!    |            |                                |  INCR b EXEC --------->|
//!    |            |<- Return(slot of a) -----------|                        |
//!    |            |<- Home(batch) -----------------|                        |
//!    |<-----------|                                |                        |
//! ```
//!
//! Where a queued command asks for something of the server, its thread does that between two turns,
//! while the batch keeps the slots; what was recorded so far is kept with it, out of the journal.
//! MIGRATE waits for another server in the same way: its answer comes back as a second run.

mod answers;
pub mod arrival;
mod broken;
mod call;
pub mod evict;
mod execute;
mod expire;
mod fetch;
mod gates;
mod lend;
pub mod letter;
pub mod load;
pub mod placement;
mod publish;
pub mod refusal;
pub mod replay;
pub mod script;
mod serve;
mod sinks;
pub mod snapshot;
mod subscribers;
#[cfg(test)]
mod tests;
pub mod tracking;
mod transaction;
pub mod turn;
mod visit;
mod waiting;
mod warm;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use crate::balance::load::Load;
use crate::base::hash::Hasher;
use crate::base::slot::SLOTS;
use crate::batch::Batch;
use crate::commands::error::CommandError;
use crate::commands::scripting::Scripting;
use crate::counted::counters::Counters;
use crate::hook::{Gate, Listener, Part, Phase, Room, Sink};
use crate::keyspace::access::AccessClock;
use crate::keyspace::discarded::Discarded;
use crate::keyspace::effect::Effects;
use crate::keyspace::keys::{Figures, Tools};
use crate::keyspace::listener::Listeners;
use crate::keyspace::notices::Notices;
use crate::keyspace::space::Keyspace;
use crate::keyspace::tracked::Invalidations;
use crate::lending::{Lent, Nowhere, Post, Returned};
use crate::parked::Parked;
use crate::pubsub::{Farewell, Register};
use crate::question::KillKind;
use crate::resp::ProtocolError;
use crate::route::{Map, ShardId};
use crate::script::{Engine as ScriptEngine, Libraries, Limits, LuaEngine};
use crate::settings::{EvictionPolicy, Settings};
use crate::shard::broken::Broken;
use crate::shard::call::Environment;
use crate::shard::evict::{Eviction, Gauge, Unmeasured, Worths};
use crate::shard::execute::Engine;
use crate::shard::fetch::Fetching;
use crate::shard::gates::Gates;
use crate::shard::letter::Letter;
use crate::shard::publish::Watchers;
use crate::shard::replay::Rebuilt;
use crate::shard::script::kill::Runs;
use crate::shard::script::needs::KnownNeeds;
use crate::shard::sinks::Sinks;
use crate::shard::snapshot::Snapshots;
use crate::shard::subscribers::Telling;
use crate::shard::tracking::Tracked;
use crate::shard::turn::{Held, Outbox};
use crate::shard::waiting::Waiting;
use crate::stream::credit::Credit;

/// How long a shard works before it gives its thread back, in nanoseconds.
pub const SLICE_NS: u64 = 1_000_000;

/// A batch goes home when its replies pass this many bytes; the rest of it runs when the socket has
/// drained.
pub const REPLIES_MARK: usize = 1 << 20;

/// A clock of nanoseconds that never goes back, for durations.
pub trait Ticks {
    /// Nanoseconds since some moment.
    fn nanos(&mut self) -> u64;
}

/// What a shard is made of at its start.
pub struct Parts {
    /// Its number.
    pub id: ShardId,
    /// The first map.
    pub map: Arc<Map>,
    /// The first settings.
    pub settings: Arc<Settings>,
    /// Hashes keys; the same in all shards.
    pub hasher: Hasher,
    /// Seed of its random numbers.
    pub seed: u64,
    /// What may refuse a command, in order.
    pub gates: Vec<Box<dyn Gate>>,
    /// What sees every command, in order.
    pub sinks: Vec<Box<dyn Sink>>,
    /// What hears of every change, in order.
    pub listeners: Vec<Box<dyn Listener>>,
    /// The way home for loans whose batch is lost.
    pub post: Arc<dyn Post>,
    /// How many keys clients have cached; the same in all shards.
    pub tracked: Tracked,
    /// Runs its scripts.
    pub scripts: Box<dyn ScriptEngine>,
    /// How much memory is in use.
    pub gauge: Box<dyn Gauge>,
    /// What the keys of each shard are worth; the same in all shards.
    pub worths: Worths,
}

impl Parts {
    /// Those of a shard that is alone: it has all slots and no layers.
    pub fn alone(settings: Arc<Settings>, hasher: Hasher, seed: u64) -> Parts {
        Parts {
            id: 0,
            map: Arc::new(Map::new(1)),
            settings,
            hasher,
            seed,
            gates: Vec::new(),
            sinks: Vec::new(),
            listeners: Vec::new(),
            post: Arc::new(Nowhere),
            tracked: Tracked::default(),
            scripts: Box::new(LuaEngine::new(Limits::default())),
            gauge: Box::new(Unmeasured),
            worths: Worths::new(1),
        }
    }
}

/// One shard.
pub struct Shard {
    id: ShardId,
    env: Environment,
    engine: Engine,
    active_expire: bool,
    waiting: Waiting,
    ready: VecDeque<Box<Batch>>,
    /// Whose scripts stand still until slots have come.
    fetching: Fetching,
    set_aside: VecDeque<Box<Batch>>,
    longest_slice_ns: u64,
    /// What its calls take, by slot.
    load: Load,
    turns: u64,
    rebuilt: Rebuilt,
    leaving: Vec<(u16, ShardId)>,
    /// Commands over everything for which no slot leaves. Letters of two shards may come in any
    /// order, so it may be below zero for a moment.
    moves_held: i32,
    /// Slots of the shard that a script keeps for long.
    held_long: BTreeMap<u16, KillKind>,
    broken: Broken,
    post: Arc<dyn Post>,
    /// Shards that were rebuilt since the start, as far as it knows.
    ever_rebuilt: BTreeSet<ShardId>,
    /// Where slots went that have left since the first rebuild.
    moved_on: BTreeMap<u16, ShardId>,
    /// Waits that begin again when slots are back, by client.
    wait_later: BTreeMap<u64, Weak<Parked>>,
    /// Who watches what it does.
    watchers: Watchers,
    /// Its account with who reads the stream, since it is recorded.
    credit: Option<Credit>,
    /// Effects are recorded for a journal, and for replicas.
    is_journaled: bool,
    is_replicated: bool,
    /// Replicas that keep up.
    good_replicas: u32,
    /// The stream of the primary comes, where there is one.
    is_linked: bool,
    snapshots: Snapshots,
    tracked: Tracked,
    /// How many of them are here, as it was said last.
    own_tracked: usize,
    telling: Telling,
    eviction: Eviction,
    /// What leaves at the end of the turn.
    pub(crate) outbox: Outbox,
}

impl Shard {
    /// A shard that owns what the map says, empty, and is about to load.
    pub fn new(parts: Parts) -> Shard {
        let mut space = Keyspace::new(parts.hasher.clone());
        parts.map.slots_of(parts.id).for_each(|slot| space.put(slot, Box::default()));
        let tools = Tools {
            effects: Effects::default(),
            random: fastrand::Rng::with_seed(parts.seed),
            clock: access_clock(&parts.settings),
            figures: Figures::default(),
            discarded: Discarded::default(),
            listeners: Listeners::new(parts.listeners),
            notices: Notices::default(),
            invalidations: Invalidations::default(),
            awaited: VecDeque::new(),
            saving: None,
            undo: None,
            takes_any_checksum: false,
        };
        let farewell: Arc<dyn Farewell> = parts.post.clone();
        let register = Register::new(parts.id, parts.map.shards(), &parts.hasher, farewell);
        let engine = Engine {
            space,
            tools,
            gates: Gates::new(parts.gates),
            counters: Counters::default(),
            sinks: Sinks::new(parts.sinks),
            register,
            changed: BTreeMap::new(),
            pushes: Vec::new(),
            served: Vec::new(),
            waits: 0,
            phase: Phase::Loading,
            journal_failed: None,
            snapshot_failed: false,
            has_credit: true,
            pause: None,
            room: Room::Enough,
            lacks_replicas: false,
            part: Part::Primary,
            panics: 0,
            last_panic: String::new(),
            has_journal: false,
            scripting: Scripting::new(parts.scripts),
            libraries_changed: false,
            runs: Runs::default(),
            known_needs: KnownNeeds::default(),
            allows_all_in_scripts: false,
            uncounted: Vec::new(),
        };
        let load = Load::new(parts.map.shards());
        let eviction = Eviction::new(&parts.settings, parts.gauge, parts.worths);
        let mut shard = Shard {
            id: parts.id,
            env: Environment { map: parts.map, settings: parts.settings, hasher: parts.hasher },
            engine,
            active_expire: true,
            waiting: Waiting::default(),
            ready: VecDeque::new(),
            fetching: Fetching::default(),
            set_aside: VecDeque::new(),
            longest_slice_ns: 0,
            load,
            turns: 0,
            rebuilt: Rebuilt::default(),
            leaving: Vec::new(),
            moves_held: 0,
            held_long: BTreeMap::new(),
            broken: Broken::default(),
            post: parts.post,
            ever_rebuilt: BTreeSet::new(),
            moved_on: BTreeMap::new(),
            wait_later: BTreeMap::new(),
            watchers: Watchers::default(),
            credit: None,
            is_journaled: false,
            is_replicated: false,
            good_replicas: 0,
            is_linked: false,
            snapshots: Snapshots::default(),
            tracked: parts.tracked,
            own_tracked: 0,
            telling: Telling::default(),
            eviction,
            outbox: Outbox::default(),
        };
        shard.look_for_replicas();
        shard.publish();
        shard
    }

    /// Its number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// What it can do now.
    pub fn phase(&self) -> Phase {
        self.engine.phase
    }

    /// Its effects of this turn.
    pub fn effects(&mut self) -> &mut Effects {
        &mut self.engine.tools.effects
    }

    /// The settings in force.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.env.settings
    }

    /// How many turns have begun.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// The map that it goes by.
    pub fn map(&self) -> &Arc<Map> {
        &self.env.map
    }

    /// The keys that are here.
    pub fn keyspace(&self) -> &Keyspace {
        &self.engine.space
    }

    /// The libraries of functions.
    pub fn libraries(&self) -> &Libraries {
        &self.engine.scripting.libraries
    }

    /// How keys are hashed.
    pub fn hasher(&self) -> &Hasher {
        &self.env.hasher
    }

    /// The shard held its thread for this long, in nanoseconds of the thread's CPU time.
    pub fn note_slice(&mut self, nanos: u64) {
        self.longest_slice_ns = self.longest_slice_ns.max(nanos);
    }

    /// Panics of commands so far.
    pub fn panics(&self) -> u64 {
        self.engine.panics
    }

    /// What is here can be trusted: serve. Where it was rebuilt, those that waited here wait again.
    pub fn serve(&mut self) {
        if self.engine.phase == Phase::Rebuilding {
            self.was_rebuilt(self.id);
            for shard in (0..self.env.map.shards()).filter(|shard| *shard != self.id) {
                self.outbox.letters.push((shard, Letter::Rebuilt(self.id)));
            }
            self.flush_cached();
        }
        // Without a journal it goes on with what it has, and what that is nobody knows.
        self.fail_snapshot();
        self.engine.phase = Phase::Serving;
        self.forget_leftovers();
        self.move_out();
        self.serve_waiting();
    }

    /// Whether keys are taken out when they expire, or only when they are looked at.
    pub fn set_active_expire(&mut self, on: bool) {
        self.active_expire = on;
    }

    /// Whether scripts may call what is not for them.
    pub fn allow_all_in_scripts(&mut self, on: bool) {
        self.engine.allows_all_in_scripts = on;
    }

    /// Whether RESTORE takes payloads with a wrong checksum.
    pub fn take_any_checksum(&mut self, on: bool) {
        self.engine.tools.takes_any_checksum = on;
    }

    /// The connection performed the action of the batch's next call; its reply begins at `mark`.
    pub fn performed(
        &mut self,
        batch: &mut Batch,
        mark: usize,
        nanos: u64,
        result: Result<(), CommandError>,
    ) {
        self.engine.performed(&self.env, batch, mark, nanos, result);
    }

    /// What the client sent is no request: it gets the error, unless it wants no replies.
    pub fn refuse(&mut self, batch: &mut Batch, error: ProtocolError) {
        self.engine.refuse(batch, error);
    }

    /// Takes a letter. Batches are filed; everything else is acted on at once.
    pub fn receive(&mut self, letter: Letter) {
        match letter {
            Letter::Visit(batch) => self.ready.push_back(batch),
            Letter::Home(batch) => self.outbox.arrived.push(Held::Batch(batch)),
            Letter::Push(push) => self.outbox.arrived.push(Held::Push(push)),
            Letter::Served(served) => self.outbox.arrived.push(Held::Served(served)),
            Letter::Subscribers(news, wait) => self.hear_of_subscribers(&news, wait),
            Letter::Pushed(wait) => self.has_heard(Some(wait)),
            Letter::Heard(number) => self.was_heard(number),
            Letter::Rebuilt(shard) => self.was_rebuilt(shard),
            Letter::WaitAgain(parked) => self.wait_again(&parked),
            Letter::Fetch(fetch) => self.answer_fetch(fetch),
            Letter::Fetched(fetched) => self.has_fetched(fetched),
            Letter::Return(returned) => self.take_back(returned),
            Letter::Routes(map) => {
                if map.epoch() > self.env.map.epoch() {
                    self.env.map = map;
                    self.leaving.retain(|(slot, _)| self.env.map.owner(*slot) == self.id);
                    self.ready.extend(self.waiting.drain());
                }
            }
            Letter::MoveOut { slot, to } => {
                self.leaving.retain(|(leaving, _)| *leaving != slot);
                if to != self.id {
                    self.leaving.push((slot, to));
                }
                self.move_out();
            }
            Letter::HoldMoves(change) => {
                self.moves_held += change;
                self.move_out();
            }
            Letter::HeldLong(slots, kind) => {
                let away = slots.iter().filter(|slot| !self.engine.space.has(**slot));
                self.held_long.extend(away.map(|slot| (*slot, kind)));
                self.ready.extend(self.waiting.drain());
            }
            Letter::Lasts(change) => {
                self.ready.extend(self.waiting.loans_last(change));
                self.serve_waiting();
            }
            Letter::MoveIn(slot, tables) => {
                self.rebuilt.spare(slot);
                self.engine.space.put(slot, tables);
                self.moved_on.remove(&slot);
                self.wait_now();
                self.look_for_unsaved(slot);
                self.outbox.moved.push(slot);
                self.serve_waiting();
            }
            Letter::Snapshot(moment) => self.begin_snapshot(moment),
            Letter::SnapshotWritten { number, bytes } => self.snapshot_written(number, bytes),
            Letter::SnapshotOver(number) => self.end_snapshot(number),
            Letter::SnapshotFailed(has_failed) => self.engine.snapshot_failed = has_failed,
            Letter::Evict(from) => self.is_asked_to_evict(from),
            Letter::Evicted(has_room) => self.others_have_evicted(has_room),
            Letter::Settings(settings) => {
                self.engine.tools.clock = access_clock(&settings);
                self.eviction.adapt(&settings);
                self.env.settings = settings;
                self.look_for_replicas();
                self.publish();
            }
            Letter::GoodReplicas(count) => self.count_replicas(count),
            Letter::HeldUp(is_held) => self.hold_up(is_held),
            Letter::Linked(is_linked) => {
                self.is_linked = is_linked;
                self.look_for_replicas();
            }
            Letter::Needs(needs) => self.learn_needs(needs),
            Letter::Scripts(change) => self.engine.scripting.change(change),
            Letter::Libraries(libraries) => {
                self.engine.scripting.libraries = Arc::unwrap_or_clone(libraries);
            }
            Letter::Monitors(monitors) => self.publish_to(|watchers| watchers.monitors = monitors),
            Letter::HotKeys(session) => self.publish_to(|watchers| watchers.hotkeys = session),
            Letter::Pause(pause) => {
                self.engine.pause = pause;
                self.ready.append(&mut self.set_aside);
            }
            Letter::Journal(failed) => {
                // News of a journal that has ended may come late.
                self.engine.journal_failed = failed.filter(|_| self.engine.has_journal);
                self.ready.append(&mut self.set_aside);
            }
        }
    }

    /// True when a turn left something to do.
    pub fn has_leftovers(&self) -> bool {
        !self.ready.is_empty()
            || !self.engine.tools.discarded.is_empty()
            || !self.engine.tools.awaited.is_empty()
            || self.engine.phase == Phase::Suspect
            || self.tracks_too_many()
            || self.eviction.goes_on()
    }

    /// What holds the shard may be half changed: nothing here is trusted any more.
    pub fn distrust(&mut self) {
        self.engine.phase = Phase::Suspect;
    }

    /// What the last panic of a command said.
    pub fn last_panic(&self) -> &str {
        &self.engine.last_panic
    }

    /// Spoils keys of the shard, as a bug may, and panics.
    ///
    /// # Panics
    /// Always.
    pub fn spoil_and_panic(&mut self) -> ! {
        self.engine.spoil_and_panic()
    }

    /// Whether there is a journal to rebuild from.
    pub fn rebuilds(&mut self, from_journal: bool) {
        self.engine.has_journal = from_journal;
    }

    fn take_back(&mut self, returned: Returned) {
        let first = match returned.slots {
            Lent::Slots(slots) => {
                let first = slots.iter().map(|(number, _)| *number).min();
                for (number, slot) in slots {
                    self.rebuilt.spare(number);
                    self.held_long.remove(&number);
                    self.engine.space.put(number, slot);
                }
                first
            }
            Lent::Whole(whole) => {
                for number in whole.numbers() {
                    self.rebuilt.spare(number);
                    self.held_long.remove(&number);
                }
                self.engine.space.put_back(whole);
                Some(0)
            }
        };
        if returned.torn {
            self.engine.phase = Phase::Suspect;
        }
        self.wait_now();
        self.look_for_unsaved(first.unwrap_or(SLOTS));
        self.move_out();
        self.serve_waiting();
    }

    /// Sends away the slots that are here and have to leave. None leaves while the shard is not
    /// trusted, nor while somebody is still to be served here: what tells of that stays behind.
    fn move_out(&mut self) {
        let is_held = self.moves_held > 0 || !self.engine.tools.awaited.is_empty();
        if self.leaving.is_empty() || is_held || self.engine.phase != Phase::Serving {
            return;
        }
        let Shard { leaving, engine, outbox, ever_rebuilt, moved_on, snapshots, .. } = self;
        let moment = snapshots.last.filter(|_| engine.tools.saving.is_some());
        leaving.retain(|(slot, to)| match engine.space.take(*slot) {
            Some(tables) => {
                if !ever_rebuilt.is_empty() {
                    moved_on.insert(*slot, *to);
                }
                // Its new owner has to know of the snapshot before anything happens to the slot.
                outbox.letters.extend(moment.map(|moment| (*to, Letter::Snapshot(moment))));
                outbox.letters.push((*to, Letter::MoveIn(*slot, tables)));
                false
            }
            None => true,
        });
    }

    /// Moves what can run now from the waiting to the ready.
    fn serve_waiting(&mut self) {
        let Shard { waiting, engine, env, id, .. } = self;
        while let Some(batch) = waiting.pop(|need| lend::is_met(need, &engine.space, &env.map, *id))
        {
            self.ready.push_back(batch);
        }
    }
}

fn access_clock(settings: &Settings) -> AccessClock {
    match settings.maxmemory_policy {
        EvictionPolicy::VolatileLfu | EvictionPolicy::AllkeysLfu => AccessClock::Frequency {
            factor: settings.lfu_log_factor,
            decay_minutes: settings.lfu_decay_time,
        },
        EvictionPolicy::VolatileLrm | EvictionPolicy::AllkeysLrm => AccessClock::Modification,
        _ => AccessClock::Recency,
    }
}
