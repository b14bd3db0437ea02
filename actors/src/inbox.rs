//! An inbox: a queue of many senders and one receiver, whose thread is woken only when it sleeps.
//!
//! Letters come out in the order in which they went in, over all senders. There is no lock and, but
//! for one in thirty or so, no allocation for a letter. The queue has no bound of its own: what is
//! sent has one (a client has one batch, a shard has a credit).

mod attention;

use std::io;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use crossbeam_queue::SegQueue;
use tokio::runtime::{Builder, Runtime};

use attention::{Duty, Word};

/// The atomics, for `attention`, which loom compiles with its own.
mod sync {
    pub(super) use std::sync::atomic::{AtomicU8, Ordering, fence};
}

/// An inbox of letters. Anybody may send; all else is for its one receiver.
#[derive(Debug)]
pub struct Inbox<T> {
    letters: SegQueue<T>,
    word: Word,
    /// Wakes the task that takes the letters out.
    waker: OnceLock<Waker>,
}

impl<T> Default for Inbox<T> {
    /// An empty inbox whose receiver is awake.
    fn default() -> Inbox<T> {
        Inbox { letters: SegQueue::new(), word: Word::new(), waker: OnceLock::new() }
    }
}

impl<T> Inbox<T> {
    /// Sends a letter: one that is not urgent may wait for a receiver that wakes by itself. Never
    /// waits and never panics.
    pub fn send(&self, letter: T, is_urgent: bool) {
        self.put(letter);
        self.announce(is_urgent);
    }

    /// Puts a letter in that is announced later, with others: the receiver, once woken, may well
    /// take the sender's core at once.
    pub fn put(&self, letter: T) {
        self.letters.push(letter);
    }

    /// Announces what the caller has put in.
    pub fn announce(&self, is_urgent: bool) {
        match self.word.pushed(is_urgent) {
            Duty::Nothing => {}
            Duty::Signal => self.signal(),
            Duty::TakeBack => self.clear(),
        }
    }

    /// A receiver without a waker has not begun: it looks before it sleeps for the first time.
    fn signal(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// The task that takes the letters out. There is one while the receiver lives: its supervisor
    /// restarts an actor within its task.
    pub fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// The next letter.
    pub fn take(&self) -> Option<T> {
        self.letters.pop()
    }

    /// True when there is no letter.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// The receiver is up. Returns true when it is hurried.
    pub fn wake(&self) -> bool {
        self.word.wake()
    }

    /// The receiver sleeps, and wakes by itself in a moment.
    pub fn doze(&self) {
        self.word.doze();
    }

    /// The receiver sleeps until it is signalled. False when it has to look once more.
    pub fn sleep(&self) -> bool {
        self.word.sleep(|| self.letters.is_empty())
    }

    /// The receiver ends: what is here, and what still comes, is thrown away.
    pub fn close(&self) {
        self.word.leave();
        self.clear();
    }

    fn clear(&self) {
        while self.letters.pop().is_some() {}
    }
}

/// The runtime of a thread on which one task is the receiver of an inbox, beside others.
///
/// While the thread works it is awake, and whoever gives the receiver work looks at the inbox too.
/// When nothing is left to run, tokio calls the hook below, asks once more whether anything has to
/// run, and only then waits for events (`Context::park` of its scheduler of one thread): so a
/// letter that the hook finds keeps the thread up. Waking the task from there is no system call,
/// since the scheduler sees that it is its own thread. `sleeps` and `wakes` are called around that.
///
/// # Errors
/// The system refuses what a runtime needs.
pub fn runtime<T: Send + 'static>(
    inbox: Arc<Inbox<T>>,
    sleeps: fn(),
    wakes: fn(),
) -> io::Result<Runtime> {
    let parking = inbox.clone();
    Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || {
            sleeps();
            if !parking.sleep() {
                parking.signal();
            }
        })
        .on_thread_unpark(move || {
            wakes();
            inbox.wake();
        })
        .build()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Bell {
        fn rings(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    fn inbox() -> (Inbox<u32>, Arc<Bell>) {
        let (inbox, bell) = (Inbox::default(), Arc::new(Bell::default()));
        inbox.set_waker(&Waker::from(bell.clone()));
        (inbox, bell)
    }

    fn taken(inbox: &Inbox<u32>) -> Vec<u32> {
        std::iter::from_fn(|| inbox.take()).collect()
    }

    #[test]
    fn only_the_first_sender_signals_and_only_who_sleeps() {
        let (inbox, bell) = inbox();
        inbox.send(1, true);
        assert_eq!(bell.rings(), 0, "it is awake");
        assert!(!inbox.sleep(), "there is a letter");
        assert_eq!(taken(&inbox), [1]);
        assert!(inbox.sleep());
        (2..10).for_each(|letter| inbox.send(letter, true));
        assert_eq!(bell.rings(), 1);
        assert!(inbox.wake());
        assert_eq!(taken(&inbox), (2..10).collect::<Vec<_>>());
    }

    #[test]
    fn who_dozes_is_woken_only_for_what_is_urgent() {
        let (inbox, bell) = inbox();
        inbox.doze();
        inbox.send(1, false);
        assert_eq!(bell.rings(), 0);
        inbox.send(2, true);
        inbox.send(3, true);
        assert_eq!(bell.rings(), 1);
        assert!(inbox.wake(), "it is hurried");
        assert_eq!(taken(&inbox), [1, 2, 3]);
        assert!(inbox.sleep());
        inbox.send(4, false);
        inbox.send(5, false);
        assert_eq!(bell.rings(), 1, "it has to know that there is something");
        assert!(!inbox.wake(), "but need not hurry");
    }

    #[test]
    fn what_nobody_will_take_is_dropped() {
        let inbox = Inbox::default();
        let letter = Arc::new(());
        inbox.send(letter.clone(), true);
        inbox.close();
        inbox.send(letter.clone(), true);
        inbox.send(letter.clone(), false);
        assert_eq!(Arc::strong_count(&letter), 1);
    }

    #[test]
    fn a_thread_that_would_sleep_looks_at_its_inbox_first() {
        let inbox = Arc::<Inbox<u32>>::default();
        let runtime = runtime(inbox.clone(), || {}, || {}).unwrap();
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let inbox = inbox.clone();
                std::thread::spawn(move || (1..=10_000).for_each(|letter| inbox.send(letter, true)))
            })
            .collect();
        // Hangs where a letter is left behind: nothing else wakes it.
        let mut sum = 0_u64;
        runtime.block_on(std::future::poll_fn(|task| {
            inbox.set_waker(task.waker());
            sum += std::iter::from_fn(|| inbox.take()).map(u64::from).sum::<u64>();
            let is_over = sum == 4 * 10_000 * 10_001 / 2;
            if is_over { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        }));
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    }
}
