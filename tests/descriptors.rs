//! Under a limit of open files: every client up to `maxclients` is served, and the server has what
//! it needs beside them; where no client fits, it says how many descriptors are needed.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::allow_many_files;
use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until, until_some};

const FULL: &str = "ERR max number of clients reached";

fn maxclients(client: &mut Client) -> usize {
    client.line("CONFIG GET maxclients").members()[1].text().parse().unwrap()
}

/// As many clients as are let in, each of them served.
fn fill(server: &Server) -> Vec<Client> {
    // The connection that asked whether the server is ready may still be closing.
    let mut first = until_some("all old connections are closed", SOON, || {
        let mut client = server.client();
        let list = client.try_call(&["CLIENT", "LIST"]).ok()?;
        (list.bytes()?.iter().filter(|byte| **byte == b'\n').count() == 1).then_some(client)
    });
    let most = maxclients(&mut first);
    let mut clients = vec![first];
    clients.extend((1..most).map(|_| server.client()));
    clients.iter_mut().for_each(|client| assert_eq!(client.line("PING").text(), "PONG"));
    clients
}

/// What opens files, sockets and threads works while all clients are there.
fn everything_works(client: &mut Client, shards: usize) {
    client.line("MSET a 1 b 2 c 3");
    for _ in 0..2 {
        assert!(client.line("CONFIG SET appendonly yes").is_ok());
        assert!(client.line("DEBUG RELOAD").is_ok());
        for shard in 0..shards {
            client.line(&format!("DEBUG PANIC-SHARD {shard}"));
        }
        assert!(client.line("INFO everything").text().contains("used_memory_rss"));
        assert!(client.line("CONFIG REWRITE").is_ok());
        until("the shards serve again", SOON, || client.line("CONFIG SET appendonly no").is_ok());
    }
    let values = client.line("MGET a b c");
    assert_eq!(values.members().iter().map(Reply::text).collect::<Vec<_>>(), ["1", "2", "3"]);
}

fn limited(limit: u64, shards: usize) -> Options {
    Options::shards(shards).debug().file("own.conf", "timeout 0\n").open_files(limit)
}

/// Changes the limit, soft and hard, of a server that runs.
fn set_limit(server: &Server, limit: &str) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &server.pid().to_string(), &format!("--nofile={limit}")]);
    assert!(prlimit.status().unwrap().success());
}

#[test]
fn every_client_up_to_maxclients_is_served() {
    allow_many_files();
    for (limit, shards) in
        [(64, 1), (64, 4), (256, 1), (256, 4), (256, 16), (1024, 1), (1024, 4), (1024, 16)]
    {
        let server = limited(limit, shards).start();
        let mut clients = fill(&server);
        let most = clients.len();
        println!("{limit} descriptors, {shards} shards: {most} clients");
        for _ in 0..3 {
            assert_eq!(server.client().read().unwrap().error(), Some(FULL));
        }
        everything_works(&mut clients[0], shards);
        let refused = format!(
            "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating \
             system is not able to handle the specified number of clients, try with {most}"
        );
        for (wanted, reply) in [(most + 1, Some(&*refused)), (most - 1, None), (most, None)] {
            let set = clients[0].line(&format!("CONFIG SET maxclients {wanted}"));
            assert_eq!(set.error(), reply, "{wanted} clients");
        }
        assert_eq!(server.client().read().unwrap().error(), Some(FULL));
        clients.iter_mut().for_each(|client| assert_eq!(client.line("PING").text(), "PONG"));
    }
}

#[test]
fn the_limit_is_raised_as_far_as_it_may_be() {
    let server = limited(1024, 2).with("maxclients 10").start();
    set_limit(&server, "64:1024");
    let mut client = server.client();
    assert!(client.line("CONFIG SET maxclients 500").is_ok());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!((501..1024).contains(&soft), "{line}");
}

/// One address more to listen on takes descriptors from the clients.
#[test]
fn other_addresses_leave_room_for_the_clients() {
    let server = limited(256, 2).start();
    let mut client = server.client();
    let most = maxclients(&mut client);
    let set = client.call(&["CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2"]);
    let refused = format!("clients, try with {}", most - 2);
    assert!(set.error().is_some_and(|error| error.ends_with(&refused)), "{set:?}");
    assert!(client.line(&format!("CONFIG SET maxclients {}", most - 2)).is_ok());
    assert!(client.call(&["CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2"]).is_ok());
}

#[test]
fn where_no_client_fits_the_start_says_how_many_are_needed() {
    let needed = |limit: u64| -> u64 {
        let mut server = limited(limit, 16).launch();
        assert!(!server.wait_end(SOON).success());
        let log = server.log();
        let (_, rest) =
            log.split_once(&format!("the limit of open files is {limit}, and ")).unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    let least = needed(64);
    assert_eq!(needed(least - 1), least);
    let server = limited(least, 16).start();
    let mut clients = fill(&server);
    assert_eq!(clients.len(), 1);
    everything_works(&mut clients[0], 16);
}

/// Somebody lowers the limit below what is open: nothing can be opened any more.
#[test]
fn without_descriptors_the_server_lives_on() {
    for shards in [1, 4] {
        let server = limited(256, shards).start();
        let mut client = server.client();
        client.line("SET k v");
        set_limit(&server, "3:256");
        let set = client.line("CONFIG SET appendonly yes");
        let refused = "Unable to turn on AOF. Check server logs.";
        assert!(set.error().is_some_and(|error| error.ends_with(refused)), "{set:?}");
        assert!(server.log().contains("The append only file cannot be begun: "));
        assert!(client.line("CONFIG REWRITE").error().is_some());
        assert!(client.line("INFO everything").text().contains("uptime_in_seconds"));
        // Who connects waits, and the listener does not spin meanwhile.
        let mut late = server.client();
        late.send(&["GET", "k"]).unwrap();
        let (cpu, start) = (server.cpu(), Instant::now());
        until("a second", SOON, || start.elapsed() >= Duration::from_secs(1));
        let used = server.cpu() - cpu;
        assert!(used <= Duration::from_millis(100), "{used:?} of a second");
        assert_eq!(server.log().matches("Accepting a client failed").count(), 1);
        set_limit(&server, "256:256");
        assert_eq!(late.read().unwrap().text(), "v");
        assert!(client.line("CONFIG SET appendonly yes").is_ok());
    }
}

/// Descriptors run out in the middle of what the listener accepts at one go, and after its end.
#[test]
fn a_burst_for_which_there_are_no_descriptors_is_served_when_there_are() {
    for free in [63, 64, 65] {
        let server = limited(512, 2).start();
        server.client().line("SET k v");
        server.signal("STOP");
        let mut clients: Vec<Client> = (0..70).map(|_| server.client()).collect();
        clients.iter_mut().for_each(|client| client.send(&["GET", "k"]).unwrap());
        set_limit(&server, &format!("{}:512", limit_with_free(&server, free)));
        server.signal("CONT");
        let failed = || server.log().contains("Accepting a client failed");
        until("the descriptors have run out", SOON, failed);
        set_limit(&server, "512:512");
        clients.iter_mut().for_each(|client| assert_eq!(client.read().unwrap().text(), "v"));
    }
}

/// The limit under which the server can open so many files more.
fn limit_with_free(server: &Server, free: usize) -> usize {
    let folder = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let open: Vec<usize> =
        folder.map(|entry| name(entry).to_string_lossy().parse().unwrap()).collect();
    let is_free = |number: &usize| !open.contains(number);
    (0..).filter(is_free).nth(free - 1).unwrap() + 1
}
