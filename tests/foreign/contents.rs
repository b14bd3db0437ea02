//! What a server holds, as texts that can be compared: a line for each key.
//!
//! Values are compared by DEBUG DIGEST-VALUE, where all servers make it alike: the older ones write
//! scores with other digits, and Redis 8 mixes the deadlines of fields in. Left out is what no
//! journal says, and what a server works out: times at which consumers were seen, and lags.

use std::collections::BTreeMap;

use crate::support::client::Client;
use crate::support::reply::Reply;

/// What expires so soon, in milliseconds, may be gone in one and not in the other.
const SOON_MS: i64 = 3_600_000;

/// Keys asked about in one write.
const AT_ONCE: usize = 100;

/// The fields of XINFO STREAM that are the stream's, and not its encoding's.
const OF_STREAM: [&str; 5] =
    ["length", "last-generated-id", "max-deleted-entry-id", "entries-added", "groups"];

/// The fields of a group that a server works out.
const WORKED_OUT: &[&str] = &["lag"];

/// The same, and what Redis 7 does not say to its replicas.
const UNSAID: &[&str] = &["lag", "entries-read"];

/// A data set: for each key of each database what it holds.
pub(crate) struct Contents(BTreeMap<(usize, Vec<u8>), Held>);

#[derive(PartialEq)]
struct Held {
    text: String,
    /// Something of it expires soon.
    is_going: bool,
}

impl Contents {
    /// All that the server has.
    pub(crate) fn of(client: &mut Client) -> Contents {
        let mut contents = Contents(BTreeMap::new());
        for db in 0..super::DATABASES {
            client.line(&format!("SELECT {db}"));
            let reply = client.line("KEYS *");
            let keys: Vec<&[u8]> = reply.members().iter().filter_map(Reply::bytes).collect();
            contents.add(client, db, &keys, WORKED_OUT);
        }
        client.line("SELECT 0");
        contents
    }

    /// Of these keys of each database those that the server has.
    pub(crate) fn of_keys(client: &mut Client, keys: &[(usize, Vec<Vec<u8>>)]) -> Contents {
        Contents::of_some(client, keys, WORKED_OUT)
    }

    /// The same, without what Redis 7 does not say to its replicas.
    pub(crate) fn of_keys_said(client: &mut Client, keys: &[(usize, Vec<Vec<u8>>)]) -> Contents {
        Contents::of_some(client, keys, UNSAID)
    }

    fn of_some(client: &mut Client, keys: &[(usize, Vec<Vec<u8>>)], left_out: &[&str]) -> Contents {
        let mut contents = Contents(BTreeMap::new());
        for (db, keys) in keys {
            client.line(&format!("SELECT {db}"));
            let mut keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            keys.retain(|key| client.call(&[b"EXISTS", *key]) == Reply::Integer(1));
            contents.add(client, *db, &keys, left_out);
        }
        client.line("SELECT 0");
        contents
    }

    /// How many keys it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn add(&mut self, client: &mut Client, db: usize, keys: &[&[u8]], left_out: &[&str]) {
        let time = client.line("TIME").members()[0].text().parse::<i64>().unwrap() * 1000;
        for some in keys.chunks(AT_ONCE) {
            for (key, held) in some.iter().zip(held(client, some, time, left_out)) {
                self.0.insert((db, key.to_vec()), held);
            }
        }
    }
}

/// Asks the same of each key in one write; the word KEY stands for it.
fn each(client: &mut Client, keys: &[&[u8]], ask: &[&str]) -> Vec<Reply> {
    let mut commands = Vec::new();
    for key in keys {
        let word = |word: &&str| if *word == "KEY" { key.to_vec() } else { (*word).into() };
        commands.push(ask.iter().map(word).collect::<Vec<Vec<u8>>>());
    }
    client.pipeline(&commands).unwrap()
}

fn held(client: &mut Client, keys: &[&[u8]], time: i64, left_out: &[&str]) -> Vec<Held> {
    let digests = each(client, keys, &["DEBUG", "DIGEST-VALUE", "KEY"]);
    let deadlines = each(client, keys, &["PEXPIRETIME", "KEY"]);
    let types = each(client, keys, &["TYPE", "KEY"]);
    let mut all = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        let (kind, deadline) = (types[at].text(), deadlines[at].number().unwrap_or_default());
        let is_going = is_soon(deadline, time);
        let mut held = Held { text: format!("{kind} {deadline}"), is_going };
        match kind.as_str() {
            "hash" => add_fields(client, key, time, &mut held),
            "zset" => add_members(client, key, &mut held),
            // It has expired since its name was given.
            "none" => held.is_going = true,
            _ => held.text += &digests[at].printed(),
        }
        if kind == "stream" {
            add_groups(client, key, left_out, &mut held);
        }
        all.push(held);
    }
    all
}

fn is_soon(deadline: i64, time: i64) -> bool {
    deadline >= 0 && deadline < time.saturating_add(SOON_MS)
}

/// The fields with their deadlines; a server that knows none has none.
fn add_fields(client: &mut Client, key: &[u8], time: i64, held: &mut Held) {
    let reply = client.call(&[&b"HGETALL"[..], key]);
    let words: Vec<&[u8]> = reply.members().iter().filter_map(Reply::bytes).collect();
    let mut fields: Vec<&[&[u8]]> = words.chunks(2).collect();
    fields.sort_unstable();
    // Its last field has expired.
    held.is_going |= fields.is_empty();
    let (number, names) = (fields.len().to_string(), fields.iter().map(|field| field[0]));
    let ask = [&b"HPEXPIRETIME"[..], key, b"FIELDS", number.as_bytes()].into_iter().chain(names);
    let reply = client.call(&ask.collect::<Vec<_>>());
    let deadlines = if reply.error().is_none() { reply.members() } else { &[] };
    for (at, field) in fields.iter().enumerate() {
        let deadline = deadlines.get(at).and_then(Reply::number).unwrap_or(-1);
        let field = field.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>();
        held.text += &format!(" {field:?}:{deadline}");
        held.is_going |= is_soon(deadline, time);
    }
}

/// The members with their scores.
fn add_members(client: &mut Client, key: &[u8], held: &mut Held) {
    let reply = client.call(&[&b"ZRANGE"[..], key, b"0", b"-1", b"WITHSCORES"]);
    for pair in reply.members().chunks(2) {
        let score: f64 = pair[1].text().parse().unwrap();
        held.text += &format!(" {}:{score:e}", pair[0].text());
    }
}

fn add_groups(client: &mut Client, key: &[u8], left_out: &[&str], held: &mut Held) {
    let stream = client.call(&[&b"XINFO"[..], b"STREAM", key]);
    let of_stream =
        stream.members().chunks(2).filter(|field| OF_STREAM.contains(&field[0].text().as_str()));
    of_stream.for_each(|field| held.text += &format!(" {}", field[1].printed()));
    let groups = client.call(&[&b"XINFO"[..], b"GROUPS", key]);
    for group in groups.members() {
        let name = group.members()[1].bytes().unwrap_or_default().to_vec();
        let is_said = |field: &&[Reply]| !left_out.contains(&field[0].text().as_str());
        let of_group = group.members().chunks(2).filter(is_said);
        of_group.for_each(|field| held.text += &format!(" {}", field[1].printed()));
        let pending = client.call(&[&b"XPENDING"[..], key, &name, b"-", b"+", b"1000"]);
        for entry in pending.members() {
            let [id, consumer, _, times] = entry.members() else { continue };
            held.text += &format!(" {}={} x{}", id.text(), consumer.text(), times.printed());
        }
        let consumers = client.call(&[&b"XINFO"[..], b"CONSUMERS", key, &name]);
        let of_consumers = consumers.members().iter().map(|one| one.members()[1].text());
        held.text += &format!(" {:?}", of_consumers.collect::<Vec<_>>());
    }
}

/// What differs between what the author has and what was loaded.
pub(crate) fn differences(wanted: &Contents, loaded: &Contents) -> Vec<String> {
    let mut found = Vec::new();
    let keys = wanted.0.keys().chain(loaded.0.keys().filter(|key| !wanted.0.contains_key(key)));
    for key in keys {
        let (wanted, loaded) = (wanted.0.get(key), loaded.0.get(key));
        let is_going = |held: Option<&Held>| held.is_some_and(|held| held.is_going);
        if wanted == loaded || is_going(wanted) || is_going(loaded) {
            continue;
        }
        let text = |held: Option<&Held>| held.map_or("nothing".to_owned(), |h| h.text.clone());
        let (db, name) = (key.0, String::from_utf8_lossy(&key.1));
        found.push(format!("{db} {name}\n  wanted {}\n  loaded {}", text(wanted), text(loaded)));
    }
    found
}
