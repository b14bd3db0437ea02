//! How accesses to a key are counted, in the 24 bits that each entry has for it.
//!
//! Under an LRU policy the bits are the time of the last access in seconds, modulo 2^24 (194 days);
//! under an LRM policy that of the last change, and reads leave them alone.
//! Under an LFU policy they are Redis's pair: the minutes of the last decrement (16 bits) and a
//! logarithmic counter (8 bits) that grows with probability 1 / ((count - 5) * factor + 1) and
//! falls by one each `decay` minutes.

use crate::base::millis::Millis;
use crate::keyspace::entry::Entry;

/// What a new key's logarithmic counter starts from.
const LFU_START: u8 = 5;

const SECONDS_MASK: u32 = (1 << 24) - 1;

/// What the access bits of entries mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessClock {
    /// The last access.
    Recency,
    /// The last change.
    Modification,
    /// How often, decaying.
    Frequency {
        /// lfu-log-factor: the higher, the more accesses saturate the counter.
        factor: u32,
        /// lfu-decay-time in minutes; 0 never decays.
        decay_minutes: u32,
    },
}

impl AccessClock {
    /// Sets the bits of a new or overwritten entry.
    #[inline]
    pub fn start(self, entry: &mut Entry, now: Millis) {
        match self {
            AccessClock::Recency | AccessClock::Modification => entry.set_access(seconds(now)),
            AccessClock::Frequency { .. } => entry.set_access(pack(minutes(now), LFU_START)),
        }
    }

    /// An entry was read, or is about to change.
    #[inline]
    pub fn touch(self, entry: &mut Entry, now: Millis, random: &mut fastrand::Rng) {
        match self {
            AccessClock::Recency => {
                let seconds = seconds(now);
                if entry.access() != seconds {
                    entry.set_access(seconds);
                }
            }
            AccessClock::Modification => {}
            AccessClock::Frequency { factor, .. } => {
                let count = self.frequency(entry, now).unwrap_or(LFU_START);
                let base = f64::from(count.saturating_sub(LFU_START));
                let grows = random.f64() < 1.0 / (base * f64::from(factor) + 1.0);
                entry.set_access(pack(minutes(now), count.saturating_add(u8::from(grows))));
            }
        }
    }

    /// Sets the bits of an entry that comes from another server: as those of a new one, but for
    /// what is told of it and counts here.
    pub fn start_as(
        self,
        entry: &mut Entry,
        now: Millis,
        idle_seconds: Option<u64>,
        frequency: Option<u8>,
    ) {
        match (self, idle_seconds, frequency) {
            (AccessClock::Recency | AccessClock::Modification, Some(idle), _) => {
                let idle = idle as u32 & SECONDS_MASK;
                entry.set_access(seconds(now).wrapping_sub(idle) & SECONDS_MASK);
            }
            (AccessClock::Frequency { .. }, _, Some(count)) => {
                entry.set_access(pack(minutes(now), count));
            }
            _ => self.start(entry, now),
        }
    }

    /// Seconds since the last access, or the last change; none under an LFU policy.
    pub fn idle_seconds(self, entry: &Entry, now: Millis) -> Option<u32> {
        match self {
            AccessClock::Recency | AccessClock::Modification => {
                Some(seconds(now).wrapping_sub(entry.access()) & SECONDS_MASK)
            }
            AccessClock::Frequency { .. } => None,
        }
    }

    /// The logarithmic counter as it has decayed by `now`; none under an LRU policy.
    pub fn frequency(self, entry: &Entry, now: Millis) -> Option<u8> {
        let AccessClock::Frequency { decay_minutes, .. } = self else { return None };
        let (since, count) = ((entry.access() >> 8) as u16, entry.access() as u8);
        let elapsed = u32::from(minutes(now).wrapping_sub(since));
        let periods = elapsed.checked_div(decay_minutes).unwrap_or(0);
        Some(count.saturating_sub(u8::try_from(periods).unwrap_or(u8::MAX)))
    }
}

fn seconds(now: Millis) -> u32 {
    (now.0 / 1000) as u32 & SECONDS_MASK
}

fn minutes(now: Millis) -> u16 {
    (now.0 / 60_000) as u16
}

fn pack(minutes: u16, count: u8) -> u32 {
    u32::from(minutes) << 8 | u32::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::entry::NewValue;

    #[test]
    fn idle_time_is_in_seconds() {
        let mut entry = Entry::new(b"k", NewValue::Integer(1), None, 0);
        AccessClock::Recency.start(&mut entry, Millis(1_700_000_000_000));
        assert_eq!(AccessClock::Recency.idle_seconds(&entry, Millis(1_700_000_060_000)), Some(60));
    }

    #[test]
    fn reads_leave_the_time_of_the_last_change() {
        let mut entry = Entry::new(b"k", NewValue::Integer(1), None, 0);
        let mut random = fastrand::Rng::with_seed(1);
        let (clock, later) = (AccessClock::Modification, Millis(5_000));
        clock.start(&mut entry, Millis(0));
        clock.touch(&mut entry, later, &mut random);
        assert_eq!(clock.idle_seconds(&entry, later), Some(5));
    }

    #[test]
    fn what_another_server_tells_is_taken_where_it_counts() {
        let mut entry = Entry::new(b"k", NewValue::Integer(1), None, 0);
        let now = Millis(1_700_000_000_000);
        let frequency = AccessClock::Frequency { factor: 10, decay_minutes: 1 };
        for (idle, wanted) in [(Some(60), 60), (Some(20_000_000), 20_000_000 & SECONDS_MASK)] {
            AccessClock::Recency.start_as(&mut entry, now, idle, None);
            assert_eq!(AccessClock::Recency.idle_seconds(&entry, now), Some(wanted));
        }
        AccessClock::Recency.start_as(&mut entry, now, None, Some(9));
        assert_eq!(AccessClock::Recency.idle_seconds(&entry, now), Some(0));
        frequency.start_as(&mut entry, now, None, Some(9));
        assert_eq!(frequency.frequency(&entry, now), Some(9));
        frequency.start_as(&mut entry, now, Some(9), None);
        assert_eq!(frequency.frequency(&entry, now), Some(LFU_START));
    }

    #[test]
    fn frequency_grows_and_decays() {
        let clock = AccessClock::Frequency { factor: 10, decay_minutes: 1 };
        let mut entry = Entry::new(b"k", NewValue::Integer(1), None, 0);
        let mut random = fastrand::Rng::with_seed(1);
        clock.start(&mut entry, Millis(0));
        (0..1_000).for_each(|_| clock.touch(&mut entry, Millis(0), &mut random));
        let high = clock.frequency(&entry, Millis(0)).expect("the policy counts");
        assert!((10..40).contains(&high), "{high}");
        assert_eq!(clock.frequency(&entry, Millis(3 * 60_000)), Some(high - 3));
        assert_eq!(clock.idle_seconds(&entry, Millis(0)), None);
    }
}
