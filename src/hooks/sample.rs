//! Calls and sessions for the tests of gates and sinks.

use std::sync::{Arc, LazyLock};

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{Command, Flags, Run};
use crate::hook::{Called, Outcome, Published, Sees, Sink, Standing};
use crate::resp::Span;
use crate::route::Map;
use crate::session::{Peer, Session};
use crate::settings::Settings;

/// A shard that serves.
pub(crate) const SERVING: Standing<'static> = Standing::WELL;

static HASHER: LazyLock<Hasher> = LazyLock::new(|| Hasher::with_seeds([1, 2, 3, 4]));
static MAP: LazyLock<Map> = LazyLock::new(|| Map::new(1));
static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);

/// A client that may do everything.
pub(crate) fn session() -> Session {
    let peer = Peer { address: "127.0.0.1:5000".into(), ..Peer::default() };
    Session::new(7, peer, Millis(0), true)
}

/// A command of its own for the server.
pub(crate) fn command(flags: Flags) -> &'static Command {
    Box::leak(Box::new(Command { flags, ..Command::BASE }))
}

/// A command of its own on keys.
pub(crate) fn on_keys(flags: Flags) -> &'static Command {
    Box::leak(Box::new(Command { flags, run: Run::Keys(|_, _, _| Ok(())), ..Command::BASE }))
}

/// A call without arguments.
pub(crate) fn call(command: &'static Command) -> Call<'static> {
    Call {
        command,
        input: b"",
        spans: &[],
        raw: b"",
        now: Millis(1_700_000_000_000),
        hasher: &HASHER,
        settings: &SETTINGS,
        map: &MAP,
        keys: &[],
    }
}

/// A call of a known command with these words, their bytes leaked.
pub(crate) fn words(words: &[&str]) -> Call<'static> {
    let mut input = Vec::new();
    let mut spans = Vec::new();
    for word in words {
        let start = input.len();
        input.extend_from_slice(word.as_bytes());
        spans.push(Span { start: start as u32, len: word.len() as u32 });
    }
    let (input, spans): (&[u8], &[Span]) = (input.leak(), spans.leak());
    let crate::commands::registry::Found::Command(command) =
        crate::commands::registry::find(input, spans, &crate::settings::Renames::default())
    else {
        panic!("{words:?} is no command");
    };
    Call { input, spans, raw: input, ..call(command) }
}

/// Which calls a sink has to see under these settings.
pub(crate) fn sees(sink: &mut dyn Sink, settings: &Settings) -> Sees {
    sink.adapt(&Published { settings, monitors: &Arc::default(), hotkeys: None })
}

/// A call that ended well after `micros`.
pub(crate) fn ran<'a>(call: &'a Call<'a>, session: &'a Session, micros: u64) -> Called<'a> {
    let outcome = Outcome::Ran(5);
    Called {
        call,
        session,
        now: call.now,
        nanos: micros * 1000,
        outcome,
        effects: b"",
        has_waited: false,
        in_script: false,
    }
}
