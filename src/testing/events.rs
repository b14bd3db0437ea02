//! What listeners hear of each write command: its events, held against those of Valkey, which
//! `tests/events.rs` records; and the bytes, held against what the keys take in the end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::keyspace::key::Key;
use crate::keyspace::listener::{Event, Listener};
use crate::testing::{Still, Store};

const RECORDED: &str = include_str!("../../tests/data/events-valkey-9.1.2.tsv");

/// What was heard.
#[derive(Default)]
struct Notes {
    events: Vec<String>,
    /// Bytes by database and key.
    bytes: BTreeMap<(u32, Vec<u8>), i64>,
}

/// Keeps what it hears.
struct Heard(Rc<RefCell<Notes>>);

impl Listener for Heard {
    fn touched(&mut self, db: u32, key: Key<'_>, event: Event, bytes: i64) {
        let mut notes = self.0.borrow_mut();
        if !event.name().is_empty() {
            notes.events.push(format!("{} {} {db}", event.name(), key.name.escape_ascii()));
        }
        *notes.bytes.entry((db, key.name.to_vec())).or_default() += bytes;
    }

    fn flushed(&mut self, db: u32) {
        self.0.borrow_mut().bytes.retain(|(of, _), _| *of != db);
    }

    fn swapped(&mut self, a: u32, b: u32) {
        let mut notes = self.0.borrow_mut();
        let bytes = std::mem::take(&mut notes.bytes).into_iter();
        let other = |db| if db == a { b } else { a };
        notes.bytes = bytes
            .map(|((db, name), bytes)| match db == a || db == b {
                true => ((other(db), name), bytes),
                false => ((db, name), bytes),
            })
            .collect();
    }
}

/// Holds the bytes that were heard of to what the keys take.
fn check_bytes(store: &Store, notes: &Notes, sample: &str) {
    let mut heard = notes.bytes.clone();
    heard.retain(|_, bytes| *bytes != 0);
    let space = store.shard.keyspace();
    let tables =
        space.databases().into_iter().flat_map(|db| space.tables(db).map(move |t| (db, t)));
    let entries = tables.flat_map(|(db, table)| table.iter().map(move |entry| (db, entry)));
    let taken = entries.map(|(db, entry)| ((db, entry.key().to_vec()), entry.memory() as i64));
    let taken: BTreeMap<_, _> = taken.collect();
    assert_eq!(heard, taken, "{sample}");
}

/// Runs a line. Returns false where it calls a command that is not there.
fn call(store: &mut Store, line: &str) -> bool {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["TICK"] => store.tick(2),
        ["DEBUG", "SET-ACTIVE-EXPIRE", _] | ["UNTIL", ..] => {
            store.shard.expire(store.now, &mut Still);
        }
        _ => {
            let reply = store.run(line);
            let is_missing = reply.starts_with("(error) ERR unknown command");
            assert!(is_missing || !reply.starts_with("(error)"), "{line}: {reply}");
            return !is_missing;
        }
    }
    true
}

/// The events of a sample, without those of reads; none where a command of it is not there.
fn events(sample: &str) -> Option<String> {
    let heard = Rc::new(RefCell::new(Notes::default()));
    let mut store = Store::with_listener(Box::new(Heard(Rc::clone(&heard))));
    let (setup, calls) = sample.split_once(" | ").unwrap_or(("", sample));
    setup.split("; ").filter(|line| !line.is_empty()).all(|line| call(&mut store, line));
    heard.borrow_mut().events.clear();
    let is_there = calls.split("; ").all(|line| call(&mut store, line));
    check_bytes(&store, &heard.borrow(), sample);
    is_there.then(|| heard.take().events.join(", "))
}

/// Samples of which Troupe has other events, and why.
const OURS: &[(&str, &str)] = &[
    ("MSETEX 1 a 1 PXAT 1", "what has expired at once is not stored first"),
    ("HSETEX k PXAT 1 FIELDS 1 f v", "likewise"),
    ("HSETEX k PX 1 FIELDS 1 f v; HSET k g w; TICK | HGET k f", "a field goes when it expires"),
    ("HSETEX k PX 1 FIELDS 1 f v; HSET k g w; TICK | HDEL k f", "likewise"),
    ("HSETEX k PX 1 FIELDS 1 f v; HSET k g w; TICK | HGETDEL k FIELDS 1 f", "likewise"),
    ("HSETEX k PX 1 FIELDS 1 f v; HSET k g w; TICK | HPERSIST k FIELDS 1 f", "likewise"),
];

#[test]
fn events_are_valkeys() {
    let mut wrong = Vec::new();
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let (sample, recorded) = line.split_once('\t').expect("a sample and its events");
        let wanted: Vec<&str> =
            recorded.split(", ").filter(|event| !event.starts_with("keymiss ")).collect();
        let Some(heard) = events(sample) else { continue };
        let wanted = wanted.join(", ");
        let is_ours = OURS.iter().any(|(ours, _)| *ours == sample);
        if (heard == wanted) == is_ours {
            wrong.push(format!("{sample}\n  wanted {wanted}\n  heard  {heard}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
