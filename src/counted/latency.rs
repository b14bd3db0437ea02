//! How long the runs of a command took: how many took how long, to two significant digits.
//!
//! Up to 255 ns each time has a count of its own. Beyond that each doubling of the time is cut into
//! 128 parts of one length, so that the times that share a count differ by less than a hundredth.
//! What takes longer than a second counts as a second. These are the buckets of an HDR histogram
//! (G. Tene), as Redis and Valkey keep it; every call records its time, so recording is no more
//! than finding the place.

/// Bits of a time that tell it from others: what is below them is cut off.
const SIGNIFICANT_BITS: u32 = 8;

/// Parts of a doubling.
const PARTS: usize = 1 << (SIGNIFICANT_BITS - 1);

/// The longest time that is told from longer ones, in nanoseconds.
const LONGEST_NS: u64 = 1_000_000_000;

/// Counts: 24 KB of them.
const PLACES: usize = place(LONGEST_NS) + 1;

/// How long the runs of a command took.
#[derive(Clone, Debug)]
pub struct Latency {
    counts: Box<[u64; PLACES]>,
}

/// The place of a time.
#[inline]
const fn place(nanos: u64) -> usize {
    let cut_off = u64::BITS - SIGNIFICANT_BITS - (nanos | (2 * PARTS as u64 - 1)).leading_zeros();
    cut_off as usize * PARTS + (nanos >> cut_off) as usize
}

/// The longest time that has this place.
fn longest_at(place: usize) -> u64 {
    let cut_off = (place / PARTS).saturating_sub(1);
    let significant = (place - cut_off * PARTS) as u64;
    ((significant + 1) << cut_off) - 1
}

/// The longest time that is not told from `nanos`.
pub(super) fn rounded_up(nanos: u64) -> u64 {
    longest_at(place(nanos))
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { counts: Box::new([0; PLACES]) }
    }
}

impl Latency {
    /// Counts a run of `nanos`.
    #[inline]
    pub fn record(&mut self, nanos: u64) {
        self.counts[place(nanos.min(LONGEST_NS))] += 1;
    }

    /// How many runs were counted.
    #[expect(clippy::len_without_is_empty, reason = "there is none without a run")]
    pub fn len(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The times that occurred, ascending, rounded up, each with its number of runs.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        let counted = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(place, count)| (longest_at(place), *count))
    }

    /// The time that so many percent of the runs did not pass, rounded up; 0 where none ran.
    pub fn value_at_percentile(&self, percentile: f64) -> u64 {
        let wanted = (self.len() as f64 * percentile.min(100.0) / 100.0).ceil().max(1.0) as u64;
        let mut counted = 0;
        let mut found = self.iter().skip_while(|(_, count)| {
            counted += count;
            counted < wanted
        });
        found.next().map_or(0, |(nanos, _)| nanos)
    }

    /// Adds the runs of another shard.
    pub fn add(&mut self, other: &Latency) {
        self.counts.iter_mut().zip(other.counts.iter()).for_each(|(mine, theirs)| *mine += theirs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_share_a_place_differ_by_less_than_a_hundredth() {
        let mut shortest = 0;
        for place_of in 0..PLACES {
            let longest = longest_at(place_of);
            assert_eq!((place(shortest), place(longest)), (place_of, place_of));
            assert!((longest - shortest) * 100 < longest.max(1), "{shortest} to {longest}");
            shortest = longest + 1;
        }
        assert!(longest_at(PLACES - 1) >= LONGEST_NS);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut latency = Latency::default();
        assert_eq!(latency.value_at_percentile(50.0), 0);
        let time = |bits: u64| random.u64(0..1 << bits);
        let mut times: Vec<u64> = (0..997).map(|number| number % 40).map(time).collect();
        times.iter().for_each(|nanos| latency.record(*nanos));
        times.sort_unstable();
        for percentile in [0.0, 0.1, 50.0, 99.0, 99.9, 100.0] {
            let rank = (times.len() as f64 * percentile / 100.0).ceil().max(1.0) as usize;
            let exact = times[rank - 1].min(LONGEST_NS);
            assert_eq!(latency.value_at_percentile(percentile), rounded_up(exact));
        }
        let other = latency.clone();
        latency.add(&other);
        assert_eq!((latency.len(), other.len()), (1_994, 997));
    }
}
