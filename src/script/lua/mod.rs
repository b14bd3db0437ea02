//! The engine: Luau, unpatched, with the libraries, the numbers and the words of Redis's Lua 5.1.
//!
//! ```text
//! mod        the engine: machines that wait, and runs
//! job        what goes between a run's host and its machine
//! control    where a run stands still, and how it is killed; interrupt, the engine's own
//! machine    one virtual machine on a stack of its own
//! prelude    what scripts see, in Lua
//! native     the functions of Rust behind it; server, cjson, cmsgpack, structs, bit
//! natives    what those keep for a run
//! source     programs of 5.1, rewritten where the engine reads them otherwise
//! answer     replies of commands as values, and reply the other way
//! number     numbers as arguments and as text
//! ```
//!
//! Each run has a machine to itself until its end, on a stack of its own, so that it can stand
//! still in the middle of anything. Machines are kept for the next run. A machine that a run has
//! filled, or in which there was a panic, is not.
//!
//! What differs from Redis's Lua: a number joined to a text by `..`, or given to a function of
//! `string` for a text, has up to 17 digits; `#` of a table with holes and the order of `pairs` are
//! the engine's; errors of the engine do not name the variable, and name the function where `pcall`
//! called it; those that end a coroutine have the engine's words; a level of `error` does not reach
//! beyond a `pcall`; `string.match` finds nothing from behind the end, not even an empty text; `%g`
//! is a class in patterns; `%s` writes a text with zeros whole; a function may return more than
//! 8,000 values, and a whole number beyond 2^31 does not wrap around; the syntax of Luau beyond 5.1
//! is accepted where it means nothing else there.

mod answer;
mod bit;
mod cjson;
mod cmsgpack;
mod control;
mod interrupt;
mod job;
mod machine;
mod native;
mod natives;
mod number;
mod reply;
mod server;
mod source;
mod structs;

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use self::control::Shared;
use self::job::{Input, Job, Output};
use super::engine::{Engine, Facts, Propagation, Protocol, Run, Step};
use super::error::ScriptError;
use super::flags;
use super::libraries::{Function, Library};
use super::scripts::{Script, Sha};
use super::stack::{Pause, Stack};

/// Machines kept without a job.
const IDLE_MAX: usize = 16;

/// What a run may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that a machine may hold for a script; past it, the script fails.
    pub memory_bytes: usize,
    /// Bytes of all arguments of one command.
    pub arguments_bytes: usize,
    /// Bytes of the reply of a run.
    pub reply_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Limits { memory_bytes: 256 * MIB, arguments_bytes: 512 * MIB, reply_bytes: 512 * MIB }
    }
}

/// A machine as its host holds it.
struct Host {
    stack: Stack<Input, Output>,
    shared: Rc<Shared>,
}

impl Host {
    /// A new machine; it is made when its first job comes.
    fn new(limits: Limits) -> Option<Host> {
        let shared = Rc::new(Shared::default());
        let inner = shared.clone();
        let body = move |pause: Pause<Input, Output>, first| {
            machine::body(pause, inner, limits, first);
        };
        let stack = Stack::new(body).ok()?;
        Some(Host { stack, shared })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Without a job it ends at once; a run that is dropped has ended its job before.
        self.stack.resume(Input::Stop);
    }
}

/// Machines without a job, and how many bytes each held at its end.
#[derive(Default)]
struct Pool {
    idle: Vec<Host>,
    /// Machines that have a job.
    busy: usize,
}

/// The engine of one thread.
pub struct LuaEngine {
    pool: Rc<RefCell<Pool>>,
    limits: Limits,
}

impl LuaEngine {
    /// An engine without machines. They are made as runs need them.
    pub fn new(limits: Limits) -> LuaEngine {
        LuaEngine { pool: Rc::default(), limits }
    }

    fn run(&self, job: Job) -> Box<LuaRun> {
        let (pool, limits) = (self.pool.clone(), self.limits);
        Box::new(LuaRun { pool, limits, begins_with: Some(job), host: None, killed: None })
    }
}

impl Engine for LuaEngine {
    fn compile(&mut self, body: &[u8]) -> Result<Script, ScriptError> {
        let shebang = flags::of_script(body)?;
        let program = compile(&body[shebang.len..])
            .map_err(|problem| ScriptError::Script(format!("user_script:{problem}")))?;
        let (sha, flags) = (Sha::of(body), shebang.flags);
        Ok(Script { body: Bytes::copy_from_slice(body), sha, flags, program: program.into() })
    }

    fn load(&mut self, code: &[u8], is_over: &dyn Fn() -> bool) -> Result<Library, ScriptError> {
        let (name, len) = flags::of_library(code)?;
        let program: Bytes = compile(&code[len..])
            .map_err(|problem| ScriptError::Compiling(format!("user_function:{problem}")))?
            .into();
        let sha = Sha::of(code);
        let mut run = self.run(Job::Load { sha, program: program.clone() });
        let functions = run.load(is_over).map_err(ScriptError::Registering)?;
        check_names(&functions)?;
        Ok(Library { name, code: Bytes::copy_from_slice(code), functions, sha, program })
    }

    fn eval(
        &mut self,
        script: &Arc<Script>,
        keys: Vec<Bytes>,
        arguments: Vec<Bytes>,
        facts: Facts,
    ) -> Box<dyn Run> {
        self.run(Job::Eval { script: script.clone(), keys, arguments, facts })
    }

    fn call(
        &mut self,
        library: &Arc<Library>,
        function: &Function,
        keys: Vec<Bytes>,
        arguments: Vec<Bytes>,
        facts: Facts,
    ) -> Box<dyn Run> {
        let (library, function) = (library.clone(), function.name.clone());
        self.run(Job::Call { library, function, keys, arguments, facts })
    }

    fn memory(&self) -> usize {
        self.pool.borrow().idle.iter().map(|host| host.shared.memory.get()).sum()
    }

    fn running(&self) -> usize {
        self.pool.borrow().busy
    }
}

/// A run, with its machine from its first step to its last.
struct LuaRun {
    pool: Rc<RefCell<Pool>>,
    limits: Limits,
    begins_with: Option<Job>,
    host: Option<Host>,
    /// How it is to end if it has no machine yet.
    killed: Option<String>,
}

impl LuaRun {
    /// Takes a machine and begins.
    fn begin(&mut self, job: Job) -> Option<Output> {
        let idle = self.pool.borrow_mut().idle.pop();
        let host = match idle {
            Some(host) => host,
            None => Host::new(self.limits)?,
        };
        host.shared.reset();
        self.pool.borrow_mut().busy += 1;
        self.host.insert(host).stack.resume(Input::Job(Box::new(job)))
    }

    /// Goes on to the next output that is no pulse; none if the machine is gone.
    fn advance(&mut self, input: Input, is_over: &dyn Fn() -> bool) -> Option<Output> {
        let mut output = match self.begins_with.take() {
            Some(job) => self.begin(job),
            None => self.host.as_mut().and_then(|host| host.stack.resume(input)),
        };
        while let Some(Output::Pulse) = output {
            if is_over() {
                break;
            }
            output = self.host.as_mut().and_then(|host| host.stack.resume(Input::GoOn));
        }
        output
    }

    fn step(&mut self, input: Input, is_over: &dyn Fn() -> bool) -> Step {
        if let Some(error) = self.killed.take() {
            self.begins_with = None;
            return Step::Done { reply: reply::error(error.as_bytes()), failed: true };
        }
        match self.advance(input, is_over) {
            Some(Output::Pulse) => Step::Slice,
            Some(Output::Step(step @ Step::Done { .. })) => {
                self.release(true);
                step
            }
            Some(Output::Step(step)) => step,
            Some(Output::Loaded(_)) | None => {
                self.release(false);
                let reply = reply::error(b"ERR not enough memory for the script");
                Step::Done { reply, failed: true }
            }
        }
    }

    /// Loads a library, all of it.
    fn load(&mut self, is_over: &dyn Fn() -> bool) -> Result<Vec<Function>, String> {
        let mut output = self.advance(Input::GoOn, is_over);
        loop {
            match output {
                Some(Output::Pulse) => self.kill("ERR FUNCTION LOAD timeout"),
                // There is no host to ask while a library is loaded; a line for the log is dropped.
                Some(Output::Step(_)) => {}
                Some(Output::Loaded(result)) => {
                    self.release(true);
                    return result;
                }
                None => {
                    self.release(false);
                    return Err("ERR not enough memory for the library".to_owned());
                }
            }
            output = self.advance(Input::GoOn, is_over);
        }
    }

    /// Gives the machine back, if it may be used again.
    fn release(&mut self, is_sound: bool) {
        let Some(host) = self.host.take() else { return };
        let mut pool = self.pool.borrow_mut();
        pool.busy -= 1;
        let is_small = host.shared.memory.get() < self.limits.memory_bytes / 4;
        if is_sound && is_small && pool.idle.len() < IDLE_MAX {
            pool.idle.push(host);
        }
    }
}

impl Run for LuaRun {
    fn resume(&mut self, is_over: &dyn Fn() -> bool) -> Step {
        self.step(Input::GoOn, is_over)
    }

    fn answer(&mut self, reply: &[u8], is_over: &dyn Fn() -> bool) -> Step {
        self.step(Input::Answer(reply.to_vec()), is_over)
    }

    fn protocol(&self) -> Protocol {
        self.host.as_ref().map(|host| host.shared.protocol.get()).unwrap_or_default()
    }

    fn propagation(&self) -> Propagation {
        self.host.as_ref().map(|host| host.shared.propagation.get()).unwrap_or_default()
    }

    fn kill(&mut self, error: &str) {
        match &self.host {
            Some(host) => host.shared.kill(error),
            None => {
                self.killed.get_or_insert_with(|| error.to_owned());
            }
        }
    }
}

impl Drop for LuaRun {
    /// Brings a run to its end that its host has given up: its stack holds frames of C++.
    fn drop(&mut self) {
        if self.host.is_none() {
            return;
        }
        self.kill("ERR the run was given up");
        loop {
            match self.advance(Input::GoOn, &|| false) {
                Some(Output::Step(Step::Done { .. }) | Output::Loaded(_)) => {
                    return self.release(true);
                }
                Some(_) => {}
                None => return self.release(false),
            }
        }
    }
}

/// Refuses what a library must not register.
fn check_names(functions: &[Function]) -> Result<(), ScriptError> {
    let mut names = HashSet::new();
    for function in functions {
        if !flags::is_name(function.name.as_bytes()) {
            return Err(ScriptError::FunctionName);
        }
        if !names.insert(&function.name) {
            return Err(ScriptError::FunctionTwice);
        }
    }
    if names.is_empty() { Err(ScriptError::NoFunctions) } else { Ok(()) }
}

/// Compiles on a stack of its own: how deep a program nests is bounded for one of a certain size,
/// and the thread's may be smaller.
fn compile(program: &[u8]) -> Result<Vec<u8>, String> {
    let (program, result) = (program.to_vec(), Rc::new(RefCell::new(None)));
    let inner = result.clone();
    let body = move |_: Pause<(), ()>, ()| {
        inner.replace(Some(native::compile(&program)));
    };
    let short = || "1: not enough memory".to_owned();
    Stack::new(body).map_err(|_| short())?.resume(());
    result.take().unwrap_or_else(|| Err(short()))
}

#[cfg(test)]
mod tests;
