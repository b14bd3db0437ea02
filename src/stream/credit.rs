//! How much a shard may still send to the journal: bytes that are not written yet, and the age of
//! the oldest effect that is not durable yet.
//!
//! Beside that, replicas may hold writes up: what is written goes to them as well.
//!
//! The shard keeps this itself, because a writer that hangs in `fdatasync` can tell nobody. All
//! counts are totals since the start, so a report that comes twice or late does no harm. Credit is
//! asked for before a command runs and may be overdrawn by that one command.

use std::collections::VecDeque;

use super::{Policy, Progress};

/// Bytes of effects that a shard may have on their way to the disk.
pub const UNWRITTEN_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bytes that a shard has sent since it last hurried the writer, at which it does so again.
pub const HURRY_BYTES: u64 = UNWRITTEN_BYTES_MAX / 32;
/// Bytes written since the last report to a shard at which it gets another one. Well below what a
/// shard may have unwritten: one that has no credit, or no room, always has a report to come.
pub const REPORT_BYTES: u64 = UNWRITTEN_BYTES_MAX / 16;
/// Age of the oldest effect not yet fsynced at which `everysec` stops taking writes.
pub const UNSYNCED_AGE_MAX_MS: u64 = 2_000;
/// Effects sent within this time share one entry, which bounds the list of entries.
const STEP_MS: u64 = 20;

/// The shard's account with the journal.
#[derive(Debug)]
pub struct Credit {
    policy: Policy,
    /// Replicas hold writes up.
    is_held: bool,
    sent: u64,
    written: u64,
    synced: u64,
    /// What was sent when the writer was last hurried.
    hurried: u64,
    /// Total sent up to the end of an entry, and when its first effect was sent.
    unsynced: VecDeque<(u64, u64)>,
}

impl Credit {
    /// An account of a shard that has sent nothing.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            is_held: false,
            sent: 0,
            written: 0,
            synced: 0,
            hurried: 0,
            unsynced: VecDeque::new(),
        }
    }

    /// Takes up a changed policy.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The policy that it goes by.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Whether a write may run now.
    pub fn is_open(&self, now_ms: u64) -> bool {
        if !self.has_bytes() {
            return false;
        }
        match (self.policy, self.unsynced.front()) {
            (Policy::EverySecond, Some((_, sent_ms))) => {
                now_ms.saturating_sub(*sent_ms) < UNSYNCED_AGE_MAX_MS
            }
            _ => true,
        }
    }

    /// Replicas hold writes up, or do so no longer. Returns whether writes may run, but for the age
    /// of effects: that is asked for with the next one.
    pub fn hold(&mut self, is_held: bool) -> bool {
        self.is_held = is_held;
        self.has_bytes()
    }

    fn has_bytes(&self) -> bool {
        !self.is_held && self.sent.saturating_sub(self.written) < UNWRITTEN_BYTES_MAX
    }

    /// Whether there is room for what nobody waits for, and writes of clients have room after it.
    pub fn has_room(&self) -> bool {
        self.sent.saturating_sub(self.written) < UNWRITTEN_BYTES_MAX / 8
    }

    /// Notes an `Append` of so many bytes. Returns true when so much was sent that the writer has
    /// to be hurried.
    pub fn sent(&mut self, bytes: u64, now_ms: u64) -> bool {
        self.sent += bytes;
        if bytes > 0 && self.policy != Policy::Never {
            match self.unsynced.back_mut() {
                Some((end, since)) if now_ms.saturating_sub(*since) < STEP_MS => *end = self.sent,
                _ => self.unsynced.push_back((self.sent, now_ms)),
            }
        }
        let hurries = self.sent - self.hurried >= HURRY_BYTES;
        if hurries {
            self.hurried = self.sent;
        }
        hurries
    }

    /// Bytes sent, and those of them that are durable.
    pub fn totals(&self) -> (u64, u64) {
        (self.sent, self.synced)
    }

    /// Notes how far the writer has come.
    pub fn progressed(&mut self, progress: Progress) {
        self.written = self.written.max(progress.written);
        self.synced = self.synced.max(progress.synced);
        let synced = if self.policy == Policy::Never { self.written } else { progress.synced };
        while self.unsynced.front().is_some_and(|(end, _)| *end <= synced) {
            self.unsynced.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(written: u64, synced: u64) -> Progress {
        Progress { shard: 0, written, synced }
    }

    #[test]
    fn closes_on_bytes_and_opens_when_they_are_written() {
        let mut credit = Credit::new(Policy::EverySecond);
        credit.sent(UNWRITTEN_BYTES_MAX - 1, 0);
        assert!(credit.is_open(0));
        credit.sent(10, 0);
        assert!(!credit.is_open(0));
        credit.progressed(progress(20, 0));
        assert!(credit.is_open(0));
    }

    #[test]
    fn closes_when_the_oldest_effect_is_not_durable_for_two_seconds() {
        let mut credit = Credit::new(Policy::EverySecond);
        credit.sent(1, 100);
        credit.sent(1, 119);
        credit.sent(1, 500);
        credit.progressed(progress(3, 0));
        assert!(credit.is_open(2_099));
        assert!(!credit.is_open(2_100));
        credit.progressed(progress(3, 2));
        assert!(credit.is_open(2_499));
        assert!(!credit.is_open(2_500));
        credit.set_policy(Policy::Always);
        assert!(credit.is_open(9_999), "under always replies wait, not writes");
    }

    #[test]
    fn closes_while_replicas_hold_writes_up() {
        let mut credit = Credit::new(Policy::Never);
        assert!(!credit.hold(true) && !credit.is_open(0));
        credit.progressed(progress(0, 0));
        assert!(!credit.is_open(9_999));
        assert!(credit.hold(false) && credit.is_open(0));
        credit.sent(UNWRITTEN_BYTES_MAX, 0);
        assert!(!credit.hold(false), "the journal has no room");
    }

    #[test]
    fn the_writer_is_hurried_once_for_so_many_bytes() {
        let mut credit = Credit::new(Policy::EverySecond);
        assert!(!credit.sent(HURRY_BYTES - 1, 0));
        assert!(credit.sent(1, 0));
        assert!(!credit.sent(HURRY_BYTES - 1, 0));
        assert!(credit.sent(10 * HURRY_BYTES, 0));
        assert!(!credit.sent(1, 0));
    }

    #[test]
    fn the_list_of_entries_is_bounded_while_the_disk_hangs() {
        let mut credit = Credit::new(Policy::EverySecond);
        for now_ms in 0..100_000 {
            if credit.is_open(now_ms) {
                credit.sent(1, now_ms);
            }
        }
        assert!(credit.unsynced.len() as u64 <= UNSYNCED_AGE_MAX_MS / STEP_MS + 1);
    }
}
