//! Promise 3: nothing acknowledged is lost, and no command is half there, whenever the process
//! dies.
//!
//! | `appendfsync` | what may be lost |
//! | --- | --- |
//! | `always` | nothing that was acknowledged |
//! | `everysec` | what was acknowledged in the last two seconds, by the clock of the client |
//! | `no` | more |
//!
//! Always there is what the first so many commands of each connection have made, and nothing else;
//! a transaction is there whole or not at all. The process dies at random moments, in a rewrite, in
//! a snapshot and in a load; and the journal is loaded with another number of shards each time.
//!
//! kill -9 leaves the page cache alone, so these rounds prove the order of write and reply, and
//! that start-up reads what was written; what a power cut does is the simulator's matter, and what
//! death at each call to the disk does, `faults`'s. `TROUPE_KILL_ROUNDS` says how many rounds with
//! each `appendfsync` (default 30).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::client::encode;
use crate::support::load::{Writer, under_load};
use crate::support::queues::{End, counters, work};
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};
use crate::support::{env_number, seed};

/// What may be lost with `everysec`.
const LOST_MOST: Duration = Duration::from_secs(2);

/// Keys beside those of the clients: so a rewrite, a snapshot and a load take a while.
const OTHERS: u64 = 100_000;

/// When the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// Within a fraction of a second.
    Soon,
    /// Within some seconds: among the syncs of each.
    Late,
    Rewrite,
    Snapshot,
    /// Soon, and once more while the journal is loaded.
    Load,
}

const MOMENTS: [Moment; 5] =
    [Moment::Soon, Moment::Rewrite, Moment::Load, Moment::Snapshot, Moment::Late];

impl Moment {
    /// Lets the clients work until the process is to die. Returns whether it is what is meant.
    fn come(self, server: &Server, random: &mut fastrand::Rng) -> bool {
        match self {
            Moment::Soon | Moment::Load => a_moment(random, 150),
            Moment::Late => a_moment(random, 3_000),
            Moment::Rewrite => return self.is_within(server, "BGREWRITEAOF", random),
            Moment::Snapshot => return self.is_within(server, "BGSAVE", random),
        }
        true
    }

    /// Begins what is meant, and lets some of it pass. Returns false when it is over.
    fn is_within(self, server: &Server, command: &str, random: &mut fastrand::Rng) -> bool {
        let field = match self {
            Moment::Rewrite => "aof_rewrite_in_progress",
            Moment::Snapshot => "rdb_bgsave_in_progress",
            _ => "loading",
        };
        let mut client = server.client();
        client.line(command);
        a_moment(random, 40);
        client.info(field) == "1"
    }
}

fn writers(server: &Server, count: usize) -> Vec<Writer> {
    let writers: Vec<Writer> = (0..count).map(Writer::new).collect();
    writers.iter().for_each(|writer| writer.prepare(&mut server.client()));
    writers
}

fn verify(server: &Server, writers: &mut [Writer], when: &str) {
    let mut client = server.client();
    for writer in writers {
        writer.verify(&mut client).unwrap_or_else(|err| panic!("{when}: {err}"));
    }
}

/// Lets a moment pass that is different each time, so that the end meets everything.
pub fn a_moment(random: &mut fastrand::Rng, most_ms: u64) {
    let end = Instant::now() + Duration::from_millis(random.u64(5..most_ms));
    until("a moment of load", SOON, || Instant::now() >= end);
}

fn kill_rounds(fsync: &str) {
    let rounds = env_number("TROUPE_KILL_ROUNDS", 30);
    let mut random = fastrand::Rng::with_seed(seed(&format!("kill {fsync}")));
    let options = |shards| Options::shards(shards).journal(fsync).with("save ").debug();
    let mut server = options(1).start();
    server.client().line(&format!("DEBUG POPULATE {OTHERS} other 50"));
    let mut writers = writers(&server, 6);
    // What the rounds begin with is durable.
    server.stop();
    server.restart();
    let end = if fsync == "always" { End::Killed } else { End::KilledWithLosses };
    let (mut transactions, mut served, mut met) = (0, 0, BTreeMap::new());
    let mut oldest = None;
    for round in 0..rounds {
        let moment = MOMENTS[round as usize % MOMENTS.len()];
        let shards = [1, 2, 4][round as usize % 3];
        let what = format!("{fsync}, round {round}, {moment:?}, then {shards} shards");
        let (mut is_met, mut died) = (true, Instant::now());
        let (told, _) = under_load(server.port, &mut writers, || {
            work(server.port, round, || {
                is_met = moment.come(&server, &mut random);
                server.kill();
                died = Instant::now();
            })
        });
        if moment == Moment::Load {
            server.respawn_with(&options(shards));
            is_met = moment.is_within(&server, "PING", &mut random);
            server.kill();
        }
        *met.entry(moment).or_insert(0) += u64::from(is_met);
        server.restart_with(&options(shards));
        let mut client = server.client();
        for writer in &mut writers {
            let lost = writer.verify_first(&mut client);
            let lost = lost.unwrap_or_else(|err| panic!("{what}: {err}"));
            let age = lost.map(|came| died - came);
            let is_kept = match fsync {
                "always" => age.is_none(),
                "everysec" => age.is_none_or(|age| age <= LOST_MOST),
                _ => true,
            };
            assert!(is_kept, "{what}: a reply of {age:?} before the death is lost");
            oldest = oldest.max(age);
        }
        println!("{what}");
        transactions += told.verify(&mut client, end);
        served += told.served();
        let counted = counters(&mut client);
        let is_whole = counted.iter().all(|count| *count == transactions as i64);
        assert!(is_whole, "{what}: {counted:?}, not {transactions}");
        let others = client.line("DBSIZE").number();
        assert!(others.is_some_and(|keys| keys > OTHERS as i64), "{what}: {others:?} keys");
    }
    let commands: u64 = writers.iter().map(|writer| writer.acknowledged).sum();
    println!(
        "{fsync}: {rounds} kills, met {met:?}, {commands} acknowledged commands, {transactions} \
         transactions, {served} waits, the oldest reply that is lost: {oldest:?}"
    );
    assert!(commands > rounds * 50 && served > 50, "too light to prove anything");
    assert!(rounds < 30 || met.values().all(|count| *count > 0), "not all was met: {met:?}");
}

#[test]
fn a_kill_loses_nothing_acknowledged_with_always() {
    kill_rounds("always");
}

#[test]
fn a_kill_loses_two_seconds_at_most_with_everysec() {
    kill_rounds("everysec");
}

#[test]
fn a_kill_leaves_what_came_first_without_sync() {
    kill_rounds("no");
}

/// A clean stop loses nothing with any setting, and the content is the same to the byte.
#[test]
fn sigterm_flushes_the_journal() {
    for appendfsync in ["always", "everysec", "no"] {
        let mut server = Options::shards(4).journal(appendfsync).debug().start();
        let mut writers = writers(&server, 4);
        let mut random = fastrand::Rng::with_seed(seed("sigterm"));
        under_load(server.port, &mut writers, || a_moment(&mut random, 150));
        server.client().line("SET with:deadline v EX 100000");
        let before = server.client().line("DEBUG DIGEST").text();
        server.stop();
        server.restart();
        assert_eq!(server.client().line("DEBUG DIGEST").text(), before, "{appendfsync}");
        verify(&server, &mut writers, appendfsync);
    }
}

/// A journal written with one number of shards is loaded with another.
#[test]
fn the_number_of_shards_may_change_between_starts() {
    let mut server = Options::shards(4).journal("always").debug().start();
    let mut writers = writers(&server, 4);
    let mut random = fastrand::Rng::with_seed(seed("shards"));
    under_load(server.port, &mut writers, || a_moment(&mut random, 150));
    let before = server.client().line("DEBUG DIGEST").text();
    for shards in [1, 3, 2, 4] {
        server.stop();
        server.restart_with(&Options::shards(shards).journal("always").debug());
        assert_eq!(server.client().line("DEBUG DIGEST").text(), before, "{shards} shards");
    }
    verify(&server, &mut writers, "after four starts");
}

/// A record cut off at the end is dropped and said; the rest is there.
#[test]
fn a_torn_tail_is_cut_and_said() {
    let mut server = Options::shards(2).journal("always").start();
    server.client().line("SET first 1");
    server.client().line("SET second 2");
    server.kill();
    let file = increment(&server);
    let length = file.metadata().unwrap().len();
    file.set_len(length - 3).unwrap();
    server.restart();
    let both = server.client().line("MGET first second");
    assert_eq!(both.printed(), "1) \"1\"\n2) (nil)");
    assert!(server.log().to_lowercase().contains("truncat"), "not said in the log");
    // What is written now must not stand behind the torn piece.
    server.client().line("SET third 3");
    server.kill();
    server.restart();
    assert_eq!(server.client().line("GET third").text(), "3");
}

/// The same in a single file of Redis before 7, which is adopted first.
#[test]
fn a_torn_tail_of_a_single_file_is_cut_and_said() {
    let mut server = Options::shards(2).journal("always").start();
    server.stop();
    std::fs::remove_dir_all(server.path("appendonlydir")).unwrap();
    let old = [encode(&["SET", "first", "1"]), encode(&["SET", "second", "2"])].concat();
    std::fs::write(server.path("appendonly.aof"), &old[..old.len() - 3]).unwrap();
    server.restart();
    let both = server.client().line("MGET first second");
    assert_eq!(both.printed(), "1) \"1\"\n2) (nil)");
    assert!(server.log().to_lowercase().contains("truncat"), "not said in the log");
    server.client().line("SET third 3");
    server.kill();
    server.restart();
    assert_eq!(server.client().line("MGET first third").printed(), "1) \"1\"\n2) \"3\"");
}

/// Damage in the middle stops the start, with the place.
#[test]
fn damage_in_the_middle_stops_the_start() {
    let mut server = Options::shards(2).journal("always").start();
    for number in 0..50 {
        server.client().line(&format!("SET key:{number} {number}"));
    }
    server.stop();
    let file = increment(&server);
    std::os::unix::fs::FileExt::write_at(&file, b"#!rubbish!#", 400).unwrap();
    let before = server.log().len();
    server.respawn();
    let status = server.wait_end(SOON);
    assert!(!status.success(), "it started on a damaged journal");
    let said = server.log()[before..].to_string();
    assert!(said.to_lowercase().contains("offset"), "no offset: {said}");
}

/// The newest increment of the journal.
pub fn increment(server: &Server) -> std::fs::File {
    let folder = std::fs::read_dir(server.path("appendonlydir")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).collect();
    files.sort();
    std::fs::File::options().read(true).write(true).open(files.last().unwrap()).unwrap()
}

/// Redis's own checker accepts the journal, and Redis itself loads it with the same content.
#[test]
fn redis_loads_the_journal() {
    use crate::support::{in_ci, oracle};
    let Some(redis) = oracle::on_path("redis-server") else {
        assert!(!in_ci(), "redis-server is missing");
        return;
    };
    let mut server = Options::shards(4).journal("always").debug().start();
    let mut writers = writers(&server, 4);
    let mut random = fastrand::Rng::with_seed(seed("redis"));
    under_load(server.port, &mut writers, || a_moment(&mut random, 150));
    server.client().line("SET binary \"\\x00\\xff\\r\\n\" EX 100000");
    let before = server.client().line("DEBUG DIGEST").text();
    server.stop();
    let manifest = server.path("appendonlydir/appendonly.aof.manifest");
    let check = std::process::Command::new("redis-check-aof").arg(manifest).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let folder = server.folder().to_string_lossy().into_owned();
    let command = [redis].map(|word| word.to_string());
    let other = Options::program(&command).with(&format!("dir {folder}"));
    let other = other.with("appendonly yes").with("enable-debug-command yes").start();
    assert_eq!(other.client().line("DEBUG DIGEST").text(), before);
}

/// And the other way round: a journal that Redis wrote, with its base as commands.
#[test]
fn a_journal_of_redis_is_loaded() {
    use crate::support::{in_ci, oracle};
    let Some(redis) = oracle::on_path("redis-server") else {
        assert!(!in_ci(), "redis-server is missing");
        return;
    };
    for preamble in ["no", "yes"] {
        let mut ours = Options::shards(4).journal("always").debug().start();
        ours.stop();
        std::fs::remove_dir_all(ours.path("appendonlydir")).unwrap();
        let folder = ours.folder().to_string_lossy().into_owned();
        let mut other = Options::program(std::slice::from_ref(&redis))
            .with(&format!("dir {folder}"))
            .with("appendonly yes")
            .with("enable-debug-command yes")
            .with(&format!("aof-use-rdb-preamble {preamble}"))
            .start();
        let mut writers = writers(&other, 2);
        let mut random = fastrand::Rng::with_seed(seed("from redis"));
        under_load(other.port, &mut writers, || a_moment(&mut random, 150));
        other.client().line("SET binary \"\\x00\\xff\\r\\n\" EX 100000");
        let before = other.client().line("DEBUG DIGEST").text();
        other.stop();
        ours.restart();
        assert_eq!(ours.client().line("DEBUG DIGEST").text(), before, "preamble {preamble}");
    }
}

/// A journal of another server holds commands that read one slot and write another. It is loaded
/// with any number of shards, and written anew so that one shard alone can be rebuilt from it.
#[test]
fn commands_over_several_slots_are_loaded() {
    let mut server = Options::shards(4).journal("always").debug().start();
    server.stop();
    let mut journal = Vec::new();
    let mut expected = Vec::new();
    for number in 0..200 {
        let lines = [
            "SELECT 0".to_owned(),
            format!("SET a:{number} {number}"),
            format!("MSET b:{number} 1 c:{number} 2"),
            "MULTI".to_owned(),
            format!("RENAME a:{number} d:{number}"),
            format!("COPY d:{number} e:{number} DB 3"),
            "EXEC".to_owned(),
            format!("APPEND d:{number} x"),
            format!("RENAMENX c:{number} b:{number}"),
            format!("DEL b:{number}"),
            format!("RENAMENX c:{number} b:{number}"),
        ];
        for line in &lines {
            journal.extend(encode(&line.split(' ').collect::<Vec<_>>()));
        }
        expected.push((format!("GET d:{number}"), format!("{number}x")));
        expected.push((format!("GET b:{number}"), "2".to_owned()));
    }
    let increment = server.path("appendonlydir/appendonly.aof.1.incr.aof");
    std::fs::write(increment, journal).unwrap();
    server.restart();
    let mut client = server.client();
    for (line, reply) in &expected {
        assert_eq!(client.line(line).text(), *reply, "{line}");
    }
    assert_eq!(client.line("DBSIZE").number(), Some(400));
    client.line("SELECT 3");
    assert_eq!(client.line("GET e:7").text(), "7");
    // Who reads is served meanwhile.
    let manifest = server.path("appendonlydir/appendonly.aof.manifest");
    until("the journal is written anew", SOON, || {
        let listed = std::fs::read_to_string(&manifest).unwrap();
        listed.contains("appendonly.aof.2.base.rdb seq 2 type b")
    });
    let digest = client.line("DEBUG DIGEST").text();
    for shard in 0..4 {
        client.line(&format!("DEBUG PANIC-SHARD {shard}"));
    }
    until("the shards are rebuilt", SOON, || {
        let reply = client.line("DEBUG DIGEST");
        reply.error().is_none() && reply.text() == digest
    });
    server.kill();
    server.restart();
    assert_eq!(server.client().line("DEBUG DIGEST").text(), digest);
}
