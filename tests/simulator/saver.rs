//! Who has the journal rewritten, begun and ended, and writes the base: the core's decisions, on
//! the same disk. Who has snapshots made for replicas is the same.
//!
//! A rewrite begins by chance, and where the journal needs a base to take writes again. A journal
//! ends and begins where a replica takes another data set. Each goes step by step, as the server's
//! does; its calls of the disk take no time.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use troupe::aof::change::{Change, Event, Step};
use troupe::aof::directory::Location;
use troupe::filesystem::{FileSystem as _, OpenFile, Place};
use troupe::keyspace::effect::Purpose;
use troupe::keyspace::saving::{Form, Moment};
use troupe::place::StreamPlace;
use troupe::rdb::Dialect;
use troupe::replication::{FullSync, Pushed};
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
use crate::upstream::Upstream;

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

/// Bytes of a snapshot that goes to replicas as it is made, until they are pushed.
type Outlet = Arc<Mutex<Vec<u8>>>;

/// Where such a snapshot is written.
#[derive(Debug)]
struct ToReplicas(Outlet);

impl OpenFile for ToReplicas {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn length(&self) -> io::Result<u64> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// What becomes of the journal.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Rewrites,
    Begins,
    Ends,
}

/// Who saves.
pub struct Saver {
    disk: Disk,
    /// The number of the last snapshot.
    number: u32,
    snapshot: Option<Snapshot>,
    change: Option<Change>,
    /// What the change is.
    kind: Kind,
    /// Threads that have taken its step up, and whether all of them serve.
    heard: (u16, bool),
    /// A shard that has panicked while its base was written.
    panicked: Option<ShardId>,
    /// There is to be a journal, and there is one.
    wants_journal: bool,
    has_journal: bool,
    /// The snapshot is for replicas.
    sync: Option<FullSync>,
    outlet: Outlet,
    /// The stream of the primary is held until the moment of the snapshot.
    holds_stream: bool,
    /// The data set is that of a stream of another node, at the place where that is.
    knows_stream: bool,
    /// A snapshot for replicas is to be made and has not begun.
    is_prepared: bool,
    next_us: u64,
    /// No write is taken without the rewrite that is under way, or was last.
    needs_base: bool,
    gone: Gone,
}

impl Saver {
    /// Nothing is saved yet, but a journal is on, or is not to be.
    pub fn new(disk: Disk, has_journal: bool, context: &mut Context) -> Saver {
        let next_us = context.now_us + context.rng.u64(..EVERY_US);
        Saver {
            disk,
            number: 0,
            snapshot: None,
            change: None,
            kind: Kind::Rewrites,
            heard: (0, true),
            panicked: None,
            wants_journal: has_journal,
            has_journal,
            sync: None,
            outlet: Outlet::default(),
            holds_stream: false,
            knows_stream: false,
            is_prepared: false,
            next_us,
            needs_base: false,
            gone: Gone::default(),
        }
    }

    /// When it has something to do, in microseconds.
    pub fn wake_us(&self, needs_base: bool, has_rewrites: bool) -> Option<u64> {
        let begins = self.is_free() && self.has_journal && (needs_base || has_rewrites);
        begins.then_some(self.next_us)
    }

    /// The data set is that of a stream of another node, at the place where that is, or not.
    pub fn know_stream(&mut self, knows: bool) {
        self.knows_stream = knows;
    }

    /// Whether no snapshot is made, for whatever.
    pub fn is_free(&self) -> bool {
        self.change.is_none() && self.sync.is_none()
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
        self.needs_base = needs_base;
        self.change(Kind::Rewrites, Change::rewrite(), context);
    }

    /// Whether there is to be a journal.
    pub fn wants_journal(&self) -> bool {
        self.wants_journal
    }

    /// Whether there is one.
    pub fn has_journal(&self) -> bool {
        self.has_journal
    }

    /// The journal ends.
    pub fn end_journal(&mut self, context: &mut Context) {
        self.change(Kind::Ends, Change::end(), context);
    }

    /// Whether it is about to end.
    pub fn ends_journal(&self) -> bool {
        self.change.is_some() && matches!(self.kind, Kind::Ends)
    }

    /// A journal begins.
    pub fn begin_journal(&mut self, context: &mut Context) {
        self.change(Kind::Begins, Change::begin(context.plan.policy), context);
    }

    fn change(&mut self, kind: Kind, change: Change, context: &mut Context) {
        (self.kind, self.change) = (kind, Some(change));
        self.go_on(context);
    }

    /// Mail has come.
    pub fn receive(&mut self, mail: Mail, context: &mut Context) {
        match mail {
            Mail::News(shard, news) => self.hear_news(shard, news, context),
            Mail::BatchGone(number) => {
                let current = self.snapshot.as_mut().filter(|snapshot| snapshot.number() == number);
                current.into_iter().for_each(Snapshot::batch_gone);
                self.release(context);
            }
            Mail::Answered(step, result) => {
                let success = match step {
                    Step::Start => Event::Started,
                    Step::Forget => Event::Forgotten,
                    Step::Sync => Event::Synced,
                    Step::Close => Event::Closed,
                    _ => Event::Listed,
                };
                self.hear(result.map_or_else(Event::Failed, |()| success), context);
            }
            Mail::Heard(step, serves) => {
                let (count, all) = self.heard;
                self.heard = (count + 1, all && serves);
                if self.heard.0 == context.plan.shards {
                    let serving = Event::Serving(self.heard.1);
                    let event = if step == Step::AskPhases { serving } else { Event::Heard(step) };
                    self.hear(event, context);
                }
            }
            // It is heard when the snapshot has ended.
            Mail::Panicked(shard) => match self.snapshot {
                Some(_) => self.panicked = Some(shard),
                None => self.hear(Event::Panicked(shard), context),
            },
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
        if matches!(news, News::Begun(..) | News::NotBegun(_)) {
            self.release(context);
        }
        let Some(snapshot) = &mut self.snapshot else { return };
        let number = snapshot.number();
        if let Some(bytes) = snapshot.hear(shard, news) {
            let letter = Letter::SnapshotWritten { number, bytes };
            context.send(Address::Saver, Address::Thread(shard), Mail::Letter(letter));
        }
        self.push_to_replicas(context);
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
        if let Some(sync) = self.sync.take() {
            return self.end_sync(sync, outcome, context);
        }
        if let Some(shard) = self.panicked.take() {
            self.hear(Event::Panicked(shard), context);
        }
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
            Some(step @ (Step::Start | Step::Sync | Step::Close)) => {
                self.ask(Mail::Step(step), context);
            }
            Some(step) => self.tell_threads(step, context),
            None => {}
        }
        let Some(outcome) = self.change.as_ref().and_then(|change| change.outcome().cloned())
        else {
            return;
        };
        context.note(format_args!("{:?} is over: {outcome:?}", self.kind));
        self.change = None;
        match self.kind {
            Kind::Rewrites => {
                context.met(if outcome.is_ok() { Rare::Rewritten } else { Rare::RewriteFailed });
            }
            Kind::Begins => self.has_journal = outcome.is_ok(),
            Kind::Ends => self.has_journal &= outcome.is_err(),
        }
        let pause_us = if self.needs_base { HEAL_US } else { EVERY_US };
        self.next_us = context.now_us + context.rng.u64(..pause_us);
    }

    fn tell_threads(&mut self, step: Step, context: &mut Context) {
        self.heard = (0, true);
        if matches!(step, Step::Take(_)) {
            self.ask(Mail::Step(step), context);
        }
        for shard in 0..context.plan.shards {
            context.send(Address::Saver, Address::Thread(shard), Mail::Step(step));
        }
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
        let upstream =
            context.upstream.as_mut().filter(|it| self.knows_stream && it.stands_still());
        let replication = upstream.map(|upstream| {
            // Until the moment has come.
            upstream.hold();
            self.holds_stream = true;
            let (id, offset) = context.replicas.place();
            StreamPlace { id, offset, db: upstream.db }
        });
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
            replication,
        };
        let file = SnapshotFile::new(Box::new(self.disk.clone()), location().new_base(), about);
        self.begin_snapshot(moment, file, context);
    }

    fn begin_snapshot(&mut self, moment: Moment, file: SnapshotFile, context: &mut Context) {
        let number = moment.number;
        self.snapshot = Some(Snapshot::new(number, context.plan.shards, file));
        let mut batch = snapshot::moment(moment, context.now());
        batch.companion = Some(Box::new(Witness(self.gone.clone(), number)));
        let to = Address::Thread(context.rng.u16(..context.plan.shards));
        context.send(Address::Saver, to, Mail::Letter(Letter::Visit(batch)));
    }
}

/// Snapshots for replicas.
impl Saver {
    /// One is to be made for those that wait for one. The stream of another node has no place for
    /// its moment: it stands still until that has come.
    pub fn prepare_sync(&mut self, context: &mut Context) {
        self.number += 1;
        let settings = context.settings.clone();
        let Some(sync) = context.replicas.begin_sync(self.number, &settings) else { return };
        context.note(format_args!("a full sync begins: {sync:?}"));
        (self.sync, self.is_prepared) = (Some(sync), true);
        if let Some(upstream) = context.upstream.as_mut().filter(|_| context.replicas.follows()) {
            upstream.hold();
            self.holds_stream = true;
        }
    }

    /// Whether one is to be made that has not begun.
    pub fn is_prepared(&self) -> bool {
        self.is_prepared
    }

    /// Begins it, unless the stream does not stand still yet.
    pub fn begin_sync(&mut self, context: &mut Context) {
        let Some(sync) = self.sync else { return };
        let stands_still = context.upstream.as_ref().is_none_or(Upstream::stands_still);
        if self.holds_stream && !stands_still {
            return;
        }
        self.is_prepared = false;
        let (number, settings) = (sync.number, context.settings.clone());
        let mut about = About { timed: sync.timed, ..About::snapshot(&settings, context.now()) };
        let upstream = context.upstream.as_ref().filter(|_| self.holds_stream);
        about.replication = upstream.map(|upstream| {
            let (id, offset) = context.replicas.place();
            StreamPlace { id, offset, db: upstream.db }
        });
        let (disk, place) = (Box::new(self.disk.clone()), place_of(number));
        let file = match sync.is_streamed {
            false => SnapshotFile::new(disk, place, about),
            true => {
                let stream = Box::new(ToReplicas(self.outlet.clone()));
                SnapshotFile::to_stream(stream, disk, place, about)
            }
        };
        let form = Form::Rdb { compresses: settings.rdbcompression, version: sync.timed.version };
        let usual = snapshot::moment_of(number, &settings, 0, context.plan.shards);
        let purpose = if self.holds_stream { usual.purpose } else { Purpose::FullSync };
        if self.holds_stream {
            context.replicas.take_moment(number);
        }
        self.begin_snapshot(Moment { form, purpose, ..usual }, file, context);
    }

    /// The stream of the primary goes on: the moment has come, or never will.
    fn release(&mut self, context: &mut Context) {
        if std::mem::take(&mut self.holds_stream) {
            context.upstream.iter_mut().for_each(Upstream::release);
        }
    }

    /// Sends what was made of a snapshot.
    fn push_to_replicas(&mut self, context: &mut Context) {
        let bytes =
            std::mem::take(&mut *self.outlet.lock().unwrap_or_else(PoisonError::into_inner));
        if bytes.is_empty() {
            return;
        }
        match context.replicas.push(self.number, bytes) {
            Pushed::Taken => {}
            Pushed::Unwanted => {
                self.snapshot.iter_mut().for_each(|it| it.give_up("no replica waits for it"));
            }
            Pushed::Full => context.fail("a snapshot is larger than what may wait".to_owned()),
        }
    }

    fn end_sync(&mut self, sync: FullSync, outcome: Result<u64, String>, context: &mut Context) {
        let number = sync.number;
        match outcome {
            Ok(_) if sync.is_streamed => context.replicas.sync_is_whole(number),
            Ok(length) => {
                context.replicas.file_is_there(number, length);
                let place = place_of(number);
                let path = place.directory.join(&place.name);
                let bytes = self.disk.bytes(&path).unwrap_or_default();
                self.disk.remove(&path).into_iter().for_each(drop);
                context.replicas.push(number, bytes);
                context.replicas.sync_is_whole(number);
            }
            Err(_) => {
                context.met(Rare::SyncFailed);
                context.replicas.sync_failed(number);
            }
        }
    }
}

/// Where the file of a full sync stands while it is sent.
fn place_of(number: u32) -> Place {
    let temporary = format!("temp-sync-{number}");
    Place { directory: Path::new(DIR).to_owned(), name: format!("{temporary}.rdb"), temporary }
}
