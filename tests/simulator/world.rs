//! A whole run: whose turn it is, what goes wrong, and what must hold.
//!
//! Everything that can happen now is a [`Choice`]; the schedule's random numbers pick one after the
//! other, so every order of what does not depend on each other comes up. Time passes a little with
//! each, and jumps where nothing can happen. Trouble comes by chance while there are calls left;
//! then the run becomes quiet, the whole data set is asked for, and the process is killed once
//! more.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use troupe::aof::error::AofError;
use troupe::route::Map;
use troupe::shard::letter::Letter;

use crate::checks::Broken;
use crate::checks::bounds::{self, Held};
use crate::checks::history::History;
use crate::checks::quiet::{self, Rest};
use crate::client::{Client, Did};
use crate::connection::Heard;
use crate::context::Context;
use crate::disk::{Cut, Disk, Plan as DiskPlan};
use crate::plan::{Fault, Plan};
use crate::post::{Address, Mail};
use crate::rare::{Counts, Rare};
use crate::router::Router;
use crate::saver::Saver;
use crate::socket::Socket;
use crate::start::{self, DIR, Started};
use crate::thread::{Sockets, Thread};
use crate::witness::Lit;
use crate::workload::{Call, KEYS};
use crate::writer::Writer;

/// Steps of a run, at most: one that needs more does not end.
const STEPS_MAX: u64 = 2_000_000;

/// How long it must be quiet at the end, in microseconds.
const QUIET_US: u64 = 5_000_000;

/// How long it takes until it is quiet, in microseconds, at most: a disk may hang a few times.
const REST_MAX_US: u64 = 60_000_000;

/// Processes that a run goes through, at most.
const KILLS_MAX: u32 = 4;

/// One step in so many, some kind of trouble comes.
const TROUBLE_EVERY: u32 = 250;

/// One jump in so many, bounds are looked at.
const BOUNDS_EVERY: u32 = 20;

/// Starts that a crash cuts short one after the other, at most.
const STARTS_CUT_MAX: u32 = 3;

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
    clients: Vec<Client>,
    sockets: Sockets,
    connections: u64,
    kills: u32,
    /// No more trouble comes.
    is_quiet: bool,
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
    let started = match start_again(&mut disk, Cut::none(), may_go, &map, &mut context) {
        Ok(started) => started,
        Err(broken) => return Outcome { broken: Some(broken), ..Outcome::default() },
    };
    let clients = (0..plan.clients).map(|number| Client::new(number, &context)).collect();
    let saver = Saver::new(disk.clone(), &mut context);
    let mut world = World {
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
    let history = world.context.history.borrow();
    Outcome {
        broken: history.broken.clone(),
        rare: world.context.rare.borrow().clone(),
        calls: world.calls + history.calls,
        trace: world.context.trace.hash(),
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
        self.ask_for_everything();
        self.crash(false);
        self.ask_for_everything();
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
        }
        let micros = self.context.rng.u64(1..20);
        self.context.pass(micros);
        self.note_calls();
        self.tell_losses();
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
        let next = next.chain(rewrites_us);
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

    /// Connections hear of batches that are lost, shards of loans, and who saves of its own.
    fn tell_losses(&mut self) {
        self.saver.tell_gone(&mut self.context);
        for (to, letter) in self.context.lost.take() {
            self.context.send(Address::Loans, Address::Thread(to), Mail::Letter(letter));
        }
        let dropped = self.context.dropped.clone();
        let mut dropped = dropped.lock().unwrap_or_else(PoisonError::into_inner);
        for (home, client) in dropped.drain(..) {
            self.context.batches -= 1;
            let (thread, now) = (&mut self.threads[usize::from(home.thread)], self.context.now());
            thread.hear(home.connection, client, Heard::Kill, now);
        }
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
        let rest = Rest {
            epoch: self.router.map().epoch(),
            held: self.writer.waiting(),
            orders: self.router.unanswered(),
            astray: self.router.astray(),
            batches: self.context.batches,
        };
        quiet::check(&shards, rest)
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

/// What goes wrong.
impl World {
    /// Some trouble of a kind that the run has.
    fn trouble(&mut self) {
        let thread = self.context.rng.usize(..self.threads.len());
        let kind = self.context.rng.u32(..40);
        let plan = self.context.plan.clone();
        let has = |fault| plan.has(fault);
        match kind {
            0..8 if has(Fault::Moves) => self.router.order(&mut self.context),
            8..12 if has(Fault::CommandPanics) => {
                self.context.met(Rare::CommandPanic);
                let left = self.context.rng.u32(..4);
                self.threads[thread].fuse.set(Lit::InChange(left));
            }
            14..16 if has(Fault::ShardPanics) => self.threads[thread].fuse.set(Lit::AfterCall),
            16 if has(Fault::ShardPanics) => self.threads[thread].spoil(&mut self.context),
            17 if has(Fault::WriterPanics) && self.context.one_in(4) => {
                self.writer.panic(&mut self.context);
            }
            18..20 if has(Fault::RouterPanics) => self.router.panic(&mut self.context),
            20..22 if has(Fault::Kills) && self.kills < KILLS_MAX => {
                self.kills += 1;
                let is_power = self.context.rng.bool();
                self.crash(is_power);
            }
            22..30 if has(Fault::Squeezes) => match self.context.rng.bool() {
                true => self.context.memory.squeeze(self.context.rng.u32(1..1_000)),
                false => self.context.memory.ease(),
            },
            _ => {}
        }
    }

    /// Whether mail gets lost where it arrives, as a batch on its way to a shard may, and a request
    /// for slots.
    fn is_lost(&mut self, thread: u16, mail: &Mail) -> bool {
        let may_lose = self.context.plan.has(Fault::ShardPanics) && !self.is_quiet;
        let lost = match mail {
            Mail::Letter(Letter::Visit(_)) => "a batch",
            Mail::Letter(Letter::Fetch(_)) => "a request for slots",
            _ => return false,
        };
        let is_lost = may_lose && self.context.one_in(400);
        if is_lost {
            self.context.note(format_args!("{lost} is lost ahead of shard {thread}"));
        }
        is_lost
    }

    /// The process is killed, or the machine loses power; then the server starts again.
    fn crash(&mut self, is_power: bool) {
        if self.context.history.borrow().broken.is_some() {
            return;
        }
        let is_under_way = !self.context.history.borrow().is_idle();
        self.context.note(format_args!("crash, power {is_power}"));
        self.context.crashes += 1;
        if is_under_way {
            self.context.met(if is_power { Rare::PowerCut } else { Rare::Killed });
        }
        if self.writer.has_waiting() {
            self.context.met(Rare::CrashBeforeRound);
        }
        if self.saver.is_saving() {
            self.context.met(Rare::BaseAtCrash);
        }
        self.context.post.clear();
        self.threads.clear();
        self.sockets.clear();
        let World { clients, context, .. } = self;
        clients.iter_mut().for_each(|client| client.disconnected(context));
        self.writer.die();
        let World { disk, context, map, .. } = self;
        let cut = leave(disk, is_power, context);
        let started = start_again(disk, cut, is_power, map, context);
        // What it removes as it goes is gone with the old disk.
        self.saver = Saver::new(disk.clone(), context);
        match started {
            Ok(started) => self.go_on(started),
            Err(broken) => self.context.fail(broken),
        }
    }

    /// The server is there again: what it found must be what it may have lost nothing of.
    fn go_on(&mut self, started: Started) {
        let Started { threads, writer, found, torn } = started;
        if torn.is_some() {
            self.context.met(Rare::TornTail);
        }
        let recovered = self
            .context
            .history
            .borrow_mut()
            .durability
            .recovered(&found, self.context.plan.policy);
        match recovered {
            Ok(survived) => {
                if survived.unshown_kept > 0 {
                    self.context.met(Rare::UnackedKept);
                }
                if survived.lost > 0 {
                    self.context.met(Rare::UnackedLost);
                }
            }
            Err(broken) => self.context.fail(broken),
        }
        let mut history = self.context.history.borrow_mut();
        self.calls += history.calls;
        let plan = &self.context.plan;
        let next = History::new(found, plan.shards).with_caches(plan.pushes);
        let before = std::mem::replace(&mut *history, next);
        (history.now, history.durability.now) = (before.now, before.now);
        history.broken = before.broken;
        drop(history);
        self.threads = threads;
        self.counted_before = self.counted();
        self.writer = writer;
        self.router = Router::new(self.map.clone());
        // What was dropped with the process told nobody.
        drop(self.context.lost.take());
        self.context.dropped.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.context.batches = 0;
    }
}

/// Starts the server over what a crash has left. Where the power may go again, it does.
fn start_again(
    disk: &mut Disk,
    mut cut: Cut,
    may_go: bool,
    map: &Arc<Map>,
    context: &mut Context,
) -> Result<Started, Broken> {
    let mut attempts = 0;
    loop {
        let is_cut_short = may_go && attempts < STARTS_CUT_MAX && context.one_in(2);
        if is_cut_short {
            let calls = context.rng.usize(1..30);
            disk.set(DiskPlan::StopAfter(calls));
        }
        attempts += 1;
        let started = start::start(disk, map, context);
        disk.set(DiskPlan::Work);
        match started {
            Ok(started) if !is_cut_short => return Ok(started),
            _ if is_cut_short => cut = leave(disk, true, context).after(&cut),
            Ok(_) => {}
            Err(AofError::Damaged { path, damage, .. }) => {
                let number = disk.number(&path).unwrap_or(usize::MAX);
                let durable = cut.durable.get(number).copied().unwrap_or(usize::MAX);
                let offset = damage.offset as usize;
                if !cut.has_hole || offset < durable {
                    return Err(format!("the journal is damaged: {damage}, {durable} synced"));
                }
                context.met(Rare::HoleInTail);
                // As redis-check-aof does it: nothing behind the damage was acknowledged.
                let bytes = disk.bytes(&path).unwrap_or_default();
                disk.put(&path, &bytes[..offset]);
            }
            Err(error) => return Err(format!("the server does not start: {error}")),
        }
    }
}

/// What a crash leaves on the disk.
fn leave(disk: &mut Disk, is_power: bool, context: &mut Context) -> Cut {
    let (left, cut) = match is_power {
        true => disk.power_cut(&mut context.rng),
        false => (disk.killed(), Cut::none()),
    };
    if cut.is_naming {
        context.met(Rare::CrashBeforeDirectorySync);
    }
    *disk = left;
    cut
}
