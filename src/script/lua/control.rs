//! What a run's host may ask of it, and where a run stands still.
//!
//! A run gives its thread back by suspending its stack, from wherever it is. It does so in order to
//! ask its host something, and at a pulse: every [`SAFEPOINTS`] calls and jumps of the script, and
//! at once when the memory of its machine has changed by [`LEAP_BYTES`], for then it has just done
//! something that takes long. Whatever takes long in Rust counts its work by [`Control::work`]. At
//! a pulse the host looks whether the slice is over.
//!
//! A run that is to be killed fails at its next safepoint, and at each one after that, so that
//! nothing that catches errors gets any further.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::job::{Input, Output};
use crate::script::engine::{Propagation, Protocol, Step};
use crate::script::stack::Pause;

/// Calls and jumps of a script from one pulse to the next.
const SAFEPOINTS: u32 = 16;

/// Bytes that memory may grow or shrink by between two pulses, if there is a safepoint.
const LEAP_BYTES: usize = 256 * 1024;

/// Units of work in Rust, about a nanosecond to some ten each, that count as one safepoint.
const WORK: usize = 1024;

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
    /// Bytes of the machine, as of its last pulse or its end.
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
    /// Safepoints to the next pulse.
    left: Cell<u32>,
    /// Work in Rust since the last safepoint that it made.
    work: Cell<usize>,
}

impl Control {
    pub(super) fn new(pause: Pause<Input, Output>, shared: Rc<Shared>) -> Control {
        Control { pause, shared, left: Cell::new(SAFEPOINTS), work: Cell::new(0) }
    }

    /// A job begins, with the bytes that its machine holds.
    pub(super) fn begin(&self, memory: usize) {
        self.left.set(SAFEPOINTS);
        self.work.set(0);
        self.shared.memory.set(memory);
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A call or a jump of the script, with the bytes that its machine holds.
    #[inline]
    pub(super) fn safepoint(&self, memory: usize) -> Result<(), Killed> {
        if self.shared.is_killed.get() {
            return Err(Killed);
        }
        let left = self.left.get();
        if left > 0 && memory.abs_diff(self.shared.memory.get()) < LEAP_BYTES {
            self.left.set(left - 1);
            return Ok(());
        }
        self.shared.memory.set(memory);
        self.pulse()
    }

    /// So many units of work in Rust.
    #[inline]
    pub(super) fn work(&self, units: usize) -> Result<(), Killed> {
        let work = self.work.get().saturating_add(units);
        if work < WORK {
            self.work.set(work);
            return Ok(());
        }
        self.work.set(0);
        let safepoints = (work / WORK) as u32;
        match self.left.get().checked_sub(safepoints) {
            Some(left) if !self.shared.is_killed.get() => {
                self.left.set(left);
                Ok(())
            }
            _ => self.pulse(),
        }
    }

    /// Lets the host look whether the slice is over.
    pub(super) fn pulse(&self) -> Result<(), Killed> {
        self.left.set(SAFEPOINTS);
        if !self.shared.is_killed.get() {
            self.pause.suspend(Output::Pulse);
        }
        if self.shared.is_killed.get() { Err(Killed) } else { Ok(()) }
    }

    /// Asks the host for what a step says; returns its answer, which is empty if none is due.
    pub(super) fn ask(&self, step: Step) -> Result<Vec<u8>, Killed> {
        if self.shared.is_killed.get() {
            return Err(Killed);
        }
        let input = self.pause.suspend(Output::Step(step));
        if self.shared.is_killed.get() {
            return Err(Killed);
        }
        match input {
            Input::Answer(answer) => Ok(answer),
            Input::GoOn | Input::Job(_) | Input::Stop => Ok(Vec::new()),
        }
    }
}
