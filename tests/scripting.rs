//! Scripts on the whole server: what all threads know, what a journal and a snapshot keep, scripts
//! that run long, and how they end.

use std::thread;

use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

const SHARDS: [usize; 3] = [1, 2, 4];

const LIBRARY: &str = "#!lua name=lib\n\
                       redis.register_function('put', function(keys, args)\n\
                       return redis.call('SET', keys[1], args[1]) end)";

/// Clients until some of them are on each thread.
fn clients(server: &Server, shards: usize) -> Vec<Client> {
    (0..shards * 3).map(|_| server.client()).collect()
}

/// The error that a reply is, or nothing.
fn error(reply: &Reply) -> String {
    reply.error().unwrap_or_default().to_owned()
}

fn eval(client: &mut Client, script: &str, words: &[&str]) -> Reply {
    let mut call = vec!["EVAL", script];
    call.extend(words);
    client.call(&call)
}

#[test]
fn every_thread_knows_what_was_answered() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let mut clients = clients(&server, shards);
        for round in 0..20 {
            let at = round % clients.len();
            let script = format!("return {round}");
            let sha = match round % 2 {
                0 => clients[at].call(&["SCRIPT", "LOAD", &script]).text(),
                _ => {
                    eval(&mut clients[at], &script, &["0"]);
                    sha1_of(&mut clients[at], &script)
                }
            };
            for (number, client) in clients.iter_mut().enumerate() {
                let key = format!("k{number}");
                let said = client.call(&["EVALSHA", &sha, "1", &key]);
                assert_eq!(said.number(), Some(round as i64), "{shards} shards: {said:?}");
            }
        }
        assert!(clients[0].line("SCRIPT FLUSH").is_ok());
        for client in &mut clients {
            let said = client.call(&["EVALSHA", &"0".repeat(40), "0"]);
            assert_eq!(error(&said), "NOSCRIPT No matching script.");
        }
        let loaded = clients[0].call(&["FUNCTION", "LOAD", LIBRARY]);
        assert_eq!(loaded.text(), "lib");
        for (number, client) in clients.iter_mut().enumerate() {
            let key = format!("k{number}");
            assert!(client.call(&["FCALL", "put", "1", &key, "v"]).is_ok(), "{shards} shards");
        }
    }
}

fn sha1_of(client: &mut Client, script: &str) -> String {
    client.call(&["EVAL", "return redis.sha1hex(ARGV[1])", "0", script]).text()
}

/// A script that declares that it writes nothing goes on, by whatever it is named.
#[test]
fn a_pause_of_writes_holds_back_what_may_write() {
    const READS: &str = "#!lua flags=no-writes\nreturn redis.call('GET', KEYS[1])";
    const READER: &str = "#!lua name=reader\n\
                          redis.register_function{function_name='read', flags={'no-writes'},\n\
                          callback=function(keys) return redis.call('GET', keys[1]) end}";
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let mut client = server.client();
        assert!(client.line("SET k v").is_ok());
        assert_eq!(client.call(&["FUNCTION", "LOAD", READER]).text(), "reader");
        let sha = client.call(&["SCRIPT", "LOAD", READS]).text();
        // A pause holds back what is queued as well.
        let mut transaction = server.client();
        assert!(transaction.line("MULTI").is_ok());
        assert_eq!(eval(&mut transaction, "return 1", &["0"]).text(), "QUEUED");
        assert!(client.line("CLIENT PAUSE 600000 WRITE").is_ok());
        for [command, what] in [
            ["EVAL", READS],
            ["EVAL_RO", "return redis.call('GET', KEYS[1])"],
            ["EVALSHA", &sha],
            ["FCALL", "read"],
        ] {
            let said = client.call(&[command, what, "1", "k"]);
            assert_eq!(said.text(), "v", "{command}, {shards} shards");
        }
        assert!(client.line("MULTI").is_ok());
        assert_eq!(eval(&mut client, READS, &["1", "k"]).text(), "QUEUED");
        assert_eq!(client.line("EXEC").members()[0].text(), "v");
        let calls: [&[&str]; 5] = [
            &["EVAL", "return 1", "0"],
            &["EVAL", "#!lua\nreturn 1", "0"],
            &["PUBLISH", "channel", "message"],
            &["PFCOUNT", "h"],
            &["SET", "k", "w"],
        ];
        let mut held: Vec<Client> = calls.iter().map(|_| server.client()).collect();
        held.iter_mut().zip(calls).for_each(|(held, call)| held.send(call).unwrap());
        transaction.send(&["EXEC"]).unwrap();
        held.push(transaction);
        until("they wait", SOON, || client.info_number("blocked_clients") == held.len() as u64);
        assert_eq!(client.line("GET k").text(), "v");
        assert!(client.line("CLIENT UNPAUSE").is_ok());
        for client in &mut held {
            assert_eq!(error(&client.read().unwrap()), "", "{shards} shards");
        }
        assert_eq!(client.line("GET k").text(), "w");
    }
}

/// Many clients move between accounts that their scripts find by themselves: no sum ever changes.
#[test]
fn scripts_that_roam_are_atomic() {
    const TRANSFER: &str = "local from, to = 'a:' .. ARGV[1], 'a:' .. ARGV[2]\n\
                            redis.call('DECRBY', from, ARGV[3])\n\
                            redis.call('RPUSH', 'log:' .. ARGV[1], ARGV[3])\n\
                            return redis.call('INCRBY', to, ARGV[3])";
    const SUM: &str = "local sum = 0\n\
                       for number = 0, 19 do\n\
                       sum = sum + (redis.call('GET', 'a:' .. number) or 0) end\n\
                       return sum";
    for shards in SHARDS {
        let mut server = Options::shards(shards).journal("always").start();
        thread::scope(|scope| {
            for number in 0..4_usize {
                let mut client = server.client();
                scope.spawn(move || {
                    for round in 0..100_usize {
                        let (from, to) = ((round * 7 + number) % 20, (round * 3 + number * 5) % 20);
                        let words = [&from.to_string()[..], &to.to_string(), "5"];
                        let said = eval(&mut client, TRANSFER, &[&["0"], &words[..]].concat());
                        assert!(said.number().is_some(), "{said:?}");
                    }
                });
            }
            let mut client = server.client();
            for _ in 0..50 {
                assert_eq!(eval(&mut client, SUM, &["0"]).number(), Some(0), "{shards} shards");
            }
        });
        let digest = |server: &Server| server.client().line("DBSIZE").number();
        let before = digest(&server);
        server.kill();
        server.restart();
        assert_eq!(digest(&server), before);
        assert_eq!(eval(&mut server.client(), SUM, &["0"]).number(), Some(0));
        let lengths = "local sum = 0 for number = 0, 19 do\n\
                       sum = sum + redis.call('LLEN', 'log:' .. number) end return sum";
        assert_eq!(eval(&mut server.client(), lengths, &["0"]).number(), Some(400));
    }
}

#[test]
fn functions_are_kept_in_journals_and_snapshots() {
    for shards in SHARDS {
        let mut server = Options::shards(shards).journal("always").start();
        server.client().call(&["FUNCTION", "LOAD", LIBRARY]);
        assert!(server.client().line("FCALL put 1 k v").is_ok());
        server.kill();
        server.restart();
        assert!(server.client().line("FCALL put 1 k w").is_ok());
        server.client().line("BGREWRITEAOF");
        until("the journal is rewritten", SOON, || {
            server.client().info_number("aof_rewrite_in_progress") == 0
                && server.client().info_number("aof_rewrite_scheduled") == 0
        });
        server.kill();
        server.restart();
        assert!(server.client().line("FCALL put 1 k x").is_ok());
        assert!(server.client().line("FUNCTION DELETE lib").is_ok());
        server.kill();
        server.restart();
        assert_eq!(server.client().line("FUNCTION LIST").printed(), "(empty array)");
    }
}

/// A script that loops is told of as busy, and everything else goes on; its end takes back what it
/// has changed.
#[test]
fn a_script_that_loops_is_killed_and_undone() {
    const LOOP: &str = "redis.call('SET', KEYS[1], 'new') redis.call('DEL', 'b')\n\
                        redis.call('RPUSH', 'l', 'x') while true do end";
    for shards in SHARDS {
        let server = Options::shards(shards).with("busy-reply-threshold 50").start();
        let (mut client, mut looping) = (server.client(), server.client());
        client.line("MSET a old b old other 1");
        client.line("RPUSH l first");
        let idle = error(&client.line("SCRIPT KILL"));
        assert_eq!(idle, "NOTBUSY No scripts in execution right now.");
        looping.send(&["EVAL", LOOP, "1", "a"]).unwrap();
        until("it is slow", SOON, || {
            error(&client.line("GET a")).starts_with("BUSY Troupe is busy running a script.")
        });
        assert_eq!(client.line("GET elsewhere").printed(), "(nil)");
        assert!(client.line("SET elsewhere 1").is_ok());
        for line in ["DBSIZE", "FLUSHALL", "GET b", "MGET elsewhere a", "EVAL 'return 1' 1 l"] {
            let said = client.line(line);
            assert!(error(&said).starts_with("BUSY"), "{shards} shards, {line}: {said:?}");
        }
        assert!(error(&client.line("FUNCTION KILL")).starts_with("NOTBUSY"));
        assert!(client.line("SCRIPT KILL").is_ok());
        let said = looping.read().unwrap();
        assert!(error(&said).contains("killed"), "{said:?}");
        assert_eq!(client.line("MGET a b").printed(), "1) \"old\"\n2) \"old\"");
        assert_eq!(client.line("LRANGE l 0 -1").printed(), "1) \"first\"");
        assert_eq!(client.line("DBSIZE").number(), Some(5));
    }
}

#[test]
fn a_script_ends_by_itself_when_it_may_run_no_longer() {
    for shards in SHARDS {
        let server = Options::shards(shards).with("script-max-run-ms 50").start();
        let mut client = server.client();
        for script in [
            "redis.call('SET', 'a', 1) while true do end",
            "redis.call('SET', 'a', 1) while true do pcall(function() while true do end end) end",
            "redis.call('SET', 'a', 1) while true do redis.call('INCR', 'b') end",
        ] {
            let said = eval(&mut client, script, &["0"]);
            assert!(error(&said).contains("script-max-run-ms"), "{said:?}");
            assert_eq!(client.line("DBSIZE").number(), Some(0), "{script}");
        }
    }
}

#[test]
fn without_undo_a_script_that_has_written_goes_on() {
    let options = Options::shards(2).with("busy-reply-threshold 50").with("script-undo no");
    let server = options.start();
    let (mut client, mut looping) = (server.client(), server.client());
    looping
        .send(&[
            "EVAL",
            "redis.call('SET', KEYS[1], 1) for i = 1, 1e12 do if i % 1e6 == 0 then \
         if redis.call('GET', 'stop') then return 'stopped' end end end",
            "2",
            "a",
            "{a}stop",
        ])
        .unwrap();
    until("it is slow", SOON, || error(&client.line("GET a")).starts_with("BUSY"));
    let kept = error(&client.line("SCRIPT KILL"));
    assert!(kept.starts_with("UNKILLABLE "), "{kept}");
    client.line("CONFIG SET script-undo yes");
    assert!(client.line("SCRIPT KILL").is_ok());
    assert!(looping.read().unwrap().error().is_some());
    assert_eq!(client.line("EXISTS a").number(), Some(0));
}

/// The snapshot at the end does not wait for it.
#[test]
fn the_end_of_the_server_is_that_of_its_scripts() {
    let options = Options::shards(2).with("save 3600 1");
    let mut server = options.start();
    let (mut client, mut looping) = (server.client(), server.client());
    client.line("SET a old");
    let script = "redis.call('SET', KEYS[1], 'new') while true do end";
    looping.send(&["EVAL", script, "1", "a"]).unwrap();
    until("it runs", SOON, || error(&client.line("FUNCTION STATS")).starts_with("BUSY"));
    server.stop();
    server.restart();
    assert_eq!(server.client().line("GET a").text(), "old");
}

/// Two scripts without a common slot run at once: one loops, the other ends.
#[test]
fn a_script_that_loops_holds_up_none_of_other_keys() {
    for shards in SHARDS {
        let server = Options::shards(shards).with("busy-reply-threshold 60000").start();
        let (mut client, mut looping) = (server.client(), server.client());
        looping
            .send(&["EVAL", "redis.call('SET', KEYS[1], 1) while true do end", "1", "a"])
            .unwrap();
        let incr = "return redis.call('INCR', 'other:' .. ARGV[1])";
        for round in 0..200 {
            let said = eval(&mut client, incr, &["0", &(round % 10).to_string()]);
            assert!(said.number().is_some(), "{said:?}");
        }
        client.line("CONFIG SET busy-reply-threshold 1");
        until("it is killed", SOON, || client.line("SCRIPT KILL").is_ok());
        assert!(looping.read().unwrap().error().is_some());
        assert_eq!(client.line("EXISTS a").number(), Some(0));
    }
}

#[test]
fn exec_with_a_script_that_is_killed_keeps_the_rest() {
    for shards in SHARDS {
        let server = Options::shards(shards).with("busy-reply-threshold 50").start();
        let (mut client, mut looping) = (server.client(), server.client());
        for line in ["MULTI", "SET a 1"] {
            looping.line(line);
        }
        eval(&mut looping, "redis.call('SET', 'b', 1) while true do end", &["0"]);
        looping.line("INCR a");
        looping.send(&["EXEC"]).unwrap();
        until("it is killed", SOON, || client.line("SCRIPT KILL").is_ok());
        let said = looping.read().unwrap();
        let [set, killed, incr] = said.members() else { panic!("{said:?}") };
        assert!(set.is_ok() && killed.error().is_some(), "{said:?}");
        assert_eq!(incr.number(), Some(2));
        assert_eq!(client.line("MGET a b").printed(), "1) \"2\"\n2) (nil)");
    }
}

#[test]
fn a_script_may_ask_what_the_server_knows() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let mut client = server.client();
        let script = "redis.call('SET', KEYS[1], 1)\n\
                      local text = redis.call('INFO', 'server')\n\
                      redis.call('INCR', KEYS[1])\n\
                      return string.find(text, 'redis_version') ~= nil";
        assert_eq!(eval(&mut client, script, &["1", "a"]).number(), Some(1));
        assert_eq!(client.line("GET a").text(), "2");
        let time =
            eval(&mut client, "return redis.call('TIME')[1] == redis.call('TIME')[1]", &["0"]);
        assert_eq!(time.number(), Some(1));
    }
}
