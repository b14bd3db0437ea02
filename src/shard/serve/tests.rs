//! Waits over several shards, whose letters are delivered by hand.

use std::sync::Arc;

use crate::base::slot;
use crate::batch::Batch;
use crate::commands::number::numbers;
use crate::commands::registry;
use crate::keyspace::interest::Cares;
use crate::parked::{Outcome, Served};
use crate::question::Detail;
use crate::route::ShardId;
use crate::session::{Peer, Session};
use crate::shard::SLICE_NS;
use crate::shard::letter::Letter;
use crate::testing::{Hasty, START, Shards, Store, printed};

/// The first key of the form `k<number>` that a shard owns.
fn key_of(store: &Shards, shard: ShardId) -> String {
    let owner = |key: &String| store.shards[0].map().owner(slot::of(key.as_bytes()));
    (0..).map(|number| format!("k{number}")).find(|key| owner(key) == shard).expect("endless")
}

/// Client `id` sends a line, and waits.
fn wait(store: &mut Shards, id: u64, line: &str) -> Box<Batch> {
    store.session = Session::new(id, Peer::default(), START, true);
    store.send(&[line]);
    let batch = store.settle().expect("it is home");
    assert!(batch.parked.is_some(), "{line} waits");
    batch
}

/// Client 1 sends a line. Returns what came of the waits of others.
fn run(store: &mut Shards, line: &str) -> Vec<Served> {
    run_all(store, &[line])
}

/// Client 1 sends several lines at once. Returns what came of the waits of others.
fn run_all(store: &mut Shards, lines: &[&str]) -> Vec<Served> {
    store.session = Session::new(1, Peer::default(), START, true);
    store.send(lines);
    let (homes, served) = store.settle_all();
    assert_eq!(homes.len(), 1, "{lines:?} are answered");
    served
}

/// Who was served with what.
fn shown(served: &[Served]) -> Vec<(u64, String)> {
    let reply = |outcome: &Outcome| match outcome {
        Outcome::Served(reply) => printed(reply),
        other => format!("{other:?}"),
    };
    served.iter().map(|served| (served.client, reply(&served.outcome))).collect()
}

#[test]
fn nothing_is_popped_for_a_wait_that_is_over() {
    let mut store = Shards::new(1);
    let late = wait(&mut store, 2, "BLPOP k 1");
    let lost = wait(&mut store, 3, "BLPOP k 0");
    let stays = wait(&mut store, 4, "BLPOP k 0");
    assert!(late.parked.as_ref().is_some_and(|parked| parked.take()), "its time is over");
    drop(lost);
    assert_eq!(shown(&run(&mut store, "RPUSH k a b")), [(4, "1) \"k\"\n2) \"a\"".to_owned())]);
    assert_eq!(store.run("LRANGE k 0 -1"), "1) \"b\"");
    assert!(!stays.parked.as_ref().is_some_and(|parked| parked.take()), "it was served");
}

#[test]
fn a_chain_over_three_shards_is_served_in_one_turn() {
    let mut store = Shards::new(3);
    let [a, b, c] = [0, 1, 2].map(|shard| key_of(&store, shard));
    let waits = [
        wait(&mut store, 2, &format!("BLMOVE {c} {b} LEFT LEFT 0")),
        wait(&mut store, 3, &format!("BLMOVE {b} {a} LEFT LEFT 0")),
        wait(&mut store, 4, &format!("BLPOP {a} 0")),
    ];
    let served = run(&mut store, &format!("RPUSH {c} x"));
    let last = format!("1) \"{a}\"\n2) \"x\"");
    assert_eq!(shown(&served), [(2, "\"x\"".to_owned()), (3, "\"x\"".to_owned()), (4, last)]);
    assert_eq!(store.run(&format!("EXISTS {a} {b} {c}")), "(integer) 0");
    drop(waits);
}

#[test]
fn a_push_finds_the_slot_of_a_waiter_that_moves_meanwhile() {
    let mut store = Shards::new(2);
    let [a, b] = [0, 1].map(|shard| key_of(&store, shard));
    let waits = wait(&mut store, 2, &format!("BLMOVE {a} {b} LEFT LEFT 0"));
    store.session = Session::new(1, Peer::default(), START, true);
    store.send(&[&format!("RPUSH {a} x")]);
    let visit = store.letters_of(0);
    assert_eq!(visit.len(), 1, "it goes to the slot that the waiter needs");
    let slot = slot::of(b.as_bytes());
    store.shards[1].receive(Letter::MoveOut { slot, to: 0 });
    let moved = store.letters_of(1);
    store.deliver(visit);
    store.deliver(moved);
    let map = Arc::new(store.shards[0].map().with_moves(&[slot], 0));
    store.shards.iter_mut().for_each(|shard| shard.receive(Letter::Routes(map.clone())));
    let (homes, served) = store.settle_all();
    assert_eq!((homes.len(), shown(&served)), (1, vec![(2, "\"x\"".to_owned())]));
    assert_eq!(store.run(&format!("LRANGE {b} 0 -1")), "1) \"x\"");
    drop(waits);
}

#[test]
fn those_whose_waits_were_lost_wait_again_in_their_order() {
    let mut store = Shards::new(2);
    let key = key_of(&store, 1);
    let line = format!("BLPOP {key} 0");
    let waits = [2, 3, 4].map(|id| wait(&mut store, id, &line));
    // As a rebuild does: the slot is new, and knows of nobody.
    store.shards[1].receive(Letter::MoveIn(slot::of(key.as_bytes()), Box::default()));
    assert_eq!(shown(&run(&mut store, &format!("RPUSH {key} a"))), []);
    for waits in waits.iter().rev() {
        let parked = waits.parked.as_ref().expect("it waits");
        store.shards[1].receive(Letter::WaitAgain(Arc::downgrade(parked)));
    }
    let (_, served) = store.settle_all();
    let clients = |served: &[Served]| served.iter().map(|served| served.client).collect::<Vec<_>>();
    assert_eq!(clients(&served), [2], "what has come meanwhile is for the first");
    assert_eq!(clients(&run(&mut store, &format!("RPUSH {key} b c"))), [3, 4]);
}

#[test]
fn a_slot_leaves_only_when_those_are_served_who_wait_there_again() {
    let mut store = Shards::new(2);
    let key = key_of(&store, 1);
    let slot = slot::of(key.as_bytes());
    let waits = wait(&mut store, 2, &format!("BLPOP {key} 0"));
    // As a rebuild does: the slot is new, and knows of nobody.
    store.shards[1].receive(Letter::MoveIn(slot, Box::default()));
    assert_eq!(shown(&run(&mut store, &format!("RPUSH {key} a"))), []);
    let parked = waits.parked.as_ref().expect("it waits");
    store.shards[1].receive(Letter::WaitAgain(Arc::downgrade(parked)));
    store.shards[1].receive(Letter::MoveOut { slot, to: 0 });
    let (_, served) = store.settle_all();
    assert_eq!(shown(&served), [(2, format!("1) \"{key}\"\n2) \"a\""))]);
    assert!(store.shards[0].keyspace().has(slot), "it has left");
}

/// Else two shards to which slots move could fill each other's mailboxes with it.
#[test]
fn a_wait_for_several_keys_is_passed_on_and_kept_once() {
    let mut store = Shards::new(2);
    let own = |name: &String| store.shards[0].map().owner(slot::of(name.as_bytes())) == 0;
    let names = (0..).map(|number| format!("k{number}")).filter(own);
    let names: Vec<String> = names.take(4).collect();
    let slots: Vec<u16> = names.iter().map(|name| slot::of(name.as_bytes())).collect();
    let waits = wait(&mut store, 2, &format!("BLPOP {} 0", names.join(" ")));
    let lost = Arc::downgrade(waits.parked.as_ref().expect("it waits"));
    let shard = &mut store.shards[0];
    // Two have moved on, two are lent.
    slots.iter().for_each(|slot| drop(shard.engine.space.take(*slot)));
    shard.moved_on.extend(slots[..2].iter().map(|slot| (*slot, 1)));
    for _ in 0..3 {
        shard.receive(Letter::WaitAgain(lost.clone()));
        let again = |(_, letter): &(ShardId, Letter)| matches!(letter, Letter::WaitAgain(_));
        assert_eq!(shard.outbox.letters.drain(..).filter(again).count(), 1);
        shard.wait_now();
        assert_eq!((shard.outbox.letters.len(), shard.wait_later.len()), (0, 1));
    }
}

#[test]
fn who_waits_twice_waits_from_its_second_time_on() {
    let mut store = Shards::new(2);
    let [a, b] = [0, 1].map(|shard| key_of(&store, shard));
    // Its destination is not here when a transaction serves it, so it runs again by itself.
    let mut again = wait(&mut store, 2, &format!("BLMOVE {a} {b} LEFT LEFT 0"));
    let parked = again.parked.clone().expect("it waits");
    assert!(parked.take());
    store.shards[0].unpark(&mut again, Outcome::Again);
    assert_eq!(again.rank, Some(parked.rank), "its place among those that wait is kept");
    store.shards[0].file(again);
    let again = store.settle().expect("it is home");
    let place = again.parked.as_ref().map(|parked| parked.rank);
    assert_eq!(place, Some(parked.rank));
    assert_eq!(again.rank, None);
}

/// Each shard numbers the waits that begin there: one that began elsewhere was passed by.
#[test]
fn who_waits_on_another_shard_comes_behind_who_waited_before() {
    let mut store = Shards::new(2);
    let [a, b] = [0, 1].map(|shard| key_of(&store, shard));
    let others = [7, 8].map(|id| wait(&mut store, id, &format!("BLPOP {b} 0")));
    let first = wait(&mut store, 6, &format!("BLMOVE {a} {b} LEFT LEFT 0"));
    let second = wait(&mut store, 2, &format!("BLPOP {a} 0"));
    drop(others);
    let served = run(&mut store, &format!("RPUSH {a} x y"));
    assert_eq!(served.iter().map(|served| served.client).collect::<Vec<_>>(), [6, 2]);
    drop((first, second));
}

/// What BLPOP has taken so far: how often, and for how many nanoseconds.
fn taken_by_blpop(store: &Store) -> (u64, u64) {
    let blpop = registry::named(b"blpop").expect("it is declared");
    let counted = store.shard.engine.counters.counted(Detail::Commands);
    let tally = &counted.commands[numbers().of(blpop)];
    (tally.calls, tally.nanos)
}

/// Each run of a handler takes half a slice by this clock.
#[test]
fn what_a_wait_took_before_it_began_is_counted_when_it_is_over() {
    const RUN: u64 = SLICE_NS / 2;
    let mut store = Store::new();
    let begin = |store: &mut Store| {
        let batch = store.batch(&[b"BLPOP", b"k", b"1"]);
        store.shard.visit(batch, &mut Hasty(0)).expect("it waits at home")
    };
    let mut late = begin(&mut store);
    assert_eq!(taken_by_blpop(&store), (0, 0), "it is not over");
    assert!(late.parked.as_ref().is_some_and(|parked| parked.take()), "its time is over");
    store.shard.unpark(&mut late, Outcome::TimedOut);
    assert_eq!(taken_by_blpop(&store), (1, RUN));
    let waits = begin(&mut store);
    let push = store.batch(&[b"RPUSH", b"k", b"v"]);
    store.shard.visit(push, &mut Hasty(2 * RUN)).expect("it is answered");
    assert_eq!(store.shard.take_served().len(), 1);
    assert_eq!(taken_by_blpop(&store), (2, 3 * RUN));
    drop(waits);
}

/// Resident memory of this process in bytes, or nothing where the system does not tell.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<u64>().ok()? * 4096)
}

/// Every second client is served, by a push or by a transaction; the time of the others is over.
#[test]
fn a_hundred_thousand_clients_wait_and_every_wait_ends() {
    const CLIENTS: u64 = 100_000;
    const SHARDS: ShardId = 4;
    let mut store = Shards::new(SHARDS);
    let cared_for = |store: &mut Shards| {
        let shards = store.shards.iter_mut().map(|shard| shard.engine.space.cared_for());
        shards.fold(Cares::default(), |mut sum, cares| {
            sum.add(cares);
            sum
        })
    };
    let before = resident();
    let line = |number| format!("BLPOP k{number} other{number} 1");
    let mut waits: Vec<_> =
        (0..CLIENTS).map(|number| wait(&mut store, 2 + number, &line(number))).collect();
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("{} bytes each", after.saturating_sub(before) / CLIENTS);
    }
    assert_eq!(cared_for(&mut store).awaited, 2 * CLIENTS as usize);
    for (number, batch) in (0..).zip(&mut waits) {
        let (served, reply) = match number % 4 {
            0 => {
                let served = run(&mut store, &format!("RPUSH k{number} v"));
                (served, format!("1) \"k{number}\"\n2) \"v\""))
            }
            2 => {
                let push = format!("RPUSH other{number} v");
                let served = run_all(&mut store, &["MULTI", &push, "PING", "EXEC"]);
                (served, format!("1) \"other{number}\"\n2) \"v\""))
            }
            _ => {
                assert!(batch.parked.as_ref().is_some_and(|parked| parked.take()));
                (Vec::new(), "(nil)".to_owned())
            }
        };
        let outcome = served.into_iter().next().map_or(Outcome::TimedOut, |served| served.outcome);
        store.shards[0].unpark(batch, outcome);
        assert_eq!((printed(&batch.replies), batch.parked.is_none()), (reply, true));
    }
    assert_eq!(cared_for(&mut store), Cares::default());
    assert_eq!(store.run("DBSIZE"), "(integer) 0");
}
