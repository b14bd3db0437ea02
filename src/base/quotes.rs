//! What stands between quotes, by the rules that Redis has for inline requests, its configuration
//! and its manifests.
//!
//! In double quotes `\n \r \t \b \a \xHH` stand for a byte, and a backslash before anything else is
//! dropped; in single quotes only `\'` is special. Where a word begins and ends, and what may stand
//! right behind a quote, differs from reader to reader and is theirs.

/// Appends what stands before the closing `mark` to `word`; returns what follows it, or none where
/// the quote is not closed. `rest` begins behind the opening mark.
pub fn unquote<'a>(mark: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [byte, after @ ..] if *byte == mark => return Some(after),
            [b'\\', b'\'', after @ ..] if mark == b'\'' => (b'\'', after),
            [b'\\', b'x', high, low, after @ ..]
                if mark == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) << 4 | hex(*low), after)
            }
            [b'\\', escaped, after @ ..] if mark == b'"' => (escape(*escaped), after),
            [byte, after @ ..] => (*byte, after),
        };
        word.push(byte);
        rest = after;
    }
}

/// Appends a byte as it stands in double quotes.
pub fn put(byte: u8, text: &mut Vec<u8>) {
    match byte {
        b'\\' | b'"' => text.extend_from_slice(&[b'\\', byte]),
        b'\n' => text.extend_from_slice(b"\\n"),
        b'\r' => text.extend_from_slice(b"\\r"),
        b'\t' => text.extend_from_slice(b"\\t"),
        0x07 => text.extend_from_slice(b"\\a"),
        0x08 => text.extend_from_slice(b"\\b"),
        b' '..=b'~' => text.push(byte),
        _ => text.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
    }
}

fn escape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mark: u8, text: &str, expected: Option<(&[u8], &str)>) {
        let mut word = Vec::new();
        let rest = unquote(mark, text.as_bytes(), &mut word);
        let found = rest.map(|rest| (&word[..], std::str::from_utf8(rest).unwrap()));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn both_marks_have_their_rules() {
        check(b'"', r#"a'b" c"#, Some((b"a'b", " c")));
        check(b'"', r#"\n\r\t\b\a\\\"\x0a\xfF\q" rest"#, {
            Some((b"\n\r\t\x08\x07\\\"\x0a\xffq", " rest"))
        });
        check(b'"', r#"\xg0\x4""#, Some((b"xg0x4", "")));
        check(b'\'', r"a\'\n\x41'c", Some((br"a'\n\x41", "c")));
        check(b'"', "", None);
        check(b'"', r#"a\""#, None);
        check(b'\'', r"a\'", None);
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = Vec::new();
        all.iter().for_each(|byte| put(*byte, &mut text));
        text.push(b'"');
        assert!(
            text.is_ascii() && text.starts_with(br"\x00") && text[28..].starts_with(br"\a\b\t\n")
        );
        let mut word = Vec::new();
        assert_eq!(unquote(b'"', &text, &mut word), Some(&b""[..]));
        assert_eq!(word, all);
    }
}
