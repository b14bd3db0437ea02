//! What a run's host may ask of it, and where a run stands still.
//!
//! A run gives its thread back by suspending its stack, from wherever it is. It does so in order to
//! ask its host something, and at a pulse: every [`SAFEPOINTS`] calls and jumps of the script, and
//! sooner where [`interrupt`] finds that it takes long. Whatever takes long in Rust counts its work
//! by [`Control::work`]. At a pulse the host looks whether the slice is over.
//!
//! A run that is to be killed fails at its next safepoint, and at each one after that, so that
//! nothing that catches errors gets any further.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::interrupt;
use super::job::{Input, Output};
use crate::script::engine::{Propagation, Protocol, Step};
use crate::script::stack::Pause;

/// Calls and jumps of a script from one pulse to the next.
const SAFEPOINTS: u32 = 32;

/// Units of work in Rust, about a nanosecond to some ten each, from one pulse to the next.
const WORK: usize = 16 * 1024;

/// What a host and the run on the other stack share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The error that ends the run.
    killed: RefCell<Option<String>>,
    is_killed: Cell<bool>,
    /// The line of the script where it was killed; zero if that is not known.
    pub(super) killed_at: Cell<u32>,
    /// What `setresp` has set.
    pub(super) protocol: Cell<Protocol>,
    /// What `set_repl` has set.
    pub(super) propagation: Cell<Propagation>,
    /// Bytes of the machine at the end of its last job.
    pub(super) memory: Cell<usize>,
}

impl Shared {
    /// Ends the run with an error. The first one counts.
    pub(super) fn kill(&self, error: &str) {
        self.killed.borrow_mut().get_or_insert_with(|| error.to_owned());
        self.is_killed.set(true);
    }

    /// The error of a run that was killed.
    pub(super) fn killed(&self) -> Option<String> {
        self.killed.borrow().clone()
    }

    /// Begins another run.
    pub(super) fn reset(&self) {
        self.killed.replace(None);
        self.is_killed.set(false);
        self.killed_at.set(0);
        self.protocol.set(Protocol::default());
        self.propagation.set(Propagation::default());
    }
}

/// Why the script goes no further.
#[derive(Clone, Copy, Debug)]
pub(super) struct Killed;

impl From<Killed> for mlua::Error {
    fn from(Killed: Killed) -> Self {
        mlua::Error::runtime("killed")
    }
}

/// A run's hold on its stack.
pub(super) struct Control {
    pause: Pause<Input, Output>,
    shared: Rc<Shared>,
    /// Work in Rust since the last pulse that it made.
    work: Cell<usize>,
}

impl Control {
    pub(super) fn new(pause: Pause<Input, Output>, shared: Rc<Shared>) -> Control {
        Control { pause, shared, work: Cell::new(0) }
    }

    /// A job begins.
    pub(super) fn begin(&self) {
        self.work.set(0);
        interrupt::arm(SAFEPOINTS);
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// So many units of work in Rust; true after a pulse.
    #[inline]
    pub(super) fn work(&self, units: usize) -> Result<bool, Killed> {
        let work = self.work.get().saturating_add(units);
        self.work.set(work);
        if work < WORK {
            return Ok(false);
        }
        self.work.set(0);
        self.pulse()?;
        Ok(true)
    }

    /// Lets the host look whether the slice is over.
    pub(super) fn pulse(&self) -> Result<(), Killed> {
        self.go_on()?;
        self.pause.suspend(Output::Pulse);
        self.go_on()
    }

    /// Goes on, unless the run was killed: then it comes here again at its next safepoint.
    fn go_on(&self) -> Result<(), Killed> {
        let is_killed = self.shared.is_killed.get();
        interrupt::arm(if is_killed { 0 } else { SAFEPOINTS });
        if is_killed { Err(Killed) } else { Ok(()) }
    }

    /// Asks the host for what a step says; returns its answer, which is empty if none is due.
    pub(super) fn ask(&self, step: Step) -> Result<Vec<u8>, Killed> {
        self.go_on()?;
        let input = self.pause.suspend(Output::Step(step));
        self.go_on()?;
        match input {
            Input::Answer(answer) => Ok(answer),
            Input::GoOn | Input::Job(_) | Input::Stop => Ok(Vec::new()),
        }
    }
}
