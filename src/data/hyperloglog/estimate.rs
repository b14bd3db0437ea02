//! From registers to a number: Otmar Ertl's improved raw estimator.
//!
//! Source: "New cardinality estimation algorithms for HyperLogLog sketches" (2017), algorithm 6. It
//! needs only how many registers have each rank, has no table of corrections, and is right for few
//! elements and for very many. Two series correct for registers that are still zero (sigma) and
//! for those at the highest rank (tau); each is summed until it does not change any more, which
//! takes under 60 steps, because every step halves what is added. The order of the operations is
//! the paper's, so that the last bit agrees with everybody else's.

use super::{RANK_BITS, REGISTERS};

/// 1 / (2 ln 2).
const ALPHA_INFINITE: f64 = 0.721_347_520_444_481_7;

/// The highest rank that an element can have.
const HIGHEST: usize = RANK_BITS as usize + 1;

/// Ranks that a register of 6 bits can hold.
const RANKS: usize = 64;

/// How many registers have each rank.
#[derive(Debug)]
pub struct Histogram([u32; RANKS]);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram([0; RANKS])
    }
}

impl Histogram {
    /// Counts registers of a rank, which is under 64.
    #[inline]
    pub fn add(&mut self, rank: u8, count: u32) {
        self.0[usize::from(rank)] += count;
    }

    /// How many different elements there were.
    pub fn estimate(&self) -> u64 {
        let all = REGISTERS as f64;
        let count = |rank: usize| f64::from(self.0[rank]);
        let mut sum = all * tau((all - count(HIGHEST)) / all);
        for rank in (1..HIGHEST).rev() {
            sum = 0.5 * (sum + count(rank));
        }
        sum += all * sigma(count(0) / all);
        (ALPHA_INFINITE * all * all / sum).round() as u64
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * y;
        y += y;
        if sum == before {
            return sum;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        y *= 0.5;
        sum -= (1.0 - x).powi(2) * y;
        if sum == before {
            return sum / 3.0;
        }
    }
}
