//! The payload of DUMP and RESTORE: a value behind its type, then two bytes of a version and eight
//! of a checksum over all before it, the lowest first. That of FUNCTION DUMP has libraries of
//! functions instead of a value.

use thiserror::Error;

use crate::keyspace::entry::Entry;
use crate::rdb::crc64::crc64;
use crate::rdb::decoder::{FUNCTION, FUNCTION_BEFORE_7};
use crate::rdb::dialect::Dialect;
use crate::rdb::encoder::put_function;
use crate::rdb::error::{Fault, RdbError};
use crate::rdb::read::{self, Forms, Loaded};
use crate::rdb::source::Source;
use crate::rdb::write::{self, NoPlace};

/// Why a payload was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// Its end: too short, of no known version, or with another checksum.
    #[error("the version or the checksum of the payload is wrong: {0}")]
    Foot(Fault),
    /// The value itself.
    #[error("the payload is damaged: {0}")]
    Value(#[from] RdbError),
}

/// The payload of a value, in the oldest format that has it; deadlines of fields stand in `timed`.
///
/// # Errors
/// [`NoPlace`] for what has no place in one.
pub fn dump(entry: &Entry, compresses: bool, timed: Dialect) -> Result<Vec<u8>, NoPlace> {
    if let Some(lost) = write::without_place(entry) {
        return Err(lost);
    }
    let mut out = Vec::new();
    let dialect = write::typed(&mut out, None, entry, compresses, timed);
    seal(&mut out, dialect);
    Ok(out)
}

/// Appends version and checksum.
fn seal(out: &mut Vec<u8>, dialect: Dialect) {
    out.extend((dialect.version as u16).to_le_bytes());
    let checksum = crc64(out);
    out.extend(checksum.to_le_bytes());
}

/// The value in a payload, and with `takes_any_checksum` also where that is wrong. What stands
/// between it and the end is nobody's.
///
/// # Errors
/// [`PayloadError`].
pub fn restore(
    payload: &[u8],
    takes_any_checksum: bool,
    forms: Forms<'_>,
) -> Result<Loaded, PayloadError> {
    let (body, dialect) = opened(payload, takes_any_checksum)?;
    Ok(read::typed(&mut Source::new(body), dialect, forms)?)
}

/// The payload of libraries of functions, by their sources.
pub fn dump_functions<'a>(sources: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    sources.for_each(|source| put_function(&mut out, source));
    seal(&mut out, Dialect::COMMON);
    out
}

/// The sources of the libraries in a payload.
///
/// # Errors
/// [`PayloadError`]; [`Fault::UnknownType`] for anything but a library.
pub fn restore_functions(payload: &[u8]) -> Result<Vec<Vec<u8>>, PayloadError> {
    let (body, _) = opened(payload, false)?;
    let (mut source, mut sources) = (Source::new(body), Vec::new());
    while !source.is_at_end() {
        match source.byte()? {
            FUNCTION => sources.push(source.string()?.into_owned()),
            FUNCTION_BEFORE_7 => {
                let fault = Fault::Unsupported("a function of a Redis 7.0 to be");
                return Err(source.fail(fault).into());
            }
            other => return Err(source.fail(Fault::UnknownType(other)).into()),
        }
    }
    Ok(sources)
}

/// What stands in a payload before its foot, and in which format.
fn opened(payload: &[u8], takes_any_checksum: bool) -> Result<(&[u8], Dialect), PayloadError> {
    let short = PayloadError::Foot(Fault::Truncated);
    let (sealed, checksum) = payload.split_last_chunk::<8>().ok_or(short)?;
    let (body, version) = sealed.split_last_chunk::<2>().ok_or(short)?;
    let dialect = Dialect::of_version(u16::from_le_bytes(*version).into());
    let dialect = dialect.map_err(PayloadError::Foot)?;
    if !takes_any_checksum && crc64(sealed) != u64::from_le_bytes(*checksum) {
        return Err(PayloadError::Foot(Fault::Checksum));
    }
    Ok((body, dialect))
}

#[cfg(test)]
pub(super) mod tests;
