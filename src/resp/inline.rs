//! Inline requests: the lines that people type into telnet.
//!
//! Words are separated by blanks. A quote may begin inside a word, and the word may go on behind
//! it, as in Valkey 9.1; Redis refuses that. Left out: NUL, which the decoder never lets come this
//! far.

use super::limits::ProtocolError;
use crate::base::quotes::unquote;

/// Capacity kept between lines, in bytes.
const KEPT: usize = 4 * 1024;

/// The words of one line, unquoted. Reused from line to line.
#[derive(Clone, Debug, Default)]
pub struct Words {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Words {
    /// Splits a line (without its line feed; at most 4 GiB) and replaces what was here.
    pub fn split(&mut self, line: &[u8]) -> Result<(), ProtocolError> {
        self.clear();
        let mut rest = line;
        loop {
            let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
            rest = &rest[blanks..];
            if rest.is_empty() {
                return Ok(());
            }
            rest = self.word(rest)?;
            self.ends.push(self.bytes.len() as u32);
        }
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True for a blank line.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The words in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let word = &self.bytes[start..*end as usize];
            start = *end as usize;
            word
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
            self.ends = Vec::new();
        }
    }

    /// Takes one word off the front of `rest`, which begins with no blank; returns what follows it.
    fn word<'a>(&mut self, mut rest: &'a [u8]) -> Result<&'a [u8], ProtocolError> {
        loop {
            rest = match rest {
                [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok(rest),
                [mark @ (b'"' | b'\''), after @ ..] => {
                    let after = unquote(*mark, after, &mut self.bytes);
                    after.ok_or(ProtocolError::UnbalancedQuotes)?
                }
                [byte, after @ ..] => {
                    self.bytes.push(*byte);
                    after
                }
            }
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<Vec<String>> {
        let mut words = Words::default();
        words.split(line.as_bytes()).ok()?;
        Some(words.iter().map(|word| word.escape_ascii().to_string()).collect())
    }

    #[test]
    fn words_are_split_as_redis_does() {
        // Each case was answered by Valkey 9.1.2 and redis-server 7.0.15 in the same way.
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  \t\r", &[]),
            ("PING", &["PING"]),
            (" PING  a ", &["PING", "a"]),
            ("PING \"a b\"", &["PING", "a b"]),
            ("PING a\"b\"", &["PING", "ab"]),
            (r#"PING "\x41\n\q\xzz""#, &["PING", r"A\nqxzz"]),
            (r"PING 'a\'b\n'", &["PING", r"a\'b\\n"]),
            (r#"PING """#, &["PING", ""]),
            (r#""""#, &[""]),
            ("PING\ta\x0bb", &["PING", r"a\x0bb"]),
            ("PING a\x0cb", &["PING", r"a\x0cb"]),
            ("PING a\rb", &["PING", "a", "b"]),
            (r"PING a\x41", &["PING", r"a\\x41"]),
            // Only Valkey 9.1.2 answers so.
            ("PING \"a\"b", &["PING", "ab"]),
            ("'a'b\"\"\"c\"'d'e", &["abcde"]),
            ("\"a\"\x0bb", &[r"a\x0bb"]),
        ];
        for (line, words) in cases {
            assert_eq!(
                split(line).as_deref(),
                Some(&words.iter().map(|w| w.to_string()).collect::<Vec<_>>()[..]),
                "{line:?}"
            );
        }
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in
            ["PING \"a", "PING 'a", "PING \"a\"b'", "PING a'b", "\"", "'a'b\"", r#""a\"#, r#""a\""#]
        {
            assert_eq!(split(line), None, "{line:?}");
        }
    }
}
