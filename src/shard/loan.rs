//! A loan: what shards have lent to a command, and the way home for it.
//!
//! Whatever is lent comes home, once. In the ordinary way its shards get it by the letters of a
//! turn, behind the effects of the command. A loan that is dropped, since the batch that carried it
//! was lost, sends home by post what it still holds: as torn, since nobody knows how far the
//! command had come. It knows no shard and takes no lock. While it is installed the slots stand in
//! the array of the shard where the command runs, and a guard takes them out of there again,
//! whatever panics.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::base::hash::Hasher;
use crate::keyspace::slot::Slot;
use crate::keyspace::space::{Keyspace, Slots};
use crate::route::ShardId;
use crate::shard::execute::Engine;
use crate::shard::letter::{Lent, Letter, Returned};

/// The way to the shards for what has lost its own: a handle of the shell.
///
/// It is used while a panic unwinds, so it never panics. At shutdown it does nothing.
pub trait Post: Send + Sync {
    /// Sends a letter to a shard.
    fn post(&self, to: ShardId, letter: Letter);
}

/// Slots of one shard. The place of one that is installed is empty.
type Places = Vec<(u16, Option<Box<Slot>>)>;

/// All slots of some shards.
#[derive(Debug)]
struct Wholes {
    /// In the order in which they lent.
    lenders: Vec<ShardId>,
    /// While it is installed, the array whose place it took.
    space: Box<Keyspace>,
}

/// What shards have lent.
pub(crate) struct Loan {
    post: Arc<dyn Post>,
    slots: Vec<(ShardId, Places)>,
    wholes: Option<Wholes>,
    /// The shards below this number have been told to keep their slots.
    holds_moves: ShardId,
}

impl Loan {
    /// A loan of nothing so far.
    pub(crate) fn new(post: Arc<dyn Post>) -> Loan {
        Loan { post, slots: Vec::new(), wholes: None, holds_moves: 0 }
    }

    /// True when it holds something of a shard.
    pub(crate) fn holds(&self) -> bool {
        !self.slots.is_empty() || self.wholes.is_some()
    }

    /// Takes these slots of a shard along, where they are there.
    pub(super) fn take_slots(&mut self, lender: ShardId, numbers: &[u16], space: &mut Keyspace) {
        let take = |number: &u16| Some((*number, Some(space.take(*number)?)));
        self.slots.push((lender, numbers.iter().filter_map(take).collect()));
    }

    /// Takes all slots of a shard along.
    pub(super) fn take_whole(&mut self, lender: ShardId, space: &mut Keyspace, hasher: &Hasher) {
        match &mut self.wholes {
            Some(wholes) => {
                wholes.space.take_in(space);
                wholes.lenders.push(lender);
            }
            None => {
                let taken = std::mem::replace(space, Keyspace::new(hasher.clone()));
                self.wholes = Some(Wholes { lenders: vec![lender], space: Box::new(taken) });
            }
        }
    }

    /// The shards below this number are told to keep their slots; they are told when they need not
    /// any more.
    pub(super) fn hold_moves(&mut self, shards: ShardId) {
        self.holds_moves = shards;
    }

    /// Puts what it holds where a command sees it, until the guard is dropped.
    pub(super) fn install<'a>(&'a mut self, engine: &'a mut Engine) -> Installed<'a> {
        self.exchange(&mut engine.space);
        for (_, places) in &mut self.slots {
            for (number, place) in places {
                if let Some(slot) = place.take() {
                    engine.space.put(*number, slot);
                }
            }
        }
        Installed { loan: self, engine }
    }

    fn uninstall(&mut self, space: &mut Keyspace) {
        for (_, places) in &mut self.slots {
            for (number, place) in places {
                *place = space.take(*number);
            }
        }
        self.exchange(space);
    }

    fn exchange(&mut self, space: &mut Keyspace) {
        if let Some(wholes) = &mut self.wholes {
            std::mem::swap(space, &mut wholes.space);
        }
    }

    /// Parts with all that it holds, by `send`.
    pub(super) fn give_back(&mut self, torn: bool, mut send: impl FnMut(ShardId, Letter)) {
        for (owner, places) in self.slots.drain(..) {
            let slots: Slots =
                places.into_iter().filter_map(|(n, slot)| Some((n, slot?))).collect();
            send(owner, Letter::Return(Returned { slots: Lent::Slots(slots), torn }));
        }
        if let Some(Wholes { lenders, space }) = self.wholes.take() {
            for (owner, whole) in lenders.into_iter().zip(space.into_wholes()) {
                send(owner, Letter::Return(Returned { slots: Lent::Whole(whole), torn }));
            }
        }
        for shard in 0..std::mem::take(&mut self.holds_moves) {
            send(shard, Letter::HoldMoves(-1));
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.holds() || self.holds_moves > 0 {
            let post = Arc::clone(&self.post);
            self.give_back(true, |owner, letter| post.post(owner, letter));
        }
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loan { slots, wholes, holds_moves, .. } = self;
        f.debug_struct("Loan")
            .field("slots", slots)
            .field("wholes", wholes)
            .field("holds_moves", holds_moves)
            .finish_non_exhaustive()
    }
}

/// A shard's engine with what a loan holds in its array.
pub(super) struct Installed<'a> {
    loan: &'a mut Loan,
    engine: &'a mut Engine,
}

impl Deref for Installed<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        self.engine
    }
}

impl DerefMut for Installed<'_> {
    fn deref_mut(&mut self) -> &mut Engine {
        self.engine
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        self.loan.uninstall(&mut self.engine.space);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::base::slot;
    use crate::hook::Phase;
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
        loan.give_back(false, |to, letter| sent.push((to, letter)));
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
