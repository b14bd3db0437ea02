//! The memory of all clients together, and who has to go when that is too much.
//!
//! Each thread adds up its own clients. Those that may go are counted by size class, powers of two,
//! so that a change costs the same however many there are. Every thread publishes its sum and its
//! largest class, and each can tell from these whose turn it is: the first thread among those with
//! the largest class closes clients of that class, largest first, until the sum is small enough or
//! the turn is another's. So no client goes while one of twice its size stays.
//!
//! Clients that may not be closed count too. Where it is they who make it too much, they may have
//! closed themselves meanwhile: that is looked at first ([`Counted`]).

/// Classes of sizes: one for each bit of a number of bytes, and one for nothing.
const CLASSES: usize = usize::BITS as usize + 1;

/// What one client holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Its memory, in bytes.
    pub bytes: usize,
    /// It may be closed for that.
    pub may_go: bool,
}

impl Weight {
    /// The class of its size, where it may go; else the lowest.
    pub fn class(self) -> u32 {
        if self.may_go { usize::BITS - self.bytes.leading_zeros() } else { 0 }
    }

    /// Its memory, where it may go.
    fn may_go(self) -> usize {
        if self.may_go { self.bytes } else { 0 }
    }
}

/// What the clients of one thread hold.
#[derive(Clone, Debug)]
pub struct Weights {
    bytes: usize,
    /// What those of it hold that may go.
    may_go: usize,
    /// How many that may go are of each class.
    counts: [u32; CLASSES],
}

impl Default for Weights {
    fn default() -> Weights {
        Weights { bytes: 0, may_go: 0, counts: [0; CLASSES] }
    }
}

impl Weights {
    /// One client holds something else than before; nothing before it came, and after it has gone.
    pub fn change(&mut self, before: Weight, now: Weight) {
        self.bytes = self.bytes - before.bytes + now.bytes;
        self.may_go = self.may_go - before.may_go() + now.may_go();
        self.counts[before.class() as usize] -= u32::from(before.may_go);
        self.counts[now.class() as usize] += u32::from(now.may_go);
    }

    /// What other threads have to know of it.
    pub fn sum(&self) -> Sum {
        let largest = self.counts.iter().rposition(|count| *count > 0).unwrap_or(0);
        let (bytes, may_go) = (self.bytes as u64, self.may_go as u64);
        Sum { bytes, may_go, largest: largest as u32 }
    }
}

/// What the clients of one thread hold, as the others know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Their memory, in bytes.
    pub bytes: u64,
    /// What those of them hold that may go, in bytes.
    pub may_go: u64,
    /// The class of the largest that may go; 0 where none may.
    pub largest: u32,
}

/// Whose memory counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// That of all clients.
    All,
    /// That of clients that may go.
    MayGo,
}

/// The number of the thread that has to close clients, where those that count hold more than
/// `limit`; none where they do not, or nobody may go.
pub fn whose_turn(
    threads: impl Iterator<Item = Sum>,
    counted: Counted,
    limit: u64,
) -> Option<usize> {
    let (mut bytes, mut turn, mut largest) = (0_u64, None, 0);
    for (number, sum) in threads.enumerate() {
        bytes = bytes.saturating_add(match counted {
            Counted::All => sum.bytes,
            Counted::MayGo => sum.may_go,
        });
        if sum.largest > largest {
            (turn, largest) = (Some(number), sum.largest);
        }
    }
    turn.filter(|_| bytes > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn light(bytes: usize) -> Weight {
        Weight { bytes, may_go: true }
    }

    #[test]
    fn classes_are_powers_of_two() {
        let classes = [0, 1, 2, 3, 4, 1_023, 1_024, usize::MAX].map(|bytes| light(bytes).class());
        assert_eq!(classes, [0, 1, 2, 2, 3, 10, 11, usize::BITS]);
        assert_eq!(Weight { bytes: 1_024, may_go: false }.class(), 0);
    }

    #[test]
    fn who_is_spared_counts_and_is_never_the_largest() {
        let mut weights = Weights::default();
        let spared = Weight { bytes: 1 << 20, may_go: false };
        weights.change(Weight::default(), spared);
        let held = 1 << 20;
        assert_eq!(weights.sum(), Sum { bytes: held, may_go: 0, largest: 0 });
        weights.change(Weight::default(), light(100));
        let sum = Sum { bytes: held + 100, may_go: 100, largest: light(100).class() };
        assert_eq!(weights.sum(), sum);
        let turn = |counted| whose_turn([sum].into_iter(), counted, 1_000);
        assert_eq!((turn(Counted::All), turn(Counted::MayGo)), (Some(0), None));
        weights.change(spared, light(1 << 20));
        assert_eq!(weights.sum().largest, 21);
        weights.change(light(1 << 20), Weight::default());
        weights.change(light(100), Weight::default());
        assert_eq!(weights.sum(), Sum::default());
    }

    #[test]
    fn the_first_thread_with_the_largest_class_has_its_turn() {
        let turn = |largest: [u32; 3], limit| {
            let sums = largest.into_iter().map(|largest| Sum { bytes: 10, may_go: 10, largest });
            whose_turn(sums, Counted::All, limit)
        };
        assert_eq!(turn([3, 5, 5], 29), Some(1));
        assert_eq!(turn([5, 3, 6], 29), Some(2));
        assert_eq!(turn([5, 3, 6], 30), None, "that is not too much");
        assert_eq!(turn([0; 3], 29), None, "nobody may go");
        assert_eq!(whose_turn(std::iter::empty(), Counted::All, 0), None);
    }

    /// Threads that close clients by turns, as they would, leave the smallest.
    #[test]
    fn the_largest_go_first_wherever_they_are() {
        let mut sizes: Vec<Vec<usize>> = vec![vec![100, 5_000, 90], vec![9_000, 40], vec![300]];
        let mut gone = Vec::new();
        let sum = |sizes: &Vec<usize>| {
            let mut weights = Weights::default();
            sizes.iter().for_each(|bytes| weights.change(Weight::default(), light(*bytes)));
            weights.sum()
        };
        while let Some(turn) = whose_turn(sizes.iter().map(sum), Counted::All, 200) {
            sizes[turn].sort_unstable();
            gone.extend(sizes[turn].pop());
        }
        assert_eq!(gone, [9_000, 5_000, 300, 100]);
    }
}
