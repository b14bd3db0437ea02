//! Troupe as the primary of stock replicas: full syncs under load, links that are cut, waits for
//! replicas, restarts, and the tools that come as replicas.
//!
//! `TROUPE_SEED` replays a load.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::spawn;

use crate::support::client::Client;
use crate::support::oracle::{Oracle, on_path};
use crate::support::played::Played;
use crate::support::replicated::{LATER, under_writes, wait_equal, wait_online, wait_up};
use crate::support::seed;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

fn primary(shards: usize) -> Options {
    // What is written while a link is cut fits into the backlog, however slow the machine is.
    let options = Options::shards(shards).debug().with("repl-backlog-size 256mb");
    options.with("repl-diskless-sync-delay 0").with("client-output-buffer-limit replica 0 0 0")
}

/// A replica of this server, where that program is here.
fn replica_of(primary: &Server, oracle: Oracle) -> Option<Server> {
    let options = oracle.options()?;
    Some(options.with(&format!("replicaof 127.0.0.1 {}", primary.port)).start())
}

/// A full sync under load by each way, and links that are cut under load.
fn follows(oracle: Oracle, shards: usize) {
    let seed = seed("a_stock_replica_follows");
    let primary = primary(shards).start();
    let mut client = primary.client();
    // A value that is saved in pieces.
    client.line("DEBUG POPULATE 1000 filler 100");
    for number in 0..5_000 {
        client.line(&format!("HSET large f{number} {number}"));
    }
    let Some(replica) = under_writes(&primary, seed, || {
        let replica = replica_of(&primary, oracle)?;
        wait_online(&primary, 1);
        for _ in 0..3 {
            let mut killer = primary.client();
            wait_up(&replica);
            // It has got some of the stream, so that it knows where to go on.
            killer.line("SET marker 1");
            assert_eq!(killer.line("WAIT 1 60000").printed(), "(integer) 1");
            let listed = killer.line("CLIENT LIST").text();
            let killed = killer.line("CLIENT KILL TYPE replica").printed();
            assert_eq!(killed, "(integer) 1", "{listed}\n{}", killer.line("CLIENT LIST").text());
            until("it is back", LATER, || killer.line("ROLE").printed().contains("127.0.0.1"));
        }
        Some(replica)
    }) else {
        return;
    };
    wait_equal(&primary, &replica);
    let (full, partial) = (client.info_number("sync_full"), client.info_number("sync_partial_ok"));
    assert_eq!(full + partial, 4);
    // Redis 8 forgets where it was when its link is cut while it flushes.
    assert!(partial == 3 || oracle == Oracle::Redis8, "{partial} of 3 links went on");
    // By a file.
    client.line("CONFIG SET repl-diskless-sync no");
    let Some(second) = under_writes(&primary, seed + 1, || replica_of(&primary, oracle)) else {
        return;
    };
    wait_online(&primary, 2);
    wait_equal(&primary, &replica);
    wait_equal(&primary, &second);
    let left = std::fs::read_dir(primary.folder()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().starts_with("temp-")),
        "nothing stays of the snapshot: {left:?}"
    );
}

#[test]
fn valkey_follows_one_shard() {
    follows(Oracle::Valkey, 1);
}

#[test]
fn valkey_follows_four_shards() {
    follows(Oracle::Valkey, 4);
}

#[test]
fn redis_7_follows_two_shards() {
    follows(Oracle::Redis, 2);
}

#[test]
fn redis_8_follows_four_shards() {
    follows(Oracle::Redis8, 4);
}

/// Deadlines of elements: those of fields as each replica can load them; where it cannot, the
/// stream says when they are over.
#[test]
fn elements_with_deadlines_end_at_replicas_too() {
    for oracle in [Oracle::Valkey, Oracle::Redis, Oracle::Redis8] {
        let primary = primary(2).start();
        let mut client = primary.client();
        client.line("HSET h a 1 b 2 c 3");
        client.line("HPEXPIRE h 100000000 FIELDS 1 a");
        client.line("HPEXPIRE h 3000 FIELDS 1 b");
        client.line("SADD s x y");
        client.line("SPEXPIRE s 3000 MEMBERS 1 x");
        let Some(replica) = replica_of(&primary, oracle) else { continue };
        wait_online(&primary, 1);
        let mut there = replica.client();
        until("they are over", SOON, || {
            there.line("HKEYS h").printed().matches('"').count() == 4
                && there.line("SMEMBERS s").printed() == "1) \"y\""
        });
        if oracle != Oracle::Redis {
            let time = there.line("HPEXPIRETIME h FIELDS 1 a").printed();
            assert_eq!(time, client.line("HPEXPIRETIME h FIELDS 1 a").printed(), "{oracle:?}");
        }
    }
}

#[test]
fn the_journal_comes_and_goes_without_a_break_in_the_stream() {
    let primary = primary(2).start();
    let Some(replica) = replica_of(&primary, Oracle::Valkey) else { return };
    wait_online(&primary, 1);
    under_writes(&primary, seed("the_journal_comes_and_goes"), || {
        let mut client = primary.client();
        for line in [
            "CONFIG SET appendonly yes",
            "CONFIG SET appendfsync always",
            "CONFIG SET appendonly no",
            "CONFIG SET appendonly yes",
            "BGREWRITEAOF",
        ] {
            let reply = client.line(line).printed();
            assert!(!reply.contains("error"), "{line}: {reply}");
        }
        until("it is rewritten", LATER, || client.info("aof_rewrite_in_progress") == "0");
        client.line("DEBUG PANIC-SHARD 1");
    });
    wait_equal(&primary, &replica);
    let mut client = primary.client();
    assert_eq!(client.info_number("sync_full"), 1, "the replica has not noticed");
    let before = client.line("DEBUG DIGEST");
    client.line("DEBUG LOADAOF");
    assert_eq!(client.line("DEBUG DIGEST"), before);
}

#[test]
fn who_waits_for_replicas_hears_how_many_have_it() {
    let primary = primary(2).start();
    let Some(replica) = replica_of(&primary, Oracle::Valkey) else { return };
    wait_online(&primary, 1);
    let mut client = primary.client();
    client.line("SET k v");
    assert_eq!(client.line("WAIT 1 60000").printed(), "(integer) 1");
    assert_eq!(client.line("WAIT 2 10").printed(), "(integer) 1");
    assert_eq!(replica.client().line("GET k").printed(), "\"v\"");
    replica.client().line("CONFIG SET appendonly yes");
    client.line("SET k w");
    let both = client.line("WAITAOF 0 1 60000").printed();
    assert_eq!(both, "1) (integer) 0\n2) (integer) 1");
    replica.signal("STOP");
    client.line("SET k x");
    assert_eq!(client.line("WAIT 1 50").printed(), "(integer) 0");
    replica.signal("CONT");
    assert_eq!(client.line("WAIT 1 60000").printed(), "(integer) 1");
}

/// Who compares the offsets of a primary and its replica may rely on what was answered.
#[test]
fn the_offset_counts_all_that_was_answered() {
    let primary = primary(2).start();
    let Some(_replica) = replica_of(&primary, Oracle::Valkey) else { return };
    wait_online(&primary, 1);
    let mut client = primary.client();
    let mut before = client.info_number("master_repl_offset");
    for number in 0..500 {
        client.line(&format!("SET k{number} v"));
        let now = client.info_number("master_repl_offset");
        assert!(now > before, "{now} behind write {number}, {before} ahead of it");
        before = now;
    }
}

#[test]
fn writes_are_refused_while_too_few_replicas_keep_up() {
    let primary = primary(2).with("min-replicas-to-write 1").start();
    let mut client = primary.client();
    let refused = "(error) NOREPLICAS Not enough good replicas to write.";
    assert_eq!(client.line("SET k v").printed(), refused);
    assert_eq!(client.line("GET k").printed(), "(nil)");
    let Some(mut replica) = replica_of(&primary, Oracle::Valkey) else { return };
    until("writes are taken", LATER, || client.line("SET k v").printed() == "OK");
    replica.kill();
    until("writes are refused", SOON, || client.line("SET k v").printed() == refused);
    client.line("CONFIG SET min-replicas-to-write 0");
    assert_eq!(client.line("SET k v").printed(), "OK");
}

#[test]
fn a_replica_goes_on_behind_a_clean_restart() {
    let options = primary(2).with("appendonly no");
    let mut primary = options.start();
    let Some(replica) = replica_of(&primary, Oracle::Valkey) else { return };
    wait_online(&primary, 1);
    under_writes(&primary, seed("a_clean_restart"), || wait_online(&primary, 1));
    primary.client().line("SET last 1 PX 1");
    let mut client = primary.client();
    // The end waits for a replica that lags.
    replica.signal("STOP");
    client.line("SET behind 1");
    client.send(&["SHUTDOWN", "SAVE"]).unwrap();
    until("it waits", SOON, || primary.log().contains("Waiting for replicas"));
    replica.signal("CONT");
    assert!(primary.wait_end(LATER).success());
    primary.respawn();
    primary.wait_ready();
    wait_online(&primary, 1);
    assert_eq!(primary.client().info_number("sync_full"), 0);
    under_writes(&primary, seed("a_clean_restart") + 1, || wait_online(&primary, 1));
    wait_equal(&primary, &replica);
    assert_eq!(primary.client().info_number("sync_partial_ok"), 1);
    // An end that nobody has announced.
    primary.kill();
    primary.respawn();
    primary.wait_ready();
    wait_online(&primary, 1);
    assert_eq!(primary.client().info_number("sync_full"), 1);
    wait_equal(&primary, &replica);
}

/// INFO says how long it waits still. All clients that asked for it hear that it was called off.
#[test]
fn a_shutdown_that_waits_can_be_called_off() {
    for shards in [1, 2, 4] {
        let primary = primary(shards).with("shutdown-timeout 1000").start();
        let Some(replica) = replica_of(&primary, Oracle::Valkey) else { return };
        wait_online(&primary, 1);
        let mut other = primary.client();
        assert!(!other.line("INFO server").text().contains("shutdown_in_milliseconds"));
        replica.signal("STOP");
        other.line("SET k v");
        let mut clients = [primary.client(), primary.client()];
        clients.iter_mut().for_each(|client| client.send(&["SHUTDOWN"]).unwrap());
        until("it waits", SOON, || primary.log().contains("Waiting for replicas"));
        until("both wait", SOON, || other.info("blocked_clients") == "2");
        let left_ms = other.info_number("shutdown_in_milliseconds");
        assert!((1..=1_000_000).contains(&left_ms), "{left_ms}");
        assert_eq!(other.line("SHUTDOWN ABORT").printed(), "OK");
        for client in &mut clients {
            let said = client.read().unwrap().printed();
            assert_eq!(said, "(error) ERR Errors trying to SHUTDOWN. Check logs.");
        }
        assert_eq!(other.line("SET k w").printed(), "OK");
        let none = other.line("SHUTDOWN ABORT").printed();
        assert_eq!(none, "(error) ERR No shutdown in progress.");
        let info = other.line("INFO").text();
        assert!(!info.contains("shutdown_in_milliseconds"));
        assert!(info.contains("blocked_clients:0"), "{info}");
        assert!(primary.log().contains("Shutdown manually aborted."), "{}", primary.log());
        replica.signal("CONT");
    }
}

/// The log names the replica that lags, when the end has waited long enough.
#[test]
fn a_shutdown_ends_without_a_replica_that_lags() {
    for shards in [1, 2] {
        let mut primary = primary(shards).with("shutdown-timeout 1").start();
        let Some(replica) = replica_of(&primary, Oracle::Valkey) else { return };
        wait_online(&primary, 1);
        replica.signal("STOP");
        primary.client().line("SET k v");
        primary.signal("TERM");
        assert!(primary.wait_end(SOON).success());
        let log = primary.log();
        assert!(log.contains("Lagging replica 127.0.0.1:"), "{log}");
        assert!(log.contains("0 of 1 replicas are in sync when shutting down."), "{log}");
        replica.signal("CONT");
    }
}

/// Each key takes minutes. The snapshot of a replica that has gone is for nobody.
#[test]
fn a_full_sync_that_nobody_waits_for_is_given_up() {
    for (shards, diskless) in [(1, "no"), (2, "yes"), (4, "no")] {
        let options = primary(shards).with(&format!("repl-diskless-sync {diskless}"));
        let primary = options.with("rdb-key-save-delay 500000000").start();
        let mut client = primary.client();
        client.line("DEBUG POPULATE 100");
        let Some(replica) = replica_of(&primary, Oracle::Valkey) else { return };
        until("it is made", SOON, || client.info("rdb_bgsave_in_progress") == "1");
        replica.client().line("REPLICAOF NO ONE");
        until("it is given up", SOON, || client.info("rdb_bgsave_in_progress") == "0");
    }
}

/// It reads no more than it must, and half of the limit is always on its way.
#[test]
fn writes_wait_for_a_replica_that_falls_behind_while_it_gets_on() {
    const LAG: u64 = 4 << 20;
    for (shards, gets_on) in [(1, true), (2, true), (4, true), (2, false)] {
        let options = Options::shards(shards).with("repl-diskless-sync no");
        let options = options.with("client-output-buffer-limit replica 8mb 8mb 60");
        let primary = options.with("repl-slow-writers yes").start();
        let mut replica = Played::new(&primary);
        let mut client = primary.client();
        let mut writer = primary.client();
        let is_over = Arc::new(AtomicBool::new(false));
        let writes = {
            let is_over = is_over.clone();
            spawn(move || {
                let value = "x".repeat(100_000);
                for round in 0..40 {
                    let sets: Vec<_> =
                        (0..10).map(|key| vec!["SET", ["a", "b"][key % 2], &value]).collect();
                    assert_eq!(writer.pipeline(&sets).unwrap().len(), 10, "round {round}");
                }
                is_over.store(true, Ordering::Relaxed);
            })
        };
        let end = |client: &mut Client| client.info_number("master_repl_offset");
        if gets_on {
            let mut has_all = false;
            while !has_all {
                let is_quiet = is_over.load(Ordering::Relaxed);
                let lag = end(&mut client) - replica.from - replica.has;
                if is_quiet || lag > LAG {
                    assert!(replica.get_on(), "{shards} shards, {lag} behind");
                }
                has_all = is_quiet && replica.from + replica.has == end(&mut client);
            }
            assert!(replica.has > 40 * 10 * 100_000);
        } else {
            until("it is cut off", SOON, || client.info("connected_slaves") == "0");
        }
        writes.join().unwrap();
    }
}

/// Who reads the stream by databases finds there what was published in each, as in Valkey's.
#[test]
fn what_is_published_stands_in_its_database() {
    let mut kinds: Vec<Options> = [1, 2, 4].map(primary).into();
    let valkey = Oracle::Valkey.options();
    kinds.extend(valkey.map(|options| options.with("repl-diskless-sync-delay 0")));
    for options in kinds {
        let primary = options.start();
        let (mut replica, mut client) = (Played::new(&primary), primary.client());
        let lines = ["SET a 1", "SELECT 3", "PUBLISH c m", "SPUBLISH c m", "SET b 1"];
        let more = ["SELECT 0", "PUBLISH c m", "SELECT 5", "PUBLISH c last"];
        lines.iter().chain(&more).for_each(|line| drop(client.line(line)));
        let mut said = Vec::new();
        while said.last().is_none_or(|last| last != "PUBLISH c last") {
            let line = String::from_utf8(replica.command().join(&b' ')).unwrap();
            said.extend(Some(line).filter(|line| line.starts_with(['S', 'P']) && line != "PING"));
        }
        assert_eq!(said, [&["SELECT 0"], &lines[..], &more].concat());
    }
}

/// A replica would take a reply for a part of the stream.
#[test]
fn a_replica_that_would_get_a_reply_is_closed() {
    let primary = primary(2).start();
    let mut replica = primary.client();
    replica.send(&["PSYNC", "?", "-1"]).unwrap();
    assert!(replica.read().unwrap().printed().contains("FULLRESYNC "));
    replica.send(&["PING"]).unwrap();
    replica.read_within(SOON);
    let rest = replica.read_to_end().unwrap();
    assert!(!rest.windows(4).any(|bytes| bytes == b"PONG"));
    let said = "Replica generated a reply to command 'ping', disconnecting it";
    until("the log says so", SOON, || primary.log().contains(said));
}

/// What a full sync has to hand over is more than what a replica may lag: that is no reason to cut
/// it off, and to begin anew for ever.
#[test]
fn a_snapshot_larger_than_the_limit_of_a_replica_arrives() {
    for shards in [1, 2] {
        let primary = Options::shards(shards)
            .with("repl-diskless-sync-delay 0")
            .with("repl-backlog-size 16384")
            .with("client-output-buffer-limit replica 32768 32768 60")
            .start();
        let mut client = primary.client();
        for number in 0..64 {
            client.line(&format!("SET key{number} {}", "x".repeat(64 * 1024)));
        }
        let replica = Options::shards(shards);
        let replica = replica.with(&format!("replicaof 127.0.0.1 {}", primary.port)).start();
        wait_online(&primary, 1);
        until("it has all keys", LATER, || {
            replica.client().line("DBSIZE").printed().ends_with(" 64")
        });
        assert_eq!(client.info_number("sync_full"), 1);
        assert_eq!(client.info_number("client_output_buffer_limit_disconnections"), 0);
    }
}

#[test]
fn tools_come_as_replicas() {
    let Some(cli) = on_path("redis-cli") else { return };
    let primary = primary(2).start();
    let mut client = primary.client();
    client.line("DEBUG POPULATE 5000 key 50");
    let file = primary.path("copy.rdb");
    let port = primary.port.to_string();
    let mut copy = Command::new(cli);
    copy.args(["-p", &port, "--rdb"]).arg(&file);
    assert!(copy.output().unwrap().status.success());
    let other = Options::shards(1).with("dbfilename copy.rdb").debug();
    let mut loaded = other.launch();
    loaded.kill();
    std::fs::copy(&file, loaded.path("copy.rdb")).unwrap();
    loaded.respawn();
    loaded.wait_ready();
    assert_eq!(loaded.client().line("DEBUG DIGEST"), client.line("DEBUG DIGEST"));
    until("it has gone", SOON, || client.info("connected_slaves") == "0");
}
