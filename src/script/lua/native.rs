//! The functions of Rust that the prelude builds on.
//!
//! None raises an error of its own: where something is wrong, it returns false and a text, and the
//! prelude raises that with the caller's place. What does come out as an error is that the run was
//! killed, or that memory is short.

use std::rc::Rc;

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Table, Value};

use super::control::{Control, Killed};
use super::natives::Natives;
use super::{Limits, bit, cjson, cmsgpack, number, server, source, structs};

/// Bytes of a program, at most.
pub(super) const SOURCE_BYTES_MAX: usize = 1024 * 1024;

/// Why a function of a library returns no result.
pub(super) enum Failure {
    /// The caller's mistake, as a text.
    Said(Vec<u8>),
    /// The run cannot go on.
    Fatal(mlua::Error),
}

impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Self {
        Failure::Fatal(error)
    }
}

impl From<Killed> for Failure {
    fn from(killed: Killed) -> Self {
        Failure::Fatal(killed.into())
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Failure::Said(text.into())
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Failure::Said(text.into_bytes())
    }
}

/// The argument at a place (from one) of a function is none that it takes.
pub(super) fn bad_argument(at: usize, function: &str, why: &str) -> Failure {
    format!("bad argument #{at} to '{function}' ({why})").into()
}

/// What a function of a library comes to.
pub(super) type Outcome = Result<MultiValue, Failure>;

/// One value as an outcome.
pub(super) fn one(value: Value) -> Outcome {
    Ok(MultiValue::from_iter([value]))
}

/// What a function of Rust works with while it is called.
///
/// Meanwhile the machine has no limit: with one, the binding calls whatever may allocate through a
/// closure of its own, and each such step takes ten times as long. So the function looks itself
/// whether the machine has grown too large, by [`Context::work`].
pub(super) struct Context<'a> {
    pub(super) lua: &'a Lua,
    pub(super) control: &'a Control,
    pub(super) natives: &'a Natives,
    pub(super) limits: Limits,
    /// The limit of the machine, in bytes.
    memory_max: usize,
}

impl<'a> Context<'a> {
    pub(super) fn new(lua: &'a Lua, hold: &'a Hold) -> Context<'a> {
        let Hold { control, natives, limits } = hold;
        // There is always a limit that can be set: the machine is the binding's own.
        let memory_max = lua.set_memory_limit(0).unwrap_or(0);
        Context { lua, control, natives, limits: *limits, memory_max }
    }

    /// So many units of work.
    ///
    /// # Errors
    /// If the run was killed meanwhile, or its machine has grown too large.
    #[inline]
    pub(super) fn work(&self, units: usize) -> mlua::Result<()> {
        if self.control.work(units)? && self.lua.used_memory() > self.memory_max {
            return Err(mlua::Error::MemoryError("not enough memory".to_owned()));
        }
        Ok(())
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        let _ = self.lua.set_memory_limit(self.memory_max);
    }
}

/// What each function of Rust holds on to.
#[derive(Clone)]
pub(super) struct Hold {
    pub(super) control: Rc<Control>,
    pub(super) natives: Rc<Natives>,
    pub(super) limits: Limits,
}

/// A function of a library.
pub(super) type Native = fn(&Context<'_>, MultiValue) -> Outcome;

/// The compiler of all programs. What the prelude replaces is no builtin, and what is set for each
/// run is looked up each time.
pub(super) fn compiler() -> Compiler {
    Compiler::new()
        .set_optimization_level(1)
        .set_debug_level(1)
        .set_mutable_globals(["KEYS", "ARGV"])
        .set_disabled_builtins(["tostring"])
}

/// Compiles a program of 5.1.
///
/// # Errors
/// What is wrong with it, behind its line.
pub(super) fn compile(program: &[u8]) -> Result<Vec<u8>, String> {
    if program.len() > SOURCE_BYTES_MAX {
        return Err(format!("1: a program has at most {SOURCE_BYTES_MAX} bytes"));
    }
    if program.first() == Some(&0x1b) {
        return Err("1: bytecode is not accepted".to_owned());
    }
    let program = source::rewrite(program)?;
    compiler().compile(program).map_err(|error| message(&error))
}

/// The function of a compiled program.
pub(super) fn function(lua: &Lua, program: &[u8], name: &str) -> mlua::Result<Function> {
    lua.load(program).set_mode(ChunkMode::Binary).set_name(name).into_function()
}

/// The text of an error of the engine.
pub(super) fn message(error: &mlua::Error) -> String {
    match error {
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        mlua::Error::RuntimeError(message) => message.clone(),
        mlua::Error::MemoryError(_) => "not enough memory".to_owned(),
        mlua::Error::CallbackError { cause, .. } => message(cause),
        other => other.to_string(),
    }
}

/// All natives, as the prelude takes them.
pub(super) fn table(lua: &Lua, hold: &Hold) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    server::add(&native, lua, hold)?;
    let libraries: [(&str, &[(&str, Native)]); 4] = [
        ("cjson", cjson::FUNCTIONS),
        ("cmsgpack", cmsgpack::FUNCTIONS),
        ("struct", structs::FUNCTIONS),
        ("bit", bit::FUNCTIONS),
    ];
    for (library, functions) in libraries {
        let table = lua.create_table()?;
        for (name, run) in functions {
            table.set(*name, lift(lua, hold.clone(), *run)?)?;
        }
        native.set(library, table)?;
    }
    native.set("cjson_constants", cjson::constants(lua)?)?;
    native.set("cmsgpack_constants", cmsgpack::constants(lua)?)?;
    let held = hold.clone();
    let compile = move |lua: &Lua, (text, name): (mlua::LuaString, mlua::LuaString)| {
        let context = Context::new(lua, &held);
        context.work(text.as_bytes().len().saturating_mul(16))?;
        compile_named(lua, &text.as_bytes(), &name.as_bytes())
    };
    native.set("compile", lua.create_function(compile)?)?;
    let kilobytes = |lua: &Lua, ()| Ok(lua.used_memory() as f64 / 1024.0);
    native.set("kilobytes", lua.create_function(kilobytes)?)?;
    native.set("find", lua.create_function(find)?)?;
    native.set("SOURCE_BYTES_MAX", SOURCE_BYTES_MAX as f64)?;
    Ok(native)
}

/// A function of a library for the prelude.
fn lift(lua: &Lua, hold: Hold, run: Native) -> mlua::Result<Function> {
    lua.create_function(move |lua, arguments: MultiValue| {
        let context = Context::new(lua, &hold);
        match run(&context, arguments) {
            Ok(mut values) => {
                values.push_front(Value::Boolean(true));
                Ok(values)
            }
            Err(Failure::Said(text)) => (false, lua.create_string(text)?).into_lua_multi(lua),
            Err(Failure::Fatal(error)) => Err(error),
        }
    })
}

/// Compiles for `loadstring`: the function, or nil and what is wrong.
fn compile_named(lua: &Lua, text: &[u8], name: &[u8]) -> mlua::Result<MultiValue> {
    let name = chunk_name(name);
    match compile(text) {
        Ok(program) => function(lua, &program, &name)?.into_lua_multi(lua),
        Err(problem) => {
            (Value::Nil, format!("{}:{problem}", shown_name(&name))).into_lua_multi(lua)
        }
    }
}

/// The name of a chunk, without what a name cannot hold.
fn chunk_name(name: &[u8]) -> String {
    const SHOWN: usize = 200;
    let name = &name[..name.len().min(SHOWN)];
    String::from_utf8_lossy(name).replace('\0', "?")
}

/// How messages call a chunk: what stands behind `=` or `@`, or its first line as a string.
fn shown_name(name: &str) -> String {
    const SHOWN: usize = 40;
    if let Some(name) = name.strip_prefix(['=', '@']) {
        return name.to_owned();
    }
    let line = name.lines().next().unwrap_or_default();
    let shown: String = line.chars().take(SHOWN).collect();
    let dots = if shown.len() < name.len() { "..." } else { "" };
    format!("[string \"{shown}{dots}\"]")
}

/// Looks for a plain text from a place on: where it begins and ends, or nil.
fn find(
    _: &Lua,
    (text, wanted, from): (mlua::LuaString, mlua::LuaString, Option<f64>),
) -> mlua::Result<(Option<f64>, Option<f64>)> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    let start = number::start(from.unwrap_or(1.0), text.len());
    let found = text.get(start..).and_then(|rest| memchr::memmem::find(rest, &wanted));
    Ok(match found {
        Some(at) => {
            let at = start + at;
            (Some((at + 1) as f64), Some((at + wanted.len()) as f64))
        }
        None => (None, None),
    })
}
