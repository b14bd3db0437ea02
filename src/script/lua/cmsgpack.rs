//! `cmsgpack`: MessagePack as scripts of Redis write and read it.
//!
//! A whole number is an integer, any other a float of four bytes if that loses nothing. A table
//! with the keys one to its count is an array, any other a map. Tables nested deeper than
//! [`NESTING_MAX`] become nil, so that one that holds itself has an end.

use mlua::{Lua, MultiValue, Table, Value};
use rmp::Marker;
use rmp::encode::{self, ValueWriteError};

use super::native::{Context, Failure, Native, Outcome, bad_argument, one};
use super::number;

pub(super) const FUNCTIONS: &[(&str, Native)] = &[
    ("pack", pack),
    ("unpack", |context, values| unpack(context, &values, None, None, "unpack")),
    ("unpack_one", |context, values| {
        let offset = optional(context, &values, 2, 0.0, "unpack_one")?;
        unpack(context, &values, Some(1.0), Some(offset), "unpack_one")
    }),
    ("unpack_limit", |context, values| {
        let limit = whole(context, values.get(1), 2, "unpack_limit")?;
        let offset = optional(context, &values, 3, 0.0, "unpack_limit")?;
        unpack(context, &values, Some(limit), Some(offset), "unpack_limit")
    }),
];

/// How deep tables are written.
const NESTING_MAX: usize = 16;

/// How deep values are read.
const DEPTH_MAX: usize = 1000;

/// Values that a call may return: as many as its stack takes.
const RESULTS_MAX: usize = 7_990;

const TOO_MANY: &str = "stack overflow (too many return values at once; use unpack_one or \
                        unpack_limit instead.)";
const MISSING: &str = "Missing bytes in input.";
const MALFORMED: &str = "Bad data format in input.";

/// What the library has beside its functions.
pub(super) fn constants(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("_NAME", "cmsgpack")?;
    table.set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.set("_COPYRIGHT", "Copyright (C) 2012, Redis Ltd.")?;
    table.set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}

fn pack(context: &Context<'_>, values: MultiValue) -> Outcome {
    if values.is_empty() {
        return Err(bad_argument(0, "pack", "MessagePack pack needs input."));
    }
    let mut out = Vec::new();
    for value in &values {
        put(context, &mut out, value, 0)?;
    }
    one(Value::String(context.lua.create_string(out)?))
}

/// A vector takes all that is written to it.
fn written<T>(result: Result<T, ValueWriteError>) -> Result<(), Failure> {
    result.map(drop).map_err(|_| "not enough memory".into())
}

fn put(
    context: &Context<'_>,
    out: &mut Vec<u8>,
    value: &Value,
    nesting: usize,
) -> Result<(), Failure> {
    context.work(32)?;
    if out.len() > context.limits.memory_bytes {
        return Err("not enough memory".into());
    }
    match value {
        Value::String(text) => {
            let text = text.as_bytes();
            context.work(text.len())?;
            written(encode::write_str_len(out, text.len() as u32))?;
            out.extend_from_slice(&text);
        }
        Value::Boolean(truth) => out.push(if *truth { 0xc3 } else { 0xc2 }),
        Value::Integer(number) => written(encode::write_sint(out, *number))?,
        Value::Number(number) => put_number(out, *number)?,
        Value::Table(table) if nesting < NESTING_MAX => put_table(context, out, table, nesting)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn put_number(out: &mut Vec<u8>, number: f64) -> Result<(), Failure> {
    let is_whole = number.abs() < 2f64.powi(63) && number as i64 as f64 == number;
    if is_whole {
        written(encode::write_sint(out, number as i64))
    } else if f64::from(number as f32) == number {
        written(encode::write_f32(out, number as f32))
    } else {
        written(encode::write_f64(out, number))
    }
}

fn put_table(
    context: &Context<'_>,
    out: &mut Vec<u8>,
    table: &Table,
    nesting: usize,
) -> Result<(), Failure> {
    let (mut count, mut most, mut is_array) = (0u32, 0.0f64, true);
    for pair in table.pairs::<Value, Value>() {
        context.work(16)?;
        match number_of(&pair?.0) {
            Some(key) if key >= 1.0 && key.floor() == key => most = most.max(key),
            _ => is_array = false,
        }
        count = count.saturating_add(1);
    }
    if is_array && most == f64::from(count) {
        written(encode::write_array_len(out, count))?;
        for at in 1..=count {
            let value: Value = table.raw_get(f64::from(at))?;
            put(context, out, &value, nesting + 1)?;
        }
    } else {
        written(encode::write_map_len(out, count))?;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            put(context, out, &key, nesting + 1)?;
            put(context, out, &value, nesting + 1)?;
        }
    }
    Ok(())
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn whole(
    context: &Context<'_>,
    value: Option<&Value>,
    place: usize,
    name: &str,
) -> Result<f64, Failure> {
    let number = value.and_then(|value| number::of(context.lua, value)).ok_or_else(|| {
        bad_argument(place, name, &format!("number expected, got {}", number::kind(value)))
    })?;
    Ok(number::truncated(number) as f64)
}

fn optional(
    context: &Context<'_>,
    values: &MultiValue,
    place: usize,
    default: f64,
    name: &str,
) -> Result<f64, Failure> {
    match values.get(place - 1).filter(|value| !value.is_nil()) {
        Some(value) => whole(context, Some(value), place, name),
        None => Ok(default),
    }
}

/// Reads so many values from a place on, all without a limit. With one, the place of the next value
/// comes first, or -1 where there is none.
fn unpack(
    context: &Context<'_>,
    values: &MultiValue,
    limit: Option<f64>,
    offset: Option<f64>,
    name: &str,
) -> Outcome {
    let text = match values.front() {
        Some(Value::String(text)) => text.as_bytes().to_vec(),
        Some(value) if number_of(value).is_some() => {
            number::general(number_of(value).unwrap_or(0.0), 14).into_bytes()
        }
        other => {
            let got = number::kind(other);
            return Err(bad_argument(1, name, &format!("string expected, got {got}")));
        }
    };
    let (most, start) = (limit.unwrap_or(0.0), offset.unwrap_or(0.0));
    if start < 0.0 || most < 0.0 {
        let len = text.len();
        let why = format!("Invalid request to unpack with offset of {start} and limit of {len}.");
        return Err(why.into());
    }
    if start > text.len() as f64 {
        let len = text.len();
        return Err(format!("Start offset {start} greater than input length {len}.").into());
    }
    let takes_all = most == 0.0 && start == 0.0;
    let most = if takes_all { f64::INFINITY } else { most };
    let mut reader = Reader { context, rest: &text[start as usize..] };
    let mut results = MultiValue::new();
    while !reader.rest.is_empty() && (results.len() as f64) < most {
        if results.len() >= RESULTS_MAX {
            return Err(TOO_MANY.into());
        }
        results.push_back(reader.value(DEPTH_MAX)?);
    }
    if !takes_all {
        let left = reader.rest.len();
        let next = if left == 0 { -1.0 } else { (text.len() - left) as f64 };
        results.push_front(Value::Number(next));
    }
    Ok(results)
}

struct Reader<'a> {
    context: &'a Context<'a>,
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const LEN: usize>(&mut self) -> Result<[u8; LEN], Failure> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(MISSING)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Failure> {
        self.context.work(32)?;
        let [first] = self.take()?;
        Ok(match Marker::from_u8(first) {
            Marker::FixPos(number) => Value::Number(f64::from(number)),
            Marker::FixNeg(number) => Value::Number(f64::from(number)),
            Marker::U8 => Value::Number(f64::from(u8::from_be_bytes(self.take()?))),
            Marker::U16 => Value::Number(f64::from(u16::from_be_bytes(self.take()?))),
            Marker::U32 => Value::Number(f64::from(u32::from_be_bytes(self.take()?))),
            // As there, one beyond the signed numbers is negative.
            Marker::U64 => Value::Number(i64::from_be_bytes(self.take()?) as f64),
            Marker::I8 => Value::Number(f64::from(i8::from_be_bytes(self.take()?))),
            Marker::I16 => Value::Number(f64::from(i16::from_be_bytes(self.take()?))),
            Marker::I32 => Value::Number(f64::from(i32::from_be_bytes(self.take()?))),
            Marker::I64 => Value::Number(i64::from_be_bytes(self.take()?) as f64),
            Marker::F32 => Value::Number(f64::from(f32::from_be_bytes(self.take()?))),
            Marker::F64 => Value::Number(f64::from_be_bytes(self.take()?)),
            Marker::Null => Value::Nil,
            Marker::True => Value::Boolean(true),
            Marker::False => Value::Boolean(false),
            Marker::FixStr(len) => self.text(usize::from(len))?,
            Marker::Str8 => {
                let len = u8::from_be_bytes(self.take()?);
                self.text(len.into())?
            }
            Marker::Str16 => {
                let len = u16::from_be_bytes(self.take()?);
                self.text(len.into())?
            }
            Marker::Str32 => {
                let len = u32::from_be_bytes(self.take()?);
                self.text(len as usize)?
            }
            Marker::FixArray(len) => self.array(len.into(), depth)?,
            Marker::Array16 => {
                let len = u16::from_be_bytes(self.take()?);
                self.array(len.into(), depth)?
            }
            Marker::Array32 => {
                let len = u32::from_be_bytes(self.take()?);
                self.array(len, depth)?
            }
            Marker::FixMap(len) => self.map(len.into(), depth)?,
            Marker::Map16 => {
                let len = u16::from_be_bytes(self.take()?);
                self.map(len.into(), depth)?
            }
            Marker::Map32 => {
                let len = u32::from_be_bytes(self.take()?);
                self.map(len, depth)?
            }
            _ => return Err(MALFORMED.into()),
        })
    }

    fn text(&mut self, len: usize) -> Result<Value, Failure> {
        let (text, rest) = self.rest.split_at_checked(len).ok_or(MISSING)?;
        self.rest = rest;
        self.context.work(len)?;
        Ok(Value::String(self.context.lua.create_string(text)?))
    }

    fn array(&mut self, len: u32, depth: usize) -> Result<Value, Failure> {
        let depth = depth.checked_sub(1).ok_or(TOO_MANY)?;
        let array = self.context.lua.create_table()?;
        for at in 1..=len {
            let value = self.value(depth)?;
            array.raw_set(f64::from(at), value)?;
        }
        Ok(Value::Table(array))
    }

    fn map(&mut self, len: u32, depth: usize) -> Result<Value, Failure> {
        let depth = depth.checked_sub(1).ok_or(TOO_MANY)?;
        let map = self.context.lua.create_table()?;
        for _ in 0..len {
            let key = self.value(depth)?;
            let value = self.value(depth)?;
            match &key {
                Value::Nil => return Err("table index is nil".into()),
                Value::Number(number) if number.is_nan() => {
                    return Err("table index is NaN".into());
                }
                _ => map.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(map))
    }
}
