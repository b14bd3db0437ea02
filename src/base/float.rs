//! Doubles as Redis reads and writes them.
//!
//! Written: `inf`, `-inf`, `nan`, whole numbers as integers, everything else with the digits of
//! [`grisu`](super::grisu), plain while the number is short and with an exponent beyond. Left out:
//! Redis 7.0's 17 digits in ZSCORE (`0.10000000000000001`); this follows Valkey 9.1, which also
//! reads no hexadecimal scores.

use super::grisu::Digits;

/// Whole numbers up to this size are written as integers.
const WHOLE_MAX: f64 = (1u64 << 62) as f64;
/// The longest text: sign, `0.`, six zeros, seventeen digits; or nineteen digits and a sign.
const TEXT_MAX: usize = 32;

/// Reads a double: decimal with an optional exponent, or an infinity.
///
/// None if it is NaN, has a space anywhere, or is too large or too small for a double.
pub fn parse(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let mantissa = || text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let overflows = number.is_infinite() && text.iter().any(u8::is_ascii_digit);
    let vanishes = number == 0.0 && mantissa().any(|byte| matches!(byte, b'1'..=b'9'));
    (!number.is_nan() && !overflows && !vanishes).then_some(number)
}

/// The whole number that a double is written as, if it is.
#[inline]
pub fn whole(number: f64) -> Option<i64> {
    let whole = number as i64;
    let is_it = number.abs() <= WHOLE_MAX && whole as f64 == number;
    (is_it && (whole != 0 || number.is_sign_positive())).then_some(whole)
}

/// The text of a double, without allocation.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    bytes: [u8; TEXT_MAX],
    len: usize,
}

impl Text {
    /// Writes a double.
    pub fn of(number: f64) -> Text {
        let Some(whole) = whole(number) else { return Text::with_few_digits(number) };
        let mut text = Text::empty();
        text.add(itoa::Buffer::new().format(whole).as_bytes());
        text
    }

    /// Writes a double without minding whether it is whole: `1e+10` for ten milliards.
    pub fn with_few_digits(number: f64) -> Text {
        let mut text = Text::empty();
        if number.is_nan() {
            text.add(b"nan");
        } else if number.is_infinite() {
            text.add(if number > 0.0 { b"inf" } else { b"-inf" });
        } else if number == 0.0 {
            text.add(if number.is_sign_negative() { b"-0" } else { b"0" });
        } else {
            text.shortest(number);
        }
        text
    }

    fn empty() -> Text {
        Text { bytes: [0; TEXT_MAX], len: 0 }
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn add(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }

    fn zeros(&mut self, count: usize) {
        self.bytes[self.len..self.len + count].fill(b'0');
        self.len += count;
    }

    /// Lays out the shortest digits of a finite number that is not zero.
    fn shortest(&mut self, number: f64) {
        if number < 0.0 {
            self.add(b"-");
        }
        let Digits { bytes, count, scale } = Digits::of(number.abs());
        let digits = &bytes[..count];
        // The number is 0.digits times ten to the power of `point`.
        let point = scale + count as i32;
        let exponent = point - 1;
        if scale >= 0 && exponent < count as i32 + 7 {
            self.add(digits);
            self.zeros(scale as usize);
        } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
            if point <= 0 {
                self.add(b"0.");
                self.zeros(point.unsigned_abs() as usize);
                self.add(digits);
            } else {
                self.add(&digits[..point as usize]);
                self.add(b".");
                self.add(&digits[point as usize..]);
            }
        } else {
            self.add(&digits[..1]);
            if count > 1 {
                self.add(b".");
                self.add(&digits[1..]);
            }
            self.add(if exponent < 0 { b"e-" } else { b"e+" });
            self.add(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: f64) -> String {
        String::from_utf8(Text::of(number).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn doubles_are_written_as_valkey_does() {
        let cases: &[(f64, &str)] = &[
            (0.1, "0.1"),
            (3.0, "3"),
            (-3.5, "-3.5"),
            (0.0, "0"),
            (-0.0, "-0"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.234e-5, "1.234e-5"),
            (-1.5e-7, "-1.5e-7"),
            (0.0012345, "0.0012345"),
            (123456.789, "123456.789"),
            (1e18, "1000000000000000000"),
            (1234567890123456789.0, "1234567890123456768"),
            (4611686018427387904.0, "4611686018427387904"),
            (-4611686018427387904.0, "-4611686018427387904"),
            (4611686018427388928.0, "4611686018427389000"),
            (1.2345678901234568e21, "1234567890123456800000"),
            (-4.7e18, "-4.7e+18"),
            (1e21, "1e+21"),
            (1e23, "99999999999999990000000"),
            (1.5e300, "1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (number, expected) in cases {
            assert_eq!(text(*number), *expected);
        }
    }

    #[test]
    fn doubles_are_read_as_valkey_does() {
        let cases: &[(&str, f64)] = &[
            ("1", 1.0),
            ("+1", 1.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-1E5", -1e5),
            ("0e999", 0.0),
            ("1e-320", 1e-320),
            ("inf", f64::INFINITY),
            ("+Infinity", f64::INFINITY),
            ("-iNf", f64::NEG_INFINITY),
        ];
        for (text, number) in cases {
            assert_eq!(parse(text.as_bytes()), Some(*number), "{text:?}");
        }
        for text in [
            "", " 1", "1 ", ".", "1e", "1e+", "1e400", "-1e400", "1e-400", "infinit", "nan",
            "-NaN", "nan(1)", "0x10", "1_0", "1\0", "1f", "--1",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..100_000 {
            let scale = 10f64.powi(random.i32(-30..30));
            for number in [f64::from_bits(random.u64(..)), (random.f64() - 0.5) * scale] {
                if number.is_finite() {
                    assert_eq!(parse(text(number).as_bytes()), Some(number));
                }
            }
        }
    }
}
