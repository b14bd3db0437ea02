//! The writer of the journal: the core's decisions, and a thread that blocks in its disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use troupe::aof::directory::Directory;
use troupe::aof::increment::Increment;
use troupe::aof::journal::{Journal, News, Sizes};
use troupe::aof::load::Reader;
use troupe::aof::storage::{Fault as DiskFault, Storage as _, Work};
use troupe::route::ShardId;
use troupe::shard::letter::Letter;
use troupe::shard::replay::Records;
use troupe::shard::turn::Held;
use troupe::stream::{Append, Policy};

use crate::context::Context;
use crate::disk::{Disk, Plan as DiskPlan};
use crate::plan::{Fault, Stream};
use crate::post::{Address, Mail};
use crate::rare::Rare;

/// The writer.
pub struct Writer {
    journal: Journal<Held>,
    directory: Directory,
    increment: Increment,
    disk: Disk,
    rng: Rng,
    /// What the disk does, and until when, in microseconds.
    busy: Option<(Work, u64)>,
    taken: u64,
    rebuilds: Vec<(ShardId, u64)>,
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
        Writer {
            journal: Journal::new(context.plan.policy, sizes),
            directory,
            increment,
            disk,
            rng: context.plan.rng(Stream::Disk),
            busy: None,
            taken: 0,
            rebuilds: Vec::new(),
            gives_up: false,
        }
    }

    /// While its disk works it takes no mail.
    pub fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Whether a sync has failed, so that only a restart heals it.
    pub fn is_lost(&self) -> bool {
        self.journal.is_lost()
    }

    /// True when everything that was appended is as durable as it is to be.
    pub fn is_at_rest(&self, policy: Policy) -> bool {
        let is_done = match policy {
            Policy::Never => self.journal.written_length().is_some(),
            Policy::Always | Policy::EverySecond => self.journal.is_durable(),
        };
        self.busy.is_none() && (is_done || self.journal.is_lost())
    }

    /// What waits for a sync.
    pub fn waiting(&self) -> u64 {
        self.journal.figures().waiting
    }

    /// When it has something to do, in microseconds.
    pub fn due_us(&self) -> Option<u64> {
        match &self.busy {
            Some((_, until)) => Some(*until),
            None => self.journal.due_ms().map(|ms| ms * 1_000),
        }
    }

    /// Mail has come.
    pub fn receive(&mut self, mail: Mail, context: &mut Context) {
        match mail {
            Mail::Append(append) => self.take_in(append, context),
            Mail::Rebuild(shard, load) => self.rebuilds.push((shard, load)),
            other => context.fail(format!("the writer has no use for {other:?}")),
        }
        self.work(context);
    }

    fn take_in(&mut self, mut append: Append<Held>, context: &mut Context) {
        if !append.bytes.is_empty() {
            self.taken += 1;
            context.history.borrow_mut().durability.taken(append.shard);
        }
        if self.journal.is_lost() {
            let has_effects = !append.bytes.is_empty();
            let reads = append.finished.extract_if(.., |held| !held.shows_writes(has_effects));
            send_home(reads.collect(), context);
        }
        let now_ms = context.steady_ms();
        let finished = append.feed(&mut [&mut self.journal], now_ms);
        self.journal.hold(finished);
    }

    /// Ends what the disk does, if it is done with it, and begins what comes next.
    pub fn work(&mut self, context: &mut Context) {
        if let Some((work, _)) = self.busy.take_if(|(_, until)| *until <= context.now_us) {
            let result = work.perform(&mut self.increment);
            self.disk.set(DiskPlan::Work);
            if let Err(fault) = &result {
                context.note(format_args!("the disk: {fault}"));
            }
            self.journal.done(result, context.steady_ms());
        }
        self.tell(context);
        if self.busy.is_none()
            && let Some(work) = self.journal.next(context.steady_ms())
        {
            let takes_us = self.begin(&work, context);
            self.busy = Some((work, context.now_us + takes_us));
        }
        self.start_rebuilds(context);
    }

    /// Decides how a piece of work goes, and how long it takes.
    fn begin(&mut self, work: &Work, context: &mut Context) -> u64 {
        let is_sync = matches!(work, Work::Sync);
        if is_sync && context.plan.has(Fault::SyncErrors) && self.rng.u32(..400) == 0 {
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

    fn tell(&mut self, context: &mut Context) {
        let is_lost = self.journal.is_lost();
        for news in self.journal.take_news() {
            match news {
                News::Release(held) => send_home(held, context),
                News::Abandon(held) => {
                    send_home(held.into_iter().filter_map(Held::abandon).collect(), context);
                }
                News::Progress(progress) => {
                    let to = Address::Thread(progress.shard);
                    context.send(Address::Writer, to, Mail::Progress(progress));
                }
                News::Refuse(fault) => tell_all(Some(&fault), context),
                News::Resume => tell_all(None, context),
            }
        }
        if is_lost && !context.history.borrow().is_journal_lost {
            context.met(Rare::JournalLost);
            context.history.borrow_mut().is_journal_lost = true;
        }
        if self.journal.is_durable() {
            context.mark.made_durable(self.taken);
        }
    }

    fn start_rebuilds(&mut self, context: &mut Context) {
        if self.journal.is_lost() {
            self.gives_up |= !self.rebuilds.is_empty();
            return;
        }
        let Some(up_to) = self.journal.written_length() else { return };
        for (shard, load) in std::mem::take(&mut self.rebuilds) {
            self.rebuild(shard, load, up_to, context);
        }
    }

    fn rebuild(&self, shard: ShardId, load: u64, up_to: u64, context: &mut Context) {
        context.note(format_args!("shard {shard} is rebuilt up to {up_to}"));
        let files = self.directory.files().expect("the files that are written are there");
        let mut reader = Reader::new(Box::new(self.disk.clone()), files, Some(up_to));
        loop {
            match reader.next_block() {
                Ok(Some(read)) => {
                    let ends = read.block.ends().collect();
                    let records = Records { bytes: read.block.bytes, spans: read.block.spans, ends };
                    let mail = Mail::Replay(load, records);
                    context.send(Address::Loader, Address::Thread(shard), mail);
                }
                Ok(None) => break,
                Err(error) => return context.fail(format!("a rebuild cannot read: {error}")),
            }
        }
        context.send(Address::Loader, Address::Thread(shard), Mail::Loaded(load));
    }

    /// It panicked, and was started anew.
    pub fn panic(&mut self, context: &mut Context) {
        context.met(Rare::WriterPanic);
        self.journal.distrust(DiskFault {
            operation: "panic",
            path: self.increment.path().display().to_string(),
            reason: "the AOF writer was started anew and does not trust its file".to_owned(),
        });
        self.work(context);
    }

    /// The process dies: of a write that is under way, any part is in the file.
    pub fn die(&mut self) {
        self.disk.set(DiskPlan::Work);
        if let Some((Work::Write(bytes), _)) = &self.busy {
            let part = self.rng.usize(..=bytes.len());
            self.increment.append(&bytes[..part]).expect("the disk works");
        }
    }
}

fn send_home(held: Vec<Held>, context: &mut Context) {
    let mut homes: BTreeMap<ShardId, Vec<Letter>> = BTreeMap::new();
    for held in held {
        let (thread, letter) = held.into_letter();
        homes.entry(thread).or_default().push(letter);
    }
    for (thread, letters) in homes {
        context.send(Address::Writer, Address::Thread(thread), Mail::Letters(letters));
    }
}

fn tell_all(fault: Option<&DiskFault>, context: &mut Context) {
    let reason: Option<Arc<str>> = fault.map(|fault| fault.reason.as_str().into());
    context.note(format_args!("writes are refused: {reason:?}"));
    for shard in 0..context.plan.shards {
        let letter = Letter::Journal(reason.as_deref().map(str::to_owned));
        context.send(Address::Writer, Address::Thread(shard), Mail::Letters(vec![letter]));
    }
}
