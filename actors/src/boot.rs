//! The only file that knows more than one kind of actor: builds them, wires them, ends them.
//!
//! Start: shards, then the data set is read to them, then the AOF writer, then the doors open.
//! Stop: the doors close, clients are let go, the journal is written and synced, and the system
//! ends.

mod journal;
mod load;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, RwLock};

use actix::{Actor, Addr, Arbiter, Recipient, Supervisor};
use anyhow::{Context as _, anyhow, bail};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};
use troupe::aof::figures::JournalFigures;
use troupe::base::hash::Hasher;
use troupe::hooks::slowlog::LogIds;
use troupe::route::{Map, ShardId};
use troupe::script::{Limits, LuaEngine};
use troupe::settings::Settings;
use troupe::shard::evict::Worths;
use troupe::shard::tracking::Tracked;
use troupe::shard::{self, Parts};

use crate::admin::{self, Admin, Current, Joins, Reach};
use crate::allocator;
use crate::balancer::Balancer;
use crate::clock::Clock;
use crate::connection::actor::Connection;
use crate::connection::stream::Stream;
use crate::descriptors::Descriptors;
use crate::doors::{self, Door};
use crate::fault::Records;
use crate::huge_pages;
use crate::inbox;
use crate::layers;
use crate::listener::{Accepted, Listener};
use crate::memory::{self, OfShard};
use crate::message::control::Restarted;
use crate::message::shard::Loaded;
use crate::message::snapshot::Mails;
use crate::post::Post;
use crate::router::Router;
use crate::settings::{ConfigFile, InForce};
use crate::shard::Shard;
use crate::shared::{Seat, Shared};
use crate::snapshot::SnapshotWriter;
use crate::supervise::Guardian;
use crate::thread::{Thread, Work};

thread_local! {
    /// The thread's own: set when its shard is made, taken up by each client that comes here.
    static THREAD: std::cell::OnceCell<Rc<Thread>> = const { std::cell::OnceCell::new() };
}

/// A running server.
pub struct Server {
    admin: Arc<Admin>,
    listener: Option<Addr<Listener>>,
    arbiters: Vec<Arbiter>,
    /// Those of the writers of the journal and of snapshots.
    writers: [Arbiter; 2],
    post: Arc<Post>,
    unixsocket: PathBuf,
}

/// What a start is given.
pub struct Launch {
    /// The settings.
    pub settings: Settings,
    /// How many shards there are to be.
    pub shards: ShardId,
    /// Their file, if there is one.
    pub file: Option<ConfigFile>,
    /// Time.
    pub clock: Clock,
    /// The descriptors that the server needs beside its clients'.
    pub descriptors: Descriptors,
    /// Who is told that the server may end, as somebody has asked.
    pub shutdown: UnboundedSender<()>,
}

/// Starts everything; the data set is loaded when this returns. Clients are let in before that, and
/// hear that it is being loaded.
///
/// # Errors
/// What keeps it from starting, with a remedy where there is one.
pub async fn start(launch: Launch) -> anyhow::Result<Server> {
    let Launch { settings, shards, file, clock, descriptors, shutdown } = launch;
    let settings = Arc::new(settings);
    let path = file.as_ref().map(|file| &*file.path);
    let origin = admin::Origin::new(&settings, path, clock.now());
    let doors = doors::open(&settings)?;
    // From here on who connects is heard: programs that start servers wait for this line, and know
    // the number before the words.
    info!("PID: {}. Server initialized", std::process::id());
    let shared = Arc::new(Shared::new(usize::from(shards)));
    shared.loading.begin(clock.now(), 0);
    shared.take_up(&settings);
    let records = Records::default();
    let current: Current = Arc::new(RwLock::new(settings.clone()));
    let in_force = current.clone();
    let in_force: InForce = Arc::new(move || read(&in_force));
    let guardian = Guardian::new(clock.clone(), in_force.clone(), records.clone());
    let guardian = guardian.start().recipient();
    let map = Arc::new(Map::new(shards));
    let post = Arc::new(Post::new(shards));
    let mails = Mails::default();
    let (snapshots, its_writer) = start_snapshots(&settings, &mails, &post, &guardian, &shared)?;
    let (arbiters, shards) =
        start_shards(&settings, &map, &shared, &guardian, &clock, &post, &mails)?;
    let measured = shards.iter().map(|shard| shard.clone().recipient()).collect();
    let balancer = Balancer::new(measured, in_force, shared.clone());
    let router = start_router(&map, &arbiters, &post, balancer, &guardian, &clock)?;
    let figures = Arc::new(Mutex::new(JournalFigures::default()));
    let admin = Arc::new(Admin::new(admin::Parts {
        shards: shards.iter().map(Reach::of).collect(),
        post: post.clone(),
        router: router.clone().recipient(),
        settings: current.clone(),
        file,
        shared: shared.clone(),
        restarts: records,
        journal: figures.clone(),
        origin,
        clock: clock.clone(),
        descriptors,
        snapshots: mails,
        shutdown,
    }));
    meet_threads(&admin, &arbiters)?;
    // A score that the system does not take is in the log; the server can do without.
    let _ = admin.score(&settings);
    allocator::give_back_in_background(settings.jemalloc_bg_thread);
    let for_pages = current.clone();
    huge_pages::spawn(clock.clone(), move || read(&for_pages).huge_pages);
    let (at_listener, for_admin) = (shared.clone(), admin.clone());
    let (to_guardian, its_clock) = (guardian.clone(), clock.clone());
    let listener =
        start_listener(doors, &arbiters, current, at_listener, to_guardian, for_admin, its_clock);
    admin.met("router", router.recipient());
    admin.met("snapshotwriter", its_writer.recipient());
    admin.met("listener", listener.clone().recipient());
    admin.met_listener(listener.clone().recipient(), listener.clone().recipient());
    let unixsocket = settings.unixsocket.clone();
    let (for_starter, its_shared) = (post.clone(), shared.clone());
    let starter = journal::Starter {
        map,
        shards,
        post: for_starter,
        shared: its_shared,
        figures,
        guardian,
        clock,
    };
    let (loaded, stream) = match settings.appendonly {
        true => starter.load(&settings).await?,
        false => (None, starter.load_snapshot(&settings).await?),
    };
    let begins = settings.appendonly && loaded.is_none();
    let (writer, aof) = match loaded {
        Some((writer, arbiter)) => {
            admin.met_writer(writer.clone());
            (writer, arbiter)
        }
        None => starter.start()?,
    };
    admin.met_stream(writer.clone(), stream).await;
    admin.met_starter(Box::new(move |settings| journal::Starter::begin(&writer, settings)));
    let shards = starter.shards;
    let serve = || shards.iter().for_each(|shard| shard.do_send(Loaded { load: 0 }));
    if begins {
        let begun = admin.begin_journal_before_writes(&settings, serve).await;
        begun.map_err(|()| anyhow!("the append only file cannot be begun"))?;
    } else {
        serve();
    }
    shared.loading.end();
    let writers = [aof, snapshots];
    Ok(Server { admin, listener: Some(listener), arbiters, writers, post, unixsocket })
}

/// Tells every thread who performs actions, and him how threads are reached.
fn meet_threads(admin: &Arc<Admin>, arbiters: &[Arbiter]) -> anyhow::Result<()> {
    for arbiter in arbiters {
        let (actions, run_at) = (admin.clone(), neighbours(arbiters));
        arbiter.spawn_fn(move || {
            THREAD.with(|thread| {
                let thread = thread.get().expect("the shard of this thread was started");
                thread.meet_actions(actions);
                thread.meet_neighbours(Box::new(run_at));
            });
        });
    }
    admin.met_threads(upstream_joins(arbiters, admin), hasher_of(arbiters)?);
    Ok(())
}

/// How a thread has work done by another one.
fn neighbours(arbiters: &[Arbiter]) -> impl Fn(ShardId, Work) + Send + use<> {
    let handles: Vec<_> = arbiters.iter().map(Arbiter::handle).collect();
    move |shard, work| {
        let Some(handle) = handles.get(usize::from(shard)) else { return };
        handle.spawn_fn(move || {
            THREAD.with(|thread| {
                work(thread.get().expect("the shard of this thread was started").clone());
            });
        });
    }
}

/// Starts the router, and tells every thread where it is. Returns when all know it.
fn start_router(
    map: &Arc<Map>,
    arbiters: &[Arbiter],
    post: &Arc<Post>,
    balancer: Balancer,
    guardian: &Recipient<Restarted>,
    clock: &Clock,
) -> anyhow::Result<Addr<Router>> {
    let router = {
        let (map, post) = (map.clone(), post.clone());
        let (guardian, clock) = (guardian.clone(), clock.clone());
        Supervisor::start(move |_| Router::new(map, post, balancer, guardian, clock))
    };
    let (met, all_met) = mpsc::channel();
    for arbiter in arbiters {
        let (moved, met) = (router.clone().recipient(), met.clone());
        arbiter.spawn_fn(move || {
            THREAD.with(|thread| {
                let thread = thread.get().expect("the shard of this thread was just started");
                thread.meet(moved);
            });
            // The receiver waits for it.
            let _ = met.send(());
        });
    }
    for _ in arbiters {
        all_met.recv().context("a shard's thread ended at once")?;
    }
    Ok(router)
}

/// Starts the writer of snapshots on a thread of its own.
fn start_snapshots(
    settings: &Settings,
    mails: &Mails,
    post: &Arc<Post>,
    guardian: &Recipient<Restarted>,
    shared: &Arc<Shared>,
) -> anyhow::Result<(Arbiter, Addr<SnapshotWriter>)> {
    let arbiter = Arbiter::try_new().context("there is no thread for snapshots")?;
    let (mails, post, guardian) = (mails.clone(), post.clone(), guardian.clone());
    let (ledger, delay) = (shared.memory.clone(), settings.key_delays.save);
    let writer = Supervisor::start_in_arbiter(&arbiter.handle(), move |_| {
        SnapshotWriter::new(mails, post, delay, guardian, ledger.of_snapshots())
    });
    Ok((arbiter, writer))
}

type ShardActors = Vec<Addr<Shard>>;

fn start_shards(
    settings: &Arc<Settings>,
    map: &Arc<Map>,
    shared: &Arc<Shared>,
    guardian: &Recipient<Restarted>,
    clock: &Clock,
    post: &Arc<Post>,
    mails: &Mails,
) -> anyhow::Result<(Vec<Arbiter>, ShardActors)> {
    let mut random = fastrand::Rng::new();
    let (ids, tracked) = (LogIds::default(), Tracked::default());
    let worths = Worths::new(map.shards());
    let hasher = Hasher::with_seeds(std::array::from_fn(|_| random.u64(..)));
    let (mut arbiters, mut actors) = (Vec::new(), Vec::new());
    for id in 0..map.shards() {
        let inbox = post.inbox(id).clone();
        let runtime = move || inbox::runtime(inbox, memory::sleeps, memory::wakes);
        let arbiter = Arbiter::try_with_tokio_rt(runtime);
        let arbiter = arbiter.with_context(|| format!("there is no thread for shard {id}"))?;
        let (made, receiver) = mpsc::channel();
        let (settings, map, shared) = (settings.clone(), map.clone(), shared.clone());
        let (guardian, clock, hasher) = (guardian.clone(), clock.clone(), hasher.clone());
        let (seed, ids, post) = (random.u64(..), ids.clone(), post.clone());
        let (mails, tracked, worths) = (mails.clone(), tracked.clone(), worths.clone());
        arbiter.spawn_fn(move || {
            allocator::share_arena(id);
            let (gates, sinks) = (layers::gates(), layers::sinks(ids));
            let listeners = layers::listeners();
            let shard = shard::Shard::new(Parts {
                id,
                map,
                settings,
                hasher,
                seed,
                gates,
                sinks,
                listeners,
                post: post.clone(),
                tracked,
                scripts: Box::new(LuaEngine::new(Limits::default())),
                gauge: Box::new(OfShard::new(&shared.memory, id)),
                worths,
            });
            let thread = Thread::new(id, shard, clock, shared, post, mails);
            THREAD.with(|own| {
                let is_first = own.set(thread.clone()).is_ok();
                assert!(is_first, "a thread has one shard");
            });
            // The receiver waits for it.
            let _ = made.send(Supervisor::start(move |_| Shard::new(thread, guardian)));
        });
        actors.push(receiver.recv().context("a shard's thread ended at once")?);
        arbiters.push(arbiter);
    }
    Ok((arbiters, actors))
}

fn start_listener(
    doors: Vec<Door>,
    arbiters: &[Arbiter],
    current: Current,
    shared: Arc<Shared>,
    guardian: Recipient<Restarted>,
    admin: Arc<Admin>,
    clock: Clock,
) -> Addr<Listener> {
    let handles: Vec<_> = arbiters.iter().map(Arbiter::handle).collect();
    let adopt = move |seat: Seat, accepted: Accepted| {
        let admin = admin.clone();
        handles[seat.thread].spawn_fn(move || adopt(seat, accepted, admin));
    };
    let settings = Arc::new(move || read(&current));
    let adopt = Box::new(adopt);
    Supervisor::start(move |_| Listener::new(doors, adopt, settings, shared, guardian, clock))
}

/// How a connection to the primary comes to the thread of its seat.
fn upstream_joins(arbiters: &[Arbiter], admin: &Arc<Admin>) -> Joins {
    let handles: Vec<_> = arbiters.iter().map(Arbiter::handle).collect();
    let admin = Arc::downgrade(admin);
    Box::new(move |seat, stream, peer, db| {
        let Some(admin) = admin.upgrade() else { return };
        let Some(handle) = handles.get(seat.thread) else { return };
        handle.spawn_fn(move || {
            let shared = admin.shared().clone();
            match TcpStream::from_std(stream) {
                Ok(stream) => THREAD.with(|thread| {
                    let thread = thread.get().expect("the shard of this thread is there").clone();
                    let stream = Stream::Tcp(stream);
                    Connection::start_upstream(thread, seat, admin, stream, peer, db);
                }),
                Err(error) => {
                    warn!("The socket to the primary cannot be used: {error}");
                    shared.upstream.ended();
                }
            }
        });
    })
}

/// How all shards hash keys.
fn hasher_of(arbiters: &[Arbiter]) -> anyhow::Result<Hasher> {
    let first = arbiters.first().context("there is a shard")?;
    let (tell, told) = mpsc::channel();
    first.spawn_fn(move || {
        THREAD.with(|thread| {
            let thread = thread.get().expect("the shard of this thread was started");
            // The receiver waits for it.
            let _ = tell.send(thread.with_shard(|shard| shard.hasher().clone()));
        });
    });
    told.recv().context("a shard's thread ended at once")
}

/// The settings in force.
pub fn read(current: &Current) -> Arc<Settings> {
    current.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
}

/// On the client's own thread: makes its connection.
fn adopt(seat: Seat, accepted: Accepted, admin: Arc<Admin>) {
    let made = match accepted {
        Accepted::Tcp(stream, peer) => {
            TcpStream::from_std(stream).map(|stream| (Stream::Tcp(stream), peer))
        }
        Accepted::Unix(stream, peer) => {
            UnixStream::from_std(stream).map(|stream| (Stream::Unix(stream), peer))
        }
    };
    match made {
        Ok((stream, peer)) => THREAD.with(|thread| {
            let thread = thread.get().expect("clients come when the shard is there").clone();
            Connection::start(thread, seat, admin, stream, peer);
        }),
        Err(error) => warn!("A client's socket cannot be used: {error}"),
    }
}

impl Reach {
    fn of(shard: &Addr<Shard>) -> Reach {
        Reach {
            ask: shard.clone().recipient(),
            clients: shard.clone().recipient(),
            disturb: shard.clone().recipient(),
            policy: shard.clone().recipient(),
            begin_base: shard.clone().recipient(),
            begin: shard.clone().recipient(),
            end: shard.clone().recipient(),
            replicate: shard.clone().recipient(),
        }
    }
}

impl Server {
    /// The door to what commands ask of the server.
    pub fn admin(&self) -> &Arc<Admin> {
        &self.admin
    }

    /// Ends the server: no new clients, then the journal is flushed.
    ///
    /// # Errors
    /// When the journal could not be made durable.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.listener.take());
        self.admin.let_clients_go().await;
        if let Some(writer) = self.admin.writer() {
            info!("Calling fsync() on the AOF file.");
            if let Err(fault) = writer.close().await {
                bail!("the journal could not be made durable: {fault}");
            }
        }
        self.admin.drop_snapshot().await;
        if !self.unixsocket.as_os_str().is_empty()
            && std::fs::remove_file(&self.unixsocket).is_err()
        {
            warn!("{} could not be removed", self.unixsocket.display());
        }
        self.post.close();
        for arbiter in self.arbiters.iter().chain(&self.writers) {
            arbiter.stop();
        }
        Ok(())
    }
}
