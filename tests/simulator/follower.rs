//! A replica: a node of its own, with threads and a router, that follows another node. Some have a
//! journal. One may be made a primary, and is written to from then on.
//!
//! Its clients are not looked at one by one: what it holds has to be what its primary holds, or
//! held at some moment of the stream. So has what it finds in its journal.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use troupe::place::StreamPlace;
use troupe::route::Map;

use crate::author::Author;
use crate::checks::Broken;
use crate::context::Context;
use crate::disk::Disk;
use crate::link::{Link, Own, Server};
use crate::model::Model;
use crate::plan::{Fault, Plan, Stream};
use crate::post::{Address, Mail};
use crate::rare::Rare;
use crate::reader::Reader;
use crate::replicas::FIRST_LINK;
use crate::router::Router;
use crate::saver::Saver;
use crate::start::{self, DIR, Started, found};
use crate::tender::Tender;
use crate::thread::{self, Sockets, Thread};
use crate::upstream::Upstream;
use crate::witness::Lit;
use crate::world::trouble::{leave, start_again};
use crate::writer::Writer;

/// How the lines of each replica begin in a trace.
const NAMES: [&str; 2] = ["  one: ", "  two: "];

/// Whom a node follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The node that clients write to first.
    First,
    /// The replica with this number.
    Follower(usize),
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Replica,
    /// It is to lead, and lets the stream come to its end.
    Leaves,
    /// It leads, and its stream is about to be recorded.
    Records,
    Primary,
}

/// A replica.
pub struct Follower {
    /// What it is made of beside its parts.
    pub context: Context,
    /// Whom it follows, or did before it was made a primary.
    pub source: Source,
    /// Whom it is to follow as soon as its stream has come to its end.
    pub next_source: Option<Source>,
    part: Part,
    /// The id of the stream with which it went on when it was made a primary.
    led: String,
    writer: Writer,
    author: Option<Author>,
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
    Write,
    Rewrite,
    Author,
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
        let has_journal = rng.bool();
        let (threads, writer) = match has_journal {
            true => {
                let started = start::start(&disk, &map, &mut context).expect("the disk works");
                (started.threads, started.writer)
            }
            false => (threads(&map, &context), Writer::without_journal(disk.clone(), &context)),
        };
        let saver = Saver::new(disk.clone(), has_journal, &mut context);
        let source = match number.checked_sub(1).filter(|_| of.plan.is_chain) {
            Some(before) => Source::Follower(before as usize),
            None => Source::First,
        };
        Follower {
            source,
            next_source: None,
            part: Part::Replica,
            led: String::new(),
            threads,
            writer,
            author: None,
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
            Address::Writer => !self.writer.is_busy(),
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
        if self.writer.wake_us().is_some_and(|at| at <= now_us) {
            choices.push(Choice::Write);
        }
        if self.rewrites_us().is_some_and(|at| at <= now_us) {
            choices.push(Choice::Rewrite);
        }
        if self.author.as_ref().is_some_and(|author| author.wake_us(sockets) <= now_us) {
            choices.push(Choice::Author);
        }
        choices
    }

    /// When a rewrite of the journal begins, in microseconds.
    fn rewrites_us(&self) -> Option<u64> {
        let by_chance = self.context.plan.has(Fault::Rewrites) && !self.reader.is_quiet();
        self.saver.wake_us(self.writer.needs_base(), by_chance)
    }

    /// Whether anything can happen at this time.
    pub fn wakes(&self, served: &Sockets) -> bool {
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
        let next = next.chain(self.tender.wake_us(context)).chain(self.writer.wake_us());
        let author = self.author.iter().map(|author| author.wake_us(sockets));
        let next = next.chain(self.rewrites_us()).chain(author);
        next.filter(|next| *next > context.now_us).min()
    }

    /// Does one of the things that can happen now.
    pub fn step(&mut self, mut server: Server<'_>) {
        let choices = self.choices(server.sockets);
        if choices.is_empty() {
            return;
        }
        self.saver.know_stream(self.link.has_data_of_stream(&self.context));
        let context = &mut self.context;
        match choices[context.rng.usize(..choices.len())] {
            Choice::Deliver(edge) => self.deliver(edge),
            Choice::Turn(thread) => self.threads[thread].turn(context),
            Choice::Pump(thread, place) => {
                self.threads[thread].pump(place, &mut self.sockets, context);
            }
            Choice::Link => {
                let Follower { threads, sockets, saver, link, .. } = self;
                link.act(&mut server, Own { threads, sockets, saver }, context);
            }
            Choice::Write => self.writer.work(context),
            Choice::Rewrite => self.saver.begin(self.writer.needs_base(), context),
            Choice::Author => {
                let Follower { threads, sockets, author, .. } = self;
                let acted = author.iter_mut().try_for_each(|it| it.act(threads, sockets, context));
                acted.err().into_iter().for_each(|broken| context.fail(broken));
            }
            Choice::Tend => self.tender.tend(&mut self.saver, context),
            Choice::Reader => {
                let Follower { threads, sockets, link, reader, .. } = self;
                let Link { mirror, generation, .. } = link;
                // What a primary shows may not be in its stream yet.
                let follows = self.part != Part::Primary;
                let with = (*generation, mirror.as_deref_mut().filter(|_| follows));
                let looked = reader.act(with, threads, sockets, context);
                looked.err().into_iter().for_each(|broken| context.fail(broken));
            }
        }
        thread::tell_losses(&mut self.saver, &mut self.threads, &mut self.context);
        self.look_at_streams();
        self.router.tick(&mut self.context);
        if self.writer.gives_up {
            self.context.met(Rare::GaveUp);
            self.restart(server, false);
        }
    }

    /// It is to be a primary, if its data set is whole by then.
    pub fn promote(&mut self, mut server: Server<'_>) {
        self.context.note(format_args!("it is to lead"));
        self.part = Part::Leaves;
        self.link.leave(&mut server, &mut self.context);
    }

    /// It is to follow another node.
    pub fn follow(&mut self, source: Source, mut server: Server<'_>) {
        self.context.note(format_args!("it is to follow {source:?}"));
        self.next_source = Some(source);
        self.link.leave(&mut server, &mut self.context);
    }

    /// The stream of the node that it has followed has come to its end, perhaps: another one is
    /// followed then, or none.
    pub fn look_at_changes(&mut self) {
        self.go_on_to_lead();
        if let Some(source) = self.next_source.take_if(|_| self.link.has_left()) {
            self.source = source;
            self.context.replicas.cut_all();
            self.link.follow(&self.context);
        }
    }

    /// Its stream is its own before any client has written.
    fn go_on_to_lead(&mut self) {
        let Follower { context, link, tender, .. } = self;
        match self.part {
            Part::Leaves if link.has_left() && tender.rests() => {
                if !link.is_known() || link.mirror.is_none() {
                    return self.stay();
                }
                context.replicas.lead(context.steady_ms());
                self.led = context.replicas.place().0;
                tender.record(true, context);
                self.part = Part::Records;
            }
            Part::Records if tender.rests() => {
                context.met(Rare::Promoted);
                context.upstream = None;
                context.set_primary(&[]);
                let rng = context.rng.fork();
                let given = self.reader.last_number() + (FIRST_LINK >> 2);
                self.author = Some(Author::new(given, rng));
                self.part = Part::Primary;
            }
            _ => {}
        }
    }

    /// It is not to lead: it has nothing whole.
    fn stay(&mut self) {
        self.part = Part::Replica;
        self.link.follow(&self.context);
    }

    /// Whether it is a primary, or is to be one.
    pub fn is_chosen(&self) -> bool {
        self.part != Part::Replica
    }

    /// Whether it has a journal, or is to have one.
    pub fn has_journal(&self) -> bool {
        self.saver.wants_journal()
    }

    /// Whether its stream is its own.
    pub fn leads(&self) -> bool {
        matches!(self.part, Part::Records | Part::Primary)
    }

    /// Whether clients write to it.
    pub fn is_primary(&self) -> bool {
        self.part == Part::Primary
    }

    /// Whether it is a primary to which no client will write any more.
    pub fn is_written(&self) -> bool {
        self.is_primary() && self.author.as_ref().is_some_and(Author::is_over)
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
            (Address::Writer, mail) => self.writer.receive(mail, &mut self.context),
            (to, mail) => self.context.fail(format!("{to:?} has no use for {mail:?}")),
        }
    }

    /// Its link is cut.
    pub fn cut(&mut self, mut server: Server<'_>) {
        self.link.cut(&mut server, &mut self.context);
    }

    /// Its process is killed, or its machine loses power, and it starts again. Without a journal it
    /// knows nothing. With one it has what its primary had at some moment.
    pub fn restart(&mut self, mut server: Server<'_>, is_power: bool) {
        let Follower { context, link, .. } = self;
        context.note(format_args!("crash, power {is_power}"));
        context.met(Rare::ReplicaKilled);
        context.crashes += 1;
        link.die(&mut server, context);
        self.reader.disconnected();
        self.sockets.clear();
        context.post.clear();
        context.under_way.clear();
        self.threads.clear();
        context.replicas = context.replicas.restarted(&context.settings);
        context.replicas.follow();
        context.upstream = Some(Upstream::default());
        let map = Arc::new(Map::new(context.plan.shards));
        self.tender = Tender::default();
        self.writer.die();
        if self.saver.wants_journal() {
            self.read_journal(&map, is_power);
        } else {
            self.threads = threads(&map, context);
            self.writer = Writer::without_journal(self.disk.clone(), context);
        }
        self.router = Router::new(map);
        let has_journal = self.saver.wants_journal();
        self.saver = Saver::new(self.disk.clone(), has_journal, &mut self.context);
        // What was dropped with the process told nobody.
        drop(self.context.lost.take());
        self.context.dropped.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.context.batches = 0;
        if self.part == Part::Leaves {
            self.stay();
        }
    }

    /// What it finds in its journal has to be what its primary had.
    fn read_journal(&mut self, map: &Arc<Map>, is_power: bool) {
        let Follower { context, link, disk, .. } = self;
        let cut = leave(disk, is_power, context);
        let started = start_again(disk, cut, is_power, map, context).and_then(|started| {
            let mirror = link.journaled.check(&started.found, started.place.as_ref(), context)?;
            Ok((started, mirror))
        });
        match started {
            Ok((Started { threads, writer, found, place, .. }, mirror)) => {
                if !found.entries.is_empty() {
                    context.met(Rare::ReplicaReadBack);
                }
                if let Some((StreamPlace { id, offset, db }, mirror)) = place.zip(mirror) {
                    context.met(Rare::ReplicaKnewItsPlace);
                    context.replicas.follow_from(id, offset);
                    context.upstream.iter_mut().for_each(|upstream| upstream.db = db);
                    link.go_on_from(mirror);
                }
                (self.threads, self.writer) = (threads, writer);
            }
            Err(broken) => context.fail(broken),
        }
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

    /// Whether it has all of the stream, and holds what the node does whose stream that is.
    ///
    /// # Errors
    /// It has not come so far, or holds something else.
    pub fn check(&mut self, place: &(String, u64), there: &Model) -> Result<(), Broken> {
        if !self.writer.is_at_rest() || self.saver.has_journal() != self.saver.wants_journal() {
            return Err("the journal of a replica is not at rest".to_owned());
        }
        if self.link.mirror.is_none() {
            return Err("a replica never had a snapshot".to_owned());
        }
        let Follower { link, threads, router, context, .. } = self;
        check(link, threads, router, context, (place, there))
    }

    /// Where its stream is and what it holds, as a primary: its stream makes that of what it had
    /// got.
    ///
    /// # Errors
    /// It does not.
    pub fn check_as_primary(&mut self) -> Result<((String, u64), Model), Broken> {
        let Follower { link, threads, router, context, .. } = self;
        if !self.writer.is_at_rest() || threads.iter_mut().any(|thread| !thread.is_at_rest()) {
            return Err("a primary does not rest".to_owned());
        }
        let held = found(threads, router.map());
        // A stream that nobody wanted for a while has a gap, and another id behind that.
        if context.replicas.place().0 == self.led {
            same_as_stream(&held, link, context)?;
        }
        Ok((context.replicas.place(), held))
    }
}

/// Whether a node has all of a stream, and holds what the node does whose stream that is.
///
/// # Errors
/// It has not come so far, or holds something else.
pub fn check(
    link: &mut Link,
    threads: &mut [Thread],
    router: &Router,
    context: &Context,
    (place, there): (&(String, u64), &Model),
) -> Result<(), Broken> {
    let own = context.replicas.place();
    if !link.is_linked() || own != *place {
        let link = if link.is_linked() { "up" } else { "down" };
        return Err(format!("a replica is at {own:?} of {place:?}, its link is {link}"));
    }
    if threads.iter_mut().any(|thread| !thread.is_at_rest()) {
        return Err("a replica does not rest".to_owned());
    }
    let held = found(threads, router.map());
    same(&held, there, "the primary")?;
    same_as_stream(&held, link, context)
}

/// Whether a node holds what its stream makes of the snapshot that it had, if it had one.
fn same_as_stream(held: &Model, link: &mut Link, context: &Context) -> Result<(), Broken> {
    let Some(mirror) = &mut link.mirror else { return Ok(()) };
    let streams = context.replicas.streams().borrow();
    mirror.carry_out(streams.from(&context.replicas.place().0, mirror.offset))?;
    same(held, &mirror.entries(), "its stream")
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
