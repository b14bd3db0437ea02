//! Promise 5: memory is bounded. Readers that stop reading, disks that stall and floods of clients
//! cost a known amount, and neighbours go on being served.
//!
//! The sizes are modest, so that they run everywhere; the figures are those of the promise.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{Client, encode};
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, StopAtEnd, until};
use crate::support::{allow_many_files, in_ci};

const MIB: u64 = 1 << 20;

/// Growth of memory that a stalled reader or disk may cost.
const GROWTH_MAX: u64 = 256 * MIB;

/// A neighbour is served at once.
fn neighbour_lives(server: &Server) {
    let before = Instant::now();
    assert_eq!(server.client().line("PING").text(), "PONG");
    let took = before.elapsed();
    assert!(took < Duration::from_secs(2), "a neighbour waited {took:?}");
}

#[test]
fn a_reader_that_stops_reading_costs_little() {
    let server = Options::shards(2).start();
    let mut client = server.client();
    client.call(&[b"SET".to_vec(), b"big".to_vec(), vec![b'x'; MIB as usize]]);
    let before = server.rss_bytes();
    let mut stalled: Vec<Client> = (0..4).map(|_| server.client()).collect();
    // 4 x 500 replies of 1 MiB are asked for, and none is read.
    let request = encode(&["GET", "big"]).repeat(500);
    stalled.iter_mut().for_each(|client| client.send_raw(&request).unwrap());
    let end = Instant::now() + Duration::from_secs(3);
    let mut most = before;
    until("three seconds of not reading", SOON, || {
        most = most.max(server.rss_bytes());
        Instant::now() >= end
    });
    neighbour_lives(&server);
    let growth = most.saturating_sub(before);
    println!("grew by {} MiB", growth / MIB);
    assert!(growth <= GROWTH_MAX, "grew by {} MiB", growth / MIB);
    // Who reads on after all gets every reply, whole and in order.
    for _ in 0..500 {
        assert_eq!(stalled[0].read().unwrap().bytes().map(<[u8]>::len), Some(MIB as usize));
    }
}

/// A client past its output limit is closed, not fed for ever.
#[test]
fn a_reader_past_its_output_limit_is_closed() {
    let limit = "client-output-buffer-limit normal 8mb 0 0";
    let server = Options::shards(2).with(limit).start();
    let mut client = server.client();
    client.call(&[b"SET".to_vec(), b"big".to_vec(), vec![b'x'; MIB as usize]]);
    let keys = ["big"; 64];
    let mut greedy = server.client();
    greedy.read_within(Duration::from_secs(20));
    greedy.send(&[&["MGET"][..], &keys[..]].concat()).unwrap();
    until("the greedy client is gone", SOON, || {
        client.line("CLIENT LIST").text().lines().count() == 1
    });
    assert!(greedy.read_to_end().is_ok());
    neighbour_lives(&server);
}

/// Large values, as many as the server takes.
fn keep_writing(server: &Server, number: usize, stop: &AtomicBool) {
    let mut client = server.client();
    let set = vec!["SET".to_string(), format!("key:{number}"), "v".repeat(10_000)];
    let batch = vec![set; 64];
    while !stop.load(Ordering::Relaxed) && client.pipeline(&batch).is_ok() {}
}

/// A disk that takes 10 s for an fsync, under write load.
#[test]
fn a_stalled_disk_slows_writers_down_and_nothing_more() {
    if crate::support::oracle::on_path("strace").is_none() {
        assert!(!in_ci(), "strace is missing: nothing can stall the disk");
        return;
    }
    let server = Options::shards(2).journal("everysec").start();
    let before = server.rss_bytes();
    let pid = server.pid().to_string();
    let inject = "inject=fsync,fdatasync:delay_enter=10000000";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-q", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", inject]);
    let mut strace = strace.args(["-p", &pid]).spawn().unwrap();
    let stop = AtomicBool::new(false);
    let mut most = before;
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || keep_writing(server, number, stop));
        }
        let stopper = StopAtEnd(&stop);
        let end = Instant::now() + Duration::from_secs(12);
        let mut reader = server.client();
        reader.read_within(Duration::from_secs(5));
        let mut read_failed = None;
        until("twelve seconds of a stalled disk", SOON, || {
            most = most.max(server.rss_bytes());
            read_failed = reader.try_call(&["GET", "none"]).err();
            read_failed.is_some() || Instant::now() >= end
        });
        drop(stopper);
        strace.kill().unwrap();
        strace.wait().unwrap();
        assert!(read_failed.is_none(), "a reader waited for the disk: {read_failed:?}");
    });
    let growth = most.saturating_sub(before);
    println!("grew by {} MiB", growth / MIB);
    assert!(growth <= GROWTH_MAX, "grew by {} MiB", growth / MIB);
    neighbour_lives(&server);
}

/// Clients that send on and on to a shard whose thread stands still: each has one batch on its way,
/// and what else it sends stays in its socket. Clients of the other thread are served meanwhile.
#[test]
fn a_flood_against_a_stalled_shard_costs_little() {
    const STALL: Duration = Duration::from_secs(4);
    let server = Options::shards(2).debug().start();
    let mut client = server.client();
    let slot = crate::order::slot("flood");
    assert!(client.line(&format!("DEBUG MOVE-SLOT {slot} 0")).is_ok());
    let set = vec!["SET".to_string(), "{flood}:key".to_string(), "v".repeat(10_000)];
    let batch = encode(&set).repeat(64);
    // Enough of them that some are on the thread that does not stand still.
    let mut neighbours = [(); 4].map(|()| server.client());
    neighbours.iter_mut().for_each(|client| drop(client.line("PING")));
    let before = server.rss_bytes();
    let mut most = before;
    let (stop, over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stopper = StopAtEnd(&stop);
        let start = Instant::now();
        client.send(&["DEBUG", "STALL-SHARD", "0", &STALL.as_millis().to_string()]).unwrap();
        until("the shard stands still", SOON, || {
            let mut probe = server.client();
            probe.read_within(Duration::from_millis(100));
            probe.try_call(&["GET", "{flood}:key"]).is_err() || start.elapsed() > STALL
        });
        for _ in 0..64 {
            scope.spawn(|| {
                let mut client = server.client();
                while !stop.load(Ordering::Relaxed) {
                    client.send_raw(&batch).unwrap();
                }
            });
        }
        scope.spawn(|| {
            assert_eq!(server.client().line("GET {flood}:none").printed(), "(nil)");
            over.store(true, Ordering::Relaxed);
        });
        let mut served = 0;
        until("the shard answers again", SOON, || {
            most = most.max(server.rss_bytes());
            for client in &mut neighbours {
                client.read_within(Duration::from_millis(10));
                served += usize::from(client.try_call(&["PING"]).is_ok());
            }
            over.load(Ordering::Relaxed)
        });
        let took = start.elapsed();
        println!("stalled for {took:?}; neighbours were answered {served} times");
        assert!(took >= STALL, "the shard answered within {took:?}");
        assert!(served > 10, "neighbours were answered {served} times");
    });
    let growth = most.saturating_sub(before);
    println!("grew by {} MiB", growth / MIB);
    assert!(growth <= GROWTH_MAX, "grew by {} MiB", growth / MIB);
    neighbour_lives(&server);
}

/// Valkey takes 60 MiB for them; we may take 100.
#[test]
fn ten_thousand_idle_connections_fit_in_100_mib() {
    allow_many_files();
    let server = Options::shards(2).with("maxclients 10100").start();
    let files = server.open_files();
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        let mut client = server.client();
        client.send(&["PING"]).unwrap();
        idle.push(client);
    }
    idle.iter_mut().for_each(|client| assert_eq!(client.read().unwrap().text(), "PONG"));
    let rss = server.rss_bytes();
    println!("{} MiB with 10,000 connections", rss / MIB);
    assert!(rss <= 100 * MIB, "{} MiB", rss / MIB);
    neighbour_lives(&server);
    drop(idle);
    until("their sockets are closed", SOON, || server.open_files() <= files + 2);
}

#[test]
fn clients_over_maxclients_are_told_so() {
    let server = Options::shards(2).with("maxclients 10").start();
    // The connection that asked whether the server is ready may still be closing.
    until("all old connections are closed", SOON, || {
        server.client().line("CLIENT LIST").text().lines().count() == 1
    });
    let mut clients = Vec::new();
    until("the limit is reached", SOON, || {
        let mut client = server.client();
        let reply = client.try_call(&["PING"]);
        let refused = match &reply {
            Ok(reply) => reply.error().is_some_and(|text| text.contains("max number of clients")),
            Err(_) => false,
        };
        clients.push(client);
        refused
    });
    assert!((10..=12).contains(&clients.len()), "{} were let in", clients.len() - 1);
    assert_eq!(clients[0].line("PING").text(), "PONG");
    clients.clear();
    until("there is room again", SOON, || {
        server.client().try_call(&["PING"]).is_ok_and(|reply| reply.error().is_none())
    });
}

/// Connections that come and go, send rubbish, or half a command.
#[test]
fn a_flood_leaves_nothing_behind() {
    let server = Options::shards(2).start();
    server.client().line("PING");
    let files = server.open_files();
    let rubbish: [&[u8]; 8] = [
        b"",
        b"*1\r\n$4\r\nPI",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        b"*99999999\r\n",
        b"*2\r\n$3\r\nGET\r\n$-5\r\n",
        b"*1\r\n$536870912\r\nabc",
    ];
    let flood = |rounds: usize| {
        for round in 0..rounds {
            let mut client = server.client();
            // What it answers to rubbish is the protocol tests' matter; a reset is fine too.
            drop(client.send_raw(rubbish[round % rubbish.len()]));
        }
        neighbour_lives(&server);
    };
    flood(2_000);
    let before = server.rss_bytes();
    flood(6_000);
    until("their sockets are closed", SOON, || server.open_files() <= files + 2);
    let growth = server.rss_bytes().saturating_sub(before);
    println!("grew by {} KiB", growth / 1024);
    assert!(growth <= 16 * MIB, "{} MiB stayed behind", growth / MIB);
}

/// Nothing is reserved for what an argument only announces.
#[test]
fn an_announced_length_reserves_nothing() {
    let server = Options::shards(2).start();
    let before = server.rss_bytes();
    let mut clients: Vec<Client> = (0..50).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nonly this").unwrap();
    }
    clients.push(server.client());
    clients[50].send_raw(b"*1048576\r\n$3\r\nDEL\r\n").unwrap();
    neighbour_lives(&server);
    let growth = server.rss_bytes().saturating_sub(before);
    assert!(growth <= 64 * MIB, "{} MiB for what never came", growth / MIB);
}

/// Actors that wait do not spin, with and without idle clients.
#[test]
fn an_idle_server_uses_no_cpu() {
    let server = Options::shards(4).journal("everysec").start();
    let _idle: Vec<Client> = (0..20).map(|_| server.client()).collect();
    let (cpu, start) = (server.cpu(), Instant::now());
    until("two idle seconds", SOON, || start.elapsed() >= Duration::from_secs(2));
    let used = server.cpu() - cpu;
    assert!(used <= Duration::from_millis(100), "{used:?} in two idle seconds");
}
