//! Registers of 6 bits each, the lowest bits of a byte first: four registers in three bytes.

use super::{HEADER, REGISTERS, Registers};

/// Bits of a register.
const BITS: usize = 6;

const MASK: u8 = (1 << BITS) - 1;

/// Bytes of a dense value, header included.
pub const BYTES: usize = HEADER + REGISTERS * BITS / 8;

/// A register.
///
/// # Panics
/// When the value is not dense.
pub fn get(value: &[u8], index: usize) -> u8 {
    let (at, shift) = place(index);
    let high = value.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([value[at], high]) >> shift) as u8 & MASK
}

/// Raises a register to `rank` if it is lower; returns whether it was.
///
/// # Panics
/// When the value is not dense.
pub fn raise(value: &mut [u8], index: usize, rank: u8) -> bool {
    if get(value, index) >= rank {
        return false;
    }
    let (at, shift) = place(index);
    let (mask, rank) = (u16::from(MASK) << shift, u16::from(rank) << shift);
    value[at] = value[at] & !(mask as u8) | rank as u8;
    if let Some(high) = value.get_mut(at + 1) {
        *high = *high & !((mask >> 8) as u8) | (rank >> 8) as u8;
    }
    true
}

/// Byte and bit where a register begins.
fn place(index: usize) -> (usize, usize) {
    (HEADER + index * BITS / 8, index * BITS % 8)
}

/// All registers, in order.
pub fn all(value: &[u8]) -> impl Iterator<Item = u8> {
    let (threes, _) = value.get(HEADER..).unwrap_or(&[]).as_chunks::<3>();
    threes.iter().flat_map(|[a, b, c]| {
        [*a, a >> 6 | b << 2, b >> 4 | c << 4, c >> 2].map(|register| register & MASK)
    })
}

/// Writes all registers.
///
/// # Panics
/// When the value is not dense.
pub fn write_all(value: &mut [u8], registers: &Registers) {
    let (threes, _) = value[HEADER..].as_chunks_mut::<3>();
    for ([a, b, c, d], three) in registers.as_chunks::<4>().0.iter().zip(threes) {
        *three = [a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2];
    }
}
