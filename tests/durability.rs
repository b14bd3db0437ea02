//! Promise 3: nothing acknowledged is lost, and no command is half there, whenever the process
//! dies.
//!
//! kill -9 leaves the page cache alone, so these rounds prove the order of write and reply, and
//! that start-up reads what was written; what a power cut does is the simulator's matter.
//! `TROUPE_KILL_ROUNDS` says how many rounds with two and with four shards (default 100; a fourth
//! of that with one shard and with `everysec`; among transactions a third of each).

use std::time::{Duration, Instant};

use crate::support::client::encode;
use crate::support::load::{Writer, under_load};
use crate::support::queues::{End, counters, work};
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};
use crate::support::{env_number, seed};

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

/// Lets the load run for a moment that is different each time, so that the end meets everything.
fn a_moment(random: &mut fastrand::Rng) {
    let moment = Duration::from_millis(random.u64(5..150));
    let end = Instant::now() + moment;
    until("a moment of load", SOON, || Instant::now() >= end);
}

fn rounds() -> u64 {
    env_number("TROUPE_KILL_ROUNDS", 100)
}

fn kill_rounds(shards: usize, rounds: u64) {
    let mut random = fastrand::Rng::with_seed(seed("kill"));
    let mut server = Options::shards(shards).journal("always").start();
    let mut writers = writers(&server, 8);
    for round in 0..rounds {
        under_load(server.port, &mut writers, || {
            if round % 2 == 1 {
                // Half of the deaths come while the journal is rewritten, or soon after.
                drop(server.client().try_call(&["BGREWRITEAOF"]));
            }
            a_moment(&mut random);
            server.kill();
        });
        server.restart();
        verify(&server, &mut writers, &format!("{shards} shards, round {round}"));
    }
    let total: u64 = writers.iter().map(|writer| writer.acknowledged).sum();
    println!("{rounds} kills, {shards} shards: {total} acknowledged commands, none lost");
    assert!(total > rounds * 50, "the load was too light to prove anything: {total}");
}

#[test]
fn kill_loses_nothing_acknowledged_on_one_shard() {
    kill_rounds(1, rounds().div_ceil(4));
}

#[test]
fn kill_loses_nothing_acknowledged_on_two_shards() {
    kill_rounds(2, rounds());
}

#[test]
fn kill_loses_nothing_acknowledged_on_four_shards() {
    kill_rounds(4, rounds());
}

/// Without fsync, what a reply was sent for is in the page cache: a dead process loses none of it.
#[test]
fn kill_with_everysec_leaves_whole_commands() {
    kill_rounds_everysec(rounds().div_ceil(4));
}

/// With `everysec` the last second may be missing, half a command may not.
fn kill_rounds_everysec(rounds: u64) {
    let mut random = fastrand::Rng::with_seed(seed("kill everysec"));
    for round in 0..rounds {
        let shards = if round % 2 == 0 { 4 } else { 2 };
        let mut server = Options::shards(shards).journal("everysec").start();
        let mut writers = writers(&server, 4);
        under_load(server.port, &mut writers, || {
            a_moment(&mut random);
            server.kill();
        });
        server.restart();
        let mut client = server.client();
        for id in 0..4 {
            let pair = client.line(&format!("MGET w{id}:left w{id}:right"));
            let values = pair.members();
            assert_eq!(values[0], values[1], "half an MSET of w{id}");
            let tokens = client.line(&format!("EXISTS w{id}:even w{id}:odd")).number().unwrap();
            // The token itself may be lost with the last second; two of it may not be.
            assert!(tokens <= 1, "half a RENAME of w{id}");
        }
    }
}

/// A clean stop loses nothing with any setting, and the content is the same to the byte.
#[test]
fn sigterm_flushes_the_journal() {
    for appendfsync in ["always", "everysec", "no"] {
        let mut server = Options::shards(4).journal(appendfsync).debug().start();
        let mut writers = writers(&server, 4);
        let mut random = fastrand::Rng::with_seed(seed("sigterm"));
        under_load(server.port, &mut writers, || a_moment(&mut random));
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
    under_load(server.port, &mut writers, || a_moment(&mut random));
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
    under_load(server.port, &mut writers, || a_moment(&mut random));
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
        under_load(other.port, &mut writers, || a_moment(&mut random));
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
    let manifest = std::fs::read_to_string(server.path("appendonlydir/appendonly.aof.manifest"));
    assert!(manifest.unwrap().contains("appendonly.aof.1.base.rdb seq 1 type b"));
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

/// Clients make transactions over all shards and wait for what those push.
fn kill_rounds_among_transactions(shards: usize, fsync: &str, rounds: u64) {
    let mut random = fastrand::Rng::with_seed(seed("kill transactions"));
    let mut server = Options::shards(shards).journal(fsync).start();
    let end = if fsync == "always" { End::Killed } else { End::KilledWithLosses };
    let (mut total, mut served) = (0, 0);
    for round in 0..rounds {
        println!("{shards} shards, {fsync}, round {round}");
        let told = work(server.port, round, || {
            a_moment(&mut random);
            server.kill();
        });
        server.restart();
        total += told.verify(&mut server.client(), end);
        served += told.served();
        let counted = counters(&mut server.client());
        assert!(counted.iter().all(|count| *count == total as i64), "{counted:?}, not {total}");
    }
    println!("{rounds} kills, {shards} shards, {fsync}: {total} transactions, {served} waits");
    assert!(total > 50 && served > 50, "too light to prove anything: {total}, {served}");
}

#[test]
fn a_transaction_outlasts_a_kill_whole_or_not_at_all_on_one_shard() {
    kill_rounds_among_transactions(1, "always", rounds().div_ceil(12));
}

#[test]
fn a_transaction_outlasts_a_kill_whole_or_not_at_all_on_two_shards() {
    kill_rounds_among_transactions(2, "always", rounds().div_ceil(3));
}

#[test]
fn a_transaction_outlasts_a_kill_whole_or_not_at_all_on_four_shards() {
    kill_rounds_among_transactions(4, "always", rounds().div_ceil(3));
}

#[test]
fn a_transaction_outlasts_a_kill_whole_or_not_at_all_with_everysec() {
    kill_rounds_among_transactions(4, "everysec", rounds().div_ceil(12));
}
