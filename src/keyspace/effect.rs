//! What commands changed, in the form in which it is journaled: RESP commands, in order.
//!
//! A write command is recorded as it came, or rewritten to be deterministic; recording happens once
//! a call, at its end, or by the command itself. The records of one turn of a shard leave together.
//! While nobody listens, nothing is recorded.
//!
//! Records that belong together stand between MULTI and EXEC. Such brackets count their depth: one
//! inside another writes nothing, so they never nest in a file. They write nothing around a single
//! record or none either, and one that panics takes back what was recorded in it.
//!
//! What is published concerns replicas, and no file: it stands in runs of its own. Inside brackets
//! it waits for their end, so that a file never has brackets around nothing. Its database is its
//! client's, as in Valkey: who reads the stream by databases finds it there.
//!
//! Where the stream of a primary is concerns files alone: an annotation says so, in a run of its
//! own, behind all that was carried out of it in a turn. Inside brackets it is whole with the
//! records, or not at all.

use std::mem::replace;

use crate::place::StreamPlace;
use crate::resp::encode;

/// Bytes that the next turn has room for at the most, whatever this one needed.
const ROOM_MAX: usize = 64 * 1024;

/// Runs that the next turn has room for at the most.
const RUNS_MAX: usize = 64;

/// What begins records that belong together.
const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";

/// The effects of one turn.
#[derive(Debug, Default)]
pub struct Effects {
    listened_to: bool,
    bytes: Vec<u8>,
    runs: Vec<Run>,
    rewritten: bool,
    /// How many brackets are open, one inside the other.
    depth: u32,
    /// Where the MULTI of the open brackets stands. It is written ahead of their first record.
    multi: Option<usize>,
    /// How many records stand behind it.
    bracketed: usize,
    moment: Option<Mark>,
    /// There are replicas, which want to know what is published.
    is_for_replicas: bool,
    /// What was published inside the open brackets, by database.
    published: Vec<(u32, Vec<u8>)>,
    /// Where the stream of a primary is behind all that the turn has recorded of it.
    place: Option<StreamPlace>,
}

/// Where in the effects of a turn the moment of a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Bytes that come before it.
    pub at: usize,
    /// The number of the snapshot.
    pub snapshot: u32,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a snapshot is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// It is a file of its own.
    #[default]
    File,
    /// A journal goes on with another increment at its moment, and has it for its base.
    Base,
    /// Replicas begin with it, and go on with what stands behind its moment in the stream.
    FullSync,
}

/// Consecutive effects on one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The database.
    pub db: u32,
    /// Where the run ends in the bytes of the turn.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a run is, and so who wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It changed keys of its database: everybody.
    Written,
    /// It was published: replicas.
    Published,
    /// It says where the stream of a primary is: files.
    Annotation,
}

impl Run {
    /// A run of what changed keys of a database.
    pub fn new(db: u32, end: usize) -> Run {
        Run { db, end, kind: Kind::Written }
    }
}

/// Effects that are not whole yet, outside any turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suspended {
    bytes: Vec<u8>,
    runs: Vec<Run>,
    published: Vec<(u32, Vec<u8>)>,
    records: usize,
}

impl Effects {
    /// Whether anybody wants the effects.
    pub fn listen(&mut self, on: bool) {
        self.listened_to = on;
    }

    /// Whether there are replicas, which want to know what is published.
    pub fn listen_for_replicas(&mut self, on: bool) {
        self.is_for_replicas = on;
    }

    /// Records a command that publishes something, as it came.
    pub(crate) fn publish(&mut self, db: u32, raw: &[u8]) {
        if !self.is_for_replicas {
            return;
        }
        if self.depth > 0 {
            self.published.push((db, raw.to_vec()));
        } else {
            self.end_published(db, raw);
        }
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

    /// Bytes that they take from the allocator.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() + self.runs.capacity() * size_of::<Run>()
    }

    /// The bytes recorded from `mark` (an earlier [`Effects::len`]) on.
    pub fn since(&self, mark: usize) -> &[u8] {
        self.bytes.get(mark..).unwrap_or(&[])
    }

    /// Forgets what was recorded from `mark` on: the call that recorded it panicked.
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.bytes.truncate(mark);
        let end = self.bytes.len();
        let whole = self.runs.partition_point(|run| run.end < end);
        self.runs.truncate(whole + usize::from(end > 0));
        if let Some(last) = self.runs.last_mut() {
            last.end = end;
        }
        self.multi = self.multi.filter(|at| *at < end);
    }

    /// The stream of a primary is there, behind all that the turn has recorded so far; none where
    /// something of it is not carried out to its end. What was said of the turn before is void.
    pub(crate) fn set_place(&mut self, place: Option<StreamPlace>) {
        self.place = place;
    }

    /// Records where the stream of a primary is, behind all that was recorded so far.
    pub(crate) fn record_place(&mut self, place: &StreamPlace) {
        if self.listened_to {
            // Brackets stay around it.
            self.bracketed += 1;
            let db = self.runs.last().map_or(0, |run| run.db);
            self.bytes.extend_from_slice(place.annotation().as_bytes());
            self.end_run(db, Kind::Annotation);
        }
    }

    /// Takes the effects of the turn. The next turn has room for as much at once.
    pub fn take(&mut self) -> (Vec<u8>, Vec<Run>) {
        if let Some(place) = self.place.take() {
            self.record_place(&place);
        }
        let bytes = Vec::with_capacity(self.bytes.len().min(ROOM_MAX));
        let runs = Vec::with_capacity(self.runs.len().min(RUNS_MAX));
        (replace(&mut self.bytes, bytes), replace(&mut self.runs, runs))
    }

    /// This is the moment of a snapshot for a reader of the stream.
    pub(crate) fn mark_moment(&mut self, snapshot: u32, purpose: Purpose) {
        if self.listened_to {
            self.moment = Some(Mark { at: self.bytes.len(), snapshot, purpose });
        }
    }

    /// The moment of a snapshot, if it is in this turn. To be taken before the effects are.
    pub(crate) fn take_moment(&mut self) -> Option<Mark> {
        self.moment.take()
    }

    /// A call begins: until it rewrites its effect, it is recorded as it came.
    pub(crate) fn begin_call(&mut self) {
        self.rewritten = false;
    }

    /// A call ended that changed something: records it as it came, unless it was rewritten.
    pub(crate) fn end_call(&mut self, db: u32, raw: &[u8]) {
        if self.listened_to && !self.rewritten {
            self.begin_record(db);
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
            self.begin_record(db);
            encode::command(&mut self.bytes, args);
            self.close_run(db);
        }
    }

    /// Records what `write` records, whole or not at all, in the place of the call that runs.
    pub fn together(&mut self, write: impl FnOnce(&mut Effects)) {
        self.rewritten = true;
        let bracket = Bracket::open(self);
        write(&mut *bracket.effects);
        bracket.close();
    }

    /// All that belongs together is recorded, since [`Effects::resume`].
    pub(crate) fn close(&mut self) {
        self.depth -= 1;
        if self.depth == 0 {
            self.end_records();
        }
    }

    /// Takes out what was recorded since [`Effects::resume`] at `mark`: it is not whole yet, and
    /// others record meanwhile.
    pub(crate) fn suspend(&mut self, mark: usize) -> Suspended {
        let runs = self.runs.iter().filter(|run| run.end > mark);
        let runs = runs.map(|run| Run { end: run.end - mark, ..*run }).collect();
        let bytes = self.since(mark).to_vec();
        let records = if bytes.is_empty() { 0 } else { self.bracketed };
        self.depth -= 1;
        self.rewind(mark);
        let published = std::mem::take(&mut self.published);
        Suspended { bytes, runs, published, records }
    }

    /// What is recorded from here on belongs together with what was recorded of it before.
    pub(crate) fn resume(&mut self, Suspended { bytes, runs, published, records }: Suspended) {
        let start = self.bytes.len();
        self.published.extend(published);
        self.depth += 1;
        if !bytes.is_empty() && self.multi.is_none() {
            (self.multi, self.bracketed) = (Some(start), 0);
        }
        self.bracketed += records;
        self.bytes.extend_from_slice(&bytes);
        for Run { db, end, .. } in runs {
            self.close_run_at(db, start + end);
        }
    }

    /// Records several commands, whole or not at all, in the place of the call that runs.
    pub fn rewrite_together(&mut self, commands: &[(u32, &[&[u8]])]) {
        self.together(|effects| commands.iter().for_each(|(db, args)| effects.aside(*db, args)));
    }

    /// The first record in brackets stands behind their MULTI.
    #[inline]
    fn begin_record(&mut self, db: u32) {
        if self.depth == 0 {
            return;
        }
        if self.multi.is_none() {
            (self.multi, self.bracketed) = (Some(self.bytes.len()), 0);
            self.bytes.extend_from_slice(MULTI);
            self.close_run(db);
        }
        self.bracketed += 1;
    }

    /// The last bracket is closed: EXEC stands in the database of the last record. One record needs
    /// no brackets.
    fn end_records(&mut self) {
        match (self.multi.take(), self.runs.last()) {
            (Some(at), _) if self.bracketed == 1 => {
                self.bytes.drain(at..at + MULTI.len());
                let behind = self.runs.iter_mut().filter(|run| run.end > at);
                behind.for_each(|run| run.end -= MULTI.len());
            }
            (Some(_), Some(last)) => {
                let db = last.db;
                encode::command(&mut self.bytes, &[b"EXEC"]);
                self.close_run(db);
            }
            _ => {}
        }
        for (db, raw) in std::mem::take(&mut self.published) {
            self.end_published(db, &raw);
        }
    }

    fn close_run(&mut self, db: u32) {
        self.close_run_at(db, self.bytes.len());
    }

    fn close_run_at(&mut self, db: u32, end: usize) {
        match self.runs.last_mut() {
            Some(run) if run.db == db && run.kind == Kind::Written => run.end = end,
            _ => self.runs.push(Run::new(db, end)),
        }
    }

    fn end_published(&mut self, db: u32, raw: &[u8]) {
        self.bytes.extend_from_slice(raw);
        self.end_run(db, Kind::Published);
    }

    fn end_run(&mut self, db: u32, kind: Kind) {
        let end = self.bytes.len();
        match self.runs.last_mut() {
            Some(run) if run.db == db && run.kind == kind => run.end = end,
            _ => self.runs.push(Run { db, end, kind }),
        }
    }
}

/// An open bracket. Dropped before it is closed, by a panic, it takes back what was recorded in it.
struct Bracket<'a> {
    effects: &'a mut Effects,
    begin: usize,
    is_whole: bool,
}

impl<'a> Bracket<'a> {
    fn open(effects: &'a mut Effects) -> Bracket<'a> {
        effects.depth += 1;
        Bracket { begin: effects.len(), effects, is_whole: false }
    }

    fn close(mut self) {
        self.is_whole = true;
    }
}

impl Drop for Bracket<'_> {
    fn drop(&mut self) {
        self.effects.depth -= 1;
        if !self.is_whole {
            self.effects.rewind(self.begin);
        } else if self.effects.depth == 0 {
            self.effects.end_records();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn listening() -> Effects {
        let mut effects = Effects::default();
        effects.listen(true);
        effects
    }

    /// What was recorded, each run behind the number of its database.
    fn recorded(effects: &mut Effects) -> String {
        assert_eq!((effects.depth, effects.multi), (0, None));
        let (bytes, runs) = effects.take();
        let mut said = Vec::new();
        let mut start = 0;
        for run in runs {
            said.push(format!(
                "{}{}:",
                match run.kind {
                    Kind::Written => "",
                    Kind::Published => "-",
                    Kind::Annotation => "#",
                },
                run.db
            ));
            let text = String::from_utf8_lossy(&bytes[start..run.end]).into_owned();
            assert!(!text.is_empty(), "a run without a record");
            let words = text.lines().filter(|line| !line.starts_with(['*', '$']));
            said.extend(words.map(str::to_owned));
            start = run.end;
        }
        assert_eq!(start, bytes.len());
        said.join(" ")
    }

    #[test]
    fn brackets_inside_brackets_write_one_pair() {
        let mut effects = listening();
        effects.together(|effects| {
            effects.together(|effects| effects.aside(3, &[b"A"]));
            effects.rewrite_together(&[(3, &[b"B"]), (0, &[b"C"])]);
            effects.together(|_| {});
            effects.end_call(0, b"*1\r\n$1\r\nX\r\n");
            effects.aside(5, &[b"D"]);
        });
        effects.aside(5, &[b"E"]);
        assert_eq!(recorded(&mut effects), "3: MULTI A B 0: C 5: D EXEC E");
    }

    #[test]
    fn what_is_together_stands_in_the_place_of_the_call() {
        let mut effects = listening();
        effects.begin_call();
        effects.rewrite_together(&[(0, &[b"A"])]);
        effects.end_call(0, b"raw");
        assert_eq!(recorded(&mut effects), "0: A");
    }

    #[test]
    fn one_record_stands_alone_in_the_end() {
        let mut effects = listening();
        effects.aside(0, &[b"A"]);
        effects.resume(Suspended::default());
        let (mark, script) = (effects.len(), |effects: &mut Effects| effects.aside(3, &[b"B"]));
        script(&mut effects);
        let taken = effects.suspend(mark);
        effects.aside(0, &[b"OTHER"]);
        effects.resume(taken);
        effects.close();
        for records in 0..3 {
            effects.resume(Suspended::default());
            (0..records).for_each(|_| script(&mut effects));
            effects.close();
        }
        assert_eq!(recorded(&mut effects), "0: A OTHER 3: B B MULTI B B EXEC");
    }

    #[test]
    fn brackets_around_nothing_write_nothing() {
        let mut effects = listening();
        effects.aside(1, &[b"A"]);
        effects.together(|effects| effects.together(|_| {}));
        effects.rewrite_together(&[]);
        assert_eq!(recorded(&mut effects), "1: A");
    }

    #[test]
    fn nothing_is_recorded_while_nobody_listens() {
        let mut effects = Effects::default();
        effects.together(|effects| effects.aside(0, &[b"A"]));
        effects.end_call(0, b"raw");
        assert!(effects.is_empty());
        assert_eq!(recorded(&mut effects), "");
    }

    #[test]
    fn a_panic_inside_takes_back_its_bracket_and_no_other() {
        let mut effects = listening();
        let panics = |effects: &mut Effects| {
            effects.together(|effects| {
                effects.aside(7, &[b"LOST"]);
                panic!("on purpose");
            });
        };
        effects.aside(0, &[b"A"]);
        let panicked = catch_unwind(AssertUnwindSafe(|| effects.together(panics)));
        assert!(panicked.is_err());
        effects.aside(0, &[b"B"]);
        effects.together(|effects| {
            let panicked = catch_unwind(AssertUnwindSafe(|| panics(&mut *effects)));
            assert!(panicked.is_err());
            effects.aside(1, &[b"C"]);
            assert!(catch_unwind(AssertUnwindSafe(|| panics(effects))).is_err());
        });
        assert_eq!(recorded(&mut effects), "0: A B 1: MULTI C EXEC");
    }

    #[test]
    fn a_rewind_inside_brackets_keeps_them_whole() {
        let mut effects = listening();
        effects.together(|effects| {
            let mark = effects.len();
            effects.aside(0, &[b"LOST"]);
            effects.rewind(mark);
            effects.aside(2, &[b"A"]);
            let mark = effects.len();
            effects.aside(0, &[b"LOST"]);
            effects.rewind(mark);
        });
        assert_eq!(recorded(&mut effects), "2: MULTI A EXEC");
    }

    #[test]
    fn what_is_published_stands_behind_its_brackets_and_only_for_replicas() {
        let mut effects = listening();
        effects.publish(2, b"NOBODY\r\n");
        effects.listen_for_replicas(true);
        effects.aside(2, &[b"A"]);
        effects.publish(2, b"P\r\n");
        effects.together(|effects| effects.publish(2, b"ALONE\r\n"));
        effects.aside(2, &[b"B"]);
        effects.together(|effects| {
            effects.publish(2, b"Q\r\n");
            effects.aside(2, &[b"C"]);
            effects.publish(4, b"R\r\n");
            effects.aside(2, &[b"E"]);
        });
        effects.aside(3, &[b"D"]);
        assert_eq!(recorded(&mut effects), "2: A -2: P ALONE 2: B MULTI C E EXEC -2: Q -4: R 3: D");
    }
}
