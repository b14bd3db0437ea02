//! One virtual machine on its stack: what a script sees, and how a job is run.
//!
//! A machine runs one job after another and is empty in between: globals, libraries and metatables
//! are read-only, `KEYS` and `ARGV` are set anew, and so is what a script may set of its
//! libraries. What stays is compiled code, and what functions of a library keep between calls.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaOptions, StdLib, Table, Value, VmState};

use super::answer::up_to_zero;
use super::control::{Control, Shared};
use super::job::{Input, Job, Output};
use super::native::Hold;
use super::natives::{Natives, Registered};
use super::reply::{self, Names, NoReply, Writer};
use super::{Limits, interrupt, native};
use crate::script::engine::{Facts, Step};
use crate::script::libraries::Library;
use crate::script::scripts::{Script, Sha};
use crate::script::stack::Pause;

/// Scripts and libraries of which a machine keeps the loaded code; past it, it begins again.
const LOADED_MAX: usize = 1024;

/// Bytes that a machine may have grown by in a run before its garbage is collected at once.
const GARBAGE_MAX: usize = 4 * 1024 * 1024;

/// What a library registered in this machine.
struct LoadedLibrary {
    functions: HashMap<String, Function>,
}

/// A machine, with its handles on what the prelude made.
pub(super) struct Machine {
    lua: Lua,
    control: Rc<Control>,
    natives: Rc<Natives>,
    limits: Limits,
    names: Names,
    /// Calls a function and says where an error came from.
    run: Function,
    eval_globals: Table,
    function_globals: Table,
    load_globals: Table,
    scripts: RefCell<HashMap<Sha, Function>>,
    libraries: RefCell<HashMap<Sha, LoadedLibrary>>,
    /// Whether `KEYS` and `ARGV` are set.
    has_keys: Cell<bool>,
    /// Bytes of the machine when it was new.
    empty_bytes: usize,
}

/// Runs the jobs of one machine; the body of its stack. Ends without an output if there is no
/// memory for a machine.
pub(super) fn body(pause: Pause<Input, Output>, shared: Rc<Shared>, limits: Limits, first: Input) {
    let control = Rc::new(Control::new(pause.clone(), shared));
    let Ok(machine) = Machine::new(control, limits) else { return };
    let mut input = first;
    while let Input::Job(job) = input {
        input = pause.suspend(machine.take(*job));
    }
}

impl Machine {
    fn new(control: Rc<Control>, limits: Limits) -> mlua::Result<Machine> {
        let libraries = StdLib::COROUTINE
            | StdLib::TABLE
            | StdLib::OS
            | StdLib::STRING
            | StdLib::MATH
            | StdLib::DEBUG;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        let natives = Rc::new(Natives::default());
        let hold = Hold { control: control.clone(), natives: natives.clone(), limits };
        let table = native::table(&lua, &hold)?;
        let prelude = lua
            .load(
                &native::compiler().set_debug_level(0).compile(include_bytes!("prelude.lua"))?[..],
            )
            .set_mode(ChunkMode::Binary)
            .set_name("=prelude")
            .into_function()?;
        let made: Table = prelude.call(table)?;
        let eval_globals: Table = made.get("eval_globals")?;
        let function_globals: Table = made.get("function_globals")?;
        let load_globals: Table = made.get("load_globals")?;
        let strings: Table = made.get("string_metatable")?;
        for root in [&eval_globals, &function_globals, &load_globals, &strings] {
            protect(root)?;
        }
        eval_globals.set_safeenv(true);
        lua.set_type_metatable::<mlua::LuaString>(Some(strings));
        lua.set_globals(eval_globals.clone())?;
        let names = Names::new(&lua)?;
        let interrupts = control.clone();
        lua.set_interrupt(move |lua| {
            let passed = interrupts.pulse();
            passed.inspect_err(|_| note_line(lua, &interrupts))?;
            Ok(VmState::Continue)
        });
        interrupt::install(&lua);
        lua.gc_collect()?;
        let empty_bytes = lua.used_memory();
        Ok(Machine {
            run: made.get("run")?,
            names,
            eval_globals,
            function_globals,
            load_globals,
            scripts: RefCell::default(),
            libraries: RefCell::default(),
            has_keys: Cell::new(false),
            empty_bytes,
            limits,
            natives,
            control,
            lua,
        })
    }

    /// Runs a job to its end.
    fn take(&self, job: Job) -> Output {
        self.natives.reset();
        self.control.begin();
        let output = match job {
            Job::Eval { script, keys, arguments, facts } => {
                self.natives.seed(facts.seed);
                let result = self.eval(&script, &keys, &arguments);
                Output::Step(self.end(result, facts, false))
            }
            Job::Call { library, function, keys, arguments, facts } => {
                self.natives.seed(facts.seed);
                let result = self.call(&library, &function, &keys, &arguments);
                Output::Step(self.end(result, facts, true))
            }
            Job::Load { sha, program } => Output::Loaded(self.load(sha, &program)),
        };
        self.tidy();
        output
    }

    fn eval(
        &self,
        script: &Script,
        keys: &[Bytes],
        arguments: &[Bytes],
    ) -> mlua::Result<(bool, Value)> {
        let known = self.scripts.borrow().get(&script.sha).cloned();
        let function = match known {
            Some(function) => function,
            None => {
                let function = native::function(&self.lua, &script.program, "@user_script")?;
                let mut scripts = self.scripts.borrow_mut();
                if scripts.len() >= LOADED_MAX {
                    scripts.clear();
                }
                scripts.insert(script.sha, function.clone());
                function
            }
        };
        let (keys, arguments) = (self.array(keys)?, self.array(arguments)?);
        self.set_keys(Some((keys, arguments)))?;
        self.limited(|| self.run.call(function))
    }

    fn call(
        &self,
        library: &Library,
        function: &str,
        keys: &[Bytes],
        arguments: &[Bytes],
    ) -> mlua::Result<(bool, Value)> {
        self.set_keys(None)?;
        if !self.libraries.borrow().contains_key(&library.sha) {
            self.load_library(library.sha, &library.program)??;
        }
        let libraries = self.libraries.borrow();
        let loaded = libraries.get(&library.sha);
        let found = loaded.and_then(|loaded| loaded.functions.get(function)).cloned();
        drop(libraries);
        let missing = || mlua::Error::runtime("the library did not register the function again");
        let function = found.ok_or_else(missing)?;
        let (keys, arguments) = (self.array(keys)?, self.array(arguments)?);
        self.limited(|| self.run.call((function, keys, arguments)))
    }

    /// Runs code of a script, with the limit on memory that it has and Rust has not.
    fn limited<T>(&self, run: impl FnOnce() -> mlua::Result<T>) -> mlua::Result<T> {
        self.lua.set_memory_limit(self.empty_bytes + self.limits.memory_bytes)?;
        let result = run();
        self.lua.set_memory_limit(0)?;
        result
    }

    /// Loads a library for the first time.
    fn load(
        &self,
        sha: Sha,
        program: &[u8],
    ) -> Result<Vec<crate::script::libraries::Function>, String> {
        let said = |error: mlua::Error| native::message(&error);
        self.set_keys(None).map_err(said)?;
        let registered = self.load_library(sha, program);
        if let Some(error) = self.control.shared().killed() {
            self.libraries.borrow_mut().remove(&sha);
            return Err(error);
        }
        let registered = registered.map_err(said)?.map_err(said)?;
        Ok(registered.into_iter().map(|registered| registered.about).collect())
    }

    /// Runs the program of a library, which registers its functions.
    ///
    /// Its globals are a table of its own that only ever looks things up elsewhere: in what there
    /// is while it loads, and afterwards in what there is while a function runs.
    fn load_library(
        &self,
        sha: Sha,
        program: &[u8],
    ) -> mlua::Result<mlua::Result<Vec<Registered>>> {
        let lookup = self.lua.create_table()?;
        lookup.raw_set("__index", &self.load_globals)?;
        lookup.set_readonly(true);
        let globals = self.lua.create_table()?;
        globals.set_metatable(Some(lookup.clone()))?;
        globals.set_readonly(true);
        let chunk = native::function(&self.lua, program, "@user_function")?;
        chunk.set_environment(globals)?;
        self.natives.begin_registering();
        let outcome = self.limited(|| self.run.call::<(bool, Value)>(chunk));
        let registered = self.natives.end_registering();
        lookup.set_readonly(false);
        lookup.raw_set("__index", &self.function_globals)?;
        lookup.set_readonly(true);
        match outcome? {
            (true, _) => {}
            (false, error) => return Ok(Err(mlua::Error::runtime(self.error_of(&error).text()))),
        }
        let functions = registered
            .iter()
            .map(|registered| (registered.about.name.clone(), registered.callback.clone()))
            .collect();
        let mut libraries = self.libraries.borrow_mut();
        if libraries.len() >= LOADED_MAX {
            libraries.clear();
        }
        libraries.insert(sha, LoadedLibrary { functions });
        Ok(Ok(registered))
    }

    /// Sets `KEYS` and `ARGV`, or takes them away.
    fn set_keys(&self, tables: Option<(Table, Table)>) -> mlua::Result<()> {
        if tables.is_none() && !self.has_keys.get() {
            return Ok(());
        }
        self.has_keys.set(tables.is_some());
        let (keys, arguments) = tables.unzip();
        self.eval_globals.set_readonly(false);
        let set = self
            .eval_globals
            .raw_set("KEYS", keys)
            .and_then(|()| self.eval_globals.raw_set("ARGV", arguments));
        self.eval_globals.set_readonly(true);
        set
    }

    fn array(&self, items: &[Bytes]) -> mlua::Result<Table> {
        let array = self.lua.create_table_with_capacity(items.len(), 0)?;
        for item in items {
            array.raw_push(self.lua.create_string(item)?)?;
        }
        Ok(array)
    }

    /// How a run has ended.
    fn end(&self, result: mlua::Result<(bool, Value)>, facts: Facts, is_function: bool) -> Step {
        let replied = match result {
            Ok((true, value)) => self.reply(&value, facts),
            Ok((false, error)) => Err(self.error_of(&error).line()),
            Err(error) => Err(format!("ERR {}", native::message(&error)).into_bytes()),
        };
        let shared = self.control.shared();
        if let Some(killed) = shared.killed() {
            let mut text = killed.into_bytes();
            if shared.killed_at.get() > 0 {
                let source = if is_function { "@user_function" } else { "@user_script" };
                let place = format!(" script: on {source}:{}.", shared.killed_at.get());
                text.extend_from_slice(place.as_bytes());
            }
            return Step::Done { reply: reply::error(&text), failed: true };
        }
        match replied {
            Ok(reply) => Step::Done { reply, failed: false },
            Err(text) => Step::Done { reply: reply::error(&text), failed: true },
        }
    }

    fn reply(&self, value: &Value, facts: Facts) -> Result<Vec<u8>, Vec<u8>> {
        let writer = Writer {
            names: &self.names,
            control: &self.control,
            client: facts.protocol,
            script: self.control.shared().protocol.get(),
            bytes_max: self.limits.reply_bytes,
        };
        writer.reply(value).map_err(|error| match error {
            NoReply::TooLong => b"ERR the reply of the script is too long".to_vec(),
            NoReply::Failed(error) => format!("ERR {}", native::message(&error)).into_bytes(),
        })
    }

    /// What the handler of errors made of one.
    fn error_of(&self, error: &Value) -> Problem {
        let Value::Table(table) = error else {
            let text = match error {
                Value::String(text) => text.as_bytes().to_vec(),
                Value::Error(error) => native::message(error).into_bytes(),
                _ => b"execution failure".to_vec(),
            };
            return Problem { text: [b"ERR ", &text[..]].concat(), place: None };
        };
        let field = |name: &str| table.raw_get::<Value>(name).ok();
        let text = match field("err") {
            Some(Value::String(text)) => text.as_bytes().to_vec(),
            Some(Value::Integer(number)) => number.to_string().into_bytes(),
            _ => b"ERR unknown error".to_vec(),
        };
        let place = match (field("source"), field("line")) {
            (Some(Value::String(source)), Some(Value::Integer(line))) => {
                Some([&source.as_bytes()[..], format!(":{line}").as_bytes()].concat())
            }
            _ => None,
        };
        Problem { text, place }
    }

    /// Gives back what a run has left behind.
    fn tidy(&self) {
        if self.lua.used_memory() > self.empty_bytes + GARBAGE_MAX {
            // Without memory for it, the garbage stays for the next time.
            let _ = self.lua.gc_collect();
            if self.lua.used_memory() > self.empty_bytes + self.limits.memory_bytes / 4 {
                self.scripts.borrow_mut().clear();
                self.libraries.borrow_mut().clear();
            }
        }
        self.control.shared().memory.set(self.lua.used_memory());
    }
}

/// An error that ended a run.
struct Problem {
    text: Vec<u8>,
    /// Where it was raised: source and line.
    place: Option<Vec<u8>>,
}

impl Problem {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    fn line(self) -> Vec<u8> {
        match self.place {
            Some(place) => [up_to_zero(&self.text), b" script: on ", &place, b"."].concat(),
            None => self.text,
        }
    }
}

/// Notes where the script is that is being killed.
#[cold]
fn note_line(lua: &Lua, control: &Control) {
    let shared = control.shared();
    let mut level = 0;
    while shared.killed_at.get() == 0 {
        let line = lua.inspect_stack(level, |debug| debug.current_line());
        let Some(line) = line else { return };
        shared.killed_at.set(line.map_or(0, |line| line as u32));
        level += 1;
    }
}

/// Makes a table read-only, and all that can be reached from it.
fn protect(root: &Table) -> mlua::Result<()> {
    let mut left = vec![root.clone()];
    while let Some(table) = left.pop() {
        if table.is_readonly() {
            continue;
        }
        for pair in table.pairs::<Value, Value>() {
            if let Value::Table(inner) = pair?.1 {
                left.push(inner);
            }
        }
        left.extend(table.metatable());
        table.set_readonly(true);
    }
    Ok(())
}
