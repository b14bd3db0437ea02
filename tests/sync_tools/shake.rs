//! RedisShake's readers.

use std::collections::BTreeSet;

use crate::support::client::Client;
use crate::support::played::Played;
use crate::support::reply::Reply;
use crate::support::server::Server;
use crate::support::wait::{SOON, until};

use super::rdb::Snapshot;
use super::{PASSWORD, Writer, command, scan};

/// It presents this port, under which it says how far it is.
const OWN_PORT: u16 = 8080;

/// The reader that is a replica.
pub(super) struct SyncReader {
    link: Played,
    /// The database of the stream.
    db: usize,
}

impl SyncReader {
    /// Connects with a password, which nobody else needs: those who are there go on without.
    pub(super) fn new(source: &Server) -> SyncReader {
        let mut owner = source.client();
        assert!(owner.line(&format!("CONFIG SET requirepass {PASSWORD}")).is_ok());
        let mut link = Played::connect(source);
        assert!(link.call("ping").error().is_some_and(|error| error.starts_with("NOAUTH")));
        assert!(link.call(&format!("auth {PASSWORD}")).is_ok());
        assert!(owner.call(&["CONFIG", "SET", "requirepass", ""]).is_ok());
        assert_eq!(link.call("ping").text(), "PONG");
        SyncReader { link, db: 0 }
    }

    /// Presents itself, and takes the snapshot.
    pub(super) fn sync(&mut self, is_diskless: bool) -> Snapshot {
        let link = &mut self.link;
        let info = link.call("info server").text();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        assert!(version.is_some_and(|version| version.split('.').count() == 3), "{info}");
        assert!(link.call(&format!("replconf listening-port {OWN_PORT}")).is_ok());
        if is_diskless {
            assert!(link.call("REPLCONF CAPA EOF").is_ok());
        }
        until("nobody makes a snapshot", SOON, || {
            let info = link.call("INFO persistence").text();
            ["rdb_bgsave_in_progress:0", "aof_rewrite_in_progress:0"]
                .iter()
                .all(|quiet| info.contains(quiet))
        });
        let snapshot = Snapshot::read(&link.sync());
        self.db = snapshot.stream_db;
        snapshot
    }

    /// Restores what the snapshot holds.
    pub(super) fn hand_on_snapshot(&mut self, snapshot: &Snapshot, writer: &mut Writer) {
        for entry in &snapshot.entries {
            let deadline = entry.deadline.to_string();
            let words = [b"restore", &entry.key[..], deadline.as_bytes(), &entry.payload];
            let mut restore = command(words);
            restore.push(b"replace".to_vec());
            restore.extend((entry.deadline > 0).then(|| b"absttl".to_vec()));
            writer.write(entry.db, restore);
        }
        writer.flush();
    }

    /// Hands on what comes, one command after the other, until this key is written. Returns how
    /// many commands it was.
    pub(super) fn hand_on_stream(&mut self, last: &[u8], writer: &mut Writer) -> usize {
        let (mut count, mut is_over) = (0, false);
        while !is_over {
            let words = self.link.command();
            is_over = words.get(1).is_some_and(|key| key == last);
            match &*words[0].to_ascii_lowercase() {
                b"select" => {
                    self.db = String::from_utf8_lossy(&words[1]).parse().unwrap();
                }
                b"ping" | b"replconf" | b"multi" | b"exec" => {}
                _ => {
                    count += 1;
                    writer.write(self.db, words);
                }
            }
        }
        writer.flush();
        assert!(self.link.acknowledge());
        count
    }
}

/// The reader that scans.
pub(super) struct ScanReader {
    scanner: Client,
    dumper: Client,
    databases: Vec<usize>,
}

impl ScanReader {
    /// One of all databases that have keys.
    pub(super) fn new(source: &Server) -> ScanReader {
        let mut scanner = source.client();
        let info = scanner.line("info keyspace").text();
        let number = |line: &str| line.strip_prefix("db")?.split(':').next()?.parse().ok();
        let databases = info.lines().filter_map(number).collect();
        ScanReader { scanner, dumper: source.client(), databases }
    }

    pub(super) fn copy_all(&mut self, writer: &mut Writer) {
        for db in self.databases.clone() {
            assert!(self.scanner.line(&format!("SELECT {db}")).is_ok());
            for key in scan(&mut self.scanner, "COUNT 1") {
                copy_key(&mut self.dumper, db, &key, writer);
            }
        }
        writer.flush();
    }
}

/// Copies a key, if it is there.
fn copy_key(dumper: &mut Client, db: usize, key: &[u8], writer: &mut Writer) {
    let select = command([b"SELECT", db.to_string().as_bytes()]);
    let asked = [select, command([b"DUMP", key]), command([b"PTTL", key])];
    let replies = dumper.pipeline(&asked).unwrap();
    let (Some(payload), Some(left_ms)) = (replies[1].bytes(), replies[2].number()) else { return };
    if left_ms != -2 {
        let left_ms = left_ms.max(0).to_string();
        let words = [b"RESTORE", key, left_ms.as_bytes(), payload, b"replace"];
        writer.write(db, command(words));
    }
}

/// What listens for events beside the reader that scans.
pub(super) struct Listener {
    client: Client,
}

impl Listener {
    /// It listens to these databases, by one pattern.
    pub(super) fn new(source: &Server, databases: &[usize]) -> Listener {
        let mut client = source.client();
        assert!(client.line("CONFIG SET notify-keyspace-events AE").is_ok());
        let databases: Vec<String> = databases.iter().map(usize::to_string).collect();
        client.line(&format!("psubscribe __keyevent@[{}]__:*", databases.join(",")));
        Listener { client }
    }

    /// Copies what has changed up to now.
    pub(super) fn copy_changes(&mut self, source: &Server, writer: &mut Writer) {
        const LAST: &str = "__keyevent@0__:last";
        let mut dumper = source.client();
        dumper.line(&format!("PUBLISH {LAST} x"));
        let mut keys = BTreeSet::new();
        loop {
            let message = self.client.read().unwrap();
            let [_, _, channel, key] = message.members() else { panic!("no event: {message:?}") };
            let (channel, key) = (channel.text(), Reply::bytes(key).unwrap());
            if channel == LAST {
                break;
            }
            let digits = |letter: char| !letter.is_ascii_digit();
            let (place, event) = channel.split_once(':').unwrap();
            let db = place.trim_matches(digits).parse().unwrap();
            if event == "del" {
                writer.write(db, command([b"DEL", key]));
            } else {
                // A key that waits is not put in once more.
                keys.insert((db, key.to_vec()));
            }
        }
        assert!(keys.len() > 10, "{} keys are too few to prove anything", keys.len());
        keys.iter().for_each(|(db, key)| copy_key(&mut dumper, *db, key, writer));
        writer.flush();
    }
}
