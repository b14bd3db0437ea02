//! kill -9 of a primary, of its replica and of both, under load, with journals that are synced each
//! second: each comes back by itself, and the replica ends equal to its primary, by a partial or a
//! full sync.
//!
//! Each start is with any number of shards. Every third process dies once more while it loads or
//! syncs. `TROUPE_KILL_ROUNDS` says how many rounds (default 6; `tests/nightly replication` takes
//! 100), `TROUPE_SEED` replays them.

use crate::durability::a_moment;
use crate::matrix::{Keys, syncs};
use crate::support::replicated::{Load, patient, wait_following};
use crate::support::server::{Options, Server};
use crate::support::{env_number, seed};

/// Keys that are there before the first round.
const KEYS: u64 = 3_000;

/// One of the two servers.
struct Node {
    server: Server,
    /// What it follows, or nothing.
    of: Option<u16>,
}

impl Node {
    /// With any number of shards.
    fn options(of: Option<u16>, random: &mut fastrand::Rng) -> Options {
        let shards = random.choice([1, 2, 4]).unwrap();
        let options = patient(Options::shards(shards)).journal("everysec").with("save ");
        match of {
            Some(port) => options.with(&format!("replicaof 127.0.0.1 {port}")),
            None => options,
        }
    }

    fn start(of: Option<u16>, random: &mut fastrand::Rng) -> Node {
        Node { server: Node::options(of, random).start(), of }
    }

    /// kill -9, and a start.
    fn die(&mut self, random: &mut fastrand::Rng) {
        let deaths = if random.u8(..3) == 0 { 2 } else { 1 };
        for _ in 0..deaths {
            a_moment(random, 200);
            self.server.kill();
            self.server.respawn_with(&Node::options(self.of, random));
        }
    }
}

#[test]
fn a_replica_ends_equal_whoever_is_killed() {
    let rounds = env_number("TROUPE_KILL_ROUNDS", 6);
    let seed = seed("a_replica_ends_equal_whoever_is_killed");
    let random = &mut fastrand::Rng::with_seed(seed);
    let keys = Keys::all(KEYS);
    let mut primary = Node::start(None, random);
    keys.fill(&primary.server);
    let library = primary.server.client().call(&["FUNCTION", "LOAD", Load::LIBRARY]);
    assert!(library.error().is_none(), "{library:?}");
    let mut replica = Node::start(Some(primary.server.port), random);
    wait_following(&primary.server, &replica.server);
    let (mut full, mut partial, mut written) = (0, 0, 0);
    for round in 0..rounds {
        let victims = ["the primary", "the replica", "both"][round as usize % 3];
        let what = format!("round {round}, {victims} killed");
        let load = Load { seed: seed + round, keys: KEYS, flush: "FLUSHDB" };
        let before = syncs(&mut primary.server.client());
        let ((), count) = load.run(primary.server.port, || {
            match victims {
                "the primary" => primary.die(random),
                "the replica" => replica.die(random),
                _ => {
                    primary.die(random);
                    replica.die(random);
                }
            }
            wait_following(&primary.server, &replica.server);
        });
        keys.compare(&what, &primary.server, &replica.server);
        // Its figures begin anew with each start.
        let before = if victims == "the replica" { before } else { (0, 0) };
        let after = syncs(&mut primary.server.client());
        let (fully, partly) = (after.0 - before.0, after.1 - before.1);
        println!("{what}: {count} writes, {fully} full and {partly} partial syncs");
        (full, partial, written) = (full + fully, partial + partly, written + count);
    }
    println!("{rounds} rounds: {written} writes, {full} full and {partial} partial syncs");
    assert!(written as u64 > rounds * 100, "too light to prove anything");
}
