//! The line to one client: what its actor and its thread's shard share.
//!
//! The socket wakes the actor, and what it brings is filed with the shard. The shard's turn hands
//! the batch back here, and the replies are written at once, in that turn: the actor is not woken
//! for it. A panic costs one client.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tracing::error;
use troupe::base::millis::Millis;
use troupe::batch::Batch;
use troupe::clients::Weight;
use troupe::connection::{Arrival, Connection as Core, Reason};
use troupe::parked::{Outcome, Parked, Why};
use troupe::pubsub::{Message, Name};

use crate::connection::steps::Conversation;
use crate::fault::panic_text;
use crate::thread;

/// The line to one client.
pub(super) struct Line {
    pub(super) conversation: RefCell<Conversation>,
    /// Wakes the actor; none before its first turn.
    waker: RefCell<Option<Waker>>,
    panics_next: Cell<bool>,
    /// Something was pushed, and somebody flushes it.
    is_flushed: Cell<bool>,
}

impl Line {
    pub(super) fn new(conversation: Conversation) -> Line {
        let panics_next = Cell::default();
        Line {
            conversation: RefCell::new(conversation),
            waker: RefCell::default(),
            panics_next,
            is_flushed: Cell::default(),
        }
    }

    /// The actor's turn: takes all steps that can be taken now. Ready when the connection closes.
    pub(super) fn poll(&self, task: &mut Context<'_>) -> Poll<Reason> {
        assert!(!self.panics_next.get(), "DEBUG PANIC-ACTOR");
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|there| there.will_wake(task.waker())) {
            *waker = Some(task.waker().clone());
        }
        drop(waker);
        self.conversation.borrow_mut().woken(task)
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Tells the connection something that it acts on later. After a panic the actor is woken to
    /// end.
    fn tell(&self, change: impl FnOnce(&mut Core)) {
        let mut conversation = self.conversation.borrow_mut();
        let told = catch_unwind(AssertUnwindSafe(|| change(&mut conversation.core)));
        if let Err(panic) = told {
            error!("panic in a connection: {}", panic_text(&*panic));
            conversation.end(Reason::Killed);
            self.wake();
        }
    }

    /// The batch is lost: the connection closes.
    pub(super) fn give_up(&self) {
        self.conversation.borrow_mut().core.give_up();
        self.wake();
    }

    /// The turn of somebody else: takes all steps that can be taken after `change`. Where that is
    /// the end, or a panic, the actor is woken to end.
    fn go_on(&self, change: impl FnOnce(&mut Conversation)) {
        let waker = self.waker.borrow();
        let Some(waker) = &*waker else { return };
        let mut conversation = self.conversation.borrow_mut();
        let went_on = catch_unwind(AssertUnwindSafe(|| {
            conversation.go_on(change, &mut Context::from_waker(waker))
        }));
        let reason = match went_on {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(reason)) => reason,
            Err(panic) => {
                error!("panic in a connection: {}", panic_text(&*panic));
                Reason::Killed
            }
        };
        conversation.end(reason);
        waker.wake_by_ref();
    }
}

impl thread::Line for Line {
    fn came_home(&self, batch: Box<Batch>, now: Millis) {
        self.go_on(|conversation| conversation.came_home(batch, now));
    }

    fn push(&self, bytes: &Bytes, at: Arrival<'_>) {
        self.tell(|core| core.push(bytes, at));
    }

    fn deliver(&self, message: &Arc<Message>, pattern: Option<&Name>, at: Arrival<'_>) {
        self.tell(|core| core.deliver(message, pattern, at));
    }

    fn outdated(&self, message: &Arc<Message>, at: Arrival<'_>) {
        self.tell(|core| core.outdated(message, at));
        self.conversation.borrow_mut().redirect();
    }

    fn redirected(&self, message: &Arc<Message>, at: Arrival<'_>) {
        self.tell(|core| core.redirected(message, at));
    }

    fn redirect_broken(&self, named: u64, at: Arrival<'_>) {
        self.tell(|core| core.redirect_broken(named, at));
    }

    fn has_to_flush(&self) -> bool {
        !self.is_flushed.replace(true)
    }

    fn flush(&self) {
        self.is_flushed.set(false);
        self.go_on(|_| ());
    }

    fn wait_ended(&self, outcome: Outcome) {
        self.go_on(|conversation| conversation.core.wait_ended(outcome));
    }

    fn unblock(&self, why: Why) -> bool {
        let is_ended = self.conversation.borrow_mut().core.unblock(why);
        self.wake();
        is_ended
    }

    fn parked(&self) -> Option<Arc<Parked>> {
        self.conversation.borrow().core.parked().cloned()
    }

    fn kill(&self, after_reply: bool) {
        self.conversation.borrow_mut().core.kill(after_reply);
        self.wake();
    }

    fn stay(&self) {
        self.conversation.borrow_mut().core.stay();
    }

    fn weigh(&self) -> Weight {
        self.conversation.borrow_mut().weigh()
    }

    fn forget_peak(&self) {
        self.conversation.borrow_mut().core.forget_peak();
    }

    fn evict(&self) {
        self.conversation.borrow_mut().end(Reason::Evicted);
        self.wake();
    }

    fn is_ended(&self) -> bool {
        self.conversation.borrow().is_ended()
    }

    fn panic(&self) {
        self.panics_next.set(true);
        self.wake();
    }
}
