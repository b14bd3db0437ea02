//! Values of Lua as JSON.

use mlua::{MultiValue, Table, Value};

use super::{DEPTH_MAX, Set};
use crate::script::lua::native::{Context, Failure, Outcome, bad_argument, one};
use crate::script::lua::number;

/// `encode`: one value as a text.
pub(super) fn encode(context: &Context<'_>, mut values: MultiValue) -> Outcome {
    let set = context.natives.json.get(&mut values);
    if values.len() != 1 {
        return Err(bad_argument(1, "encode", "expected 1 argument"));
    }
    let mut encoder = Encoder { context, set, out: Vec::new() };
    encoder.value(&values[0], 0)?;
    one(Value::String(context.lua.create_string(&encoder.out)?))
}

struct Encoder<'a> {
    context: &'a Context<'a>,
    set: Set,
    out: Vec<u8>,
}

impl Encoder<'_> {
    fn value(&mut self, value: &Value, depth: i64) -> Result<(), Failure> {
        self.context.work(32)?;
        if self.out.len() > self.context.limits.memory_bytes {
            return Err("not enough memory".into());
        }
        match value {
            Value::Nil => self.put(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.put(b"null"),
            Value::Boolean(truth) => self.put(if *truth { b"true" } else { b"false" }),
            Value::Integer(number) => self.number(*number as f64)?,
            Value::Number(number) => self.number(*number)?,
            Value::String(text) => self.string(&text.as_bytes())?,
            Value::Table(table) => self.table(table, depth + 1)?,
            other => return Err(refusal(other, "type not supported")),
        }
        Ok(())
    }

    fn put(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    fn number(&mut self, number: f64) -> Result<(), Failure> {
        if !number.is_finite() {
            match (self.set.encodes_invalid, number.is_nan()) {
                (0, _) => return Err(refusal(&Value::Number(number), "must not be NaN or Inf")),
                (1, true) => self.put(b"nan"),
                (1, false) => self.put(if number > 0.0 { b"inf" } else { b"-inf" }),
                _ => self.put(b"null"),
            }
            return Ok(());
        }
        let is_short = number.abs() < 1e14 && number as i64 as f64 == number;
        if is_short && self.set.precision == 14 && (number != 0.0 || number.is_sign_positive()) {
            self.put(itoa::Buffer::new().format(number as i64).as_bytes());
        } else {
            let precision = usize::try_from(self.set.precision).unwrap_or(14);
            self.put(number::general(number, precision).as_bytes());
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.context.work(text.len())?;
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        for byte in text {
            match byte {
                b'"' | b'\\' | b'/' => self.out.extend_from_slice(&[b'\\', *byte]),
                b'\n' => self.put(b"\\n"),
                b'\r' => self.put(b"\\r"),
                b'\t' => self.put(b"\\t"),
                0x08 => self.put(b"\\b"),
                0x0c => self.put(b"\\f"),
                0..0x20 | 0x7f => self.put(format!("\\u{byte:04x}").as_bytes()),
                _ => self.out.push(*byte),
            }
        }
        self.out.push(b'"');
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: i64) -> Result<(), Failure> {
        if depth > self.set.encode_depth.min(DEPTH_MAX) {
            return Err(format!("Cannot serialise, excessive nesting ({depth})").into());
        }
        match self.array_len(table)? {
            Some(len) => self.array(table, len, depth),
            None => self.object(table, depth),
        }
    }

    /// The length of an array; none for what is to be an object, and that is an empty table too.
    fn array_len(&self, table: &Table) -> Result<Option<f64>, Failure> {
        let (mut most, mut count) = (0.0, 0.0);
        for pair in table.pairs::<Value, Value>() {
            self.context.work(16)?;
            let key = match pair?.0 {
                Value::Integer(key) => key as f64,
                Value::Number(key) => key,
                _ => return Ok(None),
            };
            if key < 1.0 || key.floor() != key {
                return Ok(None);
            }
            most = key.max(most);
            count += 1.0;
        }
        let (ratio, safe) = (self.set.sparse_ratio as f64, self.set.sparse_safe as f64);
        if ratio > 0.0 && most > count * ratio && most > safe {
            if self.set.converts_sparse == 0 {
                return Err("Cannot serialise table: excessively sparse array".into());
            }
            return Ok(None);
        }
        Ok((most > 0.0).then_some(most))
    }

    fn array(&mut self, table: &Table, len: f64, depth: i64) -> Result<(), Failure> {
        self.out.push(b'[');
        let mut at = 1.0;
        while at <= len {
            if at > 1.0 {
                self.out.push(b',');
            }
            let value: Value = table.raw_get(at)?;
            self.value(&value, depth)?;
            at += 1.0;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: i64) -> Result<(), Failure> {
        self.out.push(b'{');
        let start = self.out.len();
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if self.out.len() > start {
                self.out.push(b',');
            }
            match &key {
                Value::String(text) => self.string(&text.as_bytes())?,
                Value::Integer(_) | Value::Number(_) => {
                    self.out.push(b'"');
                    self.number(number::of(self.context.lua, &key).unwrap_or(0.0))?;
                    self.out.push(b'"');
                }
                other => return Err(refusal(other, "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

fn refusal(value: &Value, why: &str) -> Failure {
    format!("Cannot serialise {}: {why}", number::kind(Some(value))).into()
}
