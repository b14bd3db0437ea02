//! `struct`: values as bytes by a format, as C lays them out.
//!
//! ```text
//! > < !n        big or little end first, alignment to n bytes
//! b B h H l L T i[n] I[n]   integers of 1, 2, 8, 8 and n (4) bytes, signed in lower case
//! f d           floats        x   a zero byte        c[n]   n bytes        s   up to a zero byte
//! ```

use mlua::{MultiValue, Value};

use super::native::{Context, Failure, Native, Outcome, bad_argument, one};
use super::number;

pub(super) const FUNCTIONS: &[(&str, Native)] =
    &[("pack", pack), ("unpack", unpack), ("size", size)];

/// Bytes of an integer, at most.
const INTEGER_MAX: usize = 32;

/// The alignment behind a `!` without a number.
const ALIGNMENT: usize = 8;

/// Values that a call may return: as many as its stack takes.
const RESULTS_MAX: usize = 7_990;

const SHORT: &str = "data string too short";

/// A format as far as it has been read.
struct Format<'a> {
    rest: &'a [u8],
    /// Whether the big end comes first.
    is_big: bool,
    alignment: usize,
}

impl<'a> Format<'a> {
    /// A format ends at its first zero byte, as a string of C does.
    fn new(text: &'a [u8]) -> Format<'a> {
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        Format { rest: &text[..end], is_big: false, alignment: 1 }
    }

    /// The next option and the bytes that it takes, none where it depends on the data.
    fn next(&mut self) -> Result<Option<(u8, usize)>, Failure> {
        let Some((option, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > INTEGER_MAX {
                    let text =
                        format!("integral size {size} is larger than limit of {INTEGER_MAX}");
                    return Err(text.into());
                }
                size
            }
            _ => 0,
        };
        Ok(Some((*option, size)))
    }

    /// The number that comes next, if one does.
    fn number(&mut self, default: usize) -> Result<usize, Failure> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        if digits.is_empty() {
            return Ok(default);
        }
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i32>().ok());
        let number = number.and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| "integral size overflow".into())
    }

    /// Bytes that bring a position to where an option may stand.
    fn padding(&self, at: usize, option: u8, size: usize) -> usize {
        if size == 0 || option == b'c' {
            return 0;
        }
        let mask = size.min(self.alignment) - 1;
        (mask + 1).wrapping_sub(at & mask) & mask
    }

    /// Takes an option that says how what follows is laid out.
    fn control(&mut self, option: u8, name: &str) -> Result<(), Failure> {
        match option {
            b' ' => {}
            b'>' => self.is_big = true,
            b'<' => self.is_big = false,
            b'!' => {
                let alignment = self.number(ALIGNMENT)?;
                if !alignment.is_power_of_two() {
                    return Err(format!("alignment {alignment} is not a power of 2").into());
                }
                self.alignment = alignment;
            }
            _ => {
                let mut why = b"invalid format option '".to_vec();
                why.push(option);
                why.push(b'\'');
                let head = format!("bad argument #1 to '{name}' (");
                return Err(Failure::Said([head.as_bytes(), &why, b")"].concat()));
            }
        }
        Ok(())
    }
}

/// Bytes of a number in the order of a format, from the little end on.
fn ordered(mut bytes: Vec<u8>, is_big: bool) -> Vec<u8> {
    if is_big {
        bytes.reverse();
    }
    bytes
}

fn text(values: &MultiValue, place: usize, name: &str) -> Result<Vec<u8>, Failure> {
    match values.get(place - 1) {
        Some(Value::String(text)) => Ok(text.as_bytes().to_vec()),
        Some(Value::Integer(number)) => Ok(number::general(*number as f64, 14).into_bytes()),
        Some(Value::Number(number)) => Ok(number::general(*number, 14).into_bytes()),
        other => {
            let got = number::kind(other);
            Err(bad_argument(place, name, &format!("string expected, got {got}")))
        }
    }
}

fn number(
    context: &Context<'_>,
    values: &MultiValue,
    place: usize,
    name: &str,
) -> Result<f64, Failure> {
    let value = values.get(place - 1).or(Some(&Value::Nil));
    value.and_then(|value| number::of(context.lua, value)).ok_or_else(|| {
        bad_argument(place, name, &format!("number expected, got {}", number::kind(value)))
    })
}

/// The integer of a number as the processor makes it: what fits none is zero, or the least.
fn bits(number: f64) -> u64 {
    if number >= 2f64.powi(64) {
        0
    } else if number >= 0.0 {
        number as u64
    } else {
        number::truncated(number) as u64
    }
}

fn pack(context: &Context<'_>, values: MultiValue) -> Outcome {
    let format = text(&values, 1, "pack")?;
    let (mut format, mut out, mut place) = (Format::new(&format), Vec::new(), 2);
    while let Some((option, size)) = format.next()? {
        context.work(32)?;
        out.resize(out.len() + format.padding(out.len(), option, size), 0);
        let is_big = format.is_big;
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let number = number(context, &values, place, "pack")?;
                let mut bytes = bits(number).to_le_bytes().to_vec();
                bytes.resize(size, 0);
                out.extend(ordered(bytes, is_big));
                place += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                let number = number(context, &values, place, "pack")? as f32;
                out.extend(ordered(number.to_le_bytes().to_vec(), is_big));
                place += 1;
            }
            b'd' => {
                let number = number(context, &values, place, "pack")?;
                out.extend(ordered(number.to_le_bytes().to_vec(), is_big));
                place += 1;
            }
            b'c' | b's' => {
                let text = text(&values, place, "pack")?;
                place += 1;
                let size = if size == 0 { text.len() } else { size };
                let taken = text.get(..size);
                out.extend_from_slice(
                    taken.ok_or_else(|| bad_argument(place, "pack", "string too short"))?,
                );
                if option == b's' {
                    out.push(0);
                }
            }
            _ => format.control(option, "pack")?,
        }
        if out.len() > context.limits.memory_bytes {
            return Err("not enough memory".into());
        }
    }
    one(Value::String(context.lua.create_string(out)?))
}

fn unpack(context: &Context<'_>, values: MultiValue) -> Outcome {
    let format = text(&values, 1, "unpack")?;
    let data = text(&values, 2, "unpack")?;
    let from = match values.get(2).filter(|value| !value.is_nil()) {
        Some(_) => number::truncated(number(context, &values, 3, "unpack")?),
        None => 1,
    };
    if from == 0 {
        return Err(bad_argument(3, "unpack", "offset must be 1 or greater"));
    }
    let short = || bad_argument(2, "unpack", SHORT);
    let mut at = usize::try_from(from - 1).map_err(|_| short())?;
    let (mut format, mut results) = (Format::new(&format), MultiValue::new());
    while let Some((option, size)) = format.next()? {
        context.work(32)?;
        at = at.checked_add(format.padding(at, option, size)).ok_or_else(short)?;
        let rest = data.get(at..).ok_or_else(short)?;
        let field = rest.get(..size).ok_or_else(short)?;
        if results.len() >= RESULTS_MAX {
            return Err("stack overflow (too many results)".into());
        }
        let mut taken = size;
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let bytes = ordered(field.to_vec(), format.is_big);
                results.push_back(Value::Number(integer(&bytes, option.is_ascii_lowercase())));
            }
            b'f' => {
                let bytes = ordered(field.to_vec(), format.is_big);
                let number = bytes.first_chunk().map_or(0.0, |bytes| f32::from_le_bytes(*bytes));
                results.push_back(Value::Number(f64::from(number)));
            }
            b'd' => {
                let bytes = ordered(field.to_vec(), format.is_big);
                let number = bytes.first_chunk().map_or(0.0, |bytes| f64::from_le_bytes(*bytes));
                results.push_back(Value::Number(number));
            }
            b'x' => {}
            b'c' => {
                if size == 0 {
                    let Some(Value::Number(len)) = results.pop_back() else {
                        return Err("format 'c0' needs a previous size".into());
                    };
                    taken = usize::try_from(number::truncated(len)).map_err(|_| short())?;
                }
                let text = rest.get(..taken).ok_or_else(short)?;
                results.push_back(Value::String(context.lua.create_string(text)?));
            }
            b's' => {
                let end = memchr::memchr(0, rest).ok_or("unfinished string in data")?;
                results.push_back(Value::String(context.lua.create_string(&rest[..end])?));
                taken = end + 1;
            }
            _ => format.control(option, "unpack")?,
        }
        at += taken;
    }
    results.push_back(Value::Number((at + 1) as f64));
    Ok(results)
}

/// The integer of some bytes, the little end first. Those beyond eight do not count.
fn integer(bytes: &[u8], is_signed: bool) -> f64 {
    let mut bits = [0; 8];
    for (bit, byte) in bits.iter_mut().zip(bytes) {
        *bit = *byte;
    }
    let bits = u64::from_le_bytes(bits);
    if !is_signed {
        return bits as f64;
    }
    let unused = 64 - 8 * bytes.len().min(8) as u32;
    let shifted = bits.checked_shl(unused).unwrap_or(0) as i64;
    (shifted.checked_shr(unused).unwrap_or(0)) as f64
}

fn size(context: &Context<'_>, values: MultiValue) -> Outcome {
    let format = text(&values, 1, "size")?;
    let (mut format, mut at) = (Format::new(&format), 0usize);
    while let Some((option, size)) = format.next()? {
        context.work(32)?;
        at += format.padding(at, option, size);
        match option {
            b's' => return Err(bad_argument(1, "size", "option 's' has no fixed size")),
            b'c' if size == 0 => {
                return Err(bad_argument(1, "size", "option 'c0' has no fixed size"));
            }
            _ if !option.is_ascii_alphanumeric() => format.control(option, "size")?,
            _ => {}
        }
        at += size;
    }
    one(Value::Number(at as f64))
}
