//! As much of the RDB format as it takes to know an empty base: header, auxiliary fields, database
//! sizes, end mark and checksum.
//!
//! Redis writes such a base (89 bytes) when the AOF is switched on over an empty keyspace. A base
//! with keys or functions is refused by name, since reading values comes later. This server writes
//! no base for an empty keyspace: a manifest without one is what redis-check-aof and redis-server
//! 7.0 take for exactly that.

use thiserror::Error;

use crate::base::hash::Hasher;
use crate::rdb::{Decoder, Fault, Forms, Record, opens_key};
use crate::settings::Settings;

/// Bytes at the start of a base that hold all of an empty one; auxiliary fields are short.
pub const EMPTY_BYTES_MAX: usize = 64 * 1024;

/// An RDB file, or the RDB opening of an AOF file, that holds no keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmptyBase {
    /// Bytes up to and with the checksum; RESP records may follow.
    pub length: usize,
    /// The version in the header.
    pub version: u32,
    /// Auxiliary fields, in order.
    pub aux: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why a base could not be taken for an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RdbError {
    /// There are keys.
    #[error(
        "offset {0}: the base has keys, and this server does not load RDB files yet; on the server \
         that wrote it set aof-use-rdb-preamble to no, run BGREWRITEAOF, and copy the directory \
         again"
    )]
    Keys(usize),
    /// There are functions or data of modules.
    #[error(
        "offset {0}: the base holds functions or module data, which this server does not load yet; \
         on the server that wrote it run FUNCTION FLUSH or unload the module, then BGREWRITEAOF"
    )]
    Unsupported(usize),
    /// The file ends too early.
    #[error("offset {0}: the base ends too early; restore it from a backup")]
    Truncated(usize),
    /// A header, length or opcode that cannot be.
    #[error("offset {0}: the base is damaged; restore it from a backup")]
    Malformed(usize),
    /// A version that is not known.
    #[error(
        "version {0} of the base is not known; have the server that wrote it rewrite it with \
             aof-use-rdb-preamble no"
    )]
    Version(u32),
    /// The checksum at the end is another.
    #[error("the checksum of the base does not match; restore it from a backup")]
    Checksum,
}

/// Whether a file opens as an RDB file does, whatever its name.
pub fn is_rdb(bytes: &[u8]) -> bool {
    bytes.starts_with(b"REDIS") || bytes.starts_with(b"VALKEY")
}

impl From<crate::rdb::RdbError> for RdbError {
    fn from(error: crate::rdb::RdbError) -> RdbError {
        match error.fault {
            Fault::Truncated | Fault::More => RdbError::Truncated(error.offset),
            Fault::Checksum => RdbError::Checksum,
            Fault::Version(version) => RdbError::Version(version),
            _ => RdbError::Malformed(error.offset),
        }
    }
}

/// Reads a base from its first bytes (`EMPTY_BYTES_MAX`, or all if there are fewer).
///
/// # Errors
/// [`RdbError`], also where there are keys.
pub fn read_empty(bytes: &[u8]) -> Result<EmptyBase, RdbError> {
    // No value is read.
    let hasher = Hasher::with_seeds([0; 4]);
    let forms = Forms::of(&Settings::default(), &hasher);
    let (mut decoder, mut version, mut aux) = (Decoder::default(), 0, Vec::new());
    loop {
        let at = decoder.offset();
        let rest = bytes.get(at..).unwrap_or(&[]);
        if version > 0 && rest.first().copied().is_some_and(opens_key) {
            return Err(RdbError::Keys(at));
        }
        let Some((record, _)) = decoder.next(rest, 0, forms)? else {
            return Err(RdbError::Truncated(bytes.len()));
        };
        match record {
            Record::Head(dialect) => version = dialect.version,
            Record::Aux(name, value) => aux.push((name.into_owned(), value.into_owned())),
            Record::Database(_) | Record::Sizes(..) | Record::Slots => {}
            Record::Function(_) | Record::Module(_) => return Err(RdbError::Unsupported(at)),
            Record::Key(_) => return Err(RdbError::Keys(at)),
            Record::End => return Ok(EmptyBase { length: decoder.offset(), version, aux }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base that redis-server 7.0.15 writes when the AOF is switched on empty.
    fn of_redis() -> Vec<u8> {
        let mut base = b"REDIS0010\xfa\x09redis-ver\x067.0.15\xfa\x0aredis-bits\xc0\x40".to_vec();
        base.extend(b"\xfa\x05ctime\xc2\x3c\xd2\x03\x6b\xfa\x08used-mem\xc2\x20\x60\x0d\x00");
        base.extend(b"\xfa\x08aof-base\xc0\x01\xff\xc3\xbb\x32\x60\x0b\x7f\xac\xda");
        base
    }

    #[test]
    fn knows_the_empty_base_of_redis() {
        let mut bytes = of_redis();
        bytes.extend(b"*1\r\n$4\r\nPING\r\n");
        let base = read_empty(&bytes).unwrap();
        assert_eq!((base.length, base.version), (89, 10));
        assert_eq!(base.aux[0], (b"redis-ver".to_vec(), b"7.0.15".to_vec()));
        assert_eq!(base.aux[1], (b"redis-bits".to_vec(), b"64".to_vec()));
        assert_eq!(base.aux[2].1, b"1795412540");
    }

    #[test]
    fn names_a_version_that_is_not_known() {
        let error = read_empty(b"REDIS0099\xff\0\0\0\0\0\0\0\0").expect_err("it is of the future");
        assert_eq!(error, RdbError::Version(99));
    }

    #[test]
    fn refuses_keys_with_a_remedy() {
        let mut bytes = of_redis();
        bytes.truncate(80);
        bytes.extend(b"\xfe\x00\xfb\x01\x00\x00\x01a\x01b\xff");
        let error = read_empty(&bytes).unwrap_err();
        assert_eq!(error, RdbError::Keys(85));
        assert!(error.to_string().contains("BGREWRITEAOF"));
    }

    #[test]
    fn a_cut_or_flipped_base_is_refused() {
        let whole = of_redis();
        for length in 0..whole.len() {
            let error = read_empty(&whole[..length]).unwrap_err();
            assert!(matches!(error, RdbError::Truncated(_)), "{length}: {error}");
        }
        for index in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[index] ^= 0xff;
            read_empty(&bytes).unwrap_err();
        }
    }
}
