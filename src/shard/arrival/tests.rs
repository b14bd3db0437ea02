//! Keys that come to two shards.

use std::sync::mpsc;

use super::*;
use crate::keyspace::contents::Present;
use crate::script::Libraries;
use crate::testing::{Shards, Store};

/// The keys that these lines make, with others in another database.
fn coming(lines: &[&str], present: Present) -> (Coming, mpsc::Receiver<Result<(), StaysAway>>) {
    let mut store = Store::new();
    lines.iter().for_each(|line| drop(store.run(line)));
    store.session.db = 3;
    (0..100).for_each(|number| drop(store.run(&format!("SET other:{number} {number}"))));
    let (sender, receiver) = mpsc::channel();
    let told = Box::new(move |outcome| sender.send(outcome).expect("the test waits for it"));
    (Coming { contents: store.shard.into_contents(), present, told }, receiver)
}

fn shards() -> Shards {
    let mut shards = Shards::new(2);
    for line in ["SET a old", "SET b old", "RPUSH list 1", "SET gone 1"] {
        shards.run(line);
    }
    shards
}

fn come(shards: &mut Shards, lines: &[&str], present: Present) -> Option<Result<(), StaysAway>> {
    let (coming, outcome) = coming(lines, present);
    shards.shards[1].file(arrival(coming, Libraries::default(), shards.now));
    shards.settle();
    outcome.try_recv().ok()
}

const LINES: [&str; 3] = ["SET a new", "SET timed 1 PX 1000", "HSETEX hash PX 500 FIELDS 1 f v"];

#[test]
fn they_take_the_place_of_all_keys() {
    let mut shards = shards();
    shards.run("WATCH gone");
    assert_eq!(come(&mut shards, &LINES, Present::Goes), Some(Ok(())));
    assert_eq!(
        (shards.run("GET a"), shards.run("DBSIZE")),
        ("\"new\"".into(), "(integer) 3".into())
    );
    shards.run("MULTI");
    shards.run("SET gone 2");
    assert_eq!(shards.run("EXEC"), "(nil)", "what was watched is gone");
    assert_eq!(shards.run("PTTL timed"), "(integer) 1000");
    shards.now = shards.now.saturating_add(500);
    assert_eq!(shards.run("EXISTS hash"), "(integer) 0");
    shards.session.db = 3;
    assert_eq!(shards.run("DBSIZE"), "(integer) 100");
    assert_eq!(shards.run("GET other:99"), "\"99\"");
}

#[test]
fn they_join_the_keys_that_stay() {
    let mut shards = shards();
    let outcome = come(&mut shards, &LINES, Present::Stays);
    assert_eq!(outcome, Some(Err(StaysAway::AlreadyThere)));
    assert_eq!(
        (shards.run("GET a"), shards.run("DBSIZE")),
        ("\"old\"".into(), "(integer) 4".into())
    );
    assert_eq!(come(&mut shards, &LINES, Present::GivesWay), Some(Ok(())));
    assert_eq!((shards.run("GET a"), shards.run("GET b")), ("\"new\"".into(), "\"old\"".into()));
    assert_eq!(shards.run("DBSIZE"), "(integer) 6");
    assert_eq!(
        come(&mut shards, &["SET c new"], Present::Stays),
        Some(Err(StaysAway::AlreadyThere))
    );
    shards.run("FLUSHALL");
    assert_eq!(come(&mut shards, &["SET c new"], Present::Stays), Some(Ok(())));
    assert_eq!(shards.run("GET c"), "\"new\"");
}

#[test]
fn a_shard_that_does_not_serve_keeps_what_it_has() {
    let mut shards = shards();
    shards.shards[0].begin_rebuild();
    let outcome = come(&mut shards, &LINES, Present::Goes);
    assert_eq!(outcome, Some(Err(StaysAway::NotServing)));
}
