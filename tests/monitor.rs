//! MONITOR: every command as a line, in the order of each connection, over all shards, and nothing
//! under `always` that could still be lost.

use crate::support::client::Client;
use crate::support::replicated::{patient, wait_up};
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

/// Commands in one pipeline.
const COMMANDS: usize = 200;

fn monitor(server: &Server) -> Client {
    let mut monitor = server.client();
    assert_eq!(monitor.line("MONITOR"), Reply::Simple("OK".to_owned()));
    monitor
}

/// The words of the next line.
fn next(monitor: &mut Client) -> String {
    let Reply::Simple(line) = monitor.read().unwrap() else { panic!("a line is a simple string") };
    line.split_once("] ").unwrap().1.to_owned()
}

fn pipeline() -> Vec<Vec<String>> {
    let set = |number: usize| ["SET", &format!("k{number}"), "v"].map(String::from).to_vec();
    (0..COMMANDS).map(set).collect()
}

#[test]
fn a_monitor_sees_the_commands_of_a_connection_in_their_order() {
    for (shards, journal) in [(1, None), (4, None), (1, Some("always")), (4, Some("always"))] {
        let options = Options::shards(shards);
        let server = journal.map_or(options.clone(), |fsync| options.journal(fsync)).start();
        let mut monitors = [monitor(&server), monitor(&server), monitor(&server)];
        let mut client = server.client();
        client.pipeline(&pipeline()).unwrap();
        for monitor in &mut monitors {
            for number in 0..COMMANDS {
                assert_eq!(next(monitor), format!("\"SET\" \"k{number}\" \"v\""));
            }
        }
    }
}

/// Valkey 9.1.2 and Redis 7.0.15 do the same.
#[test]
fn a_monitor_sees_each_of_its_own_commands_behind_the_reply() {
    for shards in [1, 2, 4] {
        let server = Options::shards(shards).start();
        let mut monitor = monitor(&server);
        for words in [&["PING"][..], &["CLIENT", "REPLY", "SKIP"], &["GET", "a"], &["ECHO", "b"]] {
            monitor.send(words).unwrap();
        }
        assert_eq!(monitor.read().unwrap(), Reply::Simple("PONG".to_owned()));
        assert_eq!(next(&mut monitor), "\"PING\"");
        assert_eq!(next(&mut monitor), "\"CLIENT\" \"REPLY\" \"SKIP\"");
        assert_eq!(monitor.read().unwrap(), Reply::Bulk(b"b".to_vec()));
        assert_eq!(next(&mut monitor), "\"ECHO\" \"b\"");
    }
}

/// Valkey 9.1.2 and Redis 7.0.15 do the same.
#[test]
fn a_monitor_sees_what_is_queued_when_it_runs_and_exec_behind_it() {
    for shards in [1, 2, 4] {
        let server = Options::shards(shards).start();
        let mut monitor = monitor(&server);
        let mut client = server.client();
        let lines = [
            "WATCH a",
            "MULTI",
            "SET a 1",
            "NOPE",
            "EXEC",
            "MULTI",
            "SET a 2",
            "DISCARD",
            "WATCH a",
            "SET a 3",
            "MULTI",
            "GET a",
            "EXEC",
            "MULTI",
            "MSET a 4 b 5",
            "CONFIG GET hz",
            "SELECT 1",
            "LPOP a b",
            "EXEC",
        ];
        lines.iter().for_each(|line| drop(client.line(line)));
        let seen = [
            r#""WATCH" "a""#,
            r#""MULTI""#,
            r#""EXEC""#,
            r#""MULTI""#,
            r#""DISCARD""#,
            r#""WATCH" "a""#,
            r#""SET" "a" "3""#,
            r#""MULTI""#,
            r#""EXEC""#,
            r#""MULTI""#,
            r#""MSET" "a" "4" "b" "5""#,
            r#""SELECT" "1""#,
            r#""LPOP" "a" "b""#,
            r#""EXEC""#,
        ];
        seen.iter().for_each(|line| assert_eq!(next(&mut monitor), *line));
    }
}

#[test]
fn a_monitor_that_has_left_sees_nothing() {
    let server = Options::shards(2).start();
    let mut monitor = monitor(&server);
    assert_eq!(monitor.line("RESET"), Reply::Simple("RESET".to_owned()));
    let mut sees_nothing = || {
        server.client().line("PING");
        monitor.send(&["ECHO", "mark"]).unwrap();
        let mark = Reply::Bulk(b"mark".to_vec());
        std::iter::from_fn(|| monitor.read().ok().filter(|reply| *reply != mark)).count() == 0
    };
    until("MONITOR ends", SOON, &mut sees_nothing);
    assert!(sees_nothing());
}

#[test]
fn under_always_what_a_monitor_has_seen_outlasts_a_kill() {
    let mut server = Options::shards(2).journal("always").start();
    let mut monitor = monitor(&server);
    let mut client = server.client();
    pipeline().iter().for_each(|words| client.send(words).unwrap());
    let seen = (0..COMMANDS / 2).map(|_| next(&mut monitor)).last().unwrap();
    server.kill();
    server.restart();
    let key = seen.split('"').nth(3).unwrap();
    assert_eq!(server.client().line(&format!("GET {key}")), Reply::Bulk(b"v".to_vec()));
}

/// A replica carries out together what comes together. The transaction for that is nobody's.
#[test]
fn a_monitor_of_a_replica_sees_what_its_primary_has_sent() {
    for shards in [1, 2, 4] {
        let primary = patient(Options::shards(2)).start();
        let options = patient(Options::shards(shards));
        let replica = options.with(&format!("replicaof 127.0.0.1 {}", primary.port)).start();
        wait_up(&replica);
        let mut monitor = monitor(&replica);
        primary.client().pipeline(&pipeline()).unwrap();
        for number in 0..COMMANDS {
            let is_other = |line: &String| line.contains("SELECT") || line.contains("PING");
            let line = std::iter::repeat_with(|| next(&mut monitor)).find(|line| !is_other(line));
            assert_eq!(line.unwrap(), format!("\"SET\" \"k{number}\" \"v\""));
        }
        let counted = replica.client().line("INFO commandstats").text();
        assert!(counted.contains(&format!("cmdstat_set:calls={COMMANDS},")), "{counted}");
        assert!(!counted.contains("cmdstat_multi") && !counted.contains("cmdstat_exec"));
    }
}
