//! Records of the journal, as they come out of a file: the arguments of a write command, its
//! database, and where it stands.
//!
//! A `Block` holds whole units only: a unit is one record, or all records of one MULTI..EXEC. The
//! arguments are ranges in frozen bytes, so that a loader can hand them to shards without a copy.

use std::ops::Range;

use bytes::Bytes;

use crate::resp::{Span, encode};

/// One write command of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it starts in the file.
    pub offset: u64,
    /// The database that was selected.
    pub db: u32,
    /// The whole record in the bytes of the block, from `*` to the last line end.
    pub frame: Span,
    /// Which spans of the block are its arguments; there is at least one.
    pub args: Range<u32>,
}

/// What takes effect at once: one record or a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Where it starts in the file; of a transaction, its MULTI.
    pub offset: u64,
    /// Which records of the block belong to it; there is at least one.
    pub records: Range<u32>,
    /// Whether it stood between MULTI and EXEC.
    pub is_group: bool,
}

/// Whole units, in the order of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The bytes that the spans point into.
    pub bytes: Bytes,
    /// Arguments of all records.
    pub spans: Vec<Span>,
    /// All records.
    pub records: Vec<Record>,
    /// How the records belong together; without gaps.
    pub units: Vec<Unit>,
}

impl Block {
    /// Records that load libraries of functions with these sources, in the place of those that are
    /// called so.
    pub(super) fn of_libraries(sources: &[Vec<u8>]) -> Block {
        let (mut bytes, mut block) = (Vec::new(), Block::default());
        for source in sources {
            let start = bytes.len() as u32;
            let first = block.spans.len() as u32;
            let words = [&b"FUNCTION"[..], b"LOAD", b"REPLACE", source];
            encode::header(&mut bytes, b'*', words.len());
            for word in words {
                encode::bulk(&mut bytes, word);
                let at = bytes.len() - word.len() - 2;
                block.spans.push(Span { start: at as u32, len: word.len() as u32 });
            }
            let frame = Span { start, len: bytes.len() as u32 - start };
            let number = block.records.len() as u32;
            let args = first..block.spans.len() as u32;
            block.records.push(Record { offset: 0, db: 0, frame, args });
            block.units.push(Unit { offset: 0, records: number..number + 1, is_group: false });
        }
        block.bytes = Bytes::from(bytes);
        block
    }

    /// The records of a unit.
    pub fn records(&self, unit: &Unit) -> &[Record] {
        &self.records[unit.records.start as usize..unit.records.end as usize]
    }

    /// The spans of a record's arguments.
    pub fn spans(&self, record: &Record) -> &[Span] {
        &self.spans[record.args.start as usize..record.args.end as usize]
    }

    /// The arguments of a record.
    pub fn args(&self, record: &Record) -> impl ExactSizeIterator<Item = &[u8]> {
        self.spans(record).iter().map(|span| span.of(&self.bytes))
    }

    /// The bytes at a span, sharing the block's memory.
    pub fn share(&self, span: Span) -> Bytes {
        self.bytes.slice(span.range())
    }

    /// The database of each record, and where its arguments end in `spans`. They follow each other
    /// without gaps from the first span on, so this is all that a shard needs to apply them.
    pub fn ends(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.records.iter().map(|record| (record.db, record.args.end))
    }
}
