//! The syntax of redis.conf: a directive a line, words between blanks, quotes, comments, `include`.
//!
//! A line that starts with `#` is a comment; a `#` further on is a part of a word, as in Redis.
//! A word may go on behind a quote that it closes, as in Valkey 9.1. Lines are bytes: a comment may
//! be in any encoding, and a word has the bytes that were written.
//!
//! Bounds: files include one another at most [`INCLUDE_DEPTH_MAX`] deep, and all together have at
//! most [`LINES_MAX`] lines. Reading a file is the caller's: this module is given a function.

use crate::base::quotes::unquote;

/// How deep files may include one another.
pub const INCLUDE_DEPTH_MAX: usize = 16;

/// How many lines a file and all that it includes may have.
pub const LINES_MAX: usize = 1_000_000;

/// A directive and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The file, as it was named.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
    /// The whole line, without blanks around it, to be shown.
    pub text: String,
    /// The directive's name, in lower case.
    pub name: String,
    /// What follows the name.
    pub words: Vec<Vec<u8>>,
}

/// A line that is no directive, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {text}: {problem}")]
pub struct ConfError {
    /// The file, as it was named.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
    /// The whole line, without blanks around it, to be shown.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Gives the files that the word of an `include` stands for, each with its name and its content.
/// The error is a sentence for the operator.
pub type Include<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<(String, Vec<u8>)>, String>;

/// Reads the directives of a file and of all that it includes, in order.
pub fn parse(
    file: &str,
    content: &[u8],
    include: Include<'_>,
) -> Result<Vec<Directive>, ConfError> {
    let mut directives = Vec::new();
    let mut reading = Reading { include, lines: 0, directives: &mut directives };
    reading.file(file, content, 0)?;
    Ok(directives)
}

struct Reading<'a> {
    include: Include<'a>,
    lines: usize,
    directives: &'a mut Vec<Directive>,
}

impl Reading<'_> {
    fn file(&mut self, file: &str, content: &[u8], depth: usize) -> Result<(), ConfError> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            let shown = || String::from_utf8_lossy(line).into_owned();
            let wrong = |problem: String| ConfError {
                file: file.to_owned(),
                line: index + 1,
                text: shown(),
                problem,
            };
            self.lines += 1;
            if self.lines > LINES_MAX {
                return Err(wrong(format!("more than {LINES_MAX} lines of configuration")));
            }
            if line.starts_with(b"#") {
                continue;
            }
            let mut words = split_words(line).ok_or_else(|| wrong(UNBALANCED.to_owned()))?;
            if words.is_empty() {
                continue;
            }
            let name = String::from_utf8_lossy(&words.remove(0)).to_ascii_lowercase();
            if name != "include" {
                let (file, text) = (file.to_owned(), shown());
                self.directives.push(Directive { file, line: index + 1, text, name, words });
                continue;
            }
            let [pattern] = words.as_slice() else {
                return Err(wrong("wrong number of arguments".to_owned()));
            };
            if depth == INCLUDE_DEPTH_MAX {
                return Err(wrong(format!("files include one another over {depth} deep")));
            }
            for (file, content) in (self.include)(pattern).map_err(wrong)? {
                self.file(&file, &content, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// What is said of a line in which a quote is not closed.
pub const UNBALANCED: &str = "Unbalanced quotes in configuration line";

/// Splits a line into its words; none where a quote is not closed.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = line.trim_ascii_start();
    let mut words = Vec::new();
    while !rest.is_empty() {
        let mut word = Vec::new();
        rest = read_word(rest, &mut word)?.trim_ascii_start();
        words.push(word);
    }
    Some(words)
}

/// Reads up to a blank outside of quotes.
fn read_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return Some(rest),
            [byte, ..] if byte.is_ascii_whitespace() => return Some(rest),
            [mark @ (b'"' | b'\''), tail @ ..] => unquote(*mark, tail, word)?,
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
        }
    }
}

/// A word as it may stand in a line: in quotes if it needs them. What is no UTF-8 is escaped.
pub fn quoted(word: &[u8]) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'\\#".contains(c);
    match std::str::from_utf8(word) {
        Ok(text) if !text.is_empty() && text.chars().all(plain) => return text.to_owned(),
        _ => {}
    }
    let mut quoted = String::from("\"");
    for chunk in word.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => quoted.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| quoted.push_str(&format!("\\x{byte:02x}")));
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
        Err("No such file or directory".into())
    }

    fn words(words: &[Vec<u8>]) -> Vec<&str> {
        words.iter().map(|word| std::str::from_utf8(word).expect("text")).collect()
    }

    #[test]
    fn lines_comments_and_blanks() {
        let text = b"# a comment\n\n  PORT\t7000 \r\nsave \"\"\nrequirepass a#b\n";
        let read = parse("a.conf", text, &none).expect("right lines");
        let lines: Vec<(usize, &str, Vec<&str>)> =
            read.iter().map(|it| (it.line, it.name.as_str(), words(&it.words))).collect();
        assert_eq!(
            lines,
            [(3, "port", vec!["7000"]), (4, "save", vec![""]), (5, "requirepass", vec!["a#b"])]
        );
    }

    #[test]
    fn quotes_and_escapes() {
        let split = |line: &str| split_words(line.as_bytes());
        let said = |line| words(&split(line).expect("right quotes")).join("|");
        assert_eq!(said(r#"a "b \x41\n\"" 'c \' "d'"#), "a|b A\n\"|c ' \"d");
        assert_eq!(said(r#"a"b c" d"#), "ab c|d");
        assert_eq!(said(r#""a"b'c'd "#), "abcd");
        assert_eq!(said(""), "");
        for line in ["\"a", "'a", "\"a\"b\"", "'a'b'"] {
            assert_eq!(split(line), None, "{line}");
        }
    }

    #[test]
    fn bytes_are_taken_as_they_are() {
        let text = b"# caf\xe9 \xc4\xe3\nrequirepass \xe9\"\\xff\"\xfe\n";
        let read = parse("a.conf", text, &none).expect("right lines");
        assert_eq!(read[0].words, [b"\xe9\xff\xfe".to_vec()]);
        let error = parse("a.conf", b"\xe9 \"", &none).expect_err("a quote is open");
        assert_eq!((error.line, error.text.as_str()), (1, "\u{fffd} \""));
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        let texts = ["", "a", "a b", "\"", "\\", "\n\t\x01", "ü", "#", "it's"].map(str::as_bytes);
        for word in texts.into_iter().chain([&b"\xff"[..], b"a\xc3", b"\xe4 b"]) {
            let line = quoted(word);
            assert_eq!(split_words(line.as_bytes()), Some(vec![word.to_vec()]), "{line}");
        }
    }

    #[test]
    fn files_include_others() {
        let include = |pattern: &[u8]| match pattern {
            b"b/*.conf" => Ok(vec![
                ("b/1.conf".to_owned(), b"port 1".to_vec()),
                ("b/2.conf".to_owned(), b"port 2".to_vec()),
            ]),
            _ => none(pattern),
        };
        let read = parse("a.conf", b"include b/*.conf\nport 3", &include).expect("right files");
        let places: Vec<_> = read.iter().map(|it| (it.file.as_str(), it.line)).collect();
        assert_eq!(places, [("b/1.conf", 1), ("b/2.conf", 1), ("a.conf", 2)]);
        let error = parse("a.conf", b"\ninclude c", &include).expect_err("no such file");
        assert_eq!((error.line, error.problem.as_str()), (2, "No such file or directory"));
    }

    #[test]
    fn a_file_that_includes_itself_is_refused() {
        let include = |_: &[u8]| Ok(vec![("a.conf".to_owned(), b"include a.conf".to_vec())]);
        let error = parse("a.conf", b"include a.conf", &include).expect_err("no end");
        assert!(error.problem.contains("16 deep"), "{error}");
    }
}
