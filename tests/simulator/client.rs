//! A client: sends pipelines, reads replies, and may be slow, or leave without a word.

use fastrand::Rng;

use crate::checks::caches::Cache;
use crate::checks::pushes;
use crate::checks::waits::Waits;
use crate::context::Context;
use crate::plan::{Fault, Stream};
use crate::rare::Rare;
use crate::reply::Reply;
use crate::socket::Socket;
use crate::workload::{Call, Role, Scripts, Workload};

/// A client.
#[derive(Debug)]
pub struct Client {
    workload: Workload,
    rng: Rng,
    /// Calls that come after those of the workload.
    last: Vec<Call>,
    /// The number of its connection.
    pub connection: Option<u64>,
    unsent: Vec<u8>,
    /// Replies that are still to come.
    wanted: usize,
    rest: Vec<u8>,
    /// It sends no more on this connection.
    has_ended: bool,
    wake_us: u64,
    /// It reads nothing before.
    slow_until_us: u64,
    /// It ends its half then, or all, though it has been promised something.
    leaves_us: Option<u64>,
    /// How long it waits.
    pub waits: Waits,
    role: Role,
    /// What it calls first on this connection.
    first: Vec<Call>,
    /// What it has cached.
    pub cache: Cache,
    /// When it has called all it stays, to be told of keys.
    stays: bool,
    /// It has given up what it watched, and is about to rest.
    is_about_to_rest: bool,
    rests: bool,
}

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// Something that its connection may have waited for.
    Something,
    /// It has left its connection.
    Left,
}

impl Client {
    /// A client of a run.
    pub fn new(number: u32, context: &Context) -> Client {
        let plan = &context.plan;
        let mut rng = plan.rng(Stream::Client(number));
        let workload =
            Workload::new(number, plan.calls, plan.has(Fault::CommandPanics), rng.fork());
        let scripts = match (plan.scripts, plan.has(Fault::ShortSlices)) {
            (false, _) => Scripts::None,
            // Where a look at the clock is short, a script that loops takes long here too.
            (true, false) => Scripts::Ending,
            (true, true) => Scripts::All,
        };
        let workload = workload.with_appends(plan.appends).with_scripts(scripts);
        let role = plan.pushes.then(|| Role::of(&mut rng));
        let client = Client::of(workload.with_role(role), Vec::new(), rng);
        let role = role.unwrap_or_default();
        let (cache, stays) = (Cache::new(role.tracking), role.tracking.is_some());
        Client { role, cache, stays, ..client }
    }

    /// A client that asks these things, and no more.
    pub fn asking(calls: Vec<Call>, context: &Context) -> Client {
        let rng = context.plan.rng(Stream::Client(u32::MAX));
        Client::of(Workload::new(0, 0, false, Rng::with_seed(0)), calls, rng)
    }

    fn of(workload: Workload, last: Vec<Call>, rng: Rng) -> Client {
        Client {
            workload,
            rng,
            last,
            connection: None,
            unsent: Vec::new(),
            wanted: 0,
            rest: Vec::new(),
            has_ended: false,
            wake_us: 0,
            slow_until_us: 0,
            leaves_us: None,
            waits: Waits::default(),
            role: Role::default(),
            first: Vec::new(),
            cache: Cache::default(),
            stays: false,
            is_about_to_rest: false,
            rests: false,
        }
    }

    /// It does not stay any longer.
    pub fn leave(&mut self) {
        (self.stays, self.rests) = (false, false);
    }

    /// True when it has called all that it wanted, and has left or rests.
    pub fn is_done(&self) -> bool {
        (self.connection.is_none() || self.rests) && self.workload.is_over() && self.last.is_empty()
    }

    /// When it does something next, in microseconds; none where it waits for the server.
    pub fn wake_us(&self, socket: Option<&Socket>) -> Option<u64> {
        let Some(socket) = socket else { return (!self.is_done()).then_some(self.wake_us) };
        let hears = !socket.down.is_empty() || socket.is_down_ended;
        let speaks =
            !self.unsent.is_empty() || (self.wanted == 0 && !self.has_ended && !self.rests);
        match (hears, speaks) {
            (_, true) => Some(self.wake_us),
            (true, false) => Some(self.wake_us.max(self.slow_until_us)),
            (false, false) => self.leaves_us,
        }
    }

    /// It has a new connection.
    pub fn connected(&mut self, connection: u64) {
        self.connection = Some(connection);
        self.has_ended = false;
        self.first = self.role.first_calls();
    }

    /// The server is gone.
    pub fn disconnected(&mut self, context: &mut Context) {
        self.connection.take().into_iter().for_each(|id| context.cycles.ended(id));
        self.unsent.clear();
        self.rest.clear();
        self.wanted = 0;
        self.leaves_us = None;
        self.cache.clear();
        (self.is_about_to_rest, self.rests) = (false, false);
        self.waits.over();
        self.wake_us = context.now_us + self.rng.u64(..20_000);
    }

    /// Does one thing on its connection.
    pub fn act(&mut self, id: u64, socket: &mut Socket, context: &mut Context) -> Did {
        self.wake_us = context.now_us + self.rng.u64(1..400);
        if context.now_us >= self.slow_until_us && !socket.down.is_empty() {
            self.read(id, socket, context);
            return Did::Something;
        }
        if socket.is_down_ended && socket.down.is_empty() {
            self.disconnected(context);
            return Did::Left;
        }
        let leaves = self.leaves_us.take_if(|at| *at <= context.now_us).is_some();
        // Half a request is never answered.
        if leaves && self.unsent.is_empty() && self.rng.bool() {
            context.note(format_args!("the client of {id} sends no more"));
            socket.is_up_ended = true;
            self.has_ended = true;
            return Did::Something;
        }
        if leaves || context.plan.has(Fault::Ends) && self.rng.u32(..200) == 0 {
            context.note(format_args!("the client of {id} is gone"));
            socket.is_reset = true;
            self.disconnected(context);
            return Did::Left;
        }
        if self.unsent.is_empty() && self.wanted == 0 && !self.has_ended && !self.rests {
            self.call(id, socket, context);
        }
        if !self.unsent.is_empty() {
            self.send(socket, context);
        }
        Did::Something
    }

    /// Begins another pipeline, or the end.
    fn call(&mut self, id: u64, socket: &mut Socket, context: &mut Context) {
        let calls = self.next_calls();
        if self.rests {
            return;
        }
        if calls.is_empty() {
            socket.is_up_ended = true;
            self.has_ended = true;
            return;
        }
        let lines: Vec<String> = calls.iter().map(Call::to_string).collect();
        context.note(format_args!("{id} calls {}", lines.join("; ")));
        context.history.borrow_mut().sent(id, &calls);
        context.cycles.asked(id, context.now_us, &calls);
        self.cache.asked(&calls, context.history.borrow().versions.known());
        self.unsent = calls.iter().flat_map(Call::encoded).collect();
        self.wanted = calls.len();
        let may_wait = context.plan.has(Fault::Ends) && calls.iter().any(Call::may_wait);
        let leaves = may_wait && self.rng.u32(..8) == 0;
        self.leaves_us = leaves.then(|| context.now_us + self.rng.u64(..200_000));
    }

    /// What it calls next, if anything.
    fn next_calls(&mut self) -> Vec<Call> {
        if !self.first.is_empty() {
            return std::mem::take(&mut self.first);
        }
        if !self.workload.is_over() {
            return self.workload.pipeline();
        }
        if self.stays {
            self.rests = std::mem::replace(&mut self.is_about_to_rest, true);
            return ["DISCARD", "UNWATCH"].map(Call::of).into();
        }
        std::mem::take(&mut self.last)
    }

    fn send(&mut self, socket: &mut Socket, context: &mut Context) {
        let all = self.unsent.len();
        let count = if self.rng.u8(..3) == 0 { self.rng.usize(1..=all) } else { all };
        socket.up.extend(self.unsent.drain(..count));
        if !self.unsent.is_empty() {
            return;
        }
        self.waits.begin(context.now_us);
        if context.plan.has(Fault::Ends) && self.rng.u32(..30) == 0 {
            socket.is_up_ended = true;
            self.has_ended = true;
        }
        if context.plan.has(Fault::SlowReaders) && self.rng.u32(..25) == 0 {
            self.slow_until_us = context.now_us + self.rng.u64(..3_000_000);
            self.waits.begin(self.slow_until_us);
        }
    }

    fn read(&mut self, id: u64, socket: &mut Socket, context: &mut Context) {
        self.rest.extend(socket.down.drain(..));
        let mut at = 0;
        context.cycles.doubt(context.history.borrow().is_journal_lost);
        // What they say was looked at when they left, but for the lists that only grow.
        while let Ok(Some((reply, len))) = Reply::take(&self.rest[at..]) {
            at += len;
            if pushes::is_unasked(&reply) {
                context.note(format_args!("the client of {id} hears {reply:?}"));
                self.cache.pushed(&reply);
                continue;
            }
            context.cycles.answered(id, context.now_us, &reply);
            let versions = context.history.borrow_mut().versions.read(id);
            if let Err(broken) = self.cache.answered(&reply, &versions) {
                context.fail(format!("the client of {id}: {broken}"));
            }
            self.wanted = self.wanted.saturating_sub(1);
        }
        self.rest.drain(..at);
        self.waits.begin(context.now_us);
        if self.wanted == 0 {
            self.leaves_us = None;
            self.waits.over();
            if self.has_ended && at > 0 {
                context.met(Rare::HalfClosed);
            }
        }
    }
}
