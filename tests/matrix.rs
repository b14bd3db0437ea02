//! Each primary with each replica: Redis 7.0, Redis 8.0, Valkey 9.1, Troupe with one shard and with
//! four, where at least one of the two is Troupe.
//!
//! Of each pair: keys of all types and forms in several databases, with deadlines, groups and a
//! library of functions; a full sync under load; links that are cut under load, by either side in
//! turn, each of which goes on where it was; a clean restart of either side under load. Behind each
//! of them both sides hold the same: as many keys in each database, the same DEBUG DIGEST, and all
//! that can be read out of a sample of the keys, groups and deadlines of fields among it.
//!
//! `TROUPE_MATRIX_KEYS` says how many keys (default 2,000), `TROUPE_MATRIX_CUTS` how many links are
//! cut (default 3). Most pairs run by night alone: `tests/nightly replication` takes them all, with
//! a million keys and 20 cuts. `TROUPE_SEED` replays a load.

use std::time::Instant;

use crate::foreign::contents::{Contents, differences};
use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::replicated::{Load, MUCH_LATER, patient, wait_following};
use crate::support::samples::{self, DATABASES};
use crate::support::server::{Options, Server};
use crate::support::wait::until;
use crate::support::{env_number, seed};

/// Keys in the sample, at most.
const SAMPLE: u64 = 500;

/// How far one of them is from the next, by its number: so all kinds of keys are among them.
const STEP: u64 = 7_919;

/// Differences that are shown.
const SHOWN: usize = 20;

/// A server of the pair.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Stock(Oracle),
    Troupe(usize),
}

use Side::{Stock, Troupe};

impl Side {
    /// How it is started, if it is on this machine.
    fn options(self) -> Option<Options> {
        let options = match self {
            Stock(oracle) => oracle.options()?,
            Troupe(shards) => Options::shards(shards).with("save "),
        };
        // It ends when the other one has got everything, however slow the machine is.
        Some(patient(options).with("shutdown-timeout 600"))
    }
}

/// The keys of a trial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub(crate) count: u64,
    has_timed_fields: bool,
    has_digest: bool,
    /// How much groups have read is said to replicas.
    says_groups: bool,
}

impl Keys {
    /// Keys with all that Troupe has.
    pub(crate) fn all(count: u64) -> Keys {
        Keys { count, has_timed_fields: true, has_digest: true, says_groups: true }
    }

    /// The trials of a pair, the primary first. Redis 7 knows no deadlines of fields; Redis 8 alone
    /// mixes them into its digest, so they are in a smaller trial where each key is read out.
    fn of(pair: [Side; 2]) -> Vec<Keys> {
        let all = Keys::all(env_number("TROUPE_MATRIX_KEYS", 2_000));
        let all = Keys { says_groups: pair[0] != Stock(Oracle::Redis), ..all };
        let untimed = Keys { has_timed_fields: false, ..all };
        let is_there = |oracle| pair.contains(&Stock(oracle));
        if is_there(Oracle::Redis8) {
            vec![untimed, Keys { count: all.count.div_ceil(20), has_digest: false, ..all }]
        } else if is_there(Oracle::Redis) {
            vec![untimed]
        } else {
            vec![all]
        }
    }

    pub(crate) fn fill(self, server: &Server) {
        samples::fill(&mut server.client(), 0..self.count, self.has_timed_fields);
    }

    /// The sample, by database; all keys where there is no digest.
    fn sample(self) -> Vec<(usize, Vec<Vec<u8>>)> {
        let count = if self.has_digest { SAMPLE.min(self.count) } else { self.count };
        let numbers = || (0..count).map(|at| at * STEP % self.count);
        DATABASES.iter().map(|db| (*db, samples::names(numbers(), *db))).collect()
    }

    fn found(self, server: &Server) -> Found {
        let mut client = server.client();
        client.read_within(MUCH_LATER);
        let info = client.line("INFO keyspace").text();
        let of_keys = |line: &str| Some(line.split_once(",expires")?.0.to_owned());
        let sizes = info.lines().filter_map(of_keys).collect();
        let digest = self.has_digest.then(|| client.line("DEBUG DIGEST").text());
        let known = client.line("FCALL_RO known 0").printed();
        let sample = if self.says_groups {
            Contents::of_keys(&mut client, &self.sample())
        } else {
            Contents::of_keys_said(&mut client, &self.sample())
        };
        Found { sizes, digest, known, sample }
    }

    /// Both have the same, and that is something. Nobody writes any more.
    pub(crate) fn compare(self, what: &str, primary: &Server, replica: &Server) {
        wait_following(primary, replica);
        let (wanted, found) = (self.found(primary), self.found(replica));
        let mut differing = differences(&wanted.sample, &found.sample);
        let total = differing.len();
        differing.truncate(SHOWN);
        assert!(total == 0, "{what}:\n{}\n{total} differences", differing.join("\n"));
        assert_eq!(found.sizes, wanted.sizes, "{what}");
        assert_eq!(found.digest, wanted.digest, "{what}");
        assert_eq!(found.known, wanted.known, "{what}");
        let has_all = DATABASES
            .iter()
            .all(|db| wanted.sizes.iter().any(|size| size.starts_with(&format!("db{db}:keys="))));
        assert!(has_all, "{what}: {:?}", wanted.sizes);
        assert!(wanted.sample.len() > 0, "{what}: the sample is not there");
    }
}

/// What is compared of a server.
struct Found {
    /// The number of keys of each database that has any.
    sizes: Vec<String>,
    digest: Option<String>,
    /// What the library says.
    known: String,
    sample: Contents,
}

/// Cuts so many links, by either side in turn.
fn cut(cuts: u64, primary: &Server, replica: &Server) {
    let (mut client, mut there) = (primary.client(), replica.client());
    let count = |(full, partial)| full + partial;
    let before = count(syncs(&mut client));
    for number in 1..=cuts {
        // It has got some of the stream, so that it knows where to go on.
        wait_following(primary, replica);
        let (killer, kind) =
            if number % 2 == 0 { (&mut there, "master") } else { (&mut client, "replica") };
        until("there is a link, which is cut", MUCH_LATER, || {
            killer.line(&format!("CLIENT KILL TYPE {kind}")).printed() == "(integer) 1"
        });
        until("it is back", MUCH_LATER, || count(syncs(&mut client)) == before + number);
    }
    wait_following(primary, replica);
}

/// A clean end, and a start.
fn restart(server: &mut Server) {
    let mut client = server.client();
    client.send(&["SHUTDOWN", "SAVE"]).unwrap();
    assert!(server.wait_end(MUCH_LATER).success());
    server.respawn();
}

/// Full and partial syncs that this process has served.
pub(crate) fn syncs(client: &mut Client) -> (u64, u64) {
    (client.info_number("sync_full"), client.info_number("sync_partial_ok"))
}

fn follows(leader: Side, follower: Side) {
    let seed = seed(&format!("{leader:?} leads {follower:?}"));
    for keys in Keys::of([leader, follower]) {
        let (Some(leading), Some(following)) = (leader.options(), follower.options()) else {
            return;
        };
        // Redis 8 forgets where it was when its link is cut while it waits for a flush.
        let flush = if follower == Stock(Oracle::Redis8) { "FLUSHDB ASYNC" } else { "FLUSHDB" };
        let load = Load { seed, keys: keys.count, flush };
        let what = format!("{leader:?} leads {follower:?}, {} keys", keys.count);
        try_pair(&what, keys, load, &leading, &following);
    }
}

fn try_pair(what: &str, keys: Keys, load: Load, leading: &Options, following: &Options) {
    let cuts = env_number("TROUPE_MATRIX_CUTS", 3);
    let mut primary = leading.start();
    keys.fill(&primary);
    assert!(primary.client().call(&["FUNCTION", "LOAD", Load::LIBRARY]).error().is_none());
    let (mut start, mut written) = (Instant::now(), 0);
    let mut took = |step: &str, count: usize| {
        written += count;
        println!("{what}: {step}, {:.1} s, {count} writes", start.elapsed().as_secs_f32());
        start = Instant::now();
    };
    let (mut replica, count) = load.run(primary.port, || {
        let following = following.clone();
        let replica = following.with(&format!("replicaof 127.0.0.1 {}", primary.port)).launch();
        wait_following(&primary, &replica);
        replica
    });
    took("a full sync", count);
    let ((), count) = load.run(primary.port, || cut(cuts, &primary, &replica));
    took(&format!("{cuts} links are cut"), count);
    assert_eq!(
        syncs(&mut primary.client()),
        (1, cuts),
        "{what}: each link goes on where it was cut"
    );
    keys.compare(what, &primary, &replica);
    took("both have the same", 0);
    let ((), count) = load.run(primary.port, || {
        restart(&mut replica);
        wait_following(&primary, &replica);
    });
    took("the replica is started again", count);
    assert_eq!(syncs(&mut primary.client()), (1, cuts + 1), "{what}: it goes on where it ended");
    keys.compare(what, &primary, &replica);
    took("both have the same", 0);
    let ((), count) = load.run(primary.port, || {
        restart(&mut primary);
        wait_following(&primary, &replica);
    });
    took("the primary is started again", count);
    assert_eq!(syncs(&mut primary.client()), (0, 1), "{what}: the replica goes on");
    keys.compare(what, &primary, &replica);
    assert!(written > 1_000, "{what}: {written} writes are too light to prove anything");
}

#[test]
fn valkey_leads_four_shards() {
    follows(Stock(Oracle::Valkey), Troupe(4));
}

#[test]
fn one_shard_leads_four() {
    follows(Troupe(1), Troupe(4));
}

#[test]
fn four_shards_lead_redis_7() {
    follows(Troupe(4), Stock(Oracle::Redis));
}

#[test]
#[ignore = "by night"]
fn redis_7_leads_one_shard() {
    follows(Stock(Oracle::Redis), Troupe(1));
}

#[test]
#[ignore = "by night"]
fn redis_7_leads_four_shards() {
    follows(Stock(Oracle::Redis), Troupe(4));
}

#[test]
#[ignore = "by night"]
fn redis_8_leads_one_shard() {
    follows(Stock(Oracle::Redis8), Troupe(1));
}

#[test]
#[ignore = "by night"]
fn redis_8_leads_four_shards() {
    follows(Stock(Oracle::Redis8), Troupe(4));
}

#[test]
#[ignore = "by night"]
fn valkey_leads_one_shard() {
    follows(Stock(Oracle::Valkey), Troupe(1));
}

#[test]
#[ignore = "by night"]
fn one_shard_leads_redis_7() {
    follows(Troupe(1), Stock(Oracle::Redis));
}

#[test]
#[ignore = "by night"]
fn one_shard_leads_redis_8() {
    follows(Troupe(1), Stock(Oracle::Redis8));
}

#[test]
#[ignore = "by night"]
fn one_shard_leads_valkey() {
    follows(Troupe(1), Stock(Oracle::Valkey));
}

#[test]
#[ignore = "by night"]
fn one_shard_leads_one() {
    follows(Troupe(1), Troupe(1));
}

#[test]
#[ignore = "by night"]
fn four_shards_lead_redis_8() {
    follows(Troupe(4), Stock(Oracle::Redis8));
}

#[test]
#[ignore = "by night"]
fn four_shards_lead_valkey() {
    follows(Troupe(4), Stock(Oracle::Valkey));
}

#[test]
#[ignore = "by night"]
fn four_shards_lead_one() {
    follows(Troupe(4), Troupe(1));
}

#[test]
#[ignore = "by night"]
fn four_shards_lead_four() {
    follows(Troupe(4), Troupe(4));
}
