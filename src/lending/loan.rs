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
use crate::lending::{GivenBack, Lent, Post, Returned};
use crate::route::ShardId;

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
    /// Those of its lenders that have been told that it lasts.
    told: Vec<ShardId>,
}

impl Loan {
    /// A loan of nothing so far.
    pub(crate) fn new(post: Arc<dyn Post>) -> Loan {
        Loan { post, slots: Vec::new(), wholes: None, holds_moves: 0, told: Vec::new() }
    }

    /// True when it holds something of a shard.
    pub(crate) fn holds(&self) -> bool {
        !self.slots.is_empty() || self.wholes.is_some()
    }

    /// Takes these slots of a shard along, where they are there.
    pub(crate) fn take_slots(&mut self, lender: ShardId, numbers: &[u16], space: &mut Keyspace) {
        let take = |number: &u16| Some((*number, Some(space.take(*number)?)));
        let taken = numbers.iter().filter_map(take);
        match self.slots.iter_mut().find(|(of, _)| *of == lender) {
            Some((_, places)) => places.extend(taken),
            None => self.slots.push((lender, taken.collect())),
        }
    }

    /// Takes over the slots of another loan.
    pub(crate) fn absorb(&mut self, mut other: Loan) {
        for (lender, places) in std::mem::take(&mut other.slots) {
            match self.slots.iter_mut().find(|(of, _)| *of == lender) {
                Some((_, own)) => own.extend(places),
                None => self.slots.push((lender, places)),
            }
        }
    }

    /// Whether it holds whole shards.
    pub(crate) fn has_wholes(&self) -> bool {
        self.wholes.is_some()
    }

    /// The slots that it holds apart from whole shards, ascending.
    pub(crate) fn numbers(&self) -> Vec<u16> {
        let places = self.slots.iter().flat_map(|(_, places)| places);
        let mut numbers: Vec<u16> = places.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Takes all slots of a shard along.
    pub(crate) fn take_whole(&mut self, lender: ShardId, space: &mut Keyspace, hasher: &Hasher) {
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
    pub(crate) fn hold_moves(&mut self, shards: ShardId) {
        self.holds_moves = shards;
    }

    /// It is not home soon. Returns those of its lenders that do not know: they have to be told,
    /// and are told when it is.
    pub(crate) fn lasts(&mut self) -> Vec<ShardId> {
        let new: Vec<ShardId> = self.lenders().filter(|of| !self.told.contains(of)).collect();
        self.told.extend(&new);
        new
    }

    /// What it holds, by lender; nothing where that is all that the lender has.
    pub(crate) fn held(&self) -> impl Iterator<Item = (ShardId, Option<Vec<u16>>)> {
        let numbers = |places: &Places| places.iter().map(|(number, _)| *number).collect();
        let of_slots = self.slots.iter().map(move |(lender, of)| (*lender, Some(numbers(of))));
        let of_wholes = self.wholes.iter().flat_map(|wholes| wholes.lenders.iter().copied());
        of_slots.chain(of_wholes.map(|lender| (lender, None)))
    }

    fn lenders(&self) -> impl Iterator<Item = ShardId> {
        let of_wholes = self.wholes.iter().flat_map(|wholes| wholes.lenders.iter().copied());
        self.slots.iter().map(|(lender, _)| *lender).chain(of_wholes)
    }

    /// Puts what it holds where a command sees it, until the guard is dropped.
    pub(crate) fn install<'a, E: AsMut<Keyspace>>(
        &'a mut self,
        engine: &'a mut E,
    ) -> Installed<'a, E> {
        let space = engine.as_mut();
        self.exchange(space);
        for (_, places) in &mut self.slots {
            for (number, place) in places {
                if let Some(slot) = place.take() {
                    space.put(*number, slot);
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

    /// Parts with all that it holds, by `send`: to each shard what is its own.
    pub(crate) fn give_back(&mut self, torn: bool, mut send: impl FnMut(ShardId, GivenBack)) {
        let told = std::mem::take(&mut self.told);
        for (owner, places) in self.slots.drain(..) {
            let slots: Slots =
                places.into_iter().filter_map(|(n, slot)| Some((n, slot?))).collect();
            send(owner, GivenBack::Slots(Returned { slots: Lent::Slots(slots), torn }));
        }
        if let Some(Wholes { lenders, space }) = self.wholes.take() {
            for (owner, whole) in lenders.into_iter().zip(space.into_wholes()) {
                send(owner, GivenBack::Slots(Returned { slots: Lent::Whole(whole), torn }));
            }
        }
        told.into_iter().for_each(|lender| send(lender, GivenBack::Lasted));
        for shard in 0..std::mem::take(&mut self.holds_moves) {
            send(shard, GivenBack::Moves);
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.holds() || self.holds_moves > 0 {
            let post = Arc::clone(&self.post);
            self.give_back(true, |owner, given_back| post.post(owner, given_back));
        }
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loan { slots, wholes, holds_moves, told, .. } = self;
        f.debug_struct("Loan")
            .field("slots", slots)
            .field("wholes", wholes)
            .field("holds_moves", holds_moves)
            .field("told", told)
            .finish_non_exhaustive()
    }
}

/// What runs a command, with what a loan holds in its array of slots.
pub(crate) struct Installed<'a, E: AsMut<Keyspace>> {
    loan: &'a mut Loan,
    engine: &'a mut E,
}

impl<E: AsMut<Keyspace>> Deref for Installed<'_, E> {
    type Target = E;

    fn deref(&self) -> &E {
        self.engine
    }
}

impl<E: AsMut<Keyspace>> DerefMut for Installed<'_, E> {
    fn deref_mut(&mut self) -> &mut E {
        self.engine
    }
}

impl<E: AsMut<Keyspace>> Drop for Installed<'_, E> {
    fn drop(&mut self) {
        self.loan.uninstall(self.engine.as_mut());
    }
}
