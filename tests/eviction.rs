//! The limit of memory, on one shard and on several: what goes, what is refused, and what the
//! journal says of it.

use std::collections::BTreeSet;

use crate::order::slot;
use crate::support::client::{Client, info_field};
use crate::support::seed;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until, until_some};

/// The numbers of shards that most tests run with.
const SHARDS: [usize; 3] = [1, 2, 4];

/// Commands of one pipeline.
const PIPELINE: usize = 100;

/// What may be used beyond the data that is there at first.
const ROOM: u64 = 11 << 20;

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// A figure of INFO.
fn figure(client: &mut Client, name: &str) -> u64 {
    let info = client.line("INFO everything").text();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("INFO has no {name}")).trim().parse().unwrap()
}

/// What counts for the limit.
fn counted(client: &mut Client) -> u64 {
    // Of one moment: what waits for the journal's thread is in both.
    let text = client.line("INFO everything").text();
    let figure = |name| info_field(&text, name).and_then(|value| value.parse::<u64>().ok());
    let used = figure("used_memory").unwrap_or_else(|| panic!("{text}"));
    used.saturating_sub(figure("mem_not_counted_for_evict").unwrap_or_else(|| panic!("{text}")))
}

/// A server with a policy, and a limit with some room.
fn limited(options: Options, policy: &str, room: u64) -> (Server, Client, u64) {
    let server = options.debug().start();
    let mut client = server.client();
    assert!(client.line(&format!("CONFIG SET maxmemory-policy {policy}")).is_ok());
    let limit = counted(&mut client) + room;
    assert!(client.line(&format!("CONFIG SET maxmemory {limit}")).is_ok());
    (server, client, limit)
}

/// Sets keys of this name to values of up to so many bytes, with these words behind. Returns how
/// many were refused.
fn flood(
    client: &mut Client,
    name: &str,
    keys: std::ops::Range<usize>,
    most: usize,
    words: &str,
) -> usize {
    let mut random = fastrand::Rng::with_seed(keys.start as u64);
    let value = "v".repeat(most);
    let mut refused = 0;
    for start in keys.clone().step_by(PIPELINE) {
        let commands: Vec<Vec<String>> = (start..keys.end.min(start + PIPELINE))
            .map(|number| {
                let value = &value[..random.usize(1..=most)];
                let words = words.split_whitespace().map(String::from);
                ["SET", &format!("{name}:{number}"), value]
                    .map(String::from)
                    .into_iter()
                    .chain(words)
                    .collect()
            })
            .collect();
        for reply in client.pipeline(&commands).unwrap() {
            match reply.error() {
                None => assert!(reply.is_ok()),
                Some(error) => {
                    assert_eq!(error, OOM);
                    refused += 1;
                }
            }
        }
    }
    refused
}

/// How many keys of this name are there, of so many.
fn there(client: &mut Client, name: &str, count: usize) -> usize {
    let names: Vec<String> = (0..count).map(|number| format!("{name}:{number}")).collect();
    let exists = |names: &[String]| {
        let words: Vec<&str> =
            ["EXISTS"].into_iter().chain(names.iter().map(String::as_str)).collect();
        client.call(&words).number().unwrap() as usize
    };
    names.chunks(1_000).map(exists).sum()
}

/// The names of all keys.
fn names(client: &mut Client) -> BTreeSet<String> {
    client.line("KEYS *").members().iter().map(|name| name.text()).collect()
}

#[test]
fn a_flood_stays_within_the_limit_by_every_policy() {
    for shards in SHARDS {
        for policy in ["lru", "lfu", "lrm", "random"]
            .into_iter()
            .flat_map(|by| [format!("allkeys-{by}"), format!("volatile-{by}")])
            .chain(["volatile-ttl".to_owned()])
        {
            let (_server, mut client, limit) = limited(Options::shards(shards), &policy, ROOM);
            for start in (0..20_000).step_by(2_000) {
                assert_eq!(flood(&mut client, "k", start..start + 2_000, 2_000, "EX 9999"), 0);
                let used = counted(&mut client);
                assert!(used <= limit + limit / 50, "{policy}, {shards} shards: {used} > {limit}");
            }
            // Some may go between the one look and the other.
            until("each key is there or was evicted", SOON, || {
                let evicted = figure(&mut client, "evicted_keys") as i64;
                let keys = client.line("DBSIZE").number().unwrap();
                evicted > 5_000 && keys > 5_000 && evicted + keys == 20_000
            });
        }
    }
}

/// Waits until the access clock, which counts seconds, shows another time.
fn wait_a_second(client: &mut Client) {
    let second = |client: &mut Client| client.line("TIME").members()[0].text();
    let now = second(client);
    until("it is later", SOON, || second(client) != now);
}

#[test]
fn what_is_used_stays_and_what_is_not_goes() {
    for shards in SHARDS {
        for policy in ["allkeys-lru", "allkeys-lfu", "volatile-lru"] {
            let (_server, mut client, _) = limited(Options::shards(shards), policy, ROOM);
            flood(&mut client, "hot", 0..1_000, 1_000, "EX 9999");
            for start in (0..40_000).step_by(8_000) {
                wait_a_second(&mut client);
                let reads = (0..1_000).map(|number| vec!["GET".into(), format!("hot:{number}")]);
                let reads: Vec<Vec<String>> = reads.collect();
                (0..10).for_each(|_| drop(client.pipeline(&reads).unwrap()));
                flood(&mut client, "cold", start..start + 8_000, 1_000, "EX 9999");
            }
            let hot = there(&mut client, "hot", 1_000);
            assert!(
                hot > 600,
                "{policy}, {shards} shards: {hot} of those that were used are there"
            );
        }
    }
}

#[test]
fn keys_without_a_deadline_stay_and_then_writes_are_refused() {
    for shards in SHARDS {
        for policy in ["volatile-lru", "volatile-ttl", "volatile-random", "noeviction"] {
            let (_server, mut client, limit) = limited(Options::shards(shards), policy, ROOM);
            flood(&mut client, "goes", 0..2_000, 1_000, "EX 9999");
            let refused = flood(&mut client, "stays", 0..40_000, 1_000, "");
            assert!(refused > 1_000, "{policy}, {shards} shards: {refused} refused");
            let expected = if policy == "noeviction" { 2_000 } else { 0 };
            assert_eq!(there(&mut client, "goes", 2_000), expected, "{policy}, {shards} shards");
            assert_eq!(there(&mut client, "stays", 40_000), 40_000 - refused, "{policy}");
            assert!(counted(&mut client) <= limit + limit / 50);
            assert!(figure(&mut client, "current_eviction_exceeded_time") > 0);
            let errors = client.line("INFO errorstats").text();
            assert!(errors.contains(&format!("errorstat_OOM:count={refused}")), "{errors}");
            assert!(client.line("FLUSHALL").is_ok());
            until("there is room again", SOON, || client.line("SET k v").is_ok());
        }
    }
}

/// All writes go to the keys of one shard, which has few; others have room.
#[test]
fn a_shard_that_is_written_to_gets_the_room_of_others() {
    for shards in [2, 4] {
        let (_server, mut client, limit) = limited(Options::shards(shards), "allkeys-lru", ROOM);
        flood(&mut client, "old", 0..30_000, 1_000, "");
        let tags: Vec<String> = (0..1_000).map(|number| format!("t{number}")).collect();
        let is_first = |tag: &&String| usize::from(slot(tag)) < 16_384 / shards;
        let tags: Vec<&String> = tags.iter().filter(is_first).take(20).collect();
        // What is old is older than the second in which the access clock counts.
        (0..3).for_each(|_| wait_a_second(&mut client));
        for start in (0..10_000).step_by(500) {
            for tag in &tags {
                let name = format!("{{{tag}}}");
                assert_eq!(flood(&mut client, &name, start..start + 25, 1_000, ""), 0);
            }
        }
        let new =
            client.line("DBSIZE").number().unwrap() as usize - there(&mut client, "old", 30_000);
        let bytes = new * 500;
        assert!(
            bytes as u64 > ROOM / shards as u64 * 3 / 2 || new > 9_000,
            "{shards} shards: {new} new keys"
        );
        assert!(counted(&mut client) <= limit + limit / 50);
    }
}

#[test]
fn a_limit_that_is_lowered_is_kept_without_a_command() {
    for shards in SHARDS {
        let (_server, mut client, _) = limited(Options::shards(shards), "allkeys-lru", 4 * ROOM);
        flood(&mut client, "k", 0..20_000, 2_000, "");
        let lower = counted(&mut client) - ROOM;
        assert!(client.line(&format!("CONFIG SET maxmemory {lower}")).is_ok());
        let evicted = until_some("some keys go", SOON, || {
            let evicted = figure(&mut client, "evicted_keys");
            (counted(&mut client) <= lower + lower / 100).then_some(evicted)
        });
        assert!(evicted > 2_000, "{evicted} have gone");
        assert!(client.line("CONFIG SET maxmemory 1").is_ok());
        until("all keys have gone", SOON, || client.line("DBSIZE").number().unwrap() == 0);
    }
}

#[test]
fn a_transaction_runs_as_a_whole_or_not_at_all() {
    for shards in SHARDS {
        let (_server, mut client, limit) = limited(Options::shards(shards), "noeviction", ROOM);
        let mut other = client_of(&_server);
        let limit_to = |other: &mut Client, limit: u64| {
            assert!(other.line(&format!("CONFIG SET maxmemory {limit}")).is_ok());
        };
        for line in ["MULTI", "SET a 1", "SET b 1", "GET a"] {
            client.line(line);
        }
        limit_to(&mut other, 1);
        let aborted = "EXECABORT Transaction discarded because of: ";
        assert_eq!(client.line("EXEC").error(), Some(format!("{aborted}{OOM}").as_str()));
        limit_to(&mut other, limit);
        for line in ["MULTI", "GET a", "GET b"] {
            client.line(line);
        }
        limit_to(&mut other, 1);
        assert_eq!(client.line("EXEC").members().len(), 2, "reads need no room");
        client.line("MULTI");
        assert_eq!(client.line("SET a 1").error(), Some(OOM));
        let aborted = "EXECABORT Transaction discarded because of previous errors.";
        assert_eq!(client.line("EXEC").error(), Some(aborted));
        assert_eq!(client.line("EXISTS a b").number().unwrap(), 0);
    }
}

fn client_of(server: &Server) -> Client {
    server.client()
}

#[test]
fn what_has_gone_is_gone_after_a_restart() {
    for shards in SHARDS {
        let options = Options::shards(shards).journal("everysec");
        let (mut server, mut client, _) = limited(options, "allkeys-lru", ROOM / 2);
        let mut random = fastrand::Rng::with_seed(seed("journal"));
        for start in (0..15_000).step_by(500) {
            flood(&mut client, "k", start..start + 500, 1_000, "");
            for _ in 0..20 {
                let number = random.usize(0..start + 500);
                client.line(&format!("RPUSH l:{number} a b c"));
                client.line(&format!("HSET h:{number} f v"));
                client.line("MULTI");
                client.line(&format!("SET k:{number} again"));
                client.line(&format!("INCR n:{number}"));
                client.line("EXEC");
            }
        }
        assert!(figure(&mut client, "evicted_keys") > 1_000);
        // Without a limit nothing goes from here on.
        assert!(client.line("CONFIG SET maxmemory 0").is_ok());
        let (before, keys) = (client.line("DEBUG DIGEST").text(), names(&mut client));
        server.stop();
        server.restart();
        let mut client = server.client();
        assert_eq!(names(&mut client).symmetric_difference(&keys).count(), 0, "{shards} shards");
        assert_eq!(client.line("DEBUG DIGEST").text(), before, "{shards} shards");
    }
}

#[test]
fn who_listens_hears_of_what_goes() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let (mut client, mut listener) = (server.client(), server.client());
        assert!(client.line("CONFIG SET notify-keyspace-events Ee").is_ok());
        listener.line("SUBSCRIBE __keyevent@0__:evicted");
        let keys: BTreeSet<String> = (0..20).map(|number| format!("k{number}")).collect();
        for key in &keys {
            client.line(&format!("SET {key} v"));
        }
        client.line("CONFIG SET maxmemory-policy allkeys-random");
        client.line("CONFIG SET maxmemory 1");
        let heard = (0..20).map(|_| listener.read().unwrap().members()[2].text());
        assert_eq!(heard.collect::<BTreeSet<_>>(), keys, "{shards} shards");
    }
}

/// What clients have sent, and what they have not read, counts as well.
#[test]
fn buffers_of_clients_push_keys_out() {
    for shards in SHARDS {
        let (server, mut client, _) = limited(Options::shards(shards), "allkeys-lru", ROOM);
        flood(&mut client, "k", 0..4_000, 2_000, "");
        let evicted = figure(&mut client, "evicted_keys");
        let value = "v".repeat(100_000);
        client.line(&format!("SET large {value}"));
        let mut readers: Vec<Client> = (0..20).map(|_| server.client()).collect();
        let words = ["MGET"].into_iter().chain(std::iter::repeat_n("large", 50));
        let request = words.collect::<Vec<_>>();
        until("keys go for replies that nobody reads", SOON, || {
            readers.iter_mut().for_each(|reader| reader.send(&request).unwrap());
            figure(&mut client, "evicted_keys") > evicted + 100
        });
        drop(readers);
        let evicted = figure(&mut client, "evicted_keys");
        flood(&mut client, "again", 0..6_000, 2_000, "");
        let mut senders: Vec<Client> = (0..40).map(|_| server.client()).collect();
        let part = format!("*250\r\n{}", format!("$1000\r\n{}\r\n", "v".repeat(1_000)).repeat(249));
        senders.iter_mut().for_each(|sender| sender.send_raw(part.as_bytes()).unwrap());
        until("keys go for requests that never end", SOON, || {
            figure(&mut client, "evicted_keys") > evicted + 100
        });
    }
}

/// Names that BLESS SCAN gives, over all its calls.
fn blessed(client: &mut Client) -> BTreeSet<String> {
    let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
    loop {
        let reply = client.line(&format!("BLESS SCAN {cursor} NO-EVICT COUNT 100"));
        cursor = reply.members()[0].text();
        found.extend(reply.members()[1].members().iter().map(|name| name.text()));
        if cursor == "0" {
            return found;
        }
    }
}

#[test]
fn blessed_keys_outlive_a_flood_and_a_restart() {
    for shards in SHARDS {
        for preamble in ["yes", "no"] {
            let options = Options::shards(shards)
                .journal("everysec")
                .with(&format!("aof-use-rdb-preamble {preamble}"));
            let (mut server, mut client, limit) = limited(options, "allkeys-lru", ROOM);
            flood(&mut client, "stays", 0..1_000, 1_000, "");
            for number in 0..1_000 {
                let line = format!("BLESS SET stays:{number} NO-EVICT");
                assert_eq!(client.line(&line).number(), Some(1));
            }
            // Some are written to the base, the others stand behind it.
            assert!(client.line("BGREWRITEAOF").error().is_none());
            assert_eq!(flood(&mut client, "goes", 0..20_000, 2_000, ""), 0);
            assert!(client.line("RENAME stays:0 moved").is_ok());
            assert!(client.line("SET stays:1 again").is_ok());
            assert_eq!(client.line("BLESS CLEAR stays:2 NO-EVICT").number(), Some(1));
            let expected: BTreeSet<String> = (1..1_000)
                .filter(|number| *number != 2)
                .map(|number| format!("stays:{number}"))
                .chain(["moved".to_owned()])
                .collect();
            assert_eq!(blessed(&mut client), expected);
            assert_eq!(figure(&mut client, "blessed_keys"), 999);
            assert!(figure(&mut client, "evicted_keys") > 5_000);
            assert!(counted(&mut client) <= limit + limit / 50);
            server.stop();
            server.restart();
            let mut client = server.client();
            assert_eq!(blessed(&mut client), expected, "{shards} shards");
            assert!(client.line("DEBUG RELOAD").is_ok());
            assert_eq!(blessed(&mut client), expected, "{shards} shards");
        }
    }
}

/// Where nothing but blessed keys would have to go, a quarter more than the limit is taken.
#[test]
fn a_quarter_more_is_taken_for_blessed_keys() {
    // A fiftieth of them is more than what a thread may use unseen on a busy machine (1 MiB).
    const KEYS: usize = 6_000;
    for shards in SHARDS {
        let (_server, mut client, _) = limited(Options::shards(shards), "allkeys-lru", 8 * ROOM);
        let value = "v".repeat(10_000);
        for number in 0..KEYS {
            let name = format!("k:{number}");
            assert!(client.call(&["SET", &name, &value]).is_ok());
            assert_eq!(client.call(&["BLESS", "SET", &name, "NO-EVICT"]).number(), Some(1));
        }
        let limit = counted(&mut client);
        assert!(client.line(&format!("CONFIG SET maxmemory {limit}")).is_ok());
        let refused = (0..KEYS).find_map(|number| {
            let reply = client.call(&["APPEND", &format!("k:{number}"), &value]);
            reply.error().map(str::to_owned)
        });
        assert_eq!(refused.as_deref(), Some(OOM), "{shards} shards");
        let used = counted(&mut client);
        let (least, most) = (limit + limit / 5, limit + limit / 4 + limit / 50);
        assert!(used > least && used < most, "{used} of {limit}, {shards} shards");
        assert_eq!(there(&mut client, "k", KEYS), KEYS);
        assert_eq!(client.line("BLESS SET k:0 NO-EVICT").error(), Some(OOM));
        assert_eq!(client.line("BLESS CLEAR k:0 NO-EVICT").number(), Some(1));
    }
}
