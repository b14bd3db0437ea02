//! How the stream is read: records by the turn, and a SELECT where a reader needs one.
//!
//! Shards send records without SELECT, since none of them knows what stands before its own. Each
//! reader has begun at another place, so each puts in the SELECTs that its own copy needs, the
//! first one ahead of its first record. No reader knows of another.

use bytes::BytesMut;

use super::Append;
use crate::keyspace::effect::{Kind, Mark, Run};
use crate::resp::encode;

/// What a shard did in one turn, as a consumer reads it: whole records, by database.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// The sender.
    pub shard: u16,
    runs: &'a [Run],
    bytes: &'a [u8],
}

/// Something that reads the stream.
pub trait Consumer {
    /// Takes records in. Those of all shards come in the one order, from the moment on at which
    /// the consumer begins to listen.
    fn take_in(&mut self, records: Records<'_>, now_ms: u64);

    /// A snapshot has its moment here: it holds what all records up to here make.
    fn meet_moment(&mut self, moment: Mark);
}

/// The database that is selected at the end of a copy of the stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selected {
    db: Option<u32>,
    /// The copy has what is for replicas, and not what is for files.
    is_of_replicas: bool,
}

impl Selected {
    /// That of a copy for replicas: it has what was published, and no annotations.
    pub fn of_replicas() -> Selected {
        Selected { db: None, is_of_replicas: true }
    }

    /// Whoever reads on from here knows of no database.
    pub fn forget(&mut self) {
        self.db = None;
    }

    /// Copies records to the end of `copy`, each behind a SELECT where the database changes.
    pub fn write(&mut self, records: Records<'_>, copy: &mut BytesMut) {
        let mut start = 0;
        for run in records.runs {
            let bytes = &records.bytes[start..run.end];
            start = run.end;
            let is_meant = match run.kind {
                Kind::Written => true,
                Kind::Published => self.is_of_replicas,
                Kind::Annotation => !self.is_of_replicas,
            };
            if !is_meant {
                continue;
            }
            if self.db != Some(run.db) && run.kind != Kind::Annotation {
                copy.extend_from_slice(&select(run.db));
                self.db = Some(run.db);
            }
            copy.extend_from_slice(bytes);
        }
    }
}

impl Records<'_> {
    /// Bytes of the records, without any SELECT.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True when there is no record.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn go_to(self, consumer: &mut dyn Consumer, now_ms: u64) {
        if !self.is_empty() {
            consumer.take_in(self, now_ms);
        }
    }
}

impl<F> Append<F> {
    /// Feeds the records to all who listen. Returns what waits until they are durable.
    ///
    /// # Panics
    /// When the runs do not cover the bytes.
    pub fn feed(self, consumers: &mut [&mut dyn Consumer], now_ms: u64) -> Vec<F> {
        let covered = self.runs.last().map_or(0, |run| run.end);
        assert!(covered == self.bytes.len(), "an append's runs must cover its bytes");
        for consumer in consumers {
            let records = Records { shard: self.shard, runs: &self.runs, bytes: &self.bytes };
            let Some(moment) = self.moment else {
                records.go_to(&mut **consumer, now_ms);
                continue;
            };
            let (before, after) = split(&self.runs, moment.at);
            let (bytes_before, bytes_after) = self.bytes.split_at(moment.at);
            let before = Records { runs: &before, bytes: bytes_before, ..records };
            before.go_to(&mut **consumer, now_ms);
            consumer.meet_moment(moment);
            let after = Records { runs: &after, bytes: bytes_after, ..records };
            after.go_to(&mut **consumer, now_ms);
        }
        self.finished
    }
}

/// The runs before and behind a place among the bytes.
fn split(runs: &[Run], at: usize) -> (Vec<Run>, Vec<Run>) {
    let (mut before, mut after, mut start) = (Vec::new(), Vec::new(), 0);
    for run in runs {
        if start < at {
            before.push(Run { end: run.end.min(at), ..*run });
        }
        if run.end > at {
            after.push(Run { end: run.end - at, ..*run });
        }
        start = run.end;
    }
    (before, after)
}

/// The record that selects a database.
fn select(db: u32) -> Vec<u8> {
    let mut record = Vec::new();
    encode::command(&mut record, &[b"SELECT", itoa::Buffer::new().format(db).as_bytes()]);
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::effect::Purpose;

    /// A consumer that keeps a copy.
    #[derive(Default)]
    struct Copy {
        selected: Selected,
        bytes: BytesMut,
    }

    impl Consumer for Copy {
        fn take_in(&mut self, records: Records<'_>, _: u64) {
            self.selected.write(records, &mut self.bytes);
        }

        fn meet_moment(&mut self, moment: Mark) {
            self.selected.forget();
            let text = format!("MOMENT\r\n{}\r\n", moment.snapshot);
            self.bytes.extend_from_slice(text.as_bytes());
        }
    }

    impl Copy {
        /// The words of the records, one after the other.
        fn words(&self) -> String {
            let text = String::from_utf8_lossy(&self.bytes).into_owned();
            let words = text.lines().filter(|line| !line.starts_with(['*', '$']));
            words.collect::<Vec<_>>().join(" ")
        }
    }

    /// `INCR <key>` in each of these databases, with a batch.
    fn incr(shard: u16, key: &str, dbs: &[u32]) -> Append<&'static str> {
        let (mut bytes, mut runs) = (Vec::new(), Vec::new());
        for db in dbs {
            encode::command(&mut bytes, &[b"INCR", key.as_bytes()]);
            runs.push(Run::new(*db, bytes.len()));
        }
        Append { shard, runs, bytes, finished: vec!["batch"], moment: None, is_urgent: false }
    }

    #[test]
    fn each_consumer_begins_with_a_select_of_its_own() {
        let (mut one, mut other) = (Copy::default(), Copy::default());
        incr(0, "a", &[3]).feed(&mut [&mut one], 0);
        incr(1, "b", &[3, 0]).feed(&mut [&mut one, &mut other], 0);
        incr(0, "c", &[0]).feed(&mut [&mut one, &mut other], 0);
        assert_eq!(one.words(), "SELECT 3 INCR a INCR b SELECT 0 INCR b INCR c");
        assert_eq!(other.words(), "SELECT 3 INCR b SELECT 0 INCR b INCR c");
        // The first one has ended; the other does not notice.
        incr(0, "d", &[7]).feed(&mut [&mut other], 0);
        assert!(other.words().ends_with("INCR c SELECT 7 INCR d"));
    }

    #[test]
    fn a_moment_parts_the_records_of_its_turn() {
        let whole = incr(0, "a", &[3, 3, 0]);
        let record = whole.runs[0].end;
        for (count, expected) in [
            (0, "MOMENT 9 SELECT 3 INCR a INCR a SELECT 0 INCR a"),
            (1, "SELECT 3 INCR a MOMENT 9 SELECT 3 INCR a SELECT 0 INCR a"),
            (2, "SELECT 3 INCR a INCR a MOMENT 9 SELECT 0 INCR a"),
            (3, "SELECT 3 INCR a INCR a SELECT 0 INCR a MOMENT 9"),
        ] {
            let mut copy = Copy::default();
            let purpose = Purpose::Base;
            let moment = Some(Mark { at: count * record, snapshot: 9, purpose });
            let runs = vec![Run::new(3, 2 * record), Run::new(0, 3 * record)];
            let append = Append { moment, runs, ..incr(0, "a", &[3, 3, 0]) };
            append.feed(&mut [&mut copy], 0);
            assert_eq!(copy.words(), expected);
        }
    }

    #[test]
    fn what_is_published_stands_in_the_copies_of_replicas_alone() {
        let (mut file, mut replica) = (Copy::default(), Copy::default());
        replica.selected = Selected::of_replicas();
        let mut append = incr(0, "a", &[3, 4, 3]);
        append.runs[1].kind = Kind::Published;
        append.feed(&mut [&mut file, &mut replica], 0);
        assert_eq!(file.words(), "SELECT 3 INCR a INCR a");
        assert_eq!(replica.words(), "SELECT 3 INCR a SELECT 4 INCR a SELECT 3 INCR a");
    }

    #[test]
    fn what_waits_comes_back_whoever_listens() {
        assert_eq!(incr(0, "a", &[0]).feed(&mut [], 0), ["batch"]);
        let mut copy = Copy::default();
        let append = Append {
            shard: 0,
            runs: vec![],
            bytes: vec![],
            finished: vec!["reader"],
            moment: None,
            is_urgent: false,
        };
        assert_eq!(append.feed(&mut [&mut copy], 0), ["reader"]);
        assert!(copy.bytes.is_empty(), "nothing is selected for no record");
    }

    #[test]
    #[should_panic(expected = "cover")]
    fn bytes_without_a_database_are_refused() {
        let append = Append { runs: vec![], ..incr(0, "a", &[0]) };
        append.feed(&mut [], 0);
    }
}
