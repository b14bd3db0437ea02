//! Readers of a replica see only states that its primary had, in their order: whatever the number
//! of shards on either side, and however what the primary did comes to the replica.
//!
//! Rows of six keys in different slots are written from left to right, each time with the next
//! number: by themselves, by a transaction, by MSET, in one pipeline. So at any moment the numbers
//! of a row fall from left to right, by one at the most, and the middle pairs are equal.
//!
//! `TROUPE_SEED` repeats what is written.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use fastrand::Rng;

use crate::support::client::Client;
use crate::support::replicated::{LATER, patient, wait_equal, wait_up};
use crate::support::reply::Reply;
use crate::support::seed;
use crate::support::server::{Options, Server};
use crate::support::wait::StopAtEnd;

const WRITERS: usize = 2;
const ROWS_OF_A_WRITER: usize = 4;
const ROWS: usize = WRITERS * ROWS_OF_A_WRITER;
const READERS: u64 = 3;

/// So many different states of rows each reader has to see.
const STATES: usize = 200;

fn keys_of(row: usize) -> Vec<String> {
    ["a", "b", "c", "d", "e", "f"].map(|name| format!("{name}{row}")).to_vec()
}

/// What makes `number` the number of a row.
fn commands_of(row: usize, number: u64) -> Vec<Vec<String>> {
    let lines = [
        format!("SET a{row} {number}"),
        "MULTI".to_owned(),
        format!("SET b{row} {number}"),
        format!("SET c{row} {number}"),
        "EXEC".to_owned(),
        format!("MSET d{row} {number} e{row} {number}"),
        format!("SET f{row} {number}"),
    ];
    lines.map(|line| line.split(' ').map(str::to_owned).collect()).to_vec()
}

/// Writes to the rows of one writer until it is told to stop, not far ahead of the replica.
fn write(port: u16, first_row: usize, mut rng: Rng, stop: &AtomicBool) {
    let mut client = Client::connect(port).unwrap();
    let mut numbers = [0; ROWS_OF_A_WRITER];
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..20 {
            let mut commands = Vec::new();
            for _ in 0..rng.usize(1..5) {
                let row = rng.usize(..ROWS_OF_A_WRITER);
                numbers[row] += 1;
                commands.extend(commands_of(first_row + row, numbers[row]));
            }
            let replies = client.pipeline(&commands).unwrap();
            assert!(replies.iter().all(|reply| reply.error().is_none()), "{replies:?}");
        }
        client.line("WAIT 1 1000");
    }
}

/// The numbers of a row at one moment, 0 where there is none yet.
fn read(client: &mut Client, row: usize, in_transaction: bool) -> Vec<i64> {
    let keys = keys_of(row);
    let values = if in_transaction {
        let mut commands = vec![vec!["MULTI".to_owned()]];
        commands.extend(keys.into_iter().map(|key| vec!["GET".to_owned(), key]));
        commands.push(vec!["EXEC".to_owned()]);
        client.pipeline(&commands).unwrap().pop().unwrap()
    } else {
        client.call(&[vec!["MGET".to_owned()], keys].concat())
    };
    values.members().iter().map(|value| Reply::number(value).unwrap_or(0)).collect()
}

/// What is wrong with the numbers of a row, of which the reader has seen `last` before.
fn wrong(now: &[i64], last: &[i64]) -> Option<&'static str> {
    match () {
        () if !now.is_sorted_by(|left, right| left >= right) => Some("a later write came earlier"),
        () if now[0] - now[5] > 1 => Some("a write came before an earlier one had ended"),
        () if now[1] != now[2] => Some("half a transaction is seen"),
        () if now[3] != now[4] => Some("half of MSET is seen"),
        () if now.iter().zip(last).any(|(now, last)| now < last) => Some("it went back"),
        () => None,
    }
}

/// Reads until it has seen enough states, or one that the primary never had.
fn look(port: u16, mut rng: Rng, least: usize, seen: &Mutex<Option<String>>) {
    let mut client = Client::connect(port).unwrap();
    let mut last = vec![vec![0; 6]; ROWS];
    let (mut states, deadline) = (0, Instant::now() + LATER);
    while states < least && seen.lock().unwrap().is_none() {
        assert!(Instant::now() < deadline, "only {states} states in {LATER:?}");
        let row = rng.usize(..ROWS);
        let now = read(&mut client, row, rng.bool());
        if let Some(what) = wrong(&now, &last[row]) {
            *seen.lock().unwrap() = Some(format!("{what}: {now:?} after {:?}", last[row]));
        }
        states += usize::from(now != last[row]);
        last[row] = now;
    }
}

/// What readers of a replica saw that the primary never had.
fn looked_at(primary: &Server, replica: &Server, mut rng: Rng, least: usize) -> Option<String> {
    let (stop, seen) = (AtomicBool::new(false), Mutex::new(None));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (rng, stop) = (rng.fork(), &stop);
            scope.spawn(move || write(primary.port, writer * ROWS_OF_A_WRITER, rng, stop));
        }
        let _stops = StopAtEnd(&stop);
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (rng, seen) = (rng.fork(), &seen);
                scope.spawn(move || look(replica.port, rng, least, seen))
            })
            .collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    seen.into_inner().unwrap()
}

fn pair(shards: [usize; 2]) -> (Server, Server) {
    let [primary, replica] = shards.map(|shards| patient(Options::shards(shards)));
    let primary = primary.start();
    let replica = replica.with(&format!("replicaof 127.0.0.1 {}", primary.port)).start();
    wait_up(&replica);
    (primary, replica)
}

#[test]
fn readers_of_a_replica_see_only_states_that_the_primary_had() {
    let seed = seed("readers");
    for shards in [[1, 1], [2, 1], [1, 2], [2, 2], [1, 4], [4, 4]] {
        let (primary, replica) = pair(shards);
        let seen = looked_at(&primary, &replica, Rng::with_seed(seed), STATES);
        assert_eq!(seen, None, "{shards:?} shards");
        wait_equal(&primary, &replica);
        assert_eq!(primary.client().info_number("sync_full"), 1, "the link was never cut");
    }
}

#[test]
fn states_that_the_primary_never_had_are_noticed() {
    let last = [4, 4, 4, 4, 4, 3];
    for right in [[4, 4, 4, 4, 4, 3], [4, 4, 4, 4, 4, 4], [9, 8, 8, 8, 8, 8], [9; 6]] {
        assert_eq!(wrong(&right, &last), None, "{right:?}");
    }
    for not in [[4, 5, 5, 4, 4, 4], [6, 4, 4, 4, 4, 4], [5, 5, 4, 4, 4, 4], [5, 5, 5, 5, 4, 4]] {
        assert!(wrong(&not, &last).is_some(), "{not:?}");
    }
    assert!(wrong(&[4, 3, 3, 3, 3, 3], &last).is_some(), "it was further");
}
