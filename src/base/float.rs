//! Doubles as Redis reads and writes them.
//!
//! Written: `inf`, `-inf`, `nan`, whole numbers as integers, everything else with the fewest digits
//! that read back as the same double, plain while the number is short and with an exponent beyond.
//! Left out: Redis 7.0's 17 digits in ZSCORE (`0.10000000000000001`); this follows 7.2 and Valkey.

/// Whole numbers under this size are written as integers.
const WHOLE_BELOW: f64 = (1u64 << 62) as f64;
/// The longest text: sign, `0.`, six zeros, seventeen digits; or nineteen digits and a sign.
const TEXT_MAX: usize = 32;

/// The text of a double, without allocation.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    bytes: [u8; TEXT_MAX],
    len: usize,
}

impl Text {
    /// Writes a double.
    pub fn of(number: f64) -> Text {
        let mut text = Text { bytes: [0; TEXT_MAX], len: 0 };
        if number.is_nan() {
            text.add(b"nan");
        } else if number.is_infinite() {
            text.add(if number > 0.0 { b"inf" } else { b"-inf" });
        } else if number == 0.0 {
            text.add(if number.is_sign_negative() { b"-0" } else { b"0" });
        } else if number.abs() < WHOLE_BELOW && number.fract() == 0.0 {
            text.add(itoa::Buffer::new().format(number as i64).as_bytes());
        } else {
            text.shortest(number);
        }
        text
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
        let (digits, count, scale) = digits(number.abs());
        let digits = &digits[..count];
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

/// The shortest decimal digits of a positive finite number without trailing zeros, how many there
/// are, and the power of ten of the last one.
fn digits(number: f64) -> ([u8; 20], usize, i32) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(number).as_bytes();
    let mut digits = [0u8; 20];
    let (mut count, mut scale, mut after_point) = (0, 0, false);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'.' => after_point = true,
            b'e' => {
                let exponent = &text[index + 1..];
                let exponent = exponent.strip_prefix(b"+").unwrap_or(exponent);
                scale += super::integer::parse(exponent).unwrap_or(0) as i32;
                break;
            }
            digit => {
                scale -= i32::from(after_point);
                if count > 0 || *digit != b'0' {
                    digits[count.min(19)] = *digit;
                    count += 1;
                }
            }
        }
    }
    while count > 1 && digits[count - 1] == b'0' {
        count -= 1;
        scale += 1;
    }
    (digits, count, scale)
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
            (1e17, "100000000000000000"),
            (0.0, "0"),
            (-0.0, "-0"),
        ];
        for (number, expected) in cases {
            assert_eq!(text(*number), *expected);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..200_000 {
            let number = f64::from_bits(random.u64(..));
            if number.is_finite() {
                assert_eq!(
                    text(number).parse::<f64>().unwrap().to_bits(),
                    number.to_bits(),
                    "{number:e}"
                );
            }
        }
    }
}
