//! Integers as Redis reads them: exactly the text that it would write, and nothing else.
//!
//! Invariant: `parse(text) == Some(n)` if and only if `text` is the decimal form of `n`; that is
//! why a string that parses may be stored as an integer and read back unchanged. Hence no plus, no
//! spaces, no leading zeros, no `-0`.

/// The most digits a `u64` can have.
const DIGITS_MAX: usize = 20;

/// Reads a signed integer.
#[inline]
pub fn parse(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', b'0', ..] => None,
        [b'-', digits @ ..] => 0i64.checked_sub_unsigned(parse_unsigned(digits)?),
        digits => i64::try_from(parse_unsigned(digits)?).ok(),
    }
}

/// Reads an unsigned integer in its shortest form.
#[inline]
pub fn parse_unsigned(text: &[u8]) -> Option<u64> {
    match text {
        [] => None,
        [b'0'] => Some(0),
        [b'0', ..] => None,
        _ if text.len() > DIGITS_MAX => None,
        // Nineteen digits cannot overflow.
        _ if text.len() < DIGITS_MAX => {
            text.iter().try_fold(0u64, |sum, byte| Some(sum * 10 + digit(*byte)?))
        }
        _ => {
            text.iter().try_fold(0u64, |sum, byte| sum.checked_mul(10)?.checked_add(digit(*byte)?))
        }
    }
}

/// Reads the cursor of SCAN and its relatives: here blanks, a sign and zeros may come first. What
/// is below zero counts from the end of the range, but if it is a number of [`parse`] it is none.
pub fn parse_cursor(text: &[u8]) -> Option<u64> {
    if parse(text).is_some_and(i64::is_negative) {
        return None;
    }
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let (is_negative, text) = match &text[blanks..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let significant = text.iter().position(|byte| *byte != b'0').unwrap_or(text.len());
    let number = match &text[significant..] {
        [] => (!text.is_empty()).then_some(0),
        digits => parse_unsigned(digits),
    };
    number.map(|number| if is_negative { number.wrapping_neg() } else { number })
}

/// Appends the decimal form of a number.
#[inline]
pub fn write(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[inline]
fn digit(byte: u8) -> Option<u64> {
    let digit = byte.wrapping_sub(b'0');
    (digit <= 9).then_some(u64::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_the_range() {
        assert_eq!(parse(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse(b"9223372036854775808"), None);
        assert_eq!(parse(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse(b"-9223372036854775809"), None);
        assert_eq!(parse_unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_unsigned(b"18446744073709551616"), None);
        assert_eq!(parse_unsigned(b"99999999999999999999"), None);
        assert_eq!(parse_unsigned(b"100000000000000000000"), None);
        assert_eq!(parse(b"0"), Some(0));
    }

    #[test]
    fn only_the_canonical_form_is_a_number() {
        for text in [
            "", "-", "+1", "01", "-01", "-0", "00", " 1", "1 ", "1.0", "1e3", "0x10", "--1", "1-",
            "\0", "1\0",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn cursors_are_read_leniently() {
        assert_eq!(parse_cursor(b"0"), Some(0));
        assert_eq!(parse_cursor(b"007"), Some(7));
        assert_eq!(parse_cursor(b" +1"), Some(1));
        assert_eq!(parse_cursor(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_cursor(b"-0"), Some(0));
        assert_eq!(parse_cursor(b"-9223372036854775809"), Some(9_223_372_036_854_775_807));
        for text in ["", "+", "-", "+-1", "-1", "1x", "1 ", "0x1", "18446744073709551616"] {
            assert_eq!(parse_cursor(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100_000 {
            let number = random.i64(..) >> random.u32(0..64);
            let mut text = Vec::new();
            write(&mut text, number);
            assert_eq!(parse(&text), Some(number));
            let place = random.usize(..text.len());
            text[place] = random.u8(b'+'..=b':');
            let written = parse(&text).map(|number| number.to_string().into_bytes());
            assert!(written.is_none_or(|written| written == text), "{text:?}");
        }
    }
}
