//! What RedisShake and RIOT send to the servers between which they copy, replayed: Troupe as the
//! source with 1, 2 and 4 shards, and Valkey as either side.
//!
//! RedisShake comes as a replica (its sync reader), or scans, and may listen for events (its scan
//! reader). RIOT scans and listens, and reads values as payloads, or by the commands of their
//! types. Others write meanwhile, where the tool follows them. At the end both sides hold the same.
//!
//! The facts are those of RedisShake 3 and 4, and of RIOT 4. Neither knows deadlines of fields but
//! by payloads; RedisShake knows no libraries of functions. `TROUPE_SEED` replays the writes.

mod rdb;
mod riot;
mod shake;

use std::thread;

use crate::foreign::contents::{Contents, differences};
use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::reply::{Reply, words};
use crate::support::samples::{self, DATABASES, Words};
use crate::support::seed;
use crate::support::server::{Options, Server};

use riot::Values;

/// Keys that there are before a tool comes.
const KEYS: u64 = 600;

/// Transactions that are written meanwhile, and the writes of each.
const ROUNDS: usize = 200;
const WRITES: usize = 10;

/// Commands that a writer sends before it reads replies.
const AT_ONCE: usize = 50;

/// Differences that are shown.
const SHOWN: usize = 20;

/// The password of the source.
const PASSWORD: &str = "secret";

/// A server of a pair.
#[derive(Clone, Copy, Debug)]
enum Side {
    Troupe(usize),
    Valkey,
}

use Side::{Troupe, Valkey};

impl Side {
    /// It is started, if it is on this machine.
    fn start(self) -> Option<Server> {
        let options = match self {
            Troupe(shards) => Options::shards(shards).with("save ").debug(),
            Valkey => Oracle::Valkey.options()?,
        };
        Some(options.with("repl-diskless-sync-delay 0").start())
    }
}

/// Has a tool copy from a source that is full to a target that has something else. Fields may have
/// deadlines where it knows them.
fn copies(has_timed_fields: bool, copy: impl Fn(&Server, &Server)) {
    let pairs = [
        (Troupe(1), Troupe(2)),
        (Troupe(2), Valkey),
        (Troupe(4), Troupe(1)),
        (Valkey, Troupe(1)),
        (Valkey, Troupe(4)),
    ];
    for (from, to) in pairs {
        let (Some(source), Some(target)) = (from.start(), to.start()) else { continue };
        println!("{from:?} to {to:?}");
        samples::fill(&mut source.client(), 0..KEYS, has_timed_fields);
        // Another has made one of the keys before.
        assert!(target.client().line("SET 9 other").is_ok());
        copy(&source, &target);
        let [wanted, found] = [&source, &target].map(|server| server.client().line("DEBUG DIGEST"));
        assert_eq!(found, wanted, "{from:?} to {to:?}");
        assert_ne!(wanted.text(), "0".repeat(40), "there is something to compare");
    }
}

/// Both hold the same, deadlines and groups too.
fn assert_same(source: &Server, target: &Server) {
    let [wanted, found] = [source, target].map(|server| Contents::of(&mut server.client()));
    let mut found = differences(&wanted, &found);
    let total = found.len();
    found.truncate(SHOWN);
    assert!(total == 0, "{}\n{total} differences", found.join("\n"));
}

/// Runs `work` while somebody writes to keys of these databases, but not by this command.
fn under_writes<R>(source: &Server, databases: &[usize], but: &str, work: impl FnOnce() -> R) -> R {
    let mut random = fastrand::Rng::with_seed(seed("sync_tools"));
    let mut write = move |client: &mut Client| {
        for _ in 0..ROUNDS {
            let db = random.choice(databases).copied().unwrap();
            let mut batch = vec![words(&format!("SELECT {db}")).unwrap()];
            batch.push(words("MULTI").unwrap());
            let writes = (0..WRITES).map(|_| samples::change(&mut random, KEYS, db));
            batch.extend(writes.filter(|write| write[0] != but.as_bytes()));
            batch.push(words("EXEC").unwrap());
            client.pipeline(&batch).unwrap();
        }
    };
    let mut client = source.client();
    thread::scope(|scope| {
        let writer = scope.spawn(move || write(&mut client));
        let done = work();
        writer.join().unwrap();
        done
    })
}

/// Who writes to the target: many commands at once, none of which may be refused.
struct Writer {
    client: Client,
    db: usize,
    commands: Vec<Words>,
}

impl Writer {
    fn new(target: &Server) -> Writer {
        Writer { client: target.client(), db: 0, commands: Vec::new() }
    }

    fn write(&mut self, db: usize, command: Words) {
        if self.db != db {
            self.db = db;
            self.commands.push(words(&format!("SELECT {db}")).unwrap());
        }
        self.commands.push(command);
        if self.commands.len() >= AT_ONCE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let commands = std::mem::take(&mut self.commands);
        for (command, reply) in commands.iter().zip(self.client.pipeline(&commands).unwrap()) {
            assert!(reply.error().is_none(), "{}: {reply:?}", command.join(&b' ').escape_ascii());
        }
    }
}

/// The names that a whole SCAN gives, with these options.
fn scan(client: &mut Client, options: &str) -> Vec<Vec<u8>> {
    let (mut names, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let page = client.line(&format!("SCAN {cursor} {options}"));
        let [next, some] = page.members() else { panic!("no page: {page:?}") };
        names.extend(some.members().iter().filter_map(Reply::bytes).map(<[u8]>::to_vec));
        cursor = next.text();
        if cursor == "0" {
            return names;
        }
    }
}

/// A command with words that are no text.
fn command<const N: usize>(words: [&[u8]; N]) -> Words {
    words.map(<[u8]>::to_vec).into()
}

/// As a replica: the keys of the snapshot, and the stream behind it.
fn shake_syncs(is_diskless: bool) {
    copies(false, |source, target| {
        let mut client = source.client();
        let way = if is_diskless { "yes" } else { "no" };
        assert!(client.line(&format!("CONFIG SET repl-diskless-sync {way}")).is_ok());
        let mut writer = Writer::new(target);
        let mut reader = shake::SyncReader::new(source);
        under_writes(source, &DATABASES, "", || {
            let snapshot = reader.sync(is_diskless);
            assert!(snapshot.entries.len() > KEYS as usize / 2);
            reader.hand_on_snapshot(&snapshot, &mut writer);
        });
        assert!(client.line("SET last 1").is_ok());
        let count = reader.hand_on_stream(b"last", &mut writer);
        assert!(count > ROUNDS, "{count} commands are too few to prove anything");
        // It has said how far it is by offsets that the source knows.
        assert_eq!(client.line("WAIT 1 60000"), Reply::Integer(1));
        assert_same(source, target);
    });
}

#[test]
fn redis_shake_syncs_by_a_file() {
    shake_syncs(false);
}

/// It knows the mark behind the snapshot only where nothing follows before it has said something.
#[test]
fn redis_shake_syncs_by_a_stream() {
    shake_syncs(true);
}

#[test]
fn redis_shake_scans() {
    copies(true, |source, target| {
        let mut writer = Writer::new(target);
        shake::ScanReader::new(source).copy_all(&mut writer);
    });
}

/// It loses what RENAME takes away, with any source.
#[test]
fn redis_shake_scans_and_listens() {
    copies(true, |source, target| {
        let mut writer = Writer::new(target);
        // It hears of databases with one digit.
        let databases = &DATABASES[..2];
        let mut listener = shake::Listener::new(source, databases);
        under_writes(source, databases, "RENAME", || {
            shake::ScanReader::new(source).copy_all(&mut writer);
        });
        listener.copy_changes(source, &mut writer);
    });
}

fn riot_copies(values: Values, is_live: bool) {
    copies(values == Values::Payloads, |source, target| {
        let mut writer = Writer::new(target);
        // It copies one database.
        for db in DATABASES {
            let mut riot = riot::Riot::new(source, db, values);
            if !is_live {
                riot.copy_all(&mut writer);
                continue;
            }
            let mut listener = riot::Listener::new(source, db);
            under_writes(source, &[db], "", || riot.copy_all(&mut writer));
            riot.copy(&listener.changed(source), &mut writer);
        }
        writer.flush();
    });
}

#[test]
fn riot_copies_payloads() {
    riot_copies(Values::Payloads, false);
}

#[test]
fn riot_copies_by_types() {
    riot_copies(Values::ByType, false);
}

#[test]
fn riot_follows_with_payloads() {
    riot_copies(Values::Payloads, true);
}

#[test]
fn riot_follows_by_types() {
    riot_copies(Values::ByType, true);
}
