//! A replica: a node of its own, with threads and a router, that follows another node.
//!
//! Its clients are not looked at one by one: what it holds has to be what its primary holds, or
//! held at some moment of the stream.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use troupe::route::Map;

use crate::checks::Broken;
use crate::context::Context;
use crate::disk::Disk;
use crate::link::{Link, Server};
use crate::model::Model;
use crate::plan::{Fault, Plan, Stream};
use crate::post::{Address, Mail};
use crate::rare::Rare;
use crate::reader::Reader;
use crate::replicas::FIRST_LINK;
use crate::router::Router;
use crate::saver::Saver;
use crate::start::{DIR, found};
use crate::tender::Tender;
use crate::thread::{self, Sockets, Thread};
use crate::upstream::Upstream;
use crate::witness::Lit;

/// How the lines of each replica begin in a trace.
const NAMES: [&str; 2] = ["  one: ", "  two: "];

/// A replica.
pub struct Follower {
    /// What it is made of beside its parts.
    pub context: Context,
    threads: Vec<Thread>,
    router: Router,
    sockets: Sockets,
    disk: Disk,
    link: Link,
    reader: Reader,
    saver: Saver,
    tender: Tender,
}

/// Something that can happen now.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Deliver(usize),
    Turn(usize),
    Pump(usize, u32),
    Link,
    Reader,
    Tend,
}

impl Follower {
    /// The replica with this number of the node with this context.
    pub fn new(number: u32, of: &Context, is_printed: bool) -> Follower {
        let mut rng = of.plan.rng(Stream::Follower(number));
        let mut plan = Plan {
            seed: rng.u64(..),
            shards: rng.u16(1..=3),
            pushes: false,
            scripts: false,
            ..of.plan.clone()
        };
        plan = plan.without(Fault::Squeezes);
        let mut context = of.of_replica(&plan, NAMES[number as usize % NAMES.len()], is_printed);
        let map = Arc::new(Map::new(plan.shards));
        let disk = Disk::with(Path::new(DIR));
        let saver = Saver::new(disk.clone(), &mut context);
        Follower {
            threads: threads(&map, &context),
            router: Router::new(map),
            sockets: BTreeMap::new(),
            link: Link::new(number),
            reader: Reader::new(FIRST_LINK * u64::from(number + 1) + (FIRST_LINK >> 1)),
            saver,
            tender: Tender::default(),
            disk,
            context,
        }
    }

    fn choices(&self, served: &Sockets) -> Vec<Choice> {
        let Follower { context, threads, link, reader, sockets, .. } = self;
        let (now, now_us, now_ms) = (context.now(), context.now_us, context.steady_ms());
        let hears = |edge: &usize| match context.post.receiver(*edge) {
            Address::Thread(thread) => threads[usize::from(thread)].busy_until_us() <= now_us,
            _ => true,
        };
        let mut choices: Vec<Choice> =
            context.post.arrived(now_us).filter(hears).map(Choice::Deliver).collect();
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
        if link.wake_us(served) <= now_us {
            choices.push(Choice::Link);
        }
        if reader.wake_us(sockets) <= now_us {
            choices.push(Choice::Reader);
        }
        if self.tender.wake_us(context).is_some_and(|at| at <= now_us) {
            choices.push(Choice::Tend);
        }
        choices
    }

    /// Whether anything can happen at this time.
    pub fn wakes(&mut self, now_us: u64, served: &Sockets) -> bool {
        self.context.now_us = now_us;
        !self.choices(served).is_empty()
    }

    /// When something can happen, in microseconds.
    pub fn next_us(&self, served: &Sockets) -> Option<u64> {
        let Follower { context, threads, link, reader, sockets, .. } = self;
        let start = context.now().0 as u64 - context.steady_ms();
        let alarms = threads.iter().map(|thread| (thread.alarm().0 as u64 - start) * 1_000);
        let busy = threads.iter().map(Thread::busy_until_us);
        let next = alarms.chain(busy).chain(context.post.next_us());
        let next = next.chain([link.wake_us(served), reader.wake_us(sockets)]);
        let next = next.chain(self.tender.wake_us(context));
        next.filter(|next| *next > context.now_us).min()
    }

    /// Does one of the things that can happen now.
    pub fn step(&mut self, mut server: Server<'_>) {
        let choices = self.choices(server.sockets);
        if choices.is_empty() {
            return;
        }
        let context = &mut self.context;
        match choices[context.rng.usize(..choices.len())] {
            Choice::Deliver(edge) => self.deliver(edge),
            Choice::Turn(thread) => self.threads[thread].turn(context),
            Choice::Pump(thread, place) => {
                self.threads[thread].pump(place, &mut self.sockets, context);
            }
            Choice::Link => {
                let Follower { threads, sockets, disk, link, .. } = self;
                link.act(&mut server, threads, sockets, disk, context);
            }
            Choice::Tend => self.tender.tend(&mut self.saver, context),
            Choice::Reader => {
                let Follower { threads, sockets, link, reader, .. } = self;
                let Link { mirror, generation, .. } = link;
                let with = (*generation, mirror.as_deref_mut());
                let looked = reader.act(with, threads, sockets, context);
                looked.err().into_iter().for_each(|broken| context.fail(broken));
            }
        }
        thread::tell_losses(&mut self.saver, &mut self.threads, &mut self.context);
        self.look_at_streams();
        self.router.tick(&mut self.context);
    }

    /// Connections go on over which a stream comes or goes, where there may be something for them.
    pub fn look_at_streams(&mut self) {
        let Follower { context, threads, .. } = self;
        if context.replicas.take_news() {
            threads.iter_mut().for_each(Thread::wake_replicas);
        }
        if context.upstream.as_mut().is_some_and(|it| std::mem::take(&mut it.is_released)) {
            threads.iter_mut().for_each(Thread::wake_stream);
        }
    }

    /// What serves those that follow it.
    pub fn server(&mut self) -> Server<'_> {
        let Follower { threads, sockets, context, .. } = self;
        Server { threads, sockets, context }
    }

    /// Its sockets.
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    fn deliver(&mut self, edge: usize) {
        let Some(arrived) = self.context.post.take(edge) else { return };
        match (arrived.to, arrived.mail) {
            (Address::Thread(thread), mail) => {
                self.threads[usize::from(thread)].receive(mail, &mut self.context);
            }
            (Address::Router, Mail::Moved(slots, to)) => {
                self.router.moved(&slots, to, &mut self.context);
            }
            (Address::Saver, mail @ (Mail::Recorded | Mail::Listens(_))) => {
                self.tender.receive(&mail, &mut self.context);
            }
            (Address::Saver, mail) => self.saver.receive(mail, &mut self.context),
            (to, mail) => self.context.fail(format!("{to:?} has no use for {mail:?}")),
        }
    }

    /// Its link is cut.
    pub fn cut(&mut self, mut server: Server<'_>) {
        self.link.cut(&mut server, &mut self.context);
    }

    /// Its process is killed and starts again. It has no journal, and so knows nothing.
    pub fn restart(&mut self, mut server: Server<'_>) {
        let Follower { context, link, .. } = self;
        context.note(format_args!("crash"));
        context.met(Rare::ReplicaKilled);
        link.die(&mut server);
        self.reader.disconnected();
        self.sockets.clear();
        context.post.clear();
        context.under_way.clear();
        self.threads.clear();
        drop(context.lost.take());
        context.dropped.lock().unwrap_or_else(PoisonError::into_inner).clear();
        context.batches = 0;
        context.replicas = context.replicas.restarted(&context.settings);
        context.replicas.follow();
        context.upstream = Some(Upstream::default());
        let map = Arc::new(Map::new(context.plan.shards));
        self.threads = threads(&map, context);
        self.router = Router::new(map);
        (self.saver, self.tender) = (Saver::new(self.disk.clone(), context), Tender::default());
    }

    /// One of its shards panics.
    pub fn panic(&mut self) {
        let thread = self.context.rng.usize(..self.threads.len());
        let left = self.context.rng.u32(..4);
        let lit = if self.context.rng.bool() { Lit::AfterCall } else { Lit::InChange(left) };
        self.threads[thread].fuse.set(lit);
    }

    /// Slots of it move.
    pub fn move_slots(&mut self) {
        self.router.order(&mut self.context);
    }

    /// Its reader asks no more.
    pub fn quiet(&mut self) {
        self.reader.quiet();
    }

    /// The promise that was broken here.
    pub fn broken(&mut self) -> Option<Broken> {
        let broken = self.context.replicas.broken.take();
        broken.or_else(|| self.context.history.borrow().broken.clone())
    }

    /// Whether it has all of the stream, and holds what the first node does.
    ///
    /// # Errors
    /// It has not come so far, or holds something else.
    pub fn check(&mut self, place: &(String, u64), there: &Model) -> Result<(), Broken> {
        let own = self.context.replicas.place();
        if !self.link.is_linked() || own != *place {
            let link = if self.link.is_linked() { "up" } else { "down" };
            return Err(format!("a replica is at {own:?} of {place:?}, its link is {link}"));
        }
        if self.threads.iter_mut().any(|thread| !thread.is_at_rest()) {
            return Err("a replica does not rest".to_owned());
        }
        let map = self.router.map().clone();
        let held = found(&mut self.threads, &map);
        same(&held, there, "the primary")?;
        let Some(mirror) = &mut self.link.mirror else {
            return Err("a replica is linked and never had a snapshot".to_owned());
        };
        let streams = self.context.replicas.streams().borrow();
        mirror.carry_out(streams.from(&own.0, mirror.offset))?;
        same(&held, &mirror.entries(), "its stream")
    }
}

/// Threads with empty shards.
fn threads(map: &Arc<Map>, context: &Context) -> Vec<Thread> {
    let thread = |number| {
        let mut thread = Thread::new(number, map.clone(), context);
        thread.shard().serve();
        thread
    };
    (0..context.plan.shards).map(thread).collect()
}

/// Whether a replica holds what it has to.
fn same(held: &Model, wanted: &Model, whose: &str) -> Result<(), Broken> {
    let keys = held.entries.keys().chain(wanted.entries.keys());
    let differs = |key: &&String| held.entries.get(*key) != wanted.entries.get(*key);
    let Some(key) = keys.into_iter().find(differs) else { return Ok(()) };
    let (held, wanted) = (held.entries.get(key), wanted.entries.get(key));
    Err(format!("a replica holds {held:?} under {key}, and {whose} has {wanted:?}"))
}
