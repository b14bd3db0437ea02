//! The decimal digits of a double that read back as the same one.
//!
//! Grisu2 (F. Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers", PLDI
//! 2010): the number and the two places halfway to its neighbours are multiplied by a power of ten
//! that makes them whole numbers and a rest, with 64 bits each; digits of the upper place are taken
//! until what is left lies between the two, and the last one is turned down towards the number. It
//! errs by less than the space that it leaves free, so it always reads back, but in one case of six
//! hundred a digit more than needed is given, or not the nearest last one: which, hangs on the
//! powers that it has. They are those that Valkey has, whose texts these are to be.

/// The bit that a normal number has in front of its 52.
const HIDDEN: u64 = 1 << 52;

/// The least exponent of a scaled number.
const EXPONENT_MIN: i32 = -60;

/// The first exponent of ten of [`POWERS`], and how far they are apart.
const POWER_FIRST: i32 = -348;
const POWER_STEP: i32 = 8;

/// More digits are never needed.
pub(super) const DIGITS_MAX: usize = 18;

/// Digits without a point.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Digits {
    pub(super) bytes: [u8; DIGITS_MAX],
    pub(super) count: usize,
    /// The power of ten of the last one.
    pub(super) scale: i32,
}

impl Digits {
    /// Those of a finite number above zero.
    pub(super) fn of(number: f64) -> Digits {
        let bits = number.to_bits();
        let value = match (bits >> 52) as i32 {
            0 => Binary { fraction: bits, exponent: -1074 },
            biased => Binary { fraction: bits % HIDDEN + HIDDEN, exponent: biased - 1075 },
        };
        let upper = Binary { fraction: 2 * value.fraction + 1, exponent: value.exponent - 1 };
        let upper = upper.normal();
        // Below a power of two the next number is half as far away.
        let shift = if value.fraction == HIDDEN { 2 } else { 1 };
        let lower = (value.fraction << shift) - 1;
        let lower = Binary {
            fraction: lower << (value.exponent - shift - upper.exponent),
            exponent: upper.exponent,
        };
        let (power, scale) = power_for(upper.exponent);
        let (value, upper, lower) = (value.normal().by(power), upper.by(power), lower.by(power));
        let mut digits = Digits { scale: -scale, ..Digits::default() };
        // Each product may be off by one.
        digits.generate(value.fraction, upper.fraction - 1, lower.fraction + 1, upper.exponent);
        digits
    }

    /// Takes digits of `upper` until the rest is less than `upper` is above `lower`.
    fn generate(&mut self, value: u64, upper: u64, lower: u64, exponent: i32) {
        let one = 1u64 << -exponent;
        let (free, above) = (upper - lower, upper - value);
        let (mut whole, mut rest) = (upper >> -exponent, upper & (one - 1));
        let mut place = 10_i32;
        let mut unit = 1_000_000_000;
        while unit > 0 {
            self.push(whole / unit);
            whole %= unit;
            place -= 1;
            let left = (whole << -exponent) + rest;
            if left <= free {
                self.scale += place;
                return self.turn_down(free, left, unit << -exponent, above);
            }
            unit /= 10;
        }
        let (mut free, mut above) = (free, above);
        loop {
            rest *= 10;
            free *= 10;
            above = above.saturating_mul(10);
            place -= 1;
            self.push(rest >> -exponent);
            rest &= one - 1;
            if rest < free {
                self.scale += place;
                return self.turn_down(free, rest, one, above);
            }
        }
    }

    /// Appends a digit, unless it would be a zero in front.
    fn push(&mut self, digit: u64) {
        if digit > 0 || self.count > 0 {
            self.bytes[self.count] = b'0' + digit as u8;
            self.count += 1;
        }
    }

    /// Lowers the last digit, of which one is worth `unit`, as long as that comes nearer to what is
    /// `above` lower than where `left` began.
    fn turn_down(&mut self, free: u64, left: u64, unit: u64, above: u64) {
        let mut left = left;
        while left < above
            && free - left >= unit
            && (left + unit < above || above - left > left + unit - above)
        {
            self.bytes[self.count - 1] -= 1;
            left += unit;
        }
    }
}

/// `fraction` times two to the power of `exponent`.
#[derive(Clone, Copy, Debug)]
struct Binary {
    fraction: u64,
    exponent: i32,
}

impl Binary {
    /// The same with the highest bit set.
    fn normal(self) -> Binary {
        let shift = self.fraction.leading_zeros();
        Binary { fraction: self.fraction << shift, exponent: self.exponent - shift as i32 }
    }

    /// The product, rounded to 64 bits.
    fn by(self, other: Binary) -> Binary {
        let product = u128::from(self.fraction) * u128::from(other.fraction) + (1 << 63);
        Binary { fraction: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// The least power of ten that brings an exponent to [`EXPONENT_MIN`], and which one it is. Powers
/// are less than 28 binary places apart, so the exponent stays below -32: the whole part of what is
/// scaled has 32 bits at the most.
fn power_for(exponent: i32) -> (Binary, i32) {
    let scaled = |power: i16| exponent + i32::from(power) + 64;
    let index = POWERS.partition_point(|(_, power)| scaled(*power) < EXPONENT_MIN);
    let (fraction, power) = POWERS[index];
    let power = Binary { fraction, exponent: power.into() };
    (power, POWER_FIRST + POWER_STEP * index as i32)
}

/// Powers of ten: 64 bits, rounded to the nearest, and the exponent of two of the last bit.
#[rustfmt::skip]
const POWERS: [(u64, i16); 87] = [
    (0xfa8fd5a0081c0288, -1220), (0xbaaee17fa23ebf76, -1193), (0x8b16fb203055ac76, -1166),
    (0xcf42894a5dce35ea, -1140), (0x9a6bb0aa55653b2d, -1113), (0xe61acf033d1a45df, -1087),
    (0xab70fe17c79ac6ca, -1060), (0xff77b1fcbebcdc4f, -1034), (0xbe5691ef416bd60c, -1007),
    (0x8dd01fad907ffc3c, -980), (0xd3515c2831559a83, -954), (0x9d71ac8fada6c9b5, -927),
    (0xea9c227723ee8bcb, -901), (0xaecc49914078536d, -874), (0x823c12795db6ce57, -847),
    (0xc21094364dfb5637, -821), (0x9096ea6f3848984f, -794), (0xd77485cb25823ac7, -768),
    (0xa086cfcd97bf97f4, -741), (0xef340a98172aace5, -715), (0xb23867fb2a35b28e, -688),
    (0x84c8d4dfd2c63f3b, -661), (0xc5dd44271ad3cdba, -635), (0x936b9fcebb25c996, -608),
    (0xdbac6c247d62a584, -582), (0xa3ab66580d5fdaf6, -555), (0xf3e2f893dec3f126, -529),
    (0xb5b5ada8aaff80b8, -502), (0x87625f056c7c4a8b, -475), (0xc9bcff6034c13053, -449),
    (0x964e858c91ba2655, -422), (0xdff9772470297ebd, -396), (0xa6dfbd9fb8e5b88f, -369),
    (0xf8a95fcf88747d94, -343), (0xb94470938fa89bcf, -316), (0x8a08f0f8bf0f156b, -289),
    (0xcdb02555653131b6, -263), (0x993fe2c6d07b7fac, -236), (0xe45c10c42a2b3b06, -210),
    (0xaa242499697392d3, -183), (0xfd87b5f28300ca0e, -157), (0xbce5086492111aeb, -130),
    (0x8cbccc096f5088cc, -103), (0xd1b71758e219652c, -77), (0x9c40000000000000, -50),
    (0xe8d4a51000000000, -24), (0xad78ebc5ac620000, 3), (0x813f3978f8940984, 30),
    (0xc097ce7bc90715b3, 56), (0x8f7e32ce7bea5c70, 83), (0xd5d238a4abe98068, 109),
    (0x9f4f2726179a2245, 136), (0xed63a231d4c4fb27, 162), (0xb0de65388cc8ada8, 189),
    (0x83c7088e1aab65db, 216), (0xc45d1df942711d9a, 242), (0x924d692ca61be758, 269),
    (0xda01ee641a708dea, 295), (0xa26da3999aef774a, 322), (0xf209787bb47d6b85, 348),
    (0xb454e4a179dd1877, 375), (0x865b86925b9bc5c2, 402), (0xc83553c5c8965d3d, 428),
    (0x952ab45cfa97a0b3, 455), (0xde469fbd99a05fe3, 481), (0xa59bc234db398c25, 508),
    (0xf6c69a72a3989f5c, 534), (0xb7dcbf5354e9bece, 561), (0x88fcf317f22241e2, 588),
    (0xcc20ce9bd35c78a5, 614), (0x98165af37b2153df, 641), (0xe2a0b5dc971f303a, 667),
    (0xa8d9d1535ce3b396, 694), (0xfb9b7cd9a4a7443c, 720), (0xbb764c4ca7a44410, 747),
    (0x8bab8eefb6409c1a, 774), (0xd01fef10a657842c, 800), (0x9b10a4e5e9913129, 827),
    (0xe7109bfba19c0c9d, 853), (0xac2820d9623bf429, 880), (0x80444b5e7aa7cf85, 907),
    (0xbf21e44003acdd2d, 933), (0x8e679c2f5e44ff8f, 960), (0xd433179d9c8cb841, 986),
    (0x9e19db92b4e31ba9, 1013), (0xeb96bf6ebadf77d9, 1039), (0xaf87023b9bf0ee6b, 1066),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_ten() {
        for (index, (fraction, exponent)) in POWERS.iter().enumerate() {
            let power = POWER_FIRST + POWER_STEP * index as i32;
            let number = *fraction as f64 * 2f64.powi(i32::from(*exponent) / 2);
            let number = number * 2f64.powi(i32::from(*exponent) - i32::from(*exponent) / 2);
            let expected: f64 = format!("1e{power}").parse().unwrap();
            if expected.is_normal() {
                assert!((number / expected - 1.0).abs() < 1e-14, "{power}");
            }
        }
    }

    /// As Valkey 9.1.2 writes them; of the first, fewer would do.
    #[test]
    fn digits_are_valkeys() {
        let cases: [(f64, &str, i32); 6] = [
            (1e23, "9999999999999999", 7),
            (5e-324, "5", -324),
            (f64::MAX, "17976931348623157", 292),
            (f64::MIN_POSITIVE, "22250738585072014", -324),
            (0.1, "1", -1),
            (123456.789, "123456789", -3),
        ];
        for (number, expected, scale) in cases {
            let digits = Digits::of(number);
            let text = std::str::from_utf8(&digits.bytes[..digits.count]).unwrap();
            assert_eq!((text, digits.scale), (expected, scale), "{number:e}");
        }
    }
}
