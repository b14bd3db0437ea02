//! A file cut up: blocks of its keys, whose values can be read apart from each other, on as many
//! threads as are wanted.
//!
//! The cutter is fed the file as it comes from the disk, at any boundary. It reads names and
//! deadlines, and reads over values. Keys of one block share its bytes, so handing them out copies
//! nothing. A key and what is said beside it ([`beside`](crate::rdb::beside)) stay together.
//!
//! Memory: what is fed and not yet given back, at most one key plus one block, or twice the key
//! where it is longer.

use bytes::{Bytes, BytesMut};

use crate::base::millis::Millis;
use crate::base::slot;
use crate::rdb::beside::is_beside;
use crate::rdb::decoder::{self, AUX, Decoder, Key, Record};
use crate::rdb::dialect::Dialect;
use crate::rdb::error::{Fault, RdbError};
use crate::rdb::read::{Forms, Loaded};
use crate::settings::Settings;

/// Keys of one block: a shard makes so many small values in about a millisecond.
const KEYS_MAX: usize = 2048;

/// What is kept of a file, and what is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How many databases there are.
    pub databases: u32,
    /// The checksum at the end has to be right.
    pub checks: bool,
    /// What becomes of keys that have expired. None keeps them like all others: what follows the
    /// file may need them.
    pub expired_by: Option<Expired>,
}

/// Keys of which the deadline is this one or an earlier one have expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// They are left out, and counted.
    LeftOut(Millis),
    /// They are counted and kept: replicas have to hear how they go.
    Kept(Millis),
}

impl Rules {
    /// As the settings say.
    pub fn of(settings: &Settings, expired_by: Option<Expired>) -> Rules {
        Rules { databases: settings.databases, checks: settings.rdbchecksum, expired_by }
    }

    fn has_expired(&self, key: &Key<'_>) -> bool {
        let Some(Expired::LeftOut(by) | Expired::Kept(by)) = self.expired_by else { return false };
        key.deadline.is_some_and(|deadline| deadline <= by)
    }
}

/// Keys as they stand in a file. Copies share the bytes.
#[derive(Clone, Debug)]
pub struct RawKeys {
    bytes: Bytes,
    /// Where the bytes begin in the file.
    offset: usize,
    dialect: Dialect,
    /// The keys, in the order of the file.
    pub keys: Vec<RawKey>,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawKey {
    /// Its database.
    pub db: u32,
    /// Its slot.
    pub slot: u16,
    /// Its record in the bytes of the block, with what is said beside it.
    start: usize,
    end: usize,
}

/// A piece of a file.
#[derive(Debug)]
pub enum Piece {
    /// Some keys.
    Keys(RawKeys),
    /// What the file says of itself as a whole: a name, and what is said.
    Field(Vec<u8>, Vec<u8>),
    /// The source of a library of functions.
    Function(Vec<u8>),
    /// Data of a module that are about no key. They were read over.
    Module(String),
    /// The end of the file.
    End,
}

/// Cuts a file up.
#[derive(Debug)]
pub struct Cutter {
    decoder: Decoder,
    rules: Rules,
    db: u32,
    buffer: BytesMut,
    /// With fewer bytes in the buffer than this the next record is not tried again.
    enough: usize,
    /// What comes behind the keys that were given last.
    next: Option<Result<Piece, RdbError>>,
    expired: u64,
}

impl RawKeys {
    /// The same without keys.
    pub fn without_keys(&self) -> RawKeys {
        RawKeys { bytes: self.bytes.clone(), keys: Vec::new(), ..*self }
    }

    /// Where a key begins in the file.
    pub fn offset_of(&self, key: &RawKey) -> usize {
        self.offset + key.start
    }

    /// The name of a key; nothing where it cannot be read.
    pub fn name_of(&self, key: &RawKey) -> Vec<u8> {
        decoder::read_name(self.bytes_of(key), self.dialect).unwrap_or_default().into_owned()
    }

    /// How long the record of a key is, in bytes, with what is said beside it.
    pub fn len_of(&self, key: &RawKey) -> usize {
        self.bytes_of(key).len()
    }

    fn bytes_of(&self, key: &RawKey) -> &[u8] {
        self.bytes.get(key.start..key.end).unwrap_or_default()
    }

    /// Reads one of the keys with its value.
    ///
    /// # Errors
    /// [`RdbError`].
    pub fn read(&self, key: &RawKey, forms: Forms<'_>) -> Result<(Key<'_>, Loaded), RdbError> {
        decoder::read_key(self.bytes_of(key), self.offset_of(key), self.dialect, forms)
    }
}

impl Cutter {
    /// For a file of which nothing was read.
    pub fn new(rules: Rules) -> Cutter {
        Cutter {
            decoder: if rules.checks { Decoder::default() } else { Decoder::unchecked() },
            rules,
            db: 0,
            buffer: BytesMut::new(),
            enough: 0,
            next: None,
            expired: 0,
        }
    }

    /// Takes the next bytes of the file. [`Cutter::next_piece`] is to be called until it has no
    /// more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next piece; none when more bytes are needed. `more` others are still to come, or fewer.
    ///
    /// # Errors
    /// [`RdbError`], behind the keys before it. Nothing more can be read then.
    pub fn next_piece(&mut self, more: u64) -> Result<Option<Piece>, RdbError> {
        if let Some(next) = self.next.take() {
            return next.map(Some);
        }
        if self.buffer.len() < self.enough && more > 0 {
            return Ok(None);
        }
        let (offset, mut at, mut keys) = (self.decoder.offset(), 0, Vec::new());
        // Where the last key begins, and the decoder there, while something beside it may come.
        let mut open: Option<(usize, Decoder)> = None;
        self.enough = 0;
        let piece = loop {
            let may_be_beside = self.buffer.get(at).is_none_or(|byte| *byte == AUX);
            let last = open.take().filter(|_| may_be_beside);
            if keys.len() >= KEYS_MAX && last.is_none() {
                break None;
            }
            let (start, ahead) = (at, self.decoder);
            let next = match self.decoder.next(&self.buffer[at..], more) {
                Ok(next) => next,
                Err(error) => break Some(Err(error)),
            };
            let Some((record, len)) = next else {
                if let Some((start, decoder)) = last {
                    (at, self.decoder) = (start, decoder);
                    keys.pop();
                }
                self.enough = 2 * (self.buffer.len() - at);
                break None;
            };
            at += len;
            match record {
                Record::Key(key) => {
                    if self.rules.has_expired(&key) {
                        self.expired += 1;
                        if matches!(self.rules.expired_by, Some(Expired::LeftOut(_))) {
                            continue;
                        }
                    }
                    let slot = slot::of(&key.name);
                    keys.push(RawKey { db: self.db, slot, start, end: at });
                    open = Some((start, ahead));
                }
                Record::Aux(name, _) if is_beside(&name) => {
                    if let (Some(last), Some(key)) = (last, keys.last_mut()) {
                        key.end = at;
                        open = Some(last);
                    }
                }
                Record::Database(number) => {
                    let db = u32::try_from(number).ok().filter(|db| *db < self.rules.databases);
                    let Some(db) = db else {
                        at = start;
                        break Some(Err(Fault::Database(number).at(offset + start)));
                    };
                    self.db = db;
                }
                Record::Aux(name, value) => {
                    break Some(Ok(Piece::Field(name.into_owned(), value.into_owned())));
                }
                Record::Function(source) => break Some(Ok(Piece::Function(source.into_owned()))),
                Record::Module(name) => break Some(Ok(Piece::Module(name))),
                Record::End => break Some(Ok(Piece::End)),
                Record::Head(_) | Record::Sizes(..) | Record::Slots => {}
            }
        };
        let bytes = self.buffer.split_to(at).freeze();
        let dialect = self.decoder.dialect().filter(|_| !keys.is_empty());
        let Some(dialect) = dialect else { return piece.transpose() };
        self.next = piece;
        Ok(Some(Piece::Keys(RawKeys { bytes, offset, dialect, keys })))
    }

    /// The format of the file, once that is read.
    pub fn dialect(&self) -> Option<Dialect> {
        self.decoder.dialect()
    }

    /// Behind an error: the key that was being read, with its database, if it was one.
    pub fn key_at_fault(&self) -> Option<(u32, Vec<u8>)> {
        let name = decoder::read_name(&self.buffer, self.decoder.dialect()?).ok()?;
        Some((self.db, name.into_owned()))
    }

    /// How many keys had expired, as far as the rules want them counted.
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// Behind [`Piece::End`]: where the file ended, and what was fed from behind that.
    pub fn into_rest(self) -> (usize, BytesMut) {
        (self.decoder.offset(), self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::entry::{Entry, NewValue};
    use crate::keyspace::saving::Format as _;
    use crate::rdb::encoder::{Records, head, put_aux, put_sizes};
    use crate::rdb::samples::{self, KINDS, contents, entry, forms, hasher, value};

    const RULES: Rules = Rules { databases: 16, checks: true, expired_by: None };

    /// A database, and what a key of it holds.
    type Said = (u32, Vec<String>);

    /// A file with keys of every type in two databases, one of them long, and what is in them.
    fn file() -> (Vec<u8>, Vec<Said>) {
        let mut random = fastrand::Rng::with_seed(1);
        let (records, mut file) =
            (Records::new(true, Dialect::TIMED), head(Dialect::TIMED).to_vec());
        put_aux(&mut file, b"redis-bits", b"64");
        let mut said = Vec::new();
        for db in [0, 5] {
            put_sizes(&mut file, db, u64::from(KINDS) + 1, 0);
            let long: Vec<u8> = (0..5_000).map(|_| random.u8(..)).collect();
            let long = Entry::new(b"k", NewValue::Bytes(&long), None, 0);
            let others = (0..KINDS).map(|kind| entry(value(kind, 5, &mut random)));
            for entry in others.chain([long]) {
                records.key(&mut file, &entry);
                said.push((db, contents(&entry)));
            }
        }
        (samples::ended(file), said)
    }

    /// Cuts a file that comes `step` bytes at a time. Returns what it holds, and what is behind it.
    fn cut(file: &[u8], step: usize, rules: Rules) -> Result<(Vec<Said>, Vec<u8>), RdbError> {
        let hasher = hasher();
        let (mut cutter, mut chunks, mut said) = (Cutter::new(rules), file.chunks(step), vec![]);
        let mut more = file.len();
        loop {
            match cutter.next_piece(more as u64)? {
                Some(Piece::Keys(raw)) => {
                    for key in &raw.keys {
                        assert_eq!(key.slot, slot::of(b"k"));
                        let (head, value) = raw.read(key, forms(&hasher))?;
                        let entry = head.with(value);
                        said.push((key.db, contents(&entry)));
                    }
                }
                Some(Piece::Field(name, _)) => assert_eq!(name, b"redis-bits"),
                Some(Piece::Function(source)) => said.push((99, vec![format!("{source:?}")])),
                Some(Piece::Module(name)) => said.push((99, vec![name])),
                Some(Piece::End) => {
                    let (offset, rest) = cutter.into_rest();
                    assert!(file[offset..].starts_with(&rest));
                    return Ok((said, rest.to_vec()));
                }
                None => {
                    let chunk = chunks.next().expect("it is asked for no more than there is");
                    cutter.feed(chunk);
                    more -= chunk.len();
                }
            }
        }
    }

    #[test]
    fn a_file_in_pieces_of_any_length_is_the_same() {
        let (mut file, wanted) = file();
        file.extend(b"*1\r\n");
        for step in [1, 2, 7, 100, 4_000, file.len()] {
            let (said, rest) = cut(&file, step, RULES).expect("it is sound");
            assert_eq!(said, wanted, "{step}");
            assert!(b"*1\r\n".starts_with(&rest) && (step < file.len() || !rest.is_empty()));
        }
    }

    /// It may end anywhere: behind a key as well, and behind the database of the next one.
    #[test]
    fn a_file_that_comes_in_two_parts_is_the_same() {
        let (records, mut file) =
            (Records::new(true, Dialect::COMMON), head(Dialect::COMMON).to_vec());
        for db in [0, 5, 0, 3] {
            records.database(&mut file, db);
            records.key(&mut file, &Entry::new(b"k", NewValue::Bytes(b"v"), None, 0));
        }
        let file = samples::ended(file);
        for first in 1..file.len() {
            let (mut cutter, mut found, mut more) = (Cutter::new(RULES), vec![], file.len());
            for part in [&file[..first], &file[first..]] {
                cutter.feed(part);
                more -= part.len();
                while let Some(piece) = cutter.next_piece(more as u64).expect("it is sound") {
                    match piece {
                        Piece::Keys(raw) => found.extend(raw.keys.iter().map(|key| key.db)),
                        _ => break,
                    }
                }
            }
            assert_eq!(found, [0, 5, 0, 3], "{first} bytes come first");
        }
    }

    /// A record that is not whole is tried again with twice as many bytes.
    #[test]
    fn a_long_record_is_read_over_a_few_times() {
        let (file, _) = file();
        let (mut cutter, mut tries, mut more) = (Cutter::new(RULES), 0, file.len());
        for byte in file.chunks(1) {
            cutter.feed(byte);
            more -= 1;
            let is_tried = cutter.buffer.len() >= cutter.enough;
            let piece = cutter.next_piece(more as u64).expect("it is sound");
            tries += usize::from(is_tried && piece.is_none());
        }
        assert!(tries < 500, "{tries} times for {} bytes", file.len());
    }

    #[test]
    fn what_expired_is_left_out_and_counted() {
        let mut file = b"REDIS0010".to_vec();
        for (name, deadline) in [(b'a', 5_i64), (b'b', 10), (b'c', 11)] {
            file.push(0xfc);
            file.extend(deadline.to_le_bytes());
            file.extend([0, 1, name, 1, b'v']);
        }
        file.extend([0, 1, b'd', 1, b'v', 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        let cut = |expired_by| {
            let mut cutter = Cutter::new(Rules { expired_by, ..RULES });
            cutter.feed(&file);
            let Ok(Some(Piece::Keys(raw))) = cutter.next_piece(0) else { panic!("there are keys") };
            assert!(matches!(cutter.next_piece(0), Ok(Some(Piece::End))));
            (raw.keys.len(), cutter.expired())
        };
        assert_eq!(cut(None), (4, 0));
        assert_eq!(cut(Some(Expired::LeftOut(Millis(10)))), (2, 2));
        assert_eq!(cut(Some(Expired::LeftOut(Millis(1 << 50)))), (1, 3));
        assert_eq!(cut(Some(Expired::Kept(Millis(10)))), (4, 2));
    }

    #[test]
    fn what_is_no_key_comes_apart() {
        let parts: [&[u8]; 5] = [
            b"REDIS0010",
            b"\xf5\x03lib",
            b"\x00\x01k\x01v",
            b"\xf7\x81\x44\x97\x89\x70\xbf\x88\x00\x00\x02\x02\x05\x01x\x00",
            b"\x00\x01k\x01w\xff\x00\x00\x00\x00\x00\x00\x00\x00",
        ];
        let (said, _) = cut(&parts.concat(), 9, RULES).expect("it is sound");
        let kinds: Vec<u32> = said.iter().map(|(db, _)| *db).collect();
        assert_eq!(kinds, [99, 0, 99, 0], "{said:?}");
    }

    #[test]
    fn a_database_that_there_is_not_and_damage_are_errors() {
        let error = |file: &[u8], rules| cut(file, 3, rules).expect_err("it is wrong");
        let rules = Rules { databases: 5, ..RULES };
        let (mut whole, _) = file();
        assert_eq!(error(&whole, rules).fault, Fault::Database(5));
        for end in 0..whole.len() {
            assert_eq!(error(&whole[..end], RULES).fault, Fault::Truncated, "{end}");
        }
        let last = whole.len() - 1;
        whole[last] ^= 1;
        assert_eq!(error(&whole, RULES), Fault::Checksum.at(whole.len() - 8));
        assert!(cut(&whole, 3, Rules { checks: false, ..RULES }).is_ok());
    }

    /// What comes before the damage is there, and the key that is damaged is known by its name.
    #[test]
    fn keys_before_damage_come_first_and_the_key_in_it_is_named() {
        let file = b"REDIS0010\xfe\x02\x00\x01k\x01v\x02\x03set\x02\x01a";
        let mut cutter = Cutter::new(RULES);
        cutter.feed(file);
        assert!(matches!(cutter.next_piece(0), Ok(Some(Piece::Keys(raw))) if raw.keys.len() == 1));
        let error = cutter.next_piece(0).expect_err("it is cut short");
        assert_eq!(error.fault, Fault::Truncated);
        assert_eq!(cutter.key_at_fault(), Some((2, b"set".to_vec())));
        let mut cutter = Cutter::new(RULES);
        cutter.feed(b"REDIS0010\xff\0\0\0\0\0\0\0\x01");
        assert_eq!(cutter.next_piece(0).expect_err("it is wrong").fault, Fault::Checksum);
        assert_eq!(cutter.key_at_fault(), None);
        let mut cutter = Cutter::new(Rules { databases: 5, ..RULES });
        cutter.feed(b"REDIS0010\xfe\x05\x00\x01k\x01v");
        assert_eq!(cutter.next_piece(0).expect_err("it is wrong").fault, Fault::Database(5));
        assert_eq!(cutter.key_at_fault(), None, "the key behind it is not to blame");
    }

    /// Every file is read, or refused inside of it, with any of its bytes changed.
    /// `TROUPE_DAMAGE=all` changes each byte, otherwise it is one of so many.
    #[test]
    fn files_with_any_byte_changed_are_read_or_refused() {
        let step = if std::env::var("TROUPE_DAMAGE").is_ok_and(|it| it == "all") { 1 } else { 97 };
        let mut random = fastrand::Rng::with_seed(5);
        let (hasher, rules) = (hasher(), Rules { checks: false, ..RULES });
        let read = |file: &[u8]| -> Result<usize, RdbError> {
            let (mut cutter, mut keys) = (Cutter::new(rules), 0);
            cutter.feed(file);
            loop {
                match cutter.next_piece(0)? {
                    Some(Piece::Keys(raw)) => {
                        for key in &raw.keys {
                            let (head, value) = raw.read(key, forms(&hasher))?;
                            drop(head.with(value));
                            keys += 1;
                        }
                    }
                    Some(Piece::End) => return Ok(keys),
                    _ => {}
                }
            }
        };
        let (mut refused, mut taken) = (0, 0);
        for (number, file) in samples::files().iter().enumerate() {
            assert!(read(file).is_ok_and(|keys| keys > 0), "file {number}");
            let step = if number == 0 { step } else { 1 };
            for at in (0..file.len()).step_by(step) {
                for change in [0xff, 1 << random.u8(..8), random.u8(1..)] {
                    let mut changed = file.clone();
                    changed[at] ^= change;
                    match read(&changed) {
                        Ok(_) => taken += 1,
                        Err(error) => {
                            refused += 1;
                            assert!(error.offset <= file.len(), "file {number}, {at}: {error}");
                        }
                    }
                }
            }
        }
        assert!(refused > 1_000 && taken > 100, "{refused} refused, {taken} taken");
    }
}
