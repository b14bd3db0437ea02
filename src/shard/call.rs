//! The next call of a batch: what it runs with, and what its end means for the batch.

use std::sync::Arc;

use crate::base::hash::Hasher;
use crate::batch::Batch;
use crate::commands::call::Call;
use crate::commands::command::{Command, Run};
use crate::commands::error::CommandError;
use crate::commands::registry;
use crate::place::StreamPlace;
use crate::resp::{ProtocolError, Reply};
use crate::route::Map;
use crate::session::{Session, StreamFaults};
use crate::settings::Settings;
use crate::shard::Ticks;
use crate::shard::execute::{Around, Ended, Engine, Marks, Origin};
use crate::shard::transaction::refused_in_queue;

/// What a shard goes by and others decide.
pub(super) struct Environment {
    pub(super) map: Arc<Map>,
    pub(super) settings: Arc<Settings>,
    pub(super) hasher: Hasher,
}

/// What became of the next call.
pub(super) struct Ran {
    /// The time after it, in nanoseconds.
    pub(super) end: u64,
    /// What it held may be half changed.
    pub(super) panicked: bool,
    /// It runs again, with more slots.
    pub(super) lacks: bool,
}

impl Batch {
    /// The next call, and beside it what it may change.
    #[inline]
    pub(super) fn split<'a>(
        &'a mut self,
        command: &'static Command,
        env: &'a Environment,
    ) -> (Call<'a>, Around<'a>) {
        let Batch { frames, input, session, replies, walk, wider, .. } = self;
        let keys = match &self.routed[self.next].key {
            Some(key) => std::slice::from_ref(key),
            None => &self.keys,
        };
        let frame = &frames.frames[self.next];
        let bytes = frames.bytes_of(frame, input);
        let call = Call {
            command,
            input: bytes,
            spans: frames.args_of(frame),
            raw: frame.raw.of(bytes),
            now: self.now,
            hasher: &env.hasher,
            settings: &env.settings,
            map: &env.map,
            keys,
        };
        (call, Around { session, replies, walk, wider })
    }

    /// The call that keeps its slots goes on with the answer to its action, which stands in the
    /// replies from `mark` on.
    pub(super) fn take_answer(
        &mut self,
        mark: usize,
        nanos: u64,
        result: Result<(), CommandError>,
    ) {
        let bytes = self.replies.split_off(mark);
        let walk = self.walk.get_or_insert_default();
        walk.nanos += nanos;
        walk.answer = Some(result.map(|()| bytes));
    }

    /// The next call ended with this error, or without one.
    pub(super) fn advance(&mut self, error: Option<&CommandError>) {
        if let Some(error) = error.filter(|error| error.refuses_the_rest())
            && self.refused.is_none()
        {
            self.refused = Some(error.of_the_rest());
        }
        self.session.subscribed.append_own(&mut self.replies);
        self.session.end_caching();
        self.walk = None;
        self.forget_keys();
        self.rank = None;
        if let Some(scattered) = &mut self.scattered {
            scattered.ends.push(self.replies.len());
        }
        self.next = if self.session.closing { self.routed.len() } else { self.next + 1 };
    }
}

/// Where the stream of the primary is behind a call of its batch; none where that is inside a
/// transaction, or something was not carried out.
pub(super) fn place_behind(batch: &Batch, call: usize) -> Option<StreamPlace> {
    let primary = batch.session.primary.as_deref()?;
    let offset = *primary.ends.get(call).filter(|end| **end > 0)?;
    let is_whole = primary.faults.refused.is_none();
    let place = || StreamPlace { id: primary.id.clone(), offset, db: batch.session.db };
    is_whole.then(place)
}

/// Whether a command ends the transaction of its client. It does so even where the rest of the
/// batch is refused, since the client takes the transaction to be over then: none of it runs.
fn ends_transaction(batch: &mut Batch, command: &Command) -> bool {
    let Some(queued) = batch.session.transaction.as_deref_mut() else { return false };
    if command.is_never_queued {
        queued.abort();
    }
    command.is_never_queued
}

impl Engine {
    /// Runs the next call of the batch, which belongs here. `start` is the time now.
    pub(super) fn call(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        start: u64,
        clock: &mut dyn Ticks,
    ) -> Ran {
        match batch.session.is_primary() {
            true => self.call_of_primary(env, batch, start, clock),
            false => self.call_next(env, batch, start, clock),
        }
    }

    /// The same, where it comes from the primary: notes where its stream is then, if the call has
    /// changed anything.
    #[cold]
    fn call_of_primary(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        start: u64,
        clock: &mut dyn Ticks,
    ) -> Ran {
        let (next, effects) = (batch.next, self.tools.effects.len());
        let ran = self.call_next(env, batch, start, clock);
        if self.tools.effects.len() > effects {
            // EXEC has noted it inside its brackets.
            let command = batch.routed[next].command;
            let is_exec = command.is_some_and(|command| matches!(command.run, Run::Exec));
            let is_over = batch.next > next && !is_exec;
            self.tools.effects.set_place(place_behind(batch, next).filter(|_| is_over));
        }
        ran
    }

    fn call_next(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        start: u64,
        clock: &mut dyn Ticks,
    ) -> Ran {
        let ran = |end| Ran { end, panicked: false, lacks: false };
        let Some(command) = batch.routed[batch.next].command else {
            self.refuse_unknown(env, batch);
            return ran(clock.nanos());
        };
        // As all are behind one that was refused.
        if let Some(error) = batch.refused.clone()
            && !ends_transaction(batch, command)
        {
            return ran(self.refuse_next(env, batch, command, error, start, clock));
        }
        if batch.session.queues(command) {
            return ran(self.queue(env, batch, command, start, clock));
        }
        if matches!(command.run, Run::Exec) {
            return self.exec(env, batch, command, start, clock);
        }
        let effects = self.tools.effects.len();
        let origin = Origin::Client { has_waited: batch.rank.is_some() };
        let (call, mut around) = batch.split(command, env);
        let (ended, end) = self.execute(&call, &mut around, origin, start, clock);
        let panicked = matches!(ended, Ended::Panicked);
        match ended {
            Ended::GoesOn => {}
            Ended::Lacks => {
                // It has several slots from now on.
                batch.routed[batch.next].key = None;
                return Ran { lacks: true, ..ran(end) };
            }
            Ended::Waits(wait) => {
                self.note_done(batch, effects);
                self.park(env, batch, command, *wait, end - start);
            }
            Ended::Asks(action) => batch.action = Some(*action),
            Ended::Ran | Ended::Failed(_) | Ended::Refused(_) | Ended::Panicked => {
                self.note_done(batch, effects);
                batch.advance(ended.error());
            }
        }
        Ran { panicked, ..ran(end) }
    }

    /// Notes what a call of the batch has done, ahead of which there were so many effects.
    pub(super) fn note_done(&self, batch: &mut Batch, effects: usize) {
        batch.has_written |= self.tools.effects.len() > effects;
        batch.has_published |= self.register.has_published();
    }

    /// The next call is refused with this error. Returns the time after it.
    #[cold]
    pub(super) fn refuse_next(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        command: &'static Command,
        error: CommandError,
        start: u64,
        clock: &mut dyn Ticks,
    ) -> u64 {
        let marks = self.marks(batch.replies.len());
        let (call, mut around) = batch.split(command, env);
        let (ended, end) = (Ended::Refused(Box::new(error)), clock.nanos());
        self.close(&call, &mut around, &ended, marks, end - start);
        batch.advance(ended.error());
        end
    }

    /// The connection performed the action of the next call; its reply begins at `mark`.
    pub(super) fn performed(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        mark: usize,
        nanos: u64,
        result: Result<(), CommandError>,
    ) {
        if batch.exec.is_some() {
            return self.performed_in_exec(env, batch, mark, nanos, result);
        }
        let Some(command) = batch.routed[batch.next].command else { return };
        if command.run.may_ask() {
            return batch.take_answer(mark, nanos, result);
        }
        let marks = self.marks(mark);
        let (call, mut around) = batch.split(command, env);
        let ended = Ended::of(result);
        self.close(&call, &mut around, &ended, marks, nanos);
        batch.advance(ended.error());
    }

    /// What the gates say to the next call; no where there is no such command, which none is asked.
    pub(super) fn ask_of_next(
        &mut self,
        env: &Environment,
        batch: &mut Batch,
        ask: fn(&mut Engine, &Call<'_>, &Session) -> bool,
    ) -> bool {
        let Some(command) = batch.routed[batch.next].command else { return false };
        let (call, around) = batch.split(command, env);
        ask(self, &call, around.session)
    }

    /// What the client sent is no request: it gets the error, unless it wants no replies.
    pub(super) fn refuse(&mut self, batch: &mut Batch, error: ProtocolError) {
        let mark = batch.replies.len();
        error.reply(&mut Reply::new(&mut batch.replies, batch.session.resp3));
        self.sinks.replied(&mut batch.session, &mut batch.replies, mark);
    }

    fn refuse_unknown(&mut self, env: &Environment, batch: &mut Batch) {
        let mark = batch.replies.len();
        let is_attack =
            batch.spans().first().is_some_and(|word| registry::is_attack(word.of(batch.bytes())));
        if is_attack {
            batch.session.attacks = true;
            batch.session.closing = true;
        } else {
            let error = match &batch.refused {
                Some(error) => error.clone(),
                None => {
                    let renames = &env.settings.rename_command;
                    let error = registry::refusal(batch.bytes(), batch.spans(), renames);
                    refused_in_queue(&mut batch.session, error)
                }
            };
            error.reply(&mut Reply::new(&mut batch.replies, batch.session.resp3));
            self.counters.unknown(&error);
        }
        self.sinks.replied(&mut batch.session, &mut batch.replies, mark);
        batch.advance(None);
    }

    /// Ends a call that nobody sent. What is told is how it failed.
    #[cold]
    pub(super) fn close_unsent(
        &mut self,
        call: &Call<'_>,
        around: &mut Around<'_>,
        ended: &Ended,
        marks: Marks,
    ) {
        let Around { session, replies, .. } = around;
        if let Some(error) = ended.error() {
            replies.truncate(marks.reply);
            error.reply(&mut Reply::new(replies, session.resp3));
            if let Some(primary) = &mut session.primary {
                note_fault(&mut primary.faults, call, error, matches!(ended, Ended::Failed(_)));
            }
        }
        self.sinks.replied(session, replies, marks.reply);
    }
}

/// A command of the primary has failed, or was not run. What fails behind one that was not run, as
/// the EXEC around it does, says nothing more.
#[cold]
pub(super) fn note_fault(
    faults: &mut StreamFaults,
    call: &Call<'_>,
    error: &CommandError,
    has_run: bool,
) {
    if faults.refused.is_some() {
        return;
    }
    let place = if has_run { &mut faults.failed } else { &mut faults.refused };
    place.get_or_insert_with(|| format!("{}: {error}", call.command.name));
}
