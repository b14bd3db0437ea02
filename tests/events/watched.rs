//! WATCH against every write command: each sample is called by another client, and EXEC has to fail
//! for those keys for which Valkey's fails, and for no other.

use std::collections::BTreeSet;

use super::samples::SAMPLES;
use super::{call, set_up};
use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};

/// Samples after which other keys count as changed than with Valkey, and why.
const UNEQUAL: &[(&str, &str)] = &[
    ("MSETEX 1 a 1 PXAT 1", "what is past its deadline is never there, as with SET"),
    ("PFADD k a | PFDEBUG TODENSE k", "the bytes of the value change"),
    ("PFADD k a | PFDEBUG GETREG k", "the bytes of the value change"),
    (
        "HSETEX k PX 1 FIELDS 1 f v; HSET k g w; TICK | DEBUG SET-ACTIVE-EXPIRE 1; UNTIL 1 HLEN k",
        "a field that is past its deadline is gone ahead of WATCH",
    ),
    (
        "HSETEX k PX 1 FIELDS 2 f v g w; TICK | DEBUG SET-ACTIVE-EXPIRE 1; UNTIL 0 DBSIZE",
        "a field that is past its deadline is gone ahead of WATCH",
    ),
];

/// A client that calls, and one for each database that watches there.
struct Pair {
    caller: Client,
    watchers: [Client; 2],
}

impl Pair {
    fn of(server: &Server) -> Pair {
        let mut watchers = [server.client(), server.client()];
        assert!(watchers[1].line("SELECT 1").is_ok());
        Pair { caller: server.client(), watchers }
    }

    /// In which databases the key has changed for who watched it while the sample was called.
    fn changed(&mut self, sample: &str, key: &str) -> Vec<usize> {
        let (setup, calls) = sample.split_once(" | ").unwrap_or(("", sample));
        set_up(&mut self.caller, setup);
        self.watchers.iter_mut().for_each(|watcher| drop(watcher.call(&["WATCH", key])));
        calls.split("; ").for_each(|line| call(&mut self.caller, line));
        let has_changed = |watcher: &mut Client| {
            assert!(watcher.line("MULTI").is_ok());
            watcher.line("EXEC") == Reply::Nil
        };
        let watchers = self.watchers.iter_mut().enumerate();
        watchers.filter_map(|(db, watcher)| has_changed(watcher).then_some(db)).collect()
    }
}

/// What a sample names that may be a key: all words but the names of commands.
fn words_of(sample: &str) -> BTreeSet<&str> {
    let lines = sample.split(" | ").flat_map(|calls| calls.split("; "));
    lines.flat_map(|line| line.split(' ').skip(1)).collect()
}

#[test]
fn who_watches_is_told_of_what_valkey_tells_of() {
    let Some(oracle) = Oracle::Valkey.start() else { return };
    let server = Options::shards(2).debug().start();
    let (mut theirs, mut ours) = (Pair::of(&oracle), Pair::of(&server));
    let mut is_known = |sample: &&&str| {
        let names = sample.split(" | ").flat_map(|calls| calls.split("; "));
        let mut names = names.filter_map(|line| line.split(' ').next());
        names.all(|name| {
            ["TICK", "UNTIL"].contains(&name)
                || server.client().call(&["COMMAND", "INFO", name]).members()[0] != Reply::Nil
        })
    };
    let (mut keys, mut differences) = (0, Vec::new());
    for sample in SAMPLES.iter().filter(&mut is_known) {
        if UNEQUAL.iter().any(|(unequal, _)| unequal == sample) {
            continue;
        }
        for key in words_of(sample) {
            keys += 1;
            let (ours, theirs) = (ours.changed(sample, key), theirs.changed(sample, key));
            if ours != theirs {
                differences
                    .push(format!("{sample}: {key} has changed in {ours:?}, not {theirs:?}"));
            }
        }
    }
    assert!(keys > 500, "only {keys} keys");
    assert!(differences.is_empty(), "{}\nof {keys} keys", differences.join("\n"));
}
