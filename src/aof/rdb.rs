//! As much of the RDB format as it takes to know an empty base: header, auxiliary fields, database
//! sizes, end mark and checksum.
//!
//! Redis writes such a base (89 bytes) when the AOF is switched on over an empty keyspace. A base
//! with keys or functions is refused by name, since reading values comes later. This server writes
//! no base for an empty keyspace: a manifest without one is what redis-check-aof and redis-server
//! 7.0 take for exactly that.

use thiserror::Error;

/// Bytes at the start of a base that hold all of an empty one; auxiliary fields are short.
pub const EMPTY_BYTES_MAX: usize = 64 * 1024;

const AUX: u8 = 250;
const RESIZEDB: u8 = 251;
const SELECTDB: u8 = 254;
const EOF: u8 = 255;
const FUNCTION2: u8 = 245;
const MODULE_AUX: u8 = 247;
/// The first version that ends in a checksum.
const CHECKSUM_SINCE: u32 = 5;

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
    /// The checksum at the end is another.
    #[error("the checksum of the base does not match; restore it from a backup")]
    Checksum,
}

/// Whether a file opens as an RDB file does, whatever its name.
pub fn is_rdb(bytes: &[u8]) -> bool {
    bytes.starts_with(b"REDIS") || bytes.starts_with(b"VALKEY")
}

/// Reads a base from its first bytes (`EMPTY_BYTES_MAX`, or all if there are fewer).
pub fn read_empty(bytes: &[u8]) -> Result<EmptyBase, RdbError> {
    let mut cursor = Cursor { bytes, at: 0 };
    let version = cursor.version()?;
    let mut aux = Vec::new();
    loop {
        let at = cursor.at;
        match cursor.byte()? {
            AUX => aux.push((cursor.string()?, cursor.string()?)),
            SELECTDB => drop(cursor.length()?),
            RESIZEDB => {
                cursor.length()?;
                cursor.length()?;
            }
            EOF => break,
            FUNCTION2 | MODULE_AUX => return Err(RdbError::Unsupported(at)),
            // Types of values, and what may stand before a key: expiry, idle time, frequency.
            0..=25 | 248 | 249 | 252 | 253 => return Err(RdbError::Keys(at)),
            _ => return Err(RdbError::Malformed(at)),
        }
    }
    if version >= CHECKSUM_SINCE {
        let expected = crc64(&bytes[..cursor.at]);
        let stored = cursor.take(8)?.iter().rev().fold(0, |sum, b| sum << 8 | u64::from(*b));
        // A server with rdbchecksum off stores 0.
        if stored != 0 && stored != expected {
            return Err(RdbError::Checksum);
        }
    }
    Ok(EmptyBase { length: cursor.at, version, aux })
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], RdbError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(RdbError::Truncated(self.bytes.len()))?;
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, RdbError> {
        Ok(self.take(1)?[0])
    }

    fn version(&mut self) -> Result<u32, RdbError> {
        let magic = if self.bytes.starts_with(b"VALKEY") { 6 } else { 5 };
        let head = self.take(9)?;
        let malformed = RdbError::Malformed(magic);
        if !is_rdb(head) {
            return Err(RdbError::Malformed(0));
        }
        let digits = std::str::from_utf8(&head[magic..]).map_err(|_| malformed)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed);
        }
        digits.parse().map_err(|_| malformed)
    }

    /// A length, or the two low bits of a special encoding as an error position.
    fn length(&mut self) -> Result<u64, RdbError> {
        let at = self.at;
        match self.length_or_encoding()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => Err(RdbError::Malformed(at)),
        }
    }

    fn length_or_encoding(&mut self) -> Result<Length, RdbError> {
        let at = self.at;
        let first = self.byte()?;
        Ok(match (first >> 6, first) {
            (0, _) => Length::Plain(u64::from(first & 0x3f)),
            (1, _) => Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            (2, 0x80) => Length::Plain(self.big_endian(4)?),
            (2, 0x81) => Length::Plain(self.big_endian(8)?),
            (3, _) => Length::Encoded(first & 0x3f),
            _ => return Err(RdbError::Malformed(at)),
        })
    }

    fn big_endian(&mut self, count: usize) -> Result<u64, RdbError> {
        Ok(self.take(count)?.iter().fold(0, |sum, b| sum << 8 | u64::from(*b)))
    }

    /// A string, or an integer spelled out as one. Compressed strings do not occur in short fields.
    fn string(&mut self) -> Result<Vec<u8>, RdbError> {
        let at = self.at;
        match self.length_or_encoding()? {
            Length::Plain(length) => {
                let length = usize::try_from(length).map_err(|_| RdbError::Malformed(at))?;
                Ok(self.take(length)?.to_vec())
            }
            Length::Encoded(width @ 0..=2) => {
                let count = 1 << width;
                let low = self.take(count)?.iter().rev().fold(0, |sum, b| sum << 8 | i64::from(*b));
                let unused = 64 - 8 * count as u32;
                Ok((low << unused >> unused).to_string().into_bytes())
            }
            Length::Encoded(_) => Err(RdbError::Malformed(at)),
        }
    }
}

enum Length {
    Plain(u64),
    Encoded(u8),
}

/// CRC-64 after Jones, reflected, as RDB files end in it.
pub fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

const CRC_TABLE: [u64; 256] = {
    const REFLECTED: u64 = 0x95ac_9329_ac4b_c9b5;
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ REFLECTED } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

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
    fn the_checksum_is_the_one_of_redis() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
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
