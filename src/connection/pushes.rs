//! What a client gets that did not ask for it, and its place among the replies.
//!
//! While the batch is away its replies are being made, somewhere else: what is pushed meanwhile is
//! held, shared with all who get the same, and follows them. A message is given to the client only
//! if it subscribes then. What is held counts against the limit of the client's output, and that is
//! looked at before anything is copied.

use std::sync::Arc;

use bytes::Bytes;

use super::{Connection, Reason};
use crate::pubsub::{Message, Name};
use crate::session::Session;
use crate::settings::Settings;

/// Room that is kept for what is held.
const HELD_KEPT: usize = 64;

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

    /// The replies of the batch are in the output: what was held follows.
    pub(super) fn release(&mut self, session: &Session) {
        self.output.held = 0;
        for held in self.pushes.held.drain(..) {
            match held {
                Held::Bytes(bytes) => self.output.push(&bytes),
                Held::Message(message, pattern) => {
                    let pattern = pattern.as_deref();
                    if session.subscribed.wants(&message, pattern) {
                        message.write(pattern, session.resp3, self.output.bytes());
                    }
                }
            }
        }
        if self.pushes.held.capacity() > HELD_KEPT {
            self.pushes.held = Vec::new();
        }
    }
}
