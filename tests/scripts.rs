//! The scripts of `tests/scripts`, against the server with 1, 2 and 4 shards, and against the
//! oracle that each was written from. What a script says and what the oracle answers can not drift
//! apart: both are run. `src/testing/scripts.rs` runs them on the bare core.

use crate::support::oracle::Oracle;
use crate::support::over_tcp::OverTcp;
use crate::support::script::{self, Script};
use crate::support::server::{Options, Server};

/// Runs all of them on one server and reports every difference at once.
fn check(server: &Server, scripts: &[Script]) {
    let mut runner = OverTcp::new(server);
    let mut differences = Vec::new();
    for script in scripts {
        differences.extend(script.run(&mut runner));
    }
    let count = differences.len();
    assert!(count == 0, "{}\n{count} cases differ", differences.join("\n"));
    assert!(server.is_alive(), "the server is gone");
}

fn check_with_shards(shards: usize) {
    let others = [Some("core"), Some("redis")];
    let scripts = script::all().into_iter();
    let scripts: Vec<Script> = scripts.filter(|s| !others.contains(&s.needs.as_deref())).collect();
    check(&Options::shards(shards).debug().start(), &scripts);
}

#[test]
fn scripts_pass_with_one_shard() {
    check_with_shards(1);
}

#[test]
fn scripts_pass_with_two_shards() {
    check_with_shards(2);
}

#[test]
fn scripts_pass_with_four_shards() {
    check_with_shards(4);
}

/// With `TROUPE_BLESS=1` the files are rewritten instead.
fn check_oracle(oracle: Oracle, needs: &[Option<&str>]) {
    let mine = |script: &Script| needs.contains(&script.needs.as_deref());
    let scripts: Vec<Script> = script::all().into_iter().filter(mine).collect();
    let Some(server) = oracle.start() else { return };
    if std::env::var_os("TROUPE_BLESS").is_none() {
        return check(&server, &scripts);
    }
    for script in &scripts {
        println!("blessing {}", script.name());
        script.bless(&mut OverTcp::new(&server));
    }
}

#[test]
fn scripts_say_what_valkey_answers() {
    check_oracle(Oracle::Valkey, &[None]);
}

#[test]
fn scripts_say_what_redis_answers() {
    check_oracle(Oracle::Redis, &[Some("redis")]);
}
