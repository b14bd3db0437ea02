//! A transaction: its commands are queued, and EXEC runs them at one moment.
//!
//! EXEC goes to the slots of its commands and of what its client watches, as a command over several
//! shards does, and runs where all of them are: with SCAN, KEYS or FLUSHALL among its commands that
//! is everything. What has to happen ahead of its commands happens ahead of the first. Their
//! effects are one record. A panic in one of them takes all of them back.
//!
//! A command that the server performs (CONFIG SET, INFO) is performed while the transaction keeps
//! all that it holds. The thread where it runs does that, since its client may be gone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::millis::Millis;
use crate::batch::Batch;
use crate::commands::action::Action;
use crate::commands::call::Call;
use crate::commands::command::{Command, Flags};
use crate::commands::error::CommandError;
use crate::hook::Phase;
use crate::pubsub::Author;
use crate::resp::Reply;
use crate::session::Session;
use crate::shard::Ticks;
use crate::shard::call::{Environment, Ran, place_behind};
use crate::shard::execute::{Around, Ended, Engine, Origin};
use crate::transaction::{Exec, Queue};

/// What became of the next command of a transaction.
enum Next {
    /// It is over.
    Done,
    /// This has to be done first.
    Asks(Box<Action>),
    /// The script that it runs stands still.
    StandsStill,
}

const EXEC: &str = "exec";
const WITHOUT_MULTI: CommandError = CommandError::Text("ERR EXEC without MULTI");
const ABORTED: CommandError =
    CommandError::Text("EXECABORT Transaction discarded because of previous errors.");
const TOO_LARGE: CommandError = CommandError::Text("ERR the transaction is too large");
const NO_MONITOR: CommandError =
    CommandError::Text("ERR MONITOR isn't allowed for DENY BLOCKING client");

impl Engine {
    /// Queues the next call of a batch. Returns the time after it.
    pub(super) fn queue(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        command: &'static Command,
        start: u64,
        clock: &mut dyn Ticks,
    ) -> u64 {
        let (call, around) = batch.split(command, env);
        let admitted = self.admit(&call, around.session).and_then(|()| may_be_queued(command));
        if let Err(error) = admitted {
            around.session.transaction.iter_mut().for_each(|queued| queued.abort());
            return self.refuse_next(env, batch, command, error, start, clock);
        }
        let replicates = self.replicates(&call, around.session);
        let mark = batch.replies.len();
        let Batch { frames, input, session, replies, next, .. } = batch;
        let frame = &frames.frames[*next];
        let (bytes, spans) = (frames.bytes_of(frame, input), frames.args_of(frame));
        let mut reply = Reply::new(replies, session.resp3);
        let queued = session.transaction.get_or_insert_default();
        let is_queued = queued.push(command, bytes, spans, frame.raw, &env.hasher);
        if is_queued {
            replicates.then(|| queued.queued_for_replicas());
            reply.simple("QUEUED");
        } else {
            queued.abort();
            TOO_LARGE.reply(&mut reply);
        }
        session.last = Some(command);
        session.commands += 1;
        self.sinks.replied(session, replies, mark);
        if is_queued && self.sinks.see(0, frame.raw.len as usize, 0) {
            let (call, around) = batch.split(command, env);
            self.sinks.queued(&call, around.session);
        }
        batch.advance(None);
        clock.nanos()
    }

    /// Runs the next call of a batch, which is EXEC and whose slots are here, or goes on with it.
    pub(super) fn exec(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        command: &'static Command,
        start: u64,
        clock: &mut dyn Ticks,
    ) -> Ran {
        let reply = batch.exec.as_ref().map_or(batch.replies.len(), |exec| exec.reply);
        let is_one = batch.exec.is_some() || batch.session.transaction.is_some();
        let begun = match batch.exec.take() {
            Some(exec) => Ok(exec),
            None => self.begin_exec(env, batch, command),
        };
        let goes_on = |end| Ran { end, panicked: false, lacks: false };
        let (ended, before) = match begun {
            Ok(mut exec) => {
                let Some(ended) = self.run_queued(env, batch, &mut exec, clock) else {
                    let end = clock.nanos();
                    exec.nanos += end - start;
                    batch.exec = Some(exec);
                    return goes_on(end);
                };
                (ended, exec.nanos)
            }
            Err(Ended::GoesOn) => return goes_on(clock.nanos()),
            Err(Ended::Lacks) => return Ran { lacks: true, ..goes_on(clock.nanos()) },
            Err(ended) => (ended, 0),
        };
        // EXEC without MULTI leaves what is watched alone.
        if is_one {
            batch.session.transaction = None;
            batch.session.watches.clear();
        }
        let end = clock.nanos();
        let marks = self.marks(reply);
        let (call, mut around) = batch.split(command, env);
        self.close(&call, &mut around, &ended, marks, before + end - start);
        if !self.tools.invalidations.is_empty() {
            self.tell_outdated(Author::client(batch.session.id));
        }
        batch.advance(ended.error());
        Ran { end, panicked: matches!(ended, Ended::Panicked), lacks: false }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// How EXEC ended, where it runs nothing; or that it goes on later, where something goes ahead
    /// of it.
    fn begin_exec(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        command: &'static Command,
    ) -> Result<Box<Exec>, Ended> {
        let failed = |error| Ended::Failed(Box::new(error));
        let now = batch.now;
        let (call, around) = batch.split(command, env);
        let Some(queued) = around.session.transaction.as_deref() else {
            return Err(failed(WITHOUT_MULTI));
        };
        if queued.is_aborted() {
            return Err(failed(ABORTED));
        }
        if let Err(error) = self.admit(&call, around.session) {
            let error = CommandError::Aborted(error.to_string());
            return Err(Ended::Refused(Box::new(error)));
        }
        // First, since where a watch has failed the slots of the commands may not be here.
        if !around.session.watches.hold(&self.space, now) {
            Reply::new(around.replies, around.session.resp3).null_array();
            return Err(Ended::Ran);
        }
        let session = &*around.session;
        let calls = (0..).map_while(|index| queued.get(index)).map(|queue| env.call(queue, now));
        let waits = self.phase == Phase::Serving
            && calls.fold(false, |waits, call| waits | self.goes_ahead(&call, session));
        if waits {
            return Err(Ended::GoesOn);
        }
        let calls = (0..).map_while(|index| queued.get(index)).map(|queue| env.call(queue, now));
        if calls.fold(false, |lacks, call| lacks | self.lacks_for_waiters(&call, around.wider)) {
            return Err(Ended::Lacks);
        }
        let transaction = *around.session.transaction.take().unwrap_or_default();
        let reply = around.replies.len();
        Reply::new(around.replies, around.session.resp3).array(transaction.len());
        Ok(Box::new(Exec::new(transaction, reply)))
    }

    /// Runs the commands of a transaction from the next one on, whole or not at all. Returns how it
    /// ended; nothing where it goes on later, or the batch has an action to be performed first.
    fn run_queued(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        exec: &mut Exec,
        clock: &mut dyn Ticks,
    ) -> Option<Ended> {
        // The shard broke while an action was performed: what the transaction has changed is lost.
        let has_begun = exec.next > 0 || batch.walk.is_some();
        if has_begun && self.phase != Phase::Serving {
            let stands_still = batch.walk.as_mut().and_then(|walk| walk.run.take());
            stands_still.into_iter().for_each(|number| drop(self.runs.take(number)));
            self.drop_keys_of(env, exec);
            return Some(Ended::Panicked);
        }
        let mark = self.tools.effects.len();
        self.tools.effects.resume(std::mem::take(&mut exec.effects));
        self.tools.awaited.append(&mut exec.awaited);
        self.tools.invalidations.resume(std::mem::take(&mut exec.invalidations));
        let (published, own) = (self.register.published_len(), batch.session.subscribed.own_len());
        self.register.publish_again(std::mem::take(&mut exec.published));
        batch.session.subscribed.give_own(&std::mem::take(&mut exec.own));
        let ran = catch_unwind(AssertUnwindSafe(|| {
            while exec.next < exec.transaction.len() {
                match self.run_next_queued(env, batch, exec, clock) {
                    Next::Done => exec.next += 1,
                    stands => return stands,
                }
            }
            Next::Done
        }));
        match ran {
            Ok(stands @ (Next::Asks(_) | Next::StandsStill)) => {
                exec.effects = self.tools.effects.suspend(mark);
                exec.invalidations = self.tools.invalidations.take();
                exec.published = self.register.take_published_from(published);
                exec.own = batch.session.subscribed.take_own_from(own);
                if let Next::Asks(action) = stands {
                    batch.action = Some(*action);
                }
                None
            }
            Ok(Next::Done) => {
                self.note_done(batch, mark);
                if self.tools.effects.len() > mark
                    && let Some(place) = place_behind(batch, batch.next)
                {
                    self.tools.effects.record_place(&place);
                }
                self.tools.effects.close();
                Some(Ended::Ran)
            }
            Err(panic) => {
                drop(self.tools.effects.suspend(mark));
                drop(self.register.take_published_from(published));
                drop(batch.session.subscribed.take_own_from(own));
                if let Some(queue) = exec.transaction.get(exec.next) {
                    self.note_panic(queue.command, panic.as_ref());
                }
                self.drop_keys_of(env, exec);
                Some(Ended::Panicked)
            }
        }
    }

    /// Runs the next command of a transaction, or goes on with it.
    fn run_next_queued(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        exec: &mut Exec,
        clock: &mut dyn Ticks,
    ) -> Next {
        let Exec { transaction, next, databases, .. } = exec;
        let Some(queue) = transaction.get(*next) else { return Next::Done };
        let Batch { session, replies, now, walk: kept, .. } = batch;
        if !databases.contains(&session.db) {
            databases.push(session.db);
        }
        let call = env.call(queue, *now);
        let (mut walk, mut wider) = (kept.take(), Vec::new());
        let mut around = Around { session, replies, walk: &mut walk, wider: &mut wider };
        let marks = self.marks(around.replies.len());
        let start = clock.nanos();
        let mut at = start;
        loop {
            let (ended, end) = self.execute(&call, &mut around, Origin::Transaction, at, clock);
            at = end;
            let error = match ended {
                // A script gives its thread back.
                Ended::GoesOn if around.stands_still() => {
                    *kept = walk;
                    return Next::StandsStill;
                }
                Ended::GoesOn => continue,
                Ended::Asks(action) if *action == Action::Monitor => NO_MONITOR,
                Ended::Asks(action) => {
                    *kept = walk;
                    return Next::Asks(action);
                }
                // Its slots are all here: the shard is not trusted, or is rebuilt.
                Ended::Lacks => CommandError::Loading,
                Ended::Waits(_)
                | Ended::Ran
                | Ended::Failed(_)
                | Ended::Refused(_)
                | Ended::Panicked => return Next::Done,
            };
            let ended = Ended::Failed(Box::new(error));
            self.close(&call, &mut around, &ended, marks, end - start);
            return Next::Done;
        }
    }

    /// The action of a transaction's next command was performed; its reply begins at `mark`.
    pub(super) fn performed_in_exec(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        mark: usize,
        nanos: u64,
        result: Result<(), CommandError>,
    ) {
        let Some(mut exec) = batch.exec.take() else { return };
        if let Some(queue) = exec.transaction.get(exec.next) {
            if queue.command.run.may_ask() {
                batch.take_answer(mark, nanos, result);
                batch.exec = Some(exec);
                return;
            }
            let call = env.call(queue, batch.now);
            let Batch { session, replies, walk, wider, .. } = batch;
            let mut around = Around { session, replies, walk, wider };
            let marks = self.marks(mark);
            self.close(&call, &mut around, &Ended::of(result), marks, nanos);
        }
        exec.next += 1;
        batch.exec = Some(exec);
    }

    /// Drops the keys of a transaction that broke, where no journal can tell what they held.
    fn drop_keys_of(&mut self, env: &Environment, exec: &Exec) {
        if self.has_journal {
            return;
        }
        for queue in (0..=exec.next).map_while(|index| exec.transaction.get(index)) {
            let call = env.call(queue, Millis(0));
            for db in &exec.databases {
                call.declared_keys().for_each(|key| self.drop_key(*db, key));
            }
        }
    }
}

impl Environment {
    /// A queued command as a call at `now`.
    fn call<'a>(&'a self, queue: Queue<'a>, now: Millis) -> Call<'a> {
        let Queue { command, input, spans, raw, keys } = queue;
        let Environment { map, settings, hasher } = self;
        Call { command, input, spans, raw, now, hasher, settings, map, keys }
    }
}

/// A request that is no call is refused with this error: what is queued does not run. EXEC with
/// words that it does not take ends the transaction even so.
pub(super) fn refused_in_queue(session: &mut Session, error: CommandError) -> CommandError {
    if error != CommandError::WrongArity(EXEC) {
        session.transaction.iter_mut().for_each(|queued| queued.abort());
        return error;
    }
    session.transaction = None;
    session.watches.clear();
    let text = error.to_string();
    CommandError::Aborted(text.strip_prefix("ERR ").unwrap_or(&text).to_owned())
}

/// Whether a command may stand in a transaction.
fn may_be_queued(command: &Command) -> Result<(), CommandError> {
    if command.flags.has(Flags::NO_MULTI) {
        let text = format!("ERR Command '{}' not allowed inside a transaction", command.name);
        return Err(CommandError::Quoted(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
