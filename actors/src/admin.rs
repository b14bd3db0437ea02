//! What commands ask of the server and no shard can do alone: the actions, performed at home.
//!
//! An action is a future that the connection polls while its batch waits; it asks the shards by
//! mail, and they answer by themselves. Nothing here holds up a shard.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix::Recipient;
use tokio::sync::oneshot;
use troupe::commands::action::Action;
use troupe::commands::error::CommandError;
use troupe::session::Session;
use troupe::shard::letter::Letter;
use troupe::shard::question::{Answer, Question};

use crate::message::control::Panic;
use crate::message::router::Move;
use crate::message::shard::{Ask, AskClients, Disturb, Letters};
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
}

/// Performs actions.
pub struct Admin {
    /// The shards, in order.
    pub shards: Vec<Reach>,
    /// Moves slots.
    pub router: Recipient<Move>,
    /// Actors that can be made to panic, by name.
    pub panics: Vec<(&'static str, Recipient<Panic>)>,
}

impl Admin {
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
