//! The router: the core's decisions about where slots are, and what its shell does for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use troupe::balance::{Balance, Gap, Verdict, Window};
use troupe::base::slot;
use troupe::route::{Map, ShardId};
use troupe::router::{Dispatch, Order, Router as Core};
use troupe::settings::{Rebalancing, Settings};

use crate::context::Context;
use crate::post::Address;
use crate::rare::Rare;
use crate::workload::KEYS;

/// How often it looks at the clock, in milliseconds.
const TICK_MS: u64 = 1_000;

/// Slots, and where they go.
type Moves = BTreeMap<u16, ShardId>;

/// The router.
#[derive(Debug)]
pub struct Router {
    core: Core<u32>,
    balance: Balance,
    orders: u32,
    /// Orders that were not answered: what has to move.
    unanswered: BTreeMap<u32, Moves>,
    /// Where slots are to be, by the last order for them; those of one that failed are anywhere.
    wanted: BTreeMap<u16, Option<ShardId>>,
    ticked_ms: u64,
}

impl Router {
    /// A router that starts with this map.
    pub fn new(map: Arc<Map>) -> Router {
        Router {
            core: Core::new(map),
            balance: Balance::default(),
            orders: 0,
            unanswered: BTreeMap::new(),
            wanted: BTreeMap::new(),
            ticked_ms: 0,
        }
    }

    /// The newest map.
    pub fn map(&self) -> &Arc<Map> {
        self.core.map()
    }

    /// Orders that were not answered.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// A slot that is not where the last order for it, which is done, has put it.
    pub fn astray(&self) -> Option<u16> {
        let is_astray = |(slot, to): &(&u16, &Option<ShardId>)| {
            to.is_some_and(|to| self.core.map().owner(**slot) != to)
        };
        self.wanted.iter().find(is_astray).map(|(slot, _)| *slot)
    }

    /// Somebody wants a few slots moved that have keys.
    pub fn order(&mut self, context: &mut Context) {
        let count = context.rng.usize(1..=3);
        let moves: Moves = (0..count)
            .map(|_| {
                let key = KEYS[context.rng.usize(..KEYS.len())];
                (slot::of(key.as_bytes()), context.rng.u16(..context.plan.shards))
            })
            .collect();
        self.give_order(moves, context);
    }

    /// A window is over: slots move by what it shows, and begin with the first that is uneven.
    pub fn balance(&mut self, windows: &[Window], context: &mut Context) {
        let rules = Rebalancing {
            busy: 0.0,
            start: 0.0,
            stop: 0.0,
            windows: 1,
            rest_s: 0,
            ..Settings::default().rebalancing.clone()
        };
        let (map, now_ms) = (self.core.map().clone(), context.steady_ms());
        let verdict = self.balance.decide(&map, windows, &rules, now_ms);
        context.note(format_args!("balance: {verdict}"));
        let Verdict::Move(Gap { from, to, .. }, slots, _) = verdict else { return };
        context.met(Rare::MovedByLoad);
        if from == to || slots.iter().any(|slot| map.owner(*slot) != from) {
            context.fail(format!("slots {slots:?} are to go from {from} to {to}"));
        }
        self.give_order(slots.into_iter().map(|slot| (slot, to)).collect(), context);
    }

    fn give_order(&mut self, moves: Moves, context: &mut Context) {
        context.note(format_args!("order {}: {moves:?}", self.orders));
        self.unanswered.insert(self.orders, moves.clone());
        let order = Order { moves, token: self.orders };
        self.orders += 1;
        let dispatch = self.core.order(order, context.steady_ms());
        self.send(dispatch, context);
    }

    /// Slots have come to a shard.
    pub fn moved(&mut self, slots: &[u16], to: ShardId, context: &mut Context) {
        context.met(Rare::SlotMoved);
        let dispatch = self.core.moved(slots, to, context.steady_ms());
        self.send(dispatch, context);
    }

    /// It panicked, and was started anew with what it had.
    pub fn panic(&mut self, context: &mut Context) {
        context.met(Rare::RouterPanic);
        let dispatch = self.core.restarted(context.steady_ms());
        self.send(dispatch, context);
    }

    /// Looks at the clock when it is time to.
    pub fn tick(&mut self, context: &mut Context) {
        let now_ms = context.steady_ms();
        if now_ms >= self.ticked_ms + TICK_MS {
            self.ticked_ms = now_ms;
            let dispatch = self.core.tick(now_ms);
            self.send(dispatch, context);
        }
    }

    fn send(&mut self, dispatch: Dispatch<u32>, context: &mut Context) {
        for (token, answer) in &dispatch.answers {
            context.note(format_args!("order {token} is over: {answer:?}"));
            let Some(moves) = self.unanswered.remove(token) else {
                context.fail(format!("order {token} was answered twice"));
                continue;
            };
            let wanted = moves.iter().map(|(slot, to)| (*slot, answer.is_ok().then_some(*to)));
            self.wanted.extend(wanted);
            let is_there = |(slot, to): (&u16, &ShardId)| self.core.map().owner(*slot) == *to;
            if answer.is_ok() && !moves.iter().all(is_there) {
                context.fail(format!("order {token} is said to be done: {moves:?}"));
            }
        }
        context.send_letters(Address::Router, dispatch.letters);
    }
}
