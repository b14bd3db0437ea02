//! Client-side caching over all shards: who is told of a change, and ahead of what.

use crate::order::slot;
use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

/// The numbers of shards that most tests run with.
const SHARDS: [usize; 3] = [1, 2, 4];

/// A client that has cached keys, and what it was told of them.
struct Cache {
    client: Client,
    told: Vec<String>,
}

impl Cache {
    /// A client that speaks version 3 of the protocol and has said CLIENT TRACKING with these
    /// words.
    fn new(server: &Server, words: &str) -> Cache {
        let mut cache = Cache { client: server.client(), told: Vec::new() };
        cache.ask("HELLO 3");
        assert_eq!(cache.ask(&format!("CLIENT TRACKING on {words}")).text(), "OK");
        cache
    }

    /// A client of each thread, and more.
    fn several(server: &Server, words: &str) -> Vec<Cache> {
        (0..6).map(|_| Cache::new(server, words)).collect()
    }

    /// Sends a command. The reply to it; what comes ahead of that is noted.
    fn ask(&mut self, line: &str) -> Reply {
        self.client.send(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
        self.reply()
    }

    /// The next reply; what comes ahead of it is noted.
    fn reply(&mut self) -> Reply {
        loop {
            match self.client.read().unwrap() {
                push @ Reply::Push(_) => self.told.extend(keys_of(&push)),
                reply => return reply,
            }
        }
    }

    /// What it was told ahead of the reply to a command that it sends now, and before.
    fn told(&mut self) -> Vec<String> {
        assert_eq!(self.ask("PING").text(), "PONG");
        std::mem::take(&mut self.told)
    }
}

/// The keys of a message; `*` for all.
fn keys_of(push: &Reply) -> Vec<String> {
    let parts = push.members();
    assert_eq!(parts[0].text(), "invalidate", "{push:?}");
    match &parts[1] {
        Reply::Nil => vec!["*".to_owned()],
        keys => keys.members().iter().map(Reply::text).collect(),
    }
}

#[test]
fn what_a_script_reads_is_noted_and_not_what_it_declares() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let (mut reader, mut writer) = (Cache::new(&server, ""), server.client());
        for (command, body, read) in [
            ("EVAL", "redis.call('SET','c',1)", ""),
            ("EVAL", "redis.call('GET','c')", "c"),
            ("EVAL_RO", "redis.call('PING')", ""),
            ("EVAL_RO", "redis.call('GET',KEYS[1])", "a"),
        ] {
            assert_eq!(reader.ask(&format!("{command} {body} 2 a b")), Reply::Nil);
            assert!(writer.line("MSET a 1 b 1 c 1").is_ok());
            assert_eq!(reader.told().join(" "), read, "{command} {body}, {shards} shards");
        }
    }
}

#[test]
fn whoever_has_read_a_key_is_told_ahead_of_its_next_reply() {
    for (shards, journal) in [(1, None), (2, None), (4, None), (4, Some("always"))] {
        let options = Options::shards(shards);
        let server = journal.map_or(options.clone(), |fsync| options.journal(fsync)).start();
        let (mut readers, mut writer) = (Cache::several(&server, ""), server.client());
        for round in 0..60 {
            let (key, other) = (format!("k{round}"), format!("other{round}"));
            for reader in &mut readers {
                reader.ask(&format!("MGET {key} {other}"));
                reader.ask(&format!("EXISTS {key}"));
            }
            let write = match round % 4 {
                0 => format!("SET {key} 1"),
                1 => format!("MSET {key} 1 unread 2"),
                2 => format!("RPUSH {key} 1"),
                _ => format!("HSET {key} f v"),
            };
            writer.line(&write);
            for reader in &mut readers {
                assert_eq!(reader.told(), [&key[..]], "{write}, {shards} shards");
            }
            // Nobody has read it since.
            writer.line(&format!("DEL {key}"));
            readers.iter_mut().for_each(|reader| assert_eq!(reader.told(), [""; 0]));
        }
        assert_eq!(writer.info_number("tracking_clients"), 6);
        assert_eq!(writer.info_number("tracking_total_keys"), 60);
        assert_eq!(writer.info_number("tracking_total_items"), 360);
        drop(readers);
        until("who has gone is not counted", SOON, || writer.info_number("tracking_clients") == 0);
    }
}

#[test]
fn what_time_and_a_client_itself_change_is_told_behind_the_reply() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let (mut client, mut other) = (Cache::new(&server, ""), Cache::new(&server, "NOLOOP"));
        let mut asker = server.client();
        for client in [&mut client, &mut other] {
            client.ask("SET a 1 PX 50");
            client.ask("MGET a b c");
        }
        // The first client was told that the second has set the key.
        assert_eq!(client.told(), ["a"]);
        client.ask("GET a");
        let mut heard = Vec::new();
        until("the key expires", SOON, || {
            heard.extend(other.told());
            !heard.is_empty()
        });
        assert_eq!((heard, client.told()), (vec!["a".to_owned()], vec!["a".to_owned()]));
        for client in [&mut client, &mut other] {
            client.ask("GET b");
            client.ask("MULTI");
            client.ask("SET b 1");
            client.ask("GET b");
            assert_eq!(client.ask("EXEC").members().len(), 2);
        }
        assert_eq!(client.told(), ["b", "b"], "by itself, then by the other");
        assert_eq!(other.told(), ["b"], "by the first client only");
        // Told of what it was served with, behind that.
        client.ask("LRANGE list 0 -1");
        client.client.send(&["BLMOVE", "source", "list", "LEFT", "LEFT", "0"]).unwrap();
        until("it waits", SOON, || asker.info_number("blocked_clients") == 1);
        other.ask("RPUSH source item");
        assert_eq!(client.reply().text(), "item");
        assert_eq!(client.told, [""; 0], "not yet");
        assert_eq!(client.told(), ["list"], "{shards} shards");
    }
}

#[test]
fn everything_is_told_to_all_when_everything_goes() {
    for shards in SHARDS {
        let server = Options::shards(shards).journal("everysec").debug().start();
        let (mut readers, mut writer) = (Cache::several(&server, ""), server.client());
        readers.extend(Cache::several(&server, "BCAST PREFIX k"));
        for ends in ["FLUSHALL", "FLUSHDB ASYNC", "SWAPDB 0 1", "DEBUG PANIC-SHARD 0"] {
            readers.iter_mut().for_each(|reader| drop(reader.ask("GET k")));
            writer.line(ends);
            until("the shard serves again", SOON, || writer.line("DBSIZE").error().is_none());
            for reader in &mut readers {
                assert_eq!(reader.told(), ["*"], "{ends}, {shards} shards");
            }
            // A shard that was rebuilt has forgotten its own.
            let left = u64::from(ends.starts_with("DEBUG"));
            assert!(writer.info_number("tracking_total_keys") <= left, "{ends}");
        }
    }
}

#[test]
fn a_key_is_told_of_wherever_its_slot_has_gone() {
    for shards in [2, 4] {
        let server = Options::shards(shards).debug().start();
        let (mut readers, mut writer) = (Cache::several(&server, ""), server.client());
        let keys: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
        for round in 0..2 * shards {
            for reader in &mut readers {
                keys.iter().for_each(|key| drop(reader.ask(&format!("GET {key}"))));
            }
            for key in &keys {
                let slot = slot(key);
                let to = round % shards;
                assert!(writer.line(&format!("DEBUG MOVE-SLOT {slot} {to}")).is_ok());
            }
            keys.iter().for_each(|key| drop(writer.line(&format!("SET {key} {round}"))));
            for reader in &mut readers {
                let mut heard = reader.told();
                heard.sort();
                let mut expected = keys.clone();
                expected.sort();
                assert_eq!(heard, expected, "{shards} shards");
            }
        }
    }
}

#[test]
fn prefixes_are_told_of_from_the_reply_on_and_no_longer_than_to_their_end() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let mut writer = server.client();
        let mut listeners = Cache::several(&server, "BCAST PREFIX a: PREFIX b:");
        let mut own = Cache::new(&server, "BCAST PREFIX a: NOLOOP");
        writer.line("MSET a:1 1 b:1 1 c:1 1 a:2 1");
        assert!(own.ask("SET a:3 1").is_ok());
        for listener in &mut listeners {
            assert_eq!(listener.told(), ["a:1", "a:2", "b:1", "a:3"], "{shards} shards");
        }
        assert_eq!(own.told(), ["a:1", "a:2"]);
        assert_eq!(writer.info_number("tracking_total_prefixes"), 2);
        for listener in &mut listeners {
            assert_eq!(listener.ask("CLIENT TRACKING off").text(), "OK");
        }
        writer.line("SET a:1 2");
        listeners.iter_mut().for_each(|listener| assert_eq!(listener.told(), [""; 0]));
        drop(own);
        until("who has gone is told of nothing", SOON, || {
            writer.info_number("tracking_total_prefixes") == 0
        });
    }
}

#[test]
fn who_is_named_is_told_in_the_place_of_another_until_it_goes() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let mut writer = server.client();
        let mut named: Vec<Client> = (0..4).map(|_| server.client()).collect();
        for named in &mut named {
            let id = named.line("CLIENT ID").number().unwrap();
            named.line("SUBSCRIBE __redis__:invalidate");
            let mut old = server.client();
            let mut new = Cache::new(&server, &format!("BCAST PREFIX p REDIRECT {id}"));
            old.line(&format!("CLIENT TRACKING on REDIRECT {id}"));
            old.line("GET k");
            assert_eq!(old.line("CLIENT GETREDIR").number(), Some(id));
            for key in ["k", "p"] {
                writer.line(&format!("SET {key} 1"));
                let message = named.read().unwrap();
                let parts = message.members();
                assert_eq!(parts[1].text(), "__redis__:invalidate");
                assert_eq!(parts[2].members()[0].text(), key);
            }
            writer.line(&format!("CLIENT KILL ID {id}"));
            until("it has gone", SOON, || {
                writer.line(&format!("CLIENT LIST ID {id}")).text().is_empty()
            });
            writer.line("SET p 2");
            let broken = new.client.read().unwrap();
            assert_eq!(broken.members()[0].text(), "tracking-redir-broken");
            assert_eq!(broken.members()[1].number(), Some(id));
            let row = new.ask("CLIENT INFO").text();
            assert!(row.contains(" flags=tRB ") && row.contains(&format!(" redir={id} ")), "{row}");
        }
    }
}

#[test]
fn who_is_named_by_many_is_told_ahead_of_its_next_reply() {
    for (shards, journal) in [(1, None), (2, None), (4, None), (4, Some("always"))] {
        let options = Options::shards(shards);
        let server = journal.map_or(options.clone(), |fsync| options.journal(fsync)).start();
        let mut writer = server.client();
        let mut named = Cache { client: server.client(), told: Vec::new() };
        named.ask("HELLO 3");
        let id = named.ask("CLIENT ID").number().unwrap();
        let mut readers = Cache::several(&server, &format!("REDIRECT {id}"));
        let _listeners: Vec<Cache> = (0..6)
            .map(|at| Cache::new(&server, &format!("BCAST PREFIX p{at} REDIRECT {id}")))
            .collect();
        for round in 0..100 {
            let mut keys = Vec::new();
            for (at, reader) in readers.iter_mut().enumerate() {
                keys.extend([format!("k{at}:{round}"), format!("p{at}:{round}")]);
                reader.client.line(&format!("GET k{at}:{round}"));
            }
            for key in &keys {
                writer.line(&format!("SET {key} 1"));
                assert_eq!(named.told(), [&key[..]], "{shards} shards, round {round}");
            }
        }
    }
}

#[test]
fn no_more_keys_are_remembered_than_there_is_room_for() {
    for shards in SHARDS {
        let server = Options::shards(shards).with("tracking-table-max-keys 100").start();
        let (mut reader, mut asker) = (Cache::new(&server, ""), server.client());
        let mut heard = 0;
        for number in 0..1_000 {
            reader.ask(&format!("GET k{number}"));
            heard += reader.told().len();
        }
        until("the rest are told of", SOON, || {
            heard += reader.told().len();
            asker.info_number("tracking_total_keys") <= 100
        });
        let left = usize::try_from(asker.info_number("tracking_total_keys")).unwrap();
        assert_eq!(heard + reader.told().len() + left, 1_000, "{shards} shards");
    }
}

#[test]
fn a_cache_that_heeds_what_it_is_told_is_never_older_than_a_reply() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let (mut reader, mut writer) = (Cache::new(&server, ""), server.client());
        let mut cached = [None; 10];
        let forget = |cached: &mut [Option<i64>; 10], told: Vec<String>| {
            told.iter().for_each(|key| cached[key[1..].parse::<usize>().unwrap()] = None);
        };
        for round in 1..=400_i64 {
            let key = (round * 7 % 10) as usize;
            // On the way while the other one writes.
            reader.client.send(&["GET", &format!("k{key}")]).unwrap();
            writer.line(&format!("SET k{} {round}", round * 3 % 10));
            let value = reader.reply().number().unwrap_or(0);
            forget(&mut cached, std::mem::take(&mut reader.told));
            cached[key] = Some(value);
            forget(&mut cached, reader.told());
            for (key, value) in (0..).zip(cached) {
                let Some(value) = value else { continue };
                let now = writer.line(&format!("GET k{key}")).number().unwrap_or(0);
                assert_eq!(value, now, "k{key} in round {round}, {shards} shards");
            }
        }
    }
}
