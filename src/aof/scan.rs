//! From the bytes of a journal file to whole records.
//!
//! The scanner is fed blocks as they come from the disk, at any boundary, and gives back `Block`s
//! of whole units. It follows SELECT, holds MULTI groups until their EXEC, and reads over
//! annotations, but for places in a stream of replication. It looks at each byte once, save the few
//! of a line that a block cuts.
//!
//! It is stricter than the client protocol: only arrays of bulk strings, at least one argument,
//! decimal lengths without sign. A file may end in one of three ways:
//!
//! - clean, behind a whole unit;
//! - torn: the last unit is not finished, or from inside it on there are only zero bytes, as a file
//!   system may leave them after a power cut. The caller may cut the file there;
//! - damaged: something else stands where a record should go on. A length that reaches past the end
//!   of the file while whole records follow it is damage too, and not a torn tail: cutting there
//!   would throw good records away.
//!
//! Memory: what is fed and not yet given back, at most one unit plus one block. Nothing is
//! allocated on the word of a length. Left out: whether the commands exist, which the loader sees.

use bytes::{Buf, BytesMut};
use thiserror::Error;

use super::record::{Block, Record, Unit};
use crate::place::StreamPlace;
use crate::resp::Span;

/// Most bytes of one unit. Spans count in 32 bits, so a limit must stay well below 4 GiB.
pub const UNIT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Most arguments of one record.
pub const ARGS_MAX: u32 = 16 * 1024 * 1024;
/// Longest annotation line, as in Redis.
const ANNOTATION_BYTES_MAX: usize = 1024;
/// Longest line of a length: sign, ten digits, line end.
const LENGTH_LINE_BYTES_MAX: usize = 13;
/// Words of a damaged record that are shown, mostly a command and its key, and bytes of each.
const WORDS_SHOWN: usize = 2;
const WORD_SHOWN_MAX: usize = 64;
/// Records in one block, so that one read of tiny records does not make a huge one.
const BLOCK_RECORDS_MAX: usize = 16 * 1024;

/// How a file ended that is not damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Behind a whole unit.
    Clean,
    /// In the middle of a unit.
    TornTail {
        /// Where the last whole unit ends.
        valid_up_to: u64,
    },
}

/// Damage before the end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("offset {offset}: {why}")]
pub struct Damage {
    /// Where the bytes stop making sense.
    pub offset: u64,
    /// What is wrong there.
    pub why: Why,
}

/// The kinds of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Why {
    /// No `*`, and no annotation either.
    #[error("expected '*' at the start of a record")]
    NotArray,
    /// No `$`.
    #[error("expected '$' at the start of an argument")]
    NotBulk,
    /// Not a decimal number with a line end.
    #[error("expected a length and a line end")]
    Length,
    /// None, or over `ARGS_MAX`.
    #[error("a record must have 1 to {ARGS_MAX} arguments")]
    Args,
    /// The length of an argument does not lead to a line end.
    #[error("expected a line end behind an argument")]
    LineEnd,
    /// An annotation without end, or with a zero byte in it.
    #[error("an annotation that is not a line of at most {ANNOTATION_BYTES_MAX} bytes")]
    Annotation,
    /// The argument of SELECT is no number of a database.
    #[error("SELECT without a valid number")]
    Select,
    /// MULTI between MULTI and EXEC.
    #[error("MULTI inside a transaction: the EXEC of the one before is missing")]
    NestedMulti,
    /// EXEC on its own.
    #[error("EXEC without MULTI")]
    Exec,
    /// Over the limit of a unit.
    #[error("a record or transaction over the limit of {0} bytes")]
    TooLong(u64),
    /// A wrong length swallowed records.
    #[error("a length that reaches past the end of the file, with whole records behind it")]
    Swallows,
}

/// Reads records out of blocks of bytes.
#[derive(Debug)]
pub struct Scanner {
    buffer: BytesMut,
    /// File offset of the first byte of the buffer.
    offset: u64,
    /// How far the buffer has been read.
    at: usize,
    db: u32,
    partial: Partial,
    /// Where the open MULTI starts in the buffer, and how many records were whole before it.
    group: Option<(usize, usize)>,
    /// The place in a stream of replication that the last whole unit makes, if it says so.
    place: Option<StreamPlace>,
    /// The same of the open group.
    group_place: Option<StreamPlace>,
    /// Units, records and arguments found; those past the last whole unit are still open.
    found: Found,
    damage: Option<Damage>,
    /// The first words of the damaged record.
    damaged: String,
    /// The damage is a zero byte, and all since are zero too.
    only_zeros: bool,
    unit_bytes_max: u64,
}

#[derive(Debug, Default)]
struct Found {
    spans: Vec<Span>,
    records: Vec<Record>,
    units: Vec<Unit>,
}

/// The record that is being read.
#[derive(Debug, Default)]
struct Partial {
    start: usize,
    first_span: usize,
    /// Arguments to come; 0 between records.
    args_left: u32,
    /// Length of the argument whose header has been read.
    bulk: Option<usize>,
}

/// Why reading stops for now.
enum Stop {
    /// The bytes end.
    Hungry,
    Damaged {
        at: usize,
        why: Why,
    },
}

impl Scanner {
    /// A scanner for a file from `offset` on, where a record must start. Database 0 is selected, as
    /// at the start of each file.
    pub fn new(offset: u64) -> Self {
        Self::with_limit(offset, UNIT_BYTES_MAX)
    }

    /// A scanner with a limit of its own for the bytes of one unit.
    pub fn with_limit(offset: u64, unit_bytes_max: u64) -> Self {
        Self {
            buffer: BytesMut::new(),
            offset,
            at: 0,
            db: 0,
            partial: Partial::default(),
            group: None,
            place: None,
            group_place: None,
            found: Found::default(),
            damage: None,
            damaged: String::new(),
            only_zeros: false,
            unit_bytes_max: unit_bytes_max.min(UNIT_BYTES_MAX),
        }
    }

    /// Takes the next bytes of the file. `next_block` is to be called until it has no more.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.damage.is_some() {
            self.only_zeros &= is_zero(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole units, `None` when more bytes are needed.
    pub fn next_block(&mut self) -> Result<Option<Block>, Damage> {
        while self.damage.is_none() && self.found.records.len() < BLOCK_RECORDS_MAX
            || self.group.is_some() && self.damage.is_none()
        {
            match self.step() {
                Ok(()) => {}
                Err(Stop::Hungry) => break,
                Err(Stop::Damaged { at, why }) => self.note_damage(at, why),
            }
        }
        if let Some(block) = self.whole_units() {
            return Ok(Some(block));
        }
        match self.damage {
            Some(damage) if !self.only_zeros => Err(damage),
            _ => self.check_length().map(|()| None),
        }
    }

    /// Says how the file ended, once all of it was fed and given back.
    pub fn finish(self) -> Result<End, Damage> {
        let valid_up_to = self.offset + self.unit_start() as u64;
        match self.damage {
            Some(damage) if !self.only_zeros => Err(damage),
            Some(_) => Ok(End::TornTail { valid_up_to }),
            None if self.buffer.len() == self.unit_start() => Ok(End::Clean),
            None => match self.swallowed() {
                Some(at) => Err(self.damage_at(at, Why::Swallows)),
                None => Ok(End::TornTail { valid_up_to }),
            },
        }
    }

    /// The offset behind the last whole unit that was found.
    pub fn position(&self) -> u64 {
        self.offset + self.unit_start() as u64
    }

    /// The place in a stream of replication that all whole units make, where one is named behind
    /// the last of them, or in it.
    pub fn place(&self) -> Option<&StreamPlace> {
        self.place.as_ref()
    }

    /// The first words of the record that is not whole, or is damaged, as far as they were read.
    pub fn open_record(&self) -> String {
        if self.damage.is_some() {
            return self.damaged.clone();
        }
        let spans = self.found.spans.get(self.partial.first_span..).unwrap_or_default();
        let spans = if self.partial.args_left > 0 { spans } else { &[] };
        let shown = |span: &Span| {
            let word = span.of(&self.buffer);
            word.get(..WORD_SHOWN_MAX).unwrap_or(word).escape_ascii().to_string()
        };
        spans.iter().take(WORDS_SHOWN).map(shown).collect::<Vec<_>>().join(" ")
    }

    /// Where the open unit starts in the buffer; if there is none, where the next one will.
    fn unit_start(&self) -> usize {
        match (self.group, self.partial.args_left) {
            (Some((start, _)), _) => start,
            (None, 0) => self.at,
            (None, _) => self.partial.start,
        }
    }

    fn damage_at(&self, at: usize, why: Why) -> Damage {
        Damage { offset: self.offset + at as u64, why }
    }

    /// Ends the reading: what is open is forgotten, what is whole can still be given back.
    fn note_damage(&mut self, at: usize, why: Why) {
        self.damaged = self.open_record();
        self.damage = Some(self.damage_at(at, why));
        self.only_zeros = is_zero(&self.buffer[at..]);
        self.at = self.unit_start().min(at);
        self.group = None;
        self.partial = Partial::default();
        let records = self.found.units.last().map_or(0, |unit| unit.records.end);
        self.found.records.truncate(records as usize);
        let spans = self.found.records.last().map_or(0, |record| record.args.end);
        self.found.spans.truncate(spans as usize);
    }

    fn check_length(&self) -> Result<(), Damage> {
        let start = self.unit_start();
        if (self.buffer.len() - start) as u64 > self.unit_bytes_max {
            return Err(self.damage_at(start, Why::TooLong(self.unit_bytes_max)));
        }
        Ok(())
    }

    /// Reads one length, argument or annotation.
    fn step(&mut self) -> Result<(), Stop> {
        if self.partial.args_left > 0 {
            return self.read_argument();
        }
        match self.buffer.get(self.at) {
            None => Err(Stop::Hungry),
            Some(b'#') => self.read_annotation(),
            Some(b'*') => {
                let (count, end) = self.length_line()?;
                match u32::try_from(count) {
                    Ok(count @ 1..=ARGS_MAX) => self.partial.args_left = count,
                    _ => return Err(Stop::Damaged { at: self.at, why: Why::Args }),
                }
                self.partial.start = self.at;
                self.partial.first_span = self.found.spans.len();
                self.at = end;
                Ok(())
            }
            Some(_) => Err(Stop::Damaged { at: self.at, why: Why::NotArray }),
        }
    }

    fn read_annotation(&mut self) -> Result<(), Stop> {
        let rest = &self.buffer[self.at..];
        match rest.iter().take(ANNOTATION_BYTES_MAX).position(|b| matches!(b, b'\n' | 0)) {
            Some(index) if rest[index] == b'\n' => {
                let line = &rest[..index];
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if let Some(place) = StreamPlace::of_annotation(line) {
                    let of =
                        if self.group.is_some() { &mut self.group_place } else { &mut self.place };
                    *of = Some(place);
                }
                self.at += index + 1;
                Ok(())
            }
            Some(index) => Err(Stop::Damaged { at: self.at + index, why: Why::Annotation }),
            None if rest.len() < ANNOTATION_BYTES_MAX => Err(Stop::Hungry),
            None => Err(Stop::Damaged { at: self.at, why: Why::Annotation }),
        }
    }

    fn read_argument(&mut self) -> Result<(), Stop> {
        let Some(length) = self.partial.bulk else {
            match self.buffer.get(self.at) {
                None => return Err(Stop::Hungry),
                Some(b'$') => {}
                Some(_) => return Err(Stop::Damaged { at: self.at, why: Why::NotBulk }),
            }
            let (length, end) = self.length_line()?;
            match usize::try_from(length) {
                Ok(length) if length as u64 <= self.unit_bytes_max => {
                    self.partial.bulk = Some(length);
                }
                _ => {
                    let why = Why::TooLong(self.unit_bytes_max);
                    return Err(Stop::Damaged { at: self.at, why });
                }
            }
            self.at = end;
            return Ok(());
        };
        let end = self.at + length;
        match self.buffer.get(end..end + 2) {
            None => return Err(Stop::Hungry),
            Some(b"\r\n") => {}
            Some(found) => {
                let at = end + usize::from(found[0] == b'\r');
                return Err(Stop::Damaged { at, why: Why::LineEnd });
            }
        }
        if u32::try_from(end).is_err() {
            let why = Why::TooLong(self.unit_bytes_max);
            return Err(Stop::Damaged { at: self.unit_start(), why });
        }
        self.found.spans.push(Span { start: self.at as u32, len: length as u32 });
        self.at = end + 2;
        self.partial.bulk = None;
        self.partial.args_left -= 1;
        if self.partial.args_left == 0 { self.end_record() } else { Ok(()) }
    }

    /// A line of a sign that was checked, digits and a line end: its number and where it ends.
    fn length_line(&self) -> Result<(u64, usize), Stop> {
        let rest = &self.buffer[self.at + 1..];
        let mut number = 0;
        for (index, byte) in rest.iter().take(LENGTH_LINE_BYTES_MAX).enumerate() {
            match byte {
                b'0'..=b'9' if index < 10 => number = number * 10 + u64::from(byte - b'0'),
                b'\r' if index > 0 => {
                    return match rest.get(index + 1) {
                        None => Err(Stop::Hungry),
                        Some(b'\n') => Ok((number, self.at + index + 3)),
                        Some(_) => Err(Stop::Damaged { at: self.at + index + 2, why: Why::Length }),
                    };
                }
                _ => return Err(Stop::Damaged { at: self.at + 1 + index, why: Why::Length }),
            }
        }
        Err(Stop::Hungry)
    }

    /// Acts on a record that is whole.
    fn end_record(&mut self) -> Result<(), Stop> {
        let start = self.partial.start;
        let damaged = |why| Err(Stop::Damaged { at: start, why });
        let spans = &self.found.spans[self.partial.first_span..];
        let arg = |index: usize| {
            let span: Option<&Span> = spans.get(index);
            span.map_or(&b""[..], |span| span.of(&self.buffer))
        };
        match (arg(0), spans.len()) {
            (name, 2) if name.eq_ignore_ascii_case(b"select") => {
                let Some(db) = number(arg(1)) else { return damaged(Why::Select) };
                self.db = db;
                self.found.spans.truncate(self.partial.first_span);
                Ok(())
            }
            (name, 1) if name.eq_ignore_ascii_case(b"multi") => {
                if self.group.is_some() {
                    return damaged(Why::NestedMulti);
                }
                self.group = Some((start, self.found.records.len()));
                self.found.spans.truncate(self.partial.first_span);
                Ok(())
            }
            (name, 1) if name.eq_ignore_ascii_case(b"exec") => {
                let Some((multi, first)) = self.group.take() else { return damaged(Why::Exec) };
                self.found.spans.truncate(self.partial.first_span);
                self.end_unit(multi, first, true);
                Ok(())
            }
            _ => {
                self.keep_record();
                Ok(())
            }
        }
    }

    fn keep_record(&mut self) {
        let (start, first) = (self.partial.start, self.found.records.len());
        self.found.records.push(Record {
            offset: self.offset + start as u64,
            db: self.db,
            frame: Span { start: start as u32, len: (self.at - start) as u32 },
            args: self.partial.first_span as u32..self.found.spans.len() as u32,
        });
        if self.group.is_none() {
            self.end_unit(start, first, false);
        }
    }

    fn end_unit(&mut self, start: usize, first: usize, is_group: bool) {
        let records = first as u32..self.found.records.len() as u32;
        let place = self.group_place.take();
        if !records.is_empty() || place.is_some() {
            self.place = place;
        }
        if !records.is_empty() {
            self.found.units.push(Unit { offset: self.offset + start as u64, records, is_group });
        }
    }

    /// Hands out the units that are whole and moves an open one to the front of the buffer.
    fn whole_units(&mut self) -> Option<Block> {
        let start = self.unit_start();
        if self.found.units.is_empty() {
            // Only SELECTs, annotations and empty transactions were read: let their bytes go.
            self.rebase(start);
            return None;
        }
        let records = self.group.map_or(self.found.records.len(), |(_, first)| first);
        let spans = self.found.records[..records].last().map_or(0, |last| last.args.end as usize);
        let open_records = self.found.records.split_off(records);
        let open_spans = self.found.spans.split_off(spans);
        let bytes = self.buffer.split_to(start).freeze();
        let block = Block {
            bytes,
            spans: std::mem::replace(&mut self.found.spans, open_spans),
            records: std::mem::replace(&mut self.found.records, open_records),
            units: std::mem::take(&mut self.found.units),
        };
        self.shift(start, records, spans);
        Some(block)
    }

    fn rebase(&mut self, start: usize) {
        if start > 0 {
            self.buffer.advance(start);
            self.shift(start, 0, 0);
        }
    }

    /// Corrects all places after `bytes`, `records` and `spans` have gone from the front.
    fn shift(&mut self, bytes: usize, records: usize, spans: usize) {
        self.offset += bytes as u64;
        self.at -= bytes;
        self.partial.start = self.partial.start.saturating_sub(bytes);
        self.partial.first_span = self.partial.first_span.saturating_sub(spans);
        if let Some((start, first)) = &mut self.group {
            *start -= bytes;
            *first -= records;
        }
        for span in &mut self.found.spans {
            span.start -= bytes as u32;
        }
        for record in &mut self.found.records {
            record.frame.start -= bytes as u32;
            record.args = record.args.start - spans as u32..record.args.end - spans as u32;
        }
    }

    /// Looks inside an argument that the file's end cuts off for a whole record that starts a line.
    /// Returns where the argument's length stands, if there is one.
    fn swallowed(&self) -> Option<usize> {
        self.partial.bulk?;
        let rest = &self.buffer[self.at..];
        let starts = rest.windows(3).enumerate().filter(|(_, three)| *three == b"\r\n*");
        for (index, _) in starts.take(SWALLOW_TRIES_MAX) {
            let mut inner = Self::with_limit(0, self.unit_bytes_max);
            let tail = &rest[index + 2..];
            inner.feed(&tail[..tail.len().min(SWALLOW_RECORD_BYTES_MAX)]);
            while inner.damage.is_none() && inner.found.records.is_empty() && inner.step().is_ok() {
            }
            if !inner.found.records.is_empty() {
                return Some(self.at);
            }
        }
        None
    }
}

/// How many line starts are tried in the search for swallowed records.
const SWALLOW_TRIES_MAX: usize = 64;
/// Largest record that the search recognises.
const SWALLOW_RECORD_BYTES_MAX: usize = 64 * 1024;

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// The number of a database.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|db| *db <= i32::MAX as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"#TS:1795412541\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n\
        *3\r\n$3\r\nset\r\n$1\r\na\r\n$0\r\n\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n\
        *1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r\n$1\r\nx\r\n\
        *2\r\n$6\r\nselect\r\n$1\r\n9\r\n*2\r\n$4\r\nINCR\r\n$1\r\nx\r\n\
        *1\r\n$4\r\nEXEC\r\n*2\r\n$4\r\nINCR\r\n$3\r\nx\r\n\r\n";

    /// What a file holds, a unit a line: offset, then `db:arguments` of each record.
    fn read(bytes: &[u8], step: usize) -> (Vec<String>, Result<End, Damage>) {
        let mut scanner = Scanner::new(0);
        let mut units = Vec::new();
        for piece in bytes.chunks(step) {
            scanner.feed(piece);
            loop {
                match scanner.next_block() {
                    Ok(Some(block)) => {
                        assert_eq!(block.ends().last().unwrap().1 as usize, block.spans.len());
                        units.extend(block.units.iter().map(|unit| line(&block, unit)));
                    }
                    Ok(None) => break,
                    Err(damage) => return (units, Err(damage)),
                }
            }
        }
        (units, scanner.finish())
    }

    fn line(block: &Block, unit: &Unit) -> String {
        let records = block.records(unit).iter().map(|record| {
            let args: Vec<_> = block.args(record).map(String::from_utf8_lossy).collect();
            assert_eq!(block.share(record.frame)[0], b'*');
            format!("{}:{}", record.db, args.join(","))
        });
        format!("{} {}", unit.offset, records.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn follows_select_and_keeps_groups_whole_at_any_block_size() {
        let expected = ["39 0:set,a,", "88 3:DEL,x 9:INCR,x", "181 9:INCR,x\r\n"];
        for step in 1..=FILE.len() {
            let (units, end) = read(FILE, step);
            assert_eq!(units, expected, "{step}");
            assert_eq!(end, Ok(End::Clean), "{step}");
        }
    }

    #[test]
    fn a_place_is_that_of_the_last_whole_unit() {
        let place = |offset| StreamPlace { id: "ab".repeat(20), offset, db: 0 };
        let mut scanner = Scanner::new(0);
        for (line, offset) in [
            (&*place(1).annotation(), Some(1)),
            ("*1\r\n$1\r\nX\r\n", None),
            (&*place(2).annotation(), Some(2)),
            ("#TS:1\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n", Some(2)),
            ("*1\r\n$5\r\nMULTI\r\n*1\r\n$1\r\nX\r\n", Some(2)),
            (&*place(3).annotation(), Some(2)),
            ("*1\r\n$4\r\nEXEC\r\n", Some(3)),
            ("*1\r\n$5\r\nMULTI\r\n*1\r\n$1\r\nX\r\n*1\r\n$4\r\nEXEC\r\n", None),
        ] {
            scanner.feed(line.as_bytes());
            while scanner.next_block().unwrap().is_some() {}
            assert_eq!(scanner.place().map(|place| place.offset), offset, "{line}");
        }
    }

    #[test]
    fn a_cut_file_is_torn_behind_its_last_whole_unit() {
        for step in [1, 7, 4096] {
            for length in 0..FILE.len() {
                let (units, end) = read(&FILE[..length], step);
                let whole = [65, 181].iter().filter(|end| **end <= length).count();
                assert_eq!(units.len(), whole, "{length}");
                let torn = match end.unwrap() {
                    End::Clean => length as u64,
                    End::TornTail { valid_up_to } => valid_up_to,
                };
                assert!(torn <= length as u64);
                let (again, end) = read(&FILE[..torn as usize], step);
                assert_eq!((again, end), (units, Ok(End::Clean)), "{length}");
            }
        }
    }

    #[test]
    fn zeros_at_the_end_are_a_torn_tail_and_in_the_middle_damage() {
        for step in [1, 5, 4096] {
            for length in 0..FILE.len() {
                let mut bytes = FILE[..length].to_vec();
                bytes.resize(length + 50, 0);
                let (units, end) = read(&bytes, step);
                let Ok(End::TornTail { valid_up_to }) = end else { panic!("{length} {end:?}") };
                assert_eq!(read(&FILE[..valid_up_to as usize], step).0, units);
                bytes.extend(FILE);
                assert!(read(&bytes, step).1.is_err(), "{length}");
            }
        }
    }

    #[test]
    fn a_flipped_byte_loads_or_is_found_and_never_panics() {
        for index in 0..FILE.len() {
            for value in 0..=255 {
                let mut bytes = FILE.to_vec();
                bytes[index] = value;
                let whole = read(&bytes, 4096);
                assert_eq!(whole, read(&bytes, 3), "{index} {value}");
            }
        }
    }

    #[test]
    fn names_the_place_and_the_kind_of_damage() {
        for (text, offset, why) in [
            (&b"*1\r\n$4\r\nPING\r\n+OK\r\n"[..], 14, Why::NotArray),
            (b"*1\r\n:4\r\n", 4, Why::NotBulk),
            (b"*0\r\n", 0, Why::Args),
            (b"*-1\r\n", 1, Why::Length),
            (b"*99999999999\r\n", 11, Why::Length),
            (b"*1\r\n$-1\r\n", 5, Why::Length),
            (b"*1\r\n$9999999999\r\n", 4, Why::TooLong(UNIT_BYTES_MAX)),
            (b"*1\r\n$3\r\nPING\r\n", 11, Why::LineEnd),
            (b"*2\r\n$6\r\nSELECT\r\n$2\r\n-1\r\n", 0, Why::Select),
            (b"*1\r\n$4\r\nEXEC\r\n", 0, Why::Exec),
            (b"*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nMULTI\r\n", 15, Why::NestedMulti),
            (b"*2\r\n$4\r\nINCR\r\n$99\r\nx\r\n*1\r\n$4\r\nPING\r\n", 19, Why::Swallows),
        ] {
            for step in [1, 4096] {
                let (_, end) = read(text, step);
                assert_eq!(end, Err(Damage { offset, why }), "{}", String::from_utf8_lossy(text));
            }
        }
        let endless = [b'#'; 2000];
        assert_eq!(read(&endless, 1).1.unwrap_err().why, Why::Annotation);
    }

    #[test]
    fn a_unit_over_the_limit_is_refused_and_memory_is_given_back() {
        let mut scanner = Scanner::with_limit(0, 64);
        scanner.feed(b"*1\r\n$5\r\nMULTI\r\n");
        for _ in 0..2 {
            scanner.feed(b"*2\r\n$3\r\nDEL\r\n$1\r\nx\r\n");
            assert_eq!(scanner.next_block(), Ok(None));
        }
        scanner.feed(b"*2\r\n$3\r\nDEL\r\n$1\r\nx\r\n");
        assert_eq!(scanner.next_block().unwrap_err().why, Why::TooLong(64));

        let mut scanner = Scanner::new(0);
        for _ in 0..10_000 {
            scanner.feed(b"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n#TS:1\r\n");
            assert_eq!(scanner.next_block(), Ok(None));
            assert!(scanner.buffer.is_empty());
        }
    }
}
