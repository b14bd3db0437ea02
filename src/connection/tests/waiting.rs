//! Clients that wait.

use super::*;
use crate::parked::Outcome;
use crate::parked::Why;

#[test]
fn what_is_read_of_a_client_that_waits_has_a_bound_and_runs_behind_the_wait() {
    let mut client = Client::new();
    client.send("BLPOP k 0\r\n");
    let pings = 400_000;
    assert_eq!(client.send("PING\r\n".repeat(pings)), None);
    assert!(client.input_most < 400_000, "{} bytes were held", client.input_most);
    assert!(!client.connection.may_read() && !client.sent.is_empty());
    assert_eq!(client.said(), "");
    client.store.run("RPUSH k a");
    let served = client.store.shard.take_served();
    served.into_iter().for_each(|served| client.connection.wait_ended(served.outcome));
    assert_eq!(client.run(), None);
    assert_eq!(client.said(), format!("*2\r\n$1\r\nk\r\n$1\r\na\r\n{}", "+PONG\r\n".repeat(pings)));
}

#[test]
fn who_sends_no_more_is_not_waited_with() {
    let mut client = Client::new();
    client.send("BLPOP k 0\r\nPING\r\n");
    client.has_ended = true;
    assert_eq!(client.run(), Some(Reason::Done));
    drop(client.connection);
    client.store.run("RPUSH k a");
    assert!(client.store.shard.take_served().is_empty());
    assert_eq!(client.store.run("LLEN k"), "(integer) 1");
}

#[test]
fn an_outcome_may_come_ahead_of_the_batch() {
    let mut client = Client::new();
    client.stays_away = true;
    client.send("BLPOP k 0\r\nPING\r\n");
    client.connection.wait_ended(Outcome::TimedOut);
    assert_eq!(client.run(), None);
    client.stays_away = false;
    client.let_home();
    assert_eq!(client.run(), None);
    assert_eq!(client.said(), "*-1\r\n+PONG\r\n");
}

#[test]
fn a_wait_ends_with_its_time_and_once() {
    let mut client = Client::new();
    client.send("BLPOP k 0.5\r\n");
    let until = client.waits_until.expect("it ends by itself");
    assert_eq!(until, START.saturating_add(500));
    client.connection.time_is_over(until.saturating_add(-1));
    assert!(client.connection.is_waiting());
    client.connection.time_is_over(until);
    assert!(!client.connection.is_waiting() && !client.connection.unblock(Why::Asked));
    assert_eq!(client.run(), None);
    assert_eq!(client.said(), "*-1\r\n");
    client.store.run("RPUSH k a");
    assert_eq!(client.store.run("LLEN k"), "(integer) 1");
}

#[test]
fn whoever_was_served_is_not_ended_by_time() {
    let mut client = Client::new();
    client.send("BLPOP k 0.5\r\n");
    client.store.run("RPUSH k a");
    client.connection.time_is_over(START.saturating_add(1_000));
    assert!(client.connection.is_waiting(), "what it was served with is on its way");
    assert!(!client.connection.unblock(Why::Asked));
    let served = client.store.shard.take_served();
    served.into_iter().for_each(|served| client.connection.wait_ended(served.outcome));
    client.run();
    assert_eq!(client.said(), "*2\r\n$1\r\nk\r\n$1\r\na\r\n");
}

#[test]
fn a_client_that_waits_keeps_no_buffers() {
    let mut client = Client::new();
    client.send("SET x 1\r\nBLPOP k 0\r\nGET x\r\n");
    client.connection.rest(&mut client.pool);
    assert_eq!(client.pool.len(), [1, 0, 1], "both buffers are back");
    client.store.run("RPUSH k a");
    let served = client.store.shard.take_served();
    served.into_iter().for_each(|served| client.connection.wait_ended(served.outcome));
    client.run();
    assert_eq!(client.said(), "+OK\r\n*2\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\n1\r\n");
}
