//! The functions behind `redis` and `server`.

use std::rc::Rc;

use bytes::Bytes;
use mlua::{Function, IntoLuaMulti, Lua, LuaString, MultiValue, Table, Value};

use super::Limits;
use super::answer::{Reader, error_text};
use super::native::{Context, Hold};
use super::natives::{Natives, Registered, described};
use super::number::general;
use crate::base::{float, integer};
use crate::script::engine::{Level, Propagation, Protocol, Step};
use crate::script::flags::{Flag, Flags};
use crate::script::scripts::Sha;

/// The versions that scripts are told: those of the server whose scripting this follows.
const VERSIONS: [(&str, &str); 3] =
    [("REDIS_VERSION", "7.2.4"), ("VALKEY_VERSION", "9.1.2"), ("SERVER_NAME", "valkey")];
const VERSION_NUMBERS: [(&str, u32); 2] =
    [("REDIS_VERSION_NUM", 0x07_02_04), ("VALKEY_VERSION_NUM", 0x09_01_02)];

/// Adds what the prelude calls of it.
pub(super) fn add(native: &Table, lua: &Lua, hold: &Hold) -> mlua::Result<()> {
    let Hold { control, natives, .. } = hold;
    let versions = lua.create_table()?;
    VERSIONS.iter().try_for_each(|(name, text)| versions.set(*name, *text))?;
    VERSION_NUMBERS.iter().try_for_each(|(name, number)| versions.set(*name, *number))?;
    native.set("versions", versions)?;
    native.set("call", call(lua, hold.clone())?)?;
    native.set("may_call", may_call(lua, hold.clone())?)?;
    native.set("register", register(lua, natives.clone())?)?;
    let held = control.clone();
    let log = move |_: &Lua, (level, message): (f64, LuaString)| {
        let level = match level as u8 {
            0 => Level::Debug,
            1 => Level::Verbose,
            2 => Level::Notice,
            _ => Level::Warning,
        };
        held.ask(Step::Log { level, message: message.as_bytes().to_vec() })?;
        Ok(())
    };
    native.set("log", lua.create_function(log)?)?;
    let held = control.clone();
    native.set("pause", lua.create_function(move |_, ()| Ok(held.pulse()?))?)?;
    let held = control.clone();
    let setresp = move |_: &Lua, version: f64| {
        let protocol = if version == 3.0 { Protocol::Three } else { Protocol::Two };
        held.shared().protocol.set(protocol);
        Ok(())
    };
    native.set("setresp", lua.create_function(setresp)?)?;
    let held = control.clone();
    let set_repl = move |_: &Lua, flags: f64| {
        let flags = flags as u8;
        let propagation = Propagation { journal: flags & 1 != 0, replicas: flags & 2 != 0 };
        held.shared().propagation.set(propagation);
        Ok(())
    };
    native.set("set_repl", lua.create_function(set_repl)?)?;
    let held = hold.clone();
    let sha1hex = move |lua: &Lua, text: LuaString| {
        let context = Context::new(lua, &held);
        context.work(text.as_bytes().len())?;
        lua.create_string(Sha::of(&text.as_bytes()).hex())
    };
    native.set("sha1hex", lua.create_function(sha1hex)?)?;
    let held = natives.clone();
    native.set("random", lua.create_function(move |_, ()| Ok(held.random()))?)?;
    let held = natives.clone();
    let seed = move |_: &Lua, seed: f64| {
        held.seed(seed as i64 as u64);
        Ok(())
    };
    native.set("seed", lua.create_function(seed)?)?;
    let error_reply = |lua: &Lua, text: LuaString| {
        let text = text.as_bytes();
        lua.create_string(error_text(text.strip_prefix(b"-").unwrap_or(&text)))
    };
    native.set("error_text", lua.create_function(error_reply)?)
}

/// A command: its reply, and whether that is an error to be raised.
fn call(lua: &Lua, hold: Hold) -> mlua::Result<Function> {
    lua.create_function(move |lua, mut values: MultiValue| {
        let context = Context::new(lua, &hold);
        let protected = values.pop_front() == Some(Value::Boolean(true));
        let arguments = match arguments(&values, hold.limits) {
            Ok(arguments) => arguments,
            Err(text) => return error(lua, text, !protected),
        };
        drop(values);
        let answer = context.control.ask(Step::Call { arguments, protected })?;
        let reply = Reader::new(&context, &answer).value()?;
        let is_error = answer.first() == Some(&b'-');
        if let (true, Value::Table(table)) = (is_error, &reply) {
            table.raw_set("ignore_error_stats_update", true)?;
        }
        Ok((reply, is_error && !protected))
    })
}

/// Whether a command may be run: true or false, or an error to be raised.
fn may_call(lua: &Lua, hold: Hold) -> mlua::Result<Function> {
    lua.create_function(move |lua, values: MultiValue| {
        let context = Context::new(lua, &hold);
        let arguments = match arguments(&values, hold.limits) {
            Ok(arguments) => arguments,
            Err(text) => return error(lua, text, true),
        };
        let answer = context.control.ask(Step::MayCall { arguments })?;
        match answer.first() {
            Some(b'-') => error(lua, "Invalid command passed to server.acl_check_cmd()", true),
            _ => Ok((Value::Boolean(answer.starts_with(b":1")), false)),
        }
    })
}

fn error(lua: &Lua, text: &str, is_raised: bool) -> mlua::Result<(Value, bool)> {
    let table = lua.create_table()?;
    table.raw_set("err", format!("ERR {text}"))?;
    Ok((Value::Table(table), is_raised))
}

/// The arguments of a command: strings as they are, numbers as commands read them.
fn arguments(values: &MultiValue, limits: Limits) -> Result<Vec<Vec<u8>>, &'static str> {
    if values.is_empty() {
        return Err("Please specify at least one argument for this call");
    }
    let mut arguments = Vec::with_capacity(values.len());
    let mut bytes = 0;
    for value in values {
        let mut text = Vec::new();
        match value {
            Value::String(string) => {
                let string = string.as_bytes();
                bytes += string.len();
                if bytes > limits.arguments_bytes {
                    return Err("The arguments of the command are too long");
                }
                text.extend_from_slice(&string);
            }
            Value::Integer(number) => integer::write(&mut text, *number),
            Value::Number(number) => match whole(*number) {
                Some(whole) => integer::write(&mut text, whole),
                None if number.is_nan() => text.extend_from_slice(general(*number, 1).as_bytes()),
                None => text.extend_from_slice(float::Text::with_few_digits(*number).as_bytes()),
            },
            _ => return Err("Command arguments must be strings or integers"),
        }
        arguments.push(text);
    }
    Ok(arguments)
}

/// The integer that a number is, however large.
fn whole(number: f64) -> Option<i64> {
    let whole = number as i64;
    (whole as f64 == number && number.abs() < 2f64.powi(63)).then_some(whole)
}

/// `register_function`: nothing, or what is wrong.
fn register(lua: &Lua, natives: Rc<Natives>) -> mlua::Result<Function> {
    type Arguments = (Value, Value, Option<LuaString>, Option<Table>);
    lua.create_function(move |lua, (name, callback, description, flags): Arguments| {
        let registered = if natives.is_registering() {
            registered(&name, callback, description, flags)
        } else {
            Err("server.register_function can only be called on FUNCTION LOAD command")
        };
        registered.and_then(|registered| natives.register(registered)).err().into_lua_multi(lua)
    })
}

fn registered(
    name: &Value,
    callback: Value,
    description: Option<LuaString>,
    flags: Option<Table>,
) -> Result<Registered, &'static str> {
    let (Value::String(name), Value::Function(callback)) = (name, callback) else {
        return Err("wrong number of arguments to server.register_function");
    };
    let name = String::from_utf8_lossy(&name.as_bytes()).into_owned();
    let description = description.map(|text| Bytes::copy_from_slice(&text.as_bytes()));
    let flags = flags.map_or(Some(Flags::NONE), |flags| read_flags(&flags));
    let about = described(name, description, flags.ok_or("unknown flag given")?);
    Ok(Registered { about, callback })
}

fn read_flags(list: &Table) -> Option<Flags> {
    let mut flags = Flags::NONE;
    for at in 1..=list.raw_len() {
        let Ok(Value::String(name)) = list.raw_get(at as f64) else { return None };
        flags = flags.with(Flag::named(&name.as_bytes())?);
    }
    Some(flags)
}
