//! The sink behind HOTKEYS: what commands take, by their keys.
//!
//! While no session collects and `hotkeys-top-k` is 0 it has nothing to see, and costs nothing. A
//! session counts what a client sent and its transactions run: time and bytes of a script belong to
//! the keys that its call names. Windows count each key of each command that ran, those that a
//! script has called instead of the script itself.
//!
//! Divergences: Valkey counts lookups, so that OBJECT counts for nothing there and a command that
//! looks twice counts double. Nor are windows forgotten when a database is emptied: they are over
//! soon, and tell what was asked for.

use crate::commands::command::Run;
use crate::counted::hotkeys::{Collected, HotKeys, Windows, WindowsKept};
use crate::hook::answer::Answer;
use crate::hook::push::Push;
use crate::hook::{Called, Outcome, Published, Sees, Sink};
use crate::question::Question;

/// Counts for the keys of a shard.
#[derive(Debug, Default)]
pub struct HotKeyCounts {
    collected: Option<Box<Collected>>,
    windows: Option<Box<Windows>>,
}

impl Sink for HotKeyCounts {
    fn adapt(&mut self, published: &Published<'_>) -> Sees {
        match (published.hotkeys, &mut self.collected) {
            (Some(session), Some(collected)) if session.number == collected.session().number => {
                collected.goes_on_as(*session);
            }
            (session, collected) => {
                *collected = session.map(|session| Box::new(Collected::new(*session)));
            }
        }
        match (WindowsKept::of(published.settings), &mut self.windows) {
            (Some(kept), Some(windows)) if windows.kept() == kept => {}
            (Some(kept), Some(windows)) => windows.keep(kept),
            (kept, windows) => *windows = kept.map(|kept| Box::new(Windows::new(kept))),
        }
        let collects = published.hotkeys.is_some_and(|session| !session.is_over);
        if collects || self.windows.is_some() { Sees::ALL } else { Sees::NONE }
    }

    fn called(&mut self, called: &Called<'_>, _pushes: &mut Vec<Push>) {
        let reply = match called.outcome {
            Outcome::Refused(_) => return,
            Outcome::Ran(bytes) => bytes,
            // An error stands between a minus sign and an end of line.
            Outcome::Failed(error) => error.to_string().len() + 3,
        };
        let call = called.call;
        // EXEC has the keys of what it runs, which is told of by itself.
        if call.command.keys.is_empty() {
            return;
        }
        if let Some(collected) = &mut self.collected
            && collected.session().is_active(called.now)
            && !called.in_script
        {
            let bytes = (call.raw.len() + reply) as u64;
            collected.count(call.declared_keys(), called.nanos, bytes);
        }
        if let Some(windows) = &mut self.windows
            && !matches!(call.command.run, Run::Script(_))
        {
            windows.count(called.now, called.session.db, call.declared_keys());
        }
    }

    fn answer(&mut self, question: &Question) -> Option<Answer> {
        match question {
            Question::HotKeys(now) => Some(Answer::HotKeys(Box::new(HotKeys {
                collected: self.collected.as_ref().map(|collected| collected.told()),
                window: self.windows.as_mut().map(|of| of.told(*now)).unwrap_or_default(),
            }))),
            Question::ForgetHotKeys => {
                self.windows.iter_mut().for_each(|windows| windows.reset());
                None
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::millis::Millis;
    use crate::commands::action::CollectHotKeys;
    use crate::counted::hotkeys::{CollectedKeys, CpuTime, HotKeySession, Weighed};
    use crate::hooks::sample;
    use crate::settings::Settings;
    use crate::shard::letter::Letter;
    use crate::testing::{START, Store};

    fn session(number: u64) -> HotKeySession {
        let asked =
            CollectHotKeys { cpu: true, net: true, count: 10, duration_ms: None, sample: 1 };
        let (since, cpu) = (START, CpuTime::default());
        HotKeySession { number, asked, since, until: None, is_over: false, cpu }
    }

    fn store() -> Store {
        Store::with_layers(Vec::new(), vec![Box::new(HotKeyCounts::default())])
    }

    fn begin(store: &mut Store, session: HotKeySession) {
        store.shard.receive(Letter::HotKeys(Some(Arc::new(session))));
    }

    fn asked(store: &mut Store, now: Millis) -> HotKeys {
        match store.shard.answer(&Question::HotKeys(now)) {
            Answer::HotKeys(told) => *told,
            other => panic!("{other:?}"),
        }
    }

    fn by_bytes(store: &mut Store) -> Vec<(String, u64)> {
        let collected: CollectedKeys = asked(store, START).collected.unwrap();
        shown(&collected.by_bytes)
    }

    fn shown(keys: &[Weighed]) -> Vec<(String, u64)> {
        let shown = |key: &Weighed| (String::from_utf8(key.name.clone()).unwrap(), key.weight);
        let mut keys: Vec<(String, u64)> = keys.iter().map(shown).collect();
        keys.sort_unstable();
        keys
    }

    fn pairs<const N: usize>(pairs: [(&str, u64); N]) -> Vec<(String, u64)> {
        pairs.map(|(name, weight)| (name.to_owned(), weight)).into()
    }

    #[test]
    fn nothing_is_seen_while_nobody_wants_it() {
        let mut sink = HotKeyCounts::default();
        let mut settings = Settings::default();
        assert_eq!(sample::sees(&mut sink, &settings), Sees::NONE);
        settings.hotkeys.top_k = 5;
        assert_eq!(sample::sees(&mut sink, &settings), Sees::ALL);
        settings.hotkeys.top_k = 0;
        assert_eq!(sample::sees(&mut sink, &settings), Sees::NONE);
        let monitors = Arc::default();
        let mut of = |is_over| {
            let session = HotKeySession { is_over, ..session(1) };
            let hotkeys = Some(&session);
            sink.adapt(&Published { settings: &settings, monitors: &monitors, hotkeys })
        };
        assert_eq!((of(false), of(true)), (Sees::ALL, Sees::NONE));
    }

    /// Requests and replies are counted as they stand on the wire.
    #[test]
    fn bytes_go_to_the_keys_of_a_command() {
        let mut store = store();
        begin(&mut store, session(1));
        store.run("set a 1");
        store.run("ping");
        assert_eq!(by_bytes(&mut store), pairs([("a", 27 + 5)]));
        store.run("mset b 1 c 2");
        store.run("incr nokey nokey");
        store.run("lpush a 1");
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n".len();
        let mset = (4 + 10 + 7 + 7 + 7 + 7 + 5) as u64;
        let expected = [("a", 32 + 29 + wrong as u64), ("b", mset.div_ceil(2)), ("c", mset / 2)];
        assert_eq!(by_bytes(&mut store), pairs(expected), "what did not run is not counted");
        begin(&mut store, session(2));
        assert_eq!(by_bytes(&mut store), pairs([]), "another session begins at nothing");
    }

    #[test]
    fn what_exec_runs_is_counted_once_and_a_script_for_the_keys_of_its_call() {
        let mut store = store();
        begin(&mut store, session(1));
        for line in ["multi", "set a 1", "get a", "exec"] {
            store.run(line);
        }
        assert_eq!(by_bytes(&mut store), pairs([("a", 27 + 5 + 20 + 7)]));
        begin(&mut store, session(2));
        assert_eq!(store.run("eval \"SET y 1\" 1 x"), "OK");
        let found = by_bytes(&mut store);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "x");
    }

    #[test]
    fn a_session_ends_by_the_time_of_the_calls() {
        let mut store = store();
        let until = Some(START.saturating_add(1_000));
        begin(&mut store, HotKeySession { until, ..session(1) });
        store.run("get a");
        store.tick(1_000);
        store.run("get b");
        assert_eq!(by_bytes(&mut store).len(), 1);
        begin(&mut store, HotKeySession { until, is_over: true, ..session(1) });
        assert_eq!(by_bytes(&mut store).len(), 1, "it can be asked still");
        store.shard.receive(Letter::HotKeys(None));
        assert_eq!(asked(&mut store, START).collected, None);
    }

    #[test]
    fn windows_count_what_scripts_call_and_tell_databases_apart() {
        let mut store = store();
        let mut settings = Settings::default();
        settings.hotkeys.top_k = 5;
        settings.hotkeys.sampling_percentage = 100;
        store.shard.receive(Letter::Settings(Arc::new(settings)));
        store.run("get a");
        store.run("select 3");
        store.run("exists a b");
        assert_eq!(store.run("eval \"GET b\" 1 b"), "(nil)");
        let soon = START.saturating_add(1_000);
        let mut told: Vec<(String, u32, u64)> = asked(&mut store, soon)
            .window
            .into_iter()
            .map(|key| (String::from_utf8(key.name).unwrap(), key.id.db, key.weight))
            .collect();
        told.sort_unstable();
        let expected = [("a", 0, 1), ("a", 3, 1), ("b", 3, 2)];
        assert_eq!(told, expected.map(|(name, db, rate)| (name.to_owned(), db, rate)));
        store.shard.answer(&Question::ForgetHotKeys);
        assert!(asked(&mut store, soon).window.is_empty());
    }
}
