//! Who has the journal rewritten, and writes the base: the core's decisions, on the same disk.
//!
//! A rewrite begins by chance, and where the journal needs a base to take writes again. It goes
//! step by step, as the server's does; its calls of the disk take no time.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use troupe::aof::change::{Change, Event, Step};
use troupe::aof::directory::Location;
use troupe::keyspace::effect::Purpose;
use troupe::keyspace::saving::{Form, Moment};
use troupe::rdb::Dialect;
use troupe::route::ShardId;
use troupe::shard::letter::Letter;
use troupe::shard::snapshot::{self, News};
use troupe::snapshot::Snapshot;
use troupe::snapshot::file::{About, SnapshotFile};

use crate::context::Context;
use crate::disk::Disk;
use crate::post::{Address, Mail};
use crate::rare::Rare;
use crate::start::DIR;

/// Time between two rewrites that come by chance, in microseconds, about.
const EVERY_US: u64 = 400_000;

/// Time after which one is tried again without which no write is taken, in microseconds.
const HEAL_US: u64 = 20_000;

/// Where the journal is.
pub fn location() -> Location {
    Location {
        dir: Path::new(DIR).to_owned(),
        appenddirname: "appendonlydir".to_owned(),
        appendfilename: "appendonly.aof".to_owned(),
    }
}

/// Numbers of snapshots whose batches are gone.
type Gone = Arc<Mutex<Vec<u32>>>;

/// Goes with the batch that begins a snapshot.
struct Witness(Gone, u32);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.1);
    }
}

/// Who saves.
pub struct Saver {
    disk: Disk,
    /// The number of the last snapshot.
    number: u32,
    snapshot: Option<Snapshot>,
    change: Option<Change>,
    next_us: u64,
    /// No write is taken without the rewrite that is under way, or was last.
    needs_base: bool,
    gone: Gone,
}

impl Saver {
    /// Nothing is saved yet.
    pub fn new(disk: Disk, context: &mut Context) -> Saver {
        let next_us = context.now_us + context.rng.u64(..EVERY_US);
        let (snapshot, change, gone) = (None, None, Gone::default());
        Saver { disk, number: 0, snapshot, change, next_us, needs_base: false, gone }
    }

    /// When it has something to do, in microseconds.
    pub fn wake_us(&self, needs_base: bool, has_rewrites: bool) -> Option<u64> {
        let begins = self.change.is_none() && (needs_base || has_rewrites);
        begins.then_some(self.next_us)
    }

    /// Whether a rewrite is under way.
    pub fn is_saving(&self) -> bool {
        self.change.is_some()
    }

    /// Begins a rewrite.
    pub fn begin(&mut self, needs_base: bool, context: &mut Context) {
        if needs_base {
            context.met(Rare::Healing);
        }
        context.note(format_args!("a rewrite begins, needed {needs_base}"));
        (self.change, self.needs_base) = (Some(Change::rewrite()), needs_base);
        self.go_on(context);
    }

    /// Mail has come.
    pub fn receive(&mut self, mail: Mail, context: &mut Context) {
        match mail {
            Mail::News(shard, news) => self.hear_news(shard, news, context),
            Mail::BatchGone(number) => {
                let current = self.snapshot.as_mut().filter(|snapshot| snapshot.number() == number);
                current.into_iter().for_each(Snapshot::batch_gone);
            }
            Mail::Answered(result) => {
                let step = self.change.as_ref().and_then(Change::under_way);
                let success = match step {
                    Some(Step::Forget) => Event::Forgotten,
                    _ => Event::Listed,
                };
                self.hear(result.map_or_else(Event::Failed, |()| success), context);
            }
            other => context.fail(format!("who saves has no use for {other:?}")),
        }
        self.end_what_is_over(context);
    }

    /// Tells of the batches that are gone.
    pub fn tell_gone(&mut self, context: &mut Context) {
        let gone = std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner));
        for number in gone {
            context.send(Address::Loans, Address::Saver, Mail::BatchGone(number));
        }
    }

    fn hear_news(&mut self, shard: ShardId, news: News, context: &mut Context) {
        let Some(snapshot) = &mut self.snapshot else { return };
        let number = snapshot.number();
        if let Some(bytes) = snapshot.hear(shard, news) {
            let letter = Letter::SnapshotWritten { number, bytes };
            context.send(Address::Saver, Address::Thread(shard), Mail::Letter(letter));
        }
    }

    fn end_what_is_over(&mut self, context: &mut Context) {
        let over = self.snapshot.take_if(|snapshot| snapshot.outcome().is_some());
        let Some(over) = over else { return };
        for shard in 0..context.plan.shards {
            let letter = Letter::SnapshotOver(over.number());
            context.send(Address::Saver, Address::Thread(shard), Mail::Letter(letter));
        }
        let outcome = over.outcome().cloned().unwrap_or_else(|| Err(String::new()));
        context.note(format_args!("snapshot {} ends: {outcome:?}", over.number()));
        self.hear(outcome.map_or_else(Event::Failed, |_| Event::Saved), context);
    }

    fn hear(&mut self, event: Event, context: &mut Context) {
        self.change.iter_mut().for_each(|change| change.hear(event.clone()));
        self.go_on(context);
    }

    fn go_on(&mut self, context: &mut Context) {
        let Some(change) = &mut self.change else { return };
        match change.next_step() {
            Some(Step::Save) => self.save(context),
            Some(Step::List) => self.ask(Mail::ListBase(self.number), context),
            Some(Step::Forget) => self.ask(Mail::ForgetBase, context),
            Some(other) => context.fail(format!("a rewrite has no step {other:?}")),
            None => {}
        }
        let Some(outcome) = self.change.as_ref().and_then(|change| change.outcome().cloned())
        else {
            return;
        };
        context.note(format_args!("the rewrite ends: {outcome:?}"));
        context.met(if outcome.is_ok() { Rare::Rewritten } else { Rare::RewriteFailed });
        self.change = None;
        let pause_us = if self.needs_base { HEAL_US } else { EVERY_US };
        self.next_us = context.now_us + context.rng.u64(..pause_us);
    }

    fn ask(&mut self, mail: Mail, context: &mut Context) {
        context.send(Address::Saver, Address::Writer, mail);
    }

    fn save(&mut self, context: &mut Context) {
        self.number += 1;
        let number = self.number;
        let usual = snapshot::moment_of(number, &context.settings, 0, context.plan.shards);
        let form = if number.is_multiple_of(2) { Form::Commands } else { usual.form };
        let moment = Moment { form, purpose: Purpose::Base, ..usual };
        let about = About {
            version: "7.0.15",
            seconds: 0,
            used_memory: 0,
            is_base: true,
            is_rdb: form != Form::Commands,
            notes_time: false,
            syncs_as_it_grows: true,
            has_checksum: true,
            timed: Dialect::TIMED,
            plain: Dialect::COMMON,
            replication: None,
        };
        let file = SnapshotFile::new(Box::new(self.disk.clone()), location().new_base(), about);
        self.snapshot = Some(Snapshot::new(number, context.plan.shards, file));
        let mut batch = snapshot::moment(moment, context.now());
        batch.companion = Some(Box::new(Witness(self.gone.clone(), number)));
        let to = Address::Thread(context.rng.u16(..context.plan.shards));
        context.send(Address::Saver, to, Mail::Letter(Letter::Visit(batch)));
    }
}
