//! What leaves in which order, what waits for the journal, and when writes have credit.

use bytes::Bytes;

use super::*;
use crate::batch::Home;
use crate::hook::{Called, Sink};
use crate::hooks::journal::JournalWrites;
use crate::shard::gates::Gates;
use crate::shard::sinks::Sinks;
use crate::shard::visit::TURN_BATCHES;
use crate::stream::credit::{UNSYNCED_AGE_MAX_MS, UNWRITTEN_BYTES_MAX};
use crate::testing::{START, Shards, Still, Store};

/// Pushes one line for each call to a client of every one of these threads.
struct Tells(&'static [u16]);

impl Sink for Tells {
    fn called(&mut self, called: &Called<'_>, pushes: &mut Vec<Push>) {
        let bytes = Bytes::from_static(called.call.command.name.as_str().as_bytes());
        let to = |thread: &u16| Home { thread: *thread, connection: 9 };
        pushes.extend(self.0.iter().map(|t| Push::Bytes {
            to: to(t),
            client: 9,
            bytes: bytes.clone(),
        }));
    }
}

/// What is pushed to clients, one by one.
fn said(pushes: &[Push]) -> Vec<&[u8]> {
    fn bytes(push: &Push) -> &[u8] {
        match push {
            Push::Bytes { bytes, .. } => bytes,
            Push::Message { message, .. } => message.channel(),
            push => panic!("nobody caches keys: {push:?}"),
        }
    }
    pushes.iter().map(bytes).collect()
}

/// The first shard of two, with a journal, and a sink that pushes to clients of both threads.
fn journaled(policy: Policy) -> Shard {
    let mut shard = Shards::new(2).shards.swap_remove(0);
    shard.engine.sinks = Sinks::new(vec![Box::new(Tells(&[1, 0]))]);
    shard.begin_journal(policy);
    shard
}

/// A request of a client on this thread.
fn batch(thread: u16, line: &str) -> Box<Batch> {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let mut batch = Store::new().batch(&words);
    batch.home.thread = thread;
    batch
}

/// A key of the first shard, and one of the second.
fn keys(shard: &Shard) -> [String; 2] {
    [0, 1].map(|owner| {
        let mut names = (0..).map(|number: u32| format!("k{number}"));
        let is_owned =
            |key: &String| shard.map().owner(crate::base::slot::of(key.as_bytes())) == owner;
        names.find(is_owned).expect("endless")
    })
}

/// Lets the shard work these requests off.
fn work(shard: &mut Shard, batches: impl IntoIterator<Item = Box<Batch>>) {
    batches.into_iter().for_each(|batch| shard.receive(Letter::Visit(batch)));
    while shard.work(START, &mut Still) {}
}

fn end_turn(shard: &mut Shard, now_ms: u64, is_durable: bool) -> Ready {
    let mut ready = Ready::default();
    shard.end_turn(now_ms, is_durable, &mut ready);
    ready
}

fn kinds(letters: &[(ShardId, Letter)]) -> Vec<&'static str> {
    let kind = |letter: &Letter| match letter {
        Letter::Push(_) => "push",
        Letter::Visit(_) => "visit",
        Letter::Home(_) => "home",
        _ => "another",
    };
    letters.iter().map(|(to, letter)| (*to == 1).then(|| kind(letter)).unwrap()).collect()
}

fn held(append: &Append<Held>) -> Vec<&'static str> {
    let kind = |held: &Held| match held {
        Held::Batch(_) => "batch",
        Held::Push(_) => "push",
        Held::Served(_) => "served",
    };
    append.finished.iter().map(kind).collect()
}

#[test]
fn pushes_leave_ahead_of_letters_and_batches_of_other_threads_last() {
    for policy in [Policy::EverySecond, Policy::Never] {
        let mut shard = journaled(policy);
        let [here, there] = keys(&shard);
        let requests = [(1, "PING"), (0, &format!("GET {there}")), (0, &format!("SET {here} v"))];
        work(&mut shard, requests.map(|(thread, line)| batch(thread, line)));
        let ready = end_turn(&mut shard, 0, false);
        let append = ready.append.expect("something was written");
        assert!(append.finished.is_empty() && append.shard == 0, "nothing waits for it");
        assert_eq!(append.runs.last().map(|run| run.end), Some(append.bytes.len()));
        let said = said(&ready.pushes);
        assert_eq!(said, [b"ping", &b"set"[..]], "in the order of the calls");
        assert_eq!(kinds(&ready.letters), ["push", "push", "visit", "home"]);
        assert_eq!((ready.homes.len(), ready.moved.len()), (1, 0));
        let ready = end_turn(&mut shard, 0, false);
        assert!(ready.append.is_none() && ready.letters.is_empty() && ready.homes.is_empty());
    }
}

/// It waited for the disk as well, for as long as that failed, and its time could not be over.
#[test]
fn under_always_a_call_that_runs_again_does_not_wait_for_the_append() {
    let mut shard = journaled(Policy::Always);
    let served = |outcome| Served {
        to: Home { thread: 0, connection: 9 },
        client: 9,
        outcome,
        has_written: false,
    };
    let outcomes = [Outcome::Again, Outcome::Served(Vec::new())];
    shard.engine.served.extend(outcomes.map(served));
    let ready = end_turn(&mut shard, 0, false);
    assert!(matches!(&ready.served[..], [Served { outcome: Outcome::Again, .. }]));
    assert_eq!(ready.append.as_ref().map(held), Some(vec!["served"]));
}

#[test]
fn under_always_all_that_clients_see_waits_for_the_append_and_letters_do_not() {
    let mut shard = journaled(Policy::Always);
    let [here, there] = keys(&shard);
    let requests = [(1, "PING"), (0, &format!("GET {there}")), (0, &format!("SET {here} v"))];
    work(&mut shard, requests.map(|(thread, line)| batch(thread, line)));
    let ready = end_turn(&mut shard, 0, true);
    let append = ready.append.expect("something was written");
    assert_eq!(held(&append), ["push", "push", "push", "push", "batch", "batch"]);
    assert!(ready.pushes.is_empty() && ready.homes.is_empty());
    assert_eq!(kinds(&ready.letters), ["visit"]);
}

#[test]
fn under_always_reads_wait_while_anything_is_not_durable() {
    let mut shard = journaled(Policy::Always);
    let [here, _] = keys(&shard);
    work(&mut shard, [batch(0, &format!("GET {here}"))]);
    let ready = end_turn(&mut shard, 0, false);
    let append = ready.append.expect("they wait with it");
    assert_eq!((append.bytes.len(), held(&append)), (0, vec!["push", "push", "batch"]));
    assert!(ready.pushes.is_empty() && ready.letters.is_empty() && ready.homes.is_empty());
    work(&mut shard, [batch(0, &format!("GET {here}"))]);
    let ready = end_turn(&mut shard, 0, true);
    assert!(ready.append.is_none() && ready.pushes.len() == 1 && ready.homes.len() == 1);
    assert_eq!(kinds(&ready.letters), ["push"]);
}

#[test]
fn what_comes_for_a_client_of_the_thread_has_waited_already() {
    let mut shard = journaled(Policy::Always);
    let push =
        Push::Bytes { to: Home { thread: 0, connection: 1 }, client: 1, bytes: Bytes::new() };
    for held in [Held::Push(push), Held::Batch(batch(0, "PING"))] {
        let (thread, letter) = held.into_letter();
        assert_eq!(thread, 0);
        shard.receive(letter);
    }
    let ready = end_turn(&mut shard, 0, false);
    assert!(ready.append.is_none() && ready.pushes.len() == 1 && ready.homes.len() == 1);
}

#[test]
fn a_push_that_came_ahead_of_a_batch_leaves_ahead_of_what_that_pushes() {
    let mut shard = journaled(Policy::Never);
    let to = Home { thread: 0, connection: 9 };
    shard.receive(Letter::Push(Push::Bytes { to, client: 9, bytes: Bytes::from_static(b"first") }));
    work(&mut shard, [batch(1, "PING")]);
    let pushes = end_turn(&mut shard, 0, true).pushes;
    let said = said(&pushes);
    assert_eq!(said, [&b"first"[..], b"ping"]);
}

#[test]
fn what_is_pushed_to_the_caller_itself_stands_behind_its_reply() {
    let mut shard = journaled(Policy::Never);
    shard.engine.sinks = Sinks::new(vec![Box::new(Tells(&[0]))]);
    let mut batch = batch(0, "PING");
    batch.session.id = 9;
    let home = shard.visit(batch, &mut Still).expect("it is home");
    assert_eq!(home.replies, b"+PONG\r\nping");
    assert!(!shard.has_to_send(), "nothing has to go ahead of it");
}

#[test]
fn a_turn_takes_so_many_batches_and_says_that_more_are_left() {
    let mut shard = journaled(Policy::Never);
    (0..=TURN_BATCHES).for_each(|_| shard.file(batch(0, "PING")));
    assert!(shard.work(START, &mut Still));
    assert_eq!(end_turn(&mut shard, 0, true).homes.len(), TURN_BATCHES);
    assert!(!shard.work(START, &mut Still));
    assert_eq!(end_turn(&mut shard, 0, true).homes.len(), 1);
}

/// A shard whose writes wait for credit, after a write that took all of it.
fn overdrawn(policy: Policy) -> (Shard, u64) {
    let mut shard = journaled(policy);
    shard.engine.gates = Gates::new(vec![Box::new(JournalWrites)]);
    assert!(shard.has_room());
    let value = "x".repeat(UNWRITTEN_BYTES_MAX as usize);
    let [here, _] = keys(&shard);
    work(&mut shard, [batch(0, &format!("SET {here} {value}"))]);
    let sent = end_turn(&mut shard, 0, true).append.map_or(0, |append| append.bytes.len() as u64);
    assert!(sent > UNWRITTEN_BYTES_MAX && !shard.has_room());
    (shard, sent)
}

/// Whether a write runs now, or is set aside until later.
fn writes(shard: &mut Shard) -> bool {
    let [here, _] = keys(shard);
    work(shard, [batch(0, &format!("SET {here} v"))]);
    !shard.outbox.homes.is_empty()
}

#[test]
fn writes_wait_while_too_much_is_not_written() {
    let (mut shard, sent) = overdrawn(Policy::Always);
    assert!(!writes(&mut shard));
    assert!(shard.visit(batch(0, "PING"), &mut Still).is_some(), "nothing else waits");
    shard.progressed(Some(Progress { shard: 0, written: sent, synced: 0 }), 1);
    work(&mut shard, []);
    assert_eq!(shard.outbox.homes.len(), 1, "it is not forgotten");
    assert!(shard.has_room());
}

#[test]
fn writes_wait_while_the_oldest_effect_is_not_durable_for_too_long() {
    let mut shard = journaled(Policy::EverySecond);
    shard.engine.gates = Gates::new(vec![Box::new(JournalWrites)]);
    assert!(writes(&mut shard));
    let sent = end_turn(&mut shard, 5, false).append.map_or(0, |append| append.bytes.len() as u64);
    shard.progressed(Some(Progress { shard: 0, written: sent, synced: 0 }), 10);
    shard.progressed(None, 4 + UNSYNCED_AGE_MAX_MS);
    assert!(writes(&mut shard));
    end_turn(&mut shard, 4 + UNSYNCED_AGE_MAX_MS, false);
    shard.progressed(None, 5 + UNSYNCED_AGE_MAX_MS);
    assert!(!writes(&mut shard));
    shard.set_policy(Policy::Always);
    shard.progressed(None, 6 + UNSYNCED_AGE_MAX_MS);
    assert!(writes(&mut shard), "under always replies wait, not writes");
}

#[test]
fn who_waits_for_credit_runs_when_the_journal_ends() {
    let (mut shard, _) = overdrawn(Policy::EverySecond);
    assert!(!writes(&mut shard));
    shard.end_journal();
    work(&mut shard, []);
    let ready = end_turn(&mut shard, 0, false);
    assert_eq!(ready.homes.len(), 1);
    assert!(ready.append.is_none(), "nothing is recorded any more");
    assert!(!shard.has_to_send() && !shard.has_room());
}

#[test]
fn what_is_abandoned_is_never_shown() {
    let push =
        Push::Bytes { to: Home { thread: 0, connection: 1 }, client: 1, bytes: Bytes::new() };
    assert!(Held::Push(push.clone()).shows_writes(true));
    assert!(!Held::Push(push.clone()).shows_writes(false));
    assert!(Held::Push(push).abandon().is_none());
    let mut write = batch(0, "SET k v");
    write.has_written = true;
    write.replies = b"+OK\r\n".to_vec();
    let write = Held::Batch(write);
    assert!(write.shows_writes(false));
    let Some(Held::Batch(write)) = write.abandon() else { panic!("its connection waits for it") };
    assert!(write.replies.is_empty() && write.session.closing && write.is_done());
}
