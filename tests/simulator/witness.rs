//! Who stands beside a shard: tells the history what runs there, what expires and what is evicted,
//! and makes it panic when that is wanted.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use troupe::base::slot;
use troupe::commands::call::Call;
use troupe::commands::command::Flags;
use troupe::commands::error::CommandError;
use troupe::hook::push::Push;
use troupe::hook::{Called, Gate, Listener, Outcome, Sink, Standing};
use troupe::keyspace::key::Key;
use troupe::keyspace::listener::Event;
use troupe::session::Session;

use crate::checks::history::{Ended, History, Told};
use crate::rare::{Counts, Rare};
use crate::replicas::FIRST_LINK;

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

impl Witness {
    /// Where EXEC ran over several shards, that was rare.
    fn note_exec(&self, called: &Called<'_>) {
        let keys = std::mem::take(&mut self.history.borrow_mut().exec_keys);
        let owner = |key: &String| called.call.map.owner(slot::of(key.as_bytes()));
        let mut owners = keys.iter().map(owner);
        if let Some(first) = owners.next()
            && owners.any(|owner| owner != first)
        {
            self.rare.borrow_mut().met(Rare::ExecOverShards);
        }
    }

    /// Notes where the keys are that a client may cache now.
    fn note_owners(&self, called: &Called<'_>) {
        if called.session.tracking.is_some() && called.call.command.flags.has(Flags::READONLY) {
            let mut history = self.history.borrow_mut();
            for key in called.call.declared_keys() {
                let owner = called.call.map.owner(key.slot);
                let name = String::from_utf8_lossy(key.name).into_owned();
                history.pushes.cached_at(called.session.id, name, owner);
            }
        }
    }
}

impl Sink for Witness {
    fn called(&mut self, called: &Called<'_>, _pushes: &mut Vec<Push>) {
        // What scripts call is told of by their engine.
        if called.session.id == NOBODY || called.in_script {
            return;
        }
        if called.session.id >= FIRST_LINK {
            let is_refused = matches!(called.outcome, Outcome::Refused(_));
            self.history.borrow_mut().counted += u64::from(!is_refused);
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
                CommandError::OutOfMemory => Rare::OutOfMemory,
                CommandError::Busy(_) => Rare::Busy,
                _ => Rare::Loading,
            };
            self.rare.borrow_mut().met(rare);
        }
        let told = Told {
            shard: self.shard,
            connection: called.session.id,
            raw: called.call.raw,
            now: called.now.0,
            ended,
            error: match called.outcome {
                Outcome::Failed(error) => Some(error.to_string()),
                _ => None,
            },
            effects: called.effects,
            has_waited: called.has_waited,
        };
        self.history.borrow_mut().ran(told);
        self.note_owners(called);
        self.note_exec(called);
    }

    fn waits(&mut self, called: &Called<'_>, _pushes: &mut Vec<Push>) {
        let (client, raw) = (called.session.id, called.call.raw);
        self.history.borrow_mut().waits(client, raw, called.now.0);
    }

    fn queued(&mut self, call: &Call<'_>, session: &Session) {
        if session.id < FIRST_LINK {
            self.history.borrow_mut().queued(session.id, call.raw);
        }
    }
}

/// It lets everything pass, and is asked last: so it knows when a call begins.
impl Gate for Witness {
    fn admit(
        &mut self,
        call: &Call<'_>,
        session: &Session,
        _standing: &Standing<'_>,
    ) -> Result<(), CommandError> {
        if session.id < FIRST_LINK {
            self.history.borrow_mut().begins(self.shard, session.id, call.raw, call.now.0);
        }
        Ok(())
    }
}

impl Listener for Witness {
    fn touched(&mut self, _db: u32, key: Key<'_>, event: Event, _bytes: i64) {
        if self.history.borrow().is_over {
            return;
        }
        if event == Event::EXPIRED {
            self.rare.borrow_mut().met(Rare::Expired);
            self.history.borrow_mut().expired(self.shard, &String::from_utf8_lossy(key.name));
        }
        if event == Event::SILENT {
            self.history.borrow_mut().put_back(&String::from_utf8_lossy(key.name));
        }
        if event == Event::EVICTED {
            self.rare.borrow_mut().met(Rare::Evicted);
            self.history.borrow_mut().evicted(self.shard, &String::from_utf8_lossy(key.name));
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
        if event == Event::EXPIRED || event == Event::EVICTED {
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
