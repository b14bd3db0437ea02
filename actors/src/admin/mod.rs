//! What commands ask of the server and no shard can do alone: the actions.
//!
//! An action is a future that the connection polls while its batch waits, or the thread where a
//! transaction runs. It asks the shards by mail, and they answer by themselves. Nothing here holds
//! up a shard, but for what DEBUG asks for.

mod clients;
mod debug;
mod ending;
mod exchange;
mod facts;
mod following;
mod hotkeys;
mod journal;
mod oom;
mod reload;
mod replication;
mod scripts;
mod settings;
mod snapshots;
mod sync;

use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use actix::Recipient;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use troupe::aof::figures::JournalFigures;
use troupe::base::hash::Hasher;
use troupe::batch::Home;
use troupe::clients::{MonitorClient, Pause, Pauses};
use troupe::commands::action::{Action, Gathered};
use troupe::commands::error::CommandError;
use troupe::counted::hotkeys::Sessions;
use troupe::hook::answer::Answer;
use troupe::question::Question;
use troupe::resp::Reply;
use troupe::session::Session;
use troupe::settings::{Extent, Settings};
use troupe::shard::letter::Letter;
use troupe::stats::gathered::{self, Needs};
use troupe::stats::rates::Rates;

use crate::actions::{Actions, Performing};
use crate::allocator;
use crate::clock::Clock;
use crate::descriptors::Descriptors;
use crate::fault::Records;
use crate::message::aof::{Begin, BeginBase, End, Replicate, SetPolicy};
use crate::message::control::Panic;
use crate::message::listener::{Open, Settle};
use crate::message::router::Move;
use crate::message::shard::{Ask, AskClients, Disturb};
use crate::message::snapshot::Mails;
use crate::post::Post;
use crate::settings::ConfigFile;
use crate::shared::Shared;
use crate::thread::Thread;

pub use facts::Origin;
pub use following::Joins;
pub use journal::{Started, Starter, Writer};

use ending::Ending;
use facts::Usage;
use following::Target;
use journal::Rewrites;
use oom::Score;
use snapshots::Saves;

/// How long what is said of the stream of replication waits for what has been answered.
const STREAM_PATIENCE: Duration = Duration::from_millis(500);

/// The settings in force, as the shell reads them.
pub type Current = Arc<RwLock<Arc<Settings>>>;

/// How the shard of one thread is reached.
#[derive(Clone)]
pub struct Reach {
    /// Questions about the shard.
    pub ask: Recipient<Ask>,
    /// Questions about its clients.
    pub clients: Recipient<AskClients>,
    /// Disturbances, for tests.
    pub disturb: Recipient<Disturb>,
    /// Changes of `appendfsync`.
    pub policy: Recipient<SetPolicy>,
    /// A journal that begins.
    pub begin_base: Recipient<BeginBase>,
    /// It holds the data set.
    pub begin: Recipient<Begin>,
    /// It ends.
    pub end: Recipient<End>,
    /// Whether effects are recorded for replicas.
    pub replicate: Recipient<Replicate>,
}

/// What an [`Admin`] is made of.
pub struct Parts {
    /// The shards, in order.
    pub shards: Vec<Reach>,
    /// Letters to them.
    pub post: Arc<Post>,
    /// Moves slots.
    pub router: Recipient<Move>,
    /// The settings in force.
    pub settings: Current,
    /// The file of the settings, if there is one.
    pub file: Option<ConfigFile>,
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Restarts of actors.
    pub restarts: Records,
    /// The journal's figures.
    pub journal: Arc<Mutex<JournalFigures>>,
    /// What does not change while the process lives.
    pub origin: Origin,
    /// Time.
    pub clock: Clock,
    /// The descriptors that the server needs beside its clients'.
    pub descriptors: Descriptors,
    /// The writer of snapshots.
    pub snapshots: Mails,
    /// Who ends the server hears that it may end.
    pub shutdown: mpsc::UnboundedSender<()>,
}

/// The listener, as far as CONFIG SET needs it.
struct Doorkeeper {
    open: Recipient<Open>,
    settle: Recipient<Settle>,
}

/// Performs actions.
pub struct Admin {
    parts: Parts,
    actors: Mutex<Vec<(&'static str, Recipient<Panic>)>>,
    writer: Mutex<Option<Writer>>,
    starter: OnceLock<Starter>,
    stream: OnceLock<Writer>,
    handing_on: Arc<tokio::sync::Mutex<()>>,
    rewrites: Mutex<Rewrites>,
    listener: OnceLock<Doorkeeper>,
    threads: OnceLock<Joins>,
    /// How all shards hash keys.
    hasher: OnceLock<Hasher>,
    target: Mutex<Target>,
    changing: tokio::sync::Mutex<()>,
    switching: tokio::sync::Mutex<()>,
    score: Mutex<Score>,
    pauses: Mutex<Pauses>,
    monitors: Mutex<Vec<MonitorClient>>,
    hotkeys: Mutex<Sessions>,
    rates: Mutex<Rates>,
    usage: Mutex<Usage>,
    saves: Mutex<Saves>,
    ending: Mutex<Ending>,
}

impl Admin {
    /// What performs actions with these parts.
    pub fn new(parts: Parts) -> Admin {
        let saves = Mutex::new(Saves::new(parts.clock.now()));
        Admin {
            parts,
            actors: Mutex::default(),
            writer: Mutex::default(),
            starter: OnceLock::new(),
            stream: OnceLock::new(),
            handing_on: Arc::default(),
            rewrites: Mutex::default(),
            listener: OnceLock::new(),
            threads: OnceLock::new(),
            hasher: OnceLock::new(),
            target: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            switching: tokio::sync::Mutex::default(),
            score: Mutex::default(),
            pauses: Mutex::default(),
            monitors: Mutex::default(),
            hotkeys: Mutex::default(),
            rates: Mutex::default(),
            usage: Mutex::default(),
            saves,
            ending: Mutex::default(),
        }
    }

    /// An actor that DEBUG PANIC-ACTOR can reach, by its name in lower case.
    pub fn met(&self, name: &'static str, actor: Recipient<Panic>) {
        self.actors.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((name, actor));
    }

    /// How the listener is asked for other sockets.
    pub fn met_listener(&self, open: Recipient<Open>, settle: Recipient<Settle>) {
        // There is one.
        let _ = self.listener.set(Doorkeeper { open, settle });
    }

    /// What all threads share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.parts.shared
    }

    async fn gather(
        &self,
        question: Question,
        gathered: &Gathered,
        reply: &mut Reply<'_>,
    ) -> Result<(), CommandError> {
        let answers = match question {
            Question::Nothing => Vec::new(),
            question => self.ask_all(question).await,
        };
        if question == Question::ResetStatistics {
            self.parts.shared.reset();
            self.rates().reset();
        }
        let needs = Needs::of(gathered);
        if needs.stream {
            // Where the disk is slow, the offset is that of what has come as far as the stream.
            let _ = timeout(STREAM_PATIENCE, self.stream_place()).await;
        }
        gathered::reply(gathered, &answers, &self.facts(needs), reply)
    }

    /// Asks every shard. An answer also says that the shard has taken up all letters sent before.
    async fn ask_all(&self, question: Question) -> Vec<Answer> {
        let mut receivers = Vec::new();
        for shard in &self.parts.shards {
            let (answer, receiver) = oneshot::channel();
            shard.ask.do_send(Ask { question, answer });
            receivers.push(receiver);
        }
        let mut answers = Vec::new();
        for receiver in receivers {
            answers.extend(receiver.await.ok());
        }
        answers
    }

    /// Sends a letter to every shard, and returns when all have taken it up.
    async fn tell_all(&self, letter: impl Fn() -> Letter) {
        self.parts.post.send_all(letter);
        self.ask_all(Question::Nothing).await;
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.parts.settings.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl Actions for Admin {
    fn perform(
        self: Arc<Admin>,
        action: Action,
        home: Home,
        session: &Session,
        thread: Rc<Thread>,
    ) -> Performing {
        let (id, resp3, is_local) = (session.id, session.resp3, session.peer.is_local());
        let now_ms = self.parts.clock.steady_ms();
        match &action {
            Action::Replicate(request) => self.attach(request.clone(), session, &thread),
            Action::Acknowledge { applied, journaled } => {
                self.parts.shared.replicas.acknowledge(id, *applied, *journaled, now_ms);
            }
            _ => {}
        }
        Box::pin(async move {
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, resp3);
            match action {
                Action::Gather(question, gathered) => {
                    self.gather(question, &gathered, &mut reply).await?;
                }
                Action::ConfigSet(pairs) => {
                    self.config_set(pairs, is_local).await?;
                    reply.ok();
                }
                Action::Follow(primary) => reply.simple(self.replicaof(primary).await?),
                Action::BeginToFollow(primary) => {
                    self.begin_replicaof(primary).await?;
                    reply.ok();
                }
                Action::ConfigRewrite => {
                    self.config_rewrite(Extent::Changed)?;
                    reply.ok();
                }
                Action::ClientList(filter) => self.client_list(filter, &mut reply).await,
                Action::ClientInfo => self.client_info(id, &mut reply).await,
                Action::ClientKill { filter, old_form } => {
                    self.client_kill(filter, old_form, id, &mut reply).await?;
                }
                Action::ClientPause { until, mode } => {
                    self.client_pause(Some(Pause { until, mode })).await;
                    reply.ok();
                }
                Action::ClientUnpause => {
                    self.client_pause(None).await;
                    reply.ok();
                }
                Action::ClientUnblock { id, with_error } => {
                    reply.int(i64::from(self.client_unblock(id, with_error).await));
                }
                Action::FindClient(id) => return Ok(self.find_client(id).await),
                Action::Monitor => {
                    self.add_monitor(MonitorClient { home, client: id }).await;
                    reply.ok();
                }
                Action::HotKeys(asked) => self.hotkeys(asked, &mut reply).await?,
                Action::ChangeScripts(change) => {
                    self.tell_all(|| Letter::Scripts(change.clone())).await;
                }
                Action::FindScript(sha) => self.find_script(sha).await,
                Action::KillScripts(kind) => {
                    self.kill_scripts(kind).await?;
                    reply.ok();
                }
                Action::Save(asked) => self.save(asked, &mut reply).await?,
                Action::RewriteJournal(begins) => self.rewrite_journal(begins, &mut reply)?,
                // They are not answered.
                Action::Replicate(_) | Action::Acknowledge { .. } => {}
                Action::Exchange(asked) => return exchange::perform(asked).await,
                Action::Shutdown(asked) => self.shutdown(asked, &mut reply).await?,
                Action::MemoryPurge => {
                    purge().await?;
                    reply.ok();
                }
                Action::MallocStats => reply.verbatim(b"txt", &allocator::report()),
                Action::Debug(debug) => {
                    self.debug(debug, &thread).await?;
                    reply.ok();
                }
            }
            Ok(out)
        })
    }

    fn remove_monitor(&self, id: u64) {
        self.change_monitors(|monitors| monitors.retain(|monitor| monitor.client != id));
    }
}

/// The kernel takes its time for each page, so no shard waits for it on its thread.
async fn purge() -> Result<(), CommandError> {
    match tokio::task::spawn_blocking(allocator::purge).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(CommandError::Text("ERR Error purging dirty pages")),
    }
}
