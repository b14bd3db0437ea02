//! HyperLogLog: how many different elements were seen, within 0.81 percent, in 12 KB at most.
//!
//! The algorithm is Flajolet's: the hash of an element names one of 16,384 registers and a rank
//! (one more than the zero bits that follow), and a register keeps the highest rank that it was
//! given. `estimate` turns the registers into a number.
//!
//! A value is a string in Redis's format, byte for byte, so that clients can GET it here and SET it
//! there:
//!
//! ```text
//! "HYLL" 4 | encoding 1 | zeros 3 | cached number 8, lowest byte first | registers
//! ```
//!
//! The highest bit of the cached number says that it is out of date. Registers are [`dense`] (6
//! bits each) or [`sparse`] (runs of equal ones), and never go back from dense to sparse. A value
//! that a client made up may hold anything: every function here checks what it reads.

pub mod dense;
pub mod estimate;
pub mod sparse;

use crate::base::murmur::murmur64a;

/// Registers of a value.
pub const REGISTERS: usize = 1 << INDEX_BITS;

/// Bits of a hash that name a register.
const INDEX_BITS: u32 = 14;

/// Bits of a hash that a rank is taken from; the highest rank is one more.
const RANK_BITS: u32 = 64 - INDEX_BITS;

/// The seed of the hash in every value of the format.
const SEED: u64 = 0xadc8_3b19;

/// Bytes before the registers.
pub const HEADER: usize = 16;

const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING_AT: usize = 4;
const CACHE_AT: usize = 8;
const STALE_AT: usize = HEADER - 1;
const STALE: u8 = 0x80;

/// How registers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 6 bits each.
    Dense,
    /// Runs of equal ones.
    Sparse,
}

/// The registers of a value do not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupted;

/// The registers of a value, or the highest of several values, one a byte.
pub type Registers = [u8; REGISTERS];

/// A value that has seen nothing.
pub fn empty() -> Vec<u8> {
    let mut value = header(Encoding::Sparse);
    value.extend_from_slice(&sparse::EMPTY);
    value
}

fn header(encoding: Encoding) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..ENCODING_AT].copy_from_slice(MAGIC);
    bytes[ENCODING_AT] = match encoding {
        Encoding::Dense => 0,
        Encoding::Sparse => 1,
    };
    bytes
}

/// The encoding of a value; none when the string is no HyperLogLog.
pub fn encoding(value: &[u8]) -> Option<Encoding> {
    if value.len() < HEADER || !value.starts_with(MAGIC) {
        return None;
    }
    match value[ENCODING_AT] {
        0 => (value.len() == dense::BYTES).then_some(Encoding::Dense),
        1 => Some(Encoding::Sparse),
        _ => None,
    }
}

/// The number that was estimated last, if it still holds.
pub fn cached(value: &[u8]) -> Option<u64> {
    let number = value.get(CACHE_AT..HEADER)?.try_into().map(u64::from_le_bytes).ok()?;
    (value[STALE_AT] & STALE == 0).then_some(number)
}

/// Keeps an estimate.
pub fn set_cached(value: &mut [u8], number: u64) {
    value[CACHE_AT..HEADER].copy_from_slice(&number.to_le_bytes());
}

/// The registers change: the estimate does not hold any more.
pub fn forget_cached(value: &mut [u8]) {
    value[STALE_AT] |= STALE;
}

/// The register that an element belongs to, and its rank there.
pub fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element, SEED);
    let index = hash as usize & (REGISTERS - 1);
    // The one at the end bounds the rank.
    let rest = hash >> INDEX_BITS | 1 << RANK_BITS;
    (index, rest.trailing_zeros() as u8 + 1)
}

/// Raises a register to `rank`, if it is lower. A sparse value becomes dense rather than longer
/// than `sparse_bytes_max` bytes, its header included. Returns whether the register was raised; the
/// caller forgets the estimate.
///
/// # Errors
/// [`Corrupted`] when a sparse value does not have the register.
pub fn raise(
    value: &mut Vec<u8>,
    index: usize,
    rank: u8,
    sparse_bytes_max: u64,
) -> Result<bool, Corrupted> {
    match encoding(value) {
        Some(Encoding::Dense) => Ok(dense::raise(value, index, rank)),
        Some(Encoding::Sparse) => match sparse::raise(value, index, rank, sparse_bytes_max)? {
            sparse::Raised::Not => Ok(false),
            sparse::Raised::InPlace => Ok(true),
            sparse::Raised::NoRoom => {
                make_dense(value)?;
                Ok(dense::raise(value, index, rank))
            }
        },
        None => Err(Corrupted),
    }
}

/// Makes a sparse value dense; the estimate stays.
///
/// # Errors
/// [`Corrupted`]; the value stays as it is.
pub fn make_dense(value: &mut Vec<u8>) -> Result<(), Corrupted> {
    let mut registers = [0; REGISTERS];
    take_highest(value, &mut registers)?;
    let mut bytes = header(Encoding::Dense);
    bytes[ENCODING_AT + 1..].copy_from_slice(&value[ENCODING_AT + 1..HEADER]);
    bytes.resize(dense::BYTES, 0);
    dense::write_all(&mut bytes, &registers);
    *value = bytes;
    Ok(())
}

/// Raises each of `registers` to what it is in a value.
///
/// # Errors
/// [`Corrupted`]; some registers may have been raised.
pub fn take_highest(value: &[u8], registers: &mut Registers) -> Result<(), Corrupted> {
    match encoding(value) {
        Some(Encoding::Dense) => {
            for (register, there) in registers.iter_mut().zip(dense::all(value)) {
                *register = (*register).max(there);
            }
            Ok(())
        }
        Some(Encoding::Sparse) => sparse::take_highest(value, registers),
        None => Err(Corrupted),
    }
}

/// How many different elements a value has seen, estimated from its registers.
///
/// # Errors
/// [`Corrupted`].
pub fn count(value: &[u8]) -> Result<u64, Corrupted> {
    let mut histogram = estimate::Histogram::default();
    match encoding(value) {
        Some(Encoding::Dense) => dense::all(value).for_each(|rank| histogram.add(rank, 1)),
        Some(Encoding::Sparse) => sparse::count_ranks(value, &mut histogram)?,
        None => return Err(Corrupted),
    }
    Ok(histogram.estimate())
}

/// How many different elements were seen, estimated from registers.
pub fn count_registers(registers: &Registers) -> u64 {
    let mut histogram = estimate::Histogram::default();
    registers.iter().for_each(|rank| histogram.add(*rank, 1));
    histogram.estimate()
}

#[cfg(test)]
mod tests;
