//! Batches that wait at a shard for slots that are lent.
//!
//! A batch joins the queues of all its slots in one step, and is served when its slots are here and
//! nobody before it wants one of them. What already holds slots of other shards goes before what
//! holds nothing, so that those come back soon, but not for ever: nobody is overtaken more than
//! [`OVERTAKEN_MAX`] times. That makes no deadlock, since whoever holds nothing waits only for
//! those that are further on in the order of the shards. There is at most one batch a connection,
//! so the number of connections bounds the queue.
//!
//! Some loans last: who holds them waits for something outside, as for a server to which keys
//! migrate. What goes over everything gives back all that it holds when it meets one, waits in
//! nobody's way until it is home, and starts again. It does so [`TURNED_BACK_MAX`] times, then it
//! holds what it has: else loans that last, one behind the other, would keep it away for ever.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::batch::Batch;
use crate::lending::errand::Need;

/// How often a batch that holds nothing lets one that holds something go first.
const OVERTAKEN_MAX: u32 = 16;

/// How often a batch starts again because of loans that last.
pub(super) const TURNED_BACK_MAX: u32 = 16;

#[derive(Debug)]
struct Waiter {
    batch: Box<Batch>,
    need: Need,
    overtaken: u32,
}

/// The waiting batches of a shard.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    queue: VecDeque<Waiter>,
    wanted: HashMap<u16, u32>,
    whole: u32,
    /// Loans of the shard that last. Letters of two shards may come in any order, so it may be
    /// below zero for a moment.
    lasting: i32,
    /// Who waits until none does.
    patient: VecDeque<Box<Batch>>,
}

impl Waiting {
    /// Number of batches.
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.patient.len()
    }

    /// True while a loan of the shard lasts.
    pub(crate) fn has_lasting(&self) -> bool {
        self.lasting > 0
    }

    /// A loan lasts (1), or one that did is home (-1). Returns who has to look again.
    pub(crate) fn loans_last(&mut self, change: i32) -> VecDeque<Box<Batch>> {
        self.lasting += change;
        if !self.has_lasting() {
            return std::mem::take(&mut self.patient);
        }
        let mut looks = VecDeque::new();
        for at in (0..self.queue.len()).rev() {
            if self.queue[at].need == Need::Whole {
                looks.extend(self.remove(at));
            }
        }
        looks.into_iter().rev().collect()
    }

    /// Lets a batch that holds nothing wait until no loan lasts.
    pub(crate) fn push_patient(&mut self, batch: Box<Batch>) {
        self.patient.push_back(batch);
    }

    /// True when somebody who waits wants the slot: whoever comes later waits behind.
    #[inline]
    pub(crate) fn wants(&self, slot: u16) -> bool {
        !self.queue.is_empty() && (self.whole > 0 || self.wanted.contains_key(&slot))
    }

    /// True when somebody who waits wants any of it.
    pub(crate) fn wants_any(&self, need: &Need) -> bool {
        match need {
            Need::Slots(slots) => slots.iter().any(|slot| self.wants(*slot)),
            Need::Whole => !self.queue.is_empty(),
        }
    }

    /// Lets a batch wait.
    pub(crate) fn push(&mut self, batch: Box<Batch>, need: Need) {
        match &need {
            Need::Slots(slots) => {
                slots.iter().for_each(|slot| *self.wanted.entry(*slot).or_default() += 1);
            }
            Need::Whole => self.whole += 1,
        }
        let mut at = self.queue.len();
        while batch.holds()
            && let Some(before) = at.checked_sub(1).and_then(|before| self.queue.get_mut(before))
            && !before.batch.holds()
            && before.overtaken < OVERTAKEN_MAX
        {
            before.overtaken += 1;
            at -= 1;
        }
        self.queue.insert(at, Waiter { batch, need, overtaken: 0 });
    }

    /// Takes out the first batch that can be served, where `is_here` tells which needs can be met.
    pub(crate) fn pop(&mut self, mut is_here: impl FnMut(&Need) -> bool) -> Option<Box<Batch>> {
        let mut before: HashSet<u16> = HashSet::new();
        for at in 0..self.queue.len() {
            let waiter = &self.queue[at];
            let free = match &waiter.need {
                Need::Slots(slots) => !slots.iter().any(|slot| before.contains(slot)),
                Need::Whole => before.is_empty(),
            };
            if free && is_here(&waiter.need) {
                return self.remove(at);
            }
            match &waiter.need {
                Need::Slots(slots) => before.extend(slots),
                Need::Whole => return None,
            }
        }
        None
    }

    /// Takes out all batches.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Box<Batch>> + use<> {
        self.wanted.clear();
        self.whole = 0;
        let queue = std::mem::take(&mut self.queue).into_iter().map(|waiter| waiter.batch);
        queue.chain(std::mem::take(&mut self.patient))
    }

    fn remove(&mut self, at: usize) -> Option<Box<Batch>> {
        let waiter = self.queue.remove(at)?;
        match &waiter.need {
            Need::Slots(slots) => {
                for slot in slots {
                    if let Some(count) = self.wanted.get_mut(slot) {
                        *count -= 1;
                        if *count == 0 {
                            self.wanted.remove(slot);
                        }
                    }
                }
            }
            Need::Whole => self.whole -= 1,
        }
        Some(waiter.batch)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::keyspace::space::Keyspace;
    use crate::lending::Nowhere;
    use crate::lending::errand::Errand;
    use crate::route::Map;
    use crate::testing::Store;

    #[test]
    fn who_holds_nothing_is_overtaken_so_often_and_no_more() {
        let store = Store::new();
        let mut space = Keyspace::new(store.shard.hasher().clone());
        let mut holder = || {
            let mut batch = store.batch(&[b"DBSIZE"]);
            let mut errand = Errand::for_all(&Map::new(2), Arc::new(Nowhere));
            errand.loan.take_slots(0, &[], &mut space);
            batch.errand = Some(Box::new(errand));
            batch
        };
        let mut waiting = Waiting::default();
        waiting.push(holder(), Need::Slots(vec![1]));
        waiting.push(store.batch(&[b"GET", b"a"]), Need::Slots(vec![1]));
        for _ in 0..100 {
            waiting.push(holder(), Need::Slots(vec![1]));
        }
        let served = std::iter::from_fn(|| waiting.pop(|_| true));
        let first = served.take_while(|batch| batch.errand.is_some()).count();
        assert_eq!(first, 1 + OVERTAKEN_MAX as usize);
    }
}
