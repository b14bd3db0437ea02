//! A whole run: whose turn it is, what goes wrong, and what must hold.
//!
//! Everything that can happen now is a [`Choice`]; the schedule's random numbers pick one after the
//! other, so every order of what does not depend on each other comes up. Time passes a little with
//! each, and jumps where nothing can happen. Trouble comes by chance while there are calls left;
//! then the run becomes quiet, the whole data set is asked for, and the process is killed once
//! more.

mod handover;
pub mod trouble;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use troupe::route::Map;

use crate::checks::Broken;
use crate::checks::bounds::{self, Held};
use crate::checks::quiet::{self, Rest};
use crate::client::{Client, Did};
use crate::context::Context;
use crate::disk::{Cut, Disk};
use crate::follower::{Follower, Source};
use crate::link::{Link, Server};
use crate::plan::{Fault, Plan, Promotes};
use crate::post::{Address, Mail};
use crate::rare::{Counts, Rare};
use crate::router::Router;
use crate::saver::Saver;
use crate::socket::Socket;
use crate::start::DIR;
use crate::tender::Tender;
use crate::thread::{self, Sockets, Thread};
use crate::workload::{Call, KEYS};
use crate::writer::Writer;

/// Steps of a run, at most: one that needs more does not end.
const STEPS_MAX: u64 = 2_000_000;

/// How long it must be quiet at the end, in microseconds.
const QUIET_US: u64 = 5_000_000;

/// How long it takes until it is quiet, in microseconds, at most: a disk may hang a few times.
const REST_MAX_US: u64 = 60_000_000;

/// One step in so many, some kind of trouble comes.
const TROUBLE_EVERY: u32 = 250;

/// One jump in so many, bounds are looked at.
const BOUNDS_EVERY: u32 = 20;

/// Something that can happen now.
#[derive(Clone, Copy, Debug)]
enum Choice {
    /// The first mail of this edge is taken.
    Deliver(usize),
    /// A shard has a turn.
    Turn(usize),
    /// The connection at this place of a thread works.
    Pump(usize, u32),
    /// The writer works.
    Write,
    /// A rewrite of the journal begins.
    Rewrite,
    /// A client does something.
    Client(usize),
    /// Replicas are looked after.
    Tend,
    /// A replica does something.
    Follower(usize),
    /// The link of the first node does something, which is a replica.
    Link,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The promise that was broken.
    pub broken: Option<Broken>,
    /// What was rare.
    pub rare: Counts,
    /// Calls that ran.
    pub calls: u64,
    /// The hash of all that happened.
    pub trace: u64,
}

/// The world of a run.
struct World {
    context: Context,
    disk: Disk,
    map: Arc<Map>,
    threads: Vec<Thread>,
    router: Router,
    writer: Writer,
    saver: Saver,
    tender: Tender,
    followers: Vec<Follower>,
    /// The link to the replica that leads, with its number.
    link: Option<(Link, usize)>,
    clients: Vec<Client>,
    sockets: Sockets,
    connections: u64,
    kills: u32,
    /// No more trouble comes.
    is_quiet: bool,
    /// But for some with replicas.
    is_handing_over: bool,
    choices: Vec<Choice>,
    steps: u64,
    calls: u64,
    /// What the shards had counted when the process began to serve.
    counted_before: u64,
}

/// Runs a plan to its end, or to the first promise that is broken.
pub fn run(plan: &Plan, is_printed: bool) -> Outcome {
    let mut context = Context::new(plan, is_printed);
    context.note(format_args!("plan {plan}, {plan:?}"));
    let map = Arc::new(Map::new(plan.shards));
    let mut disk = Disk::with(Path::new(DIR));
    let may_go = plan.has(Fault::Kills);
    let started = match trouble::start_again(&mut disk, Cut::none(), may_go, &map, &mut context) {
        Ok(started) => started,
        Err(broken) => return Outcome { broken: Some(broken), ..Outcome::default() },
    };
    let clients = (0..plan.clients).map(|number| Client::new(number, &context)).collect();
    let saver = Saver::new(disk.clone(), true, &mut context);
    let follower = |number| Follower::new(number, &context, is_printed);
    let mut world = World {
        followers: (0..plan.replicas).map(follower).collect(),
        link: None,
        tender: Tender::default(),
        context,
        saver,
        disk,
        threads: started.threads,
        router: Router::new(map.clone()),
        map,
        writer: started.writer,
        clients,
        sockets: BTreeMap::new(),
        connections: 0,
        kills: 0,
        is_quiet: false,
        is_handing_over: false,
        choices: Vec::new(),
        steps: 0,
        calls: 0,
        counted_before: 0,
    };
    world.counted_before = world.counted();
    world.run();
    if let Err(broken) = world.context.cycles.check() {
        world.context.fail(broken);
    }
    let traces = world.followers.iter().map(|follower| follower.context.trace.hash());
    let trace = traces.fold(world.context.trace.hash(), |sum, own| sum.rotate_left(1) ^ own);
    let history = world.context.history.borrow();
    Outcome {
        broken: history.broken.clone(),
        rare: world.context.rare.borrow().clone(),
        calls: world.calls + history.calls,
        trace,
    }
}

impl World {
    fn run(&mut self) {
        self.run_until(|world| world.clients.iter().all(Client::is_done));
        self.is_quiet = true;
        self.context.memory.ease();
        self.settle(World::check_caches);
        self.clients.iter_mut().for_each(Client::leave);
        self.run_until(|world| world.clients.iter().all(Client::is_done));
        self.rest();
        self.followers.iter_mut().for_each(Follower::quiet);
        self.ask_for_everything();
        self.settle(World::check_followers);
        self.cut_power_of_replicas();
        self.crash(false);
        self.ask_for_everything();
        self.settle(World::check_followers);
        if self.context.plan.promotes != Promotes::Never && !self.followers.is_empty() {
            self.hand_over();
        }
    }

    /// Goes on until all is as wanted, or a promise is broken.
    fn run_until(&mut self, is_over: impl Fn(&World) -> bool) {
        while !is_over(self) && self.context.history.borrow().broken.is_none() {
            self.step();
            self.steps += 1;
            if self.steps > STEPS_MAX {
                let hang = self.clients.iter().find(|client| !client.is_done());
                let socket = hang.and_then(|client| self.sockets.get(&client.connection?));
                self.context.fail(format!("the run does not end: {hang:?}, {socket:?}"));
            }
        }
    }

    /// Lets everything come to rest, for which there is time.
    fn rest(&mut self) {
        self.settle(World::look);
    }

    /// What clients hold that are still there is what the store holds.
    fn check_caches(&mut self) -> Result<(), Broken> {
        let (history, now) = (self.context.history.borrow(), self.context.now().0);
        self.clients.iter().try_for_each(|client| client.cache.check(&history.model, now))
    }

    /// Has a replica do something with the node that it follows.
    fn with_follower(&mut self, number: usize, act: impl FnOnce(&mut Follower, Server<'_>)) {
        let World { followers, threads, sockets, context, .. } = self;
        let Source::Follower(other) = followers[number].source else {
            return act(&mut followers[number], Server { threads, sockets, context });
        };
        if let Ok([follower, server]) = followers.get_disjoint_mut([number, other]) {
            server.context.now_us = context.now_us;
            act(follower, server.server());
            server.look_at_streams();
        }
    }

    /// Connections of replicas go on where there may be something for them.
    fn look_at_replicas(&mut self) {
        if self.context.replicas.take_news() {
            self.threads.iter_mut().for_each(Thread::wake_replicas);
        }
        let upstream = self.context.upstream.as_mut();
        if upstream.is_some_and(|it| std::mem::take(&mut it.is_released)) {
            self.threads.iter_mut().for_each(Thread::wake_stream);
        }
        self.followers.iter_mut().for_each(Follower::look_at_changes);
        let broken = self.context.replicas.broken.take();
        let broken = broken.or_else(|| self.followers.iter_mut().find_map(Follower::broken));
        broken.into_iter().for_each(|broken| self.context.fail(broken));
    }

    /// Waits until nothing happens and `check` has nothing to say, for which there is time.
    fn settle(&mut self, check: fn(&mut World) -> Result<(), Broken>) {
        let last_us = self.context.now_us + REST_MAX_US;
        loop {
            let until = self.context.now_us + QUIET_US;
            self.run_until(|world| world.context.now_us >= until && world.writer.is_at_rest());
            if self.context.history.borrow().broken.is_some() {
                return;
            }
            match check(self) {
                Err(_) if self.context.now_us < last_us => {}
                looked => return looked.err().into_iter().for_each(|b| self.context.fail(b)),
            }
        }
    }

    /// A client that nobody disturbs asks for every key.
    fn ask_for_everything(&mut self) {
        let mut calls = vec![Call::of("DBSIZE"), Call::of("KEYS *")];
        for key in KEYS {
            for line in ["GET {}", "LRANGE {} 0 -1", "SMEMBERS {}", "PEXPIRETIME {}"] {
                calls.push(Call::of(&line.replacen("{}", key, 1)));
            }
        }
        self.clients.push(Client::asking(calls, &self.context));
        self.run_until(|world| world.clients.iter().all(Client::is_done));
        self.rest();
    }

    fn step(&mut self) {
        self.choose();
        if !self.is_quiet && self.context.one_in(TROUBLE_EVERY) {
            self.trouble();
            return;
        }
        if self.is_handing_over && self.context.one_in(TROUBLE_EVERY) {
            self.trouble_handover();
            return;
        }
        if self.choices.is_empty() {
            self.jump();
            return;
        }
        let choice = self.choices[self.context.rng.usize(..self.choices.len())];
        match choice {
            Choice::Deliver(edge) => self.deliver(edge),
            Choice::Turn(thread) => {
                self.take_pushed(thread);
                self.threads[thread].turn(&mut self.context);
            }
            Choice::Pump(thread, place) => {
                self.threads[thread].pump(place, &mut self.sockets, &mut self.context);
            }
            Choice::Write => self.writer.work(&mut self.context),
            Choice::Rewrite => self.saver.begin(self.writer.needs_base(), &mut self.context),
            Choice::Client(client) => self.act(client),
            Choice::Tend => self.tender.tend(&mut self.saver, &mut self.context),
            Choice::Follower(number) => self.with_follower(number, Follower::step),
            Choice::Link => self.follow_on(),
        }
        self.look_at_replicas();
        let micros = self.context.rng.u64(1..20);
        self.context.pass(micros);
        self.note_calls();
        thread::tell_losses(&mut self.saver, &mut self.threads, &mut self.context);
        if self.writer.gives_up {
            self.context.met(Rare::GaveUp);
            self.crash(false);
        }
    }

    /// Finds all that can happen now.
    fn choose(&mut self) {
        let rewrites_us = self.rewrites_us();
        let World { context, threads, writer, clients, sockets, choices, .. } = self;
        choices.clear();
        for number in 0..self.followers.len() {
            self.followers[number].context.now_us = context.now_us;
            let served = served_by(self.followers[number].source, &self.followers, sockets);
            if self.followers[number].wakes(served) {
                choices.push(Choice::Follower(number));
            }
        }
        if let Some((link, leader)) = &self.link
            && link.wake_us(self.followers[*leader].sockets()) <= context.now_us
        {
            choices.push(Choice::Link);
        }
        if self.tender.wake_us(context).is_some_and(|at| at <= context.now_us) {
            choices.push(Choice::Tend);
        }
        let (now, now_us, now_ms) = (context.now(), context.now_us, context.steady_ms());
        let hears = |edge: &usize| match context.post.receiver(*edge) {
            Address::Writer => !writer.is_busy(),
            Address::Thread(thread) => threads[usize::from(thread)].busy_until_us() <= now_us,
            _ => true,
        };
        choices.extend(context.post.arrived(now_us).filter(hears).map(Choice::Deliver));
        for (number, thread) in threads.iter().enumerate() {
            if thread.busy_until_us() > now_us {
                continue;
            }
            if thread.wakes(now) {
                choices.push(Choice::Turn(number));
            }
            for (place, connection) in &thread.connections {
                if connection.is_woken || connection.alarm_ms.is_some_and(|at| at <= now_ms) {
                    choices.push(Choice::Pump(number, *place));
                }
            }
        }
        if writer.wake_us().is_some_and(|at| at <= now_us) {
            choices.push(Choice::Write);
        }
        if rewrites_us.is_some_and(|at| at <= now_us) {
            choices.push(Choice::Rewrite);
        }
        for (number, client) in clients.iter().enumerate() {
            let socket = client.connection.and_then(|id| sockets.get(&id));
            if client.wake_us(socket).is_some_and(|at| at <= now_us) {
                choices.push(Choice::Client(number));
            }
        }
    }

    /// Nothing can happen before this time.
    fn jump(&mut self) {
        let rewrites_us = self.rewrites_us();
        let World { context, threads, writer, clients, sockets, .. } = self;
        let millis = |ms: u64| ms * 1_000;
        let start = context.now().0 as u64 - context.steady_ms();
        let next = clients
            .iter()
            .filter_map(|client| client.wake_us(client.connection.and_then(|id| sockets.get(&id))));
        let busy = threads.iter().map(Thread::busy_until_us);
        let next = next.chain(context.post.next_us()).chain(writer.wake_us()).chain(busy);
        let next = next.chain(rewrites_us).chain(self.tender.wake_us(context));
        let next = next.chain(self.followers.iter().filter_map(|follower| {
            follower.next_us(served_by(follower.source, &self.followers, sockets))
        }));
        let link = self.link.iter();
        let next = next.chain(link.map(|(link, to)| link.wake_us(self.followers[*to].sockets())));
        let next = next.chain(threads.iter().map(|t| millis(t.alarm().0 as u64 - start)));
        let alarms = threads.iter().flat_map(|thread| thread.connections.values());
        let next = next.chain(alarms.filter_map(|c| c.alarm_ms).map(millis));
        // What could go on already waits for something that is not.
        let ahead = next.filter(|next| *next > context.now_us).min();
        context.pass(ahead.map_or(1, |ahead| ahead - context.now_us));
        self.router.tick(&mut self.context);
        if self.context.one_in(BOUNDS_EVERY) {
            self.check_bounds();
        }
    }

    /// When a rewrite of the journal begins, in microseconds.
    fn rewrites_us(&self) -> Option<u64> {
        let by_chance = self.context.plan.has(Fault::Rewrites) && !self.is_quiet;
        self.saver.wake_us(self.writer.needs_base(), by_chance)
    }

    fn deliver(&mut self, edge: usize) {
        let Some(arrived) = self.context.post.take(edge) else { return };
        match (arrived.to, arrived.mail) {
            (Address::Thread(thread), mail) => {
                if !self.is_lost(thread, &mail) {
                    self.threads[usize::from(thread)].receive(mail, &mut self.context);
                }
            }
            (Address::Writer, mail) => self.writer.receive(mail, &mut self.context),
            (Address::Saver, mail @ (Mail::Recorded | Mail::Listens(_))) => {
                self.tender.receive(&mail, &mut self.context);
            }
            (Address::Saver, mail) => self.saver.receive(mail, &mut self.context),
            (Address::Router, Mail::Moved(slots, to)) => {
                self.router.moved(&slots, to, &mut self.context);
            }
            (to, mail) => self.context.fail(format!("{to:?} has no use for {mail:?}")),
        }
    }

    /// What was pushed before a batch was sent is there before the batch runs.
    fn take_pushed(&mut self, thread: usize) {
        if !self.context.plan.pushes || !self.threads[thread].has_filed {
            return;
        }
        let number = thread as u16;
        for mail in self.context.post.take_pushed(number) {
            if !self.is_lost(number, &mail) {
                self.threads[thread].receive(mail, &mut self.context);
            }
        }
    }

    fn act(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some(id) = client.connection else {
            self.connections += 1;
            let id = self.connections;
            let is_slow = self.context.plan.has(Fault::SlowReaders);
            let room = self.context.rng.usize(if is_slow { 64..1_024 } else { 256..4_096 });
            self.sockets.insert(id, Socket { room, ..Socket::default() });
            let thread = self.context.rng.usize(..self.threads.len());
            self.threads[thread].accept(id, &mut self.context);
            client.connected(id);
            return;
        };
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let did = client.act(id, socket, &mut self.context);
        let connections = self.threads.iter_mut().flat_map(|t| t.connections.values_mut());
        let connection = connections.into_iter().find(|connection| connection.id == id);
        match connection {
            Some(connection) => connection.is_woken = true,
            // It sees what its client did when it has arrived.
            None if self.context.under_way.contains(&id) => self.context.met(Rare::ActedOnTheWay),
            None if did == Did::Left => drop(self.sockets.remove(&id)),
            None => {}
        }
    }

    /// Notes what ran.
    fn note_calls(&mut self) {
        let notes = std::mem::take(&mut self.context.history.borrow_mut().notes);
        let met = std::mem::take(&mut self.context.history.borrow_mut().met);
        met.into_iter().for_each(|rare| self.context.met(rare));
        notes.iter().for_each(|note| self.context.note(format_args!("{note}")));
    }

    fn check_bounds(&mut self) {
        let thread = self.context.rng.usize(..self.threads.len());
        let report = self.threads[thread].report();
        if report.held_back > 0 {
            self.context.met(Rare::CreditOut);
        }
        let connections = self.threads.iter().map(|thread| thread.connections.len()).sum();
        let held = Held { mail: self.context.post.longest(), waiting: report.waiting, connections };
        let waits = self.clients.iter().map(|client| client.waits.check(self.context.now_us));
        let broken = waits.chain([bounds::check(held)]).find_map(Result::err);
        broken.into_iter().for_each(|broken| self.context.fail(broken));
    }

    /// Calls that the shards have counted.
    fn counted(&mut self) -> u64 {
        self.threads.iter_mut().map(|thread| thread.report().statistics.calls).sum()
    }

    /// Each call counts once, in whatever it stands and however often it was tried. What panics may
    /// not be counted.
    fn check_counters(&mut self) -> Result<(), Broken> {
        let plan = &self.context.plan;
        if plan.has(Fault::CommandPanics) || plan.has(Fault::ShardPanics) {
            return Ok(());
        }
        let counted = self.counted() - self.counted_before;
        match self.context.history.borrow().counted {
            told if told == counted => Ok(()),
            told => Err(format!("{told} calls ran, and {counted} were counted")),
        }
    }

    /// Looks whether everything is at rest.
    fn look(&mut self) -> Result<(), Broken> {
        self.check_counters()?;
        let shards: Vec<quiet::Shard> = self.threads.iter_mut().enumerate().map(shard_of).collect();
        let links: usize = self.threads.iter().map(Thread::links).sum();
        let rest = Rest {
            epoch: self.router.map().epoch(),
            held: self.writer.waiting(),
            orders: self.router.unanswered(),
            astray: self.router.astray(),
            batches: self.context.batches.saturating_sub(links),
        };
        quiet::check(&shards, rest)
    }
}

/// The sockets of a node that is followed.
fn served_by<'a>(source: Source, followers: &'a [Follower], first: &'a Sockets) -> &'a Sockets {
    match source {
        Source::First => first,
        Source::Follower(number) => followers[number].sockets(),
    }
}

fn shard_of((number, thread): (usize, &mut Thread)) -> quiet::Shard {
    let report = thread.report();
    let stands_still = thread.has_script();
    let map = thread.shard().map();
    quiet::Shard {
        phase: report.phase,
        waiting: report.waiting,
        stands_still,
        cared_for: report.cares.watched + report.cares.awaited,
        here: report.slots,
        own: map.slots_of(number as u16).count(),
        epoch: map.epoch(),
    }
}
