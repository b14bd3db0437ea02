//! One call of a batch: gates, the command under `catch_unwind`, its effects, sinks.
//!
//! A panic costs the caller an error and makes the shard distrust its tables. What the command had
//! written of its reply is taken back; it had recorded no effect, since that is done at its end, or
//! what it recorded is taken back too.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::base::hash::Hasher;
use crate::batch::Batch;
use crate::commands::action::Action;
use crate::commands::call::Call;
use crate::commands::command::{Command, Run};
use crate::commands::error::CommandError;
use crate::commands::walk::{Step, Walk};
use crate::commands::{positions, registry};
use crate::hook::{Called, Gate, Outcome, Sink};
use crate::keyspace::keys::{Keys, Tools};
use crate::keyspace::space::Keyspace;
use crate::resp::{Reply, Span};
use crate::route::{Map, ShardId};
use crate::session::Session;
use crate::settings::Settings;
use crate::shard::base::Base;
use crate::shard::{Phase, Standing, Ticks};

/// What a shard is given from outside and goes by.
pub(super) struct Given {
    pub(super) map: Arc<Map>,
    pub(super) settings: Arc<Settings>,
    pub(super) hasher: Hasher,
}

/// What runs calls: the keys, the layers around them, and whether they can be trusted.
pub(super) struct Engine {
    pub(super) space: Keyspace,
    pub(super) tools: Tools,
    pub(super) gates: Vec<Box<dyn Gate>>,
    pub(super) sinks: Vec<Box<dyn Sink>>,
    pub(super) monitor: Option<Box<dyn Sink>>,
    pub(super) phase: Phase,
    pub(super) journal_failed: Option<String>,
    pub(super) panics: u64,
    pub(super) last_panic: String,
    pub(super) has_journal: bool,
    pub(super) base: Option<Base>,
}

/// Whole shards that a command runs over beside the one where it runs.
pub(super) type Spaces = [(ShardId, Box<Keyspace>)];

/// How a call ended.
enum Ended {
    Ran,
    Failed(CommandError),
    Refused(CommandError),
    /// Not yet: it goes on elsewhere.
    GoesOn,
}

/// Where a call's reply and effects begin.
#[derive(Clone, Copy)]
struct Marks {
    reply: usize,
    effects: usize,
}

/// The parts of a batch that a command may change while it runs.
struct Changeable<'a> {
    session: &'a mut Session,
    replies: &'a mut Vec<u8>,
    walk: &'a mut Option<Box<Walk>>,
    action: &'a mut Option<Action>,
    refused: &'a mut Option<CommandError>,
}

impl Batch {
    /// The arguments of the next call.
    pub(crate) fn spans(&self) -> &[Span] {
        self.frames.args_of(&self.frames.frames[self.next])
    }

    /// The bytes that the spans of the next call point into.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.frames.bytes_of(&self.frames.frames[self.next], &self.input)
    }

    /// The next call, and beside it what it may change.
    #[inline]
    fn split<'a>(
        &'a mut self,
        command: &'static Command,
        given: &'a Given,
    ) -> (Call<'a>, Changeable<'a>) {
        let Batch { frames, input, session, replies, walk, action, refused, .. } = self;
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
            hasher: &given.hasher,
            settings: &given.settings,
            map: &given.map,
            keys,
        };
        (call, Changeable { session, replies, walk, action, refused })
    }

    /// The next call was answered.
    fn advance(&mut self) {
        self.walk = None;
        self.forget_keys();
        if let Some(scattered) = &mut self.scattered {
            scattered.ends.push(self.replies.len());
        }
        self.next = if self.session.closing { self.routed.len() } else { self.next + 1 };
    }
}

impl Engine {
    /// Runs the next call of the batch, which belongs here. `start` is the time now; returns the
    /// time after it, and whether the call panicked.
    pub(super) fn call(
        &mut self,
        given: &Given,
        batch: &mut Batch,
        spaces: &mut Spaces,
        start: u64,
        clock: &mut dyn Ticks,
    ) -> (u64, bool) {
        let Some(command) = batch.routed[batch.next].command else {
            self.refuse_unknown(given, batch);
            return (clock.nanos(), false);
        };
        let reply = batch.walk.as_ref().map_or(batch.replies.len(), |walk| walk.reply);
        let marks = Marks { reply, effects: self.tools.effects.len() };
        let (call, mut parts) = batch.split(command, given);
        if self.expire_ahead_of(&call, parts.session.db, spaces)
            || self.tell_ahead_of(&call, spaces)
        {
            return (clock.nanos(), false);
        }
        let ended = match parts.refused.clone() {
            Some(error) => Ok(Ended::Refused(error)),
            None => catch_unwind(AssertUnwindSafe(|| self.dispatch(&call, &mut parts, spaces))),
        };
        let end = clock.nanos();
        let panicked = ended.is_err();
        let ended = ended.unwrap_or_else(|panic| {
            self.tools.effects.rewind(marks.effects);
            self.panicked(&call, parts.session.db, panic.as_ref());
            Ended::Failed(CommandError::Internal)
        });
        let mut nanos = end - start;
        if let Some(walk) = parts.walk {
            nanos += walk.nanos;
            (walk.reply, walk.nanos) = (marks.reply, nanos);
        }
        if !matches!(ended, Ended::GoesOn) {
            self.close(&call, &mut parts, ended, marks, nanos);
            batch.has_written |= self.tools.effects.len() > marks.effects;
            batch.advance();
        }
        (end, panicked)
    }

    /// The connection performed the action of the next call; its reply begins at `mark`.
    pub(super) fn performed(
        &mut self,
        given: &Given,
        batch: &mut Batch,
        mark: usize,
        nanos: u64,
        result: Result<(), CommandError>,
    ) {
        let Some(command) = batch.routed[batch.next].command else { return };
        let marks = Marks { reply: mark, effects: self.tools.effects.len() };
        let (call, mut parts) = batch.split(command, given);
        let ended = result.map_or_else(Ended::Failed, |()| Ended::Ran);
        self.close(&call, &mut parts, ended, marks, nanos);
        batch.advance();
    }

    /// True when a gate refuses the next call, so that it need not set out for other shards.
    pub(super) fn refuses(&mut self, given: &Given, batch: &mut Batch) -> bool {
        let Some(command) = batch.routed[batch.next].command else { return true };
        let (call, parts) = batch.split(command, given);
        self.admit(&call, parts.session).is_err()
    }

    fn admit(&mut self, call: &Call<'_>, session: &Session) -> Result<(), CommandError> {
        let Engine { gates, phase, journal_failed, .. } = self;
        let standing = Standing { phase: *phase, journal_failed: journal_failed.as_deref() };
        gates.iter_mut().try_for_each(|gate| gate.admit(call, session, &standing))
    }

    fn dispatch(
        &mut self,
        call: &Call<'_>,
        parts: &mut Changeable<'_>,
        spaces: &mut Spaces,
    ) -> Ended {
        if let Err(error) = self.admit(call, parts.session) {
            return Ended::Refused(error);
        }
        let Changeable { session, replies, walk, action, .. } = parts;
        let mut reply = Reply::new(replies, session.resp3);
        let result = match call.command.run {
            Run::Keys(run) | Run::All(run) => {
                self.on_keys(call, session, spaces, |keys| run(call, keys, &mut reply))
            }
            Run::Session(run) => run(call, session, &mut reply),
            Run::Server(run) => match run(call, session) {
                Ok(asked) => {
                    session.last = Some(call.command);
                    **action = Some(asked);
                    return Ended::GoesOn;
                }
                Err(error) => Err(error),
            },
            Run::Steps(run) | Run::Walk(run) => {
                let walk = walk.get_or_insert_default();
                let step =
                    self.on_keys(call, session, spaces, |keys| run(call, keys, walk, &mut reply));
                match step {
                    Ok(Step::At(slot)) => {
                        walk.at = Some(slot);
                        return Ended::GoesOn;
                    }
                    Ok(Step::Done) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Run::Container => Err(CommandError::WrongArity(call.command.name.as_str())),
        };
        result.map_or_else(Ended::Failed, |()| Ended::Ran)
    }

    #[inline]
    fn on_keys<R>(
        &mut self,
        call: &Call<'_>,
        session: &Session,
        others: &mut Spaces,
        run: impl FnOnce(&mut Keys<'_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.tools.effects.begin_call();
        let mark = self.tools.effects.len();
        let mut keys = Keys::new(&mut self.space, &mut self.tools, session.db, call.now);
        keys.untouched = session.no_touch;
        keys.others = others;
        let result = run(&mut keys);
        let changes = keys.changes;
        if changes > 0 {
            self.tools.figures.changes += changes;
            self.record(call, others, session.db, mark);
        }
        result
    }

    /// A command panicked half way. With a journal its shard is rebuilt; without one the keys that
    /// it named are dropped, since nobody can say what they hold.
    fn panicked(&mut self, call: &Call<'_>, db: u32, panic: &(dyn Any + Send)) {
        self.panics += 1;
        self.last_panic = format!("{}: {}", call.command.name, text_of(panic));
        self.phase = Phase::Suspect;
        if self.has_journal {
            return;
        }
        for at in positions::keys(call.command, call.spans, call.input) {
            let key = call.key(at);
            if self.space.has(key.slot) {
                self.space.change(db, key, |table, _| table.remove(key.in_table()));
                self.tools.effects.aside(db, &[b"DEL", key.name]);
            }
        }
    }

    /// Writes the error, if it is one, tells the sinks, and brings the session up to date.
    fn close(
        &mut self,
        call: &Call<'_>,
        parts: &mut Changeable<'_>,
        ended: Ended,
        marks: Marks,
        nanos: u64,
    ) {
        let Changeable { session, replies, refused, .. } = parts;
        let outcome = match &ended {
            Ended::Ran | Ended::GoesOn => Outcome::Ran(replies.len() - marks.reply),
            Ended::Failed(error) => Outcome::Failed(error),
            Ended::Refused(error) => Outcome::Refused(error),
        };
        if let Some(error) = outcome.error() {
            replies.truncate(marks.reply);
            error.reply(&mut Reply::new(replies, session.resp3));
            if error.refuses_the_rest() && refused.is_none() {
                **refused = Some(error.of_the_rest());
            }
        }
        let effects = self.tools.effects.since(marks.effects);
        let called = Called { call, session, now: call.now, nanos, outcome, effects };
        self.sinks.iter_mut().for_each(|sink| sink.called(&called));
        if let Some(monitor) = &mut self.monitor {
            monitor.called(&called);
        }
        session.last = Some(call.command);
        session.commands += 1;
        session.silence(replies, marks.reply);
    }

    fn refuse_unknown(&mut self, given: &Given, batch: &mut Batch) {
        let mark = batch.replies.len();
        let error = match &batch.refused {
            Some(error) => error.clone(),
            None => {
                let renames = &given.settings.rename_command;
                registry::refusal(batch.bytes(), batch.spans(), renames)
            }
        };
        let is_attack =
            batch.spans().first().is_some_and(|word| registry::is_attack(word.of(batch.bytes())));
        if is_attack {
            batch.session.attacks = true;
            batch.session.closing = true;
        } else {
            error.reply(&mut Reply::new(&mut batch.replies, batch.session.resp3));
            self.sinks.iter_mut().for_each(|sink| sink.unknown(&error));
        }
        batch.session.silence(&mut batch.replies, mark);
        batch.advance();
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a panic without words",
    }
}
