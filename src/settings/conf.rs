//! The syntax of redis.conf: a directive a line, words between blanks, quotes, comments, `include`.
//!
//! A line that starts with `#` is a comment; a `#` further on is a part of a word, as in Redis.
//! A word may go on behind a quote that it closes, as in Valkey 9.1.
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
    /// The whole line, without blanks around it.
    pub text: String,
    /// The directive's name, in lower case.
    pub name: String,
    /// What follows the name.
    pub words: Vec<String>,
}

/// A line that is no directive, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {text}: {problem}")]
pub struct ConfError {
    /// The file, as it was named.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
    /// The whole line, without blanks around it.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Gives the files that the word of an `include` stands for, each with its text. The error is a
/// sentence for the operator.
pub type Include<'a> = &'a dyn Fn(&str) -> Result<Vec<(String, String)>, String>;

/// Reads the directives of a file and of all that it includes, in order.
pub fn parse(file: &str, text: &str, include: Include<'_>) -> Result<Vec<Directive>, ConfError> {
    let mut directives = Vec::new();
    let mut reading = Reading { include, lines: 0, directives: &mut directives };
    reading.file(file, text, 0)?;
    Ok(directives)
}

struct Reading<'a> {
    include: Include<'a>,
    lines: usize,
    directives: &'a mut Vec<Directive>,
}

impl Reading<'_> {
    fn file(&mut self, file: &str, text: &str, depth: usize) -> Result<(), ConfError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().enumerate() {
            let text = line.trim_ascii();
            let wrong = |problem: String| ConfError {
                file: file.to_owned(),
                line: index + 1,
                text: text.to_owned(),
                problem,
            };
            self.lines += 1;
            if self.lines > LINES_MAX {
                return Err(wrong(format!("more than {LINES_MAX} lines of configuration")));
            }
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let mut words = split_words(text).map_err(|error| wrong(error.to_string()))?;
            if words.is_empty() {
                continue;
            }
            let name = words.remove(0).to_ascii_lowercase();
            if name != "include" {
                let (file, text) = (file.to_owned(), text.to_owned());
                self.directives.push(Directive { file, line: index + 1, text, name, words });
                continue;
            }
            let [pattern] = words.as_slice() else {
                return Err(wrong("wrong number of arguments".to_owned()));
            };
            if depth == INCLUDE_DEPTH_MAX {
                return Err(wrong(format!("files include one another over {depth} deep")));
            }
            for (file, text) in (self.include)(pattern).map_err(wrong)? {
                self.file(&file, &text, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// Why a line cannot be split into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote is not closed.
    #[error("Unbalanced quotes in configuration line")]
    Quotes,
    /// The bytes that the line spells out are no UTF-8.
    #[error("argument must be UTF-8 text")]
    NotText,
}

/// Splits a line into its words.
pub fn split_words(line: &str) -> Result<Vec<String>, WordsError> {
    let mut rest = line.as_bytes().trim_ascii_start();
    let mut words = Vec::new();
    while !rest.is_empty() {
        let mut word = Vec::new();
        rest = read_word(rest, &mut word)?.trim_ascii_start();
        words.push(String::from_utf8(word).map_err(|_| WordsError::NotText)?);
    }
    Ok(words)
}

/// Reads up to a blank outside of quotes.
fn read_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], WordsError> {
    loop {
        rest = match rest {
            [] => return Ok(rest),
            [byte, ..] if byte.is_ascii_whitespace() => return Ok(rest),
            [mark @ (b'"' | b'\''), tail @ ..] => {
                unquote(*mark, tail, word).ok_or(WordsError::Quotes)?
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
        }
    }
}

/// A word as it may stand in a line: in quotes if it needs them.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'\\#".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Result<Vec<(String, String)>, String> {
        Err("No such file or directory".into())
    }

    #[test]
    fn lines_comments_and_blanks() {
        let text = "# a comment\n\n  PORT\t7000 \r\nsave \"\"\nrequirepass a#b\n";
        let read = parse("a.conf", text, &none).expect("right lines");
        let lines: Vec<(usize, &str, Vec<&str>)> = read
            .iter()
            .map(|it| (it.line, it.name.as_str(), it.words.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(
            lines,
            [(3, "port", vec!["7000"]), (4, "save", vec![""]), (5, "requirepass", vec!["a#b"])]
        );
    }

    #[test]
    fn quotes_and_escapes() {
        let split = |line| split_words(line).expect("right quotes");
        assert_eq!(split(r#"a "b \x41\n\"" 'c \' "d'"#), ["a", "b A\n\"", "c ' \"d"]);
        assert_eq!(split(r#"a"b c" d"#), ["ab c", "d"]);
        assert_eq!(split(r#""a"b'c'd "#), ["abcd"]);
        assert_eq!(split(""), [""; 0]);
        for line in ["\"a", "'a", "\"a\"b\"", "'a'b'"] {
            assert_eq!(split_words(line), Err(WordsError::Quotes), "{line}");
        }
        assert_eq!(split_words(r#""\xff""#), Err(WordsError::NotText));
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        for word in ["", "a", "a b", "\"", "\\", "\n\t\x01", "ü", "#", "it's"] {
            assert_eq!(split_words(&quoted(word)), Ok(vec![word.to_owned()]), "{word:?}");
        }
    }

    #[test]
    fn files_include_others() {
        let include = |pattern: &str| match pattern {
            "b/*.conf" => Ok(vec![
                ("b/1.conf".to_owned(), "port 1".to_owned()),
                ("b/2.conf".to_owned(), "port 2".to_owned()),
            ]),
            _ => none(pattern),
        };
        let read = parse("a.conf", "include b/*.conf\nport 3", &include).expect("right files");
        let places: Vec<_> = read.iter().map(|it| (it.file.as_str(), it.line)).collect();
        assert_eq!(places, [("b/1.conf", 1), ("b/2.conf", 1), ("a.conf", 2)]);
        let error = parse("a.conf", "\ninclude c", &include).expect_err("no such file");
        assert_eq!((error.line, error.problem.as_str()), (2, "No such file or directory"));
    }

    #[test]
    fn a_file_that_includes_itself_is_refused() {
        let include = |_: &str| Ok(vec![("a.conf".to_owned(), "include a.conf".to_owned())]);
        let error = parse("a.conf", "include a.conf", &include).expect_err("no end");
        assert!(error.problem.contains("16 deep"), "{error}");
    }
}
