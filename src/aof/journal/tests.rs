//! The journal on a disk in memory that keeps what was synced and fails where it is told to.

use super::super::scan::{End, Scanner};
use super::super::storage::Storage;
use super::*;
use crate::keyspace::effect::{Kind, Run};
use crate::stream::Append;

/// A file in memory, and how much of it is durable.
#[derive(Default)]
struct Disk {
    bytes: Vec<u8>,
    durable: usize,
    calls: Vec<&'static str>,
    /// Call numbers at which to fail; a failing write leaves half of its bytes.
    fail_at: Vec<usize>,
}

impl Disk {
    fn call(&mut self, operation: &'static str) -> Result<(), Fault> {
        self.calls.push(operation);
        if self.fail_at.contains(&self.calls.len()) { Err(fault(operation)) } else { Ok(()) }
    }

    fn count(&self, operation: &str) -> usize {
        self.calls.iter().filter(|call| **call == operation).count()
    }
}

impl Storage for Disk {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let result = self.call("write");
        let kept = if result.is_ok() { bytes.len() } else { bytes.len() / 2 };
        self.bytes.extend(&bytes[..kept]);
        result
    }

    fn sync(&mut self) -> Result<(), Fault> {
        self.call("fdatasync")?;
        self.durable = self.bytes.len();
        Ok(())
    }

    fn cut(&mut self, length: u64) -> Result<(), Fault> {
        self.call("truncate")?;
        self.bytes.truncate(length as usize);
        Ok(())
    }
}

impl Finished for &'static str {
    fn shows_writes(&self, _: bool) -> bool {
        true
    }
}

fn fault(operation: &'static str) -> Fault {
    Fault { operation, path: "x".into(), reason: "No space left on device".into() }
}

/// `INCR <text>` with a batch that is called the same.
fn incr(shard: u16, db: u32, text: &'static str) -> Append<&'static str> {
    let bytes = format!("*2\r\n$4\r\nINCR\r\n${}\r\n{text}\r\n", text.len()).into_bytes();
    let runs = vec![Run::new(db, bytes.len())];
    Append { shard, runs, bytes, finished: vec![text], moment: None, is_urgent: false }
}

fn append(journal: &mut Journal<&'static str>, append: Append<&'static str>, now_ms: u64) {
    let finished = append.feed(&mut [journal], now_ms);
    journal.hold(finished);
}

fn drive(journal: &mut Journal<&'static str>, disk: &mut Disk, now_ms: u64) {
    while let Some(work) = journal.next(now_ms) {
        let result = work.perform(disk);
        journal.done(result, now_ms);
    }
}

fn released(news: &[News<&'static str>]) -> Vec<&'static str> {
    let batches = news.iter().filter_map(|news| match news {
        News::Release(batches) => Some(batches.clone()),
        _ => None,
    });
    batches.flatten().collect()
}

/// The records of a file as `db:key`, and how it ends.
fn read(bytes: &[u8]) -> (Vec<String>, End) {
    let mut scanner = Scanner::new(0);
    scanner.feed(bytes);
    let mut records = Vec::new();
    while let Some(block) = scanner.next_block().unwrap() {
        records.extend(block.records.iter().map(|record| {
            let key = block.args(record).nth(1).unwrap();
            format!("{}:{}", record.db, String::from_utf8_lossy(key))
        }));
    }
    (records, scanner.finish().unwrap())
}

#[test]
fn always_releases_after_one_write_and_one_sync_for_all_that_queued() {
    let (mut journal, mut disk) = (Journal::new(Policy::Always, Sizes::default()), Disk::default());
    for text in ["a", "b", "c"] {
        append(&mut journal, incr(0, 0, text), 0);
    }
    assert_eq!(journal.take_news(), []);
    drive(&mut journal, &mut disk, 0);
    assert_eq!(disk.calls, ["write", "fdatasync"]);
    assert_eq!(released(&journal.take_news()), ["a", "b", "c"]);
    assert!(journal.is_durable());
    assert_eq!(disk.durable, disk.bytes.len());
}

#[test]
fn what_comes_in_during_a_sync_waits_for_the_next_one() {
    let (mut journal, mut disk) = (Journal::new(Policy::Always, Sizes::default()), Disk::default());
    append(&mut journal, incr(0, 0, "a"), 0);
    let write = journal.next(0).unwrap();
    append(&mut journal, incr(0, 0, "b"), 0);
    journal.done(write.perform(&mut disk), 0);
    let sync = journal.next(0).unwrap();
    assert_eq!(sync, Work::Sync, "a stream of appends must not put the sync off");
    append(&mut journal, incr(0, 0, "c"), 0);
    // A batch without effects that saw a and b.
    let reader = Append {
        shard: 1,
        runs: vec![],
        bytes: vec![],
        finished: vec!["reader"],
        moment: None,
        is_urgent: false,
    };
    append(&mut journal, reader, 0);
    assert_eq!(journal.next(0), None, "one piece of work at a time");
    journal.done(sync.perform(&mut disk), 0);
    assert_eq!(released(&journal.take_news()), ["a"]);
    drive(&mut journal, &mut disk, 0);
    assert_eq!(released(&journal.take_news()), ["b", "c", "reader"]);
    let late = Append {
        shard: 1,
        runs: vec![],
        bytes: vec![],
        finished: vec!["late"],
        moment: None,
        is_urgent: false,
    };
    append(&mut journal, late, 0);
    assert_eq!(released(&journal.take_news()), ["late"], "all that it saw is durable");
}

#[test]
fn the_time_stands_ahead_of_the_first_record_of_each_second() {
    let (mut journal, mut disk) = (Journal::new(Policy::Always, Sizes::default()), Disk::default());
    for time in [None, Some(70), Some(70), Some(71), None] {
        journal.tell_time(time);
        append(&mut journal, incr(0, 0, "a"), 0);
        drive(&mut journal, &mut disk, 0);
    }
    let text =
        String::from_utf8_lossy(&disk.bytes).replace("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n", "a ");
    assert_eq!(text, "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\na #TS:70\r\na a #TS:71\r\na a ");
    assert_eq!(released(&journal.take_news()).len(), 5);
    assert!(journal.is_durable());
}

#[test]
fn everysec_releases_at_once_and_syncs_each_second() {
    let mut journal = Journal::new(Policy::EverySecond, Sizes::default());
    let mut disk = Disk::default();
    for now_ms in 0..=5_000 {
        append(&mut journal, incr(0, 0, "a"), now_ms);
        assert_eq!(released(&journal.take_news()), ["a"]);
        drive(&mut journal, &mut disk, now_ms);
    }
    assert_eq!(disk.count("fdatasync"), 5);
    let wake_ms = journal.wake_ms().unwrap();
    drive(&mut journal, &mut disk, wake_ms);
    assert!(journal.is_durable());
    assert_eq!(journal.wake_ms(), None);
}

#[test]
fn no_never_syncs_but_at_the_end() {
    let (mut journal, mut disk) = (Journal::new(Policy::Never, Sizes::default()), Disk::default());
    append(&mut journal, incr(0, 0, "a"), 0);
    drive(&mut journal, &mut disk, 100_000);
    assert_eq!(disk.calls, ["write"]);
    journal.close();
    drive(&mut journal, &mut disk, 100_000);
    assert_eq!(disk.calls, ["write", "fdatasync"]);
}

#[test]
fn a_changed_policy_keeps_the_order_and_the_word_given() {
    let (mut journal, mut disk) = (Journal::new(Policy::Always, Sizes::default()), Disk::default());
    append(&mut journal, incr(0, 0, "a"), 0);
    journal.set_policy(Policy::Never, 0);
    append(&mut journal, incr(0, 0, "b"), 0);
    assert_eq!(released(&journal.take_news()), [""; 0]);
    drive(&mut journal, &mut disk, 0);
    assert_eq!(released(&journal.take_news()), ["a", "b"]);
    append(&mut journal, incr(0, 0, "c"), 0);
    drive(&mut journal, &mut disk, 0);
    journal.set_policy(Policy::Always, 0);
    append(
        &mut journal,
        Append {
            shard: 0,
            runs: vec![],
            bytes: vec![],
            finished: vec!["d"],
            moment: None,
            is_urgent: false,
        },
        0,
    );
    assert_eq!(released(&journal.take_news()), ["c"]);
    drive(&mut journal, &mut disk, 0);
    assert_eq!(released(&journal.take_news()), ["d"]);
}

#[test]
fn selects_where_the_database_changes_and_first_in_a_file() {
    let mut journal = Journal::new(Policy::Never, Sizes::default());
    let mut disk = Disk::default();
    for db in [7, 7, 0, 12] {
        append(&mut journal, incr(0, db, "a"), 0);
    }
    let (one, two) = (incr(0, 12, "b"), incr(0, 3, "c"));
    let mut both = Append {
        shard: 0,
        runs: one.runs,
        bytes: one.bytes,
        finished: vec![],
        moment: None,
        is_urgent: false,
    };
    both.bytes.extend(&two.bytes);
    both.runs.push(Run::new(3, both.bytes.len()));
    append(&mut journal, both, 0);
    drive(&mut journal, &mut disk, 0);
    assert_eq!(read(&disk.bytes).0, ["7:a", "7:a", "0:a", "12:a", "12:b", "3:c"]);
    assert_eq!(disk.bytes.windows(6).filter(|w| *w == b"SELECT").count(), 4);
    assert_eq!(journal.written_length(), Some(disk.bytes.len() as u64));
}

#[test]
fn progress_is_told_to_the_shard_that_sent() {
    let mut journal = Journal::new(Policy::EverySecond, Sizes::default());
    let mut disk = Disk::default();
    append(&mut journal, incr(0, 0, "a"), 0);
    append(&mut journal, incr(3, 0, "bcd"), 0);
    journal.take_news();
    drive(&mut journal, &mut disk, 0);
    assert_eq!(journal.take_news(), [], "so little is written that no credit hangs on it");
    drive(&mut journal, &mut disk, 1_000);
    assert_eq!(journal.take_news(), [at(0, 21, 21), at(3, 23, 23)]);
    let much = "x".repeat(REPORT_BYTES as usize).leak();
    append(&mut journal, incr(3, 0, much), 1_000);
    journal.take_news();
    drive(&mut journal, &mut disk, 1_000);
    let written = disk.bytes.len() as u64 - 21 - SELECT.len() as u64;
    assert_eq!(journal.take_news(), [at(3, written, 23)]);
}

#[test]
fn under_always_syncs_are_reported_rarely_and_all_of_them_when_credit_hangs_on_them() {
    let (mut journal, mut disk) = (Journal::new(Policy::Always, Sizes::default()), Disk::default());
    let mut told = Vec::new();
    for now_ms in 1..=2 * REPORT_EVERY_MS {
        append(&mut journal, incr(0, 0, "a"), now_ms);
        drive(&mut journal, &mut disk, now_ms);
        let news = journal.take_news().into_iter();
        told.extend(news.filter(|news| matches!(news, News::Progress(_))));
    }
    let (first, second) = (REPORT_EVERY_MS * 21, 2 * REPORT_EVERY_MS * 21);
    assert_eq!(told, [at(0, first, first), at(0, second, second)]);
    append(&mut journal, incr(0, 0, "a"), 0);
    drive(&mut journal, &mut disk, 2 * REPORT_EVERY_MS + 1);
    assert_eq!(journal.take_news(), [News::Release(vec!["a"])]);
    journal.set_policy(Policy::EverySecond, 2 * REPORT_EVERY_MS + 1);
    assert_eq!(journal.take_news(), [at(0, second + 21, second + 21)]);
}

fn at(shard: u16, written: u64, synced: u64) -> News<&'static str> {
    News::Progress(Progress { shard, written, synced })
}

const SELECT: &str = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";

#[test]
fn a_failed_write_refuses_cuts_retries_and_heals() {
    let mut disk = Disk { fail_at: vec![3, 4, 6], ..Disk::default() };
    let mut journal = Journal::new(Policy::Always, Sizes::default());
    append(&mut journal, incr(0, 0, "a"), 0);
    drive(&mut journal, &mut disk, 0);
    journal.take_news();
    append(&mut journal, incr(0, 0, "b"), 0);
    drive(&mut journal, &mut disk, 0);
    assert_eq!(journal.take_news(), [News::Refuse(fault("write"))]);
    assert_eq!(journal.written_length(), None);
    assert!(!journal.figures().is_write_ok);
    // On their way when the news went out.
    append(&mut journal, incr(0, 1, "c"), 1);
    drive(&mut journal, &mut disk, RETRY_MS - 1);
    assert_eq!(disk.calls[2..], ["write", "truncate"], "no new try before its time");
    assert_eq!(journal.wake_ms(), Some(RETRY_MS));
    drive(&mut journal, &mut disk, RETRY_MS);
    assert_eq!(disk.calls[4..], ["truncate", "write", "truncate"], "cut at once");
    assert_eq!(read(&disk.bytes), (vec!["0:a".into()], End::Clean));
    assert_eq!(journal.take_news(), [], "refused once, nothing released");
    drive(&mut journal, &mut disk, 2 * RETRY_MS);
    let told = journal.take_news();
    assert_eq!(told[0], News::Resume);
    assert_eq!(released(&told), ["b", "c"]);
    assert_eq!(read(&disk.bytes), (vec!["0:a".into(), "0:b".into(), "1:c".into()], End::Clean));
    assert_eq!(disk.durable, disk.bytes.len());
}

#[test]
fn after_a_failed_sync_nothing_is_written_or_answered_again() {
    for policy in [Policy::Always, Policy::EverySecond] {
        let mut disk = Disk { fail_at: vec![2], ..Disk::default() };
        let mut journal = Journal::new(policy, Sizes::default());
        append(&mut journal, incr(0, 0, "a"), 0);
        drive(&mut journal, &mut disk, 0);
        drive(&mut journal, &mut disk, 1_000);
        let told = journal.take_news();
        assert!(told.contains(&News::Refuse(fault("fdatasync"))), "{told:?}");
        assert_eq!(released(&told), if policy == Policy::Always { vec![] } else { vec!["a"] });
        append(&mut journal, incr(0, 0, "b"), 1_000);
        journal.close();
        drive(&mut journal, &mut disk, 1_000_000);
        assert_eq!(disk.calls.len(), 2);
        assert!(!journal.is_listed() && !journal.is_durable());
        assert!(journal.figures().needs_base);
        assert_eq!(journal.wake_ms(), None);
    }
}

#[test]
fn credit_goes_on_while_nothing_is_written() {
    let mut journal = Journal::that_begins(Policy::EverySecond);
    let much = "x".repeat(REPORT_BYTES as usize).leak();
    append(&mut journal, incr(3, 0, much), 0);
    let written = incr(3, 0, much).bytes.len() as u64;
    assert_eq!(journal.take_news()[0], at(3, written, 0), "and nothing is durable");
    assert_eq!(journal.figures().buffer_length, 0);
}

#[test]
fn closing_on_a_full_disk_tries_once_more_and_ends() {
    let mut disk = Disk { fail_at: (1..100).collect(), ..Disk::default() };
    let mut journal = Journal::new(Policy::EverySecond, Sizes::default());
    append(&mut journal, incr(0, 0, "a"), 0);
    drive(&mut journal, &mut disk, 0);
    journal.close();
    drive(&mut journal, &mut disk, 0);
    assert_eq!(disk.calls, ["write", "truncate", "truncate"]);
    assert!(!journal.is_durable());

    let mut disk = Disk { fail_at: vec![1, 3], ..Disk::default() };
    let mut journal = Journal::new(Policy::EverySecond, Sizes::default());
    append(&mut journal, incr(0, 0, "a"), 0);
    drive(&mut journal, &mut disk, 0);
    journal.close();
    drive(&mut journal, &mut disk, 0);
    assert_eq!(disk.calls, ["write", "truncate", "write", "truncate"]);
    assert!(disk.bytes.is_empty(), "nothing torn is left behind");
}

/// Cuts the power at each call, with any part of what was not synced, while calls fail at random:
/// what was released is there, in order, and nothing is there that was not sent.
#[test]
fn released_under_always_survives_a_cut_at_each_call() {
    const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for stop_after in 1..24 {
        for failing in 0..24 {
            let mut disk = Disk { fail_at: vec![failing], ..Disk::default() };
            let mut journal = Journal::new(Policy::Always, Sizes::default());
            let mut safe = Vec::new();
            let mut keys = KEYS.iter();
            for now_ms in (0..).step_by(400) {
                for key in keys.by_ref().take(1 + (now_ms / 400 % 2) as usize) {
                    append(&mut journal, incr(0, 0, key), now_ms);
                }
                while disk.calls.len() < stop_after
                    && let Some(work) = journal.next(now_ms)
                {
                    let result = work.perform(&mut disk);
                    journal.done(result, now_ms);
                }
                safe.extend(released(&journal.take_news()));
                if disk.calls.len() >= stop_after || now_ms > 8_000 {
                    break;
                }
            }
            for length in disk.durable..=disk.bytes.len() {
                let (found, _) = read(&disk.bytes[..length]);
                let expected: Vec<_> = KEYS.iter().map(|key| format!("0:{key}")).collect();
                assert!(expected.starts_with(&found), "{found:?}");
                assert!(found.len() >= safe.len(), "released {safe:?}, found {found:?}");
            }
        }
    }
}

/// A turn in which a record goes before the moment of a snapshot, and another behind it.
fn around_a_moment(before: &'static str, after: &'static str) -> Append<&'static str> {
    let (mut one, two) = (incr(0, 3, before), incr(0, 3, after));
    one.moment = Some(Mark { at: one.bytes.len(), snapshot: 7, purpose: Purpose::Base });
    one.bytes.extend(two.bytes);
    one.runs[0].end = one.bytes.len();
    one
}

#[test]
fn an_increment_ends_at_the_moment_and_the_next_selects_anew() {
    for policy in [Policy::Always, Policy::EverySecond, Policy::Never] {
        let (mut old, mut new) = (Disk::default(), Disk::default());
        let mut journal = Journal::new(policy, Sizes { total: 100, increment: 0 });
        append(&mut journal, around_a_moment("a", "b"), 0);
        assert_eq!(journal.listing(7), Listing::Later);
        drive(&mut journal, &mut old, 0);
        assert_eq!(read(&old.bytes).0, ["3:a"]);
        assert_eq!(old.durable, old.bytes.len(), "before anything behind it is");
        assert!(journal.wants_increment());
        journal.began(Ok(()), false);
        drive(&mut journal, &mut new, 0);
        assert_eq!(read(&new.bytes).0, ["3:b"]);
        assert_eq!(journal.listing(7), Listing::Now);
        assert_eq!(
            journal.figures().current_size,
            100 + (old.bytes.len() + new.bytes.len()) as u64
        );
        journal.listed(Sizes { total: 50, increment: new.bytes.len() as u64 }, 0);
        let figures = journal.figures();
        assert_eq!((figures.current_size, figures.base_size), (50, 50));
    }
}

/// A base may be listed while a write has failed and could not be cut: it is cut all the same.
#[test]
fn what_a_failed_write_has_left_is_cut_when_a_base_was_listed() {
    let (mut old, mut new) = (Disk::default(), Disk { fail_at: vec![3, 4], ..Disk::default() });
    let mut journal = Journal::new(Policy::Always, Sizes::default());
    append(&mut journal, around_a_moment("a", "b"), 0);
    drive(&mut journal, &mut old, 0);
    journal.began(Ok(()), false);
    drive(&mut journal, &mut new, 0);
    append(&mut journal, incr(0, 3, "c"), 0);
    drive(&mut journal, &mut new, 0);
    assert_eq!(new.calls[2..], ["write", "truncate"]);
    assert_eq!(journal.listing(7), Listing::Now);
    journal.listed(Sizes { total: 1_000, increment: new.bytes.len() as u64 }, 0);
    drive(&mut journal, &mut new, RETRY_MS);
    assert_eq!(read(&new.bytes), (vec!["3:b".into(), "3:c".into()], End::Clean));
    assert!(!journal.figures().needs_base && journal.is_durable());
}

/// Cuts the power at each call of a rewrite: of what was released all is there, in one of the two.
#[test]
fn released_under_always_survives_a_cut_at_each_call_of_a_rewrite() {
    for stop_after in 1..8 {
        let mut disks = [Disk::default(), Disk::default()];
        let (mut current, mut calls) = (0, 0);
        let mut journal = Journal::new(Policy::Always, Sizes::default());
        append(&mut journal, incr(0, 0, "a"), 0);
        append(&mut journal, around_a_moment("b", "c"), 0);
        while calls < stop_after {
            if let Some(work) = journal.next(0) {
                let result = work.perform(&mut disks[current]);
                journal.done(result, 0);
            } else if journal.wants_increment() {
                current = 1;
                journal.began(Ok(()), false);
            }
            calls += 1;
        }
        let safe = released(&journal.take_news());
        let durable = disks.iter().map(|disk| read(&disk.bytes[..disk.durable]).0.len());
        let durable: usize = durable.sum();
        // The batch of the second turn stands for two records.
        let wanted = safe.len() + usize::from(safe.len() == 2);
        assert!(durable >= wanted, "after {stop_after}: {durable} of {safe:?}");
        assert!(stop_after < 7 || safe == ["a", "b"], "{safe:?}");
    }
}

#[test]
fn what_waits_can_be_taken_out_of_a_journal_that_ends() {
    let mut journal = Journal::new(Policy::Always, Sizes::default());
    append(&mut journal, incr(0, 0, "a"), 0);
    assert_eq!(journal.take_waiting(), ["a"]);
    assert!(journal.take_waiting().is_empty());
}

/// Shards count it as sent: they would wait for it for ever.
#[test]
fn what_is_only_published_is_reported_without_a_write() {
    let (mut journal, mut disk) =
        (Journal::new(Policy::EverySecond, Sizes::default()), Disk::default());
    let published = || {
        let mut append = incr(0, 0, "p");
        append.runs[0].kind = Kind::Published;
        append
    };
    let len = published().bytes.len() as u64;
    append(&mut journal, published(), 0);
    drive(&mut journal, &mut disk, 0);
    assert_eq!(disk.count("write"), 0);
    let all = News::Progress(Progress { shard: 0, written: len, synced: len });
    assert!(journal.take_news().contains(&all));
    // Behind a write that is under way, and ahead of its sync.
    append(&mut journal, incr(0, 0, "a"), 0);
    let write = journal.next(0).unwrap();
    append(&mut journal, published(), 0);
    journal.done(write.perform(&mut disk), 0);
    drive(&mut journal, &mut disk, 0);
    let reported = |journal: &mut Journal<&'static str>| {
        let news = journal.take_news();
        let last = news.into_iter().rev().find_map(|news| match news {
            News::Progress(progress) => Some((progress.written, progress.synced)),
            _ => None,
        });
        last.unwrap()
    };
    assert_eq!(reported(&mut journal), (3 * len, len));
    drive(&mut journal, &mut disk, SYNC_EVERY_MS);
    assert_eq!(reported(&mut journal), (3 * len, 3 * len));
}
