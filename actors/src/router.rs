//! The router: owns the map of slots to shards, and moves slots.
//!
//! No command passes through here. A slot moves in three steps: the old owner sends its tables to
//! the new one, which reports that it holds them; then the new map goes to everybody. Mail for the
//! slot waits at the old owner until its map arrives, and then goes on.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Actor, ActorContext, Context, Handler, Recipient, Supervised};
use tokio::sync::oneshot;
use tracing::{error, info};
use troupe::base::slot::SLOTS;
use troupe::route::{Map, ShardId};
use troupe::shard::letter::Letter;

use crate::fault::panic_text;
use crate::message::control::{Panic, Restarted};
use crate::message::router::{Move, Moved};
use crate::message::shard::Letters;

/// Moves that wait their turn, at most.
const MOVES_MAX: usize = 1024;

type Done = oneshot::Sender<Result<(), String>>;

/// The actor that owns the map.
pub struct Router {
    map: Arc<Map>,
    shards: Vec<Recipient<Letters>>,
    guardian: Recipient<Restarted>,
    queue: VecDeque<Move>,
    under_way: Option<(u16, ShardId, Done)>,
    last_panic: String,
}

impl Router {
    /// A router for these shards.
    pub fn new(
        map: Arc<Map>,
        shards: Vec<Recipient<Letters>>,
        guardian: Recipient<Restarted>,
    ) -> Router {
        let last_panic = String::new();
        Router { map, shards, guardian, queue: VecDeque::new(), under_way: None, last_panic }
    }

    fn next(&mut self) {
        while self.under_way.is_none() {
            let Some(Move { slot, to, done }) = self.queue.pop_front() else { return };
            if slot >= SLOTS || to >= self.map.shards() {
                let _ = done.send(Err("no such slot or shard".to_owned()));
                continue;
            }
            let from = self.map.owner(slot);
            if from == to {
                let _ = done.send(Ok(()));
                continue;
            }
            self.under_way = Some((slot, to, done));
            self.shards[usize::from(from)].do_send(Letters(vec![Letter::MoveOut { slot, to }]));
        }
    }

    fn guarded(&mut self, ctx: &mut Context<Router>, work: impl FnOnce(&mut Router)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            self.last_panic = panic_text(&*panic);
            error!("panic in the router: {}", self.last_panic);
            ctx.stop();
        }
    }
}

impl Actor for Router {
    type Context = Context<Router>;
}

impl Supervised for Router {
    fn restarting(&mut self, _: &mut Context<Router>) {
        let why = self.last_panic.clone();
        self.guardian.do_send(Restarted { name: "router".to_owned(), why });
    }
}

impl Handler<Move> for Router {
    type Result = ();

    fn handle(&mut self, order: Move, ctx: &mut Context<Router>) {
        self.guarded(ctx, |router| {
            if router.queue.len() < MOVES_MAX {
                router.queue.push_back(order);
                router.next();
            } else {
                let _ = order.done.send(Err("too many moves wait".to_owned()));
            }
        });
    }
}

impl Handler<Moved> for Router {
    type Result = ();

    fn handle(&mut self, moved: Moved, ctx: &mut Context<Router>) {
        self.guarded(ctx, |router| {
            router.map = Arc::new(router.map.with_move(moved.slot, moved.to));
            for shard in &router.shards {
                shard.do_send(Letters(vec![Letter::Routes(router.map.clone())]));
            }
            info!(slot = moved.slot, to = moved.to, epoch = router.map.epoch(), "moved a slot");
            if let Some((.., done)) = router.under_way.take() {
                let _ = done.send(Ok(()));
            }
            router.next();
        });
    }
}

impl Handler<Panic> for Router {
    type Result = ();

    fn handle(&mut self, _: Panic, ctx: &mut Context<Router>) {
        self.guarded(ctx, |_| panic!("DEBUG PANIC-ACTOR"));
    }
}
