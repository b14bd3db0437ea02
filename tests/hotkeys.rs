//! HOTKEYS over all shards: a session in the form of Redis 8.6, windows in that of Valkey 9.2, each
//! under a load by a law of Zipf.

use std::collections::BTreeMap;

use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until, until_some};

/// The numbers of shards that the tests run with.
const SHARDS: [usize; 3] = [1, 2, 4];

/// Keys of the load, and commands of one round of it.
const KEYS: usize = 10_000;
const ROUND: usize = 4_000;

/// Clients that send a part of each round; they are on several threads.
const CLIENTS: usize = 4;

/// A load in rounds. In each the hot keys come just as often as the law says (skew 0.99), at random
/// places; what is left over goes to the others by chance.
struct Load {
    clients: Vec<Client>,
    /// How often each key comes in a round.
    quotas: Vec<usize>,
    random: fastrand::Rng,
}

impl Load {
    fn new(server: &Server) -> Load {
        let weights: Vec<f64> = (1..=KEYS).map(|rank| (rank as f64).powf(-0.99)).collect();
        let sum: f64 = weights.iter().sum();
        let quota = |weight: &f64| (weight / sum * ROUND as f64) as usize;
        let clients = (0..CLIENTS).map(|_| server.client()).collect();
        let random = fastrand::Rng::with_seed(17);
        Load { clients, quotas: weights.iter().map(quota).collect(), random }
    }

    /// The name of the key of a rank, from 0 on.
    fn name(rank: usize) -> String {
        format!("key:{rank:05}")
    }

    fn round(&mut self) {
        let each = |(rank, quota): (usize, &usize)| vec![rank; *quota];
        let mut ranks: Vec<usize> = self.quotas.iter().enumerate().flat_map(each).collect();
        let random = &mut self.random;
        ranks.resize_with(ROUND, || random.usize(200..KEYS));
        random.shuffle(&mut ranks);
        for (client, ranks) in self.clients.iter_mut().zip(ranks.chunks(ROUND / CLIENTS)) {
            let command = |rank: &usize| match rank % 2 {
                0 => vec!["GET".to_owned(), Load::name(*rank)],
                _ => vec!["SET".to_owned(), Load::name(*rank), "v".to_owned()],
            };
            client.pipeline(&ranks.iter().map(command).collect::<Vec<_>>()).unwrap();
        }
    }
}

/// How many of the ten hottest keys are among these.
fn hottest(named: &[String]) -> usize {
    (0..10).filter(|rank| named.contains(&Load::name(*rank))).count()
}

/// The fields of a session, by name.
fn session(client: &mut Client) -> BTreeMap<String, Reply> {
    let reply = client.line("HOTKEYS GET");
    let [one] = reply.members() else { panic!("one map in an array: {reply:?}") };
    match one {
        Reply::Map(pairs) => pairs.iter().map(|(name, of)| (name.text(), of.clone())).collect(),
        flat => flat.members().chunks(2).map(|pair| (pair[0].text(), pair[1].clone())).collect(),
    }
}

fn number(session: &BTreeMap<String, Reply>, field: &str) -> i64 {
    session[field].number().unwrap()
}

/// Keys and what each took.
fn keys(session: &BTreeMap<String, Reply>, field: &str) -> Vec<(String, i64)> {
    let pairs = session[field].members().chunks(2);
    pairs.map(|pair| (pair[0].text(), pair[1].number().unwrap())).collect()
}

fn names(keys: &[(String, i64)]) -> Vec<String> {
    keys.iter().map(|(name, _)| name.clone()).collect()
}

#[test]
fn a_session_names_the_hottest_keys_of_all_shards() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let mut client = server.client();
        let mut load = Load::new(&server);
        assert!(client.line("HOTKEYS START METRICS 2 CPU NET COUNT 20").is_ok());
        (0..8).for_each(|_| load.round());
        assert!(client.line("HOTKEYS STOP").is_ok());
        let found = session(&mut client);
        // The time of a single command is longer by far where its thread has to wait for a core.
        let cpu = names(&keys(&found, "by-cpu-time-us"));
        assert!(hottest(&cpu) >= 9, "{shards} shards: {cpu:?}");
        let net = keys(&found, "by-net-bytes");
        assert!(net.is_sorted_by(|a, b| a.1 >= b.1) && net.len() == 20, "{net:?}");
        assert!(hottest(&names(&net[..10])) >= 9, "{shards} shards: {net:?}");
        assert!(number(&found, "all-commands-all-slots-us") > 0);
        let bytes = number(&found, "net-bytes-all-commands-all-slots");
        assert_eq!(bytes, number(&found, "total-net-bytes"), "each command is a sample");
        assert!(net[0].1 > bytes / 20 && net[0].1 < bytes / 5, "{} of {bytes}", net[0].1);
    }
}

#[test]
fn bytes_are_those_of_all_shards_and_samples_a_share_of_them() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let mut client = server.client();
        let mut others: Vec<Client> = (0..CLIENTS).map(|_| server.client()).collect();
        for sample in [1, 10] {
            let line = format!("HOTKEYS START METRICS 1 NET COUNT 64 SAMPLE {sample}");
            assert!(client.line(&line).is_ok());
            let set = |number| ["SET", &format!("k{number:03}"), "v"].map(String::from).to_vec();
            for other in &mut others {
                other.pipeline(&(0..500).map(set).collect::<Vec<_>>()).unwrap();
            }
            let found = session(&mut client);
            // `*3 $3 SET $4 k000 $1 v` and `+OK`, with their ends of lines.
            let bytes = (500 * CLIENTS * (4 + 9 + 10 + 7 + 5)) as i64;
            assert_eq!(number(&found, "net-bytes-all-commands-all-slots"), bytes);
            assert_eq!(number(&found, "sample-ratio"), sample);
            let sampled = number(&found, "total-net-bytes") * sample;
            assert!((bytes * 7 / 10..=bytes * 13 / 10).contains(&sampled), "{sampled} of {bytes}");
            assert!(client.line("HOTKEYS STOP").is_ok());
        }
    }
}

#[test]
fn a_session_begins_ends_and_is_forgotten() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let (mut client, mut other) = (server.client(), server.client());
        assert_eq!(client.line("HOTKEYS GET"), Reply::Nil);
        assert_eq!(client.line("HOTKEYS STOP"), Reply::Nil);
        assert!(client.line("HOTKEYS RESET").is_ok());
        assert!(client.line("HOTKEYS START METRICS 1 NET").is_ok());
        assert_eq!(
            other.line("HOTKEYS START METRICS 1 CPU").error(),
            Some("ERR hotkey tracking session already in progress")
        );
        assert_eq!(
            other.line("HOTKEYS RESET").error(),
            Some("ERR hotkey tracking session in progress, stop tracking first")
        );
        assert!(other.line("SET a 1").is_ok());
        let found = session(&mut other);
        assert_eq!(number(&found, "tracking-active"), 1);
        assert!(
            !found.contains_key("by-cpu-time-us") && !found.contains_key("total-cpu-time-sys-ms")
        );
        assert_eq!(keys(&found, "by-net-bytes"), [("a".to_owned(), 32)]);
        assert!(other.line("HOTKEYS STOP").is_ok());
        assert_eq!(client.line("HOTKEYS STOP"), Reply::Nil);
        assert!(client.line("SET a 1").is_ok());
        client.line("HELLO 3");
        let over = session(&mut client);
        assert_eq!((number(&over, "tracking-active"), over.len()), (0, 9));
        assert_eq!(keys(&over, "by-net-bytes"), [("a".to_owned(), 32)], "it is over");
        assert!(client.line("HOTKEYS START METRICS 2 CPU NET").is_ok(), "another one");
        let anew = session(&mut client);
        assert_eq!((keys(&anew, "by-net-bytes").len(), anew.len()), (0, 12));
        assert!(client.line("HOTKEYS STOP").is_ok());
        assert!(client.line("HOTKEYS RESET").is_ok());
        assert_eq!(other.line("HOTKEYS GET"), Reply::Nil);
    }
}

#[test]
fn a_session_ends_by_itself_when_its_time_is_over() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let mut client = server.client();
        assert!(client.line("HOTKEYS START METRICS 1 NET DURATION 1").is_ok());
        let over = until_some("the session is over", SOON, || {
            let found = session(&mut client);
            (number(&found, "tracking-active") == 0).then_some(found)
        });
        assert_eq!(number(&over, "collection-duration-ms"), 1_000);
        assert!(client.line("SET a 1").is_ok());
        assert!(keys(&session(&mut client), "by-net-bytes").is_empty());
        assert_eq!(client.line("HOTKEYS STOP"), Reply::Nil);
        assert!(client.line("HOTKEYS START METRICS 1 NET").is_ok());
    }
}

#[test]
fn what_exec_runs_counts_for_its_keys_and_a_session_can_begin_in_it() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let mut client = server.client();
        for line in ["MULTI", "HOTKEYS START METRICS 1 NET", "SET a 1", "MSET b 1 c 1"] {
            client.line(line);
        }
        let done = client.line("EXEC");
        assert!(done.members().iter().all(Reply::is_ok), "{done:?}");
        let script = "return redis.call('SET', 'e', 1)";
        client.call(&["EVAL", script, "1", "d"]);
        let found: Vec<String> = names(&keys(&session(&mut client), "by-net-bytes"));
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["a", "b", "c", "d"]);
        assert_eq!(found[0], "d", "its script is a part of what the client sent");
    }
}

/// Keys of the last window that is over, with how often each was asked for in a second.
fn window(client: &mut Client) -> Vec<(String, i64)> {
    let reply = client.line("HOTKEYS GET");
    let row = |row: &Reply| {
        let parts = row.members();
        let labels = [0, 2, 4].map(|at| parts[at].text());
        assert_eq!(labels, ["key", "db", "qps"]);
        assert_eq!(parts[3].number(), Some(0));
        (parts[1].text(), parts[5].number().unwrap())
    };
    reply.members().iter().map(row).collect()
}

#[test]
fn the_last_window_names_the_hottest_keys_of_all_shards() {
    for shards in SHARDS {
        let server = Options::shards(shards).with("hotkeys-sampling-percentage 100").start();
        let mut client = server.client();
        assert_eq!(client.line("HOTKEYS GET"), Reply::Nil, "it is off by default");
        assert!(client.line("CONFIG SET hotkeys-top-k 10").is_ok());
        assert_eq!(client.line("HOTKEYS GET"), Reply::Array(Vec::new()));
        let mut load = Load::new(&server);
        let found = until_some("a window of some rounds is over", SOON, || {
            load.round();
            let found = window(&mut client);
            // A tenth of the commands is for the hottest key.
            found.first().is_some_and(|(_, rate)| *rate > 2 * ROUND as i64 / 10).then_some(found)
        });
        assert!(found.is_sorted_by(|a, b| a.1 >= b.1) && found.len() == 10, "{found:?}");
        assert!(hottest(&names(&found)) >= 9, "{shards} shards: {found:?}");
        until("the windows are idle", SOON, || window(&mut client).is_empty());
        // A session is told of in its place, and windows again when it is forgotten.
        assert!(client.line("HOTKEYS START METRICS 1 CPU").is_ok());
        assert_eq!(session(&mut client).len(), 10);
        client.line("HOTKEYS STOP");
        assert!(client.line("HOTKEYS RESET").is_ok());
        assert_eq!(client.line("HOTKEYS GET"), Reply::Array(Vec::new()));
        assert!(client.line("CONFIG SET hotkeys-top-k 0").is_ok());
        assert_eq!(client.line("HOTKEYS GET"), Reply::Nil);
    }
}
