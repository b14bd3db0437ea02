//! Strings as arrays of bits: counting, finding, combining, and numbers of any width inside.
//!
//! Bit 0 is the highest of byte 0. Every function passes over whole words or lets the compiler use
//! its widest registers: the loops over bytes below have no branches, so they become vector code.
//! Positions are checked by the callers; what lies behind the end of a string reads as zero.

/// The bit at a position; false behind the end.
#[inline]
pub fn get(bytes: &[u8], at: u64) -> bool {
    let byte = usize::try_from(at / 8).ok().and_then(|index| bytes.get(index));
    byte.is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
}

/// Sets the bit at a position to `on`.
///
/// # Panics
/// When the position lies behind the end.
#[inline]
pub fn set(bytes: &mut [u8], at: u64, on: bool) {
    let (byte, mask) = (&mut bytes[(at / 8) as usize], 0x80 >> (at % 8));
    *byte = if on { *byte | mask } else { *byte & !mask };
}

/// How many bits are set.
pub fn count(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let in_words: u64 =
        words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    in_words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// How many of the bits `from..=to` are set.
///
/// # Panics
/// When a position lies behind the end.
pub fn count_between(bytes: &[u8], from: u64, to: u64) -> u64 {
    if from > to {
        return 0;
    }
    let (first, last) = ((from / 8) as usize, (to / 8) as usize);
    let before = bytes[first] & !(0xff >> (from % 8));
    let after = bytes[last] & (0x7f >> (to % 8));
    count(&bytes[first..=last]) - u64::from(before.count_ones() + after.count_ones())
}

/// The first of the bits `from..=to` that is `on`.
///
/// # Panics
/// When a position lies behind the end.
pub fn find(bytes: &[u8], on: bool, from: u64, to: u64) -> Option<u64> {
    if from > to {
        return None;
    }
    let dull = if on { 0x00 } else { 0xff };
    let (first, last) = ((from / 8) as usize, (to / 8) as usize);
    let found = |at: usize| {
        let mut wanted = bytes[at] ^ dull;
        if at == first {
            wanted &= 0xff >> (from % 8);
        }
        if at == last {
            wanted &= !(0x7f >> (to % 8));
        }
        (wanted != 0).then(|| at as u64 * 8 + u64::from(wanted.leading_zeros()))
    };
    found(first).or_else(|| {
        let between = bytes.get(first + 1..last).unwrap_or(&[]);
        let next = first + 1 + run_of(between, dull);
        (next..=last).find_map(found)
    })
}

/// How many bytes at the start are `byte`.
fn run_of(bytes: &[u8], byte: u8) -> usize {
    const WIDE: usize = 32;
    let wide = bytes.as_chunks::<WIDE>().0.iter().take_while(|part| **part == [byte; WIDE]).count();
    let rest = &bytes[wide * WIDE..];
    wide * WIDE + rest.iter().take_while(|there| **there == byte).count()
}

/// How strings are combined, bit by bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// In all of them.
    And,
    /// In any of them.
    Or,
    /// In an odd number of them.
    Xor,
    /// Not in the only one.
    Not,
    /// In the first and in none of the others.
    Diff,
    /// In any of the others, but not in the first.
    Diff1,
    /// In the first and in any of the others.
    AndOr,
    /// In exactly one of them.
    One,
}

/// Strings that are being combined, one after another. Shorter ones count as followed by zeros.
#[derive(Debug)]
pub struct Combination {
    operation: Operation,
    strings: usize,
    bytes: Vec<u8>,
    /// What the operation has to remember beside its result: the first string, or (for
    /// [`Operation::One`]) the bits that were there more than once.
    aside: Vec<u8>,
}

impl Combination {
    /// No string yet.
    pub fn new(operation: Operation) -> Combination {
        Combination { operation, strings: 0, bytes: Vec::new(), aside: Vec::new() }
    }

    /// Takes one more string in.
    pub fn add(&mut self, string: &[u8]) {
        let is_first = self.strings == 0;
        self.strings += 1;
        if self.bytes.len() < string.len() {
            self.bytes.resize(string.len(), 0);
        }
        match self.operation {
            Operation::Not => each(&mut self.bytes, string, |_, new| !new),
            Operation::Xor => each(&mut self.bytes, string, |old, new| old ^ new),
            Operation::Or => each(&mut self.bytes, string, |old, new| old | new),
            Operation::And | Operation::Diff if is_first => {
                self.bytes.copy_from_slice(string);
            }
            Operation::And => {
                each(&mut self.bytes, string, |old, new| old & new);
                self.bytes[string.len()..].fill(0);
            }
            Operation::Diff => each(&mut self.bytes, string, |old, new| old & !new),
            Operation::Diff1 | Operation::AndOr if is_first => self.aside = string.to_vec(),
            Operation::Diff1 | Operation::AndOr => {
                each(&mut self.bytes, string, |old, new| old | new);
            }
            Operation::One => {
                self.aside.resize(self.bytes.len(), 0);
                for ((once, more), new) in self.bytes.iter_mut().zip(&mut self.aside).zip(string) {
                    *more |= *once & new;
                    *once |= new;
                }
            }
        }
    }

    /// What came out: as long as the longest string.
    pub fn finish(mut self) -> Vec<u8> {
        match self.operation {
            Operation::Diff1 | Operation::One => {
                each(&mut self.bytes, &self.aside, |old, aside| old & !aside);
            }
            Operation::AndOr => {
                each(&mut self.bytes, &self.aside, |old, aside| old & aside);
                self.bytes[self.aside.len()..].fill(0);
            }
            _ => {}
        }
        self.bytes
    }
}

#[inline]
fn each(bytes: &mut [u8], others: &[u8], combine: impl Fn(u8, u8) -> u8) {
    for (byte, other) in bytes.iter_mut().zip(others) {
        *byte = combine(*byte, *other);
    }
}

/// What happens to a number that its field cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It begins again at the other end.
    Wrap,
    /// It stays at the end.
    Saturate,
    /// It is refused.
    Fail,
}

/// A whole number inside a string: its sign and its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    signed: bool,
    width: u32,
}

impl Field {
    /// A field of `width` bits: at most 64 with a sign, 63 without.
    pub fn new(signed: bool, width: u32) -> Option<Field> {
        let widest = if signed { 64 } else { 63 };
        (1..=widest).contains(&width).then_some(Field { signed, width })
    }

    /// Width in bits.
    pub fn width(self) -> u32 {
        self.width
    }

    /// The number that begins at a bit.
    pub fn read(self, bytes: &[u8], at: u64) -> i64 {
        let start = usize::try_from(at / 8).unwrap_or(usize::MAX).min(bytes.len());
        let there = &bytes[start..bytes.len().min(start + WINDOW)];
        let mut window = [0; size_of::<u128>()];
        window[..there.len()].copy_from_slice(there);
        let wide = u128::from_be_bytes(window) << (at % 8);
        self.of_bits((wide >> (u128::BITS - self.width)) as u64)
    }

    /// Writes a number that fits at a bit.
    ///
    /// # Panics
    /// When the field lies behind the end.
    pub fn write(self, bytes: &mut [u8], at: u64, number: i64) {
        let shift = (at % 8) as u32;
        let start = (at / 8) as usize;
        let touched = (shift + self.width).div_ceil(8) as usize;
        let there = &mut bytes[start..start + touched];
        let mut window = [0; size_of::<u128>()];
        window[..touched].copy_from_slice(there);
        let place = u128::BITS - self.width - shift;
        let mask = u128::from(u64::MAX >> (64 - self.width)) << place;
        let number = (u128::from(number as u64) << place) & mask;
        let wide = u128::from_be_bytes(window) & !mask | number;
        there.copy_from_slice(&wide.to_be_bytes()[..touched]);
    }

    /// The number that a field gets when it is to hold `number`; none where that is refused.
    pub fn hold(self, number: i64, overflow: Overflow) -> Option<i64> {
        // An unsigned field takes a negative number for a very large one. So does a signed one for
        // the lowest, from which the distance to its highest overflows in Redis.
        let (_, most) = self.ends();
        let number = match self.signed {
            true if most - i128::from(number) > i128::from(i64::MAX) && self.width < 64 => {
                i128::from(number as u64)
            }
            true => i128::from(number),
            false => i128::from(number as u64),
        };
        self.fit(number, overflow)
    }

    /// The sum of what a field holds and `by`; none where that is refused.
    pub fn add(self, number: i64, by: i64, overflow: Overflow) -> Option<i64> {
        self.fit(i128::from(number) + i128::from(by), overflow)
    }

    fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = self.ends();
        match overflow {
            _ if (least..=most).contains(&number) => Some(number as i64),
            Overflow::Wrap => Some(self.of_bits(number as u64)),
            Overflow::Saturate => Some(number.clamp(least, most) as i64),
            Overflow::Fail => None,
        }
    }

    /// The lowest and the highest number.
    fn ends(self) -> (i128, i128) {
        match self.signed {
            true => (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1),
            false => (0, (1 << self.width) - 1),
        }
    }

    /// The number that the lowest bits of `bits` stand for.
    fn of_bits(self, bits: u64) -> i64 {
        let unused = 64 - self.width;
        match self.signed {
            true => (bits << unused) as i64 >> unused,
            false => (bits << unused >> unused) as i64,
        }
    }
}

/// Bytes that a field of 64 bits can touch.
const WINDOW: usize = 9;

#[cfg(test)]
mod tests;
