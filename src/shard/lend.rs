//! Lending: what a visitor takes along, what it gives back, and where it runs.
//!
//! At its last shard the visitor's slots are put into that shard's own array, or everything takes
//! the place of that array; the command runs as if the slots had always been there, and they go
//! back by letter. Effects of the command leave before those letters, since a turn ends in that
//! order: nobody can change a slot and be journaled ahead of the command that held it.

use crate::keyspace::space::Keyspace;
use crate::route::{Map, ShardId};
use crate::shard::Shard;
use crate::shard::errand::{Errand, Need, Stop};
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
        let Some(Stop { need, .. }) = errand.stop() else { return };
        match need {
            Need::Slots(slots) => {
                let taken =
                    slots.iter().filter_map(|s| Some((*s, self.engine.space.take(*s)?))).collect();
                errand.slots.push((self.id, taken));
            }
            Need::Whole => {
                let space = &mut self.engine.space;
                match &mut errand.everything {
                    Some(everything) => everything.take_in(space),
                    None => {
                        let none = Keyspace::new(self.given.hasher.clone());
                        errand.everything = Some(Box::new(std::mem::replace(space, none)));
                    }
                }
            }
        }
        errand.at += 1;
    }

    /// Puts the slots that an errand carries where the command can see them.
    pub(super) fn install(&mut self, errand: &mut Errand) {
        self.exchange(errand);
        for (_, slots) in &mut errand.slots {
            for (number, slot) in slots.drain(..) {
                self.engine.space.put(number, slot);
            }
        }
    }

    /// Takes everything away again, where that was put in.
    pub(super) fn uninstall(&mut self, errand: &mut Errand) {
        self.exchange(errand);
    }

    fn exchange(&mut self, errand: &mut Errand) {
        if let Some(everything) = &mut errand.everything {
            std::mem::swap(&mut self.engine.space, everything);
        }
    }

    /// Takes the slots of an errand out again, where they were put in, and sends everything home.
    pub(super) fn give_back(&mut self, errand: Errand, torn: bool) {
        let Errand { stops, slots, everything, holds_moves, .. } = errand;
        for (stop, (owner, mut slots)) in stops.iter().zip(slots) {
            if let (Need::Slots(numbers), true) = (&stop.need, slots.is_empty()) {
                let space = &mut self.engine.space;
                slots.extend(numbers.iter().filter_map(|n| Some((*n, space.take(*n)?))));
            }
            self.send_back(owner, Lent::Slots(slots), torn);
        }
        let wholes = everything.map_or_else(Vec::new, |everything| everything.into_wholes());
        for (stop, whole) in stops.iter().zip(wholes) {
            self.send_back(stop.shard, Lent::Whole(whole), torn);
        }
        if holds_moves {
            self.hold_moves(-1);
        }
    }

    /// Tells every shard that there is one reason more, or less, for slots to stay.
    pub(super) fn hold_moves(&mut self, change: i32) {
        for shard in (0..self.given.map.shards()).filter(|shard| *shard != self.id) {
            self.outbox.letters.push((shard, Letter::HoldMoves(change)));
        }
        self.receive(Letter::HoldMoves(change));
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
