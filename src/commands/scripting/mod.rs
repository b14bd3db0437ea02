//! Scripts and functions: what a thread knows of them, and the commands that run and change them.
//!
//! Every thread knows the same scripts and libraries, and has an engine of its own. A command that
//! makes something known is answered when every thread knows it. How a run goes on, and what its
//! commands may do, is the shard's.

pub mod eval;
pub mod function;
pub mod script;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::integer;
use crate::commands::action::Action;
use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::script::{
    Engine, Facts, Flag, Flags, Function, Libraries, Library, Run, Script, ScriptError, Scripts,
};

const TOO_MANY_KEYS: CommandError =
    CommandError::Text("ERR Number of keys can't be greater than number of args");
const NEGATIVE_KEYS: CommandError = CommandError::Text("ERR Number of keys can't be negative");

/// What a thread knows of scripts and functions, and runs them with.
pub struct Scripting {
    /// Compiles and runs them.
    pub engine: Box<dyn Engine>,
    /// Scripts by digest.
    pub scripts: Scripts,
    /// Libraries of functions.
    pub libraries: Libraries,
}

impl Scripting {
    /// Nothing is known yet.
    pub fn new(engine: Box<dyn Engine>) -> Scripting {
        Scripting { engine, scripts: Scripts::default(), libraries: Libraries::default() }
    }

    /// What is known, in numbers.
    pub fn figures(&self) -> ScriptFigures {
        let Scripting { engine, scripts, libraries } = self;
        ScriptFigures {
            scripts: scripts.len(),
            script_bytes: scripts.bytes(),
            evicted: scripts.evicted(),
            libraries: libraries.len(),
            functions: libraries.functions_len(),
            library_bytes: libraries.bytes(),
            machine_bytes: engine.memory(),
        }
    }

    /// Takes up a change of the scripts that are known.
    pub fn change(&mut self, change: ScriptChange) {
        match change {
            ScriptChange::Load(script) => self.scripts.load(script),
            ScriptChange::Evaluate(script) => self.scripts.evaluate(script),
            ScriptChange::Flush => self.scripts.flush(),
        }
    }

    /// Begins a run of what a call names.
    pub(crate) fn begin(&mut self, call: &Call<'_>, asked: &Asked, facts: Facts) -> Box<dyn Run> {
        let words = |range: Range<usize>| -> Vec<Bytes> {
            range.map(|at| Bytes::copy_from_slice(call.arg(at))).collect()
        };
        let (keys, arguments) = (words(asked.keys.clone()), words(asked.keys.end..call.len()));
        match &asked.program {
            Program::Script(script) => self.engine.eval(script, keys, arguments, facts),
            Program::Function(library, function) => {
                self.engine.call(library, function, keys, arguments, facts)
            }
        }
    }
}

impl fmt::Debug for Scripting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scripting { scripts, libraries, .. } = self;
        write!(f, "{} scripts, {} libraries", scripts.len(), libraries.len())
    }
}

/// What a thread knows of scripts and functions, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFigures {
    /// Scripts that are known.
    pub scripts: usize,
    /// Bytes of those.
    pub script_bytes: usize,
    /// Scripts of EVAL that had to go.
    pub evicted: u64,
    /// Libraries that are known.
    pub libraries: usize,
    /// Their functions.
    pub functions: usize,
    /// Bytes of those.
    pub library_bytes: usize,
    /// Bytes of the machines that run them.
    pub machine_bytes: usize,
}

/// A change of the scripts that all threads know.
#[derive(Clone, Debug)]
pub enum ScriptChange {
    /// SCRIPT LOAD: it stays.
    Load(Arc<Script>),
    /// EVAL: it stays while it is used.
    Evaluate(Arc<Script>),
    /// SCRIPT FLUSH.
    Flush,
}

impl PartialEq for ScriptChange {
    fn eq(&self, other: &ScriptChange) -> bool {
        match (self, other) {
            (ScriptChange::Load(one), ScriptChange::Load(other))
            | (ScriptChange::Evaluate(one), ScriptChange::Evaluate(other)) => one.sha == other.sha,
            (ScriptChange::Flush, ScriptChange::Flush) => true,
            _ => false,
        }
    }
}

/// What a call runs.
#[derive(Clone, Debug)]
pub enum Program {
    /// A script.
    Script(Arc<Script>),
    /// A function of a library.
    Function(Arc<Library>, Function),
}

impl Program {
    /// What it declares.
    pub fn flags(&self) -> Flags {
        match self {
            Program::Script(script) => script.flags,
            Program::Function(_, function) => function.flags,
        }
    }
}

/// How a call names what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// It brings the text of a script.
    ByText,
    /// By the digest of a script.
    ByDigest,
    /// By the name of a function.
    ByFunction,
}

/// A run that a call asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What runs.
    pub program: Program,
    /// Where its keys stand in the call; its other arguments follow.
    pub keys: Range<usize>,
    /// The command lets it write nothing.
    pub reads_only: bool,
}

impl Asked {
    /// Whether its writes are refused.
    pub fn may_not_write(&self) -> bool {
        self.reads_only || self.program.flags().has(Flag::NoWrites)
    }
}

/// What a command that runs a script comes to.
#[derive(Debug)]
pub enum Begin {
    /// It runs this.
    Runs(Asked),
    /// Something has to be done first; then it is asked again.
    Asks(Action),
}

/// Where the keys stand of a call whose number of keys stands at `at`.
///
/// # Errors
/// Where that is no number, or no number of keys of this call.
fn keys_of(call: &Call<'_>, at: usize, bad: CommandError) -> Result<Range<usize>, CommandError> {
    let count = integer::parse(call.arg(at)).ok_or(bad)?;
    let first = at + 1;
    if count > (call.len() - first) as i64 {
        return Err(TOO_MANY_KEYS);
    }
    let count = usize::try_from(count).map_err(|_| NEGATIVE_KEYS)?;
    Ok(first..first + count)
}

impl From<ScriptError> for CommandError {
    fn from(error: ScriptError) -> CommandError {
        CommandError::QuotedBytes(error.to_string().into_bytes())
    }
}
