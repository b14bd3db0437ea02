//! Bugs that the server had, a test and its story each. Those that need letters in a certain order
//! are in `src/shard/regressions.rs`; what a test of a promise would notice has none of its own.

use std::time::Duration;

use crate::support::client::{Client, encode};
use crate::support::reply::Reply;
use crate::support::server::Options;
use crate::support::wait::{SOON, until};

/// Clients counted only when their thread had taken them up. While the threads were busy a burst
/// passed `maxclients`, and `redis-benchmark -I` waited for a refusal that never came.
#[test]
fn a_burst_of_clients_does_not_pass_maxclients() {
    let server = Options::shards(2).debug().with("maxclients 20").start();
    let mut stalls = [server.client(), server.client()];
    for (shard, client) in stalls.iter_mut().enumerate() {
        client.line("PING");
        client.send(&["DEBUG", "STALL-SHARD", &shard.to_string(), "1000"]).unwrap();
    }
    let mut burst: Vec<Client> = (0..60).map(|_| server.client()).collect();
    let pong = Reply::Simple("PONG".into());
    let mut served = stalls.len();
    for client in &mut burst {
        // A refused client may find its socket closed before it has asked anything.
        drop(client.send(&["PING"]));
        served += usize::from(client.read().is_ok_and(|reply| reply == pong));
    }
    assert!(served <= 20, "{served} clients were let in");
}

/// The first command of a client could send a letter to a thread that did not know the others yet:
/// its shard panicked and the command was lost.
#[test]
fn the_first_command_may_need_all_shards() {
    let mut server = Options::shards(4).start();
    for round in 0..10 {
        server.kill();
        server.respawn();
        until("the first connection is answered", SOON, || {
            let Ok(mut client) = Client::connect(server.port) else { return false };
            let reply = client.call(&["MSET", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5"]);
            assert!(reply.is_ok(), "round {round}: {reply:?}");
            true
        });
        assert!(!server.log().contains("panic"), "round {round}");
    }
}

/// A client that sends and never reads was fed for ever before it had logged in: its replies, and
/// the connection, stayed.
#[test]
fn a_stranger_who_never_reads_is_closed() {
    let server = Options::shards(2).with("requirepass secret").start();
    let mut stranger = server.client();
    let batch = encode(&["PING"]).repeat(10_000);
    until("the stranger is closed", SOON, || stranger.send_raw(&batch).is_err());
    let mut client = server.client();
    client.line("AUTH secret");
    until("nothing is left of it", Duration::from_secs(10), || {
        client.line("CLIENT LIST").text().lines().count() == 1
    });
}
