//! How far the stream is durable, over all shards: what every thread may ask without a letter.
//!
//! Counted in appends: a shell counts one up before it sends it, the writer says how many it has
//! made durable. So a thread that sees both equal sees nothing that could still be lost.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Append, Finished};

/// Whether everything that was appended is durable. Atomics, no lock.
#[derive(Debug, Default)]
pub struct Mark {
    appended: AtomicU64,
    durable: AtomicU64,
}

impl Mark {
    /// A journal begins; nothing is on its way to any.
    pub fn reset(&self) {
        self.appended.store(0, Ordering::Release);
        self.durable.store(0, Ordering::Release);
    }

    /// This append is about to be sent. One that has nothing to lose, and nothing that might be
    /// overtaken, counts nothing.
    pub fn appended<F: Finished>(&self, append: &Append<F>) {
        if append.is_counted() {
            self.appended.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The first `count` appends that count are durable. Said only after all that waited for
    /// them was sent on its way, so that what is released next does not overtake it.
    pub fn made_durable(&self, count: u64) {
        self.durable.store(count, Ordering::Release);
    }

    /// True when nothing is on its way.
    pub fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Acquire) == self.appended.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something that waits, whether it keeps its order or not.
    struct Waits(bool);

    impl Finished for Waits {
        fn shows_writes(&self, _: bool) -> bool {
            false
        }

        fn keeps_order(&self) -> bool {
            self.0
        }
    }

    fn append(bytes: &[u8]) -> Append<Waits> {
        Append {
            shard: 0,
            runs: Vec::new(),
            bytes: bytes.to_vec(),
            finished: Vec::new(),
            moment: None,
            is_urgent: false,
        }
    }

    #[test]
    fn nothing_is_durable_while_one_append_is_on_its_way() {
        let mark = Mark::default();
        assert!(mark.is_durable());
        mark.appended(&append(b"one"));
        mark.appended(&append(b"two"));
        mark.made_durable(1);
        assert!(!mark.is_durable());
        mark.made_durable(2);
        assert!(mark.is_durable());
        mark.appended(&append(b""));
        mark.appended(&Append { finished: vec![Waits(false)], ..append(b"") });
        assert!(mark.is_durable(), "it has nothing to lose");
        mark.appended(&Append { finished: vec![Waits(true)], ..append(b"") });
        assert!(!mark.is_durable(), "it might be overtaken");
        mark.made_durable(3);
        mark.appended(&append(b"three"));
        mark.reset();
        assert!(mark.is_durable());
    }
}
