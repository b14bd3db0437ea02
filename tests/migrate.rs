//! MIGRATE between servers: to another Troupe, to the peers and back, values of every type; other
//! servers that refuse, answer nonsense, close or say nothing; and what others do meanwhile.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

fn options(shards: usize) -> Options {
    Options::shards(shards).debug().with("save ")
}

/// Keys of every type, and their names.
fn fill(client: &mut Client) -> Vec<String> {
    let mut names = Vec::new();
    for number in 0..30 {
        for line in [
            format!("SET text:{number} {}", "x".repeat(number * 100)),
            format!("SET timed:{number} {number} EX 1000"),
            format!("RPUSH list:{number} a {number} b"),
            format!("SADD ints:{number} 1 2 {number}"),
            format!("SADD set:{number} a b c{number}"),
            format!("HSET hash:{number} f v g {number}"),
            format!("ZADD zset:{number} 1.5 a {number} b"),
            format!("XADD stream:{number} 1-1 f {number}"),
        ] {
            client.line(&line);
            names.push(line.split(' ').nth(1).unwrap().to_owned());
        }
    }
    names
}

fn migrate(client: &mut Client, port: u16, options: &str, names: &[String]) -> String {
    let port = port.to_string();
    let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000"];
    words.extend(options.split_ascii_whitespace());
    words.push("KEYS");
    words.extend(names.iter().map(String::as_str));
    let reply = client.call(&words);
    reply.error().map_or_else(|| reply.printed(), str::to_owned)
}

/// All keys there and back.
fn there_and_back(shards: usize, other: &Server) {
    let server = options(shards).with("appendonly yes").start();
    let (mut client, mut theirs) = (server.client(), other.client());
    theirs.line("FLUSHALL");
    let names = fill(&mut client);
    let digest = client.line("DEBUG DIGEST").text();
    assert_eq!(migrate(&mut client, other.port, "", &names), "OK");
    assert_eq!(client.line("DBSIZE").number(), Some(0));
    assert_eq!(theirs.line("DEBUG DIGEST").text(), digest, "{shards} shards");
    assert_eq!(migrate(&mut client, other.port, "", &names), "NOKEY");
    assert!(client.line("DEBUG LOADAOF").is_ok());
    assert_eq!(client.line("DBSIZE").number(), Some(0), "the journal has no more");
    assert_eq!(migrate(&mut theirs, server.port, "COPY", &names), "OK");
    assert_eq!(client.line("DEBUG DIGEST").text(), digest, "{shards} shards");
    client.line("SET text:0 other");
    let busy = "ERR Target instance replied with error: BUSYKEY Target key name already exists.";
    assert_eq!(migrate(&mut client, other.port, "", &names[..3]), busy);
    assert_eq!(migrate(&mut client, other.port, "REPLACE", &names[..3]), "OK");
    assert_eq!(theirs.line("GET text:0").text(), "other");
    let left = client.line(&format!("EXISTS {}", names.join(" "))).number();
    assert_eq!(left, Some(names.len() as i64 - 3));
}

#[test]
fn keys_go_to_another_troupe_and_back() {
    for shards in [1, 2, 4] {
        there_and_back(shards, &options(2).start());
    }
}

#[test]
fn keys_go_to_the_peers_and_back() {
    for oracle in [Oracle::Valkey, Oracle::Redis] {
        let Some(peer) = oracle.start() else { continue };
        there_and_back(2, &peer);
    }
}

#[test]
fn a_password_and_a_database_are_told() {
    let other = options(1).with("requirepass secret").start();
    let server = options(2).start();
    let mut client = server.client();
    client.line("SET a 1");
    let mut said = |words: &str| {
        let line = format!("MIGRATE 127.0.0.1 {} a 5 5000 {words}", other.port);
        let reply = client.line(&line);
        reply.error().map_or_else(|| reply.printed(), str::to_owned)
    };
    let head = "ERR Target instance replied with error: ";
    assert_eq!(said(""), format!("{head}NOAUTH Authentication required."));
    assert!(said("AUTH wrong").starts_with(&format!("{head}WRONGPASS ")));
    assert_eq!(said("COPY AUTH secret"), "OK");
    assert_eq!(said("REPLACE AUTH2 default secret"), "OK");
    let mut theirs = other.client();
    theirs.line("AUTH secret");
    theirs.line("SELECT 5");
    assert_eq!(theirs.line("GET a").text(), "1");
    let log = client.line("SLOWLOG GET 10").printed();
    assert!(!log.contains("secret"), "{log}");
}

/// A server that takes one connection, reads something, and does this with it.
fn odd_server(act: impl FnOnce(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let read = stream.read(&mut [0; 1024]).unwrap();
        assert!(read > 0);
        act(stream);
    });
    port
}

#[test]
fn what_no_server_has_taken_stays() {
    let server = options(2).start();
    let mut client = server.client();
    let reading = "IOERR error or timeout reading to target instance";
    let no_answer = |mut stream: TcpStream| {
        // It ends when the other side does.
        while stream.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
    };
    let nonsense =
        |mut stream: TcpStream| stream.write_all(b"$5\r\nhello\r\n*1\r\n:1\r\n").unwrap();
    let one_key = |mut stream: TcpStream| stream.write_all(b"+OK\r\n+OK\r\n").unwrap();
    for (port, wanted, left) in [
        (odd_server(drop), reading, 2),
        (odd_server(no_answer), reading, 2),
        (odd_server(nonsense), "ERR Target instance replied with error: $5", 2),
        (odd_server(one_key), reading, 1),
        (1, "IOERR error or timeout writing to target instance", 2),
    ] {
        client.line("MSET a 1 b 2");
        let reply = client.line(&format!("MIGRATE 127.0.0.1 {port} \"\" 0 300 KEYS a b"));
        assert_eq!(reply.error(), Some(wanted));
        assert_eq!(client.line("EXISTS a b").number(), Some(left), "{wanted}");
    }
}

/// Who wants one of its keys waits; all others go on; and a client that is killed meanwhile leaves
/// nothing behind.
#[test]
fn others_go_on_while_a_server_says_nothing() {
    for shards in [1, 2, 4] {
        let server = options(shards).start();
        let [mut client, mut migrating, mut waiting] = [(); 3].map(|()| server.client());
        client.line("MSET a 1 b 2 c 3");
        let id = migrating.line("CLIENT ID").number().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let words = ["MIGRATE", "127.0.0.1", &port, "", "0", "60000", "KEYS", "a", "b"];
        migrating.send(&words).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        waiting.send(&["INCR", "a"]).unwrap();
        for number in 4..100 {
            assert_eq!(client.line("INCR c").number(), Some(number));
        }
        assert!(!waiting.has_reply());
        assert_eq!(client.line(&format!("CLIENT KILL ID {id}")).number(), Some(1));
        assert!(!waiting.has_reply(), "what is sent may be taken yet");
        stream.write_all(b"+OK\r\n+OK\r\n-ERR no\r\n").unwrap();
        assert_eq!(waiting.read().unwrap().number(), Some(1), "it was taken, and is new");
        assert_eq!(client.line("GET b").text(), "2");
    }
}

#[test]
fn keys_go_inside_a_transaction() {
    let (server, other) = (options(2).start(), options(1).start());
    let mut client = server.client();
    client.line("MSET a 1 b 2");
    for line in ["MULTI", "INCR a"] {
        client.line(line);
    }
    client.line(&format!("MIGRATE 127.0.0.1 {} \"\" 0 5000 KEYS a b", other.port));
    client.line("SET a new");
    let reply = client.line("EXEC").printed();
    assert_eq!(reply, "1) (integer) 2\n2) OK\n3) OK");
    let mut theirs = other.client();
    assert_eq!(theirs.line("MGET a b").printed(), "1) \"2\"\n2) \"2\"");
    assert_eq!(client.line("MGET a b").printed(), "1) \"new\"\n2) (nil)");
    until("nobody waits", SOON, || client.line("DBSIZE").number() == Some(1));
}
