//! What the router decides: the map of slots to shards, and how slots move.
//!
//! No command passes through here. An order moves slots; all of them are under way at once, one
//! order after the other. A slot moves in three steps: its owner is told to send it, the new owner
//! says that it holds it, and the new map goes to everybody. Mail for the slot waits at the old
//! owner until its map arrives, and then goes on.
//!
//! The map says where a slot is, whatever became of the order that moved it. Where an order fails,
//! slots that have not left stay; one that had left and arrives later is taken into the map all the
//! same. It may arrive where nobody wants it any more, since another order came meanwhile, and is
//! sent on from there. The other order may be done by then, since the map still had the slot where
//! that order wants it. So the last order for a slot counts also when it is done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use thiserror::Error;

use crate::base::slot::SLOTS;
use crate::route::{Map, ShardId};
use crate::shard::letter::Letter;

/// Orders that wait their turn, at most.
pub const ORDERS_MAX: usize = 1024;

/// How long an order is under way at most, in milliseconds. A shard that is rebuilt keeps its slots
/// for as long as that takes.
pub const ORDER_MS: u64 = 60_000;

/// Slots that have to move.
#[derive(Clone, Debug)]
pub struct Order<T> {
    /// The slots, and to which shards.
    pub moves: BTreeMap<u16, ShardId>,
    /// Comes back with the answer.
    pub token: T,
}

/// Why an order failed. Slots of it may have moved, or may move later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// There is nothing of this number; nothing moves.
    #[error("no such slot or shard")]
    NoSuchPlace,
    /// Too many orders wait; nothing moves.
    #[error("too many moves wait")]
    TooMany,
    /// The router panicked while slots were under way.
    #[error("the router was started anew while slots moved")]
    StartedAnew,
    /// Not all slots had arrived after [`ORDER_MS`].
    #[error("the slots did not arrive in time")]
    TooLate,
}

/// What follows from a piece of mail, to be sent in this order.
#[derive(Debug)]
pub struct Dispatch<T> {
    /// To the shards.
    pub letters: Vec<(ShardId, Letter)>,
    /// To those who gave orders, behind the map that they asked for.
    pub answers: Vec<(T, Result<(), Failure>)>,
}

/// The order whose slots move now.
#[derive(Debug)]
struct UnderWay<T> {
    moves: BTreeMap<u16, ShardId>,
    token: T,
    until_ms: u64,
}

impl<T> UnderWay<T> {
    /// The slots that are not where they go. One that was there may have been sent away meanwhile,
    /// by what is left of an order that failed.
    fn missing(&self, map: &Map) -> impl Iterator<Item = (u16, ShardId)> {
        let moves = self.moves.iter().map(|(slot, to)| (*slot, *to));
        moves.filter(|(slot, to)| map.owner(*slot) != *to)
    }
}

/// The map, and who wants it changed.
#[derive(Debug)]
pub struct Router<T> {
    map: Arc<Map>,
    waiting: VecDeque<Order<T>>,
    under_way: Option<UnderWay<T>>,
    /// Where slots go by the last order for each, unless it failed.
    wanted: BTreeMap<u16, ShardId>,
}

impl<T> Router<T> {
    /// A router that starts with this map.
    pub fn new(map: Arc<Map>) -> Router<T> {
        Router { map, waiting: VecDeque::new(), under_way: None, wanted: BTreeMap::new() }
    }

    /// The newest map.
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// Takes an order.
    pub fn order(&mut self, order: Order<T>, now_ms: u64) -> Dispatch<T> {
        let mut dispatch = Dispatch::default();
        let is_known = |(slot, to): (&u16, &ShardId)| *slot < SLOTS && *to < self.map.shards();
        if !order.moves.iter().all(is_known) {
            dispatch.answers.push((order.token, Err(Failure::NoSuchPlace)));
        } else if self.waiting.len() >= ORDERS_MAX {
            dispatch.answers.push((order.token, Err(Failure::TooMany)));
        } else {
            self.waiting.push_back(order);
            self.advance(&mut dispatch, now_ms);
        }
        dispatch
    }

    /// A shard holds slots that were on their way to it.
    pub fn moved(&mut self, slots: &[u16], to: ShardId, now_ms: u64) -> Dispatch<T> {
        let mut dispatch = Dispatch::default();
        let arrived: Vec<u16> =
            slots.iter().copied().filter(|slot| self.map.owner(*slot) != to).collect();
        if arrived.is_empty() {
            return dispatch;
        }
        self.map = Arc::new(self.map.with_moves(&arrived, to));
        self.publish(&mut dispatch);
        let wanted = |slot| Some((slot, *self.wanted.get(&slot)?));
        let elsewhere = arrived.into_iter().filter_map(wanted).filter(|(_, at)| *at != to);
        let move_out = |(slot, at)| (to, Letter::MoveOut { slot, to: at });
        dispatch.letters.extend(elsewhere.map(move_out));
        self.advance(&mut dispatch, now_ms);
        dispatch
    }

    /// Time has come further. To be called each second or so.
    pub fn tick(&mut self, now_ms: u64) -> Dispatch<T> {
        let mut dispatch = Dispatch::default();
        if self.under_way.as_ref().is_some_and(|order| order.until_ms <= now_ms) {
            self.fail(Failure::TooLate, &mut dispatch);
            self.advance(&mut dispatch, now_ms);
        }
        dispatch
    }

    /// The router was started anew after a panic: what it had sent may not have left.
    pub fn restarted(&mut self, now_ms: u64) -> Dispatch<T> {
        let mut dispatch = Dispatch::default();
        self.publish(&mut dispatch);
        self.fail(Failure::StartedAnew, &mut dispatch);
        // What is left are orders that are done, whose slots were to be sent back.
        let wanted = self.wanted.iter().map(|(slot, to)| (self.map.owner(*slot), *slot, *to));
        let elsewhere = wanted.filter(|(owner, _, to)| owner != to);
        let move_out = |(owner, slot, to)| (owner, Letter::MoveOut { slot, to });
        dispatch.letters.extend(elsewhere.map(move_out));
        self.advance(&mut dispatch, now_ms);
        dispatch
    }

    fn publish(&self, dispatch: &mut Dispatch<T>) {
        let routes = |shard| (shard, Letter::Routes(Arc::clone(&self.map)));
        dispatch.letters.extend((0..self.map.shards()).map(routes));
    }

    /// The order that is under way fails. Slots of it that have not left their shards stay there.
    fn fail(&mut self, failure: Failure, dispatch: &mut Dispatch<T>) {
        let Some(order) = self.under_way.take() else { return };
        for (slot, _) in order.missing(&self.map) {
            let owner = self.map.owner(slot);
            self.wanted.remove(&slot);
            dispatch.letters.push((owner, Letter::MoveOut { slot, to: owner }));
        }
        dispatch.answers.push((order.token, Err(failure)));
    }

    /// Answers the order that is done, and begins the next ones until one has to wait.
    fn advance(&mut self, dispatch: &mut Dispatch<T>, now_ms: u64) {
        loop {
            let map = &self.map;
            let is_done = |order: &mut UnderWay<T>| order.missing(map).next().is_none();
            if let Some(done) = self.under_way.take_if(is_done) {
                dispatch.answers.push((done.token, Ok(())));
            }
            if self.under_way.is_some() {
                return;
            }
            let Some(Order { moves, token }) = self.waiting.pop_front() else { return };
            self.wanted.extend(&moves);
            let order = UnderWay { moves, token, until_ms: now_ms + ORDER_MS };
            let move_out = |(slot, to)| (self.map.owner(slot), Letter::MoveOut { slot, to });
            dispatch.letters.extend(order.missing(&self.map).map(move_out));
            self.under_way = Some(order);
        }
    }
}

impl<T> Default for Dispatch<T> {
    fn default() -> Dispatch<T> {
        Dispatch { letters: Vec::new(), answers: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answers = Vec<(&'static str, Result<(), Failure>)>;

    /// A router of three shards, and for each shard the slots that it owns.
    fn router() -> (Router<&'static str>, Vec<Vec<u16>>) {
        let map = Arc::new(Map::new(3));
        let owned = (0..3).map(|shard| map.slots_of(shard).collect()).collect();
        (Router::new(map), owned)
    }

    fn order(moves: &[(u16, ShardId)], token: &'static str) -> Order<&'static str> {
        Order { moves: moves.iter().copied().collect(), token }
    }

    /// What the shards are told to send: by whom, which slot, whereto.
    fn told<T>(dispatch: &Dispatch<T>) -> Vec<(ShardId, u16, ShardId)> {
        let letters = dispatch.letters.iter();
        let told = letters.filter_map(|(from, letter)| match letter {
            Letter::MoveOut { slot, to } => Some((*from, *slot, *to)),
            _ => None,
        });
        told.collect()
    }

    /// How many shards get a map, and its epoch.
    fn maps<T>(dispatch: &Dispatch<T>) -> (usize, Option<u64>) {
        let letters = dispatch.letters.iter();
        let maps = letters.filter_map(|(_, letter)| match letter {
            Letter::Routes(map) => Some(map.epoch()),
            _ => None,
        });
        let epochs: Vec<u64> = maps.collect();
        (epochs.len(), epochs.first().copied())
    }

    #[test]
    fn all_slots_of_an_order_are_under_way_at_once() {
        let (mut router, owned) = router();
        let (a, b, c) = (owned[0][0], owned[0][1], owned[1][0]);
        let sent = router.order(order(&[(a, 1), (b, 1), (c, 2)], "first"), 0);
        let mut expected = vec![(0, a, 1), (0, b, 1), (1, c, 2)];
        expected.sort_by_key(|(_, slot, _)| *slot);
        assert_eq!((told(&sent), sent.answers), (expected, vec![]));
        let sent = router.moved(&[a, b], 1, 1);
        assert_eq!((maps(&sent), sent.answers), ((3, Some(2)), vec![]), "one map for both");
        let sent = router.moved(&[c], 2, 2);
        assert_eq!((maps(&sent), sent.answers), ((3, Some(3)), vec![("first", Ok(()))]));
        let owners = [a, b, c].map(|slot| router.map().owner(slot));
        assert_eq!(owners, [1, 1, 2]);
    }

    #[test]
    fn orders_are_served_one_after_the_other() {
        let (mut router, owned) = router();
        let slot = owned[0][0];
        let _ = router.order(order(&[(slot, 1)], "first"), 0);
        let sent = router.order(order(&[(slot, 2)], "second"), 0);
        assert_eq!((told(&sent), sent.answers), (vec![], vec![]));
        let sent = router.moved(&[slot], 1, 5);
        assert_eq!(told(&sent), [(1, slot, 2)]);
        assert_eq!(sent.answers, [("first", Ok(()))]);
    }

    #[test]
    fn an_order_for_what_is_not_there_moves_nothing() {
        let (mut router, owned) = router();
        for wrong in [(SLOTS, 0), (owned[0][1], 3)] {
            let sent = router.order(order(&[(owned[0][0], 1), wrong], "wrong"), 0);
            assert!(sent.letters.is_empty());
            assert_eq!(sent.answers, [("wrong", Err(Failure::NoSuchPlace))]);
        }
    }

    #[test]
    fn what_is_there_already_is_done_at_once() {
        let (mut router, owned) = router();
        let (here, elsewhere) = (owned[1][0], owned[0][0]);
        let sent = router.order(order(&[(here, 1)], "nothing"), 0);
        assert!(sent.letters.is_empty());
        assert_eq!(sent.answers, [("nothing", Ok(()))]);
        let sent = router.order(order(&[(here, 1), (elsewhere, 1)], "half"), 0);
        assert_eq!((told(&sent), sent.answers), (vec![(0, elsewhere, 1)], vec![]));
    }

    #[test]
    fn too_many_orders_are_refused_and_none_is_forgotten() {
        let (mut router, owned) = router();
        let slot = owned[0][0];
        let _ = router.order(order(&[(slot, 1)], "first"), 0);
        for _ in 0..ORDERS_MAX {
            assert!(router.order(order(&[(slot, 1)], "more"), 0).answers.is_empty());
        }
        let sent = router.order(order(&[(slot, 1)], "last"), 0);
        assert_eq!(sent.answers, [("last", Err(Failure::TooMany))]);
        let sent = router.moved(&[slot], 1, 0);
        assert_eq!(sent.answers.len(), 1 + ORDERS_MAX);
    }

    #[test]
    fn a_restart_fails_what_is_under_way_and_the_next_order_goes_on() {
        let (mut router, owned) = router();
        let (a, b) = (owned[0][0], owned[1][0]);
        let _ = router.order(order(&[(a, 1)], "first"), 0);
        let _ = router.order(order(&[(b, 2)], "second"), 0);
        let sent = router.restarted(7);
        assert_eq!(maps(&sent), (3, Some(1)), "a map that was not sent is sent now");
        assert_eq!(told(&sent), [(0, a, 0), (1, b, 2)], "what has not left stays");
        assert_eq!(sent.answers, [("first", Err(Failure::StartedAnew))]);
        let sent = router.moved(&[a], 1, 8);
        assert_eq!((maps(&sent).0, router.map().owner(a)), (3, 1), "but it had left");
        assert_eq!(sent.answers, [], "and the second order is not done by that");
        assert_eq!(router.moved(&[b], 2, 9).answers, [("second", Ok(()))]);
    }

    #[test]
    fn an_order_that_takes_too_long_holds_nobody_up_for_ever() {
        let (mut router, owned) = router();
        let (a, b, c) = (owned[0][0], owned[0][1], owned[1][0]);
        let _ = router.order(order(&[(a, 1), (b, 1)], "first"), 100);
        let _ = router.order(order(&[(c, 2)], "second"), 100);
        let _ = router.moved(&[a], 1, 200);
        assert!(router.tick(99 + ORDER_MS).answers.is_empty(), "there is time left");
        let sent = router.tick(100 + ORDER_MS);
        assert_eq!(told(&sent), [(0, b, 0), (1, c, 2)]);
        let expected: Answers = vec![("first", Err(Failure::TooLate))];
        assert_eq!(sent.answers, expected);
    }

    #[test]
    fn a_slot_that_arrives_where_nobody_wants_it_is_sent_on() {
        let (mut router, owned) = router();
        let slot = owned[0][0];
        let _ = router.order(order(&[(slot, 1)], "first"), 0);
        let _ = router.restarted(0);
        let _ = router.order(order(&[(slot, 2)], "second"), 0);
        let sent = router.moved(&[slot], 1, 0);
        assert_eq!((told(&sent), sent.answers), (vec![(1, slot, 2)], vec![]));
        assert_eq!(router.moved(&[slot], 2, 0).answers, [("second", Ok(()))]);
    }

    #[test]
    fn an_order_is_not_done_while_a_slot_that_was_there_has_gone_again() {
        let (mut router, owned) = router();
        let (a, b) = (owned[0][0], owned[0][1]);
        let _ = router.order(order(&[(a, 1)], "first"), 0);
        let _ = router.restarted(0);
        let _ = router.order(order(&[(a, 0), (b, 2)], "second"), 0);
        let sent = router.moved(&[a], 1, 0);
        assert_eq!((told(&sent), sent.answers), (vec![(1, a, 0)], vec![]));
        assert_eq!(router.moved(&[b], 2, 0).answers, [], "the first one had left");
        assert_eq!(router.moved(&[a], 0, 0).answers, [("second", Ok(()))]);
    }

    /// An order was done at once, since the map had its slot where it was to be. But the slot was
    /// about to leave, by an order that had failed, and nobody called it back.
    #[test]
    fn a_slot_that_leaves_after_an_order_for_it_is_done_is_sent_back() {
        let (mut router, owned) = router();
        let slot = owned[0][0];
        let _ = router.order(order(&[(slot, 1)], "first"), 0);
        let _ = router.restarted(0);
        assert_eq!(router.order(order(&[(slot, 0)], "second"), 0).answers, [("second", Ok(()))]);
        assert_eq!(told(&router.moved(&[slot], 1, 0)), [(1, slot, 0)]);
        assert_eq!(told(&router.restarted(0)), [(1, slot, 0)], "that may not have been sent");
        assert_eq!(told(&router.moved(&[slot], 0, 0)), []);
        assert_eq!(told(&router.restarted(0)), []);
    }

    #[test]
    fn a_slot_whose_last_order_failed_may_be_anywhere() {
        let (mut router, owned) = router();
        let slot = owned[0][0];
        let _ = router.order(order(&[(slot, 1)], "first"), 0);
        assert_eq!(router.moved(&[slot], 1, 0).answers, [("first", Ok(()))]);
        let _ = router.order(order(&[(slot, 2)], "second"), 0);
        assert_eq!(told(&router.restarted(0)), [(1, slot, 1)]);
        let sent = router.moved(&[slot], 2, 0);
        assert_eq!((told(&sent), router.map().owner(slot)), (vec![], 2));
    }

    #[test]
    fn news_that_is_known_makes_no_map() {
        let (mut router, owned) = router();
        let sent = router.moved(&owned[1][..2], 1, 0);
        assert!(sent.letters.is_empty() && router.map().epoch() == 1);
    }
}
