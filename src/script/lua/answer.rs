//! Replies of commands as values of Lua.
//!
//! ```text
//! version 2          status {ok=}   error {err=}   integer   string   array   absent: false
//! version 3 as well  null: nil   truth   {double=}   {big_number=}   {verbatim_string=}
//!                    {map=}   {set=}   attributes are passed over
//! ```
//!
//! A reply comes from this server's own commands. What is malformed all the same, or nested deeper
//! than any command answers, becomes nil.

use mlua::{Lua, Table, Value};

use super::native::Context;
use crate::base::{float, integer};

/// How deep replies may nest; no command comes near.
const DEPTH_MAX: usize = 64;

/// Elements that an array is given room for before they have been seen.
const ROOM_MAX: usize = 1 << 16;

/// What is left of a reply.
pub(super) struct Reader<'a> {
    context: &'a Context<'a>,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(context: &'a Context<'a>, reply: &'a [u8]) -> Reader<'a> {
        Reader { context, rest: reply }
    }

    /// The next value.
    pub(super) fn value(&mut self) -> mlua::Result<Value> {
        Ok(self.next(self.context.lua, DEPTH_MAX)?.unwrap_or(Value::Nil))
    }

    /// The next value; none where the reply is malformed.
    fn next(&mut self, lua: &Lua, depth: usize) -> mlua::Result<Option<Value>> {
        self.context.work(32)?;
        let (Some((kind, line)), true) = (self.line(), depth > 0) else { return Ok(None) };
        let value = match kind {
            b'+' => field(lua, "ok", lua.create_string(line)?)?,
            b'-' => field(lua, "err", lua.create_string(error_text(line))?)?,
            b':' => Value::Number(integer::parse(line).unwrap_or(0) as f64),
            b'$' => match self.bytes(line) {
                Some(bytes) => Value::String(lua.create_string(bytes)?),
                None => Value::Boolean(false),
            },
            b'*' | b'>' => match len(line) {
                Some(len) => return self.array(lua, len, depth),
                None => Value::Boolean(false),
            },
            b'_' => Value::Nil,
            b'#' => Value::Boolean(line == b"t"),
            b',' => field(lua, "double", Value::Number(double(line)))?,
            b'(' => field(lua, "big_number", lua.create_string(line)?)?,
            b'=' => match self.bytes(line).and_then(|bytes| bytes.split_at_checked(4)) {
                Some((format, text)) => {
                    let inner = lua.create_table()?;
                    inner.raw_set("string", lua.create_string(text)?)?;
                    inner.raw_set("format", lua.create_string(&format[..3])?)?;
                    field(lua, "verbatim_string", inner)?
                }
                None => Value::Nil,
            },
            b'%' => return self.map(lua, len(line).unwrap_or(0), depth),
            b'~' => return self.set(lua, len(line).unwrap_or(0), depth),
            b'|' => {
                for _ in 0..len(line).unwrap_or(0).saturating_mul(2) {
                    if self.next(lua, depth - 1)?.is_none() {
                        return Ok(None);
                    }
                }
                return self.next(lua, depth - 1);
            }
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    fn array(&mut self, lua: &Lua, len: usize, depth: usize) -> mlua::Result<Option<Value>> {
        let array = lua.create_table_with_capacity(len.min(ROOM_MAX), 0)?;
        for at in 1..=len {
            let Some(value) = self.next(lua, depth - 1)? else { return Ok(None) };
            array.raw_set(at as f64, value)?;
        }
        Ok(Some(Value::Table(array)))
    }

    fn map(&mut self, lua: &Lua, len: usize, depth: usize) -> mlua::Result<Option<Value>> {
        let map = lua.create_table()?;
        for _ in 0..len {
            let Some(key) = self.next(lua, depth - 1)? else { return Ok(None) };
            let Some(value) = self.next(lua, depth - 1)? else { return Ok(None) };
            put(&map, key, value)?;
        }
        field(lua, "map", map).map(Some)
    }

    fn set(&mut self, lua: &Lua, len: usize, depth: usize) -> mlua::Result<Option<Value>> {
        let set = lua.create_table()?;
        for _ in 0..len {
            let Some(key) = self.next(lua, depth - 1)? else { return Ok(None) };
            put(&set, key, Value::Boolean(true))?;
        }
        field(lua, "set", set).map(Some)
    }

    /// The type byte of the next line, and what follows it.
    fn line(&mut self) -> Option<(u8, &'a [u8])> {
        let end = memchr::memchr(b'\r', self.rest)?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(2..)?;
        line.split_first().map(|(kind, line)| (*kind, line))
    }

    /// The bytes that a line announces; none for those of an absent value.
    fn bytes(&mut self, line: &[u8]) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len(line)?)?;
        self.rest = rest.get(2..)?;
        Some(bytes)
    }
}

/// An error as scripts see it: a code word and a text, and the word is `ERR` where there is none.
/// It ends at a zero, as texts of C do.
pub(super) fn error_text(line: &[u8]) -> Vec<u8> {
    let line = up_to_zero(line);
    if line.contains(&b' ') { line.to_vec() } else { [b"ERR ", line].concat() }
}

/// A text up to its first zero.
pub(super) fn up_to_zero(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

fn len(line: &[u8]) -> Option<usize> {
    integer::parse(line).and_then(|len| usize::try_from(len).ok())
}

fn double(text: &[u8]) -> f64 {
    float::parse(text).unwrap_or(f64::NAN)
}

fn field(lua: &Lua, name: &str, value: impl mlua::IntoLua) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, value)?;
    Ok(Value::Table(table))
}

/// Sets a field, unless its key is one that tables do not have.
fn put(table: &Table, key: Value, value: Value) -> mlua::Result<()> {
    let is_key = match &key {
        Value::Nil => false,
        Value::Number(number) => !number.is_nan(),
        _ => true,
    };
    if is_key { table.raw_set(key, value) } else { Ok(()) }
}
