//! What goes when memory runs out, on one shard and on several, with memory that is counted.

use super::*;
use crate::testing::{Counted, Hasty, Shards, Stepping, Store, printed};

const OOM: &str = "(error) OOM command not allowed when used memory > 'maxmemory'.";

/// A store with a policy that compares many keys, so that chance decides little.
fn store(policy: &str) -> (Store, Counted) {
    let memory = Counted::default();
    let mut store = Store::counted(&memory);
    store.configure("maxmemory-policy", policy);
    store.configure("maxmemory-samples", "64");
    (store, memory)
}

/// The limit is what is in use now.
fn limit(store: &mut Store, memory: &Counted) {
    store.configure("maxmemory", &memory.bytes().to_string());
}

/// Keys `{t}0` to `{t}9` that are there.
fn there(store: &mut Store) -> Vec<usize> {
    let is_there = |number: &usize| store.run(&format!("EXISTS {{t}}{number}")).ends_with('1');
    (0..10).filter(is_there).collect()
}

/// Ten keys under a limit that has room for no other, and then two more.
fn after_two_more(policy: &str, mut prepare: impl FnMut(&mut Store, usize)) -> Vec<usize> {
    let (mut store, memory) = store(policy);
    (0..10).for_each(|number| prepare(&mut store, number));
    limit(&mut store, &memory);
    let before = memory.bytes();
    for number in 0..2 {
        assert_eq!(store.run(&format!("SET {{t}}x{number} v EX 9999")), "OK", "{policy}");
        store.shard.work(store.now, &mut crate::testing::Still);
        assert!(memory.bytes() <= before, "{policy}");
    }
    there(&mut store)
}

#[test]
fn each_policy_lets_its_own_keys_go() {
    let set = |store: &mut Store, number: usize, deadline: &str| {
        store.run(&format!("SET {{t}}{number} v {deadline}"));
        store.tick(10_000);
    };
    // The first are the oldest, but for those that are read again.
    let read_again = |store: &mut Store, number: usize, deadline: &str| {
        set(store, number, deadline);
        if number == 9 {
            (0..2).for_each(|number| drop(store.run(&format!("GET {{t}}{number}"))));
        }
    };
    let lru = after_two_more("allkeys-lru", |store, number| read_again(store, number, ""));
    assert!(!lru.contains(&2) && lru.contains(&0) && lru.contains(&1), "{lru:?}");
    let lrm = after_two_more("allkeys-lrm", |store, number| read_again(store, number, ""));
    assert!(!lrm.contains(&0) && lrm.contains(&9), "reads count for nothing: {lrm:?}");
    let lfu = after_two_more("allkeys-lfu", |store, number| {
        set(store, number, "");
        (0..20 * number).for_each(|_| drop(store.run(&format!("GET {{t}}{number}"))));
    });
    assert!(lfu.contains(&9) && lfu.contains(&8) && !lfu.contains(&0), "{lfu:?}");
    let ttl = after_two_more("volatile-ttl", |store, number| {
        set(store, number, &format!("EX {}", 9_000 - 100 * number));
    });
    assert!(!ttl.contains(&9) && ttl.contains(&0), "{ttl:?}");
    let random = after_two_more("allkeys-random", |store, number| set(store, number, ""));
    assert!((5..10).contains(&random.len()), "{random:?}");
    for policy in ["volatile-lru", "volatile-lfu", "volatile-lrm", "volatile-random"] {
        let left = after_two_more(policy, |store, number| {
            set(store, number, if number % 2 == 0 { "EX 9999" } else { "" });
        });
        assert_eq!(left.iter().filter(|number| *number % 2 == 1).count(), 5, "{policy}");
    }
}

#[test]
fn a_change_of_any_kind_counts_for_lrm() {
    let (mut store, _) = store("allkeys-lrm");
    for line in ["SET s v", "RPUSH l a b", "HSET h f v"] {
        store.run(line);
    }
    store.tick(60_000);
    let idle = |store: &mut Store, key: &str| store.run(&format!("OBJECT IDLETIME {key}"));
    for line in ["GET s", "LRANGE l 0 -1", "HGETALL h", "TOUCH s l h"] {
        store.run(line);
    }
    assert_eq!(idle(&mut store, "s"), "(integer) 60");
    for line in ["APPEND s w", "LPOP l", "EXPIRE h 100"] {
        store.run(line);
    }
    for key in ["s", "l", "h"] {
        assert_eq!(idle(&mut store, key), "(integer) 0", "{key}");
    }
    assert!(store.run("OBJECT FREQ s").starts_with("(error) ERR An LFU maxmemory policy is not"));
}

#[test]
fn without_a_policy_only_what_adds_is_refused() {
    let (mut store, memory) = store("noeviction");
    store.run("SET a 1");
    store.configure("maxmemory", "1");
    assert_eq!(store.run("SET b 1"), OOM);
    assert_eq!(store.run("GET a"), "\"1\"");
    assert_eq!(store.run("DEL a"), "(integer) 1");
    assert_eq!((memory.bytes(), store.run("SET b 1").as_str()), (0, "OK"));
}

#[test]
fn keys_without_a_deadline_stay_under_a_volatile_policy() {
    let (mut store, _) = store("volatile-lru");
    store.run("SET stays 1");
    store.run("SET goes 1 EX 100");
    store.configure("maxmemory", "1");
    assert_eq!(store.run("SET b 1"), OOM);
    assert_eq!(store.run("EXISTS stays goes"), "(integer) 1");
}

/// By every policy, with a deadline or without; what may go goes, and then a quarter more than the
/// limit is tolerated.
#[test]
fn what_is_blessed_never_goes() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl"] {
        let (mut store, memory) = store(policy);
        (0..10).for_each(|number| drop(store.run(&format!("SET {{t}}{number} v EX 9999"))));
        (0..8).for_each(|number| drop(store.run(&format!("BLESS SET {{t}}{number} NO-EVICT"))));
        limit(&mut store, &memory);
        let before = memory.bytes();
        for number in 0..20 {
            assert_eq!(store.run(&format!("SET {{t}}x{number} v EX 9999")), "OK", "{policy}");
            store.shard.work(store.now, &mut crate::testing::Still);
            assert!(memory.bytes() <= before, "{policy}");
        }
        assert_eq!(there(&mut store).into_iter().filter(|number| *number < 8).count(), 8);
    }
}

#[test]
fn a_quarter_more_is_tolerated_where_all_is_blessed() {
    for count in [1, 2, 4] {
        let memory = Counted::default();
        let mut shards = Shards::counted(count, &memory);
        shards.configure("maxmemory-policy", "allkeys-lru");
        for number in 0..400 {
            shards.run(&format!("SET k{number} v"));
            shards.run(&format!("BLESS SET k{number} NO-EVICT"));
        }
        let limit = memory.bytes();
        shards.configure("maxmemory", &limit.to_string());
        let mut refused = None;
        for number in 0..400 {
            shards.now = shards.now.saturating_add(1);
            let reply = shards.run(&format!("APPEND k{number} {}", "x".repeat(31)));
            if reply == OOM {
                refused = Some(memory.bytes());
                break;
            }
        }
        let at = refused.expect("it is refused in the end");
        assert!(at > limit + limit / 4 && at <= limit + limit / 4 + 100, "{at} of {limit}");
        let exist = (0..400).map(|number| format!("k{number}")).collect::<Vec<_>>().join(" ");
        assert_eq!(shards.run(&format!("EXISTS {exist}")), "(integer) 400", "{count} shards");
        assert_eq!(shards.run("BLESS SET k0 NO-EVICT"), OOM);
        assert_eq!(shards.run("BLESS CLEAR k0 NO-EVICT"), "(integer) 1");
        shards.now = shards.now.saturating_add(AGAIN_MS);
        shards.configure("maxmemory-policy", "noeviction");
        assert_eq!(shards.run("SET new v"), OOM, "nothing is tolerated where nothing ever goes");
    }
}

#[test]
fn a_transaction_is_let_in_as_a_whole() {
    let (mut store, _) = store("noeviction");
    store.run("SET a 1");
    let run = |store: &mut Store, lines: &[&str]| {
        lines.iter().map(|line| store.run(line)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(run(&mut store, &["MULTI", "SET a 2", "GET a"]), "OK, QUEUED, QUEUED");
    store.configure("maxmemory", "1");
    let refused = "(error) EXECABORT Transaction discarded because of: \
                   OOM command not allowed when used memory > 'maxmemory'.";
    assert_eq!(store.run("EXEC"), refused);
    assert_eq!(run(&mut store, &["MULTI", "GET a", "EXEC"]), "OK, QUEUED, 1) \"1\"");
    assert_eq!(run(&mut store, &["MULTI", "SET a 2"]), format!("OK, {OOM}"));
    let aborted = "(error) EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(store.run("EXEC"), aborted);
    assert_eq!(run(&mut store, &["MULTI", "DISCARD"]), "OK, OK");
}

#[test]
fn nothing_goes_inside_a_transaction() {
    let (mut store, memory) = store("allkeys-lru");
    (0..10).for_each(|number| drop(store.run(&format!("SET {{t}}{number} v"))));
    store.configure("maxmemory", &(memory.bytes() + 10).to_string());
    store.effects();
    store.run("MULTI");
    (10..15).for_each(|number| drop(store.run(&format!("SET {{t}}{number} v"))));
    assert_eq!(store.run("EXEC").lines().count(), 5);
    let effects = store.effects();
    let lines: Vec<&str> = effects.lines().collect();
    assert_eq!((lines[0], lines[6], lines.len()), ("MULTI", "EXEC", 7), "{effects}");
    store.shard.work(store.now, &mut crate::testing::Still);
    let effects = store.effects();
    assert_eq!(effects.lines().filter(|line| line.starts_with("DEL {t}")).count(), 5, "{effects}");
}

#[test]
fn a_write_waits_for_what_takes_long_and_holds_no_read_up() {
    let (mut store, memory) = store("allkeys-random");
    (0..10_000).for_each(|number| drop(store.run(&format!("SET k{number} v"))));
    let half = memory.bytes() / 2;
    store.configure("maxmemory", &half.to_string());
    let clock = &mut Stepping::by(1_000);
    let writing = store.batch(&[b"SET", b"new", b"1"]);
    assert!(store.shard.visit(writing, clock).is_none(), "it waits");
    let reading = store.batch(&[b"GET", b"none"]);
    assert!(store.shard.visit(reading, clock).is_some(), "it does not");
    let mut turns = 0;
    while store.shard.work(store.now, clock) {
        turns += 1;
    }
    assert!(turns > 3, "{turns} turns");
    let homes = std::mem::take(&mut store.shard.outbox.homes);
    assert_eq!(homes.iter().map(|batch| printed(&batch.replies)).collect::<Vec<_>>(), ["OK"]);
    assert!(memory.bytes() <= half + 200);
    assert!(store.shard.engine.tools.figures.evicted > 4_000);
}

/// A slice that is over at once still lets one key go: it never stands still.
#[test]
fn each_turn_lets_something_go() {
    let (mut store, memory) = store("allkeys-lru");
    (0..100).for_each(|number| drop(store.run(&format!("SET k{number} v"))));
    store.configure("maxmemory-eviction-tenacity", "0");
    store.configure("maxmemory", "1");
    let mut turns = 0;
    while store.shard.work(store.now, &mut Hasty(0)) {
        turns += 1;
    }
    assert_eq!((store.run("DBSIZE").as_str(), memory.bytes()), ("(integer) 0", 0));
    assert!((99..=101).contains(&turns), "{turns} turns");
}

#[test]
fn what_the_journal_cannot_take_does_not_go() {
    let (mut store, _) = store("allkeys-lru");
    store.run("SET a 1");
    store.shard.engine.has_credit = false;
    store.configure("maxmemory", "1");
    assert!(!store.shard.work(store.now, &mut crate::testing::Still), "it waits for the journal");
    assert_eq!(store.run("EXISTS a"), "(integer) 1");
}

/// A key of this shard among so many.
fn key_of(shard: u16, shards: &Shards, name: &str) -> String {
    let map = shards.shards[0].map().clone();
    let names = (0..).map(|number| format!("{name}{number}"));
    let is_there = |name: &String| {
        map.owner(Key::new(name.as_bytes(), shards.shards[0].hasher()).slot) == shard
    };
    names.into_iter().find(is_there).expect("each shard has keys")
}

#[test]
fn a_shard_that_has_nothing_has_others_make_room() {
    for count in [2, 4] {
        let memory = Counted::default();
        let mut shards = Shards::counted(count, &memory);
        shards.configure("maxmemory-policy", "volatile-lru");
        let volatile = key_of(1, &shards, "v");
        let (full, new) = (key_of(0, &shards, "k"), key_of(0, &shards, "new"));
        shards.run(&format!("SET {full} 1"));
        shards.run(&format!("SET {volatile} 1 EX 1000"));
        shards.configure("maxmemory", &(memory.bytes() - 1).to_string());
        assert_eq!(shards.run(&format!("SET {new} 1")), "OK", "{count} shards");
        assert_eq!(shards.run(&format!("EXISTS {volatile} {full}")), "(integer) 1");
        shards.now = shards.now.saturating_add(AGAIN_MS);
        assert_eq!(shards.run(&format!("SET {full}2 {}", "x".repeat(100))), OOM, "nobody can");
        assert_eq!(shards.run(&format!("DEL {new}")), "(integer) 1");
        assert_eq!(shards.run(&format!("SET {new} 1")), "OK", "there is room again");
    }
}

#[test]
fn a_waiting_write_is_refused_when_nobody_can() {
    let memory = Counted::default();
    let mut shards = Shards::counted(3, &memory);
    shards.configure("maxmemory-policy", "volatile-ttl");
    for shard in 0..3 {
        let key = key_of(shard, &shards, "k");
        shards.run(&format!("SET {key} 1"));
    }
    shards.configure("maxmemory", "1");
    let new = key_of(0, &shards, "new");
    shards.send(&[&format!("SET {new} 1")]);
    let asked = shards.letters_of(0);
    assert!(asked.iter().all(|(_, letter)| matches!(letter, Letter::Evict(0))), "{asked:?}");
    assert!(!asked.is_empty(), "others are asked, and the write waits");
    shards.deliver(asked);
    let home = shards.settle().expect("it is answered");
    assert_eq!(printed(&home.replies), OOM);
}

/// The few keys of a busy shard stay, since those of the other were not used for long.
#[test]
fn what_is_worth_less_goes_first_wherever_it_is() {
    let memory = Counted::default();
    let mut shards = Shards::counted(2, &memory);
    shards.configure("maxmemory-policy", "allkeys-lru");
    let (busy, idle) = (key_of(0, &shards, "busy"), key_of(1, &shards, "idle"));
    (0..500).for_each(|number| drop(shards.run(&format!("SET {{{idle}}}{number} v"))));
    shards.now = shards.now.saturating_add(1_000_000);
    (0..50).for_each(|number| drop(shards.run(&format!("SET {{{busy}}}{number} v"))));
    shards.configure("maxmemory", &memory.bytes().to_string());
    shards.settle();
    for number in 50..400 {
        shards.now = shards.now.saturating_add(20);
        shards.run(&format!("SET {{{busy}}}{number} v"));
    }
    let of = |shards: &Shards, at: usize| shards.shards[at].keyspace().counts(0).len;
    assert!(of(&shards, 0) > 380, "{} of the busy shard", of(&shards, 0));
    assert!(of(&shards, 1) < 180, "{} of the idle one", of(&shards, 1));
}

#[test]
fn ages_are_compared_with_a_margin() {
    let worths = Worths::new(3);
    [800, 1_000, 900].iter().zip(0..).for_each(|(worth, shard)| worths.publish(shard, *worth));
    assert_eq!([0, 1, 2].map(|shard| worths.cheaper_than(shard)), [None, None, None]);
    worths.publish(0, 700);
    assert_eq!([0, 1, 2].map(|shard| worths.cheaper_than(shard)), [None, Some(0), Some(0)]);
    worths.publish(0, PRICELESS);
    assert_eq!([0, 1, 2].map(|shard| worths.cheaper_than(shard)), [Some(2), None, None]);
}

/// Whoever has a turn while there is too much evicts; what goes is the oldest nevertheless.
#[test]
fn what_is_used_stays_on_one_shard_and_on_several() {
    const HOT: usize = 500;
    let value = "x".repeat(60);
    for count in [1, 4] {
        let memory = Counted::default();
        let mut shards = Shards::counted(count, &memory);
        shards.configure("maxmemory-policy", "allkeys-lru");
        shards.configure("maxmemory", "1000000");
        (0..HOT).for_each(|number| drop(shards.run(&format!("SET hot:{number} {value}"))));
        for phase in 0..5 {
            shards.now = shards.now.saturating_add(1_000);
            (0..HOT).for_each(|number| drop(shards.run(&format!("GET hot:{number}"))));
            shards.now = shards.now.saturating_add(6_000);
            for number in 0..4_000 {
                shards.now = shards.now.saturating_add(i64::from(number % 50 == 0));
                shards.run(&format!("SET cold:{phase}:{number} {value}"));
            }
        }
        let is_there = |number: &usize| shards.run(&format!("EXISTS hot:{number}")).ends_with('1');
        let hot = (0..HOT).filter(is_there).count();
        assert!(hot > HOT - 5, "{hot} of those that are used are there, on {count} shards");
        let keys = shards.shards.iter().map(|shard| shard.keyspace().counts(0).len);
        let keys: Vec<usize> = keys.collect();
        let mean = keys.iter().sum::<usize>() / keys.len();
        assert!(keys.iter().all(|keys| keys.abs_diff(mean) < mean / 4), "{keys:?}");
    }
}
