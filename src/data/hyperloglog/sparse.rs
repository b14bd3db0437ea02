//! Registers as runs of equal ones, in one or two bytes each:
//!
//! ```text
//! 00nnnnnn            n + 1 registers (1 to 64) are zero
//! 01nnnnnn nnnnnnnn   n + 1 registers (1 to 16,384) are zero, the higher bits first
//! 1vvvvvnn            n + 1 registers (1 to 4) are v + 1 (1 to 32)
//! ```
//!
//! Which runs there are depends on the order of the changes, and values are compared byte for byte,
//! so the rules are kept exactly: a raised register splits its run, runs of the wider form are used
//! only where the narrower does not reach, and afterwards equal neighbours are joined within five
//! steps from the run before.

use super::estimate::Histogram;
use super::{Corrupted, HEADER, REGISTERS, Registers};

/// The registers of a value that has seen nothing: one run of zeros.
pub const EMPTY: [u8; 2] = wide(REGISTERS);

/// The highest register that a run can have.
const RANK_MAX: u8 = 32;

/// The longest run that is not zero.
const VALUES_MAX: usize = 4;

/// The longest run of zeros in one byte.
const NARROW_MAX: usize = 64;

/// How far the joining of equal runs goes, in steps.
const JOIN_STEPS: usize = 5;

/// What became of a register that was to be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// It is as high already.
    Not,
    /// It was.
    InPlace,
    /// It has no place here: the rank is too high, or the value would be too long.
    NoRoom,
}

/// Equal registers in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where it stands in the value.
    at: usize,
    /// Bytes that it takes.
    bytes: usize,
    /// What its registers are.
    pub rank: u8,
    /// How many registers.
    pub count: usize,
}

/// The runs of a value, in order.
pub fn runs(value: &[u8]) -> impl Iterator<Item = Run> {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        let run = run_at(value, at)?;
        at += run.bytes;
        Some(run)
    })
}

fn run_at(value: &[u8], at: usize) -> Option<Run> {
    let first = *value.get(at)?;
    let low = usize::from(first & 0x3f);
    Some(match first >> 6 {
        0 => Run { at, bytes: 1, rank: 0, count: low + 1 },
        1 => {
            let second = value.get(at + 1).copied().unwrap_or(0);
            Run { at, bytes: 2, rank: 0, count: (low << 8 | usize::from(second)) + 1 }
        }
        _ => Run { at, bytes: 1, rank: (first >> 2 & 0x1f) + 1, count: usize::from(first & 3) + 1 },
    })
}

impl Run {
    /// True for zeros in two bytes.
    pub fn is_wide(self) -> bool {
        self.bytes == 2
    }
}

const fn wide(count: usize) -> [u8; 2] {
    let less = count - 1;
    [0x40 | (less >> 8) as u8, less as u8]
}

fn values(rank: u8, count: usize) -> u8 {
    0x80 | (rank - 1) << 2 | (count - 1) as u8
}

/// A few runs on their way into a value: at most three, in at most five bytes.
#[derive(Default)]
struct Runs {
    bytes: [u8; 5],
    len: usize,
}

impl Runs {
    fn push(&mut self, rank: u8, count: usize) {
        let wide = wide(count.max(1));
        let new: &[u8] = match (rank, count) {
            (_, 0) => &[],
            (0, ..=NARROW_MAX) => &[(count - 1) as u8],
            (0, _) => &wide,
            _ => &[values(rank, count)],
        };
        self.bytes[self.len..self.len + new.len()].copy_from_slice(new);
        self.len += new.len();
    }
}

/// Raises a register to `rank` if it is lower. The value grows to `bytes_max` bytes at most, its
/// header included.
///
/// # Errors
/// [`Corrupted`] when the runs end before the register.
pub fn raise(
    value: &mut Vec<u8>,
    index: usize,
    rank: u8,
    bytes_max: u64,
) -> Result<Raised, Corrupted> {
    if rank > RANK_MAX {
        return Ok(Raised::NoRoom);
    }
    let (mut first, mut before) = (0, None);
    let mut run = None;
    for next in runs(value) {
        if index < first + next.count {
            run = Some(next);
            break;
        }
        first += next.count;
        before = Some(next.at);
    }
    let run = run.ok_or(Corrupted)?;
    if run.rank >= rank {
        return Ok(Raised::Not);
    }
    if run.count == 1 && !run.is_wide() {
        value[run.at] = values(rank, 1);
    } else {
        let mut split = Runs::default();
        split.push(run.rank, index - first);
        split.push(rank, 1);
        split.push(run.rank, first + run.count - 1 - index);
        let grows = split.len > run.bytes;
        let len = (value.len() + split.len).saturating_sub(run.bytes);
        if grows && len as u64 > bytes_max {
            return Ok(Raised::NoRoom);
        }
        let end = value.len().min(run.at + run.bytes);
        value.splice(run.at..end, split.bytes[..split.len].iter().copied());
    }
    join(value, before.unwrap_or(HEADER));
    Ok(Raised::InPlace)
}

/// Joins equal runs that follow each other, from a place on.
fn join(value: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_STEPS {
        let Some(run) = run_at(value, at) else { return };
        let next = run_at(value, at + run.bytes);
        match next {
            Some(next)
                if run.rank > 0
                    && next.rank == run.rank
                    && run.count + next.count <= VALUES_MAX =>
            {
                value[next.at] = values(run.rank, run.count + next.count);
                value.remove(at);
            }
            _ => at += run.bytes,
        }
    }
}

/// Raises each of `registers` to what it is in the value.
///
/// # Errors
/// [`Corrupted`] when the runs are not exactly as long as the registers.
pub fn take_highest(value: &[u8], registers: &mut Registers) -> Result<(), Corrupted> {
    let mut first = 0;
    for run in runs(value) {
        if run.rank > 0 {
            let registers = registers.get_mut(first..first + run.count).ok_or(Corrupted)?;
            registers.iter_mut().for_each(|register| *register = run.rank.max(*register));
        }
        first += run.count;
    }
    if first == REGISTERS { Ok(()) } else { Err(Corrupted) }
}

/// Counts the registers of each rank.
///
/// # Errors
/// [`Corrupted`] when the runs are not exactly as long as the registers.
pub fn count_ranks(value: &[u8], histogram: &mut Histogram) -> Result<(), Corrupted> {
    let mut count = 0;
    for run in runs(value) {
        histogram.add(run.rank, run.count as u32);
        count += run.count;
        if count > REGISTERS {
            break;
        }
    }
    if count == REGISTERS { Ok(()) } else { Err(Corrupted) }
}
