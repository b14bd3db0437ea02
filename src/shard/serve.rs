//! Waits: how they begin, how whoever changes a key serves those that wait for it, and how they end
//! at home.
//!
//! Served are, in the order in which they came, those that wait for a key that has changed, as soon
//! as the call that changed it is over, and EXEC as a whole; and then those that wait for keys that
//! this has changed, until nobody is left for whom there is something. So all of that is over ahead
//! of anybody's next call. A waiter that needs other slots as well (BLMOVE) gets them ahead: the
//! call that changes its key takes them along (`Engine::lacks_for_waiters`).

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use crate::base::millis::Millis;
use crate::batch::Batch;
use crate::commands::call::Call;
use crate::commands::command::{Command, Run};
use crate::commands::error::CommandError;
use crate::commands::run::{Blocking, Wait};
use crate::hook::{self, Called, Phase};
use crate::keyspace::interest::{Awaited, Rank, Waiter};
use crate::keyspace::key::Key;
use crate::keyspace::keys::{AwaitedKey, Keys};
use crate::parked::{Outcome, Parked, Served, Waits, Why};
use crate::resp::Reply;
use crate::route::ShardId;
use crate::shard::call::Environment;
use crate::shard::execute::{Around, Ended, Engine, Marks, Origin};
use crate::shard::letter::Letter;
use crate::shard::turn::Ready;
use crate::shard::{Shard, Ticks};

const UNBLOCKED: CommandError = CommandError::Text("UNBLOCKED client unblocked via CLIENT UNBLOCK");
const IS_REPLICA: CommandError = CommandError::Text(
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
);

impl Engine {
    /// Notes the slots that a call needs for those that wait for its keys. Returns true where there
    /// are some.
    #[inline]
    pub(super) fn lacks_for_waiters(&self, call: &Call<'_>, wider: &mut Vec<u16>) -> bool {
        if !self.space.has_interest() || !call.command.writes() || !call.command.run.is_on_keys() {
            return false;
        }
        // What is refused may run where its own slots are not.
        if self.phase != Phase::Serving {
            return false;
        }
        if !call.declared_keys().any(|key| self.space.is_of_interest(key.slot)) {
            return false;
        }
        let needs = self.space.needs_of_waiters(call.declared_keys());
        wider.extend(&needs);
        !needs.is_empty()
    }

    /// The next call of a batch found nothing, in so many nanoseconds: its client waits for its
    /// keys, which are all here.
    pub(super) fn park(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        command: &'static Command,
        wait: Wait,
        nanos: u64,
    ) {
        let Run::Blocking(Blocking { awaited, on_first_key, .. }) = command.run else { return };
        let Wait { until, nil, fixed } = wait;
        let (has_waited, client) = (batch.rank.is_some(), batch.session.id);
        let rank = batch.rank.take().unwrap_or_else(|| {
            // Shards count by themselves; who waits for the same key stands behind nevertheless.
            let (call, around) = batch.split(command, env);
            let db = around.session.db;
            let last =
                call.declared_keys().filter_map(|key| self.space.last_number(db, key, awaited));
            self.waits = 1 + last.max().unwrap_or_default().max(self.waits);
            Rank { number: self.waits, client }
        });
        let home = batch.home;
        let (call, around) = batch.split(command, env);
        let mut words: Vec<&[u8]> = call.args_from(0).collect();
        for (at, word) in &fixed {
            words[*at] = word;
        }
        if !has_waited && self.sinks.see(0, call.raw.len(), 0) {
            let (session, outcome) = (&*around.session, hook::Outcome::Ran(0));
            let called = Called {
                call: &call,
                session,
                now: call.now,
                nanos: 0,
                outcome,
                effects: b"",
                has_waited,
                in_script: false,
            };
            self.sinks.waits(&called, &mut self.pushes);
        }
        around.session.last = Some(command);
        let (session, keys) = (&*around.session, call.keys);
        let parked = Parked::new(Waits {
            rank,
            home,
            session,
            command,
            words,
            keys,
            on_first_key,
            until,
            nil,
            nanos,
        });
        self.let_wait(&parked, awaited);
        batch.parked = Some(parked);
    }

    /// Somebody waits from now on for those of its keys whose slots are here.
    fn let_wait(&mut self, parked: &Arc<Parked>, awaited: Awaited) {
        let db = parked.session.db;
        for key in parked.awaited() {
            let waiter: Weak<dyn Waiter> = Arc::downgrade(&(Arc::clone(parked) as Arc<dyn Waiter>));
            self.space.wait(db, key, awaited, parked.rank, waiter);
        }
    }

    /// The next call of a batch was run. Serves those that wait for keys that have changed; behind
    /// a transaction that goes on later, when that is over.
    #[inline]
    pub(super) fn serve_behind(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        clock: &mut dyn Ticks,
    ) {
        match &mut batch.exec {
            Some(exec) => exec.awaited.append(&mut self.tools.awaited),
            None => self.serve(env, batch.now, clock),
        }
    }

    /// Serves those that wait for keys that have changed.
    #[inline]
    pub(super) fn serve(&mut self, env: &Environment, now: Millis, clock: &mut dyn Ticks) {
        if !self.tools.awaited.is_empty() {
            self.serve_awaited(env, now, clock);
        }
    }

    #[cold]
    fn serve_awaited(&mut self, env: &Environment, now: Millis, clock: &mut dyn Ticks) {
        while let Some(changed) = self.tools.awaited.pop_front() {
            for what in Awaited::ALL {
                self.serve_key(env, &changed, what, now, clock);
            }
        }
    }

    /// Serves those that wait for a key, the first first.
    fn serve_key(
        &mut self,
        env: &Environment,
        changed: &AwaitedKey,
        what: Awaited,
        now: Millis,
        clock: &mut dyn Ticks,
    ) {
        let key = changed.key();
        let mut last = None;
        while self.phase == Phase::Serving
            && let Some((rank, waiter)) = self.space.next_waiter(changed.db, key, what, last)
        {
            last = Some(rank);
            let waiter: Arc<dyn std::any::Any + Send + Sync> = waiter;
            let Ok(parked) = waiter.downcast::<Parked>() else { continue };
            let call = env.parked_call(&parked, now);
            if !self.has_something(&call, key, changed.db) {
                // What there is of a stream depends on who asks.
                if what.is_of_stream() {
                    continue;
                }
                return;
            }
            if !parked.take() {
                continue;
            }
            let has_all = parked.needs().iter().all(|key| self.space.has(key.slot));
            let effects = self.tools.effects.len();
            let (at, to, client) = (self.served.len(), parked.home, parked.session.id);
            // A panic that nobody catches here must not leave the client waiting for ever.
            self.served.push(Served { to, client, outcome: Outcome::Lost, has_written: false });
            let outcome = match has_all {
                true => Outcome::Served(self.run_parked(&parked, &call, clock)),
                false => Outcome::Again,
            };
            let has_written = self.tools.effects.len() > effects;
            self.served[at] = Served { to, client, outcome, has_written };
        }
    }

    fn has_something(&mut self, call: &Call<'_>, key: Key<'_>, db: u32) -> bool {
        let Run::Blocking(Blocking { is_ready, .. }) = call.command.run else { return false };
        let mut keys = Keys::new(&mut self.space, &mut self.tools, db, call.now);
        keys.is_served = true;
        let mut positions = call.keys.iter().map(|at| at.position as usize);
        positions.any(|at| call.arg(at) == key.name && is_ready(call, &mut keys, at))
    }

    /// Runs the call of a client that waited, on the keys that are here. Returns its reply.
    fn run_parked(&mut self, parked: &Parked, call: &Call<'_>, clock: &mut dyn Ticks) -> Vec<u8> {
        let (mut session, mut replies) = (parked.session.clone(), Vec::new());
        let (mut walk, mut wider) = (None, Vec::new());
        let mut around = Around {
            session: &mut session,
            replies: &mut replies,
            walk: &mut walk,
            wider: &mut wider,
        };
        // What it took before the wait belongs to the call.
        let start = clock.nanos().saturating_sub(parked.nanos);
        self.execute(call, &mut around, Origin::Served, start, clock);
        replies
    }

    /// The wait of a batch at home has ended: answers its next call.
    fn unpark(&mut self, env: &Environment, batch: &mut Batch, outcome: Outcome) {
        let Some(parked) = batch.parked.take() else { return };
        let command = parked.command;
        let mark = batch.replies.len();
        let ended = match outcome {
            Outcome::Again => {
                batch.rank = Some(parked.rank);
                return;
            }
            Outcome::Lost => return batch.abandon(),
            Outcome::Served(reply) => {
                let Batch { session, replies, .. } = batch;
                replies.extend_from_slice(&reply);
                session.last = Some(command);
                session.commands += 1;
                self.sinks.replied(session, replies, mark);
                return batch.advance(None);
            }
            Outcome::TimedOut => {
                parked.nil.reply(&mut Reply::new(&mut batch.replies, batch.session.resp3));
                Ended::Ran
            }
            Outcome::Copied(copies) => {
                let mut reply = Reply::new(&mut batch.replies, batch.session.resp3);
                parked.nil.reply_copies(copies, &mut reply);
                Ended::Ran
            }
            Outcome::Unblocked(Why::IsReplica) => Ended::Failed(Box::new(IS_REPLICA)),
            Outcome::Unblocked(_) => Ended::Failed(Box::new(UNBLOCKED)),
        };
        let call = env.parked_call(&parked, batch.now);
        let Batch { session, replies, walk, wider, .. } = batch;
        let mut around = Around { session, replies, walk, wider };
        let marks = Marks { has_waited: true, ..self.marks(mark) };
        self.close(&call, &mut around, &ended, marks, parked.nanos);
        batch.advance(None);
    }
}

impl Environment {
    /// The call of a client that waits, at `now`.
    fn parked_call<'a>(&'a self, parked: &'a Parked, now: Millis) -> Call<'a> {
        let Environment { map, settings, hasher } = self;
        let Parked { command, request, spans, keys, .. } = parked;
        Call { command, input: request, spans, raw: request, now, hasher, settings, map, keys }
    }
}

impl Shard {
    /// The wait of a batch of one of the thread's own clients has ended. What is left of the batch
    /// can run.
    pub fn unpark(&mut self, batch: &mut Batch, outcome: Outcome) {
        self.engine.unpark(&self.env, batch, outcome);
    }

    /// Takes what came of the waits of clients.
    #[cfg(test)]
    pub(crate) fn take_served(&mut self) -> Vec<Served> {
        std::mem::take(&mut self.engine.served)
    }

    /// A shard was rebuilt, perhaps this one: the clients of its thread wait again there.
    pub(super) fn was_rebuilt(&mut self, shard: ShardId) {
        self.ever_rebuilt.insert(shard);
        self.outbox.rebuilt.push(shard);
    }

    /// The threads of batches that have come home, and whose clients wait, may have heard of a
    /// rebuild while these were on their way, and did not know of the waits then.
    #[inline]
    pub(super) fn let_wait_again(&self, ready: &mut Ready) {
        if self.ever_rebuilt.is_empty() {
            return;
        }
        let Ready { homes, letters, .. } = ready;
        for parked in homes.iter().filter_map(|batch| batch.parked.as_ref()) {
            let again = |shard: &ShardId| (*shard, Letter::WaitAgain(Arc::downgrade(parked)));
            letters.extend(self.ever_rebuilt.iter().map(again));
        }
    }

    /// Somebody whose wait was lost here, in a rebuild, waits again.
    pub(super) fn wait_again(&mut self, lost: &Weak<Parked>) {
        let Some(parked) = lost.upgrade().filter(|parked| !parked.is_over()) else { return };
        if self.wait_here(&parked) {
            self.wait_later.insert(parked.session.id, Weak::clone(lost));
        }
        let gone = parked.awaited().filter(|key| !self.engine.space.has(key.slot));
        let next: BTreeSet<ShardId> =
            gone.filter_map(|key| self.moved_on.get(&key.slot).copied()).collect();
        // Each letter comes behind the one with the slot.
        let again = |to| (to, Letter::WaitAgain(Weak::clone(lost)));
        self.outbox.letters.extend(next.into_iter().map(again));
    }

    /// Somebody waits again for those of the keys that are here. Returns true where the slot of one
    /// belongs here and is away.
    fn wait_here(&mut self, parked: &Arc<Parked>) -> bool {
        let Run::Blocking(Blocking { awaited, .. }) = parked.command.run else { return false };
        self.engine.let_wait(parked, awaited);
        let mut is_away = false;
        for key in parked.awaited() {
            if self.engine.space.has(key.slot) {
                self.engine.tools.awaited.push_back(AwaitedKey::of(parked.session.db, key));
            } else if !self.moved_on.contains_key(&key.slot) {
                is_away |= self.env.map.owner(key.slot) == self.id;
            }
        }
        is_away
    }

    /// Slots have come, for which somebody may have to wait again.
    pub(super) fn wait_now(&mut self) {
        for (client, lost) in std::mem::take(&mut self.wait_later) {
            let Some(parked) = lost.upgrade().filter(|parked| !parked.is_over()) else { continue };
            if self.wait_here(&parked) {
                self.wait_later.insert(client, lost);
            }
        }
    }
}

#[cfg(test)]
mod tests;
