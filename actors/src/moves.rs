//! Clients on their way from one thread to another, and who has to find all clients.
//!
//! A client that moves is on neither thread for a moment. Who asks all threads for clients (to list
//! them, to close some) would miss it there, or find it twice. So none sets out while somebody
//! asks, and who asks waits for those that are under way: a moment, since each is one message. To
//! move is never urgent: whoever may not tries again later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Clients that move, and those who ask for clients.
#[derive(Debug, Default)]
pub struct Moves {
    under_way: AtomicUsize,
    holds: AtomicUsize,
    /// Told when the last that was under way has arrived.
    all_arrived: Notify,
}

/// A client's move. It is over when this is dropped.
#[derive(Debug)]
pub struct Pass(Arc<Moves>);

/// While it lives, no client moves.
#[derive(Debug)]
pub struct Standstill(Arc<Moves>);

impl Moves {
    /// A client sets out; none where somebody asks for clients. Of the two, each says first that it
    /// is there and then looks for the other, so one of them sees the other.
    pub fn begin(self: &Arc<Moves>) -> Option<Pass> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let pass = Pass(self.clone());
        (self.holds.load(Ordering::SeqCst) == 0).then_some(pass)
    }

    /// Returns when no client is under way, and keeps all where they are.
    pub async fn stand_still(self: &Arc<Moves>) -> Standstill {
        self.holds.fetch_add(1, Ordering::SeqCst);
        let standstill = Standstill(self.clone());
        loop {
            let all_arrived = self.all_arrived.notified();
            if self.under_way.load(Ordering::SeqCst) == 0 {
                return standstill;
            }
            all_arrived.await;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.all_arrived.notify_waiters();
        }
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn who_asks_waits_for_those_under_way_and_lets_none_set_out() {
        let moves = Arc::new(Moves::default());
        let mut task = Context::from_waker(Waker::noop());
        let [first, second] = [(); 2].map(|()| moves.begin());
        assert!(first.is_some() && second.is_some());
        let mut asking = pin!(moves.stand_still());
        assert!(asking.as_mut().poll(&mut task).is_pending());
        assert!(moves.begin().is_none(), "somebody asks");
        drop(first);
        assert!(asking.as_mut().poll(&mut task).is_pending());
        drop(second);
        let Poll::Ready(standstill) = asking.poll(&mut task) else {
            panic!("all have arrived");
        };
        assert!(moves.begin().is_none());
        drop(standstill);
        assert!(moves.begin().is_some());
    }

    #[test]
    fn who_gives_up_asking_holds_nobody() {
        let moves = Arc::new(Moves::default());
        let under_way = moves.begin();
        {
            let asking = pin!(moves.stand_still());
            assert!(asking.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert!(moves.begin().is_some());
        drop(under_way);
    }
}
