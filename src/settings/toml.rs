//! Where in a TOML file each key stands, and what plain values say.
//!
//! The daemon reads TOML with a real parser, which keeps no places; this module finds the lines of
//! an error and lets CONFIG REWRITE change one value and nothing else. It knows the part of TOML
//! that settings need: keys at the top level with strings, numbers, booleans and arrays. What it
//! does not know it steps over, and [`lines`] answers `None`.

/// A key at the top level of a file, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The key, without quotes.
    pub key: &'a str,
    /// Its line, from 1.
    pub line: usize,
    /// The last line of its value.
    pub last_line: usize,
    /// The value as written.
    pub value: &'a str,
    /// The comment behind the value, with its `#`; empty if there is none.
    pub comment: &'a str,
}

/// The keys of a file, in order, up to the first table.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
        let content = text[at..end].trim_ascii();
        if content.starts_with('[') {
            break;
        }
        let equals = text[at..end].find('=').filter(|_| !content.starts_with('#'));
        let Some(equals) = equals else {
            (at, line) = (end + 1, line + 1);
            continue;
        };
        let key = text[at..at + equals].trim_ascii().trim_matches(['"', '\'']);
        let start = at + equals + 1;
        let length = value_length(&text[start..]);
        let value = text[start..start + length].trim_ascii();
        let last_line = line + text[start..start + length].matches('\n').count();
        let after = start + length;
        let end = text[after..].find('\n').map_or(text.len(), |length| after + length);
        let comment = text[after..end].trim_ascii();
        entries.push(Entry { key, line, last_line, value, comment });
        (at, line) = (end + 1, last_line + 1);
    }
    entries
}

/// How many bytes a value takes: up to a comment or the end of the line, outside strings and
/// brackets.
fn value_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'\n' | b'#' if depth == 0 => break,
            b'#' => {
                at += text[at..].find('\n').unwrap_or(text.len() - at);
                continue;
            }
            b'"' | b'\'' => {
                at += string_length(&text[at..]);
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    at
}

/// How many bytes a string takes, its quotes included; to the end of `text` if it is not closed.
fn string_length(text: &str) -> usize {
    let quote = &text[..1];
    let quote = if text.starts_with(&quote.repeat(3)) { quote.repeat(3) } else { quote.to_owned() };
    let mut at = quote.len();
    while at < text.len() {
        if text[at..].starts_with(quote.as_str()) {
            return at + quote.len();
        }
        let escape = quote.starts_with('"') && text.as_bytes()[at] == b'\\';
        at += if escape { 1 } else { 0 };
        at += text[at..].chars().next().map_or(1, char::len_utf8);
    }
    text.len()
}

/// The lines that a value stands for, each with its words: a plain value is one line of one word, a
/// list is one line of several words or, where lines `add_up`, a line each.
pub fn lines(value: &str, add_up: bool) -> Option<Vec<Vec<String>>> {
    let Some(list) = value.strip_prefix('[') else { return Some(vec![vec![scalar(value)?]]) };
    let mut rest = list.strip_suffix(']')?;
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
        if rest.starts_with('#') {
            rest = &rest[rest.find('\n')?..];
            continue;
        }
        if rest.is_empty() {
            break;
        }
        let length = if rest.starts_with(['"', '\'']) {
            string_length(rest)
        } else {
            rest.find([',', ' ', '\t', '\r', '\n', '#']).unwrap_or(rest.len())
        };
        items.push(scalar(&rest[..length])?);
        rest = &rest[length..];
    }
    Some(if add_up { items.into_iter().map(|item| vec![item]).collect() } else { vec![items] })
}

/// A string, number or boolean as the word of a directive.
fn scalar(value: &str) -> Option<String> {
    let value = value.trim_ascii();
    match value {
        "true" => return Some("yes".to_owned()),
        "false" => return Some("no".to_owned()),
        _ => {}
    }
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.strip_suffix('\'').filter(|text| !text.contains('\'')).map(str::to_owned);
    }
    let Some(inner) = value.strip_prefix('"') else {
        let plain = |byte: u8| byte.is_ascii_digit() || b"+-._".contains(&byte);
        return (!value.is_empty() && value.bytes().all(plain)).then(|| value.replace('_', ""));
    };
    let inner = inner.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => return None,
            '\\' => text.push(match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let digits: String = rest.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                same @ ('"' | '\\') => same,
                _ => return None,
            }),
            c => text.push(c),
        }
    }
    Some(text)
}

/// A string as TOML writes it.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_with_their_lines() {
        let text = "# port = 1\nport = 7000 # why\n\nbind = [ # here\n  \"a#b\", # there\n] # end\n\
                    \"dir\" = 'x = y'\n[table]\nport = 1\n";
        let found = entries(text);
        let found: Vec<_> =
            found.iter().map(|it| (it.key, it.line, it.last_line, it.comment)).collect();
        assert_eq!(found, [("port", 2, 2, "# why"), ("bind", 4, 6, "# end"), ("dir", 7, 7, "")]);
    }

    #[test]
    fn values_are_lines_of_words() {
        assert_eq!(lines("true", false), Some(vec![vec!["yes".into()]]));
        assert_eq!(lines("1_000", false), Some(vec![vec!["1000".into()]]));
        assert_eq!(
            lines("[\"a\", 'b', 3]", false),
            Some(vec![vec!["a".into(), "b".into(), "3".into()]])
        );
        assert_eq!(
            lines("[\n\"60 1\", # c\n\"1 1\",\n]", true),
            Some(vec![vec!["60 1".into()], vec!["1 1".into()]])
        );
        for strange in ["{ a = 1 }", "\"\"\"a\"\"\"", "1979-05-27T07:32:00Z", "", "[[1]]"] {
            assert_eq!(lines(strange, false), None, "{strange}");
        }
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        for text in ["", "a b", "\"\\", "\n\t\u{1}", "ü"] {
            assert_eq!(lines(&quoted(text), false), Some(vec![vec![text.to_owned()]]), "{text:?}");
        }
    }

    #[test]
    fn strings_that_are_not_closed_end_with_the_text() {
        for text in ["a = \"", "a = '''b", "a = [", "a = \"\\", "=", "é = \"é", "a = \"\\é"] {
            assert!(entries(text).len() <= 1, "{text}");
        }
    }
}
