//! A snapshot as RedisShake reads it: key by key, each with the bytes of its value as they stand.
//!
//! It reads from what is known of the format, and not by the server's own reader. What RedisShake
//! does not know, it does not know either: forms of values behind 21, and libraries of functions.

/// The version that its payloads say, whatever the snapshot's.
const PAYLOAD_VERSION: u16 = 6;

/// The polynomial of the checksum, its lowest bit first.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// A key of the snapshot.
pub(super) struct Entry {
    pub(super) db: usize,
    pub(super) key: Vec<u8>,
    /// Milliseconds of unix time, 0 where it has none.
    pub(super) deadline: u64,
    /// The value as DUMP would give it.
    pub(super) payload: Vec<u8>,
}

/// What a snapshot holds.
pub(super) struct Snapshot {
    pub(super) entries: Vec<Entry>,
    /// The database in which the stream behind it begins.
    pub(super) stream_db: usize,
}

impl Snapshot {
    pub(super) fn read(bytes: &[u8]) -> Snapshot {
        let mut cursor = Cursor { bytes, at: 0 };
        let magic = cursor.take(9);
        assert!(magic.starts_with(b"REDIS") || magic.starts_with(b"VALKEY"), "{magic:?}");
        let (mut db, mut deadline) = (0, 0);
        let mut snapshot = Snapshot { entries: Vec::new(), stream_db: 0 };
        loop {
            match cursor.byte() {
                0xff => return snapshot,
                0xfe => db = cursor.length() as usize,
                0xfc => deadline = u64::from_le_bytes(cursor.take(8).try_into().unwrap()),
                0xfb => drop((cursor.length(), cursor.length())),
                0xfa => {
                    let (name, value) = (cursor.string(), cursor.string());
                    if name == b"repl-stream-db" {
                        snapshot.stream_db = String::from_utf8(value).unwrap().parse().unwrap();
                    }
                }
                0xf9 => drop(cursor.byte()),
                0xf8 => drop(cursor.length()),
                // How many keys a slot has.
                0xf4 => drop((cursor.length(), cursor.length(), cursor.length())),
                form => {
                    let key = cursor.string();
                    let begin = cursor.at;
                    cursor.pass_value(form);
                    let payload = payload(form, &bytes[begin..cursor.at]);
                    snapshot.entries.push(Entry { db, key, deadline, payload });
                    deadline = 0;
                }
            }
        }
    }
}

/// A value with its form ahead of it, and behind it a version and the checksum.
fn payload(form: u8, value: &[u8]) -> Vec<u8> {
    let mut payload = [&[form], value, &PAYLOAD_VERSION.to_le_bytes()].concat();
    let checksum = payload.iter().fold(0_u64, |checksum, byte| {
        (0..8).fold(checksum ^ u64::from(*byte), |checksum, _| {
            (checksum >> 1) ^ if checksum & 1 == 1 { POLYNOMIAL } else { 0 }
        })
    });
    payload.extend(checksum.to_le_bytes());
    payload
}

/// A place in a snapshot.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        self.at += count;
        &self.bytes[self.at - count..self.at]
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    /// A length, or else the kind of a string that is written in another way.
    fn length_or_kind(&mut self) -> Result<u64, u8> {
        let first = self.byte();
        Ok(match first >> 6 {
            0 => u64::from(first),
            1 => u64::from(first & 0x3f) << 8 | u64::from(self.byte()),
            2 if first == 0x80 => u32::from_be_bytes(self.take(4).try_into().unwrap()).into(),
            2 if first == 0x81 => u64::from_be_bytes(self.take(8).try_into().unwrap()),
            2 => panic!("a length that begins with {first:#x}"),
            _ => return Err(first & 0x3f),
        })
    }

    fn length(&mut self) -> u64 {
        self.length_or_kind().unwrap_or_else(|kind| panic!("a string of kind {kind}"))
    }

    fn string(&mut self) -> Vec<u8> {
        let number = |bytes: &[u8]| {
            let fill = if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
            let mut wide = [fill; 8];
            wide[..bytes.len()].copy_from_slice(bytes);
            i64::from_le_bytes(wide).to_string().into_bytes()
        };
        match self.length_or_kind() {
            Ok(length) => self.take(length as usize).to_vec(),
            Err(kind @ 0..=2) => number(self.take(1 << kind)),
            Err(3) => {
                let (packed, length) = (self.length() as usize, self.length() as usize);
                let text = unpacked(self.take(packed));
                assert_eq!(text.len(), length);
                text
            }
            Err(kind) => panic!("a string of kind {kind}"),
        }
    }

    fn pass(&mut self, lengths: usize, strings: usize) {
        (0..lengths).for_each(|_| _ = self.length());
        (0..strings).for_each(|_| drop(self.string()));
    }

    /// Goes to the end of a value of this form.
    fn pass_value(&mut self, form: u8) {
        match form {
            // A text, or a collection that is packed into one.
            0 | 9..=13 | 16 | 17 | 20 => self.pass(0, 1),
            1 | 2 | 14 => {
                let count = self.length() as usize;
                self.pass(0, count);
            }
            4 => {
                let count = self.length() as usize;
                self.pass(0, 2 * count);
            }
            5 => {
                for _ in 0..self.length() {
                    self.pass(0, 1);
                    self.take(8);
                }
            }
            18 => (0..self.length()).for_each(|_| self.pass(1, 1)),
            15 | 19 | 21 => self.pass_stream(form),
            _ => panic!("RedisShake knows no values of form {form}"),
        }
    }

    fn pass_stream(&mut self, form: u8) {
        (0..self.length()).for_each(|_| self.pass(0, 2));
        self.pass(if form == 15 { 3 } else { 8 }, 0);
        for _ in 0..self.length() {
            self.pass(0, 1);
            self.pass(if form == 15 { 2 } else { 3 }, 0);
            // Who has which entry, since when, and how often it was given away.
            for _ in 0..self.length() {
                self.take(16 + 8);
                self.pass(1, 0);
            }
            for _ in 0..self.length() {
                self.pass(0, 1);
                self.take(if form == 21 { 16 } else { 8 });
                let count = self.length() as usize;
                self.take(16 * count);
            }
        }
    }
}

/// A string that was packed: runs of bytes, and places further ahead to copy from.
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = packed.iter().copied().map(usize::from);
    let mut text = Vec::new();
    while let Some(head) = bytes.next() {
        if head < 32 {
            text.extend(bytes.by_ref().take(head + 1).map(|byte| byte as u8));
            continue;
        }
        let more = if head >> 5 == 7 { bytes.next().unwrap() } else { 0 };
        let back = ((head & 31) << 8 | bytes.next().unwrap()) + 1;
        for _ in 0..(head >> 5) + more + 2 {
            text.push(text[text.len() - back]);
        }
    }
    text
}
