//! Events that took longer than `latency-monitor-threshold`: what LATENCY tells of.
//!
//! Per event the newest samples are kept, one a second at the most (the longest of that second), so
//! that a burst does not push out the past. Every recorder is bounded; those of all shards are
//! merged when somebody asks.

use std::collections::VecDeque;

use crate::base::millis::Millis;
use crate::question::{Event, Events};

/// Samples kept of each event.
const SAMPLES_MAX: usize = 160;

/// One second of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Unix time in seconds.
    pub at: i64,
    /// The longest of that second, in milliseconds.
    pub millis: u64,
}

/// What is known of one event.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// The newest samples, oldest first.
    pub samples: VecDeque<Sample>,
    /// The longest ever, in milliseconds.
    pub max: u64,
    /// All together, in milliseconds.
    pub sum: u64,
    /// How often.
    pub count: u64,
}

impl Series {
    fn record(&mut self, sample: Sample) {
        self.max = self.max.max(sample.millis);
        self.sum = self.sum.saturating_add(sample.millis);
        self.count += 1;
        self.keep(sample);
    }

    /// Files a sample that is not older than the last one.
    fn keep(&mut self, sample: Sample) {
        match self.samples.back_mut() {
            Some(last) if last.at == sample.at => last.millis = last.millis.max(sample.millis),
            _ => {
                if self.samples.len() == SAMPLES_MAX {
                    self.samples.pop_front();
                }
                self.samples.push_back(sample);
            }
        }
    }

    fn merge(&mut self, other: &Series) {
        let mut all: Vec<Sample> = self.samples.drain(..).chain(other.samples.clone()).collect();
        all.sort_by_key(|sample| sample.at);
        all.into_iter().for_each(|sample| self.keep(sample));
        self.max = self.max.max(other.max);
        self.sum = self.sum.saturating_add(other.sum);
        self.count += other.count;
    }
}

/// The slow events of one recorder.
#[derive(Clone, Debug, Default)]
pub struct Spikes {
    series: [Option<Box<Series>>; Event::ALL.len()],
}

impl Spikes {
    /// Records an event that took `millis`. The caller has compared with the threshold.
    pub fn record(&mut self, event: Event, now: Millis, millis: u64) {
        let series = self.series[event as usize].get_or_insert_default();
        series.record(Sample { at: now.as_secs(), millis });
    }

    /// What is known of an event, if it ever was slow.
    pub fn of(&self, event: Event) -> Option<&Series> {
        self.series[event as usize].as_deref()
    }

    /// The events that were slow.
    pub fn iter(&self) -> impl Iterator<Item = (Event, &Series)> {
        Event::ALL.into_iter().filter_map(|event| Some((event, self.of(event)?)))
    }

    /// Adds what another recorder saw.
    pub fn merge(&mut self, other: &Spikes) {
        for (event, series) in other.iter() {
            self.series[event as usize].get_or_insert_default().merge(series);
        }
    }

    /// Forgets these events; those that there were.
    pub fn forget(&mut self, events: Events) -> Events {
        let mut forgotten = Events::default();
        for event in Event::ALL.into_iter().filter(|event| events.has(*event)) {
            if self.series[event as usize].take().is_some() {
                forgotten.insert(event);
            }
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_sample() {
        let mut spikes = Spikes::default();
        spikes.record(Event::Command, Millis(1_000), 10);
        spikes.record(Event::Command, Millis(1_999), 24);
        spikes.record(Event::Command, Millis(1_999), 7);
        let series = spikes.of(Event::Command).unwrap();
        assert_eq!(series.samples, [Sample { at: 1, millis: 24 }]);
        assert_eq!((series.max, series.sum, series.count), (24, 41, 3));
    }

    #[test]
    fn samples_are_bounded_also_when_merged() {
        let mut recorders = [Spikes::default(), Spikes::default()];
        for second in 0..400 {
            recorders[second % 2].record(Event::Command, Millis(second as i64 * 1_000), 5);
        }
        let [mut all, other] = recorders;
        all.merge(&other);
        let series = all.of(Event::Command).unwrap();
        assert_eq!(series.samples.len(), SAMPLES_MAX);
        assert!(series.samples.iter().is_sorted_by_key(|sample| sample.at));
        assert_eq!((series.samples.back().unwrap().at, series.count), (399, 400));
    }

    #[test]
    fn forgetting_tells_what_there_was() {
        let mut spikes = Spikes::default();
        spikes.record(Event::FastCommand, Millis(0), 1);
        assert_eq!(spikes.forget(Events::ALL).len(), 1);
        assert!(spikes.forget(Events::ALL).is_empty());
        assert_eq!(Event::named(b"FAST-command"), Some(Event::FastCommand));
    }
}
