//! MULTI, EXEC and what stands around them.
//!
//! Where a script is among what EXEC runs, others may run while the script stands still, or is
//! made known to all shards: what EXEC has run is looked at when EXEC itself is over. Until then
//! it holds all that it has touched.

use super::{Ended, Exec, Expected, History, Multi, Told};
use crate::checks::history::scripts::Run;
use crate::checks::watched::Watches;
use crate::rare::Rare;
use crate::reply::Reply;
use crate::workload::Call;

/// What a shard has told of a command of a transaction with scripts.
#[derive(Debug)]
pub(super) struct HeldBack {
    shard: u16,
    raw: Vec<u8>,
    now: i64,
    ended: Ended,
    error: Option<String>,
    effects: Vec<u8>,
    run: Option<Run>,
    knew: Option<bool>,
}

impl History {
    /// Whether a call is one of a transaction that EXEC, the next call of the connection, runs.
    pub(super) fn is_nested(&self, connection: u64, raw: &[u8]) -> bool {
        self.connections.get(&connection).is_some_and(|log| {
            let next = log.sent.front().filter(|call| call.name() == "EXEC");
            log.multi.is_some() && next.is_some_and(|exec| exec.encoded() != raw)
        })
    }

    /// Whether something about scripts is among what a connection has queued.
    pub(super) fn queues_scripts(&self, connection: u64) -> bool {
        let multi = self.connections.get(&connection).and_then(|log| log.multi.as_ref());
        let is_one = |call: &Call| call.is_script() || call.name() == "SCRIPT";
        multi.is_some_and(|multi| multi.queued.iter().any(is_one))
    }

    /// What was told is looked at when EXEC is over.
    pub(super) fn hold_back(&mut self, told: Told<'_>) {
        let Told { shard, connection, raw, now, ended, error, effects, .. } = told;
        let run = self.scripts.take(connection);
        self.scripts.leaves(shard, connection);
        let (raw, effects) = (raw.to_vec(), effects.to_vec());
        let log = self.connections.entry(connection).or_default();
        let knew = log.knew.take();
        let has_changed = !effects.is_empty();
        log.held_back.push(HeldBack { shard, raw, now, ended, error, effects, run, knew });
        // It may be undone, and run again with more slots: who watches its keys does not know.
        if has_changed {
            self.connections.values_mut().for_each(|log| log.watches.touched(None));
        }
    }

    /// EXEC is over that had scripts: what it has run stands in the order now, if it is whole.
    pub(super) fn look_at_held_back(&mut self, connection: u64, now: i64, is_whole: bool) {
        let log = self.connections.entry(connection).or_default();
        let held_back = std::mem::take(&mut log.held_back);
        if !is_whole {
            log.knew = None;
            drop(self.scripts.take(connection));
            return self.restore_expired(connection);
        }
        if !held_back.is_empty() {
            self.begin_exec(connection, now);
        }
        for HeldBack { shard, raw, now, ended, error, effects, run, knew } in held_back {
            self.scripts.give(connection, run);
            self.connections.entry(connection).or_default().knew = knew;
            let (raw, effects) = (&raw[..], &effects[..]);
            let has_waited = false;
            let told = Told { shard, connection, raw, now, ended, error, effects, has_waited };
            self.ran_nested(&told);
        }
    }

    pub(super) fn begin_exec(&mut self, connection: u64, now: i64) {
        let log = self.connections.entry(connection).or_default();
        if let Some(key) = log.watches.must_fail(now) {
            let broken = format!("EXEC of {connection} runs though {key}, watched, has changed");
            return self.fail(broken);
        }
        let (before, tick) = (self.model.clone(), self.tick);
        self.exec = Some(Exec { connection, replies: Vec::new(), inner: Vec::new(), before, tick });
        self.durability.begin();
    }

    /// One of the commands around a transaction.
    pub(super) fn ran_around(&mut self, call: Call, told: &Told<'_>) -> Expected {
        let log = self.connections.entry(told.connection).or_default();
        if call.name() == "EXEC" {
            return self.ran_exec(call, told);
        }
        match &told.ended {
            Ended::Refused(error) => {
                log.multi.iter_mut().for_each(|multi| multi.is_aborted = true);
                return Expected::plain(call, Reply::Error(error.clone()));
            }
            Ended::Panicked(error) => return Expected::plain(call, Reply::Error(error.clone())),
            Ended::Ran => {}
        }
        let mut reply = Reply::ok();
        match call.name() {
            "MULTI" => log.multi = Some(Multi::default()),
            "WATCH" => {
                for key in call.keys().unwrap_or_default() {
                    log.watches.begin(key, &self.model, told.now);
                }
                let shows = self.durability.seen(call.keys().as_deref());
                return Expected { shows, ..Expected::plain(call, reply) };
            }
            "DISCARD" if log.multi.take().is_none() => {
                reply = Reply::Error("ERR DISCARD without MULTI".to_owned());
            }
            _ => log.watches.clear(),
        }
        Expected::plain(call, reply)
    }

    /// A command of a transaction.
    pub(super) fn ran_nested(&mut self, told: &Told<'_>) {
        let Told { shard, connection, raw, now, .. } = *told;
        if self.exec.is_none() {
            self.begin_exec(connection, now);
        }
        let Some(exec) = &mut self.exec else { return };
        let multi = self.connections.get(&connection).and_then(|log| log.multi.as_ref());
        let next = multi.and_then(|multi| multi.queued.get(exec.replies.len()));
        let Some(call) = next.filter(|call| call.encoded() == raw).cloned() else {
            let (next, raw) = (next.cloned(), String::from_utf8_lossy(raw));
            return self.fail(format!("{next:?} is next in a transaction, and {raw:?} ran"));
        };
        self.notes.push(format!("{connection} on shard {shard}: EXEC: {call}, {:?}", told.ended));
        let expected = self.ran_plainly(call, told);
        let exec = self.exec.as_mut().expect("it was there");
        exec.replies.push(expected.ordered(expected.reply.clone()));
        exec.inner.extend(expected.inner);
        self.look();
    }

    fn ran_exec(&mut self, call: Call, told: &Told<'_>) -> Expected {
        let log = self.connections.entry(told.connection).or_default();
        let multi = log.multi.take();
        let watches =
            if multi.is_some() { std::mem::take(&mut log.watches) } else { Watches::default() };
        let exec = self.exec.take();
        let is_whole = told.ended == Ended::Ran;
        let is_write = exec.is_some() && self.durability.end(is_whole);
        let reply = match (&told.ended, multi, exec) {
            (Ended::Refused(error), ..) => Reply::Error(error.clone()),
            (Ended::Panicked(error), _, exec) => {
                if let Some(Exec { before, tick, replies, .. }) = exec {
                    self.model = before;
                    self.expired.remove(&told.shard);
                    let logs = self.connections.values_mut();
                    logs.for_each(|log| log.watches.taken_back(tick, &self.model));
                    self.met.extend((!replies.is_empty()).then_some(Rare::ExecPanicked));
                }
                self.broke();
                Reply::Error(error.clone())
            }
            (Ended::Ran, None, _) => Reply::Error("ERR EXEC without MULTI".to_owned()),
            (Ended::Ran, Some(multi), None) if multi.is_aborted => {
                self.met.push(Rare::ExecAborted);
                let text = "EXECABORT Transaction discarded because of previous errors.";
                Reply::Error(text.to_owned())
            }
            // What it needs a script keeps for long.
            (Ended::Ran, Some(_), None) if told.error.is_some() && self.is_busy() => {
                self.met.push(Rare::Busy);
                Reply::Error(told.error.clone().unwrap_or_default())
            }
            (Ended::Ran, Some(multi), Some(exec)) => {
                if multi.is_aborted || multi.queued.len() != exec.replies.len() {
                    self.fail(format!("{multi:?} ran as {:?}", exec.replies));
                }
                let keys = multi.queued.iter().chain(&exec.inner).map(Call::looked_at);
                let keys: Option<Vec<&str>> =
                    keys.collect::<Option<Vec<_>>>().map(|keys| keys.concat());
                let shows = self.durability.seen(keys.as_deref());
                self.exec_keys.extend(keys.iter().flatten().map(|key| (*key).to_owned()));
                let (nested, reply) = (multi.queued, Reply::List(exec.replies));
                let inner = exec.inner;
                return Expected { nested, is_write, shows, inner, ..Expected::plain(call, reply) };
            }
            (Ended::Ran, Some(multi), None) if multi.queued.is_empty() => Reply::List(Vec::new()),
            (Ended::Ran, Some(_), None) => {
                self.met.push(Rare::WatchFailed);
                // A shard that does not serve does not know either.
                if !watches.may_fail(told.now) && !self.is_restless() {
                    let connection = told.connection;
                    self.fail(format!("EXEC of {connection} fails without a cause: {watches:?}"));
                }
                Reply::Nil
            }
        };
        Expected::plain(call, reply)
    }
}
