//! Settings that are changed while the server runs and that reach beyond it: sockets, the journal.

use crate::support::client::Client;
use crate::support::load::{Writer, under_load};
use crate::support::server::{Options, Server, free_port};
use crate::support::wait::{SOON, until};
use crate::support::{in_ci, oracle};

/// The reply to CONFIG SET of these names and values.
fn set(client: &mut Client, words: &str) -> String {
    let reply = client.line(&format!("CONFIG SET {words}"));
    reply.error().map_or_else(|| reply.text(), str::to_owned)
}

fn get(client: &mut Client, name: &str) -> String {
    client.call(&["CONFIG", "GET", name]).members()[1].text()
}

fn answers(port: u16) -> bool {
    Client::connect(port).is_ok_and(|mut client| client.try_call(&["PING"]).is_ok())
}

#[test]
fn the_port_and_the_addresses_change_with_all_or_nothing() {
    let server: Server = Options::shards(2).start();
    let mut client = server.client();
    let (old, new) = (server.port, free_port());
    assert_eq!(set(&mut client, &format!("port {new}")), "OK");
    assert!(answers(new) && !answers(old));
    assert_eq!(client.call(&["PING"]).text(), "PONG", "who is there stays");

    let holder = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = holder.local_addr().unwrap().port();
    assert_eq!(
        set(&mut client, &format!("port {taken} timeout 9")),
        "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this \
         port. Check server logs."
    );
    assert_eq!(get(&mut client, "port"), new.to_string());
    assert_eq!(get(&mut client, "timeout"), "0");
    assert!(answers(new));

    let refused = "ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to \
                   specified addresses.";
    assert_eq!(set(&mut client, "bind \"127.0.0.1 192.0.2.1\""), refused);
    assert_eq!(set(&mut client, "bind nonsense.invalid"), refused);
    assert_eq!(get(&mut client, "bind"), "127.0.0.1");
    assert_eq!(set(&mut client, "bind *"), "OK");
    assert_eq!(set(&mut client, "bind \"127.0.0.1 -192.0.2.1\""), "OK");
    assert!(answers(new));
    let info = client.call(&["INFO", "server"]).text();
    assert!(info.contains(&format!("tcp_port:{new}\r\n")), "{info}");
    assert!(info.contains("bind=127.0.0.1"), "{info}");

    assert_eq!(
        set(&mut client, "tcp-backlog 10"),
        "ERR CONFIG SET failed (possibly related to argument 'tcp-backlog') - can't set immutable \
         config"
    );
    assert_eq!(set(&mut client, "port 0"), "OK");
    assert!(!answers(new));
    assert_eq!(set(&mut client, &format!("port {new}")), "OK");
    assert!(answers(new));
}

/// The journal begins, ends and begins again under load; after each OK nothing acknowledged is lost
/// that `always` promises, what was there before the journal included.
fn the_journal_is_switched(shards: usize) {
    let options = Options::shards(shards).with("appendfsync always").debug();
    let mut server = options.start();
    server.client().line("DEBUG POPULATE 30000 {one}:key 50");
    server.client().line("DEBUG POPULATE 30000 key 50");
    server.client().line("SET later x PX 100000000");
    let mut writers: Vec<Writer> = (0..4).map(Writer::new).collect();
    writers.iter().for_each(|writer| writer.prepare(&mut server.client()));
    for round in 0..3 {
        under_load(server.port, &mut writers, || {
            let mut client = server.client();
            assert_eq!(set(&mut client, "appendonly yes"), "OK");
            assert_eq!(get(&mut client, "appendonly"), "yes");
            if round == 1 {
                assert_eq!(set(&mut client, "appendonly no"), "OK");
                assert_eq!(client.line("SET while off").text(), "OK");
                assert_eq!(set(&mut client, "appendonly yes"), "OK");
            }
            server.kill();
        });
        server.restart_with(&options.clone().with("appendonly yes"));
        let mut client = server.client();
        for writer in &mut writers {
            writer.verify(&mut client).unwrap_or_else(|err| panic!("round {round}: {err}"));
        }
        assert_eq!(client.line("GET {one}:key:29999").text().len(), 50);
        assert!(client.line("PTTL later").number().unwrap() > 0);
        let size = client.line("DBSIZE").number().unwrap();
        assert!((60_000..60_400).contains(&size), "{size} keys");
        let digest = client.line("DEBUG DIGEST").text();
        assert_eq!(set(&mut client, "appendonly no"), "OK");
        let info = client.call(&["INFO", "persistence"]).text();
        assert!(info.contains("aof_enabled:0\r\n"), "{info}");
        server.stop();
        server.restart_with(&options.clone().with("appendonly yes"));
        assert_eq!(server.client().line("DEBUG DIGEST").text(), digest);
        assert_eq!(set(&mut server.client(), "appendonly no"), "OK");
    }
}

#[test]
fn the_journal_is_switched_on_one_shard() {
    the_journal_is_switched(1);
}

#[test]
fn the_journal_is_switched_on_four_shards() {
    the_journal_is_switched(4);
}

#[test]
fn a_journal_that_cannot_begin_leaves_all_as_it_was() {
    let server = Options::shards(2).start();
    let mut client = server.client();
    let dir = server.path("appendonlydir");
    std::fs::write(&dir, b"in the way").unwrap();
    assert_eq!(
        set(&mut client, "appendonly yes timeout 5"),
        "ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to turn on \
         AOF. Check server logs."
    );
    assert_eq!(
        (get(&mut client, "appendonly"), get(&mut client, "timeout")),
        ("no".into(), "0".into())
    );
    assert_eq!(client.line("SET a 1").text(), "OK");
    std::fs::remove_file(&dir).unwrap();
    assert_eq!(set(&mut client, "appendonly yes"), "OK");
    assert_eq!(client.line("SET b 1").text(), "OK");
    let mut files: Vec<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let names = [
        "appendonly.aof.1.base.rdb",
        "appendonly.aof.1.incr.aof",
        "appendonly.aof.lock",
        "appendonly.aof.manifest",
    ];
    assert_eq!(files, names);
}

#[test]
fn a_journal_begins_though_its_client_goes() {
    let mut server = Options::shards(2).debug().start();
    let mut client = server.client();
    client.line("DEBUG POPULATE 20000 key 100");
    let mut gone = server.client();
    gone.send(&["CONFIG", "SET", "appendonly", "yes"]).unwrap();
    drop(gone);
    until("the journal is on", SOON, || {
        client.line("INFO persistence").text().contains("aof_enabled:1")
    });
    let digest = client.line("DEBUG DIGEST").text();
    server.kill();
    server.restart_with(&Options::shards(2).debug().with("appendonly yes"));
    assert_eq!(server.client().line("DEBUG DIGEST").text(), digest);
}

/// Nobody knows whether what a shard holds after a panic is what it has told.
#[test]
fn a_shard_that_panics_while_a_journal_begins_ends_the_try() {
    let server = Options::shards(2).debug().start();
    let mut client = server.client();
    client.line("DEBUG POPULATE 100000 key 1000");
    let mut asking = server.client();
    asking.send(&["CONFIG", "SET", "appendonly", "yes"]).unwrap();
    let base = server.path("appendonlydir/temp_appendonly.aof.base.part.rdb");
    until("a base is being written", SOON, || base.metadata().is_ok_and(|base| base.len() > 0));
    assert!(client.line("DEBUG PANIC-SHARD 0").error().is_some());
    let reply = asking.read().unwrap();
    assert!(
        reply.error().is_some_and(|error| error.contains("Unable to turn on AOF")),
        "{reply:?}"
    );
    assert!(server.log().contains("shard 0 has panicked"));
    assert!(!base.exists());
    assert_eq!(set(&mut client, "appendonly yes"), "OK");
}

/// What a base holds is read by Redis.
#[test]
fn redis_checks_a_base() {
    let Some(_) = oracle::on_path("redis-check-aof") else {
        assert!(!in_ci(), "redis-check-aof is missing");
        return println!("redis-check-aof is missing, so nothing is compared");
    };
    let mut server = Options::shards(2).debug().start();
    server.client().line("DEBUG POPULATE 1000");
    assert_eq!(set(&mut server.client(), "appendonly yes"), "OK");
    server.client().line("SET a 1");
    server.stop();
    let manifest = server.path("appendonlydir/appendonly.aof.manifest");
    let check = std::process::Command::new("redis-check-aof").arg(manifest).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

/// A journal that begins takes all slots for a moment. A transaction that holds some, and changes
/// settings itself, does not wait for it.
#[test]
fn transactions_change_settings_while_a_journal_begins() {
    let server = Options::shards(2).debug().with("save ").start();
    let mut client = server.client();
    client.line("DEBUG POPULATE 3000 key 50");
    let mut other = server.client();
    for round in 0..20 {
        let value = if round % 2 == 0 { "yes" } else { "no" };
        client.send(&["CONFIG", "SET", "appendonly", value]).unwrap();
        for line in ["MULTI", "SET a 1", "SET b 1", "CONFIG SET timeout 0", "EXEC"] {
            let reply = other.line(line);
            assert!(reply.error().is_none(), "round {round}, {line}: {reply:?}");
        }
        assert_eq!(client.read().unwrap().text(), "OK", "round {round}");
    }
}
