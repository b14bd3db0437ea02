//! Batches that wait at a shard for slots that are lent.
//!
//! A batch joins the queues of all its slots in one step, and is served when its slots are here and
//! nobody before it wants one of them. What already holds slots of other shards goes before what
//! holds nothing, so that those come back soon. There is at most one batch a connection, so the
//! number of connections bounds the queue.

use std::collections::{HashMap, VecDeque};

use crate::batch::Batch;
use crate::shard::errand::Need;

#[derive(Debug)]
struct Waiter {
    batch: Box<Batch>,
    need: Need,
    holds: bool,
}

/// The waiting batches of a shard.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    queue: VecDeque<Waiter>,
    wanted: HashMap<u16, u32>,
    whole: u32,
}

impl Waiting {
    /// Number of batches.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
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
        let holds = batch.errand.as_ref().is_some_and(|errand| errand.holds());
        let waiter = Waiter { batch, need, holds };
        let at = if holds {
            self.queue.iter().position(|waiter| !waiter.holds).unwrap_or(self.queue.len())
        } else {
            self.queue.len()
        };
        self.queue.insert(at, waiter);
    }

    /// Takes out the first batch that can be served, where `is_here` tells which needs can be met.
    pub(crate) fn pop(&mut self, mut is_here: impl FnMut(&Need) -> bool) -> Option<Box<Batch>> {
        let mut before: HashMap<u16, ()> = HashMap::new();
        for at in 0..self.queue.len() {
            let waiter = &self.queue[at];
            let free = match &waiter.need {
                Need::Slots(slots) => !slots.iter().any(|slot| before.contains_key(slot)),
                Need::Whole => before.is_empty(),
            };
            if free && is_here(&waiter.need) {
                return self.remove(at);
            }
            match &waiter.need {
                Need::Slots(slots) => before.extend(slots.iter().map(|slot| (*slot, ()))),
                Need::Whole => return None,
            }
        }
        None
    }

    /// Takes out all batches.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Box<Batch>> + use<> {
        self.wanted.clear();
        self.whole = 0;
        std::mem::take(&mut self.queue).into_iter().map(|waiter| waiter.batch)
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
