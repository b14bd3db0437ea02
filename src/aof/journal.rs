//! The journal's files as a consumer of the stream: records in, disk work and news out.
//!
//! The stream feeds it; what waits for the records is left with `hold`. Its owner (`writer`) asks
//! `next` for work until there is none, reports each piece with `done`, and passes on what
//! `take_news` holds. At most one piece of work is under way. Whatever queues up meanwhile goes
//! into the next write and the next sync together: that is the group commit.
//!
//! Invariants:
//! - a file is the records in the order of the stream, whole, each behind a SELECT where the
//!   database changes; the first write to a file selects anew;
//! - at the moment of a snapshot that is to be a base the journal goes on with another increment.
//!   The one before is written and synced to its end first, where it is listed;
//! - under `always` a finished batch is released only after a sync that began when everything
//!   appended before it, and with it, was written to files that are listed;
//! - after a failed write the file is cut at once to where it was before, the bytes are kept, and
//!   the write is tried again each `RETRY_MS`; writes are refused meanwhile and taken again after;
//! - after a failed sync the file is never written or synced again. Writes are refused, and what
//!   waits for the sync waits, until a base is listed that holds all of it.
//!
//! So there are three places for what is taken in. Where the last increment is listed, it goes
//! there. Where none can be trusted, or none is there yet, what comes ahead of the moment of a base
//! goes nowhere, since the base holds it; what comes behind it goes to an increment that is listed
//! with the base. Until then a fault of that increment costs the base, and nothing else.
//!
//! Bounded by the shards' credits (`credit`): the buffer holds what they may have unwritten.

mod account;
mod buffer;

use std::collections::VecDeque;

use self::account::{Account, Reported};
use self::buffer::Buffer;
use super::figures::JournalFigures;
use super::storage::{Fault, Work};
use crate::keyspace::effect::{Mark, Purpose};
use crate::stream::credit::REPORT_BYTES;
use crate::stream::{Consumer, Finished, Policy, Progress, Records, Selected};

/// Time between two tries of a write that failed.
pub const RETRY_MS: u64 = 1_000;
/// Under `everysec`, age of the oldest unsynced effect at which a sync starts.
pub const SYNC_EVERY_MS: u64 = 1_000;
/// A sync that took longer than this counts as one that delayed writes.
pub const SYNC_SLOW_MS: u64 = 2_000;

/// Under `always`, where credit hangs on no sync, time between two reports of syncs to a shard.
pub const REPORT_EVERY_MS: u64 = 500;

/// What the writer has to tell others.
#[derive(Debug, PartialEq, Eq)]
pub enum News<F> {
    /// These may leave.
    Release(Vec<F>),
    /// A shard's effects have come further.
    Progress(Progress),
    /// From now on writes are refused with `-MISCONF`; the log wants the fault.
    Refuse(Fault),
    /// Writes are taken again.
    Resume,
}

/// What the files hold when the journal takes over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The base and all increments.
    pub total: u64,
    /// The increment that is written to.
    pub increment: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    Writing,
    Cutting,
    /// Up to this position, since this time.
    Syncing {
        position: u64,
        since_ms: u64,
    },
}

#[derive(Debug)]
enum Health {
    Well,
    /// `cut_ms` is when to remove what the write left in the file; none when that is done.
    WriteFailed {
        fault: Fault,
        cut_ms: Option<u64>,
        retry_ms: u64,
    },
    /// What was taken in is in no file that can be trusted.
    Lost(Fault),
}

/// Where what is taken in goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    /// Nowhere: a base will hold it.
    None,
    /// To an increment that will be listed with a base.
    Unlisted,
    /// To the increment that is listed last.
    Listed,
}

/// Whether a base can be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// Now, with the last increment.
    Now,
    /// When there is an increment that begins at its moment.
    Later,
    /// Never: the journal has not gone on from its moment, for this reason.
    Never(String),
}

/// The journal without its file. `F` is what waits until records are durable.
#[derive(Debug)]
pub struct Journal<F> {
    policy: Policy,
    doing: Doing,
    health: Health,
    file: File,
    /// The snapshot at whose moment the last increment begins.
    moment: Option<u32>,
    /// Where that increment begins, in bytes since the start, while it is not there yet.
    boundary: Option<u64>,
    /// Why an increment that nothing lists was given up.
    given_up: Option<Fault>,
    is_closing: bool,
    selected: Selected,
    buffer: Buffer,
    sizes: Sizes,
    base_size: u64,
    /// Bytes since the start: taken in, in a file, durable. SELECTs count. Those that went nowhere
    /// do not.
    appended: u64,
    written: u64,
    synced: u64,
    /// Batches and the position that must be durable before they leave; ascending.
    waiting: VecDeque<(u64, Vec<F>)>,
    /// That of the last among them that nothing may overtake.
    in_order_until: Option<u64>,
    /// Unix time in seconds at which records come in, where that is noted.
    time: Option<i64>,
    /// The time that stands in the increment last.
    noted_time: Option<i64>,
    /// When the oldest effect in the buffer came in.
    buffered_since_ms: Option<u64>,
    /// When the oldest effect on its way to the file or in it came in that no sync covers, and that
    /// no running one will.
    unsynced_since_ms: Option<u64>,
    accounts: Vec<Account>,
    delayed_syncs: u64,
    syncs: u64,
    news: Vec<News<F>>,
}

impl<F: Finished> Journal<F> {
    /// A journal over files that hold so much already, all of it whole.
    pub fn new(policy: Policy, sizes: Sizes) -> Self {
        Self { file: File::Listed, sizes, base_size: sizes.total, ..Self::that_begins(policy) }
    }

    /// A journal that begins with a base.
    pub fn that_begins(policy: Policy) -> Self {
        Self {
            policy,
            doing: Doing::Nothing,
            health: Health::Well,
            file: File::None,
            moment: None,
            boundary: None,
            given_up: None,
            is_closing: false,
            selected: Selected::default(),
            buffer: Buffer::default(),
            sizes: Sizes::default(),
            base_size: 0,
            appended: 0,
            written: 0,
            synced: 0,
            waiting: VecDeque::new(),
            in_order_until: None,
            time: None,
            noted_time: None,
            buffered_since_ms: None,
            unsynced_since_ms: None,
            accounts: Vec::new(),
            delayed_syncs: 0,
            syncs: 0,
            news: Vec::new(),
        }
    }

    /// Takes in what may leave when all that was taken in before is as durable as the policy asks.
    pub fn hold(&mut self, finished: Vec<F>) {
        let is_durable = self.is_listed() && self.synced == self.appended;
        if finished.is_empty() {
        } else if self.policy != Policy::Always && self.waiting.is_empty() || is_durable {
            self.release(finished);
        } else {
            if finished.iter().any(F::keeps_order) {
                self.in_order_until = Some(self.appended);
            }
            match self.waiting.back_mut() {
                Some((position, waiting)) if *position == self.appended => waiting.extend(finished),
                _ => self.waiting.push_back((self.appended, finished)),
            }
        }
    }

    /// From now on records come in at this unix time in seconds, where that is noted: ahead of the
    /// first of each second stands an annotation. No record needs it.
    pub fn tell_time(&mut self, time: Option<i64>) {
        self.time = time;
    }

    /// Whether anything waits that nothing may overtake.
    pub fn holds_in_order(&self) -> bool {
        let first = self.waiting.front().map(|(position, _)| *position);
        first.is_some_and(|first| self.in_order_until.is_some_and(|last| first <= last))
    }

    /// Lets go what does not wait, behind what was let go before.
    pub fn release(&mut self, finished: Vec<F>) {
        if !finished.is_empty() {
            self.news.push(News::Release(finished));
        }
    }

    fn account(&mut self, shard: u16) -> &mut Account {
        let index = usize::from(shard);
        if self.accounts.len() <= index {
            self.accounts.resize(index + 1, Account::default());
        }
        &mut self.accounts[index]
    }

    /// Takes up a change of `appendfsync`. What waits for a sync still gets one. Shards hear how
    /// far they have come, since their credit may hang on it from now on.
    pub fn set_policy(&mut self, policy: Policy, now_ms: u64) {
        self.policy = policy;
        (0..self.accounts.len()).for_each(|index| self.report(index, now_ms));
    }

    /// The policy that it goes by.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Whether everything is written and synced at once, whatever the policy.
    pub fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// From now on everything is written and synced at once, whatever the policy. The shell asks
    /// `next` as before and may end when it has no more work. A write that failed is tried once
    /// more at once.
    pub fn close(&mut self) {
        self.is_closing = true;
        if let Health::WriteFailed { cut_ms, retry_ms, .. } = &mut self.health {
            *cut_ms = cut_ms.map(|_| 0);
            *retry_ms = 0;
        }
    }

    /// Gives up what waits: the journal ends, and nobody promises any more that it is durable.
    pub fn take_waiting(&mut self) -> Vec<F> {
        self.waiting.drain(..).flat_map(|(_, batches)| batches).collect()
    }

    /// The next piece of work, if there is one to be done now and none is under way. A sync goes
    /// before the next write, so that a stream of appends cannot put it off.
    pub fn next(&mut self, now_ms: u64) -> Option<Work> {
        if self.doing != Doing::Nothing || self.file == File::None || self.skips() {
            return None;
        }
        if self.wants_sync(now_ms) {
            return Some(self.start_sync(now_ms));
        }
        match self.health {
            Health::WriteFailed { cut_ms: Some(at), .. } if now_ms >= at => {
                self.doing = Doing::Cutting;
                return Some(Work::Cut(self.sizes.increment));
            }
            Health::WriteFailed { cut_ms: Some(_), .. } => return None,
            Health::WriteFailed { retry_ms, .. } if now_ms < retry_ms => return None,
            _ => {}
        }
        if self.buffer.in_flight().is_empty() {
            self.freeze();
        }
        if self.buffer.in_flight().is_empty() {
            self.note_unfiled(now_ms);
            return None;
        }
        self.doing = Doing::Writing;
        Some(Work::Write(self.buffer.in_flight().clone()))
    }

    /// Takes what is written next out of the buffer: up to the boundary, and no further.
    fn freeze(&mut self) {
        let most = self.boundary.map_or(usize::MAX, |at| (at - self.written) as usize);
        let is_all = self.buffer.tail_len() <= most;
        self.buffer.take_off(most);
        if !self.buffer.in_flight().is_empty() {
            self.unsynced_since_ms = self.unsynced_since_ms.or(self.buffered_since_ms);
        }
        self.buffered_since_ms = self.buffered_since_ms.filter(|_| !is_all);
        for account in &mut self.accounts {
            account.frozen =
                if self.boundary.is_some() { account.bounded } else { account.appended };
        }
    }

    /// What goes to no file, being only published, has come as far as all that is ahead of it.
    fn note_unfiled(&mut self, now_ms: u64) {
        let is_synced = self.synced == self.written;
        for index in 0..self.accounts.len() {
            if self.accounts[index].pass_unfiled(is_synced) {
                self.report(index, now_ms);
            }
        }
    }

    fn start_sync(&mut self, now_ms: u64) -> Work {
        self.doing = Doing::Syncing { position: self.written, since_ms: now_ms };
        for account in &mut self.accounts {
            account.syncing = account.written;
        }
        // What a failed write holds back is not in this sync.
        if self.buffer.in_flight().is_empty() {
            self.unsynced_since_ms = None;
        }
        Work::Sync
    }

    fn wants_sync(&self, now_ms: u64) -> bool {
        let is_waited_for = self.waiting.front().is_some_and(|(end, _)| *end <= self.written);
        let is_old = match (self.policy, self.unsynced_since_ms) {
            (Policy::Always, _) => true,
            (Policy::EverySecond, Some(since)) => now_ms.saturating_sub(since) >= SYNC_EVERY_MS,
            (Policy::EverySecond, None) | (Policy::Never, _) => false,
        };
        let is_last = self.boundary == Some(self.written);
        self.synced < self.written && (self.is_closing || is_waited_for || is_old || is_last)
    }

    /// Whether the next increment is to be begun: the one before is whole and durable, or it will
    /// not be needed. It is listed at once where the one before is.
    pub fn wants_increment(&self) -> bool {
        let is_free = self.doing == Doing::Nothing;
        is_free && self.boundary == Some(self.written) && self.synced == self.written
    }

    /// Takes what came of [`Journal::wants_increment`]. Where an increment that is listed at once
    /// failed, the journal goes on with the one before if that `is_last` still.
    pub fn began(&mut self, result: Result<(), Fault>, is_last: bool) {
        match (result, self.file) {
            (Ok(()), _) => {
                self.boundary = None;
                self.sizes.increment = 0;
            }
            (Err(_), File::Listed) if is_last => (self.boundary, self.moment) = (None, None),
            (Err(fault), File::Listed) => self.distrust(fault),
            (Err(fault), _) => self.give_up(fault),
        }
    }

    /// Whether the base that is a snapshot with this number can be listed.
    pub fn listing(&self, snapshot: u32) -> Listing {
        match (&self.given_up, &self.health) {
            (Some(fault), _) => Listing::Never(fault.to_string()),
            _ if self.moment != Some(snapshot) => {
                Listing::Never("the journal did not go on from its moment".to_owned())
            }
            (_, Health::WriteFailed { fault, .. }) if self.boundary.is_some() => {
                Listing::Never(fault.to_string())
            }
            _ if self.boundary.is_some() || self.doing != Doing::Nothing => Listing::Later,
            _ => Listing::Now,
        }
    }

    /// The base is listed with the last increment, and the files hold so much. All that was taken
    /// in before its moment is durable with it.
    pub fn listed(&mut self, files: Sizes, now_ms: u64) {
        // What a failed write has left behind the last record is still to be cut.
        let increment = self.sizes.increment;
        let total = files.total.saturating_sub(files.increment) + increment;
        self.sizes = Sizes { total, increment };
        self.file = File::Listed;
        (self.moment, self.base_size) = (None, total);
        if let Health::Lost(_) = self.health {
            self.health = Health::Well;
            self.news.push(News::Resume);
        }
        (0..self.accounts.len()).for_each(|index| self.report(index, now_ms));
        self.release_synced();
    }

    /// No base comes: an increment that nothing lists is of no use.
    pub fn forget_base(&mut self) {
        if self.file == File::Unlisted {
            self.skip_all();
        }
    }

    /// The journal has ended, and all that waited for it is let go: what is taken in goes nowhere
    /// until there is another one.
    pub fn leave(&mut self) {
        self.skip_all();
        self.policy = Policy::Never;
        (self.doing, self.health, self.given_up) = (Doing::Nothing, Health::Well, None);
        self.is_closing = false;
        (self.sizes, self.base_size) = (Sizes::default(), 0);
        self.in_order_until = None;
    }

    /// Whether the increment that is written is listed. Else no file can be trusted to hold what
    /// was taken in.
    pub fn is_listed(&self) -> bool {
        self.file == File::Listed
    }

    /// Whether what is ahead of the boundary goes nowhere.
    fn skips(&self) -> bool {
        self.file == File::Unlisted && self.boundary.is_some()
    }

    /// All that was taken in goes nowhere, and what comes next does so too.
    fn skip_all(&mut self) {
        self.file = File::None;
        (self.moment, self.boundary) = (None, None);
        self.buffer.drop_tail();
        self.buffered_since_ms = None;
        self.skip_to(self.appended, |account| account.appended);
    }

    /// What is ahead of the boundary goes nowhere.
    fn skip_to_boundary(&mut self) {
        if let Some(boundary) = self.boundary {
            self.skip_to(boundary, |account| account.bounded);
        }
    }

    /// What is ahead of this position, and of these bytes of each account, goes nowhere.
    fn skip_to(&mut self, position: u64, bytes: fn(&Account) -> u64) {
        self.buffer.landed();
        self.unsynced_since_ms = None;
        (self.written, self.synced) = (position, position);
        for account in &mut self.accounts {
            account.skip_to(bytes(account));
        }
    }

    /// An increment that nothing lists has failed, and the base with it.
    fn give_up(&mut self, fault: Fault) {
        self.skip_all();
        self.given_up = Some(fault);
    }

    /// When `next` may have work though nothing new comes in.
    pub fn wake_ms(&self) -> Option<u64> {
        match (&self.health, self.policy, self.unsynced_since_ms) {
            (Health::WriteFailed { retry_ms, .. }, ..) => Some(*retry_ms),
            (_, Policy::EverySecond, Some(since)) => Some(since + SYNC_EVERY_MS),
            _ => None,
        }
    }

    /// Takes the result of the work that `next` gave out last.
    pub fn done(&mut self, result: Result<(), Fault>, now_ms: u64) {
        let doing = std::mem::replace(&mut self.doing, Doing::Nothing);
        if self.skips() {
            self.skip_to_boundary();
            return;
        }
        match (doing, result) {
            (Doing::Nothing, _) => {}
            (_, Err(fault)) if !self.is_listed() => self.give_up(fault),
            (Doing::Writing, Ok(())) => self.wrote(now_ms),
            (Doing::Cutting, Ok(())) => {
                if let Health::WriteFailed { cut_ms, .. } = &mut self.health {
                    *cut_ms = None;
                }
            }
            (Doing::Writing, Err(fault)) => self.write_failed(fault, now_ms, now_ms),
            (Doing::Cutting, Err(fault)) => self.write_failed(fault, now_ms + RETRY_MS, now_ms),
            (Doing::Syncing { position, since_ms }, Ok(())) => {
                self.time_sync(since_ms, now_ms);
                self.did_sync(position, now_ms);
            }
            (Doing::Syncing { since_ms, .. }, Err(fault)) => {
                self.time_sync(since_ms, now_ms);
                self.distrust(fault);
            }
        }
    }

    fn wrote(&mut self, now_ms: u64) {
        let length = self.buffer.landed();
        self.written += length;
        self.sizes.increment += length;
        self.sizes.total += length;
        if let Health::WriteFailed { .. } = self.health {
            self.health = Health::Well;
            self.news.push(News::Resume);
        }
        for index in 0..self.accounts.len() {
            let account = &mut self.accounts[index];
            account.written = account.frozen;
            if account.written - account.reported.written >= REPORT_BYTES {
                self.report(index, now_ms);
            }
        }
    }

    fn write_failed(&mut self, fault: Fault, cut_ms: u64, now_ms: u64) {
        if let Health::Well = self.health {
            self.news.push(News::Refuse(fault.clone()));
        }
        let retry_ms = now_ms + RETRY_MS;
        self.health = Health::WriteFailed { fault, cut_ms: Some(cut_ms), retry_ms };
    }

    fn time_sync(&mut self, since_ms: u64, now_ms: u64) {
        self.syncs += 1;
        self.delayed_syncs += u64::from(now_ms.saturating_sub(since_ms) > SYNC_SLOW_MS);
    }

    fn did_sync(&mut self, position: u64, now_ms: u64) {
        self.synced = position;
        for index in 0..self.accounts.len() {
            let account = &mut self.accounts[index];
            account.synced = account.syncing;
            let since_ms = now_ms.saturating_sub(account.reported.at_ms);
            if self.policy != Policy::Always || since_ms >= REPORT_EVERY_MS {
                self.report(index, now_ms);
            }
        }
        self.release_synced();
    }

    /// Releases what waited for what is durable now.
    fn release_synced(&mut self) {
        if !self.is_listed() {
            return;
        }
        let covered = self.waiting.partition_point(|(waits_for, _)| *waits_for <= self.synced);
        if covered > 0 {
            let released = self.waiting.drain(..covered).flat_map(|(_, batches)| batches).collect();
            self.news.push(News::Release(released));
        }
    }

    /// Tells a shard how far its effects have come, if that is news.
    fn report(&mut self, index: usize, now_ms: u64) {
        let is_listed = self.is_listed();
        let Account { written, synced, reported, .. } = &mut self.accounts[index];
        let (written, synced) = (*written, if is_listed { *synced } else { reported.synced });
        if (reported.written, reported.synced) != (written, synced) {
            *reported = Reported { written, synced, at_ms: now_ms };
            self.news.push(News::Progress(Progress { shard: index as u16, written, synced }));
        }
    }

    /// The file cannot be trusted any more: a sync failed, or the writer was started anew and does
    /// not know what became of what it had.
    pub fn distrust(&mut self, fault: Fault) {
        self.doing = Doing::Nothing;
        if !self.is_listed() {
            return self.give_up(fault);
        }
        if let Health::Well = self.health {
            self.news.push(News::Refuse(fault.clone()));
        }
        self.health = Health::Lost(fault);
        self.skip_all();
    }

    /// What is to be told, in order; empties the list.
    pub fn take_news(&mut self) -> Vec<News<F>> {
        std::mem::take(&mut self.news)
    }

    /// Length of the increment if everything taken in is in it: up to there a rebuild may read.
    pub fn written_length(&self) -> Option<u64> {
        let is_well = matches!(self.health, Health::Well) && self.is_listed();
        (is_well && self.written == self.appended).then_some(self.sizes.increment)
    }

    /// Whether everything that was taken in has been synced to files that are listed.
    pub fn is_durable(&self) -> bool {
        let is_well = matches!(self.health, Health::Well) && self.is_listed();
        is_well && self.synced == self.appended
    }

    /// Why writes are refused, if they are.
    pub fn fault(&self) -> Option<&Fault> {
        match &self.health {
            Health::Well => None,
            Health::WriteFailed { fault, .. } | Health::Lost(fault) => Some(fault),
        }
    }

    /// Bytes of memory that what is not written takes.
    pub fn memory(&self) -> u64 {
        self.buffer.memory()
    }

    /// The figures for INFO.
    pub fn figures(&self) -> JournalFigures {
        JournalFigures {
            current_size: self.sizes.total,
            base_size: self.base_size,
            buffer_length: self.buffer.len(),
            pending_syncs: u64::from(matches!(self.doing, Doing::Syncing { .. })),
            delayed_syncs: self.delayed_syncs,
            is_write_ok: self.fault().is_none(),
            fault: self.fault().cloned(),
            needs_base: matches!(self.health, Health::Lost(_)),
            syncs: self.syncs,
            waiting: self.waiting.iter().map(|(_, batches)| batches.len() as u64).sum(),
        }
    }
}

impl<F: Finished> Consumer for Journal<F> {
    /// The bytes are copied once.
    fn take_in(&mut self, records: Records<'_>, now_ms: u64) {
        let len = records.len() as u64;
        if self.file == File::None {
            let index = usize::from(records.shard);
            let account = self.account(records.shard);
            account.skip_to(account.appended + len);
            if account.written - account.reported.written >= REPORT_BYTES {
                self.report(index, now_ms);
            }
            return;
        }
        let buffer = self.buffer.tail();
        let before = buffer.len();
        if let Some(time) = self.time.filter(|_| self.time != self.noted_time) {
            buffer.extend_from_slice(format!("#TS:{time}\r\n").as_bytes());
            self.noted_time = self.time;
        }
        self.selected.write(records, buffer);
        self.appended += (buffer.len() - before) as u64;
        self.account(records.shard).appended += len;
        self.buffered_since_ms.get_or_insert(now_ms);
    }

    /// From here on records go to another increment.
    fn meet_moment(&mut self, moment: Mark) {
        if moment.purpose != Purpose::Base {
            return;
        }
        if !self.is_listed() {
            self.buffer.drop_tail();
            self.file = File::Unlisted;
            self.given_up = None;
        }
        self.selected = Selected::default();
        self.noted_time = None;
        (self.moment, self.boundary) = (Some(moment.snapshot), Some(self.appended));
        for account in &mut self.accounts {
            account.bounded = account.appended;
        }
        if self.skips() && self.doing == Doing::Nothing {
            self.skip_to_boundary();
        }
    }
}

#[cfg(test)]
mod tests;
