//! Transactions on shards: what they record, what they wait for, and what a panic leaves of them.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::slot;
use crate::batch::{Batch, Home};
use crate::clients::Pause;
use crate::commands::action::PauseMode;
use crate::commands::command::{Access, Arity, Command, Flags, KeySpec, Name, Run};
use crate::hook::Phase;
use crate::hooks::pause::Paused;
use crate::hooks::silence::Silence;
use crate::keyspace::keys::Deadline;
use crate::keyspace::listener::Event;
use crate::resp::{Decoder, Frames, Limits, encode};
use crate::route::ShardId;
use crate::session::{FromPrimary, Peer, Session};
use crate::shard::gates::Gates;
use crate::shard::letter::Letter;
use crate::testing::{Hasty, START, Shards, Store, printed};

/// Changes its key and panics.
static BREAKS: Command = Command {
    name: Name("breaks"),
    arity: Arity::Exactly(2),
    keys: &[KeySpec::one(1, Access::OW.and(Access::UPDATE))],
    flags: Flags::WRITE,
    run: Run::Keys(|call, keys, _| {
        keys.set_string(call.key(1), b"broken", Deadline::Clear, Event::SET);
        panic!("a command breaks");
    }),
    ..Command::BASE
};

/// A store, and for each shard a key that it owns.
fn shards(count: ShardId) -> (Shards, Vec<String>) {
    let store = Shards::new(count);
    let map = store.shards[0].map().clone();
    let is_of = |key: &String, shard| map.owner(slot::of(key.as_bytes())) == shard;
    let key_of = |shard| (0..).map(|n| format!("k{n}")).find(|k| is_of(k, shard)).expect("endless");
    (store, (0..count).map(key_of).collect())
}

/// Runs the lines one after the other; the last reply.
fn run_all(store: &mut Shards, lines: &[&str]) -> String {
    lines.iter().map(|line| store.run(line)).last().unwrap_or_default()
}

/// What was recorded since this was asked last, shard by shard: each run behind the number of its
/// database.
fn recorded(store: &mut Shards) -> String {
    let mut said = Vec::new();
    for shard in &mut store.shards {
        let (bytes, runs) = shard.effects().take();
        let mut start = 0;
        for run in runs {
            said.push(format!("{}:", run.db));
            let text = String::from_utf8_lossy(&bytes[start..run.end]).into_owned();
            let words = text.lines().filter(|line| !line.starts_with(['*', '$']));
            said.extend(words.map(str::to_owned));
            start = run.end;
        }
    }
    said.join(" ")
}

/// A batch with one request of a client of its own.
fn batch_of(store: &Shards, words: &[&[u8]], session: Session) -> Box<Batch> {
    let mut request = Vec::new();
    encode::command(&mut request, words);
    let mut frames = Frames::default();
    Decoder::default()
        .decode(&request, &Limits::default(), &mut frames)
        .expect("the encoder writes what the decoder reads");
    let mut batch = Box::new(Batch::new(Home { thread: 0, connection: 0 }, session));
    batch.frames = frames;
    let shard = &store.shards[0];
    let renames = &shard.settings().rename_command;
    batch.route(Bytes::from(request), store.now, shard.hasher(), renames);
    batch
}

/// Queues the command that panics.
fn queue_breaks(store: &mut Shards, key: &str) {
    let words: [&[u8]; 2] = [b"GET", key.as_bytes()];
    let mut batch = batch_of(store, &words, store.session.clone());
    batch.routed[0].command = Some(&BREAKS);
    store.shards[0].receive(Letter::Visit(batch));
    let home = store.settle().expect("it is queued");
    assert_eq!(printed(&home.replies), "QUEUED");
    store.session = home.session;
}

/// Lets every shard work until nothing is on its way; what each client got that is answered.
fn settle(store: &mut Shards) -> Vec<(u64, String)> {
    let mut got = Vec::new();
    loop {
        let mut letters = Vec::new();
        for shard in 0..store.shards.len() {
            letters.append(&mut store.letters_of(shard));
            for home in store.shards[shard].outbox.homes.drain(..) {
                got.push((home.session.id, printed(&home.replies)));
                if home.session.id == store.session.id {
                    store.session = home.session;
                }
            }
        }
        letters.append(&mut store.posted.take());
        if letters.is_empty() {
            return got;
        }
        store.deliver(letters);
    }
}

/// The batch that has an action to be performed, and the shard where it is.
fn performs(store: &mut Shards) -> (Box<Batch>, usize) {
    let mut shards = store.shards.iter_mut().enumerate();
    let found = shards.find_map(|(at, shard)| Some((shard.outbox.performs.pop()?, at)));
    found.expect("an action is to be performed")
}

/// The action was performed; what clients got then.
fn perform(store: &mut Shards, (mut batch, at): (Box<Batch>, usize)) -> Vec<(u64, String)> {
    batch.action.take().expect("it has an action");
    let mark = batch.replies.len();
    batch.replies.extend_from_slice(b"+performed\r\n");
    store.shards[at].performed(&mut batch, mark, 0, Ok(()));
    store.shards[at].receive(Letter::Visit(batch));
    settle(store)
}

/// The slot of a key moves from one shard to another.
fn move_slot(store: &mut Shards, key: &str, from: usize, to: ShardId) {
    let slot = slot::of(key.as_bytes());
    store.shards[from].receive(Letter::MoveOut { slot, to });
    let moved = store.letters_of(from);
    assert_eq!(moved.len(), 1, "it leaves");
    store.deliver(moved);
    let map = Arc::new(store.shards[0].map().with_moves(&[slot], to));
    store.shards.iter_mut().for_each(|shard| shard.receive(Letter::Routes(map.clone())));
}

/// Another client asks for a key; what clients got then.
fn ask(store: &mut Shards, client: u64, key: &str) -> Vec<(u64, String)> {
    let session = Session::new(client, Peer::default(), START, true);
    let batch = batch_of(store, &[b"GET", key.as_bytes()], session);
    store.shards[0].receive(Letter::Visit(batch));
    settle(store)
}

#[test]
fn the_effects_are_one_record_over_two_shards() {
    let (mut store, keys) = shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    let lines = ["MULTI", &format!("SET {a} 1"), "SELECT 1", &format!("INCR {b}"), "EXEC"];
    let reply = run_all(&mut store, &lines);
    assert_eq!(reply, "1) OK\n2) OK\n3) (integer) 1");
    assert_eq!(recorded(&mut store), format!("0: MULTI SET {a} 1 1: INCR {b} EXEC"));
}

#[test]
fn records_that_belong_together_stand_in_the_same_brackets() {
    let (mut store, keys) = shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    store.run(&format!("SADD {a} m"));
    recorded(&mut store);
    let lines = [
        "MULTI",
        &format!("SMOVE {a} {b} m"),
        &format!("LPUSH l{{{a}}} x"),
        &format!("LMOVE l{{{a}}} l{{{b}}} LEFT RIGHT"),
        &format!("RENAME l{{{b}}} other{{{a}}}"),
        "EXEC",
    ];
    let reply = run_all(&mut store, &lines);
    assert_eq!(reply, "1) (integer) 1\n2) (integer) 1\n3) \"x\"\n4) OK");
    let said = recorded(&mut store);
    let words: Vec<&str> = said.split(' ').collect();
    let count = |word: &str| words.iter().filter(|found| **found == word).count();
    assert_eq!((count("MULTI"), count("EXEC"), words.last()), (1, 1, Some(&"EXEC")), "{said}");
    assert_eq!(words[..2], ["0:", "MULTI"], "{said}");
}

#[test]
fn what_only_reads_records_nothing() {
    let (mut store, keys) = shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    let lines = ["MULTI", &format!("MGET {a} {b}"), &format!("DEL {a}"), "PING", "EXEC"];
    run_all(&mut store, &lines);
    assert_eq!(recorded(&mut store), "");
}

#[test]
fn a_panic_takes_back_what_was_done_before_it_and_nothing_is_recorded() {
    let (mut store, keys) = shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    store.shards.iter_mut().for_each(|shard| shard.rebuilds(true));
    run_all(&mut store, &["MULTI", &format!("SET {a} new"), "SELECT 3"]);
    queue_breaks(&mut store, b);
    store.run(&format!("SET {b} never"));
    let reply = store.run("EXEC");
    assert!(reply.starts_with("(error) ERR internal error"), "{reply}");
    assert_eq!(recorded(&mut store), "");
    let phases: Vec<Phase> = store.shards.iter().map(|shard| shard.phase()).collect();
    assert_eq!(phases, [Phase::Suspect, Phase::Suspect], "both are rebuilt from the journal");
    assert_eq!(store.run("DISCARD"), "(error) ERR DISCARD without MULTI", "it is over");
}

#[test]
fn without_a_journal_a_panic_drops_the_keys_on_all_shards() {
    let (mut store, keys) = shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    store.run(&format!("MSET {a} old {b} old x{{{b}}} old"));
    store.run("SELECT 1");
    store.run(&format!("SET {b} old"));
    store.run("SELECT 0");
    recorded(&mut store);
    run_all(&mut store, &["MULTI", &format!("SET {a} new"), "SELECT 1"]);
    queue_breaks(&mut store, b);
    store.run(&format!("SET x{{{b}}} never"));
    let reply = store.run("EXEC");
    assert!(reply.starts_with("(error) ERR internal error"), "{reply}");
    store.shards.iter_mut().for_each(|shard| shard.serve());
    assert_eq!(store.run(&format!("EXISTS {b}")), "(integer) 0", "in the database of the panic");
    store.run("SELECT 0");
    let found = store.run(&format!("MGET {a} x{{{b}}}"));
    assert_eq!(found, "1) (nil)\n2) \"old\"", "one that did not run has changed nothing");
}

#[test]
fn what_the_server_performs_is_performed_while_all_is_held() {
    let (mut store, keys) = shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    let lines = [
        "MULTI",
        &format!("SET {a} 1"),
        "CONFIG SET hz 20",
        &format!("INCR {b}"),
        "INFO nosuch",
        &format!("MGET {a} {b}"),
    ];
    run_all(&mut store, &lines);
    store.send(&["EXEC", "PING"]);
    assert_eq!(settle(&mut store), []);
    assert_eq!(ask(&mut store, 2, a), [], "nobody sees what it holds");
    assert_eq!(ask(&mut store, 3, b), []);
    assert_eq!(ask(&mut store, 4, &format!("x{a}")), [(4, "(nil)".to_owned())]);
    store.session.transaction = None;
    store.session.id = 5;
    store.send(&[&format!("SET x{a} between")]);
    assert_eq!(settle(&mut store), [(5, "OK".to_owned())]);
    assert_eq!(recorded(&mut store), format!("0: SET x{a} between"), "of others alone");
    store.session.id = 1;
    let waits = performs(&mut store);
    assert_eq!(perform(&mut store, waits), [], "the next action comes");
    assert_eq!(recorded(&mut store), "", "it is not whole");
    let waits = performs(&mut store);
    let mut got = perform(&mut store, waits);
    got.sort();
    let reply = "1) OK\n2) performed\n3) (integer) 1\n4) performed\n5) 1) \"1\"\n   2) \"1\"\nPONG";
    let got: Vec<(u64, &str)> = got.iter().map(|(client, text)| (*client, &text[..])).collect();
    assert_eq!(got, [(1, reply), (2, "\"1\""), (3, "\"1\"")]);
    assert_eq!(recorded(&mut store), format!("0: MULTI SET {a} 1 INCR {b} EXEC"));
}

#[test]
fn what_a_transaction_publishes_waits_until_it_is_whole() {
    for breaks in [false, true] {
        let (mut store, keys) = shards(2);
        run_all(&mut store, &["HELLO 3", "SUBSCRIBE c", "MULTI", "PUBLISH c m"]);
        run_all(&mut store, &["CONFIG SET hz 20", &format!("SET {} 1", keys[0])]);
        store.send(&["EXEC"]);
        settle(&mut store);
        let waits = performs(&mut store);
        let exec = waits.0.exec.as_ref().expect("it is not whole");
        assert_eq!((exec.published.len(), exec.own.is_empty()), (1, false));
        if breaks {
            store.shards[waits.1].distrust();
        }
        let said = perform(&mut store, waits).remove(0).1;
        assert_eq!(said.contains("\"message\""), !breaks, "{said}");
    }
}

#[test]
fn a_shard_that_breaks_while_an_action_is_performed_takes_the_transaction_back() {
    for with_all in [false, true] {
        let (mut store, keys) = shards(2);
        let [a, b] = &keys[..] else { panic!("two shards") };
        store.shards.iter_mut().for_each(|shard| shard.rebuilds(true));
        let lines = ["MULTI", &format!("MSET {a} 1 {b} 2"), "CONFIG SET hz 20"];
        run_all(&mut store, &lines);
        store.run(if with_all { "DBSIZE" } else { "PING" });
        store.send(&["EXEC"]);
        settle(&mut store);
        let waits = performs(&mut store);
        store.shards[waits.1].distrust();
        let got = perform(&mut store, waits);
        assert!(got[0].1.starts_with("(error) ERR internal error"), "{got:?}");
        assert_eq!(recorded(&mut store), "");
        let phases: Vec<Phase> = store.shards.iter().map(|shard| shard.phase()).collect();
        assert_eq!(phases, [Phase::Suspect, Phase::Suspect]);
        let here: usize = store.shards.iter().map(|shard| shard.engine.space.slots_here()).sum();
        assert_eq!(here, usize::from(slot::SLOTS), "all slots are home");
    }
}

#[test]
fn a_batch_that_is_lost_while_its_action_is_performed_gives_back_what_it_holds() {
    let (mut store, keys) = shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    run_all(&mut store, &["MULTI", &format!("MSET {a} 1 {b} 2"), "CONFIG SET hz 20"]);
    store.send(&["EXEC"]);
    settle(&mut store);
    drop(performs(&mut store));
    settle(&mut store);
    assert_eq!(recorded(&mut store), "");
    let phases: Vec<Phase> = store.shards.iter().map(|shard| shard.phase()).collect();
    assert_eq!(phases, [Phase::Suspect, Phase::Suspect], "what came home is not trusted");
    let here: usize = store.shards.iter().map(|shard| shard.engine.space.slots_here()).sum();
    assert_eq!(here, usize::from(slot::SLOTS));
}

#[test]
fn a_pause_does_not_hold_back_what_has_begun() {
    let (mut store, _) = shards(1);
    store.shards[0].engine.gates = Gates::new(vec![Box::new(Paused)]);
    run_all(&mut store, &["MULTI", "CLIENT PAUSE 1000", "PING"]);
    store.send(&["EXEC"]);
    settle(&mut store);
    let waits = performs(&mut store);
    let pause = Pause { until: store.now.saturating_add(1_000), mode: PauseMode::All };
    store.shards[0].receive(Letter::Pause(Some(pause)));
    let got = perform(&mut store, waits);
    assert_eq!(got, [(1, "1) performed\n2) PONG".to_owned())]);
    store.send(&["PING"]);
    assert_eq!(settle(&mut store), [], "what comes now is held back");
}

#[test]
fn what_has_expired_goes_ahead_of_the_first_command() {
    let mut store = Store::new();
    store.run("SET first v");
    for number in 0..1_000 {
        store.run(&format!("HSETEX h PX 100 FIELDS 1 f{number} v"));
    }
    store.run("HSET h stays v");
    for line in ["MULTI", "SET first w", "HLEN h"] {
        store.run(line);
    }
    store.effects();
    store.tick(100);
    let clock = &mut Hasty(0);
    let batch = store.batch(&[b"EXEC"]);
    assert!(store.shard.visit(batch, clock).is_none(), "they are more than a slice takes out");
    while store.shard.work(store.now, clock) {}
    let homes = std::mem::take(&mut store.shard.outbox.homes);
    assert_eq!(printed(&homes[0].replies), "1) OK\n2) (integer) 1");
    let effects = store.effects();
    let lines: Vec<&str> = effects.lines().collect();
    let (gone, record) = lines.split_at(lines.len() - 1);
    assert_eq!(record, ["SET first w"]);
    assert!(gone.iter().all(|line| line.starts_with("HDEL h ")), "{gone:?}");
    let removed = gone.iter().map(|line| line.matches(" f").count()).sum::<usize>();
    assert_eq!(removed, 1_000);
}

#[test]
fn a_key_that_has_expired_is_taken_out_inside_the_record() {
    let mut store = Store::new();
    store.run("SET k v PX 100");
    ["MULTI", "GET k", "SET other v"].iter().for_each(|line| drop(store.run(line)));
    store.effects();
    store.tick(100);
    assert_eq!(store.run("EXEC"), "1) (nil)\n2) OK");
    assert_eq!(store.effects(), "MULTI\nDEL k\nSET other v\nEXEC");
}

#[test]
fn a_record_is_loaded_on_any_number_of_shards() {
    let (mut store, keys) = shards(3);
    let lines = [
        "MULTI",
        &format!("MSET {} 1 {} 2", keys[0], keys[1]),
        &format!("RPUSH {} a b", keys[2]),
        "SELECT 1",
        &format!("SET {} 3 PX 5000", keys[0]),
        "SWAPDB 0 1",
        "SELECT 1",
        &format!("DEL {}", keys[1]),
        "EXEC",
    ];
    run_all(&mut store, &lines);
    let records = store.records();
    for count in [1, 2, 4] {
        let mut loaded = Shards::new(count);
        loaded.load(&records);
        let values = format!("MGET {} {}", keys[0], keys[1]);
        assert_eq!(loaded.run(&values), "1) \"3\"\n2) (nil)");
        assert_eq!(loaded.run(&format!("LRANGE {} 0 -1", keys[2])), "(empty array)");
        loaded.run("SELECT 1");
        assert_eq!(loaded.run(&values), "1) \"1\"\n2) (nil)");
        assert_eq!(loaded.run(&format!("LRANGE {} 0 -1", keys[2])), "1) \"a\"\n2) \"b\"");
    }
}

#[test]
fn a_watch_goes_with_its_slot() {
    for changes in [false, true] {
        let (mut store, keys) = shards(2);
        let key = &keys[1];
        store.run(&format!("SET {key} v"));
        store.run(&format!("WATCH {key}"));
        move_slot(&mut store, key, 1, 0);
        if changes {
            store.run(&format!("SET {key} w"));
        }
        store.run("MULTI");
        store.run(&format!("GET {key}"));
        let expected = if changes { "(nil)" } else { "1) \"v\"" };
        assert_eq!(store.run("EXEC"), expected);
    }
}

/// Nobody can say what its keys held when the watch began. So EXEC answers nil, while the shard is
/// rebuilt and after it; the other shards, where its client may be, go on.
#[test]
fn a_rebuild_of_a_shard_fails_the_watches_of_its_keys() {
    for (rebuilt, is_over) in [(0, false), (0, true), (1, false), (1, true)] {
        let (mut store, keys) = shards(2);
        store.run(&format!("MSET {} v {} v", keys[0], keys[1]));
        let records = store.records();
        store.run(&format!("WATCH {} {}", keys[0], keys[1]));
        store.shards[rebuilt].begin_rebuild();
        if is_over {
            assert_eq!(store.shards[rebuilt].replay(&records, store.now), [], "it is sound");
            store.shards[rebuilt].end_replay();
        }
        let well = &keys[1 - rebuilt];
        let queued = format!("SET {well} w");
        assert_eq!(run_all(&mut store, &["MULTI", &queued, "EXEC"]), "(nil)", "{is_over}");
        store.run(&format!("WATCH {well}"));
        assert_eq!(run_all(&mut store, &["MULTI", "PING", "EXEC"]), "1) PONG", "it is well");
    }
}

#[test]
fn who_wants_no_replies_gets_none_of_a_transaction() {
    let mut store = Store::with_layers(Vec::new(), vec![Box::new(Silence)]);
    for line in ["CLIENT REPLY OFF", "MULTI", "SET k v", "GET k", "EXEC", "nope"] {
        assert_eq!(store.run(line), "", "{line}");
    }
    assert_eq!(store.run("CLIENT REPLY ON"), "OK");
    assert_eq!(store.run("GET k"), "\"v\"");
}

#[test]
fn where_a_watch_has_failed_no_slot_is_missed() {
    let (mut store, keys) = shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    let lines = [
        &format!("WATCH {a} {b}"),
        &format!("SET {a} 1"),
        "MULTI",
        &format!("MSET {a} 2 {b} 2"),
        "EXEC",
    ];
    assert_eq!(run_all(&mut store, &lines), "(nil)");
    assert_eq!(store.run(&format!("MGET {a} {b}")), "1) \"1\"\n2) (nil)");
}

#[test]
fn the_place_of_a_stream_stands_with_what_is_carried_out_of_it() {
    let (mut store, keys) = shards(2);
    store.shards.iter_mut().for_each(|shard| shard.effects().listen(true));
    let mut carried_out = |line: &str, offset| {
        let primary =
            FromPrimary { id: "id".to_owned(), ends: vec![offset], ..FromPrimary::default() };
        store.session.primary = Some(Box::new(primary));
        store.run(line);
        recorded(&mut store)
    };
    let key = &keys[1];
    assert_eq!(carried_out(&format!("INCR {key}"), 7), format!("0: INCR {key} 0: #REPL:id:7:0"));
    assert_eq!(carried_out(&format!("GET {key}"), 8), "", "nothing has changed");
    assert_eq!(carried_out("MULTI", 9), "");
    assert_eq!(carried_out("SELECT 3", 9), "");
    assert_eq!(carried_out(&format!("INCR {key}"), 9), "");
    let exec = format!("3: MULTI INCR {key} 3: #REPL:id:9:3 3: EXEC");
    assert_eq!(carried_out("EXEC", 9), exec);
}
