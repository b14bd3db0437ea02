//! Each rule of a primary, with its replicas played.

use super::*;
use crate::replication::replica::STUCK_MS;
use crate::session::Presented;

const ID: &str = "1111111111111111111111111111111111111111";
const NEXT_ID: &str = "2222222222222222222222222222222222222222";
const MARK: &str = "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm";

/// A primary, its settings, and the time.
struct Rig {
    primary: Primary,
    settings: Settings,
    now_ms: u64,
    number: u32,
}

impl Rig {
    fn new(settings: &[(&str, &str)]) -> Rig {
        let mut all = Settings::default();
        for (name, value) in settings {
            all.set(name, &value.split(' ').collect::<Vec<_>>()).expect("it is right");
        }
        let mut primary = Primary::new(ID.to_owned());
        primary.begin(0);
        Rig { primary, settings: all, now_ms: 1_000, number: 0 }
    }

    fn attach_as(&mut self, client: u64, request: SyncRequest, presented: Presented) {
        let address = "10.0.0.7".to_owned();
        let stub = presented.is_without_data.then(|| b"stub".to_vec());
        let arrival = Arrival { client, address, presented, request, stub };
        self.primary.attach(arrival, self.now_ms);
    }

    fn attach(&mut self, client: u64, id: &str, number: i64) {
        let presented = Presented {
            takes_mark: true,
            takes_new_ids: true,
            port: 7_001,
            ..Presented::default()
        };
        let id = id.as_bytes().to_vec();
        self.attach_as(client, SyncRequest::From { id, number }, presented);
    }

    fn write(&mut self, bytes: &str) {
        self.primary.feed(&Fed::Bytes(bytes.as_bytes().into()));
    }

    fn pull(&mut self, client: u64) -> (Pulled, String) {
        let mut out = Vec::new();
        let pulled = self.primary.pull(client, 1_000, &mut out, self.now_ms);
        (pulled, String::from_utf8(out).expect("text"))
    }

    /// What a replica gets until there is nothing more.
    fn pull_all(&mut self, client: u64) -> String {
        let mut all = String::new();
        while let (Pulled::Some, more) = self.pull(client) {
            all += &more;
        }
        all
    }

    fn begin_sync(&mut self) -> FullSync {
        self.number += 1;
        let begun = self.primary.begin_sync(self.number, MARK.to_owned(), &self.settings);
        begun.expect("somebody waits")
    }

    fn limits(&self) -> Limits {
        Limits::of(&self.settings)
    }

    fn tick(&mut self) -> Tick {
        let limits = self.limits();
        self.primary.tick(&limits, false, self.now_ms)
    }

    fn push(&mut self, text: &str) -> Pushed {
        self.primary.push(self.number, &Bytes::copy_from_slice(text.as_bytes()))
    }
}

#[test]
fn a_snapshot_ends_in_a_mark_and_the_stream_waits_for_the_replica_to_find_it() {
    let mut rig = Rig::new(&[("repl-diskless-sync-delay", "0")]);
    rig.write("before");
    rig.attach(5, "?", -1);
    assert!(rig.primary.is_sync_due(&rig.settings, rig.now_ms));
    let sync = rig.begin_sync();
    assert_eq!((sync.is_streamed, sync.timed), (true, Dialect::COMMON));
    assert_eq!(rig.pull(5).0, Pulled::Nothing);
    rig.primary.feed(&Fed::Moment(1));
    rig.write("after");
    assert_eq!(rig.pull_all(5), format!("+FULLRESYNC {ID} 6\r\n$EOF:{MARK}\r\n"));
    assert_eq!(rig.push("keys"), Pushed::Taken);
    assert_eq!(rig.pull_all(5), "keys");
    rig.primary.sync_is_whole(1);
    assert_eq!(rig.pull_all(5), MARK);
    assert_eq!((rig.primary.syncs(), rig.pull_all(5)), (false, String::new()));
    rig.primary.acknowledge(5, 0, None, rig.now_ms);
    assert_eq!(rig.pull_all(5), "after");
}

#[test]
fn a_file_has_a_length_and_is_followed_at_once_by_the_stream() {
    let mut rig = Rig::new(&[("repl-diskless-sync", "no")]);
    rig.attach(5, "?", -1);
    rig.attach_as(6, SyncRequest::All, Presented::default());
    assert!(!rig.begin_sync().is_streamed);
    rig.write("before");
    rig.primary.feed(&Fed::Moment(1));
    rig.write("after");
    assert_eq!(rig.pull_all(5), format!("+FULLRESYNC {ID} 6\r\n"));
    rig.primary.file_is_there(1, 4);
    assert_eq!(rig.push("keys"), Pushed::Taken);
    rig.primary.sync_is_whole(1);
    assert_eq!(rig.pull_all(5), "$4\r\nkeysafter");
    assert_eq!(rig.pull_all(6), "$4\r\nkeysafter", "SYNC is told no offset");
    assert!(!rig.primary.syncs());
}

#[test]
fn who_cannot_find_a_mark_gets_a_file() {
    let mut rig = Rig::new(&[]);
    rig.attach(5, "?", -1);
    rig.attach_as(6, SyncRequest::All, Presented::default());
    assert!(!rig.begin_sync().is_streamed);
}

#[test]
fn replicas_that_load_other_formats_get_snapshots_of_their_own() {
    let mut rig = Rig::new(&[]);
    let valkey = Presented { version: 0x09_01_02, takes_mark: true, ..Presented::default() };
    rig.attach_as(5, SyncRequest::All, valkey);
    let redis = Presented { is_redis_8: true, takes_mark: true, ..Presented::default() };
    rig.attach_as(6, SyncRequest::All, redis);
    assert_eq!(rig.begin_sync().timed, Dialect::TIMED);
    assert_eq!(rig.begin_sync().timed, Dialect::REDIS_TIMED);
    assert_eq!(rig.primary.begin_sync(9, MARK.to_owned(), &rig.settings), None);
}

#[test]
fn a_sync_that_is_streamed_waits_for_more_replicas() {
    let mut rig = Rig::new(&[("repl-diskless-sync-max-replicas", "2")]);
    rig.attach(5, "?", -1);
    assert!(!rig.primary.is_sync_due(&rig.settings, rig.now_ms + 4_999));
    assert!(rig.primary.is_sync_due(&rig.settings, rig.now_ms + 5_000));
    rig.attach(6, "?", -1);
    assert!(rig.primary.is_sync_due(&rig.settings, rig.now_ms));
}

#[test]
fn who_comes_back_goes_on_where_the_backlog_reaches() {
    let mut rig = Rig::new(&[]);
    rig.write("0123456789");
    for (id, number, goes_on) in [
        (ID, 1, Some("0123456789")),
        (ID, 8, Some("789")),
        (ID, 11, Some("")),
        (ID, 12, None),
        (ID, 0, None),
        (ID, -1, None),
        (NEXT_ID, 5, None),
        ("?", 5, None),
    ] {
        rig.attach(5, id, number);
        let expected = goes_on.map_or_else(String::new, |rest| format!("+CONTINUE {ID}\r\n{rest}"));
        assert_eq!(rig.pull_all(5), expected, "{id} {number}");
        rig.primary.forget(5, rig.now_ms);
    }
    let figures = rig.primary.figures(&rig.limits(), rig.now_ms);
    assert_eq!((figures.partial_syncs, figures.refused_syncs, figures.full_syncs), (3, 4, 5));
    rig.primary.reset();
    let figures = rig.primary.figures(&rig.limits(), rig.now_ms);
    assert_eq!((figures.partial_syncs, figures.refused_syncs, figures.full_syncs), (0, 0, 0));
}

#[test]
fn the_stream_of_another_run_goes_on_under_a_new_id() {
    let mut rig = Rig::new(&[]);
    rig.primary.go_on_from(NEXT_ID.to_owned(), 100, rig.now_ms);
    rig.write("new");
    rig.attach(5, NEXT_ID, 101);
    assert_eq!(rig.pull_all(5), format!("+CONTINUE {ID}\r\nnew"));
    rig.attach(6, NEXT_ID, 102);
    assert_eq!(rig.pull_all(6), "", "what it has is no part of the stream");
    assert_eq!(rig.primary.place(), (ID, 103));
}

#[test]
fn a_gap_ends_everything_that_was_known() {
    let mut rig = Rig::new(&[]);
    rig.attach(5, ID, 1);
    rig.write("some");
    assert_eq!(rig.primary.end(NEXT_ID.to_owned()), [5]);
    rig.primary.cut(5);
    assert_eq!(rig.pull(5), (Pulled::End, String::new()));
    assert!(rig.primary.is_cut(5));
    rig.primary.begin(rig.now_ms);
    rig.attach(6, ID, 5);
    assert_eq!(rig.pull_all(6), "");
    assert_eq!(rig.primary.place(), (NEXT_ID, 4));
}

#[test]
fn a_snapshot_that_fails_before_its_moment_is_made_anew() {
    let mut rig = Rig::new(&[]);
    rig.attach(5, "?", -1);
    rig.begin_sync();
    assert_eq!(rig.primary.sync_failed(1), [0; 0]);
    rig.begin_sync();
    rig.primary.feed(&Fed::Moment(2));
    rig.push("half");
    assert_eq!(rig.primary.sync_failed(2), [5], "it has been told of this one");
    assert_eq!(rig.push("more"), Pushed::Unwanted);
}

#[test]
fn a_snapshot_waits_for_its_slowest_replica_and_for_none_that_has_gone() {
    let mut rig = Rig::new(&[]);
    rig.attach(5, "?", -1);
    rig.attach(6, "?", -1);
    rig.begin_sync();
    rig.primary.feed(&Fed::Moment(1));
    let large = "x".repeat(5 << 20);
    assert_eq!((rig.push(&large), rig.push("y")), (Pushed::Taken, Pushed::Full));
    rig.pull_all(5);
    assert_eq!(rig.push("y"), Pushed::Full);
    rig.primary.forget(6, rig.now_ms);
    assert_eq!(rig.push("y"), Pushed::Taken);
    rig.primary.forget(5, rig.now_ms);
    assert_eq!(rig.push("y"), Pushed::Unwanted);
}

#[test]
fn who_wants_a_snapshot_alone_is_closed_behind_it() {
    let mut rig = Rig::new(&[]);
    let presented = Presented { is_rdb_only: true, takes_mark: true, ..Presented::default() };
    rig.attach_as(5, SyncRequest::All, presented);
    rig.begin_sync();
    rig.primary.feed(&Fed::Moment(1));
    rig.push("keys");
    rig.primary.sync_is_whole(1);
    assert_eq!(rig.pull_all(5), format!("$EOF:{MARK}\r\nkeys{MARK}"));
    assert_eq!(rig.pull(5).0, Pulled::End);
}

#[test]
fn who_wants_no_keys_follows_at_once() {
    let mut rig = Rig::new(&[]);
    let presented = Presented { is_without_data: true, ..Presented::default() };
    rig.attach_as(5, SyncRequest::All, presented);
    rig.write("after");
    assert_eq!(rig.pull_all(5), "$4\r\nstubafter");
}

#[test]
fn a_wait_ends_when_so_many_replicas_have_what_came_before_it() {
    let mut rig = Rig::new(&[]);
    rig.attach(5, ID, 1);
    rig.attach(6, ID, 1);
    rig.write("0123456789");
    rig.primary.feed(&Fed::Ask(9));
    let asked = rig.primary.place().1;
    rig.primary.feed(&Fed::Ask(8));
    assert_eq!(rig.primary.place().1, asked, "they were asked just now");
    let counts = |rig: &Rig| [9, 8, 7].map(|client| rig.primary.count_copies(client, false));
    assert_eq!(counts(&rig), [0, 0, 0]);
    rig.primary.acknowledge(5, 9, None, rig.now_ms);
    assert_eq!(counts(&rig), [0, 0, 0]);
    rig.primary.acknowledge(5, 10, None, rig.now_ms);
    assert_eq!(counts(&rig), [1, 1, 0]);
    assert!(!rig.primary.all_have_all());
    rig.primary.acknowledge(6, 10, Some(10), rig.now_ms);
    assert_eq!((counts(&rig), rig.primary.count_copies(9, true)), ([2, 2, 0], 1));
    assert!(rig.primary.all_have_all(), "the question itself need not have come");
    rig.write("more");
    assert!(!rig.primary.all_have_all());
    rig.primary.waits_no_more(9);
    assert_eq!(counts(&rig), [0, 2, 0]);
}

#[test]
fn a_replica_that_lags_too_much_or_for_too_long_is_closed() {
    let limit = ("client-output-buffer-limit", "replica 100 50 2");
    let mut rig = Rig::new(&[limit, ("repl-backlog-size", "20")]);
    rig.attach(5, ID, 1);
    rig.write(&"x".repeat(60));
    assert!(rig.tick().cut.is_empty());
    rig.now_ms += 2_001;
    assert_eq!(rig.tick().cut, [(5, Cut::Lags)]);
    rig.primary.forget(5, rig.now_ms);
    rig.attach(6, ID, 1);
    assert!(rig.tick().cut.is_empty());
    rig.write(&"x".repeat(60));
    assert_eq!(rig.tick().cut, [(6, Cut::Lags)]);
    let mut rig = Rig::new(&[limit, ("repl-backlog-size", "1000")]);
    rig.attach(6, ID, 1);
    rig.write(&"x".repeat(900));
    assert!(rig.tick().cut.is_empty(), "it could come back and ask for all of it");
}

/// As Valkey 9.1.2 tells it: the number of the first byte and how many there are make the offset.
#[test]
fn the_backlog_is_told_as_long_as_a_replica_that_lags_keeps_it() {
    let mut rig = Rig::new(&[
        ("repl-backlog-size", "16384"),
        ("client-output-buffer-limit", "replica 0 0 0"),
    ]);
    rig.attach(5, ID, 1);
    rig.write(&"x".repeat(200_000));
    rig.primary.trim(&rig.limits());
    let told = |rig: &Rig| {
        let figures = rig.primary.figures(&rig.limits(), rig.now_ms);
        assert_eq!(figures.first + figures.length, figures.offset);
        figures.length
    };
    assert_eq!(told(&rig), 200_000);
    rig.primary.forget(5, 0);
    rig.primary.trim(&rig.limits());
    assert!((16_384..40_000).contains(&told(&rig)), "{}", told(&rig));
}

#[test]
fn a_replica_that_is_silent_is_closed_and_hears_signs_of_life() {
    let mut rig = Rig::new(&[("repl-timeout", "20"), ("repl-ping-replica-period", "5")]);
    rig.attach(5, ID, 1);
    rig.now_ms = 6_000;
    assert!(rig.tick().is_ping_due);
    assert!(!rig.tick().is_ping_due);
    rig.primary.feed(&Fed::Ping);
    assert!(rig.pull_all(5).ends_with("*1\r\n$4\r\nPING\r\n"));
    rig.now_ms = 21_000;
    assert!(rig.tick().cut.is_empty());
    rig.now_ms = 21_001;
    assert_eq!(rig.tick().cut, [(5, Cut::Silent)]);
    rig.primary.hear(5, rig.now_ms);
    assert!(rig.tick().cut.is_empty());
}

#[test]
fn who_waits_for_a_snapshot_hears_a_sign_of_life_each_second() {
    let mut rig = Rig::new(&[]);
    rig.attach(5, "?", -1);
    rig.tick();
    assert_eq!(rig.pull_all(5), "");
    for _ in 0..3 {
        rig.now_ms += 1_000;
        rig.tick();
        rig.tick();
        assert_eq!(rig.pull_all(5), "\n");
    }
}

#[test]
fn the_stream_ends_some_time_after_the_last_replica_has_gone() {
    let mut rig = Rig::new(&[("repl-backlog-ttl", "10")]);
    rig.attach(5, ID, 1);
    rig.now_ms = 20_000;
    assert!(!rig.tick().ends);
    rig.primary.forget(5, rig.now_ms);
    rig.now_ms = 30_000;
    assert!(!rig.tick().ends);
    rig.now_ms = 30_001;
    assert!(rig.tick().ends);
    let mut rig = Rig::new(&[("repl-backlog-ttl", "0")]);
    rig.now_ms = u64::MAX;
    assert!(!rig.tick().ends);
}

#[test]
fn replicas_that_have_spoken_lately_are_good() {
    let mut rig = Rig::new(&[("min-replicas-max-lag", "2")]);
    rig.attach(5, ID, 1);
    rig.attach(6, "?", -1);
    let limits = rig.limits();
    assert_eq!(rig.primary.good(&limits, rig.now_ms + 2_999), 1);
    assert_eq!(rig.primary.good(&limits, rig.now_ms + 3_000), 0);
}

#[test]
fn writes_wait_for_a_replica_that_lags_while_it_gets_on() {
    let mut rig = Rig::new(&[
        ("repl-slow-writers", "yes"),
        ("repl-backlog-size", "10"),
        ("client-output-buffer-limit", "replica 100 60 60"),
    ]);
    let holds_up = |rig: &Rig| rig.primary.holds_up_writes(&rig.limits(), rig.now_ms);
    rig.attach(5, ID, 1);
    rig.pull_all(5);
    rig.write(&"x".repeat(30));
    assert!(!holds_up(&rig));
    rig.write("x");
    assert!(holds_up(&rig), "half of the lower limit");
    rig.write(&"x".repeat(90));
    assert_eq!(rig.primary.overdue(&rig.limits(), rig.now_ms), [], "it was on its way");
    rig.now_ms += STUCK_MS + 1;
    assert!(!holds_up(&rig), "it does not get on");
    assert_eq!(rig.primary.overdue(&rig.limits(), rig.now_ms), [5]);
    rig.primary.acknowledge(5, 1, None, rig.now_ms);
    assert!(holds_up(&rig));
    rig.now_ms += STUCK_MS + 1;
    rig.primary.acknowledge(5, 1, None, rig.now_ms);
    assert!(!holds_up(&rig), "it says only that it lives");
    rig.primary.acknowledge(5, 2, None, rig.now_ms);
    rig.pull_all(5);
    assert!(!holds_up(&rig));
    rig.settings.set("repl-slow-writers", &["no"]).expect("it is right");
    rig.write(&"x".repeat(31));
    assert!(!holds_up(&rig));
}
