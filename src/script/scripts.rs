//! Scripts by the digest of their text.
//!
//! Those of SCRIPT LOAD stay until SCRIPT FLUSH. Those that only EVAL brought are kept while they
//! are used: beyond [`EVALUATED_MAX`] of them the one that was used longest ago goes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::flags::Flags;
use crate::base::sha1::sha1;

/// Scripts kept that only EVAL has brought, as many as Valkey keeps.
const EVALUATED_MAX: usize = 500;

/// Bytes that the tables here need for a script, beside its text.
const OVERHEAD_BYTES: usize = 200;

/// The SHA-1 digest of a text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha([u8; 20]);

impl Sha {
    /// The digest of a text.
    pub fn of(text: &[u8]) -> Sha {
        Sha(sha1(text))
    }

    /// Reads forty hexadecimal digits, in any case; none for anything else.
    pub fn parse(digits: &[u8]) -> Option<Sha> {
        let digits: &[u8; 40] = digits.try_into().ok()?;
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            *byte = (value(pair[0])? << 4) | value(pair[1])?;
        }
        Some(Sha(bytes))
    }

    /// The digits, in lower case.
    pub fn hex(self) -> [u8; 40] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 40];
        for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        hex
    }
}

fn value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A script that has been compiled. It belongs to no thread.
#[derive(Debug)]
pub struct Script {
    /// Its text as the client sent it.
    pub body: Bytes,
    /// The digest of the text.
    pub sha: Sha,
    /// What it declares.
    pub flags: Flags,
    /// What the engine made of it.
    pub(super) program: Bytes,
}

/// The scripts that one thread knows.
#[derive(Debug, Default)]
pub struct Scripts {
    known: HashMap<Sha, Known>,
    /// How many of them EVAL alone has brought.
    evaluated: usize,
    /// Counts uses, to tell the oldest.
    uses: u64,
    evicted: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    script: Arc<Script>,
    /// When it was last used, by [`Scripts::uses`]; none for one of SCRIPT LOAD.
    used: Option<u64>,
}

impl Scripts {
    /// The script of a digest, for a run of it.
    pub fn use_one(&mut self, sha: Sha) -> Option<&Arc<Script>> {
        let known = self.known.get_mut(&sha)?;
        self.uses += 1;
        known.used = known.used.map(|_| self.uses);
        Some(&known.script)
    }

    /// The script of a digest, for a look at it.
    pub fn get(&self, sha: Sha) -> Option<&Arc<Script>> {
        self.known.get(&sha).map(|known| &known.script)
    }

    /// Keeps a script of EVAL for as long as it is among those used last.
    pub fn evaluate(&mut self, script: Arc<Script>) {
        if self.use_one(script.sha).is_some() {
            return;
        }
        if self.evaluated >= EVALUATED_MAX {
            self.evict();
        }
        self.evaluated += 1;
        self.uses += 1;
        let used = Some(self.uses);
        self.insert(script, used);
    }

    /// Keeps a script of SCRIPT LOAD, and for good one that EVAL has brought before.
    pub fn load(&mut self, script: Arc<Script>) {
        match self.known.get_mut(&script.sha) {
            Some(known) => self.evaluated -= usize::from(known.used.take().is_some()),
            None => self.insert(script, None),
        }
    }

    /// Forgets all.
    pub fn flush(&mut self) {
        *self = Scripts { uses: self.uses, evicted: self.evicted, ..Scripts::default() };
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many of EVAL's had to go.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Bytes that they take here, programs of the engine included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn insert(&mut self, script: Arc<Script>, used: Option<u64>) {
        self.bytes += cost(&script);
        self.known.insert(script.sha, Known { script, used });
    }

    /// Drops the script of EVAL that was used longest ago. Looks at all of them, which only a
    /// client that brings ever new scripts makes it do, and those cost a compilation each.
    fn evict(&mut self) {
        let evaluated = self.known.values().filter(|known| known.used.is_some());
        let oldest = evaluated.min_by_key(|known| known.used).map(|known| known.script.sha);
        if let Some(known) = oldest.and_then(|sha| self.known.remove(&sha)) {
            self.bytes -= cost(&known.script);
            self.evaluated -= 1;
            self.evicted += 1;
        }
    }
}

fn cost(script: &Script) -> usize {
    script.body.len() + script.program.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(number: usize) -> Arc<Script> {
        let body = format!("return {number}");
        let sha = Sha::of(body.as_bytes());
        let body = Bytes::from(body);
        Arc::new(Script { program: body.clone(), body, sha, flags: Flags::UNDECLARED })
    }

    #[test]
    fn a_digest_is_read_in_any_case() {
        let sha = Sha::of(b"abc");
        let digits = b"A9993e364706816ABA3e25717850c26c9cd0d89d";
        assert_eq!(Sha::parse(digits), Some(sha));
        assert_eq!(sha.to_string().as_bytes(), sha.hex());
        assert_eq!(sha.hex(), *digits.map(|digit| digit.to_ascii_lowercase()).as_slice());
        assert_eq!(Sha::parse(&digits[1..]), None);
        assert_eq!(Sha::parse(b"g9993e364706816aba3e25717850c26c9cd0d89d"), None);
    }

    #[test]
    fn of_evals_scripts_those_used_last_are_kept() {
        let mut scripts = Scripts::default();
        let loaded = script(0);
        scripts.evaluate(loaded.clone());
        scripts.load(loaded.clone());
        for number in 1..=EVALUATED_MAX {
            scripts.evaluate(script(number));
        }
        assert!(scripts.use_one(script(1).sha).is_some());
        scripts.evaluate(script(EVALUATED_MAX + 1));
        assert_eq!((scripts.len(), scripts.evicted()), (EVALUATED_MAX + 1, 1));
        assert!(scripts.get(loaded.sha).is_some(), "that of SCRIPT LOAD stays");
        assert!(scripts.get(script(1).sha).is_some(), "it was used");
        assert!(scripts.get(script(2).sha).is_none(), "it was used longest ago");
        scripts.flush();
        assert_eq!((scripts.len(), scripts.bytes(), scripts.evicted()), (0, 0, 1));
    }
}
