//! The journal's file as a consumer of the stream: records in, disk work and news out.
//!
//! The stream feeds it; what waits for the records is left with `hold`. Its owner (`writer`) asks
//! `next` for work until there is none, reports each piece with `done`, and passes on what
//! `take_news` holds. At most one piece of work is under way. Whatever queues up meanwhile goes
//! into the next write and the next sync together: that is the group commit.
//!
//! Invariants:
//! - the file is the records in the order of the stream, whole, each behind a SELECT where the
//!   database changes; the first write to a file selects anew;
//! - under `always` a finished batch is released only after a sync that began when everything
//!   appended before it, and with it, was written;
//! - after a failed write the file is cut at once to where it was before, the bytes are kept, and
//!   the write is tried again each `RETRY_MS`; writes are refused meanwhile and taken again after;
//! - after a failed sync the file is never written or synced again. There are no bases yet, so
//!   nothing can heal this: writes are refused until the restart, and what waits for the sync is
//!   abandoned, so that its clients see a closed connection and neither an error nor an OK.
//!
//! Bounded by the shards' credits (`credit`): the buffer holds what they may have unwritten. A
//! journal that begins while the server runs is written to its base first; when that is whole and
//! durable, it goes on with an increment (`begin_increment`). Left out: the fresh base after a
//! failed sync, but for the one that CONFIG SET appendonly no, then yes, writes.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::storage::{Fault, Work};
use crate::stream::credit::REPORT_BYTES;
use crate::stream::{Consumer, Policy, Progress, Records, Selected};

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
    /// These must never be answered: drop them, so that their connections close.
    Abandon(Vec<F>),
    /// A shard's effects have come further.
    Progress(Progress),
    /// From now on writes are refused with `-MISCONF`; the log wants the fault.
    Refuse(Fault),
    /// Writes are taken again.
    Resume,
}

/// Figures for INFO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalFigures {
    /// `aof_current_size`: bytes in all files of the journal.
    pub current_size: u64,
    /// `aof_base_size`
    pub base_size: u64,
    /// `aof_buffer_length`: bytes that are not written.
    pub buffer_length: u64,
    /// `aof_pending_bio_fsync`
    pub pending_syncs: u64,
    /// `aof_delayed_fsync`
    pub delayed_syncs: u64,
    /// `aof_last_write_status`: ok or err.
    pub is_write_ok: bool,
    /// Why writes are refused, if they are.
    pub fault: Option<Fault>,
    /// Syncs that were done.
    pub syncs: u64,
    /// Batches that wait for a sync.
    pub waiting: u64,
}

impl Default for JournalFigures {
    /// Those of no journal.
    fn default() -> JournalFigures {
        JournalFigures {
            current_size: 0,
            base_size: 0,
            buffer_length: 0,
            pending_syncs: 0,
            delayed_syncs: 0,
            is_write_ok: true,
            fault: None,
            syncs: 0,
            waiting: 0,
        }
    }
}

/// What the files hold when the journal takes over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The base.
    pub base: u64,
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
    Lost(Fault),
}

/// Totals of one shard's bytes at each stage.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    appended: u64,
    frozen: u64,
    written: u64,
    syncing: u64,
    synced: u64,
    reported: Reported,
}

/// What a shard was told last, and when.
#[derive(Debug, Clone, Copy, Default)]
struct Reported {
    written: u64,
    synced: u64,
    at_ms: u64,
}

/// The journal without its file. `F` is what waits until records are durable.
#[derive(Debug)]
pub struct Journal<F> {
    policy: Policy,
    doing: Doing,
    health: Health,
    is_closing: bool,
    selected: Selected,
    buffer: BytesMut,
    /// What is being written, or was when the write failed.
    in_flight: Bytes,
    sizes: Sizes,
    /// Bytes since the start: taken in, in the file, durable. SELECTs count.
    appended: u64,
    written: u64,
    synced: u64,
    /// Batches and the position that must be durable before they leave; ascending.
    waiting: VecDeque<(u64, Vec<F>)>,
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

impl<F> Journal<F> {
    /// A journal over files that hold so much already, all of it whole.
    pub fn new(policy: Policy, sizes: Sizes) -> Self {
        Self {
            policy,
            doing: Doing::Nothing,
            health: Health::Well,
            is_closing: false,
            selected: Selected::default(),
            buffer: BytesMut::new(),
            in_flight: Bytes::new(),
            sizes,
            appended: 0,
            written: 0,
            synced: 0,
            waiting: VecDeque::new(),
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
        if finished.is_empty() {
        } else if self.is_lost() {
            self.abandon(finished);
        } else if self.policy != Policy::Always && self.waiting.is_empty()
            || self.synced == self.appended
        {
            self.news.push(News::Release(finished));
        } else {
            match self.waiting.back_mut() {
                Some((position, waiting)) if *position == self.appended => waiting.extend(finished),
                _ => self.waiting.push_back((self.appended, finished)),
            }
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

    /// What was written is a whole base, all of it durable: from now on an empty increment grows.
    ///
    /// # Panics
    /// When something is not durable.
    pub fn begin_increment(&mut self) {
        assert!(self.is_durable(), "a base is left when it is whole");
        let base = self.sizes.total;
        self.sizes = Sizes { base, total: base, increment: 0 };
        self.selected = Selected::default();
        self.is_closing = false;
    }

    /// Gives up what waits: the journal ends, and nobody promises any more that it is durable.
    pub fn take_waiting(&mut self) -> Vec<F> {
        self.waiting.drain(..).flat_map(|(_, batches)| batches).collect()
    }

    /// The next piece of work, if there is one to be done now and none is under way. A sync goes
    /// before the next write, so that a stream of appends cannot put it off.
    pub fn next(&mut self, now_ms: u64) -> Option<Work> {
        if self.doing != Doing::Nothing || self.is_lost() {
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
        if self.in_flight.is_empty() {
            self.freeze();
        }
        if self.in_flight.is_empty() {
            return None;
        }
        self.doing = Doing::Writing;
        Some(Work::Write(self.in_flight.clone()))
    }

    fn freeze(&mut self) {
        self.in_flight = self.buffer.split().freeze();
        let since = self.buffered_since_ms.take();
        self.unsynced_since_ms = self.unsynced_since_ms.or(since);
        for account in &mut self.accounts {
            account.frozen = account.appended;
        }
    }

    fn start_sync(&mut self, now_ms: u64) -> Work {
        self.doing = Doing::Syncing { position: self.written, since_ms: now_ms };
        for account in &mut self.accounts {
            account.syncing = account.written;
        }
        // What a failed write holds back is not in this sync.
        if self.in_flight.is_empty() {
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
        self.synced < self.written && (self.is_closing || is_waited_for || is_old)
    }

    /// When `next` may have work though nothing new comes in.
    pub fn wake_ms(&self) -> Option<u64> {
        match (&self.health, self.policy, self.unsynced_since_ms) {
            (Health::WriteFailed { retry_ms, .. }, ..) => Some(*retry_ms),
            (Health::Well, Policy::EverySecond, Some(since)) => Some(since + SYNC_EVERY_MS),
            _ => None,
        }
    }

    /// Takes the result of the work that `next` gave out last.
    pub fn done(&mut self, result: Result<(), Fault>, now_ms: u64) {
        match (std::mem::replace(&mut self.doing, Doing::Nothing), result) {
            (Doing::Nothing, _) => {}
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
        let length = std::mem::take(&mut self.in_flight).len() as u64;
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
        let covered = self.waiting.partition_point(|(waits_for, _)| *waits_for <= position);
        if covered > 0 {
            let released = self.waiting.drain(..covered).flat_map(|(_, batches)| batches).collect();
            self.news.push(News::Release(released));
        }
    }

    /// Tells a shard how far its effects have come, if that is news.
    fn report(&mut self, index: usize, now_ms: u64) {
        let Account { written, synced, reported, .. } = &mut self.accounts[index];
        let (written, synced) = (*written, *synced);
        if (reported.written, reported.synced) != (written, synced) {
            *reported = Reported { written, synced, at_ms: now_ms };
            self.news.push(News::Progress(Progress { shard: index as u16, written, synced }));
        }
    }

    /// The file cannot be trusted any more: a sync failed, or the writer was started anew and does
    /// not know what became of what it had.
    pub fn distrust(&mut self, fault: Fault) {
        if let Health::Lost(_) = self.health {
            return;
        }
        if let Health::Well = self.health {
            self.news.push(News::Refuse(fault.clone()));
        }
        self.doing = Doing::Nothing;
        self.health = Health::Lost(fault);
        self.buffer = BytesMut::new();
        self.in_flight = Bytes::new();
        let waiting = self.waiting.drain(..).flat_map(|(_, batches)| batches).collect();
        self.abandon(waiting);
    }

    fn abandon(&mut self, batches: Vec<F>) {
        if !batches.is_empty() {
            self.news.push(News::Abandon(batches));
        }
    }

    /// What is to be told, in order; empties the list.
    pub fn take_news(&mut self) -> Vec<News<F>> {
        std::mem::take(&mut self.news)
    }

    /// Length of the increment if everything taken in is in it: up to there a rebuild may read.
    pub fn written_length(&self) -> Option<u64> {
        let is_written = matches!(self.health, Health::Well) && self.written == self.appended;
        is_written.then_some(self.sizes.increment)
    }

    /// Whether everything that was taken in has been synced.
    pub fn is_durable(&self) -> bool {
        matches!(self.health, Health::Well) && self.synced == self.appended
    }

    /// Why writes are refused, if they are.
    pub fn fault(&self) -> Option<&Fault> {
        match &self.health {
            Health::Well => None,
            Health::WriteFailed { fault, .. } | Health::Lost(fault) => Some(fault),
        }
    }

    /// Whether only a restart heals it: a sync has failed.
    pub fn is_lost(&self) -> bool {
        matches!(self.health, Health::Lost(_))
    }

    /// The figures for INFO.
    pub fn figures(&self) -> JournalFigures {
        JournalFigures {
            current_size: self.sizes.total,
            base_size: self.sizes.base,
            buffer_length: (self.buffer.len() + self.in_flight.len()) as u64,
            pending_syncs: u64::from(matches!(self.doing, Doing::Syncing { .. })),
            delayed_syncs: self.delayed_syncs,
            is_write_ok: self.fault().is_none(),
            fault: self.fault().cloned(),
            syncs: self.syncs,
            waiting: self.waiting.iter().map(|(_, batches)| batches.len() as u64).sum(),
        }
    }
}

impl<F> Consumer for Journal<F> {
    /// The bytes are copied once. What a lost journal is given is written nowhere.
    fn take_in(&mut self, records: Records<'_>, now_ms: u64) {
        if self.is_lost() {
            return;
        }
        let before = self.buffer.len();
        self.selected.write(records, &mut self.buffer);
        self.appended += (self.buffer.len() - before) as u64;
        self.account(records.shard).appended += records.len() as u64;
        self.buffered_since_ms.get_or_insert(now_ms);
    }
}

#[cfg(test)]
mod tests;
