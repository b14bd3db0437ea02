//! What tests of replication share: a load of every kind, and waits for replicas.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;

use super::client::Client;
use super::server::Server;
use super::wait::{SOON, until};

/// How long a sync may take on a machine that is busy.
pub const LATER: Duration = Duration::from_secs(60);

/// What somebody writes next: keys of every type, over slots and databases.
fn any_write(rng: &mut Rng) -> String {
    let mut key = |kind: &str| format!("{kind}{}", rng.u32(..100));
    let (s, t, h, l, z, x) = (key("s"), key("s"), key("h"), key("l"), key("z"), key("x"));
    let number = rng.u32(1..2_000);
    match rng.u32(..22) {
        0 => format!("SET {s} {number}"),
        1 => format!("SET {s} {number} PX {number}"),
        2 => format!("HSET {h} f{} {number}", number % 20),
        3 => format!("LPUSH {l} {number}"),
        4 => format!("RPOP {l}"),
        5 => format!("SADD set{s} {number}"),
        6 => format!("SPOP set{s}"),
        7 => format!("ZADD {z} {number} m{}", number % 50),
        8 => format!("XADD {x} * f {number}"),
        9 => format!("XGROUP CREATE {x} g 0"),
        10 => format!("XREADGROUP GROUP g c COUNT 2 STREAMS {x} >"),
        11 => format!("RENAME {s} {t}"),
        12 => format!("COPY {s} {t} REPLACE"),
        13 => format!("MSET {s} {number} {t} {number}"),
        14 => format!("DEL {s} {h} {l}"),
        15 => format!("PEXPIRE {h} {number}"),
        16 => format!("SELECT {}", number % 3),
        17 => format!("PUBLISH channel {number}"),
        18 => format!("SUNIONSTORE set{s} set{s} set{t}"),
        19 if number.is_multiple_of(100) => "FLUSHDB".to_owned(),
        20 => format!("GETEX {s} PX {number}"),
        _ => format!("APPEND {s} {number}"),
    }
}

/// Writes until it is told to stop, and some thousand commands at least, some of it in
/// transactions.
fn write(port: u16, mut rng: Rng, stop: &AtomicBool, is_paced: bool) {
    let mut client = Client::connect(port).unwrap();
    let mut count = 0;
    while count < 3_000 || !stop.load(Ordering::Relaxed) {
        let mut lines: Vec<String> = (0..20).map(|_| any_write(&mut rng)).collect();
        if rng.bool() {
            lines.insert(0, "MULTI".to_owned());
            lines.push("EXEC".to_owned());
        }
        let words = |line: &String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let commands: Vec<_> = lines.iter().map(words).collect();
        count += client.pipeline(&commands).unwrap().len();
        if is_paced {
            // Not for long: there may be no replica now.
            client.line("WAIT 1 20");
        }
    }
}

/// Stops those who write, also when what they write under has failed.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` while clients write. Afterwards nothing expires any more by itself.
pub fn under_writes<R>(primary: &Server, seed: u64, work: impl FnOnce() -> R) -> R {
    under(primary, seed, false, work)
}

/// The same while clients write no faster than a replica follows.
pub fn under_paced_writes<R>(primary: &Server, seed: u64, work: impl FnOnce() -> R) -> R {
    under(primary, seed, true, work)
}

fn under<R>(primary: &Server, seed: u64, is_paced: bool, work: impl FnOnce() -> R) -> R {
    let stop = AtomicBool::new(false);
    let mut rng = Rng::with_seed(seed);
    let done = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|_| {
                let (rng, stop) = (rng.fork(), &stop);
                scope.spawn(move || write(primary.port, rng, stop, is_paced))
            })
            .collect();
        let stops = Stops(&stop);
        let done = work();
        drop(stops);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done
    });
    let mut client = primary.client();
    until("all deadlines have passed", SOON, || {
        let text = client.line("INFO keyspace").text();
        text.lines().filter(|line| line.starts_with("db")).all(|line| line.contains("expires=0"))
    });
    done
}

/// Waits until a replica holds what the primary holds.
pub fn wait_equal(primary: &Server, replica: &Server) {
    let (mut one, mut other) = (primary.client(), replica.client());
    until("the replica is equal", LATER, || one.line("DEBUG DIGEST") == other.line("DEBUG DIGEST"));
    let keys = one.info("db0");
    assert!(keys.contains("keys="), "there is something to compare");
    assert_eq!(
        keys.split(',').next().unwrap(),
        other.info("db0").split(',').next().unwrap(),
        "as many keys"
    );
}

/// Waits until a replica has loaded what it was sent, and follows.
pub fn wait_up(replica: &Server) {
    let mut client = replica.client();
    until("its link is up", LATER, || client.info("master_link_status") == "up");
}

pub fn wait_online(primary: &Server, replicas: u64) {
    let mut client = primary.client();
    until("the replicas are online", LATER, || {
        let text = client.line("INFO replication").text();
        text.matches("state=online").count() as u64 == replicas
    });
}
