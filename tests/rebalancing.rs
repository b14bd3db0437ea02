//! Slots that move by load: a dry run moves none and says what it would, then they move under the
//! load that made them hot, and no command of it is lost.

use crate::order::slot;
use crate::support::client::Client;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

/// Keys that all commands go to; their slots stand at one shard.
const HOT: usize = 24;

/// Commands of a client in one write.
const PIPELINE: usize = 400;

/// Clients that count, and how often they have.
struct Load {
    clients: Vec<Client>,
    counted: usize,
}

impl Load {
    fn new(server: &Server) -> Load {
        let mut client = server.client();
        for key in (0..HOT).map(key) {
            let line = format!("DEBUG MOVE-SLOT {} 0", slot(&key));
            assert!(client.line(&line).is_ok(), "{line}");
        }
        Load { clients: (0..4).map(|_| server.client()).collect(), counted: 0 }
    }

    fn round(&mut self) {
        for client in &mut self.clients {
            let count = |number: usize| vec!["INCR".to_owned(), key(number % HOT)];
            client.pipeline(&(0..PIPELINE).map(count).collect::<Vec<_>>()).unwrap();
            self.counted += PIPELINE;
        }
    }
}

fn key(number: usize) -> String {
    format!("hot:{number}")
}

fn hot_slots_move_under_load(shards: usize) {
    let options = Options::shards(shards).debug().with("save ").with("rebalance dry-run");
    // A load that a test can make is one.
    let options = options.with("rebalance-window 1").with("rebalance-windows 1");
    let server = options.with("rebalance-busy 1").with("rebalance-start 5").start();
    let (mut load, mut watcher) = (Load::new(&server), server.client());
    until("a dry run says what it would do", SOON, || {
        load.round();
        server.log().contains("Rebalancing (dry run: nothing moves): shard 0 is busy")
    });
    assert_eq!(watcher.info("rebalance"), "dry-run");
    assert_eq!((watcher.info_number("rebalance_moved_slots"), slots_out(&mut watcher, 0)), (0, 0));
    assert!(watcher.line("CONFIG SET rebalance yes").is_ok());
    until("slots move", SOON, || {
        load.round();
        watcher.info_number("rebalance_moves") > 0
    });
    load.round();
    let gone = slots_out(&mut watcher, 0);
    assert!((1..=HOT as u64).contains(&gone), "{gone} slots have left the first shard");
    assert!(watcher.line("CONFIG SET rebalance no").is_ok());
    let count = |number| watcher.call(&["GET", &key(number)]).text().parse::<usize>().unwrap();
    assert_eq!((0..HOT).map(count).sum::<usize>(), load.counted);
    let moved = watcher.info_number("rebalance_moved_slots");
    assert!(moved >= gone, "{moved} slots have moved, {gone} of them from the first shard");
}

/// Slots that were told to leave a shard.
fn slots_out(watcher: &mut Client, shard: usize) -> u64 {
    let row = watcher.info(&format!("load{shard}"));
    let out = row.split(',').find_map(|field| field.strip_prefix("slots_out="));
    out.unwrap_or_else(|| panic!("{row}")).parse().unwrap()
}

#[test]
fn hot_slots_move_under_load_between_two() {
    hot_slots_move_under_load(2);
}

#[test]
fn hot_slots_move_under_load_among_four() {
    hot_slots_move_under_load(4);
}

#[test]
fn one_that_is_alone_measures_nothing() {
    let server = Options::shards(1).with("rebalance-window 1").start();
    let mut client = server.client();
    assert_eq!(client.info("rebalance_verdict"), "none");
    assert_eq!(client.info_number("rebalance_windows"), 0);
}
