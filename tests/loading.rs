//! RDB files that are loaded at the start: those of Valkey 9.1, Redis 7.0 and Redis 8.0 as a
//! snapshot and as the base of a journal, whatever the number of shards; and files that are not to
//! be loaded.
//!
//! Each of them has keys of every type and form in several databases, with deadlines of keys and
//! fields and a library of functions. All that can be read out of a key is compared with what its
//! author has; DEBUG DIGEST too where that is Valkey, whose digests ours are. A rebuild of one
//! shard and a kill leave the same.

use std::fs;

use crate::dump::{crc64, samples};
use crate::foreign::contents::{Contents, differences};
use crate::foreign::journal::{self, Author};
use crate::snapshots::peer_with;
use crate::support::client::{Client, encode, info_field};
use crate::support::oracle::Oracle;
use crate::support::reply::words;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

const SHARDS: [usize; 3] = [1, 2, 4];

/// Differences that are shown.
const SHOWN: usize = 40;

const LIBRARY: &str = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";

/// A server that stands on this snapshot; whether it comes up is the test's question.
fn launch(options: &Options, snapshot: &[u8]) -> Server {
    let mut server = options.start();
    server.stop();
    fs::write(server.path("dump.rdb"), snapshot).unwrap();
    server.respawn();
    server
}

/// A server that has loaded this snapshot.
pub(crate) fn load(options: &Options, snapshot: &[u8]) -> Server {
    let server = launch(options, snapshot);
    server.wait_ready();
    server
}

/// A file of these records, with a right checksum.
fn file(records: &[&[u8]]) -> Vec<u8> {
    let mut bytes = [b"REDIS0010", &records.concat()[..], b"\xff"].concat();
    bytes.extend(crc64(&bytes).to_le_bytes());
    bytes
}

fn assert_same(what: &str, wanted: &Contents, server: &Server) {
    let mut found = differences(wanted, &Contents::of(&mut server.client()));
    let total = found.len();
    found.truncate(SHOWN);
    assert!(total == 0, "{what}:\n{}\n{total} differences", found.join("\n"));
}

/// Makes keys in several databases, and what else a file may hold.
pub(crate) fn fill(client: &mut Client) {
    samples::make(client);
    for db in [3, 15] {
        client.line(&format!("SELECT {db}"));
        samples::make_few(client);
    }
    client.line("SELECT 0");
    let reply = client.call(&["FUNCTION", "LOAD", LIBRARY]);
    assert!(reply.error().is_none(), "{reply:?}");
}

fn load_its_files(oracle: Oracle) {
    let Some(author) = Author::with_preamble(oracle, "yes") else { return };
    let mut client = author.server.client();
    fill(&mut client);
    // What it has is what it reads out of its own file.
    let reply = client.line("DEBUG RELOAD");
    assert!(reply.is_ok(), "{reply:?}");
    let (wanted, snapshot) = (Contents::of(&mut client), author.save());
    for shards in SHARDS {
        let server = load(&Options::shards(shards).debug(), &snapshot);
        assert_same(&format!("{oracle:?}, snapshot, {shards} shards"), &wanted, &server);
        if oracle == Oracle::Valkey {
            let digest = |server: &Server| server.client().line("DEBUG DIGEST").text();
            assert_eq!(digest(&server), digest(&author.server));
        }
        let log = server.log();
        assert!(log.contains("DB loaded from disk: "), "{log}");
        assert_eq!(server.client().line("FCALL f 0").number(), Some(1), "{oracle:?}");
    }
    author.rewrite();
    for line in
        ["SET after 1", "RPUSH l:one b", "DEL s:int", "HSET h:few f w", "SELECT 3", "SET x y"]
    {
        client.line(line);
    }
    let (wanted, files) = (author.read_back(), author.files());
    let base = files.iter().find(|(name, _)| name.ends_with(".base.rdb"));
    assert!(base.is_some_and(|(_, bytes)| bytes.len() > 1_000), "the base is an RDB file");
    for shards in SHARDS {
        let mut server = journal::load(&Options::shards(shards).debug(), &files);
        let what = format!("{oracle:?}, base, {shards} shards");
        assert_same(&what, &wanted, &server);
        server.client().line("SET own 1");
        server.client().line("LPUSH l:mixed own");
        let digest = server.client().line("DEBUG DIGEST").text();
        for shard in 0..shards {
            server.client().line(&format!("DEBUG PANIC-SHARD {shard}"));
            is_again(&server, &digest);
        }
        server.kill();
        server.restart();
        assert_eq!(server.client().line("DEBUG DIGEST").text(), digest, "{what}");
    }
}

/// Waits until the server holds what has this digest.
fn is_again(server: &Server, digest: &str) {
    until("the shard is rebuilt", SOON, || {
        let reply = server.client().line("DEBUG DIGEST");
        reply.error().is_none() && reply.text() == digest
    });
}

#[test]
fn files_of_valkey_are_loaded() {
    load_its_files(Oracle::Valkey);
}

#[test]
fn files_of_redis_7_are_loaded() {
    load_its_files(Oracle::Redis);
}

#[test]
fn files_of_redis_8_are_loaded() {
    load_its_files(Oracle::Redis8);
}

#[test]
fn functions_go_from_one_snapshot_to_the_next() {
    let record = [&[0xf5, 0x40, LIBRARY.len() as u8], LIBRARY.as_bytes()].concat();
    for shards in SHARDS {
        let mut server = load(&Options::shards(shards), &file(&[&record, b"\x00\x01a\x01v"]));
        assert_eq!(server.client().line("FCALL f 0").number(), Some(1));
        assert!(server.client().line("SAVE").is_ok());
        server.stop();
        server.restart();
        assert!(server.client().line("SAVE").is_ok());
        let saved = fs::read(server.path("dump.rdb")).unwrap();
        let mut found = saved.windows(LIBRARY.len()).filter(|it| *it == LIBRARY.as_bytes());
        assert!(found.next().is_some() && found.next().is_none(), "{shards} shards");
        for oracle in [Oracle::Valkey, Oracle::Redis] {
            let Some(peer) = peer_with(oracle, &saved) else { continue };
            let libraries = peer.client().line("FUNCTION LIST").printed();
            assert!(libraries.contains("\"lib\""), "{oracle:?}: {libraries}");
        }
    }
}

/// The single file of Redis before 7: an RDB file, with commands behind it.
#[test]
fn a_file_of_old_that_begins_as_a_snapshot_is_adopted() {
    let mut old = file(&[b"\x00\x01a\x01x", b"\xfe\x02\x00\x01b\x01y"]);
    for line in ["APPEND a z", "SELECT 2", "APPEND b z"] {
        old.extend(encode(&words(line).unwrap()));
    }
    for shards in SHARDS {
        let options = Options::shards(shards).debug();
        let mut server = options.start();
        server.stop();
        fs::write(server.path("appendonly.aof"), &old).unwrap();
        server.restart_with(&options.journal("always"));
        let mut client = server.client();
        assert_eq!(client.line("GET a").text(), "xz");
        client.line("APPEND a !");
        let digest = client.line("DEBUG DIGEST").text();
        client.line("DEBUG PANIC-SHARD 0");
        is_again(&server, &digest);
        server.kill();
        server.restart();
        let mut client = server.client();
        assert_eq!(client.line("GET a").text(), "xz!");
        client.line("SELECT 2");
        assert_eq!(client.line("GET b").text(), "yz");
    }
}

/// In a snapshot they are left out; what follows the base of a journal may need them.
#[test]
fn keys_that_have_expired_are_left_out_of_a_snapshot_and_kept_from_a_base() {
    let library = [&[0xf5, 0x40, LIBRARY.len() as u8], LIBRARY.as_bytes()].concat();
    let records: [&[u8]; 4] =
        [b"\x00\x01a\x01v", b"\xfc\x05\0\0\0\0\0\0\0\x00\x01b\x01v", &library, b"\x02\x01s\x00"];
    let snapshot = file(&records);
    let server = load(&Options::shards(2), &snapshot);
    let mut client = server.client();
    assert_eq!(client.line("KEYS *").printed(), "1) \"a\"");
    assert_eq!(client.info("rdb_last_load_keys_loaded"), "1");
    assert_eq!(client.info("rdb_last_load_keys_expired"), "1");
    let log = server.log();
    let said = "Done loading RDB, keys loaded: 1, keys expired: 1, empty keys skipped: 1.";
    assert!(log.contains(said) && log.contains("skipping empty key: s of database 0"), "{log}");
    let name = "appendonly.aof.1.base.rdb".to_owned();
    let increment = "appendonly.aof.1.incr.aof".to_owned();
    let manifest = format!("file {name} seq 1 type b\nfile {increment} seq 1 type i\n");
    let kept = encode(&words("PERSIST b").unwrap());
    let manifest = ("appendonly.aof.manifest".to_owned(), manifest.into_bytes());
    let server =
        journal::load(&Options::shards(2), &vec![(name, snapshot), (increment, kept), manifest]);
    assert_eq!(server.client().line("DBSIZE").number(), Some(2));
    assert_eq!(server.client().line("TTL b").number(), Some(-1));
}

#[test]
fn files_that_are_not_to_be_loaded_end_the_start_with_place_and_remedy() {
    let mut flipped = file(&[b"\x00\x01a\x01v"]);
    flipped[11] ^= 1;
    let module = b"\x07\x01m\x81\x44\x97\x89\x70\xbf\x88\x00\x00\x05\x01x\x00";
    let sound = file(&[b"\x00\x01a\x01v"]);
    for (snapshot, wanted) in [
        (
            flipped.clone(),
            "offset 15: RDB CRC error: the checksum does not match; restore it from a backup, or",
        ),
        (
            sound[..12].to_vec(),
            "offset 12: it ends too early, in the key 'a' of database 0; restore it",
        ),
        (Vec::new(), "offset 0: it ends too early"),
        (b"nonsense and more".to_vec(), "offset 0: this is no RDB file"),
        (file(&[b"\xfe\x10\x00\x01a\x01v"]), "offset 9: there is no database 16; set databases"),
        (
            file(&[b"\x00\x01a\x01v", b"\x00\x01a\x01w"]),
            "offset 14: key 'a' of database 0: a key with this name stands there twice",
        ),
        (file(&[module]), "key 'm' of database 0: a value of the type "),
        (file(&[b"\x0b\x01s\x02xx"]), "key 's' of database 0: Intset integrity check failed: "),
    ] {
        for shards in [1, 4] {
            let mut server = launch(&Options::shards(shards), &snapshot);
            let status = server.wait_end(SOON);
            let log = server.log();
            let last = log.lines().last().unwrap();
            assert!(!status.success() && last.contains("dump.rdb: "), "{wanted}: {log}");
            assert!(last.contains(wanted), "{wanted}: {last}");
        }
    }
    let server = load(&Options::shards(2).with("rdbchecksum no"), &flipped);
    assert_eq!(server.client().line("DBSIZE").number(), Some(1));
    let server =
        load(&Options::shards(2).with("databases 17"), &file(&[b"\xfe\x10\x00\x01a\x01v"]));
    assert_eq!(server.client().line("DBSIZE").number(), Some(0));
}

#[test]
fn a_snapshot_beside_a_journal_that_begins_is_named() {
    let unsaved = || Options::shards(1).with("save ");
    let mut server = unsaved().journal("no").start();
    server.stop();
    fs::remove_dir_all(server.path("appendonlydir")).unwrap();
    fs::write(server.path("dump.rdb"), file(&[b"\x00\x01a\x01v"])).unwrap();
    server.restart();
    assert_eq!(server.client().line("DBSIZE").number(), Some(0));
    assert!(server.log().contains("dump.rdb is not loaded"), "{}", server.log());
    server.stop();
    server.restart_with(&unsaved().with("dbfilename other.rdb"));
    assert_eq!(server.client().line("DBSIZE").number(), Some(0));
    server.stop();
    server.restart_with(&unsaved());
    assert_eq!(server.client().line("GET a").text(), "v");
}

/// A million keys, so that the load can be watched.
#[test]
fn clients_hear_that_the_data_set_is_loaded_and_how_far_it_is() {
    let mut records = Vec::new();
    for number in 0..1_000_000_u32 {
        let key = format!("key:{number:08}");
        records.extend([0, key.len() as u8]);
        records.extend(key.as_bytes());
        records.extend([8]);
        records.extend(u64::from(number).to_be_bytes());
    }
    let snapshot = file(&[&records]);
    let server = launch(&Options::shards(2), &snapshot);
    let mut client = server.client();
    let (mut seen, mut refused) = (Vec::new(), 0);
    until("the data set is loaded", SOON * 3, || {
        let text = client.line("INFO persistence").text();
        let number =
            |field| info_field(&text, field).map_or(0, |it| it.parse::<f64>().unwrap() as usize);
        if number("loading") == 1 && number("loading_total_bytes") > 0 {
            assert_eq!(number("loading_total_bytes"), snapshot.len());
            assert!(number("loading_start_time") > 1_700_000_000, "{text}");
            assert!(number("loading_loaded_perc") <= 100, "{text}");
            assert!(info_field(&text, "loading_eta_seconds").is_some(), "{text}");
            seen.push(number("loading_loaded_bytes"));
        }
        let reply = client.line("GET key:00999999");
        refused += usize::from(reply.error().is_some_and(|error| error.starts_with("LOADING ")));
        reply.error().is_none()
    });
    assert!(seen.is_sorted() && seen.last() > Some(&0) && refused > 0, "{seen:?}, {refused}");
    assert_eq!(client.info("loading"), "0");
    let text = client.line("INFO persistence").text();
    assert_eq!(info_field(&text, "loading_total_bytes"), None);
    assert_eq!(client.line("DBSIZE").number(), Some(1_000_000));
}

/// Each key takes a second. Clients hear so, and a signal ends the server at once.
#[test]
fn a_slow_load_is_no_slow_end() {
    let mut records = Vec::new();
    for number in 0..100_u8 {
        records.extend([0, 1, number, 1, b'v']);
    }
    for shards in [1, 2] {
        let options = Options::shards(shards).with("key-load-delay 1000000");
        let mut server = launch(&options, &file(&[&records]));
        let mut client = server.client();
        until("it loads", SOON, || {
            client.line("GET k").error().is_some_and(|text| text.starts_with("LOADING"))
        });
        assert_eq!(client.info("loading"), "1");
        server.stop();
    }
}
