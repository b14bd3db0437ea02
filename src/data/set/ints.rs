//! Whole numbers in order, in two, four or eight bytes each: a set of integers that is small.
//!
//! ```text
//! width 1 | number | number | ...        little-endian, ascending
//! ```
//!
//! The width is the least that fits every number that was ever in it; it does not shrink.

use std::ops::Range;

use crate::data::blob::Blob;

/// A sorted row of whole numbers, none twice.
#[derive(Clone, Debug)]
pub struct Ints {
    blob: Blob,
}

const HEAD: usize = 1;

impl Default for Ints {
    fn default() -> Ints {
        let mut blob = Blob::default();
        blob.splice(0..0, &[&[2]]);
        Ints { blob }
    }
}

impl Ints {
    /// How many there are.
    pub fn len(&self) -> usize {
        (self.blob.len() - HEAD) / self.width()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that they take from the allocator.
    pub fn memory(&self) -> usize {
        self.blob.memory()
    }

    /// The blob, to be given to [`Ints::from_blob`].
    pub fn into_blob(self) -> Blob {
        self.blob
    }

    /// The numbers again, from what [`Ints::into_blob`] gave.
    pub fn from_blob(blob: Blob) -> Ints {
        Ints { blob }
    }

    /// The number at `index`, counted from the smallest.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        let range = self.place(index);
        let bytes = self.blob.get(range)?;
        match *bytes {
            [a, b] => Some(i16::from_le_bytes([a, b]).into()),
            [a, b, c, d] => Some(i32::from_le_bytes([a, b, c, d]).into()),
            _ => bytes.try_into().ok().map(i64::from_le_bytes),
        }
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = i64> + use<'_> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// True when `number` is among them.
    pub fn contains(&self, number: i64) -> bool {
        self.find(number).is_ok()
    }

    /// Adds a number. Returns false when it is there already.
    pub fn insert(&mut self, number: i64) -> bool {
        let Err(index) = self.find(number) else { return false };
        let width = width_of(number);
        if width > self.width() {
            self.widen(width);
        }
        let at = self.place(index).start;
        let width = self.width();
        self.blob.splice(at..at, &[&number.to_le_bytes()[..width]]);
        true
    }

    /// Takes a number out. Returns false when it is not there.
    pub fn remove(&mut self, number: i64) -> bool {
        let Ok(index) = self.find(number) else { return false };
        let range = self.place(index);
        self.blob.splice(range, &[]);
        true
    }

    fn width(&self) -> usize {
        usize::from(self.blob[0])
    }

    fn place(&self, index: usize) -> Range<usize> {
        let start = HEAD + index * self.width();
        start..start + self.width()
    }

    /// Where a number stands, or where it would.
    fn find(&self, number: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle) {
                Some(there) if there == number => return Ok(middle),
                Some(there) if there < number => low = middle + 1,
                _ => high = middle,
            }
        }
        Err(low)
    }

    fn widen(&mut self, width: usize) {
        let mut wide = Vec::with_capacity(HEAD + self.len() * width);
        wide.push(width as u8);
        for number in self.iter() {
            wide.extend_from_slice(&number.to_le_bytes()[..width]);
        }
        let end = self.blob.len();
        self.blob.splice(0..end, &[&wide]);
    }
}

fn width_of(number: i64) -> usize {
    if i16::try_from(number).is_ok() {
        2
    } else if i32::try_from(number).is_ok() {
        4
    } else {
        8
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn random_changes_agree_with_a_sorted_set() {
        let seed = 5;
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..60 {
            let (mut ints, mut model) = (Ints::default(), BTreeSet::new());
            for _ in 0..200 {
                let number = match random.u8(..10) {
                    0 if round % 3 > 0 => random.i64(-70_000..70_000),
                    1 if round % 3 > 1 => random.i64(..),
                    2 if round % 3 > 1 => [i64::MIN, i64::MAX][random.usize(..2)],
                    _ => random.i64(-60..60),
                };
                assert_eq!(ints.contains(number), model.contains(&number), "seed {seed}");
                if random.bool() {
                    assert_eq!(ints.insert(number), model.insert(number));
                } else {
                    assert_eq!(ints.remove(number), model.remove(&number));
                }
                assert!(ints.iter().eq(model.iter().copied()));
                assert_eq!((ints.len(), ints.get(model.len())), (model.len(), None));
            }
        }
    }

    #[test]
    fn numbers_take_as_many_bytes_as_the_widest() {
        let mut ints = Ints::default();
        for (number, len) in [(32_767, 3), (-32_768, 5), (32_768, 13), (i64::MIN, 33)] {
            ints.insert(number);
            assert_eq!(ints.blob.len(), len, "{number}");
        }
        (0..10).for_each(|number| _ = ints.insert(number));
        let copy = Ints::from_blob(ints.clone().into_blob());
        assert!(copy.iter().eq(ints.iter()) && copy.memory() >= 8 * 14);
    }
}
