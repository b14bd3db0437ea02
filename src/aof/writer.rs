//! What the AOF writer decides: mail in, tasks out.
//!
//! The shell hands its mail over, asks `next` for tasks until there is none, and carries each out
//! before it asks again. It feeds the stream to the journal's file and to whoever else reads it,
//! and knows who waits for what: `F` is what waits until records are durable, `A` is a way to
//! answer who asked, and `R` is a way to read the journal back to a shard; only the shell knows
//! what those are.
//!
//! Invariants:
//! - a shard is read back only what is written, and all that it sent before it asked;
//! - a base is listed only with an increment that begins at its moment;
//! - a writer that was started anew never trusts its file again;
//! - nothing comes after [`Task::GiveUp`], nor after [`Task::End`] until [`Writer::left`].
//!
//! Bounded: each shard has one rebuild under way, and there is one change of the journal at a time
//! (`change`), which asks one thing after the other.

use std::collections::VecDeque;

use super::directory::Increments;
use super::figures::JournalFigures;
use super::journal::{Journal, Listing, News, Sizes};
use super::storage::{Fault, Work};
use crate::stream::rounds::Rounds;
use crate::stream::{Append, Consumer, Finished, Policy};

/// What the shell has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Task<F, A, R> {
    /// Do this to the file that is written, and report it with [`Writer::done`].
    Disk(Work),
    /// Go on with an empty increment, which is listed now or with the base, and report it with
    /// [`Writer::begun`].
    BeginIncrement {
        /// Now.
        is_listed: bool,
    },
    /// List the base with the last increment, and report it with [`Writer::listed`].
    ListBase(Increments),
    /// Take away what there is of a base that is not listed, and of increments that were to be
    /// listed with it, and report it with [`Writer::undone`].
    UndoBase,
    /// Read the journal back to who asked, up to this length of the increment.
    Rebuild(R, u64),
    /// So many appends that count ([`Append::is_counted`]) are durable, from the first one on.
    MadeDurable(u64),
    /// Send this to whom it concerns.
    Tell(News<F>),
    /// These must never be answered: drop them, so that their connections close.
    Abandon(Vec<F>),
    /// Show these figures to who looks.
    Show(JournalFigures),
    /// Tell who asked how it went.
    Answer(A, Result<(), String>),
    /// End the process, for this reason.
    GiveUp(String),
    /// The journal has ended: close its files.
    End,
}

/// What has been given out and is not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    Disk,
    BeginIncrement,
    ListBase,
    UndoBase,
}

/// The AOF writer without its thread and directory.
#[derive(Debug)]
pub struct Writer<F, A, R> {
    journal: Journal<F>,
    rounds: Rounds,
    tasks: VecDeque<Task<F, A, R>>,
    doing: Doing,
    /// Something came in of which the tasks do not tell yet.
    is_changed: bool,
    /// Appends that count, so far.
    taken: u64,
    rebuilds: Vec<R>,
    /// Who wants a base to be listed: the snapshot that it is, or none where there is no journal.
    listing: Option<(Option<u32>, A)>,
    undoing: Option<A>,
    syncing: Option<A>,
    closing: Option<A>,
    is_over: bool,
}

impl<F: Finished, A, R> Writer<F, A, R> {
    /// A writer over a journal.
    pub fn new(journal: Journal<F>) -> Self {
        Self {
            journal,
            rounds: Rounds::default(),
            tasks: VecDeque::new(),
            doing: Doing::Nothing,
            is_changed: true,
            taken: 0,
            rebuilds: Vec::new(),
            listing: None,
            undoing: None,
            syncing: None,
            closing: None,
            is_over: false,
        }
    }

    /// Whether the shell takes in now what has been appended: asked when it is up, for whatever
    /// reason. It is hurried where the one who woke it said so, and where clients wait.
    pub fn takes_in(&mut self, is_hurried: bool, now_ms: u64) -> bool {
        let clients_wait = self.journal.policy() == Policy::Always || self.journal.is_closing();
        self.rounds.begins(is_hurried || clients_wait, now_ms)
    }

    /// The shell has taken in what had been appended, if anything had.
    pub fn took_in(&mut self, anything: bool, now_ms: u64) {
        let goes_on = anything && self.journal.policy() != Policy::Always;
        self.rounds.end(goes_on, now_ms);
    }

    /// Bytes of memory that what is not written takes.
    pub fn memory(&self) -> u64 {
        self.journal.memory()
    }

    /// When the shell takes in by itself what is appended next. None where it sleeps until then.
    pub fn next_round_ms(&self) -> Option<u64> {
        self.rounds.next_ms().filter(|_| !self.is_over)
    }

    /// What is appended from now on comes in at this unix time in seconds, where that is noted.
    pub fn tell_time(&mut self, time: Option<i64>) {
        self.journal.tell_time(time);
    }

    /// There was a journal, and its files are closed. What is appended goes to no file until
    /// another one begins.
    pub fn left(&mut self) {
        self.journal.leave();
        self.is_over = false;
    }

    /// Whether what was taken in may be shown to others than clients, who wait for it themselves:
    /// under `always` it may when it is durable.
    pub fn may_show(&self) -> bool {
        self.journal.policy() != Policy::Always || self.journal.is_durable()
    }

    /// Takes in what a shard did, which goes to another reader as well. While no file can be
    /// trusted, nobody is held back who only reads, unless he would overtake what waits.
    pub fn append(&mut self, append: Append<F>, other: Option<&mut dyn Consumer>, now_ms: u64) {
        self.is_changed = true;
        let has_records = !append.bytes.is_empty();
        self.taken += u64::from(append.is_counted());
        let mut finished = match other {
            None => append.feed(&mut [&mut self.journal], now_ms),
            Some(other) => append.feed(&mut [&mut self.journal, other], now_ms),
        };
        if !self.journal.is_listed() {
            let keeps_order = self.journal.holds_in_order()
                || finished.iter().any(|one| one.keeps_order() && one.shows_writes(has_records));
            let waits = |one: &F| one.shows_writes(has_records) || keeps_order && one.keeps_order();
            let reads = finished.extract_if(.., |one| !waits(one));
            self.journal.release(reads.collect());
        }
        self.journal.hold(finished);
    }

    /// Takes up a change of `appendfsync`.
    pub fn set_policy(&mut self, policy: Policy, now_ms: u64) {
        self.is_changed = true;
        self.journal.set_policy(policy, now_ms);
    }

    /// Reads the journal back to a shard once all that came before is written.
    pub fn rebuild(&mut self, shard: R) {
        self.rebuilds.push(shard);
    }

    /// The base is whole that is this snapshot; none where there is no journal. Lists it with the
    /// increment that begins at its moment.
    pub fn list_base(&mut self, snapshot: Option<u32>, asks: A) {
        self.listing = Some((snapshot, asks));
    }

    /// No base comes: what there is of it is taken away.
    pub fn forget_base(&mut self, asks: A) {
        self.is_changed = true;
        self.journal.forget_base();
        self.undoing = Some(asks);
    }

    /// Answers when all that came before is durable, which under `always` is soon.
    pub fn sync(&mut self, asks: A) {
        self.syncing = Some(asks);
    }

    /// Writes and syncs everything, answers, and ends.
    pub fn close(&mut self, asks: A) {
        self.journal.close();
        self.closing = Some(asks);
    }

    /// The writer was started anew, after a panic. Nobody can say what had reached the file at this
    /// path, so it counts as a failed sync.
    pub fn restarted(&mut self, path: String) {
        let reason = "the AOF writer was started anew and does not trust its file".to_owned();
        self.journal.distrust(Fault { operation: "panic", path, reason });
        self.doing = Doing::Nothing;
        self.is_changed = true;
    }

    /// The next task, if there is one now. News go before work, and work before what waits until
    /// there is none.
    pub fn next(&mut self, now_ms: u64) -> Option<Task<F, A, R>> {
        if std::mem::take(&mut self.is_changed) && !self.is_over {
            self.note_news();
        }
        let is_free = self.tasks.is_empty() && self.doing == Doing::Nothing && !self.is_over;
        if is_free && !self.lists_base() {
            match self.journal.next(now_ms) {
                Some(work) => self.give(Doing::Disk, Task::Disk(work)),
                None => {
                    self.tell_news();
                    self.decide();
                }
            }
        }
        self.tasks.pop_front()
    }

    /// When `next` may have a task though nothing new comes in.
    pub fn wake_ms(&self) -> Option<u64> {
        self.journal.wake_ms().filter(|_| !self.is_over)
    }

    fn give(&mut self, doing: Doing, task: Task<F, A, R>) {
        self.doing = doing;
        self.tasks.push_back(task);
    }

    fn note_news(&mut self) {
        self.tell_news();
        if self.journal.is_durable() {
            // Behind what is released: nothing that need not wait any more may overtake that.
            self.tasks.push_back(Task::MadeDurable(self.taken));
        }
        self.tasks.push_back(Task::Show(self.journal.figures()));
    }

    fn tell_news(&mut self) {
        let news = self.journal.take_news();
        self.tasks.extend(news.into_iter().map(Task::Tell));
    }

    /// Lists a base that waits for it, if it is time, whatever else there is to write. Returns true
    /// when it does.
    fn lists_base(&mut self) -> bool {
        let Some((snapshot, _)) = &self.listing else { return false };
        let listing = snapshot.map_or(Listing::Now, |snapshot| self.journal.listing(snapshot));
        match listing {
            Listing::Later => {}
            Listing::Now => {
                let increments = match (snapshot, self.journal.is_listed()) {
                    (None, _) => Increments::None,
                    (Some(_), false) => Increments::Unlisted,
                    (Some(_), true) => Increments::Last,
                };
                self.give(Doing::ListBase, Task::ListBase(increments));
            }
            Listing::Never(why) => self.answer_listing(Err(why)),
        }
        self.doing == Doing::ListBase
    }

    /// What follows when the disk has nothing to do.
    fn decide(&mut self) {
        let is_listed = self.journal.is_listed();
        let has_settled = self.journal.fault().is_some() || self.journal.is_durable();
        if has_settled {
            let result = self.fault();
            let asks = self.syncing.take();
            self.tasks.extend(asks.map(|asks| Task::Answer(asks, result)));
        }
        if self.journal.wants_increment() {
            return self.give(Doing::BeginIncrement, Task::BeginIncrement { is_listed });
        }
        if self.undoing.is_some() {
            return self.give(Doing::UndoBase, Task::UndoBase);
        }
        self.start_rebuilds();
        if self.closing.is_some() && (has_settled || !is_listed) {
            match is_listed {
                true => self.end(self.fault()),
                false => self.give(Doing::UndoBase, Task::UndoBase),
            }
        }
    }

    fn fault(&self) -> Result<(), String> {
        self.journal.fault().map_or(Ok(()), |fault| Err(fault.to_string()))
    }

    fn answer_listing(&mut self, result: Result<(), String>) {
        let asks = self.listing.take().map(|(_, asks)| asks);
        self.tasks.extend(asks.map(|asks| Task::Answer(asks, result)));
    }

    fn start_rebuilds(&mut self) {
        if !self.journal.is_listed() && !self.rebuilds.is_empty() {
            self.give_up("a shard has to be rebuilt while the journal cannot be trusted");
        } else if let Some(up_to) = self.journal.written_length() {
            let rebuilds = self.rebuilds.drain(..);
            self.tasks.extend(rebuilds.map(|shard| Task::Rebuild(shard, up_to)));
        }
    }

    fn give_up(&mut self, why: &str) {
        self.is_over = true;
        self.tasks.push_back(Task::GiveUp(why.to_owned()));
    }

    /// What waited until it is durable waits no longer. Where the journal ends well, nobody
    /// promises that any more, and the next one may begin before the thread of this one has ended;
    /// where it does not, clients must never see what waited.
    fn end(&mut self, result: Result<(), String>) {
        if !self.rebuilds.is_empty() {
            return self.give_up("a shard has to be rebuilt from a journal that cannot be written");
        }
        self.is_over = true;
        let waiting = self.journal.take_waiting();
        match result {
            Ok(()) => self.journal.release(waiting),
            Err(_) => self.tasks.push_back(Task::Abandon(waiting)),
        }
        self.tell_news();
        self.tasks.push_back(Task::Show(JournalFigures::default()));
        let asks = self.closing.take();
        self.tasks.extend(asks.map(|asks| Task::Answer(asks, result)));
        self.tasks.push_back(Task::End);
    }

    /// Takes the result of disk work.
    pub fn done(&mut self, result: Result<(), Fault>, now_ms: u64) {
        if self.ends(Doing::Disk) {
            self.journal.done(result, now_ms);
        }
    }

    /// Takes the result of [`Task::BeginIncrement`]: the fault, and whether the increment before is
    /// still the last one that is listed.
    pub fn begun(&mut self, result: Result<(), (Fault, bool)>) {
        if self.ends(Doing::BeginIncrement) {
            let is_last = matches!(result, Err((_, true)));
            self.journal.began(result.map_err(|(fault, _)| fault), is_last);
        }
    }

    /// Takes the result of [`Task::ListBase`]: what the files hold now.
    pub fn listed(&mut self, result: Result<Sizes, String>, now_ms: u64) {
        if !self.ends(Doing::ListBase) {
            return;
        }
        let has_journal = matches!(self.listing, Some((Some(_), _)));
        if let (Ok(sizes), true) = (&result, has_journal) {
            self.journal.listed(*sizes, now_ms);
        }
        self.answer_listing(result.map(|_| ()));
    }

    /// Takes the result of [`Task::UndoBase`]. Why the base is given up has been said.
    pub fn undone(&mut self, result: Result<(), String>) {
        if !self.ends(Doing::UndoBase) {
            return;
        }
        match self.undoing.take() {
            Some(asks) => self.tasks.push_back(Task::Answer(asks, result)),
            None => self.end(self.fault().and(result)),
        }
    }

    /// A shard cannot be read back to: without the shard the server is none.
    pub fn cannot_rebuild(&mut self, why: &str) {
        self.give_up(&format!("a shard cannot be rebuilt: {why}"));
    }

    /// False for the result of something that was given out before the writer was started anew.
    fn ends(&mut self, doing: Doing) -> bool {
        let is_awaited = self.doing == doing;
        if is_awaited {
            self.doing = Doing::Nothing;
            self.is_changed = true;
        }
        is_awaited
    }
}

#[cfg(test)]
mod tests;
