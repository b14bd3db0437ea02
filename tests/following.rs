//! Clients that go to the thread of their keys: in the midst of pipelines, without a reply lost or
//! out of its order, and found by CLIENT at all times. Those that others reach where they are stay.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::order::slot;
use crate::support::client::{Client, encode};
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

/// Commands of a client in one write.
const PIPELINE: usize = 100;

/// A client rests for so long where it has gone.
const REST: Duration = Duration::from_secs(10);

/// A server whose slots stay, with clients that go wherever they want.
fn start(shards: usize) -> Server {
    let options = Options::shards(shards).debug().with("save ").with("rebalance no");
    options.with("unixsocket follow.sock").start()
}

/// The key of a client at a shard.
fn key(client: usize, shard: usize) -> String {
    format!("key:{client}:{shard}")
}

/// A client that counts, with a pipeline on its way at all times.
struct Load {
    client: Client,
    number: usize,
    id: i64,
    /// The shards of its keys.
    shards: Vec<usize>,
    sent: usize,
    read: usize,
}

impl Load {
    fn new(mut client: Client, number: usize, shards: &[usize], watcher: &mut Client) -> Load {
        for shard in shards {
            let line = format!("DEBUG MOVE-SLOT {} {shard}", slot(&key(number, *shard)));
            assert!(watcher.line(&line).is_ok(), "{line}");
        }
        client.line("HELLO 3");
        assert!(client.line("SELECT 3").is_ok());
        assert!(client.line(&format!("CLIENT SETNAME client-{number}")).is_ok());
        let id = client.line("CLIENT ID").number().unwrap();
        Load { client, number, id, shards: shards.to_vec(), sent: 0, read: 0 }
    }

    fn send(&mut self) {
        let mut bytes = Vec::new();
        for number in self.sent..self.sent + PIPELINE {
            let shard = self.shards[number % self.shards.len()];
            bytes.extend(encode(&["INCR", &key(self.number, shard)]));
        }
        self.client.send_raw(&bytes).unwrap();
        self.sent += PIPELINE;
    }

    /// Reads the replies to one pipeline: each key counts its own.
    fn read(&mut self) {
        for _ in 0..PIPELINE {
            let expected = (self.read / self.shards.len() + 1) as i64;
            assert_eq!(self.client.read().unwrap().number(), Some(expected), "{}", self.number);
            self.read += 1;
        }
    }

    fn round(&mut self) {
        self.send();
        while self.read + PIPELINE < self.sent {
            self.read();
        }
    }

    /// Reads what is left; what the client is, is what it was.
    fn end(&mut self) {
        while self.read < self.sent {
            self.read();
        }
        assert_eq!(self.client.line("CLIENT ID").number(), Some(self.id));
        let info = self.client.line("CLIENT INFO").text();
        for field in [&format!("name=client-{} ", self.number), "db=3 ", "resp=3 ", "flags="] {
            assert!(info.contains(field), "no {field} in {info}");
        }
        let commands = info.rsplit_once("tot-cmds=").unwrap().1.trim();
        let least = self.sent + 4;
        assert!(commands.parse::<usize>().unwrap() >= least, "{least} in {info}");
    }
}

/// The clients on each thread, as INFO has them.
fn clients_of(watcher: &mut Client, shards: usize) -> Vec<u64> {
    let text = watcher.line("INFO shards").text();
    let of = |shard: usize| {
        let row = text.lines().find(|line| line.starts_with(&format!("load{shard}:"))).unwrap();
        let count = row.split(',').find_map(|field| field.strip_prefix("clients=")).unwrap();
        count.parse().unwrap()
    };
    (0..shards).map(of).collect()
}

/// The numbers of all clients, each of which CLIENT LIST has to name once.
fn listed(watcher: &mut Client) -> BTreeSet<i64> {
    let list = watcher.line("CLIENT LIST").text();
    let id = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse().ok();
    let ids: Vec<i64> = list.lines().filter_map(id).collect();
    let set: BTreeSet<i64> = ids.iter().copied().collect();
    assert_eq!(ids.len(), set.len(), "somebody is listed twice: {list}");
    set
}

/// Clients with keys at the first shard, and how many of them are on other threads.
fn load(server: &Server, count: usize, watcher: &mut Client, shards: usize) -> (Vec<Load>, u64) {
    let before = clients_of(watcher, shards)[0];
    let client = |number: usize| match number {
        0 => Client::connect_unix(&server.path("follow.sock")).unwrap(),
        _ => server.client(),
    };
    let loads = (0..count).map(|number| Load::new(client(number), number, &[0], watcher)).collect();
    let away = count as u64 - (clients_of(watcher, shards)[0] - before);
    assert!(away > 0, "clients are seated by the fewest");
    (loads, away)
}

/// A watcher that is alone on the server.
fn watcher(server: &Server) -> Client {
    let mut watcher = server.client();
    until("nobody else is there", SOON, || watcher.info_number("connected_clients") == 1);
    watcher
}

fn clients_follow_their_keys(shards: usize) {
    let server = start(shards);
    let mut watcher = watcher(&server);
    let count = 2 * shards;
    let (mut loads, away) = load(&server, count, &mut watcher, shards);
    let all: Vec<usize> = (0..shards).collect();
    loads.push(Load::new(server.client(), count, &all, &mut watcher));
    let own = watcher.line("CLIENT ID").number().unwrap();
    let known: BTreeSet<i64> = loads.iter().map(|load| load.id).chain([own]).collect();
    let before = clients_of(&mut watcher, shards);
    until("all but who uses all keys are where their keys are", SOON * 2, || {
        loads.iter_mut().for_each(Load::round);
        assert_eq!(listed(&mut watcher), known);
        assert_eq!(watcher.info_number("connected_clients"), known.len() as u64);
        watcher.info_number("rebalance_moved_clients") >= away
    });
    loads.iter_mut().for_each(Load::round);
    loads.iter_mut().for_each(Load::end);
    let after = clients_of(&mut watcher, shards);
    assert_eq!(watcher.info_number("rebalance_moved_clients"), away);
    assert_eq!(after[0], before[0] + away, "{after:?}");
    assert_eq!(after.iter().sum::<u64>(), known.len() as u64);
    for load in loads {
        let id = load.id.to_string();
        assert_eq!(watcher.call(&["CLIENT", "KILL", "ID", &id]).number(), Some(1));
        let mut client = load.client;
        assert_eq!(client.read_to_end().unwrap(), b"");
    }
    let left = |watcher: &mut Client| clients_of(watcher, shards).iter().sum::<u64>();
    until("their seats are free", SOON, || left(&mut watcher) == 1);
}

#[test]
fn clients_follow_their_keys_between_two() {
    clients_follow_their_keys(2);
}

#[test]
fn clients_follow_their_keys_among_four() {
    clients_follow_their_keys(4);
}

#[test]
fn who_has_moved_stays_for_ten_seconds() {
    let server = start(2);
    let mut watcher = watcher(&server);
    let (mut loads, away) = load(&server, 3, &mut watcher, 2);
    let mut moved = |loads: &mut [Load]| {
        loads.iter_mut().for_each(Load::round);
        watcher.info_number("rebalance_moved_clients")
    };
    let mut none_had_moved = Instant::now();
    until("all are where their keys are", SOON * 2, || {
        let asked = Instant::now();
        let moved = moved(&mut loads);
        none_had_moved = if moved == 0 { asked } else { none_had_moved };
        moved == away
    });
    loads.iter_mut().for_each(Load::end);
    // From now on all call for keys of the other shard: each that was not there moves once more.
    let mut watcher = server.client();
    let again = |load: Load| Load::new(load.client, 10 + load.number, &[1], &mut watcher);
    let mut loads: Vec<Load> = loads.into_iter().map(again).collect();
    until("all are where their keys are now", SOON * 2, || {
        let moved = moved(&mut loads);
        let has_rested = none_had_moved.elapsed() >= REST;
        assert!(has_rested || moved <= 3, "{moved} moves, {:?}", none_had_moved.elapsed());
        moved == away + 3
    });
    assert!(none_had_moved.elapsed() >= REST, "{:?}", none_had_moved.elapsed());
    loads.iter_mut().for_each(Load::end);
}

#[test]
fn a_switch_keeps_all_clients_where_they_are() {
    let options = Options::shards(2).debug().with("save ").with("unixsocket follow.sock");
    let options = options.with("rebalance dry-run").with("rebalance-busy 100");
    let server = options.with("rebalance-clients no").start();
    let mut watcher = watcher(&server);
    let (mut loads, away) = load(&server, 3, &mut watcher, 2);
    let windows = watcher.info_number("rebalance_windows");
    until("some windows are over", SOON, || {
        loads.iter_mut().for_each(Load::round);
        watcher.info_number("rebalance_windows") > windows + 2
    });
    assert_eq!(watcher.info_number("rebalance_moved_clients"), 0);
    assert!(watcher.line("CONFIG SET rebalance-clients yes").is_ok());
    until("those that are elsewhere move", SOON, || {
        loads.iter_mut().for_each(Load::round);
        watcher.info_number("rebalance_moved_clients") == away
    });
    loads.iter_mut().for_each(Load::end);
}

/// Kills clients while they set out, all by their numbers: each is found.
fn killed_while_they_move(shards: usize) {
    let server = start(shards);
    let (mut watcher, mut killer) = (watcher(&server), server.client());
    let (loads, _) = load(&server, 16 * shards, &mut watcher, shards);
    let ids: Vec<String> = loads.iter().map(|load| load.id.to_string()).collect();
    let closed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for mut load in loads {
            let closed = &closed;
            scope.spawn(move || {
                let mut bytes = Vec::new();
                for _ in 0..PIPELINE {
                    bytes.extend(encode(&["INCR", &key(load.number, 0)]));
                }
                let mut count = 0;
                // Up to its end the replies are whole, and in their order.
                while load.client.send_raw(&bytes).is_ok() {
                    for _ in 0..PIPELINE {
                        let Ok(reply) = load.client.read() else { break };
                        count += 1;
                        assert_eq!(reply.number(), Some(count));
                    }
                }
                closed.fetch_add(1, Ordering::Relaxed);
            });
        }
        until("somebody moves", SOON * 2, || watcher.info_number("rebalance_moved_clients") > 0);
        for id in &ids {
            assert_eq!(killer.call(&["CLIENT", "KILL", "ID", id]).number(), Some(1), "{id}");
        }
    });
    assert_eq!(closed.into_inner(), ids.len());
    until("all are gone", SOON, || watcher.info_number("connected_clients") == 2);
}

#[test]
fn clients_are_killed_while_they_move_between_two() {
    killed_while_they_move(2);
}

#[test]
fn clients_are_killed_while_they_move_among_four() {
    killed_while_they_move(4);
}

/// What others send to a client reaches it, wherever its keys are.
fn who_is_reached_stays(shards: usize) {
    let server = start(shards);
    let mut watcher = watcher(&server);
    let (mut loads, away) = load(&server, 2 * shards, &mut watcher, shards);
    let mut more = |first: usize| -> Vec<Load> {
        let of = |number| Load::new(server.client(), number, &[0], &mut watcher);
        (first..first + 2 * shards).map(of).collect()
    };
    let (mut named, mut hearing, mut tracking) = (more(100), more(200), more(300));
    assert!(watcher.line("SELECT 3").is_ok());
    let mut blocked = server.client();
    blocked.line("CLIENT NO-EVICT on");
    blocked.send(&["BLPOP", "queue", "0"]).unwrap();
    hearing.iter_mut().for_each(|load| drop(load.client.line("SUBSCRIBE news")));
    let tell = |client: &mut Client, words: &str| {
        assert!(client.line(&format!("CLIENT TRACKING ON{words}")).is_ok(), "{words}");
        client.line("GET cached");
    };
    tracking.iter_mut().for_each(|load| tell(&mut load.client, ""));
    let asks = |load: &Load| {
        let mut client = server.client();
        assert!(client.line("SELECT 3").is_ok());
        tell(&mut client, &format!(" REDIRECT {}", load.id));
        client
    };
    let redirecting: Vec<Client> = named.iter().map(asks).collect();
    until("those move that nobody reaches", SOON * 2, || {
        let reached = [&mut named, &mut hearing, &mut tracking].into_iter().flatten();
        reached.for_each(Load::round);
        loads.iter_mut().for_each(Load::round);
        watcher.info_number("rebalance_moved_clients") >= away
    });
    for load in [&mut named, &mut hearing, &mut tracking, &mut loads].into_iter().flatten() {
        load.round();
        load.end();
    }
    assert_eq!(watcher.info_number("rebalance_moved_clients"), away);
    assert!(watcher.line("SET cached 1").is_ok());
    assert_eq!(watcher.line("PUBLISH news hello").number(), Some(hearing.len() as i64));
    for load in named.iter_mut().chain(&mut tracking) {
        let push = load.client.read().unwrap().printed();
        assert!(push.contains("invalidate") && push.contains("cached"), "{push}");
    }
    for load in &mut hearing {
        let push = load.client.read().unwrap().printed();
        assert!(push.contains("hello"), "{push}");
    }
    drop(redirecting);
    assert!(watcher.line("SELECT 0").is_ok());
    assert_eq!(watcher.line("RPUSH queue 1").number(), Some(1));
    assert!(blocked.read().unwrap().printed().contains("queue"));
}

#[test]
fn who_is_reached_stays_between_two() {
    who_is_reached_stays(2);
}

#[test]
fn who_is_reached_stays_among_four() {
    who_is_reached_stays(4);
}

#[test]
fn a_monitor_that_calls_for_keys_stays_and_is_shown_all() {
    let server = start(2);
    let mut watcher = watcher(&server);
    let (mut loads, away) = load(&server, 3, &mut watcher, 2);
    let mut monitors: Vec<Client> = (0..2).map(|_| server.client()).collect();
    monitors.iter_mut().for_each(|monitor| assert!(monitor.line("MONITOR").is_ok()));
    let mut bytes = Vec::new();
    (0..PIPELINE).for_each(|_| bytes.extend(encode(&["INCR", &key(0, 0)])));
    let mut shown = 0;
    until("those move that do not monitor", SOON * 2, || {
        loads.iter_mut().for_each(Load::round);
        for monitor in &mut monitors {
            monitor.send_raw(&bytes).unwrap();
            let mut replies = 0;
            while replies < PIPELINE {
                let is_reply = matches!(monitor.read().unwrap(), Reply::Integer(_));
                *(if is_reply { &mut replies } else { &mut shown }) += 1;
            }
        }
        watcher.info_number("rebalance_moved_clients") == away
    });
    assert!(shown > 0);
    loads.iter_mut().for_each(Load::end);
    watcher.line("ECHO last");
    for monitor in &mut monitors {
        until("it is shown what came last", SOON, || {
            monitor.read().unwrap().text().contains("\"last\"")
        });
    }
    assert_eq!(watcher.info_number("rebalance_moved_clients"), away);
}

/// Transactions and watches go along.
#[test]
fn a_transaction_goes_on_where_its_client_has_gone() {
    let server = start(2);
    let mut watcher = watcher(&server);
    let (mut loads, away) = load(&server, 4, &mut watcher, 2);
    for (number, load) in loads.iter_mut().enumerate() {
        assert!(load.client.line(&format!("WATCH watched:{number} other:{number}")).is_ok());
    }
    until("all are where their keys are", SOON * 2, || {
        loads.iter_mut().for_each(Load::round);
        watcher.info_number("rebalance_moved_clients") == away
    });
    assert_eq!(watcher.info_number("watching_clients"), 4);
    assert!(watcher.line("SELECT 3").is_ok());
    for number in [0, 1] {
        assert!(watcher.line(&format!("SET other:{number} 1")).is_ok());
    }
    for (number, load) in loads.iter_mut().enumerate() {
        load.end();
        assert!(load.client.line("MULTI").is_ok());
        assert_eq!(load.client.line("SET watched:9 1").text(), "QUEUED");
        let reply = load.client.line("EXEC").printed();
        assert_eq!(reply.contains("OK"), number >= 2, "{number}: {reply}");
    }
    assert_eq!(watcher.info_number("watching_clients"), 0);
}
