//! Histories that keep their promises, and those that do not.

use super::*;

/// A history in which these calls of connections ran, in this order, on one shard.
fn after(calls: &[(u64, &str)]) -> History {
    let mut history = History::new(Model::default(), 1);
    for (connection, line) in calls {
        history.sent(*connection, &[Call::of(line)]);
        ran(&mut history, *connection, line, Ended::Ran);
    }
    assert_eq!(history.broken, None);
    history
}

fn ran(history: &mut History, connection: u64, line: &str, ended: Ended) {
    tell(history, connection, line, ended, "x", false);
}

fn tell(
    history: &mut History,
    connection: u64,
    line: &str,
    ended: Ended,
    effects: &str,
    has_waited: bool,
) {
    let (raw, effects) = (&Call::of(line).encoded()[..], effects.as_bytes());
    let now = history.now;
    let told = Told { shard: 0, connection, raw, now, ended, error: None, effects, has_waited };
    history.ran(told);
}

/// As `after`, with a transaction of connection 1 in which these lines are queued.
fn queued(calls: &[(u64, &str)], lines: &[&str]) -> History {
    let mut history = after(calls);
    history.sent(1, &[Call::of("MULTI")]);
    ran(&mut history, 1, "MULTI", Ended::Ran);
    for line in lines {
        history.sent(1, &[Call::of(line)]);
        history.queued(1, &Call::of(line).encoded());
    }
    history.sent(1, &[Call::of("EXEC")]);
    history
}

#[test]
fn exec_is_answered_with_what_it_ran() {
    let mut history = queued(&[(2, "SET a 1")], &["GET a", "INCR a"]);
    for line in ["GET a", "INCR a", "EXEC"] {
        ran(&mut history, 1, line, Ended::Ran);
    }
    assert_eq!(history.broken, None);
    let replies = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n1\r\n:2\r\n";
    assert_eq!(history.left(1, replies), Ok(4));
}

#[test]
fn nobody_runs_in_the_middle_of_a_transaction() {
    let mut history = queued(&[], &["INCR a", "INCR b"]);
    history.sent(2, &[Call::of("INCR c")]);
    ran(&mut history, 1, "INCR a", Ended::Ran);
    ran(&mut history, 2, "INCR c", Ended::Ran);
    assert!(history.broken.is_some());
    let mut history = queued(&[], &["INCR a", "INCR b"]);
    ran(&mut history, 1, "INCR a", Ended::Ran);
    ran(&mut history, 1, "EXEC", Ended::Ran);
    assert!(history.broken.is_some(), "one has not run");
}

#[test]
fn a_transaction_that_panics_has_no_effect() {
    let mut history = queued(&[(2, "SET a 1")], &["INCR a", "INCR b"]);
    ran(&mut history, 1, "INCR a", Ended::Ran);
    ran(&mut history, 1, "EXEC", Ended::Panicked("BAD".to_owned()));
    history.sent(2, &[Call::of("INCR a")]);
    ran(&mut history, 2, "INCR a", Ended::Ran);
    assert!(history.left(2, b"+OK\r\n:2\r\n").is_ok());
}

#[test]
fn exec_fails_if_and_only_if_a_watched_key_has_changed() {
    for (others, is_to_fail) in [(&["SET b 1"][..], false), (&["SET a 1"], true)] {
        for fails in [false, true] {
            let mut history = after(&[(1, "WATCH a")]);
            history.sent(2, &[Call::of(others[0])]);
            ran(&mut history, 2, others[0], Ended::Ran);
            for line in ["MULTI", "INCR c", "EXEC"] {
                history.sent(1, &[Call::of(line)]);
            }
            ran(&mut history, 1, "MULTI", Ended::Ran);
            history.queued(1, &Call::of("INCR c").encoded());
            if !fails {
                ran(&mut history, 1, "INCR c", Ended::Ran);
            }
            ran(&mut history, 1, "EXEC", Ended::Ran);
            assert_eq!(history.broken.is_none(), fails == is_to_fail, "{others:?} {fails}");
        }
    }
}

/// Connection 1 waits for a list.
fn waiting() -> History {
    let mut history = History::new(Model::default(), 1);
    history.sent(1, &[Call::of("BLPOP l k 0.1")]);
    history.waits(1, &Call::of("BLPOP l k 0.1").encoded(), 0);
    history.sent(2, &[Call::of("LPUSH k a"), Call::of("GET x")]);
    history
}

const POPPED: &str = "*2\r\n$4\r\nLPOP\r\n$1\r\nk\r\n";

#[test]
fn who_waits_is_served_ahead_of_what_comes_next() {
    let mut history = waiting();
    ran(&mut history, 2, "LPUSH k a", Ended::Ran);
    tell(&mut history, 1, "BLPOP l k 0.1", Ended::Ran, POPPED, true);
    ran(&mut history, 2, "GET x", Ended::Ran);
    assert_eq!(history.broken, None);
    assert!(history.left(1, b"*2\r\n$1\r\nk\r\n$1\r\na\r\n").is_ok());
    let mut history = waiting();
    ran(&mut history, 2, "LPUSH k a", Ended::Ran);
    ran(&mut history, 2, "GET x", Ended::Ran);
    assert!(history.broken.is_some(), "it was not served");
}

#[test]
fn a_wait_ends_once_and_not_for_a_client_that_has_gone() {
    for is_gone in [false, true] {
        let mut history = waiting();
        ran(&mut history, 2, "LPUSH k a", Ended::Ran);
        if is_gone {
            history.closed(1, true);
        } else {
            tell(&mut history, 1, "BLPOP l k 0.1", Ended::Ran, POPPED, true);
        }
        assert_eq!(history.broken, None);
        history.sent(1, &[Call::of("BLPOP l k 0.1")]);
        tell(&mut history, 1, "BLPOP l k 0.1", Ended::Ran, POPPED, true);
        assert!(history.broken.is_some(), "{is_gone}");
    }
}

#[test]
fn a_wait_times_out_in_its_time_and_when_there_is_nothing() {
    for (now, is_pushed, is_fine) in [(100, false, true), (99, false, false), (100, true, false)] {
        let mut history = waiting();
        if is_pushed {
            ran(&mut history, 2, "LPUSH k a", Ended::Ran);
        }
        history.now = now;
        tell(&mut history, 1, "BLPOP l k 0.1", Ended::Ran, "", true);
        assert_eq!(history.broken.is_none(), is_fine, "{now} {is_pushed}");
    }
}

#[test]
fn what_has_nothing_waits() {
    let mut history = after(&[(1, "LPUSH l a")]);
    history.sent(1, &[Call::of("BLPOP l 1"), Call::of("BLPOP k 1")]);
    history.waits(1, &Call::of("BLPOP l 1").encoded(), 0);
    assert!(history.broken.is_some(), "there is something");
    let mut history = after(&[(1, "GET a")]);
    history.sent(1, &[Call::of("BLPOP k 1")]);
    tell(&mut history, 1, "BLPOP k 1", Ended::Ran, "", false);
    assert!(history.broken.is_some(), "it has not waited");
}

#[test]
fn a_reply_must_be_what_the_order_gives() {
    let calls = [(1, "SET a 1"), (2, "GET a")];
    assert_eq!(after(&calls).left(2, b"$1\r\n1\r\n"), Ok(1));
    assert!(after(&calls).left(2, b"$-1\r\n").is_err(), "it was written before");
    assert!(after(&calls).left(2, b"$1\r\n1\r\n$1\r\n1\r\n").is_err(), "one too many");
}

#[test]
fn a_call_of_several_keys_is_seen_whole() {
    let calls = [(1, "MSET a 1 b 1"), (2, "MGET a b")];
    assert!(after(&calls).left(2, b"*2\r\n$1\r\n1\r\n$-1\r\n").is_err());
    assert!(after(&calls).left(2, b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n").is_ok());
}

#[test]
fn calls_of_a_connection_run_in_their_order_and_once() {
    let mut history = History::new(Model::default(), 1);
    history.sent(1, &[Call::of("SET a 1"), Call::of("SET b 1")]);
    ran(&mut history, 1, "SET b 1", Ended::Ran);
    assert!(history.broken.is_some(), "the other is first");
    let mut history = after(&[(1, "INCR a")]);
    ran(&mut history, 1, "INCR a", Ended::Ran);
    assert!(history.broken.is_some(), "it ran before");
}

#[test]
fn no_reply_comes_before_its_call_ran() {
    let mut history = History::new(Model::default(), 1);
    history.sent(1, &[Call::of("INCR a")]);
    assert!(history.left(1, b":1\r\n").is_err());
}

#[test]
fn what_is_refused_or_panics_has_no_effect() {
    for ended in [Ended::Refused("BAD".to_owned()), Ended::Panicked("BAD".to_owned())] {
        let mut history = after(&[(1, "SET a 1")]);
        history.sent(1, &[Call::of("SET a 2"), Call::of("GET a")]);
        ran(&mut history, 1, "SET a 2", ended);
        ran(&mut history, 1, "GET a", Ended::Ran);
        assert!(history.left(1, b"+OK\r\n-BAD\r\n$1\r\n2\r\n").is_err());
    }
}

#[test]
fn a_key_expires_when_its_time_has_come() {
    let mut history = after(&[(1, "SET x 1 PX 10")]);
    history.now = 9;
    history.expired(0, "x");
    assert!(history.broken.is_some());
    let mut history = after(&[(1, "SET x 1 PX 10")]);
    history.now = 10;
    history.expired(0, "x");
    assert_eq!(history.broken, None);
}

#[test]
fn a_key_that_expired_while_a_call_panicked_is_there_again() {
    let mut history = after(&[(1, "SET x 1 PX 10")]);
    history.now = 10;
    history.expired(0, "x");
    history.sent(1, &[Call::of("SET x 2")]);
    ran(&mut history, 1, "SET x 2", Ended::Panicked("BAD".to_owned()));
    assert_eq!(history.model.entries.len(), 1);
}
