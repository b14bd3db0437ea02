//! What tests of replication share: loads of every kind, and waits for replicas.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::client::{Client, info_field};
use super::reply::Reply;
use super::samples::{self, Words};
use super::server::{Options, Server};
use super::wait::{SOON, StopAtEnd, until};

/// How long a sync may take on a machine that is busy.
pub const LATER: Duration = Duration::from_secs(60);

/// How long one with very many keys may take.
pub const MUCH_LATER: Duration = Duration::from_secs(900);

/// Keeps what is written while a link is cut, however slow the machine is.
pub fn patient(options: Options) -> Options {
    let options = options.debug().with("repl-backlog-size 256mb").with("repl-timeout 600");
    options.with("repl-diskless-sync-delay 0").with("client-output-buffer-limit replica 0 0 0")
}

/// Writes to two keys. It is one word.
const SCRIPT: &str =
    "return{redis.call('SET',KEYS[1],ARGV[1]),redis.call('RPUSH',KEYS[2],ARGV[1])}";

/// What somebody writes next: keys of every type, over slots and databases.
fn any_write(rng: &mut Rng) -> String {
    let mut key = |kind: &str| format!("{kind}{}", rng.u32(..100));
    let (s, t, h, l, z, x) = (key("s"), key("s"), key("h"), key("l"), key("z"), key("x"));
    let number = rng.u32(1..2_000);
    match rng.u32(..23) {
        0 => format!("SET {s} {number}"),
        1 => format!("SET {s} {number} PX {number}"),
        2 => format!("HSET {h} f{} {number}", number % 20),
        3 => format!("LPUSH {l} {number}"),
        4 => format!("RPOP {l}"),
        5 => format!("SADD set{s} {number}"),
        6 => format!("SPOP set{s}"),
        7 => format!("ZADD {z} {number} m{}", number % 50),
        8 => format!("XADD {x} * f {number}"),
        9 => format!("XGROUP CREATE {x} g 0"),
        10 => format!("XREADGROUP GROUP g c COUNT 2 STREAMS {x} >"),
        11 => format!("RENAME {s} {t}"),
        12 => format!("COPY {s} {t} REPLACE"),
        13 => format!("MSET {s} {number} {t} {number}"),
        14 => format!("DEL {s} {h} {l}"),
        15 => format!("PEXPIRE {h} {number}"),
        16 => format!("SELECT {}", number % 3),
        17 => format!("PUBLISH channel {number}"),
        18 => format!("SUNIONSTORE set{s} set{s} set{t}"),
        19 if number.is_multiple_of(100) => "FLUSHDB".to_owned(),
        20 => format!("GETEX {s} PX {number}"),
        21 => format!("EVAL {SCRIPT} 2 {s} {l} {number}"),
        _ => format!("APPEND {s} {number}"),
    }
}

/// Writes until it is told to stop, and some thousand commands at least, some of it in
/// transactions.
fn write(port: u16, mut rng: Rng, stop: &AtomicBool, is_paced: bool) {
    let mut client = Client::connect(port).unwrap();
    let mut count = 0;
    while count < 3_000 || !stop.load(Ordering::Relaxed) {
        let mut lines: Vec<String> = (0..20).map(|_| any_write(&mut rng)).collect();
        if rng.bool() {
            lines.insert(0, "MULTI".to_owned());
            lines.push("EXEC".to_owned());
        }
        let words = |line: &String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let commands: Vec<_> = lines.iter().map(words).collect();
        count += client.pipeline(&commands).unwrap().len();
        if is_paced {
            // Not for long: there may be no replica now.
            client.line("WAIT 1 20");
        }
    }
}

/// Runs `work` while clients write. Afterwards nothing expires any more by itself.
pub fn under_writes<R>(primary: &Server, seed: u64, work: impl FnOnce() -> R) -> R {
    under(primary, seed, false, work)
}

/// The same while clients write no faster than a replica follows.
pub fn under_paced_writes<R>(primary: &Server, seed: u64, work: impl FnOnce() -> R) -> R {
    under(primary, seed, true, work)
}

fn under<R>(primary: &Server, seed: u64, is_paced: bool, work: impl FnOnce() -> R) -> R {
    let stop = AtomicBool::new(false);
    let mut rng = Rng::with_seed(seed);
    let done = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|_| {
                let (rng, stop) = (rng.fork(), &stop);
                scope.spawn(move || write(primary.port, rng, stop, is_paced))
            })
            .collect();
        let stops = StopAtEnd(&stop);
        let done = work();
        drop(stops);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done
    });
    let mut client = primary.client();
    // The last that a writer did may have been to flush the database; a shard may be rebuilt still.
    until("a key is set", SOON, || client.line("SET left 1").is_ok());
    until("all deadlines have passed", SOON, || {
        let text = client.line("INFO keyspace").text();
        text.lines().filter(|line| line.starts_with("db")).all(|line| line.contains("expires=0"))
    });
    done
}

/// Waits until a replica holds what the primary holds.
pub fn wait_equal(primary: &Server, replica: &Server) {
    let (mut one, mut other) = (primary.client(), replica.client());
    until("the replica is equal", LATER, || one.line("DEBUG DIGEST") == other.line("DEBUG DIGEST"));
    let keys = one.info("db0");
    assert!(keys.contains("keys="), "there is something to compare");
    assert_eq!(
        keys.split(',').next().unwrap(),
        other.info("db0").split(',').next().unwrap(),
        "as many keys"
    );
}

/// Waits until a replica has loaded what it was sent, and follows.
pub fn wait_up(replica: &Server) {
    let mut client = replica.client();
    until("its link is up", LATER, || client.info("master_link_status") == "up");
}

pub fn wait_online(primary: &Server, replicas: u64) {
    let mut client = primary.client();
    until("the replicas are online", LATER, || {
        let text = client.line("INFO replication").text();
        text.matches("state=online").count() as u64 == replicas
    });
}

/// A load on a server that may be cut, killed and started again. It is no faster than a replica
/// follows.
///
/// Written to are the keys of [`samples::fill`], and others in [`Load::DATABASES`], which are
/// flushed now and then.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub seed: u64,
    /// So many keys were filled.
    pub keys: u64,
    /// How a database is flushed.
    pub flush: &'static str,
}

impl Load {
    /// The databases with keys of its own, of which some expire soon.
    const DATABASES: [usize; 3] = [4, 5, 6];

    /// The library that it calls, if it is there.
    pub const LIBRARY: &str = "#!lua name=load\n\
        redis.register_function('put', function(keys, args)\n\
          redis.call('SET', keys[1], args[1])\n\
          return redis.call('RPUSH', keys[2], args[1])\n\
        end)\n\
        redis.register_function{function_name='known', flags={'no-writes'},\n\
          callback=function() return 'known' end}";

    /// Commands that each of its writers has carried out at least.
    const LEAST: usize = 200;

    /// Runs `work` while clients write to the server on this port. Says how many of their commands
    /// were carried out. Afterwards nothing expires any more by itself.
    pub fn run<R>(self, port: u16, work: impl FnOnce() -> R) -> (R, usize) {
        let stop = AtomicBool::new(false);
        let mut rng = Rng::with_seed(self.seed);
        let (done, count) = thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|_| {
                    let (rng, stop) = (rng.fork(), &stop);
                    scope.spawn(move || self.write(port, rng, stop))
                })
                .collect();
            let stops = StopAtEnd(&stop);
            let done = work();
            drop(stops);
            (done, writers.into_iter().map(|writer| writer.join().unwrap()).sum())
        });
        let mut client = Client::connect(port).unwrap();
        until("all deadlines have passed", LATER, || {
            let text = client.line("INFO keyspace").text();
            let of_load = |db| info_field(&text, &format!("db{db}"));
            Load::DATABASES.into_iter().filter_map(of_load).all(|db| db.contains("expires=0"))
        });
        (done, count)
    }

    /// Writes until it is told to stop, and some hundred commands at least, again and again on a
    /// new connection.
    fn write(self, port: u16, mut rng: Rng, stop: &AtomicBool) -> usize {
        let goes_on = |count| count < Load::LEAST || !stop.load(Ordering::Relaxed);
        let mut count = 0;
        while goes_on(count) {
            let done = Client::connect(port).and_then(|mut client| {
                while goes_on(count) {
                    let replies = client.pipeline(&self.batch(&mut rng))?;
                    count += replies.iter().filter(|reply| reply.error().is_none()).count();
                    // Not for ever: there may be no replica now.
                    let waited = client.try_call(&["WAIT", "1", "100"])?;
                    if waited.error().is_some() {
                        break;
                    }
                }
                Ok(())
            });
            // It is down, or it loads.
            drop(done);
            thread::park_timeout(Duration::from_millis(20));
        }
        count
    }

    /// Some commands, half of them in a transaction.
    fn batch(self, rng: &mut Rng) -> Vec<Words> {
        let words = |line: &str| line.split(' ').map(|word| word.into()).collect();
        let databases = if rng.bool() { Load::DATABASES } else { samples::DATABASES };
        let db = rng.choice(databases).unwrap();
        let write = |rng: &mut Rng| match rng.u8(..10) {
            _ if databases != Load::DATABASES => samples::change(rng, self.keys, db),
            0 => {
                words(&format!("FCALL put 2 s{} l{} {}", rng.u8(..100), rng.u8(..100), rng.u8(..)))
            }
            _ => match &*any_write(rng) {
                "FLUSHDB" => words(self.flush),
                line if line.starts_with("SELECT") => {
                    words(&format!("SELECT {}", rng.choice(databases).unwrap()))
                }
                line => words(line),
            },
        };
        let mut batch: Vec<Words> = (0..20).map(|_| write(rng)).collect();
        if rng.bool() {
            batch.insert(0, words("MULTI"));
            batch.push(words("EXEC"));
        }
        batch.insert(0, words(&format!("SELECT {db}")));
        batch
    }
}

/// Asks a server that may be starting, or may not have noticed yet that its link is cut.
#[derive(Debug)]
pub struct Asker {
    port: u16,
    client: Option<Client>,
}

impl Asker {
    pub fn new(server: &Server) -> Asker {
        Asker { port: server.port, client: None }
    }

    fn ask(&mut self, line: &str) -> Option<Reply> {
        if self.client.is_none() {
            self.client = Client::connect(self.port).ok();
        }
        let words: Vec<&str> = line.split(' ').collect();
        let reply = self.client.as_mut()?.try_call(&words).ok();
        if reply.is_none() {
            self.client = None;
        }
        reply.filter(|reply| reply.error().is_none())
    }
}

/// Waits until a replica follows its primary, and has all that stands in it. Either of them may
/// have been started a moment ago.
pub fn wait_following(primary: &Server, replica: &Server) {
    let (mut one, mut other) = (Asker::new(primary), Asker::new(replica));
    until("the replica follows", MUCH_LATER, || {
        assert!(primary.is_alive() && replica.is_alive(), "one of them has ended");
        let is_up = other.ask("INFO replication").is_some_and(|info| {
            info_field(&info.text(), "master_link_status").is_some_and(|status| status == "up")
        });
        is_up
            && one.ask("SET marker 1").is_some()
            && one.ask("WAIT 1 1000") == Some(Reply::Integer(1))
    });
}
