//! What a client gets that did not ask for it, and its place among the replies.
//!
//! While the batch is away its replies are being made, somewhere else: what is pushed meanwhile is
//! held, shared with all who get the same, and follows them; but what had come before the batch
//! began to run goes ahead, since its client may know of that already. A message of a subscription
//! that the batch has ended goes ahead of the reply that says so, and what was held before it too,
//! but behind the reply that confirms a subscription. What tells of keys stays behind all, since
//! the batch may have read them. What is held counts against the limit of the client's output, and
//! that is looked at before anything is copied.

use std::sync::Arc;

use bytes::Bytes;

use super::{Connection, Reason};
use crate::base::millis::Millis;
use crate::batch::Batch;
use crate::pubsub::{Message, Name, Redirect, Redirected, ReplyEnd, Told, Tracking};
use crate::resp::Reply;
use crate::session::Session;
use crate::settings::Settings;

/// What a client gets that hears that another one has gone, at most.
const BROKEN_BYTES: usize = 64;

/// Something that waits for the batch.
#[derive(Debug)]
enum Held {
    Bytes(Bytes),
    Message(Arc<Message>, Option<Name>),
    /// About keys.
    Outdated(Arc<Message>),
    /// Of another client, about keys that it has cached.
    Redirected(Arc<Message>),
    /// The client with this number has gone, which is told of keys in the place of this one.
    Broken(u64),
}

/// What waits for the batch, and how much that is.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    /// With the turns of the thread's shard that had begun when it came.
    held: Vec<(u64, Held)>,
    /// What goes to other clients.
    redirected: Vec<Redirected>,
    /// It was too much.
    pub(super) cut: Option<Reason>,
}

/// What a push finds when it comes.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The settings in force.
    pub settings: &'a Settings,
    /// How many turns of the thread's shard have begun
    /// ([`Shard::turns`](crate::shard::Shard::turns)).
    pub turns: u64,
}

impl Connection {
    /// Bytes for the client outside its own replies.
    pub fn push(&mut self, bytes: &Bytes, at: Arrival<'_>) {
        if !self.takes(bytes.len(), at) {
            return;
        }
        match self.at_home() {
            Some(_) => self.output.push(bytes),
            None => self.hold(at, Held::Bytes(bytes.clone()), bytes.len()),
        }
    }

    /// A message for the client, which subscribes to this pattern, or else to its channel.
    pub fn deliver(&mut self, message: &Arc<Message>, pattern: Option<&Name>, at: Arrival<'_>) {
        self.subscribes = true;
        let size = message.size(pattern.map(AsRef::as_ref));
        if !self.takes(size, at) {
            return;
        }
        match self.at_home().map(|session| session.resp3) {
            Some(resp3) => {
                self.output.push_message(message, pattern.map(AsRef::as_ref), resp3);
            }
            None => self.hold(at, Held::Message(Arc::clone(message), pattern.cloned()), size),
        }
    }

    /// A message about keys that the client has cached.
    pub fn outdated(&mut self, message: &Arc<Message>, at: Arrival<'_>) {
        // The reply to the command that has changed them comes first.
        let is_own =
            |batch: &Batch| batch.parked.is_some() && message.is_of_served(batch.session.id);
        let is_served = self.batch.as_deref().is_some_and(is_own);
        let told = match self.at_home().filter(|_| !is_served) {
            Some(session) => session.told(message),
            // Nothing holds up somebody else's news.
            None => match self.tracking.as_deref().filter(|own| own.redirect.is_some()) {
                Some(tracking) => {
                    let row = self.row.borrow();
                    tracking.told(message, row.id, row.resp3)
                }
                None => {
                    let size = message.size(None);
                    if self.takes(size, at) {
                        self.hold(at, Held::Outdated(Arc::clone(message)), size);
                    }
                    return;
                }
            },
        };
        match told {
            Told::Nobody => {}
            Told::Other(to, message) => self.redirect(to, message),
            Told::Itself(message) => {
                if self.takes(message.size(None), at) {
                    self.output.push_message(&message, None, true);
                }
            }
        }
    }

    /// A message about keys that another client has cached, which has named this one.
    pub fn redirected(&mut self, message: &Arc<Message>, at: Arrival<'_>) {
        let size = message.size(None);
        if !self.takes(size, at) {
            return;
        }
        match self.at_home() {
            Some(session) => {
                let (is_heard, resp3) = (hears_of_keys(session), session.resp3);
                if is_heard {
                    self.output.push_message(message, None, resp3);
                }
            }
            None => self.hold(at, Held::Redirected(Arc::clone(message)), size),
        }
    }

    /// The client with this number has gone, which is told of keys in the place of this one.
    pub fn redirect_broken(&mut self, named: u64, at: Arrival<'_>) {
        if !self.takes(BROKEN_BYTES, at) {
            return;
        }
        match self.batch.take_if(|batch| batch.action.is_none()) {
            Some(mut batch) => {
                self.note_broken(&mut batch.session, named);
                self.batch = Some(batch);
            }
            None => self.hold(at, Held::Broken(named), BROKEN_BYTES),
        }
    }

    /// The client with this number has gone, which was told of keys in the place of this one.
    fn note_broken(&mut self, session: &mut Session, named: u64) {
        let is_named =
            |tracking: &&mut Box<Tracking>| tracking.redirect.is_some_and(|to| to.client == named);
        let Some(tracking) = session.tracking.as_mut().filter(is_named) else { return };
        tracking.is_broken = true;
        self.row.borrow_mut().update(session, Millis::default());
        if session.resp3 {
            let mut reply = Reply::new(self.output.bytes(), true);
            reply.push(2);
            reply.bulk(b"tracking-redir-broken");
            reply.int(named.cast_signed());
        }
    }

    /// Takes what goes to other clients.
    #[inline]
    pub fn take_redirected(&mut self) -> Vec<Redirected> {
        std::mem::take(&mut self.pushes.redirected)
    }

    fn redirect(&mut self, to: Redirect, message: Arc<Message>) {
        let of = {
            let row = self.row.borrow();
            (row.home, row.id)
        };
        self.pushes.redirected.push(Redirected { to, of, message });
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
    fn takes(&mut self, more: usize, at: Arrival<'_>) -> bool {
        if !self.ends.takes_replies() || self.pushes.cut.is_some() {
            return false;
        }
        let bytes = self.output.len() + more;
        if self.output_limit(at.settings).is_passed_by(bytes) {
            self.pushes.cut = Some(Reason::OutputLimit(bytes));
        }
        self.pushes.cut.is_none()
    }

    fn hold(&mut self, at: Arrival<'_>, held: Held, size: usize) {
        self.pushes.held.push((at.turns, held));
        self.output.held += size;
    }

    /// The batch is home, and its replies with it: they and what was held go to the output. What
    /// goes ahead of them is in the protocol that the client spoke when the batch left.
    pub(super) fn release(&mut self, batch: &mut Batch, spoke_resp3: bool) {
        self.output.held = 0;
        let held = std::mem::take(&mut self.pushes.held);
        let mut placed = place(held, batch, spoke_resp3);
        // By the place alone: all else stays in its order.
        placed.sort_by_key(|(place, _)| place.at);
        let resp3 = batch.session.resp3;
        let behind = placed.partition_point(|(place, _)| place.at < batch.replies.len());
        let behind = placed.split_off(behind);
        let mut given = 0;
        for (place, held) in placed {
            self.output.push(&batch.replies[given..place.at]);
            given = place.at;
            batch.session.resp3 = place.resp3;
            self.give(&held, &mut batch.session);
        }
        batch.session.resp3 = resp3;
        batch.replies.drain(..given);
        self.output.append(&mut batch.replies);
        behind.iter().for_each(|(_, held)| self.give(held, &mut batch.session));
    }

    /// Gives the client what was held, or whom it has named.
    fn give(&mut self, held: &Held, session: &mut Session) {
        let (resp3, output) = (session.resp3, &mut self.output);
        match held {
            Held::Bytes(bytes) => output.push(bytes),
            Held::Message(message, of) => output.push_message(message, of.as_deref(), resp3),
            Held::Outdated(message) => match session.told(message) {
                Told::Nobody => {}
                Told::Itself(message) => output.push_message(&message, None, resp3),
                Told::Other(to, message) => self.redirect(to, message),
            },
            Held::Redirected(message) => {
                if hears_of_keys(session) {
                    output.push_message(message, None, resp3);
                }
            }
            Held::Broken(named) => self.note_broken(session, *named),
        }
    }
}

/// Finds the places among the replies of a batch of what was held meanwhile: the last that the ends
/// of subscriptions allow without changing the order.
fn place(held: Vec<(u64, Held)>, batch: &Batch, spoke_resp3: bool) -> Vec<(ReplyEnd, Held)> {
    let subscribed = &batch.session.subscribed;
    let start = ReplyEnd { at: 0, resp3: spoke_resp3 };
    let end = ReplyEnd { at: batch.replies.len(), resp3: batch.session.resp3 };
    let behind = |calls: usize| match calls.checked_sub(1) {
        None => start,
        Some(last) => subscribed.calls().get(last).copied().unwrap_or(end).min(end),
    };
    let mut latest = end;
    let mut placed = Vec::with_capacity(held.len());
    for (turns, held) in held.into_iter().rev() {
        let place = match &held {
            _ if turns < batch.began => {
                latest = start;
                start
            }
            // The client may have read the keys in this batch.
            Held::Outdated(_) | Held::Redirected(_) => end,
            Held::Bytes(_) | Held::Broken(_) => latest,
            Held::Message(message, of) => {
                let room = subscribed.room(message, of.as_deref());
                if room.until.is_some_and(|until| until < room.from) {
                    continue;
                }
                latest = room.until.map_or(latest, |until| behind(until).min(latest));
                latest.max(behind(room.from))
            }
        };
        placed.push((place, held));
    }
    placed.reverse();
    placed
}

/// Whether a client can be told of keys in the place of another one: in version 2 of the protocol
/// it has to expect messages.
fn hears_of_keys(session: &Session) -> bool {
    session.resp3 || !session.subscribed.is_empty()
}
