//! The writer of the journal: the core's decisions, and a thread that blocks in its disk.

use std::collections::VecDeque;

use fastrand::Rng;
use troupe::aof::change::Step;
use troupe::aof::directory::Directory;
use troupe::aof::figures::JournalFigures;
use troupe::aof::increment::Increment;
use troupe::aof::journal::{Journal, News, Sizes};
use troupe::aof::load::Reader;
use troupe::aof::loader::{self, Loader};
use troupe::aof::storage::{Storage as _, Work};
use troupe::aof::writer::{Task, Writer as Core};
use troupe::rdb::Rules;
use troupe::replication::Tap;
use troupe::route::ShardId;
use troupe::shard::letter::Letter;
use troupe::shard::load::{Applied, Parcel};
use troupe::shard::turn::Held;
use troupe::stream::{Append, Consumer, Policy};

use crate::context::Context;
use crate::disk::{Disk, Plan as DiskPlan};
use crate::plan::{Fault, Stream};
use crate::post::{Address, Mail};
use crate::rare::Rare;
use crate::saver::location;

/// A shard that is to be rebuilt, and the number of its load.
type Rebuild = (ShardId, u64);

/// What who saves has asked for.
type Asks = Step;

/// The writer.
pub struct Writer {
    /// Who saves asks it something, one thing at a time.
    core: Core<Held, Asks, Rebuild>,
    /// What has been appended and not been taken in.
    inbox: VecDeque<Append<Held>>,
    /// Something in it is urgent.
    is_hurried: bool,
    /// None while there is no journal.
    directory: Option<Directory>,
    /// None until the moment of the base with which the journal begins.
    increment: Option<Increment>,
    disk: Disk,
    rng: Rng,
    /// What the disk does, and until when, in microseconds.
    busy: Option<(Work, u64)>,
    figures: JournalFigures,
    /// What replicas get, while somebody wants it.
    tap: Option<Tap>,
    /// The process has to end.
    pub gives_up: bool,
}

impl Writer {
    /// A writer over an open increment.
    pub fn new(
        (directory, increment, sizes): (Directory, Increment, Sizes),
        disk: Disk,
        context: &Context,
    ) -> Writer {
        let core = Core::new(Journal::new(context.plan.policy, sizes));
        let (directory, increment) = (Some(directory), Some(increment));
        Writer { directory, increment, core, ..Writer::without_journal(disk, context) }
    }

    /// A writer without a journal: it is where the stream of effects has its order.
    pub fn without_journal(disk: Disk, context: &Context) -> Writer {
        Writer {
            core: Core::new(Journal::that_begins(Policy::Never)),
            inbox: VecDeque::new(),
            is_hurried: false,
            directory: None,
            increment: None,
            disk,
            rng: context.plan.rng(Stream::Disk(context.crashes)),
            busy: None,
            figures: JournalFigures::default(),
            tap: None,
            gives_up: false,
        }
    }

    /// While its disk works it takes no mail.
    pub fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Whether only a base heals it.
    pub fn needs_base(&self) -> bool {
        self.figures.needs_base
    }

    /// True when everything that was appended is written, and nothing waits.
    pub fn is_at_rest(&self) -> bool {
        let JournalFigures { buffer_length, waiting, needs_base, .. } = self.figures;
        let is_idle = self.busy.is_none() && self.inbox.is_empty() && !needs_base;
        is_idle && buffer_length == 0 && waiting == 0
    }

    /// Whether anything waits for the next round.
    pub fn has_waiting(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// What waits for a sync.
    pub fn waiting(&self) -> u64 {
        self.figures.waiting
    }

    /// When it has something to do, in microseconds.
    pub fn wake_us(&self) -> Option<u64> {
        match &self.busy {
            Some((_, until)) => Some(*until),
            None => {
                let wake_ms = self.core.wake_ms().into_iter().chain(self.core.next_round_ms());
                wake_ms.min().map(|ms| ms * 1_000)
            }
        }
    }

    /// Mail has come.
    pub fn receive(&mut self, mail: Mail, context: &mut Context) {
        match mail {
            Mail::Append(append) => {
                let sleeps = self.core.next_round_ms().is_none();
                self.is_hurried |= append.is_urgent;
                let is_signalled = sleeps || append.is_urgent;
                self.inbox.push_back(append);
                if !is_signalled {
                    return;
                }
            }
            Mail::Rebuild(shard, load) => {
                self.take_in(context);
                self.core.rebuild((shard, load));
            }
            Mail::ListBase(snapshot) => {
                self.take_in(context);
                self.core.list_base(Some(snapshot), Step::List);
            }
            Mail::ForgetBase => {
                self.take_in(context);
                self.core.forget_base(Step::Forget);
            }
            Mail::Step(step) => {
                self.take_in(context);
                match step {
                    Step::Start => self.open(context),
                    Step::Take(policy) => self.core.set_policy(policy, context.steady_ms()),
                    Step::Sync => self.core.sync(step),
                    Step::Close => self.core.close(step),
                    other => context.fail(format!("the writer has no step {other:?}")),
                }
            }
            Mail::Listen(on) => self.listen(on, context),
            Mail::Put(fed) => {
                self.take_in(context);
                self.tap.iter_mut().for_each(|tap| tap.put(fed.clone()));
                self.feed_replicas(context);
            }
            other => context.fail(format!("the writer has no use for {other:?}")),
        }
        self.work(context);
    }

    /// A journal begins.
    fn open(&mut self, context: &mut Context) {
        let opened = Directory::open_anew(Box::new(self.disk.clone()), &location());
        let opened = opened.map(|directory| self.directory = Some(directory));
        let answer = Mail::Answered(Step::Start, opened.map_err(|error| error.to_string()));
        context.send(Address::Writer, Address::Saver, answer);
    }

    /// Replicas want the stream from here on, or no more.
    fn listen(&mut self, on: bool, context: &mut Context) {
        self.take_in(context);
        let now_ms = context.steady_ms();
        if on && self.tap.is_none() {
            self.tap = Some(Tap::default());
            context.replicas.begin(now_ms);
        } else if !on {
            self.tap = None;
            context.replicas.end();
        }
        context.send(Address::Writer, Address::Saver, Mail::Listens(on));
    }

    /// Hands on what replicas may see.
    fn feed_replicas(&mut self, context: &mut Context) {
        if let Some(tap) = self.tap.as_mut().filter(|_| self.core.may_show()) {
            let fed = tap.take();
            context.replicas.feed(&fed, context.steady_ms());
            if !fed.is_empty() && context.plan.policy == Policy::Always {
                context.history.borrow_mut().durability.shown_to_replicas();
            }
        }
    }

    /// Ends what the disk does, if it is done with it, and carries out what comes next.
    pub fn work(&mut self, context: &mut Context) {
        if let Some((work, _)) = self.busy.take_if(|(_, until)| *until <= context.now_us) {
            let result = work.perform(self.increment.as_mut().expect("there is an increment"));
            self.disk.set(DiskPlan::Work);
            if let Err(fault) = &result {
                context.note(format_args!("the disk: {fault}"));
            }
            self.core.done(result, context.steady_ms());
        }
        let is_hurried = std::mem::take(&mut self.is_hurried);
        if self.core.takes_in(is_hurried, context.steady_ms()) {
            let found = self.take_in(context);
            self.core.took_in(found, context.steady_ms());
        }
        while self.busy.is_none()
            && let Some(task) = self.core.next(context.steady_ms())
        {
            self.carry_out(task, context);
        }
        let was_lost = context.history.borrow().is_journal_lost;
        if self.figures.needs_base && !was_lost {
            context.met(Rare::JournalLost);
        }
        context.history.borrow_mut().is_journal_lost = self.figures.needs_base;
    }

    /// Takes in what has been appended. Returns true when anything had.
    fn take_in(&mut self, context: &mut Context) -> bool {
        let found = !self.inbox.is_empty();
        for append in self.inbox.drain(..) {
            if !append.bytes.is_empty() {
                context.history.borrow_mut().durability.taken(append.shard);
            }
            let tap = self.tap.as_mut().map(|tap| tap as &mut dyn Consumer);
            self.core.append(append, tap, context.steady_ms());
        }
        self.feed_replicas(context);
        found
    }

    fn directory(&mut self) -> &mut Directory {
        self.directory.as_mut().expect("there is a journal")
    }

    fn carry_out(&mut self, task: Task<Held, Asks, Rebuild>, context: &mut Context) {
        match task {
            Task::Disk(work) => {
                let takes_us = self.begin(&work, context);
                let what = match &work {
                    Work::Write(bytes) => format!("write {}", bytes.len()),
                    other => format!("{other:?}"),
                };
                context.note(format_args!("the disk begins: {what}, {takes_us} us"));
                self.busy = Some((work, context.now_us + takes_us));
            }
            Task::Rebuild((shard, load), up_to) => self.rebuild(shard, load, up_to, context),
            Task::BeginIncrement { is_listed } => self.begin_increment(is_listed, context),
            Task::ListBase(increments) => {
                self.fail_some_call(context);
                let directory = self.directory.as_mut().expect("there is a journal");
                let listed = directory.list_base(increments, self.increment.as_mut());
                self.disk.set(DiskPlan::Work);
                context.note(format_args!("a base is listed: {listed:?}"));
                let listed = listed.map(|(sizes, _)| sizes).map_err(|error| error.to_string());
                self.core.listed(listed, context.steady_ms());
            }
            Task::UndoBase => {
                let undone = self.directory().undo_unfinished();
                self.core.undone(undone.map_err(|error| error.to_string()));
            }
            Task::Answer(step, result) => {
                context.send(Address::Writer, Address::Saver, Mail::Answered(step, result));
            }
            Task::MadeDurable(count) => {
                context.mark.made_durable(count);
                self.feed_replicas(context);
            }
            Task::Tell(news) => tell(news, context),
            Task::Show(figures) => self.figures = figures,
            Task::GiveUp(why) => {
                context.note(format_args!("the process ends: {why}"));
                self.gives_up = true;
            }
            Task::Abandon(waiting) => {
                send_home(waiting.into_iter().filter_map(Held::abandon).collect(), context);
            }
            Task::End => {
                (self.directory, self.increment) = (None, None);
                self.core.left();
                self.feed_replicas(context);
            }
        }
    }

    fn begin_increment(&mut self, is_listed: bool, context: &mut Context) {
        self.fail_some_call(context);
        let begun = match is_listed {
            true => self.directory().add_increment(),
            false => self.directory().create_unlisted(),
        };
        self.disk.set(DiskPlan::Work);
        context.note(format_args!("another increment, listed {is_listed}: {begun:?}"));
        let begun = begun.map(|increment| self.increment = Some(increment)).map_err(|fault| {
            let both = self.increment.as_ref().zip(self.directory.as_mut());
            let is_last = both.is_some_and(|(current, directory)| directory.ends_with(current));
            (fault.into_fault(), is_listed && is_last)
        });
        self.core.begun(begun);
    }

    /// Some call of what comes next may fail, done or not.
    fn fail_some_call(&mut self, context: &Context) {
        if context.plan.has(Fault::WriteErrors) && self.rng.u32(..8) == 0 {
            let call = self.rng.usize(1..20);
            let is_done = self.rng.bool();
            self.disk.set(if is_done { DiskPlan::FailDone(call) } else { DiskPlan::Fail(call) });
        }
    }

    /// Decides how a piece of work goes, and how long it takes.
    fn begin(&mut self, work: &Work, context: &Context) -> u64 {
        let is_sync = matches!(work, Work::Sync);
        if is_sync && context.plan.has(Fault::SyncErrors) && self.rng.u32(..1_000) == 0 {
            self.disk.set(DiskPlan::LoseSync);
        }
        if !is_sync && context.plan.has(Fault::WriteErrors) && self.rng.u32(..40) == 0 {
            self.disk.set(DiskPlan::Fail(self.rng.usize(1..=2)));
        }
        if context.plan.has(Fault::Hangs) && self.rng.u32(..60) == 0 {
            return self.rng.u64(..4_000_000);
        }
        if is_sync { self.rng.u64(50..4_000) } else { self.rng.u64(5..300) }
    }

    /// Reads the journal back to a shard, up to a place.
    fn rebuild(&mut self, shard: ShardId, load: u64, up_to: u64, context: &mut Context) {
        context.note(format_args!("shard {shard} is rebuilt up to {up_to}"));
        let files = match self.directory().files() {
            Ok(files) => files,
            Err(error) => return self.core.cannot_rebuild(&error.to_string()),
        };
        let rules = Rules::of(&context.settings, None);
        let mut reader = Reader::new(Box::new(self.disk.clone()), files, Some(up_to), rules);
        let mut loader = Loader::of_one(shard, false);
        let to = Address::Thread(shard);
        loop {
            match loader.next_step() {
                loader::Step::Read => match reader.next_for_shards() {
                    Ok(Some(block)) => loader.take(block),
                    Ok(None) => loader.end(),
                    Err(error) => return context.fail(format!("a rebuild cannot read: {error}")),
                },
                loader::Step::Apply { parcel, .. } => {
                    // The shard says itself what it refuses.
                    let applied = match &parcel {
                        Parcel::Keys(_) => Applied::Keys(Vec::new()),
                        Parcel::Records(_) => Applied::Records(Vec::new()),
                    };
                    context.send(Address::Loader, to, Mail::Replay(load, parcel));
                    let applied = loader.applied(shard, Some(applied));
                    applied.expect("nothing is refused");
                }
                loader::Step::Done => break,
                other => return context.fail(format!("a rebuild has no use for {other:?}")),
            }
        }
        context.send(Address::Loader, to, Mail::Loaded(load));
    }

    /// It panicked, and was started anew.
    pub fn panic(&mut self, context: &mut Context) {
        context.met(Rare::WriterPanic);
        // What it was at may be done, or not.
        if let Some((work, _)) = self.busy.take_if(|_| self.rng.bool()) {
            let _ = work.perform(self.increment.as_mut().expect("there is an increment"));
        }
        self.busy = None;
        self.disk.set(DiskPlan::Work);
        let path = self.increment.as_ref().map(|increment| increment.path().display().to_string());
        self.core.restarted(path.unwrap_or_default());
        if self.tap.is_some() {
            self.tap = Some(Tap::default());
            context.replicas.end();
            context.replicas.begin(context.steady_ms());
        }
        self.work(context);
    }

    /// The process dies: of a write that is under way, any part is in the file.
    pub fn die(&mut self) {
        self.disk.set(DiskPlan::Work);
        if let Some((Work::Write(bytes), _)) = &self.busy {
            let part = self.rng.usize(..=bytes.len());
            let increment = self.increment.as_mut().expect("there is an increment");
            increment.append(&bytes[..part]).expect("the disk works");
        }
    }
}

fn tell(news: News<Held>, context: &mut Context) {
    match news {
        News::Release(held) => send_home(held, context),
        News::Progress(progress) => {
            let to = Address::Thread(progress.shard);
            context.send(Address::Writer, to, Mail::Progress(progress));
        }
        News::Refuse(fault) => tell_all(Some(&fault.reason), context),
        News::Resume => tell_all(None, context),
    }
}

fn send_home(held: Vec<Held>, context: &mut Context) {
    context.send_letters(Address::Writer, held.into_iter().map(Held::into_letter));
}

fn tell_all(reason: Option<&String>, context: &mut Context) {
    context.note(format_args!("writes are refused: {reason:?}"));
    for shard in 0..context.plan.shards {
        let letter = Mail::Letter(Letter::Journal(reason.cloned()));
        context.send(Address::Writer, Address::Thread(shard), letter);
    }
}
