//! Who stands beside a shard: tells the history what runs there and what expires, and makes it
//! panic when that is wanted.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use troupe::commands::error::CommandError;
use troupe::hook::push::Push;
use troupe::hook::{Called, Listener, Outcome, Sink};
use troupe::keyspace::key::Key;
use troupe::keyspace::listener::Event;

use crate::checks::history::{Ended, History};
use crate::rare::{Counts, Rare};

/// The number of a client whose calls are not told.
pub const NOBODY: u64 = 0;

/// Words of every panic that is wanted.
pub const WANTED: &str = "simulated panic";

/// Tells the history what happens on a shard.
#[derive(Clone)]
pub struct Witness {
    /// The shard.
    pub shard: u16,
    /// What is told.
    pub history: Rc<RefCell<History>>,
    /// What of it is rare.
    pub rare: Rc<RefCell<Counts>>,
}

impl Sink for Witness {
    fn called(&mut self, called: &Called<'_>, _pushes: &mut Vec<Push>) {
        if called.session.id == NOBODY {
            return;
        }
        let ended = match called.outcome {
            Outcome::Refused(error) => Ended::Refused(error.to_string()),
            Outcome::Failed(error @ CommandError::Internal) => Ended::Panicked(error.to_string()),
            Outcome::Ran(_) | Outcome::Failed(_) => Ended::Ran,
        };
        if let Outcome::Refused(error) = called.outcome {
            let rare = match error {
                CommandError::JournalFailed(_) => Rare::Misconf,
                _ => Rare::Loading,
            };
            self.rare.borrow_mut().met(rare);
        }
        let (raw, now) = (called.call.raw, called.now.0);
        let has_effects = !called.effects.is_empty();
        let client = called.session.id;
        self.history.borrow_mut().ran(self.shard, client, raw, now, ended, has_effects);
    }
}

impl Listener for Witness {
    fn touched(&mut self, _db: u32, key: Key<'_>, event: Event, _bytes: i64) {
        if event == Event::EXPIRED {
            self.rare.borrow_mut().met(Rare::Expired);
            self.history.borrow_mut().expired(self.shard, &String::from_utf8_lossy(key.name));
        }
    }
}

/// Where the next panic of a shard comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lit {
    /// Nowhere.
    #[default]
    Out,
    /// From the change of a key, when so many more have changed.
    InChange(u32),
    /// From what comes after a call.
    AfterCall,
}

/// Makes a shard panic.
#[derive(Clone, Debug, Default)]
pub struct Fuse(pub Rc<Cell<Lit>>);

impl Listener for Fuse {
    fn touched(&mut self, _db: u32, _key: Key<'_>, event: Event, _bytes: i64) {
        // A shard that takes keys out on its own has no call that could fail.
        if event == Event::EXPIRED {
            return;
        }
        match self.0.get() {
            Lit::InChange(0) => {
                self.0.set(Lit::Out);
                panic!("{WANTED}: a key was half changed");
            }
            Lit::InChange(left) => self.0.set(Lit::InChange(left - 1)),
            Lit::AfterCall | Lit::Out => {}
        }
    }
}

impl Sink for Fuse {
    fn called(&mut self, called: &Called<'_>, _pushes: &mut Vec<Push>) {
        if self.0.get() == Lit::AfterCall && called.session.id != NOBODY {
            self.0.set(Lit::Out);
            panic!("{WANTED}: after a call");
        }
    }
}
