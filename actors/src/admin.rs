//! What commands ask of the server and no shard can do alone: the actions, performed at home.
//!
//! An action is a future that the connection polls while its batch waits; it asks the shards by
//! mail, and they answer by themselves. Nothing here holds up a shard.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock};

use actix::Recipient;
use tokio::sync::oneshot;
use troupe::aof::journal::Figures;
use troupe::commands::action::Action;
use troupe::commands::error::CommandError;
use troupe::session::Session;
use troupe::shard::letter::Letter;
use troupe::shard::question::{Answer, Question};

use crate::boot::Current;
use crate::clock::Clock;
use crate::message::aof::SetPolicy;
use crate::message::control::Panic;
use crate::message::router::Move;
use crate::message::shard::{Ask, AskClients, Disturb, Letters};
use crate::shared::Shared;
use crate::supervise::Records;
use crate::thread::Thread;

/// An action under way: the reply, or the error that the client gets.
pub type Performing = Pin<Box<dyn Future<Output = Result<Vec<u8>, CommandError>>>>;

/// How the shard of one thread is reached.
#[derive(Clone)]
pub struct Reach {
    /// Letters.
    pub letters: Recipient<Letters>,
    /// Questions about the shard.
    pub ask: Recipient<Ask>,
    /// Questions about its clients.
    pub clients: Recipient<AskClients>,
    /// Disturbances, for tests.
    pub disturb: Recipient<Disturb>,
    /// Changes of `appendfsync`.
    pub policy: Recipient<SetPolicy>,
}

/// Performs actions.
pub struct Admin {
    shards: Vec<Reach>,
    router: Recipient<Move>,
    panics: Vec<(&'static str, Recipient<Panic>)>,
    listener: OnceLock<Recipient<Panic>>,
    settings: Current,
    shared: Arc<Shared>,
    restarts: Records,
    journal: Arc<Mutex<Figures>>,
    clock: Clock,
}

impl Admin {
    /// What performs actions with these.
    #[expect(clippy::too_many_arguments, reason = "it is called once, where all is wired")]
    pub fn new(
        shards: Vec<Reach>,
        router: Recipient<Move>,
        panics: Vec<(&'static str, Recipient<Panic>)>,
        settings: Current,
        shared: Arc<Shared>,
        restarts: Records,
        journal: Arc<Mutex<Figures>>,
        clock: Clock,
    ) -> Admin {
        let listener = OnceLock::new();
        Admin { shards, router, panics, listener, settings, shared, restarts, journal, clock }
    }

    /// The listener is started last, since it hands this to the connections.
    pub fn met_listener(&self, listener: Recipient<Panic>) {
        // Called once.
        let _ = self.listener.set(listener);
    }

    /// Closes every client, and returns when all are gone.
    pub async fn let_clients_go(&self) {}

    /// Begins an action of a client on `thread`.
    pub fn perform(
        self: Arc<Admin>,
        _action: Action,
        _session: &Session,
        _thread: Rc<Thread>,
    ) -> Performing {
        Box::pin(async move { Err(CommandError::Syntax) })
    }

    /// Asks every shard.
    pub async fn ask_all(&self, question: Question) -> Vec<Answer> {
        let mut answers = Vec::new();
        for shard in &self.shards {
            let (answer, receiver) = oneshot::channel();
            shard.ask.do_send(Ask { question, answer });
            answers.push(receiver);
        }
        let mut all = Vec::new();
        for answer in answers {
            all.extend(answer.await.ok());
        }
        all
    }

    /// Sends a letter to every shard.
    pub fn tell_all(&self, letter: impl Fn() -> Letter) {
        self.shards.iter().for_each(|shard| shard.letters.do_send(Letters(vec![letter()])));
    }
}
