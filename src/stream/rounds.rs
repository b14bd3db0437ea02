//! When the journal's writer takes in what has been appended.
//!
//! A write and a wake-up cost the same for one append as for a thousand. So where no client waits
//! for the journal, the writer takes appends in by rounds. While there is traffic it comes by
//! itself, [`ROUND_MS`] after the round before. A round that finds nothing is the last one: the
//! writer sleeps until the next append, and lets one more round pass before it takes that in. A
//! shard that has sent much since hurries it (`credit`), and so does an append that a client waits
//! for.
//!
//! So an append reaches the file at most [`ROUND_MS`] later than the disk allows, which is part of
//! the second or two that `everysec` may lose.

/// Time between two rounds, in milliseconds.
pub const ROUND_MS: u64 = 5;

/// The rounds of a writer.
#[derive(Debug, Default)]
pub struct Rounds {
    next_ms: Option<u64>,
}

impl Rounds {
    /// Asked when the writer is up, for whatever reason. True when a round begins now; else one
    /// begins at [`Rounds::next_ms`].
    pub fn begins(&mut self, is_hurried: bool, now_ms: u64) -> bool {
        is_hurried || *self.next_ms.get_or_insert(now_ms + ROUND_MS) <= now_ms
    }

    /// A round is over. It has found something, or nothing.
    pub fn end(&mut self, has_found: bool, now_ms: u64) {
        self.next_ms = has_found.then_some(now_ms + ROUND_MS);
    }

    /// When the next round begins by itself; none when it takes an append to begin one.
    pub fn next_ms(&self) -> Option<u64> {
        self.next_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_follow_each_other_while_there_is_traffic() {
        let mut rounds = Rounds::default();
        assert!(!rounds.begins(false, 100), "the first append waits for others");
        assert_eq!(rounds.next_ms(), Some(105));
        assert!(!rounds.begins(false, 104));
        assert!(rounds.begins(false, 105));
        rounds.end(true, 105);
        assert_eq!(rounds.next_ms(), Some(110));
        assert!(rounds.begins(false, 112), "the disk took its time");
        rounds.end(false, 112);
        assert_eq!(rounds.next_ms(), None, "nobody wakes for nothing");
        assert!(!rounds.begins(false, 500));
        assert_eq!(rounds.next_ms(), Some(505));
    }

    #[test]
    fn who_is_hurried_waits_for_no_round() {
        let mut rounds = Rounds::default();
        assert!(rounds.begins(true, 7));
        rounds.end(true, 7);
        assert!(rounds.begins(true, 8));
    }
}
