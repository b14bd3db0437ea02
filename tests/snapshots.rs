//! Snapshots of the real server: what SAVE and BGSAVE write under load is what there was at one
//! moment, and Valkey and Redis load it; what is said of them; what a disk that fails means.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

/// No snapshot but those that are asked for.
fn options(shards: usize) -> Options {
    Options::shards(shards).debug().with("save ")
}

fn wait_saved(client: &mut Client) {
    until("the snapshot is written", SOON * 6, || client.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(client.info("rdb_last_bgsave_status"), "ok");
}

/// Keys of all types in three databases, small and large ones.
fn fill(client: &mut Client) {
    client.line("DEBUG POPULATE 40000 key 50");
    for db in [0, 3, 9] {
        client.line(&format!("SELECT {db}"));
        for number in 0..400 {
            client.line(&format!("SET text:{number} {number}"));
            client.line(&format!(
                "SET timed:{number} {} EX {}",
                "x".repeat(number),
                1_000 + number
            ));
            client.line(&format!("RPUSH list:{} a{number} {number}", number % 7));
            client.line(&format!("HSET hash:{} f{number} v{number}", number % 9));
            client.line(&format!("SADD set:{} m{number}", number % 5));
            client.line(&format!("SADD ints:{} {number}", number % 3));
            client.line(&format!("ZADD zset:{} {number}.5 m{number}", number % 4));
            client.line(&format!("XADD stream:{} {}-1 f v{number}", number % 2, 1 + number));
        }
        client.line("XGROUP CREATE stream:0 group 0");
        client.line("XREADGROUP GROUP group one COUNT 20 STREAMS stream:0 >");
        for number in 0..60 {
            let elements = |element: &dyn Fn(usize) -> String| {
                (0..200).map(|at| element(number * 200 + at)).collect::<String>()
            };
            client.line(&format!("RPUSH large:list{}", elements(&|at| format!(" item:{at}"))));
            client.line(&format!("HSET large:hash{}", elements(&|at| format!(" f{at} v{at}"))));
            client.line(&format!("SADD large:set{}", elements(&|at| format!(" member:{at}"))));
            client
                .line(&format!("ZADD large:zset{}", elements(&|at| format!(" {at} member:{at}"))));
        }
        client.line(&format!("SET large:text {}", "0123456789".repeat(30_000)));
    }
    client.line("SELECT 0");
}

/// Clients that write to keys that there are, until they are told to end.
fn load(server: &Server, is_over: &Arc<AtomicBool>) -> Vec<thread::JoinHandle<u64>> {
    let one = |seed: u64| {
        let (mut client, is_over) = (server.client(), is_over.clone());
        thread::spawn(move || {
            let (mut random, mut writes) = (fastrand::Rng::with_seed(seed), 0);
            while !is_over.load(Ordering::Relaxed) {
                let number = random.usize(..40_000);
                let line = match random.u8(..12) {
                    0 => format!("DEL text:{}", number % 400),
                    1 => format!("RPUSH large:list new:{number}"),
                    2 => format!("HSET large:hash f{number} new"),
                    3 => format!("SREM large:set member:{number}"),
                    4 => format!("ZINCRBY large:zset 5 member:{number}"),
                    5 => format!("SETRANGE large:text {number} new"),
                    6 => format!("XADD stream:{} * f new", number % 2),
                    7 => format!("SELECT {}", [0, 3, 9][number % 3]),
                    8 => format!("MSET key:{number} new key:{} new", number / 2),
                    9 => format!("RENAME key:{number} renamed:{number}"),
                    _ => format!("SET key:{number} new"),
                };
                client.line(&line);
                writes += 1;
            }
            writes
        })
    };
    (1..4).map(one).collect()
}

/// A peer that has loaded this file.
pub fn peer_with(oracle: Oracle, file: &[u8]) -> Option<Server> {
    let peer = oracle.start()?;
    let path = peer.oracle_path();
    fs::write(&path, file).unwrap();
    let reply = peer.client().line("DEBUG RELOAD NOSAVE");
    drop(fs::remove_file(&path));
    assert!(reply.is_ok(), "{oracle:?}: {reply:?}");
    Some(peer)
}

/// What a peer has when it has loaded this file.
fn digest_at(oracle: Oracle, file: &[u8]) -> Option<String> {
    let peer = peer_with(oracle, file)?;
    Some(peer.client().line("DEBUG DIGEST").text())
}

#[test]
fn peers_load_what_was_saved_under_load() {
    for shards in [1, 2, 4] {
        let server = options(shards).start();
        let mut client = server.client();
        fill(&mut client);
        let is_over = Arc::new(AtomicBool::new(false));
        let writers = load(&server, &is_over);
        for asked in ["BGSAVE", "SAVE"] {
            client.line("CLIENT PAUSE 60000 WRITE");
            let digest = client.line("DEBUG DIGEST").text();
            if asked == "BGSAVE" {
                assert_eq!(client.line(asked).text(), "Background saving started");
                // It goes over all shards behind the moment.
                client.line("DBSIZE");
                client.line("CLIENT UNPAUSE");
                wait_saved(&mut client);
            } else {
                assert!(client.line(asked).is_ok());
                client.line("CLIENT UNPAUSE");
            }
            let file = fs::read(server.path("dump.rdb")).unwrap();
            assert!(file.starts_with(b"REDIS0010"));
            for oracle in [Oracle::Valkey, Oracle::Redis] {
                let theirs = digest_at(oracle, &file);
                assert!(
                    theirs.is_none_or(|theirs| theirs == digest),
                    "{oracle:?}, {asked}, {shards}"
                );
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let writes: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        assert!(writes > 100, "{writes} writes");
        let longest = client.line("INFO actors").text();
        println!("{shards} shards: {longest}");
    }
}

fn unfinished(server: &Server) -> usize {
    let names = fs::read_dir(server.folder()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("temp-")).count()
}

/// Each key takes minutes. Commands run, and whatever ends the snapshot ends it at once.
#[test]
fn slow_snapshots_hold_up_nothing_and_end_when_they_are_told_to() {
    for shards in [1, 2, 4] {
        let mut server = options(shards).with("rdb-key-save-delay 500000000").start();
        let mut client = server.client();
        let bgsave = |client: &mut Client| {
            client.line("DEBUG POPULATE 100");
            assert_eq!(client.line("BGSAVE").text(), "Background saving started");
            for number in 0..100 {
                assert!(client.line(&format!("SET key:{number} {number}")).is_ok());
            }
            assert_eq!(client.info("rdb_bgsave_in_progress"), "1");
        };
        bgsave(&mut client);
        assert_eq!(client.line("BGSAVE CANCEL").text(), "Background saving cancelled");
        until("it is given up", SOON, || client.info("rdb_bgsave_in_progress") == "0");
        bgsave(&mut client);
        client.line("CONFIG SET rdb-key-save-delay 0");
        wait_saved(&mut client);
        client.line("CONFIG SET rdb-key-save-delay 500000000");
        // Nor does it hold up the base of a journal.
        assert!(client.line("BGREWRITEAOF").error().is_none());
        until("it is slow", SOON, || client.info("aof_rewrite_in_progress") == "1");
        client.line("CONFIG SET rdb-key-save-delay -1000");
        until("it is written", SOON, || client.info("aof_rewrite_in_progress") == "0");
        client.line("CONFIG SET rdb-key-save-delay 500000000");
        bgsave(&mut client);
        until("it is on the disk", SOON, || unfinished(&server) > 0);
        client.send(&["SHUTDOWN", "NOSAVE"]).unwrap();
        assert!(server.wait_end(SOON).success(), "{shards} shards");
        assert_eq!(unfinished(&server), 0, "{shards} shards");
    }
}

/// The first SIGINT waits for the last snapshot, the second one does not.
#[test]
fn who_insists_ends_a_slow_last_snapshot() {
    for shards in [1, 2] {
        let options = Options::shards(shards).debug().with("save 3600 1");
        let mut server = options.with("rdb-key-save-delay 500000000").start();
        server.client().line("DEBUG POPULATE 100");
        server.signal("INT");
        until("the last one is on the disk", SOON, || unfinished(&server) > 0);
        server.signal("INT");
        assert_eq!(server.wait_end(SOON).code(), Some(1));
        assert!(server.log().contains("You insist... exiting now."), "{}", server.log());
        assert_eq!(unfinished(&server), 0, "{shards} shards");
    }
}

/// Deadlines of fields make the file one of Valkey.
#[test]
fn deadlines_of_fields_are_written_for_valkey() {
    let server = options(2).start();
    let mut client = server.client();
    client.line("HSETEX hash EX 1000 FIELDS 2 a 1 b 2");
    client.line("SADD set a b");
    client.line("SPEXPIRE set 100000 MEMBERS 1 a");
    assert!(client.line("SAVE").is_ok());
    let file = fs::read(server.path("dump.rdb")).unwrap();
    assert!(file.starts_with(b"VALKEY080"));
    let Some(peer) = Oracle::Valkey.start() else { return };
    let path = peer.oracle_path();
    fs::write(&path, file).unwrap();
    let mut theirs = peer.client();
    assert!(theirs.line("DEBUG RELOAD NOSAVE").is_ok());
    drop(fs::remove_file(&path));
    for line in ["HMGET hash a b", "HPEXPIRETIME hash FIELDS 2 a b", "SMISMEMBER set a b"] {
        let (own, their) = (client.line(line), theirs.line(line));
        assert_eq!(format!("{own:?}"), format!("{their:?}"), "{line}");
    }
}

/// With `rdb-version 12` they make it one of Redis 7.4, in small hashes and in those that are
/// written in pieces, and a payload as well.
#[test]
fn deadlines_of_fields_are_written_for_redis() {
    let server = options(2).with("rdb-version 12").start();
    let mut client = server.client();
    let wrong = client.line("CONFIG SET rdb-version 11").error().unwrap_or_default().to_owned();
    assert!(wrong.ends_with("argument(s) must be one of the following: 10, 12"), "{wrong}");
    client.line("HSETEX hash EX 1000 FIELDS 2 a 1 b 2");
    client.line("HSET hash plain 3");
    for number in 0..100 {
        let fields: String = (0..50).map(|at| format!(" f{} {number}", number * 50 + at)).collect();
        client.line(&format!("HSETEX large EX {} FIELDS 50{fields}", 1_000 + number));
    }
    assert!(client.line("SAVE").is_ok());
    let file = fs::read(server.path("dump.rdb")).unwrap();
    assert!(file.starts_with(b"REDIS0012"));
    let Some(peer) = peer_with(Oracle::Redis8, &file) else { return };
    let mut theirs = peer.client();
    let payload = client.line("DUMP hash");
    let payload = payload.bytes().expect("there is one");
    assert!(theirs.call(&[&b"RESTORE"[..], b"restored", b"0", payload]).is_ok());
    for (own, their) in [
        ("HMGET hash a b plain", "HMGET hash a b plain"),
        ("HPEXPIRETIME hash FIELDS 3 a b plain", "HPEXPIRETIME hash FIELDS 3 a b plain"),
        ("HPEXPIRETIME hash FIELDS 3 a b plain", "HPEXPIRETIME restored FIELDS 3 a b plain"),
        ("HPEXPIRETIME large FIELDS 2 f0 f4999", "HPEXPIRETIME large FIELDS 2 f0 f4999"),
        ("HMGET large f0 f4999", "HMGET large f0 f4999"),
        ("HLEN large", "HLEN large"),
    ] {
        let (ours, theirs) = (client.line(own), theirs.line(their));
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{own}");
    }
}

/// CONFIG SET says where snapshots go, where that is permitted.
#[test]
fn snapshots_go_where_they_are_sent() {
    let server = options(2).with("enable-protected-configs local").start();
    let mut client = server.client();
    fs::create_dir(server.path("other")).unwrap();
    fs::write(server.path("file"), "").unwrap();
    let mut said = |words: &[&str]| {
        let reply = client.call(&[&["CONFIG"], words].concat());
        reply.error().map_or_else(|| reply.printed(), str::to_owned)
    };
    let failed = |name: &str, why: &str| {
        format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
    };
    assert_eq!(said(&["SET", "dir", "none"]), failed("dir", "No such file or directory"));
    assert_eq!(said(&["SET", "dir", "file"]), failed("dir", "Not a directory"));
    let path = "dbfilename can't be a path, just a filename";
    assert_eq!(said(&["SET", "dbfilename", "a/b"]), failed("dbfilename", path));
    assert!(said(&["SET", "dir", "other", "dbfilename", "my.rdb"]).contains("OK"));
    let whole = fs::canonicalize(server.path("other")).unwrap();
    assert!(said(&["GET", "dir"]).contains(whole.to_str().unwrap()));
    said(&["SET", "appendonly", "yes"]);
    assert!(server.path("other/appendonlydir").exists());
    let why = "the append only file is there, set appendonly to no first";
    assert_eq!(said(&["SET", "dir", ".."]), failed("dir", why));
    said(&["SET", "appendonly", "no"]);
    let mut client = server.client();
    client.line("SET a 1");
    assert!(client.line("SAVE").is_ok());
    assert!(server.path("other/my.rdb").exists() && !server.path("dump.rdb").exists());
    assert!(client.line("CONFIG SET dir ..").is_ok());
    assert!(client.line("SAVE").is_ok());
    assert!(server.path("my.rdb").exists());
}

#[test]
fn what_is_asked_of_snapshots_is_answered_as_by_valkey() {
    let server = options(2).start();
    let mut client = server.client();
    let mut said = |line: &str| {
        let reply = client.line(line);
        reply.error().map_or_else(|| reply.text(), str::to_owned)
    };
    let none = "ERR Background saving is currently not in progress or scheduled";
    assert_eq!(said("BGSAVE CANCEL"), none);
    assert_eq!(said("BGSAVE NOW"), "ERR syntax error");
    said("DEBUG POPULATE 300000 key 100");
    assert_eq!(said("BGSAVE"), "Background saving started");
    let busy = "ERR Background save already in progress";
    assert_eq!([said("BGSAVE"), said("SAVE"), said("BGSAVE SCHEDULE")], [busy; 3]);
    assert_eq!(said("BGSAVE CANCEL"), "Background saving cancelled");
    until("it is cancelled", SOON, || said("BGSAVE CANCEL") == none);
    assert!(!server.path("dump.rdb").exists(), "nothing is left of it");
    let mut client = server.client();
    assert_eq!(client.info("rdb_last_bgsave_status"), "ok");
    assert_ne!(client.info("rdb_changes_since_last_save"), "0");
    assert!(client.line("SAVE").is_ok());
    assert_eq!(client.info("rdb_changes_since_last_save"), "0");
    assert_eq!(client.info("rdb_saves"), "1");
    let last = client.line("LASTSAVE").number().unwrap();
    assert_eq!(last.to_string(), client.info("rdb_last_save_time"));
}

#[test]
fn a_snapshot_comes_after_changes_and_at_the_end() {
    let mut server = Options::shards(2).with("save 1 3").start();
    let mut client = server.client();
    client.line("MSET a 1 b 2 c 3");
    until("it is saved", SOON * 2, || client.info("rdb_saves") == "1");
    let first = fs::read(server.path("dump.rdb")).unwrap();
    client.line("SET last 1");
    server.stop();
    let last = fs::read(server.path("dump.rdb")).unwrap();
    assert!(last.len() > first.len(), "the end saves what there is");
    server.restart_with(&Options::shards(2).with("save "));
    let mut client = server.client();
    fs::remove_file(server.path("dump.rdb")).unwrap();
    client.send(&["SHUTDOWN", "SAVE"]).unwrap();
    assert!(server.wait_end(SOON).success());
    assert!(server.path("dump.rdb").exists());
}

/// A pause that a client has asked for ends in its time, though the server could not save and end.
#[test]
fn an_end_that_failed_leaves_a_pause_as_it_was() {
    for shards in [1, 2] {
        let server = options(shards).start();
        let mut client = server.client();
        fs::create_dir(server.path("dump.rdb")).unwrap();
        assert!(client.line("CLIENT PAUSE 1000 WRITE").is_ok());
        assert!(client.line("SHUTDOWN SAVE").error().is_some());
        assert!(client.line("SET a 1").is_ok());
    }
}

/// No file can take the place of a folder.
#[test]
fn writes_are_refused_after_a_failure() {
    let server = options(2).start();
    let mut client = server.client();
    client.line("SET a 1");
    fs::create_dir(server.path("dump.rdb")).unwrap();
    assert!(client.line("SAVE").error().is_some());
    assert_eq!(client.info("rdb_last_bgsave_status"), "err");
    assert!(client.line("SET a 2").is_ok(), "nothing is to be saved now and then");
    assert!(client.call(&["CONFIG", "SET", "save", "3600 1000000"]).is_ok());
    let refused = client.line("SET a 3");
    assert!(refused.error().is_some_and(|text| text.starts_with("MISCONF ")), "{refused:?}");
    assert_eq!(client.line("GET a").text(), "2");
    client.line("CONFIG SET stop-writes-on-bgsave-error no");
    assert!(client.line("SET a 4").is_ok());
    client.line("CONFIG SET stop-writes-on-bgsave-error yes");
    fs::remove_dir(server.path("dump.rdb")).unwrap();
    assert!(client.line("SAVE").is_ok());
    assert!(client.line("SET a 5").is_ok());
    assert_eq!(unfinished(&server), 0);
}

/// A snapshot fails with the actor that writes it, or with a shard, and the next one does not.
#[test]
fn a_panic_costs_one_snapshot() {
    let server = options(2).with("rdbcompression no").start();
    let mut client = server.client();
    for panic in ["PANIC-ACTOR snapshot-writer", "PANIC-SHARD 1"] {
        client.line("DEBUG POPULATE 200000 key 100");
        assert_eq!(client.line("BGSAVE").text(), "Background saving started");
        client.line(&format!("DEBUG {panic}"));
        until("it has failed", SOON * 6, || client.info("rdb_last_bgsave_status") == "err");
        until("shards serve again", SOON, || client.line("DBSIZE").number().is_some());
        assert!(!server.path("dump.rdb").exists(), "{panic}");
        assert!(client.line("SAVE").is_ok(), "{panic}");
        assert_eq!(client.info("rdb_last_bgsave_status"), "ok");
        fs::remove_file(server.path("dump.rdb")).unwrap();
    }
}

#[test]
fn flushall_ends_what_is_written_in_the_background_and_save_goes_on() {
    for shards in [1, 2, 4] {
        let server = options(shards).start();
        let mut client = server.client();
        // A minute for all keys.
        client.line("CONFIG SET rdb-key-save-delay 10000");
        client.line("DEBUG POPULATE 6000");
        assert_eq!(client.line("BGSAVE").printed(), "Background saving started");
        assert!(client.line("FLUSHALL").is_ok());
        until("it is given up", SOON, || client.info("rdb_bgsave_in_progress") == "0");
        assert!(client.info_number("rdb_changes_since_last_save") >= 6_000);
        assert_eq!(client.info("rdb_last_bgsave_status"), "ok");
        // Somebody waits for this one, so it becomes whole.
        client.line("CONFIG SET rdb-key-save-delay 1000");
        client.line("DEBUG POPULATE 500");
        let mut other = server.client();
        let saved = thread::spawn(move || other.line("SAVE").printed());
        until("it is written", SOON, || client.info("rdb_bgsave_in_progress") == "1");
        assert!(client.line("FLUSHALL").is_ok());
        assert_eq!(saved.join().unwrap(), "OK", "{shards} shards");
    }
}
