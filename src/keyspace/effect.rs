//! What commands changed, in the form in which it is journaled: RESP commands, in order.
//!
//! A write command is recorded as it came, or rewritten to be deterministic; recording happens once
//! a call, at its end, or by the command itself. The records of one turn of a shard leave together.
//! While nobody listens, nothing is recorded.

use crate::resp::encode;

/// The effects of one turn.
#[derive(Debug, Default)]
pub struct Effects {
    listened_to: bool,
    bytes: Vec<u8>,
    runs: Vec<Run>,
    rewritten: bool,
}

/// Consecutive effects on one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The database.
    pub db: u32,
    /// Where the run ends in the bytes of the turn.
    pub end: usize,
}

impl Effects {
    /// Whether anybody wants the effects.
    pub fn listen(&mut self, on: bool) {
        self.listened_to = on;
    }

    /// True when somebody wants the effects, so that it pays to put records together.
    pub fn is_listened_to(&self) -> bool {
        self.listened_to
    }

    /// True when nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes recorded in this turn.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes recorded from `mark` (an earlier [`Effects::len`]) on.
    pub fn since(&self, mark: usize) -> &[u8] {
        self.bytes.get(mark..).unwrap_or(&[])
    }

    /// Forgets what was recorded from `mark` on: the call that recorded it panicked.
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.bytes.truncate(mark);
        self.runs.retain_mut(|run| {
            let start_is_kept = run.end <= mark;
            run.end = run.end.min(mark);
            start_is_kept || run.end == mark
        });
        self.runs.dedup_by_key(|run| run.end);
    }

    /// Takes the effects of the turn.
    pub fn take(&mut self) -> (Vec<u8>, Vec<Run>) {
        (std::mem::take(&mut self.bytes), std::mem::take(&mut self.runs))
    }

    /// A call begins: until it rewrites its effect, it is recorded as it came.
    pub(crate) fn begin_call(&mut self) {
        self.rewritten = false;
    }

    /// A call ended that changed something: records it as it came, unless it was rewritten.
    pub(crate) fn end_call(&mut self, db: u32, raw: &[u8]) {
        if self.listened_to && !self.rewritten {
            self.bytes.extend_from_slice(raw);
            self.close_run(db);
        }
    }

    /// Records a command in the place of the call that runs.
    pub fn rewrite(&mut self, db: u32, args: &[&[u8]]) {
        self.rewritten = true;
        self.aside(db, args);
    }

    /// The call that runs has no effect of its own, whatever it changed.
    pub fn suppress(&mut self) {
        self.rewritten = true;
    }

    /// Records a command beside the call that runs: a key found expired, say.
    pub fn aside(&mut self, db: u32, args: &[&[u8]]) {
        if self.listened_to {
            encode::command(&mut self.bytes, args);
            self.close_run(db);
        }
    }

    /// Records what `write` records beside the call, whole or not at all, in the place of the call.
    pub fn together(&mut self, db: u32, write: impl FnOnce(&mut Effects)) {
        self.rewritten = true;
        self.aside(db, &[b"MULTI"]);
        write(self);
        self.aside(db, &[b"EXEC"]);
    }

    /// Records several commands, whole or not at all, in the place of the call that runs.
    pub fn rewrite_together(&mut self, commands: &[(u32, &[&[u8]])]) {
        self.rewritten = true;
        let Some((first, _)) = commands.first() else { return };
        self.aside(*first, &[b"MULTI"]);
        for (db, args) in commands {
            self.aside(*db, args);
        }
        self.aside(commands[commands.len() - 1].0, &[b"EXEC"]);
    }

    fn close_run(&mut self, db: u32) {
        let end = self.bytes.len();
        match self.runs.last_mut() {
            Some(run) if run.db == db => run.end = end,
            _ => self.runs.push(Run { db, end }),
        }
    }
}
