//! A whole store on one shard for tests: a line in, what redis-cli would print out.
//!
//! The line goes through the real decoder, routing and visit; there are no gates, no sinks and no
//! clock but [`Store::tick`]. A command that asks something of its connection prints as that
//! action. [`Store::effects`] gives what would have been journaled since it was last asked.

mod counted;
mod events;
mod scripts;
mod several;
pub(crate) mod writes;
pub(crate) mod zipf;

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::batch::{Batch, Home};
use crate::hook::{Gate, Listener, Sink};
use crate::hooks::memory_limit::MemoryLimit;
use crate::keyspace::effect::Run;
use crate::resp::inline::Words;
use crate::resp::{Decoder, Frames, Limits, encode};
use crate::script::listed::Listed;
use crate::session::{Peer, Session};
use crate::settings::Settings;
use crate::shard::letter::Letter;
use crate::shard::replay::Records;
use crate::shard::{Parts, SLICE_NS, Shard, Ticks};

pub(crate) use counted::Counted;
pub(crate) use several::Shards;

/// What the clock of a new store shows.
pub(crate) const START: Millis = Millis(1_700_000_000_000);

/// A store with one client.
pub(crate) struct Store {
    /// The shard that has all slots.
    pub(crate) shard: Shard,
    /// The client.
    pub(crate) session: Session,
    /// The time, in milliseconds of unix time.
    pub(crate) now: Millis,
}

/// A clock on which each look takes half a slice.
pub(crate) struct Hasty(pub(crate) u64);

impl Ticks for Hasty {
    fn nanos(&mut self) -> u64 {
        self.0 += SLICE_NS / 2;
        self.0
    }
}

/// A clock that goes on by a step at each look at it.
pub(crate) struct Stepping {
    now: u64,
    step: u64,
}

impl Stepping {
    /// By so many nanoseconds.
    pub(crate) fn by(step: u64) -> Stepping {
        Stepping { now: 0, step }
    }
}

impl Ticks for Stepping {
    fn nanos(&mut self) -> u64 {
        self.now += self.step;
        self.now
    }
}

/// A clock that stands still, so that no slice ends.
pub(crate) struct Still;

impl Ticks for Still {
    fn nanos(&mut self) -> u64 {
        0
    }
}

impl Store {
    /// An empty store with the settings that a server starts with.
    pub(crate) fn new() -> Store {
        Store::with(Settings::default())
    }

    /// A store that has loaded a journal, a record a line, and begins at `now`.
    pub(crate) fn loaded(journal: &str, now: Millis) -> Store {
        let mut request = Vec::new();
        for line in journal.lines() {
            let mut words = Words::default();
            words.split(line.as_bytes()).expect("the line is well quoted");
            encode::command(&mut request, &words.iter().collect::<Vec<_>>());
        }
        let frames = decoded(&request);
        let ends = frames.frames.iter().map(|frame| (0, frame.first + frame.argc)).collect();
        let records = Records { bytes: Bytes::from(request), spans: frames.args, ends };
        let mut store = Store::new();
        store.now = now;
        assert_eq!(store.shard.replay(&records, now), [], "the journal is sound");
        store.shard.end_replay();
        store
    }

    /// An empty store with these settings.
    pub(crate) fn with(settings: Settings) -> Store {
        Store::of(settings, Vec::new(), Vec::new(), Vec::new())
    }

    /// An empty store with these layers around its commands.
    pub(crate) fn with_layers(gates: Vec<Box<dyn Gate>>, sinks: Vec<Box<dyn Sink>>) -> Store {
        Store::of(Settings::default(), gates, sinks, Vec::new())
    }

    /// An empty store that counts its memory, and refuses what has no room.
    pub(crate) fn counted(memory: &Counted) -> Store {
        let gates: Vec<Box<dyn Gate>> = vec![Box::new(MemoryLimit)];
        let listeners: Vec<Box<dyn Listener>> = vec![Box::new(memory.clone())];
        let hasher = Hasher::with_seeds([1, 2, 3, 4]);
        let alone = Parts::alone(Arc::default(), hasher, 7);
        let gauge = Box::new(memory.clone());
        Store::around(Shard::new(Parts {
            gates,
            listeners,
            gauge,
            scripts: Box::new(Listed),
            ..alone
        }))
    }

    /// An empty store whose changes this listener hears.
    pub(crate) fn with_listener(listener: Box<dyn Listener>) -> Store {
        Store::of(Settings::default(), Vec::new(), Vec::new(), vec![listener])
    }

    fn of(
        settings: Settings,
        gates: Vec<Box<dyn Gate>>,
        sinks: Vec<Box<dyn Sink>>,
        listeners: Vec<Box<dyn Listener>>,
    ) -> Store {
        let hasher = Hasher::with_seeds([1, 2, 3, 4]);
        let alone = Parts::alone(Arc::new(settings), hasher, 7);
        Store::around(Shard::new(Parts {
            gates,
            sinks,
            listeners,
            scripts: Box::new(Listed),
            ..alone
        }))
    }

    fn around(mut shard: Shard) -> Store {
        shard.effects().listen(true);
        shard.serve();
        Store { shard, session: Session::new(1, Peer::default(), START, true), now: START }
    }

    /// Moves the time on.
    pub(crate) fn tick(&mut self, milliseconds: i64) {
        self.now = self.now.saturating_add(milliseconds);
    }

    /// Changes a setting.
    pub(crate) fn configure(&mut self, name: &str, value: &str) {
        let mut settings = (**self.shard.settings()).clone();
        settings.set(name, &[value]).expect("the setting takes the value");
        self.shard.receive(Letter::Settings(Arc::new(settings)));
    }

    /// Runs one line, quoted as redis-cli has it; the reply as redis-cli prints it.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let mut words = Words::default();
        words.split(line.as_bytes()).expect("the line is well quoted");
        let words: Vec<&[u8]> = words.iter().collect();
        self.run_words(&words)
    }

    /// A batch of one request, at the shard's door.
    pub(crate) fn batch(&self, words: &[&[u8]]) -> Box<Batch> {
        let mut request = Vec::new();
        encode::command(&mut request, words);
        let frames = decoded(&request);
        let mut batch =
            Box::new(Batch::new(Home { thread: 0, connection: 0 }, self.session.clone()));
        batch.frames = frames;
        let renames = &self.shard.settings().rename_command;
        batch.route(Bytes::from(request), self.now, self.shard.hasher(), renames);
        batch
    }

    /// Runs one request.
    pub(crate) fn run_words(&mut self, words: &[&[u8]]) -> String {
        let mut batch = self.batch(words);
        batch.session.subscribed = std::mem::take(&mut self.session.subscribed);
        let batch = self.shard.visit(batch, &mut Still).expect("one shard has everything");
        self.session = batch.session;
        match batch.action {
            Some(action) => format!("(action) {action:?}"),
            None => printed(&batch.replies),
        }
    }

    /// What the commands since the last question have to journal, a line each, in quotes only where
    /// a word needs them.
    pub(crate) fn effects(&mut self) -> String {
        let (bytes, _) = self.shard.effects().take();
        let frames = decoded(&bytes);
        let lines = frames.frames.iter().map(|frame| {
            let bytes = frames.bytes_of(frame, &bytes);
            let words: Vec<String> =
                frames.args_of(frame).iter().map(|span| word(span.of(bytes))).collect();
            words.join(" ")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// What was recorded, as the journal's reader gives it: without the brackets of groups.
pub(crate) fn records_of(bytes: Vec<u8>, runs: &[Run]) -> Records {
    let frames = decoded(&bytes);
    let mut runs = runs.iter().peekable();
    let mut records = Records::default();
    for frame in &frames.frames {
        let end = (frame.raw.start + frame.raw.len) as usize;
        while runs.next_if(|run| run.end < end).is_some() {}
        let args = frames.args_of(frame);
        if [&b"MULTI"[..], b"EXEC"].contains(&args[0].of(&bytes)) {
            continue;
        }
        records.spans.extend_from_slice(args);
        let db = runs.peek().expect("every record is in a run").db;
        records.ends.push((db, records.spans.len() as u32));
    }
    records.bytes = Bytes::from(bytes);
    records
}

/// The requests in `bytes`, all of them.
pub(crate) fn decoded(bytes: &[u8]) -> Frames {
    let limits =
        Limits { batch_bytes: usize::MAX, batch_commands: usize::MAX, ..Limits::default() };
    let mut frames = Frames::default();
    Decoder::default().decode(bytes, &limits, &mut frames).expect("these are requests");
    frames
}

/// Runs a dialogue: lines that begin with `> ` are requests, what follows is the expected reply.
pub(crate) fn dialogue(store: &mut Store, script: &str) {
    let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        let request = line.strip_prefix("> ").expect("a dialogue begins with a request");
        let mut expected = Vec::new();
        while let Some(reply) = lines.next_if(|line| !line.starts_with("> ")) {
            expected.push(reply);
        }
        let reply = store.run(request);
        let got: Vec<&str> = reply.lines().map(str::trim).collect();
        assert_eq!(got, expected, "the reply to {request:?}");
    }
}

fn word(bytes: &[u8]) -> String {
    let plain = !bytes.is_empty() && bytes.iter().all(|byte| matches!(byte, b'!'..=b'~'));
    if plain { bytes.escape_ascii().to_string() } else { quoted(bytes) }
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii().to_string().replace("\\'", "'"))
}

/// A reply as redis-cli prints it to a terminal; an empty text where there is none.
pub(crate) fn printed(reply: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = reply;
    while !rest.is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        print(&mut rest, 0, &mut out);
    }
    out
}

fn print(rest: &mut &[u8], indent: usize, out: &mut String) {
    let line = take_line(rest);
    let text = String::from_utf8_lossy(&line[1..]).into_owned();
    let len = || text.parse::<usize>().ok();
    match line[0] {
        b'+' => out.push_str(&text),
        b'-' => *out += &format!("(error) {text}"),
        b':' => *out += &format!("(integer) {text}"),
        b',' => *out += &format!("(double) {text}"),
        b'(' => out.push_str(&text),
        b'_' => out.push_str("(nil)"),
        b'#' => *out += &format!("({})", if text == "t" { "true" } else { "false" }),
        b'$' | b'=' => match len() {
            None => out.push_str("(nil)"),
            Some(len) => {
                let (bytes, after) = rest.split_at(len);
                *rest = &after[2..];
                match line[0] {
                    b'=' => out.push_str(&String::from_utf8_lossy(&bytes[4..])),
                    _ => out.push_str(&quoted(bytes)),
                }
            }
        },
        kind @ (b'*' | b'~' | b'>') => match len() {
            None => out.push_str("(nil)"),
            Some(0) => out.push_str(if kind == b'~' { "(empty set)" } else { "(empty array)" }),
            Some(len) => print_list(rest, len, indent, if kind == b'~' { '~' } else { ')' }, out),
        },
        b'%' => match len() {
            None | Some(0) => out.push_str("(empty hash)"),
            Some(len) => print_map(rest, len, indent, out),
        },
        kind => panic!("no reply begins with {:?}", char::from(kind)),
    }
}

fn print_list(rest: &mut &[u8], len: usize, indent: usize, mark: char, out: &mut String) {
    let width = len.to_string().len();
    for number in 1..=len {
        if number > 1 {
            let _ = write!(out, "\n{:indent$}", "");
        }
        let _ = write!(out, "{number:width$}{mark} ");
        print(rest, indent + width + 2, out);
    }
}

fn print_map(rest: &mut &[u8], len: usize, indent: usize, out: &mut String) {
    let width = len.to_string().len();
    for number in 1..=len {
        if number > 1 {
            let _ = write!(out, "\n{:indent$}", "");
        }
        let _ = write!(out, "{number:width$}# ");
        print(rest, indent + width + 2, out);
        out.push_str(" => ");
        print(rest, indent + width + 2, out);
    }
}

fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a reply ends its lines");
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_print_as_redis_cli_prints_them() {
        assert_eq!(printed(b"+OK\r\n"), "OK");
        assert_eq!(printed(b"$3\r\na\"b\r\n"), "\"a\\\"b\"");
        assert_eq!(
            printed(b"*2\r\n*2\r\n:1\r\n$-1\r\n*0\r\n"),
            "1) 1) (integer) 1\n   2) (nil)\n2) (empty array)"
        );
        assert_eq!(printed(b"%1\r\n+a\r\n,1.5\r\n"), "1# a => (double) 1.5");
        assert_eq!(printed(b""), "");
    }

    #[test]
    fn a_store_answers_and_an_error_is_a_reply() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > GET nothing
            (nil)
            > GET
            (error) ERR wrong number of arguments for 'get' command
            > NOSUCH a "b c"
            (error) ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b c' 
            "#,
        );
        assert_eq!(store.effects(), "");
    }
}
