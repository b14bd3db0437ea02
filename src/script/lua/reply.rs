//! Values of Lua as the reply of a run.
//!
//! A table is an error, a status, a double, a big number, a verbatim text, a map or a set by the
//! name of its one field, tried in this order, and else an array up to its first nil. Numbers lose
//! their fraction. Tables may stand in themselves: what nests deeper than [`DEPTH_MAX`] becomes an
//! error in its place, and a reply longer than its bound is an error as a whole.

use mlua::{Lua, LuaString, Table, Value};

use super::answer::up_to_zero;
use super::control::Control;
use super::number;
use crate::resp::Reply;
use crate::script::engine::Protocol;

/// How deep tables may nest: as deep as the stack of Redis's Lua holds them, about.
const DEPTH_MAX: usize = 1000;

/// Why there is no reply.
pub(super) enum NoReply {
    /// It would be longer than it may.
    TooLong,
    /// The engine failed, or the run was killed.
    Failed(mlua::Error),
}

impl<E: Into<mlua::Error>> From<E> for NoReply {
    fn from(error: E) -> Self {
        NoReply::Failed(error.into())
    }
}

/// The names of fields, as strings of the machine.
pub(super) struct Names {
    err: LuaString,
    ok: LuaString,
    double: LuaString,
    big_number: LuaString,
    verbatim_string: LuaString,
    map: LuaString,
    set: LuaString,
    format: LuaString,
    string: LuaString,
}

impl Names {
    pub(super) fn new(lua: &Lua) -> mlua::Result<Names> {
        Ok(Names {
            err: lua.create_string("err")?,
            ok: lua.create_string("ok")?,
            double: lua.create_string("double")?,
            big_number: lua.create_string("big_number")?,
            verbatim_string: lua.create_string("verbatim_string")?,
            map: lua.create_string("map")?,
            set: lua.create_string("set")?,
            format: lua.create_string("format")?,
            string: lua.create_string("string")?,
        })
    }
}

/// Writes replies of one run.
pub(super) struct Writer<'a> {
    pub(super) names: &'a Names,
    pub(super) control: &'a Control,
    /// The client's protocol.
    pub(super) client: Protocol,
    /// The one that `setresp` has set: a truth value goes by it.
    pub(super) script: Protocol,
    /// Bytes that a reply may have.
    pub(super) bytes_max: usize,
}

impl Writer<'_> {
    /// The reply that a value is.
    pub(super) fn reply(&self, value: &Value) -> Result<Vec<u8>, NoReply> {
        let mut out = Vec::new();
        self.put(&mut out, value, DEPTH_MAX)?;
        Ok(out)
    }

    fn put(&self, out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), NoReply> {
        self.control.work(64)?;
        if out.len() > self.bytes_max {
            return Err(NoReply::TooLong);
        }
        let mut reply = Reply::new(out, self.client == Protocol::Three);
        match value {
            Value::String(string) => reply.bulk(&string.as_bytes()),
            Value::Integer(number) => reply.int(*number),
            Value::Number(number) => reply.int(number::truncated(*number)),
            Value::Boolean(truth) if self.script == Protocol::Three => reply.bool(*truth),
            Value::Boolean(true) => reply.int(1),
            Value::Boolean(false) => reply.null(),
            Value::Table(_) if depth == 0 => reply.error("ERR reached lua stack limit"),
            Value::Table(table) => return self.table(out, table, depth - 1),
            _ => reply.null(),
        }
        Ok(())
    }

    fn table(&self, out: &mut Vec<u8>, table: &Table, depth: usize) -> Result<(), NoReply> {
        let names = self.names;
        let mut reply = Reply::new(out, self.client == Protocol::Three);
        if let Value::String(text) = table.raw_get(&names.err)? {
            reply.error_bytes(without_line_end(&text.as_bytes()));
        } else if let Value::String(text) = table.raw_get(&names.ok)? {
            out.push(b'+');
            put_line(out, up_to_zero(&text.as_bytes()));
        } else if let Some(number) = number_of(&table.raw_get(&names.double)?) {
            reply.double(number);
        } else if let Value::String(digits) = table.raw_get(&names.big_number)? {
            let digits: Vec<u8> = up_to_zero(&digits.as_bytes()).iter().map(without_end).collect();
            reply.big_number(&digits);
        } else if let Some((format, text)) = self.verbatim(table)? {
            reply.verbatim(&format, &text.as_bytes());
        } else if let Value::Table(map) = table.raw_get(&names.map)? {
            let later = reply.array_later(0);
            let mut pairs = 0;
            for pair in map.pairs::<Value, Value>() {
                let (key, value) = pair?;
                self.put(out, &key, depth)?;
                self.put(out, &value, depth)?;
                pairs += 1;
            }
            Reply::new(out, self.client == Protocol::Three).set_len_of_map(later, pairs);
        } else if let Value::Table(set) = table.raw_get(&names.set)? {
            let later = reply.array_later(0);
            let mut len = 0;
            for pair in set.pairs::<Value, Value>() {
                self.put(out, &pair?.0, depth)?;
                len += 1;
            }
            Reply::new(out, self.client == Protocol::Three).set_len_of_set(later, len);
        } else {
            self.array(out, table, depth)?;
        }
        Ok(())
    }

    fn array(&self, out: &mut Vec<u8>, table: &Table, depth: usize) -> Result<(), NoReply> {
        let guess = table.raw_len();
        let later = Reply::new(out, false).array_later(guess);
        let mut len = 0;
        loop {
            let value: Value = table.raw_get((len + 1) as f64)?;
            if value.is_nil() {
                break;
            }
            self.put(out, &value, depth)?;
            len += 1;
        }
        Reply::new(out, false).set_len(later, len);
        Ok(())
    }

    /// The format and the text of a verbatim string, if it is one.
    fn verbatim(&self, table: &Table) -> mlua::Result<Option<([u8; 3], LuaString)>> {
        let Value::Table(inner) = table.raw_get(&self.names.verbatim_string)? else {
            return Ok(None);
        };
        let format: Value = inner.raw_get(&self.names.format)?;
        let text: Value = inner.raw_get(&self.names.string)?;
        let (Value::String(format), Value::String(text)) = (format, text) else { return Ok(None) };
        // A shorter one is filled up: the protocol has three bytes.
        let mut three = [b' '; 3];
        for (byte, given) in three.iter_mut().zip(format.as_bytes().iter()) {
            *byte = if given.is_ascii_control() { b' ' } else { *given };
        }
        Ok(Some((three, text)))
    }
}

/// The error line of a run that failed, in either protocol.
pub(super) fn error(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 3);
    Reply::new(&mut out, false).error_bytes(without_line_end(text));
    out
}

/// An error up to its first zero, without ends of lines behind it.
fn without_line_end(text: &[u8]) -> &[u8] {
    let text = up_to_zero(text);
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    &text[..end]
}

/// A byte of a text that is written as a line: none ends it.
fn without_end(byte: &u8) -> u8 {
    if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }
}

/// Appends a text as a line, whatever it holds.
fn put_line(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(without_end));
    out.extend_from_slice(b"\r\n");
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}
