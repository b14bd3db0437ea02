//! A command over several shards: which slots it takes along from where.
//!
//! An errand visits its shards in ascending order, takes the slots that it names from each but the
//! last, runs there, and gives everything back. The ascending order is what rules out deadlock.
//! One that wants everything takes the last shard's slots as well, so that all stand in one
//! keyspace. Where slots moved on its way it starts again, and from then on none moves until it
//! has run.
//!
//! A command that turns out to need more, when it runs, goes on from there with what it holds, out
//! of the ascending order. So it waits nowhere from then on: where something is away that it
//! needs, it gives all back and starts again.

use std::sync::Arc;

use crate::lending::Post;
use crate::lending::loan::Loan;
use crate::route::{Map, ShardId};

/// What one shard has to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// These slots, ascending.
    Slots(Vec<u16>),
    /// All that it owns.
    Whole,
}

/// One shard to visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) shard: ShardId,
    pub(crate) need: Need,
}

/// A command on its way over its shards.
#[derive(Debug)]
pub struct Errand {
    epoch: u64,
    /// What is at the last shard is taken along as well: others wait for it, as they do elsewhere.
    pub(crate) takes_last: bool,
    /// It has left the ascending order, and waits nowhere.
    pub(crate) waits_nowhere: bool,
    /// Scripts that have run with it, one behind the other, and left it to the next.
    pub(crate) kept: u32,
    pub(crate) stops: Vec<Stop>,
    pub(crate) at: usize,
    /// What the shards so far have lent.
    pub(crate) loan: Loan,
}

impl Errand {
    /// An errand for these slots (ascending, none twice).
    pub(crate) fn for_slots(slots: &[u16], map: &Map, post: Arc<dyn Post>) -> Errand {
        let (epoch, loan) = (map.epoch(), Loan::new(post));
        let stops = Errand::stops_for(slots, map);
        Errand { epoch, takes_last: false, waits_nowhere: false, kept: 0, stops, at: 0, loan }
    }

    /// The shards that have these slots (none twice), ascending.
    pub(crate) fn stops_for(slots: &[u16], map: &Map) -> Vec<Stop> {
        let mut stops: Vec<Stop> = Vec::new();
        let mut owned: Vec<(ShardId, u16)> = slots.iter().map(|s| (map.owner(*s), *s)).collect();
        owned.sort_unstable();
        for (shard, slot) in owned {
            match stops.last_mut() {
                Some(Stop { shard: last, need: Need::Slots(slots) }) if *last == shard => {
                    slots.push(slot);
                }
                _ => stops.push(Stop { shard, need: Need::Slots(vec![slot]) }),
            }
        }
        stops
    }

    /// Goes on to these shards, wherever they stand in the order.
    pub(crate) fn go_on_to(&mut self, stops: Vec<Stop>) {
        self.at = self.stops.len();
        self.stops.extend(stops);
        (self.takes_last, self.waits_nowhere) = (false, true);
    }

    /// The next script of its batch runs with what it holds.
    pub(crate) fn keep(&mut self) {
        self.kept += 1;
        self.at = self.stops.len();
    }

    /// An errand for everything.
    pub(crate) fn for_all(map: &Map, post: Arc<dyn Post>) -> Errand {
        let stops = (0..map.shards()).map(|shard| Stop { shard, need: Need::Whole }).collect();
        let (epoch, loan) = (map.epoch(), Loan::new(post));
        let takes_last = map.shards() > 1;
        Errand { epoch, takes_last, waits_nowhere: false, kept: 0, stops, at: 0, loan }
    }

    /// An errand for everything, for a command that lets others in between its steps.
    pub(crate) fn for_steps(map: &Map, post: Arc<dyn Post>) -> Errand {
        Errand::for_all(map, post).takes_last()
    }

    /// The same, which leaves nothing at its last shard either.
    pub(crate) fn takes_last(self) -> Errand {
        Errand { takes_last: true, ..self }
    }

    /// True when the shard to visit now has, by this map, what is wanted from it. With another map
    /// than at the start, a slot may have moved from a shard ahead to one that was visited before,
    /// so whoever wants everything starts again.
    pub(crate) fn is_on_its_way(&self, map: &Map) -> bool {
        match self.stop() {
            Some(Stop { shard, need: Need::Slots(slots) }) => {
                slots.iter().all(|slot| map.owner(*slot) == *shard)
            }
            Some(Stop { need: Need::Whole, .. }) => map.epoch() == self.epoch,
            None => true,
        }
    }

    /// The shard to visit now; none when it holds everything that it wants.
    pub(crate) fn stop(&self) -> Option<&Stop> {
        self.stops.get(self.at)
    }

    /// True at the shard where the command runs.
    pub(crate) fn is_last(&self) -> bool {
        self.at + 1 == self.stops.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lending::Nowhere;

    #[test]
    fn stops_are_ascending_and_every_slot_is_taken_once() {
        let map = Map::new(4);
        let slots: Vec<u16> = (0..200).collect();
        let errand = Errand::for_slots(&slots, &map, Arc::new(Nowhere));
        let mut taken = Vec::new();
        for stop in &errand.stops {
            let Need::Slots(slots) = &stop.need else { panic!("only slots were asked for") };
            assert!(slots.iter().all(|slot| map.owner(*slot) == stop.shard) && slots.is_sorted());
            taken.extend_from_slice(slots);
        }
        assert!(errand.stops.is_sorted_by_key(|stop| stop.shard));
        taken.sort_unstable();
        assert_eq!(taken, slots);
    }
}
