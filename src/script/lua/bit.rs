//! `bit`: operations on the lowest 32 bits of a number.

use mlua::{MultiValue, Value};

use super::native::{Context, Failure, Native, Outcome, bad_argument, one};
use super::number;

pub(super) const FUNCTIONS: &[(&str, Native)] = &[
    ("tobit", |context, values| whole(at(context, &values, 1, "tobit")?)),
    ("bnot", |context, values| whole(!at(context, &values, 1, "bnot")?)),
    ("band", |context, values| fold(context, &values, "band", |one, other| one & other)),
    ("bor", |context, values| fold(context, &values, "bor", |one, other| one | other)),
    ("bxor", |context, values| fold(context, &values, "bxor", |one, other| one ^ other)),
    ("lshift", |context, values| shift(context, &values, "lshift", |bits, by| bits << by)),
    ("rshift", |context, values| {
        shift(context, &values, "rshift", |bits, by| (bits as u32 >> by) as i32)
    }),
    ("arshift", |context, values| shift(context, &values, "arshift", |bits, by| bits >> by)),
    ("rol", |context, values| shift(context, &values, "rol", i32::rotate_left)),
    ("ror", |context, values| shift(context, &values, "ror", i32::rotate_right)),
    ("bswap", |context, values| whole(at(context, &values, 1, "bswap")?.swap_bytes())),
    ("tohex", tohex),
];

/// The bits of the argument at a place, counted from one.
fn at(context: &Context<'_>, values: &MultiValue, at: usize, name: &str) -> Result<i32, Failure> {
    let value = values.get(at - 1);
    let number = value.and_then(|value| number::of(context.lua, value)).ok_or_else(|| {
        bad_argument(at, name, &format!("number expected, got {}", number::kind(value)))
    })?;
    Ok(bits(number))
}

/// The lowest 32 bits of a number, rounded to the nearest integer, to even where two are as near.
/// Adding this makes them the lowest bits of the mantissa, and so it is done for numbers too large
/// to have any.
fn bits(number: f64) -> i32 {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    (number + MAGIC).to_bits() as u32 as i32
}

fn whole(bits: i32) -> Outcome {
    one(Value::Number(f64::from(bits)))
}

fn fold(
    context: &Context<'_>,
    values: &MultiValue,
    name: &str,
    join: fn(i32, i32) -> i32,
) -> Outcome {
    let mut result = at(context, values, 1, name)?;
    for place in 2..=values.len() {
        result = join(result, at(context, values, place, name)?);
    }
    whole(result)
}

fn shift(
    context: &Context<'_>,
    values: &MultiValue,
    name: &str,
    by: fn(i32, u32) -> i32,
) -> Outcome {
    let bits = at(context, values, 1, name)?;
    whole(by(bits, at(context, values, 2, name)? as u32 & 31))
}

/// So many hexadecimal digits of a number, in capitals if their number is negative.
fn tohex(context: &Context<'_>, values: MultiValue) -> Outcome {
    let bits = at(context, &values, 1, "tohex")? as u32;
    let wanted = if values.len() < 2 { 8 } else { at(context, &values, 2, "tohex")? };
    let count = wanted.unsigned_abs().min(8) as usize;
    let digits = if wanted < 0 { format!("{bits:08X}") } else { format!("{bits:08x}") };
    one(Value::String(context.lua.create_string(&digits[8 - count..])?))
}
