//! The snapshot of a full sync on its way to the replicas that share it: what is made and not yet
//! taken by the slowest of them.
//!
//! Whoever makes it waits while that is too much, so no replica that stops reading costs memory.

use std::collections::VecDeque;

use bytes::Bytes;

/// Bytes that are made ahead of the slowest replica.
const AHEAD_MAX: u64 = 4 << 20;

/// A snapshot on its way.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    parts: VecDeque<Bytes>,
    /// Where the first part begins.
    first: u64,
    end: u64,
    /// No more comes.
    is_whole: bool,
}

impl Bulk {
    /// Whether there is room for more.
    pub(super) fn has_room(&self) -> bool {
        self.end - self.first < AHEAD_MAX
    }

    /// Adds bytes at the end.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.end += bytes.len() as u64;
        self.parts.push_back(bytes);
    }

    /// No more comes.
    pub(super) fn is_over(&mut self) {
        self.is_whole = true;
    }

    /// True when who has taken so many bytes has all.
    pub(super) fn ends_at(&self, taken: u64) -> bool {
        self.is_whole && taken == self.end
    }

    /// Copies bytes to the end of `out` for who has taken so many, `most` at the most. Returns how
    /// many.
    pub(super) fn read(&self, taken: u64, most: usize, out: &mut Vec<u8>) -> usize {
        let (mut at, mut left) = (self.first, most);
        for part in &self.parts {
            let skipped = taken.saturating_sub(at).min(part.len() as u64) as usize;
            at += part.len() as u64;
            let bytes = &part[skipped..];
            let count = bytes.len().min(left);
            out.extend_from_slice(&bytes[..count]);
            left -= count;
            if left == 0 {
                break;
            }
        }
        most - left
    }

    /// Lets go what all have that still read: the slowest has taken so many bytes.
    pub(super) fn trim(&mut self, taken: u64) {
        while let Some(part) = self.parts.front()
            && self.first + part.len() as u64 <= taken
        {
            self.first += part.len() as u64;
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reads_at_its_own_pace_and_the_slowest_makes_room() {
        let mut bulk = Bulk::default();
        for part in ["one", "two", "three"] {
            bulk.push(Bytes::from(part));
        }
        let read = |bulk: &Bulk, taken, most| {
            let mut out = Vec::new();
            let count = bulk.read(taken, most, &mut out);
            (count, String::from_utf8(out).unwrap())
        };
        assert_eq!(read(&bulk, 0, 100), (11, "onetwothree".to_owned()));
        assert_eq!(read(&bulk, 2, 3), (3, "etw".to_owned()));
        bulk.trim(5);
        assert_eq!(read(&bulk, 5, 100), (6, "othree".to_owned()));
        assert!(!bulk.ends_at(11));
        bulk.is_over();
        assert!(bulk.ends_at(11) && !bulk.ends_at(10));
        bulk.push(Bytes::from(vec![0; AHEAD_MAX as usize]));
        assert!(!bulk.has_room());
        bulk.trim(11 + AHEAD_MAX);
        assert!(bulk.has_room());
    }
}
