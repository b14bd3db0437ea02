//! What a client gets that did not ask for it, and its place among the replies.
//!
//! While the batch is away its replies are being made, somewhere else: what is pushed meanwhile is
//! held, shared with all who get the same, and follows them. A message of a subscription that the
//! batch has ended goes ahead of them, and what was held before it too, unless the batch has begun
//! others. What is held counts against the limit of the client's output, and that is looked at
//! before anything is copied.

use std::sync::Arc;

use bytes::Bytes;

use super::output::Output;
use super::{Connection, Reason};
use crate::batch::Batch;
use crate::pubsub::{Message, Name};
use crate::session::Session;
use crate::settings::Settings;

/// Something that waits for the batch.
#[derive(Debug)]
enum Held {
    Bytes(Bytes),
    Message(Arc<Message>, Option<Name>),
}

/// What waits for the batch, and how much that is.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    held: Vec<Held>,
    /// It was too much.
    pub(super) cut: Option<Reason>,
}

impl Connection {
    /// Bytes for the client outside its own replies.
    pub fn push(&mut self, bytes: &Bytes, settings: &Settings) {
        if !self.takes(bytes.len(), settings) {
            return;
        }
        match self.at_home() {
            Some(_) => self.output.push(bytes),
            None => self.hold(Held::Bytes(bytes.clone()), bytes.len()),
        }
    }

    /// A message for the client, which subscribes to this pattern, or else to its channel.
    pub fn deliver(&mut self, message: &Arc<Message>, pattern: Option<&Name>, settings: &Settings) {
        self.subscribes = true;
        let size = message.size(pattern.map(AsRef::as_ref));
        if !self.takes(size, settings) {
            return;
        }
        match self.at_home().map(|session| session.resp3) {
            Some(resp3) => {
                message.write(pattern.map(AsRef::as_ref), resp3, self.output.bytes());
            }
            None => self.hold(Held::Message(Arc::clone(message), pattern.cloned()), size),
        }
    }

    /// Something waits for the batch.
    pub fn holds_pushes(&self) -> bool {
        self.output.held > 0
    }

    /// The session of a batch that is here and whose replies are all in the output.
    fn at_home(&self) -> Option<&Session> {
        let batch = self.batch.as_ref().filter(|batch| batch.action.is_none())?;
        Some(&batch.session)
    }

    /// Whether the client gets so many bytes more. It is cut off where that is too much.
    fn takes(&mut self, more: usize, settings: &Settings) -> bool {
        if !self.ends.takes_replies() || self.pushes.cut.is_some() {
            return false;
        }
        let bytes = self.output.len() + more;
        if self.output_limit(settings).is_passed_by(bytes) {
            self.pushes.cut = Some(Reason::OutputLimit(bytes));
        }
        self.pushes.cut.is_none()
    }

    fn hold(&mut self, held: Held, size: usize) {
        self.pushes.held.push(held);
        self.output.held += size;
    }

    /// The batch is home, and its replies with it: they and what was held go to the output.
    pub(super) fn release(&mut self, batch: &mut Batch) {
        self.output.held = 0;
        let (held, session) = (std::mem::take(&mut self.pushes.held), &batch.session);
        let has_ended = |held: &Held| match held {
            Held::Bytes(_) => false,
            Held::Message(message, of) => !session.subscribed.wants(message, of.as_deref()),
        };
        let (ahead, behind): (Vec<Held>, Vec<Held>) = if session.subscribed.has_begun() {
            held.into_iter().partition(has_ended)
        } else {
            let ended = held.iter().rposition(has_ended).map_or(0, |last| last + 1);
            let mut ahead = held;
            let behind = ahead.split_off(ended);
            (ahead, behind)
        };
        ahead.iter().for_each(|held| held.write(session.resp3, &mut self.output));
        self.output.append(&mut batch.replies);
        behind.iter().for_each(|held| held.write(batch.session.resp3, &mut self.output));
    }
}

impl Held {
    fn write(&self, resp3: bool, output: &mut Output) {
        match self {
            Held::Bytes(bytes) => output.push(bytes),
            Held::Message(message, of) => message.write(of.as_deref(), resp3, output.bytes()),
        }
    }
}
