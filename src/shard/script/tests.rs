//! Scripts on the bare core, as lists of commands ([`Listed`](crate::script::listed::Listed)).

use std::sync::Arc;

use crate::base::slot;
use crate::keyspace::undo::{LARGE, Undo};
use crate::question::{Detail, KillKind};
use crate::shard::letter::Letter;
use crate::shard::script::call::COPIED_MAX;
use crate::shard::script::needs::NAME_MAX;
use crate::testing::{Hasty, START, Shards, Store, printed};

/// A request that runs these commands, a line each, on these keys and arguments.
fn eval(lines: &[&str], rest: &str) -> String {
    format!("EVAL \"{}\" {rest}", lines.join("\\n").replace('"', "\\\""))
}

/// Keys of each shard, some of each.
fn keys(store: &Shards) -> Vec<Vec<String>> {
    let map = store.shards[0].map().clone();
    let mut keys = vec![Vec::new(); usize::from(map.shards())];
    for number in 0..200 {
        let key = format!("k{number}");
        keys[usize::from(map.owner(slot::of(key.as_bytes())))].push(key);
    }
    keys
}

#[test]
fn commands_of_a_script_are_one_record() {
    let mut store = Store::new();
    assert_eq!(store.run(&eval(&["SET KEYS1 ARGV1", "INCR n"], "1 a 7")), "(integer) 1");
    assert_eq!(store.effects(), "MULTI\nSET a 7\nINCR n\nEXEC");
    assert_eq!(store.run(&eval(&["GET a", "INCR n"], "0")), "(integer) 2");
    assert_eq!(store.effects(), "INCR n");
    assert_eq!(store.run(&eval(&["GET a"], "0")), "\"7\"");
    assert_eq!(store.effects(), "");
    assert_eq!(store.run(&eval(&["SET a 1", "quiet", "SET b 2"], "0")), "OK");
    assert_eq!(store.effects(), "SET a 1");
    assert_eq!(store.run("GET b"), "\"2\"");
}

#[test]
fn an_error_ends_a_script_and_leaves_its_writes() {
    let mut store = Store::new();
    let wrong = "(error) WRONGTYPE Operation against a key holding the wrong kind of value";
    assert_eq!(store.run(&eval(&["SET a 1", "LPUSH a 1", "SET b 2"], "0")), wrong);
    assert_eq!(store.run("MGET a b"), "1) \"1\"\n2) (nil)");
    assert_eq!(store.run(&eval(&["?LPUSH a 1", "SET b 2"], "0")), "OK");
    for (line, error) in [
        ("NOSUCH a", "ERR Unknown command called from script"),
        ("CONFIG NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP."),
        ("GET", "ERR Wrong number of args calling command from script"),
        ("EVAL x 0", "ERR This Valkey command is not allowed from script"),
        ("MULTI", "ERR This Valkey command is not allowed from script"),
    ] {
        assert_eq!(store.run(&eval(&[line], "0")), format!("(error) {error}"), "{line}");
    }
    let refused = "(error) ERR Write commands are not allowed from read-only scripts.";
    assert_eq!(store.run(&eval(&["SET a 1"], "0").replace("EVAL", "EVAL_RO")), refused);
    assert_eq!(store.run(&eval(&["#!lua flags=no-writes", "SET a 1"], "0")), refused);
    assert_eq!(store.run(&eval(&["PFCOUNT a"], "0").replace("EVAL", "EVAL_RO")), refused);
    let declared = eval(&["#!lua", "SET a 1"], "0");
    assert_eq!(store.run(&declared), "OK");
    assert_eq!(
        store.run(&declared.replace("EVAL", "EVAL_RO")),
        "(error) ERR Can not execute a script with write flag using *_ro command."
    );
}

#[test]
fn the_words_of_a_call_are_checked_first() {
    let mut store = Store::new();
    for (line, error) in [
        ("EVAL PING x", "ERR value is not an integer or out of range"),
        ("EVAL PING 2 a", "ERR Number of keys can't be greater than number of args"),
        ("EVAL PING -1 a", "ERR Number of keys can't be negative"),
        ("EVALSHA nothing 0", "NOSCRIPT No matching script."),
        ("FCALL nothing 0", "ERR Function not found"),
    ] {
        assert_eq!(store.run(line), format!("(error) {error}"), "{line}");
    }
    assert_eq!(store.run("EVAL PING 0"), "PONG");
    let sha = store.run("SCRIPT LOAD PING").replace('"', "");
    assert_eq!(store.run(&format!("EVALSHA {} 0", sha.to_uppercase())), "PONG");
}

#[test]
fn a_script_has_its_own_database_and_protocol() {
    let mut store = Store::new();
    assert_eq!(store.run(&eval(&["SELECT 3", "SET a 1"], "0")), "OK");
    assert_eq!(store.run("GET a"), "(nil)");
    assert_eq!(store.run(&eval(&["HSET h f v", "resp3", "HGETALL h"], "0")), "1# \"f\" => \"v\"");
    assert_eq!(store.run("HGETALL h"), "1) \"f\"\n2) \"v\"");
    assert_eq!(store.run(&eval(&["BLPOP nothing 0"], "0")), "(nil)");
}

#[test]
fn who_subscribes_gets_messages_of_its_scripts_in_its_own_protocol() {
    let mut store = Shards::new(1);
    let publish = eval(&["SET a 1", "PUBLISH c m"], "0");
    store.pipeline(&["HELLO 3", "SUBSCRIBE c"]);
    let said = String::from_utf8_lossy(&store.reply(&publish)).into_owned();
    let message = ":1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n";
    assert!(said.ends_with(message), "{said:?}");
}

#[test]
fn keys_that_are_not_declared_are_found_on_all_shards() {
    let mut store = Shards::new(3);
    let keys = keys(&store);
    let [first, .., last] = [&keys[0], &keys[1], &keys[2]].map(|of| of[0].as_str());
    store.run(&format!("SET pointer {last}"));
    store.run(&format!("SET {last} end"));
    for line in [
        eval(&["INCR KEYS1", "GET pointer", "GET $"], &format!("1 {first}")),
        eval(&["INCR ARGV1", "GET pointer", "GET $"], &format!("0 {first}")),
    ] {
        assert_eq!(store.run(&line), "\"end\"", "{line}");
    }
    assert_eq!(store.run(&format!("GET {first}")), "\"2\"", "it counts once a script");
    let records = store.records();
    let times = records.bytes.windows(4).filter(|bytes| bytes == b"INCR").count();
    assert_eq!(times, 2, "and is journaled once");
}

#[test]
fn a_script_goes_on_to_what_it_meets() {
    let mut store = Shards::new(3);
    let keys = keys(&store);
    let first = &keys[1][0];
    let chain = [&keys[0][0], &keys[2][0], &keys[0][1], &keys[1][1], &keys[2][1], &keys[0][2]];
    for pair in chain.windows(2) {
        store.run(&format!("SET {} {}", pair[0], pair[1]));
    }
    let mut lines = vec!["INCR KEYS1".to_owned(), format!("GET {}", chain[0])];
    lines.extend(vec!["GET $".to_owned(); chain.len() - 2]);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for times in 1..=3 {
        let end = store.run(&eval(&lines, &format!("1 {first}")));
        assert_eq!(end, format!("\"{}\"", chain[chain.len() - 1]));
        assert_eq!(store.run(&format!("GET {first}")), format!("\"{times}\""));
    }
    assert_eq!(store.run("DBSIZE"), "(integer) 6", "all slots are home");
}

#[test]
fn a_script_that_changes_a_large_value_holds_every_slot() {
    let mut store = Shards::new(2);
    let keys = keys(&store);
    let (here, there) = (&keys[0][0], &keys[1][0]);
    store.run(&format!("SETRANGE {here} {} x", COPIED_MAX - 1));
    let line = eval(&["INCR ARGV1", "APPEND KEYS1 x"], &format!("1 {here} {there}"));
    let needing_all = |store: &Shards| -> usize {
        store.shards.iter().map(|shard| shard.engine.known_needs.needing_all()).sum()
    };
    for times in 1..=200 {
        assert_eq!(store.run(&line), format!("(integer) {}", COPIED_MAX + times));
        assert_eq!(store.run(&format!("GET {there}")), format!("\"{times}\""));
    }
    assert_eq!(needing_all(&store), 1);
    // It is forgotten after a while, and what the script needs is found out anew.
    store.run(&format!("SET {here} x"));
    (0..200).for_each(|_| drop(store.run(&line)));
    assert_eq!(needing_all(&store), 0);
}

#[test]
fn a_rerun_sees_the_same_random_numbers_and_counts_once() {
    let mut store = Shards::new(2);
    let keys = keys(&store);
    let (here, there) = (&keys[0][0], &keys[1][0]);
    let members: Vec<String> = (0..100).map(|number| format!("m{number}")).collect();
    store.run(&format!("SADD {here} {}", members.join(" ")));
    let line = eval(&["SPOP KEYS1", "APPEND ARGV1 SEED"], &format!("1 {here} {there}"));
    store.run(&line);
    let seed = store.run(&format!("GET {there}"));
    assert_eq!(store.run(&format!("SCARD {here}")), "(integer) 99", "one is gone");
    store.run(&line);
    assert!(store.run(&format!("GET {there}")) != seed, "each run has its own");
}

#[test]
fn what_a_script_has_turned_out_to_need_is_known_the_next_time() {
    let mut store = Shards::new(4);
    let keys = keys(&store);
    let others: Vec<String> = keys.iter().map(|of| format!("INCR {}", of[1])).collect();
    let lines: Vec<&str> = others.iter().map(String::as_str).collect();
    let line = eval(&lines, &format!("1 {}", keys[0][0]));
    let mut rounds = || {
        let before = store.letters;
        assert!(store.run(&line).starts_with("(integer)"));
        store.letters - before
    };
    let (first, second, third) = (rounds(), rounds(), rounds());
    assert!(second < first && third == second, "{first} {second} {third}");
    assert_eq!(store.run(&format!("MGET {}", keys[2][1])), "1) \"3\"");
}

#[test]
fn a_key_with_a_long_name_is_asked_for_each_time() {
    let mut store = Shards::new(2);
    let declared = keys(&store)[0][0].clone();
    let map = store.shards[0].map().clone();
    let asked = [NAME_MAX, NAME_MAX + 1].map(|len| {
        let mut names = (0..).map(|number| format!("{:x<len$}", format!("k{number}")));
        let name = names.find(|name| usize::from(map.owner(slot::of(name.as_bytes()))) == 1);
        let line = eval(&[&format!("INCR {}", name.unwrap())], &format!("1 {declared}"));
        let mut before = 0;
        for times in 1..=3 {
            before = store.letters;
            assert_eq!(store.run(&line), format!("(integer) {times}"));
        }
        store.letters - before
    });
    assert!(asked[0] < asked[1], "{asked:?}");
}

#[test]
fn keys_behind_declared_ones_are_brought_together_at_the_start() {
    let mut store = Shards::new(4);
    let (mut asked, mut answers) = (Vec::new(), Vec::new());
    for number in 0..40 {
        let job = format!("job:{number}");
        let names: Vec<String> = (0..6).map(|part| format!("INCR {job}:{part}")).collect();
        let lines: Vec<&str> = names.iter().map(String::as_str).collect();
        let before = store.letters;
        answers.push(store.run(&eval(&lines, &format!("2 queue {job}"))));
        asked.push(store.letters - before);
    }
    assert!(answers.iter().all(|answer| answer == "(integer) 1"), "{answers:?}");
    let late: usize = asked[30..].iter().sum();
    assert!(late <= asked[0] * 10, "{asked:?}: at most a tour each");
}

#[test]
fn scripts_of_a_batch_run_with_one_loan() {
    let mut store = Shards::new(3);
    let keys = keys(&store);
    let line = eval(
        &[&format!("INCR {}", keys[0][0]), &format!("INCR {}", keys[1][0])],
        &format!("1 {}", keys[2][0]),
    );
    store.run(&line);
    let before = store.letters;
    store.run(&line);
    let one = store.letters - before;
    let lines = vec![line.as_str(); 10];
    let before = store.letters;
    let said = store.pipeline(&lines);
    assert_eq!(said.lines().last(), Some("(integer) 12"));
    assert!(store.letters - before <= one, "as one of them alone");
    let gets = vec!["DBSIZE"; 2];
    assert_eq!(store.pipeline(&gets), "(integer) 2\n(integer) 2", "all slots are home");
}

#[test]
fn a_run_whose_slot_is_not_to_be_had_is_undone_and_starts_again() {
    let mut store = Shards::new(2);
    let keys = keys(&store);
    let (here, there) = (keys[0][0].clone(), keys[1][0].clone());
    let number = slot::of(there.as_bytes());
    let away = store.shards[1].engine.space.take(number).expect("it was there");
    store.send(&[&eval(&["INCR KEYS1", &format!("INCR {there}")], &format!("1 {here}"))]);
    assert!(store.settle().is_none(), "it waits where the slot is");
    store.shards[1].engine.space.put(number, away);
    store.deliver(vec![(1, crate::shard::letter::Letter::Lasts(0))]);
    let batch = store.settle().expect("it runs when the slot is back");
    assert_eq!(printed(&batch.replies), "(integer) 1");
    store.session = batch.session;
    assert_eq!(store.run(&format!("MGET {here} {there}")), "1) \"1\"\n2) \"1\"");
}

#[test]
fn a_request_for_slots_that_is_lost_is_answered() {
    let mut store = Shards::new(2);
    let keys = keys(&store);
    let (here, there) = (keys[0][0].clone(), keys[1][0].clone());
    let line = |other: &str| eval(&["INCR KEYS1", "INCR ARGV1"], &format!("1 {here} {other}"));
    assert_eq!(store.run(&line(&keys[0][1])), "(integer) 1", "the script is known");
    store.send(&[&line(&there)]);
    let letters = store.letters_of(0);
    assert!(matches!(letters[..], [(1, crate::shard::letter::Letter::Fetch(_))]), "{letters:?}");
    drop(letters);
    let batch = store.settle().expect("it starts again");
    assert_eq!(printed(&batch.replies), "(integer) 1");
    store.session = batch.session;
    assert_eq!(store.run(&format!("MGET {here} {there}")), "1) \"2\"\n2) \"1\"");
}

#[test]
fn what_is_over_everything_runs_where_everything_is() {
    let mut store = Shards::new(3);
    let keys = keys(&store);
    let line = eval(&["SET ARGV1 x", "DBSIZE", "FLUSHALL", "SET ARGV2 y", "DBSIZE"], "0 k1 k2");
    assert_eq!(store.run(&line), "(integer) 1");
    assert_eq!(store.run("MGET k1 k2"), "1) (nil)\n2) \"y\"");
    let many: Vec<String> = keys.iter().flatten().map(|key| format!("SET {key} v")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(store.run(&eval(&many, "0")), "OK");
    assert_eq!(store.run("DBSIZE"), "(integer) 200");
}

#[test]
fn exec_runs_scripts_among_its_commands() {
    for shards in [1, 3] {
        let mut store = Shards::new(shards);
        let sets = eval(&["SET KEYS1 1", "INCR n"], "1 a");
        store.run("SCRIPT LOAD PING");
        let said = store.pipeline(&["MULTI", "SET b 1", &sets, "INCR n", "EXEC"]);
        assert!(said.ends_with("1) OK\n2) (integer) 1\n3) (integer) 2"), "{said}");
        let failing = eval(&["LPUSH b 1"], "0");
        let said = store.pipeline(&["GET b", &failing, "GET n"]);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!((lines[0], lines[2]), ("\"1\"", "\"2\""), "{said}");
    }
}

#[test]
fn waiters_are_served_once_behind_a_script() {
    let mut store = Shards::new(1);
    store.send(&["BLPOP l 0"]);
    let waits = store.settle().expect("it waits at home");
    assert!(waits.parked.is_some());
    store.run(&eval(&["RPUSH l a", "RPUSH l b", "LPOP l"], "0"));
    assert_eq!(store.run("LRANGE l 0 -1"), "(empty array)", "b is the waiter's");
}

/// In the middle of a turn slots have come back, for whose keys somebody waits again.
#[test]
fn nobody_is_served_with_what_a_run_that_stands_still_has_pushed() {
    let mut store = Shards::new(1);
    store.send(&["BLPOP l 0"]);
    let waits = store.settle().expect("it waits at home");
    let parked = waits.parked.as_ref().expect("it waits");
    store.shards[0].receive(Letter::WaitAgain(Arc::downgrade(parked)));
    store.send(&[&eval(&["RPUSH l a", "pause", "LPOP l"], "0")]);
    let batch = store.shards[0].ready.pop_front().expect("it was sent");
    let clock = &mut Hasty(0);
    assert!(store.shards[0].visit(batch, clock).is_none(), "its slice is over");
    let (homes, served) = store.settle_all();
    assert_eq!(printed(&homes[0].replies), "\"a\"", "{served:?}");
    assert_eq!((served.len(), store.run("LLEN l").as_str()), (0, "(integer) 0"));
}

#[test]
fn a_run_that_stands_still_keeps_its_slots() {
    let mut store = Store::new();
    let script = eval(&["SET a 1", "pause", "GET b", "pause", "SET b 2"], "1 a");
    let words: Vec<Vec<u8>> = {
        let mut words = crate::resp::inline::Words::default();
        words.split(script.as_bytes()).expect("it is well quoted");
        words.iter().map(<[u8]>::to_vec).collect()
    };
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let clock = &mut Hasty(0);
    let batch = store.batch(&words);
    assert!(store.shard.visit(batch, clock).is_none(), "its slice is over");
    let reads = store.batch(&[b"GET", b"a"]);
    assert!(store.shard.visit(reads, clock).is_none(), "its slot is held");
    let others = store.batch(&[b"GET", b"other"]);
    assert!(store.shard.visit(others, clock).is_some(), "other slots are not");
    let flushes = store.batch(&[b"FLUSHALL"]);
    assert!(store.shard.visit(flushes, clock).is_none());
    while store.shard.work(store.now, clock) {}
    let homes = std::mem::take(&mut store.shard.outbox.homes);
    let replies: Vec<String> = homes.iter().map(|batch| printed(&batch.replies)).collect();
    assert_eq!(replies, ["OK", "\"1\"", "OK"]);
    assert_eq!(store.effects(), "MULTI\nSET a 1\nSET b 2\nEXEC\nFLUSHALL");
}

/// A batch of `store` with a script of these commands, which stands still.
fn standing(store: &mut Store, lines: &[&str], clock: &mut Hasty) {
    let lines = lines.join("\n");
    let mut batch = store.batch(&[b"EVAL", lines.as_bytes(), b"0"]);
    batch.session.subscribed = std::mem::take(&mut store.session.subscribed);
    assert!(store.shard.visit(batch, clock).is_none(), "its slice is over");
}

/// The replies of the batches that have come home.
fn homes(store: &mut Store, clock: &mut Hasty) -> Vec<String> {
    while store.shard.work(store.now, clock) {}
    let homes = std::mem::take(&mut store.shard.outbox.homes);
    homes.iter().map(|batch| String::from_utf8_lossy(&batch.replies).into_owned()).collect()
}

#[test]
fn what_a_run_has_called_is_counted_once_when_it_is_over_whatever_others_do() {
    let mut store = Shards::new(2);
    let keys = keys(&store);
    let (here, there) = (&keys[0][0], &keys[1][0]);
    let calls = |store: &Shards| -> u64 {
        let counters = store.shards.iter().map(|shard| &shard.engine.counters);
        counters.map(|counters| counters.counted(Detail::Sums).calls).sum()
    };
    store.run("SCRIPT LOAD PING");
    let before = calls(&store);
    store.run(&eval(&["INCR KEYS1", "INCR ARGV1", "INCR ARGV1"], &format!("1 {here} {there}")));
    assert_eq!(calls(&store) - before, 4, "EVAL and three INCR, though it has run twice");
    let mut store = Store::new();
    let clock = &mut Hasty(0);
    standing(&mut store, &["INCR n", "pause", "INCR n"], clock);
    assert_eq!(store.shard.engine.uncounted.len(), 0, "it goes along with the run");
    homes(&mut store, clock);
    assert_eq!(store.shard.engine.counters.counted(Detail::Sums).calls, 3);
}

#[test]
fn a_run_that_stands_still_when_its_shard_breaks_is_undone() {
    let mut store = Store::new();
    store.run("SET a old");
    store.effects();
    let clock = &mut Hasty(0);
    standing(&mut store, &["SET a new", "INCR n", "pause", "SET b 2"], clock);
    store.shard.distrust();
    let replies = homes(&mut store, clock);
    assert!(replies[0].starts_with("-LOADING"), "{replies:?}");
    assert_eq!((store.effects().as_str(), store.shard.engine.runs.running()), ("", None));
    store.shard.serve();
    assert_eq!(store.run("MGET a n b"), "1) \"old\"\n2) (nil)\n3) (nil)");
}

#[test]
fn a_run_that_stands_still_in_exec_when_its_shard_breaks_goes_with_it() {
    let mut store = Store::new();
    store.run("MULTI");
    store.run("EVAL \"SET a new\\npause\\nSET b 2\" 0");
    let (exec, clock) = (store.batch(&[b"EXEC"]), &mut Hasty(0));
    assert!(store.shard.visit(exec, clock).is_none(), "its slice is over");
    store.shard.distrust();
    assert!(homes(&mut store, clock)[0].starts_with("-ERR internal error"));
    assert_eq!((store.effects().as_str(), store.shard.engine.runs.running()), ("", None));
}

#[test]
fn what_a_run_has_published_that_is_undone_nobody_gets() {
    for is_killed in [true, false] {
        let mut store = Store::new();
        store.run("HELLO 3");
        store.run("SUBSCRIBE c");
        let clock = &mut Hasty(0);
        standing(&mut store, &["PUBLISH c m", "pause", "SET b 2"], clock);
        assert!(!store.shard.engine.register.has_published(), "it is not over");
        if is_killed {
            let settings = store.shard.settings().clone();
            assert_eq!(store.shard.engine.kill_slow(KillKind::All, &settings).ended, 1);
        }
        let replies = homes(&mut store, clock);
        let message = ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n";
        assert_eq!(replies[0].ends_with(message), !is_killed, "{replies:?}");
    }
}

#[test]
fn libraries_are_known_everywhere_and_journaled() {
    let mut store = Shards::new(3);
    let load = "FUNCTION LOAD \"#!lua name=lib\\nSET a 1\"";
    assert_eq!(store.run(load), "\"lib\"");
    assert_eq!(store.run("FCALL F_lib 1 a"), "OK");
    assert_eq!(store.run("GET a"), "\"1\"");
    assert_eq!(store.run(load), "(error) ERR Library 'lib' already exists");
    for shard in &store.shards {
        assert_eq!(shard.engine.scripting.libraries.len(), 1);
    }
    let records = store.records();
    let mut other = Shards::new(2);
    other.load(&records);
    for shard in &mut other.shards {
        shard.end_replay();
        assert_eq!(shard.engine.scripting.libraries.len(), 1);
    }
    let dump = "FUNCTION LIST LIBRARYNAME l*";
    assert!(store.run(dump).contains("\"lib\""), "{}", store.run(dump));
    assert_eq!(store.run("FUNCTION DELETE lib"), "OK");
    assert_eq!(store.run("FUNCTION DELETE lib"), "(error) ERR Library not found");
    assert_eq!(store.run("FUNCTION LIST"), "(empty array)");
}

/// What all keys hold, with their deadlines.
fn contents(store: &mut Store) -> String {
    let mut said = String::new();
    for db in [0, 1] {
        store.run(&format!("SELECT {db}"));
        let mut keys: Vec<String> = store.run("KEYS *").lines().map(str::to_owned).collect();
        keys.sort_by_key(|line| line.split(' ').next_back().map(str::to_owned));
        for line in keys.iter().filter_map(|line| line.split('"').nth(1)) {
            said += &store.run(&format!("DUMP {line}"));
            said += &store.run(&format!("PEXPIRETIME {line}"));
        }
    }
    store.run("SELECT 0");
    said
}

#[test]
fn what_was_changed_is_as_it_was() {
    let mut store = Store::new();
    for line in [
        "SET s 1 PX 50000",
        "RPUSH l a b c",
        "HSET h f v g w",
        "ZADD z 1 a 2 b",
        "SADD m 1 2 x",
        "XADD x 5-1 f v",
        "SET other v",
        "SELECT 1",
        "SET k one",
        "SELECT 0",
    ] {
        store.run(line);
    }
    let before = contents(&mut store);
    store.shard.engine.tools.undo = Some(Box::new(Undo::new(1 << 20, true)));
    for line in [
        "INCR s",
        "PERSIST s",
        "LPOP l 3",
        "RPUSH l z",
        "HDEL h f g",
        "SET h string",
        "ZREM z a",
        "SADD m y",
        "XADD x * f v",
        "XDEL x 5-1",
        "RENAME other another",
        "SWAPDB 0 1",
        "SET k two",
        "DEL k",
        "SET new v",
        "MSET a 1 b 2",
    ] {
        assert!(!store.run(line).starts_with("(error)"), "{line}");
    }
    let undo = store.shard.engine.tools.undo.take().expect("it was put there");
    assert!(undo.has_changes() && undo.is_whole() && !undo.is_full());
    let engine = &mut store.shard.engine;
    assert!(engine.space.undo(*undo, &mut engine.tools));
    assert_eq!(contents(&mut store), before);
    assert_eq!(store.shard.keyspace().next_deadline(), Some(START.saturating_add(50_000)));
}

#[test]
fn what_is_too_large_or_emptied_is_said_to_stay() {
    let mut store = Store::new();
    store.run(&format!("SET large {}", "x".repeat(2 * LARGE)));
    let mut undo_of = |undo: Undo, line: &str| {
        store.shard.engine.tools.undo = Some(Box::new(undo));
        store.run(line);
        store.shard.engine.tools.undo.take().expect("it was put there")
    };
    let kept = undo_of(Undo::new(1 << 20, true), "APPEND large x");
    assert!(kept.is_whole() && !kept.is_full());
    assert!(undo_of(Undo::new(1 << 10, true), "APPEND large x").is_full());
    let not_kept = undo_of(Undo::new(1 << 20, false), "APPEND large x");
    assert!(not_kept.has_changes() && !not_kept.is_whole());
    assert!(!undo_of(Undo::new(1 << 20, true), "FLUSHALL").is_whole());
    assert!(!undo_of(Undo::new(1 << 20, true), "GET large").has_changes());
}
