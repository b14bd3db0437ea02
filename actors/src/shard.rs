//! The shard's actor: a thin shell around `troupe::shard`.
//!
//! Handlers only file mail; one runner works it off, a slice at a time, and ends each turn. The
//! runner and the handlers run under `catch_unwind`. Whatever panics, the actor stops its context,
//! so that its supervisor restarts it with its mail kept, and what the shard holds is rebuilt from
//! the journal; without a journal the shard goes on with what it has.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, Running, Supervised};
use tokio::time::{Sleep, sleep};
use tracing::{info, warn};
use troupe::aof::change::Event;
use troupe::base::millis::Millis;
use troupe::hook::Phase;
use troupe::parked::Why;
use troupe::question::Question;
use troupe::rdb::Rules;
use troupe::shard::SLICE_NS;
use troupe::stream::Policy;

use crate::allocator;
use crate::clock::thread_busy_ns;
use crate::fault::Vital;
use crate::message::shard::{
    Ask, AskClients, ClientsQuestion, Disturb, Lend, Load, Loaded, Measure, Measured, Progressed,
};
use crate::message::{aof, control};
use crate::thread::{Thread, stall};

/// How often a shard looks at the clock when nothing else wakes it.
const TICK: Duration = Duration::from_millis(100);

/// What a turn is made of: batches, deadlines, what is let go, a snapshot.
const PARTS: usize = 4;

/// The actor of one shard.
pub struct Shard {
    thread: Rc<Thread>,
    guardian: Recipient<control::Restarted>,
    rebuild: Option<Recipient<aof::Rebuild>>,
    /// Who hears of a panic, while a journal begins.
    reports: Option<aof::Reports>,
    /// The part with which the next turn begins.
    part: usize,
    /// The number of the load that it takes part in.
    load: u64,
    /// What is to be loaded, in order.
    parcels: VecDeque<Load>,
    _vital: Vital,
}

impl Shard {
    /// An actor for the shard of `thread`.
    pub fn new(thread: Rc<Thread>, guardian: Recipient<control::Restarted>) -> Shard {
        let _vital = Vital("a shard");
        let parcels = VecDeque::new();
        Shard { thread, guardian, rebuild: None, reports: None, part: 0, load: 0, parcels, _vital }
    }

    fn name(&self) -> String {
        format!("shard-{}", self.thread.number)
    }

    /// Runs `work`; a panic makes the shard distrust what it holds.
    fn guarded<R>(&mut self, work: impl FnOnce(&mut Shard) -> R) -> Option<R> {
        let thread = self.thread.clone();
        thread.guarded(|| work(self))
    }

    /// Loads one parcel. Returns true when there are more.
    fn load_one(&mut self) -> bool {
        let Some(Load { load, parcel, applied }) = self.parcels.pop_front() else { return false };
        if load == self.load {
            let now = self.thread.clock.now();
            let answer = self.guarded(|actor| actor.thread.with_shard(|it| it.load(&parcel, now)));
            // A panic is the end of the load: what it waits for is dropped.
            if let Some(answer) = answer {
                let _ = applied.send(answer);
            }
        }
        !self.parcels.is_empty()
    }

    /// One turn: each part once, or those for which the slice was long enough; the next turn begins
    /// with the others. Returns true when there is more to do.
    fn turn(&mut self) -> bool {
        let thread = &self.thread;
        thread.slices.begin(&thread.clock);
        let mut clock = thread.clock.clone();
        let (now, start) = (thread.now(), thread.clock.nanos());
        let mut more = false;
        for _ in 0..PARTS {
            more |= thread.with_shard(|shard| match self.part {
                0 => shard.work(now, &mut clock),
                1 => shard.expire(now, &mut clock),
                2 => shard.discard(&mut clock),
                _ => shard.write_snapshot(&mut clock),
            });
            self.part = (self.part + 1) % PARTS;
            if thread.clock.nanos() - start > SLICE_NS {
                more = true;
                break;
            }
        }
        thread.end_turn();
        thread.end_slice();
        more
    }

    fn rebuild(&mut self, ctx: &mut Context<Shard>) {
        let text = self.thread.with_shard(|shard| shard.last_panic().to_owned());
        self.guardian.do_send(control::Restarted { name: self.name(), why: text });
        if let Some(reports) = self.reports.take() {
            // The change may have ended meanwhile.
            let _ = reports.send(Event::Panicked(self.thread.number));
        }
        match &self.rebuild {
            Some(rebuild) => {
                warn!(shard = self.thread.number, "rebuilding the shard from the journal");
                // What was done before must be in the journal before the marker.
                self.thread.end_turn();
                self.thread.with_shard(|shard| shard.begin_rebuild());
                self.load += 1;
                self.parcels.clear();
                let settings = self.thread.with_shard(|shard| shard.settings().clone());
                rebuild.do_send(aof::Rebuild {
                    load: self.load,
                    shard: self.thread.number,
                    skips_refused: settings.aof_load_skip_refused,
                    rules: Rules::of(&settings, None),
                    parcels: ctx.address().recipient(),
                    loaded: ctx.address().recipient(),
                });
            }
            None => {
                warn!(shard = self.thread.number, "no journal: the shard goes on with what it has");
                let follows = self.thread.with_shard(|shard| {
                    shard.serve();
                    shard.settings().replication.replicaof.is_some()
                });
                if follows {
                    let what = format!("shard {} has panicked", self.thread.number);
                    self.thread.shared.upstream.lost(what);
                }
            }
        }
        self.thread.wake();
    }
}

impl Actor for Shard {
    type Context = Context<Shard>;

    fn started(&mut self, ctx: &mut Context<Shard>) {
        ctx.spawn(Runner::default());
    }

    fn stopping(&mut self, _: &mut Context<Shard>) -> Running {
        Running::Stop
    }
}

impl Drop for Shard {
    /// Nobody takes letters any more.
    fn drop(&mut self) {
        self.thread.inbox().close();
    }
}

impl Supervised for Shard {
    fn restarting(&mut self, ctx: &mut Context<Shard>) {
        self.rebuild(ctx);
    }
}

/// The one place where the shard works.
#[derive(Default)]
struct Runner {
    alarm: Option<(Option<Millis>, Pin<Box<Sleep>>)>,
    yields: Option<Pin<Box<dyn Future<Output = ()>>>>,
    rest: Rest,
}

/// Whether the thread has had nothing to do for a while.
#[derive(Default)]
struct Rest {
    /// Turns since the alarm has rung.
    turns: u32,
    /// The thread's commands at that time.
    commands: u64,
    /// What the thread does not need has been given back.
    is_given_back: bool,
}

impl Rest {
    /// The alarm has rung. Returns true, once, when the thread is idle: it gives back what it does
    /// not need meanwhile.
    fn rang(&mut self, commands: u64) -> bool {
        let is_idle = self.turns <= 1 && self.commands == commands;
        let gives_back = is_idle && !self.is_given_back;
        *self = Rest { turns: 0, commands, is_given_back: is_idle };
        gives_back
    }
}

impl ActorFuture<Shard> for Runner {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut Shard,
        ctx: &mut Context<Shard>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        actor.thread.set_runner(task.waker());
        self.rest.turns += 1;
        actor.thread.take_letters();
        actor.thread.evict_clients();
        let loads_more = actor.load_one();
        let more = actor.guarded(Shard::turn);
        let flushes_more = actor.thread.flush_some();
        if actor.thread.with_shard(|shard| shard.phase() == Phase::Suspect) {
            ctx.stop();
            return Poll::Ready(());
        }
        if more == Some(true) || loads_more || flushes_more {
            self.yields = Some(Box::pin(tokio::task::yield_now()));
        }
        if let Some(yields) = &mut self.yields
            && yields.as_mut().poll(task).is_ready()
        {
            self.yields = None;
            task.waker().wake_by_ref();
        }
        self.set_alarm(actor, task);
        Poll::Pending
    }
}

impl Runner {
    /// Sleeps until a key expires, or until the next tick. What time alone changes is looked at
    /// when the alarm has rung.
    fn set_alarm(&mut self, actor: &Shard, task: &mut TaskContext<'_>) {
        if self.alarm.take_if(|(_, sleep)| sleep.is_elapsed()).is_some() {
            actor.thread.progressed(None);
            actor.thread.look_after_clients();
            if self.rest.rang(actor.thread.traffic().commands.get()) {
                actor.thread.pool().clear();
                allocator::flush();
            }
        }
        let deadline = actor.thread.with_shard(|shard| shard.next_deadline());
        if self.alarm.as_ref().is_some_and(|(at, _)| *at == deadline) {
            return;
        }
        actor.thread.set_alarm(deadline);
        let until = deadline.map_or(TICK, |deadline| {
            let left = deadline.since(actor.thread.now()).max(0) as u64;
            TICK.min(Duration::from_millis(left))
        });
        let mut sleep = Box::pin(sleep(until));
        if sleep.as_mut().poll(task).is_ready() {
            task.waker().wake_by_ref();
        }
        self.alarm = Some((deadline, sleep));
    }
}

impl Handler<Progressed> for Shard {
    type Result = ();

    fn handle(&mut self, progressed: Progressed, _: &mut Context<Shard>) {
        self.thread.progressed(Some(progressed.0));
    }
}

impl Handler<Ask> for Shard {
    type Result = ();

    fn handle(&mut self, ask: Ask, _: &mut Context<Shard>) {
        self.thread.take_letters();
        if ask.question == Question::ResetStatistics {
            self.thread.traffic().reset();
        }
        let answer = self.guarded(|a| a.thread.with_shard(|shard| shard.answer(&ask.question)));
        if let Some(answer) = answer {
            // Who asked may have gone meanwhile.
            let _ = ask.answer.send(answer);
        }
    }
}

impl Handler<Measure> for Shard {
    type Result = ();

    fn handle(&mut self, Measure(measured): Measure, _: &mut Context<Shard>) {
        let slots = self.thread.with_shard(|shard| shard.measure());
        // The router may have panicked meanwhile.
        let _ = measured.send(Measured { busy_ns: thread_busy_ns(), slots });
    }
}

impl Handler<AskClients> for Shard {
    type Result = ();

    fn handle(&mut self, ask: AskClients, _: &mut Context<Shard>) {
        self.thread.take_letters();
        if self.thread.limits_clients() {
            // The letters may have brought pushes that nobody has counted yet.
            self.thread.each_client(|client| {
                client.line.weigh();
            });
        }
        self.thread.evict_clients();
        let mut rows = Vec::new();
        self.thread.each_client(|client| {
            if client.line.is_ended() {
                return;
            }
            let is_meant = match &ask.question {
                ClientsQuestion::List(filter) => client.row.borrow().matches(filter),
                ClientsQuestion::Kill(filter, asker) => {
                    let matches = client.row.borrow().matches(filter);
                    if matches {
                        client.line.kill(client.id == *asker);
                    }
                    matches
                }
                ClientsQuestion::Find(id) => {
                    let is_found = client.id == *id;
                    if is_found {
                        client.line.stay();
                    }
                    is_found
                }
                ClientsQuestion::Unblock { id, why } => {
                    client.id == *id && client.line.unblock(*why)
                }
                ClientsQuestion::UnblockAll => client.line.unblock(Why::IsReplica),
                ClientsQuestion::Evict => false,
            };
            if is_meant {
                client.line.weigh();
                rows.push(client.row.borrow().clone());
            }
        });
        // Who asked may have gone meanwhile.
        let tell = || drop(ask.answer.send(rows));
        match ask.question {
            ClientsQuestion::Evict => self.thread.tell_evicted(Box::new(tell)),
            _ => tell(),
        }
    }
}

impl Handler<Load> for Shard {
    type Result = ();

    fn handle(&mut self, load: Load, _: &mut Context<Shard>) {
        self.thread.take_letters();
        self.parcels.push_back(load);
        self.thread.wake();
    }
}

impl Handler<Lend> for Shard {
    type Result = ();

    fn handle(&mut self, lend: Lend, _: &mut Context<Shard>) {
        self.thread.take_letters();
        // The loader waits for it.
        let _ = lend.lent.send(self.thread.with_shard(|shard| shard.give(&lend.slots)));
    }
}

impl Handler<Loaded> for Shard {
    type Result = ();

    fn handle(&mut self, loaded: Loaded, _: &mut Context<Shard>) {
        self.thread.take_letters();
        if loaded.load == self.load {
            self.thread.with_shard(|shard| shard.end_replay());
            if loaded.load > 0 {
                info!(shard = self.thread.number, "the shard is rebuilt and serves again");
            }
        }
    }
}

impl Handler<aof::BeginBase> for Shard {
    type Result = ();

    fn handle(&mut self, begin: aof::BeginBase, _: &mut Context<Shard>) {
        self.thread.take_letters();
        // What was done before belongs to no journal.
        self.thread.end_turn();
        self.thread.begin_journal(begin.appends, Policy::Never);
        self.reports = Some(begin.reports);
    }
}

impl Handler<aof::End> for Shard {
    type Result = ();

    fn handle(&mut self, _: aof::End, _: &mut Context<Shard>) {
        self.thread.take_letters();
        self.reports = None;
        self.rebuild = None;
        self.thread.end_journal();
    }
}

impl Handler<aof::Begin> for Shard {
    type Result = ();

    fn handle(&mut self, begin: aof::Begin, _: &mut Context<Shard>) {
        self.thread.take_letters();
        self.reports = None;
        self.thread.begin_journal(begin.appends, begin.policy);
        self.thread.with_shard(|shard| shard.rebuilds(true));
        self.rebuild = Some(begin.rebuild);
    }
}

impl Handler<aof::Replicate> for Shard {
    type Result = ();

    fn handle(&mut self, replicate: aof::Replicate, _: &mut Context<Shard>) {
        self.thread.take_letters();
        self.thread.replicate(replicate.appends, replicate.on);
    }
}

impl Handler<aof::SetPolicy> for Shard {
    type Result = ();

    fn handle(&mut self, policy: aof::SetPolicy, _: &mut Context<Shard>) {
        self.thread.take_letters();
        self.thread.with_shard(|shard| shard.set_policy(policy.0));
    }
}

impl Handler<Disturb> for Shard {
    type Result = ();

    fn handle(&mut self, disturb: Disturb, _: &mut Context<Shard>) {
        self.thread.take_letters();
        match disturb {
            Disturb::Panic => {
                self.guarded(|actor| actor.thread.with_shard(|shard| shard.spoil_and_panic()));
                self.thread.wake();
            }
            Disturb::PanicVisit => self.thread.with_shard(|shard| shard.lose_a_visit()),
            Disturb::Reload => {
                self.thread.with_shard(|shard| shard.distrust());
                self.thread.wake();
            }
            Disturb::ActiveExpire(on) => self.thread.with_shard(|s| s.set_active_expire(on)),
            Disturb::AllInScripts(on) => self.thread.with_shard(|s| s.allow_all_in_scripts(on)),
            Disturb::AnyChecksum(on) => self.thread.with_shard(|s| s.take_any_checksum(on)),
            Disturb::BreakOrder(on) => self.thread.with_shard(|s| s.break_order(on)),
            Disturb::BreakAtomicity(on) => self.thread.with_shard(|s| s.break_atomicity(on)),
            Disturb::Stall(millis) => stall(millis),
        }
    }
}
