//! Lending: what a visitor takes along, what it gives back, and where it runs.
//!
//! At its last shard the visitor's slots are put into that shard's own array, or everything takes
//! the place of that array; the command runs as if the slots had always been there, and they go
//! back by letter. Effects of the command leave before those letters, since a turn ends in that
//! order: nobody can change a slot and be journaled ahead of the command that held it.

use std::sync::Arc;

use crate::base::slot::SLOTS;
use crate::batch::Batch;
use crate::hook::Phase;
use crate::keyspace::space::Keyspace;
use crate::lending::errand::{Errand, Need, Stop};
use crate::lending::loan::Loan;
use crate::route::{Map, ShardId};
use crate::shard::execute::Engine;
use crate::shard::letter::Letter;
use crate::shard::visit::WIDER_MAX;
use crate::shard::{Environment, Shard};

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
            Need::Whole => loan.take_whole(self.id, space, &self.env.hasher),
        }
        *at += 1;
    }

    /// The batch's next call has met slots that are not here: its errand goes on to where they are,
    /// with all that it holds. False where it has to start again.
    pub(super) fn go_on(&mut self, batch: &Batch, errand: &mut Errand) -> bool {
        let slots = batch.ascending_slots();
        if slots.len() > WIDER_MAX {
            return false;
        }
        errand.loan.take_slots(self.id, &slots, &mut self.engine.space);
        let mut held = Vec::new();
        for (_, slots) in errand.loan.held() {
            let Some(slots) = slots else { return false };
            held.extend(slots);
        }
        held.sort_unstable();
        let is_missing = |slot: &u16| held.binary_search(slot).is_err();
        let missing: Vec<u16> = slots.into_iter().filter(is_missing).collect();
        let stops = Errand::stops_for(&missing, &self.env.map);
        // What is this shard's own is away.
        let is_elsewhere = stops.iter().all(|stop| stop.shard != self.id);
        let goes_on = !stops.is_empty() && is_elsewhere;
        if goes_on {
            errand.go_on_to(stops);
        }
        goes_on
    }

    /// The script of the batch's next call stands still: the slots that it has met leave the array,
    /// so that nobody sees what it has done so far.
    pub(super) fn hold(&mut self, batch: &mut Batch) {
        self.take_along(batch);
        if let Some(kind) = self.engine.newly_slow(batch)
            && let Some(errand) = &batch.errand
        {
            let all = |lender| self.env.map.slots_of(lender).collect();
            let held = errand.loan.held().map(|(of, slots)| (of, slots.unwrap_or_else(|| all(of))));
            let letters: Vec<(ShardId, Letter)> =
                held.map(|(of, slots)| (of, Letter::HeldLong(slots, kind))).collect();
            self.send_or_take(letters);
        }
        self.tell_lenders(batch);
    }

    /// The slots that the script of the batch's next call has met leave the array.
    pub(super) fn take_along<'a>(&mut self, batch: &'a mut Batch) -> &'a Errand {
        let slots = batch.ascending_slots();
        let errand = batch.errand.get_or_insert_with(|| {
            Box::new(Errand::for_slots(&[], &self.env.map, Arc::clone(&self.post)))
        });
        errand.takes_last = true;
        while errand.stop().is_some() {
            self.lend(errand);
        }
        errand.loan.take_slots(self.id, &slots, &mut self.engine.space);
        errand
    }

    /// Sends letters; those to the shard itself are taken at once.
    fn send_or_take(&mut self, letters: Vec<(ShardId, Letter)>) {
        for (to, letter) in letters {
            match to == self.id {
                true => self.receive(letter),
                false => self.outbox.letters.push((to, letter)),
            }
        }
    }

    /// Tells other shards what the call that was run has left to tell of scripts: of libraries
    /// ahead of everything that comes of their change.
    #[inline]
    pub(super) fn tell_of_scripts(&mut self) {
        self.tell_needs();
        if std::mem::take(&mut self.engine.libraries_changed) {
            let libraries = Arc::new(self.engine.scripting.libraries.clone());
            for shard in (0..self.env.map.shards()).filter(|shard| *shard != self.id) {
                let letter = Letter::Libraries(Arc::clone(&libraries));
                self.outbox.letters.push((shard, letter));
            }
        }
    }

    /// Acts on the keyspace of all slots, which the batch has brought together. None where some are
    /// missing, or what they hold cannot be trusted.
    pub(super) fn with_all_slots<T>(
        &mut self,
        batch: &mut Batch,
        act: impl FnOnce(&mut Engine, &Environment) -> T,
    ) -> Option<T> {
        let Shard { engine, env, .. } = self;
        let is_trusted = engine.phase == Phase::Serving;
        let errand = batch.errand.as_mut().filter(|_| is_trusted)?;
        let mut engine = errand.loan.install(engine);
        let has_all = engine.space.slots_here() == usize::from(SLOTS);
        has_all.then(|| act(&mut engine, env))
    }

    /// Sends home what was lent: behind the effects of this turn.
    pub(super) fn give_back(&mut self, mut errand: Errand, torn: bool) {
        self.give_back_loan(&mut errand.loan, torn);
    }

    /// The same of a loan.
    pub(super) fn give_back_loan(&mut self, loan: &mut Loan, torn: bool) {
        loan.give_back(torn, |owner, given_back| {
            let letter = given_back.into();
            if owner == self.id {
                self.receive(letter);
            } else {
                self.outbox.letters.push((owner, letter));
            }
        });
    }

    /// What the batch holds is away until something outside is done.
    pub(super) fn tell_lenders(&mut self, batch: &mut Batch) {
        let Some(errand) = &mut batch.errand else { return };
        let lasts = errand.loan.lasts().into_iter().map(|lender| (lender, Letter::Lasts(1)));
        let letters = lasts.collect();
        self.send_or_take(letters);
    }

    /// From now on no slot leaves its shard until the loan is given back.
    pub(super) fn hold_moves(&mut self, loan: &mut Loan) {
        let shards = self.env.map.shards();
        for shard in (0..shards).filter(|shard| *shard != self.id) {
            self.outbox.letters.push((shard, Letter::HoldMoves(1)));
        }
        self.receive(Letter::HoldMoves(1));
        loan.hold_moves(shards);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::base::slot;
    use crate::testing::Shards;

    const SHARDS: ShardId = 3;

    /// A store, and for each shard a key that it owns.
    fn store() -> (Shards, Vec<String>) {
        let mut store = Shards::new(SHARDS);
        let map = store.shards[0].map().clone();
        let is_of = |key: &String, shard| map.owner(slot::of(key.as_bytes())) == shard;
        let key_of =
            |shard| (0..).map(|n| format!("k{n}")).find(|k| is_of(k, shard)).expect("endless");
        let keys: Vec<String> = (0..SHARDS).map(key_of).collect();
        keys.iter().for_each(|key| assert_eq!(store.run(&format!("SET {key} v")), "OK"));
        (store, keys)
    }

    /// The request goes on its way and is lost ahead of the shard of this number.
    fn lose_ahead_of(store: &mut Shards, request: &str, stop: usize) {
        store.send(&[request]);
        for shard in 0..stop {
            let mut visit = store.letters_of(shard);
            assert_eq!(visit.len(), 1, "it goes on to the next shard");
            if shard + 1 < stop {
                store.deliver(visit);
            } else {
                drop(visit.pop());
            }
        }
    }

    fn number_here(store: &Shards) -> usize {
        store.shards.iter().map(|shard| shard.engine.space.here().count()).sum()
    }

    /// Delivers what came by post: it makes who lent distrust, and nobody else.
    fn all_is_home_as_torn(store: &mut Shards, lenders: usize) {
        assert!(number_here(store) < usize::from(slot::SLOTS), "something is away");
        let letters = store.posted.take();
        store.deliver(letters);
        assert_eq!(number_here(store), usize::from(slot::SLOTS));
        for (number, shard) in store.shards.iter_mut().enumerate() {
            let expected = if number < lenders { Phase::Suspect } else { Phase::Serving };
            assert_eq!(shard.phase(), expected, "shard {number}");
            shard.serve();
        }
    }

    #[test]
    fn slots_come_home_as_torn_wherever_their_batch_is_lost() {
        for stop in 1..usize::from(SHARDS) {
            let (mut store, keys) = store();
            lose_ahead_of(&mut store, &format!("MSET {}", keys.join(" w ") + " w"), stop);
            all_is_home_as_torn(&mut store, stop);
            let found = store.run(&format!("MGET {}", keys.join(" ")));
            assert_eq!(found, "1) \"v\"\n2) \"v\"\n3) \"v\"");
        }
    }

    #[test]
    fn whole_shards_come_home_as_torn_wherever_their_batch_is_lost() {
        for stop in 1..usize::from(SHARDS) {
            let (mut store, _) = store();
            lose_ahead_of(&mut store, "DBSIZE", stop);
            all_is_home_as_torn(&mut store, stop);
            assert_eq!(store.run("DBSIZE"), "(integer) 3");
        }
    }

    #[test]
    fn a_batch_that_waits_and_is_lost_gives_back_what_it_holds() {
        let (mut store, keys) = store();
        let request = format!("MSET {}", keys.join(" w ") + " w");
        let away = store.shards[1].engine.space.take(slot::of(keys[1].as_bytes()));
        store.send(&[&request]);
        let visit = store.letters_of(0);
        store.deliver(visit);
        assert!(store.letters_of(1).is_empty(), "it waits for a slot that is away");
        drop(store.shards[1].waiting.drain().collect::<Vec<_>>());
        let slot = away.expect("the shard had its slot");
        store.shards[1].engine.space.put(slot::of(keys[1].as_bytes()), slot);
        all_is_home_as_torn(&mut store, 1);
    }

    #[test]
    fn what_is_installed_is_taken_out_whatever_panics_and_comes_home_once() {
        let (mut store, keys) = store();
        let number = slot::of(keys[0].as_bytes());
        let mut loan = Loan::new(store.posted.clone());
        loan.take_slots(0, &[number], &mut store.shards[0].engine.space);
        let engine = &mut store.shards[1].engine;
        let run = || {
            let installed = loan.install(engine);
            assert!(installed.space.has(number), "the command sees it");
            panic!("a command breaks");
        };
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        assert!(!store.shards[1].engine.space.has(number), "it is taken out");
        let mut sent = Vec::new();
        loan.give_back(false, |to, given_back| sent.push((to, given_back.into())));
        assert_eq!((sent.len(), loan.holds()), (1, false));
        drop(loan);
        assert!(store.posted.take().is_empty(), "nothing comes home twice");
        store.deliver(sent);
        assert_eq!(store.shards[0].phase(), Phase::Serving, "it is whole");
        assert_eq!(store.run(&format!("GET {}", keys[0])), "\"v\"");
    }

    #[test]
    fn whole_shards_that_are_installed_are_taken_out_whatever_panics() {
        let (mut store, _) = store();
        let hasher = store.shards[0].hasher().clone();
        let mut loan = Loan::new(store.posted.clone());
        for (number, shard) in (0..).zip(&mut store.shards) {
            loan.take_whole(number, &mut shard.engine.space, &hasher);
        }
        let engine = &mut store.shards[2].engine;
        let run = || {
            let installed = loan.install(engine);
            assert_eq!(installed.space.here().count(), usize::from(slot::SLOTS));
            panic!("a command breaks");
        };
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        drop(loan);
        all_is_home_as_torn(&mut store, usize::from(SHARDS));
        assert_eq!(store.run("DBSIZE"), "(integer) 3");
    }

    #[test]
    fn slots_may_move_again_when_who_held_them_is_lost() {
        let (mut store, _) = store();
        let mut loan = Loan::new(store.posted.clone());
        store.shards[0].hold_moves(&mut loan);
        let held = |store: &Shards| -> Vec<i32> {
            store.shards.iter().map(|shard| shard.moves_held).collect()
        };
        let told = store.letters_of(0);
        store.deliver(told);
        assert_eq!(held(&store), [1, 1, 1]);
        drop(loan);
        let letters = store.posted.take();
        store.deliver(letters);
        assert_eq!(held(&store), [0, 0, 0]);
    }
}
