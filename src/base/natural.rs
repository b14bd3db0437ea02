//! Natural numbers of any size, as far as exact decimal conversion needs them.
//!
//! Callers bound the size: nothing here may be reached with an exponent that a client chose freely.
//! Left out: everything but the few operations that [`long_double`](super::long_double) uses.

use std::cmp::Ordering;

/// Nineteen digits fit in a limb.
const CHUNK: u64 = 10_000_000_000_000_000_000;
const CHUNK_DIGITS: u32 = 19;

/// Limbs of 64 bits, lowest first, without a zero on top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Natural(Vec<u64>);

impl Natural {
    pub(super) fn from_digits(digits: impl Iterator<Item = u8>) -> Natural {
        let mut number = Natural::default();
        let (mut chunk, mut scale) = (0, 1);
        for digit in digits {
            chunk = chunk * 10 + u64::from(digit);
            scale *= 10;
            if scale == CHUNK {
                number.multiply_add(scale, chunk);
                (chunk, scale) = (0, 1);
            }
        }
        number.multiply_add(scale, chunk);
        number
    }

    /// `number` times two to the power of `exponent`.
    pub(super) fn shifted(number: u64, exponent: u32) -> Natural {
        let mut shifted = Natural(vec![number]);
        shifted.shift_left(exponent);
        shifted
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bits it has.
    pub(super) fn bits(&self) -> u32 {
        let limbs = self.0.len() as u32;
        self.0.last().map_or(0, |top| limbs * 64 - top.leading_zeros())
    }

    pub(super) fn multiply_power_of_ten(&mut self, exponent: u32) {
        for _ in 0..exponent / CHUNK_DIGITS {
            self.multiply_add(CHUNK, 0);
        }
        self.multiply_add(10u64.pow(exponent % CHUNK_DIGITS), 0);
    }

    pub(super) fn shift_left(&mut self, bits: u32) {
        self.multiply_add(1 << (bits % 64), 0);
        if !self.is_zero() && bits >= 64 {
            self.0.splice(0..0, std::iter::repeat_n(0, bits as usize / 64));
        }
    }

    /// The top 128 bits, how many bits lie below them, and whether any of those is set.
    pub(super) fn top(&self) -> (u128, u32, bool) {
        let below = self.bits().saturating_sub(128);
        let (limbs, bits) = ((below / 64) as usize, below % 64);
        let limb = |index: usize| u128::from(self.0.get(limbs + index).copied().unwrap_or(0));
        let low = limb(0) | limb(1) << 64;
        let top = if bits == 0 { low } else { low >> bits | limb(2) << (128 - bits) };
        let lost = self.0[..limbs.min(self.0.len())].iter().any(|limb| *limb != 0)
            || limb(0) & ((1 << bits) - 1) != 0;
        (top, below, lost)
    }

    /// Takes `other` away if it is not larger; whether it was.
    pub(super) fn subtract_if_fits(&mut self, other: &Natural) -> bool {
        let order = self.0.len().cmp(&other.0.len());
        let order = order.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()));
        if order == Ordering::Less {
            return false;
        }
        let mut borrow = false;
        for (index, limb) in self.0.iter_mut().enumerate() {
            let taken = other.0.get(index).copied().unwrap_or(0);
            let (less, first) = limb.overflowing_sub(taken);
            let (less, second) = less.overflowing_sub(u64::from(borrow));
            *limb = less;
            borrow = first || second;
        }
        self.trim();
        true
    }

    /// The decimal digits.
    pub(super) fn into_decimal(mut self) -> Vec<u8> {
        let mut digits = Vec::new();
        while !self.is_zero() {
            let mut chunk = self.divide_by_chunk();
            for _ in 0..CHUNK_DIGITS {
                digits.push(b'0' + (chunk % 10) as u8);
                chunk /= 10;
            }
        }
        let significant = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0);
        digits.truncate(significant + 1);
        digits.reverse();
        digits
    }

    fn multiply_add(&mut self, factor: u64, add: u64) {
        let mut carry = u128::from(add);
        for limb in &mut self.0 {
            carry += u128::from(*limb) * u128::from(factor);
            *limb = carry as u64;
            carry >>= 64;
        }
        if carry > 0 {
            self.0.push(carry as u64);
        }
        self.trim();
    }

    /// Divides by `CHUNK`; the remainder.
    fn divide_by_chunk(&mut self) -> u64 {
        let mut remainder = 0;
        for limb in self.0.iter_mut().rev() {
            let part = u128::from(remainder) << 64 | u128::from(*limb);
            *limb = (part / u128::from(CHUNK)) as u64;
            remainder = (part % u128::from(CHUNK)) as u64;
        }
        self.trim();
        remainder
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn natural(number: u128) -> Natural {
        Natural::from_digits(number.to_string().bytes().map(|digit| digit - b'0'))
    }

    #[test]
    fn it_agrees_with_machine_integers() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..20_000 {
            let left = random.u128(..) >> random.u32(0..128);
            let right = random.u128(..) >> random.u32(0..128);
            let mut number = natural(left);
            assert_eq!(number.bits(), 128 - left.leading_zeros());
            assert_eq!(number.top(), (left, 0, false));
            assert_eq!(number.subtract_if_fits(&natural(right)), left >= right);
            assert_eq!(number, natural(left.checked_sub(right).unwrap_or(left)));
            let small = left as u64;
            let by = random.u32(0..=64);
            assert_eq!(Natural::shifted(small, by), natural(u128::from(small) << by));
            if left > 0 {
                assert_eq!(natural(left).into_decimal(), left.to_string().into_bytes());
            }
        }
    }

    #[test]
    fn large_numbers_keep_every_digit() {
        let mut number = natural(12345);
        number.multiply_power_of_ten(100);
        assert_eq!(number.clone().into_decimal(), format!("12345{}", "0".repeat(100)).into_bytes());
        let (top, below, lost) = number.top();
        assert_eq!((128 - top.leading_zeros(), below, lost), (128, number.bits() - 128, true));
        let low = Natural::shifted(top as u64, below);
        let high = Natural::shifted((top >> 64) as u64, below + 64);
        assert!(number.subtract_if_fits(&high) && number.subtract_if_fits(&low));
        assert!(number.bits() <= below);
    }
}
