//! DEBUG RELOAD: what is loaded is what was there, whatever it is, with a journal and without,
//! while others read and write; and what cannot be loaded changes nothing.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::client::Client;
use crate::support::server::Options;
use crate::support::wait::{SOON, until};

const NOT_LOADED: &str = "ERR Error trying to load the RDB dump, check server logs.";

fn options(shards: usize) -> Options {
    Options::shards(shards).debug().with("save ")
}

fn fill(client: &mut Client) {
    client.line("DEBUG POPULATE 5000 key 50");
    for db in [0, 3] {
        client.line(&format!("SELECT {db}"));
        for number in 0..200 {
            client.line(&format!("SET timed:{number} v EX {}", 1_000 + number));
            client.line(&format!("RPUSH list:{} a{number} {number}", number % 7));
            client.line(&format!("HSETEX hash:{} EX 1000 FIELDS 1 f{number} v", number % 9));
            client.line(&format!("SADD set:{} m{number}", number % 5));
            client.line(&format!("ZADD zset:{} {number}.5 m{number}", number % 4));
            client.line(&format!("XADD stream:{} {}-1 f v{number}", number % 2, 1 + number));
        }
        client.line("XGROUP CREATE stream:0 group 0");
        client.line("XREADGROUP GROUP group one COUNT 20 STREAMS stream:0 >");
        client.line("SEXPIRE set:0 1000 MEMBERS 1 m0");
    }
    client.line("SELECT 0");
}

#[test]
fn what_is_loaded_is_what_was_there() {
    for (shards, journal) in [(1, "no"), (2, "yes"), (4, "no")] {
        let mut server = options(shards).with(&format!("appendonly {journal}")).start();
        let mut client = server.client();
        fill(&mut client);
        let digest = client.line("DEBUG DIGEST").text();
        for line in ["DEBUG RELOAD", "DEBUG RELOAD NOFLUSH MERGE"] {
            assert!(client.line(line).is_ok(), "{shards} shards, {line}");
            assert_eq!(client.line("DEBUG DIGEST").text(), digest, "{shards} shards, {line}");
        }
        let changes = client.line("INFO persistence").text();
        assert!(changes.contains("rdb_changes_since_last_save:0\r\n"), "{changes}");
        if journal == "yes" {
            assert!(client.line("SET last 1").is_ok());
            let digest = client.line("DEBUG DIGEST").text();
            server.stop();
            server.restart();
            assert_eq!(server.client().line("DEBUG DIGEST").text(), digest, "the journal is right");
        }
    }
}

/// Who reads meanwhile sees all keys; who writes waits, and no write is lost.
#[test]
fn others_go_on_meanwhile() {
    let server = options(2).with("appendonly yes").start();
    let mut client = server.client();
    client.line("DEBUG POPULATE 20000 key 20");
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (mut client, is_over) = (server.client(), is_over.clone());
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let found = client.line("EXISTS key:1 key:500 key:19999").number();
                assert_eq!(found, Some(3));
            }
        })
    };
    let writer = {
        let (mut client, is_over) = (server.client(), is_over.clone());
        thread::spawn(move || {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                count += 1;
                assert_eq!(client.line("INCR {a}count").number(), Some(count));
                assert!(client.line(&format!("MSET {{a}}x {count} {{b}}y {count}")).is_ok());
            }
            count
        })
    };
    for _ in 0..10 {
        assert!(client.line("DEBUG RELOAD").is_ok());
    }
    is_over.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    let count = writer.join().unwrap();
    assert_eq!(client.line("GET {a}count").text(), count.to_string());
    let digest = client.line("DEBUG DIGEST").text();
    assert!(client.line("DEBUG LOADAOF").is_ok());
    assert_eq!(client.line("DEBUG DIGEST").text(), digest, "the journal has every write");
}

/// The files of a journal that was on are loaded where none is.
#[test]
fn a_journal_that_is_off_is_loaded() {
    for shards in [1, 4] {
        let server = options(shards).start();
        let mut client = server.client();
        let error = "ERR Error trying to load the AOF files, check server logs.";
        assert_eq!(client.line("DEBUG LOADAOF").printed(), format!("(error) {error}"));
        client.line("DEBUG POPULATE 2000 key 20");
        client.line("MSET a 1 b 2");
        client.line("CONFIG SET appendonly yes");
        client.line("SET c 3 EX 1000");
        let digest = client.line("DEBUG DIGEST").text();
        client.line("CONFIG SET appendonly no");
        client.line("SET d 4");
        assert!(client.line("DEBUG LOADAOF").is_ok());
        assert_eq!(client.line("DEBUG DIGEST").text(), digest);
    }
}

/// Who watches a key, and who waits for one, finds out as by FLUSHALL.
#[test]
fn who_cares_for_keys_finds_out() {
    let server = options(2).start();
    let [mut client, mut watcher, mut waiter] = [(); 3].map(|()| server.client());
    client.line("SET a 1");
    watcher.line("WATCH a");
    waiter.send(&["BLPOP", "list", "0"]).unwrap();
    until("it waits", SOON, || client.line("INFO clients").text().contains("blocked_clients:1"));
    assert!(client.line("DEBUG RELOAD").is_ok());
    watcher.line("MULTI");
    watcher.line("GET a");
    assert_eq!(watcher.line("EXEC").printed(), "(nil)");
    client.line("RPUSH list 1");
    assert_eq!(waiter.read().unwrap().printed(), "1) \"list\"\n2) \"1\"");
}

#[test]
fn keys_that_expire_meanwhile_are_left_out() {
    let server = options(2).start();
    let mut client = server.client();
    client.line("DEBUG SET-ACTIVE-EXPIRE 0");
    client.line("SET stays 1");
    client.line("SET gone 1 PX 1");
    assert!(client.line("DEBUG RELOAD").is_ok());
    assert_eq!(client.line("KEYS *").printed(), "1) \"stays\"");
}

#[test]
fn what_cannot_be_loaded_changes_nothing() {
    let server = options(2).start();
    let mut client = server.client();
    let mut said = |line: &str| {
        let reply = client.line(line);
        reply.error().map_or_else(|| reply.printed(), str::to_owned)
    };
    said("MSET a 1 b 2");
    assert_eq!(said("DEBUG RELOAD NOSAVE"), NOT_LOADED, "there is no file");
    assert_eq!(said("SAVE"), "OK");
    said("SET c 3");
    assert_eq!(said("DEBUG RELOAD NOSAVE NOFLUSH"), NOT_LOADED, "the keys are there");
    assert_eq!(said("DEBUG RELOAD NOSAVE NOFLUSH MERGE"), "OK");
    assert_eq!(said("DBSIZE"), "(integer) 3");
    assert_eq!(said("DEBUG RELOAD NOSAVE"), "OK");
    assert_eq!(said("DBSIZE"), "(integer) 2");
    let path = server.path("dump.rdb");
    let mut file = fs::read(&path).unwrap();
    let middle = file.len() / 2;
    file.truncate(middle);
    fs::write(&path, file).unwrap();
    assert_eq!(said("DEBUG RELOAD NOSAVE"), NOT_LOADED, "the file is damaged");
    assert_eq!(said("DBSIZE"), "(integer) 2");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(said("DEBUG RELOAD"), "ERR", "no snapshot can be written");
    assert_eq!(said("SET d 4"), "OK", "writes are let in again");
    said("CONFIG SET appendonly yes");
    let why = "ERR the append only file would not have what the snapshot has: set appendonly to no \
               first";
    assert_eq!(said("DEBUG RELOAD NOSAVE"), why);
}
