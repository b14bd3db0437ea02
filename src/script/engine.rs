//! What runs scripts, whatever their language: a run is a value that is stepped.
//!
//! A run never borrows the shard. Where it calls a command, or where its slice ends, it hands a
//! [`Step`] to its host and stands still, in the middle of whatever it does, until the host goes
//! on with it. The host may leave it standing as long as it likes, and may end it at any step. A
//! run that is dropped before its end is killed first.
//!
//! Clocks are the host's: how long a slice may be is asked of the closure that each step is given.

use std::sync::Arc;

use bytes::Bytes;

use super::error::ScriptError;
use super::libraries::{Function, Library};
use super::scripts::Script;

/// The version of the protocol that a reply is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2.
    #[default]
    Two,
    /// RESP3.
    Three,
}

/// What a run sees of the world but for what its commands answer, and must see again if it is run
/// anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// The client's protocol, in which the run's own reply is written.
    pub protocol: Protocol,
    /// Where the run's random numbers begin.
    pub seed: u64,
}

/// Where the effects of a run's commands go: what the script last asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagation {
    /// To the journal.
    pub journal: bool,
    /// To replicas.
    pub replicas: bool,
}

impl Default for Propagation {
    fn default() -> Self {
        Propagation { journal: true, replicas: true }
    }
}

/// The level of a line that a script writes to the server's log, rising.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `LOG_DEBUG`.
    Debug,
    /// `LOG_VERBOSE`.
    Verbose,
    /// `LOG_NOTICE`.
    Notice,
    /// `LOG_WARNING`.
    Warning,
}

/// What a run asks for, or how it has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A command with these arguments (at least one). The run goes on with [`Run::answer`].
    Call {
        /// The command's name and its arguments.
        arguments: Vec<Vec<u8>>,
        /// True for `redis.pcall`, which hands an error to the script instead of raising it.
        protected: bool,
    },
    /// Whether the user may run this command. Goes on with [`Run::answer`]: `:1`, `:0`, or an error
    /// if there is no such command.
    MayCall {
        /// The command's name and its arguments.
        arguments: Vec<Vec<u8>>,
    },
    /// A line for the server's log. The run goes on with [`Run::resume`].
    Log {
        /// How much it matters.
        level: Level,
        /// The line.
        message: Vec<u8>,
    },
    /// Its slice is over. The run goes on with [`Run::resume`].
    Slice,
    /// It has ended. No further step may be asked of it.
    Done {
        /// The reply in the client's protocol; an error is a reply as well.
        reply: Vec<u8>,
        /// True if the script failed or was killed; false if it returned, if only an error reply.
        failed: bool,
    },
}

/// One run of a script or a function.
pub trait Run {
    /// Starts it, or goes on after a slice or a line for the log, until `is_over` says that the
    /// slice is over. That is asked every few hundred steps of the script, not at each.
    fn resume(&mut self, is_over: &dyn Fn() -> bool) -> Step;

    /// Goes on with what was asked for: one reply as the command wrote it, in the protocol of
    /// [`Run::protocol`].
    fn answer(&mut self, reply: &[u8], is_over: &dyn Fn() -> bool) -> Step;

    /// The protocol in which replies to its commands are wanted.
    fn protocol(&self) -> Protocol;

    /// Where the effects of its next command go.
    fn propagation(&self) -> Propagation;

    /// Ends it with an error (code word and text) as soon as it is stepped again. The script cannot
    /// catch it. The first call counts.
    fn kill(&mut self, error: &str);
}

/// One thread's engine. It stays on its thread, and so do its runs.
pub trait Engine {
    /// Compiles a script, its shebang included.
    fn compile(&mut self, body: &[u8]) -> Result<Script, ScriptError>;

    /// Compiles a library and lets it register its functions, until `is_over`, which is the timeout
    /// of FUNCTION LOAD.
    fn load(&mut self, code: &[u8], is_over: &dyn Fn() -> bool) -> Result<Library, ScriptError>;

    /// Begins a run of a script. Nothing of it has run before the first step.
    fn eval(
        &mut self,
        script: &Arc<Script>,
        keys: Vec<Bytes>,
        arguments: Vec<Bytes>,
        facts: Facts,
    ) -> Box<dyn Run>;

    /// Begins a run of a function of a library. Nothing of it has run before the first step.
    fn call(
        &mut self,
        library: &Arc<Library>,
        function: &Function,
        keys: Vec<Bytes>,
        arguments: Vec<Bytes>,
        facts: Facts,
    ) -> Box<dyn Run>;

    /// Bytes that its virtual machines hold that have no run.
    fn memory(&self) -> usize;

    /// Runs that have begun and not ended. Each holds a virtual machine, some hundred kilobytes.
    fn running(&self) -> usize;
}
