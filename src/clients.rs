//! The clients as a directory: which match a filter, how each is described, who is paused.
//!
//! Each thread keeps the rows of its own connections; a question goes to all threads.

use crate::base::millis::Millis;

/// Which commands a pause holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseMode {
    /// Those that may write.
    Write,
    /// All.
    All,
}

/// A pause in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Until when, in milliseconds of unix time.
    pub until: Millis,
    /// What it holds back.
    pub mode: PauseMode,
}

/// Which clients are meant. An empty filter means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these.
    pub ids: Vec<u64>,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Id.
    pub id: u64,
}
impl Row {
    /// New.
    pub fn new(session: &crate::session::Session) -> Row {
        Row { id: session.id }
    }
    /// Update.
    pub fn update(&mut self, _session: &crate::session::Session, _now: Millis) {}
}
impl Filter {
    /// Matches.
    pub fn matches(&self, row: &Row) -> bool {
        self.ids.contains(&row.id)
    }
}
