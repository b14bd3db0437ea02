//! Troupe as a replica: of Redis, Valkey and Troupe, in chains, and as the next primary.
//!
//! `TROUPE_SEED` replays a load.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::replicated::{LATER, patient, under_paced_writes, wait_equal, wait_up};
use crate::support::reply::Reply;
use crate::support::seed;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, StopAtEnd, until};

fn troupe(shards: usize) -> Options {
    patient(Options::shards(shards))
}

fn replica_of(primary: &Server, options: &Options) -> Server {
    let replica = options.clone().with(&format!("replicaof 127.0.0.1 {}", primary.port)).start();
    wait_up(&replica);
    replica
}

/// The two have the same data, and know the same stream at the same offset.
fn wait_same(primary: &Server, replica: &Server) {
    wait_up(replica);
    wait_equal(primary, replica);
    let (mut one, mut other) = (primary.client(), replica.client());
    until("they are at the same offset", LATER, || {
        one.info("master_repl_offset") == other.info("master_repl_offset")
    });
    assert_eq!(one.info("master_replid"), other.info("master_replid"));
}

/// A full sync under load, links that are cut under load, restarts of either side, and the same
/// the other way round behind a promotion.
fn follows(primary: &Options, shards: usize) {
    let seed = seed("troupe_follows");
    let mut primary = patient(primary.clone()).start();
    let mut client = primary.client();
    client.line("DEBUG POPULATE 1000 filler 100");
    for number in 0..5_000 {
        client.line(&format!("HSET large f{number} {number}"));
    }
    let mut replica = under_paced_writes(&primary, seed, || {
        let replica = replica_of(&primary, &troupe(shards));
        for _ in 0..5 {
            wait_up(&replica);
            client.line("SET marker 1");
            assert_eq!(client.line("WAIT 1 60000").printed(), "(integer) 1");
            assert_eq!(client.line("CLIENT KILL TYPE replica").printed(), "(integer) 1");
            until("it is back", LATER, || client.line("ROLE").printed().contains("127.0.0.1"));
        }
        replica
    });
    wait_same(&primary, &replica);
    assert_eq!(client.info_number("sync_partial_ok"), 5, "each link went on where it was cut");
    let left = std::fs::read_dir(replica.folder()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().starts_with("temp-")),
        "nothing stays of the snapshot: {left:?}"
    );
    // It closes the link itself, whatever runs.
    under_paced_writes(&primary, seed + 1, || {
        let mut killer = replica.client();
        for _ in 0..5 {
            until("there is a link, which is cut", LATER, || {
                killer.line("CLIENT KILL TYPE primary").printed() == "(integer) 1"
            });
        }
    });
    wait_same(&primary, &replica);
    under_paced_writes(&primary, seed + 2, || {
        replica.kill();
        replica.respawn();
        replica.wait_ready();
        wait_up(&replica);
    });
    wait_same(&primary, &replica);
    primary.kill();
    primary.restart();
    under_paced_writes(&primary, seed + 3, || wait_up(&replica));
    wait_same(&primary, &replica);
    let mut next = replica.client();
    assert_eq!(next.line("REPLICAOF NO ONE").printed(), "OK");
    let mut before = primary.client();
    assert_eq!(before.line(&format!("REPLICAOF 127.0.0.1 {}", replica.port)).printed(), "OK");
    under_paced_writes(&replica, seed + 4, || wait_up(&primary));
    wait_equal(&replica, &primary);
}

#[test]
fn two_shards_follow_valkey() {
    let Some(valkey) = Oracle::Valkey.options() else { return };
    follows(&valkey, 2);
}

#[test]
fn four_shards_follow_redis_8() {
    let Some(redis) = Oracle::Redis8.options() else { return };
    // Its snapshots are none that Valkey or Redis 7 could load; ours are loaded by it.
    follows(&redis, 4);
}

#[test]
fn one_shard_follows_redis_7() {
    let Some(redis) = Oracle::Redis.options() else { return };
    follows(&redis, 1);
}

#[test]
fn four_shards_follow_troupe() {
    follows(&Options::shards(2), 4);
}

/// Replicas of a replica, of every kind, and one of them as the next primary: the others go on.
#[test]
fn a_chain_passes_the_stream_on_and_goes_on_when_its_middle_leads() {
    let seed = seed("a_chain");
    let Some(valkey) = Oracle::Valkey.options() else { return };
    let primary = patient(valkey.clone()).start();
    let middle = replica_of(&primary, &troupe(2));
    let ends = under_paced_writes(&primary, seed, || {
        let mut ends = vec![replica_of(&middle, &troupe(4)), replica_of(&middle, &patient(valkey))];
        if let Some(redis) = Oracle::Redis.options() {
            ends.push(replica_of(&middle, &patient(redis)));
        }
        middle.client().line("CLIENT KILL TYPE replica");
        primary.client().line("CLIENT KILL TYPE replica");
        ends
    });
    wait_same(&primary, &middle);
    ends.iter().for_each(|end| wait_same(&primary, end));
    let mut client = middle.client();
    let full = client.info_number("sync_full");
    let before = client.info("master_replid");
    assert_eq!(client.line("REPLICAOF NO ONE").printed(), "OK");
    assert_eq!(client.info("master_replid2"), before);
    under_paced_writes(&middle, seed + 1, || ends.iter().for_each(wait_up));
    ends.iter().for_each(|end| wait_same(&middle, end));
    assert_eq!(client.info_number("sync_full"), full, "all went on");
    // Who was its primary follows it, or does so anew, since it has written nothing more.
    let mut old = primary.client();
    old.line(&format!("REPLICAOF 127.0.0.1 {}", middle.port));
    wait_same(&middle, &primary);
}

#[test]
fn nobody_sees_half_a_transaction() {
    let Some(valkey) = Oracle::Valkey.options() else { return };
    let primary = patient(valkey).start();
    let replica = replica_of(&primary, &troupe(4));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stops = StopAtEnd(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = Client::connect(replica.port).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let seen = client.line("MGET a b c d e f").printed();
                    let values: Vec<_> = seen.lines().filter_map(|l| l.split(' ').nth(1)).collect();
                    assert!(values.iter().all(|value| *value == values[0]), "{seen}");
                }
            });
        }
        let mut client = primary.client();
        for number in 0..2_000 {
            let mut lines = vec!["MULTI".to_owned()];
            lines.extend(["a", "b", "c", "d", "e", "f"].map(|key| format!("SET {key} {number}")));
            lines.push("EXEC".to_owned());
            let words = |line: &String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
            client.pipeline(&lines.iter().map(words).collect::<Vec<_>>()).unwrap();
        }
        assert_eq!(client.line("WAIT 1 60000").printed(), "(integer) 1");
        drop(stops);
    });
    wait_same(&primary, &replica);
}

#[test]
fn a_replica_goes_on_behind_a_clean_restart() {
    let seed = seed("a_replica_restarts");
    let primary = troupe(2).start();
    let mut replica = replica_of(&primary, &troupe(2));
    let mut client = primary.client();
    under_paced_writes(&primary, seed, || {
        let mut there = replica.client();
        there.send(&["SHUTDOWN", "SAVE"]).unwrap();
        assert!(replica.wait_end(LATER).success());
        client.line("SELECT 3");
        client.line("SET in another");
        client.line("SELECT 0");
        replica.respawn();
        replica.wait_ready();
        wait_up(&replica);
    });
    wait_same(&primary, &replica);
    assert_eq!(client.info_number("sync_full"), 1);
    assert_eq!(client.info_number("sync_partial_ok"), 1);
}

/// The journal of a replica has what it holds, whatever came by a snapshot.
#[test]
fn the_journal_of_a_replica_holds_what_it_holds() {
    let seed = seed("the_journal_of_a_replica");
    let primary = troupe(2).start();
    primary.client().line("DEBUG POPULATE 500 filler 10");
    let journaled = troupe(2).with("appendonly yes").with("appendfsync always");
    let mut replica = journaled.start();
    replica.client().line("SET of its own");
    let mut there = replica.client();
    there.line(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    under_paced_writes(&primary, seed, || wait_up(&replica));
    wait_same(&primary, &replica);
    assert_eq!(
        primary.client().line("WAITAOF 0 1 60000").printed(),
        "1) (integer) 0\n2) (integer) 1"
    );
    let digest = there.line("DEBUG DIGEST");
    assert_eq!(there.line("REPLICAOF NO ONE").printed(), "OK");
    replica.kill();
    replica.respawn();
    replica.wait_ready();
    assert_eq!(replica.client().line("DEBUG DIGEST"), digest);
}

/// The journal of a replica says where in the stream it is: behind a kill, and behind one that
/// meets nothing but a base, the replica goes on from there.
fn goes_on_from_its_journal(primary: &Options, shards: usize, fsync: &str, base: &str) {
    let seed = seed("a_journal_goes_on");
    let primary = patient(primary.clone()).start();
    let mut client = primary.client();
    client.line("DEBUG POPULATE 500 filler 10");
    let journaled = troupe(shards).with("appendonly yes").with(&format!("appendfsync {fsync}"));
    let mut replica =
        replica_of(&primary, &journaled.with(&format!("aof-use-rdb-preamble {base}")));
    for round in 0..4 {
        under_paced_writes(&primary, seed + round, || {
            if round == 2 {
                let mut there = replica.client();
                there.line("BGREWRITEAOF");
                until("it is rewritten", LATER, || {
                    there.info_number("aof_rewrite_in_progress") == 0
                });
            }
            replica.kill();
            replica.restart();
            wait_up(&replica);
        });
        wait_same(&primary, &replica);
    }
    // Nothing comes behind the base.
    let mut there = replica.client();
    there.line("BGREWRITEAOF");
    until("it is rewritten", LATER, || there.info_number("aof_rewrite_in_progress") == 0);
    replica.kill();
    replica.restart();
    wait_same(&primary, &replica);
    assert_eq!(client.info_number("sync_full"), 1, "{seed}");
    assert_eq!(client.info_number("sync_partial_ok"), 5, "{seed}");
}

#[test]
fn one_shard_goes_on_from_its_journal_behind_a_kill() {
    goes_on_from_its_journal(&Options::shards(2), 1, "everysec", "yes");
}

#[test]
fn two_shards_go_on_from_their_journal_behind_a_kill() {
    goes_on_from_its_journal(&Options::shards(1), 2, "always", "no");
}

#[test]
fn four_shards_go_on_from_their_journal_behind_a_kill() {
    let Some(valkey) = Oracle::Valkey.options() else { return };
    goes_on_from_its_journal(&valkey, 4, "everysec", "yes");
}

/// Nobody can say what a shard holds that has panicked.
#[test]
fn a_replica_without_a_journal_begins_anew_where_a_shard_has_panicked() {
    let primary = troupe(1).start();
    let mut client = primary.client();
    client.line("DEBUG POPULATE 1000 key 10");
    let replica = replica_of(&primary, &troupe(2));
    wait_same(&primary, &replica);
    assert_eq!(client.info_number("sync_full"), 1);
    // It spoils keys first.
    replica.client().line("DEBUG PANIC-SHARD 1");
    until("all is synchronized anew", LATER, || client.info_number("sync_full") == 2);
    wait_same(&primary, &replica);
}

/// It may not have what its stream says: its replicas would keep what it lacks.
#[test]
fn nobody_goes_on_with_a_replica_that_has_lost_something_and_leads() {
    let mut primary = troupe(1).start();
    primary.client().line("DEBUG POPULATE 1000 key 10");
    let middle = replica_of(&primary, &troupe(2));
    let end = replica_of(&middle, &troupe(1));
    wait_same(&primary, &end);
    primary.kill();
    let mut client = middle.client();
    until("it knows", SOON, || client.info("master_link_status") == "down");
    // It spoils keys first.
    client.line("DEBUG PANIC-SHARD 1");
    let mut restarts = || client.line("INFO everything").text().contains("restarts=1");
    until("it has panicked", SOON, &mut restarts);
    assert_eq!(client.line("REPLICAOF NO ONE").printed(), "OK");
    assert_eq!(client.info("master_replid2"), "0".repeat(40));
    wait_same(&middle, &end);
}

#[test]
fn a_replica_refuses_what_is_its_primarys_to_do() {
    let primary = troupe(1).start();
    let replica = replica_of(&primary, &troupe(2));
    let (mut client, mut there) = (primary.client(), replica.client());
    let read_only = "(error) READONLY You can't write against a read only replica.";
    for line in ["SET k v", "FLUSHALL", "MULTI", "SET k v", "DISCARD"] {
        let expected = if matches!(line, "MULTI" | "DISCARD") { "OK" } else { read_only };
        assert_eq!(there.line(line).printed(), expected, "{line}");
    }
    let said = there.call(&["EVAL", "return redis.call('set', KEYS[1], 1)", "1", "k"]).printed();
    assert!(said.contains("READONLY You can't write against a read only replica."), "{said}");
    let said = there.call(&["EVAL", "#!lua\nreturn 1", "0"]).printed();
    assert_eq!(said, "(error) ERR Can not run script with write flag on readonly replica.");
    assert!(there.line("WAIT 0 0").printed().contains("WAIT cannot be used with replica"));
    assert!(there.line("HELLO").printed().contains("replica"));
    assert_eq!(there.info("role"), "slave");
    // What has expired is hidden, and stays until the primary says that it goes.
    client.line("DEBUG SET-ACTIVE-EXPIRE 0");
    client.line("SET k v PX 50");
    assert_eq!(client.line("WAIT 1 60000").printed(), "(integer) 1");
    until("it is over", SOON, || there.line("GET k").printed() == "(nil)");
    assert_eq!(there.line("DBSIZE").printed(), "(integer) 1");
    assert_eq!(client.line("GET k").printed(), "(nil)");
    until("it is gone", SOON, || there.line("DBSIZE").printed() == "(integer) 0");
}

/// What clients of a replica have given a deadline goes there, as in Valkey; what the primary has
/// given one stays until that says so.
#[test]
fn what_is_a_replicas_own_goes_when_it_expires() {
    let primary = troupe(1).start();
    let mut client = primary.client();
    client.line("DEBUG SET-ACTIVE-EXPIRE 0");
    let mut kinds: Vec<Options> = [1, 2, 4].map(troupe).into();
    kinds.extend(Oracle::Valkey.options().map(patient));
    for options in kinds {
        client.line("FLUSHALL");
        let replica = replica_of(&primary, &options.with("replica-read-only no"));
        let mut there = replica.client();
        client.line("SET of-primary 1 PX 50");
        until("it is there", SOON, || there.line("DBSIZE").number() == Some(1));
        for number in 0..100 {
            let set = format!("SET k{number} 1 PX {}", 50 + number);
            assert!(there.line(&set).is_ok(), "{set}");
        }
        there.line("SELECT 3");
        there.line("SET other 1 PX 50");
        until("its own is gone", SOON, || there.line("DBSIZE").number() == Some(0));
        there.line("SELECT 0");
        until("its own are gone", SOON, || there.line("DBSIZE").number() == Some(1));
        until("it is over", SOON, || there.line("GET of-primary") == Reply::Nil);
        assert_eq!(there.line("DBSIZE"), Reply::Integer(1));
        assert_eq!(client.line("GET of-primary"), Reply::Nil);
        until("it is gone", SOON, || there.line("DBSIZE") == Reply::Integer(0));
    }
}

#[test]
fn who_loses_its_primary_serves_old_data_or_none() {
    let mut primary = troupe(1).start();
    let replica = replica_of(&primary, &troupe(2));
    let (mut client, mut there) = (primary.client(), replica.client());
    there.line("CONFIG SET replica-serve-stale-data no");
    client.line("SET k v");
    assert_eq!(client.line("WAIT 1 60000").printed(), "(integer) 1");
    assert_eq!(there.line("GET k").printed(), "\"v\"");
    primary.kill();
    let down = "(error) MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to \
                'no'.";
    until("it knows", SOON, || there.line("GET k").printed() == down);
    assert_eq!(there.info("master_link_status"), "down");
    there.line("CONFIG SET replica-serve-stale-data yes");
    assert_eq!(there.line("GET k").printed(), "\"v\"");
    primary.respawn();
    primary.wait_ready();
    wait_up(&replica);
    until("it has what the primary has", SOON, || there.line("GET k").printed() == "(nil)");
}

#[test]
fn who_waits_hears_that_the_server_is_a_replica_now() {
    let primary = troupe(1).with("requirepass secret").start();
    let server = troupe(2).start();
    let (mut waits, mut client) = (server.client(), server.client());
    waits.send(&["BLPOP", "nothing", "0"]).unwrap();
    until("it waits", SOON, || client.info("blocked_clients") == "1");
    let asked = format!("REPLICAOF 127.0.0.1 {}", primary.port);
    assert_eq!(client.line(&asked).printed(), "OK");
    let said = waits.read().unwrap().printed();
    assert!(said.starts_with("(error) UNBLOCKED force unblock from blocking operation"), "{said}");
    let again = "OK Already connected to specified primary";
    assert_eq!(client.line(&asked).printed(), again);
    assert_eq!(client.info("master_link_status"), "down", "it has no password");
    client.line("CONFIG SET primaryauth secret");
    wait_up(&server);
    let role = client.line("ROLE").printed();
    assert!(role.contains("slave") && role.contains("connected"), "{role}");
}

/// A primary that grants a full sync with this offset, and sends this snapshot, again and again.
fn malicious(offset: &'static str, snapshot: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while let Some(Ok(line)) = lines.next() {
                let said = match &line[..] {
                    "PING" | "REPLCONF" => b"+OK\r\n".to_vec(),
                    "PSYNC" => {
                        let id = "0123456789".repeat(4);
                        let length = snapshot.len();
                        let head = format!("+FULLRESYNC {id} {offset}\r\n${length}\r\n");
                        [head.as_bytes(), &snapshot].concat()
                    }
                    _ => continue,
                };
                // The replica may be through with it.
                let _ = stream.write_all(&said);
            }
        }
    });
    port
}

#[test]
fn what_no_primary_can_mean_is_refused_and_changes_nothing() {
    let snapshot = |db: &str| {
        let length = db.len() as u8;
        let parts: [&[u8]; 5] =
            [b"REDIS0010\xfa\x0erepl-stream-db", &[length], db.as_bytes(), b"\xff", &[0; 8]];
        parts.concat()
    };
    for (offset, snapshot, why) in [
        ("18446744073709551615", snapshot("0"), "refuses PSYNC"),
        ("100", snapshot("4294967295"), "set databases to more than that"),
        ("100", b"REDIS0010\xfe".to_vec(), "is not followed"),
    ] {
        for shards in [1, 2] {
            let server = troupe(shards).start();
            let mut client = server.client();
            assert!(client.line("SET k v").is_ok());
            let port = malicious(offset, snapshot.clone());
            assert!(client.line(&format!("REPLICAOF 127.0.0.1 {port}")).is_ok());
            until("it is refused", SOON, || server.log().contains(why));
            assert_eq!(client.line("GET k").printed(), "\"v\"", "{shards} shards, {why}");
            assert_eq!(client.info("master_link_status"), "down");
            assert!(client.line("REPLICAOF NO ONE").is_ok());
            assert!(client.line("SET k w").is_ok());
        }
    }
}

#[test]
fn who_becomes_a_replica_inside_exec_takes_no_write_behind_it() {
    for shards in [1, 2, 4] {
        let server = troupe(shards).start();
        let mut client = server.client();
        // Nobody listens there.
        let asked = "REPLICAOF 127.0.0.1 0";
        for _ in 0..20 {
            for queued in ["MULTI", "SET a 1", "SET b 1", asked] {
                client.line(queued);
            }
            assert!(client.line("EXEC").printed().ends_with("OK"), "{shards} shards");
            let refused = client.line("SET c 1").printed();
            assert!(refused.starts_with("(error) READONLY"), "{shards} shards: {refused}");
            assert!(client.line("REPLICAOF NO ONE").is_ok());
        }
        assert!(client.line("SET c 1").is_ok());
    }
}

/// A primary that takes nothing out by itself: its replica hides what has expired, and keeps it.
#[test]
fn what_has_expired_is_hidden_until_the_primary_says_so() {
    for shards in [1, 2, 4] {
        let primary = troupe(shards).start();
        let replica = replica_of(&primary, &troupe(shards));
        let (mut one, mut other) = (primary.client(), replica.client());
        for line in [
            "DEBUG SET-ACTIVE-EXPIRE 0",
            "SET k v PX 50",
            "HSET h a 1 b 2",
            "HPEXPIRE h 50 FIELDS 1 a",
            "SADD s a b",
            "SPEXPIRE s 50 MEMBERS 1 a",
            "ZADD z 1 a 2 b",
            "ZPEXPIRE z 50 MEMBERS 1 a",
        ] {
            assert_eq!(one.line(line).error(), None, "{line}");
        }
        assert_eq!(one.line("WAIT 1 60000").printed(), "(integer) 1");
        for (line, hidden) in [
            ("GET k", "(nil)"),
            ("HGET h a", "(nil)"),
            ("SMEMBERS s", "1) \"b\""),
            ("ZRANGE z 0 -1", "1) \"b\""),
        ] {
            until("it is hidden", SOON, || other.line(line).printed() == hidden);
        }
        let lengths = ["DBSIZE", "HLEN h", "SCARD s", "ZCARD z"];
        let told = |other: &mut Client, wanted: [&str; 4]| {
            lengths.map(|line| other.line(line).printed())
                == wanted.map(|count| format!("(integer) {count}"))
        };
        let refused = other.line("HSET h c 3").error().is_some_and(|it| it.starts_with("READONLY"));
        assert!(refused, "nor does a write that is refused delete anything");
        assert!(told(&mut other, ["4", "2", "2", "2"]), "nothing is deleted");
        // Whoever asks the primary makes it say so.
        for line in ["GET k", "HLEN h", "SCARD s", "ZCARD z"] {
            one.line(line);
        }
        until("it is deleted", SOON, || told(&mut other, ["3", "1", "1", "1"]));
    }
}
