//! When a receiver has to be signalled, in all orders that threads and memory allow.
//!
//! The source is that of the server, over loom's atomics. The queue is a count, whose operations
//! order no more than those of a queue must. Tried are all runs in which threads take the processor
//! from each other so many times, besides giving it up: that finds all that is known to be found.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use attention::{Duty, Word};

#[path = "../actors/src/inbox/attention.rs"]
mod attention;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU8, Ordering, fence};
}

/// How often threads take the processor from each other in one run.
const PREEMPTIONS_MAX: usize = 3;

struct Inbox {
    letters: AtomicUsize,
    word: Word,
    signals: AtomicUsize,
    /// How often the receiver said that it sleeps.
    sleeps: AtomicUsize,
}

impl Inbox {
    fn new() -> Inbox {
        let [letters, signals, sleeps] = std::array::from_fn(|_| AtomicUsize::new(0));
        Inbox { letters, word: Word::new(), signals, sleeps }
    }

    fn send(&self, is_urgent: bool) {
        self.letters.fetch_add(1, Ordering::Release);
        match self.word.pushed(is_urgent) {
            Duty::Nothing => {}
            Duty::Signal => drop(self.signals.fetch_add(1, Ordering::AcqRel)),
            Duty::TakeBack => self.take_all(),
        }
    }

    /// As one who takes letter by letter, who looks first.
    fn take_all(&self) {
        if self.letters.load(Ordering::Acquire) > 0 {
            self.letters.swap(0, Ordering::AcqRel);
        }
    }

    fn sleep(&self) -> bool {
        self.sleeps.fetch_add(1, Ordering::Relaxed);
        self.word.sleep(|| self.letters.load(Ordering::Acquire) == 0)
    }
}

/// Runs two senders of a letter each beside a receiver. A letter that is left at the end is one for
/// which the receiver is signalled. Who signals last may do so for a sleep that is over.
fn with_senders(
    is_urgent: [bool; 2],
    signals_a_sleep: usize,
    receive: impl Fn(&Inbox) + Send + Sync + 'static,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS_MAX);
    model.check(move || {
        let inbox = Arc::new(Inbox::new());
        let senders = is_urgent.map(|is_urgent| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.send(is_urgent))
        });
        receive(&inbox);
        senders.into_iter().for_each(|sender| sender.join().expect("a sender does not panic"));
        let left = inbox.letters.load(Ordering::Acquire);
        let signals = inbox.signals.load(Ordering::Acquire);
        assert!(left == 0 || signals > 0, "a letter is left, and nobody wakes the receiver");
        let sleeps = inbox.sleeps.load(Ordering::Relaxed);
        assert!(signals <= sleeps * signals_a_sleep, "{signals} signals for {sleeps} sleeps");
    });
}

#[test]
fn who_sleeps_has_seen_all_letters_or_is_signalled_once() {
    // Who hurries a receiver that another has just let doze signals too.
    for (is_urgent, signals_a_sleep) in [([true, true], 1), ([true, false], 2), ([false, false], 1)]
    {
        with_senders(is_urgent, signals_a_sleep, |inbox| {
            while !inbox.sleep() {
                inbox.take_all();
            }
        });
    }
}

#[test]
fn who_has_woken_sees_what_came_meanwhile() {
    with_senders([true, true], 1, |inbox| {
        if !inbox.sleep() {
            inbox.take_all();
        }
        // Something else has woken it. It looks, so a signal so far is none for the next sleep.
        inbox.word.wake();
        inbox.signals.store(0, Ordering::Release);
        inbox.take_all();
        while !inbox.sleep() {
            inbox.take_all();
        }
    });
}

#[test]
fn who_dozes_looks_before_it_sleeps() {
    with_senders([true, false], 2, |inbox| {
        inbox.word.doze();
        inbox.word.wake();
        inbox.take_all();
        while !inbox.sleep() {
            inbox.take_all();
        }
    });
}

#[test]
fn what_comes_to_a_receiver_that_has_gone_is_taken_back() {
    with_senders([true, false], 0, |inbox| {
        inbox.word.leave();
        inbox.take_all();
    });
}
