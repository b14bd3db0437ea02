//! What goes between a host and the stack of a virtual machine.

use std::sync::Arc;

use bytes::Bytes;

use crate::script::engine::{Facts, Step};
use crate::script::libraries::{Function, Library};
use crate::script::scripts::{Script, Sha};

/// What a machine is resumed with.
pub(super) enum Input {
    /// Something to run; only where the last output was an end, or nothing has run.
    Job(Box<Job>),
    /// Go on.
    GoOn,
    /// Go on with the answer to a step.
    Answer(Vec<u8>),
    /// Come to an end; only where a job would be due.
    Stop,
}

/// What a machine stands still for.
pub(super) enum Output {
    /// The host may look at its clock.
    Pulse,
    /// A step of the run, its end included.
    Step(Step),
    /// The functions that a library has registered, or why it failed.
    Loaded(Result<Vec<Function>, String>),
}

/// What a machine is to run.
pub(super) enum Job {
    /// A script.
    Eval { script: Arc<Script>, keys: Vec<Bytes>, arguments: Vec<Bytes>, facts: Facts },
    /// A function of a library.
    Call {
        library: Arc<Library>,
        function: String,
        keys: Vec<Bytes>,
        arguments: Vec<Bytes>,
        facts: Facts,
    },
    /// A library that is new: its digest and its compiled program.
    Load { sha: Sha, program: Bytes },
}
