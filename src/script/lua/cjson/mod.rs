//! `cjson`: JSON as scripts of Redis write and read it.
//!
//! Each run begins with the settings as they are by default; what a script sets ends with it. A
//! `cjson.new` has settings of its own. The first argument of each function here says whose they
//! are.

mod decode;
mod encode;

use std::cell::RefCell;

use mlua::{Lua, MultiValue, Table, Value};

use super::native::{Context, Failure, Native, Outcome, bad_argument, one};
use super::number;

pub(super) const FUNCTIONS: &[(&str, Native)] = &[
    ("encode", encode::encode),
    ("decode", decode::decode),
    ("encode_sparse_array", encode_sparse_array),
    ("encode_max_depth", |context, values| {
        integer(context, &values, 1, "encode_max_depth", |settings| &mut settings.encode_depth)
    }),
    ("decode_max_depth", |context, values| {
        integer(context, &values, 1, "decode_max_depth", |settings| &mut settings.decode_depth)
    }),
    ("encode_number_precision", |context, values| {
        let name = "encode_number_precision";
        bounded(context, &values, 1, name, 14, |settings| &mut settings.precision)
    }),
    ("encode_keep_buffer", |context, values| {
        choice(context, &values, "encode_keep_buffer", &BOOLEAN, |s| &mut s.keeps_buffer)
    }),
    ("encode_invalid_numbers", |context, values| {
        let options = ["off", "on", "null"];
        choice(context, &values, "encode_invalid_numbers", &options, |s| &mut s.encodes_invalid)
    }),
    ("decode_invalid_numbers", |context, values| {
        choice(context, &values, "decode_invalid_numbers", &BOOLEAN, |s| &mut s.decodes_invalid)
    }),
    ("decode_array_with_array_mt", |context, values| {
        let name = "decode_array_with_array_mt";
        choice(context, &values, name, &BOOLEAN, |s| &mut s.marks_arrays)
    }),
    ("settings", settings),
];

const BOOLEAN: [&str; 2] = ["off", "on"];

/// Sets of settings that a run may make.
const SETS_MAX: usize = 1024;

/// How deep values may nest whatever a script allows: what the stack holds for sure.
const DEPTH_MAX: i64 = 2000;

/// The settings of one run: those of `cjson`, then those of each `cjson.new`.
pub(super) struct Settings(RefCell<Vec<Set>>);

impl Default for Settings {
    fn default() -> Self {
        Settings(RefCell::new(vec![Set::default()]))
    }
}

impl Settings {
    /// As at the start of a run.
    pub(super) fn reset(&self) {
        let mut sets = self.0.borrow_mut();
        sets.clear();
        sets.push(Set::default());
    }

    fn get(&self, values: &mut MultiValue) -> Set {
        let index = index(values);
        self.0.borrow().get(index).copied().unwrap_or_default()
    }

    fn change<T>(&self, at: usize, change: impl FnOnce(&mut Set) -> T) -> T {
        match self.0.borrow_mut().get_mut(at) {
            Some(set) => change(set),
            None => change(&mut Set::default()),
        }
    }
}

/// Takes whose settings are meant off the front.
fn index(values: &mut MultiValue) -> usize {
    match values.pop_front() {
        Some(Value::Integer(index)) => usize::try_from(index).unwrap_or(0),
        _ => 0,
    }
}

/// How JSON is read and written. Choices are the places in their lists of options.
#[derive(Clone, Copy)]
struct Set {
    converts_sparse: i64,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: i64,
    decode_depth: i64,
    precision: i64,
    encodes_invalid: i64,
    decodes_invalid: i64,
    keeps_buffer: i64,
    marks_arrays: i64,
}

impl Default for Set {
    fn default() -> Self {
        Set {
            converts_sparse: 0,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth: 1000,
            decode_depth: 1000,
            precision: 14,
            encodes_invalid: 0,
            decodes_invalid: 1,
            keeps_buffer: 1,
            marks_arrays: 0,
        }
    }
}

/// What the library has beside its functions.
pub(super) fn constants(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("null", Value::NULL)?;
    table.set("_NAME", "cjson")?;
    table.set("_VERSION", "2.1.0")?;
    Ok(table)
}

/// New settings: whose they are.
fn settings(context: &Context<'_>, _: MultiValue) -> Outcome {
    let mut sets = context.natives.json.0.borrow_mut();
    if sets.len() >= SETS_MAX {
        return Err("too many instances of cjson".into());
    }
    sets.push(Set::default());
    one(Value::Number((sets.len() - 1) as f64))
}

type Field = fn(&mut Set) -> &mut i64;

fn encode_sparse_array(context: &Context<'_>, mut values: MultiValue) -> Outcome {
    let name = "encode_sparse_array";
    let at = index(&mut values);
    at_most(&values, 3, name)?;
    let json = &context.natives.json;
    let options = &BOOLEAN;
    let converts =
        json.change(at, |set| choose(&mut set.converts_sparse, values.front(), 1, name, options))?;
    let ratio = json.change(at, |set| {
        number_between(context, &mut set.sparse_ratio, values.get(1), 2, name, (0, MOST))
    })?;
    let safe = json.change(at, |set| {
        number_between(context, &mut set.sparse_safe, values.get(2), 3, name, (0, MOST))
    })?;
    let converts = shown(context.lua, converts, options)?;
    Ok(MultiValue::from_iter([converts, Value::Number(ratio as f64), Value::Number(safe as f64)]))
}

const MOST: i64 = i32::MAX as i64;

fn integer(
    context: &Context<'_>,
    values: &MultiValue,
    least: i64,
    name: &str,
    field: Field,
) -> Outcome {
    within(context, values, name, (least, MOST), field)
}

fn bounded(
    context: &Context<'_>,
    values: &MultiValue,
    least: i64,
    name: &str,
    most: i64,
    field: Field,
) -> Outcome {
    within(context, values, name, (least, most), field)
}

fn within(
    context: &Context<'_>,
    values: &MultiValue,
    name: &str,
    bounds: (i64, i64),
    field: Field,
) -> Outcome {
    let mut values = values.clone();
    let at = index(&mut values);
    at_most(&values, 1, name)?;
    let number = context
        .natives
        .json
        .change(at, |set| number_between(context, field(set), values.front(), 1, name, bounds))?;
    one(Value::Number(number as f64))
}

fn choice(
    context: &Context<'_>,
    values: &MultiValue,
    name: &str,
    options: &[&str],
    field: Field,
) -> Outcome {
    let mut values = values.clone();
    let at = index(&mut values);
    at_most(&values, 1, name)?;
    let json = &context.natives.json;
    let chosen = json.change(at, |set| choose(field(set), values.front(), 1, name, options))?;
    one(shown(context.lua, chosen, options)?)
}

fn at_most(values: &MultiValue, count: usize, name: &str) -> Result<(), Failure> {
    if values.len() > count {
        return Err(bad_argument(count + 1, name, "found too many arguments"));
    }
    Ok(())
}

/// Sets a number, if one is given; returns what it is.
fn number_between(
    context: &Context<'_>,
    field: &mut i64,
    value: Option<&Value>,
    place: usize,
    name: &str,
    (least, most): (i64, i64),
) -> Result<i64, Failure> {
    let Some(value) = value.filter(|value| !value.is_nil()) else { return Ok(*field) };
    let number = number::of(context.lua, value).map(number::truncated).ok_or_else(|| {
        let got = number::kind(Some(value));
        bad_argument(place, name, &format!("number expected, got {got}"))
    })?;
    if !(least..=most).contains(&number) {
        let why = format!("expected integer between {least} and {most}");
        return Err(bad_argument(1, name, &why));
    }
    *field = number;
    Ok(number)
}

/// Sets an option, if one is given, by its name or as a truth value; returns what it is.
fn choose(
    field: &mut i64,
    value: Option<&Value>,
    place: usize,
    name: &str,
    options: &[&str],
) -> Result<i64, Failure> {
    match value {
        None | Some(Value::Nil) => {}
        Some(Value::Boolean(truth)) => *field = i64::from(*truth),
        Some(Value::String(text)) => {
            let text = text.as_bytes();
            let found = options.iter().position(|option| option.as_bytes() == &text[..]);
            let found = found.ok_or_else(|| {
                let why = format!("invalid option '{}'", String::from_utf8_lossy(&text));
                bad_argument(place, name, &why)
            })?;
            *field = found as i64;
        }
        Some(other) => {
            let why = format!("string expected, got {}", number::kind(Some(other)));
            return Err(bad_argument(place, name, &why));
        }
    }
    Ok(*field)
}

/// An option as it is told: off and on are truth values.
fn shown(lua: &Lua, chosen: i64, options: &[&str]) -> mlua::Result<Value> {
    match chosen {
        0 | 1 => Ok(Value::Boolean(chosen == 1)),
        _ => {
            let name = usize::try_from(chosen).ok().and_then(|chosen| options.get(chosen));
            lua.create_string(name.copied().unwrap_or_default()).map(Value::String)
        }
    }
}
