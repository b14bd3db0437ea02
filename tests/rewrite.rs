//! The journal's rewrite at the real server: by BGREWRITEAOF, by growth, and without a journal.
//! What it leaves is loaded here and by Redis. What happens when the disk fails meanwhile, `faults`
//! has; what happens when the process dies, `durability`.

use std::fs;

use crate::support::client::Client;
use crate::support::load::{Writer, under_load};
use crate::support::oracle;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

fn rewrite(client: &mut Client) {
    let reply = client.line("BGREWRITEAOF").text();
    assert_eq!(reply, "Background append only file rewriting started");
    until("it is written", SOON * 3, || client.info("aof_rewrite_in_progress") == "0");
    assert_eq!(client.info("aof_last_bgrewrite_status"), "ok");
}

fn manifest(server: &Server) -> String {
    fs::read_to_string(server.path("appendonlydir/appendonly.aof.manifest")).unwrap()
}

fn digest(server: &Server) -> String {
    server.client().line("DEBUG DIGEST").text()
}

/// Values of every type, in two databases.
fn fill(client: &mut Client) {
    for db in [3, 0] {
        client.line(&format!("SELECT {db}"));
        client.line("DEBUG POPULATE 2000 key 50");
        let each = |element: &dyn Fn(usize) -> String| (0..900).map(element).collect::<String>();
        client.line(&format!("RPUSH list{}", each(&|at| format!(" item:{at}"))));
        client.line(&format!("HSET hash{}", each(&|at| format!(" f{at} v{at}"))));
        client.line(&format!("SADD set{}", each(&|at| format!(" member:{at}"))));
        client.line(&format!("ZADD zset{}", each(&|at| format!(" {at}.5 member:{at}"))));
        client.line(&format!("SET text {}", "0123456789".repeat(30_000)));
        client.line("SET timed x EX 10000");
        for number in 1..300 {
            client.line(&format!("XADD stream {number}-1 f v{number}"));
        }
        client.line("XGROUP CREATE stream group 0");
        client.line("XREADGROUP GROUP group one COUNT 20 STREAMS stream >");
    }
}

#[test]
fn a_rewritten_journal_is_loaded_here_and_by_redis() {
    for (shards, preamble) in [(1, "yes"), (2, "no"), (4, "yes"), (4, "no")] {
        let options = Options::shards(shards).journal("always").debug();
        let mut server = options.with(&format!("aof-use-rdb-preamble {preamble}")).start();
        let mut client = server.client();
        fill(&mut client);
        let mut writers: Vec<Writer> = (0..3).map(Writer::new).collect();
        writers.iter().for_each(|writer| writer.prepare(&mut client));
        under_load(server.port, &mut writers, || (0..3).for_each(|_| rewrite(&mut client)));
        let end = if preamble == "yes" { "rdb" } else { "aof" };
        let files = format!(
            "file appendonly.aof.4.base.{end} seq 4 type b\n\
             file appendonly.aof.4.incr.aof seq 4 type i\n"
        );
        assert_eq!(manifest(&server), files);
        let before = digest(&server);
        server.kill();
        server.restart();
        assert_eq!(digest(&server), before, "{shards} shards, preamble {preamble}");
        for writer in &mut writers {
            writer.verify(&mut server.client()).unwrap();
        }
        server.stop();
        let Some(redis) = oracle::on_path("redis-server") else { continue };
        let other = Options::program(&[redis]).with(&format!("dir {}", server.folder().display()));
        let other = other.with("appendonly yes").with("enable-debug-command yes").start();
        assert_eq!(digest(&other), before, "{shards} shards, preamble {preamble}");
    }
}

/// As Redis has it, whatever the form.
#[test]
fn a_journal_that_begins_has_an_empty_base() {
    for (preamble, end) in [("yes", "rdb"), ("no", "aof")] {
        let options = Options::shards(2).journal("always").debug();
        let options = options.with(&format!("aof-use-rdb-preamble {preamble}"));
        let mut server = options.with("aof-timestamp-enabled yes").start();
        let files = format!(
            "file appendonly.aof.1.base.{end} seq 1 type b\n\
             file appendonly.aof.1.incr.aof seq 1 type i\n"
        );
        assert_eq!(manifest(&server), files);
        assert_eq!(server.client().info("aof_rewrites"), "0");
        let base = fs::read(server.path(&format!("appendonlydir/appendonly.aof.1.base.{end}")));
        let head: &[u8] = if preamble == "yes" { b"REDIS0010" } else { b"#TS:" };
        assert!(base.unwrap().starts_with(head), "{preamble}");
        assert!(server.client().line("SET a 1").is_ok());
        server.kill();
        server.restart();
        assert_eq!(server.client().line("GET a").text(), "1");
        assert_eq!(manifest(&server), files);
    }
}

#[test]
fn a_journal_is_written_by_one_server() {
    let options = Options::shards(1).journal("always").debug();
    let mut server = options.start();
    let folder = format!("dir {}", server.folder().display());
    let beside = Options::shards(1).journal("always").with(&folder);
    let mut other = beside.launch();
    assert!(!other.wait_end(SOON).success());
    assert!(other.log().contains("another server writes this journal"), "{}", other.log());
    let apart = Options::shards(1).journal("always").with(&folder).with("appendfilename other");
    assert!(apart.start().client().line("SET a 1").is_ok());
    server.client().line("CONFIG SET appendonly no");
    assert!(beside.start().client().line("SET a 1").is_ok());
    server.kill();
    server.restart();
    assert_eq!(server.client().line("GET a").text(), "1");
}

/// Files out of use stay, on the list as well, while `aof-disable-auto-gc` is on.
#[test]
fn files_out_of_use_are_kept_when_told() {
    let mut server = Options::shards(2).journal("always").with("aof-disable-auto-gc yes").start();
    let mut client = server.client();
    client.line("SET a 1");
    rewrite(&mut client);
    let kept = "file appendonly.aof.1.base.rdb seq 1 type h\n\
                file appendonly.aof.1.incr.aof seq 1 type h\n";
    let is_there =
        |server: &Server, name: &str| server.path(&format!("appendonlydir/{name}")).exists();
    assert!(manifest(&server).contains(kept), "{}", manifest(&server));
    server.kill();
    server.restart();
    let mut client = server.client();
    assert_eq!(client.line("GET a").text(), "1");
    assert!(manifest(&server).contains(kept), "{}", manifest(&server));
    assert!(is_there(&server, "appendonly.aof.1.incr.aof"));
    client.line("CONFIG SET aof-disable-auto-gc no");
    rewrite(&mut client);
    assert!(!manifest(&server).contains("type h"), "{}", manifest(&server));
    assert!(!is_there(&server, "appendonly.aof.1.incr.aof"));
}

/// What EXEC has written in the background begins behind it.
#[test]
fn inside_a_transaction_both_are_scheduled() {
    let server = Options::shards(2).journal("everysec").debug().with("save ").start();
    let mut client = server.client();
    for (command, name, count) in
        [("BGREWRITEAOF", "file rewriting", "aof_rewrites"), ("BGSAVE", "saving", "rdb_saves")]
    {
        for line in ["MULTI", "SET a 1", command] {
            client.line(line);
        }
        let replies = client.line("EXEC").printed();
        assert!(replies.contains(&format!("{name} scheduled")), "{replies}");
        until("it is written", SOON, || client.info(count) == "1");
    }
}

#[test]
fn a_journal_that_has_grown_is_rewritten() {
    let options = Options::shards(2).journal("everysec").debug();
    let options = options.with("auto-aof-rewrite-min-size 200kb");
    let server = options.with("auto-aof-rewrite-percentage 50").start();
    let mut client = server.client();
    let value = "x".repeat(1_000);
    until("it is rewritten twice", SOON * 2, || {
        (0..100).for_each(|number| drop(client.line(&format!("SET key:{number} {value}"))));
        client.info("aof_rewrites") == "2"
    });
    until("it is over", SOON, || client.info("aof_rewrite_in_progress") == "0");
    let base: u64 = client.info("aof_base_size").parse().unwrap();
    assert!(base < 400_000, "{base} bytes for a hundred keys");
}

#[test]
fn without_a_journal_a_base_is_written_for_the_next_start() {
    let options = Options::shards(2).debug().with("save ");
    let mut server = options.start();
    let mut client = server.client();
    fill(&mut client);
    for number in 1..3 {
        rewrite(&mut client);
        let file = format!("file appendonly.aof.{number}.base.rdb seq {number} type b\n");
        assert_eq!(manifest(&server), file);
    }
    assert_eq!(client.info("aof_enabled"), "0");
    let before = digest(&server);
    server.kill();
    server.restart_with(&options.with("appendonly yes"));
    assert_eq!(digest(&server), before);
}

/// One is written at a time: the other waits, or is refused, as Valkey has it.
#[test]
fn a_snapshot_and_a_rewrite_do_not_get_in_the_way_of_each_other() {
    let server = Options::shards(2).journal("everysec").debug().with("save ").start();
    let mut client = server.client();
    client.line("DEBUG POPULATE 300000 key 50");
    let replies = client.pipeline(&[
        ["BGREWRITEAOF"].map(String::from).to_vec(),
        ["BGREWRITEAOF"].map(String::from).to_vec(),
        ["BGSAVE"].map(String::from).to_vec(),
        ["BGSAVE", "SCHEDULE"].map(String::from).to_vec(),
    ]);
    let replies: Vec<String> = replies.unwrap().iter().map(|it| format!("{it:?}")).collect();
    for (reply, word) in replies.iter().zip(["started", "already", "Another child", "scheduled"]) {
        assert!(reply.contains(word), "{word} is not in {replies:?}");
    }
    until("both are written", SOON * 3, || {
        client.info("rdb_saves") == "1" && client.info("rdb_bgsave_in_progress") == "0"
    });
    let replies = client.pipeline(&[
        ["BGSAVE"].map(String::from).to_vec(),
        ["BGREWRITEAOF"].map(String::from).to_vec(),
    ]);
    let replies: Vec<String> = replies.unwrap().iter().map(|it| format!("{it:?}")).collect();
    assert!(replies[1].contains("scheduled"), "{replies:?}");
    until("both are written", SOON * 3, || {
        client.info("aof_rewrites") == "2" && client.info("aof_rewrite_in_progress") == "0"
    });
    assert_eq!(client.info("aof_last_bgrewrite_status"), "ok");
}
