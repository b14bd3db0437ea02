//! What INFO says of how the load is spread, and whether a thread has room for clients that follow
//! their keys.

use super::{Balance, Verdict, Window};
use crate::route::{Map, ShardId};

/// Clients that may follow their keys to a thread in one window: so many, and another for each so
/// many that are there. The load of those that came is measured before more come.
const FOLLOWERS: usize = 4;

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
    /// Clients that have followed their keys to it since the window ended.
    pub followers: usize,
}

impl Figures {
    /// Whether a client may follow its keys to a shard, whose thread has so many clients: that is
    /// busy for `busy_max` at the most, and few have gone there in this window. It counts as one
    /// that goes, then. Of what was not measured nobody knows, and nothing is refused.
    pub fn takes_client(&mut self, shard: ShardId, clients: usize, busy_max: f64) -> bool {
        let Some(figures) = self.shards.get_mut(usize::from(shard)) else { return true };
        let takes = figures.busy <= busy_max && figures.followers < FOLLOWERS + clients / FOLLOWERS;
        figures.followers += usize::from(takes);
        takes
    }

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
            (figures.busy, figures.hottest, figures.followers) = (window.busy, hottest, 0);
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
