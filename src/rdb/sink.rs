//! Lengths and strings as they are written: each in the shortest form.

use crate::base::integer;
use crate::rdb::lzf;

/// Strings up to this length are not compressed: it would save nothing.
const PLAIN_MAX: usize = 20;

/// Appends a length, or a number that is said like one.
pub(crate) fn put_length(out: &mut Vec<u8>, length: u64) {
    match length {
        0..0x40 => out.push(length as u8),
        0x40..0x4000 => out.extend([0x40 | (length >> 8) as u8, length as u8]),
        0x4000..=0xffff_ffff => {
            out.push(0x80);
            out.extend((length as u32).to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend(length.to_be_bytes());
        }
    }
}

/// Appends a string.
pub(crate) fn put_string(out: &mut Vec<u8>, string: &[u8], compresses: bool) {
    let number = integer::parse(string).and_then(|number| i32::try_from(number).ok());
    if let Some(number) = number {
        return put_number(out, number);
    }
    let short = (compresses && string.len() > PLAIN_MAX).then(|| lzf::compress(string)).flatten();
    match short {
        Some(short) => {
            out.push(0xc3);
            put_length(out, short.len() as u64);
            put_length(out, string.len() as u64);
            out.extend(short);
        }
        None => {
            put_length(out, string.len() as u64);
            out.extend_from_slice(string);
        }
    }
}

fn put_number(out: &mut Vec<u8>, number: i32) {
    let bytes = number.to_le_bytes();
    let width = match number {
        -0x80..0x80 => 0,
        -0x8000..0x8000 => 1,
        _ => 2,
    };
    out.push(0xc0 | width);
    out.extend(bytes.iter().take(1 << width));
}
