//! The keyspace events of each write command, as Valkey sends them.
//!
//! `tests/data/events-valkey-9.1.2.tsv` holds a sample a line and behind it the events in their
//! order, each with its key and database. It is recorded anew, and must come out as it is;
//! `TROUPE_BLESS=1` writes it. All events are recorded, those too that a client asks for by letters
//! of their own: `new` (n) and `keymiss` (m).
//!
//! What Redis 8 has beside them is in `events/beyond.rs`. Left out: commands that Valkey has not
//! (`commands-redis-8.tsv`, `commands-troupe.tsv`), and what a client gets that waited.

mod beyond;
mod samples;
mod watched;

use std::collections::BTreeSet;
use std::fs;

use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::server::Options;
use crate::support::tests_folder;
use crate::support::wait::{SOON, until};

use samples::{LEFT_OUT, SAMPLES};

const RECORDED: &str = "data/events-valkey-9.1.2.tsv";
const COMMANDS: &str = include_str!("data/commands-valkey-9.1.2.tsv");

/// What no event is called: it is published behind what is set up, and behind the sample.
const MARK: &str = "mark";

/// A client that calls and one that listens.
struct Recorder {
    caller: Client,
    listener: Client,
    /// The channels that it listens to, by the beginning of their names.
    channels: &'static str,
}

impl Recorder {
    fn start(
        mut caller: Client,
        mut listener: Client,
        letters: &str,
        channels: &'static str,
    ) -> Recorder {
        assert!(caller.line(&format!("CONFIG SET notify-keyspace-events {letters}")).is_ok());
        listener.line(&format!("PSUBSCRIBE {channels}@*__:*"));
        Recorder { caller, listener, channels }
    }

    /// The events of a sample: of each the name, what it says and the database.
    fn events(&mut self, sample: &str) -> String {
        let (setup, calls) = sample.split_once(" | ").unwrap_or(("", sample));
        set_up(&mut self.caller, setup);
        self.mark();
        calls.split("; ").for_each(|line| call(&mut self.caller, line));
        self.mark();
        self.until_mark();
        self.until_mark().join(", ")
    }

    fn mark(&mut self) {
        self.caller.line(&format!("PUBLISH {}@0__:{MARK} x", self.channels));
    }

    /// What came before the next mark.
    fn until_mark(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        loop {
            let message = self.listener.read().unwrap();
            let [_, _, channel, said] = message.members() else { panic!("no event: {message:?}") };
            let channel = channel.text();
            let (place, event) = channel.split_once(':').unwrap();
            if event == MARK {
                return events;
            }
            let db = place.trim_matches(|letter: char| !letter.is_ascii_digit());
            events.push(format!("{event} {} {db}", said.text()));
        }
    }
}

/// Empties the server, and calls what comes before the bar of a sample.
fn set_up(caller: &mut Client, setup: &str) {
    for line in ["SELECT 0", "FLUSHALL", "DEBUG SET-ACTIVE-EXPIRE 0"] {
        assert!(caller.line(line).is_ok());
    }
    setup.split("; ").filter(|line| !line.is_empty()).for_each(|line| call(caller, line));
}

fn call(caller: &mut Client, line: &str) {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["TICK"] => {
            let begin = millis(caller);
            until("some milliseconds pass", SOON, || millis(caller) > begin + 1);
        }
        ["UNTIL", number, ..] => {
            let asked = line.splitn(3, ' ').last().unwrap();
            let number = number.parse().ok();
            until(line, SOON, || caller.line(asked).number() == number);
        }
        _ => {
            let reply = caller.line(line);
            assert!(reply.error().is_none(), "{line}: {reply:?}");
        }
    }
}

/// The server's time, in milliseconds of unix time.
fn millis(caller: &mut Client) -> i64 {
    let time = caller.line("TIME");
    let [seconds, micros] = time.members() else { panic!("no time: {time:?}") };
    seconds.number().unwrap() * 1000 + micros.number().unwrap() / 1000
}

#[test]
fn events_of_valkey_are_as_recorded() {
    let Some(oracle) = Oracle::Valkey.start() else { return };
    let mut recorder = Recorder::start(oracle.client(), oracle.client(), "KEAmn", "__keyevent");
    let mut lines = vec![
        "# Keyspace events of Valkey 9.1.2, recorded: a sample of tests/events/samples.rs; event, \
         key and database of each in order."
            .to_owned(),
    ];
    lines.extend(SAMPLES.iter().map(|sample| format!("{sample}\t{}", recorder.events(sample))));
    let file = tests_folder().join(RECORDED);
    if std::env::var_os("TROUPE_BLESS").is_some() {
        fs::write(&file, lines.join("\n") + "\n").unwrap();
    }
    let recorded = fs::read_to_string(&file).unwrap();
    let recorded: Vec<&str> = recorded.lines().collect();
    for (line, recorded) in lines.iter().zip(&recorded) {
        assert_eq!(line, recorded, "what Valkey does, and the record");
    }
    assert_eq!(lines.len(), recorded.len());
}

/// Samples whose events are others here, and why (`src/testing/events.rs` has more of that).
const OURS: &[(&str, &str)] = &[
    ("MSETEX 1 a 1 PXAT 1", "what has expired at once is not stored first"),
    ("HSETEX k PXAT 1 FIELDS 1 f v", "likewise"),
    ("SADD a x | SINTERSTORE d a b", "who reads on behalf of a write misses nothing"),
    ("SUNIONSTORE d a b", "likewise"),
    ("SADD d z | SUNIONSTORE d a b", "likewise"),
];

#[test]
fn events_of_troupe_are_those_of_valkey() {
    for shards in [1, 2, 4] {
        let server = Options::shards(shards).debug().start();
        let mut recorder = Recorder::start(server.client(), server.client(), "KEAmn", "__keyevent");
        let recorded = fs::read_to_string(tests_folder().join(RECORDED)).unwrap();
        let mut compared = 0;
        for line in recorded.lines().filter(|line| !line.starts_with('#')) {
            let (sample, wanted) = line.split_once('\t').unwrap();
            // When a field goes that lives for a millisecond, depends on when the next call comes.
            let is_brief = sample.contains(" PX 1 ");
            if !is_brief && !OURS.iter().any(|(ours, _)| *ours == sample) {
                assert_eq!(recorder.events(sample), wanted, "{sample}, with {shards} shards");
                compared += 1;
            }
        }
        assert!(compared > 300, "only {compared} samples");
    }
}

#[test]
fn every_write_command_of_valkey_has_a_sample_with_events() {
    let calls = SAMPLES.iter().flat_map(|sample| sample.split(" | ").last());
    let calls = calls.flat_map(|calls| calls.split("; ")).map(str::to_lowercase);
    let sampled: BTreeSet<String> = calls
        .flat_map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let name = words.next().unwrap_or_default();
            [format!("{name}|{}", words.next().unwrap_or_default()), name]
        })
        .collect();
    let left_out: BTreeSet<&str> =
        LEFT_OUT.iter().flat_map(|(names, _)| names.split(' ')).collect();
    let fields = COMMANDS.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let writes = fields.filter(|fields| {
        fields.get(3).is_some_and(|flags| flags.split(' ').any(|flag| flag == "write"))
    });
    let names: Vec<&str> = writes.map(|fields| fields[0]).collect();
    assert!(names.len() > 100, "the record of commands is not read: {names:?}");
    let missing: Vec<&str> = names
        .into_iter()
        .filter(|name| !sampled.contains(*name) && !left_out.contains(name))
        .collect();
    assert!(missing.is_empty(), "no sample in tests/events/samples.rs: {missing:?}");
}
