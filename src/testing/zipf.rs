//! Keys by a law of Zipf: the one of rank r comes as often as 1/r to the power of the skew.

/// Draws ranks, from 0 on.
pub(crate) struct Zipf {
    /// Up to each rank, the sum of the weights.
    sums: Vec<f64>,
    random: fastrand::Rng,
}

impl Zipf {
    pub(crate) fn new(keys: usize, skew: f64, seed: u64) -> Zipf {
        let weights = (1..=keys).map(|rank| (rank as f64).powf(-skew));
        let sums = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Zipf { sums: sums.collect(), random: fastrand::Rng::with_seed(seed) }
    }

    pub(crate) fn next(&mut self) -> usize {
        let drawn = self.random.f64() * self.sums.last().copied().unwrap_or_default();
        self.sums.partition_point(|sum| *sum <= drawn).min(self.sums.len() - 1)
    }
}
