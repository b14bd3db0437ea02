//! What commands of a script are counted as, and shown as.
//!
//! A run that runs again has called its commands twice, and they count once: so they are counted
//! when the run is over. Beyond [`KEPT_MAX`] of them each is counted as it ends.

use crate::commands::call::Call;
use crate::commands::command::Command;
use crate::commands::error::CommandError;
use crate::hook::{Called, Outcome};
use crate::resp::Reply;
use crate::shard::execute::{Around, Ended, Engine, Marks};

/// Commands of a run that are kept to be counted.
const KEPT_MAX: usize = 4_096;

/// A command that a script has called.
#[derive(Debug)]
pub(in crate::shard) struct Uncounted {
    /// None where there is no such command.
    command: Option<&'static Command>,
    nanos: u64,
    error: Option<CommandError>,
    was_refused: bool,
}

impl Engine {
    /// A call of a script is over: writes the error, if it is one, counts it and tells the sinks.
    pub(in crate::shard) fn close_in_script(
        &mut self,
        call: &Call<'_>,
        around: &mut Around<'_>,
        ended: &Ended,
        marks: Marks,
        nanos: u64,
    ) {
        let error = ended.error();
        let was_refused = matches!(ended, Ended::Refused(_));
        if let Some(error) = error {
            around.replies.truncate(marks.reply);
            error.reply(&mut Reply::new(around.replies, around.session.resp3));
        }
        let outcome = match error {
            None => Outcome::Ran(around.replies.len() - marks.reply),
            Some(error) if was_refused => Outcome::Refused(error),
            Some(error) => {
                self.sinks.failed(around.session, error);
                Outcome::Failed(error)
            }
        };
        if self.sinks.see(nanos, call.raw.len(), outcome.reply_bytes()) {
            self.show(call, around, outcome, marks, nanos);
        }
        let command = Some(call.command);
        self.keep_count(Uncounted { command, nanos, error: error.cloned(), was_refused }, call);
    }

    /// A script has called what it may not call.
    pub(super) fn refused_in_script(
        &mut self,
        command: Option<&'static Command>,
        error: CommandError,
        call: &Call<'_>,
    ) {
        let error = Some(error);
        self.keep_count(Uncounted { command, nanos: 0, error, was_refused: true }, call);
    }

    fn keep_count(&mut self, uncounted: Uncounted, call: &Call<'_>) {
        match self.uncounted.len() < KEPT_MAX {
            true => self.uncounted.push(uncounted),
            false => self.count(uncounted, call.settings.latency_tracking),
        }
    }

    /// Counts what a run has called.
    pub(super) fn count_all(&mut self, tracks_latency: bool) {
        let mut uncounted = std::mem::take(&mut self.uncounted);
        uncounted.drain(..).for_each(|one| self.count(one, tracks_latency));
        self.uncounted = uncounted;
    }

    fn count(&mut self, uncounted: Uncounted, tracks_latency: bool) {
        let Uncounted { command, nanos, error, was_refused } = uncounted;
        match (command, error) {
            (Some(command), Some(error)) if was_refused => self.counters.refused(command, &error),
            (Some(command), error) => {
                self.counters.ran(command, nanos, tracks_latency);
                error.iter().for_each(|error| self.counters.failed(command, error));
            }
            (None, error) => error.iter().for_each(|error| self.counters.unknown(error)),
        }
    }

    /// Shows a script that begins, ahead of the commands that it calls.
    pub(super) fn show_script(&mut self, call: &Call<'_>, around: &mut Around<'_>) {
        if !self.sinks.see(0, call.raw.len(), 0) {
            return;
        }
        let called = Called {
            call,
            session: around.session,
            now: call.now,
            nanos: 0,
            outcome: Outcome::Ran(0),
            effects: b"",
            has_waited: false,
            in_script: false,
        };
        self.sinks.begins(&called, &mut self.pushes);
    }
}
