//! The largest buffers that clients had lately.
//!
//! For each of the last seconds the largest that was seen is kept, so that an old peak is forgotten
//! by itself.

/// For how many seconds a peak is remembered.
const SECONDS: usize = 8;

/// The largest of some size in each of the last seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peaks {
    /// With the second that it is of.
    slots: [(u64, usize); SECONDS],
}

impl Peaks {
    /// So much was seen in this second.
    pub fn note(&mut self, second: u64, bytes: usize) {
        let slot = &mut self.slots[second as usize % SECONDS];
        let before = if slot.0 == second { slot.1 } else { 0 };
        *slot = (second, before.max(bytes));
    }

    /// The most that was seen in the seconds up to this one.
    pub fn most(&self, second: u64) -> usize {
        let is_recent = |slot: &&(u64, usize)| slot.0 + SECONDS as u64 > second;
        self.slots.iter().filter(is_recent).map(|slot| slot.1).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_forgotten_after_some_seconds() {
        let mut peaks = Peaks::default();
        peaks.note(100, 7);
        peaks.note(100, 50);
        peaks.note(101, 9);
        assert_eq!([100, 101, 107].map(|second| peaks.most(second)), [50; 3]);
        assert_eq!([108, 109].map(|second| peaks.most(second)), [9, 0]);
        peaks.note(108, 3);
        assert_eq!(peaks.most(108), 9, "the slot of an old second is used again");
        assert_eq!(peaks.most(109), 3);
    }
}
