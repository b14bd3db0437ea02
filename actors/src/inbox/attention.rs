//! Whether the receiver of an inbox has to be signalled, so that nobody signals one that is awake.
//!
//! A signal is a system call, and wakes a thread. The receiver says how far it attends to its inbox
//! ([`Attention`]); a sender puts its letter into the queue and then looks at that. Only who finds
//! a receiver that would not look in time changes the word, and so it alone signals.
//!
//! No letter is left in the gap between "the queue is empty" and "asleep". The sender pushes, then
//! reads the word; the receiver writes the word, then looks at the queue; a fence of the strongest
//! kind stands between the two steps on both sides. Such fences have one order over all threads. If
//! the sender's comes first, the receiver sees the letter and does not sleep; if the receiver's
//! comes first, the sender sees that it sleeps, and signals. Without the fences both may read what
//! was before, each out of its own store buffer.
//!
//! `tests/loom.rs` compiles this file a second time, over loom's atomics, and tries all orders.

use super::sync::{AtomicU8, Ordering, fence};

/// How far a receiver attends to its inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Attention {
    /// It is awake, and looks before it sleeps.
    Awake,
    /// It sleeps and wakes by itself in a moment: only what is urgent is worth a signal.
    Dozing,
    /// It sleeps until it is signalled.
    Asleep,
    /// There is no receiver any more.
    Gone,
}

use Attention::{Asleep, Awake, Dozing, Gone};

/// What a sender has to do behind its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Nothing: the receiver looks by itself, or somebody else has signalled.
    Nothing,
    /// Signal the receiver.
    Signal,
    /// Take the letter back: nobody will.
    TakeBack,
}

/// The word of a receiver, seen by all who send to it. While it is awake nobody else writes it, so
/// then the receiver may store; else it swaps, so that it comes behind what a sender did.
#[derive(Debug)]
pub(crate) struct Word(AtomicU8);

impl Word {
    /// That of a receiver that is awake.
    pub(crate) fn new() -> Word {
        Word(AtomicU8::new(Awake as u8))
    }

    /// To be called by a sender behind its push. An urgent letter is for now; another one may wait
    /// for a receiver that dozes, and lets one that sleeps doze.
    pub(crate) fn pushed(&self, is_urgent: bool) -> Duty {
        fence(Ordering::SeqCst);
        let enough = if is_urgent { Awake } else { Dozing };
        // Reading comes first, since a thread that is awake is not to lose its cache line.
        let mut found = self.0.load(Ordering::Relaxed);
        loop {
            if found == Gone as u8 {
                return Duty::TakeBack;
            }
            if found <= enough as u8 {
                return Duty::Nothing;
            }
            // Acquire, so that the signal finds what the receiver has set up before it slept.
            let changed = self.0.compare_exchange_weak(
                found,
                enough as u8,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match changed {
                Ok(_) => return Duty::Signal,
                Err(other) => found = other,
            }
        }
    }

    /// To be called by the receiver when it is up. Returns true when it is hurried: somebody urgent
    /// has signalled it, or it was awake already. One step, so that no hurry is overwritten unseen.
    pub(crate) fn wake(&self) -> bool {
        self.0.swap(Awake as u8, Ordering::Acquire) == Awake as u8
    }

    /// To be called by the receiver that is about to doze. What comes in this moment waits until it
    /// wakes, urgent or not.
    pub(crate) fn doze(&self) {
        self.0.store(Dozing as u8, Ordering::Release);
    }

    /// To be called by the receiver that is about to sleep. Returns false when there is a letter in
    /// the queue, as `is_empty` tells: then it is awake still, and has to look.
    pub(crate) fn sleep(&self, is_empty: impl FnOnce() -> bool) -> bool {
        self.0.store(Asleep as u8, Ordering::Release);
        fence(Ordering::SeqCst);
        let sleeps = is_empty();
        if !sleeps {
            self.wake();
        }
        sleeps
    }

    /// To be called by the receiver that ends, which then throws away what is in the queue. Who
    /// pushes later takes back, for the same reason for which nothing is lost by [`Word::sleep`].
    pub(crate) fn leave(&self) {
        self.0.swap(Gone as u8, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }
}
