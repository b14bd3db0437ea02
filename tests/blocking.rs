//! Clients that wait for keys: what they cost, what is told of them, and that nothing is lost with
//! those that go. What they are answered stands in the dialogues of `tests/scripts/blocking`.

use std::time::Duration;

use crate::support::allow_many_files;
use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

/// Clients that wait at the same time.
const MANY: usize = 10_000;

/// Bytes that a client which waits may cost, its socket's part in the server included.
const BYTES_MAX: u64 = 6 * 1024;

fn blocked(client: &mut Client) -> usize {
    let info = client.line("INFO clients").text();
    let field = info.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
    field.expect("INFO has blocked_clients").trim().parse().unwrap()
}

/// Waits until so many clients wait.
pub fn until_blocked(client: &mut Client, count: usize) {
    until(&format!("{count} clients wait"), SOON, || blocked(client) == count);
}

#[test]
fn ten_thousand_clients_that_wait_cost_little_and_do_nothing() {
    allow_many_files();
    let server = Options::shards(2).with("maxclients 10100").start();
    let mut asking = server.client();
    let mut waiting: Vec<Client> = (0..MANY).map(|_| server.client()).collect();
    waiting.iter_mut().for_each(|client| assert_eq!(client.line("PING").text(), "PONG"));
    let idle = server.rss_bytes();
    for (number, client) in waiting.iter_mut().enumerate() {
        client.send(&["BLPOP", &format!("k{number}"), "0"]).unwrap();
    }
    until_blocked(&mut asking, MANY);
    let each = server.rss_bytes().saturating_sub(idle) / MANY as u64;
    let before = server.cpu();
    let end = std::time::Instant::now() + Duration::from_secs(2);
    until("two seconds of waiting", SOON, || std::time::Instant::now() >= end);
    let used = server.cpu().saturating_sub(before);
    println!("{each} bytes each, {used:?} of CPU time in two seconds");
    assert!(each <= BYTES_MAX, "{each} bytes each");
    assert!(used < Duration::from_millis(200), "{used:?} of CPU time in two seconds");
    // All of them are served.
    for number in 0..MANY {
        asking.send(&["RPUSH", &format!("k{number}"), "v"]).unwrap();
    }
    (0..MANY).for_each(|_| drop(asking.read().unwrap()));
    for (number, client) in waiting.iter_mut().enumerate() {
        assert_eq!(client.read().unwrap().members()[0].text(), format!("k{number}"));
    }
    assert_eq!((blocked(&mut asking), asking.line("DBSIZE").number()), (0, Some(0)));
}

/// A client ends, by a reset or in order, while others push: whatever was pushed is either still
/// there or was on its way to a client that was there.
#[test]
fn nothing_is_lost_with_clients_that_go() {
    for (shards, journal) in [(1, None), (2, None), (2, Some("always"))] {
        let options = Options::shards(shards);
        let server = journal.map_or(options.clone(), |fsync| options.journal(fsync)).start();
        let mut asking = server.client();
        for round in 0..100 {
            let mut going = server.client();
            going.send(&["BLPOP", "k", "0"]).unwrap();
            until_blocked(&mut asking, 1);
            match round % 2 {
                0 => going.reset(),
                _ => drop(going),
            }
            until_blocked(&mut asking, 0);
            assert_eq!(asking.line("RPUSH k v").number(), Some(1), "{shards} shards");
            assert_eq!(asking.line("LPOP k").text(), "v");
        }
        // Half of a request is no wait.
        let mut half = server.client();
        half.send_raw(b"*3\r\n$5\r\nBLPOP\r\n$1\r\nk\r\n$1\r\n").unwrap();
        assert_eq!(asking.line("RPUSH k v").number(), Some(1));
        half.reset();
        assert_eq!(asking.line("LPOP k").text(), "v");
    }
}

/// What the server tells of waits: MONITOR when they begin, SLOWLOG and commandstats when they are
/// over. Valkey tells the same.
fn told(server: &Server) -> String {
    let (mut asking, mut waiting, mut monitor) =
        (server.client(), server.client(), server.client());
    for line in ["CONFIG SET slowlog-log-slower-than 0", "CONFIG RESETSTAT", "SLOWLOG RESET"] {
        assert!(asking.line(line).is_ok(), "{line}");
    }
    assert!(monitor.line("MONITOR").is_ok());
    waiting.line("BLPOP k 0.01");
    waiting.send(&["BLPOP", "k", "0"]).unwrap();
    until_blocked(&mut asking, 1);
    asking.line("RPUSH k a");
    waiting.read().unwrap();
    waiting.line("BLPOP s 0.01");
    waiting.send(&["BLMOVE", "k", "s", "LEFT", "LEFT", "0"]).unwrap();
    until_blocked(&mut asking, 1);
    asking.line("MULTI");
    asking.line("SET s x");
    asking.line("RPUSH k b");
    asking.line("EXEC");
    waiting.read().unwrap();
    asking.line("ECHO end");
    let mut lines = Vec::new();
    loop {
        let line = monitor.read().unwrap().text();
        let words = line.split_once("] ").map(|(_, words)| words.to_owned()).unwrap_or_default();
        if words == "\"ECHO\" \"end\"" {
            break;
        }
        lines.extend(Some(words).filter(|words| words.contains("BL") || words.contains("PUSH")));
    }
    let stats = asking.line("INFO commandstats").text();
    // Valkey lists commands in no order.
    let mut stats: Vec<&str> =
        stats.lines().filter(|line| line.starts_with("cmdstat_bl")).collect();
    stats.sort_unstable();
    for line in stats {
        let parts: Vec<&str> =
            line.split([':', ',']).filter(|part| !part.contains("usec")).collect();
        lines.push(parts.join(" "));
    }
    lines.push(asking.line("INFO errorstats").text().replace('\r', ""));
    let log = asking.line("SLOWLOG GET 100");
    let waits = log.members().iter().filter_map(|entry| {
        let (micros, words) = (entry.members()[2].number()?, entry.members()[3].members());
        let words: Vec<String> = words.iter().map(|word| word.text()).collect();
        let is_wait = words[0].starts_with("BL");
        is_wait.then(|| format!("{} {}", words.join(" "), micros < 5_000))
    });
    lines.extend(waits);
    lines.join("\n")
}

#[test]
fn a_wait_is_told_of_as_valkey_tells_of_it() {
    let Some(valkey) = Oracle::Valkey.start() else { return };
    let expected = told(&valkey);
    for shards in [1, 2] {
        assert_eq!(told(&Options::shards(shards).start()), expected, "{shards} shards");
    }
}

#[test]
fn who_waits_is_not_idle() {
    let server = Options::shards(2).with("timeout 1").start();
    let mut waiting = server.client();
    waiting.send(&["BLPOP", "k", "3"]).unwrap();
    assert_eq!(waiting.read().unwrap().printed(), "(nil)", "it is there when its time is over");
}

#[test]
fn waitaof_waits_for_the_journal() {
    for (shards, fsync) in [(1, "everysec"), (2, "everysec"), (2, "always")] {
        let server = Options::shards(shards).journal(fsync).start();
        let mut client = server.client();
        for number in 0..3 {
            assert!(client.line(&format!("SET k{number} v")).is_ok());
            let copies = client.line("WAITAOF 1 0 0");
            let numbers: Vec<_> = copies.members().iter().map(|copy| copy.number()).collect();
            assert_eq!(numbers, [Some(1), Some(0)], "{shards} shards, {fsync}");
        }
        let id = client.line("CLIENT ID").number().unwrap();
        client.send(&["WAIT", "1", "0"]).unwrap();
        let mut asking = server.client();
        until_blocked(&mut asking, 1);
        assert_eq!(asking.line(&format!("CLIENT UNBLOCK {id}")).number(), Some(1));
        assert_eq!(client.read().unwrap().number(), Some(0));
    }
}
