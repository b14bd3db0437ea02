//! How slots are spread over shards by load: the decision, without a clock or a thread.
//!
//! Each window (two seconds, by default) it is given how busy every shard was, and with which
//! slots, and says what is to move. It is slow to begin and stops early, since a slot that moves
//! costs hops: whoever is on the thread that the slot leaves goes to another one for it from then
//! on.
//!
//! 1. It begins when the busiest shard was busy for more than `rebalance-busy` percent of a window,
//!    and the idlest for `rebalance-start` percent less of that, `rebalance-windows` times running.
//! 2. Slots go from the busiest to the idlest, the hottest first, while they are together not more
//!    than half of the gap between the two; where none is that small, the one that makes the gap
//!    smaller by [`WORTH`] at least. A slot as hot as the gap would only take the trouble along: it
//!    stays, and is reported. One that has moved rests for `rebalance-rest` seconds.
//! 3. It ends when the gap is below `rebalance-stop` percent, or the load has gone.
//!
//! A call costs its thread more than it runs: it is read, comes by letter, is answered. So what the
//! thread did in all is shared out among its slots by what their calls took, up to [`WHOLE_MAX`]
//! times that. Where the rest goes to clients that stay, too little moves, and more in the next
//! window; never too much. The load of a slot is an average over windows: each counts half of what
//! the one behind it counts. The start of the rule is that of YDB's balancer of tablets; the choice
//! of slots is the greedy one of the partition problem.

pub mod figures;
pub mod load;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use crate::base::slot::SLOTS;
use crate::route::{Map, ShardId};
use crate::settings::Rebalancing;

/// Slots that move at once, at most: what moves is away for as long as letters take.
pub const MOVES_MAX: usize = 512;

/// By how much of itself the gap has to become smaller for a slot that is more than half of it.
const WORTH: f64 = 0.3;

/// What a call costs its thread, in parts of what it runs, at most.
pub const WHOLE_MAX: f64 = 4.0;

/// Of what makes it begin, so much has to be left of the load of the busiest shard for it to go on.
const LOAD_LEFT: f64 = 0.5;

/// Averages below this share of a window are forgotten.
const LOAD_MIN: f32 = 1e-5;

/// A shard in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// For which share of it its thread had something to do, from 0 to 1.
    pub busy: f64,
    /// Which shares its calls took, by slot.
    pub slots: Vec<(u16, f64)>,
}

/// What is to be done, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Verdict {
    /// There is one shard, or nobody has asked.
    #[default]
    None,
    /// Nothing: no shard is busy, or all are.
    Calm(Gap),
    /// Nothing yet: so many windows running were uneven.
    Uneven(Gap, u32),
    /// These slots, which take this share of a window together.
    Move(Gap, Vec<u16>, f64),
    /// Nothing: no slot that may move makes it better. The hottest, with its share of a window.
    Stuck(Gap, Option<(u16, f64)>),
}

/// The busiest and the idlest shard.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gap {
    /// The busiest.
    pub from: ShardId,
    /// Its share of the window.
    pub most: f64,
    /// The idlest.
    pub to: ShardId,
    /// Its share of the window.
    pub least: f64,
}

impl Gap {
    /// Between these windows; of equals the first.
    fn of(windows: &[Window]) -> Gap {
        let mut gap = Gap { least: f64::INFINITY, ..Gap::default() };
        for (shard, window) in (0..).zip(windows) {
            if window.busy > gap.most {
                (gap.from, gap.most) = (shard, window.busy);
            }
            if window.busy < gap.least {
                (gap.to, gap.least) = (shard, window.busy);
            }
        }
        gap
    }

    /// In shares of the window.
    fn width(&self) -> f64 {
        self.most - self.least
    }

    /// In shares of what the busiest does.
    fn spread(&self) -> f64 {
        if self.most > 0.0 { self.width() / self.most } else { 0.0 }
    }
}

impl Verdict {
    /// The verdict in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::None => "none",
            Verdict::Calm(_) => "calm",
            Verdict::Uneven(..) => "uneven",
            Verdict::Move(..) => "move",
            Verdict::Stuck(..) => "stuck",
        }
    }
}

/// A share as a percentage.
fn percent(share: f64) -> f64 {
    share * 100.0
}

impl Display for Verdict {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let gap = match self {
            Verdict::None => return out.write_str("nothing was measured"),
            Verdict::Calm(gap) | Verdict::Uneven(gap, _) | Verdict::Move(gap, ..) => gap,
            Verdict::Stuck(gap, _) => gap,
        };
        let Gap { from, most, to, least } = *gap;
        let (most, least) = (percent(most), percent(least));
        write!(
            out,
            "shard {from} is busy for {most:.0}% of the time and shard {to} for {least:.0}%"
        )?;
        match self {
            Verdict::None | Verdict::Calm(_) => Ok(()),
            Verdict::Uneven(_, windows) => write!(out, " in window {windows} running"),
            Verdict::Move(_, slots, share) => {
                let (count, share) = (slots.len(), percent(*share));
                write!(out, " and {count} slots with {share:.0}% go there")
            }
            Verdict::Stuck(_, Some((slot, share))) => {
                let share = percent(*share);
                write!(out, " and slot {slot} alone takes {share:.0}% and would only take it along")
            }
            Verdict::Stuck(_, None) => out.write_str(" and no slot that may move makes it better"),
        }
    }
}

/// What is known of the load, and what was decided lately.
#[derive(Debug, Default)]
pub struct Balance {
    /// By slot, in shares of a window; empty until there is some.
    loads: Vec<f32>,
    /// Windows running in which it was uneven.
    uneven: u32,
    /// Slots move until it is even.
    moves_on: bool,
    /// Slots that have moved, and until when they rest, in milliseconds of the steady clock.
    resting: BTreeMap<u16, u64>,
}

impl Balance {
    /// Takes a window of every shard in, and says what is to be done. `now_ms` never goes back.
    pub fn decide(
        &mut self,
        map: &Map,
        windows: &[Window],
        rules: &Rebalancing,
        now_ms: u64,
    ) -> Verdict {
        if windows.len() < 2 {
            return Verdict::None;
        }
        self.take_in(map, windows);
        self.resting.retain(|_, until_ms| *until_ms > now_ms);
        let gap = Gap::of(windows);
        if !self.goes_on(&gap, rules) {
            return match self.uneven {
                0 => Verdict::Calm(gap),
                windows => Verdict::Uneven(gap, windows),
            };
        }
        let (slots, share) = self.choose(map, &gap);
        if slots.is_empty() {
            return Verdict::Stuck(gap, self.hottest(map, windows.len())[usize::from(gap.from)]);
        }
        Verdict::Move(gap, slots, share)
    }

    /// These slots move: they rest behind that.
    pub fn moves(&mut self, slots: &[u16], rules: &Rebalancing, now_ms: u64) {
        let until_ms = now_ms + u64::from(rules.rest_s) * 1_000;
        self.resting.extend(slots.iter().map(|slot| (*slot, until_ms)));
    }

    /// The hottest slot of each of so many shards, and its share of a window.
    pub fn hottest(&self, map: &Map, shards: usize) -> Vec<Option<(u16, f64)>> {
        let mut hottest: Vec<Option<(u16, f64)>> = vec![None; shards];
        for (slot, load) in self.loaded() {
            if let Some(so_far) = hottest.get_mut(usize::from(map.owner(slot)))
                && so_far.is_none_or(|(_, most)| load > most)
            {
                *so_far = Some((slot, load));
            }
        }
        hottest
    }

    /// Forgets everything but what rests.
    pub fn forget(&mut self) {
        let resting = std::mem::take(&mut self.resting);
        *self = Balance { resting, ..Balance::default() };
    }

    /// Whether slots move in this window.
    fn goes_on(&mut self, gap: &Gap, rules: &Rebalancing) -> bool {
        if self.moves_on {
            let is_loaded = gap.most > rules.busy * LOAD_LEFT;
            self.moves_on = is_loaded && gap.spread() >= rules.stop;
        } else {
            let is_uneven = gap.most > rules.busy && gap.spread() > rules.start;
            self.uneven = if is_uneven { self.uneven + 1 } else { 0 };
            self.moves_on = self.uneven >= rules.windows;
        }
        if self.moves_on {
            self.uneven = 0;
        }
        self.moves_on
    }

    fn take_in(&mut self, map: &Map, windows: &[Window]) {
        self.loads.resize(usize::from(SLOTS), 0.0);
        for load in &mut self.loads {
            *load = if *load < LOAD_MIN { 0.0 } else { *load / 2.0 };
        }
        for (shard, window) in (0..).zip(windows) {
            let calls: f64 = window.slots.iter().map(|(_, share)| share).sum();
            let whole = (window.busy / calls.max(f64::MIN_POSITIVE)).clamp(1.0, WHOLE_MAX);
            // What is on loan there is not its own.
            let own = window.slots.iter().filter(|(slot, _)| map.owner(*slot) == shard);
            own.for_each(|(slot, share)| {
                self.loads[usize::from(*slot)] += (share * whole) as f32 / 2.0
            });
        }
    }

    /// The slots that have a load.
    fn loaded(&self) -> impl Iterator<Item = (u16, f64)> {
        let loads = (0..).zip(&self.loads).filter(|(_, load)| **load > 0.0);
        loads.map(|(slot, load)| (slot, f64::from(*load)))
    }

    /// The slots that move, and their share of a window.
    fn choose(&self, map: &Map, gap: &Gap) -> (Vec<u16>, f64) {
        let may_move = |slot: u16| map.owner(slot) == gap.from && !self.resting.contains_key(&slot);
        let mut ranked: Vec<_> = self.loaded().filter(|(slot, _)| may_move(*slot)).collect();
        ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let (mut slots, mut share, half) = (Vec::new(), 0.0, gap.width() / 2.0);
        for (slot, load) in &ranked {
            if share + load <= half && slots.len() < MOVES_MAX {
                slots.push(*slot);
                share += load;
            }
        }
        if slots.is_empty() {
            // All that are left are more than half of it: the last is the smallest.
            let smallest = ranked.last().filter(|(_, load)| {
                let left = (gap.width() - 2.0 * load).abs();
                left <= gap.width() * (1.0 - WORTH)
            });
            if let Some((slot, load)) = smallest {
                return (vec![*slot], *load);
            }
        }
        (slots, share)
    }
}

#[cfg(test)]
mod tests;
