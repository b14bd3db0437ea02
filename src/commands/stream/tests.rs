//! What streams leave in the journal, and that it makes the same stream again.

use crate::testing::{START, Store};

/// Runs the lines and gives what they left in the journal.
fn effects(store: &mut Store, lines: &[&str]) -> String {
    for line in lines {
        let reply = store.run(line);
        assert!(!reply.starts_with("(error)"), "{line}: {reply}");
    }
    store.effects()
}

/// A store that has loaded a journal; MULTI and EXEC are for the files of the journal.
fn loaded(journal: &str, store: &Store) -> Store {
    let records = journal.lines().filter(|line| !matches!(*line, "MULTI" | "EXEC"));
    Store::loaded(&records.collect::<Vec<_>>().join("\n"), store.now)
}

/// All that a replay has to bring back, but for the times at which consumers were heard of.
fn state(store: &mut Store, key: &str) -> String {
    let lines = [
        format!("DEBUG DIGEST-VALUE {key}"),
        format!("XINFO STREAM {key}"),
        format!("XINFO GROUPS {key}"),
        format!("XPENDING {key} g - + 100"),
        format!("XPENDING {key} g"),
    ];
    lines.iter().map(|line| store.run(line) + "\n").collect()
}

#[test]
fn records_have_ids_exact_trims_and_absolute_times() {
    let mut store = Store::new();
    store.configure("stream-node-max-entries", "2");
    for (line, record) in [
        ("XADD s 1-1 a 1", "XADD s 1-1 a 1"),
        ("XADD s MAXLEN 5 1-* a 2", "XADD s MAXLEN = 2 1-2 a 2"),
        ("XADD s NOMKSTREAM * a 3", "XADD s 1700000000000-0 a 3"),
        ("XADD s MAXLEN ~ 2 * a 4", "XADD s MAXLEN = 2 1700000000000-1 a 4"),
        ("XADD s MAXLEN ~ 2 * a 5", "XADD s 1700000000000-2 a 5"),
        ("XTRIM s MINID ~ 1700000000000-2", "XTRIM s MINID = 1700000000000-2"),
        ("XTRIM s MAXLEN ~ 0", "XTRIM s MAXLEN = 0"),
        ("XTRIM s MAXLEN ~ 0", ""),
        ("XDEL s 1-1", ""),
        ("XGROUP CREATE s g 0", "XGROUP CREATE s g 0"),
        ("XREADGROUP GROUP g c STREAMS s >", "XGROUP CREATECONSUMER s g c"),
        ("XREADGROUP GROUP g c STREAMS s >", ""),
        ("XACK s g 1-1", ""),
    ] {
        assert_eq!(effects(&mut store, &[line]), record, "{line}");
    }
}

#[test]
fn deliveries_are_claims_in_the_journal() {
    let mut store = Store::new();
    effects(&mut store, &["XADD s 1-1 a 1", "XADD s 1-2 a 1", "XGROUP CREATE s g 0"]);
    assert_eq!(
        effects(&mut store, &["XREADGROUP GROUP g c STREAMS s >"]),
        "MULTI\nXGROUP CREATECONSUMER s g c\nXCLAIM s g c 0 1-1 1-2 TIME 1700000000000 RETRYCOUNT \
         1 FORCE JUSTID LASTID 1-2\nXGROUP SETID s g 1-2 ENTRIESREAD 2\nEXEC"
    );
    store.tick(5);
    assert_eq!(
        effects(&mut store, &["XAUTOCLAIM s g d 1 0 COUNT 1"]),
        "XCLAIM s g d 0 1-1 TIME 1700000000005 RETRYCOUNT 2 FORCE JUSTID LASTID 1-2"
    );
    effects(&mut store, &["XDEL s 1-2"]);
    assert_eq!(
        effects(&mut store, &["XCLAIM s g d 0 1-1 1-2 IDLE 3 JUSTID"]),
        "MULTI\nXCLAIM s g d 0 1-1 TIME 1700000000002 RETRYCOUNT 2 FORCE JUSTID LASTID 1-2\n\
         XACK s g 1-2\nEXEC"
    );
}

/// Lines that leave a stream with a hole, a trimmed front, groups, and every kind of delivery.
const LINES: &[&str] = &[
    "XADD s 1-1 temp 20 hum 50",
    "XADD s 1-2 temp 21 hum -50",
    "XADD s 2-0 other x",
    "XADD s 3-0 temp 22 hum 1",
    "XGROUP CREATE s g 0",
    "XGROUP CREATE s h $",
    "XREADGROUP GROUP g c COUNT 2 STREAMS s >",
    "XREADGROUP GROUP g d COUNT 1 STREAMS s >",
    "XREADGROUP GROUP g c STREAMS s 0",
    "XNACK s g SILENT IDS 1 1-2",
    "XDEL s 2-0",
    "XTRIM s MAXLEN 2",
    "XADD s MAXLEN ~ 100 * temp 1 hum 2",
    "XCLAIM s g e 0 1-2 RETRYCOUNT 9",
    "XREADGROUP GROUP g e NOACK STREAMS s >",
];

#[test]
fn a_journal_makes_the_same_stream_again() {
    let mut store = Store::new();
    for line in LINES {
        store.run(line);
        store.tick(7);
    }
    let journal = store.effects();
    let mut again = loaded(&journal, &store);
    assert_eq!(again.effects(), "", "what is loaded is not journaled once more");
    assert_eq!(state(&mut again, "s"), state(&mut store, "s"), "{journal}");
    assert!(again.now > START);
}

#[test]
fn a_stream_that_is_recorded_by_value_is_the_same() {
    let mut store = Store::new();
    for line in LINES {
        store.run(line);
        store.tick(7);
    }
    store.run("XGROUP CREATE empty g 0 MKSTREAM");
    // What was trimmed is pending, and nothing was ever deleted: with entries left, and without.
    for key in ["trimmed", "bare"] {
        (1..9).for_each(|number| drop(store.run(&format!("XADD {key} 1-{number} a {number}"))));
        store.run(&format!("XGROUP CREATE {key} g 0"));
        store.run(&format!("XREADGROUP GROUP g c COUNT 6 STREAMS {key} >"));
    }
    store.run("XTRIM trimmed MAXLEN 5");
    store.run("XTRIM bare MAXLEN 0");
    store.effects();
    for key in ["s", "empty", "trimmed", "bare"] {
        // Another slot: the journal has the value.
        store.run(&format!("RENAME {key} to-{key}"));
        let journal = store.effects();
        assert!(journal.contains("XSETID"), "{journal}");
        let mut again = loaded(&journal, &store);
        let to = format!("to-{key}");
        assert_eq!(state(&mut again, &to), state(&mut store, &to), "{journal}");
    }
}
