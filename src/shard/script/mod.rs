//! Scripts: one call that runs many.
//!
//! A run is stepped. Where it asks for a command, that goes through [`Engine::execute`] as every
//! other does, on the same keys, at the same time. What its commands have caused is kept back to
//! its end ([`Emitted`]): effects are one record then, and events, messages, what clients have
//! cached and who waits for keys follow.
//!
//! A script may touch keys that it did not declare. At a command whose slot is at another shard the
//! run stands still, with what it has changed out of sight, and the slot comes to it
//! ([`crate::lending::fetch`]). Nobody waits for a slot that way: one that is not to be had ends
//! the run. All that it has changed is taken back then ([`Undo`](crate::keyspace::undo::Undo)),
//! ahead of any slot's way home, and it runs again where the slots are that it is known to need. It
//! sees the same time and the same random numbers. That set only grows, and after [`RERUNS_MAX`]
//! times it is everything: so reruns end. It is everything as well where a large value is about to
//! change: a run that lacks nothing needs no copy of it. Errands go upwards whatever a script
//! needs, and fetching never waits: so no two of them wait for each other.
//!
//! ```text
//!  client    thread 0, shard 0                  thread 1, shard 1
//!    | EVAL .. a  | runs: SET a 1, then GET b       |
//!    |----------->|   b is not here: it stands      |
//!    |            |   still, and a is held          |
//!    |            |- Fetch(slot of b) ------------->| lends it, if it is free
//!    |            |<- Fetched(loan of slot of b) ---|
//!    |            | goes on: GET b, ends            |
//!    |            | append: SET a 1                 |
//!    |            |- Return(slot of b) ------------>|
//! ```
//!
//! The scripts of a batch that follow each other run with one loan ([`crate::shard::fetch`]): what
//! the first one has brought together stays for the next.
//!
//! A run that takes long gives its thread back after each slice, and its batch keeps its slots.

mod call;
pub(super) mod counting;
mod emitted;
pub(super) mod kill;
mod known;
pub mod needs;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::base::millis::Millis;
use crate::base::slot::SLOTS;
use crate::commands::action::Action;
use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::commands::scripting::{Asked, Begin, Named, Program, eval};
use crate::hook::{Part, Phase, Room};
use crate::keyspace::undo::Undo;
use crate::question::KillKind;
use crate::script::{Facts, Flag, Protocol, Run, Step};
use crate::settings::Replication;
use crate::shard::execute::{Around, Ended, Engine};
use crate::shard::script::call::{Asking, Called};
use crate::shard::script::emitted::Emitted;
use crate::shard::script::needs::KeyName;
use crate::shard::{SLICE_NS, Ticks};

/// How often a script runs again with more slots; then it has all.
const RERUNS_MAX: usize = 16;

/// Slots of a run that asks for some of them one by one. One that has met more takes all.
const MET_MAX: usize = 512;

/// Runs of a shard that may stand still at a time. Each takes some hundred kilobytes.
const RUNS_MAX: usize = 1_000;

const OUT_OF_MEMORY: CommandError = CommandError::Text(
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
);
const READ_ONLY_REPLICA: CommandError =
    CommandError::Text("ERR Can not run script with write flag on readonly replica.");
const WRITES: CommandError =
    CommandError::Text("ERR Can not execute a script with write flag using *_ro command.");

/// A script or a function that runs.
pub(super) struct Running {
    run: Box<dyn Run>,
    is_function: bool,
    /// The name of the function, and the words of the call, for those who ask what runs.
    name: String,
    words: Vec<Vec<u8>>,
    /// Its writes are refused.
    reads_only: bool,
    /// Memory or not, its commands run.
    allows_oom: bool,
    /// The database that it has selected.
    db: u32,
    /// Where its random numbers begin.
    seed: u64,
    /// What its commands have caused, while it stands still.
    emitted: Emitted,
    /// Slots that its commands have named.
    met: BTreeSet<u16>,
    /// Keys that its commands have named and its call has not, while slots were missing.
    undeclared: Vec<KeyName>,
    /// One of its commands needs every slot.
    wants_all: bool,
    /// What it has asked for did not come.
    is_refused: bool,
    /// One of them is about to change a large value, or has.
    changes_large: bool,
    /// The command that has asked for something, which has to be done before it is answered.
    asking: Option<Asking>,
    /// When it began, in milliseconds of unix time.
    since: Millis,
    /// How long it has run, in nanoseconds.
    nanos: u64,
    /// It has run for longer than `busy-reply-threshold`.
    is_slow: bool,
    /// The lenders of its slots know that.
    is_told: bool,
    /// It is being ended: what it has changed is taken back.
    is_killed: bool,
    /// The last error that one of its commands gave, as a line.
    last_error: Option<Vec<u8>>,
}

/// Where a run stands still.
enum Stands {
    /// It has ended, with this reply.
    Done { reply: Vec<u8> },
    /// It needs slots that are not here.
    Lacks,
    /// Its slice is over.
    Slice,
    /// Something has to be done first.
    Asks(Box<Action>),
}

impl Engine {
    /// Runs a call that runs a script, or goes on with it.
    pub(super) fn script(
        &mut self,
        named: Named,
        call: &Call<'_>,
        around: &mut Around<'_>,
        clock: &mut dyn Ticks,
    ) -> Ended {
        let stands_still = around.walk.as_mut().and_then(|walk| walk.run.take());
        let running = match stands_still.map(|number| self.runs.take(number)) {
            Some(Some(mut running)) if self.phase != Phase::Serving => {
                // The slots that it holds are whole, and stay so.
                let outer = self.take_in(&mut running, around.session);
                self.count_all(call.settings.latency_tracking);
                self.undo(running, outer, around.session);
                Err(Ended::of(Err(CommandError::Loading)))
            }
            Some(running) => running.ok_or(Ended::of(Err(CommandError::Loading))),
            None => self.begin_script(named, call, around),
        };
        match running {
            Ok(running) => self.go_on(running, call, around, clock),
            Err(ended) => ended,
        }
    }

    /// Begins a run.
    fn begin_script(
        &mut self,
        named: Named,
        call: &Call<'_>,
        around: &mut Around<'_>,
    ) -> Result<Box<Running>, Ended> {
        let failed = |error| Ended::of(Err(error));
        if around.walk.is_none() {
            self.show_script(call, around);
        }
        let answer = around.walk.as_mut().and_then(|walk| walk.answer.take());
        let was_done = answer.is_some();
        answer.transpose().map_err(failed)?;
        let asked = match eval::begin(named, call, &mut self.scripting, was_done).map_err(failed)? {
            Begin::Runs(asked) => asked,
            Begin::Asks(action) => {
                // Its reply begins where it does now.
                around.walk.get_or_insert_default();
                return Err(Ended::asks(action));
            }
        };
        self.may_run(&asked, &call.settings.replication).map_err(failed)?;
        let seed = around.walk.as_ref().and_then(|walk| walk.seed);
        let seed = seed.unwrap_or_else(|| self.tools.random.u64(..));
        let protocol = if around.session.resp3 { Protocol::Three } else { Protocol::Two };
        if self.scripting.engine.running() >= RUNS_MAX {
            return Err(Ended::Refused(Box::new(CommandError::Busy(
                KillKind::Scripts.container(),
            ))));
        }
        let run = self.scripting.begin(call, &asked, Facts { protocol, seed });
        let (is_function, name) = match &asked.program {
            Program::Script(_) => (false, String::new()),
            Program::Function(_, function) => (true, function.name.clone()),
        };
        let has_all = self.space.slots_here() == usize::from(SLOTS);
        let undo = Undo::new(call.settings.scripts.script_undo_max as usize, !has_all);
        Ok(Box::new(Running {
            run,
            is_function,
            name,
            words: Vec::new(),
            reads_only: asked.may_not_write(),
            allows_oom: asked.program.flags().has(Flag::AllowOom),
            db: around.session.db,
            seed,
            emitted: Emitted::new(undo, seed),
            met: call.keys.iter().map(|key| key.slot).collect(),
            undeclared: Vec::new(),
            wants_all: false,
            is_refused: false,
            changes_large: false,
            asking: None,
            since: call.now,
            nanos: 0,
            is_slow: false,
            is_told: false,
            is_killed: false,
            last_error: None,
        }))
    }

    /// Whether a program may run by what it declares.
    fn may_run(&self, asked: &Asked, settings: &Replication) -> Result<(), CommandError> {
        let flags = asked.program.flags();
        if let Part::Replica { is_linked } = self.part {
            let is_stale = !is_linked && !settings.replica_serve_stale_data;
            // Of one that declares nothing, each command is asked.
            if is_stale && flags.is_declared() && !flags.has(Flag::AllowStale) {
                return Err(CommandError::NoLink);
            }
            let may_write = flags.is_declared() && !flags.has(Flag::NoWrites);
            if settings.replica_read_only && may_write && !asked.reads_only {
                return Err(READ_ONLY_REPLICA);
            }
        }
        if !flags.is_declared() || flags.has(Flag::NoWrites) {
            return Ok(());
        }
        if asked.reads_only {
            return Err(WRITES);
        }
        if self.lacks_replicas && self.part == Part::Primary {
            return Err(CommandError::TooFewReplicas);
        }
        if self.room == Room::Never && !flags.has(Flag::AllowOom) {
            return Err(OUT_OF_MEMORY);
        }
        match &self.journal_failed {
            Some(why) => Err(CommandError::JournalFailed(why.clone())),
            None => Ok(()),
        }
    }

    /// Goes on with a run until it stands still.
    fn go_on(
        &mut self,
        mut running: Box<Running>,
        call: &Call<'_>,
        around: &mut Around<'_>,
        clock: &mut dyn Ticks,
    ) -> Ended {
        let start = clock.nanos();
        let outer = self.take_in(&mut running, around.session);
        let went =
            catch_unwind(AssertUnwindSafe(|| self.step(&mut running, call, around, start, clock)));
        running.nanos += clock.nanos().saturating_sub(start);
        running.is_slow = running.nanos / 1_000_000 >= call.settings.scripts.busy_reply_threshold;
        let stands = match went {
            Ok(stands) => stands,
            Err(panic) => {
                self.drop_changed();
                self.count_all(call.settings.latency_tracking);
                self.undo(running, outer, around.session);
                resume_unwind(panic)
            }
        };
        let ended = match stands {
            Stands::Done { reply } => {
                let last_error = running.last_error.take();
                self.count_all(call.settings.latency_tracking);
                if running.is_killed {
                    self.undo(running, outer, around.session);
                } else {
                    self.note_needs(&running, call, around);
                    self.commit(&mut running, outer, around.session);
                }
                return answer_with(reply, last_error.as_deref(), around);
            }
            Stands::Lacks => {
                let walk = around.walk.get_or_insert_default();
                walk.seed = Some(running.seed);
                walk.spent += 1;
                walk.first = walk.first.or(Some(self.register.own()));
                around.wider.clear();
                if self.may_fetch(&running, call, walk.spent) {
                    around.wider.extend(&running.met);
                    walk.lacked = running.lacked(call);
                    running.is_told = false;
                    self.put_aside(&mut running, outer, around.session);
                    walk.run = Some(self.runs.put(running));
                    return Ended::Lacks;
                }
                self.uncounted.clear();
                let missing = running.met.iter().any(|slot| !self.space.has(*slot));
                if walk.spent >= RERUNS_MAX || !missing {
                    around.wider.extend(0..SLOTS);
                } else {
                    around.wider.extend(&running.met);
                }
                self.undo(running, outer, around.session);
                return Ended::Lacks;
            }
            Stands::Slice => {
                if running.words.is_empty() {
                    running.words = call.args_from(0).map(<[u8]>::to_vec).collect();
                }
                running.kill_if_over(self.tools.undo.as_deref(), call.settings);
                Ended::GoesOn
            }
            Stands::Asks(action) => Ended::Asks(action),
        };
        self.put_aside(&mut running, outer, around.session);
        around.wider.clear();
        around.wider.extend(&running.met);
        around.walk.get_or_insert_default().run = Some(self.runs.put(running));
        ended
    }

    /// Whether a run asks for what it lacks, and stands still until that comes: where others have
    /// it, and have not refused it.
    fn may_fetch(&self, running: &Running, call: &Call<'_>, spent: usize) -> bool {
        let own = self.register.own();
        let mut missing = running.met.iter().filter(|slot| !self.space.has(**slot)).peekable();
        let is_tried = running.is_refused || spent >= RERUNS_MAX || running.asking.is_none();
        !is_tried
            && !running.wants_all
            && missing.peek().is_some()
            && running.met.len() <= MET_MAX
            && missing.all(|slot| call.map.owner(*slot) != own)
    }

    /// Steps a run until it stands still, for one slice at the most, which began at `start`.
    fn step(
        &mut self,
        running: &mut Running,
        call: &Call<'_>,
        around: &mut Around<'_>,
        start: u64,
        clock: &mut dyn Ticks,
    ) -> Stands {
        let clock = RefCell::new(clock);
        let is_over = || clock.borrow_mut().nanos().saturating_sub(start) > SLICE_NS;
        let mut reply = Vec::new();
        let mut step = match running.asking.take() {
            Some(asking) => {
                let has_fetched = asking.lacks;
                let answer = around.walk.as_mut().and_then(|walk| walk.answer.take());
                match self.answer_asking(running, asking, answer, call, around, &mut reply, &clock)
                {
                    Called::Answered => running.run.answer(&reply, &is_over),
                    Called::Lacks => {
                        running.is_refused = has_fetched;
                        return Stands::Lacks;
                    }
                    Called::Asks(action) => return Stands::Asks(action),
                }
            }
            None => running.run.resume(&is_over),
        };
        loop {
            step = match step {
                Step::Done { reply, .. } => return Stands::Done { reply },
                Step::Slice => return Stands::Slice,
                Step::Log { level, message } => {
                    self.sinks.logged(level, &message);
                    running.run.resume(&is_over)
                }
                Step::MayCall { arguments } => {
                    reply.clear();
                    call::may_call(&arguments, call.settings, &mut reply);
                    running.run.answer(&reply, &is_over)
                }
                Step::Call { arguments, .. } => {
                    reply.clear();
                    let called = self.call_from_script(
                        running, arguments, None, call, around, &mut reply, &clock,
                    );
                    match called {
                        Called::Answered => {
                            if let Some(line) = line_of_error(&reply) {
                                running.last_error = Some(line.to_vec());
                            }
                            running.run.answer(&reply, &is_over)
                        }
                        Called::Lacks => return Stands::Lacks,
                        Called::Asks(action) => return Stands::Asks(action),
                    }
                }
            };
            if self.tools.undo.as_ref().is_some_and(|undo| undo.is_full()) {
                running.kill(kill::TOO_MUCH);
            }
        }
    }
}

/// The run has ended: its reply is that of the call. An error counts as one whether the script has
/// failed or returned it. One that its commands gave is counted already.
fn answer_with(reply: Vec<u8>, last_error: Option<&[u8]>, around: &mut Around<'_>) -> Ended {
    if let Some(line) = line_of_error(&reply) {
        let is_counted = last_error.is_some_and(|error| line.starts_with(error));
        return Ended::of(Err(CommandError::Script { text: line.to_vec(), is_counted }));
    }
    around.replies.extend_from_slice(&reply);
    Ended::Ran
}

/// The line of a reply that is an error.
fn line_of_error(reply: &[u8]) -> Option<&[u8]> {
    reply.strip_prefix(b"-")?.strip_suffix(b"\r\n")
}
