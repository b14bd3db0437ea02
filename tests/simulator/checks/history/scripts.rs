//! Scripts: each stands in the order where it is over, whole.
//!
//! The engine tells what a run calls and how it is answered. All of that must be what the model
//! answers when it runs the script there, with nothing of others in between: whoever has run
//! meanwhile has seen none of it, and it has seen none of them. A run that was ended by others, or
//! that runs again, has changed nothing, and neither what has expired under it: that is back.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ended, Expected, History, Told, UNREST_MS};
use crate::checks::durability::What;
use crate::model::Entry;
use crate::rare::Rare;
use crate::reply::Reply;
use crate::scripts::{self, Called, Replayed};
use crate::workload::Call;

/// Errors of those that are ended by others.
const KILLED: [&str; 2] = [
    "ERR Error running script (call to user_script): Script killed by user with SCRIPT KILL",
    "ERR the script has run longer than script-max-run-ms allows",
];

/// A run.
#[derive(Debug, Default)]
pub struct Run {
    called: Vec<Called>,
    is_done: bool,
    is_killed: bool,
    took_long: bool,
}

impl Run {
    fn has_written(&self) -> bool {
        self.called.iter().any(writes)
    }
}

fn writes(called: &Called) -> bool {
    !matches!(called.words[0].as_str(), "GET" | "MGET" | "DBSIZE" | "PUBLISH")
}

/// Scripts that run, and those that are known.
#[derive(Debug, Default)]
pub struct Scripts {
    /// Whose call has begun last, by shard.
    begun: BTreeMap<u16, u64>,
    /// Whose script calls a command, by shard.
    inside: BTreeMap<u16, u64>,
    /// The runs of clients.
    runs: BTreeMap<u64, Run>,
    /// What has expired under scripts of clients that are not over.
    expired: BTreeMap<u64, Vec<(String, Entry)>>,
    /// When a run of somebody took long last.
    took_long: Option<i64>,
    /// Digests of scripts that all shards know.
    known: BTreeSet<String>,
    /// What was rare.
    met: Vec<Rare>,
}

impl Scripts {
    /// A run begins on a shard. Returns whose it is.
    pub fn begins(&mut self, shard: u16) -> u64 {
        let client = self.begun.get(&shard).copied().unwrap_or_default();
        let before = self.runs.insert(client, Run::default());
        self.met.extend(before.map(|_| Rare::ScriptRanAgain));
        client
    }

    /// A run calls a command.
    pub fn calls(&mut self, shard: u16, client: u64) {
        self.inside.insert(shard, client);
    }

    /// A run gives its thread back.
    pub fn takes_long(&mut self, shard: u16, client: u64, now: i64) {
        self.leaves(shard, client);
        self.took_long = Some(now);
        if let Some(run) = self.runs.get_mut(&client) {
            run.took_long = true;
        }
    }

    /// Commands of a client's scripts are not what runs on a shard any more.
    pub fn leaves(&mut self, shard: u16, client: u64) {
        if self.is_inside(shard, client) {
            self.inside.remove(&shard);
        }
    }

    /// A run has ended.
    pub fn is_done(&mut self, shard: u16, client: u64) {
        self.leaves(shard, client);
        if let Some(run) = self.runs.get_mut(&client) {
            run.is_done = true;
        }
    }

    /// Somebody wants a run ended.
    pub fn is_killed(&mut self, client: u64) {
        if let Some(run) = self.runs.get_mut(&client) {
            run.is_killed = true;
        }
    }

    pub(super) fn is_inside(&self, shard: u16, client: u64) -> bool {
        self.inside.get(&shard) == Some(&client)
    }

    /// No command of a script runs on a shard.
    pub(super) fn settle(&mut self, shard: u16) {
        self.inside.remove(&shard);
    }

    pub(super) fn take(&mut self, client: u64) -> Option<Run> {
        self.runs.remove(&client)
    }

    pub(super) fn give(&mut self, client: u64, run: Option<Run>) {
        self.runs.extend(run.map(|run| (client, run)));
    }

    /// Under whose script a key expires on a shard, if under any.
    pub(super) fn expires(&mut self, shard: u16, key: &str, entry: &Entry) -> bool {
        let Some(client) = self.inside.get(&shard) else { return false };
        self.expired.entry(*client).or_default().push((key.to_owned(), entry.clone()));
        true
    }
}

impl History {
    /// Whether a script may keep something for long that others need.
    pub(super) fn is_busy(&self) -> bool {
        self.scripts.took_long.is_some_and(|at| self.now - at <= UNREST_MS)
    }

    /// A command of a client's script is answered. Who watches what it has written may be told that
    /// it has changed, whatever becomes of the script.
    pub fn answered_script(&mut self, client: u64, called: Called) {
        if writes(&called) {
            let call = Call(called.words.clone());
            let keys = call.keys();
            let logs = self.connections.values_mut();
            logs.for_each(|log| log.watches.touched(keys.as_deref()));
        }
        if let Some(run) = self.scripts.runs.get_mut(&client) {
            run.called.push(called);
        }
    }

    /// A call of a connection is about to run on a shard, perhaps inside an EXEC that has scripts:
    /// notes whose it is, and whether its script is known.
    pub(super) fn note_begun(&mut self, shard: u16, connection: u64) {
        self.scripts.begun.insert(shard, connection);
        let Some(log) = self.connections.get_mut(&connection) else { return };
        let queued = log.multi.as_ref().map(|multi| &multi.queued);
        let next = log.sent.front();
        let is_exec = next.is_some_and(|call| call.name() == "EXEC");
        let call = match (is_exec, queued) {
            (true, Some(queued)) => queued.get(log.held_back.len()),
            _ => next,
        };
        let Some(call) = call else { return };
        if call.name().starts_with("EVALSHA") {
            log.knew.get_or_insert(self.scripts.known.contains(&call.0[1]));
        }
    }

    /// A key is as it was before something that was taken back.
    pub fn put_back(&mut self, key: &str) {
        for expired in self.scripts.expired.values_mut() {
            if let Some(at) = expired.iter().position(|(of, _)| of == key) {
                let (key, entry) = expired.remove(at);
                self.model.entries.insert(key, entry);
            }
        }
    }

    /// What has expired under a client's scripts is back.
    pub(super) fn restore_expired(&mut self, connection: u64) {
        for (key, entry) in self.scripts.expired.remove(&connection).unwrap_or_default() {
            self.model.entries.insert(key, entry);
        }
    }

    /// All shards know a script from now on.
    pub(super) fn is_known(&mut self, digest: String) {
        self.scripts.known.insert(digest);
    }

    /// A call that runs a script was refused, or has panicked.
    pub(super) fn script_broke(&mut self, call: &Call, told: &Told<'_>) {
        let (run, _) = self.take_run(call, told);
        self.restore_expired(told.connection);
        let has_panicked = matches!(told.ended, Ended::Panicked(_)) && run.is_some();
        self.met.extend(has_panicked.then_some(Rare::ScriptPanicked));
        self.has_no_effect(call, told);
    }

    /// The run of a call that is over, and whether its script was known when the call began.
    fn take_run(&mut self, call: &Call, told: &Told<'_>) -> (Option<Run>, bool) {
        let log = self.connections.get_mut(&told.connection);
        let knew = log.and_then(|log| log.knew.take()).unwrap_or_default();
        self.scripts.leaves(told.shard, told.connection);
        self.met.append(&mut self.scripts.met);
        let Some(run) = self.scripts.take(told.connection) else { return (None, knew) };
        let is_digest = call.name().starts_with("EVALSHA");
        let word = &call.0[1];
        self.is_known(if is_digest { word.clone() } else { scripts::digest(word) });
        self.met.extend(run.took_long.then_some(Rare::ScriptStoodStill));
        // One that was taken back on its way to more slots, and refused there, has called nothing.
        if !matches!(told.ended, Ended::Refused(_)) {
            let refused = run.called.iter().filter(|called| scripts::is_refusal(&called.reply));
            self.counted += (run.called.len() - refused.count()) as u64;
        }
        (Some(run), knew)
    }

    /// A call has ended that runs a script.
    pub(super) fn ran_script(&mut self, call: Call, told: &Told<'_>) -> Expected {
        let Told { shard, connection, .. } = *told;
        let (run, knew) = self.take_run(&call, told);
        if self.exec.is_none() {
            self.expired.remove(&shard);
        }
        if let Some(run) = run.as_ref().filter(|run| run.is_done && !run.is_killed) {
            return self.ran_whole(call, told, run);
        }
        self.restore_expired(connection);
        self.has_no_effect(&call, told);
        let is_killed = run.as_ref().is_some_and(|run| run.is_killed);
        let has_written = run.as_ref().is_some_and(Run::has_written);
        let rare = if has_written { Rare::ScriptUndone } else { Rare::ScriptKilled };
        self.met.extend(is_killed.then_some(rare));
        let error = told.error.clone().unwrap_or_default();
        let is_right = match error.split(' ').next() {
            Some("NOSCRIPT") => !knew,
            Some("LOADING") => self.is_restless(),
            _ => is_killed && KILLED.iter().any(|text| error.starts_with(text)),
        };
        self.met.extend(error.starts_with("NOSCRIPT").then_some(Rare::NoScript));
        if !is_right {
            self.fail(format!("{call} of {connection} ends for no reason: {error:?}, {run:?}"));
        }
        Expected::plain(call, Reply::Error(error))
    }

    /// What a script has not done to its end must not be in the journal.
    fn has_no_effect(&mut self, call: &Call, told: &Told<'_>) {
        if !told.effects.is_empty() {
            let effects = String::from_utf8_lossy(told.effects);
            self.fail(format!("{call} of {} has left {effects:?}", told.connection));
        }
    }

    /// A script has run to its end.
    fn ran_whole(&mut self, call: Call, told: &Told<'_>, run: &Run) -> Expected {
        let Told { shard, connection, now, .. } = *told;
        let Replayed { reply, ran, wrong } =
            scripts::replay(&call, &run.called, &mut self.model, now);
        if let Some(wrong) = wrong {
            self.fail(format!("{call} of {connection}: {wrong}"));
        }
        let has_failed = matches!(reply, Reply::Begins(_)) && ran.len() > 1;
        self.met.extend(has_failed.then_some(Rare::ScriptFailed));
        let expired = self.scripts.expired.remove(&connection).unwrap_or_default();
        let is_write = !told.effects.is_empty();
        let keys: Option<Vec<Vec<&str>>> = ran.iter().map(Call::keys).collect();
        let keys = keys.map(|keys| keys.concat());
        if is_write || !expired.is_empty() {
            let time = self.now;
            let gone = expired.into_iter().map(|(key, _)| What::Expired(key, time));
            let calls = ran.iter().map(|call| What::Call(call.clone(), now));
            let what = What::Transaction(gone.chain(calls).collect());
            let id = self.durability.changed(shard, what, keys.as_deref());
            self.connections.entry(connection).or_default().changed = Some(id);
            let logs = self.connections.values_mut();
            logs.for_each(|log| log.watches.touched(keys.as_deref()));
        }
        let last = self.connections.get(&connection).and_then(|log| log.changed);
        for call in ran.iter().filter(|call| call.name() == "PUBLISH") {
            self.pushes.published(connection, &call.0[2], last);
        }
        let shows = self.durability.seen(keys.as_deref());
        Expected { is_write, shows, inner: ran, ..Expected::plain(call, reply) }
    }
}
