//! A command that a script calls.
//!
//! It is looked up, checked and run as a client's is; errors that only scripts get are here. What
//! waits does not wait here, and what asks for something of the server stands still until it has
//! it.

use std::cell::RefCell;

use crate::base::slot::SLOTS;
use crate::commands::action::Action;
use crate::commands::call::Call;
use crate::commands::command::{Command, Flags, Run};
use crate::commands::error::CommandError;
use crate::commands::positions;
use crate::commands::registry::{self, Found};
use crate::commands::walk::Walk;
use crate::keyspace::key::KeyAt;
use crate::resp::{Reply, Span, encode};
use crate::script::Protocol;
use crate::settings::Settings;
use crate::shard::Ticks;
use crate::shard::execute::{Around, Ended, Engine, Origin};
use crate::shard::script::Running;

const UNKNOWN: CommandError = CommandError::Text("ERR Unknown command called from script");
const ARITY: CommandError =
    CommandError::Text("ERR Wrong number of args calling command from script");
const NOT_ALLOWED: CommandError =
    CommandError::Text("ERR This Valkey command is not allowed from script");
const READS_ONLY: CommandError =
    CommandError::Text("ERR Write commands are not allowed from read-only scripts.");
const TOO_LARGE: CommandError = CommandError::Text("ERR the command of the script is too large");
const INVALID: CommandError =
    CommandError::Text("ERR Invalid command passed to redis.acl_check_cmd()");

/// Bytes up to which a value is copied ahead of its change by a script that may have to be undone.
pub(super) const COPIED_MAX: usize = 2 << 20;

/// Bytes of a command that spans can tell apart.
const BYTES_MAX: usize = u32::MAX as usize;

/// What came of a command that a script has called.
pub(super) enum Called {
    /// It is answered.
    Answered,
    /// It needs slots that are not here.
    Lacks,
    /// Something has to be done first, whose answer is its own.
    Asks(Box<Action>),
}

/// A command of a script that has asked for something.
pub(super) struct Asking {
    words: Vec<Vec<u8>>,
    command: &'static Command,
    walk: Option<Box<Walk>>,
    /// It has asked for slots alone, and has not begun.
    pub(super) lacks: bool,
}

/// The words of a command as a request.
struct Request {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Request {
    /// None where it is too large.
    fn of(words: &[Vec<u8>]) -> Option<Request> {
        let len: usize = words.iter().map(|word| word.len() + 32).sum();
        if len > BYTES_MAX {
            return None;
        }
        let mut bytes = Vec::with_capacity(len + 16);
        let mut spans = Vec::with_capacity(words.len());
        encode::header(&mut bytes, b'*', words.len());
        for word in words {
            encode::bulk(&mut bytes, word);
            let start = bytes.len() - word.len() - 2;
            spans.push(Span { start: start as u32, len: word.len() as u32 });
        }
        Some(Request { bytes, spans })
    }

    /// The command, where a script may call it.
    ///
    /// # Errors
    /// Why it may not, with the command that it would call.
    fn command(
        &self,
        settings: &Settings,
        allows_all: bool,
    ) -> Result<&'static Command, (Option<&'static Command>, CommandError)> {
        let Request { bytes, spans } = self;
        let renames = &settings.rename_command;
        match registry::find(bytes, spans, renames) {
            Found::Command(command) if is_kept_out(command, allows_all) => {
                Err((Some(command), NOT_ALLOWED))
            }
            Found::Command(command) => Ok(command),
            Found::Nothing => Err(match registry::refusal(bytes, spans, renames) {
                CommandError::WrongArity(name) => (registry::named(name.as_bytes()), ARITY),
                CommandError::UnknownCommand { .. } => (None, UNKNOWN),
                error => (None, error),
            }),
        }
    }
}

/// Whether the user may run a command: everybody may run all.
pub(super) fn may_call(words: &[Vec<u8>], settings: &Settings, reply: &mut Vec<u8>) {
    let request = Request::of(words);
    let is_there = request.is_some_and(|request| {
        let Request { bytes, spans } = &request;
        matches!(registry::find(bytes, spans, &settings.rename_command), Found::Command(_))
    });
    let mut reply = Reply::new(reply, false);
    match is_there {
        true => reply.int(1),
        false => INVALID.reply(&mut reply),
    }
}

impl Engine {
    /// What a command has asked for is done, with this answer: answers it, or goes on with it.
    #[expect(clippy::too_many_arguments, reason = "they are what a call of a script needs")]
    pub(super) fn answer_asking(
        &mut self,
        running: &mut Running,
        asking: Asking,
        answer: Option<Result<Vec<u8>, CommandError>>,
        outer: &Call<'_>,
        around: &mut Around<'_>,
        reply: &mut Vec<u8>,
        clock: &RefCell<&mut dyn Ticks>,
    ) -> Called {
        let Asking { words, command, walk, lacks } = asking;
        if lacks {
            return self.call_from_script(running, words, None, outer, around, reply, clock);
        }
        if command.run.may_ask() {
            let mut walk = walk.unwrap_or_default();
            walk.answer = answer;
            return self.call_from_script(running, words, Some(walk), outer, around, reply, clock);
        }
        match answer.unwrap_or(Err(CommandError::Internal)) {
            Ok(bytes) => reply.extend_from_slice(&bytes),
            Err(error) => {
                let resp3 = running.run.protocol() == Protocol::Three;
                error.reply(&mut Reply::new(reply, resp3));
            }
        }
        Called::Answered
    }

    /// Runs a command that a script has called, or goes on with it. Its reply goes to `reply`.
    #[expect(clippy::too_many_arguments, reason = "they are what a call of a script needs")]
    pub(super) fn call_from_script(
        &mut self,
        running: &mut Running,
        words: Vec<Vec<u8>>,
        walk: Option<Box<Walk>>,
        outer: &Call<'_>,
        around: &mut Around<'_>,
        reply: &mut Vec<u8>,
        clock: &RefCell<&mut dyn Ticks>,
    ) -> Called {
        let resp3 = running.run.protocol() == Protocol::Three;
        let found = match Request::of(&words) {
            Some(request) => {
                let command = request.command(outer.settings, self.allows_all_in_scripts);
                command.map(|command| (command, request))
            }
            None => Err((None, TOO_LARGE)),
        };
        let found =
            found.and_then(|(command, request)| match running.reads_only && changes(command) {
                true => Err((Some(command), READS_ONLY)),
                false => Ok((command, request)),
            });
        let (command, request) = match found {
            Ok(found) => found,
            Err((command, error)) => {
                error.reply(&mut Reply::new(reply, resp3));
                self.refused_in_script(command, error, outer);
                return Called::Answered;
            }
        };
        let Request { bytes, spans } = &request;
        let mut keys = Vec::new();
        match command.only_key(spans.len()) {
            Some(at) => {
                keys.extend(spans.get(at).map(|span| KeyAt::new(at, span.of(bytes), outer.hasher)))
            }
            None => positions::keys_at(command, spans, bytes, outer.hasher, &mut keys),
        }
        running.met.extend(keys.iter().map(|key| key.slot));
        if self.space.slots_here() < usize::from(SLOTS) {
            running.note_undeclared(&keys, bytes, spans, outer);
        }
        let call = Call { command, input: bytes, spans, raw: bytes, keys: &keys, ..*outer };
        if self.lacks_for_script(running, &call, around.session.db) {
            running.asking = Some(Asking { words, command, walk: None, lacks: true });
            return Called::Lacks;
        }
        let is_journaled = running.run.propagation().journal;
        let listens = self.tools.effects.is_listened_to();
        self.tools.effects.listen(listens && is_journaled);
        around.session.resp3 = resp3;
        let (called, walk) = self.run_from_script(running, &call, walk, around, reply, clock);
        self.tools.effects.listen(listens);
        let lacks = matches!(called, Called::Lacks);
        if lacks || matches!(called, Called::Asks(_)) {
            running.asking = Some(Asking { words, command, walk, lacks });
        }
        called
    }

    /// Whether slots are missing that a call of a script needs.
    fn lacks_for_script(&mut self, running: &mut Running, call: &Call<'_>, db: u32) -> bool {
        let needs_all = matches!(
            call.command.run,
            Run::All(_) | Run::Steps(_) | Run::Walk(_) | Run::Libraries(_)
        ) || positions::are_anywhere(call.command, call.spans, call.input);
        if needs_all {
            running.wants_all = true;
            return self.space.slots_here() < usize::from(SLOTS);
        }
        if !command_needs_slots(call.command) {
            return false;
        }
        let mut waiters = Vec::new();
        let lacks = call.keys.iter().any(|key| !self.space.has(key.slot))
            || self.lacks_for_waiters(call, &mut waiters);
        running.met.extend(waiters);
        lacks || self.changes_large_without_all(running, call, db)
    }

    /// Whether a call of a script changes a large value while slots are missing that the script may
    /// still turn out to need: it would be copied whole, each time.
    fn changes_large_without_all(&self, running: &mut Running, call: &Call<'_>, db: u32) -> bool {
        let is_large = |key: &KeyAt| {
            let name = call.key(key.position as usize).in_table();
            let entry = self.space.table(db, key.slot).and_then(|table| table.get(name));
            entry.is_some_and(|entry| entry.memory() > COPIED_MAX)
        };
        running.changes_large |= call.command.writes() && call.keys.iter().any(is_large);
        running.wants_all |= running.changes_large;
        running.changes_large && self.space.slots_here() < usize::from(SLOTS)
    }

    fn run_from_script(
        &mut self,
        running: &mut Running,
        call: &Call<'_>,
        mut walk: Option<Box<Walk>>,
        around: &mut Around<'_>,
        reply: &mut Vec<u8>,
        clock: &RefCell<&mut dyn Ticks>,
    ) -> (Called, Option<Box<Walk>>) {
        let mut wider = Vec::new();
        let session = &mut *around.session;
        let mut inner = Around { session, replies: reply, walk: &mut walk, wider: &mut wider };
        let origin = Origin::Script { allows_oom: running.allows_oom || self.has_written() };
        let mut clock = clock.borrow_mut();
        let mut at = clock.nanos();
        loop {
            let (ended, end) = self.execute(call, &mut inner, origin, at, &mut **clock);
            at = end;
            match ended {
                Ended::GoesOn => {}
                Ended::Lacks => {
                    running.met.extend(&wider);
                    return (Called::Lacks, None);
                }
                Ended::Asks(action) => return (Called::Asks(action), walk),
                Ended::Ran
                | Ended::Failed(_)
                | Ended::Refused(_)
                | Ended::Panicked
                | Ended::Waits(_) => return (Called::Answered, None),
            }
        }
    }

    /// Whether the script that runs has changed anything.
    fn has_written(&self) -> bool {
        self.tools.undo.as_ref().is_some_and(|undo| undo.has_changes())
    }
}

/// Whether a command counts as one that writes: those of which replicas may hear do, in scripts.
fn changes(command: &Command) -> bool {
    command.writes() || command.flags.has(Flags::MAY_REPLICATE)
}

/// Whether scripts may not call a command. None ever runs another.
fn is_kept_out(command: &Command, allows_all: bool) -> bool {
    let runs_others = matches!(command.run, Run::Script(_) | Run::Exec);
    command.flags.has(Flags::NO_SCRIPT) && (runs_others || !allows_all)
}

/// Whether a command looks at the slots of its keys.
fn command_needs_slots(command: &Command) -> bool {
    command.run.is_on_keys()
}
