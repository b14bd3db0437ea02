//! Lending: what a visitor takes along, what it gives back, and where it runs.
//!
//! At its last shard the visitor's slots are put into that shard's own array, the command runs as
//! if they had always been there, and they go back by letter. Effects of the command leave before
//! those letters, since a turn ends in that order: nobody can change a slot and be journaled ahead
//! of the command that held it.

use crate::keyspace::space::Keyspace;
use crate::route::{Map, ShardId};
use crate::shard::Shard;
use crate::shard::errand::{Errand, Need};
use crate::shard::letter::{Lent, Letter, Returned};

/// True when everything that is needed from this shard is here.
pub(super) fn is_met(need: &Need, space: &Keyspace, map: &Map, id: ShardId) -> bool {
    match need {
        Need::Slots(slots) => slots.iter().all(|slot| space.has(*slot)),
        Need::Whole => map.slots_of(id).all(|slot| space.has(slot)),
    }
}

impl Shard {
    /// Gives the errand what it needs from this shard; its next stop is the next shard.
    pub(super) fn lend(&mut self, errand: &mut Errand) {
        match &errand.stop().need {
            Need::Slots(slots) => {
                let taken =
                    slots.iter().filter_map(|s| Some((*s, self.engine.space.take(*s)?))).collect();
                errand.slots.push((self.id, taken));
            }
            Need::Whole => {
                let none = Keyspace::new(self.given.hasher.clone());
                let space = std::mem::replace(&mut self.engine.space, none);
                errand.spaces.push((self.id, Box::new(space)));
            }
        }
        errand.at += 1;
    }

    /// Puts the slots that an errand carries where the command can see them. Whole shards stay in
    /// the errand: the commands that want them go over one after the other.
    pub(super) fn install(&mut self, errand: &mut Errand) {
        self.exchange_own(errand);
        for (_, slots) in &mut errand.slots {
            for (number, slot) in slots.drain(..) {
                self.engine.space.put(number, slot);
            }
        }
    }

    /// What the errand took along of this shard stands here while the command runs a step.
    pub(super) fn uninstall(&mut self, errand: &mut Errand) {
        self.exchange_own(errand);
    }

    fn exchange_own(&mut self, errand: &mut Errand) {
        if let Some((_, own)) = errand.spaces.iter_mut().find(|(owner, _)| *owner == self.id) {
            std::mem::swap(&mut self.engine.space, own);
        }
    }

    /// Takes the slots of an errand out again, where they were put in, and sends everything home.
    pub(super) fn give_back(&mut self, errand: Errand, torn: bool) {
        let Errand { stops, slots, spaces, .. } = errand;
        for (stop, (owner, mut slots)) in stops.iter().zip(slots) {
            if let (Need::Slots(numbers), true) = (&stop.need, slots.is_empty()) {
                let space = &mut self.engine.space;
                slots.extend(numbers.iter().filter_map(|n| Some((*n, space.take(*n)?))));
            }
            self.send_back(owner, Lent::Slots(slots), torn);
        }
        for (owner, space) in spaces {
            self.send_back(owner, Lent::Whole(space), torn);
        }
    }

    fn send_back(&mut self, owner: ShardId, slots: Lent, torn: bool) {
        let returned = Returned { slots, torn };
        if owner == self.id {
            self.take_back(returned);
        } else {
            self.outbox.letters.push((owner, Letter::Return(returned)));
        }
    }
}
