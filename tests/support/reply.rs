//! A reply as it came over the wire, and as redis-cli prints it.
//!
//! The printed form is what scripts compare, so it keeps everything that a client can see: the
//! kind of each value, and every byte of a string.

use std::fmt::Write;

/// One value of RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK`
    Simple(String),
    /// `-ERR ...`
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$3`
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` and `_`
    Nil,
    /// `*2`
    Array(Vec<Reply>),
    /// `,1.5`, as it was written
    Double(String),
    /// `#t`
    Boolean(bool),
    /// `(123`
    BigNumber(String),
    /// `=15`: the kind, then the text
    Verbatim(String, Vec<u8>),
    /// `%1`
    Map(Vec<(Reply, Reply)>),
    /// `~1`
    Set(Vec<Reply>),
    /// `>2`
    Push(Vec<Reply>),
}

impl Reply {
    /// The bytes of a bulk or simple string; nothing for other kinds.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Bulk(bytes) | Reply::Verbatim(_, bytes) => Some(bytes),
            Reply::Simple(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The text of a string reply; panics on other kinds, with the reply.
    pub fn text(&self) -> String {
        let bytes = self.bytes().unwrap_or_else(|| panic!("not a string: {self:?}"));
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The number of an integer reply or of a string that holds one; `None` for nil.
    pub fn number(&self) -> Option<i64> {
        match self {
            Reply::Integer(number) => Some(*number),
            Reply::Nil => None,
            other => Some(other.text().parse().unwrap_or_else(|_| panic!("no number: {other:?}"))),
        }
    }

    /// The members of an array, set or push; panics on other kinds.
    pub fn members(&self) -> &[Reply] {
        match self {
            Reply::Array(members) | Reply::Set(members) | Reply::Push(members) => members,
            other => panic!("not an array: {other:?}"),
        }
    }

    /// True for `+OK`.
    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Simple(text) if text == "OK")
    }

    /// The error's text, if it is one.
    pub fn error(&self) -> Option<&str> {
        match self {
            Reply::Error(text) => Some(text),
            _ => None,
        }
    }

    /// As redis-cli prints it, without the last newline.
    pub fn printed(&self) -> String {
        let mut out = String::new();
        self.print(&mut out, "");
        out
    }

    fn print(&self, out: &mut String, margin: &str) {
        match self {
            Reply::Simple(text) => out.push_str(text),
            Reply::Error(text) => {
                let _ = write!(out, "(error) {text}");
            }
            Reply::Integer(number) => {
                let _ = write!(out, "(integer) {number}");
            }
            Reply::Bulk(bytes) => quote(out, bytes),
            Reply::Nil => out.push_str("(nil)"),
            Reply::Double(text) => {
                let _ = write!(out, "(double) {text}");
            }
            Reply::Boolean(yes) => {
                let _ = write!(out, "({yes})");
            }
            Reply::BigNumber(text) => {
                let _ = write!(out, "(big number) {text}");
            }
            Reply::Verbatim(kind, bytes) => {
                let _ = write!(out, "({kind}) ");
                quote(out, bytes);
            }
            Reply::Array(members) => print_list(out, margin, members, ')', "(empty array)"),
            Reply::Set(members) => print_list(out, margin, members, '~', "(empty set)"),
            Reply::Push(members) => print_list(out, margin, members, '>', "(empty push)"),
            Reply::Map(pairs) => print_map(out, margin, pairs),
        }
    }
}

/// `1) a` and below it `2) b`, each nested one deeper in.
fn print_list(out: &mut String, margin: &str, members: &[Reply], mark: char, empty: &str) {
    if members.is_empty() {
        out.push_str(empty);
    }
    let width = members.len().to_string().len();
    let inner = format!("{margin}{}", " ".repeat(width + 2));
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            let _ = write!(out, "\n{margin}");
        }
        let _ = write!(out, "{:>width$}{mark} ", index + 1);
        member.print(out, &inner);
    }
}

/// `1# key => value`.
fn print_map(out: &mut String, margin: &str, pairs: &[(Reply, Reply)]) {
    if pairs.is_empty() {
        out.push_str("(empty hash)");
    }
    let width = pairs.len().to_string().len();
    let inner = format!("{margin}{}", " ".repeat(width + 2));
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            let _ = write!(out, "\n{margin}");
        }
        let _ = write!(out, "{:>width$}# ", index + 1);
        key.print(out, &inner);
        out.push_str(" => ");
        value.print(out, &inner);
    }
}

/// In double quotes, with what is not printable escaped.
pub fn quote(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'"' => out.push_str("\\\""),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            b' '..=b'~' => out.push(byte as char),
            other => {
                let _ = write!(out, "\\x{other:02x}");
            }
        }
    }
    out.push('"');
}

/// A line cut into words as redis-cli cuts it: blanks separate, `"..."` with escapes, `'...'`.
pub fn words(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let bytes = line.as_bytes();
    let (mut at, mut words) = (0, Vec::new());
    loop {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        match bytes.get(at) {
            None => return Ok(words),
            Some(b'"') => words.push(double_quoted(bytes, &mut at)?),
            Some(b'\'') => {
                let end = bytes[at + 1..].iter().position(|&byte| byte == b'\'');
                let end = at + 1 + end.ok_or_else(|| format!("no closing ' in: {line}"))?;
                words.push(bytes[at + 1..end].to_vec());
                at = end + 1;
            }
            Some(_) => {
                let start = at;
                while bytes.get(at).is_some_and(|byte| !byte.is_ascii_whitespace()) {
                    at += 1;
                }
                words.push(bytes[start..at].to_vec());
            }
        }
    }
}

/// The word that opens with the quote at `at`; leaves `at` behind the closing one.
fn double_quoted(bytes: &[u8], at: &mut usize) -> Result<Vec<u8>, String> {
    let mut word = Vec::new();
    loop {
        *at += 1;
        match bytes.get(*at) {
            None => return Err(format!("no closing \" in: {}", String::from_utf8_lossy(bytes))),
            Some(b'"') => {
                *at += 1;
                return Ok(word);
            }
            Some(b'\\') => {
                *at += 1;
                let escaped = *bytes.get(*at).ok_or("a backslash ends the line")?;
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'x' => {
                        let digits = bytes.get(*at + 1..*at + 3).ok_or("\\x needs two digits")?;
                        let digits = std::str::from_utf8(digits).map_err(|err| err.to_string())?;
                        *at += 2;
                        u8::from_str_radix(digits, 16).map_err(|err| err.to_string())?
                    }
                    other => other,
                });
            }
            Some(&byte) => word.push(byte),
        }
    }
}

#[test]
fn prints_as_redis_cli_does() {
    let nested = Reply::Array(vec![
        Reply::Bulk(b"a\x01\"\n".to_vec()),
        Reply::Array(vec![Reply::Integer(1), Reply::Nil]),
    ]);
    assert_eq!(nested.printed(), "1) \"a\\x01\\\"\\n\"\n2) 1) (integer) 1\n   2) (nil)");
    assert_eq!(Reply::Array(vec![]).printed(), "(empty array)");
}

#[test]
fn words_are_cut_as_redis_cli_cuts_them() {
    let cut = words(r#"SET "a b" '' "\x00\n" plain"#).unwrap();
    let expected: [&[u8]; 5] = [b"SET", b"a b", b"", b"\0\n", b"plain"];
    assert_eq!(cut, expected);
    assert!(words("GET \"a").is_err());
}
