//! Numbers of Lua: as arguments of functions, and as text of so many digits.

use mlua::{Lua, Value};

/// The number that a value is or can be read as, as functions of Lua take their arguments.
pub(super) fn of(lua: &Lua, value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        Value::String(_) => lua.coerce_number(value.clone()).ok().flatten(),
        _ => None,
    }
}

/// The integer that C makes of a number: without its fraction; what fits none is the least.
pub(super) fn truncated(number: f64) -> i64 {
    let fits = number >= -(2f64.powi(63)) && number < 2f64.powi(63);
    if fits { number as i64 } else { i64::MIN }
}

/// The place (from zero) in a text of `len` bytes that a script counts from one, or from the end if
/// it is negative.
pub(super) fn start(from: f64, len: usize) -> usize {
    let from = truncated(from);
    let from = if from < 0 { from.saturating_add(len as i64 + 1) } else { from };
    usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX).min(len)
}

/// What a value is called in an error about an argument.
pub(super) fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "no value",
        Some(Value::Nil) => "nil",
        Some(Value::Boolean(_)) => "boolean",
        Some(Value::Integer(_) | Value::Number(_)) => "number",
        Some(Value::String(_)) => "string",
        Some(Value::Table(_)) => "table",
        Some(Value::Function(_)) => "function",
        Some(Value::Thread(_)) => "thread",
        Some(_) => "userdata",
    }
}

/// A number as C's `%.*g` writes it.
pub(super) fn general(number: f64, digits: usize) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let digits = digits.max(1);
    let scientific = format!("{number:.*e}", digits - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        let mantissa = without_zeros(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    without_zeros(&format!("{number:.decimals$}")).to_owned()
}

/// The longest number that a text begins with, and its length, as C's `strtod` reads it: decimal,
/// hexadecimal, infinite, or none at all (`nan`).
pub(super) fn prefix(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let body = &text[sign..];
    let starts =
        |word: &[u8]| body.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let (number, len) = if starts(b"infinity") {
        (f64::INFINITY, 8)
    } else if starts(b"inf") {
        (f64::INFINITY, 3)
    } else if starts(b"nan") {
        (f64::NAN, 3)
    } else if starts(b"0x") && body.get(2).is_some_and(u8::is_ascii_hexdigit) {
        hexadecimal(body)
    } else {
        decimal(body)?
    };
    Some((if text[0] == b'-' { -number } else { number }, sign + len))
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The length of an exponent behind its letter; none if it has no digits.
fn exponent(text: &[u8]) -> Option<usize> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let count = digits(&text[sign..]);
    (count > 0).then_some(sign + count)
}

fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    let mut len = digits(text);
    let mut count = len;
    if text.get(len) == Some(&b'.') {
        let fraction = digits(&text[len + 1..]);
        count += fraction;
        len += 1 + fraction;
    }
    if count == 0 {
        return None;
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        len += exponent(&text[len + 1..]).map_or(0, |exponent| 1 + exponent);
    }
    let number = std::str::from_utf8(&text[..len]).ok()?.parse().ok()?;
    Some((number, len))
}

/// A number behind `0x`. What its first sixteen digits do not hold is rounded off.
fn hexadecimal(text: &[u8]) -> (f64, usize) {
    let (mut number, mut scale, mut at, mut is_fraction) = (0.0, 0, 2, false);
    while let Some(byte) = text.get(at) {
        match char::from(*byte).to_digit(16) {
            Some(digit) => {
                number = number * 16.0 + f64::from(digit);
                scale -= if is_fraction { 4 } else { 0 };
            }
            None if *byte == b'.' && !is_fraction => is_fraction = true,
            None => break,
        }
        at += 1;
    }
    if matches!(text.get(at), Some(b'p' | b'P'))
        && let Some(len) = exponent(&text[at + 1..])
    {
        let power = std::str::from_utf8(&text[at + 1..at + 1 + len]).ok();
        let power = power.and_then(|power| power.parse::<i32>().ok()).unwrap_or(i32::MAX);
        scale = power.saturating_add(scale);
        at += 1 + len;
    }
    (number * 2f64.powi(scale), at)
}

/// Without the zeros at the end of a fraction.
fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_c_does() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e14, "1e+14"),
            (123456789012345.0, "1.2345678901234e+14"),
            (9007199254740992.0, "9.007199254741e+15"),
            (99999999999999.0, "99999999999999"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-1.5e-7, "-1.5e-07"),
            (1e300, "1e+300"),
            (std::f64::consts::PI, "3.1415926535898"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (number, text) in cases {
            assert_eq!(general(number, 14), text);
        }
        assert_eq!(general(0.1, 17), "0.10000000000000001");
        assert_eq!(general(12.5, 1), "1e+01");
    }

    #[test]
    fn a_number_is_read_as_far_as_it_goes() {
        let cases: [(&str, Option<(f64, usize)>); 14] = [
            ("1", Some((1.0, 1))),
            ("-1.5e3x", Some((-1500.0, 6))),
            ("1e", Some((1.0, 1))),
            ("1e+", Some((1.0, 1))),
            (".5", Some((0.5, 2))),
            ("5.", Some((5.0, 2))),
            (".", None),
            ("-", None),
            ("+7", Some((7.0, 2))),
            ("0x1F", Some((31.0, 4))),
            ("0x1.8p1", Some((3.0, 7))),
            ("0x", Some((0.0, 1))),
            ("-Infinity1", Some((f64::NEG_INFINITY, 9))),
            ("1e999", Some((f64::INFINITY, 5))),
        ];
        for (text, read) in cases {
            assert_eq!(prefix(text.as_bytes()), read, "{text}");
        }
        assert!(prefix(b"nan").is_some_and(|(number, len)| number.is_nan() && len == 3));
        assert_eq!(prefix(b""), None);
    }

    #[test]
    fn places_are_counted_from_both_ends() {
        assert_eq!([1.0, 3.0, 9.0, 0.0, -1.0, -9.0].map(|from| start(from, 5)), [0, 2, 5, 0, 4, 0]);
    }
}
