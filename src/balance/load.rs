//! Which slots keep a shard busy: a profile by samples.
//!
//! Calls are timed anyway. Each time the shard has run calls for another [`SAMPLE_NS`], that time
//! is put down to the slot of the call that was the last of it. Over a second a slot gets what its
//! calls took, and a call costs an addition and a comparison.

use crate::base::slot::SLOTS;

/// What one sample stands for, in nanoseconds.
pub const SAMPLE_NS: u64 = 10_000;

/// What the calls of a shard took, by slot, since it was asked last.
#[derive(Debug)]
pub struct Load {
    /// Time since the last sample.
    passed: u64,
    /// How much of it makes a sample; never, where nobody asks.
    sample_ns: u64,
    /// Samples by slot; empty until there is one. They are never given back: what came and went
    /// with each window would be seen where memory is short.
    samples: Vec<u32>,
}

impl Load {
    /// That of one of so many shards. One that is alone has nobody to share it with.
    pub fn new(shards: u16) -> Load {
        let sample_ns = if shards > 1 { SAMPLE_NS } else { u64::MAX };
        Load { passed: 0, sample_ns, samples: Vec::new() }
    }

    /// A call has run for so long, on this slot if on any.
    #[inline]
    pub fn ran(&mut self, slot: Option<u16>, nanos: u64) {
        self.passed = self.passed.saturating_add(nanos);
        if self.passed >= self.sample_ns {
            self.sample(slot);
        }
    }

    #[cold]
    fn sample(&mut self, slot: Option<u16>) {
        let count = self.passed / self.sample_ns;
        self.passed %= self.sample_ns;
        let Some(slot) = slot else { return };
        if self.samples.is_empty() {
            self.samples.resize(usize::from(SLOTS), 0);
        }
        let samples = &mut self.samples[usize::from(slot)];
        *samples = samples.saturating_add(count.try_into().unwrap_or(u32::MAX));
    }

    /// The slots with calls, and what these took in nanoseconds. It begins anew.
    pub fn take(&mut self) -> Vec<(u16, u64)> {
        let busy = (0..).zip(&mut self.samples).filter(|(_, samples)| **samples > 0);
        let taken = |samples: &mut u32| u64::from(std::mem::take(samples)) * self.sample_ns;
        busy.map(|(slot, samples)| (slot, taken(samples))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_gets_what_its_calls_took() {
        let mut load = Load::new(2);
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..1_000_000 {
            let slot = if random.u8(..4) == 0 { 5 } else { 9 };
            load.ran(Some(slot), random.u64(200..800) * if slot == 5 { 2 } else { 1 });
        }
        load.ran(None, 100_000);
        let taken = load.take();
        assert_eq!(taken.len(), 2, "{taken:?}");
        let expected = [(5, 250_000_000.0), (9, 375_000_000.0)];
        for ((slot, nanos), (wanted, about)) in taken.into_iter().zip(expected) {
            assert_eq!(slot, wanted);
            assert!((nanos as f64 / about - 1.0).abs() < 0.03, "{slot}: {nanos} ns");
        }
        assert_eq!(load.take(), [], "it begins anew");
    }

    #[test]
    fn a_long_call_counts_whole_and_a_shard_that_is_alone_counts_none() {
        let mut load = Load::new(2);
        load.ran(Some(3), 5 * SAMPLE_NS + 1);
        load.ran(Some(4), SAMPLE_NS - 1);
        assert_eq!(load.take(), [(3, 5 * SAMPLE_NS), (4, SAMPLE_NS)]);
        let mut alone = Load::new(1);
        (0..1_000).for_each(|_| alone.ran(Some(3), 1_000 * SAMPLE_NS));
        assert_eq!(alone.take(), []);
    }
}
