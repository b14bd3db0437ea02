//! The floats of INCRBYFLOAT and HINCRBYFLOAT: 64 bits of mantissa, 17 decimals.
//!
//! Redis computes these commands in the x87's 80-bit format and the results show it: `0.1` plus
//! `0.2` is `0.3`, where doubles say otherwise. Machines differ, so it is done here in integers:
//! text to the nearest 64-bit mantissa (ties to even), one exact addition rounded the same way, and
//! back to text with 17 decimals of which trailing zeros go. Left out: denormals (all of them print
//! as `0`), NaN.
//!
//! Bounds: texts under 5 KiB; numbers beyond the format's range are refused by counting digits,
//! before any large number is built, so that the largest has about 34,000 bits.

use super::natural::Natural;

/// The longest text, in bytes, is shorter than this.
const TEXT_BYTES: usize = 5 * 1024;
/// Two to this power and above is infinite.
const EXPONENT_END: i32 = 16384;
/// What is smaller than two to this power reads as zero: half of the smallest denormal.
const EXPONENT_ZERO: i32 = -16446;
/// Decimal exponents beyond this are out of range for every text that is accepted.
const DECIMAL_END: i64 = 4960;
/// Stands for an exponent too long to read; larger than any text can make up for.
const EXPONENT_ABSURD: i64 = 1_000_000;
/// Ten to the power of the decimals that are written.
const DECIMALS: u128 = 100_000_000_000_000_000;

/// A finite number, or an infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    /// Zero, or a number with its top bit set.
    mantissa: u64,
    /// The number is the mantissa times two to this power; `EXPONENT_END` for an infinity.
    exponent: i32,
}

impl LongDouble {
    /// Zero.
    pub const ZERO: LongDouble = LongDouble { negative: false, mantissa: 0, exponent: 0 };

    /// The largest finite number.
    pub const MAX: LongDouble =
        LongDouble { negative: false, mantissa: u64::MAX, exponent: EXPONENT_END - 64 };

    /// Reads a decimal or hexadecimal float or an infinity, by the rules of C's `strtold`.
    ///
    /// None if it is not a number, is NaN, begins with a space, or is too large or small to hold.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= TEXT_BYTES {
            return None;
        }
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Some(LongDouble { negative, ..LongDouble::infinity() });
        }
        let magnitude = match text {
            [b'0', b'x' | b'X', digits @ ..] => hexadecimal(digits)?,
            digits => decimal(digits)?,
        };
        Some(LongDouble { negative, ..magnitude })
    }

    /// False for an infinity, which Redis refuses to store.
    pub fn is_finite(self) -> bool {
        self.exponent != EXPONENT_END
    }

    /// The sum, rounded once. An infinity in is an infinity out.
    #[expect(clippy::should_implement_trait, reason = "infinities do not cancel out to NaN here")]
    pub fn add(self, other: LongDouble) -> LongDouble {
        let ordered = self.exponent >= other.exponent;
        let (large, small) = if ordered { (self, other) } else { (other, self) };
        if !self.is_finite() || !other.is_finite() {
            return large;
        }
        if self.mantissa == 0 || other.mantissa == 0 {
            return if self.mantissa == 0 { other } else { self };
        }
        // 62 bits below the larger mantissa hold what the smaller has there; what falls off even
        // those is remembered in the last of them, which is far below the one that is rounded.
        let distance = large.exponent.abs_diff(small.exponent);
        let (left, right) = (u128::from(large.mantissa) << 62, u128::from(small.mantissa) << 62);
        let kept = right.checked_shr(distance).unwrap_or(0);
        let lost = kept.checked_shl(distance).unwrap_or(0) != right;
        let right = kept | u128::from(lost);
        let (sum, negative) = if large.negative == small.negative {
            (left + right, large.negative)
        } else if left >= right {
            (left - right, large.negative && left != right)
        } else {
            (right - left, small.negative)
        };
        LongDouble { negative, ..LongDouble::round(sum, large.exponent - 62, false) }
    }

    /// The number with the other sign.
    pub fn negated(self) -> LongDouble {
        LongDouble { negative: !self.negative, ..self }
    }

    /// True when the number is smaller than another.
    pub fn is_less(self, other: LongDouble) -> bool {
        let difference = self.add(other.negated());
        self != other && difference.negative && difference.mantissa != 0
    }

    /// Appends the number as Redis writes it: up to 17 decimals, no exponent, no `-0`.
    pub fn write(self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        if !self.is_finite() {
            out.extend_from_slice(b"inf");
            return;
        }
        let Ok(below) = u32::try_from(-self.exponent) else {
            out.extend(
                Natural::shifted(self.mantissa, self.exponent.unsigned_abs()).into_decimal(),
            );
            return;
        };
        let units = round_shift(u128::from(self.mantissa) * DECIMALS, below);
        if units == 0 {
            out.truncate(start);
        }
        out.extend_from_slice(itoa::Buffer::new().format(units / DECIMALS).as_bytes());
        let decimals = units % DECIMALS;
        if decimals > 0 {
            // The one in front keeps the leading zeros, and becomes the point.
            let point = out.len();
            out.extend_from_slice(itoa::Buffer::new().format(DECIMALS + decimals).as_bytes());
            out[point] = b'.';
            let end = out.iter().rposition(|byte| *byte != b'0').map_or(point, |last| last + 1);
            out.truncate(end);
        }
    }

    fn infinity() -> LongDouble {
        LongDouble { negative: false, mantissa: 1 << 63, exponent: EXPONENT_END }
    }

    /// The nearest number to `wide` times two to `exponent`, ties to even. `more` says that the
    /// exact number is larger by less than one unit of `wide`, which then has at least 66 bits.
    fn round(wide: u128, exponent: i32, more: bool) -> LongDouble {
        if wide == 0 {
            return LongDouble::ZERO;
        }
        let bits = 128 - wide.leading_zeros();
        let exponent = exponent + bits as i32 - 64;
        let (mantissa, exponent) = match bits.checked_sub(64) {
            None => ((wide << (64 - bits)) as u64, exponent),
            Some(excess) => {
                let wide = if more { wide | 1 } else { wide };
                match u64::try_from(round_shift(wide, excess)) {
                    Ok(mantissa) => (mantissa, exponent),
                    Err(_) => (1 << 63, exponent + 1),
                }
            }
        };
        if exponent + 64 > EXPONENT_END {
            return LongDouble::infinity();
        }
        LongDouble { negative: false, mantissa, exponent }
    }

    /// Refuses what C reports as out of range.
    fn in_range(self) -> Option<LongDouble> {
        let vanishes = self.mantissa != 0 && self.exponent + 63 < EXPONENT_ZERO;
        (self.is_finite() && !vanishes).then_some(self)
    }
}

/// `number` without its lowest `bits`, to the nearest, ties to even.
fn round_shift(number: u128, bits: u32) -> u128 {
    if bits == 0 || bits > 127 {
        // Numbers here have under 127 bits unless `bits` is small, so all of them vanish.
        return if bits == 0 { number } else { 0 };
    }
    let kept = number >> bits;
    let (rest, half) = (number & ((1 << bits) - 1), 1 << (bits - 1));
    kept + u128::from(rest > half || (rest == half && kept & 1 == 1))
}

/// Digits before and after the point and the exponent behind `mark`; none if it is no number.
fn split(text: &[u8], mark: u8) -> Option<(&[u8], &[u8], i64)> {
    let end = text.iter().position(|byte| byte.to_ascii_lowercase() == mark);
    let (digits, exponent) = match end {
        Some(end) => (&text[..end], exponent(&text[end + 1..])?),
        None => (text, 0),
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    let hexadecimal = mark == b'p';
    let is_digit =
        |byte: &u8| if hexadecimal { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
    let sound = whole.iter().chain(fraction).all(is_digit) && whole.len() + fraction.len() > 0;
    sound.then_some((whole, fraction, exponent))
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits
        .iter()
        .fold(0, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(EXPONENT_ABSURD));
    Some(if negative { -size } else { size })
}

fn decimal(text: &[u8]) -> Option<LongDouble> {
    let (whole, fraction, exponent) = split(text, b'e')?;
    let digits = || whole.iter().chain(fraction).map(|digit| digit - b'0').skip_while(|d| *d == 0);
    let count = digits().count() as i64;
    let scale = exponent - fraction.len() as i64;
    if count == 0 {
        return Some(LongDouble::ZERO);
    }
    if (count + scale).abs() > DECIMAL_END {
        return None;
    }
    let mut number = Natural::from_digits(digits());
    let power = scale.unsigned_abs() as u32;
    if scale >= 0 {
        number.multiply_power_of_ten(power);
        let (top, below, more) = number.top();
        return LongDouble::round(top, below as i32, more).in_range();
    }
    let mut divisor = Natural::from_digits([1].into_iter());
    divisor.multiply_power_of_ten(power);
    divide(number, divisor).in_range()
}

/// The nearest number to a quotient: 67 bits of it, one at a time, and whether anything is left.
fn divide(mut number: Natural, mut divisor: Natural) -> LongDouble {
    let shift = number.bits() as i32 - divisor.bits() as i32;
    if shift < 0 {
        number.shift_left(shift.unsigned_abs());
    } else {
        divisor.shift_left(shift.unsigned_abs());
    }
    let mut quotient = 0;
    for _ in 0..67 {
        quotient = quotient << 1 | u128::from(number.subtract_if_fits(&divisor));
        number.shift_left(1);
    }
    LongDouble::round(quotient, shift - 66, !number.is_zero())
}

fn hexadecimal(text: &[u8]) -> Option<LongDouble> {
    let (whole, fraction, exponent) = split(text, b'p')?;
    let (mut number, mut dropped, mut more) = (0u128, 0, false);
    for digit in whole.iter().chain(fraction) {
        let digit = char::from(*digit).to_digit(16)?;
        if number >> 120 == 0 {
            number = number << 4 | u128::from(digit);
        } else {
            dropped += 4;
            more |= digit != 0;
        }
    }
    let exponent = (exponent + dropped - 4 * fraction.len() as i64) as i32;
    LongDouble::round(number, exponent, more).in_range()
}

#[cfg(test)]
mod tests;
