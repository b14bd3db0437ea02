//! Data sets between servers, whatever their size: what Valkey 9.1, Redis 7.0 and Redis 8.0 have
//! saved, journaled and dumped is loaded here, and what Troupe has is loaded there, with one, two
//! and four shards and after their number has changed.
//!
//! Keys are of all types and forms, in several databases, some with deadlines, under names of odd
//! bytes. Compared are the keys of each database by DBSIZE and all that is in them by DEBUG DIGEST.
//! That says nothing of deadlines of fields and of groups of streams, so all that can be read out
//! of a sample of the keys is compared as well.
//!
//! `TROUPE_FILE_KEYS` says how many keys (default 3,000; `tests/nightly files` takes a million).

use std::fs;
use std::time::Instant;

use crate::dump::{dump, restore_all};
use crate::foreign::contents::{Contents, differences};
use crate::foreign::journal::{self, Author};
use crate::loading;
use crate::snapshots::peer_with;
use crate::support::client::Client;
use crate::support::env_number;
use crate::support::oracle::Oracle;
use crate::support::samples::{self, DATABASES, fill};
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

/// With how many shards files are loaded or written, and with how many what comes of it.
const CHANGES: [(usize, usize); 3] = [(1, 4), (2, 1), (4, 2)];

/// Keys in the sample, at most.
const SAMPLE: u64 = 500;

/// How far one of them is from the next, by its number: so all kinds of keys are among them.
const STEP: u64 = 7_919;

/// Differences that are shown.
const SHOWN: usize = 20;

/// Deadlines of fields, which have no form that both families read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Timed {
    Nothing,
    AsInValkey,
    AsInRedis,
}

/// The keys of a trial.
#[derive(Clone, Copy, Debug)]
struct Keys {
    count: u64,
    timed: Timed,
}

/// What is compared of a server.
struct Found {
    sizes: [i64; DATABASES.len()],
    digest: String,
    sample: Contents,
}

impl Keys {
    /// The trials with that server. Redis 7 knows no deadlines of fields; Redis 8 alone mixes them
    /// into its digest, so they are in a smaller trial without it.
    fn of(oracle: Oracle) -> Vec<Keys> {
        let count = env_number("TROUPE_FILE_KEYS", 3_000);
        let untimed = Keys { count, timed: Timed::Nothing };
        match oracle {
            Oracle::Valkey => vec![Keys { count, timed: Timed::AsInValkey }],
            Oracle::Redis => vec![untimed],
            Oracle::Redis8 => {
                vec![untimed, Keys { count: count.div_ceil(20), timed: Timed::AsInRedis }]
            }
        }
    }

    /// Makes the first half, has it written as a base, and makes the others.
    fn make(self, client: &mut Client) {
        let has_timed_fields = self.timed != Timed::Nothing;
        fill(client, 0..self.count / 2, has_timed_fields);
        rewrite(client);
        fill(client, self.count / 2..self.count, has_timed_fields);
    }

    /// The sample, by database.
    fn sample(self) -> Vec<(usize, Vec<Vec<u8>>)> {
        let numbers = || (0..SAMPLE.min(self.count)).map(|at| at * STEP % self.count);
        DATABASES.iter().map(|db| (*db, samples::names(numbers(), *db))).collect()
    }

    fn found(self, server: &Server) -> Found {
        let mut client = server.client();
        let sample = Contents::of_keys(&mut client, &self.sample());
        let sizes = DATABASES.map(|db| {
            client.line(&format!("SELECT {db}"));
            client.line("DBSIZE").number().unwrap_or_default()
        });
        assert_eq!(sizes.iter().sum::<i64>(), self.count as i64, "{sizes:?}");
        let digest = match self.timed {
            Timed::AsInRedis => String::new(),
            _ => client.line("DEBUG DIGEST").text(),
        };
        Found { sizes, digest, sample }
    }

    /// Ours with so many shards.
    fn ours(self, shards: usize) -> Options {
        let version = if self.timed == Timed::AsInRedis { 12 } else { 10 };
        let options = Options::shards(shards).debug().with("save ");
        // The files stay as they are while they are copied.
        let options = options.with("auto-aof-rewrite-percentage 0");
        options.with(&format!("rdb-version {version}"))
    }
}

fn rewrite(client: &mut Client) {
    client.line("BGREWRITEAOF");
    until("the journal is rewritten", SOON * 6, || {
        let info = client.line("INFO persistence").text();
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
    });
}

fn assert_same(what: &str, wanted: &Found, found: &Found) {
    let mut differing = differences(&wanted.sample, &found.sample);
    let total = differing.len();
    differing.truncate(SHOWN);
    assert!(total == 0, "{what}:\n{}\n{total} differences", differing.join("\n"));
    assert_eq!(found.sizes, wanted.sizes, "{what}: keys of databases {DATABASES:?}");
    assert_eq!(found.digest, wanted.digest, "{what}");
}

/// Restores the sample of one server at another that has nothing, and compares it.
fn restore_sample(what: &str, keys: Keys, from: &Server, to: &Server) {
    let (mut from, mut to) = (from.client(), to.client());
    for (db, names) in keys.sample() {
        for client in [&mut from, &mut to] {
            client.line(&format!("SELECT {db}"));
        }
        let payloads = dump(&mut from, names.iter().map(Vec::as_slice));
        assert_eq!(restore_all(&mut to, &payloads), [], "{what}");
    }
    let [wanted, found] = [&mut from, &mut to].map(|it| Contents::of_keys(it, &keys.sample()));
    assert_eq!(wanted.len() as u64, SAMPLE.min(keys.count), "the sample is not there");
    let differing = differences(&wanted, &found);
    assert!(differing.is_empty(), "{what}:\n{}", differing.join("\n"));
}

/// What it has written is loaded by ours.
fn load_its_files(oracle: Oracle, keys: Keys) {
    let Some(author) = Author::with_preamble(oracle, "yes") else { return };
    keys.make(&mut author.server.client());
    let (files, snapshot, saved) = (author.files(), author.save(), keys.found(&author.server));
    // What its journal says is what it reads out of it itself: that may be less.
    author.reload();
    let journaled = keys.found(&author.server);
    for (shards, then) in CHANGES {
        let what = |form| format!("{oracle:?}, {form}, {shards} shards and then {then}");
        let mut server = loading::load(&keys.ours(shards), &snapshot);
        assert_same(&what("snapshot"), &saved, &keys.found(&server));
        assert!(server.client().line("SAVE").is_ok());
        server.stop();
        server.restart_with(&keys.ours(then));
        assert_same(&what("own snapshot"), &saved, &keys.found(&server));
        let mut server = journal::load(&keys.ours(shards), &files);
        assert_same(&what("journal"), &journaled, &keys.found(&server));
        server.stop();
        server.restart_with(&keys.ours(then).journal("no"));
        assert_same(&what("own journal"), &journaled, &keys.found(&server));
        let server = keys.ours(shards).start();
        restore_sample(&what("payloads"), keys, &author.server, &server);
    }
}

/// What ours has written is loaded by it.
fn load_our_files(oracle: Oracle, keys: Keys) {
    if oracle.options().is_none() {
        return;
    }
    for (shards, then) in CHANGES {
        let what = |form| format!("{form} for {oracle:?}, {shards} shards and then {then}");
        let mut server = keys.ours(shards).journal("no").start();
        keys.make(&mut server.client());
        let wanted = keys.found(&server);
        for shards in [shards, then] {
            assert_same(&what("own"), &wanted, &keys.found(&server));
            assert!(server.client().line("SAVE").is_ok());
            let snapshot = fs::read(server.path("dump.rdb")).unwrap();
            let Some(peer) = peer_with(oracle, &snapshot) else { return };
            assert_same(&what("snapshot"), &wanted, &keys.found(&peer));
            let Some(peer) = Author::with_preamble(oracle, "yes") else { return };
            peer.load_files(&journal::files_in(&server.path("appendonlydir")));
            assert_same(&what("journal"), &wanted, &keys.found(&peer.server));
            let Some(peer) = oracle.start() else { return };
            restore_sample(&what("payloads"), keys, &server, &peer);
            if shards != then {
                server.stop();
                server.restart_with(&keys.ours(then).journal("no"));
                rewrite(&mut server.client());
            }
        }
    }
}

fn both_ways(oracle: Oracle) {
    for keys in Keys::of(oracle) {
        let start = Instant::now();
        load_its_files(oracle, keys);
        println!("{oracle:?}, {keys:?}: its files are loaded, {:?}", start.elapsed());
        let start = Instant::now();
        load_our_files(oracle, keys);
        println!("{oracle:?}, {keys:?}: it has loaded ours, {:?}", start.elapsed());
    }
}

#[test]
fn a_data_set_goes_to_valkey_and_back() {
    both_ways(Oracle::Valkey);
}

#[test]
fn a_data_set_goes_to_redis_7_and_back() {
    both_ways(Oracle::Redis);
}

#[test]
fn a_data_set_goes_to_redis_8_and_back() {
    both_ways(Oracle::Redis8);
}
