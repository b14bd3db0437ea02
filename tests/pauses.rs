//! Promise 6: no long pause. A table that grows and keys that are due are worked off in pieces.
//!
//! The bounds are for a noisy machine and the debug profile, and far below what a table moved at
//! once or keys taken out by chance would cost; the figures themselves are measured by the scripts
//! in `tests/measure/`. `TROUPE_GROW_KEYS` says how far the data set grows (default 1,000,000).

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::durability::increment;
use crate::support::client::Client;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, StopAtEnd, until};
use crate::support::{env_number, seed};

/// The longest slice, in microseconds of the thread's CPU time.
const SLICE_US_MAX: u64 = 10_000;

/// How late a key may be gone and its DEL in the journal, for 99 of 100 keys.
const LATE_MAX: Duration = Duration::from_millis(100);

/// The longest slice of each shard so far, in microseconds.
fn longest_slices(client: &mut Client) -> Vec<u64> {
    let info = client.line("INFO actors").text();
    let slices = info.lines().filter_map(|line| line.split_once("longest_slice_us="));
    slices.map(|(_, number)| number.trim().parse().unwrap()).collect()
}

/// Reads and writes of single keys until told to stop.
fn light_load(server: &Server, seed: u64, stop: &AtomicBool) {
    let mut client = server.client();
    let mut random = fastrand::Rng::with_seed(seed);
    while !stop.load(Ordering::Relaxed) {
        let number = random.u32(..1_000);
        client.line(&format!("SET load:{number} {number}"));
        client.line(&format!("GET load:{}", random.u32(..1_000)));
    }
}

/// Half of the keys in one slot, so that its table grows far, half over all slots.
#[test]
fn no_slice_is_long_while_a_data_set_grows() {
    const PIPELINE: u64 = 500;
    let server = Options::shards(2).start();
    let keys = env_number("TROUPE_GROW_KEYS", 1_000_000);
    let seed = seed("growth");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| light_load(&server, seed, &stop));
        let _stopper = StopAtEnd(&stop);
        let mut client = server.client();
        for start in (0..keys).step_by(PIPELINE as usize) {
            let commands: Vec<Vec<String>> = (start..keys.min(start + PIPELINE))
                .map(|number| match number % 2 {
                    0 => ["SET".to_string(), format!("{{one}}:{number}"), "v".to_string()],
                    _ => ["SET".to_string(), format!("spread:{number}"), "v".to_string()],
                })
                .map(Vec::from)
                .collect();
            client.pipeline(&commands).unwrap();
        }
    });
    let slices = longest_slices(&mut server.client());
    println!("{keys} keys: the longest slices are {slices:?} us");
    assert_eq!(slices.len(), 2);
    assert!(slices.iter().all(|slice| *slice <= SLICE_US_MAX), "{slices:?} us");
}

/// Milliseconds of unix time.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Reads the journal as it grows.
struct Follower {
    file: File,
    rest: Vec<u8>,
}

impl Follower {
    /// The numbers of the keys `due:NUMBER` whose DEL has come since the last question.
    fn deleted(&mut self) -> Vec<u64> {
        const MARK: &[u8] = b"$3\r\nDEL\r\n$10\r\ndue:";
        const NUMBER: usize = 6;
        self.file.read_to_end(&mut self.rest).unwrap();
        let (mut found, mut done) = (Vec::new(), 0);
        let whole = self.rest.len().saturating_sub(MARK.len() + NUMBER - 1);
        while let Some(at) = (done..whole).find(|at| self.rest[*at..].starts_with(MARK)) {
            done = at + MARK.len() + NUMBER;
            let number = std::str::from_utf8(&self.rest[at + MARK.len()..done]).unwrap();
            found.push(number.parse().unwrap());
        }
        self.rest.drain(..done.max(whole).min(self.rest.len()));
        found
    }
}

/// Sets keys that are due between one and three seconds later; tells of each deadline.
fn set_due(server: &Server, keys: u64, seed: u64) -> HashMap<u64, u64> {
    const PIPELINE: u64 = 200;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut client = server.client();
    let mut deadlines = HashMap::new();
    for start in (0..keys).step_by(PIPELINE as usize) {
        let now = unix_ms();
        let commands: Vec<Vec<String>> = (start..keys.min(start + PIPELINE))
            .map(|number| {
                let at = now + random.u64(1_000..3_000);
                deadlines.insert(number, at);
                let line = format!("SET due:{number:06} v PXAT {at}");
                line.split(' ').map(String::from).collect()
            })
            .collect();
        client.pipeline(&commands).unwrap();
    }
    deadlines
}

/// Keys that nobody looks at are gone, and their DELs in the journal, when they are due. The
/// journal is not synced: what the disk takes for that is not the expiry's lateness.
#[test]
fn keys_expire_on_time_and_are_journaled() {
    const KEYS: u64 = 100_000;
    let server = Options::shards(2).journal("no").start();
    let seed = seed("expiry");
    let mut follower = Follower { file: increment(&server), rest: Vec::new() };
    let mut seen: HashMap<u64, u64> = HashMap::new();
    let stop = AtomicBool::new(false);
    let deadlines = std::thread::scope(|scope| {
        scope.spawn(|| light_load(&server, seed, &stop));
        let _stopper = StopAtEnd(&stop);
        let setter = scope.spawn(|| set_due(&server, KEYS, seed));
        until("every key is gone", SOON * 3, || {
            let deleted = follower.deleted();
            let now = unix_ms();
            seen.extend(deleted.into_iter().map(|number| (number, now)));
            seen.len() as u64 == KEYS
        });
        setter.join().unwrap()
    });
    let late = |number: &u64| seen[number] as i64 - deadlines[number] as i64;
    let mut lates: Vec<i64> = deadlines.keys().map(late).collect();
    lates.sort_unstable();
    let at = |share: f64| lates[(lates.len() as f64 * share) as usize];
    let last = lates[lates.len() - 1];
    println!("late in ms: median {}, p99 {}, at most {last}", at(0.5), at(0.99));
    assert!(lates[0] >= 0, "a key was gone {} ms early", -lates[0]);
    assert!(at(0.99) <= LATE_MAX.as_millis() as i64, "p99 is {} ms", at(0.99));
    let left = server.client().line("DBSIZE").number().unwrap();
    assert!(left <= 1_000, "{left} keys are left, the load has 1,000");
}
