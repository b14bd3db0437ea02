//! What happened in a run, line by line: a hash of all of it, and the text where somebody reads it.
//!
//! The hash is what two runs of one seed are compared by.

use std::fmt::{Arguments, Write as _};
use std::hash::{DefaultHasher, Hasher as _};

/// The trace of a run.
#[derive(Debug, Default)]
pub struct Trace {
    hash: DefaultHasher,
    is_printed: bool,
    line: String,
    /// What each line begins with.
    whose: &'static str,
}

impl Trace {
    /// An empty trace; each line of it is printed where `is_printed` says so.
    pub fn new(is_printed: bool) -> Trace {
        Trace { is_printed, ..Trace::default() }
    }

    /// The same of another node than the first.
    pub fn of(self, whose: &'static str) -> Trace {
        Trace { whose, ..self }
    }

    /// Notes what happened.
    pub fn note(&mut self, line: Arguments<'_>) {
        self.line.clear();
        self.line.write_fmt(line).expect("a text takes all that is written to it");
        self.hash.write(self.line.as_bytes());
        self.hash.write_u8(b'\n');
        if self.is_printed {
            eprintln!("{}{}", self.whose, self.line);
        }
    }

    /// The hash of all lines.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }
}
