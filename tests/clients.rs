//! The `redis` crate as it is, against 1, 2 and 4 shards, over RESP2 and RESP3: what a client
//! library does that a raw socket does not. Its handshake, its reading of types, its pipelines, its
//! transactions, its iterator over SCAN, one connection shared by many tasks, and connecting anew.
//!
//! Other clients are in the folder `tests/clients/`, which CI runs.

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Commands, Connection, RedisError, RedisResult};
use tokio::task::JoinSet;

use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until_some};

/// A client with a login, in database 3.
fn client_of(server: &Server, protocol: &str) -> redis::Client {
    let url = format!("redis://:secret@127.0.0.1:{}/3?protocol={protocol}", server.port);
    redis::Client::open(url).unwrap()
}

/// Runs the check with each number of shards and each protocol.
fn everywhere(check: impl Fn(&Server, &str)) {
    for shards in [1, 2, 4] {
        let server = Options::shards(shards).journal("everysec").with("requirepass secret").start();
        for protocol in ["resp2", "resp3"] {
            println!("{shards} shards, {protocol}");
            check(&server, protocol);
        }
    }
}

fn in_runtime(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work);
}

#[test]
fn a_connection_introduces_itself_and_reads_types() {
    everywhere(|server, protocol| {
        let mut connection = client_of(server, protocol).get_connection().unwrap();
        let info: String = redis::cmd("CLIENT").arg("INFO").query(&mut connection).unwrap();
        let resp = format!("resp={}", &protocol[4..]);
        for field in ["lib-name=redis-rs", "lib-ver=1.", "db=3", "user=default", &resp] {
            assert!(info.contains(field), "no {field} in {info}");
        }
        let _: () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
        types(&mut connection).unwrap();
        errors(&mut connection);
    });
}

fn types(connection: &mut Connection) -> RedisResult<()> {
    let bytes: Vec<u8> = (0..=255).collect();
    let _: () = connection.set("binary", &bytes)?;
    assert_eq!(connection.get::<_, Vec<u8>>("binary")?, bytes);
    assert_eq!(connection.get::<_, Option<String>>("none")?, None);
    let _: () = connection.set_ex("brief", "v", 100)?;
    assert!((99..=100).contains(&connection.ttl::<_, i64>("brief")?));
    assert!(!connection.set_nx::<_, _, bool>("brief", "w")?);
    assert_eq!(connection.incr::<_, _, i64>("n", -5)?, -5);
    let sum: f64 = connection.incr("f", 0.5)?;
    assert!((sum - 0.5).abs() < 1e-9);
    let _: () = connection.mset(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)])?;
    let values: Vec<Option<i64>> = connection.mget(&["a", "none", "d"])?;
    assert_eq!(values, [Some(1), None, Some(4)]);
    assert_eq!(connection.exists::<_, i64>(&["a", "b", "none"])?, 2);
    let _: () = connection.rename("a", "moved")?;
    assert_eq!(connection.del::<_, i64>(&["moved", "b", "none"])?, 2);
    let limit: std::collections::HashMap<String, String> =
        redis::cmd("CONFIG").arg("GET").arg("maxclients").query(connection)?;
    assert_eq!(limit["maxclients"], "10000");
    let about: redis::InfoDict = redis::cmd("INFO").query(connection)?;
    assert_eq!(about.get::<String>("server_name").as_deref(), Some("troupe"));
    Ok(())
}

fn errors(connection: &mut Connection) {
    let error = |result: RedisResult<()>| -> RedisError { result.expect_err("it is refused") };
    let _: () = connection.set("text", "no number").unwrap();
    let refused = error(connection.incr("text", 1));
    assert_eq!(refused.code(), Some("ERR"));
    assert!(refused.to_string().contains("not an integer"), "{refused}");
    let unknown = error(redis::cmd("BOGUS").arg("x").exec(connection));
    assert!(unknown.to_string().contains("unknown command"), "{unknown}");
    // An error in the middle of a pipeline spoils no other reply.
    let mut pipe = redis::pipe();
    pipe.get("text").incr("text", 1).get("text").ignore_errors();
    let replies: Vec<redis::RedisResult<String>> = pipe.query(connection).unwrap();
    let oks: Vec<bool> = replies.iter().map(Result::is_ok).collect();
    assert_eq!(oks, [true, false, true]);
}

#[test]
fn pipelines_and_scans_go_over_all_shards() {
    const KEYS: usize = 1000;
    everywhere(|server, protocol| {
        let mut connection = client_of(server, protocol).get_connection().unwrap();
        let _: () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
        let mut pipe = redis::pipe();
        for number in 0..KEYS {
            pipe.set(format!("key:{number}"), number).ignore().incr(format!("key:{number}"), 1);
        }
        let numbers: Vec<usize> = pipe.query(&mut connection).unwrap();
        assert_eq!(numbers, (1..=KEYS).collect::<Vec<_>>());
        let keys: RedisResult<Vec<String>> = connection.scan_match("key:*").unwrap().collect();
        let mut keys = keys.unwrap();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), KEYS);
        let dbsize: usize = redis::cmd("DBSIZE").query(&mut connection).unwrap();
        assert_eq!(dbsize, KEYS);
    });
}

/// Four clients move what two keys hold from one to the other: nobody's move is lost.
#[test]
fn transactions_are_tried_again_where_a_watched_key_has_changed() {
    const ROUNDS: i64 = 25;
    everywhere(|server, protocol| {
        let mut connection = client_of(server, protocol).get_connection().unwrap();
        let _: () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
        let _: () = connection.mset(&[("from", 4 * ROUNDS), ("to", 0)]).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..ROUNDS).for_each(|_| move_one(server, protocol)));
            }
        });
        let ends: (i64, i64) = connection.mget(&["from", "to"]).unwrap();
        assert_eq!(ends, (0, 4 * ROUNDS));
        let mut pipe = redis::pipe();
        let aborted: RedisResult<()> =
            pipe.atomic().set("a", 1).cmd("BOGUS").set("b", 2).query(&mut connection);
        assert!(aborted.is_err());
        assert_eq!(connection.exists::<_, i64>(&["a", "b"]).unwrap(), 0);
    });
}

fn move_one(server: &Server, protocol: &str) {
    let mut connection = client_of(server, protocol).get_connection().unwrap();
    let keys = ["from", "to"];
    let moved: (i64, i64) = redis::transaction(&mut connection, &keys, |connection, pipe| {
        let (from, to): (i64, i64) = connection.mget(&keys)?;
        pipe.set("from", from - 1).ignore().set("to", to + 1).ignore();
        let moved: Option<((i64, i64),)> = pipe.mget(&keys).query(connection)?;
        Ok(moved.map(|(both,)| both))
    })
    .unwrap();
    assert_eq!(moved.0 + moved.1, 100);
}

/// Many tasks on one connection: each reads what is its own.
#[test]
fn tasks_share_a_multiplexed_connection() {
    everywhere(|server, protocol| {
        let client = client_of(server, protocol);
        in_runtime(async {
            let connection = client.get_multiplexed_async_connection().await.unwrap();
            let mut tasks = JoinSet::new();
            for number in 0..50 {
                tasks.spawn(task(connection.clone(), number));
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap().unwrap();
            }
            let mut connection = connection;
            let mut keys = Vec::new();
            let mut found = connection.scan_match::<_, String>("task:*").await.unwrap();
            while let Some(key) = found.next_item().await {
                keys.push(key.unwrap());
            }
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), 50);
        });
    });
}

async fn task(mut connection: MultiplexedConnection, number: usize) -> RedisResult<()> {
    let key = format!("task:{number}");
    let _: () = connection.set(&key, number).await?;
    for round in 1..=20 {
        assert_eq!(connection.incr::<_, _, usize>(&key, 1).await?, number + round);
        let other = format!("task:{}", (number + 1) % 50);
        let (own, _): (usize, Option<usize>) = connection.mget(&[&key, &other]).await?;
        assert_eq!(own, number + round);
    }
    Ok(())
}

/// A server that is killed and comes back is found again, with what it was told.
#[test]
fn a_connection_manager_finds_the_server_again() {
    for shards in [1, 2, 4] {
        let options = Options::shards(shards).journal("always").with("requirepass secret");
        let mut server = options.start();
        let client = client_of(&server, "resp3");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut manager = runtime.block_on(client.get_connection_manager()).unwrap();
        runtime.block_on(manager.set::<_, _, ()>("kept", shards)).unwrap();
        server.kill();
        server.restart();
        let kept: usize = until_some("the manager has connected anew", SOON, || {
            runtime.block_on(manager.get("kept")).ok()
        });
        assert_eq!(kept, shards);
        // In the same database, logged in, and over the same protocol.
        let info: String =
            runtime.block_on(redis::cmd("CLIENT").arg("INFO").query_async(&mut manager)).unwrap();
        assert!(info.contains("db=3") && info.contains("resp=3"), "{info}");
    }
}
