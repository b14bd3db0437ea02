//! The router's actor: a thin shell around `troupe::router`.
//!
//! After a panic the map is what it was, and the order that was under way is answered as failed.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::ActorFutureExt;
use actix::{Actor, AsyncContext, Context, Handler, Recipient, Supervised, WrapFuture};
use tokio::sync::oneshot;
use tracing::{info, warn};
use troupe::route::Map;
use troupe::router::{self, Dispatch, Order};

use crate::balancer::{Balancer, Moves};
use crate::clock::Clock;
use crate::guard::{Guard, Guarded};
use crate::message::control::{Panic, Restarted};
use crate::message::router::{Done, Move, Moved};
use crate::post::Post;

/// How often the router looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// The actor that owns the map.
pub struct Router {
    router: router::Router<Done>,
    post: Arc<Post>,
    clock: Clock,
    guard: Guard,
    balancer: Balancer,
}

impl Router {
    /// A router for the shards of this post.
    pub fn new(
        map: Arc<Map>,
        post: Arc<Post>,
        balancer: Balancer,
        guardian: Recipient<Restarted>,
        clock: Clock,
    ) -> Router {
        let guard = Guard::new("router", guardian);
        Router { router: router::Router::new(map), post, clock, guard, balancer }
    }

    /// Has the load measured where it is time to, and moves slots by it.
    fn balance(&mut self, ctx: &mut Context<Router>) {
        let Some(measuring) = self.balancer.measure(self.clock.nanos()) else { return };
        ctx.spawn(measuring.into_actor(self).map(|measured, actor, ctx| {
            let now_ns = actor.clock.nanos();
            let decided = actor.guarded(ctx, |actor| {
                actor.balancer.measured(measured, actor.router.map(), now_ns)
            });
            if let Some(moves) = decided.flatten() {
                actor.move_by_load(moves, ctx);
            }
        }));
    }

    fn move_by_load(&mut self, moves: Moves, ctx: &mut Context<Router>) {
        let (done, result) = oneshot::channel();
        self.step(ctx, |router, now_ms| router.order(Order { moves, token: done }, now_ms));
        ctx.spawn(result.into_actor(self).map(|result, actor, _| {
            if let Ok(Err(failure)) = result {
                warn!("Rebalancing: not all slots have moved: {failure}");
            }
            actor.balancer.moved();
        }));
    }

    /// Does `step` at the time that it is, and sends what follows.
    fn step(
        &mut self,
        ctx: &mut Context<Router>,
        step: impl FnOnce(&mut router::Router<Done>, u64) -> Dispatch<Done>,
    ) {
        let now_ms = self.clock.steady_ms();
        self.guarded(ctx, |actor| {
            let dispatch = step(&mut actor.router, now_ms);
            actor.send(dispatch);
        });
    }

    fn send(&self, dispatch: Dispatch<Done>) {
        self.post.send(dispatch.letters);
        for (done, result) in dispatch.answers {
            // Who asked may have gone meanwhile.
            let _ = done.send(result);
        }
    }
}

impl Actor for Router {
    type Context = Context<Router>;

    fn started(&mut self, ctx: &mut Context<Router>) {
        ctx.run_interval(TICK, |actor, ctx| {
            actor.step(ctx, router::Router::tick);
            actor.balance(ctx);
        });
    }
}

impl Guarded for Router {
    fn guard(&mut self) -> &mut Guard {
        &mut self.guard
    }
}

impl Supervised for Router {
    fn restarting(&mut self, ctx: &mut Context<Router>) {
        self.guard.restarted();
        self.balancer.forget();
        self.step(ctx, router::Router::restarted);
    }
}

impl Handler<Move> for Router {
    type Result = ();

    fn handle(&mut self, order: Move, ctx: &mut Context<Router>) {
        self.step(ctx, |router, now_ms| router.order(order.0, now_ms));
    }
}

impl Handler<Moved> for Router {
    type Result = ();

    fn handle(&mut self, moved: Moved, ctx: &mut Context<Router>) {
        let Moved { slots, to } = moved;
        self.step(ctx, |router, now_ms| router.moved(&slots, to, now_ms));
        let epoch = self.router.map().epoch();
        info!(slots = slots.len(), to, epoch, "slots have moved");
    }
}

impl Handler<Panic> for Router {
    type Result = ();

    fn handle(&mut self, _: Panic, ctx: &mut Context<Router>) {
        self.guarded(ctx, |_| panic!("DEBUG PANIC-ACTOR"));
    }
}
