//! A thread of the server: its shard and its connections, and what their shells do for them.
//!
//! A connection works on the shard of its own thread directly. Whatever panics, the shard distrusts
//! what it holds, and is rebuilt from the journal.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, PoisonError};

use fastrand::Rng;
use troupe::aof::change::Step;
use troupe::base::hash::Hasher;
use troupe::base::millis::Millis;
use troupe::batch::{Batch, Home};
use troupe::commands::action::Action;
use troupe::connection::{Arrival, Pool};
use troupe::hook::answer::{Answer, Report};
use troupe::hook::push::Push;
use troupe::hook::{Gate, Listener, Phase, Sink};
use troupe::hooks::following::Following;
use troupe::hooks::journal::JournalWrites;
use troupe::hooks::loading::Loading;
use troupe::hooks::memory_limit::MemoryLimit;
use troupe::hooks::pause::Paused;
use troupe::hooks::permission::Permitted;
use troupe::hooks::silence::Silence;
use troupe::parked::Served;
use troupe::pubsub::{Kind, Name, Redirected};
use troupe::question::{Detail, Question};
use troupe::route::{Map, ShardId};
use troupe::shard::letter::Letter;
use troupe::shard::load::Applied;
use troupe::shard::tracking::Tracked;
use troupe::shard::turn::{Held, Ready};
use troupe::shard::{Parts, SLICE_NS, Shard, Ticks};
use troupe::stream::Policy;

use crate::checks::history::History;
use crate::connection::{Asked, Connection, Heard, Moving};
use crate::context::Context;
use crate::engine::Watched;
use crate::performance::{Performance, Performances};
use crate::plan::{Fault, Stream};
use crate::post::{Address, Mail};
use crate::rare::Rare;
use crate::replicas::FIRST_LINK;
use crate::saver::Saver;
use crate::socket::Socket;
use crate::witness::{Fuse, Lit, Witness};

/// How often a shard looks at the clock when nothing else wakes it, in milliseconds.
const TICK_MS: u64 = 100;

/// What a turn is made of: batches, deadlines, what is let go, a snapshot.
const PARTS: usize = 4;

/// Sockets by the numbers of their connections.
pub type Sockets = BTreeMap<u64, Socket>;

/// A clock on which each look takes a while.
#[derive(Debug)]
struct Looks {
    rng: Rng,
    nanos: u64,
    longest: u64,
}

impl Ticks for Looks {
    fn nanos(&mut self) -> u64 {
        self.nanos += self.rng.u64(..self.longest);
        self.nanos
    }
}

/// A thread.
pub struct Thread {
    number: ShardId,
    shard: Shard,
    looks: Looks,
    /// Makes the shard panic.
    pub fuse: Rc<Cell<Lit>>,
    /// Its connections by their places.
    pub connections: BTreeMap<u32, Connection>,
    pool: Pool,
    places: u32,
    is_woken: bool,
    alarm: Millis,
    /// What it did last takes until then, in microseconds.
    busy_until_us: u64,
    part: usize,
    load: u64,
    is_rebuilt: bool,
    /// There is a journal from which the shard is rebuilt.
    is_journaled: bool,
    /// A journal begins, and is given up where the shard panics.
    tells_panics: bool,
    /// A batch was filed since its last turn.
    pub has_filed: bool,
    /// Actions that are under way.
    performances: Performances,
}

impl Thread {
    /// A thread with an empty shard that is about to load.
    pub fn new(number: ShardId, map: Arc<Map>, context: &Context) -> Thread {
        let (fuse, is_observed) = (Fuse::default(), context.is_observed);
        let (history, rare) = (context.history.clone(), context.rare.clone());
        let witness = Witness { shard: number, history, rare };
        let mut gates: Vec<Box<dyn Gate>> = vec![
            Box::new(Permitted),
            Box::new(Loading),
            Box::new(JournalWrites),
            Box::new(MemoryLimit),
            Box::new(Following),
            Box::new(Paused),
        ];
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        let mut listeners: Vec<Box<dyn Listener>> = Vec::new();
        if is_observed {
            gates.push(Box::new(witness.clone()));
            sinks.push(Box::new(witness.clone()));
            listeners.push(Box::new(witness));
        }
        sinks.extend([Box::new(fuse.clone()) as Box<dyn Sink>, Box::new(Silence)]);
        listeners.push(Box::new(fuse.clone()));
        listeners.push(Box::new(context.memory.clone()));
        let shard = Shard::new(Parts {
            id: number,
            map,
            settings: context.settings.clone(),
            hasher: Hasher::with_seeds([1, 2, 3, 4]),
            seed: context.plan.seed ^ u64::from(number),
            gates,
            sinks,
            listeners,
            post: context.lost.clone(),
            tracked: Tracked::default(),
            scripts: Box::new(Watched::new(number, context.history.clone())),
            gauge: Box::new(context.memory.clone()),
            worths: context.worths.clone(),
        });
        let longest = if context.plan.has(Fault::ShortSlices) { SLICE_NS / 2 } else { 200 };
        let looks = Looks { rng: context.plan.rng(Stream::Clock), nanos: 0, longest };
        Thread {
            number,
            shard,
            looks,
            fuse: fuse.0,
            connections: BTreeMap::new(),
            pool: Pool::default(),
            places: 0,
            is_woken: true,
            alarm: Millis(0),
            busy_until_us: 0,
            part: 0,
            load: 0,
            is_rebuilt: false,
            is_journaled: false,
            tells_panics: false,
            has_filed: false,
            performances: Performances::default(),
        }
    }

    /// Its shard.
    pub fn shard(&mut self) -> &mut Shard {
        &mut self.shard
    }

    /// The figures of its shard.
    pub fn report(&mut self) -> Box<Report> {
        match self.shard.answer(&Question::Report(Detail::Sums)) {
            Answer::Report(report) => report,
            other => panic!("{other:?} is no report"),
        }
    }

    /// Whether nothing waits at its shard, and all its slots are there.
    pub fn is_at_rest(&mut self) -> bool {
        let report = self.report();
        report.waiting == 0 && report.slots == self.shard.map().slots_of(self.number).count()
    }

    /// Clients of it that are links of replicas.
    pub fn links(&self) -> usize {
        self.connections.values().filter(|connection| connection.id >= FIRST_LINK).count()
    }

    /// Whether a script stands still on its shard.
    pub fn has_script(&mut self) -> bool {
        matches!(self.shard.answer(&Question::RunningScript), Answer::Running(Some(_), _))
    }

    /// Takes a client in.
    pub fn accept(&mut self, id: u64, context: &mut Context) {
        let home = Home { thread: self.number, connection: self.places };
        self.connections.insert(self.places, Connection::new(id, home, context));
        if id < FIRST_LINK && context.is_observed {
            context.history.borrow_mut().accepted(id, self.number);
        }
        self.places += 1;
    }

    /// A client goes to the thread of another shard.
    fn send_away(&self, to: ShardId, moving: Moving, context: &mut Context) {
        context.met(Rare::Followed);
        context.under_way.insert(moving.id());
        let own = Address::Thread(self.number);
        context.send(own, Address::Thread(to), Mail::Client(Box::new(moving)));
    }

    /// A client has come from another thread.
    fn take_in(&mut self, moving: Moving, context: &mut Context) {
        let (id, home) = (moving.id(), Home { thread: self.number, connection: self.places });
        context.under_way.remove(&id);
        context.note(format_args!("{id} is on thread {}", self.number));
        self.connections.insert(self.places, moving.arrive(home));
        self.places += 1;
        if id < FIRST_LINK && context.is_observed {
            context.history.borrow_mut().accepted(id, self.number);
        }
    }

    /// Takes in the connection to the primary, whose stream goes on in a database. Returns its
    /// place.
    pub fn accept_primary(&mut self, id: u64, db: u32, context: &mut Context) -> u32 {
        let place = self.places;
        let home = Home { thread: self.number, connection: place };
        self.connections.insert(place, Connection::to_primary(id, home, db, context));
        self.places += 1;
        place
    }

    /// Wakes the connection with this number, if it is here.
    pub fn wake(&mut self, id: u64) {
        let found = self.connections.values_mut().find(|connection| connection.id == id);
        found.into_iter().for_each(|connection| connection.is_woken = true);
    }

    /// Wakes the connection to the primary, if it is here.
    pub fn wake_stream(&mut self) {
        let all = self.connections.values_mut();
        all.filter(|there| there.is_to_primary()).for_each(|there| there.is_woken = true);
    }

    /// Wakes the connections of replicas.
    pub fn wake_replicas(&mut self) {
        let all = self.connections.values_mut();
        all.filter(|there| there.is_replica()).for_each(|there| there.is_woken = true);
    }

    /// True when the shard has something to do.
    pub fn wakes(&self, now: Millis) -> bool {
        self.is_woken || self.alarm <= now
    }

    /// When the shard has something to do though nobody wakes it.
    pub fn alarm(&self) -> Millis {
        self.alarm
    }

    /// When it has done what it did last, in microseconds.
    pub fn busy_until_us(&self) -> u64 {
        self.busy_until_us
    }

    /// Runs `work`; a panic makes the shard distrust what it holds.
    fn guarded<R>(
        &mut self,
        context: &mut Context,
        work: impl FnOnce(&mut Thread) -> R,
    ) -> Option<R> {
        let ran = catch_unwind(AssertUnwindSafe(|| work(self)));
        if ran.is_err() {
            context.met(Rare::ShardPanic);
            context.history.borrow_mut().broke();
            self.shard.distrust();
            self.is_woken = true;
        }
        ran.ok()
    }

    /// Mail has come.
    pub fn receive(&mut self, mail: Mail, context: &mut Context) {
        self.is_woken = true;
        match mail {
            Mail::Letter(letter) => {
                if let Letter::Return(returned) = &letter
                    && returned.torn
                {
                    context.met(Rare::TornLoan);
                    context.history.borrow_mut().broke();
                }
                if matches!(letter, Letter::WaitAgain(_)) {
                    context.met(Rare::WaitedAgain);
                }
                self.guarded(context, |thread| thread.shard.receive(letter));
                let pushes = self.shard.take_arrived();
                self.push(pushes, context);
            }
            Mail::Progress(progress) => {
                self.shard.progressed(Some(progress), context.steady_ms());
            }
            Mail::Replay(load, parcel) if load == self.load => {
                let now = context.now();
                let applied = self.guarded(context, |thread| thread.shard.load(&parcel, now));
                let refused = match &applied {
                    Some(Applied::Records(refused)) => refused.first().map(|it| it.1.to_string()),
                    Some(Applied::Keys(faults)) => faults.first().map(ToString::to_string),
                    None => None,
                };
                if let Some(refused) = refused {
                    context.fail(format!("a record of our own is refused: {refused}"));
                }
            }
            Mail::Loaded(load) if load == self.load => {
                context.note(format_args!("shard {} is rebuilt", self.number));
                self.shard.end_replay();
                self.is_rebuilt = self.shard.phase() != Phase::Serving;
                if !self.is_rebuilt && self.shard.register().len(Kind::Cached) > 0 {
                    context.met(Rare::CachesFlushed);
                }
            }
            Mail::Replay(..) | Mail::Loaded(_) => {}
            Mail::Client(moving) => self.take_in(*moving, context),
            Mail::Record(on) => {
                self.shard.replicate(on);
                if on {
                    let own = Address::Thread(self.number);
                    context.send(own, Address::Saver, Mail::Recorded);
                }
            }
            Mail::Step(step) => self.take_step(step, context),
            Mail::Ask(from, number, asked) => {
                let answer = asked.answer(&mut self.shard);
                let own = Address::Thread(self.number);
                context.send(own, Address::Thread(from), Mail::Answer(number, answer));
            }
            Mail::Answer(number, answer) => {
                let end = self.performances.answered(number, answer);
                self.go_on_with(end, number, context);
            }
            other => context.fail(format!("a thread has no use for {other:?}")),
        }
    }

    /// A step of a change of the journal.
    fn take_step(&mut self, step: Step, context: &mut Context) {
        match step {
            Step::BeginBase => {
                // What was done before belongs to no journal.
                self.end_turn(false, context);
                self.shard.begin_journal(Policy::Never);
                self.tells_panics = true;
            }
            Step::Take(policy) => self.begin_journal(policy),
            Step::Leave => {
                (self.tells_panics, self.is_journaled) = (false, false);
                self.shard.end_journal();
            }
            _ => {}
        }
        let serves = self.shard.phase() == Phase::Serving;
        context.send(Address::Thread(self.number), Address::Saver, Mail::Heard(step, serves));
    }

    /// There is a journal that holds what the shard does.
    pub fn begin_journal(&mut self, policy: Policy) {
        (self.tells_panics, self.is_journaled) = (false, true);
        self.shard.begin_journal(policy);
        self.shard.rebuilds(true);
    }

    /// One turn of the shard.
    pub fn turn(&mut self, context: &mut Context) {
        self.is_woken = false;
        self.has_filed = false;
        let now = context.now();
        let began = self.looks.nanos;
        if self.alarm <= now {
            self.shard.progressed(None, context.steady_ms());
        }
        let calls = context.history.borrow().calls;
        let history = context.history.clone();
        let more = self.guarded(context, |thread| thread.work(now, &history)).unwrap_or(true);
        history.borrow_mut().settle(self.number);
        let is_idle = context.history.borrow().calls == calls;
        self.end_turn(is_idle, context);
        if self.shard.phase() != Phase::Serving {
            history.borrow_mut().broke();
        }
        if self.shard.phase() == Phase::Suspect {
            self.rebuild(context);
        }
        self.is_woken |= more;
        self.busy_until_us = context.now_us + (self.looks.nanos - began) / 1_000;
        let tick = now.saturating_add(TICK_MS as i64);
        self.alarm = self
            .shard
            .next_deadline()
            .map_or(tick, |deadline| deadline.min(tick))
            .max(Millis(now.0 + 1));
    }

    fn work(&mut self, now: Millis, history: &RefCell<History>) -> bool {
        let start = self.looks.nanos();
        let mut more = false;
        for _ in 0..PARTS {
            more |= match self.part {
                0 => self.shard.work(now, &mut self.looks),
                1 => self.shard.expire(now, &mut self.looks),
                2 => self.shard.discard(&mut self.looks),
                _ => self.write_snapshot(),
            };
            history.borrow_mut().settle(self.number);
            self.part = (self.part + 1) % PARTS;
            if self.looks.nanos() - start > SLICE_NS {
                return true;
            }
        }
        more
    }

    /// Most slots are empty: the looks for them would take all of a run.
    fn write_snapshot(&mut self) -> bool {
        let longest = self.looks.longest;
        self.looks.longest = (longest / 64).max(2);
        let more = self.shard.write_snapshot(&mut self.looks);
        self.looks.longest = longest;
        more
    }

    fn end_turn(&mut self, is_idle: bool, context: &mut Context) {
        let is_durable = context.mark.is_durable();
        if is_durable && self.shard.has_pushes() {
            let letters = context.post.take_pushed(self.number);
            letters.into_iter().for_each(|mail| self.receive(mail, context));
        }
        let mut ready = Ready::default();
        self.shard.end_turn(context.steady_ms(), is_durable, &mut ready);
        let is_given_back =
            |(_, letter): &(u16, Letter)| matches!(letter, Letter::Return(r) if !r.torn);
        let is_turned_back = is_idle && context.is_observed;
        if is_turned_back && ready.letters.iter().any(is_given_back) {
            context.met(Rare::TurnedBack);
            if self.shard.phase() == Phase::Serving {
                context.met(Rare::MovedWhileHolding);
            }
        }
        self.apply(ready, context);
    }

    /// Sends what is ready, in its order.
    fn apply(&mut self, ready: Ready, context: &mut Context) {
        let Ready { append, snapshots, pushes, letters, moved, homes, performs, served, rebuilt } =
            ready;
        let own = Address::Thread(self.number);
        let held =
            append.iter().flat_map(|append| &append.finished).filter_map(|held| match held {
                Held::Push(push) => Some(push),
                _ => None,
            });
        let sent = letters.iter().filter_map(|(_, letter)| match letter {
            Letter::Push(push) => Some(push),
            _ => None,
        });
        for push in pushes.iter().chain(held).chain(sent) {
            let mut history = context.history.borrow_mut();
            let History { pushes, durability, .. } = &mut *history;
            pushes.made(push, durability);
        }
        if let Some(append) = append {
            context.mark.appended(&append);
            if !append.bytes.is_empty() {
                context.history.borrow_mut().durability.appended(self.number);
            }
            context.send(own, Address::Writer, Mail::Append(append));
        }
        for news in snapshots {
            context.send(own, Address::Saver, Mail::News(self.number, news));
        }
        self.push(pushes, context);
        for _ in letters.iter().filter(|(_, letter)| matches!(letter, Letter::HoldMoves(1))) {
            context.met(Rare::MovesHeld);
        }
        context.send_letters(own, letters);
        if !moved.is_empty() {
            context.send(own, Address::Router, Mail::Moved(moved, self.number));
        }
        for shard in rebuilt {
            let parked = self.connections.values().filter_map(Connection::parked);
            let again = |parked| (shard, Letter::WaitAgain(Arc::downgrade(parked)));
            let letters: Vec<_> = parked.map(again).collect();
            context.send_letters(own, letters);
        }
        for Served { to, client, outcome, .. } in served {
            self.hear(to.connection, client, Heard::WaitEnded(outcome), context);
        }
        performs.into_iter().for_each(|batch| self.perform(batch, None, context));
        for batch in homes {
            let (place, client) = (batch.home.connection, batch.session.id);
            self.hear(place, client, Heard::Home(batch), context);
        }
    }

    /// Gives clients what they did not ask for.
    fn push(&mut self, pushes: Vec<Push>, context: &mut Context) {
        let settings = self.shard.settings().clone();
        let at = Arrival { settings: &settings, turns: self.shard.turns() };
        let mut letters = Vec::new();
        for push in pushes {
            let receivers = self.receivers(&push);
            for (place, client, pattern) in receivers {
                let connection = self.connections.get_mut(&place);
                let Some(connection) = connection.filter(|there| there.id == client) else {
                    if let Push::Redirected(Redirected { to, of: (home, client), .. }) = &push {
                        let (to, client, named) = (*home, *client, to.client);
                        let broken = Push::RedirectBroken { to, client, named };
                        letters.push((home.thread, Letter::Push(broken)));
                    }
                    continue;
                };
                connection.push(&push, pattern.as_ref(), at, context);
                if let Push::Outdated { message, .. } = &push {
                    let map = self.shard.map();
                    let moved = context.history.borrow().pushes.has_moved(client, message, map);
                    moved.then(|| context.met(Rare::MovedSinceRead));
                }
            }
        }
        let own = Address::Thread(self.number);
        context.send_letters(own, letters);
    }

    /// The clients of the thread that a push is for: their places and numbers, and the patterns for
    /// which they get it.
    fn receivers(&self, push: &Push) -> Vec<(u32, u64, Option<Name>)> {
        match push {
            Push::Message { message, .. } => {
                let mut receivers = Vec::new();
                self.shard.register().receivers(message, |receiver, pattern| {
                    receivers.push((receiver.connection, receiver.client, pattern.cloned()));
                });
                receivers
            }
            Push::Bytes { to, client, .. }
            | Push::Outdated { to, client, .. }
            | Push::RedirectBroken { to, client, .. } => vec![(to.connection, *client, None)],
            Push::Redirected(redirected) => {
                vec![(redirected.to.home.connection, redirected.to.client, None)]
            }
        }
    }

    /// Tells a connection something, if it is still there.
    pub fn hear(&mut self, place: u32, client: u64, heard: Heard, context: &mut Context) {
        let connection = self.connections.get_mut(&place);
        if let Some(connection) = connection.filter(|connection| connection.id == client) {
            connection.hear(heard, context);
        }
    }

    /// What the shard holds is not trusted: it is read from the journal again.
    fn rebuild(&mut self, context: &mut Context) {
        context.note(format_args!("shard {} is to be rebuilt", self.number));
        if std::mem::replace(&mut self.is_rebuilt, true) {
            context.met(Rare::PanicInRebuild);
        }
        // What was done before must be in the journal before the marker.
        self.end_turn(false, context);
        if std::mem::take(&mut self.tells_panics) {
            let panicked = Mail::Panicked(self.number);
            context.send(Address::Thread(self.number), Address::Saver, panicked);
        }
        if !self.is_journaled {
            self.shard.serve();
            let upstream = context.upstream.iter_mut();
            upstream.for_each(|it| it.lose("a shard has panicked"));
            self.is_woken = true;
            return;
        }
        let own = self.shard.map().slots_of(self.number).count();
        if self.report().slots < own {
            context.met(Rare::LentInRebuild);
        }
        self.shard.begin_rebuild();
        self.load += 1;
        let rebuild = Mail::Rebuild(self.number, self.load);
        context.send(Address::Thread(self.number), Address::Writer, rebuild);
        self.is_woken = true;
    }

    /// Lets a connection do what it can.
    pub fn pump(&mut self, place: u32, sockets: &mut Sockets, context: &mut Context) {
        let Some(mut connection) = self.connections.remove(&place) else { return };
        let Some(socket) = sockets.get_mut(&connection.id) else { return };
        loop {
            match connection.pump(socket, &mut self.pool, context) {
                Asked::Close => {
                    connection.ended(context);
                    return self.performances.gone(place);
                }
                Asked::Rest => break,
                Asked::GoTo(shard) => match connection.leave() {
                    Some(moving) => return self.send_away(shard, moving, context),
                    None => context.fail(format!("connection {} cannot go", connection.id)),
                },
                Asked::Perform(batch) => self.perform(batch, Some(place), context),
                Asked::Run(mut batch, new) => {
                    if let Some(bytes) = new {
                        let renames = &self.shard.settings().rename_command;
                        batch.route(bytes, context.now(), self.shard.hasher(), renames);
                        connection.begins(&mut batch, context);
                    }
                    self.shard.file(batch);
                    (self.is_woken, self.has_filed) = (true, true);
                }
                Asked::Unpark(mut batch, outcome) => {
                    // The batch is lost where that panics.
                    self.guarded(context, |thread| {
                        thread.shard.unpark(&mut batch, outcome);
                        thread.shard.file(batch);
                    });
                    (self.is_woken, self.has_filed) = (true, true);
                }
            }
        }
        let redirected = connection.take_redirected();
        self.connections.insert(place, connection);
        let letter = |push: Push| (push.thread(), Letter::Push(push));
        let letters: Vec<_> = redirected.into_iter().map(Push::Redirected).map(letter).collect();
        context.send_letters(Address::Thread(self.number), letters);
    }

    /// Has the action of a batch performed, which waits at the connection at this place, or keeps
    /// what it holds.
    fn perform(&mut self, mut batch: Box<Batch>, place: Option<u32>, context: &mut Context) {
        let is_of_replica = |action: &mut Action| {
            matches!(action, Action::Replicate(_) | Action::Acknowledge { .. })
        };
        if let Some(action) = batch.action.take_if(is_of_replica) {
            let now_ms = context.steady_ms();
            context.replicas.perform(&action, &batch.session, now_ms);
            let over = Performance::Over(batch, Ok(b""));
            return self.go_on_with(Some(over), 0, context);
        }
        let shards = context.plan.shards;
        match self.performances.begin(batch, place, shards) {
            Ok((number, next)) => self.go_on_with(Some(next), number, context),
            Err(broken) => context.fail(broken),
        }
    }

    /// Goes on with what is performed, where it does not wait for answers.
    fn go_on_with(&mut self, next: Option<Performance>, number: u64, context: &mut Context) {
        let own = Address::Thread(self.number);
        match next {
            None => {}
            Some(Performance::Asks(asked)) => {
                for to in 0..context.plan.shards {
                    let mail = Mail::Ask(self.number, number, asked.clone());
                    context.send(own, Address::Thread(to), mail);
                }
            }
            Some(Performance::Over(mut batch, reply)) => {
                let mark = batch.replies.len();
                let result = reply.map(|reply| batch.replies.extend_from_slice(reply));
                self.guarded(context, |thread| {
                    thread.shard.performed(&mut batch, mark, 0, result);
                    thread.shard.file(batch);
                });
                (self.is_woken, self.has_filed) = (true, true);
            }
        }
    }

    /// Spoils the shard, as a bug may at its worst, and panics.
    pub fn spoil(&mut self, context: &mut Context) {
        self.guarded(context, |thread| thread.shard.spoil_and_panic());
    }
}

/// Connections of a node hear of batches that are lost, shards of loans, and who saves of its own.
pub fn tell_losses(saver: &mut Saver, threads: &mut [Thread], context: &mut Context) {
    saver.tell_gone(context);
    for (to, letter) in context.lost.take() {
        context.send(Address::Loans, Address::Thread(to), Mail::Letter(letter));
    }
    let dropped = context.dropped.clone();
    let mut dropped = dropped.lock().unwrap_or_else(PoisonError::into_inner);
    for (home, client) in dropped.drain(..) {
        context.batches -= 1;
        threads[usize::from(home.thread)].hear(home.connection, client, Heard::Lost, context);
    }
}
