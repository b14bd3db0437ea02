//! The clients as a directory: how each is described, which match a filter, who is paused,
//! who has called MONITOR, and what memory they hold.
//!
//! Each thread keeps the rows of its own connections; a question goes to all threads, and the
//! connection that asked puts the rows together.

mod matching;
mod peaks;
mod row;
mod weights;

pub use peaks::Peaks;
pub use row::{Buffers, Row, Traffic};
pub use weights::{Counted, Sum, Weight, Weights, whose_turn};

use crate::base::millis::Millis;
use crate::batch::Home;
use crate::commands::action::PauseMode;

/// A pause in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Until when, in milliseconds of unix time.
    pub until: Millis,
    /// What it holds back.
    pub mode: PauseMode,
}

/// A client that has called MONITOR: it is shown every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonitorClient {
    /// Where it is.
    pub home: Home,
    /// Its number.
    pub client: u64,
}

impl Pause {
    /// The pause in force after `asked` came while `current` may be in force: a pause grows, and
    /// never shrinks but by CLIENT UNPAUSE.
    pub fn after(current: Option<Pause>, asked: Pause, now: Millis) -> Pause {
        match current.filter(|pause| pause.until > now) {
            Some(pause) => {
                Pause { until: pause.until.max(asked.until), mode: pause.mode.max(asked.mode) }
            }
            None => asked,
        }
    }
}

/// What holds writes back: clients, by CLIENT PAUSE, and parts of the server that need it.
#[derive(Debug, Default)]
pub struct Pauses {
    asked: Option<Pause>,
    /// Parts of the server that let no write in. They end in any order.
    holds: usize,
}

impl Pauses {
    /// CLIENT PAUSE, and without a pause CLIENT UNPAUSE, which ends nothing of the server's own.
    pub fn ask(&mut self, asked: Option<Pause>, now: Millis) {
        self.asked = asked.map(|asked| Pause::after(self.asked, asked, now));
    }

    /// A part of the server lets no write in until it calls [`Pauses::let_writes_in`].
    pub fn hold_writes(&mut self) {
        self.holds += 1;
    }

    /// It lets them in again.
    pub fn let_writes_in(&mut self) {
        self.holds = self.holds.saturating_sub(1);
    }

    /// The pause in force.
    pub fn in_force(&self, now: Millis) -> Option<Pause> {
        let own = Pause { until: Millis::MAX, mode: PauseMode::Write };
        match self.holds {
            0 => self.asked.filter(|pause| pause.until > now),
            _ => Some(Pause::after(self.asked, own, now)),
        }
    }
}

/// The text of CLIENT LIST: the rows in the order of their ids, a line each.
pub fn list(mut rows: Vec<Row>, now: Millis) -> Vec<u8> {
    rows.sort_unstable_by_key(|row| row.id);
    let mut text = Vec::with_capacity(rows.len() * 400);
    for row in &rows {
        row.write(now, &mut text);
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_only_grows() {
        let pause = |until, mode| Pause { until: Millis(until), mode };
        let long = pause(50, PauseMode::Write);
        let short = pause(20, PauseMode::All);
        assert_eq!(Pause::after(None, short, Millis(0)), short);
        assert_eq!(Pause::after(Some(long), short, Millis(0)), pause(50, PauseMode::All));
        assert_eq!(Pause::after(Some(long), short, Millis(60)), short);
    }

    #[test]
    fn writes_are_held_until_every_part_lets_them_in() {
        let (mut pauses, now) = (Pauses::default(), Millis(10));
        let asked = Pause { until: Millis(50), mode: PauseMode::Write };
        let own = Pause { until: Millis::MAX, mode: PauseMode::Write };
        pauses.hold_writes();
        pauses.hold_writes();
        // The first lets them in before the second does, whichever began first.
        pauses.let_writes_in();
        assert_eq!(pauses.in_force(now), Some(own));
        pauses.ask(Some(asked), now);
        assert_eq!(pauses.in_force(now), Some(own));
        pauses.let_writes_in();
        assert_eq!(pauses.in_force(now), Some(asked), "that of clients lasts");
        assert_eq!(pauses.in_force(Millis(60)), None);
        pauses.hold_writes();
        pauses.ask(None, now);
        assert_eq!(pauses.in_force(now), Some(own), "no client ends it");
        pauses.let_writes_in();
        assert_eq!(pauses.in_force(now), None);
    }
}
