//! What INFO says of how the load is spread.

use super::{Balance, Verdict, Window};
use crate::route::Map;

/// The last window, and what has moved since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Windows that were looked at.
    pub windows: u64,
    /// Times that slots were told to move.
    pub moves: u64,
    /// Those slots.
    pub slots: u64,
    /// What was decided last.
    pub last: Verdict,
    /// By shard; empty before the first window.
    pub shards: Vec<ShardFigures>,
}

/// A shard.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShardFigures {
    /// For which share of the last window its thread had something to do.
    pub busy: f64,
    /// Slots that were told to move here.
    pub slots_in: u64,
    /// Slots that were told to leave.
    pub slots_out: u64,
    /// Its hottest slot, and which share of a window that takes.
    pub hottest: Option<(u16, f64)>,
}

impl Figures {
    /// Takes in what was decided on these windows. Slots that were to move do so where `moves`.
    pub fn note(
        &mut self,
        balance: &Balance,
        map: &Map,
        windows: &[Window],
        verdict: &Verdict,
        moves: bool,
    ) {
        self.windows += 1;
        self.shards.resize(windows.len(), ShardFigures::default());
        let hottest = balance.hottest(map, windows.len());
        for ((figures, window), hottest) in self.shards.iter_mut().zip(windows).zip(hottest) {
            (figures.busy, figures.hottest) = (window.busy, hottest);
        }
        if let Verdict::Move(gap, slots, _) = verdict
            && moves
        {
            let count = slots.len() as u64;
            self.moves += 1;
            self.slots += count;
            self.shards[usize::from(gap.from)].slots_out += count;
            self.shards[usize::from(gap.to)].slots_in += count;
        }
        self.last = verdict.clone();
    }
}
