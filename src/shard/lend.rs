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
use crate::shard::letter::Letter;
use crate::shard::loan::Loan;

/// True when everything that is needed from this shard is here.
pub(super) fn is_met(need: &Need, space: &Keyspace, map: &Map, id: ShardId) -> bool {
    match need {
        Need::Slots(slots) => slots.iter().all(|slot| space.has(*slot)),
        Need::Whole => map.slots_of(id).all(|slot| space.has(slot)),
    }
}

impl Shard {
    /// Lends to the errand what it needs from this shard; its next stop is the next shard.
    pub(super) fn lend(&mut self, errand: &mut Errand) {
        let Errand { stops, at, loan, .. } = errand;
        let Some(Stop { need, .. }) = stops.get(*at) else { return };
        let space = &mut self.engine.space;
        match need {
            Need::Slots(slots) => loan.take_slots(self.id, slots, space),
            Need::Whole => loan.take_whole(self.id, space, &self.given.hasher),
        }
        *at += 1;
    }

    /// Sends home what was lent: behind the effects of this turn.
    pub(super) fn give_back(&mut self, mut errand: Errand, torn: bool) {
        errand.loan.give_back(torn, |owner, letter| {
            if owner == self.id {
                self.receive(letter);
            } else {
                self.outbox.letters.push((owner, letter));
            }
        });
    }

    /// From now on no slot leaves its shard until the loan is given back.
    pub(super) fn hold_moves(&mut self, loan: &mut Loan) {
        let shards = self.given.map.shards();
        for shard in (0..shards).filter(|shard| *shard != self.id) {
            self.outbox.letters.push((shard, Letter::HoldMoves(1)));
        }
        self.receive(Letter::HoldMoves(1));
        loan.hold_moves(shards);
    }
}
