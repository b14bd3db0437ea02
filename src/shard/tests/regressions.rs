//! Bugs that shards had where moves, lending and rebuilds meet, a test and its story each. Letters
//! are delivered by hand, in the order in which each bug needs them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::base::slot;
use crate::batch::Batch;
use crate::hook::Phase;
use crate::hook::push::Push;
use crate::hook::{Called, Sink};
use crate::hooks::journal::JournalWrites;
use crate::keyspace::key::Key;
use crate::keyspace::listener::{Event, Listener, Listeners};
use crate::route::ShardId;
use crate::session::{Peer, Session};
use crate::shard::gates::Gates;
use crate::shard::letter::Letter;
use crate::shard::replay::Records;
use crate::shard::sinks::Sinks;
use crate::shard::turn::Ready;
use crate::testing::{Shards, Still, printed};

/// The first key of the form `k<number>` that a shard owns.
fn key_of(store: &Shards, shard: ShardId) -> String {
    let owner = |key: &String| store.shards[0].map().owner(slot::of(key.as_bytes()));
    (0..).map(|number| format!("k{number}")).find(|key| owner(key) == shard).expect("endless")
}

/// The journal after these commands.
fn journal(lines: &[&str]) -> Records {
    let mut store = Shards::new(1);
    lines.iter().for_each(|line| drop(store.run(line)));
    store.records()
}

/// A slot leaves its shard for another one: the letter that carries it.
fn leave(store: &mut Shards, key: &str, from: usize, to: ShardId) -> Vec<(ShardId, Letter)> {
    store.shards[from].receive(Letter::MoveOut { slot: slot::of(key.as_bytes()), to });
    store.letters_of(from)
}

/// The router tells all shards that a slot has moved.
fn publish(store: &mut Shards, key: &str, to: ShardId) {
    let map = store.shards[0].map().with_moves(&[slot::of(key.as_bytes())], to);
    let map = Arc::new(map);
    store.shards.iter_mut().for_each(|shard| shard.receive(Letter::Routes(map.clone())));
}

fn settled(store: &mut Shards) -> String {
    printed(&store.settle().expect("the batch comes home").replies)
}

/// A slot moved to a shard whose tables were all lent to a command over everything. What came back
/// replaced what was there, and the slot was gone. The command itself missed the slot: it had moved
/// from a shard ahead to one that was visited already.
#[test]
fn a_slot_that_moves_past_a_command_over_everything_is_counted_and_kept() {
    let mut store = Shards::new(2);
    let key = key_of(&store, 1);
    store.run(&format!("SET {key} v"));
    store.send(&["DBSIZE"]);
    let visit = store.letters_of(0);
    let moved = leave(&mut store, &key, 1, 0);
    store.deliver(moved);
    store.deliver(visit);
    publish(&mut store, &key, 0);
    assert_eq!(settled(&mut store), "(integer) 1");
    assert_eq!(store.run(&format!("GET {key}")), "\"v\"");
}

/// A command over everything started again for each slot that moved, perhaps for ever.
#[test]
fn nothing_moves_while_a_command_over_everything_starts_again() {
    let mut store = Shards::new(3);
    let (key, other) = (key_of(&store, 1), key_of(&store, 2));
    store.run(&format!("MSET {key} v {other} v"));
    store.send(&["DBSIZE"]);
    let visit = store.letters_of(0);
    let moved = leave(&mut store, &key, 1, 0);
    store.deliver(moved);
    publish(&mut store, &key, 0);
    store.deliver(visit);
    let again = store.letters_of(1);
    store.deliver(again);
    assert!(leave(&mut store, &other, 2, 0).is_empty(), "it stays until the command has run");
    assert_eq!(settled(&mut store), "(integer) 2");
    assert!(store.shards[0].engine.space.has(slot::of(other.as_bytes())), "then it leaves");
    publish(&mut store, &other, 0);
    assert_eq!(store.run(&format!("MGET {key} {other}")), "1) \"v\"\n2) \"v\"");
}

/// A slot was lent when its shard began to be rebuilt. It came back newer than the journal up to
/// the marker, and the old records were applied to it all the same.
#[test]
fn a_slot_that_comes_back_during_a_rebuild_keeps_what_is_newer() {
    let mut store = Shards::new(2);
    let (key, other) = (key_of(&store, 0), key_of(&store, 1));
    store.run(&format!("SET {key} old"));
    store.send(&[&format!("MSET {key} new {other} new")]);
    let visit = store.letters_of(0);
    store.shards[0].begin_rebuild();
    store.deliver(visit);
    let returned = store.letters_of(1);
    store.deliver(returned);
    let records = journal(&[&format!("SET {key} old"), "FLUSHALL", &format!("SET {key} older")]);
    assert_eq!(store.shards[0].replay(&records, store.now), [], "the journal is sound");
    store.shards[0].end_replay();
    assert_eq!(settled(&mut store), "OK");
    assert_eq!(store.run(&format!("MGET {key} {other}")), "1) \"new\"\n2) \"new\"");
}

/// The same with a slot that moved in meanwhile: FLUSHALL of the journal emptied it.
#[test]
fn a_slot_that_moves_in_during_a_rebuild_is_spared() {
    let mut store = Shards::new(2);
    let (key, own) = (key_of(&store, 1), key_of(&store, 0));
    store.run(&format!("MSET {key} v {own} v"));
    store.shards[0].begin_rebuild();
    let moved = leave(&mut store, &key, 1, 0);
    store.deliver(moved);
    publish(&mut store, &key, 0);
    let records = journal(&["SET gone v", "FLUSHALL", &format!("SET {own} v")]);
    assert_eq!(store.shards[0].replay(&records, store.now), [], "the journal is sound");
    store.shards[0].end_replay();
    assert_eq!(store.run(&format!("MGET {key} {own}")), "1) \"v\"\n2) \"v\"");
}

/// A slot that had to leave left in the middle of the rebuild, half empty.
#[test]
fn what_is_half_rebuilt_does_not_leave() {
    let mut store = Shards::new(2);
    let key = key_of(&store, 0);
    store.shards[0].begin_rebuild();
    assert!(leave(&mut store, &key, 0, 1).is_empty(), "it left before it was whole");
    let records = journal(&[&format!("SET {key} v")]);
    assert_eq!(store.shards[0].replay(&records, store.now), [], "the journal is sound");
    store.shards[0].end_replay();
    let moved = store.letters_of(0);
    let leaves = |(_, letter): &&(ShardId, Letter)| matches!(letter, Letter::MoveIn(..));
    assert_eq!(moved.iter().filter(leaves).count(), 1, "it leaves when it is");
    store.deliver(moved);
    publish(&mut store, &key, 1);
    assert_eq!(store.run(&format!("GET {key}")), "\"v\"");
}

/// A second panic while the first was mended: the end of the rebuild called the shard sound.
#[test]
fn a_panic_just_before_the_end_of_a_rebuild_is_not_forgotten() {
    let mut store = Shards::new(1);
    store.shards[0].begin_rebuild();
    store.shards[0].distrust();
    store.shards[0].end_replay();
    assert_eq!(store.shards[0].phase(), Phase::Suspect);
}

/// A journal failed while it ended. The news came when there was none any more, and writes were
/// refused for good.
#[test]
fn news_of_a_journal_that_has_ended_refuses_nothing() {
    let mut store = Shards::new(1);
    let failed = || Letter::Journal(Some("No space left on device".to_owned()));
    let shard = &mut store.shards[0];
    shard.rebuilds(true);
    shard.receive(failed());
    assert!(shard.engine.journal_failed.is_some());
    shard.rebuilds(false);
    shard.receive(Letter::Journal(None));
    shard.receive(failed());
    assert_eq!(shard.engine.journal_failed, None);
}

/// A panic beside the command, in a sink, while it held slots of another shard: they were dropped
/// on the way, and their shard waited for ever.
#[test]
fn lent_slots_go_home_whatever_panics() {
    struct Breaks;
    impl Sink for Breaks {
        fn called(&mut self, _: &Called<'_>, _: &mut Vec<Push>) {
            panic!("a sink breaks");
        }
    }
    let mut store = Shards::new(2);
    let (key, other) = (key_of(&store, 0), key_of(&store, 1));
    store.run(&format!("SET {key} v"));
    store.send(&[&format!("MSET {key} w {other} w")]);
    let visit = store.letters_of(0);
    store.deliver(visit);
    store.shards[1].engine.sinks = Sinks::new(vec![Box::new(Breaks)]);
    let now = store.now;
    let work = || store.shards[1].work(now, &mut Still);
    assert!(catch_unwind(AssertUnwindSafe(work)).is_err(), "the sink panics");
    let returned = std::mem::take(&mut store.shards[1].outbox.letters);
    assert_eq!(returned.len(), 1, "the slot is on its way home");
    store.deliver(returned);
    assert_eq!(store.shards[0].phase(), Phase::Suspect, "what came back is not trusted");
    assert!(store.shards[0].engine.space.has(slot::of(key.as_bytes())), "but it is there");
}

/// A slot was to leave while its shard was not trusted. Without a journal the shard went on with
/// what it had, and the slot stayed, its order open for ever.
#[test]
fn a_slot_leaves_a_shard_that_goes_on_without_a_rebuild() {
    let mut store = Shards::new(2);
    let key = key_of(&store, 0);
    store.shards[0].distrust();
    assert!(leave(&mut store, &key, 0, 1).is_empty(), "what is not trusted stays");
    store.shards[0].serve();
    assert_eq!(store.letters_of(0).len(), 1, "it leaves when it is");
}

/// An order that failed stood at the shard all the same, beside the next one for the same slot.
#[test]
fn the_last_word_on_a_slot_counts() {
    let mut store = Shards::new(3);
    let key = key_of(&store, 0);
    store.shards[0].distrust();
    leave(&mut store, &key, 0, 1);
    leave(&mut store, &key, 0, 2);
    store.shards[0].serve();
    let to: Vec<ShardId> = store.letters_of(0).iter().map(|(to, _)| *to).collect();
    assert_eq!(to, [2]);
    let other = key_of(&store, 1);
    store.shards[1].distrust();
    leave(&mut store, &other, 1, 2);
    leave(&mut store, &other, 1, 1);
    store.shards[1].serve();
    assert!(store.letters_of(1).is_empty(), "it need not move any more");
}

/// An order for a slot that had left waited at its old owner, and sent it away when it came back.
#[test]
fn an_order_for_a_slot_that_has_left_is_forgotten() {
    let mut store = Shards::new(2);
    let key = key_of(&store, 0);
    store.run(&format!("SET {key} v"));
    let moved = leave(&mut store, &key, 0, 1);
    store.deliver(moved);
    assert!(leave(&mut store, &key, 0, 1).is_empty(), "it has left");
    publish(&mut store, &key, 1);
    let moved = leave(&mut store, &key, 1, 0);
    store.deliver(moved);
    publish(&mut store, &key, 0);
    store.shards[0].serve();
    assert!(store.letters_of(0).is_empty(), "it stays");
    assert_eq!(store.run(&format!("GET {key}")), "\"v\"");
}

/// Another client asks something; its batch when it is home.
fn others(store: &mut Shards, client: u64, line: &str) -> Box<Batch> {
    let own = std::mem::replace(
        &mut store.session,
        Session::new(client, Peer::default(), store.now, true),
    );
    store.send(&[line]);
    store.session = own;
    store.settle().expect("it is answered, or waits")
}

/// EXEC whose watch had failed ran without its slots. Where one of its commands lacked a slot for
/// somebody who waited, it began again for ever.
#[test]
fn exec_of_a_failed_watch_needs_no_slots_of_those_who_wait() {
    let mut store = Shards::new(2);
    let (from, to) = (key_of(&store, 0), key_of(&store, 1));
    let waits = others(&mut store, 7, &format!("BLMOVE {from} {to} LEFT RIGHT 0"));
    assert!(waits.parked.is_some());
    for line in ["WATCH w".to_owned(), "MULTI".to_owned(), format!("LPUSH {from} v")] {
        store.run(&line);
    }
    others(&mut store, 8, "SET w 1");
    assert_eq!(store.run("EXEC"), "(nil)");
}

/// A call that was refused wherever it was, and lacked a slot for somebody who waited, began again
/// for ever.
#[test]
fn what_is_refused_sets_out_for_nothing() {
    let mut store = Shards::new(2);
    let (from, to) = (key_of(&store, 0), key_of(&store, 1));
    let waits = others(&mut store, 7, &format!("BLMOVE {from} {to} LEFT RIGHT 0"));
    assert!(waits.parked.is_some());
    for shard in &mut store.shards {
        shard.engine.gates = Gates::new(vec![Box::new(JournalWrites)]);
        shard.engine.journal_failed = Some("no space".to_owned());
    }
    let refused = store.run(&format!("LPUSH {from} v"));
    assert!(refused.starts_with("(error) MISCONF"), "{refused}");
}

/// EXEC and DISCARD were refused behind a refused call of the same read, and the transaction went
/// on: what came later was queued for ever.
#[test]
fn a_transaction_is_over_where_the_rest_of_a_batch_is_refused() {
    for end in ["EXEC", "DISCARD"] {
        let mut store = Shards::new(1);
        store.shards[0].engine.gates = Gates::new(vec![Box::new(JournalWrites)]);
        store.run("MULTI");
        store.shards[0].engine.journal_failed = Some("no space".to_owned());
        let replies = store.pipeline(&["SET k v", end, "GET k"]);
        let ended = if end == "EXEC" { "(error) EXECABORT" } else { "OK" };
        let lines: Vec<&str> = replies.lines().collect();
        assert!(lines[0].starts_with("(error) MISCONF"), "{replies}");
        assert!(lines[1].starts_with(ended), "{replies}");
        assert_eq!(store.run("GET k"), "(nil)");
    }
}

/// EXEC without MULTI forgot what was watched.
#[test]
fn exec_without_multi_leaves_the_watches_alone() {
    let mut store = Shards::new(1);
    for line in ["WATCH k", "EXEC", "SET k v", "MULTI", "PING"] {
        store.run(line);
    }
    assert_eq!(store.run("EXEC"), "(nil)");
}

/// A client's wait was lost in a rebuild of which its thread heard before the batch was home.
#[test]
fn who_comes_home_behind_the_news_of_a_rebuild_waits_again() {
    let mut store = Shards::new(2);
    let key = key_of(&store, 1);
    store.send(&[&format!("BLPOP {key} 0")]);
    let visit = store.letters_of(0);
    store.deliver(visit);
    // The disk holds the batch back.
    let late = {
        while store.shards[1].work(store.now, &mut Still) {}
        store.shards[1].outbox.homes.pop().expect("it waits")
    };
    store.shards[1].begin_rebuild();
    store.shards[1].end_replay();
    let news = store.letters_of(1);
    store.deliver(news);
    let mut ready = Ready::default();
    store.shards[0].end_turn(0, true, &mut ready);
    assert_eq!(ready.rebuilt, [1]);
    store.shards[0].receive(Letter::Home(late));
    let mut ready = Ready::default();
    store.shards[0].end_turn(0, true, &mut ready);
    store.deliver(std::mem::take(&mut ready.letters));
    others(&mut store, 7, &format!("LPUSH {key} v"));
    assert_eq!(others(&mut store, 8, &format!("EXISTS {key}")).replies, b":0\r\n", "it is popped");
}

/// Panics when something is taken off a list.
struct BreaksOnPop;

impl Listener for BreaksOnPop {
    fn touched(&mut self, _db: u32, _key: Key<'_>, event: Event, _bytes: i64) {
        assert!(event != Event::LPOP, "on purpose");
    }
}

/// A panic in serving somebody left half of it in a slot of another shard, which went home as
/// whole.
#[test]
fn what_is_lent_is_torn_where_serving_panics() {
    let mut store = Shards::new(2);
    let (from, to) = (key_of(&store, 0), key_of(&store, 1));
    let waits = others(&mut store, 7, &format!("BLMOVE {from} {to} LEFT RIGHT 0"));
    assert!(waits.parked.is_some());
    store.shards[1].rebuilds(true);
    store.shards[1].engine.tools.listeners = Listeners::new(vec![Box::new(BreaksOnPop)]);
    others(&mut store, 8, &format!("LPUSH {from} v"));
    for shard in &store.shards {
        assert_eq!(shard.phase(), Phase::Suspect, "shard {}", shard.id());
    }
}

/// Somebody was to wait again for a key whose slot was lent, or had moved on. He did not.
#[test]
fn who_waits_again_does_so_where_the_slot_is() {
    for moves in [false, true] {
        let mut store = Shards::new(2);
        let (key, other) = (key_of(&store, 0), key_of(&store, 1));
        let waits = others(&mut store, 7, &format!("BLPOP {key} 0"));
        let parked = waits.parked.as_ref().expect("it waits");
        store.shards[0].begin_rebuild();
        store.shards[0].end_replay();
        let _ = store.letters_of(0);
        let again = Letter::WaitAgain(Arc::downgrade(parked));
        let away = match moves {
            true => leave(&mut store, &key, 0, 1),
            false => {
                store.send(&[&format!("MSET {key} 1 {other} 1")]);
                store.letters_of(0)
            }
        };
        store.shards[0].receive(again);
        store.deliver(away);
        if moves {
            publish(&mut store, &key, 1);
        }
        store.settle();
        store.run(&format!("DEL {key}"));
        store.run(&format!("LPUSH {key} v"));
        assert_eq!(store.run(&format!("EXISTS {key}")), "(integer) 0", "it was not popped");
    }
}
