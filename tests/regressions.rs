//! Bugs that the server had, a test and its story each. Those that need letters in a certain order
//! are in `src/shard/tests/regressions.rs`; what a test of a promise would notice has none of its
//! own.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::client::{Client, encode};
use crate::support::oracle::Oracle;
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

/// Clients counted only when their thread had taken them up. While the threads were busy a burst
/// passed `maxclients`, and `redis-benchmark -I` waited for a refusal that never came.
#[test]
fn a_burst_of_clients_does_not_pass_maxclients() {
    let server = Options::shards(2).debug().with("maxclients 20").start();
    let mut stalls = [server.client(), server.client()];
    for (shard, client) in stalls.iter_mut().enumerate() {
        client.line("PING");
        client.send(&["DEBUG", "STALL-SHARD", &shard.to_string(), "1000"]).unwrap();
    }
    let mut burst: Vec<Client> = (0..60).map(|_| server.client()).collect();
    let pong = Reply::Simple("PONG".into());
    let mut served = stalls.len();
    for client in &mut burst {
        // A refused client may find its socket closed before it has asked anything.
        drop(client.send(&["PING"]));
        served += usize::from(client.read().is_ok_and(|reply| reply == pong));
    }
    assert!(served <= 20, "{served} clients were let in");
}

/// The first command of a client could send a letter to a thread that did not know the others yet:
/// its shard panicked and the command was lost.
#[test]
fn the_first_command_may_need_all_shards() {
    let mut server = Options::shards(4).start();
    for round in 0..10 {
        server.kill();
        server.respawn();
        until("the first connection is answered", SOON, || {
            let Ok(mut client) = Client::connect(server.port) else { return false };
            let reply = client.call(&["MSET", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5"]);
            assert!(reply.is_ok(), "round {round}: {reply:?}");
            true
        });
        assert!(!server.log().contains("panic"), "round {round}");
    }
}

/// A client that sends and never reads was fed for ever before it had logged in: its replies, and
/// the connection, stayed.
#[test]
fn a_stranger_who_never_reads_is_closed() {
    let server = Options::shards(2).with("requirepass secret").start();
    let mut stranger = server.client();
    let batch = encode(&["PING"]).repeat(10_000);
    until("the stranger is closed", SOON, || stranger.send_raw(&batch).is_err());
    let mut client = server.client();
    client.line("AUTH secret");
    until("nothing is left of it", Duration::from_secs(10), || {
        client.line("CLIENT LIST").text().lines().count() == 1
    });
}

/// A deadline that had passed when it was set deleted its key or field, but nothing counted that as
/// expired; and CONFIG RESETSTAT took the changes since the last snapshot away as well.
#[test]
fn deadlines_that_have_passed_are_counted_as_expired() {
    let server = Options::shards(2).start();
    let mut client = server.client();
    let mut counted = |setup: &str, line: &str| {
        client.line(setup);
        client.line("CONFIG RESETSTAT");
        client.line(line);
        ["expired_keys", "expired_fields"].map(|field| client.info_number(field))
    };
    // As Valkey 9.1.2 counts.
    assert_eq!(counted("SET x 1", "EXPIRE x -1"), [1, 0]);
    assert_eq!(counted("SET x 1", "GETEX x EXAT 1"), [1, 0]);
    assert_eq!(counted("SET x 1", "SET x 2 PXAT 1"), [1, 0]);
    assert_eq!(counted("PING", "SET x 2 PXAT 1"), [0, 0]);
    assert_eq!(counted("HSET h f v", "HEXPIRE h 0 FIELDS 2 f g"), [0, 1]);
    assert_eq!(counted("HSET h f v", "HGETEX h EXAT 1 FIELDS 2 f g"), [0, 1]);
    assert_eq!(counted("HSET h f v", "HSETEX h EXAT 1 FIELDS 2 f x g x"), [0, 2]);
    assert_eq!(client.info_number("rdb_changes_since_last_save"), 12);
}

/// A number of INFO.
/// `lazyfreed_objects` was always 0.
#[test]
fn what_is_freed_bit_by_bit_is_counted() {
    let server = Options::shards(2).start();
    let mut client = server.client();
    let fields: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let call = [vec!["RPUSH".to_owned(), "list".to_owned()], fields].concat();
    client.call(&call);
    client.line("UNLINK list");
    until("it is freed", SOON, || client.info_number("lazyfreed_objects") == 1);
}

/// `instantaneous_ops_per_sec` and its relatives, `total_reads_processed`,
/// `total_writes_processed` and `acl_access_denied_auth` were always 0, and `used_memory_peak` was
/// the most that INFO had seen.
#[test]
fn traffic_and_the_peak_of_memory_are_told() {
    let server = Options::shards(2).start();
    let mut client = server.client();
    until("commands a second are told", SOON, || {
        (0..100).for_each(|_| drop(client.line("PING")));
        client.info_number("instantaneous_ops_per_sec") > 0
    });
    let reads = client.info_number("total_reads_processed");
    let writes = client.info_number("total_writes_processed");
    assert!(reads > 100 && writes > 100, "{reads} reads, {writes} writes");
    let rates = client.line("INFO stats").text();
    for field in ["instantaneous_input_kbps:0.00", "instantaneous_output_kbps:0.00"] {
        assert!(!rates.contains(field), "{rates}");
    }
    for _ in 0..3 {
        assert!(client.line("AUTH nobody secret").error().is_some());
    }
    assert_eq!(client.info_number("acl_access_denied_auth"), 3);
    let before = client.info_number("used_memory");
    until("a value is sampled that no INFO has seen", SOON, || {
        client.line("SETRANGE large 100000000 x");
        (0..100).for_each(|_| drop(client.line("PING")));
        client.line("DEL large");
        assert!(client.info_number("used_memory") < before + 50_000_000);
        client.info_number("used_memory_peak") > before + 90_000_000
    });
    client.line("CONFIG RESETSTAT");
    assert!(client.info_number("total_reads_processed") <= 1);
    assert_eq!(client.info_number("acl_access_denied_auth"), 3, "as Valkey 9.1.2 keeps it");
    until("silence is told", SOON, || client.info_number("instantaneous_ops_per_sec") < 20);
}

/// `rustc_version` was not the compiler's but the oldest one that is enough, and had two numbers:
/// the tests of redis-rs take every field of that ending for a version of three.
#[test]
fn versions_in_info_have_three_numbers() {
    let server = Options::shards(1).start();
    let text = server.client().line("INFO everything").text();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let versions: Vec<_> = fields.filter(|(name, _)| name.ends_with("_version")).collect();
    assert!(versions.iter().any(|(name, _)| *name == "redis_version"), "{text}");
    for (name, version) in versions {
        let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
        assert!(numbers.len() == 3 && numbers.iter().all(Result::is_ok), "{name}:{version}");
    }
}

/// WAIT was documented among the commands about connections.
#[test]
fn commands_are_documented_in_the_groups_of_valkey() {
    let Some(valkey) = Oracle::Valkey.start() else { return };
    let theirs = groups(&valkey);
    let ours = groups(&Options::shards(1).start());
    let shared = ours.iter().filter(|(name, _)| theirs.contains_key(*name));
    let different: Vec<_> = shared.filter(|(name, group)| theirs[*name] != **group).collect();
    assert!(different.is_empty(), "{different:?}");
    assert!(ours.len() > 200 && theirs.contains_key("waitaof"), "hardly anything was compared");
}

/// The group of each command in its documentation.
fn groups(server: &Server) -> BTreeMap<String, String> {
    let docs = server.client().line("COMMAND DOCS");
    let group = |fields: &Reply| {
        let fields = fields.members().chunks(2);
        fields.filter(|field| field[0].text() == "group").map(|field| field[1].text()).collect()
    };
    docs.members().chunks(2).map(|command| (command[0].text(), group(&command[1]))).collect()
}
