//! The manifest of the append-only directory, in the text format of Redis 7.
//!
//! A line is `file <name> seq <n> type b|i|h`, followed by any number of further key/value pairs,
//! which are read over (Redis 8 adds `startoffset`). Lines that open with `#` are comments.
//! Invariants of a `Manifest`: at most one base, the sequence numbers of the increments ascend, no
//! name is a path, each fits its line. What does not hold them is refused with its line and what to
//! do about it.
//!
//! Further pairs are not kept: none of those known so far means anything to this server.

use std::fmt::Write as _;

use thiserror::Error;

use crate::base::quotes::{self, unquote};

/// Longest line that is read, in bytes, as in Redis.
pub const LINE_BYTES_MAX: usize = 1024;
/// Longest name in a manifest, in bytes as it is written: quotes make one of control characters up
/// to four times as long. Its line has room for all else, so what is written can be read.
const NAME_BYTES_MAX: usize = LINE_BYTES_MAX - "file  seq 9223372036854775807 type b".len();
/// Largest manifest that is read, in bytes: some ten thousand files.
pub const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;

/// One file of the journal: its name inside the directory and its sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Name without any directory.
    pub name: String,
    /// Bases and increments are numbered each on their own.
    pub seq: u64,
}

impl File {
    /// Whether the name says that it is an RDB file. What it is, its first bytes say.
    pub fn is_named_rdb(&self) -> bool {
        self.name.ends_with(".rdb")
    }
}

/// The files that make up the journal, in the order in which they are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The state from which the increments start; none means an empty keyspace.
    pub base: Option<File>,
    /// Records since the base, ascending; the last is the one that is written.
    pub increments: Vec<File>,
    /// Files that are out of use and wait to be deleted.
    pub history: Vec<File>,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {fault}; mend the line by hand, or restore the file from a backup")]
pub struct ManifestError {
    /// Counted from 1.
    pub line: usize,
    /// What the line does that it must not.
    pub fault: Fault,
}

/// The ways in which a line of a manifest can be wrong, in Redis's words where it has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// No line names a file.
    #[error("Found an empty AOF manifest")]
    Empty,
    /// The bytes are not text.
    #[error("the manifest is not UTF-8 text")]
    NotText,
    /// Over `LINE_BYTES_MAX`.
    #[error("The AOF manifest file contains too long line: over {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    /// A quote that does not end, or text directly behind one.
    #[error("Invalid AOF manifest file format: the quotes do not match")]
    Quotes,
    /// Not an even number of words, or one of the three pairs is missing.
    #[error("Invalid AOF manifest file format: expected `file <name> seq <number> type b|i|h`")]
    Words,
    /// The name is empty or leads out of the directory.
    #[error("File can't be a path, just a filename")]
    Name,
    /// Over `NAME_BYTES_MAX`.
    #[error("the name is over {NAME_BYTES_MAX} bytes as it is written in a manifest")]
    LongName,
    /// The sequence number is not a positive number.
    #[error("seq must be a number from 1")]
    Seq,
    /// Not one of b, i, h.
    #[error("Unknown AOF file type: it must be b, i or h")]
    Type,
    /// Two bases.
    #[error("Found duplicate base file information")]
    SecondBase,
    /// Increments out of order.
    #[error("Found a non-monotonic sequence number: those of the increments must ascend")]
    Order,
}

impl Manifest {
    /// The name of the manifest that goes with a setting of `appendfilename`.
    pub fn file_name(appendfilename: &str) -> String {
        format!("{appendfilename}.manifest")
    }

    /// Reads a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count();
            ManifestError { line, fault: Fault::NotText }
        })?;
        let mut manifest = Self::default();
        for (index, line) in text.lines().enumerate() {
            manifest.parse_line(line).map_err(|fault| ManifestError { line: index + 1, fault })?;
        }
        if manifest.base.is_none() && manifest.increments.is_empty() && manifest.history.is_empty()
        {
            return Err(ManifestError { line: 1, fault: Fault::Empty });
        }
        Ok(manifest)
    }

    fn parse_line(&mut self, line: &str) -> Result<(), Fault> {
        if line.len() > LINE_BYTES_MAX {
            return Err(Fault::LineTooLong);
        }
        if line.starts_with('#') {
            return Ok(());
        }
        let words = split(line)?;
        if words.len() < 6 || words.len() % 2 != 0 {
            return Err(Fault::Words);
        }
        let (mut name, mut seq, mut kind) = (None, None, None);
        for pair in words.chunks_exact(2) {
            match pair[0].to_ascii_lowercase().as_str() {
                "file" => name = Some(checked_name(&pair[1])?),
                "seq" => seq = Some(checked_seq(&pair[1])?),
                "type" => kind = Some(pair[1].as_str()),
                _ => {}
            }
        }
        let (Some(name), Some(seq), Some(kind)) = (name, seq, kind) else {
            return Err(Fault::Words);
        };
        self.add(File { name, seq }, kind)
    }

    fn add(&mut self, file: File, kind: &str) -> Result<(), Fault> {
        match kind {
            "b" if self.base.is_some() => return Err(Fault::SecondBase),
            "b" => self.base = Some(file),
            "i" if self.increments.last().is_some_and(|last| last.seq >= file.seq) => {
                return Err(Fault::Order);
            }
            "i" => self.increments.push(file),
            "h" => self.history.push(file),
            _ => return Err(Fault::Type),
        }
        Ok(())
    }

    /// The text of the manifest: the base, then files out of use, then the increments.
    pub fn format(&self) -> String {
        let mut text = String::new();
        let files = (self.base.iter().map(|file| (file, 'b')))
            .chain(self.history.iter().map(|file| (file, 'h')))
            .chain(self.increments.iter().map(|file| (file, 'i')));
        for (file, kind) in files {
            let name = quote(&file.name);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "file {name} seq {} type {kind}", file.seq);
        }
        text
    }

    /// The increment that comes after all that are listed, under a name that is not taken. It is
    /// not added yet.
    pub fn next_increment(&self, appendfilename: &str, is_taken: impl Fn(&str) -> bool) -> File {
        let last = self.increments.last().map_or(0, |last| last.seq);
        self.after(last, is_taken, |seq| format!("{appendfilename}.{seq}.incr.aof"))
    }

    /// The base that would replace the present one, under a name that is not taken. It is not added
    /// yet.
    pub fn next_base(
        &self,
        appendfilename: &str,
        is_rdb: bool,
        is_taken: impl Fn(&str) -> bool,
    ) -> File {
        let last = self.base.as_ref().map_or(0, |base| base.seq);
        let end = if is_rdb { "rdb" } else { "aof" };
        self.after(last, is_taken, |seq| format!("{appendfilename}.{seq}.base.{end}"))
    }

    fn after(
        &self,
        last: u64,
        is_taken: impl Fn(&str) -> bool,
        name: impl Fn(u64) -> String,
    ) -> File {
        let mut next = File { name: name(last + 1), seq: last + 1 };
        while self.names(&next.name) || is_taken(&next.name) {
            next = File { name: name(next.seq + 1), seq: next.seq + 1 };
        }
        next
    }

    /// Whether any list names this file.
    pub fn names(&self, name: &str) -> bool {
        (self.base.iter().chain(&self.increments).chain(&self.history)).any(|f| f.name == name)
    }
}

/// Whether a file name is one that a journal of this `appendfilename` makes up.
pub fn is_journal_name(appendfilename: &str, name: &str) -> bool {
    let Some(rest) = name.strip_prefix(appendfilename).and_then(|rest| rest.strip_prefix('.'))
    else {
        return false;
    };
    let Some((seq, kind)) = rest.split_once('.') else { return false };
    checked_seq(seq).is_ok() && matches!(kind, "base.rdb" | "base.aof" | "incr.aof")
}

/// Whether the files of a journal of this `appendfilename` have names that a manifest can hold.
pub fn takes_names_of(appendfilename: &str) -> bool {
    checked_name(&format!("{appendfilename}.{}.base.aof", i64::MAX)).is_ok()
}

fn checked_name(name: &str) -> Result<String, Fault> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(Fault::Name);
    }
    if quote(name).len() > NAME_BYTES_MAX {
        return Err(Fault::LongName);
    }
    Ok(name.to_owned())
}

/// The top bit stays free, so that counting on from any number that was read cannot overflow.
fn checked_seq(text: &str) -> Result<u64, Fault> {
    match text.parse::<u64>() {
        Ok(seq) if (1..=i64::MAX as u64).contains(&seq) => Ok(seq),
        _ => Err(Fault::Seq),
    }
}

/// Splits a line into words; a word may be quoted as Redis quotes strings.
fn split(line: &str) -> Result<Vec<String>, Fault> {
    let mut words = Vec::new();
    let mut rest = line.as_bytes();
    loop {
        rest = rest.trim_ascii_start();
        let Some(first) = rest.first() else { return Ok(words) };
        let mut word = Vec::new();
        rest = match first {
            b'"' | b'\'' => unquote(*first, &rest[1..], &mut word).ok_or(Fault::Quotes)?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                word.extend_from_slice(&rest[..end]);
                &rest[end..]
            }
        };
        if !rest.is_empty() && !rest[0].is_ascii_whitespace() {
            return Err(Fault::Quotes);
        }
        words.push(String::from_utf8(word).map_err(|_| Fault::NotText)?);
    }
}

/// The name as it is, or in double quotes where a reader would not take it for one plain word.
fn quote(name: &str) -> String {
    let is_plain =
        |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\' | b'#') && b.is_ascii();
    if name.bytes().all(is_plain) {
        return name.to_owned();
    }
    let mut text = b"\"".to_vec();
    name.bytes().for_each(|byte| quotes::put(byte, &mut text));
    text.push(b'"');
    // All that stands in it is ASCII.
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, seq: u64) -> File {
        File { name: name.to_owned(), seq }
    }

    #[test]
    fn reads_and_writes_what_redis_writes() {
        let text = "file appendonly.aof.1.base.rdb seq 1 type b\n\
                    file appendonly.aof.1.incr.aof seq 1 type i\n\
                    file appendonly.aof.2.incr.aof seq 2 type i\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.base, Some(file("appendonly.aof.1.base.rdb", 1)));
        assert_eq!(manifest.increments.len(), 2);
        assert_eq!(manifest.format(), text);
    }

    #[test]
    fn the_next_files_take_no_name_that_is_taken() {
        let manifest = Manifest {
            base: Some(file("a.1.base.aof", 1)),
            increments: vec![file("a.1.incr.aof", 1), file("a.2.incr.aof", 2)],
            history: vec![file("a.2.base.aof", 2)],
        };
        let taken = |name: &str| name == "a.3.incr.aof";
        assert_eq!(manifest.next_increment("a", |_| false), file("a.3.incr.aof", 3));
        assert_eq!(manifest.next_increment("a", taken), file("a.4.incr.aof", 4));
        assert_eq!(manifest.next_base("a", false, taken), file("a.3.base.aof", 3));
        assert_eq!(manifest.next_base("a", true, taken), file("a.2.base.rdb", 2));
    }

    #[test]
    fn reads_over_comments_and_pairs_that_it_does_not_know() {
        let text = "# by hand\nseq 4 type i file x startoffset 77\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.increments, [file("x", 4)]);
    }

    #[test]
    fn odd_names_survive_quoting() {
        for name in ["a b", "a\"b", "a\\b", "a'b", "h\u{e9}", "a\nb", "#x", "\x7f"] {
            let manifest = Manifest { increments: vec![file(name, 1)], ..Manifest::default() };
            assert_eq!(Manifest::parse(manifest.format().as_bytes()).unwrap(), manifest);
        }
        let single = Manifest::parse(br"file 'it\'s' seq 1 type i").unwrap();
        assert_eq!(single.increments[0].name, "it's");
    }

    /// The longest names of control characters that are taken are read back, and longer ones are
    /// not taken.
    #[test]
    fn a_name_that_is_read_can_be_written() {
        let taken = |length: usize| {
            let line = format!("file '{}' seq {} type h", "\x01".repeat(length), i64::MAX);
            let read = Manifest::parse(line.as_bytes());
            if let Ok(manifest) = &read {
                assert_eq!(Manifest::parse(manifest.format().as_bytes()), Ok(manifest.clone()));
            }
            read.map(drop).map_err(|error| error.fault)
        };
        let longest = (1..900).take_while(|length| taken(*length).is_ok()).count();
        assert_eq!(longest, (NAME_BYTES_MAX - 2) / 4);
        assert_eq!(taken(900), Err(Fault::LongName));
        assert!(takes_names_of("appendonly.aof") && takes_names_of(&"a".repeat(255)));
        assert!(!takes_names_of(&"\x01".repeat(245)));
    }

    #[test]
    fn refuses_with_line_and_reason() {
        let good = "file a seq 1 type b\n";
        for (text, fault) in [
            ("\n", Fault::Words),
            ("file a seq 1", Fault::Words),
            ("file a seq 1 type", Fault::Words),
            ("file a seq 1 kind b", Fault::Words),
            ("file ../a seq 1 type i", Fault::Name),
            ("file \"\" seq 1 type i", Fault::Name),
            ("file a seq 0 type i", Fault::Seq),
            ("file a seq -1 type i", Fault::Seq),
            ("file a seq 18446744073709551615 type i", Fault::Seq),
            ("file a seq 1 type x", Fault::Type),
            ("file b seq 2 type b", Fault::SecondBase),
            ("file a seq 2 type i\nfile b seq 2 type i", Fault::Order),
            ("file \"a seq 1 type i", Fault::Quotes),
            ("file \"a\"b seq 1 type i", Fault::Quotes),
        ] {
            let error = Manifest::parse(format!("{good}{text}").as_bytes()).unwrap_err();
            assert_eq!(error.fault, fault, "{text}");
            assert!(error.line >= 2, "{text}");
        }
        assert_eq!(Manifest::parse(b"").unwrap_err().fault, Fault::Empty);
        assert_eq!(Manifest::parse(b"file \xff seq 1 type i").unwrap_err().fault, Fault::NotText);
    }

    #[test]
    fn knows_the_names_of_its_own_files() {
        assert!(is_journal_name("a", "a.12.incr.aof"));
        assert!(is_journal_name("a", "a.1.base.rdb"));
        assert!(!is_journal_name("a", "a.manifest"));
        assert!(!is_journal_name("a", "a.x.incr.aof"));
        assert!(!is_journal_name("a", "b.1.incr.aof"));
    }

    #[test]
    fn a_flipped_byte_never_panics() {
        let text = b"file \"a b\\x41\" seq 1 type b\nfile a.1.incr.aof seq 1 type i\n";
        for index in 0..text.len() {
            for value in 0..=255 {
                let mut bytes = text.to_vec();
                bytes[index] = value;
                if let Ok(manifest) = Manifest::parse(&bytes) {
                    assert_eq!(Manifest::parse(manifest.format().as_bytes()).unwrap(), manifest);
                }
            }
        }
    }
}
